/* Included by gradient.c once for each instruction set and type: NAME, TARGET, VECTOR of LANES floats,
 * OP (name) its operations, EACH (X) for INPUTS_EACH inputs, ADD (sum, a, b), SOURCE_STEP words from one
 * step's inputs to the next one's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */

#define DECLARE(i)                                                                                           \
  VECTOR low##i = first ? OP (setzero) () : OP (loadu) (to + i * step);                                      \
  VECTOR high##i = first ? OP (setzero) () : OP (loadu) (to + i * step + LANES);
#define MULTIPLY(i)                                                                                          \
  value = OP (set1) (a[i]);                                                                                  \
  low##i = ADD (low##i, value, b0);                                                                          \
  high##i = ADD (high##i, value, b1);
#define STORE(i)                                                                                             \
  OP (storeu) (to + i * step, low##i);                                                                       \
  OP (storeu) (to + i * step + LANES, high##i);

/* sums[i * step + o] (+)= sum over the runs, of count steps each, of source[i] * destination[o]; first:
 * nothing is in sums yet. As many sums as registers hold at a time. */
static TARGET void
NAME (const float *source, const float *destination, const Run *runs, int n_runs, int count, float *sums,
    gsize step, gboolean first)
{
  for (int i = 0; i < INPUTS; i += INPUTS_EACH)
    for (int o = 0; o < OUTPUTS; o += 2 * LANES) {
      float *to = sums + i * step + o;

      EACH (DECLARE)
      for (int run = 0; run < n_runs; run++) {
        const float *a = source + runs[run].source + i, *b = destination + runs[run].destination + o;

        for (int x = 0; x < count; x++, a += SOURCE_STEP, b += OUTPUTS) {
          const VECTOR b0 = OP (loadu) (b), b1 = OP (loadu) (b + LANES);
          VECTOR value;

          EACH (MULTIPLY)
        }
      }
      EACH (STORE)
    }
}

#undef DECLARE
#undef MULTIPLY
#undef STORE
#undef NAME
#undef TARGET
#undef VECTOR
#undef LANES
#undef OP
#undef EACH
#undef INPUTS_EACH
#undef ADD
#undef SOURCE_STEP

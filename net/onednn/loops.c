/* The loops of loops.h, for both types from one text.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loops.h"

#include "cpu.h"
#include "half.h"

#include <math.h>
#include <string.h>

/* Compiled for several instruction sets, the best one chosen when the program is loaded. Only functions
 * without an OpenMP region: its body would be outlined for the base instruction set. */
#if defined __x86_64__ && defined __GNUC__ && !defined __clang__ && !defined __SANITIZE_ADDRESS__
#define SIMD __attribute__ ((target_clones ("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SIMD
#endif

/* Values of a chunk: of the first level cache's order, whatever the channels. */
#define CHUNK 8192

static gsize
chunk_pixels (const DuExtent *e)
{
  return MAX (1, CHUNK / e->channels);
}

static gsize
n_pixels (const DuExtent *e)
{
  return e->rows * e->width;
}

static gsize
n_chunks (const DuExtent *e)
{
  return (n_pixels (e) + chunk_pixels (e) - 1) / chunk_pixels (e);
}

gsize
du_loops_partials (const DuExtent *e)
{
  return n_chunks (e) * MAX (2 * e->channels, 3 * e->channels + 3);
}

/* sums[i] = sum over chunks of partials[chunk * step + i] */
static void
sum_partials (const DuExtent *e, const float *partials, gsize step, gsize count, float *sums)
{
  const gsize chunks = n_chunks (e);

#pragma omp parallel for num_threads(e->threads) if (chunks * count > CHUNK)
  for (gsize i = 0; i < count; i++) {
    double sum = 0;

    for (gsize chunk = 0; chunk < chunks; chunk++)
      sum += partials[chunk * step + i];
    sums[i] = (float) sum;
  }
}

/* Runs the body over the chunks of the extent e: first pixel, number of pixels, index. */
#define FOR_CHUNKS(at, count, chunk)                                                                          \
  _Pragma ("omp parallel for schedule(static) num_threads(e->threads) if (n_chunks (e) > 1)")                 \
  for (gsize chunk = 0; chunk < n_chunks (e); chunk++)                                                        \
    for (gsize at = chunk * chunk_pixels (e), count = MIN (chunk_pixels (e), n_pixels (e) - at), once = 1;    \
         once; once = 0)

#define T float
#define LOAD(x) (x)
#define ROUND(x) (x)
#define NAME(name) name##_f32
#include "loops-typed.h"
#undef T
#undef LOAD
#undef ROUND
#undef NAME

#define T guint16
#define LOAD(x) du_bf16_to_float (x)
#define ROUND(x) du_bf16_from_float (x)
#define NAME(name) name##_bf16
#include "loops-typed.h"

/* Included by winograd.c once for each instruction set and type: NAME (), TARGET, VECTOR of LANES floats, OP
 * (name) its operations, EACH (X) for the ROWS of tiles whose sums fill the registers, T the activations'
 * type in memory, VALUE (T) -> float, GET (const T *) -> VECTOR, PUT (T *, VECTOR).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */

#define SET(x) OP (set1) (x)

/* B^T d of six values, each STEP vectors from the next. */
static inline TARGET void
NAME (transform_input) (const VECTOR *d, int step, VECTOR *to, int to_step)
{
  const VECTOR d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step],
               d5 = d[5 * step];
  const VECTOR even_a = d4 - SET (B2) * d2, odd_a = SET (A) * (d3 - SET (B2) * d1);
  const VECTOR even_b = d4 - SET (A2) * d2, odd_b = SET (B) * (d3 - SET (A2) * d1);

  to[0] = SET (A2 * B2) * d0 - SET (A2 + B2) * d2 + d4;
  to[to_step] = even_a + odd_a;
  to[2 * to_step] = even_a - odd_a;
  to[3 * to_step] = even_b + odd_b;
  to[4 * to_step] = even_b - odd_b;
  to[5 * to_step] = SET (A2 * B2) * d1 - SET (A2 + B2) * d3 + d5;
}

/* A^T m of six values. */
static inline TARGET void
NAME (transform_output) (const VECTOR *m, int step, VECTOR *to, int to_step)
{
  const VECTOR sum_a = m[step] + m[2 * step], difference_a = m[step] - m[2 * step];
  const VECTOR sum_b = m[3 * step] + m[4 * step], difference_b = m[3 * step] - m[4 * step];

  to[0] = m[0] + sum_a + sum_b;
  to[to_step] = SET (A) * difference_a + SET (B) * difference_b;
  to[2 * to_step] = SET (A2) * sum_a + SET (B2) * sum_b;
  to[3 * to_step] = SET (A * A2) * difference_a + SET (B * B2) * difference_b + m[5 * step];
}

/* count tiles of a source, from tile first on -> to [POINTS][tile][channels] */
static TARGET void
NAME (gather) (const DuWinograd *w, const void *source, int channels, gsize first, gsize count, float *to)
{
  for (gsize tile = 0; tile < count; tile++, to += w->input_pitch) {
    const Place place = find_place (w, first + tile);
    const T *at[POINTS];

    for (int i = 0; i < POINTS; i++) {
      const int y = place.y + i / SIDE - 1, x = place.x + i % SIDE - 1;

      at[i] = y < 0 || y >= w->height || x < 0 || x >= w->width
                  ? w->zeros
                  : (const T *) source + ((place.line + y) * w->width + x) * channels;
    }
    for (int c = 0; c < channels; c += LANES) {
      VECTOR d[POINTS];

      for (int i = 0; i < POINTS; i++)
        d[i] = GET (at[i] + c);
      for (int x = 0; x < SIDE; x++)
        NAME (transform_input) (d + x, SIDE, d + x, SIDE);
      for (int y = 0; y < SIDE; y++) {
        NAME (transform_input) (d + y * SIDE, 1, d + y * SIDE, 1);
        for (int x = 0; x < SIDE; x++)
          OP (storeu) (to + (y * SIDE + x) * w->input_step + c, d[y * SIDE + x]);
      }
    }
  }
}

/* count tiles of from [POINTS][tile][channels] -> the destination */
static TARGET void
NAME (scatter) (const DuWinograd *w, const float *from, gsize first, gsize count, const Output *output)
{
  for (gsize tile = 0; tile < count; tile++, from += w->output_pitch) {
    const Place place = find_place (w, first + tile);
    const int rows = MIN (OUTPUT_SIDE, w->height - place.y), columns = MIN (OUTPUT_SIDE, w->width - place.x);
    T *to = (T *) output->to + ((place.line + place.y) * w->width + place.x) * w->outputs;

    for (int c = 0; c < w->outputs; c += LANES) {
      VECTOR m[POINTS], y[OUTPUT_SIDE * SIDE], value[OUTPUT_SIDE];

      for (int i = 0; i < POINTS; i++)
        m[i] = OP (loadu) (from + i * w->output_step + c);
      for (int x = 0; x < SIDE; x++)
        NAME (transform_output) (m + x, SIDE, y + x, SIDE);
      for (int row = 0; row < rows; row++) {
        NAME (transform_output) (y + row * SIDE, 1, value, 1);
        for (int column = 0; column < columns; column++) {
          T *pixel = to + ((gsize) row * w->width + column) * w->outputs + c;
          VECTOR v = value[column];

          if (output->bias)
            v = v + OP (loadu) (output->bias + c);
          if (w->relu)
            v = OP (max) (v, OP (setzero) ());
          if (output->scale)
            v = v * OP (loadu) (output->scale + c) + OP (loadu) (output->shift + c);
          PUT (pixel, v);
        }
      }
    }
  }
}

#define DECLARE(i) VECTOR low##i = OP (setzero) (), high##i = OP (setzero) ();
#define MULTIPLY(i)                                                                                          \
  value = SET (a[i * pitch]);                                                                                \
  low##i = OP (fmadd) (value, b0, low##i);                                                                   \
  high##i = OP (fmadd) (value, b1, high##i);
#define STORE(i)                                                                                             \
  OP (storeu) (to + i * to_pitch, low##i);                                                                   \
  OP (storeu) (to + i * to_pitch + LANES, high##i);
#define PRODUCT(EACH)                                                                                        \
  const float *a = from, *b = weights;                                                                       \
  VECTOR b0, b1, value;                                                                                      \
                                                                                                             \
  EACH (DECLARE)                                                                                             \
  for (int k = 0; k < w->inputs; k++, a++, b += 2 * LANES) {                                                 \
    b0 = OP (load) (b);                                                                                      \
    b1 = OP (load) (b + LANES);                                                                              \
    EACH (MULTIPLY)                                                                                          \
  }                                                                                                          \
  EACH (STORE)

/* to [tile][2 * LANES] = from [tile][inputs] * weights [inputs][2 * LANES]; count: a multiple of GROUP. */
static TARGET void
NAME (product) (const DuWinograd *w, const float *from, const float *weights, gsize count, float *to)
{
  const gsize pitch = w->input_pitch, to_pitch = w->output_pitch;

  for (; count % MOST_ROWS; count -= GROUP, from += GROUP * pitch, to += GROUP * to_pitch) {
    PRODUCT (EACH_4)
  }
  for (; count; count -= ROWS, from += ROWS * pitch, to += ROWS * to_pitch) {
    PRODUCT (EACH)
  }
}

/* G g of three values. */
static inline TARGET void
NAME (transform_weights) (const VECTOR *g, int step, VECTOR *to, int to_step)
{
  const VECTOR g0 = g[0], g1 = g[step], g2 = g[2 * step];
  const VECTOR even_a = SET (1 / (2 * A2 * (A2 - B2))) * g0 + SET (1 / (2 * (A2 - B2))) * g2;
  const VECTOR even_b = SET (1 / (2 * B2 * (B2 - A2))) * g0 + SET (1 / (2 * (B2 - A2))) * g2;
  const VECTOR odd_a = SET (1 / (2 * A * (A2 - B2))) * g1, odd_b = SET (1 / (2 * B * (B2 - A2))) * g1;

  to[0] = SET (1 / (A2 * B2)) * g0;
  to[to_step] = even_a + odd_a;
  to[2 * to_step] = even_a - odd_a;
  to[3 * to_step] = even_b + odd_b;
  to[4 * to_step] = even_b - odd_b;
  to[5 * to_step] = g2;
}

/* The weights of 2 * LANES outputs, from output first on, of one input. */
static TARGET void
NAME (pack) (const DuWinograd *w, const void *weights, int first, int input)
{
  const gsize point_size = (gsize) w->inputs * w->outputs;
  float *to = w->weights + (gsize) first * w->inputs + (gsize) input * 2 * LANES;
  float taps[TAPS][2 * LANES] __attribute__ ((aligned (DU_CPU_ALIGNMENT)));

  for (int o = 0; o < 2 * LANES; o++) {
    const T *g = (const T *) weights + w->weights_output_step * (first + o) + w->weights_input_step * input;

    /* The gradient of the source is the convolution with the weights turned by half a circle. */
    for (int tap = 0; tap < TAPS; tap++)
      taps[tap][o] = VALUE (g[w->turned ? TAPS - 1 - tap : tap]);
  }
  for (int half = 0; half < 2; half++) {
    VECTOR g[TAPS], columns[SIDE * 3], points[POINTS];

    for (int tap = 0; tap < TAPS; tap++)
      g[tap] = OP (load) (taps[tap] + half * LANES);
    for (int x = 0; x < 3; x++)
      NAME (transform_weights) (g + x, 3, columns + x, 3);
    for (int y = 0; y < SIDE; y++)
      NAME (transform_weights) (columns + y * 3, 1, points + y * SIDE, 1);
    for (int point = 0; point < POINTS; point++)
      OP (store) (to + point * point_size + half * LANES, points[point]);
  }
}

static const Kernels NAME (kernels) = { LANES, NAME (pack), NAME (gather), NAME (product), NAME (scatter) };

#undef SET
#undef DECLARE
#undef MULTIPLY
#undef STORE
#undef PRODUCT
#undef NAME
#undef TARGET
#undef VECTOR
#undef LANES
#undef OP
#undef EACH
#undef T
#undef VALUE
#undef GET
#undef PUT
#undef ROWS

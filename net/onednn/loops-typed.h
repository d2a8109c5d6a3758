/* Included by loops.c once for each type of activations: T, LOAD (T) -> float, ROUND (float) -> T, NAME ().
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */

/* ---- copies ----------------------------------------------------------------------------------- */

static SIMD void
NAME (convert_chunk) (const float *restrict from, T *restrict to, gsize count)
{
  for (gsize i = 0; i < count; i++)
    to[i] = ROUND (from[i]);
}

static SIMD void
NAME (add_chunk) (const T *restrict from, T *restrict to, gsize count)
{
  for (gsize i = 0; i < count; i++)
    to[i] = ROUND (LOAD (to[i]) + LOAD (from[i]));
}

static void
NAME (convert) (int threads, const float *from, void *to, gsize count)
{
  const DuExtent flat = { threads, 1, count, 1 }, *e = &flat;

  FOR_CHUNKS (at, n, chunk)
    NAME (convert_chunk) (from + at, (T *) to + at, n);
}

static void
NAME (add) (int threads, const void *from, void *to, gsize count)
{
  const DuExtent flat = { threads, 1, count, 1 }, *e = &flat;

  FOR_CHUNKS (at, n, chunk)
    NAME (add_chunk) ((const T *) from + at, (T *) to + at, n);
}

static void
NAME (concat) (const DuExtent *e, const void *a, int a_channels, const void *b, int b_channels, void *to)
{
  const gsize a_size = a_channels * sizeof (T), b_size = b_channels * sizeof (T), size = a_size + b_size;

  FOR_CHUNKS (at, count, chunk)
    for (gsize pixel = at; pixel < at + count; pixel++) {
      copy_pixel ((char *) to + pixel * size, (const char *) a + pixel * a_size, a_size);
      copy_pixel ((char *) to + pixel * size + a_size, (const char *) b + pixel * b_size, b_size);
    }
}

/* ---- pool ------------------------------------------------------------------------------------- */

static inline gboolean
NAME (beats) (float value, float best)
{
  return value > best || value != value;
}

static inline void
NAME (pool_pixel) (const T *restrict top, const T *restrict bottom, T *restrict output, int channels,
    int count)
{
  for (int c = 0; c < count; c++) {
    float best = LOAD (top[c]);

    best = NAME (beats) (LOAD (top[c + channels]), best) ? LOAD (top[c + channels]) : best;
    best = NAME (beats) (LOAD (bottom[c]), best) ? LOAD (bottom[c]) : best;
    best = NAME (beats) (LOAD (bottom[c + channels]), best) ? LOAD (bottom[c + channels]) : best;
    output[c] = ROUND (best);
  }
}

static SIMD void
NAME (pool_row) (const T *restrict top, const T *restrict bottom, T *restrict output, int width, int channels)
{
  const int few = 8;

  for (int x = 0; x < width; x++, top += 2 * channels, bottom += 2 * channels, output += channels)
    if (channels == few)
      NAME (pool_pixel) (top, bottom, output, few, few); /* constants, for vectors as narrow */
    else
      NAME (pool_pixel) (top, bottom, output, channels, channels);
}

static SIMD void
NAME (pool_row_positions) (const T *restrict top, const T *restrict bottom, T *restrict output,
    guint8 *restrict positions, int width, int channels)
{
  for (int x = 0; x < width; x++)
    for (int c = 0; c < channels; c++) {
      const gsize left = (gsize) 2 * x * channels + c, right = left + channels;
      float best = LOAD (top[left]), value;
      gboolean beats;
      guint32 position = 0;

      value = LOAD (top[right]);
      beats = NAME (beats) (value, best);
      best = beats ? value : best;
      position = beats ? 1 : position;
      value = LOAD (bottom[left]);
      beats = NAME (beats) (value, best);
      best = beats ? value : best;
      position = beats ? 2 : position;
      value = LOAD (bottom[right]);
      beats = NAME (beats) (value, best);
      best = beats ? value : best;
      position = beats ? 3 : position;
      output[(gsize) x * channels + c] = ROUND (best);
      positions[(gsize) x * channels + c] = position;
    }
}

static void
NAME (pool) (const DuExtent *e, const void *input, void *output, guint8 *positions)
{
  const gsize line = (gsize) e->width * e->channels;

#pragma omp parallel for schedule(static) num_threads(e->threads)
  for (gsize y = 0; y < e->rows; y++) {
    const T *top = (const T *) input + y * 4 * line;

    if (positions)
      NAME (pool_row_positions) (top, top + 2 * line, (T *) output + y * line, positions + y * line, e->width,
          e->channels);
    else
      NAME (pool_row) (top, top + 2 * line, (T *) output + y * line, e->width, e->channels);
  }
}

/* The two pixels of one line that a row of windows covers: positions first and first + 1. */
static SIMD void
NAME (unpool_row) (const T *restrict gradient, const guint8 *restrict positions, T *restrict to, int first,
    int width, int channels, gboolean accumulate)
{
  for (int x = 0; x < width; x++)
    for (int side = 0; side < 2; side++) {
      const T *from = gradient + (gsize) x * channels;
      const guint8 *position = positions + (gsize) x * channels;
      T *out = to + (gsize) (2 * x + side) * channels;
      const int wanted = first + side;

      if (accumulate)
        for (int c = 0; c < channels; c++)
          out[c] = ROUND (LOAD (out[c]) + (position[c] == wanted ? LOAD (from[c]) : 0));
      else
        for (int c = 0; c < channels; c++)
          out[c] = position[c] == wanted ? from[c] : 0;
    }
}

static void
NAME (pool_backward) (const DuExtent *e, const void *gradient_output, const guint8 *positions,
    void *gradient_input, gboolean accumulate)
{
  const gsize line = (gsize) e->width * e->channels;

#pragma omp parallel for schedule(static) num_threads(e->threads)
  for (gsize y = 0; y < 2 * e->rows; y++)
    NAME (unpool_row) ((const T *) gradient_output + y / 2 * line, positions + y / 2 * line,
        (T *) gradient_input + y * 2 * line, y % 2 * 2, e->width, e->channels, accumulate);
}

/* ---- pixel shuffle ---------------------------------------------------------------------------- */

static void
NAME (shuffle) (const DuExtent *e, const void *split, void *full)
{
  const gsize pair = 2 * (gsize) e->channels, line = (gsize) e->width * e->channels;

#pragma omp parallel for schedule(static) num_threads(e->threads)
  for (gsize y = 0; y < e->rows; y++) {
    const T *from = (const T *) split + y / 2 * 2 * line + y % 2 * pair;
    T *to = (T *) full + y * line;

    for (int x = 0; x < e->width / 2; x++)
      memcpy (to + x * pair, from + x * 2 * pair, pair * sizeof (T));
  }
}

static SIMD void
NAME (unshuffle_pixels) (const DuExtent *e, const T *restrict full, T *restrict split, gsize at, gsize count,
    float *restrict sums)
{
  const int channels = e->channels, half = e->width / 2;

  memset (sums, 0, channels * sizeof *sums);
  for (gsize pixel = at; pixel < at + count; pixel++) {
    const gsize y = pixel / e->width, x = pixel % e->width;
    const T *from = full + pixel * channels;
    T *to = split + (((y / 2 * half + x / 2) * 2 + y % 2) * 2 + x % 2) * channels;

    for (int c = 0; c < channels; c++) {
      sums[c] += LOAD (from[c]);
      to[c] = from[c];
    }
  }
}

static void
NAME (unshuffle) (const DuExtent *e, const void *full, void *split, float *sums, float *partials)
{
  FOR_CHUNKS (at, count, chunk)
    NAME (unshuffle_pixels) (e, full, split, at, count, partials + chunk * e->channels);
  sum_partials (e, partials, e->channels, e->channels, sums);
}

/* ---- ReLU and batch normalisation ------------------------------------------------------------- */

static SIMD void
NAME (relu_backward_chunk) (const T *restrict values, T *restrict gradient, gsize pixels, int channels,
    float *restrict sums)
{
  memset (sums, 0, channels * sizeof *sums);
  for (gsize pixel = 0; pixel < pixels; pixel++)
    for (int c = 0; c < channels; c++) {
      const gsize i = pixel * channels + c;
      float g = LOAD (values[i]) > 0 ? LOAD (gradient[i]) : 0;

      sums[c] += g;
      gradient[i] = ROUND (g);
    }
}

static void
NAME (relu_backward) (const DuExtent *e, const void *values, void *gradient, float *sums, float *partials)
{
  FOR_CHUNKS (at, count, chunk)
    NAME (relu_backward_chunk) ((const T *) values + at * e->channels, (T *) gradient + at * e->channels,
        count, e->channels, partials + chunk * e->channels);
  sum_partials (e, partials, e->channels, e->channels, sums);
}

/* Mean and sum of squared deviations of one chunk. */
static SIMD void
NAME (statistics_chunk) (const T *restrict values, gsize pixels, int channels, float *restrict mean,
    float *restrict squares)
{
  memset (mean, 0, channels * sizeof *mean);
  memset (squares, 0, channels * sizeof *squares);
  for (gsize pixel = 0; pixel < pixels; pixel++)
    for (int c = 0; c < channels; c++)
      mean[c] += LOAD (values[pixel * channels + c]);
  for (int c = 0; c < channels; c++)
    mean[c] /= pixels;
  for (gsize pixel = 0; pixel < pixels; pixel++)
    for (int c = 0; c < channels; c++) {
      float d = LOAD (values[pixel * channels + c]) - mean[c];

      squares[c] += d * d;
    }
}

static void
NAME (statistics) (const DuExtent *e, const void *values, float *mean, float *variance, float *partials)
{
  const gsize step = 2 * (gsize) e->channels, n = n_pixels (e), each = chunk_pixels (e),
              chunks = n_chunks (e);

  FOR_CHUNKS (at, count, chunk)
    NAME (statistics_chunk) ((const T *) values + at * e->channels, count, e->channels,
        partials + chunk * step, partials + chunk * step + e->channels);
  /* Parallel variance, Chan, Golub and LeVeque 1979. */
  for (int c = 0; c < e->channels; c++) {
    double sum = 0, squares = 0;

    for (gsize chunk = 0; chunk < chunks; chunk++)
      sum += (double) partials[chunk * step + c] * MIN (each, n - chunk * each);
    sum /= n;
    for (gsize chunk = 0; chunk < chunks; chunk++) {
      double d = partials[chunk * step + c] - sum;

      squares += partials[chunk * step + e->channels + c] + d * d * MIN (each, n - chunk * each);
    }
    mean[c] = (float) sum;
    variance[c] = (float) (squares / n);
  }
}

static SIMD void
NAME (normalise_chunk) (const T *restrict from, const float *restrict mean, const float *restrict scale,
    const float *restrict shift, T *restrict to, gsize pixels, int channels)
{
  for (gsize pixel = 0; pixel < pixels; pixel++)
    for (int c = 0; c < channels; c++)
      to[pixel * channels + c] = ROUND ((LOAD (from[pixel * channels + c]) - mean[c]) * scale[c] + shift[c]);
}

static void
NAME (normalise) (const DuExtent *e, const void *from, const float *mean, const float *scale,
    const float *shift, void *to)
{
  FOR_CHUNKS (at, count, chunk)
    NAME (normalise_chunk) ((const T *) from + at * e->channels, mean, scale, shift,
        (T *) to + at * e->channels, count, e->channels);
}

static SIMD void
NAME (bn_sums_chunk) (const T *restrict values, const T *restrict gradient, const float *restrict mean,
    gsize pixels, int channels, float *restrict sums, float *restrict products)
{
  memset (sums, 0, channels * sizeof *sums);
  memset (products, 0, channels * sizeof *products);
  for (gsize pixel = 0; pixel < pixels; pixel++)
    for (int c = 0; c < channels; c++) {
      const float g = LOAD (gradient[pixel * channels + c]);

      sums[c] += g;
      products[c] += g * (LOAD (values[pixel * channels + c]) - mean[c]);
    }
}

/* gradient = values > 0 ? scale * gradient + slope * (values - mean) + offset : 0 */
static SIMD void
NAME (bn_backward_chunk) (const T *restrict values, const float *restrict mean, const float *restrict scale,
    const float *restrict slope, const float *restrict offset, T *restrict gradient, gsize pixels,
    int channels, float *restrict sums)
{
  memset (sums, 0, channels * sizeof *sums);
  for (gsize pixel = 0; pixel < pixels; pixel++)
    for (int c = 0; c < channels; c++) {
      const gsize i = pixel * channels + c;
      const float value = LOAD (values[i]);
      float g = scale[c] * LOAD (gradient[i]) + slope[c] * (value - mean[c]) + offset[c];

      g = value > 0 ? g : 0;
      sums[c] += g;
      gradient[i] = ROUND (g);
    }
}

static void
NAME (bn_backward) (const DuExtent *e, const void *values, const float *mean, const float *deviation,
    const float *bn_scale, void *gradient, float *gradient_scale, float *gradient_shift, float *sums,
    float *partials)
{
  const int channels = e->channels;
  const gsize step = 2 * (gsize) channels;
  const double n = n_pixels (e);
  g_autofree float *factors = g_new (float, 3 * (gsize) channels);
  float *scale = factors, *slope = scale + channels, *offset = slope + channels;

  FOR_CHUNKS (at, count, chunk)
    NAME (bn_sums_chunk) ((const T *) values + at * channels, (const T *) gradient + at * channels, mean,
        count, channels, partials + chunk * step, partials + chunk * step + channels);
  sum_partials (e, partials, step, channels, gradient_shift);
  sum_partials (e, partials + channels, step, channels, gradient_scale);
  for (int c = 0; c < channels; c++) {
    gradient_scale[c] /= deviation[c];
    scale[c] = bn_scale[c] / deviation[c];
    slope[c] = (float) (-scale[c] * (gradient_scale[c] / deviation[c]) / n);
    offset[c] = (float) (-scale[c] * gradient_shift[c] / n);
  }
  FOR_CHUNKS (at, count, chunk)
    NAME (bn_backward_chunk) ((const T *) values + at * channels, mean, scale, slope, offset,
        (T *) gradient + at * channels, count, channels, partials + chunk * channels);
  sum_partials (e, partials, channels, channels, sums);
}

/* ---- head ------------------------------------------------------------------------------------- */

static SIMD void
NAME (head_chunk) (const DuHeadForward *args, gsize at, gsize pixels, int channels)
{
  const float *w0 = args->weights, *w1 = w0 + du_head_pitch (channels), *w2 = w1 + du_head_pitch (channels);
  const Vector b0 = { args->bias[0] }, b1 = { args->bias[1] }, b2 = { args->bias[2] };
  const gsize samples = pixels * DU_PICTURE_CHANNELS;
  float *output = args->output + at * DU_PICTURE_CHANNELS;

  for (gsize first = 0; first < pixels; first += LANES) {
    const int count = MIN (LANES, pixels - first);
    Vector sums[LANES * DU_PICTURE_CHANNELS];

    for (int pixel = 0; pixel < count; pixel++) {
      const T *input = (const T *) args->input + (at + first + pixel) * channels;
      Vector s0 = b0, s1 = b1, s2 = b2;

      for (int c = 0; c < channels; c += LANES) {
        T rest[LANES] = { 0 };
        Vector value;

        if (channels - c >= LANES) {
          value = WIDEN (input + c);
        } else if (channels - c == LANES / 2) { /* not through memory: the network of least width */
          value = EXTEND (WIDEN_HALF (input + c));
        } else {
          memcpy (rest, input + c, (channels - c) * sizeof (T));
          value = WIDEN (rest);
        }
        s0 += value * *(const Vector *) (w0 + c);
        s1 += value * *(const Vector *) (w1 + c);
        s2 += value * *(const Vector *) (w2 + c);
      }
      sums[pixel * DU_PICTURE_CHANNELS] = s0;
      sums[pixel * DU_PICTURE_CHANNELS + 1] = s1;
      sums[pixel * DU_PICTURE_CHANNELS + 2] = s2;
    }
    for (int i = count * DU_PICTURE_CHANNELS; i < LANES * DU_PICTURE_CHANNELS; i++)
      sums[i] = (Vector){ 0 };
    for (int k = 0; k < DU_PICTURE_CHANNELS; k++)
      add_lanes (sums + k * LANES, sums + k);
    memcpy (output + first * DU_PICTURE_CHANNELS, sums, count * DU_PICTURE_CHANNELS * sizeof (float));
  }
  if (args->head == DU_HEAD_SIGMOID)
    apply_sigmoid (output, samples);
  else
    add_picture (args->picture + at * DU_PICTURE_CHANNELS, output, samples);
}

static void
NAME (head) (const DuExtent *e, const DuHeadForward *args)
{
  FOR_CHUNKS (at, count, chunk)
    NAME (head_chunk) (args, at, count, e->channels);
}

/* sums: [3, channels] of the weights, then [3] of the bias. */
static SIMD void
NAME (head_backward_chunk) (const DuHeadBackward *args, gsize at, gsize pixels, int channels,
    float *restrict sums)
{
  const int pitch = du_head_pitch (channels);
  const float *w0 = args->weights, *w1 = w0 + pitch, *w2 = w1 + pitch;
  float *d0 = sums, *d1 = d0 + channels, *d2 = d1 + channels, *bias = d2 + channels;

  memset (sums, 0, DU_PICTURE_CHANNELS * (channels + 1) * sizeof *sums);
  for (gsize pixel = at; pixel < at + pixels; pixel++) {
    const T *input = (const T *) args->input + pixel * channels;
    T *to = (T *) args->gradient_input + pixel * channels;
    float g[DU_PICTURE_CHANNELS];

    for (int k = 0; k < DU_PICTURE_CHANNELS; k++) {
      const float y = args->output[pixel * DU_PICTURE_CHANNELS + k];

      g[k] = args->gradient_output[pixel * DU_PICTURE_CHANNELS + k];
      if (args->head == DU_HEAD_SIGMOID)
        g[k] *= y * (1 - y);
      bias[k] += g[k];
    }
    for (int c = 0; c < channels; c++) {
      const float value = LOAD (input[c]);

      d0[c] += g[0] * value;
      d1[c] += g[1] * value;
      d2[c] += g[2] * value;
    }
    if (!args->gradient_input)
      continue;
    if (args->accumulate)
      for (int c = 0; c < channels; c++)
        to[c] = ROUND (LOAD (to[c]) + g[0] * w0[c] + g[1] * w1[c] + g[2] * w2[c]);
    else
      for (int c = 0; c < channels; c++)
        to[c] = ROUND (g[0] * w0[c] + g[1] * w1[c] + g[2] * w2[c]);
  }
}

static void
NAME (head_backward) (const DuExtent *e, const DuHeadBackward *args, float *partials)
{
  const gsize count_weights = DU_PICTURE_CHANNELS * (gsize) e->channels;
  const gsize step = count_weights + DU_PICTURE_CHANNELS;

  FOR_CHUNKS (at, count, chunk)
    NAME (head_backward_chunk) (args, at, count, e->channels, partials + chunk * step);
  sum_partials (e, partials, step, count_weights, args->gradient_weights);
  sum_partials (e, partials + count_weights, step, DU_PICTURE_CHANNELS, args->gradient_bias);
}

const DuLoops NAME (du_loops) = {
  NAME (convert),
  NAME (add),
  NAME (concat),
  NAME (pool),
  NAME (pool_backward),
  NAME (shuffle),
  NAME (unshuffle),
  NAME (relu_backward),
  NAME (statistics),
  NAME (normalise),
  NAME (bn_backward),
  NAME (head),
  NAME (head_backward),
};

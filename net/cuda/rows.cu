/* Rows of the network that are no convolution: pool, pixel shuffle, head.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sums.cuh"

/* ---- pool ---------------------------------------------------------------------------------------- */

/* A block per line of the output. */
template <int V, typename T>
__global__ void
pool (unsigned width, unsigned channels, const T *input, T *output, uint8_t *positions)
{
  const unsigned line = width * channels;
  const T *top = input + (size_t) blockIdx.x * 4 * line;

  for (unsigned i = threadIdx.x * V; i < line; i += blockDim.x * V) {
    const T *left = top + i / channels * 2 * channels + i % channels;
    const T *const window[] = { left, left + channels, left + 2 * line, left + 2 * line + channels };
    DuVector<T, V> best = du_load<V> (left);
    DuVector<uint8_t, V> position = {};

    for (int q = 1; q < 4; q++) {
      const DuVector<T, V> values = du_load<V> (window[q]);

      for (int v = 0; v < V; v++) {
        const float value = du_value (values.at[v]);

        if (value > du_value (best.at[v]) || value != value) {
          best.at[v] = values.at[v];
          position.at[v] = q;
        }
      }
    }
    du_store<V> (best, output + (size_t) blockIdx.x * line + i);
    if (positions)
      du_store<V> (position, positions + (size_t) blockIdx.x * line + i);
  }
}

void
du_kernel_pool (
    cudaStream_t stream, const DuKernelExtent *e, const void *input, void *output, guint8 *positions)
{
  DU_WITH_TYPE (e->type, T, {
    const T *from = (const T *) input;
    T *to = (T *) output;

    if (e->channels % 8 == 0 && du_fits<8> (from) && du_fits<8> (to) && du_fits<8> (positions))
      DU_LAUNCH ((pool<8, T>), e->rows, DU_THREADS, stream, e->width, e->channels, from, to, positions);
    else
      DU_LAUNCH ((pool<1, T>), e->rows, DU_THREADS, stream, e->width, e->channels, from, to, positions);
  });
}

/* A block per line of windows. */
template <int V, typename T>
__global__ void
pool_backward (unsigned width, unsigned channels, const T *gradient_output, const uint8_t *positions,
    T *gradient_input, bool accumulate)
{
  const unsigned line = width * channels;
  T *top = gradient_input + (size_t) blockIdx.x * 4 * line;

  for (unsigned i = threadIdx.x * V; i < line; i += blockDim.x * V) {
    const DuVector<T, V> gradient = du_load<V> (gradient_output + (size_t) blockIdx.x * line + i);
    const DuVector<uint8_t, V> position = du_load<V> (positions + (size_t) blockIdx.x * line + i);
    T *left = top + i / channels * 2 * channels + i % channels;
    T *const window[] = { left, left + channels, left + 2 * line, left + 2 * line + channels };

    for (int q = 0; q < 4; q++) {
      DuVector<T, V> values = {};

      if (accumulate)
        values = du_load<V> (window[q]);
      for (int v = 0; v < V; v++)
        if (position.at[v] == q)
          du_round (du_value (values.at[v]) + du_value (gradient.at[v]), &values.at[v]);
      du_store<V> (values, window[q]);
    }
  }
}

void
du_kernel_pool_backward (cudaStream_t stream, const DuKernelExtent *e, const void *gradient_output,
    const guint8 *positions, void *gradient_input, gboolean accumulate)
{
  DU_WITH_TYPE (e->type, T, {
    const T *from = (const T *) gradient_output;
    T *to = (T *) gradient_input;

    if (e->channels % 8 == 0 && du_fits<8> (from) && du_fits<8> (to) && du_fits<8> (positions))
      DU_LAUNCH ((pool_backward<8, T>), e->rows, DU_THREADS, stream, e->width, e->channels, from, positions,
          to, accumulate);
    else
      DU_LAUNCH ((pool_backward<1, T>), e->rows, DU_THREADS, stream, e->width, e->channels, from, positions,
          to, accumulate);
  });
}

/* ---- pixel shuffle ---------------------------------------------------------------------------------- */

/* Elements of split before a pixel of full. */
__device__ static inline size_t
split_index (size_t row, unsigned x, unsigned width, int split_pitch)
{
  return (((row / 2 * (width / 2) + x / 2) * 2 + row % 2) * 2 + x % 2) * split_pitch;
}

/* A block per line of full. */
template <int V, typename T>
__global__ void
shuffle (
    unsigned width, unsigned channels, const T *split, int split_pitch, const float *bias, T *full, int pitch)
{
  for (unsigned i = threadIdx.x * V; i < width * channels; i += blockDim.x * V) {
    const unsigned x = i / channels, c = i % channels;
    DuVector<T, V> values = du_load<V> (split + split_index (blockIdx.x, x, width, split_pitch) + c);

    for (int v = 0; bias && v < V; v++)
      du_round (du_value (values.at[v]) + bias[c + v], &values.at[v]);
    du_store<V> (values, full + ((size_t) blockIdx.x * width + x) * pitch + c);
  }
}

void
du_kernel_shuffle (cudaStream_t stream, const DuKernelExtent *e, const void *split, int split_pitch,
    const float *bias, void *full, int pitch)
{
  DU_WITH_TYPE (e->type, T, {
    const T *from = (const T *) split;
    T *to = (T *) full;

    if ((e->channels | split_pitch | pitch) % 8 == 0 && du_fits<8> (from) && du_fits<8> (to))
      DU_LAUNCH ((shuffle<8, T>), e->rows, DU_THREADS, stream, e->width, e->channels, from, split_pitch, bias,
          to, pitch);
    else
      DU_LAUNCH ((shuffle<1, T>), e->rows, DU_THREADS, stream, e->width, e->channels, from, split_pitch, bias,
          to, pitch);
  });
}

/* Sums of full's values along the way. */
template <int V, typename T>
__global__ void
unshuffle (DuChunks chunks, unsigned width, unsigned channels, const T *full, T *split, int split_pitch,
    double *partials)
{
  DU_FOR_CHUNKS (job, chunks, channels / V) {
    const DuChunk chunk = du_chunk (chunks, channels / V, job);
    const unsigned c = chunk.lane * V;
    size_t row = chunk.first / width;
    unsigned x = chunk.first % width;
    float sums[V] = {};

    for (size_t pixel = chunk.first; pixel < chunk.end; pixel++) {
      const DuVector<T, V> values = du_load<V> (full + pixel * channels + c);
      T *to = split + split_index (row, x, width, split_pitch);

      for (int v = 0; v < V; v++)
        sums[v] += du_value (values.at[v]);
      du_store<V> (values, to + c);
      /* The first lane has the zeros behind the channels to do too. */
      for (int zero = channels; chunk.lane == 0 && zero < split_pitch; zero++)
        du_round (0, to + zero);
      if (++x == width) {
        x = 0;
        row++;
      }
    }
    for (int v = 0; v < V; v++)
      partials[(size_t) chunk.index * channels + c + v] = sums[v];
  }
}

void
du_kernel_unshuffle (cudaStream_t stream, const DuKernelExtent *e, const void *full, void *split,
    int split_pitch, float *gradient_bias, void *scratch)
{
  const DuChunks chunks = du_chunks (e);
  double *partials = (double *) scratch;

  DU_WITH_TYPE (e->type, T, {
    const T *from = (const T *) full;
    T *to = (T *) split;

    if ((e->channels | split_pitch) % 8 == 0 && du_fits<8> (from) && du_fits<8> (to))
      DU_LAUNCH ((unshuffle<8, T>), du_blocks ((size_t) chunks.n * e->channels / 8), DU_THREADS, stream,
          chunks, e->width, e->channels, from, to, split_pitch, partials);
    else
      DU_LAUNCH ((unshuffle<1, T>), du_blocks ((size_t) chunks.n * e->channels), DU_THREADS, stream, chunks,
          e->width, e->channels, from, to, split_pitch, partials);
  });
  du_sum_rows (stream, partials, chunks.n, e->channels, gradient_bias);
}

/* ---- head ---------------------------------------------------------------------------------------------- */

enum
{
  HEAD_PIXELS = 4, /* of a thread: as many uses of each weight that it reads */
};

template <int V, typename T>
__global__ void
head (DuKernelHead args, size_t pixels, unsigned channels)
{
  const T *input = (const T *) args.input;
  /* Neighbouring threads have neighbouring pixels; a thread's own are a round apart. */
  const size_t round = DU_ALL_THREADS;

  for (size_t start = DU_THREAD; start < pixels; start += round * HEAD_PIXELS) {
    float sums[HEAD_PIXELS][DU_PICTURE_CHANNELS];

    for (int p = 0; p < HEAD_PIXELS; p++)
      for (int k = 0; k < DU_PICTURE_CHANNELS; k++)
        sums[p][k] = args.bias[k];
    for (unsigned c = 0; c < channels; c += V) {
      DuVector<T, V> values[HEAD_PIXELS] = {};

      for (int p = 0; p < HEAD_PIXELS; p++)
        if (start + p * round < pixels)
          values[p] = du_load<V> (input + (start + p * round) * channels + c);
      for (int v = 0; v < V; v++)
        for (int k = 0; k < DU_PICTURE_CHANNELS; k++) {
          const float weight = args.weights[k * channels + c + v];

          for (int p = 0; p < HEAD_PIXELS; p++)
            sums[p][k] += du_value (values[p].at[v]) * weight;
        }
    }
    for (int p = 0; p < HEAD_PIXELS && start + p * round < pixels; p++)
      for (int k = 0; k < DU_PICTURE_CHANNELS; k++) {
        const size_t at = (start + p * round) * DU_PICTURE_CHANNELS + k;

        args.output[at]
            = args.head == DU_HEAD_SIGMOID ? 1 / (1 + expf (-sums[p][k])) : args.picture[at] + sums[p][k];
      }
  }
}

void
du_kernel_head (cudaStream_t stream, const DuKernelExtent *e, const DuKernelHead *args)
{
  const size_t pixels = e->rows * e->width;
  const unsigned blocks = du_blocks ((pixels + HEAD_PIXELS - 1) / HEAD_PIXELS);

  DU_WITH_TYPE (e->type, T, {
    if (e->channels % 8 == 0 && du_fits<8> ((const T *) args->input))
      DU_LAUNCH ((head<8, T>), blocks, DU_THREADS, stream, *args, pixels, e->channels);
    else
      DU_LAUNCH ((head<1, T>), blocks, DU_THREADS, stream, *args, pixels, e->channels);
  });
}

/* A chunk's sums: [3, channels] of the weights, then [3] of the bias, which the first lane has to do. */
template <int V, typename T>
__global__ void
head_backward (DuChunks chunks, DuKernelHeadBackward args, unsigned channels, double *partials)
{
  DU_FOR_CHUNKS (job, chunks, channels / V) {
    const DuChunk chunk = du_chunk (chunks, channels / V, job);
    const unsigned c = chunk.lane * V;
    double *sums = partials + (size_t) chunk.index * DU_PICTURE_CHANNELS * (channels + 1);
    float weights[DU_PICTURE_CHANNELS][V], by_weight[DU_PICTURE_CHANNELS][V] = {};
    float by_bias[DU_PICTURE_CHANNELS] = {};

    for (int k = 0; k < DU_PICTURE_CHANNELS; k++)
      for (int v = 0; v < V; v++)
        weights[k][v] = args.weights[k * channels + c + v];
    for (size_t pixel = chunk.first; pixel < chunk.end; pixel++) {
      const DuVector<T, V> values = du_load<V> ((const T *) args.input + pixel * channels + c);
      float g[DU_PICTURE_CHANNELS];

      for (int k = 0; k < DU_PICTURE_CHANNELS; k++) {
        const float y = args.output[pixel * DU_PICTURE_CHANNELS + k];

        g[k] = args.gradient_output[pixel * DU_PICTURE_CHANNELS + k];
        if (args.head == DU_HEAD_SIGMOID)
          g[k] *= y * (1 - y);
        by_bias[k] += g[k];
        for (int v = 0; v < V; v++)
          by_weight[k][v] += g[k] * du_value (values.at[v]);
      }
      if (args.gradient_input) {
        T *to = (T *) args.gradient_input + pixel * channels + c;
        DuVector<T, V> gradient = {};

        if (args.accumulate)
          gradient = du_load<V> (to);
        for (int v = 0; v < V; v++)
          du_round (
              du_value (gradient.at[v]) + g[0] * weights[0][v] + g[1] * weights[1][v] + g[2] * weights[2][v],
              &gradient.at[v]);
        du_store<V> (gradient, to);
      }
    }
    for (int k = 0; k < DU_PICTURE_CHANNELS; k++) {
      for (int v = 0; v < V; v++)
        sums[k * channels + c + v] = by_weight[k][v];
      if (chunk.lane == 0)
        sums[DU_PICTURE_CHANNELS * channels + k] = by_bias[k];
    }
  }
}

__global__ void
finish_head_backward (const double *sums, unsigned n_weights, float *weights, float *bias)
{
  for (unsigned i = DU_THREAD; i < n_weights + DU_PICTURE_CHANNELS; i += DU_ALL_THREADS)
    *(i < n_weights ? weights + i : bias + i - n_weights) = (float) sums[i];
}

void
du_kernel_head_backward (
    cudaStream_t stream, const DuKernelExtent *e, const DuKernelHeadBackward *args, void *scratch)
{
  const DuChunks chunks = du_chunks (e);
  const unsigned n_weights = DU_PICTURE_CHANNELS * e->channels;
  double *partials = (double *) scratch;
  const double *sums;

  DU_WITH_TYPE (e->type, T, {
    if (e->channels % 8 == 0 && du_fits<8> ((const T *) args->input)
        && du_fits<8> ((const T *) args->gradient_input))
      DU_LAUNCH ((head_backward<8, T>), du_blocks ((size_t) chunks.n * e->channels / 8), DU_THREADS, stream,
          chunks, *args, e->channels, partials);
    else
      DU_LAUNCH ((head_backward<1, T>), du_blocks ((size_t) chunks.n * e->channels), DU_THREADS, stream,
          chunks, *args, e->channels, partials);
  });
  sums = du_sum_rows (stream, partials, chunks.n, n_weights + DU_PICTURE_CHANNELS, NULL);
  DU_LAUNCH ((finish_head_backward), du_blocks (n_weights), DU_THREADS, stream, sums, n_weights,
      args->gradient_weights, args->gradient_bias);
}

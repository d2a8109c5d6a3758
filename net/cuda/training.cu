/* ReLU and batch normalisation in training.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sums.cuh"

/* ---- ReLU ------------------------------------------------------------------------------------------ */

/* A block per line. NaN passes, so that a diverged network shows. */
template <int V, typename T>
__global__ void
relu (unsigned width, unsigned channels, const float *bias, T *values)
{
  T *line = values + (size_t) blockIdx.x * width * channels;

  for (unsigned i = threadIdx.x * V; i < width * channels; i += blockDim.x * V) {
    DuVector<T, V> vector = du_load<V> (line + i);
    const unsigned c = i % channels;

    for (int v = 0; v < V; v++) {
      const float value = du_value (vector.at[v]) + (bias ? bias[c + v] : 0);

      du_round (value < 0 ? 0 : value, &vector.at[v]);
    }
    du_store<V> (vector, line + i);
  }
}

void
du_kernel_relu (cudaStream_t stream, const DuKernelExtent *e, const float *bias, void *values)
{
  DU_WITH_TYPE (e->type, T, {
    T *to = (T *) values;

    if (e->channels % 8 == 0 && du_fits<8> (to))
      DU_LAUNCH ((relu<8, T>), e->rows, DU_THREADS, stream, e->width, e->channels, bias, to);
    else
      DU_LAUNCH ((relu<1, T>), e->rows, DU_THREADS, stream, e->width, e->channels, bias, to);
  });
}

template <int V, typename T>
__global__ void
relu_backward (DuChunks chunks, unsigned channels, const T *values, T *gradient, double *partials)
{
  DU_FOR_CHUNKS (job, chunks, channels / V) {
    const DuChunk chunk = du_chunk (chunks, channels / V, job);
    const unsigned c = chunk.lane * V;
    float sums[V] = {};

    for (size_t pixel = chunk.first; pixel < chunk.end; pixel++) {
      const DuVector<T, V> value = du_load<V> (values + pixel * channels + c);
      DuVector<T, V> g = du_load<V> (gradient + pixel * channels + c);

      for (int v = 0; v < V; v++) {
        if (du_value (value.at[v]) <= 0)
          g.at[v] = T{};
        sums[v] += du_value (g.at[v]);
      }
      du_store<V> (g, gradient + pixel * channels + c);
    }
    for (int v = 0; v < V; v++)
      partials[(size_t) chunk.index * channels + c + v] = sums[v];
  }
}

void
du_kernel_relu_backward (cudaStream_t stream, const DuKernelExtent *e, const void *values, void *gradient,
    float *gradient_bias, void *scratch)
{
  const DuChunks chunks = du_chunks (e);
  double *partials = (double *) scratch;

  DU_WITH_TYPE (e->type, T, {
    const T *from = (const T *) values;
    T *to = (T *) gradient;

    if (e->channels % 8 == 0 && du_fits<8> (from) && du_fits<8> (to))
      DU_LAUNCH ((relu_backward<8, T>), du_blocks ((size_t) chunks.n * e->channels / 8), DU_THREADS, stream,
          chunks, e->channels, from, to, partials);
    else
      DU_LAUNCH ((relu_backward<1, T>), du_blocks ((size_t) chunks.n * e->channels), DU_THREADS, stream,
          chunks, e->channels, from, to, partials);
  });
  du_sum_rows (stream, partials, chunks.n, e->channels, gradient_bias);
}

/* ---- batch normalisation, forward --------------------------------------------------------------------- */

/* Sums of the differences from each channel's first value, and of their squares: [2][channels] per chunk. One
 * pass is enough, for in double no more than log10 (pixels) of 16 digits can cancel: that value is one of
 * those whose variance is wanted, so its distance from the mean is at most sqrt (pixels) deviations. */
template <int V, typename T>
__global__ void
sum_moments (DuChunks chunks, unsigned channels, const T *values, double *partials)
{
  DU_FOR_CHUNKS (job, chunks, channels / V) {
    const DuChunk chunk = du_chunk (chunks, channels / V, job);
    const unsigned c = chunk.lane * V;
    double *to = partials + (size_t) chunk.index * 2 * channels + c;
    const DuVector<T, V> origin = du_load<V> (values + c);
    double sums[V] = {}, squares[V] = {};

    for (size_t pixel = chunk.first; pixel < chunk.end; pixel++) {
      const DuVector<T, V> value = du_load<V> (values + pixel * channels + c);

      for (int v = 0; v < V; v++) {
        const double d = (double) du_value (value.at[v]) - du_value (origin.at[v]);

        sums[v] += d;
        squares[v] += d * d;
      }
    }
    for (int v = 0; v < V; v++) {
      to[v] = sums[v];
      to[channels + v] = squares[v];
    }
  }
}

template <typename T>
__global__ void
finish_moments (const double *sums, size_t pixels, unsigned channels, const T *values,
    DuKernelMoments moments, float *statistics)
{
  for (unsigned c = DU_THREAD; c < channels; c += DU_ALL_THREADS) {
    const double distance = sums[c] / pixels;
    const double squares = sums[channels + c] - distance * sums[c];
    const double positive = squares < 0 ? 0 : squares; /* NaN stays */

    moments.mean[c] = statistics[c] = (float) (du_value (values[c]) + distance);
    statistics[channels + c] = (float) (positive / (pixels > 1 ? pixels - 1 : 1));
    moments.deviation[c] = (float) sqrt (positive / pixels + DU_BN_EPSILON);
  }
}

void
du_kernel_moments (cudaStream_t stream, const DuKernelExtent *e, const void *values,
    const DuKernelMoments *moments, float *statistics, void *scratch)
{
  const DuChunks chunks = du_chunks (e);
  double *partials = (double *) scratch;

  DU_WITH_TYPE (e->type, T, {
    const T *from = (const T *) values;
    const double *sums;

    if (e->channels % 4 == 0 && du_fits<4> (from))
      DU_LAUNCH ((sum_moments<4, T>), du_blocks ((size_t) chunks.n * e->channels / 4), DU_THREADS, stream,
          chunks, e->channels, from, partials);
    else
      DU_LAUNCH ((sum_moments<1, T>), du_blocks ((size_t) chunks.n * e->channels), DU_THREADS, stream, chunks,
          e->channels, from, partials);
    sums = du_sum_rows (stream, partials, chunks.n, 2 * e->channels, NULL);
    DU_LAUNCH ((finish_moments<T>), du_blocks (e->channels), DU_THREADS, stream, sums, chunks.pixels,
        e->channels, from, *moments, statistics);
  });
}

/* A block per line. */
template <int V, typename T>
__global__ void
normalise (unsigned width, unsigned channels, const T *values, DuKernelMoments moments, const float *gamma,
    const float *beta, T *to)
{
  const size_t line = (size_t) blockIdx.x * width * channels;

  for (unsigned i = threadIdx.x * V; i < width * channels; i += blockDim.x * V) {
    DuVector<T, V> vector = du_load<V> (values + line + i);
    const unsigned c = i % channels;

    for (int v = 0; v < V; v++) {
      const float scale = gamma[c + v] / moments.deviation[c + v];

      du_round ((du_value (vector.at[v]) - moments.mean[c + v]) * scale + beta[c + v], &vector.at[v]);
    }
    du_store<V> (vector, to + line + i);
  }
}

void
du_kernel_normalise (cudaStream_t stream, const DuKernelExtent *e, const void *values,
    const DuKernelMoments *moments, const float *gamma, const float *beta, void *to)
{
  DU_WITH_TYPE (e->type, T, {
    const T *from = (const T *) values;
    T *result = (T *) to;

    if (e->channels % 8 == 0 && du_fits<8> (from) && du_fits<8> (result))
      DU_LAUNCH ((normalise<8, T>), e->rows, DU_THREADS, stream, e->width, e->channels, from, *moments, gamma,
          beta, result);
    else
      DU_LAUNCH ((normalise<1, T>), e->rows, DU_THREADS, stream, e->width, e->channels, from, *moments, gamma,
          beta, result);
  });
}

/* ---- batch normalisation, backward ----------------------------------------------------------------------
 */

/* Sums of the gradient and of its products with the normalised values: [2][channels] per chunk. */
template <int V, typename T>
__global__ void
sum_gradients (DuChunks chunks, unsigned channels, const T *values, DuKernelMoments moments,
    const T *gradient, double *partials)
{
  DU_FOR_CHUNKS (job, chunks, channels / V) {
    const DuChunk chunk = du_chunk (chunks, channels / V, job);
    const unsigned c = chunk.lane * V;
    double *to = partials + (size_t) chunk.index * 2 * channels + c;
    float mean[V], sums[V] = {}, products[V] = {};

    for (int v = 0; v < V; v++)
      mean[v] = moments.mean[c + v];
    for (size_t pixel = chunk.first; pixel < chunk.end; pixel++) {
      const DuVector<T, V> value = du_load<V> (values + pixel * channels + c);
      const DuVector<T, V> g = du_load<V> (gradient + pixel * channels + c);

      for (int v = 0; v < V; v++) {
        sums[v] += du_value (g.at[v]);
        products[v] += du_value (g.at[v]) * (du_value (value.at[v]) - mean[v]);
      }
    }
    for (int v = 0; v < V; v++) {
      to[v] = sums[v];
      to[channels + v] = (double) products[v] / moments.deviation[c + v];
    }
  }
}

/* gradient = values > 0 ? gamma / deviation * (gradient - (beta's + normalised values * gamma's) / pixels) :
 * 0, its sums along the way. sums: of all chunks, as above. */
template <int V, typename T>
__global__ void
apply_gradients (DuChunks chunks, unsigned channels, const T *values, DuKernelMoments moments,
    const float *gamma, const double *sums, T *gradient, double *partials)
{
  DU_FOR_CHUNKS (job, chunks, channels / V) {
    const DuChunk chunk = du_chunk (chunks, channels / V, job);
    const unsigned c = chunk.lane * V;
    float mean[V], scale[V], offset[V], slope[V], by_bias[V] = {};

    for (int v = 0; v < V; v++) {
      const double factor = (double) gamma[c + v] / moments.deviation[c + v];

      mean[v] = moments.mean[c + v];
      scale[v] = (float) factor;
      offset[v] = (float) (-factor * sums[c + v] / chunks.pixels);
      slope[v] = (float) (-factor * sums[channels + c + v] / moments.deviation[c + v] / chunks.pixels);
    }
    for (size_t pixel = chunk.first; pixel < chunk.end; pixel++) {
      const DuVector<T, V> value = du_load<V> (values + pixel * channels + c);
      DuVector<T, V> g = du_load<V> (gradient + pixel * channels + c);

      for (int v = 0; v < V; v++) {
        const float x = du_value (value.at[v]);
        const float product = scale[v] * du_value (g.at[v]) + slope[v] * (x - mean[v]) + offset[v];

        du_round (x <= 0 ? 0 : product, &g.at[v]);
        by_bias[v] += x <= 0 ? 0 : product;
      }
      du_store<V> (g, gradient + pixel * channels + c);
    }
    for (int v = 0; v < V; v++)
      partials[(size_t) chunk.index * channels + c + v] = by_bias[v];
  }
}

__global__ void
take_sums (const double *sums, unsigned channels, float *gradient_gamma, float *gradient_beta)
{
  for (unsigned c = DU_THREAD; c < channels; c += DU_ALL_THREADS) {
    gradient_beta[c] = (float) sums[c];
    gradient_gamma[c] = (float) sums[channels + c];
  }
}

void
du_kernel_normalise_backward (cudaStream_t stream, const DuKernelExtent *e, const void *values,
    const DuKernelMoments *moments, const float *gamma, void *gradient, float *gradient_gamma,
    float *gradient_beta, float *gradient_bias, void *scratch)
{
  const DuChunks chunks = du_chunks (e);
  const unsigned channels = e->channels;
  /* The sums of the first pass are read in the second, whose partials therefore stand behind them. */
  double *partials = (double *) scratch, *behind = partials + du_sum_rows_scratch (chunks.n, 2 * channels);
  const double *sums = NULL;

  DU_WITH_TYPE (e->type, T, {
    const T *from = (const T *) values;
    T *to = (T *) gradient;
    const bool wide = channels % 4 == 0 && du_fits<4> (from) && du_fits<4> (to);
    const unsigned blocks = du_blocks ((size_t) chunks.n * channels / (wide ? 4 : 1));

    if (wide)
      DU_LAUNCH (
          (sum_gradients<4, T>), blocks, DU_THREADS, stream, chunks, channels, from, *moments, to, partials);
    else
      DU_LAUNCH (
          (sum_gradients<1, T>), blocks, DU_THREADS, stream, chunks, channels, from, *moments, to, partials);
    sums = du_sum_rows (stream, partials, chunks.n, 2 * channels, NULL);
    if (wide)
      DU_LAUNCH ((apply_gradients<4, T>), blocks, DU_THREADS, stream, chunks, channels, from, *moments, gamma,
          sums, to, behind);
    else
      DU_LAUNCH ((apply_gradients<1, T>), blocks, DU_THREADS, stream, chunks, channels, from, *moments, gamma,
          sums, to, behind);
  });
  DU_LAUNCH (
      (take_sums), du_blocks (channels), DU_THREADS, stream, sums, channels, gradient_gamma, gradient_beta);
  du_sum_rows (stream, behind, chunks.n, channels, gradient_bias);
}

/* Copies with a change of type or of pitch, and parameters into the convolutions' layouts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.cuh"

/* ---- activations --------------------------------------------------------------------------------- */

template <int V, typename F, typename T>
__device__ static inline void
copy_values (const F *from, T *to, bool accumulate)
{
  const DuVector<F, V> values = du_load<V> (from);
  DuVector<T, V> result;

  if (accumulate)
    result = du_load<V> (to);
  for (int v = 0; v < V; v++) {
    float value = du_value (values.at[v]);

    du_round (accumulate ? du_value (result.at[v]) + value : value, &result.at[v]);
  }
  du_store<V> (result, to);
}

template <int V, typename F, typename T>
__global__ void
convert (const F *from, T *to, size_t count, bool accumulate)
{
  const size_t whole = count - count % V;

  for (size_t i = DU_THREAD * V; i < whole; i += DU_ALL_THREADS * V)
    copy_values<V> (from + i, to + i, accumulate);
  for (size_t i = whole + DU_THREAD; i < count; i += DU_ALL_THREADS)
    copy_values<1> (from + i, to + i, accumulate);
}

template <typename F, typename T>
static void
launch_convert (cudaStream_t stream, const F *from, T *to, size_t count, bool accumulate)
{
  if (du_fits<8> (from) && du_fits<8> (to))
    DU_LAUNCH ((convert<8, F, T>), du_blocks (count / 8), DU_THREADS, stream, from, to, count, accumulate);
  else
    DU_LAUNCH ((convert<1, F, T>), du_blocks (count), DU_THREADS, stream, from, to, count, accumulate);
}

void
du_kernel_convert (cudaStream_t stream, DuType from_type, const void *from, DuType to_type, void *to,
    gsize count, gboolean accumulate)
{
  if (count)
    DU_WITH_TYPE (from_type, F,
        DU_WITH_TYPE (to_type, T, launch_convert (stream, (const F *) from, (T *) to, count, accumulate)));
}

/* A block takes some pixels whole, so that divisions are of 32 bits. */
template <int V, typename F, typename T>
__global__ void
slice_channels (DuKernelSlice slice, unsigned pixels_per_block, const F *from, T *to)
{
  const size_t first = (size_t) blockIdx.x * pixels_per_block;
  const size_t left = slice.pixels - first;
  const unsigned lanes = (slice.channels + slice.zeros) / V;
  const unsigned count = (unsigned) (left < pixels_per_block ? left : pixels_per_block) * lanes;

  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
    const size_t pixel = first + i / lanes;
    const int channel = (int) (i % lanes) * V;
    T *target = to + pixel * slice.to_pitch + channel;

    if (channel < slice.channels) {
      copy_values<V> (from + pixel * slice.from_pitch + channel, target, slice.accumulate);
    } else {
      for (int v = 0; v < V; v++)
        du_round (0, target + v);
    }
  }
}

template <typename F, typename T>
static void
launch_slice (cudaStream_t stream, const DuKernelSlice *slice, const F *from, T *to)
{
  const int odd = slice->channels | slice->zeros | slice->from_pitch | slice->to_pitch;
  const unsigned lanes = slice->channels + slice->zeros;
  const unsigned pixels = lanes < 4096 ? 4096 / lanes : 1;
  const size_t blocks = (slice->pixels + pixels - 1) / pixels;

  if (odd % 8 == 0 && du_fits<8> (from) && du_fits<8> (to))
    DU_LAUNCH ((slice_channels<8, F, T>), blocks, DU_THREADS, stream, *slice, pixels, from, to);
  else
    DU_LAUNCH ((slice_channels<1, F, T>), blocks, DU_THREADS, stream, *slice, pixels, from, to);
}

void
du_kernel_slice (cudaStream_t stream, const DuKernelSlice *slice, const void *from, void *to)
{
  if (slice->pixels && slice->channels + slice->zeros)
    DU_WITH_TYPE (slice->from_type, F,
        DU_WITH_TYPE (slice->to_type, T, launch_slice (stream, slice, (const F *) from, (T *) to)));
}

/* ---- parameters ------------------------------------------------------------------------------------ */

/* Position in PyTorch's tensor. tap: 3 * row + column of a conv, 2 * row + column of an up-conv. */
__device__ static inline size_t
tensor_index (const DuKernelPacking *packing, int tap, int input, int output)
{
  if (packing->up)
    return ((size_t) input * packing->outputs + output) * 4 + tap;
  return ((size_t) output * packing->inputs + input) * 9 + tap;
}

/* Position in what the convolutions read; input counts from the first that is packed. */
__device__ static inline size_t
packed_index (const DuKernelPacking *packing, int tap, int input, int output)
{
  if (packing->up)
    return ((size_t) tap * packing->padded_outputs + output) * packing->padded_inputs + input;
  return ((size_t) output * 9 + tap) * packing->padded_inputs + input;
}

template <typename T>
__global__ void
pack (DuKernelPacking packing, const float *tensor, T *packed)
{
  const unsigned inputs = packing.padded_inputs, outputs = packing.padded_outputs;
  const unsigned taps = packing.up ? 4 : 9, count = taps * inputs * outputs;

  for (unsigned i = DU_THREAD; i < count; i += DU_ALL_THREADS) {
    const int input = i % inputs, rest = i / inputs;
    const int tap = packing.up ? rest / outputs : rest % taps,
              output = packing.up ? rest % outputs : rest / taps;
    const bool there = input < packing.count && output < packing.outputs;

    du_round (there ? tensor[tensor_index (&packing, tap, packing.first + input, output)] : 0, &packed[i]);
  }
}

template <typename T>
__global__ void
unpack (DuKernelPacking packing, const T *packed, float *tensor)
{
  const unsigned taps = packing.up ? 4 : 9, inner = packing.up ? packing.outputs : packing.count;
  const unsigned count = taps * packing.count * packing.outputs;

  /* In the tensor's own order, so that the writes are. */
  for (unsigned i = DU_THREAD; i < count; i += DU_ALL_THREADS) {
    const int tap = i % taps, column = i / taps % inner, line = i / taps / inner;
    const int input = packing.up ? line : column, output = packing.up ? column : line;

    tensor[tensor_index (&packing, tap, packing.first + input, output)]
        = du_value (packed[packed_index (&packing, tap, input, output)]);
  }
}

void
du_kernel_pack (
    cudaStream_t stream, const DuKernelPacking *packing, const float *tensor, DuType type, void *packed)
{
  const size_t count = (size_t) (packing->up ? 4 : 9) * packing->padded_inputs * packing->padded_outputs;

  DU_WITH_TYPE (
      type, T, DU_LAUNCH ((pack<T>), du_blocks (count), DU_THREADS, stream, *packing, tensor, (T *) packed));
}

void
du_kernel_unpack (
    cudaStream_t stream, const DuKernelPacking *packing, DuType type, const void *packed, float *tensor)
{
  const size_t count = (size_t) (packing->up ? 4 : 9) * packing->count * packing->outputs;

  DU_WITH_TYPE (type, T,
      DU_LAUNCH ((unpack<T>), du_blocks (count), DU_THREADS, stream, *packing, (const T *) packed, tensor));
}

template <typename T>
__global__ void
pack_vector (const float *vector, unsigned count, unsigned padded, unsigned all, T *packed)
{
  for (unsigned i = DU_THREAD; i < all; i += DU_ALL_THREADS)
    du_round (i % padded < count ? vector[i % padded] : 0, &packed[i]);
}

void
du_kernel_pack_vector (
    cudaStream_t stream, const float *vector, int count, int padded, int repeats, DuType type, void *packed)
{
  const unsigned all = (unsigned) padded * repeats;

  DU_WITH_TYPE (type, T,
      DU_LAUNCH (
          (pack_vector<T>), du_blocks (all), DU_THREADS, stream, vector, count, padded, all, (T *) packed));
}

__global__ void
fold (const float *gamma, const float *beta, const float *mean, const float *variance, int channels,
    int padded, float *scale, float *shift)
{
  for (int c = DU_THREAD; c < padded; c += DU_ALL_THREADS) {
    const double factor = c < channels ? gamma[c] / sqrt (variance[c] + DU_BN_EPSILON) : 0;

    scale[c] = (float) factor;
    shift[c] = c < channels ? (float) (beta[c] - mean[c] * factor) : 0;
  }
}

void
du_kernel_fold (cudaStream_t stream, const float *gamma, const float *beta, const float *mean,
    const float *variance, int channels, int padded, float *scale, float *shift)
{
  DU_LAUNCH ((fold), du_blocks (padded), DU_THREADS, stream, gamma, beta, mean, variance, channels, padded,
      scale, shift);
}

/* What all kernels share: numbers of the three types, vectors of them, and how a kernel is launched.
 *
 * No kernel here uses shared memory, shuffles or atomics: threads never talk to each other, sums are taken in
 * stages through memory. That makes every result the same on each run, and lets a C++ compiler build the same
 * sources for a test that runs a launch's threads one after the other (it defines DU_LAUNCH first). What such
 * sums cost beside the reading of their values is little: a stage takes in at least 64 values a thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_DEVICE_CUH
#define DU_CUDA_DEVICE_CUH

#include "kernels.h"

#include <stdint.h>
#include <string.h>

#ifndef DU_LAUNCH
#include <cuda_bf16.h>
#include <cuda_fp16.h>
/* kernel: in parentheses, for the commas of its template's arguments. */
#define DU_LAUNCH(kernel, blocks, threads, stream, ...) \
  (kernel) <<<(unsigned) (blocks), (unsigned) (threads), 0, stream>>> (__VA_ARGS__)
#else
#include "half.h"
#endif

/* Bit patterns, so that buffers are plain memory to both compilers. */
struct DuF16
{
  uint16_t bits;
};

struct DuBf16
{
  uint16_t bits;
};

__device__ static inline float
du_value (float value)
{
  return value;
}

__device__ static inline float
du_value (DuBf16 value)
{
  uint32_t bits = (uint32_t) value.bits << 16;
  float wide;

  memcpy (&wide, &bits, sizeof wide);
  return wide;
}

__device__ static inline float
du_value (DuF16 value)
{
#ifdef __CUDACC__
  return __half2float (__ushort_as_half (value.bits));
#else
  return du_f16_to_float (value.bits);
#endif
}

/* Rounded to nearest, ties to even; NaN stays NaN. */
__device__ static inline void
du_round (float value, float *to)
{
  *to = value;
}

__device__ static inline void
du_round (float value, DuF16 *to)
{
#ifdef __CUDACC__
  to->bits = __half_as_ushort (__float2half_rn (value));
#else
  to->bits = du_f16_from_float (value);
#endif
}

__device__ static inline void
du_round (float value, DuBf16 *to)
{
#ifdef __CUDACC__
  to->bits = __bfloat16_as_ushort (__float2bfloat16_rn (value));
#else
  to->bits = du_bf16_from_float (value);
#endif
}

/* V neighbouring values, read and written as one. */
template <typename T, int V> struct alignas (sizeof (T) * V) DuVector
{
  T at[V];
};

template <int V, typename T>
__device__ static inline DuVector<T, V>
du_load (const T *from)
{
  return *reinterpret_cast<const DuVector<T, V> *> (from);
}

template <int V, typename T>
__device__ static inline void
du_store (const DuVector<T, V> &values, T *to)
{
  *reinterpret_cast<DuVector<T, V> *> (to) = values;
}

/* Whether memory can be read as such vectors from there on. */
template <int V, typename T>
static inline bool
du_fits (const T *pointer)
{
  return (uintptr_t) pointer % (V * sizeof (T)) == 0;
}

enum
{
  DU_THREADS = 256,        /* of a block */
  DU_BLOCKS_MAX = 1 << 14, /* of a launch whose threads go round: several times what the largest GPU holds */
};

/* Blocks for a loop over count values with DU_THREAD and DU_ALL_THREADS. */
static inline unsigned
du_blocks (size_t count)
{
  size_t blocks = (count + DU_THREADS - 1) / DU_THREADS;

  return (unsigned) (blocks < 1 ? 1 : blocks > (size_t) DU_BLOCKS_MAX ? (size_t) DU_BLOCKS_MAX : blocks);
}

#define DU_THREAD ((size_t) blockIdx.x * blockDim.x + threadIdx.x)
#define DU_ALL_THREADS ((size_t) gridDim.x * blockDim.x)

/* The statement with T standing for the type of the activations. */
#define DU_WITH_TYPE(type, T, ...) \
  switch (type) { \
  case DU_TYPE_F32: { \
    typedef float T; \
    __VA_ARGS__; \
  } break; \
  case DU_TYPE_BF16: { \
    typedef DuBf16 T; \
    __VA_ARGS__; \
  } break; \
  case DU_TYPE_F16: { \
    typedef DuF16 T; \
    __VA_ARGS__; \
  } break; \
  }

#endif

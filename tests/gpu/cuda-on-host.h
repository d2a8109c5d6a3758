/* Enough of CUDA's language for a C++ compiler to build net/cuda's kernels and run them on the CPU: a launch
 * is two loops, over blocks and over their threads. The kernels never wait for each other's threads (see
 * net/cuda/device.cuh), so that no more is needed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_CUDA_ON_HOST_H
#define DU_TESTS_CUDA_ON_HOST_H

#include <cmath>
#include <cstring>

#define __global__ static
#define __device__
#define __host__

struct DuHostIndex
{
  unsigned x;
};

static DuHostIndex threadIdx, blockIdx, blockDim, gridDim;

#define DU_LAUNCH(kernel, blocks, threads, stream, ...) \
  do { \
    (void) (stream); \
    gridDim.x = (blocks); \
    blockDim.x = (threads); \
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) \
      for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++) \
        (kernel) (__VA_ARGS__); \
  } while (0)

#endif

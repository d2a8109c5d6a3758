/* Enough of CUDA's language for a C++ compiler to build net/cuda's kernels and run them on the CPU: a launch
 * is two loops, over blocks and over their threads. The kernels never wait for each other's threads (see
 * net/cuda/device.cuh), so that no more is needed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_CUDA_ON_HOST_H
#define DU_TESTS_CUDA_ON_HOST_H

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

#define __global__ static
#define __device__
#define __host__

struct DuHostIndex
{
  unsigned x;
};

static DuHostIndex threadIdx, blockIdx, blockDim, gridDim;

typedef struct CUstream_st *cudaStream_t;

/* Where set, a launch is left to it: run (data), as often and whenever it likes, data being malloc's, its own.
 * Else it is done before the launch returns. */
extern "C" void (*du_host_defer) (cudaStream_t stream, void (*run) (void *data), void *data);

/* Arguments are taken as they are at the launch. */
template <auto kernel, typename... A>
static void
du_host_launch (size_t blocks, unsigned threads, cudaStream_t stream, A... arguments)
{
  auto all = [=] {
    gridDim.x = (unsigned) blocks;
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
      for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++)
        kernel (arguments...);
  };
  typedef decltype (all) All;

  static_assert (std::is_trivially_destructible<All>::value, "the launch's owner only frees it");
  if (du_host_defer)
    du_host_defer (
        stream, [] (void *data) { (*(const All *) data) (); }, new (malloc (sizeof (All))) All (all));
  else
    all ();
}

#define DU_LAUNCH(kernel, blocks, threads, stream, ...) \
  du_host_launch<kernel> (blocks, threads, stream, __VA_ARGS__)

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-memory.h"

#include <cuda_runtime_api.h>

#define CHECK(call) \
  do { \
    cudaError_t status = (call); \
\
    if (status != cudaSuccess) \
      g_error ("%s: %s", #call, cudaGetErrorString (status)); \
  } while (0)

const char *
device_name (void)
{
  static struct cudaDeviceProp properties;
  int count = 0;

  if (cudaGetDeviceCount (&count) != cudaSuccess || count == 0)
    return NULL;
  CHECK (cudaGetDeviceProperties (&properties, 0));
  return properties.name;
}

void *
device_new (gsize size)
{
  void *memory;

  CHECK (cudaMalloc (&memory, size));
  return memory;
}

void
device_free (void *memory)
{
  CHECK (cudaFree (memory));
}

void
device_write (void *to, const void *from, gsize size)
{
  CHECK (cudaMemcpy (to, from, size, cudaMemcpyHostToDevice));
}

void
device_read (void *to, const void *from, gsize size)
{
  CHECK (cudaGetLastError ());
  CHECK (cudaDeviceSynchronize ());
  CHECK (cudaMemcpy (to, from, size, cudaMemcpyDeviceToHost));
}

/* What the parts of libcudart's stand-in share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_FAKE_CUDA_H
#define DU_TESTS_FAKE_CUDA_H

#include "fake.h"

#include <cuda_runtime_api.h>

/* Remembers it for cudaGetLastError() and gives it back. */
cudaError_t fake_cuda_error (cudaError_t error);
cudaError_t fake_cuda_failure (gboolean allocates);

#define FAKE_CUDA_CALL(allocates) \
  do { \
    if (fake_call (__func__)) \
      return fake_cuda_failure (allocates); \
  } while (0)

/* What a thread must not call while a stream captures what it asks for: it breaks the capture. */
#define FAKE_CUDA_UNSAFE_CALL(allocates) \
  do { \
    FAKE_CUDA_CALL (allocates); \
    if (fake_break_capture ()) \
      return fake_cuda_error (cudaErrorStreamCaptureUnsupported); \
  } while (0)

/* All work asked for so far is done, as behind a free. */
void fake_streams_finish (void);
void fake_streams_reset (void);
void fake_streams_set_order (FakeOrder order);
/* TRUE where the thread captures: not any more then. */
gboolean fake_break_capture (void);

/* The calling thread's context; NULL: the primary one. */
gpointer fake_context (void);
/* Another one for a while. */
void fake_enter_context (gpointer context);
void fake_leave_context (void);

/* Memory of the host that the device reaches by itself, as cudaHostAlloc's. */
gboolean fake_is_pinned (const void *data, gsize size);

#endif

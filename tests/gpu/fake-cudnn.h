/* What the two parts of cuDNN's stand-in share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_FAKE_CUDNN_H
#define DU_TESTS_FAKE_CUDNN_H

#include "fake.h"

#include <cudnn.h>

struct cudnnContext
{
  cudaStream_t stream;
};

cudnnStatus_t fake_cudnn_failure (gboolean allocates);
/* A call that frees: it does so even where it fails. */
cudnnStatus_t fake_cudnn_release (const char *name, void *object);
FakeType fake_cudnn_type (cudnnDataType_t type);

#define FAKE_CUDNN_CALL(allocates) \
  do { \
    if (fake_call (__func__)) \
      return fake_cudnn_failure (allocates); \
  } while (0)

/* A call that runs nothing cannot lose the device, but says that its execution failed. */
#define FAKE_CUDNN_HOST_CALL(allocates) \
  do { \
    if (fake_host_call (__func__)) \
      return fake_cudnn_failure (allocates); \
  } while (0)

#endif

/* What GStreamer's CUDA library wants to find in libcuda.so.1, and the tests never call. Without cuda.h, which has
 * these functions' arguments.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#define NOT_SUPPORTED 801 /* CUDA_ERROR_NOT_SUPPORTED */

#define NOTHING(name) \
  int name (void) __attribute__ ((visibility ("default"))); \
  int name (void) \
  { \
    return NOT_SUPPORTED; \
  }

NOTHING (cuCtxEnablePeerAccess)
NOTHING (cuCtxDisablePeerAccess)
NOTHING (cuGraphicsMapResources)
NOTHING (cuGraphicsUnmapResources)
NOTHING (cuGraphicsUnregisterResource)
NOTHING (cuGraphicsSubResourceGetMappedArray)
NOTHING (cuGraphicsResourceGetMappedPointer_v2)
NOTHING (cuGraphicsResourceSetMapFlags_v2)
NOTHING (cuGraphicsGLRegisterImage)
NOTHING (cuGraphicsGLRegisterBuffer)
NOTHING (cuGLGetDevices_v2)
NOTHING (cuStreamCreate)
NOTHING (cuStreamDestroy_v2)
NOTHING (cuStreamDestroy)
NOTHING (cuModuleLoadData)
NOTHING (cuModuleUnload)
NOTHING (cuModuleGetFunction)
NOTHING (cuTexObjectCreate)
NOTHING (cuTexObjectDestroy)
NOTHING (cuLaunchKernel)

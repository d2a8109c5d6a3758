/* cuDNN's part of the stand-in: handles and the legacy API.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-cudnn.h"

#include <string.h>

enum
{
  WORKSPACE = 2048,
};

/* Tensors and filters: n or out, channels or in. */
struct cudnnTensorStruct
{
  cudnnDataType_t type;
  int n, channels, height, width;
};

struct cudnnFilterStruct
{
  cudnnDataType_t type;
  int n, channels, height, width;
};

struct cudnnConvolutionStruct
{
  gboolean is_set;
  cudnnMathType_t math;
};

cudnnStatus_t
fake_cudnn_failure (gboolean allocates)
{
  return fake_failure () == FAKE_STICKY                ? CUDNN_STATUS_EXECUTION_FAILED
         : fake_failure () == FAKE_MEMORY && allocates ? CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
                                                       : CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t
fake_cudnn_release (const char *name, void *object)
{
  gboolean fails = fake_host_call (name);

  fake_free (object);
  return fails ? fake_cudnn_failure (FALSE) : CUDNN_STATUS_SUCCESS;
}

FakeType
fake_cudnn_type (cudnnDataType_t type)
{
  return type == CUDNN_DATA_FLOAT ? FAKE_F32 : type == CUDNN_DATA_HALF ? FAKE_F16 : FAKE_BF16;
}

size_t
cudnnGetVersion (void)
{
  return fake_cudnn_version () ? fake_cudnn_version () : CUDNN_VERSION;
}

const char *
cudnnGetErrorString (cudnnStatus_t status)
{
  return status == CUDNN_STATUS_EXECUTION_FAILED ? "CUDNN_STATUS_EXECUTION_FAILED" : "emulated failure";
}

cudnnStatus_t
cudnnCreate (cudnnHandle_t *handle)
{
  FAKE_CUDNN_CALL (TRUE);
  *handle = fake_new (sizeof **handle);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnDestroy (cudnnHandle_t handle)
{
  return fake_cudnn_release (__func__, handle);
}

cudnnStatus_t
cudnnSetStream (cudnnHandle_t handle, cudaStream_t stream)
{
  FAKE_CUDNN_CALL (FALSE);
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnCreateTensorDescriptor (cudnnTensorDescriptor_t *tensor)
{
  FAKE_CUDNN_CALL (TRUE);
  *tensor = fake_new (sizeof **tensor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnDestroyTensorDescriptor (cudnnTensorDescriptor_t tensor)
{
  return fake_cudnn_release (__func__, tensor);
}

cudnnStatus_t
cudnnSetTensor4dDescriptor (cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format, cudnnDataType_t type,
    int n, int channels, int height, int width)
{
  FAKE_CUDNN_CALL (FALSE);
  *tensor = (struct cudnnTensorStruct){ type, n, channels, height, width };
  return format == CUDNN_TENSOR_NHWC ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t
cudnnCreateFilterDescriptor (cudnnFilterDescriptor_t *filter)
{
  FAKE_CUDNN_CALL (TRUE);
  *filter = fake_new (sizeof **filter);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnDestroyFilterDescriptor (cudnnFilterDescriptor_t filter)
{
  return fake_cudnn_release (__func__, filter);
}

cudnnStatus_t
cudnnSetFilter4dDescriptor (cudnnFilterDescriptor_t filter, cudnnDataType_t type, cudnnTensorFormat_t format,
    int out, int in, int height, int width)
{
  FAKE_CUDNN_CALL (FALSE);
  *filter = (struct cudnnFilterStruct){ type, out, in, height, width };
  return format == CUDNN_TENSOR_NHWC && height == 3 && width == 3 ? CUDNN_STATUS_SUCCESS
                                                                  : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t
cudnnCreateConvolutionDescriptor (cudnnConvolutionDescriptor_t *convolution)
{
  FAKE_CUDNN_CALL (TRUE);
  *convolution = fake_new (sizeof **convolution);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnDestroyConvolutionDescriptor (cudnnConvolutionDescriptor_t convolution)
{
  return fake_cudnn_release (__func__, convolution);
}

cudnnStatus_t
cudnnSetConvolution2dDescriptor (cudnnConvolutionDescriptor_t convolution, int pad_h, int pad_w, int u, int v,
    int dilation_h, int dilation_w, cudnnConvolutionMode_t mode, cudnnDataType_t type)
{
  FAKE_CUDNN_CALL (FALSE);
  convolution->is_set = TRUE;
  return pad_h == 1 && pad_w == 1 && u == 1 && v == 1 && dilation_h == 1 && dilation_w == 1
                 && mode == CUDNN_CROSS_CORRELATION && type == CUDNN_DATA_FLOAT
             ? CUDNN_STATUS_SUCCESS
             : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t
cudnnSetConvolutionMathType (cudnnConvolutionDescriptor_t convolution, cudnnMathType_t math)
{
  FAKE_CUDNN_CALL (FALSE);
  convolution->math = math;
  return CUDNN_STATUS_SUCCESS;
}

/* Two algorithms each: one that adds in any order, one that does not. */
#define FAKE_ALGORITHMS(kind, first, second) \
  do { \
    FAKE_CUDNN_CALL (TRUE); \
    if (wanted < 2 || !convolution->is_set) \
      return CUDNN_STATUS_BAD_PARAM; \
    results[0] = (cudnnConvolution##kind##AlgoPerf_t){ .algo = first, \
      .determinism = CUDNN_NON_DETERMINISTIC }; \
    results[1] = (cudnnConvolution##kind##AlgoPerf_t){ .algo = second, .determinism = CUDNN_DETERMINISTIC }; \
    *count = 2; \
    return CUDNN_STATUS_SUCCESS; \
  } while (0)

#define FAKE_WORKSPACE(wanted) \
  do { \
    FAKE_CUDNN_CALL (FALSE); \
    *bytes = WORKSPACE; \
    return algorithm == (wanted) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM; \
  } while (0)

cudnnStatus_t
cudnnGetConvolutionForwardAlgorithm_v7 (cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
    const cudnnFilterDescriptor_t weights, const cudnnConvolutionDescriptor_t convolution,
    const cudnnTensorDescriptor_t y, const int wanted, int *count, cudnnConvolutionFwdAlgoPerf_t *results)
{
  (void) handle, (void) x, (void) weights, (void) y;
  FAKE_ALGORITHMS (Fwd, CUDNN_CONVOLUTION_FWD_ALGO_FFT, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM);
}

cudnnStatus_t
cudnnGetConvolutionBackwardDataAlgorithm_v7 (cudnnHandle_t handle, const cudnnFilterDescriptor_t weights,
    const cudnnTensorDescriptor_t y, const cudnnConvolutionDescriptor_t convolution,
    const cudnnTensorDescriptor_t x, const int wanted, int *count, cudnnConvolutionBwdDataAlgoPerf_t *results)
{
  (void) handle, (void) x, (void) weights, (void) y;
  FAKE_ALGORITHMS (BwdData, CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1);
}

cudnnStatus_t
cudnnGetConvolutionBackwardFilterAlgorithm_v7 (cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
    const cudnnTensorDescriptor_t y, const cudnnConvolutionDescriptor_t convolution,
    const cudnnFilterDescriptor_t weights, const int wanted, int *count,
    cudnnConvolutionBwdFilterAlgoPerf_t *results)
{
  (void) handle, (void) x, (void) weights, (void) y;
  FAKE_ALGORITHMS (BwdFilter, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1);
}

cudnnStatus_t
cudnnGetConvolutionForwardWorkspaceSize (cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
    const cudnnFilterDescriptor_t weights, const cudnnConvolutionDescriptor_t convolution,
    const cudnnTensorDescriptor_t y, cudnnConvolutionFwdAlgo_t algorithm, size_t *bytes)
{
  (void) handle, (void) x, (void) weights, (void) convolution, (void) y;
  FAKE_WORKSPACE (CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM);
}

cudnnStatus_t
cudnnGetConvolutionBackwardDataWorkspaceSize (cudnnHandle_t handle, const cudnnFilterDescriptor_t weights,
    const cudnnTensorDescriptor_t y, const cudnnConvolutionDescriptor_t convolution,
    const cudnnTensorDescriptor_t x, cudnnConvolutionBwdDataAlgo_t algorithm, size_t *bytes)
{
  (void) handle, (void) x, (void) weights, (void) convolution, (void) y;
  FAKE_WORKSPACE (CUDNN_CONVOLUTION_BWD_DATA_ALGO_1);
}

cudnnStatus_t
cudnnGetConvolutionBackwardFilterWorkspaceSize (cudnnHandle_t handle, const cudnnTensorDescriptor_t x,
    const cudnnTensorDescriptor_t y, const cudnnConvolutionDescriptor_t convolution,
    const cudnnFilterDescriptor_t weights, cudnnConvolutionBwdFilterAlgo_t algorithm, size_t *bytes)
{
  (void) handle, (void) x, (void) weights, (void) convolution, (void) y;
  FAKE_WORKSPACE (CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1);
}

/* ---- running ----------------------------------------------------------------------------------------- */

static cudnnStatus_t
run (const char *call, cudnnHandle_t handle, FakeConvolutionKind kind, const cudnnTensorDescriptor_t x_desc,
    const void *x, const cudnnTensorDescriptor_t y_desc, const void *y,
    const cudnnFilterDescriptor_t weights_desc, const void *weights, void *workspace, size_t size)
{
  const FakeType type = fake_cudnn_type (x_desc->type);
  FakeRun run = { .call = call, .kind = kind, .workspace = workspace, .workspace_size = size };

  run.shape = (FakeConvolution){ x_desc->n, x_desc->channels, y_desc->channels, x_desc->height,
    x_desc->width };
  if (weights_desc->n != y_desc->channels || weights_desc->channels != x_desc->channels || size != WORKSPACE)
    return CUDNN_STATUS_BAD_PARAM;
  run.x = (FakeTensor){ type, (void *) x };
  run.y = (FakeTensor){ type, (void *) y };
  run.weights = (FakeTensor){ type, (void *) weights };
  run.result = kind == FAKE_CONVOLVE ? run.y : kind == FAKE_CONVOLVE_DATA ? run.x : run.weights;
  fake_enqueue (handle->stream, fake_run, g_memdup2 (&run, sizeof run));
  fake_count_legacy ();
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnConvolutionForward (cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t x_desc,
    const void *x, const cudnnFilterDescriptor_t weights_desc, const void *weights,
    const cudnnConvolutionDescriptor_t convolution, cudnnConvolutionFwdAlgo_t algorithm, void *workspace,
    size_t workspace_size, const void *beta, const cudnnTensorDescriptor_t y_desc, void *y)
{
  (void) alpha, (void) beta, (void) convolution, (void) algorithm;
  FAKE_CUDNN_CALL (TRUE);
  return run (__func__, handle, FAKE_CONVOLVE, x_desc, x, y_desc, y, weights_desc, weights, workspace,
      workspace_size);
}

cudnnStatus_t
cudnnConvolutionBackwardData (cudnnHandle_t handle, const void *alpha,
    const cudnnFilterDescriptor_t weights_desc, const void *weights, const cudnnTensorDescriptor_t y_desc,
    const void *y, const cudnnConvolutionDescriptor_t convolution, cudnnConvolutionBwdDataAlgo_t algorithm,
    void *workspace, size_t workspace_size, const void *beta, const cudnnTensorDescriptor_t x_desc, void *x)
{
  (void) alpha, (void) beta, (void) convolution, (void) algorithm;
  FAKE_CUDNN_CALL (TRUE);
  return run (__func__, handle, FAKE_CONVOLVE_DATA, x_desc, x, y_desc, y, weights_desc, weights, workspace,
      workspace_size);
}

cudnnStatus_t
cudnnConvolutionBackwardFilter (cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t x_desc,
    const void *x, const cudnnTensorDescriptor_t y_desc, const void *y,
    const cudnnConvolutionDescriptor_t convolution, cudnnConvolutionBwdFilterAlgo_t algorithm, void *workspace,
    size_t workspace_size, const void *beta, const cudnnFilterDescriptor_t weights_desc, void *weights)
{
  (void) alpha, (void) beta, (void) convolution, (void) algorithm;
  FAKE_CUDNN_CALL (TRUE);
  return run (__func__, handle, FAKE_CONVOLVE_WEIGHTS, x_desc, x, y_desc, y, weights_desc, weights, workspace,
      workspace_size);
}

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
  return CUDNN_VERSION;
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
  *handle = fake_new (1);
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
  (void) handle, (void) stream;
  FAKE_CUDNN_CALL (FALSE);
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

static gsize
count_of (const cudnnTensorDescriptor_t tensor)
{
  return (gsize) tensor->n * tensor->channels * tensor->height * tensor->width;
}

static cudnnStatus_t
run (const char *call, FakeConvolution *shape, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t y,
    const cudnnFilterDescriptor_t weights, void *workspace, size_t size)
{
  *shape = (FakeConvolution){ x->n, x->channels, y->channels, x->height, x->width };
  if (weights->n != y->channels || weights->channels != x->channels || size != WORKSPACE)
    return CUDNN_STATUS_BAD_PARAM;
  fake_check_range (call, workspace, size);
  memset (workspace, 0xff, size);
  fake_count_legacy ();
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnConvolutionForward (cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t x_desc,
    const void *x, const cudnnFilterDescriptor_t weights_desc, const void *weights,
    const cudnnConvolutionDescriptor_t convolution, cudnnConvolutionFwdAlgo_t algorithm, void *workspace,
    size_t workspace_size, const void *beta, const cudnnTensorDescriptor_t y_desc, void *y)
{
  const FakeType type = fake_cudnn_type (x_desc->type);
  g_autofree float *from = NULL, *by = NULL, *to = g_new (float, count_of (y_desc));
  FakeConvolution shape;
  cudnnStatus_t status;

  (void) handle, (void) alpha, (void) beta, (void) convolution, (void) algorithm;
  FAKE_CUDNN_CALL (TRUE);
  status = run (__func__, &shape, x_desc, y_desc, weights_desc, workspace, workspace_size);
  if (status != CUDNN_STATUS_SUCCESS)
    return status;
  from = fake_read (__func__, type, x, count_of (x_desc));
  by = fake_read (__func__, type, weights, 9 * shape.in * shape.out);
  fake_convolve (&shape, from, by, to);
  fake_write (__func__, type, y, count_of (y_desc), to);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnConvolutionBackwardData (cudnnHandle_t handle, const void *alpha,
    const cudnnFilterDescriptor_t weights_desc, const void *weights, const cudnnTensorDescriptor_t y_desc,
    const void *y, const cudnnConvolutionDescriptor_t convolution, cudnnConvolutionBwdDataAlgo_t algorithm,
    void *workspace, size_t workspace_size, const void *beta, const cudnnTensorDescriptor_t x_desc, void *x)
{
  const FakeType type = fake_cudnn_type (x_desc->type);
  g_autofree float *from = NULL, *by = NULL, *to = g_new (float, count_of (x_desc));
  FakeConvolution shape;
  cudnnStatus_t status;

  (void) handle, (void) alpha, (void) beta, (void) convolution, (void) algorithm;
  FAKE_CUDNN_CALL (TRUE);
  status = run (__func__, &shape, x_desc, y_desc, weights_desc, workspace, workspace_size);
  if (status != CUDNN_STATUS_SUCCESS)
    return status;
  from = fake_read (__func__, type, y, count_of (y_desc));
  by = fake_read (__func__, type, weights, 9 * shape.in * shape.out);
  fake_convolve_data (&shape, to, by, from);
  fake_write (__func__, type, x, count_of (x_desc), to);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnConvolutionBackwardFilter (cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t x_desc,
    const void *x, const cudnnTensorDescriptor_t y_desc, const void *y,
    const cudnnConvolutionDescriptor_t convolution, cudnnConvolutionBwdFilterAlgo_t algorithm, void *workspace,
    size_t workspace_size, const void *beta, const cudnnFilterDescriptor_t weights_desc, void *weights)
{
  const FakeType type = fake_cudnn_type (x_desc->type);
  const gsize count = (gsize) 9 * weights_desc->n * weights_desc->channels;
  g_autofree float *from = NULL, *by = NULL, *to = g_new (float, count);
  FakeConvolution shape;
  cudnnStatus_t status;

  (void) handle, (void) alpha, (void) beta, (void) convolution, (void) algorithm;
  FAKE_CUDNN_CALL (TRUE);
  status = run (__func__, &shape, x_desc, y_desc, weights_desc, workspace, workspace_size);
  if (status != CUDNN_STATUS_SUCCESS)
    return status;
  from = fake_read (__func__, type, x, count_of (x_desc));
  by = fake_read (__func__, type, y, count_of (y_desc));
  fake_convolve_weights (&shape, from, to, by);
  fake_write (__func__, type, weights, count, to);
  return CUDNN_STATUS_SUCCESS;
}

/* cuDNN's legacy API: the fallback for what the graph API has no plan for, and its oracle.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan.h"

enum
{
  ALGORITHMS_MAX = 8,
};

struct _DuLegacy
{
  DuContext *context;
  DuGraphKind kind;
  cudnnTensorDescriptor_t x, y;
  cudnnFilterDescriptor_t weights;
  cudnnConvolutionDescriptor_t convolution;
  int algorithm;
  gsize workspace;
};

static gboolean
describe (DuLegacy *legacy, const DuGraphShape *shape, GError **error)
{
  DuContext *context = legacy->context;
  const cudnnDataType_t type = du_cudnn_type (context->options.type);
  const cudnnMathType_t math
      = context->options.type == DU_TYPE_F32 && !context->options.tf32 ? CUDNN_FMA_MATH : CUDNN_DEFAULT_MATH;

  return DU_CUDNN (context, cudnnCreateTensorDescriptor (&legacy->x), error)
         && DU_CUDNN (context, cudnnCreateTensorDescriptor (&legacy->y), error)
         && DU_CUDNN (context, cudnnCreateFilterDescriptor (&legacy->weights), error)
         && DU_CUDNN (context, cudnnCreateConvolutionDescriptor (&legacy->convolution), error)
         && DU_CUDNN (context,
             cudnnSetTensor4dDescriptor (legacy->x, CUDNN_TENSOR_NHWC, type, shape->n, shape->channels_in,
                 shape->height, shape->width),
             error)
         && DU_CUDNN (context,
             cudnnSetTensor4dDescriptor (legacy->y, CUDNN_TENSOR_NHWC, type, shape->n, shape->channels_out,
                 shape->height, shape->width),
             error)
         && DU_CUDNN (context,
             cudnnSetFilter4dDescriptor (legacy->weights, type, CUDNN_TENSOR_NHWC, shape->channels_out,
                 shape->channels_in, 3, 3),
             error)
         && DU_CUDNN (context,
             cudnnSetConvolution2dDescriptor (legacy->convolution, 1, 1, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION,
                 CUDNN_DATA_FLOAT),
             error)
         && DU_CUDNN (context, cudnnSetConvolutionMathType (legacy->convolution, math), error);
}

static gboolean
none (GError **error)
{
  g_set_error (error, DU_ERROR, DU_ERROR_BACKEND,
      "cuDNN has no reproducible algorithm for a convolution: take another precision, or backend=cpu");
  return FALSE;
}

static gboolean
choose_forward (DuLegacy *legacy, GError **error)
{
  DuContext *context = legacy->context;
  cudnnConvolutionFwdAlgoPerf_t found[ALGORITHMS_MAX];
  int count = 0;

  if (!DU_CUDNN (context,
          cudnnGetConvolutionForwardAlgorithm_v7 (context->cudnn, legacy->x, legacy->weights,
              legacy->convolution, legacy->y, ALGORITHMS_MAX, &count, found),
          error))
    return FALSE;
  for (int i = 0; i < count; i++)
    if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].determinism == CUDNN_DETERMINISTIC) {
      legacy->algorithm = found[i].algo;
      return DU_CUDNN (context,
          cudnnGetConvolutionForwardWorkspaceSize (context->cudnn, legacy->x, legacy->weights,
              legacy->convolution, legacy->y, found[i].algo, &legacy->workspace),
          error);
    }
  return none (error);
}

static gboolean
choose_data (DuLegacy *legacy, GError **error)
{
  DuContext *context = legacy->context;
  cudnnConvolutionBwdDataAlgoPerf_t found[ALGORITHMS_MAX];
  int count = 0;

  if (!DU_CUDNN (context,
          cudnnGetConvolutionBackwardDataAlgorithm_v7 (context->cudnn, legacy->weights, legacy->y,
              legacy->convolution, legacy->x, ALGORITHMS_MAX, &count, found),
          error))
    return FALSE;
  for (int i = 0; i < count; i++)
    if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].determinism == CUDNN_DETERMINISTIC) {
      legacy->algorithm = found[i].algo;
      return DU_CUDNN (context,
          cudnnGetConvolutionBackwardDataWorkspaceSize (context->cudnn, legacy->weights, legacy->y,
              legacy->convolution, legacy->x, found[i].algo, &legacy->workspace),
          error);
    }
  return none (error);
}

static gboolean
choose_weights (DuLegacy *legacy, GError **error)
{
  DuContext *context = legacy->context;
  cudnnConvolutionBwdFilterAlgoPerf_t found[ALGORITHMS_MAX];
  int count = 0;

  if (!DU_CUDNN (context,
          cudnnGetConvolutionBackwardFilterAlgorithm_v7 (context->cudnn, legacy->x, legacy->y,
              legacy->convolution, legacy->weights, ALGORITHMS_MAX, &count, found),
          error))
    return FALSE;
  for (int i = 0; i < count; i++)
    if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].determinism == CUDNN_DETERMINISTIC) {
      legacy->algorithm = found[i].algo;
      return DU_CUDNN (context,
          cudnnGetConvolutionBackwardFilterWorkspaceSize (context->cudnn, legacy->x, legacy->y,
              legacy->convolution, legacy->weights, found[i].algo, &legacy->workspace),
          error);
    }
  return none (error);
}

DuLegacy *
du_legacy_new (DuContext *context, const DuGraphShape *shape, GError **error)
{
  DuLegacy *legacy = g_new0 (DuLegacy, 1);

  legacy->context = context;
  legacy->kind = shape->kind;
  if (describe (legacy, shape, error)
      && (legacy->kind == DU_GRAPH_FORWARD  ? choose_forward (legacy, error)
             : legacy->kind == DU_GRAPH_DATA ? choose_data (legacy, error)
                                             : choose_weights (legacy, error)))
    return legacy;
  du_legacy_free (legacy);
  return NULL;
}

void
du_legacy_free (DuLegacy *legacy)
{
  if (!legacy)
    return;
  /* Each may be the one that shows the device as lost. */
#define FREE(call, object) \
  if ((object) && !legacy->context->lost) \
  (void) DU_CUDNN (legacy->context, call (object), NULL)
  FREE (cudnnDestroyConvolutionDescriptor, legacy->convolution);
  FREE (cudnnDestroyFilterDescriptor, legacy->weights);
  FREE (cudnnDestroyTensorDescriptor, legacy->y);
  FREE (cudnnDestroyTensorDescriptor, legacy->x);
#undef FREE
  g_free (legacy);
}

gsize
du_legacy_workspace (const DuLegacy *legacy)
{
  return legacy->workspace;
}

gboolean
du_legacy_run (DuLegacy *legacy, const DuGraphArguments *arguments, void *workspace, GError **error)
{
  DuContext *context = legacy->context;
  const float one = 1, zero = 0;

  switch (legacy->kind) {
  case DU_GRAPH_FORWARD:
    return DU_CUDNN (context,
        cudnnConvolutionForward (context->cudnn, &one, legacy->x, arguments->x, legacy->weights,
            arguments->weights, legacy->convolution, legacy->algorithm, workspace, legacy->workspace, &zero,
            legacy->y, arguments->y),
        error);
  case DU_GRAPH_DATA:
    return DU_CUDNN (context,
        cudnnConvolutionBackwardData (context->cudnn, &one, legacy->weights, arguments->weights, legacy->y,
            arguments->y, legacy->convolution, legacy->algorithm, workspace, legacy->workspace, &zero,
            legacy->x, arguments->x),
        error);
  default:
    return DU_CUDNN (context,
        cudnnConvolutionBackwardFilter (context->cudnn, &one, legacy->x, arguments->x, legacy->y,
            arguments->y, legacy->convolution, legacy->algorithm, workspace, legacy->workspace, &zero,
            legacy->weights, arguments->weights),
        error);
  }
}

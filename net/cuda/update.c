/* Loss and update: the slots that are no rows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rows.h"

#include <string.h>

/* Doubles on the device, where kernels leave what the host waits for, and the host's memory that they go to. */
static gboolean
reserve_result (DuContext *context, gsize scratch, GError **error)
{
  if (!du_cuda_enter (context, error) || !du_cuda_reserve (context, scratch, error))
    return FALSE;
  if (!context->result)
    context->result = du_cuda_allocate (context, DU_RESULTS, sizeof (double), "results", error);
  if (context->result && !context->host_result)
    context->host_result = du_cuda_allocate_pinned (context, DU_RESULTS * sizeof (double), error);
  return context->host_result != NULL;
}

gboolean
du_cuda_results (DuContext *context, double *values, guint count, GError **error)
{
  const gsize size = count * sizeof *values;

  if (!reserve_result (context, 0, error)
      || !DU_CUDA (context,
          cudaMemcpyAsync (context->host_result, context->result, size, cudaMemcpyDeviceToHost, context->stream),
          error)
      || !DU_CUDA (context, cudaStreamSynchronize (context->stream), error))
    return FALSE;
  memcpy (values, context->host_result, size);
  return TRUE;
}

gboolean
du_cuda_loss (DuContext *context, DuLoss loss, double epsilon, int n, int height, int width,
    const DuBuffer *prediction, const DuBuffer *target, DuBuffer *gradient, guint result, GError **error)
{
  if (loss == DU_LOSS_SSIM && (height < 11 || width < 11)) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "SSIM needs pictures of at least 11x11 pixels, these have %dx%d: take larger ones or another loss",
        width, height);
    return FALSE;
  }
  if (!reserve_result (context, du_kernel_loss_scratch (loss, n, height, width), error))
    return FALSE;
  du_kernel_loss (context->stream, loss, epsilon, n, height, width, du_cuda_f32 (prediction),
      du_cuda_f32 (target), du_cuda_f32 (gradient), context->result + result, context->scratch);
  return DU_CUDA (context, cudaGetLastError (), error);
}

gboolean
du_cuda_norm (DuContext *context, const DuBuffer *values, gsize count, guint result, GError **error)
{
  if (!reserve_result (context, du_kernel_norm_scratch (count), error))
    return FALSE;
  du_kernel_norm (context->stream, du_cuda_f32 (values), count, context->result + result, context->scratch);
  return DU_CUDA (context, cudaGetLastError (), error);
}

gboolean
du_cuda_adam (DuContext *context, const DuAdam *adam, gsize count, DuBuffer *parameters,
    const DuBuffer *gradient, DuBuffer *moment1, DuBuffer *moment2, GError **error)
{
  if (!du_cuda_enter (context, error))
    return FALSE;
  du_kernel_adam (context->stream, adam, count, du_cuda_f32 (parameters), du_cuda_f32 (gradient),
      du_cuda_f32 (moment1), du_cuda_f32 (moment2));
  return DU_CUDA (context, cudaGetLastError (), error);
}

gboolean
du_cuda_blend (DuContext *context, double decay, DuBuffer *to, gsize at, const DuBuffer *from, gsize from_at,
    gsize count, GError **error)
{
  if (!du_cuda_enter (context, error))
    return FALSE;
  du_kernel_blend (context->stream, decay, du_cuda_f32 (to) + at, du_cuda_f32 (from) + from_at, count);
  return DU_CUDA (context, cudaGetLastError (), error);
}

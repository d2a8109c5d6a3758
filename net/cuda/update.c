/* Loss and update: the slots that are no rows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rows.h"

/* One double on the device, where a kernel leaves what the host waits for. */
static gboolean
reserve_result (DuContext *context, gsize scratch, GError **error)
{
  if (!du_cuda_enter (context, error) || !du_cuda_reserve (context, scratch, error))
    return FALSE;
  if (!context->result)
    context->result = du_cuda_allocate (context, 1, sizeof (double), "a result", error);
  return context->result != NULL;
}

static gboolean
take_result (DuContext *context, double *value, GError **error)
{
  return DU_CUDA (context, cudaGetLastError (), error)
         && DU_CUDA (context,
             cudaMemcpyAsync (value, context->result, sizeof *value, cudaMemcpyDeviceToHost, context->stream),
             error)
         && DU_CUDA (context, cudaStreamSynchronize (context->stream), error);
}

gboolean
du_cuda_loss (DuContext *context, DuLoss loss, double epsilon, int n, int height, int width,
    const DuBuffer *prediction, const DuBuffer *target, DuBuffer *gradient, double *value, GError **error)
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
      du_cuda_f32 (target), du_cuda_f32 (gradient), context->result, context->scratch);
  return take_result (context, value, error);
}

gboolean
du_cuda_norm (DuContext *context, const DuBuffer *values, gsize count, double *norm, GError **error)
{
  if (!reserve_result (context, du_kernel_norm_scratch (count), error))
    return FALSE;
  du_kernel_norm (context->stream, du_cuda_f32 (values), count, context->result, context->scratch);
  return take_result (context, norm, error);
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

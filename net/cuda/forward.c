/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rows.h"

static gboolean
forward_convolution (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  const DuOpShape *s = &op->shape;
  const DuKernelExtent extent = du_row_extent (context, op);
  const DuKernelMoments moments = { op->mean, op->deviation };
  const gboolean is_dense = op->padded_out == s->channels_out;
  void *destination = op->rectified ? op->rectified : args->output->data;
  const DuGraphArguments arguments = { .x = du_row_source (context, op, -1, args->input, args->skip),
    .weights = op->packed,
    .y = is_dense ? destination : du_row_part (context, op->result_at),
    .bias = op->bias,
    .scale = op->scale,
    .shift = op->shift,
    .typed_bias = op->typed_bias };
  const DuKernelSlice slice = { .from_type = extent.type,
    .to_type = extent.type,
    .pixels = op->pixels,
    .channels = s->channels_out,
    .from_pitch = op->padded_out,
    .to_pitch = s->channels_out };

  if (!du_graph_run (op->forward, &arguments, du_row_part (context, op->workspace_at), error))
    return FALSE;
  if (!is_dense)
    du_kernel_slice (context->stream, &slice, arguments.y, destination);
  if (op->rectified) {
    du_kernel_moments (context->stream, &extent, op->rectified, &moments,
        du_cuda_f32 (args->statistics) + args->statistics_at, du_row_part (context, op->kernel_at));
    du_kernel_normalise (context->stream, &extent, op->rectified, &moments, op->scale, op->shift,
        args->output->data);
  }
  return TRUE;
}

static gboolean
forward_up (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  const DuKernelExtent extent = du_row_extent (context, op);
  const int pitch = op->shape.joined ? du_cuda_padded (extent.channels + op->shape.channels_skip) : extent.channels;
  void *split = du_row_part (context, op->result_at);

  if (!du_product_run (op->product, du_row_source (context, op, -1, args->input, NULL), op->packed, split,
          FALSE, du_row_part (context, op->workspace_at), error))
    return FALSE;
  du_kernel_shuffle (context->stream, &extent, split, op->padded_out, op->bias, args->output->data, pitch);
  return TRUE;
}

static void
forward_head (DuContext *context, DuOp *op, const DuForward *args)
{
  DuKernelExtent extent = du_row_extent (context, op);
  const DuKernelHead head = { .head = op->shape.head,
    .weights = op->scale,
    .bias = op->bias,
    .input = args->input->data,
    .picture = args->skip ? du_cuda_f32 (args->skip) : NULL,
    .output = du_cuda_f32 (args->output) };

  extent.channels = op->shape.channels_in;
  du_kernel_head (context->stream, &extent, &head);
}

gboolean
du_cuda_forward (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  const DuKernelExtent extent = du_row_extent (context, op);
  gboolean ok = TRUE;

  if (!du_cuda_enter (context, error))
    return FALSE;
  switch (op->shape.kind) {
  case DU_ROW_CONV:
    ok = forward_convolution (context, op, args, error);
    break;
  case DU_ROW_UP:
    ok = forward_up (context, op, args, error);
    break;
  case DU_ROW_POOL:
    du_kernel_pool (context->stream, &extent, args->input->data, args->output->data, op->positions);
    break;
  case DU_ROW_HEAD:
    forward_head (context, op, args);
  }
  return ok && DU_CUDA (context, cudaGetLastError (), error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rows.h"

/* The gradient that stands in working memory with padded channels, to a source's buffer. */
static void
take_gradient (DuContext *context, const DuOp *op, const void *from, int channels, DuBuffer *to,
    gboolean accumulate)
{
  const DuKernelSlice slice = { .from_type = context->options.type,
    .to_type = context->options.type,
    .pixels = op->pixels_in,
    .channels = channels,
    .from_pitch = du_cuda_padded (channels),
    .to_pitch = channels,
    .accumulate = accumulate };

  du_kernel_slice (context->stream, &slice, from, to->data);
}

/* ReLU's and BN's part, in place of the output's gradient; what the convolution's backward reads. */
static void *
backward_to_product (DuContext *context, DuOp *op, const DuBackward *args)
{
  const DuOpShape *s = &op->shape;
  const DuKernelExtent extent = du_row_extent (context, op);
  const DuKernelMoments moments = { op->mean, op->deviation };
  const DuKernelSlice slice = { .from_type = extent.type,
    .to_type = extent.type,
    .pixels = op->pixels,
    .channels = s->channels_out,
    .from_pitch = s->channels_out,
    .to_pitch = op->padded_out,
    .zeros = op->padded_out - s->channels_out };
  void *gradient = args->gradient_output->data, *scratch = du_row_part (context, op->kernel_at);
  float *block = du_cuda_f32 (args->gradient_parameters);

  if (op->rectified)
    du_kernel_normalise_backward (context->stream, &extent, op->rectified, &moments, op->scale, gradient,
        block + op->at.bn_scale, block + op->at.bn_shift, block + op->at.bias, scratch);
  else
    du_kernel_relu_backward (context->stream, &extent, args->output->data, gradient, block + op->at.bias,
        scratch);
  if (slice.zeros == 0)
    return gradient;
  du_kernel_slice (context->stream, &slice, gradient, du_row_part (context, op->result_at));
  return du_row_part (context, op->result_at);
}

static gboolean
backward_source (DuContext *context, DuOp *op, int source, const DuBackward *args, void *gradient,
    GError **error)
{
  const int channels = op->channels[source];
  const DuKernelPacking packing = du_row_packing (op, source);
  DuBuffer *to = source ? args->gradient_skip : args->gradient_input;
  const gboolean accumulate = source ? args->accumulate_skip : args->accumulate_input;
  const gboolean is_direct = !accumulate && du_cuda_padded (channels) == channels;
  void *workspace = du_row_part (context, op->workspace_at);
  DuGraphArguments arguments = { .x = du_row_source (context, op, source, args->input, args->skip),
    .weights = du_row_part (context, op->gradient_at),
    .y = gradient };

  if (!du_graph_run (op->weights[source], &arguments, workspace, error))
    return FALSE;
  du_kernel_unpack (context->stream, &packing, du_graph_result (op->weights[source]), arguments.weights,
      du_cuda_f32 (args->gradient_parameters) + op->at.weight);
  if (!to || !op->data[source])
    return TRUE;
  arguments.x = is_direct ? to->data : du_row_part (context, op->joined_at);
  arguments.weights = op->packed_data[source];
  if (!du_graph_run (op->data[source], &arguments, workspace, error))
    return FALSE;
  if (!is_direct)
    take_gradient (context, op, arguments.x, channels, to, accumulate);
  return TRUE;
}

static gboolean
backward_convolution (DuContext *context, DuOp *op, const DuBackward *args, GError **error)
{
  void *gradient = backward_to_product (context, op, args);

  for (int source = 0; source < op->sources; source++)
    if (!backward_source (context, op, source, args, gradient, error))
      return FALSE;
  return TRUE;
}

static gboolean
backward_up (DuContext *context, DuOp *op, const DuBackward *args, GError **error)
{
  const DuKernelExtent extent = du_row_extent (context, op);
  const DuKernelPacking packing = du_row_packing (op, -1);
  const gboolean is_direct = op->padded_in == op->channels[0];
  float *block = du_cuda_f32 (args->gradient_parameters);
  void *split = du_row_part (context, op->result_at), *packed = du_row_part (context, op->gradient_at);
  void *workspace = du_row_part (context, op->workspace_at);
  void *joined = du_row_source (context, op, -1, args->input, NULL);

  du_kernel_unshuffle (context->stream, &extent, args->gradient_output->data, split, op->padded_out,
      block + op->at.bias, du_row_part (context, op->kernel_at));
  if (!du_product_run (op->product_weights, split, joined, packed, FALSE, workspace, error))
    return FALSE;
  du_kernel_unpack (context->stream, &packing, DU_TYPE_F32, packed, block + op->at.weight);
  if (!args->gradient_input)
    return TRUE;
  if (is_direct)
    return du_product_run (op->product_data, split, op->packed, args->gradient_input->data,
        args->accumulate_input, workspace, error);
  if (!du_product_run (op->product_data, split, op->packed, joined, FALSE, workspace, error))
    return FALSE;
  take_gradient (context, op, joined, op->channels[0], args->gradient_input, args->accumulate_input);
  return TRUE;
}

static void
backward_head (DuContext *context, DuOp *op, const DuBackward *args)
{
  DuKernelExtent extent = du_row_extent (context, op);
  float *block = du_cuda_f32 (args->gradient_parameters);
  const DuKernelHeadBackward head = { .head = op->shape.head,
    .weights = op->scale,
    .input = args->input->data,
    .output = du_cuda_f32 (args->output),
    .gradient_output = du_cuda_f32 (args->gradient_output),
    .gradient_input = args->gradient_input ? args->gradient_input->data : NULL,
    .accumulate = args->accumulate_input,
    .gradient_weights = block + op->at.weight,
    .gradient_bias = block + op->at.bias };

  extent.channels = op->shape.channels_in;
  du_kernel_head_backward (context->stream, &extent, &head, du_row_part (context, op->kernel_at));
}

gboolean
du_cuda_backward (DuContext *context, DuOp *op, const DuBackward *args, GError **error)
{
  const DuKernelExtent extent = du_row_extent (context, op);
  gboolean ok = TRUE;

  if (!du_cuda_enter (context, error))
    return FALSE;
  switch (op->shape.kind) {
  case DU_ROW_CONV:
    ok = backward_convolution (context, op, args, error);
    break;
  case DU_ROW_UP:
    ok = backward_up (context, op, args, error);
    break;
  case DU_ROW_POOL:
    if (args->gradient_input)
      du_kernel_pool_backward (context->stream, &extent, args->gradient_output->data, op->positions,
          args->gradient_input->data, args->accumulate_input);
    break;
  case DU_ROW_HEAD:
    backward_head (context, op, args);
  }
  return ok && DU_CUDA (context, cudaGetLastError (), error);
}

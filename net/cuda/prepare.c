/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rows.h"

#define VECTORS 6 /* bias, scale, shift, mean, deviation, bias in the activation type */

/* ---- prepare ----------------------------------------------------------------------------------------- */

static gboolean
prepare_convolution (DuContext *context, DuOp *op, GError **error)
{
  const DuOpShape *s = &op->shape;
  const gboolean training = s->mode == DU_MODE_TRAINING;
  const DuGraphShape forward = { .kind = DU_GRAPH_FORWARD, .n = s->n, .height = s->height, .width = s->width,
    .channels_in = op->padded_in, .channels_out = op->padded_out, .rectify = TRUE,
    .affine = s->bn && !training };

  op->forward = du_graph_get (context, &forward, error);
  if (!op->forward)
    return FALSE;
  for (int source = 0; source < op->sources && training; source++) {
    DuGraphShape gradient = { .kind = DU_GRAPH_WEIGHTS, .n = s->n, .height = s->height, .width = s->width,
      .channels_in = du_cuda_padded (op->channels[source]), .channels_out = op->padded_out };

    if (!(op->weights[source] = du_graph_get (context, &gradient, error)))
      return FALSE;
    gradient.kind = DU_GRAPH_DATA;
    if (!s->picture && !(op->data[source] = du_graph_get (context, &gradient, error)))
      return FALSE;
  }
  return TRUE;
}

static gboolean
prepare_products (DuContext *context, DuOp *op, GError **error)
{
  const gsize columns = (gsize) DU_CUDA_UP_PIXELS * op->padded_out;
  const DuType type = context->options.type;
  const DuProductShape forward = { op->pixels_in, op->padded_in, columns, FALSE, TRUE, type };
  const DuProductShape data = { op->pixels_in, columns, op->padded_in, FALSE, FALSE, type };
  const DuProductShape weights = { columns, op->pixels_in, op->padded_in, TRUE, FALSE, DU_TYPE_F32 };

  return (op->product = du_product_new (context, &forward, error)) != NULL
         && (op->shape.mode == DU_MODE_INFERENCE
             || ((op->product_data = du_product_new (context, &data, error)) != NULL
                 && (op->product_weights = du_product_new (context, &weights, error)) != NULL));
}

static gsize
packed_size (const DuOp *op, int source)
{
  const DuKernelPacking packing = du_row_packing (op, source);

  return (gsize) (packing.up ? DU_CUDA_UP_PIXELS : 9) * packing.padded_inputs * packing.padded_outputs;
}

/* Whether a row's sources have to be copied side by side: all of them, or one. */
static gboolean
is_copied (const DuOp *op, int source)
{
  return op->shape.picture || (source < 0 ? op->sources > 1 || op->padded_in != op->channels[0]
                                          : du_cuda_padded (op->channels[source]) != op->channels[source]);
}

static gsize
workspace_size (const DuOp *op)
{
  const DuProduct *const products[] = { op->product, op->product_data, op->product_weights };
  gsize size = op->forward ? du_graph_workspace (op->forward) : 0;

  for (int source = 0; source < op->sources; source++) {
    if (op->data[source])
      size = MAX (size, du_graph_workspace (op->data[source]));
    if (op->weights[source])
      size = MAX (size, du_graph_workspace (op->weights[source]));
  }
  for (guint i = 0; i < G_N_ELEMENTS (products); i++)
    if (products[i])
      size = MAX (size, du_product_workspace (products[i]));
  return size;
}

static gboolean
reserve_working_memory (DuContext *context, DuOp *op, GError **error)
{
  const DuOpShape *s = &op->shape;
  const gsize type = du_cuda_type_size (context->options.type);
  const gboolean training = s->mode == DU_MODE_TRAINING, up = s->kind == DU_ROW_UP;
  const DuKernelExtent extent = { context->options.type, op->lines, s->width,
    s->kind == DU_ROW_HEAD ? s->channels_in : s->channels_out };
  gsize at = 0;

  if (s->kind == DU_ROW_CONV || up) {
    /* In training the gradients of single sources pass here, too. */
    op->joined_at = at;
    if (training || (is_copied (op, -1) && (up || !s->joined)))
      at += du_cuda_aligned (op->pixels_in * MAX (op->padded_in, DU_CUDA_CHANNELS) * type);
    op->result_at = at;
    if (training || up || op->padded_out != s->channels_out)
      at += du_cuda_aligned (op->pixels_in * op->padded_out * (up ? DU_CUDA_UP_PIXELS : 1) * type);
    op->gradient_at = at;
    if (training)
      at += du_cuda_aligned (packed_size (op, -1) * sizeof (float));
  }
  op->kernel_at = at;
  if (training)
    at += du_cuda_aligned (du_kernel_scratch (&extent));
  op->workspace_at = at;
  return du_cuda_reserve (context, at + workspace_size (op), error);
}

static gboolean
allocate (DuContext *context, DuOp *op, GError **error)
{
  const DuOpShape *s = &op->shape;
  const gsize type = du_cuda_type_size (context->options.type);
  const gboolean training = s->mode == DU_MODE_TRAINING;
  const gsize vector = MAX ((gsize) op->padded_out, s->kind == DU_ROW_HEAD ? 3 * (gsize) s->channels_in : 0);

  if (s->kind == DU_ROW_POOL)
    return !training
           || (op->positions = du_cuda_allocate (context, op->pixels, s->channels_out, "a pool's positions",
                   error));
  op->vectors = du_cuda_allocate (context, VECTORS * vector, sizeof (float), "a row's vectors", error);
  if (!op->vectors)
    return FALSE;
  op->bias = op->vectors;
  op->scale = op->bias + vector;
  op->shift = op->scale + vector;
  op->mean = op->shift + vector;
  op->deviation = op->mean + vector;
  op->typed_bias = op->deviation + vector;
  if (s->kind == DU_ROW_HEAD)
    return TRUE;
  op->packed = du_cuda_allocate (context, packed_size (op, -1), type, "a row's weights", error);
  if (!op->packed)
    return FALSE;
  for (int source = 0; source < op->sources && training && !s->picture; source++) {
    op->packed_data[source] = op->sources == 1
                                  ? op->packed
                                  : du_cuda_allocate (context, packed_size (op, source), type,
                                      "a row's weights", error);
    if (!op->packed_data[source])
      return FALSE;
  }
  if (training && s->bn)
    op->rectified = du_cuda_allocate (context, op->pixels * s->channels_out, type, "activations", error);
  return !training || !s->bn || op->rectified;
}

DuOp *
du_cuda_prepare (DuContext *context, const DuOpShape *shape, GError **error)
{
  DuOp *op;
  gboolean ok;

  if (!du_cuda_enter (context, error))
    return NULL;
  op = g_new0 (DuOp, 1);
  op->shape = *shape;
  op->shape.bn = shape->bn && shape->kind == DU_ROW_CONV;
  op->lines = (gsize) shape->n * shape->height;
  op->pixels = op->lines * shape->width;
  op->pixels_in = shape->kind == DU_ROW_UP ? op->pixels / DU_CUDA_UP_PIXELS : op->pixels;
  op->sources = shape->kind == DU_ROW_CONV && shape->channels_skip ? 2 : 1;
  op->channels[0] = shape->channels_in;
  op->channels[1] = op->sources > 1 ? shape->channels_skip : 0;
  op->padded_in = du_cuda_padded (op->channels[0] + op->channels[1]);
  op->padded_out = du_cuda_padded (shape->channels_out);
  ok = (shape->kind != DU_ROW_CONV || prepare_convolution (context, op, error))
       && (shape->kind != DU_ROW_UP || prepare_products (context, op, error))
       && allocate (context, op, error) && reserve_working_memory (context, op, error);
  if (!ok) {
    du_cuda_op_free (context, op);
    return NULL;
  }
  return op;
}

void
du_cuda_op_free (DuContext *context, DuOp *op)
{
  if (!op)
    return;
  (void) du_cuda_synchronise (context, NULL);
  context->generation++;
  du_product_free (op->product);
  du_product_free (op->product_data);
  du_product_free (op->product_weights);
  for (int source = 0; source < op->sources; source++)
    if (op->packed_data[source] != op->packed)
      du_cuda_release (context, op->packed_data[source]);
  du_cuda_release (context, op->packed);
  du_cuda_release (context, op->vectors);
  du_cuda_release (context, op->rectified);
  du_cuda_release (context, op->positions);
  g_free (op);
}

/* ---- load -------------------------------------------------------------------------------------------- */

DuKernelPacking
du_row_packing (const DuOp *op, int source)
{
  const int all = op->channels[0] + op->channels[1];

  return (DuKernelPacking){
    .up = op->shape.kind == DU_ROW_UP,
    .inputs = all,
    .outputs = op->shape.channels_out,
    .first = source > 0 ? op->channels[0] : 0,
    .count = source < 0 ? all : op->channels[source],
    .padded_inputs = source < 0 ? op->padded_in : du_cuda_padded (op->channels[source]),
    .padded_outputs = op->padded_out,
  };
}

static void
load_convolution (DuContext *context, DuOp *op, const float *block)
{
  const DuOpShape *s = &op->shape;
  const DuRowOffsets *at = &op->at;
  const DuType type = context->options.type;
  const int out = s->channels_out, padded = op->padded_out;

  for (int source = -1; source < (op->sources > 1 ? op->sources : 0); source++) {
    const DuKernelPacking packing = du_row_packing (op, source);
    void *packed = source < 0 ? op->packed : op->packed_data[source];

    if (packed)
      du_kernel_pack (context->stream, &packing, block + at->weight, type, packed);
  }
  if (s->bn && s->mode == DU_MODE_INFERENCE) {
    du_kernel_fold (context->stream, block + at->bn_scale, block + at->bn_shift, block + at->bn_mean,
        block + at->bn_variance, out, padded, op->scale, op->shift);
  } else if (s->bn) {
    du_kernel_pack_vector (context->stream, block + at->bn_scale, out, padded, 1, DU_TYPE_F32, op->scale);
    du_kernel_pack_vector (context->stream, block + at->bn_shift, out, padded, 1, DU_TYPE_F32, op->shift);
  }
}

gboolean
du_cuda_load (DuContext *context, DuOp *op, const DuOpParameters *parameters, GError **error)
{
  const DuOpShape *s = &op->shape;
  const float *block = du_cuda_f32 (parameters->block);
  const int weights = 3 * s->channels_in;

  if (!du_cuda_enter (context, error))
    return FALSE;
  du_plan_cache_save (context->plans); /* all rows are prepared by now */
  op->at = parameters->at;
  if (s->kind == DU_ROW_POOL)
    return TRUE;
  du_kernel_pack_vector (context->stream, block + op->at.bias, s->channels_out, op->padded_out, 1,
      DU_TYPE_F32, op->bias);
  du_kernel_pack_vector (context->stream, block + op->at.bias, s->channels_out, op->padded_out, 1,
      context->options.type, op->typed_bias);
  if (s->kind == DU_ROW_HEAD)
    du_kernel_pack_vector (context->stream, block + op->at.weight, weights, weights, 1, DU_TYPE_F32,
        op->scale);
  else
    load_convolution (context, op, block);
  return DU_CUDA (context, cudaGetLastError (), error);
}

/* ---- sources ----------------------------------------------------------------------------------------- */

void *
du_row_source (DuContext *context, const DuOp *op, int source, const DuBuffer *input, const DuBuffer *skip)
{
  const DuBuffer *const buffers[] = { input, skip };
  const int first = MAX (source, 0), behind = source < 0 ? op->sources : source + 1;
  const int pitch = source < 0 ? op->padded_in : du_cuda_padded (op->channels[source]);
  const gsize type = du_cuda_type_size (context->options.type);
  const gboolean joined = op->shape.joined && op->sources > 1;
  char *const all = joined ? input->data : du_row_part (context, op->joined_at);
  char *to = all;
  int left = pitch;

  if (!is_copied (op, source))
    return buffers[first]->data;
  for (int s = first; s < behind; s++) {
    DuKernelSlice slice = { .from_type = op->shape.picture ? DU_TYPE_F32 : context->options.type,
      .to_type = context->options.type,
      .pixels = op->pixels_in,
      .channels = op->channels[s],
      .from_pitch = op->channels[s],
      .to_pitch = pitch };

    left -= op->channels[s];
    slice.zeros = s + 1 == behind ? left : 0;
    if (s > 0 || !joined) /* the first is there */
      du_kernel_slice (context->stream, &slice, buffers[s]->data, to);
    to += op->channels[s] * type;
  }
  return all;
}

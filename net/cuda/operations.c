/* NVIDIA's "cuDNN Backend API" and "Graph API" pages give descriptors and attributes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "operations.h"

#include <stdbool.h>

enum
{
  TENSOR_RANK = 4,
  FIRST_VIRTUAL = 100,
};

/* ---- pools ------------------------------------------------------------------------------------------- */

DuPool *
du_pool_new (DuContext *context)
{
  DuPool *pool = g_new0 (DuPool, 1);

  g_atomic_ref_count_init (&pool->references);
  pool->context = context;
  pool->all = g_ptr_array_new ();
  pool->sum = g_checksum_new (G_CHECKSUM_SHA256);
  return pool;
}

DuPool *
du_pool_ref (DuPool *pool)
{
  g_atomic_ref_count_inc (&pool->references);
  return pool;
}

void
du_pool_unref (DuPool *pool)
{
  if (!g_atomic_ref_count_dec (&pool->references))
    return;
  for (guint i = pool->all->len; i > 0; i--)
    du_descriptor_destroy (pool->context, pool->all->pdata[i - 1]);
  g_ptr_array_unref (pool->all);
  g_checksum_free (pool->sum);
  g_free (pool);
}

DuDescriptor
du_pool_create (DuPool *pool, cudnnBackendDescriptorType_t type, GError **error)
{
  DuDescriptor descriptor = NULL;

  if (!DU_CUDNN_TRY (pool->context, cudnnBackendCreateDescriptor (type, &descriptor), error))
    return NULL;
  g_ptr_array_add (pool->all, descriptor);
  return descriptor;
}

void
du_descriptor_destroy (DuContext *context, DuDescriptor descriptor)
{
  if (descriptor && !context->lost)
    (void) DU_CUDNN_TRY (context, cudnnBackendDestroyDescriptor (descriptor), NULL);
}

static gsize
size_of_type (cudnnBackendAttributeType_t type)
{
  switch (type) {
  case CUDNN_TYPE_BOOLEAN:
    return sizeof (bool);
  case CUDNN_TYPE_INT64:
    return sizeof (gint64);
  case CUDNN_TYPE_HANDLE:
  case CUDNN_TYPE_VOID_PTR:
    return 0;
  default: /* the enums, and float */
    return 4;
  }
}

void
du_pool_note (DuPool *pool, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, gint64 count,
    const void *values)
{
  const gint32 what[] = { name, type, (gint32) count };
  const DuDescriptor *descriptors = values;

  if (pool->operations)
    return;
  g_checksum_update (pool->sum, (const guchar *) what, sizeof what);
  if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    g_checksum_update (pool->sum, values, count * size_of_type (type));
    return;
  }
  for (gint64 i = 0; i < count; i++) {
    guint index = 0;

    (void) g_ptr_array_find (pool->all, descriptors[i], &index);
    g_checksum_update (pool->sum, (const guchar *) &index, sizeof index);
  }
}

/* ---- operations -------------------------------------------------------------------------------------- */

/* n, channels, height, width in memory as n, height, width, channels. */
static DuDescriptor
tensor (DuPool *pool, int name, cudnnDataType_t type, const gint64 *sizes, GError **error)
{
  const gint64 strides[TENSOR_RANK]
      = { sizes[1] * sizes[2] * sizes[3], 1, sizes[3] * sizes[1], sizes[1] };
  const gint64 unique = name, alignment = 16;
  const bool is_virtual = name >= FIRST_VIRTUAL;
  DuDescriptor tensor = du_pool_create (pool, CUDNN_BACKEND_TENSOR_DESCRIPTOR, error);

  return tensor && DU_SET (tensor, TENSOR_DATA_TYPE, DATA_TYPE, 1, &type)
                 && DU_SET (tensor, TENSOR_DIMENSIONS, INT64, TENSOR_RANK, sizes)
                 && DU_SET (tensor, TENSOR_STRIDES, INT64, TENSOR_RANK, strides)
                 && DU_SET (tensor, TENSOR_UNIQUE_ID, INT64, 1, &unique)
                 && DU_SET (tensor, TENSOR_BYTE_ALIGNMENT, INT64, 1, &alignment)
                 && DU_SET (tensor, TENSOR_IS_VIRTUAL, BOOLEAN, 1, &is_virtual) && DU_FINALISE (tensor)
             ? tensor
             : NULL;
}

static DuDescriptor
convolution (DuPool *pool, GError **error)
{
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const gint64 dimensions = 2, ones[] = { 1, 1 };
  DuDescriptor convolution = du_pool_create (pool, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, error);

  return convolution && DU_SET (convolution, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &type)
                 && DU_SET (convolution, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, &mode)
                 && DU_SET (convolution, CONVOLUTION_SPATIAL_DIMS, INT64, 1, &dimensions)
                 && DU_SET (convolution, CONVOLUTION_DILATIONS, INT64, 2, ones)
                 && DU_SET (convolution, CONVOLUTION_FILTER_STRIDES, INT64, 2, ones)
                 && DU_SET (convolution, CONVOLUTION_PRE_PADDINGS, INT64, 2, ones)
                 && DU_SET (convolution, CONVOLUTION_POST_PADDINGS, INT64, 2, ones)
                 && DU_FINALISE (convolution)
             ? convolution
             : NULL;
}

/* The kinds' operations have the same attributes under three names each. */
static DuDescriptor
convolve (DuPool *pool, DuGraphKind kind, DuDescriptor x, DuDescriptor weights, DuDescriptor y,
    GError **error)
{
  const float one = 1, zero = 0;
  DuDescriptor how = convolution (pool, error), operation;

  if (!how)
    return NULL;
  switch (kind) {
  case DU_GRAPH_FORWARD:
    operation = du_pool_create (pool, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, error);
    return operation
                   && DU_SET (operation, OPERATION_CONVOLUTION_FORWARD_CONV_DESC, BACKEND_DESCRIPTOR, 1, &how)
                   && DU_SET (operation, OPERATION_CONVOLUTION_FORWARD_X, BACKEND_DESCRIPTOR, 1, &x)
                   && DU_SET (operation, OPERATION_CONVOLUTION_FORWARD_W, BACKEND_DESCRIPTOR, 1, &weights)
                   && DU_SET (operation, OPERATION_CONVOLUTION_FORWARD_Y, BACKEND_DESCRIPTOR, 1, &y)
                   && DU_SET (operation, OPERATION_CONVOLUTION_FORWARD_ALPHA, FLOAT, 1, &one)
                   && DU_SET (operation, OPERATION_CONVOLUTION_FORWARD_BETA, FLOAT, 1, &zero)
                   && DU_FINALISE (operation)
               ? operation
               : NULL;
  case DU_GRAPH_DATA:
    operation = du_pool_create (pool, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, error);
    return operation
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, BACKEND_DESCRIPTOR, 1,
                       &how)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_DATA_DX, BACKEND_DESCRIPTOR, 1, &x)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_DATA_W, BACKEND_DESCRIPTOR, 1, &weights)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_DATA_DY, BACKEND_DESCRIPTOR, 1, &y)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_DATA_ALPHA, FLOAT, 1, &one)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_DATA_BETA, FLOAT, 1, &zero)
                   && DU_FINALISE (operation)
               ? operation
               : NULL;
  default:
    operation = du_pool_create (pool, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, error);
    return operation
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, BACKEND_DESCRIPTOR, 1,
                       &how)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_X, BACKEND_DESCRIPTOR, 1, &x)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_DW, BACKEND_DESCRIPTOR, 1, &weights)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_DY, BACKEND_DESCRIPTOR, 1, &y)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, FLOAT, 1, &one)
                   && DU_SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_BETA, FLOAT, 1, &zero)
                   && DU_FINALISE (operation)
               ? operation
               : NULL;
  }
}

/* y = mode (x, b), each value of its own; b may be NULL. */
static DuDescriptor
pointwise (DuPool *pool, cudnnPointwiseMode_t mode, DuDescriptor x, DuDescriptor b, DuDescriptor y,
    GError **error)
{
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  DuDescriptor how = du_pool_create (pool, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, error), operation;

  if (!how || !DU_SET (how, POINTWISE_MODE, POINTWISE_MODE, 1, &mode)
      || !DU_SET (how, POINTWISE_MATH_PREC, DATA_TYPE, 1, &type) || !DU_FINALISE (how))
    return NULL;
  operation = du_pool_create (pool, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, error);
  return operation && DU_SET (operation, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1, &how)
                 && DU_SET (operation, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1, &x)
                 && (!b || DU_SET (operation, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1, &b))
                 && DU_SET (operation, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1, &y)
                 && DU_FINALISE (operation)
             ? operation
             : NULL;
}

/* The shape's operations in order, into operations; their number, 0 on failure. */
static guint
describe (DuPool *pool, const DuGraphShape *shape, const DuVariant *variant, DuDescriptor *operations,
    GError **error)
{
  static const struct
  {
    cudnnPointwiseMode_t mode;
    int vector; /* 0: none */
  } steps[DU_STEPS_AFFINE] = { { CUDNN_POINTWISE_ADD, DU_TENSOR_BIAS }, { CUDNN_POINTWISE_RELU_FWD, 0 },
    { CUDNN_POINTWISE_MUL, DU_TENSOR_SCALE }, { CUDNN_POINTWISE_ADD, DU_TENSOR_SHIFT } };
  const guint n_steps = variant->fused;
  const cudnnDataType_t type = du_cudnn_type (pool->context->options.type);
  const cudnnDataType_t vector_type = variant->typed ? type : CUDNN_DATA_FLOAT;
  const gint64 x_sizes[] = { shape->n, shape->channels_in, shape->height, shape->width };
  const gint64 y_sizes[] = { shape->n, shape->channels_out, shape->height, shape->width };
  const gint64 weights_sizes[] = { shape->channels_out, shape->channels_in, 3, 3 };
  const gint64 vector_sizes[] = { 1, shape->channels_out, 1, 1 };
  DuDescriptor x = tensor (pool, DU_TENSOR_X, type, x_sizes, error), weights = NULL, y = NULL, vector;

  if (x)
    weights = tensor (pool, DU_TENSOR_WEIGHTS,
        shape->kind == DU_GRAPH_WEIGHTS ? du_cudnn_type (variant->result) : type, weights_sizes, error);
  if (weights)
    y = tensor (pool, n_steps ? FIRST_VIRTUAL : DU_TENSOR_Y, n_steps ? CUDNN_DATA_FLOAT : type, y_sizes,
        error);
  if (!y || !(operations[0] = convolve (pool, shape->kind, x, weights, y, error)))
    return 0;
  for (guint i = 0; i < n_steps; i++) {
    const gboolean last = i + 1 == n_steps;
    DuDescriptor to = tensor (pool, last ? DU_TENSOR_Y : FIRST_VIRTUAL + 1 + i,
        last ? type : CUDNN_DATA_FLOAT, y_sizes, error);

    if (!to)
      return 0;
    vector = steps[i].vector ? tensor (pool, steps[i].vector, vector_type, vector_sizes, error) : NULL;
    if (steps[i].vector && !vector)
      return 0;
    operations[i + 1] = pointwise (pool, steps[i].mode, y, vector, to, error);
    if (!operations[i + 1])
      return 0;
    y = to;
  }
  return n_steps + 1;
}

DuDescriptor
du_operations_new (DuPool *pool, const DuGraphShape *shape, const DuVariant *variant, GError **error)
{
  DuDescriptor operations[1 + DU_STEPS_AFFINE], graph = NULL;
  const guint count = describe (pool, shape, variant, operations, error);

  if (count)
    graph = du_pool_create (pool, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, error);
  if (!graph || !DU_SET (graph, OPERATIONGRAPH_HANDLE, HANDLE, 1, &pool->context->cudnn)
      || !DU_SET (graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, count, operations) || !DU_FINALISE (graph))
    return NULL;
  pool->operations = g_checksum_get_string (pool->sum);
  return graph;
}

/* The operations of a shape as descriptors of cuDNN's graph API.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_OPERATIONS_H
#define DU_CUDA_OPERATIONS_H

#include "plan.h"

typedef cudnnBackendDescriptor_t DuDescriptor;

/* Names of tensors within a graph. */
enum
{
  DU_TENSOR_X = 1,
  DU_TENSOR_WEIGHTS,
  DU_TENSOR_Y,
  DU_TENSOR_BIAS,
  DU_TENSOR_SCALE,
  DU_TENSOR_SHIFT,
  DU_N_TENSORS,
};

/* Descriptors in the order of creation; each keeps what it was made of. */
typedef struct
{
  gatomicrefcount references;
  DuContext *context;
  GPtrArray *all;
  GChecksum *sum;         /* of the attributes set so far, */
  const char *operations; /* and its digest, once the operations are there */
} DuPool;

DuPool *du_pool_new (DuContext *context);
DuPool *du_pool_ref (DuPool *pool);
void du_pool_unref (DuPool *pool);
/* Of the pool. */
DuDescriptor du_pool_create (DuPool *pool, cudnnBackendDescriptorType_t type, GError **error);
/* Adds what is set to the pool's sum; what differs from process to process is left out. */
void du_pool_note (DuPool *pool, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
    gint64 count, const void *values);
/* One of no pool, or NULL. */
void du_descriptor_destroy (DuContext *context, DuDescriptor descriptor);

/* In functions with a pool and an error. */
#define DU_SET(descriptor, name, type, count, values) \
  (du_pool_note (pool, CUDNN_ATTR_##name, CUDNN_TYPE_##type, count, values), \
      DU_CUDNN_TRY (pool->context, \
          cudnnBackendSetAttribute (descriptor, CUDNN_ATTR_##name, CUDNN_TYPE_##type, count, values), error))
#define DU_FINALISE(descriptor) DU_CUDNN_TRY (pool->context, cudnnBackendFinalize (descriptor), error)

/* The graph of a shape's operations, the first thing made in a pool. */
DuDescriptor du_operations_new (DuPool *pool, const DuGraphShape *shape, const DuVariant *variant,
    GError **error);

#endif

/* The network's rows on the GPU.
 *
 * Convolutions and products run on tensors whose channels are multiples of DU_CUDA_CHANNELS. Where a row's
 * are not, and where it has two sources or reads the picture, its sources are copied side by side, with zeros
 * behind them, into working memory; results likewise come back from there. In inference an up-conv writes where
 * its reader wants both, and only the skip is copied.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_ROWS_H
#define DU_CUDA_ROWS_H

#include "graph.h"
#include "kernels.h"
#include "product.h"

enum
{
  DU_CUDA_SOURCES = 2,
  DU_CUDA_UP_PIXELS = 4,
};

struct _DuOp
{
  DuOpShape shape;
  DuRowOffsets at;        /* where load found the parameters */
  gsize lines, pixels;    /* of the output: n * height, n * height * width */
  gsize pixels_in;
  int sources;            /* of a convolution: 1 or 2 */
  int channels[DU_CUDA_SOURCES];
  int padded_in, padded_out; /* all sources side by side */

  DuGraph *forward, *data[DU_CUDA_SOURCES], *weights[DU_CUDA_SOURCES];
  DuProduct *product, *product_data, *product_weights; /* an up-conv's */

  void *packed;                        /* weights as forward reads them */
  void *packed_data[DU_CUDA_SOURCES];  /* as the sources' gradients do; packed itself where there is one */
  float *vectors;                      /* owns the next ones, [padded_out] each */
  float *bias, *scale, *shift;         /* scale: of a head, its weights [3][in] */
  float *mean, *deviation;             /* of the batch */
  void *typed_bias;                    /* in the activation type */
  void *rectified;                     /* training with BN: [pixels][out] after ReLU */
  guint8 *positions;                   /* training of a pool */

  /* Parts of working memory, bytes from its start: the sources side by side, the result, gradients of packed
   * weights, the kernels' and the libraries' own. */
  gsize joined_at, result_at, gradient_at, kernel_at, workspace_at;
};

static inline void *
du_row_part (const DuContext *context, gsize at)
{
  return context->scratch + at;
}

static inline DuKernelExtent
du_row_extent (const DuContext *context, const DuOp *op)
{
  return (DuKernelExtent){ context->options.type, op->lines, op->shape.width, op->shape.channels_out };
}

/* The weights of one source, or of all where source is -1. */
DuKernelPacking du_row_packing (const DuOp *op, int source);
/* A source with the channels that a convolution wants: itself, or its copy in working memory. source: -1 for
 * all side by side. */
void *du_row_source (DuContext *context, const DuOp *op, int source, const DuBuffer *input,
    const DuBuffer *skip);

/* Slots, as backend.h says. */
DuOp *du_cuda_prepare (DuContext *context, const DuOpShape *shape, GError **error);
void du_cuda_op_free (DuContext *context, DuOp *op);
gboolean du_cuda_load (DuContext *context, DuOp *op, const DuOpParameters *parameters, GError **error);
gboolean du_cuda_forward (DuContext *context, DuOp *op, const DuForward *args, GError **error);
gboolean du_cuda_backward (DuContext *context, DuOp *op, const DuBackward *args, GError **error);
gboolean du_cuda_loss (DuContext *context, DuLoss loss, double epsilon, int n, int height, int width,
    const DuBuffer *prediction, const DuBuffer *target, DuBuffer *gradient, guint result, GError **error);
gboolean du_cuda_norm (DuContext *context, const DuBuffer *values, gsize count, guint result, GError **error);
gboolean du_cuda_results (DuContext *context, double *values, guint count, GError **error);
gboolean du_cuda_adam (DuContext *context, const DuAdam *adam, gsize count, DuBuffer *parameters,
    const DuBuffer *gradient, DuBuffer *moment1, DuBuffer *moment2, GError **error);
gboolean du_cuda_blend (DuContext *context, double decay, DuBuffer *to, gsize at, const DuBuffer *from,
    gsize from_at, gsize count, GError **error);

#endif

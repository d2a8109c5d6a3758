/* 3x3 convolutions and their gradients through cuDNN's graph API, with the legacy API where that has no plan.
 *
 * Tensors are NHWC, dense, all channels multiples of DU_CUDA_CHANNELS, 16-byte aligned. Weights are
 * [out][3][3][in] in the activation type.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_GRAPH_H
#define DU_CUDA_GRAPH_H

#include "context.h"

typedef enum
{
  DU_GRAPH_FORWARD, /* y = conv (x, weights), + bias, ReLU, * scale + shift as the shape says */
  DU_GRAPH_DATA,    /* x = d loss / d x from y = d loss / d y and the weights */
  DU_GRAPH_WEIGHTS, /* weights = d loss / d weights from x and y = d loss / d y */
} DuGraphKind;

/* Compared as bytes: fields of one size, without padding. */
typedef struct
{
  gint32 kind;
  gint32 n, height, width, channels_in, channels_out;
  gint32 rectify; /* FORWARD: + bias [out] float32, then ReLU */
  gint32 affine;  /* and * scale [out] + shift [out], float32; only with rectify */
} DuGraphShape;

typedef struct
{
  void *x, *weights, *y;
  const float *bias, *scale, *shift;
  const void *typed_bias; /* the same in the activation type */
} DuGraphArguments;

typedef struct _DuGraph DuGraph;

guint du_graph_shape_hash (gconstpointer shape);
gboolean du_graph_shape_equal (gconstpointer a, gconstpointer b);

/* The context's graph of this shape, made and, unless results are to be reproducible, the fastest of the
 * library's proposals. Owned by the context. */
DuGraph *du_graph_get (DuContext *context, const DuGraphShape *shape, GError **error);
void du_graph_free (gpointer graph);
/* Bytes of working memory that a run needs. */
gsize du_graph_workspace (const DuGraph *graph);
/* Type of the result: the activations', and for the weights' gradient that or float32. */
DuType du_graph_result (const DuGraph *graph);
gboolean du_graph_run (DuGraph *graph, const DuGraphArguments *arguments, void *workspace, GError **error);

#endif

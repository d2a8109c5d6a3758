/* Matrix products through cuBLASLt. All matrices are row-major in the activation type where nothing else is
 * said; sums are float32.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_PRODUCT_H
#define DU_CUDA_PRODUCT_H

#include "context.h"

typedef struct
{
  gsize rows, inner, columns; /* c [rows, columns] = a b, a [rows, inner], b [inner, columns] */
  gboolean transpose_a, transpose_b; /* they stand in memory as [inner, rows], [columns, inner] */
  DuType result;              /* of c */
} DuProductShape;

typedef struct _DuProduct DuProduct;

DuProduct *du_product_new (DuContext *context, const DuProductShape *shape, GError **error);
void du_product_free (DuProduct *product); /* NULL is allowed */
gsize du_product_workspace (const DuProduct *product);
/* accumulate: c += a b. */
gboolean du_product_run (DuProduct *product, const void *a, const void *b, void *c, gboolean accumulate,
    void *workspace, GError **error);

#endif

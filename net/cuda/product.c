/* cuBLASLt's matrices are column-major: what is computed is the transposed product, b's columns first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "product.h"

enum
{
  WORKSPACE = 32 << 20, /* bytes, what NVIDIA advises for Hopper */
};

struct _DuProduct
{
  DuContext *context;
  cublasLtMatmulDesc_t operation;
  cublasLtMatrixLayout_t a, b, c;
  cublasLtMatmulAlgo_t algorithm;
  gsize workspace;
};

static cudaDataType_t
cuda_type (DuType type)
{
  static const cudaDataType_t types[]
      = { [DU_TYPE_F32] = CUDA_R_32F, [DU_TYPE_BF16] = CUDA_R_16BF, [DU_TYPE_F16] = CUDA_R_16F };

  return types[type];
}

static gboolean
describe (DuProduct *product, const DuProductShape *shape, GError **error)
{
  DuContext *context = product->context;
  const cudaDataType_t type = cuda_type (context->options.type);
  const cublasComputeType_t compute
      = context->options.type == DU_TYPE_F32 && context->options.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                      : CUBLAS_COMPUTE_32F;
  const cublasOperation_t of_a = shape->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t of_b = shape->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  const gsize a_lines = shape->transpose_a ? shape->inner : shape->rows;
  const gsize b_lines = shape->transpose_b ? shape->columns : shape->inner;
  const gsize a_line = shape->transpose_a ? shape->rows : shape->inner;
  const gsize b_line = shape->transpose_b ? shape->inner : shape->columns;

  return DU_BLAS (context, cublasLtMatmulDescCreate (&product->operation, compute, CUDA_R_32F), error)
         && DU_BLAS (context,
             cublasLtMatmulDescSetAttribute (product->operation, CUBLASLT_MATMUL_DESC_TRANSA, &of_b,
                 sizeof of_b),
             error)
         && DU_BLAS (context,
             cublasLtMatmulDescSetAttribute (product->operation, CUBLASLT_MATMUL_DESC_TRANSB, &of_a,
                 sizeof of_a),
             error)
         && DU_BLAS (context, cublasLtMatrixLayoutCreate (&product->b, type, b_line, b_lines, b_line), error)
         && DU_BLAS (context, cublasLtMatrixLayoutCreate (&product->a, type, a_line, a_lines, a_line), error)
         && DU_BLAS (context,
             cublasLtMatrixLayoutCreate (&product->c, cuda_type (shape->result), shape->columns, shape->rows,
                 shape->columns),
             error);
}

/* The heuristic's first: cuBLASLt's are good, and the products are a fraction of the time. Without the scheme
 * that adds in whatever order blocks end. */
static gboolean
choose (DuProduct *product, GError **error)
{
  DuContext *context = product->context;
  const guint64 workspace = WORKSPACE;
  const guint32 schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
  cublasLtMatmulPreference_t preference = NULL;
  cublasLtMatmulHeuristicResult_t found = { .state = CUBLAS_STATUS_NOT_SUPPORTED };
  int count = 0;
  gboolean ok;

  ok = DU_BLAS (context, cublasLtMatmulPreferenceCreate (&preference), error)
       && DU_BLAS (context,
           cublasLtMatmulPreferenceSetAttribute (preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
               &workspace, sizeof workspace),
           error)
       && DU_BLAS (context,
           cublasLtMatmulPreferenceSetAttribute (preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
               &schemes, sizeof schemes),
           error)
       && DU_BLAS (context,
           cublasLtMatmulAlgoGetHeuristic (context->blas, product->operation, product->b, product->a,
               product->c, product->c, preference, 1, &found, &count),
           error)
       && DU_BLAS (context, count ? found.state : CUBLAS_STATUS_NOT_SUPPORTED, error);
  if (ok) {
    product->algorithm = found.algo;
    product->workspace = found.workspaceSize;
  }
  if (preference && !context->lost)
    (void) DU_BLAS (context, cublasLtMatmulPreferenceDestroy (preference), NULL);
  return ok;
}

DuProduct *
du_product_new (DuContext *context, const DuProductShape *shape, GError **error)
{
  DuProduct *product = g_new0 (DuProduct, 1);

  product->context = context;
  /* What was freed before this may have shown the device as lost. */
  if (du_cuda_enter (context, error) && describe (product, shape, error) && choose (product, error))
    return product;
  du_product_free (product);
  return NULL;
}

void
du_product_free (DuProduct *product)
{
  if (!product)
    return;
  /* Each may be the one that shows the device as lost. */
#define FREE(call, object) \
  if ((object) && !product->context->lost) \
  (void) DU_BLAS (product->context, call (object), NULL)
  FREE (cublasLtMatrixLayoutDestroy, product->c);
  FREE (cublasLtMatrixLayoutDestroy, product->b);
  FREE (cublasLtMatrixLayoutDestroy, product->a);
  FREE (cublasLtMatmulDescDestroy, product->operation);
#undef FREE
  g_free (product);
}

gsize
du_product_workspace (const DuProduct *product)
{
  return product->workspace;
}

gboolean
du_product_run (DuProduct *product, const void *a, const void *b, void *c, gboolean accumulate,
    void *workspace, GError **error)
{
  const float one = 1, beta = accumulate ? 1 : 0;

  return DU_BLAS (product->context,
      cublasLtMatmul (product->context->blas, product->operation, &one, b, product->b, a, product->a, &beta, c,
          product->c, c, product->c, &product->algorithm, workspace, product->workspace,
          product->context->stream),
      error);
}

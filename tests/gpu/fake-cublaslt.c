/* cuBLASLt's part of the stand-in.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake.h"

#include <cublasLt.h>
#include <string.h>

enum
{
  WORKSPACE = 4096,
};

typedef struct
{
  cudaDataType type;
  guint64 rows, columns;
  gint64 pitch;
} Layout;

typedef struct
{
  cublasComputeType_t compute;
  cublasOperation_t of_a, of_b;
} Operation;

static cublasStatus_t
failure (gboolean allocates)
{
  return fake_failure () == FAKE_STICKY                ? CUBLAS_STATUS_EXECUTION_FAILED
         : fake_failure () == FAKE_MEMORY && allocates ? CUBLAS_STATUS_ALLOC_FAILED
                                                       : CUBLAS_STATUS_NOT_SUPPORTED;
}

#define CALL(allocates) \
  do { \
    if (fake_call (__func__)) \
      return failure (allocates); \
  } while (0)

/* A call that frees: it does so even where it fails. */
static cublasStatus_t
release (const char *name, void *object)
{
  gboolean fails = fake_call (name);

  fake_free (object);
  return fails ? failure (FALSE) : CUBLAS_STATUS_SUCCESS;
}

const char *
cublasLtGetStatusString (cublasStatus_t status)
{
  return status == CUBLAS_STATUS_ALLOC_FAILED ? "the resource allocation failed" : "emulated failure";
}

cublasStatus_t
cublasLtCreate (cublasLtHandle_t *handle)
{
  CALL (TRUE);
  *handle = fake_new (1);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtDestroy (cublasLtHandle_t handle)
{
  return release (__func__, handle);
}

cublasStatus_t
cublasLtMatmulDescCreate (cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale)
{
  Operation *operation;

  CALL (TRUE);
  if (scale != CUDA_R_32F)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  operation = fake_new (sizeof *operation);
  *operation = (Operation){ compute, CUBLAS_OP_N, CUBLAS_OP_N };
  *desc = (cublasLtMatmulDesc_t) operation;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulDescDestroy (cublasLtMatmulDesc_t desc)
{
  return release (__func__, desc);
}

cublasStatus_t
cublasLtMatmulDescSetAttribute (cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
    const void *value, size_t size)
{
  Operation *operation = (Operation *) desc;

  CALL (FALSE);
  if (size != sizeof (cublasOperation_t))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSA)
    memcpy (&operation->of_a, value, size);
  else if (attribute == CUBLASLT_MATMUL_DESC_TRANSB)
    memcpy (&operation->of_b, value, size);
  else
    return CUBLAS_STATUS_INVALID_VALUE;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatrixLayoutCreate (cublasLtMatrixLayout_t *desc, cudaDataType type, uint64_t rows, uint64_t columns,
    int64_t pitch)
{
  Layout *layout;

  CALL (TRUE);
  if (pitch < (gint64) rows || pitch * (type == CUDA_R_32F ? 4 : 2) % 16)
    return CUBLAS_STATUS_INVALID_VALUE;
  layout = fake_new (sizeof *layout);
  *layout = (Layout){ type, rows, columns, pitch };
  *desc = (cublasLtMatrixLayout_t) layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatrixLayoutDestroy (cublasLtMatrixLayout_t desc)
{
  return release (__func__, desc);
}

cublasStatus_t
cublasLtMatmulPreferenceCreate (cublasLtMatmulPreference_t *preference)
{
  CALL (TRUE);
  *preference = fake_new (1);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceDestroy (cublasLtMatmulPreference_t preference)
{
  return release (__func__, preference);
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute (cublasLtMatmulPreference_t preference,
    cublasLtMatmulPreferenceAttributes_t attribute, const void *value, size_t size)
{
  (void) preference, (void) value;
  CALL (FALSE);
  return size == (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4) ? CUBLAS_STATUS_SUCCESS
                                                                                : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t
cublasLtMatmulAlgoGetHeuristic (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t *results, int *count)
{
  (void) handle, (void) desc, (void) a, (void) b, (void) c, (void) d, (void) preference, (void) wanted;
  CALL (TRUE);
  *results = (cublasLtMatmulHeuristicResult_t){ .state = CUBLAS_STATUS_SUCCESS, .workspaceSize = WORKSPACE };
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

static FakeType
type_of (const Layout *layout)
{
  return layout->type == CUDA_R_32F ? FAKE_F32 : layout->type == CUDA_R_16F ? FAKE_F16 : FAKE_BF16;
}

static gsize
size_of (const Layout *layout)
{
  return (layout->columns - 1) * layout->pitch + layout->rows;
}

/* The matrix, or its transpose, as [rows][columns]. */
static float *
read_matrix (const Layout *layout, cublasOperation_t operation, const void *data, gboolean tf32, gsize *rows,
    gsize *columns)
{
  g_autofree float *values = fake_read ("cublasLtMatmul", type_of (layout), data, size_of (layout));
  gboolean turn = operation == CUBLAS_OP_T;
  float *matrix;

  *rows = turn ? layout->columns : layout->rows;
  *columns = turn ? layout->rows : layout->columns;
  matrix = g_new (float, *rows * *columns);
  for (gsize i = 0; i < *rows; i++)
    for (gsize j = 0; j < *columns; j++) {
      float value = values[turn ? i * layout->pitch + j : j * layout->pitch + i];

      matrix[i * *columns + j] = tf32 ? fake_tf32 (value) : value;
    }
  return matrix;
}

/* All that a product needs to run later. */
typedef struct
{
  Operation operation;
  Layout a_layout, b_layout, layout;
  const void *a, *b;
  void *d, *workspace;
  float old; /* share of what stands there */
} Product;

static void
multiply (gpointer data)
{
  const Product *p = data;
  const Layout *layout = &p->layout;
  const gboolean tf32 = p->operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  g_autofree float *left = NULL, *right = NULL, *result = NULL;
  gsize rows, inner, inner_of_b, columns;

  /* transposed, so that the inner loop runs along memory */
  left = read_matrix (&p->a_layout, p->operation.of_a == CUBLAS_OP_T ? CUBLAS_OP_N : CUBLAS_OP_T, p->a, tf32,
      &inner, &rows);
  right = read_matrix (&p->b_layout, p->operation.of_b, p->b, tf32, &inner_of_b, &columns);
  if (inner != inner_of_b || rows != layout->rows || columns != layout->columns)
    fake_fatal ("cublasLtMatmul", "matrices that do not fit each other");
  fake_check_range ("cublasLtMatmul", p->workspace, WORKSPACE);
  memset (p->workspace, 0xff, WORKSPACE);
  result = fake_read ("cublasLtMatmul", type_of (layout), p->d, size_of (layout));
  for (gsize j = 0; j < columns; j++) {
    g_autofree float *sums = g_new0 (float, rows);

    for (gsize k = 0; k < inner; k++)
      for (gsize i = 0; i < rows; i++)
        sums[i] += left[k * rows + i] * right[k * columns + j];
    for (gsize i = 0; i < rows; i++) {
      float *to = result + j * layout->pitch + i;

      *to = p->old != 0 ? sums[i] + p->old * *to : sums[i];
    }
  }
  fake_write ("cublasLtMatmul", type_of (layout), p->d, size_of (layout), result);
}

cublasStatus_t
cublasLtMatmul (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
    cublasLtMatrixLayout_t a_desc, const void *b, cublasLtMatrixLayout_t b_desc, const void *beta,
    const void *c, cublasLtMatrixLayout_t c_desc, void *d, cublasLtMatrixLayout_t d_desc,
    const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_size, cudaStream_t stream)
{
  const Product product = { *(const Operation *) desc, *(const Layout *) a_desc, *(const Layout *) b_desc,
    *(const Layout *) d_desc, a, b, d, workspace, *(const float *) beta };

  const void *const operands[] = { a, b, d, workspace };

  (void) handle, (void) algorithm;
  CALL (TRUE);
  /* The heuristic was told of no other alignment, so that what it chose may rely on CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT's
   * default. */
  for (guint i = 0; i < G_N_ELEMENTS (operands); i++)
    if ((gsize) operands[i] % 256)
      fake_fatal (__func__, "a matrix that is not aligned to 256 bytes");
  if (c != d || c_desc != d_desc || workspace_size != WORKSPACE || *(const float *) alpha != 1)
    return CUBLAS_STATUS_INVALID_VALUE;
  fake_enqueue (stream, multiply, g_memdup2 (&product, sizeof product));
  return CUBLAS_STATUS_SUCCESS;
}

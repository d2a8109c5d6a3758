/* cuDNN's graph API: the operations of a shape as descriptors, an engine heuristic's proposals, and plans.
 * NVIDIA's "cuDNN Backend API" and "Graph API" pages give descriptors and attributes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan.h"

#include <stdbool.h>
#include <string.h>

typedef cudnnBackendDescriptor_t Descriptor;

enum
{
  PROPOSALS_MAX = 16, /* that a heuristic is asked for */
  KEPT_MAX = 5,       /* of those that are allowed, best first */
  COMPILED_MAX = 1,   /* of which compiled at run time, for about a second each */
  TENSOR_RANK = 4,
};

/* Names of tensors within a graph. */
enum
{
  X = 1,
  WEIGHTS,
  Y,
  BIAS,
  SCALE,
  SHIFT,
  N_NAMES,
  FIRST_VIRTUAL = 100,
};

/* Descriptors in the order of creation; each keeps what it was made of. */
typedef struct
{
  gatomicrefcount references;
  DuContext *context;
  GPtrArray *all;
} Pool;

struct _DuProposals
{
  DuContext *context;
  DuGraphShape shape;
  Pool *pool;
  GPtrArray *configurations; /* borrowed from pool */
  guint compiled;            /* of them */
};

struct _DuPlan
{
  DuContext *context;
  DuGraphShape shape;
  Pool *pool; /* of the proposals */
  Descriptor plan;
  gsize workspace;
  /* The last run's arguments, and as the library wants them. */
  Descriptor pack;
  DuGraphArguments arguments;
  void *packed_workspace;
};

static Pool *
pool_new (DuContext *context)
{
  Pool *pool = g_new0 (Pool, 1);

  g_atomic_ref_count_init (&pool->references);
  pool->context = context;
  pool->all = g_ptr_array_new ();
  return pool;
}

static void
destroy (DuContext *context, Descriptor descriptor)
{
  if (descriptor && !context->lost)
    (void) DU_CUDNN_TRY (context, cudnnBackendDestroyDescriptor (descriptor), NULL);
}

static void
pool_unref (Pool *pool)
{
  if (!g_atomic_ref_count_dec (&pool->references))
    return;
  for (guint i = pool->all->len; i > 0; i--)
    destroy (pool->context, pool->all->pdata[i - 1]);
  g_ptr_array_unref (pool->all);
  g_free (pool);
}

/* In functions with a pool and an error. */
#define SET(descriptor, name, type, count, values) \
  DU_CUDNN_TRY (pool->context, \
      cudnnBackendSetAttribute (descriptor, CUDNN_ATTR_##name, CUDNN_TYPE_##type, count, values), error)
#define FINALISE(descriptor) DU_CUDNN_TRY (pool->context, cudnnBackendFinalize (descriptor), error)

static Descriptor
create (Pool *pool, cudnnBackendDescriptorType_t type, GError **error)
{
  Descriptor descriptor = NULL;

  if (!DU_CUDNN_TRY (pool->context, cudnnBackendCreateDescriptor (type, &descriptor), error))
    return NULL;
  g_ptr_array_add (pool->all, descriptor);
  return descriptor;
}

/* ---- operations -------------------------------------------------------------------------------------- */

/* n, channels, height, width in memory as n, height, width, channels. */
static Descriptor
tensor (Pool *pool, int name, cudnnDataType_t type, const gint64 *sizes, GError **error)
{
  const gint64 strides[TENSOR_RANK]
      = { sizes[1] * sizes[2] * sizes[3], 1, sizes[3] * sizes[1], sizes[1] };
  const gint64 unique = name, alignment = 16;
  const bool is_virtual = name >= FIRST_VIRTUAL;
  Descriptor tensor = create (pool, CUDNN_BACKEND_TENSOR_DESCRIPTOR, error);

  return tensor && SET (tensor, TENSOR_DATA_TYPE, DATA_TYPE, 1, &type)
                 && SET (tensor, TENSOR_DIMENSIONS, INT64, TENSOR_RANK, sizes)
                 && SET (tensor, TENSOR_STRIDES, INT64, TENSOR_RANK, strides)
                 && SET (tensor, TENSOR_UNIQUE_ID, INT64, 1, &unique)
                 && SET (tensor, TENSOR_BYTE_ALIGNMENT, INT64, 1, &alignment)
                 && SET (tensor, TENSOR_IS_VIRTUAL, BOOLEAN, 1, &is_virtual) && FINALISE (tensor)
             ? tensor
             : NULL;
}

static Descriptor
convolution (Pool *pool, GError **error)
{
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const gint64 dimensions = 2, ones[] = { 1, 1 };
  Descriptor convolution = create (pool, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, error);

  return convolution && SET (convolution, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &type)
                 && SET (convolution, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, &mode)
                 && SET (convolution, CONVOLUTION_SPATIAL_DIMS, INT64, 1, &dimensions)
                 && SET (convolution, CONVOLUTION_DILATIONS, INT64, 2, ones)
                 && SET (convolution, CONVOLUTION_FILTER_STRIDES, INT64, 2, ones)
                 && SET (convolution, CONVOLUTION_PRE_PADDINGS, INT64, 2, ones)
                 && SET (convolution, CONVOLUTION_POST_PADDINGS, INT64, 2, ones) && FINALISE (convolution)
             ? convolution
             : NULL;
}

/* The kinds' operations have the same attributes under three names each. */
static Descriptor
convolve (Pool *pool, DuGraphKind kind, Descriptor x, Descriptor weights, Descriptor y, GError **error)
{
  const float one = 1, zero = 0;
  Descriptor how = convolution (pool, error), operation;

  if (!how)
    return NULL;
  switch (kind) {
  case DU_GRAPH_FORWARD:
    operation = create (pool, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, error);
    return operation && SET (operation, OPERATION_CONVOLUTION_FORWARD_CONV_DESC, BACKEND_DESCRIPTOR, 1, &how)
                   && SET (operation, OPERATION_CONVOLUTION_FORWARD_X, BACKEND_DESCRIPTOR, 1, &x)
                   && SET (operation, OPERATION_CONVOLUTION_FORWARD_W, BACKEND_DESCRIPTOR, 1, &weights)
                   && SET (operation, OPERATION_CONVOLUTION_FORWARD_Y, BACKEND_DESCRIPTOR, 1, &y)
                   && SET (operation, OPERATION_CONVOLUTION_FORWARD_ALPHA, FLOAT, 1, &one)
                   && SET (operation, OPERATION_CONVOLUTION_FORWARD_BETA, FLOAT, 1, &zero)
                   && FINALISE (operation)
               ? operation
               : NULL;
  case DU_GRAPH_DATA:
    operation = create (pool, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, error);
    return operation && SET (operation, OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, BACKEND_DESCRIPTOR, 1, &how)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_DATA_DX, BACKEND_DESCRIPTOR, 1, &x)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_DATA_W, BACKEND_DESCRIPTOR, 1, &weights)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_DATA_DY, BACKEND_DESCRIPTOR, 1, &y)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_DATA_ALPHA, FLOAT, 1, &one)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_DATA_BETA, FLOAT, 1, &zero)
                   && FINALISE (operation)
               ? operation
               : NULL;
  default:
    operation = create (pool, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, error);
    return operation
                   && SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, BACKEND_DESCRIPTOR, 1, &how)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_X, BACKEND_DESCRIPTOR, 1, &x)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_DW, BACKEND_DESCRIPTOR, 1, &weights)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_DY, BACKEND_DESCRIPTOR, 1, &y)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, FLOAT, 1, &one)
                   && SET (operation, OPERATION_CONVOLUTION_BWD_FILTER_BETA, FLOAT, 1, &zero)
                   && FINALISE (operation)
               ? operation
               : NULL;
  }
}

/* y = mode (x, b), each value of its own; b may be NULL. */
static Descriptor
pointwise (Pool *pool, cudnnPointwiseMode_t mode, Descriptor x, Descriptor b, Descriptor y, GError **error)
{
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  Descriptor how = create (pool, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, error), operation;

  if (!how || !SET (how, POINTWISE_MODE, POINTWISE_MODE, 1, &mode)
      || !SET (how, POINTWISE_MATH_PREC, DATA_TYPE, 1, &type) || !FINALISE (how))
    return NULL;
  operation = create (pool, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, error);
  return operation && SET (operation, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1, &how)
                 && SET (operation, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1, &x)
                 && (!b || SET (operation, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1, &b))
                 && SET (operation, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1, &y)
                 && FINALISE (operation)
             ? operation
             : NULL;
}

/* The shape's operations in order, into operations; their number, 0 on failure. */
static guint
describe (Pool *pool, const DuGraphShape *shape, const DuVariant *variant, Descriptor *operations,
    GError **error)
{
  static const struct
  {
    cudnnPointwiseMode_t mode;
    int vector; /* 0: none */
  } steps[DU_STEPS_AFFINE] = { { CUDNN_POINTWISE_ADD, BIAS }, { CUDNN_POINTWISE_RELU_FWD, 0 },
    { CUDNN_POINTWISE_MUL, SCALE }, { CUDNN_POINTWISE_ADD, SHIFT } };
  const guint n_steps = variant->fused;
  const cudnnDataType_t type = du_cudnn_type (pool->context->options.type);
  const cudnnDataType_t vector_type = variant->typed ? type : CUDNN_DATA_FLOAT;
  const gint64 x_sizes[] = { shape->n, shape->channels_in, shape->height, shape->width };
  const gint64 y_sizes[] = { shape->n, shape->channels_out, shape->height, shape->width };
  const gint64 weights_sizes[] = { shape->channels_out, shape->channels_in, 3, 3 };
  const gint64 vector_sizes[] = { 1, shape->channels_out, 1, 1 };
  Descriptor x = tensor (pool, X, type, x_sizes, error), weights = NULL, y = NULL, vector;

  if (x)
    weights = tensor (pool, WEIGHTS,
        shape->kind == DU_GRAPH_WEIGHTS ? du_cudnn_type (variant->result) : type, weights_sizes, error);
  if (weights)
    y = tensor (pool, n_steps ? FIRST_VIRTUAL : Y, n_steps ? CUDNN_DATA_FLOAT : type, y_sizes, error);
  if (!y || !(operations[0] = convolve (pool, shape->kind, x, weights, y, error)))
    return 0;
  for (guint i = 0; i < n_steps; i++) {
    const gboolean last = i + 1 == n_steps;
    Descriptor to = tensor (pool, last ? Y : FIRST_VIRTUAL + 1 + i, last ? type : CUDNN_DATA_FLOAT, y_sizes,
        error);

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

/* ---- proposals --------------------------------------------------------------------------------------- */

/* Sums of one order only, as wide as float32; and no tensor cores where float32 is asked for. */
static gboolean
is_allowed (const DuContextOptions *options, const cudnnBackendNumericalNote_t *notes, gint64 count)
{
  const gboolean strict = options->type == DU_TYPE_F32 && !options->tf32;

  for (gint64 i = 0; i < count; i++)
    if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC
        || notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION
        || (strict
            && (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE
                || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)))
      return FALSE;
  return TRUE;
}

/* Keeps a proposal that is allowed while there is room for its like. */
static void
consider (DuProposals *proposals, Descriptor configuration)
{
  Pool *pool = proposals->pool;
  cudnnBackendNumericalNote_t numerical[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  cudnnBackendBehaviorNote_t behaviour[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
  Descriptor engine = create (pool, CUDNN_BACKEND_ENGINE_DESCRIPTOR, NULL);
  gint64 n_engines = 0, n_numerical = 0, n_behaviour = 0;
  gboolean compiled = FALSE;

  if (!engine
      || !DU_CUDNN_TRY (pool->context,
          cudnnBackendGetAttribute (configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR,
              1, &n_engines, &engine),
          NULL)
      || !DU_CUDNN_TRY (pool->context,
          cudnnBackendGetAttribute (engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
              CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n_numerical, numerical),
          NULL)
      || !DU_CUDNN_TRY (pool->context,
          cudnnBackendGetAttribute (engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
              CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &n_behaviour, behaviour),
          NULL)
      || !is_allowed (&pool->context->options, numerical, n_numerical))
    return;
  for (gint64 i = 0; i < n_behaviour; i++)
    compiled = compiled || behaviour[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
  if (compiled && ++proposals->compiled > COMPILED_MAX)
    return;
  g_ptr_array_add (proposals->configurations, configuration);
}

/* Adds what a heuristic proposes; that it has nothing to say is no failure. */
static gboolean
ask (DuProposals *proposals, Descriptor graph, cudnnBackendHeurMode_t mode, GError **error)
{
  Pool *pool = proposals->pool;
  Descriptor heuristic = create (pool, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, error);
  Descriptor configurations[PROPOSALS_MAX];
  gint64 count = 0;

  if (!heuristic || !SET (heuristic, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &graph)
      || !SET (heuristic, ENGINEHEUR_MODE, HEUR_MODE, 1, &mode))
    return FALSE;
  for (guint i = 0; i < PROPOSALS_MAX; i++)
    if (!(configurations[i] = create (pool, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, error)))
      return FALSE;
  if (DU_CUDNN_TRY (pool->context, cudnnBackendFinalize (heuristic), NULL)
      && DU_CUDNN_TRY (pool->context,
          cudnnBackendGetAttribute (heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
              PROPOSALS_MAX, &count, configurations),
          NULL))
    for (gint64 i = 0; i < MIN (count, PROPOSALS_MAX) && proposals->configurations->len < KEPT_MAX; i++)
      consider (proposals, configurations[i]);
  return TRUE;
}

DuProposals *
du_proposals_new (DuContext *context, const DuGraphShape *shape, const DuVariant *variant, GError **error)
{
  DuProposals *proposals = g_new0 (DuProposals, 1);
  Pool *pool = pool_new (context);
  Descriptor operations[1 + DU_STEPS_AFFINE], graph = NULL;
  guint count;

  *proposals = (DuProposals){ context, *shape, pool, g_ptr_array_new () };
  count = describe (pool, shape, variant, operations, error);
  if (count)
    graph = create (pool, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, error);
  if (graph && SET (graph, OPERATIONGRAPH_HANDLE, HANDLE, 1, &context->cudnn)
      && SET (graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, count, operations) && FINALISE (graph)
      && ask (proposals, graph, CUDNN_HEUR_MODE_A, error)
      && (proposals->configurations->len || ask (proposals, graph, CUDNN_HEUR_MODE_FALLBACK, error)))
    return proposals;
  du_proposals_free (proposals);
  return NULL;
}

void
du_proposals_free (DuProposals *proposals)
{
  if (!proposals)
    return;
  pool_unref (proposals->pool);
  g_ptr_array_unref (proposals->configurations);
  g_free (proposals);
}

guint
du_proposals_count (const DuProposals *proposals)
{
  return proposals->configurations->len;
}

/* ---- plans ------------------------------------------------------------------------------------------- */

DuPlan *
du_plan_new (DuProposals *proposals, guint index, GError **error)
{
  Pool *pool = proposals->pool;
  DuPlan *plan = g_new0 (DuPlan, 1);
  gint64 workspace = 0, count = 0;

  plan->context = proposals->context;
  plan->shape = proposals->shape;
  plan->pool = pool;
  g_atomic_ref_count_inc (&pool->references);
  if (DU_CUDNN_TRY (plan->context,
          cudnnBackendCreateDescriptor (CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan->plan), error)
      && SET (plan->plan, EXECUTION_PLAN_HANDLE, HANDLE, 1, &plan->context->cudnn)
      && SET (plan->plan, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1,
          &proposals->configurations->pdata[index])
      && FINALISE (plan->plan)
      && DU_CUDNN_TRY (plan->context,
          cudnnBackendGetAttribute (plan->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
              &count, &workspace),
          error)) {
    plan->workspace = workspace;
    return plan;
  }
  du_plan_free (plan);
  return NULL;
}

void
du_plan_free (DuPlan *plan)
{
  if (!plan)
    return;
  destroy (plan->context, plan->pack);
  destroy (plan->context, plan->plan);
  pool_unref (plan->pool);
  g_free (plan);
}

gsize
du_plan_workspace (const DuPlan *plan)
{
  return plan->workspace;
}

static gboolean
pack_arguments (DuPlan *plan, const DuGraphArguments *arguments, void *workspace, GError **error)
{
  Pool *pool = plan->pool;
  const struct
  {
    gint64 name;
    const void *data;
  } all[] = { { X, arguments->x }, { WEIGHTS, arguments->weights }, { Y, arguments->y },
    { BIAS, arguments->bias }, { SCALE, arguments->scale }, { SHIFT, arguments->shift } };
  const void *data[N_NAMES];
  gint64 names[N_NAMES], count = 0;

  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    if (all[i].data) {
      names[count] = all[i].name;
      data[count++] = all[i].data;
    }
  destroy (plan->context, plan->pack);
  plan->pack = NULL;
  plan->arguments = *arguments;
  plan->packed_workspace = workspace;
  return du_cuda_enter (plan->context, error)
         && DU_CUDNN_TRY (plan->context,
             cudnnBackendCreateDescriptor (CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &plan->pack), error)
         && SET (plan->pack, VARIANT_PACK_UNIQUE_IDS, INT64, count, names)
         && SET (plan->pack, VARIANT_PACK_DATA_POINTERS, VOID_PTR, count, data)
         && SET (plan->pack, VARIANT_PACK_WORKSPACE, VOID_PTR, 1, &workspace) && FINALISE (plan->pack);
}

gboolean
du_plan_run (DuPlan *plan, const DuGraphArguments *arguments, void *workspace, GError **error)
{
  if ((!plan->pack || memcmp (&plan->arguments, arguments, sizeof *arguments) != 0
          || plan->packed_workspace != workspace)
      && !pack_arguments (plan, arguments, workspace, error)) {
    destroy (plan->context, plan->pack);
    plan->pack = NULL;
    return FALSE;
  }
  return DU_CUDNN (plan->context, cudnnBackendExecute (plan->context->cudnn, plan->plan, plan->pack), error);
}

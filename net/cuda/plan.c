/* cuDNN's graph API: an engine heuristic's proposals, plans of them, and what it takes to have a plan again.
 * NVIDIA's "cuDNN Backend API" and "Graph API" pages give descriptors and attributes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "operations.h"

#include <string.h>

enum
{
  PROPOSALS_MAX = 16, /* that a heuristic is asked for */
  KEPT_MAX = 5,       /* of those that are allowed, best first */
  COMPILED_MAX = 1,   /* of which compiled at run time, for about a second each */
  KNOBS_MAX = 16,     /* of an engine; some 6 were seen */
  TEXT_MAX = 1 << 20, /* bytes of a plan as the library writes it, with a compiled kernel some 80 KiB */
};

struct _DuProposals
{
  DuContext *context;
  DuVariant variant;
  DuPool *pool;
  GPtrArray *configurations; /* borrowed from pool */
  guint compiled;            /* of them */
};

struct _DuPlan
{
  DuContext *context;
  DuVariant variant;
  DuPool *pool;               /* of all that it is made of */
  DuDescriptor configuration; /* of the pool; NULL where the plan was read */
  DuDescriptor plan;
  gsize workspace;
  /* The last run's arguments, and as the library wants them. */
  DuDescriptor pack;
  DuGraphArguments arguments;
  void *packed_workspace;
};

/* As DU_SET: up to wanted values, and how many there are. */
#define DU_GET(descriptor, name, type, wanted, count, values) \
  DU_CUDNN_TRY (pool->context, \
      cudnnBackendGetAttribute (descriptor, CUDNN_ATTR_##name, CUDNN_TYPE_##type, wanted, count, values), \
      error)

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

/* FALSE where the library does not say what an engine does, or that is not allowed. */
static gboolean
check_engine (DuPool *pool, DuDescriptor engine, gboolean *compiles, GError **error)
{
  cudnnBackendNumericalNote_t numerical[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  cudnnBackendBehaviorNote_t behaviour[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
  gint64 n_numerical = 0, n_behaviour = 0;

  *compiles = FALSE;
  if (!DU_GET (engine, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n_numerical,
          numerical)
      || !DU_GET (engine, ENGINE_BEHAVIOR_NOTE, BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &n_behaviour,
          behaviour))
    return FALSE;
  for (gint64 i = 0; i < n_behaviour; i++)
    *compiles = *compiles || behaviour[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
  if (is_allowed (&pool->context->options, numerical, n_numerical))
    return TRUE;
  g_set_error (error, DU_ERROR, DU_ERROR_BACKEND, "cuDNN's engine computes in another way than is asked for");
  return FALSE;
}

static DuDescriptor
engine_of (DuPool *pool, DuDescriptor configuration, GError **error)
{
  DuDescriptor engine = du_pool_create (pool, CUDNN_BACKEND_ENGINE_DESCRIPTOR, error);
  gint64 count = 0;

  return engine && DU_GET (configuration, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1, &count, &engine) ? engine
                                                                                                     : NULL;
}

/* Keeps a proposal that is allowed while there is room for its like. */
static void
consider (DuProposals *proposals, DuDescriptor configuration)
{
  DuDescriptor engine = engine_of (proposals->pool, configuration, NULL);
  gboolean compiles;

  if (!engine || !check_engine (proposals->pool, engine, &compiles, NULL))
    return;
  if (compiles && ++proposals->compiled > COMPILED_MAX)
    return;
  g_ptr_array_add (proposals->configurations, configuration);
}

/* Adds what a heuristic proposes; that it has nothing to say is no failure. */
static gboolean
ask (DuProposals *proposals, DuDescriptor graph, cudnnBackendHeurMode_t mode, GError **error)
{
  DuPool *pool = proposals->pool;
  DuDescriptor heuristic = du_pool_create (pool, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, error);
  DuDescriptor configurations[PROPOSALS_MAX];
  gint64 count = 0;

  if (!heuristic || !DU_SET (heuristic, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &graph)
      || !DU_SET (heuristic, ENGINEHEUR_MODE, HEUR_MODE, 1, &mode))
    return FALSE;
  for (guint i = 0; i < PROPOSALS_MAX; i++)
    if (!(configurations[i] = du_pool_create (pool, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, error)))
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
  DuPool *pool = du_pool_new (context);
  DuDescriptor graph;

  *proposals = (DuProposals){ context, *variant, pool, g_ptr_array_new () };
  graph = du_operations_new (pool, shape, variant, error);
  if (graph && ask (proposals, graph, CUDNN_HEUR_MODE_A, error)
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
  du_pool_unref (proposals->pool);
  g_ptr_array_unref (proposals->configurations);
  g_free (proposals);
}

guint
du_proposals_count (const DuProposals *proposals)
{
  return proposals->configurations->len;
}

/* ---- plans ------------------------------------------------------------------------------------------- */

/* Of the pool's operations: of a configuration, or, where that is NULL, of what the library once wrote. */
static DuPlan *
plan_new (DuPool *pool, const DuVariant *variant, DuDescriptor configuration, const char *text, gsize length,
    GError **error)
{
  DuPlan *plan = g_new0 (DuPlan, 1);
  gint64 workspace = 0, count = 0;

  plan->context = pool->context;
  plan->variant = *variant;
  plan->pool = du_pool_ref (pool);
  plan->configuration = configuration;
  if (DU_CUDNN_TRY (plan->context,
          cudnnBackendCreateDescriptor (CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan->plan), error)
      && DU_SET (plan->plan, EXECUTION_PLAN_HANDLE, HANDLE, 1, &plan->context->cudnn)
      && (configuration
              ? DU_SET (plan->plan, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1, &configuration)
              : DU_SET (plan->plan, EXECUTION_PLAN_JSON_REPRESENTATION, CHAR, length, text))
      && DU_FINALISE (plan->plan)
      && DU_GET (plan->plan, EXECUTION_PLAN_WORKSPACE_SIZE, INT64, 1, &count, &workspace)) {
    plan->workspace = workspace;
    return plan;
  }
  du_plan_free (plan);
  return NULL;
}

DuPlan *
du_plan_new (DuProposals *proposals, guint index, GError **error)
{
  return plan_new (proposals->pool, &proposals->variant, proposals->configurations->pdata[index], NULL, 0,
      error);
}

void
du_plan_free (DuPlan *plan)
{
  if (!plan)
    return;
  du_descriptor_destroy (plan->context, plan->pack);
  du_descriptor_destroy (plan->context, plan->plan);
  du_pool_unref (plan->pool);
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
  DuPool *pool = plan->pool;
  const struct
  {
    gint64 name;
    const void *data;
  } all[] = { { DU_TENSOR_X, arguments->x }, { DU_TENSOR_WEIGHTS, arguments->weights },
    { DU_TENSOR_Y, arguments->y }, { DU_TENSOR_BIAS, arguments->bias },
    { DU_TENSOR_SCALE, arguments->scale }, { DU_TENSOR_SHIFT, arguments->shift } };
  const void *data[DU_N_TENSORS];
  gint64 names[DU_N_TENSORS], count = 0;

  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    if (all[i].data) {
      names[count] = all[i].name;
      data[count++] = all[i].data;
    }
  du_descriptor_destroy (plan->context, plan->pack);
  plan->pack = NULL;
  plan->arguments = *arguments;
  plan->packed_workspace = workspace;
  return du_cuda_enter (plan->context, error)
         && DU_CUDNN_TRY (plan->context,
             cudnnBackendCreateDescriptor (CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &plan->pack), error)
         && DU_SET (plan->pack, VARIANT_PACK_UNIQUE_IDS, INT64, count, names)
         && DU_SET (plan->pack, VARIANT_PACK_DATA_POINTERS, VOID_PTR, count, data)
         && DU_SET (plan->pack, VARIANT_PACK_WORKSPACE, VOID_PTR, 1, &workspace) && DU_FINALISE (plan->pack);
}

gboolean
du_plan_run (DuPlan *plan, const DuGraphArguments *arguments, void *workspace, GError **error)
{
  if ((!plan->pack || memcmp (&plan->arguments, arguments, sizeof *arguments) != 0
          || plan->packed_workspace != workspace)
      && !pack_arguments (plan, arguments, workspace, error)) {
    du_descriptor_destroy (plan->context, plan->pack);
    plan->pack = NULL;
    return FALSE;
  }
  return DU_CUDNN (plan->context, cudnnBackendExecute (plan->context->cudnn, plan->plan, plan->pack), error);
}

/* ---- choices ----------------------------------------------------------------------------------------- */

/* Nobody asks why something here does not work: what is chosen is then chosen anew. */
static GError **const error = NULL;

static gboolean
add_knobs (DuPool *pool, DuDescriptor configuration, GVariantBuilder *builder)
{
  DuDescriptor knobs[KNOBS_MAX];
  gint64 n_knobs = 0, count = 0;

  for (guint i = 0; i < KNOBS_MAX; i++)
    if (!(knobs[i] = du_pool_create (pool, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, error)))
      return FALSE;
  /* As many as there is room for may not be all. */
  if (!DU_GET (configuration, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR, KNOBS_MAX, &n_knobs, knobs)
      || n_knobs >= KNOBS_MAX)
    return FALSE;
  for (gint64 i = 0; i < n_knobs; i++) {
    cudnnBackendKnobType_t type;
    gint64 value = 0;

    if (!DU_GET (knobs[i], KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1, &count, &type)
        || !DU_GET (knobs[i], KNOB_CHOICE_KNOB_VALUE, INT64, 1, &count, &value))
      return FALSE;
    g_variant_builder_add (builder, "(ix)", (gint32) type, value);
  }
  return TRUE;
}

/* The plan as the library writes it; empty where it does not, or writes too much. */
static GVariant *
plan_text (DuPlan *plan)
{
  DuPool *pool = plan->pool;
  g_autofree char *text = NULL;
  gint64 size = 0, count = 0;

  if (DU_GET (plan->plan, EXECUTION_PLAN_JSON_REPRESENTATION, CHAR, 0, &size, NULL) && size > 0
      && size <= TEXT_MAX) {
    text = g_malloc (size);
    if (!DU_GET (plan->plan, EXECUTION_PLAN_JSON_REPRESENTATION, CHAR, size, &count, text) || count > size)
      count = 0;
  }
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, count, 1);
}

GVariant *
du_plan_choice (DuPlan *plan)
{
  DuPool *pool = plan->pool;
  const DuVariant *variant = &plan->variant;
  DuDescriptor engine = engine_of (pool, plan->configuration, error);
  GVariantBuilder knobs;
  gint64 index = 0, count = 0;
  gboolean compiles;

  if (!engine || !check_engine (pool, engine, &compiles, error)
      || !DU_GET (engine, ENGINE_GLOBAL_INDEX, INT64, 1, &count, &index))
    return NULL;
  g_variant_builder_init (&knobs, G_VARIANT_TYPE ("a(ix)"));
  if (!add_knobs (pool, plan->configuration, &knobs)) {
    g_variant_builder_clear (&knobs);
    return NULL;
  }
  return g_variant_new ("((ubu)xa(ix)xs@ay)", variant->fused, variant->typed, (guint32) variant->result,
      index, &knobs, (gint64) plan->workspace, pool->operations,
      compiles ? plan_text (plan) : g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, NULL, 0, 1));
}

/* The engine with its knobs, for the operations of graph. */
static DuDescriptor
configure (DuPool *pool, DuDescriptor graph, gint64 index, GVariant *choices)
{
  const gsize n_knobs = g_variant_n_children (choices);
  DuDescriptor engine = du_pool_create (pool, CUDNN_BACKEND_ENGINE_DESCRIPTOR, error), configuration;
  DuDescriptor knobs[KNOBS_MAX];
  gboolean compiles;

  if (!engine || n_knobs > KNOBS_MAX
      || !DU_SET (engine, ENGINE_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &graph)
      || !DU_SET (engine, ENGINE_GLOBAL_INDEX, INT64, 1, &index) || !DU_FINALISE (engine)
      || !check_engine (pool, engine, &compiles, error))
    return NULL;
  for (gsize i = 0; i < n_knobs; i++) {
    cudnnBackendKnobType_t type;
    gint32 number;
    gint64 value;

    g_variant_get_child (choices, i, "(ix)", &number, &value);
    type = number;
    knobs[i] = du_pool_create (pool, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, error);
    if (!knobs[i] || !DU_SET (knobs[i], KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1, &type)
        || !DU_SET (knobs[i], KNOB_CHOICE_KNOB_VALUE, INT64, 1, &value) || !DU_FINALISE (knobs[i]))
      return NULL;
  }
  configuration = du_pool_create (pool, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, error);
  return configuration && DU_SET (configuration, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1, &engine)
                 && (!n_knobs
                     || DU_SET (configuration, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR, n_knobs, knobs))
                 && DU_FINALISE (configuration)
             ? configuration
             : NULL;
}

DuPlan *
du_plan_new_chosen (DuContext *context, const DuGraphShape *shape, const DuVariant *variant, GVariant *choice)
{
  DuPool *pool = du_pool_new (context);
  DuDescriptor graph = du_operations_new (pool, shape, variant, error), configuration;
  g_autoptr (GVariant) knobs = NULL, text = NULL;
  const char *operations;
  gint64 index, workspace;
  DuPlan *plan = NULL;

  g_variant_get (choice, "((ubu)x@a(ix)x&s@ay)", NULL, NULL, NULL, &index, &knobs, &workspace, &operations,
      &text);
  if (graph && g_variant_get_size (text) && strcmp (operations, pool->operations) == 0)
    plan = plan_new (pool, variant, NULL, g_variant_get_data (text), g_variant_get_size (text), NULL);
  if (graph && !plan && du_cuda_enter (context, error)
      && (configuration = configure (pool, graph, index, knobs)))
    plan = plan_new (pool, variant, configuration, NULL, 0, error);
  if (plan && plan->workspace > (gsize) workspace) /* another plan than the one that was chosen */
    g_clear_pointer (&plan, du_plan_free);
  du_pool_unref (pool);
  return plan;
}

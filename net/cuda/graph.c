/* Which plan serves a shape: measured once and kept, in memory and on disk; what a plan leaves to kernels.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph.h"

#include "kernels.h"
#include "plan-cache.h"
#include "plan.h"

#include <string.h>

enum
{
  TIMED_ROUNDS = 3, /* after one that is not timed; the fastest counts */
  RUNS_MAX = 16,    /* of a round */
};

/* Of a round of runs, about. An idle GPU waits longer for the CPU's next launch than a small convolution takes it, and has
 * to come up from the clock it idles at: one run alone would be a time of these. */
#define ROUND_MS 1.f

struct _DuGraph
{
  DuContext *context;
  DuGraphShape shape;
  DuVariant variant;
  DuPlan *plan;     /* or NULL: */
  DuLegacy *legacy;
  float *identity;  /* [2][out], mean 0 and deviation 1, for scale and shift outside of the plan; or NULL */
  char *key;        /* under which its choice is kept; NULL before it is chosen */
};

guint
du_graph_shape_hash (gconstpointer shape)
{
  const gint32 *fields = shape;
  guint hash = 5381;

  for (guint i = 0; i < sizeof (DuGraphShape) / sizeof *fields; i++)
    hash = hash * 33 + (guint) fields[i];
  return hash;
}

gboolean
du_graph_shape_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (DuGraphShape)) == 0;
}

/* ---- choices ----------------------------------------------------------------------------------------- */

/* What a choice depends on, beside the device and its libraries. */
static char *
choice_key (const DuContext *context, const DuGraphShape *shape)
{
  return g_strdup_printf ("%d%d%d|%d %dx%dx%d %d>%d %d%d", context->options.type, context->options.tf32,
      context->options.reproducible, shape->kind, shape->n, shape->height, shape->width, shape->channels_in,
      shape->channels_out, shape->rectify, shape->affine);
}

/* Best first; their number. */
static guint
variants_of (const DuContext *context, const DuGraphShape *shape, DuVariant *variants)
{
  const DuType type = context->options.type;
  guint count = 0;

  if (shape->kind == DU_GRAPH_WEIGHTS && type != DU_TYPE_F32)
    variants[count++] = (DuVariant){ .result = DU_TYPE_F32 };
  if (shape->affine)
    variants[count++] = (DuVariant){ DU_STEPS_AFFINE, FALSE, type };
  if (shape->rectify)
    variants[count++] = (DuVariant){ DU_STEPS_RECTIFY, TRUE, type };
  variants[count++] = (DuVariant){ .result = type };
  return count;
}

/* ---- timing ------------------------------------------------------------------------------------------ */

typedef struct
{
  cudaEvent_t start, stop;
  char *memory; /* all tensors, then working memory */
  gsize tensors, size;
  gboolean incomplete; /* memory was lacking for some */
} Trial;

static void
trial_clear (DuContext *context, Trial *trial)
{
  if (!context->lost && trial->start)
    (void) DU_CUDA (context, cudaEventDestroy (trial->start), NULL);
  if (!context->lost && trial->stop)
    (void) DU_CUDA (context, cudaEventDestroy (trial->stop), NULL);
  du_cuda_release (context, trial->memory);
}

/* Zeros are as slow as pictures for all that a plan does. */
static gboolean
trial_reserve (DuContext *context, Trial *trial, gsize workspace, GError **error)
{
  gsize size = trial->tensors + workspace;

  if (size <= trial->size)
    return TRUE;
  du_cuda_release (context, trial->memory);
  trial->memory = du_cuda_allocate (context, size, 1, "the choice of a convolution", error);
  trial->size = trial->memory ? size : 0;
  return trial->memory && DU_CUDA (context, cudaMemsetAsync (trial->memory, 0, size, context->stream), error);
}

static DuGraphArguments
trial_arguments (const DuGraphShape *shape, Trial *trial)
{
  const gsize pixels = (gsize) shape->n * shape->height * shape->width, size = sizeof (float);
  const gsize counts[] = { pixels * shape->channels_in, (gsize) 9 * shape->channels_in * shape->channels_out,
    pixels * shape->channels_out, shape->channels_out, shape->channels_out, shape->channels_out,
    shape->channels_out };
  char *parts[G_N_ELEMENTS (counts)], *at = trial->memory;

  trial->tensors = 0;
  for (guint i = 0; i < G_N_ELEMENTS (counts); i++) {
    parts[i] = at ? at + trial->tensors : NULL;
    trial->tensors += du_cuda_aligned (counts[i] * size);
  }
  return (DuGraphArguments){ parts[0], parts[1], parts[2], (float *) parts[3], (float *) parts[4],
    (float *) parts[5], parts[6] };
}

/* Milliseconds of one of so many runs in a row. */
static gboolean
time_round (DuGraph *graph, const Trial *trial, const DuGraphArguments *arguments, int runs, float *milliseconds,
    GError **error)
{
  DuContext *context = graph->context;
  gboolean ok = DU_CUDA (context, cudaEventRecord (trial->start, context->stream), error);

  for (int run = 0; ok && run < runs; run++)
    ok = du_graph_run (graph, arguments, trial->memory + trial->tensors, error);
  if (!ok || !DU_CUDA (context, cudaEventRecord (trial->stop, context->stream), error)
      || !DU_CUDA (context, cudaEventSynchronize (trial->stop), error)
      || !DU_CUDA (context, cudaEventElapsedTime (milliseconds, trial->start, trial->stop), error))
    return FALSE;
  *milliseconds /= runs;
  return TRUE;
}

/* Milliseconds of a run in the fastest round. */
static gboolean
time_graph (DuGraph *graph, Trial *trial, float *best, GError **error)
{
  DuGraphArguments arguments;
  int runs = 1;

  if (!trial_reserve (graph->context, trial, du_graph_workspace (graph), error))
    return FALSE;
  arguments = trial_arguments (&graph->shape, trial);
  *best = G_MAXFLOAT;
  for (int round = 0; round <= TIMED_ROUNDS; round++) {
    float milliseconds = 0;

    if (!time_round (graph, trial, &arguments, runs, &milliseconds, error))
      return FALSE;
    if (round > 0)
      *best = MIN (*best, milliseconds);
    if (round == 1)
      runs = (int) CLAMP (ROUND_MS / MAX (milliseconds, 1e-3f), 1, RUNS_MAX);
  }
  return TRUE;
}

/* ---- graphs ------------------------------------------------------------------------------------------ */

static gboolean
needs_identity (const DuGraph *graph)
{
  return graph->shape.kind == DU_GRAPH_FORWARD && graph->shape.affine
         && graph->variant.fused < DU_STEPS_AFFINE;
}

static gboolean
make_identity (DuGraph *graph, GError **error)
{
  DuContext *context = graph->context;
  const gsize channels = graph->shape.channels_out;
  g_autofree float *values = NULL;

  if (!needs_identity (graph))
    return TRUE;
  values = g_new0 (float, 2 * channels);
  for (gsize c = 0; c < channels; c++)
    values[channels + c] = 1;
  graph->identity = du_cuda_allocate (context, 2 * channels, sizeof (float), "a row's vectors", error);
  return graph->identity
         && DU_CUDA (context,
             cudaMemcpyAsync (graph->identity, values, 2 * channels * sizeof (float), cudaMemcpyHostToDevice,
                 context->stream),
             error);
}

/* Takes the plan over; NULL: the legacy API. */
static DuGraph *
graph_new (DuContext *context, const DuGraphShape *shape, const DuVariant *variant, DuPlan *plan,
    GError **error)
{
  DuGraph *graph = g_new0 (DuGraph, 1);

  *graph = (DuGraph){ .context = context, .shape = *shape, .variant = *variant, .plan = plan };
  if ((plan || (graph->legacy = du_legacy_new (context, shape, error))) && make_identity (graph, error))
    return graph;
  du_graph_free (graph);
  return NULL;
}

void
du_graph_free (gpointer data)
{
  DuGraph *graph = data;

  if (!graph)
    return;
  du_plan_free (graph->plan);
  du_legacy_free (graph->legacy);
  du_cuda_release (graph->context, graph->identity);
  g_free (graph->key);
  g_free (graph);
}

static DuGraph *
legacy_graph (DuContext *context, const DuGraphShape *shape, GError **error)
{
  const DuVariant bare = { .result = context->options.type };

  return graph_new (context, shape, &bare, NULL, error);
}

/* Where it has not, a plan of less memory may do. */
static gboolean
has_room (DuContext *context, gsize workspace)
{
  gsize available = 0, all = 0;

  return workspace <= context->scratch_size
         || (DU_CUDA (context, cudaMemGetInfo (&available, &all), NULL) && workspace <= available);
}

/* A choice made before; NULL where there is none, or it does not work this time. */
static DuGraph *
kept_graph (DuContext *context, const DuGraphShape *shape, const char *key, const DuVariant *variants,
    guint count)
{
  g_autoptr (GVariant) choice = du_plan_cache_find (context->plans, key);
  DuPlan *plan = NULL;
  guint fused, result, v = 0;
  gboolean typed;
  gint64 engine;

  if (!choice)
    return NULL;
  g_variant_get (choice, DU_CHOICE_TYPE, &fused, &typed, &result, &engine, NULL, NULL, NULL, NULL);
  if (engine < 0)
    return legacy_graph (context, shape, NULL);
  while (v < count
         && (variants[v].fused != fused || variants[v].typed != typed || variants[v].result != result))
    v++;
  if (v < count)
    plan = du_plan_new_chosen (context, shape, &variants[v], choice);
  if (plan && has_room (context, du_plan_workspace (plan)))
    return graph_new (context, shape, &variants[v], plan, NULL);
  du_plan_free (plan);
  return NULL;
}

/* lasting: in other processes, too. The legacy API is asked each time: what it stands in for may come. */
static void
keep_choice (DuGraph *graph, const char *key, gboolean lasting)
{
  GVariant *choice = graph->plan ? du_plan_choice (graph->plan)
                                 : g_variant_new (DU_CHOICE_TYPE, 0, FALSE, 0, (gint64) -1, NULL, (gint64) 0,
                                     "", NULL);

  if (choice)
    du_plan_cache_keep (graph->context->plans, key, choice, lasting && graph->plan);
}

static DuGraph *
proposed_graph (DuContext *context, const DuGraphShape *shape, const DuVariant *variant,
    DuProposals *proposals, guint index, Trial *trial)
{
  g_autoptr (GError) problem = NULL;
  DuPlan *plan = du_plan_new (proposals, index, &problem);
  DuGraph *graph = plan ? graph_new (context, shape, variant, plan, &problem) : NULL;

  trial->incomplete = trial->incomplete || g_error_matches (problem, DU_ERROR, DU_ERROR_MEMORY);
  return graph;
}

/* Tries a proposal against the best so far, takes it over. */
static void
compete (DuGraph *graph, Trial *trial, DuGraph **best, float *best_time)
{
  g_autoptr (GError) problem = NULL;
  float milliseconds = G_MAXFLOAT;
  gboolean wins;

  if (graph->context->options.reproducible) {
    wins = !*best;
  } else if (time_graph (graph, trial, &milliseconds, &problem)) {
    wins = milliseconds < *best_time;
  } else { /* Memory for a trial may be lacking where the row itself would still run. */
    const gboolean memory = g_error_matches (problem, DU_ERROR, DU_ERROR_MEMORY);

    trial->incomplete = trial->incomplete || memory;
    wins = !*best && memory;
  }
  if (!wins) {
    du_graph_free (graph);
    return;
  }
  du_graph_free (*best);
  *best = graph;
  *best_time = milliseconds;
}

/* Every variant's proposals compete; the legacy API stands in where none works. */
static DuGraph *
choose_graph (DuContext *context, const DuGraphShape *shape, const char *key, const DuVariant *variants,
    guint count, GError **error)
{
  Trial trial = { NULL };
  DuGraph *best = NULL;
  float best_time = G_MAXFLOAT;
  gboolean ok;

  (void) trial_arguments (shape, &trial);
  ok = context->options.reproducible
       || (DU_CUDA (context, cudaEventCreate (&trial.start), error)
           && DU_CUDA (context, cudaEventCreate (&trial.stop), error));
  for (guint v = 0; v < count && ok && !(best && context->options.reproducible); v++) {
    DuProposals *proposals = du_proposals_new (context, shape, &variants[v], NULL);

    for (guint i = 0; proposals && !context->lost && i < du_proposals_count (proposals)
                      && !(best && context->options.reproducible); i++) {
      DuGraph *graph = proposed_graph (context, shape, &variants[v], proposals, i, &trial);

      if (graph)
        compete (graph, &trial, &best, &best_time);
    }
    du_proposals_free (proposals);
    ok = du_cuda_enter (context, error);
  }
  if (ok && !best)
    best = legacy_graph (context, shape, error);
  if (!ok)
    g_clear_pointer (&best, du_graph_free);
  trial_clear (context, &trial);
  if (best && !context->lost)
    keep_choice (best, key, !trial.incomplete);
  return best;
}

DuGraph *
du_graph_get (DuContext *context, const DuGraphShape *shape, GError **error)
{
  DuGraph *graph = g_hash_table_lookup (context->graphs, shape);
  g_autofree char *key = NULL;
  DuVariant variants[DU_VARIANTS_MAX];
  guint count = variants_of (context, shape, variants);

  if (graph)
    return graph;
  /* What was freed before this may have shown the device as lost. */
  if (!du_cuda_enter (context, error))
    return NULL;
  key = choice_key (context, shape);
  graph = kept_graph (context, shape, key, variants, count);
  if (!graph && du_cuda_enter (context, error))
    graph = choose_graph (context, shape, key, variants, count, error);
  if (graph) {
    graph->key = g_steal_pointer (&key);
    g_hash_table_insert (context->graphs, &graph->shape, graph);
  }
  return graph;
}

gsize
du_graph_workspace (const DuGraph *graph)
{
  return graph->plan ? du_plan_workspace (graph->plan) : du_legacy_workspace (graph->legacy);
}

DuType
du_graph_result (const DuGraph *graph)
{
  return graph->variant.result;
}

/* What the plan leaves of bias, ReLU, scale and shift, in place. */
static gboolean
finish (DuGraph *graph, const DuGraphArguments *arguments, GError **error)
{
  const DuGraphShape *shape = &graph->shape;
  DuContext *context = graph->context;
  const DuKernelExtent extent = { context->options.type, (gsize) shape->n * shape->height, shape->width,
    shape->channels_out };
  DuKernelMoments identity = { graph->identity };

  if (shape->rectify && graph->variant.fused < DU_STEPS_RECTIFY)
    du_kernel_relu (context->stream, &extent, arguments->bias, arguments->y);
  if (graph->identity) {
    identity.deviation = graph->identity + shape->channels_out;
    du_kernel_normalise (context->stream, &extent, arguments->y, &identity, arguments->scale,
        arguments->shift, arguments->y);
  }
  return DU_CUDA (context, cudaGetLastError (), error);
}

gboolean
du_graph_run (DuGraph *graph, const DuGraphArguments *arguments, void *workspace, GError **error)
{
  const DuVariant *variant = &graph->variant;
  DuGraphArguments of_plan = { arguments->x, arguments->weights, arguments->y };
  gboolean ok;

  if (variant->fused >= DU_STEPS_RECTIFY)
    of_plan.bias = variant->typed ? arguments->typed_bias : arguments->bias;
  if (variant->fused == DU_STEPS_AFFINE) {
    of_plan.scale = arguments->scale;
    of_plan.shift = arguments->shift;
  }
  ok = (graph->plan ? du_plan_run (graph->plan, &of_plan, workspace, error)
                    : du_legacy_run (graph->legacy, &of_plan, workspace, error))
       && finish (graph, arguments, error);
  /* That a plan could be made says little where it was not tried: the next session is to choose anew. */
  if (!ok && graph->key && !graph->context->records_now)
    du_plan_cache_drop (graph->context->plans, graph->key);
  return ok;
}

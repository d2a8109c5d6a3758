/* Which plan serves a shape: measured once per process and kept; and what a plan leaves to kernels.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph.h"

#include "kernels.h"
#include "plan.h"

#include <string.h>

enum
{
  TIMED_RUNS = 3, /* after one that is not timed; the fastest counts */
};

struct _DuGraph
{
  DuContext *context;
  DuGraphShape shape;
  DuVariant variant;
  DuPlan *plan;     /* or NULL: */
  DuLegacy *legacy;
  float *identity;  /* [2][out], mean 0 and deviation 1, for scale and shift outside of the plan; or NULL */
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

/* A choice made in this process, by "device options shape"; the legacy API comes after all variants. */
typedef struct
{
  guint variant, proposal;
} Choice;

static GMutex choices_lock;
static GHashTable *choices;

static char *
choice_key (const DuContext *context, const DuGraphShape *shape)
{
  return g_strdup_printf ("%s|%d%d%d|%d %dx%dx%d %d>%d %d%d", context->name, context->options.type,
      context->options.tf32, context->options.reproducible, shape->kind, shape->n, shape->height,
      shape->width, shape->channels_in, shape->channels_out, shape->rectify, shape->affine);
}

static gboolean
find_choice (const DuContext *context, const DuGraphShape *shape, Choice *choice)
{
  g_autofree char *key = choice_key (context, shape);
  const Choice *found;

  g_mutex_lock (&choices_lock);
  found = choices ? g_hash_table_lookup (choices, key) : NULL;
  if (found)
    *choice = *found;
  g_mutex_unlock (&choices_lock);
  return found != NULL;
}

static void
keep_choice (const DuContext *context, const DuGraphShape *shape, Choice choice)
{
  g_mutex_lock (&choices_lock);
  if (!choices)
    choices = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_replace (choices, choice_key (context, shape), g_memdup2 (&choice, sizeof choice));
  g_mutex_unlock (&choices_lock);
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

/* Milliseconds of the fastest run. */
static gboolean
time_graph (DuGraph *graph, Trial *trial, float *best, GError **error)
{
  DuContext *context = graph->context;
  DuGraphArguments arguments;

  if (!trial_reserve (context, trial, du_graph_workspace (graph), error))
    return FALSE;
  arguments = trial_arguments (&graph->shape, trial);
  *best = G_MAXFLOAT;
  for (int run = 0; run <= TIMED_RUNS; run++) {
    float milliseconds = 0;

    if (!DU_CUDA (context, cudaEventRecord (trial->start, context->stream), error)
        || !du_graph_run (graph, &arguments, trial->memory + trial->tensors, error)
        || !DU_CUDA (context, cudaEventRecord (trial->stop, context->stream), error)
        || !DU_CUDA (context, cudaEventSynchronize (trial->stop), error)
        || !DU_CUDA (context, cudaEventElapsedTime (&milliseconds, trial->start, trial->stop), error))
      return FALSE;
    if (run > 0)
      *best = MIN (*best, milliseconds);
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

/* With one proposal, or the legacy API where proposals is NULL. */
static DuGraph *
graph_new (DuContext *context, const DuGraphShape *shape, const DuVariant *variant, DuProposals *proposals,
    guint index, GError **error)
{
  DuGraph *graph = g_new0 (DuGraph, 1);
  gboolean ok;

  *graph = (DuGraph){ .context = context, .shape = *shape, .variant = *variant };
  if (proposals)
    ok = (graph->plan = du_plan_new (proposals, index, error)) != NULL;
  else
    ok = (graph->legacy = du_legacy_new (context, shape, error)) != NULL;
  if (ok && make_identity (graph, error))
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
  g_free (graph);
}

static DuGraph *
legacy_graph (DuContext *context, const DuGraphShape *shape, GError **error)
{
  const DuVariant bare = { .result = context->options.type };

  return graph_new (context, shape, &bare, NULL, 0, error);
}

/* A choice made before; NULL where it does not work this time. */
static DuGraph *
chosen_graph (DuContext *context, const DuGraphShape *shape, const DuVariant *variants, guint count,
    Choice choice)
{
  DuProposals *proposals;
  DuGraph *graph = NULL;

  if (choice.variant >= count)
    return legacy_graph (context, shape, NULL);
  proposals = du_proposals_new (context, shape, &variants[choice.variant], NULL);
  if (proposals && choice.proposal < du_proposals_count (proposals))
    graph = graph_new (context, shape, &variants[choice.variant], proposals, choice.proposal, NULL);
  du_proposals_free (proposals);
  return graph;
}

/* Tries a proposal against the best so far; TRUE where it takes its place, else it is freed. */
static gboolean
compete (DuGraph *graph, Trial *trial, DuGraph **best, float *best_time)
{
  g_autoptr (GError) problem = NULL;
  float milliseconds = G_MAXFLOAT;
  gboolean wins;

  if (graph->context->options.reproducible)
    wins = !*best;
  else if (time_graph (graph, trial, &milliseconds, &problem))
    wins = milliseconds < *best_time;
  else /* Memory for a trial may be lacking where the row itself would still run. */
    wins = !*best && g_error_matches (problem, DU_ERROR, DU_ERROR_MEMORY);
  if (!wins) {
    du_graph_free (graph);
    return FALSE;
  }
  du_graph_free (*best);
  *best = graph;
  *best_time = milliseconds;
  return TRUE;
}

/* Every variant's proposals compete; the legacy API stands in where none works. */
static DuGraph *
choose_graph (DuContext *context, const DuGraphShape *shape, const DuVariant *variants, guint count,
    Choice *choice, GError **error)
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
      DuGraph *graph = graph_new (context, shape, &variants[v], proposals, i, NULL);

      if (graph && compete (graph, &trial, &best, &best_time))
        *choice = (Choice){ v, i };
    }
    du_proposals_free (proposals);
    ok = du_cuda_enter (context, error);
  }
  if (ok && !best) {
    *choice = (Choice){ count, 0 };
    best = legacy_graph (context, shape, error);
  }
  if (!ok)
    g_clear_pointer (&best, du_graph_free);
  trial_clear (context, &trial);
  return best;
}

DuGraph *
du_graph_get (DuContext *context, const DuGraphShape *shape, GError **error)
{
  DuGraph *graph = g_hash_table_lookup (context->graphs, shape);
  DuVariant variants[DU_VARIANTS_MAX];
  guint count = variants_of (context, shape, variants);
  Choice choice;

  if (graph)
    return graph;
  /* What was freed before this may have shown the device as lost. */
  if (!du_cuda_enter (context, error))
    return NULL;
  if (find_choice (context, shape, &choice))
    graph = chosen_graph (context, shape, variants, count, choice);
  if (!graph && du_cuda_enter (context, error)
      && (graph = choose_graph (context, shape, variants, count, &choice, error)))
    keep_choice (context, shape, choice);
  if (graph)
    g_hash_table_insert (context->graphs, &graph->shape, graph);
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

  if (variant->fused >= DU_STEPS_RECTIFY)
    of_plan.bias = variant->typed ? arguments->typed_bias : arguments->bias;
  if (variant->fused == DU_STEPS_AFFINE) {
    of_plan.scale = arguments->scale;
    of_plan.shift = arguments->shift;
  }
  return (graph->plan ? du_plan_run (graph->plan, &of_plan, workspace, error)
                      : du_legacy_run (graph->legacy, &of_plan, workspace, error))
         && finish (graph, arguments, error);
}

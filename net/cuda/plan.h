/* One convolution as a plan of cuDNN's graph API, or as a call of its legacy API: made, asked for, run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_PLAN_H
#define DU_CUDA_PLAN_H

#include "graph.h"

/* Of what FORWARD does behind the convolution, in order. */
enum
{
  DU_STEPS_NONE = 0,
  DU_STEPS_RECTIFY = 2, /* bias, ReLU */
  DU_STEPS_AFFINE = 4,  /* and scale, shift */
};

/* What a plan does itself, and what it leaves to others. */
typedef struct
{
  guint fused;    /* FORWARD: so many steps */
  gboolean typed; /* its vectors are in the activation type: the library then has engines ready, otherwise it
                   * compiles them */
  DuType result;  /* see du_graph_result() */
} DuVariant;

enum
{
  DU_VARIANTS_MAX = 3,
};

static inline cudnnDataType_t
du_cudnn_type (DuType type)
{
  static const cudnnDataType_t types[] = {
    [DU_TYPE_F32] = CUDNN_DATA_FLOAT,
    [DU_TYPE_BF16] = CUDNN_DATA_BFLOAT16,
    [DU_TYPE_F16] = CUDNN_DATA_HALF,
  };

  return types[type];
}

/* The library's proposals for a shape, best first, those left out that the context's options forbid. */
typedef struct _DuProposals DuProposals;
DuProposals *du_proposals_new (DuContext *context, const DuGraphShape *shape, const DuVariant *variant,
    GError **error);
void du_proposals_free (DuProposals *proposals); /* NULL is allowed; their plans go on living */
guint du_proposals_count (const DuProposals *proposals);

typedef struct _DuPlan DuPlan;
/* NULL where the proposal does not work here, with the library's reason. */
DuPlan *du_plan_new (DuProposals *proposals, guint index, GError **error);
void du_plan_free (DuPlan *plan); /* NULL is allowed */
gsize du_plan_workspace (const DuPlan *plan);
/* All that it takes to have the plan again, in this process or another, without heuristics and mostly without
 * compiling: floating, as plan-cache.h says. plan: made of a proposal. NULL where the library does not say. */
GVariant *du_plan_choice (DuPlan *plan);
/* NULL where that does not work here and now. */
DuPlan *du_plan_new_chosen (DuContext *context, const DuGraphShape *shape, const DuVariant *variant,
    GVariant *choice);
gboolean du_plan_run (DuPlan *plan, const DuGraphArguments *arguments, void *workspace, GError **error);

/* The bare convolution, unfused, the result in the activation type. */
typedef struct _DuLegacy DuLegacy;
DuLegacy *du_legacy_new (DuContext *context, const DuGraphShape *shape, GError **error);
void du_legacy_free (DuLegacy *legacy); /* NULL is allowed */
gsize du_legacy_workspace (const DuLegacy *legacy);
gboolean du_legacy_run (DuLegacy *legacy, const DuGraphArguments *arguments, void *workspace,
    GError **error);

#endif

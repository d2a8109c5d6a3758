/* A recipe as it was read: shared by its reading (degrade-recipe.c) and its use (degrade.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DEGRADE_RECIPE_H
#define DEGRADE_RECIPE_H

#include "degrade.h"

typedef struct
{
  double low, high;
} RecipeRange;

typedef struct
{
  DegradeKind kind;
  SynthKernel *kernels; /* BLUR_LIST; g_free */
  guint n_kernels;
  RecipeRange range; /* else */
  /* CODEC */
  CodecKind codec;
  RecipeRange gop, pan;
  gboolean fast, clip;
} RecipeStage;

typedef struct
{
  double weight;
  guint n;
  RecipeStage stage[DEGRADE_MAX_STAGES];
} RecipeChain;

struct _Degrade
{
  char *text;
  GArray *chains; /* of RecipeChain */
};

#endif

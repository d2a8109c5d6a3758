/* Whole pictures against the truth: what `eval` prints and what `fit` validates with.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EVALUATE_H
#define EVALUATE_H

#include "dataset.h"
#include "metrics.h"

/* predicted = network (blurred), both RGB [height, width, 3]; predicted is in [0,1] and may leave it. */
typedef gboolean (*EvaluatePredict) (gpointer data, int height, int width, const guint8 *blurred,
    float *predicted, GError **error);

/* One picture with one blur; valid during the call. */
typedef struct
{
  const char *name;
  int kernel; /* -1 = unknown; from n_kernels on: the degradations' chains */
  const char *chain; /* the text of a degradation's chain, else NULL */
  int height, width;
  const guint8 *blurred, *predicted, *sharp; /* 8-bit RGB, dense */
  Measurement measurement;
} EvaluateResult;

typedef gboolean (*EvaluateVisit) (gpointer data, const EvaluateResult *result, GError **error);

typedef struct
{
  const SynthKernel *kernels;
  guint n_kernels;
  const Degrade *degrade; /* sharp material goes through each of its chains too; NULL = none */
  DuLoss loss;
  double loss_epsilon;
  gboolean blurred_ssim; /* SSIM of the blurred picture too: it costs as much as the predicted one's */
  EvaluatePredict predict;
  EvaluateVisit visit; /* NULL: none */
  gpointer data;       /* of predict and visit */
} Evaluation;

/* Each of these adds to the metrics, and fails with a signal's exit code when one has come. */
gboolean evaluate_pair (const Evaluation *evaluation, const char *name, int kernel, int height, int width,
    const guint8 *blurred, const guint8 *sharp, Metrics *metrics, GError **error);
/* The picture blurred with each of the kernels in turn, and degraded by each chain: what a chain draws depends on
 * the picture's name alone. */
gboolean evaluate_sharp (const Evaluation *evaluation, const char *name, int height, int width,
    const guint8 *sharp, Metrics *metrics, GError **error);
/* Of a data set, or a subset of it (NULL = all): pairs as they are, sharp material with each kernel. */
gboolean evaluate_dataset (const Evaluation *evaluation, Dataset *dataset, DatasetKind kind,
    const guint *subset, guint n_subset, Metrics *metrics, GError **error);

/* --kernels into the options; list, g_free, holds what they point to. */
gboolean evaluate_kernels (const char *text, SynthKernel **list, SynthOptions *synth, GError **error);

/* Is path a folder with sharp/ and blur/? */
gboolean evaluate_is_pairs (const char *path);

/* A table on stdout: a line per kernel and one for all. */
void evaluate_print (const Metrics *metrics, const SynthKernel *kernels);
/* "7x7 sigma 1" into text. */
void evaluate_kernel_name (const SynthKernel *kernel, char text[32]);

#endif

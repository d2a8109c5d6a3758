/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "evaluate.h"

#include <math.h>

gboolean
evaluate_is_pairs (const char *path)
{
  g_autofree char *sharp = g_build_filename (path, "sharp", NULL),
                  *blur = g_build_filename (path, "blur", NULL);

  return g_file_test (sharp, G_FILE_TEST_IS_DIR) && g_file_test (blur, G_FILE_TEST_IS_DIR);
}

gboolean
evaluate_kernels (const char *text, SynthKernel **list, SynthOptions *synth, GError **error)
{
  if (!synth_kernels_parse (text, list, &synth->n_kernels, error))
    return FALSE;
  synth->kernels = *list;
  if (synth->n_kernels <= METRICS_MAX_KERNELS)
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--kernels has %u kernels: give at most %d", synth->n_kernels,
      METRICS_MAX_KERNELS);
  return FALSE;
}

static gboolean
out_of_memory (int height, int width, GError **error)
{
  g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory to evaluate a picture of %dx%d", width,
      height);
  return FALSE;
}

/* predicted8 is written. */
static void
measure (const Evaluation *evaluation, int height, int width, const guint8 *blurred,
    const float *predicted, const guint8 *sharp, guint8 *predicted8, Measurement *measurement)
{
  gsize n = (gsize) height * width * 3;
  g_autofree float *truth = g_new (float, n);
  double *value = measurement->value, mse;

  metrics_from_8bit (n, sharp, truth);
  metrics_to_8bit (n, predicted, predicted8);
  mse = metrics_mse8 (n, predicted8, sharp);
  measurement->exact = mse == 0; /* an exact zero: a sum of whole numbers */
  value[METRIC_MSE] = du_loss (DU_LOSS_MSE, 0, 1, height, width, 3, predicted, truth, NULL);
  value[METRIC_MAE] = du_loss (DU_LOSS_MAE, 0, 1, height, width, 3, predicted, truth, NULL);
  value[METRIC_LOSS]
      = du_loss (evaluation->loss, evaluation->loss_epsilon, 1, height, width, 3, predicted, truth, NULL);
  value[METRIC_PSNR] = metrics_psnr (mse);
  value[METRIC_SSIM] = metrics_ssim8 (height, width, predicted8, sharp);
  value[METRIC_PSNR_BLURRED] = metrics_psnr (metrics_mse8 (n, blurred, sharp));
  value[METRIC_SSIM_BLURRED] = evaluation->blurred_ssim ? metrics_ssim8 (height, width, blurred, sharp) : NAN;
}

static gboolean
evaluate_one (const Evaluation *evaluation, const char *name, int kernel, const char *chain, int height, int width,
    const guint8 *blurred, const guint8 *sharp, Metrics *metrics, GError **error)
{
  gsize samples = (gsize) height * width * 3;
  g_autofree float *predicted = g_try_new (float, samples);
  g_autofree guint8 *predicted8 = g_try_new (guint8, samples);
  EvaluateResult result = { name, kernel, chain, height, width, blurred, predicted8, sharp, { { 0 }, FALSE } };

  if (interrupted ()) {
    g_set_error (error, TRAIN_ERROR, (int) interrupted_exit_code (), "stopped by a signal");
    return FALSE;
  }
  if (!predicted || !predicted8)
    return out_of_memory (height, width, error);
  if (!evaluation->predict (evaluation->data, height, width, blurred, predicted, error))
    return FALSE;
  measure (evaluation, height, width, blurred, predicted, sharp, predicted8, &result.measurement);
  metrics_add (metrics, kernel, &result.measurement);
  return !evaluation->visit || evaluation->visit (evaluation->data, &result, error);
}

gboolean
evaluate_pair (const Evaluation *evaluation, const char *name, int kernel, int height, int width,
    const guint8 *blurred, const guint8 *sharp, Metrics *metrics, GError **error)
{
  return evaluate_one (evaluation, name, kernel, NULL, height, width, blurred, sharp, metrics, error);
}

gboolean
evaluate_sharp (const Evaluation *evaluation, const char *name, int height, int width, const guint8 *sharp,
    Metrics *metrics, GError **error)
{
  g_autofree guint8 *blurred = g_try_new (guint8, (gsize) height * width * 3);
  const DegradePicture picture = { height, width, sharp, NULL };
  guint n_chains = evaluation->degrade ? degrade_n_chains (evaluation->degrade) : 0;
  g_autofree guint8 *target = n_chains ? g_try_new (guint8, (gsize) height * width * 3) : NULL;

  if (!blurred || (n_chains && !target))
    return out_of_memory (height, width, error);
  for (guint k = 0; k < evaluation->n_kernels; k++) {
    synth_blur (&evaluation->kernels[k], height, width, sharp, blurred);
    if (!evaluate_pair (evaluation, name, (int) k, height, width, blurred, sharp, metrics, error))
      return FALSE;
  }
  for (guint c = 0; c < n_chains; c++) {
    g_autofree char *chain = degrade_chain_text (evaluation->degrade, c);
    Degradation drawn;
    Random random;

    random_init (&random, g_str_hash (name), c, 0);
    degrade_draw (evaluation->degrade, (int) c, &random, &drawn);
    if (!degradation_apply (&drawn, &picture, 0, 0, height, width, blurred, target, error)
        || !evaluate_one (evaluation, name, (int) (evaluation->n_kernels + c), chain, height, width, blurred,
            target, metrics, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
evaluate_dataset (const Evaluation *evaluation, Dataset *dataset, DatasetKind kind, const guint *subset,
    guint n_subset, Metrics *metrics, GError **error)
{
  const DatasetOrder order = { .subset = subset, .n_subset = n_subset };
  guint n = subset ? n_subset : dataset_size (dataset);
  g_autofree float *input = NULL, *target = NULL;
  g_autofree guint8 *blurred = NULL, *sharp = NULL;
  int height, width;
  gsize samples;

  dataset_picture_size (dataset, &height, &width);
  samples = (gsize) height * width * 3;
  input = g_try_new (float, samples);
  target = g_try_new (float, samples);
  blurred = g_try_new (guint8, samples);
  sharp = g_try_new (guint8, samples);
  if (!input || !target || !blurred || !sharp)
    return out_of_memory (height, width, error);
  for (guint i = 0; i < n; i++) {
    DatasetItem item;
    gboolean done;

    if (!dataset_batch (dataset, &order, i, 1, input, target, &item, error))
      return FALSE;
    metrics_to_8bit (samples, target, sharp);
    metrics_to_8bit (samples, input, blurred);
    if (kind == DATASET_ON_THE_FLY)
      done = evaluate_sharp (evaluation, item.name, height, width, sharp, metrics, error);
    else
      done
          = evaluate_pair (evaluation, item.name, item.kernel, height, width, blurred, sharp, metrics, error);
    if (!done)
      return FALSE;
  }
  return TRUE;
}

void
evaluate_kernel_name (const SynthKernel *kernel, char text[32])
{
  g_snprintf (text, 32, "%dx%d sigma %g", kernel->size, kernel->size, kernel->sigma);
}

static void
print_line (const char *name, const MetricsSum *sum)
{
  double before = metrics_mean (sum, METRIC_PSNR_BLURRED), after = metrics_mean (sum, METRIC_PSNR);
  double ssim_before = metrics_mean (sum, METRIC_SSIM_BLURRED);
  char ssim[16] = "-";

  if (!isnan (ssim_before))
    g_snprintf (ssim, sizeof ssim, "%.4f", ssim_before);
  g_print ("%-16s %8u %9.2f %9.2f %+8.2f %9s %9.4f %6u\n", name, sum->n, before, after, after - before, ssim,
      metrics_mean (sum, METRIC_SSIM), sum->exact);
}

void
evaluate_print (const Metrics *metrics, const SynthKernel *kernels)
{
  g_print ("%-16s %8s %9s %9s %8s %9s %9s %6s\n", "blur", "pictures", "PSNR in", "PSNR out", "gain",
      "SSIM in", "SSIM out", "exact");
  for (guint k = 0; k < metrics->n_kernels; k++) {
    char name[32];

    if (!metrics->kernel[k].n)
      continue;
    evaluate_kernel_name (&kernels[k], name);
    print_line (name, &metrics->kernel[k]);
  }
  print_line ("all", &metrics->all);
}

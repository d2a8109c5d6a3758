/* The end of an epoch of `fit`: running statistics, validation, callbacks, weights, history, checkpoint.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"

#include <math.h>
#include <string.h>

gboolean
fit_uses_ema (const Fit *fit)
{
  return fit->plan.trainer.ema_decay > 0;
}

static gboolean
stop_on_signal (GError **error)
{
  if (!interrupted ())
    return FALSE;
  g_set_error (error, TRAIN_ERROR, (int) interrupted_exit_code (), "stopped by a signal");
  return TRUE;
}

static gboolean
recompute_statistics (Fit *fit, GError **error)
{
  guint n = fit->plan.trainer.config.bn ? fit->plan.precise_bn : 0;
  g_auto (FitBatches) batches = { 0 };

  if (!n)
    return TRUE;
  fit_batches_init (&batches, fit, 0, n);
  if (!du_trainer_bn_begin (fit->trainer, fit_uses_ema (fit), error))
    return FALSE;
  progress_begin (&fit->progress, 0, n, "epoch %u statistics", fit->state.epoch + 1);
  for (guint i = 0; i < n; i++) {
    if (stop_on_signal (error) || !fit_batches_next (&batches, error) || !fit_batches_bn_add (&batches, error))
      return FALSE;
    progress_update (&fit->progress, i + 1, NULL);
  }
  progress_end (&fit->progress);
  return du_trainer_bn_end (fit->trainer, error);
}

/* As EvaluatePredict; sizes that are no multiples of the network's are padded with their last row and
 * column. */
static gboolean
predict (gpointer data, int height, int width, const guint8 *blurred, float *predicted, GError **error)
{
  Fit *fit = data;
  int rows = (height + DU_SIZE_MULTIPLE - 1) / DU_SIZE_MULTIPLE * DU_SIZE_MULTIPLE;
  int columns = (width + DU_SIZE_MULTIPLE - 1) / DU_SIZE_MULTIPLE * DU_SIZE_MULTIPLE;
  g_autofree float *padded = g_try_new (float, (gsize) rows * columns * 3);

  if (!padded) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for a picture of %dx%d", width, height);
    return FALSE;
  }
  for (int y = 0; y < rows; y++) {
    const guint8 *from = blurred + (gsize) MIN (y, height - 1) * width * 3;
    float *to = padded + (gsize) y * columns * 3;

    metrics_from_8bit ((gsize) width * 3, from, to);
    for (int x = width * 3; x < columns * 3; x++)
      to[x] = to[x - 3];
  }
  if (!du_trainer_predict (fit->trainer, fit_uses_ema (fit), 1, rows, columns, padded, padded, error))
    return FALSE;
  for (int y = 0; y < height; y++)
    memcpy (predicted + (gsize) y * width * 3, padded + (gsize) y * columns * 3,
        (gsize) width * 3 * sizeof (float));
  return TRUE;
}

static gboolean
show_picture (gpointer data, const EvaluateResult *result, GError **error)
{
  Fit *fit = data;

  (void) result;
  (void) error;
  progress_update (&fit->progress, ++fit->evaluated, NULL);
  return TRUE;
}

static gboolean
show_and_keep (gpointer data, const EvaluateResult *result, GError **error)
{
  return show_picture (data, result, error) && fit_take_sample (data, result, error);
}

static void
evaluation_init (Fit *fit, Evaluation *evaluation)
{
  *evaluation = (Evaluation){
    .kernels = fit->plan.synth.kernels,
    .n_kernels = fit->plan.synth.n_kernels,
    .degrade = fit->plan.conditions,
    .loss = fit->plan.trainer.loss,
    .loss_epsilon = fit->plan.trainer.loss_epsilon,
    .predict = predict,
    .visit = show_picture,
    .data = fit,
  };
}

/* What goes in is the same in every epoch: its SSIM is computed in the first one. NULL: it is not known yet. */
static const EpochRecord *
known_input (const Fit *fit)
{
  const GArray *history = fit->state.history;
  const EpochRecord *last = history->len ? &g_array_index (history, EpochRecord, history->len - 1) : NULL;

  return last && isfinite (last->validation[METRIC_SSIM_BLURRED]) ? last : NULL;
}

static gboolean
validate (Fit *fit, EpochRecord *record, GError **error)
{
  guint pictures
      = fit->n_validation * (fit->validation_kind == DATASET_AS_IS ? 1 : fit_n_conditions (&fit->plan));
  const EpochRecord *known = known_input (fit);
  Evaluation evaluation;
  Metrics metrics;

  evaluation_init (fit, &evaluation);
  evaluation.visit = show_and_keep;
  evaluation.blurred_ssim = known == NULL;
  metrics_init (&metrics, fit_n_conditions (&fit->plan));
  g_array_set_size (fit->samples, 0);
  fit->evaluated = 0;
  progress_begin (&fit->progress, 0, pictures, "epoch %u validation", fit->state.epoch + 1);
  if (!evaluate_dataset (&evaluation, fit->validation, fit->validation_kind,
          fit->order ? fit->order + fit->n_train : NULL, fit->order ? fit->n_validation : 0, &metrics, error))
    return FALSE;
  progress_end (&fit->progress);
  for (int m = 0; m < METRICS_N; m++)
    record->validation[m] = metrics_mean (&metrics.all, m);
  if (known)
    record->validation[METRIC_SSIM_BLURRED] = known->validation[METRIC_SSIM_BLURRED];
  for (guint k = 0; k < METRICS_MAX_KERNELS; k++) {
    record->kernel_psnr[k] = metrics_mean (&metrics.kernel[k], METRIC_PSNR);
    record->kernel_psnr_blurred[k] = metrics_mean (&metrics.kernel[k], METRIC_PSNR_BLURRED);
    record->kernel_ssim[k] = metrics_mean (&metrics.kernel[k], METRIC_SSIM);
    record->kernel_ssim_blurred[k] = known ? known->kernel_ssim_blurred[k]
                                           : metrics_mean (&metrics.kernel[k], METRIC_SSIM_BLURRED);
  }
  return TRUE;
}

/* The same numbers of the epoch's first samples, as they were trained on. */
static gboolean
measure_training (Fit *fit, EpochRecord *record, GError **error)
{
  guint n = fit->plan.train_metrics;
  g_autofree float *input = NULL, *target = NULL;
  g_autofree guint8 *blurred = NULL, *sharp = NULL;
  Evaluation evaluation;
  DatasetOrder order;
  Metrics metrics;
  int height, width;
  gsize samples;

  fit_training_order (fit, fit->state.epoch, &order);
  fit_batch_size (fit, &height, &width);
  samples = (gsize) height * width * 3;
  input = g_try_new (float, samples);
  target = g_try_new (float, samples);
  blurred = g_try_new (guint8, samples);
  sharp = g_try_new (guint8, samples);
  if (!input || !target || !blurred || !sharp) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory to measure a picture of %dx%d", width,
        height);
    return FALSE;
  }
  evaluation_init (fit, &evaluation);
  metrics_init (&metrics, 0);
  fit->evaluated = 0;
  progress_begin (&fit->progress, 0, n, "epoch %u training metrics", fit->state.epoch + 1);
  for (guint i = 0; i < n; i++) {
    if (!dataset_batch (fit->data, &order, i, 1, input, target, NULL, error))
      return FALSE;
    metrics_to_8bit (samples, input, blurred);
    metrics_to_8bit (samples, target, sharp);
    if (!evaluate_pair (&evaluation, "", -1, height, width, blurred, sharp, &metrics, error))
      return FALSE;
  }
  progress_end (&fit->progress);
  for (int m = 0; m < METRICS_N; m++)
    record->train[m] = metrics_mean (&metrics.all, m);
  return TRUE;
}

static void
add_metadata (GHashTable *metadata, const char *key, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
add_metadata (GHashTable *metadata, const char *key, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  g_hash_table_insert (metadata, g_strdup (key), g_strdup_vprintf (format, arguments));
  va_end (arguments);
}

/* Where the weights come from. No times and no machine: equal runs write equal files. */
static GHashTable *
provenance (const Fit *fit, const EpochRecord *record)
{
  GHashTable *metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  const FitPlan *plan = &fit->plan;
  const char *note = settings_text (fit->settings, "note");
  char *const *init = settings_paths (fit->settings, "init");
  int height, width;

  fit_batch_size (fit, &height, &width);
  add_metadata (metadata, "program", "deblurunet-train %s", du_version ());
  if (note)
    add_metadata (metadata, "trained_on", "%s", note);
  if (init[0]) {
    g_autofree char *name = g_path_get_basename (init[0]);

    add_metadata (metadata, "training_init", "%s", name);
  }
  add_metadata (metadata, "data_sha256", "%s", fit->digest);
  add_metadata (metadata, "training_pictures", "%u", fit->n_train);
  add_metadata (metadata, "training_blur", "%s",
      plan->kind == DATASET_ON_THE_FLY ? "on the fly" : "as given");
  if (plan->degrade)
    add_metadata (metadata, "recipe", "%s", degrade_text (plan->degrade));
  add_metadata (metadata, "training_epochs", "%u", fit->state.epoch + 1);
  add_metadata (metadata, "training_steps", "%" G_GUINT64_FORMAT, fit->state.batches);
  add_metadata (metadata, "training_batch", "%ux%dx%d", plan->batch, height, width);
  add_metadata (metadata, "training_loss", "%s", du_loss_name (plan->trainer.loss));
  add_metadata (metadata, "training_schedule", "%s from %g", settings_text (fit->settings, "schedule"),
      plan->rate);
  add_metadata (metadata, "training_precision", "%s", du_trainer_precision (fit->trainer));
  add_metadata (metadata, "training_ema", "%g", plan->trainer.ema_decay);
  add_metadata (metadata, "training_seed", "%" G_GUINT64_FORMAT, plan->seed);
  add_metadata (metadata, "validation_pictures", "%u", fit->n_validation);
  add_metadata (metadata, "validation_mse", "%.6g", record->validation[METRIC_MSE]);
  add_metadata (metadata, "validation_psnr", "%.2f -> %.2f dB", record->validation[METRIC_PSNR_BLURRED],
      record->validation[METRIC_PSNR]);
  for (guint k = 0; k < fit_n_conditions (plan); k++) {
    g_autofree char *condition = fit_condition_name (plan, k, CONDITION_KEY);
    g_autofree char *key = g_strconcat ("validation_psnr_", condition, NULL);

    if (isfinite (record->kernel_psnr[k]))
      add_metadata (metadata, key, "%.2f -> %.2f dB", record->kernel_psnr_blurred[k], record->kernel_psnr[k]);
  }
  return metadata;
}

/* Of the state downloaded last. */
static gboolean
save_weights (Fit *fit, const EpochRecord *record, GError **error)
{
  g_autoptr (GHashTable) metadata = provenance (fit, record);
  g_autoptr (DuModel) model = du_model_new (&fit->plan.trainer.config,
      fit->host.block[fit_uses_ema (fit) ? CHECKPOINT_EMA : CHECKPOINT_PARAMETERS], metadata, error);

  return model && du_model_save (model, fit->weights_path, fit->plan.dtype, error);
}

/* A line that fits most terminals, and behind it, indented, what was measured. */
static void
print_epoch (const Fit *fit, const EpochRecord *record, gboolean best)
{
  g_autoptr (GString) line = g_string_new (NULL);
  double step, waiting;
  char duration[32];

  progress_duration (record->seconds, duration);
  g_string_append_printf (line, "epoch %u", fit->state.epoch + 1);
  if (fit->plan.epochs != G_MAXUINT)
    g_string_append_printf (line, "/%u", fit->plan.epochs);
  g_string_append_printf (line, "  step %.0f  lr %.2e  loss %.4g  %s", record->steps, record->rate,
      record->train_loss, duration);
  fit_step_time (&fit->state, fit->state.history->len - 1, &step, &waiting);
  if (best)
    g_string_append (line, "  best");
  if (step > 0)
    g_string_append_printf (line, "\n  %.0f ms a step and %.1f of them waiting for pictures%s", 1000 * step,
        1000 * waiting, waiting > 0.02 * step ? ": raise --loaders" : "");
  for (int i = 0; i < 2; i++) {
    const double *value = i ? record->validation : record->train;

    g_string_append_printf (line, "\n  %s mse %.3e  psnr %.2f  mae %.4f  ssim %.4f", i ? "validation" : "training  ",
        value[METRIC_MSE], value[METRIC_PSNR], value[METRIC_MAE], value[METRIC_SSIM]);
  }
  for (guint k = 0; k < fit_n_conditions (&fit->plan); k++) {
    g_autofree char *name = fit_condition_name (&fit->plan, k, CONDITION_SHORT);

    if (isfinite (record->kernel_psnr[k]))
      g_string_append_printf (line, "\n    %s: %.2f -> %.2f dB  ssim %.4f -> %.4f", name,
          record->kernel_psnr_blurred[k], record->kernel_psnr[k], record->kernel_ssim_blurred[k],
          record->kernel_ssim[k]);
  }
  g_print ("%s\n", line->str);
}

/* Keras's callbacks, the history, the weights, a checkpoint and the page. */
static gboolean
close_epoch (Fit *fit, EpochRecord *record, GError **error)
{
  FitState *state = &fit->state;
  double mse = record->validation[METRIC_MSE];
  gboolean best = mse < state->best;
  g_autofree char *path = g_build_filename (fit->folder, "history.csv", NULL);

  if (!fit_download (fit, error))
    return FALSE;
  if (fit->plan.schedule == SCHEDULE_PLATEAU) {
    double before = state->rate;

    state->rate = reduce_on_plateau_epoch (&state->plateau, before, mse);
    if (state->rate != before)
      g_print ("no gain in validation MSE: the learning rate goes from %g to %g\n", before, state->rate);
  }
  state->stopped = early_stopping_epoch (&state->stopping, state->epoch, mse);
  if (best) {
    state->best = mse;
    state->best_epoch = state->epoch;
    if (!save_weights (fit, record, error) || !fit_save_samples (fit, error))
      return FALSE;
  }
  fit_account (fit);
  record->seconds = state->epoch_seconds;
  record->waiting_seconds = state->waiting_seconds;
  g_array_append_vals (state->history, record, 1);
  print_epoch (fit, record, best);
  state->epoch++;
  state->position = 0;
  state->loss_sum = 0;
  state->loss_count = 0;
  state->epoch_seconds = 0;
  state->waiting_seconds = 0;
  return fit_history_save (state, &fit->plan, path, error) && fit_save_checkpoint (fit, TRUE, error)
         && fit_report_save (fit, error);
}

EpochEnd
fit_end_epoch (Fit *fit, GError **error)
{
  FitState *state = &fit->state;
  EpochRecord record = {
    .epoch = state->epoch + 1,
    .steps = (double) state->batches,
    .rate = fit_rate_now (fit),
    .train_loss = state->loss_count ? state->loss_sum / (double) state->loss_count : NAN,
  };
  g_autoptr (GError) cause = NULL;
  double before;

  fit_account (fit);
  before = state->seconds;
  if (!recompute_statistics (fit, &cause) || !validate (fit, &record, &cause)
      || !measure_training (fit, &record, &cause)) {
    progress_end (&fit->progress);
    /* The epoch's steps are done: the next process begins with the validation. */
    if (interrupted ())
      return fit_save_checkpoint (fit, FALSE, error) ? EPOCH_LEFT : EPOCH_FAILED;
    g_propagate_error (error, g_steal_pointer (&cause));
    return EPOCH_FAILED;
  }
  fit_account (fit);
  record.validation_seconds = state->seconds - before;
  if (!isfinite (record.validation[METRIC_MSE]))
    return fit_roll_back (fit, "the validation's MSE is not finite", error) ? EPOCH_AGAIN : EPOCH_FAILED;
  return close_epoch (fit, &record, error) ? EPOCH_OVER : EPOCH_FAILED;
}

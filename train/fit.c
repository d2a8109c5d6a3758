/* `deblurunet-train fit`: the loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"

#include <math.h>
#include <unistd.h>

#define SKIPS_BORNE 5 /* steps in a row whose loss or gradient is not finite */

static void
fit_clear (Fit *fit)
{
  progress_end (&fit->progress);
  g_clear_pointer (&fit->trainer, du_trainer_free);
  if (fit->validation != fit->data)
    g_clear_pointer (&fit->validation, dataset_free);
  g_clear_pointer (&fit->data, dataset_free);
  g_clear_pointer (&fit->samples, g_array_unref);
  checkpoint_clear (&fit->host);
  fit_state_clear (&fit->state);
  fit_plan_clear (&fit->plan);
  g_free (fit->order);
  g_free (fit->digest);
  g_free (fit->folder);
  g_free (fit->weights_path);
  g_clear_pointer (&fit->settings, settings_free);
  if (fit->lock >= 0)
    close (fit->lock);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Fit, fit_clear)

/* ---- length and rate ----------------------------------------------------------------------- */

/* 0..1 of the run, by the clock or by steps. */
static double
run_progress (const Fit *fit)
{
  const FitPlan *plan = &fit->plan;

  if (plan->minutes > 0)
    return MIN (fit->state.seconds / (plan->minutes * 60), 1);
  return (double) fit->state.batches / ((double) plan->epochs * (double) fit->steps_per_epoch);
}

static gboolean
time_is_up (const Fit *fit)
{
  return fit->plan.minutes > 0 && fit->state.seconds >= fit->plan.minutes * 60;
}

/* Is there anything left to do? */
static gboolean
is_wanted (const Fit *fit)
{
  const FitState *state = &fit->state;

  return (state->epoch < fit->plan.epochs && !state->stopped && !time_is_up (fit)) || state->position;
}

double
fit_rate_now (const Fit *fit)
{
  const FitPlan *plan = &fit->plan;
  double rate = plan->rate;

  if (plan->schedule == SCHEDULE_PLATEAU)
    rate = fit->state.rate;
  else if (plan->schedule == SCHEDULE_COSINE)
    rate = cosine_rate (plan->rate, plan->min_rate, run_progress (fit));
  return rate * fit->state.rate_scale * warmup_factor (fit->state.batches, plan->warmup);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void
show_step (Fit *fit, const DuStepResult *result, double rate, gint64 begun, guint64 first)
{
  const FitState *state = &fit->state;
  double seconds = (double) (g_get_monotonic_time () - begun) / G_USEC_PER_SEC;
  double loss = state->loss_count ? state->loss_sum / (double) state->loss_count : result->loss;
  g_autoptr (GString) text = g_string_new (NULL);
  char left[32];

  g_string_append_printf (text, "loss %.3e", loss);
  if (fit->plan.trainer.loss == DU_LOSS_MSE)
    g_string_append_printf (text, "  PSNR %.2f", metrics_psnr (loss));
  g_string_append_printf (text, "  lr %.1e  %.1f pictures/s", rate,
      (double) (state->position - first) * fit->plan.batch / MAX (seconds, 1e-3));
  if (fit->plan.minutes > 0) {
    progress_duration (fit->plan.minutes * 60 - state->seconds, left);
    g_string_append_printf (text, "  (run %s)", left);
  } else if (fit->plan.epochs - state->epoch > 1) {
    double steps = (double) fit->plan.epochs * (double) fit->steps_per_epoch - (double) state->batches;

    progress_duration (steps * state->seconds / (double) MAX (state->batches, 1), left);
    g_string_append_printf (text, "  (run %s)", left);
  }
  progress_update (&fit->progress, state->position, text->str);
}

/* Saves, to leave: on a signal, or when this process has had its time. */
static EpochEnd
leave (Fit *fit, GError **error)
{
  progress_end (&fit->progress);
  return fit_save_checkpoint (fit, FALSE, error) ? EPOCH_LEFT : EPOCH_FAILED;
}

static gboolean
had_its_time (const Fit *fit)
{
  return fit->plan.max_minutes > 0
         && (double) (g_get_monotonic_time () - fit->begun) >= fit->plan.max_minutes * 60 * G_USEC_PER_SEC;
}

/* One step; the loss goes into the state. */
static gboolean
step (Fit *fit, FitBatches *batches, double rate, DuStepResult *result, GError **error)
{
  FitState *state = &fit->state;
  gint64 asked = g_get_monotonic_time ();

  if (!fit_batches_next (batches, error))
    return FALSE;
  state->waiting_seconds += (double) (g_get_monotonic_time () - asked) / G_USEC_PER_SEC;
  if (!fit_batches_step (batches, rate, result, error))
    return FALSE;
  if (result->skipped) {
    state->skipped_in_row++;
    progress_end (&fit->progress);
    g_printerr ("warning: step %" G_GUINT64_FORMAT " is skipped: its loss or gradient is not finite\n",
        state->batches + 1);
  } else {
    state->skipped_in_row = 0;
    state->loss_sum += result->loss;
    state->loss_count++;
  }
  state->position++;
  state->batches++;
  fit_account (fit);
  return TRUE;
}

static EpochEnd
run_epoch (Fit *fit, GError **error)
{
  FitState *state = &fit->state;
  guint64 first = state->position, left = fit->steps_per_epoch - MIN (first, fit->steps_per_epoch);
  g_auto (FitBatches) batches = { 0 };
  gint64 begun = g_get_monotonic_time ();

  fit_batches_init (&batches, fit, first, (guint) left);
  progress_begin (&fit->progress, first, fit->steps_per_epoch, "epoch %u", state->epoch + 1);
  while (state->position < fit->steps_per_epoch && !time_is_up (fit)) {
    double rate = fit_rate_now (fit);
    DuStepResult result;

    if (interrupted () || had_its_time (fit))
      return leave (fit, error);
    if (!step (fit, &batches, rate, &result, error)) {
      progress_end (&fit->progress);
      return EPOCH_FAILED;
    }
    if (state->skipped_in_row >= SKIPS_BORNE)
      return fit_roll_back (fit, "the loss or its gradient is not finite", error) ? EPOCH_AGAIN
                                                                                  : EPOCH_FAILED;
    if (!result.skipped)
      show_step (fit, &result, rate, begun, first);
    if ((double) (g_get_monotonic_time () - fit->saved) >= fit->plan.checkpoint_minutes * 60 * G_USEC_PER_SEC
        && !state->skipped_in_row && state->position < fit->steps_per_epoch
        && !fit_save_checkpoint (fit, FALSE, error))
      return EPOCH_FAILED;
  }
  progress_end (&fit->progress);
  fit_batches_clear (&batches);
  return fit_end_epoch (fit, error);
}

static void
print_end (const Fit *fit)
{
  const FitState *state = &fit->state;
  g_autofree char *report = NULL;
  const EpochRecord *best;

  if (state->best_epoch < 0 || state->best_epoch >= state->history->len)
    return;
  best = &g_array_index (state->history, EpochRecord, state->best_epoch);
  g_print ("best epoch %.0f: validation MSE %.4e, PSNR %.2f -> %.2f dB, SSIM %.4f\n", best->epoch,
      best->validation[METRIC_MSE], best->validation[METRIC_PSNR_BLURRED], best->validation[METRIC_PSNR],
      best->validation[METRIC_SSIM]);
  for (guint k = 0; k < fit_n_conditions (&fit->plan); k++) {
    g_autofree char *name = fit_condition_name (&fit->plan, k, CONDITION_LONG);

    if (isfinite (best->kernel_psnr[k]))
      g_print ("  %-16s %6.2f -> %6.2f dB  (%+.2f), SSIM %.4f -> %.4f\n", name, best->kernel_psnr_blurred[k],
          best->kernel_psnr[k], best->kernel_psnr[k] - best->kernel_psnr_blurred[k],
          best->kernel_ssim_blurred[k], best->kernel_ssim[k]);
  }
  report = g_build_filename (fit->folder, "report.html", NULL);
  g_print ("weights: %s\nreport: %s\n", fit->weights_path, report);
}

/* ---- the command --------------------------------------------------------------------------- */

/* Takes up a run: settings first, then, once data and trainer stand, its state. */
static gboolean
prepare (Fit *fit, GError **error)
{
  gboolean resume = settings_flag (fit->settings, "resume");
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_auto (Checkpoint) checkpoint = { 0 };
  g_autofree float *parameters = NULL;
  g_autofree char *stored = NULL;

  /* A folder that is not there has nothing to go on with, and is not made: the load says so. */
  if (!resume || g_file_test (fit->folder, G_FILE_TEST_EXISTS)) {
    fit->lock = folder_lock (fit->folder, error);
    if (fit->lock < 0)
      return FALSE;
  }
  if (resume) {
    if (settings_paths (fit->settings, "init")[0]) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--init and --resume exclude each other: leave one out");
      return FALSE;
    }
    if (!fit_load_checkpoint (fit->folder, &checkpoint, file, error)
        || !settings_restore (fit->settings, file, "settings", error))
      return FALSE;
  } else if (checkpoint_exists (fit->folder)) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
        "%s holds a training already: go on with --resume, or give another folder", fit->folder);
    return FALSE;
  } else if (g_file_test (fit->weights_path, G_FILE_TEST_EXISTS)) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
        "%s is there already and would be replaced: give another -o, or move it away", fit->weights_path);
    return FALSE;
  }
  if (!fit_plan_init (&fit->plan, fit->settings, error) || !fit_open_data (fit, error))
    return FALSE;
  if (resume) {
    stored = g_key_file_get_string (file, "run", "data", NULL);
    if (g_strcmp0 (stored, fit->digest) != 0) {
      g_set_error (error, TRAIN_ERROR, EXIT_DATA,
          "the data changed since the checkpoint in %s was written: bring the old data back, or begin anew "
          "with --init=%s",
          fit->folder, fit->weights_path);
      return FALSE;
    }
    /* The checkpoint's parameters follow; these only have the right size. */
    parameters = g_steal_pointer (&checkpoint.block[CHECKPOINT_PARAMETERS]);
    if (checkpoint.count[CHECKPOINT_PARAMETERS] != du_config_n_parameters (&fit->plan.trainer.config)) {
      g_set_error (error, TRAIN_ERROR, EXIT_WEIGHTS, "%s: the checkpoint belongs to another network",
          fit->folder);
      return FALSE;
    }
  } else if (!fit_start_weights (fit, &parameters, error)) {
    return FALSE;
  }
  fit->trainer = du_trainer_new (&fit->plan.trainer, parameters, error);
  if (!fit->trainer || !fit_allocate_host (fit, error))
    return FALSE;
  fit_state_init (&fit->state, fit->settings);
  fit->samples = g_array_new (FALSE, FALSE, sizeof (Triptych));
  g_array_set_clear_func (fit->samples, (GDestroyNotify) triptych_clear);
  fit->clock = fit->saved = g_get_monotonic_time ();
  if (!resume)
    return fit_save_checkpoint (fit, FALSE, error);
  checkpoint.block[CHECKPOINT_PARAMETERS] = g_steal_pointer (&parameters);
  return fit_restore (fit, &checkpoint, file, error);
}

static gboolean
write_description (Fit *fit, GError **error)
{
  g_autoptr (GKeyFile) file = fit_describe (fit);
  g_autofree char *text = g_key_file_to_data (file, NULL, NULL);
  g_autofree char *path = g_build_filename (fit->folder, "settings.ini", NULL);

  return text_save (path, text, error);
}

static void
print_memory (const Fit *fit, int height, int width)
{
  const double mega = 1 << 20;
  double batches, copy = 0;
  DuTrainerMemory memory;

  if (!du_trainer_memory (&fit->plan.trainer, (int) fit->plan.batch, height, width, &memory, NULL))
    return;
  /* Input and target, as many as loader_new() has slots. */
  batches = fit->drawn ? 0 : 2.0 * (fit->plan.loaders + 2) * fit->plan.batch * height * width * 3 * sizeof (float);
  for (int i = 0; i < CHECKPOINT_BLOCKS; i++)
    copy += (double) fit->host.count[i] * sizeof (float);
  g_print ("memory: about %.0f MiB to train (%.0f activations, %.0f their gradients, %.0f working memory, %.0f "
           "parameters and moments), %.0f for batches ahead and %.0f for checkpoints\n",
      memory_total (&memory), (double) memory.activations / mega, (double) memory.gradients / mega,
      (double) memory.working / mega, (double) memory.parameters / mega, batches / mega, copy / mega);
}

static void
print_start (const Fit *fit)
{
  const DuConfig *config = &fit->plan.trainer.config;
  g_autofree char *bn = du_bn_to_string (config->bn);
  int height, width;

  fit_batch_size (fit, &height, &width);
  g_print ("network: base width %d, bn %s, head %s: %" G_GSIZE_FORMAT " parameters; %s %s\n",
      config->base_width, *bn ? bn : "none", du_head_name (config->head), du_config_n_parameters (config),
      du_trainer_backend (fit->trainer), du_trainer_precision (fit->trainer));
  g_print ("data: %u pictures to train, %u to validate; %" G_GUINT64_FORMAT " steps of %u %dx%d an epoch\n",
      fit->n_train, fit->n_validation, fit->steps_per_epoch, fit->plan.batch, width, height);
  print_memory (fit, height, width);
  if (!is_wanted (fit))
    g_print ("this run is over: a larger %s would go on with it\n",
        fit->state.stopped ? "--early-stopping" : time_is_up (fit) ? "--minutes" : "--epochs");
  else if (fit->state.batches)
    g_print ("going on at epoch %u, step %" G_GUINT64_FORMAT "\n", fit->state.epoch + 1, fit->state.batches);
}

ExitCode
fit_command (int argc, char **argv, GError **error)
{
  g_auto (Fit) fit = { .lock = -1, .begun = g_get_monotonic_time () };
  EpochEnd end = EPOCH_OVER;

  fit.settings = fit_settings_parse (argc, argv, error);
  if (!fit.settings)
    return EXIT_DONE;
  if (!fit_paths (fit.settings, &fit.folder, &fit.weights_path, error) || !prepare (&fit, error)
      || !write_description (&fit, error))
    return EXIT_USAGE;
  if (!fit_place_pictures (&fit, error))
    return EXIT_USAGE;
  print_start (&fit);
  while (is_wanted (&fit) && (end == EPOCH_OVER || end == EPOCH_AGAIN))
    end = run_epoch (&fit, error);
  if (end == EPOCH_FAILED)
    return EXIT_IO;
  if (end == EPOCH_LEFT) {
    g_print ("stopped at step %" G_GUINT64_FORMAT " %s: go on with --resume\n", fit.state.batches,
        interrupted () ? "by a signal, all is saved" : "after --max-minutes");
    return interrupted () ? interrupted_exit_code () : EXIT_DONE;
  }
  if (fit.state.stopped)
    g_print ("stopped early: %u epochs without gain in validation MSE\n", fit.state.stopping.wait);
  if (!fit_report_save (&fit, error))
    return EXIT_IO;
  print_end (&fit);
  return EXIT_DONE;
}

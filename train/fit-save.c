/* The trainer of `fit` and its state on disk: start, checkpoint, resume, roll back.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"

#include <string.h>

#define ROLLBACKS_BORNE 3 /* each halves the rate */

gboolean
fit_start_weights (Fit *fit, float **parameters, GError **error)
{
  DuConfig *config = &fit->plan.trainer.config;
  char *const *init = settings_paths (fit->settings, "init");
  g_autoptr (DuModel) model = NULL;
  g_autofree char *bn = NULL, *width = NULL;
  const DuConfig *given;

  if (init[0]) {
    model = du_model_load (init[0], error);
    if (!model)
      return FALSE;
    given = du_model_config (model);
    if ((settings_given (fit->settings, "base-width") && config->base_width != given->base_width)
        || (settings_given (fit->settings, "bn") && config->bn != given->bn)
        || (settings_given (fit->settings, "head") && config->head != given->head)) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
          "--base-width, --bn or --head differ from the network of --init=%s: leave them out", init[0]);
      return FALSE;
    }
    *config = *given;
    bn = du_bn_to_string (config->bn);
    width = g_strdup_printf ("%d", config->base_width);
    settings_set (fit->settings, "bn", *bn ? bn : "none");
    settings_set (fit->settings, "base-width", width);
    settings_set (fit->settings, "head", du_head_name (config->head));
  }
  *parameters = g_try_new (float, du_config_n_parameters (config));
  if (!*parameters) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for the network's parameters");
    return FALSE;
  }
  if (model)
    memcpy (*parameters, du_model_parameters (model), du_config_n_parameters (config) * sizeof (float));
  else
    du_config_initialise (config, fit->plan.seed, *parameters);
  return TRUE;
}

gboolean
fit_allocate_host (Fit *fit, GError **error)
{
  const DuTrainerOptions *options = &fit->plan.trainer;
  gsize n = du_config_n_parameters (&options->config), trainable = du_config_n_trainable (&options->config);

  fit->host.count[CHECKPOINT_PARAMETERS] = n;
  fit->host.count[CHECKPOINT_MOMENT1] = fit->host.count[CHECKPOINT_MOMENT2] = trainable;
  fit->host.count[CHECKPOINT_EMA] = options->ema_decay > 0 ? n : 0;
  for (int i = 0; i < CHECKPOINT_BLOCKS; i++)
    if (fit->host.count[i] && !(fit->host.block[i] = g_try_new (float, fit->host.count[i]))) {
      g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for a copy of the training state");
      return FALSE;
    }
  return TRUE;
}

static DuTrainerState
trainer_view (const Checkpoint *checkpoint, guint64 step)
{
  return (DuTrainerState){
    .parameters = checkpoint->block[CHECKPOINT_PARAMETERS],
    .moment1 = checkpoint->block[CHECKPOINT_MOMENT1],
    .moment2 = checkpoint->block[CHECKPOINT_MOMENT2],
    .ema = checkpoint->count[CHECKPOINT_EMA] ? checkpoint->block[CHECKPOINT_EMA] : NULL,
    .step = step,
  };
}

gboolean
fit_download (Fit *fit, GError **error)
{
  DuTrainerState view = trainer_view (&fit->host, 0);

  if (!du_trainer_get_state (fit->trainer, &view, error))
    return FALSE;
  fit->state.adam_steps = view.step;
  return TRUE;
}

void
fit_account (Fit *fit)
{
  gint64 now = g_get_monotonic_time ();
  double seconds = (double) (now - fit->clock) / G_USEC_PER_SEC;

  fit->state.seconds += seconds;
  fit->state.epoch_seconds += seconds;
  fit->clock = now;
}

GKeyFile *
fit_describe (const Fit *fit)
{
  GKeyFile *file = g_key_file_new ();

  g_key_file_set_string (file, "run", "program", "deblurunet-train");
  g_key_file_set_string (file, "run", "version", du_version ());
  g_key_file_set_string (file, "run", "data", fit->digest);
  g_key_file_set_uint64 (file, "run", "pictures", fit->n_train);
  g_key_file_set_uint64 (file, "run", "validation_pictures", fit->n_validation);
  settings_store (fit->settings, file, "settings");
  return file;
}

gboolean
fit_save_checkpoint (Fit *fit, gboolean downloaded, GError **error)
{
  g_autoptr (GKeyFile) file = NULL;
  gboolean done;

  fit_account (fit);
  if (!downloaded && !fit_download (fit, error))
    return FALSE;
  fit->state.serial++;
  file = fit_describe (fit);
  fit_state_store (&fit->state, file);
  fit->host.header = g_key_file_to_data (file, NULL, NULL);
  done = checkpoint_save (fit->folder, fit->state.serial, &fit->host, error);
  g_clear_pointer (&fit->host.header, g_free);
  fit->saved = g_get_monotonic_time ();
  return done;
}

gboolean
fit_load_checkpoint (const char *folder, Checkpoint *checkpoint, GKeyFile *file, GError **error)
{
  g_autoptr (GError) cause = NULL;

  if (!checkpoint_load (folder, checkpoint, error))
    return FALSE;
  if (g_key_file_load_from_data (file, checkpoint->header, (gsize) -1, G_KEY_FILE_NONE, &cause))
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_WEIGHTS, "%s: the newest checkpoint's header cannot be read: %s",
      folder, cause->message);
  return FALSE;
}

gboolean
fit_restore (Fit *fit, const Checkpoint *checkpoint, GKeyFile *file, GError **error)
{
  DuTrainerState view;

  for (int i = 0; i < CHECKPOINT_BLOCKS; i++)
    if (checkpoint->count[i] != fit->host.count[i]) {
      g_set_error (error, TRAIN_ERROR, EXIT_WEIGHTS, "%s: the checkpoint belongs to another network",
          fit->folder);
      return FALSE;
    }
  if (!fit_state_restore (&fit->state, file, error))
    return FALSE;
  /* With more patience than it had it goes on. */
  fit->state.stopped = fit->state.stopped && fit->state.stopping.wait >= fit->state.stopping.patience;
  view = trainer_view (checkpoint, fit->state.adam_steps);
  return du_trainer_set_state (fit->trainer, &view, error);
}

gboolean
fit_roll_back (Fit *fit, const char *why, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_auto (Checkpoint) checkpoint = { 0 };
  guint rollbacks = fit->state.rollbacks + 1;
  double scale = fit->state.rate_scale / 2;

  progress_end (&fit->progress);
  if (rollbacks > ROLLBACKS_BORNE) {
    g_set_error (error, TRAIN_ERROR, EXIT_DIVERGED,
        "the training diverged %u times (%s), last at %g times the rate of --lr: begin anew with a lower "
        "--lr, --warmup or --clip; the last good state stays in %s",
        rollbacks, why, fit->state.rate_scale, fit->folder);
    return FALSE;
  }
  fit_account (fit);
  if (!fit_load_checkpoint (fit->folder, &checkpoint, file, error)
      || !fit_restore (fit, &checkpoint, file, error))
    return FALSE;
  fit->state.rollbacks = rollbacks;
  fit->state.rate_scale = scale;
  fit->clock = g_get_monotonic_time ();
  g_printerr ("warning: %s; back to step %" G_GUINT64_FORMAT " with %g times the rate\n", why,
      fit->state.batches, scale);
  return TRUE;
}

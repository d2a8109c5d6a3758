/* The state of a run as text, and its history.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"

#include <math.h>
#include <string.h>

#define STATE "state"
#define HISTORY "history"
#define RECORD_NUMBERS (sizeof (EpochRecord) / sizeof (double))
/* Older versions had no SSIM of each condition: it stays unknown for their epochs. */
#define RECORD_NUMBERS_BEFORE (G_STRUCT_OFFSET (EpochRecord, kernel_ssim) / sizeof (double))

void
fit_state_init (FitState *state, const Settings *settings)
{
  gint64 patience = settings_text (settings, "early-stopping") ? settings_integer (settings, "early-stopping")
                    : settings_choice (settings, "schedule") == SCHEDULE_COSINE ? 0
                                                                               : 8;

  *state = (FitState){
    .rate = settings_number (settings, "lr"),
    .rate_scale = 1,
    .best = INFINITY,
    .best_epoch = -1,
    .history = g_array_new (FALSE, TRUE, sizeof (EpochRecord)),
  };
  early_stopping_init (&state->stopping, patience > 0 ? (guint) patience : G_MAXUINT,
      settings_number (settings, "early-stopping-min-delta"));
  reduce_on_plateau_init (&state->plateau, settings_number (settings, "plateau-factor"),
      (guint) settings_integer (settings, "plateau-patience"),
      settings_number (settings, "plateau-min-delta"),
      (guint) settings_integer (settings, "plateau-cooldown"), settings_number (settings, "min-lr"));
}

void
fit_state_clear (FitState *state)
{
  g_clear_pointer (&state->history, g_array_unref);
}

/* One field of the state under its key; the same list serves both directions. */
typedef struct
{
  const char *key;
  enum { FIELD_DOUBLE, FIELD_UINT, FIELD_UINT64, FIELD_INT64 } kind;
  gsize offset;
} Field;

#define FIELD(kind, key, member) { key, kind, G_STRUCT_OFFSET (FitState, member) }
static const Field fields[] = {
  FIELD (FIELD_UINT64, "serial", serial),
  FIELD (FIELD_UINT, "epoch", epoch),
  FIELD (FIELD_UINT64, "position", position),
  FIELD (FIELD_UINT64, "batches", batches),
  FIELD (FIELD_UINT64, "adam_steps", adam_steps),
  FIELD (FIELD_DOUBLE, "rate", rate),
  FIELD (FIELD_DOUBLE, "rate_scale", rate_scale),
  FIELD (FIELD_UINT, "skipped_in_row", skipped_in_row),
  FIELD (FIELD_UINT, "rollbacks", rollbacks),
  FIELD (FIELD_DOUBLE, "loss_sum", loss_sum),
  FIELD (FIELD_UINT64, "loss_count", loss_count),
  FIELD (FIELD_DOUBLE, "seconds", seconds),
  FIELD (FIELD_DOUBLE, "epoch_seconds", epoch_seconds),
  FIELD (FIELD_DOUBLE, "waiting_seconds", waiting_seconds),
  FIELD (FIELD_DOUBLE, "best", best),
  FIELD (FIELD_INT64, "best_epoch", best_epoch),
  FIELD (FIELD_UINT, "stopped", stopped),
  FIELD (FIELD_DOUBLE, "stopping.best", stopping.best),
  FIELD (FIELD_INT64, "stopping.best_epoch", stopping.best_epoch),
  FIELD (FIELD_INT64, "stopping.stopped_epoch", stopping.stopped_epoch),
  FIELD (FIELD_UINT, "stopping.wait", stopping.wait),
  FIELD (FIELD_DOUBLE, "plateau.best", plateau.best),
  FIELD (FIELD_UINT, "plateau.wait", plateau.wait),
  FIELD (FIELD_UINT, "plateau.cooldown_left", plateau.cooldown_left),
};

void
fit_state_store (const FitState *state, GKeyFile *file)
{
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++) {
    gconstpointer at = (const char *) state + fields[i].offset;

    switch (fields[i].kind) {
    case FIELD_DOUBLE: /* 17 digits: the same double comes back */
      g_key_file_set_double (file, STATE, fields[i].key, *(const double *) at);
      break;
    case FIELD_UINT:
      g_key_file_set_uint64 (file, STATE, fields[i].key, *(const guint *) at);
      break;
    case FIELD_UINT64:
      g_key_file_set_uint64 (file, STATE, fields[i].key, *(const guint64 *) at);
      break;
    case FIELD_INT64:
      g_key_file_set_int64 (file, STATE, fields[i].key, *(const gint64 *) at);
      break;
    }
  }
  g_key_file_set_uint64 (file, HISTORY, "epochs", state->history->len);
  for (guint i = 0; i < state->history->len; i++) {
    g_autofree char *key = g_strdup_printf ("epoch-%u", i + 1);

    g_key_file_set_double_list (file, HISTORY, key,
        (double *) &g_array_index (state->history, EpochRecord, i), RECORD_NUMBERS);
  }
}

gboolean
fit_state_restore (FitState *state, GKeyFile *file, GError **error)
{
  g_autoptr (GError) cause = NULL;
  guint64 epochs = g_key_file_get_uint64 (file, HISTORY, "epochs", &cause);

  for (guint i = 0; i < G_N_ELEMENTS (fields) && !cause; i++) {
    gpointer at = (char *) state + fields[i].offset;

    switch (fields[i].kind) {
    case FIELD_DOUBLE:
      *(double *) at = g_key_file_get_double (file, STATE, fields[i].key, &cause);
      break;
    case FIELD_UINT:
      *(guint *) at = (guint) g_key_file_get_uint64 (file, STATE, fields[i].key, &cause);
      break;
    case FIELD_UINT64:
      *(guint64 *) at = g_key_file_get_uint64 (file, STATE, fields[i].key, &cause);
      break;
    case FIELD_INT64:
      *(gint64 *) at = g_key_file_get_int64 (file, STATE, fields[i].key, &cause);
      break;
    }
  }
  g_array_set_size (state->history, 0);
  for (guint64 i = 0; i < epochs && !cause; i++) {
    g_autofree char *key = g_strdup_printf ("epoch-%" G_GUINT64_FORMAT, i + 1);
    gsize n = 0;
    g_autofree double *numbers = g_key_file_get_double_list (file, HISTORY, key, &n, &cause);

    if (numbers && (n == RECORD_NUMBERS || n == RECORD_NUMBERS_BEFORE)) {
      double all[RECORD_NUMBERS];

      for (gsize j = 0; j < RECORD_NUMBERS; j++)
        all[j] = j < n ? numbers[j] : NAN;
      g_array_append_vals (state->history, all, 1);
    } else if (!cause)
      g_set_error (&cause, TRAIN_ERROR, EXIT_WEIGHTS, "%s has %" G_GSIZE_FORMAT " numbers", key, n);
  }
  if (!cause)
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_WEIGHTS,
      "the checkpoint was written by another version of this program: %s", cause->message);
  return FALSE;
}

void
fit_step_time (const FitState *state, guint index, double *step, double *waiting)
{
  const EpochRecord *record = &g_array_index (state->history, EpochRecord, index);
  double steps = record->steps - (index ? g_array_index (state->history, EpochRecord, index - 1).steps : 0);

  *step = steps > 0 ? (record->seconds - record->validation_seconds) / steps : NAN;
  *waiting = steps > 0 ? record->waiting_seconds / steps : NAN;
}

static void
append_number (GString *text, double number)
{
  char digits[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_c (text, ',');
  if (isfinite (number))
    g_string_append (text, g_ascii_formatd (digits, sizeof digits, "%.8g", number));
}

gboolean
fit_history_save (const FitState *state, const FitPlan *plan, const char *path, GError **error)
{
  g_autoptr (GString) text
      = g_string_new ("epoch,steps,learning_rate,seconds,validation_seconds,waiting_seconds,train_step_loss");

  for (int m = 0; m <= METRIC_SSIM; m++)
    g_string_append_printf (text, ",train_%s", metric_names[m]);
  for (int m = 0; m < METRICS_N; m++)
    g_string_append_printf (text, ",val_%s", metric_names[m]);
  for (guint k = 0; k < fit_n_conditions (plan); k++) {
    g_autofree char *key = fit_condition_name (plan, k, CONDITION_KEY);

    g_string_append_printf (text, ",val_psnr_%s,val_psnr_blurred_%s,val_ssim_%s,val_ssim_blurred_%s", key, key,
        key, key);
  }
  g_string_append_c (text, '\n');
  for (guint i = 0; i < state->history->len; i++) {
    const EpochRecord *record = &g_array_index (state->history, EpochRecord, i);

    g_string_append_printf (text, "%.0f", record->epoch);
    append_number (text, record->steps);
    append_number (text, record->rate);
    append_number (text, record->seconds);
    append_number (text, record->validation_seconds);
    append_number (text, record->waiting_seconds);
    append_number (text, record->train_loss);
    for (int m = 0; m <= METRIC_SSIM; m++)
      append_number (text, record->train[m]);
    for (int m = 0; m < METRICS_N; m++)
      append_number (text, record->validation[m]);
    for (guint k = 0; k < fit_n_conditions (plan); k++) {
      append_number (text, record->kernel_psnr[k]);
      append_number (text, record->kernel_psnr_blurred[k]);
      append_number (text, record->kernel_ssim[k]);
      append_number (text, record->kernel_ssim_blurred[k]);
    }
    g_string_append_c (text, '\n');
  }
  return text_save (path, text->str, error);
}

/* The page of a run: report.html, curves.png and some validation pictures of its best epoch.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"
#include "page.h"

#include <math.h>
#include <string.h>

enum
{
  PICTURES = 2,    /* of each kernel */
  ROWS_MAX = 2000, /* of the table of epochs */
  PLOTS_OF_RUN = 6,
};

/* ---- pictures ---------------------------------------------------------------------------------- */

gboolean
fit_take_sample (Fit *fit, const EvaluateResult *result, GError **error)
{
  /* The strongest blur is the last condition: it comes first. */
  g_autofree char *begin = g_strdup_printf ("%02d-", (int) fit_n_conditions (&fit->plan) - result->kernel),
                  *prefix = NULL;
  Triptych triptych = { 0 };
  guint same = 0;

  for (guint i = 0; i < fit->samples->len; i++)
    same += g_str_has_prefix (g_array_index (fit->samples, Triptych, i).name, begin);
  if (same >= PICTURES)
    return TRUE;
  prefix = g_strdup_printf ("%s%u", begin, same + 1);
  if (!triptych_make (&triptych, result, prefix, fit->plan.synth.kernels, error))
    return FALSE;
  g_array_append_val (fit->samples, triptych);
  return TRUE;
}

static char *
sample_folder (const Fit *fit)
{
  return g_build_filename (fit->folder, "pictures", NULL);
}

gboolean
fit_save_samples (const Fit *fit, GError **error)
{
  g_autofree char *folder = sample_folder (fit);

  if (!folder_make (folder, error))
    return FALSE;
  for (guint i = 0; i < fit->samples->len; i++)
    if (!triptych_save (&g_array_index (fit->samples, Triptych, i), folder, error))
      return FALSE;
  return TRUE;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* From the files: a run that is taken up again has them too. */
static gboolean
append_pictures (GString *page, const Fit *fit, GError **error)
{
  g_autofree char *folder = sample_folder (fit);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (dir && (name = g_dir_read_name (dir)))
    if (g_str_has_suffix (name, ".png") && *name != '.')
      g_ptr_array_add (names, g_strdup (name));
  if (!names->len)
    return TRUE;
  g_ptr_array_sort (names, compare_names);
  page_heading (page, "Validation pictures");
  page_note (page,
      "Of the best epoch, in front of the truth; below each, enlarged, the part where the blur took most.");
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *path = g_build_filename (folder, g_ptr_array_index (names, i), NULL);
    g_autofree char *caption = g_strdup_printf ("pictures/%s", (char *) g_ptr_array_index (names, i));
    g_autoptr (GError) cause = NULL;
    g_auto (Triptych) triptych = { 0 };

    if (!triptych_load (&triptych, path, &cause))
      page_note (page, cause->message); /* not ours, or damaged: no reason to end a training */
    else if (!triptych_append (page, &triptych, caption, error))
      return FALSE;
  }
  return TRUE;
}

/* ---- curves ------------------------------------------------------------------------------------ */

/* One number of each epoch; g_free. */
static double *
column (const Fit *fit, gsize offset)
{
  const GArray *history = fit->state.history;
  double *values = g_new (double, history->len);

  for (guint i = 0; i < history->len; i++)
    values[i] = *(const double *) ((const char *) &g_array_index (history, EpochRecord, i) + offset);
  return values;
}

static Plot *
curve (const Fit *fit, GPtrArray *plots, const char *title, const char *name, gsize offset)
{
  g_autofree double *x = column (fit, G_STRUCT_OFFSET (EpochRecord, epoch)), *y = column (fit, offset);
  Plot *plot = plot_new (title, "epoch", fit->state.history->len, x);

  plot_add (plot, name, y);
  if (fit->state.best_epoch >= 0)
    plot->best = (double) fit->state.best_epoch + 1;
  g_ptr_array_add (plots, plot);
  return plot;
}

static gsize
member (gsize array, guint index)
{
  return array + index * sizeof (double);
}

static const EpochRecord *
best_record (const Fit *fit)
{
  const FitState *state = &fit->state;

  return state->best_epoch >= 0 && state->best_epoch < state->history->len
             ? &g_array_index (state->history, EpochRecord, state->best_epoch)
             : NULL;
}

/* Has any epoch a number of it? */
static gboolean
has_kernel (const Fit *fit, guint kernel)
{
  const GArray *history = fit->state.history;

  for (guint i = 0; i < history->len; i++)
    if (isfinite (g_array_index (history, EpochRecord, i).kernel_psnr[kernel]))
      return TRUE;
  return FALSE;
}

static void
add_step_time (const Fit *fit, GPtrArray *plots)
{
  guint n = fit->state.history->len;
  g_autofree double *x = column (fit, G_STRUCT_OFFSET (EpochRecord, epoch)), *step = g_new (double, n),
                    *waiting = g_new (double, n);
  Plot *plot = plot_new ("Time of a step (ms)", "epoch", n, x);

  for (guint i = 0; i < n; i++) {
    fit_step_time (&fit->state, i, &step[i], &waiting[i]);
    step[i] *= 1000;
    waiting[i] *= 1000;
  }
  plot_add (plot, "all", step);
  plot_add (plot, "waiting for pictures", waiting);
  g_ptr_array_add (plots, plot);
}

/* The first PLOTS_OF_RUN belong to the run as a whole, the others to each condition. */
static GPtrArray *
make_plots (const Fit *fit)
{
  static const struct
  {
    Metric metric;
    const char *title;
    gboolean logarithmic;
  } metrics[] = {
    { METRIC_MSE, "MSE", TRUE },
    { METRIC_PSNR, "PSNR (dB)", FALSE },
    { METRIC_MAE, "MAE", TRUE },
    { METRIC_SSIM, "SSIM", FALSE },
  };
  const gsize train = G_STRUCT_OFFSET (EpochRecord, train),
              validation = G_STRUCT_OFFSET (EpochRecord, validation);
  const gsize psnr = G_STRUCT_OFFSET (EpochRecord, kernel_psnr);
  const gsize blurred = G_STRUCT_OFFSET (EpochRecord, kernel_psnr_blurred);
  const gsize ssim = G_STRUCT_OFFSET (EpochRecord, kernel_ssim);
  const gsize ssim_blurred = G_STRUCT_OFFSET (EpochRecord, kernel_ssim_blurred);
  GPtrArray *plots = g_ptr_array_new_with_free_func ((GDestroyNotify) plot_free);

  for (guint i = 0; i < G_N_ELEMENTS (metrics); i++) {
    g_autofree double *y = column (fit, member (train, metrics[i].metric));
    Plot *plot = curve (fit, plots, metrics[i].title, "validation", member (validation, metrics[i].metric));

    plot->logarithmic = metrics[i].logarithmic;
    plot_add (plot, "training", y);
  }
  curve (fit, plots, "Learning rate", "at the end of the epoch", G_STRUCT_OFFSET (EpochRecord, rate))
      ->logarithmic
      = TRUE;
  add_step_time (fit, plots);
  /* Two stand beside each other. */
  for (guint k = 0; k < fit_n_conditions (&fit->plan); k++) {
    g_autofree double *y = column (fit, member (blurred, k)), *z = column (fit, member (ssim_blurred, k));
    g_autofree char *name = fit_condition_name (&fit->plan, k, CONDITION_PAGE);
    const char *kind = k < fit->plan.synth.n_kernels ? "blur " : "";
    g_autofree char *first = g_strdup_printf ("PSNR (dB), %s%s", kind, name);
    g_autofree char *second = g_strdup_printf ("SSIM, %s%s", kind, name);

    if (!has_kernel (fit, k))
      continue;
    plot_add (curve (fit, plots, first, "deblurred", member (psnr, k)), "blurred", y);
    plot_add (curve (fit, plots, second, "deblurred", member (ssim, k)), "blurred", z);
  }
  return plots;
}

/* ---- numbers ----------------------------------------------------------------------------------- */

static char *
headline (const Fit *fit)
{
  const EpochRecord *best = best_record (fit);
  g_autoptr (GString) sentence = g_string_new (NULL);

  if (!best)
    return g_strdup ("No epoch is over yet.");
  /* The others are below in large figures. */
  for (guint k = 0; k < fit->plan.synth.n_kernels; k++) {
    g_autofree char *name = fit_condition_name (&fit->plan, k, CONDITION_PAGE_SHORT);

    if (!isfinite (best->kernel_psnr[k]))
      continue;
    page_rise (sentence, NULL, best->kernel_psnr_blurred[k], best->kernel_psnr[k]);
    g_string_append_printf (sentence, " at %s", name);
  }
  if (!sentence->len)
    page_rise (sentence, NULL, best->validation[METRIC_PSNR_BLURRED], best->validation[METRIC_PSNR]);
  return g_strdup_printf ("Best epoch %.0f: validation PSNR %s.", best->epoch, sentence->str);
}

static void
append_status (GString *page, const Fit *fit)
{
  const FitState *state = &fit->state;
  gboolean over = state->epoch >= fit->plan.epochs
                  || (fit->plan.minutes > 0 && state->seconds >= fit->plan.minutes * 60);
  g_autoptr (GString) text = g_string_new (NULL);
  double step, waiting;
  char duration[32];
  int height, width;

  fit_batch_size (fit, &height, &width);
  progress_duration (state->seconds, duration);
  if (state->stopped)
    g_string_append_printf (text, "Stopped early after epoch %u", state->epoch);
  else if (over)
    g_string_append_printf (text, "Finished after epoch %u", state->epoch);
  else if (fit->plan.epochs != G_MAXUINT)
    g_string_append_printf (text, "In training: %u of %u epochs are done", state->epoch, fit->plan.epochs);
  else
    g_string_append_printf (text, "In training: %u epochs are done", state->epoch);
  g_string_append_printf (text,
      ", %s. %u pictures to train, %u to validate; %" G_GUINT64_FORMAT
      " steps of %u pictures of %d×%d; %s %s.",
      duration, fit->n_train, fit->n_validation, state->batches, fit->plan.batch, width, height,
      du_trainer_backend (fit->trainer), du_trainer_precision (fit->trainer));
  if (state->history->len) {
    fit_step_time (state, state->history->len - 1, &step, &waiting);
    if (step > 0)
      g_string_append_printf (text,
          " A step of the last epoch took %.1f ms, %.1f of them waiting for its pictures (%.1f %%).", 1000 * step,
          1000 * waiting, 100 * waiting / step);
  }
  page_note (page, text->str);
}

static void
append_tiles (GString *page, const Fit *fit)
{
  const EpochRecord *best = best_record (fit);

  if (!best)
    return;
  page_tiles (page, TRUE);
  for (guint k = 0; k < fit_n_conditions (&fit->plan); k++) {
    g_autofree char *name = fit_condition_name (&fit->plan, k, CONDITION_PAGE);

    if (isfinite (best->kernel_psnr[k]))
      page_tile (page, name, best->kernel_psnr_blurred[k], best->kernel_psnr[k]);
  }
  page_tile (page, "all pictures", best->validation[METRIC_PSNR_BLURRED], best->validation[METRIC_PSNR]);
  page_tiles (page, FALSE);
}

static void
averages_row (GString *page, const char *name, double before, double after, double ssim_before,
    double ssim_after)
{
  page_row (page, FALSE);
  page_cell (page, name);
  page_number (page, before, 2);
  page_number (page, after, 2);
  page_gain (page, after - before, 2);
  page_number (page, ssim_before, 4);
  page_number (page, ssim_after, 4);
}

static void
append_averages (GString *page, const Fit *fit)
{
  static const char *const columns[] = { "Blur", "PSNR blurred, dB", "PSNR deblurred, dB", "Gain, dB",
    "SSIM blurred", "SSIM deblurred", NULL };
  const EpochRecord *best = best_record (fit);

  if (!best)
    return;
  page_heading (page, "Table 2: averages over the validation pictures");
  page_table (page, NULL, columns, 1);
  for (guint k = 0; k < fit_n_conditions (&fit->plan); k++) {
    g_autofree char *name = fit_condition_name (&fit->plan, k, CONDITION_PAGE);

    if (isfinite (best->kernel_psnr[k]))
      averages_row (page, name, best->kernel_psnr_blurred[k], best->kernel_psnr[k],
          best->kernel_ssim_blurred[k], best->kernel_ssim[k]);
  }
  averages_row (page, "all pictures", best->validation[METRIC_PSNR_BLURRED], best->validation[METRIC_PSNR],
      best->validation[METRIC_SSIM_BLURRED], best->validation[METRIC_SSIM]);
  page_table_end (page, FALSE);
  page_note (page, "Of the best epoch. 'deblurunet-train eval' measures each picture, as the element runs the "
                   "network.");
}

static void
append_epochs (GString *page, const Fit *fit)
{
  static const char *const fixed[] = { "Epoch", "Steps", "Learning rate", "Seconds", "ms a step",
    "of them waiting", "Loss of the steps", "Training MSE", "PSNR", "MAE", "SSIM", "Validation MSE", "PSNR", "MAE",
    "SSIM" };
  static const Metric order[] = { METRIC_MSE, METRIC_PSNR, METRIC_MAE, METRIC_SSIM };
  static const int decimals[] = { -5, 3, -5, 5 };
  const GArray *history = fit->state.history;
  g_autoptr (GPtrArray) columns = g_ptr_array_new_with_free_func (g_free);
  guint first = history->len > ROWS_MAX ? history->len - ROWS_MAX : 0;

  for (guint i = 0; i < G_N_ELEMENTS (fixed); i++)
    g_ptr_array_add (columns, g_strdup (fixed[i]));
  for (guint k = 0; k < fit_n_conditions (&fit->plan); k++) {
    g_autofree char *name = fit_condition_name (&fit->plan, k, CONDITION_PAGE_SHORT);

    g_ptr_array_add (columns, g_strdup_printf ("PSNR at %s", name));
    g_ptr_array_add (columns, g_strdup_printf ("SSIM at %s", name));
  }
  g_ptr_array_add (columns, NULL);
  page_heading (page, "Epochs");
  page_table (page, first ? "The last epochs; all of them are in history.csv" : "All epochs",
      (const char *const *) columns->pdata, 0);
  for (guint i = first; i < history->len; i++) {
    const EpochRecord *record = &g_array_index (history, EpochRecord, i);
    double step, waiting;

    page_row (page, (gint64) i == fit->state.best_epoch);
    page_number (page, record->epoch, 0);
    page_number (page, record->steps, 0);
    page_number (page, record->rate, -3);
    fit_step_time (&fit->state, i, &step, &waiting);
    page_number (page, record->seconds, 1);
    page_number (page, 1000 * step, 1);
    page_number (page, 1000 * waiting, 1);
    page_number (page, record->train_loss, -5);
    for (int m = 0; m < 4; m++)
      page_number (page, record->train[order[m]], decimals[m]);
    for (int m = 0; m < 4; m++)
      page_number (page, record->validation[order[m]], decimals[m]);
    for (guint k = 0; k < fit_n_conditions (&fit->plan); k++) {
      page_number (page, record->kernel_psnr[k], 3);
      page_number (page, record->kernel_ssim[k], 5);
    }
  }
  page_table_end (page, TRUE);
}

gboolean
fit_report_save (const Fit *fit, GError **error)
{
  g_autoptr (GPtrArray) plots = make_plots (fit);
  g_autoptr (GKeyFile) settings = fit_describe (fit);
  g_autofree char *base = g_path_get_basename (fit->folder), *first = headline (fit);
  g_autofree char *title = g_strdup_printf ("Training: %s", base);
  g_autoptr (GString) page = page_new (title, first);

  append_tiles (page, fit);
  append_status (page, fit);
  page_heading (page, "Curves");
  page_plots (page, plots, 0, PLOTS_OF_RUN);
  append_averages (page, fit);
  if (plots->len > PLOTS_OF_RUN) {
    page_heading (page, "Curves of each blur and stream");
    page_plots (page, plots, PLOTS_OF_RUN, plots->len);
  }
  if (!append_pictures (page, fit, error))
    return FALSE;
  append_epochs (page, fit);
  page_network (page, &fit->plan.trainer.config);
  page_heading (page, "Configuration");
  page_key_file (page, settings, "run");
  page_key_file (page, settings, "settings");
  return page_save (page, plots, fit->folder, error);
}

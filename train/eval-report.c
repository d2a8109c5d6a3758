/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-report.h"

#include "page.h"
#include "triptych.h"

#include <math.h>
#include <string.h>

enum
{
  ROWS_OPEN = 40, /* a table of more pictures is folded away */
  ROWS_MAX = 3000,
};

static const EvalEntry *
entry_of (const EvalReport *report, guint i)
{
  return &g_array_index (report->entries, EvalEntry, i);
}

static const SynthKernel *
kernel_of (const EvalReport *report, int kernel)
{
  return kernel < 0 ? NULL : &report->kernels[kernel];
}

static char *
headline (const EvalReport *report)
{
  const Metrics *metrics = report->metrics;
  g_autoptr (GString) sentence = g_string_new (NULL);

  for (guint k = 0; k < metrics->n_kernels; k++)
    if (metrics->kernel[k].n)
      page_rise (sentence, &report->kernels[k], metrics_mean (&metrics->kernel[k], METRIC_PSNR_BLURRED),
          metrics_mean (&metrics->kernel[k], METRIC_PSNR));
  if (!sentence->len)
    page_rise (sentence, NULL, metrics_mean (&metrics->all, METRIC_PSNR_BLURRED),
        metrics_mean (&metrics->all, METRIC_PSNR));
  return g_strdup_printf ("Mean PSNR of %u blurred %s: %s.", metrics->all.n,
      metrics->all.n == 1 ? "picture" : "pictures", sentence->str);
}

static void
append_tile (GString *page, const char *name, const MetricsSum *sum)
{
  page_tile (page, name, metrics_mean (sum, METRIC_PSNR_BLURRED), metrics_mean (sum, METRIC_PSNR));
}

static void
append_tiles (GString *page, const EvalReport *report)
{
  const Metrics *metrics = report->metrics;

  page_tiles (page, TRUE);
  for (guint k = 0; k < metrics->n_kernels; k++) {
    char name[48];

    page_kernel_name (&report->kernels[k], name);
    if (metrics->kernel[k].n)
      append_tile (page, name, &metrics->kernel[k]);
  }
  append_tile (page, "all pictures", &metrics->all);
  page_tiles (page, FALSE);
}

/* ---- table 2 ----------------------------------------------------------------------------------- */

static void
append_numbers (GString *page, const double value[METRICS_N])
{
  page_number (page, value[METRIC_PSNR_BLURRED], 2);
  page_number (page, value[METRIC_PSNR], 2);
  page_gain (page, value[METRIC_PSNR] - value[METRIC_PSNR_BLURRED], 2);
  page_number (page, value[METRIC_SSIM_BLURRED], 4);
  page_number (page, value[METRIC_SSIM], 4);
  page_gain (page, value[METRIC_SSIM] - value[METRIC_SSIM_BLURRED], 4);
}

static void
averages_row (GString *page, const char *name, const MetricsSum *sum, gboolean strong)
{
  double mean[METRICS_N];

  for (int m = 0; m < METRICS_N; m++)
    mean[m] = metrics_mean (sum, m);
  page_row (page, strong);
  page_cell (page, name);
  page_number (page, sum->n, 0);
  append_numbers (page, mean);
  page_number (page, mean[METRIC_MSE], -3);
  page_number (page, mean[METRIC_MAE], -3);
}

static void
append_tables (GString *page, const EvalReport *report)
{
  static const char *const averages[] = { "Blur", "Pictures", "PSNR blurred, dB", "PSNR deblurred, dB",
    "Gain, dB", "SSIM blurred", "SSIM deblurred", "Gain", "MSE", "MAE", NULL };
  static const char *const pictures[] = { "Picture", "Blur", "PSNR blurred, dB", "PSNR deblurred, dB",
    "Gain, dB", "SSIM blurred", "SSIM deblurred", "Gain", NULL };
  const Metrics *metrics = report->metrics;
  guint rows = MIN (report->entries->len, ROWS_MAX);
  gboolean folded = rows > ROWS_OPEN;
  char name[48];

  page_heading (page, "Table 2: averages");
  page_table (page, NULL, averages, 1);
  for (guint k = 0; k < metrics->n_kernels; k++)
    if (metrics->kernel[k].n) {
      page_kernel_name (&report->kernels[k], name);
      averages_row (page, name, &metrics->kernel[k], FALSE);
    }
  averages_row (page, "all pictures", &metrics->all, TRUE);
  page_table_end (page, FALSE);

  page_heading (page, "Table 2: each picture");
  page_table (page,
      !folded                       ? NULL
      : rows < report->entries->len ? "The first pictures; all are in eval.csv"
                                    : "All pictures",
      pictures, 2);
  for (guint i = 0; i < rows; i++) {
    const EvalEntry *entry = entry_of (report, i);

    page_kernel_name (kernel_of (report, entry->kernel), name);
    page_row (page, FALSE);
    page_cell (page, entry->name);
    page_cell (page, name);
    append_numbers (page, entry->measurement.value);
  }
  page_table_end (page, folded);
}

/* ---- curves and pictures ------------------------------------------------------------------------- */

static int
compare_blurred (gconstpointer a, gconstpointer b)
{
  const EvalEntry *const *x = a, *const *y = b;
  double p = (*x)->measurement.value[METRIC_PSNR_BLURRED], q = (*y)->measurement.value[METRIC_PSNR_BLURRED];

  return p < q ? -1 : p > q;
}

static void
add_plot (GPtrArray *plots, const EvalReport *report, int kernel)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();
  g_autofree double *x = NULL, *before = NULL, *after = NULL;
  g_autofree char *title = NULL;
  char name[48];
  Plot *plot;

  for (guint i = 0; i < report->entries->len; i++)
    if (entry_of (report, i)->kernel == kernel)
      g_ptr_array_add (sorted, (gpointer) entry_of (report, i));
  if (!sorted->len)
    return;
  g_ptr_array_sort (sorted, compare_blurred);
  x = g_new (double, sorted->len);
  before = g_new (double, sorted->len);
  after = g_new (double, sorted->len);
  for (guint i = 0; i < sorted->len; i++) {
    const EvalEntry *entry = g_ptr_array_index (sorted, i);

    x[i] = i + 1;
    before[i] = entry->measurement.value[METRIC_PSNR_BLURRED];
    after[i] = entry->measurement.value[METRIC_PSNR];
  }
  page_kernel_name (kernel_of (report, kernel), name);
  title = g_strdup_printf ("PSNR (dB), blur %s", name);
  plot = plot_new (title, "picture, the most blurred first", sorted->len, x);
  plot_add (plot, "deblurred", after);
  plot_add (plot, "blurred", before);
  g_ptr_array_add (plots, plot);
}

/* Of each kernel those of the most, the median and the least gain. */
static gboolean
append_pictures (GString *page, const EvalReport *report, GError **error)
{
  static const char *const ranks[] = { "most", "median", "least" };

  page_heading (page, "Pictures");
  page_note (page,
      "Of each blur those of the most, the median and the least gain; below each, enlarged, the part where "
      "the blur took most.");
  for (int kernel = (int) report->metrics->n_kernels - 1; kernel >= -1; kernel--)
    for (guint r = 0; r < G_N_ELEMENTS (ranks); r++)
      for (guint i = 0; i < report->entries->len; i++) {
        const EvalEntry *entry = entry_of (report, i);
        g_autofree char *path = NULL, *caption = NULL;
        g_auto (Triptych) triptych = { 0 };
        char name[48];

        if (entry->kernel != kernel || g_strcmp0 (entry->rank, ranks[r]) != 0 || !entry->triptych)
          continue;
        page_kernel_name (kernel_of (report, kernel), name);
        path = g_build_filename (report->folder, entry->triptych, NULL);
        caption = g_strdup_printf ("Blur %s, %s gain: %s; the whole pictures are in %s", name, ranks[r],
            entry->name, entry->triptych);
        if (!triptych_load (&triptych, path, error) || !triptych_append (page, &triptych, caption, error))
          return FALSE;
      }
  return TRUE;
}

gboolean
eval_report_save (const EvalReport *report, GError **error)
{
  const char *path = du_model_path (du_session_model (report->session));
  g_autofree char *base = g_path_get_basename (path ? path : "weights"), *first = headline (report);
  g_autofree char *title = g_strdup_printf ("Evaluation: %s", base);
  g_autofree char *machine
      = g_strdup_printf ("Whole pictures, 8 bit in and out; %s %s on %s. A picture's PSNR counts "
                         "%.0f dB at most.",
          du_session_backend (report->session), du_session_precision (report->session),
          du_session_device (report->session), METRICS_PSNR_MAX);
  g_autoptr (GPtrArray) plots = g_ptr_array_new_with_free_func ((GDestroyNotify) plot_free);
  g_autoptr (GString) page = page_new (title, first);

  for (int kernel = -1; kernel < (int) report->metrics->n_kernels; kernel++)
    add_plot (plots, report, kernel);
  append_tiles (page, report);
  page_note (page, machine);
  page_plots (page, plots, 0, plots->len);
  append_tables (page, report);
  if (!append_pictures (page, report, error))
    return FALSE;
  page_weights (page, du_session_model (report->session));
  page_heading (page, "Configuration");
  page_key_file (page, report->settings, "settings");
  return page_save (page, plots, report->folder, error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "streams-report.h"

#include "checkpoint.h"
#include "eval.h"
#include "metrics.h"
#include "page.h"
#include "triptych.h"

#include <math.h>

#define ANY G_MAXUINT /* clip, kernel or quality */

static const StreamEntry *
entry_of (const StreamReport *report, guint i)
{
  return &g_array_index (report->entries, StreamEntry, i);
}

gboolean
stream_as_is (const StreamReport *report, guint kernel, guint quality)
{
  return report->kernels[kernel].size == 1 && isnan (report->qualities[quality]);
}

/* ---- names --------------------------------------------------------------------------------- */

/* What a quality is called with this encoder. */
static const char *
quality_unit (CodecKind kind)
{
  return kind == CODEC_H264 || kind == CODEC_H265 ? "CRF" : kind == CODEC_JPEG ? "quality" : "quantiser";
}

/* "CRF 23", "not encoded"; g_free. */
static char *
quality_name (const StreamReport *report, guint quality)
{
  double value = report->qualities[quality];

  return isnan (value) ? g_strdup ("not encoded")
                       : g_strdup_printf ("%s %g", quality_unit (report->encoder), value);
}

/* "7x7 sigma 1" or, for pages, "7×7, σ 1"; "sharp" for no blur. */
static const char *
kernel_name (const SynthKernel *kernel, gboolean page, char text[48])
{
  if (kernel->size == 1)
    return "sharp";
  if (page)
    page_kernel_name (kernel, text);
  else
    evaluate_kernel_name (kernel, text);
  return text;
}

char *
stream_file_name (const StreamReport *report, guint clip, guint kernel, guint quality)
{
  g_autoptr (GString) name = g_string_new (NULL);
  double value = report->qualities[quality];

  g_string_printf (name, "%02u-", clip + 1);
  if (stream_as_is (report, kernel, quality))
    g_string_append (name, "as-is");
  else if (report->kernels[kernel].size == 1)
    g_string_append (name, "sharp");
  else
    g_string_append_printf (name, "sigma%g", report->kernels[kernel].sigma);
  if (!isnan (value))
    g_string_append_printf (name, "-%s-%g", codec_name (report->encoder), value);
  return g_string_free (g_steal_pointer (&name), FALSE);
}

/* ---- means --------------------------------------------------------------------------------- */

typedef struct
{
  guint n; /* sequences */
  double value[STREAM_N_NUMBERS];
  double worst; /* gain */
} Mean;

/* Over sequences, each counting the same however many frames it has. Clips as they are do not count: they
 * cannot gain. kernel ANY: all blurs, but not sharp frames. */
static Mean
mean_of (const StreamReport *report, guint kernel, guint quality)
{
  Mean mean = { .worst = INFINITY };
  guint n[STREAM_N_NUMBERS] = { 0 };

  for (guint i = 0; i < report->entries->len; i++) {
    const StreamEntry *entry = entry_of (report, i);
    double gain = entry->value[STREAM_PSNR] - entry->value[STREAM_PSNR_BEFORE];

    if (kernel == ANY ? report->kernels[entry->kernel].size == 1 : entry->kernel != kernel)
      continue;
    if (entry->quality != quality || stream_as_is (report, entry->kernel, entry->quality))
      continue;
    mean.n++;
    mean.worst = MIN (mean.worst, gain);
    for (int v = 0; v < STREAM_N_NUMBERS; v++)
      if (isfinite (entry->value[v])) {
        mean.value[v] += entry->value[v];
        n[v]++;
      }
  }
  for (int v = 0; v < STREAM_N_NUMBERS; v++)
    mean.value[v] = n[v] ? mean.value[v] / n[v] : NAN;
  return mean;
}

/* ---- stdout and CSV ------------------------------------------------------------------------ */

static void
print_line (const char *blur, const char *quality, const Mean *mean)
{
  const double *value = mean->value;
  char bits[16] = "-";

  if (isfinite (value[STREAM_BITS]))
    g_snprintf (bits, sizeof bits, "%.3f", value[STREAM_BITS]);
  g_print ("%-16s %-12s %5u %8.2f %8.2f %+7.2f %+7.2f %8.4f %8.4f %8.2f %7.2f %6s\n", blur, quality, mean->n,
      value[STREAM_PSNR_BEFORE], value[STREAM_PSNR], value[STREAM_PSNR] - value[STREAM_PSNR_BEFORE],
      mean->worst, value[STREAM_SSIM_BEFORE], value[STREAM_SSIM], value[STREAM_FLICKER_BEFORE],
      value[STREAM_FLICKER], bits);
}

static void
print_as_is (const StreamReport *report)
{
  gboolean first = TRUE;

  for (guint i = 0; i < report->entries->len; i++) {
    const StreamEntry *entry = entry_of (report, i);
    const double *value = entry->value;

    if (!stream_as_is (report, entry->kernel, entry->quality))
      continue;
    if (first)
      g_print ("\n%-29s %7s %8s %8s %8s %8s\n", "clips as they are, in 1/255", "change", "red", "green",
          "blue", "flicker");
    first = FALSE;
    g_print ("%-29s %7.3f %+8.4f %+8.4f %+8.4f %8.3f\n", report->clips[entry->clip], value[STREAM_CHANGE],
        value[STREAM_SHIFT_R], value[STREAM_SHIFT_G], value[STREAM_SHIFT_B], value[STREAM_FLICKER]);
  }
}

void
stream_report_print (const StreamReport *report)
{
  g_print ("%-16s %-12s %5s %8s %8s %7s %7s %8s %8s %8s %7s %6s\n", "blur", codec_name (report->encoder),
      "clips", "PSNR in", "out", "gain", "worst", "SSIM in", "out", "flick in", "out", "bit/px");
  for (guint k = 0; k <= report->n_kernels; k++)
    for (guint q = 0; q < report->n_qualities; q++) {
      Mean mean = mean_of (report, k < report->n_kernels ? k : ANY, q);
      g_autofree char *quality = quality_name (report, q);
      char text[48];

      if (mean.n)
        print_line (k < report->n_kernels ? kernel_name (&report->kernels[k], FALSE, text) : "all blurs",
            quality, &mean);
    }
  print_as_is (report);
}

static gboolean
write_csv (const StreamReport *report, GError **error)
{
  static const char *const names[STREAM_N_NUMBERS] = { "psnr_before", "psnr", "ssim_before", "ssim",
    "flicker_before", "flicker", "change", "shift_r", "shift_g", "shift_b", "bits_per_pixel" };
  g_autoptr (GString) text = g_string_new ("clip,kernel,sigma,encoder,quality,frames,encoded");
  g_autofree char *path = g_build_filename (report->folder, "streams.csv", NULL);
  char digits[G_ASCII_DTOSTR_BUF_SIZE];

  for (int v = 0; v < STREAM_N_NUMBERS; v++)
    g_string_append_printf (text, ",%s", names[v]);
  g_string_append (text, ",triptych\n");
  for (guint i = 0; i < report->entries->len; i++) {
    const StreamEntry *entry = entry_of (report, i);
    const SynthKernel *kernel = &report->kernels[entry->kernel];
    double quality = report->qualities[entry->quality];

    eval_append_field (text, report->clips[entry->clip]);
    if (kernel->size == 1)
      g_string_append (text, ",,");
    else
      g_string_append_printf (
          text, ",%d,%s", kernel->size, g_ascii_formatd (digits, sizeof digits, "%g", kernel->sigma));
    if (isnan (quality))
      g_string_append (text, ",none,");
    else
      g_string_append_printf (text, ",%s,%s", codec_name (report->encoder),
          g_ascii_formatd (digits, sizeof digits, "%g", quality));
    g_string_append_printf (text, ",%u,%u", entry->frames, entry->encoded);
    for (int v = 0; v < STREAM_N_NUMBERS; v++) {
      g_string_append_c (text, ',');
      if (isfinite (entry->value[v]))
        g_string_append (text, g_ascii_formatd (digits, sizeof digits, "%.8g", entry->value[v]));
    }
    g_string_append_c (text, ',');
    eval_append_field (text, entry->triptych ? entry->triptych : "");
    g_string_append_c (text, '\n');
  }
  return text_save (path, text->str, error);
}

/* ---- the page: numbers --------------------------------------------------------------------- */

static char *
headline (const StreamReport *report)
{
  g_autofree char *clips = g_strdup_printf ("Mean gain on %u %s, blurred, then through %s: ", report->n_clips,
      report->n_clips == 1 ? "clip" : "clips", codec_name (report->encoder));
  g_autoptr (GString) sentence = g_string_new (NULL);

  for (guint q = 0; q < report->n_qualities; q++) {
    g_autofree char *name = quality_name (report, q);
    Mean mean = mean_of (report, ANY, q);
    double gain = mean.value[STREAM_PSNR] - mean.value[STREAM_PSNR_BEFORE];

    if (mean.n)
      g_string_append_printf (
          sentence, "%s%s %s%.2f dB", sentence->len ? ", " : "", name, gain < 0 ? "−" : "+", fabs (gain));
  }
  return g_strconcat (clips, sentence->len ? sentence->str : "nothing was blurred", ".", NULL);
}

static void
append_tiles (GString *page, const StreamReport *report)
{
  page_tiles (page, TRUE);
  for (guint q = 0; q < report->n_qualities; q++) {
    g_autofree char *name = quality_name (report, q);
    Mean mean = mean_of (report, ANY, q);

    if (mean.n)
      page_tile (page, name, mean.value[STREAM_PSNR_BEFORE], mean.value[STREAM_PSNR]);
  }
  page_tiles (page, FALSE);
}

/* worst: the least gain of all, or not a number. */
static void
append_numbers (GString *page, const double value[STREAM_N_NUMBERS], double worst)
{
  page_number (page, value[STREAM_PSNR_BEFORE], 2);
  page_number (page, value[STREAM_PSNR], 2);
  page_gain (page, value[STREAM_PSNR] - value[STREAM_PSNR_BEFORE], 2);
  if (!isnan (worst))
    page_gain (page, worst, 2);
  page_number (page, value[STREAM_SSIM_BEFORE], 4);
  page_number (page, value[STREAM_SSIM], 4);
  page_number (page, value[STREAM_FLICKER_BEFORE], 2);
  page_number (page, value[STREAM_FLICKER], 2);
  page_number (page, value[STREAM_BITS], 3);
}

static void
append_averages (GString *page, const StreamReport *report)
{
  static const char *const columns[]
      = { "Blur", "Stream", "Clips", "PSNR before, dB", "PSNR after, dB", "Gain, dB", "Least gain, dB",
          "SSIM before", "SSIM after", "Flicker before", "Flicker after", "Bits per pixel", NULL };

  page_heading (page, "Averages");
  page_note (page, "Before is what the decoder gives, after what the network makes of it; both, and the "
                   "sharp frame, are 4:2:0. "
                   "Flicker is the mean absolute error of the differences from frame to frame against the "
                   "sharp clip's, in "
                   "1/255. Each clip counts the same. Of longer sequences the frames in the middle are measured: "
                   "encoders spend least on the last ones.");
  page_table (page, NULL, columns, 2);
  for (guint k = 0; k < report->n_kernels; k++)
    for (guint q = 0; q < report->n_qualities; q++) {
      g_autofree char *name = quality_name (report, q);
      Mean mean = mean_of (report, k, q);
      char text[48];

      if (!mean.n)
        continue;
      page_row (page, FALSE);
      page_cell (page, kernel_name (&report->kernels[k], TRUE, text));
      page_cell (page, name);
      page_number (page, mean.n, 0);
      append_numbers (page, mean.value, mean.worst);
    }
  page_table_end (page, FALSE);
}

static void
append_clips (GString *page, const StreamReport *report)
{
  static const char *const columns[]
      = { "Clip", "Blur", "Stream", "Frames encoded", "measured", "PSNR before, dB", "PSNR after, dB", "Gain, dB", "SSIM before",
          "SSIM after", "Flicker before", "Flicker after", "Bits per pixel", NULL };

  page_heading (page, "Each clip");
  page_table (page, "All clips", columns, 3);
  for (guint i = 0; i < report->entries->len; i++) {
    const StreamEntry *entry = entry_of (report, i);
    g_autofree char *name = quality_name (report, entry->quality);
    char text[48];

    if (stream_as_is (report, entry->kernel, entry->quality))
      continue;
    page_row (page, FALSE);
    page_cell (page, report->clips[entry->clip]);
    page_cell (page, kernel_name (&report->kernels[entry->kernel], TRUE, text));
    page_cell (page, name);
    page_number (page, entry->encoded ? entry->encoded : NAN, 0);
    page_number (page, entry->frames, 0);
    append_numbers (page, entry->value, NAN);
  }
  page_table_end (page, TRUE);
}

/* ---- the page: curves and pictures --------------------------------------------------------- */

/* Mean PSNR over quality, before and after. */
static void
add_plot (GPtrArray *plots, const StreamReport *report, guint kernel)
{
  g_autofree double *x = g_new (double, report->n_qualities), *before = g_new (double, report->n_qualities),
                    *after = g_new (double, report->n_qualities);
  char text[48];
  g_autofree char *title
      = g_strdup_printf ("PSNR (dB), %s", kernel_name (&report->kernels[kernel], TRUE, text));
  g_autofree char *x_name
      = g_strdup_printf ("%s of %s", quality_unit (report->encoder), codec_name (report->encoder));
  guint n = 0;
  Plot *plot;

  for (guint q = 0; q < report->n_qualities; q++) {
    double quality = report->qualities[q];
    Mean mean = mean_of (report, kernel, q);
    guint at = n;

    if (isnan (quality) || !mean.n)
      continue;
    for (; at > 0 && x[at - 1] > quality; at--) {
      x[at] = x[at - 1];
      before[at] = before[at - 1];
      after[at] = after[at - 1];
    }
    if (at > 0 && x[at - 1] == quality)
      continue; /* given twice */
    x[at] = quality;
    before[at] = mean.value[STREAM_PSNR_BEFORE];
    after[at] = mean.value[STREAM_PSNR];
    n++;
  }
  if (!n)
    return;
  plot = plot_new (title, x_name, n, x);
  plot_add (plot, "after", after);
  plot_add (plot, "before", before);
  g_ptr_array_add (plots, plot);
}

static gboolean
append_picture (GString *page, const StreamReport *report, const StreamEntry *entry, GError **error)
{
  static const char *const titles[] = { "before", "after", "sharp" }, *const as_is_titles[] = { "before",
    "after", "the change, eightfold" };
  gboolean as_is = stream_as_is (report, entry->kernel, entry->quality);
  g_autofree char *path = g_build_filename (report->folder, entry->triptych, NULL), *caption = NULL;
  g_autofree char *quality = quality_name (report, entry->quality);
  g_auto (Triptych) triptych = { 0 };
  char text[48];

  if (!triptych_load (&triptych, path, error))
    return FALSE;
  triptych.titles = as_is ? as_is_titles : titles;
  triptych.no_truth = as_is;
  caption = as_is ? g_strdup_printf ("%s, as it is: %s", report->clips[entry->clip], entry->triptych)
                  : g_strdup_printf ("%s, %s, %s: %s", report->clips[entry->clip],
                      kernel_name (&report->kernels[entry->kernel], TRUE, text), quality, entry->triptych);
  return triptych_append (page, &triptych, caption, error);
}

static gboolean
append_as_is (GString *page, const StreamReport *report, GError **error)
{
  static const char *const columns[] = { "Clip", "Change", "Red", "Green", "Blue", "Flicker", NULL };
  g_autoptr (GPtrArray) found = g_ptr_array_new ();

  for (guint i = 0; i < report->entries->len; i++)
    if (stream_as_is (report, entry_of (report, i)->kernel, entry_of (report, i)->quality))
      g_ptr_array_add (found, (gpointer) entry_of (report, i));
  if (!found->len)
    return TRUE;
  page_heading (page, "Clips as they are");
  page_note (page, "Frames that nobody blurred, and what the network does to them, in 1/255: the mean "
                   "absolute change, the mean "
                   "shift of each colour, and the mean absolute change of the differences from frame to "
                   "frame. Below each clip, "
                   "enlarged, the part that changed most.");
  page_table (page, NULL, columns, 1);
  for (guint i = 0; i < found->len; i++) {
    const StreamEntry *entry = g_ptr_array_index (found, i);

    page_row (page, FALSE);
    page_cell (page, report->clips[entry->clip]);
    page_number (page, entry->value[STREAM_CHANGE], 3);
    for (int v = STREAM_SHIFT_R; v <= STREAM_SHIFT_B; v++)
      page_number (page, entry->value[v], 4);
    page_number (page, entry->value[STREAM_FLICKER], 3);
  }
  page_table_end (page, FALSE);
  for (guint i = 0; i < found->len; i++)
    if (!append_picture (page, report, g_ptr_array_index (found, i), error))
      return FALSE;
  return TRUE;
}

/* Of each quality, those in the middle of the list first, all clips with the last blur, then with the others.
 */
static gboolean
append_pictures (GString *page, const StreamReport *report, GError **error)
{
  page_heading (page, "Pictures");
  page_note (page, "The middle of a frame; below it, enlarged, the part where blur and codec took most.");
  for (guint i = 0; i < report->n_qualities; i++)
    for (int kernel = (int) report->n_kernels - 1; kernel >= 0; kernel--)
      for (guint e = 0; e < report->entries->len; e++) {
        const StreamEntry *entry = entry_of (report, e);
        guint quality = (report->n_qualities / 2 + i) % report->n_qualities;

        if (entry->quality == quality && entry->kernel == (guint) kernel
            && !stream_as_is (report, kernel, quality) && !append_picture (page, report, entry, error))
          return FALSE;
      }
  return TRUE;
}

gboolean
stream_report_save (const StreamReport *report, GError **error)
{
  const char *path = du_model_path (du_session_model (report->session));
  g_autofree char *base = g_path_get_basename (path ? path : "weights"), *first = headline (report);
  g_autofree char *title = g_strdup_printf ("Streams: %s", base);
  g_autofree char *machine = g_strdup_printf ("%s %s on %s.", du_session_backend (report->session),
      du_session_precision (report->session), du_session_device (report->session));
  g_autoptr (GPtrArray) plots = g_ptr_array_new_with_free_func ((GDestroyNotify) plot_free);
  g_autoptr (GString) page = page_new (title, first);

  if (!write_csv (report, error))
    return FALSE;
  for (guint kernel = 0; kernel < report->n_kernels; kernel++)
    add_plot (plots, report, kernel);
  append_tiles (page, report);
  page_note (page, machine);
  page_plots (page, plots, 0, plots->len);
  append_averages (page, report);
  if (!append_as_is (page, report, error) || !append_pictures (page, report, error))
    return FALSE;
  append_clips (page, report);
  page_weights (page, du_session_model (report->session));
  page_heading (page, "Configuration");
  page_key_file (page, report->settings, "settings");
  return page_save (page, plots, report->folder, error);
}

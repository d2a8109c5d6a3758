/* `deblurunet-train eval`: pictures of any size through the deblurrer, 8-bit in and out, against the truth.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checkpoint.h"
#include "eval-report.h"
#include "eval.h"
#include "media.h"
#include "progress.h"
#include "settings.h"
#include "triptych.h"

#include <math.h>
#include <string.h>

/* clang-format off */
static const SettingEntry entries[] = {
  { "weights", 'w', SETTING_PATHS, FALSE, NULL, 0, 0, NULL, "FILE", "Weights to measure" },
  { "output", 'o', SETTING_PATHS, FALSE, NULL, 0, 0, NULL, "FOLDER",
    "Where report.html, eval.csv or streams.csv, and the pictures blurred | deblurred | sharp go" },
  { "all", 0, SETTING_FLAG, FALSE, NULL, 0, 0, NULL, NULL,
    "Write every picture, not only those of the most, the median and the least gain of each kernel" },
  { "kernels", 0, SETTING_TEXT, FALSE, "3:0.3,7:1,11:1.6", 0, 0, NULL, "LIST",
    "Blur kernels, SIZE:SIGMA in pixels; each blurs every sharp picture. Where it is not given, pairs have "
    "those of their manifest, and --streams none,7:1,11:1.6, none being one" },
  { "fit", 0, SETTING_CHOICE, FALSE, "none", 0, 0, "none|stretch|crop", NULL,
    "Bring sharp pictures to 448x256 first, as for training, or take them as they are" },
  { "every", 0, SETTING_INTEGER, FALSE, "1", 1, 1e9, NULL, "N", "Take every N-th frame of a video" },
  { "max-bad", 0, SETTING_INTEGER, FALSE, "10", 0, 1e9, NULL, "N", "Bad pictures that are skipped" },
  { "backend", 0, SETTING_CHOICE, FALSE, "auto", 0, 0, SETTINGS_BACKENDS, NULL, "What computes" },
  { "device", 0, SETTING_INTEGER, FALSE, "-1", -1, 1024, NULL, "N",
    "CUDA device, -1 = the first that works" },
  { "precision", 0, SETTING_CHOICE, FALSE, "auto", 0, 0, SETTINGS_PRECISIONS, NULL, "Of activations" },
  { "threads", 't', SETTING_INTEGER, FALSE, "0", 0, 1024, NULL, "N", "CPU threads, 0 = one per core" },
  { "overlap", 0, SETTING_INTEGER, FALSE, NULL, 0, 128, NULL, "PIXELS",
    "That neighbouring tiles share (the element's)" },
  EVAL_STREAMS_OPTIONS,
};
/* clang-format on */

typedef struct
{
  Settings *settings;
  SynthOptions synth;
  SynthKernel *kernels; /* synth's */
  MediaOptions media;
  const char *output; /* folder or NULL */
  guint max_bad;

  DuSession *session;
  DuDeblurrer *deblurrer; /* of the size below */
  int height, width;

  Evaluation evaluation;
  Metrics metrics;
  GArray *entries; /* of EvalEntry */
  gboolean again;  /* second pass: only what ranks */
  guint picture;   /* in progress */
  guint next;      /* entry, in the second pass */
  GPtrArray *bad;
  GString *name;
  Progress progress;
} Eval;

static void
entry_clear (gpointer data)
{
  EvalEntry *entry = data;

  g_free (entry->name);
  g_free (entry->triptych);
}

static void
eval_clear (Eval *eval)
{
  progress_end (&eval->progress);
  g_clear_pointer (&eval->deblurrer, du_deblurrer_free);
  g_clear_pointer (&eval->session, du_session_unref);
  g_clear_pointer (&eval->entries, g_array_unref);
  g_clear_pointer (&eval->bad, g_ptr_array_unref);
  g_free (eval->kernels);
  if (eval->name)
    g_string_free (eval->name, TRUE);
  g_clear_pointer (&eval->settings, settings_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Eval, eval_clear)

void
eval_tiles (const Settings *settings, DuDeblurrerOptions *options)
{
  du_deblurrer_options_init (options);
  if (settings_text (settings, "overlap"))
    options->overlap = (int) settings_integer (settings, "overlap");
}

void
eval_print_report (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "report.html", NULL);

  g_print ("report: %s\n", path);
}

/* ---- one picture --------------------------------------------------------------------------- */

/* As EvaluatePredict. */
static gboolean
deblur (gpointer data, int height, int width, const guint8 *blurred, float *predicted, GError **error)
{
  Eval *eval = data;
  gsize samples = (gsize) height * width * 3;
  g_autofree guint8 *output = g_try_new (guint8, samples);
  DuFrame in = { { (guint8 *) blurred }, { width * 3 } }, out = { { output }, { width * 3 } };

  if (!output) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for a picture of %dx%d", width, height);
    return FALSE;
  }
  if (!eval->deblurrer || eval->height != height || eval->width != width) {
    const DuFrameInfo info
        = { .format = DU_FORMAT_RGB, .width = width, .height = height, .full_range = TRUE };
    DuDeblurrerOptions options;

    eval_tiles (eval->settings, &options);
    g_clear_pointer (&eval->deblurrer, du_deblurrer_free);
    eval->deblurrer = du_deblurrer_new (eval->session, &info, &options, error);
    if (!eval->deblurrer)
      return FALSE;
    eval->height = height;
    eval->width = width;
  }
  if (!du_deblurrer_process (eval->deblurrer, &in, &out, 1, error))
    return FALSE;
  metrics_from_8bit (samples, output, predicted);
  return TRUE;
}

static gboolean
write_triptych (const Eval *eval, const EvaluateResult *result, EvalEntry *entry, GError **error)
{
  g_autofree char *prefix = g_strdup_printf ("%s%s%04u", entry->rank ? entry->rank : "", entry->rank ? "-" : "",
      entry->picture + 1);
  g_auto (Triptych) triptych = { 0 };

  if (!triptych_make (&triptych, result, prefix, eval->synth.kernels, error)
      || !triptych_save (&triptych, eval->output, error))
    return FALSE;
  entry->triptych = g_steal_pointer (&triptych.name);
  return TRUE;
}

/* As EvaluateVisit. */
static gboolean
take_result (gpointer data, const EvaluateResult *result, GError **error)
{
  Eval *eval = data;
  EvalEntry *entry;

  if (eval->again) {
    entry = &g_array_index (eval->entries, EvalEntry, eval->next++);
    return !entry->rank || write_triptych (eval, result, entry, error);
  }
  g_array_set_size (eval->entries, eval->entries->len + 1);
  entry = &g_array_index (eval->entries, EvalEntry, eval->entries->len - 1);
  *entry = (EvalEntry){
    .name = g_strdup (result->name),
    .picture = eval->picture,
    .kernel = result->kernel,
    .measurement = result->measurement,
  };
  return !eval->output || !settings_flag (eval->settings, "all")
         || write_triptych (eval, result, entry, error);
}

/* In the second pass: are pictures of this one wanted? Skips its entries where not. */
static gboolean
wanted (Eval *eval)
{
  gboolean any = FALSE;
  guint end = eval->next;

  if (!eval->again)
    return TRUE;
  for (; end < eval->entries->len; end++) {
    const EvalEntry *entry = &g_array_index (eval->entries, EvalEntry, end);

    if (entry->picture != eval->picture)
      break;
    any = any || entry->rank;
  }
  if (!any)
    eval->next = end;
  return any;
}

/* ---- the material -------------------------------------------------------------------------- */

/* A picture that cannot be read is listed; another failure is one of the whole. */
static gboolean
skip_bad (Eval *eval, const char *path, GError *cause, GError **error)
{
  g_autofree char *reason = NULL;

  if (!g_error_matches (cause, TRAIN_ERROR, EXIT_DATA)) {
    g_propagate_error (error, cause);
    return FALSE;
  }
  reason = g_strdup_printf ("%s: %s", path, cause->message);
  g_error_free (cause);
  if (!eval->again) {
    progress_end (&eval->progress);
    g_printerr ("bad picture %s\n", reason);
    g_ptr_array_add (eval->bad, g_steal_pointer (&reason));
  }
  if (eval->bad->len <= eval->max_bad)
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_DATA,
      "more than %u bad pictures: mend or remove them, or raise --max-bad", eval->max_bad);
  return FALSE;
}

/* As MediaFunc: a sharp picture. */
static gboolean
take_sharp (guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data, GError **error)
{
  Eval *eval = data;
  g_autofree char *name
      = frame ? g_strdup_printf ("%s-%u", eval->name->str, frame) : g_strdup (eval->name->str);
  char count[32];
  gboolean done;

  g_snprintf (count, sizeof count, "%u pictures", eval->picture);
  progress_update (&eval->progress, file, count);
  done
      = !wanted (eval) || evaluate_sharp (&eval->evaluation, name, height, width, rgb, &eval->metrics, error);
  eval->picture++;
  return done;
}

/* One decoded picture, kept. */
typedef struct
{
  int height, width;
  guint8 *rgb;
} Picture;

static gboolean
keep_picture (guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data,
    GError **error)
{
  Picture *picture = data;

  (void) file;
  (void) error;
  if (frame == 0)
    *picture = (Picture){ height, width, g_memdup2 (rgb, (gsize) height * width * 3) };
  return TRUE;
}

static gboolean
take_pair (Eval *eval, const char *sharp_path, const char *blurred_path, int kernel, GError **error)
{
  const MediaOptions as_is = { .every = 1 };
  Picture sharp = { 0 }, blurred = { 0 };
  gboolean done = media_decode (sharp_path, 0, &as_is, keep_picture, &sharp, error)
                  && media_decode (blurred_path, 0, &as_is, keep_picture, &blurred, error);

  if (done && (sharp.height != blurred.height || sharp.width != blurred.width)) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "it is %dx%d, its blurred picture %dx%d", sharp.width,
        sharp.height, blurred.width, blurred.height);
    done = FALSE;
  }
  if (done && wanted (eval))
    done = evaluate_pair (&eval->evaluation, eval->name->str, kernel, sharp.height, sharp.width, blurred.rgb,
        sharp.rgb, &eval->metrics, error);
  if (done)
    eval->picture++;
  g_free (sharp.rgb);
  g_free (blurred.rgb);
  return done;
}

/* Once through all pictures: pairs, of folders with sharp/ and blur/ of equal names, or sharp ones. */
static gboolean
go_through (Eval *eval, GError **error)
{
  char *const *paths = settings_operands (eval->settings);
  const gboolean pairs = evaluate_is_pairs (paths[0]);
  g_auto (GStrv) sharp = dataset_sharp_paths (paths);
  g_autofree int *kernel = NULL;
  guint n = 0, alone = 0;
  g_auto (GStrv) files = pairs ? dataset_match_pairs (paths, &eval->synth, &kernel, NULL, &n, &alone, error)
                               : media_list (sharp, error);

  if (!files)
    return FALSE;
  if (!pairs)
    n = g_strv_length (files);
  eval->picture = eval->next = 0;
  progress_begin (&eval->progress, 0, n, eval->again ? "pictures" : "eval");
  for (guint i = 0; i < n; i++) {
    g_autofree char *name = g_path_get_basename (files[i]);
    GError *cause = NULL;
    gboolean done;

    g_string_assign (eval->name, name);
    done = pairs ? take_pair (eval, files[i], files[n + i], kernel[i], &cause)
                 : media_decode (files[i], i, &eval->media, take_sharp, eval, &cause);
    if (!done && !skip_bad (eval, files[i], cause, error))
      return FALSE;
    progress_update (&eval->progress, i + 1, NULL);
  }
  progress_end (&eval->progress);
  return TRUE;
}

/* ---- results ------------------------------------------------------------------------------- */

static double
gain (const EvalEntry *entry)
{
  return entry->measurement.value[METRIC_PSNR] - entry->measurement.value[METRIC_PSNR_BLURRED];
}

static int
compare_gain (gconstpointer a, gconstpointer b)
{
  double x = gain (*(EvalEntry *const *) a), y = gain (*(EvalEntry *const *) b);

  return x < y ? -1 : x > y;
}

/* Marks the pictures of the most, the median and the least gain of each kernel. */
static void
rank (Eval *eval)
{
  for (int kernel = -1; kernel < (int) eval->synth.n_kernels; kernel++) {
    g_autoptr (GPtrArray) sorted = g_ptr_array_new ();

    for (guint i = 0; i < eval->entries->len; i++)
      if (g_array_index (eval->entries, EvalEntry, i).kernel == kernel)
        g_ptr_array_add (sorted, &g_array_index (eval->entries, EvalEntry, i));
    if (!sorted->len)
      continue;
    g_ptr_array_sort (sorted, compare_gain);
    ((EvalEntry *) g_ptr_array_index (sorted, 0))->rank = "least";
    ((EvalEntry *) g_ptr_array_index (sorted, sorted->len / 2))->rank = "median";
    ((EvalEntry *) g_ptr_array_index (sorted, sorted->len - 1))->rank = "most";
  }
}

void
eval_append_field (GString *text, const char *field)
{
  if (strpbrk (field, ",\"\n\r")) {
    g_auto (GStrv) parts = g_strsplit (field, "\"", -1);
    g_autofree char *quoted = g_strjoinv ("\"\"", parts);

    g_string_append_printf (text, "\"%s\"", quoted);
  } else {
    g_string_append (text, field);
  }
}

static gboolean
write_csv (const Eval *eval, GError **error)
{
  static const Metric columns[]
      = { METRIC_PSNR_BLURRED, METRIC_PSNR, METRIC_SSIM_BLURRED, METRIC_SSIM, METRIC_MSE, METRIC_MAE };
  g_autoptr (GString) text = g_string_new ("picture,kernel,sigma,psnr_blurred,psnr,ssim_blurred,ssim,mse,mae,"
                                           "triptych\n");
  g_autofree char *path = g_build_filename (eval->output, "eval.csv", NULL);

  for (guint i = 0; i < eval->entries->len; i++) {
    const EvalEntry *entry = &g_array_index (eval->entries, EvalEntry, i);
    char digits[G_ASCII_DTOSTR_BUF_SIZE];

    eval_append_field (text, entry->name);
    if (entry->kernel >= 0)
      g_string_append_printf (text, ",%d,%s", eval->synth.kernels[entry->kernel].size,
          g_ascii_formatd (digits, sizeof digits, "%g", eval->synth.kernels[entry->kernel].sigma));
    else
      g_string_append (text, ",,");
    for (guint c = 0; c < G_N_ELEMENTS (columns); c++) {
      double value = entry->measurement.value[columns[c]];

      g_string_append_c (text, ',');
      if (isfinite (value))
        g_string_append (text, g_ascii_formatd (digits, sizeof digits, "%.8g", value));
    }
    g_string_append_c (text, ',');
    eval_append_field (text, entry->triptych ? entry->triptych : "");
    g_string_append_c (text, '\n');
  }
  return text_save (path, text->str, error);
}

static gboolean
write_report (const Eval *eval, GError **error)
{
  g_autoptr (GKeyFile) settings = g_key_file_new ();
  const EvalReport report = { eval->output, eval->entries, &eval->metrics, eval->synth.kernels, eval->session, settings };

  settings_store (eval->settings, settings, "settings");
  return eval_report_save (&report, error);
}

/* ---- the command --------------------------------------------------------------------------- */

static gboolean
open_session (Eval *eval, GError **error)
{
  char *const *weights = settings_paths (eval->settings, "weights");
  g_autoptr (DuModel) model = NULL;
  DuSessionOptions options;

  if (!weights[0] || weights[1]) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "give one --weights FILE");
    return FALSE;
  }
  model = du_model_load (weights[0], error);
  if (!model)
    return FALSE;
  if (du_model_warning (model))
    g_printerr ("warning: %s: %s\n", weights[0], du_model_warning (model));
  du_session_options_init (&options);
  options.backend = (DuBackendKind) settings_choice (eval->settings, "backend");
  options.precision = (DuPrecision) settings_choice (eval->settings, "precision");
  options.threads = (int) settings_integer (eval->settings, "threads");
  options.device = (int) settings_integer (eval->settings, "device");
  eval->session = du_session_open (model, &options, error);
  if (!eval->session)
    return FALSE;
  g_print ("weights: %s; %s %s on %s\n", weights[0], du_session_backend (eval->session),
      du_session_precision (eval->session), du_session_device (eval->session));
  return TRUE;
}

/* What only makes sense with --streams, or without. */
static gboolean
check_options (const Settings *settings, GError **error)
{
  static const char *const with[] = { "encoder", "crf", "gop", "first", "frames", "measure", "size", NULL };
  static const char *const without[] = { "all", "fit", "max-bad", NULL };
  gboolean streams = settings_flag (settings, "streams");

  for (const char *const *name = streams ? without : with; *name; name++)
    if (settings_given (settings, *name)) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--%s %s: leave one of them out", *name,
          streams ? "has no meaning with --streams" : "needs --streams");
      return FALSE;
    }
  if (settings_operands (settings)[0])
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "no data given: see 'deblurunet-train eval --help'");
  return FALSE;
}

/* Where no kernels are given: those of the pairs' manifests, if they name any, and not more than can be told
 * apart; for streams those that blur, and none. */
static gboolean
choose_kernels (Settings *settings, GError **error)
{
  char *const *paths = settings_operands (settings);
  g_autofree SynthKernel *kernels = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  char digits[G_ASCII_DTOSTR_BUF_SIZE];
  guint n;

  if (settings_given (settings, "kernels"))
    return TRUE;
  if (settings_flag (settings, "streams")) {
    settings_set (settings, "kernels", "none,7:1,11:1.6");
    return TRUE;
  }
  if (!evaluate_is_pairs (paths[0]))
    return TRUE;
  if (!dataset_manifest_kernels (paths, &kernels, &n, error))
    return FALSE;
  for (guint k = 0; k < n; k++)
    g_string_append_printf (text, "%s%d:%s", k ? "," : "", kernels[k].size,
        g_ascii_formatd (digits, sizeof digits, "%g", kernels[k].sigma));
  if (n && n <= METRICS_MAX_KERNELS)
    settings_set (settings, "kernels", text->str);
  return TRUE;
}

static gboolean
prepare (Eval *eval, GError **error)
{
  int fit = settings_choice (eval->settings, "fit");

  eval->max_bad = (guint) settings_integer (eval->settings, "max-bad");
  synth_options_init (&eval->synth);
  if (!evaluate_kernels (settings_text (eval->settings, "kernels"), &eval->kernels, &eval->synth, error))
    return FALSE;
  eval->media = (MediaOptions){
    .fit = fit == 2 ? SYNTH_FIT_CROP : SYNTH_FIT_STRETCH,
    .height = fit ? eval->synth.height : 0,
    .width = fit ? eval->synth.width : 0,
    .every = (guint) settings_integer (eval->settings, "every"),
  };
  eval->evaluation = (Evaluation){
    .kernels = eval->synth.kernels,
    .n_kernels = eval->synth.n_kernels,
    .loss = DU_LOSS_MSE,
    .blurred_ssim = TRUE,
    .predict = deblur,
    .visit = take_result,
    .data = eval,
  };
  metrics_init (&eval->metrics, eval->synth.n_kernels);
  eval->entries = g_array_new (FALSE, TRUE, sizeof (EvalEntry));
  g_array_set_clear_func (eval->entries, entry_clear);
  eval->bad = g_ptr_array_new_with_free_func (g_free);
  eval->name = g_string_new (NULL);
  return TRUE;
}

ExitCode
eval_command (int argc, char **argv, GError **error)
{
  g_auto (Eval) eval = { 0 };

  eval.settings = settings_parse (entries, G_N_ELEMENTS (entries), argc, argv, "DATA… --weights FILE",
      "Measures weights on whole pictures, 8-bit in and out, as the element runs them. DATA is folders of\n"
      "pairs (sharp/ and blur/ with equal names) or sharp pictures, videos and folders of them, each blurred\n"
      "with each of the kernels. PSNR and SSIM are means over pictures; a picture's PSNR counts 100 dB at\n"
      "most. With --streams DATA is clips, and frames are encoded and decoded after the blur.",
      "Why --streams measures the middle of longer sequences: encoders spend least on the frames at the end of a\n"
      "sequence, which no others refer to. Twelve frames that x264 encodes alone come out 0.5 to 0.7 dB worse than\n"
      "the same frames of a long stream of that CRF, and so do the last twelve of 48; the middle ones do not (0.1).",
      error);
  if (!eval.settings)
    return EXIT_DONE;
  eval.output = settings_paths (eval.settings, "output")[0];
  if (!check_options (eval.settings, error) || !choose_kernels (eval.settings, error)
      || (eval.output && !folder_make (eval.output, error)) || !open_session (&eval, error))
    return EXIT_DATA;
  if (settings_flag (eval.settings, "streams"))
    return eval_streams (eval.settings, eval.session, error) ? EXIT_DONE : EXIT_DATA;
  if (!prepare (&eval, error) || !go_through (&eval, error))
    return EXIT_DATA;
  if (!eval.entries->len) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "nothing to measure: no picture could be read");
    return EXIT_DATA;
  }
  rank (&eval);
  if (eval.output && !settings_flag (eval.settings, "all")) {
    Metrics kept = eval.metrics;

    eval.again = TRUE;
    if (!go_through (&eval, error))
      return EXIT_DATA;
    eval.metrics = kept;
  }
  evaluate_print (&eval.metrics, eval.synth.kernels);
  if (eval.output && (!write_csv (&eval, error) || !write_report (&eval, error)))
    return EXIT_IO;
  if (eval.output)
    eval_print_report (eval.output);
  return EXIT_DONE;
}

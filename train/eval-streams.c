/* `deblurunet-train eval --streams`: for each blur and each quality the frames of a clip are blurred, encoded
 * as one sequence, decoded and deblurred as the element would. Decoded, deblurred and sharp frames all come
 * as I420 and go the same way to RGB, so that nothing but the network makes the difference. A clip is decoded
 * anew each time: no more frames are held than the encoder looks ahead.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval.h"

#include "checkpoint.h"
#include "evaluate.h"
#include "media.h"
#include "progress.h"
#include "streams-report.h"
#include "triptych.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum
{
  QUALITIES_MAX = 16,
  PICTURE_HEIGHT = 360, /* pixels: so much is kept of a frame's middle */
  PICTURE_WIDTH = 640,
  MEASURED = 12,   /* frames, of those that --frames takes where it is not given */
  CHANGE_GAIN = 8, /* of the change in pictures of clips as they are */
};

typedef struct
{
  const Settings *settings;
  DuSession *session;
  const char *output; /* folder or NULL */
  CodecOptions codec_options;
  SynthKernel *kernels;
  guint n_kernels;
  double qualities[QUALITIES_MAX];
  guint n_qualities;
  MediaOptions media;
  guint first, frames, measure;
  char **files, **names;
  guint n_clips, *lengths; /* of each clip: frames that are taken */
  GArray *entries; /* of StreamEntry */
  Evaluation evaluation;
  Progress progress;
  guint done; /* frames, of all */

  DuDeblurrer *deblurrer; /* of the size below */
  int height, width;
  GstVideoInfo info;

  /* One sequence. */
  StreamReport report; /* for names */
  guint clip, kernel, quality;
  Codec *codec;      /* NULL: not encoded */
  GQueue sharp;      /* of those in the codec that will be measured, I420 */
  const guint8 *yuv; /* the decoded frame in progress */
  guint skipped, wanted; /* of the frames taken: those before the ones that are measured, and these */
  guint pushed, measured;
  gboolean enough;
  guint8 *last[3]; /* before, after and sharp of the frame before, RGB */
  Metrics metrics;
  double flicker[2], change, shift[3]; /* sums */
  gsize bytes;
  Triptych triptych; /* of the middle frame */
} Streams;

/* ---- one sequence -------------------------------------------------------------------------- */

static void
sequence_clear (Streams *streams)
{
  g_clear_pointer (&streams->codec, codec_free);
  g_queue_clear_full (&streams->sharp, g_free);
  for (int i = 0; i < 3; i++)
    g_clear_pointer (&streams->last[i], g_free);
  triptych_clear (&streams->triptych);
}

static void
streams_clear (Streams *streams)
{
  progress_end (&streams->progress);
  sequence_clear (streams);
  g_clear_pointer (&streams->deblurrer, du_deblurrer_free);
  for (guint i = 0; streams->entries && i < streams->entries->len; i++)
    g_free (g_array_index (streams->entries, StreamEntry, i).triptych);
  g_clear_pointer (&streams->entries, g_array_unref);
  g_clear_pointer (&streams->files, g_strfreev);
  g_clear_pointer (&streams->names, g_strfreev);
  g_clear_pointer (&streams->lengths, g_free);
  g_clear_pointer (&streams->kernels, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Streams, streams_clear)

static gboolean
out_of_memory (int height, int width, GError **error)
{
  g_set_error (error, DU_ERROR, DU_ERROR_MEMORY,
      "not enough memory for frames of %dx%d: give a smaller --size", width, height);
  return FALSE;
}

/* As EvaluatePredict: the frame in progress, as it was decoded, through the deblurrer. */
static gboolean
deblur (gpointer data, int height, int width, const guint8 *blurred, float *predicted, GError **error)
{
  Streams *streams = data;
  gsize samples = (gsize) height * width * 3;
  g_autofree guint8 *yuv = g_try_malloc0 (streams->info.size), *rgb = g_try_malloc (samples);
  DuFrame in, out;

  (void) blurred;
  if (!yuv || !rgb)
    return out_of_memory (height, width, error);
  in = yuv_frame (&streams->info, (guint8 *) streams->yuv);
  out = yuv_frame (&streams->info, yuv);
  if (!du_deblurrer_process (streams->deblurrer, &in, &out, 1, error)
      || !yuv_to_rgb (&streams->info, yuv, height, width, rgb, error))
    return FALSE;
  metrics_from_8bit (samples, rgb, predicted);
  return TRUE;
}

/* What the network changed, enlarged, around gray. */
static void
draw_change (Triptych *triptych)
{
  gsize n = (gsize) triptych->height * triptych->width * 3;

  for (gsize i = 0; i < n; i++) {
    int change = triptych->part[1][i] - triptych->part[0][i];

    triptych->part[2][i] = (guint8) CLAMP (128 + CHANGE_GAIN * change, 0, 255);
  }
}

/* Is the frame of this number one of those that are measured? */
static gboolean
is_measured (const Streams *streams, guint frame)
{
  return frame >= streams->skipped && frame - streams->skipped < streams->wanted;
}

/* Pictures of the middle frame. */
static gboolean
keep_pictures (Streams *streams, const EvaluateResult *result, GError **error)
{
  gboolean as_is = stream_as_is (&streams->report, streams->kernel, streams->quality);
  g_autofree char *what
      = stream_file_name (&streams->report, streams->clip, streams->kernel, streams->quality);

  if (!streams->output || streams->measured != streams->wanted / 2)
    return TRUE;
  if (!triptych_make (&streams->triptych, result, what, NULL, error))
    return FALSE;
  triptych_cut (&streams->triptych, PICTURE_HEIGHT, PICTURE_WIDTH);
  if (as_is)
    draw_change (&streams->triptych);
  return TRUE;
}

/* As EvaluateVisit. */
static gboolean
take_result (gpointer data, const EvaluateResult *result, GError **error)
{
  Streams *streams = data;
  const guint8 *now[3] = { result->blurred, result->predicted, result->sharp };
  gsize n = (gsize) result->height * result->width * 3;
  gint64 shift[3] = { 0 };
  guint64 change = 0, flicker[2] = { 0 };

  for (gsize i = 0; i < n; i++) {
    int difference = now[1][i] - now[0][i];

    change += (guint64) ABS (difference);
    shift[i % 3] += difference;
    if (streams->measured) {
      int sharp = now[2][i] - streams->last[2][i];

      flicker[0] += (guint64) ABS (now[0][i] - streams->last[0][i] - sharp);
      flicker[1] += (guint64) ABS (now[1][i] - streams->last[1][i] - sharp);
    }
  }
  streams->change += (double) change / n;
  for (int c = 0; c < 3; c++)
    streams->shift[c] += (double) shift[c] / (n / 3);
  for (int i = 0; i < 2; i++)
    streams->flicker[i] += (double) flicker[i] / n;
  for (int i = 0; i < 3; i++) {
    if (!streams->last[i] && !(streams->last[i] = g_try_malloc (n)))
      return out_of_memory (result->height, result->width, error);
    memcpy (streams->last[i], now[i], n);
  }
  return keep_pictures (streams, result, error);
}

/* As CodecFunc. */
static gboolean
take_decoded (guint frame, const guint8 *yuv, gpointer data, GError **error)
{
  Streams *streams = data;
  gsize samples = (gsize) streams->height * streams->width * 3;
  g_autofree guint8 *sharp = NULL, *before = NULL, *truth = NULL;
  char text[32];

  if (frame >= streams->pushed) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "the decoder gives more frames than the %u that went in",
        streams->pushed);
    return FALSE;
  }
  if (!is_measured (streams, frame))
    return TRUE;
  sharp = g_queue_pop_head (&streams->sharp);
  before = g_try_malloc (samples);
  truth = g_try_malloc (samples);
  if (!before || !truth)
    return out_of_memory (streams->height, streams->width, error);
  streams->yuv = yuv;
  if (!yuv_to_rgb (&streams->info, yuv, streams->height, streams->width, before, error)
      || !yuv_to_rgb (&streams->info, sharp, streams->height, streams->width, truth, error)
      || !evaluate_pair (&streams->evaluation, streams->names[streams->clip], -1, streams->height,
          streams->width, before, truth, &streams->metrics, error))
    return FALSE;
  streams->measured++;
  g_snprintf (text, sizeof text, "clip %u of %u", streams->clip + 1, streams->n_clips);
  progress_update (&streams->progress, ++streams->done, text);
  return TRUE;
}

/* A deblurrer and a codec for the clip's size. */
static gboolean
begin_sequence (Streams *streams, int height, int width, GError **error)
{
  CodecOptions options = streams->codec_options;

  options.quality = streams->qualities[streams->quality];
  if (!streams->deblurrer || streams->height != height || streams->width != width) {
    DuDeblurrerOptions tiles;
    DuFrameInfo frame;

    streams->height = height;
    streams->width = width;
    yuv_info (height, width, &streams->info);
    frame = yuv_frame_info (&streams->info);
    eval_tiles (streams->settings, &tiles);
    g_clear_pointer (&streams->deblurrer, du_deblurrer_free);
    streams->deblurrer = du_deblurrer_new (streams->session, &frame, &tiles, error);
    if (!streams->deblurrer)
      return FALSE;
  }
  if (isnan (options.quality))
    return TRUE;
  streams->codec = codec_open (&options, height, width, take_decoded, streams, error);
  return streams->codec != NULL;
}

/* As MediaFunc: a sharp frame. */
static gboolean
take_frame (guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data, GError **error)
{
  Streams *streams = data;
  const SynthKernel *kernel = &streams->kernels[streams->kernel];
  guint number = streams->pushed, last;
  gboolean measured = is_measured (streams, number);
  g_autofree guint8 *blurred = NULL, *yuv = NULL, *sharp = NULL;

  (void) file;
  if (frame < streams->first)
    return TRUE;
  if (!streams->pushed && !begin_sequence (streams, height, width, error))
    return FALSE;
  if (height != streams->height || width != streams->width) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "its size changes from %dx%d to %dx%d in frame %u: give --size", streams->width, streams->height,
        width, height, frame);
    return FALSE;
  }
  streams->pushed++;
  if (streams->codec || measured) {
    blurred = g_try_malloc ((gsize) height * width * 3);
    yuv = g_try_malloc (streams->info.size);
    if (!blurred || !yuv || (measured && !(sharp = g_try_malloc (streams->info.size))))
      return out_of_memory (height, width, error);
    synth_blur (kernel, height, width, rgb, blurred);
    yuv_from_rgb (&streams->info, height, width, blurred, yuv);
    if (measured) {
      yuv_from_rgb (&streams->info, height, width, rgb, sharp);
      g_queue_push_tail (&streams->sharp, g_steal_pointer (&sharp));
    }
    if (!(streams->codec ? codec_push (streams->codec, yuv, error)
                         : take_decoded (number, yuv, streams, error)))
      return FALSE;
  }
  last = streams->codec ? streams->lengths[streams->clip] : streams->skipped + streams->wanted;
  streams->enough = streams->pushed == last;
  if (streams->enough) /* ends the decoding */
    g_set_error (error, TRAIN_ERROR, EXIT_DONE, "enough");
  return !streams->enough;
}

static gboolean
save_entry (Streams *streams, GError **error)
{
  static const Metric metrics[] = {
    [STREAM_PSNR_BEFORE] = METRIC_PSNR_BLURRED,
    [STREAM_PSNR] = METRIC_PSNR,
    [STREAM_SSIM_BEFORE] = METRIC_SSIM_BLURRED,
    [STREAM_SSIM] = METRIC_SSIM,
  };
  guint n = streams->measured, encoded = streams->codec ? streams->pushed : 0;
  double pixels = (double) encoded * streams->height * streams->width;
  StreamEntry entry = { streams->clip, streams->kernel, streams->quality, n, encoded, { 0 }, NULL };

  for (guint i = 0; i < G_N_ELEMENTS (metrics); i++)
    entry.value[i] = metrics_mean (&streams->metrics.all, metrics[i]);
  for (int i = 0; i < 2; i++)
    entry.value[STREAM_FLICKER_BEFORE + i] = n > 1 ? streams->flicker[i] / (n - 1) : NAN;
  entry.value[STREAM_CHANGE] = streams->change / n;
  for (int c = 0; c < 3; c++)
    entry.value[STREAM_SHIFT_R + c] = streams->shift[c] / n;
  entry.value[STREAM_BITS] = streams->codec ? 8 * streams->bytes / pixels : NAN;
  if (streams->output) {
    if (!triptych_save (&streams->triptych, streams->output, error))
      return FALSE;
    entry.triptych = g_strdup (streams->triptych.name);
  }
  g_array_append_val (streams->entries, entry);
  return TRUE;
}

/* Which error is one of the clip, and which of the program or of the weights? Only the former names the clip.
 */
static gboolean
clip_failed (const Streams *streams, GError *cause, GError **error)
{
  if (g_error_matches (cause, TRAIN_ERROR, EXIT_DATA))
    g_prefix_error (&cause, "clip '%s': ", streams->files[streams->clip]);
  g_propagate_error (error, cause);
  return FALSE;
}

static gboolean
run_sequence (Streams *streams, GError **error)
{
  GError *cause = NULL;
  gboolean ok;

  sequence_clear (streams);
  streams->wanted = MIN (streams->measure, streams->lengths[streams->clip]);
  streams->skipped = (streams->lengths[streams->clip] - streams->wanted) / 2;
  streams->pushed = streams->measured = 0;
  streams->bytes = 0;
  streams->enough = FALSE;
  streams->change = 0;
  memset (streams->shift, 0, sizeof streams->shift);
  memset (streams->flicker, 0, sizeof streams->flicker);
  metrics_init (&streams->metrics, 0);
  ok = media_decode (
      streams->files[streams->clip], streams->clip, &streams->media, take_frame, streams, &cause);
  if (!ok && streams->enough) {
    g_clear_error (&cause);
    ok = TRUE;
  }
  if (ok && streams->codec)
    ok = codec_finish (streams->codec, &streams->bytes, &cause);
  if (ok && streams->measured < streams->wanted) {
    g_set_error (&cause, TRAIN_ERROR, EXIT_DATA, "%u of its frames came to be measured, where %u were expected",
        streams->measured, streams->wanted);
    ok = FALSE;
  }
  if (!ok)
    return clip_failed (streams, cause, error);
  return save_entry (streams, error);
}

/* ---- settings ------------------------------------------------------------------------------ */

static gboolean
read_qualities (Streams *streams, GError **error)
{
  CodecOptions options = streams->codec_options;
  double least, most, usual;
  g_autofree char *text = g_strdup (settings_text (streams->settings, "crf"));
  g_auto (GStrv) parts = NULL;

  codec_quality_range (options.kind, &least, &most, &usual);
  if (!text)
    text = options.kind == CODEC_H264 ? g_strdup ("none,18,23,28") : g_strdup_printf ("none,%d", (int) usual);
  parts = g_strsplit (text, ",", -1);
  for (char **part = parts; *part; part++) {
    char *end = NULL;
    double quality = NAN;

    if (streams->n_qualities == QUALITIES_MAX) {
      g_set_error (
          error, TRAIN_ERROR, EXIT_USAGE, "--crf=%s: give at most %d qualities", text, QUALITIES_MAX);
      return FALSE;
    }
    if (strcmp (*part, "none") != 0) {
      quality = options.quality = g_ascii_strtod (*part, &end);
      if (end == *part || *end) {
        g_set_error (
            error, TRAIN_ERROR, EXIT_USAGE, "--crf=%s: '%s' is neither a number nor none", text, *part);
        return FALSE;
      }
      if (!codec_check (&options, error)) {
        g_prefix_error (error, "--crf=%s: ", text);
        return FALSE;
      }
    }
    streams->qualities[streams->n_qualities++] = quality;
  }
  return TRUE;
}

/* "none" is a kernel of one pixel. */
static gboolean
read_kernels (Streams *streams, GError **error)
{
  const char *text = settings_text (streams->settings, "kernels");
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  g_autofree char *list = NULL;

  for (char **part = parts; *part; part++)
    if (strcmp (*part, "none") == 0) {
      g_free (*part);
      *part = g_strdup ("1:1");
    }
  list = g_strjoinv (",", parts);
  return synth_kernels_parse (list, &streams->kernels, &streams->n_kernels, error);
}

static gboolean
read_size (Streams *streams, GError **error)
{
  const char *text = settings_text (streams->settings, "size");
  int height, width, end = 0;

  if (!text)
    return TRUE;
  if (sscanf (text, "%dx%d%n", &height, &width, &end) != 2 || text[end] || height < CODEC_SIDE_MIN
      || width < CODEC_SIDE_MIN || height > 8192 || width > 8192) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--size=%s: give HEIGHTxWIDTH, both from %d to 8192", text,
        CODEC_SIDE_MIN);
    return FALSE;
  }
  streams->media.height = height;
  streams->media.width = width;
  return TRUE;
}

/* As MediaFunc. */
static gboolean
count_frame (
    guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data, GError **error)
{
  Streams *streams = data;
  guint *length = &streams->lengths[streams->clip];

  (void) file, (void) height, (void) width, (void) rgb;
  *length += frame >= streams->first;
  if (*length == streams->frames)
    g_set_error (error, TRAIN_ERROR, EXIT_DONE, "enough");
  return *length < streams->frames;
}

/* Names of clips, and how many frames each has of those asked for: before anything long begins. */
static gboolean
open_clips (Streams *streams, GError **error)
{
  streams->files = media_list (settings_operands (streams->settings), error);
  if (!streams->files)
    return FALSE;
  streams->n_clips = g_strv_length (streams->files);
  streams->names = g_new0 (char *, streams->n_clips + 1);
  streams->lengths = g_new0 (guint, streams->n_clips);
  for (; streams->clip < streams->n_clips; streams->clip++) {
    const guint *length = &streams->lengths[streams->clip];
    GError *cause = NULL;

    streams->names[streams->clip] = g_path_get_basename (streams->files[streams->clip]);
    if (!media_decode (streams->files[streams->clip], 0, &streams->media, count_frame, streams, &cause)
        && *length < streams->frames)
      return clip_failed (streams, cause, error);
    g_clear_error (&cause);
    if (!*length) {
      g_set_error (&cause, TRAIN_ERROR, EXIT_DATA, "it has no more than %u frames: give a smaller --first",
          streams->first);
      return clip_failed (streams, cause, error);
    }
    if (*length < streams->frames && !settings_given (streams->settings, "frames"))
      g_printerr ("warning: %s: has %u frames: as streams, so short ones come out worse than longer ones\n",
          streams->files[streams->clip], *length);
  }
  if (streams->n_clips)
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_DATA, "nothing to measure: there is no clip");
  return FALSE;
}

static gboolean
prepare (Streams *streams, GError **error)
{
  const Settings *settings = streams->settings;

  streams->output = settings_paths (settings, "output")[0];
  streams->first = (guint) settings_integer (settings, "first");
  streams->frames = (guint) settings_integer (settings, "frames");
  if (settings_given (settings, "measure"))
    streams->measure = (guint) settings_integer (settings, "measure");
  else
    streams->measure = settings_given (settings, "frames") ? streams->frames : MEASURED;
  streams->media = (MediaOptions){
    .fit = SYNTH_FIT_CROP,
    .every = (guint) settings_integer (settings, "every"),
  };
  streams->codec_options.gop = (int) settings_integer (settings, "gop");
  streams->evaluation = (Evaluation){
    .loss = DU_LOSS_MSE,
    .blurred_ssim = TRUE,
    .predict = deblur,
    .visit = take_result,
    .data = streams,
  };
  streams->entries = g_array_new (FALSE, TRUE, sizeof (StreamEntry));
  return codec_parse (settings_text (settings, "encoder"), &streams->codec_options.kind, error)
         && read_qualities (streams, error) && read_kernels (streams, error) && read_size (streams, error)
         && open_clips (streams, error);
}

gboolean
eval_streams (const Settings *settings, DuSession *session, GError **error)
{
  g_autoptr (GKeyFile) stored = g_key_file_new ();
  g_auto (Streams) streams = { .settings = settings, .session = session };
  guint64 frames = 0;

  if (!prepare (&streams, error))
    return FALSE;
  settings_store (settings, stored, "settings");
  streams.report = (StreamReport){
    .folder = streams.output,
    .entries = streams.entries,
    .clips = streams.names,
    .n_clips = streams.n_clips,
    .kernels = streams.kernels,
    .n_kernels = streams.n_kernels,
    .qualities = streams.qualities,
    .n_qualities = streams.n_qualities,
    .encoder = streams.codec_options.kind,
    .session = session,
    .settings = stored,
  };
  for (guint i = 0; i < streams.n_clips; i++)
    frames += MIN (streams.measure, streams.lengths[i]);
  progress_begin (&streams.progress, 0, frames * streams.n_kernels * streams.n_qualities, "streams");
  for (streams.clip = 0; streams.clip < streams.n_clips; streams.clip++)
    for (streams.kernel = 0; streams.kernel < streams.n_kernels; streams.kernel++)
      for (streams.quality = 0; streams.quality < streams.n_qualities; streams.quality++)
        if (!run_sequence (&streams, error))
          return FALSE;
  progress_end (&streams.progress);
  stream_report_print (&streams.report);
  if (!streams.output)
    return TRUE;
  if (!stream_report_save (&streams.report, error))
    return FALSE;
  eval_print_report (streams.output);
  return TRUE;
}

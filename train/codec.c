/* Encoder and decoder are linked between two pads of ours and run in the caller's thread: no pipeline, no
 * queue, no type finding.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec.h"

#include "media.h"

#include <math.h>
#include <string.h>

typedef struct
{
  const char *name, *encoder, *encoder_package, *decoder, *decoder_package;
  double least, most, usual;
  int side; /* smallest that it is given, in pixels; 0: CODEC_SIDE_MIN */
} Kind;

#define GOOD "gstreamer1.0-plugins-good"
#define BAD "gstreamer1.0-plugins-bad"
#define UGLY "gstreamer1.0-plugins-ugly"
#define LIBAV "gstreamer1.0-libav"

static const Kind kinds[CODEC_N_KINDS] = {
  [CODEC_H264] = { "h264", "x264enc", UGLY, "avdec_h264", LIBAV, 0, 50, 23 },
  /* In frames no larger than its blocks of 64 pixels x265 reads memory that nobody wrote. */
  [CODEC_H265] = { "h265", "x265enc", BAD, "avdec_h265", LIBAV, 0, 51, 28, 96 },
  [CODEC_VP9] = { "vp9", "vp9enc", GOOD, "vp9dec", GOOD, 0, 63, 32 },
  [CODEC_AV1] = { "av1", "av1enc", BAD, "av1dec", BAD, 0, 63, 32 },
  [CODEC_JPEG] = { "jpeg", "jpegenc", GOOD, "jpegdec", GOOD, 1, 100, 75 },
};

struct _Codec
{
  const Kind *kind;
  GstVideoInfo info;          /* of the caller's frames */
  GstVideoInfo coded, padded; /* at least kind->side a side; in whole blocks */
  GstElement *encoder, *decoder;
  GstPad *source, *sink; /* ours */
  GstBus *bus;
  CodecFunc func;
  gpointer data;
  guint pushed, decoded;
  gsize bytes;
  GError *failure; /* of func, or of what came to be decoded */
};

const char *
codec_name (CodecKind kind)
{
  return kinds[kind].name;
}

gboolean
codec_parse (const char *text, CodecKind *kind, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (int i = 0; i < CODEC_N_KINDS; i++) {
    if (g_ascii_strcasecmp (text, kinds[i].name) == 0) {
      *kind = i;
      return TRUE;
    }
    g_string_append_printf (names, "%s%s", !i ? "" : i == CODEC_N_KINDS - 1 ? " or " : ", ", kinds[i].name);
  }
  g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "'%s' is no codec: give %s", text, names->str);
  return FALSE;
}

void
codec_quality_range (CodecKind kind, double *least, double *most, double *usual)
{
  *least = kinds[kind].least;
  *most = kinds[kind].most;
  *usual = kinds[kind].usual;
}

/* A new element, or NULL and the package it is in. */
static GstElement *
make (const char *name, const char *package, GError **error)
{
  GstElement *element = gst_element_factory_make (name, NULL);

  if (element)
    return gst_object_ref_sink (element);
  g_set_error (
      error, TRAIN_ERROR, EXIT_DATA, "GStreamer's element %s is missing: install Debian's %s", name, package);
  return NULL;
}

static gboolean
check_values (const CodecOptions *options, GError **error)
{
  const Kind *kind = &kinds[options->kind];

  if (!(options->quality >= kind->least && options->quality <= kind->most)) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "quality %g is out of the range of %s: give %g to %g",
        options->quality, kind->name, kind->least, kind->most);
    return FALSE;
  }
  if (options->gop >= 0)
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "key frames cannot be %d frames apart: give 1 or more, or 0",
      options->gop);
  return FALSE;
}

gboolean
codec_check (const CodecOptions *options, GError **error)
{
  const Kind *kind = &kinds[options->kind];
  g_autoptr (GstElement) encoder = NULL, decoder = NULL;

  return check_values (options, error) && media_start (error)
         && (encoder = make (kind->encoder, kind->encoder_package, error))
         && (decoder = make (kind->decoder, kind->decoder_package, error));
}

/* ---- settings ------------------------------------------------------------------------------ */

static void
set_up (const CodecOptions *options, GstElement *encoder, GstElement *decoder)
{
  int quality = (int) floor (options->quality + 0.5), gop = options->gop;
  gboolean fast = options->fast;
  g_autofree char *text = NULL;

  switch (options->kind) {
  case CODEC_H264:
    gst_util_set_object_arg (G_OBJECT (encoder), "pass", "qual");
    gst_util_set_object_arg (G_OBJECT (encoder), "speed-preset", fast ? "superfast" : "medium");
    if (fast)
      gst_util_set_object_arg (G_OBJECT (encoder), "tune", "zerolatency");
    g_object_set (encoder, "quantizer", quality, "qp-min", 0, "key-int-max", gop, "threads", 1, NULL);
#if defined(__x86_64__) || defined(__i386__)
    /* x264's AVX-512 code for the macroblock tree reads memory that nobody wrote: small frames come out
     * another way each time. */
    if (__builtin_cpu_supports ("avx512f"))
      g_object_set (encoder, "option-string", "asm=avx2", NULL);
#endif
    g_object_set (decoder, "max-threads", 1, NULL);
    break;
  case CODEC_H265:
    /* x265 3.5 itself loses some 4 kB with each encoder: 100,000 sequences cost 400 MB. */
    gst_util_set_object_arg (G_OBJECT (encoder), "speed-preset", fast ? "superfast" : "medium");
    g_object_set (encoder, "tune", 0, "key-int-max", gop, NULL);
    text = g_strdup_printf ("crf=%d:pools=none:frame-threads=1:wpp=0%s", quality,
        fast ? ":bframes=0:rc-lookahead=0:scenecut=0" : "");
    g_object_set (encoder, "option-string", text, NULL);
    g_object_set (decoder, "max-threads", 1, NULL);
    break;
  case CODEC_VP9:
    /* Its mode of constant quality does not keep to it: PSNR hardly follows cq-level. */
    g_object_set (encoder, "min-quantizer", quality, "max-quantizer", quality, "threads", 1, "tile-columns",
        0, "deadline", (gint64) (fast ? 1 : 1000000), "cpu-used", fast ? 8 : 2, NULL);
    if (fast)
      g_object_set (encoder, "lag-in-frames", 0, NULL);
    if (gop)
      g_object_set (encoder, "keyframe-max-dist", gop, NULL);
    g_object_set (decoder, "threads", 1, NULL);
    break;
  case CODEC_AV1:
    g_object_set (encoder, "min-quantizer", quality, "max-quantizer", quality, "threads", 1, "row-mt", FALSE,
        "cpu-used", fast ? 8 : 5, NULL);
    if (fast)
      gst_util_set_object_arg (G_OBJECT (encoder), "usage-profile", "realtime");
    if (gop)
      g_object_set (encoder, "keyframe-max-dist", gop, NULL);
    break;
  case CODEC_JPEG:
    g_object_set (encoder, "quality", quality, "idct-method", 0, NULL);
    g_object_set (decoder, "idct-method", 0, NULL);
    break;
  case CODEC_N_KINDS:
    break;
  }
}

/* ---- frames out ---------------------------------------------------------------------------- */

/* Hands out what came, in our layout. */
static gboolean
take (Codec *codec, GstBuffer *buffer, GError **error)
{
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (codec->sink);
  g_autofree guint8 *yuv = NULL;
  GstVideoFrame from;
  GstVideoInfo info;
  gboolean ok;

  if (!caps || !gst_video_info_from_caps (&info, caps) || info.width != codec->coded.width
      || info.height != codec->coded.height || GST_VIDEO_INFO_FORMAT (&info) != GST_VIDEO_FORMAT_I420
      || !gst_video_frame_map (&from, &info, buffer, GST_MAP_READ)) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "%s gave back frames of another kind than it got",
        codec->kind->decoder);
    return FALSE;
  }
  yuv = g_try_malloc0 (codec->info.size);
  if (yuv) {
    DuFrame to = yuv_frame (&codec->info, yuv);

    for (guint i = 0; i < 3; i++)
      for (int y = 0; y < GST_VIDEO_INFO_COMP_HEIGHT (&codec->info, i); y++)
        memcpy (to.data[i] + (gsize) y * to.stride[i],
            (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&from, i)
                + (gssize) y * GST_VIDEO_FRAME_PLANE_STRIDE (&from, i),
            (gsize) GST_VIDEO_INFO_COMP_WIDTH (&codec->info, i));
  }
  gst_video_frame_unmap (&from);
  if (yuv)
    ok = codec->func (codec->decoded++, yuv, codec->data, error);
  else {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for a frame of %dx%d",
        codec->info.width, codec->info.height);
    ok = FALSE;
  }
  return ok;
}

static GstFlowReturn
on_frame (GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
  Codec *codec = gst_pad_get_element_private (pad);
  gboolean ok = !codec->failure && take (codec, buffer, &codec->failure);

  (void) parent;
  gst_buffer_unref (buffer);
  return ok ? GST_FLOW_OK : GST_FLOW_ERROR;
}

static GstPadProbeReturn
on_coded (GstPad *pad, GstPadProbeInfo *probe, gpointer data)
{
  Codec *codec = data;

  (void) pad;
  codec->bytes += gst_buffer_get_size (GST_PAD_PROBE_INFO_BUFFER (probe));
  return GST_PAD_PROBE_OK;
}

/* ---- a codec ------------------------------------------------------------------------------- */

static GstPad *
new_pad (GstPadDirection direction, const char *caps_text, Codec *codec)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (caps_text);
  GstPadTemplate *template
      = gst_pad_template_new (direction == GST_PAD_SRC ? "src" : "sink", direction, GST_PAD_ALWAYS, caps);
  GstPad *pad = gst_object_ref_sink (gst_pad_new_from_template (template, NULL));

  gst_object_unref (template);
  gst_pad_set_element_private (pad, codec);
  gst_pad_set_active (pad, TRUE);
  return pad;
}

static gboolean
link_up (Codec *codec)
{
  g_autoptr (GstPad) in = gst_element_get_static_pad (codec->encoder, "sink");
  g_autoptr (GstPad) coded = gst_element_get_static_pad (codec->encoder, "src");
  g_autoptr (GstPad) out = gst_element_get_static_pad (codec->decoder, "src");
  g_autoptr (GstCaps) caps = gst_video_info_to_caps (&codec->coded);
  GstSegment segment;

  codec->source = new_pad (GST_PAD_SRC, "video/x-raw", codec);
  codec->sink = new_pad (GST_PAD_SINK, "video/x-raw, format = I420", codec);
  codec->bus = gst_bus_new ();
  gst_element_set_bus (codec->encoder, codec->bus);
  gst_element_set_bus (codec->decoder, codec->bus);
  gst_pad_set_chain_function (codec->sink, on_frame);
  gst_pad_add_probe (coded, GST_PAD_PROBE_TYPE_BUFFER, on_coded, codec, NULL);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  return gst_pad_link (codec->source, in) == GST_PAD_LINK_OK
         && gst_element_link (codec->encoder, codec->decoder)
         && gst_pad_link (out, codec->sink) == GST_PAD_LINK_OK
         && gst_element_set_state (codec->decoder, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE
         && gst_element_set_state (codec->encoder, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE
         && gst_pad_push_event (codec->source, gst_event_new_stream_start ("frames"))
         && gst_pad_push_event (codec->source, gst_event_new_caps (caps))
         && gst_pad_push_event (codec->source, gst_event_new_segment (&segment));
}

/* Why the elements failed. */
static gboolean
failed (Codec *codec, GError **error)
{
  GstMessage *message = gst_bus_pop_filtered (codec->bus, GST_MESSAGE_ERROR);
  g_autoptr (GError) reason = NULL;

  if (codec->failure)
    g_propagate_error (error, g_steal_pointer (&codec->failure));
  else {
    if (message)
      gst_message_parse_error (message, &reason, NULL);
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "%s and %s do not take frames of %dx%d: %s",
        codec->kind->encoder, codec->kind->decoder, codec->info.width, codec->info.height,
        reason ? reason->message : "they give no reason");
  }
  if (message)
    gst_message_unref (message);
  return FALSE;
}

Codec *
codec_open (const CodecOptions *options, int height, int width, CodecFunc func, gpointer data, GError **error)
{
  const Kind *kind = &kinds[options->kind];
  g_autoptr (Codec) codec = NULL;

  if (!check_values (options, error) || !media_start (error))
    return NULL;
  if (height < CODEC_SIDE_MIN || width < CODEC_SIDE_MIN) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "frames of %dx%d are too small for a codec: it needs %d pixels a side", width, height,
        CODEC_SIDE_MIN);
    return NULL;
  }
  codec = g_new0 (Codec, 1);
  codec->kind = kind;
  codec->func = func;
  codec->data = data;
  yuv_info (height, width, &codec->info);
  yuv_info (MAX (height, kind->side), MAX (width, kind->side), &codec->coded);
  yuv_info (GST_ROUND_UP_16 (codec->coded.height), GST_ROUND_UP_16 (codec->coded.width), &codec->padded);
  codec->encoder = make (kind->encoder, kind->encoder_package, error);
  if (codec->encoder)
    codec->decoder = make (kind->decoder, kind->decoder_package, error);
  if (!codec->decoder)
    return NULL;
  set_up (options, codec->encoder, codec->decoder);
  if (!link_up (codec)) {
    failed (codec, error);
    return NULL;
  }
  return g_steal_pointer (&codec);
}

/* A buffer of the frame whose last line and column are repeated to whole blocks, which jpegenc reads, and to
 * the smallest frame that the encoder takes. */
static GstBuffer *
to_buffer (Codec *codec, const guint8 *yuv)
{
  DuFrame from = yuv_frame (&codec->info, (guint8 *) yuv);
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, codec->padded.size, NULL);
  GstMapInfo map;

  if (!buffer || !gst_buffer_map (buffer, &map, GST_MAP_WRITE)) {
    gst_clear_buffer (&buffer);
    return NULL;
  }
  for (int i = 0; i < 3; i++) {
    int width = GST_VIDEO_INFO_COMP_WIDTH (&codec->info, i),
        height = GST_VIDEO_INFO_COMP_HEIGHT (&codec->info, i);
    gsize stride = (gsize) codec->padded.stride[i];
    gsize end = i < 2 ? codec->padded.offset[i + 1] : codec->padded.size;
    guint8 *to = map.data + codec->padded.offset[i];

    for (int y = 0; to + stride <= map.data + end; y++, to += stride) {
      const guint8 *line = from.data[i] + (gsize) MIN (y, height - 1) * from.stride[i];

      memcpy (to, line, (gsize) width);
      memset (to + width, line[width - 1], stride - (gsize) width);
    }
  }
  gst_buffer_unmap (buffer, &map);
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_I420, codec->coded.width,
      codec->coded.height, 3, codec->padded.offset, codec->padded.stride);
  return buffer;
}

gboolean
codec_push (Codec *codec, const guint8 *yuv, GError **error)
{
  GstBuffer *buffer = to_buffer (codec, yuv);

  if (!buffer) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for a frame of %dx%d",
        codec->info.width, codec->info.height);
    return FALSE;
  }
  GST_BUFFER_DURATION (buffer) = GST_SECOND / GST_VIDEO_INFO_FPS_N (&codec->info);
  GST_BUFFER_PTS (buffer) = codec->pushed++ * GST_BUFFER_DURATION (buffer);
  return gst_pad_push (codec->source, buffer) == GST_FLOW_OK || failed (codec, error);
}

gboolean
codec_finish (Codec *codec, gsize *bytes, GError **error)
{
  gst_pad_push_event (codec->source, gst_event_new_eos ());
  if (codec->failure)
    return failed (codec, error);
  if (codec->decoded != codec->pushed) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "%s and %s gave back %u of %u frames", codec->kind->encoder,
        codec->kind->decoder, codec->decoded, codec->pushed);
    return FALSE;
  }
  if (bytes)
    *bytes = codec->bytes;
  return TRUE;
}

void
codec_free (Codec *codec)
{
  if (codec->encoder)
    gst_element_set_state (codec->encoder, GST_STATE_NULL);
  if (codec->decoder)
    gst_element_set_state (codec->decoder, GST_STATE_NULL);
  for (int i = 0; i < 2; i++) {
    GstPad *pad = i ? codec->sink : codec->source;

    if (pad) {
      gst_pad_set_active (pad, FALSE);
      gst_object_unref (pad);
    }
  }
  if (codec->bus)
    gst_bus_set_flushing (codec->bus, TRUE); /* its messages hold the elements, which hold the bus */
  gst_clear_object (&codec->encoder);
  gst_clear_object (&codec->decoder);
  gst_clear_object (&codec->bus);
  g_clear_error (&codec->failure);
  g_free (codec);
}

/* ---- all at once --------------------------------------------------------------------------- */

typedef struct
{
  GstVideoInfo info;
  int n, height, width;
  guint8 *const *decoded;
} Trip;

static gboolean
take_frame (guint frame, const guint8 *yuv, gpointer data, GError **error)
{
  const Trip *trip = data;

  if (frame < (guint) trip->n)
    return yuv_to_rgb (&trip->info, yuv, trip->height, trip->width, trip->decoded[frame], error);
  g_set_error (
      error, TRAIN_ERROR, EXIT_DATA, "the decoder gives more than the %d frames that went in", trip->n);
  return FALSE;
}

gboolean
codec_round_trip (const CodecOptions *options, int n, int height, int width, const guint8 *const *frames,
    guint8 *const *decoded, gsize *bytes, GError **error)
{
  Trip trip = { .n = n, .height = height, .width = width, .decoded = decoded };
  g_autoptr (Codec) codec = codec_open (options, height, width, take_frame, &trip, error);
  g_autofree guint8 *yuv = NULL;

  if (!codec)
    return FALSE;
  trip.info = codec->info;
  yuv = g_try_malloc (trip.info.size);
  if (!yuv) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for a frame of %dx%d", width, height);
    return FALSE;
  }
  for (int i = 0; i < n; i++) {
    yuv_from_rgb (&trip.info, height, width, frames[i], yuv);
    if (!codec_push (codec, yuv, error))
      return FALSE;
  }
  return codec_finish (codec, bytes, error);
}

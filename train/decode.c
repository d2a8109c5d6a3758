/* One file through GStreamer: what it is, a pipeline that cannot hang us, upright RGB of the wanted size.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media.h"
#include "picture.h"
#include "scale.h"

#include <gst/app/app.h>
#include <gst/base/base.h>
#include <gst/tag/tag.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

enum
{
  PICTURE_BYTES_MAX = 1 << 29,
  SNIFF_BYTES = 1 << 16,
  POLL_MS = 20,
  STALL_S = 60, /* without a frame: the pipeline hangs */
};

/* ---- what a file is ------------------------------------------------------------------------ */

/* The first bytes of a file, as many as there are up to SNIFF_BYTES. */
static GBytes *
read_start (const char *path, GError **error)
{
  g_autofree guint8 *data = g_malloc (SNIFF_BYTES);
  FILE *file = fopen (path, "rb");
  gsize length;

  if (!file) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "cannot be opened: %s", g_strerror (errno));
    return NULL;
  }
  length = fread (data, 1, SNIFF_BYTES, file);
  fclose (file);
  return g_bytes_new_take (g_steal_pointer (&data), length);
}

/* "image/jpeg", "video/x-matroska", NULL where GStreamer does not know; static. */
static const char *
type_of (GBytes *start)
{
  gsize length;
  const guint8 *data = g_bytes_get_data (start, &length);
  GstCaps *caps = length ? gst_type_find_helper_for_data (NULL, data, length, NULL) : NULL;
  const char *name = NULL;

  if (caps) {
    name = g_intern_string (gst_structure_get_name (gst_caps_get_structure (caps, 0)));
    gst_caps_unref (caps);
  }
  return name;
}

static MediaKind
kind_of (const char *type)
{
  if (!type)
    return MEDIA_UNKNOWN;
  if (g_str_has_prefix (type, "image/"))
    return MEDIA_PICTURE;
  return g_str_has_prefix (type, "video/") || strcmp (type, "application/mxf") == 0
                 || strcmp (type, "application/ogg") == 0 || strcmp (type, "application/x-yuv4mpeg") == 0
             ? MEDIA_VIDEO
             : MEDIA_UNKNOWN;
}

MediaKind
media_kind (const char *path)
{
  g_autoptr (GBytes) start = g_file_test (path, G_FILE_TEST_IS_REGULAR) ? read_start (path, NULL) : NULL;

  return start ? kind_of (type_of (start)) : MEDIA_UNKNOWN;
}

/* ---- one file ------------------------------------------------------------------------------ */

typedef struct
{
  guint file;
  const MediaOptions *options;
  MediaFunc func;
  gpointer data;

  GstElement *pipeline, *sink;
  gint no_video;        /* atomic: everything is exposed, and no video is among it */
  GError *refused;      /* the size that the decoder is about to allocate, by which it waits */
  gint is_refused;      /* atomic, after refused was set */
  gint leaving;         /* atomic: the pipeline is being stopped for another reason */
  gint orientation;     /* atomic, GstVideoOrientationMethod */
  gboolean stalled;
  const char *missing;  /* a decoder that GStreamer has not got, NULL = none; static */
} Decoder;

static gboolean
bad (GError **error, const char *reason)
{
  g_set_error_literal (error, TRAIN_ERROR, EXIT_DATA, reason);
  return FALSE;
}

/* Converts a frame and hands it out. */
static gboolean
take (Decoder *decoder, guint frame, const GstVideoInfo *info, GstBuffer *buffer, GError **error)
{
  g_autofree guint8 *rgb = NULL;
  GstVideoFrame from;
  int height, width;

  if (!gst_video_frame_map (&from, info, buffer, GST_MAP_READ))
    return bad (error, "a frame cannot be read");
  rgb = scale_frame (&from, g_atomic_int_get (&decoder->orientation), decoder->options, &height, &width, error);
  gst_video_frame_unmap (&from);
  return rgb && decoder->func (decoder->file, frame, height, width, rgb, decoder->data, error);
}

static gboolean
take_sample (Decoder *decoder, guint frame, GstSample *sample, GError **error)
{
  GstCaps *caps = gst_sample_get_caps (sample);
  GstVideoInfo info;

  if (!caps || !gst_video_info_from_caps (&info, caps))
    return bad (error, "is of no known video format");
  return take (decoder, frame, &info, gst_sample_get_buffer (sample), error);
}

/* Follows the tags and, before a frame is allocated, the size. */
static GstPadProbeReturn
on_event (GstPad *pad, GstPadProbeInfo *probe, gpointer data)
{
  Decoder *decoder = data;
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (probe);
  GstVideoOrientationMethod method;
  GstTagList *tags;
  GstVideoInfo info;
  GstCaps *caps;

  (void) pad;
  if (GST_EVENT_TYPE (event) == GST_EVENT_TAG) {
    gst_event_parse_tag (event, &tags);
    if (gst_video_orientation_from_tag (tags, &method))
      g_atomic_int_set (&decoder->orientation, method);
  } else if (GST_EVENT_TYPE (event) == GST_EVENT_CAPS) {
    gst_event_parse_caps (event, &caps);
    if (gst_video_info_from_caps (&info, caps) && !g_atomic_int_get (&decoder->is_refused)
        && !picture_check_size (info.height, info.width, &decoder->refused)) {
      g_atomic_int_set (&decoder->is_refused, TRUE);
      /* Here the decoder waits, before it allocates a frame, until the process ends: told to stop, it would
       * allocate all the same (webpdec does), and a blocking probe would be overruled by decodebin's. */
      while (!g_atomic_int_get (&decoder->leaving))
        g_usleep (G_USEC_PER_SEC / 10);
    }
  }
  return GST_PAD_PROBE_OK;
}

static void
watch (GstElement *element, const char *pad_name, Decoder *decoder)
{
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, pad_name);

  if (pad)
    gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_event, decoder, NULL);
}

static void
on_element_added (GstBin *pipeline, GstBin *bin, GstElement *element, gpointer data)
{
  const char *class = gst_element_get_metadata (element, GST_ELEMENT_METADATA_KLASS);

  (void) pipeline, (void) bin;
  if (class && strstr (class, "Decoder"))
    watch (element, "src", data);
}

/* GstAutoplugSelectResult, which decodebin keeps to itself. */
typedef enum
{
  AUTOPLUG_TRY,
  AUTOPLUG_EXPOSE,
  AUTOPLUG_SKIP,
} AutoplugSelect;

/* Nothing that would open a network, nothing whose result depends on the machine's hardware, not the one that
 * decodes before it says how large the picture is, and jpegdec only in need: it drops three quarters of a 4:4:4
 * picture's chroma and takes the fast, inexact DCT. */
static int
on_autoplug_select (GstElement *bin, GstPad *pad, GstCaps *caps, GstElementFactory *factory, gpointer data)
{
  const char *class = gst_element_factory_get_metadata (factory, GST_ELEMENT_METADATA_KLASS);

  (void) bin, (void) pad, (void) caps, (void) data;
  if (strstr (class, "Adaptive") || strstr (class, "Network") || strstr (class, "Hardware")
      || strcmp (GST_OBJECT_NAME (factory), "gdkpixbufdec") == 0)
    return AUTOPLUG_SKIP;
  if (strcmp (GST_OBJECT_NAME (factory), "jpegdec") == 0) {
    g_autoptr (GstPluginFeature) better = gst_registry_lookup_feature (gst_registry_get (), "avdec_mjpeg");

    return better ? AUTOPLUG_SKIP : AUTOPLUG_TRY;
  }
  return AUTOPLUG_TRY;
}

static void
on_pad_added (GstElement *bin, GstPad *pad, gpointer data)
{
  Decoder *decoder = data;
  g_autoptr (GstPad) sink = gst_element_get_static_pad (decoder->sink, "sink");
  g_autoptr (GstCaps) caps = gst_pad_query_caps (pad, NULL);

  (void) bin;
  if (!gst_pad_is_linked (sink) && !gst_caps_is_empty (caps) && !gst_caps_is_any (caps)
      && strcmp (gst_structure_get_name (gst_caps_get_structure (caps, 0)), "video/x-raw") == 0)
    gst_pad_link (pad, sink);
}

static void
on_no_more_pads (GstElement *bin, gpointer data)
{
  Decoder *decoder = data;
  g_autoptr (GstPad) sink = gst_element_get_static_pad (decoder->sink, "sink");

  (void) bin;
  if (!gst_pad_is_linked (sink))
    g_atomic_int_set (&decoder->no_video, TRUE);
}

/* picture: the whole file, handed on in one buffer, as decoders without a parser before them need it, with
 * its caps or NULL; without a picture a video, read by filesrc. */
static gboolean
build (Decoder *decoder, const char *path, GBytes *picture, GstCaps *caps, GError **error)
{
  GstElement *source = gst_element_factory_make (picture ? "appsrc" : "filesrc", NULL);
  GstElement *bin = gst_element_factory_make ("decodebin", NULL);
  g_autoptr (GstCaps) raw = gst_caps_new_empty_simple ("video/x-raw");

  decoder->pipeline = gst_object_ref_sink (gst_pipeline_new (NULL));
  decoder->sink = gst_element_factory_make ("appsink", NULL);
  if (!source || !bin || !decoder->sink) {
    gst_clear_object (&source);
    gst_clear_object (&bin);
    gst_clear_object (&decoder->sink);
    g_set_error (error, TRAIN_ERROR, EXIT_IO,
        "GStreamer's appsrc, filesrc, decodebin or appsink is missing: install its base plug-ins");
    return FALSE;
  }
  gst_bin_add_many (GST_BIN (decoder->pipeline), source, bin, decoder->sink, NULL);
  g_object_set (decoder->sink, "caps", raw, "sync", FALSE, "max-buffers", 2, NULL);
  g_signal_connect (bin, "autoplug-select", G_CALLBACK (on_autoplug_select), decoder);
  g_signal_connect (bin, "pad-added", G_CALLBACK (on_pad_added), decoder);
  g_signal_connect (bin, "no-more-pads", G_CALLBACK (on_no_more_pads), decoder);
  g_signal_connect (decoder->pipeline, "deep-element-added", G_CALLBACK (on_element_added), decoder);
  watch (decoder->sink, "sink", decoder); /* video that needs no decoder */
  if (picture) {
    g_object_set (source, "caps", caps, NULL);
    gst_app_src_push_buffer (GST_APP_SRC (source), gst_buffer_new_wrapped_bytes (picture));
    gst_app_src_end_of_stream (GST_APP_SRC (source));
  } else
    g_object_set (source, "location", path, NULL);
  gst_element_link (source, bin);
  return TRUE;
}

/* What decodebin looked for in vain, as it calls it for people: "H.264 decoder" (the fields are those that
 * gst_missing_plugin_message_get_description() reads). Sound is not wanted anyway. */
static void
note_missing (Decoder *decoder, const GstStructure *message)
{
  const char *name = gst_structure_get_string (message, "name");
  g_autoptr (GstCaps) caps = NULL;

  if (gst_structure_has_name (message, "missing-plugin") && name
      && gst_structure_get (message, "detail", GST_TYPE_CAPS, &caps, NULL)
      && !g_str_has_prefix (gst_structure_get_name (gst_caps_get_structure (caps, 0)), "audio/"))
    decoder->missing = g_intern_string (name);
}

/* An error of the pipeline, or a frame that could not be decoded, becomes the reason. */
static gboolean
check_bus (Decoder *decoder, GError **error)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (decoder->pipeline);
  GstMessage *message;
  gboolean ok = TRUE;

  while (ok
         && (message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING | GST_MESSAGE_ELEMENT))) {
    g_autoptr (GError) reason = NULL;
    gboolean is_error = GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR;

    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ELEMENT) {
      note_missing (decoder, gst_message_get_structure (message));
      gst_message_unref (message);
      continue;
    }
    if (is_error)
      gst_message_parse_error (message, &reason, NULL);
    else
      gst_message_parse_warning (message, &reason, NULL);
    if (is_error || g_error_matches (reason, GST_STREAM_ERROR, GST_STREAM_ERROR_DECODE)) {
      if (decoder->missing)
        g_set_error (error, TRAIN_ERROR, EXIT_DATA,
            "cannot be decoded: GStreamer has no %s here: install one, Debian's gstreamer1.0-libav has most",
            decoder->missing);
      else
        g_set_error (error, TRAIN_ERROR, EXIT_DATA, "cannot be decoded: %s", reason->message);
      ok = FALSE;
    }
    gst_message_unref (message);
  }
  return ok;
}

static gboolean
run (Decoder *decoder, gboolean picture, GError **error)
{
  gint64 progress = g_get_monotonic_time ();
  guint every = MAX (decoder->options->every, 1);

  gst_element_set_state (decoder->pipeline, GST_STATE_PLAYING);
  for (guint frame = 0;;) {
    g_autoptr (GstSample) sample
        = gst_app_sink_try_pull_sample (GST_APP_SINK (decoder->sink), POLL_MS * GST_MSECOND);

    if (interrupted ()) {
      g_set_error (error, TRAIN_ERROR, interrupted_exit_code (), "interrupted");
      return FALSE;
    }
    if (!check_bus (decoder, error))
      return FALSE;
    if (sample) {
      if (frame % every == 0 && !take_sample (decoder, frame, sample, error))
        return FALSE;
      frame++;
      if (picture)
        return TRUE; /* the first of an animation */
      progress = g_get_monotonic_time ();
      continue;
    }
    if (g_atomic_int_get (&decoder->is_refused)) {
      g_propagate_error (error, g_steal_pointer (&decoder->refused));
      return FALSE;
    }
    if (g_atomic_int_get (&decoder->no_video))
      return bad (error, "holds no video");
    if (gst_app_sink_is_eos (GST_APP_SINK (decoder->sink)))
      return frame > 0 || bad (error, "holds no frame");
    if (g_get_monotonic_time () - progress > (gint64) STALL_S * G_USEC_PER_SEC) {
      decoder->stalled = TRUE;
      g_set_error (error, TRAIN_ERROR, EXIT_DATA, "its decoder has given nothing for %d s", STALL_S);
      return FALSE;
    }
  }
}

static gpointer
decoder_free (gpointer data)
{
  Decoder *decoder = data;

  g_atomic_int_set (&decoder->leaving, TRUE);
  if (decoder->pipeline)
    gst_element_set_state (decoder->pipeline, GST_STATE_NULL);
  gst_clear_object (&decoder->pipeline);
  g_clear_error (&decoder->refused);
  g_free (decoder);
  return NULL;
}

static void
take_exif (Decoder *decoder, const guint8 *exif, gsize length)
{
  GstBuffer *buffer = gst_buffer_new_memdup (exif, length);
  GstTagList *tags = gst_tag_list_from_exif_buffer_with_tiff_header (buffer);
  GstVideoOrientationMethod method;

  if (tags && gst_video_orientation_from_tag (tags, &method))
    decoder->orientation = method;
  g_clear_pointer (&tags, gst_tag_list_unref);
  gst_buffer_unref (buffer);
}

/* A still picture, as a whole: decoders without a parser before them need it so. */
static gboolean
decode_picture (Decoder *decoder, const char *path, const char *type, GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (GstCaps) caps = NULL;
  char *content;
  gsize length;
  PictureFacts facts;

  if (!g_file_get_contents (path, &content, &length, &reason)) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "cannot be read: %s", reason->message);
    return FALSE;
  }
  g_autoptr (GBytes) bytes = g_bytes_new_take (content, length);
  if (strcmp (type, "image/png") == 0) {
    int height, width;
    GstVideoInfo info;
    guint8 *rgba = picture_read_png (bytes, &height, &width, error);
    GstBuffer *buffer;
    gboolean ok;

    if (!rgba)
      return FALSE;
    gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGBA, width, height);
    buffer = gst_buffer_new_wrapped (rgba, info.size);
    ok = take (decoder, 0, &info, buffer, error);
    gst_buffer_unref (buffer);
    return ok;
  }
  if (strcmp (type, "image/jpeg") == 0) {
    facts = picture_read_jpeg (bytes);
    if (!facts.complete || facts.components == 4)
      return bad (error, facts.complete ? "is CMYK: convert it to RGB first" : "is truncated");
    if (!picture_check_size (facts.height, facts.width, error))
      return FALSE;
    if (facts.exif)
      take_exif (decoder, facts.exif, facts.exif_length);
    /* "parsed": libav's decoder takes it only so. */
    caps = gst_caps_new_simple (type, "parsed", G_TYPE_BOOLEAN, TRUE, "width", G_TYPE_INT, facts.width, "height",
        G_TYPE_INT, facts.height, "framerate", GST_TYPE_FRACTION, 0, 1, NULL);
  }
  return build (decoder, path, bytes, caps, error) && run (decoder, TRUE, error);
}

gboolean
media_decode (const char *path, guint file, const MediaOptions *options, MediaFunc func, gpointer data,
    GError **error)
{
  Decoder *decoder = NULL;
  g_autoptr (GBytes) start = NULL;
  const char *type;
  MediaKind kind;
  GStatBuf status;
  gboolean ok = FALSE;

  if (g_stat (path, &status) != 0) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "cannot be opened: %s", g_strerror (errno));
    return FALSE;
  }
  if (!S_ISREG (status.st_mode))
    return bad (error, "is not a regular file");
  if (status.st_size == 0)
    return bad (error, "is empty");
  if (!(start = read_start (path, error)))
    return FALSE;
  type = type_of (start);
  kind = kind_of (type);
  if (kind == MEDIA_UNKNOWN)
    return bad (error, "is neither a picture nor a video that GStreamer knows");

  decoder = g_new0 (Decoder, 1);
  decoder->file = file;
  decoder->options = options;
  decoder->func = func;
  decoder->data = data;
  decoder->orientation = GST_VIDEO_ORIENTATION_IDENTITY;
  if (kind == MEDIA_VIDEO)
    ok = build (decoder, path, NULL, NULL, error) && run (decoder, FALSE, error);
  else if (status.st_size > PICTURE_BYTES_MAX)
    bad (error, "is larger than 512 MB");
  else
    ok = decode_picture (decoder, path, type, error);
  if (g_atomic_int_get (&decoder->is_refused))
    ; /* it stays: see on_event() */
  else if (decoder->stalled)
    /* A decoder in an endless loop cannot be stopped: let it be, and go on. */
    g_thread_unref (g_thread_new ("stop", decoder_free, decoder));
  else
    decoder_free (decoder);
  return ok;
}

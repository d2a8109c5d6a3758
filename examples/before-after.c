/* before-after BEFORE AFTER SIDE.mp4 SIDE.png [TRUTH]
 *
 * Reads two (three) videos of equal size frame by frame, writes them side by side, writes the middle frame as a
 * PNG, and prints the PSNR of both against the truth: 10 log10 (255^2 / MSE) over R'G'B' of all frames'
 * mean, ITU-T J.340's formula per frame.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <math.h>
#include <string.h>

typedef struct
{
  const char *path;
  GstElement *pipeline;
  GstAppSink *sink;
  GstSample *sample;
  GstVideoInfo info;
} Reader;

static gboolean
reader_open (Reader *reader, const char *path)
{
  GstElement *source;

  reader->path = path;
  reader->pipeline = gst_parse_launch ("filesrc name=source ! decodebin ! queue ! videoconvert dither=none "
                                       "! video/x-raw,format=RGB ! appsink name=sink sync=false max-buffers=2",
      NULL);
  if (!reader->pipeline)
    return FALSE;
  source = gst_bin_get_by_name (GST_BIN (reader->pipeline), "source");
  g_object_set (source, "location", path, NULL);
  gst_object_unref (source);
  reader->sink = GST_APP_SINK (gst_bin_get_by_name (GST_BIN (reader->pipeline), "sink"));
  gst_element_set_state (reader->pipeline, GST_STATE_PLAYING);
  return TRUE;
}

/* The next frame, or FALSE at the end or after an error, which is printed. */
static gboolean
reader_next (Reader *reader, gboolean *failed)
{
  g_clear_pointer (&reader->sample, gst_sample_unref);
  reader->sample = gst_app_sink_pull_sample (reader->sink);
  if (!reader->sample) {
    g_autoptr (GstBus) bus = gst_element_get_bus (reader->pipeline);
    g_autoptr (GstMessage) message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);

    if (message) {
      g_autoptr (GError) error = NULL;

      gst_message_parse_error (message, &error, NULL);
      g_printerr ("before-after: %s: %s\n", reader->path, error->message);
      *failed = TRUE;
    }
    return FALSE;
  }
  return gst_video_info_from_caps (&reader->info, gst_sample_get_caps (reader->sample));
}

static void
reader_close (Reader *reader)
{
  g_clear_pointer (&reader->sample, gst_sample_unref);
  if (reader->pipeline)
    gst_element_set_state (reader->pipeline, GST_STATE_NULL);
  g_clear_object (&reader->sink);
  gst_clear_object (&reader->pipeline);
}

/* PSNR in dB of two RGB frames; 100 for equal ones. */
static double
psnr (Reader *a, Reader *b)
{
  GstVideoFrame fa, fb;
  double sum = 0;
  int width = GST_VIDEO_INFO_WIDTH (&a->info), height = GST_VIDEO_INFO_HEIGHT (&a->info);

  if (!gst_video_frame_map (&fa, &a->info, gst_sample_get_buffer (a->sample), GST_MAP_READ))
    return NAN;
  if (!gst_video_frame_map (&fb, &b->info, gst_sample_get_buffer (b->sample), GST_MAP_READ)) {
    gst_video_frame_unmap (&fa);
    return NAN;
  }
  for (int y = 0; y < height; y++) {
    const guint8 *pa = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&fa, 0) + y * GST_VIDEO_FRAME_PLANE_STRIDE (&fa, 0);
    const guint8 *pb = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&fb, 0) + y * GST_VIDEO_FRAME_PLANE_STRIDE (&fb, 0);

    for (int x = 0; x < 3 * width; x++)
      sum += (pa[x] - pb[x]) * (pa[x] - pb[x]);
  }
  gst_video_frame_unmap (&fa);
  gst_video_frame_unmap (&fb);
  return sum > 0 ? MIN (100, 10 * log10 (255.0 * 255.0 * 3 * width * height / sum)) : 100;
}

/* before | after as one RGB sample, with the timing of before. */
static GstSample *
side_by_side (Reader *before, Reader *after)
{
  GstVideoInfo info;
  GstVideoFrame to, from[2];
  GstBuffer *buffer, *source = gst_sample_get_buffer (before->sample);
  g_autoptr (GstCaps) caps = NULL;
  GstSample *sample;
  int width = GST_VIDEO_INFO_WIDTH (&before->info), height = GST_VIDEO_INFO_HEIGHT (&before->info);

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, 2 * width, height);
  GST_VIDEO_INFO_FPS_N (&info) = GST_VIDEO_INFO_FPS_N (&before->info);
  GST_VIDEO_INFO_FPS_D (&info) = GST_VIDEO_INFO_FPS_D (&before->info);
  buffer = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (&info), NULL);
  if (!gst_video_frame_map (&to, &info, buffer, GST_MAP_WRITE))
    goto fail;
  for (int i = 0; i < 2; i++) {
    Reader *reader = i ? after : before;

    if (!gst_video_frame_map (&from[i], &reader->info, gst_sample_get_buffer (reader->sample), GST_MAP_READ)) {
      gst_video_frame_unmap (&to);
      goto fail;
    }
    for (int y = 0; y < height; y++)
      memcpy ((guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&to, 0) + y * GST_VIDEO_FRAME_PLANE_STRIDE (&to, 0)
                  + i * 3 * width,
          (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&from[i], 0) + y * GST_VIDEO_FRAME_PLANE_STRIDE (&from[i], 0),
          3 * (gsize) width);
    gst_video_frame_unmap (&from[i]);
  }
  gst_video_frame_unmap (&to);
  gst_buffer_copy_into (buffer, source, GST_BUFFER_COPY_TIMESTAMPS, 0, -1);
  caps = gst_video_info_to_caps (&info);
  sample = gst_sample_new (buffer, caps, NULL, NULL);
  gst_buffer_unref (buffer);
  return sample;

fail:
  gst_buffer_unref (buffer);
  return NULL;
}

static gboolean
write_png (GstSample *sample, const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GstCaps) caps = gst_caps_new_empty_simple ("image/png");
  GstSample *png = gst_video_convert_sample (sample, caps, 30 * GST_SECOND, &error);
  GstMapInfo map;
  gboolean done = FALSE;

  if (png && gst_buffer_map (gst_sample_get_buffer (png), &map, GST_MAP_READ)) {
    done = g_file_set_contents (path, (char *) map.data, map.size, &error);
    gst_buffer_unmap (gst_sample_get_buffer (png), &map);
  }
  g_clear_pointer (&png, gst_sample_unref);
  if (!done)
    g_printerr ("before-after: %s: %s\n", path, error ? error->message : "cannot be written");
  return done;
}

typedef struct
{
  guint frames;
  double before, after; /* sums of PSNR, dB */
} Score;

/* Reads all to the end. The middle frame goes to png: known beforehand by n_frames, 0 = count only. */
static gboolean
run (char **paths, GstElement *encoder, guint n_frames, const char *png, Score *score)
{
  Reader reader[3] = { 0 };
  int n_readers = paths[2] ? 3 : 2;
  gboolean failed = FALSE;
  g_autoptr (GstElement) source = encoder ? gst_bin_get_by_name (GST_BIN (encoder), "source") : NULL;

  *score = (Score){ 0 };
  for (int i = 0; i < n_readers; i++)
    failed |= !reader_open (&reader[i], paths[i]);
  while (!failed) {
    int ended = 0;
    GstSample *both;

    for (int i = 0; i < n_readers; i++)
      ended += !reader_next (&reader[i], &failed);
    if (ended && ended < n_readers && !failed) {
      g_printerr ("before-after: the videos have unequal numbers of frames (one ends after %u)\n", score->frames);
      failed = TRUE;
    }
    if (ended || failed)
      break;
    for (int i = 1; i < n_readers; i++)
      if (GST_VIDEO_INFO_WIDTH (&reader[i].info) != GST_VIDEO_INFO_WIDTH (&reader[0].info)
          || GST_VIDEO_INFO_HEIGHT (&reader[i].info) != GST_VIDEO_INFO_HEIGHT (&reader[0].info)) {
        g_printerr ("before-after: %s and %s differ in size\n", reader[0].path, reader[i].path);
        failed = TRUE;
      }
    if (failed)
      break;
    if (encoder) {
      if (paths[2]) {
        score->before += psnr (&reader[0], &reader[2]);
        score->after += psnr (&reader[1], &reader[2]);
      }
      both = side_by_side (&reader[0], &reader[1]);
      if (!both) {
        failed = TRUE;
        break;
      }
      if (score->frames == n_frames / 2)
        failed = !write_png (both, png);
      failed |= gst_app_src_push_sample (GST_APP_SRC (source), both) != GST_FLOW_OK;
      gst_sample_unref (both);
    }
    score->frames++;
  }
  for (int i = 0; i < n_readers; i++)
    reader_close (&reader[i]);
  if (!failed && score->frames == 0) {
    g_printerr ("before-after: %s has no video frames\n", paths[0]);
    failed = TRUE;
  }
  return !failed;
}

int
main (int argc, char **argv)
{
  char *inputs[3] = { 0 };
  Score score;
  g_autoptr (GstElement) encoder = NULL;
  g_autoptr (GstElement) part = NULL;
  g_autoptr (GstBus) bus = NULL;
  g_autoptr (GstMessage) message = NULL;

  gst_init (&argc, &argv);
  if (argc != 5 && argc != 6) {
    g_printerr ("usage: before-after BEFORE AFTER SIDE.mp4 SIDE.png [TRUTH]\n");
    return 2;
  }
  inputs[0] = argv[1];
  inputs[1] = argv[2];
  inputs[2] = argc == 6 ? argv[5] : NULL;
  /* The first pass finds the middle frame. */
  if (!run ((char *[]){ inputs[0], inputs[1], NULL }, NULL, 0, NULL, &score))
    return 1;
  encoder = gst_parse_launch ("appsrc name=source format=time block=true max-buffers=4 ! videoconvert "
                              "! video/x-raw,format=I420 ! x264enc pass=quant quantizer=16 speed-preset=veryfast "
                              "! h264parse ! mp4mux ! filesink name=sink",
      NULL);
  if (!encoder) {
    g_printerr ("before-after: x264enc, h264parse or mp4mux is missing; install GStreamer's plugins-ugly, -bad and -good\n");
    return 1;
  }
  part = gst_bin_get_by_name (GST_BIN (encoder), "sink");
  g_object_set (part, "location", argv[3], NULL);
  gst_element_set_state (encoder, GST_STATE_PLAYING);
  if (!run (inputs, encoder, score.frames, argv[4], &score)) {
    gst_element_set_state (encoder, GST_STATE_NULL);
    return 1;
  }
  gst_clear_object (&part);
  part = gst_bin_get_by_name (GST_BIN (encoder), "source");
  gst_app_src_end_of_stream (GST_APP_SRC (part));
  bus = gst_element_get_bus (encoder);
  message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  gst_element_set_state (encoder, GST_STATE_NULL);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    g_autoptr (GError) error = NULL;

    gst_message_parse_error (message, &error, NULL);
    g_printerr ("before-after: %s: %s\n", argv[3], error->message);
    return 1;
  }
  if (inputs[2])
    g_print ("PSNR before %.2f dB, after %.2f dB (%+.2f dB), mean over %u frames, R'G'B', against %s\n",
        score.before / score.frames, score.after / score.frames, (score.after - score.before) / score.frames,
        score.frames, inputs[2]);
  return 0;
}

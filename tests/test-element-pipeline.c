/* The element among GStreamer's own: negotiation, a seek, a queue, weights swapped and strength changed while
 * a pipeline plays. Skipped where those elements are not installed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

static char *identity, *plus;

typedef struct
{
  GstElement *pipeline, *element;
  guint frames;
  guint8 last; /* first sample of the last frame */
} Pipeline;

static void
on_handoff (GstElement *sink, GstBuffer *buffer, GstPad *pad, gpointer data)
{
  Pipeline *pipeline = data;

  (void) sink;
  (void) pad;
  pipeline->frames++;
  gst_buffer_extract (buffer, 0, &pipeline->last, 1);
}

/* text names the elements "blur" and "sink". */
static void
pipeline_init (Pipeline *pipeline, const char *text)
{
  g_autoptr (GError) error = NULL;
  GstElement *sink;

  *pipeline = (Pipeline){ .pipeline = gst_parse_launch (text, &error) };
  g_assert_no_error (error);
  pipeline->element = gst_bin_get_by_name (GST_BIN (pipeline->pipeline), "blur");
  g_object_set (pipeline->element, "weights", identity, "threads", 1, NULL);
  gst_util_set_object_arg (G_OBJECT (pipeline->element), "precision", "f32");
  sink = gst_bin_get_by_name (GST_BIN (pipeline->pipeline), "sink");
  g_object_set (sink, "signal-handoffs", TRUE, NULL);
  g_signal_connect (sink, "handoff", G_CALLBACK (on_handoff), pipeline);
  gst_object_unref (sink);
}

/* Waits for the end, or fails with the error. */
static void
pipeline_wait (Pipeline *pipeline)
{
  GstBus *bus = gst_element_get_bus (pipeline->pipeline);
  g_autoptr (GstMessage) message
      = gst_bus_timed_pop_filtered (bus, 300 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (message);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error (message, &error, NULL);
    g_assert_no_error (error);
  }
  gst_object_unref (bus);
}

static void
pipeline_clear (Pipeline *pipeline)
{
  gst_element_set_state (pipeline->pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline->element);
  gst_object_unref (pipeline->pipeline);
}

/* Whatever the neighbours speak, and with sync=false no frame is dropped. */
static void
test_negotiation (void)
{
  static const struct
  {
    const char *before, *after;
  } cases[] = {
    { "", "" },
    { "video/x-raw,format=BGRx,width=37,height=21 !", "videoconvert ! video/x-raw,format=NV12 !" },
    { "video/x-raw,format=AYUV ! videoconvert !", "videoconvert ! video/x-raw,format=v308 !" },
    { "video/x-raw,interlace-mode=interleaved,format=UYVY !", "queue max-size-buffers=1 !" },
  };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (cases); i++) {
    g_autofree char *text
        = g_strdup_printf ("videotestsrc num-buffers=4 is-live=%d ! %s deblurunet name=blur ! %s "
                           "fakesink name=sink",
            i & 1, cases[i / 2].before, cases[i / 2].after);
    Pipeline pipeline;

    g_test_message ("%s", text);
    pipeline_init (&pipeline, text);
    gst_element_set_state (pipeline.pipeline, GST_STATE_PLAYING);
    pipeline_wait (&pipeline);
    g_assert_cmpuint (pipeline.frames, ==, 4);
    pipeline_clear (&pipeline);
  }
}

static void
test_seek (void)
{
  Pipeline pipeline;

  pipeline_init (&pipeline, "videotestsrc num-buffers=1000 ! video/x-raw,format=I420,framerate=10/1 ! "
                            "deblurunet name=blur ! fakesink "
                            "name=sink");
  gst_element_set_state (pipeline.pipeline, GST_STATE_PAUSED);
  g_assert_cmpint (
      gst_element_get_state (pipeline.pipeline, NULL, NULL, 300 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
  for (int i = 0; i < 10; i++)
    g_assert_true (
        gst_element_seek (pipeline.pipeline, 1, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_ACCURATE,
            GST_SEEK_TYPE_SET, i * GST_SECOND, GST_SEEK_TYPE_SET, i * GST_SECOND + GST_SECOND / 2));
  g_assert_cmpint (
      gst_element_get_state (pipeline.pipeline, NULL, NULL, 300 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
  pipeline.frames = 0;
  gst_element_set_state (pipeline.pipeline, GST_STATE_PLAYING);
  pipeline_wait (&pipeline);
  /* Half a second at 10 frames a second, the first of them perhaps shown before PLAYING. */
  g_assert_cmpuint (pipeline.frames, >=, 4);
  g_assert_cmpuint (pipeline.frames, <=, 5);
  pipeline_clear (&pipeline);
}

/* Changed from the application's thread, seen in the pictures that follow. */
static void
test_changes (void)
{
  Pipeline pipeline;
  gboolean changed = FALSE, halved = FALSE;

  pipeline_init (&pipeline, "videotestsrc pattern=solid-color foreground-color=0xff646464 ! "
                            "video/x-raw,format=RGB,width=16,height=16 "
                            "! deblurunet name=blur ! fakesink name=sink");
  gst_element_set_state (pipeline.pipeline, GST_STATE_PLAYING);
  gst_element_get_state (pipeline.pipeline, NULL, NULL, 300 * GST_SECOND);
  g_object_set (pipeline.element, "weights", plus, NULL);
  for (int i = 0; i < 30000 && !changed; i++) {
    g_usleep (10000);
    changed = *(volatile guint8 *) &pipeline.last == 120;
  }
  g_assert_true (changed);
  g_object_set (pipeline.element, "strength", 0.5, NULL);
  for (int i = 0; i < 30000 && !halved; i++) {
    g_usleep (10000);
    halved = *(volatile guint8 *) &pipeline.last == 110;
  }
  g_assert_true (halved);
  pipeline_clear (&pipeline);
}

/* One error ends the pipeline, and names the file. */
static void
test_error (void)
{
  g_autofree char *missing = element_path ("missing.safetensors");
  Pipeline pipeline;
  GstBus *bus;
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GError) error = NULL;

  pipeline_init (&pipeline, "videotestsrc ! deblurunet name=blur ! fakesink name=sink");
  g_object_set (pipeline.element, "weights", missing, NULL);
  g_assert_cmpint (
      gst_element_set_state (pipeline.pipeline, GST_STATE_PLAYING), ==, GST_STATE_CHANGE_FAILURE);
  bus = gst_element_get_bus (pipeline.pipeline);
  message = gst_bus_timed_pop_filtered (bus, 10 * GST_SECOND, GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  g_assert_true (GST_MESSAGE_SRC (message) == GST_OBJECT (pipeline.element));
  gst_message_parse_error (message, &error, NULL);
  g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND);
  gst_object_unref (bus);
  pipeline_clear (&pipeline);
}

int
main (int argc, char **argv)
{
  int result;

  element_tests_init (&argc, &argv);
  if (!element_load_plugins ("coreelements", "videotestsrc", "videoconvertscale", NULL)) {
    g_print ("1..0 # SKIP GStreamer's base elements are not in " GST_PLUGINS_DIR "\n");
    return 0;
  }
  identity = element_weights_identity (1);
  plus = element_weights_shift (20 / 255., 20 / 255., 20 / 255.);
  g_test_add_func ("/element/pipeline/negotiation", test_negotiation);
  g_test_add_func ("/element/pipeline/seek", test_seek);
  g_test_add_func ("/element/pipeline/changes", test_changes);
  g_test_add_func ("/element/pipeline/error", test_error);
  result = element_tests_run ();
  g_free (identity);
  g_free (plus);
  return result;
}

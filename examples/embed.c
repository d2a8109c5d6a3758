/* embed [WEIGHTS [NEW-WEIGHTS]]: an application deblurs frames of its own with the element.
 *
 * It paints frames, pushes them with appsrc, takes the deblurred ones from appsink, handles what the bus says, and
 * half-way changes the weights while the pipeline plays. Without WEIGHTS the installed default is used.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>
#include <math.h>

enum
{
  WIDTH = 320,
  HEIGHT = 180,
  FRAMES_PER_SECOND = 25,
  FRAMES = 6,
};

typedef struct
{
  GMainLoop *loop;
  GstElement *deblur;
  const char *new_weights; /* or NULL */
  guint pushed, taken;     /* frames; each touched by one thread only while the pipeline plays */
  gboolean failed;
} Application;

/* A soft-edged ball that moves to the right; sample x of line y, 0..255. */
static guint8
paint (guint frame, int x, int y)
{
  double distance = hypot (x - 60 - 20.0 * frame, y - HEIGHT / 2.0);

  return (guint8) (40 + 170 / (1 + exp ((distance - 40) / 2)));
}

/* appsrc wants another frame. */
static void
need_data (GstAppSrc *source, guint length, gpointer data)
{
  Application *application = data;
  GstBuffer *buffer;
  GstMapInfo map;

  (void) length;
  if (application->pushed == FRAMES) {
    gst_app_src_end_of_stream (source);
    return;
  }
  buffer = gst_buffer_new_allocate (NULL, 3 * WIDTH * HEIGHT, NULL);
  gst_buffer_map (buffer, &map, GST_MAP_WRITE);
  for (int i = 0; i < WIDTH * HEIGHT; i++)
    map.data[3 * i] = map.data[3 * i + 1] = map.data[3 * i + 2]
        = paint (application->pushed, i % WIDTH, i / WIDTH);
  gst_buffer_unmap (buffer, &map);
  GST_BUFFER_PTS (buffer) = gst_util_uint64_scale (application->pushed, GST_SECOND, FRAMES_PER_SECOND);
  GST_BUFFER_DURATION (buffer) = GST_SECOND / FRAMES_PER_SECOND;
  application->pushed++;
  gst_app_src_push_buffer (source, buffer); /* takes the buffer */
}

/* A deblurred frame is there. */
static GstFlowReturn
new_sample (GstAppSink *sink, gpointer data)
{
  Application *application = data;
  GstSample *sample = gst_app_sink_pull_sample (sink);
  GstFlowReturn result = GST_FLOW_ERROR;
  GstVideoFrame frame;
  GstVideoInfo info;
  double change = 0;

  if (!sample)
    return GST_FLOW_EOS;
  if (gst_video_info_from_caps (&info, gst_sample_get_caps (sample))
      && gst_video_frame_map (&frame, &info, gst_sample_get_buffer (sample), GST_MAP_READ)) {
    /* Lines may be padded: always use the stride. */
    for (int y = 0; y < HEIGHT; y++)
      for (int x = 0; x < WIDTH; x++) {
        const guint8 *line = GST_VIDEO_FRAME_PLANE_DATA (&frame, 0);

        line += y * GST_VIDEO_FRAME_PLANE_STRIDE (&frame, 0);
        change += abs (line[3 * x] - paint (application->taken, x, y));
      }
    g_print ("frame %u, %.3f s: changed by %.3f of 255 on the average\n", application->taken,
        GST_BUFFER_PTS (frame.buffer) / (double) GST_SECOND, change / (WIDTH * HEIGHT));
    gst_video_frame_unmap (&frame);
    application->taken++;
    result = GST_FLOW_OK;
  }
  gst_sample_unref (sample);
  /* The element takes the new file in between two frames. If it is bad, a warning comes and the old one stays. */
  if (application->taken == FRAMES / 2 && application->new_weights)
    g_object_set (application->deblur, "weights", application->new_weights, NULL);
  return result;
}

static gboolean
on_message (GstBus *bus, GstMessage *message, gpointer data)
{
  Application *application = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *detail = NULL;

  (void) bus;
  switch (GST_MESSAGE_TYPE (message)) {
  case GST_MESSAGE_ERROR:
    gst_message_parse_error (message, &error, &detail);
    g_printerr ("%s: %s\n", GST_OBJECT_NAME (message->src), error->message);
    application->failed = TRUE;
    g_main_loop_quit (application->loop);
    break;
  case GST_MESSAGE_WARNING:
    gst_message_parse_warning (message, &error, &detail);
    g_printerr ("warning of %s: %s\n", GST_OBJECT_NAME (message->src), error->message);
    break;
  case GST_MESSAGE_EOS:
    g_main_loop_quit (application->loop);
    break;
  default:
    break;
  }
  return G_SOURCE_CONTINUE;
}

static void
print_stats (GstElement *deblur)
{
  g_autoptr (GstStructure) stats = NULL;
  double milliseconds = 0;
  guint64 frames = 0;

  g_object_get (deblur, "stats", &stats, NULL);
  gst_structure_get_uint64 (stats, "frames", &frames);
  gst_structure_get_double (stats, "network-mean-ms", &milliseconds);
  g_print ("%" G_GUINT64_FORMAT " frames, %.0f ms each in the network, on %s, weights %s\n", frames, milliseconds,
      gst_structure_get_string (stats, "device"), gst_structure_get_string (stats, "weights"));
}

int
main (int argc, char **argv)
{
  Application application = { 0 };
  GstAppSrcCallbacks source_calls = { .need_data = need_data };
  GstAppSinkCallbacks sink_calls = { .new_sample = new_sample };
  g_autoptr (GstElement) pipeline = NULL, source = NULL, sink = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GstBus) bus = NULL;
  g_autoptr (GstCaps) caps = NULL;

  gst_init (&argc, &argv);
  if (argc > 3) {
    g_printerr ("usage: embed [WEIGHTS [NEW-WEIGHTS]]\n");
    return 2;
  }
  /* Other formats than RGB work as well: with a videoconvert on each side, all of them. */
  pipeline = gst_parse_launch ("appsrc name=source format=time ! deblurunet name=deblur ! appsink name=sink sync=false",
      &error);
  if (error) {
    g_printerr ("embed: %s\n", error->message);
    return 1;
  }
  source = gst_bin_get_by_name (GST_BIN (pipeline), "source");
  sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  application.deblur = gst_bin_get_by_name (GST_BIN (pipeline), "deblur");
  application.new_weights = argc > 2 ? argv[2] : NULL;
  if (argc > 1)
    g_object_set (application.deblur, "weights", argv[1], NULL);

  caps = gst_caps_new_simple ("video/x-raw", "format", G_TYPE_STRING, "RGB", "width", G_TYPE_INT, WIDTH, "height",
      G_TYPE_INT, HEIGHT, "framerate", GST_TYPE_FRACTION, FRAMES_PER_SECOND, 1, NULL);
  gst_app_src_set_caps (GST_APP_SRC (source), caps);
  gst_app_src_set_callbacks (GST_APP_SRC (source), &source_calls, &application, NULL);
  gst_app_sink_set_callbacks (GST_APP_SINK (sink), &sink_calls, &application, NULL);
  application.loop = g_main_loop_new (NULL, FALSE);
  bus = gst_element_get_bus (pipeline);
  gst_bus_add_watch (bus, on_message, &application);

  /* A failure is on the bus: the loop ends by it. */
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_main_loop_run (application.loop);
  if (!application.failed)
    print_stats (application.deblur);
  gst_element_set_state (pipeline, GST_STATE_NULL);

  gst_bus_remove_watch (bus);
  g_main_loop_unref (application.loop);
  gst_object_unref (application.deblur);
  return application.failed ? 1 : 0;
}

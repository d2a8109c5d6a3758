/* What players do, in whole pipelines: seek, flush, pause, change the resolution, swap weights, stop, and go wrong.
 * With and without frames in flight; after each, GStreamer's leaks tracer is to know of no object that is left.
 *
 * DEBLURUNET_TEST_BACKEND=reference: without code that is made at run time, for valgrind.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <gst/controller/controller.h>

enum
{
  FPS = 10
};

#define SOURCE "videotestsrc name=source pattern=solid-color num-buffers=%d ! capsfilter name=caps ! "
#define SIZE(width, height) \
  "video/x-raw, format=I420, framerate=10/1, width=" #width ", height=" #height

static char *identity, *shift;
static GstTracer *leaks; /* NULL: not there */

/* From here on objects are counted. */
static void
start_tracer (void)
{
  GstPluginFeature *feature;

  if (!element_load_plugins ("coretracers", NULL))
    return;
  feature = gst_registry_lookup_feature (gst_registry_get (), "leaks");
  g_assert_nonnull (feature);
  leaks = g_object_new (gst_tracer_factory_get_tracer_type (GST_TRACER_FACTORY (feature)), NULL);
  gst_object_ref_sink (leaks);
  gst_object_unref (feature);
}

static void
check_leaks (const char *what)
{
  g_autoptr (GstStructure) live = NULL;

  if (!leaks)
    return;
  gst_task_cleanup_all (); /* threads that end hold their tasks until then */
  g_signal_emit_by_name (leaks, "get-live-objects", &live);
  if (gst_value_list_get_size (gst_structure_get_value (live, "live-objects-list")))
    g_error ("%s: objects are left: %s", what, gst_structure_to_string (live));
}

typedef struct
{
  GstElement *pipeline, *blur, *caps, *sink;
  GstBus *bus;
  int frames;          /* that came to the sink, since it was last set to 0 */
  int passed;          /* the caps filter, in resolutions() */
  GstClockTime before; /* time of the last of them */
} Player;

static void
on_frame (GstElement *sink, GstBuffer *buffer, GstPad *pad, gpointer data)
{
  Player *player = data;
  GstCaps *caps = gst_pad_get_current_caps (pad);
  GstVideoInfo info;

  (void) sink;
  g_assert_true (gst_video_info_from_caps (&info, caps));
  g_assert_cmpuint (gst_buffer_get_size (buffer), ==, info.size);
  gst_caps_unref (caps);
  g_atomic_int_inc (&player->frames);
}

static void
player_init (Player *player, guint in_flight, int n_frames)
{
  g_autofree char *text
      = g_strdup_printf (SOURCE "deblurunet name=blur tile-mode=balanced threads=1 precision=f32 backend=%s "
                                "frames-in-flight=%u ! fakesink name=sink signal-handoffs=true",
          n_frames, g_getenv ("DEBLURUNET_TEST_BACKEND") ? g_getenv ("DEBLURUNET_TEST_BACKEND") : "cpu",
          in_flight);
  g_autoptr (GError) error = NULL;

  *player = (Player){ .pipeline = gst_parse_launch (text, &error) };
  g_assert_no_error (error);
  player->blur = gst_bin_get_by_name (GST_BIN (player->pipeline), "blur");
  player->caps = gst_bin_get_by_name (GST_BIN (player->pipeline), "caps");
  player->sink = gst_bin_get_by_name (GST_BIN (player->pipeline), "sink");
  player->bus = gst_element_get_bus (player->pipeline);
  gst_util_set_object_arg (G_OBJECT (player->caps), "caps", SIZE (16, 16));
  g_object_set (player->blur, "weights", identity, NULL);
  g_signal_connect (player->sink, "handoff", G_CALLBACK (on_frame), player);
}

static void
player_clear (Player *player)
{
  g_assert_cmpint (gst_element_set_state (player->pipeline, GST_STATE_NULL), ==, GST_STATE_CHANGE_SUCCESS);
  gst_object_unref (player->blur);
  gst_object_unref (player->caps);
  gst_object_unref (player->sink);
  gst_object_unref (player->bus);
  gst_object_unref (player->pipeline);
}

static void
reach (Player *player, GstState state)
{
  gst_element_set_state (player->pipeline, state);
  g_assert_cmpint (
      gst_element_get_state (player->pipeline, NULL, NULL, 300 * GST_SECOND), ==, GST_STATE_CHANGE_SUCCESS);
}

static void
fail_on_error (GstMessage *message)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *debug = NULL;

  if (!message || GST_MESSAGE_TYPE (message) != GST_MESSAGE_ERROR)
    return;
  gst_message_parse_error (message, &error, &debug);
  g_error ("%s: %s (%s)", GST_MESSAGE_SRC_NAME (message), error->message, debug);
}

/* Fails with the error, or after five minutes. */
static void
wait_for (Player *player, GstMessageType type)
{
  g_autoptr (GstMessage) message
      = gst_bus_timed_pop_filtered (player->bus, 300 * GST_SECOND, type | GST_MESSAGE_ERROR);

  g_assert_nonnull (message);
  fail_on_error (message);
}

static void
wait_frames (Player *player, int n)
{
  for (int i = 0; i < 300000 && g_atomic_int_get (&player->frames) < n; i++) {
    g_autoptr (GstMessage) message = gst_bus_pop_filtered (player->bus, GST_MESSAGE_ERROR);

    fail_on_error (message);
    g_usleep (1000);
  }
  g_assert_cmpint (g_atomic_int_get (&player->frames), >=, n);
}

/* All frames come, once. */
static void
play (guint in_flight)
{
  Player player;

  player_init (&player, in_flight, 20);
  reach (&player, GST_STATE_PLAYING);
  wait_for (&player, GST_MESSAGE_EOS);
  g_assert_cmpint (player.frames, ==, 20);
  player_clear (&player);
}

static void
pauses (guint in_flight)
{
  Player player;

  player_init (&player, in_flight, 60);
  g_object_set (player.sink, "sync", FALSE, NULL);
  for (int i = 0; i < 6; i++) {
    reach (&player, GST_STATE_PLAYING);
    wait_frames (&player, 4 * i);
    reach (&player, GST_STATE_PAUSED);
  }
  reach (&player, GST_STATE_PLAYING);
  wait_for (&player, GST_MESSAGE_EOS);
  g_assert_cmpint (player.frames, ==, 60);
  player_clear (&player);
}

static void
seek (Player *player, double rate, GstSeekFlags flags, int first, int last)
{
  g_assert_true (gst_element_seek (player->pipeline, rate, GST_FORMAT_TIME, flags, GST_SEEK_TYPE_SET,
      first * GST_SECOND / FPS, GST_SEEK_TYPE_SET, last * GST_SECOND / FPS));
}

/* While paused, while playing, forwards, backwards, faster, and to the end of a segment. */
static void
seeks (guint in_flight)
{
  const GstSeekFlags flush = GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_ACCURATE;
  Player player;

  player_init (&player, in_flight, -1);
  reach (&player, GST_STATE_PAUSED);
  for (int i = 0; i < 5; i++)
    seek (&player, 1, flush, 100 * i, 100 * i + 50);
  reach (&player, GST_STATE_PLAYING);
  for (int i = 0; i < 10; i++) {
    seek (&player, i % 4 == 3 ? -1 : i % 2 + 1, flush | (i % 3 ? 0 : GST_SEEK_FLAG_KEY_UNIT), 10 * i, 10 * i + 500);
    g_usleep (i % 3 * 2000);
  }
  reach (&player, GST_STATE_PAUSED);
  g_atomic_int_set (&player.frames, 0);
  seek (&player, 1, flush | GST_SEEK_FLAG_SEGMENT, 30, 42);
  reach (&player, GST_STATE_PLAYING);
  wait_for (&player, GST_MESSAGE_SEGMENT_DONE); /* of the source: the last frames may be on their way */
  wait_frames (&player, 12);
  seek (&player, 1, GST_SEEK_FLAG_SEGMENT, 50, 57); /* without a flush: follows the first seamlessly */
  wait_for (&player, GST_MESSAGE_SEGMENT_DONE);
  wait_frames (&player, 19);
  seek (&player, -1, flush, 10, 15);
  wait_for (&player, GST_MESSAGE_EOS);
  g_assert_cmpint (player.frames, ==, 24);
  player_clear (&player);
}

/* Behind the caps filter, in the streaming thread: from another one, the filter's caps may change in the middle of
 * a negotiation, and the source then finds no caps that go with both. */
static GstPadProbeReturn
change_caps (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  static const char *const caps[] = { SIZE (16, 16), SIZE (33, 17), SIZE (33, 17) ", interlace-mode=interleaved",
    "video/x-raw, format=RGB, framerate=10/1, width=5, height=40", SIZE (1, 1) };
  Player *player = data;

  (void) pad;
  (void) info;
  if (++player->passed % 10 == 0)
    gst_util_set_object_arg (
        G_OBJECT (player->caps), "caps", caps[player->passed / 10 % (int) G_N_ELEMENTS (caps)]);
  return GST_PAD_PROBE_OK;
}

/* Size, format and interlacing change while frames flow, and the picture's width at any time: none is lost. */
static void
resolutions (guint in_flight)
{
  static const char *const compare[] = { "side-by-side", "none", "split", "side-by-side", "split" };
  Player player;
  GstPad *pad;

  player_init (&player, in_flight, 300);
  pad = gst_element_get_static_pad (player.caps, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, change_caps, &player, NULL);
  gst_object_unref (pad);
  reach (&player, GST_STATE_PLAYING);
  for (int i = 0; i < 60; i++) {
    wait_frames (&player, 4 * i);
    gst_util_set_object_arg (G_OBJECT (player.blur), "compare", compare[i % (int) G_N_ELEMENTS (compare)]);
  }
  wait_for (&player, GST_MESSAGE_EOS);
  g_assert_cmpint (player.frames, ==, 300);
  player_clear (&player);
}

/* Weights, and the properties that may change, some of them under a controller. */
static void
changes (guint in_flight)
{
  GstControlSource *source = gst_interpolation_control_source_new ();
  GstTimedValueControlSource *values = GST_TIMED_VALUE_CONTROL_SOURCE (source);
  Player player;

  player_init (&player, in_flight, 100);
  g_object_set (source, "mode", GST_INTERPOLATION_MODE_LINEAR, NULL);
  for (int i = 0; i < 10; i++)
    gst_timed_value_control_source_set (values, i * GST_SECOND, i % 2);
  gst_object_add_control_binding (GST_OBJECT (player.blur),
      gst_direct_control_binding_new (GST_OBJECT (player.blur), "strength", source));
  gst_object_add_control_binding (GST_OBJECT (player.blur),
      gst_direct_control_binding_new (GST_OBJECT (player.blur), "split-position", source));
  gst_object_unref (source);
  gst_util_set_object_arg (G_OBJECT (player.blur), "compare", "split");
  reach (&player, GST_STATE_PLAYING);
  for (int i = 0; i < 20; i++) {
    g_object_set (player.blur, "weights", i % 2 ? identity : shift, NULL);
    wait_frames (&player, 5 * i);
  }
  wait_for (&player, GST_MESSAGE_EOS);
  g_assert_cmpint (player.frames, ==, 100);
  player_clear (&player);
}

static guint64
get_stat (Player *player, const char *name)
{
  g_autoptr (GstStructure) stats = NULL;
  guint64 value = 0;

  g_object_get (player->blur, "stats", &stats, NULL);
  g_assert_true (gst_structure_get_uint64 (stats, name, &value));
  return value;
}

/* A live source that is much faster than the network, and a sink that keeps time. */
static void
too_slow (guint in_flight)
{
  static const char *const modes[] = { "process", "passthrough", "drop" };

  for (guint mode = 0; mode < G_N_ELEMENTS (modes); mode++) {
    guint64 frames, passed_through, dropped;
    GstElement *source;
    Player player;

    player_init (&player, in_flight, 40);
    gst_util_set_object_arg (G_OBJECT (player.caps), "caps",
        "video/x-raw, format=I420, framerate=5000/1, width=64, height=64");
    gst_util_set_object_arg (G_OBJECT (player.blur), "on-late", modes[mode]);
    g_object_set (player.sink, "sync", TRUE, "qos", TRUE, NULL);
    source = gst_bin_get_by_name (GST_BIN (player.pipeline), "source");
    g_object_set (source, "is-live", TRUE, NULL);
    gst_object_unref (source);
    gst_element_set_state (player.pipeline, GST_STATE_PLAYING);
    wait_for (&player, GST_MESSAGE_EOS);
    frames = get_stat (&player, "frames");
    passed_through = get_stat (&player, "passed-through");
    dropped = get_stat (&player, "dropped");
    g_test_message ("%s: %u frames, %u passed through, %u dropped", modes[mode], (guint) frames,
        (guint) passed_through, (guint) dropped);
    g_assert_cmpuint (frames + passed_through + dropped, ==, 40);
    g_assert_cmpint (player.frames, ==, frames + passed_through);
    g_assert_cmpint (mode == 1, ==, passed_through > 0);
    g_assert_cmpint (mode == 2, ==, dropped > 0);
    player_clear (&player);
  }
}

/* With frames on their way, from PLAYING at once, and by way of each state. */
static void
stops (guint in_flight)
{
  for (int i = 0; i < 6; i++) {
    Player player;

    player_init (&player, in_flight, -1);
    reach (&player, GST_STATE_PLAYING);
    wait_frames (&player, i);
    if (i % 3 > 0)
      reach (&player, GST_STATE_PAUSED);
    if (i % 3 > 1) {
      reach (&player, GST_STATE_READY);
      reach (&player, GST_STATE_PLAYING);
      reach (&player, GST_STATE_READY);
    }
    player_clear (&player);
  }
}

/* As GStreamer's own test of all elements: every change of state there is, without anything before or after. */
static void
states (guint in_flight)
{
  static const GstState order[] = { GST_STATE_READY, GST_STATE_NULL, GST_STATE_READY, GST_STATE_PAUSED,
    GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_PLAYING, GST_STATE_PAUSED, GST_STATE_PLAYING, GST_STATE_READY,
    GST_STATE_PLAYING, GST_STATE_NULL, GST_STATE_PAUSED, GST_STATE_NULL };
  GstElement *element = gst_object_ref_sink (gst_element_factory_make ("deblurunet", NULL));

  g_object_set (element, "weights", identity, "frames-in-flight", in_flight, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (order); i++)
    g_assert_cmpint (gst_element_set_state (element, order[i]), ==, GST_STATE_CHANGE_SUCCESS);
  gst_object_unref (element);
}

static GstPadProbeReturn
break_frame (GstPad *pad, GstPadProbeInfo *info, gpointer counter)
{
  (void) pad;
  if (++*(int *) counter == 4) {
    gst_buffer_unref (GST_PAD_PROBE_INFO_BUFFER (info));
    GST_PAD_PROBE_INFO_DATA (info) = gst_buffer_new_allocate (NULL, 7, NULL);
  }
  return GST_PAD_PROBE_OK;
}

/* A file that is not there, and a frame that is broken. */
static void
errors (guint in_flight)
{
  Player player;
  GstMessage *message;
  GstPad *pad;
  int counter = 0;

  player_init (&player, in_flight, 20);
  g_object_set (player.blur, "weights", "/no/such/file", NULL);
  g_assert_cmpint (gst_element_set_state (player.pipeline, GST_STATE_PLAYING), ==, GST_STATE_CHANGE_FAILURE);
  player_clear (&player);
  player_init (&player, in_flight, 20);
  pad = gst_element_get_static_pad (player.blur, "sink");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, break_frame, &counter, NULL);
  gst_object_unref (pad);
  gst_element_set_state (player.pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (player.bus, 300 * GST_SECOND, GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
  g_assert_nonnull (message);
  g_assert_true (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR);
  g_assert_true (GST_MESSAGE_SRC (message) == GST_OBJECT (player.blur));
  gst_message_unref (message);
  g_assert_cmpint (player.frames, ==, 3);
  player_clear (&player);
}

typedef struct
{
  const char *name;
  void (*run) (guint in_flight);
} Scenario;

static void
test_scenario (gconstpointer data)
{
  static const guint in_flight[] = { 0, 1, 3 };
  const Scenario *scenario = data;

  for (guint i = 0; i < G_N_ELEMENTS (in_flight); i++) {
    g_test_message ("%u frames in flight", in_flight[i]);
    scenario->run (in_flight[i]);
    check_leaks (scenario->name);
  }
}

int
main (int argc, char **argv)
{
  static const Scenario scenarios[] = { { "play", play }, { "pauses", pauses }, { "seeks", seeks },
    { "resolutions", resolutions }, { "changes", changes }, { "too-slow", too_slow }, { "stops", stops }, { "states", states },
    { "errors", errors } };
  int result;

  element_tests_init (&argc, &argv);
  if (!element_load_plugins ("coreelements", "videotestsrc", NULL)) {
    g_print ("1..0 # SKIP GStreamer's base elements are not in " GST_PLUGINS_DIR "\n");
    return 0;
  }
  identity = element_weights_identity (1);
  shift = element_weights_shift (0.1, 0, 0);
  play (1); /* what is made once for all comes before the count */
  start_tracer ();
  g_test_message (leaks ? "with the leaks tracer" : "there is no leaks tracer");
  for (guint i = 0; i < G_N_ELEMENTS (scenarios); i++) {
    g_autofree char *path = g_strdup_printf ("/element/scenarios/%s", scenarios[i].name);

    g_test_add_data_func (path, &scenarios[i], test_scenario);
  }
  result = g_test_run ();
  gst_clear_object (&leaks);
  return result;
}

/* The element in live pipelines and with frames in flight: late frames, QoS, latency, and that frames and events
 * come out in the order in which they went in, all of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <gst/controller/controller.h>
#include <string.h>

enum
{
  GRAY = 100, /* every sample that goes in */
  SHIFT = 20  /* what the network adds */
};

#define CAPS "video/x-raw, format=GRAY8, width=16, height=16, framerate=4/1"

static char *shift;

/* A frame of GRAY at a running time in quarters of a second. */
static GstBuffer *
gray_buffer (guint quarters)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, 256, NULL);

  gst_buffer_memset (buffer, 0, GRAY, 256);
  GST_BUFFER_PTS (buffer) = quarters * GST_SECOND / 4;
  GST_BUFFER_DURATION (buffer) = GST_SECOND / 4;
  GST_BUFFER_OFFSET (buffer) = quarters;
  return buffer;
}

static int
first_sample (GstBuffer *buffer)
{
  guint8 sample = 0;

  gst_buffer_extract (buffer, 0, &sample, 1);
  return sample;
}

/* The sink says that the frame was so much too late, or too early. */
static void
send_qos (Element *element, GstQOSType type, guint quarters, double late)
{
  gst_harness_push_upstream_event (element->harness, gst_event_new_qos (type, 0.5,
      (GstClockTimeDiff) (late * GST_SECOND), quarters * GST_SECOND / 4));
}

/* Pushes frames first to last and gives what came out of them: 's'harp, 'b'lurred, or '-' where none did, in
 * capitals where the frame is marked as one that does not follow the one before. */
static char *
push_and_see (Element *element, guint first, guint last)
{
  GString *seen = g_string_new (NULL);

  for (guint i = first; i <= last; i++) {
    GstBuffer *buffer;
    char letter = '-';

    g_assert_cmpint (gst_harness_push (element->harness, gray_buffer (i)), ==, GST_FLOW_OK);
    buffer = gst_harness_try_pull (element->harness);
    if (buffer) {
      int sample = first_sample (buffer);

      g_assert_cmpuint (GST_BUFFER_OFFSET (buffer), ==, i);
      g_assert_true (sample == GRAY || sample == GRAY + SHIFT);
      letter = sample == GRAY ? 'b' : 's';
      if (GST_BUFFER_IS_DISCONT (buffer))
        letter = g_ascii_toupper (letter);
    }
    g_string_append_c (seen, letter);
  }
  return g_string_free (seen, FALSE);
}

static void
check_qos_message (Element *element, guint quarters, double jitter, int quality, guint processed, guint dropped)
{
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (element->bus, GST_MESSAGE_QOS);
  guint64 running_time, stream_time, timestamp, duration, n_processed, n_dropped;
  gint64 its_jitter;
  double proportion;
  int its_quality;
  gboolean live;
  GstFormat format;

  g_assert_nonnull (message);
  gst_message_parse_qos (message, &live, &running_time, &stream_time, &timestamp, &duration);
  gst_message_parse_qos_values (message, &its_jitter, &proportion, &its_quality);
  gst_message_parse_qos_stats (message, &format, &n_processed, &n_dropped);
  g_assert_false (live);
  g_assert_cmpuint (timestamp, ==, quarters * GST_SECOND / 4);
  g_assert_cmpuint (running_time, ==, timestamp);
  g_assert_cmpuint (stream_time, ==, timestamp);
  g_assert_cmpuint (duration, ==, GST_SECOND / 4);
  g_assert_cmpint (its_jitter, ==, (gint64) (jitter * GST_SECOND));
  g_assert_cmpfloat (proportion, ==, 0.5);
  g_assert_cmpint (its_quality, ==, quality);
  g_assert_cmpint (format, ==, GST_FORMAT_BUFFERS);
  g_assert_cmpuint (n_processed, ==, processed);
  g_assert_cmpuint (n_dropped, ==, dropped);
}

static void
check_stats (Element *element, guint frames, guint passed_through, guint late, guint dropped)
{
  g_assert_cmpfloat (element_stat (element, "frames"), ==, frames);
  g_assert_cmpfloat (element_stat (element, "passed-through"), ==, passed_through);
  g_assert_cmpfloat (element_stat (element, "late"), ==, late);
  g_assert_cmpfloat (element_stat (element, "dropped"), ==, dropped);
}

static void
start_gray (Element *element, const char *on_late, guint frames_in_flight)
{
  element_init (element, shift);
  if (on_late)
    gst_util_set_object_arg (G_OBJECT (element->element), "on-late", on_late);
  g_object_set (element->element, "frames-in-flight", frames_in_flight, NULL);
  element_play (element, CAPS);
}

/* Frees what was got. */
static void
expect (char *got, const char *wanted)
{
  g_assert_cmpstr (got, ==, wanted);
  g_free (got);
}

/* Dropped: the next frame is marked, each is told of; a flush forgives and counts anew. */
static void
test_drop (void)
{
  GstSegment segment;
  Element element;

  start_gray (&element, "drop", 0);
  expect (push_and_see (&element, 0, 1), "ss");
  send_qos (&element, GST_QOS_TYPE_UNDERFLOW, 1, 0.8); /* up to 1.05 s */
  expect (push_and_see (&element, 2, 6), "---Ss");
  for (guint i = 0; i < 3; i++)
    check_qos_message (&element, 2 + i, 1.05 - (2 + i) / 4., 1000000, 2, i + 1);
  check_stats (&element, 4, 0, 3, 3);
  send_qos (&element, GST_QOS_TYPE_UNDERFLOW, 6, 100);
  gst_harness_push_event (element.harness, gst_event_new_flush_start ());
  gst_harness_push_event (element.harness, gst_event_new_flush_stop (TRUE));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (element.harness, gst_event_new_segment (&segment));
  expect (push_and_see (&element, 7, 8), "ss");
  element_assert_no_message (&element, GST_MESSAGE_QOS | GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
  element_clear (&element);
}

/* The default. Handed on as they are, and so is what comes in the next second; where that did not help, in the
 * next two, and so on; where it did, a second again. */
static void
test_passthrough (void)
{
  Element element;

  start_gray (&element, NULL, 0);
  expect (push_and_see (&element, 0, 1), "ss");
  element_assert_no_message (&element, GST_MESSAGE_QOS | GST_MESSAGE_WARNING);
  send_qos (&element, GST_QOS_TYPE_UNDERFLOW, 1, 0.8); /* up to 1.05 s: until 2 s */
  expect (push_and_see (&element, 2, 9), "bbbbbbss");
  check_stats (&element, 4, 6, 3, 0);
  check_qos_message (&element, 2, 0.55, 0, 2, 0);
  element_assert_message (
      &element, GST_MESSAGE_WARNING, GST_CORE_ERROR, GST_CORE_ERROR_CLOCK, "on-late=process");
  check_qos_message (&element, 8, -0.95, 1000000, 2, 0);
  send_qos (&element, GST_QOS_TYPE_UNDERFLOW, 9, 0.3); /* up to 2.55 s: 2 s more */
  expect (push_and_see (&element, 10, 19), "bbbbbbbbss");
  send_qos (&element, GST_QOS_TYPE_UNDERFLOW, 19, 0.3); /* up to 5.05 s: 4 s more */
  expect (push_and_see (&element, 20, 37), "bbbbbbbbbbbbbbbbss");
  g_free (push_and_see (&element, 38, 60)); /* all is well for more than 4 s */
  send_qos (&element, GST_QOS_TYPE_UNDERFLOW, 60, 0.3); /* a second again */
  expect (push_and_see (&element, 61, 66), "bbbbss");
  send_qos (&element, GST_QOS_TYPE_OVERFLOW, 66, -16); /* early */
  expect (push_and_see (&element, 67, 68), "ss");
  element_assert_no_message (&element, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
  element_clear (&element);
}

/* Never more than half a minute between two attempts, however often they fail. */
static void
test_longest_rest (void)
{
  Element element;
  guint attempts = 0, since = 0, longest = 0;

  start_gray (&element, NULL, 0);
  for (guint i = 0; i < 1200; i++) {
    g_autofree char *seen = push_and_see (&element, i, i);

    since++;
    if (*seen == 's') {
      longest = MAX (longest, since);
      since = 0;
      attempts++;
      send_qos (&element, GST_QOS_TYPE_UNDERFLOW, i, 0.3);
    }
  }
  g_test_message ("%u attempts in 300 s", attempts);
  g_assert_cmpuint (attempts, >=, 10);
  g_assert_cmpuint (attempts, <=, 16);
  g_assert_cmpuint (longest, <=, 33 * 4);
  element_clear (&element);
}

/* All deblurred, late or not; with qos=false, and of throttled frames, nothing is said. */
static void
test_not_late (void)
{
  for (int mode = 0; mode < 3; mode++) {
    Element element;

    start_gray (&element, mode == 0 ? "process" : mode == 1 ? "drop" : "passthrough", 0);
    g_object_set (element.element, "qos", mode != 1, NULL);
    expect (push_and_see (&element, 0, 1), "ss");
    send_qos (&element, mode == 2 ? GST_QOS_TYPE_THROTTLE : GST_QOS_TYPE_UNDERFLOW, 1, 0.8);
    expect (push_and_see (&element, 2, 6), mode == 2 ? "bbbss" : "sssss");
    g_assert_cmpfloat (element_stat (&element, "late"), ==, mode == 1 ? 0 : 3);
    element_assert_no_message (&element, GST_MESSAGE_QOS | GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
    element_clear (&element);
  }
}

static GstPadProbeReturn
count_qos (GstPad *pad, GstPadProbeInfo *info, gpointer count)
{
  (void) pad;
  if (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) == GST_EVENT_QOS)
    ++*(guint *) count;
  return GST_PAD_PROBE_OK;
}

/* Upstream hears of lateness too: a decoder may be what is slow. */
static void
test_qos_upstream (void)
{
  Element element;
  guint count = 0;

  start_gray (&element, NULL, 0);
  gst_pad_add_probe (element.harness->srcpad, GST_PAD_PROBE_TYPE_EVENT_UPSTREAM, count_qos, &count, NULL);
  send_qos (&element, GST_QOS_TYPE_UNDERFLOW, 0, 0.3);
  g_assert_cmpuint (count, ==, 1);
  element_clear (&element);
}

/* LATENCY: upstream's, the measured time of a frame, and frames in flight; a live pipeline is told to ask again,
 * once. */
static void
test_latency (void)
{
  for (guint mode = 0; mode < 4; mode++) {
    gboolean live = mode & 1;
    guint in_flight = mode & 2;
    GstClockTime before, after, least = 10 * GST_MSECOND + in_flight * GST_SECOND / 4;
    guint messages = 0;
    GstMessage *message;
    Element element;

    start_gray (&element, NULL, in_flight);
    gst_harness_set_live (element.harness, live);
    gst_harness_set_upstream_latency (element.harness, 10 * GST_MSECOND);
    before = gst_harness_query_latency (element.harness);
    g_assert_cmpuint (before, ==, least);
    for (guint i = 0; i < 6; i++)
      g_assert_cmpint (gst_harness_push (element.harness, gray_buffer (i)), ==, GST_FLOW_OK);
    gst_harness_push_event (element.harness, gst_event_new_eos ());
    after = gst_harness_query_latency (element.harness);
    g_assert_cmpuint (after, >=, before + !in_flight);
    g_assert_cmpuint (after, <, 60 * GST_SECOND);
    while ((message = gst_bus_pop_filtered (element.bus, GST_MESSAGE_LATENCY))) {
      messages++;
      gst_message_unref (message);
    }
    g_test_message ("live %d, %u in flight: %" GST_TIME_FORMAT ", %u messages", live, in_flight,
        GST_TIME_ARGS (after), messages);
    g_assert_true (live || !messages);
    element_clear (&element);
  }
}

/* A live pipeline is told once the first frame has taken its time, four tiles' of a network that is not tiny. */
static void
test_latency_message (void)
{
  g_autofree char *weights = element_weights_identity (8);
  g_autoptr (GstMessage) message = NULL;
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, 800 * 512, NULL);
  Element element;

  gst_buffer_memset (buffer, 0, GRAY, 800 * 512);
  element_init (&element, weights);
  element_play (&element, "video/x-raw, format=GRAY8, width=800, height=512, framerate=25/1");
  gst_harness_set_live (element.harness, TRUE);
  g_assert_cmpuint (gst_harness_query_latency (element.harness), ==, 0);
  g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
  message = gst_bus_pop_filtered (element.bus, GST_MESSAGE_LATENCY);
  g_assert_nonnull (message);
  g_assert_cmpuint (gst_harness_query_latency (element.harness), >, 5 * GST_MSECOND);
  element_clear (&element);
}

/* What comes out, in order: frames as their offset and first sample, events as their type. */
static GstPadProbeReturn
record (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  GString *seen = data;

  (void) pad;
  if (GST_PAD_PROBE_INFO_TYPE (info) & GST_PAD_PROBE_TYPE_BUFFER) {
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);

    g_string_append_printf (seen, "%d:%d:%" G_GSIZE_FORMAT "%s ", (int) GST_BUFFER_OFFSET (buffer),
        first_sample (buffer), gst_buffer_get_size (buffer), GST_BUFFER_IS_DISCONT (buffer) ? "D" : "");
  } else {
    g_string_append_printf (seen, "%s ", GST_EVENT_TYPE_NAME (GST_PAD_PROBE_INFO_EVENT (info)));
  }
  return GST_PAD_PROBE_OK;
}

/* One random step of what upstream may do. Frames are 16 pixels high and at least as wide. */
static void
random_step (Element *element, GRand *random, int *width, guint *frame)
{
  GstSegment segment;

  switch (g_rand_int_range (random, 0, 24)) {
  case 0: {
    g_autofree char *text = NULL;
    GstCaps *caps;

    *width = g_rand_int_range (random, 4, 7) * 4;
    text = g_strdup_printf (
        "video/x-raw, format=GRAY8, width=%d, height=16, framerate=%d/1", *width, g_rand_int_range (random, 4, 9));
    caps = gst_caps_from_string (text);
    gst_harness_push_event (element->harness, gst_event_new_caps (caps));
    gst_caps_unref (caps);
    break;
  }
  case 1:
    gst_segment_init (&segment, GST_FORMAT_TIME);
    segment.base = *frame;
    gst_harness_push_event (element->harness, gst_event_new_segment (&segment));
    break;
  case 2:
    gst_harness_push_event (element->harness, gst_event_new_gap (*frame * GST_SECOND, GST_SECOND));
    break;
  case 3:
    gst_harness_push_event (element->harness, gst_event_new_tag (gst_tag_list_new_empty ()));
    break;
  case 4:
    gst_harness_push_event (element->harness,
        gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty ("test")));
    break;
  case 5:
    g_object_set (element->element, "strength", g_rand_int_range (random, 0, 3) / 2., NULL);
    break;
  case 6:
    gst_pad_push_event (element->harness->sinkpad, gst_event_new_reconfigure ());
    break;
  case 7: /* side by side or not: caps that change downstream alone */
    g_object_set (element->element, "compare", g_rand_int_range (random, 0, 3), NULL);
    break;
  default: {
    GstBuffer *buffer = gst_buffer_new_allocate (NULL, *width * 16, NULL);

    gst_buffer_memset (buffer, 0, GRAY + *frame % 50, *width * 16);
    GST_BUFFER_PTS (buffer) = *frame * GST_SECOND;
    GST_BUFFER_OFFSET (buffer) = *frame;
    if (g_rand_int_range (random, 0, 10) == 0)
      GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_GAP);
    if (g_rand_int_range (random, 0, 10) == 0)
      GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_DISCONT);
    g_assert_cmpint (gst_harness_push (element->harness, buffer), ==, GST_FLOW_OK);
    ++*frame;
  }
  }
}

static char *
run_script (guint seed, guint frames_in_flight, guint frames)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  GString *seen = g_string_new (NULL);
  int width = 16;
  guint frame = 0, received;
  Element element;

  start_gray (&element, NULL, frames_in_flight);
  gst_pad_add_probe (element.harness->sinkpad,
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, record, seen, NULL);
  while (frame < frames) {
    received = gst_harness_buffers_received (element.harness);
    g_assert_cmpuint (frame - received, <=, frames_in_flight);
    random_step (&element, random, &width, &frame);
    if (g_rand_int_range (random, 0, 20) == 0) {
      g_autoptr (GstQuery) query = gst_query_new_drain ();

      gst_pad_peer_query (element.harness->srcpad, query);
      g_assert_cmpuint (gst_harness_buffers_received (element.harness), ==, frame);
    }
  }
  gst_harness_push_event (element.harness, gst_event_new_eos ());
  g_assert_cmpuint (gst_harness_buffers_received (element.harness), ==, frames);
  g_assert_cmpfloat (element_stat (&element, "frames") + element_stat (&element, "passed-through"), ==, frames);
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
  return g_string_free (seen, FALSE);
}

/* Whatever upstream does, the same comes out in the same order as without frames in flight. */
static void
test_order (void)
{
  static const guint in_flight[] = { 1, 2, 7 };

  for (guint seed = 0; seed < 5; seed++) {
    g_autofree char *wanted = run_script (seed, 0, 40);
    g_autofree char *got = run_script (seed, in_flight[seed % G_N_ELEMENTS (in_flight)], 40);

    g_test_message ("seed %u, %u in flight", seed, in_flight[seed % G_N_ELEMENTS (in_flight)]);
    g_assert_cmpstr (got, ==, wanted);
  }
}

/* Frames are there before the next ones have come; late ones keep their place, too. */
static void
test_in_flight (void)
{
  GString *seen = g_string_new (NULL);
  Element element;

  start_gray (&element, "drop", 3);
  gst_pad_add_probe (element.harness->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, record, seen, NULL);
  for (guint i = 0; i < 10; i++) {
    g_assert_cmpint (gst_harness_push (element.harness, gray_buffer (i)), ==, GST_FLOW_OK);
    g_assert_cmpuint (gst_harness_buffers_received (element.harness) + 3 + (i > 5 ? 2 : 0), >=, i + 1);
    if (i == 5)
      send_qos (&element, GST_QOS_TYPE_UNDERFLOW, 5, 0.6); /* frames 6 and 7 */
    if (i == 7)
      gst_util_set_object_arg (G_OBJECT (element.element), "on-late", "passthrough");
  }
  gst_harness_push_event (element.harness, gst_event_new_eos ());
  expect (g_string_free (seen, FALSE), "0:120:256 1:120:256 2:120:256 3:120:256 4:120:256 5:120:256 8:120:256D 9:120:256 ");
  check_stats (&element, 8, 0, 2, 2);
  element_clear (&element);
}

/* SHA-256 of what comes out of random frames, progressive and interlaced, by two networks in turn; g_free. */
static char *
digest_of_pictures (char *const weights[2], guint frames_in_flight)
{
  const DuFrameInfo info = { .format = DU_FORMAT_I420, .width = 48, .height = 36 }; /* without padding, which nobody writes */
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  GstCaps *caps = element_caps (info.format, info.width, info.height, NULL);
  Element element;
  GstBuffer *buffer;
  guint n = 0;

  gst_caps_set_simple (caps, "interlace-mode", G_TYPE_STRING, "mixed", NULL);
  element_init (&element, weights[0]);
  g_object_set (element.element, "frames-in-flight", frames_in_flight, NULL);
  element_play (&element, NULL);
  gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
  for (guint i = 0; i < 24; i++) {
    TestFrame frame;

    test_frame_init_random (&frame, &info, i);
    buffer = element_buffer_from (&frame, caps);
    test_frame_clear (&frame);
    if (i % 3 == 0)
      GST_BUFFER_FLAG_SET (buffer, GST_VIDEO_BUFFER_FLAG_INTERLACED);
    g_object_set (element.element, "weights", weights[i / 5 % 2], "strength", 0.5 + i % 4 / 8., NULL);
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
  }
  gst_harness_push_event (element.harness, gst_event_new_eos ());
  for (; (buffer = gst_harness_try_pull (element.harness)); n++) {
    GstMapInfo map;

    g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
    g_assert_cmpuint (map.size, ==, 48 * 36 * 3 / 2);
    g_checksum_update (checksum, map.data, (gssize) map.size);
    gst_buffer_unmap (buffer, &map);
    gst_buffer_unref (buffer);
  }
  g_assert_cmpuint (n, ==, 24);
  gst_caps_unref (caps);
  element_clear (&element);
  return g_strdup (g_checksum_get_string (checksum));
}

/* Several frames at a time are, bit for bit, what they are one by one. */
static void
test_pictures (void)
{
  char *weights[2] = { element_weights_noise (1), element_weights_noise (2) };
  g_autofree char *wanted = digest_of_pictures (weights, 0);

  for (guint in_flight = 1; in_flight <= 4; in_flight += 3) {
    g_autofree char *got = digest_of_pictures (weights, in_flight);

    g_assert_cmpstr (got, ==, wanted);
  }
  g_free (weights[0]);
  g_free (weights[1]);
}

/* A player asks where it is: at the end of the last frame that came out, not of one on its way. */
static void
test_position (void)
{
  for (guint in_flight = 0; in_flight <= 2; in_flight += 2) {
    gint64 position = -1;
    guint received;
    Element element;

    start_gray (&element, NULL, in_flight);
    for (guint i = 0; i < 6; i++)
      g_assert_cmpint (gst_harness_push (element.harness, gray_buffer (i)), ==, GST_FLOW_OK);
    received = gst_harness_buffers_received (element.harness);
    g_assert_cmpuint (received, >=, 6 - in_flight);
    g_assert_true (gst_pad_peer_query_position (element.harness->sinkpad, GST_FORMAT_TIME, &position));
    g_assert_cmpint (position, ==, received * GST_SECOND / 4);
    element_clear (&element);
  }
}

/* From one value at the first frame to another after ten seconds. */
static void
control (Element *element, const char *property, double from, double to)
{
  GstControlSource *source = gst_interpolation_control_source_new ();

  g_object_set (source, "mode", GST_INTERPOLATION_MODE_LINEAR, NULL);
  gst_timed_value_control_source_set (GST_TIMED_VALUE_CONTROL_SOURCE (source), 0, from);
  gst_timed_value_control_source_set (GST_TIMED_VALUE_CONTROL_SOURCE (source), 10 * GST_SECOND, to);
  gst_object_add_control_binding (GST_OBJECT (element->element),
      gst_direct_control_binding_new (GST_OBJECT (element->element), property, source));
  gst_object_unref (source);
}

/* Each frame in flight keeps the strength and the split-position of its own time. */
static void
test_controllers (void)
{
  Element element;
  GstBuffer *buffer;
  int n = 0;

  start_gray (&element, NULL, 3);
  gst_util_set_object_arg (G_OBJECT (element.element), "compare", "split");
  control (&element, "strength", 0, 1);
  control (&element, "split-position", 1, 0);
  for (guint i = 0; i <= 40; i++)
    g_assert_cmpint (gst_harness_push (element.harness, gray_buffer (i)), ==, GST_FLOW_OK);
  gst_harness_push_event (element.harness, gst_event_new_eos ());
  for (; (buffer = gst_harness_try_pull (element.harness)); n++) {
    double share = n / 40.;
    guint8 line[16];

    gst_buffer_extract (buffer, 0, line, sizeof line);
    for (int x = 0; x < 16; x++) {
      int from_split = x - (int) ((1 - share) * 16);

      if (n == 0 || from_split < -2)
        g_assert_cmpint (line[x], ==, GRAY);
      else if (from_split > 3)
        g_assert_cmpfloat_with_epsilon (line[x], GRAY + share * SHIFT, 0.51);
    }
    gst_buffer_unref (buffer);
  }
  g_assert_cmpint (n, ==, 41);
  element_clear (&element);
}

/* A frame that is broken, with others before and after it in flight: those before come out, none after. */
static void
test_error_in_flight (void)
{
  for (int at_end = 0; at_end < 2; at_end++) {
    GstFlowReturn flow = GST_FLOW_OK;
    Element element;

    start_gray (&element, NULL, 3);
    for (guint i = 0; i < 2; i++)
      g_assert_cmpint (gst_harness_push (element.harness, gray_buffer (i)), ==, GST_FLOW_OK);
    gst_harness_push (element.harness, gst_buffer_new_allocate (NULL, 255, NULL));
    for (guint i = 3; !at_end && i < 8 && flow == GST_FLOW_OK; i++)
      flow = gst_harness_push (element.harness, gray_buffer (i));
    gst_harness_push_event (element.harness, gst_event_new_eos ());
    g_assert_cmpint (flow, ==, at_end ? GST_FLOW_OK : GST_FLOW_ERROR);
    g_assert_cmpuint (gst_harness_buffers_received (element.harness), ==, 2);
    element_assert_message (&element, GST_MESSAGE_ERROR, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT, "GRAY8");
    element_assert_no_message (&element, GST_MESSAGE_ERROR);
    element_clear (&element);
  }
}

static GstFlowReturn wanted_flow;

static GstFlowReturn
take_three (GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
  guint64 offset = GST_BUFFER_OFFSET (buffer);

  (void) pad;
  (void) parent;
  gst_buffer_unref (buffer);
  return offset < 3 ? GST_FLOW_OK : wanted_flow;
}

/* What downstream answers travels upstream, no later than so many frames after. */
static void
test_flow_returns (void)
{
  static const GstFlowReturn flows[] = { GST_FLOW_EOS, GST_FLOW_NOT_LINKED, GST_FLOW_ERROR, GST_FLOW_FLUSHING,
    GST_FLOW_CUSTOM_ERROR };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (flows); i++) {
    guint in_flight = i & 1 ? 2 : 0, pushed = 0;
    GstFlowReturn flow = GST_FLOW_OK;
    Element element;

    wanted_flow = flows[i / 2];
    start_gray (&element, NULL, in_flight);
    gst_pad_set_chain_function (element.harness->sinkpad, take_three);
    while (flow == GST_FLOW_OK && pushed < 20)
      flow = gst_harness_push (element.harness, gray_buffer (pushed++));
    g_assert_cmpint (flow, ==, wanted_flow);
    g_assert_cmpuint (pushed, >=, 4);
    g_assert_cmpuint (pushed, <=, 4 + in_flight);
    element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
    element_clear (&element);
  }
}

/* Downstream offers a pool of two buffers, and keeps one. */
static GstPadProbeReturn
offer_pool (GstPad *pad, GstPadProbeInfo *probe, gpointer data)
{
  GstQuery *query = GST_PAD_PROBE_INFO_QUERY (probe);
  GstBufferPool *pool;
  GstStructure *config;
  GstCaps *caps;

  (void) pad;
  (void) data;
  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return GST_PAD_PROBE_OK;
  gst_query_parse_allocation (query, &caps, NULL);
  pool = gst_video_buffer_pool_new ();
  config = gst_buffer_pool_get_config (pool);
  gst_buffer_pool_config_set_params (config, caps, 256, 2, 2);
  g_assert_true (gst_buffer_pool_set_config (pool, config));
  gst_query_add_allocation_pool (query, pool, 256, 2, 2);
  gst_object_unref (pool);
  return GST_PAD_PROBE_HANDLED;
}

static GstFlowReturn
keep_last (GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
  (void) parent;
  g_object_set_data_full (G_OBJECT (pad), "last", buffer, (GDestroyNotify) gst_buffer_unref);
  return GST_FLOW_OK;
}

static void
test_small_pool (void)
{
  Element element;
  GstPad *pad;

  element_init (&element, shift);
  g_object_set (element.element, "frames-in-flight", 5, NULL);
  element_play (&element, NULL);
  gst_pad_set_chain_function (element.harness->sinkpad, keep_last);
  pad = gst_element_get_static_pad (element.element, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, offer_pool, NULL, NULL);
  gst_object_unref (pad);
  gst_harness_set_src_caps_str (element.harness, CAPS);
  for (guint i = 0; i < 20; i++)
    g_assert_cmpint (gst_harness_push (element.harness, gray_buffer (i)), ==, GST_FLOW_OK);
  gst_harness_push_event (element.harness, gst_event_new_eos ());
  g_assert_cmpuint (
      GST_BUFFER_OFFSET (g_object_get_data (G_OBJECT (element.harness->sinkpad), "last")), ==, 19);
  g_object_set_data (G_OBJECT (element.harness->sinkpad), "last", NULL);
  element_clear (&element);
}

/* Upstream hears that so many of its buffers will be kept. */
static void
test_proposed_pool (void)
{
  g_autoptr (GstQuery) query = NULL;
  GstCaps *caps = gst_caps_from_string (CAPS);
  guint size, least, most;
  Element element;

  start_gray (&element, NULL, 5);
  query = gst_query_new_allocation (caps, TRUE);
  g_assert_true (gst_pad_peer_query (element.harness->srcpad, query));
  gst_query_parse_nth_allocation_pool (query, 0, NULL, &size, &least, &most);
  g_assert_cmpuint (least, >=, 5);
  g_assert_true (most == 0 || most >= least);
  gst_caps_unref (caps);
  element_clear (&element);
}

int
main (int argc, char **argv)
{
  int result;

  element_tests_init (&argc, &argv);
  shift = element_weights_shift (SHIFT / 255., SHIFT / 255., SHIFT / 255.);
  g_test_add_func ("/element/live/drop", test_drop);
  g_test_add_func ("/element/live/passthrough", test_passthrough);
  g_test_add_func ("/element/live/longest-rest", test_longest_rest);
  g_test_add_func ("/element/live/not-late", test_not_late);
  g_test_add_func ("/element/live/qos-upstream", test_qos_upstream);
  g_test_add_func ("/element/live/latency", test_latency);
  g_test_add_func ("/element/live/latency-message", test_latency_message);
  g_test_add_func ("/element/live/order", test_order);
  g_test_add_func ("/element/live/in-flight", test_in_flight);
  g_test_add_func ("/element/live/pictures", test_pictures);
  g_test_add_func ("/element/live/position", test_position);
  g_test_add_func ("/element/live/controllers", test_controllers);
  g_test_add_func ("/element/live/error-in-flight", test_error_in_flight);
  g_test_add_func ("/element/live/flow-returns", test_flow_returns);
  g_test_add_func ("/element/live/small-pool", test_small_pool);
  g_test_add_func ("/element/live/proposed-pool", test_proposed_pool);
  result = element_tests_run ();
  g_free (shift);
  return result;
}

/* The element's life: started and stopped again and again, many at once, storms of events and of properties.
 * DEBLURUNET_TEST_CYCLES=1000 makes it long.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define CAPS "video/x-raw, format=NV12, width=30, height=22, framerate=25/1"

static char *identity;

/* In PLAYING, with so many frames in flight. */
static void
start_element (Element *element, const char *caps, guint frames_in_flight)
{
  element_init (element, identity);
  g_object_set (element->element, "frames-in-flight", frames_in_flight, NULL);
  element_play (element, caps);
}

static int
cycles (int usual)
{
  const char *text = g_getenv ("DEBLURUNET_TEST_CYCLES");

  return text ? atoi (text) : usual;
}

static GstBuffer *
new_buffer (void)
{
  GstCaps *caps = gst_caps_from_string (CAPS);
  GstVideoInfo info;
  GstBuffer *buffer;

  gst_video_info_from_caps (&info, caps);
  gst_caps_unref (caps);
  buffer = gst_buffer_new_allocate (NULL, info.size, NULL);
  gst_buffer_memset (buffer, 0, 60, info.size);
  return buffer;
}

static void
push_frames (GstHarness *harness, int n)
{
  for (int i = 0; i < n; i++) {
    GstBuffer *buffer;

    g_assert_cmpint (gst_harness_push (harness, new_buffer ()), ==, GST_FLOW_OK);
    while ((buffer = gst_harness_try_pull (harness)))
      gst_buffer_unref (buffer);
  }
}

/* Resident memory, in kilobytes, after a first part of a test to warm up, and two more. */
typedef struct
{
  gsize resident[3];
} Growth;

static void
growth_watch (Growth *growth, int i, int n)
{
  for (int part = 0; part < 3; part++)
    if (i == MAX (1, n * (part + 1) / 3) - 1)
      growth->resident[part] = element_resident ();
}

/* Fails where memory has grown by more than is allowed in each part: what comes once is no leak. */
static void
growth_check (const Growth *growth, const char *what, gsize allowed)
{
  const gsize *resident = growth->resident;

  g_test_message ("%s: %" G_GSIZE_FORMAT " kB, then %" G_GSIZE_FORMAT " and %" G_GSIZE_FORMAT " kB resident", what,
      resident[0], resident[1], resident[2]);
  if (!element_memory_is_watched () && resident[1] > resident[0] + allowed)
    g_assert_cmpuint (resident[2], <=, resident[1] + allowed);
}

/* NULL to PLAYING and back with frames flowing, one element and one element each time. */
static void
test_states (void)
{
  int n = cycles (200);
  GstCaps *caps = gst_caps_from_string (CAPS);
  Growth growth = { { 0 } };
  Element element;

  start_element (&element, CAPS, 2);
  for (int i = 0; i < n; i++) {
    GstSegment segment;
    GstEvent *event;

    push_frames (element.harness, 1);
    g_assert_cmpint (gst_element_set_state (element.element, GST_STATE_NULL), ==, GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (
        gst_element_set_state (element.element, GST_STATE_PLAYING), ==, GST_STATE_CHANGE_SUCCESS);
    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_harness_push_event (element.harness, gst_event_new_stream_start ("again"));
    gst_harness_push_event (element.harness, gst_event_new_caps (caps));
    gst_harness_push_event (element.harness, gst_event_new_segment (&segment));
    while ((event = gst_harness_try_pull_event (element.harness)))
      gst_event_unref (event); /* which the harness would keep */
    element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING); /* empties the bus */
    growth_watch (&growth, i, n);
  }
  gst_caps_unref (caps);
  growth_check (&growth, "one element", 256);
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
  for (int i = 0; i < n; i++) {
    start_element (&element, CAPS, i % 3);
    push_frames (element.harness, 1 + i % 5);
    element_clear (&element);
    growth_watch (&growth, i, n);
  }
  growth_check (&growth, "new elements", 256);
}

/* Frames by the hundred, their caps and weights changing all the time. */
static void
test_many_frames (void)
{
  static const char *const caps[] = { CAPS, "video/x-raw, format=NV12, width=30, height=22, framerate=30/1" };
  int n = cycles (150);
  Growth growth = { { 0 } };
  Element element;

  start_element (&element, NULL, 1);
  for (int i = 0; i < n; i++) {
    gst_harness_set_src_caps_str (element.harness, caps[i / 3 % 2]);
    if (i % 10 == 0)
      g_object_set (element.element, "weights", identity, NULL);
    push_frames (element.harness, 1);
    growth_watch (&growth, i, n);
  }
  growth_check (&growth, "frames", 1024);
  gst_harness_push_event (element.harness, gst_event_new_eos ());
  g_assert_cmpfloat (element_stat (&element, "frames"), ==, n);
  element_clear (&element);
}

/* A file that is written anew and loaded again and again while frames flow: the old weights go. */
static void
test_swaps (void)
{
  g_autofree char *path = element_path ("swapped.safetensors");
  g_autofree char *wide = element_weights_identity (8); /* 2 MB */
  g_autofree char *data = NULL;
  int n = cycles (30);
  Growth growth = { { 0 } };
  gsize size;
  Element element;

  g_assert_true (g_file_get_contents (wide, &data, &size, NULL));
  start_element (&element, CAPS, 1);
  for (int i = 0; i < n; i++) {
    g_assert_true (g_file_set_contents (path, data, size, NULL));
    g_object_set (element.element, "weights", path, NULL);
    push_frames (element.harness, 1);
    growth_watch (&growth, i, n);
  }
  growth_check (&growth, "weights", 8 * 1024); /* where old weights stay: 20 MB */
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
}

/* 16 elements take little more memory than one: the weights are shared. */
static void
test_sharing (void)
{
  g_autofree char *published = element_weights_identity (32);
  Element elements[16];
  gsize one = 0, all;

  for (guint i = 0; i < G_N_ELEMENTS (elements); i++) {
    element_init (&elements[i], published);
    g_assert_cmpint (
        gst_element_set_state (elements[i].element, GST_STATE_PAUSED), !=, GST_STATE_CHANGE_FAILURE);
    if (i == 0)
      one = element_resident ();
  }
  all = element_resident ();
  g_test_message ("1 and 16 elements of 31 MB of weights: %" G_GSIZE_FORMAT " kB, then %" G_GSIZE_FORMAT
                  " kB resident",
      one, all);
  if (!element_memory_is_watched ())
    g_assert_cmpuint (all, <=, one + 31 * 1024);
  for (guint i = 0; i < G_N_ELEMENTS (elements); i++)
    element_clear (&elements[i]);
}

typedef struct
{
  GstHarness *harness;
  guint limit, tried; /* frames; the n-th tried has the offset n */
  int pushed, flushed, stop; /* atomic */
  GMutex lock; /* held while a frame or an event that is in order with frames is pushed */
} Pusher;

static gpointer
push_many (gpointer data)
{
  Pusher *pusher = data;

  while ((guint) g_atomic_int_get (&pusher->pushed) < pusher->limit && !g_atomic_int_get (&pusher->stop)) {
    GstBuffer *buffer = new_buffer ();
    GstFlowReturn flow;

    GST_BUFFER_OFFSET (buffer) = ++pusher->tried;
    g_mutex_lock (&pusher->lock);
    flow = gst_harness_push (pusher->harness, buffer);
    g_mutex_unlock (&pusher->lock);
    if (flow == GST_FLOW_OK)
      g_atomic_int_inc (&pusher->pushed);
    else if (flow == GST_FLOW_FLUSHING)
      g_atomic_int_inc (&pusher->flushed), g_usleep (300);
    else
      g_error ("flow %s", gst_flow_get_name (flow));
  }
  return NULL;
}

/* Waits, where asked to, until the other thread has had its turn. */
static void
wait_for_more (gboolean wait, int *count)
{
  int before = g_atomic_int_get (count);

  while (wait && g_atomic_int_get (count) == before)
    g_usleep (100);
}

/* Flushes from another thread, without pause: what is not flushed comes out, in order. */
static void
test_flushes (void)
{
  for (guint in_flight = 0; in_flight < 4; in_flight += 3) {
    Element element;
    Pusher pusher = { .limit = G_MAXUINT };
    GThread *thread;
    GstSegment segment;
    GstBuffer *buffer;
    guint64 last = 0;

    start_element (&element, CAPS, in_flight);
    pusher.harness = element.harness;
    gst_segment_init (&segment, GST_FORMAT_TIME);
    thread = g_thread_new ("push", push_many, &pusher);
    for (int i = 0; i < 40; i++) {
      gst_harness_push_event (element.harness, gst_event_new_flush_start ());
      g_usleep (i % 3 * 500);
      wait_for_more (i % 8 == 1, &pusher.flushed);
      g_mutex_lock (&pusher.lock);
      gst_harness_push_event (element.harness, gst_event_new_flush_stop (TRUE));
      gst_harness_push_event (element.harness, gst_event_new_segment (&segment));
      g_mutex_unlock (&pusher.lock);
      g_usleep (i % 7 * 3000);
      wait_for_more (i % 8 == 5, &pusher.pushed);
    }
    g_atomic_int_set (&pusher.stop, TRUE);
    g_thread_join (thread);
    g_test_message ("%u in flight: %d frames pushed, %d flushed", in_flight, pusher.pushed, pusher.flushed);
    /* A push during which the flush begins may say so although its frame came out. */
    g_assert_cmpint (gst_harness_buffers_received (element.harness), <=, pusher.pushed + pusher.flushed);
    element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
    buffer = new_buffer ();
    GST_BUFFER_OFFSET (buffer) = ++pusher.tried;
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
    gst_harness_push_event (element.harness, gst_event_new_eos ());
    while ((buffer = gst_harness_try_pull (element.harness))) {
      g_assert_cmpuint (GST_BUFFER_OFFSET (buffer), >, last);
      last = GST_BUFFER_OFFSET (buffer);
      gst_buffer_unref (buffer);
    }
    g_assert_cmpuint (last, ==, pusher.tried);
    element_clear (&element);
  }
}

/* Every property set and read from another thread while frames flow: N in, N out. */
static void
test_properties (void)
{
  g_autofree char *other = element_weights_identity (2);
  Element element;
  Pusher pusher = { .limit = 60 };
  GThread *thread;

  start_element (&element, CAPS, 2);
  pusher.harness = element.harness;
  thread = g_thread_new ("push", push_many, &pusher);
  for (int i = 0; i < 400; i++) {
    g_autoptr (GstStructure) stats = NULL;
    g_autofree char *weights = NULL;
    double strength;

    g_object_set (element.element, "strength", i % 11 / 10., "split-position", i % 7 / 6., "compare", i % 2,
        "overlap", i % 129, "batch", i % 3, "threads", i % 3, NULL);
    if (i % 20 == 0)
      g_object_set (element.element, "weights", i % 40 ? other : identity, NULL);
    g_object_get (element.element, "stats", &stats, "weights", &weights, "strength", &strength, NULL);
    g_assert_cmpfloat (strength, ==, i % 11 / 10.);
    g_assert_nonnull (gst_structure_get_string (stats, "weights"));
    g_usleep (500);
  }
  g_thread_join (thread);
  gst_harness_push_event (element.harness, gst_event_new_eos ());
  g_assert_cmpint (pusher.pushed, ==, 60);
  g_assert_cmpuint (gst_harness_buffers_received (element.harness), ==, 60);
  g_assert_cmpfloat (element_stat (&element, "frames") + element_stat (&element, "passed-through"), ==, 60);
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
}

/* 16 elements at once, each in a thread of its own, with a session that all share, while the weights of some
 * are swapped for each other's: all frames of all come out, deblurred by one network or the other. */
static void
test_many_at_once (void)
{
  g_autofree char *other = element_weights_identity (2);
  Element elements[16];
  Pusher pushers[16] = { { 0 } };
  GThread *threads[16];

  for (guint i = 0; i < G_N_ELEMENTS (elements); i++) {
    start_element (&elements[i], CAPS, i % 3);
    pushers[i].harness = elements[i].harness;
    pushers[i].limit = 10;
    threads[i] = g_thread_new ("push", push_many, &pushers[i]);
  }
  for (guint i = 0; i < 60; i++) {
    g_object_set (elements[i % 7].element, "weights", i % 2 ? identity : other, NULL);
    g_usleep (300);
  }
  for (guint i = 0; i < G_N_ELEMENTS (elements); i++) {
    g_thread_join (threads[i]);
    gst_harness_push_event (elements[i].harness, gst_event_new_eos ());
    g_assert_cmpuint (gst_harness_buffers_received (elements[i].harness), ==, 10);
    g_assert_cmpfloat (element_stat (&elements[i], "frames"), ==, 10);
    element_assert_no_message (&elements[i], GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  }
  for (guint i = 0; i < G_N_ELEMENTS (elements); i++)
    element_clear (&elements[i]);
}

static gpointer
push_until_stopped (gpointer data)
{
  GstFlowReturn flow = GST_FLOW_OK;

  while (flow == GST_FLOW_OK)
    flow = gst_harness_push (data, new_buffer ());
  g_assert_cmpint (flow, ==, GST_FLOW_FLUSHING);
  return NULL;
}

/* To NULL while a frame is in the network or a weights file is being read. */
static void
test_stop_at_work (void)
{
  g_autofree char *published = element_weights_identity (32);

  for (int i = 0; i < 8; i++) {
    Element element;
    GThread *thread;

    start_element (&element, CAPS, i / 2 % 2 * 2);
    thread = g_thread_new ("push", push_until_stopped, element.harness);
    g_usleep (5000 * i);
    if (i % 2)
      g_object_set (element.element, "weights", published, NULL);
    g_usleep (5000);
    gst_element_set_state (element.element, GST_STATE_NULL);
    g_thread_join (thread);
    element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
    element_clear (&element);
  }
}

int
main (int argc, char **argv)
{
  int result;

#ifdef M_ARENA_MAX
  /* One heap for all threads: how many of its own the C library makes, some 5 MB each, is a matter of which threads
   * happen to be there at the same time. */
  mallopt (M_ARENA_MAX, 1);
#endif
  element_tests_init (&argc, &argv);
  identity = element_weights_identity (1);
  /* First: memory that other tests have given back would hide what it takes. */
  g_test_add_func ("/element/life/sharing", test_sharing);
  g_test_add_func ("/element/life/states", test_states);
  g_test_add_func ("/element/life/many-frames", test_many_frames);
  g_test_add_func ("/element/life/swaps", test_swaps);
  g_test_add_func ("/element/life/flushes", test_flushes);
  g_test_add_func ("/element/life/properties", test_properties);
  g_test_add_func ("/element/life/many-at-once", test_many_at_once);
  g_test_add_func ("/element/life/stop-at-work", test_stop_at_work);
  result = element_tests_run ();
  g_free (identity);
  return result;
}

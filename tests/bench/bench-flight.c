/* Frames in flight against none, in one run: frames go from a decoder through the element to an encoder that both
 * work in its streaming thread, each for so long as a share of what deblurring a frame takes. Prints milliseconds
 * a frame and the ratio to none in flight. The numbers take turns, so that what else the machine does falls on all.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <stdio.h>
#include <time.h>

static int frames = 8, rounds = 3, width = 640, height = 360, threads = 1;
static double share = 0.25;
static double busy_ms; /* of the decoder, and of the encoder, a frame */

static const guint in_flight[] = { 0, 1, 2, 4 };

static double
clock_ms (clockid_t clock)
{
  struct timespec time;

  clock_gettime (clock, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* The calling thread's own time. */
static void
be_busy (void)
{
  double end = clock_ms (CLOCK_THREAD_CPUTIME_ID) + busy_ms;

  while (clock_ms (CLOCK_THREAD_CPUTIME_ID) < end)
    ;
}

static GstFlowReturn
encode (GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
  (void) pad;
  (void) parent;
  be_busy ();
  gst_buffer_unref (buffer);
  return GST_FLOW_OK;
}

/* Milliseconds a frame, from the first to the last. */
static double
run (Element *element, const GstCaps *caps, int n)
{
  double start = clock_ms (CLOCK_MONOTONIC);
  GstVideoInfo info;

  g_assert_true (gst_video_info_from_caps (&info, caps));
  for (int i = 0; i < n; i++) {
    GstBuffer *buffer = gst_buffer_new_allocate (NULL, info.size, NULL);

    gst_buffer_memset (buffer, 0, 90, info.size);
    be_busy ();
    g_assert_cmpint (gst_harness_push (element->harness, buffer), ==, GST_FLOW_OK);
  }
  gst_harness_push_event (element->harness, gst_event_new_gap (0, GST_SECOND)); /* all are to come out */
  return (clock_ms (CLOCK_MONOTONIC) - start) / n;
}

static void
measure (void)
{
  g_autofree char *weights = element_weights_identity (32);
  GstCaps *caps = element_caps (DU_FORMAT_I420, width, height, NULL);
  Element elements[G_N_ELEMENTS (in_flight)];
  double least[G_N_ELEMENTS (in_flight)];

  for (guint i = 0; i < G_N_ELEMENTS (in_flight); i++) {
    element_init (&elements[i], weights);
    g_object_set (elements[i].element, "threads", threads, "qos", FALSE, "frames-in-flight", in_flight[i], NULL);
    gst_util_set_object_arg (G_OBJECT (elements[i].element), "precision", "auto");
    element_play (&elements[i], NULL);
    gst_pad_set_chain_function (elements[i].harness->sinkpad, encode);
    gst_harness_set_src_caps (elements[i].harness, gst_caps_ref (caps));
    least[i] = G_MAXDOUBLE;
  }
  run (&elements[0], caps, 1); /* prepares */
  busy_ms = share * run (&elements[0], caps, 1);
  for (int round = 0; round < rounds; round++)
    for (guint i = 0; i < G_N_ELEMENTS (in_flight); i++)
      least[i] = MIN (least[i], run (&elements[i], caps, frames));
  printf ("%dx%d, %d threads, decoder and encoder %.0f ms a frame each\n", width, height, threads, busy_ms);
  for (guint i = 0; i < G_N_ELEMENTS (in_flight); i++) {
    printf ("%u in flight: %.0f ms a frame, %.2f of the time\n", in_flight[i], least[i], least[i] / least[0]);
    element_clear (&elements[i]);
  }
  gst_caps_unref (caps);
}

int
main (int argc, char **argv)
{
  static const GOptionEntry entries[] = {
    { "frames", 'f', 0, G_OPTION_ARG_INT, &frames, "Frames of a round", "N" },
    { "rounds", 'r', 0, G_OPTION_ARG_INT, &rounds, "Rounds of which the least time counts", "N" },
    { "width", 'w', 0, G_OPTION_ARG_INT, &width, "Of the frames, pixels", "N" },
    { "height", 'h', 0, G_OPTION_ARG_INT, &height, "Of the frames, pixels", "N" },
    { "threads", 't', 0, G_OPTION_ARG_INT, &threads, "CPU threads of the network, 0 = one per core", "N" },
    { "share", 's', 0, G_OPTION_ARG_DOUBLE, &share, "Time of decoder and encoder each, of deblurring's", "X" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    fprintf (stderr, "bench-flight: %s\n", error->message);
    return 2;
  }
  element_tests_init (&argc, &argv);
  g_test_add_func ("/bench/flight", measure);
  return element_tests_run ();
}

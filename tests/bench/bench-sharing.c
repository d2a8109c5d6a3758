/* Several elements in one process against one that does all their frames, in one run: they share the session,
 * so together they should take no longer. Prints wall-clock and CPU time of both, and the ratios. The two take
 * turns, so that what else the machine does falls on both.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <stdio.h>
#include <time.h>

enum
{
  ELEMENTS = 4,
};

static int frames = 3, rounds = 3, width = 640, height = 360, threads;

typedef struct
{
  double wall, cpu; /* milliseconds */
} Times;

static double
clock_ms (clockid_t clock)
{
  struct timespec time;

  clock_gettime (clock, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

typedef struct
{
  Element element;
  GstCaps *caps;
  int frames; /* to push */
} Pusher;

static gpointer
push (gpointer data)
{
  Pusher *pusher = data;

  for (int i = 0; i < pusher->frames; i++) {
    GstVideoInfo info;
    GstBuffer *buffer;

    g_assert_true (gst_video_info_from_caps (&info, pusher->caps));
    buffer = gst_buffer_new_allocate (NULL, info.size, NULL);
    gst_buffer_memset (buffer, 0, 90, info.size);
    g_assert_cmpint (gst_harness_push (pusher->element.harness, buffer), ==, GST_FLOW_OK);
    gst_buffer_unref (gst_harness_pull (pusher->element.harness));
  }
  return NULL;
}

/* All frames by so many elements, each in a thread of its own. */
static Times
run (Pusher *pushers, int elements, int frames_each)
{
  GThread *running[ELEMENTS];
  Times times = { -clock_ms (CLOCK_MONOTONIC), -clock_ms (CLOCK_PROCESS_CPUTIME_ID) };

  for (int i = 0; i < elements; i++) {
    pushers[i].frames = frames_each;
    running[i] = g_thread_new ("push", push, &pushers[i]);
  }
  for (int i = 0; i < elements; i++)
    g_thread_join (running[i]);
  times.wall += clock_ms (CLOCK_MONOTONIC);
  times.cpu += clock_ms (CLOCK_PROCESS_CPUTIME_ID);
  return times;
}

static void
least (Times *times, Times another)
{
  times->wall = MIN (times->wall, another.wall);
  times->cpu = MIN (times->cpu, another.cpu);
}

static void
measure (void)
{
  g_autofree char *weights = element_weights_identity (32);
  Times one = { G_MAXDOUBLE, G_MAXDOUBLE }, several = one;
  Pusher pushers[ELEMENTS];

  for (int i = 0; i < ELEMENTS; i++) {
    Pusher *pusher = &pushers[i];

    pusher->caps = element_caps (DU_FORMAT_I420, width, height, NULL);
    element_init (&pusher->element, weights);
    g_object_set (pusher->element.element, "threads", threads, "qos", FALSE, NULL);
    gst_util_set_object_arg (G_OBJECT (pusher->element.element), "precision", "auto");
    element_play (&pusher->element, NULL);
    gst_harness_set_src_caps (pusher->element.harness, gst_caps_ref (pusher->caps));
  }
  run (pushers, ELEMENTS, 1); /* prepares */
  for (int round = 0; round < rounds; round++) {
    least (&one, run (pushers, 1, ELEMENTS * frames));
    least (&several, run (pushers, ELEMENTS, frames));
  }
  printf ("%d frames of %dx%d: one element %.0f ms (CPU %.0f), %d elements %.0f ms (CPU %.0f): %.3f times the "
          "time, %.3f times the CPU time\n",
      ELEMENTS * frames, width, height, one.wall, one.cpu, ELEMENTS, several.wall, several.cpu,
      several.wall / one.wall, several.cpu / one.cpu);
  for (int i = 0; i < ELEMENTS; i++) {
    gst_caps_unref (pushers[i].caps);
    element_clear (&pushers[i].element);
  }
}

int
main (int argc, char **argv)
{
  static const GOptionEntry entries[] = {
    { "frames", 'f', 0, G_OPTION_ARG_INT, &frames, "Frames of each element", "N" },
    { "rounds", 'r', 0, G_OPTION_ARG_INT, &rounds, "Rounds of which the least time counts", "N" },
    { "width", 'w', 0, G_OPTION_ARG_INT, &width, "Of the frames, pixels", "N" },
    { "height", 'h', 0, G_OPTION_ARG_INT, &height, "Of the frames, pixels", "N" },
    { "threads", 't', 0, G_OPTION_ARG_INT, &threads, "CPU threads, 0 = one per core", "N" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    fprintf (stderr, "bench-sharing: %s\n", error->message);
    return 2;
  }
  element_tests_init (&argc, &argv);
  g_test_add_func ("/bench/sharing", measure);
  return element_tests_run ();
}

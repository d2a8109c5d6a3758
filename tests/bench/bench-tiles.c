/* What balanced tiles save against fixed ones, and how far the two pictures are from each other: the default
 * weights on a blurred photograph (11x11, sigma 1.6) of several sizes. Prints TAB-separated columns: frame,
 * overlap, tiles of each mode, balanced's pixels and time in percent of fixed's, largest and mean difference of
 * the pictures in steps of 255. The two modes take turns, so that what else the machine does falls on both.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media.h"
#include "synth.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int threads, rounds = 3;
static gboolean cpu_clock;

typedef struct
{
  int height, width;
  guint16 *in, *out[2]; /* ARGB64; out by DuTileMode */
} Frame;

/* Milliseconds. */
static double
now (void)
{
  struct timespec time;

  clock_gettime (cpu_clock ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* Blurs the decoded picture, and makes it 16 bit deep, so that rounding hides no difference. */
static gboolean
keep_picture (guint file, guint index, int height, int width, const guint8 *rgb, gpointer data, GError **error)
{
  Frame *frame = data;
  gsize pixels = (gsize) height * width;
  g_autofree guint8 *blurred = g_malloc (pixels * 3);

  (void) file;
  (void) index;
  (void) error;
  synth_blur (&synth_paper_kernels[2], height, width, rgb, blurred);
  frame->in = g_new (guint16, pixels * 4);
  for (gsize i = 0; i < pixels; i++) {
    frame->in[4 * i] = 0xffff;
    for (int c = 0; c < 3; c++)
      frame->in[4 * i + 1 + c] = blurred[3 * i + c] * 257;
  }
  return TRUE;
}

static void
print_row (const Frame *frame, int overlap, const DuDeblurrerStats stats[2], const double ms[2])
{
  double pixels[2], sum = 0;
  int largest = 0;
  gsize values = (gsize) frame->height * frame->width * 4;

  for (int mode = 0; mode < 2; mode++)
    pixels[mode] = (double) stats[mode].tiles_per_frame * stats[mode].tile_height * stats[mode].tile_width;
  for (gsize i = 0; i < values; i++) {
    int difference = abs (frame->out[0][i] - frame->out[1][i]);

    largest = MAX (largest, difference);
    sum += difference;
  }
  printf ("%dx%d\t%d\t%u of %dx%d\t%u of %dx%d\t%.1f %%\t%.1f %%\t%.2f\t%.4f\n", frame->width, frame->height,
      overlap, stats[0].tiles_per_frame, stats[0].tile_height, stats[0].tile_width, stats[1].tiles_per_frame,
      stats[1].tile_height, stats[1].tile_width, 100 * pixels[1] / pixels[0], 100 * ms[1] / ms[0],
      largest / 257., sum / (values / 4 * 3) / 257);
  fflush (stdout);
}

static gboolean
bench (DuSession *session, const Frame *frame, int overlap, GError **error)
{
  DuFrameInfo info = { DU_FORMAT_ARGB64, frame->width, frame->height, DU_MATRIX_BT709, TRUE, FALSE, FALSE };
  DuFrame in = { { (guint8 *) frame->in }, { frame->width * 8 } };
  double ms[2] = { G_MAXDOUBLE, G_MAXDOUBLE };
  DuDeblurrerStats stats[2];

  /* The first round prepares the tiles' size. */
  for (int round = 0; round <= rounds; round++)
    for (int mode = DU_TILES_FIXED; mode <= DU_TILES_BALANCED; mode++) {
      DuDeblurrerOptions options = { overlap, 0, mode };
      g_autoptr (DuDeblurrer) deblurrer = du_deblurrer_new (session, &info, &options, error);
      DuFrame out = { { (guint8 *) frame->out[mode] }, { frame->width * 8 } };
      double start = now ();

      if (!deblurrer || !du_deblurrer_process (deblurrer, &in, &out, 1, error))
        return FALSE;
      if (round > 0)
        ms[mode] = MIN (ms[mode], now () - start);
      du_deblurrer_get_stats (deblurrer, &stats[mode]);
    }
  print_row (frame, overlap, stats, ms);
  return TRUE;
}

int
main (int argc, char **argv)
{
  static const int sizes[][2] = { { 640, 360 }, { 854, 480 }, { 1280, 720 }, { 1920, 1080 } };
  static const int overlaps[] = { 128, 80, 32 };
  static const GOptionEntry entries[] = {
    { "threads", 't', 0, G_OPTION_ARG_INT, &threads, "CPU threads, 0 = one per core", "N" },
    { "rounds", 'r', 0, G_OPTION_ARG_INT, &rounds, "Rounds of which the least time counts", "N" },
    { "cpu-clock", 'c', 0, G_OPTION_ARG_NONE, &cpu_clock,
        "Count CPU time instead of wall-clock time: for one thread, on a busy machine", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (DuModel) model = NULL;
  g_autoptr (DuSession) session = NULL;
  g_autofree char *weights = NULL, *picture = NULL;
  DuSessionOptions options;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    fprintf (stderr, "bench-tiles: %s\n", error->message);
    return 2;
  }
  g_test_init (&argc, &argv, NULL);
  weights = g_test_build_filename (G_TEST_DIST, "..", "plugin", "weights", "deblurunet.safetensors", NULL);
  picture = g_test_build_filename (G_TEST_DIST, "data", "colosseum_864x480.jpg", NULL);
  du_session_options_init (&options);
  options.threads = threads;
  if (media_start (&error) && (model = du_model_load (weights, &error))
      && (session = du_session_open (model, &options, &error)))
    printf ("%s, %s\nframe\toverlap\tfixed\tbalanced\tpixels\ttime\tlargest\tmean\n",
        du_session_device (session), du_session_precision (session));
  for (guint i = 0; i < G_N_ELEMENTS (sizes) && !error; i++) {
    MediaOptions media = { SYNTH_FIT_STRETCH, .width = sizes[i][0], .height = sizes[i][1] };
    gsize values = (gsize) sizes[i][0] * sizes[i][1] * 4;
    Frame frame = { sizes[i][1], sizes[i][0], NULL, { g_new (guint16, values), g_new (guint16, values) } };

    if (media_decode (picture, 0, &media, keep_picture, &frame, &error))
      for (guint o = 0; o < G_N_ELEMENTS (overlaps) && !error; o++)
        bench (session, &frame, overlaps[o], &error);
    g_free (frame.in);
    g_free (frame.out[0]);
    g_free (frame.out[1]);
  }
  if (error)
    fprintf (stderr, "bench-tiles: %s\n", error->message);
  return error != NULL;
}

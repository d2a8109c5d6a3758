/* Tiles against the whole frame: the default weights on a blurred photograph, once cut into tiles that share
 * exactly the overlap, and once in one piece.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media.h"
#include "synth.h"

#include <gst/gst.h>
#include <math.h>
#include <string.h>

enum
{
  PICTURE_HEIGHT = 480,
  PICTURE_WIDTH = 864,
};

/* Two tiles and what they share, in each direction. */
static int height, width, values;

static gboolean
keep_picture (guint file, guint frame, int picture_height, int picture_width, const guint8 *rgb, gpointer data,
    GError **error)
{
  (void) file;
  (void) frame;
  (void) error;
  g_assert_cmpint (picture_height, ==, PICTURE_HEIGHT);
  g_assert_cmpint (picture_width, ==, PICTURE_WIDTH);
  for (int y = 0; y < height; y++)
    memcpy ((guint8 *) data + (gsize) y * width * 3, rgb + (gsize) y * PICTURE_WIDTH * 3, width * 3);
  return TRUE;
}

/* Values in [0,1] of the network over the frame cut into tiles. The frame is 16 bit deep, so that rounding
 * does not count. */
static void
deblur_in_tiles (DuSession *session, const DuDeblurrerOptions *options, const guint8 *picture, float *result)
{
  DuFrameInfo info = { DU_FORMAT_ARGB64, width, height, DU_MATRIX_BT709, TRUE, FALSE, FALSE };
  g_autofree guint16 *in = g_new (guint16, height * width * 4), *out = g_new (guint16, height * width * 4);
  DuFrame from = { { (guint8 *) in }, { width * 8 } }, to = { { (guint8 *) out }, { width * 8 } };
  DuDeblurrerStats stats;
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < height * width; i++) {
    in[4 * i] = 0xffff;
    for (int c = 0; c < 3; c++)
      in[4 * i + 1 + c] = picture[3 * i + c] * 257;
  }
  deblurrer = du_deblurrer_new (session, &info, options, &error);
  g_assert_no_error (error);
  du_deblurrer_get_stats (deblurrer, &stats);
  g_assert_cmpint (stats.tiles_per_frame, ==, 4);
  du_deblurrer_process (deblurrer, &from, &to, 1, &error);
  g_assert_no_error (error);
  for (int i = 0; i < values; i++)
    result[i] = out[i / 3 * 4 + 1 + i % 3] / 65535.f;
}

/* Compares the two on a part of the picture, and fails beyond the bounds, in steps of 255. */
static void
check_overlap (DuSession *session, int overlap, const char *picture_path, double largest_allowed,
    double mean_allowed)
{
  DuDeblurrerOptions deblurrer_options = { .overlap = overlap };
  MediaOptions media = { SYNTH_FIT_STRETCH };
  g_autofree guint8 *sharp = NULL, *blurred = NULL;
  g_autofree float *whole = NULL, *tiled = NULL;
  g_autoptr (GError) error = NULL;

  height = 2 * DU_TILE_HEIGHT - overlap;
  width = 2 * DU_TILE_WIDTH - overlap;
  values = height * width * 3;
  sharp = g_malloc (values);
  blurred = g_malloc (values);
  whole = g_new (float, values);
  tiled = g_new (float, values);
  media_decode (picture_path, 0, &media, keep_picture, sharp, &error);
  g_assert_no_error (error);

  for (int kernel = 1; kernel < SYNTH_N_PAPER_KERNELS; kernel++) { /* the first one hardly blurs */
    double sum = 0, largest = 0, changed = 0;

    synth_blur (&synth_paper_kernels[kernel], height, width, sharp, blurred);
    deblur_in_tiles (session, &deblurrer_options, blurred, tiled);
    for (int i = 0; i < values; i++)
      whole[i] = blurred[i] / 255.f;
    du_session_forward (session, 1, height, width, whole, whole, &error);
    g_assert_no_error (error);
    for (int i = 0; i < values; i++) {
      double value = CLAMP (whole[i], 0, 1), deviation = fabs (tiled[i] - value) * 255;

      sum += deviation;
      largest = MAX (largest, deviation);
      changed += fabs (value * 255 - blurred[i]);
    }
    g_test_message ("sigma %g, overlap %d: tiles and whole frame differ by at most %.3f, on the average %.5f "
                    "of 255; the network changes %.3f on the average",
        synth_paper_kernels[kernel].sigma, overlap, largest, sum / values, changed / values);
    g_assert_cmpfloat (largest, <=, largest_allowed);
    g_assert_cmpfloat (sum / values, <=, mean_allowed);
  }
}

static void
test_whole (void)
{
  g_autofree char *weights = g_test_build_filename (G_TEST_DIST, "..", "plugin", "weights",
      "deblurunet.safetensors", NULL);
  g_autofree char *picture_path = g_test_build_filename (G_TEST_DIST, "data", "colosseum_864x480.jpg", NULL);
  DuSessionOptions options;
  DuDeblurrerOptions deblurrer_options;
  g_autoptr (DuModel) model = NULL;
  g_autoptr (DuSession) session = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_file_test (weights, G_FILE_TEST_EXISTS)) {
    g_test_skip ("no weights in plugin/weights");
    return;
  }
  gst_init (NULL, NULL);
  du_session_options_init (&options);
  options.precision = DU_PRECISION_F32;
  model = du_model_load (weights, &error);
  g_assert_no_error (error);
  session = du_session_open (model, &options, &error);
  g_assert_no_error (error);
  du_deblurrer_options_init (&deblurrer_options);
  check_overlap (session, deblurrer_options.overlap, picture_path, 6, 0.05);
  check_overlap (session, 128, picture_path, 4, 0.01); /* the preset "quality" */
  check_overlap (session, 32, picture_path, 16, 0.2);  /* the preset "fast", with the weights at hand */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/whole/tiles", test_whole);
  return g_test_run ();
}

/* Tiles against the whole frame: the installed weights on a blurred photograph, once cut into tiles that
 * share as little as the default overlap allows, and once in one piece.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media.h"
#include "synth.h"

#include <gst/gst.h>
#include <math.h>
#include <string.h>

enum
{
  HEIGHT = 480, /* 256 + 224 */
  WIDTH = 864,  /* 448 + 416 */
  VALUES = HEIGHT * WIDTH * 3,
};

static gboolean
keep_picture (guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data,
    GError **error)
{
  (void) file;
  (void) frame;
  (void) error;
  g_assert_cmpint (height, ==, HEIGHT);
  g_assert_cmpint (width, ==, WIDTH);
  memcpy (data, rgb, VALUES);
  return TRUE;
}

/* Values in [0,1] of the network over the frame cut into tiles. The frame is 16 bit deep, so that rounding
 * does not count. */
static void
deblur_in_tiles (DuSession *session, const guint8 *picture, float *values)
{
  DuFrameInfo info = { DU_FORMAT_ARGB64, WIDTH, HEIGHT, DU_MATRIX_BT709, TRUE, FALSE, FALSE };
  g_autofree guint16 *in = g_new (guint16, HEIGHT * WIDTH * 4), *out = g_new (guint16, HEIGHT * WIDTH * 4);
  DuFrame from = { { (guint8 *) in }, { WIDTH * 8 } }, to = { { (guint8 *) out }, { WIDTH * 8 } };
  DuDeblurrerOptions options;
  DuDeblurrerStats stats;
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < HEIGHT * WIDTH; i++) {
    in[4 * i] = 0xffff;
    for (int c = 0; c < 3; c++)
      in[4 * i + 1 + c] = picture[3 * i + c] * 257;
  }
  du_deblurrer_options_init (&options);
  deblurrer = du_deblurrer_new (session, &info, &options, &error);
  g_assert_no_error (error);
  du_deblurrer_get_stats (deblurrer, &stats);
  g_assert_cmpint (stats.tiles_per_frame, ==, 4);
  du_deblurrer_process (deblurrer, &from, &to, 1, &error);
  g_assert_no_error (error);
  for (int i = 0; i < VALUES; i++)
    values[i] = out[i / 3 * 4 + 1 + i % 3] / 65535.f;
}

static void
test_whole (void)
{
  g_autofree char *weights = g_test_build_filename (G_TEST_DIST, "..", "plugin", "weights",
      "deblurunet.safetensors", NULL);
  g_autofree char *picture_path = g_test_build_filename (G_TEST_DIST, "data", "colosseum_864x480.jpg", NULL);
  g_autofree guint8 *sharp = g_malloc (VALUES), *blurred = g_malloc (VALUES);
  g_autofree float *whole = g_new (float, VALUES), *tiled = g_new (float, VALUES);
  MediaOptions media = { SYNTH_FIT_STRETCH };
  DuSessionOptions options;
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
  media_decode (picture_path, 0, &media, keep_picture, sharp, &error);
  g_assert_no_error (error);

  for (int kernel = 1; kernel < SYNTH_N_PAPER_KERNELS; kernel++) { /* the first one hardly blurs */
    double sum = 0, largest = 0, changed = 0;

    synth_blur (&synth_paper_kernels[kernel], HEIGHT, WIDTH, sharp, blurred);
    deblur_in_tiles (session, blurred, tiled);
    for (int i = 0; i < VALUES; i++)
      whole[i] = blurred[i] / 255.f;
    du_session_forward (session, 1, HEIGHT, WIDTH, whole, whole, &error);
    g_assert_no_error (error);
    for (int i = 0; i < VALUES; i++) {
      double value = CLAMP (whole[i], 0, 1), deviation = fabs (tiled[i] - value) * 255;

      sum += deviation;
      largest = MAX (largest, deviation);
      changed += fabs (value * 255 - blurred[i]);
    }
    g_test_message ("sigma %g: tiles and whole frame differ by at most %.3f, on the average %.5f of 255; "
                    "the network changes %.3f on the average",
        synth_paper_kernels[kernel].sigma, largest, sum / VALUES, changed / VALUES);
    g_assert_cmpfloat (largest, <=, 2);
    g_assert_cmpfloat (sum / VALUES, <=, 0.02);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/whole/tiles", test_whole);
  return g_test_run ();
}

/* Formats and colour: every format against the slow reference in frames.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frame.h"
#include "frames.h"

#include <math.h>
#include <string.h>

/* Siting, matrix and range from the bits of a number. */
static DuFrameInfo
make_info (DuFormat format, int width, int height, guint variant)
{
  return (DuFrameInfo){
    .format = format,
    .width = width,
    .height = height,
    .matrix = variant / 8 % 5,
    .full_range = variant >> 2 & 1,
    .chroma_centred_x = variant >> 1 & 1,
    .chroma_centred_y = variant & 1,
  };
}

static int
reflect (int position, int length)
{
  while (position < 0 || position >= length)
    position = length == 1 ? 0 : position < 0 ? -position : 2 * (length - 1) - position;
  return position;
}

static void
check_gather (const DuFrameKind *kind, const TestFrame *frame, int y, int x, int height, int width)
{
  g_autofree float *tile = g_new (float, (gsize) height * width * 3);
  g_autofree char *what = test_info_to_string (&frame->info);

  memset (tile, 0xff, (gsize) height * width * 3 * sizeof *tile);
  du_frame_gather (kind, &frame->frame, y, x, height, width, tile);
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++) {
      double rgb[3];

      test_reference_rgb (frame, reflect (x + j, frame->info.width), reflect (y + i, frame->info.height),
          rgb);
      for (int c = 0; c < 3; c++) {
        double value = tile[((gsize) i * width + j) * 3 + c];

        if (!(fabs (value - CLAMP (rgb[c], 0, 1)) < 2e-6))
          g_error ("%s: tile %dx%d at (%d, %d), pixel (%d, %d) channel %d: %.9g instead of %.9g", what, width,
              height, y, x, i, j, c, value, rgb[c]);
      }
    }
}

/* Scatters random corrections in bands of an uneven number of lines. */
static void
check_scatter (const DuFrameKind *kind, const TestFrame *in, TestFrame *out, float strength, GRand *random)
{
  int width = in->info.width, height = in->info.height, from = 0;
  gsize n = (gsize) width * height * 3;
  g_autofree float *all = g_new (float, n), *ring = g_new (float, (gsize) 64 * width * 3);
  g_autofree char *what = test_info_to_string (&in->info);
  DuBand band = { ring, 64, width };

  for (gsize i = 0; i < n; i++)
    all[i] = g_rand_double_range (random, -0.3, 0.3);
  while (from < height) {
    int to = from + 2 * g_rand_int_range (random, 1, 31);

    to = MIN (to, height);
    for (int y = from; y < to; y++)
      memcpy (du_band_line (&band, y), all + (gsize) y * width * 3, width * 3 * sizeof *all);
    du_frame_scatter (kind, &in->frame, &out->frame, &band, from, to, strength);
    from = to;
  }
  for (int component = 0; component < test_components (&in->info); component++)
    for (int y = 0; y < test_component_height (&in->info, component); y++)
      for (int x = 0; x < test_component_width (&in->info, component); x++) {
        double mean[3], difference[3], expected, maximum = (1 << test_depth (&in->info)) - 1;

        test_reference_mean (&in->info, component, x, y, all, mean);
        test_reference_samples (&in->info, mean, TRUE, difference);
        expected = test_get (in, component, x, y) + strength * difference[component];
        expected = CLAMP (expected, 0, maximum);
        if (fabs (test_get (out, component, x, y) - expected) > 0.5 + 2e-7 * maximum)
          g_error ("%s: component %d at (%d, %d): %u instead of %.3f, from %u", what, component, y, x,
              test_get (out, component, x, y), expected, test_get (in, component, x, y));
      }
  test_frame_check_rest_equal (in, out, what);
}

static void
check_frame (const DuFrameInfo *info, guint seed)
{
  TestFrame in, out, copy;
  GRand *random = g_rand_new_with_seed (seed);
  DuFrameKind kind;
  g_autofree char *what = test_info_to_string (info);

  test_frame_init (&in, info, seed % 7, seed % 3 == 1);
  test_frame_init (&out, info, seed % 5, seed % 3 == 2);
  test_frame_init (&copy, info, 3, FALSE);
  test_frame_randomise (&in, random);
  g_assert_true (du_frame_kind_init (&kind, info, NULL));
  g_assert_true (du_frame_check (&kind, &in.frame, "input", NULL));
  for (int i = 0; i < 2; i++)
    check_gather (&kind, &in, g_rand_int_range (random, 0, info->height),
        g_rand_int_range (random, 0, info->width), 16, 32);
  check_scatter (&kind, &in, &out, g_rand_double (random), random);
  test_frame_check_canaries (&out, what);
  du_frame_copy (&kind, &in.frame, &copy.frame);
  test_frame_check_equal (&in, &copy, what);
  test_frame_check_canaries (&copy, what);
  test_frame_clear (&in);
  test_frame_clear (&out);
  test_frame_clear (&copy);
  g_rand_free (random);
}

static void
test_formats (void)
{
  static const int sizes[][2] = { { 1, 1 }, { 1, 9 }, { 9, 1 }, { 2, 2 }, { 3, 3 }, { 16, 16 }, { 31, 65 },
    { 255, 3 }, { 256, 2 }, { 257, 5 }, { 258, 3 }, { 512, 3 }, { 513, 4 }, { 1031, 7 }, { 5, 1031 } };
  guint seed = 0;

  for (int format = 0; format < DU_N_FORMATS; format++)
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
      for (guint variant = 0; variant < 4; variant++, seed++) {
        DuFrameInfo info = make_info (format, sizes[i][0], sizes[i][1], variant | (seed % 10) << 2);

        check_frame (&info, seed);
      }
}

static void
test_sizes (void)
{
  static const DuFormat formats[] = { DU_FORMAT_I420, DU_FORMAT_P010_10LE, DU_FORMAT_YUY2, DU_FORMAT_BGR };

  for (int height = 1; height <= 67; height++)
    for (int width = 1; width <= 67; width++) {
      guint seed = height * 67 + width;
      DuFrameInfo info = make_info (formats[seed % 4], width, height, seed / 4);

      check_frame (&info, seed);
    }
}

/* Whole tiles, with all that is in them. */
static void
test_tiles (void)
{
  for (int format = 0; format < DU_N_FORMATS; format++) {
    DuFrameInfo info = make_info (format, 451, 259, format);
    TestFrame frame;
    GRand *random = g_rand_new_with_seed (format);
    DuFrameKind kind;

    test_frame_init (&frame, &info, 5, FALSE);
    test_frame_randomise (&frame, random);
    g_assert_true (du_frame_kind_init (&kind, &info, NULL));
    check_gather (&kind, &frame, 0, 0, 48, 448);
    check_gather (&kind, &frame, 224, 16, 48, 448);
    check_gather (&kind, &frame, 256, 448, 16, 16);
    test_frame_clear (&frame);
    g_rand_free (random);
  }
}

/* Primary colours as the standards' tables have them. */
static void
test_primaries (void)
{
  static const struct
  {
    DuMatrix matrix;
    gboolean full_range;
    guint8 samples[3][3]; /* Y, Cb, Cr of red, green, blue */
  } tables[] = {
    { DU_MATRIX_BT601, FALSE, { { 81, 90, 240 }, { 145, 54, 34 }, { 41, 240, 110 } } },
    { DU_MATRIX_BT709, FALSE, { { 63, 102, 240 }, { 173, 42, 26 }, { 32, 240, 118 } } },
    { DU_MATRIX_BT2020, FALSE, { { 74, 97, 240 }, { 164, 47, 25 }, { 29, 240, 119 } } },
    { DU_MATRIX_BT601, TRUE, { { 76, 85, 255 }, { 150, 44, 21 }, { 29, 255, 107 } } },
    { DU_MATRIX_BT709, TRUE, { { 54, 99, 255 }, { 182, 30, 12 }, { 18, 255, 116 } } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (tables); i++)
    for (int primary = 0; primary < 3; primary++) {
      DuFrameInfo info = { DU_FORMAT_Y444, 1, 1, tables[i].matrix, tables[i].full_range, TRUE, TRUE };
      guint8 samples[3] = { 0 };
      DuFrame frame = { { &samples[0], &samples[1], &samples[2] }, { 1, 1, 1 } };
      DuFrameKind kind;
      float rgb[3];

      memcpy (samples, tables[i].samples[primary], 3);
      g_assert_true (du_frame_kind_init (&kind, &info, NULL));
      du_frame_gather (&kind, &frame, 0, 0, 1, 1, rgb);
      for (int c = 0; c < 3; c++)
        if (fabs (rgb[c] - (c == primary)) > 0.009) /* two roundings of a step */
          g_error ("table %u, primary %d, channel %d is %g", i, primary, c, rgb[c]);
    }
}

/* From one flat colour to another: the second one's samples come out, rounded, in every format, matrix and
 * range. */
static void
test_flat_colours (void)
{
  static const double colours[][3] = { { 0, 0, 0 }, { 1, 1, 1 }, { 0.5, 0.5, 0.5 }, { 1, 0, 0 }, { 0, 1, 0 },
    { 0, 0, 1 }, { 0.25, 0.5, 0.75 }, { 0.8, 0.6, 0.5 } };

  for (int format = 0; format < DU_N_FORMATS; format++)
    for (guint variant = 0; variant < 40; variant++)
      for (guint pair = 0; pair < G_N_ELEMENTS (colours) * G_N_ELEMENTS (colours); pair++) {
        const double *before = colours[pair / G_N_ELEMENTS (colours)];
        const double *after = colours[pair % G_N_ELEMENTS (colours)];
        DuFrameInfo info = make_info (format, 5, 3, variant);
        g_autofree char *what = test_info_to_string (&info);
        TestFrame in, out;
        DuFrameKind kind;
        double samples[3], wanted[3], seen[3];
        float corrections[3 * 5 * 3], tile[3 * 5 * 3];
        DuBand band = { corrections, 3, 5 };

        g_assert_true (du_frame_kind_init (&kind, &info, NULL));
        test_frame_init (&in, &info, 0, FALSE);
        test_frame_init (&out, &info, 0, FALSE);
        test_reference_samples (&info, before, FALSE, samples);
        for (int component = 0; component < test_components (&info); component++)
          for (int y = 0; y < test_component_height (&info, component); y++)
            for (int x = 0; x < test_component_width (&info, component); x++)
              test_set (&in, component, x, y, (guint) (samples[component] + 0.5));
        test_reference_rgb (&in, 0, 0, seen);
        du_frame_gather (&kind, &in.frame, 0, 0, 3, 5, tile);
        for (int i = 0; i < 45; i++) {
          if (fabs (tile[i] - CLAMP (seen[i % 3], 0, 1)) > 1e-6)
            g_error ("%s: colour %u is seen as %g in channel %d", what, pair, tile[i], i % 3);
          corrections[i] = after[i % 3] - seen[i % 3];
        }
        du_frame_scatter (&kind, &in.frame, &out.frame, &band, 0, 3, 1);
        test_reference_samples (&info, after, FALSE, wanted);
        if (test_components (&info) == 1) { /* gray has no colour to give back */
          const double mean[3] = { corrections[0], corrections[1], corrections[2] };

          test_reference_samples (&info, mean, TRUE, wanted);
          wanted[0] += test_get (&in, 0, 0, 0);
        }
        for (int component = 0; component < test_components (&info); component++)
          for (int y = 0; y < test_component_height (&info, component); y++)
            for (int x = 0; x < test_component_width (&info, component); x++) {
              double maximum = (1 << test_depth (&info)) - 1, sample = CLAMP (wanted[component], 0, maximum);

              if (fabs (test_get (&out, component, x, y) - sample) > 0.5 + 2e-7 * maximum)
                g_error ("%s: pair %u, component %d: %u instead of %.3f", what, pair, component,
                    test_get (&out, component, x, y), sample);
            }
        test_frame_clear (&in);
        test_frame_clear (&out);
      }
}

/* Samples beyond black and white, the bits beside 10-bit samples, alpha: no correction changes nothing. */
static void
test_nothing_to_correct (void)
{
  for (int format = 0; format < DU_N_FORMATS; format++) {
    DuFrameInfo info = make_info (format, 301, 37, format);
    g_autofree char *what = test_info_to_string (&info);
    g_autofree float *none = g_new0 (float, 301 * 37 * 3);
    DuBand band = { none, 37, 301 };
    GRand *random = g_rand_new_with_seed (format);
    TestFrame in, out;
    DuFrameKind kind;

    g_assert_true (du_frame_kind_init (&kind, &info, NULL));
    test_frame_init (&in, &info, 0, FALSE);
    test_frame_init (&out, &info, 1, TRUE);
    test_frame_randomise (&in, random);
    du_frame_scatter (&kind, &in.frame, &out.frame, &band, 0, 37, 1);
    test_frame_check_equal (&in, &out, what);
    test_frame_check_canaries (&out, what);
    test_frame_clear (&in);
    test_frame_clear (&out);
    g_rand_free (random);
  }
}

static void
test_names (void)
{
  for (int format = 0; format < DU_N_FORMATS; format++)
    g_assert_cmpint (du_format_from_name (du_format_name (format)), ==, format);
  g_assert_cmpint (du_format_from_name ("RGBx"), ==, DU_FORMAT_RGBx);
  g_assert_cmpint (du_format_from_name ("P010_10LE"), ==, DU_FORMAT_P010_10LE);
  g_assert_cmpint (du_format_from_name (""), ==, DU_N_FORMATS);
  g_assert_cmpint (du_format_from_name ("rgb"), ==, DU_N_FORMATS);
  g_assert_null (du_format_name (DU_N_FORMATS));
}

static void
test_arguments (void)
{
  static const DuFrameInfo bad[] = {
    { DU_N_FORMATS, 8, 8, 0, 0, 0, 0 },
    { -1, 8, 8, 0, 0, 0, 0 },
    { DU_FORMAT_RGB, 0, 8, 0, 0, 0, 0 },
    { DU_FORMAT_RGB, 8, -1, 0, 0, 0, 0 },
    { DU_FORMAT_RGB, 32768, 8, 0, 0, 0, 0 },
    { DU_FORMAT_RGB, 8, G_MAXINT, 0, 0, 0, 0 },
    { DU_FORMAT_RGB, 8, 8, 5, 0, 0, 0 },
    { DU_FORMAT_RGB, 8, 8, -1, 0, 0, 0 },
  };
  DuFrameInfo info = make_info (DU_FORMAT_NV12, 9, 9, 0);
  guint8 memory[256];
  DuFrameKind kind;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_assert_false (du_frame_kind_init (&kind, &bad[i], &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
    g_clear_error (&error);
  }
  g_assert_true (du_frame_kind_init (&kind, &info, NULL));
  g_assert_true (du_frame_check (&kind, &(DuFrame){ { memory, memory }, { 9, -10 } }, "input", &error));
  g_assert_no_error (error);
  g_assert_false (du_frame_check (&kind, &(DuFrame){ { memory, NULL }, { 9, 10 } }, "input", &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (du_frame_check (&kind, &(DuFrame){ { memory, memory }, { 9, 9 } }, "output", &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "plane 1 of the output frame"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/frame/names", test_names);
  g_test_add_func ("/frame/arguments", test_arguments);
  g_test_add_func ("/frame/primaries", test_primaries);
  g_test_add_func ("/frame/formats", test_formats);
  g_test_add_func ("/frame/sizes", test_sizes);
  g_test_add_func ("/frame/tiles", test_tiles);
  g_test_add_func ("/frame/flat-colours", test_flat_colours);
  g_test_add_func ("/frame/nothing-to-correct", test_nothing_to_correct);
  return g_test_run ();
}

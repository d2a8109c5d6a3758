/* Every format, colour matrix and range through the whole element, against the same done slowly in double, with
 * a network that changes every pixel. Small frames in balanced tiles, so that it is quick.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <math.h>
#include <string.h>

enum
{
  WIDTH = 37,
  HEIGHT = 21,
  TILE_WIDTH = 48,
  TILE_HEIGHT = 32,
};

static char *identity, *mild;

/* What caps say of colour, and what it means. R'G'B' has no matrix, gray needs none. */
typedef struct
{
  const char *name, *yuv, *rgb; /* colorimetry of the caps */
  DuMatrix matrix;
  gboolean full_range;
} Colour;

static const Colour colours[] = {
  { "BT.601 limited", "bt601", "2:1:7:1", DU_MATRIX_BT601, FALSE },
  { "BT.601 full", "1:4:7:1", "1:1:7:1", DU_MATRIX_BT601, TRUE },
  { "BT.709 limited", "bt709", "2:1:5:1", DU_MATRIX_BT709, FALSE },
  { "BT.709 full", "1:3:5:1", "1:1:5:1", DU_MATRIX_BT709, TRUE },
  { "BT.2020 limited", "bt2020", "2:1:12:7", DU_MATRIX_BT2020, FALSE },
  { "BT.2020 full", "1:6:12:7", "1:1:12:7", DU_MATRIX_BT2020, TRUE },
};

static const struct
{
  const char *name;
  gboolean centred_x, centred_y;
} sites[] = { { "jpeg", TRUE, TRUE }, { "mpeg2", FALSE, TRUE }, { "cosited", FALSE, FALSE },
  { "v-cosited", TRUE, FALSE } };

typedef struct
{
  DuFrameInfo info;
  GstCaps *caps;
  char *what; /* for messages */
} Case;

/* Every format with every colour, and one siting of chroma after the other. */
#define N_CASES (DU_N_FORMATS * G_N_ELEMENTS (colours))

static void
case_init (Case *this, guint number, int width, int height)
{
  const Colour *colour = &colours[number % G_N_ELEMENTS (colours)];
  DuFormat format = number / G_N_ELEMENTS (colours);
  const char *name = du_format_name (format);
  gboolean rgb = strchr (name, 'R') && strchr (name, 'B');
  guint site = number % G_N_ELEMENTS (sites);

  this->info = (DuFrameInfo){ format, width, height, colour->matrix, colour->full_range, sites[site].centred_x,
    sites[site].centred_y };
  this->caps = element_caps (format, width, height, rgb ? colour->rgb : colour->yuv);
  if (!rgb && !g_str_has_prefix (name, "GRAY"))
    gst_caps_set_simple (this->caps, "chroma-site", G_TYPE_STRING, sites[site].name, NULL);
  this->what = g_strdup_printf ("%s %dx%d, %s, chroma %s", name, width, height, colour->name, sites[site].name);
}

static void
case_clear (Case *this)
{
  gst_caps_unref (this->caps);
  g_free (this->what);
}

static void
init (Element *element, const char *weights)
{
  element_init (element, weights);
  element_play (element, NULL);
}

/* Of the position in a picture of that length whose content is repeated mirrored. */
static int
reflect (int position, int length)
{
  return position < length ? position : 2 * (length - 1) - position;
}

/* What the network adds to each pixel, [HEIGHT, WIDTH, 3]: seen through the caps' colour, computed by the plain C
 * back end. */
static float *
reference_differences (DuSession *reference, const TestFrame *frame)
{
  g_autofree float *tile = g_new (float, TILE_HEIGHT * TILE_WIDTH * 3);
  g_autofree float *result = g_new (float, TILE_HEIGHT * TILE_WIDTH * 3);
  float *differences = g_new (float, HEIGHT * WIDTH * 3);
  g_autoptr (GError) error = NULL;

  for (int y = 0; y < TILE_HEIGHT; y++)
    for (int x = 0; x < TILE_WIDTH; x++) {
      double rgb[3];

      test_reference_rgb (frame, reflect (x, WIDTH), reflect (y, HEIGHT), rgb);
      for (int c = 0; c < 3; c++)
        tile[(y * TILE_WIDTH + x) * 3 + c] = (float) CLAMP (rgb[c], 0, 1);
    }
  du_session_forward (reference, 1, TILE_HEIGHT, TILE_WIDTH, tile, result, &error);
  g_assert_no_error (error);
  for (int y = 0; y < HEIGHT; y++)
    for (int i = 0; i < WIDTH * 3; i++) {
      float difference = result[y * TILE_WIDTH * 3 + i] - tile[y * TILE_WIDTH * 3 + i];

      differences[y * WIDTH * 3 + i] = CLAMP (difference, -1, 1);
    }
  return differences;
}

static double /* the most that a sample is off beyond rounding, as a part of the format's range */
check_reference (const Case *this, const TestFrame *in, const TestFrame *out, const float *differences,
    double strength)
{
  const DuFrameInfo *info = &this->info;
  double maximum = (1 << test_depth (info)) - 1, worst = 0;

  for (int c = 0; c < test_components (info); c++)
    for (int y = 0; y < test_component_height (info, c); y++)
      for (int x = 0; x < test_component_width (info, c); x++) {
        double mean[3], difference[3], wanted, off;

        test_reference_mean (info, c, x, y, differences, mean);
        test_reference_samples (info, mean, TRUE, difference);
        wanted = CLAMP (test_get (in, c, x, y) + strength * difference[c], 0, maximum);
        off = fabs (test_get (out, c, x, y) - wanted) - 0.5;
        worst = MAX (worst, off / maximum);
        if (off > 1e-6 * maximum)
          g_error ("%s: component %d at %d, %d: %u became %u, wanted %.3f", this->what, c, x, y,
              test_get (in, c, x, y), test_get (out, c, x, y), wanted);
      }
  test_frame_check_rest_equal (in, out, this->what);
  return worst;
}

static void
test_reference (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DuModel) model = du_model_load (mild, &error);
  g_autoptr (DuSession) reference = NULL;
  DuSessionOptions options;
  double worst = 0, changed = 0;
  Element element;

  g_assert_no_error (error);
  du_session_options_init (&options);
  options.backend = DU_BACKEND_REFERENCE;
  reference = du_session_open (model, &options, &error);
  g_assert_no_error (error);
  init (&element, mild);
  for (guint number = 0; number < N_CASES; number++) {
    double strength = number % 3 ? 1 : 0.6, off;
    g_autofree float *differences = NULL;
    TestFrame in, out;
    Case this;

    case_init (&this, number, WIDTH, HEIGHT);
    g_object_set (element.element, "strength", strength, NULL);
    test_frame_init_random (&in, &this.info, number);
    gst_harness_set_src_caps (element.harness, gst_caps_ref (this.caps));
    element_process (&element, &in, this.caps, &out);
    differences = reference_differences (reference, &in);
    off = check_reference (&this, &in, &out, differences, strength);
    worst = MAX (worst, off);
    for (int i = 0; i < HEIGHT * WIDTH * 3; i++)
      changed += fabsf (differences[i]) / (HEIGHT * WIDTH * 3 * N_CASES);
    test_frame_clear (&in);
    test_frame_clear (&out);
    case_clear (&this);
  }
  g_test_message ("the network changes %.3f on the average; off by half a step and at most %.2g of the range",
      changed, worst);
  g_assert_cmpfloat (changed, >, 0.02);
  g_assert_cmpfloat (changed, <, 0.3); /* where most is clipped, little is tested */
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
}

/* Where the network does nothing, a flat colour stays what it is, bit for bit, and a frame of noise too. */
static void
test_flat_colours (void)
{
  static const double flat[][3] = { { 0, 0, 0 }, { 1, 1, 1 }, { 0.5, 0.5, 0.5 }, { 1, 0, 0 }, { 0, 1, 0 },
    { 0, 0, 1 }, { 0.9, 0.7, 0.6 }, { 0.1, 0.3, 0.2 } };
  Element element;

  init (&element, identity);
  for (guint number = 0; number < N_CASES; number++) {
    Case this;

    case_init (&this, number, 9, 7);
    gst_harness_set_src_caps (element.harness, gst_caps_ref (this.caps));
    for (guint i = 0; i <= G_N_ELEMENTS (flat); i++) {
      double samples[3];
      TestFrame in, out;

      test_frame_init_random (&in, &this.info, number);
      if (i < G_N_ELEMENTS (flat)) {
        test_reference_samples (&this.info, flat[i], FALSE, samples);
        for (int c = 0; c < test_components (&this.info); c++)
          for (int y = 0; y < test_component_height (&this.info, c); y++)
            for (int x = 0; x < test_component_width (&this.info, c); x++)
              test_set (&in, c, x, y, (guint) (samples[c] + 0.5));
      }
      element_process (&element, &in, this.caps, &out);
      test_frame_check_equal (&in, &out, this.what);
      test_frame_clear (&in);
      test_frame_clear (&out);
    }
    case_clear (&this);
  }
  g_assert_cmpfloat (element_stat (&element, "passed-through"), ==, 0);
  element_clear (&element);
}

/* strength=0: bit for bit, alpha and padding too, handed on or, where downstream does not know GstVideoMeta,
 * copied. */
static void
test_no_strength (void)
{
  static const int sizes[][2] = { { 1, 1 }, { 7, 5 }, { 33, 18 } };
  Element element;

  init (&element, mild);
  g_object_set (element.element, "strength", 0.0, NULL);
  for (guint number = 0; number < N_CASES; number++) {
    const int *size = sizes[number % G_N_ELEMENTS (sizes)];
    Case this;

    case_init (&this, number, size[0], size[1]);
    gst_harness_set_src_caps (element.harness, gst_caps_ref (this.caps));
    for (int copied = 0; copied < 2; copied++) {
      GstBuffer *buffer, *result;
      TestFrame in, out;

      test_frame_init_random (&in, &this.info, number);
      buffer = element_buffer_from (&in, this.caps);
      if (copied)
        gst_buffer_add_video_meta (buffer, GST_VIDEO_FRAME_FLAG_NONE,
            gst_video_format_from_string (du_format_name (this.info.format)), size[0], size[1]);
      g_assert_cmpint (gst_harness_push (element.harness, gst_buffer_ref (buffer)), ==, GST_FLOW_OK);
      result = gst_harness_pull (element.harness);
      g_assert_cmpint (result == buffer, ==, !copied);
      element_buffer_to (result, this.caps, &this.info, &out);
      test_frame_check_equal (&in, &out, this.what);
      test_frame_clear (&in);
      test_frame_clear (&out);
      gst_buffer_unref (buffer);
      gst_buffer_unref (result);
    }
    case_clear (&this);
  }
  g_assert_cmpfloat (element_stat (&element, "frames"), ==, 0);
  element_clear (&element);
}

int
main (int argc, char **argv)
{
  int result;

  element_tests_init (&argc, &argv);
  identity = element_weights_identity (1);
  mild = element_weights_mild (7);
  g_test_add_func ("/element/formats/reference", test_reference);
  g_test_add_func ("/element/formats/flat-colours", test_flat_colours);
  g_test_add_func ("/element/formats/no-strength", test_no_strength);
  result = element_tests_run ();
  g_free (identity);
  g_free (mild);
  return result;
}

/* The element's pictures: every format, colour, size and layout of memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <gst/controller/controller.h>
#include <math.h>
#include <string.h>

static char *identity, *shift;
static const double delta[3] = { 0.11, -0.07, 0.04 };

/* What the caps of element_caps() mean without colorimetry. */
static DuFrameInfo
default_info (DuFormat format, int width, int height)
{
  DuFrameInfo info = { .format = format, .width = width, .height = height, .matrix = DU_MATRIX_BT601 };

  info.chroma_centred_x = info.chroma_centred_y = TRUE;
  info.full_range
      = strstr (du_format_name (format), "YUV") == NULL && (strchr (du_format_name (format), 'R') != NULL);
  return info;
}

/* The identity network gives back every bit, whatever the strength. */
static void
test_identity (void)
{
  static const int sizes[][2] = { { 1, 1 }, { 7, 5 }, { 448, 256 }, { 449, 257 } };
  Element element;
  guint frames = 0;

  element_init (&element, identity);
  element_play (&element, NULL);
  for (DuFormat format = 0; format < DU_N_FORMATS; format++)
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
      DuFrameInfo info = default_info (format, sizes[i][0], sizes[i][1]);
      GstCaps *caps = element_caps (format, info.width, info.height, NULL);
      g_autofree char *what = test_info_to_string (&info);
      TestFrame in, out;

      g_object_set (element.element, "strength", i % 2 ? 0.5 : 1.0, NULL);
      test_frame_init_random (&in, &info, 100 * format + i);
      gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
      element_process (&element, &in, caps, &out);
      test_frame_check_equal (&in, &out, what);
      g_assert_cmpfloat (element_stat (&element, "tiles-per-frame"), ==, (sizes[i][0] == 449 ? 4 : 1));
      test_frame_clear (&in);
      test_frame_clear (&out);
      gst_caps_unref (caps);
      frames++;
    }
  g_assert_cmpfloat (element_stat (&element, "frames"), ==, frames);
  g_assert_cmpfloat (element_stat (&element, "passed-through"), ==, 0);
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
}

/* A known correction, against arithmetic in double: within half a step. */
static void
check_shift (Element *element, const DuFrameInfo *info, const char *colorimetry, double strength)
{
  GstCaps *caps = element_caps (info->format, info->width, info->height, colorimetry);
  g_autofree char *name = test_info_to_string (info);
  g_autofree char *what
      = g_strdup_printf ("%s, %s, strength %g", name, colorimetry ? colorimetry : "-", strength);
  double difference[3] = { 0 }, maximum = pow (2, test_depth (info)) - 1;
  TestFrame in, out;

  g_object_set (element->element, "strength", strength, NULL);
  test_frame_init_random (&in, info, info->format);
  gst_harness_set_src_caps (element->harness, gst_caps_ref (caps));
  element_process (element, &in, caps, &out);
  test_reference_samples (info, delta, TRUE, difference);
  if (g_str_has_prefix (du_format_name (info->format), "GRAY")) {
    /* The library turns R'G'B' into gray with BT.709's shares. */
    double scale = info->full_range ? maximum : 219 * pow (2, test_depth (info) - 8);

    difference[0] = scale * (0.2126 * delta[0] + 0.7152 * delta[1] + 0.0722 * delta[2]);
  }
  for (int c = 0; c < test_components (info); c++)
    for (int y = 0; y < test_component_height (info, c); y++)
      for (int x = 0; x < test_component_width (info, c); x++) {
        double wanted = CLAMP (test_get (&in, c, x, y) + strength * difference[c], 0, maximum);
        double got = test_get (&out, c, x, y);

        if (fabs (got - wanted) > 0.5 + maximum * 1e-6)
          g_error ("%s: component %d at %d, %d: %u became %g, wanted %.3f", what, c, x, y,
              test_get (&in, c, x, y), got, wanted);
      }
  test_frame_check_rest_equal (&in, &out, what);
  test_frame_clear (&in);
  test_frame_clear (&out);
  gst_caps_unref (caps);
}

static void
test_correction (void)
{
  static const double strengths[] = { 1, 0.5, 0.01 };
  Element element;

  element_init (&element, shift);
  element_play (&element, NULL);
  for (DuFormat format = 0; format < DU_N_FORMATS; format++)
    for (guint i = 0; i < G_N_ELEMENTS (strengths); i++) {
      DuFrameInfo info = default_info (format, 19, 13);

      check_shift (&element, &info, NULL, strengths[i]);
    }
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
}

/* The matrix and range of the caps are the ones that are used, and those that caps leave out are GStreamer's.
 */
static void
test_colorimetry (void)
{
  static const struct
  {
    const char *colorimetry;
    int height;
    DuMatrix matrix;
    gboolean full_range;
  } cases[] = {
    { "bt601", 16, DU_MATRIX_BT601, FALSE },
    { "bt709", 16, DU_MATRIX_BT709, FALSE },
    { "bt2020", 16, DU_MATRIX_BT2020, FALSE },
    { "bt2100-pq", 16, DU_MATRIX_BT2020, FALSE },
    { "smpte240m", 16, DU_MATRIX_SMPTE240M, FALSE },
    { "2:2:5:4", 16, DU_MATRIX_FCC, FALSE },
    { "1:4:0:0", 16, DU_MATRIX_BT601, TRUE },
    { "1:3:5:1", 16, DU_MATRIX_BT709, TRUE },
    { "1:6:0:0", 16, DU_MATRIX_BT2020, TRUE },
    { "0:0:0:0", 16, DU_MATRIX_BT601, FALSE }, /* nothing is known: as if it was not there */
    { "2:1:7:1", 16, DU_MATRIX_BT601, FALSE }, /* R'G'B' cannot be */
    { NULL, 576, DU_MATRIX_BT601, FALSE },
    { NULL, 720, DU_MATRIX_BT709, FALSE },
  };
  static const DuFormat formats[] = { DU_FORMAT_I420, DU_FORMAT_UYVY, DU_FORMAT_P010_10LE };
  Element element;

  element_init (&element, shift);
  element_play (&element, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint k = 0; k < G_N_ELEMENTS (formats); k++) {
      DuFrameInfo info = default_info (formats[k], 16, cases[i].height);

      info.matrix = cases[i].matrix;
      info.full_range = cases[i].full_range;
      check_shift (&element, &info, cases[i].colorimetry, 1);
    }
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
}

/* Every width and every height from 1 to 67, odd and even in all mixtures. */
static void
test_sizes (void)
{
  static const DuFormat formats[] = { DU_FORMAT_I420, DU_FORMAT_NV12, DU_FORMAT_YUY2, DU_FORMAT_RGB };
  Element element;

  element_init (&element, identity);
  element_play (&element, NULL);
  for (int i = 0; i < 67; i++) {
    DuFrameInfo info = default_info (formats[i % 4], i + 1, i * 28 % 67 + 1);
    GstCaps *caps = element_caps (info.format, info.width, info.height, NULL);
    g_autofree char *what = test_info_to_string (&info);
    TestFrame in, out;

    test_frame_init_random (&in, &info, i);
    gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
    element_process (&element, &in, caps, &out);
    test_frame_check_equal (&in, &out, what);
    test_frame_clear (&in);
    test_frame_clear (&out);
    gst_caps_unref (caps);
  }
  element_clear (&element);
}

/* Caps that leave things out, or that are of another framerate, are taken, and come out as they came in. */
static const char hdr[]
    = "video/x-raw, format=P010_10LE, width=8, height=6, framerate=24/1, colorimetry=bt2100-pq, "
      "content-light-level=(string)1000:400, "
      "mastering-display-info=(string)35400:14600:8500:39850:6550:2300:15635:16450:10000000:1";

static void
test_caps (void)
{
  static const char *const taken[] = {
    "video/x-raw, format=I420, width=8, height=6",
    "video/x-raw, format=I420, width=8, height=6, framerate=0/1",
    "video/x-raw, format=I420, width=8, height=6, framerate=1000/1, pixel-aspect-ratio=64/45",
    "video/x-raw, format=I420, width=8, height=6, framerate=0/1, max-framerate=60/1",
    "video/x-raw, format=I420, width=8, height=6, framerate=30000/1001, interlace-mode=mixed",
    "video/x-raw, format=I420, width=8, height=6, framerate=25/1, chroma-site=none, colorimetry=bt709",
    hdr,
  };
  static const char *const refused[] = {
    "video/x-raw, format=I420, width=8, height=6, interlace-mode=fields",
    "video/x-raw(format:Interlaced), format=I420, width=8, height=6, interlace-mode=alternate",
    "video/x-raw, format=v308, width=8, height=6, framerate=25/1",
    "video/x-raw, format=I420, width=40000, height=6, framerate=25/1",
  };

  for (guint i = 0; i < G_N_ELEMENTS (taken) + G_N_ELEMENTS (refused); i++) {
    gboolean good = i < G_N_ELEMENTS (taken);
    const char *text = good ? taken[i] : refused[i - G_N_ELEMENTS (taken)];
    GstCaps *caps = gst_caps_from_string (text);
    Element element;
    GstVideoInfo info;
    GstBuffer *buffer;
    GstFlowReturn flow;

    g_test_message ("%s", text);
    element_init (&element, identity);
    element_play (&element, text);
    g_assert_true (gst_video_info_from_caps (&info, caps));
    buffer = gst_buffer_new_allocate (NULL, info.size, NULL);
    gst_buffer_memset (buffer, 0, 77, info.size);
    flow = gst_harness_push (element.harness, buffer);
    g_assert_cmpint (flow, ==, good ? GST_FLOW_OK : GST_FLOW_NOT_NEGOTIATED);
    if (good) {
      GstCaps *out = gst_pad_get_current_caps (element.harness->sinkpad);

      g_assert_true (gst_caps_is_equal (caps, out));
      gst_caps_unref (out);
    }
    element_clear (&element);
    gst_caps_unref (caps);
  }
}

/* Both fields of an interlaced frame are what a progressive frame of the field's lines would be. */
static void
check_fields (const char *weights, DuFormat format, int width, int height, const char *mode, gboolean flagged)
{
  gboolean split = flagged || strcmp (mode, "interleaved") == 0;
  DuFrameInfo info = default_info (format, width, height);
  TestFrame in, out;
  GstCaps *caps = element_caps (format, width, height, NULL);
  GstBuffer *buffer;
  Element element;

  test_frame_init_random (&in, &info, height);
  gst_caps_set_simple (caps, "interlace-mode", G_TYPE_STRING, mode, NULL);
  element_init (&element, weights);
  element_play (&element, NULL);
  gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
  buffer = element_buffer_from (&in, caps);
  if (flagged)
    GST_BUFFER_FLAG_SET (buffer, GST_VIDEO_BUFFER_FLAG_INTERLACED | GST_VIDEO_BUFFER_FLAG_TFF);
  g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
  buffer = gst_harness_pull (element.harness);
  g_assert_true (!flagged || GST_BUFFER_FLAG_IS_SET (buffer, GST_VIDEO_BUFFER_FLAG_TFF));
  element_buffer_to (buffer, caps, &info, &out);
  gst_buffer_unref (buffer);
  gst_caps_unref (caps);
  element_clear (&element);

  element_init (&element, weights);
  element_play (&element, NULL);
  for (int field = 0; field < (split ? 2 : 1); field++) {
    DuFrameInfo field_info = info;
    TestFrame part, wanted;
    int step = split ? 2 : 1;

    field_info.height = !split ? height : field ? height / 2 : (height + 1) / 2;
    test_frame_init (&part, &field_info, 0, FALSE);
    for (int c = 0; c < test_components (&info); c++)
      for (int y = 0; y < test_component_height (&field_info, c); y++)
        for (int x = 0; x < test_component_width (&field_info, c); x++)
          test_set (&part, c, x, y, test_get (&in, c, x, step * y + field));
    caps = element_caps (format, width, field_info.height, NULL);
    gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
    element_process (&element, &part, caps, &wanted);
    for (int c = 0; c < test_components (&info); c++)
      for (int y = 0; y < test_component_height (&field_info, c); y++)
        for (int x = 0; x < test_component_width (&field_info, c); x++)
          if (test_get (&wanted, c, x, y) != test_get (&out, c, x, step * y + field))
            g_error ("%s %dx%d %s: component %d at %d, %d: %u, wanted %u", du_format_name (format), width,
                height, mode, c, x, step * y + field, test_get (&out, c, x, step * y + field),
                test_get (&wanted, c, x, y));
    gst_caps_unref (caps);
    test_frame_clear (&part);
    test_frame_clear (&wanted);
  }
  element_clear (&element);
  test_frame_clear (&in);
  test_frame_clear (&out);
}

static void
test_interlaced (void)
{
  g_autofree char *noise = element_weights_noise (3);

  check_fields (noise, DU_FORMAT_RGB, 24, 15, "interleaved", FALSE);
  check_fields (noise, DU_FORMAT_I420, 24, 16, "interleaved", FALSE);
  check_fields (noise, DU_FORMAT_NV12, 17, 20, "mixed", TRUE);
  check_fields (noise, DU_FORMAT_I420, 24, 16, "mixed", FALSE);
}

/* Heights whose fields end in a chroma line of their own, down to a single line. */
static void
test_interlaced_heights (void)
{
  static const DuFormat formats[] = { DU_FORMAT_I420, DU_FORMAT_NV12, DU_FORMAT_YUY2, DU_FORMAT_P010_10LE };
  Element element;

  element_init (&element, identity);
  element_play (&element, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    for (int height = 1; height <= 7; height++) {
      DuFrameInfo info = default_info (formats[i], 5, height);
      GstCaps *caps = element_caps (info.format, 5, height, NULL);
      g_autofree char *what = test_info_to_string (&info);
      TestFrame in, out;

      gst_caps_set_simple (caps, "interlace-mode", G_TYPE_STRING, "interleaved", NULL);
      test_frame_init_random (&in, &info, height);
      gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
      element_process (&element, &in, caps, &out);
      test_frame_check_equal (&in, &out, what);
      test_frame_clear (&in);
      test_frame_clear (&out);
      gst_caps_unref (caps);
    }
  element_assert_no_message (&element, GST_MESSAGE_ERROR);
  element_clear (&element);
}

/* strength=0: the very same buffer, or a copy in a layout that downstream can read. */
static void
test_pass_through (void)
{
  DuFrameInfo info = default_info (DU_FORMAT_I420, 30, 22);
  GstCaps *caps = element_caps (info.format, info.width, info.height, NULL);
  TestFrame in, out;

  test_frame_init_random (&in, &info, 5);
  for (int mode = 0; mode < 4; mode++) {
    gboolean meta = mode & 1, understood = mode & 2;
    GstBuffer *buffer = element_buffer_from (&in, caps), *result;
    Element element;

    element_init (&element, shift);
    g_object_set (element.element, "strength", 0.0, NULL);
    element_play (&element, NULL);
    if (understood)
      gst_harness_add_propose_allocation_meta (element.harness, GST_VIDEO_META_API_TYPE, NULL);
    gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
    if (meta)
      gst_buffer_add_video_meta (
          buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_I420, info.width, info.height);
    g_assert_cmpint (gst_harness_push (element.harness, gst_buffer_ref (buffer)), ==, GST_FLOW_OK);
    result = gst_harness_pull (element.harness);
    g_assert_cmpint (result == buffer, ==, !meta || understood);
    element_buffer_to (result, caps, &info, &out);
    test_frame_check_equal (&in, &out, "passed through");
    test_frame_clear (&out);
    gst_buffer_unref (buffer);
    gst_buffer_unref (result);
    g_assert_cmpfloat (element_stat (&element, "passed-through"), ==, 1);
    g_assert_cmpfloat (element_stat (&element, "frames"), ==, 0);
    element_clear (&element);
  }
  test_frame_clear (&in);
  gst_caps_unref (caps);
}

/* A frame that videorate repeats has the GAP flag: it is deblurred as the one before it was, and stays a repeated
 * one. */
static void
test_gap (void)
{
  DuFrameInfo info = default_info (DU_FORMAT_I420, 30, 22);
  GstCaps *caps = element_caps (info.format, info.width, info.height, NULL);
  TestFrame in, out[2];
  Element element;

  test_frame_init_random (&in, &info, 5);
  element_init (&element, shift);
  element_play (&element, NULL);
  gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
  for (int gap = 0; gap < 2; gap++) {
    GstBuffer *buffer = element_buffer_from (&in, caps);

    if (gap)
      GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_GAP);
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
    buffer = gst_harness_pull (element.harness);
    g_assert_cmpint (GST_BUFFER_FLAG_IS_SET (buffer, GST_BUFFER_FLAG_GAP), ==, gap);
    element_buffer_to (buffer, caps, &info, &out[gap]);
    gst_buffer_unref (buffer);
  }
  test_frame_check_equal (&out[0], &out[1], "a repeated frame");
  g_assert_cmpfloat (element_stat (&element, "frames"), ==, 2);
  g_assert_cmpfloat (element_stat (&element, "passed-through"), ==, 0);
  element_clear (&element);
  for (int gap = 0; gap < 2; gap++)
    test_frame_clear (&out[gap]);
  test_frame_clear (&in);
  gst_caps_unref (caps);
}

/* Left of pixel at, the input; then two white pixels, unless at is a border; then the result. */
static void
check_split_line (const TestFrame *in, const TestFrame *after, const TestFrame *out, int c, int y, int at)
{
  const char *format = du_format_name (in->info.format);
  int width = test_component_width (&in->info, c);
  int step = width < in->info.width ? 2 : 1, end = at > 0 && at < in->info.width ? at + 2 : at;
  guint white = (1u << test_depth (&in->info)) - 1;

  if (!in->info.full_range)
    white = (c ? 128u : 235u) << (test_depth (&in->info) - 8);
  for (int x = 0; x < width; x++) {
    guint got = test_get (out, c, x, y);
    guint wanted = step * x < at ? test_get (in, c, x, y) : white;

    if (step * x >= end)
      wanted = test_get (after, c, x, y);
    if (got != wanted)
      g_error ("%s, line at %d: component %d at %d, %d is %u, wanted %u", format, at, c, x, y, got, wanted);
  }
}

/* compare=split: left of the line the input, right of it the result, alpha the input's everywhere. */
static void
test_split (void)
{
  static const DuFormat formats[] = { DU_FORMAT_RGB, DU_FORMAT_ARGB, DU_FORMAT_I420, DU_FORMAT_NV12,
    DU_FORMAT_YUY2, DU_FORMAT_GRAY8, DU_FORMAT_P010_10LE, DU_FORMAT_ARGB64 };
  static const double positions[] = { 0, 0.3, 0.5, 1 };
  Element plain, element;

  element_init (&plain, shift);
  element_play (&plain, NULL);
  element_init (&element, shift);
  gst_util_set_object_arg (G_OBJECT (element.element), "compare", "split");
  element_play (&element, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    for (guint k = 0; k < G_N_ELEMENTS (positions); k++) {
      DuFrameInfo info = default_info (formats[i], 41, 9);
      GstCaps *caps = element_caps (info.format, info.width, info.height, NULL);
      int at = positions[k] < 1 ? (int) (positions[k] * info.width + 0.5) & ~1 : info.width;
      TestFrame in, after, out;

      g_object_set (element.element, "split-position", positions[k], NULL);
      test_frame_init_random (&in, &info, i);
      gst_harness_set_src_caps (plain.harness, gst_caps_ref (caps));
      gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
      element_process (&plain, &in, caps, &after);
      element_process (&element, &in, caps, &out);
      for (int c = 0; c < test_components (&info); c++)
        for (int y = 0; y < test_component_height (&info, c); y++)
          check_split_line (&in, &after, &out, c, y, at);
      test_frame_check_rest_equal (&in, &out, "alpha");
      test_frame_clear (&in);
      test_frame_clear (&after);
      test_frame_clear (&out);
      gst_caps_unref (caps);
    }
  element_clear (&plain);
  element_clear (&element);
}

/* strength follows a control source, frame by frame, in stream time. */
static void
test_controller (void)
{
  DuFrameInfo info = default_info (DU_FORMAT_GRAY8, 16, 16);
  GstCaps *caps = element_caps (info.format, info.width, info.height, NULL);
  g_autofree char *gray = element_weights_shift (0.2, 0.2, 0.2);
  GstControlSource *source = gst_interpolation_control_source_new ();
  Element element;
  TestFrame in;

  test_frame_init (&in, &info, 0, FALSE);
  memset (in.memory[0], 100, in.size[0]);
  element_init (&element, gray);
  g_object_set (source, "mode", GST_INTERPOLATION_MODE_LINEAR, NULL);
  gst_timed_value_control_source_set (GST_TIMED_VALUE_CONTROL_SOURCE (source), 0, 0);
  gst_timed_value_control_source_set (GST_TIMED_VALUE_CONTROL_SOURCE (source), 10 * GST_SECOND, 1);
  gst_object_add_control_binding (GST_OBJECT (element.element),
      gst_direct_control_binding_new (GST_OBJECT (element.element), "strength", source));
  element_play (&element, NULL);
  gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
  for (int second = 0; second <= 10; second++) {
    GstBuffer *buffer = element_buffer_from (&in, caps);
    TestFrame out;

    GST_BUFFER_PTS (buffer) = second * GST_SECOND;
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
    buffer = gst_harness_pull (element.harness);
    element_buffer_to (buffer, caps, &info, &out);
    g_assert_cmpfloat_with_epsilon (out.memory[0][37], 100 + 0.2 * 255 * second / 10, 0.51);
    test_frame_clear (&out);
    gst_buffer_unref (buffer);
  }
  g_assert_cmpfloat (element_stat (&element, "passed-through"), ==, 1);
  element_clear (&element);
  gst_object_unref (source);
  gst_caps_unref (caps);
  test_frame_clear (&in);
}

int
main (int argc, char **argv)
{
  int result;

  element_tests_init (&argc, &argv);
  identity = element_weights_identity (2);
  shift = element_weights_shift (delta[0], delta[1], delta[2]);
  g_test_add_func ("/element/identity", test_identity);
  g_test_add_func ("/element/correction", test_correction);
  g_test_add_func ("/element/colorimetry", test_colorimetry);
  g_test_add_func ("/element/sizes", test_sizes);
  g_test_add_func ("/element/caps", test_caps);
  g_test_add_func ("/element/interlaced", test_interlaced);
  g_test_add_func ("/element/interlaced-heights", test_interlaced_heights);
  g_test_add_func ("/element/pass-through", test_pass_through);
  g_test_add_func ("/element/gap", test_gap);
  g_test_add_func ("/element/split", test_split);
  g_test_add_func ("/element/controller", test_controller);
  result = element_tests_run ();
  g_free (identity);
  g_free (shift);
  return result;
}

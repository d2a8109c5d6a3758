/* compare=side-by-side: the wide picture in every format, its caps, its metas, and switching while frames flow.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <string.h>

static char *shift, *noise;

static void
init (Element *element, const char *weights, const char *compare)
{
  element_init (element, weights);
  gst_util_set_object_arg (G_OBJECT (element->element), "compare", compare);
  element_play (element, NULL);
}

static guint
white (const DuFrameInfo *info, int component)
{
  if (info->full_range)
    return (1u << test_depth (info)) - 1;
  return (component ? 128u : 235u) << (test_depth (info) - 8);
}

/* Sample x of a half: the picture's, whose last one stands there twice where the width is odd. */
static guint
picture_sample (const TestFrame *picture, int component, int x, int y)
{
  return test_get (picture, component, MIN (x, test_component_width (&picture->info, component) - 1), y);
}

static void
check_wide (const TestFrame *in, const TestFrame *after, const TestFrame *wide)
{
  int half = wide->info.width / 2;

  for (int c = 0; c < test_components (&in->info); c++) {
    int width = test_component_width (&wide->info, c), step = wide->info.width / width;

    for (int y = 0; y < test_component_height (&in->info, c); y++)
      for (int x = 0; x < width; x++) {
        guint got = test_get (wide, c, x, y), wanted;

        if (step * x >= half - 2 && step * x < half)
          wanted = white (&in->info, c);
        else if (step * x < half)
          wanted = picture_sample (in, c, x, y);
        else
          wanted = picture_sample (after, c, x - width / 2, y);
        if (got != wanted)
          g_error ("%s %dx%d: component %d at %d, %d is %u, wanted %u", du_format_name (in->info.format),
              in->info.width, in->info.height, c, x, y, got, wanted);
      }
  }
}

/* Bytes that are no sample of R, G, B (alpha, padding) are the input's in both halves. */
static void
check_rest (const TestFrame *in, const TestFrame *wide)
{
  int bytes = in->frame.stride[0] / in->info.width, half = wide->info.width / 2;
  gboolean first = du_format_name (in->info.format)[0] == 'A' || du_format_name (in->info.format)[0] == 'x';

  if ((bytes != 4 && bytes != 8) || !strchr (du_format_name (in->info.format), 'R'))
    return;
  for (int y = 0; y < in->info.height; y++)
    for (int x = 0; x < wide->info.width; x++) {
      int at = first ? 0 : 3 * bytes / 4;
      const guint8 *ours = wide->frame.data[0] + (gsize) y * wide->frame.stride[0] + x * bytes + at;
      const guint8 *theirs = in->frame.data[0] + (gsize) y * in->frame.stride[0]
                             + MIN (x % half, in->info.width - 1) * bytes + at;

      if (memcmp (ours, theirs, bytes / 4))
        g_error ("%s %d: alpha or padding at %d, %d", du_format_name (in->info.format), in->info.width, x, y);
    }
}

static DuFrameInfo
make_info (DuFormat format, int width, int height)
{
  const char *name = du_format_name (format);
  DuFrameInfo info = { .format = format, .width = width, .height = height };

  info.full_range = strstr (name, "YUV") == NULL && strchr (name, 'R') != NULL;
  return info;
}

/* What the plain element makes of the frame, beside the frame: with work to do and with none, interlaced or
 * not. */
static void
test_formats (void)
{
  static const int sizes[][2] = { { 1, 1 }, { 2, 3 }, { 3, 2 }, { 17, 5 }, { 41, 9 }, { 64, 16 }, { 961, 4 } };
  static const char *const modes[] = { "progressive", "interleaved" };
  Element plain, element;

  init (&plain, noise, "none");
  init (&element, noise, "side-by-side");
  for (DuFormat format = 0; format < DU_N_FORMATS; format++)
    for (guint i = 0; i < 2 * G_N_ELEMENTS (sizes); i++) {
      DuFrameInfo info = make_info (format, sizes[i / 2][0], sizes[i / 2][1]), wide_info = info;
      GstCaps *caps = element_caps (format, info.width, info.height, NULL);
      GstCaps *wide_caps, *now;
      TestFrame in, after, wide;
      GstBuffer *buffer;

      g_object_set (plain.element, "strength", i % 3 ? 0.5 : 0.0, NULL);
      g_object_set (element.element, "strength", i % 3 ? 0.5 : 0.0, NULL);
      gst_caps_set_simple (caps, "interlace-mode", G_TYPE_STRING, modes[i % 2], NULL);
      wide_caps = gst_caps_copy (caps);
      wide_info.width = 2 * ((info.width + 1) / 2 * 2);
      gst_caps_set_simple (wide_caps, "width", G_TYPE_INT, wide_info.width, NULL);
      test_frame_init_random (&in, &info, 100 * format + i);
      gst_harness_set_src_caps (plain.harness, gst_caps_ref (caps));
      gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
      element_process (&plain, &in, caps, &after);
      g_assert_cmpint (
          gst_harness_push (element.harness, element_buffer_from (&in, caps)), ==, GST_FLOW_OK);
      buffer = gst_harness_pull (element.harness);
      now = gst_pad_get_current_caps (element.harness->sinkpad);
      if (!gst_caps_is_equal (now, wide_caps))
        g_error ("%s came out", gst_caps_to_string (now));
      element_buffer_to (buffer, wide_caps, &wide_info, &wide);
      gst_buffer_unref (buffer);
      if (info.width < 900) { /* where the line is two pixels wide */
        check_wide (&in, &after, &wide);
        check_rest (&in, &wide);
      }
      test_frame_clear (&in);
      test_frame_clear (&after);
      test_frame_clear (&wide);
      gst_caps_unref (now);
      gst_caps_unref (wide_caps);
      gst_caps_unref (caps);
    }
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&plain);
  element_clear (&element);
}

/* What the pads say they can do, given what the other side can. */
static void
test_caps (void)
{
  static const struct
  {
    const char *pad, *other, *wanted; /* widths */
  } cases[] = {
    { "src", "640", "1280" },
    { "src", "641", "1284" },
    { "src", "1", "4" },
    { "src", "[ 1, 32767 ]", "[ 4, 65536, 4 ]" },
    { "src", "[ 100, 200 ]", "[ 200, 400, 4 ]" },
    { "src", "{ 10, 11, 20 }", "{ 20, 24, 40 }" },
    { "sink", "1280", "[ 639, 640 ]" },
    { "sink", "4", "[ 1, 2 ]" },
    { "sink", "641", NULL },
    { "sink", "2", NULL },
    { "sink", "{ 641, 1284 }", "{ 641, 642 }" },
    { "sink", "{ 40, 80 }", "{ 19, 20, 39, 40 }" },
    { "sink", "{ 1, 641 }", NULL },
    { "sink", "[ 1, 2147483647 ]", "[ 1, 32767 ]" },
    { "sink", "[ 101, 200 ]", "[ 51, 100 ]" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const char *const frame = "video/x-raw, format=(string)I420, width=(int)%s, height=(int)2";
    g_autofree char *text = g_strdup_printf (frame, cases[i].other);
    g_autofree char *wanted_text = g_strdup_printf (frame, cases[i].wanted ? cases[i].wanted : "0");
    GstCaps *caps = gst_caps_from_string (text), *wanted = gst_caps_from_string (wanted_text), *got;
    gboolean src = strcmp (cases[i].pad, "src") == 0;
    GstElement *element = gst_object_ref_sink (gst_element_factory_make ("deblurunet", NULL));
    GstPad *pad = gst_element_get_static_pad (element, cases[i].pad);
    GstPad *other = gst_element_get_static_pad (element, src ? "sink" : "src");
    GstPadTemplate *neighbour
        = gst_object_ref_sink (gst_pad_template_new ("pad", src ? GST_PAD_SRC : GST_PAD_SINK, GST_PAD_ALWAYS, caps));
    GstPad *theirs = gst_object_ref_sink (gst_pad_new_from_template (neighbour, "pad"));

    gst_util_set_object_arg (G_OBJECT (element), "compare", "side-by-side");
    g_assert_cmpint (src ? gst_pad_link (theirs, other) : gst_pad_link (other, theirs), ==,
        cases[i].wanted ? GST_PAD_LINK_OK : GST_PAD_LINK_NOFORMAT);
    got = gst_pad_query_caps (pad, NULL);
    while (gst_caps_get_size (got) > 1) /* GstBaseTransform puts those first that both sides have in common */
      gst_caps_remove_structure ((got = gst_caps_make_writable (got)), 0);
    if (cases[i].wanted && !gst_caps_is_equal (got, wanted))
      g_error ("%s pad, width %s on the other one: %s", cases[i].pad, cases[i].other, gst_caps_to_string (got));
    gst_caps_unref (got);
    gst_caps_unref (wanted);
    gst_caps_unref (caps);
    gst_object_unref (theirs);
    gst_object_unref (neighbour);
    gst_object_unref (other);
    gst_object_unref (pad);
    gst_object_unref (element);
  }
}

/* To and fro while frames flow, and while some are on their way: each comes out as wide as it was to be when it
 * went in, under caps that say so. */
static void
test_switching (gconstpointer in_flight)
{
  static const char *const compares[] = { "none", "side-by-side", "split", "side-by-side", "none" };
  DuFrameInfo info = make_info (DU_FORMAT_NV12, 38, 6);
  GstCaps *caps = element_caps (info.format, info.width, info.height, NULL);
  guint n = 2 * G_N_ELEMENTS (compares);
  Element element;
  TestFrame in;

  test_frame_init (&in, &info, 0, FALSE);
  element_init (&element, shift);
  g_object_set (element.element, "frames-in-flight", GPOINTER_TO_UINT (in_flight), NULL);
  element_play (&element, NULL);
  gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
  for (guint i = 0; i < n; i++) {
    gst_util_set_object_arg (G_OBJECT (element.element), "compare", compares[i / 2]);
    g_assert_cmpint (gst_harness_push (element.harness, element_buffer_from (&in, caps)), ==, GST_FLOW_OK);
  }
  g_assert_true (gst_harness_push_event (element.harness, gst_event_new_eos ()));
  g_assert_cmpuint (gst_harness_buffers_received (element.harness), ==, n);
  for (guint i = 0; i < n; i++) {
    GstBuffer *buffer = gst_harness_pull (element.harness);
    GstVideoInfo video;

    gst_video_info_set_format (
        &video, GST_VIDEO_FORMAT_NV12, strcmp (compares[i / 2], "side-by-side") == 0 ? 76 : 38, info.height);
    g_assert_cmpuint (gst_buffer_get_size (buffer), ==, video.size);
    gst_buffer_unref (buffer);
  }
  for (int width = 38, changes = 0; changes < 5; width = 114 - width, changes++) {
    GstEvent *event;
    GstCaps *told;
    int got;

    do
      event = gst_harness_pull_event (element.harness);
    while (GST_EVENT_TYPE (event) != GST_EVENT_CAPS && (gst_event_unref (event), TRUE));
    gst_event_parse_caps (event, &told);
    g_assert_true (gst_structure_get_int (gst_caps_get_structure (told, 0), "width", &got));
    g_assert_cmpint (got, ==, width);
    gst_event_unref (event);
  }
  g_assert_cmpfloat (element_stat (&element, "frames"), ==, n);
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
  test_frame_clear (&in);
  gst_caps_unref (caps);
}

/* Metas about places in the picture are not true of two of them; the others stay. A GAP frame is doubled too. */
static void
test_metas (void)
{
  DuFrameInfo info = make_info (DU_FORMAT_RGB, 20, 6);
  GstCaps *caps = element_caps (info.format, info.width, info.height, NULL);
  GstVideoTimeCode *timecode = gst_video_time_code_new (25, 1, NULL, 0, 1, 2, 3, 4, 0);
  Element element;
  TestFrame in;

  test_frame_init (&in, &info, 0, FALSE);
  init (&element, shift, "side-by-side");
  gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
  for (int gap = 0; gap < 2; gap++) {
    GstBuffer *buffer = element_buffer_from (&in, caps);
    GstVideoCropMeta *crop = gst_buffer_add_video_crop_meta (buffer);

    crop->width = crop->height = 3;
    gst_buffer_add_video_region_of_interest_meta (buffer, "face", 1, 2, 3, 4);
    gst_buffer_add_video_time_code_meta (buffer, timecode);
    GST_BUFFER_PTS (buffer) = 77;
    if (gap)
      GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_GAP);
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
    buffer = gst_harness_pull (element.harness);
    g_assert_cmpuint (gst_buffer_get_size (buffer), ==, 40 * 3 * 6);
    g_assert_null (gst_buffer_get_video_crop_meta (buffer));
    g_assert_null (gst_buffer_get_video_region_of_interest_meta_id (buffer, 0));
    g_assert_nonnull (gst_buffer_get_video_time_code_meta (buffer));
    g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, 77);
    gst_buffer_unref (buffer);
  }
  element_clear (&element);
  gst_video_time_code_free (timecode);
  test_frame_clear (&in);
  gst_caps_unref (caps);
}

/* A size that downstream does not take is an error, not a hang or a garbled frame. */
static void
test_refused (void)
{
  DuFrameInfo info = make_info (DU_FORMAT_GRAY8, 20, 6);
  GstCaps *caps = element_caps (info.format, info.width, info.height, NULL);
  Element element;
  TestFrame in;

  test_frame_init (&in, &info, 0, FALSE);
  init (&element, shift, "none");
  gst_harness_set_caps (element.harness, gst_caps_ref (caps), gst_caps_ref (caps));
  for (int i = 0; i < 3; i++) {
    gboolean wide = i == 1;

    gst_util_set_object_arg (G_OBJECT (element.element), "compare", wide ? "side-by-side" : "none");
    g_assert_cmpint (gst_harness_push (element.harness, element_buffer_from (&in, caps)), ==,
        wide ? GST_FLOW_NOT_NEGOTIATED : GST_FLOW_OK);
  }
  g_assert_cmpuint (gst_harness_buffers_received (element.harness), ==, 2);
  element_clear (&element);
  test_frame_clear (&in);
  gst_caps_unref (caps);
}

int
main (int argc, char **argv)
{
  int result;

  element_tests_init (&argc, &argv);
  shift = element_weights_shift (0.11, -0.07, 0.04);
  noise = element_weights_noise (5);
  g_test_add_func ("/element/compare/formats", test_formats);
  g_test_add_func ("/element/compare/caps", test_caps);
  g_test_add_data_func ("/element/compare/switching", GUINT_TO_POINTER (0), test_switching);
  g_test_add_data_func ("/element/compare/switching-in-flight", GUINT_TO_POINTER (2), test_switching);
  g_test_add_func ("/element/compare/metas", test_metas);
  g_test_add_func ("/element/compare/refused", test_refused);
  result = element_tests_run ();
  g_free (shift);
  g_free (noise);
  return result;
}

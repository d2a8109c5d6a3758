/* The element with frames of unusual sizes: slivers, primes, a tile and one pixel more, and very large ones.
 * DEBLURUNET_TEST_LARGE=1 also deblurs a whole frame of 16384 x 16384.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum
{
  LARGE = 16384, /* pixels a side */
};

static char *identity;

static void
init (Element *element, const char *tile_mode)
{
  element_init (element, identity);
  gst_util_set_object_arg (G_OBJECT (element->element), "tile-mode", tile_mode);
  element_play (element, NULL);
}

static void
check_size (Element *element, DuFormat format, int width, int height, guint seed)
{
  DuFrameInfo info = { .format = format, .width = width, .height = height };
  GstCaps *caps = element_caps (format, width, height, NULL);
  g_autofree char *what = test_info_to_string (&info);
  TestFrame in, out;

  test_frame_init_random (&in, &info, seed);
  gst_harness_set_src_caps (element->harness, gst_caps_ref (caps));
  element_process (element, &in, caps, &out);
  test_frame_check_equal (&in, &out, what);
  test_frame_clear (&in);
  test_frame_clear (&out);
  gst_caps_unref (caps);
}

static void
test_unusual (void)
{
  static const int sizes[][2] = { { 1, 1 }, { 1, 997 }, { 997, 1 }, { 2, 509 }, { 61, 67 }, { 448, 256 },
    { 449, 256 }, { 448, 257 }, { 447, 255 }, { 113, 449 }, { 7680, 17 }, { 8191, 3 }, { 32767, 1 } };
  static const DuFormat formats[] = { DU_FORMAT_I420, DU_FORMAT_YUY2, DU_FORMAT_P010_10LE, DU_FORMAT_RGB };

  for (int mode = 0; mode < 2; mode++) {
    Element element;

    init (&element, mode ? "balanced" : "fixed");
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
      check_size (&element, formats[(i + mode) % G_N_ELEMENTS (formats)], sizes[i][0], sizes[i][1], i);
    element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
    element_clear (&element);
  }
}

static GstBuffer *
zero_buffer (int width, int height)
{
  gsize size = (gsize) width * height;

  return gst_buffer_new_wrapped (g_malloc0 (size), size);
}

static gsize
address_space (void)
{
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  return g_ascii_strtoull (text, NULL, 10) * sysconf (_SC_PAGESIZE);
}

/* 268 MB where there is no memory for the result, or for the tiles beside it: an error that says so, and the
 * element works on. */
static void
test_no_memory (void)
{
  static const gsize left[] = { 100 << 20, 290 << 20 };
  Element element;
  struct rlimit all, some;

  if (element_memory_is_watched ()) {
    g_test_skip ("a limit of memory ends the sanitizer");
    return;
  }
  getrlimit (RLIMIT_AS, &all);
  init (&element, "fixed");
  for (guint i = 0; i < G_N_ELEMENTS (left); i++) {
    GstCaps *caps = element_caps (DU_FORMAT_GRAY8, LARGE, LARGE, NULL);
    GstBuffer *buffer = zero_buffer (LARGE, LARGE);
    GstFlowReturn flow;

    check_size (&element, DU_FORMAT_GRAY8, 20, 20, i); /* the network is there */
    gst_harness_set_src_caps (element.harness, caps);
    some = all;
    some.rlim_cur = address_space () + left[i];
    g_assert_cmpint (setrlimit (RLIMIT_AS, &some), ==, 0);
    flow = gst_harness_push (element.harness, buffer);
    g_assert_cmpint (setrlimit (RLIMIT_AS, &all), ==, 0);
    g_assert_cmpint (flow, ==, GST_FLOW_ERROR);
    element_assert_message (&element, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NO_SPACE_LEFT,
        i ? "MB for frames of" : "268 MB");
    g_assert_null (gst_harness_try_pull (element.harness));
  }
  check_size (&element, DU_FORMAT_GRAY8, 20, 20, 9);
  element_clear (&element);
}

/* Its memory is the two frames', and little more. */
static void
test_large (void)
{
  const gsize frame = (gsize) LARGE * LARGE / 1024; /* kilobytes */
  Element element;
  GstBuffer *buffer;
  gsize before;

  if (!g_getenv ("DEBLURUNET_TEST_LARGE")) {
    g_test_skip ("DEBLURUNET_TEST_LARGE is not set");
    return;
  }
  init (&element, "fixed");
  g_object_set (element.element, "overlap", 0, NULL);
  check_size (&element, DU_FORMAT_GRAY8, 20, 20, 1);
  before = element_resident ();
  gst_harness_set_src_caps (element.harness, element_caps (DU_FORMAT_GRAY8, LARGE, LARGE, NULL));
  g_assert_cmpint (gst_harness_push (element.harness, zero_buffer (LARGE, LARGE)), ==, GST_FLOW_OK);
  buffer = gst_harness_pull (element.harness);
  g_test_message ("%.0f tiles, %" G_GSIZE_FORMAT " kB resident before, %" G_GSIZE_FORMAT " kB with the result",
      element_stat (&element, "tiles-per-frame"), before, element_resident ());
  g_assert_cmpuint (gst_buffer_get_size (buffer), ==, (gsize) LARGE * LARGE);
  g_assert_cmpuint (element_resident (), <, before + 2 * frame + 100 * 1024);
  gst_buffer_unref (buffer);
  element_clear (&element);
}

int
main (int argc, char **argv)
{
  int result;

  element_tests_init (&argc, &argv);
  identity = element_weights_identity (1);
  g_test_add_func ("/element/sizes/unusual", test_unusual);
  g_test_add_func ("/element/sizes/no-memory", test_no_memory);
  g_test_add_func ("/element/sizes/large", test_large);
  result = element_tests_run ();
  g_free (identity);
  return result;
}

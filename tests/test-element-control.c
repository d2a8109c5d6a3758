/* What one sets and reads beside the picture: presets, the tiles' size, statistics and their message.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <string.h>

static char *identity;

#define CAPS "video/x-raw, format=GRAY8, width=30, height=22, framerate=25/1"

static void
push (Element *element)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, 32 * 22, NULL);

  gst_buffer_memset (buffer, 0, 60, 32 * 22);
  g_assert_cmpint (gst_harness_push (element->harness, buffer), ==, GST_FLOW_OK);
  gst_buffer_unref (gst_harness_pull (element->harness));
}

/* Those of the file that is installed, each loads and sets what it says. */
static void
test_presets (void)
{
  static const struct
  {
    const char *name, *weights, *tile_mode;
    int overlap;
    const char *precision;
    double strength;
  } wanted[] = {
    { "fast", "small", "balanced", 32, "auto", 1 },
    { "live", "tiny", "balanced", 32, "auto", 1 },
    { "quality", "mine", "fixed", 128, "f32", 1 },
    { "gentle", "mine", "balanced", 77, "bf16", 0.5 }, /* leaves the others as they are */
  };
  GstElement *element = gst_object_ref_sink (gst_element_factory_make ("deblurunet", NULL));
  g_auto (GStrv) names = gst_preset_get_preset_names (GST_PRESET (element));

  g_assert_nonnull (names);
  g_assert_cmpuint (g_strv_length (names), ==, G_N_ELEMENTS (wanted));
  for (guint i = 0; i < G_N_ELEMENTS (wanted); i++) {
    g_autofree char *comment = NULL, *weights = NULL;
    int overlap;
    double strength;

    gst_util_set_object_arg (G_OBJECT (element), "tile-mode", "balanced");
    gst_util_set_object_arg (G_OBJECT (element), "precision", "bf16");
    g_object_set (element, "weights", "mine", "overlap", 77, "strength", 0.25, NULL);
    g_assert_true (g_strv_contains ((const char *const *) names, wanted[i].name));
    g_assert_true (gst_preset_load_preset (GST_PRESET (element), wanted[i].name));
    g_assert_true (gst_preset_get_meta (GST_PRESET (element), wanted[i].name, "comment", &comment));
    g_object_get (element, "weights", &weights, "overlap", &overlap, "strength", &strength, NULL);
    g_assert_cmpstr (weights, ==, wanted[i].weights);
    g_assert_cmpint (overlap, ==, wanted[i].overlap);
    g_assert_cmpfloat (strength, ==, wanted[i].strength);
    for (int property = 0; property < 2; property++) {
      GValue value = G_VALUE_INIT;
      g_autofree char *text = NULL;

      g_object_get_property (G_OBJECT (element), property ? "precision" : "tile-mode", &value);
      text = gst_value_serialize (&value);
      g_assert_cmpstr (text, ==, property ? wanted[i].precision : wanted[i].tile_mode);
      g_value_unset (&value);
    }
  }
  g_assert_false (gst_preset_load_preset (GST_PRESET (element), "none of them"));
  gst_object_unref (element);
}

static GstStructure *
get_stats (Element *element)
{
  GstStructure *stats;

  g_object_get (element->element, "stats", &stats, NULL);
  return stats;
}

/* tile-mode and overlap reach the library, from the next caps on. */
static void
test_tile_mode (void)
{
  static const struct
  {
    const char *mode;
    int overlap, width, tiles, tile_width, tile_height;
  } cases[] = {
    { "fixed", 128, 30, 1, 448, 256 },
    { "balanced", 128, 30, 1, 32, 32 },
    { "balanced", 128, 460, 2, 304, 32 },
    { "balanced", 32, 460, 2, 256, 32 },
    { "fixed", 32, 460, 2, 448, 256 },
  };
  Element element;

  element_init (&element, identity);
  element_play (&element, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GstCaps *caps = element_caps (DU_FORMAT_GRAY8, cases[i].width, 22, NULL);
    GstVideoInfo video;
    GstBuffer *buffer;

    gst_video_info_from_caps (&video, caps);
    buffer = gst_buffer_new_allocate (NULL, video.size, NULL);
    gst_buffer_memset (buffer, 0, 60, video.size);
    gst_util_set_object_arg (G_OBJECT (element.element), "tile-mode", cases[i].mode);
    g_object_set (element.element, "overlap", cases[i].overlap, NULL);
    gst_caps_set_simple (caps, "framerate", GST_TYPE_FRACTION, 25 + i, 1, NULL); /* others than before */
    gst_harness_set_src_caps (element.harness, caps);
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
    gst_buffer_unref (gst_harness_pull (element.harness));
    g_assert_cmpfloat (element_stat (&element, "tiles-per-frame"), ==, cases[i].tiles);
    g_assert_cmpfloat (element_stat (&element, "tile-width"), ==, cases[i].tile_width);
    g_assert_cmpfloat (element_stat (&element, "tile-height"), ==, cases[i].tile_height);
  }
  element_clear (&element);
}

/* What the weights are called. */
static void
test_weights_name (void)
{
  Element element;
  g_autoptr (GstStructure) stats = NULL;
  const GstStructure *metadata;
  const char *version;

  element_init (&element, identity);
  element_play (&element, CAPS);
  stats = get_stats (&element);
  g_assert_cmpstr (gst_structure_get_string (stats, "weights-name"), ==, "identity-1");
  version = gst_structure_get_string (stats, "weights-version");
  metadata = gst_value_get_structure (gst_structure_get_value (stats, "metadata"));
  g_assert_cmpuint (strlen (version), ==, 12);
  g_assert_true (g_str_has_prefix (gst_structure_get_string (metadata, "sha256"), version));
  element_clear (&element);
}

/* The number of messages on the bus; the last one's frames. */
static guint
count_messages (Element *element, guint64 *frames)
{
  GstMessage *message;
  guint n = 0;

  while ((message = gst_bus_pop_filtered (element->bus, GST_MESSAGE_ELEMENT))) {
    const GstStructure *structure = gst_message_get_structure (message);
    GstStructure *stats = get_stats (element);

    g_assert_true (GST_MESSAGE_SRC (message) == GST_OBJECT (element->element));
    g_assert_true (gst_structure_has_name (structure, "deblurunet-stats"));
    g_assert_cmpint (gst_structure_n_fields (structure), ==, gst_structure_n_fields (stats));
    g_assert_cmpstr (gst_structure_get_string (structure, "backend"), ==, "onednn");
    g_assert_true (gst_structure_get_uint64 (structure, "frames", frames));
    gst_structure_free (stats);
    gst_message_unref (message);
    n++;
  }
  return n;
}

/* stats-interval: none at 0; with a long one, the first frame's alone; with a short one, frame by frame. */
static void
test_interval (void)
{
  Element element;
  guint64 frames = 0;

  element_init (&element, identity);
  element_play (&element, CAPS);
  push (&element);
  g_assert_cmpuint (count_messages (&element, &frames), ==, 0);
  g_object_set (element.element, "stats-interval", 3600000, NULL);
  for (int i = 0; i < 3; i++)
    push (&element);
  g_assert_cmpuint (count_messages (&element, &frames), ==, 1);
  g_assert_cmpuint (frames, ==, 2);
  g_object_set (element.element, "stats-interval", 1, NULL);
  for (int i = 0; i < 3; i++) {
    g_usleep (1100);
    push (&element);
  }
  g_assert_cmpuint (count_messages (&element, &frames), ==, 3);
  g_assert_cmpuint (frames, ==, 7);
  g_object_set (element.element, "strength", 0.0, NULL); /* frames that pass through are told of too */
  g_usleep (1100);
  push (&element);
  g_assert_cmpuint (count_messages (&element, &frames), ==, 1);
  g_assert_cmpuint (frames, ==, 7);
  g_object_set (element.element, "stats-interval", 0, NULL);
  push (&element);
  g_assert_cmpuint (count_messages (&element, &frames), ==, 0);
  element_clear (&element);
}

int
main (int argc, char **argv)
{
  int result;

  element_tests_init (&argc, &argv);
  identity = element_weights_identity (1);
  g_test_add_func ("/element/control/presets", test_presets);
  g_test_add_func ("/element/control/tile-mode", test_tile_mode);
  g_test_add_func ("/element/control/weights-name", test_weights_name);
  g_test_add_func ("/element/control/interval", test_interval);
  result = element_tests_run ();
  g_free (identity);
  return result;
}

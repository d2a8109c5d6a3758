/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char *folder;

void
element_tests_init (int *argc, char ***argv)
{
  g_autoptr (GError) error = NULL;

  g_test_init (argc, argv, NULL);
  gst_init (argc, argv);
  folder = g_dir_make_tmp ("deblurunet-XXXXXX", &error);
  g_assert_no_error (error);
}

int
element_tests_run (void)
{
  int result = g_test_run ();
  GDir *dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = element_path (name);

    g_remove (path);
  }
  g_dir_close (dir);
  g_rmdir (folder);
  g_free (folder);
  gst_deinit ();
  return result;
}

gboolean
element_load_plugins (const char *name, ...)
{
  gboolean ok = TRUE;
  va_list names;

  va_start (names, name);
  for (; ok && name; name = va_arg (names, const char *)) {
    g_autofree char *path = g_strdup_printf ("%s/libgst%s.so", GST_PLUGINS_DIR, name);
    GstPlugin *plugin = gst_plugin_load_file (path, NULL);

    ok = plugin != NULL;
    gst_clear_object (&plugin);
  }
  va_end (names);
  return ok;
}

char *
element_path (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

char *
element_file (const char *name, const void *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  char *path = element_path (name);

  g_file_set_contents (path, data, size, &error);
  g_assert_no_error (error);
  return path;
}

/* Saves a network whose parameters are those of a training's start, changed by change. */
static char *
write_weights (const char *name, int base_width,
    void (*change) (const DuTensorInfo *, float *, gconstpointer), gconstpointer data)
{
  const DuConfig config = { base_width, 0, DU_HEAD_RESIDUAL };
  g_autofree float *parameters = g_new (float, du_config_n_parameters (&config));
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) error = NULL;
  char *path = element_path (name);

  du_config_initialise (&config, 1, parameters);
  for (guint i = 0; change && i < du_config_n_tensors (&config); i++) {
    DuTensorInfo tensor;

    du_config_tensor (&config, i, &tensor);
    change (&tensor, parameters + tensor.offset, data);
  }
  g_hash_table_insert (metadata, (gpointer) "trained_on", (gpointer) name);
  model = du_model_new (&config, parameters, metadata, &error);
  g_assert_no_error (error);
  du_model_save (model, path, DU_DTYPE_F32, &error);
  g_assert_no_error (error);
  return path;
}

char *
element_weights_identity (int base_width)
{
  g_autofree char *name = g_strdup_printf ("identity-%d.safetensors", base_width);

  return write_weights (name, base_width, NULL, NULL);
}

static void
set_head_bias (const DuTensorInfo *tensor, float *values, gconstpointer data)
{
  const double *shift = data;

  for (gsize i = 0; strcmp (tensor->name, "head.bias") == 0 && i < tensor->count; i++)
    values[i] = (float) shift[i];
}

char *
element_weights_shift (double red, double green, double blue)
{
  const double shift[3] = { red, green, blue };
  g_autofree char *name = g_strdup_printf ("shift%+g%+g%+g.safetensors", red, green, blue);

  return write_weights (name, 1, set_head_bias, shift);
}

static void
randomise (const DuTensorInfo *tensor, float *values, gconstpointer data)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (GPOINTER_TO_UINT (data) + (guint) tensor->offset);

  for (gsize i = 0; i < tensor->count; i++)
    values[i] = (float) g_rand_double_range (random, -0.3, tensor->rank == 1 ? 0.3 : 0.5);
}

char *
element_weights_noise (guint seed)
{
  g_autofree char *name = g_strdup_printf ("noise-%u.safetensors", seed);

  return write_weights (name, 2, randomise, GUINT_TO_POINTER (seed));
}

static void
randomise_head (const DuTensorInfo *tensor, float *values, gconstpointer data)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (GPOINTER_TO_UINT (data));

  for (gsize i = 0; strcmp (tensor->name, "head.weight") == 0 && i < tensor->count; i++)
    values[i] = (float) g_rand_double_range (random, -4, 4);
}

char *
element_weights_mild (guint seed)
{
  g_autofree char *name = g_strdup_printf ("mild-%u.safetensors", seed);

  return write_weights (name, 2, randomise_head, GUINT_TO_POINTER (seed));
}

void
element_init (Element *element, const char *weights)
{
  *element = (Element){ .element = gst_element_factory_make ("deblurunet", NULL), .bus = gst_bus_new () };
  if (!element->element)
    g_error ("no element deblurunet: GST_PLUGIN_PATH_1_0 is %s", g_getenv ("GST_PLUGIN_PATH_1_0"));
  gst_object_ref_sink (element->element);
  gst_element_set_bus (element->element, element->bus);
  gst_util_set_object_arg (G_OBJECT (element->element), "backend", "cpu");
  gst_util_set_object_arg (G_OBJECT (element->element), "precision", "f32");
  gst_util_set_object_arg (G_OBJECT (element->element), "tile-mode", "balanced");
  g_object_set (element->element, "weights", weights, "threads", 1, NULL);
}

void
element_play (Element *element, const char *caps)
{
  element->harness = gst_harness_new_with_element (element->element, "sink", "src");
  if (caps)
    gst_harness_set_src_caps_str (element->harness, caps);
}

void
element_clear (Element *element)
{
  gst_element_set_state (element->element, GST_STATE_NULL);
  g_clear_pointer (&element->harness, gst_harness_teardown);
  gst_element_set_bus (element->element, NULL);
  gst_object_unref (element->bus);
  gst_object_unref (element->element);
}

void
element_assert_no_message (Element *element, GstMessageType type)
{
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (element->bus, type);

  if (message)
    g_error ("unexpected message: %s, %s", GST_MESSAGE_TYPE_NAME (message),
        gst_structure_to_string (gst_message_get_structure (message)));
}

void
element_assert_message (Element *element, GstMessageType type, GQuark domain, int code, const char *word)
{
  g_autoptr (GstMessage) message = gst_bus_timed_pop_filtered (element->bus, 10 * GST_SECOND, type);
  g_autoptr (GError) error = NULL;

  if (!message)
    g_error ("no message of type %s", gst_message_type_get_name (type));
  if (type == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, NULL);
  else
    gst_message_parse_warning (message, &error, NULL);
  g_test_message ("%s", error->message);
  if (error->domain != domain || error->code != code || (word && !strstr (error->message, word)))
    g_error ("%s %d: '%s', wanted %s %d with '%s'", g_quark_to_string (error->domain), error->code,
        error->message, g_quark_to_string (domain), code, word ? word : "");
}

double
element_stat (Element *element, const char *name)
{
  g_autoptr (GstStructure) stats = NULL;
  const GValue *value;
  GValue number = G_VALUE_INIT;

  g_object_get (element->element, "stats", &stats, NULL);
  value = gst_structure_get_value (stats, name);
  if (!value)
    g_error ("no '%s' in stats", name);
  g_value_init (&number, G_TYPE_DOUBLE);
  g_assert_true (g_value_transform (value, &number));
  return g_value_get_double (&number);
}

GstCaps *
element_caps (DuFormat format, int width, int height, const char *colorimetry)
{
  GstCaps *caps = gst_caps_new_simple ("video/x-raw", "format", G_TYPE_STRING, du_format_name (format),
      "width", G_TYPE_INT, width, "height", G_TYPE_INT, height, "framerate", GST_TYPE_FRACTION, 25, 1, NULL);

  if (colorimetry)
    gst_caps_set_simple (caps, "colorimetry", G_TYPE_STRING, colorimetry, NULL);
  return caps;
}

/* Copies all planes between a frame without padding and a buffer. */
static void
copy_planes (const TestFrame *frame, GstBuffer *buffer, const GstCaps *caps, GstMapFlags flags)
{
  GstVideoInfo info;
  GstVideoFrame mapped;

  g_assert_true (gst_video_info_from_caps (&info, caps));
  g_assert_true (gst_video_frame_map (&mapped, &info, buffer, flags));
  g_assert_cmpint (GST_VIDEO_FRAME_N_PLANES (&mapped), ==, frame->planes);
  for (int plane = 0; plane < frame->planes; plane++) {
    int bytes = frame->frame.stride[plane], lines = (int) (frame->size[plane] / bytes);

    for (int y = 0; y < lines; y++) {
      guint8 *ours = frame->frame.data[plane] + (gsize) y * bytes;
      guint8 *theirs = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&mapped, plane)
                       + (gssize) y * GST_VIDEO_FRAME_PLANE_STRIDE (&mapped, plane);

      if (flags & GST_MAP_WRITE)
        memcpy (theirs, ours, bytes);
      else
        memcpy (ours, theirs, bytes);
    }
  }
  gst_video_frame_unmap (&mapped);
}

GstBuffer *
element_buffer_from (const TestFrame *frame, const GstCaps *caps)
{
  GstVideoInfo info;
  GstBuffer *buffer;

  g_assert_true (gst_video_info_from_caps (&info, caps));
  buffer = gst_buffer_new_allocate (NULL, info.size, NULL);
  gst_buffer_memset (buffer, 0, 0x5a, info.size);
  copy_planes (frame, buffer, caps, GST_MAP_WRITE);
  return buffer;
}

void
element_buffer_fill (const TestFrame *frame, GstBuffer *buffer, const GstCaps *caps)
{
  copy_planes (frame, buffer, caps, GST_MAP_WRITE);
}

void
element_buffer_to (GstBuffer *buffer, const GstCaps *caps, const DuFrameInfo *info, TestFrame *frame)
{
  test_frame_init (frame, info, 0, FALSE);
  copy_planes (frame, buffer, caps, GST_MAP_READ);
}

void
element_process (Element *element, const TestFrame *in, const GstCaps *caps, TestFrame *out)
{
  GstBuffer *buffer;

  g_assert_cmpint (gst_harness_push (element->harness, element_buffer_from (in, caps)), ==, GST_FLOW_OK);
  buffer = gst_harness_try_pull (element->harness);
  g_assert_nonnull (buffer);
  element_buffer_to (buffer, caps, &in->info, out);
  gst_buffer_unref (buffer);
}

gsize
element_resident (void)
{
  gsize total = 0, resident = 0;
  FILE *file = fopen ("/proc/self/statm", "r");

  g_assert_nonnull (file);
  g_assert_cmpint (fscanf (file, "%zu %zu", &total, &resident), ==, 2);
  fclose (file);
  return resident * (gsize) (sysconf (_SC_PAGESIZE) / 1024);
}

gboolean
element_memory_is_watched (void)
{
  const char *preload = g_getenv ("LD_PRELOAD");

#ifdef __SANITIZE_ADDRESS__
  return TRUE;
#endif
  return preload && strstr (preload, "vgpreload");
}

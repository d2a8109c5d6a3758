/* Weights files: what is said of those that cannot be loaded, at the start and while frames flow, and
 * swapping.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAPS "video/x-raw, format=GRAY8, width=16, height=16, framerate=25/1"
#define DEFAULT_VARIABLE "DEBLURUNET_WEIGHTS"

enum
{
  GRAY = 100 /* every sample that goes in */
};

static char *plus, *minus; /* what comes out is 20 more or less */

/* In PLAYING without a harness: TRUE where it got there. */
static gboolean
starts (Element *element)
{
  return gst_element_set_state (element->element, GST_STATE_PAUSED) != GST_STATE_CHANGE_FAILURE;
}

typedef struct
{
  const char *name, *path; /* g_free path */
  GQuark domain;
  int code;
} BadFile;

static void
make_bad_files (GArray *files)
{
  static const guint8 png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", zip[] = "PK\3\4\24\0\0\0\10\0",
                      gguf[] = "GGUF\3\0\0\0";
  g_autofree char *good = element_weights_identity (1);
  g_autofree char *data = NULL;
  g_autofree char *damaged = NULL;
  gsize size;

#define ADD(...) g_array_append_vals (files, &(BadFile){ __VA_ARGS__ }, 1)
  g_assert_true (g_file_get_contents (good, &data, &size, NULL));
  damaged = g_memdup2 (data, size);
  damaged[size - 3] ^= 4;
  ADD (
      "missing", element_path ("no-such-file.safetensors"), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND);
  ADD ("folder", g_path_get_dirname (good), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ);
  ADD ("empty", element_file ("empty", "", 0), GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  ADD ("seven bytes", element_file ("seven", data, 7), GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  ADD ("half a header", element_file ("header", data, 100), GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  ADD (
      "truncated", element_file ("truncated", data, size - 1), GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  ADD ("damaged", element_file ("damaged", damaged, size), GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  ADD ("PNG", element_file ("picture.png", png, sizeof png), GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  ADD ("zip", element_file ("archive.zip", zip, sizeof zip), GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  ADD ("GGUF", element_file ("model.gguf", gguf, sizeof gguf), GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE);
  if (geteuid () != 0) { /* root reads all */
    char *closed = element_file ("closed", data, size);

    g_chmod (closed, 0);
    ADD ("unreadable", closed, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ);
  }
  {
    char *pipe = element_path ("pipe");

    g_assert_cmpint (mkfifo (pipe, 0600), ==, 0);
    ADD ("FIFO", pipe, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ);
  }
#undef ADD
}

/* READY to PAUSED fails, with one error that names the file; with good weights the same element then starts.
 */
static void
check_start_error (const BadFile *file)
{
  Element element;

  g_test_message ("%s: %s", file->name, file->path);
  element_init (&element, file->path);
  g_assert_cmpint (gst_element_set_state (element.element, GST_STATE_READY), ==, GST_STATE_CHANGE_SUCCESS);
  element_assert_no_message (&element, GST_MESSAGE_ERROR);
  g_assert_false (starts (&element));
  element_assert_message (&element, GST_MESSAGE_ERROR, file->domain, file->code, file->path);
  gst_element_set_state (element.element, GST_STATE_NULL);
  element_assert_no_message (&element, GST_MESSAGE_ERROR);
  g_object_set (element.element, "weights", plus, NULL);
  g_assert_true (starts (&element));
  element_assert_no_message (&element, GST_MESSAGE_ERROR);
  element_clear (&element);
}

static void
test_bad_start (gconstpointer data)
{
  const GArray *files = data;

  for (guint i = 0; i < files->len; i++)
    check_start_error (&g_array_index (files, BadFile, i));
}

/* Back ends and precisions that this machine has not. */
static void
test_bad_options (void)
{
  static const char *const options[][2] = { { "backend", "cuda" }, { "precision", "f16" } };

  for (guint i = 0; i < G_N_ELEMENTS (options); i++) {
    Element element;

    element_init (&element, plus);
    gst_util_set_object_arg (G_OBJECT (element.element), options[i][0], options[i][1]);
    if (starts (&element))
      g_test_message ("%s=%s works here", options[i][0], options[i][1]);
    else
      element_assert_message (&element, GST_MESSAGE_ERROR, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_INIT, NULL);
    element_clear (&element);
  }
}

/* Without the property: the variable, else what is installed; the error says what to do. */
static void
test_default (void)
{
  g_autofree char *missing = element_path ("no-default.safetensors");
  Element element;

  g_setenv (DEFAULT_VARIABLE, missing, TRUE);
  element_init (&element, NULL);
  g_assert_false (starts (&element));
  element_assert_message (
      &element, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND, "property 'weights'");
  g_setenv (DEFAULT_VARIABLE, plus, TRUE);
  g_assert_true (starts (&element));
  {
    g_autoptr (GstStructure) stats = NULL;
    const GstStructure *metadata;

    g_object_get (element.element, "stats", &stats, NULL);
    g_assert_cmpstr (gst_structure_get_string (stats, "weights"), ==, plus);
    g_assert_cmpstr (gst_structure_get_string (stats, "backend"), ==, "onednn");
    g_assert_cmpstr (gst_structure_get_string (stats, "precision"), ==, "f32");
    g_assert_nonnull (gst_structure_get_string (stats, "device"));
    metadata = gst_value_get_structure (gst_structure_get_value (stats, "metadata"));
    g_assert_true (strstr (plus, gst_structure_get_string (metadata, "trained_on")) != NULL);
  }
  element_clear (&element);
  g_unsetenv (DEFAULT_VARIABLE);
}

/* Weights of zeros load, and the bus hears of it. */
static void
test_all_zero (void)
{
  const DuConfig config = { 1, 0, DU_HEAD_RESIDUAL };
  g_autofree float *zeros = g_new0 (float, du_config_n_parameters (&config));
  g_autoptr (DuModel) model = du_model_new (&config, zeros, NULL, NULL);
  g_autofree char *path = element_path ("zeros.safetensors");
  Element element;

  g_assert_true (du_model_save (model, path, DU_DTYPE_F32, NULL));
  element_init (&element, path);
  g_assert_true (starts (&element));
  element_assert_message (&element, GST_MESSAGE_WARNING, GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE, path);
  element_clear (&element);
}

/* The sample that comes out. */
static int
push_gray (Element *element)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, 256, NULL);
  guint8 sample;

  gst_buffer_memset (buffer, 0, GRAY, 256);
  g_assert_cmpint (gst_harness_push (element->harness, buffer), ==, GST_FLOW_OK);
  buffer = gst_harness_try_pull (element->harness);
  g_assert_nonnull (buffer);
  gst_buffer_extract (buffer, 77, &sample, 1);
  gst_buffer_unref (buffer);
  return sample;
}

/* A bare word names a network that stands beside the default one, unless there is a file of that name. */
static void
test_names (void)
{
  g_autofree char *data = NULL, *standard = NULL, *other = NULL, *here = g_get_current_dir ();
  g_autofree char *folder = g_path_get_dirname (plus);
  Element element;
  gsize size;

  g_assert_true (g_file_get_contents (plus, &data, &size, NULL));
  standard = element_file ("deblurunet.safetensors", data, size);
  g_free (g_steal_pointer (&data));
  g_assert_true (g_file_get_contents (minus, &data, &size, NULL));
  other = element_file ("deblurunet-other.safetensors", data, size);
  g_setenv (DEFAULT_VARIABLE, standard, TRUE);
  element_init (&element, NULL);
  element_play (&element, CAPS);
  g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
  g_object_set (element.element, "weights", "other", NULL);
  g_assert_cmpint (push_gray (&element), ==, GRAY - 20);
  g_object_set (element.element, "weights", "another", NULL);
  g_assert_cmpint (push_gray (&element), ==, GRAY - 20);
  element_assert_message (&element, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND,
      "deblurunet-another.safetensors' cannot be opened: No such file or directory: set weights to ");
  element_clear (&element);
  g_unsetenv (DEFAULT_VARIABLE);

  g_assert_cmpint (g_chdir (folder), ==, 0);
  g_assert_cmpint (g_rename (other, "other"), ==, 0);
  element_init (&element, "other");
  element_play (&element, CAPS);
  g_assert_cmpint (push_gray (&element), ==, GRAY - 20);
  element_clear (&element);
  g_assert_cmpint (g_chdir (here), ==, 0);
}

/* A file system's names need not be UTF-8, what goes over the bus and into structures is. */
static void
test_foreign_names (void)
{
  g_autofree char *data = NULL, *good = NULL, *missing = element_path ("miss\xe9.safetensors");
  g_autoptr (GstStructure) stats = NULL;
  Element element;
  gsize size;

  g_assert_true (g_file_get_contents (plus, &data, &size, NULL));
  good = element_file ("nam\xe9.safetensors", data, size);
  element_init (&element, missing);
  g_assert_false (starts (&element));
  element_assert_message (&element, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND,
      "miss\xef\xbf\xbd.safetensors");
  gst_element_set_state (element.element, GST_STATE_NULL);
  g_object_set (element.element, "weights", good, NULL);
  element_play (&element, CAPS);
  g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
  g_object_get (element.element, "stats", &stats, NULL);
  g_assert_nonnull (strstr (gst_structure_get_string (stats, "weights"), "nam\xef\xbf\xbd.safetensors"));
  element_clear (&element);
}

/* While frames flow: a good file is used from the next frame on, of another width too; a bad one, whatever is
 * bad of it, gives a warning, and the one before stays. No frame is lost. */
static void
test_swap (gconstpointer data)
{
  const GArray *files = data;
  g_autofree char *wide = element_weights_identity (3);
  g_autofree char *long_path = g_strnfill (65536, 'x');
  guint frames = 0;
  Element element;

  element_init (&element, plus);
  element_play (&element, CAPS);
  g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
  g_object_set (element.element, "weights", minus, NULL);
  g_assert_cmpint (push_gray (&element), ==, GRAY - 20);
  g_object_set (element.element, "weights", wide, NULL);
  g_assert_cmpint (push_gray (&element), ==, GRAY);
  g_object_set (element.element, "weights", plus, NULL);
  g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  frames = 4;
  for (guint i = 0; i < files->len; i++, frames += 2) {
    const BadFile *file = &g_array_index (files, BadFile, i);
    g_autofree char *path = NULL;

    g_test_message ("%s", file->name);
    g_object_set (element.element, "weights", file->path, NULL);
    g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
    element_assert_message (&element, GST_MESSAGE_WARNING, file->domain, file->code, file->path);
    g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
    element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
    g_object_get (element.element, "weights", &path, NULL);
    g_assert_cmpstr (path, ==, file->path);
  }
  g_object_set (element.element, "weights", "", NULL);
  g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
  element_assert_message (
      &element, GST_MESSAGE_WARNING, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_SETTINGS, "no name");
  g_object_set (element.element, "weights", long_path, NULL);
  g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
  {
    g_autoptr (GstMessage) message = gst_bus_pop_filtered (element.bus, GST_MESSAGE_WARNING);

    g_assert_nonnull (message);
  }
  g_setenv (DEFAULT_VARIABLE, minus, TRUE);
  g_object_set (element.element, "weights", NULL, NULL);
  g_assert_cmpint (push_gray (&element), ==, GRAY - 20);
  g_unsetenv (DEFAULT_VARIABLE);
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  g_assert_cmpfloat (element_stat (&element, "frames"), ==, frames + 3);
  element_clear (&element);
}

/* A file that is replaced under its name is read again when the property is set again. */
static void
test_replaced (void)
{
  g_autofree char *path = element_path ("replaced.safetensors");
  g_autofree char *data = NULL;
  gsize size;
  Element element;

  g_assert_true (g_file_get_contents (plus, &data, &size, NULL));
  g_assert_true (g_file_set_contents (path, data, size, NULL));
  element_init (&element, path);
  element_play (&element, CAPS);
  g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
  g_clear_pointer (&data, g_free);
  g_assert_true (g_file_get_contents (minus, &data, &size, NULL));
  g_assert_true (g_file_set_contents (path, data, size, NULL));
  g_assert_cmpint (push_gray (&element), ==, GRAY + 20);
  g_object_set (element.element, "weights", path, NULL);
  g_assert_cmpint (push_gray (&element), ==, GRAY - 20);
  element_clear (&element);
}

int
main (int argc, char **argv)
{
  g_autoptr (GArray) files = g_array_new (FALSE, FALSE, sizeof (BadFile));
  int result;

  element_tests_init (&argc, &argv);
  g_unsetenv (DEFAULT_VARIABLE);
  plus = element_weights_shift (20 / 255., 20 / 255., 20 / 255.);
  minus = element_weights_shift (-20 / 255., -20 / 255., -20 / 255.);
  make_bad_files (files);
  g_test_add_data_func ("/element/weights/bad-at-start", files, test_bad_start);
  g_test_add_func ("/element/weights/bad-options", test_bad_options);
  g_test_add_func ("/element/weights/default", test_default);
  g_test_add_func ("/element/weights/all-zero", test_all_zero);
  g_test_add_func ("/element/weights/names", test_names);
  g_test_add_func ("/element/weights/foreign-names", test_foreign_names);
  g_test_add_data_func ("/element/weights/swap", files, test_swap);
  g_test_add_func ("/element/weights/replaced", test_replaced);
  result = element_tests_run ();
  for (guint i = 0; i < files->len; i++)
    g_free ((char *) g_array_index (files, BadFile, i).path);
  g_free (plus);
  g_free (minus);
  return result;
}

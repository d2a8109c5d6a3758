/* README's gst-launch-1.0 lines: each is parsed as it stands, then run on a clip made here, with no screen, camera or
 * network: screens become fakesink, the camera a live test picture, the RTSP camera a server of our own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <string.h>

#include "deblurunet.h"
#include "folder.h"
#include "rtsp.h"

enum
{
  FRAMES = 5, /* of the clip */
};

static char *folder, *weights, *clip, *server;

static char *
path_of (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

/* A network of one channel that leaves pictures as they are. */
static void
write_weights (void)
{
  const DuConfig config = { 1, 0, DU_HEAD_RESIDUAL };
  g_autofree float *parameters = g_new (float, du_config_n_parameters (&config));
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) error = NULL;

  du_config_initialise (&config, 1, parameters);
  model = du_model_new (&config, parameters, NULL, &error);
  g_assert_no_error (error);
  du_model_save (model, weights, DU_DTYPE_F32, &error);
  g_assert_no_error (error);
}

/* The program's arguments without its options, NULL-terminated; what needs a screen or a camera replaced where
 * headless. g_strfreev. */
static char **
description (const char *line, gboolean headless)
{
  g_auto (GStrv) words = NULL;
  g_autoptr (GError) error = NULL;
  GPtrArray *parts = g_ptr_array_new ();

  g_shell_parse_argv (line, NULL, &words, &error);
  g_assert_no_error (error);
  for (char **word = words + 1; *word; word++) {
    const char *part = *word;

    if (part[0] == '-')
      continue;
    if (headless && (strcmp (part, "autovideosink") == 0 || strcmp (part, "autoaudiosink") == 0))
      part = "fakesink";
    if (headless && strcmp (part, "v4l2src") == 0) {
      g_ptr_array_add (parts, g_strdup ("videotestsrc"));
      g_ptr_array_add (parts, g_strdup_printf ("num-buffers=%d", FRAMES));
      part = "is-live=true";
    }
    g_ptr_array_add (parts, g_strdup (part));
  }
  g_ptr_array_add (parts, NULL);
  return (char **) g_ptr_array_free (parts, FALSE);
}

/* NULL, the test being skipped, where an element is not installed. */
static GstElement *
parse (const char *line, gboolean headless)
{
  g_auto (GStrv) words = description (line, headless);
  g_autoptr (GError) error = NULL;
  g_autoptr (GstParseContext) context = gst_parse_context_new ();
  GstElement *pipeline = gst_parse_launchv_full (
      (const char **) words, context, GST_PARSE_FLAG_FATAL_ERRORS, &error);
  g_auto (GStrv) missing = gst_parse_context_get_missing_elements (context);

  if (missing) {
    g_autofree char *names = g_strjoinv (", ", missing);
    g_autofree char *message = g_strdup_printf ("not installed: %s", names);

    if (strstr (names, "deblurunet"))
      g_error ("%s: no element deblurunet", line);
    g_test_skip (message);
    return NULL;
  }
  if (error)
    g_error ("%s: %s", line, error->message);
  return gst_object_ref_sink (pipeline);
}

typedef struct
{
  gint frames;        /* that left deblurunet; atomic */
  char *output;       /* a file that the line writes, or NULL */
  gboolean endless;   /* a stream from the network */
  gboolean no_server;
} Run;

static GstPadProbeReturn
count_frame (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  (void) pad;
  (void) info;
  g_atomic_int_inc (&((Run *) data)->frames);
  return GST_PAD_PROBE_OK;
}

static void
prepare_deblurunet (GstElement *element, Run *run)
{
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, "src");

  g_object_set (element, "weights", weights, NULL);
  gst_util_set_object_arg (G_OBJECT (element), "backend", "cpu");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, count_frame, run, NULL);
}

/* Points an element to what is here instead of what the line names. */
static void
prepare (const GValue *item, gpointer data)
{
  GstElement *element = g_value_get_object (item);
  Run *run = data;
  GstElementFactory *factory = gst_element_get_factory (element);
  const char *name = factory ? GST_OBJECT_NAME (factory) : "";
  g_autofree char *location = NULL, *uri = NULL;

  if (strcmp (name, "deblurunet") == 0) {
    prepare_deblurunet (element, run);
  } else if (strcmp (name, "filesrc") == 0) {
    g_autofree char *picture = g_test_build_filename (G_TEST_DIST, "data", "pictures", "plain.jpg", NULL);

    g_object_get (element, "location", &location, NULL);
    g_object_set (element, "location", g_str_has_suffix (location, ".jpg") ? picture : clip, NULL);
  } else if (strcmp (name, "filesink") == 0) {
    run->output = path_of ("output");
    g_object_set (element, "location", run->output, NULL);
  } else if (strcmp (name, "uridecodebin") == 0) {
    uri = g_filename_to_uri (clip, NULL, NULL);
    g_object_set (element, "uri", uri, NULL);
  } else if (strcmp (name, "rtspsrc") == 0) {
    run->endless = TRUE;
    run->no_server = server == NULL;
    g_object_set (element, "location", server, NULL);
  }
}

static void
prepare_playbin (GstElement *playbin, Run *run)
{
  g_autofree char *uri = g_filename_to_uri (clip, NULL, NULL);
  g_autoptr (GstElement) filter = NULL;

  g_object_set (playbin, "uri", uri, "video-sink", gst_element_factory_make ("fakesink", NULL), "audio-sink",
      gst_element_factory_make ("fakesink", NULL), NULL);
  g_object_get (playbin, "video-filter", &filter, NULL);
  g_assert_nonnull (filter);
  prepare_deblurunet (filter, run);
}

static void
run_line (gconstpointer data)
{
  const char *line = data;
  g_autoptr (GstElement) pipeline = parse (line, FALSE), headless = NULL;
  g_autoptr (GstBus) bus = NULL;
  g_autoptr (GstMessage) message = NULL;
  gint64 deadline = g_get_monotonic_time () + 5 * G_TIME_SPAN_MINUTE;
  Run run = { 0 };

  if (!pipeline || !(headless = parse (line, TRUE)))
    return;
  if (strcmp (G_OBJECT_TYPE_NAME (headless), "GstPlayBin") == 0) {
    prepare_playbin (headless, &run);
  } else {
    GstIterator *elements = gst_bin_iterate_recurse (GST_BIN (headless));

    g_assert_cmpint (gst_iterator_foreach (elements, prepare, &run), ==, GST_ITERATOR_DONE);
    gst_iterator_free (elements);
  }
  if (run.no_server) {
    g_test_skip ("parsed, not run: built without gst-rtsp-server");
    return;
  }
  bus = gst_element_get_bus (headless);
  gst_element_set_state (headless, GST_STATE_PLAYING);
  do {
    message = gst_bus_timed_pop_filtered (bus, GST_SECOND / 10, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  } while (!message && g_get_monotonic_time () < deadline
           && !(run.endless && g_atomic_int_get (&run.frames) >= FRAMES));
  gst_element_set_state (headless, GST_STATE_NULL);
  if (message && GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    g_autoptr (GError) error = NULL;
    g_autofree char *detail = NULL;

    gst_message_parse_error (message, &error, &detail);
    g_error ("%s: %s: %s (%s)", line, GST_OBJECT_NAME (message->src), error->message, detail);
  }
  if (!message && !(run.endless && run.frames >= FRAMES))
    g_error ("%s: no end within five minutes, %d frames", line, run.frames);
  if (run.frames == 0)
    g_error ("%s: deblurunet got no frame", line);
  if (run.output) {
    GStatBuf info;

    if (g_stat (run.output, &info) != 0 || info.st_size == 0)
      g_error ("%s: wrote nothing", line);
    g_free (run.output);
  }
}

static char *
read_readme (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "..", "README.md", NULL);
  g_autoptr (GError) error = NULL;
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  return text;
}

/* README's table has every property, and gst-inspect-1.0 has words for it. */
static void
test_properties (void)
{
  g_autofree char *text = read_readme (), *table = NULL;
  const char *begin = strstr (text, "\n## What each property costs\n"), *end;
  g_autoptr (GstElement) element = gst_object_ref_sink (gst_element_factory_make ("deblurunet", NULL));
  guint n, seen = 0;
  g_autofree GParamSpec **specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (element), &n);

  g_assert_nonnull (begin);
  end = strstr (begin + 1, "\n## ");
  g_assert_nonnull (end);
  table = g_strndup (begin, end - begin);
  for (guint i = 0; i < n; i++) {
    g_autofree char *quoted = g_strdup_printf ("`%s`", specs[i]->name);

    if (specs[i]->owner_type != G_OBJECT_TYPE (element))
      continue;
    seen++;
    if (!strstr (table, quoted))
      g_error ("the property %s is not in README's table", specs[i]->name);
    if (!g_param_spec_get_blurb (specs[i]) || strlen (g_param_spec_get_blurb (specs[i])) < 20)
      g_error ("gst-inspect-1.0 does not say what the property %s does", specs[i]->name);
  }
  g_assert_cmpuint (seen, >=, 10);
}

/* The lines, continuations joined; g_ptr_array_unref. */
static GPtrArray *
read_lines (void)
{
  g_autofree char *text = read_readme ();
  GPtrArray *found = g_ptr_array_new_with_free_func (g_free);
  GString *line = g_string_new (NULL);
  g_auto (GStrv) lines = NULL;

  lines = g_strsplit (text, "\n", -1);
  for (char **next = lines; *next; next++) {
    gboolean continued = g_str_has_suffix (*next, "\\");

    g_string_append_len (line, *next, (gssize) strlen (*next) - continued);
    if (continued)
      continue;
    if (g_str_has_prefix (line->str, "    gst-launch-1.0 "))
      g_ptr_array_add (found, g_strdup (g_strstrip (line->str)));
    g_string_truncate (line, 0);
  }
  g_string_free (line, TRUE);
  return found;
}

static void
make_clip (void)
{
  g_autofree char *line = g_strdup_printf (
      "videotestsrc num-buffers=%d ! video/x-raw,width=64,height=48,framerate=25/1 ! x264enc tune=zerolatency "
      "! h264parse ! mp4mux ! filesink location=%s",
      FRAMES, clip);
  g_autoptr (GstElement) pipeline = gst_parse_launch (line, NULL);
  g_autoptr (GstBus) bus = NULL;
  g_autoptr (GstMessage) message = NULL;

  bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, 300 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_true (message && GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS);
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

int
main (int argc, char **argv)
{
  static const char *const needed[] = { "x264enc", "h264parse", "mp4mux" };
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) lines = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  for (guint i = 0; i < G_N_ELEMENTS (needed); i++) {
    g_autoptr (GstElementFactory) factory = gst_element_factory_find (needed[i]);

    if (!factory) {
      g_print ("1..0 # SKIP no %s\n", needed[i]);
      return 0;
    }
  }
  folder = g_dir_make_tmp ("deblurunet-XXXXXX", &error);
  g_assert_no_error (error);
  weights = path_of ("weights.safetensors");
  clip = path_of ("clip.mp4");
  write_weights ();
  make_clip ();
  server = rtsp_server_start ();

  g_test_add_func ("/readme/properties", test_properties);
  lines = read_lines ();
  g_assert_cmpuint (lines->len, >, 5);
  for (guint i = 0; i < lines->len; i++) {
    g_autofree char *name = g_strdup_printf ("/readme/%u", i + 1);

    g_test_add_data_func (name, lines->pdata[i], run_line);
  }
  result = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  g_free (weights);
  g_free (clip);
  g_free (server);
  return result;
}

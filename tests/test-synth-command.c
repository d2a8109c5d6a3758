/* deblurunet-train as a user meets it: `synth`, its results, interruption, and exit codes. The program is
 * DEBLURUNET_TRAIN of the environment.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder.h"
#include "checkpoint.h"
#include "dataset.h"
#include "media.h"
#include "random.h"

#include <glib/gstdio.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
  PICTURES = 8,
  HEIGHT = 256,
  WIDTH = 448,
};

static char *folder; /* the test's: pictures in folder/in */

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

/* "synth --seed=2 in out" in the test's folder -> a running program. */
static GPid
begin (const char *line, GSpawnChildSetupFunc setup)
{
  g_autofree char *command = g_strdup_printf ("%s %s", g_getenv ("DEBLURUNET_TRAIN"), line);
  g_auto (GStrv) argv = NULL;
  g_autoptr (GError) error = NULL;
  GPid pid;

  g_assert_true (g_shell_parse_argv (command, NULL, &argv, NULL));
  g_spawn_async (folder, argv, NULL,
      G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL | (g_test_verbose () ? 0 : G_SPAWN_STDERR_TO_DEV_NULL),
      setup, NULL, &pid, &error);
  g_assert_no_error (error);
  return pid;
}

/* The exit code, or minus the signal that ended it. */
static int
wait_for (GPid pid)
{
  int status;

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  return WIFEXITED (status) ? WEXITSTATUS (status) : -WTERMSIG (status);
}

static int
run (const char *line)
{
  return wait_for (begin (line, NULL));
}

static guint
count_files (const char *name)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *file;
  guint n = 0;

  while (dir && (file = g_dir_read_name (dir)))
    n += g_str_has_suffix (file, ".png");
  return n;
}

/* All files of two data sets, to the byte. */
static void
expect_equal (const char *a, const char *b)
{
  static const char *const halves[] = { "sharp", "blur" };

  for (guint h = 0; h < 2; h++) {
    g_autofree char *one = g_build_filename (folder, a, halves[h], NULL);
    g_autofree char *two = g_build_filename (folder, b, halves[h], NULL);
    g_autoptr (GDir) dir = g_dir_open (one, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name (dir))) {
      g_autofree char *p = g_build_filename (one, name, NULL), *q = g_build_filename (two, name, NULL);
      g_autofree char *x = NULL, *y = NULL;
      gsize n, m;

      g_assert_true (g_file_get_contents (p, &x, &n, NULL));
      if (!g_file_get_contents (q, &y, &m, NULL) || n != m || memcmp (x, y, n))
        g_error ("%s and %s differ", p, q);
    }
  }
  g_autofree char *p = g_build_filename (folder, a, "manifest.json", NULL);
  g_autofree char *q = g_build_filename (folder, b, "manifest.json", NULL);
  g_autofree char *x = NULL, *y = NULL;
  g_assert_true (g_file_get_contents (p, &x, NULL, NULL));
  g_assert_true (g_file_get_contents (q, &y, NULL, NULL));
  g_assert_cmpstr (x, ==, y);
}

static void
test_exit_codes (void)
{
  static const struct
  {
    const char *line;
    int code;
  } rows[] = {
    { "--help", EXIT_DONE }, { "--version", EXIT_DONE }, { "", EXIT_USAGE }, { "nonsense", EXIT_USAGE },
    { "synth --help", EXIT_DONE }, { "info --help", EXIT_DONE }, { "fit --help", EXIT_DONE },
    { "info", EXIT_DONE }, { "info --base-width=0", EXIT_USAGE }, { "info --height=17", EXIT_USAGE },
    { "info --bn=enc9", EXIT_USAGE }, { "info --unknown", EXIT_USAGE }, { "info a b", EXIT_USAGE },
    { "info missing.safetensors", EXIT_WEIGHTS }, { "info in/00.png", EXIT_WEIGHTS },
    { "synth", EXIT_USAGE }, { "synth in", EXIT_USAGE }, { "synth --kernels=4:1 in x", EXIT_USAGE },
    { "synth --size=8x8 in x", EXIT_USAGE }, { "synth --every=0 in x", EXIT_USAGE },
    { "synth --fit=bend in x", EXIT_USAGE }, { "synth --degrade=smear in x", EXIT_USAGE },
    { "synth --degrade=none --all-kernels in x", EXIT_USAGE }, { "synth missing.png x1", EXIT_DATA },
    { "synth --max-bad=0 in missing.png x2", EXIT_DATA }, { "synth in in/00.png/x", EXIT_IO },
    { "synth in /dev/null/x", EXIT_IO },
    /* x1 is a name that a typing error left behind; from here on it is somebody's. */
    { "synth in/00.png x1", EXIT_DONE }, { "synth in x1", EXIT_DATA },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    int code = run (rows[i].line);

    if (code != rows[i].code)
      g_error ("deblurunet-train %s: exit code %d, not %d", rows[i].line, code, rows[i].code);
  }
}

/* The pairs are the pictures and their blurs; a second run finds them complete, another one is refused. */
static void
test_pairs (void)
{
  g_autofree char *path = in_folder ("whole");
  char *paths[] = { path, NULL };
  SynthOptions options;
  DatasetOrder order = { 0 };
  g_autoptr (GError) error = NULL;
  g_autofree float *input = g_new (float, 3 * HEIGHT * WIDTH), *target = g_new (float, 3 * HEIGHT * WIDTH);
  g_autofree guint8 *sharp = g_malloc (3 * HEIGHT * WIDTH), *blurred = g_malloc (3 * HEIGHT * WIDTH);
  guint kernels = 0;

  g_assert_cmpint (run ("synth --seed=7 in whole"), ==, EXIT_DONE);
  g_assert_cmpuint (count_files ("whole/sharp"), ==, PICTURES);
  synth_options_init (&options);
  g_autoptr (Dataset) dataset = dataset_open (DATASET_AS_IS, paths, &options, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (dataset_size (dataset), ==, PICTURES);
  for (guint p = 0; p < PICTURES; p++) {
    DatasetItem item;

    g_assert_true (dataset_batch (dataset, &order, p, 1, input, target, &item, NULL));
    g_assert_cmpint (item.kernel, >=, 0);
    kernels |= 1u << item.kernel;
    for (int i = 0; i < 3 * HEIGHT * WIDTH; i++)
      sharp[i] = (guint8) (target[i] * 255 + 0.5f);
    synth_blur (&synth_paper_kernels[item.kernel], HEIGHT, WIDTH, sharp, blurred);
    for (int i = 0; i < 3 * HEIGHT * WIDTH; i++)
      if (input[i] != blurred[i] / 255.f)
        g_error ("%s: byte %d is not that of kernel %d", item.name, i, item.kernel);
  }
  g_assert_cmphex (kernels, ==, 7);
  /* Of a folder of pairs the sharp half is material; what is made within the material is none, and goes on. */
  for (int i = 0; i < 2; i++) {
    g_assert_cmpint (run ("synth --seed=7 --size=16x16 whole whole/sharp/small"), ==, EXIT_DONE);
    g_assert_cmpuint (count_files ("whole/sharp/small/sharp"), ==, PICTURES);
  }
  g_autofree char *small = in_folder ("whole/sharp/small");
  remove_tree (small);
  g_assert_cmpint (run ("synth --seed=7 in whole"), ==, EXIT_DONE);
  g_assert_cmpint (run ("synth --seed=6 in whole"), ==, EXIT_DATA);
  g_assert_cmpint (run ("synth --seed=7 --threads=1 in threads"), ==, EXIT_DONE);
  expect_equal ("whole", "threads");
}

static void
test_all_kernels (void)
{
  g_assert_cmpint (run ("synth --all-kernels --kernels=5:0.8,9:2 --size=64x80 --fit=crop in all"), ==, EXIT_DONE);
  g_assert_cmpuint (count_files ("all/sharp"), ==, 2 * PICTURES);
  g_assert_cmpuint (count_files ("all/blur"), ==, 2 * PICTURES);
}

/* A recipe goes into the manifest, and each pair's draws with it; the same again to the byte. */
static void
test_degrade (void)
{
  static const char recipe[] = "2 blur=7:1 > yuv420 ; noise=gauss:2..8 ; jpeg=quality:40..60";
  static const char *const drawn[] = { "blur=7:1 > yuv420", "noise=gauss:", "jpeg=quality:" };
  g_autofree char *line = g_strdup_printf ("synth --size=64x80 --degrade='%s' in recipe", recipe);
  g_autofree char *again = g_strdup_printf ("synth --size=64x80 --threads=1 --degrade='%s' in recipe-again", recipe);
  g_autofree char *path = g_build_filename (folder, "recipe", "manifest.json", NULL);
  g_autoptr (Degrade) degrade = degrade_parse (recipe, NULL);
  g_autoptr (GError) error = NULL;
  json_t *root, *pair;
  guint seen = 0;
  size_t i;

  g_assert_nonnull (degrade);
  if (!degrade_check (degrade, &error)) {
    g_test_skip (error->message);
    return;
  }
  g_assert_cmpint (run (line), ==, EXIT_DONE);
  g_assert_cmpint (run (again), ==, EXIT_DONE);
  expect_equal ("recipe", "recipe-again");
  g_assert_cmpint (run ("synth --size=64x80 --degrade=none in recipe"), ==, EXIT_DATA);
  root = json_load_file (path, 0, NULL);
  g_assert_cmpstr (json_string_value (json_object_get (json_object_get (root, "options"), "recipe")), ==, recipe);
  g_assert_cmpuint (json_array_size (json_object_get (root, "pairs")), ==, PICTURES);
  json_array_foreach (json_object_get (root, "pairs"), i, pair) {
    const char *text = json_string_value (json_object_get (pair, "degradation"));

    for (guint k = 0; k < G_N_ELEMENTS (drawn); k++)
      seen |= g_str_has_prefix (text, drawn[k]) ? 1u << k : 0;
    g_assert_null (json_object_get (pair, "sigma"));
  }
  g_assert_cmphex (seen, ==, 7);
  json_decref (root);
}

/* Sequences of a video's own frames: of the frames every one but those at its end whose sequence would go on. */
static void
test_clip (void)
{
  g_autofree char *video = g_test_build_filename (G_TEST_DIST, "data", "pictures", "video.mkv", NULL);
  g_autofree char *line = g_strdup_printf (
      "synth --size=24x32 --degrade=h264=crf:20,gop:3,motion:clip --seed=4 %s in/00.png clip", video);
  g_autofree char *all = g_strdup_printf ("synth --size=24x32 --degrade=none %s in/00.png clip-all", video);
  g_autofree char *path = g_build_filename (folder, "clip", "manifest.json", NULL);
  g_autoptr (Degrade) degrade = degrade_parse ("h264=crf:20", NULL);
  g_autoptr (GError) error = NULL;
  json_t *root, *pair;
  guint n, first = 0;
  size_t i;

  if (!degrade_check (degrade, &error)) {
    g_test_skip (error->message);
    return;
  }
  g_assert_cmpint (run (all), ==, EXIT_DONE);
  n = count_files ("clip-all/sharp");
  g_assert_cmpint (run (line), ==, EXIT_DONE);
  g_assert_cmpuint (count_files ("clip/sharp"), >=, n - 2);
  root = json_load_file (path, 0, NULL);
  g_assert_cmpuint (json_array_size (json_object_get (root, "pairs")), ==, count_files ("clip/sharp"));
  json_array_foreach (json_object_get (root, "pairs"), i, pair) {
    const char *text = json_string_value (json_object_get (pair, "degradation"));
    gboolean still = g_str_has_suffix (json_string_value (json_object_get (pair, "source")), ".png");
    json_int_t frame = json_integer_value (json_object_get (pair, "frame"));

    if (still != !strstr (text, "of 3 of the clip)") || (still && !strstr (text, "pan")))
      g_error ("%s: %s", json_string_value (json_object_get (pair, "name")), text);
    /* No sequence begins in front of the video. */
    first += !still && frame == 0 && strstr (text, "(frame 1 of 3");
  }
  g_assert_cmpuint (first, ==, 1);
  json_decref (root);
}

static void
test_video (void)
{
  g_autofree char *video = g_test_build_filename (G_TEST_DIST, "data", "pictures", "video.mkv", NULL);
  g_autofree char *line = g_strdup_printf ("synth --every=2 --size=24x32 %s in/00.png video", video);

  g_assert_cmpint (run (line), ==, EXIT_DONE);
  g_assert_cmpuint (count_files ("video/sharp"), ==, 4);
}

static gboolean
is_running (GPid pid)
{
  siginfo_t info = { 0 };

  return waitid (P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

/* Ended by a signal at many moments and taken up again, until it is done: the same to the byte. How often it is caught
 * at work is a matter of the machine, which may run all of it before this process looks again. */
static void
interrupt (int signal_number, const char *name)
{
  g_autofree char *line = g_strdup_printf ("synth --seed=7 --threads=1 in %s", name);
  g_autofree char *sharp = g_build_filename (name, "sharp", NULL);
  guint stopped = 0, before = 0;

  for (int round = 0; round < 4; round++) {
    GPid pid = begin (line, NULL);
    int code;

    /* Until there is something new: then it is in the middle, and heeds signals. */
    while (count_files (sharp) <= before && is_running (pid))
      g_usleep (2000);
    kill (pid, signal_number);
    code = wait_for (pid);
    before = count_files (sharp);
    if (code == EXIT_DONE)
      break;
    g_assert_cmpint (code, ==, signal_number == SIGKILL ? -SIGKILL : 128 + signal_number);
    stopped++;
  }
  g_test_message ("stopped %u times", stopped);
  g_assert_cmpint (run (line), ==, EXIT_DONE);
  expect_equal ("whole", name);
}

static void
test_signals (void)
{
  interrupt (SIGINT, "sigint");
  interrupt (SIGTERM, "sigterm");
  interrupt (SIGKILL, "sigkill");
}

static void
limit_files (gpointer data)
{
  struct rlimit limit = { 20000, 20000 }; /* bytes */

  (void) data;
  setrlimit (RLIMIT_FSIZE, &limit);
}

/* No room for a picture: exit code 5, and the next run goes on. */
static void
test_full (void)
{
  g_assert_cmpint (wait_for (begin ("synth --seed=7 in full", limit_files)), ==, EXIT_IO);
  g_assert_cmpuint (count_files ("full/blur"), ==, 0);
  g_assert_cmpint (run ("synth --seed=7 in full"), ==, EXIT_DONE);
  expect_equal ("whole", "full");
}

static void
test_lock (void)
{
  g_autofree char *path = in_folder ("locked");
  g_autoptr (GError) error = NULL;
  int lock = folder_lock (path, &error);

  g_assert_no_error (error);
  g_assert_cmpint (run ("synth --size=32x32 in locked"), ==, EXIT_IO);
  close (lock);
  g_assert_cmpint (run ("synth --size=32x32 in locked"), ==, EXIT_DONE);
}

int
main (int argc, char **argv)
{
  g_autofree char *in = NULL;
  g_autofree guint8 *rgb = g_malloc (3 * HEIGHT * WIDTH);
  Random random;
  int status;

  g_test_init (&argc, &argv, NULL);
  if (!g_getenv ("DEBLURUNET_TRAIN")) {
    g_printerr ("DEBLURUNET_TRAIN is not set: run this by meson test\n");
    return 77;
  }
  folder = g_dir_make_tmp ("synth-XXXXXX", NULL);
  in = in_folder ("in");
  g_mkdir (in, 0700);
  random_init (&random, 11, 0, 0);
  for (int p = 0; p < PICTURES; p++) {
    g_autofree char *name = g_strdup_printf ("%02d.png", p), *path = g_build_filename (in, name, NULL);

    for (int i = 0; i < 3 * HEIGHT * WIDTH; i++)
      rgb[i] = i / 3 % WIDTH / 2 + random_below (&random, 16) + p;
    g_assert_true (media_write_png (path, HEIGHT, WIDTH, rgb, NULL));
  }
  g_test_add_func ("/synth-command/exit-codes", test_exit_codes);
  g_test_add_func ("/synth-command/pairs", test_pairs);
  g_test_add_func ("/synth-command/all-kernels", test_all_kernels);
  g_test_add_func ("/synth-command/degrade", test_degrade);
  g_test_add_func ("/synth-command/clip", test_clip);
  g_test_add_func ("/synth-command/video", test_video);
  g_test_add_func ("/synth-command/signals", test_signals);
  g_test_add_func ("/synth-command/full", test_full);
  g_test_add_func ("/synth-command/lock", test_lock);
  status = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return status;
}

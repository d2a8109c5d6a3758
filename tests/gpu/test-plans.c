/* What a second start asks of the emulated libraries: no proposals, no times, nothing compiled, where a first one
 * has written its choices down; and when it chooses anew.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake.h"
#include "network.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <gmodule.h>
#include <string.h>
#include <sys/wait.h>

enum
{
  SIDE = 16,
  N_SAMPLES = SIDE * SIDE * 3,
};

static const FakeControl *fake;
static const char *program;
static char *root, *folder; /* the user's caches, and ours among them */
static DuConfig config;
static float result[N_SAMPLES];

static float *
parameters_new (void)
{
  float *parameters = g_new (float, du_config_n_parameters (&config));

  du_config_initialise (&config, 1, parameters);
  return parameters;
}

/* A picture through a new session of its own. */
static gboolean
infer (DuPrecision precision, int height, GError **error)
{
  g_autofree float *parameters = parameters_new (), *picture = g_new (float, N_SAMPLES * height / SIDE);
  g_autoptr (DuModel) model = du_model_new (&config, parameters, NULL, error);
  g_autoptr (DuSession) session = NULL;
  DuSessionOptions options;

  for (int i = 0; i < N_SAMPLES * height / SIDE; i++)
    picture[i] = i % 13 / 13.f;
  du_session_options_init (&options);
  options.backend = DU_BACKEND_CUDA;
  options.precision = precision;
  session = model ? du_session_open (model, &options, error) : NULL;
  if (!session || !du_session_forward (session, 1, height, SIDE, picture, picture, error))
    return FALSE;
  memcpy (result, picture, sizeof result);
  return TRUE;
}

static gboolean
train (GError **error)
{
  g_autofree float *parameters = parameters_new (), *picture = g_new0 (float, N_SAMPLES);
  g_autoptr (DuTrainer) trainer = NULL;
  DuTrainerOptions options;
  DuStepResult step;

  du_trainer_options_init (&options);
  options.config = config;
  options.backend = DU_BACKEND_CUDA;
  options.precision = DU_PRECISION_BF16;
  trainer = du_trainer_new (&options, parameters, error);
  return trainer && du_trainer_step (trainer, 1, SIDE, SIDE, picture, picture, 1e-3, &step, error)
         && du_trainer_predict (trainer, FALSE, 1, SIDE, SIDE, picture, picture, error);
}

/* What a start asked for. */
static FakeCounts
since (const FakeCounts *before)
{
  FakeCounts now;

  fake->count (&now);
  return (FakeCounts){ .heuristics = now.heuristics - before->heuristics,
    .compilations = now.compilations - before->compilations,
    .timings = now.timings - before->timings };
}

/* As a new process. */
static FakeCounts
start (DuPrecision precision, int height)
{
  FakeCounts before, counts;
  GError *error = NULL;

  fake->forget ();
  fake->count (&before);
  g_assert_true (infer (precision, height, &error));
  g_assert_no_error (error);
  counts = since (&before);
  g_test_message ("%u heuristics, %u compilations, %u timings", counts.heuristics, counts.compilations,
      counts.timings);
  return counts;
}

static void
check_chooses (FakeCounts counts, gboolean expected)
{
  g_assert_cmpint (counts.heuristics > 0, ==, expected);
  g_assert_cmpint (counts.timings > 0, ==, expected);
  g_assert_cmpint (counts.compilations > 0, ==, expected);
}

static GPtrArray *
list_files (void)
{
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) names = g_dir_open (folder, 0, NULL);
  const char *name;

  while (names && (name = g_dir_read_name (names)))
    g_ptr_array_add (files, g_build_filename (folder, name, NULL));
  return files;
}

static char *
read_file (gsize *size)
{
  g_autoptr (GPtrArray) files = list_files ();
  char *content = NULL;

  g_assert_cmpuint (files->len, ==, 1);
  g_assert_true (g_file_get_contents (files->pdata[0], &content, size, NULL));
  return content;
}

/* A new user's new process, on the device and the libraries of before. */
static void
begin (void)
{
  g_autoptr (GPtrArray) files = list_files ();

  for (guint i = 0; i < files->len; i++)
    (void) g_remove (files->pdata[i]);
  (void) g_remove (folder);
  fake->reset ();
  fake->forget ();
  fake->set_device ("a device", 0, 0);
}

static void
test_second (void)
{
  float first[N_SAMPLES];
  g_autofree char *before = NULL, *after = NULL;
  gsize size, again;

  begin ();
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  memcpy (first, result, sizeof first);
  before = read_file (&size);
  check_chooses (start (DU_PRECISION_F16, SIDE), FALSE);
  after = read_file (&again);
  g_assert_cmpmem (before, size, after, again);
  g_assert_cmpmem (first, sizeof first, result, sizeof result);
  g_assert_cmpuint (fake->legacy_runs (), ==, 0);
  g_assert_cmpuint (fake->reset (), ==, 0);
}

static void
test_training (void)
{
  FakeCounts before, counts;
  GError *error = NULL;

  begin ();
  for (int i = 0; i < 2; i++) {
    fake->forget ();
    fake->count (&before);
    g_assert_true (train (&error));
    g_assert_no_error (error);
    counts = since (&before);
    g_assert_cmpint (counts.heuristics > 0, ==, i == 0);
    g_assert_cmpuint (counts.timings, ==, 0); /* it is reproducible */
  }
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* Each is a case of its own, and leaves the others' choices as they are. */
static void
test_misses (void)
{
  begin ();
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  fake->set_device ("another device", 0, 0);
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  fake->set_device ("a device", 14000, 0);
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  fake->set_device ("a device", 0, 99999);
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  fake->set_device ("a device", 0, 0);
  check_chooses (start (DU_PRECISION_BF16, SIDE), TRUE);
  g_assert_cmpuint (start (DU_PRECISION_F32, SIDE).heuristics, >, 0);
  g_assert_cmpuint (start (DU_PRECISION_TF32, SIDE).heuristics, >, 0);
  check_chooses (start (DU_PRECISION_F16, 2 * SIDE), TRUE);
  for (int i = 0; i < 3; i++) {
    fake->set_device (i == 1 ? "another device" : "a device", 0, i == 2 ? 99999 : 0);
    check_chooses (start (DU_PRECISION_F16, SIDE), FALSE);
  }
  fake->set_device ("a device", 0, 0);
  check_chooses (start (DU_PRECISION_F16, 2 * SIDE), FALSE);
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* A second device that is like the first has its choices. */
static void
test_equal_device (void)
{
  begin ();
  fake->set_devices (2);
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  {
    g_autofree float *parameters = parameters_new (), *picture = g_new0 (float, N_SAMPLES);
    g_autoptr (DuModel) model = du_model_new (&config, parameters, NULL, NULL);
    g_autoptr (DuSession) session = NULL;
    DuSessionOptions options;
    FakeCounts before;

    fake->forget ();
    fake->count (&before);
    du_session_options_init (&options);
    options.backend = DU_BACKEND_CUDA;
    options.precision = DU_PRECISION_F16;
    options.device = 1;
    session = du_session_open (model, &options, NULL);
    g_assert_true (session && du_session_forward (session, 1, SIDE, SIDE, picture, picture, NULL));
    check_chooses (since (&before), FALSE);
  }
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* Plans that cannot be had as they were: first by their engines, then by a new choice, which is kept. */
static void
test_changed (void)
{
  static const guint changes[] = { FAKE_NO_AFFINE | FAKE_NO_TEXTS, FAKE_NO_FUSION | FAKE_NO_TEXTS,
    FAKE_NO_SMALL_PLANS };
  FakeCounts counts;

  begin ();
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  fake->refuse (FAKE_NO_TEXTS);
  counts = start (DU_PRECISION_F16, SIDE);
  g_assert_cmpuint (counts.heuristics + counts.timings, ==, 0);
  g_assert_cmpuint (counts.compilations, >, 0);
  for (guint i = 0; i < G_N_ELEMENTS (changes); i++) {
    begin ();
    check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
    fake->refuse (changes[i]);
    g_assert_cmpuint (start (DU_PRECISION_F16, SIDE).heuristics, >, 0);
    counts = start (DU_PRECISION_F16, SIDE);
    g_assert_cmpuint (counts.heuristics + counts.timings, ==, 0);
  }
  /* What the legacy API stands in for is asked for again. */
  begin ();
  fake->refuse (FAKE_NO_PLANS);
  g_assert_cmpuint (start (DU_PRECISION_F16, SIDE).heuristics, >, 0);
  g_assert_cmpuint (fake->legacy_runs (), >, 0);
  fake->refuse (0);
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  check_chooses (start (DU_PRECISION_F16, SIDE), FALSE);
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* A plan that does not run fails once; after a loss of the device all choices are made anew. */
static void
test_failures (void)
{
  g_autoptr (GPtrArray) files = NULL;
  g_autoptr (GError) error = NULL;

  begin ();
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  fake->refuse (FAKE_NO_RUNS);
  fake->forget ();
  g_assert_false (infer (DU_PRECISION_F16, SIDE, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_BACKEND);
  g_clear_error (&error);
  fake->refuse (0);
  g_assert_cmpuint (start (DU_PRECISION_F16, SIDE).heuristics, >, 0);
  check_chooses (start (DU_PRECISION_F16, SIDE), FALSE);

  /* Some calls run nothing on the device, and lose nothing. */
  for (guint call = 300; !fake->lost (); call++) {
    fake->fail (fake->calls () + call, FAKE_STICKY);
    fake->forget ();
    (void) infer (DU_PRECISION_F16, SIDE, NULL);
  }
  files = list_files ();
  g_assert_cmpuint (files->len, ==, 0);
  fake->reset ();
}

/* The file damaged at many places: the first frame is right all the same, and the next start quick again. */
static void
test_damaged (void)
{
  g_autoptr (GPtrArray) files = NULL;
  g_autofree char *content = NULL;
  float first[N_SAMPLES];
  gsize size;

  begin ();
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  memcpy (first, result, sizeof first);
  content = read_file (&size);
  files = list_files ();
  for (int i = 0; i < 12; i++) {
    const gsize at = i * (size - 1) / 11;

    content[at] ^= 4;
    g_assert_true (g_file_set_contents (files->pdata[0], content, i == 5 ? at : size, NULL));
    content[at] ^= 4;
    check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
    g_assert_cmpmem (first, sizeof first, result, sizeof result);
    check_chooses (start (DU_PRECISION_F16, SIDE), FALSE);
  }
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* Plans that were written for other operations, those of another version say, are made of their engines instead. */
static void
test_other_operations (void)
{
  g_autoptr (GPtrArray) files = NULL;
  g_autofree char *content = NULL, *seal = NULL;
  gsize size, header, digits = 0, changed = 0;
  FakeCounts counts;

  begin ();
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  content = read_file (&size);
  files = list_files ();
  header = strchr (content, '\n') + 1 - content;
  for (gsize i = header; i < size; i++) {
    digits = g_ascii_isdigit (content[i]) || (content[i] >= 'a' && content[i] <= 'f') ? digits + 1 : 0;
    if (digits == 64) { /* the digest of some operations */
      content[i] = content[i] == '0' ? '1' : '0';
      changed++;
    }
  }
  g_assert_cmpuint (changed, >, 0);
  seal = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *) content + header, size - header);
  memcpy (content + header - 65, seal, 64);
  g_assert_true (g_file_set_contents (files->pdata[0], content, size, NULL));
  counts = start (DU_PRECISION_F16, SIDE);
  g_assert_cmpuint (counts.heuristics + counts.timings, ==, 0);
  g_assert_cmpuint (counts.compilations, >, 0);
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* No folder: what is chosen serves this process. */
static void
test_no_folder (void)
{
  FakeCounts before;

  begin ();
  g_assert_true (g_file_set_contents (folder, "", 0, NULL));
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  fake->count (&before);
  g_assert_true (infer (DU_PRECISION_F16, SIDE, NULL));
  check_chooses (since (&before), FALSE);
  check_chooses (start (DU_PRECISION_F16, SIDE), TRUE);
  g_assert_true (g_file_test (folder, G_FILE_TEST_IS_REGULAR));
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* Two programs that start at once, with nothing yet, then a third. */
static void
test_processes (void)
{
  const char *argv[] = { program, "-p", "/plans/start", "-q", NULL };
  GPid pids[2];

  begin ();
  for (guint i = 0; i < G_N_ELEMENTS (pids); i++) {
    g_autoptr (GError) error = NULL;

    g_spawn_async (NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
        NULL, &pids[i], &error);
    g_assert_no_error (error);
  }
  for (guint i = 0; i < G_N_ELEMENTS (pids); i++) {
    int status = -1;

    while (waitpid (pids[i], &status, 0) < 0)
      g_assert_cmpint (errno, ==, EINTR);
    g_assert_cmpint (status, ==, 0);
  }
  check_chooses (start (DU_PRECISION_F16, SIDE), FALSE);
}

/* A start alone, with the folder as it is. */
static void
test_start (void)
{
  fake->set_device ("a device", 0, 0);
  (void) start (DU_PRECISION_F16, SIDE);
}

int
main (int argc, char **argv)
{
  const char *given = g_getenv ("DU_TEST_PLANS"); /* of the program that started this one */
  GModule *module;
  int status;

  g_test_init (&argc, &argv, NULL);
  program = argv[0];
  root = given ? g_strdup (given) : g_dir_make_tmp ("deblurunet-plans-XXXXXX", NULL);
  g_assert_nonnull (root);
  folder = g_build_filename (root, "deblurunet", NULL);
  g_setenv ("DU_TEST_PLANS", root, TRUE);
  g_setenv ("XDG_CACHE_HOME", root, TRUE);
  g_unsetenv ("DEBLURUNET_CUDA_PLANS");
  du_config_init (&config);
  config.base_width = 1;
  module = g_module_open (g_getenv ("DEBLURUNET_CUDA_MODULE"), G_MODULE_BIND_LOCAL);
  if (!module || !g_module_symbol (module, "du_fake_control", (gpointer *) &fake))
    g_error ("DEBLURUNET_CUDA_MODULE is not the emulated module: %s", g_module_error ());
  if (given) {
    g_test_add_func ("/plans/start", test_start);
  } else {
    g_test_add_func ("/plans/second", test_second);
    g_test_add_func ("/plans/training", test_training);
    g_test_add_func ("/plans/misses", test_misses);
    g_test_add_func ("/plans/equal-device", test_equal_device);
    g_test_add_func ("/plans/changed", test_changed);
    g_test_add_func ("/plans/failures", test_failures);
    g_test_add_func ("/plans/damaged", test_damaged);
    g_test_add_func ("/plans/other-operations", test_other_operations);
    g_test_add_func ("/plans/no-folder", test_no_folder);
    g_test_add_func ("/plans/processes", test_processes);
  }
  status = g_test_run ();
  fake->reset ();
  fake->forget ();
  if (!given) {
    begin ();
    (void) g_remove (root);
  }
  g_free (root);
  g_free (folder);
  return status;
}

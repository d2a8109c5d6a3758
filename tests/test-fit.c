/* `deblurunet-train fit` and `eval` as a user runs them, on tiny pairs and a tiny network: what is written,
 * exit codes, and that a run comes out the same however often it was killed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder.h"
#include "checkpoint.h"
#include "fit.h"
#include "media.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
  HEIGHT = 32,
  WIDTH = 48,
  PAIRS = 6,
  CUTS = 100,          /* of a run, at most */
  LIMIT_SECONDS = 400, /* a program that takes longer hangs */
};

#define NETWORK "--base-width=1 --backend=reference --head=residual --threads=1 "
#define SHORT NETWORK "--batch=2 --steps-per-epoch=4 --epochs=3 --ema=0.5 --precise-bn=2 --train-metrics=2 "

static const char *program;
static char *base, *pairs, *sharp_only;

/* ---- running ------------------------------------------------------------------------------- */

typedef struct
{
  int code;     /* exit code, 128 + signal where one killed it */
  char *output; /* stdout and stderr */
} Result;

static void
result_clear (Result *result)
{
  g_free (result->output);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Result, result_clear)

typedef struct
{
  rlim_t file_size; /* 0 = no limit */
  int signal;       /* 0 = none */
  guint delay;      /* of the signal, microseconds */
} Conditions;

static void
limit_files (gpointer data)
{
  const Conditions *conditions = data;
  struct rlimit limit = { conditions->file_size, conditions->file_size };

  if (conditions->file_size)
    setrlimit (RLIMIT_FSIZE, &limit);
}

static Result
run (const Conditions *conditions, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Runs the program with the arguments, which hold no spaces in themselves. */
static Result
run (const Conditions *conditions, const char *format, ...)
{
  static const Conditions none = { 0 };
  g_autofree char *arguments = NULL, *line = NULL, *log = g_build_filename (base, "output", NULL);
  g_auto (GStrv) argv = NULL;
  g_autoptr (GError) error = NULL;
  gint64 begun = g_get_monotonic_time ();
  Result result = { 0 };
  va_list list;
  int status, fd = g_open (log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  GPid pid;

  g_assert_cmpint (fd, >=, 0);
  va_start (list, format);
  arguments = g_strdup_vprintf (format, list);
  va_end (list);
  line = g_strdup_printf ("%s %s", program, g_strstrip (arguments));
  g_assert_true (g_shell_parse_argv (line, NULL, &argv, &error));
  g_spawn_async_with_fds (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, limit_files,
      (gpointer) (conditions ? conditions : &none), &pid, -1, fd, fd, &error);
  g_assert_no_error (error);
  close (fd);
  if (conditions && conditions->signal) {
    g_usleep (conditions->delay);
    kill (pid, conditions->signal);
  }
  while (waitpid (pid, &status, WNOHANG) == 0) {
    if (g_get_monotonic_time () - begun > (gint64) LIMIT_SECONDS * G_USEC_PER_SEC) {
      kill (pid, SIGKILL);
      waitpid (pid, &status, 0);
      g_error ("'%s' hangs", line);
    }
    g_usleep (2000);
  }
  result.code = WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
  g_assert_true (g_file_get_contents (log, &result.output, NULL, NULL));
  return result;
}

#define assert_code(result, expected)                                                                        \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    if ((result).code != (expected))                                                                         \
      g_error ("%s:%d: exit code %d, expected %d; it said:\n%s", __FILE__, __LINE__, (result).code,          \
          (int) (expected), (result).output);                                                                \
  }                                                                                                          \
  G_STMT_END

static void
assert_says (const Result *result, const char *text)
{
  if (!strstr (result->output, text))
    g_error ("'%s' is not in what it said:\n%s", text, result->output);
}

static char *
folder (const char *name)
{
  char *path = g_build_filename (base, name, NULL);

  remove_tree (path);
  return path;
}

static char *
read_file (const char *path, const char *name, gsize *size)
{
  g_autofree char *file = g_build_filename (path, name, NULL);
  g_autoptr (GError) error = NULL;
  char *content = NULL;

  g_file_get_contents (file, &content, size, &error);
  g_assert_no_error (error);
  return content;
}

static void
assert_equal_files (const char *a, const char *b, const char *name)
{
  gsize a_size, b_size;
  g_autofree char *first = read_file (a, name, &a_size), *second = read_file (b, name, &b_size);

  g_assert_cmpmem (first, a_size, second, b_size);
}

/* All that a run trained, callbacks included, without the times. */
static void
assert_equal_runs (const char *a, const char *b)
{
  static const char *const times[] = { "seconds", "epoch_seconds", "waiting_seconds", "serial" };
  const char *const paths[] = { a, b };
  Checkpoint checkpoint[2] = { 0 };
  char *text[2];

  assert_equal_files (a, b, "weights.safetensors");
  for (int i = 0; i < 2; i++) {
    g_autoptr (GKeyFile) file = g_key_file_new ();
    g_autoptr (GError) error = NULL;

    checkpoint_load (paths[i], &checkpoint[i], &error);
    g_assert_no_error (error);
    g_assert_true (g_key_file_load_from_data (file, checkpoint[i].header, (gsize) -1, G_KEY_FILE_NONE, NULL));
    for (guint t = 0; t < G_N_ELEMENTS (times); t++)
      g_assert_true (g_key_file_remove_key (file, "state", times[t], NULL));
    g_key_file_remove_group (file, "history", NULL); /* holds times */
    g_key_file_remove_group (file, "settings", NULL);
    text[i] = g_key_file_to_data (file, NULL, NULL);
  }
  g_assert_cmpstr (text[0], ==, text[1]);
  g_free (text[0]);
  g_free (text[1]);
  for (int i = 0; i < CHECKPOINT_BLOCKS; i++)
    g_assert_cmpmem (checkpoint[0].block[i], checkpoint[0].count[i] * sizeof (float), checkpoint[1].block[i],
        checkpoint[1].count[i] * sizeof (float));
  checkpoint_clear (&checkpoint[0]);
  checkpoint_clear (&checkpoint[1]);
}

/* ---- data ---------------------------------------------------------------------------------- */

static void
write_picture (const char *folder_path, int index, const SynthKernel *kernel)
{
  g_autofree char *name = g_strdup_printf ("%02d.png", index),
                  *path = g_build_filename (folder_path, name, NULL);
  guint8 sharp[HEIGHT * WIDTH * 3], blurred[HEIGHT * WIDTH * 3];
  g_autoptr (GError) error = NULL;
  GRand *random = g_rand_new_with_seed ((guint32) index);

  g_assert_cmpint (g_mkdir_with_parents (folder_path, 0700), ==, 0);
  for (int i = 0; i < HEIGHT * WIDTH * 3; i++)
    sharp[i]
        = (guint8) ((i / 3 / 7 + i / WIDTH / 3 / 5 + index) % 2 * 120 + g_rand_int_range (random, 20, 60));
  g_rand_free (random);
  if (kernel)
    synth_blur (kernel, HEIGHT, WIDTH, sharp, blurred);
  media_write_png (path, HEIGHT, WIDTH, kernel ? blurred : sharp, &error);
  g_assert_no_error (error);
}

static void
make_data (void)
{
  g_autofree char *sharp = NULL, *blur = NULL;

  pairs = g_build_filename (base, "data", NULL);
  sharp = g_build_filename (pairs, "sharp", NULL);
  blur = g_build_filename (pairs, "blur", NULL);
  sharp_only = g_build_filename (base, "pictures", NULL);
  for (int i = 0; i < PAIRS; i++) {
    write_picture (sharp, i, NULL);
    write_picture (blur, i, &synth_paper_kernels[i % SYNTH_N_PAPER_KERNELS]);
  }
  for (int i = 0; i < 2; i++)
    write_picture (sharp_only, 20 + i, NULL);
}

/* ---- tests --------------------------------------------------------------------------------- */

static guint
count_lines (const char *text)
{
  guint n = 0;

  for (; *text; text++)
    n += *text == '\n';
  return n;
}

static void
test_run (void)
{
  g_autofree char *out = folder ("run"), *path = g_build_filename (out, "weights.safetensors", NULL),
                  *csv = NULL;
  g_auto (Result) result = run (NULL, "fit %s -o %s " SHORT "--note=made-up", pairs, out);
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) error = NULL;

  assert_code (result, EXIT_DONE);
  assert_says (&result, "epoch 3/3");
  assert_says (&result, "memory: about ");
  csv = read_file (out, "history.csv", NULL);
  g_assert_cmpuint (count_lines (csv), ==, 4);
  g_assert_true (g_str_has_prefix (csv, "epoch,steps,learning_rate,"));
  model = du_model_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpint (du_model_config (model)->base_width, ==, 1);
  g_assert_cmpint (du_model_config (model)->head, ==, DU_HEAD_RESIDUAL);
  g_assert_cmpstr (du_model_metadata (model, "trained_on"), ==, "made-up");
  g_assert_cmpstr (du_model_metadata (model, "training_loss"), ==, "mse");
  g_assert_nonnull (du_model_metadata (model, "data_sha256"));
  g_assert_nonnull (du_model_metadata (model, "validation_psnr"));
}

/* An epoch goes through all samples; what is kept is the best epoch's, though the rate is one that spoils it. */
static void
test_best (void)
{
  g_autofree char *out = folder ("best"), *path = g_build_filename (out, "weights.safetensors", NULL), *csv = NULL;
  g_auto (Result) result = run (NULL,
      "fit %s -o %s " NETWORK "--batch=2 --epochs=4 --train-metrics=1 --lr=3 --warmup=100 --schedule=constant", pairs,
      out);
  g_autoptr (DuModel) model = NULL;
  g_auto (GStrv) lines = NULL, names = NULL;
  g_autofree char *epoch = NULL;
  double least = INFINITY;
  guint column = 0, best = 0;

  assert_code (result, EXIT_DONE);
  assert_says (&result, "5 pictures to train, 1 to validate; 3 steps of 2 48x32 an epoch");
  csv = read_file (out, "history.csv", NULL);
  lines = g_strsplit (csv, "\n", -1);
  names = g_strsplit (lines[0], ",", -1);
  while (g_strcmp0 (names[column], "val_mse") != 0)
    g_assert_nonnull (names[column++]);
  for (guint l = 1; l <= 4; l++) {
    g_auto (GStrv) fields = g_strsplit (lines[l], ",", -1);
    double mse = g_ascii_strtod (fields[column], NULL);

    g_test_message ("epoch %u: %g", l, mse);
    if (mse < least) {
      least = mse;
      best = l;
    }
  }
  model = du_model_load (path, NULL);
  g_assert_nonnull (model);
  epoch = g_strdup_printf ("%u", best);
  g_assert_cmpstr (du_model_metadata (model, "training_epochs"), ==, epoch);
}

/* Sharp material alone; validation with each kernel; crops; the eval command on the result. */
static void
test_on_the_fly_and_eval (void)
{
  g_autofree char *out = folder ("fly"), *eval = folder ("eval"), *csv = NULL,
                  *pair_out = folder ("eval-pairs");
  g_auto (Result) fit = run (NULL,
      "fit --on-the-fly %s --val=%s -o %s/w.safetensors " NETWORK "--batch=1 --steps-per-epoch=1 --epochs=1 "
      "--crop=32x32 --train-metrics=1 --dtype=f16", sharp_only, sharp_only, out);
  g_auto (Result) result = { 0 }, pair_result = { 0 };

  assert_code (fit, EXIT_DONE);
  assert_says (&fit, "sigma 1.6");
  result = run (NULL, "eval --weights=%s/w.safetensors %s -o %s --backend=reference --all", out, sharp_only,
      eval);
  assert_code (result, EXIT_DONE);
  assert_says (&result, "11x11 sigma 1.6");
  csv = read_file (eval, "eval.csv", NULL);
  g_assert_cmpuint (count_lines (csv), ==, 1 + 2 * SYNTH_N_PAPER_KERNELS);
  /* After one step the residual head is all but the identity. */
  pair_result
      = run (NULL, "eval --weights=%s/w.safetensors %s -o %s --backend=reference", out, pairs, pair_out);
  assert_code (pair_result, EXIT_DONE);
  g_free (csv);
  csv = read_file (pair_out, "eval.csv", NULL);
  g_assert_cmpuint (count_lines (csv), ==, 1 + PAIRS);
  g_assert_nonnull (strstr (csv, "most-"));
  g_assert_nonnull (strstr (csv, "least-"));
}

/* Batches made beside the network give the run that those of the loaders give: on the reference back end, or with
 * an emulated module on its GPU, where they are made without being asked for. */
static void
test_pictures (void)
{
  const char *backend = g_getenv ("DEBLURUNET_CUDA_MODULE") ? "cuda" : "reference";
  gboolean gpu = strcmp (backend, "cuda") == 0;
  g_autofree char *fly = g_strdup_printf ("--on-the-fly %s --val=%s --crop=16x32 --kernels=3:0.3,7:1,11:1.6,25:4",
      sharp_only, pairs);
  const char *const data[] = { pairs, fly };
  static const char *const ways[] = { "--pictures=host --loaders=2", "--pictures=device", "--pictures-mib=0" };

  for (guint d = 0; d < G_N_ELEMENTS (data); d++) {
    g_autofree char *first = folder ("pictures-0");

    for (guint way = 0; way < G_N_ELEMENTS (ways); way++) {
      g_autofree char *out = way ? folder ("pictures-1") : g_strdup (first);
      g_auto (Result) result
          = run (NULL, "fit %s -o %s " SHORT "--backend=%s --epochs=2 %s", data[d], out, backend, ways[way]);

      assert_code (result, EXIT_DONE);
      g_assert_cmpint (strstr (result.output, "beside the network") != NULL, ==, way == 1);
      g_assert_cmpint (strstr (result.output, "--pictures-mib=0 is allowed") != NULL, ==, gpu && way == 2);
      assert_equal_runs (first, out);
    }
  }
  for (int way = 0; way < 3; way++) {
    g_autofree char *other = folder ("pictures-other");
    g_auto (Result) result = run (NULL, "fit %s -o %s " SHORT "--backend=%s --steps-per-epoch=1 --epochs=1 %s",
        way == 2 ? fly : data[way], other, backend,
        way == 0   ? "--pictures=device --pictures-mib=0.01"
        : way == 1 ? "--pictures=device --degrade=blur=7:1"
                   : "--max-bad=1");

    assert_code (result, way == 2 ? EXIT_DONE : EXIT_USAGE);
    if (way == 0)
      assert_says (&result, "--pictures-mib=");
    else if (way == 1)
      assert_says (&result, "--degrade");
    else
      g_assert_cmpint (strstr (result.output, "beside the network") != NULL, ==, gpu);
  }
}

/* A recipe with a codec: validated by its conditions, kept in the weights, and the same after a break. */
static void
test_degrade (void)
{
  static const char train[] = "3 blur=7:1 ; blur=sigma:0.5..2 > noise=gauss:0..3 > h264=crf:20..30,gop:3";
  g_autofree char *whole = folder ("recipe"), *broken = folder ("recipe-broken"), *csv = NULL;
  g_autofree char *path = g_build_filename (whole, "weights.safetensors", NULL);
  g_autofree char *file = g_build_filename (base, "recipe.txt", NULL);
  g_autoptr (Degrade) recipe = degrade_parse (train, NULL);
  g_autofree char *arguments = g_strdup_printf ("fit --on-the-fly %s --degrade=%s --val-degrade='h264=crf:40,gop:2' "
      "--val-split=0.5 --kernels=7:1 " NETWORK "--backend=cpu --batch=2 --steps-per-epoch=3 --crop=32x32 --precise-bn=1 "
      "--train-metrics=1", sharp_only, file);
  g_auto (Result) result = { 0 }, first = { 0 }, again = { 0 }, other = { 0 };
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (recipe);
  if (!degrade_check (recipe, &error)) {
    g_test_skip (error->message);
    return;
  }
  g_assert_true (g_file_set_contents (file, train, -1, NULL));
  result = run (NULL, "%s -o %s --epochs=2", arguments, whole);
  assert_code (result, EXIT_DONE);
  assert_says (&result, " h264=crf:40,gop:2: ");
  csv = read_file (whole, "history.csv", NULL);
  g_assert_nonnull (strstr (csv, ",val_psnr_7x7_sigma1,val_psnr_blurred_7x7_sigma1,val_ssim_7x7_sigma1,"
                                "val_ssim_blurred_7x7_sigma1,val_psnr_h264_crf_40_gop_2,"));
  model = du_model_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (du_model_metadata (model, "recipe"), ==, train);
  g_assert_nonnull (du_model_metadata (model, "validation_psnr_h264_crf_40_gop_2"));

  first = run (NULL, "%s -o %s --epochs=1", arguments, broken);
  assert_code (first, EXIT_DONE);
  g_assert_true (g_file_set_contents (file, "none", -1, NULL)); /* the run keeps what the file said */
  again = run (NULL, "fit -o %s --resume --epochs=2", broken);
  assert_code (again, EXIT_DONE);
  assert_equal_runs (whole, broken);
  other = run (NULL, "fit -o %s --resume --epochs=3 --degrade=%s", broken, file);
  assert_code (other, EXIT_USAGE);
  assert_says (&other, "--degrade=none");
}

/* Killed at any moment, taken up again: the same in the end. Checkpoints after every step. */
static void
interrupt (const char *name, int signal_number, int code)
{
  g_autofree char *whole = folder ("whole"), *broken = folder (name);
  g_auto (Result) reference = run (NULL, "fit %s -o %s " SHORT, pairs, whole);
  GRand *random = g_rand_new_with_seed (7);
  gint64 begun = g_get_monotonic_time (), length;
  guint cut = 0;
  gboolean there = FALSE;

  assert_code (reference, EXIT_DONE);
  {
    g_autofree char *again = folder ("again");
    g_auto (Result) same = run (NULL, "fit %s -o %s " SHORT, pairs, again);

    assert_code (same, EXIT_DONE);
    assert_equal_runs (whole, again);
  }
  length = (g_get_monotonic_time () - begun) / 2;
  for (int i = 0; i < CUTS; i++) {
    /* Ever later, for the machine may be much slower now than it was for the length; in the end without a signal. */
    Conditions conditions = { .signal = i < CUTS - 1 ? signal_number : 0,
      .delay = (guint) (g_rand_double (random) * (double) length * (i < 12 ? 0.7 : 3 + (i - 12) / 4)) };
    g_auto (Result) result = { 0 };

    result = there ? run (&conditions, "fit -o %s --resume --checkpoint-minutes=0", broken)
                   : run (&conditions, "fit %s -o %s " SHORT "--checkpoint-minutes=0", pairs, broken);
    if (result.code == EXIT_DONE)
      break;
    /* Before the handler stands, a signal kills as if there were none. */
    if (!conditions.signal || (result.code != code && result.code != 128 + signal_number))
      assert_code (result, conditions.signal ? code : EXIT_DONE);
    there = checkpoint_exists (broken);
    cut++;
  }
  g_rand_free (random);
  g_test_message ("cut %u times", cut); /* a matter of the machine's speed */
  assert_equal_runs (whole, broken);
}

static void
test_kill (void)
{
  interrupt ("killed", SIGKILL, 137);
}

static void
test_interrupt (void)
{
  interrupt ("interrupted", SIGINT, EXIT_SIGINT);
}

static void
test_terminate (void)
{
  interrupt ("terminated", SIGTERM, EXIT_SIGTERM);
}

static void
test_max_minutes (void)
{
  g_autofree char *out = folder ("max"), *whole = folder ("max-whole");
  g_auto (Result) result
      = run (NULL, "fit %s -o %s " SHORT "--max-minutes=0.01 --steps-per-epoch=1000000", pairs, out);
  g_auto (Result) timed = { 0 };

  assert_code (result, EXIT_DONE);
  assert_says (&result, "go on with --resume");
  g_assert_true (checkpoint_exists (out));
  timed = run (NULL, "fit %s -o %s " SHORT "--minutes=0.02 --schedule=cosine --epochs=100000", pairs, whole);
  assert_code (timed, EXIT_DONE);
  assert_says (&timed, "best epoch");
}

static void
test_usage (void)
{
  g_autofree char *out = folder ("usage"), *other = folder ("usage-other");
  g_auto (Result) first = run (NULL, "fit %s -o %s " SHORT, pairs, out);
  g_auto (Result) astray = run (NULL, "fit %s -o %s --resume", pairs, other);
  static const struct
  {
    const char *arguments;
    ExitCode code;
    const char *says;
  } cases[] = {
    { "fit", EXIT_USAGE, "-o" },
    { "fit -o NEW", EXIT_USAGE, "no data" },
    { "fit DATA -o DONE", EXIT_USAGE, "--resume" },
    { "fit -o DONE --resume --batch=3", EXIT_USAGE, "--batch=3" },
    { "fit -o DONE --resume --init=DONE/weights.safetensors", EXIT_USAGE, "--init" },
    { "fit -o DONE --resume --epochs=3", EXIT_DONE, "best epoch" },
    { "fit -o DONE --resume --lr=1e-3 --batch=2.0", EXIT_DONE, "this run is over: a larger --epochs" },
    { "fit -o DONE --resume --lr=2e-3", EXIT_USAGE, "--lr=2e-3" },
    { "fit DATA -o DONE/weights.safetensors", EXIT_USAGE, "is there already" },
    { "fit DATA -o NEW --batch=0", EXIT_USAGE, "--batch=0" },
    { "fit DATA -o NEW --batch=1.5", EXIT_USAGE, "--batch=1.5" },
    { "fit DATA -o NEW --lr=nan", EXIT_USAGE, "--lr=nan" },
    { "fit DATA -o NEW --loss=l7", EXIT_USAGE, "l7" },
    { "fit DATA -o NEW --head=tanh", EXIT_USAGE, "sigmoid|residual" },
    { "fit DATA -o NEW --bn=enc9", EXIT_USAGE, "enc9" },
    { "fit DATA -o NEW --crop=30x30", EXIT_USAGE, "multiples of 16" },
    { "fit DATA -o NEW --crop=64x64", EXIT_USAGE, "larger than" },
    { "fit DATA -o NEW --kernels=4:1", EXIT_USAGE, "odd size" },
    { "fit DATA -o NEW --kernels=1:1,3:1,5:1,7:1,9:1,11:1,13:1,15:1,1:2,3:2,5:2,7:2,9:2,11:2,13:2,15:2,3:3",
        EXIT_USAGE, "at most 16" },
    { "fit DATA -o NEW --degrade=none", EXIT_USAGE, "--on-the-fly" },
    { "fit DATA -o NEW --on-the-fly --degrade=smear=3", EXIT_USAGE, "--degrade: degradations: in 'smear=3'" },
    { "fit DATA -o NEW '--val-degrade=none;none;none;none;none;none;none;none;none;none;none;none;none;none'",
        EXIT_USAGE, "17 kernels and chains" },
    { "fit DATA -o NEW --nonsense", EXIT_USAGE, "nonsense" },
    { "fit DATA/sharp -o NEW", EXIT_DATA, "--on-the-fly" },
    { "fit DATA/nowhere -o NEW --on-the-fly", EXIT_DATA, "nowhere" },
    { "fit DATA -o NEW --init=DATA/sharp/00.png", EXIT_WEIGHTS, "PNG" },
    { "fit DATA -o NEW --init=DONE/weights.safetensors --head=sigmoid", EXIT_USAGE, "--head" },
    { "fit DATA -o DATA/sharp/00.png/x", EXIT_IO, "00.png" },
    { "fit --help", EXIT_DONE, "--steps-per-epoch" },
    { "info --batch=0", EXIT_USAGE, "--batch=0" },
    { "info", EXIT_DONE, "8 of 256x448 a step" },
    { "info DONE/weights.safetensors --batch=2 --height=96 --width=96", EXIT_DONE, "2 of 96x96 a step" },
    { "eval DATA", EXIT_USAGE, "--weights" },
    { "eval --weights=DONE/weights.safetensors", EXIT_USAGE, "no data" },
    { "eval --weights=DONE/history.csv DATA", EXIT_WEIGHTS, "history.csv" },
    { "eval --weights=DONE/weights.safetensors DATA/nowhere", EXIT_DATA, "nowhere" },
  };

  assert_code (first, EXIT_DONE);
  assert_code (astray, EXIT_WEIGHTS);
  assert_says (&astray, "holds no checkpoint");
  g_assert_false (g_file_test (other, G_FILE_TEST_EXISTS));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GString) arguments = g_string_new (cases[i].arguments);
    g_auto (Result) result = { 0 };

    g_string_replace (arguments, "DATA", pairs, 0);
    g_string_replace (arguments, "NEW", other, 0);
    g_string_replace (arguments, "DONE", out, 0);
    result = run (NULL, "%s", arguments->str);
    if (result.code != (int) cases[i].code || !strstr (result.output, cases[i].says))
      g_error ("'%s': exit code %d, expected %d and '%s' in:\n%s", arguments->str, result.code, cases[i].code,
          cases[i].says, result.output);
    remove_tree (other);
  }
}

/* What validates: all samples of a source or none, and of a long one its end; so many as were asked for, or a few more. */
static void
test_split (void)
{
  static const int lengths[] = { 1, 3, 20, 1, 3, 16, 1, 3 };
  enum
  {
    SIDE = 16,
    SAMPLES = 48,
  };
  g_autofree char *data = folder ("sources"), *sharp = g_build_filename (data, "sharp", NULL),
                  *blur = g_build_filename (data, "blur", NULL), *manifest = g_build_filename (data, "manifest.json", NULL);
  g_autoptr (GString) json = g_string_new ("{\"pairs\": [");
  const guint8 gray[3 * SIDE * SIDE] = { 0 };
  guint source[SAMPLES], place[SAMPLES], n = 0;

  g_assert_cmpint (g_mkdir_with_parents (sharp, 0700) | g_mkdir_with_parents (blur, 0700), ==, 0);
  for (guint s = 0; s < G_N_ELEMENTS (lengths); s++)
    for (int i = 0; i < lengths[s]; i++, n++) {
      g_autofree char *first = g_strdup_printf ("%s/%03u.png", sharp, n), *second = g_strdup_printf ("%s/%03u.png", blur, n);

      g_assert_true (media_write_png (first, SIDE, SIDE, gray, NULL) && media_write_png (second, SIDE, SIDE, gray, NULL));
      g_string_append_printf (json, "%s{\"name\": \"%03u\", \"source\": \"%u\"}", n ? "," : "", n, s);
      source[n] = s;
      place[n] = (guint) i;
    }
  g_assert_cmpuint (n, ==, SAMPLES);
  g_string_append (json, "]}");
  g_assert_true (g_file_set_contents (manifest, json->str, -1, NULL));
  for (int seed = 1; seed <= 6; seed++) {
    g_autofree char *text = g_strdup_printf ("--seed=%d", seed);
    const char *argv[] = { "fit", data, "-o", "nowhere", "--val-split=0.25", text, NULL };
    guint wanted = SAMPLES / 4, validates[G_N_ELEMENTS (lengths)] = { 0 }, seen[SAMPLES] = { 0 };
    g_autoptr (GError) error = NULL;
    Fit fit = { 0 };

    fit.settings = fit_settings_parse (6, (char **) argv, &error);
    g_assert_no_error (error);
    g_assert_true (fit_plan_init (&fit.plan, fit.settings, &error) && fit_open_data (&fit, &error));
    g_assert_cmpuint (fit.n_train + fit.n_validation, ==, SAMPLES);
    g_assert_cmpuint (fit.n_validation, >=, wanted);
    g_assert_cmpuint (fit.n_validation, <, wanted + 16);
    for (guint i = 0; i < SAMPLES; i++) {
      g_assert_cmpuint (seen[fit.order[i]]++, ==, 0);
      validates[source[fit.order[i]]] += i >= fit.n_train;
    }
    for (guint i = 0; i < SAMPLES; i++) {
      guint s = source[fit.order[i]];
      gboolean expected = (int) place[fit.order[i]] >= lengths[s] - (int) validates[s];

      g_assert_cmpint (i >= fit.n_train, ==, expected);
    }
    for (guint s = 0; s < G_N_ELEMENTS (lengths); s++) {
      g_test_message ("seed %d: %u of %d samples of source %u validate", seed, validates[s], lengths[s], s);
      g_assert_true (validates[s] == 0 || (int) validates[s] == lengths[s] || lengths[s] > 16);
    }
    dataset_free (fit.data);
    g_free (fit.order);
    g_free (fit.digest);
    fit_plan_clear (&fit.plan);
    settings_free (fit.settings);
  }
}

/* Stopped early, with more patience it goes on. */
static void
test_more_patience (void)
{
  g_autofree char *out = folder ("patience");
  g_auto (Result) first = run (NULL,
      "fit %s -o %s " NETWORK "--batch=2 --steps-per-epoch=1 --epochs=9 --train-metrics=1 --early-stopping=2 "
      "--early-stopping-min-delta=1", pairs, out);
  g_auto (Result) same = { 0 }, more = { 0 };

  assert_code (first, EXIT_DONE);
  assert_says (&first, "stopped early: 2 epochs");
  same = run (NULL, "fit -o %s --resume", out);
  assert_code (same, EXIT_DONE);
  assert_says (&same, "this run is over: a larger --early-stopping");
  more = run (NULL, "fit -o %s --resume --early-stopping=3", out);
  assert_code (more, EXIT_DONE);
  assert_says (&more, "epoch 4/9");
  assert_says (&more, "stopped early: 3 epochs");
}

/* Names are bytes: those that are no UTF-8 are found again, and so is one with blanks. */
static void
test_names (void)
{
  static const char *const names[] = { "caf\xe9 ; x", " blank ", "%41" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *data = folder (names[i]), *quoted = g_shell_quote (data), *out = folder ("names"), *html = NULL;
    g_auto (Result) first = { 0 }, again = { 0 };

    write_picture (data, 1, NULL);
    write_picture (data, 2, NULL);
    first = run (NULL, "fit --on-the-fly %s --val %s -o %s " SHORT "--epochs=1", quoted, quoted, out);
    assert_code (first, EXIT_DONE);
    again = run (NULL, "fit --resume -o %s --epochs=2", out);
    assert_code (again, EXIT_DONE);
    html = read_file (out, "report.html", NULL);
    g_assert_true (g_utf8_validate (html, -1, NULL));
  }
}

/* What is printed into a full disk is lost, and that is told; a reader that has left is not. */
static void
test_lost_output (void)
{
  static const struct
  {
    const char *where;
    int code;
  } cases[] = { { ">/dev/full", EXIT_IO }, { "--help >/dev/full", EXIT_IO }, { "| true", EXIT_DONE }, { ">&-", EXIT_DONE },
    { ">/dev/null", EXIT_DONE } };

  if (!g_file_test ("/dev/full", G_FILE_TEST_EXISTS)) {
    g_test_skip ("there is no /dev/full");
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    /* The code of the program, not of what reads its pipe. */
    g_autofree char *script = g_strdup_printf ("{ '%s' info %s; echo $? >'%s/code'; } %s", program,
        *cases[i].where == '|' ? "" : cases[i].where, base, *cases[i].where == '|' ? cases[i].where : "");
    const char *argv[] = { "sh", "-c", script, NULL };
    g_autofree char *code = NULL, *said = NULL;

    g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &said, NULL, NULL));
    code = read_file (base, "code", NULL);
    if (atoi (code) != cases[i].code || (*said != '\0') != (cases[i].code != EXIT_DONE))
      g_error ("info %s: exit code %s; it said '%s'", cases[i].where, code, said);
  }
}

static void
test_fine_tune (void)
{
  g_autofree char *out = folder ("base"), *tuned = folder ("tuned");
  g_auto (Result) first = run (NULL, "fit %s -o %s " SHORT "--bn=mid", pairs, out);
  g_auto (Result) result = { 0 };
  g_autofree char *path = g_build_filename (tuned, "weights.safetensors", NULL);
  g_autoptr (DuModel) model = NULL;

  assert_code (first, EXIT_DONE);
  result = run (NULL,
      "fit %s -o %s --init=%s/weights.safetensors --backend=reference --epochs=1 --steps-per-epoch=1", pairs,
      tuned, out);
  assert_code (result, EXIT_DONE);
  assert_says (&result, "bn mid");
  model = du_model_load (path, NULL);
  g_assert_nonnull (model);
  g_assert_cmpint (du_model_config (model)->base_width, ==, 1);
  g_assert_cmpuint (du_model_config (model)->bn, ==, 1u << DU_BLOCK_MID);
}

static void
test_diverged (void)
{
  g_autofree char *out = folder ("diverged");
  g_auto (Result) result = run (NULL, "fit %s -o %s " SHORT "--steps-per-epoch=30 --lr=1e30", pairs, out);
  g_auto (Checkpoint) checkpoint = { 0 };

  assert_code (result, EXIT_DIVERGED);
  assert_says (&result, "skipped");
  assert_says (&result, "times the rate");
  g_assert_true (checkpoint_load (out, &checkpoint, NULL));
  for (gsize i = 0; i < checkpoint.count[CHECKPOINT_PARAMETERS]; i++)
    g_assert_true (isfinite (checkpoint.block[CHECKPOINT_PARAMETERS][i]));
}

static char *
newest (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  g_autofree char *best = NULL;
  const char *name;

  while ((name = g_dir_read_name (dir)))
    if (g_str_has_prefix (name, "checkpoint-") && !strchr (name, '.') && (!best || strcmp (name, best) > 0)) {
      g_free (best);
      best = g_strdup (name);
    }
  return g_build_filename (path, best, NULL);
}

static void
test_damaged (void)
{
  g_autofree char *whole = folder ("undamaged"), *out = folder ("damaged");
  g_auto (Result) reference = run (NULL, "fit %s -o %s " SHORT, pairs, whole), first = { 0 };

  assert_code (reference, EXIT_DONE);
  first = run (NULL, "fit %s -o %s " SHORT, pairs, out);
  for (int i = 0; i < 2; i++) { /* the newest; then the other too */
    g_autofree char *path = newest (out);
    g_auto (Result) result = { 0 };

    g_assert_cmpint (truncate (path, 1000), ==, 0);
    if (i == 1) {
      g_autofree char *second = NULL;

      g_unlink (path);
      second = newest (out);
      g_assert_cmpint (truncate (second, 0), ==, 0);
    }
    result = run (NULL, "fit -o %s --resume", out);
    assert_code (result, i == 0 ? EXIT_DONE : EXIT_WEIGHTS);
    assert_says (&result, "warning");
    if (i == 0)
      assert_equal_runs (whole, out);
  }
}

/* A checkpoint of the version before there was SSIM of each condition goes on; one of any other is refused. */
static void
test_old_history (void)
{
  g_autofree char *out = folder ("old"), *csv = NULL;
  g_auto (Result) first = run (NULL, "fit --on-the-fly %s -o %s " SHORT "--val-split=0.5", sharp_only, out);
  g_auto (GStrv) lines = NULL;

  assert_code (first, EXIT_DONE);
  assert_says (&first, " ms a step and ");
  for (int i = 0; i < 2; i++) {
    g_autoptr (GKeyFile) file = g_key_file_new ();
    g_auto (Checkpoint) checkpoint = { 0 };
    g_auto (Result) result = { 0 };

    g_assert_true (checkpoint_load (out, &checkpoint, NULL));
    g_assert_true (g_key_file_load_from_data (file, checkpoint.header, (gsize) -1, G_KEY_FILE_NONE, NULL));
    for (int epoch = 1; epoch <= 3; epoch++) {
      g_autofree char *key = g_strdup_printf ("epoch-%d", epoch);
      gsize n;
      g_autofree double *numbers = g_key_file_get_double_list (file, "history", key, &n, NULL);

      g_assert_nonnull (numbers);
      if (!i)
        numbers[20] = NAN; /* validation[METRIC_SSIM_BLURRED] */
      g_key_file_set_double_list (file, "history", key, numbers, i ? n - 1 : 53);
    }
    g_free (checkpoint.header);
    checkpoint.header = g_key_file_to_data (file, NULL, NULL);
    g_assert_true (checkpoint_save (out, 100 + 100 * (guint) i, &checkpoint, NULL));
    result = run (NULL, "fit -o %s --resume --epochs=4", out);
    assert_code (result, i ? EXIT_WEIGHTS : EXIT_DONE);
    assert_says (&result, i ? "another version of this program" : "epoch 4/4");
  }
  csv = read_file (out, "history.csv", NULL);
  lines = g_strsplit (csv, "\n", -1);
  g_assert_true (g_str_has_suffix (lines[0], ",val_ssim_11x11_sigma1.6,val_ssim_blurred_11x11_sigma1.6"));
  g_assert_cmpuint (g_strv_length (lines), ==, 6);
  g_assert_true (g_str_has_suffix (lines[3], ",,")); /* not known */
  g_assert_false (g_str_has_suffix (lines[4], ","));
}

/* No file may grow past a limit: at first not even a checkpoint fits, later not the next one. */
static void
test_disk_full (void)
{
  g_autofree char *whole = folder ("enough"), *out = folder ("full");
  const Conditions tight = { .file_size = 2000 };
  g_auto (Result) reference = run (NULL, "fit %s -o %s " SHORT, pairs, whole), result = { 0 }, first = { 0 };
  g_auto (Result) again = { 0 }, end = { 0 };

  assert_code (reference, EXIT_DONE);
  result = run (&tight, "fit %s -o %s " SHORT, pairs, out);
  assert_code (result, EXIT_IO);
  g_assert_false (checkpoint_exists (out));
  first = run (NULL, "fit %s -o %s " SHORT "--max-minutes=0.01", pairs, out);
  assert_code (first, EXIT_DONE);
  again = run (&tight, "fit -o %s --resume --max-minutes=100", out);
  if (again.code != EXIT_DONE) /* the first run may have been quick enough to end */
    assert_code (again, EXIT_IO);
  g_assert_true (checkpoint_exists (out));
  end = run (NULL, "fit -o %s --resume --max-minutes=100", out);
  assert_code (end, EXIT_DONE);
  assert_equal_runs (whole, out);
}

static void
test_lock (void)
{
  g_autofree char *out = folder ("locked");
  int lock = folder_lock (out, NULL);
  g_auto (Result) result = run (NULL, "fit %s -o %s " SHORT, pairs, out);

  g_assert_cmpint (lock, >=, 0);
  assert_code (result, EXIT_IO);
  assert_says (&result, "in use");
  close (lock);
}

static void
test_changed_data (void)
{
  g_autofree char *out = folder ("changed"), *copy = folder ("copy"), *sharp = NULL, *blur = NULL;
  g_auto (Result) result = { 0 }, first = { 0 }, one = { 0 };
  g_autofree char *other = folder ("one");

  sharp = g_build_filename (copy, "sharp", NULL);
  blur = g_build_filename (copy, "blur", NULL);
  write_picture (sharp, 0, NULL);
  write_picture (blur, 0, &synth_paper_kernels[1]);
  one = run (NULL, "fit %s -o %s " SHORT, copy, other);
  assert_code (one, EXIT_DATA);
  assert_says (&one, "--val");
  write_picture (sharp, 1, NULL);
  write_picture (blur, 1, &synth_paper_kernels[1]);
  first = run (NULL, "fit %s -o %s " SHORT, copy, out); /* the batch is larger than what trains */
  assert_code (first, EXIT_DONE);
  assert_says (&first, "larger than");
  write_picture (sharp, 2, NULL);
  write_picture (blur, 2, &synth_paper_kernels[1]);
  result = run (NULL, "fit -o %s --resume --epochs=9", out);
  assert_code (result, EXIT_DATA);
  assert_says (&result, "changed");
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  program = g_getenv ("DEBLURUNET_TRAIN");
  g_assert_nonnull (program);
  base = g_dir_make_tmp ("fit-XXXXXX", NULL);
  g_assert_nonnull (base);
  make_data ();
  g_test_add_func ("/fit/run", test_run);
  g_test_add_func ("/fit/best", test_best);
  g_test_add_func ("/fit/on-the-fly-and-eval", test_on_the_fly_and_eval);
  g_test_add_func ("/fit/pictures", test_pictures);
  g_test_add_func ("/fit/degrade", test_degrade);
  g_test_add_func ("/fit/kill", test_kill);
  g_test_add_func ("/fit/interrupt", test_interrupt);
  g_test_add_func ("/fit/terminate", test_terminate);
  g_test_add_func ("/fit/max-minutes", test_max_minutes);
  g_test_add_func ("/fit/usage", test_usage);
  g_test_add_func ("/fit/split", test_split);
  g_test_add_func ("/fit/more-patience", test_more_patience);
  g_test_add_func ("/fit/names", test_names);
  g_test_add_func ("/fit/lost-output", test_lost_output);
  g_test_add_func ("/fit/fine-tune", test_fine_tune);
  g_test_add_func ("/fit/diverged", test_diverged);
  g_test_add_func ("/fit/damaged", test_damaged);
  g_test_add_func ("/fit/old-history", test_old_history);
  g_test_add_func ("/fit/disk-full", test_disk_full);
  g_test_add_func ("/fit/lock", test_lock);
  g_test_add_func ("/fit/changed-data", test_changed_data);
  result = g_test_run ();
  remove_tree (base);
  g_free (base);
  g_free (pairs);
  g_free (sharp_only);
  return result;
}

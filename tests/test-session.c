/* Sessions: sharing, threads, lifetimes, and the whole network on each back end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backend.h"

#include "fixtures.h"

#include <fenv.h>
#include <malloc.h>
#include <sys/resource.h>

enum
{
  HEIGHT = 16, WIDTH = 32,
  N_SAMPLES = HEIGHT * WIDTH * 3,
  N_THREADS = 8,
};

#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined __has_feature
#define SANITIZED __has_feature (address_sanitizer)
#else
#define SANITIZED 0
#endif

static DuModel *
new_model (int base_width, guint32 seed)
{
  g_autoptr (GError) error = NULL;
  DuConfig config;
  g_autofree float *parameters = NULL;
  DuModel *model;

  du_config_init (&config);
  config.base_width = base_width;
  config.head = DU_HEAD_RESIDUAL;
  parameters = random_parameters (&config, seed);
  model = du_model_new (&config, parameters, NULL, &error);
  g_assert_no_error (error);
  return model;
}

static DuSession *
open_session (DuModel *model, DuBackendKind backend, DuPrecision precision, int threads)
{
  g_autoptr (GError) error = NULL;
  const DuSessionOptions options = { backend, precision, threads, -1 };
  DuSession *session = du_session_open (model, &options, &error);

  if (g_error_matches (error, DU_ERROR, DU_ERROR_UNAVAILABLE))
    g_test_skip (error->message);
  else
    g_assert_no_error (error);
  return session;
}

static float *
forward (DuSession *session, int n, int height, int width, const float *input)
{
  g_autoptr (GError) error = NULL;
  float *output = g_new (float, (gsize) n * height * width * 3);

  du_session_forward (session, n, height, width, input, output, &error);
  g_assert_no_error (error);
  return output;
}

static void
test_sharing (void)
{
  DuSessionOptions options;
  g_autoptr (DuModel) model = new_model (1, 1), other = new_model (1, 1);
  g_autoptr (DuSession) first = open_session (model, DU_BACKEND_REFERENCE, DU_PRECISION_AUTO, 0);
  g_autoptr (DuSession) second = open_session (model, DU_BACKEND_REFERENCE, DU_PRECISION_AUTO, 0);
  /* Asked for in other words, but the same. */
  g_autoptr (DuSession) third = open_session (model, DU_BACKEND_REFERENCE, DU_PRECISION_F32,
      du_backend_threads (0));
  g_autoptr (DuSession) of_other = open_session (other, DU_BACKEND_REFERENCE, DU_PRECISION_AUTO, 0);
  g_autoptr (DuSession) threads = open_session (model, DU_BACKEND_REFERENCE, DU_PRECISION_AUTO,
      du_backend_threads (0) == 7 ? 6 : 7);
  g_autoptr (DuSession) again = du_session_ref (first);

  du_session_options_init (&options);
  g_assert_cmpint (options.backend, ==, DU_BACKEND_AUTO);
  g_assert_cmpint (options.precision, ==, DU_PRECISION_AUTO);
  g_assert_cmpint (options.threads, ==, 0);
  g_assert_cmpint (options.device, ==, -1);
  g_assert_true (first == second && first == third && first == again);
  g_assert_true (first != of_other && first != threads);
  g_assert_cmpstr (du_session_backend (first), ==, "reference");
  g_assert_cmpstr (du_session_precision (first), ==, "f32");
  g_assert_cmpuint (strlen (du_session_device (first)), >, 0);
  g_assert_null (du_session_note (first));
  g_assert_true (du_session_model (first) == model);
}

/* The model stays while a session does, and is let go with it. */
static void
test_model_lifetime (void)
{
  g_autofree float *input = random_values (1, N_SAMPLES), *output = NULL;
  DuModel *model = new_model (1, 1);
  g_autoptr (DuSession) session = open_session (model, DU_BACKEND_REFERENCE, DU_PRECISION_AUTO, 1);

  du_model_unref (model);
  output = forward (session, 1, HEIGHT, WIDTH, input);
  g_assert_cmpfloat (normalised_error (output, input, N_SAMPLES), >, 0);
}

static void
test_errors (void)
{
  static const DuSessionOptions refused[] = {
    { DU_BACKEND_CUDA, DU_PRECISION_AUTO, 0, -1 },
    { DU_BACKEND_CPU, DU_PRECISION_F16, 0, -1 },
    { DU_BACKEND_REFERENCE, DU_PRECISION_F32, -1, -1 },
  };
  g_autoptr (DuModel) model = new_model (1, 1);
  g_autoptr (DuSession) session = open_session (model, DU_BACKEND_REFERENCE, DU_PRECISION_AUTO, 1);
  g_autoptr (GError) error = NULL;
  g_autofree float *input = random_values (1, N_SAMPLES), *output = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (refused); i++) {
    int code = refused[i].threads < 0 ? DU_ERROR_ARGUMENT : DU_ERROR_UNAVAILABLE;

    g_assert_null (du_session_open (model, &refused[i], &error));
    g_assert_error (error, DU_ERROR, code);
    g_clear_error (&error);
  }
  g_assert_false (du_session_forward (session, 1, HEIGHT, WIDTH - 1, input, input, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
  g_assert_false (du_session_forward (session, 0, HEIGHT, WIDTH, input, input, NULL));
  /* An error is not the end of a session. */
  output = forward (session, 1, HEIGHT, WIDTH, input);
}

static void
open_another (gpointer owner)
{
  g_autoptr (DuModel) model = new_model (1, 2);
  g_autoptr (DuSession) session = open_session (model, DU_BACKEND_REFERENCE, DU_PRECISION_AUTO, 1);

  g_assert_nonnull (session);
  ++*(int *) owner;
}

/* What releases the owner of a context may call the library, whether a session came of it or not. */
static void
test_release (void)
{
  int released = 0;
  g_autoptr (DuModel) model = new_model (1, 1);
  DuSessionOptions options = { DU_BACKEND_REFERENCE, DU_PRECISION_F32, 1, -1, .cuda_owner = &released,
    .cuda_release = open_another };
  DuSession *first = du_session_open (model, &options, NULL), *second = du_session_open (model, &options, NULL);

  g_assert_true (first && first == second);
  g_assert_cmpint (released, ==, 1);
  du_session_unref (first);
  du_session_unref (second);
  g_assert_cmpint (released, ==, 2);
  options.precision = DU_PRECISION_F16;
  g_assert_null (du_session_open (model, &options, NULL));
  g_assert_cmpint (released, ==, 3);
}

/* A session computes alike whatever the floating-point environment of the thread that opens it. */
static void
test_environment (gconstpointer data)
{
  g_autofree float *input = random_values (1, N_SAMPLES);
  float *outputs[2];

  for (int upward = 0; upward < 2; upward++) {
    g_autoptr (DuModel) model = new_model (3, 1);
    g_autoptr (DuSession) session = NULL;

    if (upward)
      g_assert_cmpint (fesetround (FE_UPWARD), ==, 0);
    session = open_session (model, GPOINTER_TO_INT (data), DU_PRECISION_F32, 2);
    fesetround (FE_TONEAREST);
    outputs[upward] = forward (session, 1, HEIGHT, WIDTH, input);
  }
  g_assert_cmpmem (outputs[0], N_SAMPLES * sizeof (float), outputs[1], N_SAMPLES * sizeof (float));
  g_free (outputs[0]);
  g_free (outputs[1]);
}

/* A batch gives what its pictures give alone, whatever stood in the buffers; input may be output. */
static void
test_batch (gconstpointer data)
{
  g_autoptr (DuModel) model = new_model (3, 1);
  g_autoptr (DuSession) session = open_session (model, GPOINTER_TO_INT (data), DU_PRECISION_F32, 1);
  g_autofree float *input = random_values (1, 3 * N_SAMPLES), *batch = NULL;
  g_autoptr (GError) error = NULL;

  if (!session)
    return;
  batch = forward (session, 3, HEIGHT, WIDTH, input);
  for (int i = 0; i < 3; i++) {
    g_autofree float *single = forward (session, 1, HEIGHT, WIDTH, input + i * N_SAMPLES);

    assert_close ("one of the batch", batch + i * N_SAMPLES, single, N_SAMPLES, 1e-6);
  }
  /* More sizes than stay prepared, then the first again. */
  for (int i = 1; i <= 5; i++) {
    g_autofree float *large = random_values (i, N_SAMPLES * i);
    g_autofree float *output = forward (session, 1, HEIGHT * i, WIDTH, large);

    g_assert_true (isfinite (output[N_SAMPLES * i - 1]));
  }
  g_assert_true (du_session_forward (session, 3, HEIGHT, WIDTH, input, input, &error));
  g_assert_no_error (error);
  g_assert_cmpmem (input, 3 * N_SAMPLES * sizeof *input, batch, 3 * N_SAMPLES * sizeof *batch);
}

typedef struct
{
  DuSession *session;
  const float *inputs[N_THREADS], *expected[N_THREADS];
  int index, wrong;
} Hammer;

static gpointer
hammer (gpointer data)
{
  Hammer *with = data;
  int thread = g_atomic_int_add (&with->index, 1);

  for (int i = 0; i < 12; i++) {
    int which = (thread + i) % N_THREADS, height = which & 1 ? HEIGHT : 2 * HEIGHT;
    g_autoptr (DuSession) session = du_session_ref (with->session);
    g_autofree float *output = forward (session, 1, height, WIDTH, with->inputs[which]);

    if (memcmp (output, with->expected[which], (gsize) height * WIDTH * 3 * sizeof *output))
      g_atomic_int_inc (&with->wrong);
  }
  return NULL;
}

/* Callers from everywhere get what each gets alone, bit for bit. */
static void
test_threads (gconstpointer data)
{
  g_autoptr (DuModel) model = new_model (2, 1);
  g_autoptr (DuSession) session = open_session (model, GPOINTER_TO_INT (data), DU_PRECISION_AUTO, 2);
  Hammer with = { .session = session };
  GThread *threads[N_THREADS];

  if (!session)
    return;
  for (int i = 0; i < N_THREADS; i++) {
    with.inputs[i] = random_values (i, 2 * N_SAMPLES);
    with.expected[i] = forward (session, 1, i & 1 ? HEIGHT : 2 * HEIGHT, WIDTH, with.inputs[i]);
  }
  for (int i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("hammer", hammer, &with);
  for (int i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (with.wrong, ==, 0);
  for (int i = 0; i < N_THREADS; i++) {
    g_free ((float *) with.inputs[i]);
    g_free ((float *) with.expected[i]);
  }
}

static gpointer
open_and_close (gpointer data)
{
  g_autofree float *input = random_values (1, N_SAMPLES);

  for (int i = 0; i < 25; i++) {
    g_autoptr (DuSession) session = open_session (data, DU_BACKEND_REFERENCE, DU_PRECISION_AUTO, 1);

    g_free (forward (session, 1, HEIGHT, WIDTH, input));
  }
  return NULL;
}

/* Opening, sharing and closing from many threads at once. */
static void
test_open_threads (void)
{
  g_autoptr (DuModel) model = new_model (1, 1);
  GThread *threads[N_THREADS];

  for (int i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("opener", open_and_close, model);
  for (int i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
}

/* A number of /proc/self/status. */
static int
status (const char *key)
{
  g_autofree char *text = NULL;
  const char *line;

  g_assert_true (g_file_get_contents ("/proc/self/status", &text, NULL, NULL));
  line = strstr (text, key);
  g_assert_nonnull (line);
  return atoi (line + strlen (key));
}

static void
test_no_growth (gconstpointer data)
{
  enum
  {
    ROUNDS = 200, WARM = 50,
    ALLOWED_KIB = 4 * 1024, /* 27 KiB a session */
  };
  g_autofree float *input = random_values (1, N_SAMPLES);
  int threads = 0, resident = 0;

  for (int i = 0; i < ROUNDS; i++) {
    g_autoptr (DuModel) model = new_model (1, i);
    g_autoptr (DuSession) session = open_session (model, GPOINTER_TO_INT (data), DU_PRECISION_AUTO, 2);
    g_autofree float *output = NULL;

    if (!session)
      return;
    output = forward (session, 1, HEIGHT, WIDTH, input);
    if (i == WARM) {
      threads = status ("Threads:");
      resident = status ("VmRSS:");
    }
    /* OpenMP's threads of the session before may still be on their way out. */
    for (int wait = 0; i > WARM && wait < 100000 && status ("Threads:") > threads; wait++)
      g_usleep (1000);
    if (i > WARM)
      g_assert_cmpint (status ("Threads:"), <=, threads);
  }
  g_test_message ("resident: %d KiB after %d sessions, %d KiB after %d", resident, WARM + 1,
      status ("VmRSS:"), ROUNDS);
  if (!SANITIZED)
    g_assert_cmpint (status ("VmRSS:"), <, resident + ALLOWED_KIB);
}

/* Where memory ends is luck; that it ends in an error is not. The libraries below would end the process. */
static void
test_no_memory (void)
{
  enum
  {
    MIB = 1 << 20, LEAST = 16, MOST = 160, /* a thread's stack, and room for small things, is always there */
    H = 128, W = 224, COUNT = H * W * 3,
  };
  g_autofree float *input = random_values (1, COUNT), *output = g_new (float, COUNT);
  int failed = 0;

  if (SANITIZED) {
    g_test_skip ("the sanitizers want more address space than there is to limit");
    return;
  }
  if (!g_test_subprocess ()) {
    g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed ();
    return;
  }
  for (int more = LEAST; more <= MOST; more += 4) {
    g_autoptr (DuModel) model = new_model (16, 1);
    const DuSessionOptions options = { DU_BACKEND_CPU, DU_PRECISION_AUTO, 1, -1 };
    g_autoptr (DuSession) session = NULL;
    g_autoptr (GError) error = NULL;
    struct rlimit limit;

    g_assert_cmpint (getrlimit (RLIMIT_AS, &limit), ==, 0);
    limit.rlim_cur = (rlim_t) status ("VmSize:") * 1024 + (rlim_t) more * MIB;
    g_assert_cmpint (setrlimit (RLIMIT_AS, &limit), ==, 0);
    session = du_session_open (model, &options, &error);
    if (!session || !du_session_forward (session, 1, H, W, input, output, &error)) {
      g_assert_error (error, DU_ERROR, DU_ERROR_MEMORY);
      failed++;
    }
    limit.rlim_cur = limit.rlim_max;
    g_assert_cmpint (setrlimit (RLIMIT_AS, &limit), ==, 0);
  }
  g_printerr ("# without memory: %d times\n", failed);
  g_assert_cmpint (failed, >, 0);
}

/* The published network on a whole tile, the fast back end against plain C. The head's picture is taken off again, so that it
 * does not hide an error. */
static void
test_whole (void)
{
  enum
  {
    H = SANITIZED ? 64 : DU_TILE_HEIGHT, W = SANITIZED ? 112 : DU_TILE_WIDTH, /* seconds, not minutes */
    COUNT = H * W * 3,
  };
  static const struct
  {
    DuPrecision precision;
    double tolerance; /* normalised error */
  } cases[] = { { DU_PRECISION_F32, 1e-4 }, { DU_PRECISION_BF16, 1e-2 } };
  g_autoptr (DuModel) model = new_model (32, 1);
  g_autoptr (DuSession) reference = open_session (model, DU_BACKEND_REFERENCE, DU_PRECISION_F32, 0);
  g_autofree float *input = random_values (1, COUNT), *expected = forward (reference, 1, H, W, input);

  for (int i = 0; i < COUNT; i++)
    expected[i] -= input[i];
  for (guint k = 0; k < G_N_ELEMENTS (cases); k++) {
    g_autoptr (DuSession) session = open_session (model, DU_BACKEND_CPU, cases[k].precision, 0);
    g_autofree float *output = session ? forward (session, 1, H, W, input) : NULL;

    if (!session)
      return;
    g_assert_cmpstr (du_session_backend (session), ==, "onednn");
    for (int i = 0; i < COUNT; i++)
      output[i] -= input[i];
    assert_close (du_session_precision (session), output, expected, COUNT, cases[k].tolerance);
  }
}

/* A session computes what a trainer predicts. */
static void
test_as_trained (gconstpointer data)
{
  g_autoptr (DuModel) model = new_model (2, 1);
  g_autoptr (DuSession) session = open_session (model, GPOINTER_TO_INT (data), DU_PRECISION_F32, 1);
  g_autofree float *input = random_values (1, N_SAMPLES), *output = NULL;
  g_autofree float *predicted = g_new (float, N_SAMPLES);
  g_autoptr (DuTrainer) trainer = NULL;
  g_autoptr (GError) error = NULL;
  DuTrainerOptions options;

  if (!session)
    return;
  output = forward (session, 1, HEIGHT, WIDTH, input);
  du_trainer_options_init (&options);
  options.config = *du_model_config (model);
  options.backend = GPOINTER_TO_INT (data);
  options.threads = 1;
  trainer = du_trainer_new (&options, du_model_parameters (model), &error);
  g_assert_no_error (error);
  g_assert_true (du_trainer_predict (trainer, FALSE, 1, HEIGHT, WIDTH, input, predicted, &error));
  g_assert_no_error (error);
  g_assert_cmpmem (output, N_SAMPLES * sizeof *output, predicted, N_SAMPLES * sizeof *predicted);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    GTestDataFunc function;
  } cases[] = {
    { "batch", test_batch },
    { "environment", test_environment },
    { "threads", test_threads },
    { "no-growth", test_no_growth },
    { "as-trained", test_as_trained },
  };

#ifdef M_ARENA_MAX
  mallopt (M_ARENA_MAX, 1); /* how many heaps the C library makes for threads is luck */
#endif
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/session/sharing", test_sharing);
  g_test_add_func ("/session/model-lifetime", test_model_lifetime);
  g_test_add_func ("/session/errors", test_errors);
  g_test_add_func ("/session/release", test_release);
  g_test_add_func ("/session/open-threads", test_open_threads);
  g_test_add_func ("/session/no-memory", test_no_memory);
  g_test_add_func ("/session/whole", test_whole);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *reference = g_strdup_printf ("/session/%s/reference", cases[i].name);
    g_autofree char *onednn = g_strdup_printf ("/session/%s/onednn", cases[i].name);

    g_test_add_data_func (reference, GINT_TO_POINTER (DU_BACKEND_REFERENCE), cases[i].function);
    g_test_add_data_func (onednn, GINT_TO_POINTER (DU_BACKEND_CPU), cases[i].function);
  }
  return g_test_run ();
}

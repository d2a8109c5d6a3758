/* The CUDA back end over emulated libraries that fail: each call in turn, each way; memory that is short; no
 * driver, no device. And how the library chooses between GPU and CPU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake.h"
#include "network.h"

#include <gmodule.h>

enum
{
  SIDE = 16,
  N_SAMPLES = SIDE * SIDE * 3,
};

static const FakeControl *fake;
static guint asked; /* calls until all that was asked for is there; behind it things are freed */
static DuConfig config;

static float *
parameters_new (void)
{
  float *parameters = g_new (float, du_config_n_parameters (&config));

  du_config_initialise (&config, 1, parameters);
  return parameters;
}

static DuModel *
model_new (void)
{
  g_autofree float *parameters = parameters_new ();
  g_autoptr (GError) error = NULL;
  DuModel *model = du_model_new (&config, parameters, NULL, &error);

  g_assert_no_error (error);
  return model;
}

static DuSession *
session_open (DuModel *model, DuBackendKind kind, DuPrecision precision, GError **error)
{
  DuSessionOptions options;

  du_session_options_init (&options);
  options.backend = kind;
  options.precision = precision;
  options.threads = 1;
  return du_session_open (model, &options, error);
}

/* ---- choice ------------------------------------------------------------------------------------------ */

static void
test_choice (void)
{
  static const struct
  {
    int devices;
    DuBackendKind kind;
    DuPrecision precision;
    const char *backend, *got; /* NULL: refused */
    gboolean note;
  } cases[] = {
    { 1, DU_BACKEND_AUTO, DU_PRECISION_AUTO, "cuda", "f16" },
    { 1, DU_BACKEND_CUDA, DU_PRECISION_AUTO, "cuda", "f16" },
    { 1, DU_BACKEND_CUDA, DU_PRECISION_F32, "cuda", "f32" },
    { 1, DU_BACKEND_AUTO, DU_PRECISION_TF32, "cuda", "tf32" },
    { 1, DU_BACKEND_CUDA, DU_PRECISION_BF16, "cuda", "bf16" },
    { 1, DU_BACKEND_CPU, DU_PRECISION_F32, "onednn", "f32" },
    { 1, DU_BACKEND_CPU, DU_PRECISION_TF32, NULL },
    { 0, DU_BACKEND_AUTO, DU_PRECISION_F32, "onednn", "f32", TRUE },
    { 0, DU_BACKEND_AUTO, DU_PRECISION_F16, NULL },
    { 0, DU_BACKEND_CUDA, DU_PRECISION_F32, NULL },
    { -1, DU_BACKEND_AUTO, DU_PRECISION_F32, "onednn", "f32", TRUE },
    { -1, DU_BACKEND_CUDA, DU_PRECISION_AUTO, NULL },
  };
  g_autoptr (DuModel) model = model_new ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (DuSession) session = NULL;
    g_autoptr (GError) error = NULL;

    fake->set_devices (cases[i].devices);
    session = session_open (model, cases[i].kind, cases[i].precision, &error);
    g_test_message ("case %u: %s", i,
        error                       ? error->message
        : du_session_note (session) ? du_session_note (session)
                                    : du_session_device (session));
    if (!cases[i].backend) {
      g_assert_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE);
      continue;
    }
    g_assert_no_error (error);
    g_assert_cmpstr (du_session_backend (session), ==, cases[i].backend);
    g_assert_cmpstr (du_session_precision (session), ==, cases[i].got);
    g_assert_cmpint (du_session_note (session) != NULL, ==, cases[i].note);
  }
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* f32 and tf32 of one model are two sessions. */
static void
test_precisions_apart (void)
{
  g_autoptr (DuModel) model = model_new ();
  g_autoptr (DuSession) f32 = session_open (model, DU_BACKEND_CUDA, DU_PRECISION_F32, NULL);
  g_autoptr (DuSession) tf32 = session_open (model, DU_BACKEND_CUDA, DU_PRECISION_TF32, NULL);
  g_autoptr (DuSession) again = session_open (model, DU_BACKEND_AUTO, DU_PRECISION_TF32, NULL);

  g_assert_true (f32 && tf32 && f32 != tf32);
  g_assert_true (again == tf32);
}

/* ---- failures ---------------------------------------------------------------------------------------- */

/* All that a user of the library asks of a back end, once. FALSE with an error. */
static gboolean
infer (GError **error)
{
  g_autoptr (DuModel) model = model_new ();
  g_autoptr (DuSession) session = session_open (model, DU_BACKEND_CUDA, DU_PRECISION_F16, error);
  g_autofree float *picture = g_new0 (float, N_SAMPLES);
  gboolean ok = session && du_session_forward (session, 1, SIDE, SIDE, picture, picture, error);

  asked = fake->calls ();
  return ok;
}

static gboolean
train (GError **error)
{
  DuTrainerOptions options;
  g_autoptr (DuTrainer) trainer = NULL;
  g_autofree float *parameters = parameters_new (), *picture = g_new0 (float, N_SAMPLES);
  DuStepResult result;
  gboolean ok;

  du_trainer_options_init (&options);
  options.config = config;
  options.backend = DU_BACKEND_CUDA;
  options.precision = DU_PRECISION_BF16;
  options.ema_decay = 0.5;
  trainer = du_trainer_new (&options, parameters, error);
  ok = trainer && du_trainer_step (trainer, 1, SIDE, SIDE, picture, picture, 1e-3, &result, error)
       && du_trainer_predict (trainer, TRUE, 1, SIDE, SIDE, picture, picture, error);
  asked = fake->calls ();
  return ok;
}

/* Every failure ends in a GError or is survived; nothing leaks; a lost device is left alone, which the
 * stand-in sees to. -m slow: each call; else some. */
static void
check_failures (const char *name, gboolean (*run) (GError **error), guint stride)
{
  static const char *const hows[] = { "harmless", "memory", "sticky" };
  guint calls, survived = 0;
  GError *error = NULL;

  fake->reset ();
  g_assert_true (run (&error));
  g_assert_no_error (error);
  calls = fake->calls ();
  g_assert_cmpuint (fake->reset (), ==, 0);
  if (g_test_slow ())
    stride = 1;
  for (FakeFailure how = FAKE_HARMLESS; how <= FAKE_STICKY; how++)
    for (guint call = 1 + (guint) how; call <= calls; call += stride) {
      gboolean ok;

      fake->fail (call, how);
      ok = run (&error);
      if (ok != !error)
        g_error ("%s, call %u, %s: an error without a failure, or the reverse", name, call, hows[how]);
      if (!ok && (error->domain != DU_ERROR || !*error->message))
        g_error ("%s, call %u, %s: %s", name, call, hows[how], error->message);
      if (fake->lost () && ok && call < asked)
        g_error ("%s, call %u: a lost device goes unnoticed", name, call);
      survived += ok;
      g_clear_error (&error);
      if (fake->reset () != 0 && how != FAKE_STICKY)
        g_error ("%s, call %u, %s: something is left behind", name, call, hows[how]);
    }
  g_test_message ("%s: %u calls, %u failures survived", name, calls, survived);
}

static void
test_infer (void)
{
  check_failures ("inference", infer, 67);
}

static void
test_train (void)
{
  check_failures ("training", train, 173);
}

/* A batch that does not fit is refused as such, and a smaller one runs in the same session. */
static void
test_memory (void)
{
  g_autoptr (DuModel) model = model_new ();
  g_autoptr (DuSession) session = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree float *pictures = g_new0 (float, 64 * N_SAMPLES);

  fake->reset ();
  session = session_open (model, DU_BACKEND_CUDA, DU_PRECISION_F32, &error);
  g_assert_no_error (error);
  g_assert_true (du_session_forward (session, 1, SIDE, SIDE, pictures, pictures, &error));
  fake->set_memory (2 * fake->memory ());
  g_assert_false (du_session_forward (session, 64, SIDE, SIDE, pictures, pictures, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_MEMORY);
  g_test_message ("%s", error->message);
  g_clear_error (&error);
  g_assert_true (du_session_forward (session, 1, SIDE, SIDE, pictures, pictures, &error));
  g_assert_no_error (error);
  du_session_unref (g_steal_pointer (&session));
  g_assert_cmpuint (fake->reset (), ==, 0);
}

int
main (int argc, char **argv)
{
  GModule *module;

  g_test_init (&argc, &argv, NULL);
  du_config_init (&config);
  config.base_width = 1;
  module = g_module_open (g_getenv ("DEBLURUNET_CUDA_MODULE"), G_MODULE_BIND_LOCAL);
  if (!module || !g_module_symbol (module, "du_fake_control", (gpointer *) &fake))
    g_error ("DEBLURUNET_CUDA_MODULE is not the emulated module: %s", g_module_error ());
  g_test_add_func ("/faults/choice", test_choice);
  g_test_add_func ("/faults/precisions-apart", test_precisions_apart);
  g_test_add_func ("/faults/memory", test_memory);
  g_test_add_func ("/faults/infer", test_infer);
  g_test_add_func ("/faults/train", test_train);
  return g_test_run ();
}

/* The whole network on the CUDA back end, which DEBLURUNET_CUDA_MODULE names, real or emulated, beside the CPU:
 * the same losses over fifty steps of training, the same pictures within an 8-bit step on the average.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deblurunet.h"

#include <math.h>

enum
{
  N = 2,
  SIDE = 32,
  N_SAMPLES = N * SIDE * SIDE * 3,
  STEPS = 50,
};

/* Smooth pictures, and the same blurred by a running mean: there is something to learn. */
static void
make_batch (guint32 seed, float *input, float *target)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);

  for (int n = 0; n < N; n++)
    for (int c = 0; c < 3; c++) {
      const double a = g_rand_double_range (random, 0.1, 1), b = g_rand_double_range (random, 0.1, 1);
      float *sharp = target + n * SIDE * SIDE * 3 + c, *blurred = input + n * SIDE * SIDE * 3 + c;

      for (int i = 0; i < SIDE * SIDE; i++)
        sharp[3 * i] = (float) (0.5 + 0.4 * sin (a * (i % SIDE)) * cos (b * (int) (i / SIDE)));
      for (int i = 0; i < SIDE * SIDE; i++)
        blurred[3 * i]
            = (sharp[3 * MAX (i - 1, 0)] + sharp[3 * i] + sharp[3 * MIN (i + 1, SIDE * SIDE - 1)]) / 3;
    }
}

static void
init_config (DuConfig *config)
{
  du_config_init (config);
  config->base_width = 4;
  config->head = DU_HEAD_RESIDUAL;
}

/* The losses of STEPS steps; the trainer's parameters afterwards. FALSE where there is no such back end. */
static gboolean
train (DuBackendKind backend, DuPrecision precision, double *losses, float *parameters)
{
  g_autofree float *input = g_new (float, N_SAMPLES), *target = g_new (float, N_SAMPLES);
  g_autoptr (DuTrainer) trainer = NULL;
  g_autoptr (GError) error = NULL;
  DuTrainerState state = { .parameters = parameters };
  DuTrainerOptions options;

  du_trainer_options_init (&options);
  init_config (&options.config);
  options.backend = backend;
  options.precision = precision;
  options.threads = 1;
  du_config_initialise (&options.config, 1, parameters);
  trainer = du_trainer_new (&options, parameters, &error);
  if (g_error_matches (error, DU_ERROR, DU_ERROR_UNAVAILABLE)) {
    g_test_skip (error->message);
    return FALSE;
  }
  g_assert_no_error (error);
  for (int step = 0; step < STEPS; step++) {
    DuStepResult result;

    make_batch (step, input, target);
    g_assert_true (du_trainer_step (trainer, N, SIDE, SIDE, input, target, 1e-3, &result, &error));
    g_assert_no_error (error);
    g_assert_false (result.skipped);
    losses[step] = result.loss;
  }
  g_assert_true (du_trainer_get_state (trainer, &state, &error));
  return TRUE;
}

static void
test_curve (gconstpointer data)
{
  static const double tolerances[]
      = { [DU_PRECISION_F32] = 1e-2, [DU_PRECISION_TF32] = 3e-2, [DU_PRECISION_BF16] = 0.2 };
  const DuPrecision precision = GPOINTER_TO_INT (data);
  double expected[STEPS], got[STEPS];
  DuConfig config;
  g_autofree float *parameters = NULL;

  init_config (&config);
  parameters = g_new (float, du_config_n_parameters (&config));
  if (!train (DU_BACKEND_CUDA, precision, got, parameters))
    return;
  train (DU_BACKEND_CPU, DU_PRECISION_F32, expected, parameters);
  for (int step = 0; step < STEPS; step++)
    if (!(fabs (got[step] - expected[step]) <= tolerances[precision] * expected[step]))
      g_error ("step %d: the loss is %g, on the CPU %g", step, got[step], expected[step]);
  g_test_message ("losses %g to %g, on the CPU %g to %g", got[0], got[STEPS - 1], expected[0],
      expected[STEPS - 1]);
}

/* A trained network's pictures in each precision against the CPU's in f32. */
static void
test_pictures (void)
{
  static const DuPrecision precisions[]
      = { DU_PRECISION_F32, DU_PRECISION_TF32, DU_PRECISION_F16, DU_PRECISION_BF16 };
  static const double tolerances[] = { 1e-5, 1e-3, 1. / 255, 1. / 255 };
  g_autofree float *input = g_new (float, N_SAMPLES), *target = g_new (float, N_SAMPLES);
  g_autofree float *expected = g_new (float, N_SAMPLES), *got = g_new (float, N_SAMPLES), *parameters = NULL;
  g_autoptr (DuModel) model = NULL;
  g_autoptr (DuSession) cpu = NULL;
  DuSessionOptions options;
  DuConfig config;
  double losses[STEPS];

  init_config (&config);
  parameters = g_new (float, du_config_n_parameters (&config));
  train (DU_BACKEND_CPU, DU_PRECISION_F32, losses, parameters);
  model = du_model_new (&config, parameters, NULL, NULL);
  du_session_options_init (&options);
  options.threads = 1;
  options.backend = DU_BACKEND_CPU;
  options.precision = DU_PRECISION_F32;
  cpu = du_session_open (model, &options, NULL);
  make_batch (STEPS, input, target);
  g_assert_true (du_session_forward (cpu, N, SIDE, SIDE, input, expected, NULL));
  options.backend = DU_BACKEND_CUDA;
  for (guint p = 0; p < G_N_ELEMENTS (precisions); p++) {
    g_autoptr (DuSession) session = NULL;
    g_autoptr (GError) error = NULL;
    double sum = 0;

    options.precision = precisions[p];
    session = du_session_open (model, &options, &error);
    if (g_error_matches (error, DU_ERROR, DU_ERROR_UNAVAILABLE)) {
      g_test_skip (error->message);
      return;
    }
    g_assert_no_error (error);
    g_assert_true (du_session_forward (session, N, SIDE, SIDE, input, got, &error));
    for (int i = 0; i < N_SAMPLES; i++)
      sum += fabs (got[i] - expected[i]);
    g_test_message ("%s: %g off on the average", du_session_precision (session), sum / N_SAMPLES);
    g_assert_cmpfloat (sum / N_SAMPLES, <=, tolerances[p]);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/curve/f32", GINT_TO_POINTER (DU_PRECISION_F32), test_curve);
  g_test_add_data_func ("/curve/tf32", GINT_TO_POINTER (DU_PRECISION_TF32), test_curve);
  g_test_add_data_func ("/curve/bf16", GINT_TO_POINTER (DU_PRECISION_BF16), test_curve);
  g_test_add_func ("/curve/pictures", test_pictures);
  return g_test_run ();
}

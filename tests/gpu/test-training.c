/* How a training step flows through the CUDA back end, over the emulated libraries: what it waits for, what it is
 * made of, and what becomes of it where the device's memory is short.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deblurunet.h"
#include "fake.h"

#include <gmodule.h>
#include <math.h>
#include <string.h>

enum
{
  N = 2,
  SIDE = 16,
  PICTURE = 24, /* its side */
  PICTURES = 3,
  N_SAMPLES = N * SIDE * SIDE * 3,
  STEPS = 6,
};

static const FakeControl *fake;
static guint8 pixels[PICTURES][PICTURE * PICTURE * 3];

static DuTrainer *
trainer_new (DuPrecision precision, DuTrainerOptions *options)
{
  g_autofree float *parameters = NULL;
  g_autoptr (GError) error = NULL;
  DuTrainer *trainer;

  du_trainer_options_init (options);
  options->config.base_width = 2;
  options->config.head = DU_HEAD_RESIDUAL;
  options->backend = DU_BACKEND_CUDA;
  options->precision = precision;
  options->clip_norm = 1e-3; /* what all of this costs is part of a step */
  options->ema_decay = 0.9;
  parameters = g_new (float, du_config_n_parameters (&options->config));
  du_config_initialise (&options->config, 1, parameters);
  trainer = du_trainer_new (options, parameters, &error);
  g_assert_no_error (error);
  return trainer;
}

static gboolean
set_pictures (DuTrainer *trainer, GError **error)
{
  static const DuBlur blurs[] = { { 0, { 256 } }, { 2, { 100, 50, 28 } } };
  const guint8 *pictures[PICTURES];
  const DuPictureSet set = { PICTURE, PICTURE, PICTURES, G_N_ELEMENTS (blurs), pictures, blurs };

  for (int i = 0; i < PICTURES; i++)
    pictures[i] = pixels[i];
  return du_trainer_set_pictures (trainer, &set, error);
}

static double
step_drawn (DuTrainer *trainer, int index)
{
  const DuDraw draws[N] = { { index % PICTURES, index % PICTURES, 1, index, 2, TRUE, FALSE },
    { (index + 1) % PICTURES, (index + 1) % PICTURES, index % 2, 8 - index, 0, FALSE, TRUE } };
  g_autoptr (GError) error = NULL;
  DuStepResult result;

  du_trainer_step_drawn (trainer, N, SIDE, SIDE, draws, 1e-3, &result, &error);
  g_assert_no_error (error);
  g_assert_false (result.skipped);
  return result.loss;
}

/* A step on draws waits once, for its loss and norms, and allocates nothing once the first is done; one on the
 * host's floats also waits for their copies. */
static void
test_waits (gconstpointer data)
{
  g_autofree float *input = g_new0 (float, N_SAMPLES), *target = g_new0 (float, N_SAMPLES);
  g_autoptr (GError) error = NULL;
  FakeCounts before, after;
  DuTrainerOptions options;
  DuStepResult result;

  {
    g_autoptr (DuTrainer) trainer = trainer_new (GPOINTER_TO_INT (data), &options);

    g_assert_true (set_pictures (trainer, &error));
    step_drawn (trainer, 0);
    fake->count (&before);
    for (int i = 1; i < STEPS; i++)
      step_drawn (trainer, i);
    fake->count (&after);
    g_assert_cmpuint (after.waits - before.waits, ==, STEPS - 1);
    g_assert_cmpuint (after.allocations - before.allocations, ==, 0);

    fake->count (&before);
    g_assert_true (du_trainer_step (trainer, N, SIDE, SIDE, input, target, 1e-3, &result, &error));
    fake->count (&after);
    g_assert_cmpuint (after.waits - before.waits, ==, 3);
    g_assert_cmpuint (after.allocations - before.allocations, ==, 0);
  }
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* Equal trainings are equal bits, whenever the device does its work, and with cuDNN's plans or without: the
 * stand-in proposes those first that add in any order, and ends the test where one of them runs. */
static void
test_reproducible (gconstpointer data)
{
  static const guint refused[] = { 0, FAKE_NO_FUSION | FAKE_NO_WIDE_GRADIENT, FAKE_NO_PLANS };
  const DuPrecision precision = GPOINTER_TO_INT (data);

  for (guint r = 0; r < G_N_ELEMENTS (refused); r++) {
    double expected[STEPS] = { 0 };
    g_autofree float *first = NULL;

    fake->refuse (refused[r]);
    for (FakeOrder order = 0; order < FAKE_N_ORDERS; order++) {
      DuTrainerOptions options;
      g_autoptr (DuTrainer) trainer = NULL;
      g_autoptr (GError) error = NULL;
      g_autofree float *parameters = NULL;
      DuTrainerState state = { NULL };
      gsize size;

      fake->set_order (order);
      trainer = trainer_new (precision, &options);
      size = du_config_n_parameters (&options.config) * sizeof (float);
      state.parameters = parameters = g_malloc (size);
      g_assert_true (set_pictures (trainer, &error));
      for (int i = 0; i < STEPS; i++) {
        const double loss = step_drawn (trainer, i);

        if (order == 0)
          expected[i] = loss;
        else
          g_assert_cmpfloat (loss, ==, expected[i]);
      }
      g_assert_true (du_trainer_get_state (trainer, &state, &error));
      if (!first)
        first = g_steal_pointer (&parameters);
      else
        g_assert_cmpmem (first, size, parameters, size);
    }
    g_assert_cmpint (fake->legacy_runs () > 0, ==, refused[r] == FAKE_NO_PLANS);
    g_assert_cmpuint (fake->reset (), ==, 0);
  }
  fake->refuse (0);
  fake->set_order (FAKE_LATE);
}

/* What was handed over may be written to afterwards, also where it is pinned memory, which the device reads by itself. */
static void
test_pinned (void)
{
  const gsize size = sizeof pixels;
  g_autoptr (GError) error = NULL;
  double losses[2], parameters_sums[2];

  for (int pinned = 0; pinned < 2; pinned++) {
    g_autoptr (DuTrainer) trainer = NULL;
    g_autofree float *got = NULL;
    DuTrainerState state = { NULL };
    DuTrainerOptions options;
    guint8 *copy = pinned ? fake->pin (size) : g_malloc (size);
    float *parameters;
    gsize count;

    trainer = trainer_new (DU_PRECISION_F32, &options);
    count = du_config_n_parameters (&options.config);
    parameters = pinned ? fake->pin (count * sizeof (float)) : g_new (float, count);
    du_config_initialise (&options.config, 1, parameters);
    g_clear_pointer (&trainer, du_trainer_free);
    trainer = du_trainer_new (&options, parameters, &error);
    g_assert_no_error (error);
    memset (parameters, 0, count * sizeof (float));
    memcpy (copy, pixels, size);
    {
      const DuBlur blur = { 0, { 256 } };
      const guint8 *pictures[PICTURES];
      const DuPictureSet set = { PICTURE, PICTURE, PICTURES, 1, pictures, &blur };
      const DuDraw draws[N] = { { 0, 1, 0, 1, 2, TRUE, FALSE }, { 1, 2, 0, 3, 0, FALSE, TRUE } };
      DuStepResult result;

      for (int i = 0; i < PICTURES; i++)
        pictures[i] = copy + i * sizeof pixels[0];
      g_assert_true (du_trainer_set_pictures (trainer, &set, &error));
      memset (copy, 0, size);
      state.parameters = got = g_new (float, count);
      g_assert_true (du_trainer_get_state (trainer, &state, &error));
      g_assert_true (du_trainer_step_drawn (trainer, N, SIDE, SIDE, draws, 1e-3, &result, &error));
      losses[pinned] = result.loss;
    }
    parameters_sums[pinned] = 0;
    for (gsize i = 0; i < count; i++)
      parameters_sums[pinned] += fabs (got[i]);
    g_clear_pointer (&trainer, du_trainer_free);
    if (pinned) {
      fake->unpin (copy);
      fake->unpin (parameters);
    } else {
      g_free (copy);
      g_free (parameters);
    }
  }
  g_assert_cmpfloat (losses[0], >, 0);
  g_assert_cmpfloat (losses[1], ==, losses[0]);
  g_assert_cmpfloat (parameters_sums[0], >, 0);
  g_assert_cmpfloat (parameters_sums[1], ==, parameters_sums[0]);
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* Pictures that do not fit are refused as such, leave nothing behind, and the trainer goes on without them. */
static void
test_memory (void)
{
  g_autofree float *input = g_new0 (float, N_SAMPLES), *target = g_new0 (float, N_SAMPLES);
  g_autoptr (GError) error = NULL;
  DuTrainerOptions options;
  DuStepResult result;

  {
    g_autoptr (DuTrainer) trainer = trainer_new (DU_PRECISION_F32, &options);
    const gsize used = fake->memory ();

    fake->set_memory (used + sizeof pixels - 1);
    g_assert_false (set_pictures (trainer, &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_MEMORY);
    g_test_message ("%s", error->message);
    g_clear_error (&error);
    g_assert_cmpuint (fake->memory (), ==, used);
    fake->set_memory (used + sizeof pixels); /* without the blurs */
    g_assert_false (set_pictures (trainer, &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_MEMORY);
    g_clear_error (&error);
    g_assert_cmpuint (fake->memory (), ==, used);
    fake->set_memory (G_MAXSIZE);
    g_assert_true (du_trainer_step (trainer, N, SIDE, SIDE, input, target, 1e-3, &result, &error));
    g_assert_true (set_pictures (trainer, &error));
    step_drawn (trainer, 0);
  }
  g_assert_cmpuint (fake->reset (), ==, 0);
}

int
main (int argc, char **argv)
{
  GModule *module;
  int status;

  g_test_init (&argc, &argv, NULL);
  module = g_module_open (g_getenv ("DEBLURUNET_CUDA_MODULE"), G_MODULE_BIND_LOCAL);
  if (!module || !g_module_symbol (module, "du_fake_control", (gpointer *) &fake))
    g_error ("DEBLURUNET_CUDA_MODULE is not the emulated module: %s", g_module_error ());
  for (int p = 0; p < PICTURES; p++)
    for (int i = 0; i < PICTURE * PICTURE * 3; i++)
      pixels[p][i] = (guint8) (i * i / (7 + p));
  g_test_add_data_func ("/training/waits/f32", GINT_TO_POINTER (DU_PRECISION_F32), test_waits);
  g_test_add_data_func ("/training/waits/bf16", GINT_TO_POINTER (DU_PRECISION_BF16), test_waits);
  g_test_add_data_func ("/training/reproducible/f32", GINT_TO_POINTER (DU_PRECISION_F32), test_reproducible);
  g_test_add_data_func ("/training/reproducible/bf16", GINT_TO_POINTER (DU_PRECISION_BF16), test_reproducible);
  g_test_add_func ("/training/pinned", test_pinned);
  g_test_add_func ("/training/memory", test_memory);
  status = g_test_run ();
  return status;
}

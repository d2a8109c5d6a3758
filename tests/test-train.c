/* The training step: against PyTorch, then each promise of the header.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixtures.h"

enum
{
  N = 2, HEIGHT = 16, WIDTH = 32,
  N_SAMPLES = N * HEIGHT * WIDTH * 3,
};

typedef struct
{
  DuBackendKind kind;
  const char *fixture;
  double tolerance;
} Case;

/* A trainer, what it was made from, and room for its state. */
typedef struct
{
  DuTrainer *trainer;
  DuTrainerOptions options;
  gsize n_parameters, n_trainable;
  float *input, *target;
  DuTrainerState state;
} Bench;

static DuTrainerState
state_new (const DuTrainerOptions *options)
{
  gsize n_parameters = du_config_n_parameters (&options->config);
  gsize n_trainable = du_config_n_trainable (&options->config);

  return (DuTrainerState){
    .parameters = g_new0 (float, n_parameters),
    .moment1 = g_new0 (float, n_trainable),
    .moment2 = g_new0 (float, n_trainable),
    .ema = options->ema_decay > 0 ? g_new0 (float, n_parameters) : NULL,
  };
}

static void
state_clear (DuTrainerState *state)
{
  g_clear_pointer (&state->parameters, g_free);
  g_clear_pointer (&state->moment1, g_free);
  g_clear_pointer (&state->moment2, g_free);
  g_clear_pointer (&state->ema, g_free);
}

static void
default_options (DuTrainerOptions *options)
{
  du_trainer_options_init (options);
  options->config.base_width = 1;
  options->config.head = DU_HEAD_RESIDUAL;
  options->backend = DU_BACKEND_REFERENCE;
  options->threads = 1;
}

static Bench
bench_new (const DuTrainerOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autofree float *parameters = random_parameters (&options->config, 7);
  Bench bench = {
    .options = *options,
    .n_parameters = du_config_n_parameters (&options->config),
    .n_trainable = du_config_n_trainable (&options->config),
    .input = random_values (1, N_SAMPLES),
    .target = random_values (2, N_SAMPLES),
    .state = state_new (options),
  };

  bench.trainer = du_trainer_new (options, parameters, &error);
  g_assert_no_error (error);
  return bench;
}

static void
bench_clear (Bench *bench)
{
  du_trainer_free (bench->trainer);
  g_free (bench->input);
  g_free (bench->target);
  state_clear (&bench->state);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Bench, bench_clear)

static DuStepResult
step (Bench *bench, double learning_rate)
{
  g_autoptr (GError) error = NULL;
  DuStepResult result;

  du_trainer_step (bench->trainer, N, HEIGHT, WIDTH, bench->input, bench->target, learning_rate, &result,
      &error);
  g_assert_no_error (error);
  return result;
}

static const DuTrainerState *
read_state (Bench *bench)
{
  g_autoptr (GError) error = NULL;

  du_trainer_get_state (bench->trainer, &bench->state, &error);
  g_assert_no_error (error);
  return &bench->state;
}

static void
assert_equal_states (Bench *a, Bench *b)
{
  const DuTrainerState *x = read_state (a), *y = read_state (b);
  gsize parameters = a->n_parameters * sizeof (float), trainable = a->n_trainable * sizeof (float);

  g_assert_cmpuint (x->step, ==, y->step);
  g_assert_cmpmem (x->parameters, parameters, y->parameters, parameters);
  g_assert_cmpmem (x->moment1, trainable, y->moment1, trainable);
  g_assert_cmpmem (x->moment2, trainable, y->moment2, trainable);
  if (x->ema)
    g_assert_cmpmem (x->ema, parameters, y->ema, parameters);
}

static void
test_pytorch (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Fixture) fixture = fixture_new (c->fixture);
  g_autoptr (GError) error = NULL;
  g_autoptr (DuTrainer) trainer = NULL;
  DuTrainerOptions options;
  DuTrainerState state;
  const float *losses = fixture_array (fixture, "losses", 10);
  const float *final = fixture_array (fixture, "final", fixture->n_parameters);
  g_autofree float *output = g_new (float, fixture->n_samples);

  du_trainer_options_init (&options);
  options.backend = c->kind;
  options.threads = 1;
  options.config = fixture->config;
  trainer = du_trainer_new (&options, fixture_array (fixture, "parameters", fixture->n_parameters), &error);
  if (g_error_matches (error, DU_ERROR, DU_ERROR_UNAVAILABLE)) {
    g_test_skip (error->message);
    return;
  }
  g_assert_no_error (error);
  g_assert_cmpstr (du_trainer_precision (trainer), ==, "f32");
  g_assert_cmpstr (du_trainer_backend (trainer), ==, c->kind == DU_BACKEND_CPU ? "onednn" : "reference");
  du_trainer_predict (trainer, FALSE, fixture->n, fixture->height, fixture->width,
      fixture_array (fixture, "input", fixture->n_samples), output, &error);
  g_assert_no_error (error);
  assert_close ("inference", output, fixture_array (fixture, "inference", fixture->n_samples),
      fixture->n_samples, c->tolerance);
  for (int i = 0; i < 10; i++) {
    DuStepResult result;

    du_trainer_step (trainer, fixture->n, fixture->height, fixture->width,
        fixture_array (fixture, "input", fixture->n_samples),
        fixture_array (fixture, "target", fixture->n_samples), fixture->learning_rate, &result, &error);
    g_assert_no_error (error);
    g_test_message ("loss %d: %.8f, PyTorch %.8f", i, result.loss, losses[i]);
    g_assert_cmpfloat_with_epsilon (result.loss, losses[i], c->tolerance * losses[i]);
    g_assert_false (result.skipped);
  }
  state = state_new (&options);
  du_trainer_get_state (trainer, &state, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (state.step, ==, 10);
  assert_close ("final parameters", state.parameters, final, fixture->n_trainable, c->tolerance);
  assert_close ("final statistics", state.parameters + fixture->n_trainable, final + fixture->n_trainable,
      fixture->n_parameters - fixture->n_trainable, c->tolerance);
  state_clear (&state);
}

/* NaN or Inf in a picture or its target changes nothing. */
static void
test_skip (gconstpointer data)
{
  static const float bad[] = { NAN, INFINITY, -INFINITY };
  DuTrainerOptions options;

  default_options (&options);
  options.backend = GPOINTER_TO_INT (data);
  options.ema_decay = 0.9;
  for (int i = 0; i < 12; i++) {
    gboolean in_target = i & 1;
    float good, *place;
    DuStepResult result;

    options.config.head = i & 2 ? DU_HEAD_RESIDUAL : DU_HEAD_SIGMOID;
    options.loss = i & 2 ? DU_LOSS_MSE : DU_LOSS_MAE; /* whose gradient need not show it */
    g_auto (Bench) a = bench_new (&options), b = bench_new (&options);
    g_test_message ("%g in the %s, %s", bad[i / 4], in_target ? "target" : "input",
        du_head_name (options.config.head));
    place = (in_target ? a.target : a.input) + 100;
    good = *place;
    step (&a, 1e-3);
    step (&b, 1e-3);
    *place = bad[i / 4];
    result = step (&a, 1e-3);
    g_assert_true (result.skipped);
    assert_equal_states (&a, &b);
    *place = good;
    g_assert_false (step (&a, 1e-3).skipped);
    step (&b, 1e-3);
    assert_equal_states (&a, &b);
  }
}

/* Finite values whose squares are not. */
static void
test_skip_overflow (void)
{
  DuTrainerOptions options;

  default_options (&options);
  g_auto (Bench) a = bench_new (&options), b = bench_new (&options);
  for (int i = 0; i < N_SAMPLES; i++)
    a.target[i] = 1e24f;
  g_assert_true (step (&a, 1e-3).skipped);
  assert_equal_states (&a, &b);
  /* Clipped it can be used. */
  options.clip_norm = 1;
  g_auto (Bench) clipped = bench_new (&options);
  for (int i = 0; i < N_SAMPLES; i++)
    clipped.target[i] = 1e12f;
  g_assert_false (step (&clipped, 1e-3).skipped);
}

static void
test_determinism (gconstpointer data)
{
  DuTrainerOptions options;

  default_options (&options);
  options.backend = GPOINTER_TO_INT (data);
  options.threads = 2;
  options.ema_decay = 0.5;
  g_auto (Bench) a = bench_new (&options), b = bench_new (&options);
  for (int i = 0; i < 5; i++) {
    DuStepResult x = step (&a, 1e-2), y = step (&b, 1e-2);

    g_assert_cmpfloat (x.loss, ==, y.loss);
    g_assert_cmpfloat (x.gradient_norm, ==, y.gradient_norm);
  }
  assert_equal_states (&a, &b);
}

/* A state taken and given back goes on bit for bit, in another trainer too. */
static void
test_state (void)
{
  g_autoptr (GError) error = NULL;
  DuTrainerOptions options;

  default_options (&options);
  options.ema_decay = 0.5;
  g_auto (Bench) a = bench_new (&options), b = bench_new (&options);
  for (int i = 0; i < 3; i++)
    step (&a, 1e-2);
  step (&b, 1e-1); /* something else to forget */
  g_assert_true (du_trainer_set_state (b.trainer, read_state (&a), &error));
  g_assert_no_error (error);
  assert_equal_states (&a, &b);
  for (int i = 0; i < 3; i++) {
    step (&a, 1e-2);
    step (&b, 1e-2);
  }
  assert_equal_states (&a, &b);
  g_assert_cmpuint (a.state.step, ==, 6);

  g_clear_pointer (&b.state.ema, g_free);
  g_assert_false (du_trainer_set_state (b.trainer, &b.state, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
}

/* ema = d * ema + (1 - d) * p, over all of the block, from the initial parameters on. */
static void
test_ema (void)
{
  DuTrainerOptions options;
  g_autofree float *average = NULL;

  default_options (&options);
  options.ema_decay = 0.75;
  g_auto (Bench) bench = bench_new (&options);
  average = g_memdup2 (read_state (&bench)->parameters, bench.n_parameters * sizeof *average);
  g_assert_cmpmem (average, bench.n_parameters * sizeof *average, bench.state.ema,
      bench.n_parameters * sizeof *average);
  for (int i = 0; i < 3; i++) {
    step (&bench, 1e-2);
    read_state (&bench);
    for (gsize k = 0; k < bench.n_parameters; k++) {
      average[k] = 0.75f * average[k] + 0.25f * bench.state.parameters[k];
      g_assert_cmpfloat_with_epsilon (bench.state.ema[k], average[k], 1e-6 * (1 + fabsf (average[k])));
    }
  }
}

/* Adam's first moment after one step is (1 - beta1) * gradient, so it shows what clipping did. */
static void
test_clip (void)
{
  DuTrainerOptions options;

  default_options (&options);
  g_auto (Bench) plain = bench_new (&options);
  DuStepResult result = step (&plain, 1e-3);
  double norm = 0, limit = result.gradient_norm / 3;

  read_state (&plain);
  for (gsize i = 0; i < plain.n_trainable; i++)
    norm += pow (plain.state.moment1[i] / 0.1, 2);
  g_assert_cmpfloat_with_epsilon (sqrt (norm), result.gradient_norm, 1e-5 * result.gradient_norm);

  options.clip_norm = limit;
  g_auto (Bench) clipped = bench_new (&options);
  g_assert_cmpfloat (step (&clipped, 1e-3).gradient_norm, ==, result.gradient_norm);
  read_state (&clipped);
  for (gsize i = 0; i < plain.n_trainable; i++)
    plain.state.moment1[i] /= 3;
  assert_close ("clipped", clipped.state.moment1, plain.state.moment1, plain.n_trainable, 1e-6);

  options.clip_norm = 3 * limit * 1.01; /* not reached */
  g_auto (Bench) free = bench_new (&options);
  step (&free, 1e-3);
  g_auto (Bench) again = bench_new (&options);
  options.clip_norm = 0;
  step (&again, 1e-3);
  assert_equal_states (&free, &again);
}

/* With momentum 0 and learning rate 0, a step leaves a batch's own statistics as the running ones: their mean
 * over the batches is what precise BN must find. */
static void
test_precise_bn (gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  DuTrainerOptions options;
  gsize n_statistics;
  g_autofree double *sums = NULL;
  g_autofree float *before = NULL, *first = NULL, *second = NULL;

  default_options (&options);
  options.backend = GPOINTER_TO_INT (data);
  options.ema_decay = 0.5;
  options.bn_momentum = 0;
  g_auto (Bench) bench = bench_new (&options);
  n_statistics = bench.n_parameters - bench.n_trainable;
  sums = g_new0 (double, n_statistics);
  for (int i = 0; i < 3; i++) {
    g_free (bench.input);
    bench.input = random_values (100 + i, N_SAMPLES);
    g_assert_false (step (&bench, 0).skipped);
    read_state (&bench);
    for (gsize k = 0; k < n_statistics; k++)
      sums[k] += bench.state.parameters[bench.n_trainable + k];
  }
  before = g_memdup2 (bench.state.parameters, bench.n_parameters * sizeof *before);
  first = g_new (float, N_SAMPLES);
  second = g_new (float, N_SAMPLES);
  du_trainer_predict (bench.trainer, TRUE, N, HEIGHT, WIDTH, bench.target, first, &error);
  g_assert_no_error (error);

  for (int ema = FALSE; ema <= TRUE; ema++) {
    const float *block = ema ? bench.state.ema : bench.state.parameters;

    g_assert_true (du_trainer_bn_begin (bench.trainer, ema, &error));
    for (int i = 0; i < 3; i++) {
      g_autofree float *input = random_values (100 + i, N_SAMPLES);

      g_assert_true (du_trainer_bn_add (bench.trainer, N, HEIGHT, WIDTH, input, &error));
      g_assert_no_error (error);
      /* What was refused does not count. */
      g_assert_false (du_trainer_bn_add (bench.trainer, N, HEIGHT - 1, WIDTH, input, NULL));
    }
    g_assert_true (du_trainer_bn_end (bench.trainer, &error));
    g_assert_no_error (error);
    read_state (&bench);
    for (gsize k = 0; k < n_statistics; k++) {
      double expected = sums[k] / 3;

      g_assert_cmpfloat_with_epsilon (block[bench.n_trainable + k], expected, 1e-6 * (1 + fabs (expected)));
    }
    /* Nothing else changes: with learning rate 0 both blocks are the first one. */
    g_assert_cmpmem (block, bench.n_trainable * sizeof *block, before, bench.n_trainable * sizeof *block);
  }
  /* What is predicted with knows of it. */
  du_trainer_predict (bench.trainer, TRUE, N, HEIGHT, WIDTH, bench.target, second, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (normalised_error (second, first, N_SAMPLES), >, 1e-4);
}

/* Predictions follow the parameters: after a step, after a state was set, from parameters to average. */
static void
test_predict (void)
{
  g_autoptr (GError) error = NULL;
  float *outputs[5];
  g_autofree float *again = g_new (float, N_SAMPLES);
  DuTrainerOptions options;

  default_options (&options);
  options.ema_decay = 0.5;
  g_auto (Bench) bench = bench_new (&options), fresh = bench_new (&options);
  for (int i = 0; i < 5; i++) {
    outputs[i] = g_new (float, N_SAMPLES);
    if (i == 1)
      step (&bench, 1e-2);
    if (i == 4)
      g_assert_true (du_trainer_set_state (bench.trainer, read_state (&fresh), &error));
    du_trainer_predict (bench.trainer, i == 2, N, HEIGHT, WIDTH, bench.input, outputs[i], &error);
    g_assert_no_error (error);
  }
  g_assert_true (memcmp (outputs[0], outputs[1], N_SAMPLES * sizeof (float)) != 0);
  g_assert_true (memcmp (outputs[1], outputs[2], N_SAMPLES * sizeof (float)) != 0);
  g_assert_cmpmem (outputs[1], N_SAMPLES * sizeof (float), outputs[3], N_SAMPLES * sizeof (float));
  g_assert_cmpmem (outputs[0], N_SAMPLES * sizeof (float), outputs[4], N_SAMPLES * sizeof (float));
  /* In place. */
  memcpy (again, bench.input, N_SAMPLES * sizeof (float));
  g_assert_true (du_trainer_predict (bench.trainer, FALSE, N, HEIGHT, WIDTH, again, again, &error));
  g_assert_cmpmem (outputs[4], N_SAMPLES * sizeof (float), again, N_SAMPLES * sizeof (float));
  for (int i = 0; i < 5; i++)
    g_free (outputs[i]);
}

/* Every loss can be trained with, every set of normalised blocks too, in changing sizes. */
static void
test_variants (void)
{
  g_autofree float *small = random_values (3, 3 * 16 * 16 * 3);
  DuTrainerOptions options;

  default_options (&options);
  for (DuLoss loss = DU_LOSS_MSE; loss <= DU_LOSS_LOG_MSE; loss++)
    for (guint bn = 0; bn <= 0x1ff; bn += 0x1ff) {
      double first, last = 0;

      options.loss = loss;
      options.config.bn = bn;
      g_auto (Bench) bench = bench_new (&options);
      first = step (&bench, 1e-3).loss;
      for (int i = 0; i < 15; i++) {
        g_autoptr (GError) error = NULL;
        DuStepResult result;

        last = step (&bench, 1e-3).loss;
        du_trainer_step (bench.trainer, 3, 16, 16, small, small, 0, &result, &error);
        g_assert_no_error (error);
      }
      g_test_message ("%s, bn 0x%x: loss %g -> %g", du_loss_name (loss), bn, first, last);
      g_assert_cmpfloat (last, <, first);
      g_assert_true (du_trainer_bn_begin (bench.trainer, FALSE, NULL));
      g_assert_true (du_trainer_bn_add (bench.trainer, 3, 16, 16, small, NULL));
      g_assert_true (du_trainer_bn_end (bench.trainer, NULL));
    }
}

static gboolean
try_step (Bench *bench, int height, double learning_rate, GError **error)
{
  DuStepResult result;

  return du_trainer_step (bench->trainer, N, height, WIDTH, bench->input, bench->target, learning_rate,
      &result, error);
}

static void
refused (gboolean done, GError **error)
{
  g_assert_false (done);
  g_test_message ("%s", (*error)->message);
  g_assert_error (*error, DU_ERROR, DU_ERROR_ARGUMENT);
  g_clear_error (error);
}

static void
test_errors (void)
{
  const struct
  {
    gsize offset;
    double value;
  } bad[] = {
    { G_STRUCT_OFFSET (DuTrainerOptions, loss_epsilon), -1 },
    { G_STRUCT_OFFSET (DuTrainerOptions, beta1), 1 },
    { G_STRUCT_OFFSET (DuTrainerOptions, beta2), NAN },
    { G_STRUCT_OFFSET (DuTrainerOptions, epsilon), INFINITY },
    { G_STRUCT_OFFSET (DuTrainerOptions, epsilon), 0 }, /* 0 / 0 where no gradient has been */
    { G_STRUCT_OFFSET (DuTrainerOptions, clip_norm), -1 },
    { G_STRUCT_OFFSET (DuTrainerOptions, bn_momentum), 1 },
    { G_STRUCT_OFFSET (DuTrainerOptions, ema_decay), 1.5 },
  };
  g_autoptr (GError) error = NULL;
  DuTrainerOptions options;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    float unread = 0;

    default_options (&options);
    G_STRUCT_MEMBER (double, &options, bad[i].offset) = bad[i].value;
    g_assert_null (du_trainer_new (&options, &unread, &error));
    g_test_message ("%s", error->message);
    g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
    g_clear_error (&error);
  }
  default_options (&options);
  g_auto (Bench) bench = bench_new (&options);

  refused (try_step (&bench, 15, 1e-3, &error), &error);
  refused (try_step (&bench, HEIGHT, NAN, &error), &error);
  refused (try_step (&bench, HEIGHT, -1, &error), &error);
  refused (du_trainer_predict (bench.trainer, TRUE, N, HEIGHT, WIDTH, bench.input, bench.target, &error),
      &error);
  refused (du_trainer_bn_begin (bench.trainer, TRUE, &error), &error);
  refused (du_trainer_bn_add (bench.trainer, N, HEIGHT, WIDTH, bench.input, &error), &error);
  refused (du_trainer_bn_end (bench.trainer, &error), &error);
  g_assert_true (du_trainer_bn_begin (bench.trainer, FALSE, &error));
  refused (try_step (&bench, HEIGHT, 1e-3, &error), &error);
  refused (du_trainer_set_state (bench.trainer, read_state (&bench), &error), &error);
  bench.input[0] = NAN;
  refused (du_trainer_bn_add (bench.trainer, N, HEIGHT, WIDTH, bench.input, &error), &error);
  refused (du_trainer_bn_end (bench.trainer, &error), &error); /* no batch */
  bench.input[0] = 0;
  g_assert_false (step (&bench, 1e-3).skipped); /* and all is well again */
}

/* Pictures that the trainer keeps: what they are, and that what is not in them is refused. */
static void
test_pictures (void)
{
  enum { SIDE = 33, PICTURES = 2 };
  static guint8 pixels[PICTURES][SIDE * SIDE * 3];
  const guint8 *pictures[PICTURES] = { pixels[0], pixels[1] };
  DuBlur blurs[2] = { { 0, { 256 } }, { 1, { 200, 28 } } };
  DuPictureSet set = { SIDE, SIDE, PICTURES, 2, pictures, blurs };
  const DuDraw good = { 1, 0, 1, SIDE - HEIGHT, SIDE - WIDTH, TRUE, FALSE };
  g_autoptr (GError) error = NULL;
  DuTrainerOptions options;
  DuStepResult a, b;
  int bad = 0;

  for (int i = 0; i < SIDE * SIDE * 3; i++) {
    pixels[0][i] = (guint8) (i * 7);
    pixels[1][i] = (guint8) (i * 11);
  }
  default_options (&options);
  g_auto (Bench) bench = bench_new (&options), other = bench_new (&options);
  DuDraw draws[N] = { good, good };

  refused (du_trainer_step_drawn (bench.trainer, N, HEIGHT, WIDTH, draws, 1e-3, &a, &error), &error);
  g_assert_true (du_trainer_set_pictures (bench.trainer, &set, &error));
  for (guint field = 0; field < 7; field++) {
    DuDraw *draw = &draws[1];

    *draw = good;
    if (field < 3)
      *(guint *[]){ &draw->input, &draw->target, &draw->blur }[field] = 2;
    else if (field < 5)
      *(int *[]){ &draw->top, &draw->left }[field - 3] += 1;
    else
      *(int *[]){ &draw->top, &draw->left }[field - 5] = -1;
    refused (du_trainer_step_drawn (bench.trainer, N, HEIGHT, WIDTH, draws, 1e-3, &a, &error), &error);
    bad++;
  }
  g_assert_cmpint (bad, ==, 7);
  draws[1] = good;
  refused (du_trainer_step_drawn (bench.trainer, N, 48, WIDTH, draws, 1e-3, &a, &error), &error);

  /* By hand: line y, pixel x of the input is the blurred one of picture 1, mirrored. */
  for (int i = 0; i < N_SAMPLES; i++) {
    const int c = i % 3, x = SIDE - 1 - i / 3 % WIDTH, y = i / 3 / WIDTH % HEIGHT + SIDE - HEIGHT;
    double sum = 0;

    for (int dy = -1; dy < 2; dy++)
      for (int dx = -1; dx < 2; dx++) {
        const int at_y = y + dy == SIDE ? SIDE - 2 : y + dy, at_x = x + dx == SIDE ? SIDE - 2 : x + dx;

        sum += (dy ? 28 : 200) * (dx ? 28 : 200) * (int) pixels[1][(at_y * SIDE + at_x) * 3 + c];
      }
    other.input[i] = (float) floor (sum / 65536 + 0.5) / 255.f;
    other.target[i] = pixels[0][(y * SIDE + x) * 3 + c] / 255.f;
  }
  g_assert_true (du_trainer_step_drawn (bench.trainer, N, HEIGHT, WIDTH, draws, 1e-3, &a, &error));
  b = step (&other, 1e-3);
  g_assert_cmpfloat (a.loss, ==, b.loss);
  assert_equal_states (&bench, &other);

  blurs[1].weights[1] = 29;
  refused (du_trainer_set_pictures (bench.trainer, &set, &error), &error);
  blurs[1].radius = DU_BLUR_RADIUS_MAX + 1;
  refused (du_trainer_set_pictures (bench.trainer, &set, &error), &error);
  set.n_blurs = 1;
  set.n = 0;
  refused (du_trainer_set_pictures (bench.trainer, &set, &error), &error);
  /* What was refused has taken nothing away; none is none. */
  g_assert_true (du_trainer_step_drawn (bench.trainer, N, HEIGHT, WIDTH, draws, 1e-3, &a, &error));
  g_assert_true (du_trainer_set_pictures (bench.trainer, NULL, &error));
  refused (du_trainer_step_drawn (bench.trainer, N, HEIGHT, WIDTH, draws, 1e-3, &a, &error), &error);
}

int
main (int argc, char **argv)
{
  static const Case cases[] = {
    { DU_BACKEND_REFERENCE, "sigmoid", 1e-5 },
    { DU_BACKEND_REFERENCE, "residual", 1e-5 },
    { DU_BACKEND_CPU, "sigmoid", 1e-5 },
    { DU_BACKEND_CPU, "residual", 1e-5 },
  };
  static const struct
  {
    const char *name;
    GTestDataFunc function;
  } on_each[] = {
    { "skip", test_skip },
    { "determinism", test_determinism },
    { "precise-bn", test_precise_bn },
  };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_strdup_printf ("/train/pytorch/%s/%s",
        cases[i].kind == DU_BACKEND_CPU ? "onednn" : "reference", cases[i].fixture);

    g_test_add_data_func (path, &cases[i], test_pytorch);
  }
  for (guint i = 0; i < G_N_ELEMENTS (on_each); i++) {
    g_autofree char *reference = g_strdup_printf ("/train/%s/reference", on_each[i].name);
    g_autofree char *onednn = g_strdup_printf ("/train/%s/onednn", on_each[i].name);

    g_test_add_data_func (reference, GINT_TO_POINTER (DU_BACKEND_REFERENCE), on_each[i].function);
    g_test_add_data_func (onednn, GINT_TO_POINTER (DU_BACKEND_CPU), on_each[i].function);
  }
  g_test_add_func ("/train/skip-overflow", test_skip_overflow);
  g_test_add_func ("/train/state", test_state);
  g_test_add_func ("/train/ema", test_ema);
  g_test_add_func ("/train/clip", test_clip);
  g_test_add_func ("/train/predict", test_predict);
  g_test_add_func ("/train/variants", test_variants);
  g_test_add_func ("/train/errors", test_errors);
  g_test_add_func ("/train/pictures", test_pictures);
  return g_test_run ();
}

/* Every back end against the reference, row by row; the reference against finite differences; the slots that
 * are no rows against loops in double. The CUDA back end takes part where DEBLURUNET_CUDA_MODULE names its
 * module, or an emulation of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backend-case.h"

#include "fixtures.h"
#include "half.h"
#include "module.h"

#include <math.h>
#include <string.h>

typedef struct
{
  const DuBackend *backend;
  DuType type;
  gboolean tf32;
} Target;

static DuContext *
open_context (const Target *target, int threads)
{
  DuContextOptions options = { target->type, threads, -1, target->tf32, threads > 1 };
  g_autoptr (GError) error = NULL;
  DuContext *context = target->backend->open (&options, &error);

  if (!context) {
    g_assert_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE);
    g_test_skip (error->message);
  }
  return context;
}

/* ---- rows ---------------------------------------------------------------------------------------- */

/* Differences are relative to the largest reference value, or to floor where that is larger. Denormals may be
 * flushed to zero. */
static void
compare (const CaseData *expected, const CaseData *got, const Target *target, CaseArray array, gsize at,
    gsize count, double floor)
{
  const float *a = expected->values[array] + at, *b = got->values[array] + at;
  double tolerance = target->tf32                    ? 2e-3
                     : target->type == DU_TYPE_F32 ? 1e-4
                     : target->type == DU_TYPE_F16 ? 1e-2
                                                   : 2e-2;
  double scale = MAX (largest (a, count), MAX (floor, 1e-30));

  for (gsize i = 0; i < count; i++)
    if (!(fabs ((double) a[i] - b[i]) <= tolerance * scale)) {
      g_autofree char *description = case_describe (expected->test);

      g_error ("%s %s: %s: %s [%" G_GSIZE_FORMAT "] is %g, should be %g; the largest is %g, tolerance %g",
          target->backend->name, du_type_name (target->type), description, case_array_names[array], i, b[i],
          a[i], scale, tolerance * scale);
    }
}

/* How much a training BN enlarges what stands before it, errors too: the largest gamma / deviation. */
static double
amplification (const CaseData *data)
{
  const DuOpShape *s = &data->test->shape;
  const float *variance = data->values[RESULT_STATISTICS] + s->channels_out;
  double max = 0;

  if (s->mode != DU_MODE_TRAINING || !s->bn)
    return 1;
  for (int c = 0; c < s->channels_out; c++)
    max = MAX (max, data->values[GIVEN_BLOCK][data->at.bn_scale + c] / sqrt (variance[c] + DU_BN_EPSILON));
  return max;
}

/* Sums that cancel are pure rounding: an error is measured against the size of what was summed. */
typedef struct
{
  double value;    /* before a BN, of random data: root of the number of terms times a term's deviation */
  double output;
  double gradient; /* behind a BN, which takes the mean out of it */
} Natural;

static Natural
natural_sizes (const CaseData *data)
{
  const DuOpShape *s = &data->test->shape;
  double value = 0, gradient = 0;

  if (data->test->fill == FILL_RANDOM && s->kind != DU_ROW_POOL)
    value = sqrt (s->channels_in + (s->kind == DU_ROW_CONV ? s->channels_skip : 0)) / 6;
  if (s->mode == DU_MODE_TRAINING && s->bn)
    gradient = largest (data->values[GIVEN_GRADIENT], data->count[GIVEN_GRADIENT]);
  return (Natural){ value, value * amplification (data), gradient * amplification (data) };
}

static void
check_case (const Target *target, DuContext *reference, DuContext *context, const BackendCase *test)
{
  const DuOpShape *s = &test->shape;
  guint64 seed = 1 + s->channels_in * 1000003 + s->channels_out * 10007 + s->width * 101 + test->fill;
  double pixels = (double) s->n * s->height * s->width;
  Natural natural;
  CaseData expected, got;

  case_data_init (&expected, test, target->type, seed);
  case_data_init (&got, test, target->type, seed);
  case_run_reference (&expected, reference);
  case_run (&got, target->backend, context, target->type);
  natural = natural_sizes (&expected);
  compare (&expected, &got, target, RESULT_OUTPUT, 0, expected.count[RESULT_OUTPUT], natural.output);
  for (int half = 0; half < 2; half++) /* mean, variance */
    compare (&expected, &got, target, RESULT_STATISTICS, half * expected.count[RESULT_STATISTICS] / 2,
        expected.count[RESULT_STATISTICS] / 2, 1e-6 + (half ? natural.value * natural.value : natural.value));
  if (s->mode == DU_MODE_TRAINING && target->backend->backward
      && !(s->kind == DU_ROW_CONV && test->fill == FILL_RANDOM)) {
    double inputs = MAX (1, largest (expected.values[GIVEN_INPUT], expected.count[GIVEN_INPUT]));

    for (CaseArray a = RESULT_GRADIENT_INPUT; a <= RESULT_GRADIENT_SKIP; a++)
      compare (&expected, &got, target, a, 0, expected.count[a], natural.gradient);
    for (int tensor = 0; tensor < 4; tensor++) {
      gsize at, count;

      if (case_tensor (&expected, tensor, &at, &count))
        compare (&expected, &got, target, RESULT_GRADIENT_BLOCK, at, count,
            natural.gradient * sqrt (pixels) * (tensor ? 1 : inputs));
    }
  }
  case_data_clear (&expected);
  case_data_clear (&got);
}

static const int sizes[][2] = { { 1, 1 }, { 1, 7 }, { 5, 3 }, { 17, 31 } }; /* height, width */
static const int channels[] = { 1, 3, 8, 16, 24, 32, 33, 64 };

/* Visits the list of cases of a kind of row: every size with every number of input channels, the rest taken
 * in turn, then every fill. */
static void
check_rows (gconstpointer data, DuRowKind kind)
{
  const Target *target = data;
  const Target plain = { &du_backend_reference, DU_TYPE_F32 };
  DuContext *reference = open_context (&plain, 2), *context = open_context (target, 2);
  DuContext *alone = context ? open_context (target, 1) : NULL;
  int turn = 0;

  for (guint size = 0; context && size < G_N_ELEMENTS (sizes); size++)
    for (guint in = 0; in < G_N_ELEMENTS (channels) + N_FILLS; in++)
      for (int variant = 0; variant < (kind == DU_ROW_CONV ? 8 : kind == DU_ROW_HEAD ? 4 : 2); variant++) {
        gboolean extreme = in >= G_N_ELEMENTS (channels);
        BackendCase test = { .shape = { .kind = kind, .n = 1 + turn % 3, .height = sizes[size][0],
                                 .width = sizes[size][1], .channels_in = channels[extreme ? 2 + in % 2 : in],
                                 .channels_out = channels[(in + turn * 3 + size) % G_N_ELEMENTS (channels)] },
          .fill = extreme ? in - G_N_ELEMENTS (channels) : turn / 2 % 4 == 3 ? FILL_RANDOM : FILL_LATTICE,
          .accumulate = turn / 3 % 2 };
        DuOpShape *s = &test.shape;

        turn++;
        if (test.fill == FILL_LARGE && target->type == DU_TYPE_F16)
          continue; /* beyond its range, as it has to be */
        s->mode = variant & 1 ? DU_MODE_TRAINING : DU_MODE_INFERENCE;
        if (kind == DU_ROW_CONV) {
          s->bn = variant >> 1 & 1;
          if (variant & 4) {
            s->channels_skip = channels[(in + turn) % G_N_ELEMENTS (channels)];
            test.without_skip = turn % 7 == 0;
            test.without_input = turn % 5 == 0;
          } else {
            s->picture = s->channels_in == 3;
          }
        } else if (kind == DU_ROW_HEAD) {
          s->head = variant >> 1;
          s->channels_out = s->channels_skip = 3;
        } else if (kind == DU_ROW_UP) {
          s->height *= 2;
          s->width *= 2;
        } else {
          s->channels_out = s->channels_in;
        }
        /* oneDNN's threads spin where they meet in bf16's gradients: slow on a machine with other work */
        check_case (target, reference, target->type == DU_TYPE_BF16 && turn % 5 ? alone : context, &test);
      }
  if (context) {
    target->backend->close (context);
    target->backend->close (alone);
  }
  du_backend_reference.close (reference);
}

static void
test_conv (gconstpointer data)
{
  check_rows (data, DU_ROW_CONV);
}

static void
test_pool (gconstpointer data)
{
  check_rows (data, DU_ROW_POOL);
}

static void
test_up (gconstpointer data)
{
  check_rows (data, DU_ROW_UP);
}

static void
test_head (gconstpointer data)
{
  check_rows (data, DU_ROW_HEAD);
}

/* Rows as wide as the published network's, where a library takes other kernels than for small ones. */
static void
test_published (gconstpointer data)
{
  static const DuOpShape shapes[] = {
    { DU_ROW_CONV, DU_MODE_TRAINING, 0, FALSE, TRUE, 2, 48, 112, 3, 0, 32 },
    { DU_ROW_CONV, DU_MODE_TRAINING, 0, TRUE, FALSE, 1, 48, 112, 32, 0, 32 },
    { DU_ROW_CONV, DU_MODE_TRAINING, 0, FALSE, FALSE, 1, 24, 56, 64, 64, 64 },
    { DU_ROW_CONV, DU_MODE_INFERENCE, 0, TRUE, FALSE, 1, 16, 28, 256, 256, 256 },
    { DU_ROW_CONV, DU_MODE_TRAINING, 0, TRUE, FALSE, 2, 8, 14, 256, 0, 512 },
    { DU_ROW_POOL, DU_MODE_TRAINING, 0, FALSE, FALSE, 1, 24, 56, 32, 0, 32 },
    { DU_ROW_UP, DU_MODE_TRAINING, 0, FALSE, FALSE, 2, 32, 56, 512, 0, 256 },
    { DU_ROW_HEAD, DU_MODE_TRAINING, DU_HEAD_SIGMOID, FALSE, FALSE, 2, 48, 112, 32, 3, 3 },
    { DU_ROW_HEAD, DU_MODE_INFERENCE, DU_HEAD_RESIDUAL, FALSE, FALSE, 2, 48, 112, 32, 3, 3 },
  };
  const Target *target = data;
  const Target plain = { &du_backend_reference, DU_TYPE_F32 };
  DuContext *reference = open_context (&plain, 2), *context = open_context (target, 2);

  for (guint i = 0; context && i < G_N_ELEMENTS (shapes); i++)
    check_case (target, reference, context, &(BackendCase){ .shape = shapes[i], .accumulate = i & 1 });
  if (context)
    target->backend->close (context);
  du_backend_reference.close (reference);
}

/* ---- the reference against finite differences --------------------------------------------------------- */

/* The sum of outputs weighted by the given gradient: what the backward differentiates. */
static double
weighted_output (CaseData *data, DuContext *context, DuOp *op, DuBuffer *const *buffers)
{
  const DuBackend *backend = &du_backend_reference;
  DuOpParameters parameters = { buffers[GIVEN_BLOCK], data->at };
  DuForward forward = { buffers[GIVEN_INPUT], buffers[GIVEN_SKIP], buffers[RESULT_OUTPUT],
    buffers[RESULT_STATISTICS], 0 };
  g_autofree float *output = g_new (float, data->count[RESULT_OUTPUT]);
  double sum = 0;

  for (CaseArray a = GIVEN_INPUT; a <= GIVEN_BLOCK; a++)
    if (buffers[a])
      backend->upload (context, buffers[a], 0, data->values[a], data->count[a], NULL);
  if (parameters.block)
    backend->load (context, op, &parameters, NULL);
  backend->forward (context, op, &forward, NULL);
  backend->download (context, buffers[RESULT_OUTPUT], 0, output, data->count[RESULT_OUTPUT], NULL);
  for (gsize i = 0; i < data->count[RESULT_OUTPUT]; i++)
    sum += (double) output[i] * data->values[GIVEN_GRADIENT][i];
  return sum;
}

static void
check_differences (DuContext *context, const BackendCase *test)
{
  static const struct
  {
    CaseArray given, gradient;
  } pairs[] = { { GIVEN_INPUT, RESULT_GRADIENT_INPUT }, { GIVEN_SKIP, RESULT_GRADIENT_SKIP },
    { GIVEN_BLOCK, RESULT_GRADIENT_BLOCK } };
  const DuBackend *backend = &du_backend_reference;
  DuBuffer *buffers[N_ARRAYS] = { NULL };
  /* small against the distance of a pool's values, else large against the rounding of the outputs */
  const double step = test->shape.kind == DU_ROW_POOL ? 1. / 4096 : 1. / 256;
  CaseData data;
  DuOp *op;

  case_data_init (&data, test, DU_TYPE_F32, 5);
  case_run_reference (&data, context);
  op = backend->prepare (context, &test->shape, NULL);
  for (CaseArray a = 0; a < N_ARRAYS; a++)
    if (data.count[a])
      buffers[a] = backend->buffer_new (context, DU_TYPE_F32, data.count[a], NULL);
  for (guint pair = 0; pair < G_N_ELEMENTS (pairs); pair++) {
    float *values = data.values[pairs[pair].given], *gradient = data.values[pairs[pair].gradient];

    for (int tensor = 0; tensor < (pairs[pair].given == GIVEN_BLOCK ? 4 : 1); tensor++) {
      gsize at = 0, count = data.count[pairs[pair].gradient];
      double scale;

      if (pairs[pair].given == GIVEN_BLOCK && !case_tensor (&data, tensor, &at, &count))
        continue;
      scale = largest (gradient + at, count);
      for (gsize i = at; i < at + count; i++) {
        float value = values[i];
        double up, down, difference;

        values[i] = value + step;
        up = weighted_output (&data, context, op, buffers);
        values[i] = value - step;
        down = weighted_output (&data, context, op, buffers);
        values[i] = value;
        difference = (up - down) / (2 * step);
        if (fabs (difference - gradient[i]) > 1e-3 * scale + 1e-5) {
          g_autofree char *description = case_describe (test);

          g_error ("%s: %s, tensor %d [%" G_GSIZE_FORMAT "] is %g, finite differences give %g", description,
              case_array_names[pairs[pair].gradient], tensor, i - at, gradient[i], difference);
        }
      }
    }
  }
  for (CaseArray a = 0; a < N_ARRAYS; a++)
    backend->buffer_free (context, buffers[a]);
  backend->op_free (context, op);
  case_data_clear (&data);
}

static void
test_differences (void)
{
  const Target target = { &du_backend_reference, DU_TYPE_F32 };
  DuContext *context = open_context (&target, 1);
  const BackendCase tests[] = {
    { { DU_ROW_CONV, DU_MODE_TRAINING, 0, FALSE, FALSE, 2, 3, 4, 3, 0, 5 }, FILL_LATTICE },
    { { DU_ROW_CONV, DU_MODE_TRAINING, 0, TRUE, FALSE, 2, 3, 4, 3, 0, 5 }, FILL_LATTICE },
    { { DU_ROW_CONV, DU_MODE_TRAINING, 0, TRUE, FALSE, 1, 5, 3, 2, 9, 3 }, FILL_LATTICE },
    { { DU_ROW_CONV, DU_MODE_TRAINING, 0, FALSE, FALSE, 1, 1, 7, 9, 2, 1 }, FILL_LATTICE },
    { { DU_ROW_CONV, DU_MODE_TRAINING, 0, TRUE, TRUE, 3, 3, 2, 3, 0, 2 }, FILL_LATTICE },
    { { DU_ROW_POOL, DU_MODE_TRAINING, 0, FALSE, FALSE, 2, 3, 2, 5, 0, 5 }, FILL_RANDOM },
    { { DU_ROW_UP, DU_MODE_TRAINING, 0, FALSE, FALSE, 2, 6, 4, 5, 0, 3 }, FILL_RANDOM },
    { { DU_ROW_HEAD, DU_MODE_TRAINING, DU_HEAD_SIGMOID, FALSE, FALSE, 2, 3, 5, 4, 3, 3 }, FILL_RANDOM },
    { { DU_ROW_HEAD, DU_MODE_TRAINING, DU_HEAD_RESIDUAL, FALSE, FALSE, 2, 3, 5, 4, 3, 3 }, FILL_RANDOM },
  };

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    check_differences (context, &tests[i]);
  du_backend_reference.close (context);
}

/* ---- what is no row ----------------------------------------------------------------------------------- */

/* A context and a buffer of its back end that is released with it. */
typedef struct
{
  const DuBackend *backend;
  DuContext *context;
  GPtrArray *buffers;
} Bench;

static gboolean
bench_open (Bench *bench, const Target *target, int threads)
{
  *bench = (Bench){ target->backend, open_context (target, threads), g_ptr_array_new () };
  return bench->context != NULL;
}

static void
bench_close (Bench *bench)
{
  for (guint i = 0; i < bench->buffers->len; i++)
    bench->backend->buffer_free (bench->context, bench->buffers->pdata[i]);
  g_ptr_array_unref (bench->buffers);
  if (bench->context)
    bench->backend->close (bench->context);
}

static DuBuffer *
bench_buffer (Bench *bench, DuType type, const float *values, gsize count)
{
  g_autoptr (GError) error = NULL;
  DuBuffer *buffer = bench->backend->buffer_new (bench->context, type, count, &error);

  g_assert_no_error (error);
  g_ptr_array_add (bench->buffers, buffer);
  g_assert_true (bench->backend->upload (bench->context, buffer, 0, values, count, &error));
  return buffer;
}

static void
bench_read (Bench *bench, const DuBuffer *buffer, float *values, gsize count)
{
  g_assert_true (bench->backend->download (bench->context, buffer, 0, values, count, NULL));
}

static guint32
bits_of (float value)
{
  guint32 bits;

  memcpy (&bits, &value, sizeof bits);
  return bits;
}

/* bf16 is the upper half of float32: what comes back is the nearer of the two neighbours, on a tie the one
 * whose last place is even. */
static void
check_bf16 (float value, float got)
{
  guint32 bits = bits_of (value), low = bits & 0xffff0000, rest = bits & 0xffff, expected;

  if (isnan (value)) {
    g_assert_true (isnan (got));
    return;
  }
  expected = rest > 0x8000 || (rest == 0x8000 && low & 0x10000) ? low + 0x10000 : low;
  if (bits_of (got) != expected)
    g_error ("%a (%08x) comes back from bf16 as %a (%08x), should be %08x", value, bits, got, bits_of (got),
        expected);
}

static void
test_transfer (gconstpointer data)
{
  const Target *target = data;
  const gsize count = 100003, at = 7;
  g_autofree float *values = g_new (float, count + at), *got = g_new (float, count + at);
  guint64 state = 8;
  Bench bench;
  DuBuffer *buffer;

  if (bench_open (&bench, target, 2)) {
    for (gsize i = 0; i < count + at; i++) {
      /* every exponent and sign; then ties and their neighbours */
      guint32 bits = case_random (&state) * 4294967296.;

      if (i % 4 == 1)
        bits = (bits & 0xffff0000) + 0x7fff + i / 4 % 3;
      memcpy (values + i, &bits, sizeof bits);
    }
    values[at] = INFINITY;
    values[at + 1] = -INFINITY;
    values[at + 2] = NAN;
    values[at + 3] = G_MAXFLOAT; /* rounds to an infinity */
    values[at + 4] = 1e-45f;
    values[at + 5] = -0.f;
    buffer = bench_buffer (&bench, target->type, values, count + at);
    bench_read (&bench, buffer, got, count + at);
    for (gsize i = 0; i < count + at; i++)
      if (target->type == DU_TYPE_BF16)
        check_bf16 (values[i], got[i]);
      else if (isnan (values[i]) && target->type == DU_TYPE_F16)
        g_assert_true (isnan (got[i]));
      else if (target->type == DU_TYPE_F16)
        g_assert_cmphex (bits_of (du_f16_to_float (du_f16_from_float (values[i]))), ==, bits_of (got[i]));
      else
        g_assert_true (bits_of (values[i]) == bits_of (got[i]));
    /* A part in the middle; the rest stays. */
    for (gsize i = 0; i < count + at; i++)
      got[i] = 3;
    g_assert_true (target->backend->upload (bench.context, buffer, at, got, 11, NULL));
    bench_read (&bench, buffer, got, count + at);
    for (gsize i = at; i < at + 11; i++)
      g_assert_cmpfloat (got[i], ==, 3);
    g_assert_cmpfloat (got[at - 1], !=, 3);
    g_assert_cmpfloat (got[at + 11], !=, 3);
    g_assert_true (target->backend->download (bench.context, buffer, at + 10, got, 1, NULL));
    g_assert_cmpfloat (got[0], ==, 3);
    g_assert_cmpfloat (got[1], !=, 3);
  }
  bench_close (&bench);
}

/* Adam in double over several steps, some gradients always zero, some huge, some that stop. */
static void
test_adam (gconstpointer data)
{
  const Target *target = data;
  const gsize count = 100003, given = count + 5; /* the last five are not to be touched */
  const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, gradient_sizes[] = { 0, 1e4, 1, 1e-19, 1e-3 };
  g_autofree float *first = g_new (float, given);
  float *values[4];
  g_autofree double *p = g_new (double, given), *m = g_new0 (double, given), *v = g_new0 (double, given);

  if (!target->backend->adam) {
    g_test_skip ("the back end only infers");
    return;
  }
  for (int threads = 1; threads <= 3; threads++) {
    DuBuffer *buffers[4]; /* parameters, gradient, moments */
    guint64 state = 9;
    Bench bench;

    if (!bench_open (&bench, target, threads)) {
      bench_close (&bench);
      return;
    }
    for (int b = 0; b < 4; b++) {
      values[b] = g_new0 (float, given);
      for (gsize i = 0; b == 0 && i < given; i++)
        p[i] = values[b][i] = (float) (2 * case_random (&state) - 1);
      buffers[b] = bench_buffer (&bench, DU_TYPE_F32, values[b], given);
    }
    memset (m, 0, given * sizeof *m);
    memset (v, 0, given * sizeof *v);
    for (guint64 step = 1; step <= 12; step++) {
      DuAdam adam = { 1e-2 / step, beta1, beta2, epsilon, step, 0.25 };

      for (gsize i = 0; i < given; i++) {
        double size = i % 5 == 2 && step > 3 ? 0 : gradient_sizes[i % 5];
        double g = values[1][i] = (float) ((2 * case_random (&state) - 1) * size);

        g *= adam.scale;
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        if (i < count)
          p[i] -= adam.learning_rate * (m[i] / (1 - pow (beta1, step)))
                  / (sqrt (v[i] / (1 - pow (beta2, step))) + epsilon);
      }
      g_assert_true (target->backend->upload (bench.context, buffers[1], 0, values[1], given, NULL));
      g_assert_true (target->backend->adam (bench.context, &adam, count, buffers[0], buffers[1], buffers[2],
          buffers[3], NULL));
    }
    for (int b = 0; b < 4; b++)
      bench_read (&bench, buffers[b], values[b], given);
    for (gsize i = 0; i < given; i++)
      if (fabs (values[0][i] - p[i]) > 2e-6 || (i >= count && values[0][i] != (float) p[i]))
        g_error ("Adam: parameter %" G_GSIZE_FORMAT " is %.9g, should be %.9g", i, values[0][i], p[i]);
    for (gsize i = 0; i < count; i++) {
      double scale = MAX (fabs (m[i]), gradient_sizes[i % 5]); /* m is a sum of either sign */

      g_assert_cmpfloat (fabs (values[2][i] - m[i]), <=, 1e-7 * scale + 1e-37);
      g_assert_cmpfloat (fabs (values[3][i] - v[i]), <=, 1e-6 * fabs (v[i]) + 1e-37);
    }
    if (threads == 1)
      memcpy (first, values[0], given * sizeof *first);
    g_assert_cmpmem (first, given * sizeof *first, values[0], given * sizeof *first);
    for (int b = 0; b < 4; b++)
      g_free (values[b]);
    bench_close (&bench);
  }
}

static void
test_norm (gconstpointer data)
{
  const Target *target = data;
  const gsize counts[] = { 1, 7, 1000, 300007 };
  g_autofree float *values = g_new (float, 300007 + 1);
  guint64 state = 10;
  double norm, norms[DU_RESULTS];
  Bench bench;

  if (!target->backend->norm)
    g_test_skip ("the back end only infers");
  else if (bench_open (&bench, target, 2)) {
    for (guint c = 0; c < G_N_ELEMENTS (counts); c++) {
      const float bad[] = { NAN, INFINITY, -INFINITY };
      gsize count = counts[c];
      DuBuffer *buffer = bench_buffer (&bench, DU_TYPE_F32, values, count + 1);
      double sum = 0;

      for (gsize i = 0; i < count; i++) {
        values[i] = (float) ((2 * case_random (&state) - 1) * (i % 1000 == 0 ? 1e30 : 1));
        sum += (double) values[i] * values[i];
      }
      values[count] = NAN; /* behind the end */
      target->backend->upload (bench.context, buffer, 0, values, count + 1, NULL);
      for (guint r = 0; r < DU_RESULTS; r++) /* none takes another's place */
        g_assert_true (target->backend->norm (bench.context, buffer, r == 1 ? count : 1, r, NULL));
      g_assert_true (target->backend->results (bench.context, norms, DU_RESULTS, NULL));
      norm = norms[1];
      g_assert_cmpfloat (fabs (norm - sqrt (sum)), <=, 1e-6 * sqrt (sum));
      for (guint b = 0; b < G_N_ELEMENTS (bad); b++) {
        target->backend->upload (bench.context, buffer, count - 1, bad + b, 1, NULL);
        for (guint r = 0; r < DU_RESULTS; r++) /* none takes another's place */
        g_assert_true (target->backend->norm (bench.context, buffer, r == 1 ? count : 1, r, NULL));
      g_assert_true (target->backend->results (bench.context, norms, DU_RESULTS, NULL));
      norm = norms[1];
        g_assert_false (isfinite (norm));
      }
    }
    bench_close (&bench);
  }
}

static void
test_blend (gconstpointer data)
{
  const Target *target = data;
  const gsize count = 100003, at = 5, from_at = 11;
  const double decays[] = { 0, 0.5, 0.99, 0.9999, 1 };
  const gsize given = count + 16;
  g_autofree float *a = g_new (float, given), *b = g_new (float, given), *got = g_new (float, given);
  guint64 state = 11;
  Bench bench;

  if (!target->backend->blend) {
    g_test_skip ("the back end only infers");
    return;
  }
  if (bench_open (&bench, target, 2))
    for (guint d = 0; d < G_N_ELEMENTS (decays); d++) {
      DuBuffer *to, *from;

      for (gsize i = 0; i < given; i++) {
        a[i] = (float) (2 * case_random (&state) - 1);
        b[i] = (float) (2 * case_random (&state) - 1);
      }
      to = bench_buffer (&bench, DU_TYPE_F32, a, given);
      from = bench_buffer (&bench, DU_TYPE_F32, b, given);
      g_assert_true (target->backend->blend (bench.context, decays[d], to, at, from, from_at, count, NULL));
      bench_read (&bench, to, got, given);
      for (gsize i = 0; i < given; i++) {
        double expected = a[i];

        if (i >= at && i < at + count)
          expected = decays[d] * a[i] + (1 - decays[d]) * b[i - at + from_at];
        g_assert_cmpfloat (fabs (got[i] - expected), <=, 1e-7);
      }
      g_assert_cmpfloat (got[at - 1], ==, a[at - 1]);
      g_assert_cmpfloat (got[at + count], ==, a[at + count]);
      /* The average of what does not change does not drift. */
      target->backend->upload (bench.context, to, 0, b, 64, NULL);
      for (int step = 0; step < 1000; step++)
        g_assert_true (target->backend->blend (bench.context, decays[d], to, 0, from, 0, 64, NULL));
      bench_read (&bench, to, got, 64);
      for (int i = 0; i < 64; i++)
        g_assert_cmpfloat (fabs (got[i] - b[i]), <=, 1e-6 * fabs (b[i]));
    }
  bench_close (&bench);
}

static void
test_loss (gconstpointer data)
{
  const Target *target = data;
  const int n = 2, height = 13, width = 57;
  const gsize count = (gsize) n * height * width * 3;
  g_autofree float *values = g_new (float, 2 * count), *expected = g_new (float, count);
  g_autofree float *got = g_new (float, count);
  g_autoptr (GError) error = NULL;
  guint64 state = 12;
  Bench bench;

  if (!target->backend->loss) {
    g_test_skip ("the back end only infers");
    return;
  }
  for (gsize i = 0; i < 2 * count; i++)
    values[i] = (float) case_random (&state);
  if (bench_open (&bench, target, 2)) {
    DuBuffer *prediction = bench_buffer (&bench, DU_TYPE_F32, values, count);
    DuBuffer *truth = bench_buffer (&bench, DU_TYPE_F32, values + count, count);
    DuBuffer *gradient = bench_buffer (&bench, DU_TYPE_F32, values, count);

    double value;

    for (DuLoss loss = DU_LOSS_MSE; loss <= DU_LOSS_LOG_MSE; loss++) {
      double right = du_loss (loss, 1e-3, n, height, width, 3, values, values + count, expected), scale;

      g_assert_true (target->backend->loss (bench.context, loss, 1e-3, n, height, width, prediction, truth,
          gradient, 0, &error));
      g_assert_no_error (error);
      g_assert_true (target->backend->results (bench.context, &value, 1, &error));
      bench_read (&bench, gradient, got, count);
      g_assert_cmpfloat (fabs (value - right), <=, 1e-6 * fabs (right));
      scale = largest (expected, count);
      for (gsize i = 0; i < count; i++)
        g_assert_cmpfloat (fabs (got[i] - expected[i]), <=, 1e-5 * scale);
    }
    g_assert_false (target->backend->loss (bench.context, DU_LOSS_SSIM, 0, n, 10, width, prediction, truth,
        gradient, 0, &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
  }
  bench_close (&bench);
}

int
main (int argc, char **argv)
{
  static const DuBackend *cuda;
  static Target targets[] = {
    { &du_backend_reference, DU_TYPE_F32 },
    { &du_backend_reference, DU_TYPE_BF16 },
    { &du_backend_onednn, DU_TYPE_F32 },
    { &du_backend_onednn, DU_TYPE_BF16 },
    { NULL, DU_TYPE_F32 }, /* CUDA */
    { NULL, DU_TYPE_F32, TRUE },
    { NULL, DU_TYPE_BF16 },
    { NULL, DU_TYPE_F16 },
  };
  static const struct
  {
    const char *name;
    GTestDataFunc function;
  } tests[] = { { "conv", test_conv }, { "pool", test_pool }, { "up", test_up }, { "head", test_head },
    { "published", test_published }, { "transfer", test_transfer }, { "adam", test_adam },
    { "norm", test_norm }, { "blend", test_blend }, { "loss", test_loss } };

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/backend/reference/finite-differences", test_differences);
  if (g_getenv ("DEBLURUNET_CUDA_MODULE")) {
    g_autoptr (GError) error = NULL;

    cuda = du_module_cuda (&error);
    g_assert_no_error (error);
  }
  for (guint t = 0; t < G_N_ELEMENTS (targets); t++) {
    targets[t].backend = targets[t].backend ? targets[t].backend : cuda;
    for (guint i = 0; targets[t].backend && i < G_N_ELEMENTS (tests); i++) {
      g_autofree char *path = g_strdup_printf ("/backend/%s/%s/%s", targets[t].backend->name,
          targets[t].tf32 ? "tf32" : du_type_name (targets[t].type), tests[i].name);

      g_test_add_data_func (path, &targets[t], tests[i].function);
    }
  }
  return g_test_run ();
}

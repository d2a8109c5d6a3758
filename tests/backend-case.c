/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backend-case.h"

#include "half.h"

#include <math.h>
#include <string.h>

#define CANARY 1024.f /* exact in every type */

enum
{
  N_CANARIES = 19,
  STATISTICS_AT = 3,
};

const char *const case_array_names[N_ARRAYS] = { "input", "skip", "parameters", "output's gradient",
  "what stood in the input's gradient", "what stood in the skip's gradient", "output", "statistics",
  "input's gradient", "skip's gradient", "parameters' gradient" };

char *
case_describe (const BackendCase *test)
{
  static const char *const kinds[] = { "conv", "pool", "up", "head" };
  static const char *const fills[] = { "lattice", "random", "zero", "constant", "large", "denormal" };
  const DuOpShape *s = &test->shape;

  return g_strdup_printf ("%s %s %dx%dx%d %d+%d->%d%s%s%s%s%s%s, %s input", kinds[s->kind],
      s->mode == DU_MODE_TRAINING ? "training" : "inference", s->n, s->height, s->width, s->channels_in,
      s->channels_skip, s->channels_out, s->bn ? " bn" : "", s->picture ? " picture" : "",
      s->kind != DU_ROW_HEAD ? "" : s->head == DU_HEAD_SIGMOID ? " sigmoid" : " residual",
      test->accumulate ? " accumulate" : "", test->without_input ? " without input's gradient" : "",
      test->without_skip ? " without skip's gradient" : "", fills[test->fill]);
}

double
case_random (guint64 *state)
{
  guint64 z = *state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15); /* splitmix64 */

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return (double) ((z ^ z >> 31) >> 11) / 9007199254740992.;
}

/* From -limit to limit in whole numbers. */
static int
whole (guint64 *state, int limit)
{
  return (int) floor (case_random (state) * (2 * limit + 1)) - limit;
}

static float
activation (Fill fill, guint64 *state)
{
  switch (fill) {
  case FILL_LATTICE:
    return whole (state, 2);
  case FILL_RANDOM:
    return (float) (2 * case_random (state) - 1);
  case FILL_ZERO:
    return 0;
  case FILL_CONSTANT:
    return 1;
  case FILL_LARGE:
    return whole (state, 2) * 4096;
  default:
    return (float) (whole (state, 9) * 1e-40);
  }
}

static float
rounded (DuType type, float value)
{
  return type == DU_TYPE_BF16  ? du_bf16_to_float (du_bf16_from_float (value))
         : type == DU_TYPE_F16 ? du_f16_to_float (du_f16_from_float (value))
                               : value;
}

/* Types of the row's activations: the picture's, the prediction's and the rest. */
static DuType
type_of (const DuOpShape *shape, CaseArray array, DuType type)
{
  switch (array) {
  case GIVEN_INPUT:
  case GIVEN_START_INPUT:
  case RESULT_GRADIENT_INPUT:
    return shape->picture ? DU_TYPE_F32 : type;
  case GIVEN_BLOCK:
  case RESULT_STATISTICS:
  case RESULT_GRADIENT_BLOCK:
    return DU_TYPE_F32;
  default:
    return shape->kind == DU_ROW_HEAD ? DU_TYPE_F32 : type;
  }
}

/* Reserves count floats behind a gap. */
static gsize
place (gsize *end, gsize count)
{
  gsize at = *end + 3;

  *end = at + count;
  return at;
}

static gsize
weight_count (const DuOpShape *s)
{
  return s->kind == DU_ROW_CONV ? (gsize) 9 * (s->channels_in + s->channels_skip) * s->channels_out
         : s->kind == DU_ROW_UP ? (gsize) 4 * s->channels_in * s->channels_out
                                : (gsize) s->channels_in * s->channels_out;
}

gboolean
case_tensor (const CaseData *data, int tensor, gsize *at, gsize *count)
{
  const gsize places[] = { data->at.weight, data->at.bias, data->at.bn_scale, data->at.bn_shift };

  *at = places[tensor];
  *count = tensor ? (gsize) data->test->shape.channels_out : weight_count (&data->test->shape);
  return data->count[GIVEN_BLOCK] && *at != DU_NO_OFFSET;
}

static void
fill_block (CaseData *data, DuType type, guint64 *state)
{
  const DuOpShape *s = &data->test->shape;
  gsize end = 0, weights = weight_count (s), c = s->channels_out;
  float *block, scale = data->test->fill == FILL_LARGE ? 4096 : 1;
  gboolean random = data->test->fill == FILL_RANDOM;

  data->at = (DuRowOffsets){ DU_NO_OFFSET, DU_NO_OFFSET, DU_NO_OFFSET, DU_NO_OFFSET, DU_NO_OFFSET,
    DU_NO_OFFSET };
  data->at.bias = place (&end, c);
  data->at.weight = place (&end, weights);
  if (s->bn) {
    data->at.bn_mean = place (&end, c);
    data->at.bn_shift = place (&end, c);
    data->at.bn_scale = place (&end, c);
    data->at.bn_variance = place (&end, c);
  }
  data->count[GIVEN_BLOCK] = data->count[RESULT_GRADIENT_BLOCK] = end;
  block = data->values[GIVEN_BLOCK] = g_new (float, end);
  for (gsize i = 0; i < end; i++)
    block[i] = CANARY;
  for (gsize i = 0; i < weights; i++)
    /* Rounded as a back end does: sums that cancel would else show the rounding of the weights. */
    block[data->at.weight + i] = random ? rounded (type, case_random (state) - 0.5) : whole (state, 4) / 8.;
  for (gsize i = 0; i < c; i++) {
    block[data->at.bias + i] = random ? case_random (state) - 0.5 : (2 * whole (state, 7) + 1) / 16. * scale;
    if (!s->bn)
      continue;
    block[data->at.bn_mean + i] = 2 * case_random (state) - 1;
    block[data->at.bn_variance + i] = 0.25 + 2 * case_random (state);
    block[data->at.bn_scale + i] = 0.5 + case_random (state);
    block[data->at.bn_shift + i] = 2 * case_random (state) - 1;
  }
}

void
case_data_init (CaseData *data, const BackendCase *test, DuType type, guint64 seed)
{
  const DuOpShape *s = &test->shape;
  gsize pixels = (gsize) s->n * s->height * s->width;
  gsize pixels_in = s->kind == DU_ROW_POOL ? pixels * 4 : s->kind == DU_ROW_UP ? pixels / 4 : pixels;
  gboolean training = s->mode == DU_MODE_TRAINING, conv = s->kind == DU_ROW_CONV;
  guint64 state = seed;

  *data = (CaseData){ .test = test };
  data->count[GIVEN_INPUT] = pixels_in * s->channels_in;
  data->count[GIVEN_SKIP] = pixels * s->channels_skip;
  data->count[RESULT_OUTPUT] = pixels * s->channels_out;
  if (training) {
    data->count[GIVEN_GRADIENT] = data->count[RESULT_OUTPUT];
    data->count[RESULT_STATISTICS] = s->bn ? 2 * s->channels_out : 0;
    if (!s->picture && !test->without_input)
      data->count[GIVEN_START_INPUT] = data->count[RESULT_GRADIENT_INPUT] = data->count[GIVEN_INPUT];
    if (conv && !test->without_skip)
      data->count[GIVEN_START_SKIP] = data->count[RESULT_GRADIENT_SKIP] = data->count[GIVEN_SKIP];
  }
  if (s->kind != DU_ROW_POOL)
    fill_block (data, type, &state);
  if (!training)
    data->count[RESULT_GRADIENT_BLOCK] = 0;
  for (CaseArray a = 0; a < N_ARRAYS; a++) {
    Fill fill = a == GIVEN_INPUT || a == GIVEN_SKIP || test->fill != FILL_LATTICE ? test->fill : FILL_RANDOM;

    if (a == GIVEN_BLOCK)
      continue;
    data->values[a] = g_new0 (float, data->count[a]);
    for (gsize i = 0; a < RESULT_OUTPUT && i < data->count[a]; i++)
      data->values[a][i] = rounded (type_of (s, a, type), activation (fill, &state));
  }
}

void
case_data_clear (CaseData *data)
{
  for (CaseArray a = 0; a < N_ARRAYS; a++)
    g_free (data->values[a]);
}

/* ---- running ---------------------------------------------------------------------------------- */

typedef struct
{
  CaseData *data;
  const DuBackend *backend;
  DuContext *context;
  DuType type;
  DuOp *op;
  DuBuffer *buffers[N_ARRAYS];
} Run;

static gsize
front (CaseArray array)
{
  return array == RESULT_STATISTICS ? STATISTICS_AT : 0;
}

static float *
download (Run *run, CaseArray array)
{
  gsize count = front (array) + run->data->count[array] + N_CANARIES;
  float *values = g_new (float, count);
  GError *error = NULL;

  g_assert_true (run->backend->download (run->context, run->buffers[array], 0, values, count, &error));
  g_assert_no_error (error);
  return values;
}

/* Values between canaries; NULL: NaN, so that what is not overwritten shows. */
static void
upload (Run *run, CaseArray array, const float *values)
{
  gsize count = run->data->count[array], all = front (array) + count + N_CANARIES;
  g_autofree float *host = g_new (float, all);
  GError *error = NULL;

  for (gsize i = 0; i < all; i++)
    host[i] = CANARY;
  for (gsize i = 0; i < count; i++)
    host[front (array) + i] = values ? values[i] : NAN;
  g_assert_true (run->backend->upload (run->context, run->buffers[array], 0, host, all, &error));
  g_assert_no_error (error);
}

static void
fail (const Run *run, const char *problem, gsize at)
{
  g_autofree char *description = case_describe (run->data->test);

  g_error ("%s %s: %s: %s at %" G_GSIZE_FORMAT, run->backend->name, du_type_name (run->type), description,
      problem, at);
}

static gboolean
same (float a, float b)
{
  return memcmp (&a, &b, sizeof a) == 0;
}

/* Canaries stand; a given array is as it was. */
static void
check_untouched (Run *run, CaseArray array)
{
  gsize count = run->data->count[array];
  g_autofree float *host = NULL;

  if (!run->buffers[array])
    return;
  host = download (run, array);
  for (gsize i = 0; i < front (array); i++)
    if (host[i] != CANARY)
      fail (run, case_array_names[array], i);
  for (gsize i = 0; i < N_CANARIES; i++)
    if (host[front (array) + count + i] != CANARY)
      fail (run, case_array_names[array], count + i);
  for (gsize i = 0; array <= GIVEN_BLOCK && i < count; i++)
    if (!same (host[i], run->data->values[array][i]))
      fail (run, case_array_names[array], i);
}

/* Takes a result; on the second pass it must be the same. */
static void
take (Run *run, CaseArray array, gboolean again)
{
  gsize count = run->data->count[array];
  g_autofree float *host = NULL;
  float *to = run->data->values[array];

  if (!count)
    return;
  host = download (run, array);
  for (gsize i = 0; i < count; i++) {
    if (again && !same (to[i], host[front (array) + i]))
      fail (run, "a second pass differs", i);
    to[i] = host[front (array) + i];
  }
}

/* NaN where the row's trainable tensors stand, elsewhere canaries. */
static float *
poisoned_gradients (const CaseData *data)
{
  float *host = g_new (float, data->count[GIVEN_BLOCK]);
  gsize at, count;

  for (gsize i = 0; i < data->count[GIVEN_BLOCK]; i++)
    host[i] = CANARY;
  for (int tensor = 0; tensor < 4; tensor++)
    for (gsize i = 0; case_tensor (data, tensor, &at, &count) && i < count; i++)
      host[at + i] = NAN;
  return host;
}

static void
pass (Run *run, gboolean again)
{
  const BackendCase *test = run->data->test;
  gboolean training = test->shape.mode == DU_MODE_TRAINING;
  g_autofree float *poison = poisoned_gradients (run->data), *after = NULL;
  GError *error = NULL;
  DuForward forward = { .input = run->buffers[GIVEN_INPUT], .skip = run->buffers[GIVEN_SKIP],
    .output = run->buffers[RESULT_OUTPUT], .statistics = run->buffers[RESULT_STATISTICS],
    .statistics_at = STATISTICS_AT };
  DuBackward backward = { .input = forward.input, .skip = forward.skip, .output = forward.output,
    .gradient_output = run->buffers[GIVEN_GRADIENT],
    .gradient_input = run->buffers[RESULT_GRADIENT_INPUT],
    .gradient_skip = run->buffers[RESULT_GRADIENT_SKIP],
    .accumulate_input = test->accumulate, .accumulate_skip = test->accumulate,
    .gradient_parameters = run->buffers[RESULT_GRADIENT_BLOCK] };

  upload (run, RESULT_OUTPUT, NULL);
  if (forward.statistics)
    upload (run, RESULT_STATISTICS, NULL);
  g_assert_true (run->backend->forward (run->context, run->op, &forward, &error));
  g_assert_no_error (error);
  take (run, RESULT_OUTPUT, again);
  take (run, RESULT_STATISTICS, again);
  if (!training || !run->backend->backward)
    return;
  upload (run, GIVEN_GRADIENT, run->data->values[GIVEN_GRADIENT]);
  if (backward.gradient_input)
    upload (run, RESULT_GRADIENT_INPUT, test->accumulate ? run->data->values[GIVEN_START_INPUT] : NULL);
  if (backward.gradient_skip)
    upload (run, RESULT_GRADIENT_SKIP, test->accumulate ? run->data->values[GIVEN_START_SKIP] : NULL);
  if (backward.gradient_parameters)
    upload (run, RESULT_GRADIENT_BLOCK, poison);
  g_assert_true (run->backend->backward (run->context, run->op, &backward, &error));
  g_assert_no_error (error);
  after = download (run, RESULT_OUTPUT);
  for (gsize i = 0; i < run->data->count[RESULT_OUTPUT]; i++)
    if (!same (after[i], run->data->values[RESULT_OUTPUT][i]))
      fail (run, "the backward changed the output", i);
  take (run, RESULT_GRADIENT_INPUT, again);
  take (run, RESULT_GRADIENT_SKIP, again);
  take (run, RESULT_GRADIENT_BLOCK, again);
  for (gsize i = 0; i < run->data->count[RESULT_GRADIENT_BLOCK]; i++)
    if (!isnan (poison[i]) && run->data->values[RESULT_GRADIENT_BLOCK][i] != CANARY)
      fail (run, "a gap of the parameters' gradient is written", i);
}

static void
load (Run *run, const float *block)
{
  DuOpParameters parameters = { run->buffers[GIVEN_BLOCK], run->data->at };
  GError *error = NULL;

  if (!parameters.block)
    return;
  upload (run, GIVEN_BLOCK, block);
  g_assert_true (run->backend->load (run->context, run->op, &parameters, &error));
  g_assert_no_error (error);
}

static void
start (Run *run)
{
  const CaseData *data = run->data;
  GError *error = NULL;

  for (CaseArray a = 0; a < N_ARRAYS; a++)
    if (data->count[a] && a != GIVEN_START_INPUT && a != GIVEN_START_SKIP) {
      run->buffers[a] = run->backend->buffer_new (run->context, type_of (&data->test->shape, a, run->type),
          front (a) + data->count[a] + N_CANARIES, &error);
      g_assert_no_error (error);
      if (a < RESULT_OUTPUT)
        upload (run, a, data->values[a]);
    }
  run->op = run->backend->prepare (run->context, &data->test->shape, &error);
  g_assert_no_error (error);
  g_assert_nonnull (run->op);
}

static void
stop (Run *run)
{
  for (CaseArray a = 0; a < N_ARRAYS; a++)
    run->backend->buffer_free (run->context, run->buffers[a]);
  run->backend->op_free (run->context, run->op);
}

void
case_run_reference (CaseData *data, DuContext *context)
{
  Run run = { data, &du_backend_reference, context, DU_TYPE_F32 };

  start (&run);
  load (&run, data->values[GIVEN_BLOCK]);
  pass (&run, FALSE);
  stop (&run);
}

void
case_run (CaseData *data, const DuBackend *backend, DuContext *context, DuType type)
{
  Run run = { data, backend, context, type };
  g_autofree float *others = g_new (float, data->count[GIVEN_BLOCK]);

  for (gsize i = 0; i < data->count[GIVEN_BLOCK]; i++)
    others[i] = 3;
  start (&run);
  load (&run, others);
  pass (&run, FALSE);
  load (&run, data->values[GIVEN_BLOCK]);
  if (data->test->shape.mode == DU_MODE_INFERENCE) {
    backend->buffer_free (context, run.buffers[GIVEN_BLOCK]);
    run.buffers[GIVEN_BLOCK] = NULL;
  }
  pass (&run, FALSE);
  pass (&run, TRUE);
  for (CaseArray a = 0; a < N_ARRAYS; a++)
    check_untouched (&run, a);
  stop (&run);
}

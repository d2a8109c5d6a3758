/* The GPU's hand-written kernels against the CPU's loops, one by one. Built twice: with kernels that a C++
 * compiler made functions of the CPU, for every machine, and with the GPU's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "array.h"

#include "../backend-case.h"
#include "cpu.h"
#include "cuda/kernels.h"
#include "half.h"
#include "onednn/loops.h"

#include <math.h>
#include <string.h>

static const DuType types[] = { DU_TYPE_F32, DU_TYPE_BF16, DU_TYPE_F16 };

/* rows, width, channels; rows and width also as twice as many */
static const int shapes[][3] = { { 1, 1, 1 }, { 2, 3, 3 }, { 3, 1, 8 }, { 1, 5, 31 }, { 4, 7, 32 },
  { 5, 9, 24 }, { 91, 97, 3 } /* many chunks */, { 3, 130, 16 } };

typedef struct
{
  DuKernelExtent e;
  DuExtent host;
  gsize count;
  int shift; /* of all arrays against their alignment: 0 makes for wide reads, 1 for narrow ones */
  guint64 seed;
} Case;

typedef void (*CaseFunction) (Case *c);

static void
for_all_cases (CaseFunction function)
{
  for (guint t = 0; t < G_N_ELEMENTS (types); t++)
    for (guint s = 0; s < G_N_ELEMENTS (shapes); s++)
      for (int shift = 0; shift < 2; shift++) {
        const int *shape = shapes[s];
        Case c = { { types[t], shape[0], shape[1], shape[2] }, { 1, shape[0], shape[1], shape[2] },
          (gsize) shape[0] * shape[1] * shape[2], shift, 1 + s };

        function (&c);
      }
}

/* Uniform in [-1, 1) and rounded to the type; g_free. */
static float *
random_floats (guint64 *seed, DuType type, gsize count)
{
  float *values = g_new (float, count);

  for (gsize i = 0; i < count; i++)
    values[i] = array_rounded (type, (float) (2 * case_random (seed) - 1));
  return values;
}

/* After ReLU: about half of them zero. */
static float *
rectified_floats (guint64 *seed, DuType type, gsize count)
{
  float *values = random_floats (seed, type, count);

  for (gsize i = 0; i < count; i++)
    values[i] = MAX (values[i], 0);
  return values;
}

static void
put (Array *array, const Case *c, const float *values, gsize count)
{
  array_init (array, c->e.type, values, count, c->shift);
}

static void
put_f32 (Array *array, const Case *c, const float *values, gsize count)
{
  array_init (array, DU_TYPE_F32, values, count, c->shift);
}

/* Half a unit in the last place of a type, relative. */
static double
rounding (DuType type)
{
  return type == DU_TYPE_F32 ? 0 : type == DU_TYPE_BF16 ? 1. / 256 : 1. / 2048;
}

static gboolean
same (float a, float b)
{
  return memcmp (&a, &b, sizeof a) == 0 || (isnan (a) && isnan (b));
}

/* tolerance 0: bit for bit, NaN like NaN. Otherwise relative to the largest expected value, or to 1. Clears
 * the array. */
static void
expect (const Case *c, const char *what, Array *array, const float *expected, double tolerance)
{
  g_autofree float *got = array_read (array);
  double scale = 1;

  for (gsize i = 0; i < array->count; i++)
    scale = MAX (scale, fabs (expected[i]));
  for (gsize i = 0; i < array->count; i++)
    if (tolerance > 0 ? !(fabs ((double) got[i] - expected[i]) <= tolerance * scale)
                      : !same (got[i], expected[i]))
      g_error ("%s %" G_GSIZE_FORMAT "x%dx%d, shift %d: %s [%" G_GSIZE_FORMAT "] is %g, should be %g",
          du_type_name (c->e.type), c->e.rows, c->e.width, c->e.channels, c->shift, what, i, got[i],
          expected[i]);
  array_clear (array);
}

/* In the type of the activations. */
static void
expect_rounded (const Case *c, const char *what, Array *array, const float *expected)
{
  expect (c, what, array, expected, 2e-6 + rounding (c->e.type));
}

/* ---- copies ------------------------------------------------------------------------------------------ */

static float
float_of_bits (guint32 bits)
{
  float value;

  memcpy (&value, &bits, sizeof value);
  return value;
}

/* Values of every exponent and kind; NaN last. */
static float *
special_floats (gsize *count)
{
  GArray *values = g_array_new (FALSE, FALSE, sizeof (float));
  float nan = NAN;

  for (guint32 high = 0; high < 1 << 12; high++)
    for (guint32 low = 0; low < 5; low++) {
      static const guint32 ends[] = { 0, 1, 0x8000, 0x1000, 0xfffff };
      float value = float_of_bits (high << 20 | ends[low]);

      if (!isnan (value))
        g_array_append_val (values, value);
    }
  g_array_append_val (values, nan);
  *count = values->len;
  return (float *) g_array_free (values, FALSE);
}

static void
test_convert (void)
{
  gsize all;
  g_autofree float *values = special_floats (&all), *expected = g_new (float, all);

  for (guint from = 0; from < G_N_ELEMENTS (types); from++)
    for (guint to = 0; to < G_N_ELEMENTS (types); to++)
      for (guint way = 0; way < 8; way++) {
        const Case c = { .e = { types[to], 1, 1, from }, .shift = way & 1 };
        const gboolean accumulate = way >> 1 & 1;
        const gsize count = way & 4 ? 13 : all;
        Array a, b;

        for (gsize i = 0; i < count; i++) {
          float value = array_rounded (types[from], values[i]);

          if (accumulate)
            value += array_rounded (types[to], 0.25f);
          expected[i] = array_rounded (types[to], value);
        }
        array_init (&a, types[from], values, count, c.shift);
        if (accumulate) {
          g_autofree float *quarters = g_new (float, count);

          for (gsize i = 0; i < count; i++)
            quarters[i] = 0.25f;
          array_init (&b, types[to], quarters, count, c.shift);
        } else {
          array_init (&b, types[to], NULL, count, c.shift);
        }
        du_kernel_convert (NULL, types[from], a.at, types[to], b.at, count, accumulate);
        expect (&c, "converted", &b, expected, 0);
        array_clear (&a);
      }
}

static void
check_slice (const DuKernelSlice *slice, int shift)
{
  const Case c
      = { .e = { slice->to_type, slice->pixels, slice->from_pitch, slice->to_pitch }, .shift = shift };
  /* Nothing behind the last pixel's channels may be touched. */
  gsize from_count = (slice->pixels - 1) * slice->from_pitch + slice->channels;
  gsize to_count = (slice->pixels - 1) * slice->to_pitch + slice->channels + slice->zeros;
  guint64 seed = 3;
  g_autofree float *values = random_floats (&seed, slice->from_type, from_count);
  g_autofree float *expected = random_floats (&seed, slice->to_type, to_count);
  Array from, to;

  array_init (&from, slice->from_type, values, from_count, shift);
  array_init (&to, slice->to_type, expected, to_count, shift);
  for (gsize pixel = 0; pixel < slice->pixels; pixel++)
    for (int channel = 0; channel < slice->channels + slice->zeros; channel++) {
      float *at = expected + pixel * slice->to_pitch + channel, value = 0;

      if (channel < slice->channels)
        value = values[pixel * slice->from_pitch + channel] + (slice->accumulate ? *at : 0);
      *at = array_rounded (slice->to_type, value);
    }
  du_kernel_slice (NULL, slice, from.at, to.at);
  expect (&c, "slice", &to, expected, 0);
  array_clear (&from);
}

static void
test_slice (void)
{
  static const int channels[][4] = { /* channels, from_pitch, to_pitch, zeros */
    { 3, 3, 8, 5 }, { 8, 8, 24, 0 }, { 16, 24, 16, 0 }, { 8, 16, 24, 8 }, { 1, 1, 1, 0 }, { 31, 31, 32, 1 },
    { 5, 7, 6, 0 }, { 32, 32, 64, 0 }
  };

  for (guint from = 0; from < G_N_ELEMENTS (types); from++)
    for (guint to = 0; to < G_N_ELEMENTS (types); to++)
      for (guint i = 0; i < G_N_ELEMENTS (channels); i++)
        for (int way = 0; way < 4; way++)
          check_slice (&(DuKernelSlice){ types[from], types[to], way & 1 ? 1 : 700, channels[i][0],
                           channels[i][1], channels[i][2], channels[i][3], way >> 1 && !channels[i][3] },
              way & 1);
}

/* ---- parameters ---------------------------------------------------------------------------------------- */

static void
check_packing (const DuKernelPacking *p, DuType type)
{
  const int taps = p->up ? 4 : 9;
  const gsize tensor_count = (gsize) taps * p->inputs * p->outputs;
  const gsize packed_count = (gsize) taps * p->padded_inputs * p->padded_outputs;
  const Case c = { .e = { type, p->up, p->inputs, p->outputs } };
  guint64 seed = 5;
  g_autofree float *tensor = random_floats (&seed, type, tensor_count);
  g_autofree float *packed = g_new0 (float, packed_count), *back = random_floats (&seed, type, tensor_count);
  Array a, b, d;

  array_init (&a, DU_TYPE_F32, tensor, tensor_count, 1);
  array_init (&b, type, NULL, packed_count, 0);
  array_init (&d, DU_TYPE_F32, back, tensor_count, 1);
  for (int o = 0; o < p->outputs; o++)
    for (int i = 0; i < p->count; i++)
      for (int y = 0; y < (p->up ? 2 : 3); y++)
        for (int x = 0; x < (p->up ? 2 : 3); x++) {
          int input = p->first + i;
          gsize at = p->up ? ((input * p->outputs + o) * 2 + y) * 2 + x
                           : ((o * p->inputs + input) * 3 + y) * 3 + x;
          gsize to = p->up ? ((y * 2 + x) * p->padded_outputs + o) * p->padded_inputs + i
                           : ((o * 3 + y) * 3 + x) * p->padded_inputs + i;

          packed[to] = tensor[at];
          back[at] = tensor[at];
        }
  du_kernel_pack (NULL, p, a.at, type, b.at);
  du_kernel_unpack (NULL, p, type, b.at, d.at);
  expect (&c, "packed", &b, packed, 0);
  expect (&c, "unpacked", &d, back, 0);
  array_clear (&a);
}

static void
test_pack (void)
{
  static const DuKernelPacking packings[] = {
    { FALSE, 3, 32, 0, 3, 8, 32 },
    { FALSE, 1, 1, 0, 1, 1, 1 },
    { FALSE, 33, 5, 16, 17, 24, 8 },
    { FALSE, 64, 32, 32, 32, 32, 32 },
    { TRUE, 16, 8, 0, 16, 16, 8 },
    { TRUE, 31, 3, 0, 31, 32, 8 },
    { TRUE, 1, 1, 0, 1, 8, 8 },
  };

  for (guint t = 0; t < G_N_ELEMENTS (types); t++)
    for (guint i = 0; i < G_N_ELEMENTS (packings); i++)
      check_packing (&packings[i], types[t]);
}

static void
test_pack_vector (void)
{
  static const int counts[][3] = { { 1, 1, 1 }, { 3, 8, 1 }, { 31, 32, 4 }, { 16, 16, 4 } };

  for (guint t = 0; t < G_N_ELEMENTS (types); t++)
    for (guint i = 0; i < G_N_ELEMENTS (counts); i++) {
      const int count = counts[i][0], padded = counts[i][1], repeats = counts[i][2];
      const Case c = { .e = { types[t], count, padded, repeats } };
      guint64 seed = 6;
      g_autofree float *values = random_floats (&seed, types[t], count),
                       *expected = g_new0 (float, padded *repeats);
      Array a, b;

      for (int k = 0; k < padded * repeats; k++)
        expected[k] = k % padded < count ? values[k % padded] : 0;
      array_init (&a, DU_TYPE_F32, values, count, 1);
      array_init (&b, types[t], NULL, (gsize) padded * repeats, 0);
      du_kernel_pack_vector (NULL, a.at, count, padded, repeats, types[t], b.at);
      expect (&c, "vector", &b, expected, 0);
      array_clear (&a);
    }
}

static void
test_fold (void)
{
  const int channels = 31, padded = 40;
  const Case c = { .e = { DU_TYPE_F32, 1, 1, channels } };
  guint64 seed = 7;
  Array vectors[4], scale, shift;
  float *values[4], expected_scale[40] = { 0 }, expected_shift[40] = { 0 };

  for (int i = 0; i < 4; i++) {
    values[i] = random_floats (&seed, DU_TYPE_F32, channels);
    for (int k = 0; i == 3 && k < channels; k++)
      values[i][k] = k ? fabsf (values[i][k]) : 0;
    array_init (&vectors[i], DU_TYPE_F32, values[i], channels, i);
  }
  for (int k = 0; k < channels; k++) {
    expected_scale[k] = (float) (values[0][k] / sqrt (values[3][k] + DU_BN_EPSILON));
    expected_shift[k]
        = (float) (values[1][k] - values[2][k] * values[0][k] / sqrt (values[3][k] + DU_BN_EPSILON));
  }
  array_init (&scale, DU_TYPE_F32, NULL, padded, 0);
  array_init (&shift, DU_TYPE_F32, NULL, padded, 0);
  du_kernel_fold (
      NULL, vectors[0].at, vectors[1].at, vectors[2].at, vectors[3].at, channels, padded, scale.at, shift.at);
  expect (&c, "scale", &scale, expected_scale, 1e-6);
  expect (&c, "shift", &shift, expected_shift, 1e-6);
  for (int i = 0; i < 4; i++) {
    array_clear (&vectors[i]);
    g_free (values[i]);
  }
}

/* ---- pool, shuffle
 * ------------------------------------------------------------------------------------------ */

static void
check_pool (Case *c)
{
  static const float specials[] = { NAN, INFINITY, -INFINITY, 0, -0.f, 0.5f };
  g_autofree float *input = random_floats (&c->seed, c->e.type, 4 * c->count);
  g_autofree float *output = g_new (float, c->count),
                   *gradient = random_floats (&c->seed, c->e.type, c->count);
  g_autofree float *start = random_floats (&c->seed, c->e.type, 4 * c->count);
  g_autofree guint8 *positions = g_new (guint8, c->count), *got = g_new (guint8, c->count);
  guint8 *on_device = device_new (c->count);
  Array a, b, g;

  for (gsize i = 0; i < 4 * c->count; i++)
    if (case_random (&c->seed) < 0.5) /* equal values too */
      input[i] = specials[(int) (case_random (&c->seed) * G_N_ELEMENTS (specials))];
  put (&a, c, input, 4 * c->count);
  put (&b, c, NULL, c->count);
  du_kernel_pool (NULL, &c->e, a.at, b.at, NULL);
  du_loops_f32.pool (&c->host, input, output, positions);
  expect (c, "pool", &b, output, 0);
  put (&b, c, NULL, c->count);
  du_kernel_pool (NULL, &c->e, a.at, b.at, on_device);
  expect (c, "pool with positions", &b, output, 0);
  device_read (got, on_device, c->count);
  g_assert_cmpmem (got, c->count, positions, c->count);
  array_clear (&a);

  put (&g, c, gradient, c->count);
  for (int accumulate = 0; accumulate < 2; accumulate++) {
    put (&a, c, accumulate ? start : NULL, 4 * c->count);
    du_kernel_pool_backward (NULL, &c->e, g.at, on_device, a.at, accumulate);
    du_loops_f32.pool_backward (&c->host, gradient, positions, start, accumulate);
    for (gsize i = 0; i < 4 * c->count; i++)
      start[i] = array_rounded (c->e.type, start[i]);
    expect (c, "pool's gradient", &a, start, 0);
  }
  array_clear (&g);
  device_free (on_device);
}

static void
test_pool (void)
{
  for_all_cases (check_pool);
}

static void
check_shuffle (Case *c)
{
  const DuKernelExtent e = { c->e.type, 2 * c->e.rows, 2 * c->e.width, c->e.channels };
  const DuExtent host = { 1, e.rows, e.width, e.channels };
  const gsize pixels = e.rows * e.width;
  const int channels = e.channels;

  for (int wider = 0; wider < 2; wider++) {
    const int padding = wider * (channels % 8 ? 3 : 8), split_pitch = channels + padding,
              pitch = channels + padding;
    g_autofree float *split = random_floats (&c->seed, e.type, pixels * channels);
    g_autofree float *padded = random_floats (&c->seed, e.type, pixels * split_pitch);
    g_autofree float *full = g_new (float, pixels *channels),
                     *expected = random_floats (&c->seed, e.type, pixels * pitch);
    g_autofree float *bias = random_floats (&c->seed, DU_TYPE_F32, channels), *sums = g_new (float, channels);
    g_autofree float *partials = g_new (float, du_loops_partials (&host));
    void *scratch = device_new (du_kernel_scratch (&e));
    Array a, b, d, s;

    for (gsize i = 0; i < pixels; i++)
      memcpy (padded + i * split_pitch, split + i * channels, channels * sizeof *split);
    put (&a, c, padded, pixels * split_pitch);
    put_f32 (&d, c, bias, channels);
    du_loops_f32.shuffle (&host, split, full);
    for (int with_bias = 0; with_bias < 2; with_bias++) {
      put (&b, c, expected, pixels * pitch - padding);
      for (gsize i = 0; i < pixels * channels; i++)
        expected[i / channels * pitch + i % channels]
            = array_rounded (e.type, full[i] + (with_bias ? bias[i % channels] : 0));
      du_kernel_shuffle (NULL, &e, a.at, split_pitch, with_bias ? d.at : NULL, b.at, pitch);
      expect (c, "shuffle", &b, expected, 0);
    }
    array_clear (&a);
    array_clear (&d);

    put (&b, c, full, pixels * channels);
    put (&a, c, NULL, pixels * split_pitch);
    put_f32 (&s, c, NULL, channels);
    du_kernel_unshuffle (NULL, &e, b.at, a.at, split_pitch, s.at, scratch);
    du_loops_f32.unshuffle (&host, full, split, sums, partials);
    memset (padded, 0, pixels * split_pitch * sizeof *padded);
    for (gsize i = 0; i < pixels; i++)
      memcpy (padded + i * split_pitch, split + i * channels, channels * sizeof *split);
    expect (c, "unshuffle", &a, padded, 0);
    expect (c, "bias gradient of an up-conv", &s, sums, 1e-5);
    array_clear (&b);
    device_free (scratch);
  }
}

static void
test_shuffle (void)
{
  for_all_cases (check_shuffle);
}

/* ---- head
 * -------------------------------------------------------------------------------------------------- */

static void
check_head (Case *c)
{
  const gsize channels = c->e.channels, pixels = c->e.rows * c->e.width, samples = 3 * pixels;
  const gsize pitch = du_head_pitch (channels);
  g_autofree float *weights = random_floats (&c->seed, DU_TYPE_F32, 3 * channels);
  g_autofree float *bias = random_floats (&c->seed, DU_TYPE_F32, 3);
  g_autofree float *input = rectified_floats (&c->seed, c->e.type, c->count);
  g_autofree float *picture = random_floats (&c->seed, DU_TYPE_F32, samples),
                   *output = g_new (float, samples);
  g_autofree float *gradient = random_floats (&c->seed, DU_TYPE_F32, samples);
  g_autofree float *start = random_floats (&c->seed, c->e.type, c->count);
  g_autofree float *by_weight = g_new (float, 3 * channels),
                   *partials = g_new (float, du_loops_partials (&c->host));
  float *padded = NULL; /* wants the alignment of vectors */
  float by_bias[3];
  void *scratch = device_new (du_kernel_scratch (&c->e));
  Array w, b, x, p, y, g, gx, gw, gb;

  g_assert_cmpint (posix_memalign ((void **) &padded, 64, 3 * pitch * sizeof *padded), ==, 0);
  memset (padded, 0, 3 * pitch * sizeof *padded);
  for (gsize i = 0; i < 3 * channels; i++)
    padded[i / channels * pitch + i % channels] = weights[i];
  put_f32 (&w, c, weights, 3 * channels);
  put_f32 (&b, c, bias, 3);
  put (&x, c, input, c->count);
  put_f32 (&p, c, picture, samples);
  put_f32 (&g, c, gradient, samples);
  for (DuHead head = DU_HEAD_SIGMOID; head <= DU_HEAD_RESIDUAL; head++) {
    const DuHeadForward forward = { head, padded, bias, input, picture, output };

    put_f32 (&y, c, NULL, samples);
    du_kernel_head (NULL, &c->e, &(DuKernelHead){ head, w.at, b.at, x.at, p.at, y.at });
    du_loops_f32.head (&c->host, &forward);
    expect (c, "head", &y, output, 1e-5);
    put_f32 (&y, c, output, samples);
    for (int way = 0; way < 3; way++) { /* overwrite, accumulate, not wanted */
      const DuHeadBackward backward
          = { head, padded, input, output, gradient, way < 2 ? start : NULL, way == 1, by_weight, by_bias };

      put (&gx, c, start, c->count);
      put_f32 (&gw, c, NULL, 3 * channels);
      put_f32 (&gb, c, NULL, 3);
      du_kernel_head_backward (NULL, &c->e,
          &(DuKernelHeadBackward){
              head, w.at, x.at, y.at, g.at, way < 2 ? gx.at : NULL, way == 1, gw.at, gb.at },
          scratch);
      du_loops_f32.head_backward (&c->host, &backward, partials);
      expect_rounded (c, "gradient of the head's input", &gx, start);
      for (gsize i = 0; i < c->count; i++)
        start[i] = array_rounded (c->e.type, start[i]);
      expect (c, "gradient of the head's weights", &gw, by_weight, 1e-5);
      expect (c, "gradient of the head's bias", &gb, by_bias, 1e-5);
    }
    array_clear (&y);
  }
  array_clear (&w);
  array_clear (&b);
  array_clear (&x);
  array_clear (&p);
  array_clear (&g);
  device_free (scratch);
  free (padded);
}

static void
test_head (void)
{
  for_all_cases (check_head);
}

/* ---- ReLU, batch normalisation ----------------------------------------------------------------------------
 */

static void
check_relu (Case *c)
{
  g_autofree float *values = random_floats (&c->seed, c->e.type, c->count),
                   *expected = g_new (float, c->count);
  g_autofree float *gradient = random_floats (&c->seed, c->e.type, c->count);
  g_autofree float *bias = random_floats (&c->seed, DU_TYPE_F32, c->e.channels);
  g_autofree float *sums = g_new (float, c->e.channels),
                   *partials = g_new (float, du_loops_partials (&c->host));
  void *scratch = device_new (du_kernel_scratch (&c->e));
  Array a, b, g, s;

  values[0] = NAN;
  put_f32 (&b, c, bias, c->e.channels);
  for (int with_bias = 0; with_bias < 2; with_bias++) {
    for (gsize i = 0; i < c->count; i++) {
      float value = values[i] + (with_bias ? bias[i % c->e.channels] : 0);

      expected[i] = array_rounded (c->e.type, value < 0 ? 0 : value);
    }
    put (&a, c, values, c->count);
    du_kernel_relu (NULL, &c->e, with_bias ? b.at : NULL, a.at);
    expect (c, "ReLU", &a, expected, 0);
  }
  array_clear (&b);

  values[0] = 0;
  put (&a, c, values, c->count);
  put (&g, c, gradient, c->count);
  put_f32 (&s, c, NULL, c->e.channels);
  du_kernel_relu_backward (NULL, &c->e, a.at, g.at, s.at, scratch);
  du_loops_f32.relu_backward (&c->host, values, gradient, sums, partials);
  expect (c, "gradient of ReLU", &g, gradient, 0);
  expect (c, "gradient of the bias", &s, sums, 1e-5);
  array_clear (&a);
  device_free (scratch);
}

static void
test_relu (void)
{
  for_all_cases (check_relu);
}

static void
check_normalise (Case *c)
{
  const int channels = c->e.channels;
  const double pixels = (double) c->e.rows * c->e.width;
  g_autofree float *values = rectified_floats (&c->seed, c->e.type, c->count),
                   *expected = g_new (float, c->count);
  g_autofree float *gradient = random_floats (&c->seed, c->e.type, c->count);
  g_autofree float *gamma = random_floats (&c->seed, DU_TYPE_F32, channels);
  g_autofree float *beta = random_floats (&c->seed, DU_TYPE_F32, channels);
  g_autofree float *mean = g_new (float, channels), *deviation = g_new (float, channels);
  g_autofree float *scale = g_new (float, channels);
  g_autofree float *statistics = g_new (float, 2 * channels),
                   *partials = g_new (float, du_loops_partials (&c->host));
  g_autofree float *by_gamma = g_new (float, channels), *by_beta = g_new (float, channels);
  g_autofree float *by_bias = g_new (float, channels);
  void *scratch = device_new (du_kernel_scratch (&c->e));
  Array x, y, m, d, s, gm, bt, g, ggm, gbt, gb;
  DuKernelMoments moments;

  for (gsize i = 0; i < c->count; i++) /* a channel far off zero, and one that is constant */
    if (i % channels == 1)
      values[i] = array_rounded (c->e.type, 10 + values[i]);
    else if (i % channels == 2)
      values[i] = 3;
  put (&x, c, values, c->count);
  put_f32 (&m, c, NULL, channels);
  put_f32 (&d, c, NULL, channels);
  put_f32 (&s, c, NULL, 2 * channels);
  put_f32 (&gm, c, gamma, channels);
  put_f32 (&bt, c, beta, channels);
  moments = (DuKernelMoments){ m.at, d.at };
  du_kernel_moments (NULL, &c->e, x.at, &moments, s.at, scratch);
  for (int k = 0; k < channels; k++) {
    double sum = 0, squares = 0;

    for (gsize i = k; i < c->count; i += channels)
      sum += values[i];
    for (gsize i = k; i < c->count; i += channels)
      squares += (values[i] - sum / pixels) * (values[i] - sum / pixels);
    statistics[k] = mean[k] = (float) (sum / pixels);
    statistics[channels + k] = (float) (squares / MAX (pixels - 1, 1));
    deviation[k] = (float) sqrt (squares / pixels + DU_BN_EPSILON);
    scale[k] = gamma[k] / deviation[k];
  }

  put (&y, c, NULL, c->count);
  du_kernel_normalise (NULL, &c->e, x.at, &moments, gm.at, bt.at, y.at);
  du_loops_f32.normalise (&c->host, values, mean, scale, beta, expected);
  expect (c, "normalised", &y, expected, 1e-5 + rounding (c->e.type));

  put (&g, c, gradient, c->count);
  put_f32 (&ggm, c, NULL, channels);
  put_f32 (&gbt, c, NULL, channels);
  put_f32 (&gb, c, NULL, channels);
  du_kernel_normalise_backward (NULL, &c->e, x.at, &moments, gm.at, g.at, ggm.at, gbt.at, gb.at, scratch);
  du_loops_f32.bn_backward (
      &c->host, values, mean, deviation, gamma, gradient, by_gamma, by_beta, by_bias, partials);
  expect (c, "normalisation's gradient", &g, gradient, 1e-4 + rounding (c->e.type));
  expect (c, "gradient of gamma", &ggm, by_gamma, 1e-4);
  expect (c, "gradient of beta", &gbt, by_beta, 1e-4);
  expect (c, "gradient of the bias", &gb, by_bias, 1e-4);
  expect (c, "statistics", &s, statistics, 1e-7);
  expect (c, "mean", &m, mean, 1e-7);
  expect (c, "deviation", &d, deviation, 1e-7);
  array_clear (&x);
  array_clear (&gm);
  array_clear (&bt);
  device_free (scratch);
}

static void
test_normalise (void)
{
  for_all_cases (check_normalise);
}

/* ---- loss and update -------------------------------------------------------------------------------- */

static void
check_loss (DuLoss loss, int n, int height, int width, float lowest)
{
  const gsize count = (gsize) n * height * width * 3;
  const Case c = { .e = { DU_TYPE_F32, n * height, width, loss } };
  guint64 seed = 8;
  g_autofree float *prediction = random_floats (&seed, DU_TYPE_F32, count);
  g_autofree float *target = random_floats (&seed, DU_TYPE_F32, count), *gradient = g_new (float, count);
  void *value = device_new (sizeof (double)),
       *scratch = device_new (du_kernel_loss_scratch (loss, n, height, width));
  double expected, got, largest = 0;
  Array p, t, g;

  for (gsize i = 0; i < count; i++) {
    prediction[i] = MAX (prediction[i], lowest); /* equal values too */
    target[i] = MAX (target[i], lowest);
  }
  array_init (&p, DU_TYPE_F32, prediction, count, 1);
  array_init (&t, DU_TYPE_F32, target, count, 0);
  array_init (&g, DU_TYPE_F32, NULL, count, 0);
  du_kernel_loss (NULL, loss, 1e-3, n, height, width, p.at, t.at, g.at, value, scratch);
  expected = du_loss (loss, 1e-3, n, height, width, 3, prediction, target, gradient);
  device_read (&got, value, sizeof got);
  if (!(fabs (got - expected) <= 1e-9 * fabs (expected)) && !(isnan (got) && isnan (expected)))
    g_error (
        "%s of %dx%dx%d is %.17g, should be %.17g", du_loss_name (loss), n, height, width, got, expected);
  for (gsize i = 0; i < count; i++)
    largest = MAX (largest, fabs (gradient[i]));
  if (largest > 0) {
    g_autofree float *values = array_read (&g);

    for (gsize i = 0; i < count; i++)
      if (!(fabs (values[i] - gradient[i]) <= 1e-6 * largest))
        g_error ("gradient [%" G_GSIZE_FORMAT "] of %s of %dx%dx%d is %g, should be %g", i,
            du_loss_name (loss), n, height, width, values[i], gradient[i]);
    array_clear (&g);
  } else {
    expect (&c, du_loss_name (loss), &g, gradient, 0);
  }
  array_clear (&p);
  array_clear (&t);
  device_free (value);
  device_free (scratch);
}

static void
test_loss (void)
{
  static const int sizes[][3] = { { 1, 11, 11 }, { 2, 13, 57 }, { 3, 40, 12 }, { 1, 70, 90 } /* chunks */ };

  for (DuLoss loss = DU_LOSS_MSE; loss <= DU_LOSS_LOG_MSE; loss++) {
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
      check_loss (loss, sizes[i][0], sizes[i][1], sizes[i][2], 0);
    check_loss (loss, 2, 12, 11, 2); /* all equal */
    if (loss != DU_LOSS_SSIM)
      check_loss (loss, 5, 1, 1, 0);
  }
}

static void
test_norm (void)
{
  static const gsize counts[] = { 1, 255, 256, 100003 };

  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    for (int way = 0; way < 3; way++) {
      guint64 seed = 9;
      g_autofree float *values = random_floats (&seed, DU_TYPE_F32, counts[i]);
      void *norm = device_new (sizeof (double)), *scratch = device_new (du_kernel_norm_scratch (counts[i]));
      double sum = 0, got;
      Array a;

      if (way == 1)
        values[counts[i] / 2] = 1e30f; /* its square is no float */
      if (way == 2)
        values[counts[i] / 2] = counts[i] % 2 ? NAN : INFINITY;
      for (gsize k = 0; k < counts[i]; k++)
        sum += (double) values[k] * values[k];
      array_init (&a, DU_TYPE_F32, values, counts[i], 1);
      du_kernel_norm (NULL, a.at, counts[i], norm, scratch);
      device_read (&got, norm, sizeof got);
      if (way == 2 ? isfinite (got) : !(fabs (got - sqrt (sum)) <= 1e-9 * got))
        g_error ("norm of %" G_GSIZE_FORMAT " values is %.17g, should be %.17g", counts[i], got, sqrt (sum));
      array_clear (&a);
      device_free (norm);
      device_free (scratch);
    }
}

static void
test_update (void)
{
  const gsize count = 1003;
  const Case c = { .e = { DU_TYPE_F32, 1, 1, count } };
  DuCpuContext cpu = { .threads = 1 };
  guint64 seed = 10;
  float *values[4];
  DuBuffer host[4];
  Array arrays[4];
  static const char *const names[] = { "parameters", "gradient", "first moment", "second moment" };

  for (int i = 0; i < 4; i++) {
    values[i] = random_floats (&seed, DU_TYPE_F32, count);
    for (gsize k = 0; i == 3 && k < count; k++)
      values[3][k] = fabsf (values[3][k]);
    values[i][0] = i < 2 ? 0 : 1e-38f; /* moments that decay into denormals */
    array_init (&arrays[i], DU_TYPE_F32, values[i], count, i);
    host[i] = (DuBuffer){ DU_TYPE_F32, count, values[i] };
  }
  for (guint64 step = 1; step < 20; step += 6) {
    const DuAdam adam = { 1e-2, 0.9, 0.999, 1e-7, step, 0.5 };

    du_kernel_adam (NULL, &adam, count, arrays[0].at, arrays[1].at, arrays[2].at, arrays[3].at);
    du_cpu_adam ((DuContext *) &cpu, &adam, count, &host[0], &host[1], &host[2], &host[3], NULL);
    du_kernel_blend (NULL, 0.75, arrays[2].at, arrays[0].at, count - 1);
    du_cpu_blend ((DuContext *) &cpu, 0.75, &host[2], 0, &host[0], 0, count - 1, NULL);
  }
  for (int i = 0; i < 4; i++) {
    expect (&c, names[i], &arrays[i], values[i], 1e-6);
    g_free (values[i]);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!device_name ()) {
    g_print ("1..0 # SKIP there is no CUDA device here\n");
    return 0;
  }
  g_test_add_func ("/kernels/convert", test_convert);
  g_test_add_func ("/kernels/slice", test_slice);
  g_test_add_func ("/kernels/pack", test_pack);
  g_test_add_func ("/kernels/pack-vector", test_pack_vector);
  g_test_add_func ("/kernels/fold", test_fold);
  g_test_add_func ("/kernels/pool", test_pool);
  g_test_add_func ("/kernels/shuffle", test_shuffle);
  g_test_add_func ("/kernels/head", test_head);
  g_test_add_func ("/kernels/relu", test_relu);
  g_test_add_func ("/kernels/normalise", test_normalise);
  g_test_add_func ("/kernels/loss", test_loss);
  g_test_add_func ("/kernels/norm", test_norm);
  g_test_add_func ("/kernels/update", test_update);
  return g_test_run ();
}

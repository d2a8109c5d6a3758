/* Convolutions by Winograd's algorithm against those of oneDNN.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"
#include "half.h"
#include "onednn/convolution.h"

#include <locale.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>

enum
{
  TAPS = 9,
};

static DuLibrary *library;

static float *
allocate (gsize count)
{
  g_autoptr (GError) error = NULL;
  float *values = du_cpu_allocate (count, sizeof (float), "a test", &error);

  g_assert_no_error (error);
  return values;
}

static float *
random_values (GRand *random, gsize count, double scale)
{
  float *values = allocate (count);

  for (gsize i = 0; i < count; i++)
    values[i] = (float) g_rand_double_range (random, -scale, scale);
  return values;
}

static gsize
n_pixels (const DuConvShape *s)
{
  return (gsize) s->n * s->height * s->width;
}

/* Rounds the values to the type; the same as the type has them, free(). */
static void *
typed (DuType type, float *values, gsize count)
{
  void *copy = allocate (count);

  if (type == DU_TYPE_F32)
    return memcpy (copy, values, count * sizeof (float));
  for (gsize i = 0; i < count; i++)
    values[i] = du_bf16_to_float (((guint16 *) copy)[i] = du_bf16_from_float (values[i]));
  return copy;
}

/* What the convolution makes of the arguments, but for the weights, as float32; free(). */
static float *
run (const DuConvShape *shape, const DuConvArguments *arguments, const void *weights, const char *expected)
{
  g_autoptr (GError) error = NULL;
  const gboolean data = shape->kind == DU_CONV_DATA;
  const gsize count = n_pixels (shape) * (data ? shape->channels_in : shape->channels_out);
  DuConvArguments own = *arguments;
  float *result = allocate (count), *scratch;
  void *raw = allocate (count);
  DuConv *conv = du_conv_new (library, shape, &error);

  g_assert_no_error (error);
  if (expected)
    g_assert_cmpstr (du_conv_implementation (conv), ==, expected);
  else
    g_assert_cmpstr (du_conv_implementation (conv), !=, "winograd");
  memset (raw, 0xff, count * sizeof (float)); /* NaN in both types: each value must be written */
  *(data ? &own.source : &own.destination) = raw;
  scratch = allocate (du_conv_scratch_size (conv) / sizeof (float) + 1);
  memset (scratch, 0xff, du_conv_scratch_size (conv)); /* NaN, which must not be read */
  g_assert_true (du_conv_pack (conv, weights, scratch, &error));
  memset (scratch, 0xff, du_conv_scratch_size (conv));
  g_assert_true (du_conv_run (conv, &own, scratch, &error));
  g_assert_no_error (error);
  du_conv_free (conv);
  free (scratch);
  if (shape->type == DU_TYPE_BF16) {
    const guint16 *halves = (const guint16 *) (const void *) raw;

    for (gsize i = 0; i < count; i++)
      result[i] = du_bf16_to_float (halves[i]);
  } else {
    memcpy (result, raw, count * sizeof (float));
  }
  free (raw);
  return result;
}

static void
compare (const DuConvShape *s, const float *a, const float *b, double tolerance)
{
  const gsize count = n_pixels (s) * (s->kind == DU_CONV_DATA ? s->channels_in : s->channels_out);
  const double rounding = s->type == DU_TYPE_BF16 && tolerance > 0 ? 0x1p-8 : 0;
  double largest = 0;

  for (gsize i = 0; i < count; i++)
    largest = MAX (largest, fabs (b[i]));
  for (gsize i = 0; i < count; i++)
    if (!(fabs ((double) a[i] - b[i]) <= tolerance * largest + rounding * fabs (b[i])))
      g_error ("%s of %dx%dx%d, %d+%d->%d channels: value %" G_GSIZE_FORMAT " is %.9g, should be %.9g; the "
               "largest is %g",
          s->kind == DU_CONV_DATA ? "gradient" : "forward", s->n, s->height, s->width, s->channels_in,
          s->channels_skip, s->channels_out, i, a[i], b[i], largest);
}

/* The same in float32 through the library alone, which takes two sources as one. */
static float *
run_library (const DuConvShape *shape, const DuConvArguments *arguments, const float *weights)
{
  DuConvShape joined = *shape;
  DuConvArguments own = *arguments;
  float *both = NULL, *result;

  joined.library = TRUE;
  joined.type = DU_TYPE_F32;
  joined.channels_in += shape->channels_skip;
  joined.channels_skip = 0;
  if (shape->channels_skip) {
    own.source = both = allocate (n_pixels (shape) * joined.channels_in);
    for (gsize pixel = 0; pixel < n_pixels (shape); pixel++) {
      float *to = both + pixel * joined.channels_in;

      memcpy (to, (const float *) arguments->source + pixel * shape->channels_in,
          shape->channels_in * sizeof (float));
      memcpy (to + shape->channels_in, (const float *) arguments->skip + pixel * shape->channels_skip,
          shape->channels_skip * sizeof (float));
    }
  }
  result = run (&joined, &own, weights, NULL);
  free (both);
  return result;
}

static void
check (GRand *random, DuConvShape shape, double scale)
{
  const int inputs = shape.channels_in + shape.channels_skip;
  /* A range of a larger tensor's input channels, as the gradient of a second source reads. */
  const int other = shape.kind == DU_CONV_DATA ? 8 : 0;
  float *source = random_values (random, n_pixels (&shape) * shape.channels_in, scale);
  float *skip = random_values (random, n_pixels (&shape) * MAX (shape.channels_skip, 1), scale);
  float *gradient = random_values (random, n_pixels (&shape) * shape.channels_out, scale);
  float *weights = random_values (random, (gsize) shape.channels_out * (inputs + other) * TAPS, 0.2);
  float *bias = random_values (random, shape.channels_out, scale);
  float *factor = random_values (random, shape.channels_out, 2);
  float *shift = random_values (random, shape.channels_out, scale);
  DuConvArguments arguments = {
    .source = source, .skip = skip, .destination = gradient, .bias = bias, .scale = factor, .shift = shift
  };
  void *sources[] = { typed (shape.type, source, n_pixels (&shape) * shape.channels_in),
    typed (shape.type, skip, n_pixels (&shape) * MAX (shape.channels_skip, 1)),
    typed (shape.type, gradient, n_pixels (&shape) * shape.channels_out),
    typed (shape.type, weights, (gsize) shape.channels_out * (inputs + other) * TAPS) };
  const gsize size = shape.type == DU_TYPE_BF16 ? sizeof (guint16) : sizeof (float);
  float *expected, *first = NULL;

  shape.weights_stride = (gsize) (inputs + other) * TAPS;
  omp_set_num_threads (1);
  expected = run_library (&shape, &arguments, weights + other * TAPS);
  arguments.source = sources[0];
  arguments.skip = sources[1];
  arguments.destination = sources[2];
  for (int threads = 1; threads <= 3; threads++) {
    float *result;

    omp_set_num_threads (threads);
    result = run (&shape, &arguments, (char *) sources[3] + other * TAPS * size, "winograd");
    compare (&shape, result, expected, 1e-5);
    if (first)
      compare (&shape, result, first, 0);
    else
      first = g_steal_pointer (&result);
    free (result);
  }
  for (guint i = 0; i < G_N_ELEMENTS (sources); i++)
    free (sources[i]);
  free (first);
  free (expected);
  free (source);
  free (skip);
  free (gradient);
  free (weights);
  free (bias);
  free (factor);
  free (shift);
}

static gboolean
skips (void)
{
  if (du_library_instructions () >= DU_AVX2)
    return FALSE;
  g_test_skip ("a processor without AVX2");
  return TRUE;
}

/* Sides that are no multiple of a tile's, one picture and several, chunks of one thread and of all. */
static void
test_shapes (void)
{
  static const int shapes[][6] = { /* n, height, width, channels in, skip, out */
    { 1, 16, 16, 32, 0, 32 }, { 1, 17, 19, 32, 0, 64 }, { 3, 11, 14, 64, 0, 32 }, { 2, 33, 9, 32, 64, 32 },
    { 1, 40, 7, 64, 32, 96 }, { 1, 6, 60, 96, 0, 64 }, { 5, 8, 8, 256, 0, 256 }, { 1, 18, 21, 128, 256, 128 },
    { 1, 64, 112, 32, 32, 32 }
  };
  g_autoptr (GRand) random = g_rand_new_with_seed (1);

  if (skips ())
    return;
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++)
    for (guint options = 0; options < 8; options += 1 + i % 3) {
      const int *s = shapes[i];
      DuConvShape shape = { .kind = DU_CONV_FORWARD,
        .n = s[0],
        .height = s[1],
        .width = s[2],
        .channels_in = s[3],
        .channels_skip = s[4],
        .channels_out = s[5],
        .kernel = 3,
        .bias = options & 1,
        .relu = (options & 2) != 0,
        .affine = (options & 4) != 0 };

      check (random, shape, 1);
      shape.type = DU_TYPE_BF16;
      if (du_conv_takes_skip (&shape))
        check (random, shape, 1);
      shape.type = DU_TYPE_F32;
      shape.kind = DU_CONV_DATA;
      shape.channels_skip = shape.bias = shape.relu = shape.affine = 0;
      check (random, shape, 1);
    }
}

static void
test_extremes (void)
{
  static const double scales[] = { 1e-30, 1e-6, 1e6, 1e30 };
  const DuConvShape shape = { .n = 1,
    .height = 18,
    .width = 22,
    .channels_in = 64,
    .channels_out = 64,
    .kernel = 3,
    .bias = TRUE,
    .relu = TRUE };
  g_autoptr (GRand) random = g_rand_new_with_seed (2);

  if (skips ())
    return;
  for (guint i = 0; i < G_N_ELEMENTS (scales); i++)
    check (random, shape, scales[i]);
}

/* What one value can reach is a tile: a NaN must not spread over the picture. */
static void
test_reach (void)
{
  const DuConvShape shape = { .n = 2,
    .height = 16,
    .width = 20,
    .channels_in = 32,
    .channels_out = 32,
    .kernel = 3,
    .weights_stride = 32 * TAPS };
  g_autoptr (GRand) random = g_rand_new_with_seed (3);
  float *source, *weights, *result;

  if (skips ())
    return;
  source = random_values (random, n_pixels (&shape) * 32, 1);
  weights = random_values (random, 32 * 32 * TAPS, 1);
  source[(9 * 20 + 13) * 32 + 5] = NAN;
  result = run (&shape, &(DuConvArguments){ .source = source }, weights, "winograd");
  for (gsize pixel = 0; pixel < n_pixels (&shape); pixel++) {
    const int y = (int) (pixel / 20), x = (int) (pixel % 20);

    if (ABS (y - 9) <= 1 && ABS (x - 13) <= 1)
      g_assert_true (isnan (result[pixel * 32]));
    else if (ABS (y - 9) > 4 || ABS (x - 13) > 4)
      g_assert_true (isfinite (result[pixel * 32]));
  }
  free (source);
  free (weights);
  free (result);
}

/* Where the library is as quick, or must be taken, it is. */
static void
test_choice (void)
{
  const DuConvShape served
      = { .n = 1, .height = 32, .width = 32, .channels_in = 64, .channels_out = 64, .kernel = 3 };
  DuConvShape shape;

  if (skips ())
    return;
  g_assert_true (du_conv_takes_skip (&served));
  shape = served;
  shape.type = DU_TYPE_BF16;
  g_assert_true (du_conv_takes_skip (&shape) == (du_library_instructions () == DU_AVX512_BF16));
#define REFUSED(change)                                                                                      \
  shape = served;                                                                                            \
  change;                                                                                                    \
  g_assert_false (du_conv_takes_skip (&shape))
  REFUSED (shape.library = TRUE);
  REFUSED ((shape.type = DU_TYPE_BF16, shape.changing = TRUE));
  REFUSED (shape.kernel = 1);
  REFUSED (shape.sum = TRUE);
  REFUSED (shape.channels_in = 3);
  REFUSED (shape.channels_out = 33);
  REFUSED (shape.channels_skip = 5);
  REFUSED (shape.kind = DU_CONV_WEIGHTS);
  REFUSED (shape.height = 4);
  REFUSED ((shape.height = 1, shape.width = 1024));
  REFUSED ((shape.height = 16, shape.changing = TRUE));
}

int
main (int argc, char **argv)
{
  int status;

  setlocale (LC_ALL, "");
  g_test_init (&argc, &argv, NULL);
  library = du_library_open (NULL);
  g_assert_nonnull (library);
  g_test_add_func ("/convolution/shapes", test_shapes);
  g_test_add_func ("/convolution/extremes", test_extremes);
  g_test_add_func ("/convolution/reach", test_reach);
  g_test_add_func ("/convolution/choice", test_choice);
  status = g_test_run ();
  du_library_close (library);
  return status;
}

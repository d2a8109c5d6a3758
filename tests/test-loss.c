/* Losses: against PyTorch, against finite differences, on extreme pictures.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixtures.h"
#include "loss.h"

#include <math.h>
#include <string.h>

static const DuLoss losses[] = { DU_LOSS_MSE, DU_LOSS_MAE, DU_LOSS_SSIM, DU_LOSS_CHARBONNIER,
  DU_LOSS_LOG_MSE };

static double
epsilon_of (DuLoss loss)
{
  return loss == DU_LOSS_CHARBONNIER ? 1e-3 : 1e-4;
}

static void
test_names (void)
{
  g_autoptr (GError) error = NULL;
  DuLoss loss;

  for (guint i = 0; i < G_N_ELEMENTS (losses); i++) {
    g_assert_true (du_loss_parse (du_loss_name (losses[i]), &loss, NULL));
    g_assert_cmpint (loss, ==, losses[i]);
  }
  g_assert_false (du_loss_parse ("MSE ", &loss, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "'MSE '"));
  for (int bad = -1; bad <= (int) G_N_ELEMENTS (losses); bad += 1 + (int) G_N_ELEMENTS (losses)) {
    const float value = 0;

    g_assert_null (du_loss_name (bad));
    g_assert_true (isnan (du_loss (bad, 0, 1, 1, 1, 1, &value, &value, NULL)));
  }
}

static void
take (char **at, void *to, gsize size)
{
  memcpy (to, *at, size);
  *at += size;
}

/* tests/oracle/make-loss-fixtures.py says what stands in the file. */
static void
test_pytorch (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "data", "loss.bin", NULL), *file = NULL;
  g_autoptr (GError) error = NULL;
  gsize length, pairs = 0;
  char *at;

  g_file_get_contents (path, &file, &length, &error);
  g_assert_no_error (error);
  for (at = file; at < file + length; pairs++) {
    gint32 size[4];
    gsize count;
    g_autofree float *prediction = NULL, *target = NULL, *expected = NULL, *got = NULL;

    take (&at, size, sizeof size);
    count = (gsize) size[0] * size[1] * size[2] * size[3];
    prediction = g_new (float, count);
    target = g_new (float, count);
    expected = g_new (float, count);
    got = g_new (float, count);
    take (&at, prediction, count * sizeof *prediction);
    take (&at, target, count * sizeof *target);
    for (guint i = 0; i < G_N_ELEMENTS (losses); i++) {
      double epsilon, right, value;

      take (&at, &epsilon, sizeof epsilon);
      take (&at, &right, sizeof right);
      take (&at, expected, count * sizeof *expected);
      value = du_loss (losses[i], epsilon, size[0], size[1], size[2], size[3], prediction, target, got);
      g_test_message ("pair %" G_GSIZE_FORMAT ", %dx%dx%dx%d, %s: %.17g, PyTorch %.17g", pairs, size[0],
          size[1], size[2], size[3], du_loss_name (losses[i]), value, right);
      if (isnan (right)) {
        g_assert_true (isnan (value));
        continue;
      }
      g_assert_cmpfloat (fabs (value - right), <=, 1e-12 * (1 + fabs (right)));
      for (gsize k = 0; k < count; k++)
        g_assert_cmpfloat (fabs (got[k] - expected[k]), <=, 1e-6 * largest (expected, count) + 1e-15);
      g_assert_cmpfloat (value, ==,
          du_loss (losses[i], epsilon, size[0], size[1], size[2], size[3], prediction, target, NULL));
      if (losses[i] == DU_LOSS_SSIM && size[0] == 1)
        g_assert_cmpfloat_with_epsilon (du_ssim (size[1], size[2], size[3], prediction, target), 1 - value,
            1e-14);
    }
  }
  g_assert_cmpuint (pairs, ==, 11);
}

/* A picture pair larger than a thread's chunk; differences are nowhere near zero, where MAE has its kink. */
static void
fill (guint32 seed, gsize count, float *prediction, float *target)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);

  for (gsize i = 0; i < count; i++) {
    target[i] = (float) g_rand_double (random);
    prediction[i] = (float) g_rand_double_range (random, 0.02, 0.3);
    prediction[i] = target[i] + (g_rand_boolean (random) ? prediction[i] : -prediction[i]);
  }
}

static void
test_differences (void)
{
  const int n = 2, height = 37, width = 83, channels = 3;
  const gsize count = (gsize) n * height * width * channels;
  const double step = 1. / 512;
  g_autofree float *prediction = g_new (float, count), *target = g_new (float, count);
  g_autofree float *gradient = g_new (float, count);

  fill (3, count, prediction, target);
  for (guint l = 0; l < G_N_ELEMENTS (losses); l++) {
    double epsilon = epsilon_of (losses[l]), scale;

    du_loss (losses[l], epsilon, n, height, width, channels, prediction, target, gradient);
    scale = largest (gradient, count);
    for (gsize i = 0; i < count; i += 97) {
      float value = prediction[i], above = value + step, below = value - step;
      double up, down, difference;

      prediction[i] = above;
      up = du_loss (losses[l], epsilon, n, height, width, channels, prediction, target, NULL);
      prediction[i] = below;
      down = du_loss (losses[l], epsilon, n, height, width, channels, prediction, target, NULL);
      prediction[i] = value;
      difference = (up - down) / ((double) above - below);
      if (fabs (difference - gradient[i]) > 1e-3 * scale)
        g_error ("%s: gradient [%" G_GSIZE_FORMAT "] is %g, finite differences give %g",
            du_loss_name (losses[l]), i, gradient[i], difference);
    }
  }
}

/* Equal bits for every number of threads, and errors instead of values. */
static void
test_threads (void)
{
  const int n = 3, height = 40, width = 143, channels = 3;
  const gsize count = (gsize) n * height * width * channels;
  g_autofree float *prediction = g_new (float, count), *target = g_new (float, count);
  g_autofree float *one = g_new (float, count), *many = g_new (float, count);
  g_autoptr (GError) error = NULL;
  double value, other;

  fill (4, count, prediction, target);
  for (guint l = 0; l < G_N_ELEMENTS (losses); l++) {
    double epsilon = epsilon_of (losses[l]);

    g_assert_true (du_loss_compute (1, losses[l], epsilon, n, height, width, channels, prediction, target,
        one, &value, &error));
    g_assert_no_error (error);
    for (int threads = 2; threads <= 5; threads += 3) {
      g_assert_true (du_loss_compute (threads, losses[l], epsilon, n, height, width, channels, prediction,
          target, many, &other, &error));
      g_assert_no_error (error);
      g_assert_cmpfloat (value, ==, other);
      g_assert_cmpmem (one, count * sizeof *one, many, count * sizeof *many);
    }
  }
  g_assert_false (du_loss_compute (1, DU_LOSS_SSIM, 0, 1, 10, 99, 3, prediction, target, one, &value,
      &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
  g_assert_true (isnan (du_ssim (11, 10, 3, prediction, target)));
}

/* Not a number in, not a number out: training looks for it. */
static void
test_not_finite (void)
{
  const int height = 12, width = 13, channels = 3;
  const gsize count = (gsize) height * width * channels;
  const float bad[] = { NAN, INFINITY, -INFINITY };
  g_autofree float *prediction = g_new (float, count), *target = g_new (float, count);
  g_autofree float *gradient = g_new (float, count);

  for (guint l = 0; l < G_N_ELEMENTS (losses); l++)
    for (guint b = 0; b < G_N_ELEMENTS (bad); b++) {
      fill (5, count, prediction, target);
      prediction[count / 2] = bad[b];
      g_assert_false (isfinite (du_loss (losses[l], epsilon_of (losses[l]), 1, height, width, channels,
          prediction, target, gradient)));
    }
}

static void
test_ssim_of_equal (void)
{
  const gsize count = 20 * 31 * 3;
  g_autofree float *a = g_new (float, count), *b = g_new (float, count);

  fill (6, count, a, b);
  g_assert_cmpfloat_with_epsilon (du_ssim (20, 31, 3, a, a), 1, 1e-14);
  g_assert_cmpfloat_with_epsilon (du_ssim (20, 31, 3, a, b), du_ssim (20, 31, 3, b, a), 1e-14);
  g_assert_cmpfloat (du_ssim (20, 31, 3, a, b), <, 0.99);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/loss/names", test_names);
  g_test_add_func ("/loss/pytorch", test_pytorch);
  g_test_add_func ("/loss/finite-differences", test_differences);
  g_test_add_func ("/loss/threads", test_threads);
  g_test_add_func ("/loss/not-finite", test_not_finite);
  g_test_add_func ("/loss/ssim-of-equal", test_ssim_of_equal);
  return g_test_run ();
}

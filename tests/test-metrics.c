/* Quality numbers: known values, rounding, means.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "metrics.h"

#include <math.h>
#include <string.h>

enum
{
  SIDE = 16,
  SAMPLES = SIDE * SIDE * 3,
};

static void
test_psnr (void)
{
  /* tf.image.psnr (a, b, max_val = 1) = -10 log10 (MSE). */
  g_assert_cmpfloat_with_epsilon (metrics_psnr (1), 0, 1e-12);
  g_assert_cmpfloat_with_epsilon (metrics_psnr (0.001), 30, 1e-12);
  g_assert_cmpfloat_with_epsilon (metrics_psnr (1 / (255.0 * 255.0)), 48.130803608679, 1e-9);
  g_assert_cmpfloat (metrics_psnr (0), ==, METRICS_PSNR_MAX);
  g_assert_cmpfloat (metrics_psnr (1e-30), ==, METRICS_PSNR_MAX);
  g_assert_true (isnan (metrics_psnr (NAN)));
}

static void
test_8bit (void)
{
  const float from[] = { -1, 0, 0.4f / 255, 0.6f / 255, 0.5f, 254.4f / 255, 1, 7, NAN, INFINITY, -INFINITY };
  const guint8 expected[] = { 0, 0, 0, 1, 128, 254, 255, 255, 0, 255, 0 };
  guint8 bytes[256], again[256];
  float values[256];

  metrics_to_8bit (G_N_ELEMENTS (from), from, bytes);
  for (guint i = 0; i < G_N_ELEMENTS (from); i++)
    if (bytes[i] != expected[i])
      g_error ("%g became %d, expected %d", (double) from[i], bytes[i], expected[i]);
  for (int i = 0; i < 256; i++)
    bytes[i] = (guint8) i;
  metrics_from_8bit (256, bytes, values);
  metrics_to_8bit (256, values, again);
  g_assert_cmpmem (bytes, 256, again, 256);
  g_assert_cmpfloat (values[0], ==, 0);
  g_assert_cmpfloat (values[255], ==, 1);
}

static void
test_mse (void)
{
  guint8 a[SAMPLES], b[SAMPLES];

  memset (a, 10, sizeof a);
  memset (b, 10, sizeof b);
  g_assert_cmpfloat (metrics_mse8 (SAMPLES, a, b), ==, 0);
  g_assert_cmpfloat_with_epsilon (metrics_ssim8 (SIDE, SIDE, a, b), 1, 1e-6);
  b[5] = 9; /* one step in one sample */
  g_assert_cmpfloat_with_epsilon (metrics_mse8 (SAMPLES, a, b), 1 / (255.0 * 255.0 * SAMPLES), 1e-15);
  memset (a, 0, sizeof a);
  memset (b, 255, sizeof b);
  g_assert_cmpfloat_with_epsilon (metrics_mse8 (SAMPLES, a, b), 1, 1e-15);
  g_assert_true (isnan (metrics_ssim8 (10, 10, a, b)));
}

static void
test_means (void)
{
  Metrics metrics;
  Measurement one = { 0 };

  metrics_init (&metrics, 3);
  g_assert_true (isnan (metrics_mean (&metrics.all, METRIC_PSNR)));
  for (int i = 0; i < 4; i++) {
    one.value[METRIC_PSNR] = 20 + 10 * i;
    one.value[METRIC_MSE] = i;
    one.exact = i == 3;
    metrics_add (&metrics, i < 3 ? i / 2 : -1, &one); /* kernels 0, 0, 1 and unknown */
  }
  /* The mean of the pictures' PSNR, not the PSNR of their mean. */
  g_assert_cmpfloat_with_epsilon (metrics_mean (&metrics.all, METRIC_PSNR), 35, 1e-12);
  g_assert_cmpfloat_with_epsilon (metrics_mean (&metrics.all, METRIC_MSE), 1.5, 1e-12);
  g_assert_cmpfloat_with_epsilon (metrics_mean (&metrics.kernel[0], METRIC_PSNR), 25, 1e-12);
  g_assert_cmpfloat_with_epsilon (metrics_mean (&metrics.kernel[1], METRIC_PSNR), 40, 1e-12);
  g_assert_true (isnan (metrics_mean (&metrics.kernel[2], METRIC_PSNR)));
  g_assert_cmpuint (metrics.all.n, ==, 4);
  g_assert_cmpuint (metrics.all.exact, ==, 1);
  g_assert_cmpuint (metrics.kernel[0].exact, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/metrics/psnr", test_psnr);
  g_test_add_func ("/metrics/8bit", test_8bit);
  g_test_add_func ("/metrics/mse", test_mse);
  g_test_add_func ("/metrics/means", test_means);
  return g_test_run ();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "metrics.h"

#include <math.h>

const char *const metric_names[METRICS_N] = {
  "loss", "mse", "mae", "psnr", "ssim", "psnr_blurred", "ssim_blurred",
};

double
metrics_psnr (double mse)
{
  return mse > 0 ? MIN (-10 * log10 (mse), METRICS_PSNR_MAX) : isnan (mse) ? NAN : METRICS_PSNR_MAX;
}

double
metrics_mse8 (gsize n, const guint8 *a, const guint8 *b)
{
  guint64 sum = 0;

  for (gsize i = 0; i < n; i++) {
    int d = a[i] - b[i];

    sum += (guint64) (d * d);
  }
  return n ? (double) sum / ((double) n * 255 * 255) : 0;
}

void
metrics_to_8bit (gsize n, const float *from, guint8 *to)
{
  for (gsize i = 0; i < n; i++)
    to[i] = from[i] > 0 ? from[i] < 1 ? (guint8) (from[i] * 255.0f + 0.5f) : 255 : 0; /* NaN: 0 */
}

void
metrics_from_8bit (gsize n, const guint8 *from, float *to)
{
  for (gsize i = 0; i < n; i++)
    to[i] = (float) from[i] / 255.0f;
}

double
metrics_ssim8 (int height, int width, const guint8 *a, const guint8 *b)
{
  gsize n = (gsize) height * width * 3;
  g_autofree float *values = g_try_new (float, 2 * n);

  if (!values)
    return NAN;
  metrics_from_8bit (n, a, values);
  metrics_from_8bit (n, b, values + n);
  return du_ssim (height, width, 3, values, values + n);
}

void
metrics_init (Metrics *metrics, guint n_kernels)
{
  *metrics = (Metrics){ .n_kernels = n_kernels };
}

static void
add (MetricsSum *sum, const Measurement *measurement)
{
  sum->n++;
  sum->exact += measurement->exact;
  for (int i = 0; i < METRICS_N; i++)
    sum->sum[i] += measurement->value[i];
}

void
metrics_add (Metrics *metrics, int kernel, const Measurement *measurement)
{
  add (&metrics->all, measurement);
  if (kernel >= 0 && (guint) kernel < metrics->n_kernels)
    add (&metrics->kernel[kernel], measurement);
}

double
metrics_mean (const MetricsSum *sum, Metric metric)
{
  return sum->n ? sum->sum[metric] / sum->n : NAN;
}

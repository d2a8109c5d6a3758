/* Losses and their gradients.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loss.h"

#include "cpu.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static const char *const loss_names[] = { "mse", "mae", "ssim", "charbonnier", "log-mse" };

const char *
du_loss_name (DuLoss loss)
{
  return (guint) loss < G_N_ELEMENTS (loss_names) ? loss_names[loss] : NULL;
}

gboolean
du_loss_parse (const char *text, DuLoss *loss, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (loss_names); i++)
    if (strcmp (text, loss_names[i]) == 0) {
      *loss = i;
      return TRUE;
    }
  g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
      "loss '%s' is unknown: give mse, mae, ssim, charbonnier or log-mse", text);
  return FALSE;
}

/* ---- losses of single values --------------------------------------------------------------- */

/* Values a thread takes at a time: sums are rounded alike for every number of threads. */
#define CHUNK ((gsize) 1 << 14)

/* Sum over one chunk of the loss of each value. The gradient of the mean, where wanted, is factor times the
 * derivative of the sum. */
static double
sum_chunk (DuLoss loss, double epsilon, gsize count, const float *prediction, const float *target,
    double factor, float *gradient)
{
  double sum = 0;
  float scale = (float) factor, scale2 = (float) (2 * factor);

  switch (loss) {
  case DU_LOSS_MAE:
#pragma omp simd reduction(+ : sum)
    for (gsize i = 0; i < count; i++)
      sum += fabs ((double) prediction[i] - target[i]);
    for (gsize i = 0; gradient && i < count; i++) {
      float d = prediction[i] - target[i];

      gradient[i] = d > 0 ? scale : d < 0 ? -scale : d * 0;
    }
    break;
  case DU_LOSS_CHARBONNIER:
#pragma omp simd reduction(+ : sum)
    for (gsize i = 0; i < count; i++) {
      double d = (double) prediction[i] - target[i];

      sum += sqrt (d * d + epsilon * epsilon);
    }
    for (gsize i = 0; gradient && i < count; i++) {
      double d = (double) prediction[i] - target[i], root = sqrt (d * d + epsilon * epsilon);

      gradient[i] = root > 0 ? (float) (factor * d / root) : (float) d * 0;
    }
    break;
  default:
#pragma omp simd reduction(+ : sum)
    for (gsize i = 0; i < count; i++) {
      double d = (double) prediction[i] - target[i];

      sum += d * d;
    }
    for (gsize i = 0; gradient && i < count; i++)
      gradient[i] = scale2 * (prediction[i] - target[i]);
  }
  return sum;
}

/* Mean of a loss over count values; sums has room for a chunk each. */
static double
pointwise (int threads, DuLoss loss, double epsilon, gsize count, const float *prediction,
    const float *target, float *gradient, double factor, double *sums)
{
  gsize chunks = (count + CHUNK - 1) / CHUNK;
  double total = 0;

#pragma omp parallel for num_threads(threads) if (chunks > 1)
  for (gsize chunk = 0; chunk < chunks; chunk++) {
    gsize at = chunk * CHUNK;

    sums[chunk] = sum_chunk (loss, epsilon, MIN (CHUNK, count - at), prediction + at, target + at, factor,
        gradient ? gradient + at : NULL);
  }
  for (gsize chunk = 0; chunk < chunks; chunk++)
    total += sums[chunk];
  return total / count;
}

/* ---- SSIM ------------------------------------------------------------------------------------ */

enum
{
  WINDOW = 11,
  MOMENTS = 5, /* means of x, y, xx, yy, xy under the window */
  SLOPES = 3,  /* derivatives of a window's SSIM by the means of x, xx, xy */
};

typedef struct
{
  int threads, height, width, channels;
  double window[WINDOW]; /* Gaussian, sigma 1.5, sum 1 */
  double *slopes;        /* SLOPES values per window, or NULL */
  double *row_sums;      /* a double per row of windows */
  double *scratch;       /* per thread scratch_size doubles: rows of the picture */
  gsize scratch_size;
} Ssim;

static void
ssim_clear (Ssim *ssim)
{
  free (ssim->slopes);
  free (ssim->row_sums);
  free (ssim->scratch);
}

static gboolean
ssim_init (Ssim *ssim, int threads, int height, int width, int channels, gboolean gradient, GError **error)
{
  gsize row = (gsize) width * channels;
  double sum = 0;

  *ssim = (Ssim){ .threads = threads, .height = height, .width = width, .channels = channels,
    .scratch_size = MOMENTS * row + SLOPES * (WINDOW - 1) * channels };
  if (height < WINDOW || width < WINDOW) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "SSIM of a picture of %d x %d pixels is not defined: its window needs %d x %d", width, height, WINDOW,
        WINDOW);
    return FALSE;
  }
  for (int i = 0; i < WINDOW; i++)
    sum += ssim->window[i] = exp (-(i - WINDOW / 2) * (i - WINDOW / 2) / (2 * 1.5 * 1.5));
  for (int i = 0; i < WINDOW; i++)
    ssim->window[i] /= sum;
  ssim->row_sums = du_cpu_allocate (height, sizeof (double), "SSIM", error);
  if (ssim->row_sums)
    ssim->scratch = du_cpu_allocate (ssim->scratch_size, threads * sizeof (double), "SSIM", error);
  if (ssim->scratch && gradient)
    ssim->slopes = du_cpu_allocate (SLOPES * row, height * sizeof (double), "SSIM's gradient", error);
  if (ssim->scratch && (!gradient || ssim->slopes))
    return TRUE;
  ssim_clear (ssim);
  return FALSE;
}

/* SSIM of one row of windows, summed; slopes, where wanted, [SLOPES][(width - 10) * channels]. */
static double
ssim_row (const Ssim *ssim, const float *a, const float *b, double *rows, double *slopes)
{
  const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
  gsize row = (gsize) ssim->width * ssim->channels, windows = row - (gsize) (WINDOW - 1) * ssim->channels;
  double sum = 0;

  memset (rows, 0, MOMENTS * row * sizeof *rows);
  for (int k = 0; k < WINDOW; k++) {
    const float *x = a + k * row, *y = b + k * row;
    double weight = ssim->window[k];

#pragma omp simd
    for (gsize i = 0; i < row; i++) {
      double xi = x[i], yi = y[i];

      rows[i] += weight * xi;
      rows[row + i] += weight * yi;
      rows[2 * row + i] += weight * xi * xi;
      rows[3 * row + i] += weight * yi * yi;
      rows[4 * row + i] += weight * xi * yi;
    }
  }
#pragma omp simd reduction(+ : sum)
  for (gsize i = 0; i < windows; i++) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;

    for (int k = 0; k < WINDOW; k++) {
      const double *at = rows + i + (gsize) k * ssim->channels;
      double weight = ssim->window[k];

      mx += weight * at[0];
      my += weight * at[row];
      xx += weight * at[2 * row];
      yy += weight * at[3 * row];
      xy += weight * at[4 * row];
    }
    /* Wang et al. 2004, eq. 13: luminance times contrast-structure. */
    double l1 = 2 * mx * my + c1, l2 = mx * mx + my * my + c1;
    double s1 = 2 * (xy - mx * my) + c2, s2 = xx - mx * mx + yy - my * my + c2;
    double luminance = l1 / l2, structure = s1 / s2;

    sum += luminance * structure;
    if (slopes) {
      slopes[i] = 2 * ((my - mx * luminance) / l2 * structure + (mx * structure - my) / s2 * luminance);
      slopes[windows + i] = -luminance * structure / s2;
      slopes[2 * windows + i] = 2 * luminance / s2;
    }
  }
  return sum;
}

/* gradient row y of the sum over windows, times factor: every window that covers a pixel, by its weight. */
static void
ssim_gradient_row (const Ssim *ssim, int y, const float *a, const float *b, double *rows, double factor,
    float *gradient)
{
  int n_rows = ssim->height - WINDOW + 1;
  gsize row = (gsize) ssim->width * ssim->channels, margin = (gsize) (WINDOW - 1) * ssim->channels;
  gsize windows = row - margin;

  /* rows: SLOPES rows of windows with a margin of zeros on both sides */
  memset (rows, 0, SLOPES * (row + margin) * sizeof *rows);
  for (int k = 0; k < WINDOW; k++) {
    const double *slopes;

    if (y - k < 0 || y - k >= n_rows)
      continue;
    slopes = ssim->slopes + (gsize) (y - k) * SLOPES * windows;
    for (int s = 0; s < SLOPES; s++)
      for (gsize i = 0; i < windows; i++)
        rows[s * (row + margin) + margin + i] += ssim->window[k] * slopes[s * windows + i];
  }
  for (gsize i = 0; i < row; i++) {
    double by[SLOPES] = { 0 };

    for (int k = 0; k < WINDOW; k++)
      for (int s = 0; s < SLOPES; s++)
        by[s] += ssim->window[k] * rows[s * (row + margin) + i + margin - (gsize) k * ssim->channels];
    gradient[i] = (float) (factor * (by[0] + 2 * a[i] * by[1] + b[i] * by[2]));
  }
}

/* Mean SSIM of one pair; its gradient by a times factor where gradient is not NULL. */
static double
ssim_picture (const Ssim *ssim, const float *a, const float *b, double factor, float *gradient)
{
  int n_rows = ssim->height - WINDOW + 1;
  gsize row = (gsize) ssim->width * ssim->channels, windows = row - (gsize) (WINDOW - 1) * ssim->channels;
  double sum = 0, count = (double) n_rows * windows;

#pragma omp parallel num_threads(ssim->threads)
  {
    double *rows = ssim->scratch + omp_get_thread_num () * ssim->scratch_size;

#pragma omp for
    for (int y = 0; y < n_rows; y++)
      ssim->row_sums[y] = ssim_row (ssim, a + y * row, b + y * row, rows,
          gradient ? ssim->slopes + y * SLOPES * windows : NULL);
    if (gradient) {
#pragma omp for
      for (int y = 0; y < ssim->height; y++)
        ssim_gradient_row (ssim, y, a + y * row, b + y * row, rows, factor / count, gradient + y * row);
    }
  }
  for (int y = 0; y < n_rows; y++)
    sum += ssim->row_sums[y];
  return sum / count;
}

double
du_ssim (int height, int width, int channels, const float *a, const float *b)
{
  Ssim ssim;
  double value;

  if (!ssim_init (&ssim, omp_get_max_threads (), height, width, channels, FALSE, NULL))
    return NAN;
  value = ssim_picture (&ssim, a, b, 0, NULL);
  ssim_clear (&ssim);
  return value;
}

/* ---- all of them ----------------------------------------------------------------------------- */

gboolean
du_loss_compute (int threads, DuLoss loss, double epsilon, int n, int height, int width, int channels,
    const float *prediction, const float *target, float *gradient, double *value, GError **error)
{
  gsize sample = (gsize) height * width * channels;
  double total = 0;

  if (!du_loss_name (loss)) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "loss %d is unknown", loss);
    return FALSE;
  }
  if (loss == DU_LOSS_SSIM) {
    Ssim ssim;

    if (!ssim_init (&ssim, threads, height, width, channels, gradient != NULL, error))
      return FALSE;
    for (int i = 0; i < n; i++)
      total += 1 - ssim_picture (&ssim, prediction + i * sample, target + i * sample, -1. / n,
                       gradient ? gradient + i * sample : NULL);
    ssim_clear (&ssim);
    *value = total / n;
  } else {
    gsize count = n * sample;
    g_autofree double *sums = g_new (double, count / CHUNK + 1);

    if (loss == DU_LOSS_LOG_MSE) {
      for (int i = 0; i < n; i++) {
        const float *p = prediction + i * sample, *t = target + i * sample;
        double mse = pointwise (threads, DU_LOSS_MSE, 0, sample, p, t, NULL, 0, sums) + epsilon;

        total += log (mse);
        if (gradient)
          pointwise (threads, DU_LOSS_MSE, 0, sample, p, t, gradient + i * sample, 1 / (mse * sample * n),
              sums);
      }
      *value = total / n;
    } else {
      *value = pointwise (threads, loss, epsilon, count, prediction, target, gradient, 1. / count, sums);
    }
  }
  return TRUE;
}

double
du_loss (DuLoss loss, double epsilon, int n, int height, int width, int channels, const float *prediction,
    const float *target, float *gradient)
{
  double value;

  if (!du_loss_compute (omp_get_max_threads (), loss, epsilon, n, height, width, channels, prediction, target,
          gradient, &value, NULL))
    return NAN;
  return value;
}

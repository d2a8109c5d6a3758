/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "degrade-filter.h"

#include <math.h>
#include <string.h>

/* ---- kernels ------------------------------------------------------------------------------- */

void
filter_kernel_clear (FilterKernel *kernel)
{
  g_clear_pointer (&kernel->weights, g_free);
}

/* values, (2 radius + 1)^2 of any sum -> weights; the centre takes what rounding leaves. */
static void
kernel_take (FilterKernel *kernel, int radius, const double *values)
{
  int n = (2 * radius + 1) * (2 * radius + 1), rest = FILTER_ONE;
  double sum = 0;

  kernel->radius = radius;
  kernel->weights = g_new (gint32, n);
  for (int i = 0; i < n; i++)
    sum += values[i];
  for (int i = 0; i < n; i++) {
    kernel->weights[i] = (gint32) lrint (values[i] / sum * FILTER_ONE);
    rest -= kernel->weights[i];
  }
  kernel->weights[n / 2] += rest;
}

void
filter_anisotropic (FilterKernel *kernel, double sigma_along, double sigma_across, double angle)
{
  int radius = (int) ceil (3 * MAX (sigma_along, sigma_across)), side = 2 * radius + 1;
  double c = cos (angle), s = sin (angle);
  g_autofree double *values = g_new (double, side * side);

  for (int y = -radius; y <= radius; y++)
    for (int x = -radius; x <= radius; x++) {
      double along = (c * x + s * y) / sigma_along, across = (c * y - s * x) / sigma_across;

      values[(y + radius) * side + x + radius] = exp (-0.5 * (along * along + across * across));
    }
  kernel_take (kernel, radius, values);
}

void
filter_motion (FilterKernel *kernel, double length, double angle)
{
  enum
  {
    STEPS = 512
  }; /* per pixel of length */
  int radius = (int) ceil (length / 2), side = 2 * radius + 1, n = (int) ceil (length * STEPS);
  double c = cos (angle), s = sin (angle);
  g_autofree double *values = g_new0 (double, side * side);

  for (int i = 0; i < n; i++) {
    double t = ((i + 0.5) / n - 0.5) * length;

    values[((int) lrint (s * t) + radius) * side + (int) lrint (c * t) + radius] += 1;
  }
  kernel_take (kernel, radius, values);
}

void
filter_disc (FilterKernel *kernel, double radius)
{
  enum
  {
    STEPS = 16
  }; /* along a pixel's side */
  int reach = (int) ceil (radius), side = 2 * reach + 1;
  g_autofree double *values = g_new0 (double, side * side);

  for (int y = 0; y < side * STEPS; y++)
    for (int x = 0; x < side * STEPS; x++) {
      double dy = (y + 0.5) / STEPS - reach - 0.5, dx = (x + 0.5) / STEPS - reach - 0.5;

      values[y / STEPS * side + x / STEPS] += dx * dx + dy * dy <= radius * radius;
    }
  kernel_take (kernel, reach, values);
}

/* ---- pictures ------------------------------------------------------------------------------ */

void
filter_cut (
    int from_height, int from_width, const guint8 *from, int top, int left, int height, int width, guint8 *to)
{
  static const DuBlur none = { 0, { 256 } };

  du_blur_part (&none, from_height, from_width, from, top, left, height, width, to);
}

void
filter_apply (const FilterKernel *kernel, int height, int width, const guint8 *from, guint8 *to)
{
  int radius = kernel->radius, side = 2 * radius + 1, n = 3 * width;
  gsize stride = 3 * ((gsize) width + 2 * radius);
  g_autofree guint8 *padded = g_malloc ((height + 2 * radius) * stride);
  g_autofree gint32 *total = g_new (gint32, n);

  filter_cut (height, width, from, -radius, -radius, height + 2 * radius, width + 2 * radius, padded);
  for (int y = 0; y < height; y++) {
    guint8 *out = to + (gsize) y * n;

    for (int i = 0; i < n; i++)
      total[i] = FILTER_ONE / 2;
    for (int k = 0; k < side * side; k++) {
      gint32 weight = kernel->weights[k];
      const guint8 *row = padded + (y + k / side) * stride + 3 * (gsize) (k % side);

      if (weight)
        for (int i = 0; i < n; i++)
          total[i] += weight * row[i];
    }
    /* The centre's weight may be below zero by what rounding left. */
    for (int i = 0; i < n; i++)
      out[i] = (guint8) CLAMP (total[i] >> 16, 0, 255);
  }
}

/* Weights in 1/128 of the four pixels round a place that lies t behind the second. */
static void
cubic_weights (double t, int weights[4])
{
  double exact[4] = {
    ((-0.5 * t + 1) * t - 0.5) * t,
    (1.5 * t - 2.5) * t * t + 1,
    ((-1.5 * t + 2) * t + 0.5) * t,
    (0.5 * t - 0.5) * t * t,
  };
  int rest = 128;

  for (int i = 0; i < 4; i++) {
    weights[i] = (int) lrint (128 * exact[i]);
    rest -= weights[i];
  }
  weights[t < 0.5 ? 1 : 2] += rest;
}

void
filter_shift (int from_width, const guint8 *from, double top, double left, int height, int width, guint8 *to)
{
  int y0 = (int) floor (top), x0 = (int) floor (left), n = 3 * width, down[4], right[4];
  gsize stride = 3 * (gsize) from_width;
  g_autofree gint32 *sums = g_new (gint32, n + 9);

  cubic_weights (top - y0, down);
  cubic_weights (left - x0, right);
  if (down[1] == 128 && right[1] == 128) {
    for (int y = 0; y < height; y++)
      memcpy (to + (gsize) y * n, from + (y0 + y) * stride + 3 * x0, n);
    return;
  }
  for (int y = 0; y < height; y++) {
    const guint8 *row = from + (y0 + y - 1) * (gssize) stride + 3 * (x0 - 1);
    guint8 *out = to + (gsize) y * n;

    for (int i = 0; i < n + 9; i++)
      sums[i] = down[0] * row[i] + down[1] * row[i + stride] + down[2] * row[i + 2 * stride]
                + down[3] * row[i + 3 * stride];
    for (int i = 0; i < n; i++) {
      gint32 sum
          = right[0] * sums[i] + right[1] * sums[i + 3] + right[2] * sums[i + 6] + right[3] * sums[i + 9];

      sum = (sum + (1 << 13)) >> 14;
      out[i] = (guint8) CLAMP (sum, 0, 255);
    }
  }
}

/* ---- noise --------------------------------------------------------------------------------- */

enum
{
  QUANTILES = 4096,
};

/* The normal distribution's quantiles at (i + 1/2) / QUANTILES, stretched to a variance of one. */
static const float *
normal_quantiles (void)
{
  static float table[QUANTILES];
  static gsize made;

  if (g_once_init_enter (&made)) {
    double x = -4, squares = 0;

    for (int i = 0; i < QUANTILES; i++) {
      double wanted = (i + 0.5) / QUANTILES;

      for (int round = 0; round < 20; round++) /* Newton, from the neighbour's */
        x -= CLAMP ((0.5 * erfc (-x * G_SQRT2 / 2) - wanted) / (exp (-0.5 * x * x) / sqrt (2 * G_PI)), -1, 1);
      table[i] = (float) x;
      squares += x * x;
    }
    for (int i = 0; i < QUANTILES; i++)
      table[i] *= (float) sqrt (QUANTILES / squares);
    g_once_init_leave (&made, 1);
  }
  return table;
}

void
filter_noise (gsize n, double sigma, gboolean shot, guint64 seed, guint8 *samples)
{
  const float *quantiles = normal_quantiles ();
  float sigmas[256];
  guint64 bits = 0;
  Random random;

  random_init (&random, seed, 0, 0);
  for (int i = 0; i < 256; i++)
    sigmas[i] = (float) (shot ? sigma * sqrt (i / 255.) : sigma);
  for (gsize i = 0; i < n; i++) {
    int value;

    bits = i % 5 ? bits >> 12 : random_next (&random); /* five numbers of 12 bits */
    value = (int) (samples[i] + sigmas[samples[i]] * quantiles[bits & (QUANTILES - 1)] + 1024.5f) - 1024;
    samples[i] = (guint8) CLAMP (value, 0, 255);
  }
}

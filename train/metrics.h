/* Quality of pictures against the truth, one by one and as means, over all and per kernel.
 *
 * Every mean is over pictures: of the PSNR of each, not the PSNR of a mean. PSNR and SSIM belong to the
 * picture as it is stored, clipped to [0,1] and rounded to 8 bit; MSE, MAE and loss to the values as given.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef METRICS_H
#define METRICS_H

#include "deblurunet.h"

/* Equal pictures have an infinite PSNR; it counts as this many dB in means, and so does any above it. (One
 * sample of a 448x256 picture off by one 8-bit step gives 103.5 dB.) */
#define METRICS_PSNR_MAX 100.0

typedef enum
{
  METRIC_LOSS, /* of the training */
  METRIC_MSE,  /* samples in [0,1] */
  METRIC_MAE,
  METRIC_PSNR, /* dB, 8-bit */
  METRIC_SSIM, /* 8-bit; not a number for pictures smaller than 11x11 */
  METRIC_PSNR_BLURRED, /* of the network's input */
  METRIC_SSIM_BLURRED,
  METRICS_N,
} Metric;

extern const char *const metric_names[METRICS_N]; /* "psnr" */

/* The numbers of one picture. */
typedef struct
{
  double value[METRICS_N];
  gboolean exact; /* came out equal to the truth in 8 bit */
} Measurement;

/* 10 log10 (1 / mse), at most METRICS_PSNR_MAX. */
double metrics_psnr (double mse);
/* Mean squared difference of n 8-bit samples, in units of 255^2: as of samples in [0,1]. */
double metrics_mse8 (gsize n, const guint8 *a, const guint8 *b);
/* Clips to [0,1] and rounds to the nearest of 256 steps. */
void metrics_to_8bit (gsize n, const float *from, guint8 *to);
void metrics_from_8bit (gsize n, const guint8 *from, float *to);

/* SSIM of 8-bit RGB pictures [height, width, 3]. */
double metrics_ssim8 (int height, int width, const guint8 *a, const guint8 *b);

/* Sums over pictures. */
typedef struct
{
  guint n;
  guint exact; /* pictures that came out exact */
  double sum[METRICS_N];
} MetricsSum;

#define METRICS_MAX_KERNELS 16
typedef struct
{
  MetricsSum all;
  guint n_kernels;
  MetricsSum kernel[METRICS_MAX_KERNELS];
} Metrics;

/* n_kernels: at most METRICS_MAX_KERNELS. */
void metrics_init (Metrics *metrics, guint n_kernels);
/* kernel: index, or -1 = unknown: then it counts in all only. */
void metrics_add (Metrics *metrics, int kernel, const Measurement *measurement);
/* Not a number for an empty sum. */
double metrics_mean (const MetricsSum *sum, Metric metric);

#endif

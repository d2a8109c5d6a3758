/* The filters of the degradations, one by one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DEGRADE_FILTER_H
#define DEGRADE_FILTER_H

#include "random.h"
#include "synth.h"

#define FILTER_ONE 65536

/* A kernel of (2 radius + 1)^2 weights in 1/65536, which sum to 65536. */
typedef struct
{
  int radius;
  gint32 *weights; /* g_free */
} FilterKernel;

void filter_kernel_clear (FilterKernel *kernel);
/* angle in radians against x, y downwards. */
void filter_anisotropic (FilterKernel *kernel, double sigma_along, double sigma_across, double angle);
/* Each pixel's weight is the part of a line of that length through the centre that lies in it. */
void filter_motion (FilterKernel *kernel, double length, double angle);
/* Each pixel's weight is its area inside the circle. */
void filter_disc (FilterKernel *kernel, double radius);

/* to = from filtered, 8-bit RGB [height, width, 3], dense, rounded half up, borders reflect-101. */
void filter_apply (const FilterKernel *kernel, int height, int width, const guint8 *from, guint8 *to);

/* Adds normal noise to n samples, independent from sample to sample: sigma in 8-bit steps, everywhere or
 * (shot) at 255, with a variance in proportion to the value. */
void filter_noise (gsize n, double sigma, gboolean shot, guint64 seed, guint8 *samples);

/* to[y, x] = from[y + top, x + left] for height x width pixels of a picture of from_height x from_width,
 * which has all pixels within two of them; between pixels by cubic convolution (Keys 1981, a = -1/2). Whole
 * numbers copy. */
void filter_shift (
    int from_width, const guint8 *from, double top, double left, int height, int width, guint8 *to);

/* height x width pixels from row top and column left on, which may lie outside: reflect-101. */
void filter_cut (int from_height, int from_width, const guint8 *from, int top, int left, int height,
    int width, guint8 *to);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FilterKernel, filter_kernel_clear)

#endif

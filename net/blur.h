/* The arithmetic of a blurred 8-bit picture (DuBlur says how it is rounded), in two passes, across and down:
 * written once, for the C compiler (blur.c, whole lines) and for CUDA's (single values).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_BLUR_H
#define DU_BLUR_H

#include "deblurunet.h"
#include "pixel.h"

enum
{
  DU_BLUR_HALF = 1 << 15, /* what a total down begins with, so that its upper 16 bits are rounded */
  DU_BLUR_SHIFT = 16,
};

/* Across: what two pixels at one distance add; the centre has no second one, 0. */
DU_PIXEL guint16
du_blur_add_across (guint16 sum, guint16 weight, guint8 before, guint8 after)
{
  return (guint16) (sum + weight * (before + after));
}

/* Down: the same of such sums. */
DU_PIXEL guint32
du_blur_add_down (guint32 total, guint16 weight, guint16 above, guint16 below)
{
  return total + weight * ((guint32) above + below);
}

/* Across, around pixel x of one channel of a line, width pixels of three; line points to the channel. */
DU_PIXEL guint16
du_blur_across (const DuBlur *blur, const guint8 *line, int width, int x)
{
  guint16 sum = du_blur_add_across (0, blur->weights[0], line[3 * x], 0);

  for (int k = 1; k <= blur->radius; k++)
    sum = du_blur_add_across (sum, blur->weights[k], line[3 * du_pixel_reflect (x - k, width)],
        line[3 * du_pixel_reflect (x + k, width)]);
  return sum;
}

/* Down, of sums, stride of them from line to line; radius lines above and below centre are there. */
DU_PIXEL guint8
du_blur_down (const DuBlur *blur, const guint16 *centre, gsize stride)
{
  guint32 total = du_blur_add_down (DU_BLUR_HALF, blur->weights[0], centre[0], 0);

  for (int k = 1; k <= blur->radius; k++)
    total = du_blur_add_down (total, blur->weights[k], * (centre - k * stride), centre[k * stride]);
  return (guint8) (total >> DU_BLUR_SHIFT);
}

#endif

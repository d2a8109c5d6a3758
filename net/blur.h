/* One value of a blurred 8-bit picture (DuBlur says how it is rounded), in two passes: written once, for the C
 * compiler and for CUDA's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_BLUR_H
#define DU_BLUR_H

#include "deblurunet.h"
#include "pixel.h"

/* Across: the sum around pixel x of one channel of a line, width pixels of three; line points to the channel. */
DU_PIXEL guint16
du_blur_across (const DuBlur *blur, const guint8 *line, int width, int x)
{
  guint16 sum = (guint16) (blur->weights[0] * line[3 * x]);

  for (int k = 1; k <= blur->radius; k++) {
    const int before = du_pixel_reflect (x - k, width), after = du_pixel_reflect (x + k, width);

    sum = (guint16) (sum + blur->weights[k] * (line[3 * before] + line[3 * after]));
  }
  return sum;
}

/* Down: of such sums, stride of them from line to line; radius lines above and below centre are there. */
DU_PIXEL guint8
du_blur_down (const DuBlur *blur, const guint16 *centre, gsize stride)
{
  guint32 total = (1u << 15) + blur->weights[0] * (guint32) centre[0];

  for (int k = 1; k <= blur->radius; k++)
    total += blur->weights[k] * ((guint32) * (centre - k * stride) + centre[k * stride]);
  return (guint8) (total >> 16);
}

#endif

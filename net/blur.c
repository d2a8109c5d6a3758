/* A separable blur of a part of a picture, in strips whose sums stay in the cache.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blur.h"

#include <string.h>

enum
{
  STRIP = 128, /* pixels across */
};

/* to[0, width) = the pixels of a line from left on, which may lie outside of it. */
static void
copy_reflected (const guint8 *line, int line_width, int left, int width, guint8 *to)
{
  const int first = CLAMP (-left, 0, width), last = CLAMP (line_width - left, first, width);

  for (int x = 0; x < first; x++)
    memcpy (to + 3 * x, line + 3 * du_pixel_reflect (left + x, line_width), 3);
  if (last > first)
    memcpy (to + 3 * first, line + 3 * (left + first), 3 * (gsize) (last - first));
  for (int x = last; x < width; x++)
    memcpy (to + 3 * x, line + 3 * du_pixel_reflect (left + x, line_width), 3);
}

/* sums of n values, with radius pixels before and after them. */
static void
blur_across (const DuBlur *blur, int n, const guint8 *centre, guint16 *restrict sums)
{
  for (int i = 0; i < n; i++)
    sums[i] = du_blur_add_across (0, blur->weights[0], centre[i], 0);
  for (int k = 1; k <= blur->radius; k++) {
    const guint8 *before = centre - 3 * k, *after = centre + 3 * k;
    const guint16 weight = blur->weights[k];

    if (weight)
      for (int i = 0; i < n; i++)
        sums[i] = du_blur_add_across (sums[i], weight, before[i], after[i]);
  }
}

/* lines: the sums of the 2 radius + 1 lines around y, each at its y modulo their number. */
static void
blur_down (const DuBlur *blur, int n, const guint16 (*lines)[3 * STRIP], int y, guint8 *restrict to)
{
  const int kept = 2 * blur->radius + 1;
  const guint16 *centre = lines[y % kept];
  guint32 total[3 * STRIP];

  for (int i = 0; i < n; i++)
    total[i] = du_blur_add_down (DU_BLUR_HALF, blur->weights[0], centre[i], 0);
  for (int k = 1; k <= blur->radius; k++) {
    const guint16 *above = lines[(y - k) % kept], *below = lines[(y + k) % kept];
    const guint16 weight = blur->weights[k];

    if (weight)
      for (int i = 0; i < n; i++)
        total[i] = du_blur_add_down (total[i], weight, above[i], below[i]);
  }
  for (int i = 0; i < n; i++)
    to[i] = (guint8) (total[i] >> DU_BLUR_SHIFT);
}

void
du_blur_part (const DuBlur *blur, int picture_height, int picture_width, const guint8 *from, int top,
    int left, int height, int width, guint8 *to)
{
  const int radius = blur->radius;
  guint8 padded[3 * (STRIP + 2 * DU_BLUR_RADIUS_MAX)];
  guint16 lines[2 * DU_BLUR_RADIUS_MAX + 1][3 * STRIP];

  for (int at = 0; at < width; at += STRIP) {
    const int strip = MIN (STRIP, width - at), n = 3 * strip;

    for (int y = 0; y < height + 2 * radius; y++) {
      const int from_y = du_pixel_reflect (top + y - radius, picture_height);

      copy_reflected (from + 3 * (gsize) from_y * picture_width, picture_width, left + at - radius,
          strip + 2 * radius, padded);
      blur_across (blur, n, padded + 3 * radius, lines[y % (2 * radius + 1)]);
      if (y >= 2 * radius)
        blur_down (blur, n, lines, y - radius, to + 3 * ((gsize) (y - 2 * radius) * width + at));
    }
  }
}

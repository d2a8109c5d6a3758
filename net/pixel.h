/* Arithmetic of one pixel, in floats: written once, for the C compiler and for CUDA's.
 *
 * A sample is the integer that stands in memory. R'G'B' is what the network sees, in [0,1]. The matrices
 * are made in frame.c; ITU-T H.273, 8.3, gives them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_PIXEL_H
#define DU_PIXEL_H

#include <float.h>
#include <math.h>

#ifdef __CUDACC__
#define DU_PIXEL __host__ __device__ static inline
#else
#define DU_PIXEL static inline
#endif

/* Samples (R, G, B or Y, Cb, Cr or Y alone; those that a format has not have zeros) <-> R'G'B'. */
typedef struct
{
  float offset[3];      /* samples of black */
  float to_rgb[3][3];   /* R'G'B' = to_rgb (samples - offset) */
  float from_rgb[3][3]; /* a difference in samples = from_rgb (difference in R'G'B') */
  float maximum;        /* largest sample that can be stored */
} DuColour;

/* Picture content for a place outside of it: reflected at the middle of the border pixels (reflect-101:
 * 2 1 | 0 1 2 3 | 2 1), again and again where the picture is small. */
DU_PIXEL int
du_pixel_reflect (int position, int length)
{
  int period = 2 * (length - 1);

  if (position >= 0 && position < length)
    return position;
  if (length == 1)
    return 0;
  position %= period;
  if (position < 0)
    position += period;
  return position < length ? position : period - position;
}

DU_PIXEL float
du_pixel_clamp (float value, float lowest, float highest)
{
  value = value < lowest ? lowest : value;
  return value > highest ? highest : value;
}

/* What the network sees, clipped to [0,1]. */
DU_PIXEL void
du_pixel_to_rgb (const DuColour *colour, float a, float b, float c, float *rgb)
{
  a -= colour->offset[0];
  b -= colour->offset[1];
  c -= colour->offset[2];
  for (int i = 0; i < 3; i++)
    rgb[i] = du_pixel_clamp (
        colour->to_rgb[i][0] * a + colour->to_rgb[i][1] * b + colour->to_rgb[i][2] * c, 0, 1);
}

/* The network's correction of one value: none where it is not a number, at most the whole range. */
DU_PIXEL float
du_pixel_difference (float before, float after)
{
  float difference = after - before;

  difference = fabsf (difference) <= FLT_MAX ? difference : 0;
  return du_pixel_clamp (difference, -1, 1);
}

/* One sample corrected, rounded to nearest and kept within what can be stored. from_rgb: the component's
 * row of the matrix. */
DU_PIXEL unsigned
du_pixel_correct (float sample, const float *from_rgb, const float *difference, float maximum)
{
  sample += from_rgb[0] * difference[0] + from_rgb[1] * difference[1] + from_rgb[2] * difference[2];
  return (unsigned) (int) (du_pixel_clamp (sample, 0, maximum) + 0.5f);
}

/* Where a luma position lies between the chroma samples of a direction subsampled by two: two chroma
 * positions (which may lie outside of the picture: clamp them) and the second one's share. */
DU_PIXEL float
du_pixel_chroma_taps (int luma, int centred, int *first, int *second)
{
  *first = luma >> 1;
  *second = *first + (luma & 1 || !centred ? 1 : -1);
  if (centred)
    return 0.25f;
  return luma & 1 ? 0.5f : 0;
}

#endif

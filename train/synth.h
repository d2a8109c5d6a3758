/* The three blurs, exactly: OpenCV's GaussianBlur(size, sigma) with its default border (reflect-101), rounded
 * to 8 bit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SYNTH_H
#define SYNTH_H

#include "train.h"

typedef struct
{
  int size;     /* side in pixels, odd */
  double sigma; /* pixels */
} SynthKernel;

#define SYNTH_N_PAPER_KERNELS 3
extern const SynthKernel synth_paper_kernels[SYNTH_N_PAPER_KERNELS]; /* 3/0.3, 7/1, 11/1.6 */

typedef enum
{
  SYNTH_FIT_STRETCH, /* to the whole size, as the paper does */
  SYNTH_FIT_CROP,    /* centre crop to the size's ratio first */
} SynthFit;

typedef struct
{
  const SynthKernel *kernels; /* drawn with equal chances */
  guint n_kernels;
  SynthFit fit;
  int height, width; /* of the result; 256x448 */
} SynthOptions;

void synth_options_init (SynthOptions *options);

/* to = blurred from, both 8-bit RGB [height, width, 3], dense; they do not overlap. Thread-safe. */
void synth_blur (const SynthKernel *kernel, int height, int width, const guint8 *from, guint8 *to);

#endif

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

/* The same for height x width pixels of the picture from row top and column left on, as if all of it had been
 * blurred: only these are computed, and reflection is at the picture's own borders. to is dense. */
void synth_blur_part (const SynthKernel *kernel, int picture_height, int picture_width, const guint8 *from,
    int top, int left, int height, int width, guint8 *to);

/* The kernel as a trainer takes it that blurs by itself, to the same bits. */
void synth_kernel_blur (const SynthKernel *kernel, DuBlur *blur);

/* Side of the largest kernel that the blur takes. */
#define SYNTH_KERNEL_SIZE_MAX (2 * DU_BLUR_RADIUS_MAX + 1)
/* "3:0.3,7:1" -> kernels; g_free. */
gboolean synth_kernels_parse (const char *text, SynthKernel **kernels, guint *n, GError **error);

#endif

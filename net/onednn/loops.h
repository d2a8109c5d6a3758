/* The rows' arithmetic that is not a convolution: loops over NHWC activations in float32 or bf16, computed in
 * float32. Sums are taken over chunks of fixed size and then in order, so that results do not depend on the
 * number of threads.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_ONEDNN_LOOPS_H
#define DU_ONEDNN_LOOPS_H

#include "backend.h"

/* Dense activations: rows * width pixels of channels values. */
typedef struct
{
  int threads;
  gsize rows; /* n * height */
  int width, channels;
} DuExtent;

enum
{
  DU_HEAD_LANES = 16,
};

/* Floats from one output's weights of the head to the next one's; those behind the channels are zeros. */
static inline gsize
du_head_pitch (gsize channels)
{
  return (channels + DU_HEAD_LANES - 1) / DU_HEAD_LANES * DU_HEAD_LANES;
}

typedef struct
{
  DuHead head;
  const float *weights, *bias; /* [3, pitch], [3] */
  const void *input;
  const float *picture; /* residual only */
  float *output;
} DuHeadForward;

typedef struct
{
  DuHead head;
  const float *weights; /* [3, pitch] */
  const void *input;
  const float *output, *gradient_output;
  void *gradient_input; /* or NULL */
  gboolean accumulate;
  float *gradient_weights, *gradient_bias; /* [3, channels], [3] */
} DuHeadBackward;

typedef struct
{
  /* float32 -> the activation type. */
  void (*convert) (int threads, const float *from, void *to, gsize count);
  /* to += from */
  void (*add) (int threads, const void *from, void *to, gsize count);

  /* to: [pixels, a_channels + b_channels] */
  void (*concat) (const DuExtent *e, const void *a, int a_channels, const void *b, int b_channels, void *to);

  /* e: the output's. positions: of the maximum in its window, 0..3 in raster order, the first of equal ones;
   * or NULL. A NaN is the maximum. */
  void (*pool) (const DuExtent *e, const void *input, void *output, guint8 *positions);
  void (*pool_backward) (const DuExtent *e, const void *gradient_output, const guint8 *positions,
      void *gradient_input, gboolean accumulate);

  /* e: of full, [rows, width, channels]; split: [rows / 2, width / 2, 2, 2, channels], where the first 2 is
   * the odd row, the second the odd column. */
  void (*shuffle) (const DuExtent *e, const void *split, void *full);
  /* sums [channels]: over all pixels. */
  void (*unshuffle) (const DuExtent *e, const void *full, void *split, float *sums, float *partials);

  /* Where values <= 0, gradient becomes 0; sums [channels] of what is left. */
  void (*relu_backward) (const DuExtent *e, const void *values, void *gradient, float *sums, float *partials);

  /* Mean and biased variance [channels] over all pixels. */
  void (*statistics) (const DuExtent *e, const void *values, float *mean, float *variance, float *partials);
  /* to = (from - mean) * scale + shift */
  void (*normalise) (const DuExtent *e, const void *from, const float *mean, const float *scale,
      const float *shift, void *to);
  /* values: what was normalised, after ReLU. gradient: read, overwritten with that of the input of ReLU.
   * Ioffe & Szegedy 2015, section 3; sums: of what is written. */
  void (*bn_backward) (const DuExtent *e, const void *values, const float *mean, const float *deviation,
      const float *bn_scale, void *gradient, float *gradient_scale, float *gradient_shift, float *sums,
      float *partials);

  void (*head) (const DuExtent *e, const DuHeadForward *args);
  void (*head_backward) (const DuExtent *e, const DuHeadBackward *args, float *partials);
} DuLoops;

extern const DuLoops du_loops_f32, du_loops_bf16;

/* Floats of partials that the above want. */
gsize du_loops_partials (const DuExtent *e);

#endif

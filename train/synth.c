/* The blurs, so that the results are those of OpenCV's GaussianBlur for 8-bit pictures: a separable kernel of
 * weights in 1/256, rounded from the outside in with the error carried on and the centre taking the rest, so that
 * they sum to 256 exactly. DuBlur says how they are applied: all in integers, equal on every machine.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "synth.h"

#include <math.h>

const SynthKernel synth_paper_kernels[SYNTH_N_PAPER_KERNELS] = { { 3, 0.3 }, { 7, 1 }, { 11, 1.6 } };

void
synth_options_init (SynthOptions *options)
{
  *options = (SynthOptions){
    .kernels = synth_paper_kernels,
    .n_kernels = SYNTH_N_PAPER_KERNELS,
    .fit = SYNTH_FIT_STRETCH,
    .height = DU_TILE_HEIGHT,
    .width = DU_TILE_WIDTH,
  };
}

gboolean
synth_kernels_parse (const char *text, SynthKernel **kernels, guint *n, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  guint count = g_strv_length (parts);
  g_autofree SynthKernel *list = g_new (SynthKernel, MAX (count, 1));

  for (guint i = 0; i < MAX (count, 1); i++) {
    const char *part = count ? parts[i] : "";
    char *end = NULL, *last = NULL;
    gint64 size = g_ascii_strtoll (part, &end, 10);
    double sigma = *end == ':' ? g_ascii_strtod (end + 1, &last) : 0;

    if (!last || last == end + 1 || *last || size < 1 || size > SYNTH_KERNEL_SIZE_MAX || size % 2 == 0
        || !(sigma >= 0.01 && sigma <= 100)) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
          "kernel '%s' is not SIZE:SIGMA with an odd size of 1 to %d and a sigma of 0.01 to 100: "
          "give for example 3:0.3,7:1,11:1.6",
          part, SYNTH_KERNEL_SIZE_MAX);
      return FALSE;
    }
    list[i] = (SynthKernel){ size, sigma };
  }
  *n = count;
  *kernels = g_steal_pointer (&list);
  return TRUE;
}

void
synth_kernel_blur (const SynthKernel *kernel, DuBlur *blur)
{
  guint16 *weights = blur->weights;
  int radius = kernel->size / 2, rest = 256;
  double values[SYNTH_KERNEL_SIZE_MAX / 2 + 1], sum = 0, carry = 0;

  for (int i = 0; i <= radius; i++) {
    values[i] = exp (-0.5 * i * i / (kernel->sigma * kernel->sigma));
    sum += i ? 2 * values[i] : values[i];
  }
  for (int i = radius; i > 0; i--) {
    double wanted = values[i] / sum * 256 + carry;

    weights[i] = (guint16) lrint (wanted);
    carry = wanted - weights[i];
    rest -= 2 * weights[i];
  }
  weights[0] = (guint16) rest;
  blur->radius = radius;
}

void
synth_blur_part (const SynthKernel *kernel, int picture_height, int picture_width, const guint8 *from, int top,
    int left, int height, int width, guint8 *to)
{
  DuBlur blur;

  synth_kernel_blur (kernel, &blur);
  du_blur_part (&blur, picture_height, picture_width, from, top, left, height, width, to);
}

void
synth_blur (const SynthKernel *kernel, int height, int width, const guint8 *from, guint8 *to)
{
  synth_blur_part (kernel, height, width, from, 0, 0, height, width, to);
}

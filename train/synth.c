/* The blurs, in the arithmetic of OpenCV's GaussianBlur for 8-bit pictures, so that the results are its own:
 * a separable kernel of weights in 1/256, rounded from the outside in with the error carried on and the centre
 * taking the rest, so that they sum to 256 exactly; horizontal sums are kept in 16 bits (1/256 steps), vertical
 * ones in 32 bits (1/65536 steps), and only the end result is rounded, half up. All in integers: equal on every
 * machine.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "synth.h"

#include <math.h>
#include <string.h>

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

int
synth_reflect (int i, int n)
{
  int period = 2 * (n - 1);

  if (n == 1)
    return 0;
  i = ((i % period) + period) % period;
  return i < n ? i : period - i;
}

/* sums = weighted sums of the pixels of a padded row, radius pixels of padding on both sides. */
static void
blur_row (const guint16 *weights, int radius, int n, const guint8 *padded, guint16 *restrict sums)
{
  const guint8 *centre = padded + 3 * radius;

  for (int i = 0; i < n; i++)
    sums[i] = weights[0] * centre[i];
  for (int k = 1; k <= radius; k++) {
    const guint8 *before = centre - 3 * k, *after = centre + 3 * k;
    guint16 weight = weights[k];

    if (weight)
      for (int i = 0; i < n; i++)
        sums[i] += weight * (before[i] + after[i]);
  }
}

void
synth_blur_part (const SynthKernel *kernel, int picture_height, int picture_width, const guint8 *from, int top,
    int left, int height, int width, guint8 *to)
{
  int radius = kernel->size / 2, n = 3 * width, rows = kernel->size;
  gsize stride = 3 * (gsize) picture_width;
  DuBlur blur;
  const guint16 *weights = blur.weights;
  g_autofree guint8 *padded = g_malloc (n + 6 * (gsize) radius);
  g_autofree guint16 *ring = g_new (guint16, rows * (gsize) n); /* sums of the last rows, row y at y % rows */
  g_autofree guint32 *total = g_new (guint32, n);

  synth_kernel_blur (kernel, &blur);
  for (int y = -radius; y < height + radius; y++) {
    const guint8 *row = from + synth_reflect (top + y, picture_height) * stride;
    int first = MAX (0, radius - left), last = MIN (width + 2 * radius, picture_width - left + radius);

    /* Pixels first to last of the padded row lie inside the picture. */
    for (int x = 0; x < first; x++)
      memcpy (padded + 3 * x, row + 3 * synth_reflect (left - radius + x, picture_width), 3);
    memcpy (padded + 3 * first, row + 3 * (left - radius + first), 3 * (gsize) (last - first));
    for (int x = last; x < width + 2 * radius; x++)
      memcpy (padded + 3 * x, row + 3 * synth_reflect (left - radius + x, picture_width), 3);
    blur_row (weights, radius, n, padded, ring + (y + radius) % rows * (gsize) n);

    if (y >= radius) {
      guint8 *out = to + (y - radius) * (gsize) n;
      const guint16 *centre = ring + y % rows * (gsize) n;

      for (int i = 0; i < n; i++)
        total[i] = (1u << 15) + weights[0] * (guint32) centre[i];
      for (int k = 1; k <= radius; k++) {
        const guint16 *above = ring + (y - k) % rows * (gsize) n, *below = ring + (y + k) % rows * (gsize) n;
        guint32 weight = weights[k];

        if (weight)
          for (int i = 0; i < n; i++)
            total[i] += weight * ((guint32) above[i] + below[i]);
      }
      for (int i = 0; i < n; i++)
        out[i] = total[i] >> 16;
    }
  }
}

void
synth_blur (const SynthKernel *kernel, int height, int width, const guint8 *from, guint8 *to)
{
  synth_blur_part (kernel, height, width, from, 0, 0, height, width, to);
}

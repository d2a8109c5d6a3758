/* Batches that the GPU's kernels make of pictures, against the CPU's: the same bits. Built twice, like
 * test-kernels.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-memory.h"

#include "cpu.h"
#include "cuda/kernels.h"

#include <string.h>

enum
{
  PICTURES = 3,
  SAMPLES = 70, /* more than one launch takes */
};

static const struct
{
  int height, width, crop_height, crop_width;
} sizes[] = { { 1, 1, 1, 1 }, { 2, 3, 2, 3 }, { 1, 40, 1, 7 }, { 37, 1, 16, 1 }, { 33, 21, 16, 16 },
  { 33, 21, 33, 21 }, { 64, 48, 17, 31 } };

/* Weights that make 256, at random. */
static void
random_blur (GRand *random, int radius, DuBlur *blur)
{
  int rest = 256;

  memset (blur, 0, sizeof *blur);
  blur->radius = radius;
  for (int k = radius; k > 0; k--) {
    blur->weights[k] = (guint16) g_rand_int_range (random, 0, rest / (2 * k) + 1);
    rest -= 2 * blur->weights[k];
  }
  blur->weights[0] = (guint16) rest;
}

static void
check (const DuKernelPictures *kernel, const DuPictureSet *set, int n, int height, int width, const DuDraw *draws)
{
  const gsize count = (gsize) n * height * width * 3;
  DuCpuContext cpu = { .threads = 1 };
  DuContext *context = (DuContext *) &cpu;
  DuPictures *pictures = du_cpu_pictures_new (context, set, NULL);
  DuBuffer *input = du_cpu_buffer_new (context, DU_TYPE_F32, count, NULL);
  DuBuffer *target = du_cpu_buffer_new (context, DU_TYPE_F32, count, NULL);
  void *scratch = device_new (du_kernel_draw_scratch (kernel, n, height, width));
  float *on_device = device_new (2 * count * sizeof (float));
  g_autofree float *got = g_new (float, 2 * count);

  g_assert_true (du_cpu_pictures_draw (context, pictures, n, height, width, draws, input, target, NULL));
  for (int with_target = 0; with_target < 2; with_target++) {
    for (gsize i = 0; i < 2 * count; i++)
      got[i] = -1;
    device_write (on_device, got, 2 * count * sizeof *got);
    du_kernel_draw (NULL, kernel, n, height, width, draws, on_device, with_target ? on_device + count : NULL,
        scratch);
    device_read (got, on_device, 2 * count * sizeof *got);
    for (gsize i = 0; i < 2 * count; i++) {
      const float expected = i < count     ? du_cpu_f32 (input)[i]
                             : with_target ? du_cpu_f32 (target)[i - count]
                                           : -1;

      if (memcmp (&got[i], &expected, sizeof expected) != 0) {
        const DuDraw *draw = &draws[i % count / (height * width * 3)];

        g_error ("%s %d of %d samples of %dx%d of pictures of %dx%d, radius %d, at %d,%d, flips %d %d: value %d "
                 "is %.9g, on the CPU %.9g",
            i < count ? "input" : "target", (int) (draw - draws), n, height, width, set->height, set->width,
            set->blurs[draw->blur].radius, draw->top, draw->left, draw->flip_x, draw->flip_y,
            (int) (i % (height * width * 3)), got[i], expected);
      }
    }
  }
  device_free (on_device);
  device_free (scratch);
  du_cpu_buffer_free (context, input);
  du_cpu_buffer_free (context, target);
  du_cpu_pictures_free (context, pictures);
}

static void
test_draw (void)
{
  static const int radii[] = { 0, 1, 3, 5, DU_BLUR_RADIUS_MAX };
  g_autoptr (GRand) random = g_rand_new_with_seed (5);
  DuBlur blurs[G_N_ELEMENTS (radii)];

  if (!device_name ()) {
    g_test_skip ("there is no GPU");
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (radii); i++)
    random_blur (random, radii[i], &blurs[i]);
  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++) {
    const int height = sizes[s].crop_height, width = sizes[s].crop_width;
    const gsize size = (gsize) sizes[s].height * sizes[s].width * 3;
    g_autofree guint8 *pixels = g_malloc (PICTURES * size);
    const guint8 *pictures[PICTURES];
    guint8 *on_device = device_new (PICTURES * size);
    DuDraw draws[SAMPLES];

    for (gsize i = 0; i < PICTURES * size; i++) /* white beside black, for the largest sums */
      pixels[i] = (guint8) CLAMP (g_rand_int_range (random, -128, 384), 0, 255);
    for (int p = 0; p < PICTURES; p++)
      pictures[p] = pixels + p * size;
    device_write (on_device, pixels, PICTURES * size);
    for (guint n_blurs = 1; n_blurs <= G_N_ELEMENTS (radii); n_blurs += 2) {
      const DuPictureSet set = { sizes[s].height, sizes[s].width, PICTURES, n_blurs, pictures, blurs };
      DuBlur *blurs_on_device = device_new (sizeof blurs);
      const DuKernelPictures kernel
          = { on_device, set.height, set.width, blurs_on_device, radii[n_blurs - 1] };

      device_write (blurs_on_device, blurs, n_blurs * sizeof *blurs);
      for (int i = 0; i < SAMPLES; i++)
        draws[i] = (DuDraw){ (guint) g_rand_int_range (random, 0, PICTURES),
          (guint) g_rand_int_range (random, 0, PICTURES), (guint) g_rand_int_range (random, 0, n_blurs),
          g_rand_int_range (random, 0, set.height - height + 1),
          g_rand_int_range (random, 0, set.width - width + 1), g_rand_boolean (random),
          g_rand_boolean (random) };
      check (&kernel, &set, s % 2 ? SAMPLES : 3, height, width, draws);
      device_free (blurs_on_device);
    }
    device_free (on_device);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pictures/draw", test_draw);
  return g_test_run ();
}

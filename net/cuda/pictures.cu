/* Batches of pictures on the device: crop, blur and flip, with the CPU's arithmetic (blur.h).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.cuh"

#include "blur.h"

enum
{
  DU_DRAWS = 64, /* samples of a launch: they go down as its arguments, of which CUDA takes 4 KiB */
};

typedef struct
{
  DuDraw at[DU_DRAWS];
} DuDraws;

/* sums: [n, height + twice the largest radius, width, 3]; lines that a sample's blur does not reach are left
 * out. */
__global__ void
draw_across (DuKernelPictures pictures, DuDraws draws, int n, int height, int width, guint16 *sums)
{
  const int lines = height + 2 * pictures.radius, across = 3 * width;

  for (size_t i = DU_THREAD; i < (size_t) n * lines * across; i += DU_ALL_THREADS) {
    const unsigned line = (unsigned) (i / across), place = (unsigned) (i % across);
    const DuDraw &draw = draws.at[line / lines];
    const DuBlur *blur = pictures.blurs + draw.blur;
    const int y = (int) (line % lines) - pictures.radius;

    if (y >= -blur->radius && y < height + blur->radius) {
      const size_t from = (size_t) draw.input * pictures.height
                          + du_pixel_reflect (draw.top + y, pictures.height);

      sums[i] = du_blur_across (blur, pictures.pictures + from * pictures.width * 3 + place % 3,
          pictures.width, draw.left + (int) (place / 3));
    }
  }
}

__global__ void
draw_down (DuKernelPictures pictures, DuDraws draws, int n, int height, int width, const guint16 *sums,
    float *input, float *target)
{
  const int lines = height + 2 * pictures.radius, across = 3 * width;

  for (size_t i = DU_THREAD; i < (size_t) n * height * across; i += DU_ALL_THREADS) {
    const unsigned line = (unsigned) (i / across), place = (unsigned) (i % across);
    const unsigned sample = line / height;
    const DuDraw &draw = draws.at[sample];
    const int y = (int) (line % height), x = (int) (place / 3), c = (int) (place % 3);
    const int from_y = draw.flip_y ? height - 1 - y : y, from_x = draw.flip_x ? width - 1 - x : x;
    const guint16 *centre
        = sums + ((size_t) sample * lines + from_y + pictures.radius) * across + 3 * from_x + c;

    input[i] = du_blur_down (pictures.blurs + draw.blur, centre, across) / 255.f;
    if (target) {
      const size_t from = (size_t) draw.target * pictures.height + draw.top + from_y;

      target[i] = pictures.pictures[(from * pictures.width + draw.left + from_x) * 3 + c] / 255.f;
    }
  }
}

void
du_kernel_draw (cudaStream_t stream, const DuKernelPictures *pictures, int n, int height, int width,
    const DuDraw *draws, float *input, float *target, void *scratch)
{
  const size_t values = (size_t) height * width * 3;
  const size_t reached = (size_t) (height + 2 * pictures->radius) * width * 3;

  for (int first = 0; first < n; first += DU_DRAWS) {
    const int part = n - first < (int) DU_DRAWS ? n - first : (int) DU_DRAWS;
    guint16 *sums = (guint16 *) scratch + first * reached;
    DuDraws table = {};

    memcpy (table.at, draws + first, part * sizeof *draws);
    DU_LAUNCH ((draw_across), du_blocks (part * reached), DU_THREADS, stream, *pictures, table, part, height,
        width, sums);
    DU_LAUNCH ((draw_down), du_blocks (part * values), DU_THREADS, stream, *pictures, table, part, height,
        width, sums, input + first * values, target ? target + first * values : target);
  }
}

gsize
du_kernel_draw_scratch (const DuKernelPictures *pictures, int n, int height, int width)
{
  return sizeof (guint16) * (size_t) n * (height + 2 * pictures->radius) * width * 3;
}

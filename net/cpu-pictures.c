/* Batches of pictures that the back end keeps, on the CPU: what a GPU's kernels do, for one of its tests and for
 * who trains on the CPU the same way.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"

#include "blur.h"

#include <stdlib.h>
#include <string.h>

struct _DuPictures
{
  int height, width;
  guint8 *pictures; /* [n, height, width, 3] */
  DuBlur *blurs;
  int radius; /* the largest of blurs */
};

DuPictures *
du_cpu_pictures_new (DuContext *context, const DuPictureSet *set, GError **error)
{
  const gsize size = (gsize) set->height * set->width * 3;
  guint8 *memory = du_cpu_allocate (set->n, size, "pictures to train on", error);
  DuPictures *pictures;

  (void) context;
  if (!memory)
    return NULL;
  pictures = g_new0 (DuPictures, 1);
  *pictures = (DuPictures){ set->height, set->width, memory,
    g_memdup2 (set->blurs, set->n_blurs * sizeof *set->blurs), 0 };
  for (guint i = 0; i < set->n; i++)
    memcpy (memory + i * size, set->pictures[i], size);
  for (guint i = 0; i < set->n_blurs; i++)
    pictures->radius = MAX (pictures->radius, set->blurs[i].radius);
  return pictures;
}

void
du_cpu_pictures_free (DuContext *context, DuPictures *pictures)
{
  (void) context;
  if (!pictures)
    return;
  free (pictures->pictures);
  g_free (pictures->blurs);
  g_free (pictures);
}

/* sums: [height + twice the radius, width, 3] of working memory. */
static void
draw_sample (const DuPictures *pictures, const DuDraw *draw, int height, int width, guint16 *sums, float *input,
    float *target)
{
  const DuBlur *blur = &pictures->blurs[draw->blur];
  const int stride = 3 * pictures->width, across = 3 * width;
  const guint8 *from = pictures->pictures + (gsize) draw->input * pictures->height * stride;
  const guint8 *sharp = pictures->pictures + (gsize) draw->target * pictures->height * stride;

  for (int y = -blur->radius; y < height + blur->radius; y++) {
    const guint8 *line = from + (gsize) du_pixel_reflect (draw->top + y, pictures->height) * stride;
    guint16 *to = sums + (gsize) (y + blur->radius) * across;

    for (int i = 0; i < across; i++)
      to[i] = du_blur_across (blur, line + i % 3, pictures->width, draw->left + i / 3);
  }
  for (int y = 0; y < height; y++) {
    const int from_y = draw->flip_y ? height - 1 - y : y;
    const guint16 *centre = sums + (gsize) (from_y + blur->radius) * across;
    const guint8 *line = sharp + (gsize) (draw->top + from_y) * stride + 3 * draw->left;

    for (int x = 0; x < width; x++) {
      const int at = 3 * (draw->flip_x ? width - 1 - x : x);

      for (int c = 0; c < 3; c++) {
        *input++ = du_blur_down (blur, centre + at + c, across) / 255.f;
        if (target)
          *target++ = line[at + c] / 255.f;
      }
    }
  }
}

gboolean
du_cpu_pictures_draw (DuContext *context, DuPictures *pictures, int n, int height, int width,
    const DuDraw *draws, DuBuffer *input, DuBuffer *target, GError **error)
{
  const gsize count = (gsize) height * width * 3;
  const gsize reached = (gsize) (height + 2 * pictures->radius) * width * 3;
  guint16 *sums = du_cpu_allocate (n, reached * sizeof *sums, "blurred pictures", error);

  if (!sums)
    return FALSE;
#pragma omp parallel for num_threads(((const DuCpuContext *) context)->threads)
  for (int i = 0; i < n; i++)
    draw_sample (pictures, &draws[i], height, width, sums + i * reached, du_cpu_f32 (input) + i * count,
        target ? du_cpu_f32 (target) + i * count : NULL);
  free (sums);
  return TRUE;
}

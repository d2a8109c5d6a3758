/* Batches of pictures that the back end keeps, on the CPU: what a GPU's kernels do, for one of its tests and for
 * who trains on the CPU the same way.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"

#include <stdlib.h>
#include <string.h>

struct _DuPictures
{
  int height, width;
  guint8 *pictures; /* [n, height, width, 3] */
  DuBlur *blurs;
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
    g_memdup2 (set->blurs, set->n_blurs * sizeof *set->blurs) };
  for (guint i = 0; i < set->n; i++)
    memcpy (memory + i * size, set->pictures[i], size);
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

/* blurred: [height, width, 3] of working memory. */
static void
draw_sample (const DuPictures *pictures, const DuDraw *draw, int height, int width, guint8 *blurred, float *input,
    float *target)
{
  const gsize stride = 3 * (gsize) pictures->width;
  const guint8 *from = pictures->pictures + draw->input * stride * pictures->height;
  const guint8 *sharp = pictures->pictures + draw->target * stride * pictures->height;

  du_blur_part (&pictures->blurs[draw->blur], pictures->height, pictures->width, from, draw->top, draw->left,
      height, width, blurred);
  for (int y = 0; y < height; y++) {
    const int from_y = draw->flip_y ? height - 1 - y : y;
    const guint8 *blurred_line = blurred + (gsize) from_y * width * 3;
    const guint8 *sharp_line = sharp + (draw->top + from_y) * stride + 3 * draw->left;

    for (int x = 0; x < width; x++) {
      const int at = 3 * (draw->flip_x ? width - 1 - x : x);

      for (int c = 0; c < 3; c++) {
        *input++ = blurred_line[at + c] / 255.f;
        if (target)
          *target++ = sharp_line[at + c] / 255.f;
      }
    }
  }
}

gboolean
du_cpu_pictures_draw (DuContext *context, DuPictures *pictures, int n, int height, int width,
    const DuDraw *draws, DuBuffer *input, DuBuffer *target, GError **error)
{
  const gsize count = (gsize) height * width * 3;
  guint8 *blurred = du_cpu_allocate (n, count, "blurred pictures", error);

  if (!blurred)
    return FALSE;
#pragma omp parallel for num_threads(((const DuCpuContext *) context)->threads)
  for (int i = 0; i < n; i++)
    draw_sample (pictures, &draws[i], height, width, blurred + i * count, du_cpu_f32 (input) + i * count,
        target ? du_cpu_f32 (target) + i * count : NULL);
  free (blurred);
  return TRUE;
}

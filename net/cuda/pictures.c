/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pictures.h"

#include "kernels.h"

struct _DuPictures
{
  DuKernelPictures set;
  guint8 *pictures; /* set's, to free */
  DuBlur *blurs;
};

static gboolean
copy_set (DuContext *context, const DuPictures *pictures, const DuPictureSet *set, GError **error)
{
  const gsize size = (gsize) set->height * set->width * 3;

  for (guint i = 0; i < set->n; i++)
    if (!DU_CUDA (context,
            cudaMemcpyAsync (pictures->pictures + i * size, set->pictures[i], size, cudaMemcpyHostToDevice,
                context->stream),
            error))
      return FALSE;
  if (!DU_CUDA (context,
          cudaMemcpyAsync (pictures->blurs, set->blurs, set->n_blurs * sizeof *set->blurs, cudaMemcpyHostToDevice,
              context->stream),
          error))
    return FALSE;
  /* Some of them may be pinned, and read when the copies are done. */
  return DU_CUDA (context, cudaStreamSynchronize (context->stream), error);
}

DuPictures *
du_cuda_pictures_new (DuContext *context, const DuPictureSet *set, GError **error)
{
  DuPictures *pictures;
  int radius = 0;

  if (!du_cuda_enter (context, error))
    return NULL;
  for (guint i = 0; i < set->n_blurs; i++)
    radius = MAX (radius, set->blurs[i].radius);
  pictures = g_new0 (DuPictures, 1);
  pictures->pictures = du_cuda_allocate (context, set->n, (gsize) set->height * set->width * 3,
      "pictures to train on", error);
  if (pictures->pictures)
    pictures->blurs = du_cuda_allocate (context, set->n_blurs, sizeof *set->blurs, "blurs", error);
  pictures->set = (DuKernelPictures){ pictures->pictures, set->height, set->width, pictures->blurs, radius };
  if (!pictures->blurs || !copy_set (context, pictures, set, error)) {
    du_cuda_pictures_free (context, pictures);
    return NULL;
  }
  return pictures;
}

void
du_cuda_pictures_free (DuContext *context, DuPictures *pictures)
{
  if (!pictures)
    return;
  (void) du_cuda_synchronise (context, NULL);
  du_cuda_release (context, pictures->pictures);
  du_cuda_release (context, pictures->blurs);
  g_free (pictures);
}

gboolean
du_cuda_pictures_draw (DuContext *context, DuPictures *pictures, int n, int height, int width,
    const DuDraw *draws, DuBuffer *input, DuBuffer *target, GError **error)
{
  if (!du_cuda_enter (context, error)
      || !du_cuda_reserve (context, du_kernel_draw_scratch (&pictures->set, n, height, width), error))
    return FALSE;
  du_kernel_draw (context->stream, &pictures->set, n, height, width, draws, du_cuda_f32 (input),
      target ? du_cuda_f32 (target) : NULL, context->scratch);
  return DU_CUDA (context, cudaGetLastError (), error);
}

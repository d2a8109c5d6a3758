/* Pictures on the device, and batches of them: slots, as backend.h says.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_PICTURES_H
#define DU_CUDA_PICTURES_H

#include "context.h"

DuPictures *du_cuda_pictures_new (DuContext *context, const DuPictureSet *set, GError **error);
void du_cuda_pictures_free (DuContext *context, DuPictures *pictures);
gboolean du_cuda_pictures_draw (DuContext *context, DuPictures *pictures, int n, int height, int width,
    const DuDraw *draws, DuBuffer *input, DuBuffer *target, GError **error);

#endif

/* A deblurrer over any function in the network's place: the seam for tests, which put networks there whose
 * results are known.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_DEBLURRER_INTERNAL_H
#define DU_DEBLURRER_INTERNAL_H

#include "deblurunet.h"

/* As du_session_forward(). */
typedef gboolean (*DuForwardFunction) (gpointer data, int n, int height, int width, const float *input,
    float *output, GError **error);

/* As du_deblurrer_new(), with tiles of any size (the largest, with DU_TILES_BALANCED) whose sides are multiples
 * of DU_SIZE_MULTIPLE and at least twice the overlap. */
DuDeblurrer *du_deblurrer_new_with_forward (DuForwardFunction forward, gpointer data, const DuFrameInfo *info,
    const DuDeblurrerOptions *options, int tile_height, int tile_width, GError **error);
/* Bytes that the deblurrer has allocated: they depend on the tiles and on the frame's width alone. */
gsize du_deblurrer_memory (const DuDeblurrer *deblurrer);

#endif

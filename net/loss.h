/* du_loss() for callers inside the library: with a number of threads and an error.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_LOSS_H
#define DU_LOSS_H

#include "deblurunet.h"

/* gradient may be NULL. DU_ERROR_ARGUMENT for SSIM of a picture smaller than its window, DU_ERROR_MEMORY.
 * The result does not depend on threads. */
gboolean du_loss_compute (int threads, DuLoss loss, double epsilon, int n, int height, int width,
    int channels, const float *prediction, const float *target, float *gradient, double *value,
    GError **error);

#endif

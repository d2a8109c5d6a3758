/* All kernels in one: most of nvcc's time goes into the headers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copies.cu"
#include "frame.cu"
#include "loss.cu"
#include "pictures.cu"
#include "rows.cu"
#include "sums.cu"
#include "training.cu"
#include "update.cu"

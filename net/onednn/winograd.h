/* 3x3 convolutions by Winograd's minimal filtering, F(4x4, 3x3): a quarter of the multiplications. oneDNN has
 * it for AVX-512 alone, in float32, in layouts that are not ours, and from version 3 on not for x86 at all.
 *
 * A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. In float32 the error is
 * about twice that of the direct sum (see winograd.c for the points). Activations in bf16 are widened and
 * summed in float32, which is as exact as the direct sum.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_ONEDNN_WINOGRAD_H
#define DU_ONEDNN_WINOGRAD_H

#include "convolution.h"

typedef struct _DuWinograd DuWinograd;

/* Whether this processor and this shape (of kind DU_CONV_FORWARD or DU_CONV_DATA) are served: where it is
 * quicker than the library. */
gboolean du_winograd_serves (const DuConvShape *shape);
/* threads: of its parallel loops. DU_ERROR_MEMORY. */
DuWinograd *du_winograd_new (const DuConvShape *shape, int threads, GError **error);
void du_winograd_free (DuWinograd *winograd); /* NULL is allowed */
/* Bytes of working memory, aligned to 64, that run wants. */
gsize du_winograd_scratch_size (const DuWinograd *winograd);
/* As du_conv_pack() and du_conv_run(). */
void du_winograd_pack (DuWinograd *winograd, const void *weights);
void du_winograd_run (const DuWinograd *winograd, const DuConvArguments *arguments, void *scratch);

#endif

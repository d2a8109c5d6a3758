/* The gradient of a convolution's weights with AVX2 or AVX-512, for channels that fill their registers: in
 * NHWC oneDNN 2.6 gets two thirds of the processor's speed with AVX-512, a third with AVX2.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_ONEDNN_GRADIENT_H
#define DU_ONEDNN_GRADIENT_H

#include "convolution.h"

/* Whether this processor and this shape (of kind DU_CONV_WEIGHTS) are served. */
gboolean du_gradient_serves (const DuConvShape *shape);
/* Bytes of working memory, aligned to 64. */
gsize du_gradient_scratch_size (const DuConvShape *shape, int threads);
/* arguments as du_conv_run()'s. */
void du_gradient_run (const DuConvShape *shape, int threads, const DuConvArguments *arguments, void *scratch);

#endif

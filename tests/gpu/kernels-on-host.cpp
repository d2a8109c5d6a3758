/* net/cuda's kernels as functions of the CPU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-on-host.h"

#include "../../net/cuda/copies.cu"
#include "../../net/cuda/frame.cu"
#include "../../net/cuda/loss.cu"
#include "../../net/cuda/pictures.cu"
#include "../../net/cuda/rows.cu"
#include "../../net/cuda/sums.cu"
#include "../../net/cuda/training.cu"
#include "../../net/cuda/update.cu"

void (*du_host_defer) (cudaStream_t stream, void (*run) (void *data), void *data);

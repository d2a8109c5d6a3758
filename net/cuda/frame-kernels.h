/* Frames in the formats of a video <-> tiles, on the device: what frame.h and deblurrer.c do on the CPU, as
 * kernels. kernels.h says how such functions are called. Frames' planes are the device's memory here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_FRAME_KERNELS_H
#define DU_CUDA_FRAME_KERNELS_H

#include "frame.h"
#include "tiles.h"

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A frame's plan of tiles, which are numbered row by row; its arrays are the device's. */
typedef struct
{
  int height, width;                 /* of a tile */
  int columns;                       /* tiles in a row */
  const int *tops, *lefts;           /* first pixel of each row and of each column of tiles */
  const DuTileShare *lines, *pixels; /* of each line of the frame and of each pixel of a line */
} DuKernelTiles;

/* What differs from frame to frame of a kind. Kernels find it in the device's memory, so that launches that were
 * recorded serve all frames. */
typedef struct
{
  DuFrame in, out; /* without overlap */
  float strength;
} DuKernelFrame;

/* What the network sees of tiles [first, first + n): pictures [n, height, width, 3]. */
void du_kernel_gather (cudaStream_t stream, const DuFrameKind *kind, const DuKernelFrame *frame,
    const DuKernelTiles *tiles, int first, int n, float *pictures);

/* Blends what the network made of the tiles, adds it times strength to the lines [from, to) of in, and writes
 * all their samples to out. from and to are even, or to is the frame's height.
 * results: tile t is the t % ring th; those that reach into the lines must be there, and those of the line
 * above from. */
void du_kernel_scatter (cudaStream_t stream, const DuFrameKind *kind, const DuKernelFrame *frame,
    const DuKernelTiles *tiles, const float *results, int ring, int from, int to);

#ifdef __cplusplus
}
#endif

#endif

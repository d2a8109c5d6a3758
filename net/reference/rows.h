/* The reference back end's rows. Conv, up-conv and head are one thing here: a matrix product over patches,
 * where an up-conv's matrix has four times the output's channels, one set for each pixel of a 2x2 window.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_REFERENCE_ROWS_H
#define DU_REFERENCE_ROWS_H

#include "../cpu.h"

enum
{
  DU_PATCHES = 8, /* pixels, or channels of a weight gradient, that are computed together */
};

/* Weights [taps][inputs][outputs]. taps: 9 for 3x3, else 1. */
typedef struct
{
  int taps, inputs, outputs;
  double *weights;
} DuRowMatrix;

struct _DuOp
{
  DuOpShape shape;
  int threads;
  DuRowOffsets at;          /* where load found the parameters */
  DuRowMatrix forward;         /* weights NULL for a pool */
  DuRowMatrix backward;        /* from gradients of the output to those of the sources; training */
  double *bias;             /* [forward.outputs] */
  double *scale, *shift;    /* [channels_out], with BN: gamma and beta; in inference mean and variance too */
  double *mean, *deviation; /* [channels_out], training with BN: of the batch, deviation with its epsilon */
  float *rectified;         /* training with BN: post-ReLU values, as the output */
  float *windows;           /* training of an up-conv: the output's gradient as [input pixels][2][2][out] */
  double *scratch;          /* scratch_size doubles a thread */
  gsize scratch_size;
};

/* Position of a matrix's weight in the row's PyTorch tensor. */
gsize du_reference_weight_index (const DuOp *op, int tap, int input, int output);
void du_reference_forward (DuOp *op, const DuForward *args);
void du_reference_backward (DuOp *op, const DuBackward *args);

#endif

/* THE network: one table of rows. Everything else (shapes, tensor names, counts, the walks of inference
 * and training) is derived from it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_UNET_H
#define DU_UNET_H

#include "deblurunet.h"

typedef enum
{
  DU_ROW_CONV, /* 3x3, stride 1, zero padding 1, + bias, ReLU, optional BN; one or two sources */
  DU_ROW_POOL, /* 2x2 maximum, stride 2 */
  DU_ROW_UP,   /* transposed 2x2, stride 2, + bias: no two windows overlap */
  DU_ROW_HEAD, /* 1x1 + bias, then sigmoid or + picture */
} DuRowKind;

enum
{
  DU_PICTURE = -1, /* as a source: the network's input, 3 channels */
  DU_NO_SOURCE = -2,
  DU_PICTURE_CHANNELS = 3,
  DU_N_ROWS = 27,
};

#define DU_BN_EPSILON 1e-3 /* Keras's */

typedef struct
{
  const char *name;
  DuRowKind kind;
  DuBlock block;
  int level;  /* of the output */
  int source; /* row index or DU_PICTURE */
  int skip;   /* second source, behind the first in the channel order; row index, DU_PICTURE (the residual
               * of the head) or DU_NO_SOURCE */
  gboolean closes_block; /* BN may stand here, as the configuration says */
} DuRow;

extern const DuRow du_rows[DU_N_ROWS];

/* Channels of a source: a row index or DU_PICTURE. */
int du_row_channels (const DuConfig *config, int row);
gboolean du_row_has_bn (const DuConfig *config, int row);

/* Where a row's parameters stand in the flat block, in floats; DU_NO_OFFSET for those it has not.
 * weight: conv [out, in, 3, 3], up [in, out, 2, 2], head [out, in, 1, 1]; all else: [out]. */
#define DU_NO_OFFSET G_MAXSIZE
typedef struct
{
  gsize weight, bias;
  gsize bn_scale, bn_shift;   /* gamma and beta */
  gsize bn_mean, bn_variance; /* running statistics, not trainable */
} DuRowOffsets;

void du_row_offsets (const DuConfig *config, int row, DuRowOffsets *offsets);

/* All DuTensorInfo in the order of the block, in one pass; g_array_unref. */
GArray *du_config_tensors (const DuConfig *config);

const char *du_block_name (DuBlock block);

#endif

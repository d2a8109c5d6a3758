/* Which rectangles of a frame the network sees, and how their results are blended: pure arithmetic.
 *
 * Both directions are planned alone: rows of tiles times columns of tiles.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TILES_H
#define DU_TILES_H

#include "unet.h"

/* Tiles along one direction. They begin at multiples of DU_SIZE_MULTIPLE, so that the network's levels see
 * the same grid in every tile as they would in the whole frame: two tiles that share pixels then differ by
 * what they cannot see only. So the last tile may end up to DU_SIZE_MULTIPLE - 1 pixels past the frame, and
 * a tile is larger than a small frame; what is outside is the frame reflected (du_pixel_reflect). */
typedef struct
{
  int length; /* of the frame, pixels */
  int tile;   /* of a tile, pixels */
  int count;  /* of tiles */
} DuTileAxis;

typedef struct
{
  DuTileAxis vertical, horizontal;
} DuTilePlan;

/* The fewest tiles that share at least overlap pixels with their neighbours, evenly spread; with
 * DU_TILES_BALANCED as small as so many can be. The sizes of the tile, with DU_TILES_BALANCED the largest
 * there may be, are multiples of DU_SIZE_MULTIPLE, and overlap is at most half of the smaller one. */
void du_tile_plan_init (DuTilePlan *plan, DuTileMode mode, int height, int width, int tile_height,
    int tile_width, int overlap);
void du_tile_axis_init (DuTileAxis *axis, DuTileMode mode, int length, int tile, int overlap);

/* First pixel of a tile. */
int du_tile_axis_position (const DuTileAxis *axis, int index);

/* Share of a tile in its pixels: axis->tile weights in [0,1]. Over the tiles they sum to one in every pixel
 * of the frame. Only [from, to) is not zero: the weights rise in the middle of the pixels shared with a
 * neighbour, over 32 pixels, an eighth of the tile or half of the shared ones, whichever is least. */
void du_tile_axis_weights (const DuTileAxis *axis, int index, float *weights, int *from, int *to);

/* The same seen from a pixel of the frame: it takes of two tiles, and of the second one nothing where its
 * weight is 0. */
typedef struct
{
  int tile;        /* the first of them; the other is the next */
  int at[2];       /* where the pixel is in each */
  float weight[2]; /* of each, above 0 for the first, summing to one */
} DuTileShare;

/* shares: axis->length of them. */
void du_tile_axis_shares (const DuTileAxis *axis, DuTileShare *shares);

#endif

/* Tile positions and blend weights.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tiles.h"

#include <string.h>

enum
{
  GRID = DU_SIZE_MULTIPLE,
  RAMP_MAX = 32, /* pixels: what a tile does not know shows near its edge, which a long ramp comes close to */
};

static int
round_up (int value)
{
  return (value + GRID - 1) / GRID * GRID;
}

void
du_tile_axis_init (DuTileAxis *axis, DuTileMode mode, int length, int tile, int overlap)
{
  int covered = round_up (length), shared = round_up (overlap), step = tile - shared;
  int count = 1 + (MAX (covered - tile, 0) + step - 1) / step;

  /* More tiles, smaller ones, could save a few pixels yet: what each costs beside its pixels, and what it sees
   * of its surroundings, speak against them. */
  if (mode == DU_TILES_BALANCED)
    tile = round_up ((covered + (count - 1) * shared + count - 1) / count);
  *axis = (DuTileAxis){ length, tile, count };
}

void
du_tile_plan_init (DuTilePlan *plan, DuTileMode mode, int height, int width, int tile_height, int tile_width,
    int overlap)
{
  du_tile_axis_init (&plan->vertical, mode, height, tile_height, overlap);
  du_tile_axis_init (&plan->horizontal, mode, width, tile_width, overlap);
}

int
du_tile_axis_position (const DuTileAxis *axis, int index)
{
  int steps = (round_up (axis->length) - axis->tile) / GRID;

  return axis->count == 1 ? 0 : (int) ((gint64) steps * index / (axis->count - 1)) * GRID;
}

/* The share that passes from tile index to tile index + 1 rises over [*from, *from + *length), in frame
 * pixels, in the middle of what they share. Such ranges never meet. */
static void
ramp (const DuTileAxis *axis, int index, int *from, int *length)
{
  int start = du_tile_axis_position (axis, index + 1);
  int end = du_tile_axis_position (axis, index) + axis->tile;

  *length = MIN ((end - start) / 2, MIN (axis->tile / 8, RAMP_MAX));
  *from = (start + end - *length) / 2;
}

static float
rise (int position, int from, int length)
{
  if (position < from)
    return 0;
  return position >= from + length ? 1 : (position - from + 0.5f) / length;
}

void
du_tile_axis_weights (const DuTileAxis *axis, int index, float *weights, int *from, int *to)
{
  int position = du_tile_axis_position (axis, index), start, length;

  *from = 0;
  *to = axis->tile;
  for (int i = 0; i < axis->tile; i++)
    weights[i] = 1;
  if (index > 0) {
    ramp (axis, index - 1, &start, &length);
    *from = start - position;
    for (int i = 0; i < axis->tile; i++)
      weights[i] = rise (position + i, start, length);
  }
  if (index + 1 < axis->count) {
    ramp (axis, index, &start, &length);
    *to = start + length - position;
    for (int i = start - position; i < axis->tile; i++)
      weights[i] = 1 - rise (position + i, start, length);
  }
}

void
du_tile_axis_shares (const DuTileAxis *axis, DuTileShare *shares)
{
  g_autofree float *weights = g_new (float, axis->tile);

  memset (shares, 0, axis->length * sizeof *shares);
  for (int tile = 0; tile < axis->count; tile++) {
    int position = du_tile_axis_position (axis, tile), from, to;

    du_tile_axis_weights (axis, tile, weights, &from, &to);
    for (int i = from; i < MIN (to, axis->length - position); i++) {
      DuTileShare *share = &shares[position + i];
      int second = share->weight[0] > 0;

      if (!second)
        share->tile = tile;
      share->at[second] = i;
      share->weight[second] = weights[i];
    }
  }
}

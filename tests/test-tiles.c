/* Tile plans: coverage, weights, overlap, and that no plan with fewer tiles would do.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pixel.h"
#include "tiles.h"

#include <string.h>

/* The least number of tiles that covers the frame on the grid: each next one as far on as it may. */
static int
fewest (int length, int tile, int overlap)
{
  int count = 1, position = 0;

  while (position + tile < length) {
    int next = position + DU_SIZE_MULTIPLE;

    while (position + tile - (next + DU_SIZE_MULTIPLE) >= overlap)
      next += DU_SIZE_MULTIPLE;
    position = next;
    count++;
  }
  return count;
}

static void
check_axis_of (DuTileMode mode, int length, int largest, int overlap)
{
  g_autofree double *sum = g_new0 (double, length);
  g_autofree float *weights = g_new (float, largest);
  g_autofree DuTileShare *shares = g_new (DuTileShare, length);
  g_autofree char *what = g_strdup_printf ("%s, length %d tile %d overlap %d",
      mode == DU_TILES_FIXED ? "fixed" : "balanced", length, largest, overlap);
  DuTileAxis axis;
  int least = G_MAXINT, most = 0, tile;

  du_tile_axis_init (&axis, mode, length, largest, overlap);
  tile = axis.tile;
  if (axis.count != fewest (length, largest, overlap))
    g_error ("%s: %d tiles instead of %d", what, axis.count, fewest (length, largest, overlap));
  if (mode == DU_TILES_FIXED ? tile != largest : tile > largest || tile < 1 || tile % DU_SIZE_MULTIPLE)
    g_error ("%s: tiles of %d", what, tile);
  if (mode == DU_TILES_BALANCED && tile - DU_SIZE_MULTIPLE >= overlap + DU_SIZE_MULTIPLE
      && fewest (length, tile - DU_SIZE_MULTIPLE, overlap) <= axis.count)
    g_error ("%s: tiles of %d would do", what, tile - DU_SIZE_MULTIPLE);
  du_tile_axis_shares (&axis, shares);
  for (int i = 0; i < axis.count; i++) {
    int position = du_tile_axis_position (&axis, i), end = position + tile, from, to;
    gboolean first = i == 0, last = i + 1 == axis.count;

    if (position % DU_SIZE_MULTIPLE || (first && position != 0))
      g_error ("%s: tile %d at %d", what, i, position);
    if (last ? end < length || (axis.count > 1 && end - length >= DU_SIZE_MULTIPLE) : end > length)
      g_error ("%s: tile %d ends at %d", what, i, end);
    if (!first) {
      int step = position - du_tile_axis_position (&axis, i - 1);

      least = MIN (least, step);
      most = MAX (most, step);
      if (tile - step < overlap)
        g_error ("%s: tiles %d and %d share %d", what, i - 1, i, tile - step);
    }
    memset (weights, 0x7f, tile * sizeof *weights);
    du_tile_axis_weights (&axis, i, weights, &from, &to);
    for (int x = 0; x < tile; x++) {
      int edge = MIN (first ? G_MAXINT : x, last ? G_MAXINT : tile - 1 - x);

      if (!(weights[x] >= 0 && weights[x] <= 1) || (x >= from && x < to) != (weights[x] > 0))
        g_error ("%s: tile %d weighs %g at %d, not zero from %d to %d", what, i, weights[x], x, from, to);
      /* Neighbours that share pixels share at least 16, and 32 of them weigh something, or half. */
      if (overlap > 0 && edge < MAX (4, MAX (overlap / 4, overlap / 2 - 16)) && weights[x] != 0)
        g_error ("%s: tile %d weighs %g at %d, %d from its edge", what, i, weights[x], x, edge);
      if (position + x < length) {
        const DuTileShare *share = &shares[position + x];
        int which = i - share->tile;

        sum[position + x] += weights[x];
        if (weights[x] > 0
                ? which < 0 || which > 1 || share->weight[which] != weights[x] || share->at[which] != x
                : which >= 0 && which < 2 && share->weight[which] != 0)
          g_error ("%s: tile %d weighs %g at %d, not so in the pixel's share", what, i, weights[x], x);
      }
    }
  }
  for (int x = 0; x < length; x++)
    if (ABS (sum[x] - 1) > 1e-6)
      g_error ("%s: weights at %d sum to %.9g", what, x, sum[x]);
  if (axis.count > 1 && most - least > DU_SIZE_MULTIPLE)
    g_error ("%s: steps from %d to %d", what, least, most);
}

static void
check_axis (int length, int tile, int overlap)
{
  int beyond = length % DU_SIZE_MULTIPLE;

  check_axis_of (DU_TILES_FIXED, length, tile, overlap);
  /* The lengths between give the same tiles. */
  if (beyond <= 1 || beyond == DU_SIZE_MULTIPLE - 1)
    check_axis_of (DU_TILES_BALANCED, length, tile, overlap);
}

static void
test_axis (void)
{
  static const int overlaps[] = { 0, 1, 16, 17, 32, 47, 64, 100, 128 };
  static const int large[] = { 1920, 3840, 4096, 7680, 16384, 32767 };

  for (guint o = 0; o < G_N_ELEMENTS (overlaps); o++) {
    for (int length = 1; length <= 1300; length++) {
      check_axis (length, DU_TILE_HEIGHT, overlaps[o]);
      check_axis (length, DU_TILE_WIDTH, overlaps[o]);
    }
    for (guint i = 0; i < G_N_ELEMENTS (large); i++) {
      check_axis (large[i], DU_TILE_HEIGHT, overlaps[o]);
      check_axis (large[i], DU_TILE_WIDTH, overlaps[o]);
    }
  }
  /* Other sizes of tiles. */
  for (int tile = 16; tile <= 448; tile += 16)
    for (int overlap = 0; overlap <= tile / 2 && (overlap + 15) / 16 * 16 < tile; overlap += 5)
      for (int length = 1; length <= 4 * tile + 40; length += 7)
        check_axis (length, tile, overlap);
}

/* Plans counted by hand. */
static void
test_plan (void)
{
  static const struct
  {
    DuTileMode mode;
    int overlap, width, height, columns, rows, tile_width, tile_height;
  } cases[] = {
    { DU_TILES_FIXED, 32, 1920, 1080, 5, 5, 448, 256 },
    { DU_TILES_FIXED, 32, 449, 256, 2, 1, 448, 256 },
    { DU_TILES_FIXED, 128, 37, 21, 1, 1, 448, 256 },
    { DU_TILES_BALANCED, 128, 37, 21, 1, 1, 48, 32 },
    { DU_TILES_BALANCED, 128, 1, 1, 1, 1, 16, 16 },
    { DU_TILES_BALANCED, 128, 448, 256, 1, 1, 448, 256 },
    { DU_TILES_BALANCED, 128, 449, 257, 2, 2, 304, 208 }, /* 464 + 128 in two, 272 + 128 in two */
    { DU_TILES_BALANCED, 128, 640, 360, 2, 2, 384, 256 },
    { DU_TILES_BALANCED, 64, 1280, 720, 4, 4, 368, 240 },
    { DU_TILES_BALANCED, 32, 1920, 1080, 5, 5, 416, 256 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    DuTilePlan plan;

    du_tile_plan_init (&plan, cases[i].mode, cases[i].height, cases[i].width, DU_TILE_HEIGHT, DU_TILE_WIDTH,
        cases[i].overlap);
    g_assert_cmpint (plan.vertical.count, ==, cases[i].rows);
    g_assert_cmpint (plan.horizontal.count, ==, cases[i].columns);
    g_assert_cmpint (plan.vertical.tile, ==, cases[i].tile_height);
    g_assert_cmpint (plan.horizontal.tile, ==, cases[i].tile_width);
  }
}

/* Reflection, by walking to and fro. */
static void
test_reflect (void)
{
  for (int length = 1; length <= 20; length++) {
    int at = 0, step = length > 1;

    for (int position = 0; position < 500; position++) {
      g_assert_cmpint (du_pixel_reflect (position, length), ==, at);
      g_assert_cmpint (du_pixel_reflect (-position, length), ==, at);
      if (at + step < 0 || at + step >= length)
        step = -step;
      at += step;
    }
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tiles/axis", test_axis);
  g_test_add_func ("/tiles/plan", test_plan);
  g_test_add_func ("/tiles/reflect", test_reflect);
  return g_test_run ();
}

/* Frames to tiles and back by the GPU's kernels, against the CPU's deblurrer. Built twice, like
 * test-kernels.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-memory.h"

#include "../frames.h"
#include "cuda/frame-kernels.h"
#include "deblurrer-internal.h"

#include <math.h>
#include <string.h>

enum
{
  TILE_HEIGHT = 32,
  TILE_WIDTH = 48,
  TILE_FLOATS = TILE_HEIGHT * TILE_WIDTH * 3,
  OVERLAP = 16,
};

/* Something in the network's place that differs from tile to tile, leaves the range, and is no number here
 * and there. data: how many tiles there have been. */
static gboolean
network (gpointer data, int n, int height, int width, const float *input, float *output, GError **error)
{
  int *tiles = data;

  (void) error;
  for (int tile = 0; tile < n; tile++, ++*tiles)
    for (int i = 0; i < height * width * 3; i++) {
      gsize at = (gsize) tile * height * width * 3 + i;
      int kind = (i * 7 + *tiles * 13) % 101;

      output[at] = kind == 0   ? NAN
                   : kind == 1 ? INFINITY
                   : kind == 2 ? -5
                               : 1.5f * input[at] - 0.3f + (kind - 50) / 400.f;
    }
  return TRUE;
}

/* A frame with its planes on the device. */
typedef struct
{
  TestFrame *host;
  guint8 *memory[4];
  DuFrame frame;
} DeviceFrame;

static void
device_frame_init (DeviceFrame *device, TestFrame *host)
{
  *device = (DeviceFrame){ .host = host };
  for (int plane = 0; plane < host->planes; plane++) {
    device->memory[plane] = device_new (host->size[plane]);
    device_write (device->memory[plane], host->memory[plane], host->size[plane]);
    device->frame.data[plane] = device->memory[plane] + (host->frame.data[plane] - host->memory[plane]);
    device->frame.stride[plane] = host->frame.stride[plane];
  }
}

static void
device_frame_clear (DeviceFrame *device)
{
  for (int plane = 0; plane < device->host->planes; plane++) {
    device_read (device->host->memory[plane], device->memory[plane], device->host->size[plane]);
    device_free (device->memory[plane]);
  }
}

static void *
to_device (const void *from, gsize size)
{
  void *memory = device_new (size);

  device_write (memory, from, size);
  return memory;
}

typedef struct
{
  DuKernelTiles tiles;
  DuTilePlan plan;
  int n;
} Plan;

static void
plan_init (Plan *plan, const DuFrameInfo *info)
{
  int tops[64], lefts[64];
  DuTileShare lines[128], pixels[128];

  du_tile_plan_init (
      &plan->plan, DU_TILES_FIXED, info->height, info->width, TILE_HEIGHT, TILE_WIDTH, OVERLAP);
  for (int i = 0; i < plan->plan.vertical.count; i++)
    tops[i] = du_tile_axis_position (&plan->plan.vertical, i);
  for (int i = 0; i < plan->plan.horizontal.count; i++)
    lefts[i] = du_tile_axis_position (&plan->plan.horizontal, i);
  du_tile_axis_shares (&plan->plan.vertical, lines);
  du_tile_axis_shares (&plan->plan.horizontal, pixels);
  plan->n = plan->plan.vertical.count * plan->plan.horizontal.count;
  plan->tiles = (DuKernelTiles){ TILE_HEIGHT, TILE_WIDTH, plan->plan.horizontal.count,
    to_device (tops, plan->plan.vertical.count * sizeof *tops),
    to_device (lefts, plan->plan.horizontal.count * sizeof *lefts),
    to_device (lines, info->height * sizeof *lines), to_device (pixels, info->width * sizeof *pixels) };
}

static void
plan_clear (Plan *plan)
{
  device_free ((void *) plan->tiles.tops);
  device_free ((void *) plan->tiles.lefts);
  device_free ((void *) plan->tiles.lines);
  device_free ((void *) plan->tiles.pixels);
}

/* The CPU's tiles, all of them; the kernel's are compared. */
static float *
check_gather (const Plan *plan, const DuFrameKind *kind, const TestFrame *frame,
    const DuKernelFrame *on_device, const char *what)
{
  float *pictures = g_new (float, (gsize) plan->n *TILE_FLOATS),
        *got = g_new (float, (gsize) plan->n *TILE_FLOATS);
  float *memory = device_new ((gsize) plan->n * TILE_FLOATS * sizeof *memory);
  int half = plan->n / 2;

  for (int tile = 0; tile < plan->n; tile++)
    du_frame_gather (kind, &frame->frame,
        du_tile_axis_position (&plan->plan.vertical, tile / plan->tiles.columns),
        du_tile_axis_position (&plan->plan.horizontal, tile % plan->tiles.columns), TILE_HEIGHT, TILE_WIDTH,
        pictures + (gsize) tile * TILE_FLOATS);
  if (half)
    du_kernel_gather (NULL, kind, on_device, &plan->tiles, 0, half, memory);
  du_kernel_gather (
      NULL, kind, on_device, &plan->tiles, half, plan->n - half, memory + (gsize) half * TILE_FLOATS);
  device_read (got, memory, (gsize) plan->n * TILE_FLOATS * sizeof *memory);
  for (gsize i = 0; i < (gsize) plan->n * TILE_FLOATS; i++)
    if (!(fabsf (got[i] - pictures[i]) <= 1e-6f))
      g_error ("%s: value %" G_GSIZE_FORMAT " of tile %" G_GSIZE_FORMAT " is %g, should be %g", what,
          i % TILE_FLOATS, i / TILE_FLOATS, got[i], pictures[i]);
  device_free (memory);
  g_free (got);
  return pictures;
}

/* Row by row of tiles, as the deblurrer goes, with three rows of results in memory; or the frame at once. */
static void
scatter (const Plan *plan, const DuFrameKind *kind, const DuKernelFrame *frame, const float *results,
    gboolean at_once)
{
  const DuTileAxis *vertical = &plan->plan.vertical;
  int columns = plan->tiles.columns, ring = at_once ? plan->n : 3 * columns, done = 0;
  float *memory = device_new ((gsize) ring * TILE_FLOATS * sizeof *memory);

  for (int row = 0; row < vertical->count; row++) {
    int end = row + 1 == vertical->count ? vertical->length : du_tile_axis_position (vertical, row + 1);

    for (int tile = row * columns; tile < (row + 1) * columns; tile++)
      device_write (memory + (gsize) (tile % ring) * TILE_FLOATS, results + (gsize) tile * TILE_FLOATS,
          TILE_FLOATS * sizeof *memory);
    if (at_once && row + 1 < vertical->count)
      continue;
    du_kernel_scatter (NULL, kind, frame, &plan->tiles, memory, ring, done, end);
    done = end;
  }
  device_free (memory);
}

/* Rounding may fall to the other side of a half, seldom. */
static void
check_close (const TestFrame *expected, const TestFrame *got, const char *what)
{
  /* 16 bits have 256 times as many halves to fall from. */
  test_frame_check_close (expected, got, 1, test_depth (&got->info) == 16 ? 5 : 200, what);
}

static void
check_frame (const DuFrameInfo *info, int padding, gboolean flip, float strength)
{
  g_autofree char *what = test_info_to_string (info);
  const DuDeblurrerOptions options = { .overlap = OVERLAP };
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  g_autofree float *pictures = NULL, *results = NULL;
  GRand *random = g_rand_new_with_seed (info->format * 100 + info->width);
  int calls = 0;
  TestFrame in, out, expected;
  DeviceFrame device_in, device_out;
  DuKernelFrame frame = { .strength = strength }, *on_device;
  DuFrameKind kind;
  Plan plan;

  test_frame_init (&in, info, padding, flip);
  test_frame_init (&expected, info, 0, FALSE);
  test_frame_randomise (&in, random);
  g_assert_true (du_frame_kind_init (&kind, info, NULL));
  plan_init (&plan, info);
  deblurrer = du_deblurrer_new_with_forward (network, &calls, info, &options, TILE_HEIGHT, TILE_WIDTH, NULL);
  g_assert_true (du_deblurrer_process (deblurrer, &in.frame, &expected.frame, strength, NULL));

  device_frame_init (&device_in, &in);
  frame.in = device_in.frame;
  on_device = to_device (&frame, sizeof frame);
  pictures = check_gather (&plan, &kind, &in, on_device, what);
  results = g_new (float, (gsize) plan.n *TILE_FLOATS);
  calls = 0;
  network (&calls, plan.n, TILE_HEIGHT, TILE_WIDTH, pictures, results, NULL);
  for (int at_once = 0; at_once < 2; at_once++) {
    test_frame_init (&out, info, padding, !flip);
    device_frame_init (&device_out, &out);
    frame.out = device_out.frame;
    device_write (on_device, &frame, sizeof frame);
    scatter (&plan, &kind, on_device, results, at_once);
    device_frame_clear (&device_out);
    if (strength > 0)
      check_close (&expected, &out, what);
    else
      test_frame_check_equal (&in, &out, what);
    test_frame_clear (&out);
  }
  device_free (on_device);
  device_frame_clear (&device_in);
  plan_clear (&plan);
  test_frame_clear (&in);
  test_frame_clear (&expected);
  g_rand_free (random);
}

static void
test_formats (void)
{
  static const int sizes[][2] = { { 1, 1 }, { 3, 2 }, { 49, 33 }, { 101, 84 } };

  for (DuFormat format = 0; format < DU_N_FORMATS; format++)
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
      const DuFrameInfo info = { format, sizes[i][0], sizes[i][1], (format + i) % 5, i % 2, (format + i) % 2,
        (format / 2 + i) % 2 };

      check_frame (&info, i % 2 ? 5 : 0, i % 2, i == 1 ? 0 : 0.8f);
    }
}

/* Both sitings of chroma in both directions. */
static void
test_siting (void)
{
  static const DuFormat formats[] = { DU_FORMAT_NV12, DU_FORMAT_YUY2, DU_FORMAT_I420_10LE };

  for (guint f = 0; f < G_N_ELEMENTS (formats); f++)
    for (int way = 0; way < 4; way++)
      check_frame (
          &(DuFrameInfo){ formats[f], 53, 35, DU_MATRIX_BT709, FALSE, way & 1, way >> 1 }, 1, FALSE, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!device_name ()) {
    g_print ("1..0 # SKIP there is no CUDA device here\n");
    return 0;
  }
  g_test_add_func ("/frame-kernels/formats", test_formats);
  g_test_add_func ("/frame-kernels/siting", test_siting);
  return g_test_run ();
}

/* A frame of the host crosses the bus as it stands in memory, once each way; tiles never do. A frame that is on the
 * device already is copied there, so that the kernels find frames of one kind always at one place.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frames.h"

#include "context.h"
#include "frame-kernels.h"

enum
{
  /* Rows of tiles whose results are kept: a line takes of two, and the line above it, which chroma reads, may
   * take of the one before. */
  KEPT_ROWS = 3,
};

struct _DuFrames
{
  DuFrameKind kind;
  DuTilePlan plan;
  DuKernelTiles tiles;
  gsize tile_floats;
  int ring;        /* tiles whose results are kept */
  char *memory;    /* all of the device's that the next ones point into */
  DuFrame in, out; /* dense but for aligned lines */
  float *results;  /* [ring, tile height, tile width, 3] */
  float strength;  /* of the frame at hand */
  int lines;       /* of it that are done */
};

/* Reserves bytes of one block; returns where. */
static gsize
place (gsize *end, gsize size)
{
  gsize at = *end;

  *end = at + du_cuda_aligned (size);
  return at;
}

/* The plan's tables, laid out as on the device, where they begin at tiles.tops; g_free. */
static char *
make_tables (const DuTilePlan *plan, const gsize *at, gsize size)
{
  const DuTileAxis *vertical = &plan->vertical, *horizontal = &plan->horizontal;
  char *tables = g_malloc0 (size);

  for (int i = 0; i < vertical->count; i++)
    ((int *) (tables + at[0]))[i] = du_tile_axis_position (vertical, i);
  for (int i = 0; i < horizontal->count; i++)
    ((int *) (tables + at[1]))[i] = du_tile_axis_position (horizontal, i);
  du_tile_axis_shares (vertical, (DuTileShare *) (tables + at[2]));
  du_tile_axis_shares (horizontal, (DuTileShare *) (tables + at[3]));
  return tables;
}

DuFrames *
du_cuda_frames_new (DuContext *context, const DuFrameKind *kind, const DuTilePlan *plan, GError **error)
{
  const DuTileAxis *vertical = &plan->vertical, *horizontal = &plan->horizontal;
  DuFrames *frames = g_new0 (DuFrames, 1);
  gsize size = 0, tables_at[4], tables_size, results_at, planes_at[2][4];
  g_autofree char *tables = NULL;

  frames->kind = *kind;
  frames->plan = *plan;
  frames->tile_floats = (gsize) vertical->tile * horizontal->tile * DU_PICTURE_CHANNELS;
  frames->ring = MIN (KEPT_ROWS, vertical->count) * horizontal->count;
  tables_at[0] = place (&size, vertical->count * sizeof (int));
  tables_at[1] = place (&size, horizontal->count * sizeof (int));
  tables_at[2] = place (&size, vertical->length * sizeof (DuTileShare));
  tables_at[3] = place (&size, horizontal->length * sizeof (DuTileShare));
  tables_size = size;
  results_at = place (&size, frames->ring * frames->tile_floats * sizeof (float));
  for (int out = 0; out < 2; out++)
    for (int plane = 0; plane < kind->layout->planes; plane++)
      planes_at[out][plane] = place (&size, du_cuda_aligned (kind->line_bytes[plane]) * kind->lines[plane]);

  if (!du_cuda_enter (context, error)
      || !(frames->memory = du_cuda_allocate (context, size, 1, "a frame", error)))
    goto failed;
  for (int plane = 0; plane < kind->layout->planes; plane++) {
    frames->in.data[plane] = (guint8 *) frames->memory + planes_at[0][plane];
    frames->out.data[plane] = (guint8 *) frames->memory + planes_at[1][plane];
    frames->in.stride[plane] = frames->out.stride[plane] = du_cuda_aligned (kind->line_bytes[plane]);
  }
  frames->in.memory = frames->out.memory = DU_MEMORY_CUDA;
  frames->results = (float *) (frames->memory + results_at);
  frames->tiles = (DuKernelTiles){ vertical->tile, horizontal->tile, horizontal->count,
    (const int *) (frames->memory + tables_at[0]), (const int *) (frames->memory + tables_at[1]),
    (const DuTileShare *) (frames->memory + tables_at[2]),
    (const DuTileShare *) (frames->memory + tables_at[3]) };
  tables = make_tables (plan, tables_at, tables_size);
  if (DU_CUDA (context,
          cudaMemcpyAsync (frames->memory, tables, tables_size, cudaMemcpyHostToDevice, context->stream),
          error)
      && DU_CUDA (context, cudaStreamSynchronize (context->stream), error))
    return frames;

failed:
  du_cuda_frames_free (context, frames);
  return NULL;
}

void
du_cuda_frames_free (DuContext *context, DuFrames *frames)
{
  if (!frames)
    return;
  du_cuda_release (context, frames->memory);
  g_free (frames);
}

/* The visible bytes of all planes. One of the two is on the device. */
static gboolean
copy_planes (
    DuContext *context, const DuFrameKind *kind, const DuFrame *from, const DuFrame *to, GError **error)
{
  const enum cudaMemcpyKind way = from->memory == DU_MEMORY_HOST ? cudaMemcpyHostToDevice
                                  : to->memory == DU_MEMORY_HOST ? cudaMemcpyDeviceToHost
                                                                 : cudaMemcpyDeviceToDevice;

  for (int plane = 0; plane < kind->layout->planes; plane++) {
    const int lines = kind->lines[plane], bytes = kind->line_bytes[plane];

    /* A line alone may have any stride; where lines run upwards, each goes alone. */
    if (lines == 1 || (from->stride[plane] >= bytes && to->stride[plane] >= bytes)) {
      if (!DU_CUDA (context,
              cudaMemcpy2DAsync (to->data[plane], lines > 1 ? to->stride[plane] : bytes, from->data[plane],
                  lines > 1 ? from->stride[plane] : bytes, bytes, lines, way, context->stream),
              error))
        return FALSE;
      continue;
    }
    for (int line = 0; line < lines; line++)
      if (!DU_CUDA (context,
              cudaMemcpyAsync (to->data[plane] + (gssize) line * to->stride[plane],
                  from->data[plane] + (gssize) line * from->stride[plane], bytes, way, context->stream),
              error))
        return FALSE;
  }
  return TRUE;
}

gboolean
du_cuda_frames_begin (DuContext *context, DuFrames *frames, const DuFrame *in, float strength, GError **error)
{
  frames->strength = strength;
  frames->lines = 0;
  return du_cuda_enter (context, error)
         && copy_planes (context, &frames->kind, in, &frames->in, error);
}

gboolean
du_cuda_frames_gather (
    DuContext *context, DuFrames *frames, int first, int n, DuBuffer *picture, GError **error)
{
  if (!du_cuda_enter (context, error))
    return FALSE;
  du_kernel_gather (
      context->stream, &frames->kind, &frames->in, &frames->tiles, first, n, du_cuda_f32 (picture));
  return DU_CUDA (context, cudaGetLastError (), error);
}

gboolean
du_cuda_frames_blend (
    DuContext *context, DuFrames *frames, int first, int n, const DuBuffer *prediction, GError **error)
{
  const DuTileAxis *vertical = &frames->plan.vertical;
  const int columns = frames->tiles.columns;

  if (!du_cuda_enter (context, error))
    return FALSE;
  for (int tile = first; tile < first + n; tile++) {
    const int row = tile / columns;

    if (!DU_CUDA (context,
            cudaMemcpyAsync (frames->results + tile % frames->ring * frames->tile_floats,
                du_cuda_f32 (prediction) + (tile - first) * frames->tile_floats,
                frames->tile_floats * sizeof (float), cudaMemcpyDeviceToDevice, context->stream),
            error))
      return FALSE;
    /* The last tile of a row finishes the lines that the next one does not reach. */
    if (tile % columns == columns - 1) {
      const int end
          = row + 1 == vertical->count ? vertical->length : du_tile_axis_position (vertical, row + 1);

      du_kernel_scatter (context->stream, &frames->kind, &frames->in, &frames->out, &frames->tiles,
          frames->results, frames->ring, frames->lines, end, frames->strength);
      frames->lines = end;
      if (!DU_CUDA (context, cudaGetLastError (), error))
        return FALSE;
    }
  }
  return TRUE;
}

gboolean
du_cuda_frames_end (DuContext *context, DuFrames *frames, const DuFrame *out, GError **error)
{
  return du_cuda_enter (context, error)
         && copy_planes (context, &frames->kind, &frames->out, out, error)
         && DU_CUDA (context, cudaStreamSynchronize (context->stream), error);
}

gboolean
du_cuda_frames_copy (
    DuContext *context, const DuFrameKind *kind, const DuFrame *in, const DuFrame *out, GError **error)
{
  return du_cuda_enter (context, error) && copy_planes (context, kind, in, out, error)
         && DU_CUDA (context, cudaStreamSynchronize (context->stream), error);
}

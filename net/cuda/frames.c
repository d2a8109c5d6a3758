/* A frame of the host crosses the bus as it stands in memory, once each way; tiles never do. A frame that is on the
 * device already is copied there.
 *
 * Frames come and go on streams of their own, so that one is copied while another is in the network. Each has a slot:
 * device memory for what comes and goes, and pinned memory, which the device copies from and to by itself, for frames
 * of the host that are not in such memory. What orders the streams:
 *
 *   to_device  takes the frame in, then records taken_in;
 *   stream     waits for taken_in, does all else, then records corrected;
 *   to_host    waits for corrected, copies the result, then records handed_on,
 *
 * and a slot is used again only behind a wait for handed_on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frames.h"

#include "context.h"
#include "frame-kernels.h"
#include "lost.h"
#include "recording.h"

#include <string.h>

enum
{
  /* Rows of tiles whose results are kept: a line takes of two, and the line above it, which chroma reads, may
   * take of the one before. */
  KEPT_ROWS = 3,
};

typedef struct
{
  DuFrame in, out; /* on the device, dense but for aligned lines */
  DuKernelFrame *frame; /* pinned: for the device's */
  cudaEvent_t taken_in, corrected, handed_on;
  char *pinned; /* in and out, laid out as on the device; or NULL */
  DuFrame to;   /* the host's, to be filled from there; data[0] NULL: none */
} Slot;

struct _DuFrames
{
  DuFrameKind kind;
  DuTilePlan plan;
  DuKernelTiles tiles;
  gsize tile_floats;
  int ring;     /* tiles whose results are kept */
  char *memory; /* all of the device's that the next ones and the slots point into */
  float *results;       /* [ring, tile height, tile width, 3] */
  DuKernelFrame *frame; /* at hand */
  int lines;            /* of it that are done */
  Slot slots[DU_FRAMES_IN_FLIGHT];
  gsize slot_size;
  DuRecording recording; /* of gather, network and blend of all tiles */
  gboolean wants_pinned; /* until there was no memory for it */
  guint next; /* slot to begin a frame with */
  guint oldest; /* slot to wait for: the waiting thread's */
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

static gboolean
make_streams (DuContext *context, GError **error)
{
  return (context->to_device
             || DU_CUDA (context, cudaStreamCreateWithFlags (&context->to_device, cudaStreamNonBlocking), error))
         && (context->to_host
             || DU_CUDA (context, cudaStreamCreateWithFlags (&context->to_host, cudaStreamNonBlocking), error));
}

static gboolean
make_slot (DuContext *context, DuFrames *frames, Slot *slot, char *memory, const gsize planes_at[2][4],
    GError **error)
{
  cudaEvent_t *const events[] = { &slot->taken_in, &slot->corrected, &slot->handed_on };
  /* The thread that waits for the last one is to sleep. */
  const unsigned flags[] = { 0, 0, cudaEventBlockingSync };
  const DuFrameKind *kind = &frames->kind;

  for (int plane = 0; plane < kind->layout->planes; plane++) {
    slot->in.data[plane] = (guint8 *) memory + planes_at[0][plane];
    slot->out.data[plane] = (guint8 *) memory + planes_at[1][plane];
    slot->in.stride[plane] = slot->out.stride[plane] = du_cuda_aligned (kind->line_bytes[plane]);
  }
  slot->in.memory = slot->out.memory = DU_MEMORY_CUDA;
  for (guint i = 0; i < G_N_ELEMENTS (events); i++)
    if (!DU_CUDA (context, cudaEventCreateWithFlags (events[i], cudaEventDisableTiming | flags[i]), error))
      return FALSE;
  slot->frame = du_cuda_allocate_pinned (context, sizeof *slot->frame, error);
  return slot->frame != NULL;
}

DuFrames *
du_cuda_frames_new (DuContext *context, const DuFrameKind *kind, const DuTilePlan *plan, GError **error)
{
  const DuTileAxis *vertical = &plan->vertical, *horizontal = &plan->horizontal;
  DuFrames *frames = g_new0 (DuFrames, 1);
  gsize size = 0, tables_at[4], tables_size, frame_at, results_at, slots_at, planes_at[2][4];
  g_autofree char *tables = NULL;
  gboolean ok;

  frames->kind = *kind;
  frames->plan = *plan;
  frames->tile_floats = (gsize) vertical->tile * horizontal->tile * DU_PICTURE_CHANNELS;
  frames->ring = MIN (KEPT_ROWS, vertical->count) * horizontal->count;
  frames->wants_pinned = context->pins;
  tables_at[0] = place (&size, vertical->count * sizeof (int));
  tables_at[1] = place (&size, horizontal->count * sizeof (int));
  tables_at[2] = place (&size, vertical->length * sizeof (DuTileShare));
  tables_at[3] = place (&size, horizontal->length * sizeof (DuTileShare));
  tables_size = size;
  frame_at = place (&size, sizeof *frames->frame);
  results_at = place (&size, frames->ring * frames->tile_floats * sizeof (float));
  slots_at = size;
  for (int out = 0; out < 2; out++)
    for (int plane = 0; plane < kind->layout->planes; plane++)
      planes_at[out][plane]
          = place (&frames->slot_size, du_cuda_aligned (kind->line_bytes[plane]) * kind->lines[plane]);
  size += DU_FRAMES_IN_FLIGHT * frames->slot_size;

  ok = du_cuda_enter (context, error) && make_streams (context, error)
       && (frames->memory = du_cuda_allocate (context, size, 1, "frames", error));
  for (int i = 0; ok && i < DU_FRAMES_IN_FLIGHT; i++)
    ok = make_slot (context, frames, &frames->slots[i], frames->memory + slots_at + i * frames->slot_size,
        planes_at, error);
  if (ok) {
    frames->frame = (DuKernelFrame *) (frames->memory + frame_at);
    frames->results = (float *) (frames->memory + results_at);
    frames->tiles = (DuKernelTiles){ vertical->tile, horizontal->tile, horizontal->count,
      (const int *) (frames->memory + tables_at[0]), (const int *) (frames->memory + tables_at[1]),
      (const DuTileShare *) (frames->memory + tables_at[2]),
      (const DuTileShare *) (frames->memory + tables_at[3]) };
    tables = make_tables (plan, tables_at, tables_size);
    ok = DU_CUDA (context,
             cudaMemcpyAsync (frames->memory, tables, tables_size, cudaMemcpyHostToDevice, context->stream),
             error)
         && DU_CUDA (context, cudaStreamSynchronize (context->stream), error);
  }
  if (!ok) {
    du_cuda_frames_free (context, frames);
    return NULL;
  }
  return frames;
}

void
du_cuda_frames_free (DuContext *context, DuFrames *frames)
{
  if (!frames)
    return;
  (void) du_cuda_enter (context, NULL); /* waiting may have shown the device as lost */
  for (int i = 0; i < DU_FRAMES_IN_FLIGHT; i++) {
    Slot *slot = &frames->slots[i];
    const cudaEvent_t events[] = { slot->taken_in, slot->corrected, slot->handed_on };

    for (guint k = 0; k < G_N_ELEMENTS (events); k++)
      if (events[k] && !context->lost)
        (void) DU_CUDA (context, cudaEventDestroy (events[k]), NULL);
    du_cuda_release_pinned (context, slot->frame);
    du_cuda_release_pinned (context, slot->pinned);
  }
  du_recording_clear (context, &frames->recording);
  du_cuda_release (context, frames->memory);
  g_free (frames);
}

/* The visible bytes of all planes. One of the two is on the device. */
static gboolean
copy_planes (DuContext *context, const DuFrameKind *kind, const DuFrame *from, const DuFrame *to,
    cudaStream_t stream, GError **error)
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
                  lines > 1 ? from->stride[plane] : bytes, bytes, lines, way, stream),
              error))
        return FALSE;
      continue;
    }
    for (int line = 0; line < lines; line++)
      if (!DU_CUDA (context,
              cudaMemcpyAsync (to->data[plane] + (gssize) line * to->stride[plane],
                  from->data[plane] + (gssize) line * from->stride[plane], bytes, way, stream),
              error))
        return FALSE;
  }
  return TRUE;
}

/* ---- to the device ------------------------------------------------------------------------------------- */

/* Whether the device can copy all planes by itself, with one copy each where they are the host's. */
static gboolean
is_reachable (DuContext *context, const DuFrameKind *kind, const DuFrame *frame)
{
  for (int plane = 0; plane < kind->layout->planes && frame->memory == DU_MEMORY_HOST; plane++)
    if ((kind->lines[plane] > 1 && frame->stride[plane] < kind->line_bytes[plane])
        || !du_cuda_is_pinned (context, frame->data[plane]))
      return FALSE;
  return TRUE;
}

/* Pinned memory for the slot; without it frames are copied from and to where they are, by a driver that waits. */
static void
want_pinned (DuContext *context, DuFrames *frames, Slot *slot)
{
  if (slot->pinned || !frames->wants_pinned)
    return;
  slot->pinned = du_cuda_allocate_pinned (context, frames->slot_size, NULL);
  if (slot->pinned)
    memset (slot->pinned, 0, frames->slot_size);
  else
    frames->wants_pinned = FALSE;
}

/* The slot's in or out, or the pinned memory that is laid out like it. */
static DuFrame
pinned_frame (const Slot *slot, const DuFrame *on_device)
{
  DuFrame frame = *on_device;

  for (int plane = 0; plane < 4 && frame.data[plane]; plane++)
    frame.data[plane] = (guint8 *) slot->pinned + (frame.data[plane] - slot->in.data[0]);
  frame.memory = DU_MEMORY_HOST;
  return frame;
}

/* Within the host's memory. */
static void
copy_lines (const DuFrameKind *kind, const DuFrame *from, const DuFrame *to)
{
  for (int plane = 0; plane < kind->layout->planes; plane++)
    for (int line = 0; line < kind->lines[plane]; line++)
      memcpy (to->data[plane] + (gssize) line * to->stride[plane],
          from->data[plane] + (gssize) line * from->stride[plane], kind->line_bytes[plane]);
}

gboolean
du_cuda_frames_begin (DuContext *context, DuFrames *frames, const DuFrame *in, float strength, GError **error)
{
  Slot *slot = &frames->slots[frames->next];
  const DuFrame *from = in;
  DuFrame pinned;

  if (!du_cuda_enter (context, error))
    return FALSE;
  if (!is_reachable (context, &frames->kind, in)) {
    want_pinned (context, frames, slot);
    if (!du_cuda_enter (context, error))
      return FALSE;
    if (slot->pinned) {
      pinned = pinned_frame (slot, &slot->in);
      copy_lines (&frames->kind, in, &pinned);
      from = &pinned;
    }
  }
  *slot->frame = (DuKernelFrame){ slot->in, slot->out, strength };
  return copy_planes (context, &frames->kind, from, &slot->in, context->to_device, error)
         && DU_CUDA (context, cudaEventRecord (slot->taken_in, context->to_device), error)
         && DU_CUDA (context, cudaStreamWaitEvent (context->stream, slot->taken_in, 0), error)
         && DU_CUDA (context,
             cudaMemcpyAsync (frames->frame, slot->frame, sizeof *slot->frame, cudaMemcpyHostToDevice,
                 context->stream),
             error);
}

/* ---- on the device ------------------------------------------------------------------------------------- */

gboolean
du_cuda_frames_gather (
    DuContext *context, DuFrames *frames, int first, int n, DuBuffer *picture, GError **error)
{
  if (!du_cuda_enter (context, error))
    return FALSE;
  du_kernel_gather (
      context->stream, &frames->kind, frames->frame, &frames->tiles, first, n, du_cuda_f32 (picture));
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
  if (first == 0) /* perhaps for the second time, after a recording that was given up */
    frames->lines = 0;
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

      du_kernel_scatter (context->stream, &frames->kind, frames->frame, &frames->tiles, frames->results,
          frames->ring, frames->lines, end);
      frames->lines = end;
      if (!DU_CUDA (context, cudaGetLastError (), error))
        return FALSE;
    }
  }
  return TRUE;
}

gboolean
du_cuda_frames_run (DuContext *context, DuFrames *frames, int batch, DuFrameWork work, gpointer data, char **note,
    GError **error)
{
  return du_recording_run (context, &frames->recording, batch, work, data, note, error);
}

/* ---- from the device ----------------------------------------------------------------------------------- */

gboolean
du_cuda_frames_end (DuContext *context, DuFrames *frames, const DuFrame *out, GError **error)
{
  Slot *slot = &frames->slots[frames->next];
  const DuFrame *to = out;
  DuFrame pinned;

  if (!du_cuda_enter (context, error))
    return FALSE;
  slot->to = (DuFrame){ { NULL } };
  if (!is_reachable (context, &frames->kind, out)) {
    want_pinned (context, frames, slot);
    if (!du_cuda_enter (context, error))
      return FALSE;
    if (slot->pinned) {
      pinned = pinned_frame (slot, &slot->out);
      slot->to = *out;
      to = &pinned;
    }
  }
  if (!DU_CUDA (context, cudaEventRecord (slot->corrected, context->stream), error)
      || !DU_CUDA (context, cudaStreamWaitEvent (context->to_host, slot->corrected, 0), error)
      || !copy_planes (context, &frames->kind, &slot->out, to, context->to_host, error)
      || !DU_CUDA (context, cudaEventRecord (slot->handed_on, context->to_host), error))
    return FALSE;
  frames->next = (frames->next + 1) % DU_FRAMES_IN_FLIGHT;
  return TRUE;
}

gboolean
du_cuda_frames_wait (DuContext *context, DuFrames *frames, GError **error)
{
  Slot *slot = &frames->slots[frames->oldest];
  g_autofree char *lost = du_lost_find (context->options.cuda_context, context->device);
  cudaError_t status;
  DuFrame pinned;

  frames->oldest = (frames->oldest + 1) % DU_FRAMES_IN_FLIGHT;
  if (lost) {
    du_cuda_fail_lost (lost, error);
    return FALSE;
  }
  status = du_cuda_make_current (context);
  if (status == cudaSuccess)
    status = cudaEventSynchronize (slot->handed_on);
  if (status != cudaSuccess) {
    du_cuda_fail_elsewhere (context, status,
        "cudaEventSynchronize (slot->handed_on), net/cuda/frames.c:" G_STRINGIFY (__LINE__), error);
    return FALSE;
  }
  if (slot->to.data[0]) {
    pinned = pinned_frame (slot, &slot->out);
    copy_lines (&frames->kind, &pinned, &slot->to);
  }
  return TRUE;
}

gboolean
du_cuda_frames_copy (
    DuContext *context, const DuFrameKind *kind, const DuFrame *in, const DuFrame *out, GError **error)
{
  return du_cuda_enter (context, error) && copy_planes (context, kind, in, out, context->stream, error)
         && DU_CUDA (context, cudaStreamSynchronize (context->stream), error);
}

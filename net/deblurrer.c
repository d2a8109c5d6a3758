/* Frame in, frame out: tiles are gathered, run through the network, and their corrections blended into a band
 * of lines that is as high as a tile; lines that no later tile reaches are added to the frame.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deblurrer-internal.h"
#include "session-internal.h"

#include <string.h>

enum
{
  OVERLAP_MAX = 128,
};

struct _DuDeblurrer
{
  DuForwardFunction forward;
  gpointer data;      /* of forward */
  DuSession *session; /* NULL where forward is a test's */

  DuFrameKind kind;
  DuTilePlan plan;
  int tiles, batch;
  int asked_batch; /* 0: the back end's choice */
  const int *cancel; /* the caller's, or NULL */

  float *input, *output; /* [batch, tile height, tile width, 3] */
  float *rows, *columns; /* weights of a tile's lines, and of its columns three times each */
  DuBand band;           /* corrections; a tile's lines and the one above them */
  gsize memory;

  DuDeblurrerStats stats;
};

/* Measured by tests/test-whole.c on a blurred photograph and the default weights: with 80 shared pixels samples are
 * 0.012 of 255 off the whole frame's on the average, with 128 0.003, and few by more than 2. A frame of 1080p has 25
 * tiles with up to 48 shared pixels, 30 with 64 or 80, 42 with 96, 48 with 128; 80 cost the common sizes no more tiles
 * than 64. */
void
du_deblurrer_options_init (DuDeblurrerOptions *options)
{
  *options = (DuDeblurrerOptions){ .overlap = 80 };
}

static gboolean
session_forward (gpointer data, int n, int height, int width, const float *input, float *output,
    GError **error)
{
  return du_session_forward (data, n, height, width, input, output, error);
}

static float *
new_floats (DuDeblurrer *deblurrer, gsize count, GError **error)
{
  float *values = g_try_new (float, count);

  if (!values)
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY,
        "no memory: %.0f MB for frames of %dx%d pixels in batches of %d tiles; give a smaller batch",
        count * sizeof *values / 1e6, deblurrer->kind.info.width, deblurrer->kind.info.height,
        deblurrer->batch);
  else
    deblurrer->memory += count * sizeof *values;
  return values;
}

DuDeblurrer *
du_deblurrer_new_with_forward (DuForwardFunction forward, gpointer data, const DuFrameInfo *info,
    const DuDeblurrerOptions *options, int tile_height, int tile_width, GError **error)
{
  g_autoptr (DuDeblurrer) deblurrer = g_new0 (DuDeblurrer, 1);
  DuTilePlan *plan = &deblurrer->plan;
  gsize batch_floats;

  deblurrer->forward = forward;
  deblurrer->data = data;
  if (!du_frame_kind_init (&deblurrer->kind, info, error))
    return NULL;
  if (options->overlap < 0 || options->overlap > OVERLAP_MAX) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "overlap %d is out of range: give 0 to %d pixels",
        options->overlap, OVERLAP_MAX);
    return NULL;
  }
  if (options->batch < 0) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "batch %d is out of range: give a number of tiles, or 0 for the back end's choice", options->batch);
    return NULL;
  }
  if ((guint) options->tile_mode > DU_TILES_BALANCED) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "tile mode %d is unknown", options->tile_mode);
    return NULL;
  }
  du_tile_plan_init (plan, options->tile_mode, info->height, info->width, tile_height, tile_width,
      options->overlap);
  tile_height = deblurrer->stats.tile_height = plan->vertical.tile;
  tile_width = deblurrer->stats.tile_width = plan->horizontal.tile;
  deblurrer->tiles = plan->vertical.count * plan->horizontal.count;
  deblurrer->stats.tiles_per_frame = deblurrer->tiles;
  deblurrer->batch = CLAMP (options->batch, 1, deblurrer->tiles);
  deblurrer->asked_batch = options->batch;
  deblurrer->band.lines = tile_height + 1;
  deblurrer->band.width = info->width;
  batch_floats = (gsize) deblurrer->batch * tile_height * tile_width * 3;

  if (!(deblurrer->input = new_floats (deblurrer, batch_floats, error))
      || !(deblurrer->output = new_floats (deblurrer, batch_floats, error))
      || !(deblurrer->rows = new_floats (deblurrer, tile_height, error))
      || !(deblurrer->columns = new_floats (deblurrer, (gsize) tile_width * 3, error))
      || !(deblurrer->band.data
             = new_floats (deblurrer, (gsize) deblurrer->band.lines * deblurrer->band.width * 3, error)))
    return NULL;
  return g_steal_pointer (&deblurrer);
}

DuDeblurrer *
du_deblurrer_new (DuSession *session, const DuFrameInfo *info, const DuDeblurrerOptions *options,
    GError **error)
{
  DuDeblurrer *deblurrer = du_deblurrer_new_with_forward (session_forward, session, info, options,
      DU_TILE_HEIGHT, DU_TILE_WIDTH, error);

  if (deblurrer)
    deblurrer->session = du_session_ref (session);
  return deblurrer;
}

void
du_deblurrer_free (DuDeblurrer *deblurrer)
{
  if (!deblurrer)
    return;
  g_clear_pointer (&deblurrer->session, du_session_unref);
  g_free (deblurrer->input);
  g_free (deblurrer->output);
  g_free (deblurrer->rows);
  g_free (deblurrer->columns);
  g_free (deblurrer->band.data);
  g_free (deblurrer);
}

void
du_deblurrer_set_session (DuDeblurrer *deblurrer, DuSession *session)
{
  du_session_ref (session);
  g_clear_pointer (&deblurrer->session, du_session_unref);
  deblurrer->session = session;
  deblurrer->data = session;
}

void
du_deblurrer_set_cancel (DuDeblurrer *deblurrer, const int *cancel)
{
  deblurrer->cancel = cancel;
}

gsize
du_deblurrer_memory (const DuDeblurrer *deblurrer)
{
  return deblurrer->memory;
}

void
du_deblurrer_get_stats (const DuDeblurrer *deblurrer, DuDeblurrerStats *stats)
{
  *stats = deblurrer->stats;
}

/* Tiles are numbered row by row. */
static void
gather_tile (DuDeblurrer *deblurrer, const DuFrame *in, int tile, float *to)
{
  const DuTileAxis *vertical = &deblurrer->plan.vertical, *horizontal = &deblurrer->plan.horizontal;

  du_frame_gather (&deblurrer->kind, in, du_tile_axis_position (vertical, tile / horizontal->count),
      du_tile_axis_position (horizontal, tile % horizontal->count), vertical->tile, horizontal->tile, to);
}

/* Adds a tile's share of the correction to the band. The first tile of a row clears the lines that the row
 * above did not reach. */
static void
blend_tile (DuDeblurrer *deblurrer, int tile, const float *before, const float *after)
{
  const DuTileAxis *vertical = &deblurrer->plan.vertical, *horizontal = &deblurrer->plan.horizontal;
  int row = tile / horizontal->count, column = tile % horizontal->count;
  int y = du_tile_axis_position (vertical, row), x = du_tile_axis_position (horizontal, column);
  int top, bottom, left, right;
  gsize line_bytes = deblurrer->band.width * 3 * sizeof (float);

  if (column == 0) {
    int reached = row ? du_tile_axis_position (vertical, row - 1) + vertical->tile : 0;

    du_tile_axis_weights (vertical, row, deblurrer->rows, &top, &bottom);
    for (int line = reached; line < MIN (y + vertical->tile, vertical->length); line++)
      memset (du_band_line (&deblurrer->band, line), 0, line_bytes);
  }
  du_tile_axis_weights (horizontal, column, deblurrer->columns, &left, &right);
  for (int i = horizontal->tile - 1; i >= 0; i--)
    for (int c = 2; c >= 0; c--)
      deblurrer->columns[3 * i + c] = deblurrer->columns[i];
  right = MIN (right, horizontal->length - x);
  for (int line = 0; line < MIN (vertical->tile, vertical->length - y); line++) {
    gsize at = ((gsize) line * horizontal->tile + left) * 3;

    if (deblurrer->rows[line] > 0)
      du_band_add (&deblurrer->band, y + line, x + left, right - left, deblurrer->rows[line],
          deblurrer->columns + 3 * left, before + at, after + at);
  }
}

static double
milliseconds_since (gint64 start)
{
  return (g_get_monotonic_time () - start) / 1e3;
}

static gboolean
process (DuDeblurrer *deblurrer, const DuFrame *in, DuFrame *out, float strength, GError **error)
{
  const DuTileAxis *vertical = &deblurrer->plan.vertical, *horizontal = &deblurrer->plan.horizontal;
  DuDeblurrerStats *stats = &deblurrer->stats;
  gsize tile_floats = (gsize) vertical->tile * horizontal->tile * 3;
  int done = 0; /* lines of the frame */

  for (int first = 0; first < deblurrer->tiles; first += deblurrer->batch) {
    int n = MIN (deblurrer->batch, deblurrer->tiles - first);
    gint64 start = g_get_monotonic_time ();

    if (deblurrer->cancel && g_atomic_int_get (deblurrer->cancel)) {
      g_set_error (error, DU_ERROR, DU_ERROR_CANCELLED, "cancelled");
      return FALSE;
    }
    for (int i = 0; i < n; i++)
      gather_tile (deblurrer, in, first + i, deblurrer->input + i * tile_floats);
    stats->gather_ms += milliseconds_since (start);

    start = g_get_monotonic_time ();
    if (!deblurrer->forward (deblurrer->data, n, vertical->tile, horizontal->tile, deblurrer->input,
            deblurrer->output, error))
      return FALSE;
    stats->network_ms += milliseconds_since (start);

    start = g_get_monotonic_time ();
    for (int i = 0; i < n; i++) {
      int next = first + i + 1, row = next / horizontal->count;

      blend_tile (deblurrer, next - 1, deblurrer->input + i * tile_floats,
          deblurrer->output + i * tile_floats);
      if (next % horizontal->count == 0) {
        int end = row == vertical->count ? vertical->length : du_tile_axis_position (vertical, row);

        du_frame_scatter (&deblurrer->kind, in, out, &deblurrer->band, done, end, strength);
        done = end;
      }
    }
    stats->scatter_ms += milliseconds_since (start);
  }
  return TRUE;
}

/* By the session's back end, on its device: gathering and scattering are part of its time. */
static gboolean
process_on_device (DuDeblurrer *deblurrer, const DuFrame *in, DuFrame *out, float strength, GError **error)
{
  const DuSessionFrame frame = { &deblurrer->kind, &deblurrer->plan, deblurrer->asked_batch, in, out,
    strength, deblurrer->cancel };
  const gint64 start = g_get_monotonic_time ();
  const gboolean ok = du_session_process (deblurrer->session, &frame, error);

  deblurrer->stats.network_ms = milliseconds_since (start);
  return ok;
}

gboolean
du_deblurrer_process (DuDeblurrer *deblurrer, const DuFrame *in, DuFrame *out, double strength,
    GError **error)
{
  DuDeblurrerStats *stats = &deblurrer->stats;
  const gboolean has_frames = deblurrer->session && du_session_has_frames (deblurrer->session);
  const gboolean on_device = in->memory != DU_MEMORY_HOST || out->memory != DU_MEMORY_HOST;
  gboolean ok = TRUE;

  if (!(strength >= 0 && strength <= 1)) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "strength %g is out of range: give 0 to 1", strength);
    return FALSE;
  }
  if (!du_frame_check (&deblurrer->kind, in, "input", error)
      || !du_frame_check (&deblurrer->kind, out, "output", error))
    return FALSE;
  for (int plane = 0; plane < deblurrer->kind.layout->planes; plane++)
    if (in->data[plane] == out->data[plane]) {
      g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
          "plane %d of the input frame is the output frame's too: neighbouring tiles read what would be written; "
          "give the output memory of its own",
          plane);
      return FALSE;
    }
  if (on_device && !has_frames) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "a frame in CUDA memory needs the back end cuda, and %s is what works here: bring the frame into the "
        "host's memory",
        deblurrer->session ? du_session_backend (deblurrer->session) : "another one");
    return FALSE;
  }
  stats->gather_ms = stats->network_ms = stats->scatter_ms = 0;
  if (strength == 0 && !on_device)
    du_frame_copy (&deblurrer->kind, in, out);
  else
    ok = has_frames ? process_on_device (deblurrer, in, out, strength, error)
                    : process (deblurrer, in, out, strength, error);
  if (!ok)
    return FALSE;
  stats->frames++;
  stats->gather_ms_total += stats->gather_ms;
  stats->network_ms_total += stats->network_ms;
  stats->scatter_ms_total += stats->scatter_ms;
  return TRUE;
}

/* bench-gpu's figures of frames.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench-gpu.h"

/* NV12 frames of 1080p, or of one tile to be quick, from system memory to system memory. first: only how long
 * the first one takes, from the program's start. */
static gboolean
process_frames (DuPrecision precision, int overlap, int batch, gboolean first, GError **error)
{
  const int frame_width = seconds > 0 ? 1920 : 448, frame_height = seconds > 0 ? 1080 : 256;
  const int size = frame_width * frame_height;
  const DuFrameInfo info = { .format = DU_FORMAT_NV12,
    .width = frame_width,
    .height = frame_height,
    .matrix = DU_MATRIX_BT709,
    .chroma_centred_y = TRUE };
  g_autofree guint8 *in = g_malloc (size * 3 / 2), *out = g_malloc (size * 3 / 2);
  DuFrame input = { { in, in + size }, { frame_width, frame_width } };
  DuFrame output = { { out, out + size }, { frame_width, frame_width } };
  g_autoptr (DuSession) session = open_session (precision, error);
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  DuDeblurrerOptions options;
  DuDeblurrerStats stats;
  int rounds = 0;
  double start;

  if (!session)
    return FALSE;
  for (int i = 0; i < size * 3 / 2; i++)
    in[i] = 16 + (i * 2654435761u >> 24) % 220;
  du_deblurrer_options_init (&options);
  options.overlap = overlap;
  options.batch = batch;
  deblurrer = du_deblurrer_new (session, &info, &options, error);
  if (!deblurrer || !du_deblurrer_process (deblurrer, &input, &output, 1, error))
    return FALSE;
  if (first) {
    figure ((g_get_monotonic_time () - started) / 1e3, "first_frame/%s/%s%sms", precision_names[precision],
        label ? label : "", label ? "/" : "");
    return TRUE;
  }
  start = now ();
  while (rounds < (seconds > 0 ? 3 : 0) || now () - start < seconds) {
    if (!du_deblurrer_process (deblurrer, &input, &output, 1, error))
      return FALSE;
    rounds++;
  }
  du_deblurrer_get_stats (deblurrer, &stats);
  if (rounds)
    figure (rounds / (now () - start), "frames/%s/overlap%d/batch%d/%u_tiles/frames_per_second",
        precision_names[precision], overlap, batch, stats.tiles_per_frame);
  figure (
      stats.network_ms, "frames/%s/overlap%d/batch%d/network_ms", precision_names[precision], overlap, batch);
  return TRUE;
}

gboolean
bench_first_frame (DuPrecision precision, GError **error)
{
  return process_frames (precision, 48, 0, TRUE, error);
}

gboolean
bench_frames (DuPrecision precision, GError **error)
{
  static const int overlaps[] = { 48, 128 }, batches[] = { 0, 5, 25 };

  for (guint o = 0; o < G_N_ELEMENTS (overlaps); o++)
    for (guint b = 0; b < G_N_ELEMENTS (batches); b++)
      if (seconds > 0 || o + b == 0)
        if (!process_frames (precision, overlaps[o], batches[b], FALSE, error))
          return FALSE;
  return TRUE;
}

/* ---- frames in flight ------------------------------------------------------------------------------------------ */

enum
{
  CALLERS_MAX = 3,
};

/* A thread that has frames done, one after the other, as the element's do. */
typedef struct
{
  DuSession *session;
  const DuFrameInfo *info;
  guint8 *in, *out; /* NV12 */
  double until;     /* as now() */
  int rounds;       /* done */
  GError *error;
} Caller;

static gpointer
call (gpointer data)
{
  Caller *caller = data;
  const int size = caller->info->width * caller->info->height, stride = caller->info->width;
  DuFrame input = { { caller->in, caller->in + size }, { stride, stride } };
  DuFrame output = { { caller->out, caller->out + size }, { stride, stride } };
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  DuDeblurrerOptions options;
  gboolean ok;

  du_deblurrer_options_init (&options);
  deblurrer = du_deblurrer_new (caller->session, caller->info, &options, &caller->error);
  ok = deblurrer != NULL;
  while (ok && (caller->rounds < (seconds > 0 ? 3 : 1) || now () < caller->until)) {
    ok = du_deblurrer_process (deblurrer, &input, &output, 1, &caller->error);
    caller->rounds++;
  }
  return NULL;
}

/* Frames per second of so many callers; the first frames are done before. */
static gboolean
measure_flow (DuPrecision precision, const char *name, int callers, GError **error)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12,
    .width = seconds > 0 ? 1920 : 448,
    .height = seconds > 0 ? 1080 : 256,
    .matrix = DU_MATRIX_BT709,
    .chroma_centred_y = TRUE };
  const gsize size = (gsize) info.width * info.height * 3 / 2;
  g_autoptr (DuSession) session = open_session (precision, error);
  Caller all[CALLERS_MAX] = { { NULL } };
  GThread *threads[CALLERS_MAX];
  int rounds = 0;
  double start;

  if (!session)
    return FALSE;
  for (int i = 0; i < callers; i++)
    all[i] = (Caller){ session, &info, g_malloc0 (size), g_malloc (size) };
  call (&all[0]);
  all[0].rounds = 0;
  start = now ();
  for (int i = 0; i < callers; i++) {
    all[i].until = start + seconds;
    threads[i] = g_thread_new ("caller", call, &all[i]);
  }
  for (int i = 0; i < callers; i++) {
    g_thread_join (threads[i]);
    rounds += all[i].rounds;
    if (all[i].error && error && !*error)
      g_propagate_error (error, g_steal_pointer (&all[i].error));
    g_clear_error (&all[i].error);
    g_free (all[i].in);
    g_free (all[i].out);
  }
  if (*error)
    return FALSE;
  figure (rounds / (now () - start), "flow/%s/%s/%d_in_flight/frames_per_second", precision_names[precision], name,
      callers);
  if (du_session_note (session))
    g_printerr ("%s: %s\n", name, du_session_note (session));
  return TRUE;
}

/* What graphs, pinned memory and frames in flight win, and the first level in sub-batches. */
gboolean
bench_flow (DuPrecision precision, GError **error)
{
  static const struct
  {
    const char *name, *graphs, *pinned, *sub; /* NULL: the back end's choice */
  } variants[] = { { "all", "1", "1", NULL }, { "no_graphs", "0", "1", NULL }, { "no_pinned", "1", "0", NULL },
    { "neither", "0", "0", NULL }, { "all_sub0", "1", "1", "0" }, { "all_sub1", "1", "1", "1" },
    { "all_sub2", "1", "1", "2" }, { "all_sub5", "1", "1", "5" } };
  gboolean ok = TRUE;

  for (guint v = 0; v < G_N_ELEMENTS (variants) && ok; v++) {
    g_setenv ("DEBLURUNET_CUDA_GRAPHS", variants[v].graphs, TRUE);
    g_setenv ("DEBLURUNET_CUDA_PINNED", variants[v].pinned, TRUE);
    if (variants[v].sub)
      g_setenv ("DEBLURUNET_CUDA_SUB_BATCH", variants[v].sub, TRUE);
    for (int callers = 1; callers <= (seconds > 0 ? CALLERS_MAX : 1) && ok; callers++)
      ok = measure_flow (precision, variants[v].name, callers, error);
  }
  g_unsetenv ("DEBLURUNET_CUDA_GRAPHS");
  g_unsetenv ("DEBLURUNET_CUDA_PINNED");
  g_unsetenv ("DEBLURUNET_CUDA_SUB_BATCH");
  return ok;
}

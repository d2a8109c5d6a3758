/* NVIDIA's "CUDA Graphs" and the Runtime API's "Stream Management" and "Graph Management".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "recording.h"

void
du_recording_clear (DuContext *context, DuRecording *recording)
{
  if (recording->graph && !context->lost)
    (void) DU_CUDA (context, cudaGraphExecDestroy (recording->graph), NULL);
  *recording = (DuRecording){ NULL };
}

static gboolean
instantiate (DuContext *context, cudaGraph_t graph, DuRecording *recording, GError **error)
{
  gboolean ok = DU_CUDA (context, cudaGraphInstantiate (&recording->graph, graph, 0), error);

  if (!ok)
    recording->graph = NULL;
  if (!context->lost)
    (void) DU_CUDA (context, cudaGraphDestroy (graph), NULL);
  return ok;
}

/* FALSE with an error where it cannot be recorded; nothing is on the stream in either case. Threads that work in other
 * contexts may allocate meanwhile, and the one that waits for frames may wait. */
static gboolean
record (DuContext *context, DuRecording *recording, DuFrameWork work, gpointer data, GError **error)
{
  cudaGraph_t graph = NULL;
  gboolean ok;

  if (!DU_CUDA (context, cudaStreamBeginCapture (context->stream, cudaStreamCaptureModeThreadLocal), error))
    return FALSE;
  ok = work (data, error);
  /* Whatever went wrong, the stream is to leave the capture. */
  if (!context->lost && !DU_CUDA (context, cudaStreamEndCapture (context->stream, &graph), ok ? error : NULL))
    ok = FALSE;
  if (ok)
    return instantiate (context, graph, recording, error);
  if (graph && !context->lost)
    (void) DU_CUDA (context, cudaGraphDestroy (graph), NULL);
  return FALSE;
}

static gboolean
launch (DuContext *context, const DuRecording *recording, GError **error)
{
  return DU_CUDA (context, cudaGraphLaunch (recording->graph, context->stream), error);
}

gboolean
du_recording_run (DuContext *context, DuRecording *recording, int key, DuFrameWork work, gpointer data,
    char **note, GError **error)
{
  const gboolean done_before = recording->key == key && recording->generation == context->generation;
  g_autoptr (GError) problem = NULL;
  gboolean recorded;

  if (!du_cuda_enter (context, error))
    return FALSE;
  if (done_before && recording->graph)
    return launch (context, recording, error);
  du_recording_clear (context, recording);
  if (!du_cuda_enter (context, error)) /* another thread may have lost it */
    return FALSE;
  if (done_before && context->records) {
    context->records_now = TRUE;
    recorded = record (context, recording, work, data, &problem);
    context->records_now = FALSE;
    if (recorded) {
      recording->key = key;
      recording->generation = context->generation;
      /* Clearing the captured graph away may have shown the device as lost. */
      return du_cuda_enter (context, error) && launch (context, recording, error);
    }
    if (context->lost || g_error_matches (problem, DU_ERROR, DU_ERROR_CANCELLED)) {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
    context->records = FALSE;
    *note = g_strdup_printf ("frames are not recorded as CUDA graphs: %s", problem->message);
  }
  if (!du_cuda_enter (context, error) || !work (data, error))
    return FALSE;
  recording->key = key;
  recording->generation = context->generation;
  return TRUE;
}

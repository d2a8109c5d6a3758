/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frame-worker.h"

#include <string.h>

enum
{
  KEPT_FRAMES = 2, /* kinds of frames on the device: the fields of interlaced ones may differ */
};

/* Frames of one kind on the back end's device. */
typedef struct
{
  DuFrameInfo info;
  DuTilePlan plan;
  DuFrames *frames;
} Kept;

/* A frame that the device was asked for. */
typedef struct
{
  DuFrames *frames;
  gpointer job;
} Asked;

struct _DuFrameWorker
{
  DuNetworkCache *networks;
  const DuBackend *backend; /* of networks, like the context */
  DuContext *context;
  DuModel *model;
  DuFrameDone done;
  gpointer data;        /* of done */
  Kept kept[KEPT_FRAMES]; /* the last used ones first; frames NULL: none */
  int most;               /* tiles at a time, as memory showed; 0 = not known */
  char *note;             /* or NULL */

  GThread *waiter;     /* or NULL, and each frame is waited for where it is asked for */
  GAsyncQueue *asked;  /* of Asked, owned; all zero ends the waiter */
  GMutex lock;
  GCond less;          /* frames are in flight than before */
  guint in_flight;     /* frames asked for and not done */
};

gboolean
du_model_to_network (DuModel *model, DuNetwork *network, GError **error)
{
  const DuBackend *backend = network->backend;
  gsize count = du_config_n_parameters (&network->config);
  DuBuffer *block;
  gboolean ok;

  if (network->version == 1)
    return TRUE;
  /* The block stays on the device no longer than packing takes. */
  block = backend->buffer_new (network->context, DU_TYPE_F32, count, error);
  ok = block && backend->upload (network->context, block, 0, du_model_parameters (model), count, error)
       && du_network_load (network, block, 1, error)
       && (!backend->synchronise || backend->synchronise (network->context, error));
  backend->buffer_free (network->context, block);
  return ok;
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

static void
wait_for_frame (DuFrameWorker *worker, const Asked *asked)
{
  GError *error = NULL;
  gboolean ok = worker->backend->frames_wait (worker->context, asked->frames, &error);

  g_mutex_lock (&worker->lock);
  worker->in_flight--;
  g_cond_signal (&worker->less);
  g_mutex_unlock (&worker->lock);
  worker->done (asked->job, ok, error, worker->data);
}

static gpointer
wait_for_frames (gpointer data)
{
  DuFrameWorker *worker = data;
  gboolean goes_on;

  do {
    g_autofree Asked *asked = g_async_queue_pop (worker->asked);

    goes_on = asked->frames != NULL;
    if (goes_on)
      wait_for_frame (worker, asked);
  } while (goes_on);
  return NULL;
}

static void
let_in_flight (DuFrameWorker *worker, guint most)
{
  g_mutex_lock (&worker->lock);
  while (worker->in_flight > most)
    g_cond_wait (&worker->less, &worker->lock);
  g_mutex_unlock (&worker->lock);
}

static void
push (DuFrameWorker *worker, Asked asked)
{
  g_async_queue_push (worker->asked, g_memdup2 (&asked, sizeof asked));
}

DuFrameWorker *
du_frame_worker_new (DuNetworkCache *networks, DuModel *model, DuFrameDone done, gpointer data)
{
  DuFrameWorker *worker = g_new0 (DuFrameWorker, 1);

  worker->networks = networks;
  worker->backend = networks->backend;
  worker->context = networks->context;
  worker->model = model;
  worker->done = done;
  worker->data = data;
  worker->asked = g_async_queue_new ();
  g_mutex_init (&worker->lock);
  g_cond_init (&worker->less);
  worker->waiter = g_thread_try_new ("deblurunet-wait", wait_for_frames, worker, NULL);
  return worker;
}

void
du_frame_worker_free (DuFrameWorker *worker)
{
  if (!worker)
    return;
  if (worker->waiter) {
    push (worker, (Asked){ NULL });
    g_thread_join (worker->waiter);
  }
  for (int i = 0; i < KEPT_FRAMES; i++)
    if (worker->kept[i].frames)
      worker->backend->frames_free (worker->context, worker->kept[i].frames);
  g_async_queue_unref (worker->asked);
  g_free (worker->note);
  g_mutex_clear (&worker->lock);
  g_cond_clear (&worker->less);
  g_free (worker);
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static gboolean
is_kept (const Kept *kept, const DuSessionFrame *frame)
{
  return kept->frames && memcmp (&kept->info, &frame->kind->info, sizeof kept->info) == 0
         && memcmp (&kept->plan, frame->plan, sizeof kept->plan) == 0;
}

static DuFrames *
get_frames (DuFrameWorker *worker, const DuSessionFrame *frame, GError **error)
{
  const DuBackend *backend = worker->backend;
  Kept *kept = worker->kept, found = { frame->kind->info, *frame->plan, NULL };
  int at = 0;

  while (at < KEPT_FRAMES - 1 && !is_kept (&kept[at], frame))
    at++;
  if (is_kept (&kept[at], frame)) {
    found.frames = kept[at].frames;
  } else {
    if (kept[at].frames) {
      let_in_flight (worker, 0); /* its last frame may be */
      backend->frames_free (worker->context, kept[at].frames);
    }
    kept[at].frames = NULL;
    found.frames = backend->frames_new (worker->context, frame->kind, frame->plan, error);
    if (!found.frames)
      return NULL;
  }
  memmove (kept + 1, kept, at * sizeof *kept);
  kept[0] = found;
  return found.frames;
}

typedef struct
{
  DuFrameWorker *worker;
  DuFrames *frames;
  const DuSessionFrame *frame;
  int batch;
} Batches;

static gboolean
ask_for_tiles (gpointer data, GError **error)
{
  const Batches *batches = data;
  DuFrameWorker *worker = batches->worker;
  DuFrames *frames = batches->frames;
  const DuBackend *backend = worker->backend;
  const DuSessionFrame *frame = batches->frame;
  const DuTilePlan *plan = frame->plan;
  const int tiles = plan->vertical.count * plan->horizontal.count, batch = batches->batch;

  for (int first = 0; first < tiles; first += batch) {
    const int n = MIN (batch, tiles - first);
    DuNetwork *network;

    if (frame->cancel && g_atomic_int_get (frame->cancel)) {
      g_set_error (error, DU_ERROR, DU_ERROR_CANCELLED, "cancelled");
      return FALSE;
    }
    network = du_network_cache_get (worker->networks, DU_MODE_INFERENCE, n, plan->vertical.tile,
        plan->horizontal.tile, error);
    if (!network || !du_model_to_network (worker->model, network, error)
        || !backend->frames_gather (worker->context, frames, first, n, network->picture, error)
        || !du_network_forward (network, NULL, error)
        || !backend->frames_blend (worker->context, frames, first, n, network->prediction, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
ask_in_batches (DuFrameWorker *worker, DuFrames *frames, const DuSessionFrame *frame, int batch, GError **error)
{
  const DuBackend *backend = worker->backend;
  Batches batches = { worker, frames, frame, batch };
  g_autofree char *note = NULL;
  gboolean ok;

  ok = backend->frames_begin (worker->context, frames, frame->in, frame->strength, error)
       && backend->frames_run (worker->context, frames, batch, ask_for_tiles, &batches, &note, error)
       && backend->frames_end (worker->context, frames, frame->out, error);
  if (note && !worker->note)
    worker->note = g_steal_pointer (&note);
  if (!ok) /* the device may still be reading the frame */
    (void) backend->synchronise (worker->context, NULL);
  return ok;
}

char *
du_frame_worker_take_note (DuFrameWorker *worker)
{
  return g_steal_pointer (&worker->note);
}

gboolean
du_frame_worker_ask (DuFrameWorker *worker, const DuSessionFrame *frame, gpointer job, GError **error)
{
  const int tiles = frame->plan->vertical.count * frame->plan->horizontal.count;
  int batch = frame->batch;
  g_autoptr (GError) problem = NULL;
  DuFrames *frames;
  gboolean ok;

  let_in_flight (worker, DU_FRAMES_IN_FLIGHT - 1);
  frames = get_frames (worker, frame, error);
  if (!frames)
    return FALSE;
  if (!batch)
    batch = du_network_batch (worker->networks, tiles, frame->plan->vertical.tile, frame->plan->horizontal.tile);
  batch = CLAMP (batch, 1, worker->most ? MIN (worker->most, tiles) : tiles);
  ok = ask_in_batches (worker, frames, frame, batch, &problem);
  /* Where memory runs out, once more with half as many tiles at a time, and no more than these from then on. */
  if (!ok && batch > 1 && g_error_matches (problem, DU_ERROR, DU_ERROR_MEMORY)) {
    g_clear_error (&problem);
    worker->most = batch / 2;
    ok = ask_in_batches (worker, frames, frame, worker->most, &problem);
  }
  if (!ok) {
    g_propagate_error (error, g_steal_pointer (&problem));
    return FALSE;
  }
  g_mutex_lock (&worker->lock);
  worker->in_flight++;
  g_mutex_unlock (&worker->lock);
  if (worker->waiter)
    push (worker, (Asked){ frames, job });
  else
    wait_for_frame (worker, &(Asked){ frames, job });
  return TRUE;
}

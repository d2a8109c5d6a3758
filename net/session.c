/* Sessions: one worker thread each, which alone touches the back end's context, but for waiting for frames. OpenMP
 * keeps its team of threads per calling thread, so that one caller also means one team.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frame-worker.h"

#include <fenv.h>

enum
{
  /* Sizes that stay prepared, each with its own packed weights and activations. Frames in balanced tiles have one
   * or, where the fields of interlaced ones differ, two, each in whole batches and in the rest. */
  KEPT_NETWORKS = 4,
};

typedef struct
{
  const DuSessionFrame *frame; /* or NULL, and then: */
  int n, height, width;
  const float *input;
  float *output;
  gboolean done, ok; /* under the session's lock */
  GError *error;
} Job;

struct _DuSession
{
  int references; /* under sessions_lock */
  DuModel *model;
  DuSessionOptions options; /* as first asked for, threads resolved */
  GThread *worker;
  GAsyncQueue *jobs; /* of Job, borrowed from the callers that wait for them; stop_job ends the worker */
  GMutex lock;
  GCond done; /* some job is */

  /* The worker's, constant once the session is open. */
  const DuBackend *backend;
  DuContext *context;
  DuType type;
  char *device, *note;
  char *later_note; /* with the first frames: atomic, set once */
};

static Job stop_job;

/* All that live, each equal to no other. */
static GMutex sessions_lock;
static GPtrArray *sessions;

void
du_session_options_init (DuSessionOptions *options)
{
  *options = (DuSessionOptions){ .device = -1 };
}

static gboolean
finish (DuSession *session, Job *job, gboolean ok)
{
  g_mutex_lock (&session->lock);
  job->ok = ok;
  job->done = TRUE;
  g_cond_broadcast (&session->done);
  g_mutex_unlock (&session->lock);
  return ok;
}

static gboolean
wait_for (DuSession *session, Job *job, GError **error)
{
  g_mutex_lock (&session->lock);
  while (!job->done)
    g_cond_wait (&session->done, &session->lock);
  g_mutex_unlock (&session->lock);
  if (job->error)
    g_propagate_error (error, job->error);
  return job->ok;
}

static void
finish_frame (gpointer data, gboolean ok, GError *error, gpointer session)
{
  Job *job = data;

  job->error = error;
  finish (session, job, ok);
}

/* What the worker keeps from job to job. */
typedef struct
{
  DuNetworkCache networks;
  DuFrameWorker *frames; /* NULL where the CPU does frames */
} Work;

/* Takes the note over. */
static void
add_note (DuSession *session, char *note)
{
  char *both = note && session->note ? g_strdup_printf ("%s; %s", session->note, note) : g_strdup (note);

  if (both && !g_atomic_pointer_compare_and_exchange (&session->later_note, NULL, both))
    g_free (both);
  g_free (note);
}

/* One that is done on return, or whose done is called then. */
static void
do_frame (DuSession *session, Work *work, Job *job)
{
  const DuSessionFrame *frame = job->frame;

  if (frame->strength == 0)
    finish (session, job,
        session->backend->frames_copy (session->context, frame->kind, frame->in, frame->out, &job->error));
  else if (!du_frame_worker_ask (work->frames, frame, job, &job->error))
    finish (session, job, FALSE);
  add_note (session, du_frame_worker_take_note (work->frames));
}

static gboolean
run (DuSession *session, DuNetworkCache *networks, Job *job)
{
  const DuBackend *backend = session->backend;
  DuNetwork *network = du_network_cache_get (networks, DU_MODE_INFERENCE, job->n, job->height, job->width,
      &job->error);

  return network && du_model_to_network (session->model, network, &job->error)
         && backend->upload (session->context, network->picture, 0, job->input, network->n_samples,
             &job->error)
         && du_network_forward (network, NULL, &job->error)
         && backend->download (session->context, network->prediction, 0, job->output, network->n_samples,
             &job->error);
}

typedef struct
{
  DuSession *session;
  Job opened;
} Start;

static gpointer
work (gpointer data)
{
  Start *start = data; /* the opener's, gone once it is told */
  DuSession *session = start->session;
  const DuSessionOptions *options = &session->options;
  Work work = { .frames = NULL };
  Job *job;

  /* A thread begins with its maker's rounding and its treatment of denormals, and hands them on to OpenMP's. Those
   * of whoever came first are not for all users of the session. */
  fesetenv (FE_DFL_ENV);
  session->backend = du_backend_open (options->backend, options->precision, options->threads, options->device,
      options->cuda_context, FALSE, &session->context, &session->type, &session->note, &start->opened.error);
  if (session->backend)
    session->device = g_strdup (session->backend->device (session->context));
  if (!finish (session, &start->opened, session->backend != NULL))
    return NULL;
  du_network_cache_init (&work.networks, session->backend, session->context, session->type,
      du_model_config (session->model), KEPT_NETWORKS);
  if (session->backend->frames_new)
    work.frames = du_frame_worker_new (&work.networks, session->model, finish_frame, session);
  while ((job = g_async_queue_pop (session->jobs)) != &stop_job)
    if (job->frame)
      do_frame (session, &work, job);
    else
      finish (session, job, run (session, &work.networks, job));
  du_frame_worker_free (work.frames);
  du_network_cache_clear (&work.networks);
  session->backend->close (session->context);
  return NULL;
}

static void
release_owner (const DuSessionOptions *options)
{
  if (options->cuda_release)
    options->cuda_release (options->cuda_owner);
}

/* Of a session that is in no list. */
static void
session_free (DuSession *session)
{
  if (session->worker) {
    g_async_queue_push (session->jobs, &stop_job);
    g_thread_join (session->worker);
  }
  g_async_queue_unref (session->jobs);
  g_mutex_clear (&session->lock);
  g_cond_clear (&session->done);
  g_free (session->device);
  g_free (session->note);
  g_free (session->later_note);
  release_owner (&session->options);
  du_model_unref (session->model);
  g_free (session);
}

static DuSession *
session_new (DuModel *model, const DuSessionOptions *options)
{
  DuSession *session = g_new0 (DuSession, 1);

  session->model = du_model_ref (model);
  session->options = *options;
  session->jobs = g_async_queue_new ();
  g_mutex_init (&session->lock);
  g_cond_init (&session->done);
  return session;
}

static gboolean
session_start (DuSession *session, GError **error)
{
  Start start = { .session = session };
  g_autoptr (GError) no_thread = NULL;

  session->worker = g_thread_try_new ("deblurunet", work, &start, &no_thread);
  if (no_thread)
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "no thread for the network: %s", no_thread->message);
  return session->worker != NULL && wait_for (session, &start.opened, error);
}

/* Whether two sessions of one model are one: they were asked for the same, or got the same. */
static gboolean
same_request (const DuSession *a, const DuSession *b)
{
  return a->options.backend == b->options.backend && a->options.precision == b->options.precision;
}

static gboolean
same_result (const DuSession *a, const DuSession *b)
{
  return a->backend == b->backend && g_strcmp0 (a->note, b->note) == 0
         && g_str_equal (du_session_precision (a), du_session_precision (b));
}

/* sessions_lock is held. */
static DuSession *
find_session (const DuSession *wanted, gboolean (*same) (const DuSession *, const DuSession *))
{
  for (guint i = 0; i < sessions->len; i++) {
    DuSession *session = sessions->pdata[i];

    if (session->model == wanted->model && session->options.threads == wanted->options.threads
        && session->options.device == wanted->options.device
        && session->options.cuda_context == wanted->options.cuda_context && same (session, wanted))
      return session;
  }
  return NULL;
}

DuSession *
du_session_open (DuModel *model, const DuSessionOptions *options, GError **error)
{
  DuSession wanted = { .model = model, .options = *options }, *session, *opened = NULL;
  gboolean found;

  wanted.options.threads = du_backend_threads (options->threads);
  g_mutex_lock (&sessions_lock);
  if (!sessions)
    sessions = g_ptr_array_new ();
  session = find_session (&wanted, same_request);
  found = session != NULL;
  if (!session) {
    opened = session_new (model, &wanted.options);
    if (session_start (opened, error)) {
      session = find_session (opened, same_result);
      if (!session) {
        session = g_steal_pointer (&opened);
        g_ptr_array_add (sessions, session);
      }
    }
  }
  if (session)
    session->references++;
  g_mutex_unlock (&sessions_lock);
  /* Without the lock: what releases may come back here. */
  if (found)
    release_owner (options);
  if (opened)
    session_free (opened);
  return session;
}

DuSession *
du_session_ref (DuSession *session)
{
  g_mutex_lock (&sessions_lock);
  session->references++;
  g_mutex_unlock (&sessions_lock);
  return session;
}

void
du_session_unref (DuSession *session)
{
  gboolean last;

  if (!session)
    return;
  g_mutex_lock (&sessions_lock);
  last = --session->references == 0;
  if (last) {
    g_ptr_array_remove_fast (sessions, session);
    if (!sessions->len)
      g_clear_pointer (&sessions, g_ptr_array_unref);
  }
  g_mutex_unlock (&sessions_lock);
  if (last)
    session_free (session);
}

const char *
du_session_backend (const DuSession *session)
{
  return session->backend->name;
}

const char *
du_session_precision (const DuSession *session)
{
  return du_precision_name (session->options.precision, session->type);
}

const char *
du_session_device (const DuSession *session)
{
  return session->device;
}

const char *
du_session_note (const DuSession *session)
{
  const char *later = g_atomic_pointer_get (&((DuSession *) session)->later_note);

  return later ? later : session->note;
}

DuModel *
du_session_model (const DuSession *session)
{
  return session->model;
}

gboolean
du_session_forward (DuSession *session, int n, int height, int width, const float *input, float *output,
    GError **error)
{
  Job job = { .n = n, .height = height, .width = width, .input = input, .output = output };

  g_async_queue_push (session->jobs, &job);
  return wait_for (session, &job, error);
}

gboolean
du_session_has_frames (const DuSession *session)
{
  return session->backend->frames_new != NULL;
}

gboolean
du_session_process (DuSession *session, const DuSessionFrame *frame, GError **error)
{
  Job job = { .frame = frame };

  g_async_queue_push (session->jobs, &job);
  return wait_for (session, &job, error);
}

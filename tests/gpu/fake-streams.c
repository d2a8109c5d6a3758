/* libcudart's streams, events, copies and graphs: what is asked for is kept in its stream until the order has it
 * be done, so that what is right by luck alone shows. A stream's work is done in order; what a wait for an event
 * holds back is not done before the event; all else may be.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-cuda.h"

#include <string.h>

/* A place in a stream: behind so much of what was asked for. */
typedef struct
{
  guint stream; /* its number; 0 = nowhere */
  guint64 position;
} Point;

typedef struct
{
  void (*run) (gpointer data); /* or NULL: */
  gpointer data;
  GPtrArray *graph; /* of work; or NULL: */
  Point point;      /* to wait for */
  gpointer context; /* of CUDA, where it was asked for */
} Work;

struct CUstream_st
{
  guint number;
  GQueue work;
  guint64 asked, done;
  /* While it captures: by whom, what, and whether something went wrong. */
  GThread *capturer;
  GPtrArray *captured;
  gboolean broken;
};

struct CUevent_st
{
  Point point;
};

struct CUgraph_st
{
  GPtrArray *work;
};

struct CUgraphExec_st
{
  GPtrArray *work;
};

static GPtrArray *streams;
static GPtrArray *graphs; /* work of each graph, runnable or not, that is not destroyed */
static FakeOrder order;
static guint last_number;
static guint32 dice = 1;

static void
work_free (gpointer data)
{
  Work *work = data;

  g_free (work->data);
  g_clear_pointer (&work->graph, g_ptr_array_unref);
  g_free (work);
}

static void
do_work (Work *work)
{
  fake_enter_context (work->context);
  if (work->run)
    work->run (work->data);
  fake_leave_context ();
  for (guint i = 0; work->graph && i < work->graph->len; i++)
    do_work (work->graph->pdata[i]);
}

/* ---- orders ------------------------------------------------------------------------------------------ */

static FakeStream *
find_stream (guint number)
{
  for (guint i = 0; streams && i < streams->len; i++)
    if (((FakeStream *) streams->pdata[i])->number == number)
      return streams->pdata[i];
  return NULL;
}

static gboolean
is_reached (const Point *point)
{
  const FakeStream *stream = find_stream (point->stream);

  return !stream || stream->done >= point->position;
}

/* Does the next piece of a stream's work, if there is one and nothing holds it back. */
static gboolean
step (FakeStream *stream)
{
  Work *work = g_queue_peek_head (&stream->work);

  if (!work || !is_reached (&work->point))
    return FALSE;
  g_queue_pop_head (&stream->work);
  do_work (work);
  work_free (work);
  stream->done++;
  return TRUE;
}

/* All that can be done, of all streams but one. */
static void
run_others (const FakeStream *but)
{
  gboolean goes_on;

  do {
    goes_on = FALSE;
    for (guint i = 0; streams && i < streams->len; i++)
      while (streams->pdata[i] != but && step (streams->pdata[i]))
        goes_on = TRUE;
  } while (goes_on);
}

static guint
throw_dice (guint sides)
{
  dice = dice * 1664525 + 1013904223;
  return (dice >> 16) % sides;
}

static gboolean
step_somewhere (void)
{
  const guint first = throw_dice (streams->len);
  gboolean goes_on = FALSE;

  for (guint i = 0; i < streams->len && !goes_on; i++)
    goes_on = step (streams->pdata[(first + i) % streams->len]);
  return goes_on;
}

static void
reach (Point point)
{
  FakeStream *stream = find_stream (point.stream);

  while (stream && stream->done < point.position) {
    const Work *next = g_queue_peek_head (&stream->work);

    if (order == FAKE_OTHERS_FIRST)
      run_others (stream);
    if (order == FAKE_RANDOM ? step_somewhere () : step (stream))
      continue;
    if (!next || is_reached (&next->point))
      fake_fatal ("a wait", "for what never happens");
    reach (next->point);
  }
}

static void
append (FakeStream *stream, Work of_caller)
{
  Work *work = g_memdup2 (&of_caller, sizeof of_caller);

  work->context = fake_context ();
  if (!stream)
    fake_fatal ("a launch", "on the default stream, which waits for all others");
  fake_lock ();
  if (stream->captured) {
    if (stream->capturer != g_thread_self ())
      fake_fatal ("a launch", "on a stream that another thread captures");
    g_ptr_array_add (stream->captured, work);
  } else {
    g_queue_push_tail (&stream->work, work);
    stream->asked++;
    if (order == FAKE_AT_ONCE)
      run_others (NULL);
    for (guint i = order == FAKE_RANDOM ? throw_dice (3) : 0; i > 0; i--)
      (void) step_somewhere ();
  }
  fake_unlock ();
}

void
fake_enqueue (FakeStream *stream, void (*run) (gpointer data), gpointer data)
{
  const Work work = { .run = run, .data = data };

  append (stream, work);
}

void
fake_streams_finish (void)
{
  fake_lock ();
  run_others (NULL);
  fake_unlock ();
}

void
fake_streams_set_order (FakeOrder now)
{
  fake_lock ();
  order = now;
  fake_unlock ();
}

static void
drop (FakeStream *stream)
{
  g_queue_clear_full (&stream->work, work_free);
  g_clear_pointer (&stream->captured, g_ptr_array_unref);
}

/* The objects themselves are the caller's to free. */
void
fake_streams_reset (void)
{
  for (guint i = 0; streams && i < streams->len; i++)
    drop (streams->pdata[i]);
  g_clear_pointer (&streams, g_ptr_array_unref);
  g_clear_pointer (&graphs, g_ptr_array_unref);
  dice = 1;
}

/* ---- streams and events ------------------------------------------------------------------------------ */

extern void (*du_host_defer) (FakeStream *stream, void (*run) (gpointer data), gpointer data);

static void
count_allocation (void)
{
  fake_lock ();
  fake_counts.allocations++;
  fake_unlock ();
}

cudaError_t
cudaStreamCreateWithFlags (cudaStream_t *stream, unsigned flags)
{
  FAKE_CUDA_CALL (TRUE);
  if (flags != cudaStreamNonBlocking)
    fake_fatal (__func__, "a stream that waits for the default one");
  count_allocation ();
  fake_lock ();
  du_host_defer = fake_enqueue;
  *stream = fake_new (sizeof **stream);
  (*stream)->number = ++last_number;
  g_queue_init (&(*stream)->work);
  if (!streams)
    streams = g_ptr_array_new ();
  g_ptr_array_add (streams, *stream);
  fake_unlock ();
  return cudaSuccess;
}

cudaError_t
cudaStreamDestroy (cudaStream_t stream)
{
  gboolean fails = fake_call (__func__);

  count_allocation ();
  fake_lock ();
  if (!fails)
    reach ((Point){ stream->number, stream->asked });
  drop (stream);
  g_ptr_array_remove (streams, stream);
  fake_unlock ();
  fake_free (stream);
  return fails ? fake_cuda_failure (FALSE) : cudaSuccess;
}

static cudaError_t
wait_for (Point point)
{
  fake_lock ();
  fake_counts.waits++;
  reach (point);
  fake_unlock ();
  return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream)
{
  FAKE_CUDA_UNSAFE_CALL (FALSE);
  return wait_for ((Point){ stream->number, stream->asked });
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
  Work work = { .run = NULL };

  (void) flags;
  FAKE_CUDA_CALL (FALSE);
  if (stream->captured) {
    stream->broken = TRUE;
    return fake_cuda_error (cudaErrorStreamCaptureIsolation);
  }
  work.point = event->point;
  append (stream, work);
  return cudaSuccess;
}

cudaError_t
cudaEventCreateWithFlags (cudaEvent_t *event, unsigned flags)
{
  (void) flags;
  FAKE_CUDA_CALL (TRUE);
  count_allocation ();
  *event = fake_new (sizeof **event);
  return cudaSuccess;
}

cudaError_t
cudaEventCreate (cudaEvent_t *event)
{
  return cudaEventCreateWithFlags (event, cudaEventDefault);
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  gboolean fails = fake_call (__func__);

  count_allocation ();
  fake_free (event);
  return fails ? fake_cuda_failure (FALSE) : cudaSuccess;
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
  FAKE_CUDA_CALL (FALSE);
  if (stream->captured)
    fake_fatal (__func__, "an event of a capture, which is not emulated");
  fake_lock ();
  event->point = (Point){ stream->number, stream->asked };
  fake_unlock ();
  return cudaSuccess;
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event)
{
  FAKE_CUDA_UNSAFE_CALL (FALSE);
  return wait_for (event->point);
}

cudaError_t
cudaEventElapsedTime (float *milliseconds, cudaEvent_t start, cudaEvent_t stop)
{
  FAKE_CUDA_CALL (FALSE);
  if (!is_reached (&start->point) || !is_reached (&stop->point))
    return fake_cuda_error (cudaErrorNotReady);
  *milliseconds = 1;
  fake_count (&fake_counts.timings);
  return cudaSuccess;
}

/* ---- copies ------------------------------------------------------------------------------------------ */

typedef struct
{
  const char *call;
  char *to;
  const char *from; /* NULL: the snapshot */
  gsize to_pitch, from_pitch, width, height;
  enum cudaMemcpyKind kind;
  gboolean pinned; /* the host's side */
  char snapshot[];
} Copy;

static gsize
extent_of (gsize pitch, const Copy *copy)
{
  return (copy->height - 1) * pitch + copy->width;
}

static void
check_copy (const Copy *copy)
{
  const gboolean from_host = copy->kind == cudaMemcpyHostToDevice;
  const gboolean to_host = copy->kind == cudaMemcpyDeviceToHost;
  const char *host = from_host ? copy->from : copy->to;

  if (!from_host)
    fake_check_range (copy->call, copy->from, extent_of (copy->from_pitch, copy));
  if (!to_host)
    fake_check_range (copy->call, copy->to, extent_of (copy->to_pitch, copy));
  if (copy->pinned && !fake_is_pinned (host, extent_of (from_host ? copy->from_pitch : copy->to_pitch, copy)))
    fake_fatal (copy->call, "pinned memory that is gone when it is read or written");
}

static void
run_copy (gpointer data)
{
  const Copy *copy = data;
  const char *from = copy->from ? copy->from : copy->snapshot;

  if (copy->from)
    check_copy (copy);
  else
    fake_check_range (copy->call, copy->to, extent_of (copy->to_pitch, copy));
  for (gsize line = 0; line < copy->height; line++)
    memcpy (copy->to + line * copy->to_pitch, from + line * copy->from_pitch, copy->width);
}

/* The host's memory, where it is not pinned, is read before the call returns, which may wait for the stream
 * then, or is written before it returns ("API synchronization behavior" in NVIDIA's Runtime API). */
static cudaError_t
copy (Copy copy, cudaStream_t stream)
{
  const gboolean from_host = copy.kind == cudaMemcpyHostToDevice, to_host = copy.kind == cudaMemcpyDeviceToHost;
  gsize snapshot;
  Copy *later;

  if (copy.width > copy.to_pitch || copy.width > copy.from_pitch)
    return fake_cuda_error (cudaErrorInvalidPitchValue);
  copy.pinned = (from_host && fake_is_pinned (copy.from, extent_of (copy.from_pitch, &copy)))
                || (to_host && fake_is_pinned (copy.to, extent_of (copy.to_pitch, &copy)));
  check_copy (&copy);
  if (!copy.pinned && (from_host || to_host) && fake_break_capture ())
    return fake_cuda_error (cudaErrorStreamCaptureUnsupported);
  snapshot = from_host && !copy.pinned ? copy.width * copy.height : 0;
  later = g_malloc (sizeof copy + snapshot);
  *later = copy;
  for (gsize line = 0; snapshot && line < copy.height; line++)
    memcpy (later->snapshot + line * copy.width, copy.from + line * copy.from_pitch, copy.width);
  if (snapshot) {
    later->from = NULL;
    later->from_pitch = copy.width;
    fake_lock ();
    fake_counts.waits++;
    fake_unlock ();
  }
  fake_enqueue (stream, run_copy, later);
  return to_host && !copy.pinned ? wait_for ((Point){ stream->number, stream->asked }) : cudaSuccess;
}

cudaError_t
cudaMemcpyAsync (void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream)
{
  FAKE_CUDA_CALL (FALSE);
  return copy ((Copy){ __func__, to, from, size, size, size, 1, kind }, stream);
}

cudaError_t
cudaMemcpy2DAsync (void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
    enum cudaMemcpyKind kind, cudaStream_t stream)
{
  FAKE_CUDA_CALL (FALSE);
  return copy ((Copy){ __func__, to, from, to_pitch, from_pitch, width, height, kind }, stream);
}

typedef struct
{
  void *to;
  int value;
  gsize size;
} Fill;

static void
run_fill (gpointer data)
{
  const Fill *fill = data;

  fake_check_range ("cudaMemsetAsync", fill->to, fill->size);
  memset (fill->to, fill->value, fill->size);
}

cudaError_t
cudaMemsetAsync (void *to, int value, size_t size, cudaStream_t stream)
{
  const Fill fill = { to, value, size };

  FAKE_CUDA_CALL (FALSE);
  fake_check_range (__func__, to, size);
  fake_enqueue (stream, run_fill, g_memdup2 (&fill, sizeof fill));
  return cudaSuccess;
}

/* ---- graphs ------------------------------------------------------------------------------------------ */

gboolean
fake_break_capture (void)
{
  gboolean found = FALSE;

  fake_lock ();
  for (guint i = 0; streams && i < streams->len; i++) {
    FakeStream *stream = streams->pdata[i];

    if (stream->captured && stream->capturer == g_thread_self ())
      found = stream->broken = TRUE;
  }
  fake_unlock ();
  return found;
}

/* Takes over a reference. */
static GPtrArray *
keep_graph (GPtrArray *work)
{
  fake_lock ();
  fake_counts.allocations++;
  if (!graphs)
    graphs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_ptr_array_unref);
  g_ptr_array_add (graphs, work);
  fake_unlock ();
  return work;
}

static void
destroy_graph (gpointer graph, GPtrArray *work)
{
  fake_lock ();
  fake_counts.allocations++;
  g_ptr_array_remove (graphs, work);
  fake_unlock ();
  fake_free (graph);
}

cudaError_t
cudaStreamBeginCapture (cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
  FAKE_CUDA_CALL (FALSE);
  if (mode != cudaStreamCaptureModeThreadLocal)
    fake_fatal (__func__, "a mode that forbids other threads' calls, or allows all");
  if (fake_refuses (FAKE_NO_CAPTURE))
    return fake_cuda_error (cudaErrorNotSupported);
  if (stream->captured)
    return fake_cuda_error (cudaErrorIllegalState);
  fake_lock ();
  fake_counts.captures++;
  stream->capturer = g_thread_self ();
  stream->captured = g_ptr_array_new_with_free_func (work_free);
  stream->broken = FALSE;
  fake_unlock ();
  return cudaSuccess;
}

/* The stream captures no more, whatever comes of it. */
cudaError_t
cudaStreamEndCapture (cudaStream_t stream, cudaGraph_t *graph)
{
  gboolean fails = fake_call (__func__);
  GPtrArray *work = g_steal_pointer (&stream->captured);

  *graph = NULL;
  if (!work)
    return fake_cuda_error (cudaErrorIllegalState);
  if (fails || stream->broken) {
    g_ptr_array_unref (work);
    return fails ? fake_cuda_failure (FALSE) : fake_cuda_error (cudaErrorStreamCaptureInvalidated);
  }
  *graph = fake_new (sizeof **graph);
  (*graph)->work = keep_graph (work);
  return cudaSuccess;
}

cudaError_t
cudaGraphInstantiate (cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
  (void) flags;
  FAKE_CUDA_UNSAFE_CALL (TRUE);
  *exec = fake_new (sizeof **exec);
  (*exec)->work = keep_graph (g_ptr_array_ref (graph->work));
  return cudaSuccess;
}

cudaError_t
cudaGraphDestroy (cudaGraph_t graph)
{
  gboolean fails = fake_call (__func__);

  destroy_graph (graph, graph->work);
  return fails ? fake_cuda_failure (FALSE) : cudaSuccess;
}

/* Runs that were asked for before still take place. */
cudaError_t
cudaGraphExecDestroy (cudaGraphExec_t exec)
{
  gboolean fails = fake_call (__func__);

  destroy_graph (exec, exec->work);
  return fails ? fake_cuda_failure (FALSE) : cudaSuccess;
}

cudaError_t
cudaGraphLaunch (cudaGraphExec_t exec, cudaStream_t stream)
{
  Work work = { .run = NULL };

  FAKE_CUDA_CALL (TRUE);
  work.graph = g_ptr_array_ref (exec->work);
  fake_lock ();
  fake_counts.replays++;
  fake_unlock ();
  append (stream, work);
  return cudaSuccess;
}

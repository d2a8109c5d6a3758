/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "queue.h"

struct _GstDeblurunetQueue
{
  GMutex lock;
  GCond waits; /* a job does, for a thread */
  GCond done;  /* a job is, or the queue is flushing */
  GQueue jobs; /* all, the oldest first */
  GQueue waiting; /* those of them that no thread has taken */
  gboolean flushing, stopping;
  GPtrArray *threads;
  GstDeblurunetEngine engine; /* of the pushing thread */
};

GstDeblurunetQueue *
gst_deblurunet_queue_new (void)
{
  GstDeblurunetQueue *queue = g_new0 (GstDeblurunetQueue, 1);

  g_mutex_init (&queue->lock);
  g_cond_init (&queue->waits);
  g_cond_init (&queue->done);
  queue->threads = g_ptr_array_new ();
  queue->flushing = TRUE;
  return queue;
}

void
gst_deblurunet_queue_free (GstDeblurunetQueue *queue)
{
  gst_deblurunet_queue_stop (queue);
  g_ptr_array_unref (queue->threads);
  g_mutex_clear (&queue->lock);
  g_cond_clear (&queue->waits);
  g_cond_clear (&queue->done);
  g_free (queue);
}

/* Runs a job that is among the queue's. The lock is held before and after, not while it runs. */
static void
run (GstDeblurunetQueue *queue, GstDeblurunetJob *job, GstDeblurunetEngine *engine)
{
  g_mutex_unlock (&queue->lock);
  gst_deblurunet_job_run (job, engine);
  g_mutex_lock (&queue->lock);
  job->done = TRUE;
  if (job->abandoned)
    gst_deblurunet_job_free (job);
  else
    g_cond_broadcast (&queue->done);
}

static gpointer
work (gpointer data)
{
  GstDeblurunetQueue *queue = data;
  GstDeblurunetEngine engine = { 0 };

  g_mutex_lock (&queue->lock);
  while (!queue->stopping)
    if (queue->waiting.length)
      run (queue, g_queue_pop_head (&queue->waiting), &engine);
    else
      g_cond_wait (&queue->waits, &queue->lock);
  g_mutex_unlock (&queue->lock);
  gst_deblurunet_engine_clear (&engine);
  return NULL;
}

gboolean
gst_deblurunet_queue_start (GstDeblurunetQueue *queue, guint threads, GError **error)
{
  while (queue->threads->len < threads) {
    g_autoptr (GError) problem = NULL;
    GThread *thread = g_thread_try_new ("deblurunet-frame", work, queue, &problem);

    if (!thread) {
      gst_deblurunet_queue_stop (queue);
      g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_FAILED,
          "No thread for %u frames in flight: %s", threads, problem->message);
      return FALSE;
    }
    g_ptr_array_add (queue->threads, thread);
  }
  gst_deblurunet_queue_set_flushing (queue, FALSE);
  return TRUE;
}

void
gst_deblurunet_queue_stop (GstDeblurunetQueue *queue)
{
  g_mutex_lock (&queue->lock);
  queue->stopping = TRUE;
  g_cond_broadcast (&queue->waits);
  g_mutex_unlock (&queue->lock);
  gst_deblurunet_queue_set_flushing (queue, TRUE);
  for (guint i = 0; i < queue->threads->len; i++)
    g_thread_join (queue->threads->pdata[i]);
  g_ptr_array_set_size (queue->threads, 0);
  gst_deblurunet_engine_clear (&queue->engine);
  queue->stopping = FALSE;
}

/* The lock is held. What runs ends early, and its thread frees it. */
static void
drop_all (GstDeblurunetQueue *queue)
{
  GstDeblurunetJob *job;

  while ((job = g_queue_pop_head (&queue->jobs)))
    if (job->done || g_queue_remove (&queue->waiting, job))
      gst_deblurunet_job_free (job);
    else
      g_atomic_int_set (&job->abandoned, TRUE);
}

void
gst_deblurunet_queue_set_flushing (GstDeblurunetQueue *queue, gboolean flushing)
{
  g_mutex_lock (&queue->lock);
  queue->flushing = flushing;
  if (flushing)
    drop_all (queue);
  g_cond_broadcast (&queue->done);
  g_mutex_unlock (&queue->lock);
}

void
gst_deblurunet_queue_clear (GstDeblurunetQueue *queue)
{
  g_mutex_lock (&queue->lock);
  drop_all (queue);
  g_mutex_unlock (&queue->lock);
}

void
gst_deblurunet_queue_push (GstDeblurunetQueue *queue, GstDeblurunetJob *job)
{
  g_mutex_lock (&queue->lock);
  if (queue->flushing) {
    gst_deblurunet_job_free (job);
  } else {
    g_queue_push_tail (&queue->jobs, job);
    if (queue->threads->len == 0 || job->input == job->output) {
      run (queue, job, &queue->engine);
    } else {
      g_queue_push_tail (&queue->waiting, job);
      g_cond_signal (&queue->waits);
    }
  }
  g_mutex_unlock (&queue->lock);
}

GstFlowReturn
gst_deblurunet_queue_pop (GstDeblurunetQueue *queue, gboolean wait, GstDeblurunetJob **job)
{
  GstFlowReturn flow = GST_FLOW_OK;

  g_mutex_lock (&queue->lock);
  /* The head is looked up anew each time: flushing frees it. */
  while (wait && !queue->flushing && queue->jobs.length
         && !((GstDeblurunetJob *) g_queue_peek_head (&queue->jobs))->done)
    g_cond_wait (&queue->done, &queue->lock);
  *job = g_queue_peek_head (&queue->jobs);
  if (queue->flushing)
    flow = GST_FLOW_FLUSHING;
  if (*job && (*job)->done)
    g_queue_pop_head (&queue->jobs);
  else
    *job = NULL;
  g_mutex_unlock (&queue->lock);
  return flow;
}

guint
gst_deblurunet_queue_length (GstDeblurunetQueue *queue)
{
  guint length;

  g_mutex_lock (&queue->lock);
  length = queue->jobs.length;
  g_mutex_unlock (&queue->lock);
  return length;
}

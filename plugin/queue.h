/* Frames in flight: jobs that threads run, and that come out in the order in which they went in.
 *
 * One thread, the streaming thread, pushes and pops; any thread may set the queue flushing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_QUEUE_H
#define GST_DEBLURUNET_QUEUE_H

#include "job.h"

typedef struct _GstDeblurunetQueue GstDeblurunetQueue;

/* Flushing, and without threads. */
GstDeblurunetQueue *gst_deblurunet_queue_new (void);
void gst_deblurunet_queue_free (GstDeblurunetQueue *queue);

/* With so many threads that each run a job at a time; 0: gst_deblurunet_queue_push() runs it. FALSE where the system
 * gives no more threads. */
gboolean gst_deblurunet_queue_start (GstDeblurunetQueue *queue, guint threads, GError **error);
/* Drops all jobs and ends the threads once they are through with those that they run. */
void gst_deblurunet_queue_stop (GstDeblurunetQueue *queue);

/* Flushing: what waits in gst_deblurunet_queue_pop() is woken, jobs are dropped, and so are those that are
 * pushed. Does not wait for jobs that run; they end early. */
void gst_deblurunet_queue_set_flushing (GstDeblurunetQueue *queue, gboolean flushing);
/* Drops all jobs. */
void gst_deblurunet_queue_clear (GstDeblurunetQueue *queue);

/* Takes the job. */
void gst_deblurunet_queue_push (GstDeblurunetQueue *queue, GstDeblurunetJob *job);
/* The oldest job, once it has run, or NULL where it is still running, unless wait, or where there is none.
 * GST_FLOW_FLUSHING, and NULL, when flushing. */
GstFlowReturn gst_deblurunet_queue_pop (GstDeblurunetQueue *queue, gboolean wait, GstDeblurunetJob **job);
guint gst_deblurunet_queue_length (GstDeblurunetQueue *queue);

#endif

/* Frames that a back end has on its device, one behind the other: while one is awaited the next is asked for, so
 * that copies to and from the device go on beside the network.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_FRAME_WORKER_H
#define DU_FRAME_WORKER_H

#include "network.h"
#include "session-internal.h"

typedef struct _DuFrameWorker DuFrameWorker;

/* Called once for each job that du_frame_worker_ask() took, in the order of the asking, by any thread. error: the
 * function's to free, where ok is FALSE. */
typedef void (*DuFrameDone) (gpointer job, gboolean ok, GError *error, gpointer data);

/* For the thread that opened the context, like all functions here. networks stays the caller's, and so does
 * model. */
DuFrameWorker *du_frame_worker_new (DuNetworkCache *networks, DuModel *model, DuFrameDone done, gpointer data);
/* Waits for all jobs; NULL is allowed. The networks are still there. */
void du_frame_worker_free (DuFrameWorker *worker);
/* Asks the device for all work of a frame, which stays as it is, its planes too, until done is called for job. FALSE:
 * it is not called. */
gboolean du_frame_worker_ask (DuFrameWorker *worker, const DuSessionFrame *frame, gpointer job, GError **error);

/* What is to be said of the frames since the last call, or NULL; g_free. */
char *du_frame_worker_take_note (DuFrameWorker *worker);

/* The model's parameters into a network, unless it has them. */
gboolean du_model_to_network (DuModel *model, DuNetwork *network, GError **error);

#endif

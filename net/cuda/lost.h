/* What of CUDA is lost. After a sticky error no call in that context works any more, whoever makes it, until the
 * process ends (CUDA Runtime API, cudaError: "the process must be terminated and relaunched"): what one session finds
 * out is to hold for all.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_LOST_H
#define DU_CUDA_LOST_H

#include <glib.h>

/* context: the CUcontext of another, or NULL: the device's primary one. In any thread. */

/* Between these two, what is lost of another's context is remembered; of a primary one it is for good. */
void du_lost_watch (void *context);
void du_lost_unwatch (void *context);
void du_lost_add (void *context, int device, const char *problem);
/* What was added first, or NULL; g_free. device -1: of any. */
char *du_lost_find (void *context, int device);
/* As in a new process: for tests, whose stand-in for the device may become a new one. */
void du_lost_forget (void);

#endif

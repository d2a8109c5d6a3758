/* Work that is the same each time, recorded as a CUDA graph and asked for with one call.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_RECORDING_H
#define DU_CUDA_RECORDING_H

#include "context.h"

/* All zero: nothing yet. */
typedef struct
{
  cudaGraphExec_t graph;    /* or NULL */
  int key;                  /* of the work that is recorded, or was done last; 0: none */
  guint generation;         /* the context's, then */
} DuRecording;

void du_recording_clear (DuContext *context, DuRecording *recording);

/* Has work put on the context's stream what key, not 0, stands for. The first time work is called and its launches are
 * done at once, so that all is prepared and loaded; the second time they are recorded; from then on the record is
 * launched, as long as the context gives back no memory that it may use. Where that cannot be, work is called each
 * time, and note says once why; g_free. work must not wait. */
gboolean du_recording_run (DuContext *context, DuRecording *recording, int key, DuFrameWork work, gpointer data,
    char **note, GError **error);

#endif

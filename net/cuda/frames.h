/* Frames on the GPU: slots, as backend.h says.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_FRAMES_H
#define DU_CUDA_FRAMES_H

#include "backend.h"

DuFrames *du_cuda_frames_new (DuContext *context, const DuFrameKind *kind, const DuTilePlan *plan,
    GError **error);
void du_cuda_frames_free (DuContext *context, DuFrames *frames);
gboolean du_cuda_frames_begin (DuContext *context, DuFrames *frames, const DuFrame *in, float strength,
    GError **error);
gboolean du_cuda_frames_gather (DuContext *context, DuFrames *frames, int first, int n, DuBuffer *picture,
    GError **error);
gboolean du_cuda_frames_blend (DuContext *context, DuFrames *frames, int first, int n,
    const DuBuffer *prediction, GError **error);
gboolean du_cuda_frames_run (DuContext *context, DuFrames *frames, int batch, DuFrameWork work, gpointer data,
    char **note, GError **error);
gboolean du_cuda_frames_end (DuContext *context, DuFrames *frames, const DuFrame *out, GError **error);
gboolean du_cuda_frames_wait (DuContext *context, DuFrames *frames, GError **error);
gboolean du_cuda_frames_copy (DuContext *context, const DuFrameKind *kind, const DuFrame *in, const DuFrame *out,
    GError **error);

#endif

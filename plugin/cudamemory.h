/* Frames in CUDA memory: the one file that knows GStreamer's CUDA library, whose interface is not stable. Tested with
 * 1.22; what is used of it is the same up to 1.28, but for what cudamemory.c says. Built without that library,
 * no-cudamemory.c stands in, and no caps have such memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_CUDAMEMORY_H
#define GST_DEBLURUNET_CUDAMEMORY_H

#include <gst/video/video.h>

#include "deblurunet.h"

/* An element's. All zero at the beginning. */
typedef struct
{
  gpointer context; /* GstCudaContext, own, or NULL; written under the object lock */
} GstDeblurunetCuda;

void gst_deblurunet_cuda_clear (GstDeblurunetCuda *cuda);

/* ---- caps ---- */

/* Caps of a pad template, for system memory -> for CUDA memory, too, in the formats that its library has. Takes caps. */
GstCaps *gst_deblurunet_cuda_add_caps (GstCaps *caps);
/* Whether fixed caps are for CUDA memory. */
gboolean gst_deblurunet_cuda_has_caps (const GstCaps *caps);
/* All but what is for CUDA memory. Takes caps. */
GstCaps *gst_deblurunet_cuda_drop_caps (GstCaps *caps);

/* ---- the context (gst.cuda.context), shared with other elements; device: the one wanted, or -1 ---- */

/* As GstElementClass.set_context, of the element's own. */
void gst_deblurunet_cuda_set_context (
    GstDeblurunetCuda *cuda, GstElement *element, GstContext *context, int device);
/* Answers a query for the context; FALSE for another one, or where there is none. */
gboolean gst_deblurunet_cuda_query (GstDeblurunetCuda *cuda, GstElement *element, GstQuery *query);
/* Gets one, of the elements around, of the application, or a new one. */
gboolean gst_deblurunet_cuda_ensure (GstDeblurunetCuda *cuda, GstElement *element, int device, GError **error);
/* Takes that of the buffer's memory; TRUE where that is another one. */
gboolean gst_deblurunet_cuda_follow (GstDeblurunetCuda *cuda, GstElement *element, GstBuffer *buffer);
/* Where the GPU may be used and there is a driver: takes one that the elements around or the application have already,
 * and makes none. One that is not of the device is let go. */
void gst_deblurunet_cuda_find (GstDeblurunetCuda *cuda, GstElement *element, const DuSessionOptions *options);
/* Whether it is another one than this CUcontext. */
gboolean gst_deblurunet_cuda_is_other (GstDeblurunetCuda *cuda, gpointer handle);
/* Has a session opened in the context, where there is one and the GPU may be used: the session owns it, too. */
void gst_deblurunet_cuda_options (GstDeblurunetCuda *cuda, GstElement *element, DuSessionOptions *options);

/* ---- buffers ---- */

/* For ALLOCATION queries with caps for CUDA memory, where there is a context. */
gboolean gst_deblurunet_cuda_propose (GstDeblurunetCuda *cuda, GstQuery *query);
gboolean gst_deblurunet_cuda_decide (GstDeblurunetCuda *cuda, GstQuery *query);
/* As gst_deblurunet_frame_map(). memory: where to map, DU_MEMORY_CUDA for device pointers. On the device, waits until
 * what is on its way there has come. */
gboolean gst_deblurunet_cuda_frame_map (GstVideoFrame *frame, const GstVideoInfo *info, GstBuffer *buffer,
    GstMapFlags flags, DuMemory memory);

#endif

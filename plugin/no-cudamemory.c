/* A build without GStreamer's CUDA library.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cudamemory.h"

void
gst_deblurunet_cuda_clear (GstDeblurunetCuda *cuda)
{
  (void) cuda;
}

GstCaps *
gst_deblurunet_cuda_add_caps (GstCaps *caps)
{
  return caps;
}

gboolean
gst_deblurunet_cuda_has_caps (const GstCaps *caps)
{
  (void) caps;
  return FALSE;
}

GstCaps *
gst_deblurunet_cuda_drop_caps (GstCaps *caps)
{
  return caps;
}

void
gst_deblurunet_cuda_set_context (
    GstDeblurunetCuda *cuda, GstElement *element, GstContext *context, int device)
{
  (void) cuda, (void) element, (void) context, (void) device;
}

gboolean
gst_deblurunet_cuda_query (GstDeblurunetCuda *cuda, GstElement *element, GstQuery *query)
{
  (void) cuda, (void) element, (void) query;
  return FALSE;
}

void
gst_deblurunet_cuda_find (GstDeblurunetCuda *cuda, GstElement *element, const DuSessionOptions *options)
{
  (void) cuda, (void) element, (void) options;
}

void
gst_deblurunet_cuda_options (GstDeblurunetCuda *cuda, GstElement *element, DuSessionOptions *options)
{
  (void) cuda, (void) element, (void) options;
}

/* What follows is not called: there are no caps to call it for. */

gboolean
gst_deblurunet_cuda_ensure (GstDeblurunetCuda *cuda, GstElement *element, int device, GError **error)
{
  (void) cuda, (void) element, (void) device;
  g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE, "deblurunet was built without GStreamer's CUDA library");
  return FALSE;
}

gboolean
gst_deblurunet_cuda_follow (GstDeblurunetCuda *cuda, GstElement *element, GstBuffer *buffer)
{
  (void) cuda, (void) element, (void) buffer;
  return FALSE;
}

gboolean
gst_deblurunet_cuda_is_other (GstDeblurunetCuda *cuda, gpointer handle)
{
  (void) cuda, (void) handle;
  return FALSE;
}

gboolean
gst_deblurunet_cuda_propose (GstDeblurunetCuda *cuda, GstQuery *query)
{
  (void) cuda, (void) query;
  return FALSE;
}

gboolean
gst_deblurunet_cuda_decide (GstDeblurunetCuda *cuda, GstQuery *query)
{
  (void) cuda, (void) query;
  return FALSE;
}

gboolean
gst_deblurunet_cuda_frame_map (
    GstVideoFrame *frame, const GstVideoInfo *info, GstBuffer *buffer, GstMapFlags flags, DuMemory memory)
{
  (void) frame, (void) info, (void) buffer, (void) flags, (void) memory;
  return FALSE;
}

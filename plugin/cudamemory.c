/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cudamemory.h"

#include "video.h"

/* 1.22 has no header that includes the others. */
#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudamemory.h>
#include <gst/cuda/gstcudautils.h>

GST_DEBUG_CATEGORY_EXTERN (gst_deblurunet_debug);
#define GST_CAT_DEFAULT gst_deblurunet_debug

/* Those of 1.22's; later ones have more. For any other one it ends the process. */
#define FORMATS                                                                                              \
  "{ I420, YV12, NV12, NV21, P010_10LE, I420_10LE, Y444, Y42B, YUY2, UYVY, BGRA, RGBA, RGBx, BGRx, ARGB, "   \
  "ABGR, RGB, BGR }"

void
gst_deblurunet_cuda_clear (GstDeblurunetCuda *cuda)
{
  gst_clear_object ((GstObject **) &cuda->context);
}

/* ---- caps ---------------------------------------------------------------------------------------------- */

GstCaps *
gst_deblurunet_cuda_add_caps (GstCaps *caps)
{
  g_autoptr (GstCaps) formats = gst_caps_from_string ("video/x-raw, format = (string) " FORMATS);
  GstCaps *cuda = gst_caps_intersect (caps, formats);

  gst_caps_set_features_simple (cuda, gst_caps_features_new (GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY, NULL));
  gst_caps_append (caps, cuda);
  return caps;
}

static gboolean
is_cuda (GstCapsFeatures *features)
{
  return features && gst_caps_features_contains (features, GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY);
}

gboolean
gst_deblurunet_cuda_has_caps (const GstCaps *caps)
{
  return is_cuda (gst_caps_get_features (caps, 0));
}

static gboolean
is_other_memory (GstCapsFeatures *features, GstStructure *structure, gpointer data)
{
  (void) structure;
  (void) data;
  return !is_cuda (features);
}

GstCaps *
gst_deblurunet_cuda_drop_caps (GstCaps *caps)
{
  caps = gst_caps_make_writable (caps);
  gst_caps_filter_and_map_in_place (caps, is_other_memory, NULL);
  return caps;
}

/* ---- the context --------------------------------------------------------------------------------------- */

/* A reference, or NULL. */
static GstCudaContext *
get_context (GstDeblurunetCuda *cuda, GstElement *element)
{
  GstCudaContext *context;

  GST_OBJECT_LOCK (element);
  context = cuda->context ? gst_object_ref (cuda->context) : NULL;
  GST_OBJECT_UNLOCK (element);
  return context;
}

void
gst_deblurunet_cuda_set_context (
    GstDeblurunetCuda *cuda, GstElement *element, GstContext *context, int device)
{
  GstCudaContext *given = NULL;

  gst_cuda_handle_set_context (element, context, device, &given);
  GST_OBJECT_LOCK (element);
  if (!cuda->context)
    cuda->context = g_steal_pointer (&given);
  GST_OBJECT_UNLOCK (element);
  gst_clear_object (&given);
}

gboolean
gst_deblurunet_cuda_query (GstDeblurunetCuda *cuda, GstElement *element, GstQuery *query)
{
  GstCudaContext *context = get_context (cuda, element);
  gboolean answered = context && gst_cuda_handle_context_query (element, query, context);

  gst_clear_object (&context);
  return answered;
}

gboolean
gst_deblurunet_cuda_ensure (GstDeblurunetCuda *cuda, GstElement *element, int device, GError **error)
{
  if (gst_cuda_load_library ()) {
    gst_cuda_memory_init_once ();
    /* By way of set_context, where there is one around. */
    if (gst_cuda_ensure_element_context (element, device, (GstCudaContext **) &cuda->context))
      return TRUE;
  }
  g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
      "there is no CUDA context for device %d: is there a driver, and that device?", MAX (device, 0));
  return FALSE;
}

static GstCudaMemory *
memory_of (GstBuffer *buffer)
{
  GstMemory *memory = gst_buffer_n_memory (buffer) == 1 ? gst_buffer_peek_memory (buffer, 0) : NULL;

  return gst_is_cuda_memory (memory) ? GST_CUDA_MEMORY_CAST (memory) : NULL;
}

/* Takes the reference. */
static void
replace_context (GstDeblurunetCuda *cuda, GstElement *element, GstCudaContext *context)
{
  GstCudaContext *old;

  GST_OBJECT_LOCK (element);
  old = cuda->context;
  cuda->context = context;
  GST_OBJECT_UNLOCK (element);
  gst_clear_object (&old);
}

gboolean
gst_deblurunet_cuda_follow (GstDeblurunetCuda *cuda, GstElement *element, GstBuffer *buffer)
{
  GstCudaMemory *memory = memory_of (buffer);

  if (!memory || (gpointer) memory->context == cuda->context)
    return FALSE;
  GST_INFO_OBJECT (element, "frames come from %" GST_PTR_FORMAT " now", memory->context);
  replace_context (cuda, element, gst_object_ref (memory->context));
  return TRUE;
}

static gboolean
may_use_gpu (const DuSessionOptions *options)
{
  return options->backend == DU_BACKEND_CUDA || options->backend == DU_BACKEND_AUTO;
}

/* By way of set_context, too, where the element behind the pad has one. */
static void
ask_neighbour (GstElement *element, const char *name)
{
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, name);
  GstQuery *query = gst_query_new_context (GST_CUDA_CONTEXT_TYPE);
  GstContext *context = NULL;

  if (gst_pad_peer_query (pad, query))
    gst_query_parse_context (query, &context);
  if (context)
    gst_element_set_context (element, context);
  gst_query_unref (query);
}

void
gst_deblurunet_cuda_find (GstDeblurunetCuda *cuda, GstElement *element, const DuSessionOptions *options)
{
  GstCudaContext *context = get_context (cuda, element);
  guint its = 0;

  if (context)
    g_object_get (context, "cuda-device-id", &its, NULL);
  if (context && options->device >= 0 && its != (guint) options->device)
    replace_context (cuda, element, NULL);
  gst_clear_object (&context);
  if (!cuda->context && may_use_gpu (options) && gst_cuda_load_library ()) {
    ask_neighbour (element, "src");
    if (!cuda->context)
      ask_neighbour (element, "sink");
    if (!cuda->context) /* the pipeline, which has what other elements made, or the application */
      gst_element_post_message (
          element, gst_message_new_need_context (GST_OBJECT (element), GST_CUDA_CONTEXT_TYPE));
  }
}

gboolean
gst_deblurunet_cuda_is_other (GstDeblurunetCuda *cuda, gpointer handle)
{
  return gst_cuda_context_get_handle (cuda->context) != handle;
}

void
gst_deblurunet_cuda_options (GstDeblurunetCuda *cuda, GstElement *element, DuSessionOptions *options)
{
  GstCudaContext *context = may_use_gpu (options) ? get_context (cuda, element) : NULL;

  options->cuda_context = context ? gst_cuda_context_get_handle (context) : NULL;
  options->cuda_owner = context;
  options->cuda_release = context ? gst_object_unref : NULL;
}

/* ---- buffers ------------------------------------------------------------------------------------------- */

/* Configured for the caps, and the bytes that its buffers then have; NULL where there is no memory. Takes the pool. */
static GstBufferPool *
configure_pool (GstBufferPool *pool, GstCaps *caps, guint *size, guint least, guint most)
{
  GstStructure *config = gst_buffer_pool_get_config (pool);

  gst_buffer_pool_config_add_option (config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  gst_buffer_pool_config_set_params (config, caps, *size, least, most);
  if (!gst_buffer_pool_set_config (pool, config)) {
    gst_object_unref (pool);
    return NULL;
  }
  config = gst_buffer_pool_get_config (pool);
  gst_buffer_pool_config_get_params (config, NULL, size, NULL, NULL);
  gst_structure_free (config);
  return pool;
}

gboolean
gst_deblurunet_cuda_propose (GstDeblurunetCuda *cuda, GstQuery *query)
{
  GstBufferPool *pool;
  GstVideoInfo info;
  GstCaps *caps;
  gboolean need_pool;
  guint size;

  gst_query_parse_allocation (query, &caps, &need_pool);
  if (!cuda->context || !caps || !gst_video_info_from_caps (&info, caps))
    return FALSE;
  size = GST_VIDEO_INFO_SIZE (&info);
  if (need_pool) {
    pool = configure_pool (gst_cuda_buffer_pool_new (cuda->context), caps, &size, 0, 0);
    if (!pool)
      return FALSE;
    gst_query_add_allocation_pool (query, pool, size, 0, 0);
    gst_object_unref (pool);
  }
  gst_query_add_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  return TRUE;
}

gboolean
gst_deblurunet_cuda_decide (GstDeblurunetCuda *cuda, GstQuery *query)
{
  const gboolean offered = gst_query_get_n_allocation_pools (query) > 0;
  GstBufferPool *pool = NULL;
  GstVideoInfo info;
  GstCaps *caps;
  guint size, least = 0, most = 0;

  gst_query_parse_allocation (query, &caps, NULL);
  if (!cuda->context || !gst_video_info_from_caps (&info, caps))
    return FALSE;
  size = GST_VIDEO_INFO_SIZE (&info);
  if (offered)
    gst_query_parse_nth_allocation_pool (query, 0, &pool, NULL, &least, &most);
  if (pool
      && (!GST_IS_CUDA_BUFFER_POOL (pool) || (gpointer) GST_CUDA_BUFFER_POOL (pool)->context != cuda->context))
    gst_clear_object (&pool);
  if (pool)
    pool = configure_pool (pool, caps, &size, least, most);
  if (!pool)
    pool = configure_pool (gst_cuda_buffer_pool_new (cuda->context), caps, &size, least, most);
  if (!pool)
    return FALSE;
  if (offered)
    gst_query_set_nth_allocation_pool (query, 0, pool, size, least, most);
  else
    gst_query_add_allocation_pool (query, pool, size, least, most);
  gst_object_unref (pool);
  return TRUE;
}

gboolean
gst_deblurunet_cuda_frame_map (
    GstVideoFrame *frame, const GstVideoInfo *info, GstBuffer *buffer, GstMapFlags flags, DuMemory memory)
{
  GstCudaMemory *cuda = memory_of (buffer);
  GstVideoInfo layout = *info;

  if (!cuda || cuda->info.finfo != info->finfo)
    return FALSE;
  /* For a buffer without GstVideoMeta; with one, its strides and offsets count. */
  for (guint plane = 0; plane < GST_VIDEO_INFO_N_PLANES (info); plane++) {
    layout.stride[plane] = cuda->info.stride[plane];
    layout.offset[plane] = cuda->info.offset[plane];
  }
  layout.size = gst_memory_get_sizes (GST_MEMORY_CAST (cuda), NULL, NULL);
  if (!gst_deblurunet_frame_map (frame, &layout, buffer, memory == DU_MEMORY_CUDA ? flags | GST_MAP_CUDA : flags))
    return FALSE;
#if GST_CHECK_VERSION(1, 24, 0) /* before that, elements wait for their own work before they push */
  if (memory == DU_MEMORY_CUDA)
    gst_cuda_memory_sync (cuda);
#endif
  return TRUE;
}

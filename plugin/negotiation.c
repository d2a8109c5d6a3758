/* What goes over the pads: caps, memory, pools.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#define GST_CAT_DEFAULT gst_deblurunet_debug

gboolean
gst_deblurunet_enter_cuda (GstDeblurunet *self)
{
  GstElement *element = GST_ELEMENT (self);
  g_autoptr (GError) error = NULL;
  DuSession *session;

  if (gst_deblurunet_cuda_ensure (&self->cuda, element, self->options.device, &error)
      && gst_deblurunet_cuda_is_other (&self->cuda, self->cuda_context)
      && (session = gst_deblurunet_open_session (self, &error)))
    gst_deblurunet_replace_session (self, session);
  if (!error && gst_deblurunet_session_has_cuda (self->session))
    return TRUE;
  gst_deblurunet_post_cuda_error (element, self->session, error);
  return FALSE;
}

gboolean
gst_deblurunet_is_wide (GstDeblurunet *self)
{
  return gst_deblurunet_compare_is_wide (&GST_VIDEO_FILTER (self)->in_info, &GST_VIDEO_FILTER (self)->out_info);
}

/* Where some other thread is in the middle of a negotiation, the next frame will do. */
void
gst_deblurunet_update_compare (GstDeblurunet *self)
{
  GstDeblurunetCompare wanted;
  gboolean changed;

  GST_OBJECT_LOCK (self);
  wanted = self->settings.compare;
  GST_OBJECT_UNLOCK (self);
  if (wanted == self->compare || !g_rw_lock_writer_trylock (&self->negotiation))
    return;
  changed = wanted == GST_DEBLURUNET_COMPARE_SIDE_BY_SIDE || self->compare == GST_DEBLURUNET_COMPARE_SIDE_BY_SIDE;
  GST_OBJECT_LOCK (self);
  self->compare = wanted;
  GST_OBJECT_UNLOCK (self);
  g_rw_lock_writer_unlock (&self->negotiation);
  if (changed)
    gst_base_transform_reconfigure_src (GST_BASE_TRANSFORM (self));
}

static GstCaps *
transform_caps (GstBaseTransform *base, GstPadDirection direction, GstCaps *caps, GstCaps *filter)
{
  GstDeblurunet *self = GST_DEBLURUNET (base);
  GstDeblurunetCompare compare;
  gboolean without_cuda;
  GstCaps *others, *filtered;

  GST_OBJECT_LOCK (self);
  compare = self->compare;
  without_cuda = self->session && !gst_deblurunet_session_has_cuda (self->session);
  GST_OBJECT_UNLOCK (self);
  others = compare == GST_DEBLURUNET_COMPARE_SIDE_BY_SIDE ? gst_deblurunet_compare_caps (direction, caps)
                                                          : gst_caps_ref (caps);
  if (without_cuda)
    others = gst_deblurunet_cuda_drop_caps (others);
  if (!filter)
    return others;
  filtered = gst_caps_intersect_full (filter, others, GST_CAPS_INTERSECT_FIRST);
  gst_caps_unref (others);
  return filtered;
}

static gboolean
set_info (GstVideoFilter *filter, GstCaps *in_caps, GstVideoInfo *in, GstCaps *out_caps, GstVideoInfo *out)
{
  GstDeblurunet *self = GST_DEBLURUNET (filter);

  (void) out_caps;
  (void) out;
  if (GST_VIDEO_INFO_INTERLACE_MODE (in) == GST_VIDEO_INTERLACE_MODE_FIELDS) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        ("Video of interlace-mode 'fields' is not supported: put a deinterlacer in front of deblurunet."),
        (NULL));
    return FALSE;
  }
  gst_deblurunet_hand_on (self, 0); /* under the caps that downstream still has */
  self->caps++;
  self->memory = gst_deblurunet_cuda_has_caps (in_caps) ? DU_MEMORY_CUDA : DU_MEMORY_HOST;
  if (self->memory == DU_MEMORY_CUDA && !gst_deblurunet_enter_cuda (self))
    return FALSE;
  GST_OBJECT_LOCK (self);
  self->frame_duration
      = GST_VIDEO_INFO_FPS_N (in) > 0
            ? gst_util_uint64_scale (GST_SECOND, GST_VIDEO_INFO_FPS_D (in), GST_VIDEO_INFO_FPS_N (in))
            : 0;
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

/* Caps for CUDA memory that nothing here can deblur, and that transform_caps() did not offer. */
static gboolean
is_hopeless (GstDeblurunet *self, const GstCaps *caps)
{
  gboolean hopeless;

  GST_OBJECT_LOCK (self);
  hopeless = self->session && gst_deblurunet_cuda_has_caps (caps) && !gst_deblurunet_session_has_cuda (self->session);
  GST_OBJECT_UNLOCK (self);
  return hopeless;
}

/* Where such come all the same, the user is to read why it does not work, not "not negotiated". */
static gboolean
accept_caps (GstBaseTransform *base, GstPadDirection direction, GstCaps *caps)
{
  return (direction == GST_PAD_SINK && is_hopeless (GST_DEBLURUNET (base), caps))
         || GST_DEBLURUNET_PARENT->accept_caps (base, direction, caps);
}

gboolean
gst_deblurunet_takes_caps (GstDeblurunet *self, GstEvent *event)
{
  GstCaps *caps;

  gst_event_parse_caps (event, &caps);
  if (!is_hopeless (self, caps))
    return TRUE;
  gst_deblurunet_post_cuda_error (GST_ELEMENT (self), self->session, NULL);
  return FALSE;
}

static gboolean
propose_allocation (GstBaseTransform *transform, GstQuery *decided, GstQuery *query)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);

  if (self->memory == DU_MEMORY_CUDA) {
    if (!gst_deblurunet_cuda_propose (&self->cuda, query))
      return FALSE;
  } else if (!GST_DEBLURUNET_PARENT->propose_allocation (transform, decided, query)) {
    return FALSE;
  }
  gst_deblurunet_widen_pool (query, self->frames_in_flight);
  return TRUE;
}

/* Of what downstream understands, that which elements before us may leave to it: subtitles that the sink draws stay out
 * of the network. Not cropping, for our frames are no larger than the caps say. */
static gboolean
filter_meta (GstBaseTransform *transform, GstQuery *query, GType api, const GstStructure *parameters)
{
  (void) query;
  (void) parameters;
  return api != GST_VIDEO_CROP_META_API_TYPE && !gst_deblurunet_is_wide (GST_DEBLURUNET (transform));
}

static gboolean
decide_allocation (GstBaseTransform *transform, GstQuery *query)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);

  /* CUDA memory tells its layout by itself, too. */
  self->video_meta = self->memory == DU_MEMORY_CUDA
                     || gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  gst_deblurunet_widen_pool (query, self->frames_in_flight);
  if (self->memory == DU_MEMORY_CUDA && !gst_deblurunet_cuda_decide (&self->cuda, query)) {
    GST_ELEMENT_ERROR (self, RESOURCE, NO_SPACE_LEFT, ("No memory on the GPU for frames."), (NULL));
    return FALSE;
  }
  return GST_DEBLURUNET_PARENT->decide_allocation (transform, query);
}

/* Frames that need no work are handed on as they are, the output buffer being the input buffer, where
 * downstream can read their layout. */
static GstFlowReturn
prepare_output_buffer (GstBaseTransform *transform, GstBuffer *input, GstBuffer **output)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  GstFlowReturn flow;

  if (gst_deblurunet_needs_no_work (self) && !gst_deblurunet_is_wide (self)
      && (self->video_meta || !gst_buffer_get_video_meta (input))) {
    *output = input;
    return GST_FLOW_OK;
  }
  if (self->memory == DU_MEMORY_HOST
      && !gst_deblurunet_frame_fits (GST_ELEMENT (self), &GST_VIDEO_FILTER (self)->out_info))
    return GST_FLOW_ERROR;
  flow = GST_DEBLURUNET_PARENT->prepare_output_buffer (transform, input, output);
  if (flow == GST_FLOW_ERROR && self->memory == DU_MEMORY_CUDA)
    GST_ELEMENT_ERROR (self, RESOURCE, NO_SPACE_LEFT, ("No memory on the GPU for a frame."), (NULL));
  return flow;
}

static gboolean
transform_meta (GstBaseTransform *base, GstBuffer *output, GstMeta *meta, GstBuffer *input)
{
  (void) output;
  (void) input;
  return gst_deblurunet_compare_keeps_meta (meta, gst_deblurunet_is_wide (GST_DEBLURUNET (base)));
}

void
gst_deblurunet_negotiation_class_init (GstDeblurunetClass *klass)
{
  GstBaseTransformClass *transform_class = GST_BASE_TRANSFORM_CLASS (klass);

  transform_class->transform_caps = transform_caps;
  transform_class->accept_caps = accept_caps;
  transform_class->propose_allocation = propose_allocation;
  transform_class->filter_meta = filter_meta;
  transform_class->decide_allocation = decide_allocation;
  transform_class->prepare_output_buffer = prepare_output_buffer;
  transform_class->transform_meta = transform_meta;
  GST_VIDEO_FILTER_CLASS (klass)->set_info = set_info;
}

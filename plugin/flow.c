/* Frames and events, on their way through.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#define GST_CAT_DEFAULT gst_deblurunet_debug

/* Adds a frame's times to the statistics, and tells a live pipeline when frames take much longer or shorter
 * than it was told. */
static void
account (GstDeblurunet *self, const GstDeblurunetJob *job)
{
  GstClockTime time = (GstClockTime) (gst_deblurunet_times_sum (&job->times) * GST_MSECOND), now;
  gboolean tell;

  GST_OBJECT_LOCK (self);
  self->qos.processed += !job->late;
  if (job->deblur) {
    gst_deblurunet_stats_add (&self->stats, &job->used, &job->times);
    self->processing = self->processing ? (7 * self->processing + time) / 8 : time;
  } else {
    self->stats.passed_through++;
  }
  now = gst_deblurunet_latency (self);
  tell = self->live
         && MAX (now, self->reported) - MIN (now, self->reported) > MAX (5 * GST_MSECOND, self->reported / 4);
  if (tell)
    self->reported = now;
  GST_OBJECT_UNLOCK (self);
  if (tell)
    gst_element_post_message (GST_ELEMENT (self), gst_message_new_latency (GST_OBJECT (self)));
}

/* After a frame that the GPU failed on and the CPU deblurred: so it is with those to come. Those on their way may
 * fail of the same. */
static void
leave_gpu (GstDeblurunet *self, const GstDeblurunetJob *job)
{
  if (self->options.backend != DU_BACKEND_CPU)
    gst_deblurunet_post_gpu_warning (GST_ELEMENT (self), job->gpu_error);
  gst_deblurunet_options_on_cpu (&self->options); /* for weights to come */
  if (self->session == job->session)
    gst_deblurunet_replace_session (self, du_session_ref (job->cpu));
}

/* The oldest frame on its way, once it is done: NULL where it is not, unless wait, or where there is none. */
static GstFlowReturn
take_frame (GstDeblurunet *self, gboolean wait, GstBuffer **output)
{
  GstDeblurunetJob *job;
  GstFlowReturn flow = gst_deblurunet_queue_pop (self->queue, wait, &job);

  *output = NULL;
  if (!job)
    return flow;
  if (job->error) {
    gst_deblurunet_post_error (GST_ELEMENT (self), job->error, TRUE);
    gst_deblurunet_job_free (job);
    gst_deblurunet_queue_clear (self->queue);
    return GST_FLOW_ERROR;
  }
  if (job->gpu_error)
    leave_gpu (self, job);
  account (self, job);
  gst_deblurunet_tell_stats (self);
  *output = gst_deblurunet_job_take_output (job);
  GST_DEBUG_OBJECT (self, "hands on the frame at %" GST_TIME_FORMAT, GST_TIME_ARGS (GST_BUFFER_PTS (*output)));
  return flow;
}

/* Not left to the base class, which would mark a frame as one that does not follow the one before when it took
 * in such a frame, not when that frame comes out. */
static GstFlowReturn
push_frame (GstBaseTransform *base, GstBuffer *frame)
{
  GstClockTime position = GST_BUFFER_PTS (frame);

  if (GST_CLOCK_TIME_IS_VALID (position) && GST_BUFFER_DURATION_IS_VALID (frame))
    position += GST_BUFFER_DURATION (frame);
  if (GST_CLOCK_TIME_IS_VALID (position) && base->segment.format == GST_FORMAT_TIME)
    base->segment.position = position;
  return gst_pad_push (base->srcpad, frame);
}

GstFlowReturn
gst_deblurunet_hand_on (GstDeblurunet *self, guint left)
{
  GstFlowReturn flow;
  GstBuffer *frame;

  do {
    flow = take_frame (self, gst_deblurunet_queue_length (self->queue) > left, &frame);
    if (frame)
      flow = push_frame (GST_BASE_TRANSFORM (self), frame);
  } while (flow == GST_FLOW_OK && frame);
  if (flow != GST_FLOW_OK)
    gst_deblurunet_queue_clear (self->queue);
  return flow;
}

/* Between two frames: takes a changed weights file in, or warns and keeps the old one. */
static void
swap_weights (GstDeblurunet *self)
{
  g_autoptr (GError) error = NULL;
  DuSession *session = gst_deblurunet_open_session (self, &error);

  if (!session) {
    g_prefix_error (&error, "the weights in use stay: ");
    gst_deblurunet_post_error (GST_ELEMENT (self), error, FALSE);
    return;
  }
  gst_deblurunet_replace_session (self, session);
}

static void
before_transform (GstBaseTransform *transform, GstBuffer *buffer)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  GstClockTime time = GST_CLOCK_TIME_NONE;
  gboolean swap;

  if (transform->segment.format == GST_FORMAT_TIME)
    time = gst_segment_to_stream_time (&transform->segment, GST_FORMAT_TIME, GST_BUFFER_PTS (buffer));
  if (GST_CLOCK_TIME_IS_VALID (time))
    gst_object_sync_values (GST_OBJECT (self), time);
  GST_OBJECT_LOCK (self);
  self->strength = self->settings.strength;
  self->split_position = self->settings.split_position;
  swap = self->weights_changed;
  GST_OBJECT_UNLOCK (self);
  if (swap)
    swap_weights (self);
}

gboolean
gst_deblurunet_needs_no_work (GstDeblurunet *self)
{
  return self->late || self->strength == 0;
}

/* Whether a frame comes too late, and what becomes of it then: TRUE, it is dropped; self->late, it is handed on
 * as it is. */
static gboolean
check_late (GstDeblurunet *self, const GstBuffer *input)
{
  GstBaseTransform *base = GST_BASE_TRANSFORM (self);
  GstMessage *message = NULL;
  gboolean dropped = FALSE, rested, rests;
  GstClockTime running_time, processing;

  self->late = FALSE;
  if (base->segment.format != GST_FORMAT_TIME || !gst_base_transform_is_qos_enabled (base))
    return FALSE;
  running_time = gst_segment_to_running_time (&base->segment, GST_FORMAT_TIME, GST_BUFFER_PTS (input));
  GST_OBJECT_LOCK (self);
  rests = rested = self->qos.resting;
  self->stats.late += gst_deblurunet_qos_is_late (&self->qos, running_time);
  switch (self->settings.on_late) {
  case GST_DEBLURUNET_ON_LATE_PROCESS:
    break;
  case GST_DEBLURUNET_ON_LATE_PASSTHROUGH:
    self->late = gst_deblurunet_qos_rests (&self->qos, running_time);
    rests = self->qos.resting;
    if (rests != rested)
      message = gst_deblurunet_qos_message (&self->qos, base, input, rests ? 0 : GST_DEBLURUNET_QUALITY);
    break;
  case GST_DEBLURUNET_ON_LATE_DROP:
    dropped = gst_deblurunet_qos_is_late (&self->qos, running_time);
    if (!dropped)
      break;
    self->qos.dropped++;
    self->stats.dropped++;
    message = gst_deblurunet_qos_message (&self->qos, base, input, GST_DEBLURUNET_QUALITY);
  }
  processing = self->processing;
  GST_OBJECT_UNLOCK (self);
  if (message)
    gst_element_post_message (GST_ELEMENT (self), message);
  if (rests && !rested && !self->warned) {
    gst_deblurunet_qos_warn (GST_ELEMENT (self), processing);
    self->warned = TRUE;
  }
  return dropped;
}

static GstFlowReturn
submit_input_buffer (GstBaseTransform *transform, gboolean is_discont, GstBuffer *input)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);

  if (check_late (self, input)) {
    self->discont = TRUE;
    gst_buffer_unref (input);
    return GST_FLOW_OK;
  }
  gst_deblurunet_update_compare (self);
  if (self->memory == DU_MEMORY_CUDA && gst_deblurunet_cuda_follow (&self->cuda, GST_ELEMENT (self), input)) {
    if (!gst_deblurunet_enter_cuda (self)) {
      gst_buffer_unref (input);
      return GST_FLOW_ERROR;
    }
    gst_base_transform_reconfigure_src (transform); /* buffers of that context */
  }
  return GST_DEBLURUNET_PARENT
      ->submit_input_buffer (transform, is_discont, input);
}

/* Takes the input. */
static GstFlowReturn
begin_frame (GstDeblurunet *self, GstBuffer *input)
{
  GstDeblurunetJob *job = g_new0 (GstDeblurunetJob, 1);
  GstFlowReturn flow
      = GST_BASE_TRANSFORM_GET_CLASS (self)->prepare_output_buffer (GST_BASE_TRANSFORM (self), input, &job->output);

  job->input = input;
  if (flow != GST_FLOW_OK) {
    gst_deblurunet_job_free (job);
    return flow;
  }
  if (self->discont) {
    if (job->output == input)
      job->input = job->output = gst_buffer_make_writable (input);
    GST_BUFFER_FLAG_SET (job->output, GST_BUFFER_FLAG_DISCONT);
    self->discont = FALSE;
  }
  job->in_info = GST_VIDEO_FILTER (self)->in_info;
  job->out_info = GST_VIDEO_FILTER (self)->out_info;
  job->caps = self->caps;
  job->memory = self->memory;
  job->deblur = !gst_deblurunet_needs_no_work (self);
  job->late = self->late;
  job->session = du_session_ref (self->session);
  job->options = self->options;
  GST_OBJECT_LOCK (self);
  job->tiles = self->settings.tiles;
  job->on_gpu_error = self->settings.on_gpu_error;
  GST_OBJECT_UNLOCK (self);
  job->strength = self->strength;
  job->compare = self->compare;
  job->split_position = self->split_position;
  gst_deblurunet_queue_push (self->queue, job);
  return GST_FLOW_OK;
}

static GstFlowReturn
generate_output (GstBaseTransform *transform, GstBuffer **output)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  GstBuffer *input = g_steal_pointer (&transform->queued_buf);
  GstFlowReturn flow = input ? begin_frame (self, input) : GST_FLOW_OK;

  *output = NULL;
  return flow == GST_FLOW_OK ? gst_deblurunet_hand_on (self, self->frames_in_flight) : flow;
}

/* Frames on their way come before what follows them. */
static gboolean
sink_event (GstBaseTransform *transform, GstEvent *event)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);

  switch (GST_EVENT_TYPE (event)) {
  case GST_EVENT_FLUSH_START:
    gst_deblurunet_queue_set_flushing (self->queue, TRUE);
    break;
  case GST_EVENT_FLUSH_STOP:
    gst_deblurunet_queue_clear (self->queue);
    gst_deblurunet_queue_set_flushing (self->queue, FALSE);
    GST_OBJECT_LOCK (self);
    gst_deblurunet_qos_init (&self->qos);
    GST_OBJECT_UNLOCK (self);
    self->discont = FALSE;
    break;
  default:
    if (GST_EVENT_IS_SERIALIZED (event))
      gst_deblurunet_hand_on (self, 0);
    if (GST_EVENT_TYPE (event) == GST_EVENT_STREAM_START) /* what was set meanwhile is in the first caps */
      gst_deblurunet_update_compare (self);
  }
  if (GST_EVENT_TYPE (event) == GST_EVENT_CAPS && !gst_deblurunet_takes_caps (self, event)) {
    gst_event_unref (event);
    return FALSE;
  }
  return GST_DEBLURUNET_PARENT->sink_event (transform, event);
}

/* The base class, were it told of QOS, would drop late frames by itself. */
static gboolean
src_event (GstBaseTransform *transform, GstEvent *event)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);

  if (GST_EVENT_TYPE (event) != GST_EVENT_QOS)
    return GST_DEBLURUNET_PARENT->src_event (transform, event);
  GST_OBJECT_LOCK (self);
  gst_deblurunet_qos_update (&self->qos, event);
  GST_OBJECT_UNLOCK (self);
  return gst_pad_push_event (transform->sinkpad, event);
}

void
gst_deblurunet_flow_class_init (GstDeblurunetClass *klass)
{
  GstBaseTransformClass *transform_class = GST_BASE_TRANSFORM_CLASS (klass);

  transform_class->before_transform = before_transform;
  transform_class->submit_input_buffer = submit_input_buffer;
  transform_class->generate_output = generate_output;
  transform_class->sink_event = sink_event;
  transform_class->src_event = src_event;
  /* Without a transform_frame the parent class would have it work in place. */
  transform_class->transform_ip = NULL;
}

/**
 * SECTION:element-deblurunet
 * @title: deblurunet
 * @short_description: Deblurs video with a U-Net
 *
 * Cuts each frame into tiles of 256 by 448 pixels (height by width), runs a U-Net over them, blends the
 * tiles, and adds what the network corrects, times #GstDeblurunet:strength, to the frame's own samples.
 * Alpha, timestamps, flags and metas stay as they are; the caps' own colour matrix, range and chroma siting
 * are used. Buffers with the GAP flag pass through.
 *
 * Interlaced frames (interlace-mode interleaved or mixed) are deblurred field by field, each field being a
 * picture of half the height; interlace-mode alternate and fields are refused.
 *
 * #GstDeblurunet:compare shows before and after in one frame: split by a line, or side by side in a frame twice
 * as wide (of an odd width, one more on each side), from which metas about places in the picture are dropped.
 * The presets "fast", "quality" and "gentle" set several properties at once.
 *
 * Frames in CUDA memory (`video/x-raw(memory:CUDAMemory)`, where built with GStreamer's CUDA library) stay there, in the
 * context of their own, which is shared by `gst.cuda.context`; with the CPU as back end they are refused.
 *
 * The network is one of the published form, trained with `deblurunet-train`, whose weights files the
 * #GstDeblurunet:weights property takes.
 *
 * It is slow on a CPU: nearly three seconds for a 1080p frame on two cores with bfloat16, half of that with
 * overlap=32. Give `sync=false` to the sink when a file is watched, or write to a file.
 *
 * Frames that come too late to be shown (by QOS events from a sink that keeps time) are handed on as they are,
 * and so are those of the next second, or longer where deblurring is tried again and fails again: on a machine
 * that is too slow, video then stays smooth. #GstDeblurunet:on-late drops them instead, or deblurs them all the
 * same. Without synchronisation no frame is late.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! deblurunet ! videoconvert \
 *     ! autovideosink sync=false
 * gst-launch-1.0 filesrc location=in.jpg ! decodebin ! videoconvert ! deblurunet compare=split \
 *     ! videoconvert ! pngenc ! filesink location=out.png
 * ]|
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdeblurunet.h"

#include "compare.h"
#include "cudamemory.h"
#include "qos.h"
#include "queue.h"
#include "session.h"

GST_DEBUG_CATEGORY (gst_deblurunet_debug);
#define GST_CAT_DEFAULT gst_deblurunet_debug

struct _GstDeblurunet
{
  GstVideoFilter parent;

  GstDeblurunetQueue *queue; /* of frames on their way */

  /* Under the object lock: */
  GstDeblurunetSettings settings;
  gboolean weights_changed; /* since the session was opened */
  DuSession *session;       /* while started */
  GstDeblurunetCuda cuda;
  GstDeblurunetStats stats;
  GstDeblurunetQos qos;
  GstClockTime processing;     /* of a frame, lately */
  GstClockTime frame_duration; /* by the caps; 0: not known */
  gboolean live;               /* as the last LATENCY query was answered */
  GstClockTime reported;       /* what the pipeline was told, or is about to ask for */

  /* The streaming thread's own: */
  DuSessionOptions options; /* since start */
  guint frames_in_flight;   /* since start */
  guint caps;               /* how many there have been */
  DuMemory memory;          /* of frames, by the caps */
  gpointer cuda_context;    /* that the session is in, or NULL */
  gboolean video_meta;      /* downstream understands GstVideoMeta */
  gboolean discont;         /* frames were dropped before the next one */
  gboolean warned;          /* that frames come too late */
  /* For this frame: */
  gboolean late; /* to be handed on as it is */
  double strength, split_position;
  GstDeblurunetCompare compare;
};

G_DEFINE_TYPE_WITH_CODE (GstDeblurunet, gst_deblurunet, GST_TYPE_VIDEO_FILTER,
    G_IMPLEMENT_INTERFACE (GST_TYPE_PRESET, NULL)) /* plugin/presets */
GST_ELEMENT_REGISTER_DEFINE (deblurunet, "deblurunet", GST_RANK_NONE, GST_TYPE_DEBLURUNET)

/* With the weights that the property names. Takes the object lock. */
static DuSession *
open_session (GstDeblurunet *self, GError **error)
{
  g_autofree char *weights = NULL;
  DuSessionOptions options = self->options;

  gst_deblurunet_cuda_options (&self->cuda, GST_ELEMENT (self), &options);
  self->cuda_context = options.cuda_context;
  GST_OBJECT_LOCK (self);
  weights = g_strdup (self->settings.weights);
  self->weights_changed = FALSE;
  GST_OBJECT_UNLOCK (self);
  return gst_deblurunet_session_open (GST_ELEMENT (self), weights, &options, error);
}

/* Takes the new session. */
static void
replace_session (GstDeblurunet *self, DuSession *session)
{
  DuSession *old;

  GST_OBJECT_LOCK (self);
  old = self->session;
  self->session = session;
  GST_OBJECT_UNLOCK (self);
  du_session_unref (old);
}

/* For frames in CUDA memory: a session in their context. Posts an error where there is none. */
static gboolean
enter_cuda (GstDeblurunet *self)
{
  GstElement *element = GST_ELEMENT (self);
  g_autoptr (GError) error = NULL;
  DuSession *session;

  if (gst_deblurunet_cuda_ensure (&self->cuda, element, self->options.device, &error)
      && gst_deblurunet_cuda_is_other (&self->cuda, self->cuda_context)
      && (session = open_session (self, &error)))
    replace_session (self, session);
  if (!error && gst_deblurunet_session_has_cuda (self->session))
    return TRUE;
  gst_deblurunet_post_cuda_error (element, self->session, error);
  return FALSE;
}

static gboolean
start (GstBaseTransform *transform)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  g_autoptr (GError) error = NULL;
  g_autoptr (DuSession) session = NULL;

  GST_OBJECT_LOCK (self);
  self->options = self->settings.session;
  self->frames_in_flight = self->settings.frames_in_flight;
  GST_OBJECT_UNLOCK (self);
  self->memory = DU_MEMORY_HOST;
  gst_deblurunet_cuda_find (&self->cuda, GST_ELEMENT (self), &self->options); /* no second session later */
  session = open_session (self, &error);
  if (!session || !gst_deblurunet_queue_start (self->queue, self->frames_in_flight, &error)) {
    gst_deblurunet_post_error (GST_ELEMENT (self), error, TRUE);
    return FALSE;
  }
  GST_OBJECT_LOCK (self);
  self->session = g_steal_pointer (&session);
  self->stats = (GstDeblurunetStats){ 0 };
  gst_deblurunet_qos_init (&self->qos);
  self->processing = self->frame_duration = self->reported = 0;
  self->live = FALSE;
  GST_OBJECT_UNLOCK (self);
  self->video_meta = self->discont = self->warned = FALSE;
  return TRUE;
}

static gboolean
stop (GstBaseTransform *transform)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  DuSession *session;

  gst_deblurunet_queue_stop (self->queue);
  GST_OBJECT_LOCK (self);
  session = g_steal_pointer (&self->session);
  GST_OBJECT_UNLOCK (self);
  if (session && self->stats.frames) {
    g_autofree char *summary = gst_deblurunet_stats_to_string (&self->stats, session);

    GST_INFO_OBJECT (self, "summary: %s", summary);
  }
  g_clear_pointer (&session, du_session_unref);
  return TRUE;
}

/* What waits in the streaming thread need not go on until a frame is done. */
static GstStateChangeReturn
change_state (GstElement *element, GstStateChange change)
{
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY)
    gst_deblurunet_queue_set_flushing (GST_DEBLURUNET (element)->queue, TRUE);
  return GST_ELEMENT_CLASS (gst_deblurunet_parent_class)->change_state (element, change);
}

/* A new structure. Takes the object lock. */
static GstStructure *
make_stats (GstDeblurunet *self)
{
  g_autoptr (DuSession) session = NULL;
  GstDeblurunetStats stats;

  GST_OBJECT_LOCK (self);
  stats = self->stats;
  if (self->session)
    session = du_session_ref (self->session);
  GST_OBJECT_UNLOCK (self);
  return gst_deblurunet_stats_to_structure (&stats, session);
}

/* After each frame: the periodic message, where one is asked for and due. */
static void
tell_stats (GstDeblurunet *self)
{
  gboolean due;

  GST_OBJECT_LOCK (self);
  due = gst_deblurunet_stats_due (&self->stats, self->settings.stats_interval);
  GST_OBJECT_UNLOCK (self);
  if (due)
    gst_element_post_message (
        GST_ELEMENT (self), gst_message_new_element (GST_OBJECT (self), make_stats (self)));
}

/* How long a frame stays here: as long as it takes, or until those have come that may be on their way after it.
 * The object lock is held. */
static GstClockTime
latency (GstDeblurunet *self)
{
  GstClockTime step = self->frame_duration ? self->frame_duration : self->processing;

  return MAX (self->processing, self->frames_in_flight * step);
}

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
  now = latency (self);
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
    replace_session (self, du_session_ref (job->cpu));
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
  tell_stats (self);
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

/* Hands on the frames that are done, and waits until no more than so many are on their way. Where downstream
 * takes no more, those that are left are dropped. */
static GstFlowReturn
hand_on (GstDeblurunet *self, guint left)
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

static gboolean
shows_side_by_side (GstDeblurunet *self)
{
  return gst_deblurunet_compare_is_wide (&GST_VIDEO_FILTER (self)->in_info, &GST_VIDEO_FILTER (self)->out_info);
}

static GstCaps *
transform_caps (GstBaseTransform *base, GstPadDirection direction, GstCaps *caps, GstCaps *filter)
{
  GstDeblurunet *self = GST_DEBLURUNET (base);
  GstDeblurunetCompare compare;
  gboolean without_cuda;
  GstCaps *others, *filtered;

  GST_OBJECT_LOCK (self);
  compare = self->settings.compare;
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
  hand_on (self, 0); /* under the caps that downstream still has */
  self->caps++;
  self->memory = gst_deblurunet_cuda_has_caps (in_caps) ? DU_MEMORY_CUDA : DU_MEMORY_HOST;
  if (self->memory == DU_MEMORY_CUDA && !enter_cuda (self))
    return FALSE;
  GST_OBJECT_LOCK (self);
  self->frame_duration
      = GST_VIDEO_INFO_FPS_N (in) > 0
            ? gst_util_uint64_scale (GST_SECOND, GST_VIDEO_INFO_FPS_D (in), GST_VIDEO_INFO_FPS_N (in))
            : 0;
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

/* Between two frames: takes a changed weights file in, or warns and keeps the old one. */
static void
swap_weights (GstDeblurunet *self)
{
  g_autoptr (GError) error = NULL;
  DuSession *session = open_session (self, &error);

  if (!session) {
    g_prefix_error (&error, "the weights in use stay: ");
    gst_deblurunet_post_error (GST_ELEMENT (self), error, FALSE);
    return;
  }
  replace_session (self, session);
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
  self->compare = self->settings.compare;
  self->split_position = self->settings.split_position;
  swap = self->weights_changed;
  GST_OBJECT_UNLOCK (self);
  if (swap)
    swap_weights (self);
}

static gboolean
needs_no_work (GstDeblurunet *self, GstBuffer *input)
{
  return self->late || self->strength == 0 || GST_BUFFER_FLAG_IS_SET (input, GST_BUFFER_FLAG_GAP);
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
  if (self->memory == DU_MEMORY_CUDA && gst_deblurunet_cuda_follow (&self->cuda, GST_ELEMENT (self), input)) {
    if (!enter_cuda (self)) {
      gst_buffer_unref (input);
      return GST_FLOW_ERROR;
    }
    gst_base_transform_reconfigure_src (transform); /* buffers of that context */
  }
  return GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)
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
  job->deblur = !needs_no_work (self, job->input);
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
  return flow == GST_FLOW_OK ? hand_on (self, self->frames_in_flight) : flow;
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
         || GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->accept_caps (base, direction, caps);
}

static gboolean
takes_caps (GstDeblurunet *self, GstEvent *event)
{
  GstCaps *caps;

  gst_event_parse_caps (event, &caps);
  if (!is_hopeless (self, caps))
    return TRUE;
  gst_deblurunet_post_cuda_error (GST_ELEMENT (self), self->session, NULL);
  return FALSE;
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
      hand_on (self, 0);
  }
  if (GST_EVENT_TYPE (event) == GST_EVENT_CAPS && !takes_caps (self, event)) {
    gst_event_unref (event);
    return FALSE;
  }
  return GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->sink_event (transform, event);
}

/* The base class, were it told of QOS, would drop late frames by itself. */
static gboolean
src_event (GstBaseTransform *transform, GstEvent *event)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);

  if (GST_EVENT_TYPE (event) != GST_EVENT_QOS)
    return GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->src_event (transform, event);
  GST_OBJECT_LOCK (self);
  gst_deblurunet_qos_update (&self->qos, event);
  GST_OBJECT_UNLOCK (self);
  return gst_pad_push_event (transform->sinkpad, event);
}

static gboolean
propose_allocation (GstBaseTransform *transform, GstQuery *decided, GstQuery *query)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);

  if (self->memory == DU_MEMORY_CUDA) {
    if (!gst_deblurunet_cuda_propose (&self->cuda, query))
      return FALSE;
  } else if (!GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->propose_allocation (transform, decided, query)) {
    return FALSE;
  }
  gst_deblurunet_widen_pool (query, self->frames_in_flight);
  return TRUE;
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
  return GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->decide_allocation (transform, query);
}

/* Frames that need no work are handed on as they are, the output buffer being the input buffer, where
 * downstream can read their layout. */
static GstFlowReturn
prepare_output_buffer (GstBaseTransform *transform, GstBuffer *input, GstBuffer **output)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  GstFlowReturn flow;

  if (needs_no_work (self, input) && !shows_side_by_side (self)
      && (self->video_meta || !gst_buffer_get_video_meta (input))) {
    *output = input;
    return GST_FLOW_OK;
  }
  if (self->memory == DU_MEMORY_HOST
      && !gst_deblurunet_frame_fits (GST_ELEMENT (self), &GST_VIDEO_FILTER (self)->out_info))
    return GST_FLOW_ERROR;
  flow = GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->prepare_output_buffer (transform, input, output);
  if (flow == GST_FLOW_ERROR && self->memory == DU_MEMORY_CUDA)
    GST_ELEMENT_ERROR (self, RESOURCE, NO_SPACE_LEFT, ("No memory on the GPU for a frame."), (NULL));
  return flow;
}

static gboolean
transform_meta (GstBaseTransform *base, GstBuffer *output, GstMeta *meta, GstBuffer *input)
{
  (void) output;
  (void) input;
  return gst_deblurunet_compare_keeps_meta (meta, shows_side_by_side (GST_DEBLURUNET (base)));
}

static gboolean
query (GstBaseTransform *base, GstPadDirection direction, GstQuery *query_)
{
  GstDeblurunet *self = GST_DEBLURUNET (base);
  gboolean live, done;
  GstClockTime least, most, ours;

  if (GST_QUERY_TYPE (query_) == GST_QUERY_CONTEXT
      && gst_deblurunet_cuda_query (&self->cuda, GST_ELEMENT (self), query_))
    return TRUE;
  if (direction == GST_PAD_SINK && GST_QUERY_IS_SERIALIZED (query_))
    hand_on (self, 0);
  done = GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->query (base, direction, query_);
  if (done && direction == GST_PAD_SRC && GST_QUERY_TYPE (query_) == GST_QUERY_LATENCY) {
    gst_query_parse_latency (query_, &live, &least, &most);
    GST_OBJECT_LOCK (self);
    self->live = live;
    ours = self->reported = latency (self);
    GST_OBJECT_UNLOCK (self);
    gst_query_set_latency (
        query_, live, least + ours, GST_CLOCK_TIME_IS_VALID (most) ? most + ours : GST_CLOCK_TIME_NONE);
  }
  return done;
}

static void
set_context (GstElement *element, GstContext *context)
{
  GstDeblurunet *self = GST_DEBLURUNET (element);

  gst_deblurunet_cuda_set_context (&self->cuda, element, context, self->settings.session.device);
  GST_ELEMENT_CLASS (gst_deblurunet_parent_class)->set_context (element, context);
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
  GstDeblurunet *self = GST_DEBLURUNET (object);
  gboolean known;

  GST_OBJECT_LOCK (self);
  known = gst_deblurunet_settings_set (&self->settings, id, value);
  if (id == PROP_WEIGHTS)
    self->weights_changed = TRUE;
  GST_OBJECT_UNLOCK (self);
  if (id == PROP_COMPARE) /* the width may be another */
    gst_base_transform_reconfigure_src (GST_BASE_TRANSFORM (self));
  if (!known)
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  GstDeblurunet *self = GST_DEBLURUNET (object);
  gboolean known;

  if (id == PROP_STATS) {
    g_value_take_boxed (value, make_stats (self));
    return;
  }
  GST_OBJECT_LOCK (self);
  known = gst_deblurunet_settings_get (&self->settings, id, value);
  GST_OBJECT_UNLOCK (self);
  if (!known)
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
}

static void
finalize (GObject *object)
{
  GstDeblurunet *self = GST_DEBLURUNET (object);

  gst_deblurunet_queue_free (self->queue);
  gst_deblurunet_cuda_clear (&self->cuda);
  g_free (self->settings.weights);
  G_OBJECT_CLASS (gst_deblurunet_parent_class)->finalize (object);
}

static void
gst_deblurunet_class_init (GstDeblurunetClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *transform_class = GST_BASE_TRANSFORM_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (gst_deblurunet_debug, "deblurunet", 0, "U-Net deblurring");
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  object_class->finalize = finalize;
  gst_deblurunet_install_properties (object_class);
  gst_element_class_set_static_metadata (element_class, "U-Net deblurring filter", "Filter/Effect/Video",
      "Makes blurred video sharper with a U-Net on 256x448 tiles, on the GPU or the CPU",
      "The deblurunet authors");
  gst_deblurunet_add_templates (element_class);
  element_class->change_state = change_state;
  element_class->set_context = set_context;
  transform_class->start = start;
  transform_class->stop = stop;
  transform_class->before_transform = before_transform;
  transform_class->submit_input_buffer = submit_input_buffer;
  transform_class->generate_output = generate_output;
  transform_class->sink_event = sink_event;
  transform_class->src_event = src_event;
  transform_class->propose_allocation = propose_allocation;
  transform_class->decide_allocation = decide_allocation;
  transform_class->prepare_output_buffer = prepare_output_buffer;
  /* Without a transform_frame the parent class would have it work in place. */
  transform_class->transform_ip = NULL;
  transform_class->transform_caps = transform_caps;
  transform_class->accept_caps = accept_caps;
  transform_class->transform_meta = transform_meta;
  transform_class->query = query;
  GST_VIDEO_FILTER_CLASS (klass)->set_info = set_info;
}

static void
gst_deblurunet_init (GstDeblurunet *self)
{
  gst_deblurunet_settings_init (&self->settings);
  self->queue = gst_deblurunet_queue_new ();
}

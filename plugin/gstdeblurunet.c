/**
 * SECTION:element-deblurunet
 * @title: deblurunet
 * @short_description: Deblurs video with a U-Net
 *
 * Cuts each frame into tiles of 256 by 448 pixels (height by width), runs a U-Net over them, blends the
 * tiles, and adds what the network corrects, times #GstDeblurunet:strength, to the frame's own samples.
 * Alpha, timestamps, flags and metas stay as they are; the caps' own colour matrix, range and chroma siting
 * are used. Buffers with the GAP flag are deblurred like others: videorate marks the frames that it repeats so.
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
 * It is slow on a CPU: 1.6 seconds for a 1080p frame on two cores with bfloat16. Give `sync=false` to
 * the sink when a file is watched, or write to a file.
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
#include "element.h"

GST_DEBUG_CATEGORY (gst_deblurunet_debug);
#define GST_CAT_DEFAULT gst_deblurunet_debug

G_DEFINE_TYPE_WITH_CODE (GstDeblurunet, gst_deblurunet, GST_TYPE_VIDEO_FILTER,
    G_IMPLEMENT_INTERFACE (GST_TYPE_PRESET, NULL)) /* plugin/presets */
GST_ELEMENT_REGISTER_DEFINE (deblurunet, "deblurunet", GST_RANK_NONE, GST_TYPE_DEBLURUNET)

DuSession *
gst_deblurunet_open_session (GstDeblurunet *self, GError **error)
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

void
gst_deblurunet_replace_session (GstDeblurunet *self, DuSession *session)
{
  DuSession *old;

  GST_OBJECT_LOCK (self);
  old = self->session;
  self->session = session;
  GST_OBJECT_UNLOCK (self);
  du_session_unref (old);
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
  self->compare = self->settings.compare;
  GST_OBJECT_UNLOCK (self);
  self->memory = DU_MEMORY_HOST;
  gst_deblurunet_cuda_find (&self->cuda, GST_ELEMENT (self), &self->options); /* no second session later */
  session = gst_deblurunet_open_session (self, &error);
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

void
gst_deblurunet_tell_stats (GstDeblurunet *self)
{
  gboolean due;

  GST_OBJECT_LOCK (self);
  due = gst_deblurunet_stats_due (&self->stats, self->settings.stats_interval);
  GST_OBJECT_UNLOCK (self);
  if (due)
    gst_element_post_message (
        GST_ELEMENT (self), gst_message_new_element (GST_OBJECT (self), make_stats (self)));
}

GstClockTime
gst_deblurunet_latency (GstDeblurunet *self)
{
  GstClockTime step = self->frame_duration ? self->frame_duration : self->processing;

  return MAX (self->processing, self->frames_in_flight * step);
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
    gst_deblurunet_hand_on (self, 0);
  if (GST_QUERY_TYPE (query_) == GST_QUERY_CAPS || GST_QUERY_TYPE (query_) == GST_QUERY_ACCEPT_CAPS) {
    g_rw_lock_reader_lock (&self->negotiation); /* they ask for caps more than once, and are to be told the same */
    done = GST_DEBLURUNET_PARENT->query (base, direction, query_);
    g_rw_lock_reader_unlock (&self->negotiation);
    return done;
  }
  done = GST_DEBLURUNET_PARENT->query (base, direction, query_);
  if (done && direction == GST_PAD_SRC && GST_QUERY_TYPE (query_) == GST_QUERY_LATENCY) {
    gst_query_parse_latency (query_, &live, &least, &most);
    GST_OBJECT_LOCK (self);
    self->live = live;
    ours = self->reported = gst_deblurunet_latency (self);
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
  if (!self->session) /* else the streaming thread takes it in, which may be negotiating */
    self->compare = self->settings.compare;
  GST_OBJECT_UNLOCK (self);
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
  g_rw_lock_clear (&self->negotiation);
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
  transform_class->query = query;
  gst_deblurunet_negotiation_class_init (klass);
  gst_deblurunet_flow_class_init (klass);
}

static void
gst_deblurunet_init (GstDeblurunet *self)
{
  gst_deblurunet_settings_init (&self->settings);
  self->queue = gst_deblurunet_queue_new ();
  g_rw_lock_init (&self->negotiation);
  gst_base_transform_set_gap_aware (GST_BASE_TRANSFORM (self), TRUE); /* a repeated frame's result is repeated, too */
}

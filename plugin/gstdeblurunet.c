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
 * The network is one of the published form, trained with `deblurunet-train`, whose weights files the
 * #GstDeblurunet:weights property takes.
 *
 * It is slow on a CPU: nearly three seconds for a 1080p frame on two cores with bfloat16, half of that with
 * overlap=32. Give `sync=false` to the sink when a file is watched, or write to a file.
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
#include "properties.h"
#include "stats.h"
#include "video.h"

GST_DEBUG_CATEGORY_STATIC (gst_deblurunet_debug);
#define GST_CAT_DEFAULT gst_deblurunet_debug

#define WEIGHTS_VARIABLE "DEBLURUNET_WEIGHTS"
#define FORMATS                                                                                              \
  "{ I420, NV12, NV21, YV12, YUY2, UYVY, Y42B, Y444, RGB, BGR, RGBx, BGRx, xRGB, xBGR, RGBA, BGRA, ARGB, "   \
  "ABGR, GRAY8, GRAY16_LE, I420_10LE, P010_10LE, ARGB64 }"

/* The library takes frames of up to 32767 pixels a side. */
#define CAPS(largest_width) \
  "video/x-raw, format = (string) " FORMATS ", width = [ 1, " largest_width " ], height = [ 1, 32767 ]"

static GstStaticPadTemplate sink_template
    = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS ("32767")));
/* Two of them side by side. */
static GstStaticPadTemplate src_template
    = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS ("65536")));

struct _GstDeblurunet
{
  GstVideoFilter parent;

  /* Under the object lock: */
  GstDeblurunetSettings settings;
  gboolean weights_changed; /* since the session was opened */
  DuSession *session;       /* while started */
  GstDeblurunetStats stats;
  GstClockTime processing; /* of a frame, lately; what LATENCY reports */
  gboolean live;           /* as the last LATENCY query was answered */

  /* The streaming thread's own: */
  DuSessionOptions options;                          /* since start */
  DuDeblurrer *deblurrer[GST_DEBLURUNET_N_PICTURES]; /* made when first needed */
  gboolean video_meta;                               /* downstream understands GstVideoMeta */
  GstClockTime reported;                             /* processing time that the pipeline was told of */
  double strength, split_position;                   /* for this frame */
  GstDeblurunetCompare compare;
};

G_DEFINE_TYPE_WITH_CODE (GstDeblurunet, gst_deblurunet, GST_TYPE_VIDEO_FILTER,
    G_IMPLEMENT_INTERFACE (GST_TYPE_PRESET, NULL)) /* plugin/presets */
GST_ELEMENT_REGISTER_DEFINE (deblurunet, "deblurunet", GST_RANK_NONE, GST_TYPE_DEBLURUNET)

/* Posts an error of the library, with what it means in GStreamer's terms. Not with the object lock held. */
static void
post_error (GstDeblurunet *self, const GError *error, gboolean fatal)
{
  GQuark domain = GST_RESOURCE_ERROR;
  int code = GST_RESOURCE_ERROR_FAILED;

  if (error->domain == DU_ERROR)
    switch ((DuError) error->code) {
    case DU_ERROR_NOT_FOUND:
      code = GST_RESOURCE_ERROR_NOT_FOUND;
      break;
    case DU_ERROR_OPEN:
      code = GST_RESOURCE_ERROR_OPEN_READ;
      break;
    case DU_ERROR_IO:
      code = GST_RESOURCE_ERROR_READ;
      break;
    case DU_ERROR_MEMORY:
      code = GST_RESOURCE_ERROR_NO_SPACE_LEFT;
      break;
    case DU_ERROR_FORMAT:
      domain = GST_STREAM_ERROR;
      code = GST_STREAM_ERROR_WRONG_TYPE;
      break;
    case DU_ERROR_UNAVAILABLE:
      domain = GST_LIBRARY_ERROR;
      code = GST_LIBRARY_ERROR_INIT;
      break;
    case DU_ERROR_ARGUMENT:
      domain = GST_LIBRARY_ERROR;
      code = GST_LIBRARY_ERROR_SETTINGS;
      break;
    case DU_ERROR_BACKEND:
      domain = GST_LIBRARY_ERROR;
      code = GST_LIBRARY_ERROR_FAILED;
      break;
    }
  gst_element_message_full (GST_ELEMENT (self), fatal ? GST_MESSAGE_ERROR : GST_MESSAGE_WARNING, domain, code,
      g_strdup (error->message), NULL, __FILE__, GST_FUNCTION, __LINE__);
}

/* The path to load; g_free. */
static char *
weights_path (const char *property)
{
  const char *variable = g_getenv (WEIGHTS_VARIABLE);

  if (property)
    return g_strdup (property);
  return variable && *variable ? g_strdup (variable)
                               : g_build_filename (DU_WEIGHTS_DIR, "deblurunet.safetensors", NULL);
}

/* A session with the weights that the property names, or NULL. Takes and drops the object lock. */
static DuSession *
open_session (GstDeblurunet *self, GError **error)
{
  g_autofree char *path = NULL;
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) problem = NULL;
  DuSession *session = NULL;
  gboolean is_default;

  GST_OBJECT_LOCK (self);
  is_default = self->settings.weights == NULL;
  path = weights_path (self->settings.weights);
  self->weights_changed = FALSE;
  GST_OBJECT_UNLOCK (self);

  model = du_model_load (path, &problem);
  if (model)
    session = du_session_open (model, &self->options, &problem);
  if (session) {
    if (du_model_warning (model))
      GST_ELEMENT_WARNING (self, STREAM, WRONG_TYPE, ("%s", du_model_warning (model)), (NULL));
    if (du_session_note (session))
      GST_ELEMENT_INFO (self, LIBRARY, INIT, ("%s", du_session_note (session)), (NULL));
    GST_INFO_OBJECT (self, "%s on %s (%s), %s", path, du_session_backend (session),
        du_session_device (session), du_session_precision (session));
    return session;
  }
  if (is_default && g_error_matches (problem, DU_ERROR, DU_ERROR_NOT_FOUND))
    g_set_error (error, DU_ERROR, DU_ERROR_NOT_FOUND,
        "the default weights are not at %s: install deblurunet, or name a weights file by the property "
        "'weights' or the environment variable " WEIGHTS_VARIABLE,
        path);
  else
    g_propagate_error (error, g_steal_pointer (&problem));
  return NULL;
}

static gboolean
start (GstBaseTransform *transform)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  g_autoptr (GError) error = NULL;
  DuSession *session;

  GST_OBJECT_LOCK (self);
  self->options = self->settings.session;
  GST_OBJECT_UNLOCK (self);
  session = open_session (self, &error);
  if (!session) {
    post_error (self, error, TRUE);
    return FALSE;
  }
  GST_OBJECT_LOCK (self);
  self->session = session;
  self->stats = (GstDeblurunetStats){ 0 };
  self->processing = 0;
  self->live = FALSE;
  GST_OBJECT_UNLOCK (self);
  self->reported = 0;
  self->video_meta = FALSE;
  return TRUE;
}

static void
free_deblurrers (GstDeblurunet *self)
{
  for (int i = 0; i < GST_DEBLURUNET_N_PICTURES; i++)
    g_clear_pointer (&self->deblurrer[i], du_deblurrer_free);
}

static gboolean
stop (GstBaseTransform *transform)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  DuSession *session;

  free_deblurrers (self);
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
  GstCaps *others, *filtered;

  GST_OBJECT_LOCK (self);
  compare = self->settings.compare;
  GST_OBJECT_UNLOCK (self);
  others = compare == GST_DEBLURUNET_COMPARE_SIDE_BY_SIDE ? gst_deblurunet_compare_caps (direction, caps)
                                                          : gst_caps_ref (caps);
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

  (void) in_caps;
  (void) out_caps;
  (void) out;
  if (GST_VIDEO_INFO_INTERLACE_MODE (in) == GST_VIDEO_INTERLACE_MODE_FIELDS) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        ("Video of interlace-mode 'fields' is not supported: put a deinterlacer in front of deblurunet."),
        (NULL));
    return FALSE;
  }
  free_deblurrers (self);
  return TRUE;
}

/* The deblurrer of whole frames or of a field, made with the present session where it is not there. */
static DuDeblurrer *
get_deblurrer (GstDeblurunet *self, GstDeblurunetPicture picture, GError **error)
{
  DuDeblurrerOptions options;
  DuFrameInfo info;

  if (!self->deblurrer[picture]) {
    GST_OBJECT_LOCK (self);
    options = self->settings.tiles;
    GST_OBJECT_UNLOCK (self);
    gst_deblurunet_frame_info (&GST_VIDEO_FILTER (self)->in_info, picture, &info);
    self->deblurrer[picture] = du_deblurrer_new (self->session, &info, &options, error);
  }
  return self->deblurrer[picture];
}

/* Between two frames: takes a changed weights file in, or warns and keeps the old one. */
static void
swap_weights (GstDeblurunet *self)
{
  g_autoptr (GError) error = NULL;
  DuSession *session = open_session (self, &error), *old;

  if (!session) {
    g_prefix_error (&error, "the weights in use stay: ");
    post_error (self, error, FALSE);
    return;
  }
  for (int i = 0; i < GST_DEBLURUNET_N_PICTURES; i++)
    if (self->deblurrer[i])
      du_deblurrer_set_session (self->deblurrer[i], session);
  GST_OBJECT_LOCK (self);
  old = self->session;
  self->session = session;
  GST_OBJECT_UNLOCK (self);
  du_session_unref (old);
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

static GstFlowReturn
submit_input_buffer (GstBaseTransform *transform, gboolean is_discont, GstBuffer *input)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  GstFlowReturn result = GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)
                             ->submit_input_buffer (transform, is_discont, input);

  if (result == GST_BASE_TRANSFORM_FLOW_DROPPED) {
    GST_OBJECT_LOCK (self);
    self->stats.late++;
    GST_OBJECT_UNLOCK (self);
  }
  return result;
}

static gboolean
decide_allocation (GstBaseTransform *transform, GstQuery *query)
{
  GST_DEBLURUNET (transform)->video_meta
      = gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  return GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->decide_allocation (transform, query);
}

static gboolean
needs_no_work (GstDeblurunet *self, GstBuffer *input)
{
  return self->strength == 0 || GST_BUFFER_FLAG_IS_SET (input, GST_BUFFER_FLAG_GAP);
}

/* Frames that need no work are handed on as they are, the output buffer being the input buffer, where
 * downstream can read their layout. */
static GstFlowReturn
prepare_output_buffer (GstBaseTransform *transform, GstBuffer *input, GstBuffer **output)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);

  if (needs_no_work (self, input) && !shows_side_by_side (self)
      && (self->video_meta || !gst_buffer_get_video_meta (input))) {
    *output = input;
    return GST_FLOW_OK;
  }
  return GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)
      ->prepare_output_buffer (transform, input, output);
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

/* Adds the last frame's times to the statistics, and tells a live pipeline when frames take much longer or
 * shorter than it was told. */
static void
account (GstDeblurunet *self, guint tiles, const GstDeblurunetTimes *times)
{
  GstClockTime time = (GstClockTime) (gst_deblurunet_times_sum (times) * GST_MSECOND), processing;
  gboolean live;

  GST_OBJECT_LOCK (self);
  gst_deblurunet_stats_add (&self->stats, tiles, times);
  processing = self->processing = self->processing ? (7 * self->processing + time) / 8 : time;
  live = self->live;
  GST_OBJECT_UNLOCK (self);
  if (live
      && MAX (processing, self->reported) - MIN (processing, self->reported)
             > MAX (5 * GST_MSECOND, self->reported / 4)) {
    self->reported = processing;
    gst_element_post_message (GST_ELEMENT (self), gst_message_new_latency (GST_OBJECT (self)));
  }
}

static gboolean
deblur (GstDeblurunet *self, const GstVideoFrame *in, const GstVideoFrame *out, GError **error)
{
  gboolean fields = gst_deblurunet_has_fields (in, &GST_VIDEO_FILTER (self)->in_info);
  GstDeblurunetPicture last = fields ? GST_DEBLURUNET_BOTTOM_FIELD : GST_DEBLURUNET_WHOLE;
  GstDeblurunetTimes times = { 0 };
  guint tiles = 0;

  for (GstDeblurunetPicture i = fields ? GST_DEBLURUNET_TOP_FIELD : GST_DEBLURUNET_WHOLE; i <= last; i++) {
    DuFrame from, to;
    DuDeblurrer *deblurrer;
    DuDeblurrerStats stats;

    if (gst_deblurunet_picture_height (GST_VIDEO_FRAME_HEIGHT (in), i) == 0)
      continue;
    gst_deblurunet_frame_planes (in, i, &from);
    gst_deblurunet_frame_planes (out, i, &to);
    deblurrer = get_deblurrer (self, i, error);
    if (!deblurrer || !du_deblurrer_process (deblurrer, &from, &to, self->strength, error))
      return FALSE;
    du_deblurrer_get_stats (deblurrer, &stats);
    tiles += stats.tiles_per_frame;
    times.gather_ms += stats.gather_ms;
    times.network_ms += stats.network_ms;
    times.scatter_ms += stats.scatter_ms;
  }
  account (self, tiles, &times);
  return TRUE;
}

static void
count_passed_through (GstDeblurunet *self)
{
  GST_OBJECT_LOCK (self);
  self->stats.passed_through++;
  GST_OBJECT_UNLOCK (self);
}

/* GstVideoFilter works in place where a class has no transform_frame. */
static GstFlowReturn
transform_frame (GstVideoFilter *filter, GstVideoFrame *in, GstVideoFrame *out)
{
  GstDeblurunet *self = GST_DEBLURUNET (filter);
  gboolean side_by_side = shows_side_by_side (self), work = !needs_no_work (self, in->buffer);
  GstVideoFrame result = side_by_side ? gst_deblurunet_compare_after (in, out) : *out;
  g_autoptr (GError) error = NULL;

  if (!work) {
    gst_deblurunet_compare_copy (in, &result);
    count_passed_through (self);
  } else if (!deblur (self, in, &result, &error)) {
    post_error (self, error, TRUE);
    return GST_FLOW_ERROR;
  }
  if (side_by_side)
    gst_deblurunet_compare_side_by_side (in, out);
  else if (work && self->compare == GST_DEBLURUNET_COMPARE_SPLIT)
    gst_deblurunet_compare_split (in, out, self->split_position);
  if (work)
    GST_DEBUG_OBJECT (
        self, "deblurred the frame at %" GST_TIME_FORMAT, GST_TIME_ARGS (GST_BUFFER_PTS (in->buffer)));
  return GST_FLOW_OK;
}

/* Instead of GstVideoFilter's, which lets a frame that cannot be mapped go downstream with garbage in it. */
static GstFlowReturn
transform (GstBaseTransform *base, GstBuffer *input, GstBuffer *output)
{
  GstDeblurunet *self = GST_DEBLURUNET (base);
  GstVideoFilter *filter = GST_VIDEO_FILTER (base);
  GstVideoFrame in, out;
  GstFlowReturn result;

  if (input == output) {
    count_passed_through (self);
    tell_stats (self);
    return GST_FLOW_OK;
  }
  if (!filter->negotiated) {
    GST_ELEMENT_ERROR (self, CORE, NEGOTIATION, ("A frame came before its format was agreed on."), (NULL));
    return GST_FLOW_NOT_NEGOTIATED;
  }
  if (!gst_deblurunet_frame_map (&in, &filter->in_info, input, GST_MAP_READ)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        ("A buffer of %" G_GSIZE_FORMAT
         " bytes does not hold a frame of %s, %dx%d: the element before %s makes "
         "broken frames.",
            gst_buffer_get_size (input), GST_VIDEO_INFO_NAME (&filter->in_info),
            GST_VIDEO_INFO_WIDTH (&filter->in_info), GST_VIDEO_INFO_HEIGHT (&filter->in_info),
            GST_OBJECT_NAME (self)),
        (NULL));
    return GST_FLOW_ERROR;
  }
  if (!gst_deblurunet_frame_map (&out, &filter->out_info, output, GST_MAP_WRITE)) {
    gst_video_frame_unmap (&in);
    GST_ELEMENT_ERROR (self, RESOURCE, WRITE,
        ("A buffer of %" G_GSIZE_FORMAT
         " bytes, which the elements after %s gave, cannot take a frame of %s, %dx%d.",
            gst_buffer_get_size (output), GST_OBJECT_NAME (self), GST_VIDEO_INFO_NAME (&filter->out_info),
            GST_VIDEO_INFO_WIDTH (&filter->out_info), GST_VIDEO_INFO_HEIGHT (&filter->out_info)),
        (NULL));
    return GST_FLOW_ERROR;
  }
  result = transform_frame (filter, &in, &out);
  if (result == GST_FLOW_OK)
    tell_stats (self);
  gst_video_frame_unmap (&out);
  gst_video_frame_unmap (&in);
  return result;
}

/* The frame keeps its size, format and meaning, so every meta stays true but one about the old memory; where
 * two pictures are side by side, neither one about places in the picture. */
static gboolean
transform_meta (GstBaseTransform *base, GstBuffer *output, GstMeta *meta, GstBuffer *input)
{
  (void) output;
  (void) input;
  if (shows_side_by_side (GST_DEBLURUNET (base))
      && gst_meta_api_type_has_tag (meta->info->api, g_quark_from_static_string (GST_META_TAG_VIDEO_SIZE_STR)))
    return FALSE;
  return !gst_meta_api_type_has_tag (meta->info->api, g_quark_from_static_string (GST_META_TAG_MEMORY_STR))
         && !gst_meta_api_type_has_tag (
             meta->info->api, g_quark_from_static_string (GST_META_TAG_MEMORY_REFERENCE_STR));
}

static gboolean
query (GstBaseTransform *base, GstPadDirection direction, GstQuery *query_)
{
  GstDeblurunet *self = GST_DEBLURUNET (base);
  gboolean live, done;
  GstClockTime least, most, processing;

  done = GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->query (base, direction, query_);
  if (done && direction == GST_PAD_SRC && GST_QUERY_TYPE (query_) == GST_QUERY_LATENCY) {
    gst_query_parse_latency (query_, &live, &least, &most);
    GST_OBJECT_LOCK (self);
    self->live = live;
    processing = self->processing;
    GST_OBJECT_UNLOCK (self);
    gst_query_set_latency (query_, live, least + processing,
        GST_CLOCK_TIME_IS_VALID (most) ? most + processing : GST_CLOCK_TIME_NONE);
  }
  return done;
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
  g_free (GST_DEBLURUNET (object)->settings.weights);
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
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  transform_class->start = start;
  transform_class->stop = stop;
  transform_class->before_transform = before_transform;
  transform_class->submit_input_buffer = submit_input_buffer;
  transform_class->decide_allocation = decide_allocation;
  transform_class->prepare_output_buffer = prepare_output_buffer;
  transform_class->transform = transform;
  transform_class->transform_caps = transform_caps;
  transform_class->transform_meta = transform_meta;
  transform_class->query = query;
  GST_VIDEO_FILTER_CLASS (klass)->set_info = set_info;
  GST_VIDEO_FILTER_CLASS (klass)->transform_frame = transform_frame;
}

static void
gst_deblurunet_init (GstDeblurunet *self)
{
  gst_deblurunet_settings_init (&self->settings);
}

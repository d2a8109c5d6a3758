/**
 * SECTION:element-deblurunet
 * @title: deblurunet
 * @short_description: Deblurs video with a U-Net
 *
 * Cuts each frame into tiles of 256 by 448 pixels (height by width), runs a U-Net over them, blends the tiles,
 * and adds what the network corrects, times #GstDeblurunet:strength, to the frame's own samples. Alpha,
 * timestamps, flags and metas stay as they are; the caps' own colour matrix, range and chroma siting are
 * used. Interlaced frames are deblurred field by field. Buffers with the GAP flag pass through.
 *
 * The network is one of the published form, trained with `deblurunet-train`, whose weights files the
 * #GstDeblurunet:weights property takes.
 *
 * It is slow on a CPU: about a second for a 1080p frame on two cores with bfloat16. Give `sync=false` to the
 * sink when a file is watched, or write to a file.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! deblurunet ! videoconvert ! autovideosink sync=false
 * gst-launch-1.0 filesrc location=in.jpg ! decodebin ! videoconvert ! deblurunet compare=split ! videoconvert ! pngenc ! filesink location=out.png
 * ]|
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdeblurunet.h"

#include <string.h>

#include "compare.h"
#include "properties.h"

GST_DEBUG_CATEGORY_STATIC (gst_deblurunet_debug);
#define GST_CAT_DEFAULT gst_deblurunet_debug

#define WEIGHTS_VARIABLE "DEBLURUNET_WEIGHTS"
#define FORMATS \
  "{ I420, NV12, NV21, YV12, YUY2, UYVY, Y42B, Y444, RGB, BGR, RGBx, BGRx, xRGB, xBGR, RGBA, BGRA, ARGB, ABGR, " \
  "GRAY8, GRAY16_LE, I420_10LE, P010_10LE, ARGB64 }"

/* The library takes frames of up to 32767 pixels a side. */
#define CAPS \
  "video/x-raw, format = (string) " FORMATS ", width = [ 1, 32767 ], height = [ 1, 32767 ], " \
  "framerate = " GST_VIDEO_FPS_RANGE

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));

struct _GstDeblurunet
{
  GstVideoFilter parent;

  /* Under the object lock: */
  GstDeblurunetSettings settings;
  gboolean weights_changed;   /* since the session was opened */
  DuSession *session;         /* while started */
  DuDeblurrerStats stats;     /* since start */
  guint64 passed_through;     /* frames since start */
  GstClockTime processing;    /* of a frame, lately; what LATENCY reports */

  /* The streaming thread's own: */
  DuDeblurrer *deblurrer[3]; /* whole frames, top fields, bottom fields; made when first needed */
  GstClockTime reported;     /* processing time that the pipeline was told of */
  double strength, split_position; /* for this frame */
  GstDeblurunetCompare compare;
};

enum { WHOLE, TOP_FIELD, BOTTOM_FIELD };

G_DEFINE_TYPE (GstDeblurunet, gst_deblurunet, GST_TYPE_VIDEO_FILTER)
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

/* A session as the settings want it, or NULL. Takes and drops the object lock. */
static DuSession *
open_session (GstDeblurunet *self, GError **error)
{
  g_autofree char *path = NULL;
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) problem = NULL;
  DuSession *session = NULL;
  DuSessionOptions options;
  gboolean is_default;

  GST_OBJECT_LOCK (self);
  is_default = self->settings.weights == NULL;
  path = weights_path (self->settings.weights);
  options = self->settings.session;
  self->weights_changed = FALSE;
  GST_OBJECT_UNLOCK (self);

  model = du_model_load (path, &problem);
  if (model)
    session = du_session_open (model, &options, &problem);
  if (session) {
    if (du_model_warning (model))
      GST_ELEMENT_WARNING (self, STREAM, WRONG_TYPE, ("%s: %s", path, du_model_warning (model)), (NULL));
    GST_INFO_OBJECT (self, "%s on %s (%s), %s%s%s", path, du_session_backend (session),
        du_session_device (session), du_session_precision (session), du_session_note (session) ? ": " : "",
        du_session_note (session) ? du_session_note (session) : "");
    return session;
  }
  if (is_default && g_error_matches (problem, DU_ERROR, DU_ERROR_NOT_FOUND))
    g_set_error (error, DU_ERROR, DU_ERROR_NOT_FOUND,
        "the default weights are not at %s: install deblurunet, or name a weights file by the property 'weights' or "
        "the environment variable " WEIGHTS_VARIABLE,
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
  DuSession *session = open_session (self, &error);

  if (!session) {
    post_error (self, error, TRUE);
    return FALSE;
  }
  GST_OBJECT_LOCK (self);
  self->session = session;
  self->stats = (DuDeblurrerStats){ 0 };
  self->passed_through = 0;
  self->processing = 0;
  GST_OBJECT_UNLOCK (self);
  self->reported = 0;
  return TRUE;
}

static gboolean
stop (GstBaseTransform *transform)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);
  DuSession *session;
  const DuDeblurrerStats *stats = &self->stats;

  for (int i = 0; i < 3; i++)
    g_clear_pointer (&self->deblurrer[i], du_deblurrer_free);
  GST_OBJECT_LOCK (self);
  session = g_steal_pointer (&self->session);
  GST_OBJECT_UNLOCK (self);
  if (session && stats->frames) {
    double total = stats->gather_ms_total + stats->network_ms_total + stats->scatter_ms_total;

    GST_INFO_OBJECT (self,
        "summary: %" G_GUINT64_FORMAT " frames of %u tiles, %.2f frames per second (%.0f ms per frame: %.0f network, "
        "%.1f gather, %.1f scatter) on %s, %s, %s",
        stats->frames, stats->tiles_per_frame, 1000 * stats->frames / total, total / stats->frames,
        stats->network_ms_total / stats->frames, stats->gather_ms_total / stats->frames,
        stats->scatter_ms_total / stats->frames, du_session_backend (session), du_session_device (session),
        du_session_precision (session));
  }
  g_clear_pointer (&session, du_session_unref);
  return TRUE;
}

static gboolean
set_info (GstVideoFilter *filter, GstCaps *in_caps, GstVideoInfo *in, GstCaps *out_caps, GstVideoInfo *out)
{
  GstDeblurunet *self = GST_DEBLURUNET (filter);

  (void) in_caps;
  (void) out_caps;
  (void) out;
  if (GST_VIDEO_INFO_INTERLACE_MODE (in) == GST_VIDEO_INTERLACE_MODE_FIELDS) {
    GST_ERROR_OBJECT (self, "interlace-mode=fields is not supported; deinterlace first");
    return FALSE;
  }
  for (int i = 0; i < 3; i++)
    g_clear_pointer (&self->deblurrer[i], du_deblurrer_free);
  return TRUE;
}

static DuMatrix
matrix_of (GstVideoColorMatrix matrix)
{
  switch (matrix) {
  case GST_VIDEO_COLOR_MATRIX_BT709:
    return DU_MATRIX_BT709;
  case GST_VIDEO_COLOR_MATRIX_BT2020:
    return DU_MATRIX_BT2020;
  case GST_VIDEO_COLOR_MATRIX_FCC:
    return DU_MATRIX_FCC;
  case GST_VIDEO_COLOR_MATRIX_SMPTE240M:
    return DU_MATRIX_SMPTE240M;
  default: /* RGB and gray do not read it */
    return DU_MATRIX_BT601;
  }
}

static int
field_height (int height, int field)
{
  return field == WHOLE ? height : field == TOP_FIELD ? (height + 1) / 2 : height / 2;
}

/* The deblurrer of whole frames or of a field, made with the present session where it is not there. */
static DuDeblurrer *
get_deblurrer (GstDeblurunet *self, const GstVideoInfo *info, int field, GError **error)
{
  GstVideoChromaSite site = GST_VIDEO_INFO_CHROMA_SITE (info);
  GstVideoColorRange range = GST_VIDEO_INFO_COLORIMETRY (info).range;
  DuDeblurrerOptions options;
  const DuFrameInfo frame = {
    .format = du_format_from_name (gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (info))),
    .width = GST_VIDEO_INFO_WIDTH (info),
    .height = field_height (GST_VIDEO_INFO_HEIGHT (info), field),
    .matrix = matrix_of (GST_VIDEO_INFO_COLORIMETRY (info).matrix),
    .full_range = range == GST_VIDEO_COLOR_RANGE_0_255
                  || (range == GST_VIDEO_COLOR_RANGE_UNKNOWN && !GST_VIDEO_INFO_IS_YUV (info)),
    /* Unknown: MPEG-2's. */
    .chroma_centred_x = site != GST_VIDEO_CHROMA_SITE_UNKNOWN && !(site & GST_VIDEO_CHROMA_SITE_H_COSITED),
    .chroma_centred_y = !(site & GST_VIDEO_CHROMA_SITE_V_COSITED),
  };

  if (!self->deblurrer[field]) {
    GST_OBJECT_LOCK (self);
    options = self->settings.tiles;
    GST_OBJECT_UNLOCK (self);
    self->deblurrer[field] = du_deblurrer_new (self->session, &frame, &options, error);
  }
  return self->deblurrer[field];
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
  for (int i = 0; i < 3; i++)
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
  GstClockTime time = gst_segment_to_stream_time (&transform->segment, GST_FORMAT_TIME, GST_BUFFER_PTS (buffer));
  gboolean swap;

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

/* Frames that need no work are handed on as they are: the output buffer is the input buffer. */
static GstFlowReturn
prepare_output_buffer (GstBaseTransform *transform, GstBuffer *input, GstBuffer **output)
{
  GstDeblurunet *self = GST_DEBLURUNET (transform);

  if (self->strength == 0 || GST_BUFFER_FLAG_IS_SET (input, GST_BUFFER_FLAG_GAP)) {
    *output = input;
    return GST_FLOW_OK;
  }
  return GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->prepare_output_buffer (transform, input, output);
}

/* Planes of a frame or of one of its fields. */
static void
frame_planes (const GstVideoFrame *from, int field, DuFrame *to)
{
  for (guint plane = 0; plane < GST_VIDEO_FRAME_N_PLANES (from); plane++) {
    int stride = GST_VIDEO_FRAME_PLANE_STRIDE (from, plane);

    to->data[plane] = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (from, plane) + (field == BOTTOM_FIELD ? stride : 0);
    to->stride[plane] = field == WHOLE ? stride : 2 * stride;
  }
}

/* Adds the last frame's times to the statistics, and tells the pipeline when frames take much longer or
 * shorter than it was told. */
static void
account (GstDeblurunet *self, const DuDeblurrerStats *last)
{
  double ms = last->gather_ms + last->network_ms + last->scatter_ms;
  GstClockTime time = (GstClockTime) (ms * GST_MSECOND), processing;

  GST_OBJECT_LOCK (self);
  self->stats.frames++;
  self->stats.tiles_per_frame = last->tiles_per_frame;
  self->stats.gather_ms = last->gather_ms;
  self->stats.network_ms = last->network_ms;
  self->stats.scatter_ms = last->scatter_ms;
  self->stats.gather_ms_total += last->gather_ms;
  self->stats.network_ms_total += last->network_ms;
  self->stats.scatter_ms_total += last->scatter_ms;
  self->processing = self->processing ? (7 * self->processing + time) / 8 : time;
  processing = self->processing;
  GST_OBJECT_UNLOCK (self);
  if (MAX (processing, self->reported) - MIN (processing, self->reported) > MAX (5 * GST_MSECOND, self->reported / 4)) {
    self->reported = processing;
    gst_element_post_message (GST_ELEMENT (self), gst_message_new_latency (GST_OBJECT (self)));
  }
}

static gboolean
deblur (GstDeblurunet *self, const GstVideoFrame *in, const GstVideoFrame *out, GError **error)
{
  gboolean fields = GST_VIDEO_FRAME_IS_INTERLACED (in);
  DuDeblurrerStats sum = { 0 };

  for (int field = fields ? TOP_FIELD : WHOLE; field <= (fields ? BOTTOM_FIELD : WHOLE); field++) {
    DuFrame from = { 0 }, to = { 0 };
    DuDeblurrer *deblurrer;
    DuDeblurrerStats stats;

    if (field_height (GST_VIDEO_FRAME_HEIGHT (in), field) == 0)
      continue; /* the bottom field of a single line */
    frame_planes (in, field, &from);
    frame_planes (out, field, &to);
    deblurrer = get_deblurrer (self, &in->info, field, error);
    if (!deblurrer || !du_deblurrer_process (deblurrer, &from, &to, self->strength, error))
      return FALSE;
    du_deblurrer_get_stats (deblurrer, &stats);
    sum.tiles_per_frame += stats.tiles_per_frame;
    sum.gather_ms += stats.gather_ms;
    sum.network_ms += stats.network_ms;
    sum.scatter_ms += stats.scatter_ms;
  }
  account (self, &sum);
  return TRUE;
}

static GstFlowReturn
transform_frame (GstVideoFilter *filter, GstVideoFrame *in, GstVideoFrame *out)
{
  GstDeblurunet *self = GST_DEBLURUNET (filter);
  g_autoptr (GError) error = NULL;

  if (!deblur (self, in, out, &error)) {
    post_error (self, error, TRUE);
    return GST_FLOW_ERROR;
  }
  if (self->compare == GST_DEBLURUNET_COMPARE_SPLIT)
    gst_deblurunet_compare_split (in, out, self->split_position);
  return GST_FLOW_OK;
}

/* Instead of GstVideoFilter's, which lets a frame that cannot be mapped go downstream with garbage in it. */
static GstFlowReturn
transform (GstBaseTransform *base, GstBuffer *input, GstBuffer *output)
{
  GstDeblurunet *self = GST_DEBLURUNET (base);
  GstVideoFilter *filter = GST_VIDEO_FILTER (base);
  GstFlowReturn flow;
  GstVideoFrame in, out;

  if (input == output) {
    GST_OBJECT_LOCK (self);
    self->passed_through++;
    GST_OBJECT_UNLOCK (self);
    return GST_FLOW_OK;
  }
  if (!filter->negotiated) {
    GST_ELEMENT_ERROR (self, CORE, NEGOTIATION, ("A frame came before its format was agreed on."), (NULL));
    return GST_FLOW_NOT_NEGOTIATED;
  }
  if (!gst_video_frame_map (&in, &filter->in_info, input, GST_MAP_READ | GST_VIDEO_FRAME_MAP_FLAG_NO_REF)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        ("A buffer of %" G_GSIZE_FORMAT " bytes cannot be read as a %s frame of %dx%d: the element before this one "
         "makes broken frames.",
            gst_buffer_get_size (input), GST_VIDEO_INFO_NAME (&filter->in_info),
            GST_VIDEO_INFO_WIDTH (&filter->in_info), GST_VIDEO_INFO_HEIGHT (&filter->in_info)),
        (NULL));
    return GST_FLOW_ERROR;
  }
  if (!gst_video_frame_map (&out, &filter->out_info, output, GST_MAP_WRITE | GST_VIDEO_FRAME_MAP_FLAG_NO_REF)) {
    gst_video_frame_unmap (&in);
    GST_ELEMENT_ERROR (self, RESOURCE, NO_SPACE_LEFT, ("An output frame cannot be written."), (NULL));
    return GST_FLOW_ERROR;
  }
  flow = transform_frame (filter, &in, &out);
  gst_video_frame_unmap (&out);
  gst_video_frame_unmap (&in);
  return flow;
}

/* The frame keeps its size, format and meaning, so every meta stays true but one about the old memory. */
static gboolean
transform_meta (GstBaseTransform *base, GstBuffer *output, GstMeta *meta, GstBuffer *input)
{
  (void) base;
  (void) output;
  (void) input;
  return !gst_meta_api_type_has_tag (meta->info->api, g_quark_from_static_string (GST_META_TAG_MEMORY_STR));
}

static gboolean
query (GstBaseTransform *base, GstPadDirection direction, GstQuery *query_)
{
  GstDeblurunet *self = GST_DEBLURUNET (base);
  gboolean live, done;
  GstClockTime least, most, processing;

  done = GST_BASE_TRANSFORM_CLASS (gst_deblurunet_parent_class)->query (base, direction, query_);
  if (done && direction == GST_PAD_SRC && GST_QUERY_TYPE (query_) == GST_QUERY_LATENCY) {
    GST_OBJECT_LOCK (self);
    processing = self->processing;
    GST_OBJECT_UNLOCK (self);
    gst_query_parse_latency (query_, &live, &least, &most);
    gst_query_set_latency (query_, live, least + processing,
        GST_CLOCK_TIME_IS_VALID (most) ? most + processing : GST_CLOCK_TIME_NONE);
  }
  return done;
}

/* A new structure. Takes the object lock. */
static GstStructure *
make_stats (GstDeblurunet *self)
{
  GstStructure *structure;
  DuDeblurrerStats stats;
  guint64 passed_through;
  DuSession *session = NULL;
  double frames, network_s;

  GST_OBJECT_LOCK (self);
  stats = self->stats;
  passed_through = self->passed_through;
  if (self->session)
    session = du_session_ref (self->session);
  GST_OBJECT_UNLOCK (self);
  frames = MAX (stats.frames, 1);
  network_s = stats.network_ms_total / 1000;
  structure = gst_structure_new ("deblurunet-stats", "frames", G_TYPE_UINT64, stats.frames, "passed-through",
      G_TYPE_UINT64, passed_through, "tiles-per-frame", G_TYPE_UINT, stats.tiles_per_frame, "tiles-per-second",
      G_TYPE_DOUBLE, network_s > 0 ? stats.frames * stats.tiles_per_frame / network_s : 0.0, "gather-ms",
      G_TYPE_DOUBLE, stats.gather_ms, "network-ms", G_TYPE_DOUBLE, stats.network_ms, "scatter-ms", G_TYPE_DOUBLE,
      stats.scatter_ms, "gather-mean-ms", G_TYPE_DOUBLE, stats.gather_ms_total / frames, "network-mean-ms",
      G_TYPE_DOUBLE, stats.network_ms_total / frames, "scatter-mean-ms", G_TYPE_DOUBLE,
      stats.scatter_ms_total / frames, NULL);
  if (session) {
    DuModel *model = du_session_model (session);

    gst_structure_set (structure, "backend", G_TYPE_STRING, du_session_backend (session), "device", G_TYPE_STRING,
        du_session_device (session), "precision", G_TYPE_STRING, du_session_precision (session), "note",
        G_TYPE_STRING, du_session_note (session), "weights", G_TYPE_STRING, du_model_path (model),
        "weights-trained-on", G_TYPE_STRING, du_model_metadata (model, "trained_on"), NULL);
    du_session_unref (session);
  }
  return structure;
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
      "Makes blurred video sharper with a U-Net on 256x448 tiles, on the GPU or the CPU", "The deblurunet authors");
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  transform_class->start = start;
  transform_class->stop = stop;
  transform_class->before_transform = before_transform;
  transform_class->prepare_output_buffer = prepare_output_buffer;
  transform_class->transform = transform;
  transform_class->transform_meta = transform_meta;
  transform_class->query = query;
  GST_VIDEO_FILTER_CLASS (klass)->set_info = set_info;
  /* Called by our own transform; GstVideoFilter works in place where it is not set. */
  GST_VIDEO_FILTER_CLASS (klass)->transform_frame = transform_frame;
}

static void
gst_deblurunet_init (GstDeblurunet *self)
{
  gst_deblurunet_settings_init (&self->settings);
}

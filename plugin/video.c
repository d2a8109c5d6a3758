/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "video.h"

#include "cudamemory.h"

#define FRAME_TO_ASK_FOR ((gsize) 64 << 20) /* bytes */

#define FORMATS                                                                                              \
  "{ I420, NV12, NV21, YV12, YUY2, UYVY, Y42B, Y444, RGB, BGR, RGBx, BGRx, xRGB, xBGR, RGBA, BGRA, ARGB, "   \
  "ABGR, GRAY8, GRAY16_LE, I420_10LE, P010_10LE, ARGB64 }"

/* The library takes frames of up to 32767 pixels a side. */
#define CAPS(largest_width) \
  "video/x-raw, format = (string) " FORMATS ", width = [ 1, " largest_width " ], height = [ 1, 32767 ]"

static void
add_template (GstElementClass *klass, const char *name, GstPadDirection direction, const char *caps)
{
  g_autoptr (GstCaps) all = gst_deblurunet_cuda_add_caps (gst_caps_from_string (caps));

  gst_element_class_add_pad_template (klass, gst_pad_template_new (name, direction, GST_PAD_ALWAYS, all));
}

void
gst_deblurunet_add_templates (GstElementClass *klass)
{
  add_template (klass, "sink", GST_PAD_SINK, CAPS ("32767"));
  add_template (klass, "src", GST_PAD_SRC, CAPS ("65536")); /* two of them side by side */
}

int
gst_deblurunet_picture_height (int height, GstDeblurunetPicture picture)
{
  switch (picture) {
  case GST_DEBLURUNET_TOP_FIELD:
    return (height + 1) / 2;
  case GST_DEBLURUNET_BOTTOM_FIELD:
    return height / 2;
  default:
    return height;
  }
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
  default: /* RGB and gray do not read it; GstVideoInfo leaves no other format without one */
    return DU_MATRIX_BT601;
  }
}

void
gst_deblurunet_frame_info (const GstVideoInfo *info, GstDeblurunetPicture picture, DuFrameInfo *to)
{
  GstVideoChromaSite site = GST_VIDEO_INFO_CHROMA_SITE (info);
  GstVideoColorRange range = GST_VIDEO_INFO_COLORIMETRY (info).range;

  *to = (DuFrameInfo){
    .format = du_format_from_name (gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (info))),
    .width = GST_VIDEO_INFO_WIDTH (info),
    .height = gst_deblurunet_picture_height (GST_VIDEO_INFO_HEIGHT (info), picture),
    .matrix = matrix_of (GST_VIDEO_INFO_COLORIMETRY (info).matrix),
    .full_range = range == GST_VIDEO_COLOR_RANGE_0_255
                  || (range == GST_VIDEO_COLOR_RANGE_UNKNOWN && !GST_VIDEO_INFO_IS_YUV (info)),
    /* Unknown: MPEG-2's. */
    .chroma_centred_x = site != GST_VIDEO_CHROMA_SITE_UNKNOWN && !(site & GST_VIDEO_CHROMA_SITE_H_COSITED),
    .chroma_centred_y = !(site & GST_VIDEO_CHROMA_SITE_V_COSITED),
  };
}

void
gst_deblurunet_frame_planes (const GstVideoFrame *frame, GstDeblurunetPicture picture, DuFrame *to)
{
  *to = (DuFrame){ 0 };
  for (guint plane = 0; plane < GST_VIDEO_FRAME_N_PLANES (frame); plane++) {
    int stride = GST_VIDEO_FRAME_PLANE_STRIDE (frame, plane);

    to->data[plane] = GST_VIDEO_FRAME_PLANE_DATA (frame, plane);
    if (picture == GST_DEBLURUNET_BOTTOM_FIELD)
      to->data[plane] += stride;
    to->stride[plane] = picture == GST_DEBLURUNET_WHOLE ? stride : 2 * stride;
  }
}

/* Lines of a component that both fields reach: where its number is odd, one more than there are. */
static int
field_lines (const GstVideoInfo *info, guint component)
{
  int lines[2];

  for (int i = 0; i < 2; i++)
    lines[i] = GST_VIDEO_FORMAT_INFO_SCALE_HEIGHT (info->finfo, component,
        gst_deblurunet_picture_height (GST_VIDEO_INFO_HEIGHT (info), GST_DEBLURUNET_TOP_FIELD + i));
  return MAX (2 * lines[0] - 1, 2 * lines[1]);
}

gboolean
gst_deblurunet_has_fields (const GstVideoFrame *frame, const GstVideoInfo *info)
{
  for (guint i = 0; i < GST_VIDEO_INFO_N_COMPONENTS (info); i++) {
    guint plane = GST_VIDEO_FORMAT_INFO_PLANE (info->finfo, i);
    gsize end = plane + 1 < GST_VIDEO_INFO_N_PLANES (info) ? GST_VIDEO_INFO_PLANE_OFFSET (info, plane + 1)
                                                           : GST_VIDEO_INFO_SIZE (info);
    gsize bytes = end - GST_VIDEO_INFO_PLANE_OFFSET (info, plane);

    if (bytes / GST_VIDEO_INFO_PLANE_STRIDE (info, plane) < (gsize) field_lines (info, i))
      return FALSE;
  }
  return GST_VIDEO_FRAME_IS_INTERLACED (frame);
}

/* GStreamer itself checks a frame with a GstVideoMeta no further than the first byte of a plane. */
static gboolean
memory_suffices (const GstVideoFrame *frame, const GstVideoInfo *info)
{
  gboolean fields = gst_deblurunet_has_fields (frame, info);

  for (guint i = 0; i < GST_VIDEO_FRAME_N_COMPONENTS (frame); i++) {
    guint plane = GST_VIDEO_FORMAT_INFO_PLANE (frame->info.finfo, i);
    const GstMapInfo *map = &frame->map[frame->meta ? plane : 0];
    gssize at = (const guint8 *) GST_VIDEO_FRAME_PLANE_DATA (frame, plane) - map->data;
    int lines = fields ? field_lines (info, i) : GST_VIDEO_FRAME_COMP_HEIGHT (frame, i);
    gssize span = (gssize) GST_VIDEO_FRAME_PLANE_STRIDE (frame, plane) * (lines - 1);
    gssize line = (gssize) GST_VIDEO_FRAME_COMP_PSTRIDE (frame, i) * GST_VIDEO_FRAME_COMP_WIDTH (frame, i);

    if (at + MIN (span, 0) < 0 || at + MAX (span, 0) + line > (gssize) map->size)
      return FALSE;
  }
  return TRUE;
}

/* Asked first, because GStreamer takes it for a programmer's error where it is not so. */
static gboolean
meta_suits (const GstVideoMeta *meta, const GstVideoInfo *info)
{
  return !meta
         || (meta->format == GST_VIDEO_INFO_FORMAT (info) && meta->width >= (guint) GST_VIDEO_INFO_WIDTH (info)
             && meta->height >= (guint) GST_VIDEO_INFO_HEIGHT (info));
}

static gboolean
map_frame (GstVideoFrame *frame, const GstVideoInfo *info, GstBuffer *buffer, guint flags)
{
  if (!meta_suits (gst_buffer_get_video_meta (buffer), info) || !gst_video_frame_map (frame, info, buffer, flags))
    return FALSE;
  frame->info.width = GST_VIDEO_INFO_WIDTH (info);
  frame->info.height = GST_VIDEO_INFO_HEIGHT (info);
  if (memory_suffices (frame, info))
    return TRUE;
  gst_video_frame_unmap (frame);
  return FALSE;
}

gboolean
gst_deblurunet_frame_map (
    GstVideoFrame *frame, const GstVideoInfo *info, GstBuffer *buffer, GstMapFlags flags)
{
  GstVideoMeta *meta = gst_buffer_get_video_meta (buffer);
  g_autoptr (GstBuffer) merged = NULL;

  if (map_frame (frame, info, buffer, flags | GST_VIDEO_FRAME_MAP_FLAG_NO_REF))
    return TRUE;
  if (flags & GST_MAP_WRITE || !meta || gst_buffer_n_memory (buffer) < 2)
    return FALSE;
  /* A plane that begins in one memory and ends in the next is mapped up to the end of the first. */
  merged = gst_buffer_copy_region (
      buffer, GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_MEMORY | GST_BUFFER_COPY_MERGE, 0, -1);
  if (!merged)
    return FALSE;
  gst_buffer_add_video_meta_full (merged, meta->flags, meta->format, meta->width, meta->height,
      meta->n_planes, meta->offset, meta->stride);
  return map_frame (frame, info, merged, flags);
}

gboolean
gst_deblurunet_frame_fits (GstElement *element, const GstVideoInfo *info)
{
  gsize size = GST_VIDEO_INFO_SIZE (info);
  gpointer memory;

  if (size < FRAME_TO_ASK_FOR)
    return TRUE;
  memory = g_try_malloc (size);
  g_free (memory);
  if (!memory)
    GST_ELEMENT_ERROR (element, RESOURCE, NO_SPACE_LEFT,
        ("No memory for a frame of %dx%d pixels, %" G_GSIZE_FORMAT " MB.", GST_VIDEO_INFO_WIDTH (info),
            GST_VIDEO_INFO_HEIGHT (info), size / 1000000),
        (NULL));
  return memory != NULL;
}

void
gst_deblurunet_widen_pool (GstQuery *query, guint frames)
{
  GstBufferPool *pool;
  guint size, least, most;

  if (gst_query_get_n_allocation_pools (query) == 0)
    return;
  gst_query_parse_nth_allocation_pool (query, 0, &pool, &size, &least, &most);
  least += frames;
  gst_query_set_nth_allocation_pool (query, 0, pool, size, least, most ? MAX (least, most) : 0);
  gst_clear_object (&pool);
}

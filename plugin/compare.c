/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compare.h"

#include <math.h>
#include <string.h>

/* Writes one sample of a component; formats of more than 8 bit are little-endian. */
static void
put_sample (const GstVideoFormatInfo *format, guint component, guint8 *at, guint value)
{
  value <<= GST_VIDEO_FORMAT_INFO_SHIFT (format, component);
  if (GST_VIDEO_FORMAT_INFO_DEPTH (format, component) <= 8)
    *at = value;
  else
    GST_WRITE_UINT16_LE (at, value);
}

static guint
white (const GstVideoFrame *frame, guint component)
{
  const GstVideoFormatInfo *format = frame->info.finfo;
  int offset[GST_VIDEO_MAX_COMPONENTS], scale[GST_VIDEO_MAX_COMPONENTS];

  if (GST_VIDEO_FORMAT_INFO_IS_YUV (format) && component > 0)
    return 1u << (GST_VIDEO_FORMAT_INFO_DEPTH (format, component) - 1);
  gst_video_color_range_offsets (GST_VIDEO_INFO_COLORIMETRY (&frame->info).range, format, offset, scale);
  return (guint) (offset[component] + scale[component]);
}

/* Pixels [first, last) of one component's lines become white. */
static void
draw_component (const GstVideoFrame *out, guint component, int first, int last)
{
  const GstVideoFormatInfo *format = out->info.finfo;
  guint plane = GST_VIDEO_FORMAT_INFO_PLANE (format, component), value = white (out, component);
  int step = GST_VIDEO_FRAME_COMP_PSTRIDE (out, component);
  int at = GST_VIDEO_FRAME_COMP_POFFSET (out, component);

  if (GST_VIDEO_FORMAT_INFO_DEPTH (format, component) > 8)
    at = (at + 1) & ~1; /* GStreamer 1.22 says 1 of the Cr of P010 */
  first = GST_VIDEO_FORMAT_INFO_SCALE_WIDTH (format, component, first);
  last = GST_VIDEO_FORMAT_INFO_SCALE_WIDTH (format, component, last);
  for (int y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (out, component); y++) {
    guint8 *line = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (out, plane)
                   + (gssize) y * GST_VIDEO_FRAME_PLANE_STRIDE (out, plane) + at;

    for (int x = first; x < last; x++)
      put_sample (format, component, line + (gssize) x * step, value);
  }
}

/* first and last are even, or the frame's width. */
static void
draw_line (const GstVideoFrame *out, int first, int last)
{
  for (guint component = 0; component < GST_VIDEO_FRAME_N_COMPONENTS (out); component++)
    if (!GST_VIDEO_FORMAT_INFO_HAS_ALPHA (out->info.finfo) || component != GST_VIDEO_COMP_A)
      draw_component (out, component, first, last);
}

/* Of the line between pictures of that width, even. */
static int
line_width (int width)
{
  return MAX (2, width / 480 & ~1);
}

/* Copies the lines' first bytes, up to where pixel end of the component ends. */
static void
copy_left (const GstVideoFrame *in, const GstVideoFrame *out, guint component, int end)
{
  guint plane = GST_VIDEO_FORMAT_INFO_PLANE (out->info.finfo, component);
  gsize bytes = (gsize) GST_VIDEO_FRAME_COMP_PSTRIDE (out, component)
                * GST_VIDEO_FORMAT_INFO_SCALE_WIDTH (out->info.finfo, component, end);

  for (int y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (out, component); y++)
    memcpy ((guint8 *) GST_VIDEO_FRAME_PLANE_DATA (out, plane)
                + (gssize) y * GST_VIDEO_FRAME_PLANE_STRIDE (out, plane),
        (const guint8 *) GST_VIDEO_FRAME_PLANE_DATA (in, plane)
            + (gssize) y * GST_VIDEO_FRAME_PLANE_STRIDE (in, plane),
        bytes);
}

void
gst_deblurunet_compare_copy (const GstVideoFrame *in, const GstVideoFrame *out)
{
  for (guint component = 0; component < GST_VIDEO_FRAME_N_COMPONENTS (out); component++)
    copy_left (in, out, component, GST_VIDEO_FRAME_WIDTH (in));
}

void
gst_deblurunet_compare_split (const GstVideoFrame *in, const GstVideoFrame *out, double position)
{
  int width = GST_VIDEO_FRAME_WIDTH (out), line = line_width (width);
  int split = (int) lrint (position * width);

  if (split < width)
    split &= ~1; /* on a chroma sample */
  /* Components that share a plane copy it more than once: cheap beside the network. */
  for (guint component = 0; component < GST_VIDEO_FRAME_N_COMPONENTS (out); component++)
    copy_left (in, out, component, split);
  if (split > 0)
    draw_line (out, split, MIN (split + line, width));
}

/* ---- side by side ------------------------------------------------------------------------------ */

/* Of each of the two pictures in the wide one, so that the second one too begins on a chroma sample. */
static int
half_width (int width)
{
  return (width + 1) & ~1;
}

gboolean
gst_deblurunet_compare_is_wide (const GstVideoInfo *in, const GstVideoInfo *out)
{
  return GST_VIDEO_INFO_WIDTH (in) != GST_VIDEO_INFO_WIDTH (out);
}

/* The part of the frame that begins at an even pixel. */
static GstVideoFrame
part_of (const GstVideoFrame *frame, int first, int width)
{
  const GstVideoFormatInfo *format = frame->info.finfo;
  GstVideoFrame part = *frame;

  part.info.width = width;
  for (guint component = 0; component < GST_VIDEO_FRAME_N_COMPONENTS (frame); component++) {
    guint plane = GST_VIDEO_FORMAT_INFO_PLANE (format, component);

    part.data[plane] = (guint8 *) frame->data[plane]
                       + (gsize) GST_VIDEO_FORMAT_INFO_SCALE_WIDTH (format, component, first)
                             * GST_VIDEO_FORMAT_INFO_PSTRIDE (format, component);
  }
  return part;
}

/* Right of a picture of odd width: its last pixel once more. Chroma at half the width reaches that far. */
static void
repeat_last (const GstVideoFrame *frame)
{
  const GstVideoFormatInfo *format = frame->info.finfo;
  int last = GST_VIDEO_FRAME_WIDTH (frame) - 1;

  for (guint component = 0; component < GST_VIDEO_FRAME_N_COMPONENTS (frame); component++) {
    guint plane = GST_VIDEO_FORMAT_INFO_PLANE (format, component);
    int step = GST_VIDEO_FORMAT_INFO_PSTRIDE (format, component);
    int bytes = (GST_VIDEO_FORMAT_INFO_DEPTH (format, component) + 7) / 8;
    int at = last * step;

    if (GST_VIDEO_FORMAT_INFO_W_SUB (format, component))
      continue;
    if (GST_VIDEO_FORMAT_INFO_IS_RGB (format)) /* with the byte that is no sample */
      bytes = step;
    else
      at += GST_VIDEO_FORMAT_INFO_POFFSET (format, component);
    for (int y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (frame, component); y++) {
      guint8 *line = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (frame, plane)
                     + (gssize) y * GST_VIDEO_FRAME_PLANE_STRIDE (frame, plane) + at;

      memcpy (line + step, line, bytes);
    }
  }
}

GstVideoFrame
gst_deblurunet_compare_after (const GstVideoFrame *in, const GstVideoFrame *wide)
{
  return part_of (wide, half_width (GST_VIDEO_FRAME_WIDTH (in)), GST_VIDEO_FRAME_WIDTH (in));
}

void
gst_deblurunet_compare_side_by_side (const GstVideoFrame *in, const GstVideoFrame *wide)
{
  int width = GST_VIDEO_FRAME_WIDTH (in), half = half_width (width), line = line_width (width);
  GstVideoFrame before = part_of (wide, 0, width), after = gst_deblurunet_compare_after (in, wide);
  int first = half - ((line / 2 + 1) & ~1);

  gst_deblurunet_compare_copy (in, &before);
  if (width < half) {
    repeat_last (&before);
    repeat_last (&after);
  }
  draw_line (wide, first, first + line);
}

/* A span of widths of the pictures -> of what shows two of them side by side, or the other way round: every
 * fourth width, or every one. FALSE where there is none. */
static gboolean
map_span (gboolean widen, const GValue *from, int *first, int *last)
{
  gboolean is_range = GST_VALUE_HOLDS_INT_RANGE (from);

  *first = MAX (is_range ? gst_value_get_int_range_min (from) : g_value_get_int (from), 1);
  *last = MIN (is_range ? gst_value_get_int_range_max (from) : g_value_get_int (from), G_MAXINT / 2 - 1);
  *first = widen ? 2 * half_width (*first) : (int) (((gint64) *first + 3) / 4) * 2 - 1;
  *last = widen ? 2 * half_width (*last) : *last / 4 * 2;
  return *first <= *last;
}

static void
init_span (GValue *to, int first, int last, int step)
{
  g_value_init (to, first < last ? GST_TYPE_INT_RANGE : G_TYPE_INT);
  if (first < last)
    gst_value_set_int_range_step (to, first, last, step);
  else
    g_value_set_int (to, first);
}

static gboolean
map_width (gboolean widen, const GValue *from, GValue *to)
{
  int first, last, step = widen ? 4 : 1;

  if (!GST_VALUE_HOLDS_LIST (from)) {
    if (!map_span (widen, from, &first, &last))
      return FALSE;
    init_span (to, first, last, step);
    return TRUE;
  }
  g_value_init (to, GST_TYPE_LIST);
  for (guint i = 0; i < gst_value_list_get_size (from); i++) {
    gboolean any = map_span (widen, gst_value_list_get_value (from, i), &first, &last);
    /* GStreamer 1.22 compares lists only of single numbers. */
    gboolean pair = last == first + 1;

    for (int value = first; any && value <= (pair ? last : first); value++) {
      GValue one = G_VALUE_INIT;

      init_span (&one, value, pair ? value : last, step);
      gst_value_list_append_and_take_value (to, &one);
    }
  }
  if (gst_value_list_get_size (to))
    return TRUE;
  g_value_unset (to);
  return FALSE;
}

GstCaps *
gst_deblurunet_compare_caps (GstPadDirection direction, const GstCaps *caps)
{
  GstCaps *mapped = gst_caps_new_empty ();

  for (guint i = 0; i < gst_caps_get_size (caps); i++) {
    GstStructure *structure = gst_structure_copy (gst_caps_get_structure (caps, i));
    const GValue *width = gst_structure_get_value (structure, "width");
    GValue to = G_VALUE_INIT;

    if (width && !map_width (direction == GST_PAD_SINK, width, &to)) {
      gst_structure_free (structure);
      continue;
    }
    if (width)
      gst_structure_take_value (structure, "width", &to);
    gst_caps_append_structure_full (mapped, structure,
        gst_caps_features_copy (gst_caps_get_features (caps, i)));
  }
  return mapped;
}

/* The frame keeps its size, format and meaning, so every meta stays true but one about the old memory; where
 * two pictures are side by side, neither one about places in the picture. */
gboolean
gst_deblurunet_compare_keeps_meta (const GstMeta *meta, gboolean side_by_side)
{
  if (side_by_side
      && gst_meta_api_type_has_tag (meta->info->api, g_quark_from_static_string (GST_META_TAG_VIDEO_SIZE_STR)))
    return FALSE;
  return !gst_meta_api_type_has_tag (meta->info->api, g_quark_from_static_string (GST_META_TAG_MEMORY_STR))
         && !gst_meta_api_type_has_tag (
             meta->info->api, g_quark_from_static_string (GST_META_TAG_MEMORY_REFERENCE_STR));
}

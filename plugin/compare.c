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
draw_line (const GstVideoFrame *out, guint component, int first, int last)
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
gst_deblurunet_compare_split (const GstVideoFrame *in, const GstVideoFrame *out, double position)
{
  int width = GST_VIDEO_FRAME_WIDTH (out), line = MAX (2, width / 480 & ~1);
  int split = (int) lrint (position * width);

  if (split < width)
    split &= ~1; /* on a chroma sample */
  /* Components that share a plane copy it more than once: cheap beside the network. */
  for (guint component = 0; component < GST_VIDEO_FRAME_N_COMPONENTS (out); component++)
    copy_left (in, out, component, split);
  for (guint component = 0; split > 0 && component < GST_VIDEO_FRAME_N_COMPONENTS (out); component++)
    if (!GST_VIDEO_FORMAT_INFO_HAS_ALPHA (out->info.finfo) || component != GST_VIDEO_COMP_A)
      draw_line (out, component, split, MIN (split + line, width));
}

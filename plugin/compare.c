/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compare.h"

#include <math.h>
#include <string.h>

/* Writes one sample of a component; formats of more than 8 bit are little-endian. */
static void
put_sample (const GstVideoFormatInfo *format, int component, guint8 *at, guint value)
{
  value <<= GST_VIDEO_FORMAT_INFO_SHIFT (format, component);
  if (GST_VIDEO_FORMAT_INFO_DEPTH (format, component) <= 8)
    *at = value;
  else
    GST_WRITE_UINT16_LE (at, value);
}

/* Pixels [first, last) of one component's lines become white; alpha stays. */
static void
draw_line (const GstVideoFrame *out, int component, int first, int last)
{
  const GstVideoFormatInfo *format = out->info.finfo;
  int offset[GST_VIDEO_MAX_COMPONENTS], scale[GST_VIDEO_MAX_COMPONENTS];
  gboolean chroma = GST_VIDEO_FORMAT_INFO_IS_YUV (format) && component > 0;
  int step = GST_VIDEO_FRAME_COMP_PSTRIDE (out, component);
  guint white;

  if (GST_VIDEO_FORMAT_INFO_HAS_ALPHA (format) && component == GST_VIDEO_COMP_A)
    return;
  gst_video_color_range_offsets (GST_VIDEO_INFO_COLORIMETRY (&out->info).range, format, offset, scale);
  white = chroma ? 1u << (GST_VIDEO_FORMAT_INFO_DEPTH (format, component) - 1)
                 : (guint) (offset[component] + scale[component]);
  first = GST_VIDEO_FORMAT_INFO_SCALE_WIDTH (format, component, first);
  last = GST_VIDEO_FORMAT_INFO_SCALE_WIDTH (format, component, last);
  for (int y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (out, component); y++) {
    guint8 *line = (guint8 *) GST_VIDEO_FRAME_COMP_DATA (out, component)
                   + (gssize) y * GST_VIDEO_FRAME_COMP_STRIDE (out, component);

    for (int x = first; x < last; x++)
      put_sample (format, component, line + (gssize) x * step, white);
  }
}

void
gst_deblurunet_compare_split (const GstVideoFrame *in, const GstVideoFrame *out, double position)
{
  int width = GST_VIDEO_FRAME_WIDTH (out), line = MAX (2, width / 480 & ~1);
  int split = (int) lrint (position * width);

  if (split < width)
    split &= ~1; /* on a chroma sample */

  for (guint component = 0; component < GST_VIDEO_FRAME_N_COMPONENTS (out); component++) {
    int end = GST_VIDEO_FORMAT_INFO_SCALE_WIDTH (out->info.finfo, component, split);
    int step = GST_VIDEO_FRAME_COMP_PSTRIDE (out, component);
    int bytes = GST_VIDEO_FRAME_COMP_DEPTH (out, component) > 8 ? 2 : 1;

    for (int y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (out, component); y++) {
      const guint8 *from = (const guint8 *) GST_VIDEO_FRAME_COMP_DATA (in, component)
                           + (gssize) y * GST_VIDEO_FRAME_COMP_STRIDE (in, component);
      guint8 *to = (guint8 *) GST_VIDEO_FRAME_COMP_DATA (out, component)
                   + (gssize) y * GST_VIDEO_FRAME_COMP_STRIDE (out, component);

      for (int x = 0; x < end; x++)
        memcpy (to + (gssize) x * step, from + (gssize) x * step, bytes);
    }
    if (split > 0 && split < width)
      draw_line (out, component, split, MIN (split + line, width));
  }
}

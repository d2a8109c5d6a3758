/* Before and after in one picture.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_COMPARE_H
#define GST_DEBLURUNET_COMPARE_H

#include <gst/video/video.h>

/* Copies in over the left part of out, up to position (0..1) of its width, and draws a thin white line where
 * they meet. Both of one format and size. */
void gst_deblurunet_compare_split (const GstVideoFrame *in, const GstVideoFrame *out, double position);

/* Side by side: two pictures in one, each of the input's width, rounded up to an even one (its last column is
 * then there twice), the input left, the result right. */

/* Caps of the wide picture for those of the input (direction GST_PAD_SINK), or the input's for the wide one's. */
GstCaps *gst_deblurunet_compare_caps (GstPadDirection direction, const GstCaps *caps);
/* Whether out is such a wide picture of in. */
gboolean gst_deblurunet_compare_is_wide (const GstVideoInfo *in, const GstVideoInfo *out);
/* The place of the result in the wide frame: a view of it, not to be unmapped. */
GstVideoFrame gst_deblurunet_compare_after (const GstVideoFrame *in, const GstVideoFrame *wide);
/* To be called once the result is there: puts in beside it, and a thin white line between them. */
void gst_deblurunet_compare_side_by_side (const GstVideoFrame *in, const GstVideoFrame *wide);

/* Whether a meta of the input stays true of the output, which may be two pictures side by side. */
gboolean gst_deblurunet_compare_keeps_meta (const GstMeta *meta, gboolean side_by_side);

/* Every sample of in to out, of equal format and size. (gst_video_frame_copy() of GStreamer 1.22 leaves the
 * last chroma sample of YUY2 and UYVY of odd width out.) */
void gst_deblurunet_compare_copy (const GstVideoFrame *in, const GstVideoFrame *out);

#endif

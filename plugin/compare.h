/* Before and after in one picture.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_COMPARE_H
#define GST_DEBLURUNET_COMPARE_H

#include <gst/video/video.h>

/* Copies in over the left part of out, up to position (0..1) of its width, and draws a thin white line where
 * they meet. Both of one format and size. */
void gst_deblurunet_compare_split (const GstVideoFrame *in, const GstVideoFrame *out, double position);

#endif

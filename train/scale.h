/* Frames of any format to upright 8-bit RGB of the wanted size.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SCALE_H
#define SCALE_H

#include "media.h"

#include <gst/video/video.h>

/* RGB [height, width, 3], g_free, of the size that options ask for or the frame's own. Refused (EXIT_DATA, the
 * reason alone) where the frame is of a bad size or not opaque. */
guint8 *scale_frame (const GstVideoFrame *frame, GstVideoOrientationMethod orientation,
    const MediaOptions *options, int *height, int *width, GError **error);

#endif

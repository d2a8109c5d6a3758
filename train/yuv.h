/* RGB <-> I420, as video codecs take and give it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef YUV_H
#define YUV_H

#include "train.h"

#include <gst/video/video.h>

/* 8-bit I420 for pictures of the size, in GStreamer's own layout: sides rounded up to even ones, limited
 * range, BT.709 where there are more than 576 lines and BT.601 elsewhere, chroma sited as in MPEG-2. */
void yuv_info (int height, int width, GstVideoInfo *info);

/* A frame of info's layout in memory of info->size bytes, as the library sees it. */
DuFrameInfo yuv_frame_info (const GstVideoInfo *info);
DuFrame yuv_frame (const GstVideoInfo *info, guint8 *yuv);

/* From 8-bit RGB [height, width, 3]; where info is larger, the last column and row repeat. */
void yuv_from_rgb (const GstVideoInfo *info, int height, int width, const guint8 *rgb, guint8 *yuv);
/* To 8-bit RGB [height, width, 3], where info may be larger. EXIT_DATA, where the memory is too small. */
gboolean yuv_to_rgb (
    const GstVideoInfo *info, const guint8 *yuv, int height, int width, guint8 *rgb, GError **error);

#endif

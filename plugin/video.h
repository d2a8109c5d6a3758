/* GStreamer's frames in the library's terms.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_VIDEO_H
#define GST_DEBLURUNET_VIDEO_H

#include <gst/video/video.h>

#include "deblurunet.h"

/* Of the pads: all caps that the library has, whatever this machine has. */
void gst_deblurunet_add_templates (GstElementClass *klass);

/* What is deblurred as one picture. */
typedef enum
{
  GST_DEBLURUNET_WHOLE,        /* a progressive frame */
  GST_DEBLURUNET_TOP_FIELD,    /* lines 0, 2, 4... of an interlaced one */
  GST_DEBLURUNET_BOTTOM_FIELD, /* lines 1, 3, 5... */
  GST_DEBLURUNET_N_PICTURES,
} GstDeblurunetPicture;

/* Lines of the picture in a frame of so many; 0 for the bottom field of a single line. */
int gst_deblurunet_picture_height (int height, GstDeblurunetPicture picture);
/* Format, size and the caps' own colour: matrix, range, chroma siting. */
void gst_deblurunet_frame_info (const GstVideoInfo *info, GstDeblurunetPicture picture, DuFrameInfo *to);
void gst_deblurunet_frame_planes (const GstVideoFrame *frame, GstDeblurunetPicture picture, DuFrame *to);

/* Whether a mapped frame is to be deblurred field by field: an interlaced one, save those of 4:2:0 with more
 * than 8 bit whose height is 2 more than a multiple of 4, where GStreamer leaves the bottom field no last
 * chroma line. */
gboolean gst_deblurunet_has_fields (const GstVideoFrame *frame, const GstVideoInfo *info);
/* Maps a buffer, with GST_MAP_READ or _WRITE. FALSE where it cannot be mapped or does not hold every line of
 * the frame. The mapped frame has the caps' size, whatever a GstVideoMeta says beyond it. */
gboolean gst_deblurunet_frame_map (
    GstVideoFrame *frame, const GstVideoInfo *info, GstBuffer *buffer, GstMapFlags flags);

/* Whether there is memory for one more such frame; posts an error where there is none. GStreamer ends the process
 * then, so it is asked first, for frames so large that asking costs nothing beside them. */
gboolean gst_deblurunet_frame_fits (GstElement *element, const GstVideoInfo *info);
/* Room for so many frames more in the first of an ALLOCATION query's pools. */
void gst_deblurunet_widen_pool (GstQuery *query, guint frames);

#endif

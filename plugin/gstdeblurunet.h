/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_H
#define GST_DEBLURUNET_H

#include <gst/video/gstvideofilter.h>

G_BEGIN_DECLS

#define GST_TYPE_DEBLURUNET (gst_deblurunet_get_type ())
G_DECLARE_FINAL_TYPE (GstDeblurunet, gst_deblurunet, GST, DEBLURUNET, GstVideoFilter)

GST_ELEMENT_REGISTER_DECLARE (deblurunet)

G_END_DECLS

#endif

/* Quality of service: which frames come too late to be shown, as downstream says, and for how long frames are
 * to be handed on as they are after one of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_QOS_H
#define GST_DEBLURUNET_QOS_H

#include <gst/base/gstbasetransform.h>

/* What a QOS message says while frames are deblurred; 0 while they are handed on as they are. */
#define GST_DEBLURUNET_QUALITY 1000000

/* Times are running times. */
typedef struct
{
  GstQOSType type; /* of the last event */
  double proportion;
  GstClockTime earliest; /* frames up to it are late; NONE: none is */
  guint64 processed, dropped; /* frames since the start or the last flush */

  /* While frames are handed on as they are, so that the picture does not change between sharp and blurred from
   * frame to frame: until when. A second; twice as long each time that this did not help for as long as it
   * lasted, up to 32 s. */
  gboolean resting;
  GstClockTime until, hold;
  GstClockTime resumed; /* when the last rest ended; NONE: there was none */
} GstDeblurunetQos;

/* As at the start and after a flush. */
void gst_deblurunet_qos_init (GstDeblurunetQos *qos);
/* Takes in what a QOS event says. */
void gst_deblurunet_qos_update (GstDeblurunetQos *qos, GstEvent *event);
gboolean gst_deblurunet_qos_is_late (const GstDeblurunetQos *qos, GstClockTime running_time);
/* Whether a frame is to be handed on as it is. To be asked once for each, in order. */
gboolean gst_deblurunet_qos_rests (GstDeblurunetQos *qos, GstClockTime running_time);
/* About a frame that was dropped, or that is the first to be handed on as it is or to be deblurred again. */
GstMessage *gst_deblurunet_qos_message (
    const GstDeblurunetQos *qos, GstBaseTransform *element, const GstBuffer *frame, int quality);
/* That frames are handed on as they are because each takes so long. */
void gst_deblurunet_qos_warn (GstElement *element, GstClockTime processing);

#endif

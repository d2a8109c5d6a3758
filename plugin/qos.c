/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qos.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deblurunet_debug);
#define GST_CAT_DEFAULT gst_deblurunet_debug

#define HOLD_LEAST GST_SECOND
#define HOLD_MOST (32 * GST_SECOND)

void
gst_deblurunet_qos_init (GstDeblurunetQos *qos)
{
  *qos = (GstDeblurunetQos){
    .proportion = 1,
    .earliest = GST_CLOCK_TIME_NONE,
    .hold = HOLD_LEAST,
    .resumed = GST_CLOCK_TIME_NONE,
  };
}

void
gst_deblurunet_qos_update (GstDeblurunetQos *qos, GstEvent *event)
{
  GstClockTimeDiff difference;
  GstClockTime timestamp;

  gst_event_parse_qos (event, &qos->type, &qos->proportion, &difference, &timestamp);
  qos->earliest = GST_CLOCK_TIME_IS_VALID (timestamp) ? timestamp + difference : GST_CLOCK_TIME_NONE;
}

gboolean
gst_deblurunet_qos_is_late (const GstDeblurunetQos *qos, GstClockTime running_time)
{
  return GST_CLOCK_TIME_IS_VALID (qos->earliest) && GST_CLOCK_TIME_IS_VALID (running_time)
         && running_time <= qos->earliest;
}

gboolean
gst_deblurunet_qos_rests (GstDeblurunetQos *qos, GstClockTime running_time)
{
  if (!GST_CLOCK_TIME_IS_VALID (running_time))
    return qos->resting;
  if (gst_deblurunet_qos_is_late (qos, running_time)) {
    /* An application that wants fewer frames says nothing of how fast we are. */
    if (qos->type == GST_QOS_TYPE_THROTTLE)
      return TRUE;
    if (!qos->resting) {
      gboolean again = GST_CLOCK_TIME_IS_VALID (qos->resumed) && running_time < qos->resumed + qos->hold;

      qos->hold = again ? MIN (2 * qos->hold, HOLD_MOST) : HOLD_LEAST;
      qos->resting = TRUE;
    }
    qos->until = running_time + qos->hold;
  } else if (qos->resting && running_time >= qos->until) {
    qos->resting = FALSE;
    qos->resumed = running_time;
  }
  return qos->resting;
}

GstMessage *
gst_deblurunet_qos_message (
    const GstDeblurunetQos *qos, GstBaseTransform *element, const GstBuffer *frame, int quality)
{
  const GstSegment *segment = &element->segment;
  GstClockTime timestamp = GST_BUFFER_PTS (frame);
  GstClockTime running_time = gst_segment_to_running_time (segment, GST_FORMAT_TIME, timestamp);
  GstMessage *message = gst_message_new_qos (GST_OBJECT (element), FALSE, running_time,
      gst_segment_to_stream_time (segment, GST_FORMAT_TIME, timestamp), timestamp, GST_BUFFER_DURATION (frame));

  /* It is after lateness that there is something to say, so earliest is a time. */
  gst_message_set_qos_values (
      message, GST_CLOCK_DIFF (running_time, qos->earliest), qos->proportion, quality);
  gst_message_set_qos_stats (message, GST_FORMAT_BUFFERS, qos->processed, qos->dropped);
  return message;
}

void
gst_deblurunet_qos_warn (GstElement *element, GstClockTime processing)
{
  GST_ELEMENT_WARNING (element, CORE, CLOCK,
      ("Frames come too late to be shown (deblurring takes %.0f ms for each): they are handed on as they "
       "are, for a second or longer. For each frame deblurred, however slowly, set on-late=process here and "
       "sync=false in the sink.",
          processing / 1e6),
      (NULL));
}

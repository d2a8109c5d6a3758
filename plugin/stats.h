/* What the element has done since it was started.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_STATS_H
#define GST_DEBLURUNET_STATS_H

#include <gst/gst.h>

#include "deblurunet.h"

typedef struct
{
  double gather_ms, network_ms, scatter_ms;
} GstDeblurunetTimes;

typedef struct
{
  guint n;           /* of a frame, of both fields of an interlaced one */
  int height, width; /* of each, pixels; of the bottom field's where the fields differ */
} GstDeblurunetTiles;

typedef struct
{
  guint64 frames; /* deblurred */
  guint64 passed_through;
  guint64 late;    /* too late to be shown, whatever became of them */
  guint64 dropped; /* of those */
  guint64 tiles;
  GstDeblurunetTiles last_tiles;
  GstDeblurunetTimes last, total;
  gint64 told; /* microseconds of the monotonic clock when a message with them was due; 0: never yet */
} GstDeblurunetStats;

void gst_deblurunet_stats_add (
    GstDeblurunetStats *stats, const GstDeblurunetTiles *tiles, const GstDeblurunetTimes *times);
/* Whether the interval (milliseconds, 0 = never) has passed since this was last TRUE, or it never was. */
gboolean gst_deblurunet_stats_due (GstDeblurunetStats *stats, guint interval);
/* For the property and the message; session: what runs, or NULL. */
GstStructure *gst_deblurunet_stats_to_structure (const GstDeblurunetStats *stats, DuSession *session);
/* One line for the log; g_free. */
char *gst_deblurunet_stats_to_string (const GstDeblurunetStats *stats, DuSession *session);

double gst_deblurunet_times_sum (const GstDeblurunetTimes *times);

#endif

/* The element's properties: their types, ranges and words.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_PROPERTIES_H
#define GST_DEBLURUNET_PROPERTIES_H

#include <gst/gst.h>

#include "deblurunet.h"

typedef enum
{
  GST_DEBLURUNET_COMPARE_NONE,
  GST_DEBLURUNET_COMPARE_SPLIT,
  GST_DEBLURUNET_COMPARE_SIDE_BY_SIDE,
} GstDeblurunetCompare;

/* What becomes of frames that come too late to be shown. */
typedef enum
{
  GST_DEBLURUNET_ON_LATE_PROCESS,
  GST_DEBLURUNET_ON_LATE_PASSTHROUGH,
  GST_DEBLURUNET_ON_LATE_DROP,
} GstDeblurunetOnLate;

/* What becomes of a stream when the GPU fails in the middle of it. */
typedef enum
{
  GST_DEBLURUNET_ON_GPU_ERROR_FAIL,
  GST_DEBLURUNET_ON_GPU_ERROR_CPU,
} GstDeblurunetOnGpuError;

enum
{
  PROP_0,
  PROP_WEIGHTS,
  PROP_BACKEND,
  PROP_PRECISION,
  PROP_CUDA_DEVICE_ID,
  PROP_THREADS,
  PROP_TILE_MODE,
  PROP_OVERLAP,
  PROP_BATCH,
  PROP_STRENGTH,
  PROP_COMPARE,
  PROP_SPLIT_POSITION,
  PROP_ON_LATE,
  PROP_FRAMES_IN_FLIGHT,
  PROP_ON_GPU_ERROR,
  PROP_STATS,
  PROP_STATS_INTERVAL,
};

/* What the properties say, at one moment. */
typedef struct
{
  char *weights; /* NULL = the installed default */
  DuSessionOptions session;
  DuDeblurrerOptions tiles;
  guint stats_interval; /* milliseconds from message to message, 0 = none */
  double strength;
  GstDeblurunetCompare compare;
  double split_position;
  GstDeblurunetOnLate on_late;
  guint frames_in_flight;
  GstDeblurunetOnGpuError on_gpu_error;
} GstDeblurunetSettings;

void gst_deblurunet_settings_init (GstDeblurunetSettings *settings);
void gst_deblurunet_install_properties (GObjectClass *klass);
/* One property's value in or out; FALSE for one that is not a setting. */
gboolean gst_deblurunet_settings_set (GstDeblurunetSettings *settings, guint id, const GValue *value);
gboolean gst_deblurunet_settings_get (const GstDeblurunetSettings *settings, guint id, GValue *value);

#endif

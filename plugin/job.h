/* One frame's way through the network: what it is deblurred with, and what became of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_JOB_H
#define GST_DEBLURUNET_JOB_H

#include <gst/video/video.h>

#include "properties.h"
#include "stats.h"
#include "video.h"

typedef struct
{
  GstBuffer *input, *output;      /* own; one and the same: the frame is handed on as it is */
  GstVideoInfo in_info, out_info; /* of the caps that they came under */
  guint caps;                     /* a number that changes with the caps */
  DuMemory memory;                /* of both, by the caps */
  gboolean deblur;                /* FALSE: copied */
  gboolean late;                  /* handed on as it is because it comes too late */
  DuSession *session;             /* own */
  DuSessionOptions options;       /* that it was opened with; the CUDA context is not owned */
  GstDeblurunetOnGpuError on_gpu_error;
  DuDeblurrerOptions tiles;
  double strength, split_position;
  GstDeblurunetCompare compare;

  /* After gst_deblurunet_job_run(): */
  GError *error; /* of DU_ERROR, or one of GStreamer's; output is undefined then */
  GError *gpu_error; /* not NULL: the GPU failed, and the frame was done by: */
  DuSession *cpu;    /* own */
  GstDeblurunetTiles used;
  GstDeblurunetTimes times;

  /* The queue's own: */
  gboolean done;  /* under its lock */
  int abandoned; /* nobody waits for it any more; atomic */
} GstDeblurunetJob;

/* What one thread deblurs frames with, made when first needed. All zero at the beginning. */
typedef struct
{
  guint caps;
  DuSession *session; /* of the deblurrers, which own it */
  DuDeblurrer *deblurrer[GST_DEBLURUNET_N_PICTURES];
} GstDeblurunetEngine;

void gst_deblurunet_engine_clear (GstDeblurunetEngine *engine);

/* Fills job->output, or sets job->error. In any thread. */
void gst_deblurunet_job_run (GstDeblurunetJob *job, GstDeblurunetEngine *engine);
void gst_deblurunet_job_free (GstDeblurunetJob *job);
/* Frees the job and gives its output. */
GstBuffer *gst_deblurunet_job_take_output (GstDeblurunetJob *job);

#endif

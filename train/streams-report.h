/* The numbers of streams: means, table, CSV, page.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STREAMS_REPORT_H
#define STREAMS_REPORT_H

#include "codec.h"
#include "synth.h"

/* Of one clip with one blur and quality. Means over frames. */
typedef enum
{
  STREAM_PSNR_BEFORE, /* dB */
  STREAM_PSNR,
  STREAM_SSIM_BEFORE,
  STREAM_SSIM,
  STREAM_FLICKER_BEFORE, /* mean absolute error of the differences from frame to frame, in 1/255 */
  STREAM_FLICKER,
  STREAM_CHANGE,  /* mean absolute difference of after and before, in 1/255 */
  STREAM_SHIFT_R, /* mean difference of after and before, in 1/255 */
  STREAM_SHIFT_G,
  STREAM_SHIFT_B,
  STREAM_BITS, /* of the whole encoded sequence, per pixel */
  STREAM_N_NUMBERS,
} StreamNumber;

typedef struct
{
  guint clip, kernel, quality; /* positions in the report's lists */
  guint frames;  /* that were measured */
  guint encoded; /* of the whole sequence; 0 = it was not encoded */
  double value[STREAM_N_NUMBERS]; /* not a number where there is none */
  char *triptych;                 /* file name, or NULL */
} StreamEntry;

typedef struct
{
  const char *folder;    /* NULL: none */
  const GArray *entries; /* of StreamEntry */
  char *const *clips;    /* names */
  guint n_clips;
  const SynthKernel *kernels; /* of size 1: frames as they are */
  guint n_kernels;
  const double *qualities; /* not a number: not encoded */
  guint n_qualities;
  CodecKind encoder;
  DuSession *session;
  GKeyFile *settings; /* group "settings" */
} StreamReport;

/* Neither blurred nor encoded: clips as they are. */
gboolean stream_as_is (const StreamReport *report, guint kernel, guint quality);
/* "01-sigma1.6-h264-23", "01-as-is": what a file's name begins with; g_free. */
char *stream_file_name (const StreamReport *report, guint clip, guint kernel, guint quality);

/* Averages on stdout. */
void stream_report_print (const StreamReport *report);
/* FOLDER/streams.csv, and report.html with pictures from the folder. */
gboolean stream_report_save (const StreamReport *report, GError **error);

#endif

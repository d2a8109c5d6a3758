/* The page of an evaluation.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EVAL_REPORT_H
#define EVAL_REPORT_H

#include "evaluate.h"

/* What is remembered of a picture with one blur. */
typedef struct
{
  char *name;
  guint picture; /* in the order of decoding */
  int kernel;    /* -1 = unknown */
  Measurement measurement;
  const char *rank; /* "most", "median" or "least" gain of its kernel, NULL = none of them; static */
  char *triptych;   /* file name, or NULL */
} EvalEntry;

/* FOLDER/report.html and FOLDER/curves.png; triptychs of ranked entries are read from the folder. */
typedef struct
{
  const char *folder;
  const GArray *entries; /* of EvalEntry, at least one */
  const Metrics *metrics;
  const SynthKernel *kernels;
  DuSession *session;
  GKeyFile *settings; /* group "settings" */
} EvalReport;

gboolean eval_report_save (const EvalReport *report, GError **error);

#endif

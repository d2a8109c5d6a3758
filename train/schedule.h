/* When to lower the learning rate and when to stop: Keras's callbacks on a monitored value that is better
 * when smaller, and rates that follow a curve.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <glib.h>

/* keras.callbacks.EarlyStopping, mode "min". Restoring the best weights is the caller's: best_epoch says
 * which. */
typedef struct
{
  guint patience;   /* epochs without improvement that are borne */
  double min_delta; /* an improvement is at least this much; not negative */
  /* State. */
  double best;      /* infinite before the first epoch */
  gint64 best_epoch, stopped_epoch; /* -1 = none */
  guint wait;
} EarlyStopping;

void early_stopping_init (EarlyStopping *stopping, guint patience, double min_delta);
/* At the end of an epoch, counted from 0; TRUE: stop now. */
gboolean early_stopping_epoch (EarlyStopping *stopping, guint epoch, double value);

/* keras.callbacks.ReduceLROnPlateau, mode "min". */
typedef struct
{
  double factor, min_delta, min_rate;
  guint patience, cooldown;
  /* State. */
  double best;
  guint wait, cooldown_left;
} ReduceOnPlateau;

void reduce_on_plateau_init (ReduceOnPlateau *plateau, double factor, guint patience, double min_delta,
    guint cooldown, double min_rate);
/* At the end of an epoch: the learning rate of the next one. */
double reduce_on_plateau_epoch (ReduceOnPlateau *plateau, double rate, double value);

/* Half a cosine from rate at progress 0 down to min_rate, which is no more than that, at 1 (Loshchilov & Hutter 2017, eq. 5, one
 * cycle). */
double cosine_rate (double rate, double min_rate, double progress);
/* Factor of the rate for a step counted from 0: rises in equal parts to 1 at step warmup - 1. */
double warmup_factor (guint64 step, guint64 warmup);

#endif

/* Semantics as documented at keras.io/api/callbacks (EarlyStopping, ReduceLROnPlateau), version 2.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "schedule.h"

#include <math.h>

void
early_stopping_init (EarlyStopping *stopping, guint patience, double min_delta)
{
  *stopping = (EarlyStopping){
    .patience = patience,
    .min_delta = min_delta,
    .best = INFINITY,
    .best_epoch = -1,
    .stopped_epoch = -1,
  };
}

gboolean
early_stopping_epoch (EarlyStopping *stopping, guint epoch, double value)
{
  /* A value that is not a number never improves. */
  if (value + stopping->min_delta < stopping->best) {
    stopping->best = value;
    stopping->best_epoch = epoch;
    stopping->wait = 0;
    return FALSE;
  }
  stopping->wait++;
  if (stopping->wait < stopping->patience || epoch == 0)
    return FALSE;
  stopping->stopped_epoch = epoch;
  return TRUE;
}

void
reduce_on_plateau_init (ReduceOnPlateau *plateau, double factor, guint patience, double min_delta,
    guint cooldown, double min_rate)
{
  *plateau = (ReduceOnPlateau){
    .factor = factor,
    .min_delta = min_delta,
    .min_rate = min_rate,
    .patience = patience,
    .cooldown = cooldown,
    .best = INFINITY,
  };
}

double
reduce_on_plateau_epoch (ReduceOnPlateau *plateau, double rate, double value)
{
  if (plateau->cooldown_left > 0) {
    plateau->cooldown_left--;
    plateau->wait = 0;
  }
  if (value < plateau->best - plateau->min_delta) {
    plateau->best = value;
    plateau->wait = 0;
    return rate;
  }
  /* The epoch that ends the cooldown counts towards the patience, as in Keras. */
  if (plateau->cooldown_left > 0)
    return rate;
  plateau->wait++;
  if (plateau->wait < plateau->patience || rate <= plateau->min_rate)
    return rate;
  plateau->wait = 0;
  plateau->cooldown_left = plateau->cooldown;
  return MAX (rate * plateau->factor, plateau->min_rate);
}

double
cosine_rate (double rate, double min_rate, double progress)
{
  min_rate = MIN (min_rate, rate);
  return min_rate + 0.5 * (rate - min_rate) * (1 + cos (G_PI * CLAMP (progress, 0, 1)));
}

double
warmup_factor (guint64 step, guint64 warmup)
{
  return step < warmup ? (double) (step + 1) / (double) warmup : 1;
}

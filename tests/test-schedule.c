/* EarlyStopping and ReduceLROnPlateau, epoch by epoch as keras.io describes them; the expected values are
 * worked out by hand. Curves of the rate.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "schedule.h"

#include <math.h>

#define EPOCHS 8
#define END -1.0

typedef struct
{
  const char *what;
  double factor, min_delta, min_rate;
  guint patience, cooldown;
  double values[EPOCHS], rates[EPOCHS]; /* up to END; the rate begins at 1 */
} PlateauCase;

/* clang-format off */
static const PlateauCase plateau_cases[] = {
  { "lowers after patience, again after patience", 0.5, 0, 0, 2, 0,
    { 1, 0.9, 0.9, 0.9, 0.9, 0.9, END }, { 1, 1, 1, 0.5, 0.5, 0.25 } },
  { "patience 0 lowers like patience 1", 0.5, 0, 0, 0, 0, { 1, 1, 1, END }, { 1, 0.5, 0.25 } },
  { "patience 1", 0.5, 0, 0, 1, 0, { 1, 1, 1, END }, { 1, 0.5, 0.25 } },
  { "a gain resets the wait", 0.5, 0, 0, 2, 0, { 1, 1, 0.9, 0.9, 0.8, 0.8, 0.8, END },
    { 1, 1, 1, 1, 1, 1, 0.5 } },
  { "gains below min_delta are none", 0.5, 0.1, 0, 2, 0, { 1, 0.95, 0.91, 0.89, 0.85, 0.80, END },
    { 1, 1, 0.5, 0.5, 0.5, 0.25 } },
  { "best stays the last real gain", 0.5, 0.1, 0, 3, 0, { 1, 0.95, 0.88, 0.85, 0.77, END }, { 1, 1, 1, 1, 1 } },
  { "cooldown: the epoch that ends it counts", 0.5, 0, 0, 1, 2, { 1, 1, 1, 1, 1, 1, END },
    { 1, 0.5, 0.5, 0.25, 0.25, 0.125 } },
  { "cooldown 1 is over within the next epoch", 0.5, 0, 0, 1, 1, { 1, 1, 1, 1, END }, { 1, 0.5, 0.25, 0.125 } },
  { "a gain within the cooldown counts as best", 0.5, 0, 0, 1, 2, { 1, 1, 0.5, 0.7, END }, { 1, 0.5, 0.5, 0.25 } },
  { "never below min_lr", 0.1, 0, 0.05, 1, 0, { 1, 1, 1, 1, 1, END }, { 1, 0.1, 0.05, 0.05, 0.05 } },
  { "what is not a number is no gain", 0.5, 0, 0, 2, 0, { 1, NAN, NAN, 0.5, END }, { 1, 1, 0.5, 0.5 } },
};

typedef struct
{
  const char *what;
  guint patience;
  double min_delta;
  double values[EPOCHS];
  int stops; /* epoch, -1 = never */
  int best;
} StoppingCase;

static const StoppingCase stopping_cases[] = {
  { "patience 0 stops at the first epoch without gain", 0, 0, { 1, 0.9, 0.95, END }, 2, 1 },
  { "equal is no gain", 0, 0, { 1, 1, END }, 1, 0 },
  { "patience 1 stops there too", 1, 0, { 1, 0.9, 0.95, END }, 2, 1 },
  { "patience 2", 2, 0, { 1, 0.9, 0.95, 0.91, END }, 3, 1 },
  { "a gain resets the wait", 2, 0, { 1, 0.9, 0.95, 0.89, 0.9, 0.9, END }, 5, 3 },
  { "small gains are none", 2, 0.1, { 1, 0.95, 0.91, 0.5, END }, 2, 0 },
  { "gains add up against the best", 3, 0.1, { 1, 0.95, 0.91, 0.89, 0.88, 0.87, END }, -1, 3 },
  { "the first epoch never stops", 1, 0, { NAN, NAN, END }, 1, -1 },
  { "a number after none is a gain", 2, 0, { NAN, 1, 0.9, END }, -1, 2 },
  { "falls for ever", 0, 0, { 5, 4, 3, 2, 1, END }, -1, 4 },
};
/* clang-format on */

static void
test_plateau (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (plateau_cases); i++) {
    const PlateauCase *c = &plateau_cases[i];
    ReduceOnPlateau plateau;
    double rate = 1;

    reduce_on_plateau_init (&plateau, c->factor, c->patience, c->min_delta, c->cooldown, c->min_rate);
    for (int epoch = 0; epoch < EPOCHS && c->values[epoch] != END; epoch++) {
      rate = reduce_on_plateau_epoch (&plateau, rate, c->values[epoch]);
      if (fabs (rate - c->rates[epoch]) > 1e-12)
        g_error ("%s: epoch %d has rate %g, expected %g", c->what, epoch, rate, c->rates[epoch]);
    }
  }
}

static void
test_stopping (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (stopping_cases); i++) {
    const StoppingCase *c = &stopping_cases[i];
    EarlyStopping stopping;
    int stops = -1;

    early_stopping_init (&stopping, c->patience, c->min_delta);
    for (int epoch = 0; epoch < EPOCHS && c->values[epoch] != END && stops < 0; epoch++)
      if (early_stopping_epoch (&stopping, (guint) epoch, c->values[epoch]))
        stops = epoch;
    if (stops != c->stops || stopping.best_epoch != c->best || stopping.stopped_epoch != stops)
      g_error ("%s: stops at %d, expected %d; best %d, expected %d", c->what, stops, c->stops,
          (int) stopping.best_epoch, c->best);
  }
}

static void
test_curves (void)
{
  g_assert_cmpfloat_with_epsilon (cosine_rate (1e-3, 1e-5, 0), 1e-3, 1e-15);
  g_assert_cmpfloat_with_epsilon (cosine_rate (1e-3, 1e-5, 0.5), 0.505e-3, 1e-15);
  g_assert_cmpfloat_with_epsilon (cosine_rate (1, 0, 1 / 3.0), 0.75, 1e-15);
  g_assert_cmpfloat_with_epsilon (cosine_rate (1e-3, 1e-5, 1), 1e-5, 1e-15);
  g_assert_cmpfloat_with_epsilon (cosine_rate (1e-3, 1e-5, 7), 1e-5, 1e-15);
  g_assert_cmpfloat_with_epsilon (cosine_rate (1e-7, 1e-6, 1), 1e-7, 1e-19); /* it never rises */
  for (int step = 0; step < 6; step++)
    g_assert_cmpfloat_with_epsilon (warmup_factor ((guint64) step, 4), MIN (step + 1, 4) / 4.0, 1e-15);
  g_assert_cmpfloat (warmup_factor (0, 0), ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedule/plateau", test_plateau);
  g_test_add_func ("/schedule/early-stopping", test_stopping);
  g_test_add_func ("/schedule/curves", test_curves);
  return g_test_run ();
}

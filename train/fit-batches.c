/* The batches of `fit`: made by the loader's threads, or by the trainer, which then has the pictures and is told
 * what to make of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"

#include <string.h>

/* Why the trainer cannot make the batches, or NULL; g_free. */
static char *
why_not (const Fit *fit, double mib)
{
  if (fit->plan.kind == DATASET_ON_THE_FLY && fit->plan.degrade)
    return g_strdup ("what --degrade draws is made by the CPU");
  if (mib > fit->plan.pictures_mib)
    return g_strdup_printf ("the decoded pictures are %.0f MiB, --pictures-mib=%.0f is allowed", mib,
        fit->plan.pictures_mib);
  return NULL;
}

gboolean
fit_place_pictures (Fit *fit, GError **error)
{
  const FitPlan *plan = &fit->plan;
  gboolean gpu = strcmp (du_trainer_backend (fit->trainer), "cuda") == 0;
  g_autoptr (GError) reason = NULL;
  g_autofree char *why = NULL;
  DuPictureSet set;
  double mib;

  if (plan->pictures == PICTURES_HOST || (plan->pictures == PICTURES_AUTO && !gpu))
    return TRUE;
  dataset_picture_set (fit->data, &set);
  mib = 3.0 * set.n * set.height * set.width / (1 << 20);
  why = why_not (fit, mib);
  if (!why && !(fit->drawn = du_trainer_set_pictures (fit->trainer, &set, &reason)))
    why = g_strdup (reason->message);
  g_free ((gpointer) set.pictures);
  g_free ((gpointer) set.blurs);
  if (fit->drawn) {
    g_print ("pictures: %.0f MiB, beside the network, where batches are made of them\n", mib);
    return TRUE;
  }
  /* What else than a full memory goes wrong there is no reason to go on. */
  if (reason && !g_error_matches (reason, DU_ERROR, DU_ERROR_MEMORY)) {
    g_propagate_error (error, g_steal_pointer (&reason));
    return FALSE;
  }
  if (plan->pictures == PICTURES_DEVICE) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--pictures=device: %s", why);
    return FALSE;
  }
  g_print ("pictures: batches are made by the CPU: %s\n", why);
  return TRUE;
}

void
fit_batches_init (FitBatches *batches, Fit *fit, guint64 first, guint n)
{
  const FitPlan *plan = &fit->plan;

  *batches = (FitBatches){ .fit = fit, .sample = first * plan->batch };
  fit_training_order (fit, fit->state.epoch, &batches->order);
  fit_batch_size (fit, &batches->height, &batches->width);
  if (fit->drawn)
    batches->draws = g_new (DuDraw, plan->batch);
  else if (n)
    batches->loader
        = loader_new (fit->data, &batches->order, batches->sample, plan->batch, n, (int) plan->loaders);
}

void
fit_batches_clear (FitBatches *batches)
{
  g_clear_pointer (&batches->loader, loader_free);
  g_clear_pointer (&batches->draws, g_free);
}

gboolean
fit_batches_next (FitBatches *batches, GError **error)
{
  const DatasetItem *items;
  guint n = batches->fit->plan.batch;

  if (!batches->draws)
    return loader_next (batches->loader, &batches->input, &batches->target, &items, error);
  batches->sample += n;
  return dataset_draw (batches->fit->data, &batches->order, batches->sample - n, n, batches->draws, error);
}

gboolean
fit_batches_step (FitBatches *batches, double rate, DuStepResult *result, GError **error)
{
  DuTrainer *trainer = batches->fit->trainer;
  int n = (int) batches->fit->plan.batch;

  return batches->draws ? du_trainer_step_drawn (trainer, n, batches->height, batches->width, batches->draws, rate,
                              result, error)
                        : du_trainer_step (trainer, n, batches->height, batches->width, batches->input,
                              batches->target, rate, result, error);
}

gboolean
fit_batches_bn_add (FitBatches *batches, GError **error)
{
  DuTrainer *trainer = batches->fit->trainer;
  int n = (int) batches->fit->plan.batch;

  return batches->draws
             ? du_trainer_bn_add_drawn (trainer, n, batches->height, batches->width, batches->draws, error)
             : du_trainer_bn_add (trainer, n, batches->height, batches->width, batches->input, error);
}

/* The data of `fit`: what trains, what validates, in which order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"

/* Draws which samples validate. */
static gboolean
split (Fit *fit, GError **error)
{
  const guint32 seed[2] = { (guint32) fit->plan.seed, (guint32) (fit->plan.seed >> 32) };
  guint n = dataset_size (fit->data), validation = (guint) (n * fit->plan.val_split + 0.5);
  GRand *random;

  validation = MAX (validation, 1);
  if (validation >= n) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "%u %s cannot be split into training and validation: give more, or others with --val", n,
        n == 1 ? "picture" : "pictures");
    return FALSE;
  }
  fit->order = g_new (guint, n);
  for (guint i = 0; i < n; i++)
    fit->order[i] = i;
  random = g_rand_new_with_seed_array (seed, G_N_ELEMENTS (seed));
  for (guint i = n - 1; i > 0; i--) {
    guint j = (guint) g_rand_int_range (random, 0, (gint32) i + 1), swap = fit->order[i];

    fit->order[i] = fit->order[j];
    fit->order[j] = swap;
  }
  g_rand_free (random);
  fit->n_train = n - validation;
  fit->n_validation = validation;
  return TRUE;
}

gboolean
fit_open_data (Fit *fit, GError **error)
{
  FitPlan *plan = &fit->plan;
  char *const *data = settings_operands (fit->settings), *const *val = settings_paths (fit->settings, "val");
  int height, width;

  if (!data[0]) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "no data given: see 'deblurunet-train fit --help'");
    return FALSE;
  }
  if (plan->kind == DATASET_AS_IS && !evaluate_is_pairs (data[0])) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "%s has no folders sharp/ and blur/: make them with 'deblurunet-train synth', or give --on-the-fly "
        "for sharp material",
        data[0]);
    return FALSE;
  }
  fit->data = dataset_open (plan->kind, data, &plan->synth, plan->max_bad, error);
  if (!fit->data)
    return FALSE;
  if (val[0]) {
    fit->validation_kind = evaluate_is_pairs (val[0]) ? DATASET_AS_IS : DATASET_ON_THE_FLY;
    fit->validation = dataset_open (fit->validation_kind, val, &plan->synth, plan->max_bad, error);
    if (!fit->validation)
      return FALSE;
    fit->n_train = dataset_size (fit->data);
    fit->n_validation = dataset_size (fit->validation);
    fit->digest = g_strdup_printf ("%s %s", dataset_digest (fit->data), dataset_digest (fit->validation));
  } else {
    fit->validation = fit->data;
    fit->validation_kind = plan->kind;
    if (!split (fit, error))
      return FALSE;
    fit->digest = g_strdup (dataset_digest (fit->data));
  }
  dataset_picture_size (fit->data, &height, &width);
  if (!plan->crop_height && (height % DU_SIZE_MULTIPLE || width % DU_SIZE_MULTIPLE)) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "the pictures are %dx%d, no multiples of %d: train on crops, e.g. --crop=96x96", width, height,
        DU_SIZE_MULTIPLE);
    return FALSE;
  }
  if (plan->crop_height > height || plan->crop_width > width) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
        "--crop=%dx%d is larger than the pictures, %dx%d (height x width)", plan->crop_height,
        plan->crop_width, height, width);
    return FALSE;
  }
  if (plan->batch > fit->n_train)
    g_printerr ("warning: a batch of %u is larger than the %u training pictures: some come twice in it\n",
        plan->batch, fit->n_train);
  fit->steps_per_epoch
      = plan->steps_per_epoch ? plan->steps_per_epoch : (fit->n_train + plan->batch - 1) / plan->batch;
  return TRUE;
}

void
fit_training_order (const Fit *fit, guint epoch, DatasetOrder *order)
{
  *order = (DatasetOrder){
    .seed = fit->plan.seed,
    .epoch = epoch,
    .shuffle = TRUE,
    .augment = fit->plan.kind == DATASET_ON_THE_FLY,
    .height = fit->plan.crop_height,
    .width = fit->plan.crop_width,
    .subset = fit->order,
    .n_subset = fit->order ? fit->n_train : 0,
    .degrade = fit->plan.degrade,
  };
}

void
fit_batch_size (const Fit *fit, int *height, int *width)
{
  dataset_picture_size (fit->data, height, width);
  if (fit->plan.crop_height) {
    *height = fit->plan.crop_height;
    *width = fit->plan.crop_width;
  }
}

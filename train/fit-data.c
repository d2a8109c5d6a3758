/* The data of `fit`: what trains, what validates, in which order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"

enum
{
  CUT_FROM = 17, /* samples of one source: as many may be one picture with each of METRICS_MAX_KERNELS, which is not
                  * to stand on both sides */
};

/* The samples of each source: arrays of guint, in an array. */
static GPtrArray *
group_samples (const Dataset *data)
{
  GPtrArray *groups = g_ptr_array_new_with_free_func ((GDestroyNotify) g_array_unref);
  g_autoptr (GHashTable) known = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < dataset_size (data); i++) {
    gpointer key = GUINT_TO_POINTER (dataset_source (data, i));
    GArray *group = g_hash_table_lookup (known, key);

    if (!group) {
      group = g_array_new (FALSE, FALSE, sizeof (guint));
      g_hash_table_insert (known, key, group);
      g_ptr_array_add (groups, group);
    }
    g_array_append_val (group, i);
  }
  return groups;
}

/* Draws which samples validate. Those of one source stay together, for neighbours in a video are all but equal, and
 * would show what was learnt by heart; of a long one the end validates. */
static gboolean
split (Fit *fit, GError **error)
{
  const guint32 seed[2] = { (guint32) fit->plan.seed, (guint32) (fit->plan.seed >> 32) };
  guint n = dataset_size (fit->data), validation = (guint) (n * fit->plan.val_split + 0.5), at = n, first = 0;
  g_autoptr (GPtrArray) groups = group_samples (fit->data);
  GRand *random;

  validation = MAX (validation, 1);
  if (validation >= n) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "%u %s cannot be split into training and validation: give more, or others with --val", n,
        n == 1 ? "picture" : "pictures");
    return FALSE;
  }
  random = g_rand_new_with_seed_array (seed, G_N_ELEMENTS (seed));
  for (guint i = groups->len - 1; i > 0; i--) {
    guint j = (guint) g_rand_int_range (random, 0, (gint32) i + 1);
    gpointer swap = groups->pdata[i];

    groups->pdata[i] = groups->pdata[j];
    groups->pdata[j] = swap;
  }
  g_rand_free (random);
  /* Validation is filled from the end, by whole sources as long as it wants any. */
  fit->order = g_new (guint, n);
  for (guint i = groups->len; i-- > 0;) {
    GArray *group = groups->pdata[i];
    guint taken = n - at, wanted = validation - MIN (taken, validation);
    guint ends = !wanted ? 0 : group->len >= CUT_FROM ? MIN (group->len, wanted) : group->len;

    for (; ends; ends--) {
      fit->order[--at] = g_array_index (group, guint, group->len - 1);
      g_array_set_size (group, group->len - 1);
    }
  }
  for (guint i = 0; i < groups->len; i++) {
    const GArray *group = groups->pdata[i];

    for (guint k = 0; k < group->len; k++)
      fit->order[first++] = g_array_index (group, guint, k);
  }
  fit->n_train = first;
  fit->n_validation = n - first;
  if (first)
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_DATA,
      "all %u samples were made of one picture: give more for training and validation, or others with --val", n);
  return FALSE;
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

/* Models: weights in memory, one copy of a file for all its users in this process.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "weights.h"

#include <string.h>

struct _DuModel
{
  int references; /* taken without, dropped under models_lock */
  DuWeights weights;
  char *path;
  char *identity; /* its key in models, or NULL */
};

/* identity -> model, owned by its users; NULL while it is being read. */
static GHashTable *models;
static GMutex models_lock;
static GCond models_changed;

static DuModel *
model_new (DuWeights *weights, const char *path)
{
  DuModel *model = g_new0 (DuModel, 1);

  model->references = 1;
  model->weights = *weights;
  *weights = (DuWeights){ 0 };
  model->path = g_strdup (path);
  return model;
}

DuModel *
du_model_new (const DuConfig *config, const float *parameters, GHashTable *metadata, GError **error)
{
  g_auto (DuWeights) weights = { 0 };
  GHashTableIter iter;
  gpointer key, value;
  gsize n;

  if (!du_config_check (config, error))
    return NULL;
  n = du_config_n_parameters (config);
  weights.config = *config;
  weights.parameters = g_try_new (float, n);
  if (!weights.parameters) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY,
        "a model needs %" G_GSIZE_FORMAT " MB of memory, which are not free", n * sizeof (float) >> 20);
    return NULL;
  }
  memcpy (weights.parameters, parameters, n * sizeof (float));
  weights.metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (metadata)
    g_hash_table_iter_init (&iter, metadata);
  while (metadata && g_hash_table_iter_next (&iter, &key, &value))
    if (!du_weights_is_reserved (key))
      g_hash_table_insert (weights.metadata, g_strdup (key), g_strdup (value));
  return model_new (&weights, NULL);
}

/* The living model of a file; or NULL, and then the caller is the one who reads it. Waits for another one
 * who does. */
static DuModel *
find_or_begin (const char *identity)
{
  DuModel *model = NULL;
  gpointer found;

  g_mutex_lock (&models_lock);
  if (!models)
    models = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  while (g_hash_table_lookup_extended (models, identity, NULL, &found) && !found)
    g_cond_wait (&models_changed, &models_lock);
  model = g_hash_table_lookup (models, identity);
  if (model)
    du_model_ref (model);
  else
    g_hash_table_insert (models, g_strdup (identity), NULL);
  g_mutex_unlock (&models_lock);
  return model;
}

/* model: what was read, or NULL. */
static void
end_reading (const char *identity, DuModel *model)
{
  g_mutex_lock (&models_lock);
  if (model) {
    model->identity = g_strdup (identity);
    g_hash_table_insert (models, g_strdup (identity), model);
  } else
    g_hash_table_remove (models, identity);
  g_cond_broadcast (&models_changed);
  g_mutex_unlock (&models_lock);
}

DuModel *
du_model_load (const char *path, GError **error)
{
  g_auto (DuWeightsFile) file = { .fd = -1 };
  g_auto (DuWeights) weights = { 0 };
  DuModel *model;

  if (!du_weights_open (&file, path, error))
    return NULL;
  model = find_or_begin (file.identity);
  if (model)
    return model;
  if (du_weights_read (&file, &weights, error))
    model = model_new (&weights, path);
  end_reading (file.identity, model);
  return model;
}

DuModel *
du_model_load_memory (const char *name, const void *bytes, gsize size, GError **error)
{
  g_auto (DuWeightsFile) file = { .fd = -1 };
  g_auto (DuWeights) weights = { 0 };

  if (!du_weights_open_memory (&file, name, bytes, size, error) || !du_weights_read (&file, &weights, error))
    return NULL;
  return model_new (&weights, NULL);
}

DuModel *
du_model_ref (DuModel *model)
{
  g_atomic_int_inc (&model->references);
  return model;
}

void
du_model_unref (DuModel *model)
{
  gboolean last;

  if (!model)
    return;
  /* Under the lock, so that nobody finds a model in the table between its last reference and its end. */
  g_mutex_lock (&models_lock);
  last = g_atomic_int_dec_and_test (&model->references);
  if (last && model->identity)
    g_hash_table_remove (models, model->identity);
  g_mutex_unlock (&models_lock);
  if (!last)
    return;
  du_weights_clear (&model->weights);
  g_free (model->path);
  g_free (model->identity);
  g_free (model);
}

const DuConfig *
du_model_config (const DuModel *model)
{
  return &model->weights.config;
}

const float *
du_model_parameters (const DuModel *model)
{
  return model->weights.parameters;
}

const char *
du_model_metadata (const DuModel *model, const char *key)
{
  return g_hash_table_lookup (model->weights.metadata, key);
}

char **
du_model_metadata_keys (const DuModel *model)
{
  GList *keys = g_list_sort (g_hash_table_get_keys (model->weights.metadata), (GCompareFunc) strcmp);
  GStrvBuilder *builder = g_strv_builder_new ();
  char **sorted;

  for (GList *key = keys; key; key = key->next)
    g_strv_builder_add (builder, key->data);
  sorted = g_strv_builder_end (builder);
  g_strv_builder_unref (builder);
  g_list_free (keys);
  return sorted;
}

const char *
du_model_warning (const DuModel *model)
{
  return model->weights.warning;
}

const char *
du_model_path (const DuModel *model)
{
  return model->path;
}

gboolean
du_model_save (const DuModel *model, const char *path, DuDtype dtype, GError **error)
{
  return du_weights_write (
      path, &model->weights.config, model->weights.parameters, model->weights.metadata, dtype, error);
}

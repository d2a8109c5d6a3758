/* Models: what is saved comes back, files are shared, replaced atomically, never half written.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unet.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

typedef struct
{
  char *folder;
  char *path; /* of a file in it */
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  (void) data;
  fixture->folder = g_dir_make_tmp ("deblurunet-XXXXXX", NULL);
  g_assert_nonnull (fixture->folder);
  fixture->path = g_build_filename (fixture->folder, "a.safetensors", NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GDir) folder = g_dir_open (fixture->folder, 0, NULL);
  const char *name;

  (void) data;
  while ((name = g_dir_read_name (folder))) {
    g_autofree char *path = g_build_filename (fixture->folder, name, NULL);

    g_assert_cmpint (g_remove (path), ==, 0);
  }
  g_assert_cmpint (g_rmdir (fixture->folder), ==, 0);
  g_free (fixture->folder);
  g_free (fixture->path);
}

static DuModel *
random_model (const DuConfig *config, guint64 seed)
{
  gsize n = du_config_n_parameters (config);
  g_autofree float *parameters = g_new (float, n);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  DuModel *model;

  du_config_initialise (config, seed, parameters);
  g_hash_table_insert (
      metadata, (gpointer) "provenance", (gpointer) "made by a \"test\", \303\251t\303\251\n");
  g_hash_table_insert (metadata, (gpointer) "validation_psnr", (gpointer) "30.11");
  g_hash_table_insert (metadata, (gpointer) "base_width", (gpointer) "not taken");
  model = du_model_new (config, parameters, metadata, NULL);
  g_assert_nonnull (model);
  return model;
}

static void
test_round_trip (Fixture *fixture, gconstpointer data)
{
  static const DuConfig configs[] = {
    { 1, 0, DU_HEAD_SIGMOID },
    { 2, (1u << DU_N_BLOCKS) - 1, DU_HEAD_RESIDUAL },
    { 5, 1u << DU_BLOCK_MID, DU_HEAD_SIGMOID },
    { 32, 1u << DU_BLOCK_ENC0 | 1u << DU_BLOCK_DEC0, DU_HEAD_SIGMOID },
  };
  static const float error[] = { 0, 0x1p-11f, 0x1p-8f }; /* half a last place, relative */

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (configs); i++)
    for (DuDtype dtype = DU_DTYPE_F32; dtype <= DU_DTYPE_BF16; dtype++) {
      g_autoptr (DuModel) model = random_model (&configs[i], i), loaded = NULL;
      g_autoptr (GError) problem = NULL;
      g_autofree char *bn = du_bn_to_string (configs[i].bn),
                      *width = g_strdup_printf ("%d", configs[i].base_width);
      const float *a = du_model_parameters (model), *b;

      du_model_save (model, fixture->path, dtype, &problem);
      g_assert_no_error (problem);
      loaded = du_model_load (fixture->path, &problem);
      g_assert_no_error (problem);
      g_assert_cmpint (du_model_config (loaded)->base_width, ==, configs[i].base_width);
      g_assert_cmphex (du_model_config (loaded)->bn, ==, configs[i].bn);
      g_assert_cmpint (du_model_config (loaded)->head, ==, configs[i].head);
      b = du_model_parameters (loaded);
      for (gsize j = 0; j < du_config_n_parameters (&configs[i]); j++)
        if (fabsf (a[j] - b[j]) > error[dtype] * fabsf (a[j]) + (dtype == DU_DTYPE_F16 ? 0x1p-25f : 0))
          g_error ("config %u dtype %d value %" G_GSIZE_FORMAT ": %g became %g", i, dtype, j, a[j], b[j]);
      g_assert_cmpstr (du_model_metadata (loaded, "provenance"), ==, du_model_metadata (model, "provenance"));
      g_assert_cmpstr (du_model_metadata (loaded, "validation_psnr"), ==, "30.11");
      g_assert_cmpstr (du_model_metadata (loaded, "base_width"), ==, width);
      g_assert_cmpstr (du_model_metadata (loaded, "bn"), ==, *bn ? bn : "none");
      g_assert_cmpstr (du_model_metadata (loaded, "tile"), ==, "256x448");
      g_assert_null (du_model_metadata (loaded, "absent"));
      g_assert_null (du_model_warning (loaded));
      g_assert_cmpstr (du_model_path (loaded), ==, fixture->path);
      g_assert_null (du_model_path (model));
    }
}

static void
test_metadata_keys (Fixture *fixture, gconstpointer data)
{
  DuConfig config = { 1, 0, DU_HEAD_SIGMOID };
  g_autoptr (DuModel) model = random_model (&config, 1), loaded = NULL;
  g_auto (GStrv) keys = du_model_metadata_keys (model), loaded_keys = NULL;
  g_autofree char *joined = g_strjoinv (" ", keys), *loaded_joined = NULL;

  (void) data;
  g_assert_cmpstr (joined, ==, "provenance validation_psnr");
  g_assert_true (du_model_save (model, fixture->path, DU_DTYPE_F16, NULL));
  loaded = du_model_load (fixture->path, NULL);
  loaded_keys = du_model_metadata_keys (loaded);
  loaded_joined = g_strjoinv (" ", loaded_keys);
  g_assert_cmpstr (loaded_joined, ==,
      "base_width bn format format_version head header_sha256 provenance sha256 tile validation_psnr");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add ("/model/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("round-trip", test_round_trip);
  ADD ("metadata-keys", test_metadata_keys);
  return g_test_run ();
}

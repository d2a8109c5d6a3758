/* Writes weights files for tests/oracle/read-weights.py to read, and reads those that it writes.
 *
 *   exchange-weights write FOLDER: for each of some networks and number formats NAME.safetensors, and in raw
 *     float32 NAME.parameters (the block before rounding), NAME.input and NAME.output (2x32x48x3)
 *   exchange-weights read FILE PARAMETERS: whether the file's block is equal to the raw float32
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deblurunet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum
{
  N = 2,
  HEIGHT = 32,
  WIDTH = 48,
  SAMPLES = N * HEIGHT * WIDTH * 3
};

/* Values as a trained network might have them, in the running statistics too. */
static DuModel *
make_model (const DuConfig *config, guint32 seed, GError **error)
{
  gsize n = du_config_n_parameters (config);
  g_autofree float *parameters = g_new (float, n);
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);

  du_config_initialise (config, seed, parameters);
  for (guint i = 0; i < du_config_n_tensors (config); i++) {
    DuTensorInfo tensor;

    du_config_tensor (config, i, &tensor);
    for (gsize j = 0; j < tensor.count; j++)
      if (tensor.rank == 1 || strcmp (tensor.name, "head.weight") == 0)
        parameters[tensor.offset + j] = g_str_has_suffix (tensor.name, "_var")
                                            ? g_rand_double_range (random, 0.1, 2)
                                            : g_rand_double_range (random, -0.5, 0.5);
  }
  g_hash_table_insert (
      metadata, (gpointer) "provenance", (gpointer) "a \"test\" \\ \303\251\360\237\230\200\n");
  return du_model_new (config, parameters, metadata, error);
}

static gboolean
write_raw (
    const char *folder, const char *name, const char *suffix, const float *values, gsize n, GError **error)
{
  g_autofree char *file = g_strconcat (name, suffix, NULL), *path = g_build_filename (folder, file, NULL);

  return g_file_set_contents (path, (const char *) values, n * sizeof *values, error);
}

static gboolean
write_one (const char *folder, const DuConfig *config, DuDtype dtype, GError **error)
{
  static const char *const dtypes[] = { "F32", "F16", "BF16" };
  g_autofree char *name = g_strdup_printf (
      "%d-%x-%s-%s", config->base_width, config->bn, du_head_name (config->head), dtypes[dtype]);
  g_autofree char *file = g_strconcat (name, ".safetensors", NULL),
                  *path = g_build_filename (folder, file, NULL);
  g_autofree float *input = g_new (float, SAMPLES), *output = g_new (float, SAMPLES);
  g_autoptr (DuModel) model = make_model (config, 5, error), loaded = NULL;
  g_autoptr (DuSession) session = NULL;
  DuSessionOptions options;

  for (int i = 0; i < SAMPLES; i++)
    input[i] = 0.5f + 0.5f * sinf (0.37f * i + 0.01f * (i % 1009));
  if (!model || !du_model_save (model, path, dtype, error))
    return FALSE;
  loaded = du_model_load (path, error);
  if (!loaded)
    return FALSE;
  du_session_options_init (&options);
  options.backend = DU_BACKEND_CPU;
  options.precision = DU_PRECISION_F32;
  session = du_session_open (loaded, &options, error);
  return session && du_session_forward (session, N, HEIGHT, WIDTH, input, output, error)
         && write_raw (
             folder, name, ".parameters", du_model_parameters (model), du_config_n_parameters (config), error)
         && write_raw (folder, name, ".input", input, SAMPLES, error)
         && write_raw (folder, name, ".output", output, SAMPLES, error);
}

static gboolean
write_all (const char *folder, GError **error)
{
  DuConfig paper;

  du_config_init (&paper);
  const DuConfig configs[] = {
    { 1, 0, DU_HEAD_SIGMOID },
    { 3, (1u << DU_N_BLOCKS) - 1, DU_HEAD_RESIDUAL },
    { 4, paper.bn, DU_HEAD_SIGMOID },
  };

  for (guint i = 0; i < G_N_ELEMENTS (configs); i++)
    for (DuDtype dtype = DU_DTYPE_F32; dtype <= DU_DTYPE_BF16; dtype++)
      if (!write_one (folder, &configs[i], dtype, error))
        return FALSE;
  return TRUE;
}

static gboolean
read_one (const char *path, const char *raw_path, GError **error)
{
  g_autoptr (DuModel) model = du_model_load (path, error);
  g_autofree char *raw = NULL;
  gsize size, n;

  if (!model || !g_file_get_contents (raw_path, &raw, &size, error))
    return FALSE;
  n = du_config_n_parameters (du_model_config (model));
  if (size == n * sizeof (float) && memcmp (raw, du_model_parameters (model), size) == 0)
    return TRUE;
  g_set_error (error, DU_ERROR, DU_ERROR_FORMAT, "'%s' holds other values than '%s'", path, raw_path);
  return FALSE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = FALSE;

  if (argc == 3 && strcmp (argv[1], "write") == 0)
    ok = write_all (argv[2], &error);
  else if (argc == 4 && strcmp (argv[1], "read") == 0)
    ok = read_one (argv[2], argv[3], &error);
  if (!ok)
    fprintf (stderr, "%s\n", error ? error->message : "usage: write FOLDER | read FILE PARAMETERS");
  return ok ? 0 : 1;
}

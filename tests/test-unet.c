/* The table: the paper's counts, names, offsets without holes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unet.h"

#include <math.h>
#include <string.h>

static void
test_paper (void)
{
  DuConfig config;

  du_config_init (&config);
  g_assert_cmpuint (du_config_n_parameters (&config), ==, 7763491);
  g_assert_cmpuint (du_config_n_trainable (&config), ==, 7761827);
  g_assert_cmpfloat_with_epsilon (du_config_flops (&config, 256, 448) / 1e9, 42.26, 0.005);
}

static void
test_tensors (void)
{
  for (int base = 1; base <= 33; base += 16)
    for (guint bn = 0; bn < 1u << DU_N_BLOCKS; bn += 73) {
      DuConfig config = { base, bn, DU_HEAD_RESIDUAL };
      guint n = du_config_n_tensors (&config);
      gsize offset = 0, trainable = 0;
      g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

      for (guint i = 0; i < n; i++) {
        DuTensorInfo tensor;
        gsize count = 1;

        du_config_tensor (&config, i, &tensor);
        for (int d = 0; d < tensor.rank; d++)
          count *= tensor.shape[d];
        g_assert_cmpuint (count, ==, tensor.count);
        g_assert_cmpuint (offset, ==, tensor.offset);
        g_assert_true (g_hash_table_add (names, g_strdup (tensor.name)));
        offset += count;
        if (tensor.trainable) {
          g_assert_cmpuint (trainable, ==, tensor.offset);
          trainable = offset;
        }
      }
      g_assert_cmpuint (offset, ==, du_config_n_parameters (&config));
      g_assert_cmpuint (trainable, ==, du_config_n_trainable (&config));
    }
}

static void
test_layers (void)
{
  DuConfig config;
  DuLayer layer;
  gsize sum = 0;

  du_config_init (&config);
  for (guint i = 0; i < du_config_n_layers (&config); i++) {
    du_config_layer (&config, i, 256, 448, &layer);
    sum += layer.parameters;
  }
  g_assert_cmpuint (sum, ==, 7763491);
  g_assert_cmpstr (layer.name, ==, "head");
  g_assert_cmpint (layer.channels, ==, 3);
  g_assert_null (layer.skip);
  du_config_layer (&config, 12, 256, 448, &layer);
  g_assert_cmpstr (layer.name, ==, "mid.conv1");
  g_assert_cmpint (layer.height, ==, 16);
  g_assert_cmpint (layer.width, ==, 28);
  g_assert_cmpint (layer.channels, ==, 512);
}

/* What is not there is nothing, in no memory of others. */
static void
test_out_of_range (void)
{
  DuConfig config;
  DuLayer layer;
  DuTensorInfo tensor;

  du_config_init (&config);
  memset (&layer, 0x55, sizeof layer);
  du_config_layer (&config, du_config_n_layers (&config), 256, 448, &layer);
  g_assert_null (layer.name);
  g_assert_cmpuint (layer.parameters, ==, 0);
  du_config_layer (&config, G_MAXUINT, 256, 448, &layer);
  g_assert_null (layer.name);
  memset (&tensor, 0x55, sizeof tensor);
  du_config_tensor (&config, du_config_n_tensors (&config), &tensor);
  g_assert_cmpstr (tensor.name, ==, "");
  g_assert_cmpuint (tensor.count, ==, 0);
  g_assert_cmpstr (du_head_name (DU_HEAD_RESIDUAL), ==, "residual");
  g_assert_null (du_head_name (2));
  g_assert_null (du_head_name (-1));
}

static void
test_bn_names (void)
{
  g_autoptr (GError) error = NULL;
  DuConfig config;
  guint bn;

  du_config_init (&config);
  g_autofree char *text = du_bn_to_string (config.bn);
  g_assert_cmpstr (text, ==, "enc0,enc2,mid,dec2,dec0");
  g_assert_true (du_bn_parse (text, &bn, NULL));
  g_assert_cmphex (bn, ==, config.bn);
  g_assert_true (du_bn_parse ("none", &bn, NULL));
  g_assert_cmphex (bn, ==, 0);
  g_assert_false (du_bn_parse ("enc0,enc0", &bn, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (du_bn_parse ("enc9", &bn, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
}

static void
test_initialise (void)
{
  DuConfig config = { 4, 0x1ff, DU_HEAD_RESIDUAL };
  gsize n = du_config_n_parameters (&config);
  g_autofree float *a = g_new (float, n), *b = g_new (float, n);
  DuRowOffsets at;

  du_config_initialise (&config, 1, a);
  du_config_initialise (&config, 1, b);
  g_assert_cmpmem (a, n * sizeof *a, b, n * sizeof *b);
  du_config_initialise (&config, G_GUINT64_CONSTANT (1) << 32, b);
  g_assert_true (memcmp (a, b, n * sizeof *a) != 0);
  du_row_offsets (&config, 0, &at);
  for (int i = 0; i < 4 * 3 * 9; i++)
    g_assert_cmpfloat (fabsf (a[at.weight + i]), <=, sqrtf (6.f / (9 * 7)));
  g_assert_cmpuint (at.bn_scale, ==, DU_NO_OFFSET);
  du_row_offsets (&config, 1, &at);
  g_assert_cmpfloat (a[at.bn_scale], ==, 1);
  g_assert_cmpfloat (a[at.bn_shift], ==, 0);
  g_assert_cmpfloat (a[at.bn_mean], ==, 0);
  g_assert_cmpfloat (a[at.bn_variance], ==, 1);
  du_row_offsets (&config, DU_N_ROWS - 1, &at);
  g_assert_cmpfloat (a[at.weight], ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/unet/paper", test_paper);
  g_test_add_func ("/unet/tensors", test_tensors);
  g_test_add_func ("/unet/layers", test_layers);
  g_test_add_func ("/unet/out-of-range", test_out_of_range);
  g_test_add_func ("/unet/bn-names", test_bn_names);
  g_test_add_func ("/unet/initialise", test_initialise);
  return g_test_run ();
}

/* The reader of weights files: values that no network has, and those that it may have.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "half.h"
#include "weights-sample.h"

#include <math.h>

/* The sample's network with one value set, in a format, as a file; -1: all values. */
static GByteArray *
file_with_value (DuDtype dtype, const char *name, float value, float rest)
{
  static const DuConfig config = { 1, 1u << DU_BLOCK_MID, DU_HEAD_SIGMOID };
  gsize n = du_config_n_parameters (&config);
  g_autofree float *parameters = g_new (float, n);
  g_autofree char *path = in_folder ("values");
  GByteArray *file = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  gsize at = sample->len, size, n_trainable = du_config_n_trainable (&config);
  char *content;

  for (gsize i = 0; i < n; i++)
    parameters[i] = rest;
  g_assert_true (du_weights_write (path, &config, parameters, NULL, dtype, &error));
  g_assert_true (g_file_get_contents (path, &content, &size, NULL));
  g_byte_array_append (file, (guint8 *) content, size);
  g_free (content);
  for (guint i = 0; i < du_config_n_tensors (&config); i++) {
    DuTensorInfo tensor;

    du_config_tensor (&config, i, &tensor);
    if (strcmp (tensor.name, name) == 0)
      at = tensor.offset + tensor.count - 1;
  }
  g_assert_cmpuint (at, <, n);
  if (at < n_trainable) {
    at = size - (n_trainable - at) * du_dtype_size (dtype);
  } else {
    /* Running statistics are F32 and come first. */
    at = size - n_trainable * du_dtype_size (dtype) - (n - at) * 4;
    dtype = DU_DTYPE_F32;
  }
  if (dtype == DU_DTYPE_F32) {
    guint32 bits = GUINT32_TO_LE (((DuFloatBits){ .value = value }).bits);

    memcpy (file->data + at, &bits, 4);
  } else {
    guint16 bits
        = GUINT16_TO_LE (dtype == DU_DTYPE_F16 ? du_f16_from_float (value) : du_bf16_from_float (value));

    memcpy (file->data + at, &bits, 2);
  }
  seal (file->data, file->len);
  return file;
}

static void
test_values (void)
{
  static const struct
  {
    const char *tensor;
    float value;
    const char *part;
  } rows[] = {
    { "enc0.conv1.weight", NAN, "NaN in tensor 'enc0.conv1.weight'" },
    { "head.bias", INFINITY, "an infinite value in tensor 'head.bias'" },
    { "dec3.up.weight", -INFINITY, "an infinite value in tensor 'dec3.up.weight'" },
    { "mid.bn.running_mean", NAN, "NaN in tensor 'mid.bn.running_mean'" },
    { "mid.bn.running_var", -0.5f, "a negative variance in tensor 'mid.bn.running_var'" },
    { "mid.bn.running_var", INFINITY, "an infinite value in tensor 'mid.bn.running_var'" },
    { "mid.bn.running_var", -0.f, NULL },
    { "mid.bn.running_mean", -0.5f, NULL },
    { "enc0.conv1.weight", 0x1p-24f, NULL },  /* F16's smallest */
    { "enc0.conv1.weight", 0x1p-133f, NULL }, /* BF16's */
    { "enc0.conv1.weight", 0x1p-149f, NULL }, /* F32's */
    { "enc0.conv1.weight", 65504, NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    for (DuDtype dtype = DU_DTYPE_F32; dtype <= DU_DTYPE_BF16; dtype++) {
      g_autoptr (GByteArray) file = file_with_value (dtype, rows[i].tensor, rows[i].value, 0.25f);
      g_autofree char *what
          = g_strdup_printf ("%s %g in %s", du_dtype_name (dtype), rows[i].value, rows[i].tensor);

      check_file (what, file, rows[i].part);
    }
}

static void
test_zeros (void)
{
  for (DuDtype dtype = DU_DTYPE_F32; dtype <= DU_DTYPE_BF16; dtype++)
    for (int zero = 0; zero < 2; zero++) {
      g_autoptr (GByteArray) file = file_with_value (dtype, "head.bias", zero ? -0.f : 0x1p-24f, 0);
      g_auto (DuWeights) weights = { 0 };

      g_assert_true (reads (file->data, file->len, &weights, NULL));
      if (zero)
        g_assert_true (strstr (weights.warning, "nothing but zeros") && strstr (weights.warning, "sample"));
      else
        g_assert_null (weights.warning);
    }
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  make_sample ();
  g_test_add_func ("/weights/10-values", test_values);
  g_test_add_func ("/weights/10-zeros", test_zeros);
  result = g_test_run ();
  remove_sample ();
  return result;
}

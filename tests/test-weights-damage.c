/* Damaged weights files: cut short, with single bits turned, with random changes. None may be accepted
 * silently, none may do harm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "weights-sample.h"

#include <math.h>

static void
test_truncated (void)
{
  for (gsize size = 0; size < sample->len; size++)
    if (reads (sample->data, size, NULL, NULL))
      g_error ("cut to %" G_GSIZE_FORMAT " of %u bytes: accepted", size, sample->len);
  g_assert_true (reads (sample->data, sample->len, NULL, NULL));
}

/* Every bit of the file. Behind the header, which then is the same each time, it is taken apart once. */
static void
test_bit_flips (void)
{
  g_autofree guint8 *copy = g_memdup2 (sample->data, sample->len);
  g_auto (DuWeightsFile) file = { .fd = -1 };
  g_auto (DuWeights) weights
      = { .metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free) };
  g_autoptr (GArray) tensors = NULL;
  const guint8 *data;

  g_assert_true (du_weights_open_memory (&file, "sample", copy, sample->len, NULL));
  tensors = du_weights_parse_header (&file, &weights.config, weights.metadata, NULL);
  g_assert_nonnull (tensors);
  weights.parameters = g_new (float, du_config_n_parameters (&weights.config));
  data = file.bytes;
  g_assert_true (data == copy + sample_header);
  g_assert_true (du_weights_read_values (&file, tensors, &weights, NULL));

  for (gsize bit = 0; bit < 8 * (gsize) sample->len; bit++) {
    g_autoptr (GError) error = NULL;
    gboolean accepted;

    copy[bit / 8] ^= 1 << bit % 8;
    file.bytes = data;
    accepted = bit < 8 * sample_header ? reads (copy, sample->len, NULL, &error)
                                       : du_weights_read_values (&file, tensors, &weights, &error);
    if (accepted || error->code != DU_ERROR_FORMAT || !g_utf8_validate (error->message, -1, NULL))
      g_error ("bit %" G_GSIZE_FORMAT " of byte %" G_GSIZE_FORMAT ": %s", bit % 8, bit / 8,
          accepted ? "accepted" : error->message);
    copy[bit / 8] ^= 1 << bit % 8;
  }
  g_assert_true (reads (copy, sample->len, NULL, NULL));
}

/* Random changes, digests made right again for two in three: an error or a usable network, nothing else. */
static void
test_mutations (void)
{
  static const char *const words[] = { "{", "}", "[", "]", ",", ":", "\"", "\\u0000", "-0", "1e9", "null",
    "\\", "18446744073709551616", "__metadata__", "F32", "BF16", "[0,0]", "256", "none", "enc0.conv1.bias" };
  g_autoptr (GRand) random = g_rand_new_with_seed (20240229);
  int accepted = 0, n = 20000;

  for (int i = 0; i < n; i++) {
    g_autoptr (GByteArray) file = g_byte_array_new ();
    g_auto (DuWeights) weights = { 0 };
    g_autoptr (GError) error = NULL;
    gboolean in_json = g_rand_boolean (random);
    gsize grown = 0;

    g_byte_array_append (file, sample->data, sample->len);
    for (int times = g_rand_int_range (random, 1, 4); times > 0; times--) {
      gsize at = g_rand_int_range (random, 0, in_json ? sample_header : file->len);
      gsize from = g_rand_int_range (random, 0, file->len - 64), size = g_rand_int_range (random, 1, 64);
      const char *word = words[g_rand_int_range (random, 0, G_N_ELEMENTS (words))];

      at = MIN (at, file->len - 65);
      switch (g_rand_int_range (random, 0, 5)) {
      case 0:
        file->data[at] = g_rand_int (random);
        break;
      case 1:
        memmove (file->data + at, file->data + from, size);
        break;
      case 2:
        g_byte_array_remove_range (file, at, size);
        grown -= size;
        break;
      case 3:
        memcpy (file->data + at, word, strlen (word));
        break;
      default: { /* a word put in between, and the length made to fit */
        gsize length = strlen (word);

        g_byte_array_set_size (file, file->len + length);
        memmove (file->data + at + length, file->data + at, file->len - length - at);
        memcpy (file->data + at, word, length);
        grown += length;
      }
      }
    }
    if (in_json && g_rand_boolean (random)) {
      guint64 length_le = GUINT64_TO_LE ((guint64) (sample_header - 8 + grown));

      memcpy (file->data, &length_le, 8);
    }
    if (i % 3)
      seal (file->data, file->len);
    if (!reads (file->data, file->len, &weights, &error)) {
      if (!error || error->domain != DU_ERROR || !g_utf8_validate (error->message, -1, NULL)
          || strlen (error->message) > 700)
        g_error ("mutation %d: refused with %s", i, error ? error->message : "no error");
      continue;
    }
    accepted++;
    if (!du_config_check (&weights.config, NULL))
      g_error ("mutation %d: a network that cannot be", i);
    for (gsize j = 0, count = du_config_n_parameters (&weights.config); j < count; j++)
      if (!isfinite (weights.parameters[j]))
        g_error ("mutation %d: value %" G_GSIZE_FORMAT " is %g", i, j, weights.parameters[j]);
  }
  g_test_message ("%d of %d mutations, made right by their digests, were accepted", accepted, n);
  g_assert_cmpint (accepted, >, 0);
  g_assert_cmpint (accepted, <, n / 2);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  make_sample ();
  g_test_add_func ("/weights-damage/truncated", test_truncated);
  g_test_add_func ("/weights-damage/bit-flips", test_bit_flips);
  g_test_add_func ("/weights-damage/mutations", test_mutations);
  result = g_test_run ();
  remove_sample ();
  return result;
}

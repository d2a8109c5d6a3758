/* The PyTorch fixtures in data/network.ini and .f32 (see oracle/make-network-fixtures.py), and what the tests
 * of whole networks share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_FIXTURES_H
#define DU_TESTS_FIXTURES_H

#include "deblurunet.h"

#include <math.h>
#include <string.h>

typedef struct
{
  const char *name;
  GKeyFile *index;
  float *values;
  DuConfig config;
  int n, height, width;
  gsize n_samples, n_parameters, n_trainable;
  double learning_rate;
} Fixture;

static inline Fixture *
fixture_new (const char *name)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  g_autofree char *ini = g_test_build_filename (G_TEST_DIST, "data", "network.ini", NULL);
  g_autofree char *f32 = g_test_build_filename (G_TEST_DIST, "data", "network.f32", NULL);
  g_autofree char *bn = NULL, *head = NULL;
  g_autoptr (GError) error = NULL;

  fixture->name = name;
  fixture->index = g_key_file_new ();
  g_key_file_load_from_file (fixture->index, ini, G_KEY_FILE_NONE, &error);
  g_assert_no_error (error);
  g_file_get_contents (f32, (char **) &fixture->values, NULL, &error);
  g_assert_no_error (error);
  fixture->config.base_width = g_key_file_get_integer (fixture->index, name, "base_width", &error);
  g_assert_no_error (error);
  bn = g_key_file_get_string (fixture->index, name, "bn", NULL);
  g_assert_true (du_bn_parse (bn, &fixture->config.bn, NULL));
  head = g_key_file_get_string (fixture->index, name, "head", NULL);
  g_assert_true (du_head_parse (head, &fixture->config.head, NULL));
  fixture->n = g_key_file_get_integer (fixture->index, name, "n", NULL);
  fixture->height = g_key_file_get_integer (fixture->index, name, "height", NULL);
  fixture->width = g_key_file_get_integer (fixture->index, name, "width", NULL);
  fixture->learning_rate = g_key_file_get_double (fixture->index, name, "learning_rate", NULL);
  fixture->n_samples = (gsize) fixture->n * fixture->height * fixture->width * 3;
  fixture->n_parameters = du_config_n_parameters (&fixture->config);
  fixture->n_trainable = du_config_n_trainable (&fixture->config);
  return fixture;
}

static inline void
fixture_free (Fixture *fixture)
{
  g_key_file_unref (fixture->index);
  g_free (fixture->values);
  g_free (fixture);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

/* An array of a case, count values long. */
static inline const float *
fixture_array (const Fixture *fixture, const char *array, gsize count)
{
  g_autoptr (GError) error = NULL;
  gsize length;
  g_autofree int *place = g_key_file_get_integer_list (fixture->index, fixture->name, array, &length, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (length, ==, 2);
  g_assert_cmpuint (place[1], ==, count);
  return fixture->values + place[0];
}

/* Of their magnitudes. */
static inline double
largest (const float *values, gsize count)
{
  double max = 0;

  for (gsize i = 0; i < count; i++)
    max = MAX (max, fabs (values[i]));
  return max;
}

/* Distance over length: sqrt (sum (a - b)^2 / sum b^2); NaN counts as infinite. */
static inline double
normalised_error (const float *a, const float *b, gsize count)
{
  double difference = 0, length = 0;

  for (gsize i = 0; i < count; i++) {
    difference += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
    length += (double) b[i] * b[i];
  }
  if (difference == 0)
    return 0;
  return isnan (difference) ? INFINITY : sqrt (difference / length);
}

static inline void
assert_close (const char *what, const float *a, const float *b, gsize count, double tolerance)
{
  double distance = normalised_error (a, b, count);

  g_test_message ("%s: normalised error %.2g, %.2g allowed", what, distance, tolerance);
  if (!(distance <= tolerance))
    g_test_message ("%s: first value %g, expected %g", what, a[0], b[0]);
  g_assert_cmpfloat (distance, <=, tolerance);
}

/* Noise in [0,1), the same for a seed. */
static inline float *
random_values (guint32 seed, gsize count)
{
  GRand *random = g_rand_new_with_seed (seed);
  float *values = g_new (float, count);

  for (gsize i = 0; i < count; i++)
    values[i] = (float) g_rand_double (random);
  g_rand_free (random);
  return values;
}

/* A block with nothing at its starting value: biases, shifts and means within 0.1 of zero, scales and
 * variances within 0.5 of one, and a residual head that does something. */
static inline float *
random_parameters (const DuConfig *config, guint32 seed)
{
  float *parameters = g_new (float, du_config_n_parameters (config));
  GRand *random = g_rand_new_with_seed (seed);

  du_config_initialise (config, seed, parameters);
  for (guint i = 0; i < du_config_n_tensors (config); i++) {
    DuTensorInfo tensor;
    double middle, range;

    du_config_tensor (config, i, &tensor);
    if (tensor.rank == 4 && strcmp (tensor.name, "head.weight") != 0)
      continue;
    middle = g_str_has_suffix (tensor.name, "bn.weight") || g_str_has_suffix (tensor.name, "running_var");
    range = middle > 0 ? 0.5 : 0.1;
    for (gsize k = 0; k < tensor.count; k++)
      parameters[tensor.offset + k] = (float) g_rand_double_range (random, middle - range, middle + range);
  }
  g_rand_free (random);
  return parameters;
}

#endif

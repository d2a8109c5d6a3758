/* Fuzzer of the weights reader, for clang's libFuzzer:
 *
 *   CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
 *   ninja -C build-fuzz tests/fuzz-weights
 *   build-fuzz/tests/fuzz-weights -max_len=65536 CORPUS
 *
 * A corpus may begin with any small weights file. Each input is read as it is and with its digests made
 * right: what is accepted must be a network of finite values.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "weights-seal.h"

#include <math.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
try_bytes (const guint8 *bytes, gsize size)
{
  g_auto (DuWeightsFile) file = { .fd = -1 };
  g_auto (DuWeights) weights = { 0 };
  g_autoptr (GError) error = NULL;

  if (!du_weights_open_memory (&file, "fuzz", bytes, size, &error)
      || !du_weights_read (&file, &weights, &error)) {
    g_assert_nonnull (error);
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
    return;
  }
  g_assert_true (du_config_check (&weights.config, NULL));
  for (gsize i = 0, n = du_config_n_parameters (&weights.config); i < n; i++)
    g_assert_true (isfinite (weights.parameters[i]));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree guint8 *sealed = g_memdup2 (data, size);

  try_bytes (data, size);
  if (sealed)
    seal (sealed, size);
  try_bytes (sealed, sealed ? size : 0);
  return 0;
}

/* Makes the digests of a weights file in memory right again after it was changed, so that what is wrong with
 * it is something else. For the tests and the fuzzer.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WEIGHTS_SEAL_H
#define WEIGHTS_SEAL_H

#include "weights.h"

#include <string.h>

/* The 64 bytes behind mark in the header, or NULL. */
static inline guint8 *
find_digits (guint8 *header, gsize size, const char *mark)
{
  guint8 *at = memmem (header, size, mark, strlen (mark));

  return at && at + strlen (mark) + DU_WEIGHTS_DIGITS <= header + size ? at + strlen (mark) : NULL;
}

/* Does what can be done: a file without a header, or a header without these fields, stays as it is. */
static inline void
seal (guint8 *file, gsize size)
{
  guint64 length;
  gsize header_size;
  guint8 *digits;

  if (!file || size < 8)
    return;
  memcpy (&length, file, 8);
  length = GUINT64_FROM_LE (length);
  if (length > size - 8)
    return;
  header_size = 8 + length;
  digits = find_digits (file, header_size, "\"sha256\":\"");
  if (digits) {
    g_autofree char *digest
        = g_compute_checksum_for_data (G_CHECKSUM_SHA256, file + header_size, size - header_size);

    memcpy (digits, digest, DU_WEIGHTS_DIGITS);
  }
  digits = find_digits (file, header_size, "\"header_sha256\":\"");
  if (digits) {
    g_autofree char *digest = du_weights_header_digest (file, header_size, digits - file);

    memcpy (digits, digest, DU_WEIGHTS_DIGITS);
  }
}

#endif

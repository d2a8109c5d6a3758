/* A good weights file in memory, for tests that change it, and a folder for temporary files.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef WEIGHTS_SAMPLE_H
#define WEIGHTS_SAMPLE_H

#include "weights-seal.h"

extern char *folder;        /* for temporary files */
extern GByteArray *sample;  /* base width 1, F16, BN in mid, sigmoid, one free key: note = "good" */
extern gsize sample_header; /* 8 + length of its JSON */

void make_sample (void);
void remove_sample (void);
char *in_folder (const char *name);
/* Length, JSON (length bytes of it) and data in one block, sealed if asked. */
GByteArray *assemble (const char *json, gsize length, const guint8 *data, gsize size, gboolean sealed);
/* Whether a file in memory, called "sample", is accepted. weights may be NULL. */
gboolean reads (const guint8 *bytes, gsize size, DuWeights *weights, GError **error);
/* An error of this code whose message names the file and holds part, and is fit to be shown. */
void check_error (const char *what, const GError *error, const char *name, int code, const char *part);
/* A file in memory must be refused, with part in the message; must be accepted where part is NULL. */
void check_file (const char *what, const GByteArray *file, const char *part);

#endif

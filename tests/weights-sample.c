/* A good weights file in memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "weights-sample.h"

#include <glib/gstdio.h>
#include <unistd.h>

char *folder;
GByteArray *sample;
gsize sample_header;

char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

GByteArray *
assemble (const char *json, gsize length, const guint8 *data, gsize size, gboolean sealed)
{
  GByteArray *file = g_byte_array_new ();
  guint64 length_le = GUINT64_TO_LE ((guint64) length);

  g_byte_array_append (file, (const guint8 *) &length_le, 8);
  g_byte_array_append (file, (const guint8 *) json, length);
  g_byte_array_append (file, data, size);
  if (sealed)
    seal (file->data, file->len);
  return file;
}

gboolean
reads (const guint8 *bytes, gsize size, DuWeights *weights, GError **error)
{
  g_auto (DuWeightsFile) file = { .fd = -1 };
  g_auto (DuWeights) read = { 0 };

  if (!du_weights_open_memory (&file, "sample", bytes, size, error)
      || !du_weights_read (&file, weights ? weights : &read, error))
    return FALSE;
  return TRUE;
}

void
make_sample (void)
{
  static const DuConfig config = { 1, 0, DU_HEAD_SIGMOID };
  g_autofree float *parameters = g_new (float, du_config_n_parameters (&config));
  g_autofree char *path = NULL;
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;
  guint64 length;
  char *content;
  gsize size;

  folder = g_dir_make_tmp ("deblurunet-XXXXXX", NULL);
  g_assert_nonnull (folder);
  g_assert_cmpint (g_chmod (folder, 0755), ==, 0);
  path = in_folder ("sample");
  du_config_initialise (&config, 7, parameters);
  g_hash_table_insert (metadata, (gpointer) "note", (gpointer) "good");
  du_weights_write (path, &config, parameters, metadata, DU_DTYPE_F16, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &content, &size, NULL));
  sample = g_byte_array_new_take ((guint8 *) content, size);
  memcpy (&length, content, 8);
  sample_header = 8 + GUINT64_FROM_LE (length);
  g_assert_cmpuint (sample_header % 8, ==, 0);
  g_assert_true (reads (sample->data, sample->len, NULL, NULL));
}

void
remove_sample (void)
{
  g_autoptr (GDir) list = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (list))) {
    g_autofree char *path = in_folder (name);

    g_unlink (path);
  }
  g_rmdir (folder);
  g_free (folder);
  g_byte_array_unref (sample);
}

void
check_error (const char *what, const GError *error, const char *name, int code, const char *part)
{
  if (!error)
    g_error ("%s: was not refused", what);
  if (error->domain != DU_ERROR || error->code != code || !strstr (error->message, name)
      || !strstr (error->message, part))
    g_error ("%s: wants code %d and '%s', got code %d: %s", what, code, part, error->code, error->message);
  if (!g_utf8_validate (error->message, -1, NULL) || strlen (error->message) > 700
      || strchr (error->message, '\n'))
    g_error ("%s: a message that cannot be shown: %s", what, error->message);
}

void
check_file (const char *what, const GByteArray *file, const char *part)
{
  g_autoptr (GError) error = NULL;
  gboolean accepted = reads (file->data, file->len, NULL, &error);

  if (part)
    check_error (what, error, "'sample'", DU_ERROR_FORMAT, part);
  else if (!accepted)
    g_error ("%s: refused: %s", what, error->message);
}

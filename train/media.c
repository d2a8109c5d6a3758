/* Lists of files, and many files at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media.h"

#include <glib/gstdio.h>
#include <gst/gst.h>
#include <string.h>

gboolean
media_start (GError **error)
{
  g_autoptr (GError) reason = NULL;

  if (gst_init_check (NULL, NULL, &reason))
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_IO, "GStreamer does not start: %s", reason->message);
  return FALSE;
}

/* ---- lists --------------------------------------------------------------------------------- */

static gboolean
named_like_media (const char *name)
{
  static const char *const endings[] = { ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff",
    ".gif", ".jp2", ".ppm", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts",
    ".y4m", ".ogv", ".wmv", ".flv", ".mxf" };
  g_autofree char *lower = g_ascii_strdown (name, -1);

  for (guint i = 0; i < G_N_ELEMENTS (endings); i++)
    if (g_str_has_suffix (lower, endings[i]))
      return TRUE;
  return FALSE;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

enum
{
  DEPTH_MAX = 40, /* of folders: links may form a ring */
};

static gboolean
list_folder (const char *path, int depth, GPtrArray *files, GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (GDir) folder = g_dir_open (path, 0, &reason);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  if (!folder || depth > DEPTH_MAX) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "folder '%s' cannot be read: %s", path,
        folder ? "folders in folders without end" : reason->message);
    return FALSE;
  }
  while ((name = g_dir_read_name (folder)))
    if (name[0] != '.')
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *full = g_build_filename (path, names->pdata[i], NULL);

    if (g_file_test (full, G_FILE_TEST_IS_DIR)) {
      if (!list_folder (full, depth + 1, files, error))
        return FALSE;
    } else if (named_like_media (full) || media_kind (full) != MEDIA_UNKNOWN)
      g_ptr_array_add (files, g_steal_pointer (&full));
  }
  return TRUE;
}

char **
media_list (char *const *paths, GError **error)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);

  if (!media_start (error))
    return NULL;
  for (; *paths; paths++)
    if (!g_file_test (*paths, G_FILE_TEST_IS_DIR))
      g_ptr_array_add (files, g_strdup (*paths));
    else if (!list_folder (*paths, 0, files, error))
      return NULL;
  g_ptr_array_add (files, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&files), FALSE);
}

/* ---- many files ---------------------------------------------------------------------------- */

typedef struct
{
  char *const *files;
  guint n;
  const MediaOptions *options;
  MediaFunc func;
  gpointer data;
  gint next;       /* atomic: file to take next */
  GMutex lock;     /* of what follows */
  char **reasons;  /* one a file, NULL = good */
  GError *fatal;   /* stops everything */
} Work;

static gpointer
work (gpointer data)
{
  Work *w = data;
  guint file;

  while ((file = g_atomic_int_add (&w->next, 1)) < w->n) {
    g_autoptr (GError) error = NULL;

    if (interrupted ())
      g_set_error (&error, TRAIN_ERROR, interrupted_exit_code (), "interrupted");
    else if (media_decode (w->files[file], file, w->options, w->func, w->data, &error))
      continue;
    g_mutex_lock (&w->lock);
    if (g_error_matches (error, TRAIN_ERROR, EXIT_DATA))
      w->reasons[file] = g_strdup (error->message);
    else {
      if (!w->fatal)
        w->fatal = g_steal_pointer (&error);
      g_atomic_int_set (&w->next, w->n);
    }
    g_mutex_unlock (&w->lock);
  }
  return NULL;
}

gboolean
media_decode_all (char *const *files, const MediaOptions *options, int threads, guint max_bad, MediaFunc func,
    gpointer data, gboolean *bad, GError **error)
{
  guint n = g_strv_length ((char **) files), n_threads, n_bad = 0;
  Work w = { files, n, options, func, data };
  g_autofree GThread **pool = NULL;

  if (!media_start (error))
    return FALSE;
  n_threads = MIN (n, threads > 0 ? (guint) threads : g_get_num_processors ());
  w.reasons = g_new0 (char *, MAX (n, 1));
  g_mutex_init (&w.lock);
  pool = g_new (GThread *, MAX (n_threads, 1));
  for (guint i = 0; i < n_threads; i++)
    pool[i] = g_thread_new ("decode", work, &w);
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (pool[i]);
  g_mutex_clear (&w.lock);
  for (guint i = 0; i < n; i++) {
    if (bad)
      bad[i] = w.reasons[i] != NULL;
    if (w.reasons[i]) {
      g_printerr ("%s: %s\n", files[i], w.reasons[i]);
      n_bad++;
      g_free (w.reasons[i]);
    }
  }
  g_free (w.reasons);
  if (w.fatal)
    g_propagate_error (error, w.fatal);
  else if (n_bad > max_bad)
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "%u of %u files are bad, listed above, and %u may be: mend or remove them, or raise --max-bad", n_bad, n,
        max_bad);
  else
    return TRUE;
  return FALSE;
}

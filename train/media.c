/* Lists of files, and many files at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media.h"

#include <errno.h>
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

/* A folder, and those that it is in. */
typedef struct _Place Place;
struct _Place
{
  const Place *above; /* NULL: none */
  GStatBuf status;
};

/* Links may form a ring: what such a one leads to has been listed already. */
static gboolean
is_within_itself (const Place *place)
{
  for (const Place *above = place->above; above; above = above->above)
    if (above->status.st_dev == place->status.st_dev && above->status.st_ino == place->status.st_ino)
      return TRUE;
  return FALSE;
}

static gboolean
list_folder (const char *path, const Place *above, GPtrArray *files, GError **error)
{
  Place place = { .above = above };
  g_autoptr (GError) reason = NULL;
  g_autoptr (GDir) folder = g_dir_open (path, 0, &reason);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  if (!folder || g_stat (path, &place.status) != 0) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "folder '%s' cannot be read: %s", path,
        folder ? g_strerror (errno) : reason->message);
    return FALSE;
  }
  if (is_within_itself (&place))
    return TRUE;
  while ((name = g_dir_read_name (folder)))
    if (name[0] != '.')
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *full = g_build_filename (path, names->pdata[i], NULL);

    if (interrupted ()) {
      g_set_error (error, TRAIN_ERROR, (int) interrupted_exit_code (), "interrupted");
      return FALSE;
    }
    if (g_file_test (full, G_FILE_TEST_IS_DIR)) {
      if (!list_folder (full, &place, files, error))
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
    if (g_file_test (*paths, G_FILE_TEST_IS_DIR)) {
      if (!list_folder (*paths, NULL, files, error))
        return NULL;
    } else if (g_file_test (*paths, G_FILE_TEST_EXISTS))
      g_ptr_array_add (files, g_strdup (*paths));
    else {
      g_set_error (error, TRAIN_ERROR, EXIT_DATA,
          "there is no '%s', or what is above it cannot be read: give pictures, videos or folders of them", *paths);
      return NULL;
    }
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
  guint n = g_strv_length ((char **) files), n_threads, started = 0, n_bad = 0;
  Work w = { files, n, options, func, data };
  g_autofree GThread **pool = NULL;

  if (!media_start (error))
    return FALSE;
  n_threads = MIN (n, threads > 0 ? (guint) threads : g_get_num_processors ());
  w.reasons = g_new0 (char *, MAX (n, 1));
  g_mutex_init (&w.lock);
  pool = g_new (GThread *, MAX (n_threads, 1));
  for (guint i = 0; i < n_threads && (pool[i] = g_thread_try_new ("decode", work, &w, NULL)); i++)
    started++;
  if (!started) /* the system gives no threads */
    work (&w);
  for (guint i = 0; i < started; i++)
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

/* A file is a line with a SHA-256 of all that follows, then that: a GVariant, the device and its choices, the
 * newest at the end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan-cache.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define VARIABLE "DEBLURUNET_CUDA_PLANS"
#define PREFIX "plans-"
#define MAGIC "deblurunet plans 1 "
#define ENTRY_TYPE "(s" DU_CHOICE_TYPE ")"
#define FILE_TYPE "(sa" ENTRY_TYPE ")"

enum
{
  DIGEST = 64,             /* characters of a SHA-256 */
  HEADER = sizeof MAGIC + DIGEST, /* with the line's end */
  NAME = 16,               /* characters of a device's digest in its file's name */
  BYTES_MAX = 16 << 20,    /* of a file; a network has some 14 choices, of at most 100 KiB each */
  ENTRIES_MAX = 512,       /* in a file */
  FILES_MAX = 8,           /* in the folder */
  PATIENCE_MS = 10000,     /* with another process that writes */
  PAUSE_MS = 5,
};

struct _DuPlanCache
{
  char *device;
  char *path; /* NULL: the disk is left alone */
  GHashTable *choices; /* key -> GVariant */
  GHashTable *fresh;   /* keys that the file lacks, in no order */
  GHashTable *dropped; /* keys that the file is to lose */
};

static GMutex lock;
static GHashTable *caches; /* device -> DuPlanCache */

static char *
digest_of (gconstpointer data, gsize size)
{
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, data, size);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

/* The bytes of a regular file that is not too large; NULL where there is none. */
static GBytes *
read_bytes (const char *path)
{
  GStatBuf status;
  char *data;
  gsize size;

  /* Anything else might have no end, or make us wait. */
  if (g_stat (path, &status) != 0 || !S_ISREG (status.st_mode) || status.st_size < HEADER
      || status.st_size > BYTES_MAX || !g_file_get_contents (path, &data, &size, NULL))
    return NULL;
  return g_bytes_new_take (data, size);
}

/* The file's choices, an array of ENTRY_TYPE; NULL where it is not what was once written for this device. */
static GVariant *
read_entries (const DuPlanCache *cache)
{
  g_autoptr (GBytes) file = read_bytes (cache->path), content = NULL;
  g_autoptr (GVariant) all = NULL;
  g_autofree char *digest = NULL;
  const char *data, *device;
  gsize size;

  if (!file)
    return NULL;
  data = g_bytes_get_data (file, &size);
  if (size < HEADER)
    return NULL;
  digest = digest_of (data + HEADER, size - HEADER);
  if (memcmp (data, MAGIC, strlen (MAGIC)) != 0 || memcmp (data + strlen (MAGIC), digest, DIGEST) != 0
      || data[HEADER - 1] != '\n')
    return NULL;
  content = g_bytes_new_from_bytes (file, HEADER, size - HEADER);
  all = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (FILE_TYPE), content, FALSE));
  if (!g_variant_is_normal_form (all))
    return NULL;
  g_variant_get_child (all, 0, "&s", &device);
  return strcmp (device, cache->device) == 0 ? g_variant_get_child_value (all, 1) : NULL;
}

static void
load (DuPlanCache *cache)
{
  g_autoptr (GVariant) entries = cache->path ? read_entries (cache) : NULL;
  const gsize count = entries ? g_variant_n_children (entries) : 0;

  for (gsize i = 0; i < count; i++) {
    const char *key;
    GVariant *choice;

    g_variant_get_child (entries, i, "(&s@" DU_CHOICE_TYPE ")", &key, &choice);
    g_hash_table_replace (cache->choices, g_strdup (key), choice);
  }
}

/* ---- writing ----------------------------------------------------------------------------------------- */

typedef struct
{
  char *path;
  gint64 time;
} File;

static void
file_clear (gpointer data)
{
  g_free (((File *) data)->path);
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
  const gint64 first = ((const File *) a)->time, second = ((const File *) b)->time;

  return first < second ? 1 : first > second ? -1 : 0;
}

/* Of devices and libraries that there were once, and what a writer left that was killed: the newest stay. */
static void
tidy (const char *folder)
{
  g_autoptr (GArray) files = g_array_new (FALSE, FALSE, sizeof (File));
  g_autoptr (GDir) names = g_dir_open (folder, 0, NULL);
  const char *name;

  g_array_set_clear_func (files, file_clear);
  while (names && (name = g_dir_read_name (names))) {
    File file = { g_build_filename (folder, name, NULL), 0 };
    GStatBuf status;

    if (g_str_has_prefix (name, PREFIX) && g_lstat (file.path, &status) == 0 && !S_ISDIR (status.st_mode)) {
      file.time = status.st_mtime;
      g_array_append_val (files, file);
    } else {
      g_free (file.path);
    }
  }
  g_array_sort (files, compare_times);
  for (guint i = FILES_MAX; i < files->len; i++)
    (void) g_unlink (g_array_index (files, File, i).path);
}

/* Waits until no other process reads and replaces files of the folder; unlock_folder(), or -1 where that cannot be known or
 * takes too long: a process that was stopped in the middle is not to stop this one. */
static int
lock_folder (const char *folder)
{
  int file = g_open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

  for (int waited = 0; file >= 0 && flock (file, LOCK_EX | LOCK_NB) != 0; waited += PAUSE_MS) {
    if ((errno != EWOULDBLOCK && errno != EINTR) || waited >= PATIENCE_MS) {
      close (file);
      return -1;
    }
    g_usleep (PAUSE_MS * 1000);
  }
  return file;
}

static void
unlock_folder (int file)
{
  if (file >= 0)
    close (file);
}

static GVariant *
entry_new (const char *key, GVariant *choice)
{
  return g_variant_ref_sink (g_variant_new ("(s@" DU_CHOICE_TYPE ")", key, choice));
}

/* What the file has and is to keep, then what is new. */
static GPtrArray *
merge (const DuPlanCache *cache)
{
  GPtrArray *all = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  g_autoptr (GVariant) entries = read_entries (cache);
  const gsize count = entries ? g_variant_n_children (entries) : 0;
  GHashTableIter iter;
  gpointer key;

  for (gsize i = 0; i < count; i++) {
    GVariant *entry = g_variant_get_child_value (entries, i);
    const char *name;

    g_variant_get_child (entry, 0, "&s", &name);
    if (g_hash_table_contains (cache->fresh, name) || g_hash_table_contains (cache->dropped, name))
      g_variant_unref (entry);
    else
      g_ptr_array_add (all, entry);
  }
  g_hash_table_iter_init (&iter, cache->fresh);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_ptr_array_add (all, entry_new (key, g_hash_table_lookup (cache->choices, key)));
  return all;
}

/* As many of the last ones as a file may have. */
static GVariant *
file_content (const DuPlanCache *cache, const GPtrArray *all)
{
  GVariantBuilder builder;
  gsize size = HEADER + strlen (cache->device);
  guint first = all->len;

  while (first > 0 && all->len - first < ENTRIES_MAX) {
    /* With what alignment and offsets may add. */
    size += g_variant_get_size (all->pdata[first - 1]) + 2 * sizeof (guint64);
    if (size > BYTES_MAX)
      break;
    first--;
  }
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a" ENTRY_TYPE));
  for (guint i = first; i < all->len; i++)
    g_variant_builder_add_value (&builder, all->pdata[i]);
  return g_variant_ref_sink (g_variant_new ("(sa" ENTRY_TYPE ")", cache->device, &builder));
}

static void
write_file (const DuPlanCache *cache)
{
  g_autofree char *folder = g_path_get_dirname (cache->path), *digest = NULL;
  g_autoptr (GPtrArray) all = NULL;
  g_autoptr (GVariant) content = NULL;
  g_autoptr (GString) file = g_string_new (MAGIC);
  int locked;

  if (g_mkdir_with_parents (folder, 0700) != 0)
    return;
  locked = lock_folder (folder);
  all = merge (cache);
  content = file_content (cache, all);
  digest = digest_of (g_variant_get_data (content), g_variant_get_size (content));
  g_string_append_printf (file, "%s\n", digest);
  g_string_append_len (file, g_variant_get_data (content), g_variant_get_size (content));
  if (g_file_set_contents_full (cache->path, file->str, file->len, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
          NULL))
    tidy (folder);
  unlock_folder (locked);
}

/* ---- the cache --------------------------------------------------------------------------------------- */

static void
cache_free (gpointer data)
{
  DuPlanCache *cache = data;

  g_hash_table_unref (cache->choices);
  g_hash_table_unref (cache->fresh);
  g_hash_table_unref (cache->dropped);
  g_free (cache->device);
  g_free (cache->path);
  g_free (cache);
}

static DuPlanCache *
cache_new (const char *device)
{
  g_autofree char *digest = digest_of (device, strlen (device));
  g_autofree char *name = g_strdup_printf (PREFIX "%.*s", NAME, digest);
  DuPlanCache *cache = g_new0 (DuPlanCache, 1);

  cache->device = g_strdup (device);
  if (g_strcmp0 (g_getenv (VARIABLE), "0") != 0)
    cache->path = g_build_filename (g_get_user_cache_dir (), "deblurunet", name, NULL);
  cache->choices
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_variant_unref);
  cache->fresh = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  cache->dropped = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  load (cache);
  return cache;
}

DuPlanCache *
du_plan_cache_get (const char *device)
{
  DuPlanCache *cache;

  g_mutex_lock (&lock);
  if (!caches)
    caches = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, cache_free);
  cache = g_hash_table_lookup (caches, device);
  if (!cache) {
    cache = cache_new (device);
    g_hash_table_insert (caches, cache->device, cache);
  }
  g_mutex_unlock (&lock);
  return cache;
}

GVariant *
du_plan_cache_find (DuPlanCache *cache, const char *key)
{
  GVariant *choice;

  g_mutex_lock (&lock);
  choice = g_hash_table_lookup (cache->choices, key);
  if (choice)
    g_variant_ref (choice);
  g_mutex_unlock (&lock);
  return choice;
}

static void
forget_choice (DuPlanCache *cache, const char *key)
{
  if (!g_hash_table_remove (cache->choices, key))
    return;
  g_hash_table_remove (cache->fresh, key);
  g_hash_table_add (cache->dropped, g_strdup (key));
}

void
du_plan_cache_keep (DuPlanCache *cache, const char *key, GVariant *choice, gboolean lasting)
{
  g_mutex_lock (&lock);
  if (!lasting)
    forget_choice (cache, key);
  g_hash_table_replace (cache->choices, g_strdup (key), g_variant_ref_sink (choice));
  if (lasting) {
    g_hash_table_remove (cache->dropped, key);
    g_hash_table_add (cache->fresh, g_strdup (key));
  }
  g_mutex_unlock (&lock);
}

void
du_plan_cache_drop (DuPlanCache *cache, const char *key)
{
  g_mutex_lock (&lock);
  forget_choice (cache, key);
  g_mutex_unlock (&lock);
}

void
du_plan_cache_save (DuPlanCache *cache)
{
  g_mutex_lock (&lock);
  if (g_hash_table_size (cache->fresh) || g_hash_table_size (cache->dropped)) {
    if (cache->path)
      write_file (cache);
    /* Written or not: what did not work now will hardly work for the next row. */
    g_hash_table_remove_all (cache->fresh);
    g_hash_table_remove_all (cache->dropped);
  }
  g_mutex_unlock (&lock);
}

void
du_plan_cache_clear (DuPlanCache *cache)
{
  g_mutex_lock (&lock);
  g_hash_table_remove_all (cache->choices);
  g_hash_table_remove_all (cache->fresh);
  g_hash_table_remove_all (cache->dropped);
  if (cache->path)
    (void) g_unlink (cache->path);
  g_mutex_unlock (&lock);
}

void
du_plan_cache_forget (void)
{
  g_mutex_lock (&lock);
  g_clear_pointer (&caches, g_hash_table_unref);
  g_mutex_unlock (&lock);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "DUCHECK1"
#define PREFIX "checkpoint-"
#define PART ".part"
#define KEPT 2

enum
{
  MAGIC_BYTES = 8,
  DIGEST_BYTES = 32,
  HEAD_BYTES = MAGIC_BYTES + 8 * (1 + CHECKPOINT_BLOCKS),
};

#if G_BYTE_ORDER != G_LITTLE_ENDIAN
#error "blocks are written as they stand in memory: a big-endian machine needs a swap"
#endif

void
checkpoint_clear (Checkpoint *checkpoint)
{
  g_free (checkpoint->header);
  for (int i = 0; i < CHECKPOINT_BLOCKS; i++)
    g_free (checkpoint->block[i]);
  *checkpoint = (Checkpoint){ 0 };
}

static gboolean
fail (GError **error, ExitCode code, const char *path, const char *what, int number)
{
  g_set_error (error, TRAIN_ERROR, code, "%s: %s: %s", path, what, g_strerror (number));
  return FALSE;
}

/* ---- names -------------------------------------------------------------------------------- */

static int
compare_numbers (gconstpointer a, gconstpointer b)
{
  guint64 x = *(const guint64 *) a, y = *(const guint64 *) b;

  return x < y ? 1 : x > y ? -1 : 0;
}

/* Numbers of the folder's checkpoints, highest first. An unreadable folder has none. */
static GArray *
list (const char *folder)
{
  GArray *numbers = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    guint64 number;

    if (g_str_has_prefix (name, PREFIX)
        && g_ascii_string_to_unsigned (name + strlen (PREFIX), 10, 0, G_MAXUINT64, &number, NULL))
      g_array_append_val (numbers, number);
  }
  g_array_sort (numbers, compare_numbers);
  return numbers;
}

static char *
path_of (const char *folder, guint64 number)
{
  g_autofree char *name = g_strdup_printf (PREFIX "%010" G_GUINT64_FORMAT, number);

  return g_build_filename (folder, name, NULL);
}

gboolean
checkpoint_exists (const char *folder)
{
  g_autoptr (GArray) numbers = list (folder);

  return numbers->len > 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

static gboolean
sync_folder (const char *folder, GError **error)
{
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean done = fd >= 0 && fsync (fd) == 0;
  int number = errno;

  if (fd >= 0)
    close (fd);
  return done || fail (error, EXIT_IO, folder, "cannot be made durable", number);
}

static gboolean
write_all (int fd, GChecksum *digest, gconstpointer data, gsize size)
{
  const guint8 *at = data;

  if (digest)
    g_checksum_update (digest, at, (gssize) size);
  while (size) {
    gssize n = write (fd, at, MIN (size, 64 << 20));

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return FALSE;
    at += n;
    size -= (gsize) n;
  }
  return TRUE;
}

static gboolean
write_checkpoint (int fd, const Checkpoint *checkpoint)
{
  g_autoptr (GChecksum) digest = g_checksum_new (G_CHECKSUM_SHA256);
  gsize header_bytes = strlen (checkpoint->header), digest_bytes = DIGEST_BYTES;
  guint64 sizes[1 + CHECKPOINT_BLOCKS] = { header_bytes };
  guint8 sum[DIGEST_BYTES];

  for (int i = 0; i < CHECKPOINT_BLOCKS; i++)
    sizes[1 + i] = checkpoint->count[i];
  if (!write_all (fd, digest, MAGIC, MAGIC_BYTES) || !write_all (fd, digest, sizes, sizeof sizes)
      || !write_all (fd, digest, checkpoint->header, header_bytes))
    return FALSE;
  for (int i = 0; i < CHECKPOINT_BLOCKS; i++)
    if (!write_all (fd, digest, checkpoint->block[i], checkpoint->count[i] * sizeof (float)))
      return FALSE;
  g_checksum_get_digest (digest, sum, &digest_bytes);
  return write_all (fd, NULL, sum, sizeof sum);
}

gboolean
checkpoint_save (const char *folder, guint64 number, const Checkpoint *checkpoint, GError **error)
{
  g_autofree char *path = path_of (folder, number), *temporary = g_strconcat (path, PART, NULL);
  g_autoptr (GArray) numbers = NULL;
  gboolean done = FALSE;
  int fd;

  for (int i = 0; i < CHECKPOINT_BLOCKS; i++)
    for (gsize j = 0; j < checkpoint->count[i]; j++)
      if (!isfinite (checkpoint->block[i][j])) {
        g_set_error (error, TRAIN_ERROR, EXIT_DIVERGED,
            "%s is not written: the training state holds a value that is not finite; lower "
            "--lr or set --clip",
            path);
        return FALSE;
      }
  fd = g_open (temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0)
    return fail (error, EXIT_IO, temporary, "cannot be made", errno);
  done = write_checkpoint (fd, checkpoint) && fsync (fd) == 0;
  if (!done)
    fail (error, EXIT_IO, temporary, "writing the checkpoint failed, the one before stays", errno);
  if (close (fd) != 0 && done)
    done = fail (error, EXIT_IO, temporary, "writing the checkpoint failed, the one before stays", errno);
  if (done && g_rename (temporary, path) != 0)
    done = fail (error, EXIT_IO, path, "cannot be renamed into place", errno);
  if (!done) {
    g_unlink (temporary);
    return FALSE;
  }
  if (!sync_folder (folder, error))
    return FALSE;
  numbers = list (folder);
  for (guint i = KEPT; i < numbers->len; i++) {
    g_autofree char *old = path_of (folder, g_array_index (numbers, guint64, i));

    g_unlink (old);
  }
  return TRUE;
}

gboolean
text_save (const char *path, const char *text, GError **error)
{
  g_autoptr (GError) cause = NULL;

  if (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
          0666, &cause))
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_IO, "%s cannot be written: %s", path, cause->message);
  return FALSE;
}

/* ---- reading ------------------------------------------------------------------------------- */

static gboolean
damaged (GError **error, const char *path, const char *why)
{
  g_set_error (error, TRAIN_ERROR, EXIT_WEIGHTS, "%s is not a whole checkpoint: %s", path, why);
  return FALSE;
}

static gboolean
read_checkpoint (const char *path, Checkpoint *checkpoint, GError **error)
{
  g_autoptr (GChecksum) digest = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *data = NULL;
  g_autoptr (GError) cause = NULL;
  g_auto (Checkpoint) found = { 0 };
  gsize size, at = HEAD_BYTES, digest_bytes = DIGEST_BYTES;
  guint64 sizes[1 + CHECKPOINT_BLOCKS], left;
  guint8 sum[DIGEST_BYTES];

  if (!g_file_get_contents (path, &data, &size, &cause)) {
    if (g_error_matches (cause, G_FILE_ERROR, G_FILE_ERROR_IO)
        || g_error_matches (cause, G_FILE_ERROR, G_FILE_ERROR_ISDIR))
      return damaged (error, path, cause->message);
    g_set_error (error, TRAIN_ERROR, EXIT_IO, "%s: cannot be read now: %s", path, cause->message);
    return FALSE;
  }
  if (size < HEAD_BYTES + DIGEST_BYTES || memcmp (data, MAGIC, MAGIC_BYTES))
    return damaged (error, path, "it does not begin like one");
  g_checksum_update (digest, (guint8 *) data, (gssize) (size - DIGEST_BYTES));
  g_checksum_get_digest (digest, sum, &digest_bytes);
  if (memcmp (sum, data + size - DIGEST_BYTES, DIGEST_BYTES))
    return damaged (error, path, "its SHA-256 differs from its content's");
  memcpy (sizes, data + MAGIC_BYTES, sizeof sizes);
  left = size - HEAD_BYTES - DIGEST_BYTES;
  if (sizes[0] > left)
    return damaged (error, path, "its header is longer than the file");
  found.header = g_strndup (data + at, sizes[0]);
  at += sizes[0];
  left -= sizes[0];
  for (int i = 0; i < CHECKPOINT_BLOCKS; i++) {
    guint64 count = sizes[1 + i];

    if (count > left / sizeof (float))
      return damaged (error, path, "a block is longer than the file");
    found.count[i] = count;
    found.block[i] = g_try_new (float, MAX (count, 1));
    if (!found.block[i]) {
      g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "%s: not enough memory to load it", path);
      return FALSE;
    }
    memcpy (found.block[i], data + at, count * sizeof (float));
    at += count * sizeof (float);
    left -= count * sizeof (float);
  }
  if (left)
    return damaged (error, path, "bytes stand behind its last block");
  *checkpoint = found;
  found = (Checkpoint){ 0 };
  return TRUE;
}

gboolean
checkpoint_load (const char *folder, Checkpoint *checkpoint, GError **error)
{
  g_autoptr (GArray) numbers = list (folder);

  for (guint i = 0; i < numbers->len; i++) {
    g_autofree char *path = path_of (folder, g_array_index (numbers, guint64, i));
    g_autofree char *aside = g_strconcat (path, ".damaged", NULL);
    g_autoptr (GError) cause = NULL;

    if (read_checkpoint (path, checkpoint, &cause))
      return TRUE;
    if (!g_error_matches (cause, TRAIN_ERROR, EXIT_WEIGHTS)) {
      g_propagate_error (error, g_steal_pointer (&cause));
      return FALSE;
    }
    g_printerr ("warning: %s; taking the one before it\n", cause->message);
    g_rename (path, aside);
  }
  g_set_error (error, TRAIN_ERROR, EXIT_WEIGHTS,
      "%s holds no %scheckpoint to go on from: start without --resume, in another folder", folder,
      numbers->len ? "whole " : "");
  return FALSE;
}

/* ---- the folder ---------------------------------------------------------------------------- */

gboolean
folder_make (const char *folder, GError **error)
{
  return g_mkdir_with_parents (folder, 0777) == 0 || fail (error, EXIT_IO, folder, "cannot be made", errno);
}

/* What a process that was killed left half written. */
static void
remove_parts (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir)))
    if (g_str_has_prefix (name, PREFIX) && g_str_has_suffix (name, PART)) {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      g_unlink (path);
    }
}

int
folder_lock (const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "lock", NULL);
  int fd;

  if (!folder_make (folder, error))
    return -1;
  fd = g_open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) {
    fail (error, EXIT_IO, path, "cannot be made", errno);
    return -1;
  }
  if (flock (fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      g_set_error (error, TRAIN_ERROR, EXIT_IO,
          "%s is in use by another run: wait for it, or give another folder", folder);
    else
      fail (error, EXIT_IO, path, "cannot be locked", errno);
    close (fd);
    return -1;
  }
  remove_parts (folder);
  return fd;
}

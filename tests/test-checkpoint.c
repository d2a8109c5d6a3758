/* Checkpoints: round trip, two kept, damage, failure to write, the lock.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checkpoint.h"

#include <glib/gstdio.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum
{
  FLOATS = 50,
};

static char *folder;

static void
empty_folder (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    g_assert_cmpint (g_unlink (path), ==, 0);
  }
}

static guint
count_files (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir))
    n++;
  return n;
}

static void
make (Checkpoint *checkpoint, int seed)
{
  *checkpoint = (Checkpoint){ .header = g_strdup_printf ("[a]\nseed=%d\n", seed) };
  for (int i = 0; i < CHECKPOINT_BLOCKS; i++) {
    checkpoint->count[i] = i == CHECKPOINT_EMA && seed % 2 ? 0 : (gsize) (FLOATS + i);
    checkpoint->block[i] = g_new (float, FLOATS + i);
    for (int j = 0; j < FLOATS + i; j++)
      checkpoint->block[i][j] = (float) (seed * 1000 + i * 100 + j) * 1.1f;
  }
}

static void
save (int seed)
{
  g_auto (Checkpoint) checkpoint = { 0 };
  g_autoptr (GError) error = NULL;

  make (&checkpoint, seed);
  checkpoint_save (folder, (guint64) seed, &checkpoint, &error);
  g_assert_no_error (error);
}

static void
assert_newest (int seed)
{
  g_auto (Checkpoint) expected = { 0 }, found = { 0 };
  g_autoptr (GError) error = NULL;

  make (&expected, seed);
  checkpoint_load (folder, &found, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (found.header, ==, expected.header);
  for (int i = 0; i < CHECKPOINT_BLOCKS; i++)
    g_assert_cmpmem (found.block[i], found.count[i] * sizeof (float), expected.block[i],
        expected.count[i] * sizeof (float));
}

static void
test_round_trip (void)
{
  empty_folder ();
  g_assert_false (checkpoint_exists (folder));
  for (int seed = 1; seed < 13; seed++) { /* past the change from one digit to two */
    save (seed);
    g_assert_true (checkpoint_exists (folder));
    assert_newest (seed);
    g_assert_cmpuint (count_files (), ==, (guint) MIN (seed, 2));
  }
}

static char *
path_of (int seed)
{
  return g_strdup_printf ("%s/checkpoint-%010d", folder, seed);
}

/* stderr is kept out of the test's output while damaged files are named there. */
static void
quiet (const char *text)
{
  (void) text;
}

/* Every byte flipped, every length: the one before is taken, never garbage. */
static void
test_damage (void)
{
  g_autofree char *newest = path_of (8), *aside = g_strconcat (newest, ".damaged", NULL), *content = NULL;
  GPrintFunc old = g_set_printerr_handler (quiet);
  gsize size;

  empty_folder ();
  save (7);
  save (8);
  g_assert_true (g_file_get_contents (newest, &content, &size, NULL));
  for (gsize i = 0; i < 2 * size; i++) {
    g_autofree char *damaged = g_memdup2 (content, size);

    if (i < size)
      damaged[i] ^= (char) (1 << i % 8);
    g_assert_true (g_file_set_contents_full (newest, damaged, i < size ? (gssize) size : (gssize) (i - size),
        G_FILE_SET_CONTENTS_NONE, 0666, NULL));
    assert_newest (7);
    g_assert_false (g_file_test (newest, G_FILE_TEST_EXISTS));
    g_assert_true (g_file_test (aside, G_FILE_TEST_EXISTS));
  }
  g_set_printerr_handler (old);
}

static void
test_none_whole (void)
{
  g_autofree char *path = path_of (3);
  GPrintFunc old = g_set_printerr_handler (quiet);

  empty_folder ();
  for (int i = 0; i < 2; i++) { /* none, then a damaged one */
    g_auto (Checkpoint) found = { 0 };
    g_autoptr (GError) error = NULL;

    g_assert_false (checkpoint_load (folder, &found, &error));
    g_assert_error (error, TRAIN_ERROR, EXIT_WEIGHTS);
    g_assert_null (found.header);
    save (3);
    g_assert_cmpint (truncate (path, 100), ==, 0);
  }
  g_set_printerr_handler (old);
}

static void
test_not_finite (void)
{
  static const float values[] = { NAN, INFINITY, -INFINITY };

  empty_folder ();
  save (1);
  for (guint i = 0; i < G_N_ELEMENTS (values) * CHECKPOINT_BLOCKS; i++) {
    g_auto (Checkpoint) checkpoint = { 0 };
    g_autoptr (GError) error = NULL;

    make (&checkpoint, 2);
    checkpoint.block[i % CHECKPOINT_BLOCKS][FLOATS / 2] = values[i / CHECKPOINT_BLOCKS];
    g_assert_false (checkpoint_save (folder, 2, &checkpoint, &error));
    g_assert_error (error, TRAIN_ERROR, EXIT_DIVERGED);
    g_assert_cmpuint (count_files (), ==, 1);
  }
}

/* Writing fails after every possible number of bytes, as on a full disk: the old one stays, nothing else. */
static void
test_disk_full (void)
{
  struct rlimit before, limit;
  g_auto (Checkpoint) checkpoint = { 0 };

  empty_folder ();
  save (1);
  make (&checkpoint, 2);
  signal (SIGXFSZ, SIG_IGN);
  getrlimit (RLIMIT_FSIZE, &before);
  limit = before;
  for (limit.rlim_cur = 0; limit.rlim_cur < 800; limit.rlim_cur += 37) {
    g_autoptr (GError) error = NULL;

    g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
    g_assert_false (checkpoint_save (folder, 2, &checkpoint, &error));
    g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &before), ==, 0);
    g_assert_error (error, TRAIN_ERROR, EXIT_IO);
    g_assert_cmpuint (count_files (), ==, 1);
    assert_newest (1);
  }
}

static void
test_lock (void)
{
  g_autoptr (GError) error = NULL, second = NULL, file = NULL;
  g_autofree char *blocked = g_build_filename (folder, "lock", "x", NULL);
  int lock;

  empty_folder ();
  lock = folder_lock (folder, &error);
  g_assert_no_error (error);
  g_assert_cmpint (lock, >=, 0);
  g_assert_cmpint (folder_lock (folder, &second), ==, -1);
  g_assert_error (second, TRAIN_ERROR, EXIT_IO);
  close (lock);
  lock = folder_lock (folder, NULL);
  g_assert_cmpint (lock, >=, 0);
  close (lock);
  g_assert_cmpint (folder_lock (blocked, &file), ==, -1); /* below a file */
  g_assert_error (file, TRAIN_ERROR, EXIT_IO);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("checkpoint-XXXXXX", NULL);
  g_assert_nonnull (folder);
  g_test_add_func ("/checkpoint/round-trip", test_round_trip);
  g_test_add_func ("/checkpoint/damage", test_damage);
  g_test_add_func ("/checkpoint/none-whole", test_none_whole);
  g_test_add_func ("/checkpoint/not-finite", test_not_finite);
  g_test_add_func ("/checkpoint/disk-full", test_disk_full);
  g_test_add_func ("/checkpoint/lock", test_lock);
  result = g_test_run ();
  empty_folder ();
  g_rmdir (folder);
  g_free (folder);
  return result;
}

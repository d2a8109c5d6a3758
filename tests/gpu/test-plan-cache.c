/* The files of choices: what is written is found again, and nothing else is; damage, foreign content, folders that
 * cannot be written, several writers, bounds.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda/plan-cache.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#define DEVICE "emulated GPU, all versions"
#define VARIABLE "DEBLURUNET_CUDA_PLANS"

static char *root, *folder; /* the user's caches, and ours among them */

static void
remove_all (const char *path)
{
  g_autoptr (GDir) names = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (names && (name = g_dir_read_name (names))) {
    g_autofree char *inner = g_build_filename (path, name, NULL);

    remove_all (inner);
  }
  (void) g_remove (path);
}

/* A new user's new process. */
static void
begin (void)
{
  remove_all (folder);
  du_plan_cache_forget ();
}

static GVariant *
choice_new (gint64 engine, const char *text)
{
  GVariantBuilder knobs;

  g_variant_builder_init (&knobs, G_VARIANT_TYPE ("a(ix)"));
  g_variant_builder_add (&knobs, "(ix)", 2, G_MAXINT64);
  return g_variant_new ("((ubu)xa(ix)xs@ay)", 2, TRUE, 1, engine, &knobs, (gint64) 4096, "digest",
      g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1));
}

/* The engine under a key, or 0. */
static gint64
engine_of (const char *device, const char *key)
{
  g_autoptr (GVariant) choice = du_plan_cache_find (du_plan_cache_get (device), key);
  gint64 engine = 0;

  if (choice)
    g_variant_get_child (choice, 1, "x", &engine);
  return engine;
}

static void
keep (const char *device, const char *key, gint64 engine, gboolean lasting)
{
  du_plan_cache_keep (du_plan_cache_get (device), key, choice_new (engine, "{}"), lasting);
}

static void
save (const char *device)
{
  du_plan_cache_save (du_plan_cache_get (device));
}

static guint
count_files (void)
{
  g_autoptr (GDir) names = g_dir_open (folder, 0, NULL);
  guint count = 0;

  while (names && g_dir_read_name (names))
    count++;
  return count;
}

/* The only file that there is. */
static char *
find_file (void)
{
  g_autoptr (GDir) names = g_dir_open (folder, 0, NULL);
  const char *name = names ? g_dir_read_name (names) : NULL;

  g_assert_nonnull (name);
  return g_build_filename (folder, name, NULL);
}

/* Without a new file, and without waiting for the disk. */
static void
overwrite (const char *path, const char *data, gsize size)
{
  FILE *file = fopen (path, "wb");

  g_assert_nonnull (file);
  g_assert_cmpuint (fwrite (data, 1, size, file), ==, size);
  g_assert_cmpint (fclose (file), ==, 0);
}

/* ---- what is found ----------------------------------------------------------------------------------- */

static void
test_found (void)
{
  g_autofree char *path = NULL;
  g_autoptr (GVariant) choice = NULL, expected = g_variant_ref_sink (choice_new (62, "{\"plan\":1}"));
  GStatBuf status;

  begin ();
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 0);
  du_plan_cache_keep (du_plan_cache_get (DEVICE), "a", expected, TRUE);
  keep (DEVICE, "b", 7, TRUE);
  keep (DEVICE, "of this process alone", 8, FALSE);
  g_assert_cmpuint (count_files (), ==, 0);
  save (DEVICE);
  path = find_file ();
  g_assert_cmpint (g_stat (path, &status), ==, 0);
  g_assert_cmpint (status.st_mode & 0777, ==, 0600);
  g_assert_cmpint (engine_of (DEVICE, "of this process alone"), ==, 8);

  du_plan_cache_forget ();
  choice = du_plan_cache_find (du_plan_cache_get (DEVICE), "a");
  g_assert_true (choice && g_variant_equal (choice, expected));
  g_assert_cmpint (engine_of (DEVICE, "b"), ==, 7);
  g_assert_cmpint (engine_of (DEVICE, "of this process alone"), ==, 0);
  g_assert_cmpint (engine_of (DEVICE, "c"), ==, 0);
  g_assert_cmpint (engine_of (DEVICE ", and one more", "a"), ==, 0);

  /* Nothing new: nothing is written. */
  g_assert_cmpint (g_unlink (path), ==, 0);
  save (DEVICE);
  g_assert_cmpuint (count_files (), ==, 0);
}

/* A choice that did not work is gone for all; one of this process alone takes the place of one that lasted. */
static void
test_dropped (void)
{
  begin ();
  for (int i = 0; i < 4; i++)
    keep (DEVICE, (const char *[]){ "a", "b", "c", "d" }[i], 1 + i, TRUE);
  save (DEVICE);
  du_plan_cache_forget ();
  du_plan_cache_drop (du_plan_cache_get (DEVICE), "a");
  du_plan_cache_drop (du_plan_cache_get (DEVICE), "never there");
  keep (DEVICE, "b", 20, FALSE);
  keep (DEVICE, "c", 30, TRUE);
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 0);
  g_assert_cmpint (engine_of (DEVICE, "b"), ==, 20);
  save (DEVICE);
  du_plan_cache_forget ();
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 0);
  g_assert_cmpint (engine_of (DEVICE, "b"), ==, 0);
  g_assert_cmpint (engine_of (DEVICE, "c"), ==, 30);
  g_assert_cmpint (engine_of (DEVICE, "d"), ==, 4);
  du_plan_cache_clear (du_plan_cache_get (DEVICE));
  g_assert_cmpint (engine_of (DEVICE, "d"), ==, 0);
  g_assert_cmpuint (count_files (), ==, 0);
}

static void
test_off (void)
{
  begin ();
  keep (DEVICE, "a", 1, TRUE);
  save (DEVICE);
  g_setenv (VARIABLE, "0", TRUE);
  du_plan_cache_forget ();
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 0);
  keep (DEVICE, "a", 2, TRUE);
  save (DEVICE);
  du_plan_cache_clear (du_plan_cache_get (DEVICE));
  g_unsetenv (VARIABLE);
  du_plan_cache_forget ();
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 1);
}

/* ---- damage ------------------------------------------------------------------------------------------ */

/* Nothing of the file counts, and the next one takes its place. */
static void
check_ignored (const char *what, gsize at)
{
  du_plan_cache_forget ();
  if (engine_of (DEVICE, "a") || engine_of (DEVICE, "b"))
    g_error ("%s at %" G_GSIZE_FORMAT " is taken for good", what, at);
}

static void
test_damage (void)
{
  g_autofree char *path = NULL, *data = NULL;
  gsize size;

  begin ();
  keep (DEVICE, "a", 1, TRUE);
  keep (DEVICE, "b", 2, TRUE);
  save (DEVICE);
  path = find_file ();
  g_assert_true (g_file_get_contents (path, &data, &size, NULL));
  for (gsize length = 0; length < size; length++) {
    overwrite (path, data, length);
    check_ignored ("the end", length);
  }
  for (gsize i = 0; i < size; i++) {
    data[i] ^= 1 << i % 8;
    overwrite (path, data, size);
    check_ignored ("a bit", i);
    data[i] ^= 1 << i % 8;
  }
  keep (DEVICE, "a", 3, TRUE);
  save (DEVICE);
  du_plan_cache_forget ();
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 3);
  g_assert_cmpint (engine_of (DEVICE, "b"), ==, 0);
  g_assert_cmpuint (count_files (), ==, 1);
}

/* Content that somebody else sealed. */
static void
test_foreign (void)
{
  g_autofree char *path = NULL, *data = NULL;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  gsize size, header;

  begin ();
  keep (DEVICE, "a", 1, TRUE);
  keep (DEVICE, "b", 2, TRUE);
  save (DEVICE);
  path = find_file ();
  g_assert_true (g_file_get_contents (path, &data, &size, NULL));
  header = strchr (data, '\n') + 1 - data;
  for (int i = 0; i < 600; i++) {
    g_autofree char *other = g_memdup2 (data, size), *digest = NULL;
    const gsize length = i % 4 ? size : (gsize) g_rand_int_range (random, header, size + 1);

    for (int k = i % 5; k >= 0; k--)
      other[g_rand_int_range (random, header, size)] = (char) g_rand_int (random);
    digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *) other + header, length - header);
    memcpy (other + header - 1 - strlen (digest), digest, strlen (digest));
    overwrite (path, other, length);
    du_plan_cache_forget ();
    /* Whatever it says, it can be asked, and written again. */
    (void) engine_of (DEVICE, "a");
    if (i % 60 == 0) {
      keep (DEVICE, "c", 3, TRUE);
      save (DEVICE);
      du_plan_cache_forget ();
      g_assert_cmpint (engine_of (DEVICE, "c"), ==, 3);
    }
  }
}

/* A whole file, but of another device. */
static void
test_other_device (void)
{
  g_autofree char *path = NULL, *data = NULL;
  gsize size;

  begin ();
  keep ("another device", "a", 1, TRUE);
  save ("another device");
  path = find_file ();
  g_assert_true (g_file_get_contents (path, &data, &size, NULL));
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_clear_pointer (&path, g_free);
  keep (DEVICE, "b", 2, TRUE);
  save (DEVICE);
  path = find_file ();
  overwrite (path, data, size);
  check_ignored ("another device's file", 0);
}

/* ---- other things than files ------------------------------------------------------------------------- */

static void
test_no_file (void)
{
  g_autofree char *path = NULL, *elsewhere = g_build_filename (root, "elsewhere", NULL);
  int file;

  begin ();
  keep (DEVICE, "a", 1, TRUE);
  save (DEVICE);
  path = find_file ();

  /* A pipe that nobody writes to. */
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  check_ignored ("a pipe", 0);
  keep (DEVICE, "a", 1, TRUE);
  save (DEVICE);
  du_plan_cache_forget ();
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 1);

  /* More than any file of ours, without taking the disk's room. */
  file = g_open (path, O_WRONLY | O_TRUNC, 0600);
  g_assert_cmpint (file, >=, 0);
  g_assert_cmpint (ftruncate (file, (off_t) 1 << 40), ==, 0);
  g_assert_cmpint (close (file), ==, 0);
  check_ignored ("a terabyte", 0);

  /* A folder, not even empty: nothing can be written, and nothing is left beside it. */
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_cmpint (g_mkdir_with_parents (path, 0700), ==, 0);
  {
    g_autofree char *inner = g_build_filename (path, "inner", NULL);

    overwrite (inner, "", 0);
  }
  check_ignored ("a folder", 0);
  keep (DEVICE, "a", 1, TRUE);
  save (DEVICE);
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 1);
  g_assert_cmpuint (count_files (), ==, 1);
  check_ignored ("a folder", 1);

  /* A link: what it leads to stays as it is. */
  remove_all (path);
  overwrite (elsewhere, "precious", 8);
  g_assert_cmpint (symlink (elsewhere, path), ==, 0);
  check_ignored ("a link", 0);
  keep (DEVICE, "a", 1, TRUE);
  save (DEVICE);
  {
    g_autofree char *content = NULL;

    g_assert_true (g_file_get_contents (elsewhere, &content, NULL, NULL));
    g_assert_cmpstr (content, ==, "precious");
  }
}

/* The folder is a file; or, for who is not root, may not be written. */
static void
test_no_folder (void)
{
  begin ();
  overwrite (folder, "", 0);
  check_ignored ("a file for a folder", 0);
  keep (DEVICE, "a", 1, TRUE);
  save (DEVICE);
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 1);
  du_plan_cache_clear (du_plan_cache_get (DEVICE));
  check_ignored ("a file for a folder", 1);
  g_assert_cmpint (g_unlink (folder), ==, 0);

  g_assert_cmpint (g_mkdir (folder, 0500), ==, 0);
  keep (DEVICE, "a", 1, TRUE);
  save (DEVICE);
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 1);
  if (geteuid () != 0)
    g_assert_cmpuint (count_files (), ==, 0);
  g_assert_cmpint (g_chmod (folder, 0700), ==, 0);
}

/* ---- bounds ------------------------------------------------------------------------------------------ */

static void
test_bounds (void)
{
  const gsize large = 1 << 20;
  g_autofree char *text = g_strnfill (large, ' '), *path = NULL;
  GStatBuf status;

  begin ();
  /* The last 512 choices stay; each save has some, the newest last. */
  for (int i = 0; i < 600; i += 100) {
    for (int k = i; k < i + 100; k++) {
      g_autofree char *key = g_strdup_printf ("%d", k);

      keep (DEVICE, key, 1 + k, TRUE);
    }
    save (DEVICE);
  }
  du_plan_cache_forget ();
  g_assert_cmpint (engine_of (DEVICE, "0"), ==, 0);
  g_assert_cmpint (engine_of (DEVICE, "599"), ==, 600);
  for (int i = 0, found = 0; i < 600; i++) {
    g_autofree char *key = g_strdup_printf ("%d", i);

    found += engine_of (DEVICE, key) != 0;
    if (i == 599)
      g_assert_cmpint (found, ==, 512);
  }
  /* So do as many as there is room for. */
  for (int i = 0; i < 20; i++) {
    g_autofree char *key = g_strdup_printf ("large %d", i);

    du_plan_cache_keep (du_plan_cache_get (DEVICE), key, choice_new (1, text), TRUE);
    if (i == 9 || i == 19)
      save (DEVICE);
  }
  path = find_file ();
  g_assert_cmpint (g_stat (path, &status), ==, 0);
  g_assert_cmpint (status.st_size, <=, 16 << 20);
  g_assert_cmpint (status.st_size, >, 14 << 20);
  du_plan_cache_forget ();
  for (int i = 0, found = 0; i < 20; i++) {
    g_autofree char *key = g_strdup_printf ("large %d", i);

    found += engine_of (DEVICE, key) != 0;
    /* Those of the second save are all there. */
    g_assert_true (i < 10 || engine_of (DEVICE, key));
    if (i == 19)
      g_assert_cmpint (found, ==, 15);
  }
}

/* Of many devices and versions the newest stay, and what is not ours does. */
static void
test_files (void)
{
  g_autofree char *other = g_build_filename (folder, "something else", NULL);
  const gint64 now = g_get_real_time () / G_USEC_PER_SEC;

  begin ();
  for (int i = 0; i < 12; i++) {
    g_autofree char *device = g_strdup_printf ("device %d", i);
    g_autoptr (GDir) names = NULL;
    const char *name;

    keep (device, "a", 1 + i, TRUE);
    save (device);
    overwrite (other, "", 0);
    /* All of them a day older. */
    names = g_dir_open (folder, 0, NULL);
    while ((name = g_dir_read_name (names))) {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      struct utimbuf times;
      GStatBuf status;

      g_assert_cmpint (g_stat (path, &status), ==, 0);
      times.actime = times.modtime = MIN (status.st_mtime, now) - 86400;
      g_assert_cmpint (utime (path, &times), ==, 0);
    }
  }
  du_plan_cache_forget ();
  g_assert_cmpuint (count_files (), ==, 9);
  g_assert_cmpint (engine_of ("device 11", "a"), ==, 12);
  g_assert_cmpint (engine_of ("device 4", "a"), ==, 5);
  g_assert_cmpint (engine_of ("device 3", "a"), ==, 0);
}

/* ---- several writers --------------------------------------------------------------------------------- */

enum
{
  WRITERS = 4,
  ROUNDS = 6,
};

static void
write_many (int writer)
{
  for (int round = 0; round < ROUNDS; round++) {
    g_autofree char *key = g_strdup_printf ("%d.%d", writer, round);

    du_plan_cache_forget ();
    keep (DEVICE, key, 1 + writer, TRUE);
    save (DEVICE);
  }
}

/* Nobody's choices are lost to another's writing, and there is nothing beside the file. */
static void
test_writers (void)
{
  pid_t writers[WRITERS];

  begin ();
  for (int i = 0; i < WRITERS; i++) {
    writers[i] = fork ();
    g_assert_cmpint (writers[i], >=, 0);
    if (writers[i] == 0) {
      write_many (i);
      _exit (0);
    }
  }
  for (int i = 0; i < WRITERS; i++) {
    int status = -1;

    while (waitpid (writers[i], &status, 0) < 0)
      g_assert_cmpint (errno, ==, EINTR);
    g_assert_cmpint (status, ==, 0);
  }
  g_assert_cmpuint (count_files (), ==, 1);
  du_plan_cache_forget ();
  for (int i = 0; i < WRITERS; i++)
    for (int round = 0; round < ROUNDS; round++) {
      g_autofree char *key = g_strdup_printf ("%d.%d", i, round);

      if (engine_of (DEVICE, key) != 1 + i)
        g_error ("choice %s is %" G_GINT64_FORMAT ", not %d", key, engine_of (DEVICE, key), 1 + i);
    }
}

/* A folder that another process holds is waited for, and what that one wrote meanwhile stays. */
static void
test_held (void)
{
  g_autofree char *path = NULL, *data = NULL;
  int held, released[2];
  pid_t other;
  gsize size;

  begin ();
  keep (DEVICE, "a", 1, TRUE);
  save (DEVICE);
  path = find_file ();
  g_assert_true (g_file_get_contents (path, &data, &size, NULL));
  g_assert_cmpint (g_unlink (path), ==, 0);
  held = g_open (folder, O_RDONLY | O_DIRECTORY, 0);
  g_assert_cmpint (flock (held, LOCK_EX), ==, 0);
  g_assert_cmpint (pipe (released), ==, 0);
  other = fork ();
  g_assert_cmpint (other, >=, 0);
  if (other == 0) {
    close (held); /* the parent's alone */
    du_plan_cache_forget ();
    keep (DEVICE, "b", 2, TRUE);
    g_assert_cmpint (write (released[1], "", 1), ==, 1);
    save (DEVICE);
    _exit (0);
  }
  g_assert_cmpint (read (released[0], (char[1]){ 0 }, 1), ==, 1);
  g_usleep (20000);
  overwrite (path, data, size);
  g_assert_cmpint (close (held), ==, 0);
  close (released[0]);
  close (released[1]);
  {
    int status = -1;

    while (waitpid (other, &status, 0) < 0)
      g_assert_cmpint (errno, ==, EINTR);
    g_assert_cmpint (status, ==, 0);
  }
  du_plan_cache_forget ();
  g_assert_cmpint (engine_of (DEVICE, "a"), ==, 1);
  g_assert_cmpint (engine_of (DEVICE, "b"), ==, 2);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  root = g_dir_make_tmp ("deblurunet-plans-XXXXXX", NULL);
  g_assert_nonnull (root);
  g_setenv ("XDG_CACHE_HOME", root, TRUE);
  g_unsetenv (VARIABLE);
  g_assert_cmpstr (g_get_user_cache_dir (), ==, root);
  folder = g_build_filename (root, "deblurunet", NULL);
  g_test_add_func ("/plan-cache/found", test_found);
  g_test_add_func ("/plan-cache/dropped", test_dropped);
  g_test_add_func ("/plan-cache/off", test_off);
  g_test_add_func ("/plan-cache/damage", test_damage);
  g_test_add_func ("/plan-cache/foreign", test_foreign);
  g_test_add_func ("/plan-cache/other-device", test_other_device);
  g_test_add_func ("/plan-cache/no-file", test_no_file);
  g_test_add_func ("/plan-cache/no-folder", test_no_folder);
  g_test_add_func ("/plan-cache/bounds", test_bounds);
  g_test_add_func ("/plan-cache/files", test_files);
  g_test_add_func ("/plan-cache/writers", test_writers);
  g_test_add_func ("/plan-cache/held", test_held);
  status = g_test_run ();
  du_plan_cache_forget ();
  remove_all (root);
  g_free (root);
  g_free (folder);
  return status;
}

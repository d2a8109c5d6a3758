/* Scratch folders of tests.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include <glib/gstdio.h>

/* Removes a file, or a folder with all in it; links are not followed. */
static inline void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (g_unlink (path) == 0)
    return;
  dir = g_dir_open (path, 0, NULL);
  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *inner = g_build_filename (path, name, NULL);

    remove_tree (inner);
  }
  g_rmdir (path);
}

#endif

/* Checkpoints: everything that a training run needs to go on as if it had never stopped, in one file.
 *
 * Layout, little-endian: "DUCHECK1", bytes of the header (u64), floats of each block (u64 x
 * CHECKPOINT_BLOCKS), the header (text of a key file), the blocks (float32), SHA-256 of all that stands
 * before it (32 bytes).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "train.h"

enum
{
  CHECKPOINT_PARAMETERS,
  CHECKPOINT_MOMENT1,
  CHECKPOINT_MOMENT2,
  CHECKPOINT_EMA, /* empty where none is kept */
  CHECKPOINT_BLOCKS,
};

typedef struct
{
  char *header;
  float *block[CHECKPOINT_BLOCKS];
  gsize count[CHECKPOINT_BLOCKS]; /* floats */
} Checkpoint;

/* Frees what the checkpoint holds, and makes it empty. */
void checkpoint_clear (Checkpoint *checkpoint);

/* Writes FOLDER/checkpoint-NUMBER: a temporary file, fsync, rename, fsync of the folder; then removes all but
 * the two of the highest numbers. Those before stay whole on any failure (EXIT_IO). Values that are not
 * finite are refused (EXIT_DIVERGED). */
gboolean checkpoint_save (const char *folder, guint64 number, const Checkpoint *checkpoint, GError **error);
/* The one of the highest number that is whole. Damaged ones are named on stderr and renamed to *.damaged.
 * EXIT_WEIGHTS where none is whole or none is there. */
gboolean checkpoint_load (const char *folder, Checkpoint *checkpoint, GError **error);
gboolean checkpoint_exists (const char *folder);

/* With all above it, where it is not there yet; EXIT_IO. */
gboolean folder_make (const char *folder, GError **error);
/* Makes the folder and takes its lock, which holds until the descriptor is closed or the process ends; -1:
 * EXIT_IO, another process has it or the folder cannot be made. */
int folder_lock (const char *folder, GError **error);
/* Writes a small text file whole or not at all. */
gboolean text_save (const char *path, const char *text, GError **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Checkpoint, checkpoint_clear)

#endif

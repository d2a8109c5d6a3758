/* Pictures blurred | deblurred | sharp beside each other: as files, and in a page with an enlarged part.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TRIPTYCH_H
#define TRIPTYCH_H

#include "evaluate.h"

typedef struct
{
  char *name;        /* of its file, without a folder */
  int height, width; /* of each of the three */
  guint8 *part[3];   /* RGB [height, width, 3], dense */
  const char *const *titles; /* of the three in a page, static; NULL = blurred, deblurred, sharp */
  gboolean no_truth;         /* the third is no truth, but shows the difference of the others */
} Triptych;

void triptych_clear (Triptych *triptych);
/* Copies the result; DU_ERROR_MEMORY. Its name is PREFIX-NAME-sigmaS.png, without kernels PREFIX-NAME.png, made
 * fit for a file's. */
gboolean triptych_make (Triptych *triptych, const EvaluateResult *result, const char *prefix,
    const SynthKernel *kernels, GError **error);
/* Keeps the middle, of at most height x width. */
void triptych_cut (Triptych *triptych, int height, int width);
/* In one row, with a white gap, as FOLDER/NAME; EXIT_IO. */
gboolean triptych_save (const Triptych *triptych, const char *folder, GError **error);
/* What triptych_save() wrote; the name is the file's. */
gboolean triptych_load (Triptych *triptych, const char *path, GError **error);
/* All of it, reduced, and the part where the blur took most (without a truth: where the first two differ most),
 * in full size. EXIT_IO. */
gboolean triptych_append (GString *page, const Triptych *triptych, const char *caption, GError **error);

/* Bytes of a page that pictures may fill: of those behind it only the caption remains. */
#define TRIPTYCH_PAGE_MAX (2800 * 1024)

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Triptych, triptych_clear)

#endif

/* The page that `fit` and `eval` write: one file of HTML, which is well-formed XML too, with its style,
 * drawings and pictures inside; nothing is loaded from anywhere.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PAGE_H
#define PAGE_H

#include "plot.h"
#include "synth.h"

/* Appends text, escaped for content and attributes; bytes that are not UTF-8 and control characters become
 * U+FFFD. */
void page_text (GString *page, const char *text);

/* Both headings are escaped; the headline is a sentence with the numbers that matter, escaped too. */
GString *page_new (const char *title, const char *headline);
/* Ends the page and writes it, and the plots' picture curves.png, into the folder, each atomically. */
gboolean page_save (GString *page, const GPtrArray *plots, const char *folder, GError **error);

void page_heading (GString *page, const char *heading);
/* A paragraph. */
void page_note (GString *page, const char *text);
/* Mean PSNR before and after, as large figures between page_tiles (TRUE) and (FALSE). */
void page_tiles (GString *page, gboolean begin);
void page_tile (GString *page, const char *what, double before, double after);
/* Those of [first, end) that are there. */
void page_plots (GString *page, const GPtrArray *plots, guint first, guint end);

/* Tables: columns is NULL-terminated; the first n_texts are texts, the others numbers. summary: folded away
 * under it, NULL = open. */
void page_table (GString *page, const char *summary, const char *const *columns, guint n_texts);
void page_row (GString *page, gboolean strong);
void page_cell (GString *page, const char *text);
/* decimals: behind the point; negative: so many significant digits and a power of ten. A dash where the value
 * is not finite. */
void page_number (GString *page, double value, int decimals);
/* With its sign and its colour. */
void page_gain (GString *page, double value, int decimals);
void page_table_end (GString *page, gboolean folded);

/* What a key file's group holds, as a table. */
void page_key_file (GString *page, GKeyFile *file, const char *group);
/* Table 1: parameters, and folded away the layers. */
void page_network (GString *page, const DuConfig *config);
/* The same, and all that the weights file says. */
void page_weights (GString *page, DuModel *model);

/* "7×7, σ 1"; NULL: "as given". */
void page_kernel_name (const SynthKernel *kernel, char text[48]);
/* "27.06 → 33.41 dB at σ 1" behind a comma where something stands in the sentence. */
void page_rise (GString *sentence, const SynthKernel *kernel, double before, double after);

#endif

/* Curves: one drawing, as SVG inside a page and as a picture file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PLOT_H
#define PLOT_H

#include <glib.h>

enum
{
  PLOT_WIDTH = 440, /* of one drawing, in its own units */
  PLOT_HEIGHT = 284,
  PLOT_SERIES_MAX = 2,
};

typedef struct
{
  char *name; /* in the legend */
  double *y;  /* what is not finite is a gap */
} PlotSeries;

typedef struct
{
  char *title, *x_name;
  gboolean logarithmic; /* of y; then numbers that are not positive are gaps, too */
  guint n;              /* points of each series */
  double *x;            /* finite, rising */
  double best;          /* a line at this x; not a number: none */
  PlotSeries series[PLOT_SERIES_MAX];
  guint n_series;
} Plot;

/* x is copied. */
Plot *plot_new (const char *title, const char *x_name, guint n, const double *x);
void plot_free (Plot *plot);
/* y is copied. */
void plot_add (Plot *plot, const char *name, const double *y);

/* Colours are classes that the page gives a look: text, muted, grid, first, second. */
void plot_append_svg (GString *page, const Plot *plot);

/* ---- what a drawing is made of, and on what --------------------------------------------------- */

typedef enum
{
  INK_TEXT,
  INK_MUTED,
  INK_GRID,
  INK_FIRST,
  INK_SECOND,
} Ink;

typedef enum
{
  STROKE_SOLID,
  STROKE_DASHED,
  STROKE_DOTTED,
} Stroke;

typedef enum
{
  ANCHOR_START,
  ANCHOR_MIDDLE,
  ANCHOR_END,
} Anchor;

typedef struct
{
  gpointer data;
  /* xy: n pairs, n at least 2. */
  void (*line) (gpointer data, const double *xy, guint n, double width, Stroke stroke, Ink ink);
  /* A filled square, or a ring; note: what it stands for, or NULL. */
  void (*mark) (gpointer data, double x, double y, gboolean square, Ink ink, const char *note);
  void (*text) (gpointer data, double x, double y, Anchor anchor, gboolean bold, Ink ink, const char *text);
} Pen;

enum
{
  PLOT_TEXT_SIZE = 13,
  PLOT_TITLE_SIZE = 15, /* of bold text */
};

void plot_draw (const Plot *plot, const Pen *pen);

/* ---- plot-png.c, or plot-no-png.c where cairo is missing ---------------------------------------- */

extern const gboolean plot_writes_png;
/* All plots in two columns as one PNG picture, atomically. EXIT_IO. Does nothing where it cannot. */
gboolean plot_save_png (const GPtrArray *plots, const char *path, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Plot, plot_free)

#endif

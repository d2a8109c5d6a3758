/* Curves as a PNG picture, by cairo.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plot.h"

#include "train.h"

#include <cairo.h>
#include <math.h>

enum
{
  SCALE = 2, /* pixels a unit */
  MARGIN = 12,
};

const gboolean plot_writes_png = TRUE;

/* As the page's style has them for light surroundings. */
static void
set_ink (cairo_t *cr, Ink ink)
{
  static const guint32 colour[] = { 0x1a1d21, 0x5a6270, 0xdfe3e8, 0x0b5cad, 0xb4500a };

  cairo_set_source_rgb (
      cr, (colour[ink] >> 16) / 255.0, (colour[ink] >> 8 & 255) / 255.0, (colour[ink] & 255) / 255.0);
}

static void
png_line (gpointer data, const double *xy, guint n, double width, Stroke stroke, Ink ink)
{
  static const double dashes[][2] = { { 0 }, { 6, 4 }, { 2, 3 } };
  cairo_t *cr = data;

  set_ink (cr, ink);
  cairo_set_line_width (cr, width);
  cairo_set_dash (cr, dashes[stroke], stroke == STROKE_SOLID ? 0 : 2, 0);
  cairo_move_to (cr, xy[0], xy[1]);
  for (guint i = 1; i < n; i++)
    cairo_line_to (cr, xy[2 * i], xy[2 * i + 1]);
  cairo_stroke (cr);
}

static void
png_mark (gpointer data, double x, double y, gboolean square, Ink ink, const char *note)
{
  cairo_t *cr = data;

  (void) note;
  if (square) {
    cairo_rectangle (cr, x - 3, y - 3, 6, 6);
    set_ink (cr, ink);
    cairo_fill (cr);
    return;
  }
  cairo_new_sub_path (cr);
  cairo_arc (cr, x, y, 3.2, 0, 2 * G_PI);
  cairo_set_source_rgb (cr, 1, 1, 1);
  cairo_fill_preserve (cr);
  set_ink (cr, ink);
  cairo_set_line_width (cr, 1.6);
  cairo_set_dash (cr, NULL, 0, 0);
  cairo_stroke (cr);
}

static void
png_text (gpointer data, double x, double y, Anchor anchor, gboolean bold, Ink ink, const char *text)
{
  cairo_t *cr = data;
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  cairo_text_extents_t extents;

  cairo_select_font_face (
      cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size (cr, bold ? PLOT_TITLE_SIZE : PLOT_TEXT_SIZE);
  cairo_text_extents (cr, valid, &extents);
  set_ink (cr, ink);
  cairo_move_to (cr, x - extents.x_advance * anchor / 2, y);
  cairo_show_text (cr, valid);
}

static cairo_status_t
append (void *data, const unsigned char *bytes, unsigned n)
{
  g_byte_array_append (data, bytes, n);
  return CAIRO_STATUS_SUCCESS;
}

gboolean
plot_save_png (const GPtrArray *plots, const char *path, GError **error)
{
  int rows = ((int) plots->len + 1) / 2, columns = plots->len > 1 ? 2 : 1;
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24,
      (columns * (PLOT_WIDTH + MARGIN) + MARGIN) * SCALE, (rows * (PLOT_HEIGHT + MARGIN) + MARGIN) * SCALE);
  cairo_t *cr = cairo_create (surface);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GError) reason = NULL;
  const Pen pen = { cr, png_line, png_mark, png_text };
  cairo_status_t status;

  cairo_set_source_rgb (cr, 1, 1, 1);
  cairo_paint (cr);
  cairo_scale (cr, SCALE, SCALE);
  for (guint i = 0; i < plots->len; i++) {
    cairo_save (cr);
    cairo_translate (cr, MARGIN + (i % 2) * (PLOT_WIDTH + MARGIN), MARGIN + (i / 2) * (PLOT_HEIGHT + MARGIN));
    plot_draw (g_ptr_array_index (plots, i), &pen);
    cairo_restore (cr);
  }
  status = cairo_status (cr);
  cairo_destroy (cr);
  if (status == CAIRO_STATUS_SUCCESS)
    status = cairo_surface_write_to_png_stream (surface, append, bytes);
  cairo_surface_destroy (surface);
  if (status != CAIRO_STATUS_SUCCESS)
    g_set_error (error, TRAIN_ERROR, EXIT_IO, "picture '%s' cannot be made: %s", path,
        cairo_status_to_string (status));
  else if (!g_file_set_contents_full (
               path, (const char *) bytes->data, bytes->len, G_FILE_SET_CONTENTS_CONSISTENT, 0666, &reason))
    g_set_error (error, TRAIN_ERROR, EXIT_IO, "picture '%s' cannot be written: %s", path, reason->message);
  else
    return TRUE;
  return FALSE;
}

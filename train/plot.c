/* Axes with round numbers, curves with gaps, a legend; SVG.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plot.h"

#include "page.h"

#include <math.h>
#include <string.h>

enum
{
  LEFT = 62, /* of the box that the curves stand in */
  RIGHT = PLOT_WIDTH - 14,
  TOP = 56,
  BOTTOM = PLOT_HEIGHT - 44,
  TICKS = 5, /* aimed at */
  TICKS_MAX = 16,
  MARKS_MAX = 40, /* more points than this are a line without marks */
  COLUMNS = 360,  /* points that a curve has at most, times two */
};

#define HUGE_NUMBER 1e100 /* and beyond: a gap, so that no difference overflows */

Plot *
plot_new (const char *title, const char *x_name, guint n, const double *x)
{
  Plot *plot = g_new0 (Plot, 1);

  plot->title = g_strdup (title);
  plot->x_name = g_strdup (x_name);
  plot->n = n;
  plot->x = g_memdup2 (x, n * sizeof *x);
  plot->best = NAN;
  return plot;
}

void
plot_free (Plot *plot)
{
  if (!plot)
    return;
  for (guint s = 0; s < plot->n_series; s++) {
    g_free (plot->series[s].name);
    g_free (plot->series[s].y);
  }
  g_free (plot->title);
  g_free (plot->x_name);
  g_free (plot->x);
  g_free (plot);
}

void
plot_add (Plot *plot, const char *name, const double *y)
{
  g_return_if_fail (plot->n_series < PLOT_SERIES_MAX);
  plot->series[plot->n_series++] = (PlotSeries){ g_strdup (name), g_memdup2 (y, plot->n * sizeof *y) };
}

/* ---- axes ------------------------------------------------------------------------------------ */

typedef struct
{
  gboolean logarithmic;
  double least, most; /* of what is shown; of the logarithm, where it is one */
  double from, to;    /* where these stand in the drawing */
  double tick[TICKS_MAX];
  guint n_ticks;
  int decimals; /* of the ticks' labels; -1: shortest */
} Axis;

/* What is not a number is less than nothing. */
static gboolean
is_shown (double value, gboolean logarithmic)
{
  return fabs (value) < HUGE_NUMBER && (!logarithmic || value > 1 / HUGE_NUMBER);
}

static double
position (const Axis *axis, double value)
{
  if (axis->logarithmic)
    value = log10 (value);
  return axis->from + (value - axis->least) / (axis->most - axis->least) * (axis->to - axis->from);
}

/* 1, 2 or 5 times a power of ten, so that about TICKS of it are the range. */
static double
round_step (double range)
{
  double raw = range / TICKS, power = pow (10, floor (log10 (raw))), digit = raw / power;

  return power * (digit <= 1.5 ? 1 : digit <= 3.5 ? 2 : digit <= 7.5 ? 5 : 10);
}

static void
linear_ticks (Axis *axis, double least, double most, double smallest_step)
{
  double step = MAX (round_step (most - least), smallest_step), largest = MAX (fabs (least), fabs (most));
  double first = ceil (least / step - 1e-9);

  axis->n_ticks = 0;
  for (double k = first; k * step <= most + step * 1e-9 && axis->n_ticks < TICKS_MAX; k++)
    axis->tick[axis->n_ticks++] = k == 0 ? 0 : k * step; /* no -0 */
  axis->decimals = largest >= 1e6 || largest < 1e-3 ? -1 : (int) MAX (0, -floor (log10 (step) + 1e-9));
  if (axis->decimals > 6)
    axis->decimals = -1;
}

/* 1, 2, 5 times powers of ten, or only these, and where that is less than three, as a linear axis has them.
 */
static void
logarithmic_ticks (Axis *axis)
{
  static const double digits[] = { 1, 2, 5 };

  axis->decimals = -1;
  for (int n = axis->most - axis->least > 2.5 ? 1 : 3, stride = 1; stride < 400; stride++) {
    guint count = 0;

    axis->n_ticks = 0;
    for (int power = (int) floor (axis->least); power <= axis->most; power++)
      for (int d = 0; d < n && power % stride == 0; d++) {
        double at = log10 (digits[d]) + power;

        if (at < axis->least || at > axis->most)
          continue;
        if (++count <= TICKS_MAX)
          axis->tick[axis->n_ticks++] = digits[d] * pow (10, power);
      }
    if (count <= TICKS + 3)
      break;
  }
  if (axis->n_ticks < 3)
    linear_ticks (axis, pow (10, axis->least), pow (10, axis->most), 0);
}

/* smallest_step: 0, or of whole numbers 1. FALSE: there is nothing to show. */
static gboolean
axis_init (Axis *axis, double least, double most, double smallest_step)
{
  double margin;

  if (!(least <= most))
    return FALSE;
  if (axis->logarithmic) {
    least = log10 (least);
    most = log10 (most);
  }
  /* All the same, or as good as: that needs a range, too. */
  margin = MAX (fabs (least), fabs (most)) * 1e-7;
  if (most - least <= margin) {
    margin = smallest_step > 0 ? 0.5 : axis->logarithmic ? 0.5 : MAX (fabs (most) * 0.05, 1e-6);
    least -= margin;
    most += margin;
  }
  margin = (most - least) * (smallest_step > 0 ? 0.02 : 0.05);
  axis->least = least - margin;
  axis->most = most + margin;
  if (axis->logarithmic)
    logarithmic_ticks (axis);
  else
    linear_ticks (axis, axis->least, axis->most, smallest_step);
  return TRUE;
}

static void
tick_label (const Axis *axis, double value, char text[32])
{
  if (axis->decimals >= 0)
    g_snprintf (text, 32, "%.*f", axis->decimals, value);
  else
    g_snprintf (text, 32, "%.4g", value);
}

/* ---- drawing ----------------------------------------------------------------------------------- */

static void
rule (const Pen *pen, double x0, double y0, double x1, double y1, Stroke stroke, Ink ink)
{
  const double xy[] = { x0, y0, x1, y1 };

  pen->line (pen->data, xy, 2, stroke == STROKE_DOTTED ? 1.5 : 1, stroke, ink);
}

static Ink
series_ink (guint series)
{
  return series ? INK_SECOND : INK_FIRST;
}

static Stroke
series_stroke (guint series)
{
  return series ? STROKE_DASHED : STROKE_SOLID;
}

static void
draw_axes (const Plot *plot, const Pen *pen, const Axis *x, const Axis *y)
{
  char text[32];

  for (guint i = 0; i < y->n_ticks; i++) {
    double at = position (y, y->tick[i]);

    rule (pen, LEFT, at, RIGHT, at, STROKE_SOLID, INK_GRID);
    tick_label (y, y->tick[i], text);
    pen->text (pen->data, LEFT - 8, at + 4.5, ANCHOR_END, FALSE, INK_MUTED, text);
  }
  for (guint i = 0; i < x->n_ticks; i++) {
    double at = position (x, x->tick[i]);

    rule (pen, at, BOTTOM, at, BOTTOM + 4, STROKE_SOLID, INK_MUTED);
    tick_label (x, x->tick[i], text);
    pen->text (pen->data, at, BOTTOM + 19, ANCHOR_MIDDLE, FALSE, INK_MUTED, text);
  }
  rule (pen, LEFT, BOTTOM, RIGHT, BOTTOM, STROKE_SOLID, INK_MUTED);
  pen->text (pen->data, (LEFT + RIGHT) / 2.0, PLOT_HEIGHT - 7, ANCHOR_MIDDLE, FALSE, INK_MUTED, plot->x_name);
}

static void
draw_legend (const Plot *plot, const Pen *pen)
{
  double at = LEFT;

  for (guint s = 0; s < plot->n_series; s++) {
    const double xy[] = { at, 40, at + 30, 40 };

    pen->line (pen->data, xy, 2, 2, series_stroke (s), series_ink (s));
    pen->mark (pen->data, at + 15, 40, s == 0, series_ink (s), NULL);
    pen->text (pen->data, at + 36, 44.5, ANCHOR_START, FALSE, INK_TEXT, plot->series[s].name);
    at += 36 + 7.5 * (double) g_utf8_strlen (plot->series[s].name, -1) + 16;
  }
  if (isfinite (plot->best)) {
    g_autofree char *text = g_strdup_printf ("best: %.0f", plot->best);

    rule (pen, at + 2, 34, at + 2, 46, STROKE_DOTTED, INK_MUTED);
    pen->text (pen->data, at + 9, 44.5, ANCHOR_START, FALSE, INK_MUTED, text);
  }
}

static void
draw_mark (const Plot *plot, const Pen *pen, guint series, guint i, const double xy[2])
{
  g_autofree char *note = g_strdup_printf (
      "%s, %s %.10g: %.6g", plot->series[series].name, plot->x_name, plot->x[i], plot->series[series].y[i]);

  pen->mark (pen->data, xy[0], xy[1], series == 0, series_ink (series), note);
}

/* The points from begin to end, none of which is a gap. Of many that share a column of the drawing only the
 * first, the least, the greatest and the last remain, so that nothing that would be seen is lost. */
static void
draw_run (
    const Plot *plot, const Pen *pen, const Axis *x, const Axis *y, guint series, guint begin, guint end)
{
  g_autoptr (GArray) xy = g_array_new (FALSE, FALSE, 2 * sizeof (double));
  const double *values = plot->series[series].y;
  gboolean thin = plot->n > 2 * COLUMNS, marks = plot->n <= MARKS_MAX || end - begin == 1;

  for (guint i = begin; i < end;) {
    guint last = i, wanted[4], n = 0;
    double column = floor (position (x, plot->x[i]) * COLUMNS / (RIGHT - LEFT));
    guint least = i, greatest = i;

    while (thin && last + 1 < end
           && floor (position (x, plot->x[last + 1]) * COLUMNS / (RIGHT - LEFT)) == column) {
      last++;
      least = values[last] < values[least] ? last : least;
      greatest = values[last] > values[greatest] ? last : greatest;
    }
    wanted[n++] = i;
    wanted[n++] = MIN (least, greatest);
    wanted[n++] = MAX (least, greatest);
    wanted[n++] = last;
    for (guint k = 0; k < n; k++)
      if (k == 0 || wanted[k] != wanted[k - 1]) {
        const double at[2] = { position (x, plot->x[wanted[k]]), position (y, values[wanted[k]]) };

        g_array_append_val (xy, at);
      }
    i = last + 1;
  }
  if (xy->len > 1)
    pen->line (pen->data, (const double *) xy->data, xy->len, 2, series_stroke (series), series_ink (series));
  for (guint i = 0; marks && i < xy->len; i++)
    draw_mark (plot, pen, series, begin + i, &g_array_index (xy, double, 2 * i));
}

static void
draw_series (const Plot *plot, const Pen *pen, const Axis *x, const Axis *y, guint series)
{
  const double *values = plot->series[series].y;

  for (guint i = 0; i < plot->n;) {
    guint begin = i;

    while (i < plot->n && is_shown (values[i], plot->logarithmic))
      i++;
    if (i > begin)
      draw_run (plot, pen, x, y, series, begin, i);
    i += i == begin;
  }
}

void
plot_draw (const Plot *plot, const Pen *pen)
{
  Axis x = { .from = LEFT, .to = RIGHT }, y = { .logarithmic = plot->logarithmic, .from = BOTTOM, .to = TOP };
  double least = INFINITY, most = -INFINITY;

  pen->text (pen->data, 2, 17, ANCHOR_START, TRUE, INK_TEXT, plot->title);
  for (guint s = 0; s < plot->n_series; s++)
    for (guint i = 0; i < plot->n; i++) {
      double value = plot->series[s].y[i];

      if (is_shown (value, plot->logarithmic)) {
        least = MIN (least, value);
        most = MAX (most, value);
      }
    }
  if (!axis_init (&y, least, most, 0) || !axis_init (&x, plot->x[0], plot->x[plot->n - 1], 1)) {
    pen->text (
        pen->data, PLOT_WIDTH / 2.0, PLOT_HEIGHT / 2.0, ANCHOR_MIDDLE, FALSE, INK_MUTED, "nothing to show");
    return;
  }
  draw_axes (plot, pen, &x, &y);
  if (isfinite (plot->best)) {
    double at = position (&x, plot->best);

    rule (pen, at, TOP, at, BOTTOM, STROKE_DOTTED, INK_MUTED);
  }
  /* The first series is what counts: it stands on top. */
  for (guint s = plot->n_series; s-- > 0;)
    draw_series (plot, pen, &x, &y, s);
  draw_legend (plot, pen);
}

/* ---- SVG ----------------------------------------------------------------------------------------- */

static const char *const ink_names[] = { "text", "muted", "grid", "first", "second" };
static const char *const dashes[] = { "", " stroke-dasharray=\"6 4\"", " stroke-dasharray=\"2 3\"" };
static const char *const anchors[] = { "start", "middle", "end" };

static void
svg_line (gpointer data, const double *xy, guint n, double width, Stroke stroke, Ink ink)
{
  GString *page = data;

  g_string_append_printf (
      page, "<polyline class=\"%s\" stroke-width=\"%g\"%s points=\"", ink_names[ink], width, dashes[stroke]);
  for (guint i = 0; i < n; i++)
    g_string_append_printf (page, "%s%.1f,%.1f", i ? " " : "", xy[2 * i], xy[2 * i + 1]);
  g_string_append (page, "\"/>\n");
}

static void
svg_mark (gpointer data, double x, double y, gboolean square, Ink ink, const char *note)
{
  GString *page = data;

  if (square)
    g_string_append_printf (page, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"6\" height=\"6\"",
        ink_names[ink], x - 3, y - 3);
  else
    g_string_append_printf (
        page, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\"", ink_names[ink], x, y);
  if (note) {
    g_string_append (page, "><title>");
    page_text (page, note);
    g_string_append_printf (page, "</title></%s>\n", square ? "rect" : "circle");
  } else {
    g_string_append (page, "/>\n");
  }
}

static void
svg_text (gpointer data, double x, double y, Anchor anchor, gboolean bold, Ink ink, const char *text)
{
  GString *page = data;

  g_string_append_printf (page, "<text class=\"%s%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
      ink_names[ink], bold ? " title" : "", x, y, anchors[anchor]);
  page_text (page, text);
  g_string_append (page, "</text>\n");
}

void
plot_append_svg (GString *page, const Plot *plot)
{
  const Pen pen = { page, svg_line, svg_mark, svg_text };

  g_string_append_printf (
      page, "<svg class=\"plot\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", PLOT_WIDTH, PLOT_HEIGHT);
  page_text (page, plot->title);
  g_string_append (page, " against ");
  page_text (page, plot->x_name);
  g_string_append (page, "\">\n");
  plot_draw (plot, &pen);
  g_string_append (page, "</svg>\n");
}

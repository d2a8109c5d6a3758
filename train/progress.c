/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_CELLS 24
#define NARROW 110 /* columns: the bar then has half of its cells */
#define DRAW_INTERVAL (G_USEC_PER_SEC / 10)
#define LOG_INTERVAL (60 * G_USEC_PER_SEC)

void
progress_begin (Progress *progress, guint64 first, guint64 total, const char *title, ...)
{
  va_list arguments;

  progress_end (progress);
  va_start (arguments, title);
  *progress = (Progress){
    .title = g_strdup_vprintf (title, arguments),
    .first = first,
    .total = MAX (total, 1),
    .terminal = isatty (STDERR_FILENO),
    .begun = g_get_monotonic_time (),
  };
  va_end (arguments);
  progress->drawn = progress->terminal ? 0 : progress->begun;
}

void
progress_duration (double seconds, char text[32])
{
  guint64 s = (guint64) (MAX (seconds, 0) + 0.5);

  if (s >= 3600)
    g_snprintf (text, 32, "%u h %02u min", (guint) (s / 3600), (guint) (s / 60 % 60));
  else if (s >= 60)
    g_snprintf (text, 32, "%u min %02u s", (guint) (s / 60), (guint) (s % 60));
  else
    g_snprintf (text, 32, "%u s", (guint) s);
}

/* Characters that a line of the terminal takes: the last column would wrap. */
static gsize
line_length (void)
{
  struct winsize size;

  return ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col - 1u : 79;
}

/* What is too long for the line goes, field by field from the end: a line that wraps could not be wiped. */
static void
shorten (GString *line, gsize length)
{
  while (line->len > length) {
    char *field = g_strrstr (line->str, "  ");

    g_string_truncate (line, field ? (gsize) (field - line->str) : length);
  }
}

void
progress_update (Progress *progress, guint64 done, const char *text)
{
  gint64 now = g_get_monotonic_time ();
  double seconds = (double) (now - progress->begun) / G_USEC_PER_SEC;
  gsize length = progress->terminal ? line_length () : 0;
  guint all = length < NARROW ? BAR_CELLS / 2 : BAR_CELLS;
  guint cells = (guint) ((double) MIN (done, progress->total) / (double) MAX (progress->total, 1) * all);
  g_autoptr (GString) line = NULL;
  char left[32];

  if (now - progress->drawn < (progress->terminal ? DRAW_INTERVAL : LOG_INTERVAL))
    return;
  line = g_string_new (progress->title);
  if (progress->terminal) {
    g_string_append (line, " [");
    for (guint i = 0; i < all; i++)
      g_string_append_c (line, i < cells ? '#' : '.');
    g_string_append_c (line, ']');
  }
  g_string_append_printf (line, " %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT, done, progress->total);
  if (done > progress->first && done < progress->total) {
    progress_duration (seconds / (double) (done - progress->first) * (double) (progress->total - done), left);
    g_string_append_printf (line, "  %s left", left);
  }
  if (text && *text)
    g_string_append_printf (line, "  %s", text);
  if (progress->terminal) {
    gsize width;

    shorten (line, length);
    width = line->len;
    while (line->len < MIN (progress->width, length))
      g_string_append_c (line, ' ');
    progress->width = width;
    fprintf (stderr, "\r%s", line->str);
  } else {
    fprintf (stderr, "%s\n", line->str);
  }
  fflush (stderr);
  progress->drawn = now;
}

void
progress_end (Progress *progress)
{
  if (progress->terminal && progress->width)
    fprintf (stderr, "\r%*s\r", (int) MIN (progress->width, line_length ()), "");
  g_clear_pointer (&progress->title, g_free);
  *progress = (Progress){ 0 };
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_CELLS 24
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

void
progress_update (Progress *progress, guint64 done, const char *text)
{
  gint64 now = g_get_monotonic_time ();
  double seconds = (double) (now - progress->begun) / G_USEC_PER_SEC;
  guint cells = (guint) (MIN (done, progress->total) * BAR_CELLS / MAX (progress->total, 1));
  g_autoptr (GString) line = NULL;
  char left[32];

  if (now - progress->drawn < (progress->terminal ? DRAW_INTERVAL : LOG_INTERVAL))
    return;
  line = g_string_new (progress->title);
  if (progress->terminal) {
    g_string_append (line, " [");
    for (guint i = 0; i < BAR_CELLS; i++)
      g_string_append_c (line, i < cells ? '#' : '.');
    g_string_append_c (line, ']');
  }
  g_string_append_printf (line, " %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT, done, progress->total);
  if (text && *text)
    g_string_append_printf (line, "  %s", text);
  if (done > progress->first && done < progress->total) {
    progress_duration (seconds / (double) (done - progress->first) * (double) (progress->total - done), left);
    g_string_append_printf (line, "  %s left", left);
  }
  if (progress->terminal) {
    gsize width = line->len;

    while (line->len < progress->width)
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
    fprintf (stderr, "\r%*s\r", (int) progress->width, "");
  g_clear_pointer (&progress->title, g_free);
  *progress = (Progress){ 0 };
}

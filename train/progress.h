/* A bar that redraws itself on a terminal, seldom lines of a log elsewhere; both on stderr.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <glib.h>

typedef struct
{
  char *title;
  guint64 first, total;
  gboolean terminal;
  gint64 begun, drawn; /* microseconds, monotonic */
  gsize width;         /* of the line on the terminal */
} Progress;

/* first: what is done already, when a piece of work is taken up again. */
void progress_begin (Progress *progress, guint64 first, guint64 total, const char *title, ...)
    G_GNUC_PRINTF (4, 5);
/* done of total; text stands behind the bar, in fields two spaces apart, as many as the terminal is wide enough for. Cheap: draws ten times a second at most, a log line a minute. */
void progress_update (Progress *progress, guint64 done, const char *text);
/* Removes the bar; to be called before anything else is printed. A Progress of zeros is allowed. */
void progress_end (Progress *progress);

/* "1 h 02 min", "3 min 20 s", "12 s" of seconds into text. */
void progress_duration (double seconds, char text[32]);

#endif

/* Pictures and video, decoded by GStreamer to 8-bit RGB.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MEDIA_H
#define MEDIA_H

#include "synth.h"

typedef struct
{
  SynthFit fit;
  int height, width; /* of the result; 0 = each picture's own */
  guint every;       /* takes every n-th frame of a video, beginning with the first; 0 = 1 */
} MediaOptions;

/* One decoded picture, RGB [height, width, 3], dense, upright; it holds during the call. frame counts all
 * frames of a video. FALSE stops the decoding with the error. */
typedef gboolean (*MediaFunc) (guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data,
    GError **error);

/* Starts GStreamer, once; EXIT_IO. media_list() and media_decode_all() do it themselves. */
gboolean media_start (GError **error);

/* Expands folders, recursively and sorted by name, into the files to decode; in a folder hidden files and
 * those that neither their name nor their content shows to be pictures or video are left out, and so are links
 * to a folder that the link is in. EXIT_DATA: a path that is not there. g_strfreev. */
char **media_list (char *const *paths, GError **error);

typedef enum
{
  MEDIA_UNKNOWN,
  MEDIA_PICTURE,
  MEDIA_VIDEO,
} MediaKind;

/* What a file's content is, as far as GStreamer knows; call it after media_list(). */
MediaKind media_kind (const char *path);

/* Decodes one file. A bad one (EXIT_DATA) is told by its reason alone, without the path; pictures of a video
 * may have been handed out before. */
gboolean media_decode (const char *path, guint file, const MediaOptions *options, MediaFunc func, gpointer data,
    GError **error);

/* Decodes files, several at a time (threads, 0 = one per core): func is called from several threads, in no
 * order but for the frames of one video. Bad files are listed on stderr and skipped; more than max_bad of
 * them is an error (EXIT_DATA), after all have been tried. bad: one flag a file, or NULL. */
gboolean media_decode_all (char *const *files, const MediaOptions *options, int threads, guint max_bad,
    MediaFunc func, gpointer data, gboolean *bad, GError **error);

/* Writes an 8-bit RGB picture [height, width, 3] as PNG, atomically. */
gboolean media_write_png (const char *path, int height, int width, const guint8 *rgb, GError **error);

#endif

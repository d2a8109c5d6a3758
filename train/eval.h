/* What the rooms of `eval` share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EVAL_H
#define EVAL_H

#include "settings.h"

/* The tiles that --overlap asks for. */
void eval_tiles (const Settings *settings, DuDeblurrerOptions *options);
/* Says where the page is. */
void eval_print_report (const char *folder);
/* A field of a CSV file, quoted where it must be (RFC 4180). */
void eval_append_field (GString *text, const char *field);

/* `eval --streams`: clips blurred, coded, decoded and deblurred. */
gboolean eval_streams (const Settings *settings, DuSession *session, GError **error);
/* Their options, for the table of all. */
#define EVAL_STREAMS_OPTIONS                                                                                 \
  { "streams", 0, SETTING_FLAG, FALSE, NULL, 0, 0, NULL, NULL,                                               \
    "Take DATA as video: blur frames, encode, decode and deblur them, and compare" },                        \
  { "encoder", 0, SETTING_TEXT, FALSE, "h264", 0, 0, NULL, "NAME",                                           \
    "What encodes with --streams: h264, h265, vp9, av1 or jpeg" },                                           \
  { "crf", 0, SETTING_TEXT, FALSE, NULL, 0, 0, NULL, "LIST",                                                 \
    "Qualities with --streams: CRF of h264 and h265, quantiser of vp9 and av1, quality of jpeg; none = not " \
    "encoded. Where it is not given, none and a usual one, for h264 none,18,23,28" },                        \
  { "gop", 0, SETTING_INTEGER, FALSE, "0", 0, 1e6, NULL, "N",                                                \
    "Frames from key frame to key frame with --streams, 1 = key frames only, 0 = the encoder's choice" },    \
  { "first", 0, SETTING_INTEGER, FALSE, "0", 0, 1e9, NULL, "N",                                              \
    "Frames of each clip to pass over with --streams" },                                                     \
  { "frames", 0, SETTING_INTEGER, FALSE, "48", 1, 1e6, NULL, "N",                                            \
    "Frames of each clip to take with --streams" },                                                          \
  { "measure", 0, SETTING_INTEGER, FALSE, NULL, 1, 1e6, NULL, "N",                                           \
    "Of the frames that --streams takes and encodes, the N in the middle are deblurred and measured (12, or all " \
    "where --frames is given)" },                                                                            \
  { "size", 0, SETTING_TEXT, FALSE, NULL, 0, 0, NULL, "HxW",                                                 \
    "Bring frames to HxW pixels with --streams, cut to that shape first" }

#endif

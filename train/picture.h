/* What has to be known of picture files beside their decoding by GStreamer.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PICTURE_H
#define PICTURE_H

#include "train.h"

/* What the headers of a JPEG file say (ITU-T T.81, annex B). */
typedef struct
{
  gboolean complete; /* its end is there */
  int height, width, components;
  const guint8 *exif; /* the TIFF structure inside the file, NULL without */
  gsize exif_length;
} PictureFacts;

/* Refuses (EXIT_DATA, the reason alone) what is too small to learn from or may be a decompression bomb. */
gboolean picture_check_size (guint height, guint width, GError **error);

PictureFacts picture_read_jpeg (GBytes *file);

/* Decodes PNG to 8-bit RGBA [height, width, 4], g_free: by libpng, since GStreamer 1.22 shifts 16-bit colour
 * by a component. Refused (EXIT_DATA, the reason alone) where it is damaged or its size is. */
guint8 *picture_read_png (GBytes *file, int *height, int *width, GError **error);

/* 8-bit RGB [height, width, 3] as a PNG file's bytes; EXIT_IO, the reason alone. */
GBytes *picture_to_png (int height, int width, const guint8 *rgb, GError **error);

#endif

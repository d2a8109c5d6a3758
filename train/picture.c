/* JPEG headers, PNG in and out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "picture.h"

#include "media.h"

#include <png.h>
#include <string.h>

enum
{
  PIXELS_MAX = 200 * 1000 * 1000, /* of one picture: a decompression bomb shows more */
  SIDE_MIN = 16,                  /* less is no picture to learn from */
};

PictureFacts
picture_read_jpeg (GBytes *file)
{
  gsize length;
  const guint8 *data = g_bytes_get_data (file, &length);
  PictureFacts jpeg = { 0 };
  gsize at = 2;

  while (at + 1 < length) {
    guint marker = data[at + 1];
    gsize size = at + 3 < length ? (gsize) data[at + 2] << 8 | data[at + 3] : 0;
    const guint8 *segment = data + at + 4;

    if (data[at] != 0xff || marker == 0 || marker == 0xff || (marker >= 0xd0 && marker <= 0xd8)) {
      at++; /* coded data, fill bytes, restart markers */
      continue;
    }
    if (marker == 0xd9) {
      jpeg.complete = TRUE;
      break;
    }
    if (size < 2 || at + 2 + size > length)
      break;
    if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc && size >= 8) {
      jpeg.height = segment[1] << 8 | segment[2];
      jpeg.width = segment[3] << 8 | segment[4];
      jpeg.components = segment[5];
    }
    if (marker == 0xe1 && size > 8 && memcmp (segment, "Exif\0", 6) == 0) {
      jpeg.exif = segment + 6;
      jpeg.exif_length = size - 8;
    }
    at += 2 + size;
  }
  return jpeg;
}

gboolean
picture_check_size (guint height, guint width, GError **error)
{
  if (width < SIDE_MIN || height < SIDE_MIN)
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "is only %ux%u: pictures need %d pixels a side", width, height,
        SIDE_MIN);
  else if ((guint64) width * height > PIXELS_MAX)
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "is %ux%u, more than %d megapixels", width, height,
        PIXELS_MAX / 1000000);
  else
    return TRUE;
  return FALSE;
}

guint8 *
picture_read_png (GBytes *file, int *height, int *width, GError **error)
{
  png_image image = { .version = PNG_IMAGE_VERSION };
  gsize length;
  const void *data = g_bytes_get_data (file, &length);
  g_autofree guint8 *rgba = NULL;

  if (!png_image_begin_read_from_memory (&image, data, length)) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "cannot be decoded: %s", image.message);
    return NULL;
  }
  if (!picture_check_size (image.height, image.width, error)) {
    png_image_free (&image);
    return NULL;
  }
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; /* 16 bits do not make it linear light */
  image.format = PNG_FORMAT_RGBA;
  rgba = g_try_malloc (PNG_IMAGE_SIZE (image));
  if (!rgba || !png_image_finish_read (&image, NULL, rgba, 0, NULL)) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "cannot be decoded: %s", rgba ? image.message : "not enough memory");
    png_image_free (&image);
    return NULL;
  }
  *height = image.height;
  *width = image.width;
  return g_steal_pointer (&rgba);
}

GBytes *
picture_to_png (int height, int width, const guint8 *rgb, GError **error)
{
  png_image image
      = { .version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB };
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX (image);
  g_autofree guint8 *png = g_try_malloc (size);

  if (png && png_image_write_to_memory (&image, png, &size, 0, rgb, 0, NULL))
    return g_bytes_new_take (g_steal_pointer (&png), size);
  g_set_error (error, TRAIN_ERROR, EXIT_IO, "cannot be made: %s", png ? image.message : "not enough memory");
  return NULL;
}

gboolean
media_write_png (const char *path, int height, int width, const guint8 *rgb, GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (GBytes) png = picture_to_png (height, width, rgb, &reason);
  gsize size = 0;
  const char *data = png ? g_bytes_get_data (png, &size) : NULL;

  if (png && g_file_set_contents_full (path, data, (gssize) size, G_FILE_SET_CONTENTS_CONSISTENT, 0666, &reason))
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_IO, png ? "picture '%s' cannot be written: %s" : "picture '%s' %s", path,
      reason->message);
  return FALSE;
}

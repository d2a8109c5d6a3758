/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "triptych.h"

#include "media.h"
#include "page.h"
#include "picture.h"

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>
#include <string.h>

enum
{
  GAP = 4,        /* white pixels between the pictures of a file */
  VIEW_MAX = 360, /* pixels, of the longer side of a reduced picture: as wide as a page shows it */
  ZOOM_MIN = 32,  /* pixels, of the longer side of an enlarged part */
  ZOOM_MAX = 128,
  NAME_MAX_BYTES = 150,
};

void
triptych_clear (Triptych *triptych)
{
  g_clear_pointer (&triptych->name, g_free);
  for (int i = 0; i < 3; i++)
    g_clear_pointer (&triptych->part[i], g_free);
}

static gboolean
allocate (Triptych *triptych, int height, int width, GError **error)
{
  triptych->height = height;
  triptych->width = width;
  for (int i = 0; i < 3; i++)
    if (!(triptych->part[i] = g_try_malloc_n ((gsize) height * width, 3))) {
      triptych_clear (triptych);
      g_set_error (
          error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for a picture of %dx%d", width, height);
      return FALSE;
    }
  return TRUE;
}

/* ---- files ------------------------------------------------------------------------------------- */

gboolean
triptych_make (Triptych *triptych, const EvaluateResult *result, const char *prefix,
    const SynthKernel *kernels, GError **error)
{
  const guint8 *const parts[] = { result->blurred, result->predicted, result->sharp };
  g_autofree char *name = g_utf8_make_valid (result->name, -1);
  g_autofree char *kernel = NULL;

  if (!allocate (triptych, result->height, result->width, error))
    return FALSE;
  for (int i = 0; i < 3; i++)
    memcpy (triptych->part[i], parts[i], (gsize) result->height * result->width * 3);
  /* Names of pictures may be paths, and as long as a name can be. */
  g_strdelimit (name, "/", '_');
  if (strlen (name) > NAME_MAX_BYTES)
    *g_utf8_find_prev_char (name, name + NAME_MAX_BYTES) = '\0';
  if (result->chain)
    kernel = degrade_key (result->chain);
  else if (kernels)
    kernel = result->kernel < 0 ? g_strdup ("pair") : g_strdup_printf ("sigma%g", kernels[result->kernel].sigma);
  triptych->name = g_strdup_printf ("%s-%s%s%s.png", prefix, name, kernel ? "-" : "", kernel ? kernel : "");
  return TRUE;
}

void
triptych_cut (Triptych *triptych, int height, int width)
{
  int top, left, stride = triptych->width * 3;

  height = MIN (height, triptych->height);
  width = MIN (width, triptych->width);
  top = (triptych->height - height) / 2;
  left = (triptych->width - width) / 2;
  for (int i = 0; i < 3; i++)
    for (int y = 0; y < height; y++)
      memmove (triptych->part[i] + (gsize) y * width * 3,
          triptych->part[i] + (gsize) (top + y) * stride + left * 3, (gsize) width * 3);
  triptych->height = height;
  triptych->width = width;
}

gboolean
triptych_save (const Triptych *triptych, const char *folder, GError **error)
{
  int width = 3 * triptych->width + 2 * GAP;
  gsize line = (gsize) triptych->width * 3;
  g_autofree guint8 *pixels = g_try_malloc_n ((gsize) width * triptych->height, 3);
  g_autofree char *path = g_build_filename (folder, triptych->name, NULL);

  if (!pixels) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for the picture '%s'", path);
    return FALSE;
  }
  memset (pixels, 255, (gsize) width * triptych->height * 3);
  for (int y = 0; y < triptych->height; y++)
    for (int i = 0; i < 3; i++)
      memcpy (pixels + ((gsize) y * width + i * (triptych->width + GAP)) * 3,
          triptych->part[i] + (gsize) y * line, line);
  return media_write_png (path, triptych->height, width, pixels, error);
}

gboolean
triptych_load (Triptych *triptych, const char *path, GError **error)
{
  g_autoptr (GError) cause = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree guint8 *rgba = NULL;
  g_autofree char *content = NULL;
  int height, width;
  gsize size;

  if (g_file_get_contents (path, &content, &size, &cause)) {
    bytes = g_bytes_new_take (g_steal_pointer (&content), size);
    rgba = picture_read_png (bytes, &height, &width, &cause);
  }
  if (!rgba || width < 3 + 2 * GAP || (width - 2 * GAP) % 3) {
    g_set_error (error, TRAIN_ERROR, EXIT_IO, "picture '%s' %s", path,
        cause ? cause->message : "is not three pictures beside each other");
    return FALSE;
  }
  if (!allocate (triptych, height, (width - 2 * GAP) / 3, error))
    return FALSE;
  for (int i = 0; i < 3; i++)
    for (int y = 0; y < height; y++)
      for (int x = 0; x < triptych->width; x++)
        memcpy (triptych->part[i] + ((gsize) y * triptych->width + x) * 3,
            rgba + ((gsize) y * width + i * (triptych->width + GAP) + x) * 4, 3);
  triptych->name = g_path_get_basename (path);
  return TRUE;
}

/* ---- in a page --------------------------------------------------------------------------------- */

typedef struct
{
  int top, left, height, width;
} Part;

/* Squared difference of the blurred and the sharp picture, or of the first two. */
static guint64
lost (const Triptych *triptych, const Part *part)
{
  const guint8 *other = triptych->part[triptych->no_truth ? 1 : 2];
  guint64 sum = 0;

  for (int y = part->top; y < part->top + part->height; y++)
    for (int i = part->left * 3; i < (part->left + part->width) * 3; i++) {
      gsize at = (gsize) y * triptych->width * 3 + i;
      int d = triptych->part[0][at] - other[at];

      sum += (guint64) (d * d);
    }
  return sum;
}

/* Where the blur took most, of parts that lie half their size apart. */
static Part
find_part (const Triptych *triptych)
{
  int side = CLAMP (MAX (triptych->height, triptych->width) / 5, ZOOM_MIN, ZOOM_MAX);
  Part part = { 0, 0, MIN (MAX (side * 5 / 8, 1), triptych->height), MIN (side, triptych->width) },
       best = part;
  guint64 most = 0;

  for (part.top = 0; part.top + part.height <= triptych->height; part.top += MAX (part.height / 2, 1))
    for (part.left = 0; part.left + part.width <= triptych->width; part.left += MAX (part.width / 2, 1)) {
      guint64 sum = lost (triptych, &part);

      if (sum > most) {
        most = sum;
        best = part;
      }
    }
  return best;
}

static guint8 *
cut (const Triptych *triptych, int which, const Part *part)
{
  guint8 *pixels = g_malloc ((gsize) part->height * part->width * 3);

  for (int y = 0; y < part->height; y++)
    memcpy (pixels + (gsize) y * part->width * 3,
        triptych->part[which] + ((gsize) (part->top + y) * triptych->width + part->left) * 3,
        (gsize) part->width * 3);
  return pixels;
}

/* Means over the pixels that each one of the result covers; g_free. */
static guint8 *
reduce (const Triptych *triptych, int which, int height, int width)
{
  guint8 *pixels = g_malloc ((gsize) height * width * 3);

  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      int top = (int) ((gint64) y * triptych->height / height),
          left = (int) ((gint64) x * triptych->width / width);
      int bottom = MAX ((int) ((gint64) (y + 1) * triptych->height / height), top + 1);
      int right = MAX ((int) ((gint64) (x + 1) * triptych->width / width), left + 1);
      guint64 sum[3] = { 0 }, n = (guint64) (bottom - top) * (right - left);

      for (int v = top; v < bottom; v++)
        for (int u = left; u < right; u++)
          for (int c = 0; c < 3; c++)
            sum[c] += triptych->part[which][((gsize) v * triptych->width + u) * 3 + c];
      for (int c = 0; c < 3; c++)
        pixels[((gsize) y * width + x) * 3 + c] = (guint8) ((sum[c] + n / 2) / n);
    }
  return pixels;
}

/* JPEG by GStreamer's encoder, NULL where it has none. */
static GBytes *
to_jpeg (int height, int width, const guint8 *rgb)
{
  g_autoptr (GError) missing = NULL;
  g_autoptr (GstElement) pipeline
      = gst_parse_launch ("appsrc name=in ! jpegenc quality=80 ! appsink name=out sync=false", &missing);
  g_autoptr (GstElement) in = NULL, out = NULL;
  g_autoptr (GstCaps) caps = NULL;
  g_autoptr (GstSample) sample = NULL;
  GstBuffer *buffer;
  GstVideoInfo info;
  GstMapInfo map;
  GBytes *bytes = NULL;

  /* There may be one all the same, with a gap, out of which nothing would come. */
  if (!pipeline || missing)
    return NULL;
  in = gst_bin_get_by_name (GST_BIN (pipeline), "in");
  out = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, width, height);
  GST_VIDEO_INFO_FPS_N (&info) = 1;
  caps = gst_video_info_to_caps (&info);
  gst_app_src_set_caps (GST_APP_SRC (in), caps);
  buffer = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (&info), NULL);
  for (int y = 0; y < height; y++)
    gst_buffer_fill (buffer, (gsize) y * GST_VIDEO_INFO_PLANE_STRIDE (&info, 0), rgb + (gsize) y * width * 3,
        (gsize) width * 3);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  gst_app_src_push_buffer (GST_APP_SRC (in), buffer);
  gst_app_src_end_of_stream (GST_APP_SRC (in));
  sample = gst_app_sink_try_pull_sample (GST_APP_SINK (out), 10 * GST_SECOND);
  if (sample && gst_buffer_map (gst_sample_get_buffer (sample), &map, GST_MAP_READ)) {
    bytes = g_bytes_new (map.data, map.size);
    gst_buffer_unmap (gst_sample_get_buffer (sample), &map);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return bytes;
}

/* coded as a JPEG where that can be, for it is a tenth of a PNG file. */
static gboolean
append_image (GString *page, const char *class_name, const char *what, int height, int width,
    const guint8 *rgb, gboolean coded, GError **error)
{
  g_autoptr (GBytes) jpeg = coded ? to_jpeg (height, width, rgb) : NULL;
  g_autoptr (GBytes) png = jpeg ? NULL : picture_to_png (height, width, rgb, error);
  g_autofree char *text = NULL;
  gconstpointer data;
  gsize size;

  if (!jpeg && !png) {
    g_prefix_error (error, "a picture of the page ");
    return FALSE;
  }
  data = g_bytes_get_data (jpeg ? jpeg : png, &size);
  text = g_base64_encode (data, size);
  g_string_append_printf (page,
      "<img class=\"%s\" alt=\"%s\" width=\"%d\" height=\"%d\" src=\"data:image/%s;base64,%s\"/>\n",
      class_name, what, width, height, jpeg ? "jpeg" : "png", text);
  return TRUE;
}

gboolean
triptych_append (GString *page, const Triptych *triptych, const char *caption, GError **error)
{
  static const char *const usual[] = { "blurred", "deblurred", "sharp" };
  const char *const *names = triptych->titles ? triptych->titles : usual;
  const Part part = find_part (triptych);
  gsize n = (gsize) triptych->height * triptych->width * 3, begun = page->len;
  double scale = MIN ((double) VIEW_MAX / MAX (triptych->height, triptych->width), 1);
  int height = MAX ((int) (triptych->height * scale + 0.5), 1),
      width = MAX ((int) (triptych->width * scale + 0.5), 1);
  gboolean done = TRUE;

  g_string_append (page, "<figure><div class=\"views\">\n");
  for (int i = 0; i < 3 && done; i++) {
    g_autofree guint8 *pixels = reduce (triptych, i, height, width);

    g_string_append_printf (page, "<div><p>%s", names[i]);
    if (triptych->no_truth)
      ;
    else if (i < 2)
      g_string_append_printf (
          page, "<br/>%.2f dB", metrics_psnr (metrics_mse8 (n, triptych->part[i], triptych->part[2])));
    else
      g_string_append (page, "<br/>the truth");
    g_string_append (page, "</p><div class=\"view\">");
    done = append_image (page, "whole", names[i], height, width, pixels, TRUE, error);
    g_string_append_printf (page,
        "<i style=\"left:%.2f%%;top:%.2f%%;width:%.2f%%;height:%.2f%%\"></i></div></div>\n",
        100.0 * part.left / triptych->width, 100.0 * part.top / triptych->height,
        100.0 * part.width / triptych->width, 100.0 * part.height / triptych->height);
  }
  for (int i = 0; i < 3 && done; i++) {
    g_autofree guint8 *pixels = cut (triptych, i, &part);

    done = append_image (page, "zoom", names[i], part.height, part.width, pixels, FALSE, error);
  }
  g_string_append (page, "</div><figcaption>");
  page_text (page, caption);
  g_string_append (page, "</figcaption></figure>\n");
  if (page->len > TRIPTYCH_PAGE_MAX) {
    g_string_truncate (page, begun);
    page_note (page, caption); /* says where the pictures are */
  }
  return done;
}

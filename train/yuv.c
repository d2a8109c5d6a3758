/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "yuv.h"

#include "scale.h"

#include <string.h>

void
yuv_info (int height, int width, GstVideoInfo *info)
{
  gst_video_info_set_format (info, GST_VIDEO_FORMAT_I420, GST_ROUND_UP_2 (width), GST_ROUND_UP_2 (height));
  info->chroma_site = GST_VIDEO_CHROMA_SITE_H_COSITED;
  info->colorimetry.range = GST_VIDEO_COLOR_RANGE_16_235;
  info->colorimetry.matrix = height > 576 ? GST_VIDEO_COLOR_MATRIX_BT709 : GST_VIDEO_COLOR_MATRIX_BT601;
  GST_VIDEO_INFO_FPS_N (info) = 25;
  GST_VIDEO_INFO_FPS_D (info) = 1;
}

DuFrameInfo
yuv_frame_info (const GstVideoInfo *info)
{
  gboolean hd = info->colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT709;

  return (DuFrameInfo){
    .format = DU_FORMAT_I420,
    .width = info->width,
    .height = info->height,
    .matrix = hd ? DU_MATRIX_BT709 : DU_MATRIX_BT601,
    .chroma_centred_y = TRUE,
  };
}

DuFrame
yuv_frame (const GstVideoInfo *info, guint8 *yuv)
{
  DuFrame frame = { { NULL } };

  for (int i = 0; i < 3; i++) {
    frame.data[i] = yuv + GST_VIDEO_INFO_PLANE_OFFSET (info, i);
    frame.stride[i] = GST_VIDEO_INFO_PLANE_STRIDE (info, i);
  }
  return frame;
}

/* One line of luma, and of R'G'B' weighted into Cb and Cr, all 0..255 and -127.5..127.5. */
static void
convert_line (double kr, double kb, int width, const guint8 *rgb, int padded, float *y, float *cb, float *cr)
{
  for (int x = 0; x < padded; x++) {
    const guint8 *from = rgb + 3 * MIN (x, width - 1);
    double luma = kr * from[0] + (1 - kr - kb) * from[1] + kb * from[2];

    /* ITU-T H.273, equations 38 to 40. */
    y[x] = (float) luma;
    cb[x] = (float) ((from[2] - luma) / (2 * (1 - kb)));
    cr[x] = (float) ((from[0] - luma) / (2 * (1 - kr)));
  }
}

/* Chroma sits on the first of two pixels: 1 2 1 around it, and the mean of two lines. */
static void
write_chroma (int padded, const float *above, const float *below, guint8 *to)
{
  for (int x = 0; x < padded; x += 2) {
    int left = MAX (x - 1, 0);
    float sum = above[left] + 2 * above[x] + above[x + 1] + below[left] + 2 * below[x] + below[x + 1];

    to[x / 2] = (guint8) (128.5f + sum / 8 * (224.0f / 255));
  }
}

void
yuv_from_rgb (const GstVideoInfo *info, int height, int width, const guint8 *rgb, guint8 *yuv)
{
  DuFrame frame = yuv_frame (info, yuv);
  int padded = info->width;
  g_autofree float *lines = g_new (float, 5 * (gsize) padded);
  float *y = lines, *cb[2] = { y + padded, y + 2 * padded }, *cr[2] = { y + 3 * padded, y + 4 * padded };
  double kr = 0, kb = 0;

  memset (yuv, 0, info->size); /* the ends of lines too: equal pictures are equal bytes */
  gst_video_color_matrix_get_Kr_Kb (info->colorimetry.matrix, &kr, &kb);
  for (int row = 0; row < info->height; row++) {
    guint8 *luma = frame.data[0] + (gsize) row * frame.stride[0];

    convert_line (
        kr, kb, width, rgb + (gsize) MIN (row, height - 1) * width * 3, padded, y, cb[row & 1], cr[row & 1]);
    for (int x = 0; x < padded; x++)
      luma[x] = (guint8) (16.5f + y[x] * (219.0f / 255));
    if (row & 1) {
      write_chroma (padded, cb[0], cb[1], frame.data[1] + (gsize) (row / 2) * frame.stride[1]);
      write_chroma (padded, cr[0], cr[1], frame.data[2] + (gsize) (row / 2) * frame.stride[2]);
    }
  }
}

gboolean
yuv_to_rgb (const GstVideoInfo *info, const guint8 *yuv, int height, int width, guint8 *rgb, GError **error)
{
  const MediaOptions as_is = { 0 };
  GstVideoFrame frame = { .info = *info };
  DuFrame planes = yuv_frame (info, (guint8 *) yuv);
  g_autofree guint8 *whole = NULL;
  int whole_height, whole_width;

  for (int i = 0; i < 3; i++)
    frame.data[i] = planes.data[i];
  whole = scale_frame (&frame, GST_VIDEO_ORIENTATION_IDENTITY, &as_is, &whole_height, &whole_width, error);
  if (!whole) {
    g_prefix_error (error, "a frame ");
    return FALSE;
  }
  for (int y = 0; y < height; y++)
    memcpy (rgb + (gsize) y * width * 3, whole + (gsize) y * whole_width * 3, (gsize) width * 3);
  return TRUE;
}

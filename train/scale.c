/* Each component is brought from its own grid straight to the result's by a Lanczos filter of three lobes, which
 * widens as the picture shrinks, in float; then comes the matrix, and one rounding. GStreamer's converter does
 * none of this well enough: its filters do not sum to one (a flat 200 became 200 to 206), and its full-range
 * matrix shifts colours by half a step.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scale.h"

#include "picture.h"

#include <math.h>
#include <string.h>

enum
{
  LOBES = 3,
  COMPONENTS = 3,
};

/* ---- filters ------------------------------------------------------------------------------- */

#define NOTHING 1e-7 /* a weight */

/* How n results come from samples of one axis: result i = sum of weights[i * stride + t] * sample[first[i] + t]. */
typedef struct
{
  int n, stride;
  int *first, *count;
  float *weights;
} Filter;

static double
lanczos (double x)
{
  if (fabs (x) < 1e-9)
    return 1;
  return fabs (x) >= LOBES ? 0 : LOBES * sin (G_PI * x) * sin (G_PI * x / LOBES) / (G_PI * G_PI * x * x);
}

static void
filter_clear (Filter *filter)
{
  g_free (filter->first);
  g_free (filter->count);
  g_free (filter->weights);
}

/* n results from the samples between start and start + length; sample j covers j to j + 1, of samples in all. At
 * the picture's borders the filter is cut and its rest made to sum to one. */
static void
filter_init (Filter *filter, double start, double length, int samples, int n)
{
  double step = length / n, wide = MAX (step, 1);
  g_autofree double *exact = NULL;

  filter->n = n;
  filter->stride = (int) ceil (2 * LOBES * wide) + 2;
  exact = g_new (double, filter->stride);
  filter->first = g_new (int, n);
  filter->count = g_new (int, n);
  filter->weights = g_new0 (float, n * (gsize) filter->stride);
  for (int i = 0; i < n; i++) {
    double centre = start + (i + 0.5) * step, sum = 0;
    int first = CLAMP ((int) ceil (centre - LOBES * wide - 0.5), 0, samples - 1);
    int last = CLAMP ((int) floor (centre + LOBES * wide - 0.5), first, samples - 1), from = first;
    float *weights = filter->weights + i * (gsize) filter->stride;

    for (int j = first; j <= last; j++)
      sum += exact[j - first] = lanczos ((j + 0.5 - centre) / wide);
    /* Zeros at both ends, as where nothing is scaled, cost no taps. */
    while (from < last && fabs (exact[from - first] / sum) < NOTHING)
      from++;
    while (last > from && fabs (exact[last - first] / sum) < NOTHING)
      last--;
    for (int j = from; j <= last; j++)
      weights[j - from] = fabs (exact[j - first] / sum) < NOTHING ? 0 : (float) (exact[j - first] / sum);
    filter->first[i] = from;
    filter->count[i] = last - from + 1;
  }
}

/* ---- planes -------------------------------------------------------------------------------- */

/* One component, on its way: columns are filtered as the lines come, then rows. */
typedef struct
{
  int shift_x, shift_y; /* subsampling, as powers of two */
  int samples;          /* in a line */
  Filter x, y;
  int lowest;           /* results of y below this are complete */
  float *line;          /* [samples] */
  float *columns;       /* [y.n, samples] */
} Plane;

static void
plane_clear (Plane *plane)
{
  filter_clear (&plane->x);
  filter_clear (&plane->y);
  g_free (plane->line);
  g_free (plane->columns);
}

/* The part of the picture, in its pixels, that becomes the result. */
typedef struct
{
  double x, y, width, height;
} Part;

static gboolean
plane_init (Plane *plane, const GstVideoInfo *info, int component, const Part *part, int height, int width)
{
  int shift_x = GST_VIDEO_FORMAT_INFO_W_SUB (info->finfo, component);
  int shift_y = GST_VIDEO_FORMAT_INFO_H_SUB (info->finfo, component);
  int lines = GST_VIDEO_SUB_SCALE (shift_y, info->height);
  GstVideoChromaSite site = info->chroma_site;
  double offset_x = 0, offset_y = 0;

  if (site == GST_VIDEO_CHROMA_SITE_UNKNOWN) /* JPEG's for full range, else MPEG-2's */
    site = info->colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255 ? GST_VIDEO_CHROMA_SITE_NONE
                                                                   : GST_VIDEO_CHROMA_SITE_H_COSITED;
  /* A sample on the first of its pixels stands that much before their middle. */
  if (site & GST_VIDEO_CHROMA_SITE_H_COSITED)
    offset_x = 0.5 - 0.5 / (1 << shift_x);
  if (site & GST_VIDEO_CHROMA_SITE_V_COSITED)
    offset_y = 0.5 - 0.5 / (1 << shift_y);
  plane->shift_x = shift_x;
  plane->shift_y = shift_y;
  plane->samples = GST_VIDEO_SUB_SCALE (shift_x, info->width);
  filter_init (&plane->x, part->x / (1 << shift_x) + offset_x, part->width / (1 << shift_x), plane->samples, width);
  filter_init (&plane->y, part->y / (1 << shift_y) + offset_y, part->height / (1 << shift_y), lines, height);
  plane->line = g_try_new (float, plane->samples);
  plane->columns = g_try_new0 (float, (gsize) height * plane->samples);
  return plane->line && plane->columns;
}

/* Adds line y of the picture to the results that it belongs to. */
static void
plane_add (Plane *plane, int y)
{
  int at = y >> plane->shift_y;

  for (int i = plane->lowest; i < plane->y.n && plane->y.first[i] <= at; i++) {
    int tap = at - plane->y.first[i];
    float *restrict to = plane->columns + i * (gsize) plane->samples;
    const float *restrict from = plane->line;

    if (tap >= plane->y.count[i]) {
      if (i == plane->lowest)
        plane->lowest++;
      continue;
    }
    float weight = plane->y.weights[i * (gsize) plane->y.stride + tap];
    if (weight != 0)
      for (int x = 0; x < plane->samples; x++)
        to[x] += weight * from[x];
  }
}

static float
plane_value (const Plane *plane, int y, int x)
{
  const float *from = plane->columns + y * (gsize) plane->samples + plane->x.first[x];
  const float *weights = plane->x.weights + x * (gsize) plane->x.stride;
  float sum = 0;

  for (int t = 0; t < plane->x.count[x]; t++)
    sum += weights[t] * from[t];
  return sum;
}

/* Reads the frame line by line; FALSE where it is not opaque. */
static gboolean
read_lines (const GstVideoFrame *frame, Plane *planes, int n)
{
  const GstVideoFormatInfo *finfo = frame->info.finfo;
  gboolean deep = GST_VIDEO_FORMAT_INFO_BITS (gst_video_format_get_info (finfo->unpack_format)) > 8;
  int width = frame->info.width;
  g_autofree guint16 *line = g_malloc ((deep ? 8 : 4) * ((gsize) width + 64));
  const guint8 *line8 = (const guint8 *) line;
  gpointer data[GST_VIDEO_MAX_PLANES];

  memcpy (data, frame->data, sizeof data);
  for (int y = 0; y < frame->info.height; y++) {
    finfo->unpack_func (finfo,
        GST_VIDEO_FRAME_IS_INTERLACED (frame) ? GST_VIDEO_PACK_FLAG_INTERLACED : GST_VIDEO_PACK_FLAG_NONE, line, data,
        frame->info.stride, 0, y, width);
    if (GST_VIDEO_FORMAT_INFO_HAS_ALPHA (finfo))
      for (int x = 0; x < width; x++)
        if (deep ? line[4 * x] != G_MAXUINT16 : line8[4 * x] != G_MAXUINT8)
          return FALSE;
    for (int c = 0; c < n; c++) {
      Plane *plane = &planes[c];

      if (y & ((1 << plane->shift_y) - 1))
        continue;
      for (int x = 0; x < plane->samples; x++) /* unpacking repeated the samples */
        plane->line[x] = deep ? line[4 * (x << plane->shift_x) + c + 1] : line8[4 * (x << plane->shift_x) + c + 1];
      plane_add (plane, y);
    }
  }
  return TRUE;
}

/* ---- colour -------------------------------------------------------------------------------- */

/* From unpacked components to RGB in 0..255, the offset last. */
static void
colour_matrix (const GstVideoInfo *info, int n, double matrix[3][4])
{
  gboolean deep = GST_VIDEO_FORMAT_INFO_BITS (gst_video_format_get_info (info->finfo->unpack_format)) > 8;
  double unpacked = deep ? G_MAXUINT16 : G_MAXUINT8, kr = 0, kb = 0, kg;
  int offset[GST_VIDEO_MAX_COMPONENTS], range[GST_VIDEO_MAX_COMPONENTS];

  memset (matrix, 0, 12 * sizeof (double));
  if (GST_VIDEO_INFO_IS_RGB (info)) {
    for (int c = 0; c < 3; c++)
      matrix[c][c] = 255 / unpacked;
    return;
  }
  if (!gst_video_color_matrix_get_Kr_Kb (info->colorimetry.matrix, &kr, &kb))
    gst_video_color_matrix_get_Kr_Kb (GST_VIDEO_COLOR_MATRIX_BT601, &kr, &kb);
  kg = 1 - kr - kb;
  gst_video_color_range_offsets (info->colorimetry.range, info->finfo, offset, range);
  for (int c = 0; c < 3; c++) {
    /* R = Y + 2 (1 - Kr) Cr, B = Y + 2 (1 - Kb) Cb, G from Y = Kr R + Kg G + Kb B (ITU-T H.273). */
    double cb = c == 0 ? 0 : c == 1 ? -2 * kb * (1 - kb) / kg : 2 * (1 - kb);
    double cr = c == 0 ? 2 * (1 - kr) : c == 1 ? -2 * kr * (1 - kr) / kg : 0;
    double factor[3] = { 1, cb, cr };

    for (int i = 0; i < n; i++) {
      /* Unpacking widens a sample of d bits from 2^d - 1 to all of 8 or 16 bits. */
      double top = (1 << GST_VIDEO_FORMAT_INFO_DEPTH (info->finfo, i)) - 1;

      matrix[c][i] = factor[i] * 255 / range[i] * top / unpacked;
      matrix[c][3] -= factor[i] * 255 / range[i] * offset[i];
    }
  }
}

/* ---- the whole ----------------------------------------------------------------------------- */

static gboolean
swaps_sides (GstVideoOrientationMethod method)
{
  return method == GST_VIDEO_ORIENTATION_90R || method == GST_VIDEO_ORIENTATION_90L
         || method == GST_VIDEO_ORIENTATION_UL_LR || method == GST_VIDEO_ORIENTATION_UR_LL;
}

/* Turns the planes' height x width result upright into rgb. */
static void
write_rgb (const Plane *planes, int n, const GstVideoInfo *info, GstVideoOrientationMethod method, int height,
    int width, guint8 *rgb)
{
  gboolean swap = swaps_sides (method);
  gboolean flip_x = method == GST_VIDEO_ORIENTATION_180 || method == GST_VIDEO_ORIENTATION_HORIZ
                    || method == GST_VIDEO_ORIENTATION_90L || method == GST_VIDEO_ORIENTATION_UR_LL;
  gboolean flip_y = method == GST_VIDEO_ORIENTATION_180 || method == GST_VIDEO_ORIENTATION_VERT
                    || method == GST_VIDEO_ORIENTATION_90R || method == GST_VIDEO_ORIENTATION_UR_LL;
  /* Bytes in the upright picture for one pixel to the right and one line down in ours. */
  gssize line = 3 * (gssize) (swap ? height : width);
  gssize right = (swap ? line : 3) * (flip_x ? -1 : 1), down = (swap ? 3 : line) * (flip_y ? -1 : 1);
  guint8 *origin = rgb - (flip_x ? right * (width - 1) : 0) - (flip_y ? down * (height - 1) : 0);
  double matrix[3][4];

  colour_matrix (info, n, matrix);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      guint8 *to = origin + y * down + x * right;
      double from[COMPONENTS] = { 0 };

      for (int c = 0; c < n; c++)
        from[c] = plane_value (&planes[c], y, x);
      for (int c = 0; c < 3; c++) {
        double value = matrix[c][0] * from[0] + matrix[c][1] * from[1] + matrix[c][2] * from[2] + matrix[c][3];

        to[c] = (guint8) (CLAMP (value, 0, 255) + 0.5);
      }
    }
}

guint8 *
scale_frame (const GstVideoFrame *frame, GstVideoOrientationMethod orientation, const MediaOptions *options,
    int *height, int *width, GError **error)
{
  const GstVideoInfo *info = &frame->info;
  int n = MIN (GST_VIDEO_FORMAT_INFO_N_COMPONENTS (info->finfo), COMPONENTS);
  gboolean swap = swaps_sides (orientation), ready = TRUE;
  int w = swap ? options->height : options->width, h = swap ? options->width : options->height;
  Part part = { 0, 0, info->width, info->height };
  Plane planes[COMPONENTS] = { 0 };
  g_autofree guint8 *rgb = NULL;

  if (GST_VIDEO_INFO_IS_GRAY (info))
    n = 1;
  else if (GST_VIDEO_FORMAT_INFO_HAS_PALETTE (info->finfo))
    n = COMPONENTS;
  if (!picture_check_size (info->height, info->width, error))
    return NULL;
  if (!w) {
    w = info->width;
    h = info->height;
  } else if (options->fit == SYNTH_FIT_CROP) {
    /* Width over height that the part must have in source pixels, whose own shape is info->par. */
    double ratio = (double) w / h * info->par_d / MAX (info->par_n, 1);

    part.width = MIN (info->width, info->height * ratio);
    part.height = MIN (info->height, info->width / ratio);
    part.x = (info->width - part.width) / 2;
    part.y = (info->height - part.height) / 2;
  }
  rgb = g_try_malloc (3 * (gsize) w * h);
  for (int c = 0; c < n; c++)
    ready = plane_init (&planes[c], info, c, &part, h, w) && ready;
  if (!rgb || !ready)
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "is %dx%d, too large for the memory", info->width, info->height);
  else if (!(ready = read_lines (frame, planes, n)))
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "has transparent parts: lay it on a background first");
  else
    write_rgb (planes, n, info, orientation, h, w, rgb);
  for (int c = 0; c < n; c++)
    plane_clear (&planes[c]);
  if (!rgb || !ready)
    return NULL;
  *height = swap ? w : h;
  *width = swap ? h : w;
  return g_steal_pointer (&rgb);
}

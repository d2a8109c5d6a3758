/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frames.h"

#include <math.h>
#include <string.h>

enum
{
  CANARY = 0xa5
};

static gboolean
is_rgb (const DuFrameInfo *info)
{
  const char *name = du_format_name (info->format);

  return strchr (name, 'R') && strchr (name, 'B') && !g_str_has_prefix (name, "GRAY");
}

static gboolean
is_gray (const DuFrameInfo *info)
{
  return g_str_has_prefix (du_format_name (info->format), "GRAY");
}

int
test_components (const DuFrameInfo *info)
{
  return is_gray (info) ? 1 : 3;
}

int
test_depth (const DuFrameInfo *info)
{
  switch (info->format) {
    case DU_FORMAT_GRAY16_LE:
    case DU_FORMAT_ARGB64:
      return 16;
    case DU_FORMAT_I420_10LE:
    case DU_FORMAT_P010_10LE:
      return 10;
    default:
      return 8;
  }
}

static void
subsampling (const DuFrameInfo *info, gboolean *horizontal, gboolean *vertical)
{
  *vertical = FALSE;
  *horizontal = TRUE;
  switch (info->format) {
    case DU_FORMAT_I420:
    case DU_FORMAT_YV12:
    case DU_FORMAT_NV12:
    case DU_FORMAT_NV21:
    case DU_FORMAT_I420_10LE:
    case DU_FORMAT_P010_10LE:
      *vertical = TRUE;
      break;
    case DU_FORMAT_YUY2:
    case DU_FORMAT_UYVY:
    case DU_FORMAT_Y42B:
      break;
    default:
      *horizontal = FALSE;
  }
}

int
test_component_width (const DuFrameInfo *info, int component)
{
  gboolean horizontal, vertical;

  subsampling (info, &horizontal, &vertical);
  return component && horizontal ? (info->width + 1) / 2 : info->width;
}

int
test_component_height (const DuFrameInfo *info, int component)
{
  gboolean horizontal, vertical;

  subsampling (info, &horizontal, &vertical);
  return component && vertical ? (info->height + 1) / 2 : info->height;
}

static int
plane_lines (const DuFrameInfo *info, int plane)
{
  return test_component_height (info, plane);
}

/* Bytes of a visible line; 0 for a plane that there is not. */
static int
plane_bytes (const DuFrameInfo *info, int plane)
{
  int width = info->width, half = (width + 1) / 2;

  switch (info->format) {
    case DU_FORMAT_RGB:
    case DU_FORMAT_BGR:
      return plane == 0 ? 3 * width : 0;
    case DU_FORMAT_GRAY8:
      return plane == 0 ? width : 0;
    case DU_FORMAT_GRAY16_LE:
      return plane == 0 ? 2 * width : 0;
    case DU_FORMAT_ARGB64:
      return plane == 0 ? 8 * width : 0;
    case DU_FORMAT_YUY2:
    case DU_FORMAT_UYVY:
      return plane == 0 ? 4 * half : 0;
    case DU_FORMAT_I420:
    case DU_FORMAT_YV12:
    case DU_FORMAT_Y42B:
      return plane == 0 ? width : plane < 3 ? half : 0;
    case DU_FORMAT_Y444:
      return plane < 3 ? width : 0;
    case DU_FORMAT_NV12:
    case DU_FORMAT_NV21:
      return plane == 0 ? width : plane == 1 ? 2 * half : 0;
    case DU_FORMAT_I420_10LE:
      return plane == 0 ? 2 * width : plane < 3 ? 2 * half : 0;
    case DU_FORMAT_P010_10LE:
      return plane == 0 ? 2 * width : plane == 1 ? 4 * half : 0;
    default:
      return plane == 0 ? 4 * width : 0;
  }
}

static guint8 *
plane_line (const TestFrame *frame, int plane, int y)
{
  return frame->frame.data[plane] + (gssize) y * frame->frame.stride[plane];
}

static guint8 *
locate (const TestFrame *frame, int component, int x, int y)
{
  const char *name = du_format_name (frame->info.format);
  guint8 *luma = plane_line (frame, 0, y);

  if (is_rgb (&frame->info)) { /* as it is spelt: "xBGR" */
    int step = plane_bytes (&frame->info, 0) / frame->info.width, bytes = step == 8 ? 2 : 1;

    return luma + x * step + bytes * (int) (strchr (name, "RGB"[component]) - name);
  }
  switch (frame->info.format) {
    case DU_FORMAT_YUY2:
      return luma + (component == 0 ? 2 * x : 4 * x + (component == 1 ? 1 : 3));
    case DU_FORMAT_UYVY:
      return luma + (component == 0 ? 2 * x + 1 : 4 * x + (component == 1 ? 0 : 2));
    case DU_FORMAT_NV12:
      return component ? plane_line (frame, 1, y) + 2 * x + (component == 2) : luma + x;
    case DU_FORMAT_NV21:
      return component ? plane_line (frame, 1, y) + 2 * x + (component == 1) : luma + x;
    case DU_FORMAT_P010_10LE:
      return component ? plane_line (frame, 1, y) + 4 * x + 2 * (component == 2) : luma + 2 * x;
    case DU_FORMAT_YV12:
      return plane_line (frame, component == 0 ? 0 : 3 - component, y) + x;
    case DU_FORMAT_I420_10LE:
    case DU_FORMAT_GRAY16_LE:
      return plane_line (frame, component, y) + 2 * x;
    default:
      return plane_line (frame, component, y) + x;
  }
}

guint
test_get (const TestFrame *frame, int component, int x, int y)
{
  const guint8 *at = locate (frame, component, x, y);

  switch (test_depth (&frame->info)) {
    case 16:
      return at[0] | at[1] << 8;
    case 10:
      return (at[0] | at[1] << 8) >> (frame->info.format == DU_FORMAT_P010_10LE ? 6 : 0) & 1023;
    default:
      return *at;
  }
}

void
test_set (TestFrame *frame, int component, int x, int y, guint sample)
{
  guint8 *at = locate (frame, component, x, y);

  at[0] = sample;
  if (test_depth (&frame->info) == 8)
    return;
  if (frame->info.format == DU_FORMAT_P010_10LE)
    sample <<= 6;
  at[0] = sample & 255;
  at[1] = sample >> 8;
}

void
test_frame_init (TestFrame *frame, const DuFrameInfo *info, int padding, gboolean flip)
{
  *frame = (TestFrame){ .info = *info };
  for (int plane = 0; plane < 4; plane++) {
    int bytes = plane_bytes (info, plane), lines = bytes ? plane_lines (info, plane) : 0;

    if (!bytes)
      continue;
    frame->planes++;
    frame->frame.stride[plane] = bytes + padding;
    frame->size[plane] = (gsize) (bytes + padding) * (lines - 1) + bytes;
    frame->frame.data[plane] = frame->memory[plane] = g_malloc (frame->size[plane]);
    memset (frame->memory[plane], CANARY, frame->size[plane]);
    if (flip) {
      frame->frame.data[plane] += (gsize) (bytes + padding) * (lines - 1);
      frame->frame.stride[plane] *= -1;
    }
  }
}

void
test_frame_clear (TestFrame *frame)
{
  for (int plane = 0; plane < 4; plane++)
    g_free (frame->memory[plane]);
}

void
test_frame_randomise (TestFrame *frame, GRand *random)
{
  for (int plane = 0; plane < frame->planes; plane++)
    for (int y = 0; y < plane_lines (&frame->info, plane); y++)
      for (int i = 0; i < plane_bytes (&frame->info, plane); i++)
        plane_line (frame, plane, y)[i] = g_rand_int (random) >> 24;
}

void
test_frame_init_random (TestFrame *frame, const DuFrameInfo *info, guint seed)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);

  test_frame_init (frame, info, 0, FALSE);
  test_frame_randomise (frame, random);
}

void
test_frame_check_canaries (const TestFrame *frame, const char *what)
{
  for (int plane = 0; plane < frame->planes; plane++) {
    int bytes = plane_bytes (&frame->info, plane), stride = ABS (frame->frame.stride[plane]);

    for (int y = 0; y + 1 < plane_lines (&frame->info, plane); y++)
      for (int i = bytes; i < stride; i++)
        if (frame->memory[plane][(gsize) y * stride + i] != CANARY)
          g_error ("%s: byte %d behind line %d of plane %d was written", what, i - bytes, y, plane);
  }
}

void
test_frame_check_equal (const TestFrame *a, const TestFrame *b, const char *what)
{
  for (int plane = 0; plane < a->planes; plane++)
    for (int y = 0; y < plane_lines (&a->info, plane); y++)
      for (int i = 0; i < plane_bytes (&a->info, plane); i++)
        if (plane_line (a, plane, y)[i] != plane_line (b, plane, y)[i])
          g_error ("%s: byte %d of line %d of plane %d: %d is not %d", what, i, y, plane,
              plane_line (b, plane, y)[i], plane_line (a, plane, y)[i]);
}

void
test_frame_check_rest_equal (const TestFrame *a, const TestFrame *b, const char *what)
{
  TestFrame marks[2];

  for (int i = 0; i < 2; i++) {
    const TestFrame *from = i ? b : a;

    test_frame_init (&marks[i], &a->info, 0, FALSE);
    for (int plane = 0; plane < a->planes; plane++)
      for (int y = 0; y < plane_lines (&a->info, plane); y++)
        memcpy (plane_line (&marks[i], plane, y), plane_line (from, plane, y), plane_bytes (&a->info, plane));
    for (int component = 0; component < test_components (&a->info); component++)
      for (int y = 0; y < test_component_height (&a->info, component); y++)
        for (int x = 0; x < test_component_width (&a->info, component); x++)
          memset (locate (&marks[i], component, x, y), 0, test_depth (&a->info) > 8 ? 2 : 1);
  }
  test_frame_check_equal (&marks[0], &marks[1], what);
  test_frame_clear (&marks[0]);
  test_frame_clear (&marks[1]);
}

static void
luma_shares (const DuFrameInfo *info, double *kr, double *kb)
{
  switch (is_gray (info) ? DU_MATRIX_BT709 : info->matrix) {
    case DU_MATRIX_BT601:
      *kr = 0.299, *kb = 0.114;
      break;
    case DU_MATRIX_BT709:
      *kr = 0.2126, *kb = 0.0722;
      break;
    case DU_MATRIX_BT2020:
      *kr = 0.2627, *kb = 0.0593;
      break;
    case DU_MATRIX_FCC:
      *kr = 0.30, *kb = 0.11;
      break;
    default: /* SMPTE 240M */
      *kr = 0.212, *kb = 0.087;
      break;
  }
}

/* Sample = zero + scale * value, for a component of values 0..1 or -1/2..1/2. */
static void
quantisation (const DuFrameInfo *info, int component, double *zero, double *scale)
{
  int depth = test_depth (info);
  gboolean chroma = component > 0 && !is_rgb (info);

  if (info->full_range) {
    *zero = chroma ? pow (2, depth - 1) : 0;
    *scale = pow (2, depth) - 1;
  } else {
    *zero = (chroma ? 128 : 16) * pow (2, depth - 8);
    *scale = (chroma ? 224 : 219) * pow (2, depth - 8);
  }
}

/* A component's value at a pixel: linear between the samples, whose places follow from the siting. */
static double
value_at (const TestFrame *frame, int component, int x, int y)
{
  const DuFrameInfo *info = &frame->info;
  int width = test_component_width (info, component), height = test_component_height (info, component);
  gboolean horizontal, vertical;
  double at_x = x, at_y = y, zero, scale, sum = 0;

  subsampling (info, &horizontal, &vertical);
  if (component && horizontal)
    at_x = info->chroma_centred_x ? (x + 0.5) / 2 - 0.5 : x / 2.0;
  if (component && vertical)
    at_y = info->chroma_centred_y ? (y + 0.5) / 2 - 0.5 : y / 2.0;
  for (int dy = 0; dy < 2; dy++)
    for (int dx = 0; dx < 2; dx++) {
      int column = (int) floor (at_x) + dx, line = (int) floor (at_y) + dy;
      double share = (1 - fabs (column - at_x)) * (1 - fabs (line - at_y));

      if (share > 0)
        sum += share * test_get (frame, component, CLAMP (column, 0, width - 1), CLAMP (line, 0, height - 1));
    }
  quantisation (info, component, &zero, &scale);
  return (sum - zero) / scale;
}

void
test_reference_rgb (const TestFrame *frame, int x, int y, double rgb[3])
{
  double kr, kb, luma = value_at (frame, 0, x, y), cb, cr;

  if (is_gray (&frame->info)) {
    rgb[0] = rgb[1] = rgb[2] = luma;
    return;
  }
  cb = value_at (frame, 1, x, y);
  cr = value_at (frame, 2, x, y);
  if (is_rgb (&frame->info)) {
    rgb[0] = luma;
    rgb[1] = cb;
    rgb[2] = cr;
    return;
  }
  luma_shares (&frame->info, &kr, &kb);
  rgb[0] = luma + cr * 2 * (1 - kr);
  rgb[2] = luma + cb * 2 * (1 - kb);
  rgb[1] = (luma - kr * rgb[0] - kb * rgb[2]) / (1 - kr - kb);
}

void
test_reference_samples (const DuFrameInfo *info, const double rgb[3], gboolean difference, double samples[3])
{
  double kr, kb, values[3] = { rgb[0], rgb[1], rgb[2] };

  if (!is_rgb (info)) {
    luma_shares (info, &kr, &kb);
    values[0] = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2];
    values[1] = (rgb[2] - values[0]) / (2 * (1 - kb));
    values[2] = (rgb[0] - values[0]) / (2 * (1 - kr));
  }
  for (int component = 0; component < test_components (info); component++) {
    double zero, scale;

    quantisation (info, component, &zero, &scale);
    samples[component] = scale * values[component] + (difference ? 0 : zero);
  }
}

/* Pixels and their shares that a sample at half resolution stands for. */
static int
taps (gboolean half, gboolean centred, int sample, int length, int at[3], double share[3])
{
  int n = !half ? 1 : centred ? 2 : 3;

  for (int i = 0; i < n; i++) {
    int pixel = n == 1 ? sample : n == 2 ? 2 * sample + i : 2 * sample - 1 + i;

    at[i] = CLAMP (pixel, 0, length - 1);
    share[i] = n == 3 ? i == 1 ? 0.5 : 0.25 : 1.0 / n;
  }
  return n;
}

void
test_reference_mean (const DuFrameInfo *info, int component, int x, int y, const float *at, double rgb[3])
{
  gboolean horizontal, vertical;
  int columns[3], lines[3], n_columns, n_lines;
  double column_shares[3], line_shares[3];

  subsampling (info, &horizontal, &vertical);
  n_columns = taps (component && horizontal, info->chroma_centred_x, x, info->width, columns, column_shares);
  n_lines = taps (component && vertical, info->chroma_centred_y, y, info->height, lines, line_shares);
  rgb[0] = rgb[1] = rgb[2] = 0;
  for (int i = 0; i < n_lines; i++)
    for (int j = 0; j < n_columns; j++)
      for (int c = 0; c < 3; c++)
        rgb[c] += line_shares[i] * column_shares[j]
                  * at[((gsize) lines[i] * info->width + columns[j]) * 3 + c];
}

char *
test_info_to_string (const DuFrameInfo *info)
{
  return g_strdup_printf ("%s %dx%d matrix %d %s range siting %d%d", du_format_name (info->format),
      info->width, info->height, info->matrix, info->full_range ? "full" : "limited", info->chroma_centred_x,
      info->chroma_centred_y);
}

void
test_frame_check_close (const TestFrame *expected, const TestFrame *got, int most, int one_in, const char *what)
{
  int samples = 0, different = 0;

  test_frame_check_canaries (got, what);
  test_frame_check_rest_equal (expected, got, what);
  for (int c = 0; c < test_components (&got->info); c++)
    for (int y = 0; y < test_component_height (&got->info, c); y++)
      for (int x = 0; x < test_component_width (&got->info, c); x++) {
        int a = test_get (expected, c, x, y), b = test_get (got, c, x, y);

        samples++;
        different += a != b;
        if (ABS (a - b) > most)
          g_error ("%s: component %d at %d, %d is %d, should be %d", what, c, x, y, b, a);
      }
  if (different > 1 + samples / one_in)
    g_error ("%s: %d of %d samples differ", what, different, samples);
}

/* The formats, from samples to what the network sees, and from its corrections back to samples.
 *
 * Lines are worked on in pieces of PIECE pixels, whose floats stand on the stack and in the first-level
 * cache. The inner loops are written for the compiler to vectorise: the distance of samples in memory is a
 * constant in each of their copies.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frame.h"

#include <string.h>

enum
{
  PIECE = 256, /* pixels, even */
};

/* Compiled for several instruction sets, of which the machine's best is taken when the program is loaded.
 * For static functions only: clang 14 gives others a name that no other file finds. */
#ifdef DU_HAVE_TARGET_CLONES
#define WIDE_VECTORS __attribute__ ((target_clones ("arch=x86-64-v4", "avx2", "default")))
#else
#define WIDE_VECTORS
#endif

/* ---- formats --------------------------------------------------------------------------------- */

/* clang-format off */
#define PACKED(name, bytes, step, a, b, c) \
  { #name, 1, 3, TRUE, bytes, 8 * bytes, 0, \
    { { 0, bytes * a, step, 0, 0 }, { 0, bytes * b, step, 0, 0 }, { 0, bytes * c, step, 0, 0 } } }
#define PLANAR(name, bytes, depth, cb, cr, sub_x, sub_y) \
  { #name, 3, 3, FALSE, bytes, depth, 0, \
    { { 0, 0, bytes, 0, 0 }, { cb, 0, bytes, sub_x, sub_y }, { cr, 0, bytes, sub_x, sub_y } } }
#define SEMIPLANAR(name, bytes, depth, shift, cb, cr) \
  { #name, 2, 3, FALSE, bytes, depth, shift, \
    { { 0, 0, bytes, 0, 0 }, { 1, bytes * cb, 2 * bytes, 1, 1 }, { 1, bytes * cr, 2 * bytes, 1, 1 } } }
#define PACKED_422(name, y, cb, cr) \
  { #name, 1, 3, FALSE, 1, 8, 0, { { 0, y, 2, 0, 0 }, { 0, cb, 4, 1, 0 }, { 0, cr, 4, 1, 0 } } }
#define GRAY(name, bytes) { #name, 1, 1, FALSE, bytes, 8 * bytes, 0, { { 0, 0, bytes, 0, 0 } } }

const DuLayout du_layouts[DU_N_FORMATS] = {
  [DU_FORMAT_RGB] = PACKED (RGB, 1, 3, 0, 1, 2),
  [DU_FORMAT_BGR] = PACKED (BGR, 1, 3, 2, 1, 0),
  [DU_FORMAT_RGBx] = PACKED (RGBx, 1, 4, 0, 1, 2),
  [DU_FORMAT_BGRx] = PACKED (BGRx, 1, 4, 2, 1, 0),
  [DU_FORMAT_xRGB] = PACKED (xRGB, 1, 4, 1, 2, 3),
  [DU_FORMAT_xBGR] = PACKED (xBGR, 1, 4, 3, 2, 1),
  [DU_FORMAT_RGBA] = PACKED (RGBA, 1, 4, 0, 1, 2),
  [DU_FORMAT_BGRA] = PACKED (BGRA, 1, 4, 2, 1, 0),
  [DU_FORMAT_ARGB] = PACKED (ARGB, 1, 4, 1, 2, 3),
  [DU_FORMAT_ABGR] = PACKED (ABGR, 1, 4, 3, 2, 1),
  [DU_FORMAT_GRAY8] = GRAY (GRAY8, 1),
  [DU_FORMAT_I420] = PLANAR (I420, 1, 8, 1, 2, 1, 1),
  [DU_FORMAT_YV12] = PLANAR (YV12, 1, 8, 2, 1, 1, 1),
  [DU_FORMAT_NV12] = SEMIPLANAR (NV12, 1, 8, 0, 0, 1),
  [DU_FORMAT_NV21] = SEMIPLANAR (NV21, 1, 8, 0, 1, 0),
  [DU_FORMAT_YUY2] = PACKED_422 (YUY2, 0, 1, 3),
  [DU_FORMAT_UYVY] = PACKED_422 (UYVY, 1, 0, 2),
  [DU_FORMAT_Y42B] = PLANAR (Y42B, 1, 8, 1, 2, 1, 0),
  [DU_FORMAT_Y444] = PLANAR (Y444, 1, 8, 1, 2, 0, 0),
  [DU_FORMAT_GRAY16_LE] = GRAY (GRAY16_LE, 2),
  [DU_FORMAT_I420_10LE] = PLANAR (I420_10LE, 2, 10, 1, 2, 1, 1),
  [DU_FORMAT_P010_10LE] = SEMIPLANAR (P010_10LE, 2, 10, 6, 0, 1),
  [DU_FORMAT_ARGB64] = PACKED (ARGB64, 2, 8, 1, 2, 3),
};
/* clang-format on */

const char *
du_format_name (DuFormat format)
{
  return (guint) format < DU_N_FORMATS ? du_layouts[format].name : NULL;
}

DuFormat
du_format_from_name (const char *name)
{
  int format = 0;

  while (format < DU_N_FORMATS && strcmp (name, du_layouts[format].name))
    format++;
  return format;
}

static int
component_width (const DuFrameInfo *info, const DuComponent *component)
{
  return (info->width + component->sub_x) >> component->sub_x;
}

static int
component_height (const DuFrameInfo *info, const DuComponent *component)
{
  return (info->height + component->sub_y) >> component->sub_y;
}

/* ---- colour ---------------------------------------------------------------------------------- */

/* Shares of R' and B' in Y', H.273 table 4. */
static const double luma_shares[][2] = {
  [DU_MATRIX_BT601] = { 0.299, 0.114 },
  [DU_MATRIX_BT709] = { 0.2126, 0.0722 },
  [DU_MATRIX_BT2020] = { 0.2627, 0.0593 },
  [DU_MATRIX_FCC] = { 0.30, 0.11 },
  [DU_MATRIX_SMPTE240M] = { 0.212, 0.087 },
};

/* Gray is seen as R' = G' = B' = Y'; of a correction it takes BT.709's luma. */
static void
colour_init (DuColour *colour, const DuLayout *layout, const DuFrameInfo *info)
{
  DuMatrix matrix = layout->components == 1 ? DU_MATRIX_BT709 : info->matrix;
  double kr = luma_shares[matrix][0], kb = luma_shares[matrix][1], kg = 1 - kr - kb;
  double unit = 1 << (layout->depth - 8), maximum = (1 << layout->depth) - 1;
  double luma = info->full_range ? maximum : 219 * unit, chroma = info->full_range ? maximum : 224 * unit;
  double black = info->full_range ? 0 : 16 * unit, to_red = 2 * (1 - kr), to_blue = 2 * (1 - kb);

  *colour = (DuColour){ .maximum = maximum };
  for (int i = 0; i < layout->components; i++)
    colour->offset[i] = !layout->rgb && i > 0 ? 128 * unit : black;
  if (layout->rgb) {
    for (int i = 0; i < 3; i++) {
      colour->to_rgb[i][i] = 1 / luma;
      colour->from_rgb[i][i] = luma;
    }
    return;
  }
  for (int i = 0; i < 3; i++)
    colour->to_rgb[i][0] = 1 / luma;
  colour->from_rgb[0][0] = luma * kr;
  colour->from_rgb[0][1] = luma * kg;
  colour->from_rgb[0][2] = luma * kb;
  if (layout->components == 1)
    return;
  colour->to_rgb[0][2] = to_red / chroma;
  colour->to_rgb[1][1] = -to_blue * kb / kg / chroma;
  colour->to_rgb[1][2] = -to_red * kr / kg / chroma;
  colour->to_rgb[2][1] = to_blue / chroma;
  colour->from_rgb[1][0] = -chroma * kr / to_blue;
  colour->from_rgb[1][1] = -chroma * kg / to_blue;
  colour->from_rgb[1][2] = chroma * 0.5;
  colour->from_rgb[2][0] = chroma * 0.5;
  colour->from_rgb[2][1] = -chroma * kg / to_red;
  colour->from_rgb[2][2] = -chroma * kb / to_red;
}

gboolean
du_frame_kind_init (DuFrameKind *kind, const DuFrameInfo *info, GError **error)
{
  const DuLayout *layout;

  if ((guint) info->format >= DU_N_FORMATS) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "frame format %d is unknown", info->format);
    return FALSE;
  }
  if (info->width < 1 || info->height < 1 || info->width > DU_FRAME_SIZE_MAX
      || info->height > DU_FRAME_SIZE_MAX) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "a frame of %dx%d pixels cannot be processed: width and height are 1 to %d", info->width,
        info->height, DU_FRAME_SIZE_MAX);
    return FALSE;
  }
  if ((guint) info->matrix >= G_N_ELEMENTS (luma_shares)) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "colour matrix %d is unknown", info->matrix);
    return FALSE;
  }
  layout = &du_layouts[info->format];
  *kind = (DuFrameKind){ .info = *info, .layout = layout };
  colour_init (&kind->colour, layout, info);
  for (int i = 0; i < layout->components; i++) {
    const DuComponent *component = &layout->component[i];
    int bytes = component->step * component_width (info, component);

    kind->line_bytes[component->plane] = MAX (kind->line_bytes[component->plane], bytes);
    kind->lines[component->plane] = component_height (info, component);
  }
  return TRUE;
}

gboolean
du_frame_check (const DuFrameKind *kind, const DuFrame *frame, const char *name, GError **error)
{
  for (int plane = 0; plane < kind->layout->planes; plane++) {
    int lines = kind->lines[plane], bytes = kind->line_bytes[plane];

    if (!frame->data[plane]) {
      g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "plane %d of the %s frame is missing: %s has %d",
          plane, name, kind->layout->name, kind->layout->planes);
      return FALSE;
    }
    if (lines > 1 && ABS ((gint64) frame->stride[plane]) < bytes) {
      g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
          "the stride of plane %d of the %s frame is %d bytes: a line of %d pixels in %s has %d", plane, name,
          frame->stride[plane], kind->info.width, kind->layout->name, bytes);
      return FALSE;
    }
  }
  return TRUE;
}

/* ---- samples of a line ------------------------------------------------------------------------- */

static guint8 *
sample_at (const DuFrame *frame, const DuComponent *component, int line, int column)
{
  return frame->data[component->plane] + (gssize) line * frame->stride[component->plane] + component->offset
         + (gssize) column * component->step;
}

/* Calls name (step, bytes, ...) with constants for the step and the bytes of each format's samples. */
#define WITH_CONSTANT_STEP(name, step, bytes, ...) \
  switch ((step) << 2 | (bytes)) { \
    case 1 << 2 | 1: \
      name (1, 1, __VA_ARGS__); \
      break; \
    case 2 << 2 | 1: \
      name (2, 1, __VA_ARGS__); \
      break; \
    case 3 << 2 | 1: \
      name (3, 1, __VA_ARGS__); \
      break; \
    case 4 << 2 | 1: \
      name (4, 1, __VA_ARGS__); \
      break; \
    case 2 << 2 | 2: \
      name (2, 2, __VA_ARGS__); \
      break; \
    case 4 << 2 | 2: \
      name (4, 2, __VA_ARGS__); \
      break; \
    case 8 << 2 | 2: \
      name (8, 2, __VA_ARGS__); \
      break; \
    default: \
      g_assert_not_reached (); \
  }

static inline __attribute__ ((always_inline)) guint
load_sample (const guint8 *at, int bytes)
{
  guint16 wide;

  if (bytes == 1)
    return *at;
  memcpy (&wide, at, sizeof wide); /* lines may stand at odd addresses */
  return wide;
}

static inline __attribute__ ((always_inline)) void
store_sample (guint8 *at, int bytes, guint sample)
{
  guint16 wide = sample;

  if (bytes == 1)
    *at = sample;
  else
    memcpy (at, &wide, sizeof wide);
}

static inline __attribute__ ((always_inline)) void
unpack_loop (int step, int bytes, const guint8 *from, int n, int shift, guint mask, float *restrict to)
{
  for (int i = 0; i < n; i++)
    to[i] = (float) (int) (load_sample (from + i * step, bytes) >> shift & mask);
}

/* n samples from a column on. */
WIDE_VECTORS static void
unpack (const DuLayout *layout, const DuComponent *component, const DuFrame *frame, int line, int column,
    int n, float *to)
{
  const guint8 *from = sample_at (frame, component, line, column);
  guint mask = (1u << layout->depth) - 1;

  WITH_CONSTANT_STEP (unpack_loop, component->step, layout->bytes, from, n, layout->shift, mask, to);
}

static inline __attribute__ ((always_inline)) void
correct_loop (int step, int bytes, guint8 *restrict to, const guint8 *restrict from, int n,
    const float *restrict difference, const float *row, float maximum, int shift, guint mask)
{
  float r = row[0], g = row[1], b = row[2];

  for (int i = 0; i < n; i++) {
    guint sample = load_sample (from + i * step, bytes);
    const float weights[3] = { r, g, b };
    guint corrected = du_pixel_correct ((float) (int) (sample >> shift & mask), weights, difference + 3 * i,
        maximum);

    /* Bits around the sample, which nobody should use, stay as they are. */
    store_sample (to + i * step, bytes, (sample & ~(mask << shift)) | corrected << shift);
  }
}

/* n samples from a column on; difference: R'G'B' at each of them. */
WIDE_VECTORS static void
correct (const DuFrameKind *kind, int component_index, const float *row, const DuFrame *in, DuFrame *out,
    int line, int column, int n, const float *difference)
{
  const DuLayout *layout = kind->layout;
  const DuComponent *component = &layout->component[component_index];
  const guint8 *from = sample_at (in, component, line, column);
  guint8 *to = sample_at (out, component, line, column);
  guint mask = (1u << layout->depth) - 1;

  WITH_CONSTANT_STEP (correct_loop, component->step, layout->bytes, to, from, n, difference, row,
      kind->colour.maximum, layout->shift, mask);
}

/* ---- gather ------------------------------------------------------------------------------------ */

/* Chroma at the n <= PIECE pixels from (y, x) on, interpolated linearly. */
WIDE_VECTORS static void
upsample (const DuFrameKind *kind, int component_index, const DuFrame *frame, int y, int x, int n, float *to)
{
  const DuLayout *layout = kind->layout;
  const DuComponent *component = &layout->component[component_index];
  int width = component_width (&kind->info, component), height = component_height (&kind->info, component);
  /* Chroma columns [first, first + columns) touch the pixels; those of them in the frame are [from, to). */
  int first = (x >> 1) - 1, columns = ((x + n - 1) >> 1) + 2 - first;
  int from = MAX (first, 0), end = MIN (first + columns, width);
  float one[PIECE / 2 + 4], other[PIECE / 2 + 4], wide[PIECE + 4], share = 0;
  int line = y, other_line = y;

  if (!component->sub_x) {
    unpack (layout, component, frame, y, x, n, to);
    return;
  }
  if (component->sub_y) {
    share = du_pixel_chroma_taps (y, kind->info.chroma_centred_y, &line, &other_line);
    other_line = CLAMP (other_line, 0, height - 1);
  }
  unpack (layout, component, frame, line, from, end - from, one + (from - first));
  if (share > 0) {
    unpack (layout, component, frame, other_line, from, end - from, other + (from - first));
    for (int i = from - first; i < end - first; i++)
      one[i] += share * (other[i] - one[i]);
  }
  for (int i = first; i < from; i++)
    one[i - first] = one[from - first];
  for (int i = end; i < first + columns; i++)
    one[i - first] = one[end - 1 - first];

  /* As du_pixel_chroma_taps says. */
  if (kind->info.chroma_centred_x)
    for (int i = 1; i < columns - 1; i++) {
      wide[2 * i] = one[i] + 0.25f * (one[i - 1] - one[i]);
      wide[2 * i + 1] = one[i] + 0.25f * (one[i + 1] - one[i]);
    }
  else
    for (int i = 1; i < columns - 1; i++) {
      wide[2 * i] = one[i];
      wide[2 * i + 1] = one[i] + 0.5f * (one[i + 1] - one[i]);
    }
  memcpy (to, wide + 2 + (x & 1), n * sizeof *to);
}

/* R'G'B' of the n pixels from (y, x) on, all in the frame. */
WIDE_VECTORS static void
gather_line (const DuFrameKind *kind, const DuFrame *frame, int y, int x, int n, float *restrict rgb)
{
  const DuLayout *layout = kind->layout;
  const DuColour colour = kind->colour;
  float samples[3][PIECE] = { { 0 } };

  for (int done = 0; done < n; done += PIECE) {
    int piece = MIN (PIECE, n - done);

    unpack (layout, &layout->component[0], frame, y, x + done, piece, samples[0]);
    for (int i = 1; i < layout->components; i++)
      upsample (kind, i, frame, y, x + done, piece, samples[i]);
    for (int i = 0; i < piece; i++)
      du_pixel_to_rgb (&colour, samples[0][i], samples[1][i], samples[2][i], rgb + 3 * (done + i));
  }
}

void
du_frame_gather (const DuFrameKind *kind, const DuFrame *frame, int y, int x, int height, int width,
    float *tile)
{
  int inside = MIN (width, kind->info.width - x);

  for (int line = 0; line < height; line++) {
    int source = du_pixel_reflect (y + line, kind->info.height);
    float *to = tile + (gsize) line * width * 3;

    if (source >= y && source < y + line) {
      memcpy (to, tile + (gsize) (source - y) * width * 3, width * 3 * sizeof *to);
      continue;
    }
    gather_line (kind, frame, source, x, inside, to);
    for (int i = inside; i < width; i++) {
      int column = du_pixel_reflect (x + i, kind->info.width);

      if (column >= x)
        memcpy (to + 3 * i, to + 3 * (column - x), 3 * sizeof *to);
      else
        gather_line (kind, frame, source, column, 1, to + 3 * i);
    }
  }
}

/* ---- scatter ----------------------------------------------------------------------------------- */

float *
du_band_line (const DuBand *band, int y)
{
  return band->data + (gsize) (y % band->lines) * band->width * 3;
}

WIDE_VECTORS static void
add_differences (float *restrict band, int n, float weight, const float *restrict weights,
    const float *restrict before, const float *restrict after)
{
  for (int i = 0; i < n; i++)
    band[i] += weight * weights[i] * du_pixel_difference (before[i], after[i]);
}

void
du_band_add (const DuBand *band, int y, int x, int n, float weight, const float *weights, const float *before,
    const float *after)
{
  add_differences (du_band_line (band, y) + 3 * x, 3 * n, weight, weights, before, after);
}

/* Corrections at the n <= PIECE / 2 chroma samples from (line, column) on: the mean over the pixels that a
 * sample stands for, which are 2 between which it lies, or 3 weighing 1 2 1 on whose middle it is. */
WIDE_VECTORS static void
downsample (const DuFrameKind *kind, const DuComponent *component, const DuBand *band, int line, int column,
    int n, float *restrict to)
{
  int width = kind->info.width, height = kind->info.height;
  /* Pixels [first, first + pixels) touch the samples; those of them in the frame are [from, end). */
  int first = 2 * column - 1, pixels = 2 * n + 1;
  int from = MAX (first, 0), end = MIN (first + pixels, width);
  float sums[3 * (PIECE + 1)], *at = sums + 3 * (from - first);
  int y = line << component->sub_y, values = 3 * (end - from);
  const float *middle = du_band_line (band, y) + 3 * from;

  if (!component->sub_y)
    memcpy (at, middle, values * sizeof *at);
  else {
    const float *below = du_band_line (band, MIN (y + 1, height - 1)) + 3 * from;
    const float *above = du_band_line (band, MAX (y - 1, 0)) + 3 * from;

    if (kind->info.chroma_centred_y)
      for (int i = 0; i < values; i++)
        at[i] = 0.5f * (middle[i] + below[i]);
    else
      for (int i = 0; i < values; i++)
        at[i] = 0.5f * middle[i] + 0.25f * (above[i] + below[i]);
  }
  if (from > first)
    memcpy (sums, sums + 3, 3 * sizeof *sums);
  if (end < first + pixels)
    memcpy (sums + 3 * (pixels - 1), sums + 3 * (pixels - 2), 3 * sizeof *sums);
  if (kind->info.chroma_centred_x)
    for (int i = 0; i < n; i++)
      for (int c = 0; c < 3; c++)
        to[3 * i + c] = 0.5f * (sums[6 * i + 3 + c] + sums[6 * i + 6 + c]);
  else
    for (int i = 0; i < n; i++)
      for (int c = 0; c < 3; c++)
        to[3 * i + c] = 0.5f * sums[6 * i + 3 + c] + 0.25f * (sums[6 * i + c] + sums[6 * i + 6 + c]);
}

static void
copy_lines (const DuFrameKind *kind, const DuFrame *in, DuFrame *out, int plane, int from, int to)
{
  for (int line = from; line < to; line++)
    memcpy (out->data[plane] + (gssize) line * out->stride[plane],
        in->data[plane] + (gssize) line * in->stride[plane], kind->line_bytes[plane]);
}

void
du_frame_copy (const DuFrameKind *kind, const DuFrame *in, DuFrame *out)
{
  for (int plane = 0; plane < kind->layout->planes; plane++)
    copy_lines (kind, in, out, plane, 0, kind->lines[plane]);
}

void
du_frame_scatter (const DuFrameKind *kind, const DuFrame *in, DuFrame *out, const DuBand *band, int from,
    int to, float strength)
{
  const DuLayout *layout = kind->layout;
  int n = layout->components;
  const DuComponent *last = &layout->component[n - 1];
  int chroma_from = (from + last->sub_y) >> last->sub_y, chroma_to = (to + last->sub_y) >> last->sub_y;
  float matrix[3][3], means[3 * PIECE / 2];

  for (int i = 0; i < n; i++)
    for (int c = 0; c < 3; c++)
      matrix[i][c] = strength * kind->colour.from_rgb[i][c];
  /* What stands between the samples: alpha, padding. */
  copy_lines (kind, in, out, 0, from, to);
  for (int plane = 1; plane < layout->planes; plane++)
    copy_lines (kind, in, out, plane, chroma_from, chroma_to);

  for (int i = 0; i < n; i++)
    if (!layout->component[i].sub_x)
      for (int y = from; y < to; y++)
        correct (kind, i, matrix[i], in, out, y, 0, kind->info.width, du_band_line (band, y));
  if (!last->sub_x)
    return;
  for (int line = chroma_from; line < chroma_to; line++)
    for (int column = 0, width = component_width (&kind->info, last); column < width; column += PIECE / 2) {
      int piece = MIN (PIECE / 2, width - column);

      downsample (kind, last, band, line, column, piece, means);
      for (int i = 1; i < n; i++)
        correct (kind, i, matrix[i], in, out, line, column, piece, means);
    }
}

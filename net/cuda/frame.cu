/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.cuh"

#include "frame-kernels.h"

/* All that a thread needs to know of a frame. */
typedef struct
{
  DuLayout layout;
  DuColour colour;
  const DuFrame *frame; /* the device's memory */
  int width, height;
  bool centred_x, centred_y; /* chroma's siting */
} Frame;

static Frame
frame_new (const DuFrameKind *kind, const DuFrame *frame)
{
  return Frame{ *kind->layout, kind->colour, frame, kind->info.width, kind->info.height,
    kind->info.chroma_centred_x != 0, kind->info.chroma_centred_y != 0 };
}

/* ---- samples ----------------------------------------------------------------------------------------- */

__device__ static inline uint8_t *
sample_at (const Frame *frame, const DuComponent *component, int line, int column)
{
  return frame->frame->data[component->plane] + (ptrdiff_t) line * frame->frame->stride[component->plane]
         + component->offset + (ptrdiff_t) column * component->step;
}

/* All bits of memory. Lines may stand at odd addresses. */
__device__ static inline unsigned
load_sample (const uint8_t *at, int bytes)
{
  return bytes == 1 ? at[0] : at[0] | at[1] << 8;
}

__device__ static inline void
store_sample (uint8_t *at, int bytes, unsigned sample)
{
  at[0] = (uint8_t) sample;
  if (bytes == 2)
    at[1] = (uint8_t) (sample >> 8);
}

__device__ static inline float
sample_value (const Frame *frame, const DuComponent *component, int line, int column)
{
  const unsigned sample = load_sample (sample_at (frame, component, line, column), frame->layout.bytes);

  return (float) (int) (sample >> frame->layout.shift & ((1u << frame->layout.depth) - 1));
}

__device__ static inline int
clamped (int value, int highest)
{
  return value < 0 ? 0 : value > highest ? highest : value;
}

/* Chroma at the pixel (y, x), interpolated linearly. */
__device__ static inline float
chroma_value (const Frame *frame, const DuComponent *component, int y, int x)
{
  const int last_line = ((frame->height + component->sub_y) >> component->sub_y) - 1;
  const int last_column = ((frame->width + 1) >> 1) - 1;
  int lines[2] = { y, y }, columns[2];
  float share_y = 0, share_x, values[2];

  if (!component->sub_x)
    return sample_value (frame, component, y, x);
  if (component->sub_y)
    share_y = du_pixel_chroma_taps (y, frame->centred_y, &lines[0], &lines[1]);
  share_x = du_pixel_chroma_taps (x, frame->centred_x, &columns[0], &columns[1]);
  for (int i = 0; i < 2; i++) {
    const int column = clamped (columns[i], last_column);

    values[i] = sample_value (frame, component, lines[0], column);
    if (share_y > 0)
      values[i]
          += share_y * (sample_value (frame, component, clamped (lines[1], last_line), column) - values[i]);
  }
  return values[0] + share_x * (values[1] - values[0]);
}

/* What the network sees at the pixel (y, x) of the frame. */
__device__ static inline void
pixel_rgb (const Frame *frame, int y, int x, float *rgb)
{
  float samples[3] = {};

  samples[0] = sample_value (frame, &frame->layout.component[0], y, x);
  for (int i = 1; i < frame->layout.components; i++)
    samples[i] = chroma_value (frame, &frame->layout.component[i], y, x);
  du_pixel_to_rgb (&frame->colour, samples[0], samples[1], samples[2], rgb);
}

/* ---- gather -------------------------------------------------------------------------------------------- */

/* A block per line of a tile. */
__global__ void
gather (Frame frame, DuKernelTiles tiles, int first, float *pictures)
{
  const int tile = first + (int) (blockIdx.x / tiles.height), line = blockIdx.x % tiles.height;
  const int y = du_pixel_reflect (tiles.tops[tile / tiles.columns] + line, frame.height);
  const int left = tiles.lefts[tile % tiles.columns];
  float *to = pictures + (size_t) blockIdx.x * tiles.width * DU_PICTURE_CHANNELS;

  for (int x = threadIdx.x; x < tiles.width; x += blockDim.x) {
    float rgb[DU_PICTURE_CHANNELS];

    pixel_rgb (&frame, y, du_pixel_reflect (left + x, frame.width), rgb);
    for (int c = 0; c < DU_PICTURE_CHANNELS; c++)
      to[x * DU_PICTURE_CHANNELS + c] = rgb[c];
  }
}

void
du_kernel_gather (cudaStream_t stream, const DuFrameKind *kind, const DuKernelFrame *frame,
    const DuKernelTiles *tiles, int first, int n, float *pictures)
{
  DU_LAUNCH ((gather), (size_t) n * tiles->height, DU_THREADS, stream, frame_new (kind, &frame->in), *tiles,
      first, pictures);
}

/* ---- scatter ---------------------------------------------------------------------------------------------
 */

typedef struct
{
  DuKernelTiles tiles;
  const float *results;
  int ring;
} Results;

/* The blended correction at the pixel (y, x). What the network saw there is computed again: that costs less
 * than reading it for each tile. */
__device__ static inline void
correction (const Frame *frame, const Results *results, int y, int x, float *difference)
{
  const DuKernelTiles *tiles = &results->tiles;
  const DuTileShare line = tiles->lines[y], pixel = tiles->pixels[x];
  float before[DU_PICTURE_CHANNELS];

  pixel_rgb (frame, y, x, before);
  for (int c = 0; c < DU_PICTURE_CHANNELS; c++)
    difference[c] = 0;
  for (int j = 0; j < 2; j++)
    for (int i = 0; i < 2; i++) {
      const int tile = (line.tile + j) * tiles->columns + pixel.tile + i;
      const float weight = line.weight[j] * pixel.weight[i];

      if (!(weight > 0))
        continue;
      const size_t at
          = ((size_t) (tile % results->ring) * tiles->height + line.at[j]) * tiles->width + pixel.at[i];

      for (int c = 0; c < DU_PICTURE_CHANNELS; c++)
        difference[c]
            += weight * du_pixel_difference (before[c], results->results[at * DU_PICTURE_CHANNELS + c]);
    }
}

/* One sample of in, corrected, to out. */
__device__ static inline void
correct (const Frame *in, const Frame *out, int component_index, int line, int column, float strength,
    const float *difference)
{
  const DuComponent *component = &in->layout.component[component_index];
  const unsigned mask = (1u << in->layout.depth) - 1;
  const unsigned sample = load_sample (sample_at (in, component, line, column), in->layout.bytes);
  float matrix[3];
  unsigned corrected;

  for (int c = 0; c < 3; c++)
    matrix[c] = strength * in->colour.from_rgb[component_index][c];
  corrected = du_pixel_correct (
      (float) (int) (sample >> in->layout.shift & mask), matrix, difference, in->colour.maximum);
  /* Bits around the sample, which nobody should use, stay as they are. */
  store_sample (sample_at (out, component, line, column), in->layout.bytes,
      (sample & ~(mask << in->layout.shift)) | corrected << in->layout.shift);
}

/* Components at full resolution, and what stands between them. A block per line. */
__global__ void
scatter (Frame in, Frame out, Results results, int from, int line_bytes, const float *strength)
{
  const DuLayout *layout = &in.layout;
  const int y = from + (int) blockIdx.x, step = layout->component[0].step;
  /* In packed 4:2:2 of an odd width a luma sample more than the frame has pixels. */
  const int count = line_bytes / step;

  for (int x = threadIdx.x; x < count; x += blockDim.x) {
    const uint8_t *source = in.frame->data[0] + (ptrdiff_t) y * in.frame->stride[0] + (ptrdiff_t) x * step;
    uint8_t *target = out.frame->data[0] + (ptrdiff_t) y * out.frame->stride[0] + (ptrdiff_t) x * step;
    float difference[DU_PICTURE_CHANNELS];

    if (layout->rgb && step > 3 * layout->bytes) {
      for (int i = 0; i < step; i++)
        target[i] = source[i];
    } else if (x >= in.width) {
      target[layout->component[0].offset] = source[layout->component[0].offset];
      continue;
    }
    correction (&in, &results, y, x, difference);
    for (int i = 0; i < layout->components; i++)
      if (!layout->component[i].sub_x)
        correct (&in, &out, i, y, x, *strength, difference);
  }
}

/* Chroma at half resolution: the mean over the pixels that a sample stands for, which are 2 between which it
 * lies, or 3 weighing 1 2 1 on whose middle it is, in each direction. A block per line of samples. */
__global__ void
scatter_chroma (Frame in, Frame out, Results results, int from, const float *strength)
{
  const DuLayout *layout = &in.layout;
  const int sub_y = layout->component[1].sub_y, line = from + (int) blockIdx.x, y = line << sub_y;
  const int first_line = sub_y ? -1 : 0, last_line = sub_y ? 1 : 0, columns = (in.width + 1) >> 1;
  const float by_line[3] = { in.centred_y ? 0 : 0.25f, 0.5f, in.centred_y ? 0.5f : 0.25f };
  const float by_column[3] = { in.centred_x ? 0 : 0.25f, 0.5f, in.centred_x ? 0.5f : 0.25f };

  for (int column = threadIdx.x; column < columns; column += blockDim.x) {
    float mean[DU_PICTURE_CHANNELS] = {};

    for (int i = -1; i <= 1; i++) {
      const int x = clamped (2 * column + i, in.width - 1);
      float sums[DU_PICTURE_CHANNELS] = {};

      if (by_column[i + 1] == 0)
        continue;
      for (int j = first_line; j <= last_line; j++) {
        const float weight = sub_y ? by_line[j + 1] : 1;
        float difference[DU_PICTURE_CHANNELS];

        if (weight == 0)
          continue;
        correction (&in, &results, clamped (y + j, in.height - 1), x, difference);
        for (int c = 0; c < DU_PICTURE_CHANNELS; c++)
          sums[c] += weight * difference[c];
      }
      for (int c = 0; c < DU_PICTURE_CHANNELS; c++)
        mean[c] += by_column[i + 1] * sums[c];
    }
    for (int i = 1; i < layout->components; i++)
      correct (&in, &out, i, line, column, *strength, mean);
  }
}

void
du_kernel_scatter (cudaStream_t stream, const DuFrameKind *kind, const DuKernelFrame *frame,
    const DuKernelTiles *tiles, const float *results, int ring, int from, int to)
{
  const Frame source = frame_new (kind, &frame->in), target = frame_new (kind, &frame->out);
  const float *strength = &frame->strength;
  const Results all = { *tiles, results, ring };
  const DuComponent *last = &kind->layout->component[kind->layout->components - 1];
  const int chroma_from = (from + last->sub_y) >> last->sub_y, chroma_to = (to + last->sub_y) >> last->sub_y;

  if (to > from)
    DU_LAUNCH (
        (scatter), to - from, DU_THREADS, stream, source, target, all, from, kind->line_bytes[0], strength);
  if (last->sub_x && chroma_to > chroma_from)
    DU_LAUNCH ((scatter_chroma), chroma_to - chroma_from, DU_THREADS, stream, source, target, all,
        chroma_from, strength);
}

/* The gradient of weight [o][i][ky][kx] is the sum over n, y and x of
 *   destination[n][y][x][o] * source[n][y + ky - 1][x + kx - 1][i]:
 * for each tap a matrix product over all pixels. A thread takes a range of output channels and of lines;
 * packs a few lines at a time, so that they stay in its cache; and sums INPUTS x OUTPUTS weights of one tap
 * at a time in registers. In bf16 pairs of neighbouring pixels are multiplied and added by one instruction.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradient.h"

#include "cpu.h"

enum
{
  INPUTS = 8,   /* channels of the source in a block */
  OUTPUTS = 32, /* of the destination */
  BLOCK = INPUTS * OUTPUTS,
  TAPS_MAX = 9,
  LINES_MAX = 64,         /* packed at a time */
  PACKED_BYTES = 1 << 20, /* about the second level cache */
  PACKED_PIXELS = 512,    /* at least, so that sums are seldom stored */
  RUN_PIXELS = 256,       /* between two taps: a block of outputs stays in the first level cache */
};

/* How the work is cut. Sizes are in 4-byte words: a float, or in bf16 a pixel and the next one. */
typedef struct
{
  int taps, padding;
  int threads, line_threads, output_threads; /* threads = the product of the other two */
  int lines;                                 /* packed at a time */
  int input_blocks, output_blocks;           /* of all channels */
  int blocks_each;                           /* blocks of output channels of one thread */
  int source_pitch, destination_pitch;       /* words from line to line of one packed block */
  int steps;                                 /* multiplications a line */
  gsize source_panel, destination_panel, sums,
      total; /* words of a block, a block, a thread's sums, a thread */
} Plan;

static int
ceil_div (int a, int b)
{
  return (a + b - 1) / b;
}

static Plan
make_plan (const DuConvShape *s, int threads)
{
  const gboolean pairs = s->type == DU_TYPE_BF16;
  Plan p = { .taps = s->kernel * s->kernel, .padding = s->kernel / 2, .threads = threads };
  const int lines = s->n * s->height;
  gsize line_bytes;
  double best = 0;

  p.input_blocks = ceil_div (s->channels_in, INPUTS);
  p.output_blocks = ceil_div (s->channels_out, OUTPUTS);
  /* Threads share the output channels as far as they divide evenly: their sums need not be added. */
  for (int n = 1; n <= MIN (threads, p.output_blocks); n++) {
    double evenness = (double) p.output_blocks / (n * ceil_div (p.output_blocks, n));

    if (threads % n == 0 && evenness >= best - 1e-9) {
      best = evenness;
      p.output_threads = n;
    }
  }
  p.line_threads = threads / p.output_threads;
  p.blocks_each = ceil_div (p.output_blocks, p.output_threads);
  p.steps = pairs ? ceil_div (s->width, 2) : s->width;
  p.source_pitch = (p.steps * (pairs ? 2 : 1) + 2 * p.padding) * INPUTS;
  p.destination_pitch = p.steps * OUTPUTS;
  line_bytes = sizeof (float)
               * ((gsize) p.source_pitch * p.input_blocks + (gsize) p.destination_pitch * p.blocks_each);
  p.lines = MAX ((int) (PACKED_BYTES / line_bytes), ceil_div (PACKED_PIXELS, s->width));
  p.lines = CLAMP (p.lines, 1, MIN (LINES_MAX, ceil_div (lines, p.line_threads)));
  p.source_panel = (gsize) p.source_pitch * (p.lines + 2 * p.padding);
  p.destination_panel = (gsize) p.destination_pitch * p.lines;
  p.sums = (gsize) p.blocks_each * p.input_blocks * p.taps * BLOCK;
  p.total = p.source_panel * p.input_blocks + p.destination_panel * p.blocks_each + p.sums;
  return p;
}

gsize
du_gradient_scratch_size (const DuConvShape *shape, int threads)
{
  return make_plan (shape, threads).total * threads * sizeof (float);
}

#if defined __x86_64__

#include <immintrin.h>

#define AVX2 __attribute__ ((target ("avx2,fma")))
#define AVX512 __attribute__ ((target ("avx512f,avx512bw,avx512vl,avx512dq")))
#define AVX512_BF16 __attribute__ ((target ("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

gboolean
du_gradient_serves (const DuConvShape *shape)
{
  return shape->kind == DU_CONV_WEIGHTS && shape->channels_in % 8 == 0 && shape->channels_out % 8 == 0
         && du_library_instructions () >= (shape->type == DU_TYPE_BF16 ? DU_AVX512_BF16 : DU_AVX2)
         && __builtin_cpu_supports ("fma");
}

/* ---- packing ------------------------------------------------------------------------------------- */

/* Eight words: of a pixel at channels from, or in bf16 of it and the next pixel; NULL is a pixel of zeros. */
static inline AVX2 __m256i
eight_words (DuType type, const void *from, const void *next)
{
  __m256i low = _mm256_setzero_si256 (), high = low;

  if (type == DU_TYPE_F32)
    return from ? _mm256_loadu_si256 (from) : low;
  if (from)
    low = _mm256_cvtepu16_epi32 (_mm_loadu_si128 (from));
  if (next)
    high = _mm256_cvtepu16_epi32 (_mm_loadu_si128 (next));
  return _mm256_or_si256 (low, _mm256_slli_epi32 (high, 16));
}

/* Eight channels of one line: word n is of pixel first + n * stride, count words of eight, step apart. Pixels
 * outside the line are zeros. */
static inline AVX2 void
pack_channels (DuType type, const char *line, int width, gsize pixel_size, int first, int stride, int count,
    float *to, gsize step)
{
  for (int n = 0, x = first; n < count; n++, x += stride, to += step) {
    const char *from = line + x * (gssize) pixel_size;

    if (x >= 0 && x + 1 < width)
      _mm256_storeu_si256 ((__m256i *) to, eight_words (type, from, from + pixel_size));
    else
      _mm256_storeu_si256 ((__m256i *) to, eight_words (type, x >= 0 && x < width ? from : NULL,
                                               x + 1 >= 0 && x + 1 < width ? from + pixel_size : NULL));
  }
}

/* One line of the source: [block][pixel, with padding on both sides][INPUTS]. to: of the line in block 0. */
static AVX2 void
pack_source (const Plan *p, const DuConvShape *s, const char *line, float *to)
{
  const gsize size = s->type == DU_TYPE_BF16 ? sizeof (guint16) : sizeof (float);
  const int pixels = p->source_pitch / INPUTS;

  for (int block = 0; block < p->input_blocks; block++)
    if (s->type == DU_TYPE_BF16)
      pack_channels (DU_TYPE_BF16, line + block * INPUTS * size, s->width, s->channels_in * size, -p->padding,
          1, pixels, to + block * p->source_panel, INPUTS);
    else
      pack_channels (DU_TYPE_F32, line + block * INPUTS * size, s->width, s->channels_in * size, -p->padding,
          1, pixels, to + block * p->source_panel, INPUTS);
}

/* One line of the destination: [block][step][OUTPUTS], from the block first on. */
static AVX2 void
pack_destination (const Plan *p, const DuConvShape *s, const char *line, int first, float *to)
{
  const gsize size = s->type == DU_TYPE_BF16 ? sizeof (guint16) : sizeof (float);

  for (int block = 0; block < p->blocks_each && first + block < p->output_blocks; block++)
    for (int eight = 0; eight < OUTPUTS; eight += 8) {
      const int channel = (first + block) * OUTPUTS + eight;
      float *words = to + block * p->destination_panel + eight;

      if (channel >= s->channels_out)
        pack_channels (DU_TYPE_F32, line, 0, 0, 0, 1, p->steps, words, OUTPUTS);
      else if (s->type == DU_TYPE_BF16)
        pack_channels (DU_TYPE_BF16, line + channel * size, s->width, s->channels_out * size, 0, 2, p->steps,
            words, OUTPUTS);
      else
        pack_channels (DU_TYPE_F32, line + channel * size, s->width, s->channels_out * size, 0, 1, p->steps,
            words, OUTPUTS);
    }
}

/* ---- products ------------------------------------------------------------------------------------ */

/* Where a line of the destination and the line of the source that a tap reads for it begin. */
typedef struct
{
  gsize source, destination;
} Run;

typedef void (*Product) (const float *source, const float *destination, const Run *runs, int n_runs,
    int count, float *sums, gsize step, gboolean first);

#define EACH_4(X) X (0) X (1) X (2) X (3)
#define EACH_8(X) EACH_4 (X) X (4) X (5) X (6) X (7)

#define NAME product_avx2
#define TARGET AVX2
#define VECTOR __m256
#define LANES 8
#define OP(name) _mm256_##name##_ps
#define EACH EACH_4
#define INPUTS_EACH 4
#define ADD(sum, a, b) _mm256_fmadd_ps (a, b, sum)
#define SOURCE_STEP INPUTS
#include "gradient-product.h"

#define NAME product_avx512
#define TARGET AVX512
#define VECTOR __m512
#define LANES 16
#define OP(name) _mm512_##name##_ps
#define EACH EACH_8
#define INPUTS_EACH 8
#define ADD(sum, a, b) _mm512_fmadd_ps (a, b, sum)
#define SOURCE_STEP INPUTS
#include "gradient-product.h"

#define NAME product_bf16
#define TARGET AVX512_BF16
#define VECTOR __m512
#define LANES 16
#define OP(name) _mm512_##name##_ps
#define EACH EACH_8
#define INPUTS_EACH 8
#define ADD(sum, a, b) _mm512_dpbf16_ps (sum, (__m512bh) (a), (__m512bh) (b))
#define SOURCE_STEP (2 * INPUTS)
#include "gradient-product.h"

/* 8 x 8 floats, rows step and stride apart. */
static AVX2 void
transpose (const float *from, gsize step, float *to, gsize stride)
{
  __m256 r[8], s[8];

  for (int i = 0; i < 8; i++)
    r[i] = _mm256_loadu_ps (from + i * step);
  for (int i = 0; i < 8; i += 2) {
    s[i] = _mm256_unpacklo_ps (r[i], r[i + 1]);
    s[i + 1] = _mm256_unpackhi_ps (r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps (s[i], s[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps (s[i], s[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps (s[i + 1], s[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps (s[i + 1], s[i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps (to + i * stride, _mm256_permute2f128_ps (r[i], r[i + 4], 0x20));
    _mm256_storeu_ps (to + (i + 4) * stride, _mm256_permute2f128_ps (r[i], r[i + 4], 0x31));
  }
}

/* ---- a thread's part ------------------------------------------------------------------------------ */

typedef struct
{
  const Plan *plan;
  const DuConvShape *shape;
  const DuConvArguments *arguments;
  int first_block, n_blocks; /* of outputs */
  float *source, *destination, *sums;
  Run runs[3][LINES_MAX]; /* by ky; the lines whose tap falls into the picture */
  int n_runs[3];
} Part;

static void
part_init (Part *part, const Plan *p, const DuConvShape *s, const DuConvArguments *arguments, int thread,
    float *scratch)
{
  *part = (Part){ .plan = p, .shape = s, .arguments = arguments };
  part->first_block = thread % p->output_threads * p->blocks_each;
  part->n_blocks = CLAMP (p->output_blocks - part->first_block, 0, p->blocks_each);
  part->source = scratch + thread * p->total;
  part->destination = part->source + p->source_panel * p->input_blocks;
  part->sums = part->destination + p->destination_panel * p->blocks_each;
}

/* Packs lines first..first + count - 1 of all pictures' lines, and those that they read. */
static void
pack (Part *part, int first, int count)
{
  const Plan *p = part->plan;
  const DuConvShape *s = part->shape;
  const gsize size = s->type == DU_TYPE_BF16 ? sizeof (guint16) : sizeof (float);
  const gsize source_line = (gsize) s->width * s->channels_in * size;
  const gsize destination_line = (gsize) s->width * s->channels_out * size;
  const int before = first - p->padding;

  for (int line = MAX (before, 0); line < MIN (first + count + p->padding, s->n * s->height); line++)
    pack_source (p, s, (const char *) part->arguments->source + line * source_line,
        part->source + (gsize) (line - before) * p->source_pitch);
  for (int line = 0; line < count; line++)
    pack_destination (p, s, (const char *) part->arguments->destination + (first + line) * destination_line,
        part->first_block, part->destination + (gsize) line * p->destination_pitch);
}

/* The runs of lines first..first + count - 1 of those packed from packed on. */
static void
find_runs (Part *part, int packed, int first, int count)
{
  const Plan *p = part->plan;
  const int height = part->shape->height;

  for (int ky = 0; ky < part->shape->kernel; ky++) {
    part->n_runs[ky] = 0;
    for (int line = first; line < first + count; line++) {
      const int y = (packed + line) % height + ky - p->padding;

      if (y >= 0 && y < height)
        part->runs[ky][part->n_runs[ky]++]
            = (Run){ (gsize) (line + ky) * p->source_pitch, (gsize) line * p->destination_pitch };
    }
  }
}

/* Writes the gradient of a block of outputs and inputs from its sums. */
static void
write_block (const Part *part, int o, int i, const float *sums)
{
  const Plan *p = part->plan;
  const DuConvShape *s = part->shape;
  const int first = (part->first_block + o) * OUTPUTS, outputs = MIN (OUTPUTS, s->channels_out - first);
  float *to = part->arguments->weights + first * s->weights_stride + (gsize) i * INPUTS * p->taps;

  for (int row = 0; row < INPUTS * p->taps; row += 8)
    for (int output = 0; output < outputs; output += 8)
      transpose (sums + row * OUTPUTS + output, OUTPUTS, to + output * s->weights_stride + row,
          s->weights_stride);
}

/* The products of the packed lines, the first of which is line packed of all. first: nothing is in the sums
 * yet. last: and nothing will follow, so the gradient can be written. */
static void
multiply (Part *part, int packed, int lines, gboolean first, gboolean last)
{
  const Plan *p = part->plan;
  const int kernel = part->shape->kernel, width = part->shape->width;
  const Product product = part->shape->type == DU_TYPE_BF16         ? product_bf16
                          : du_library_instructions () >= DU_AVX512 ? product_avx512
                                                                    : product_avx2;
  const int each = lines * width <= PACKED_PIXELS ? lines : MAX (1, RUN_PIXELS / width);

  for (int line = 0; line < lines; line += each) {
    find_runs (part, packed, line, MIN (each, lines - line));
    for (int o = 0; o < part->n_blocks; o++)
      for (int i = 0; i < p->input_blocks; i++) {
        float *sums = part->sums + (gsize) (o * p->input_blocks + i) * p->taps * BLOCK;

        for (int tap = 0; tap < p->taps; tap++)
          product (part->source + i * p->source_panel + tap % kernel * INPUTS,
              part->destination + o * p->destination_panel, part->runs[tap / kernel],
              part->n_runs[tap / kernel], p->steps, sums + tap * OUTPUTS, (gsize) p->taps * OUTPUTS,
              first && line == 0);
        if (last && line + each >= lines)
          write_block (part, o, i, sums);
      }
  }
}

/* Adds what the threads of the same outputs have summed to the first one's, for its blocks of inputs from
 * first on in steps, and writes the gradient. */
static void
finish (Part *part, int first, int step)
{
  const Plan *p = part->plan;
  const gsize block = (gsize) p->taps * BLOCK, others = p->total * p->output_threads;

  for (int o = 0; o < part->n_blocks; o++)
    for (int i = first; i < p->input_blocks; i += step) {
      float *sums = part->sums + (o * p->input_blocks + i) * block;

      for (int thread = 1; thread < p->line_threads; thread++)
        for (gsize k = 0; k < block; k++)
          sums[k] += sums[thread * others + k];
      write_block (part, o, i, sums);
    }
}

void
du_gradient_run (const DuConvShape *shape, int threads, const DuConvArguments *arguments, void *scratch)
{
  const Plan plan = make_plan (shape, threads);
  const gint64 lines = (gint64) shape->n * shape->height;

#pragma omp parallel for schedule(static, 1) num_threads(threads)
  for (int thread = 0; thread < threads; thread++) {
    const int share = thread / plan.output_threads;
    const int begin = lines * share / plan.line_threads, end = lines * (share + 1) / plan.line_threads;
    Part part;

    part_init (&part, &plan, shape, arguments, thread, scratch);
    if (begin == end)
      memset (part.sums, 0, plan.sums * sizeof (float));
    for (int line = begin; line < end; line += plan.lines) {
      pack (&part, line, MIN (plan.lines, end - line));
      multiply (&part, line, MIN (plan.lines, end - line), line == begin,
          plan.line_threads == 1 && line + plan.lines >= end);
    }
  }
  if (plan.line_threads == 1)
    return;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
  for (int thread = 0; thread < threads; thread++) {
    Part part;

    part_init (&part, &plan, shape, arguments, thread % plan.output_threads, scratch);
    finish (&part, thread / plan.output_threads, plan.line_threads);
  }
}

#else

gboolean
du_gradient_serves (const DuConvShape *shape)
{
  (void) shape;
  return FALSE;
}

void
du_gradient_run (const DuConvShape *shape, int threads, const DuConvArguments *arguments, void *scratch)
{
  (void) shape;
  (void) threads;
  (void) arguments;
  (void) scratch;
}

#endif

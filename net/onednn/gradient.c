/* gradient[o][i][ky][kx] = sum over n, y, x of destination[n][y][x][o] * source[n][y + ky - 1][x + kx - 1][i]:
 * for each tap a matrix product over all pixels. A thread takes a range of output channels and of lines;
 * packs a few lines at a time, so that they stay in its cache; and sums INPUTS x OUTPUTS weights of one tap
 * at a time in registers. In bf16 pairs of neighbouring pixels are multiplied and added by one instruction.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradient.h"

#include "cpu.h"

enum
{
  INPUTS = 8,   /* channels of the source, of a block */
  OUTPUTS = 32, /* of the destination: two registers */
  BLOCK = INPUTS * OUTPUTS,
  TAPS_MAX = 9,
  LINES_MAX = 64,         /* packed at a time */
  PACKED_BYTES = 1 << 20, /* about the second level cache */
  PACKED_PIXELS = 512,    /* at least, so that sums are seldom stored */
  RUN_PIXELS = 256,       /* between two taps: a block of outputs stays in the first level cache */
};

/* How the work is cut. All sizes in 4-byte words: a float, or in bf16 the pair of a pixel and the next one. */
typedef struct
{
  int taps, padding;
  int threads, line_threads, output_threads; /* threads = the product of the other two */
  int lines;                                 /* packed at a time */
  int input_blocks, output_blocks;           /* of all channels */
  int blocks_each;                           /* blocks of output channels of one thread */
  int source_pitch, destination_pitch;       /* words from line to line of one packed block */
  int steps;                                 /* multiplications a line */
  gsize source_panel, destination_panel, sums, total; /* words of a block, a block, a thread's sums, a thread */
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

#define AVX512 __attribute__ ((target ("avx512f,avx512bw,avx512vl")))
#define AVX512_BF16 __attribute__ ((target ("avx512f,avx512bw,avx512vl,avx512bf16")))

gboolean
du_gradient_serves (const DuConvShape *shape)
{
  return shape->kind == DU_CONV_WEIGHTS && shape->channels_in % INPUTS == 0 && shape->channels_out % 16 == 0
         && __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512bw")
         && __builtin_cpu_supports ("avx512vl")
         && (shape->type == DU_TYPE_F32 || __builtin_cpu_supports ("avx512bf16"));
}

/* ---- packing -------------------------------------------------------------------------------------- */

/* The words of pixel and next, INPUTS of them; in bf16 NULL is a pixel of zeros. */
static inline AVX512 __m256i
input_pair (const guint16 *pixel, const guint16 *next)
{
  const __m256i low = pixel ? _mm256_cvtepu16_epi32 (_mm_loadu_si128 ((const __m128i *) pixel)) : _mm256_setzero_si256 ();
  const __m256i high = next ? _mm256_cvtepu16_epi32 (_mm_loadu_si128 ((const __m128i *) next)) : _mm256_setzero_si256 ();

  return _mm256_or_si256 (low, _mm256_slli_epi32 (high, 16));
}

static inline AVX512 __m512i
output_pair (const guint16 *pixel, const guint16 *next)
{
  const __m512i low = _mm512_cvtepu16_epi32 (_mm256_loadu_si256 ((const __m256i *) pixel));
  const __m512i high = next ? _mm512_cvtepu16_epi32 (_mm256_loadu_si256 ((const __m256i *) next)) : _mm512_setzero_si512 ();

  return _mm512_or_si512 (low, _mm512_slli_epi32 (high, 16));
}

/* The words of pixel x of a line, from channel first on; pixels outside the line are zeros. */
static inline AVX512 __m256i
source_words (const DuConvShape *s, const void *line, int first, int x)
{
  const gsize at = (gsize) x * s->channels_in + first;
  const gboolean inside = x >= 0 && x < s->width, next_inside = x + 1 >= 0 && x + 1 < s->width;

  if (s->type == DU_TYPE_F32)
    return inside ? _mm256_loadu_si256 ((const __m256i *) ((const float *) line + at)) : _mm256_setzero_si256 ();
  return input_pair (inside ? (const guint16 *) line + at : NULL,
      next_inside ? (const guint16 *) line + at + s->channels_in : NULL);
}

/* One line of the source: [block][pixel, with padding on both sides][INPUTS]. to: of the line in block 0. */
static AVX512 void
pack_source (const Plan *p, const DuConvShape *s, const void *line, float *to)
{
  const int pixels = p->source_pitch / INPUTS, channels = s->channels_in, inner = s->width - 1;

  for (int block = 0; block < p->input_blocks; block++) {
    float *words = to + block * p->source_panel;
    int at = 0;

    for (; at < p->padding; at++)
      _mm256_storeu_si256 ((__m256i *) (words + at * INPUTS), source_words (s, line, block * INPUTS, at - p->padding));
    if (s->type == DU_TYPE_BF16) {
      const guint16 *from = (const guint16 *) line + block * INPUTS;

      for (; at < p->padding + inner; at++, from += channels)
        _mm256_storeu_si256 ((__m256i *) (words + at * INPUTS), input_pair (from, from + channels));
    } else {
      const float *from = (const float *) line + block * INPUTS;

      for (; at < p->padding + inner; at++, from += channels)
        _mm256_storeu_ps (words + at * INPUTS, _mm256_loadu_ps (from));
    }
    for (; at < pixels; at++)
      _mm256_storeu_si256 ((__m256i *) (words + at * INPUTS), source_words (s, line, block * INPUTS, at - p->padding));
  }
}

/* One line of the destination: [block][step][OUTPUTS], from the block first on. */
static AVX512 void
pack_destination (const Plan *p, const DuConvShape *s, const void *line, int first, float *to)
{
  const int channels = s->channels_out;

  for (int block = 0; block < p->blocks_each && first + block < p->output_blocks; block++)
    for (int half = 0; half < 2; half++) {
      const int channel = (first + block) * OUTPUTS + half * 16;
      float *word = to + block * p->destination_panel + half * 16;

      for (int step = 0; step < p->steps; step++, word += OUTPUTS)
        if (channel >= channels) {
          _mm512_storeu_ps (word, _mm512_setzero_ps ());
        } else if (s->type == DU_TYPE_BF16) {
          const guint16 *from = (const guint16 *) line + (gsize) 2 * step * channels + channel;

          _mm512_storeu_si512 (word, output_pair (from, 2 * step + 1 < s->width ? from + channels : NULL));
        } else {
          _mm512_storeu_ps (word, _mm512_loadu_ps ((const float *) line + (gsize) step * channels + channel));
        }
    }
}

/* ---- products ------------------------------------------------------------------------------------- */

/* Where a line of the destination and the line of the source that a tap reads for it begin. */
typedef struct
{
  gsize source, destination;
} Run;

#define EACH(X) X (0) X (1) X (2) X (3) X (4) X (5) X (6) X (7)

#define DECLARE(i)                                                                                            \
  __m512 low##i = first ? _mm512_setzero_ps () : _mm512_loadu_ps (sums + i * step),                           \
         high##i = first ? _mm512_setzero_ps () : _mm512_loadu_ps (sums + i * step + 16);
#define MULTIPLY_F32(i)                                                                                       \
  {                                                                                                           \
    const __m512 value = _mm512_set1_ps (a[i]);                                                               \
    low##i = _mm512_fmadd_ps (value, b0, low##i);                                                             \
    high##i = _mm512_fmadd_ps (value, b1, high##i);                                                           \
  }
#define MULTIPLY_BF16(i)                                                                                      \
  {                                                                                                           \
    const __m512bh value = (__m512bh) _mm512_set1_ps (a[i]);                                                  \
    low##i = _mm512_dpbf16_ps (low##i, value, (__m512bh) b0);                                                 \
    high##i = _mm512_dpbf16_ps (high##i, value, (__m512bh) b1);                                               \
  }
#define STORE(i)                                                                                              \
  _mm512_storeu_ps (sums + i * step, low##i);                                                                 \
  _mm512_storeu_ps (sums + i * step + 16, high##i);

/* sums[i * step + o] (+)= sum over the runs of source[i] * destination[o] */
#define PRODUCT(name, TARGET, MULTIPLY, source_step)                                                          \
  static TARGET void name (const float *source, const float *destination, const Run *runs, int n_runs,        \
      int count, float *sums, gsize step, gboolean first)                                                     \
  {                                                                                                           \
    EACH (DECLARE)                                                                                            \
    for (int run = 0; run < n_runs; run++) {                                                                  \
      const float *a = source + runs[run].source, *b = destination + runs[run].destination;                   \
                                                                                                              \
      for (int x = 0; x < count; x++, a += source_step, b += OUTPUTS) {                                       \
        const __m512 b0 = _mm512_loadu_ps (b), b1 = _mm512_loadu_ps (b + 16);                                 \
                                                                                                              \
        EACH (MULTIPLY)                                                                                       \
      }                                                                                                       \
    }                                                                                                         \
    EACH (STORE)                                                                                              \
  }

PRODUCT (product_f32, AVX512, MULTIPLY_F32, INPUTS)
PRODUCT (product_bf16, AVX512_BF16, MULTIPLY_BF16, 2 * INPUTS)

/* 8 x 8 floats, rows step and stride apart. */
static AVX512 void
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
        part->runs[ky][part->n_runs[ky]++] = (Run){ (gsize) (line + ky) * p->source_pitch,
          (gsize) line * p->destination_pitch };
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
  const int each = lines * width <= PACKED_PIXELS ? lines : MAX (1, RUN_PIXELS / width);

  for (int line = 0; line < lines; line += each) {
    find_runs (part, packed, line, MIN (each, lines - line));
    for (int o = 0; o < part->n_blocks; o++)
      for (int i = 0; i < p->input_blocks; i++) {
        float *sums = part->sums + (gsize) (o * p->input_blocks + i) * p->taps * BLOCK;

        for (int tap = 0; tap < p->taps; tap++)
          (part->shape->type == DU_TYPE_BF16 ? product_bf16 : product_f32) (
              part->source + i * p->source_panel + tap % kernel * INPUTS,
              part->destination + o * p->destination_panel, part->runs[tap / kernel], part->n_runs[tap / kernel],
              p->steps, sums + tap * OUTPUTS, (gsize) p->taps * OUTPUTS, first && line == 0);
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

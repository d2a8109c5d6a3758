/* A tile of 4x4 outputs needs 6x6 inputs d and 3x3 weights g, and is
 *   A^T ((G g G^T) .* (B^T d B)) A,
 * so that the sums over channels are 36 matrix products, one for each pair of interpolation points, of
 * [tiles x inputs] by [inputs x outputs].
 *
 * The points are 0, +-5/8, +-3/2 and infinity: exact in binary, and with a third of the error of the usual 0,
 * +-1, +-2, as B. Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for
 * deep neural networks", ACM TOMS 46 (2020), explain.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "winograd.h"

#include "cpu.h"
#include "half.h"

#include <omp.h>
#include <stdlib.h>

enum
{
  OUTPUT_SIDE = 4,
  SIDE = 6,
  TAPS = 9,
  POINTS = SIDE * SIDE,
  GROUP = 4,      /* tiles are multiplied in multiples of this */
  MOST_ROWS = 12, /* the largest number of them that fills the registers, a multiple of the others */
  APART = 16,     /* floats between what would else meet in one set of a cache */
  /* Fewer pixels only read weights, four times as many as the library's, and in training write them. Measured
   * with AVX-512. */
  PIXELS_MIN = 256,
  PIXELS_MIN_CHANGING = 1024,
  CACHE_BYTES = 384 << 10, /* of a thread's chunk: the second level cache, without what else is in it */
  TOGETHER_BYTES = 8 << 20,
  TOGETHER_WEIGHTS = 200 * 200, /* times POINTS: from here on they are too many for each thread to read all */
};

/* The interpolation points and their squares. */
#define A 0.625f
#define B 1.5f
#define A2 (A * A)
#define B2 (B * B)

/* Where a tile's first output pixel is: its picture begins at line of all pictures' lines. */
typedef struct
{
  gsize line;
  int y, x;
} Place;

typedef struct
{
  const void *source, *skip;
} Input;

typedef struct
{
  void *to;
  const float *bias, *scale, *shift; /* NULL: none */
} Output;

typedef struct
{
  int lanes;
  void (*pack) (const DuWinograd *w, const void *weights, int first, int input);
  void (*gather) (
      const DuWinograd *w, const void *source, int channels, gsize first, gsize count, float *to);
  void (*product) (const DuWinograd *w, const float *from, const float *weights, gsize count, float *to);
  void (*scatter) (const DuWinograd *w, const float *from, gsize first, gsize count, const Output *output);
} Kernels;

struct _DuWinograd
{
  const Kernels *kernels;
  int threads, height, width;
  int inputs, outputs;                           /* channels that are summed, and that come out */
  int skip;                                      /* of the inputs, the last ones, of the second source */
  gsize weights_output_step, weights_input_step; /* floats of the user's weights */
  gboolean turned;                               /* by half a circle: the gradient of the source */
  gboolean bias, relu, affine;
  int down, across;  /* tiles of a picture */
  gsize tiles;       /* of all pictures */
  gboolean together; /* all threads work on one chunk, else each on its own */
  gsize chunk;       /* tiles at a time, a multiple of GROUP */
  gsize input_pitch, input_step, output_pitch,
      output_step; /* floats from tile to tile, from point to point */
  float *weights;  /* [POINTS][outputs / (2 lanes)][inputs][2 lanes] */
  void *zeros;           /* a pixel outside of the picture */
};

static inline Place
find_place (const DuWinograd *w, gsize tile)
{
  const gsize of_picture = (gsize) w->down * w->across, in = tile % of_picture;

  return (Place){ tile / of_picture * w->height, (int) (in / w->across) * OUTPUT_SIDE,
    (int) (in % w->across) * OUTPUT_SIDE };
}

#if defined __x86_64__

#include <immintrin.h>

#define AVX2 __attribute__ ((target ("avx2,fma")))
#define AVX512_BF16 __attribute__ ((target ("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define AVX512 __attribute__ ((target ("avx512f,avx512bw,avx512vl,avx512dq")))

#define EACH_4(X) X (0) X (1) X (2) X (3)
#define EACH_6(X) EACH_4 (X) X (4) X (5)
#define EACH_12(X) EACH_6 (X) X (6) X (7) X (8) X (9) X (10) X (11)

#define NAME(name) name##_avx2
#define TARGET AVX2
#define VECTOR __m256
#define LANES 8
#define OP(name) _mm256_##name##_ps
#define T float
#define VALUE(x) (x)
#define GET(from) _mm256_loadu_ps (from)
#define PUT(to, value) _mm256_storeu_ps (to, value)
#define EACH EACH_6
#define ROWS 6
#include "winograd-kernels.h"

#define NAME(name) name##_avx512
#define TARGET AVX512
#define VECTOR __m512
#define LANES 16
#define OP(name) _mm512_##name##_ps
#define T float
#define VALUE(x) (x)
#define GET(from) _mm512_loadu_ps (from)
#define PUT(to, value) _mm512_storeu_ps (to, value)
#define EACH EACH_12
#define ROWS 12
#include "winograd-kernels.h"

#define NAME(name) name##_bf16
#define TARGET AVX512_BF16
#define VECTOR __m512
#define LANES 16
#define OP(name) _mm512_##name##_ps
#define T guint16
#define VALUE(x) du_bf16_to_float (x)
#define GET(from)                                                                                            \
  _mm512_castsi512_ps (                                                                                      \
      _mm512_slli_epi32 (_mm512_cvtepu16_epi32 (_mm256_loadu_si256 ((const __m256i *) (from))), 16))
#define PUT(to, value) _mm256_storeu_si256 ((__m256i *) (to), (__m256i) _mm512_cvtneps_pbh (value))
#define EACH EACH_12
#define ROWS 12
#include "winograd-kernels.h"

static const Kernels *
find_kernels (DuType type)
{
  const DuInstructions instructions = du_library_instructions ();

  if (!__builtin_cpu_supports ("fma") || instructions < DU_AVX2)
    return NULL;
  /* In bf16 sums are of float32 all the same: four times fewer products, each half as fast. With AMX each is
   * eight times as fast, and the library wins. */
  if (type == DU_TYPE_BF16)
    return instructions == DU_AVX512_BF16 ? &kernels_bf16 : NULL;
  return instructions >= DU_AVX512 ? &kernels_avx512 : &kernels_avx2;
}

#else

static const Kernels *
find_kernels (DuType type)
{
  (void) type;
  return NULL;
}

#endif

static int
tiles_of (int side)
{
  return (side + OUTPUT_SIDE - 1) / OUTPUT_SIDE;
}

static gboolean
channels_serve (const Kernels *kernels, int channels)
{
  return channels >= 2 * kernels->lanes && channels % kernels->lanes == 0; /* fewer are all transforms */
}

gboolean
du_winograd_serves (const DuConvShape *shape)
{
  const Kernels *kernels = find_kernels (shape->type);
  const gboolean data = shape->kind == DU_CONV_DATA;
  const int outputs = data ? shape->channels_in : shape->channels_out;
  const gsize pixels = (gsize) shape->n * shape->height * shape->width;
  const gsize tiles = (gsize) shape->n * tiles_of (shape->height) * tiles_of (shape->width);

  if (!kernels || shape->kind == DU_CONV_WEIGHTS || shape->kernel != 3
      || shape->sum)
    return FALSE;
  if (outputs % (2 * kernels->lanes) || (shape->changing && shape->type == DU_TYPE_BF16)) /* no gain there */
    return FALSE;
  if (pixels < (shape->changing ? PIXELS_MIN_CHANGING : PIXELS_MIN)
      || 2 * pixels < tiles * OUTPUT_SIDE * OUTPUT_SIDE)
    return FALSE;
  return data ? channels_serve (kernels, shape->channels_out)
              : channels_serve (kernels, shape->channels_in)
                    && (!shape->channels_skip || channels_serve (kernels, shape->channels_skip));
}

static gsize
round_up (gsize value, gsize to)
{
  return (value + to - 1) / to * to;
}

DuWinograd *
du_winograd_new (const DuConvShape *shape, int threads, GError **error)
{
  DuWinograd *w = g_new0 (DuWinograd, 1);
  const gboolean data = shape->kind == DU_CONV_DATA;
  gsize bytes, chunks;

  w->kernels = find_kernels (shape->type);
  w->threads = threads;
  w->height = shape->height;
  w->width = shape->width;
  w->inputs = data ? shape->channels_out : shape->channels_in + shape->channels_skip;
  w->skip = data ? 0 : shape->channels_skip;
  w->outputs = data ? shape->channels_in : shape->channels_out;
  w->turned = data;
  w->weights_output_step = data ? TAPS : shape->weights_stride;
  w->weights_input_step = data ? shape->weights_stride : TAPS;
  w->bias = shape->bias;
  w->relu = shape->relu;
  w->affine = shape->affine;
  w->down = tiles_of (shape->height);
  w->across = tiles_of (shape->width);
  w->tiles = (gsize) shape->n * w->down * w->across;
  w->input_pitch = w->inputs + APART;
  w->output_pitch = w->outputs + APART;
  bytes = POINTS * (w->input_pitch + w->output_pitch) * sizeof (float);
  w->together = (gsize) w->inputs * w->outputs > TOGETHER_WEIGHTS;
  w->chunk = MAX ((w->together ? TOGETHER_BYTES : CACHE_BYTES) / bytes, MOST_ROWS);
  chunks = (w->tiles + w->chunk - 1) / w->chunk;
  if (!w->together)
    chunks = round_up (chunks, threads);
  w->chunk = round_up ((w->tiles + chunks - 1) / chunks, w->together ? GROUP : MOST_ROWS);
  w->input_step = w->chunk * w->input_pitch + APART;
  w->output_step = w->chunk * w->output_pitch + APART;
  w->weights
      = du_cpu_allocate ((gsize) POINTS * w->inputs * w->outputs, sizeof (float), "packed weights", error);
  w->zeros = w->weights ? du_cpu_allocate (w->inputs, sizeof (float), "a pixel", error) : NULL;
  if (w->zeros) {
    memset (w->zeros, 0, w->inputs * sizeof (float));
    return w;
  }
  du_winograd_free (w);
  return NULL;
}

void
du_winograd_free (DuWinograd *w)
{
  if (!w)
    return;
  free (w->weights);
  free (w->zeros);
  g_free (w);
}

static gsize
chunk_floats (const DuWinograd *w)
{
  return round_up (POINTS * (w->input_step + w->output_step), DU_CPU_ALIGNMENT / sizeof (float));
}

gsize
du_winograd_scratch_size (const DuWinograd *w)
{
  return chunk_floats (w) * (w->together ? 1 : w->threads) * sizeof (float);
}

void
du_winograd_pack (DuWinograd *w, const void *weights)
{
  const int panel = 2 * w->kernels->lanes;

#pragma omp parallel for collapse(2) schedule(static) num_threads(w->threads)
  for (int first = 0; first < w->outputs; first += panel)
    for (int input = 0; input < w->inputs; input++)
      w->kernels->pack (w, weights, first, input);
}

/* ---- run ------------------------------------------------------------------------------------- */

static void
gather (const DuWinograd *w, const Input *from, gsize first, gsize count, float *to)
{
  w->kernels->gather (w, from->source, w->inputs - w->skip, first, count, to);
  if (w->skip)
    w->kernels->gather (w, from->skip, w->skip, first, count, to + w->inputs - w->skip);
}

/* The products of one point and one panel of outputs. */
static void
multiply (const DuWinograd *w, int point, int panel, gsize tiles, const float *input, float *output)
{
  const gsize width = 2 * w->kernels->lanes;

  w->kernels->product (w, input + point * w->input_step,
      w->weights + (gsize) point * w->inputs * w->outputs + (gsize) panel * width * w->inputs, tiles,
      output + point * w->output_step + panel * width);
}

static void
run_together (const DuWinograd *w, const Input *from, const Output *to, float *input, float *output)
{
  const int panels = w->outputs / (2 * w->kernels->lanes);

#pragma omp parallel num_threads(w->threads)
  for (gsize first = 0; first < w->tiles; first += w->chunk) {
    const gsize count = MIN (w->chunk, w->tiles - first);

#pragma omp for schedule(static)
    for (gsize tile = 0; tile < count; tile++)
      gather (w, from, first + tile, 1, input + tile * w->input_pitch);
#pragma omp for schedule(static)
    for (int part = 0; part < POINTS * panels; part++)
      multiply (w, part / panels, part % panels, round_up (count, GROUP), input, output);
#pragma omp for schedule(static)
    for (gsize tile = 0; tile < count; tile++)
      w->kernels->scatter (w, output + tile * w->output_pitch, first + tile, 1, to);
  }
}

static void
run_alone (const DuWinograd *w, const Input *from, const Output *to, gsize first, float *input, float *output)
{
  const int panels = w->outputs / (2 * w->kernels->lanes);
  const gsize count = MIN (w->chunk, w->tiles - first);

  gather (w, from, first, count, input);
  for (int point = 0; point < POINTS; point++)
    for (int panel = 0; panel < panels; panel++)
      multiply (w, point, panel, round_up (count, GROUP), input, output);
  w->kernels->scatter (w, output, first, count, to);
}

void
du_winograd_run (const DuWinograd *w, const DuConvArguments *arguments, void *scratch)
{
  const Input from = { w->turned ? arguments->destination : arguments->source, arguments->skip };
  const Output to
      = { w->turned ? arguments->source : arguments->destination, w->bias ? arguments->bias : NULL,
          w->affine ? arguments->scale : NULL, w->affine ? arguments->shift : NULL };
  float *input = scratch;

  if (w->together) {
    run_together (w, &from, &to, input, input + POINTS * w->input_step);
    return;
  }
#pragma omp parallel for schedule(dynamic) num_threads(w->threads)
  for (gsize first = 0; first < w->tiles; first += w->chunk) {
    float *own = input + omp_get_thread_num () * chunk_floats (w);

    run_alone (w, &from, &to, first, own, own + POINTS * w->input_step);
  }
}

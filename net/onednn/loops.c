/* The loops of loops.h, for both types from one text.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loops.h"

#include "cpu.h"
#include "half.h"

#include <string.h>

/* Compiled for several instruction sets, of which the machine's best is taken when the program is loaded. For
 * static functions without an OpenMP region: its body would be outlined for the base instruction set. */
#ifdef DU_HAVE_TARGET_CLONES
#define SIMD __attribute__ ((target_clones ("arch=x86-64-v4", "avx2", "default")))
#else
#define SIMD
#endif

/* Values of a chunk: of the first level cache's order, whatever the channels. */
#define CHUNK 8192

static gsize
chunk_pixels (const DuExtent *e)
{
  return MAX (1, CHUNK / e->channels);
}

static gsize
n_pixels (const DuExtent *e)
{
  return e->rows * e->width;
}

static gsize
n_chunks (const DuExtent *e)
{
  return (n_pixels (e) + chunk_pixels (e) - 1) / chunk_pixels (e);
}

gsize
du_loops_partials (const DuExtent *e)
{
  return n_chunks (e) * MAX (2 * e->channels, 3 * e->channels + 3);
}

/* sums[i] = sum over chunks of partials[chunk * step + i] */
static void
sum_partials (const DuExtent *e, const float *partials, gsize step, gsize count, float *sums)
{
  const gsize chunks = n_chunks (e);

#pragma omp parallel for num_threads(e->threads) if (chunks * count > CHUNK)
  for (gsize i = 0; i < count; i++) {
    double sum = 0;

    for (gsize chunk = 0; chunk < chunks; chunk++)
      sum += partials[chunk * step + i];
    sums[i] = (float) sum;
  }
}

/* Runs the body over the chunks of the extent e: first pixel, number of pixels, index. */
#define FOR_CHUNKS(at, count, chunk)                                                                         \
  _Pragma ("omp parallel for schedule(static) num_threads(e->threads) if (n_chunks (e) > 1)") for (          \
      gsize chunk = 0; chunk < n_chunks (e);                                                                 \
      chunk++) for (gsize at = chunk * chunk_pixels (e), count = MIN (chunk_pixels (e), n_pixels (e) - at),  \
                    once = 1;                                                                                \
                    once; once = 0)

/* Pixels are too small for calls of memcpy(). */
static inline void
copy_pixel (char *to, const char *from, gsize size)
{
  const gsize unit = 16;

  for (; size >= unit; size -= unit, to += unit, from += unit)
    memcpy (to, from, unit);
  for (; size; size--)
    *to++ = *from++;
}

/* ---- the head's arithmetic ---------------------------------------------------------------------- */

#define LANES DU_HEAD_LANES
typedef float Vector
    __attribute__ ((vector_size (LANES * sizeof (float)), aligned (sizeof (float)), may_alias));
typedef guint32 Words __attribute__ ((vector_size (LANES * sizeof (guint32))));
typedef guint16 Halves
    __attribute__ ((vector_size (LANES * sizeof (guint16)), aligned (sizeof (guint16)), may_alias));

typedef float HalfVector
    __attribute__ ((vector_size (LANES / 2 * sizeof (float)), aligned (sizeof (float)), may_alias));
typedef guint32 HalfWords __attribute__ ((vector_size (LANES / 2 * sizeof (guint32))));
typedef guint16 HalfHalves
    __attribute__ ((vector_size (LANES / 2 * sizeof (guint16)), aligned (sizeof (guint16)), may_alias));

/* With zeros. */
#define EXTEND(half)                                                                                         \
  __builtin_shufflevector (half, (HalfVector){ 0 }, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

/* Lane i of sums is the sum of the lanes of vectors[i]; sums may be one of them. */
static inline void
add_lanes (const Vector *vectors, Vector *sums)
{
  Vector v[LANES];

  memcpy (v, vectors, sizeof v);
  for (int k = 0; k < 8; k++)
    v[k] = __builtin_shufflevector (v[k], v[k + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
           + __builtin_shufflevector (v[k], v[k + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29,
               30, 31);
  for (int k = 0; k < 4; k++)
    v[k] = __builtin_shufflevector (v[k], v[k + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
           + __builtin_shufflevector (v[k], v[k + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30,
               31);
  for (int k = 0; k < 2; k++)
    v[k] = __builtin_shufflevector (v[k], v[k + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
           + __builtin_shufflevector (v[k], v[k + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30,
               31);
  *sums = __builtin_shufflevector (v[0], v[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
          + __builtin_shufflevector (v[0], v[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

/* 1 / (1 + exp (-x)), within 3e-7 of it; NaN stays NaN. exp (-x) = 2^t = 2^n * 2^f with |f| <= 1/2, the
 * latter by its Taylor series. */
static SIMD void
apply_sigmoid (float *values, gsize count)
{
  const DuFloatBits round
      = { .value = 0x1.8p23f }; /* adding it leaves the nearest integer in the last bits */

  for (gsize i = 0; i < count; i++) {
    float t = values[i] * -1.44269504f, f, power;
    DuFloatBits n, scale;

    t = t < -126 ? -126 : t > 128 ? 128 : t; /* 2^128 is infinity, the sigmoid then 0 */
    n.value = t + round.value;
    f = (t - (n.value - round.value)) * 0.693147181f;
    power = 1 + f * (1 + f * (1 / 2.f + f * (1 / 6.f + f * (1 / 24.f + f * (1 / 120.f + f * (1 / 720.f))))));
    scale.bits = (n.bits - round.bits + 127) << 23;
    values[i] = 1 / (1 + power * scale.value);
  }
}

static SIMD void
add_picture (const float *restrict picture, float *restrict values, gsize count)
{
  for (gsize i = 0; i < count; i++)
    values[i] += picture[i];
}

#define T float
#define LOAD(x) (x)
#define ROUND(x) (x)
#define WIDEN(from) (*(const Vector *) (from))
#define WIDEN_HALF(from) (*(const HalfVector *) (from))
#define NAME(name) name##_f32
#include "loops-typed.h"
#undef T
#undef LOAD
#undef ROUND
#undef WIDEN
#undef WIDEN_HALF
#undef NAME

#define T guint16
#define LOAD(x) du_bf16_to_float (x)
#define ROUND(x) du_bf16_from_float (x)
#define WIDEN(from) ((Vector) (__builtin_convertvector(*(const Halves *) (from), Words) << 16))
#define WIDEN_HALF(from)                                                                                     \
  ((HalfVector) (__builtin_convertvector(*(const HalfHalves *) (from), HalfWords) << 16))
#define NAME(name) name##_bf16
#include "loops-typed.h"

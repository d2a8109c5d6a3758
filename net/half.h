/* float32 <-> binary16 and bfloat16, as bit patterns; rounding to nearest, ties to even (IEEE 754, 4.3.1).
 * Beyond the largest finite value the result is an infinity, NaN stays NaN, denormals are kept.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_HALF_H
#define DU_HALF_H

#include <glib.h>

typedef union
{
  float value;
  guint32 bits;
} DuFloatBits;

static inline guint16
du_f16_from_float (float value)
{
  DuFloatBits x = { .value = value };
  guint16 sign = x.bits >> 16 & 0x8000;

  x.bits &= 0x7fffffff;
  if (x.bits > 0x7f800000)
    return sign | 0x7e00;
  if (x.bits >= 0x477ff000) /* 65520, halfway between the largest finite value and 2^16 */
    return sign | 0x7c00;
  if (x.bits < 0x38800000) { /* below 2^-14: a multiple of 2^-24, which is the last place of 0.5f */
    x.value += 0.5f;
    return sign | (x.bits - 0x3f000000);
  }
  x.bits += 0xfff + (x.bits >> 13 & 1);
  return sign | (x.bits - 0x38000000) >> 13;
}

static inline float
du_f16_to_float (guint16 half)
{
  DuFloatBits x;
  guint32 exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;

  if (exponent == 0)
    x.value = fraction * 0x1p-24f;
  else
    x.bits = (exponent == 0x1f ? 0x7f800000 : (exponent + 112) << 23) | fraction << 13;
  x.bits |= (guint32) (half & 0x8000) << 16;
  return x.value;
}

static inline guint16
du_bf16_from_float (float value)
{
  DuFloatBits x = { .value = value };

  if ((x.bits & 0x7fffffff) > 0x7f800000)
    return x.bits >> 16 | 0x40;
  return (x.bits + 0x7fff + (x.bits >> 16 & 1)) >> 16;
}

static inline float
du_bf16_to_float (guint16 half)
{
  return (DuFloatBits){ .bits = (guint32) half << 16 }.value;
}

#endif

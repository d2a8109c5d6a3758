/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "array.h"

#include "half.h"

#include <math.h>
#include <string.h>

enum
{
  CANARIES
  = 16, /* elements on both sides: 32 bytes at least, so that the array is as aligned as the memory */
  CANARY = 0x5a,
};

gsize
array_element (DuType type)
{
  return type == DU_TYPE_F32 ? sizeof (float) : sizeof (guint16);
}

static guint16
to_half (DuType type, float value)
{
  return type == DU_TYPE_F16 ? du_f16_from_float (value) : du_bf16_from_float (value);
}

static float
from_half (DuType type, guint16 value)
{
  return type == DU_TYPE_F16 ? du_f16_to_float (value) : du_bf16_to_float (value);
}

float
array_rounded (DuType type, float value)
{
  return type == DU_TYPE_F32 ? value : from_half (type, to_half (type, value));
}

static gsize
size_of (const Array *array, int shift)
{
  return (array->count + 2 * CANARIES + shift) * array_element (array->type);
}

void
array_init (Array *array, DuType type, const float *values, gsize count, int shift)
{
  gsize element = array_element (type), size;
  guint8 *host;

  *array = (Array){ .type = type, .count = count };
  size = size_of (array, shift);
  host = g_malloc (size);
  memset (host, CANARY, size);
  for (gsize i = 0; i < count; i++) {
    guint8 *to = host + (CANARIES + shift + i) * element;
    float value = values ? values[i] : NAN;
    guint16 half = to_half (type, value);

    if (type == DU_TYPE_F32)
      memcpy (to, &value, sizeof value);
    else
      memcpy (to, &half, sizeof half);
  }
  array->memory = device_new (size);
  array->at = (guint8 *) array->memory + (CANARIES + shift) * element;
  device_write (array->memory, host, size);
  g_free (host);
}

float *
array_read (const Array *array)
{
  gsize element = array_element (array->type);
  gsize front = (guint8 *) array->at - (guint8 *) array->memory,
        size = front + (array->count + CANARIES) * element;
  g_autofree guint8 *host = g_malloc (size);
  float *values = g_new (float, array->count);

  device_read (host, array->memory, size);
  for (gsize i = 0; i < size; i++)
    if ((i < front || i >= front + array->count * element) && host[i] != CANARY)
      g_error ("byte %" G_GSSIZE_FORMAT " of an array of %" G_GSIZE_FORMAT " bytes is written",
          (gssize) (i - front), array->count * element);
  for (gsize i = 0; i < array->count; i++) {
    const guint8 *from = host + front + i * element;
    guint16 half;

    if (array->type == DU_TYPE_F32) {
      memcpy (&values[i], from, sizeof *values);
    } else {
      memcpy (&half, from, sizeof half);
      values[i] = from_half (array->type, half);
    }
  }
  return values;
}

void
array_clear (Array *array)
{
  device_free (array->memory);
}

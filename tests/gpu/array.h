/* Arrays of a kernel's arguments on the device, filled and read as floats, between canaries.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_ARRAY_H
#define DU_TESTS_ARRAY_H

#include "device-memory.h"
#include "unet.h"

#include "backend.h"

typedef struct
{
  DuType type;
  gsize count;
  void *memory;
  void *at; /* of the first element, on the device */
} Array;

/* values are rounded to the type; NULL: NaN, so that what is not overwritten shows. shift: elements that the
 * array is off the alignment of memory. */
void array_init (Array *array, DuType type, const float *values, gsize count, int shift);
/* count floats, g_free. Aborts the test where a canary is gone. */
float *array_read (const Array *array);
void array_clear (Array *array);

/* As float32 would be after a visit to the type. */
float array_rounded (DuType type, float value);
gsize array_element (DuType type);

#endif

/* One operation with its data, run on any back end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TEST_BACKEND_CASE_H
#define DU_TEST_BACKEND_CASE_H

#include "backend.h"

typedef enum
{
  /* Small multiples of powers of two: sums are exact in float32, factors are exact in bf16, and no value
   * before a ReLU is nearer to zero than a sixteenth, so every back end has the same ReLU and pool masks. */
  FILL_LATTICE,
  FILL_RANDOM, /* uniform in [-1, 1]: conv gradients cannot be compared, a mask may tip by rounding */
  FILL_ZERO,
  FILL_CONSTANT,
  FILL_LARGE, /* lattice times 4096 */
  FILL_DENORMAL,
  N_FILLS,
} Fill;

typedef struct
{
  DuOpShape shape;
  Fill fill;
  gboolean accumulate;               /* into the sources' gradients, where something stands already */
  gboolean without_input, without_skip; /* gradients that are not wanted */
} BackendCase;

/* Arrays of a case on the host. Counts are 0 where the row has no such array. */
typedef enum
{
  GIVEN_INPUT,
  GIVEN_SKIP,
  GIVEN_BLOCK,
  GIVEN_GRADIENT,     /* of the output */
  GIVEN_START_INPUT,  /* stands in the gradient buffers before the backward */
  GIVEN_START_SKIP,
  RESULT_OUTPUT,
  RESULT_STATISTICS,
  RESULT_GRADIENT_INPUT,
  RESULT_GRADIENT_SKIP,
  RESULT_GRADIENT_BLOCK, /* see case_tensor() */
  N_ARRAYS,
} CaseArray;

typedef struct
{
  const BackendCase *test;
  DuRowOffsets at;
  float *values[N_ARRAYS];
  gsize count[N_ARRAYS];
} CaseData;

extern const char *const case_array_names[N_ARRAYS];

/* "conv training 3x17x31 8+16->33 bn fill 2", g_free */
char *case_describe (const BackendCase *test);
/* Makes the given arrays from a seed; activations are rounded to type, the results' arrays are empty. */
void case_data_init (CaseData *data, const BackendCase *test, DuType type, guint64 seed);
void case_data_clear (CaseData *data);
/* Where a row's trainable tensors stand in the blocks: 0 weight, 1 bias, 2 BN scale, 3 BN shift; FALSE where
 * the row has it not. */
gboolean case_tensor (const CaseData *data, int tensor, gsize *at, gsize *count);
/* Fills the results. Aborts the test where anything else is written, other parameters that were loaded before
 * remain, or a second pass gives other bits. */
void case_run (CaseData *data, const DuBackend *backend, DuContext *context, DuType type);
/* The same without the checks, by the reference in float32. */
void case_run_reference (CaseData *data, DuContext *context);

/* Uniform in [0, 1), the same everywhere. */
double case_random (guint64 *state);

#endif

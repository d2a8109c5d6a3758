/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sums.cuh"

/* to or, where that is not NULL, sums: [ceil (rows / DU_RADIX), columns]. */
__global__ void
sum_rows (const double *from, unsigned rows, unsigned columns, double *to, float *sums)
{
  const unsigned groups = (rows + DU_RADIX - 1) / DU_RADIX;

  for (size_t i = DU_THREAD; i < (size_t) groups * columns; i += DU_ALL_THREADS) {
    const unsigned column = (unsigned) (i % columns), first = (unsigned) (i / columns) * DU_RADIX;
    const unsigned end = first + DU_RADIX < rows ? first + DU_RADIX : rows;
    double sum = 0;

    for (unsigned row = first; row < end; row++)
      sum += from[(size_t) row * columns + column];
    if (sums)
      sums[i] = (float) sum;
    else
      to[i] = sum;
  }
}

const double *
du_sum_rows (cudaStream_t stream, double *partials, unsigned rows, unsigned columns, float *sums)
{
  while (rows > 1 || sums) {
    const unsigned groups = (rows + DU_RADIX - 1) / DU_RADIX;
    float *last = groups == 1 ? sums : NULL;
    double *to = partials + (size_t) rows * columns;

    DU_LAUNCH ((sum_rows), du_blocks ((size_t) groups * columns), DU_THREADS, stream, partials, rows, columns,
        to, last);
    if (last)
      return NULL;
    partials = to;
    rows = groups;
  }
  return partials;
}

size_t
du_sum_rows_scratch (size_t rows, size_t columns)
{
  size_t all = rows;

  while (rows > 1) {
    rows = (rows + DU_RADIX - 1) / DU_RADIX;
    all += rows;
  }
  return all * columns;
}

gsize
du_kernel_scratch (const DuKernelExtent *e)
{
  /* The head's backward has the most columns: three and a bias for each channel. */
  return sizeof (double)
         * du_sum_rows_scratch (du_chunks (e).n, DU_PICTURE_CHANNELS * ((size_t) e->channels + 1));
}

/* Sums over all pixels for each channel, in stages: each thread of the kernel at hand sums a chunk of the
 * pixels into a row of partials, then rows are added up, DU_RADIX at a time, until one is left. The order
 * depends on the shape alone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_SUMS_CUH
#define DU_CUDA_SUMS_CUH

#include "device.cuh"

typedef struct
{
  size_t pixels;
  unsigned each; /* pixels of a chunk, but for the last one */
  unsigned n;    /* chunks */
} DuChunks;

enum
{
  DU_CHUNK_MIN = 64,        /* pixels: less would make the partials themselves a load */
  DU_CHUNKED_MAX = 1 << 20, /* chunks times channels, about: threads enough for any GPU */
  DU_RADIX = 128,           /* rows that are added up at a time */
};

static inline DuChunks
du_chunks (const DuKernelExtent *e)
{
  const size_t pixels = e->rows * e->width;
  const size_t each = pixels * e->channels / DU_CHUNKED_MAX;
  DuChunks chunks = { pixels, each < DU_CHUNK_MIN ? (unsigned) DU_CHUNK_MIN : (unsigned) each, 0 };

  chunks.n = (unsigned) ((pixels + chunks.each - 1) / chunks.each);
  return chunks;
}

/* What a thread does of them. Neighbouring threads have neighbouring lanes: parts of one chunk's channels. */
typedef struct
{
  unsigned index, lane;
  size_t first, end; /* pixels */
} DuChunk;

__device__ static inline DuChunk
du_chunk (DuChunks chunks, unsigned lanes, size_t job)
{
  const unsigned index = (unsigned) (job / lanes), lane = (unsigned) (job % lanes);
  const size_t first = (size_t) index * chunks.each, end = first + chunks.each;

  return DuChunk{ index, lane, first, end < chunks.pixels ? end : chunks.pixels };
}

#define DU_FOR_CHUNKS(job, chunks, lanes) \
  for (size_t job = DU_THREAD; job < (size_t) (chunks).n * (lanes); job += DU_ALL_THREADS)

/* Adds up partials [rows, columns]. Returns the sums, which stand behind the partials, or for a single row
 * are these; where sums is not NULL they go there instead, in float32. */
const double *du_sum_rows (
    cudaStream_t stream, double *partials, unsigned rows, unsigned columns, float *sums);
/* Doubles of memory that this wants, partials included. */
size_t du_sum_rows_scratch (size_t rows, size_t columns);

#endif

/* What the CPU back ends share: buffers in host memory, and the slots of the contract that are plain loops
 * over float32. They go into a back end's table as they are, so that back end's context must begin with a
 * DuCpuContext.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CPU_H
#define DU_CPU_H

#include "backend.h"

typedef struct
{
  int threads; /* of every parallel loop, at least 1 */
  double results[DU_RESULTS]; /* of loss and norm */
} DuCpuContext;

struct _DuBuffer
{
  DuType type;
  gsize count; /* elements */
  void *data;  /* aligned to DU_CPU_ALIGNMENT */
};

enum
{
  DU_CPU_ALIGNMENT = 64, /* bytes: a cache line, an AVX-512 register */
};

static inline float *
du_cpu_f32 (const DuBuffer *buffer)
{
  return buffer->data;
}

/* Bytes aligned to DU_CPU_ALIGNMENT, free() gives them back; NULL with DU_ERROR_MEMORY. what: for the
 * message, "a buffer". */
void *du_cpu_allocate (gsize count, gsize size, const char *what, GError **error);

/* Slots, as backend.h says. Types F32 and BF16; norm, adam, blend and loss take F32 buffers. Sums are taken
 * over chunks of fixed size, so results do not depend on the number of threads. */
DuBuffer *du_cpu_buffer_new (DuContext *context, DuType type, gsize count, GError **error);
void du_cpu_buffer_free (DuContext *context, DuBuffer *buffer);
gboolean du_cpu_upload (DuContext *context, DuBuffer *buffer, gsize at, const float *values, gsize count,
    GError **error);
gboolean du_cpu_download (DuContext *context, const DuBuffer *buffer, gsize at, float *values, gsize count,
    GError **error);
gboolean du_cpu_loss (DuContext *context, DuLoss loss, double epsilon, int n, int height, int width,
    const DuBuffer *prediction, const DuBuffer *target, DuBuffer *gradient, guint result, GError **error);
gboolean du_cpu_norm (DuContext *context, const DuBuffer *values, gsize count, guint result, GError **error);
gboolean du_cpu_results (DuContext *context, double *values, guint count, GError **error);
gboolean du_cpu_adam (DuContext *context, const DuAdam *adam, gsize count, DuBuffer *parameters,
    const DuBuffer *gradient, DuBuffer *moment1, DuBuffer *moment2, GError **error);
gboolean du_cpu_blend (DuContext *context, double decay, DuBuffer *to, gsize at, const DuBuffer *from,
    gsize from_at, gsize count, GError **error);
DuPictures *du_cpu_pictures_new (DuContext *context, const DuPictureSet *set, GError **error);
void du_cpu_pictures_free (DuContext *context, DuPictures *pictures);
gboolean du_cpu_pictures_draw (DuContext *context, DuPictures *pictures, int n, int height, int width,
    const DuDraw *draws, DuBuffer *input, DuBuffer *target, GError **error);

#endif

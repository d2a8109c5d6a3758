/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"

#include "half.h"
#include "loss.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Floats a thread takes at a time, and the least that is worth waking a second thread. */
#define CHUNK ((gsize) 1 << 15)

static int
threads_of (const DuContext *context)
{
  return ((const DuCpuContext *) context)->threads;
}

void *
du_cpu_allocate (gsize count, gsize size, const char *what, GError **error)
{
  void *data = NULL;
  gsize bytes;

  if (!g_size_checked_mul (&bytes, count, size)
      || posix_memalign (&data, DU_CPU_ALIGNMENT, MAX (bytes, DU_CPU_ALIGNMENT))) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY,
        "not enough memory for %s of %" G_GSIZE_FORMAT " x %" G_GSIZE_FORMAT
        " bytes: use smaller pictures, a smaller batch or a smaller network",
        what, count, size);
    return NULL;
  }
  return data;
}

DuBuffer *
du_cpu_buffer_new (DuContext *context, DuType type, gsize count, GError **error)
{
  DuBuffer *buffer;
  void *data;

  (void) context;
  if (type != DU_TYPE_F32 && type != DU_TYPE_BF16) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "precision %s is not available on the CPU: use f32 or bf16", type == DU_TYPE_F16 ? "f16" : "unknown");
    return NULL;
  }
  data = du_cpu_allocate (count, type == DU_TYPE_F32 ? sizeof (float) : sizeof (guint16), "a buffer", error);
  if (!data)
    return NULL;
  buffer = g_new (DuBuffer, 1);
  *buffer = (DuBuffer){ type, count, data };
  return buffer;
}

void
du_cpu_buffer_free (DuContext *context, DuBuffer *buffer)
{
  (void) context;
  if (!buffer)
    return;
  free (buffer->data);
  g_free (buffer);
}

gboolean
du_cpu_upload (DuContext *context, DuBuffer *buffer, gsize at, const float *values, gsize count,
    GError **error)
{
  (void) error;
  if (buffer->type == DU_TYPE_F32) {
    memcpy (du_cpu_f32 (buffer) + at, values, count * sizeof *values);
  } else {
    guint16 *to = (guint16 *) buffer->data + at;

#pragma omp parallel for simd num_threads(threads_of (context)) if (count > CHUNK)
    for (gsize i = 0; i < count; i++)
      to[i] = du_bf16_from_float (values[i]);
  }
  return TRUE;
}

gboolean
du_cpu_download (DuContext *context, const DuBuffer *buffer, gsize at, float *values, gsize count,
    GError **error)
{
  (void) error;
  if (buffer->type == DU_TYPE_F32) {
    memcpy (values, du_cpu_f32 (buffer) + at, count * sizeof *values);
  } else {
    const guint16 *from = (const guint16 *) buffer->data + at;

#pragma omp parallel for simd num_threads(threads_of (context)) if (count > CHUNK)
    for (gsize i = 0; i < count; i++)
      values[i] = du_bf16_to_float (from[i]);
  }
  return TRUE;
}

gboolean
du_cpu_loss (DuContext *context, DuLoss loss, double epsilon, int n, int height, int width,
    const DuBuffer *prediction, const DuBuffer *target, DuBuffer *gradient, guint result, GError **error)
{
  return du_loss_compute (threads_of (context), loss, epsilon, n, height, width, DU_PICTURE_CHANNELS,
      du_cpu_f32 (prediction), du_cpu_f32 (target), du_cpu_f32 (gradient),
      &((DuCpuContext *) context)->results[result], error);
}

gboolean
du_cpu_norm (DuContext *context, const DuBuffer *values, gsize count, guint result, GError **error)
{
  const float *x = du_cpu_f32 (values);
  gsize chunks = (count + CHUNK - 1) / CHUNK;
  g_autofree double *sums = g_new (double, chunks);
  double total = 0;

  (void) error;
#pragma omp parallel for num_threads(threads_of (context)) if (chunks > 1)
  for (gsize chunk = 0; chunk < chunks; chunk++) {
    gsize end = MIN (count, (chunk + 1) * CHUNK);
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (gsize i = chunk * CHUNK; i < end; i++)
      sum += (double) x[i] * x[i];
    sums[chunk] = sum;
  }
  for (gsize chunk = 0; chunk < chunks; chunk++)
    total += sums[chunk];
  ((DuCpuContext *) context)->results[result] = sqrt (total);
  return TRUE;
}

gboolean
du_cpu_results (DuContext *context, double *values, guint count, GError **error)
{
  (void) error;
  memcpy (values, ((const DuCpuContext *) context)->results, count * sizeof *values);
  return TRUE;
}

/* The moments of a parameter whose gradient stays zero decay into denormals and stick there, where every
 * operation takes a hundred cycles. Bits, because a comparison would keep the loop from being vectorised. */
static inline float
without_denormals (float x)
{
  guint32 bits;

  memcpy (&bits, &x, sizeof bits);
  bits &= -(guint32) ((bits & 0x7f800000) != 0);
  memcpy (&x, &bits, sizeof x);
  return x;
}

gboolean
du_cpu_adam (DuContext *context, const DuAdam *adam, gsize count, DuBuffer *parameters,
    const DuBuffer *gradient, DuBuffer *moment1, DuBuffer *moment2, GError **error)
{
  float *p = du_cpu_f32 (parameters), *m = du_cpu_f32 (moment1), *v = du_cpu_f32 (moment2);
  const float *g = du_cpu_f32 (gradient);
  const double beta1 = adam->beta1, beta2 = adam->beta2, scale = adam->scale;
  const float rate = adam->learning_rate / (1 - pow (beta1, adam->step)), epsilon = adam->epsilon;
  const float correction = 1 / (1 - pow (beta2, adam->step));

  (void) error;
  /* The moments in double: they are long averages. The step in float: division and root are what costs. */
#pragma omp parallel for simd num_threads(threads_of (context)) if (count > CHUNK)
  for (gsize i = 0; i < count; i++) {
    double gi = g[i] * scale;
    double mi = beta1 * m[i] + (1 - beta1) * gi;
    double vi = beta2 * v[i] + (1 - beta2) * gi * gi;

    m[i] = without_denormals (mi);
    v[i] = without_denormals (vi);
    p[i] -= rate * m[i] / (sqrtf (v[i] * correction) + epsilon);
  }
  return TRUE;
}

gboolean
du_cpu_blend (DuContext *context, double decay, DuBuffer *to, gsize at, const DuBuffer *from, gsize from_at,
    gsize count, GError **error)
{
  float *a = du_cpu_f32 (to) + at;
  const float *b = du_cpu_f32 (from) + from_at;

  (void) error;
  /* In double: decay + (1 - decay) in float differs from 1 by enough to shift a long average. */
#pragma omp parallel for simd num_threads(threads_of (context)) if (count > CHUNK)
  for (gsize i = 0; i < count; i++)
    a[i] = (float) (decay * a[i] + (1 - decay) * b[i]);
  return TRUE;
}

/* libcudart's part of the stand-in, and what its parts share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake.h"

#include "fake-driver.h"
#include "half.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__ ((visibility ("default")))

static struct
{
  guint calls, fail_at, legacy_runs, resets;
  FakeFailure how;
  gboolean lost;
  int devices;
  gsize memory, memory_limit;
  guint refused;
  GHashTable *objects; /* -> their contexts */
  GHashTable *pieces;  /* of device memory -> Piece */
} fake = { .devices = 1, .memory_limit = G_MAXSIZE };

typedef struct
{
  gsize size;
  gpointer context;
} Piece;

void
fake_fatal (const char *call, const char *problem)
{
  g_error ("emulated GPU: %s: %s", call, problem);
}

gboolean
fake_host_call (const char *name)
{
  if (fake.lost)
    fake_fatal (name, "called after the device was lost");
  fake.calls++;
  if (fake.calls != fake.fail_at)
    return FALSE;
  g_debug ("%s is the call to fail", name);
  return TRUE;
}

gboolean
fake_call (const char *name)
{
  gboolean fails = fake_host_call (name);

  fake.lost = fake.lost || (fails && fake.how == FAKE_STICKY);
  return fails;
}

FakeFailure
fake_failure (void)
{
  return fake.how;
}

gboolean
fake_refuses (guint what)
{
  const char *refused = g_getenv ("DU_FAKE_REFUSE"); /* for tests that do not know of the stand-in */

  return (fake.refused | (refused ? (guint) g_ascii_strtoull (refused, NULL, 10) : 0)) & what;
}

void
fake_count_legacy (void)
{
  fake.legacy_runs++;
}

/* ---- contexts ---------------------------------------------------------------------------------------- */

/* Of the stand-in for the driver, where that is opened; else NULL, and there is the primary context alone. */
static const FakeDriver *
find_driver (void)
{
  static const FakeDriver *found;

  if (!found) {
    void *library = dlopen ("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);

    found = library ? dlsym (library, "du_fake_driver") : NULL;
    if (library)
      dlclose (library);
  }
  return found;
}

/* The thread's; NULL: the primary one. */
static gpointer
current_context (void)
{
  const FakeDriver *driver = find_driver ();

  return driver ? driver->current () : NULL;
}

static void
count_in_context (gpointer context, int change)
{
  if (context)
    find_driver ()->count (context, change);
}

static void
leave_context (gpointer context)
{
  if (context != current_context ())
    fake_fatal ("a free", "in another context than it was made in");
  count_in_context (context, -1);
}

/* ---- memory ------------------------------------------------------------------------------------------ */

gpointer
fake_new (gsize size)
{
  gpointer object = calloc (1, size), context = current_context ();

  if (!fake.objects)
    fake.objects = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (fake.objects, object, context);
  count_in_context (context, 1);
  return object;
}

void
fake_free (gpointer data)
{
  gpointer context;
  Piece *piece;

  if (fake.objects && g_hash_table_steal_extended (fake.objects, data, NULL, &context)) {
    leave_context (context);
    g_free (data);
    return;
  }
  piece = fake.pieces ? g_hash_table_lookup (fake.pieces, data) : NULL;
  if (!piece)
    fake_fatal ("a free", "of what was never there, or is gone already");
  leave_context (piece->context);
  fake.memory -= piece->size;
  g_hash_table_remove (fake.pieces, data);
  free (data);
}

gpointer
fake_allocate (gsize size)
{
  gpointer data = NULL;
  Piece piece = { size, current_context () };

  if (size > fake.memory_limit - MIN (fake.memory, fake.memory_limit) || posix_memalign (&data, 256, size) != 0)
    return NULL;
  memset (data, 0xff, size); /* NaN in all types */
  if (!fake.pieces)
    fake.pieces = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  g_hash_table_insert (fake.pieces, data, g_memdup2 (&piece, sizeof piece));
  count_in_context (piece.context, 1);
  fake.memory += size;
  return data;
}

void
fake_check_range (const char *call, const void *data, gsize size)
{
  gpointer context = current_context ();
  GHashTableIter iter;
  gpointer key, value;

  if (fake.pieces) {
    g_hash_table_iter_init (&iter, fake.pieces);
    while (g_hash_table_iter_next (&iter, &key, &value)) {
      const char *start = key, *at = data;
      const Piece *piece = value;

      if (piece->context == context && at >= start && at + size <= start + piece->size)
        return;
    }
  }
  if (!context || !find_driver ()->holds (data, size))
    fake_fatal (call, "a range that is not within one piece of the context's memory");
}

static cudaError_t last_error; /* of libcudart */

static guint
fake_reset (void)
{
  GHashTable **const tables[] = { &fake.objects, &fake.pieces };
  guint count = 0;

  for (guint i = 0; i < G_N_ELEMENTS (tables); i++)
    if (*tables[i]) {
      GHashTableIter iter;
      gpointer data;

      count += g_hash_table_size (*tables[i]);
      g_hash_table_iter_init (&iter, *tables[i]);
      while (g_hash_table_iter_next (&iter, &data, NULL))
        free (data);
      g_clear_pointer (tables[i], g_hash_table_unref);
    }
  fake.calls = fake.fail_at = fake.legacy_runs = fake.refused = 0;
  fake.lost = FALSE;
  last_error = cudaSuccess;
  fake.resets++;
  fake.memory = 0;
  fake.memory_limit = G_MAXSIZE;
  fake.devices = 1;
  return count;
}

static guint
fake_calls (void)
{
  return fake.calls;
}

static void
fake_fail (guint call, FakeFailure how)
{
  fake.fail_at = call;
  fake.how = how;
}

static gboolean
fake_lost (void)
{
  return fake.lost;
}

static void
fake_set_memory (gsize bytes)
{
  fake.memory_limit = bytes;
}

static gsize
fake_memory (void)
{
  return fake.memory;
}

static void
fake_set_devices (int count)
{
  fake.devices = count;
}

static void
fake_refuse (guint what)
{
  fake.refused = what;
}

static guint
fake_legacy_runs (void)
{
  return fake.legacy_runs;
}

extern EXPORT const FakeControl du_fake_control;

const FakeControl du_fake_control = { fake_reset, fake_calls, fake_fail, fake_lost, fake_set_memory,
  fake_memory, fake_set_devices, fake_refuse, fake_legacy_runs };

/* ---- numbers ----------------------------------------------------------------------------------------- */

gsize
fake_type_size (FakeType type)
{
  return type == FAKE_F32 ? 4 : 2;
}

float *
fake_read (const char *call, FakeType type, const void *data, gsize count)
{
  float *values = g_new (float, count);
  const guint16 *half = data;

  fake_check_range (call, data, count * fake_type_size (type));
  if (type == FAKE_F32)
    memcpy (values, data, count * sizeof *values);
  for (gsize i = 0; i < count && type != FAKE_F32; i++)
    values[i] = type == FAKE_F16 ? du_f16_to_float (half[i]) : du_bf16_to_float (half[i]);
  return values;
}

void
fake_write (const char *call, FakeType type, void *data, gsize count, const float *values)
{
  guint16 *half = data;

  fake_check_range (call, data, count * fake_type_size (type));
  if (type == FAKE_F32)
    memcpy (data, values, count * sizeof *values);
  for (gsize i = 0; i < count && type != FAKE_F32; i++)
    half[i] = type == FAKE_F16 ? du_f16_from_float (values[i]) : du_bf16_from_float (values[i]);
}

/* Ten bits behind the point, ties to even. */
float
fake_tf32 (float value)
{
  DuFloatBits x = { .value = value };

  x.bits = (x.bits + 0xfff + (x.bits >> 13 & 1)) & ~0x1fffu;
  return x.value;
}

static float
dot (const float *a, const float *b, gint64 count)
{
  float sum = 0;

#pragma omp simd reduction(+ : sum)
  for (gint64 i = 0; i < count; i++)
    sum += a[i] * b[i];
  return sum;
}

void
fake_convolve (const FakeConvolution *s, const float *x, const float *weights, float *y)
{
  for (gint64 line = 0; line < s->n * s->height; line++)
    for (gint64 column = 0; column < s->width; column++)
      for (gint64 o = 0; o < s->out; o++) {
        float sum = 0;

        for (int tap = 0; tap < 9; tap++) {
          gint64 v = line % s->height + tap / 3 - 1, u = column + tap % 3 - 1;

          if (v >= 0 && v < s->height && u >= 0 && u < s->width)
            sum += dot (x + ((line + tap / 3 - 1) * s->width + u) * s->in, weights + (o * 9 + tap) * s->in,
                s->in);
        }
        y[(line * s->width + column) * s->out + o] = sum;
      }
}

void
fake_convolve_data (const FakeConvolution *s, float *x, const float *weights, const float *y)
{
  const FakeConvolution turned = { s->n, s->out, s->in, s->height, s->width };
  g_autofree float *transposed = g_new (float, 9 * s->in * s->out);

  for (gint64 o = 0; o < s->out; o++)
    for (int tap = 0; tap < 9; tap++)
      for (gint64 i = 0; i < s->in; i++)
        transposed[(i * 9 + 8 - tap) * s->out + o] = weights[(o * 9 + tap) * s->in + i];
  fake_convolve (&turned, y, transposed, x);
}

void
fake_convolve_weights (const FakeConvolution *s, const float *x, float *weights, const float *y)
{
  memset (weights, 0, 9 * s->in * s->out * sizeof *weights);
  for (gint64 line = 0; line < s->n * s->height; line++)
    for (gint64 column = 0; column < s->width; column++)
      for (int tap = 0; tap < 9; tap++) {
        gint64 v = line % s->height + tap / 3 - 1, u = column + tap % 3 - 1;
        const float *from = x + ((line + tap / 3 - 1) * s->width + u) * s->in;

        if (v < 0 || v >= s->height || u < 0 || u >= s->width)
          continue;
        for (gint64 o = 0; o < s->out; o++) {
          const float factor = y[(line * s->width + column) * s->out + o];
          float *to = weights + (o * 9 + tap) * s->in;

#pragma omp simd
          for (gint64 i = 0; i < s->in; i++)
            to[i] += factor * from[i];
        }
      }
}

/* ---- libcudart --------------------------------------------------------------------------------------- */

static cudaError_t
cuda_failure (gboolean allocates)
{
  last_error = fake.how == FAKE_STICKY                     ? cudaErrorLaunchFailure
               : fake.how == FAKE_MEMORY && allocates ? cudaErrorMemoryAllocation
                                                           : cudaErrorInvalidValue;
  return last_error;
}

#define CALL(allocates) \
  do { \
    if (fake_call (__func__)) \
      return cuda_failure (allocates); \
  } while (0)

cudaError_t
cudaGetLastError (void)
{
  cudaError_t error = last_error;

  CALL (FALSE);
  last_error = cudaSuccess;
  return error;
}

const char *
cudaGetErrorString (cudaError_t error)
{
  switch (error) {
  case cudaErrorMemoryAllocation:
    return "out of memory";
  case cudaErrorLaunchFailure:
    return "unspecified launch failure";
  case cudaErrorInsufficientDriver:
    return "CUDA driver version is insufficient for CUDA runtime version";
  default:
    return "invalid argument";
  }
}

cudaError_t
cudaGetDeviceCount (int *count)
{
  CALL (FALSE);
  if (fake.devices < 0)
    return last_error = cudaErrorInsufficientDriver;
  *count = fake.devices;
  return cudaSuccess;
}

cudaError_t
cudaSetDevice (int device)
{
  CALL (FALSE);
  if (device < 0 || device >= fake.devices)
    return last_error = cudaErrorInvalidDevice;
  if (find_driver ())
    find_driver ()->leave ();
  return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties (struct cudaDeviceProp *properties, int device)
{
  (void) device;
  CALL (FALSE);
  memset (properties, 0, sizeof *properties);
  /* A new one after each reset, for which nothing is known yet. */
  g_snprintf (properties->name, sizeof properties->name, "emulated GPU %u", fake.resets);
  properties->major = 9;
  return cudaSuccess;
}

cudaError_t
cudaMemGetInfo (size_t *available, size_t *all)
{
  CALL (FALSE);
  *available = fake.memory_limit - fake.memory;
  *all = fake.memory_limit;
  return cudaSuccess;
}

cudaError_t
cudaMalloc (void **memory, size_t size)
{
  CALL (TRUE);
  *memory = fake_allocate (size);
  return *memory ? cudaSuccess : (last_error = cudaErrorMemoryAllocation);
}

cudaError_t
cudaFree (void *memory)
{
  gboolean fails = fake_call (__func__);

  if (memory && !fake.lost)
    fake_free (memory);
  return fails ? cuda_failure (FALSE) : cudaSuccess;
}

cudaError_t
cudaMemcpyAsync (void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream)
{
  (void) stream;
  CALL (FALSE);
  if (kind != cudaMemcpyHostToDevice)
    fake_check_range (__func__, from, size);
  if (kind != cudaMemcpyDeviceToHost)
    fake_check_range (__func__, to, size);
  memcpy (to, from, size);
  return cudaSuccess;
}

cudaError_t
cudaMemcpy2DAsync (void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
    enum cudaMemcpyKind kind, cudaStream_t stream)
{
  (void) stream;
  CALL (FALSE);
  if (width > to_pitch || width > from_pitch)
    return last_error = cudaErrorInvalidPitchValue;
  if (kind != cudaMemcpyHostToDevice)
    fake_check_range (__func__, from, (height - 1) * from_pitch + width);
  if (kind != cudaMemcpyDeviceToHost)
    fake_check_range (__func__, to, (height - 1) * to_pitch + width);
  for (size_t line = 0; line < height; line++)
    memcpy ((char *) to + line * to_pitch, (const char *) from + line * from_pitch, width);
  return cudaSuccess;
}

cudaError_t
cudaMemsetAsync (void *to, int value, size_t size, cudaStream_t stream)
{
  (void) stream;
  CALL (FALSE);
  fake_check_range (__func__, to, size);
  memset (to, value, size);
  return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags (cudaStream_t *stream, unsigned flags)
{
  (void) flags;
  CALL (TRUE);
  *stream = fake_new (1);
  return cudaSuccess;
}

cudaError_t
cudaStreamDestroy (cudaStream_t stream)
{
  gboolean fails = fake_call (__func__);

  fake_free (stream);
  return fails ? cuda_failure (FALSE) : cudaSuccess;
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream)
{
  (void) stream;
  CALL (FALSE);
  return cudaSuccess;
}

cudaError_t
cudaEventCreate (cudaEvent_t *event)
{
  CALL (TRUE);
  *event = fake_new (1);
  return cudaSuccess;
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  gboolean fails = fake_call (__func__);

  fake_free (event);
  return fails ? cuda_failure (FALSE) : cudaSuccess;
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
  (void) event, (void) stream;
  CALL (FALSE);
  return cudaSuccess;
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event)
{
  (void) event;
  CALL (FALSE);
  return cudaSuccess;
}

cudaError_t
cudaEventElapsedTime (float *milliseconds, cudaEvent_t start, cudaEvent_t stop)
{
  (void) start, (void) stop;
  CALL (FALSE);
  *milliseconds = 1;
  return cudaSuccess;
}

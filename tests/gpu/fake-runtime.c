/* libcudart's devices, errors and memory, and what the stand-in's parts share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-cuda.h"
#include "fake-driver.h"

#include "cuda/lost.h"
#include "cuda/plan-cache.h"

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
  gboolean short_pieces; /* only the beginning is there */
  int memory_clock; /* kHz */
  guint memory_bus, cache; /* bits, bytes */
  guint refused;
  GHashTable *objects; /* -> their contexts */
  GHashTable *pieces;  /* of device memory -> Piece */
  GHashTable *pinned;  /* of the host's, likewise */
  const char *name;
  int cuda;
  gsize cudnn;
} fake = { .devices = 1, .memory_limit = G_MAXSIZE };

typedef struct
{
  gsize size;
  gpointer context;
} Piece;

FakeCounts fake_counts;

static GRecMutex lock;

void
fake_lock (void)
{
  g_rec_mutex_lock (&lock);
}

void
fake_unlock (void)
{
  g_rec_mutex_unlock (&lock);
}

void
fake_fatal (const char *call, const char *problem)
{
  g_error ("emulated GPU: %s: %s", call, problem);
}

/* Of a thread that has seen a call fail of the device's loss: then resets + 1. */
static __thread guint told;

/* Calls of a thread that cannot know yet are counted; one that knows is not to call. */
static void
check_lost (const char *name)
{
  if (!fake.lost)
    return;
  if (told == fake.resets + 1)
    fake_fatal (name, "called after the device was lost");
  fake_counts.late++;
}

gboolean
fake_host_call (const char *name)
{
  gboolean fails;

  fake_lock ();
  check_lost (name);
  fails = ++fake.calls == fake.fail_at && !fake.lost;
  fake_unlock ();
  if (fails)
    g_debug ("%s is the call to fail", name);
  return fails;
}

gboolean
fake_call (const char *name)
{
  gboolean fails = fake_host_call (name);

  fake_lock ();
  /* Nothing runs while launches are captured, so that nothing is lost. */
  if (fails && fake.how == FAKE_STICKY && !fake_break_capture ())
    fake.lost = TRUE;
  fails = fails || fake.lost;
  if (fake.lost)
    told = fake.resets + 1;
  fake_unlock ();
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
fake_count (guint *count)
{
  fake_lock ();
  ++*count;
  fake_unlock ();
}

gsize
fake_cudnn_version (void)
{
  return fake.cudnn;
}

void
fake_count_legacy (void)
{
  fake.legacy_runs++;
}

/* ---- contexts ---------------------------------------------------------------------------------------- */

/* Of the stand-in for the driver, where that is opened; else NULL, and there is the primary context alone. */
static const FakeDriver *driver;

/* Where a context is begun to be used. */
static void
find_driver (void)
{
  void *library = driver ? NULL : dlopen ("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);

  if (library) {
    driver = dlsym (library, "du_fake_driver");
    dlclose (library);
  }
}

/* The thread's; NULL: the primary one. */
gpointer
fake_context (void)
{
  return driver ? driver->current () : NULL;
}

static void
count_in_context (gpointer context, int change)
{
  if (context)
    driver->count (context, change);
}

static void
leave_context (gpointer context)
{
  if (context != fake_context ())
    fake_fatal ("a free", "in another context than it was made in");
  count_in_context (context, -1);
}

void
fake_enter_context (gpointer context)
{
  if (driver)
    driver->push (context);
}

void
fake_leave_context (void)
{
  if (driver)
    driver->pop ();
}

/* ---- memory ------------------------------------------------------------------------------------------ */

gpointer
fake_new (gsize size)
{
  gpointer object = calloc (1, size), context = fake_context ();

  fake_lock ();
  if (!fake.objects)
    fake.objects = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (fake.objects, object, context);
  count_in_context (context, 1);
  fake_unlock ();
  return object;
}

static gpointer
new_piece (GHashTable **pieces, gsize size)
{
  const Piece piece = { size, fake_context () };
  const gsize there = fake.short_pieces ? MIN (size, 1 << 20) : size;
  gpointer data = NULL;

  if (posix_memalign (&data, 256, there) != 0)
    return NULL;
  memset (data, 0xff, there); /* NaN in all types */
  if (!*pieces)
    *pieces = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  g_hash_table_insert (*pieces, data, g_memdup2 (&piece, sizeof piece));
  count_in_context (piece.context, 1);
  return data;
}

/* Bytes of a piece that there was; 0: there was none. */
static gsize
forget_piece (GHashTable *pieces, gpointer data)
{
  const Piece *piece = pieces ? g_hash_table_lookup (pieces, data) : NULL;
  const gsize size = piece ? piece->size : 0;

  if (!piece)
    return 0;
  leave_context (piece->context);
  g_hash_table_remove (pieces, data);
  return size;
}

void
fake_free (gpointer data)
{
  gpointer context;
  gsize size;

  fake_lock ();
  if (fake.objects && g_hash_table_steal_extended (fake.objects, data, NULL, &context))
    leave_context (context);
  else if ((size = forget_piece (fake.pieces, data)))
    fake.memory -= size;
  else if (!forget_piece (fake.pinned, data))
    fake_fatal ("a free", "of what was never there, or is gone already");
  fake_unlock ();
  free (data);
}

gpointer
fake_allocate (gsize size)
{
  gpointer data = NULL;

  fake_lock ();
  if (size <= fake.memory_limit - MIN (fake.memory, fake.memory_limit))
    data = new_piece (&fake.pieces, size);
  if (data)
    fake.memory += size;
  fake_unlock ();
  return data;
}

static gboolean
is_within (GHashTable *pieces, const void *data, gsize size)
{
  const gpointer context = fake_context ();
  GHashTableIter iter;
  gpointer key, value;
  gboolean found = FALSE;

  fake_lock ();
  if (pieces) {
    g_hash_table_iter_init (&iter, pieces);
    while (!found && g_hash_table_iter_next (&iter, &key, &value)) {
      const char *start = key, *at = data;
      const Piece *piece = value;

      found = piece->context == context && at >= start && at + size <= start + piece->size;
    }
  }
  fake_unlock ();
  return found;
}

void
fake_check_range (const char *call, const void *data, gsize size)
{
  if (!is_within (fake.pieces, data, size) && (!fake_context () || !driver->holds (data, size)))
    fake_fatal (call, "a range that is not within one piece of the context's memory");
}

gboolean
fake_is_pinned (const void *data, gsize size)
{
  return is_within (fake.pinned, data, size);
}

static __thread cudaError_t last_error; /* of libcudart */

static guint
fake_reset (void)
{
  GHashTable **const tables[] = { &fake.objects, &fake.pieces, &fake.pinned };
  guint count = 0;

  fake_lock ();
  fake_streams_reset ();
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
  du_lost_forget ();
  last_error = cudaSuccess;
  fake.resets++;
  fake.memory = 0;
  fake.memory_limit = G_MAXSIZE;
  fake.devices = 1;
  fake_counts = (FakeCounts){ 0 };
  fake_unlock ();
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

static void
fake_get_counts (FakeCounts *counts)
{
  fake_lock ();
  *counts = fake_counts;
  fake_unlock ();
}

static void
fake_set_device (const char *name, int cuda, gsize cudnn)
{
  fake.name = name;
  fake.cuda = cuda;
  fake.cudnn = cudnn;
}

static gpointer
fake_pin (gsize size)
{
  gpointer memory;

  fake_lock ();
  memory = new_piece (&fake.pinned, size);
  fake_unlock ();
  return memory;
}

extern EXPORT const FakeControl du_fake_control;

static void
fake_shorten (gboolean short_pieces)
{
  fake.short_pieces = short_pieces;
}

static void
fake_set_speed (int memory_clock, guint memory_bus, guint cache)
{
  fake.memory_clock = memory_clock;
  fake.memory_bus = memory_bus;
  fake.cache = cache;
}

const FakeControl du_fake_control = { fake_reset, fake_calls, fake_fail, fake_lost, fake_set_memory,
  fake_memory, fake_set_devices, fake_refuse, fake_legacy_runs, fake_streams_set_order, fake_get_counts,
  fake_pin, fake_free, fake_set_device, du_plan_cache_forget, fake_shorten,
  fake_set_speed };

/* ---- libcudart --------------------------------------------------------------------------------------- */

cudaError_t
fake_cuda_error (cudaError_t error)
{
  return last_error = error;
}

cudaError_t
fake_cuda_failure (gboolean allocates)
{
  return fake_cuda_error (fake.how == FAKE_STICKY                ? cudaErrorLaunchFailure
                          : fake.how == FAKE_MEMORY && allocates ? cudaErrorMemoryAllocation
                                                                 : cudaErrorInvalidValue);
}

cudaError_t
cudaGetLastError (void)
{
  cudaError_t error = last_error;

  FAKE_CUDA_CALL (FALSE);
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
  FAKE_CUDA_CALL (FALSE);
  if (fake.devices < 0)
    return fake_cuda_error (cudaErrorInsufficientDriver);
  *count = fake.devices;
  return cudaSuccess;
}

cudaError_t
cudaSetDevice (int device)
{
  FAKE_CUDA_CALL (FALSE);
  if (device < 0 || device >= fake.devices)
    return fake_cuda_error (cudaErrorInvalidDevice);
  if (driver)
    driver->leave ();
  return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties (struct cudaDeviceProp *properties, int device)
{
  (void) device;
  FAKE_CUDA_CALL (FALSE);
  memset (properties, 0, sizeof *properties);
  /* A new one after each reset, for which nothing is known yet. */
  if (fake.name)
    g_strlcpy (properties->name, fake.name, sizeof properties->name);
  else
    g_snprintf (properties->name, sizeof properties->name, "emulated GPU %u", fake.resets);
  properties->major = 9;
  properties->memoryBusWidth = fake.memory_bus;
  properties->l2CacheSize = fake.cache;
  return cudaSuccess;
}

cudaError_t
cudaDeviceGetAttribute (int *value, enum cudaDeviceAttr attribute, int device)
{
  (void) device;
  FAKE_CUDA_CALL (FALSE);
  *value = attribute == cudaDevAttrMemoryClockRate ? fake.memory_clock : 0;
  return cudaSuccess;
}

cudaError_t
cudaRuntimeGetVersion (int *version)
{
  FAKE_CUDA_CALL (FALSE);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t
cudaDriverGetVersion (int *version)
{
  FAKE_CUDA_CALL (FALSE);
  *version = fake.cuda ? fake.cuda : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t
cudaMemGetInfo (size_t *available, size_t *all)
{
  FAKE_CUDA_CALL (FALSE);
  *available = fake.memory_limit - fake.memory;
  *all = fake.memory_limit;
  return cudaSuccess;
}

static void
count_allocation (void)
{
  fake_lock ();
  fake_counts.allocations++;
  fake_unlock ();
}

cudaError_t
cudaMalloc (void **memory, size_t size)
{
  FAKE_CUDA_UNSAFE_CALL (TRUE);
  count_allocation ();
  *memory = fake_allocate (size);
  return *memory ? cudaSuccess : fake_cuda_error (cudaErrorMemoryAllocation);
}

cudaError_t
cudaHostAlloc (void **memory, size_t size, unsigned flags)
{
  (void) flags;
  FAKE_CUDA_UNSAFE_CALL (TRUE);
  count_allocation ();
  fake_lock ();
  *memory = new_piece (&fake.pinned, size);
  fake_unlock ();
  return *memory ? cudaSuccess : fake_cuda_error (cudaErrorMemoryAllocation);
}

/* Work that may use the memory ends first. */
static cudaError_t
release (const char *call, void *memory)
{
  gboolean fails = fake_call (call);

  if (!memory || fake.lost)
    return fails ? fake_cuda_failure (FALSE) : cudaSuccess;
  count_allocation ();
  if (fake_break_capture ())
    return fake_cuda_error (cudaErrorStreamCaptureUnsupported);
  fake_streams_finish ();
  fake_free (memory);
  return fails ? fake_cuda_failure (FALSE) : cudaSuccess;
}

cudaError_t
cudaFree (void *memory)
{
  if (!memory)
    find_driver ();
  return release (__func__, memory);
}

cudaError_t
cudaFreeHost (void *memory)
{
  return release (__func__, memory);
}

cudaError_t
cudaPointerGetAttributes (struct cudaPointerAttributes *attributes, const void *pointer)
{
  FAKE_CUDA_CALL (FALSE);
  memset (attributes, 0, sizeof *attributes);
  attributes->type = is_within (fake.pinned, pointer, 1)   ? cudaMemoryTypeHost
                     : is_within (fake.pieces, pointer, 1) ? cudaMemoryTypeDevice
                                                           : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

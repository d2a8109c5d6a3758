/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-driver.h"

#include <cuda.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__ ((visibility ("default")))

enum
{
  DEVICES = 2,
  PITCH = 512, /* bytes that a device's lines begin at multiples of */
  DEPTH = 16,  /* contexts that a thread has pushed */
};

struct CUctx_st
{
  CUdevice device;
  guint pieces; /* of memory in it, and other things */
};

typedef struct
{
  gsize size;
  CUcontext context;
} Piece;

static GMutex lock;
static GHashTable *pieces; /* address -> Piece */
static guint contexts, host_pieces, copies;
static gboolean allocations_fail;

static __thread CUcontext stack[DEPTH];
static __thread int depth;

static void
fatal (const char *call, const char *problem)
{
  g_error ("emulated driver: %s: %s", call, problem);
}

/* ---- what tests see ------------------------------------------------------------------------------------ */

static gpointer
get_current (void)
{
  return depth ? stack[depth - 1] : NULL;
}

static void
leave (void)
{
  if (depth)
    stack[depth - 1] = NULL;
}

static void
push (gpointer context)
{
  if (depth == DEPTH)
    fatal ("a stand-in", "too many contexts");
  stack[depth++] = context;
}

static void
pop (void)
{
  depth--;
}

static gboolean
holds (gconstpointer data, gsize size)
{
  GHashTableIter iter;
  gpointer key, value;
  gboolean found = FALSE;

  g_mutex_lock (&lock);
  if (pieces)
    g_hash_table_iter_init (&iter, pieces);
  while (pieces && !found && g_hash_table_iter_next (&iter, &key, &value)) {
    const Piece *piece = value;
    const char *start = key, *at = data;

    found = piece->context == get_current () && at >= start && at + size <= start + piece->size;
  }
  g_mutex_unlock (&lock);
  return found;
}

static void
count (gpointer data, int change)
{
  CUcontext context = data;

  g_mutex_lock (&lock);
  if (context)
    context->pieces += change;
  g_mutex_unlock (&lock);
}

static guint
left (void)
{
  guint number;

  g_mutex_lock (&lock);
  number = contexts + host_pieces + (pieces ? g_hash_table_size (pieces) : 0);
  g_mutex_unlock (&lock);
  return number;
}

static guint
get_copies (void)
{
  return copies;
}

static void
fail_allocations (gboolean fail)
{
  allocations_fail = fail;
}

extern EXPORT const FakeDriver du_fake_driver;

const FakeDriver du_fake_driver = { get_current, leave, push, pop, holds, count, left, get_copies, fail_allocations };

/* ---- devices and contexts -------------------------------------------------------------------------------- */

EXPORT CUresult
cuInit (unsigned flags)
{
  (void) flags;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuDriverGetVersion (int *version)
{
  *version = CUDA_VERSION;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuGetErrorName (CUresult error, const char **name)
{
  (void) error;
  *name = "CUDA_ERROR_EMULATED";
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuGetErrorString (CUresult error, const char **text)
{
  *text = error == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : "an error of the emulated driver";
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuDeviceGetCount (int *number)
{
  *number = DEVICES;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuDeviceGet (CUdevice *device, int ordinal)
{
  if (ordinal < 0 || ordinal >= DEVICES)
    return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuDeviceGetName (char *name, int size, CUdevice device)
{
  g_snprintf (name, size, "emulated device %d", device);
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuDeviceGetAttribute (int *value, CUdevice_attribute attribute, CUdevice device)
{
  (void) device;
  *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 9
           : attribute == CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT     ? PITCH
                                                                     : 0;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuDeviceCanAccessPeer (int *can, CUdevice device, CUdevice peer)
{
  (void) device, (void) peer;
  *can = 0;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuCtxPushCurrent (CUcontext context)
{
  if (!context || depth == DEPTH)
    fatal (__func__, "no context, or too many");
  stack[depth++] = context;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuCtxPopCurrent (CUcontext *context)
{
  if (depth == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  depth--;
  if (context)
    *context = stack[depth];
  return CUDA_SUCCESS;
}

/* Takes the place of the one pushed last. */
EXPORT CUresult
cuCtxSetCurrent (CUcontext context)
{
  if (depth)
    depth--;
  return context ? cuCtxPushCurrent (context) : CUDA_SUCCESS;
}

EXPORT CUresult
cuCtxGetCurrent (CUcontext *context)
{
  *context = get_current ();
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuCtxGetDevice (CUdevice *device)
{
  CUcontext context = get_current ();

  if (!context)
    return CUDA_ERROR_INVALID_CONTEXT;
  *device = context->device;
  return CUDA_SUCCESS;
}

/* The newer cuda.h gives the name another version and other arguments. */
EXPORT CUresult cuCtxCreate_v2 (CUcontext *context, unsigned flags, CUdevice device);

CUresult
cuCtxCreate_v2 (CUcontext *context, unsigned flags, CUdevice device)
{
  (void) flags;
  *context = g_new0 (struct CUctx_st, 1);
  (*context)->device = device;
  g_mutex_lock (&lock);
  contexts++;
  g_mutex_unlock (&lock);
  return cuCtxPushCurrent (*context);
}

EXPORT CUresult
cuCtxDestroy (CUcontext context)
{
  if (context->pieces)
    fatal (__func__, "something is still in the context");
  if (get_current () == context)
    depth--;
  g_mutex_lock (&lock);
  contexts--;
  g_mutex_unlock (&lock);
  g_free (context);
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuStreamSynchronize (CUstream stream)
{
  (void) stream;
  return CUDA_SUCCESS;
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

EXPORT CUresult
cuMemAlloc (CUdeviceptr *pointer, size_t size)
{
  CUcontext context = get_current ();
  Piece piece = { size, context };
  void *data = NULL;

  if (!context)
    return CUDA_ERROR_INVALID_CONTEXT;
  if (allocations_fail || posix_memalign (&data, PITCH, MAX (size, 1)) != 0)
    return CUDA_ERROR_OUT_OF_MEMORY;
  memset (data, 0xa5, size);
  g_mutex_lock (&lock);
  if (!pieces)
    pieces = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  g_hash_table_insert (pieces, data, g_memdup2 (&piece, sizeof piece));
  context->pieces++;
  g_mutex_unlock (&lock);
  *pointer = (CUdeviceptr) (gsize) data;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuMemAllocPitch (CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height, unsigned element)
{
  (void) element;
  *pitch = (width + PITCH - 1) / PITCH * PITCH;
  return cuMemAlloc (pointer, *pitch * height);
}

EXPORT CUresult
cuMemFree (CUdeviceptr pointer)
{
  gpointer data = (gpointer) (gsize) pointer;
  const Piece *piece;

  g_mutex_lock (&lock);
  piece = pieces ? g_hash_table_lookup (pieces, data) : NULL;
  if (!piece || piece->context != get_current ())
    fatal (__func__, "no memory of the current context");
  piece->context->pieces--;
  g_hash_table_remove (pieces, data);
  if (g_hash_table_size (pieces) == 0)
    g_clear_pointer (&pieces, g_hash_table_unref);
  g_mutex_unlock (&lock);
  free (data);
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuMemAllocHost (void **data, size_t size)
{
  *data = g_malloc (size);
  g_mutex_lock (&lock);
  host_pieces++;
  g_mutex_unlock (&lock);
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuMemFreeHost (void *data)
{
  g_mutex_lock (&lock);
  host_pieces--;
  g_mutex_unlock (&lock);
  g_free (data);
  return CUDA_SUCCESS;
}

static void
check (const char *call, gconstpointer data, gsize size)
{
  if (!holds (data, size))
    fatal (call, "no memory of the current context, or not enough of it");
}

EXPORT CUresult
cuMemcpyHtoD (CUdeviceptr to, const void *from, size_t size)
{
  check (__func__, (gconstpointer) (gsize) to, size);
  memcpy ((gpointer) (gsize) to, from, size);
  copies++;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuMemcpyDtoH (void *to, CUdeviceptr from, size_t size)
{
  check (__func__, (gconstpointer) (gsize) from, size);
  memcpy (to, (gconstpointer) (gsize) from, size);
  copies++;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuMemcpy2D (const CUDA_MEMCPY2D *copy)
{
  const gboolean to_host = copy->dstMemoryType == CU_MEMORYTYPE_HOST;
  const gboolean from_host = copy->srcMemoryType == CU_MEMORYTYPE_HOST;
  char *to = to_host ? copy->dstHost : (char *) (gsize) copy->dstDevice;
  const char *from = from_host ? copy->srcHost : (const char *) (gsize) copy->srcDevice;

  to += copy->dstY * copy->dstPitch + copy->dstXInBytes;
  from += copy->srcY * copy->srcPitch + copy->srcXInBytes;
  if (copy->Height && !to_host)
    check (__func__, to, (copy->Height - 1) * copy->dstPitch + copy->WidthInBytes);
  if (copy->Height && !from_host)
    check (__func__, from, (copy->Height - 1) * copy->srcPitch + copy->WidthInBytes);
  for (gsize line = 0; line < copy->Height; line++)
    memcpy (to + line * copy->dstPitch, from + line * copy->srcPitch, copy->WidthInBytes);
  copies += to_host != from_host;
  return CUDA_SUCCESS;
}

EXPORT CUresult
cuMemcpy2DAsync (const CUDA_MEMCPY2D *copy, CUstream stream)
{
  (void) stream;
  return cuMemcpy2D (copy);
}

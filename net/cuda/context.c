/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "context.h"

#include "graph.h"
#include "kernels.h"
#include "lost.h"

enum
{
  STAGING = 1 << 20, /* floats that are converted at a time */
  CHOICES_VERSION = 1, /* one more where a plan that was chosen before might not be chosen any more */
};

#define SLOW_MEMORY 1.5e12 /* bytes per second */

/* ---- errors ------------------------------------------------------------------------------------------ */

/* Those after which CUDA goes on working; all others are taken for what leaves the device in an unknown state
 * (CUDA Runtime API, "Data types used by CUDA Runtime", cudaError). */
static gboolean
is_harmless (cudaError_t status)
{
  switch (status) {
  case cudaErrorMemoryAllocation:
  case cudaErrorInvalidValue:
  case cudaErrorInvalidConfiguration:
  case cudaErrorInvalidDevice:
  case cudaErrorNoDevice:
  case cudaErrorInsufficientDriver:
  case cudaErrorDevicesUnavailable:
  case cudaErrorNoKernelImageForDevice:
  case cudaErrorLaunchOutOfResources:
  case cudaErrorNotSupported:
  case cudaErrorSystemNotReady:
  case cudaErrorSystemDriverMismatch:
  case cudaErrorCompatNotSupportedOnDevice:
  case cudaErrorIllegalState:
  case cudaErrorStreamCaptureUnsupported:
  case cudaErrorStreamCaptureInvalidated:
  case cudaErrorStreamCaptureMerge:
  case cudaErrorStreamCaptureUnmatched:
  case cudaErrorStreamCaptureUnjoined:
  case cudaErrorStreamCaptureIsolation:
  case cudaErrorStreamCaptureImplicit:
  case cudaErrorCapturedEvent:
  case cudaErrorStreamCaptureWrongThread:
    return TRUE;
  default:
    return FALSE;
  }
}

void
du_cuda_fail_lost (const char *problem, GError **error)
{
  g_set_error (error, DU_ERROR, DU_ERROR_BACKEND,
      "the GPU is no longer used after its failure; %s; restart the program, or take backend=cpu", problem);
}

static gboolean
is_lost (DuContext *context, GError **error)
{
  if (!context->lost)
    context->lost = du_lost_find (context->options.cuda_context, context->device);
  if (!context->lost)
    return FALSE;
  du_cuda_fail_lost (context->lost, error);
  return TRUE;
}

/* For this context and all others in the same one of CUDA. */
static void
lose (DuContext *context, const char *problem)
{
  if (!context->lost)
    context->lost = g_strdup (problem);
  du_lost_add (context->options.cuda_context, context->device, problem);
}

/* Takes away what a failed call may have left, which the check of the next launch would find. It may be more
 * than what the call said. */
static void
clear_error (DuContext *context, const char *problem)
{
  cudaError_t left = is_lost (context, NULL) ? cudaSuccess : cudaGetLastError ();

  if (left != cudaSuccess && !is_harmless (left)) {
    g_autofree char *both = g_strdup_printf ("%s; then %s", problem, cudaGetErrorString (left));

    lose (context, both);
  }
}

static gboolean
fail (DuContext *context, const char *library, gboolean memory, gboolean lost, const char *reason,
    const char *call, const char *file, int line, GError **error)
{
  g_autofree char *place = g_path_get_basename (file);
  g_autofree char *problem
      = g_strdup_printf ("%s: %s (%s, net/cuda/%s:%d)", library, reason, call, place, line);

  if (context->records_now)
    g_set_error_literal (error, DU_ERROR, DU_ERROR_BACKEND, problem);
  else if (memory)
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY,
        "the GPU's memory is full; %s; take a smaller batch or smaller pictures, or end what else runs on it",
        problem);
  else
    g_set_error (error, DU_ERROR, DU_ERROR_BACKEND,
        "the GPU failed; %s; %s", problem,
        lost ? "restart the program, or take backend=cpu" : "take backend=cpu, or report this");
  if (lost)
    lose (context, problem);
  clear_error (context, problem);
  return FALSE;
}

gboolean
du_cuda_check (DuContext *context, cudaError_t status, const char *call, const char *file, int line,
    GError **error)
{
  if (status == cudaSuccess)
    return TRUE;
  return fail (context, "CUDA", status == cudaErrorMemoryAllocation, !is_harmless (status),
      cudaGetErrorString (status), call, file, line, error);
}

static gboolean
check_cudnn (DuContext *context, cudnnStatus_t status, gboolean runs, const char *call, const char *file,
    int line, GError **error)
{
  gboolean memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED
                    || status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;

  if (status == CUDNN_STATUS_SUCCESS)
    return TRUE;
  return fail (context, "cuDNN", memory,
      runs && !context->records_now && CUDNN_STATUS_CATEGORY (status) == CUDNN_STATUS_EXECUTION_FAILED,
      cudnnGetErrorString (status), call, file, line, error);
}

gboolean
du_cudnn_check (DuContext *context, cudnnStatus_t status, const char *call, const char *file, int line,
    GError **error)
{
  return check_cudnn (context, status, TRUE, call, file, line, error);
}

gboolean
du_cudnn_try (DuContext *context, cudnnStatus_t status, const char *call, const char *file, int line,
    GError **error)
{
  return check_cudnn (context, status, FALSE, call, file, line, error);
}

gboolean
du_blas_check (DuContext *context, cublasStatus_t status, const char *call, const char *file, int line,
    GError **error)
{
  if (status == CUBLAS_STATUS_SUCCESS)
    return TRUE;
  return fail (context, "cuBLASLt", status == CUBLAS_STATUS_ALLOC_FAILED,
      !context->records_now
          && (status == CUBLAS_STATUS_EXECUTION_FAILED || status == CUBLAS_STATUS_MAPPING_ERROR),
      cublasLtGetStatusString (status), call, file, line, error);
}

void
du_cuda_fail_elsewhere (DuContext *context, cudaError_t status, const char *call, GError **error)
{
  g_autofree char *problem = g_strdup_printf ("CUDA: %s (%s)", cudaGetErrorString (status), call);

  g_set_error (error, DU_ERROR, DU_ERROR_BACKEND,
      "the GPU failed; %s; %s", problem,
      is_harmless (status) ? "take backend=cpu, or report this"
                           : "restart the program, or take backend=cpu");
  if (!is_harmless (status))
    du_lost_add (context->options.cuda_context, context->device, problem);
}

/* The two APIs number their errors alike. */
cudaError_t
du_cuda_make_current (const DuContext *context)
{
  return context->driver ? (cudaError_t) context->driver->set_current (context->options.cuda_context)
                         : cudaSetDevice (context->device);
}

gboolean
du_cuda_enter (DuContext *context, GError **error)
{
  return !is_lost (context, error) && DU_CUDA (context, du_cuda_make_current (context), error);
}

/* ---- memory ------------------------------------------------------------------------------------------ */

void *
du_cuda_allocate (DuContext *context, gsize count, gsize size, const char *what, GError **error)
{
  void *memory = NULL;
  cudaError_t status;
  gsize bytes, free_bytes = 0, all_bytes = 0;

  if (!g_size_checked_mul (&bytes, count, size) || bytes > G_MAXSSIZE) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY,
        "%s of %" G_GSIZE_FORMAT " x %" G_GSIZE_FORMAT " bytes exceeds the address space: take smaller "
        "pictures",
        what, count, size);
    return NULL;
  }
  if (is_lost (context, error)) /* by what a caller freed before */
    return NULL;
  status = cudaMalloc (&memory, MAX (bytes, 1));
  if (status == cudaSuccess)
    return memory;
  if (status != cudaErrorMemoryAllocation) {
    (void) DU_CUDA (context, status, error);
    return NULL;
  }
  clear_error (context, "a full memory");
  if (is_lost (context, error) || !DU_CUDA (context, cudaMemGetInfo (&free_bytes, &all_bytes), error))
    return NULL;
  g_set_error (error, DU_ERROR, DU_ERROR_MEMORY,
      "no memory on %s for %s of %" G_GSIZE_FORMAT " MiB, %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT
      " MiB are free: take a smaller batch or smaller pictures, or end what else runs on it",
      context->name, what, bytes >> 20, free_bytes >> 20, all_bytes >> 20);
  return NULL;
}

void
du_cuda_release (DuContext *context, void *memory)
{
  if (memory && !context->lost)
    (void) DU_CUDA (context, cudaFree (memory), NULL);
}

void *
du_cuda_allocate_pinned (DuContext *context, gsize size, GError **error)
{
  void *memory = NULL;

  return !is_lost (context, error)
                 && DU_CUDA (context, cudaHostAlloc (&memory, size, cudaHostAllocDefault), error)
             ? memory
             : NULL;
}

void
du_cuda_release_pinned (DuContext *context, void *memory)
{
  if (memory && !context->lost)
    (void) DU_CUDA (context, cudaFreeHost (memory), NULL);
}

gboolean
du_cuda_reserve (DuContext *context, gsize size, GError **error)
{
  if (size <= context->scratch_size)
    return TRUE;
  context->generation++;
  du_cuda_release (context, context->scratch);
  context->scratch = du_cuda_allocate (context, size, 1, "working memory", error);
  context->scratch_size = context->scratch ? size : 0;
  return context->scratch != NULL;
}

/* ---- open and close ---------------------------------------------------------------------------------- */

static gboolean
refuse (DuContext *context, cudaError_t status, GError **error)
{
  const char *reason = status == cudaErrorInsufficientDriver ? "there is no NVIDIA driver, or it is too old"
                       : status == cudaErrorNoDevice         ? "there is no CUDA device"
                                                             : cudaGetErrorString (status);

  if (!is_harmless (status))
    lose (context, reason);
  g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE, "no GPU can be used: %s", reason);
  return FALSE;
}

/* Makes the device current and its context ready. */
static cudaError_t
try_device (DuContext *context, int device)
{
  cudaError_t status = cudaSetDevice (device);

  if (status == cudaSuccess)
    status = cudaFree (NULL); /* the first call that needs the driver's context */
  if (status != cudaSuccess && is_harmless (status))
    clear_error (context, "a device that does not work");
  return status;
}

static gboolean
choose_device (DuContext *context, GError **error)
{
  int wanted = context->options.device, count = 0;
  cudaError_t status = cudaGetDeviceCount (&count);

  context->device = MAX (wanted, 0);
  if (status != cudaSuccess)
    return refuse (context, status, error);
  if (count == 0)
    return refuse (context, cudaErrorNoDevice, error);
  if (wanted >= count || wanted < -1) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "there is no CUDA device %d: the devices are 0 to %d; -1 takes the first that works", wanted,
        count - 1);
    return FALSE;
  }
  for (int device = MAX (wanted, 0); device < (wanted < 0 ? count : wanted + 1); device++) {
    context->device = device;
    status = try_device (context, device);
    if (status == cudaSuccess)
      return TRUE;
    if (!is_harmless (status) || context->lost)
      break;
  }
  return refuse (context, status, error);
}

/* Works in the context that another made. */
static gboolean
adopt_context (DuContext *context, GError **error)
{
  const int wanted = context->options.device;
  CUdevice device = -1;

  context->driver = du_driver (error);
  if (!context->driver || !DU_CUDA (context, du_cuda_make_current (context), error)
      || !DU_CUDA (context, (cudaError_t) context->driver->get_device (&device), error))
    return FALSE;
  context->device = device;
  if (wanted != -1 && wanted != device) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "the context of CUDA to work in is of device %d, and device %d is asked for: take -1, or that one",
        device, wanted);
    return FALSE;
  }
  return DU_CUDA (context, cudaFree (NULL), error);
}

/* Samples that the environment asks for, -1 for none of its business. */
static int
asked_sub_batch (void)
{
  const char *text = g_getenv ("DEBLURUNET_CUDA_SUB_BATCH");
  guint64 value;

  return text && g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &value, NULL) ? (int) value : -1;
}

/* By the model of tests/bench/bench-roofline.c (figures: tests/bench/NOTES.md), running the first level in sub-batches
 * wins where the memory is slow against the cache, and loses more launches than that where it is not, as on data
 * centres' GPUs. What has to stay in the cache is most behind the last up-conv: two sources side by side, one of them
 * alone, and the result. */
int
du_cuda_sub_batch (const DuContext *context, gsize bytes)
{
  if (context->sub_batch >= 0)
    return context->sub_batch;
  return context->memory_speed > 0 && context->memory_speed < SLOW_MEMORY
             ? (int) MIN (context->cache / (4 * bytes), G_MAXINT)
             : 0;
}

static gboolean
describe_device (DuContext *context, GError **error)
{
  struct cudaDeviceProp properties;
  g_autofree char *name = NULL, *all = NULL;
  int runtime = 0, driver = 0, clock = 0;

  if (!DU_CUDA (context, cudaGetDeviceProperties (&properties, context->device), error)
      || !DU_CUDA (context, cudaRuntimeGetVersion (&runtime), error)
      || !DU_CUDA (context, cudaDriverGetVersion (&driver), error)
      || !DU_CUDA (context, cudaDeviceGetAttribute (&clock, cudaDevAttrMemoryClockRate, context->device), error))
    return FALSE;
  context->cache = MAX (properties.l2CacheSize, 0);
  /* kHz, two transfers each; bits. */
  context->memory_speed = 2e3 * clock * properties.memoryBusWidth / 8;
  name = g_utf8_make_valid (properties.name, -1);
  context->name = g_strdup_printf ("%s (CUDA %d, cuDNN %" G_GSIZE_FORMAT ")", name, context->device,
      cudnnGetVersion ());
  if (properties.major < 8) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "%s is too old: its compute capability is %d.%d, 8.0 is needed", name, properties.major,
        properties.minor);
    return FALSE;
  }
  /* Equal devices make equal choices. */
  all = g_strdup_printf ("%d: %s %d.%d, %d multiprocessors, driver %d, CUDA %d, cuDNN %" G_GSIZE_FORMAT,
      CHOICES_VERSION, name, properties.major, properties.minor, properties.multiProcessorCount, driver,
      runtime, cudnnGetVersion ());
  context->plans = du_plan_cache_get (all);
  return TRUE;
}

DuContext *
du_cuda_open (const DuContextOptions *options, GError **error)
{
  DuContext *context = g_new0 (DuContext, 1);

  context->options = *options;
  context->records = g_strcmp0 (g_getenv ("DEBLURUNET_CUDA_GRAPHS"), "0") != 0;
  context->pins = g_strcmp0 (g_getenv ("DEBLURUNET_CUDA_PINNED"), "0") != 0;
  context->sub_batch = asked_sub_batch ();
  context->device = -1;
  du_lost_watch (options->cuda_context);
  if (!is_lost (context, error)
      && (options->cuda_context ? adopt_context (context, error) : choose_device (context, error))
      && describe_device (context, error)
      && DU_CUDA (context, cudaStreamCreateWithFlags (&context->stream, cudaStreamNonBlocking), error)
      && DU_CUDNN (context, cudnnCreate (&context->cudnn), error)
      && DU_CUDNN (context, cudnnSetStream (context->cudnn, context->stream), error)
      && DU_BLAS (context, cublasLtCreate (&context->blas), error)) {
    context->graphs = g_hash_table_new_full (du_graph_shape_hash, du_graph_shape_equal, NULL, du_graph_free);
    return context;
  }
  du_cuda_close (context);
  return NULL;
}

void
du_cuda_close (DuContext *context)
{
  const cudaStream_t streams[] = { context->to_host, context->to_device, context->stream };

  if (!is_lost (context, NULL) && context->stream)
    (void) DU_CUDA (context, du_cuda_make_current (context), NULL);
  g_clear_pointer (&context->graphs, g_hash_table_unref);
  /* What was lost may be lost to a plan, and would be the next time. */
  if (context->plans && context->lost)
    du_plan_cache_clear (context->plans);
  else if (context->plans)
    du_plan_cache_save (context->plans);
  du_cuda_release (context, context->scratch);
  du_cuda_release (context, context->staging);
  du_cuda_release (context, context->result);
  du_cuda_release_pinned (context, context->host_result);
  if (context->blas && !context->lost)
    (void) DU_BLAS (context, cublasLtDestroy (context->blas), NULL);
  if (context->cudnn && !context->lost)
    (void) DU_CUDNN (context, cudnnDestroy (context->cudnn), NULL);
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    if (streams[i] && !context->lost)
      (void) DU_CUDA (context, cudaStreamDestroy (streams[i]), NULL);
  if (context->driver && !context->lost) /* it may soon be gone */
    (void) DU_CUDA (context, (cudaError_t) context->driver->set_current (NULL), NULL);
  du_lost_unwatch (context->options.cuda_context);
  g_free (context->lost);
  g_free (context->name);
  g_free (context);
}

const char *
du_cuda_device (const DuContext *context)
{
  return context->name;
}

gboolean
du_cuda_synchronise (DuContext *context, GError **error)
{
  return du_cuda_enter (context, error)
         && (!context->to_device || DU_CUDA (context, cudaStreamSynchronize (context->to_device), error))
         && DU_CUDA (context, cudaStreamSynchronize (context->stream), error)
         && (!context->to_host || DU_CUDA (context, cudaStreamSynchronize (context->to_host), error));
}

/* ---- buffers ----------------------------------------------------------------------------------------- */

DuBuffer *
du_cuda_buffer_new (DuContext *context, DuType type, gsize count, GError **error)
{
  DuBuffer *buffer;
  void *data;

  if (!du_cuda_enter (context, error))
    return NULL;
  data = du_cuda_allocate (context, count, du_cuda_type_size (type), "a buffer", error);
  if (!data)
    return NULL;
  buffer = g_new0 (DuBuffer, 1);
  *buffer = (DuBuffer){ type, count, data, FALSE };
  return buffer;
}

DuBuffer *
du_cuda_buffer_part (DuContext *context, DuBuffer *buffer, gsize at, gsize count, GError **error)
{
  DuBuffer part = { buffer->type, count, (char *) buffer->data + at * du_cuda_type_size (buffer->type), TRUE };

  (void) context;
  (void) error;
  return g_memdup2 (&part, sizeof part);
}

void
du_cuda_buffer_free (DuContext *context, DuBuffer *buffer)
{
  if (!buffer)
    return;
  if (!buffer->is_part) {
    (void) du_cuda_synchronise (context, NULL);
    context->generation++;
    du_cuda_release (context, buffer->data);
  }
  g_free (buffer);
}

static gboolean
make_staging (DuContext *context, GError **error)
{
  if (!context->staging)
    context->staging = du_cuda_allocate (context, STAGING, sizeof (float), "a staging buffer", error);
  return context->staging != NULL;
}

gboolean
du_cuda_is_pinned (DuContext *context, const void *memory)
{
  struct cudaPointerAttributes attributes = { .type = cudaMemoryTypeUnregistered };

  return DU_CUDA (context, cudaPointerGetAttributes (&attributes, memory), NULL)
         && attributes.type == cudaMemoryTypeHost;
}

gboolean
du_cuda_end_upload (DuContext *context, const void *memory, GError **error)
{
  const gboolean is_pinned = du_cuda_is_pinned (context, memory);

  return du_cuda_enter (context, error)
         && (!is_pinned || DU_CUDA (context, cudaStreamSynchronize (context->stream), error));
}

static gboolean
upload_converted (DuContext *context, DuBuffer *buffer, char *to, const float *values, gsize count, GError **error)
{
  if (!make_staging (context, error))
    return FALSE;
  for (gsize done = 0; done < count; done += STAGING) {
    gsize part = MIN (STAGING, count - done);

    if (!DU_CUDA (context,
            cudaMemcpyAsync (context->staging, values + done, part * sizeof (float), cudaMemcpyHostToDevice,
                context->stream),
            error))
      return FALSE;
    du_kernel_convert (context->stream, DU_TYPE_F32, context->staging, buffer->type,
        to + done * du_cuda_type_size (buffer->type), part, FALSE);
    if (!DU_CUDA (context, cudaGetLastError (), error))
      return FALSE;
  }
  return TRUE;
}

gboolean
du_cuda_upload (DuContext *context, DuBuffer *buffer, gsize at, const float *values, gsize count,
    GError **error)
{
  char *to = (char *) buffer->data + at * du_cuda_type_size (buffer->type);

  return du_cuda_enter (context, error)
         && (buffer->type == DU_TYPE_F32
                 ? DU_CUDA (context,
                     cudaMemcpyAsync (to, values, count * sizeof (float), cudaMemcpyHostToDevice, context->stream),
                     error)
                 : upload_converted (context, buffer, to, values, count, error))
         && du_cuda_end_upload (context, values, error);
}

gboolean
du_cuda_download (DuContext *context, const DuBuffer *buffer, gsize at, float *values, gsize count,
    GError **error)
{
  const char *from = (const char *) buffer->data + at * du_cuda_type_size (buffer->type);

  if (!du_cuda_enter (context, error) || (buffer->type != DU_TYPE_F32 && !make_staging (context, error)))
    return FALSE;
  for (gsize done = 0; done < count; done += STAGING) {
    gsize part = MIN (STAGING, count - done);
    const void *part_from = from + done * du_cuda_type_size (buffer->type);

    if (buffer->type != DU_TYPE_F32) {
      du_kernel_convert (context->stream, buffer->type, part_from, DU_TYPE_F32, context->staging, part,
          FALSE);
      if (!DU_CUDA (context, cudaGetLastError (), error))
        return FALSE;
      part_from = context->staging;
    }
    if (!DU_CUDA (context,
            cudaMemcpyAsync (values + done, part_from, part * sizeof (float), cudaMemcpyDeviceToHost,
                context->stream),
            error))
      return FALSE;
  }
  return DU_CUDA (context, cudaStreamSynchronize (context->stream), error);
}

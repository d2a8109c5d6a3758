/* What the rooms of the CUDA back end share: the context, its errors and its memory.
 *
 * Everything runs on one stream, in the order of the calls, but for frames' way to the device and back (frames.c).
 * Only upload, download, loss, norm, synchronise and the waiting for frames wait for the device.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_CONTEXT_H
#define DU_CUDA_CONTEXT_H

#include "driver.h"

#include "backend.h"
#include "plan-cache.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

enum
{
  DU_CUDA_ALIGNMENT = 256, /* bytes: cudaMalloc's, and of every part of working memory */
  DU_CUDA_CHANNELS = 8,    /* tensor cores want channels in multiples of this */
};

struct _DuContext
{
  DuContextOptions options;
  int device;
  const DuDriver *driver; /* where the context is another's, options.cuda_context; else NULL */
  char *name;
  cudaStream_t stream;
  cudaStream_t to_device, to_host; /* frames' copies; NULL until there are frames */
  cudnnHandle_t cudnn;
  cublasLtHandle_t blas;
  /* Why the device is lost, as lost.h says, or NULL. From then on nothing calls CUDA any more: its memory is left to the end
   * of the process. */
  char *lost;

  char *scratch; /* working memory of the op that runs, reserved when it is prepared */
  gsize scratch_size;
  float *staging; /* between float32 on the host and buffers of another type */
  double *result, *host_result; /* DU_RESULTS each, on the device and in pinned memory; NULL before the first */
  guint generation; /* changes where memory is given back that launches may have used */
  gboolean records; /* recording.h: graphs are made, until it shows that they cannot be */
  gboolean records_now; /* nothing runs: what a library says of its launches then is no failure of the device */
  gsize cache; /* bytes of the device's second-level one */
  double memory_speed; /* bytes per second of the device's memory, 0 where it does not say */
  int sub_batch; /* as asked for in the environment, -1 = not */
  gboolean pins; /* frames.c: of memory that the host gives, copies go through pinned one */
  DuPlanCache *plans; /* not owned */
  GHashTable *graphs; /* DuGraphShape -> DuGraph, owned: rows of equal shape share one */
};

struct _DuBuffer
{
  DuType type;
  gsize count; /* elements */
  void *data;  /* on the device */
  gboolean is_part; /* data is another buffer's */
};

/* Each checks the result of one call and makes the GError of a failure, with the call, file and line. Out of
 * memory is DU_ERROR_MEMORY, which a caller may survive with smaller buffers; what leaves the device in an
 * unknown state marks it as lost. */
#define DU_CUDA(context, call, error) du_cuda_check (context, call, #call, __FILE__, __LINE__, error)
#define DU_CUDNN(context, call, error) du_cudnn_check (context, call, #call, __FILE__, __LINE__, error)
/* For calls that run nothing on the device: what they fail of is the matter of the call alone, whatever the
 * status; cuDNN says of a plan that it cannot compile that its execution failed. */
#define DU_CUDNN_TRY(context, call, error) du_cudnn_try (context, call, #call, __FILE__, __LINE__, error)
#define DU_BLAS(context, call, error) du_blas_check (context, call, #call, __FILE__, __LINE__, error)

gboolean du_cuda_check (DuContext *context, cudaError_t status, const char *call, const char *file, int line,
    GError **error);
gboolean du_cudnn_check (DuContext *context, cudnnStatus_t status, const char *call, const char *file,
    int line, GError **error);
gboolean du_cudnn_try (DuContext *context, cudnnStatus_t status, const char *call, const char *file, int line,
    GError **error);
gboolean du_blas_check (DuContext *context, cublasStatus_t status, const char *call, const char *file,
    int line, GError **error);

/* For the one slot that runs in any thread: makes the device that thread's current one; and the GError of a failure,
 * status not being cudaSuccess. */
cudaError_t du_cuda_make_current (const DuContext *context);
/* That nothing is called any more, because of the problem. */
void du_cuda_fail_lost (const char *problem, GError **error);
void du_cuda_fail_elsewhere (DuContext *context, cudaError_t status, const char *call, GError **error);

/* At the start of every slot: FALSE where the device is lost; makes it the thread's current one. */
gboolean du_cuda_enter (DuContext *context, GError **error);

/* Device memory, of undefined content; NULL with DU_ERROR_MEMORY. what: for the message, "a buffer". */
void *du_cuda_allocate (DuContext *context, gsize count, gsize size, const char *what, GError **error);
void du_cuda_release (DuContext *context, void *memory); /* NULL is allowed */
/* Pinned memory of the host, as above. */
void *du_cuda_allocate_pinned (DuContext *context, gsize size, GError **error);
void du_cuda_release_pinned (DuContext *context, void *memory); /* NULL is allowed */
gboolean du_cuda_is_pinned (DuContext *context, const void *memory); /* of the host */
/* Behind copies from the host's memory on the stream, which its owner may write to afterwards. The copies are through with
 * memory that is pageable when they return; what is pinned they read when they are done. */
gboolean du_cuda_end_upload (DuContext *context, const void *memory, GError **error);
/* Makes working memory at least as large; what stood there is lost. */
gboolean du_cuda_reserve (DuContext *context, gsize size, GError **error);

static inline gsize
du_cuda_aligned (gsize size)
{
  return (size + DU_CUDA_ALIGNMENT - 1) / DU_CUDA_ALIGNMENT * DU_CUDA_ALIGNMENT;
}

static inline gsize
du_cuda_type_size (DuType type)
{
  return type == DU_TYPE_F32 ? 4 : 2;
}

static inline int
du_cuda_padded (int channels)
{
  return (channels + DU_CUDA_CHANNELS - 1) / DU_CUDA_CHANNELS * DU_CUDA_CHANNELS;
}

static inline float *
du_cuda_f32 (const DuBuffer *buffer)
{
  return buffer->data;
}

/* Slots, as backend.h says. */
DuContext *du_cuda_open (const DuContextOptions *options, GError **error);
void du_cuda_close (DuContext *context);
const char *du_cuda_device (const DuContext *context);
DuBuffer *du_cuda_buffer_new (DuContext *context, DuType type, gsize count, GError **error);
void du_cuda_buffer_free (DuContext *context, DuBuffer *buffer);
DuBuffer *du_cuda_buffer_part (DuContext *context, DuBuffer *buffer, gsize at, gsize count, GError **error);
int du_cuda_sub_batch (const DuContext *context, gsize bytes);
gboolean du_cuda_upload (DuContext *context, DuBuffer *buffer, gsize at, const float *values, gsize count,
    GError **error);
gboolean du_cuda_download (DuContext *context, const DuBuffer *buffer, gsize at, float *values, gsize count,
    GError **error);
gboolean du_cuda_synchronise (DuContext *context, GError **error);

#endif

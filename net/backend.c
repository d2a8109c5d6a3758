/* Which back end serves a request.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module.h"

#include <sched.h>

enum
{
  MAX_THREADS = 1024,
};

const char *
du_type_name (DuType type)
{
  static const char *const names[] = {
    [DU_TYPE_F32] = "f32",
    [DU_TYPE_BF16] = "bf16",
    [DU_TYPE_F16] = "f16",
  };

  return names[type];
}

const char *
du_precision_name (DuPrecision asked, DuType type)
{
  return asked == DU_PRECISION_TF32 ? "tf32" : du_type_name (type);
}

int
du_backend_threads (int threads)
{
  cpu_set_t set;

  if (threads != 0)
    return threads;
  /* More than 1024 cores do not fit the set. */
  if (sched_getaffinity (0, sizeof set, &set) != 0)
    return CLAMP ((int) g_get_num_processors (), 1, MAX_THREADS);
  return CPU_COUNT (&set);
}

static gboolean
check_request (DuBackendKind kind, DuPrecision precision, int threads, GError **error)
{
  const gboolean needs_gpu = precision == DU_PRECISION_F16 || precision == DU_PRECISION_TF32;

  if ((guint) kind > DU_BACKEND_REFERENCE)
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "back end %d is unknown", kind);
  else if ((guint) precision > DU_PRECISION_TF32)
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "precision %d is unknown", precision);
  else if (threads < 0 || threads > MAX_THREADS)
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "%d threads are out of range: give 1 to %d, or 0 for one per core", threads, MAX_THREADS);
  else if (needs_gpu && (kind == DU_BACKEND_CPU || kind == DU_BACKEND_REFERENCE))
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "precision %s does not run on a CPU: take auto, f32 or bf16",
        precision == DU_PRECISION_F16 ? "f16" : "tf32");
  else
    return TRUE;
  return FALSE;
}

static const DuBackend *
open_cuda (DuPrecision precision, gboolean training, DuContextOptions *options, DuContext **context,
    GError **error)
{
  static const DuType types[] = { [DU_PRECISION_F32] = DU_TYPE_F32, [DU_PRECISION_BF16] = DU_TYPE_BF16,
    [DU_PRECISION_F16] = DU_TYPE_F16, [DU_PRECISION_TF32] = DU_TYPE_F32 };
  const DuBackend *backend = du_module_cuda (error);

  if (!backend)
    return NULL;
  if (precision == DU_PRECISION_AUTO)
    options->type = training ? DU_TYPE_F32 : DU_TYPE_F16;
  else
    options->type = types[precision];
  options->tf32 = precision == DU_PRECISION_TF32;
  options->reproducible = training;
  *context = backend->open (options, error);
  return *context ? backend : NULL;
}

static const DuBackend *
open_cpu (DuBackendKind kind, DuPrecision precision, gboolean training, DuContextOptions *options,
    DuContext **context, char **note, GError **error)
{
  const DuBackend *backend = kind == DU_BACKEND_REFERENCE ? &du_backend_reference : &du_backend_onednn;
  g_autoptr (GError) no_bf16 = NULL;

  if (training && !backend->backward) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "the back end %s does not train: take another", backend->name);
    return NULL;
  }
  options->type = precision == DU_PRECISION_BF16 ? DU_TYPE_BF16 : DU_TYPE_F32;
  if (precision == DU_PRECISION_AUTO && kind != DU_BACKEND_REFERENCE && !training) {
    options->type = DU_TYPE_BF16;
    *context = backend->open (options, &no_bf16);
    if (*context)
      return backend;
    if (!g_error_matches (no_bf16, DU_ERROR, DU_ERROR_UNAVAILABLE)) {
      g_propagate_error (error, g_steal_pointer (&no_bf16));
      return NULL;
    }
    *note = g_strdup_printf ("precision is f32: %s", no_bf16->message);
    options->type = DU_TYPE_F32;
  }
  *context = backend->open (options, error);
  return *context ? backend : NULL;
}

/* Why the CPU stands in for the GPU, before what is to be said of the CPU. */
static void
add_note (char **note, const GError *no_cuda)
{
  g_autofree char *of_cpu = *note;

  *note = of_cpu ? g_strdup_printf (DU_NOTE_NO_GPU ": %s; %s", no_cuda->message, of_cpu)
                 : g_strdup_printf (DU_NOTE_NO_GPU ": %s", no_cuda->message);
}

static void
refuse (DuBackendKind kind, DuPrecision precision, const GError *no_cuda, GError **error)
{
  int code = g_error_matches (no_cuda, DU_ERROR, DU_ERROR_NOT_FOUND) ? DU_ERROR_UNAVAILABLE : no_cuda->code;

  if (kind == DU_BACKEND_CUDA)
    g_set_error (error, DU_ERROR, code, "%s; take backend=auto or backend=cpu", no_cuda->message);
  else
    g_set_error (error, DU_ERROR, code, "precision %s needs a GPU, and %s; take precision auto, f32 or bf16",
        du_precision_name (precision, DU_TYPE_F16), no_cuda->message);
}

const DuBackend *
du_backend_open (DuBackendKind kind, DuPrecision precision, int threads, int device, void *cuda_context,
    gboolean training, DuContext **context, DuType *type, char **note, GError **error)
{
  DuContextOptions options
      = { DU_TYPE_F32, du_backend_threads (threads), device, .cuda_context = cuda_context };
  const gboolean needs_gpu = kind == DU_BACKEND_CUDA || precision == DU_PRECISION_F16
                             || precision == DU_PRECISION_TF32;
  const DuBackend *backend = NULL;
  g_autoptr (GError) no_cuda = NULL;

  *context = NULL;
  *note = NULL;
  if (!check_request (kind, precision, threads, error))
    return NULL;
  if (kind == DU_BACKEND_CUDA || kind == DU_BACKEND_AUTO)
    backend = open_cuda (precision, training, &options, context, &no_cuda);
  if (!backend && needs_gpu) {
    refuse (kind, precision, no_cuda, error);
    return NULL;
  }
  if (!backend) {
    options.tf32 = options.reproducible = FALSE;
    backend = open_cpu (kind, precision, training, &options, context, note, error);
    /* Where the module is not installed, nobody meant to have a GPU. */
    if (backend && no_cuda && !g_error_matches (no_cuda, DU_ERROR, DU_ERROR_NOT_FOUND))
      add_note (note, no_cuda);
  }
  if (!backend) {
    g_clear_pointer (note, g_free);
    return NULL;
  }
  *type = options.type;
  return backend;
}

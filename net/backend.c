/* Which back end serves a request.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backend.h"

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
  if ((guint) kind > DU_BACKEND_REFERENCE)
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "back end %d is unknown", kind);
  else if ((guint) precision > DU_PRECISION_F16)
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "precision %d is unknown", precision);
  else if (threads < 0 || threads > MAX_THREADS)
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "%d threads are out of range: give 1 to %d, or 0 for one per core", threads, MAX_THREADS);
  else if (kind == DU_BACKEND_CUDA)
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "this build has no CUDA back end: take backend=auto or backend=cpu");
  else if (precision == DU_PRECISION_F16)
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "precision f16 does not run on a CPU: take auto, f32 or bf16");
  else
    return TRUE;
  return FALSE;
}

const DuBackend *
du_backend_open (DuBackendKind kind, DuPrecision precision, int threads, int device, gboolean training,
    DuContext **context, DuType *type, char **note, GError **error)
{
  static const DuType types[] = { [DU_PRECISION_F32] = DU_TYPE_F32, [DU_PRECISION_BF16] = DU_TYPE_BF16 };
  const DuBackend *backend = kind == DU_BACKEND_REFERENCE ? &du_backend_reference : &du_backend_onednn;
  DuContextOptions options = { DU_TYPE_F32, du_backend_threads (threads), device };
  g_autoptr (GError) no_bf16 = NULL;

  *context = NULL;
  *note = NULL;
  if (!check_request (kind, precision, threads, error))
    return NULL;
  if (training && !backend->backward) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "the back end %s does not train: take another", backend->name);
    return NULL;
  }
  if (precision != DU_PRECISION_AUTO)
    options.type = types[precision];
  else if (kind != DU_BACKEND_REFERENCE && !training) {
    options.type = DU_TYPE_BF16;
    *context = backend->open (&options, &no_bf16);
    if (!*context) {
      if (!g_error_matches (no_bf16, DU_ERROR, DU_ERROR_UNAVAILABLE)) {
        g_propagate_error (error, g_steal_pointer (&no_bf16));
        return NULL;
      }
      *note = g_strdup_printf ("precision is f32: %s", no_bf16->message);
      options.type = DU_TYPE_F32;
    }
  }
  if (!*context)
    *context = backend->open (&options, error);
  if (!*context) {
    g_clear_pointer (note, g_free);
    return NULL;
  }
  *type = options.type;
  return backend;
}

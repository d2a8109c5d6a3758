/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module.h"

#include <gmodule.h>

#define VARIABLE "DEBLURUNET_CUDA_MODULE" /* a path, for builds that are not installed */

/* Takes the symbols, and leaves the module open for good: CUDA's libraries do not like to be unloaded. */
static const DuBackend *
open_module (const char *path, GError **error)
{
  GModule *module;
  gpointer backend = NULL, version = NULL;

  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_set_error (error, DU_ERROR, DU_ERROR_NOT_FOUND, "the CUDA back end is not installed: there is no %s",
        path);
    return NULL;
  }
  module = g_module_open (path, G_MODULE_BIND_LOCAL);
  if (!module) {
    /* It names the library that is missing: cuDNN's, for instance. */
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE, "the CUDA back end cannot be opened: %s",
        g_module_error ());
    return NULL;
  }
  if (g_module_symbol (module, DU_MODULE_BACKEND, &backend)
      && g_module_symbol (module, DU_MODULE_VERSION, &version)
      && g_str_equal (*(const char *const *) version, DU_VERSION)) {
    g_module_make_resident (module);
    return backend;
  }
  g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
      "%s is not the CUDA back end of version " DU_VERSION ": install both from one build", path);
  g_module_close (module);
  return NULL;
}

const DuBackend *
du_module_cuda (GError **error)
{
  static GMutex lock;
  static const DuBackend *backend;
  const char *path = g_getenv (VARIABLE);

  g_mutex_lock (&lock);
  if (!backend)
    backend = open_module (path && *path ? path : DU_MODULE_DIR "/libdeblurunet-cuda." G_MODULE_SUFFIX, error);
  g_mutex_unlock (&lock);
  return backend;
}

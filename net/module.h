/* The back end that is a module of its own, opened at run time: it alone needs CUDA's libraries.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_MODULE_H
#define DU_MODULE_H

#include "backend.h"

/* What the module exports: a DuBackend, and the version of the library it was built with. */
#define DU_MODULE_BACKEND "du_backend_cuda"
#define DU_MODULE_VERSION "du_cuda_version"

/* The CUDA back end; the module stays open. DU_ERROR_NOT_FOUND where it is not installed,
 * DU_ERROR_UNAVAILABLE where it cannot be opened. */
const DuBackend *du_module_cuda (GError **error);

#endif

/* What is needed of the driver's own API, for contexts that others made.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_DRIVER_H
#define DU_CUDA_DRIVER_H

#include <cuda.h>
#include <glib.h>

typedef struct
{
  CUresult (*set_current) (CUcontext context); /* of the calling thread; NULL: none */
  CUresult (*get_device) (CUdevice *device);   /* of the current context */
} DuDriver;

/* Opened where first asked for, and left open. NULL with DU_ERROR_UNAVAILABLE where there is none. */
const DuDriver *du_driver (GError **error);

#endif

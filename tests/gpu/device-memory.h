/* Memory that kernels work on, as the program was built: of the CPU, for kernels that a C++ compiler built,
 * or of the GPU. Sizes in bytes. Whatever fails ends the program.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_DEVICE_MEMORY_H
#define DU_TESTS_DEVICE_MEMORY_H

#include <glib.h>

/* The device's name, or NULL where there is none. */
const char *device_name (void);
void *device_new (gsize size);
void device_free (void *memory);
void device_write (void *to, const void *from, gsize size);
/* Waits for all that was launched before. */
void device_read (void *to, const void *from, gsize size);

#endif

/* The NVIDIA driver's API, or the stand-in for it, as far as tests need it, opened at run time. Whatever fails ends
 * the test.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_DRIVER_H
#define DU_TESTS_DRIVER_H

#include "../frames.h"

#include "fake-driver.h"

/* FALSE where there is no driver or no device. */
gboolean driver_open (void);
/* The stand-in, or NULL where the driver is real. */
const FakeDriver *driver_fake (void);
/* A CUcontext on the device, current nowhere. */
gpointer driver_context_new (int device);
void driver_context_free (gpointer context);
/* The calling thread's, or NULL. */
gpointer driver_context_current (void);

/* A frame with its planes in the memory of a context, where they have strides of their own; samples and padding are
 * those of host. */
typedef struct
{
  TestFrame *host;
  gpointer context;
  guint64 memory[4];
  DuFrame frame;
} DeviceFrame;

void device_frame_init (DeviceFrame *device, gpointer context, TestFrame *host);
/* Everything back to the host. */
void device_frame_read (DeviceFrame *device);
void device_frame_clear (DeviceFrame *device);

#endif

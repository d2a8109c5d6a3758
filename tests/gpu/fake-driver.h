/* A stand-in for the NVIDIA driver, libcuda.so.1, where there is none: as much of it as GStreamer's CUDA library opens,
 * on the host's memory. It has two devices. Memory belongs to the context that it was made in, and is good in that one
 * alone; what is misused ends the test.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_FAKE_DRIVER_H
#define DU_TESTS_FAKE_DRIVER_H

#include <glib.h>

/* The library's symbol du_fake_driver, for the test and for the stand-in for libcudart. */
typedef struct
{
  /* The calling thread's context; NULL: none that the driver's API made. */
  gpointer (*current) (void);
  /* Makes none current, as libcudart does when it makes the primary one current. */
  void (*leave) (void);
  /* Another context for a while, or none, and back. */
  void (*push) (gpointer context);
  void (*pop) (void);
  /* Whether a range is within one piece of the current context's memory. */
  gboolean (*holds) (gconstpointer data, gsize size);
  /* More or fewer of libcudart's things in a context, which is not to be destroyed before they are. NULL is allowed. */
  void (*count) (gpointer context, int change);
  guint (*left) (void); /* contexts and pieces of memory, the host's included, that are not given back */
  guint (*copies) (void); /* between host and device, since the beginning */
  void (*fail_allocations) (gboolean fail); /* of the device's memory */
} FakeDriver;

#endif

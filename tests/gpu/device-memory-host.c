/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-memory.h"

#include <string.h>

const char *
device_name (void)
{
  return "emulated";
}

void *
device_new (gsize size)
{
  return g_malloc (size);
}

void
device_free (void *memory)
{
  g_free (memory);
}

void
device_write (void *to, const void *from, gsize size)
{
  memcpy (to, from, size);
}

void
device_read (void *to, const void *from, gsize size)
{
  memcpy (to, from, size);
}

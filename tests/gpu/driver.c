/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver.h"

#include <gmodule.h>

/* Of cuda.h, which the tests do without; results are 0 for success. */
static struct
{
  int (*init) (unsigned flags);
  int (*count) (int *count);
  int (*create) (gpointer *context, unsigned flags, int device);
  int (*destroy) (gpointer context);
  int (*push) (gpointer context);
  int (*pop) (gpointer *context);
  int (*current) (gpointer *context);
  int (*allocate) (guint64 *pointer, gsize size);
  int (*release) (guint64 pointer);
  int (*upload) (guint64 to, gconstpointer from, gsize size);
  int (*download) (gpointer to, guint64 from, gsize size);
} driver;

static GModule *module;

gboolean
driver_open (void)
{
  const struct
  {
    const char *name;
    gpointer *function;
  } symbols[] = {
    { "cuInit", (gpointer *) &driver.init },
    { "cuDeviceGetCount", (gpointer *) &driver.count },
    { "cuCtxCreate_v2", (gpointer *) &driver.create },
    { "cuCtxDestroy_v2", (gpointer *) &driver.destroy },
    { "cuCtxPushCurrent_v2", (gpointer *) &driver.push },
    { "cuCtxPopCurrent_v2", (gpointer *) &driver.pop },
    { "cuCtxGetCurrent", (gpointer *) &driver.current },
    { "cuMemAlloc_v2", (gpointer *) &driver.allocate },
    { "cuMemFree_v2", (gpointer *) &driver.release },
    { "cuMemcpyHtoD_v2", (gpointer *) &driver.upload },
    { "cuMemcpyDtoH_v2", (gpointer *) &driver.download },
  };
  int count = 0;

  if (!module)
    module = g_module_open ("libcuda.so.1", G_MODULE_BIND_LOCAL);
  if (!module)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (symbols); i++)
    if (!g_module_symbol (module, symbols[i].name, symbols[i].function))
      return FALSE;
  return driver.init (0) == 0 && driver.count (&count) == 0 && count > 0;
}

const FakeDriver *
driver_fake (void)
{
  gpointer symbol = NULL;

  return module && g_module_symbol (module, "du_fake_driver", &symbol) ? symbol : NULL;
}

gpointer
driver_context_new (int device)
{
  gpointer context = NULL;

  g_assert_cmpint (driver.create (&context, 0, device), ==, 0);
  g_assert_cmpint (driver.pop (NULL), ==, 0);
  return context;
}

void
driver_context_free (gpointer context)
{
  g_assert_cmpint (driver.destroy (context), ==, 0);
}

gpointer
driver_context_current (void)
{
  gpointer context = NULL;

  g_assert_cmpint (driver.current (&context), ==, 0);
  return context;
}

void
device_frame_init (DeviceFrame *device, gpointer context, TestFrame *host)
{
  *device = (DeviceFrame){ .host = host, .context = context, .frame = host->frame };
  device->frame.memory = DU_MEMORY_CUDA;
  g_assert_cmpint (driver.push (context), ==, 0);
  for (int plane = 0; plane < host->planes; plane++) {
    const gsize at = host->frame.data[plane] - host->memory[plane];

    g_assert_cmpint (driver.allocate (&device->memory[plane], host->size[plane]), ==, 0);
    g_assert_cmpint (driver.upload (device->memory[plane], host->memory[plane], host->size[plane]), ==, 0);
    device->frame.data[plane] = (guint8 *) (gsize) device->memory[plane] + at;
  }
  g_assert_cmpint (driver.pop (NULL), ==, 0);
}

void
device_frame_read (DeviceFrame *device)
{
  TestFrame *host = device->host;

  g_assert_cmpint (driver.push (device->context), ==, 0);
  for (int plane = 0; plane < host->planes; plane++)
    g_assert_cmpint (driver.download (host->memory[plane], device->memory[plane], host->size[plane]), ==, 0);
  g_assert_cmpint (driver.pop (NULL), ==, 0);
}

void
device_frame_clear (DeviceFrame *device)
{
  g_assert_cmpint (driver.push (device->context), ==, 0);
  for (int plane = 0; plane < device->host->planes; plane++)
    g_assert_cmpint (driver.release (device->memory[plane]), ==, 0);
  g_assert_cmpint (driver.pop (NULL), ==, 0);
}

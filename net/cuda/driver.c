/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver.h"

#include "deblurunet.h"

#include <gmodule.h>

#define LIBRARY "libcuda.so.1" /* the driver's, which is not linked: it is on machines with a GPU alone */

static gboolean
open_driver (DuDriver *driver, GError **error)
{
  GModule *module = g_module_open (LIBRARY, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);

  if (module && g_module_symbol (module, "cuCtxSetCurrent", (gpointer *) &driver->set_current)
      && g_module_symbol (module, "cuCtxGetDevice", (gpointer *) &driver->get_device)) {
    g_module_make_resident (module);
    return TRUE;
  }
  g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE, "the NVIDIA driver's " LIBRARY " cannot be used: %s",
      g_module_error ());
  if (module)
    g_module_close (module);
  return FALSE;
}

const DuDriver *
du_driver (GError **error)
{
  static GMutex lock;
  static DuDriver driver;
  static gboolean opened;
  gboolean ok;

  g_mutex_lock (&lock);
  ok = opened = opened || open_driver (&driver, error);
  g_mutex_unlock (&lock);
  return ok ? &driver : NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gstdeblurunet.h"

static gboolean
plugin_init (GstPlugin *plugin)
{
  return GST_ELEMENT_REGISTER (deblurunet, plugin);
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, deblurunet, "Deblurs video with a U-Net",
    plugin_init, DU_VERSION, "LGPL", "deblurunet", "Unknown package origin")

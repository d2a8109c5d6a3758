/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deblurunet.h"

G_DEFINE_QUARK (du-error-quark, du_error)

const char *
du_version (void)
{
  return DU_VERSION;
}

/* The public header compiles alone, as C and as C++, twice in one unit, and is of the library's version.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deblurunet.h"
#include "deblurunet.h"

#if !DU_CHECK_VERSION (0, 1, 0) || DU_CHECK_VERSION (DU_VERSION_MAJOR, DU_VERSION_MINOR, DU_VERSION_MICRO + 1) \
    || DU_CHECK_VERSION (DU_VERSION_MAJOR, DU_VERSION_MINOR + 1, 0) || DU_CHECK_VERSION (DU_VERSION_MAJOR + 1, 0, 0)
#error DU_CHECK_VERSION
#endif

int
main (void)
{
  DuConfig config;
  g_autofree char *version
      = g_strdup_printf ("%d.%d.%d", DU_VERSION_MAJOR, DU_VERSION_MINOR, DU_VERSION_MICRO);

  du_config_init (&config);
  return du_config_n_parameters (&config) == 7763491 && g_str_equal (version, du_version ()) ? 0 : 1;
}

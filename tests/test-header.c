/* The public header compiles alone, as C, twice in one unit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deblurunet.h"
#include "deblurunet.h"

int
main (void)
{
  DuConfig config;

  du_config_init (&config);
  return du_config_n_parameters (&config) == 7763491 ? 0 : 1;
}

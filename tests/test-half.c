/* binary16 and bfloat16: every pattern there and back, ties, overflow.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "half.h"

#include <math.h>

static void
test_half (void)
{
  for (guint32 i = 0; i < 65536; i++) {
    float f16 = du_f16_to_float (i), bf16 = du_bf16_to_float (i);
    float next = du_f16_to_float (i + 1);

    if (isnan (f16) ? !isnan (du_f16_to_float (du_f16_from_float (f16))) : du_f16_from_float (f16) != i)
      g_error ("F16 0x%04x is %g", i, f16);
    if (isnan (bf16) ? !isnan (du_bf16_to_float (du_bf16_from_float (bf16))) : du_bf16_from_float (bf16) != i)
      g_error ("BF16 0x%04x is %g", i, bf16);
    /* The middle of two neighbours goes to the even one, all else to the nearer. */
    if ((i & 0x7fff) < 0x7bff) {
      float middle = (f16 + next) / 2;
      float above = nextafterf (middle, next), below = nextafterf (middle, f16);

      if (du_f16_from_float (middle) != i + (i & 1) || du_f16_from_float (above) != i + 1
          || du_f16_from_float (below) != i)
        g_error ("F16: around %.9g, between 0x%04x and the next", middle, i);
    }
    if ((i & 0x7fff) < 0x7f7f) {
      DuFloatBits middle = { .bits = i << 16 | 0x8000 }, above = { .bits = i << 16 | 0x8001 };

      if (du_bf16_from_float (middle.value) != i + (i & 1) || du_bf16_from_float (above.value) != i + 1)
        g_error ("BF16: around %.9g, between 0x%04x and the next", middle.value, i);
    }
  }
  g_assert_cmphex (du_f16_from_float (65519.996f), ==, 0x7bff);
  g_assert_cmphex (du_f16_from_float (65520), ==, 0x7c00);
  g_assert_cmphex (du_f16_from_float (-1e30f), ==, 0xfc00);
  g_assert_cmphex (du_f16_from_float (0x1p-25f), ==, 0);
  g_assert_cmphex (du_f16_from_float (0x1.000002p-25f), ==, 1);
  g_assert_cmphex (du_bf16_from_float (3.4e38f), ==, 0x7f80);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/half", test_half);
  return g_test_run ();
}

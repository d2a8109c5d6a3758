/* What the parts of bench-gpu share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_BENCH_GPU_H
#define DU_TESTS_BENCH_GPU_H

#include "deblurunet.h"

extern DuBackendKind kind;
extern double seconds; /* that a measurement lasts, at least; 0 = only to see that it runs */
extern gint64 started; /* microseconds */
extern DuModel *model;
extern const char *const precision_names[];
extern char *label; /* of what the first frame finds; NULL: none */

void figure (double value, const char *format, ...) G_GNUC_PRINTF (2, 3);
double now (void); /* seconds */
DuSession *open_session (DuPrecision precision, GError **error);

gboolean bench_first_frame (DuPrecision precision, GError **error);
gboolean bench_frames (DuPrecision precision, GError **error);
gboolean bench_flow (DuPrecision precision, GError **error);

#endif

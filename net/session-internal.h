/* Whole frames through a session, for back ends that have them on their device.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_SESSION_INTERNAL_H
#define DU_SESSION_INTERNAL_H

#include "frame.h"
#include "tiles.h"

typedef struct
{
  const DuFrameKind *kind;
  const DuTilePlan *plan;
  int batch; /* tiles per forward pass, 0 = the back end's choice */
  const DuFrame *in, *out;
  float strength;
  const int *cancel; /* as in du_deblurrer_set_cancel() */
} DuSessionFrame;

gboolean du_session_has_frames (const DuSession *session);
/* As du_deblurrer_process(), whose checks are done. Only where du_session_has_frames(). */
gboolean du_session_process (DuSession *session, const DuSessionFrame *frame, GError **error);

#endif

/* Opening sessions, and what the bus hears of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_SESSION_H
#define GST_DEBLURUNET_SESSION_H

#include <gst/gst.h>

#include "deblurunet.h"

/* A session with the weights of the path (NULL: the default), or NULL. Posts warnings and notes about it. Not
 * with the object lock held. */
DuSession *gst_deblurunet_session_open (
    GstElement *element, const char *weights, const DuSessionOptions *options, GError **error);

/* Whether it takes frames in CUDA memory. */
gboolean gst_deblurunet_session_has_cuda (const DuSession *session);
/* Posts why it does not, or why there is none that does, and what to do. */
void gst_deblurunet_post_cuda_error (GstElement *element, const DuSession *session, const GError *error);

/* Asks for the CPU instead, in the nearest precision that it has. */
void gst_deblurunet_options_on_cpu (DuSessionOptions *options);

/* Posts the warning that the CPU takes over from a GPU that failed so. Not with the object lock held. */
void gst_deblurunet_post_gpu_warning (GstElement *element, const GError *error);

/* Posts an error of GStreamer's, or one of the library's with what it means in GStreamer's terms; as a warning
 * where it is not fatal. Not with the object lock held. */
void gst_deblurunet_post_error (GstElement *element, const GError *error, gboolean fatal);

#endif

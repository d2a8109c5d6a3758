/* The element's inside. Three rooms: gstdeblurunet.c has the class, its states, sessions and properties, negotiation.c
 * caps, memory and pools, flow.c what happens to frames and events.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GST_DEBLURUNET_ELEMENT_H
#define GST_DEBLURUNET_ELEMENT_H

#include "gstdeblurunet.h"

#include "compare.h"
#include "cudamemory.h"
#include "qos.h"
#include "queue.h"
#include "session.h"

GST_DEBUG_CATEGORY_EXTERN (gst_deblurunet_debug);

#define GST_DEBLURUNET_PARENT GST_BASE_TRANSFORM_CLASS (g_type_class_peek (GST_TYPE_VIDEO_FILTER))

struct _GstDeblurunet
{
  GstVideoFilter parent;

  GstDeblurunetQueue *queue; /* of frames on their way */
  GRWLock negotiation; /* read by queries for caps, written where compare changes */

  /* Under the object lock: */
  GstDeblurunetSettings settings;
  gboolean weights_changed;    /* since the session was opened */
  GstDeblurunetCompare compare; /* that caps and frames go by: the setting, once between two frames */
  DuSession *session;       /* while started */
  GstDeblurunetCuda cuda;
  GstDeblurunetStats stats;
  GstDeblurunetQos qos;
  GstClockTime processing;     /* of a frame, lately */
  GstClockTime frame_duration; /* by the caps; 0: not known */
  gboolean live;               /* as the last LATENCY query was answered */
  GstClockTime reported;       /* what the pipeline was told, or is about to ask for */

  /* The streaming thread's own: */
  DuSessionOptions options; /* since start */
  guint frames_in_flight;   /* since start */
  guint caps;               /* how many there have been */
  DuMemory memory;          /* of frames, by the caps */
  gpointer cuda_context;    /* that the session is in, or NULL */
  gboolean video_meta;      /* downstream understands GstVideoMeta */
  gboolean discont;         /* frames were dropped before the next one */
  gboolean warned;          /* that frames come too late */
  /* For this frame: */
  gboolean late; /* to be handed on as it is */
  double strength, split_position;
};

/* gstdeblurunet.c: */

/* With the weights that the property names. Takes the object lock. */
DuSession *gst_deblurunet_open_session (GstDeblurunet *self, GError **error);
/* Takes the new session, and the object lock. */
void gst_deblurunet_replace_session (GstDeblurunet *self, DuSession *session);
/* After each frame: the periodic message, where one is asked for and due. */
void gst_deblurunet_tell_stats (GstDeblurunet *self);
/* How long a frame stays here: as long as it takes, or until those have come that may be on their way after it.
 * The object lock is held. */
GstClockTime gst_deblurunet_latency (GstDeblurunet *self);

/* negotiation.c: */

void gst_deblurunet_negotiation_class_init (GstDeblurunetClass *klass);
/* Takes a changed property compare in, whose caps may be others. The streaming thread, between two frames. */
void gst_deblurunet_update_compare (GstDeblurunet *self);
/* Whether the caps are those of two pictures side by side. */
gboolean gst_deblurunet_is_wide (GstDeblurunet *self);
/* For frames in CUDA memory: a session in their context. Posts an error where there is none. */
gboolean gst_deblurunet_enter_cuda (GstDeblurunet *self);
/* Posts an error where nothing here can deblur what the CAPS event tells of. */
gboolean gst_deblurunet_takes_caps (GstDeblurunet *self, GstEvent *event);

/* flow.c: */

void gst_deblurunet_flow_class_init (GstDeblurunetClass *klass);
/* Hands on the frames that are done, and waits until no more than so many are on their way. Where downstream
 * takes no more, those that are left are dropped. */
GstFlowReturn gst_deblurunet_hand_on (GstDeblurunet *self, guint left);
/* Whether the frame is handed on as it is. */
gboolean gst_deblurunet_needs_no_work (GstDeblurunet *self);

#endif

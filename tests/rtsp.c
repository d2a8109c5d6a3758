/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rtsp.h"

#include <gst/rtsp-server/rtsp-server.h>

static gpointer
serve (gpointer context)
{
  GMainLoop *loop = g_main_loop_new (context, FALSE);

  g_main_context_push_thread_default (context);
  g_main_loop_run (loop);
  return NULL;
}

char *
rtsp_server_start (void)
{
  GMainContext *context = g_main_context_new ();
  GstRTSPServer *server = gst_rtsp_server_new ();
  GstRTSPMountPoints *mounts = gst_rtsp_server_get_mount_points (server);
  GstRTSPMediaFactory *factory = gst_rtsp_media_factory_new ();

  gst_rtsp_media_factory_set_launch (factory,
      "( videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=25/1 "
      "! x264enc tune=zerolatency key-int-max=5 ! rtph264pay name=pay0 pt=96 config-interval=-1 )");
  gst_rtsp_mount_points_add_factory (mounts, "/camera", factory);
  g_object_unref (mounts);
  gst_rtsp_server_set_address (server, "127.0.0.1");
  gst_rtsp_server_set_service (server, "0"); /* any free port */
  if (gst_rtsp_server_attach (server, context) == 0)
    return NULL;
  g_thread_unref (g_thread_new ("rtsp", serve, context));
  return g_strdup_printf ("rtsp://127.0.0.1:%d/camera", gst_rtsp_server_get_bound_port (server));
}

/* player [OPTION…] FILE-OR-ADDRESS: plays a video, before on the left and deblurred on the right of a line
 * that the mouse moves. Both pictures are kept, so the line moves at once, however long a frame takes, and in a
 * pause as well.
 *
 *   left and right arrow: the line; space: pause; s: save what is seen; q: quit
 *
 * GTK 4.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gst/app/gstappsink.h>
#include <gst/video/video.h>
#include <gtk/gtk.h>

/* ---- the picture ------------------------------------------------------------------------- */

#define VIEW_TYPE (player_view_get_type ())
G_DECLARE_FINAL_TYPE (PlayerView, player_view, PLAYER, VIEW, GtkWidget)

struct _PlayerView
{
  GtkWidget parent;
  GdkTexture *before, *after; /* NULL until the first frame */
  double split;               /* part of the picture's width, 0..1 */
  double drag_start;          /* where the mouse went down, in the widget */
};

G_DEFINE_FINAL_TYPE (PlayerView, player_view, GTK_TYPE_WIDGET)

/* Where the picture stands in the widget: as large as it can, its shape kept. */
static graphene_rect_t
picture_area (PlayerView *view, double width, double height)
{
  double w = gdk_texture_get_width (view->after), h = gdk_texture_get_height (view->after);
  double scale = MIN (width / w, height / h);

  return GRAPHENE_RECT_INIT ((float) ((width - w * scale) / 2), (float) ((height - h * scale) / 2),
      (float) (w * scale), (float) (h * scale));
}

static void
draw (PlayerView *view, GtkSnapshot *snapshot, double width, double height)
{
  graphene_rect_t area = picture_area (view, width, height), part = area;
  const GdkRGBA white = { 1, 1, 1, 1 };
  float split = (float) view->split * area.size.width;

  gtk_snapshot_append_texture (snapshot, view->after, &area);
  part.size.width = split;
  gtk_snapshot_push_clip (snapshot, &part);
  gtk_snapshot_append_texture (snapshot, view->before, &area);
  gtk_snapshot_pop (snapshot);
  part.origin.x += split - 1;
  part.size.width = 2;
  gtk_snapshot_append_color (snapshot, &white, &part);
}

static void
view_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  PlayerView *view = PLAYER_VIEW (widget);

  if (view->after)
    draw (view, snapshot, gtk_widget_get_width (widget), gtk_widget_get_height (widget));
}

static void
view_set_split (PlayerView *view, double split)
{
  view->split = CLAMP (split, 0, 1);
  gtk_widget_queue_draw (GTK_WIDGET (view));
}

static void
move_to (PlayerView *view, double x)
{
  graphene_rect_t area;

  if (!view->after)
    return;
  area = picture_area (view, gtk_widget_get_width (GTK_WIDGET (view)), gtk_widget_get_height (GTK_WIDGET (view)));
  view_set_split (view, (x - area.origin.x) / area.size.width);
}

static void
drag_begin (GtkGestureDrag *gesture, double x, double y, PlayerView *view)
{
  (void) gesture;
  (void) y;
  view->drag_start = x;
  move_to (view, x);
}

static void
drag_update (GtkGestureDrag *gesture, double dx, double dy, PlayerView *view)
{
  (void) gesture;
  (void) dy;
  move_to (view, view->drag_start + dx);
}

/* Takes the textures. */
static void
view_show (PlayerView *view, GdkTexture *before, GdkTexture *after)
{
  g_set_object (&view->before, before);
  g_set_object (&view->after, after);
  g_object_unref (before);
  g_object_unref (after);
  gtk_widget_queue_draw (GTK_WIDGET (view));
}

/* What is seen, in the video's own size. */
static gboolean
view_save (PlayerView *view, const char *path)
{
  int width = gdk_texture_get_width (view->after), height = gdk_texture_get_height (view->after);
  GskRenderer *renderer = gtk_native_get_renderer (gtk_widget_get_native (GTK_WIDGET (view)));
  GtkSnapshot *snapshot = gtk_snapshot_new ();
  g_autoptr (GskRenderNode) node = NULL;
  g_autoptr (GdkTexture) texture = NULL;

  draw (view, snapshot, width, height);
  node = gtk_snapshot_free_to_node (snapshot);
  texture = gsk_renderer_render_texture (
      renderer, node, &GRAPHENE_RECT_INIT (0, 0, (float) width, (float) height));
  return gdk_texture_save_to_png (texture, path);
}

static void
view_dispose (GObject *object)
{
  g_clear_object (&PLAYER_VIEW (object)->before);
  g_clear_object (&PLAYER_VIEW (object)->after);
  G_OBJECT_CLASS (player_view_parent_class)->dispose (object);
}

static void
player_view_class_init (PlayerViewClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = view_dispose;
  GTK_WIDGET_CLASS (klass)->snapshot = view_snapshot;
}

static void
player_view_init (PlayerView *view)
{
  GtkGesture *drag = gtk_gesture_drag_new ();

  g_signal_connect (drag, "drag-begin", G_CALLBACK (drag_begin), view);
  g_signal_connect (drag, "drag-update", G_CALLBACK (drag_update), view);
  gtk_widget_add_controller (GTK_WIDGET (view), GTK_EVENT_CONTROLLER (drag));
  gtk_widget_set_cursor_from_name (GTK_WIDGET (view), "col-resize");
}

/* ---- the video --------------------------------------------------------------------------- */

typedef struct
{
  GMainLoop *loop;
  GtkWindow *window;
  PlayerView *view;
  GstElement *pipeline;
  GstAppSink *before_sink;
  GstSample *before; /* the last one taken; the streaming thread's */
  const char *name;  /* of the video */
  char *save;        /* where to */
  gboolean once, failed;

  GMutex lock;
  GdkTexture *next[2]; /* before and after, to be shown; NULL: nothing new */
} Player;

static GdkTexture *
texture_of (GstSample *sample)
{
  GstVideoInfo info;
  GstVideoFrame frame;
  g_autoptr (GBytes) bytes = NULL;
  GdkTexture *texture;

  if (!gst_video_info_from_caps (&info, gst_sample_get_caps (sample))
      || !gst_video_frame_map (&frame, &info, gst_sample_get_buffer (sample), GST_MAP_READ))
    return NULL;
  bytes = g_bytes_new (GST_VIDEO_FRAME_PLANE_DATA (&frame, 0),
      (gsize) GST_VIDEO_FRAME_PLANE_STRIDE (&frame, 0) * GST_VIDEO_INFO_HEIGHT (&info));
  texture = gdk_memory_texture_new (GST_VIDEO_INFO_WIDTH (&info), GST_VIDEO_INFO_HEIGHT (&info),
      GDK_MEMORY_R8G8B8, bytes, GST_VIDEO_FRAME_PLANE_STRIDE (&frame, 0));
  gst_video_frame_unmap (&frame);
  return texture;
}

/* In the main thread. */
static gboolean
show_next (gpointer data)
{
  Player *player = data;
  GdkTexture *next[2];

  g_mutex_lock (&player->lock);
  for (int i = 0; i < 2; i++)
    next[i] = g_steal_pointer (&player->next[i]);
  g_mutex_unlock (&player->lock);
  if (next[0])
    view_show (player->view, next[0], next[1]);
  return G_SOURCE_REMOVE;
}

/* A deblurred frame is due. Finds the one that it was made of: frames may have been left out in between. */
static GstFlowReturn
new_sample (GstAppSink *sink, gpointer data)
{
  Player *player = data;
  g_autoptr (GstSample) after = gst_app_sink_pull_sample (sink);
  GstClockTime time;
  GdkTexture *next[2];

  if (!after)
    return GST_FLOW_EOS;
  time = GST_BUFFER_PTS (gst_sample_get_buffer (after));
  do {
    g_clear_pointer (&player->before, gst_sample_unref);
    player->before = gst_app_sink_pull_sample (player->before_sink);
  } while (player->before && GST_CLOCK_TIME_IS_VALID (time)
           && GST_BUFFER_PTS (gst_sample_get_buffer (player->before)) < time);
  if (!player->before)
    return GST_FLOW_EOS;
  next[0] = texture_of (player->before);
  next[1] = texture_of (after);
  if (!next[0] || !next[1]) {
    g_clear_object (&next[0]);
    g_clear_object (&next[1]);
    return GST_FLOW_ERROR;
  }
  g_mutex_lock (&player->lock);
  for (int i = 0; i < 2; i++) {
    g_set_object (&player->next[i], next[i]);
    g_object_unref (next[i]);
  }
  g_mutex_unlock (&player->lock);
  g_idle_add (show_next, player);
  return GST_FLOW_OK;
}

static void
save (Player *player)
{
  if (player->view->after && view_save (player->view, player->save))
    return;
  g_printerr ("player: %s cannot be written\n", player->save);
  player->failed = TRUE;
}

static gboolean
on_message (GstBus *bus, GstMessage *message, gpointer data)
{
  Player *player = data;
  g_autoptr (GError) error = NULL;

  (void) bus;
  switch (GST_MESSAGE_TYPE (message)) {
  case GST_MESSAGE_ERROR:
    gst_message_parse_error (message, &error, NULL);
    g_printerr ("player: %s: %s: %s\n", player->name, GST_OBJECT_NAME (message->src), error->message);
    player->failed = TRUE;
    g_main_loop_quit (player->loop);
    break;
  case GST_MESSAGE_WARNING:
    gst_message_parse_warning (message, &error, NULL);
    g_printerr ("player: %s: %s\n", GST_OBJECT_NAME (message->src), error->message);
    break;
  case GST_MESSAGE_EOS:
    if (player->once) {
      show_next (player);
      save (player);
      g_main_loop_quit (player->loop);
    }
    break;
  case GST_MESSAGE_LATENCY:
    gst_bin_recalculate_latency (GST_BIN (player->pipeline));
    break;
  default:
    break;
  }
  return G_SOURCE_CONTINUE;
}

static gboolean
key_pressed (GtkEventControllerKey *keys, guint key, guint code, GdkModifierType modifiers, Player *player)
{
  GstState state = GST_STATE_NULL;

  (void) keys;
  (void) code;
  (void) modifiers;
  switch (key) {
  case GDK_KEY_Left:
  case GDK_KEY_Right:
    view_set_split (player->view, player->view->split + (key == GDK_KEY_Left ? -0.02 : 0.02));
    return TRUE;
  case GDK_KEY_space:
    gst_element_get_state (player->pipeline, &state, NULL, 0);
    gst_element_set_state (player->pipeline, state == GST_STATE_PLAYING ? GST_STATE_PAUSED : GST_STATE_PLAYING);
    return TRUE;
  case GDK_KEY_s:
    if (player->view->after)
      save (player);
    return TRUE;
  case GDK_KEY_q:
    g_main_loop_quit (player->loop);
    return TRUE;
  }
  return FALSE;
}

static void
make_window (Player *player, double split)
{
  GtkEventController *keys = gtk_event_controller_key_new ();

  player->view = g_object_new (VIEW_TYPE, "hexpand", TRUE, "vexpand", TRUE, NULL);
  player->view->split = split;
  player->window = GTK_WINDOW (gtk_window_new ());
  gtk_window_set_title (player->window, player->name);
  gtk_window_set_default_size (player->window, 960, 540);
  gtk_window_set_child (player->window, GTK_WIDGET (player->view));
  g_signal_connect (keys, "key-pressed", G_CALLBACK (key_pressed), player);
  gtk_widget_add_controller (GTK_WIDGET (player->window), keys);
  g_signal_connect_swapped (player->window, "destroy", G_CALLBACK (g_main_loop_quit), player->loop);
  g_object_add_weak_pointer (G_OBJECT (player->window), (gpointer *) &player->window);
  g_object_ref (player->view);
  gtk_window_present (player->window);
}

/* Both ways end in a sink; only the deblurred one keeps time. */
static gboolean
make_pipeline (Player *player, const char *uri, const char *weights)
{
  GstAppSinkCallbacks calls = { .new_sample = new_sample };
  g_autoptr (GstElement) source = NULL, deblur = NULL, after = NULL;
  g_autoptr (GError) error = NULL;

  player->pipeline = gst_parse_launch (
      "uridecodebin name=source ! videoconvert ! video/x-raw,format=RGB ! tee name=both "
      "both. ! queue max-size-buffers=2 max-size-bytes=0 max-size-time=0 "
      "! appsink name=before sync=false async=false "
      "both. ! queue max-size-buffers=2 max-size-bytes=0 max-size-time=0 "
      "! deblurunet name=deblur ! appsink name=after",
      &error);
  if (error) {
    g_printerr ("player: %s\n", error->message);
    g_clear_pointer (&player->pipeline, gst_object_unref);
    return FALSE;
  }
  source = gst_bin_get_by_name (GST_BIN (player->pipeline), "source");
  deblur = gst_bin_get_by_name (GST_BIN (player->pipeline), "deblur");
  after = gst_bin_get_by_name (GST_BIN (player->pipeline), "after");
  player->before_sink = GST_APP_SINK (gst_bin_get_by_name (GST_BIN (player->pipeline), "before"));
  g_object_set (source, "uri", uri, NULL);
  if (weights)
    g_object_set (deblur, "weights", weights, NULL);
  gst_app_sink_set_callbacks (GST_APP_SINK (after), &calls, player, NULL);
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autofree char *weights = NULL, *uri = NULL;
  double split = 0.5;
  Player player = { 0 };
  const GOptionEntry entries[] = {
    { "weights", 'w', 0, G_OPTION_ARG_FILENAME, &weights, "Weights file; else the installed default", "FILE" },
    { "split", 's', 0, G_OPTION_ARG_DOUBLE, &split, "Where the line stands, 0 to 1 (0.5)", "X" },
    { "save", 'o', 0, G_OPTION_ARG_FILENAME, &player.save, "Where the key s saves to (before-after.png)", "PNG" },
    { "once", '1', 0, G_OPTION_ARG_NONE, &player.once, "At the video's end save what is seen, and quit", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("FILE-OR-ADDRESS");
  g_autoptr (GError) error = NULL;
  g_autoptr (GstBus) bus = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_group (context, gst_init_get_option_group ());
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc != 2) {
    g_printerr ("player: %s\n", error ? error->message : "give one file or address; see --help");
    return 2;
  }
  uri = gst_uri_is_valid (argv[1]) ? g_strdup (argv[1]) : gst_filename_to_uri (argv[1], &error);
  if (!uri || !gtk_init_check ()) {
    g_printerr ("player: %s\n", error ? error->message : "there is no screen");
    return 1;
  }
  player.name = argv[1];
  if (!player.save)
    player.save = g_strdup ("before-after.png");
  if (!make_pipeline (&player, uri, weights))
    return 1;
  player.loop = g_main_loop_new (NULL, FALSE);
  g_mutex_init (&player.lock);
  make_window (&player, CLAMP (split, 0, 1));
  bus = gst_element_get_bus (player.pipeline);
  gst_bus_add_watch (bus, on_message, &player);

  gst_element_set_state (player.pipeline, GST_STATE_PLAYING);
  g_main_loop_run (player.loop);
  gst_element_set_state (player.pipeline, GST_STATE_NULL);

  gst_bus_remove_watch (bus);
  show_next (&player); /* drops what is left */
  if (player.window)
    gtk_window_destroy (player.window);
  g_object_unref (player.view);
  g_clear_pointer (&player.before, gst_sample_unref);
  gst_object_unref (player.before_sink);
  gst_object_unref (player.pipeline);
  g_main_loop_unref (player.loop);
  g_mutex_clear (&player.lock);
  g_free (player.save);
  return player.failed ? 1 : 0;
}

/* Decoding: every form of one picture, every kind of bad file, video, orientation, sizes, lists.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media.h"

#include <glib/gstdio.h>
#include <gst/gst.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum
{
  HEIGHT = 40, /* of tests/data/pictures/upright.rgb */
  WIDTH = 56,
};

static char *
picture_path (const char *name)
{
  return g_test_build_filename (G_TEST_DIST, "data", "pictures", name, NULL);
}

/* The pixels of one of the .rgb files. */
static guint8 *
read_pixels (const char *name, gsize bytes)
{
  g_autofree char *path = picture_path (name);
  g_autoptr (GError) error = NULL;
  char *data;
  gsize length;

  g_file_get_contents (path, &data, &length, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (length, ==, bytes);
  return (guint8 *) data;
}

static void
remove_folder (const char *path)
{
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder))) {
    g_autofree char *full = g_build_filename (path, name, NULL);

    if (g_unlink (full) != 0)
      remove_folder (full);
  }
  g_rmdir (path);
}

static void
write_file (const char *folder, const char *name, const void *data, gssize length)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  g_unlink (path); /* replacing would wait for the disk */
  g_assert_true (g_file_set_contents (path, data, length, NULL));
}

typedef struct
{
  GMutex lock;
  guint count, frames[16];
  guint8 *rgb[16];
  int height, width;
} Taken;

static gboolean
take (guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data, GError **error)
{
  Taken *taken = data;

  (void) file, (void) error;
  g_mutex_lock (&taken->lock);
  if (taken->count < G_N_ELEMENTS (taken->rgb)) {
    taken->frames[taken->count] = frame;
    taken->rgb[taken->count] = g_memdup2 (rgb, 3 * (gsize) height * width);
    taken->height = height;
    taken->width = width;
  }
  taken->count++;
  g_mutex_unlock (&taken->lock);
  return TRUE;
}

static void
taken_clear (Taken *taken)
{
  for (guint i = 0; i < MIN (taken->count, G_N_ELEMENTS (taken->rgb)); i++)
    g_free (taken->rgb[i]);
  memset (taken, 0, sizeof *taken);
}

/* GStreamer starts with the first list. */
static void
start (void)
{
  char *none[] = { NULL };
  g_auto (GStrv) files = media_list (none, NULL);

  g_assert_nonnull (files);
}

static void
test_forms (void)
{
  static const struct
  {
    const char *name;
    int largest; /* difference */
    double mean;
    gboolean gray;
  } rows[] = {
    { "plain.png", 0, 0 }, { "opaque.png", 0, 0 }, { "rgb16.png", 0, 0 }, { "rgba16.png", 0, 0 },
    { "palette.png", 14, 3.5 }, { "gray.png", 0, 0, TRUE }, { "gray.jpg", 3, 0.2, TRUE },
    { "plain.bmp", 0, 0 }, { "plain.tif", 0, 0 }, { "plain.webp", 0, 0 },
    { "plain.jpg", 8, 0.8 }, { "progressive.jpg", 8, 0.8 }, { "half.jpg", 255, 2.5 },
    { "turned2.jpg", 8, 0.8 }, { "turned3.jpg", 8, 0.8 }, { "turned4.jpg", 8, 0.8 }, { "turned5.jpg", 8, 0.8 },
    { "turned6.jpg", 8, 0.8 }, { "turned7.jpg", 8, 0.8 }, { "turned8.jpg", 8, 0.8 },
  };
  g_autofree guint8 *upright = read_pixels ("upright.rgb", 3 * HEIGHT * WIDTH);
  MediaOptions options = { 0 };

  start ();
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *path = picture_path (rows[i].name);
    g_autoptr (GError) error = NULL;
    Taken taken = { 0 };
    int largest = 0;
    double sum = 0;

    media_decode (path, 0, &options, take, &taken, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (taken.count, ==, 1);
    if (taken.height != HEIGHT || taken.width != WIDTH)
      g_error ("%s: %dx%d", rows[i].name, taken.width, taken.height);
    for (int p = 0; p < HEIGHT * WIDTH; p++)
      for (int c = 0; c < 3; c++) {
        const guint8 *from = upright + 3 * p;
        /* Pillow's gray: BT.601's weights in 1/65536. */
        int want = rows[i].gray ? (from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 0x8000) >> 16 : from[c];
        int off = ABS (taken.rgb[0][3 * p + c] - want);

        largest = MAX (largest, off);
        sum += off;
      }
    sum /= 3 * HEIGHT * WIDTH;
    if (largest > rows[i].largest || sum > rows[i].mean)
      g_error ("%s: %d off at most, %.3f in the mean", rows[i].name, largest, sum);
    taken_clear (&taken);
  }
}

static void
expect_bad (const char *path, const char *reason)
{
  MediaOptions options = { 0 };
  g_autoptr (GError) error = NULL;
  Taken taken = { 0 };

  if (media_decode (path, 0, &options, take, &taken, &error))
    g_error ("%s was taken", path);
  g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
  if (!strstr (error->message, reason))
    g_error ("%s: '%s' does not say '%s'", path, error->message, reason);
  taken_clear (&taken);
}

static void
test_bad (void)
{
  static const char *const rows[][2] = {
    { "cmyk.jpg", "CMYK" }, { "transparent.png", "transparent" }, { "one.png", "1x1" },
    { "bomb.jpg", "60000x60000" }, { "bomb.png", "20000x20000" }, { "bomb.webp", "16383x16383" },
    { "upright.rgb", "" /* some GStreamers see sound in it */ }, { "missing.png", "cannot be opened" },
    { "", "regular" },
  };
  g_autofree char *folder = g_dir_make_tmp ("media-XXXXXX", NULL);
  g_autofree char *empty = g_build_filename (folder, "empty.jpg", NULL);
  g_autofree char *text = g_build_filename (folder, "text.jpg", NULL);
  g_autofree char *fifo = g_build_filename (folder, "fifo.jpg", NULL);

  start ();
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *path = picture_path (rows[i][0]);

    expect_bad (path, rows[i][1]);
  }
  write_file (folder, "empty.jpg", "", 0);
  write_file (folder, "text.jpg", "no picture but words\n", -1);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  expect_bad (empty, "empty");
  expect_bad (text, "neither");
  expect_bad (fifo, "regular");
  remove_folder (folder);
}

/* Cut anywhere, no file is taken, hangs or crashes; and so with a wrong name. */
static void
test_truncated (void)
{
  static const struct
  {
    const char *name;
    guint step; /* bytes between cuts */
    guint end;  /* bytes at the end without which the picture is whole: PNG's end chunk */
  } rows[] = { { "plain.jpg", 41 }, { "progressive.jpg", 97 }, { "turned6.jpg", 97 }, { "rgb16.png", 61, 12 },
    { "plain.png", 7, 12 }, { "plain.webp", 40 }, { "plain.bmp", 1500 } };
  g_autofree char *folder = g_dir_make_tmp ("media-XXXXXX", NULL);
  g_autofree char *cut = g_build_filename (folder, "cut.tif", NULL);

  start ();
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *path = picture_path (rows[i].name);
    g_autofree char *data = NULL;
    gsize length;

    g_assert_true (g_file_get_contents (path, &data, &length, NULL));
    for (gsize end = 1; end + rows[i].end < length; end += rows[i].step) {
      write_file (folder, "cut.tif", data, end);
      expect_bad (cut, "");
    }
    write_file (folder, "cut.tif", data, length - rows[i].end - 1);
    expect_bad (cut, "");
    write_file (folder, "cut.tif", data, length);
    MediaOptions options = { 0 };
    Taken taken = { 0 };
    g_assert_true (media_decode (cut, 0, &options, take, &taken, NULL));
    taken_clear (&taken);
  }
  remove_folder (folder);
}

static void
test_video (void)
{
  enum { FRAMES = 5, BYTES = 24 * 32 * 3 };
  g_autofree guint8 *expected = read_pixels ("video.rgb", FRAMES * BYTES);
  g_autofree char *path = picture_path ("video.mkv");

  start ();
  for (guint every = 0; every < 4; every++) {
    MediaOptions options = { .every = every };
    guint step = MAX (every, 1);
    g_autoptr (GError) error = NULL;
    Taken taken = { 0 };

    media_decode (path, 0, &options, take, &taken, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (taken.count, ==, (FRAMES + step - 1) / step);
    for (guint i = 0; i < taken.count; i++) {
      g_assert_cmpuint (taken.frames[i], ==, i * step);
      for (int p = 0; p < BYTES; p++)
        if (ABS (taken.rgb[i][p] - expected[taken.frames[i] * BYTES + p]) > 1)
          g_error ("frame %u, byte %d: %d, not %d", taken.frames[i], p, taken.rgb[i][p],
              expected[taken.frames[i] * BYTES + p]);
    }
    taken_clear (&taken);
  }
}

/* A video's own note of how it is to be turned. */
static void
test_turned_video (void)
{
  g_autofree char *path = picture_path ("turned.mp4");
  MediaOptions options = { 0 };
  g_autoptr (GError) error = NULL;
  Taken taken = { 0 };

  start ();
  media_decode (path, 0, &options, take, &taken, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (taken.count, >=, 1);
  g_assert_cmpint (taken.height, ==, 48);
  g_assert_cmpint (taken.width, ==, 32);
  for (int y = 0; y < 48; y++)
    if (ABS (y - 24) > 4)
      g_assert_cmpint (ABS (taken.rgb[0][3 * (y * 32 + 16)] - (y < 24 ? 220 : 30)), <, 40);
  taken_clear (&taken);
}

static gboolean
refuse (guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data, GError **error)
{
  (void) file, (void) frame, (void) height, (void) width, (void) rgb, (void) data;
  g_set_error (error, TRAIN_ERROR, EXIT_IO, "enough");
  return FALSE;
}

static void
test_stop (void)
{
  g_autofree char *path = picture_path ("video.mkv");
  MediaOptions options = { 0 };
  g_autoptr (GError) error = NULL;

  start ();
  g_assert_false (media_decode (path, 0, &options, refuse, NULL, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_IO);
}

/* Reduction averages: a checkerboard of single pixels becomes gray, not a pattern. Cropping keeps the middle,
 * stretching keeps all. */
static void
test_size (void)
{
  enum { SIDE = 256, SMALL = 32 };
  g_autofree char *folder = g_dir_make_tmp ("media-XXXXXX", NULL);
  g_autofree char *board = g_build_filename (folder, "board.png", NULL);
  g_autofree char *bands = g_build_filename (folder, "bands.png", NULL);
  g_autofree guint8 *rgb = g_malloc (3 * SIDE * SIDE);
  MediaOptions options = { SYNTH_FIT_STRETCH, SMALL, SMALL };
  g_autoptr (GError) error = NULL;
  Taken taken = { 0 };

  start ();
  for (int i = 0; i < SIDE * SIDE; i++)
    memset (rgb + 3 * i, (i + i / SIDE) % 2 * 254, 3);
  g_assert_true (media_write_png (board, SIDE, SIDE, rgb, NULL));
  media_decode (board, 0, &options, take, &taken, &error);
  g_assert_no_error (error);
  g_assert_cmpint (taken.height, ==, SMALL);
  for (int p = 0; p < 3 * SMALL * SMALL; p++)
    if (ABS (taken.rgb[0][p] - 127) > 1)
      g_error ("byte %d is %d", p, taken.rgb[0][p]);
  taken_clear (&taken);

  /* Twice as wide as high: dark quarters left and right of a light middle. */
  for (int y = 0; y < SIDE / 2; y++)
    for (int x = 0; x < SIDE; x++)
      memset (rgb + 3 * (y * SIDE + x), x < SIDE / 4 || x >= 3 * SIDE / 4 ? 20 : 220, 3);
  g_assert_true (media_write_png (bands, SIDE / 2, SIDE, rgb, NULL));
  for (int fit = SYNTH_FIT_STRETCH; fit <= SYNTH_FIT_CROP; fit++) {
    options.fit = fit;
    media_decode (bands, 0, &options, take, &taken, &error);
    g_assert_no_error (error);
    for (int x = 0; x < SMALL; x++) {
      int value = taken.rgb[0][3 * (SMALL / 2 * SMALL + x)];
      gboolean dark = fit == SYNTH_FIT_STRETCH && (x < SMALL / 4 || x >= 3 * SMALL / 4);
      gboolean edge = fit == SYNTH_FIT_CROP ? x < 3 || x >= SMALL - 3
                                            : ABS (x - SMALL / 4) < 4 || ABS (x - 3 * SMALL / 4) < 4;

      if (!edge && ABS (value - (dark ? 20 : 220)) > 2)
        g_error ("fit %d, column %d: %d", fit, x, value);
    }
    taken_clear (&taken);
  }
  remove_folder (folder);
}

static void
test_list (void)
{
  g_autofree char *folder = g_dir_make_tmp ("media-XXXXXX", NULL);
  g_autofree char *inner = g_build_filename (folder, "b", NULL);
  g_autofree char *jpeg = picture_path ("plain.jpg");
  g_autofree char *data = NULL;
  gsize length;
  char *paths[] = { folder, jpeg, NULL };
  static const char *const expected[] = { "a.JPG", "b/0.png", "b/unnamed", "c.mkv" };
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_get_contents (jpeg, &data, &length, NULL));
  g_mkdir (inner, 0700);
  write_file (folder, "c.mkv", "damaged", -1);
  write_file (folder, "a.JPG", data, length);
  write_file (folder, ".hidden.jpg", data, length);
  write_file (folder, "notes.txt", "words", -1);
  write_file (inner, "unnamed", data, length);
  write_file (inner, "0.png", data, length);

  g_auto (GStrv) files = media_list (paths, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_strv_length (files), ==, 5);
  for (guint i = 0; i < 4; i++) {
    g_autofree char *path = g_build_filename (folder, expected[i], NULL);

    g_assert_cmpstr (files[i], ==, path);
  }
  g_assert_cmpstr (files[4], ==, jpeg);
  g_assert_cmpint (media_kind (files[0]), ==, MEDIA_PICTURE);
  g_assert_cmpint (media_kind (files[3]), ==, MEDIA_UNKNOWN);
  remove_folder (folder);
}

/* Links that lead back up give nothing twice, however many there are; a path that is not there is no list. */
static void
test_rings (void)
{
  g_autofree char *folder = g_dir_make_tmp ("media-XXXXXX", NULL);
  g_autofree char *inner = g_build_filename (folder, "b", NULL), *none = g_build_filename (folder, "none", NULL);
  char *paths[] = { folder, NULL }, *two[] = { folder, none, NULL };
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) files = NULL;

  g_mkdir (inner, 0700);
  write_file (folder, "a.png", "1", 1);
  write_file (inner, "b.png", "1", 1);
  for (int i = 0; i < 4; i++) {
    g_autofree char *name = g_strdup_printf ("%s/ring%d", i % 2 ? inner : folder, i);

    g_assert_cmpint (symlink (i < 2 ? "." : folder, name), ==, 0);
  }
  files = media_list (paths, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_strv_length (files), ==, 2);
  g_assert_true (g_str_has_suffix (files[0], "/a.png") && g_str_has_suffix (files[1], "/b/b.png"));
  g_assert_null (media_list (two, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
  g_assert_nonnull (strstr (error->message, none));
  remove_folder (folder);
}

/* Without a decoder for it: the reason names what is missing. */
static void
test_missing_decoder (void)
{
  g_autofree char *path = picture_path ("turned.mp4");
  g_autoptr (GstCaps) caps = NULL;
  GList *decoders, *removed;

  start ();
  caps = gst_caps_from_string ("video/mpeg, mpegversion=4, systemstream=false");
  decoders = gst_element_factory_list_get_elements (
      GST_ELEMENT_FACTORY_TYPE_DECODER | GST_ELEMENT_FACTORY_TYPE_MEDIA_VIDEO, GST_RANK_NONE);
  removed = gst_element_factory_list_filter (decoders, caps, GST_PAD_SINK, FALSE);
  for (GList *one = removed; one; one = one->next)
    gst_registry_remove_feature (gst_registry_get (), one->data);
  expect_bad (path, "GStreamer has no MPEG-4 Video");
  expect_bad (path, "install");
  for (GList *one = removed; one; one = one->next)
    gst_registry_add_feature (gst_registry_get (), one->data);
  gst_plugin_feature_list_free (removed);
  gst_plugin_feature_list_free (decoders);
}

/* All files are tried, the bad ones named; the limit holds. */
static void
test_many (void)
{
  static const char *const names[] = { "plain.jpg", "cmyk.jpg", "turned6.jpg", "one.png", "video.mkv", "bomb.webp" };
  char *files[G_N_ELEMENTS (names) + 1] = { NULL };
  MediaOptions options = { .height = 16, .width = 32 };

  start ();
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    files[i] = picture_path (names[i]);
  for (int threads = 0; threads < 5; threads++)
    for (guint max_bad = 2; max_bad <= 3; max_bad++) {
      gboolean bad[G_N_ELEMENTS (names)];
      g_autoptr (GError) error = NULL;
      Taken taken = { 0 };
      gboolean ok = media_decode_all (files, &options, threads, max_bad, take, &taken, bad, &error);

      g_assert_cmpint (ok, ==, max_bad == 3);
      if (!ok)
        g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
      g_assert_cmpuint (taken.count, ==, 7);
      for (guint i = 0; i < G_N_ELEMENTS (names); i++)
        g_assert_cmpint (bad[i], ==, i % 2);
      taken_clear (&taken);
    }
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_free (files[i]);
}

static void
test_png (void)
{
  g_autofree guint8 *upright = read_pixels ("upright.rgb", 3 * HEIGHT * WIDTH);
  g_autofree char *folder = g_dir_make_tmp ("media-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "a.png", NULL);
  MediaOptions options = { 0 };
  g_autoptr (GError) error = NULL;
  Taken taken = { 0 };

  start ();
  g_assert_true (media_write_png (path, HEIGHT, WIDTH, upright, NULL));
  g_assert_true (media_decode (path, 0, &options, take, &taken, NULL));
  g_assert_cmpmem (upright, 3 * HEIGHT * WIDTH, taken.rgb[0], 3 * HEIGHT * WIDTH);
  g_assert_false (media_write_png ("/nonexistent/a.png", HEIGHT, WIDTH, upright, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_IO);
  taken_clear (&taken);
  remove_folder (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/media/forms", test_forms);
  g_test_add_func ("/media/bad", test_bad);
  g_test_add_func ("/media/truncated", test_truncated);
  g_test_add_func ("/media/video", test_video);
  g_test_add_func ("/media/turned-video", test_turned_video);
  g_test_add_func ("/media/stop", test_stop);
  g_test_add_func ("/media/size", test_size);
  g_test_add_func ("/media/list", test_list);
  g_test_add_func ("/media/rings", test_rings);
  g_test_add_func ("/media/many", test_many);
  g_test_add_func ("/media/png", test_png);
  g_test_add_func ("/media/missing-decoder", test_missing_decoder);
  return g_test_run ();
}

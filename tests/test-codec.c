/* Codecs: every kind gives back every frame in order, worse for a worse quality, the same each time and from
 * several threads; sizes; what is refused.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec.h"

#include "media.h"
#include "metrics.h"

#include <malloc.h>
#include <math.h>
#include <string.h>

enum
{
  FRAMES = 5,
};

/* FRAMES frames with waves, an edge and some noise that move by a few pixels a frame, and grow brighter. */
typedef struct
{
  int height, width;
  guint8 *rgb[FRAMES];
} Clip;

static void
clip_clear (Clip *clip)
{
  for (int i = 0; i < FRAMES; i++)
    g_free (clip->rgb[i]);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Clip, clip_clear)

static Clip
clip_empty (int height, int width)
{
  Clip clip = { height, width, { NULL } };

  for (int i = 0; i < FRAMES; i++)
    clip.rgb[i] = g_malloc0 ((gsize) height * width * 3);
  return clip;
}

static Clip
clip_new (int height, int width)
{
  Clip clip = clip_empty (height, width);

  for (int i = 0; i < FRAMES; i++)
    for (int y = 0; y < height; y++)
      for (int x = 0; x < width; x++) {
        int u = x + 3 * i, v = y + i, grain = (u * 7919 + v * 104729) % 13;
        double wave = sin (u * 0.21) * cos (v * 0.17), edge = (u / 24 + v / 20) % 2 ? 25 : -25;

        for (int c = 0; c < 3; c++)
          clip.rgb[i][((gsize) y * width + x) * 3 + c]
              = (guint8) CLAMP (90 + 20 * i + edge + (30 + 8 * c) * wave + grain, 0, 255);
      }
  return clip;
}

static double
psnr (const Clip *a, int i, const Clip *b, int j)
{
  return metrics_psnr (metrics_mse8 ((gsize) a->height * a->width * 3, a->rgb[i], b->rgb[j]));
}

static Clip
pass (const CodecOptions *options, const Clip *clip, gsize *bytes)
{
  Clip out = clip_empty (clip->height, clip->width);
  g_autoptr (GError) error = NULL;

  codec_round_trip (
      options, FRAMES, clip->height, clip->width, (const guint8 *const *) clip->rgb, out.rgb, bytes, &error);
  if (error)
    g_error ("%s, quality %g, gop %d, fast %d, %dx%d: %s", codec_name (options->kind), options->quality,
        options->gop, options->fast, clip->width, clip->height, error->message);
  return out;
}

static gboolean
there (CodecKind kind)
{
  CodecOptions options = { .kind = kind };
  g_autoptr (GError) error = NULL;
  double least, most;

  codec_quality_range (kind, &least, &most, &options.quality);
  if (codec_check (&options, &error))
    return TRUE;
  g_test_skip (error->message);
  return FALSE;
}

/* Good, usual, bad. */
static const double quality[CODEC_N_KINDS][3] = {
  [CODEC_H264] = { 12, 23, 38 },
  [CODEC_H265] = { 14, 28, 40 },
  [CODEC_VP9] = { 10, 32, 60 },
  [CODEC_AV1] = { 10, 32, 60 },
  [CODEC_JPEG] = { 95, 75, 20 },
};

static guint
open_files (void)
{
  g_autoptr (GDir) folder = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (folder && g_dir_read_name (folder))
    n++;
  return n;
}

/* The same when memory comes with other contents: encoders read more than they have written. */
static void
check_memory (const CodecOptions *options, const Clip *clip, const Clip *expected)
{
#ifdef M_PERTURB
  static const int contents[] = { 1, 55, 200 };

  for (guint i = 0; i < G_N_ELEMENTS (contents); i++) {
    g_auto (Clip) out = { 0 };

    mallopt (M_PERTURB, contents[i]);
    out = pass (options, clip, NULL);
    mallopt (M_PERTURB, 0);
    for (int j = 0; j < FRAMES; j++)
      if (memcmp (out.rgb[j], expected->rgb[j], (gsize) clip->height * clip->width * 3) != 0)
        g_error ("%s, %dx%d, gop %d, fast %d, memory of %d: frame %d differs", codec_name (options->kind),
            clip->width, clip->height, options->gop, options->fast, contents[i], j);
  }
#endif
}

static void
test_kind (gconstpointer data)
{
  CodecKind kind = GPOINTER_TO_INT (data);
  g_auto (Clip) clip = clip_new (70, 96);
  guint files;

  if (!there (kind))
    return;
  files = open_files ();
  for (int fast = 0; fast < 2; fast++) {
    double mean[3] = { 0 };
    gsize bytes[3];

    for (int q = 0; q < 3; q++) { /* good, usual, bad */
      CodecOptions options = { kind, quality[kind][q], 0, fast };
      g_auto (Clip) out = pass (&options, &clip, &bytes[q]), again = pass (&options, &clip, NULL);

      for (int i = 0; i < FRAMES; i++) {
        mean[q] += psnr (&out, i, &clip, i) / FRAMES;
        for (int j = 0; j < FRAMES; j++)
          if (j != i)
            g_assert_cmpfloat (psnr (&out, i, &clip, i), >, psnr (&out, i, &clip, j));
        g_assert_cmpmem (out.rgb[i], 70 * 96 * 3, again.rgb[i], 70 * 96 * 3);
      }
      check_memory (&options, &clip, &out);
    }
    g_test_message ("%s%s: PSNR %.2f %.2f %.2f dB, %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT
                    " bytes",
        codec_name (kind), fast ? ", fast" : "", mean[0], mean[1], mean[2], bytes[0], bytes[1], bytes[2]);
    for (int q = 0; q < 2; q++) {
      g_assert_cmpfloat (mean[q], >, mean[q + 1] + 1);
      g_assert_cmpuint (bytes[q], >, bytes[q + 1]);
    }
    g_assert_cmpfloat (mean[0], >, 33);
    g_assert_cmpfloat (mean[2], >, 15);
  }
  /* Training opens a codec for every sample. */
  g_assert_cmpuint (open_files (), ==, files);
}

/* Odd sides and the smallest; key frames only cost more. */
static void
test_sizes (void)
{
  static const int sizes[][2] = { { 16, 16 }, { 17, 35 }, { 33, 16 }, { 64, 64 }, { 64, 160 } };

  for (int kind = 0; kind < CODEC_N_KINDS; kind++)
    for (guint s = 0; s < G_N_ELEMENTS (sizes); s++) {
      CodecOptions options = { kind, quality[kind][0], 0, TRUE };
      g_auto (Clip) clip = clip_new (sizes[s][0], sizes[s][1]);
      gsize bytes, bytes_intra;

      if (!there (kind))
        break;
      for (options.gop = 0; options.gop < 2; options.gop++) {
        g_auto (Clip) out = pass (&options, &clip, options.gop ? &bytes_intra : &bytes);

        for (int i = 0; i < FRAMES; i++)
          if (psnr (&out, i, &clip, i) < 30)
            g_error ("%s, %dx%d, gop %d: frame %d has %.2f dB", codec_name (kind), clip.width, clip.height,
                options.gop, i, psnr (&out, i, &clip, i));
        check_memory (&options, &clip, &out);
      }
      if (kind == CODEC_JPEG)
        g_assert_cmpuint (bytes_intra, ==, bytes);
      else if (sizes[s][1] == 160)
        g_assert_cmpuint (bytes_intra, >, bytes);
    }
}

static gpointer
pass_thread (gpointer data)
{
  CodecOptions options = { .kind = CODEC_H264, .quality = 20, .fast = TRUE };
  Clip out = pass (&options, data, NULL);

  return g_memdup2 (&out, sizeof out);
}

static void
test_threads (void)
{
  g_auto (Clip) clip = clip_new (48, 64);
  GThread *threads[4];
  Clip *first = NULL;

  if (!there (CODEC_H264))
    return;
  for (guint t = 0; t < G_N_ELEMENTS (threads); t++)
    threads[t] = g_thread_new ("codec", pass_thread, &clip);
  for (guint t = 0; t < G_N_ELEMENTS (threads); t++) {
    Clip *out = g_thread_join (threads[t]);

    for (int i = 0; first && i < FRAMES; i++)
      g_assert_cmpmem (out->rgb[i], 48 * 64 * 3, first->rgb[i], 48 * 64 * 3);
    if (first) {
      clip_clear (out);
      g_free (out);
    } else
      first = out;
  }
  clip_clear (first);
  g_free (first);
}

/* Colours in the numbers of BT.601 and BT.709, and back. */
static void
test_colours (void)
{
  static const struct
  {
    guint8 rgb[3], bt601[3], bt709[3];
  } rows[] = {
    { { 0, 0, 0 }, { 16, 128, 128 }, { 16, 128, 128 } },
    { { 255, 255, 255 }, { 235, 128, 128 }, { 235, 128, 128 } },
    { { 255, 0, 0 }, { 81, 90, 240 }, { 63, 102, 240 } },
    { { 0, 255, 0 }, { 145, 54, 34 }, { 173, 42, 26 } },
    { { 0, 0, 255 }, { 41, 240, 110 }, { 32, 240, 118 } },
    { { 200, 120, 40 }, { 132, 81, 169 }, { 129, 85, 166 } },
  };

  for (guint r = 0; r < G_N_ELEMENTS (rows); r++)
    for (int hd = 0; hd < 2; hd++) {
      int height = hd ? 577 : 17, width = 19;
      const guint8 *want = hd ? rows[r].bt709 : rows[r].bt601;
      g_autofree guint8 *rgb = g_malloc (3 * (gsize) height * width), *yuv = NULL;
      g_autofree guint8 *back = g_malloc (3 * (gsize) height * width);
      GstVideoInfo info;

      for (int i = 0; i < 3 * height * width; i++)
        rgb[i] = rows[r].rgb[i % 3];
      yuv_info (height, width, &info);
      g_assert_cmpint (info.width, ==, 20);
      g_assert_cmpint (info.height, ==, height + 1);
      yuv = g_malloc (info.size);
      yuv_from_rgb (&info, height, width, rgb, yuv);
      for (int c = 0; c < 3; c++) {
        const guint8 *plane = yuv + info.offset[c] + info.stride[c]; /* second line */

        if (plane[0] != want[c] || plane[c ? 9 : 19] != want[c])
          g_error ("row %u, HD %d, component %d: %d and %d, expected %d", r, hd, c, plane[0],
              plane[c ? 9 : 19], want[c]);
      }
      g_assert_true (yuv_to_rgb (&info, yuv, height, width, back, NULL));
      for (int i = 0; i < 3 * height * width; i++)
        if (ABS (back[i] - rgb[i]) > 2)
          g_error ("row %u, HD %d, sample %d: %d -> %d", r, hd, i, rgb[i], back[i]);
    }
}

/* A ramp of colour keeps its place: chroma that moves by half a pixel would be off by several steps. */
static void
test_siting (void)
{
  enum
  {
    SIDE = 32
  };
  guint8 rgb[SIDE * SIDE * 3], back[SIDE * SIDE * 3], yuv[SIDE * SIDE * 3 / 2];
  GstVideoInfo info;

  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      guint8 *to = rgb + (y * SIDE + x) * 3;

      to[0] = (guint8) (40 + 6 * x);
      to[1] = 128;
      to[2] = (guint8) (40 + 6 * y);
    }
  yuv_info (SIDE, SIDE, &info);
  g_assert_cmpuint (info.size, ==, sizeof yuv);
  yuv_from_rgb (&info, SIDE, SIDE, rgb, yuv);
  g_assert_true (yuv_to_rgb (&info, yuv, SIDE, SIDE, back, NULL));
  for (int y = 4; y < SIDE - 4; y++)
    for (int i = 4 * 3; i < (SIDE - 4) * 3; i++)
      g_assert_cmpint (ABS (back[y * SIDE * 3 + i] - rgb[y * SIDE * 3 + i]), <=, 2);
}

static void
expect_refused (const CodecOptions *options, int side, int code, const char *reason)
{
  g_auto (Clip) clip = clip_new (side, side), out = clip_empty (side, side);
  g_autoptr (GError) error = NULL;

  if (codec_round_trip (options, FRAMES, side, side, (const guint8 *const *) clip.rgb, out.rgb, NULL, &error))
    g_error ("'%s': taken", reason);
  g_assert_error (error, TRAIN_ERROR, code);
  if (!strstr (error->message, reason))
    g_error ("'%s' does not say '%s'", error->message, reason);
}

static void
test_refused (void)
{
  static const struct
  {
    CodecOptions options;
    int side, code;
    const char *reason;
  } rows[] = {
    { { CODEC_H264, 51, 0, FALSE }, 32, EXIT_USAGE, "0 to 50" },
    { { CODEC_H264, -1, 0, FALSE }, 32, EXIT_USAGE, "quality -1" },
    { { CODEC_H265, 52, 0, FALSE }, 32, EXIT_USAGE, "h265" },
    { { CODEC_VP9, 64, 0, FALSE }, 32, EXIT_USAGE, "0 to 63" },
    { { CODEC_AV1, NAN, 0, FALSE }, 32, EXIT_USAGE, "av1" },
    { { CODEC_JPEG, 0, 0, FALSE }, 32, EXIT_USAGE, "1 to 100" },
    { { CODEC_JPEG, 90, -1, FALSE }, 32, EXIT_USAGE, "-1 frames" },
    { { CODEC_JPEG, 90, 0, FALSE }, 15, EXIT_DATA, "16 pixels" },
  };

  for (guint r = 0; r < G_N_ELEMENTS (rows); r++)
    expect_refused (&rows[r].options, rows[r].side, rows[r].code, rows[r].reason);
}

static void
test_names (void)
{
  g_autoptr (GError) error = NULL;
  CodecKind kind;

  for (int i = 0; i < CODEC_N_KINDS; i++) {
    g_assert_true (codec_parse (codec_name (i), &kind, NULL));
    g_assert_cmpint (kind, ==, i);
  }
  g_assert_true (codec_parse ("H264", &kind, NULL));
  g_assert_cmpint (kind, ==, CODEC_H264);
  g_assert_false (codec_parse ("h266", &kind, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_USAGE);
  g_assert_cmpstr (error->message, ==, "'h266' is no codec: give h264, h265, vp9, av1 or jpeg");
}

/* Last: it takes elements away from this process. */
static void
test_missing (void)
{
  static const struct
  {
    CodecKind kind;
    const char *element, *package;
  } rows[] = {
    { CODEC_H264, "x264enc", "gstreamer1.0-plugins-ugly" },
    { CODEC_H265, "avdec_h265", "gstreamer1.0-libav" },
    { CODEC_VP9, "vp9dec", "gstreamer1.0-plugins-good" },
    { CODEC_AV1, "av1enc", "gstreamer1.0-plugins-bad" },
  };
  GstRegistry *registry;

  g_assert_true (media_start (NULL));
  registry = gst_registry_get ();
  for (guint r = 0; r < G_N_ELEMENTS (rows); r++) {
    CodecOptions options = { .kind = rows[r].kind, .quality = 20 };
    g_autoptr (GstPluginFeature) feature = gst_registry_lookup_feature (registry, rows[r].element);
    g_autoptr (GError) error = NULL;

    if (feature)
      gst_registry_remove_feature (registry, feature);
    expect_refused (&options, 32, EXIT_DATA, rows[r].package);
    g_assert_false (codec_check (&options, &error));
    g_assert_nonnull (strstr (error->message, rows[r].element));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (int i = 0; i < CODEC_N_KINDS; i++) {
    g_autofree char *path = g_strdup_printf ("/codec/%s", codec_name (i));

    g_test_add_data_func (path, GINT_TO_POINTER (i), test_kind);
  }
  g_test_add_func ("/codec/sizes", test_sizes);
  g_test_add_func ("/codec/threads", test_threads);
  g_test_add_func ("/codec/colours", test_colours);
  g_test_add_func ("/codec/siting", test_siting);
  g_test_add_func ("/codec/refused", test_refused);
  g_test_add_func ("/codec/names", test_names);
  g_test_add_func ("/codec/missing", test_missing);
  return g_test_run ();
}

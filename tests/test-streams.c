/* `deblurunet-train eval --streams` as a user runs it, on a tiny clip and tiny networks: its numbers against
 * others' arithmetic, its page, and what it refuses.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec.h"
#include "folder.h"
#include "media.h"
#include "metrics.h"

#include <math.h>
#include <string.h>

enum
{
  HEIGHT = 48,
  WIDTH = 64,
  SAMPLES = HEIGHT * WIDTH * 3,
  CLIP = 5,   /* frames */
  FIRST = 1,  /* that is taken */
  FRAMES = 4, /* that are taken */
  LONG_CLIP = 50,
};

static char *base, *clip, *long_clip, *identity, *shift;

/* ---- material ------------------------------------------------------------------------------ */

/* Waves and edges that move. */
static void
draw (int frame, guint8 *rgb)
{
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++)
      for (int c = 0; c < 3; c++) {
        int u = x + 2 * frame, edge = (u / 9 + y / 7) % 2 ? 30 : -30;

        rgb[(y * WIDTH + x) * 3 + c]
            = (guint8) (118 + 3 * frame + edge + (20 + 5 * c) * sin (u * 0.7 + c * y * 0.1));
      }
}

/* YUV4MPEG2: what anybody can write. */
static char *
write_clip (const char *name, int frames)
{
  g_autofree char *header = g_strdup_printf ("YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C420mpeg2\n", WIDTH, HEIGHT);
  g_autoptr (GString) text = g_string_new (header);
  char *path = g_build_filename (base, name, NULL);
  GstVideoInfo info;

  yuv_info (HEIGHT, WIDTH, &info);
  g_assert_cmpuint (info.size, ==, SAMPLES / 2);
  for (int i = 0; i < frames; i++) {
    guint8 rgb[SAMPLES], yuv[SAMPLES / 2];

    draw (i, rgb);
    yuv_from_rgb (&info, HEIGHT, WIDTH, rgb, yuv);
    g_string_append (text, "FRAME\n");
    g_string_append_len (text, (const char *) yuv, sizeof yuv);
  }
  g_assert_true (g_file_set_contents (path, text->str, (gssize) text->len, NULL));
  return path;
}

/* Residual heads of zero weights add their bias to the picture, and nothing else. */
static char *
write_weights (const char *name, const float bias[3])
{
  char *path = g_build_filename (base, name, NULL);
  g_autofree float *parameters = NULL;
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) error = NULL;
  DuConfig config;

  du_config_init (&config);
  config.base_width = 1;
  config.head = DU_HEAD_RESIDUAL;
  parameters = g_new (float, du_config_n_parameters (&config));
  du_config_initialise (&config, 1, parameters);
  for (guint i = 0; i < du_config_n_tensors (&config); i++) {
    DuTensorInfo tensor;

    du_config_tensor (&config, i, &tensor);
    if (strcmp (tensor.name, "head.bias") == 0)
      memcpy (parameters + tensor.offset, bias, 3 * sizeof (float));
  }
  model = du_model_new (&config, parameters, NULL, &error);
  g_assert_no_error (error);
  du_model_save (model, path, DU_DTYPE_F32, &error);
  g_assert_no_error (error);
  return path;
}

/* ---- running ------------------------------------------------------------------------------- */

/* Arguments hold no spaces in themselves. said: stdout and stderr, or NULL. */
static int run (char **said, const char *variable, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* variable: NAME=VALUE of the environment, or NULL. */
static int
run (char **said, const char *variable, const char *format, ...)
{
  g_autofree char *arguments = NULL, *line = NULL, *out = NULL, *err = NULL;
  g_auto (GStrv) argv = NULL, environment = g_get_environ ();
  g_autoptr (GError) error = NULL;
  va_list list;
  int status;

  va_start (list, format);
  arguments = g_strdup_vprintf (format, list);
  va_end (list);
  line = g_strdup_printf (
      "%s eval --streams --backend=cpu --precision=f32 --threads=1 %s", g_getenv ("DEBLURUNET_TRAIN"), arguments);
  g_assert_true (g_shell_parse_argv (line, NULL, &argv, &error));
  if (variable) {
    g_auto (GStrv) parts = g_strsplit (variable, "=", 2);

    environment = g_environ_setenv (environment, parts[0], parts[1], TRUE);
  }
  g_spawn_sync (NULL, argv, environment, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, &error);
  g_assert_no_error (error);
  g_test_message ("%s\n%s%s", line, out, err);
  if (said)
    *said = g_strconcat (out, err, NULL);
  return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

/* streams.csv as rows of fields, the names first. */
typedef struct
{
  char **lines;
  char **names;
} Csv;

static void
csv_clear (Csv *csv)
{
  g_strfreev (csv->lines);
  g_strfreev (csv->names);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Csv, csv_clear)

static Csv
read_csv (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "streams.csv", NULL), *text = NULL;
  Csv csv;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  csv.lines = g_strsplit (g_strchomp (text), "\n", -1);
  csv.names = g_strsplit (csv.lines[0], ",", -1);
  return csv;
}

/* Row 1 is the first behind the names; not a number for an empty field. */
static double
number (const Csv *csv, guint row, const char *name)
{
  g_auto (GStrv) fields = NULL;
  char *end;

  g_assert_cmpuint (row, <, g_strv_length (csv->lines));
  fields = g_strsplit (csv->lines[row], ",", -1);
  for (guint i = 0; csv->names[i]; i++)
    if (strcmp (csv->names[i], name) == 0) {
      double value = g_ascii_strtod (fields[i], &end);

      return end == fields[i] ? NAN : value;
    }
  g_error ("no column %s", name);
}

static char *
folder (const char *name)
{
  return g_build_filename (base, name, NULL);
}

static gboolean
have_codec (CodecKind kind)
{
  CodecOptions options = { .kind = kind, .quality = 30 };
  g_autoptr (GError) error = NULL;

  if (codec_check (&options, &error))
    return TRUE;
  g_test_skip (error->message);
  return FALSE;
}

/* ---- the numbers, another way -------------------------------------------------------------- */

typedef struct
{
  guint8 sharp[FRAMES][SAMPLES], before[FRAMES][SAMPLES], after[FRAMES][SAMPLES];
  guint8 yuv[FRAMES][SAMPLES / 2]; /* decoded */
  gsize bytes;
} Stream;

static gboolean
keep_frame (guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data, GError **error)
{
  Stream *stream = data;

  (void) file, (void) error;
  g_assert_cmpint (height, ==, HEIGHT);
  g_assert_cmpint (width, ==, WIDTH);
  if (frame >= FIRST && frame < FIRST + FRAMES)
    memcpy (stream->sharp[frame - FIRST], rgb, SAMPLES);
  return TRUE;
}

static gboolean
keep_decoded (guint frame, const guint8 *yuv, gpointer data, GError **error)
{
  Stream *stream = data;

  (void) error;
  memcpy (stream->yuv[frame], yuv, SAMPLES / 2);
  return TRUE;
}

/* As the element would: decoded frames, I420, through a deblurrer. */
static Stream *
make_stream (const char *weights, const SynthKernel *kernel, const CodecOptions *options)
{
  const MediaOptions as_is = { 0 };
  Stream *stream = g_new0 (Stream, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (DuModel) model = du_model_load (weights, &error);
  g_autoptr (DuSession) session = NULL;
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  g_autoptr (Codec) codec = NULL;
  DuSessionOptions session_options;
  DuDeblurrerOptions tiles;
  DuFrameInfo frame_info;
  GstVideoInfo info;

  g_assert_no_error (error);
  yuv_info (HEIGHT, WIDTH, &info);
  frame_info = yuv_frame_info (&info);
  g_assert_cmpint (frame_info.matrix, ==, DU_MATRIX_BT601);
  du_session_options_init (&session_options);
  session_options.backend = DU_BACKEND_CPU;
  session_options.precision = DU_PRECISION_F32;
  session_options.threads = 1;
  session = du_session_open (model, &session_options, &error);
  g_assert_no_error (error);
  du_deblurrer_options_init (&tiles);
  deblurrer = du_deblurrer_new (session, &frame_info, &tiles, &error);
  g_assert_no_error (error);
  media_decode (clip, 0, &as_is, keep_frame, stream, &error);
  g_assert_no_error (error);
  codec = codec_open (options, HEIGHT, WIDTH, keep_decoded, stream, &error);
  g_assert_no_error (error);
  for (int i = 0; i < FRAMES; i++) {
    guint8 blurred[SAMPLES], yuv[SAMPLES / 2];

    synth_blur (kernel, HEIGHT, WIDTH, stream->sharp[i], blurred);
    yuv_from_rgb (&info, HEIGHT, WIDTH, blurred, yuv);
    g_assert_true (codec_push (codec, yuv, NULL));
    yuv_from_rgb (&info, HEIGHT, WIDTH, stream->sharp[i], yuv);
    g_assert_true (yuv_to_rgb (&info, yuv, HEIGHT, WIDTH, stream->sharp[i], NULL));
  }
  g_assert_true (codec_finish (codec, &stream->bytes, NULL));
  for (int i = 0; i < FRAMES; i++) {
    guint8 result[SAMPLES / 2];
    DuFrame in = yuv_frame (&info, stream->yuv[i]), out = yuv_frame (&info, result);

    g_assert_true (du_deblurrer_process (deblurrer, &in, &out, 1, NULL));
    g_assert_true (yuv_to_rgb (&info, stream->yuv[i], HEIGHT, WIDTH, stream->before[i], NULL));
    g_assert_true (yuv_to_rgb (&info, result, HEIGHT, WIDTH, stream->after[i], NULL));
  }
  return stream;
}

static double
mean_psnr (guint8 (*a)[SAMPLES], guint8 (*b)[SAMPLES], int n)
{
  double sum = 0;

  for (int i = 0; i < n; i++) {
    double mse = 0;

    for (int s = 0; s < SAMPLES; s++)
      mse += (a[i][s] / 255.0 - b[i][s] / 255.0) * (a[i][s] / 255.0 - b[i][s] / 255.0) / SAMPLES;
    sum += -10 * log10 (mse);
  }
  return sum / n;
}

static double
mean_ssim (guint8 (*a)[SAMPLES], guint8 (*b)[SAMPLES], int n)
{
  double sum = 0;

  for (int i = 0; i < n; i++)
    sum += metrics_ssim8 (HEIGHT, WIDTH, a[i], b[i]);
  return sum / n;
}

static double
flicker (guint8 (*a)[SAMPLES], guint8 (*b)[SAMPLES], int n)
{
  double sum = 0;

  for (int i = 1; i < n; i++)
    for (int s = 0; s < SAMPLES; s++)
      sum += fabs (((double) a[i][s] - a[i - 1][s]) - ((double) b[i][s] - b[i - 1][s]));
  return sum / (n - 1) / SAMPLES;
}

static void
assert_near (const char *what, double value, double want)
{
  if (!(fabs (value - want) <= 1e-6 * MAX (fabs (want), 1)))
    g_error ("%s: %.9g, expected %.9g", what, value, want);
}

/* Row of the numbers of n frames, from the first on of those that were encoded. */
static void
check_numbers (const Csv *csv, guint row, Stream *stream, int first, int n)
{
  guint8(*before)[SAMPLES] = stream->before + first, (*after)[SAMPLES] = stream->after + first,
  (*sharp)[SAMPLES] = stream->sharp + first;
  double change = 0, shifts[3] = { 0 };

  for (int i = 0; i < n; i++)
    for (int s = 0; s < SAMPLES; s++) {
      double difference = (double) after[i][s] - before[i][s];

      change += fabs (difference) / (n * SAMPLES);
      shifts[s % 3] += difference / (n * SAMPLES / 3);
    }
  g_test_message ("%d frames from %d on", n, first);
  assert_near ("frames", number (csv, row, "frames"), n);
  assert_near ("encoded", number (csv, row, "encoded"), FRAMES);
  assert_near ("kernel", number (csv, row, "kernel"), 7);
  assert_near ("sigma", number (csv, row, "sigma"), 1);
  assert_near ("quality", number (csv, row, "quality"), 28);
  assert_near ("PSNR before", number (csv, row, "psnr_before"), mean_psnr (before, sharp, n));
  assert_near ("PSNR", number (csv, row, "psnr"), mean_psnr (after, sharp, n));
  assert_near ("SSIM before", number (csv, row, "ssim_before"), mean_ssim (before, sharp, n));
  assert_near ("SSIM", number (csv, row, "ssim"), mean_ssim (after, sharp, n));
  assert_near ("flicker before", number (csv, row, "flicker_before"), flicker (before, sharp, n));
  assert_near ("flicker", number (csv, row, "flicker"), flicker (after, sharp, n));
  assert_near ("change", number (csv, row, "change"), change);
  assert_near ("red", number (csv, row, "shift_r"), shifts[0]);
  assert_near ("green", number (csv, row, "shift_g"), shifts[1]);
  assert_near ("blue", number (csv, row, "shift_b"), shifts[2]);
  assert_near ("bits", number (csv, row, "bits_per_pixel"), 8.0 * stream->bytes / (FRAMES * HEIGHT * WIDTH));
  /* What the weights say. */
  g_assert_cmpfloat (fabs (shifts[0] - 8), <, 1);
  g_assert_cmpfloat (fabs (shifts[1]), <, 1);
  g_assert_cmpfloat (fabs (shifts[2] + 8), <, 1);
}

/* Of all frames that are encoded, and of those in the middle. */
static void
test_numbers (void)
{
  const SynthKernel kernel = { 7, 1 };
  const CodecOptions options = { .kind = CODEC_H264, .quality = 28 };
  g_autofree Stream *stream = NULL;

  if (!have_codec (CODEC_H264))
    return;
  stream = make_stream (shift, &kernel, &options);
  for (int n = FRAMES; n > 1; n /= 2) {
    g_autofree char *out = folder ("numbers"), *measure = g_strdup_printf ("--measure=%d", n);
    g_auto (Csv) csv = { 0 };

    g_assert_cmpint (run (NULL, NULL, "%s -w %s -o %s --kernels=7:1 --crf=28 --frames=%d --first=%d %s", clip,
                         shift, out, FRAMES, FIRST, n < FRAMES ? measure : ""),
        ==, EXIT_DONE);
    csv = read_csv (out);
    g_assert_cmpuint (g_strv_length (csv.lines), ==, 2);
    check_numbers (&csv, 1, stream, (FRAMES - n) / 2, n);
  }
}

/* Long and short clips, as they are taken where nobody says how: the middle twelve of 48 frames. */
static void
test_defaults (void)
{
  static const struct
  {
    int measured, encoded;
  } rows[] = { { CLIP, 0 }, { CLIP, CLIP }, { 12, 0 }, { 12, 48 } };
  g_autofree char *out = folder ("defaults"), *said = NULL;
  g_auto (Csv) csv = { 0 };

  if (!have_codec (CODEC_JPEG))
    return;
  g_assert_cmpint (run (&said, NULL, "%s %s -w %s -o %s --kernels=none --encoder=jpeg --crf=none,50", clip,
                       long_clip, identity, out),
      ==, EXIT_DONE);
  csv = read_csv (out);
  g_assert_cmpuint (g_strv_length (csv.lines), ==, 1 + G_N_ELEMENTS (rows));
  for (guint r = 0; r < G_N_ELEMENTS (rows); r++) {
    assert_near ("frames", number (&csv, r + 1, "frames"), rows[r].measured);
    assert_near ("encoded", number (&csv, r + 1, "encoded"), rows[r].encoded);
  }
  g_assert_nonnull (strstr (said, "clip.y4m: has 5 frames"));
  g_assert_null (strstr (said, "long.y4m: has"));
}

/* Rows of the table with a network that changes nothing; encoding is worse than none, a wide blur worse than
 * a narrow one. */
static void
test_identity (void)
{
  g_autofree char *out = folder ("identity"), *html = NULL, *page = NULL, *said = NULL;
  g_auto (Csv) csv = { 0 };
  guint row = 1, images = 0;

  if (!have_codec (CODEC_H264))
    return;
  g_assert_cmpint (
      run (&said, NULL, "%s -w %s -o %s --crf=none,28 --frames=2", clip, identity, out), ==, EXIT_DONE);
  csv = read_csv (out);
  g_assert_cmpuint (g_strv_length (csv.lines), ==, 1 + 3 * 2);
  for (guint k = 0; k < 3; k++)
    for (guint q = 0; q < 2; q++, row++) {
      double before = number (&csv, row, "psnr_before");

      assert_near ("frames", number (&csv, row, "frames"), 2);
      g_assert_true (k ? number (&csv, row, "sigma") > 0 : isnan (number (&csv, row, "sigma")));
      g_assert_true (q ? number (&csv, row, "quality") == 28 : isnan (number (&csv, row, "quality")));
      assert_near ("gain", number (&csv, row, "psnr") - before, 0);
      assert_near ("flicker", number (&csv, row, "flicker") - number (&csv, row, "flicker_before"), 0);
      assert_near ("change", number (&csv, row, "change"), 0);
      assert_near ("red", number (&csv, row, "shift_r"), 0);
      if (q)
        g_assert_cmpfloat (before, <, number (&csv, row - 1, "psnr_before"));
      else if (k)
        g_assert_cmpfloat (before, <, number (&csv, row - 2, "psnr_before"));
      else
        assert_near ("as it is", before, METRICS_PSNR_MAX);
    }
  g_assert_nonnull (strstr (said, "clips as they are"));
  page = g_build_filename (out, "report.html", NULL);
  g_assert_true (g_file_get_contents (page, &html, NULL, NULL));
  g_assert_nonnull (strstr (html, "CRF 28"));
  g_assert_nonnull (strstr (html, "Clips as they are"));
  g_assert_nonnull (strstr (html, "the change, eightfold"));
  for (const char *at = html; (at = strstr (at, "<img ")); at++)
    images++;
  g_assert_cmpuint (images, ==, 6 * 6);
}

/* Sizes, odd ones too, and another encoder; a clip that ends early. */
static void
test_size (void)
{
  g_autofree char *out = folder ("size");
  g_auto (Csv) csv = { 0 };

  if (!have_codec (CODEC_JPEG))
    return;
  g_assert_cmpint (
      run (NULL, NULL, "%s -w %s -o %s --encoder=jpeg --crf=90,30 --kernels=none --size=33x47 --frames=100",
          clip, identity, out),
      ==, EXIT_DONE);
  csv = read_csv (out);
  g_assert_cmpuint (g_strv_length (csv.lines), ==, 1 + 2);
  for (guint row = 1; row <= 2; row++)
    assert_near ("frames", number (&csv, row, "frames"), CLIP);
  g_assert_cmpfloat (number (&csv, 1, "psnr_before"), >, number (&csv, 2, "psnr_before"));
  g_assert_cmpfloat (number (&csv, 1, "bits_per_pixel"), >, number (&csv, 2, "bits_per_pixel"));
}

static void
test_refused (void)
{
  g_autofree char *bad = folder ("bad.mp4"), *empty = folder ("empty");

  const struct
  {
    const char *arguments, *path; /* path: NULL = the clip */
    int code;
    const char *says;
  } rows[] = {
    { "--encoder=h266", NULL, EXIT_USAGE, "'h266' is no codec" },
    { "--crf=51", NULL, EXIT_USAGE, "--crf=51: quality 51" },
    { "--crf=18,x", NULL, EXIT_USAGE, "'x' is neither" },
    { "--size=8x64", NULL, EXIT_USAGE, "--size=8x64" },
    { "--measure=0", NULL, EXIT_USAGE, "--measure=0" },
    { "--all", NULL, EXIT_USAGE, "--all" },
    { "--first=100 --crf=none", NULL, EXIT_DATA, "--first" },
    { "--crf=none", bad, EXIT_DATA, "bad.mp4" },
    { "--crf=none", empty, EXIT_DATA, "no clip" },
  };

  g_assert_true (g_file_set_contents (bad, "no clip at all, but words\n", -1, NULL));
  g_assert_cmpint (g_mkdir (empty, 0777), ==, 0);
  if (!have_codec (CODEC_H264))
    return;
  for (guint r = 0; r < G_N_ELEMENTS (rows); r++) {
    g_autofree char *said = NULL;
    int code
        = run (&said, NULL, "%s -w %s %s", rows[r].path ? rows[r].path : clip, identity, rows[r].arguments);

    if (code != rows[r].code || !strstr (said, rows[r].says))
      g_error ("%s: exit code %d, expected %d with '%s'; it said:\n%s", rows[r].arguments, code, rows[r].code,
          rows[r].says, said);
  }
}

/* Without its plug-ins GStreamer has no encoder. */
static void
test_missing_encoder (void)
{
  g_autofree char *said = NULL, *registry = g_build_filename (base, "registry", NULL);

  g_setenv ("GST_REGISTRY_1_0", registry, TRUE);
  g_assert_cmpint (
      run (&said, "GST_PLUGIN_SYSTEM_PATH_1_0=/nowhere", "%s -w %s", clip, identity), ==, EXIT_DATA);
  g_unsetenv ("GST_REGISTRY_1_0");
  g_assert_nonnull (strstr (said, "gstreamer1.0-plugins-ugly"));
}

int
main (int argc, char **argv)
{
  static const float nothing[3] = { 0, 0, 0 }, colours[3] = { 8 / 255.f, 0, -8 / 255.f };
  int failed;

  g_test_init (&argc, &argv, NULL);
  base = g_dir_make_tmp ("streams-XXXXXX", NULL);
  g_assert_true (g_getenv ("DEBLURUNET_TRAIN") && base && media_start (NULL));
  clip = write_clip ("clip.y4m", CLIP);
  long_clip = write_clip ("long.y4m", LONG_CLIP);
  identity = write_weights ("identity.safetensors", nothing);
  shift = write_weights ("shift.safetensors", colours);
  g_test_add_func ("/streams/numbers", test_numbers);
  g_test_add_func ("/streams/defaults", test_defaults);
  g_test_add_func ("/streams/identity", test_identity);
  g_test_add_func ("/streams/size", test_size);
  g_test_add_func ("/streams/refused", test_refused);
  g_test_add_func ("/streams/missing-encoder", test_missing_encoder);
  failed = g_test_run ();
  remove_tree (base);
  g_free (base);
  g_free (clip);
  g_free (long_clip);
  g_free (identity);
  g_free (shift);
  return failed;
}

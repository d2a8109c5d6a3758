/* `deblurunet-train eval` on pairs of any size, in a folder as tests of others have it: each picture goes through
 * the tiler as the element's frames do, and has its line in the tables.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder.h"
#include "media.h"
#include "metrics.h"
#include "synth.h"

#include <math.h>
#include <string.h>

static char *base, *weights;

/* A network that changes much, and each tile otherwise than the whole: random weights, to which the head listens. */
static void
write_weights (void)
{
  g_autofree float *parameters = NULL;
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) error = NULL;
  DuConfig config;

  du_config_init (&config);
  config.base_width = 4;
  config.head = DU_HEAD_RESIDUAL;
  parameters = g_new (float, du_config_n_parameters (&config));
  du_config_initialise (&config, 3, parameters);
  for (guint i = 0; i < du_config_n_tensors (&config); i++) {
    DuTensorInfo tensor;

    du_config_tensor (&config, i, &tensor);
    for (gsize w = 0; w < tensor.count && strcmp (tensor.name, "head.weight") == 0; w++)
      parameters[tensor.offset + w] = w % 2 ? -0.4f : 0.5f;
  }
  model = du_model_new (&config, parameters, NULL, &error);
  g_assert_no_error (error);
  weights = g_build_filename (base, "w.safetensors", NULL);
  g_assert_true (du_model_save (model, weights, DU_DTYPE_F32, &error));
}

typedef struct
{
  const char *name;
  int height, width;
  SynthKernel kernel; /* size 0: not in the manifest */
} Pair;

/* More than one tile in both directions, less than one, and as odd as can be. */
static const Pair pairs[] = {
  { "big", 490, 500, { 7, 1 } },
  { "little", 40, 70, { 11, 1.6 } },
  { "odd", 259, 33, { 0 } },
};

static void
draw (const Pair *pair, guint8 *sharp, guint8 *blurred)
{
  const SynthKernel kernel = pair->kernel.size ? pair->kernel : (SynthKernel){ 5, 0.8 };

  for (int y = 0; y < pair->height; y++)
    for (int x = 0; x < pair->width; x++)
      for (int c = 0; c < 3; c++)
        sharp[(y * pair->width + x) * 3 + c]
            = (guint8) (128 + ((x / 9 + y / 7) % 2 ? 40 : -40) + 60 * sin (x * 0.31 + y * 0.17 + c));
  synth_blur (&kernel, pair->height, pair->width, sharp, blurred);
}

static void
write_picture (const char *half, const Pair *pair, const guint8 *rgb)
{
  g_autofree char *folder = g_build_filename (base, "data", half, NULL);
  g_autofree char *name = g_strconcat (pair->name, ".png", NULL), *path = g_build_filename (folder, name, NULL);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_assert_true (media_write_png (path, pair->height, pair->width, rgb, NULL));
}

/* The same by hand: PSNR and SSIM of the whole picture out of the deblurrer. */
static void
measure (const Pair *pair, const guint8 *sharp, guint8 *blurred, double *psnr, double *ssim)
{
  gsize n = (gsize) pair->height * pair->width * 3;
  g_autofree guint8 *result = g_malloc (n);
  const DuFrameInfo info
      = { .format = DU_FORMAT_RGB, .width = pair->width, .height = pair->height, .full_range = TRUE };
  DuFrame in = { { blurred }, { pair->width * 3 } }, out = { { result }, { pair->width * 3 } };
  g_autoptr (GError) error = NULL;
  g_autoptr (DuModel) model = du_model_load (weights, &error);
  g_autoptr (DuSession) session = NULL;
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  DuSessionOptions options;
  DuDeblurrerOptions tiles;
  DuDeblurrerStats stats;
  double sum = 0;

  g_assert_no_error (error);
  du_session_options_init (&options);
  options.backend = DU_BACKEND_CPU;
  options.precision = DU_PRECISION_F32;
  options.threads = 1;
  session = du_session_open (model, &options, &error);
  g_assert_no_error (error);
  du_deblurrer_options_init (&tiles);
  deblurrer = du_deblurrer_new (session, &info, &tiles, &error);
  g_assert_no_error (error);
  g_assert_true (du_deblurrer_process (deblurrer, &in, &out, 1, &error));
  du_deblurrer_get_stats (deblurrer, &stats);
  g_assert_cmpuint (stats.tiles_per_frame, ==, pair == pairs ? 6 : pair == pairs + 2 ? 2 : 1);
  for (gsize i = 0; i < n; i++)
    sum += (result[i] - sharp[i]) * (double) (result[i] - sharp[i]) / 65025 / (double) n;
  *psnr = -10 * log10 (sum);
  *ssim = metrics_ssim8 (pair->height, pair->width, result, sharp);
}

static void
assert_near (const char *what, const char *text, double want)
{
  double value = g_ascii_strtod (text, NULL);

  if (!(fabs (value - want) <= 1e-6 * MAX (fabs (want), 1)))
    g_error ("%s: %s, expected %.9g", what, text, want);
}

static void
test_pairs (void)
{
  g_autofree char *data = g_build_filename (base, "data", NULL), *out = g_build_filename (base, "out", NULL);
  g_autofree char *manifest = g_build_filename (data, "manifest.json", NULL);
  g_autofree char *csv_path = g_build_filename (out, "eval.csv", NULL), *csv = NULL, *said = NULL, *err = NULL;
  const char *const argv[] = { g_getenv ("DEBLURUNET_TRAIN"), "eval", data, "-w", weights, "-o", out, "--all",
    "--backend=cpu", "--precision=f32", "--threads=1", NULL };
  g_auto (GStrv) lines = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  for (guint p = 0; p < G_N_ELEMENTS (pairs); p++) {
    gsize n = (gsize) pairs[p].height * pairs[p].width * 3;
    g_autofree guint8 *sharp = g_malloc (n), *blurred = g_malloc (n);

    draw (&pairs[p], sharp, blurred);
    write_picture ("sharp", &pairs[p], sharp);
    write_picture ("blur", &pairs[p], blurred);
  }
  g_assert_true (g_file_set_contents (manifest, "{\"pairs\": [{\"name\": \"big\", \"size\": 7, \"sigma\": 1},"
      " {\"name\": \"little\", \"size\": 11, \"sigma\": 1.6}]}", -1, NULL));
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &said, &err, &status, &error);
  g_assert_no_error (error);
  g_test_message ("%s%s", said, err);
  g_assert_true (g_spawn_check_wait_status (status, NULL));
  g_assert_true (g_file_get_contents (csv_path, &csv, NULL, NULL));
  lines = g_strsplit (csv, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 2 + G_N_ELEMENTS (pairs));
  for (guint p = 0; p < G_N_ELEMENTS (pairs); p++) {
    const Pair *pair = &pairs[p];
    gsize n = (gsize) pair->height * pair->width * 3;
    g_autofree guint8 *sharp = g_malloc (n), *blurred = g_malloc (n);
    g_auto (GStrv) fields = g_strsplit (lines[1 + p], ",", -1);
    g_autofree char *triptych = NULL;
    double psnr, ssim;

    draw (pair, sharp, blurred);
    measure (pair, sharp, blurred, &psnr, &ssim);
    g_assert_cmpuint (g_strv_length (fields), ==, 10);
    g_assert_true (g_str_has_prefix (fields[0], pair->name));
    g_assert_cmpint (atoi (fields[1]), ==, pair->kernel.size);
    assert_near ("PSNR blurred", fields[3], metrics_psnr (metrics_mse8 (n, blurred, sharp)));
    assert_near ("PSNR", fields[4], psnr);
    assert_near ("SSIM blurred", fields[5], metrics_ssim8 (pair->height, pair->width, blurred, sharp));
    assert_near ("SSIM", fields[6], ssim);
    triptych = g_build_filename (out, fields[9], NULL);
    g_assert_true (*fields[9] && g_file_test (triptych, G_FILE_TEST_EXISTS));
  }
  g_assert_nonnull (strstr (said, "\n7x7 sigma 1             1 "));
  g_assert_nonnull (strstr (said, "\n11x11 sigma 1.6         1 "));
  g_assert_nonnull (strstr (said, "\nall                     3 "));
}

int
main (int argc, char **argv)
{
  int failed;

  g_test_init (&argc, &argv, NULL);
  base = g_dir_make_tmp ("eval-XXXXXX", NULL);
  g_assert_true (g_getenv ("DEBLURUNET_TRAIN") && base && media_start (NULL));
  write_weights ();
  g_test_add_func ("/eval/pairs", test_pairs);
  failed = g_test_run ();
  remove_tree (base);
  g_free (base);
  g_free (weights);
  return failed;
}

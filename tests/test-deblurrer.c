/* Frame in, frame out, with networks whose results are known in the network's place.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deblurrer-internal.h"
#include "frames.h"

#include <math.h>
#include <string.h>

typedef struct
{
  float difference[3]; /* what it adds to every pixel */
  int calls, tiles, largest_batch;
  int fail_at; /* call that fails, counted from 1; 0: none */
} Constant;

static gboolean
constant (gpointer data, int n, int height, int width, const float *input, float *output, GError **error)
{
  Constant *network = data;

  if (++network->calls == network->fail_at) {
    g_set_error (error, DU_ERROR, DU_ERROR_BACKEND, "failed as told");
    return FALSE;
  }
  network->tiles += n;
  network->largest_batch = MAX (network->largest_batch, n);
  for (gsize i = 0; i < (gsize) n * height * width * 3; i++) {
    g_assert_true (input[i] >= 0 && input[i] <= 1);
    output[i] = input[i] + network->difference[i % 3];
  }
  return TRUE;
}

/* Mean of 5x5 with zeros outside of the tile, as a network pads, plus a pattern on a grid of 16 pixels, as
 * a network's pooling has one. */
static gboolean
local (gpointer data, int n, int height, int width, const float *input, float *output, GError **error)
{
  (void) data;
  (void) error;
  for (int tile = 0; tile < n; tile++)
    for (int y = 0; y < height; y++)
      for (int x = 0; x < width; x++)
        for (int c = 0; c < 3; c++) {
          gsize start = (gsize) tile * height * width;
          double sum = 0;

          for (int i = MAX (y - 2, 0); i <= MIN (y + 2, height - 1); i++)
            for (int j = MAX (x - 2, 0); j <= MIN (x + 2, width - 1); j++)
              sum += input[(start + (gsize) i * width + j) * 3 + c];
          output[(start + (gsize) y * width + x) * 3 + c] = sum / 25 + ((x % 16) * 16 + y % 16) / 2560.;
        }
  return TRUE;
}

static DuFrameInfo
make_info (DuFormat format, int width, int height)
{
  return (DuFrameInfo){ format, width, height, DU_MATRIX_BT709, FALSE, FALSE, TRUE };
}

typedef struct
{
  TestFrame in, out;
} Pair;

static void
pair_init (Pair *pair, const DuFrameInfo *info, guint seed)
{
  GRand *random = g_rand_new_with_seed (seed);

  test_frame_init (&pair->in, info, seed % 4, seed % 3 == 1);
  test_frame_init (&pair->out, info, seed % 5, seed % 3 == 2);
  test_frame_randomise (&pair->in, random);
  g_rand_free (random);
}

static void
pair_clear (Pair *pair)
{
  test_frame_clear (&pair->in);
  test_frame_clear (&pair->out);
}

/* Runs a network over the pair with tiles of 32 x 48, or up to that. */
static void
run_mode (Pair *pair, DuTileMode mode, DuForwardFunction forward, gpointer data, int overlap, int batch,
    double strength)
{
  DuDeblurrerOptions options = { overlap, batch, mode };
  g_autofree char *what = test_info_to_string (&pair->in.info);
  g_autoptr (GError) error = NULL;
  g_autoptr (DuDeblurrer) deblurrer
      = du_deblurrer_new_with_forward (forward, data, &pair->in.info, &options, 32, 48, &error);

  g_assert_no_error (error);
  g_assert_true (
      du_deblurrer_process (deblurrer, &pair->in.frame, &pair->out.frame, strength, &error));
  g_assert_no_error (error);
  test_frame_check_canaries (&pair->out, what);
}

static void
run (Pair *pair, DuForwardFunction forward, gpointer data, int overlap, int batch, double strength)
{
  run_mode (pair, DU_TILES_FIXED, forward, data, overlap, batch, strength);
}

/* Strength 0 does not ask the network; a network that changes nothing changes no bit. */
static void
test_identity (void)
{
  static const int sizes[][2] = { { 1, 1 }, { 1, 40 }, { 40, 1 }, { 48, 32 }, { 49, 33 }, { 131, 77 } };

  for (int format = 0; format < DU_N_FORMATS; format++)
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
      DuFrameInfo info = make_info (format, sizes[i][0], sizes[i][1]);
      g_autofree char *what = test_info_to_string (&info);

      for (int strength = 0; strength < 2; strength++) {
        Constant network = { .difference = { 0 } };
        Pair pair;

        if (strength == 0)
          network.difference[0] = 1;
        pair_init (&pair, &info, format + i);
        run (&pair, constant, &network, 16, 0, strength);
        test_frame_check_equal (&pair.in, &pair.out, what);
        g_assert_cmpint (network.calls > 0, ==, strength > 0);
        pair_clear (&pair);
      }
    }
}

static void
check_constant (const DuFrameInfo *info, DuTileMode mode, guint seed, int overlap, int batch)
{
  Constant network = { .difference = { 0.21f, -0.1f, 0.05f } };
  const double difference[3] = { 0.21f, -0.1f, 0.05f }, strength = seed % 2 ? 1 : 0.625;
  g_autofree char *what = test_info_to_string (info);
  double steps[3], maximum = (1 << test_depth (info)) - 1;
  Pair pair;

  pair_init (&pair, info, seed);
  run_mode (&pair, mode, constant, &network, overlap, batch, strength);
  test_reference_samples (info, difference, TRUE, steps);
  for (int component = 0; component < test_components (info); component++)
    for (int y = 0; y < test_component_height (info, component); y++)
      for (int x = 0; x < test_component_width (info, component); x++) {
        double expected = test_get (&pair.in, component, x, y) + strength * steps[component];

        expected = CLAMP (expected, 0, maximum);
        if (fabs (test_get (&pair.out, component, x, y) - expected) > 0.5 + 1e-6 * maximum)
          g_error ("%s mode %d overlap %d batch %d: component %d at (%d, %d) is %u instead of %.3f", what, mode,
              overlap, batch, component, y, x, test_get (&pair.out, component, x, y), expected);
      }
  test_frame_check_rest_equal (&pair.in, &pair.out, what);
  pair_clear (&pair);
}

static void
test_constant (void)
{
  static const DuFormat formats[] = { DU_FORMAT_I420, DU_FORMAT_NV12, DU_FORMAT_YUY2, DU_FORMAT_BGRx };

  for (int format = 0; format < DU_N_FORMATS; format++) {
    DuFrameInfo info = make_info (format, 203, 101);

    check_constant (&info, DU_TILES_FIXED, format, 16, 3);
    check_constant (&info, DU_TILES_BALANCED, format, 16, 3);
  }
  for (int height = 1; height <= 67; height++)
    for (int width = 1; width <= 67; width++) {
      guint seed = height * 67 + width;
      DuFrameInfo info = make_info (formats[seed % 4], width, height);

      check_constant (&info, seed / 4 % 2 ? DU_TILES_BALANCED : DU_TILES_FIXED, seed, seed % 17, seed % 5);
    }
}

/* What the network does next to a tile's edge is not seen: one tile for all the frame gives the same. */
static void
test_tiles (gconstpointer mode)
{
  static const int sizes[][2] = { { 100, 70 }, { 48, 33 }, { 49, 32 }, { 200, 131 }, { 64, 40 } };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (int format = DU_FORMAT_GRAY16_LE; format <= DU_FORMAT_ARGB64; format++) {
      DuFrameInfo info = { format, sizes[i][0], sizes[i][1], DU_MATRIX_BT601, TRUE, TRUE, FALSE };
      g_autofree char *what = test_info_to_string (&info);
      int tile_height = (info.height + 15) / 16 * 16, tile_width = (info.width + 15) / 16 * 16;
      DuDeblurrerOptions options = { .overlap = 0 };
      g_autoptr (DuDeblurrer) whole
          = du_deblurrer_new_with_forward (local, NULL, &info, &options, tile_height, tile_width, NULL);
      DuDeblurrerStats stats;
      Pair tiled;
      TestFrame expected;

      pair_init (&tiled, &info, i + format);
      test_frame_init (&expected, &info, 0, FALSE);
      run_mode (&tiled, GPOINTER_TO_INT (mode), local, NULL, 16, 0, 1);
      g_assert_true (du_deblurrer_process (whole, &tiled.in.frame, &expected.frame, 1, NULL));
      du_deblurrer_get_stats (whole, &stats);
      g_assert_cmpint (stats.tiles_per_frame, ==, 1);
      for (int component = 0; component < test_components (&info); component++)
        for (int y = 0; y < test_component_height (&info, component); y++)
          for (int x = 0; x < test_component_width (&info, component); x++) {
            int a = test_get (&tiled.out, component, x, y), b = test_get (&expected, component, x, y);

            if (ABS (a - b) > 1) /* blending rounds in float */
              g_error ("%s: component %d at (%d, %d) is %d, in one piece %d", what, component, y, x, a, b);
          }
      test_frame_clear (&expected);
      pair_clear (&tiled);
    }
}

static void
test_batch (void)
{
  DuFrameInfo info = make_info (DU_FORMAT_I420, 203, 101); /* 6 x 6 tiles with 16 shared */
  g_autofree char *what = test_info_to_string (&info);
  Pair one;

  pair_init (&one, &info, 1);
  run (&one, local, NULL, 16, 1, 1);
  for (int batch = 0; batch < 60; batch += 7) {
    Constant network = { .difference = { 0 } };
    DuDeblurrerOptions options = { 16, batch };
    DuDeblurrerStats stats;
    g_autoptr (DuDeblurrer) deblurrer
        = du_deblurrer_new_with_forward (constant, &network, &info, &options, 32, 48, NULL);
    Pair many;

    pair_init (&many, &info, 1);
    run (&many, local, NULL, 16, batch, 1);
    test_frame_check_equal (&one.out, &many.out, what);
    g_assert_true (du_deblurrer_process (deblurrer, &many.in.frame, &many.out.frame, 1, NULL));
    du_deblurrer_get_stats (deblurrer, &stats);
    g_assert_cmpint (stats.frames, ==, 1);
    g_assert_cmpint (stats.tiles_per_frame, ==, 36);
    g_assert_cmpint (network.tiles, ==, 36);
    g_assert_cmpint (network.largest_batch, ==, CLAMP (batch, 1, 36));
    g_assert_cmpfloat (stats.gather_ms, ==, stats.gather_ms_total);
    pair_clear (&many);
  }
  pair_clear (&one);
}

static gboolean
broken (gpointer data, int n, int height, int width, const float *input, float *output, GError **error)
{
  static const float values[] = { NAN, INFINITY, -INFINITY, 3e38f, -3e38f, -NAN };

  (void) data;
  (void) error;
  for (int i = 0; i < n * height * width * 3; i++)
    output[i] = i % 3 == 1 ? values[i / 3 % 6] : input[i];
  return TRUE;
}

/* No number: no correction. Beyond all bounds: the last sample there is. */
static void
test_broken_numbers (void)
{
  DuFrameInfo info = make_info (DU_FORMAT_RGB, 45, 30); /* one tile */
  Pair pair;

  info.full_range = TRUE;
  pair_init (&pair, &info, 2);
  run (&pair, broken, NULL, 0, 0, 1);
  for (int y = 0; y < info.height; y++)
    for (int x = 0; x < info.width; x++)
      for (int c = 0; c < 3; c++) {
        int kind = c == 1 ? (y * 48 + x) % 6 : 0;
        guint expected = kind == 3 ? 255 : kind == 4 ? 0 : test_get (&pair.in, c, x, y);

        g_assert_cmpuint (test_get (&pair.out, c, x, y), ==, expected);
      }
  pair_clear (&pair);
  for (int format = 0; format < DU_N_FORMATS; format++) { /* nothing undefined on the way */
    info = make_info (format, 61, 37);
    pair_init (&pair, &info, format);
    run (&pair, broken, NULL, 16, 2, 1);
    pair_clear (&pair);
  }
}

/* The caller's flag, set while the third of seven batches is in the network. */
static gboolean
cancelling (gpointer data, int n, int height, int width, const float *input, float *output, GError **error)
{
  int *counts = data; /* cancel, calls */

  (void) error;
  if (++counts[1] == 3)
    g_atomic_int_set (&counts[0], TRUE);
  memcpy (output, input, (gsize) n * height * width * 3 * sizeof *output);
  return TRUE;
}

static void
test_cancel (void)
{
  DuFrameInfo info = make_info (DU_FORMAT_NV12, 203, 101);
  DuDeblurrerOptions options = { 16, 5 };
  int counts[2] = { FALSE, 0 };
  g_autoptr (DuDeblurrer) deblurrer
      = du_deblurrer_new_with_forward (cancelling, counts, &info, &options, 32, 48, NULL);
  g_autoptr (GError) error = NULL;
  Pair pair;

  pair_init (&pair, &info, 3);
  du_deblurrer_set_cancel (deblurrer, &counts[0]);
  g_assert_false (du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, 1, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_CANCELLED);
  g_assert_cmpint (counts[1], ==, 3);
  g_clear_error (&error);
  counts[0] = FALSE;
  g_assert_true (du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, 1, &error));
  g_assert_cmpint (counts[1], >, 6);
  test_frame_check_equal (&pair.in, &pair.out, "after it was cancelled");
  pair_clear (&pair);
}

static void
test_failing_network (void)
{
  DuFrameInfo info = make_info (DU_FORMAT_NV12, 203, 101);
  DuDeblurrerOptions options = { 16, 5 };
  Constant network = { .fail_at = 4 };
  g_autoptr (DuDeblurrer) deblurrer
      = du_deblurrer_new_with_forward (constant, &network, &info, &options, 32, 48, NULL);
  g_autoptr (GError) error = NULL;
  DuDeblurrerStats stats;
  Pair pair;

  pair_init (&pair, &info, 3);
  g_assert_false (du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, 1, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_BACKEND);
  du_deblurrer_get_stats (deblurrer, &stats);
  g_assert_cmpuint (stats.frames, ==, 0);
  g_clear_error (&error);
  g_assert_true (du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, 1, &error));
  test_frame_check_equal (&pair.in, &pair.out, "after a failure");
  pair_clear (&pair);
}

/* Memory depends on the width alone, and 8K goes through it whole. */
static void
test_large (void)
{
  DuDeblurrerOptions options;
  Constant network = { .difference = { 0 } };
  gsize memory[3];
  static const int sizes[3][2] = { { 7680, 4320 }, { 7680, 300 }, { 32767, 32767 } };

  du_deblurrer_options_init (&options);
  for (int i = 0; i < 3; i++) {
    DuFrameInfo info = make_info (DU_FORMAT_NV12, sizes[i][0], sizes[i][1]);
    g_autoptr (DuDeblurrer) deblurrer = du_deblurrer_new_with_forward (constant, &network, &info, &options,
        DU_TILE_HEIGHT, DU_TILE_WIDTH, NULL);
    Pair pair;

    g_assert_nonnull (deblurrer);
    memory[i] = du_deblurrer_memory (deblurrer);
    if (i > 0)
      continue;
    pair_init (&pair, &info, 4);
    g_assert_true (du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, 1, NULL));
    test_frame_check_equal (&pair.in, &pair.out, "8K");
    pair_clear (&pair);
  }
  g_assert_cmpuint (memory[0], ==, memory[1]);
  g_assert_cmpuint (memory[0], <, 28 << 20);
  g_assert_cmpuint (memory[2], <, 105 << 20);
}

/* A smallest real network that adds difference to every value. */
static DuSession *
open_session (float difference)
{
  DuConfig config = { 1, 0, DU_HEAD_RESIDUAL };
  DuSessionOptions options;
  gsize n = du_config_n_parameters (&config);
  g_autofree float *parameters = g_new (float, n);
  g_autoptr (DuModel) model = NULL;
  DuSession *session;
  g_autoptr (GError) error = NULL;

  du_config_initialise (&config, 1, parameters);
  for (guint i = 0; i < du_config_n_tensors (&config); i++) {
    DuTensorInfo tensor;

    du_config_tensor (&config, i, &tensor);
    for (gsize j = 0; strcmp (tensor.name, "head.bias") == 0 && j < tensor.count; j++)
      parameters[tensor.offset + j] = difference;
  }
  model = du_model_new (&config, parameters, NULL, &error);
  g_assert_no_error (error);
  du_session_options_init (&options);
  options.precision = DU_PRECISION_F32;
  options.threads = 1; /* others test those */
  session = du_session_open (model, &options, &error);
  g_assert_no_error (error);
  return session;
}

static gpointer
deblur_in_thread (gpointer data)
{
  DuFrameInfo info = make_info (DU_FORMAT_NV12, 449, 37);
  DuDeblurrerOptions options;
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  Pair pair;

  du_deblurrer_options_init (&options);
  deblurrer = du_deblurrer_new (data, &info, &options, NULL);
  pair_init (&pair, &info, 6);
  for (int i = 0; i < 2; i++) {
    g_assert_true (du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, 1, NULL));
    test_frame_check_equal (&pair.in, &pair.out, "in a thread");
  }
  pair_clear (&pair);
  return NULL;
}

/* A real session under it, changed between frames and shared by threads. */
static void
test_session (void)
{
  DuFrameInfo info = make_info (DU_FORMAT_GRAY8, 451, 257); /* 2 x 2 tiles */
  DuSession *identity = open_session (0), *brighter = open_session (0.25f);
  DuDeblurrerOptions options;
  DuDeblurrerStats stats;
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  g_autoptr (GError) error = NULL;
  GThread *threads[3];
  Pair pair;

  info.full_range = TRUE;
  du_deblurrer_options_init (&options);
  deblurrer = du_deblurrer_new (identity, &info, &options, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("deblur", deblur_in_thread, identity);
  pair_init (&pair, &info, 7);
  g_assert_true (du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, 1, &error));
  test_frame_check_equal (&pair.in, &pair.out, "identity");
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  du_session_unref (identity); /* the deblurrer keeps its own references */
  du_deblurrer_set_session (deblurrer, brighter);
  du_session_unref (brighter);
  g_assert_true (du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, 1, &error));
  g_assert_no_error (error);
  for (int y = 0; y < info.height; y++)
    for (int x = 0; x < info.width; x++)
      g_assert_cmpint (test_get (&pair.out, 0, x, y), ==, MIN (test_get (&pair.in, 0, x, y) + 64, 255));
  du_deblurrer_get_stats (deblurrer, &stats);
  g_assert_cmpuint (stats.frames, ==, 2);
  g_assert_cmpuint (stats.tiles_per_frame, ==, 4);
  g_assert_cmpfloat (stats.network_ms, >, 0);
  pair_clear (&pair);
}

static void
test_arguments (void)
{
  DuFrameInfo good = make_info (DU_FORMAT_I420, 64, 48), large = make_info (DU_FORMAT_I420, 32768, 48);
  Constant network = { .difference = { 0 } };
  const struct
  {
    const DuFrameInfo *info;
    DuDeblurrerOptions options;
  } bad[] = { { &large, { 32, 0 } }, { &good, { -1, 0 } }, { &good, { 129, 0 } }, { &good, { 32, -1 } },
    { &good, { 32, 0, 2 } }, { &good, { 32, 0, -1 } } };
  static const double strengths[] = { -0.01, 1.01, NAN, INFINITY };
  DuDeblurrerOptions options;
  g_autoptr (GError) error = NULL;
  DuDeblurrer *deblurrer;
  Pair pair;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_assert_null (du_deblurrer_new_with_forward (constant, &network, bad[i].info, &bad[i].options, 256, 448,
        &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
    g_clear_error (&error);
  }
  du_deblurrer_options_init (&options);
  deblurrer = du_deblurrer_new_with_forward (constant, &network, &good, &options, 256, 448, &error);
  g_assert_no_error (error);
  pair_init (&pair, &good, 5);
  for (guint i = 0; i < G_N_ELEMENTS (strengths); i++) {
    g_assert_false (
        du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, strengths[i], &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
    g_clear_error (&error);
  }
  for (int plane = 0; plane < 3; plane++) {
    DuFrame in_place = pair.out.frame;

    in_place.data[plane] = pair.in.frame.data[plane];
    in_place.stride[plane] = pair.in.frame.stride[plane];
    g_assert_false (du_deblurrer_process (deblurrer, &pair.in.frame, &in_place, plane / 2., &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
    g_clear_error (&error);
  }
  pair.out.frame.data[2] = NULL;
  g_assert_false (du_deblurrer_process (deblurrer, &pair.in.frame, &pair.out.frame, 1, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
  du_deblurrer_free (deblurrer);
  du_deblurrer_free (NULL);
  pair_clear (&pair);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/deblurrer/arguments", test_arguments);
  g_test_add_func ("/deblurrer/identity", test_identity);
  g_test_add_func ("/deblurrer/constant", test_constant);
  g_test_add_data_func ("/deblurrer/tiles/fixed", GINT_TO_POINTER (DU_TILES_FIXED), test_tiles);
  g_test_add_data_func ("/deblurrer/tiles/balanced", GINT_TO_POINTER (DU_TILES_BALANCED), test_tiles);
  g_test_add_func ("/deblurrer/batch", test_batch);
  g_test_add_func ("/deblurrer/broken-numbers", test_broken_numbers);
  g_test_add_func ("/deblurrer/failing-network", test_failing_network);
  g_test_add_func ("/deblurrer/cancel", test_cancel);
  g_test_add_func ("/deblurrer/session", test_session);
  g_test_add_func ("/deblurrer/large", test_large);
  return g_test_run ();
}

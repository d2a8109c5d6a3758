/* What the CUDA back end takes of the device's memory for frames of 1080p, over the emulated runtime: sizes alone,
 * nothing is computed; and when it runs the first level in sub-batches.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake.h"
#include "network.h"

#include <gmodule.h>

enum
{
  MB = 1000000,
  /* What the stand-in does not show: CUDA's context and the code of the libraries, and their workspaces, of which
   * cuBLASLt's may be 32 MiB. */
  OUTSIDE = 550 * MB,
  LIMIT = 2000 * MB,
};

static const FakeControl *fake;

typedef struct
{
  const DuBackend *backend;
  DuContext *context;
  DuNetworkCache networks;
} Engine;

/* Reproducible: without trials, which would compute. */
static void
engine_init (Engine *engine, DuPrecision precision, const DuConfig *config)
{
  g_autofree char *note = NULL;
  g_autoptr (GError) error = NULL;
  DuType type;

  engine->backend = du_backend_open (DU_BACKEND_CUDA, precision, 1, -1, NULL, TRUE, &engine->context, &type, &note,
      &error);
  g_assert_no_error (error);
  du_network_cache_init (&engine->networks, engine->backend, engine->context, type, config, 4);
}

static void
engine_clear (Engine *engine)
{
  du_network_cache_clear (&engine->networks);
  engine->backend->close (engine->context);
}

/* Bytes of the device with all that frames in batches need, and what the choice of the largest plan needs besides,
 * for a while: its tensors in float32 (net/cuda/graph.c). batch: 0 = the back end's choice. */
static gsize
measure (DuPrecision precision, int overlap, int batch, const char *sub, gsize *trial)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12, .width = 1920, .height = 1080, .matrix = DU_MATRIX_BT709 };
  g_autoptr (GError) error = NULL;
  DuFrames *frames;
  DuFrameKind kind;
  DuTilePlan plan;
  DuConfig config;
  Engine engine;
  gsize used, estimate;
  int tiles, asked = batch, rest;

  du_config_init (&config);
  config.head = DU_HEAD_RESIDUAL;
  g_assert_true (du_frame_kind_init (&kind, &info, &error));
  du_tile_plan_init (&plan, DU_TILES_FIXED, info.height, info.width, DU_TILE_HEIGHT, DU_TILE_WIDTH, overlap);
  tiles = plan.vertical.count * plan.horizontal.count;
  if (sub)
    g_setenv ("DEBLURUNET_CUDA_SUB_BATCH", sub, TRUE);
  engine_init (&engine, precision, &config);
  g_unsetenv ("DEBLURUNET_CUDA_SUB_BATCH");
  if (!batch)
    batch = du_network_batch (&engine.networks, tiles, DU_TILE_HEIGHT, DU_TILE_WIDTH);
  rest = tiles % batch;
  *trial = 0;
  used = estimate = 0;
  for (int i = 0; i < (rest ? 2 : 1); i++) {
    const int n = i ? rest : batch;
    const DuNetwork *network = du_network_cache_get (&engine.networks, DU_MODE_INFERENCE, n, DU_TILE_HEIGHT,
        DU_TILE_WIDTH, &error);

    g_assert_no_error (error);
    *trial = MAX (*trial, (gsize) network->sub * DU_TILE_HEIGHT * DU_TILE_WIDTH * 3 * config.base_width * sizeof (float));
    *trial = MAX (*trial, (gsize) n * DU_TILE_HEIGHT * DU_TILE_WIDTH / 4 * 6 * config.base_width * sizeof (float));
    if (!i) {
      g_assert_true (du_network_inference_memory (&engine.networks, n, network->sub, DU_TILE_HEIGHT,
          DU_TILE_WIDTH, &estimate, &error));
      used = fake->memory ();
      /* Weights, in what they are computed in, and alignment come on top. */
      g_assert_cmpuint (used, >, estimate - estimate / 50);
      g_assert_cmpuint (used, <, estimate + 40 * MB);
    }
  }
  frames = engine.backend->frames_new (engine.context, &kind, &plan, &error);
  g_assert_no_error (error);
  used = fake->memory ();
  g_test_message ("%s, overlap %d, %d tiles in batches of %d%s, sub-batches of %s: %.0f MB, and %.0f for a while",
      (const char *[]){ "auto", "f32", "bf16", "f16", "tf32" }[precision], overlap, tiles, batch,
      asked ? "" : " (chosen)", sub ? sub : "-", used / 1e6, *trial / 1e6);
  engine.backend->frames_free (engine.context, frames);
  engine_clear (&engine);
  return used;
}

static void
test_1080p (void)
{
  static const DuPrecision precisions[]
      = { DU_PRECISION_F32, DU_PRECISION_TF32, DU_PRECISION_BF16, DU_PRECISION_F16 };
  static const int overlaps[] = { 32, 80, 128 };

  fake->shorten (TRUE);
  for (guint p = 0; p < G_N_ELEMENTS (precisions); p++) {
    gsize trial, whole, parts;

    for (guint o = 0; o < G_N_ELEMENTS (overlaps); o++) {
      const gsize used = measure (precisions[p], overlaps[o], 0, NULL, &trial);

      g_assert_cmpuint (used + trial + OUTSIDE, <, LIMIT);
    }
    /* All 48 tiles at once: the first level in sub-batches takes a quarter less. */
    whole = measure (precisions[p], 128, 48, "0", &trial);
    parts = measure (precisions[p], 128, 48, "4", &trial);
    g_assert_cmpuint (parts, <, whole * 3 / 4);
  }
  fake->shorten (FALSE);
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* Where the memory is slow against the cache, as many samples as this holds; what the environment says, before all. */
static void
test_choice (void)
{
  static const struct
  {
    const char *like;
    int clock;
    guint bus, cache;
    const char *asked;
    int f16, f32;
  } cases[] = {
    { "unknown", 0, 0, 0, NULL, 0, 0 },
    { "H200", 3201000, 6144, 50 << 20, NULL, 0, 0 },
    { "H200", 3201000, 6144, 50 << 20, "4", 4, 4 },
    { "RTX 4090", 10501000, 384, 72 << 20, NULL, 2, 1 },
    { "RTX 4090", 10501000, 384, 72 << 20, "0", 0, 0 },
    { "RTX 4090", 10501000, 384, 72 << 20, "many", 2, 1 },
    { "L4", 6251000, 192, 48 << 20, NULL, 1, 0 },
    { "one with a small cache", 9501000, 320, 5 << 20, NULL, 0, 0 },
  };
  const gsize values = DU_TILE_HEIGHT * DU_TILE_WIDTH * 32;
  DuConfig config;

  du_config_init (&config);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Engine engine;

    fake->set_speed (cases[i].clock, cases[i].bus, cases[i].cache);
    if (cases[i].asked)
      g_setenv ("DEBLURUNET_CUDA_SUB_BATCH", cases[i].asked, TRUE);
    engine_init (&engine, DU_PRECISION_F16, &config);
    g_unsetenv ("DEBLURUNET_CUDA_SUB_BATCH");
    g_test_message ("%s, asked for: %s", cases[i].like, cases[i].asked ? cases[i].asked : "nothing");
    g_assert_cmpint (engine.backend->sub_batch (engine.context, 2 * values), ==, cases[i].f16);
    g_assert_cmpint (engine.backend->sub_batch (engine.context, 4 * values), ==, cases[i].f32);
    engine_clear (&engine);
  }
  fake->set_speed (0, 0, 0);
}

int
main (int argc, char **argv)
{
  GModule *module;

  g_test_init (&argc, &argv, NULL);
  g_unsetenv ("DEBLURUNET_CUDA_SUB_BATCH");
  module = g_module_open (g_getenv ("DEBLURUNET_CUDA_MODULE"), G_MODULE_BIND_LOCAL);
  if (!module || !g_module_symbol (module, "du_fake_control", (gpointer *) &fake))
    g_error ("DEBLURUNET_CUDA_MODULE is not the emulated module: %s", g_module_error ());
  g_test_add_func ("/memory/1080p", test_1080p);
  g_test_add_func ("/memory/sub-batches", test_choice);
  return g_test_run ();
}

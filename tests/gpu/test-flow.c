/* How frames flow through the CUDA back end, over the emulated runtime: what a frame waits for and allocates, that
 * frames which overlap are right in whatever order streams and events leave to the device, and those that a recorded
 * graph does, too.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../fixtures.h"
#include "../frames.h"
#include "fake.h"
#include "frame-worker.h"

#include <gmodule.h>
#include <string.h>

enum
{
  N_FRAMES = 6,
  THREADS = 4,
  THREAD_FRAMES = 3,
};

static const FakeControl *fake;
static DuModel *model;
static const char *const order_names[FAKE_N_ORDERS] = { "late", "others first", "random", "at once" };

/* One of few tiles, and one of another size and format. */
static const DuFrameInfo infos[] = { { .format = DU_FORMAT_NV12, .width = 56, .height = 20 },
  { .format = DU_FORMAT_BGRA, .width = 33, .height = 9 } };

/* ---- frames ---------------------------------------------------------------------------------------------- */

/* Frame i of each sequence has content and a strength of its own. */
typedef struct
{
  DuFrameKind kind;
  DuTilePlan plan;
  TestFrame in, expected, out;
  DuSessionFrame frame; /* from in to out */
} Case;

static void
case_init (Case *c, int i, const DuFrameInfo *info, int tile)
{
  g_assert_true (du_frame_kind_init (&c->kind, info, NULL));
  du_tile_plan_init (&c->plan, DU_TILES_FIXED, info->height, info->width, tile, tile, 16);
  test_frame_init_random (&c->in, info, 1 + i);
  test_frame_init (&c->expected, info, 0, FALSE);
  test_frame_init (&c->out, info, 0, FALSE);
  c->frame = (DuSessionFrame){ &c->kind, &c->plan, 2, &c->in.frame, &c->expected.frame, 1 - i / 64.f };
}

static void
case_clear (Case *c)
{
  test_frame_clear (&c->in);
  test_frame_clear (&c->expected);
  test_frame_clear (&c->out);
}

static DuSession *
open_session (void)
{
  g_autoptr (GError) error = NULL;
  DuSessionOptions options;
  DuSession *session;

  du_session_options_init (&options);
  options.backend = DU_BACKEND_CUDA;
  options.precision = DU_PRECISION_F32;
  session = du_session_open (model, &options, &error);
  g_assert_no_error (error);
  return session;
}

static void
process (DuSession *session, Case *c)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (du_session_process (session, &c->frame, &error));
  g_assert_no_error (error);
}

/* Cases with what is right in expected, and their output still to be made. */
static void
cases_init (Case *cases, int n, const DuFrameInfo *first, const DuFrameInfo *second)
{
  g_autoptr (DuSession) session = NULL;

  fake->set_order (FAKE_AT_ONCE);
  session = open_session ();
  for (int i = 0; i < n; i++) {
    case_init (&cases[i], i, i % 2 ? second : first, 32);
    process (session, &cases[i]);
    cases[i].frame.out = &cases[i].out.frame;
  }
  fake->set_order (FAKE_LATE);
}

/* ---- orders ---------------------------------------------------------------------------------------------- */

/* The slots of a back end called by one thread, so that what is in flight when is the test's choice. */
typedef struct
{
  const DuBackend *backend;
  DuContext *context;
  DuNetworkCache networks;
} Engine;

typedef struct
{
  Engine *engine;
  DuFrames *frames;
  const Case *c;
} Tiles;

static gboolean
ask_for_tiles (gpointer data, GError **error)
{
  const Tiles *of = data;
  Engine *engine = of->engine;
  DuFrames *frames = of->frames;
  const Case *c = of->c;
  const DuBackend *backend = engine->backend;
  const int tiles = c->plan.vertical.count * c->plan.horizontal.count;

  for (int first = 0; first < tiles; first += c->frame.batch) {
    const int n = MIN (c->frame.batch, tiles - first);
    DuNetwork *network = du_network_cache_get (&engine->networks, DU_MODE_INFERENCE, n, c->plan.vertical.tile,
        c->plan.horizontal.tile, error);

    g_assert_true (network && du_model_to_network (model, network, error));
    g_assert_true (backend->frames_gather (engine->context, frames, first, n, network->picture, error));
    g_assert_true (du_network_forward (network, NULL, error));
    g_assert_true (backend->frames_blend (engine->context, frames, first, n, network->prediction, error));
  }
  return TRUE;
}

static void
ask (Engine *engine, DuFrames *frames, const Case *c)
{
  const DuBackend *backend = engine->backend;
  Tiles tiles = { engine, frames, c };
  char *note = NULL;
  GError *error = NULL;

  g_assert_true (backend->frames_begin (engine->context, frames, c->frame.in, c->frame.strength, &error));
  g_assert_true (
      backend->frames_run (engine->context, frames, c->frame.batch, ask_for_tiles, &tiles, &note, &error));
  g_assert_null (note);
  g_assert_true (backend->frames_end (engine->context, frames, c->frame.out, &error));
}

/* As many frames in flight as there may be, of kinds that take turns. */
static void
check_pipeline (FakeOrder order, int kinds, Case *cases)
{
  DuFrames *frames[2];
  Engine engine;
  DuType type;
  g_autofree char *note = NULL;
  GError *error = NULL;

  g_test_message ("order: %s", order_names[order]);
  fake->set_order (order);
  engine.backend = du_backend_open (DU_BACKEND_CUDA, DU_PRECISION_F32, 1, -1, NULL, FALSE, &engine.context, &type,
      &note, &error);
  g_assert_no_error (error);
  du_network_cache_init (&engine.networks, engine.backend, engine.context, type, du_model_config (model), 4);
  for (int i = 0; i < kinds; i++)
    frames[i] = engine.backend->frames_new (engine.context, &cases[i].kind, &cases[i].plan, &error);
  for (int i = 0; i < N_FRAMES; i++) {
    ask (&engine, frames[i % kinds], &cases[i]);
    if (i >= DU_FRAMES_IN_FLIGHT - 1) {
      const int done = i - (DU_FRAMES_IN_FLIGHT - 1);

      g_assert_true (engine.backend->frames_wait (engine.context, frames[done % kinds], &error));
      test_frame_check_equal (&cases[done].expected, &cases[done].out, order_names[order]);
    }
  }
  for (int done = N_FRAMES - (DU_FRAMES_IN_FLIGHT - 1); done < N_FRAMES; done++) {
    g_assert_true (engine.backend->frames_wait (engine.context, frames[done % kinds], &error));
    test_frame_check_equal (&cases[done].expected, &cases[done].out, order_names[order]);
  }
  for (int i = 0; i < kinds; i++)
    engine.backend->frames_free (engine.context, frames[i]);
  du_network_cache_clear (&engine.networks);
  engine.backend->close (engine.context);
}

/* The same bytes in memory of the other sort. */
static void
move (TestFrame *frame, gboolean to_pinned)
{
  for (int plane = 0; plane < frame->planes; plane++) {
    guint8 *from = frame->memory[plane], *to = to_pinned ? fake->pin (frame->size[plane])
                                                         : g_malloc (frame->size[plane]);

    memcpy (to, from, frame->size[plane]);
    frame->frame.data[plane] = to + (frame->frame.data[plane] - from);
    frame->memory[plane] = to;
    if (to_pinned)
      g_free (from);
    else
      fake->unpin (from);
  }
}

static void
test_orders (void)
{
  Case cases[N_FRAMES];

  for (int kinds = 1; kinds <= 2; kinds++) {
    cases_init (cases, N_FRAMES, &infos[0], &infos[kinds - 1]);
    for (int pinned = 0; pinned < 2; pinned++) {
      for (FakeOrder order = 0; order < FAKE_AT_ONCE && pinned + kinds < 3; order++) {
        for (int i = 0; i < N_FRAMES; i++)
          for (int plane = 0; plane < cases[i].out.planes; plane++)
            memset (cases[i].out.memory[plane], 0, cases[i].out.size[plane]);
        check_pipeline (order, kinds, cases);
      }
      for (int i = 0; i < N_FRAMES; i++) {
        move (&cases[i].in, !pinned);
        move (&cases[i].out, !pinned);
      }
    }
    for (int i = 0; i < N_FRAMES; i++)
      case_clear (&cases[i]);
  }
  fake->set_order (FAKE_LATE);
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* ---- a session's threads ---------------------------------------------------------------------------------- */

typedef struct
{
  DuSession *session;
  Case *cases;
  int first;
} Caller;

static gpointer
call (gpointer data)
{
  const Caller *caller = data;

  for (int i = caller->first; i < THREADS * THREAD_FRAMES; i += THREADS)
    process (caller->session, &caller->cases[i]);
  return NULL;
}

/* As many frames as there are threads come to the session at once. */
static void
test_threads (void)
{
  Case cases[THREADS * THREAD_FRAMES];
  g_autoptr (DuSession) session = NULL;

  cases_init (cases, THREADS * THREAD_FRAMES, &infos[0], &infos[1]);
  fake->set_order (FAKE_RANDOM);
  session = open_session ();
  for (int round = 0; round < 2; round++) {
    Caller callers[THREADS];
    GThread *threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
      callers[i] = (Caller){ session, cases, i };
      threads[i] = g_thread_new ("caller", call, &callers[i]);
    }
    for (int i = 0; i < THREADS; i++)
      g_thread_join (threads[i]);
    for (int i = 0; i < THREADS * THREAD_FRAMES; i++)
      test_frame_check_equal (&cases[i].expected, &cases[i].out, "of several threads");
  }
  for (int i = 0; i < THREADS * THREAD_FRAMES; i++)
    case_clear (&cases[i]);
  fake->set_order (FAKE_LATE);
}

/* ---- waits and allocations ---------------------------------------------------------------------------------- */

/* A frame as they all are behind the first few makes one wait and no allocation, wherever its planes are. */
static void
test_steady (void)
{
  Case cases[N_FRAMES];
  g_autoptr (DuSession) session = NULL;

  cases_init (cases, N_FRAMES, &infos[0], &infos[1]);
  session = open_session ();
  for (int pinned = 0; pinned < 2; pinned++) {
    FakeCounts before, after;

    for (int i = 0; i < N_FRAMES; i++)
      process (session, &cases[i]);
    fake->count (&before);
    for (int i = 0; i < N_FRAMES; i++)
      process (session, &cases[i]);
    fake->count (&after);
    g_assert_cmpuint (after.waits - before.waits, ==, N_FRAMES);
    g_assert_cmpuint (after.allocations - before.allocations, ==, 0);
    g_assert_cmpuint (after.replays - before.replays, ==, N_FRAMES);
    g_assert_cmpuint (after.captures - before.captures, ==, 0);
    for (int i = 0; i < N_FRAMES; i++) {
      test_frame_check_equal (&cases[i].expected, &cases[i].out, "steady");
      move (&cases[i].in, !pinned);
      move (&cases[i].out, !pinned);
    }
  }
  for (int i = 0; i < N_FRAMES; i++)
    case_clear (&cases[i]);
}

/* With the first level in sub-batches: the same frames, bit for bit, with no more waits, and as graphs. */
static void
test_sub_batches (void)
{
  Case cases[N_FRAMES];
  g_autoptr (DuSession) session = NULL;
  FakeCounts before, after;

  cases_init (cases, N_FRAMES, &infos[0], &infos[1]);
  g_setenv ("DEBLURUNET_CUDA_SUB_BATCH", "1", TRUE);
  fake->set_order (FAKE_RANDOM);
  session = open_session ();
  g_unsetenv ("DEBLURUNET_CUDA_SUB_BATCH");
  for (int round = 0; round < 2; round++) {
    fake->count (&before);
    for (int i = 0; i < N_FRAMES; i++) {
      memset (cases[i].out.memory[0], 0, cases[i].out.size[0]);
      process (session, &cases[i]);
      test_frame_check_equal (&cases[i].expected, &cases[i].out, "in sub-batches");
    }
    fake->count (&after);
  }
  g_assert_cmpuint (after.waits - before.waits, ==, N_FRAMES);
  g_assert_cmpuint (after.allocations - before.allocations, ==, 0);
  g_assert_cmpuint (after.replays - before.replays, ==, N_FRAMES);
  for (int i = 0; i < N_FRAMES; i++)
    case_clear (&cases[i]);
  fake->set_order (FAKE_LATE);
}

/* Networks of widths that libraries want padded, and of one that they do not, against the reference: sources side by
 * side, the first level whole and in parts. */
static void
test_widths (void)
{
  enum
  {
    N = 2,
    H = 16,
    W = 32,
    COUNT = N * H * W * 3,
  };
  static const int widths[] = { 1, 3, 4, 5, 8 };
  static const char *const subs[] = { "0", "1" };
  float input[COUNT], expected[COUNT], output[COUNT];

  for (int i = 0; i < COUNT; i++)
    input[i] = ((guint32) i * 2654435761u >> 24) / 255.f;
  for (guint w = 0; w < G_N_ELEMENTS (widths); w++) {
    DuConfig config = { widths[w], 0x1ff, DU_HEAD_SIGMOID };
    g_autofree float *parameters = random_parameters (&config, 5);
    DuModel *network = du_model_new (&config, parameters, NULL, NULL);
    DuSessionOptions options;
    g_autoptr (DuSession) reference = NULL;

    du_session_options_init (&options);
    options.precision = DU_PRECISION_F32;
    options.backend = DU_BACKEND_REFERENCE;
    reference = du_session_open (network, &options, NULL);
    g_assert_true (du_session_forward (reference, N, H, W, input, expected, NULL));
    g_clear_pointer (&reference, du_session_unref);
    options.backend = DU_BACKEND_CUDA;
    for (guint s = 0; s < G_N_ELEMENTS (subs); s++) {
      g_autoptr (GError) error = NULL;
      g_autoptr (DuSession) session = NULL;
      g_autofree char *name = g_strdup_printf ("width %d, sub-batches of %s", widths[w], subs[s]);

      g_setenv ("DEBLURUNET_CUDA_SUB_BATCH", subs[s], TRUE);
      session = du_session_open (network, &options, &error);
      g_unsetenv ("DEBLURUNET_CUDA_SUB_BATCH");
      g_assert_no_error (error);
      g_assert_true (du_session_forward (session, N, H, W, input, output, &error));
      assert_close (name, output, expected, COUNT, 1e-5);
    }
    du_model_unref (network);
  }
}

/* ---- graphs -------------------------------------------------------------------------------------------------- */

/* Memory that a graph uses goes when networks of other sizes are made: the graph is not launched then before it is
 * recorded anew. Two kinds of frames are kept; the first one's batches stay as they are, while the second one's make
 * and evict networks. */
static void
test_eviction (void)
{
  static const DuFrameInfo wide = { .format = DU_FORMAT_NV12, .width = 112, .height = 20 };
  static const int batches[] = { 2, 3, 2, 2 };
  const int n = G_N_ELEMENTS (batches);
  Case cases[G_N_ELEMENTS (batches)];
  g_autoptr (DuSession) session = NULL;
  FakeCounts counts;

  fake->reset ();
  fake->set_order (FAKE_AT_ONCE);
  session = open_session ();
  for (int i = 0; i < n; i++) {
    case_init (&cases[i], i, i % 2 ? &wide : &infos[0], i % 2 ? 48 : 32);
    cases[i].frame.batch = batches[i];
    process (session, &cases[i]);
    cases[i].frame.out = &cases[i].out.frame;
  }
  fake->set_order (FAKE_LATE);
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < n; i++)
      for (int again = 0; again < 4; again++) {
        memset (cases[i].out.memory[0], 0, cases[i].out.size[0]);
        process (session, &cases[i]);
        test_frame_check_equal (&cases[i].expected, &cases[i].out, "after others");
      }
  fake->count (&counts);
  g_test_message ("%u graphs recorded, %u launched", counts.captures, counts.replays);
  g_assert_cmpuint (counts.captures, >=, n);
  g_assert_cmpuint (counts.replays, >=, 2 * n);
  for (int i = 0; i < n; i++)
    case_clear (&cases[i]);
  du_session_unref (g_steal_pointer (&session));
  g_assert_cmpuint (fake->reset (), ==, 0);
}

/* Where graphs cannot be had, or are not wanted, frames are right all the same. */
static void
test_without (void)
{
  static const guint refusals[] = { FAKE_NO_CAPTURE, FAKE_NO_CAPTURED_PLANS, 0 };

  for (guint r = 0; r < G_N_ELEMENTS (refusals); r++) {
    Case cases[N_FRAMES];
    g_autoptr (DuSession) session = NULL;
    FakeCounts counts;

    cases_init (cases, N_FRAMES, &infos[0], &infos[1]);
    fake->reset ();
    fake->refuse (refusals[r]);
    if (!refusals[r])
      g_setenv ("DEBLURUNET_CUDA_GRAPHS", "0", TRUE);
    session = open_session ();
    for (int round = 0; round < 2; round++)
      for (int i = 0; i < N_FRAMES; i++) {
        memset (cases[i].out.memory[0], 0, cases[i].out.size[0]);
        process (session, &cases[i]);
        test_frame_check_equal (&cases[i].expected, &cases[i].out, "without graphs");
      }
    fake->count (&counts);
    g_test_message ("%s", du_session_note (session));
    g_assert_cmpuint (counts.replays, ==, 0);
    g_assert_cmpint (du_session_note (session) != NULL, ==, refusals[r] != 0);
    g_unsetenv ("DEBLURUNET_CUDA_GRAPHS");
    for (int i = 0; i < N_FRAMES; i++)
      case_clear (&cases[i]);
    du_session_unref (g_steal_pointer (&session));
    g_assert_cmpuint (fake->reset (), ==, 0);
  }
}

/* Each call of a frame that is recorded, and of one that is launched so, fails: an error, or a right picture; and the
 * next frame is right unless the device is lost. -m slow: each; else some. */
static void
test_faults (void)
{
  const guint stride = g_test_slow () ? 1 : 131;
  guint survived = 0, failed = 0;
  Case cases[4];

  cases_init (cases, 4, &infos[0], &infos[0]);
  fake->reset ();
  for (FakeFailure how = FAKE_HARMLESS; how <= FAKE_STICKY; how++) {
    gboolean reached = TRUE;

    for (guint call = 1 + how; reached; call += stride) {
      DuSession *session = open_session ();
      guint target;

      process (session, &cases[0]);
      target = fake->calls () + call;
      fake->fail (target, how);
      for (int i = 1; i < 4; i++) {
        g_autoptr (GError) error = NULL;
        const gboolean ok = du_session_process (session, &cases[i].frame, &error);

        if (ok != !error || (error && error->domain != DU_ERROR))
          g_error ("call %u, failure %d: %s", call, how, error ? error->message : "no reason");
        if (ok)
          test_frame_check_equal (&cases[i].expected, &cases[i].out, "beside a failure");
        survived += ok;
        failed += !ok;
      }
      reached = fake->calls () >= target;
      fake->fail (0, FAKE_HARMLESS);
      if (how != FAKE_STICKY)
        process (session, &cases[0]);
      du_session_unref (session);
      if (fake->reset () != 0 && how != FAKE_STICKY)
        g_error ("call %u, failure %d: something is left behind", call, how);
    }
  }
  g_test_message ("%u frames failed, %u survived", failed, survived);
  g_assert_cmpuint (failed, >, 0);
  for (int i = 0; i < 4; i++)
    case_clear (&cases[i]);
}

int
main (int argc, char **argv)
{
  g_autofree float *parameters = NULL;
  GModule *module;
  DuConfig config;
  int status;

  g_test_init (&argc, &argv, NULL);
  module = g_module_open (g_getenv ("DEBLURUNET_CUDA_MODULE"), G_MODULE_BIND_LOCAL);
  if (!module || !g_module_symbol (module, "du_fake_control", (gpointer *) &fake))
    g_error ("DEBLURUNET_CUDA_MODULE is not the emulated module: %s", g_module_error ());
  du_config_init (&config);
  config.base_width = 1;
  config.head = DU_HEAD_RESIDUAL;
  parameters = random_parameters (&config, 3);
  model = du_model_new (&config, parameters, NULL, NULL);
  g_test_add_func ("/flow/orders", test_orders);
  g_test_add_func ("/flow/threads", test_threads);
  g_test_add_func ("/flow/steady", test_steady);
  g_test_add_func ("/flow/sub-batches", test_sub_batches);
  g_test_add_func ("/flow/widths", test_widths);
  g_test_add_func ("/flow/eviction", test_eviction);
  g_test_add_func ("/flow/without-graphs", test_without);
  g_test_add_func ("/flow/faults", test_faults);
  status = g_test_run ();
  du_model_unref (model);
  return status;
}

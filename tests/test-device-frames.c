/* Frames that stay on a back end's device from sample to sample, against the same deblurrer on the CPU. Runs
 * where DEBLURUNET_CUDA_MODULE names the CUDA module, or an emulation of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixtures.h"
#include "frames.h"
#include "gpu/driver.h"
#include "gpu/fake.h"
#include "session-internal.h"

#include <gmodule.h>

static DuModel *model;

static void
count_release (gpointer count)
{
  ++*(int *) count;
}

/* NULL, and the test skipped, where there is no device. context: to work in, or NULL; released: counts. */
static DuSession *
open_session_in (DuBackendKind kind, gpointer context, int *released)
{
  g_autoptr (GError) error = NULL;
  DuSessionOptions options;
  DuSession *session;

  du_session_options_init (&options);
  options.backend = kind;
  options.precision = DU_PRECISION_F32;
  options.threads = 1;
  options.cuda_context = context;
  options.cuda_owner = released;
  options.cuda_release = released ? count_release : NULL;
  session = du_session_open (model, &options, &error);
  if (!session) {
    g_assert_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE);
    g_test_skip (error->message);
  }
  return session;
}

static DuSession *
open_session (DuBackendKind kind)
{
  return open_session_in (kind, NULL, NULL);
}

static void
random_frame (TestFrame *frame, const DuFrameInfo *info, int padding, gboolean flip)
{
  GRand *random = g_rand_new_with_seed (info->format * 100 + info->width);

  test_frame_init (frame, info, padding, flip);
  test_frame_randomise (frame, random);
  g_rand_free (random);
}

static gboolean
deblur_frame (DuSession *session, const DuFrameInfo *info, int batch, const int *cancel, double strength,
    const DuFrame *in, DuFrame *out, GError **error)
{
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  DuDeblurrerOptions options;

  du_deblurrer_options_init (&options);
  options.tile_mode = DU_TILES_BALANCED;
  options.overlap = 32;
  options.batch = batch;
  deblurrer = du_deblurrer_new (session, info, &options, error);
  g_assert_nonnull (deblurrer);
  du_deblurrer_set_cancel (deblurrer, cancel);
  return du_deblurrer_process (deblurrer, in, out, strength, error);
}

static gboolean
deblur (DuSession *session, const DuFrameInfo *info, int batch, const int *cancel, const TestFrame *in,
    TestFrame *out, GError **error)
{
  return deblur_frame (session, info, batch, cancel, 0.75, &in->frame, &out->frame, error);
}

/* A network of random weights multiplies what differs between the back ends: a sample may fall to the other
 * side of a half, or of two. */
static void
check_close (const TestFrame *expected, const TestFrame *got, const char *what)
{
  test_frame_check_close (expected, got, 2, 50, what);
}

static void
test_formats (void)
{
  static const struct
  {
    DuFormat format;
    int width, height, batch;
  } cases[]
      = { { DU_FORMAT_NV12, 449, 17, 0 }, { DU_FORMAT_BGRA, 470, 19, 1 }, { DU_FORMAT_P010_10LE, 33, 290, 2 },
          { DU_FORMAT_YUY2, 17, 9, 5 }, { DU_FORMAT_GRAY8, 1, 1, 0 }, { DU_FORMAT_NV12, 449, 17, 0 } };
  g_autoptr (DuSession) device = open_session (DU_BACKEND_CUDA), cpu = NULL;
  g_autoptr (GError) error = NULL;

  if (!device)
    return;
  cpu = open_session (DU_BACKEND_CPU);
  g_assert_true (du_session_has_frames (device));
  g_assert_false (du_session_has_frames (cpu));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const DuFrameInfo info = { .format = cases[i].format,
      .width = cases[i].width,
      .height = cases[i].height,
      .matrix = DU_MATRIX_BT709,
      .chroma_centred_y = TRUE };
    g_autofree char *what = test_info_to_string (&info);
    TestFrame in, expected, out;

    random_frame (&in, &info, i % 2 ? 3 : 0, i == 2);
    test_frame_init (&expected, &info, 0, FALSE);
    test_frame_init (&out, &info, i % 3, i == 1);
    g_assert_true (deblur (cpu, &info, 0, NULL, &in, &expected, &error));
    g_assert_true (deblur (device, &info, cases[i].batch, NULL, &in, &out, &error));
    g_assert_no_error (error);
    check_close (&expected, &out, what);
    test_frame_clear (&in);
    test_frame_clear (&expected);
    test_frame_clear (&out);
  }
}

/* A frame that is cancelled leaves the next one whole. */
static void
test_cancel (void)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12, .width = 40, .height = 18 };
  g_autoptr (DuSession) device = open_session (DU_BACKEND_CUDA);
  g_autoptr (GError) error = NULL;
  TestFrame in, out, again;
  const int yes = 1, no = 0;

  if (!device)
    return;
  random_frame (&in, &info, 0, FALSE);
  test_frame_init (&out, &info, 0, FALSE);
  test_frame_init (&again, &info, 0, FALSE);
  g_assert_true (deblur (device, &info, 1, &no, &in, &out, &error));
  g_assert_false (deblur (device, &info, 1, &yes, &in, &again, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_true (deblur (device, &info, 1, &no, &in, &again, &error));
  test_frame_check_equal (&out, &again, "after a cancelled frame");
  test_frame_clear (&in);
  test_frame_clear (&out);
  test_frame_clear (&again);
}

/* Memory of the emulated device in use after a frame. */
static gsize
memory_of_batch (const FakeControl *fake, const DuFrameInfo *info, int batch, TestFrame *in, TestFrame *out)
{
  g_autoptr (DuSession) device = open_session (DU_BACKEND_CUDA);
  g_autoptr (GError) error = NULL;

  g_assert_true (deblur (device, info, batch, NULL, in, out, &error));
  return fake->memory ();
}

/* NULL, and the test skipped, where the device is real. */
static const FakeControl *
fake_control (void)
{
  const char *path = g_getenv ("DEBLURUNET_CUDA_MODULE");
  GModule *module = path ? g_module_open (path, G_MODULE_BIND_LOCAL) : NULL;
  gpointer symbol = NULL;

  if (!module || !g_module_symbol (module, "du_fake_control", &symbol))
    g_test_skip ("the device is not emulated");
  return symbol;
}

/* Where memory is short, a frame is done with half as many tiles at a time. */
static void
test_memory (void)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12, .width = 1500, .height = 8 };
  const FakeControl *fake = fake_control ();
  g_autoptr (DuSession) device = NULL;
  g_autoptr (GError) error = NULL;
  TestFrame in, out, again;
  gsize of_two, of_four;

  if (!fake)
    return;
  random_frame (&in, &info, 0, FALSE);
  test_frame_init (&out, &info, 0, FALSE);
  test_frame_init (&again, &info, 0, FALSE);
  of_two = memory_of_batch (fake, &info, 2, &in, &out);
  of_four = memory_of_batch (fake, &info, 4, &in, &out);
  g_assert_cmpuint (of_two, <, of_four);
  fake->set_memory ((of_two + of_four) / 2);
  device = open_session (DU_BACKEND_CUDA);
  g_assert_true (deblur (device, &info, 4, NULL, &in, &again, &error));
  test_frame_check_equal (&out, &again, "with little memory");
  fake->set_memory (of_two / 2);
  g_assert_false (deblur (device, &(DuFrameInfo){ .format = DU_FORMAT_NV12, .width = 700, .height = 8 }, 3,
      NULL, &in, &again, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_MEMORY);
  fake->set_memory (G_MAXSIZE);
  test_frame_clear (&in);
  test_frame_clear (&out);
  test_frame_clear (&again);
}

/* Each call of a frame's fails in turn: an error, and the next frame is whole again. The frames take turns in
 * size, so that each is made ready anew. */
static void
test_faults (void)
{
  const DuFrameInfo sizes[] = { { .format = DU_FORMAT_NV12, .width = 8, .height = 6 },
    { .format = DU_FORMAT_NV12, .width = 9, .height = 5 },
    { .format = DU_FORMAT_NV12, .width = 7, .height = 7 } };
  const FakeControl *fake = fake_control ();
  g_autoptr (DuSession) device = NULL;
  TestFrame in[3], expected[3], out[3];
  guint call = 1, target, errors = 0;
  gboolean reached;

  if (!fake)
    return;
  device = open_session (DU_BACKEND_CUDA);
  for (int i = 0; i < 3; i++) {
    random_frame (&in[i], &sizes[i], 0, i == 1);
    test_frame_init (&expected[i], &sizes[i], 0, FALSE);
    test_frame_init (&out[i], &sizes[i], 0, i == 2);
    g_assert_true (deblur (device, &sizes[i], 1, NULL, &in[i], &expected[i], NULL));
  }
  do {
    g_autoptr (GError) error = NULL;
    const int i = call % 3;

    target = fake->calls () + call;
    fake->fail (target, FAKE_HARMLESS);
    if (!deblur (device, &sizes[i], 1, NULL, &in[i], &out[i], &error))
      g_assert_error (error, DU_ERROR, DU_ERROR_BACKEND);
    reached = fake->calls () >= target;
    g_assert_true (reached || !error);
    errors += error != NULL;
    fake->fail (0, FAKE_HARMLESS);
    for (int k = 0; k < 3; k++)
      g_assert_true (deblur (device, &sizes[k], 1, NULL, &in[k], &out[k], NULL));
    test_frame_check_equal (&expected[i], &out[i], "after a failure");
    call++;
  } while (reached);
  g_test_message ("%u calls, %u of whose failures are errors", call - 2, errors);
  g_assert_cmpuint (errors, >, 20); /* not where memory is given back, for one */
  fake->fail (fake->calls () + 10, FAKE_STICKY);
  g_assert_false (deblur (device, &sizes[0], 1, NULL, &in[0], &out[0], NULL));
  g_assert_false (deblur (device, &sizes[1], 1, NULL, &in[1], &out[1], NULL)); /* without a call */
  for (int i = 0; i < 3; i++) {
    test_frame_clear (&in[i]);
    test_frame_clear (&expected[i]);
    test_frame_clear (&out[i]);
  }
}

/* ---- frames in the device's memory, in a context that another made ------------------------------------- */

/* Of a frame each way: host to host is what the others are to be like, bit for bit. */
static void
check_memories (DuSession *session, gpointer context, const DuFrameInfo *info, double strength, gboolean flip)
{
  g_autofree char *what = test_info_to_string (info);
  g_autoptr (GError) error = NULL;
  TestFrame in, expected;
  DeviceFrame from;

  random_frame (&in, info, 5, flip);
  test_frame_init (&expected, info, 0, FALSE);
  g_assert_true (deblur_frame (session, info, 0, NULL, strength, &in.frame, &expected.frame, &error));
  device_frame_init (&from, context, &in);
  for (int way = 0; way < 3; way++) {
    TestFrame out;
    DeviceFrame to;

    test_frame_init (&out, info, 3 * way, flip);
    device_frame_init (&to, context, &out);
    g_assert_true (deblur_frame (session, info, 0, NULL, strength, way == 1 ? &in.frame : &from.frame,
        way == 2 ? &out.frame : &to.frame, &error));
    g_assert_no_error (error);
    if (way != 2)
      device_frame_read (&to);
    g_test_message ("%s, strength %g, way %d", what, strength, way);
    test_frame_check_equal (&expected, &out, what);
    test_frame_check_canaries (&out, what);
    if (strength == 0)
      test_frame_check_equal (&in, &out, what);
    device_frame_clear (&to);
    test_frame_clear (&out);
  }
  device_frame_clear (&from);
  test_frame_clear (&in);
  test_frame_clear (&expected);
}

static gboolean
has_driver (void)
{
  if (driver_open ())
    return TRUE;
  g_test_skip ("there is no driver");
  return FALSE;
}

static void
test_memory_of_context (void)
{
  static const DuFrameInfo infos[] = { { .format = DU_FORMAT_NV12, .width = 449, .height = 7 },
    { .format = DU_FORMAT_P010_10LE, .width = 20, .height = 18, .matrix = DU_MATRIX_BT2020 },
    { .format = DU_FORMAT_I420, .width = 21, .height = 13 }, { .format = DU_FORMAT_RGBA, .width = 18, .height = 9 },
    { .format = DU_FORMAT_YUY2, .width = 9, .height = 1 } };
  DuSession *session;
  gpointer context;
  int released = 0;

  if (!has_driver ())
    return;
  context = driver_context_new (0);
  session = open_session_in (DU_BACKEND_CUDA, context, &released);
  for (guint i = 0; session && i < G_N_ELEMENTS (infos); i++) {
    check_memories (session, context, &infos[i], 0.75, i % 2);
    check_memories (session, context, &infos[i], 0, i % 2);
  }
  g_assert_null (driver_context_current ());
  g_clear_pointer (&session, du_session_unref);
  g_assert_cmpint (released, ==, 1);
  driver_context_free (context);
  if (driver_fake ())
    g_assert_cmpuint (driver_fake ()->left (), ==, 0);
}

/* Each context has its session; owners are told when theirs is free. */
static void
test_contexts (void)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12, .width = 16, .height = 10 };
  DuSession *primary, *one, *other, *again, *cpu;
  int released[5] = { 0 };
  gpointer a, b;

  if (!has_driver ())
    return;
  a = driver_context_new (0);
  b = driver_context_new (0);
  primary = open_session (DU_BACKEND_CUDA);
  if (primary) {
    one = open_session_in (DU_BACKEND_CUDA, a, &released[0]);
    other = open_session_in (DU_BACKEND_CUDA, b, &released[1]);
    g_assert_true (primary != one && one != other && other != primary);
    again = open_session_in (DU_BACKEND_CUDA, a, &released[2]);
    g_assert_true (again == one);
    g_assert_cmpint (released[2], ==, 1);
    check_memories (one, a, &info, 1, FALSE);
    check_memories (other, b, &info, 1, FALSE);
    check_memories (one, a, &info, 0.5, FALSE);
    du_session_unref (one);
    g_assert_cmpint (released[0], ==, 0);
    du_session_unref (again);
    g_assert_cmpint (released[0], ==, 1);
    du_session_unref (other);
    g_assert_cmpint (released[1], ==, 1);
    cpu = open_session_in (DU_BACKEND_CPU, a, &released[3]);
    g_assert_cmpstr (du_session_backend (cpu), ==, "onednn");
    du_session_unref (cpu);
    g_assert_cmpint (released[3], ==, 1);
    du_session_unref (primary);
  }
  driver_context_free (a);
  driver_context_free (b);
}

static void
test_refused (void)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12, .width = 16, .height = 10 };
  g_autoptr (DuSession) cpu = open_session (DU_BACKEND_CPU);
  g_autoptr (GError) error = NULL;
  DuSessionOptions options;
  TestFrame in, out;
  gpointer context;
  int released = 0;

  random_frame (&in, &info, 0, FALSE);
  test_frame_init (&out, &info, 0, FALSE);
  in.frame.memory = DU_MEMORY_CUDA;
  for (double strength = 0; strength <= 1; strength++) {
    g_assert_false (deblur_frame (cpu, &info, 0, NULL, strength, &in.frame, &out.frame, &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE);
    g_test_message ("%s", error->message);
    g_clear_error (&error);
  }
  test_frame_clear (&in);
  test_frame_clear (&out);
  if (!has_driver ())
    return;
  context = driver_context_new (0);
  du_session_options_init (&options);
  options.backend = DU_BACKEND_CUDA;
  options.device = 1;
  options.cuda_context = context;
  options.cuda_owner = &released;
  options.cuda_release = count_release;
  g_assert_null (du_session_open (model, &options, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE);
  g_assert_cmpint (released, ==, 1);
  driver_context_free (context);
}

int
main (int argc, char **argv)
{
  g_autofree float *parameters = NULL;
  DuConfig config;
  int status;

  g_test_init (&argc, &argv, NULL);
  du_config_init (&config);
  config.base_width = 2;
  config.head = DU_HEAD_RESIDUAL;
  parameters = random_parameters (&config, 3);
  model = du_model_new (&config, parameters, NULL, NULL);
  g_test_add_func ("/device-frames/formats", test_formats);
  g_test_add_func ("/device-frames/cancel", test_cancel);
  g_test_add_func ("/device-frames/memory", test_memory);
  g_test_add_func ("/device-frames/memory-of-context", test_memory_of_context);
  g_test_add_func ("/device-frames/contexts", test_contexts);
  g_test_add_func ("/device-frames/refused", test_refused);
  g_test_add_func ("/device-frames/faults", test_faults); /* the last: the device is lost by it */
  status = g_test_run ();
  du_model_unref (model);
  return status;
}

/* A GPU that fails under the element: frames in are frames out, in order, and what on-gpu-error says becomes of the
 * stream. Over the stand-in for CUDA's libraries, which ends the test where a lost device is called again.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"
#include "gpu/fake.h"

#include <gmodule.h>
#include <string.h>

enum
{
  FRAMES = 3,
  SIDE = 16,
};

static const FakeControl *fake;
static char *weights, *other_weights;
static const DuFrameInfo info = { .format = DU_FORMAT_RGB, .width = SIDE, .height = SIDE };
static GstCaps *caps;
static TestFrame frames[FRAMES], expected[FRAMES];

static void
init (Element *element, const char *backend, const char *on_gpu_error)
{
  element_init (element, weights);
  gst_util_set_object_arg (G_OBJECT (element->element), "backend", backend);
  gst_util_set_object_arg (G_OBJECT (element->element), "on-gpu-error", on_gpu_error);
}

static void
play (Element *element)
{
  element_play (element, NULL);
  gst_harness_set_src_caps (element->harness, gst_caps_ref (caps));
}

static GstFlowReturn
push (Element *element, guint frame)
{
  GstBuffer *buffer = element_buffer_from (&frames[frame % FRAMES], caps);

  GST_BUFFER_PTS (buffer) = frame * GST_SECOND;
  return gst_harness_push (element->harness, buffer);
}

/* Takes the frames that came out; their number. Each is the next one, and is as the CPU makes it. */
static guint
pull (Element *element, guint next)
{
  GstBuffer *buffer;
  guint count = 0;

  for (; (buffer = gst_harness_try_pull (element->harness)); count++) {
    const guint frame = next + count;
    TestFrame got;

    g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==, frame * GST_SECOND);
    element_buffer_to (buffer, caps, &info, &got);
    test_frame_check_close (&expected[frame % FRAMES], &got, 1, 10, "a frame beside a GPU that fails");
    test_frame_clear (&got);
    gst_buffer_unref (buffer);
  }
  return count;
}

/* The next message of the type, or NULL; those before it are gone. */
static GError *
pop (Element *element, GstMessageType type, char **debug)
{
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (element->bus, type);
  GError *error = NULL;

  if (message && type == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, debug);
  else if (message)
    gst_message_parse_warning (message, &error, debug);
  return error;
}

/* Exactly one, that names what failed and what to do. */
static void
check_warning (Element *element, const char *word)
{
  g_autofree char *debug = NULL;
  g_autoptr (GError) warning = pop (element, GST_MESSAGE_WARNING, &debug);

  g_assert_error (warning, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_FAILED);
  g_test_message ("%s", warning->message);
  if (!strstr (warning->message, word) || !strstr (warning->message, "on-gpu-error=fail"))
    g_error ("the warning does not speak of '%s': %s", word, warning->message);
  element_assert_no_message (element, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
}

/* As the CPU deblurs them. */
static void
make_frames (void)
{
  Element element;

  init (&element, "cpu", "cpu");
  play (&element);
  for (guint i = 0; i < FRAMES; i++) {
    test_frame_init_random (&frames[i], &info, i + 1);
    element_process (&element, &frames[i], caps, &expected[i]);
  }
  element_clear (&element);
}

/* Takes all messages: the number of warnings, and an error with its debug part. */
static guint
pop_all (Element *element, GError **error, char **debug)
{
  GstMessage *message;
  guint warnings = 0;

  while ((message = gst_bus_pop (element->bus))) {
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR && !*error)
      gst_message_parse_error (message, error, debug);
    warnings += GST_MESSAGE_TYPE (message) == GST_MESSAGE_WARNING;
    gst_message_unref (message);
  }
  return warnings;
}

/* ---- each call ----------------------------------------------------------------------------------------- */

/* Frames through an element whose n-th call fails. counts: NULL, or the calls after the start and each frame. */
static void
run (const char *backend, const char *on_gpu_error, guint in_flight, guint n, FakeFailure how, guint *counts)
{
  const gboolean cpu = g_str_equal (on_gpu_error, "cpu");
  g_autofree char *what
      = g_strdup_printf ("backend=%s on-gpu-error=%s frames-in-flight=%u, call %u, %d", backend, on_gpu_error,
          in_flight, n, how);
  g_autofree char *debug = NULL;
  g_autoptr (GError) error = NULL;
  guint pushed, pulled = 0, warnings;
  Element element;

  g_test_message ("%s", what);
  fake->reset ();
  fake->fail (n, how);
  init (&element, backend, on_gpu_error);
  g_object_set (element.element, "frames-in-flight", in_flight, NULL);
  if (gst_element_set_state (element.element, GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE) {
    error = pop (&element, GST_MESSAGE_ERROR, NULL);
    if (!error || g_str_equal (backend, "auto"))
      g_error ("%s: does not start: %s", what, error ? error->message : "no message");
    element_clear (&element);
    return;
  }
  play (&element);
  if (counts)
    counts[0] = fake->calls ();
  for (pushed = 0; pushed < FRAMES; pushed++) {
    if (push (&element, pushed) != GST_FLOW_OK)
      break;
    pulled += pull (&element, pulled);
    if (counts)
      counts[pushed + 1] = fake->calls ();
  }
  gst_harness_push_event (element.harness, gst_event_new_eos ());
  pulled += pull (&element, pulled);
  warnings = pop_all (&element, &error, &debug);
  if (!error && pulled != FRAMES)
    g_error ("%s: %u frames of %u came out, and no error", what, pulled, FRAMES);
  if (error && cpu && g_str_equal (backend, "auto"))
    g_error ("%s: %s", what, error->message);
  if (error && how != FAKE_MEMORY && (!debug || !strstr (debug, "net/cuda/")) && !strstr (error->message, "no GPU"))
    g_error ("%s: no call, file and line in '%s'", what, debug ? debug : "");
  if (!error && (warnings > 1 || (fake->lost () && !warnings)))
    g_error ("%s: the GPU is%s lost, and there are %u warnings", what, fake->lost () ? "" : " not", warnings);
  element_clear (&element);
}

/* -m slow: each call; else some, more of them in the middle of the stream. */
static void
test_calls (void)
{
  static const struct
  {
    const char *backend, *on_gpu_error;
    guint in_flight;
  } ways[] = { { "auto", "cpu", 0 }, { "auto", "cpu", 2 }, { "cuda", "fail", 0 }, { "cuda", "fail", 2 } };
  guint counts[1 + FRAMES], runs = 0;

  run ("cuda", "fail", 0, 0, FAKE_HARMLESS, counts);
  g_test_message ("%u calls to the start, %u with the first frame, %u with the last", counts[0], counts[1],
      counts[FRAMES]);
  for (guint way = 0; way < G_N_ELEMENTS (ways); way++)
    for (FakeFailure how = FAKE_HARMLESS; how <= FAKE_STICKY; how++) {
      guint stride = 1;

      for (guint n = 1 + way + how; n <= counts[FRAMES]; n += stride, runs++) {
        run (ways[way].backend, ways[way].on_gpu_error, ways[way].in_flight, n, how, NULL);
        if (!g_test_slow ())
          stride = n < counts[0] ? counts[0] : n < counts[1] ? counts[1] / 2 : (counts[FRAMES] - counts[1]) / 3;
      }
    }
  g_test_message ("%u runs", runs);
  fake->reset ();
}

/* ---- once it has failed -------------------------------------------------------------------------------- */

/* The CPU keeps the stream, with other weights too, and no other element calls the device again. */
static void
test_lost (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) warning = NULL;
  FakeCounts at_loss, counts;
  Element first, second, later;

  fake->reset ();
  init (&first, "cuda", "cpu");
  play (&first);
  init (&second, "cuda", "cpu");
  g_object_set (second.element, "weights", other_weights, NULL);
  play (&second);
  g_assert_cmpint (push (&first, 0), ==, GST_FLOW_OK);
  g_assert_cmpint (push (&second, 0), ==, GST_FLOW_OK);
  gst_buffer_unref (gst_harness_pull (second.harness));
  element_assert_no_message (&first, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
  fake->fail (fake->calls () + 3, FAKE_STICKY);
  for (guint i = 1; i < 6; i++)
    g_assert_cmpint (push (&first, i), ==, GST_FLOW_OK);
  g_assert_true (fake->lost ());
  fake->count (&at_loss);
  g_assert_cmpuint (pull (&first, 0), ==, 6);
  check_warning (&first, "net/cuda/");

  g_assert_cmpint (push (&second, 1), ==, GST_FLOW_OK);
  gst_buffer_unref (gst_harness_pull (second.harness));
  check_warning (&second, "no longer used");
  g_object_set (first.element, "weights", other_weights, NULL);
  g_object_set (second.element, "weights", weights, NULL);
  g_assert_cmpint (push (&second, 2), ==, GST_FLOW_OK);
  g_assert_cmpuint (pull (&second, 2), ==, 1);
  g_assert_cmpint (push (&first, 6), ==, GST_FLOW_OK);
  gst_buffer_unref (gst_harness_pull (first.harness));
  element_assert_no_message (&first, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);

  init (&later, "auto", "fail");
  play (&later);
  warning = pop (&later, GST_MESSAGE_WARNING, NULL);
  g_assert_error (warning, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_INIT);
  g_assert_cmpint (push (&later, 0), ==, GST_FLOW_OK);
  g_assert_cmpuint (pull (&later, 0), ==, 1);
  element_clear (&later);
  init (&later, "cuda", "cpu");
  g_assert_cmpint (gst_element_set_state (later.element, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_FAILURE);
  error = pop (&later, GST_MESSAGE_ERROR, NULL);
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  element_clear (&later);
  element_clear (&second);
  element_clear (&first);
  fake->count (&counts);
  g_assert_cmpuint (counts.late, ==, at_loss.late);
  fake->reset ();
}

/* ---- start and memory ---------------------------------------------------------------------------------- */

/* Without a driver, without a device. */
static void
test_start (void)
{
  for (int devices = -1; devices <= 0; devices++) {
    g_autoptr (GError) warning = NULL;
    g_autoptr (GError) error = NULL;
    Element element;

    fake->reset ();
    fake->set_devices (devices);
    init (&element, "auto", "fail");
    play (&element);
    warning = pop (&element, GST_MESSAGE_WARNING, NULL);
    g_assert_error (warning, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_INIT);
    g_test_message ("%s", warning->message);
    g_assert_cmpint (push (&element, 0), ==, GST_FLOW_OK);
    g_assert_cmpuint (pull (&element, 0), ==, 1);
    element_assert_no_message (&element, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
    element_clear (&element);

    init (&element, "cuda", "cpu");
    g_assert_cmpint (gst_element_set_state (element.element, GST_STATE_PAUSED), ==, GST_STATE_CHANGE_FAILURE);
    error = pop (&element, GST_MESSAGE_ERROR, NULL);
    g_assert_error (error, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_INIT);
    element_clear (&element);
  }
  fake->reset ();
}

/* A frame of three tiles in one batch, in so much memory; what the device then has in use. */
static gsize
run_batch (const char *on_gpu_error, int batch, gsize memory, const TestFrame *in, const TestFrame *wanted,
    GstFlowReturn *flow, Element *element)
{
  g_autoptr (GstCaps) wide = element_caps (in->info.format, in->info.width, in->info.height, NULL);
  GstBuffer *buffer;
  gsize used;

  fake->reset ();
  init (element, "cuda", on_gpu_error);
  g_object_set (element->element, "batch", batch, "overlap", 0, NULL);
  element_play (element, NULL);
  gst_harness_set_src_caps (element->harness, gst_caps_ref (wide));
  fake->set_memory (memory);
  *flow = gst_harness_push (element->harness, element_buffer_from (in, wide));
  used = fake->memory ();
  buffer = gst_harness_try_pull (element->harness);
  g_assert_cmpint (buffer != NULL, ==, *flow == GST_FLOW_OK);
  if (buffer) {
    TestFrame got;

    element_buffer_to (buffer, wide, &in->info, &got);
    test_frame_check_close (wanted, &got, 1, 10, "a frame in little memory");
    test_frame_clear (&got);
    gst_buffer_unref (buffer);
  }
  return used;
}

static void
test_memory (void)
{
  const DuFrameInfo wide = { .format = DU_FORMAT_GRAY8, .width = 3 * 448, .height = SIDE };
  g_autoptr (GstCaps) wide_caps = element_caps (wide.format, wide.width, wide.height, NULL);
  g_autoptr (GError) error = NULL;
  TestFrame in, wanted;
  GstFlowReturn flow;
  Element element;
  gsize one, three;

  test_frame_init_random (&in, &wide, 9);
  init (&element, "cpu", "cpu");
  g_object_set (element.element, "overlap", 0, NULL);
  element_play (&element, NULL);
  gst_harness_set_src_caps (element.harness, gst_caps_ref (wide_caps));
  element_process (&element, &in, wide_caps, &wanted);
  element_clear (&element);

  one = run_batch ("fail", 1, G_MAXSIZE, &in, &wanted, &flow, &element);
  element_clear (&element);
  three = run_batch ("fail", 3, G_MAXSIZE, &in, &wanted, &flow, &element);
  element_clear (&element);
  g_test_message ("%" G_GSIZE_FORMAT " bytes with a batch of one tile, %" G_GSIZE_FORMAT " with three", one, three);
  g_assert_cmpuint (three, >, one);

  (void) run_batch ("fail", 3, (one + three) / 2, &in, &wanted, &flow, &element);
  g_assert_cmpint (flow, ==, GST_FLOW_OK);
  element_assert_no_message (&element, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
  element_clear (&element);

  (void) run_batch ("cpu", 3, one / 4, &in, &wanted, &flow, &element);
  g_assert_cmpint (flow, ==, GST_FLOW_OK);
  check_warning (&element, "memory");
  element_clear (&element);

  (void) run_batch ("fail", 3, one / 4, &in, &wanted, &flow, &element);
  g_assert_cmpint (flow, ==, GST_FLOW_ERROR);
  error = pop (&element, GST_MESSAGE_ERROR, NULL);
  g_assert_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NO_SPACE_LEFT);
  element_clear (&element);
  test_frame_clear (&in);
  test_frame_clear (&wanted);
  fake->reset ();
}

int
main (int argc, char **argv)
{
  GModule *module;
  int result;

  element_tests_init (&argc, &argv);
  module = g_module_open (g_getenv ("DEBLURUNET_CUDA_MODULE"), G_MODULE_BIND_LOCAL);
  if (!module || !g_module_symbol (module, "du_fake_control", (gpointer *) &fake))
    g_error ("DEBLURUNET_CUDA_MODULE is not the emulated module: %s", g_module_error ());
  weights = element_weights_noise (5);
  other_weights = element_weights_noise (6);
  caps = element_caps (info.format, info.width, info.height, NULL);
  make_frames ();
  g_test_add_func ("/element/faults/start", test_start);
  g_test_add_func ("/element/faults/memory", test_memory);
  g_test_add_func ("/element/faults/lost", test_lost);
  g_test_add_func ("/element/faults/calls", test_calls);
  result = element_tests_run ();
  for (guint i = 0; i < FRAMES; i++) {
    test_frame_clear (&frames[i]);
    test_frame_clear (&expected[i]);
  }
  gst_caps_unref (caps);
  g_free (weights);
  g_free (other_weights);
  return result;
}

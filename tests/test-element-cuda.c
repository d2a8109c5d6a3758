/* Frames in CUDA memory through the element, against the same frames in the host's memory through the same back end:
 * bit for bit. Over the stand-ins for the driver and for CUDA's libraries, which end the test where memory, handles or
 * contexts are mixed up.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"
#include "gpu/fake-driver.h"
#include "gpu/fake.h"

#include <gmodule.h>
#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudautils.h>

static const FakeDriver *driver;
static const FakeControl *runtime;

/* ---- what the tests share ------------------------------------------------------------------------------ */

static void
init (Element *element)
{
  g_autofree char *weights = element_weights_noise (7);

  element_init (element, weights);
  gst_util_set_object_arg (G_OBJECT (element->element), "backend", "cuda");
}

/* Takes the caps. */
static GstCaps *
in_cuda (GstCaps *caps)
{
  gst_caps_set_features (caps, 0, gst_caps_features_new (GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY, NULL));
  return caps;
}

static void
set_caps (Element *element, const GstCaps *caps)
{
  if (!element->harness)
    element_play (element, NULL);
  gst_harness_set_src_caps (element->harness, gst_caps_copy (caps));
}

/* In the memory of a new pool's buffer. */
static GstBuffer *
cuda_buffer (GstCudaContext *context, const TestFrame *frame, GstCaps *caps)
{
  GstBufferPool *pool = gst_cuda_buffer_pool_new (context);
  GstStructure *config = gst_buffer_pool_get_config (pool);
  GstBuffer *buffer = NULL;
  GstVideoInfo info;

  g_assert_true (gst_video_info_from_caps (&info, caps));
  gst_buffer_pool_config_set_params (config, caps, info.size, 0, 0);
  g_assert_true (gst_buffer_pool_set_config (pool, config));
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  g_assert_cmpint (gst_buffer_pool_acquire_buffer (pool, &buffer, NULL), ==, GST_FLOW_OK);
  element_buffer_fill (frame, buffer, caps);
  gst_buffer_pool_set_active (pool, FALSE);
  gst_object_unref (pool);
  return buffer;
}

static GstCudaContext *
context_of (GstBuffer *buffer)
{
  GstMemory *memory = gst_buffer_peek_memory (buffer, 0);

  g_assert_true (gst_is_cuda_memory (memory));
  return GST_CUDA_MEMORY_CAST (memory)->context;
}

/* Pushes the frame as a buffer of the context, and pulls one of the same context. */
static GstBuffer *
deblur (Element *element, GstCudaContext *context, const TestFrame *in, GstCaps *caps)
{
  GstBuffer *out;

  g_assert_cmpint (gst_harness_push (element->harness, cuda_buffer (context, in, caps)), ==, GST_FLOW_OK);
  out = gst_harness_try_pull (element->harness);
  g_assert_nonnull (out);
  g_assert_true (context_of (out) == context);
  return out;
}

/* By the same back end, from and to the host's memory. info: of the output. */
static void
expect (const char *property, const char *value, const TestFrame *in, const GstCaps *caps, const DuFrameInfo *info,
    TestFrame *expected)
{
  Element element;
  GstBuffer *buffer;

  init (&element);
  if (property)
    gst_util_set_object_arg (G_OBJECT (element.element), property, value);
  set_caps (&element, caps);
  g_assert_cmpint (gst_harness_push (element.harness, element_buffer_from (in, caps)), ==, GST_FLOW_OK);
  buffer = gst_harness_try_pull (element.harness);
  g_assert_nonnull (buffer);
  {
    g_autoptr (GstCaps) out_caps = gst_pad_get_current_caps (element.harness->sinkpad);

    element_buffer_to (buffer, out_caps, info, expected);
  }
  gst_buffer_unref (buffer);
  element_clear (&element);
}

static void
check_nothing_left (void)
{
  g_assert_cmpuint (driver->left (), ==, 0);
}

/* One frame both ways, some times: the back end does frames in another way once it knows them. */
static void
compare (const char *property, const char *value, DuFormat format, int width, int height, const char *interlacing,
    int out_width)
{
  const DuFrameInfo info = { .format = format, .width = width, .height = height };
  const int rounds = format == DU_FORMAT_NV12 ? 5 : 2;
  DuFrameInfo out_info = info;
  g_autofree char *what = test_info_to_string (&info);
  GstCaps *caps = element_caps (format, width, height, NULL), *cuda_caps;
  GstCudaContext *context = gst_cuda_context_new (0);
  Element element;
  TestFrame in, expected, got;
  GstBuffer *buffer;

  out_info.width = out_width;
  g_test_message ("%s, %s %s %s", what, property ? property : "", value ? value : "", interlacing);
  if (*interlacing)
    gst_caps_set_simple (caps, "interlace-mode", G_TYPE_STRING, interlacing, NULL);
  test_frame_init_random (&in, &info, 100 * format + width);
  expect (property, value, &in, caps, &out_info, &expected);
  cuda_caps = in_cuda (caps);

  init (&element);
  if (property)
    gst_util_set_object_arg (G_OBJECT (element.element), property, value);
  set_caps (&element, cuda_caps);
  for (int round = 0; round < rounds; round++) {
    g_autoptr (GstCaps) out_caps = NULL;

    buffer = deblur (&element, context, &in, cuda_caps);
    out_caps = gst_pad_get_current_caps (element.harness->sinkpad);
    g_assert_true (gst_caps_features_contains (gst_caps_get_features (out_caps, 0),
        GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY));
    element_buffer_to (buffer, out_caps, &out_info, &got);
    test_frame_check_equal (&expected, &got, what);
    test_frame_clear (&got);
    gst_buffer_unref (buffer);
  }
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
  gst_object_unref (context);
  test_frame_clear (&in);
  test_frame_clear (&expected);
  gst_caps_unref (cuda_caps);
  check_nothing_left ();
}

/* ---- tests --------------------------------------------------------------------------------------------- */

/* Both templates have CUDA memory, in each of our formats that the library's pool knows. */
static void
test_templates (void)
{
  Element element;

  init (&element);
  for (int i = 0; i < 2; i++) {
    g_autoptr (GstPad) pad = gst_element_get_static_pad (element.element, i ? "src" : "sink");
    g_autoptr (GstCaps) caps = gst_pad_get_pad_template_caps (pad);
    int formats = 0;

    for (DuFormat format = 0; format < DU_N_FORMATS; format++) {
      g_autoptr (GstCaps) wanted = in_cuda (element_caps (format, 8, 8, NULL));

      formats += gst_caps_can_intersect (caps, wanted);
    }
    g_assert_cmpint (formats, ==, 18);
  }
  element_clear (&element);
}

/* Not of odd height with planes of chroma: GStreamer 1.22 lays the last one out so that its own copies between host
 * and device miss it. */
static void
test_formats (void)
{
  static const int sizes[][2] = { { 22, 14 }, { 460, 6 }, { 7, 9 } };

  for (DuFormat format = 0; format < DU_N_FORMATS; format++) {
    const int *size = sizes[format % G_N_ELEMENTS (sizes)];

    if (format == DU_FORMAT_I420 || format == DU_FORMAT_YV12 || format == DU_FORMAT_I420_10LE)
      compare (NULL, NULL, format, 7 + 4 * format, 10, "", 7 + 4 * format);
    else if (format != DU_FORMAT_xRGB && format != DU_FORMAT_xBGR && format != DU_FORMAT_GRAY8
        && format != DU_FORMAT_GRAY16_LE && format != DU_FORMAT_ARGB64)
      compare (NULL, NULL, format, size[0], size[1], "", size[0]);
  }
}

static void
test_interlaced (void)
{
  compare (NULL, NULL, DU_FORMAT_NV12, 10, 12, "interleaved", 10);
  compare (NULL, NULL, DU_FORMAT_I420, 10, 12, "interleaved", 10);
  compare (NULL, NULL, DU_FORMAT_P010_10LE, 10, 10, "interleaved", 10);
  compare (NULL, NULL, DU_FORMAT_RGBA, 8, 7, "interleaved", 8);
}

/* Before and after in one picture pass through the host's memory. */
static void
test_compare (void)
{
  compare ("compare", "split", DU_FORMAT_NV12, 22, 10, "", 22);
  compare ("compare", "side-by-side", DU_FORMAT_NV12, 22, 10, "", 44);
  compare ("compare", "side-by-side", DU_FORMAT_BGRA, 9, 5, "", 20);
}

/* What is not deblurred is handed on as the buffer that came, and nothing is copied. */
static void
test_pass_through (void)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12, .width = 16, .height = 8 };
  g_autoptr (GstCaps) caps = in_cuda (element_caps (info.format, info.width, info.height, NULL));
  GstCudaContext *context = gst_cuda_context_new (0);
  GstBuffer *buffer, *out;
  Element element;
  TestFrame in;
  guint copies;

  test_frame_init_random (&in, &info, 1);
  init (&element);
  g_object_set (element.element, "strength", 0.0, NULL);
  set_caps (&element, caps);
  buffer = cuda_buffer (context, &in, caps);
  copies = driver->copies ();
  g_assert_cmpint (gst_harness_push (element.harness, gst_buffer_ref (buffer)), ==, GST_FLOW_OK);
  out = gst_harness_try_pull (element.harness);
  g_assert_true (out == buffer);
  g_assert_cmpuint (driver->copies (), ==, copies);
  gst_buffer_unref (buffer);
  gst_buffer_unref (out);
  element_clear (&element);
  gst_object_unref (context);
  test_frame_clear (&in);
  check_nothing_left ();
}

/* Nothing crosses the bus while frames are deblurred. */
static void
test_stays_on_device (void)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12, .width = 16, .height = 8 };
  g_autoptr (GstCaps) caps = in_cuda (element_caps (info.format, info.width, info.height, NULL));
  GstCudaContext *context = gst_cuda_context_new (0);
  GstBuffer *buffer, *out;
  Element element;
  TestFrame in;
  guint copies;

  test_frame_init_random (&in, &info, 1);
  init (&element);
  set_caps (&element, caps);
  gst_buffer_unref (deblur (&element, context, &in, caps));
  buffer = cuda_buffer (context, &in, caps);
  copies = driver->copies ();
  g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
  out = gst_harness_try_pull (element.harness);
  /* Of what the test itself wrote, from the staging memory of GStreamer's. */
  g_assert_cmpuint (driver->copies (), ==, copies + 1);
  gst_buffer_unref (out);
  element_clear (&element);
  gst_object_unref (context);
  test_frame_clear (&in);
  check_nothing_left ();
}

static gboolean
query_context (GstHarness *harness, GstCudaContext **context)
{
  GstQuery *query = gst_query_new_context (GST_CUDA_CONTEXT_TYPE);
  GstContext *found = NULL;
  gboolean answered = gst_pad_peer_query (harness->sinkpad, query);

  *context = NULL;
  if (answered) {
    gst_query_parse_context (query, &found);
    gst_structure_get (
        gst_context_get_structure (found), GST_CUDA_CONTEXT_TYPE, GST_TYPE_CUDA_CONTEXT, context, NULL);
  }
  gst_query_unref (query);
  return answered;
}

/* As an application, or a bin, that has one. */
static GstBusSyncReply
give_context (GstBus *bus, GstMessage *message, gpointer context)
{
  (void) bus;
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_NEED_CONTEXT) {
    GstContext *gst_context = gst_context_new_cuda_context (context);

    gst_element_set_context (GST_ELEMENT (GST_MESSAGE_SRC (message)), gst_context);
    gst_context_unref (gst_context);
  }
  return GST_BUS_PASS;
}

/* As an element that has one. */
static GstPadProbeReturn
answer_query (GstPad *pad, GstPadProbeInfo *info, gpointer context)
{
  GstQuery *query = GST_PAD_PROBE_INFO_QUERY (info);
  GstElement *nobody;
  gboolean answered;

  (void) pad;
  if (GST_QUERY_TYPE (query) != GST_QUERY_CONTEXT)
    return GST_PAD_PROBE_OK;
  nobody = gst_object_ref_sink (gst_bin_new (NULL));
  answered = gst_cuda_handle_context_query (nobody, query, context);
  gst_object_unref (nobody);
  g_assert_true (answered);
  return GST_PAD_PROBE_HANDLED;
}

static void
play_beside (Element *element, GstCudaContext *context)
{
  element_play (element, NULL);
  gst_element_set_state (element->element, GST_STATE_NULL);
  gst_pad_add_probe (
      element->harness->sinkpad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, answer_query, context, NULL);
  gst_element_set_state (element->element, GST_STATE_PLAYING);
}

/* A context that is there is taken, from the start on, and told to others; without one, a new one is made. */
static void
test_sharing (void)
{
  enum
  {
    NEW,
    SET,
    ASKED,
    NEIGHBOUR,
    WAYS,
  };
  const DuFrameInfo info = { .format = DU_FORMAT_RGBA, .width = 12, .height = 8 };
  g_autoptr (GstCaps) caps = in_cuda (element_caps (info.format, info.width, info.height, NULL));
  TestFrame in;

  test_frame_init_random (&in, &info, 1);
  for (int way = NEW; way < WAYS; way++) {
    GstCudaContext *context = way == NEW ? NULL : gst_cuda_context_new (0), *answer;
    GstMessage *message;
    Element element;

    g_test_message ("way %d", way);
    init (&element);
    if (way == ASKED)
      gst_bus_set_sync_handler (element.bus, give_context, context, NULL);
    if (way == SET) {
      GstContext *gst_context = gst_context_new_cuda_context (context);

      gst_element_set_context (element.element, gst_context);
      gst_context_unref (gst_context);
    }
    if (way != NEIGHBOUR)
      element_play (&element, NULL);
    else
      play_beside (&element, context);
    g_assert_true (query_context (element.harness, &answer) == (way != NEW));
    gst_clear_object (&answer);
    set_caps (&element, caps);
    g_assert_true (query_context (element.harness, &answer));
    if (way != NEW)
      g_assert_true (answer == context);
    message = gst_bus_pop_filtered (element.bus, GST_MESSAGE_HAVE_CONTEXT);
    g_assert_true ((message == NULL) == (way != NEW));
    gst_clear_message (&message);
    gst_buffer_unref (deblur (&element, answer, &in, caps));
    gst_clear_object (&answer);
    gst_clear_object (&context);
    element_clear (&element);
    check_nothing_left ();
  }
  test_frame_clear (&in);
}

/* The upstream element may allocate from our pool, which is one of CUDA memory in our context. */
static void
test_proposal (void)
{
  g_autoptr (GstCaps) caps = in_cuda (element_caps (DU_FORMAT_NV12, 32, 16, NULL));
  Element element;
  GstQuery *query;
  GstBufferPool *pool = NULL;
  GstCudaContext *context;

  init (&element);
  set_caps (&element, caps);
  query = gst_query_new_allocation (caps, TRUE);
  g_assert_true (gst_pad_peer_query (element.harness->srcpad, query));
  g_assert_cmpuint (gst_query_get_n_allocation_pools (query), ==, 1);
  gst_query_parse_nth_allocation_pool (query, 0, &pool, NULL, NULL, NULL);
  g_assert_true (GST_IS_CUDA_BUFFER_POOL (pool));
  g_assert_true (query_context (element.harness, &context));
  g_assert_true (GST_CUDA_BUFFER_POOL (pool)->context == context);
  g_assert_true (gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL));
  gst_object_unref (context);
  gst_object_unref (pool);
  gst_query_unref (query);
  element_clear (&element);
  check_nothing_left ();
}

/* Contexts, sizes and memories change while frames flow, with frames in flight, too. */
static void
test_changes (gconstpointer in_flight)
{
  const struct
  {
    DuFrameInfo info;
    int context; /* -1 = system memory */
  } steps[] = {
    { { .format = DU_FORMAT_NV12, .width = 20, .height = 10 }, -1 },
    { { .format = DU_FORMAT_NV12, .width = 20, .height = 10 }, 0 },
    { { .format = DU_FORMAT_NV12, .width = 20, .height = 10 }, 1 },
    { { .format = DU_FORMAT_NV12, .width = 20, .height = 10 }, 1 },
    { { .format = DU_FORMAT_BGRA, .width = 9, .height = 12 }, 1 },
    { { .format = DU_FORMAT_BGRA, .width = 9, .height = 12 }, -1 },
    { { .format = DU_FORMAT_BGRA, .width = 9, .height = 12 }, 0 },
    { { .format = DU_FORMAT_NV12, .width = 20, .height = 10 }, 0 },
  };
  const int n = G_N_ELEMENTS (steps);
  GstCudaContext *contexts[2] = { gst_cuda_context_new (0), gst_cuda_context_new (0) };
  TestFrame in[G_N_ELEMENTS (steps)], expected[G_N_ELEMENTS (steps)];
  Element element;

  init (&element);
  g_object_set (element.element, "frames-in-flight", GPOINTER_TO_UINT (in_flight), NULL);
  for (int i = 0; i < n; i++) {
    const DuFrameInfo *info = &steps[i].info;
    g_autoptr (GstCaps) caps = element_caps (info->format, info->width, info->height, NULL);
    GstBuffer *buffer;

    test_frame_init_random (&in[i], info, i);
    expect (NULL, NULL, &in[i], caps, info, &expected[i]);
    if (steps[i].context >= 0)
      caps = in_cuda (caps);
    set_caps (&element, caps);
    buffer = steps[i].context < 0 ? element_buffer_from (&in[i], caps)
                                  : cuda_buffer (contexts[steps[i].context], &in[i], caps);
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
  }
  gst_harness_push_event (element.harness, gst_event_new_eos ());
  for (int i = 0; i < n; i++) {
    const DuFrameInfo *info = &steps[i].info;
    g_autoptr (GstCaps) caps = element_caps (info->format, info->width, info->height, NULL);
    g_autofree char *what = g_strdup_printf ("frame %d", i);
    GstBuffer *buffer = gst_harness_try_pull (element.harness);
    TestFrame got;

    g_assert_nonnull (buffer);
    if (steps[i].context >= 0)
      g_assert_true (context_of (buffer) == contexts[steps[i].context]);
    else
      g_assert_false (gst_is_cuda_memory (gst_buffer_peek_memory (buffer, 0)));
    element_buffer_to (buffer, caps, info, &got);
    test_frame_check_equal (&expected[i], &got, what);
    test_frame_clear (&got);
    test_frame_clear (&in[i]);
    test_frame_clear (&expected[i]);
    gst_buffer_unref (buffer);
  }
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
  for (int i = 0; i < 2; i++)
    gst_object_unref (contexts[i]);
  check_nothing_left ();
}

/* Without the GPU's back end CUDA memory is not offered, and where it comes all the same, the user is told what to do. */
static void
test_without_gpu (gconstpointer backend)
{
  g_autoptr (GstCaps) caps = in_cuda (element_caps (DU_FORMAT_NV12, 16, 8, NULL));
  Element element;

  runtime->set_devices (0);
  init (&element);
  gst_util_set_object_arg (G_OBJECT (element.element), "backend", backend);
  element_play (&element, NULL);
  for (int i = 0; i < 2; i++) {
    GstPad *pad = i ? element.harness->sinkpad : element.harness->srcpad;
    g_autoptr (GstCaps) offered = gst_pad_peer_query_caps (pad, NULL);

    g_assert_false (gst_caps_can_intersect (offered, caps));
    g_assert_false (gst_caps_is_empty (offered));
  }
  gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
  element_assert_message (
      &element, GST_MESSAGE_ERROR, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT, "cudadownload");
  element_clear (&element);
  runtime->set_devices (1);
  check_nothing_left ();
}

/* Memory of the host's, or of a device that was not asked for, under caps for CUDA memory. */
static void
test_wrong_memory (void)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12, .width = 16, .height = 8 };
  g_autoptr (GstCaps) caps = in_cuda (element_caps (info.format, info.width, info.height, NULL));
  TestFrame in;

  test_frame_init_random (&in, &info, 1);
  for (int other_device = 0; other_device < 2; other_device++) {
    GstCudaContext *context = gst_cuda_context_new (1);
    Element element;
    GstBuffer *buffer = other_device ? cuda_buffer (context, &in, caps) : element_buffer_from (&in, caps);

    init (&element);
    g_object_set (element.element, "cuda-device-id", 0, NULL);
    set_caps (&element, caps);
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_ERROR);
    element_assert_message (&element, GST_MESSAGE_ERROR, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
        other_device ? "device 1" : "in CUDA memory");
    element_clear (&element);
    gst_object_unref (context);
    check_nothing_left ();
  }
  test_frame_clear (&in);
}

/* The device that the property says is that of a new context; another one after a stop. */
static void
test_device (void)
{
  g_autoptr (GstCaps) caps = in_cuda (element_caps (DU_FORMAT_NV12, 16, 8, NULL));
  Element element;

  runtime->set_devices (2);
  init (&element);
  for (int device = 1; device >= 0; device--) {
    GstCudaContext *context;
    guint id = 7;

    g_object_set (element.element, "cuda-device-id", device, NULL);
    gst_element_set_state (element.element, GST_STATE_PLAYING);
    set_caps (&element, caps);
    g_assert_true (query_context (element.harness, &context));
    g_object_get (context, "cuda-device-id", &id, NULL);
    g_assert_cmpuint (id, ==, device);
    gst_object_unref (context);
    gst_element_set_state (element.element, GST_STATE_NULL);
  }
  element_clear (&element);
  runtime->set_devices (1);
  check_nothing_left ();
}

static void
test_no_memory (void)
{
  const DuFrameInfo info = { .format = DU_FORMAT_NV12, .width = 16, .height = 8 };
  g_autoptr (GstCaps) caps = in_cuda (element_caps (info.format, info.width, info.height, NULL));
  GstCudaContext *context = gst_cuda_context_new (0);
  TestFrame in;
  GstBuffer *buffer;
  Element element;

  test_frame_init_random (&in, &info, 1);
  init (&element);
  set_caps (&element, caps);
  gst_buffer_unref (deblur (&element, context, &in, caps));
  buffer = cuda_buffer (context, &in, caps);
  gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
  driver->fail_allocations (TRUE);
  gst_pad_push_event (element.harness->sinkpad, gst_event_new_reconfigure ());
  g_assert_cmpint (gst_harness_push (element.harness, buffer), !=, GST_FLOW_OK);
  driver->fail_allocations (FALSE);
  element_assert_message (
      &element, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NO_SPACE_LEFT, "GPU");
  element_clear (&element);
  gst_object_unref (context);
  test_frame_clear (&in);
  check_nothing_left ();
}

int
main (int argc, char **argv)
{
  GModule *module;
  gpointer symbol = NULL, control = NULL;

  element_tests_init (&argc, &argv);
  module = g_module_open (g_getenv ("DEBLURUNET_CUDA_MODULE"), G_MODULE_BIND_LOCAL);
  if (!module || !g_module_symbol (module, "du_fake_control", &control))
    g_error ("DEBLURUNET_CUDA_MODULE is not the emulation");
  runtime = control;
  module = g_module_open ("libcuda.so.1", G_MODULE_BIND_LOCAL);
  if (!module || !g_module_symbol (module, "du_fake_driver", &symbol) || !gst_cuda_load_library ()) {
    g_print ("1..0 # SKIP the stand-in for the driver is not what GStreamer's CUDA library wants\n");
    return 0;
  }
  driver = symbol;
  gst_cuda_memory_init_once ();
  g_test_add_func ("/element-cuda/templates", test_templates);
  g_test_add_func ("/element-cuda/formats", test_formats);
  g_test_add_func ("/element-cuda/interlaced", test_interlaced);
  g_test_add_func ("/element-cuda/compare", test_compare);
  g_test_add_func ("/element-cuda/pass-through", test_pass_through);
  g_test_add_func ("/element-cuda/stays-on-device", test_stays_on_device);
  g_test_add_func ("/element-cuda/sharing", test_sharing);
  g_test_add_func ("/element-cuda/proposal", test_proposal);
  g_test_add_data_func ("/element-cuda/changes/0", GUINT_TO_POINTER (0), test_changes);
  g_test_add_data_func ("/element-cuda/changes/2", GUINT_TO_POINTER (2), test_changes);
  g_test_add_data_func ("/element-cuda/without-gpu/cpu", "cpu", test_without_gpu);
  g_test_add_data_func ("/element-cuda/without-gpu/auto", "auto", test_without_gpu);
  g_test_add_func ("/element-cuda/wrong-memory", test_wrong_memory);
  g_test_add_func ("/element-cuda/device", test_device);
  g_test_add_func ("/element-cuda/no-memory", test_no_memory);
  return element_tests_run ();
}

/* What comes with the element's pictures: times, flags, metas, events, and every layout of memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "element.h"

#include <string.h>

static char *identity;

#define CAPS "video/x-raw, format=I420, width=30, height=22, framerate=25/1"
static const DuFrameInfo info = { .format = DU_FORMAT_I420, .width = 30, .height = 22 };

static GstBuffer *
random_buffer (guint seed)
{
  GstCaps *caps = gst_caps_from_string (CAPS);
  GstBuffer *buffer;
  TestFrame frame;

  test_frame_init_random (&frame, &info, seed);
  buffer = element_buffer_from (&frame, caps);
  test_frame_clear (&frame);
  gst_caps_unref (caps);
  return buffer;
}

static void
test_times (void)
{
  static const GstBufferFlags flags[] = { 0, GST_BUFFER_FLAG_DISCONT, GST_BUFFER_FLAG_MARKER, GST_BUFFER_FLAG_GAP,
    GST_BUFFER_FLAG_CORRUPTED | GST_BUFFER_FLAG_HEADER,
    GST_BUFFER_FLAG_DELTA_UNIT | GST_BUFFER_FLAG_DROPPABLE, GST_BUFFER_FLAG_RESYNC | GST_BUFFER_FLAG_LIVE,
    (GstBufferFlags) GST_VIDEO_BUFFER_FLAG_RFF, (GstBufferFlags) GST_VIDEO_BUFFER_FLAG_ONEFIELD };
  Element element;

  element_init (&element, identity);
  element_play (&element, CAPS);
  for (guint i = 0; i < 2 * G_N_ELEMENTS (flags); i++) {
    GstBuffer *in = random_buffer (i), *out;

    GST_BUFFER_FLAG_SET (in, flags[i / 2]);
    if (i & 1) {
      GST_BUFFER_PTS (in) = i * GST_SECOND + 7;
      GST_BUFFER_DTS (in) = i * GST_SECOND + 3;
      GST_BUFFER_DURATION (in) = 40 * GST_MSECOND + i;
      GST_BUFFER_OFFSET (in) = 1000 + i;
      GST_BUFFER_OFFSET_END (in) = 1001 + i;
    }
    g_assert_cmpint (gst_harness_push (element.harness, gst_buffer_ref (in)), ==, GST_FLOW_OK);
    out = gst_harness_pull (element.harness);
    g_assert_true (out != in);
    g_assert_cmpuint (GST_BUFFER_PTS (out), ==, GST_BUFFER_PTS (in));
    g_assert_cmpuint (GST_BUFFER_DTS (out), ==, GST_BUFFER_DTS (in));
    g_assert_cmpuint (GST_BUFFER_DURATION (out), ==, GST_BUFFER_DURATION (in));
    g_assert_cmpuint (GST_BUFFER_OFFSET (out), ==, GST_BUFFER_OFFSET (in));
    g_assert_cmpuint (GST_BUFFER_OFFSET_END (out), ==, GST_BUFFER_OFFSET_END (in));
    g_assert_cmphex (GST_BUFFER_FLAGS (out) & ~GST_BUFFER_FLAG_TAG_MEMORY, ==,
        GST_BUFFER_FLAGS (in) & ~GST_BUFFER_FLAG_TAG_MEMORY);
    gst_buffer_unref (in);
    gst_buffer_unref (out);
  }
  element_clear (&element);
}

static guint
count_metas (GstBuffer *buffer, GType api)
{
  gpointer state = NULL;
  guint n = 0;

  while (gst_buffer_iterate_meta_filtered (buffer, &state, api))
    n++;
  return n;
}

/* Metas that are about the picture stay, with what they say; one that is about the old memory goes. */
static void
check_metas (double strength)
{
  static const char *custom_tags[] = { GST_META_TAG_VIDEO_STR, GST_META_TAG_VIDEO_COLORSPACE_STR, NULL };
  static const char *memory_tags[] = { GST_META_TAG_MEMORY_STR, NULL };
  static const guint8 caption[] = { 0xfc, 0x94, 0x20 };
  GstBuffer *in = random_buffer (1), *out, *parent = gst_buffer_new ();
  GstCaps *reference = gst_caps_new_empty_simple ("timestamp/x-ntp");
  GstVideoTimeCode *timecode = gst_video_time_code_new (25, 1, NULL, 0, 1, 2, 3, 4, 0);
  GstVideoRegionOfInterestMeta *region;
  GstVideoCropMeta *crop;
  Element element;

  if (!gst_meta_get_info ("TestColour")) {
    gst_meta_register_custom ("TestColour", custom_tags, NULL, NULL, NULL);
    gst_meta_register_custom ("TestMemory", memory_tags, NULL, NULL, NULL);
  }
  crop = gst_buffer_add_video_crop_meta (in);
  crop->x = 3, crop->y = 2, crop->width = 20, crop->height = 11;
  region = gst_buffer_add_video_region_of_interest_meta (in, "face", 1, 2, 3, 4);
  gst_video_region_of_interest_meta_add_param (
      region, gst_structure_new ("detection", "score", G_TYPE_INT, 9, NULL));
  gst_buffer_add_video_region_of_interest_meta (in, "hand", 5, 6, 7, 8);
  gst_buffer_add_video_time_code_meta (in, timecode);
  gst_buffer_add_video_caption_meta (in, GST_VIDEO_CAPTION_TYPE_CEA708_RAW, caption, sizeof caption);
  gst_buffer_add_video_afd_meta (in, 0, GST_VIDEO_AFD_SPEC_ATSC_A53, GST_VIDEO_AFD_4_3_FULL_16_9_FULL);
  gst_buffer_add_reference_timestamp_meta (in, reference, 12345, GST_CLOCK_TIME_NONE);
  gst_buffer_add_parent_buffer_meta (in, parent);
  gst_structure_set (gst_custom_meta_get_structure (gst_buffer_add_custom_meta (in, "TestColour")), "lut",
      G_TYPE_INT, 5, NULL);
  gst_buffer_add_custom_meta (in, "TestMemory");

  element_init (&element, identity);
  g_object_set (element.element, "strength", strength, NULL);
  element_play (&element, CAPS);
  g_assert_cmpint (gst_harness_push (element.harness, in), ==, GST_FLOW_OK);
  out = gst_harness_pull (element.harness);
  crop = gst_buffer_get_video_crop_meta (out);
  g_assert_nonnull (crop);
  g_assert_cmpuint (crop->x * 1000 + crop->height, ==, 3011);
  g_assert_cmpuint (count_metas (out, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE), ==, 2);
  region = gst_buffer_get_video_region_of_interest_meta_id (out, 0);
  g_assert_true (region->roi_type == g_quark_from_static_string ("face") && region->h == 4);
  g_assert_nonnull (gst_video_region_of_interest_meta_get_param (region, "detection"));
  g_assert_true (gst_video_time_code_compare (&gst_buffer_get_video_time_code_meta (out)->tc, timecode) == 0);
  g_assert_cmpmem (gst_buffer_get_video_caption_meta (out)->data,
      gst_buffer_get_video_caption_meta (out)->size, caption, sizeof caption);
  g_assert_cmpuint (count_metas (out, GST_VIDEO_AFD_META_API_TYPE), ==, 1);
  g_assert_cmpuint (gst_buffer_get_reference_timestamp_meta (out, reference)->timestamp, ==, 12345);
  g_assert_nonnull (gst_buffer_get_custom_meta (out, "TestColour"));
  if (strength > 0) { /* else it is the same buffer */
    g_assert_null (gst_buffer_get_custom_meta (out, "TestMemory"));
    g_assert_cmpuint (count_metas (out, GST_PARENT_BUFFER_META_API_TYPE), ==, 0);
  }
  gst_buffer_unref (out);
  element_clear (&element);
  gst_video_time_code_free (timecode);
  gst_caps_unref (reference);
  gst_buffer_unref (parent);
}

static void
test_metas (void)
{
  check_metas (1);
  check_metas (0);
}

static void
append_memory (GstBuffer *buffer, const guint8 *bytes, gsize n)
{
  gpointer copy = g_memdup2 (bytes, n);

  gst_buffer_append_memory (
      buffer, gst_memory_new_wrapped (GST_MEMORY_FLAG_READONLY, copy, n, 0, n, copy, g_free));
}

/* A buffer with the planes of the frame, which may have padding and be upside down, anywhere in one block of
 * memory; cut TRUE: a memory ends in the middle of each plane. cut_off: so many bytes fewer. */
static GstBuffer *
scattered_buffer (const TestFrame *frame, gboolean cut, gsize cut_off)
{
  gsize offset[GST_VIDEO_MAX_PLANES] = { 0 }, size = 5, at;
  int stride[GST_VIDEO_MAX_PLANES] = { 0 };
  GstBuffer *buffer = gst_buffer_new ();
  g_autofree guint8 *block = NULL;

  for (int plane = frame->planes - 1; plane >= 0; plane--) {
    offset[plane] = size + (gsize) (frame->frame.data[plane] - frame->memory[plane]);
    stride[plane] = frame->frame.stride[plane];
    size += frame->size[plane] + (plane > 0 ? 11 : 0);
  }
  block = g_malloc0 (size);
  for (int plane = 0; plane < frame->planes; plane++)
    memcpy (block + offset[plane] - (frame->frame.data[plane] - frame->memory[plane]), frame->memory[plane],
        frame->size[plane]);
  size -= cut_off;
  at = 0;
  for (int plane = frame->planes - 1; cut && plane >= 0; plane--) {
    gsize middle = offset[plane] + frame->size[plane] / 3;

    if (stride[plane] > 0 && middle < size) {
      append_memory (buffer, block + at, middle - at);
      at = middle;
    }
  }
  append_memory (buffer, block + at, size - at);
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE,
      gst_video_format_from_string (du_format_name (frame->info.format)), frame->info.width,
      frame->info.height, frame->planes, offset, stride);
  return buffer;
}

static void
test_layouts (void)
{
  static const DuFormat formats[] = { DU_FORMAT_I420, DU_FORMAT_NV12, DU_FORMAT_YV12, DU_FORMAT_RGB,
    DU_FORMAT_YUY2, DU_FORMAT_P010_10LE, DU_FORMAT_GRAY8 };
  Element element;

  element_init (&element, identity);
  element_play (&element, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    for (int mode = 0; mode < 3; mode++) {
      static const char *const modes[] = { "padding", "several memories", "upside down" };
      DuFrameInfo of = { .format = formats[i], .width = 31, .height = 23 };
      GstCaps *caps = element_caps (of.format, of.width, of.height, NULL);
      g_autofree char *what = g_strdup_printf ("%s, %s", du_format_name (of.format), modes[mode]);
      g_autoptr (GRand) random = g_rand_new_with_seed (i);
      TestFrame in, out;
      GstBuffer *buffer;

      test_frame_init (&in, &of, 6, mode == 2);
      test_frame_randomise (&in, random);
      gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
      buffer = scattered_buffer (&in, mode == 1, 0);
      g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
      buffer = gst_harness_pull (element.harness);
      element_buffer_to (buffer, caps, &of, &out);
      test_frame_check_equal (&in, &out, what);
      gst_buffer_unref (buffer);
      test_frame_clear (&in);
      test_frame_clear (&out);
      gst_caps_unref (caps);
    }
  element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  element_clear (&element);
}

/* Without a GstVideoMeta: read-only memory, and memories that end anywhere. */
static void
test_plain_memories (void)
{
  GstCaps *caps = gst_caps_from_string (CAPS);
  Element element;
  TestFrame in;

  test_frame_init_random (&in, &info, 9);
  element_init (&element, identity);
  element_play (&element, CAPS);
  for (gsize step = 1; step < 5000; step = step * 5 + 2) {
    GstBuffer *whole = element_buffer_from (&in, caps), *buffer = gst_buffer_new ();
    gsize size = gst_buffer_get_size (whole);
    TestFrame out;

    for (gsize at = 0, n = 0; at < size; at += n) {
      gpointer bytes;

      n = gst_buffer_n_memory (buffer) < 10 ? MIN (step, size - at) : size - at;
      gst_buffer_extract_dup (whole, at, n, &bytes, &(gsize){ 0 });
      gst_buffer_append_memory (
          buffer, gst_memory_new_wrapped (GST_MEMORY_FLAG_READONLY, bytes, n, 0, n, bytes, g_free));
    }
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
    buffer = gst_harness_pull (element.harness);
    element_buffer_to (buffer, caps, &info, &out);
    test_frame_check_equal (&in, &out, "several memories");
    test_frame_clear (&out);
    gst_buffer_unref (buffer);
    gst_buffer_unref (whole);
  }
  element_clear (&element);
  gst_caps_unref (caps);
  test_frame_clear (&in);
}

/* A frame that is not all there is an error that says so, whether GStreamer sees it or not. */
static void
test_too_small (void)
{
  GstVideoInfo video;
  GstCaps *caps = gst_caps_from_string (CAPS);
  TestFrame frame;

  gst_video_info_from_caps (&video, caps);
  test_frame_init_random (&frame, &info, 9);
  for (int mode = 0; mode < 4; mode++) {
    GstBuffer *buffer;
    Element element;

    element_init (&element, identity);
    element_play (&element, CAPS);
    if (mode < 3) {
      buffer
          = mode == 2 ? gst_buffer_new () : gst_buffer_new_allocate (NULL, mode ? video.size - 1 : 1, NULL);
      gst_buffer_memset (buffer, 0, 0, -1);
    } else {
      buffer = scattered_buffer (&frame, FALSE, 1);
    }
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_ERROR);
    element_assert_message (&element, GST_MESSAGE_ERROR, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT, "I420");
    g_assert_null (gst_harness_try_pull (element.harness));
    element_clear (&element);
  }
  gst_caps_unref (caps);
  test_frame_clear (&frame);
}

/* A GstVideoMeta of another format than the caps', whose planes and pixels are others, or of a smaller frame. */
static void
test_other_format (void)
{
  static const GstVideoFormat formats[]
      = { GST_VIDEO_FORMAT_GRAY8, GST_VIDEO_FORMAT_NV12, GST_VIDEO_FORMAT_RGB, GST_VIDEO_FORMAT_I420 };

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++) {
    guint less = formats[i] == GST_VIDEO_FORMAT_I420 ? 2 : 0;
    GstBuffer *buffer = gst_buffer_new_allocate (NULL, 4096, NULL);
    Element element;

    gst_buffer_memset (buffer, 0, 0, -1);
    gst_buffer_add_video_meta (buffer, GST_VIDEO_FRAME_FLAG_NONE, formats[i], info.width - less, info.height);
    element_init (&element, identity);
    element_play (&element, CAPS);
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_ERROR);
    element_assert_message (&element, GST_MESSAGE_ERROR, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT, "I420");
    element_clear (&element);
  }
}

/* What downstream does with a frame's metas, elements before may leave to it: subtitles to be drawn by the sink stay
 * out of the network. But for cropping: our frames are no larger than the caps say, and for two pictures side by side. */
static void
test_proposed_metas (void)
{
  for (int wide = 0; wide < 2; wide++) {
    GstCaps *caps = gst_caps_from_string (CAPS);
    GstQuery *query = gst_query_new_allocation (caps, FALSE);
    guint index;
    Element element;

    element_init (&element, identity);
    if (wide)
      gst_util_set_object_arg (G_OBJECT (element.element), "compare", "side-by-side");
    element_play (&element, NULL);
    gst_harness_add_propose_allocation_meta (element.harness, GST_VIDEO_META_API_TYPE, NULL);
    gst_harness_add_propose_allocation_meta (element.harness, GST_VIDEO_OVERLAY_COMPOSITION_META_API_TYPE, NULL);
    gst_harness_add_propose_allocation_meta (element.harness, GST_VIDEO_CROP_META_API_TYPE, NULL);
    gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
    g_assert_cmpint (gst_harness_push (element.harness, random_buffer (1)), ==, GST_FLOW_OK);
    g_assert_true (gst_pad_peer_query (element.harness->srcpad, query));
    g_assert_cmpint (
        gst_query_find_allocation_meta (query, GST_VIDEO_OVERLAY_COMPOSITION_META_API_TYPE, &index), ==, !wide);
    g_assert_false (gst_query_find_allocation_meta (query, GST_VIDEO_CROP_META_API_TYPE, &index));
    g_assert_true (gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, &index));
    gst_query_unref (query);
    gst_caps_unref (caps);
    element_clear (&element);
  }
}

static void
configure (GstBufferPool *pool, GstCaps *caps)
{
  const GstVideoAlignment alignment = { 3, 5, 8, 16, { 31, 31, 31, 31 } };
  GstStructure *config = gst_buffer_pool_get_config (pool);
  GstVideoInfo video;

  gst_video_info_from_caps (&video, caps);
  gst_buffer_pool_config_set_params (config, caps, (guint) video.size, 2, 0);
  gst_buffer_pool_config_add_option (config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  gst_buffer_pool_config_add_option (config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
  gst_buffer_pool_config_set_video_alignment (config, &alignment);
  g_assert_true (gst_buffer_pool_set_config (pool, config));
}

/* Downstream offers a pool whose frames have borders. */
static GstPadProbeReturn
offer_pool (GstPad *pad, GstPadProbeInfo *probe, gpointer offered)
{
  GstQuery *query = GST_PAD_PROBE_INFO_QUERY (probe);
  GstBufferPool *pool;
  GstCaps *caps;

  (void) pad;
  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return GST_PAD_PROBE_OK;
  gst_query_parse_allocation (query, &caps, NULL);
  pool = gst_video_buffer_pool_new ();
  configure (pool, caps);
  gst_query_add_allocation_pool (query, pool, 4096, 2, 0);
  gst_query_add_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  gst_object_unref (pool);
  *(gboolean *) offered = TRUE;
  return GST_PAD_PROBE_HANDLED;
}

static void
test_padded_pools (void)
{
  GstCaps *caps = gst_caps_from_string (CAPS);
  GstBufferPool *pool = gst_video_buffer_pool_new ();
  gboolean offered = FALSE;
  TestFrame in;
  Element element;
  GstPad *pad;

  configure (pool, caps);
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  test_frame_init_random (&in, &info, 3);
  element_init (&element, identity);
  element_play (&element, NULL);
  pad = gst_element_get_static_pad (element.element, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, offer_pool, &offered, NULL);
  gst_object_unref (pad);
  gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
  for (int i = 0; i < 4; i++) {
    GstBuffer *buffer, *plain = element_buffer_from (&in, caps);
    GstVideoInfo video;
    GstVideoFrame from, to;
    TestFrame out;

    gst_video_info_from_caps (&video, caps);
    g_assert_cmpint (gst_buffer_pool_acquire_buffer (pool, &buffer, NULL), ==, GST_FLOW_OK);
    g_assert_true (gst_video_frame_map (&from, &video, plain, GST_MAP_READ));
    g_assert_true (gst_video_frame_map (&to, &video, buffer, GST_MAP_WRITE));
    g_assert_cmpint (GST_VIDEO_FRAME_PLANE_STRIDE (&to, 0), >, 50);
    gst_video_frame_copy (&to, &from);
    gst_video_frame_unmap (&from);
    gst_video_frame_unmap (&to);
    gst_buffer_unref (plain);
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
    buffer = gst_harness_pull (element.harness);
    g_assert_true (offered);
    g_assert_cmpint (gst_buffer_get_video_meta (buffer)->stride[0], >, 50);
    element_buffer_to (buffer, caps, &info, &out);
    test_frame_check_equal (&in, &out, "padded pools");
    test_frame_clear (&out);
    gst_buffer_unref (buffer);
  }
  element_clear (&element);
  gst_buffer_pool_set_active (pool, FALSE);
  gst_object_unref (pool);
  gst_caps_unref (caps);
  test_frame_clear (&in);
}

/* Size and format change from frame to frame; each frame comes out under its own caps, none is lost. */
static void
test_caps_changes (void)
{
  static const struct
  {
    DuFormat format;
    int width, height;
  } frames[] = {
    { DU_FORMAT_I420, 30, 22 },
    { DU_FORMAT_I420, 460, 20 },
    { DU_FORMAT_RGB, 30, 22 },
    { DU_FORMAT_GRAY8, 1, 1 },
    { DU_FORMAT_GRAY8, 1, 300 },
    { DU_FORMAT_I420, 30, 22 },
  };
  Element element;

  element_init (&element, identity);
  element_play (&element, NULL);
  for (guint i = 0; i < 2 * G_N_ELEMENTS (frames); i++) {
    DuFrameInfo of
        = { .format = frames[i / 2].format, .width = frames[i / 2].width, .height = frames[i / 2].height };
    GstCaps *caps = element_caps (of.format, of.width, of.height, NULL), *now;
    TestFrame in, out;

    test_frame_init_random (&in, &of, i);
    if (i % 2 == 0)
      gst_harness_set_src_caps (element.harness, gst_caps_ref (caps));
    element_process (&element, &in, caps, &out);
    now = gst_pad_get_current_caps (element.harness->sinkpad);
    g_assert_true (gst_caps_is_equal (caps, now));
    test_frame_check_equal (&in, &out, "after a change of caps");
    gst_caps_unref (now);
    gst_caps_unref (caps);
    test_frame_clear (&in);
    test_frame_clear (&out);
  }
  g_assert_cmpfloat (element_stat (&element, "frames"), ==, 2 * G_N_ELEMENTS (frames));
  element_clear (&element);
}

/* Frames of segments that are not in time, or before any segment, with a controlled property. */
static void
test_segments (void)
{
  Element element;
  GstSegment segment;
  GstEvent *event;

  element_init (&element, identity);
  element_play (&element, CAPS);
  gst_segment_init (&segment, GST_FORMAT_BYTES);
  g_assert_true (gst_harness_push_event (element.harness, gst_event_new_segment (&segment)));
  for (int i = 0; i < 3; i++) {
    GstBuffer *buffer = random_buffer (i);

    GST_BUFFER_PTS (buffer) = i ? (GstClockTime) i * GST_SECOND : GST_CLOCK_TIME_NONE;
    g_assert_cmpint (gst_harness_push (element.harness, buffer), ==, GST_FLOW_OK);
  }
  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.rate = -1.5;
  segment.start = 3 * GST_SECOND;
  segment.stop = 9 * GST_SECOND;
  while ((event = gst_harness_try_pull_event (element.harness)))
    gst_event_unref (event);
  g_assert_true (gst_harness_push_event (element.harness, gst_event_new_segment (&segment)));
  g_assert_true (gst_harness_push_event (element.harness, gst_event_new_gap (4 * GST_SECOND, GST_SECOND)));
  g_assert_cmpint (gst_harness_push (element.harness, random_buffer (4)), ==, GST_FLOW_OK);
  event = gst_harness_pull_event (element.harness);
  g_assert_cmpint (GST_EVENT_TYPE (event), ==, GST_EVENT_SEGMENT);
  {
    const GstSegment *out;

    gst_event_parse_segment (event, &out);
    g_assert_true (gst_segment_is_equal (out, &segment));
  }
  gst_event_unref (event);
  event = gst_harness_pull_event (element.harness);
  g_assert_cmpint (GST_EVENT_TYPE (event), ==, GST_EVENT_GAP);
  gst_event_unref (event);
  g_assert_cmpuint (gst_harness_buffers_received (element.harness), ==, 4);
  element_clear (&element);
}

static void
test_eos (void)
{
  Element element;

  for (int mode = 0; mode < 3; mode++) {
    guint n = mode == 2 ? 3 : 0;
    GstEvent *event;
    gboolean eos = FALSE;

    element_init (&element, identity);
    element_play (&element, mode ? CAPS : NULL);
    for (guint i = 0; i < n; i++)
      g_assert_cmpint (gst_harness_push (element.harness, random_buffer (i)), ==, GST_FLOW_OK);
    g_assert_true (gst_harness_push_event (element.harness, gst_event_new_eos ()));
    while ((event = gst_harness_try_pull_event (element.harness))) {
      eos |= GST_EVENT_TYPE (event) == GST_EVENT_EOS;
      gst_event_unref (event);
    }
    g_assert_true (eos);
    g_assert_cmpuint (gst_harness_buffers_received (element.harness), ==, n);
    g_assert_cmpint (gst_harness_push (element.harness, random_buffer (9)), ==, GST_FLOW_EOS);
    element_assert_no_message (&element, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
    element_clear (&element);
  }
}

int
main (int argc, char **argv)
{
  int result;

  element_tests_init (&argc, &argv);
  identity = element_weights_identity (1);
  g_test_add_func ("/element/times", test_times);
  g_test_add_func ("/element/metas", test_metas);
  g_test_add_func ("/element/layouts", test_layouts);
  g_test_add_func ("/element/plain-memories", test_plain_memories);
  g_test_add_func ("/element/too-small", test_too_small);
  g_test_add_func ("/element/other-format", test_other_format);
  g_test_add_func ("/element/proposed-metas", test_proposed_metas);
  g_test_add_func ("/element/padded-pools", test_padded_pools);
  g_test_add_func ("/element/caps-changes", test_caps_changes);
  g_test_add_func ("/element/segments", test_segments);
  g_test_add_func ("/element/eos", test_eos);
  result = element_tests_run ();
  g_free (identity);
  return result;
}

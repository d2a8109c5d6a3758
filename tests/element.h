/* What the tests of the element share: weights files made on the spot, and an element in a harness.
 *
 * Which test holds what (in test-element-*.c, if no other is named):
 *   formats, matrices, ranges, siting, interlacing    test-element.c, formats
 *   framerates, aspect ratio, caps without something  test-element.c (caps)
 *   sizes: 1..67, slivers, primes, tile + 1, huge      test-element.c (sizes), sizes
 *   strides, offsets, padded pools, several memories,
 *     read-only, too small, of no size, metas, times    buffers
 *   GAP, strength=0                                     test-element.c (gap, pass-through)
 *   caps, segment, gap, EOS with or without frames      buffers; with frames in flight: live (order)
 *   flushes and seeks in storms, resolution changes     life (flushes), scenarios (seeks, resolutions)
 *   N frames in, N out, in order; errors on their way   live (order, in-flight, error-in-flight, flow-returns)
 *   late frames, QoS, latency                           live; sync=false: pipeline (negotiation)
 *   weights while playing: good, bad, NULL, long paths  weights, life (swaps), scenarios (changes)
 *   properties while playing, controllers               life (properties), live (controllers), compare, control
 *   states again and again, no growth                   life (states), scenarios (stops, states)
 *   many elements at once, shared weights               life (sharing, many-at-once)
 *   stopped while at work or loading                    life (stop-at-work)
 *   CUDA memory: caps, contexts, pools, refusals        cuda
 *   a GPU that is not there, full or fails              faults
 *   no object left, no error of memory                  scenarios with the leaks tracer; valgrind.sh
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_ELEMENT_H
#define TEST_ELEMENT_H

#include <gst/check/gstharness.h>
#include <gst/video/video.h>

#include "frames.h"

/* gst_init and g_test_init, and a folder for the weights files. */
void element_tests_init (int *argc, char ***argv);
/* Runs the tests and removes the folder. */
int element_tests_run (void);

/* Loads plugins of GStreamer's own by their names, for a scan of all that is installed would take longer than the
 * tests. NULL-terminated. FALSE where one is not there. */
gboolean element_load_plugins (const char *name, ...) G_GNUC_NULL_TERMINATED;

/* A path in the folder; g_free. */
char *element_path (const char *name);
/* Writes a file there. g_free the path. */
char *element_file (const char *name, const void *data, gsize size);

/* Weights files with a residual head. g_free the path.
 * identity: the network gives back the picture, exactly. shift: picture + delta (R', G', B'), exactly but for
 * the float's last bit. noise: something that depends on each pixel and its neighbours; another seed, another
 * network; as much as there can be. mild: the same, but small. */
char *element_weights_identity (int base_width);
char *element_weights_shift (double red, double green, double blue);
char *element_weights_noise (guint seed);
char *element_weights_mild (guint seed);

typedef struct
{
  GstElement *element;
  GstBus *bus;
  GstHarness *harness; /* NULL until element_play */
} Element;

/* In state NULL, backend=cpu, precision=f32, one thread, tiles as small as the frames, and these weights (NULL:
 * the default). */
void element_init (Element *element, const char *weights);
/* Into a harness and to PLAYING. caps: NULL, or what the harness sends first. */
void element_play (Element *element, const char *caps);
void element_clear (Element *element);
/* Fails the test where a message of the type is on the bus. */
void element_assert_no_message (Element *element, GstMessageType type);
/* Waits for one of the type and checks its domain and code; the text is to contain word where not NULL. */
void element_assert_message (
    Element *element, GstMessageType type, GQuark domain, int code, const char *word);
/* A number of the property stats, as double; fails where it is not there. */
double element_stat (Element *element, const char *name);

/* Caps and library's info of a format and size; colorimetry NULL: not in the caps, and info's is that of the
 * defaults for SD: BT.601, limited. gst_caps_unref. */
GstCaps *element_caps (DuFormat format, int width, int height, const char *colorimetry);
/* A new buffer with the frame's samples in GStreamer's own layout of the caps. */
GstBuffer *element_buffer_from (const TestFrame *frame, const GstCaps *caps);
/* The same into a buffer that is there. */
void element_buffer_fill (const TestFrame *frame, GstBuffer *buffer, const GstCaps *caps);
/* frame is initialised with info, and takes the buffer's samples. */
void element_buffer_to (GstBuffer *buffer, const GstCaps *caps, const DuFrameInfo *info, TestFrame *frame);
/* Pushes the frame, pulls a frame. */
void element_process (Element *element, const TestFrame *in, const GstCaps *caps, TestFrame *out);

/* Kilobytes. */
gsize element_resident (void);
/* TRUE under a sanitizer or valgrind, where memory says nothing. */
gboolean element_memory_is_watched (void);

#endif

/* Frames for tests, with canaries around every line, and the meaning of their samples written down a second
 * time, slowly, in double.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_FRAMES_H
#define TEST_FRAMES_H

#include "deblurunet.h"

typedef struct
{
  DuFrame frame;
  DuFrameInfo info;
  guint8 *memory[4]; /* exactly from the first to the last visible byte of a plane */
  gsize size[4];
  int planes;
} TestFrame;

/* padding: bytes between the lines; flip: negative strides. Filled with canaries. */
void test_frame_init (TestFrame *frame, const DuFrameInfo *info, int padding, gboolean flip);
void test_frame_clear (TestFrame *frame);
/* Random bytes in all that is visible, alpha and padding samples included. */
void test_frame_randomise (TestFrame *frame, GRand *random);
/* Without padding, with random bytes. */
void test_frame_init_random (TestFrame *frame, const DuFrameInfo *info, guint seed);
/* Fails the test with what in the message. */
void test_frame_check_canaries (const TestFrame *frame, const char *what);
void test_frame_check_equal (const TestFrame *a, const TestFrame *b, const char *what);
/* All visible bytes that are no sample of a component are equal. */
void test_frame_check_rest_equal (const TestFrame *a, const TestFrame *b, const char *what);
/* Fails where a sample is off by more than most, or where more of them differ than one, and one in so many. */
void test_frame_check_close (
    const TestFrame *expected, const TestFrame *got, int most, int one_in, const char *what);

int test_components (const DuFrameInfo *info);
int test_depth (const DuFrameInfo *info);
/* Samples of component 0..2 (R, G, B or Y, Cb, Cr) and their number in a frame. */
int test_component_width (const DuFrameInfo *info, int component);
int test_component_height (const DuFrameInfo *info, int component);
guint test_get (const TestFrame *frame, int component, int x, int y);
void test_set (TestFrame *frame, int component, int x, int y, guint sample);

/* R'G'B', not clipped, of the pixel (y, x) in the frame. */
void test_reference_rgb (const TestFrame *frame, int x, int y, double rgb[3]);
/* Unrounded samples of an R'G'B' colour (difference FALSE) or of a difference of two. */
void test_reference_samples (const DuFrameInfo *info, const double rgb[3], gboolean difference,
    double samples[3]);
/* The mean difference that a component's sample takes from the pixels; at: [height, width, 3]. */
void test_reference_mean (const DuFrameInfo *info, int component, int x, int y, const float *at,
    double rgb[3]);

char *test_info_to_string (const DuFrameInfo *info);

#endif

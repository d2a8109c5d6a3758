/* Frames in the formats of a video <-> tiles of float R'G'B' and corrections, on the CPU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_FRAME_H
#define DU_FRAME_H

#include "deblurunet.h"
#include "pixel.h"

enum
{
  DU_FRAME_SIZE_MAX = 32767, /* largest width and height of a frame */
};

/* Where the samples of one component stand. */
typedef struct
{
  int plane;
  int offset; /* bytes, of the first sample of a line */
  int step;   /* bytes from sample to sample */
  int sub_x, sub_y; /* 1: half as many samples in this direction, rounded up */
} DuComponent;

typedef struct
{
  const char *name;
  int planes, components; /* three components: R, G, B or Y, Cb, Cr; one: gray. Alpha is none of them */
  gboolean rgb;
  int bytes; /* per sample */
  int depth; /* bits of a sample, over shift bits that are no part of it */
  int shift;
  DuComponent component[3];
} DuLayout;

extern const DuLayout du_layouts[DU_N_FORMATS];

/* All that is known of frames of one kind. */
typedef struct
{
  DuFrameInfo info;
  const DuLayout *layout;
  DuColour colour;
  int line_bytes[4], lines[4]; /* of each plane: what is visible, alpha and padding samples included */
} DuFrameKind;

/* DU_ERROR_ARGUMENT names the field that is out of range. */
gboolean du_frame_kind_init (DuFrameKind *kind, const DuFrameInfo *info, GError **error);
/* A plane that is missing or has a stride too short for its lines is an error; name: "input", "output". */
gboolean du_frame_check (const DuFrameKind *kind, const DuFrame *frame, const char *name, GError **error);

/* The tile [height, width, 3] of what the network sees from pixel (y, x) on, y and x inside of the frame;
 * what is outside is reflected. */
void du_frame_gather (const DuFrameKind *kind, const DuFrame *frame, int y, int x, int height, int width,
    float *tile);

/* Corrections in R'G'B' of a band of a frame's lines: line y of the frame stands at
 * data + y % lines * width * 3. */
typedef struct
{
  float *data;
  int lines, width;
} DuBand;

float *du_band_line (const DuBand *band, int y);
/* line y, from pixel x on, += weight * weights * (after - before), all of them 3 n floats. */
void du_band_add (const DuBand *band, int y, int x, int n, float weight, const float *weights,
    const float *before, const float *after);

/* Adds the corrections, times strength, to the lines [from, to) of in and writes all their samples to out.
 * from and to are even, or to is the frame's height. Chroma at half resolution also reads the band's line
 * from - 1. */
void du_frame_scatter (const DuFrameKind *kind, const DuFrame *in, DuFrame *out, const DuBand *band, int from,
    int to, float strength);
/* Copies every visible sample. */
void du_frame_copy (const DuFrameKind *kind, const DuFrame *in, DuFrame *out);

#endif

/* What a lossy codec leaves of frames: GStreamer's own encoders and decoders, straight behind each other.
 *
 * One thread each, the caller's; equal frames and options give equal bytes on one machine. Frames are 4:2:0
 * in limited range inside. Any number of threads may have codecs of their own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CODEC_H
#define CODEC_H

#include "yuv.h"

typedef enum
{
  CODEC_H264,
  CODEC_H265,
  CODEC_VP9,
  CODEC_AV1,
  CODEC_JPEG,
  CODEC_N_KINDS,
} CodecKind;

typedef struct
{
  CodecKind kind;
  double quality; /* H.264 0..50 and H.265 0..51: CRF; VP9 and AV1 0..63: quantiser; less is better.
                   * JPEG 1..100: more is better. Rounded to a whole number. */
  int gop; /* frames from key frame to key frame at most, 1 = key frames only, 0 = the encoder's choice */
  gboolean fast; /* the encoder's fast preset, no look-ahead, no B-frames; else what people use for files */
} CodecOptions;

enum
{
  CODEC_SIDE_MIN = 16, /* pixels */
};

/* "h264", static. */
const char *codec_name (CodecKind kind);
/* EXIT_USAGE lists the names. */
gboolean codec_parse (const char *text, CodecKind *kind, GError **error);
/* The range of quality, and a usual one. */
void codec_quality_range (CodecKind kind, double *least, double *most, double *usual);
/* EXIT_USAGE names the value that is out of its range; EXIT_DATA the package of an element that is missing.
 */
gboolean codec_check (const CodecOptions *options, GError **error);

/* n frames of 8-bit RGB [height, width, 3], dense, as one sequence through encoder and decoder: n come back,
 * in order. bytes: of the encoded sequence, or NULL. */
gboolean codec_round_trip (const CodecOptions *options, int n, int height, int width,
    const guint8 *const *frames, guint8 *const *decoded, gsize *bytes, GError **error);

/* The same frame by frame, in I420 of yuv_info(). */
typedef struct _Codec Codec;
/* frame: in the order of pushing. yuv holds during the call. FALSE ends the coding with the error. */
typedef gboolean (*CodecFunc) (guint frame, const guint8 *yuv, gpointer data, GError **error);
Codec *codec_open (
    const CodecOptions *options, int height, int width, CodecFunc func, gpointer data, GError **error);
/* func is called from within these, for frames that the codec has done with: all of them by the end of
 * codec_finish(). */
gboolean codec_push (Codec *codec, const guint8 *yuv, GError **error);
gboolean codec_finish (Codec *codec, gsize *bytes, GError **error);
void codec_free (Codec *codec);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Codec, codec_free)

#endif

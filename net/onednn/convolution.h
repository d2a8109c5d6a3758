/* Convolutions by oneDNN, or where that is quicker by winograd.h and gradient.h. The only room that calls the
 * library, so the only one that knows its API.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_ONEDNN_CONVOLUTION_H
#define DU_ONEDNN_CONVOLUTION_H

#include "backend.h"

/* oneDNN's engine and stream. */
typedef struct _DuLibrary DuLibrary;

DuLibrary *du_library_open (GError **error);
void du_library_close (DuLibrary *library); /* NULL is allowed */
/* "oneDNN 2.6.3 (avx512_core_bf16)", g_free. */
char *du_library_name (void);
/* What the library uses of the processor, each with all before it; the user may limit it by the library's
 * environment variable ONEDNN_MAX_CPU_ISA. Below DU_AVX512_BF16 bf16 is emulated, slower than f32. */
typedef enum
{
  DU_NO_VECTORS, /* that matter here */
  DU_AVX2,
  DU_AVX512, /* F, BW, VL, DQ */
  DU_AVX512_BF16,
  DU_AMX, /* of bf16 */
} DuInstructions;

DuInstructions du_library_instructions (void);

typedef enum
{
  DU_CONV_FORWARD,
  DU_CONV_DATA,    /* gradient of the source from the gradient of the destination */
  DU_CONV_WEIGHTS, /* gradient of the weights from the source and the gradient of the destination */
} DuConvKind;

/* Stride 1, zero padding that keeps the size. Source and destination are dense NHWC. */
typedef struct
{
  DuConvKind kind;
  DuType type; /* of source and destination */
  int n, height, width, channels_in, channels_out;
  /* DU_CONV_FORWARD: channels of a second source, that follow the first one's; 0 but where
   * du_conv_takes_skip(). */
  int channels_skip;
  int kernel; /* 1 or 3 */
  /* The weights are [channels_out, channels_in, kernel, kernel] of the type, DU_CONV_WEIGHTS' gradient of
   * float32; dense but for the step from one output channel to the next, in elements, so that they can be a
   * range of a larger tensor's input channels. */
  gsize weights_stride;
  /* DU_CONV_FORWARD: destination = ReLU (sum * destination + conv + bias) * scale + shift. */
  gboolean sum, bias, relu, affine;
  gboolean changing; /* the weights are packed for each run: training */
  gboolean library; /* by the library, though another way be quicker: benchmarks and tests compare with it */
} DuConvShape;

/* One convolution prepared; owns its packed weights. */
typedef struct _DuConv DuConv;

typedef struct
{
  void *source;      /* read; DU_CONV_DATA writes its gradient here */
  const void *skip;  /* the second source, read */
  void *destination; /* DU_CONV_FORWARD writes it; else its gradient, read */
  float *weights;    /* DU_CONV_WEIGHTS writes their gradient here; else not looked at, see du_conv_pack() */
  const float *bias, *scale, *shift; /* [channels_out], where the shape asks for them */
} DuConvArguments;

/* Whether a convolution of two sources runs as one. */
gboolean du_conv_takes_skip (const DuConvShape *shape);
/* For the calling thread's OpenMP threads, as many as it has now. DU_ERROR_MEMORY or DU_ERROR_BACKEND. */
DuConv *du_conv_new (DuLibrary *library, const DuConvShape *shape, GError **error);
void du_conv_free (DuConv *conv); /* NULL is allowed */
/* "winograd", "gradient", or the name of the library's implementation. */
const char *du_conv_implementation (const DuConv *conv);
/* Bytes of working memory, aligned to 64, that pack and run want; nothing stays there between calls. */
gsize du_conv_scratch_size (const DuConv *conv);
/* Takes the weights in, all but DU_CONV_WEIGHTS, in the layout that the library likes best. */
gboolean du_conv_pack (DuConv *conv, const void *weights, void *scratch, GError **error);
gboolean du_conv_run (DuConv *conv, const DuConvArguments *arguments, void *scratch, GError **error);

#endif

/* The hand-written kernels, as C functions that put work on a stream and return at once. Pointers are to
 * memory of the device, but for structs, which are read before the return. Activations are NHWC in the type
 * that the arguments name; all else is float32 where nothing else is said.
 *
 * Nothing is checked here, and no pointer but those said so may be NULL. A launch that fails shows in
 * cudaGetLastError(). Results are the same bits on each run. Base addresses from cudaMalloc make for wide
 * reads; any that is aligned to its elements will do.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_KERNELS_H
#define DU_CUDA_KERNELS_H

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As in cuda_runtime_api.h, which a machine that only tests the kernels' arithmetic has not. */
typedef struct CUstream_st *cudaStream_t;

/* Dense activations [rows, width, channels]. */
typedef struct
{
  DuType type;
  gsize rows; /* n * height */
  int width, channels;
} DuKernelExtent;

/* ---- copies ------------------------------------------------------------------------------------------ */

/* to = from, or to += from in float32, count values; they may be the same memory where the types are. */
void du_kernel_convert (cudaStream_t stream, DuType from_type, const void *from, DuType to_type, void *to,
    gsize count, gboolean accumulate);

/* Some channels of pixels that have more: padding to a multiple of 8, concatenation and its reverse. */
typedef struct
{
  DuType from_type, to_type;
  gsize pixels;
  int channels;             /* to copy, from the pointers on */
  int from_pitch, to_pitch; /* elements from pixel to pixel */
  int zeros;                /* channels behind the copied ones that are set to zero */
  gboolean accumulate;      /* to += from */
} DuKernelSlice;

void du_kernel_slice (cudaStream_t stream, const DuKernelSlice *slice, const void *from, void *to);

/* ---- parameters -------------------------------------------------------------------------------------- */

/* A weight tensor of PyTorch's layout, conv [outputs, inputs, 3, 3] or up-conv [inputs, outputs, 2, 2], and
 * what the convolutions read: conv [padded_outputs, 3, 3, padded_inputs], up-conv [2, 2, padded_outputs,
 * padded_inputs], a 1x1 convolution to 4 padded_outputs. Of the inputs only some, for rows with two
 * sources. */
typedef struct
{
  gboolean up;
  int inputs, outputs;                /* of the tensor */
  int first, count;                   /* of the inputs, those that are packed */
  int padded_inputs, padded_outputs;  /* at least count and outputs; zeros behind them */
} DuKernelPacking;

void du_kernel_pack (cudaStream_t stream, const DuKernelPacking *packing, const float *tensor, DuType type,
    void *packed);
/* The reverse, for gradients: overwrites the packed part of the tensor, nothing else. */
void du_kernel_unpack (cudaStream_t stream, const DuKernelPacking *packing, DuType type, const void *packed,
    float *tensor);
/* A vector of count floats, repeats times, zeros behind it up to padded each time: an up-conv's bias. */
void du_kernel_pack_vector (cudaStream_t stream, const float *vector, int count, int padded, int repeats,
    DuType type, void *packed);
/* Batch normalisation with its running statistics as scale and shift, [padded]; zeros behind the channels. */
void du_kernel_fold (cudaStream_t stream, const float *gamma, const float *beta, const float *mean,
    const float *variance, int channels, int padded, float *scale, float *shift);

/* ---- rows -------------------------------------------------------------------------------------------- */

/* extent: the output's; the input is twice as wide and high. positions: one byte per output value, where its
 * window's maximum is, 0 to 3 in raster order: the first of equal ones, the last NaN before all. NULL: not
 * wanted. */
void du_kernel_pool (cudaStream_t stream, const DuKernelExtent *extent, const void *input, void *output,
    guint8 *positions);
void du_kernel_pool_backward (cudaStream_t stream, const DuKernelExtent *extent, const void *gradient_output,
    const guint8 *positions, void *gradient_input, gboolean accumulate);

/* extent: of full, [rows, width, pitch] with its channels in front; split: [rows / 2, width / 2, 2, 2,
 * split_pitch], odd line before odd column. bias: [channels], added; or NULL. */
void du_kernel_shuffle (cudaStream_t stream, const DuKernelExtent *extent, const void *split, int split_pitch,
    const float *bias, void *full, int pitch);
/* full is dense; zeros behind split's channels. gradient_bias: [channels], sums over all pixels of full. */
void du_kernel_unshuffle (cudaStream_t stream, const DuKernelExtent *extent, const void *full, void *split,
    int split_pitch, float *gradient_bias, void *scratch);

typedef struct
{
  DuHead head;
  const float *weights, *bias; /* [3, channels], [3] */
  const void *input;
  const float *picture; /* residual only */
  float *output;
} DuKernelHead;

/* extent: the input's. */
void du_kernel_head (cudaStream_t stream, const DuKernelExtent *extent, const DuKernelHead *args);

typedef struct
{
  DuHead head;
  const float *weights;
  const void *input;
  const float *output, *gradient_output;
  void *gradient_input; /* or NULL */
  gboolean accumulate;  /* into gradient_input */
  float *gradient_weights, *gradient_bias;
} DuKernelHeadBackward;

void du_kernel_head_backward (cudaStream_t stream, const DuKernelExtent *extent,
    const DuKernelHeadBackward *args, void *scratch);

/* ---- ReLU and batch normalisation in training -------------------------------------------------------- */

/* values = values + bias < 0 ? 0 : values + bias, in place. bias may be NULL. */
void du_kernel_relu (cudaStream_t stream, const DuKernelExtent *extent, const float *bias, void *values);
/* gradient becomes 0 where values <= 0; gradient_bias: sums over all pixels of what is left. */
void du_kernel_relu_backward (cudaStream_t stream, const DuKernelExtent *extent, const void *values,
    void *gradient, float *gradient_bias, void *scratch);

/* What stands behind one batch's normalisation: [channels] each. */
typedef struct
{
  float *mean, *deviation; /* the latter with its epsilon: sqrt (biased variance + DU_BN_EPSILON) */
} DuKernelMoments;

/* statistics: mean, then unbiased variance, as backend.h says. values: after ReLU. */
void du_kernel_moments (cudaStream_t stream, const DuKernelExtent *extent, const void *values,
    const DuKernelMoments *moments, float *statistics, void *scratch);
/* to = gamma * (values - mean) / deviation + beta; to may be values. */
void du_kernel_normalise (cudaStream_t stream, const DuKernelExtent *extent, const void *values,
    const DuKernelMoments *moments, const float *gamma, const float *beta, void *to);
/* gradient: that of what was normalised becomes that of what ReLU read (Ioffe & Szegedy 2015, section 3).
 * values: what was normalised. */
void du_kernel_normalise_backward (cudaStream_t stream, const DuKernelExtent *extent, const void *values,
    const DuKernelMoments *moments, const float *gamma, void *gradient, float *gradient_gamma,
    float *gradient_beta, float *gradient_bias, void *scratch);

/* Bytes of scratch that the functions above want for an extent; aligned to 16. */
gsize du_kernel_scratch (const DuKernelExtent *extent);

/* ---- loss and update --------------------------------------------------------------------------------- */

/* As DuBackend's slots of these names; value and norm are on the device. */
void du_kernel_loss (cudaStream_t stream, DuLoss loss, double epsilon, int n, int height, int width,
    const float *prediction, const float *target, float *gradient, double *value, void *scratch);
gsize du_kernel_loss_scratch (DuLoss loss, int n, int height, int width);
void du_kernel_norm (cudaStream_t stream, const float *values, gsize count, double *norm, void *scratch);
gsize du_kernel_norm_scratch (gsize count);
void du_kernel_adam (cudaStream_t stream, const DuAdam *adam, gsize count, float *parameters,
    const float *gradient, float *moment1, float *moment2);
void du_kernel_blend (cudaStream_t stream, double decay, float *to, const float *from, gsize count);

/* ---- batches ----------------------------------------------------------------------------------------- */

typedef struct
{
  const guint8 *pictures; /* [n, height, width, 3] */
  int height, width;
  const DuBlur *blurs;
  int radius; /* the largest of blurs */
} DuKernelPictures;

/* As DuBackend's pictures_draw. draws are the host's, read before the return. */
void du_kernel_draw (cudaStream_t stream, const DuKernelPictures *pictures, int n, int height, int width,
    const DuDraw *draws, float *input, float *target, void *scratch);
gsize du_kernel_draw_scratch (const DuKernelPictures *pictures, int n, int height, int width);

#ifdef __cplusplus
}
#endif

#endif

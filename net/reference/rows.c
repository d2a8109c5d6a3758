/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rows.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* What a patch is read from: NHWC, first source, then the skip behind it. */
typedef struct
{
  const float *data[2];
  int channels[2]; /* 0: no such source */
  int n, height, width;
} Sources;

/* Takes the sums of one pixel of the product, pixel = (n * height + y) * width + x in the sources' size. */
typedef void (*Finish) (const DuOp *op, gconstpointer args, gsize pixel, const double *sums);

gsize
du_reference_weight_index (const DuOp *op, int tap, int input, int output)
{
  int c = op->shape.channels_out;

  if (op->shape.kind == DU_ROW_UP) /* [in, out, 2, 2] */
    return ((gsize) input * c + output % c) * 4 + output / c;
  return ((gsize) output * op->forward.inputs + input) * op->forward.taps + tap; /* [out, in, h, w] */
}

/* The values that a pixel's taps read, [taps][inputs], zero outside. line: y, pictures end to end. */
static void
gather (const DuRowMatrix *matrix, const Sources *sources, gssize line, int x, double *patch)
{
  int reach = matrix->taps == 9, y = line % sources->height;

  for (int v = y - reach; v <= y + reach; v++)
    for (int u = x - reach; u <= x + reach; u++)
      for (int s = 0; s < 2 && sources->channels[s]; s++) {
        int channels = sources->channels[s];

        if (v < 0 || v >= sources->height || u < 0 || u >= sources->width) {
          memset (patch, 0, channels * sizeof *patch);
        } else {
          const float *from = sources->data[s] + ((line + v - y) * sources->width + u) * channels;

          for (int c = 0; c < channels; c++)
            patch[c] = from[c];
        }
        patch += channels;
      }
}

/* Patches times matrix, plus bias where not NULL. */
static void
multiply (const DuOp *op, const DuRowMatrix *matrix, const double *bias, const Sources *sources,
    Finish finish, gconstpointer args)
{
  gsize inner = (gsize) matrix->taps * matrix->inputs, outputs = matrix->outputs;

#pragma omp parallel for num_threads(op->threads)
  for (int line = 0; line < sources->n * sources->height; line++) {
    double *patches = op->scratch + omp_get_thread_num () * op->scratch_size;
    double *sums = patches + DU_PATCHES * inner;

    for (int x = 0; x < sources->width; x += DU_PATCHES) {
      int count = MIN (DU_PATCHES, sources->width - x);

      for (int p = 0; p < count; p++) {
        gather (matrix, sources, line, x + p, patches + p * inner);
        for (gsize o = 0; o < outputs; o++)
          sums[p * outputs + o] = bias ? bias[o] : 0;
      }
      for (gsize k = 0; k < inner; k++)
        for (int p = 0; p < count; p++) {
          const double value = patches[p * inner + k], *weights = matrix->weights + k * outputs;
          double *to = sums + p * outputs;

          for (gsize o = 0; o < outputs; o++)
            to[o] += value * weights[o];
        }
      for (int p = 0; p < count; p++)
        finish (op, args, (gsize) line * sources->width + x + p, sums + p * outputs);
    }
  }
}

/* Gradients of the weights and the bias: the sources' patches, transposed, times the gradient of the product,
 * [pixels][outputs]. Written into the block at the row's places. */
static void
multiply_transposed (const DuOp *op, const Sources *sources, const float *gradient, float *block)
{
  const DuRowMatrix *matrix = &op->forward;
  int blocks = (matrix->inputs + DU_PATCHES - 1) / DU_PATCHES, outputs = matrix->outputs;
  gsize pixels = (gsize) sources->n * sources->height * sources->width;

#pragma omp parallel for num_threads(op->threads)
  for (int job = 0; job < matrix->taps * blocks; job++) {
    double *sums = op->scratch + omp_get_thread_num () * op->scratch_size;
    int tap = job / blocks, first = job % blocks * DU_PATCHES;
    int count = MIN (DU_PATCHES, matrix->inputs - first);
    int dy = matrix->taps == 9 ? tap / 3 - 1 : 0, dx = matrix->taps == 9 ? tap % 3 - 1 : 0;

    memset (sums, 0, (gsize) count * outputs * sizeof *sums);
    for (gsize pixel = 0; pixel < pixels; pixel++) {
      int x = pixel % sources->width + dx, y = pixel / sources->width % sources->height + dy;
      gsize from = pixel + (gssize) dy * sources->width + dx;

      if (x < 0 || x >= sources->width || y < 0 || y >= sources->height)
        continue;
      for (int i = 0; i < count; i++) {
        int c = first + i, s = c >= sources->channels[0];
        double value = sources->data[s][from * sources->channels[s] + (s ? c - sources->channels[0] : c)];

        for (int o = 0; o < outputs; o++)
          sums[i * outputs + o] += value * gradient[pixel * outputs + o];
      }
    }
    for (int i = 0; i < count; i++)
      for (int o = 0; o < outputs; o++)
        block[op->at.weight + du_reference_weight_index (op, tap, first + i, o)] = sums[i * outputs + o];
  }

  double *sums = op->scratch;
  int c = op->shape.channels_out;

  memset (sums, 0, outputs * sizeof *sums);
  for (gsize pixel = 0; pixel < pixels; pixel++)
    for (int o = 0; o < outputs; o++)
      sums[o] += gradient[pixel * outputs + o];
  for (int o = c; o < outputs; o++)
    sums[o % c] += sums[o];
  for (int o = 0; o < c; o++)
    block[op->at.bias + o] = sums[o];
}

/* ---- finishes ---------------------------------------------------------------------------------- */

/* NaN passes every row, so that a diverged network shows. */
static void
finish_conv (const DuOp *op, gconstpointer args, gsize pixel, const double *sums)
{
  const DuForward *forward = args;
  int c = op->shape.channels_out;
  float *to = (op->rectified ? op->rectified : du_cpu_f32 (forward->output)) + pixel * c;
  gboolean fold = op->shape.bn && !op->rectified;

  for (int o = 0; o < c; o++) {
    double value = sums[o] < 0 ? 0 : sums[o];

    to[o] = fold ? op->scale[o] * value + op->shift[o] : value;
  }
}

static void
finish_up (const DuOp *op, gconstpointer args, gsize pixel, const double *sums)
{
  const DuForward *forward = args;
  int c = op->shape.channels_out, width = op->shape.width;
  gsize line = pixel / (width / 2), x = pixel % (width / 2);
  float *to = du_cpu_f32 (forward->output);

  for (int q = 0; q < 4; q++)
    for (int o = 0; o < c; o++)
      to[((2 * line + q / 2) * width + 2 * x + q % 2) * c + o] = *sums++;
}

static void
finish_head (const DuOp *op, gconstpointer args, gsize pixel, const double *sums)
{
  const DuForward *forward = args;
  int c = op->shape.channels_out;
  float *to = du_cpu_f32 (forward->output) + pixel * c;

  for (int o = 0; o < c; o++)
    to[o] = op->shape.head == DU_HEAD_SIGMOID ? 1 / (1 + exp (-sums[o]))
                                              : du_cpu_f32 (forward->skip)[pixel * c + o] + sums[o];
}

static void
finish_gradient (const DuOp *op, gconstpointer args, gsize pixel, const double *sums)
{
  const DuBackward *backward = args;
  DuBuffer *const to[] = { backward->gradient_input, backward->gradient_skip };
  const gboolean accumulate[] = { backward->accumulate_input, backward->accumulate_skip };
  const int channels[] = { op->shape.channels_in, op->shape.channels_skip };

  for (int s = 0; s < 2; sums += channels[s++])
    for (int c = 0; to[s] && c < channels[s]; c++) {
      float *at = du_cpu_f32 (to[s]) + pixel * channels[s] + c;

      *at = accumulate[s] ? *at + sums[c] : sums[c];
    }
}

/* ---- batch normalisation ------------------------------------------------------------------------- */

/* Ioffe & Szegedy 2015, algorithm 1, over the batch and all pixels. */
static void
normalise (DuOp *op, const DuForward *args)
{
  gsize pixels = (gsize) op->shape.n * op->shape.height * op->shape.width;
  int c = op->shape.channels_out;
  float *statistics = du_cpu_f32 (args->statistics) + args->statistics_at, *to = du_cpu_f32 (args->output);
  double *variance = op->deviation;

  memset (op->mean, 0, c * sizeof *op->mean);
  for (gsize i = 0; i < pixels; i++)
    for (int o = 0; o < c; o++)
      op->mean[o] += op->rectified[i * c + o];
  for (int o = 0; o < c; o++)
    op->mean[o] /= pixels;
  memset (variance, 0, c * sizeof *variance);
  for (gsize i = 0; i < pixels; i++)
    for (int o = 0; o < c; o++) {
      double d = op->rectified[i * c + o] - op->mean[o];

      variance[o] += d * d;
    }
  for (int o = 0; o < c; o++) {
    statistics[o] = op->mean[o];
    statistics[c + o] = variance[o] / MAX (1, pixels - 1);
    op->deviation[o] = sqrt (variance[o] / pixels + DU_BN_EPSILON);
  }
  for (gsize i = 0; i < pixels; i++)
    for (int o = 0; o < c; o++)
      to[i * c + o]
          = op->scale[o] * (op->rectified[i * c + o] - op->mean[o]) / op->deviation[o] + op->shift[o];
}

/* Gradients of gamma and beta into the block, that of the rectified values into gradient. */
static void
normalise_backward (const DuOp *op, float *gradient, float *block)
{
  gsize pixels = (gsize) op->shape.n * op->shape.height * op->shape.width;
  int c = op->shape.channels_out;
  double *by_scale = op->scratch, *by_shift = op->scratch + c;

  memset (by_scale, 0, 2 * c * sizeof *by_scale);
  for (gsize i = 0; i < pixels; i++)
    for (int o = 0; o < c; o++) {
      double g = gradient[i * c + o];

      by_scale[o] += g * (op->rectified[i * c + o] - op->mean[o]) / op->deviation[o];
      by_shift[o] += g;
    }
  for (gsize i = 0; i < pixels; i++)
    for (int o = 0; o < c; o++) {
      double normalised = (op->rectified[i * c + o] - op->mean[o]) / op->deviation[o];

      gradient[i * c + o] = op->scale[o] / op->deviation[o]
                            * (gradient[i * c + o] - (by_shift[o] + normalised * by_scale[o]) / pixels);
    }
  for (int o = 0; o < c; o++) {
    block[op->at.bn_scale + o] = by_scale[o];
    block[op->at.bn_shift + o] = by_shift[o];
  }
}

/* ---- rows ------------------------------------------------------------------------------------------ */

/* Offset in the input of a 2x2 window's first maximum in raster order; a NaN is one. */
static gsize
maximum (const DuOp *op, const float *input, gsize line, int x, int c)
{
  gsize best = 0;

  for (int q = 0; q < 4; q++) {
    gsize at = ((2 * line + q / 2) * 2 * op->shape.width + 2 * x + q % 2) * op->shape.channels_in + c;

    if (q == 0 || input[at] > input[best] || isnan (input[at]))
      best = at;
  }
  return best;
}

/* Forward where output is not NULL, else backward. */
static void
pool (const DuOp *op, const float *input, float *output, const float *gradient_output, float *gradient_input)
{
  int width = op->shape.width, channels = op->shape.channels_in;

#pragma omp parallel for num_threads(op->threads)
  for (int line = 0; line < op->shape.n * op->shape.height; line++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < channels; c++) {
        gsize at = ((gsize) line * width + x) * channels + c, best = maximum (op, input, line, x, c);

        if (output)
          output[at] = input[best];
        else
          gradient_input[best] += gradient_output[at];
      }
}

static Sources
sources_of (const DuOp *op, const DuBuffer *input, const DuBuffer *skip)
{
  const DuOpShape *shape = &op->shape;
  int divisor = shape->kind == DU_ROW_UP ? 2 : 1;
  gboolean two = shape->kind == DU_ROW_CONV && shape->channels_skip;

  return (Sources){ { du_cpu_f32 (input), two ? du_cpu_f32 (skip) : NULL },
    { shape->channels_in, two ? shape->channels_skip : 0 }, shape->n, shape->height / divisor,
    shape->width / divisor };
}

void
du_reference_forward (DuOp *op, const DuForward *args)
{
  static const Finish finish[] = { [DU_ROW_CONV] = finish_conv, [DU_ROW_UP] = finish_up,
    [DU_ROW_HEAD] = finish_head };
  Sources sources = sources_of (op, args->input, args->skip);

  if (op->shape.kind == DU_ROW_POOL)
    pool (op, du_cpu_f32 (args->input), du_cpu_f32 (args->output), NULL, NULL);
  else
    multiply (op, &op->forward, op->bias, &sources, finish[op->shape.kind], args);
  if (op->rectified)
    normalise (op, args);
}

/* Turns the output's gradient into that of the matrix product, in place. */
static void
backward_to_product (const DuOp *op, const DuBackward *args, float *gradient)
{
  gsize count = (gsize) op->shape.n * op->shape.height * op->shape.width * op->shape.channels_out;
  const float *output = du_cpu_f32 (args->output), *rectified = op->rectified ? op->rectified : output;

  if (op->rectified)
    normalise_backward (op, gradient, du_cpu_f32 (args->gradient_parameters));
  if (op->shape.kind == DU_ROW_CONV)
    for (gsize i = 0; i < count; i++)
      gradient[i] = rectified[i] <= 0 ? 0 : gradient[i];
  else if (op->shape.kind == DU_ROW_HEAD && op->shape.head == DU_HEAD_SIGMOID)
    for (gsize i = 0; i < count; i++)
      gradient[i] = (double) gradient[i] * output[i] * (1 - (double) output[i]);
}

void
du_reference_backward (DuOp *op, const DuBackward *args)
{
  const DuOpShape *shape = &op->shape;
  float *gradient = du_cpu_f32 (args->gradient_output);
  gsize pixels = (gsize) shape->n * shape->height * shape->width;
  Sources sources = sources_of (op, args->input, args->skip), product;
  int c = shape->channels_out;

  if (shape->kind == DU_ROW_POOL) {
    if (!args->gradient_input)
      return;
    if (!args->accumulate_input)
      memset (du_cpu_f32 (args->gradient_input), 0, pixels * 4 * c * sizeof *gradient);
    pool (op, du_cpu_f32 (args->input), NULL, gradient, du_cpu_f32 (args->gradient_input));
    return;
  }
  backward_to_product (op, args, gradient);
  if (shape->kind == DU_ROW_UP) {
    for (gsize line = 0; line < pixels / shape->width; line++)
      for (int x = 0; x < shape->width; x++) {
        gsize window = (line / 2 * (shape->width / 2) + x / 2) * 4 + line % 2 * 2 + x % 2;

        memcpy (op->windows + window * c, gradient + (line * shape->width + x) * c, c * sizeof *gradient);
      }
    gradient = op->windows;
  }
  multiply_transposed (op, &sources, gradient, du_cpu_f32 (args->gradient_parameters));
  product = (Sources){ { gradient }, { op->forward.outputs }, sources.n, sources.height, sources.width };
  if (args->gradient_input || args->gradient_skip)
    multiply (op, &op->backward, NULL, &product, finish_gradient, args);
}

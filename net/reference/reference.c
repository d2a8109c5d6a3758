/* The back end in plain C: float32 activations, sums in double. The oracle of the others, not fast.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rows.h"

#include <math.h>
#include <stdlib.h>

struct _DuContext
{
  DuCpuContext cpu;
  char device[32];
};

static DuContext *
reference_open (const DuContextOptions *options, GError **error)
{
  DuContext *context;

  if (options->type != DU_TYPE_F32) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "the reference back end computes in f32 only: choose precision f32");
    return NULL;
  }
  context = g_new0 (DuContext, 1);
  context->cpu.threads = MAX (1, options->threads);
  g_snprintf (context->device, sizeof context->device, "CPU, %d threads", context->cpu.threads);
  return context;
}

static void
reference_close (DuContext *context)
{
  g_free (context);
}

static const char *
reference_device (const DuContext *context)
{
  return context->device;
}

static void
reference_op_free (DuContext *context, DuOp *op)
{
  (void) context;
  if (!op)
    return;
  free (op->forward.weights);
  free (op->backward.weights);
  free (op->bias);
  free (op->rectified);
  free (op->windows);
  free (op->scratch);
  g_free (op);
}

static gboolean
allocate_matrix (DuRowMatrix *matrix, int taps, int inputs, int outputs, GError **error)
{
  *matrix = (DuRowMatrix){ taps, inputs, outputs };
  matrix->weights = du_cpu_allocate ((gsize) taps * inputs, outputs * sizeof (double), "a row's weights",
      error);
  return matrix->weights != NULL;
}

static DuOp *
reference_prepare (DuContext *context, const DuOpShape *shape, GError **error)
{
  DuOp *op = g_new0 (DuOp, 1);
  int taps = shape->kind == DU_ROW_CONV ? 9 : 1;
  int inputs = shape->channels_in + (shape->kind == DU_ROW_CONV ? shape->channels_skip : 0);
  int outputs = shape->channels_out * (shape->kind == DU_ROW_UP ? 4 : 1), c = shape->channels_out;
  gboolean training = shape->mode == DU_MODE_TRAINING, bn = shape->kind == DU_ROW_CONV && shape->bn;
  gsize pixels = (gsize) shape->n * shape->height * shape->width;

  op->shape = *shape;
  op->shape.bn = bn;
  op->threads = context->cpu.threads;
  if (shape->kind == DU_ROW_POOL)
    return op;

  op->scratch_size = DU_PATCHES * ((gsize) taps * MAX (inputs, outputs) + MAX (inputs, outputs));
  if (!allocate_matrix (&op->forward, taps, inputs, outputs, error)
      || (training && !allocate_matrix (&op->backward, taps, outputs, inputs, error)))
    goto failed;
  op->bias = du_cpu_allocate (outputs + 4 * c, sizeof *op->bias, "a row's vectors", error);
  op->scratch = du_cpu_allocate (op->scratch_size, op->threads * sizeof *op->scratch, "scratch", error);
  if (!op->bias || !op->scratch)
    goto failed;
  op->scale = op->bias + outputs;
  op->shift = op->scale + c;
  op->mean = op->shift + c;
  op->deviation = op->mean + c;
  if (training && bn && !(op->rectified = du_cpu_allocate (pixels, c * sizeof (float), "activations", error)))
    goto failed;
  if (training && shape->kind == DU_ROW_UP
      && !(op->windows = du_cpu_allocate (pixels, c * sizeof (float), "gradients", error)))
    goto failed;
  return op;

failed:
  reference_op_free (context, op);
  return NULL;
}

static gboolean
reference_load (DuContext *context, DuOp *op, const DuOpParameters *parameters, GError **error)
{
  const float *block = du_cpu_f32 (parameters->block);
  const DuRowOffsets *at = &parameters->at;
  DuRowMatrix *matrix = &op->forward, *backward = &op->backward;
  int c = op->shape.channels_out, last = matrix->taps - 1;

  (void) context, (void) error;
  op->at = *at;
  if (!matrix->weights)
    return TRUE;
  for (int tap = 0; tap < matrix->taps; tap++)
    for (int i = 0; i < matrix->inputs; i++)
      for (int o = 0; o < matrix->outputs; o++) {
        double weight = block[at->weight + du_reference_weight_index (op, tap, i, o)];

        matrix->weights[((gsize) tap * matrix->inputs + i) * matrix->outputs + o] = weight;
        /* a tap to the left of its output is to the right of its input */
        if (backward->weights)
          backward->weights[((gsize) (last - tap) * matrix->outputs + o) * matrix->inputs + i] = weight;
      }
  for (int o = 0; o < matrix->outputs; o++)
    op->bias[o] = block[at->bias + o % c];
  for (int o = 0; op->shape.bn && o < c; o++) {
    op->scale[o] = block[at->bn_scale + o];
    op->shift[o] = block[at->bn_shift + o];
    if (op->shape.mode == DU_MODE_INFERENCE) {
      op->scale[o] /= sqrt (block[at->bn_variance + o] + DU_BN_EPSILON);
      op->shift[o] -= block[at->bn_mean + o] * op->scale[o];
    }
  }
  return TRUE;
}

static gboolean
reference_forward (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  (void) context, (void) error;
  du_reference_forward (op, args);
  return TRUE;
}

static gboolean
reference_backward (DuContext *context, DuOp *op, const DuBackward *args, GError **error)
{
  (void) context, (void) error;
  du_reference_backward (op, args);
  return TRUE;
}

const DuBackend du_backend_reference = {
  .name = "reference",
  .open = reference_open,
  .close = reference_close,
  .device = reference_device,
  .buffer_new = du_cpu_buffer_new,
  .buffer_free = du_cpu_buffer_free,
  .upload = du_cpu_upload,
  .download = du_cpu_download,
  .prepare = reference_prepare,
  .op_free = reference_op_free,
  .load = reference_load,
  .forward = reference_forward,
  .backward = reference_backward,
  .loss = du_cpu_loss,
  .norm = du_cpu_norm,
  .results = du_cpu_results,
  .adam = du_cpu_adam,
  .blend = du_cpu_blend,
  .pictures_new = du_cpu_pictures_new,
  .pictures_free = du_cpu_pictures_free,
  .pictures_draw = du_cpu_pictures_draw,
};

/* The CPU engine: convolutions by oneDNN, all else by our own loops.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"
#include "convolution.h"
#include "loops.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

struct _DuContext
{
  DuCpuContext cpu; /* first: the shared slots of cpu.h look for it here */
  DuType type;
  DuLibrary *library;
  const DuLoops *loops;
  char *device;
  /* Working memory of the op that runs, as large as the largest op wants: the op's own part, then that of its
   * convolution. */
  char *scratch;
  gsize scratch_size;
};

enum
{
  SOURCES = 2,   /* the first and the skip */
  UP_PIXELS = 4, /* of the output for each of an up-conv's input */
};

struct _DuOp
{
  DuOpShape shape;
  DuExtent extent; /* of the output */
  gsize elements;  /* of the output */
  /* One of each for each source; data and weights in training only. Where a convolution cannot read two
   * sources there are two in f32, the second of which adds to the first. In bf16 they are joined in working
   * memory for one: a rounded partial sum would tip ReLUs, and that is not faster.
   * An up-conv is a 1x1 convolution to four times the channels, with the parameters of output pixel (a, b)
   * at channel (2a + b) * channels_out. */
  DuConv *forward[SOURCES], *data[SOURCES], *weights[SOURCES];
  gboolean takes_skip, joins; /* forward[0] reads both sources, where they are or joined */
  gsize own_scratch;        /* bytes */
  DuRowOffsets at;
  float *bias, *scale, *shift; /* [channels_out], of an up-conv 4 times; folded BN, head: scale = weights */
  float *mean, *deviation;     /* training with BN: of the batch; deviation with its epsilon */
  void *rectified;             /* training with BN: post-ReLU values, as the output */
  guint8 *positions;           /* training of a pool */
};

/* ---- context --------------------------------------------------------------------------------- */

static void
onednn_close (DuContext *context)
{
  du_library_close (context->library);
  g_free (context->device);
  free (context->scratch);
  g_free (context);
}

static DuContext *
onednn_open (const DuContextOptions *options, GError **error)
{
  DuContext *context;
  g_autofree char *name = du_library_name ();

  if (options->type == DU_TYPE_F16) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "precision f16 does not run on a CPU: use f32 or bf16");
    return NULL;
  }
  if (options->type == DU_TYPE_BF16 && du_library_instructions () < DU_AVX512_BF16) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE,
        "precision bf16 needs a processor with avx512_core_bf16, this is %s: use f32", name);
    return NULL;
  }
  context = g_new0 (DuContext, 1);
  context->cpu.threads = options->threads;
  context->type = options->type;
  context->loops = options->type == DU_TYPE_BF16 ? &du_loops_bf16 : &du_loops_f32;
  context->device
      = g_strdup_printf ("%s, %d thread%s", name, options->threads, options->threads > 1 ? "s" : "");
  context->library = du_library_open (error);
  if (!context->library) {
    onednn_close (context);
    return NULL;
  }
  return context;
}

static const char *
onednn_device (const DuContext *context)
{
  return context->device;
}

/* oneDNN asks OpenMP for the calling thread's number of threads, at prepare and at run. */
static void
enter (const DuContext *context)
{
  omp_set_num_threads (context->cpu.threads);
}

/* ---- prepare --------------------------------------------------------------------------------- */

static gsize
type_size (const DuContext *context)
{
  return context->type == DU_TYPE_BF16 ? sizeof (guint16) : sizeof (float);
}

static gsize
aligned (gsize size)
{
  return (size + DU_CPU_ALIGNMENT - 1) / DU_CPU_ALIGNMENT * DU_CPU_ALIGNMENT;
}

static void
onednn_op_free (DuContext *context, DuOp *op)
{
  (void) context;
  if (!op)
    return;
  for (int source = 0; source < SOURCES; source++) {
    du_conv_free (op->forward[source]);
    du_conv_free (op->data[source]);
    du_conv_free (op->weights[source]);
  }
  g_free (op->bias);
  g_free (op->scale);
  g_free (op->shift);
  g_free (op->mean);
  g_free (op->deviation);
  free (op->rectified);
  free (op->positions);
  g_free (op);
}

static gboolean
prepare_convolutions (DuContext *context, DuOp *op, GError **error)
{
  const DuOpShape *s = &op->shape;
  const gboolean up = s->kind == DU_ROW_UP, training = s->mode == DU_MODE_TRAINING;
  const int sources = s->channels_skip ? 2 : 1;
  int forwards = sources;
  DuConvShape conv = {
    .type = context->type,
    .n = s->n,
    .height = up ? s->height / 2 : s->height,
    .width = up ? s->width / 2 : s->width,
    .channels_out = up ? UP_PIXELS * s->channels_out : s->channels_out,
    .kernel = up ? 1 : 3,
    .changing = training,
  };

  conv.weights_stride = (gsize) (s->channels_in + s->channels_skip) * conv.kernel * conv.kernel;
  if (s->kind == DU_ROW_CONV && s->channels_skip) {
    DuConvShape both = conv;

    both.channels_in = s->channels_in;
    both.channels_skip = s->channels_skip;
    op->takes_skip = du_conv_takes_skip (&both);
    op->joins = !op->takes_skip && context->type == DU_TYPE_BF16;
    forwards = op->takes_skip || op->joins ? 1 : sources;
  }
  for (int source = 0; source < sources; source++) {
    const gboolean last = source == forwards - 1;

    conv.kind = DU_CONV_FORWARD;
    conv.channels_in = op->joins ? s->channels_in + s->channels_skip
                       : source  ? s->channels_skip
                                 : s->channels_in;
    conv.channels_skip = op->takes_skip ? s->channels_skip : 0;
    conv.sum = source > 0;
    conv.bias = last;
    conv.relu = last && !up;
    conv.affine = last && s->bn && !training;
    if (source < forwards && !(op->forward[source] = du_conv_new (context->library, &conv, error)))
      return FALSE;
    conv.channels_in = source ? s->channels_skip : s->channels_in;
    conv.channels_skip = 0;
    conv.sum = conv.bias = conv.relu = conv.affine = FALSE;
    conv.kind = DU_CONV_DATA;
    if (training && !s->picture && !(op->data[source] = du_conv_new (context->library, &conv, error)))
      return FALSE;
    conv.kind = DU_CONV_WEIGHTS;
    if (training && !(op->weights[source] = du_conv_new (context->library, &conv, error)))
      return FALSE;
  }
  return TRUE;
}

static gsize
n_weights (const DuOpShape *s)
{
  return s->kind == DU_ROW_CONV ? (gsize) 9 * (s->channels_in + s->channels_skip) * s->channels_out
         : s->kind == DU_ROW_UP ? (gsize) UP_PIXELS * s->channels_in * s->channels_out
                                : 0;
}

/* Bytes at the start of working memory: an up-conv's weights transposed, and those of all converted. */
static gsize
load_scratch (const DuContext *context, const DuOpShape *s)
{
  return aligned (s->kind == DU_ROW_UP ? n_weights (s) * sizeof (float) : 0)
         + (context->type == DU_TYPE_BF16 ? n_weights (s) * type_size (context) : 0);
}

/* Bytes of the op's own part of the working memory: see the users. */
static gsize
own_scratch (const DuContext *context, const DuOp *op)
{
  const DuOpShape *s = &op->shape;
  const gsize pixels = op->extent.rows * op->extent.width, of_type = type_size (context);
  const gsize input = pixels * MAX (s->channels_in, s->channels_skip) * of_type;
  gsize size = 0;

  if (s->kind == DU_ROW_UP) {
    size = aligned (op->elements * of_type) + MAX (n_weights (s) * sizeof (float), input / UP_PIXELS);
  } else if (s->kind == DU_ROW_CONV && s->mode == DU_MODE_TRAINING)
    size = input;
  else if (s->kind == DU_ROW_CONV && s->picture)
    size = input;
  if (op->joins)
    size = pixels * (s->channels_in + s->channels_skip) * of_type;
  size = MAX (size, load_scratch (context, s));
  return aligned (size) + aligned (du_loops_partials (&op->extent) * sizeof (float));
}

static gboolean
reserve_scratch (DuContext *context, DuOp *op, GError **error)
{
  gsize conv = 0, size;

  op->own_scratch = own_scratch (context, op);
  for (int source = 0; source < SOURCES; source++) {
    DuConv *const convs[] = { op->forward[source], op->data[source], op->weights[source] };

    for (guint i = 0; i < G_N_ELEMENTS (convs); i++)
      if (convs[i])
        conv = MAX (conv, du_conv_scratch_size (convs[i]));
  }
  size = op->own_scratch + conv;
  if (size <= context->scratch_size)
    return TRUE;
  free (context->scratch);
  context->scratch = du_cpu_allocate (size, 1, "working memory", error);
  context->scratch_size = context->scratch ? size : 0;
  return context->scratch != NULL;
}

static DuOp *
onednn_prepare (DuContext *context, const DuOpShape *shape, GError **error)
{
  const gboolean training = shape->mode == DU_MODE_TRAINING;
  DuOp *op = g_new0 (DuOp, 1);
  gboolean ok = TRUE;
  int vectors = shape->channels_out;

  enter (context);
  op->shape = *shape;
  op->extent = (DuExtent){ context->cpu.threads, (gsize) shape->n * shape->height, shape->width,
    shape->kind == DU_ROW_HEAD ? shape->channels_in : shape->channels_out };
  op->elements = op->extent.rows * shape->width * shape->channels_out;
  if (shape->kind == DU_ROW_CONV || shape->kind == DU_ROW_UP)
    ok = prepare_convolutions (context, op, error);
  if (shape->kind == DU_ROW_UP)
    vectors *= UP_PIXELS;
  op->bias = g_new0 (float, vectors);
  op->scale = g_new0 (float, vectors * (shape->kind == DU_ROW_HEAD ? du_head_pitch (shape->channels_in) : 1));
  op->shift = g_new0 (float, vectors);
  if (ok && training && shape->kind == DU_ROW_CONV && shape->bn) {
    op->mean = g_new0 (float, vectors);
    op->deviation = g_new0 (float, vectors);
    op->rectified = du_cpu_allocate (op->elements, type_size (context), "activations", error);
    ok = op->rectified != NULL;
  }
  if (ok && training && shape->kind == DU_ROW_POOL) {
    op->positions = du_cpu_allocate (op->elements, 1, "a pool's positions", error);
    ok = op->positions != NULL;
  }
  if (ok && reserve_scratch (context, op, error))
    return op;
  onednn_op_free (context, op);
  return NULL;
}

/* ---- load ------------------------------------------------------------------------------------ */

/* [in, out, 2, 2] -> [2, 2, out, in], or back. */
static void
transpose_up (const DuOp *op, const float *from, float *to, gboolean back)
{
  const gsize in = op->shape.channels_in, out = op->shape.channels_out;
  const gsize width = 8; /* lines that may meet in one set of the first level cache: fewer than it holds */

#pragma omp parallel for num_threads(op->extent.threads)
  for (gsize first = 0; first < in; first += width)
    for (gsize o = 0; o < out; o++)
      for (gsize pixel = 0; pixel < UP_PIXELS; pixel++)
        for (gsize i = first; i < MIN (first + width, in); i++) {
          const gsize tensor = (i * out + o) * UP_PIXELS + pixel, matrix = (pixel * out + o) * in + i;

          to[back ? tensor : matrix] = from[back ? matrix : tensor];
        }
}

static gboolean
load_convolutions (DuContext *context, DuOp *op, const float *weights, GError **error)
{
  const gsize to_skip = (gsize) op->shape.channels_in * 9; /* which only a 3x3 has */
  char *scratch = context->scratch + op->own_scratch;
  const char *typed;

  if (op->shape.kind == DU_ROW_UP) {
    transpose_up (op, weights, (float *) context->scratch, FALSE);
    weights = (float *) context->scratch;
  }
  typed = (const char *) weights;
  /* Converting first and once is quicker than what the library does when it packs from float32. */
  if (context->type == DU_TYPE_BF16) {
    char *to = context->scratch + load_scratch (context, &op->shape)
               - n_weights (&op->shape) * type_size (context);

    context->loops->convert (context->cpu.threads, weights, to, n_weights (&op->shape));
    typed = to;
  }
  for (int source = 0; source < SOURCES; source++) {
    if (op->forward[source] && !du_conv_pack (op->forward[source], typed, scratch, error))
      return FALSE;
    if (op->data[source] && !du_conv_pack (op->data[source], typed, scratch, error))
      return FALSE;
    typed += to_skip * type_size (context);
  }
  return TRUE;
}

static gboolean
onednn_load (DuContext *context, DuOp *op, const DuOpParameters *parameters, GError **error)
{
  const DuRowOffsets *at = &parameters->at;
  const DuOpShape *s = &op->shape;
  const float *block = du_cpu_f32 (parameters->block);
  const int out = s->channels_out;

  enter (context);
  if (s->kind == DU_ROW_POOL)
    return TRUE;
  op->at = *at;
  for (int copy = 0; copy < (s->kind == DU_ROW_UP ? UP_PIXELS : 1); copy++)
    memcpy (op->bias + copy * out, block + at->bias, out * sizeof (float));
  if (s->kind == DU_ROW_HEAD) {
    for (int o = 0; o < out; o++)
      memcpy (op->scale + o * du_head_pitch (s->channels_in), block + at->weight + (gsize) o * s->channels_in,
          s->channels_in * sizeof (float));
    return TRUE;
  }
  for (int o = 0; o < out && s->bn; o++) {
    op->scale[o] = block[at->bn_scale + o];
    op->shift[o] = block[at->bn_shift + o];
    if (s->mode == DU_MODE_INFERENCE) {
      op->scale[o] = (float) (op->scale[o] / sqrt (block[at->bn_variance + o] + DU_BN_EPSILON));
      op->shift[o] -= block[at->bn_mean + o] * op->scale[o];
    }
  }
  return load_convolutions (context, op, block + at->weight, error);
}

/* ---- forward --------------------------------------------------------------------------------- */

/* The first source in the activation type: the picture is converted, into the start of working memory. */
static void *
first_source (DuContext *context, const DuOp *op, const DuBuffer *input)
{
  if (!op->shape.picture || context->type == DU_TYPE_F32)
    return input->data;
  context->loops->convert (context->cpu.threads, input->data, context->scratch,
      op->extent.rows * op->extent.width * op->shape.channels_in);
  return context->scratch;
}

static float *
partials (DuContext *context, const DuOp *op)
{
  return (float *) (context->scratch + op->own_scratch
                    - aligned (du_loops_partials (&op->extent) * sizeof (float)));
}

static void
normalise (DuContext *context, DuOp *op, const DuForward *args)
{
  const int c = op->shape.channels_out;
  const gsize pixels = op->extent.rows * op->extent.width;
  float *statistics = du_cpu_f32 (args->statistics) + args->statistics_at;
  g_autofree float *scale = g_new (float, c);

  context->loops->statistics (&op->extent, op->rectified, op->mean, op->deviation, partials (context, op));
  for (int o = 0; o < c; o++) {
    const double variance = op->deviation[o];

    statistics[o] = op->mean[o];
    statistics[c + o] = (float) (variance * pixels / MAX (pixels - 1, 1));
    op->deviation[o] = (float) sqrt (variance + DU_BN_EPSILON);
    scale[o] = op->scale[o] / op->deviation[o];
  }
  context->loops->normalise (&op->extent, op->rectified, op->mean, scale, op->shift, args->output->data);
}

static gboolean
forward_conv (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  const gboolean kept = op->rectified != NULL;
  char *scratch = context->scratch + op->own_scratch;
  DuConvArguments conv = { .source = first_source (context, op, args->input),
    .skip = args->skip ? args->skip->data : NULL,
    .destination = kept ? op->rectified : args->output->data,
    .bias = op->bias,
    .scale = op->scale,
    .shift = op->shift };

  if (op->joins) {
    context->loops->concat (&op->extent, args->input->data, op->shape.channels_in, args->skip->data,
        op->shape.channels_skip, context->scratch);
    conv.source = context->scratch;
  }
  if (!du_conv_run (op->forward[0], &conv, scratch, error))
    return FALSE;
  if (op->forward[1]) {
    conv.source = args->skip->data;
    if (!du_conv_run (op->forward[1], &conv, scratch, error))
      return FALSE;
  }
  if (kept)
    normalise (context, op, args);
  return TRUE;
}

static gboolean
forward_up (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  const DuConvArguments conv
      = { .source = args->input->data, .destination = context->scratch, .bias = op->bias };

  if (!du_conv_run (op->forward[0], &conv, context->scratch + op->own_scratch, error))
    return FALSE;
  context->loops->shuffle (&op->extent, context->scratch, args->output->data);
  return TRUE;
}

static gboolean
onednn_forward (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  const DuHeadForward head = { op->shape.head, op->scale, op->bias, args->input->data,
    args->skip ? du_cpu_f32 (args->skip) : NULL, args->output->data };

  enter (context);
  switch (op->shape.kind) {
  case DU_ROW_CONV:
    return forward_conv (context, op, args, error);
  case DU_ROW_UP:
    return forward_up (context, op, args, error);
  case DU_ROW_POOL:
    context->loops->pool (&op->extent, args->input->data, args->output->data, op->positions);
    return TRUE;
  case DU_ROW_HEAD:
    context->loops->head (&op->extent, &head);
  }
  return TRUE;
}

/* ---- backward -------------------------------------------------------------------------------- */

/* Gradient of one source. spare: working memory for one. */
static gboolean
backward_data (DuContext *context, DuOp *op, int source, void *gradient_output, DuBuffer *gradient,
    gboolean accumulate, void *spare, GError **error)
{
  const int channels = source ? op->shape.channels_skip : op->shape.channels_in;
  const gsize pixels = op->extent.rows * op->extent.width / (op->shape.kind == DU_ROW_UP ? UP_PIXELS : 1);
  DuConvArguments conv = { .destination = gradient_output };

  if (!gradient)
    return TRUE;
  conv.source = accumulate ? spare : gradient->data;
  if (!du_conv_run (op->data[source], &conv, context->scratch + op->own_scratch, error))
    return FALSE;
  if (accumulate)
    context->loops->add (context->cpu.threads, spare, gradient->data, pixels * channels);
  return TRUE;
}

static gboolean
backward_conv (DuContext *context, DuOp *op, const DuBackward *args, GError **error)
{
  void *gradient = args->gradient_output->data;
  float *parameters = du_cpu_f32 (args->gradient_parameters);
  float *bias = parameters + op->at.bias, *weights = parameters + op->at.weight;

  if (op->rectified)
    context->loops->bn_backward (&op->extent, op->rectified, op->mean, op->deviation, op->scale, gradient,
        parameters + op->at.bn_scale, parameters + op->at.bn_shift, bias, partials (context, op));
  else
    context->loops->relu_backward (&op->extent, args->output->data, gradient, bias, partials (context, op));
  for (int source = 0; source < (op->shape.channels_skip ? 2 : 1); source++) {
    const DuConvArguments conv = {
      .source = source ? args->skip->data : first_source (context, op, args->input),
      .destination = gradient,
      .weights = weights + (source ? (gsize) op->shape.channels_in * 9 : 0),
    };

    if (!du_conv_run (op->weights[source], &conv, context->scratch + op->own_scratch, error))
      return FALSE;
  }
  return backward_data (context, op, 0, gradient, args->gradient_input, args->accumulate_input,
             context->scratch, error)
         && backward_data (context, op, 1, gradient, args->gradient_skip, args->accumulate_skip,
             context->scratch, error);
}

static gboolean
backward_up (DuContext *context, DuOp *op, const DuBackward *args, GError **error)
{
  char *gradient = context->scratch, *spare = gradient + aligned (op->elements * type_size (context));
  float *parameters = du_cpu_f32 (args->gradient_parameters);
  const DuConvArguments conv
      = { .source = args->input->data, .destination = gradient, .weights = (float *) spare };

  context->loops->unshuffle (&op->extent, args->gradient_output->data, gradient, parameters + op->at.bias,
      partials (context, op));
  if (!du_conv_run (op->weights[0], &conv, context->scratch + op->own_scratch, error))
    return FALSE;
  transpose_up (op, (float *) spare, parameters + op->at.weight, TRUE);
  return backward_data (context, op, 0, gradient, args->gradient_input, args->accumulate_input, spare, error);
}

static void
backward_head (DuContext *context, DuOp *op, const DuBackward *args)
{
  float *parameters = du_cpu_f32 (args->gradient_parameters);
  const DuHeadBackward head = { op->shape.head, op->scale, args->input->data, du_cpu_f32 (args->output),
    du_cpu_f32 (args->gradient_output), args->gradient_input ? args->gradient_input->data : NULL,
    args->accumulate_input, parameters + op->at.weight, parameters + op->at.bias };

  context->loops->head_backward (&op->extent, &head, partials (context, op));
}

static gboolean
onednn_backward (DuContext *context, DuOp *op, const DuBackward *args, GError **error)
{
  enter (context);
  switch (op->shape.kind) {
  case DU_ROW_CONV:
    return backward_conv (context, op, args, error);
  case DU_ROW_UP:
    return backward_up (context, op, args, error);
  case DU_ROW_POOL:
    if (args->gradient_input)
      context->loops->pool_backward (&op->extent, args->gradient_output->data, op->positions,
          args->gradient_input->data, args->accumulate_input);
    return TRUE;
  case DU_ROW_HEAD:
    backward_head (context, op, args);
  }
  return TRUE;
}

const DuBackend du_backend_onednn = {
  .name = "onednn",
  .open = onednn_open,
  .close = onednn_close,
  .device = onednn_device,
  .buffer_new = du_cpu_buffer_new,
  .buffer_free = du_cpu_buffer_free,
  .upload = du_cpu_upload,
  .download = du_cpu_download,
  .prepare = onednn_prepare,
  .op_free = onednn_op_free,
  .load = onednn_load,
  .forward = onednn_forward,
  .backward = onednn_backward,
  .loss = du_cpu_loss,
  .norm = du_cpu_norm,
  .results = du_cpu_results,
  .adam = du_cpu_adam,
  .blend = du_cpu_blend,
  .pictures_new = du_cpu_pictures_new,
  .pictures_free = du_cpu_pictures_free,
  .pictures_draw = du_cpu_pictures_draw,
};

/* One training step: forward, loss, backward, Adam, running statistics, average of the parameters.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network.h"

#include <float.h>
#include <math.h>

enum
{
  KEPT_NETWORKS = 2, /* of each mode: an epoch's batches, and its last, smaller one */
};

struct _DuTrainer
{
  DuTrainerOptions options;
  gsize n_parameters, n_trainable, n_statistics;
  const DuBackend *backend;
  DuContext *context;
  DuType type;
  DuNetworkCache networks;
  DuBuffer *parameters, *gradient, *moment1, *moment2;
  DuBuffer *ema;        /* NULL without an average */
  DuBuffer *statistics; /* of the last batch; NULL without batch normalisation */
  guint64 step;
  /* The blocks' content, for du_network_load: numbers from one row, so that no two contents share one. */
  guint64 next_version, parameters_version, ema_version;

  DuPictures *pictures; /* to make batches of, or NULL */
  DuPictureSet set;     /* their numbers and size, without pictures and blurs */

  /* Precise BN under way: sums over the batches, NULL otherwise. */
  double *bn_sums;
  guint bn_batches;
  gboolean bn_ema;
};

void
du_trainer_options_init (DuTrainerOptions *options)
{
  *options = (DuTrainerOptions){
    .device = -1,
    .loss = DU_LOSS_MSE,
    .loss_epsilon = 1e-4,
    .beta1 = 0.9,
    .beta2 = 0.999,
    .epsilon = 1e-7,
    .bn_momentum = 0.99,
  };
  du_config_init (&options->config);
}

static gboolean
check_range (const char *name, double value, double lowest, double below, GError **error)
{
  if (value >= lowest && value < below) /* not so for NaN */
    return TRUE;
  if (isfinite (below))
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "%s %g is out of range: give a number of at least %g and below %g", name, value, lowest, below);
  else
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "%s %g is out of range: give a finite number of at least %g", name, value, lowest);
  return FALSE;
}

static gboolean
check_options (const DuTrainerOptions *options, GError **error)
{
  if (!du_config_check (&options->config, error))
    return FALSE;
  if ((guint) options->loss > DU_LOSS_LOG_MSE) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "loss %d is unknown", options->loss);
    return FALSE;
  }
  return check_range ("loss_epsilon", options->loss_epsilon, 0, INFINITY, error)
         && check_range ("beta1", options->beta1, 0, 1, error)
         && check_range ("beta2", options->beta2, 0, 1, error)
         /* A parameter that never had a gradient is divided by no more than this. */
         && check_range ("epsilon", options->epsilon, FLT_MIN, INFINITY, error)
         && check_range ("clip_norm", options->clip_norm, 0, INFINITY, error)
         && check_range ("bn_momentum", options->bn_momentum, 0, 1, error)
         && check_range ("ema_decay", options->ema_decay, 0, 1, error);
}

gboolean
du_trainer_memory (const DuTrainerOptions *options, int n, int height, int width, DuTrainerMemory *memory,
    GError **error)
{
  const gboolean half = options->precision == DU_PRECISION_BF16 || options->precision == DU_PRECISION_F16;
  DuTrainerMemory sum = { 0 };
  gsize all, trainable;

  if (!check_options (options, error)
      || !du_network_training_memory (&options->config, half ? DU_TYPE_BF16 : DU_TYPE_F32, n, height, width,
          &sum, error))
    return FALSE;
  all = du_config_n_parameters (&options->config);
  trainable = du_config_n_trainable (&options->config);
  /* Parameters, gradient, two moments, batch statistics, average; packed for forward and backward. */
  sum.parameters = (all + 3 * trainable + (all - trainable) + (options->ema_decay > 0 ? all : 0)) * sizeof (float)
                   + 2 * all * (half ? sizeof (guint16) : sizeof (float));
  *memory = sum;
  return TRUE;
}

static gboolean
upload_zeros (DuTrainer *trainer, DuBuffer *buffer, gsize count, GError **error)
{
  g_autofree float *zeros = g_try_new0 (float, count);

  if (!zeros) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "no memory for Adam's %" G_GSIZE_FORMAT " moments", count);
    return FALSE;
  }
  return trainer->backend->upload (trainer->context, buffer, 0, zeros, count, error);
}

DuTrainer *
du_trainer_new (const DuTrainerOptions *options, const float *parameters, GError **error)
{
  DuTrainer *trainer;
  g_autofree char *note = NULL;
  gboolean ok;

  if (!check_options (options, error))
    return NULL;
  trainer = g_new0 (DuTrainer, 1);
  trainer->options = *options;
  trainer->n_parameters = du_config_n_parameters (&options->config);
  trainer->n_trainable = du_config_n_trainable (&options->config);
  trainer->n_statistics = trainer->n_parameters - trainer->n_trainable;
  trainer->parameters_version = 1;
  trainer->ema_version = 2;
  trainer->next_version = 3;
  trainer->backend = du_backend_open (options->backend, options->precision, options->threads, options->device,
      NULL, TRUE, &trainer->context, &trainer->type, &note, error);
  ok = trainer->backend != NULL;
  if (ok) {
    const DuBackend *backend = trainer->backend;
    const struct
    {
      DuBuffer **buffer;
      gsize count;
    } blocks[] = {
      { &trainer->parameters, trainer->n_parameters },
      { &trainer->gradient, trainer->n_trainable },
      { &trainer->moment1, trainer->n_trainable },
      { &trainer->moment2, trainer->n_trainable },
      { &trainer->ema, options->ema_decay > 0 ? trainer->n_parameters : 0 },
      { &trainer->statistics, trainer->n_statistics },
    };

    du_network_cache_init (&trainer->networks, backend, trainer->context, trainer->type, &options->config,
        KEPT_NETWORKS);
    for (guint i = 0; i < G_N_ELEMENTS (blocks) && ok; i++)
      if (blocks[i].count)
        ok = (*blocks[i].buffer = backend->buffer_new (trainer->context, DU_TYPE_F32, blocks[i].count, error))
             != NULL;
    ok = ok
         && backend->upload (trainer->context, trainer->parameters, 0, parameters, trainer->n_parameters,
             error)
         && (!trainer->ema
             || backend->upload (trainer->context, trainer->ema, 0, parameters, trainer->n_parameters, error))
         && upload_zeros (trainer, trainer->moment1, trainer->n_trainable, error)
         && upload_zeros (trainer, trainer->moment2, trainer->n_trainable, error);
  }
  if (!ok)
    g_clear_pointer (&trainer, du_trainer_free);
  return trainer;
}

void
du_trainer_free (DuTrainer *trainer)
{
  if (!trainer)
    return;
  if (trainer->context) {
    const DuBackend *backend = trainer->backend;

    du_network_cache_clear (&trainer->networks);
    if (backend->pictures_free)
      backend->pictures_free (trainer->context, trainer->pictures);
    backend->buffer_free (trainer->context, trainer->parameters);
    backend->buffer_free (trainer->context, trainer->gradient);
    backend->buffer_free (trainer->context, trainer->moment1);
    backend->buffer_free (trainer->context, trainer->moment2);
    backend->buffer_free (trainer->context, trainer->ema);
    backend->buffer_free (trainer->context, trainer->statistics);
    backend->close (trainer->context);
  }
  g_free (trainer->bn_sums);
  g_free (trainer);
}

/* Pictures [n, height, width, 3]. */
typedef struct
{
  int n, height, width;
  const float *input, *target; /* target: NULL where it is not wanted */
  const DuDraw *draws;         /* of the trainer's pictures, instead of these two; or NULL */
} Batch;

/* A network of the mode and of the batch's size that holds the parameters or their average, with the batch as its
 * picture and, in training with target, as its target. */
static DuNetwork *
ready_network (DuTrainer *trainer, DuMode mode, gboolean ema, const Batch *batch, gboolean target, GError **error)
{
  const DuBackend *backend = trainer->backend;
  DuContext *context = trainer->context;
  DuNetwork *network
      = du_network_cache_get (&trainer->networks, mode, batch->n, batch->height, batch->width, error);
  gboolean ok = network
                && du_network_load (network, ema ? trainer->ema : trainer->parameters,
                    ema ? trainer->ema_version : trainer->parameters_version, error);

  if (ok && batch->draws)
    ok = backend->pictures_draw (context, trainer->pictures, batch->n, batch->height, batch->width,
        batch->draws, network->picture, target ? network->target : NULL, error);
  else
    ok = ok && backend->upload (context, network->picture, 0, batch->input, network->n_samples, error)
         && (!target
             || backend->upload (context, network->target, 0, batch->target, network->n_samples, error));
  return ok ? network : NULL;
}

/* ---- pictures ---------------------------------------------------------------------------------------- */

static gboolean
check_set (const DuPictureSet *set, GError **error)
{
  if (set->height < 1 || set->width < 1 || set->height > G_MAXINT / 3 / set->width || !set->n
      || !set->n_blurs) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "%u pictures of %dx%d and %u blurs are no set to train on: give at least one of each", set->n,
        set->width, set->height, set->n_blurs);
    return FALSE;
  }
  for (guint i = 0; i < set->n_blurs; i++) {
    const DuBlur *blur = &set->blurs[i];
    int sum = blur->weights[0];

    for (int k = 1; k <= CLAMP (blur->radius, 0, DU_BLUR_RADIUS_MAX); k++)
      sum += 2 * blur->weights[k];
    if (blur->radius < 0 || blur->radius > DU_BLUR_RADIUS_MAX || sum != 256) {
      g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
          "blur %u, of radius %d, has weights of %d/256: give a radius of 0 to %d and weights of 256/256", i,
          blur->radius, sum, DU_BLUR_RADIUS_MAX);
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
du_trainer_set_pictures (DuTrainer *trainer, const DuPictureSet *set, GError **error)
{
  const DuBackend *backend = trainer->backend;

  if (set && !check_set (set, error))
    return FALSE;
  if (!backend->pictures_new) {
    g_set_error (error, DU_ERROR, DU_ERROR_UNAVAILABLE, "back end %s keeps no pictures", backend->name);
    return FALSE;
  }
  backend->pictures_free (trainer->context, g_steal_pointer (&trainer->pictures));
  if (!set)
    return TRUE;
  trainer->set = *set;
  trainer->set.pictures = NULL;
  trainer->set.blurs = NULL;
  trainer->pictures = backend->pictures_new (trainer->context, set, error);
  return trainer->pictures != NULL;
}

static gboolean
check_draws (const DuTrainer *trainer, int n, int height, int width, const DuDraw *draws, GError **error)
{
  const DuPictureSet *set = &trainer->set;

  if (!trainer->pictures) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "this trainer has no pictures: give it some first");
    return FALSE;
  }
  if (n < 1 || height < 1 || width < 1 || height > set->height || width > set->width) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "no %d crops of %dx%d fit into pictures of %dx%d", n, width,
        height, set->width, set->height);
    return FALSE;
  }
  for (int i = 0; i < n; i++)
    if (draws[i].input >= set->n || draws[i].target >= set->n || draws[i].blur >= set->n_blurs
        || draws[i].top < 0 || draws[i].top > set->height - height || draws[i].left < 0
        || draws[i].left > set->width - width) {
      g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
          "sample %d, pictures %u and %u with blur %u at line %d, column %d, is not within %u pictures of "
          "%dx%d with %u blurs",
          i, draws[i].input, draws[i].target, draws[i].blur, draws[i].top, draws[i].left, set->n, set->width,
          set->height, set->n_blurs);
      return FALSE;
    }
  return TRUE;
}

/* ---- steps ------------------------------------------------------------------------------------------- */

static gboolean
check_no_bn_under_way (const DuTrainer *trainer, GError **error)
{
  if (trainer->bn_sums)
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "running statistics are being recomputed: end that before the next step");
  return trainer->bn_sums == NULL;
}

static gboolean
check_has_ema (const DuTrainer *trainer, gboolean ema, GError **error)
{
  if (ema && !trainer->ema) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "this trainer keeps no average of the parameters: give it an ema_decay above 0");
    return FALSE;
  }
  return TRUE;
}

/* Everything that a step changes is changed here, once nothing can be refused any more. */
static gboolean
update (DuTrainer *trainer, double learning_rate, double scale, GError **error)
{
  const DuBackend *backend = trainer->backend;
  DuContext *context = trainer->context;
  const DuTrainerOptions *options = &trainer->options;
  const DuAdam adam = { learning_rate, options->beta1, options->beta2, options->epsilon, trainer->step + 1,
    scale };

  trainer->step++;
  trainer->parameters_version = trainer->next_version++;
  trainer->ema_version = trainer->next_version++;
  return backend->adam (context, &adam, trainer->n_trainable, trainer->parameters, trainer->gradient,
             trainer->moment1, trainer->moment2, error)
         && (!trainer->statistics
             || backend->blend (context, options->bn_momentum, trainer->parameters, trainer->n_trainable,
                 trainer->statistics, 0, trainer->n_statistics, error))
         && (!trainer->ema
             || backend->blend (context, options->ema_decay, trainer->ema, 0, trainer->parameters, 0,
                 trainer->n_parameters, error));
}

static gboolean
step (DuTrainer *trainer, const Batch *batch, double learning_rate, DuStepResult *result, GError **error)
{
  const DuBackend *backend = trainer->backend;
  const DuTrainerOptions *options = &trainer->options;
  DuContext *context = trainer->context;
  DuNetwork *network;
  double results[] = { 0, 0, 0 }; /* loss, norms of the gradient and of the statistics */
  double norm = NAN, scale = 1;
  gboolean finite;

  if (!check_range ("learning rate", learning_rate, 0, INFINITY, error)
      || !check_no_bn_under_way (trainer, error))
    return FALSE;
  network = ready_network (trainer, DU_MODE_TRAINING, FALSE, batch, TRUE, error);
  if (!network || !du_network_forward (network, trainer->statistics, error)
      || !backend->loss (context, options->loss, options->loss_epsilon, batch->n, batch->height, batch->width,
          network->prediction, network->target, network->gradient, 0, error)
      || !du_network_backward (network, trainer->gradient, error)
      || !backend->norm (context, trainer->gradient, trainer->n_trainable, 1, error)
      || (trainer->statistics
          && !backend->norm (context, trainer->statistics, trainer->n_statistics, 2, error))
      || !backend->results (context, results, trainer->statistics ? 3 : 2, error))
    return FALSE;
  finite = isfinite (results[0]) && isfinite (results[2]);
  if (finite) {
    norm = results[1];
    if (options->clip_norm > 0 && norm > options->clip_norm)
      scale = options->clip_norm / norm;
    /* A gradient whose square overflows would leave Adam's second moment infinite for good. */
    finite = isfinite (norm) && norm * scale * norm * scale <= G_MAXFLOAT;
  }
  if (finite && !update (trainer, learning_rate, scale, error))
    return FALSE;
  *result = (DuStepResult){ results[0], norm, !finite };
  return TRUE;
}

gboolean
du_trainer_step (DuTrainer *trainer, int n, int height, int width, const float *input, const float *target,
    double learning_rate, DuStepResult *result, GError **error)
{
  const Batch batch = { n, height, width, input, target, NULL };

  return step (trainer, &batch, learning_rate, result, error);
}

gboolean
du_trainer_step_drawn (DuTrainer *trainer, int n, int height, int width, const DuDraw *draws,
    double learning_rate, DuStepResult *result, GError **error)
{
  const Batch batch = { n, height, width, NULL, NULL, draws };

  return check_draws (trainer, n, height, width, draws, error)
         && step (trainer, &batch, learning_rate, result, error);
}

gboolean
du_trainer_predict (DuTrainer *trainer, gboolean ema, int n, int height, int width, const float *input,
    float *output, GError **error)
{
  const Batch batch = { n, height, width, input, NULL, NULL };
  DuNetwork *network;

  if (!check_has_ema (trainer, ema, error))
    return FALSE;
  network = ready_network (trainer, DU_MODE_INFERENCE, ema, &batch, FALSE, error);
  return network && du_network_forward (network, NULL, error)
         && trainer->backend->download (trainer->context, network->prediction, 0, output, network->n_samples,
             error);
}

gboolean
du_trainer_bn_begin (DuTrainer *trainer, gboolean ema, GError **error)
{
  if (!check_has_ema (trainer, ema, error))
    return FALSE;
  g_free (trainer->bn_sums); /* a recomputation that was broken off */
  trainer->bn_sums = g_new0 (double, MAX (trainer->n_statistics, 1));
  trainer->bn_batches = 0;
  trainer->bn_ema = ema;
  return TRUE;
}

static gboolean
bn_add (DuTrainer *trainer, const Batch *of, GError **error)
{
  g_autofree float *batch = g_new (float, trainer->n_statistics);
  DuNetwork *network;
  gboolean finite = TRUE;

  if (!trainer->bn_sums) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "no recomputation of running statistics was begun");
    return FALSE;
  }
  if (!trainer->statistics) {
    trainer->bn_batches++;
    return TRUE;
  }
  network = ready_network (trainer, DU_MODE_TRAINING, trainer->bn_ema, of, FALSE, error);
  if (!network || !du_network_forward (network, trainer->statistics, error)
      || !trainer->backend->download (trainer->context, trainer->statistics, 0, batch, trainer->n_statistics,
          error))
    return FALSE;
  for (gsize i = 0; i < trainer->n_statistics; i++)
    finite = finite && isfinite (batch[i]);
  if (!finite) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "the statistics of a batch are not finite: look for NaN in the pictures or in the weights");
    return FALSE;
  }
  for (gsize i = 0; i < trainer->n_statistics; i++)
    trainer->bn_sums[i] += batch[i];
  trainer->bn_batches++;
  return TRUE;
}

gboolean
du_trainer_bn_add (DuTrainer *trainer, int n, int height, int width, const float *input, GError **error)
{
  const Batch batch = { n, height, width, input, NULL, NULL };

  return bn_add (trainer, &batch, error);
}

gboolean
du_trainer_bn_add_drawn (DuTrainer *trainer, int n, int height, int width, const DuDraw *draws, GError **error)
{
  const Batch batch = { n, height, width, NULL, NULL, draws };

  return check_draws (trainer, n, height, width, draws, error) && bn_add (trainer, &batch, error);
}

gboolean
du_trainer_bn_end (DuTrainer *trainer, GError **error)
{
  g_autofree double *sums = g_steal_pointer (&trainer->bn_sums);
  g_autofree float *means = g_new (float, trainer->n_statistics);

  if (!sums || !trainer->bn_batches) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "running statistics need at least one batch");
    return FALSE;
  }
  if (!trainer->statistics)
    return TRUE;
  for (gsize i = 0; i < trainer->n_statistics; i++)
    means[i] = (float) (sums[i] / trainer->bn_batches);
  *(trainer->bn_ema ? &trainer->ema_version : &trainer->parameters_version) = trainer->next_version++;
  return trainer->backend->upload (trainer->context, trainer->bn_ema ? trainer->ema : trainer->parameters,
      trainer->n_trainable, means, trainer->n_statistics, error);
}

gboolean
du_trainer_get_state (DuTrainer *trainer, DuTrainerState *state, GError **error)
{
  const struct
  {
    const DuBuffer *buffer;
    float *values;
    gsize count;
  } blocks[] = {
    { trainer->parameters, state->parameters, trainer->n_parameters },
    { trainer->moment1, state->moment1, trainer->n_trainable },
    { trainer->moment2, state->moment2, trainer->n_trainable },
    { trainer->ema, state->ema, trainer->n_parameters },
  };

  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    if (blocks[i].buffer && blocks[i].values
        && !trainer->backend->download (trainer->context, blocks[i].buffer, 0, blocks[i].values,
            blocks[i].count, error))
      return FALSE;
  state->step = trainer->step;
  return TRUE;
}

gboolean
du_trainer_set_state (DuTrainer *trainer, const DuTrainerState *state, GError **error)
{
  const struct
  {
    DuBuffer *buffer;
    const float *values;
    gsize count;
  } blocks[] = {
    { trainer->parameters, state->parameters, trainer->n_parameters },
    { trainer->moment1, state->moment1, trainer->n_trainable },
    { trainer->moment2, state->moment2, trainer->n_trainable },
    { trainer->ema, state->ema, trainer->n_parameters },
  };

  if (!check_no_bn_under_way (trainer, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    if (blocks[i].buffer && !blocks[i].values) {
      g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
          "a state to train on from needs its parameters, both moments and, with ema_decay above 0, the "
          "average of the parameters");
      return FALSE;
    }
  trainer->parameters_version = trainer->next_version++;
  trainer->ema_version = trainer->next_version++;
  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    if (blocks[i].buffer
        && !trainer->backend->upload (trainer->context, blocks[i].buffer, 0, blocks[i].values,
            blocks[i].count, error))
      return FALSE;
  trainer->step = state->step;
  return TRUE;
}

const char *
du_trainer_backend (const DuTrainer *trainer)
{
  return trainer->backend->name;
}

const char *
du_trainer_precision (const DuTrainer *trainer)
{
  return du_precision_name (trainer->options.precision, trainer->type);
}

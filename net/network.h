/* What inference and training share: the table's rows prepared on a context for one size, walked forwards
 * and backwards.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_NETWORK_H
#define DU_NETWORK_H

#include "backend.h"

/* A network prepared for one mode and one size of the picture. */
typedef struct
{
  const DuBackend *backend;
  DuContext *context;
  DuConfig config;
  DuMode mode;
  int n, height, width;
  gsize n_samples; /* of the picture, the prediction and the target: n * height * width * 3 */
  /* All float32, n_samples long, owned. The caller fills picture before a forward pass and, in training,
   * gradient (d loss / d prediction) before a backward pass, which uses it up. target is for the caller's
   * loss. The last two are NULL in inference. */
  DuBuffer *picture, *prediction, *gradient, *target;

  DuOp *ops[DU_N_ROWS];
  DuBuffer *outputs[DU_N_ROWS];   /* of each row; several rows may share one */
  DuBuffer *gradients[DU_N_ROWS]; /* d loss / d output of each row, likewise; NULL in inference */
  GPtrArray *buffers;             /* owned: all buffers above, each once */
  guint64 version;                /* of the parameters that the ops hold, 0 = none yet */
} DuNetwork;

/* Takes the parameters in, unless the ops hold this version (never 0) of them already. */
gboolean du_network_load (DuNetwork *network, const DuBuffer *parameters, guint64 version, GError **error);
/* picture -> prediction. statistics: in training, a buffer for the batch statistics of all rows, laid out
 * as the statistics at the end of the parameter block; NULL in inference. */
gboolean du_network_forward (DuNetwork *network, DuBuffer *statistics, GError **error);
/* After a forward pass in training: overwrites parameters, a buffer laid out as the trainable part of the
 * parameter block, with d loss / d parameter. */
gboolean du_network_backward (DuNetwork *network, DuBuffer *parameters, GError **error);

/* What a network in training takes, in the fields activations, gradients and working; the others stay. */
gboolean du_network_training_memory (const DuConfig *config, DuType type, int n, int height, int width,
    DuTrainerMemory *memory, GError **error);

/* The networks prepared on one context, by mode and size; the last used of each mode are kept. */
typedef struct
{
  const DuBackend *backend;
  DuContext *context;
  DuType type; /* of activations */
  DuConfig config;
  guint keep;          /* networks of each mode, at least 1 */
  GPtrArray *networks; /* the last used one first */
} DuNetworkCache;

void du_network_cache_init (DuNetworkCache *cache, const DuBackend *backend, DuContext *context, DuType type,
    const DuConfig *config, guint keep);
/* Frees the networks; the context is not touched. Nothing happens on an all-zero cache. */
void du_network_cache_clear (DuNetworkCache *cache);
/* The network of this mode and size, prepared now if it is not there; owned by the cache and valid until the
 * next call. Where memory runs out, all others are freed and it is tried once more. */
DuNetwork *du_network_cache_get (DuNetworkCache *cache, DuMode mode, int n, int height, int width,
    GError **error);

#endif

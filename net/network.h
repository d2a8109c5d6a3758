/* What inference and training share: the table's rows prepared on a context for one size, walked forwards
 * and backwards.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_NETWORK_H
#define DU_NETWORK_H

#include "backend.h"

/* What the rows of the first level read and write for some of the samples; NULL where they do not. */
typedef struct
{
  DuBuffer *picture, *outputs[DU_N_ROWS];
} DuNetworkTurn;

/* A network prepared for one mode and one size of the picture. */
typedef struct
{
  const DuBackend *backend;
  DuContext *context;
  DuConfig config;
  DuMode mode;
  int n, height, width;
  /* Samples that the rows which read or write the first level, those up to its pool and those behind the last
   * up-conv, are done for at a time: divides n. The results are those of n, as far as the back end makes the same
   * of a sample in whatever batch. */
  int sub;
  DuNetworkTurn *turns; /* [n / sub], owned; NULL where sub is n */
  gsize n_samples; /* of the picture, the prediction and the target: n * height * width * 3 */
  /* All float32, n_samples long, owned. The caller fills picture before a forward pass and, in training,
   * gradient (d loss / d prediction) before a backward pass, which uses it up. target is for the caller's
   * loss. The last two are NULL in inference. */
  DuBuffer *picture, *prediction, *gradient, *target;

  DuOp *ops[DU_N_ROWS];
  DuBuffer *outputs[DU_N_ROWS];   /* of each row; several rows may share one. Of sub samples where only rows of the
                                   * first level read it and sub is below n */
  DuBuffer *gradients[DU_N_ROWS]; /* d loss / d output of each row, likewise; NULL in inference */
  GPtrArray *buffers;             /* owned: all buffers above, each once, then the turns' parts of them */
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
/* Bytes of a network in inference that does the first level for sub samples at a time: its buffers, and what the row
 * that wants most has rewritten for a library. Weights and libraries' own workspaces come on top. */
gboolean du_network_inference_memory (const DuNetworkCache *cache, int n, int sub, int height, int width, gsize *bytes,
    GError **error);
/* Tiles to do at a time, of so many of a frame, where nobody says: no more than the back end's batch and than fits into
 * its memory; and of the upper half of that, where there is one, a number that goes into tiles, so that one network
 * does all. Else the last pass is smaller, and there is memory for both networks. */
int du_network_batch (const DuNetworkCache *cache, int tiles, int height, int width);
/* The network of this mode and size, prepared now if it is not there; owned by the cache and valid until the
 * next call. Where memory runs out, all others are freed and it is tried once more. */
DuNetwork *du_network_cache_get (DuNetworkCache *cache, DuMode mode, int n, int height, int width,
    GError **error);

#endif

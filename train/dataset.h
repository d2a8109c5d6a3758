/* Samples for training and evaluation: (blurred, sharp) pairs of float pictures in [0,1].
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DATASET_H
#define DATASET_H

#include "degrade.h"

typedef struct _Dataset Dataset;

typedef enum
{
  DATASET_AS_IS,   /* a folder with sharp/ and blur/ of equal names and, where it has one, manifest */
  DATASET_ON_THE_FLY, /* sharp material; the blur is drawn anew for each use */
} DatasetKind;

/* What one sample is; owned by the data set. */
typedef struct
{
  const char *name;  /* of the picture, for people */
  int kernel;        /* index into the synth kernels, -1 = unknown, or another degradation */
} DatasetItem;

/* How samples become a batch. Equal requests give equal bytes: everything random is drawn from (seed, epoch,
 * position in the epoch). */
typedef struct
{
  guint64 seed;
  guint epoch;
  gboolean shuffle;
  gboolean augment;      /* flips: left-right, up-down */
  int height, width;     /* crop, multiples of 16; 0 = whole pictures (all must be of one size) */
  const guint *subset;   /* indices of the samples that the order runs over, the caller's for as long as the
                          * order (or its loader) is used; NULL = all of them */
  guint n_subset;
  const Degrade *degrade; /* ON_THE_FLY: what is done to a sample instead of a kernel; the caller's, as subset */
} DatasetOrder;

/* Opens folders of pairs (DATASET_AS_IS) or sharp pictures and videos (files or folders, ON_THE_FLY; a folder
 * of pairs gives its sharp half). Decoded pictures are kept in a nameless file in the user's cache folder. Scans
 * everything first: bad files are listed on stderr and skipped up to max_bad, else an error (EXIT_DATA). */
Dataset *dataset_open (DatasetKind kind, char *const *paths, const SynthOptions *synth, guint max_bad,
    GError **error);
void dataset_free (Dataset *dataset);
guint dataset_size (const Dataset *dataset);
/* A number that the samples share which were made of one file: frames of a video, a picture with several kernels. Of
 * pairs the manifest knows. */
guint dataset_source (const Dataset *dataset, guint sample);
/* Size that all pictures share, 448x256 unless the pairs are others. */
void dataset_picture_size (const Dataset *dataset, int *height, int *width);
/* SHA-256 over names and content, hex: to notice that data changed since a checkpoint. */
const char *dataset_digest (const Dataset *dataset);

/* The files of folders of pairs, sharp ones [0, n), their blurred partners [n, 2n), NULL; g_strfreev. kernel: n
 * indices into synth's kernels, from the manifest, -1 = unknown; g_free. source: NULL, or n numbers as of
 * dataset_source(); g_free. Names are equal with the folders below sharp/ and blur/ that they are in, and without their
 * endings. Pictures without a partner are listed on stderr and counted in n_bad. */
char **dataset_match_pairs (char *const *paths, const SynthOptions *synth, int **kernel, guint **source, guint *n,
    guint *n_bad, GError **error);
/* Of folders of pairs their sharp halves, all else as it is; g_strfreev. */
char **dataset_sharp_paths (char *const *paths);

/* The kernels that the manifests of folders of pairs name, each once, the narrowest first; none where there is no
 * manifest. kernels: g_free. */
gboolean dataset_manifest_kernels (char *const *paths, SynthKernel **kernels, guint *n, GError **error);

/* Fills samples [first, first + n) of the epoch's order, wrapping round at its end: input and target are
 * [n, height, width, 3]. items: n or NULL. Usable from several threads. */
gboolean dataset_batch (Dataset *dataset, const DatasetOrder *order, guint64 first, guint n, float *input,
    float *target, DatasetItem *items, GError **error);

/* The data set as a trainer takes it that makes batches by itself. pictures and blurs: the caller's to g_free();
 * what pictures point to is the data set's. */
void dataset_picture_set (const Dataset *dataset, DuPictureSet *set);
/* The samples of dataset_batch() as draws of that set: made of them, they are the same bits. An order with degrade
 * has none (EXIT_USAGE). */
gboolean dataset_draw (Dataset *dataset, const DatasetOrder *order, guint64 first, guint n, DuDraw *draws,
    GError **error);

/* As dataset_batch(), prepared ahead by worker threads (0: none, each batch when it is asked for), for an epoch's batches
 * of n from sample first, first + n, … in turn. The data set outlives its loaders. */
typedef struct _Loader Loader;
Loader *loader_new (Dataset *dataset, const DatasetOrder *order, guint64 first, guint n, guint batches,
    int threads);
/* The next batch; input, target and items belong to the loader and hold until the next call. */
gboolean loader_next (Loader *loader, const float **input, const float **target, const DatasetItem **items,
    GError **error);
/* Batches that stand ready for the calls to come: none of so many will wait. */
guint loader_ready (Loader *loader);
void loader_free (Loader *loader);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Dataset, dataset_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Loader, loader_free)

#endif

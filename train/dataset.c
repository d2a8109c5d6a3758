/* The data set: all pictures decoded once into a file without a name, which is mapped. The system keeps as much
 * of it in memory as there is room for, so that a set may be larger than memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataset.h"

#include "media.h"
#include "random.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum
{
  DIGEST_BYTES = 32, /* SHA-256 */
};

/* One decoded picture in the store. */
typedef struct
{
  guint file, frame;
  int height, width;
  gint64 at; /* in the store, bytes */
  guint8 digest[DIGEST_BYTES];
} Picture;

typedef struct
{
  char *name;
  guint source;       /* of sharp material its file: frames of one video stand in their order */
  int kernel;         /* AS_IS; -1 = unknown */
  gint64 sharp, blur; /* in the store; blur: AS_IS only */
} Sample;

struct _Dataset
{
  DatasetKind kind;
  SynthKernel *kernels;
  guint n_kernels;
  int height, width;
  GArray *samples; /* Sample */
  char *digest;

  int store;
  guint8 *map; /* of the store's mapped bytes, NULL before */
  gint64 mapped;

  GMutex lock;      /* of what follows, while files are decoded */
  GArray *pictures; /* Picture */
  gint64 stored;
};

/* ---- the store ----------------------------------------------------------------------------- */

static gboolean
store_open (Dataset *dataset, GError **error)
{
  g_autofree char *cache = g_build_filename (g_get_user_cache_dir (), "deblurunet", NULL);
  const char *folders[] = { cache, g_get_tmp_dir () };

  g_mkdir_with_parents (cache, 0700);
  for (guint i = 0; i < G_N_ELEMENTS (folders) && dataset->store < 0; i++) {
    g_autofree char *path = g_build_filename (folders[i], "pictures-XXXXXX", NULL);

    dataset->store = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0600);
    if (dataset->store >= 0)
      unlink (path); /* it goes with the process, however that ends */
  }
  if (dataset->store < 0)
    g_set_error (error, TRAIN_ERROR, EXIT_IO,
        "neither '%s' nor '%s' can be written (%s): set XDG_CACHE_HOME to a folder with room for the decoded "
        "pictures",
        folders[0], folders[1], g_strerror (errno));
  return dataset->store >= 0;
}

/* As MediaFunc, from several threads. */
static gboolean
store_picture (guint file, guint frame, int height, int width, const guint8 *rgb, gpointer data, GError **error)
{
  Dataset *dataset = data;
  Picture picture = { .file = file, .frame = frame, .height = height, .width = width };
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize size = (gsize) height * width * 3, digest_size = DIGEST_BYTES;

  g_checksum_update (checksum, rgb, size);
  g_checksum_get_digest (checksum, picture.digest, &digest_size);
  g_mutex_lock (&dataset->lock);
  picture.at = dataset->stored;
  dataset->stored += size;
  g_array_append_val (dataset->pictures, picture);
  g_mutex_unlock (&dataset->lock);
  for (gsize done = 0; done < size;) {
    gssize n = pwrite (dataset->store, rgb + done, size - done, picture.at + done);

    if (n < 0 && errno != EINTR) {
      g_set_error (error, TRAIN_ERROR, EXIT_IO,
          "decoded pictures cannot be kept: %s: set XDG_CACHE_HOME to a folder with more room", g_strerror (errno));
      return FALSE;
    }
    done += MAX (n, 0);
  }
  return TRUE;
}

static int
compare_pictures (gconstpointer a, gconstpointer b)
{
  const Picture *p = a, *q = b;

  return p->file != q->file ? (p->file < q->file ? -1 : 1) : (p->frame > q->frame) - (p->frame < q->frame);
}

static gboolean
store_map (Dataset *dataset, GError **error)
{
  g_array_sort (dataset->pictures, compare_pictures);
  dataset->map = mmap (NULL, dataset->stored, PROT_READ, MAP_SHARED, dataset->store, 0);
  if (dataset->map == MAP_FAILED) {
    dataset->map = NULL;
    g_set_error (error, TRAIN_ERROR, EXIT_IO, "the decoded pictures cannot be mapped: %s", g_strerror (errno));
    return FALSE;
  }
  dataset->mapped = dataset->stored;
  return TRUE;
}

static void
digest_sample (GChecksum *checksum, const Sample *sample, const Picture *sharp, const Picture *blur)
{
  g_checksum_update (checksum, (const guchar *) sample->name, strlen (sample->name) + 1);
  g_checksum_update (checksum, sharp->digest, DIGEST_BYTES);
  if (blur)
    g_checksum_update (checksum, blur->digest, DIGEST_BYTES);
}

/* ---- sharp material ------------------------------------------------------------------------ */

char **
dataset_sharp_paths (char *const *paths)
{
  GPtrArray *sharp = g_ptr_array_new ();

  for (; *paths; paths++) {
    g_autofree char *half = g_build_filename (*paths, "sharp", NULL);
    g_autofree char *other = g_build_filename (*paths, "blur", NULL);
    gboolean pairs = g_file_test (half, G_FILE_TEST_IS_DIR) && g_file_test (other, G_FILE_TEST_IS_DIR);

    g_ptr_array_add (sharp, pairs ? g_steal_pointer (&half) : g_strdup (*paths));
  }
  g_ptr_array_add (sharp, NULL);
  return (char **) g_ptr_array_free (sharp, FALSE);
}

static gboolean
open_sharp (Dataset *dataset, char *const *paths, const SynthOptions *synth, guint max_bad, GError **error)
{
  MediaOptions options = { .fit = synth->fit, .height = synth->height, .width = synth->width };
  g_auto (GStrv) sharp = dataset_sharp_paths (paths);
  g_auto (GStrv) files = media_list (sharp, error);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree gboolean *bad = NULL;

  if (!files)
    return FALSE;
  bad = g_new0 (gboolean, g_strv_length (files) + 1);
  if (!media_decode_all (files, &options, 0, max_bad, store_picture, dataset, bad, error))
    return FALSE;
  if (dataset->stored && !store_map (dataset, error))
    return FALSE;
  for (guint i = 0; i < dataset->pictures->len; i++) {
    const Picture *picture = &g_array_index (dataset->pictures, Picture, i);
    gboolean alone = (i == 0 || picture[-1].file != picture->file)
                     && (i + 1 == dataset->pictures->len || picture[1].file != picture->file);
    g_autofree char *base = g_path_get_basename (files[picture->file]);
    Sample sample = { .source = picture->file, .kernel = -1, .sharp = picture->at, .blur = -1 };

    if (bad[picture->file])
      continue; /* a video that is damaged further on */
    sample.name = alone ? g_steal_pointer (&base) : g_strdup_printf ("%s#%u", base, picture->frame);
    g_array_append_val (dataset->samples, sample);
    digest_sample (checksum, &sample, picture, NULL);
  }
  if (!dataset->samples->len) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "no picture is good in '%s'%s", paths[0],
        paths[1] ? " and the others" : "");
    return FALSE;
  }
  dataset->height = synth->height;
  dataset->width = synth->width;
  dataset->digest = g_strdup (g_checksum_get_string (checksum));
  return TRUE;
}

/* ---- pairs --------------------------------------------------------------------------------- */

/* Name without folder and ending. */
static char *
stem_of (const char *path)
{
  char *base = g_path_get_basename (path), *dot = strrchr (base, '.');

  if (dot && dot != base)
    *dot = 0;
  return base;
}

/* A pair's name: that of its files below their half's folder, without the ending. */
static char *
pair_name (const char *half, const char *path)
{
  g_autofree char *stem = stem_of (path), *folder = g_path_get_dirname (path);

  /* path begins with half, for it was listed there. */
  return strlen (folder) > strlen (half) ? g_build_filename (folder + strlen (half) + 1, stem, NULL)
                                         : g_steal_pointer (&stem);
}

/* Names of the pairs in PATH/half, in the order of their files, and the file of each by name, which owns the names. */
static GPtrArray *
list_half (const char *path, const char *half, GHashTable *by_name, guint *n_bad, GError **error)
{
  g_autofree char *folder = g_build_filename (path, half, NULL);
  char *const folders[] = { folder, NULL };
  g_auto (GStrv) files = NULL;
  GPtrArray *list;

  if (!g_file_test (folder, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "'%s' is no folder: pairs stand in sharp/ and blur/ under equal names, as 'deblurunet-train synth' writes "
        "them",
        folder);
    return NULL;
  }
  if (!(files = media_list (folders, error)))
    return NULL;
  list = g_ptr_array_new ();
  for (char **file = files; *file; file++) {
    char *name = pair_name (folder, *file);

    if (g_hash_table_contains (by_name, name)) {
      g_printerr ("%s: another picture has its name, but for the ending\n", *file);
      ++*n_bad;
      g_free (name);
      continue;
    }
    g_ptr_array_add (list, name);
    g_hash_table_insert (by_name, name, g_strdup (*file));
  }
  return list;
}

/* The pairs of a folder's manifest, NULL without an error where it has none; json_decref() of root. */
static gboolean
load_manifest (const char *folder, json_t **root, json_t **pairs, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "manifest.json", NULL);
  json_error_t reason;

  *root = *pairs = NULL;
  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  *root = json_load_file (path, JSON_REJECT_DUPLICATES, &reason);
  *pairs = json_object_get (*root, "pairs");
  if (json_is_array (*pairs))
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_DATA, "manifest '%s' is damaged: %s: make the pairs anew, or remove it",
      path, *root ? "it has no list of pairs" : reason.text);
  g_clear_pointer (root, json_decref);
  return FALSE;
}

/* The kernel of a manifest's pair; size 0 where it names none. */
static SynthKernel
kernel_of_pair (const json_t *pair)
{
  json_int_t size = json_integer_value (json_object_get (pair, "size"));

  if (size < 1 || size > SYNTH_KERNEL_SIZE_MAX)
    size = 0;
  return (SynthKernel){ (int) size, json_number_value (json_object_get (pair, "sigma")) };
}

static gboolean
same_kernel (const SynthKernel *a, const SynthKernel *b)
{
  return a->size == b->size && fabs (a->sigma - b->sigma) < 1e-6;
}

/* Of a manifest's pairs the kernels: name -> index into ours + 1, 0 where ours has not the like; and what they were
 * made of: name -> source. */
static gboolean
read_manifest (const SynthOptions *synth, const char *folder, GHashTable *kernels, GHashTable *origins,
    GError **error)
{
  json_t *root, *pairs, *pair;
  size_t i;

  if (!load_manifest (folder, &root, &pairs, error))
    return FALSE;
  json_array_foreach (pairs, i, pair) {
    const char *name = json_string_value (json_object_get (pair, "name"));
    const char *origin = json_string_value (json_object_get (pair, "source"));
    SynthKernel kernel = kernel_of_pair (pair);

    if (name && origin)
      g_hash_table_insert (origins, g_strdup (name), g_strdup (origin));
    for (guint k = 0; name && k < synth->n_kernels; k++)
      if (same_kernel (&synth->kernels[k], &kernel))
        g_hash_table_insert (kernels, g_strdup (name), GUINT_TO_POINTER (k + 1));
  }
  json_decref (root);
  return TRUE;
}

static int
compare_sigma (gconstpointer a, gconstpointer b)
{
  double x = ((const SynthKernel *) a)->sigma, y = ((const SynthKernel *) b)->sigma;

  return x < y ? -1 : x > y;
}

gboolean
dataset_manifest_kernels (char *const *paths, SynthKernel **kernels, guint *n, GError **error)
{
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (SynthKernel));

  for (; *paths; paths++) {
    json_t *root, *pairs, *pair;
    size_t i;

    if (!load_manifest (*paths, &root, &pairs, error))
      return FALSE;
    json_array_foreach (pairs, i, pair) {
      SynthKernel kernel = kernel_of_pair (pair);
      gboolean known = kernel.size == 0;

      for (guint k = 0; k < list->len && !known; k++)
        known = same_kernel (&g_array_index (list, SynthKernel, k), &kernel);
      if (!known)
        g_array_append_val (list, kernel);
    }
    json_decref (root);
  }
  g_array_sort (list, compare_sigma);
  *n = list->len;
  *kernels = (SynthKernel *) g_array_free (g_steal_pointer (&list), FALSE);
  return TRUE;
}

/* A number for the origin in this folder: the same one for the same, another one where it is not known. */
static guint
number_of (GHashTable *known, guint folder, const char *origin, guint *next)
{
  g_autofree char *key = g_strdup_printf ("%u %s", folder, origin ? origin : "");
  gpointer number;

  if (origin && g_hash_table_lookup_extended (known, key, NULL, &number))
    return GPOINTER_TO_UINT (number);
  if (origin)
    g_hash_table_insert (known, g_steal_pointer (&key), GUINT_TO_POINTER (*next));
  return (*next)++;
}

char **
dataset_match_pairs (char *const *paths, const SynthOptions *synth, int **kernel, guint **source, guint *n,
    guint *n_bad, GError **error)
{
  g_autoptr (GPtrArray) sharp = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) blur = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GArray) numbers = g_array_new (FALSE, FALSE, sizeof (guint));
  g_autoptr (GHashTable) known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  guint next = 0;

  for (guint folder = 0; paths[folder]; folder++) {
    const char *path = paths[folder];
    g_autoptr (GHashTable) sharp_by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr (GHashTable) blur_by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr (GHashTable) kernels = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr (GHashTable) origins = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr (GPtrArray) a = NULL, b = NULL;

    if (!(a = list_half (path, "sharp", sharp_by_name, n_bad, error))
        || !(b = list_half (path, "blur", blur_by_name, n_bad, error))
        || !read_manifest (synth, path, kernels, origins, error))
      return NULL;
    for (guint i = 0; i < a->len; i++) {
      const char *name = a->pdata[i], *partner = g_hash_table_lookup (blur_by_name, name);
      const char *file = g_hash_table_lookup (sharp_by_name, name);
      int k = GPOINTER_TO_INT (g_hash_table_lookup (kernels, name)) - 1;
      guint number = number_of (known, folder, g_hash_table_lookup (origins, name), &next);

      if (partner) {
        g_ptr_array_add (sharp, g_strdup (file));
        g_ptr_array_add (blur, g_strdup (partner));
        g_array_append_val (found, k);
        g_array_append_val (numbers, number);
      } else {
        g_printerr ("%s: has no partner in blur/\n", file);
        ++*n_bad;
      }
    }
    for (guint i = 0; i < b->len; i++)
      if (!g_hash_table_contains (sharp_by_name, b->pdata[i])) {
        g_printerr ("%s: has no partner in sharp/\n", (char *) g_hash_table_lookup (blur_by_name, b->pdata[i]));
        ++*n_bad;
      }
  }
  *n = sharp->len;
  *kernel = (int *) g_array_free (g_steal_pointer (&found), FALSE);
  if (source)
    *source = (guint *) g_array_free (g_steal_pointer (&numbers), FALSE);
  g_ptr_array_extend_and_steal (sharp, g_steal_pointer (&blur));
  g_ptr_array_add (sharp, NULL);
  return (char **) g_ptr_array_steal (sharp, NULL);
}

static gboolean
open_pairs (Dataset *dataset, char *const *paths, const SynthOptions *synth, guint max_bad, GError **error)
{
  MediaOptions options = { 0 };
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree const Picture **picture = NULL;
  g_autofree int *kernel = NULL;
  g_autofree guint *source = NULL;
  guint n = 0, n_bad = 0;
  g_auto (GStrv) files = dataset_match_pairs (paths, synth, &kernel, &source, &n, &n_bad, error);

  if (!files
      || !media_decode_all (files, &options, 0, G_MAXUINT, store_picture, dataset, NULL, error)
      || (dataset->stored && !store_map (dataset, error)))
    return FALSE;
  picture = g_new0 (const Picture *, 2 * (gsize) n);
  for (guint i = 0; i < dataset->pictures->len; i++) {
    const Picture *p = &g_array_index (dataset->pictures, Picture, i);

    if (p->frame == 0)
      picture[p->file] = p;
  }
  for (guint i = 0; i < n; i++) {
    const Picture *sharp = picture[i], *blur = picture[n + i];
    Sample sample = { .source = source[i], .kernel = kernel[i] };

    if (!sharp || !blur) {
      n_bad++; /* listed already */
      continue;
    }
    if (!dataset->height) {
      dataset->height = sharp->height;
      dataset->width = sharp->width;
    }
    if (sharp->height != blur->height || sharp->width != blur->width || sharp->height != dataset->height
        || sharp->width != dataset->width) {
      g_printerr ("%s: is %dx%d and its partner in blur/ %dx%d, where the set's first pair is %dx%d\n", files[i],
          sharp->width, sharp->height, blur->width, blur->height, dataset->width, dataset->height);
      n_bad++;
      continue;
    }
    sample.name = stem_of (files[i]);
    sample.sharp = sharp->at;
    sample.blur = blur->at;
    g_array_append_val (dataset->samples, sample);
    digest_sample (checksum, &sample, sharp, blur);
  }
  dataset->digest = g_strdup (g_checksum_get_string (checksum));
  if (n_bad > max_bad || dataset->samples->len == 0) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "%u pairs are good and %u bad, listed above, where %u may be: mend or remove them, or raise --max-bad",
        dataset->samples->len, n_bad, max_bad);
    return FALSE;
  }
  return TRUE;
}

/* ---- the face ------------------------------------------------------------------------------ */

static void
clear_sample (gpointer data)
{
  g_free (((Sample *) data)->name);
}

Dataset *
dataset_open (DatasetKind kind, char *const *paths, const SynthOptions *synth, guint max_bad, GError **error)
{
  g_autoptr (Dataset) dataset = g_new0 (Dataset, 1);

  dataset->kind = kind;
  dataset->store = -1;
  dataset->kernels = g_memdup2 (synth->kernels, synth->n_kernels * sizeof *synth->kernels);
  dataset->n_kernels = synth->n_kernels;
  dataset->samples = g_array_new (FALSE, FALSE, sizeof (Sample));
  g_array_set_clear_func (dataset->samples, clear_sample);
  dataset->pictures = g_array_new (FALSE, FALSE, sizeof (Picture));
  g_mutex_init (&dataset->lock);
  if (!store_open (dataset, error)
      || !(kind == DATASET_AS_IS ? open_pairs (dataset, paths, synth, max_bad, error)
                                 : open_sharp (dataset, paths, synth, max_bad, error)))
    return NULL;
  g_clear_pointer (&dataset->pictures, g_array_unref);
  return g_steal_pointer (&dataset);
}

void
dataset_free (Dataset *dataset)
{
  if (!dataset)
    return;
  if (dataset->map)
    munmap (dataset->map, dataset->mapped);
  if (dataset->store >= 0)
    close (dataset->store);
  g_clear_pointer (&dataset->pictures, g_array_unref);
  g_array_unref (dataset->samples);
  g_mutex_clear (&dataset->lock);
  g_free (dataset->kernels);
  g_free (dataset->digest);
  g_free (dataset);
}

guint
dataset_size (const Dataset *dataset)
{
  return dataset->samples->len;
}

guint
dataset_source (const Dataset *dataset, guint sample)
{
  return g_array_index (dataset->samples, Sample, sample).source;
}

void
dataset_picture_size (const Dataset *dataset, int *height, int *width)
{
  *height = dataset->height;
  *width = dataset->width;
}

const char *
dataset_digest (const Dataset *dataset)
{
  return dataset->digest;
}

/* ---- batches ------------------------------------------------------------------------------- */

/* to [height, width, 3] floats in [0,1] of rows that are stride bytes apart, flipped as asked. */
static void
to_float (const guint8 *from, gsize stride, int height, int width, gboolean flip_x, gboolean flip_y, float *to)
{
  for (int y = 0; y < height; y++) {
    const guint8 *row = from + (flip_y ? height - 1 - y : y) * stride;

    if (flip_x)
      for (int x = 0; x < width; x++)
        for (int c = 0; c < 3; c++)
          to[3 * x + c] = row[3 * (width - 1 - x) + c] / 255.f;
    else
      for (int i = 0; i < 3 * width; i++)
        to[i] = row[i] / 255.f;
    to += 3 * width;
  }
}

/* The epoch's order of n samples (Fisher and Yates's shuffle), or NULL as they stand. */
static guint *
permutation (const DatasetOrder *order, guint n)
{
  guint *list = NULL;
  Random random;

  if (!order->shuffle)
    return NULL;
  list = g_new (guint, n);
  random_init (&random, order->seed, order->epoch, G_MAXUINT64);
  for (guint i = 0; i < n; i++) {
    guint j = random_below (&random, i + 1);

    list[i] = list[j];
    list[j] = i;
  }
  return list;
}

/* As degradation_apply() with what is drawn for a sample; its neighbours in a video are the clip. */
static gboolean
degrade (const Dataset *dataset, const Degrade *recipe, guint index, Random *random, int top, int left, int height,
    int width, guint8 *to, guint8 *target, GError **error)
{
  const Sample *samples = (const Sample *) dataset->samples->data;
  const guint8 *clip[DEGRADE_MAX_FRAMES];
  DegradePicture picture = { dataset->height, dataset->width, dataset->map + samples[index].sharp, NULL };
  guint before = 0, after = 0;
  Degradation drawn;

  degrade_draw (recipe, -1, random, &drawn);
  while (before < DEGRADE_MAX_FRAMES && before < index && samples[index - before - 1].source == samples[index].source)
    before++;
  while (after < DEGRADE_MAX_FRAMES && index + after + 1 < dataset->samples->len
         && samples[index + after + 1].source == samples[index].source)
    after++;
  if (degradation_fit_clip (&drawn, before, after)) {
    for (int i = 0; i < drawn.frames; i++)
      clip[i] = dataset->map + samples[index + (guint) i - (guint) drawn.kept].sharp;
    picture.clip = clip;
  }
  return degradation_apply (&drawn, &picture, top, left, height, width, to, target, error);
}

/* What is drawn of one sample; random goes on for what else it takes. */
typedef struct
{
  guint index, kernel, top, left, flips; /* flips: 1 left-right, 2 up-down */
  Random random;
} Drawn;

/* Size of the crops; list: permutation(). */
static gboolean
begin_draws (const Dataset *dataset, const DatasetOrder *order, int *height, int *width, guint *size, guint **list,
    GError **error)
{
  *height = order->height ? order->height : dataset->height;
  *width = order->width ? order->width : dataset->width;
  *size = order->subset ? order->n_subset : dataset->samples->len;
  if (*size == 0 || *height < 1 || *width < 1 || *height > dataset->height || *width > dataset->width) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "no crop of %dx%d (height x width) fits %u pictures of %dx%d",
        *height, *width, *size, dataset->height, dataset->width);
    return FALSE;
  }
  *list = permutation (order, *size);
  return TRUE;
}

static void
draw (const Dataset *dataset, const DatasetOrder *order, guint64 position, int height, int width, guint size,
    const guint *list, Drawn *drawn)
{
  guint place = position % size, index = list ? list[place] : place;

  drawn->index = order->subset ? order->subset[index] : index;
  random_init (&drawn->random, order->seed, order->epoch, position);
  drawn->kernel = random_below (&drawn->random, dataset->n_kernels);
  drawn->top = random_below (&drawn->random, dataset->height - height + 1);
  drawn->left = random_below (&drawn->random, dataset->width - width + 1);
  drawn->flips = order->augment ? random_below (&drawn->random, 4) : 0;
}

gboolean
dataset_batch (Dataset *dataset, const DatasetOrder *order, guint64 first, guint n, float *input, float *target,
    DatasetItem *items, GError **error)
{
  int height, width;
  guint size;
  gsize stride = 3 * (gsize) dataset->width, count;
  g_autofree guint *list = NULL;
  g_autofree guint8 *blurred = NULL, *reached = NULL;

  if (!begin_draws (dataset, order, &height, &width, &size, &list, error))
    return FALSE;
  count = (gsize) height * width * 3;
  blurred = g_malloc (count);
  reached = order->degrade ? g_malloc (count) : NULL;
  for (guint i = 0; i < n; i++) {
    const Sample *sample;
    Drawn drawn;
    gboolean flip_x, flip_y;
    gsize at;

    draw (dataset, order, first + i, height, width, size, list, &drawn);
    sample = &g_array_index (dataset->samples, Sample, drawn.index);
    flip_x = drawn.flips & 1;
    flip_y = drawn.flips >> 1;
    at = drawn.top * stride + 3 * (gsize) drawn.left;
    if (dataset->kind == DATASET_AS_IS)
      to_float (dataset->map + sample->blur + at, stride, height, width, flip_x, flip_y, input + i * count);
    else {
      const guint8 *sharp = dataset->map + sample->sharp;

      if (!order->degrade)
        synth_blur_part (&dataset->kernels[drawn.kernel], dataset->height, dataset->width, sharp, drawn.top,
            drawn.left, height, width, blurred);
      else if (!degrade (dataset, order->degrade, drawn.index, &drawn.random, drawn.top, drawn.left, height, width,
                   blurred, reached, error))
        return FALSE;
      to_float (blurred, 3 * (gsize) width, height, width, flip_x, flip_y, input + i * count);
    }
    if (dataset->kind == DATASET_ON_THE_FLY && order->degrade)
      to_float (reached, 3 * (gsize) width, height, width, flip_x, flip_y, target + i * count);
    else
      to_float (dataset->map + sample->sharp + at, stride, height, width, flip_x, flip_y, target + i * count);
    if (items)
      items[i] = (DatasetItem){ sample->name, dataset->kind == DATASET_AS_IS ? sample->kernel
                                              : order->degrade               ? -1
                                                                             : (int) drawn.kernel };
  }
  return TRUE;
}

void
dataset_picture_set (const Dataset *dataset, DuPictureSet *set)
{
  gboolean pairs = dataset->kind == DATASET_AS_IS;
  guint n = dataset->samples->len;
  const guint8 **pictures = g_new (const guint8 *, (pairs ? 2 : 1) * (gsize) n);
  DuBlur *blurs = g_new0 (DuBlur, pairs ? 1 : dataset->n_kernels);

  for (guint i = 0; i < n; i++) {
    const Sample *sample = &g_array_index (dataset->samples, Sample, i);

    pictures[i] = dataset->map + sample->sharp;
    if (pairs)
      pictures[n + i] = dataset->map + sample->blur;
  }
  if (pairs)
    blurs[0].weights[0] = 256; /* as it is */
  else
    for (guint i = 0; i < dataset->n_kernels; i++)
      synth_kernel_blur (&dataset->kernels[i], &blurs[i]);
  *set = (DuPictureSet){ dataset->height, dataset->width, pairs ? 2 * n : n, pairs ? 1 : dataset->n_kernels,
    pictures, blurs };
}

gboolean
dataset_draw (Dataset *dataset, const DatasetOrder *order, guint64 first, guint n, DuDraw *draws, GError **error)
{
  gboolean pairs = dataset->kind == DATASET_AS_IS;
  g_autofree guint *list = NULL;
  int height, width;
  guint size;

  if (order->degrade && !pairs) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "samples of a recipe are no crops of a picture");
    return FALSE;
  }
  if (!begin_draws (dataset, order, &height, &width, &size, &list, error))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    Drawn drawn;

    draw (dataset, order, first + i, height, width, size, list, &drawn);
    draws[i] = (DuDraw){
      .input = pairs ? dataset->samples->len + drawn.index : drawn.index,
      .target = drawn.index,
      .blur = pairs ? 0 : drawn.kernel,
      .top = (int) drawn.top,
      .left = (int) drawn.left,
      .flip_x = drawn.flips & 1,
      .flip_y = drawn.flips >> 1,
    };
  }
  return TRUE;
}

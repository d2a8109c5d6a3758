/* Samples: the blur is the whole picture's, orders are permutations, equal requests give equal bytes whatever
 * the threads; pairs on disk, good and bad.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder.h"
#include "dataset.h"
#include "media.h"
#include "random.h"

#include <glib/gstdio.h>
#include <string.h>

enum
{
  PICTURES = 5,
  HEIGHT = 32,
  WIDTH = 48,
  CROP = 16,
  PIXELS = 3 * HEIGHT * WIDTH,
};

static char *folder; /* of the test: sharp pictures in folder/material */
static guint8 pictures[PICTURES][PIXELS];

static char *
in_folder (const char *format, ...) G_GNUC_PRINTF (1, 2);

static char *
in_folder (const char *format, ...)
{
  g_autofree char *name = NULL;
  va_list args;

  va_start (args, format);
  name = g_strdup_vprintf (format, args);
  va_end (args);
  return g_build_filename (folder, name, NULL);
}

static void
write_picture (const char *path, int height, int width, const guint8 *rgb)
{
  g_autofree char *parent = g_path_get_dirname (path);

  g_mkdir_with_parents (parent, 0700);
  g_unlink (path);
  g_assert_true (media_write_png (path, height, width, rgb, NULL));
}

static void
options_init (SynthOptions *options)
{
  synth_options_init (options);
  options->height = HEIGHT;
  options->width = WIDTH;
}

static Dataset *
open_material (void)
{
  g_autofree char *path = in_folder ("material");
  char *paths[] = { path, NULL };
  g_autoptr (GError) error = NULL;
  SynthOptions options;
  Dataset *dataset;

  options_init (&options);
  dataset = dataset_open (DATASET_ON_THE_FLY, paths, &options, 0, &error);
  g_assert_no_error (error);
  return dataset;
}

/* Where the crop (as 8-bit values, flipped) is in a picture: its place, or FALSE. */
static gboolean
find (const guint8 *picture, const float *crop, int flips, int *top, int *left)
{
  for (*top = 0; *top <= HEIGHT - CROP; ++*top)
    for (*left = 0; *left <= WIDTH - CROP; ++*left) {
      gboolean same = TRUE;

      for (int y = 0; same && y < CROP; y++)
        for (int x = 0; same && x < CROP; x++)
          for (int c = 0; c < 3; c++) {
            int fy = flips & 2 ? CROP - 1 - y : y, fx = flips & 1 ? CROP - 1 - x : x;

            same = same
                   && crop[(y * CROP + x) * 3 + c]
                          == picture[((*top + fy) * WIDTH + *left + fx) * 3 + c] / 255.f;
          }
      if (same)
        return TRUE;
    }
  return FALSE;
}

/* Each crop is found in its picture, and its input is the same place of the whole picture's blur. */
static void
test_samples (void)
{
  g_autoptr (Dataset) dataset = open_material ();
  DatasetOrder order = { .seed = 3, .epoch = 1, .shuffle = TRUE, .augment = TRUE, .height = CROP, .width = CROP };
  enum { N = 60, COUNT = 3 * CROP * CROP };
  g_autofree float *input = g_new (float, N * COUNT), *target = g_new (float, N * COUNT);
  DatasetItem items[N];
  g_autoptr (GError) error = NULL;
  int kernels[3] = { 0 }, flipped[4] = { 0 }, height, width;

  g_assert_cmpuint (dataset_size (dataset), ==, PICTURES);
  dataset_picture_size (dataset, &height, &width);
  g_assert_cmpint (height, ==, HEIGHT);
  g_assert_cmpint (width, ==, WIDTH);
  dataset_batch (dataset, &order, 0, N, input, target, items, &error);
  g_assert_no_error (error);
  for (int i = 0; i < N; i++) {
    int number = items[i].name[1] - '0', flips = 0, top, left, top2, left2;
    guint8 blurred[PIXELS];

    g_assert_cmpint (number, <, PICTURES);
    while (flips < 4 && !find (pictures[number], target + i * COUNT, flips, &top, &left))
      flips++;
    if (flips == 4)
      g_error ("sample %d (%s) is not in its picture", i, items[i].name);
    synth_blur (&synth_paper_kernels[items[i].kernel], HEIGHT, WIDTH, pictures[number], blurred);
    if (!find (blurred, input + i * COUNT, flips, &top2, &left2) || top2 != top || left2 != left)
      g_error ("sample %d (%s at %d,%d, kernel %d) is not the whole picture's blur", i, items[i].name, top, left,
          items[i].kernel);
    kernels[items[i].kernel]++;
    flipped[flips]++;
  }
  for (int i = 0; i < 4; i++)
    if ((i < 3 && kernels[i] < 8) || flipped[i] < 5)
      g_error ("draw %d is seldom: %d, %d", i, i < 3 ? kernels[i] : 0, flipped[i]);
}

/* Whole pictures, in their order. */
static void
test_whole (void)
{
  g_autoptr (Dataset) dataset = open_material ();
  DatasetOrder order = { 0 };
  g_autofree float *input = g_new (float, PIXELS), *target = g_new (float, PIXELS);

  for (guint p = 0; p < 2 * PICTURES; p++) {
    DatasetItem item;

    g_assert_true (dataset_batch (dataset, &order, p, 1, input, target, &item, NULL));
    for (int i = 0; i < PIXELS; i++)
      g_assert_cmpfloat (target[i], ==, pictures[p % PICTURES][i] / 255.f);
  }
}

/* Every epoch has each picture once, in another order; a subset's order runs over the subset. */
static void
test_order (void)
{
  g_autoptr (Dataset) dataset = open_material ();
  float input[3 * CROP * CROP], target[3 * CROP * CROP];
  static const guint subset[] = { 4, 1, 3 };
  g_autoptr (GHashTable) orders = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint64 seed = 0; seed < 3; seed++)
    for (guint epoch = 0; epoch < 10; epoch++)
      for (int part = 0; part < 2; part++) {
        DatasetOrder order = { seed, epoch, TRUE, TRUE, CROP, CROP, part ? subset : NULL, part ? 3 : 0 };
        guint n = part ? 3 : PICTURES, seen = 0;
        g_autofree char *text = g_strnfill (n, ' ');

        for (guint p = 0; p < n; p++) {
          DatasetItem item;

          g_assert_true (dataset_batch (dataset, &order, p, 1, input, target, &item, NULL));
          seen |= 1u << (item.name[1] - '0');
          text[p] = item.name[1];
        }
        g_assert_cmphex (seen, ==, part ? 1 << 4 | 1 << 1 | 1 << 3 : (1 << PICTURES) - 1);
        g_hash_table_add (orders, g_steal_pointer (&text));
      }
  g_assert_cmpuint (g_hash_table_size (orders), >, 20);
}

/* The loader gives what dataset_batch() gives, for any number of threads, from any place; it may be left at any
 * time. Batches larger than the set wrap round. */
static void
test_loader (void)
{
  g_autoptr (Dataset) dataset = open_material ();
  DatasetOrder order = { 9, 2, TRUE, TRUE, CROP, CROP };
  enum { N = 8, BATCHES = 12, COUNT = N * 3 * CROP * CROP };
  g_autofree float *input = g_new (float, COUNT), *target = g_new (float, COUNT);

  for (int threads = 0; threads < 5; threads++)
    for (guint first = 0; first < 30; first += 13)
      for (guint leave = 0; leave <= BATCHES; leave += 4) {
        g_autoptr (Loader) loader = loader_new (dataset, &order, first, N, BATCHES, threads);
        const float *a, *b;
        const DatasetItem *items;
        g_autoptr (GError) error = NULL;

        for (guint batch = 0; batch < leave; batch++) {
          DatasetItem own[N];

          loader_next (loader, &a, &b, &items, &error);
          g_assert_no_error (error);
          g_assert_true (dataset_batch (dataset, &order, first + batch * N, N, input, target, own, NULL));
          g_assert_cmpmem (a, COUNT * sizeof *a, input, COUNT * sizeof *input);
          g_assert_cmpmem (b, COUNT * sizeof *b, target, COUNT * sizeof *target);
          for (int i = 0; i < N; i++) {
            g_assert_cmpstr (items[i].name, ==, own[i].name);
            g_assert_cmpint (items[i].kernel, ==, own[i].kernel);
          }
        }
        if (leave == BATCHES)
          g_assert_false (loader_next (loader, &a, &b, &items, NULL));
      }
}

/* The threads prepare batches that nobody has asked for, as many as the ring holds: where a step takes longer than a
 * batch does, no step waits. */
static void
test_loader_ahead (void)
{
  enum
  {
    N = 2,
    BATCHES = 20,
  };
  g_autoptr (Dataset) dataset = open_material ();
  const DatasetOrder order = { .seed = 2, .shuffle = TRUE, .height = CROP, .width = CROP };

  for (int threads = 0; threads <= 4; threads = threads ? 2 * threads : 1) {
    g_autoptr (Loader) loader = loader_new (dataset, &order, 0, N, BATCHES, threads);
    guint ahead = threads ? (guint) threads + 1 : 0;

    for (guint batch = 0; batch < BATCHES; batch++) {
      const float *input, *target;
      const DatasetItem *items;
      guint expected = MIN (ahead, BATCHES - 1 - batch);

      g_assert_true (loader_next (loader, &input, &target, &items, NULL));
      while (loader_ready (loader) < expected) /* the step */
        g_usleep (100);
      g_test_message ("%d threads, batch %u", threads, batch);
      g_assert_cmpuint (loader_ready (loader), ==, expected);
    }
  }
}

/* A recipe: the loader gives the same again whatever its threads; without 4:2:0 the target is the picture's. */
static void
test_degrade (void)
{
  g_autoptr (Dataset) dataset = open_material ();
  g_autoptr (Degrade) degrade
      = degrade_parse ("blur=7:1 > noise=gauss:3 ; none ; 2 jpeg=quality:50 ; 2 yuv420", NULL);
  DatasetOrder order = { 9, 2, TRUE, TRUE, CROP, CROP, .degrade = degrade };
  enum { N = 8, BATCHES = 6, COUNT = 3 * CROP * CROP };
  g_autofree float *input = g_new (float, N * COUNT), *target = g_new (float, N * COUNT);
  guint whole = 0, equal = 0;

  g_assert_nonnull (degrade);
  for (int threads = 0; threads < 4; threads++) {
    g_autoptr (Loader) loader = loader_new (dataset, &order, 3, N, BATCHES, threads);
    const float *a, *b;
    const DatasetItem *items;
    g_autoptr (GError) error = NULL;

    for (guint batch = 0; batch < BATCHES; batch++) {
      loader_next (loader, &a, &b, &items, &error);
      g_assert_no_error (error);
      g_assert_true (dataset_batch (dataset, &order, 3 + batch * N, N, input, target, NULL, NULL));
      g_assert_cmpmem (a, N * COUNT * sizeof *a, input, N * COUNT * sizeof *input);
      g_assert_cmpmem (b, N * COUNT * sizeof *b, target, N * COUNT * sizeof *target);
      for (int i = 0; threads == 0 && i < N; i++) {
        int number = items[i].name[1] - '0', flips = 0, top, left;

        g_assert_cmpint (items[i].kernel, ==, -1);
        equal += memcmp (input + i * COUNT, target + i * COUNT, COUNT * sizeof *input) == 0;
        while (flips < 4 && !find (pictures[number], target + i * COUNT, flips, &top, &left))
          flips++;
        whole += flips < 4;
      }
    }
  }
  /* A third has no 4:2:0; none and 4:2:0 alone, half of all, are equal to their targets. */
  if (whole < 8 || whole > 26 || equal < 14 || equal > 36)
    g_error ("%u of %u targets are the pictures', %u equal the input", whole, N * BATCHES, equal);
}

/* A video's frames: a sequence is those round the sample's, of the same file alone. */
static void
test_clip (void)
{
  g_autofree char *video = g_test_build_filename (G_TEST_DIST, "data", "pictures", "video.mkv", NULL);
  g_autofree char *still = in_folder ("material/p0.png"), *last = in_folder ("material/p1.png");
  char *paths[] = { still, video, last, NULL };
  g_autoptr (Degrade) degrade = degrade_parse ("h264=crf:20,gop:3,motion:clip", NULL);
  DatasetOrder plain = { .degrade = NULL }, order = { .seed = 5, .degrade = degrade };
  g_autofree float *input = g_new (float, PIXELS), *target = g_new (float, PIXELS);
  g_autoptr (Dataset) dataset = NULL;
  g_autoptr (GError) error = NULL;
  SynthOptions options;
  guint8 *frames;
  guint n;

  g_assert_nonnull (degrade);
  if (!degrade_check (degrade, &error)) {
    g_test_skip (error->message);
    return;
  }
  options_init (&options);
  dataset = dataset_open (DATASET_ON_THE_FLY, paths, &options, 0, &error);
  g_assert_no_error (error);
  n = dataset_size (dataset);
  g_assert_cmpuint (n, >, 5);
  frames = g_malloc (n * PIXELS);
  for (guint p = 0; p < n; p++) {
    g_assert_true (dataset_batch (dataset, &plain, p, 1, input, target, NULL, NULL));
    for (int i = 0; i < PIXELS; i++)
      frames[p * PIXELS + i] = (guint8) (target[i] * 255 + 0.5f);
  }
  for (guint p = 0; p < n; p++) {
    guint before = p > 0 && p < n - 1 ? p - 1 : 0, after = p > 0 && p < n - 1 ? n - 2 - p : 0;
    const guint8 *clip[3] = { NULL };
    DegradePicture picture = { HEIGHT, WIDTH, frames + p * PIXELS, NULL };
    guint8 expected[PIXELS];
    Degradation drawn;
    Random random;

    g_assert_true (dataset_batch (dataset, &order, p, 1, input, target, NULL, NULL));
    random_init (&random, 5, 0, p); /* kernel, top and left come first */
    for (int i = 0; i < 3; i++)
      random_next (&random);
    degrade_draw (degrade, -1, &random, &drawn);
    g_assert_cmpint (degradation_fit_clip (&drawn, before, after), ==, p > 0 && p < n - 1);
    for (int i = 0; drawn.clip && i < 3; i++)
      clip[i] = frames + (p + (guint) i - (guint) drawn.kept) * PIXELS;
    picture.clip = drawn.clip ? clip : NULL;
    degradation_apply (&drawn, &picture, 0, 0, HEIGHT, WIDTH, expected, NULL, &error);
    g_assert_no_error (error);
    for (int i = 0; i < PIXELS; i++)
      if (input[i] != expected[i] / 255.f)
        g_error ("sample %u of %u differs", p, n);
  }
  g_free (frames);
}

/* Crops that do not fit, no samples. */
static void
test_refused (void)
{
  g_autoptr (Dataset) dataset = open_material ();
  DatasetOrder order = { .height = HEIGHT + 16, .width = CROP };
  float dummy[3];
  g_autoptr (Loader) loader = loader_new (dataset, &order, 0, 1, 3, 2);
  const float *a, *b;
  const DatasetItem *items;
  g_autoptr (GError) error = NULL;

  g_assert_false (dataset_batch (dataset, &order, 0, 1, dummy, dummy, NULL, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_USAGE);
  g_clear_error (&error);
  g_assert_false (loader_next (loader, &a, &b, &items, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_USAGE);
}

/* A folder of pairs, with a manifest for some of them. */
static void
write_pairs (const char *name, guint n)
{
  g_autofree char *manifest = in_folder ("%s/manifest.json", name);

  for (guint i = 0; i < n; i++) {
    g_autofree char *sharp = in_folder ("%s/sharp/p%u.png", name, i);
    g_autofree char *blur = in_folder ("%s/blur/p%u.png", name, i);
    guint8 blurred[PIXELS];

    synth_blur (&synth_paper_kernels[i % 3], HEIGHT, WIDTH, pictures[i], blurred);
    write_picture (sharp, HEIGHT, WIDTH, pictures[i]);
    write_picture (blur, HEIGHT, WIDTH, blurred);
  }
  g_assert_true (g_file_set_contents (manifest,
      "{\"pairs\": [{\"name\": \"p0\", \"size\": 3, \"sigma\": 0.3}, {\"name\": \"p1\", \"size\": 7, \"sigma\": 1},"
      " {\"name\": \"p2\", \"size\": 9, \"sigma\": 2.5}]}",
      -1, NULL));
}

static Dataset *
open_pairs (const char *name, guint max_bad, GError **error)
{
  g_autofree char *path = in_folder ("%s", name);
  char *paths[] = { path, NULL };
  SynthOptions options;

  synth_options_init (&options); /* another size: pairs are taken as they are */
  return dataset_open (DATASET_AS_IS, paths, &options, max_bad, error);
}

static void
test_pairs (void)
{
  DatasetOrder order = { 0 };
  g_autofree float *input = g_new (float, PIXELS), *target = g_new (float, PIXELS);
  static const int kernels[] = { 0, 1, -1, -1 };
  g_autoptr (GError) error = NULL;

  write_pairs ("pairs", 4);
  g_autoptr (Dataset) dataset = open_pairs ("pairs", 0, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (dataset_size (dataset), ==, 4);
  for (guint p = 0; p < 4; p++) {
    guint8 blurred[PIXELS];
    DatasetItem item;

    g_assert_true (dataset_batch (dataset, &order, p, 1, input, target, &item, NULL));
    synth_blur (&synth_paper_kernels[p % 3], HEIGHT, WIDTH, pictures[p], blurred);
    for (int i = 0; i < PIXELS; i++) {
      g_assert_cmpfloat (target[i], ==, pictures[p][i] / 255.f);
      g_assert_cmpfloat (input[i], ==, blurred[i] / 255.f);
    }
    g_assert_cmpint (item.kernel, ==, kernels[p]);
  }
}

/* Pairs of equal names in several folders are not mixed up; of two that differ in their endings alone one is bad. What
 * was made of one source shares a number, where a manifest says so. */
static void
test_nested_pairs (void)
{
  static const char *const names[] = { "a/1", "a/2", "b/1", "2" };
  DatasetOrder order = { 0 };
  g_autofree float *input = g_new (float, PIXELS), *target = g_new (float, PIXELS);
  g_autofree char *twin = in_folder ("nested/blur/2.bmp"), *manifest = in_folder ("nested/manifest.json");
  g_autoptr (GError) error = NULL;
  guint source[G_N_ELEMENTS (names)];

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *sharp = in_folder ("nested/sharp/%s.png", names[i]);
    g_autofree char *blur = in_folder ("nested/blur/%s.png", names[i]);

    write_picture (sharp, HEIGHT, WIDTH, pictures[i]);
    write_picture (blur, HEIGHT, WIDTH, pictures[i]);
  }
  g_assert_true (g_file_set_contents (manifest,
      "{\"pairs\": [{\"name\": \"a/1\", \"source\": \"x\"}, {\"name\": \"b/1\", \"source\": \"x\"},"
      " {\"name\": \"2\", \"source\": \"y\"}]}", -1, NULL));
  g_autoptr (Dataset) dataset = open_pairs ("nested", 0, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (dataset_size (dataset), ==, G_N_ELEMENTS (names));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_assert_true (dataset_batch (dataset, &order, i, 1, input, target, NULL, NULL));
    g_assert_cmpmem (input, PIXELS * sizeof (float), target, PIXELS * sizeof (float));
    source[i] = dataset_source (dataset, i);
  }
  /* In the order of the files: 2, a/1, a/2, b/1. */
  g_assert_cmpuint (source[1], ==, source[3]);
  g_assert_true (source[0] != source[1] && source[0] != source[2] && source[1] != source[2]);

  write_picture (twin, HEIGHT, WIDTH, pictures[0]);
  g_assert_null (open_pairs ("nested", 0, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
}

/* Each kernel of the manifests once, the narrowest first; pairs that name none do not count. */
static void
test_manifest_kernels (void)
{
  static const SynthKernel want[] = { { 3, 0.3 }, { 7, 1 }, { 9, 2.5 } };
  g_autofree char *a = in_folder ("manifests/a"), *b = in_folder ("manifests/b"), *none = in_folder ("manifests/c");
  g_autofree char *first = g_build_filename (a, "manifest.json", NULL);
  g_autofree char *second = g_build_filename (b, "manifest.json", NULL);
  char *paths[] = { a, none, b, NULL };
  g_autofree SynthKernel *kernels = NULL, *nothing = NULL;
  g_autoptr (GError) error = NULL;
  guint n = 99;

  g_assert_cmpint (g_mkdir_with_parents (a, 0777), ==, 0);
  g_assert_cmpint (g_mkdir_with_parents (b, 0777), ==, 0);
  g_assert_true (g_file_set_contents (first,
      "{\"pairs\": [{\"name\": \"p\", \"size\": 9, \"sigma\": 2.5}, {\"name\": \"q\", \"chain\": \"none\"},"
      " {\"name\": \"r\", \"size\": 3, \"sigma\": 0.3}]}",
      -1, NULL));
  g_assert_true (g_file_set_contents (second,
      "{\"pairs\": [{\"name\": \"p\", \"size\": 3, \"sigma\": 0.3}, {\"name\": \"q\", \"size\": 7, \"sigma\": 1},"
      " {\"name\": \"r\", \"size\": 1234567, \"sigma\": 3}]}",
      -1, NULL));
  g_assert_true (dataset_manifest_kernels (paths, &kernels, &n, &error));
  g_assert_cmpuint (n, ==, G_N_ELEMENTS (want));
  for (guint k = 0; k < n; k++) {
    g_assert_cmpint (kernels[k].size, ==, want[k].size);
    g_assert_cmpfloat (kernels[k].sigma, ==, want[k].sigma);
  }
  g_assert_true (dataset_manifest_kernels (&paths[3], &nothing, &n, &error));
  g_assert_cmpuint (n, ==, 0);
  g_assert_true (g_file_set_contents (second, "[]", -1, NULL));
  g_assert_false (dataset_manifest_kernels (paths, &nothing, &n, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
}

/* As sharp material a folder of pairs gives its sharp half only. */
static void
test_sharp_half (void)
{
  g_autofree char *path = in_folder ("half");
  char *paths[] = { path, NULL };
  SynthOptions options;
  g_autoptr (Dataset) dataset = NULL;

  write_pairs ("half", 3);
  options_init (&options);
  dataset = dataset_open (DATASET_ON_THE_FLY, paths, &options, 0, NULL);
  g_assert_nonnull (dataset);
  g_assert_cmpuint (dataset_size (dataset), ==, 3);
}

/* Each kind of bad pair: counted, left out, too many refused. */
static void
test_bad_pairs (void)
{
  g_autofree char *alone = in_folder ("bad/sharp/alone.png"), *widow = in_folder ("bad/blur/widow.png");
  g_autofree char *small = in_folder ("bad/blur/p1.png"), *broken = in_folder ("bad/sharp/p2.png");
  g_autofree char *manifest = in_folder ("bad/manifest.json");
  g_autoptr (GError) error = NULL;

  write_pairs ("bad", 4);
  write_picture (alone, HEIGHT, WIDTH, pictures[0]);
  write_picture (widow, HEIGHT, WIDTH, pictures[0]);
  write_picture (small, HEIGHT / 2, WIDTH, pictures[0]);
  g_unlink (broken);
  g_assert_true (g_file_set_contents (broken, "broken", -1, NULL));

  g_assert_null (open_pairs ("bad", 3, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
  g_clear_error (&error);
  Dataset *dataset = open_pairs ("bad", 4, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (dataset_size (dataset), ==, 2);
  dataset_free (dataset);

  g_assert_true (g_file_set_contents (manifest, "{\"pairs\": 3", -1, NULL));
  g_assert_null (open_pairs ("bad", 9, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
  g_clear_error (&error);
  g_assert_null (open_pairs ("material", 9, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
}

/* The digest follows names and content, and nothing else. */
static void
test_digest (void)
{
  g_autofree char *one = in_folder ("digest/a.png"), *two = in_folder ("digest/b.png"), *path = in_folder ("digest");
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  char *paths[] = { path, NULL };
  SynthOptions options;

  options_init (&options);
  for (int round = 0; round < 6; round++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (Dataset) dataset = NULL;

    if (round == 0)
      write_picture (one, HEIGHT, WIDTH, pictures[0]);
    else if (round == 2)
      write_picture (one, HEIGHT, WIDTH, pictures[1]);
    else if (round == 3)
      g_assert_cmpint (g_rename (one, two), ==, 0);
    else if (round == 4)
      write_picture (one, HEIGHT, WIDTH, pictures[0]);
    dataset = dataset_open (DATASET_ON_THE_FLY, paths, &options, 0, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (strlen (dataset_digest (dataset)), ==, 64);
    /* Rounds 1 and 5 change nothing. */
    g_assert_cmpint (g_hash_table_add (seen, g_strdup (dataset_digest (dataset))), ==, round != 1 && round != 5);
  }
}

static void
test_empty (void)
{
  g_autofree char *path = in_folder ("empty"), *missing = in_folder ("missing.png");
  char *paths[] = { path, NULL }, *no_file[] = { missing, NULL };
  g_autoptr (GError) error = NULL;
  SynthOptions options;

  options_init (&options);
  g_mkdir_with_parents (path, 0700);
  g_assert_null (dataset_open (DATASET_ON_THE_FLY, paths, &options, 9, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
  g_clear_error (&error);
  g_assert_null (dataset_open (DATASET_ON_THE_FLY, no_file, &options, 9, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_DATA);
}

/* Steps on draws are steps on the batches, bit for bit: parameters after some of them, and one with running
 * statistics. */
static void
check_drawn (Dataset *dataset, DatasetKind kind, int side)
{
  enum { N = 4, STEPS = 4 };
  DatasetOrder order = { .seed = 5, .epoch = 2, .shuffle = TRUE, .augment = kind == DATASET_ON_THE_FLY };
  const guint subset[] = { 3, 1, 2 };
  float *parameters[3];
  g_autoptr (GError) error = NULL;
  DuTrainerOptions options;
  DuPictureSet set;
  int height, width;
  gsize count;

  dataset_picture_size (dataset, &height, &width);
  if (side) {
    order.height = order.width = height = width = side;
    order.subset = subset;
    order.n_subset = G_N_ELEMENTS (subset);
  }
  du_trainer_options_init (&options);
  options.config.base_width = 1;
  options.config.head = DU_HEAD_RESIDUAL;
  options.backend = DU_BACKEND_REFERENCE;
  options.threads = 1;
  count = du_config_n_parameters (&options.config);
  dataset_picture_set (dataset, &set);
  for (int way = 0; way < 3; way++) { /* on batches; on draws; on draws of which one is another */
    g_autofree float *start = g_new (float, count);
    g_autofree float *input = g_new (float, N * 3 * height * width), *target = g_new (float, N * 3 * height * width);
    g_autoptr (DuTrainer) trainer = NULL;
    DuTrainerState state = { .parameters = parameters[way] = g_new0 (float, count) };

    du_config_initialise (&options.config, 1, start);
    trainer = du_trainer_new (&options, start, &error);
    g_assert_no_error (error);
    g_assert_true (du_trainer_set_pictures (trainer, &set, &error));
    for (guint i = 0; i < STEPS; i++) {
      DuStepResult result;
      DuDraw draws[N];
      gboolean last = i + 1 == STEPS;

      g_assert_true (dataset_batch (dataset, &order, i * N, N, input, target, NULL, &error));
      g_assert_true (dataset_draw (dataset, &order, i * N, N, draws, &error));
      if (way == 2 && i == 1)
        draws[2].flip_x = !draws[2].flip_x;
      g_assert_true (!last || du_trainer_bn_begin (trainer, FALSE, &error));
      if (way == 0)
        g_assert_true (last ? du_trainer_bn_add (trainer, N, height, width, input, &error)
                            : du_trainer_step (trainer, N, height, width, input, target, 1e-2, &result, &error));
      else
        g_assert_true (last ? du_trainer_bn_add_drawn (trainer, N, height, width, draws, &error)
                            : du_trainer_step_drawn (trainer, N, height, width, draws, 1e-2, &result, &error));
      g_assert_true (!last || du_trainer_bn_end (trainer, &error));
    }
    g_assert_true (du_trainer_get_state (trainer, &state, &error));
  }
  g_assert_cmpmem (parameters[0], count * sizeof (float), parameters[1], count * sizeof (float));
  g_assert_true (memcmp (parameters[0], parameters[2], count * sizeof (float)) != 0);
  for (int way = 0; way < 3; way++)
    g_free (parameters[way]);
  g_free ((gpointer) set.pictures);
  g_free ((gpointer) set.blurs);
}

static void
test_drawn (void)
{
  g_autofree char *path = in_folder ("drawn-pairs");
  char *paths[] = { path, NULL };
  SynthKernel kernels[] = { { 1, 1 }, { 3, 0.3 }, { 7, 1 }, { 11, 1.6 }, { 31, 4 }, { SYNTH_KERNEL_SIZE_MAX, 30 } };
  g_autoptr (Dataset) sharp = NULL, pairs = NULL;
  g_autofree char *material = in_folder ("material");
  char *materials[] = { material, NULL };
  DatasetOrder order = { .degrade = (const Degrade *) &order };
  g_autoptr (GError) error = NULL;
  SynthOptions options;
  DuDraw draw;

  options_init (&options);
  options.kernels = kernels;
  options.n_kernels = G_N_ELEMENTS (kernels);
  sharp = dataset_open (DATASET_ON_THE_FLY, materials, &options, 0, &error);
  g_assert_no_error (error);
  check_drawn (sharp, DATASET_ON_THE_FLY, CROP);
  check_drawn (sharp, DATASET_ON_THE_FLY, 0);
  g_assert_false (dataset_draw (sharp, &order, 0, 1, &draw, &error));
  g_assert_error (error, TRAIN_ERROR, EXIT_USAGE);
  g_clear_error (&error);
  for (int i = 0; i < PICTURES; i++) {
    g_autofree char *a = in_folder ("drawn-pairs/sharp/%d.png", i), *b = in_folder ("drawn-pairs/blur/%d.png", i);

    write_picture (a, HEIGHT, WIDTH, pictures[i]);
    write_picture (b, HEIGHT, WIDTH, pictures[(i + 1) % PICTURES]);
  }
  pairs = dataset_open (DATASET_AS_IS, paths, &options, 0, &error);
  g_assert_no_error (error);
  check_drawn (pairs, DATASET_AS_IS, CROP);
}

int
main (int argc, char **argv)
{
  Random random;
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("dataset-XXXXXX", NULL);
  random_init (&random, 7, 0, 0);
  for (int p = 0; p < PICTURES; p++) {
    g_autofree char *path = in_folder ("material/p%d.png", p);

    for (int i = 0; i < PIXELS; i++)
      pictures[p][i] = random_next (&random);
    write_picture (path, HEIGHT, WIDTH, pictures[p]);
  }
  g_test_add_func ("/dataset/samples", test_samples);
  g_test_add_func ("/dataset/whole", test_whole);
  g_test_add_func ("/dataset/drawn", test_drawn);
  g_test_add_func ("/dataset/order", test_order);
  g_test_add_func ("/dataset/loader", test_loader);
  g_test_add_func ("/dataset/loader-ahead", test_loader_ahead);
  g_test_add_func ("/dataset/degrade", test_degrade);
  g_test_add_func ("/dataset/clip", test_clip);
  g_test_add_func ("/dataset/refused", test_refused);
  g_test_add_func ("/dataset/pairs", test_pairs);
  g_test_add_func ("/dataset/nested-pairs", test_nested_pairs);
  g_test_add_func ("/dataset/manifest-kernels", test_manifest_kernels);
  g_test_add_func ("/dataset/sharp-half", test_sharp_half);
  g_test_add_func ("/dataset/bad-pairs", test_bad_pairs);
  g_test_add_func ("/dataset/digest", test_digest);
  g_test_add_func ("/dataset/empty", test_empty);
  status = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return status;
}

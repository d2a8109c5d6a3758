/* The blur against OpenCV's, parts against the whole picture, kernels by option.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "random.h"
#include "synth.h"

#include <string.h>

static void
test_opencv (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "data", "blur.bin", NULL);
  g_autofree char *data = NULL;
  g_autoptr (GError) error = NULL;
  gsize length, at = 0;
  int cases = 0, exact = 0;

  g_file_get_contents (path, &data, &length, &error);
  g_assert_no_error (error);
  while (at < length) {
    gint32 head[4];

    memcpy (head, data + at, sizeof head);
    at += sizeof head;
    SynthKernel kernel = { head[2], head[3] / 1000. };
    gsize n = (gsize) head[0] * head[1] * 3;
    g_autofree guint8 *to = g_malloc (n);
    int largest = 0;

    synth_blur (&kernel, head[0], head[1], (const guint8 *) data + at, to);
    for (gsize i = 0; i < n; i++)
      largest = MAX (largest, ABS (to[i] - (int) (guint8) data[at + n + i]));
    if (largest > 1)
      g_error ("%dx%d, kernel %d sigma %g: %d off", head[0], head[1], kernel.size, kernel.sigma, largest);
    exact += largest == 0;
    cases++;
    at += 2 * n;
  }
  g_test_message ("%d cases, %d of them equal", cases, exact);
  g_assert_cmpint (cases, ==, 80);
}

/* A part is the whole picture's, at every border, also where the kernel is larger than the picture. */
static void
test_part (void)
{
  static const SynthKernel kernels[] = { { 3, 0.3 }, { 11, 1.6 }, { 41, 9 }, { 1, 1 } };
  Random random;

  random_init (&random, 5, 0, 0);
  for (int trial = 0; trial < 300; trial++) {
    const SynthKernel *kernel = &kernels[random_below (&random, G_N_ELEMENTS (kernels))];
    int h = 1 + random_below (&random, 30), w = 1 + random_below (&random, trial % 8 ? 30 : 300);
    int height = 1 + random_below (&random, h), width = 1 + random_below (&random, w);
    int top = random_below (&random, h - height + 1), left = random_below (&random, w - width + 1);
    g_autofree guint8 *from = g_malloc (h * w * 3), *whole = g_malloc (h * w * 3);
    g_autofree guint8 *part = g_malloc (height * width * 3);

    for (int i = 0; i < h * w * 3; i++)
      from[i] = random_next (&random);
    synth_blur (kernel, h, w, from, whole);
    synth_blur_part (kernel, h, w, from, top, left, height, width, part);
    for (int y = 0; y < height; y++)
      if (memcmp (part + y * width * 3, whole + ((top + y) * w + left) * 3, width * 3))
        g_error ("%dx%d, part %dx%d at %d,%d, kernel %d: row %d differs", h, w, height, width, top, left,
            kernel->size, y);
  }
}

/* Every byte is what it has always been: data sets made earlier, and runs that are resumed, depend on it. */
static void
test_bytes (void)
{
  static const int sizes[][2]
      = { { 1, 1 }, { 1, 200 }, { 2, 3 }, { 40, 128 }, { 33, 129 }, { 20, 384 }, { 17, 517 } };
  static const SynthKernel kernels[]
      = { { 1, 1 }, { 3, 0.3 }, { 7, 1 }, { 11, 1.6 }, { 25, 3.7 }, { 99, 40 } };
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  Random random;

  random_init (&random, 7, 0, 0);
  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++) {
    gsize n = (gsize) sizes[s][0] * sizes[s][1] * 3;
    g_autofree guint8 *from = g_malloc (n), *to = g_malloc (n);

    for (gsize i = 0; i < n; i++) /* black beside white, for the largest sums */
      from[i] = CLAMP ((int) random_below (&random, 512) - 128, 0, 255);
    for (guint k = 0; k < G_N_ELEMENTS (kernels); k++) {
      synth_blur (&kernels[k], sizes[s][0], sizes[s][1], from, to);
      g_checksum_update (sum, to, n);
    }
  }
  g_assert_cmpstr (
      g_checksum_get_string (sum), ==, "b0269953d9cbf74298d146801f4c514dc6883e8d496a3728fe6e456d43ce3f02");
}

static void
test_kernels (void)
{
  static const char *const bad[]
      = { "", "3", "3:", "4:1", "3:0", "3:-1", "3:nan", "3:1,", ",3:1", "101:5", "3:1x", "0:1", "-3:1" };
  g_autofree SynthKernel *kernels = NULL;
  g_autoptr (GError) error = NULL;
  guint n;

  g_assert_true (synth_kernels_parse ("3:0.3,7:1,11:1.6", &kernels, &n, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, SYNTH_N_PAPER_KERNELS);
  for (guint i = 0; i < n; i++) {
    g_assert_cmpint (kernels[i].size, ==, synth_paper_kernels[i].size);
    g_assert_cmpfloat (kernels[i].sigma, ==, synth_paper_kernels[i].sigma);
  }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    SynthKernel *none = NULL;

    if (synth_kernels_parse (bad[i], &none, &n, &error))
      g_error ("kernels '%s' were taken", bad[i]);
    g_assert_error (error, TRAIN_ERROR, EXIT_USAGE);
    g_clear_error (&error);
  }
}

/* Equal keys give equal streams, neighbours others; the draw of three is even. */
static void
test_random (void)
{
  Random a, b;
  int count[3] = { 0 };

  random_init (&a, 1, 2, 3);
  random_init (&b, 1, 2, 3);
  g_assert_cmpuint (random_next (&a), ==, random_next (&b));
  random_init (&b, 1, 3, 2);
  g_assert_cmpuint (random_next (&a), !=, random_next (&b));
  for (guint i = 0; i < 30000; i++) {
    random_init (&a, 9, i, 0);
    count[random_below (&a, 3)]++;
  }
  for (int i = 0; i < 3; i++) /* sigma is 82 */
    g_assert_cmpint (ABS (count[i] - 10000), <, 400);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/synth/opencv", test_opencv);
  g_test_add_func ("/synth/part", test_part);
  g_test_add_func ("/synth/bytes", test_bytes);
  g_test_add_func ("/synth/kernels", test_kernels);
  g_test_add_func ("/synth/random", test_random);
  return g_test_run ();
}

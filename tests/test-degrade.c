/* Degradations: what a recipe may say, kernels against their closed forms, noise against its statistics, the paper's
 * blur to the byte, sequences that stand where the sharp picture stands, equal bytes for equal draws.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder.h"
#include "degrade-filter.h"
#include "degrade.h"

#include <math.h>
#include <string.h>

enum
{
  HEIGHT = 112,
  WIDTH = 144,
  PIXELS = 3 * HEIGHT * WIDTH,
};

static guint8 picture[PIXELS]; /* edges, waves and some grain */

static Degrade *
recipe (const char *text)
{
  g_autoptr (GError) error = NULL;
  Degrade *degrade = degrade_parse (text, &error);

  g_assert_no_error (error);
  return degrade;
}

/* ---- recipes ------------------------------------------------------------------------------- */

static void
test_good (void)
{
  static const struct
  {
    const char *text, *same; /* NULL: the text itself */
    guint chains;
  } rows[] = {
    { "none", NULL, 1 },
    { "blur=3:0.3,7:1,11:1.6", NULL, 1 },
    { "  3   blur=7:1>noise=gauss:2..8;1 none ", "3 blur=7:1 > noise=gauss:2..8 ; 1 none", 2 },
    { "0.5 blur=sigma:0.3..2 > h264=crf:16..30,gop:8 ; 1e2 jpeg=quality:50..95", NULL, 2 },
    { "blur=anisotropic:0.5..2 ; blur=motion:3..9 ; blur=disc:1..3", NULL, 3 },
    { "yuv420 > jpeg=quality:1", NULL, 1 },
    { "noise=poisson:4 > h265=crf:28,preset:fast,motion:clip,pan:0..0.5 > av1=crf:63,gop:1..32", NULL, 1 },
    { "# all of it\nnone ; \n\n 2 vp9=crf:0 # lossless\nblur=1:0.05", "none ; 2 vp9=crf:0 ; blur=1:0.05", 3 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (Degrade) degrade = recipe (rows[i].text), again = recipe (degrade_text (degrade));

    g_assert_cmpstr (degrade_text (degrade), ==, rows[i].same ? rows[i].same : rows[i].text);
    g_assert_cmpstr (degrade_text (again), ==, degrade_text (degrade));
    g_assert_cmpuint (degrade_n_chains (degrade), ==, rows[i].chains);
  }
}

static void
test_bad (void)
{
  static const struct
  {
    const char *text, *named; /* in the message */
  } rows[] = {
    { "", "is empty" },
    { ";none", "chain 1" },
    { "none ; ; none", "chain 2" },
    { "none > blur=7:1", "'none'" },
    { "blur=7:1 > none", "'none'" },
    { "3", "'3'" },
    { "0 none", "weight" },
    { "-1 none", "weight" },
    { "nan none", "weight" },
    { "smear=3", "'smear'" },
    { "blur", "''" },
    { "blur=8:1", "'8:1'" },
    { "blur=sigma", "'sigma'" },
    { "blur=sigma:", "''" },
    { "blur=sigma:0", "'0'" },
    { "blur=sigma:2..1", "'2..1'" },
    { "blur=sigma:1..", "'1..'" },
    { "blur=sigma:1...2", "'1...2'" },
    { "blur=sigma:1,2", "'2'" },
    { "blur=gauss:1", "'gauss:1'" },
    { "noise=sigma:1", "'sigma:1'" },
    { "noise=gauss:-1", "'-1'" },
    { "noise=gauss:inf", "'inf'" },
    { "h264", "crf: is missing" },
    { "h264=", "crf: is missing" },
    { "h264=23", "'23'" },
    { "h264=crf:23.5", "'23.5'" },
    { "h264=crf:99", "'99'" },
    { "h264=gop:8", "crf: is missing" },
    { "h264=crf:23,gop:0", "'0'" },
    { "h264=crf:23,gop:8,gop:8", "'gop:8' comes a second time" },
    { "h264=crf:23,preset:slow", "'preset:slow'" },
    { "jpeg=quality:0", "'0'" },
    { "jpeg=quality:50,gop:2", "'gop:2'" },
    { "yuv420=1", "'yuv420'" },
    { "jpeg=crf:50", "'crf:50'" },
    { "h264=crf:23 >", "''" },
    { "none ; blur=7:1 > blur=7:1 > blur=7:1 > blur=7:1 > blur=7:1 > blur=7:1 > blur=7:1 > blur=7:1 > blur=7:1",
        "stages" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;

    if (degrade_parse (rows[i].text, &error))
      g_error ("'%s' was taken", rows[i].text);
    g_assert_error (error, TRAIN_ERROR, EXIT_USAGE);
    if (!strstr (error->message, rows[i].named))
      g_error ("'%s' is refused without \"%s\": %s", rows[i].text, rows[i].named, error->message);
  }
}

static void
test_file (void)
{
  g_autofree char *folder = g_dir_make_tmp ("degrade-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "recipe", NULL), *key = NULL, *chain = NULL;
  g_autoptr (Degrade) degrade = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_set_contents (path, "# streams\n2 blur=7:1 > h264=crf:23\nnone\n", -1, NULL));
  degrade = recipe (path);
  g_assert_cmpstr (degrade_text (degrade), ==, "2 blur=7:1 > h264=crf:23 ; none");
  chain = degrade_chain_text (degrade, 0);
  g_assert_cmpstr (chain, ==, "blur=7:1 > h264=crf:23");
  key = degrade_key (chain);
  g_assert_cmpstr (key, ==, "blur_7_1_h264_crf_23");
  g_assert_true (g_file_set_contents (path, "none\nsmear=1\n", -1, NULL));
  g_assert_null (degrade_parse (path, &error));
  g_assert_nonnull (strstr (error->message, path));
  remove_tree (folder);
}

/* ---- filters ------------------------------------------------------------------------------- */

static void
expect_kernel (const FilterKernel *kernel, const char *what)
{
  int side = 2 * kernel->radius + 1, sum = 0;
  double x_sum = 0, y_sum = 0;

  for (int y = 0; y < side; y++)
    for (int x = 0; x < side; x++) {
      sum += kernel->weights[y * side + x];
      x_sum += (double) kernel->weights[y * side + x] * (x - kernel->radius);
      y_sum += (double) kernel->weights[y * side + x] * (y - kernel->radius);
    }
  if (sum != FILTER_ONE || fabs (x_sum) > 0.02 * FILTER_ONE || fabs (y_sum) > 0.02 * FILTER_ONE)
    g_error ("%s: sum %d, centre of mass %g %g", what, sum, x_sum / FILTER_ONE, y_sum / FILTER_ONE);
}

/* Standard deviation along a direction, in pixels. */
static double
spread (const FilterKernel *kernel, double angle)
{
  int side = 2 * kernel->radius + 1;
  double sum = 0;

  for (int y = 0; y < side; y++)
    for (int x = 0; x < side; x++) {
      double along = cos (angle) * (x - kernel->radius) + sin (angle) * (y - kernel->radius);

      sum += along * along * kernel->weights[y * side + x] / FILTER_ONE;
    }
  return sqrt (sum);
}

static void
test_kernels (void)
{
  for (double angle = 0; angle < 3; angle += 0.37) {
    g_auto (FilterKernel) gauss = { 0 }, line = { 0 };

    filter_anisotropic (&gauss, 2.5, 1, angle);
    expect_kernel (&gauss, "anisotropic");
    g_assert_cmpfloat_with_epsilon (spread (&gauss, angle), 2.5, 0.05);
    g_assert_cmpfloat_with_epsilon (spread (&gauss, angle + G_PI / 2), 1, 0.05);
    /* An even line of that length; across it only the pixels' own width. */
    filter_motion (&line, 9, angle);
    expect_kernel (&line, "motion");
    g_assert_cmpfloat_with_epsilon (spread (&line, angle), 9 / sqrt (12), 0.1);
    g_assert_cmpfloat (spread (&line, angle + G_PI / 2), <, 0.4);
  }
  for (double radius = 0.5; radius < 5; radius += 0.75) {
    g_auto (FilterKernel) disc = { 0 };

    filter_disc (&disc, radius);
    expect_kernel (&disc, "disc");
    if (radius > 0.8) { /* the centre lies inside: its weight is a pixel's part of the area */
      double centre = disc.weights[disc.radius * (2 * disc.radius + 2)] / (double) FILTER_ONE;

      g_assert_cmpfloat_with_epsilon (centre, 1 / (G_PI * radius * radius), 0.005);
      g_assert_cmpfloat_with_epsilon (spread (&disc, 0), sqrt (radius * radius / 4 + 1 / 12.), 0.05);
    }
  }
  {
    g_auto (FilterKernel) line = { 0 };

    filter_motion (&line, 5, 0); /* five pixels in a row, a fifth each */
    for (int i = 0; i < 49; i++)
      g_assert_cmpint (ABS (line.weights[i] - (i / 7 == 3 && i % 7 > 0 && i % 7 < 6 ? FILTER_ONE / 5 : 0)), <, 60);
  }
}

/* Equal sigmas: OpenCV's blur, of which synth_blur() is known to be. */
static void
test_round (void)
{
  g_autofree guint8 *one = g_malloc (PIXELS), *two = g_malloc (PIXELS);
  g_auto (FilterKernel) kernel = { 0 };
  const SynthKernel paper = { 11, 1.6 };

  filter_anisotropic (&kernel, 1.6, 1.6, 0.4);
  filter_apply (&kernel, HEIGHT, WIDTH, picture, one);
  synth_blur (&paper, HEIGHT, WIDTH, picture, two);
  for (int i = 0; i < PIXELS; i++)
    if (ABS (one[i] - two[i]) > 1)
      g_error ("sample %d: %d, not %d", i, one[i], two[i]);
}

static void
test_noise (void)
{
  enum { N = 200000 };
  static const struct
  {
    int value;
    double sigma;
    gboolean shot;
    double expected;
  } rows[] = {
    { 128, 3, FALSE, 3 }, { 60, 10, FALSE, 10 }, { 128, 0, FALSE, 0 }, { 200, 8, TRUE, 8 * 0.8856 },
    { 60, 8, TRUE, 8 * 0.4851 },
  };
  g_autofree guint8 *samples = g_malloc (N);

  for (guint r = 0; r < G_N_ELEMENTS (rows); r++) {
    double sum = 0, squares = 0, products = 0, variance, expected = rows[r].expected * rows[r].expected;

    memset (samples, rows[r].value, N);
    filter_noise (N, rows[r].sigma, rows[r].shot, 77 + r, samples);
    for (int i = 0; i < N; i++) {
      double off = samples[i] - rows[r].value;

      sum += off;
      squares += off * off;
      products += i ? off * (samples[i - 1] - rows[r].value) : 0;
    }
    variance = squares / N;
    /* Rounding to whole steps adds a variance of 1/12. Bounds are about five standard errors. */
    expected += expected > 0 ? 1 / 12. : 0;
    if (fabs (sum / N) > 0.012 * rows[r].sigma || fabs (variance - expected) > 0.02 * expected
        || fabs (products / N) > 0.012 * expected)
      g_error ("value %d, sigma %g%s: mean %g, variance %g (expected %g), of neighbours %g", rows[r].value,
          rows[r].sigma, rows[r].shot ? " shot" : "", sum / N, variance, expected, products / N);
  }
}

static void
test_shift (void)
{
  enum { SIDE = 20, CUT = 12 };
  guint8 from[SIDE * SIDE * 3], to[CUT * CUT * 3];

  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++)
      for (int c = 0; c < 3; c++)
        from[(y * SIDE + x) * 3 + c] = (guint8) (8 * x + 4 * y + c);
  for (double top = 2; top < 6; top += 0.25)
    for (double left = 2; left < 6; left += 0.5) {
      filter_shift (SIDE, from, top, left, CUT, CUT, to);
      for (int y = 0; y < CUT; y++)
        for (int x = 0; x < CUT; x++) /* a slope is interpolated exactly */
          g_assert_cmpfloat_with_epsilon (to[(y * CUT + x) * 3 + 1], 8 * (x + left) + 4 * (y + top) + 1, 0.51);
    }
}

/* ---- degradations -------------------------------------------------------------------------- */

static void
apply (const Degradation *drawn, int top, int left, int height, int width, guint8 *to, guint8 *target)
{
  g_autoptr (GError) error = NULL;

  degradation_apply (drawn, &(DegradePicture){ HEIGHT, WIDTH, picture, NULL }, top, left, height, width, to, target,
      &error);
  g_assert_no_error (error);
}

/* "blur=" alone is the blur that training without a recipe has, whole or in part. */
static void
test_paper (void)
{
  g_autoptr (Degrade) degrade = recipe ("blur=3:0.3,7:1,11:1.6 ; none");
  g_autofree guint8 *one = g_malloc (PIXELS), *two = g_malloc (PIXELS);
  int seen[4] = { 0 };
  Random random;

  random_init (&random, 4, 0, 0);
  for (int trial = 0; trial < 60; trial++) {
    int height = trial % 5 ? 1 + (int) random_below (&random, HEIGHT) : HEIGHT;
    int width = trial % 5 ? 1 + (int) random_below (&random, WIDTH) : WIDTH;
    int top = (int) random_below (&random, HEIGHT - height + 1), left = (int) random_below (&random, WIDTH - width + 1);
    const SynthKernel nothing = { 1, 1 };
    Degradation drawn;

    degrade_draw (degrade, -1, &random, &drawn);
    apply (&drawn, top, left, height, width, one, NULL);
    synth_blur_part (drawn.n ? &drawn.stage[0].kernel : &nothing, HEIGHT, WIDTH, picture, top, left, height, width,
        two);
    if (memcmp (one, two, 3 * (gsize) height * width) != 0)
      g_error ("trial %d: %dx%d at %d,%d differs", trial, width, height, top, left);
    seen[drawn.n ? drawn.stage[0].kernel.size / 4 : 3]++;
  }
  for (int i = 0; i < 4; i++)
    g_assert_cmpint (seen[i], >, 2);
}

/* Draws are as frequent as their weights, within their ranges, and equal for equal keys. */
static void
test_draws (void)
{
  g_autoptr (Degrade) degrade
      = recipe ("3 blur=sigma:0.5..2 ; none ; 4 noise=gauss:2..8 > h264=crf:16..30,gop:2..5,pan:1..2");
  int count[3] = { 0 }, qualities[31] = { 0 };

  for (guint i = 0; i < 8000; i++) {
    Degradation a, b;
    Random random;

    for (int twice = 0; twice < 2; twice++) {
      random_init (&random, 5, i, 0);
      memset (twice ? &b : &a, twice, sizeof a);
      degrade_draw (degrade, -1, &random, twice ? &b : &a);
    }
    {
      g_autofree char *x = degradation_text (&a), *y = degradation_text (&b);

      g_assert_cmpstr (x, ==, y);
    }
    count[a.n == 0 ? 1 : a.n == 1 ? 0 : 2]++;
    if (a.n == 1)
      g_assert_true (a.stage[0].kernel.sigma >= 0.5 && a.stage[0].kernel.sigma < 2
                     && a.stage[0].kernel.size == 2 * (int) ceil (3 * a.stage[0].kernel.sigma) + 1);
    if (a.n == 2) {
      double speed = hypot (a.pan[0], a.pan[1]);

      g_assert_true (a.stage[0].value >= 2 && a.stage[0].value < 8);
      g_assert_true (a.stage[1].codec.quality >= 16 && a.stage[1].codec.quality <= 30);
      g_assert_true (a.frames >= 2 && a.frames <= 5 && a.kept >= 0 && a.kept < a.frames);
      g_assert_true (speed >= 0.999 && speed <= 2.001);
      qualities[(int) a.stage[1].codec.quality]++;
    } else
      g_assert_cmpint (a.frames, ==, 1);
  }
  for (int i = 0; i < 3; i++) /* the standard error is below 45 */
    g_assert_cmpint (ABS (count[i] - 1000 * (i == 0 ? 3 : i == 1 ? 1 : 4)), <, 225);
  for (int q = 16; q <= 30; q++)
    g_assert_cmpint (qualities[q], >, 4000 / 15 / 2);
}

static gboolean
codecs_are_there (const Degrade *degrade)
{
  g_autoptr (GError) error = NULL;

  if (degrade_check (degrade, &error))
    return TRUE;
  g_test_skip (error->message);
  return FALSE;
}

static double
mean_square (int height, int width, const guint8 *a, int top, int left, const guint8 *b)
{
  double sum = 0;

  for (int y = 0; y < height; y++)
    for (int i = 0; i < 3 * width; i++) {
      double off = a[(top + y) * 3 * WIDTH + 3 * left + i] - b[y * 3 * width + i];

      sum += off * off;
    }
  return sum / (3. * height * width);
}

/* Whatever frame of a pan is taken, it stands where the picture stands; twice applied, it is the same. */
static void
test_sequences (void)
{
  static const char *const texts[] = {
    "h264=crf:16,gop:8,pan:1..3",
    "h264=crf:16,gop:8,pan:1..3,preset:fast",
    "h264=crf:30,gop:1",
    "blur=7:1 > noise=gauss:2 > h264=crf:16,gop:4,pan:0..3 > jpeg=quality:90",
    "jpeg=quality:80",
  };
  enum { CROP = 48 };
  g_autofree guint8 *once = g_malloc (PIXELS), *twice = g_malloc (PIXELS), *target = g_malloc (PIXELS);

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (Degrade) degrade = recipe (texts[i]);
    Random random;

    if (!codecs_are_there (degrade))
      return;
    random_init (&random, 6, i, 0);
    for (int trial = 0; trial < 6; trial++) {
      gboolean whole = trial == 0;
      int height = whole ? HEIGHT : CROP, width = whole ? WIDTH : CROP;
      int top = whole ? 0 : 2 + (int) random_below (&random, HEIGHT - CROP - 3);
      int left = whole ? 0 : 2 + (int) random_below (&random, WIDTH - CROP - 3);
      Degradation drawn;
      double here;

      degrade_draw (degrade, -1, &random, &drawn);
      apply (&drawn, top, left, height, width, once, NULL);
      apply (&drawn, top, left, height, width, twice, target);
      if (memcmp (once, twice, 3 * (gsize) height * width) != 0)
        g_error ("%s, trial %d: not the same twice", texts[i], trial);
      here = mean_square (height, width, picture, top, left, once);
      g_assert_cmpfloat (here, >, 0);
      /* 4:2:0 alone is nearer to the picture than what a codec makes of it. */
      g_assert_cmpfloat (mean_square (height, width, picture, top, left, target), <, here);
      g_assert_cmpfloat (mean_square (height, width, picture, top, left, target), >, 0);
      for (int dy = -2; dy <= 2 && !whole; dy++)
        for (int dx = -2; dx <= 2; dx++)
          if ((dy || dx) && mean_square (height, width, picture, top + dy, left + dx, once) <= here)
            g_error ("%s, trial %d (frame %d of %d, pan %g %g): nearer to the picture at %d,%d", texts[i], trial,
                drawn.kept, drawn.frames, drawn.pan[0], drawn.pan[1], dy, dx);
    }
  }
}

/* A clip's own frames: the picture's place is kept, and frames that are equal to it code better than others. */
static void
test_clip (void)
{
  g_autoptr (Degrade) degrade = recipe ("h264=crf:30,gop:4,motion:clip,preset:fast");
  g_autofree guint8 *other = g_malloc (PIXELS), *one = g_malloc (PIXELS), *two = g_malloc (PIXELS);
  const guint8 *same[4] = { picture, picture, picture, picture }, *cuts[4] = { other, other, other, picture };
  Degradation drawn;
  Random random;

  if (!codecs_are_there (degrade))
    return;
  g_assert_cmpuint (degrade_clip_length (degrade), ==, 4);
  for (int i = 0; i < PIXELS; i++)
    other[i] = 255 - picture[PIXELS - 1 - i];
  random_init (&random, 3, 0, 0);
  degrade_draw (degrade, -1, &random, &drawn);
  g_assert_true (drawn.clip);
  for (int before = 0; before < 6; before++)
    for (int after = 0; after < 6; after++)
      for (int kept = 0; kept < 4; kept++) {
        Degradation placed = drawn;

        placed.kept = kept;
        if (degradation_fit_clip (&placed, before, after) != (before + after >= 3))
          g_error ("%d before and %d after: clip %d", before, after, placed.clip);
        if (placed.clip && (placed.kept > before || 3 - placed.kept > after))
          g_error ("%d before and %d after: frame %d of 4", before, after, placed.kept);
        if (kept <= before && 3 - kept <= after)
          g_assert_cmpint (placed.kept, ==, kept);
      }
  drawn.kept = 3;
  for (int cut = 0; cut < 2; cut++) {
    const DegradePicture from = { HEIGHT, WIDTH, picture, cut ? cuts : same };
    g_autoptr (GError) error = NULL;

    degradation_apply (&drawn, &from, 0, 0, HEIGHT, WIDTH, cut ? two : one, NULL, &error);
    g_assert_no_error (error);
  }
  g_assert_cmpfloat (mean_square (HEIGHT, WIDTH, picture, 0, 0, one), <, 400);
  g_assert_cmpfloat (mean_square (HEIGHT, WIDTH, picture, 0, 0, two), <, 1000);
  if (memcmp (one, two, PIXELS) == 0)
    g_error ("the clip's frames do not count");
}

int
main (int argc, char **argv)
{
  Random random;

  g_test_init (&argc, &argv, NULL);
  random_init (&random, 7, 0, 0);
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++)
      for (int c = 0; c < 3; c++)
        picture[(y * WIDTH + x) * 3 + c] = (guint8) (110 + ((x / 11 + y / 9) % 2 ? 40 : -40)
                                                     + (30 + 5 * c) * sin (x * 0.31) * cos (y * 0.23 + c)
                                                     + random_below (&random, 9));
  g_test_add_func ("/degrade/good", test_good);
  g_test_add_func ("/degrade/bad", test_bad);
  g_test_add_func ("/degrade/file", test_file);
  g_test_add_func ("/degrade/kernels", test_kernels);
  g_test_add_func ("/degrade/round", test_round);
  g_test_add_func ("/degrade/noise", test_noise);
  g_test_add_func ("/degrade/shift", test_shift);
  g_test_add_func ("/degrade/paper", test_paper);
  g_test_add_func ("/degrade/draws", test_draws);
  g_test_add_func ("/degrade/sequences", test_sequences);
  g_test_add_func ("/degrade/clip", test_clip);
  return g_test_run ();
}

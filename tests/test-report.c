/* The pages of fit and eval: escaping, curves of numbers that are none, pictures, and whole pages of tiny
 * runs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder.h"
#include "media.h"
#include "page.h"
#include "picture.h"
#include "triptych.h"

#include <glib/gstdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum
{
  HEIGHT = 32,
  WIDTH = 48,
};

static const char *program;
static char *base;

/* ---- a strict look at a page ------------------------------------------------------------------- */

typedef struct
{
  GString *text; /* of all elements, a line each */
  guint images, plots, scripts;
  gboolean style; /* inside of it */
} Page;

static void
check_number (const char *what, const char *text)
{
  if (strstr (text, "nan") || strstr (text, "inf") || strstr (text, "NAN") || strstr (text, "INF"))
    g_error ("%s: %s", what, text);
}

/* Every number of a drawing's attribute lies inside it. */
static void
check_inside (const char *name, const char *value)
{
  double most = strcmp (name, "y") == 0 || strcmp (name, "cy") == 0 ? PLOT_HEIGHT : PLOT_WIDTH;
  g_auto (GStrv) numbers = g_strsplit_set (value, " ,", -1);

  for (char **number = numbers; *number; number++) {
    char *end;
    double at = g_ascii_strtod (*number, &end);

    if (end == *number || *end || !(at >= -1 && at <= most + 1))
      g_error ("%s=\"%s\": '%s' is outside of the drawing", name, value, *number);
  }
}

static void
on_start (GMarkupParseContext *context, const char *element, const char **names, const char **values,
    gpointer data, GError **error)
{
  static const char *const places[] = { "x", "y", "cx", "cy", "points" };
  Page *page = data;

  (void) context;
  (void) error;
  page->images += strcmp (element, "img") == 0;
  page->plots += strcmp (element, "svg") == 0;
  page->scripts += strcmp (element, "script") == 0;
  page->style = strcmp (element, "style") == 0;
  for (int i = 0; names[i]; i++) {
    check_number (names[i], g_str_has_prefix (values[i], "data:") ? "" : values[i]);
    if (g_strv_contains (
            (const char *const[]){ "src", "href", "xlink:href", "action", "data", NULL }, names[i])
        && !g_str_has_prefix (values[i], "data:image/"))
      g_error ("<%s %s=\"%.100s\"> is outside of the page", element, names[i], values[i]);
    g_assert_false (g_str_has_prefix (names[i], "on"));
    for (guint p = 0; p < G_N_ELEMENTS (places); p++)
      if (strcmp (names[i], places[p]) == 0)
        check_inside (names[i], values[i]);
  }
}

static void
on_text (GMarkupParseContext *context, const char *text, gsize length, gpointer data, GError **error)
{
  Page *page = data;

  (void) context;
  (void) error;
  if (page->style) {
    g_assert_null (g_strstr_len (text, (gssize) length, "url("));
    g_assert_null (g_strstr_len (text, (gssize) length, "@import"));
    page->style = FALSE;
    return;
  }
  if (!length || strspn (text, "\n") == length)
    return;
  g_string_append_len (page->text, text, (gssize) length);
  g_string_append_c (page->text, '\n');
}

static void
page_look (Page *page, const char *html)
{
  static const GMarkupParser parser = { .start_element = on_start, .text = on_text };
  g_autoptr (GMarkupParseContext) context = g_markup_parse_context_new (&parser, 0, page, NULL);
  g_autoptr (GError) error = NULL;

  *page = (Page){ .text = g_string_new ("\n") };
  g_assert_true (g_utf8_validate (html, -1, NULL));
  g_markup_parse_context_parse (context, html, -1, &error);
  g_assert_no_error (error);
  g_markup_parse_context_end_parse (context, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (page->scripts, ==, 0);
}

static void
page_clear (Page *page)
{
  g_string_free (page->text, TRUE);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Page, page_clear)

static void
assert_holds (const Page *page, const char *text)
{
  if (!strstr (page->text->str, text))
    g_error ("'%s' is not on the page:\n%s", text, page->text->str);
}

/* ---- text ---------------------------------------------------------------------------------------- */

static void
test_text (void)
{
  static const struct
  {
    const char *from, *to;
  } cases[] = {
    { "<script>&\"'", "&lt;script&gt;&amp;&quot;&#39;" },
    { "Grüße 写真", "Grüße 写真" },
    { "a\xff"
      "b",
        "a\xef\xbf\xbd"
        "b" },
    { "\xc3", "\xef\xbf\xbd" },
    { "a\x01\x1b[0m\nb", "a\xef\xbf\xbd\xef\xbf\xbd[0m\xef\xbf\xbd"
                         "b" },
    { "\xef\xbf\xbe\xc2\x85", "\xef\xbf\xbd\xef\xbf\xbd" },
    { "", "" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GString) text = g_string_new (NULL);

    page_text (text, cases[i].from);
    g_assert_cmpstr (text->str, ==, cases[i].to);
  }
}

static void
test_numbers (void)
{
  static const char *const columns[] = { "a", "b", NULL };
  g_autoptr (GString) html = g_string_new ("<x>");
  g_auto (Page) page = { 0 };

  page_table (html, "folded", columns, 1);
  page_row (html, FALSE);
  page_cell (html, "</td>");
  page_number (html, 1.0 / 3, 2);
  page_number (html, 0.00123456, -3);
  page_row (html, TRUE);
  page_number (html, NAN, 2);
  page_number (html, INFINITY, -3);
  page_gain (html, 1.5, 2);
  page_gain (html, -1.5, 2);
  page_gain (html, -0.001, 2);
  page_gain (html, -INFINITY, 2);
  page_table_end (html, TRUE);
  g_string_append (html, "</x>");
  page_look (&page, html->str);
  assert_holds (&page, "</td>\n0.33\n1.23e-03\n");
  assert_holds (&page, "–\n–\n+1.50\n−1.50\n±0.00\n–\n");
}

/* A loss that is none to the eye is not shown as one. */
static void
test_tiles (void)
{
  static const struct
  {
    double before, after;
    const char *look;
    gboolean unseen;
  } cases[] = {
    { 27, 33, "good", FALSE }, { 33, 27, "bad", FALSE }, { 33, 33, "same", FALSE }, { 66, 52, "same", TRUE },
    { 66, 49, "bad", FALSE }, { 49, 60, "good", FALSE }, { 52, 66, "same", TRUE }, { 66, 66, "same", FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GString) html = g_string_new (NULL);
    g_autofree char *look = g_strdup_printf ("<b class=\"%s\">", cases[i].look);

    page_tile (html, "<", cases[i].before, cases[i].after);
    g_test_message ("%s", html->str);
    g_assert_nonnull (strstr (html->str, look));
    g_assert_true (!strstr (html->str, "too little to be seen") == !cases[i].unseen);
  }
}

/* ---- curves -------------------------------------------------------------------------------------- */

typedef struct
{
  const char *name;
  guint n;
  double y[6];
  gboolean logarithmic, empty;
  const char *tick; /* one that must be there, or NULL */
} CurveCase;

static const CurveCase curve_cases[] = {
  { "plain", 4, { 20, 24, 26, 27 }, .tick = "\n24\n" },
  { "falling", 4, { 1e-2, 1e-3, 2e-4, 1e-4 }, TRUE, .tick = "\n0.001\n" },
  { "within a decade", 3, { 0.0023, 0.0021, 0.0022 }, TRUE, .tick = "\n0.00220\n" },
  { "one", 1, { 27.5 }, .tick = "\n27.5\n" },
  { "one, logarithmic", 1, { 1e-3 }, TRUE, .tick = "\n0.001\n" },
  { "one that is none", 1, { NAN }, .empty = TRUE },
  { "none", 0, { 0 }, .empty = TRUE },
  { "all the same", 5, { 3, 3, 3, 3, 3 }, .tick = "\n3.00\n" },
  { "all zero", 3, { 0, 0, 0 }, .tick = "\n0\n" },
  { "all zero, logarithmic", 3, { 0, 0, 0 }, TRUE, TRUE },
  { "not finite", 6, { NAN, 1, INFINITY, 2, -INFINITY, NAN }, .tick = "\n1.4\n" },
  { "infinite PSNR", 3, { INFINITY, INFINITY, INFINITY }, .empty = TRUE },
  { "huge", 3, { 1e308, -1e308, 1 } },
  { "large", 3, { 1e90, -1e90, 1 } },
  { "tiny", 3, { 1e-300, 3e-300, 2e-300 } },
  { "tiny, logarithmic", 3, { 1e-300, 3e-300, 2e-300 }, TRUE, TRUE },
  { "many decades", 3, { 1e-90, 1, 1e90 }, TRUE },
  { "next to each other", 2, { 1, 1 + 2.3e-16 } },
  { "negative", 3, { -5, -1, -3 }, .tick = "\n-3\n" },
  { "some not positive", 4, { -1, 0, 0.5, 0.25 }, TRUE },
};

static void
check_plot (const Plot *plot, const CurveCase *test)
{
  g_autoptr (GString) svg = g_string_new (NULL);
  g_auto (Page) page = { 0 };

  g_test_message ("%s", test->name);
  plot_append_svg (svg, plot);
  page_look (&page, svg->str);
  check_number (test->name, page.text->str);
  g_assert_true (!strstr (page.text->str, "nothing to show") == !test->empty);
  if (test->tick)
    assert_holds (&page, test->tick);
  if (!test->empty)
    g_assert_nonnull (strstr (svg->str, "<rect")); /* a mark */
}

static void
test_curves (void)
{
  static const double x[] = { 1, 2, 3, 4, 5, 6 };
  g_autoptr (GPtrArray) plots = g_ptr_array_new_with_free_func ((GDestroyNotify) plot_free);
  g_autofree char *path = g_build_filename (base, "curves.png", NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *content = NULL;
  gsize size;

  for (guint i = 0; i < G_N_ELEMENTS (curve_cases); i++) {
    const CurveCase *test = &curve_cases[i];
    Plot *plot = plot_new ("<&\"", "epoch", test->n, x);

    plot->logarithmic = test->logarithmic;
    plot->best = test->n;
    plot_add (plot, "\xff", test->y);
    g_ptr_array_add (plots, plot);
    check_plot (plot, test);
    plot_add (plot, "again", test->y);
    check_plot (plot, test);
  }
  g_assert_true (plot_save_png (plots, path, &error));
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &content, &size, NULL) == plot_writes_png);
  if (plot_writes_png) {
    g_autoptr (GBytes) bytes = g_bytes_new (content, size);
    int height, width;
    g_autofree guint8 *rgba = picture_read_png (bytes, &height, &width, &error);

    g_assert_no_error (error);
    g_assert_nonnull (rgba);
    g_assert_cmpint (width, >, 2 * PLOT_WIDTH);
    g_assert_cmpint (height, >, (int) (plots->len / 2) * PLOT_HEIGHT);
  }
}

/* A long training: few points are drawn, but none of the extremes is lost. */
static void
test_long_curve (void)
{
  enum
  {
    N = 50000
  };
  g_autofree double *x = g_new (double, N), *y = g_new (double, N);
  g_autoptr (GString) with = g_string_new (NULL), without = g_string_new (NULL);
  g_autoptr (Plot) plot = NULL;

  for (int i = 0; i < N; i++) {
    x[i] = i + 1;
    y[i] = 20 + sin (i * 0.001);
  }
  y[31234] = 19; /* where no scale changes */
  plot = plot_new ("long", "epoch", N, x);
  plot_add (plot, "a", y);
  plot_append_svg (with, plot);
  g_assert_cmpuint (with->len, <, 32 * 1024);
  plot->series[0].y[31234] = 20 + sin (31234 * 0.001);
  plot_append_svg (without, plot);
  g_assert_cmpstr (with->str, !=, without->str);
}

/* ---- pictures ------------------------------------------------------------------------------------ */

static void
fill (guint8 *rgb, gsize n, guint32 seed)
{
  GRand *random = g_rand_new_with_seed (seed);

  for (gsize i = 0; i < n; i++)
    rgb[i] = (guint8) g_rand_int_range (random, 0, 256);
  g_rand_free (random);
}

static void
test_triptych (void)
{
  static const struct
  {
    const char *name;
    int height, width;
  } cases[] = {
    { "a", 16, 16 },
    { "sub/folder/b", 100, 20 },
    { "\xff<script>&\"", 20, 500 },
    { "写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写"
      "写写写写写写写写写写写写写"
      "写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写写",
        17, 19 },
    { "1x1", 1, 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    gsize n = (gsize) cases[i].height * cases[i].width * 3;
    guint8 *parts[3] = { g_malloc (n), g_malloc (n), g_malloc (n) };
    const EvaluateResult result = { .name = cases[i].name,
      .kernel = 1,
      .height = cases[i].height,
      .width = cases[i].width,
      .blurred = parts[0],
      .predicted = parts[1],
      .sharp = parts[2] };
    g_auto (Triptych) made = { 0 }, loaded = { 0 };
    g_autoptr (GString) html = g_string_new (NULL);
    g_autofree char *path = NULL;
    g_autoptr (GError) error = NULL;
    g_auto (Page) page = { 0 };

    for (int p = 0; p < 3; p++)
      fill (parts[p], n, i * 3 + (guint) p);
    g_assert_true (triptych_make (&made, &result, "x", synth_paper_kernels, &error));
    g_assert_true (g_str_has_prefix (made.name, "x-") && g_str_has_suffix (made.name, "-sigma1.png"));
    g_assert_true (g_utf8_validate (made.name, -1, NULL));
    g_assert_cmpuint (strlen (made.name), <, 200);
    g_assert_null (strchr (made.name, '/'));
    g_assert_true (triptych_append (html, &made, cases[i].name, &error));
    g_assert_no_error (error);
    page_look (&page, html->str);
    g_assert_cmpuint (page.images, ==, 6);
    g_assert_true (triptych_save (&made, base, &error));
    g_assert_no_error (error);
    path = g_build_filename (base, made.name, NULL);
    if (cases[i].height < 16) {
      g_assert_false (triptych_load (&loaded, path, &error)); /* too small to be decoded again */
    } else {
      g_assert_true (triptych_load (&loaded, path, &error));
      g_assert_no_error (error);
      for (int p = 0; p < 3; p++)
        g_assert_cmpmem (loaded.part[p], n, parts[p], n);
    }
    for (int p = 0; p < 3; p++)
      g_free (parts[p]);
  }
}

/* ---- whole pages --------------------------------------------------------------------------------- */

static void
run (const char *const *argv)
{
  g_autofree char *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, &error);
  g_assert_no_error (error);
  if (!g_spawn_check_wait_status (status, &error))
    g_error ("%s: %s\n%s%s", argv[1], error->message, out, err);
}

/* A sharp picture of the name in the folder. */
static char *
write_picture (const char *folder, const char *name, guint32 seed)
{
  char *path = g_build_filename (folder, name, NULL);
  guint8 rgb[HEIGHT * WIDTH * 3];
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  fill (rgb, sizeof rgb, seed);
  media_write_png (path, HEIGHT, WIDTH, rgb, &error);
  g_assert_no_error (error);
  return path;
}

/* Reads FOLDER/report.html, and what is beside it. */
static void
look_at (Page *page, const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "report.html", NULL), *html = NULL;
  g_autofree char *curves = g_build_filename (folder, "curves.png", NULL);
  g_autoptr (GError) error = NULL;
  gsize size;

  g_file_get_contents (path, &html, &size, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (size, <, 3 << 20);
  g_assert_cmpuint (strlen (html), ==, size);
  g_assert_true (g_str_has_prefix (html, "<!DOCTYPE html>"));
  g_assert_nonnull (strstr (html, "prefers-color-scheme: dark"));
  page_look (page, html);
  check_number (folder, page->text->str);
  g_assert_true (g_file_test (curves, G_FILE_TEST_EXISTS) == plot_writes_png);
}

/* Every number of the CSV is in the page, rounded. */
static void
check_history (const Page *page, const char *csv)
{
  g_auto (GStrv) lines = g_strsplit (csv, "\n", -1), head = g_strsplit (lines[0], ",", -1);

  g_assert_cmpuint (g_strv_length (head), >, 15);
  for (guint l = 1; lines[l] && *lines[l]; l++) {
    g_auto (GStrv) fields = g_strsplit (lines[l], ",", -1);

    for (guint i = 0; head[i]; i++) {
      double value = g_ascii_strtod (fields[i], NULL);
      g_autofree char *text = NULL;

      if (strstr (head[i], "seconds") || strstr (head[i], "blurred") || g_str_has_suffix (head[i], "_loss")
          || !*fields[i])
        continue;
      text = strstr (head[i], "psnr")                             ? g_strdup_printf ("\n%.3f\n", value)
             : strstr (head[i], "ssim")                           ? g_strdup_printf ("\n%.5f\n", value)
             : strstr (head[i], "mse") || strstr (head[i], "mae") ? g_strdup_printf ("\n%.4e\n", value)
             : strstr (head[i], "rate")                           ? g_strdup_printf ("\n%.2e\n", value)
                                                                  : g_strdup_printf ("\n%.0f\n", value);
      if (!strstr (page->text->str, text))
        g_error ("epoch %u, %s: %s is not on the page", l, head[i], fields[i]);
    }
  }
}

static void
test_fit (void)
{
  g_autofree char *data = g_build_filename (base, "data", NULL),
                  *sharp = g_build_filename (data, "sharp", NULL);
  g_autofree char *blur = g_build_filename (data, "blur", NULL);
  g_autofree char *out = g_build_filename (base, "run <script>&\"'\xff", NULL);
  g_autofree char *csv = NULL, *history = g_build_filename (out, "history.csv", NULL);
  const char *const argv[] = { program, "fit", data, "-o", out, "--base-width=1", "--backend=reference",
    "--head=residual", "--threads=1", "--batch=2", "--steps-per-epoch=2", "--epochs=3", "--train-metrics=2",
    "--note=a <b> & \"c\"", NULL };
  const char *const again[] = { program, "fit", "-o", out, "--resume", NULL };

  for (guint i = 0; i < 6; i++) {
    g_autofree char *name = g_strdup_printf ("<b>&\"%u.png", i);

    g_free (write_picture (sharp, name, i));
    g_free (write_picture (blur, name, i + 10));
  }
  run (argv);
  g_assert_true (g_file_get_contents (history, &csv, NULL, NULL));
  for (int i = 0; i < 2; i++) {
    g_auto (Page) page = { 0 };

    look_at (&page, out);
    check_history (&page, csv);
    assert_holds (&page, "run <script>&\"'\xef\xbf\xbd");
    assert_holds (&page, "a <b> & \"c\"");
    assert_holds (&page, "Finished after epoch 3");
    assert_holds (&page, "base-width\n1\n");
    assert_holds (&page, "Total\n7,");
    assert_holds (&page, "Time of a step (ms)");
    assert_holds (&page, "A step of the last epoch took ");
    g_assert_cmpuint (page.plots, >=, 5);
    g_assert_cmpuint (page.images, ==, 6); /* one validates */
    run (again);                           /* of a run that is over: the page is whole all the same */
  }
}

static void
test_eval (void)
{
  static const char *const names[] = { "<script>&\"'.png", "\xff\x01.png", "c,d.png" };
  g_autofree char *weights = g_build_filename (base, "w.safetensors", NULL);
  g_autofree char *folder = g_build_filename (base, "sharp", NULL),
                  *out = g_build_filename (base, "eval", NULL);
  g_autofree float *parameters = NULL;
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) error = NULL;
  const char *const argv[]
      = { program, "eval", folder, "-w", weights, "-o", out, "--backend=reference", "--threads=1", NULL };
  g_auto (Page) page = { 0 };
  DuConfig config;

  du_config_init (&config);
  config.base_width = 1;
  config.head = DU_HEAD_RESIDUAL; /* new: nothing changes */
  parameters = g_new (float, du_config_n_parameters (&config));
  du_config_initialise (&config, 1, parameters);
  model = du_model_new (&config, parameters, NULL, &error);
  g_assert_no_error (error);
  du_model_save (model, weights, DU_DTYPE_F32, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_free (write_picture (folder, names[i], i));
  run (argv);
  look_at (&page, out);
  assert_holds (&page, "\n<script>&\"'.png\n");
  assert_holds (&page, "\n\xef\xbf\xbd\xef\xbf\xbd.png\n");
  assert_holds (&page, "\nall pictures\n9\n");
  assert_holds (&page, "±0.00 dB");
  g_assert_cmpuint (page.plots, ==, 3);
  g_assert_cmpuint (page.images, ==, 3 * 3 * 6);
}

int
main (int argc, char **argv)
{
  int failed;

  g_test_init (&argc, &argv, NULL);
  program = g_getenv ("DEBLURUNET_TRAIN");
  base = g_dir_make_tmp ("report-XXXXXX", NULL);
  g_assert_true (program && base);
  g_strfreev (media_list ((char *const[]){ base, NULL }, NULL)); /* starts GStreamer */
  g_test_add_func ("/report/text", test_text);
  g_test_add_func ("/report/numbers", test_numbers);
  g_test_add_func ("/report/tiles", test_tiles);
  g_test_add_func ("/report/curves", test_curves);
  g_test_add_func ("/report/long-curve", test_long_curve);
  g_test_add_func ("/report/triptych", test_triptych);
  g_test_add_func ("/report/fit", test_fit);
  g_test_add_func ("/report/eval", test_eval);
  failed = g_test_run ();
  remove_tree (base);
  g_free (base);
  return failed;
}

/* The figures of the CUDA back end, one section of them a run, so that one that fails takes no other along.
 * Prints a line for each: its name, a TAB, its value. With --backend cpu or reference everything runs without
 * a GPU, to see that it does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench-gpu.h"

#include "network.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
  CURVE_STEPS = 50,
};

DuBackendKind kind = DU_BACKEND_CUDA;
double seconds = 1; /* that a measurement lasts, at least */
gint64 started;
DuModel *model;
char *label;
static const DuPrecision precisions[]
    = { DU_PRECISION_F32, DU_PRECISION_TF32, DU_PRECISION_BF16, DU_PRECISION_F16 };
const char *const precision_names[] = { [DU_PRECISION_F32] = "f32",
  [DU_PRECISION_TF32] = "tf32",
  [DU_PRECISION_BF16] = "bf16",
  [DU_PRECISION_F16] = "f16" };

void
figure (double value, const char *format, ...)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  g_autofree char *name = NULL;
  va_list arguments;

  va_start (arguments, format);
  name = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  printf ("%s\t%s\n", name, g_ascii_formatd (text, sizeof text, "%.6g", value));
  fflush (stdout);
}

double
now (void)
{
  return g_get_monotonic_time () / 1e6;
}

/* What a back end has not is no failure. */
static gboolean
forgive (const char *what, GError **error)
{
  if (!g_error_matches (*error, DU_ERROR, DU_ERROR_UNAVAILABLE)
      && !g_error_matches (*error, DU_ERROR, DU_ERROR_MEMORY))
    return FALSE;
  fprintf (stderr, "%s: %s\n", what, (*error)->message);
  g_clear_error (error);
  return TRUE;
}

static void
fill_noise (float *values, gsize count)
{
  for (gsize i = 0; i < count; i++)
    values[i] = ((guint32) i * 2654435761u >> 24) / 255.f;
}

/* ---- the network alone, its data on the device ----------------------------------------------------------
 */

typedef struct
{
  const DuBackend *backend;
  DuContext *context;
  DuBuffer *block;
  DuNetworkCache networks;
} Engine;

static void
engine_clear (Engine *engine)
{
  if (!engine->context)
    return;
  du_network_cache_clear (&engine->networks);
  engine->backend->buffer_free (engine->context, engine->block);
  engine->backend->close (engine->context);
}

static gboolean
engine_init (Engine *engine, DuPrecision precision, GError **error)
{
  const DuConfig *config = du_model_config (model);
  const gsize count = du_config_n_parameters (config);
  g_autofree char *note = NULL;
  DuType type;

  *engine = (Engine){ NULL };
  engine->backend = du_backend_open (kind, precision, 0, -1, NULL, FALSE, &engine->context, &type, &note,
      error);
  if (!engine->backend)
    return FALSE;
  du_network_cache_init (&engine->networks, engine->backend, engine->context, type, config, 1);
  engine->block = engine->backend->buffer_new (engine->context, DU_TYPE_F32, count, error);
  return engine->block
         && engine->backend->upload (
             engine->context, engine->block, 0, du_model_parameters (model), count, error);
}

static gboolean
synchronise (const Engine *engine, GError **error)
{
  return !engine->backend->synchronise || engine->backend->synchronise (engine->context, error);
}

/* A network ready to run on noise. */
static DuNetwork *
engine_network (Engine *engine, int n, GError **error)
{
  DuNetwork *network
      = du_network_cache_get (&engine->networks, DU_MODE_INFERENCE, n, DU_TILE_HEIGHT, DU_TILE_WIDTH, error);
  g_autofree float *picture = network ? g_new (float, network->n_samples) : NULL;

  if (!network)
    return NULL;
  fill_noise (picture, network->n_samples);
  if (!du_network_load (network, engine->block, 1, error)
      || !engine->backend->upload (engine->context, network->picture, 0, picture, network->n_samples, error)
      || !du_network_forward (network, NULL, error) || !synchronise (engine, error))
    return NULL;
  return network;
}

/* sub: tiles of the first level at a time, for DEBLURUNET_CUDA_SUB_BATCH; NULL: the back end's choice. */
static gboolean
time_forward (DuPrecision precision, const char *sub, const int *batches, guint count, GError **error)
{
  g_autofree char *suffix = sub ? g_strdup_printf ("/sub%s", sub) : g_strdup ("");
  gboolean ok;
  Engine engine;

  if (sub)
    g_setenv ("DEBLURUNET_CUDA_SUB_BATCH", sub, TRUE);
  ok = engine_init (&engine, precision, error);
  if (sub)
    g_unsetenv ("DEBLURUNET_CUDA_SUB_BATCH");
  for (guint i = 0; ok && i < count; i++) {
    const int n = batches[i];
    double start = now ();
    DuNetwork *network = engine_network (&engine, n, error);
    int rounds = 0;

    ok = network != NULL;
    if (ok)
      figure ((now () - start) * 1e3, "forward/%s/batch%d%s/prepare_ms", precision_names[precision], n, suffix);
    start = now ();
    while (ok && (rounds < 3 || now () - start < seconds)) {
      for (int k = 0; ok && k < 4; k++, rounds++)
        ok = du_network_forward (network, NULL, error);
      ok = ok && synchronise (&engine, error);
    }
    if (ok)
      figure (rounds * n / (now () - start), "forward/%s/batch%d%s/tiles_per_second", precision_names[precision],
          n, suffix);
  }
  engine_clear (&engine);
  return ok;
}

static gboolean
bench_forward (DuPrecision precision, GError **error)
{
  static const int batches[] = { 1, 2, 4, 8, 10, 12, 16, 25, 48 };

  return time_forward (precision, NULL, batches, seconds > 0 ? G_N_ELEMENTS (batches) : 1, error);
}

/* Numbers that go into one another, or the back end takes less. */
static gboolean
bench_sub_batches (DuPrecision precision, GError **error)
{
  static const int batches[] = { 8, 12, 48 }, quick[] = { 2 };
  static const char *const subs[] = { "0", "1", "2", "4" };

  for (guint s = 0; s < (seconds > 0 ? G_N_ELEMENTS (subs) : 2); s++)
    if (!(seconds > 0 ? time_forward (precision, subs[s], batches, G_N_ELEMENTS (batches), error)
                      : time_forward (precision, subs[s], quick, 1, error)))
      return FALSE;
  return TRUE;
}

/* ---- each row of the network ------------------------------------------------------------------------------
 */

static const DuBackend *real;
static const DuNetwork *timed_network;
static double row_ms[DU_N_ROWS]; /* of all turns that a row takes */

static gboolean
timed_forward (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  const int rounds = seconds > 0 ? 20 : 1;
  gboolean ok = real->forward (context, op, args, error)
                && (!real->synchronise || real->synchronise (context, error));
  const double start = now ();

  for (int i = 0; ok && i < rounds; i++)
    ok = real->forward (context, op, args, error);
  ok = ok && (!real->synchronise || real->synchronise (context, error));
  for (int row = 0; row < DU_N_ROWS; row++)
    if (timed_network->ops[row] == op)
      row_ms[row] += (now () - start) * 1e3 / rounds;
  return ok;
}

static gboolean
bench_rows (DuPrecision precision, GError **error)
{
  const int n = seconds > 0 ? 8 : 1;
  DuBackend timed;
  Engine engine;
  gboolean ok = engine_init (&engine, precision, error);
  DuNetwork *network = ok ? engine_network (&engine, n, error) : NULL;

  ok = network != NULL;
  if (ok) {
    real = engine.backend;
    timed = *real;
    timed.forward = timed_forward;
    network->backend = &timed;
    timed_network = network;
    memset (row_ms, 0, sizeof row_ms);
    ok = du_network_forward (network, NULL, error);
    network->backend = real;
  }
  for (int row = 0; ok && row < DU_N_ROWS; row++)
    figure (row_ms[row] * 1e3, "rows/%s/batch%d/%s_us", precision_names[precision], n, du_rows[row].name);
  engine_clear (&engine);
  return ok;
}

DuSession *
open_session (DuPrecision precision, GError **error)
{
  DuSessionOptions options;

  du_session_options_init (&options);
  options.backend = kind;
  options.precision = precision;
  return du_session_open (model, &options, error);
}

/* ---- precision
 * -------------------------------------------------------------------------------------------------- */

/* Mean and largest distance of a picture of the precision from one by the CPU in float32, in 1/255. */
static gboolean
bench_precision (DuPrecision precision, GError **error)
{
  const gsize count = (gsize) DU_TILE_HEIGHT * DU_TILE_WIDTH * 3;
  g_autofree float *picture = g_new (float, count), *result = g_new (float, count),
                   *expected = g_new (float, count);
  g_autoptr (DuSession) session = open_session (precision, error), cpu = NULL;
  DuSessionOptions options;
  double sum = 0, largest = 0;

  if (!session)
    return FALSE;
  /* Waves of many lengths: what is smooth and what is not. */
  for (gsize i = 0; i < count; i++) {
    const int x = i / 3 % DU_TILE_WIDTH, y = i / 3 / DU_TILE_WIDTH, c = i % 3;

    picture[i] = (float) (0.5 + 0.2 * sin (x * x / 900. + c) + 0.2 * cos (y * (c + 1) / 7. + x / 31.));
  }
  du_session_options_init (&options);
  options.backend = DU_BACKEND_CPU;
  options.precision = DU_PRECISION_F32;
  cpu = du_session_open (model, &options, error);
  if (!cpu || !du_session_forward (cpu, 1, DU_TILE_HEIGHT, DU_TILE_WIDTH, picture, expected, error)
      || !du_session_forward (session, 1, DU_TILE_HEIGHT, DU_TILE_WIDTH, picture, result, error))
    return FALSE;
  for (gsize i = 0; i < count; i++) {
    sum += fabs (result[i] - expected[i]);
    largest = MAX (largest, fabs (result[i] - expected[i]));
  }
  figure (sum / count * 255, "precision/%s/mean_of_255", precision_names[precision]);
  figure (largest * 255, "precision/%s/largest_of_255", precision_names[precision]);
  if (!(sum / count <= 1. / 255)) {
    g_set_error (error, DU_ERROR, DU_ERROR_BACKEND,
        "pictures in %s are %g of 255 off the CPU's on the average", precision_names[precision],
        sum / count * 255);
    return FALSE;
  }
  return TRUE;
}

/* ---- training
 * --------------------------------------------------------------------------------------------------- */

static DuTrainer *
new_trainer (DuBackendKind backend, DuPrecision precision, int base_width, GError **error)
{
  g_autofree float *parameters = NULL;
  DuTrainerOptions options;

  du_trainer_options_init (&options);
  options.config.base_width = base_width;
  options.config.head = DU_HEAD_RESIDUAL;
  options.backend = backend;
  options.precision = precision;
  parameters = g_new (float, du_config_n_parameters (&options.config));
  du_config_initialise (&options.config, 1, parameters);
  return du_trainer_new (&options, parameters, error);
}

/* Blurs about the paper's, in 1/256. */
static const DuBlur blurs[] = { { 1, { 254, 1 } }, { 3, { 102, 62, 14, 1 } }, { 5, { 64, 53, 29, 11, 3 } } };

/* Gives the trainer n pictures of waves. */
static gboolean
set_pictures (DuTrainer *trainer, guint n, int height, int width, GError **error)
{
  const gsize size = (gsize) height * width * 3;
  g_autofree guint8 *pixels = g_malloc (n * size);
  g_autofree const guint8 **pictures = g_new (const guint8 *, n);
  const DuPictureSet set = { height, width, n, G_N_ELEMENTS (blurs), pictures, blurs };

  for (guint p = 0; p < n; p++) {
    pictures[p] = pixels + p * size;
    for (gsize i = 0; i < size; i++) {
      const int c = i % 3, x = i / 3 % width, y = i / 3 / width;
      const double length = 3 + (p * 3 + c) % 11;

      pixels[p * size + i] = (guint8) (128 + 76 * sin (x * 6.283 / length + p + y / 13.));
    }
  }
  return du_trainer_set_pictures (trainer, &set, error);
}

/* Some crops for a step. */
static void
draw (guint step, int n, guint pictures, int rows, int columns, DuDraw *draws)
{
  for (int i = 0; i < n; i++) {
    const guint random = (step * n + i) * 2654435761u >> 4, picture = random % pictures;

    draws[i] = (DuDraw){ picture, picture, random / 3 % G_N_ELEMENTS (blurs), random / 7 % rows,
      random / 11 % columns, random / 13 % 2, random / 17 % 2 };
  }
}

/* Steps on floats of the host, and on pictures that the device has: as many as the paper trains on. */
static gboolean
time_steps (DuPrecision precision, int n, int height, int width, gboolean drawn, GError **error)
{
  const gsize count = (gsize) n * height * width * 3;
  const guint pictures = seconds > 0 ? 302 : 2;
  g_autofree float *input = g_new (float, count), *target = g_new (float, count);
  g_autofree DuDraw *draws = g_new (DuDraw, n);
  g_autoptr (DuTrainer) trainer = new_trainer (kind, precision, du_model_config (model)->base_width, error);
  DuStepResult result;
  double start = 0;

  fill_noise (input, count);
  memcpy (target, input, count * sizeof *target);
  if (!trainer || (drawn && !set_pictures (trainer, pictures, DU_TILE_HEIGHT, DU_TILE_WIDTH, error)))
    return FALSE;
  for (int round = 0;; round++) {
    if (round == 1) /* the first one prepares */
      start = now ();
    else if (round > (seconds > 0 ? 3 : 1) && now () - start >= seconds) {
      figure ((round - 1) / (now () - start), "training/%s/%dx%dx%d/%s_steps_per_second",
          precision_names[precision], n, height, width, drawn ? "drawn" : "uploaded");
      return TRUE;
    }
    draw (round, n, pictures, DU_TILE_HEIGHT - height + 1, DU_TILE_WIDTH - width + 1, draws);
    if (!(drawn ? du_trainer_step_drawn (trainer, n, height, width, draws, 1e-3, &result, error)
                : du_trainer_step (trainer, n, height, width, input, target, 1e-3, &result, error)))
      return FALSE;
  }
}

static gboolean
bench_training (DuPrecision precision, GError **error)
{
  static const int sizes[][3] = { { 8, 96, 96 }, { 32, 96, 96 }, { 8, DU_TILE_HEIGHT, DU_TILE_WIDTH } };

  for (guint i = 0; i < (seconds > 0 ? G_N_ELEMENTS (sizes) : 1); i++)
    for (int drawn = 0; drawn < 2; drawn++)
      if (!time_steps (precision, sizes[i][0], sizes[i][1], sizes[i][2], drawn, error))
        return FALSE;
  return TRUE;
}

/* Losses of a short training on pictures that the back end has. */
static gboolean
loss_curve (DuBackendKind backend, DuPrecision precision, int steps, double *losses, GError **error)
{
  enum { N = 4, CROP = 64, SIDE = 96, PICTURES = 16 };
  g_autoptr (DuTrainer) trainer = new_trainer (backend, precision, 8, error);

  if (!trainer || !set_pictures (trainer, PICTURES, SIDE, SIDE, error))
    return FALSE;
  for (int step = 0; step < steps; step++) {
    DuStepResult result;
    DuDraw draws[N];

    draw (step, N, PICTURES, SIDE - CROP + 1, SIDE - CROP + 1, draws);
    if (!du_trainer_step_drawn (trainer, N, CROP, CROP, draws, 1e-3, &result, error))
      return FALSE;
    losses[step] = result.loss;
  }
  return TRUE;
}

/* The curve against the CPU's in float32, and against its own repetition. */
static gboolean
bench_curve (DuPrecision precision, GError **error)
{
  const int steps = seconds > 0 ? CURVE_STEPS : 3;
  const double tolerance = precision == DU_PRECISION_F32 ? 0.05 : 0.5;
  double losses[CURVE_STEPS], again[CURVE_STEPS], expected[CURVE_STEPS], off = 0;

  if (!loss_curve (kind, precision, steps, losses, error)
      || !loss_curve (kind, precision, steps, again, error)
      || !loss_curve (DU_BACKEND_CPU, DU_PRECISION_F32, steps, expected, error))
    return FALSE;
  for (int i = 0; i < steps; i++)
    off = MAX (off, fabs (losses[i] - expected[i]) / expected[i]);
  figure (losses[0], "curve/%s/first_loss", precision_names[precision]);
  figure (losses[steps - 1], "curve/%s/last_loss", precision_names[precision]);
  figure (expected[steps - 1], "curve/%s/last_loss_of_cpu_f32", precision_names[precision]);
  figure (off, "curve/%s/largest_relative_distance", precision_names[precision]);
  figure (memcmp (losses, again, steps * sizeof *losses) == 0, "curve/%s/repeats_bit_for_bit",
      precision_names[precision]);
  if (memcmp (losses, again, steps * sizeof *losses) != 0)
    g_set_error (error, DU_ERROR, DU_ERROR_BACKEND, "two equal trainings differ");
  else if (!(off <= tolerance))
    g_set_error (error, DU_ERROR, DU_ERROR_BACKEND, "losses in %s are up to %g off the CPU's, %g is allowed",
        precision_names[precision], off, tolerance);
  else
    return TRUE;
  return FALSE;
}

/* ---- the program
 * ------------------------------------------------------------------------------------------------ */

/* base_width: of random weights, instead of those of path; or 0. */
static gboolean
load_model (const char *path, int base_width, GError **error)
{
  g_autofree float *parameters = NULL;
  DuConfig config;

  if (path && !base_width) {
    model = du_model_load (path, error);
  } else {
    du_config_init (&config);
    config.base_width = base_width ? base_width : config.base_width;
    parameters = g_new (float, du_config_n_parameters (&config));
    du_config_initialise (&config, 1, parameters);
    model = du_model_new (&config, parameters, NULL, error);
  }
  return model != NULL;
}

static int
print_device (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DuSession) session = open_session (DU_PRECISION_AUTO, &error);

  if (!session) {
    fprintf (stderr, "bench-gpu: %s\n", error->message);
    return g_error_matches (error, DU_ERROR, DU_ERROR_UNAVAILABLE) ? 77 : 1;
  }
  printf ("%s\n", du_session_device (session));
  return 0;
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    gboolean (*run) (DuPrecision precision, GError **error);
  } sections[] = { { "first-frame", bench_first_frame }, { "forward", bench_forward },
    { "sub-batches", bench_sub_batches }, { "rows", bench_rows }, { "frames", bench_frames }, { "flow", bench_flow }, { "precision", bench_precision },
    { "training", bench_training }, { "curve", bench_curve } };
  static char *section, *backend, *weights, *precision;
  static gboolean quick;
  static int base_width;
  static const GOptionEntry entries[] = {
    { "section", 's', 0, G_OPTION_ARG_STRING, &section,
        "device (its name; exit 77 where there is none), first-frame, forward, sub-batches, rows, frames, flow, "
        "precision, training, curve",
        "NAME" },
    { "precision", 'p', 0, G_OPTION_ARG_STRING, &precision, "f32, tf32, bf16 or f16; all without it",
        "NAME" },
    { "backend", 'b', 0, G_OPTION_ARG_STRING, &backend, "cuda, cpu or reference", "NAME" },
    { "weights", 'w', 0, G_OPTION_ARG_FILENAME, &weights, "a weights file, else random ones", "FILE" },
    { "label", 'l', 0, G_OPTION_ARG_STRING, &label, "what the first frame finds, in its figure's name", "NAME" },
    { "base-width", 0, 0, G_OPTION_ARG_INT, &base_width, "random weights of a network this wide", "N" },
    { "quick", 'q', 0, G_OPTION_ARG_NONE, &quick, "the least work that visits everything", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  gboolean found = FALSE;

  started = g_get_monotonic_time ();
  setlocale (LC_ALL, "");
  g_option_context_add_main_entries (options, entries, NULL);
  if (!g_option_context_parse (options, &argc, &argv, &error) || !section) {
    fprintf (stderr, "bench-gpu: %s\n", error ? error->message : "give a --section");
    return 2;
  }
  kind = g_strcmp0 (backend, "cpu") == 0         ? DU_BACKEND_CPU
         : g_strcmp0 (backend, "reference") == 0 ? DU_BACKEND_REFERENCE
                                                 : DU_BACKEND_CUDA;
  seconds = quick ? 0 : 1;
  if (!load_model (weights, base_width, &error)) {
    fprintf (stderr, "bench-gpu: %s\n", error->message);
    return 1;
  }
  if (strcmp (section, "device") == 0)
    return print_device ();
  for (guint i = 0; i < G_N_ELEMENTS (sections); i++)
    for (guint p = 0; p < G_N_ELEMENTS (precisions) && strcmp (section, sections[i].name) == 0; p++) {
      const char *name = precision_names[precisions[p]];

      found = TRUE;
      if (precision && strcmp (precision, name) != 0)
        continue;
      if (!sections[i].run (precisions[p], &error) && !forgive (name, &error)) {
        fprintf (stderr, "bench-gpu: %s, %s: %s\n", section, name, error->message);
        return 1;
      }
    }
  if (!found)
    fprintf (stderr, "bench-gpu: there is no section '%s'\n", section);
  du_model_unref (model);
  return found ? 0 : 2;
}

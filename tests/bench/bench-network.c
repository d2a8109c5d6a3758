/* The network on the CPU, row by row, against the convolutions in it alone and against PyTorch, in one run.
 *
 * The bar for a pass is the sum of the times of its 3x3 convolutions by oneDNN, each run alone on data that may
 * stay in the caches. All times are the least of the rounds; what is compared takes turns within a round.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"
#include "network.h"
#include "onednn/convolution.h"

#include <locale.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum
{
  PASSES = 3,          /* forward, data, weights */
  SECONDS_TORCH = 120, /* at most, for all of its rounds */
};

static int threads, rounds = 10, base_width;
static gboolean thread_clock, no_torch, brief;
static char *only_precision, *python;

static double
now_ms (void)
{
  struct timespec time;

  clock_gettime (thread_clock ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* ---- a back end that measures ------------------------------------------------------------------- */

static struct
{
  double forward[DU_N_ROWS], backward[DU_N_ROWS], load[DU_N_ROWS]; /* least ms of each row */
  DuOp *ops[DU_N_ROWS];                                            /* which op is which row */
} measured;

static int
row_of (const DuOp *op)
{
  int row = 0;

  while (row < DU_N_ROWS - 1 && measured.ops[row] != op)
    row++;
  return row;
}

static gboolean
measured_load (DuContext *context, DuOp *op, const DuOpParameters *parameters, GError **error)
{
  const double start = now_ms ();
  const gboolean ok = du_backend_onednn.load (context, op, parameters, error);

  measured.load[row_of (op)] = MIN (measured.load[row_of (op)], now_ms () - start);
  return ok;
}

static gboolean
measured_forward (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  const double start = now_ms ();
  const gboolean ok = du_backend_onednn.forward (context, op, args, error);

  measured.forward[row_of (op)] = MIN (measured.forward[row_of (op)], now_ms () - start);
  return ok;
}

static gboolean
measured_backward (DuContext *context, DuOp *op, const DuBackward *args, GError **error)
{
  const double start = now_ms ();
  const gboolean ok = du_backend_onednn.backward (context, op, args, error);

  measured.backward[row_of (op)] = MIN (measured.backward[row_of (op)], now_ms () - start);
  return ok;
}

/* ---- the convolutions alone --------------------------------------------------------------------- */

typedef struct
{
  DuConv *convs[DU_N_ROWS][PASSES];
  double ms[DU_N_ROWS][PASSES];
  void *source, *destination, *scratch;
  float *weights, *vector;
} Alone;

static void *
zeros (gsize count)
{
  void *data = du_cpu_allocate (count, sizeof (float), "a benchmark", NULL);

  if (!data)
    exit (1);
  return memset (data, 0, count * sizeof (float));
}

static gboolean
alone_init (Alone *alone, DuLibrary *library, const DuNetwork *network, DuType type, GError **error)
{
  const DuConfig *config = &network->config;
  const gsize pixels = (gsize) network->n * network->height * network->width;
  gsize scratch = 0;

  for (int row = 0; row < DU_N_ROWS; row++)
    for (int pass = 0; pass < (network->mode == DU_MODE_TRAINING ? PASSES : 1); pass++) {
      const DuRow *r = &du_rows[row];
      DuConvShape shape = { .kind = (DuConvKind) pass,
        .type = type,
        .n = network->n,
        .height = network->height >> r->level,
        .width = network->width >> r->level,
        .channels_in = du_row_channels (config, r->source) + du_row_channels (config, r->skip),
        .channels_out = du_row_channels (config, row),
        .kernel = 3,
        .library = TRUE };

      alone->ms[row][pass] = G_MAXDOUBLE;
      if (r->kind != DU_ROW_CONV || (pass == DU_CONV_DATA && r->source == DU_PICTURE))
        continue;
      shape.weights_stride = (gsize) 9 * shape.channels_in;
      shape.bias = shape.relu = pass == DU_CONV_FORWARD;
      shape.affine = shape.relu && network->mode == DU_MODE_INFERENCE && du_row_has_bn (config, row);
      alone->convs[row][pass] = du_conv_new (library, &shape, error);
      if (!alone->convs[row][pass])
        return FALSE;
      scratch = MAX (scratch, du_conv_scratch_size (alone->convs[row][pass]));
    }
  omp_set_num_threads (threads);
  alone->source = zeros (pixels * 2 * MAX (config->base_width, DU_PICTURE_CHANNELS));
  alone->destination = zeros (pixels * MAX (config->base_width, DU_PICTURE_CHANNELS));
  alone->scratch = zeros (scratch / sizeof (float) + 1);
  alone->weights = zeros (du_config_n_parameters (config));
  alone->vector = zeros ((gsize) config->base_width << DU_LEVELS);
  return TRUE;
}

static gboolean
alone_run (Alone *alone, GError **error)
{
  const DuConvArguments arguments = { alone->source, NULL, alone->destination, alone->weights, alone->vector,
    alone->vector, alone->vector };

  for (int row = 0; row < DU_N_ROWS; row++)
    for (int pass = 0; pass < PASSES; pass++) {
      double start;

      if (!alone->convs[row][pass])
        continue;
      if (pass != DU_CONV_WEIGHTS
          && !du_conv_pack (alone->convs[row][pass], alone->weights, alone->scratch, error))
        return FALSE;
      start = now_ms ();
      if (!du_conv_run (alone->convs[row][pass], &arguments, alone->scratch, error))
        return FALSE;
      alone->ms[row][pass] = MIN (alone->ms[row][pass], now_ms () - start);
    }
  return TRUE;
}

static void
alone_clear (Alone *alone)
{
  for (int row = 0; row < DU_N_ROWS; row++)
    for (int pass = 0; pass < PASSES; pass++)
      du_conv_free (alone->convs[row][pass]);
  free (alone->source);
  free (alone->destination);
  free (alone->scratch);
  free (alone->weights);
  free (alone->vector);
}

/* ---- PyTorch ------------------------------------------------------------------------------------ */

/* Least ms of PyTorch's forward (inference) or training step; 0 where there is no PyTorch. */
static double
torch_ms (DuMode mode, int n, int height, int width)
{
  g_autofree char *sizes = g_strdup_printf ("%d %d %d", n, height, width);
  g_autofree char *script = g_test_build_filename (G_TEST_DIST, "bench", "torch-network.py", NULL);
  g_autofree char *command = g_strdup_printf ("%s %s %s %s %d %d %d %s", python ? python : "/usr/bin/python3",
      script, mode == DU_MODE_TRAINING ? "training" : "inference", sizes, threads, rounds, SECONDS_TORCH,
      thread_clock ? "cpu" : "wall");
  g_autofree char *output = NULL;
  int status;

  if (no_torch || !g_spawn_command_line_sync (command, &output, NULL, &status, NULL) || status != 0)
    return 0;
  return g_ascii_strtod (output, NULL);
}

/* ---- the tables --------------------------------------------------------------------------------- */

static void
print_row (const char *name, double load, double forward, double backward, const double *alone, DuMode mode)
{
  if (mode == DU_MODE_INFERENCE)
    printf ("%-12s %9.2f %9.2f\n", name, forward, alone[0]);
  else
    printf ("%-12s %9.2f %9.2f %9.2f | %9.2f %9.2f %9.2f\n", name, load, forward, backward, alone[0],
        alone[1], alone[2]);
}

static void
print_table (const DuNetwork *network, const Alone *alone, double walk, double tiles, const char *precision)
{
  const gboolean training = network->mode == DU_MODE_TRAINING;
  double load = 0, forward = 0, backward = 0, sums[PASSES] = { 0 }, ours, bar;

  if (!brief)
    printf (training ? "%-12s %9s %9s %9s | convolutions alone: forward, data, weights (ms)\n"
                     : "%-12s %9s%s%s convolution alone (ms)\n",
        "row", training ? "load" : "forward", training ? "forward" : "", training ? "backward" : "");
  for (int row = 0; row < DU_N_ROWS; row++) {
    double of_row[PASSES];

    for (int pass = 0; pass < PASSES; pass++) {
      of_row[pass] = alone->convs[row][pass] ? alone->ms[row][pass] : 0;
      sums[pass] += of_row[pass];
    }
    if (du_rows[row].kind == DU_ROW_POOL)
      measured.load[row] = 0;
    load += measured.load[row];
    forward += measured.forward[row];
    if (training)
      backward += measured.backward[row];
    if (!brief)
      print_row (du_rows[row].name, measured.load[row], measured.forward[row], measured.backward[row], of_row,
          network->mode);
  }
  print_row ("sum", load, forward, backward, sums, network->mode);
  ours = forward + backward;
  bar = sums[0] + sums[1] + sums[2];
  printf ("%s %s: %.2f ms a tile, %.2f times oneDNN's 3x3 convolutions alone (%.2f ms); goal %.2f. Best whole "
          "walk: "
          "%.2f ms a tile\n",
      precision, training ? "forward and backward" : "forward", ours / tiles, ours / bar, bar / tiles,
      training ? 1.3 : 1.25, walk / tiles);
}

static gboolean
bench (DuType type, DuMode mode, int n, int height, int width, double *best, GError **error)
{
  static DuBackend backend;
  const DuContextOptions options = { type, threads, -1 };
  const double tiles = (double) n * height * width / (DU_TILE_HEIGHT * DU_TILE_WIDTH);
  DuNetworkCache cache = { 0 };
  DuConfig config;
  DuContext *context = du_backend_onednn.open (&options, error);
  DuBuffer *parameters = NULL, *gradient = NULL, *statistics = NULL;
  g_autofree float *block = NULL;
  DuNetwork *network = NULL;
  DuLibrary *library = du_library_open (error);
  Alone alone = { 0 };
  gsize count;
  gboolean ok;

  *best = G_MAXDOUBLE;
  if (!context || !library)
    return FALSE;
  backend = du_backend_onednn;
  backend.load = measured_load;
  backend.forward = measured_forward;
  backend.backward = measured_backward;
  du_config_init (&config);
  if (base_width)
    config.base_width = base_width;
  count = du_config_n_parameters (&config);
  block = g_new (float, count);
  du_config_initialise (&config, 1, block);
  du_network_cache_init (&cache, &backend, context, type, &config, 1);
  ok = (parameters = backend.buffer_new (context, DU_TYPE_F32, count, error))
       && (gradient = backend.buffer_new (context, DU_TYPE_F32, count, error))
       && (statistics = backend.buffer_new (context, DU_TYPE_F32, count, error))
       && backend.upload (context, parameters, 0, block, count, error)
       && (network = du_network_cache_get (&cache, mode, n, height, width, error))
       && alone_init (&alone, library, network, type, error);
  for (int row = 0; ok && row < DU_N_ROWS; row++) {
    measured.ops[row] = network->ops[row];
    measured.load[row] = measured.forward[row] = measured.backward[row] = G_MAXDOUBLE;
  }
  if (ok) {
    for (gsize i = 0; i < network->n_samples; i++)
      du_cpu_f32 (network->picture)[i] = (i * 2654435761u >> 24 & 0xff) / 255.f;
  }
  omp_set_num_threads (threads);
  for (int round = 0; ok && round < rounds; round++) {
    double start;

    ok = du_network_load (network, parameters, round + 1, error);
    if (ok && mode == DU_MODE_TRAINING)
      memset (network->gradient->data, 0x3a, network->n_samples * sizeof (float)); /* 7e-4 */
    start = now_ms ();
    ok = ok && du_network_forward (network, mode == DU_MODE_TRAINING ? statistics : NULL, error)
         && (mode == DU_MODE_INFERENCE || du_network_backward (network, gradient, error));
    *best = MIN (*best, (now_ms () - start));
    ok = ok && alone_run (&alone, error);
  }
  if (ok) {
    printf ("\n%d x %dx%d, %s, %d thread%s, %s\n", n, height, width, du_type_name (type), threads,
        threads > 1 ? "s" : "", backend.device (context));
    print_table (network, &alone, *best, tiles, du_type_name (type));
  }
  alone_clear (&alone);
  du_library_close (library);
  du_network_cache_clear (&cache);
  du_backend_onednn.buffer_free (context, parameters);
  du_backend_onednn.buffer_free (context, gradient);
  du_backend_onednn.buffer_free (context, statistics);
  du_backend_onednn.close (context);
  return ok;
}

/* A whole training step of the library, Adam and loss included. */
static gboolean
bench_step (DuType type, int n, int height, int width, double *best, GError **error)
{
  const gsize samples = (gsize) n * height * width * DU_PICTURE_CHANNELS;
  const double tiles = (double) n * height * width / (DU_TILE_HEIGHT * DU_TILE_WIDTH);
  g_autofree float *block = NULL, *input = g_new (float, samples), *target = g_new (float, samples);
  g_autoptr (DuTrainer) trainer = NULL;
  DuTrainerOptions options;
  DuStepResult result;

  *best = G_MAXDOUBLE;
  du_trainer_options_init (&options);
  if (base_width)
    options.config.base_width = base_width;
  options.backend = DU_BACKEND_CPU;
  options.precision = type == DU_TYPE_BF16 ? DU_PRECISION_BF16 : DU_PRECISION_F32;
  options.threads = threads;
  block = g_new (float, du_config_n_parameters (&options.config));
  du_config_initialise (&options.config, 1, block);
  for (gsize i = 0; i < samples; i++) {
    input[i] = (i * 2654435761u >> 24 & 0xff) / 255.f;
    target[i] = (i * 2246822519u >> 24 & 0xff) / 255.f;
  }
  trainer = du_trainer_new (&options, block, error);
  for (int round = 0; trainer && round < rounds; round++) {
    const double start = now_ms ();

    if (!du_trainer_step (trainer, n, height, width, input, target, 1e-3, &result, error))
      return FALSE;
    *best = MIN (*best, now_ms () - start);
  }
  if (trainer)
    printf ("%s training step: %.2f ms a tile\n", du_type_name (type), *best / tiles);
  return trainer != NULL;
}

int
main (int argc, char **argv)
{
  static const struct
  {
    DuMode mode;
    int n, height, width;
    double goal; /* times PyTorch's speed */
  } cases[] = { { DU_MODE_INFERENCE, 1, DU_TILE_HEIGHT, DU_TILE_WIDTH, 4 },
    { DU_MODE_TRAINING, 1, DU_TILE_HEIGHT, DU_TILE_WIDTH, 5 }, { DU_MODE_TRAINING, 8, 96, 96, 5 } };
  static const GOptionEntry entries[] = {
    { "threads", 't', 0, G_OPTION_ARG_INT, &threads, "CPU threads, 0 = one per core", "N" },
    { "rounds", 'r', 0, G_OPTION_ARG_INT, &rounds, "Rounds of which the least time counts", "N" },
    { "base-width", 'w', 0, G_OPTION_ARG_INT, &base_width,
        "Of the network, 32 if not given; 16 is that of weights=small", "N" },
    { "precision", 'p', 0, G_OPTION_ARG_STRING, &only_precision, "Only f32 or bf16", "NAME" },
    { "thread-clock", 'c', 0, G_OPTION_ARG_NONE, &thread_clock,
        "Count CPU time instead of wall-clock time: for one thread, on a busy machine", NULL },
    { "python", 0, 0, G_OPTION_ARG_FILENAME, &python, "A Python with PyTorch, /usr/bin/python3", "FILE" },
    { "no-torch", 0, 0, G_OPTION_ARG_NONE, &no_torch, "Do not run PyTorch", NULL },
    { "brief", 'b', 0, G_OPTION_ARG_NONE, &brief, "Sums only", NULL },
    { NULL },
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  static const DuType types[] = { DU_TYPE_F32, DU_TYPE_BF16 };

  setlocale (LC_ALL, "");
  g_option_context_add_main_entries (options, entries, NULL);
  if (!g_option_context_parse (options, &argc, &argv, &error)) {
    fprintf (stderr, "bench-network: %s\n", error->message);
    return 2;
  }
  threads = du_backend_threads (threads);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases) && !error; i++) {
    const double torch = torch_ms (cases[i].mode, cases[i].n, cases[i].height, cases[i].width);
    const double tiles
        = (double) cases[i].n * cases[i].height * cases[i].width / (DU_TILE_HEIGHT * DU_TILE_WIDTH);
    const char *what = cases[i].mode == DU_MODE_TRAINING ? "training step" : "forward";

    for (guint t = 0; t < G_N_ELEMENTS (types) && !error; t++) {
      double ms;

      if (only_precision && strcmp (only_precision, du_type_name (types[t])))
        continue;
      if (bench (types[t], cases[i].mode, cases[i].n, cases[i].height, cases[i].width, &ms, &error)
          && cases[i].mode == DU_MODE_TRAINING)
        bench_step (types[t], cases[i].n, cases[i].height, cases[i].width, &ms, &error);
      if (g_error_matches (error, DU_ERROR, DU_ERROR_UNAVAILABLE)) {
        printf ("\n%s\n", error->message);
        g_clear_error (&error);
      } else if (!error && torch > 0)
        printf ("PyTorch's f32 %s: %.2f ms a tile, %.1f times ours; goal %.0f\n", what, torch / tiles,
            torch / ms, cases[i].goal);
    }
  }
  if (error)
    fprintf (stderr, "bench-network: %s\n", error->message);
  return error != NULL;
}

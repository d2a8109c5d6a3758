/* The walk: against PyTorch, the sharing of buffers, sizes, failures.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network.h"

#include "cpu.h"
#include "fixtures.h"

typedef struct
{
  DuBackendKind kind;
  const char *fixture;
  double tolerance; /* normalised error of a forward pass; ten times that of each gradient */
} Case;

static DuBuffer *
new_block (const DuBackend *backend, DuContext *context, const float *values, gsize count)
{
  g_autoptr (GError) error = NULL;
  DuBuffer *buffer = backend->buffer_new (context, DU_TYPE_F32, count, &error);

  g_assert_no_error (error);
  if (values)
    backend->upload (context, buffer, 0, values, count, &error);
  g_assert_no_error (error);
  return buffer;
}

static const DuBackend *
open_backend (DuBackendKind kind, DuContext **context, DuType *type)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *note = NULL;
  const DuBackend *backend = du_backend_open (kind, DU_PRECISION_F32, 1, -1, NULL, TRUE, context, type, &note,
      &error);

  if (g_error_matches (error, DU_ERROR, DU_ERROR_UNAVAILABLE))
    g_test_skip (error->message);
  else
    g_assert_no_error (error);
  return backend;
}

static void
download (const DuNetwork *network, const DuBuffer *buffer, float *values, gsize count)
{
  g_autoptr (GError) error = NULL;

  network->backend->download (network->context, buffer, 0, values, count, &error);
  g_assert_no_error (error);
}

static void
test_pytorch (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (Fixture) fixture = fixture_new (c->fixture);
  g_autoptr (GError) error = NULL;
  gsize n_statistics = fixture->n_parameters - fixture->n_trainable;
  g_autofree float *output = g_new (float, MAX (fixture->n_samples, fixture->n_parameters));
  const float *initial = fixture_array (fixture, "parameters", fixture->n_parameters);
  const float *expected = fixture_array (fixture, "gradient", fixture->n_trainable);
  DuContext *context;
  DuType type;
  const DuBackend *backend = open_backend (c->kind, &context, &type);
  DuBuffer *parameters, *gradient, *statistics;
  DuNetworkCache networks;
  DuNetwork *network;
  double loss;

  if (!backend)
    return;
  du_network_cache_init (&networks, backend, context, type, &fixture->config, 1);
  parameters = new_block (backend, context, initial, fixture->n_parameters);
  gradient = new_block (backend, context, NULL, fixture->n_trainable);
  statistics = new_block (backend, context, NULL, n_statistics);
  for (DuMode mode = DU_MODE_INFERENCE; mode <= DU_MODE_TRAINING; mode++) {
    network = du_network_cache_get (&networks, mode, fixture->n, fixture->height, fixture->width, &error);
    g_assert_no_error (error);
    du_network_load (network, parameters, 1, &error);
    g_assert_no_error (error);
    backend->upload (context, network->picture, 0, fixture_array (fixture, "input", fixture->n_samples),
        fixture->n_samples, &error);
    g_assert_no_error (error);
    du_network_forward (network, mode == DU_MODE_TRAINING ? statistics : NULL, &error);
    g_assert_no_error (error);
    download (network, network->prediction, output, fixture->n_samples);
    assert_close (mode == DU_MODE_TRAINING ? "training" : "inference", output,
        fixture_array (fixture, mode == DU_MODE_TRAINING ? "training" : "inference", fixture->n_samples),
        fixture->n_samples, c->tolerance);
  }

  download (network, statistics, output, n_statistics);
  for (gsize i = 0; i < n_statistics; i++)
    output[i] = (float) (0.99 * initial[fixture->n_trainable + i] + 0.01 * output[i]);
  assert_close ("statistics", output, fixture_array (fixture, "statistics", n_statistics), n_statistics,
      c->tolerance);

  backend->upload (context, network->target, 0, fixture_array (fixture, "target", fixture->n_samples),
      fixture->n_samples, &error);
  g_assert_no_error (error);
  backend->loss (context, DU_LOSS_MSE, 0, fixture->n, fixture->height, fixture->width, network->prediction,
      network->target, network->gradient, 0, &error);
  g_assert_no_error (error);
  backend->results (context, &loss, 1, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat_with_epsilon (loss, fixture_array (fixture, "losses", 10)[0], c->tolerance);
  du_network_backward (network, gradient, &error);
  g_assert_no_error (error);
  download (network, gradient, output, fixture->n_trainable);
  for (guint i = 0; i < du_config_n_tensors (&fixture->config); i++) {
    DuTensorInfo tensor;

    du_config_tensor (&fixture->config, i, &tensor);
    if (tensor.trainable)
      assert_close (tensor.name, output + tensor.offset, expected + tensor.offset, tensor.count,
          10 * c->tolerance);
  }

  du_network_cache_clear (&networks);
  backend->buffer_free (context, parameters);
  backend->buffer_free (context, gradient);
  backend->buffer_free (context, statistics);
  backend->close (context);
}

/* Counts elements and live objects, and fails when told to. */
static struct
{
  int calls, fail_at; /* the call of buffer_new or prepare that fails, -1 = none */
  int fail_times;
  int live;
  gsize elements;
} counted;

static gboolean
may_go_on (GError **error)
{
  if (counted.fail_at >= 0 && counted.calls++ >= counted.fail_at && counted.fail_times > 0) {
    counted.fail_times--;
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "as the test wants it");
    return FALSE;
  }
  counted.live++;
  return TRUE;
}

static DuBuffer *
counted_buffer_new (DuContext *context, DuType type, gsize count, GError **error)
{
  counted.elements += count;
  return may_go_on (error) ? du_backend_reference.buffer_new (context, type, count, error) : NULL;
}

static void
counted_buffer_free (DuContext *context, DuBuffer *buffer)
{
  counted.live -= buffer != NULL;
  du_backend_reference.buffer_free (context, buffer);
}

static DuOp *
counted_prepare (DuContext *context, const DuOpShape *shape, GError **error)
{
  return may_go_on (error) ? du_backend_reference.prepare (context, shape, error) : NULL;
}

static void
counted_op_free (DuContext *context, DuOp *op)
{
  counted.live -= op != NULL;
  du_backend_reference.op_free (context, op);
}

/* The reference back end, counted. */
static DuBackend
open_counted (DuContext **context)
{
  DuBackend backend = du_backend_reference;
  const DuContextOptions options = { DU_TYPE_F32, 1, -1 };

  memset (&counted, 0, sizeof counted);
  counted.fail_at = -1;
  backend.buffer_new = counted_buffer_new;
  backend.buffer_free = counted_buffer_free;
  backend.prepare = counted_prepare;
  backend.op_free = counted_op_free;
  *context = backend.open (&options, NULL);
  g_assert_nonnull (*context);
  return backend;
}

/* Walks the table with the buffers' names only: what is read must be what was written last. */
static void
test_sharing (void)
{
  DuContext *context;
  const DuBackend backend = open_counted (&context);
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) holds = g_hash_table_new (NULL, NULL);
  DuNetworkCache networks;
  DuNetwork *network;
  DuConfig config;
  const gsize level0 = 64 * 96 * 32;

  du_config_init (&config);
  du_network_cache_init (&networks, &backend, context, DU_TYPE_F32, &config, 1);
  network = du_network_cache_get (&networks, DU_MODE_INFERENCE, 1, 64, 96, &error);
  g_assert_no_error (error);
  g_test_message ("inference: %.2f times the first row's output", (double) counted.elements / level0);
  /* The first skip, two sources and an output of level 0, and what little the deeper levels add. */
  g_assert_cmpuint (counted.elements, <, level0 * 9 / 2);
  for (int row = 0; row < DU_N_ROWS; row++) {
    const int sources[] = { du_rows[row].source, du_rows[row].skip };

    for (int i = 0; i < 2; i++)
      if (sources[i] >= 0)
        g_assert_cmpint (GPOINTER_TO_INT (g_hash_table_lookup (holds, network->outputs[sources[i]])), ==,
            sources[i]);
    g_hash_table_insert (holds, network->outputs[row], GINT_TO_POINTER (row));
  }

  network = du_network_cache_get (&networks, DU_MODE_TRAINING, 1, 64, 96, &error);
  g_assert_no_error (error);
  g_hash_table_remove_all (holds);
  for (int row = 0; row < DU_N_ROWS; row++) {
    g_assert_true (g_hash_table_add (holds, network->outputs[row]));
    g_assert_true (network->gradients[row] != network->outputs[row]);
  }
  g_hash_table_remove_all (holds);
  g_hash_table_insert (holds, network->gradients[DU_N_ROWS - 1], GINT_TO_POINTER (DU_N_ROWS - 1));
  for (int row = DU_N_ROWS - 1; row >= 0; row--) {
    const int sources[] = { du_rows[row].source, du_rows[row].skip };

    g_assert_cmpint (GPOINTER_TO_INT (g_hash_table_lookup (holds, network->gradients[row])), ==, row);
    for (int i = 0; i < 2; i++)
      if (sources[i] >= 0) {
        g_assert_true (network->gradients[sources[i]] != network->gradients[row]);
        g_hash_table_insert (holds, network->gradients[sources[i]], GINT_TO_POINTER (sources[i]));
      }
  }
  du_network_cache_clear (&networks);
  g_assert_cmpint (counted.live, ==, 0);
  backend.close (context);
}

/* What is said to be taken is what is taken. */
static void
test_memory (void)
{
  enum
  {
    N = 2,
    H = 64,
    W = 96,
    PICTURES = 4 * N * H * W * 3 * sizeof (float),
  };
  DuContext *context;
  const DuBackend backend = open_counted (&context);
  g_autoptr (GError) error = NULL;
  DuNetworkCache networks;
  DuTrainerOptions options;
  DuTrainerMemory f32, bf16;
  gsize rectified = 0, positions = 0;

  du_trainer_options_init (&options);
  g_assert_true (du_trainer_memory (&options, N, H, W, &f32, &error));
  options.precision = DU_PRECISION_BF16;
  g_assert_true (du_trainer_memory (&options, N, H, W, &bf16, &error));
  for (guint i = 0; i < du_config_n_layers (&options.config); i++) {
    DuLayer layer;
    gsize elements;

    du_config_layer (&options.config, i, H, W, &layer);
    elements = (gsize) N * layer.height * layer.width * layer.channels;
    rectified += strstr (layer.operation, "BN") ? elements * sizeof (float) : 0;
    positions += strstr (layer.operation, "pool") ? elements : 0;
  }
  g_assert_cmpuint (rectified, >, 0);
  g_assert_cmpuint (positions, >, 0);
  du_network_cache_init (&networks, &backend, context, DU_TYPE_F32, &options.config, 1);
  g_assert_nonnull (du_network_cache_get (&networks, DU_MODE_TRAINING, N, H, W, &error));
  g_assert_cmpuint (f32.activations + f32.gradients, ==,
      counted.elements * sizeof (float) + rectified + positions);
  g_assert_cmpuint (f32.activations + f32.gradients - PICTURES - positions, ==,
      2 * (bf16.activations + bf16.gradients - PICTURES - positions));
  g_assert_cmpuint (f32.working, ==, 2 * bf16.working);
  g_assert_cmpuint (f32.working, ==, (gsize) N * H * W * 64 * sizeof (float)); /* what dec0.conv1 reads */
  g_assert_cmpuint (f32.parameters - bf16.parameters, ==, 4 * du_config_n_parameters (&options.config));
  g_assert_false (du_trainer_memory (&options, 1 << 20, 1 << 20, 1 << 20, &f32, &error));
  g_assert_error (error, DU_ERROR, DU_ERROR_MEMORY);
  du_network_cache_clear (&networks);
  backend.close (context);
}

/* ---- the first level in parts ----------------------------------------------------------------------------------- */

static int wanted_sub; /* as sub_batch of the back end below has it */
static gboolean has_parts;

static int
choose_sub (const DuContext *context, gsize bytes)
{
  (void) context;
  g_assert_cmpuint (bytes, >, 0);
  return wanted_sub;
}

static GHashTable *parts; /* that live */

static DuBuffer *
part_new (DuContext *context, DuBuffer *buffer, gsize at, gsize count, GError **error)
{
  DuBuffer *part;

  (void) context;
  g_assert_cmpuint (at + count, <=, buffer->count);
  if (!may_go_on (error))
    return NULL;
  part = g_new0 (DuBuffer, 1);
  *part = (DuBuffer){ buffer->type, count, du_cpu_f32 (buffer) + at };
  g_hash_table_add (parts, part);
  has_parts = TRUE;
  return part;
}

static void
part_free (DuContext *context, DuBuffer *buffer)
{
  if (buffer && g_hash_table_remove (parts, buffer)) {
    counted.live--;
    g_free (buffer);
  } else {
    counted_buffer_free (context, buffer);
  }
}

/* The counted back end with parts. */
static DuBackend
open_parts (DuContext **context)
{
  DuBackend backend = open_counted (context);

  parts = g_hash_table_new (NULL, NULL);
  backend.buffer_free = part_free;
  backend.buffer_part = part_new;
  backend.sub_batch = choose_sub;
  return backend;
}

/* However many samples the first level is done for at a time, the same bits; what that takes is what is said. */
static void
test_parts (void)
{
  enum
  {
    N = 6,
    H = 32,
    W = 48,
    COUNT = N * H * W * 3,
  };
  static const struct
  {
    int wanted, sub;
  } cases[] = { { 0, N }, { 1, 1 }, { 2, 2 }, { 3, 3 }, { 4, 3 }, { 5, 3 }, { 6, N }, { 100, N } };
  DuContext *context;
  const DuBackend backend = open_parts (&context);
  g_autofree float *expected = NULL, *input = g_new (float, COUNT);
  gsize whole = 0;

  for (int i = 0; i < COUNT; i++)
    input[i] = ((guint32) i * 2654435761u >> 24) / 255.f;
  for (guint c = 0; c < G_N_ELEMENTS (cases); c++)
    for (DuHead head = DU_HEAD_SIGMOID; head <= DU_HEAD_RESIDUAL; head++) {
      const DuConfig config = { 3, 0x1ff, head };
      const gsize n_parameters = du_config_n_parameters (&config);
      g_autofree float *values = g_new (float, n_parameters), *output = g_new (float, COUNT);
      g_autoptr (GError) error = NULL;
      DuNetworkCache networks;
      DuNetwork *network;
      DuBuffer *block;
      gsize bytes;

      g_test_message ("%d wanted, head %d", cases[c].wanted, head);
      for (gsize i = 0; i < n_parameters; i++) /* variances above 0 */
        values[i] = 0.05f + ((guint32) i * 2246822519u >> 24) / 1024.f;
      wanted_sub = cases[c].wanted;
      has_parts = FALSE;
      counted.elements = 0;
      du_network_cache_init (&networks, &backend, context, DU_TYPE_F32, &config, 1);
      network = du_network_cache_get (&networks, DU_MODE_INFERENCE, N, H, W, &error);
      g_assert_no_error (error);
      g_assert_cmpint (network->sub, ==, cases[c].sub);
      g_assert_cmpint (has_parts, ==, cases[c].sub < N);
      g_assert_true (du_network_inference_memory (&networks, N, cases[c].sub, H, W, &bytes, &error));
      g_assert_cmpuint (bytes, >, counted.elements * sizeof (float));
      if (cases[c].sub == N)
        whole = counted.elements;
      g_assert_true (cases[c].sub == N || counted.elements < whole);
      block = new_block (&backend, context, values, n_parameters);
      g_assert_true (du_network_load (network, block, 1, &error));
      backend.upload (context, network->picture, 0, input, COUNT, &error);
      for (int again = 0; again < 2; again++) {
        g_assert_true (du_network_forward (network, NULL, &error));
        download (network, network->prediction, output, COUNT);
        if (c == 0 && head == DU_HEAD_SIGMOID && !again)
          expected = g_new (float, 2 * COUNT);
        if (c == 0)
          memcpy (expected + head * COUNT, output, COUNT * sizeof *output);
        g_assert_cmpint (memcmp (expected + head * COUNT, output, COUNT * sizeof *output), ==, 0);
      }
      /* Training knows nothing of it. */
      network = du_network_cache_get (&networks, DU_MODE_TRAINING, N, H, W, &error);
      g_assert_no_error (error);
      g_assert_cmpint (network->sub, ==, N);
      part_free (context, block);
      du_network_cache_clear (&networks);
      g_assert_cmpint (counted.live, ==, 0);
    }
  /* Parts that cannot be had leave nothing behind. */
  wanted_sub = 1;
  for (int fail_at = 0; fail_at >= 0; fail_at++) {
    const DuConfig config = { 1, 0, DU_HEAD_RESIDUAL };
    g_autoptr (GError) error = NULL;
    DuNetworkCache networks;

    counted.calls = 0;
    counted.fail_at = fail_at;
    counted.fail_times = 1;
    du_network_cache_init (&networks, &backend, context, DU_TYPE_F32, &config, 1);
    if (du_network_cache_get (&networks, DU_MODE_INFERENCE, 2, 16, 16, &error))
      fail_at = -2;
    else
      g_assert_error (error, DU_ERROR, DU_ERROR_MEMORY);
    du_network_cache_clear (&networks);
    g_assert_cmpint (counted.live, ==, 0);
  }
  g_hash_table_unref (parts);
  backend.close (context);
}

/* Tiles at a time: within the back end's bounds, and in equal passes where that costs less than half. */
static void
test_batch (void)
{
  static const struct
  {
    int most;
    gsize samples; /* that there is memory for, 0 = no bound */
    int tiles, batch;
  } cases[] = { { 0, 0, 30, 1 }, { 1, 0, 30, 1 }, { 8, 0, 1, 1 }, { 8, 0, 8, 8 }, { 8, 0, 48, 8 }, { 8, 0, 30, 6 },
    { 8, 0, 25, 5 }, { 8, 0, 9, 5 }, { 8, 0, 11, 6 }, { 12, 0, 30, 10 }, { 12, 0, 48, 12 }, { 12, 0, 25, 9 },
    { 12, 0, 13, 7 }, { 10, 0, 25, 5 }, { 12, 9, 30, 6 }, { 12, 9, 48, 8 }, { 9, 9, 13, 5 }, { 12, 1, 30, 1 }, { 100, 0, 48, 48 } };
  const DuConfig config = { 2, 0, DU_HEAD_SIGMOID };
  DuBackend backend = { .name = "none" };
  const DuNetworkCache cache = { &backend, NULL, DU_TYPE_BF16, config, 1, NULL };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    backend.batch = cases[i].most;
    backend.memory = 0;
    if (cases[i].samples)
      g_assert_true (du_network_inference_memory (&cache, cases[i].samples, cases[i].samples, 64, 96,
          &backend.memory, NULL));
    g_test_message ("case %u", i);
    g_assert_cmpint (du_network_batch (&cache, cases[i].tiles, 64, 96), ==, cases[i].batch);
  }
  /* Where there is no room for one either, one is tried. */
  backend.batch = 8;
  backend.memory = 1;
  g_assert_cmpint (du_network_batch (&cache, 30, 64, 96), ==, 1);
}

/* Whatever cannot be had: an error, nothing left behind, and a second try without the other networks. */
static void
test_no_memory (void)
{
  DuContext *context;
  const DuBackend backend = open_counted (&context);
  const DuConfig config = { 1, 0x1ff, DU_HEAD_RESIDUAL };
  int calls = 0;

  for (int fail_at = -1; fail_at < calls; fail_at++) {
    g_autoptr (GError) error = NULL;
    DuNetworkCache networks;
    DuNetwork *network;

    du_network_cache_init (&networks, &backend, context, DU_TYPE_F32, &config, 2);
    counted.fail_times = 0;
    g_assert_nonnull (du_network_cache_get (&networks, DU_MODE_INFERENCE, 1, 16, 16, &error));
    counted.calls = 0;
    counted.fail_times = 1;
    counted.fail_at = fail_at < 0 ? G_MAXINT : fail_at;
    network = du_network_cache_get (&networks, DU_MODE_TRAINING, 1, 16, 16, &error);
    g_assert_no_error (error);
    g_assert_nonnull (network);
    g_assert_cmpuint (networks.networks->len, ==, fail_at < 0 ? 2 : 1);
    if (fail_at < 0)
      calls = counted.calls;
    else {
      counted.calls = 0;
      counted.fail_times = 2;
      g_assert_null (du_network_cache_get (&networks, DU_MODE_TRAINING, 2, 16, 16, &error));
      g_assert_error (error, DU_ERROR, DU_ERROR_MEMORY);
      g_assert_cmpint (counted.live, ==, 0);
    }
    du_network_cache_clear (&networks);
    g_assert_cmpint (counted.live, ==, 0);
  }
  backend.close (context);
}

static void
test_cache (void)
{
  DuContext *context;
  const DuBackend backend = open_counted (&context);
  const DuConfig config = { 1, 0, DU_HEAD_SIGMOID };
  DuNetworkCache networks;
  DuNetwork *a, *b;

  du_network_cache_init (&networks, &backend, context, DU_TYPE_F32, &config, 2);
  a = du_network_cache_get (&networks, DU_MODE_INFERENCE, 1, 16, 16, NULL);
  b = du_network_cache_get (&networks, DU_MODE_INFERENCE, 1, 16, 32, NULL);
  g_assert_nonnull (du_network_cache_get (&networks, DU_MODE_TRAINING, 1, 16, 16, NULL));
  g_assert_true (a == du_network_cache_get (&networks, DU_MODE_INFERENCE, 1, 16, 16, NULL));
  g_assert_true (b != a);
  g_assert_cmpuint (networks.networks->len, ==, 3);
  /* The least recently used of the mode makes room. */
  g_assert_nonnull (du_network_cache_get (&networks, DU_MODE_INFERENCE, 2, 16, 16, NULL));
  g_assert_cmpuint (networks.networks->len, ==, 3);
  for (guint i = 0; i < networks.networks->len; i++)
    g_assert_cmpint (((DuNetwork *) networks.networks->pdata[i])->width, ==, 16);
  du_network_cache_clear (&networks);
  backend.close (context);
}

static void
test_sizes (void)
{
  static const struct
  {
    int n, height, width, code;
  } cases[] = {
    { 0, 16, 16, DU_ERROR_ARGUMENT },
    { -1, 16, 16, DU_ERROR_ARGUMENT },
    { 1, 0, 16, DU_ERROR_ARGUMENT },
    { 1, 16, -16, DU_ERROR_ARGUMENT },
    { 1, 15, 16, DU_ERROR_ARGUMENT },
    { 1, 16, 24, DU_ERROR_ARGUMENT },
    { 2147483647, 2147483632, 2147483632, DU_ERROR_MEMORY },
  };
  DuContext *context;
  const DuBackend backend = open_counted (&context);
  const DuConfig config = { 4, 0, DU_HEAD_SIGMOID };
  DuNetworkCache networks;

  du_network_cache_init (&networks, &backend, context, DU_TYPE_F32, &config, 1);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;

    g_test_message ("%d x %d x %d", cases[i].n, cases[i].height, cases[i].width);
    g_assert_null (du_network_cache_get (&networks, DU_MODE_INFERENCE, cases[i].n, cases[i].height,
        cases[i].width, &error));
    g_assert_error (error, DU_ERROR, cases[i].code);
  }
  g_assert_cmpint (counted.live, ==, 0);
  du_network_cache_clear (&networks);
  backend.close (context);
}

static void
test_choice (void)
{
  static const struct
  {
    DuBackendKind kind;
    DuPrecision precision;
    int threads;
    int code; /* -1 = opens */
  } cases[] = {
    { DU_BACKEND_REFERENCE, DU_PRECISION_AUTO, 0, -1 },
    { DU_BACKEND_REFERENCE, DU_PRECISION_F32, 1, -1 },
    { DU_BACKEND_REFERENCE, DU_PRECISION_F16, 1, DU_ERROR_UNAVAILABLE },
    { DU_BACKEND_CPU, DU_PRECISION_AUTO, 0, -1 },
    { DU_BACKEND_AUTO, DU_PRECISION_AUTO, 1, -1 },
    { DU_BACKEND_CPU, DU_PRECISION_F16, 1, DU_ERROR_UNAVAILABLE },
    { DU_BACKEND_CUDA, DU_PRECISION_AUTO, 1, DU_ERROR_UNAVAILABLE },
    { DU_BACKEND_AUTO, DU_PRECISION_F32, -1, DU_ERROR_ARGUMENT },
    { DU_BACKEND_AUTO, DU_PRECISION_F32, 100000, DU_ERROR_ARGUMENT },
    { DU_BACKEND_AUTO, 17, 0, DU_ERROR_ARGUMENT },
    { 17, DU_PRECISION_AUTO, 0, DU_ERROR_ARGUMENT },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (int training = FALSE; training <= TRUE; training++) {
      g_autoptr (GError) error = NULL;
      g_autofree char *note = NULL;
      DuContext *context;
      DuType type;
      const DuBackend *backend = du_backend_open (cases[i].kind, cases[i].precision, cases[i].threads, -1,
          NULL, training, &context, &type, &note, &error);

      g_test_message ("case %u: %s", i, error ? error->message : note ? note : "");
      if (cases[i].code >= 0) {
        g_assert_error (error, DU_ERROR, cases[i].code);
        g_assert_null (note);
        continue;
      }
      g_assert_no_error (error);
      /* On a CPU auto is bf16 or a note that says why not, and f32 for training. */
      if (training || cases[i].kind == DU_BACKEND_REFERENCE || note)
        g_assert_cmpint (type, ==, DU_TYPE_F32);
      else if (cases[i].precision == DU_PRECISION_AUTO)
        g_assert_cmpint (type, ==, DU_TYPE_BF16);
      backend->close (context);
    }
  g_assert_cmpint (du_backend_threads (3), ==, 3);
  g_assert_cmpint (du_backend_threads (0), >=, 1);
}

int
main (int argc, char **argv)
{
  static const Case cases[] = {
    { DU_BACKEND_REFERENCE, "sigmoid", 1e-6 },
    { DU_BACKEND_REFERENCE, "residual", 1e-6 },
    { DU_BACKEND_CPU, "sigmoid", 5e-5 },
    { DU_BACKEND_CPU, "residual", 5e-5 },
    { DU_BACKEND_CUDA, "sigmoid", 5e-5 },
    { DU_BACKEND_CUDA, "residual", 5e-5 },
  };
  static const char *const names[]
      = { [DU_BACKEND_REFERENCE] = "reference", [DU_BACKEND_CPU] = "onednn", [DU_BACKEND_CUDA] = "cuda" };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path
        = g_strdup_printf ("/network/pytorch/%s/%s", names[cases[i].kind], cases[i].fixture);

    if (cases[i].kind != DU_BACKEND_CUDA || g_getenv ("DEBLURUNET_CUDA_MODULE"))
      g_test_add_data_func (path, &cases[i], test_pytorch);
  }
  g_test_add_func ("/network/sharing", test_sharing);
  g_test_add_func ("/network/memory", test_memory);
  g_test_add_func ("/network/parts", test_parts);
  g_test_add_func ("/network/batch", test_batch);
  g_test_add_func ("/network/no-memory", test_no_memory);
  g_test_add_func ("/network/cache", test_cache);
  g_test_add_func ("/network/sizes", test_sizes);
  g_test_add_func ("/network/choice", test_choice);
  return g_test_run ();
}

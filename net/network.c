/* The walk over the table: nothing here knows a particular row.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network.h"

/* The rows during which a buffer holds something that is still needed, ends included. */
typedef struct
{
  int first, last;
  gsize count; /* elements, 0 = no buffer wanted */
} Span;

/* The last row that reads a row's output. */
static int
last_reader (int row)
{
  int last = row;

  for (int reader = row + 1; reader < DU_N_ROWS; reader++)
    if (du_rows[reader].source == row || du_rows[reader].skip == row)
      last = reader;
  return last;
}

/* Whether a row reads or writes the first level, other than as the picture. */
static gboolean
is_first_level (int row)
{
  const int source = du_rows[row].source;

  return du_rows[row].level == 0 || (source >= 0 && du_rows[source].level == 0);
}

/* Rows of the first level that follow one another are a run: all of them are done for some samples, then for the
 * next ones. The ends of a row's run; others are one each by themselves. */
static int
run_start (int row)
{
  while (is_first_level (row) && row > 0 && is_first_level (row - 1))
    row--;
  return row;
}

static int
run_end (int row)
{
  while (is_first_level (row) && row + 1 < DU_N_ROWS && is_first_level (row + 1))
    row++;
  return row;
}

/* Whether nothing outside of its run reads what a row writes; the prediction is the caller's. */
static gboolean
stays_within (int row)
{
  return is_first_level (row) && du_rows[row].kind != DU_ROW_HEAD && last_reader (row) <= run_end (row);
}

static DuBuffer *
new_buffer (DuNetwork *network, DuType type, gsize count, GError **error)
{
  DuBuffer *buffer = network->backend->buffer_new (network->context, type, count, error);

  if (buffer)
    g_ptr_array_add (network->buffers, buffer);
  return buffer;
}

/* Elements of one sample of a row's output. */
static gsize
row_size (const DuConfig *config, int row, int height, int width)
{
  const int level = du_rows[row].level;

  return (gsize) (height >> level) * (width >> level) * du_row_channels (config, row);
}

/* The row that reads an up-conv's output beside its skip; -1 for other rows. */
static int
joining_reader (int row)
{
  const int reader = last_reader (row);

  return du_rows[row].kind == DU_ROW_UP && du_rows[reader].source == row && du_rows[reader].skip >= 0 ? reader : -1;
}

/* Elements of one sample of a row's output with room for what is to stand beside it. */
static gsize
joined_size (const DuConfig *config, int joins, int row, int height, int width)
{
  const int level = du_rows[row].level, reader = joins ? joining_reader (row) : -1;
  int channels;

  if (reader < 0)
    return row_size (config, row, height, width);
  channels = du_row_channels (config, row) + du_row_channels (config, du_rows[reader].skip);
  return (gsize) (height >> level) * (width >> level) * ((channels + joins - 1) / joins * joins);
}

/* A row's output is needed from the row to its last reader; walking backwards, so is its gradient. Where the
 * first level is done for sub samples at a time, what stays within its run takes no more than they do, and
 * everything else that the run reads or writes is needed all along it. */
static void
row_spans (const DuConfig *config, int joins, int n, int sub, int height, int width, Span spans[DU_N_ROWS])
{
  for (int row = 0; row < DU_N_ROWS; row++) {
    const gboolean is_part = sub < n && stays_within (row);
    const int last = last_reader (row);

    spans[row] = (Span){ row, last, (is_part ? sub : n) * joined_size (config, joins, row, height, width) };
    if (sub < n && !is_part)
      spans[row] = (Span){ run_start (row), run_end (last), spans[row].count };
    if (du_rows[row].kind == DU_ROW_HEAD)
      spans[row].count = 0; /* the prediction, float32 */
  }
}

/* One buffer for each span, or for several that do not meet: largest first, each into the first buffer that
 * is free for as long (Pisarchyk & Lee 2020, "greedy by size for shared objects"). owners: of each row that
 * whose buffer it takes, its own or another's of at least its size; -1 = it wants none. */
static void
share_buffers (const Span *spans, int owners[DU_N_ROWS])
{
  for (int row = 0; row < DU_N_ROWS; row++)
    owners[row] = -1;
  for (;;) {
    int largest = -1;

    for (int row = 0; row < DU_N_ROWS; row++)
      if (owners[row] < 0 && spans[row].count && (largest < 0 || spans[row].count > spans[largest].count))
        largest = row;
    if (largest < 0)
      return;
    for (int owner = 0; owner < DU_N_ROWS && owners[largest] < 0; owner++) {
      gboolean is_free = owners[owner] == owner;

      for (int user = 0; user < DU_N_ROWS && is_free; user++)
        is_free = owners[user] != owner || spans[user].last < spans[largest].first
                  || spans[user].first > spans[largest].last;
      if (is_free)
        owners[largest] = owner;
    }
    if (owners[largest] < 0)
      owners[largest] = largest;
  }
}

static gboolean
new_shared_buffers (DuNetwork *network, DuType type, const Span *spans, DuBuffer **buffers, GError **error)
{
  int owners[DU_N_ROWS];

  share_buffers (spans, owners);
  for (int row = 0; row < DU_N_ROWS; row++)
    if (owners[row] == row && !(buffers[row] = new_buffer (network, type, spans[row].count, error)))
      return FALSE;
  for (int row = 0; row < DU_N_ROWS; row++)
    if (owners[row] >= 0)
      buffers[row] = buffers[owners[row]];
  return TRUE;
}

/* A part of a buffer, from sample first of its own on. */
static DuBuffer *
new_part (DuNetwork *network, DuBuffer *buffer, int first, gsize size, GError **error)
{
  DuBuffer *part
      = network->backend->buffer_part (network->context, buffer, first * size, network->sub * size, error);

  if (part)
    g_ptr_array_add (network->buffers, part);
  return part;
}

/* What each turn of a run reads and writes: parts of the buffers of whole batches, others as they are. */
static gboolean
new_turns (DuNetwork *network, GError **error)
{
  const gsize picture = (gsize) network->height * network->width * DU_PICTURE_CHANNELS;
  const int count = network->n / network->sub;
  gboolean ok = TRUE;

  network->turns = g_new0 (DuNetworkTurn, count);
  for (int i = 0; i < count && ok; i++) {
    DuNetworkTurn *turn = &network->turns[i];
    const int first = i * network->sub;

    ok = (turn->picture = new_part (network, network->picture, first, picture, error)) != NULL;
    for (int row = 0; row < DU_N_ROWS && ok; row++) {
      const gsize size = du_rows[row].kind == DU_ROW_HEAD
                             ? picture
                             : row_size (&network->config, row, network->height, network->width);
      gboolean is_read = FALSE;

      for (int reader = row + 1; reader < DU_N_ROWS; reader++)
        is_read |= is_first_level (reader) && (du_rows[reader].source == row || du_rows[reader].skip == row);
      if (stays_within (row))
        turn->outputs[row] = network->outputs[row];
      else if (is_first_level (row) || is_read)
        ok = (turn->outputs[row] = new_part (network, network->outputs[row], first, size, error)) != NULL;
    }
  }
  return ok;
}

static void
network_free (gpointer data)
{
  DuNetwork *network = data;

  for (int row = 0; row < DU_N_ROWS; row++)
    network->backend->op_free (network->context, network->ops[row]);
  /* Parts come behind what they are parts of. */
  for (guint i = network->buffers->len; i > 0; i--)
    network->backend->buffer_free (network->context, network->buffers->pdata[i - 1]);
  g_ptr_array_unref (network->buffers);
  g_free (network->turns);
  g_free (network);
}

static gboolean
check_size (const DuConfig *config, int n, int height, int width, GError **error)
{
  gsize bytes;

  if (n < 1 || height < 1 || width < 1 || height % DU_SIZE_MULTIPLE || width % DU_SIZE_MULTIPLE) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
        "%d pictures of height %d and width %d cannot be a network's input: give at least one, with sides "
        "that are multiples of %d",
        n, height, width, DU_SIZE_MULTIPLE);
    return FALSE;
  }
  /* No row's output is larger than the first one's, or than the picture with base widths below 3; a row has
   * less than four times as much for all that it needs. */
  if (!g_size_checked_mul (&bytes, (gsize) n * height, (gsize) width * sizeof (float))
      || !g_size_checked_mul (&bytes, bytes, MAX (config->base_width, DU_PICTURE_CHANNELS))
      || bytes > G_MAXSSIZE / (4 * DU_N_ROWS)) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY,
        "%d pictures of height %d and width %d at base width %d exceed the address space: give smaller ones",
        n, height, width, config->base_width);
    return FALSE;
  }
  return TRUE;
}

static DuOp *
prepare_row (const DuNetwork *network, int index, GError **error)
{
  const DuRow *row = &du_rows[index];
  const DuConfig *config = &network->config;
  const gboolean is_up = row->kind == DU_ROW_UP;
  const int skip = is_up ? du_rows[joining_reader (index)].skip : row->skip;
  const gboolean joined = network->mode == DU_MODE_INFERENCE && network->backend->joins
                          && (is_up || (row->source >= 0 && joining_reader (row->source) == index));
  const DuOpShape shape = {
    .kind = row->kind,
    .mode = network->mode,
    .head = config->head,
    .bn = du_row_has_bn (config, index),
    .picture = row->source == DU_PICTURE,
    .n = is_first_level (index) ? network->sub : network->n,
    .height = network->height >> row->level,
    .width = network->width >> row->level,
    .channels_in = du_row_channels (config, row->source),
    .channels_skip = is_up && !joined ? 0 : du_row_channels (config, skip),
    .channels_out = du_row_channels (config, index),
    .joined = joined,
  };

  return network->backend->prepare (network->context, &shape, error);
}

/* Samples that the first level is to be done for at a time: what the back end wants, or somewhat fewer, so that
 * all turns are alike. */
static int
choose_sub (const DuNetworkCache *cache, DuMode mode, int n, int height, int width)
{
  const DuBackend *backend = cache->backend;
  const gsize bytes
      = row_size (&cache->config, 0, height, width) * (cache->type == DU_TYPE_F32 ? sizeof (float) : sizeof (guint16));
  int sub = mode == DU_MODE_INFERENCE && backend->sub_batch ? backend->sub_batch (cache->context, bytes) : 0;

  if (sub < 1 || sub >= n)
    return n;
  while (n % sub)
    sub--;
  return sub;
}

static DuNetwork *
network_new (const DuNetworkCache *cache, DuMode mode, int n, int height, int width, GError **error)
{
  DuNetwork *network;
  Span spans[DU_N_ROWS], apart[DU_N_ROWS];
  gboolean training = mode == DU_MODE_TRAINING, ok;

  if (!check_size (&cache->config, n, height, width, error))
    return NULL;
  network = g_new0 (DuNetwork, 1);
  network->backend = cache->backend;
  network->context = cache->context;
  network->config = cache->config;
  network->mode = mode;
  network->n = n;
  network->sub = choose_sub (cache, mode, n, height, width);
  network->height = height;
  network->width = width;
  network->n_samples = (gsize) n * height * width * DU_PICTURE_CHANNELS;
  network->buffers = g_ptr_array_new ();

  row_spans (&cache->config, training ? 0 : cache->backend->joins, n, network->sub, height, width, spans);
  for (int row = 0; row < DU_N_ROWS; row++)
    apart[row] = (Span){ 0, DU_N_ROWS, spans[row].count };
  ok = (network->picture = new_buffer (network, DU_TYPE_F32, network->n_samples, error))
       && (network->prediction = new_buffer (network, DU_TYPE_F32, network->n_samples, error))
       && new_shared_buffers (network, cache->type, training ? apart : spans, network->outputs, error);
  if (ok && training)
    ok = (network->gradient = new_buffer (network, DU_TYPE_F32, network->n_samples, error))
         && (network->target = new_buffer (network, DU_TYPE_F32, network->n_samples, error))
         && new_shared_buffers (network, cache->type, spans, network->gradients, error);
  for (int row = 0; row < DU_N_ROWS && ok; row++) {
    ok = (network->ops[row] = prepare_row (network, row, error)) != NULL;
    if (du_rows[row].kind == DU_ROW_HEAD) {
      network->outputs[row] = network->prediction;
      network->gradients[row] = network->gradient;
    }
  }
  ok = ok && (network->sub == n || new_turns (network, error));
  if (!ok)
    g_clear_pointer (&network, network_free);
  return network;
}

/* Elements that a row has rewritten for a library for so many samples: sources side by side, an up-conv's output. */
static gsize
row_copies (const DuConfig *config, int joins, int row, int n, int height, int width)
{
  const DuRow *r = &du_rows[row];
  const gsize pixels = (gsize) n * (height >> r->level) * (width >> r->level);

  if (r->kind == DU_ROW_UP)
    return n * row_size (config, row, height, width);
  return r->kind == DU_ROW_CONV && r->skip >= 0 && !(joins && joining_reader (r->source) == row)
             ? pixels * (du_row_channels (config, r->source) + du_row_channels (config, r->skip))
             : 0;
}

gboolean
du_network_inference_memory (const DuNetworkCache *cache, int n, int sub, int height, int width, gsize *bytes,
    GError **error)
{
  const gsize of_type = cache->type == DU_TYPE_F32 ? sizeof (float) : sizeof (guint16);
  const DuConfig *config = &cache->config;
  const int joins = cache->backend->joins;
  gsize working = 0;
  Span spans[DU_N_ROWS];
  int owners[DU_N_ROWS];

  if (!check_size (config, n, height, width, error))
    return FALSE;
  row_spans (config, joins, n, sub, height, width, spans);
  share_buffers (spans, owners);
  *bytes = (gsize) 2 * n * height * width * DU_PICTURE_CHANNELS * sizeof (float);
  for (int row = 0; row < DU_N_ROWS; row++) {
    if (owners[row] == row)
      *bytes += spans[row].count * of_type;
    working = MAX (working, row_copies (config, joins, row, is_first_level (row) ? sub : n, height, width));
  }
  *bytes += working * of_type;
  return TRUE;
}

/* Whether passes on so many, and one on the rest, are within what the back end wants to take. */
static gboolean
is_within_budget (const DuNetworkCache *cache, int n, int rest, int height, int width)
{
  const int sizes[] = { n, rest };
  gsize total = 0;

  for (guint i = 0; i < G_N_ELEMENTS (sizes) && cache->backend->memory; i++) {
    const int sub = choose_sub (cache, DU_MODE_INFERENCE, sizes[i], height, width);
    gsize bytes;

    if (sizes[i]
        && (!du_network_inference_memory (cache, sizes[i], sub, height, width, &bytes, NULL)
            || !g_size_checked_add (&total, total, bytes)))
      return FALSE;
  }
  return total <= cache->backend->memory;
}

int
du_network_batch (const DuNetworkCache *cache, int tiles, int height, int width)
{
  int most = CLAMP (cache->backend->batch, 1, tiles), batch;

  while (most > 1 && !is_within_budget (cache, most, 0, height, width))
    most--;
  for (batch = most; 2 * batch >= most; batch--)
    if (tiles % batch == 0)
      return batch;
  for (int passes = (tiles + most - 1) / most; passes < tiles; passes++) {
    batch = (tiles + passes - 1) / passes;
    if (is_within_budget (cache, batch, tiles % batch, height, width))
      return batch;
  }
  return 1;
}

gboolean
du_network_training_memory (const DuConfig *config, DuType type, int n, int height, int width,
    DuTrainerMemory *memory, GError **error)
{
  const gsize of_type = type == DU_TYPE_F32 ? sizeof (float) : sizeof (guint16);
  Span spans[DU_N_ROWS];
  int owners[DU_N_ROWS];

  if (!check_size (config, n, height, width, error))
    return FALSE;
  row_spans (config, 0, n, n, height, width, spans);
  share_buffers (spans, owners);
  /* Picture, prediction and target; d loss / d prediction. */
  memory->gradients = (gsize) n * height * width * DU_PICTURE_CHANNELS * sizeof (float);
  memory->activations = 3 * memory->gradients;
  memory->working = 0;
  for (int row = 0; row < DU_N_ROWS; row++) {
    const DuRow *r = &du_rows[row];
    gsize pixels = (gsize) n * (height >> r->level) * (width >> r->level), sources = 0;

    memory->activations += spans[row].count * of_type;
    if (owners[row] == row)
      memory->gradients += spans[row].count * of_type;
    /* What the op keeps until its backward (backend.h). */
    if (du_row_has_bn (config, row))
      memory->activations += spans[row].count * of_type;
    if (r->kind == DU_ROW_POOL)
      memory->activations += spans[row].count;
    /* Rewritten for a library: both sources side by side, an up-conv's output and source. */
    if (r->kind == DU_ROW_CONV)
      sources = pixels * (du_row_channels (config, r->source) + du_row_channels (config, r->skip));
    else if (r->kind == DU_ROW_UP)
      sources = spans[row].count + pixels / 4 * du_row_channels (config, r->source);
    memory->working = MAX (memory->working, sources * of_type);
  }
  return TRUE;
}

gboolean
du_network_load (DuNetwork *network, const DuBuffer *parameters, guint64 version, GError **error)
{
  if (network->version == version)
    return TRUE;
  network->version = 0;
  for (int row = 0; row < DU_N_ROWS; row++) {
    DuOpParameters of_row = { .block = parameters };

    du_row_offsets (&network->config, row, &of_row.at);
    if (of_row.at.weight != DU_NO_OFFSET
        && !network->backend->load (network->context, network->ops[row], &of_row, error))
      return FALSE;
  }
  network->version = version;
  return TRUE;
}

/* buffers, gradients or outputs, of a source; NULL for none. */
static DuBuffer *
source_buffer (DuBuffer *const *buffers, DuBuffer *picture, int source)
{
  return source >= 0 ? buffers[source] : source == DU_PICTURE ? picture : NULL;
}

/* Rows first to last, with these buffers. */
static gboolean
forward_rows (DuNetwork *network, int first, int last, DuBuffer *picture, DuBuffer *const *outputs,
    DuBuffer *statistics, GError **error)
{
  for (int index = first; index <= last; index++) {
    const DuRow *row = &du_rows[index];
    DuForward args = {
      .input = source_buffer (outputs, picture, row->source),
      .skip = source_buffer (outputs, picture, row->skip),
      .output = outputs[index],
    };

    if (network->mode == DU_MODE_TRAINING && du_row_has_bn (&network->config, index)) {
      DuRowOffsets at;

      du_row_offsets (&network->config, index, &at);
      args.statistics = statistics;
      args.statistics_at = at.bn_mean - du_config_n_trainable (&network->config);
    }
    if (!network->backend->forward (network->context, network->ops[index], &args, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
du_network_forward (DuNetwork *network, DuBuffer *statistics, GError **error)
{
  gboolean ok = TRUE;

  if (!network->turns)
    return forward_rows (network, 0, DU_N_ROWS - 1, network->picture, network->outputs, statistics, error);
  for (int first = 0, last; first < DU_N_ROWS && ok; first = last + 1) {
    last = run_end (first);
    if (!is_first_level (first))
      ok = forward_rows (network, first, last, network->picture, network->outputs, NULL, error);
    for (int i = 0; is_first_level (first) && i < network->n / network->sub && ok; i++)
      ok = forward_rows (network, first, last, network->turns[i].picture, network->turns[i].outputs, NULL, error);
  }
  return ok;
}

gboolean
du_network_backward (DuNetwork *network, DuBuffer *parameters, GError **error)
{
  for (int index = DU_N_ROWS - 1; index >= 0; index--) {
    const DuRow *row = &du_rows[index];
    const DuBackward args = {
      .input = source_buffer (network->outputs, network->picture, row->source),
      .skip = source_buffer (network->outputs, network->picture, row->skip),
      .output = network->outputs[index],
      .gradient_output = network->gradients[index],
      .gradient_input = source_buffer (network->gradients, NULL, row->source),
      .gradient_skip = source_buffer (network->gradients, NULL, row->skip),
      /* Walking backwards, the last reader comes first and finds nothing to add to. */
      .accumulate_input = row->source >= 0 && last_reader (row->source) != index,
      .accumulate_skip = row->skip >= 0 && last_reader (row->skip) != index,
      .gradient_parameters = row->kind == DU_ROW_POOL ? NULL : parameters,
    };

    if (!network->backend->backward (network->context, network->ops[index], &args, error))
      return FALSE;
  }
  return TRUE;
}

void
du_network_cache_init (DuNetworkCache *cache, const DuBackend *backend, DuContext *context, DuType type,
    const DuConfig *config, guint keep)
{
  *cache = (DuNetworkCache){ backend, context, type, *config, keep,
    g_ptr_array_new_with_free_func (network_free) };
}

void
du_network_cache_clear (DuNetworkCache *cache)
{
  g_clear_pointer (&cache->networks, g_ptr_array_unref);
}

/* Frees the networks of a mode but the keep last used ones. */
static void
forget (DuNetworkCache *cache, DuMode mode, guint keep)
{
  guint seen = 0;

  for (guint i = 0; i < cache->networks->len;) {
    DuNetwork *network = cache->networks->pdata[i];

    if (network->mode == mode && ++seen > keep)
      g_ptr_array_remove_index (cache->networks, i);
    else
      i++;
  }
}

DuNetwork *
du_network_cache_get (DuNetworkCache *cache, DuMode mode, int n, int height, int width, GError **error)
{
  g_autoptr (GError) problem = NULL;
  DuNetwork *network = NULL;

  for (guint i = 0; i < cache->networks->len && !network; i++) {
    DuNetwork *candidate = cache->networks->pdata[i];

    if (candidate->mode == mode && candidate->n == n && candidate->height == height
        && candidate->width == width)
      network = g_ptr_array_steal_index (cache->networks, i);
  }
  if (!network) {
    forget (cache, mode, cache->keep - 1);
    network = network_new (cache, mode, n, height, width, &problem);
    if (!network && cache->networks->len && g_error_matches (problem, DU_ERROR, DU_ERROR_MEMORY)) {
      g_clear_error (&problem);
      g_ptr_array_set_size (cache->networks, 0);
      network = network_new (cache, mode, n, height, width, &problem);
    }
  }
  if (network)
    g_ptr_array_insert (cache->networks, 0, network);
  else
    g_propagate_error (error, g_steal_pointer (&problem));
  return network;
}

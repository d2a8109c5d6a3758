/* What the forward pass can take on a GPU, from its table, its buffers and the device's figures: nothing is measured
 * and no GPU is needed. A back end that only counts walks the network as net/cuda does, kernel for kernel and
 * buffer for buffer, over a model of the second-level cache (least recently used first out, written back). A
 * kernel takes the longest of its arithmetic, its bytes at the memory and its bytes at the cache, and a gap to the
 * next one (Williams et al. 2009, "Roofline").
 *
 * bench-roofline [--tensor TFLOPS] [--memory TBPS] [--bandwidth TBPS] [--cache MB] [--gap US] [--batch N]
 *     [--apart]
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network.h"

#include <stdio.h>

enum
{
  CHUNK = 64 << 10, /* bytes that the cache holds or lets go of together */
  ALIGNMENT = 256,
};

/* An H200's, assumed and not measured: what convolutions may reach of 989 dense TFLOP/s in f16, what copies do of
 * 4.8 TB/s, the cache's reads as others have measured an H100's, which has the same one. */
static double tensor = 700, memory = 4.3, bandwidth = 5.5, cache_mb = 50, gap = 2;

/* ---- the cache --------------------------------------------------------------------------------------------- */

typedef struct
{
  guint32 before, after; /* in the order of use; 0 = the ends' anchor */
  gboolean is_held;
  guint32 dirty; /* bytes */
} Chunk;

static GArray *chunks; /* [0] is the anchor: after it the last used one */
static guint held;
static double moved; /* bytes at the memory, since cleared */

static Chunk *
chunk_at (guint i)
{
  return &g_array_index (chunks, Chunk, i);
}

static void
unlink_chunk (guint i)
{
  chunk_at (chunk_at (i)->before)->after = chunk_at (i)->after;
  chunk_at (chunk_at (i)->after)->before = chunk_at (i)->before;
}

/* bytes of a chunk are read or written. */
static void
use_chunk (guint i, guint32 bytes, gboolean writes)
{
  const guint most = (guint) (cache_mb * 1e6 / CHUNK);
  Chunk *chunk = chunk_at (i);

  if (chunk->is_held) {
    unlink_chunk (i);
  } else {
    held++;
    chunk->is_held = TRUE;
    moved += writes ? 0 : bytes;
  }
  if (writes)
    chunk->dirty = MIN (chunk->dirty + bytes, CHUNK);
  chunk->before = 0;
  chunk->after = chunk_at (0)->after;
  chunk_at (chunk->after)->before = i;
  chunk_at (0)->after = i;
  while (held > most) {
    const guint last = chunk_at (0)->before;

    moved += chunk_at (last)->dirty;
    chunk_at (last)->dirty = 0;
    chunk_at (last)->is_held = FALSE;
    unlink_chunk (last);
    held--;
  }
}

/* ---- a back end that counts ---------------------------------------------------------------------------------- */

struct _DuBuffer
{
  gsize at;      /* bytes */
  gsize element; /* bytes */
};

typedef struct
{
  double us, flops, memory_bytes, cache_bytes; /* sums over kernels */
  double by_tensor, by_memory, by_cache;       /* us */
  guint kernels;
} Counts;

struct _DuOp
{
  DuOpShape shape;
  gsize weights;         /* address */
  gsize result, scratch; /* of working memory: where the result begins, and where it ends */
  Counts counts;
};

static DuType type;
static gsize end, scratch_size; /* of all memory, in bytes; working memory has its own space, behind them */
static int sub_batch;

enum
{
  SCRATCH_CHUNK = 1 << 18, /* chunk where working memory begins: 16 GiB are before it */
};

static gsize
element_size (DuType of)
{
  return of == DU_TYPE_F32 ? 4 : 2;
}

static gsize
reserve (gsize size)
{
  const gsize at = end;

  end += (size + CHUNK - 1) / CHUNK * CHUNK;
  return at;
}

static DuBuffer *
buffer_new (DuContext *context, DuType of, gsize count, GError **error)
{
  DuBuffer buffer = { reserve (count * element_size (of)), element_size (of) };

  (void) context;
  (void) error;
  return g_memdup2 (&buffer, sizeof buffer);
}

static DuBuffer *
buffer_part (DuContext *context, DuBuffer *buffer, gsize at, gsize count, GError **error)
{
  DuBuffer part = { buffer->at + at * buffer->element, buffer->element };

  (void) count;
  (void) context;
  (void) error;
  return g_memdup2 (&part, sizeof part);
}

static void
buffer_free (DuContext *context, DuBuffer *buffer)
{
  (void) context;
  g_free (buffer);
}

static gsize
padded (int channels)
{
  return (channels + 7) / 8 * 8;
}

/* net/cuda's prepare.c for channels in multiples of 8, without the libraries' workspaces. */
static DuOp *
prepare (DuContext *context, const DuOpShape *shape, GError **error)
{
  DuOp *op = g_new0 (DuOp, 1);
  const gboolean is_up = shape->kind == DU_ROW_UP;
  const gsize pixels = (gsize) shape->n * shape->height * shape->width / (is_up ? 4 : 1);
  const gsize in = padded (shape->channels_in + (shape->kind == DU_ROW_CONV ? shape->channels_skip : 0));

  (void) context;
  (void) error;
  op->shape = *shape;
  if (shape->kind == DU_ROW_CONV || is_up) {
    op->weights = reserve ((is_up ? 4 : 9) * in * padded (shape->channels_out) * element_size (type));
    op->result = shape->picture || (!is_up && shape->channels_skip && !shape->joined) ? pixels * in * element_size (type)
                                                                                      : 0;
    op->scratch = op->result + (is_up ? 4 * pixels * padded (shape->channels_out) * element_size (type) : 0);
    scratch_size = MAX (scratch_size, op->scratch);
  }
  return op;
}

static void
op_free (DuContext *context, DuOp *op)
{
  (void) context;
  g_free (op);
}

/* One kernel: what it reads and writes, side by side. */
typedef struct
{
  gsize at, size; /* addresses that are touched */
  gboolean writes, is_scratch;
  double share; /* of the bytes in them */
} Stream;

static void
kernel (DuOp *op, double flops, const Stream *streams, guint count)
{
  const guint steps = 256;
  Counts *counts = &op->counts;
  double bytes = 0, by_tensor, by_memory, by_cache;

  moved = 0;
  for (guint step = 0; step < steps; step++)
    for (guint s = 0; s < count; s++) {
      const Stream *stream = &streams[s];
      const gsize all = stream->size / CHUNK, first = all * step / steps, last = all * (step + 1) / steps;
      const gsize base = (stream->is_scratch ? (gsize) SCRATCH_CHUNK : 0) + stream->at / CHUNK;

      for (gsize i = first; i < last || (step == 0 && i == 0); i++)
        use_chunk (base + i + 1, (guint32) (MIN (CHUNK, stream->size) * stream->share), stream->writes);
    }
  for (guint s = 0; s < count; s++)
    bytes += streams[s].size * streams[s].share;
  by_tensor = flops / tensor / 1e6;
  by_memory = moved / memory / 1e6;
  by_cache = bytes / bandwidth / 1e6;
  counts->flops += flops;
  counts->memory_bytes += moved;
  counts->cache_bytes += bytes;
  counts->by_tensor += by_tensor;
  counts->by_memory += by_memory;
  counts->by_cache += by_cache;
  counts->us += MAX (by_tensor, MAX (by_memory, by_cache)) + gap;
  counts->kernels++;
}

/* A buffer may be larger than what a row has in it. */
static Stream
of_buffer (const DuBuffer *buffer, double values, gboolean writes)
{
  return (Stream){ buffer->at, values * buffer->element, writes, FALSE, 1 };
}

static Stream
of_scratch (gsize at, gsize size, gboolean writes, double share)
{
  return (Stream){ at, size, writes, TRUE, share };
}

/* net/cuda's forward.c. */
static gboolean
forward (DuContext *context, DuOp *op, const DuForward *args, GError **error)
{
  const DuOpShape *s = &op->shape;
  const double pixels = (double) s->n * s->height * s->width;
  const int skip = s->kind == DU_ROW_CONV ? s->channels_skip : 0;
  const gsize in = padded (s->channels_in + skip);
  const double pixels_in = s->kind == DU_ROW_UP ? pixels / 4 : s->kind == DU_ROW_POOL ? 4 * pixels : pixels;
  const Stream input = of_buffer (args->input, pixels_in * s->channels_in, FALSE);
  const Stream output = of_buffer (args->output, pixels * s->channels_out, TRUE);
  const gsize taps = s->kind == DU_ROW_UP ? 4 : 9;
  const Stream weights
      = { op->weights, taps * in * padded (s->channels_out) * element_size (type), FALSE, FALSE, 1 };

  (void) context;
  (void) error;
  if (s->kind == DU_ROW_CONV) {
    const Stream joined = of_buffer (args->input, pixels * in, TRUE);
    Stream source = input;

    if (s->joined) {
      source.size = joined.size;
      kernel (op, 0,
          (Stream[]){ of_buffer (args->skip, pixels * skip, FALSE),
              { joined.at, joined.size, TRUE, FALSE, (double) skip / in } },
          2);
    } else if (s->picture || skip) {
      const double share = s->picture ? 1 : (double) s->channels_in / in;

      kernel (op, 0, (Stream[]){ input, of_scratch (0, op->result, TRUE, share) }, 2);
      if (skip)
        kernel (op, 0,
            (Stream[]){ of_buffer (args->skip, pixels * skip, FALSE), of_scratch (0, op->result, TRUE, 1 - share) },
            2);
      source = of_scratch (0, op->result, FALSE, 1);
    }
    kernel (op, 2 * 9 * pixels * in * padded (s->channels_out), (Stream[]){ source, weights, output }, 3);
  } else if (s->kind == DU_ROW_UP) {
    const gsize split = op->scratch - op->result, pitch = padded (s->channels_out + s->channels_skip);
    const Stream full = { output.at, pixels * pitch * args->output->element, TRUE, FALSE,
      s->joined ? (double) s->channels_out / pitch : 1 };

    kernel (op, 2 * pixels * in * padded (s->channels_out),
        (Stream[]){ input, weights, of_scratch (op->result, split, TRUE, 1) }, 3);
    kernel (op, 0, (Stream[]){ of_scratch (op->result, split, FALSE, 1), s->joined ? full : output }, 2);
  } else if (s->kind == DU_ROW_POOL) {
    kernel (op, 0, (Stream[]){ input, output }, 2);
  } else if (args->skip) {
    kernel (op, 0,
        (Stream[]){ input, of_buffer (args->skip, pixels * DU_PICTURE_CHANNELS, FALSE), output }, 3);
  } else {
    kernel (op, 0, (Stream[]){ input, output }, 2);
  }
  return TRUE;
}

static int
choose (const DuContext *context, gsize bytes)
{
  (void) context;
  (void) bytes;
  return sub_batch;
}

static DuBackend backend = { .name = "roofline",
  .buffer_new = buffer_new,
  .buffer_free = buffer_free,
  .buffer_part = buffer_part,
  .prepare = prepare,
  .op_free = op_free,
  .forward = forward,
  .joins = 8,
  .sub_batch = choose };

/* ---- figures --------------------------------------------------------------------------------------------------- */

/* Microseconds of a pass that follows others like it; its rows are printed where rows is set. mb: of activations,
 * weights and working memory. */
static double
pass (int n, int sub, double *mb, gboolean rows)
{
  g_autoptr (GError) error = NULL;
  DuNetworkCache networks;
  DuNetwork *network;
  DuConfig config;
  double us = 0;

  du_config_init (&config);
  config.head = DU_HEAD_RESIDUAL;
  end = scratch_size = held = 0;
  sub_batch = sub;
  chunks = g_array_new (FALSE, TRUE, sizeof (Chunk));
  g_array_set_size (chunks, 2 * SCRATCH_CHUNK);
  du_network_cache_init (&networks, &backend, NULL, type, &config, 1);
  network = du_network_cache_get (&networks, DU_MODE_INFERENCE, n, DU_TILE_HEIGHT, DU_TILE_WIDTH, &error);
  if (!network)
    g_error ("%s", error->message);
  for (int round = 0; round < 2; round++) {
    for (int row = 0; row < DU_N_ROWS; row++)
      network->ops[row]->counts = (Counts){ 0 };
    du_network_forward (network, NULL, NULL);
  }
  if (rows)
    printf ("%-11s %8s %9s %9s %9s %9s %9s %9s %8s  mostly\n", "row", "GFLOP", "MB used", "MB moved", "us tensor",
        "us memory", "us cache", "us", "kernels");
  for (int row = 0; row < DU_N_ROWS; row++) {
    const Counts *c = &network->ops[row]->counts;
    const char *bound = c->by_tensor >= MAX (c->by_memory, c->by_cache) ? "arithmetic"
                        : c->by_memory > c->by_cache                    ? "memory"
                                                                        : "cache";

    us += c->us;
    if (rows)
      printf ("%-11s %8.2f %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f %8u  %s\n", du_rows[row].name, c->flops / 1e9,
          c->cache_bytes / 1e6, c->memory_bytes / 1e6, c->by_tensor, c->by_memory, c->by_cache, c->us, c->kernels,
          bound);
  }
  *mb = (end + scratch_size) / 1e6;
  du_network_cache_clear (&networks);
  g_array_unref (chunks);
  return us;
}

int
main (int argc, char **argv)
{
  static int batch = 8;
  static gboolean apart;
  static const GOptionEntry entries[] = {
    { "tensor", 0, 0, G_OPTION_ARG_DOUBLE, &tensor, "TFLOP/s of convolutions", "T" },
    { "memory", 0, 0, G_OPTION_ARG_DOUBLE, &memory, "TB/s of the memory", "T" },
    { "bandwidth", 0, 0, G_OPTION_ARG_DOUBLE, &bandwidth, "TB/s of the cache", "T" },
    { "cache", 0, 0, G_OPTION_ARG_DOUBLE, &cache_mb, "MB of the cache", "M" },
    { "gap", 0, 0, G_OPTION_ARG_DOUBLE, &gap, "microseconds from kernel to kernel, with the ends of their waves", "U" },
    { "apart", 0, 0, G_OPTION_ARG_NONE, &apart, "up-convs write dense, and what they wrote is copied beside the skip",
        NULL },
    { "batch", 0, 0, G_OPTION_ARG_INT, &batch, "tiles of the table of rows", "N" },
    { NULL },
  };
  static const int batches[] = { 1, 2, 4, 6, 8, 10, 16, 24, 30, 48 }, subs[] = { 0, 1, 2, 3, 4, 6, 8 };
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  double mb;

  g_option_context_add_main_entries (options, entries, NULL);
  if (!g_option_context_parse (options, &argc, &argv, &error) || batch < 1 || batch > 64) {
    fprintf (stderr, "bench-roofline: %s\n", error ? error->message : "give a batch of 1 to 64");
    return 2;
  }
  type = DU_TYPE_F16;
  backend.joins = apart ? 0 : backend.joins;
  printf ("f16, %g TFLOP/s, memory %g TB/s, cache of %g MB at %g TB/s, %g us between kernels\n", tensor, memory,
      cache_mb, bandwidth, gap);
  printf ("\n%d tiles, the first level whole; used: read and written, moved: at the memory\n", batch);
  pass (batch, 0, &mb, TRUE);
  printf ("\ntiles/s (MB of activations, weights and working memory), the first level in sub-batches of\n%8s",
      "tiles");
  for (guint s = 0; s < G_N_ELEMENTS (subs); s++)
    subs[s] ? printf ("%16d", subs[s]) : printf ("%16s", "whole");
  printf ("\n");
  for (guint b = 0; b < G_N_ELEMENTS (batches); b++) {
    printf ("%8d", batches[b]);
    for (guint s = 0; s < G_N_ELEMENTS (subs); s++) {
      const int n = batches[b];
      double us;

      if (subs[s] >= n || (subs[s] && n % subs[s])) {
        printf ("%16s", "-");
        continue;
      }
      us = pass (n, subs[s], &mb, FALSE);
      printf ("%8.0f (%5.0f)", n / us * 1e6, mb);
    }
    printf ("\n");
  }
  return 0;
}

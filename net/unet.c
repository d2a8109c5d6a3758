/* The table, and what is derived from it.
 *
 * Ronneberger, Fischer and Brox, "U-Net" (2015), with same padding; widths and counts are those of the
 * published deblurring network (7,763,491 parameters).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unet.h"

#include <math.h>
#include <string.h>

enum
{
  ENC0_CONV1, ENC0_CONV2, ENC0_POOL,
  ENC1_CONV1, ENC1_CONV2, ENC1_POOL,
  ENC2_CONV1, ENC2_CONV2, ENC2_POOL,
  ENC3_CONV1, ENC3_CONV2, ENC3_POOL,
  MID_CONV1, MID_CONV2,
  DEC3_UP, DEC3_CONV1, DEC3_CONV2,
  DEC2_UP, DEC2_CONV1, DEC2_CONV2,
  DEC1_UP, DEC1_CONV1, DEC1_CONV2,
  DEC0_UP, DEC0_CONV1, DEC0_CONV2,
  HEAD,
};

#define CONV DU_ROW_CONV
#define POOL DU_ROW_POOL
#define UP DU_ROW_UP
#define NONE DU_NO_SOURCE
/* clang-format off */
const DuRow du_rows[DU_N_ROWS] = {
  /* name          kind  block          level source      skip        closes the block */
  { "enc0.conv1",  CONV, DU_BLOCK_ENC0, 0,    DU_PICTURE, NONE,       FALSE },
  { "enc0.conv2",  CONV, DU_BLOCK_ENC0, 0,    ENC0_CONV1, NONE,       TRUE  },
  { "enc0.pool",   POOL, DU_BLOCK_ENC0, 1,    ENC0_CONV2, NONE,       FALSE },
  { "enc1.conv1",  CONV, DU_BLOCK_ENC1, 1,    ENC0_POOL,  NONE,       FALSE },
  { "enc1.conv2",  CONV, DU_BLOCK_ENC1, 1,    ENC1_CONV1, NONE,       TRUE  },
  { "enc1.pool",   POOL, DU_BLOCK_ENC1, 2,    ENC1_CONV2, NONE,       FALSE },
  { "enc2.conv1",  CONV, DU_BLOCK_ENC2, 2,    ENC1_POOL,  NONE,       FALSE },
  { "enc2.conv2",  CONV, DU_BLOCK_ENC2, 2,    ENC2_CONV1, NONE,       TRUE  },
  { "enc2.pool",   POOL, DU_BLOCK_ENC2, 3,    ENC2_CONV2, NONE,       FALSE },
  { "enc3.conv1",  CONV, DU_BLOCK_ENC3, 3,    ENC2_POOL,  NONE,       FALSE },
  { "enc3.conv2",  CONV, DU_BLOCK_ENC3, 3,    ENC3_CONV1, NONE,       TRUE  },
  { "enc3.pool",   POOL, DU_BLOCK_ENC3, 4,    ENC3_CONV2, NONE,       FALSE },
  { "mid.conv1",   CONV, DU_BLOCK_MID,  4,    ENC3_POOL,  NONE,       FALSE },
  { "mid.conv2",   CONV, DU_BLOCK_MID,  4,    MID_CONV1,  NONE,       TRUE  },
  { "dec3.up",     UP,   DU_BLOCK_DEC3, 3,    MID_CONV2,  NONE,       FALSE },
  { "dec3.conv1",  CONV, DU_BLOCK_DEC3, 3,    DEC3_UP,    ENC3_CONV2, FALSE },
  { "dec3.conv2",  CONV, DU_BLOCK_DEC3, 3,    DEC3_CONV1, NONE,       TRUE  },
  { "dec2.up",     UP,   DU_BLOCK_DEC2, 2,    DEC3_CONV2, NONE,       FALSE },
  { "dec2.conv1",  CONV, DU_BLOCK_DEC2, 2,    DEC2_UP,    ENC2_CONV2, FALSE },
  { "dec2.conv2",  CONV, DU_BLOCK_DEC2, 2,    DEC2_CONV1, NONE,       TRUE  },
  { "dec1.up",     UP,   DU_BLOCK_DEC1, 1,    DEC2_CONV2, NONE,       FALSE },
  { "dec1.conv1",  CONV, DU_BLOCK_DEC1, 1,    DEC1_UP,    ENC1_CONV2, FALSE },
  { "dec1.conv2",  CONV, DU_BLOCK_DEC1, 1,    DEC1_CONV1, NONE,       TRUE  },
  { "dec0.up",     UP,   DU_BLOCK_DEC0, 0,    DEC1_CONV2, NONE,       FALSE },
  { "dec0.conv1",  CONV, DU_BLOCK_DEC0, 0,    DEC0_UP,    ENC0_CONV2, FALSE },
  { "dec0.conv2",  CONV, DU_BLOCK_DEC0, 0,    DEC0_CONV1, NONE,       TRUE  },
  { "head",        DU_ROW_HEAD, DU_BLOCK_DEC0, 0, DEC0_CONV2, DU_PICTURE, FALSE },
};
/* clang-format on */

static const char *const block_names[DU_N_BLOCKS] = {
  "enc0", "enc1", "enc2", "enc3", "mid", "dec3", "dec2", "dec1", "dec0",
};

static const char *const head_names[] = { "sigmoid", "residual" };

const char *
du_block_name (DuBlock block)
{
  return block_names[block];
}

void
du_config_init (DuConfig *config)
{
  *config = (DuConfig){
    .base_width = 32,
    .bn = 1u << DU_BLOCK_ENC0 | 1u << DU_BLOCK_ENC2 | 1u << DU_BLOCK_MID | 1u << DU_BLOCK_DEC2
          | 1u << DU_BLOCK_DEC0,
    .head = DU_HEAD_SIGMOID,
  };
}

gboolean
du_config_check (const DuConfig *config, GError **error)
{
  if (config->base_width < 1 || config->base_width > DU_BASE_WIDTH_MAX) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "base_width %d is out of range: give 1 to %d",
        config->base_width, DU_BASE_WIDTH_MAX);
    return FALSE;
  }
  if (config->bn >> DU_N_BLOCKS) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "bn 0x%x names blocks that the network has not",
        config->bn);
    return FALSE;
  }
  if ((guint) config->head >= G_N_ELEMENTS (head_names)) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "head %d is unknown", config->head);
    return FALSE;
  }
  return TRUE;
}

char *
du_bn_to_string (guint bn)
{
  GString *text = g_string_new (NULL);

  for (int block = 0; block < DU_N_BLOCKS; block++)
    if (bn >> block & 1)
      g_string_append_printf (text, "%s%s", text->len ? "," : "", block_names[block]);
  return g_string_free (text, FALSE);
}

gboolean
du_bn_parse (const char *text, guint *bn, GError **error)
{
  g_auto (GStrv) names = g_strsplit (text, ",", -1);
  guint set = 0;

  if (strcmp (text, "none") == 0 || !*text) {
    *bn = 0;
    return TRUE;
  }
  for (char **name = names; *name; name++) {
    int block = 0;

    while (block < DU_N_BLOCKS && strcmp (*name, block_names[block]))
      block++;
    if (block == DU_N_BLOCKS || set >> block & 1) {
      g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
          "bn block '%s' is %s: give a list of enc0, enc1, enc2, enc3, mid, dec3, dec2, dec1, dec0, or none",
          *name, block == DU_N_BLOCKS ? "unknown" : "named twice");
      return FALSE;
    }
    set |= 1u << block;
  }
  *bn = set;
  return TRUE;
}

const char *
du_head_name (DuHead head)
{
  return (guint) head < G_N_ELEMENTS (head_names) ? head_names[head] : NULL;
}

gboolean
du_head_parse (const char *text, DuHead *head, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (head_names); i++)
    if (strcmp (text, head_names[i]) == 0) {
      *head = i;
      return TRUE;
    }
  g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "head '%s' is unknown: give sigmoid or residual", text);
  return FALSE;
}

int
du_row_channels (const DuConfig *config, int row)
{
  if (row == DU_NO_SOURCE)
    return 0;
  if (row == DU_PICTURE || du_rows[row].kind == DU_ROW_HEAD)
    return DU_PICTURE_CHANNELS;
  if (du_rows[row].kind == DU_ROW_POOL)
    return du_row_channels (config, du_rows[row].source);
  return config->base_width << du_rows[row].level;
}

gboolean
du_row_has_bn (const DuConfig *config, int row)
{
  return du_rows[row].closes_block && config->bn >> du_rows[row].block & 1;
}

/* Side of a row's square kernel, 0 without one. */
static int
kernel_size (DuRowKind kind)
{
  static const int size[] = { [DU_ROW_CONV] = 3, [DU_ROW_POOL] = 0, [DU_ROW_UP] = 2, [DU_ROW_HEAD] = 1 };

  return size[kind];
}

/* Channels that a row's kernel reads. */
static int
input_channels (const DuConfig *config, int row)
{
  int channels = du_row_channels (config, du_rows[row].source);

  return du_rows[row].kind == DU_ROW_CONV ? channels + du_row_channels (config, du_rows[row].skip) : channels;
}

typedef gboolean (*TensorVisitor) (const DuTensorInfo *tensor, int row, gpointer data);

/* Calls visit for the tensors in the order of the block, until it returns FALSE: the one place that
 * knows this order. Returns the number of floats up to there. */
static gsize
visit_tensors (const DuConfig *config, TensorVisitor visit, gpointer data)
{
  gsize offset = 0;

  for (int trainable = TRUE; trainable >= FALSE; trainable--)
    for (int row = 0; row < DU_N_ROWS; row++) {
      const DuRow *r = &du_rows[row];
      int k = kernel_size (r->kind), in = input_channels (config, row), out = du_row_channels (config, row);
      gboolean bn = du_row_has_bn (config, row);
      int prefix = bn ? (int) (strchr (r->name, '.') - r->name) : 0;

      for (int part = 0; part < 2; part++) {
        DuTensorInfo tensor = { .rank = 1, .shape = { out }, .offset = offset, .trainable = trainable };

        if (!trainable || !k)
          break;
        g_snprintf (tensor.name, sizeof tensor.name, "%s.%s", r->name, part ? "bias" : "weight");
        if (part == 0) {
          tensor.rank = 4;
          tensor.shape[0] = r->kind == DU_ROW_UP ? in : out;
          tensor.shape[1] = r->kind == DU_ROW_UP ? out : in;
          tensor.shape[2] = tensor.shape[3] = k;
        }
        tensor.count = part ? (gsize) out : (gsize) in * out * k * k;
        offset += tensor.count;
        if (visit && !visit (&tensor, row, data))
          return offset;
      }
      for (int part = 0; bn && part < 2; part++) {
        static const char *const names[2][2] = { { "running_mean", "running_var" }, { "weight", "bias" } };
        DuTensorInfo tensor = { .rank = 1, .shape = { out }, .offset = offset, .trainable = trainable };

        g_snprintf (tensor.name, sizeof tensor.name, "%.*s.bn.%s", prefix, r->name, names[trainable][part]);
        tensor.count = out;
        offset += tensor.count;
        if (visit && !visit (&tensor, row, data))
          return offset;
      }
    }
  return offset;
}

static gboolean
stop_at_statistics (const DuTensorInfo *tensor, int row, gpointer data)
{
  (void) row;
  if (tensor->trainable)
    *(gsize *) data = tensor->offset + tensor->count;
  return tensor->trainable;
}

gsize
du_config_n_parameters (const DuConfig *config)
{
  return visit_tensors (config, NULL, NULL);
}

gsize
du_config_n_trainable (const DuConfig *config)
{
  gsize n = 0;

  visit_tensors (config, stop_at_statistics, &n);
  return n;
}

typedef struct
{
  guint index, wanted;
  DuTensorInfo *tensor;
} TensorSearch;

static gboolean
find_tensor (const DuTensorInfo *tensor, int row, gpointer data)
{
  TensorSearch *search = data;

  (void) row;
  if (search->index++ < search->wanted)
    return TRUE;
  *search->tensor = *tensor;
  return FALSE;
}

static gboolean
append_tensor (const DuTensorInfo *tensor, int row, gpointer data)
{
  (void) row;
  g_array_append_val (data, *tensor);
  return TRUE;
}

GArray *
du_config_tensors (const DuConfig *config)
{
  GArray *tensors = g_array_new (FALSE, FALSE, sizeof (DuTensorInfo));

  visit_tensors (config, append_tensor, tensors);
  return tensors;
}

guint
du_config_n_tensors (const DuConfig *config)
{
  g_autoptr (GArray) tensors = du_config_tensors (config);

  return tensors->len;
}

void
du_config_tensor (const DuConfig *config, guint index, DuTensorInfo *tensor)
{
  TensorSearch search = { .wanted = index, .tensor = tensor };

  *tensor = (DuTensorInfo){ .rank = 0 };
  visit_tensors (config, find_tensor, &search);
}

typedef struct
{
  int row;
  gsize count;
  DuRowOffsets *offsets;
} RowSearch;

static gboolean
find_row (const DuTensorInfo *tensor, int row, gpointer data)
{
  RowSearch *search = data;
  gboolean bn = strstr (tensor->name, ".bn.") != NULL;

  if (row != search->row)
    return TRUE;
  search->count += tensor->count;
  if (!search->offsets)
    return TRUE;
  if (g_str_has_suffix (tensor->name, ".weight"))
    *(bn ? &search->offsets->bn_scale : &search->offsets->weight) = tensor->offset;
  else if (g_str_has_suffix (tensor->name, ".bias"))
    *(bn ? &search->offsets->bn_shift : &search->offsets->bias) = tensor->offset;
  else if (g_str_has_suffix (tensor->name, ".running_mean"))
    search->offsets->bn_mean = tensor->offset;
  else
    search->offsets->bn_variance = tensor->offset;
  return TRUE;
}

void
du_row_offsets (const DuConfig *config, int row, DuRowOffsets *offsets)
{
  RowSearch search = { .row = row, .offsets = offsets };

  *offsets = (DuRowOffsets){ DU_NO_OFFSET, DU_NO_OFFSET, DU_NO_OFFSET, DU_NO_OFFSET, DU_NO_OFFSET,
    DU_NO_OFFSET };
  visit_tensors (config, find_row, &search);
}

guint
du_config_n_layers (const DuConfig *config)
{
  (void) config;
  return DU_N_ROWS;
}

static const char *
source_name (int row)
{
  return row == DU_PICTURE ? "picture" : du_rows[row].name;
}

void
du_config_layer (const DuConfig *config, guint index, int height, int width, DuLayer *layer)
{
  const DuRow *row = &du_rows[MIN (index, DU_N_ROWS - 1)];
  RowSearch search = { .row = (int) index };
  gboolean bn;

  *layer = (DuLayer){ NULL };
  if (index >= DU_N_ROWS)
    return;
  bn = du_row_has_bn (config, index);
  visit_tensors (config, find_row, &search);
  *layer = (DuLayer){
    .name = row->name,
    .operation = row->kind == DU_ROW_CONV   ? bn ? "conv 3x3 + ReLU + BN" : "conv 3x3 + ReLU"
                 : row->kind == DU_ROW_POOL ? "max-pool 2x2"
                 : row->kind == DU_ROW_UP   ? "transposed conv 2x2"
                 : config->head == DU_HEAD_SIGMOID ? "conv 1x1 + sigmoid"
                                                   : "conv 1x1 + picture",
    .input = source_name (row->source),
    .skip = row->skip == DU_NO_SOURCE || (row->kind == DU_ROW_HEAD && config->head == DU_HEAD_SIGMOID)
                ? NULL
                : source_name (row->skip),
    .height = height >> row->level,
    .width = width >> row->level,
    .channels = du_row_channels (config, index),
    .parameters = search.count,
  };
}

double
du_config_flops (const DuConfig *config, int height, int width)
{
  double flops = 0;

  for (int row = 0; row < DU_N_ROWS; row++) {
    double k = kernel_size (du_rows[row].kind), pixels = (double) (height >> du_rows[row].level) * (width >> du_rows[row].level);

    if (du_rows[row].kind == DU_ROW_UP)
      k = 1; /* each output pixel is reached by one input pixel */
    flops += 2 * k * k * input_channels (config, row) * du_row_channels (config, row) * pixels;
  }
  return flops;
}

typedef struct
{
  const DuConfig *config;
  float *parameters;
  GRand *random;
} Initialiser;

static gboolean
initialise (const DuTensorInfo *tensor, int row, gpointer data)
{
  Initialiser *to = data;
  float *values = to->parameters + tensor->offset;
  gboolean one = g_str_has_suffix (tensor->name, ".bn.weight") || g_str_has_suffix (tensor->name, ".running_var");
  double area = tensor->shape[2] * tensor->shape[3], limit = 0;

  if (tensor->rank == 4 && !(du_rows[row].kind == DU_ROW_HEAD && to->config->head == DU_HEAD_RESIDUAL))
    limit = sqrt (6 / (area * (tensor->shape[0] + tensor->shape[1])));
  for (gsize i = 0; i < tensor->count; i++)
    values[i] = limit > 0 ? (float) g_rand_double_range (to->random, -limit, limit) : one;
  return TRUE;
}

void
du_config_initialise (const DuConfig *config, guint64 seed, float *parameters)
{
  const guint32 words[2] = { (guint32) seed, (guint32) (seed >> 32) };
  Initialiser to = { config, parameters, g_rand_new_with_seed_array (words, 2) };

  visit_tensors (config, initialise, &to);
  g_rand_free (to.random);
}

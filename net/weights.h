/* The weights file: read strictly, written atomically.
 *
 * It is a safetensors file, so that other programs read it with what they have:
 *
 *   8 bytes      length L of the header, unsigned, little-endian; at most DU_WEIGHTS_HEADER_MAX
 *   L bytes      JSON object in UTF-8, beginning with '{', padded at its end with spaces so that the data
 *                stands at a multiple of 8 (the reader takes any alignment)
 *   all else     the data: the tensors' values, little-endian, in C order, without holes
 *
 * The object has one entry for each tensor of du_config_tensor(), and no other:
 *   "enc0.conv1.weight": { "dtype": "F16", "shape": [32,3,3,3], "data_offsets": [begin,end] }
 * dtype is F32, F16 or BF16, tensor by tensor (the writer keeps running statistics in F32 and puts them
 * first); offsets are in bytes from the begin of the data. Beside them "__metadata__" is an object of strings:
 *   format         "deblurunet"
 *   format_version "1"
 *   base_width     "32", 1 to DU_BASE_WIDTH_MAX
 *   bn             "enc0,enc2,mid,dec2,dec0": the blocks that end in batch normalisation, or "none"
 *   head           "sigmoid" or "residual"
 *   tile           "256x448": height x width that the network is trained for
 *   sha256         SHA-256 of the data, 64 lower-case hexadecimal digits
 *   header_sha256  SHA-256 of all that stands before the data (length, JSON, padding), taken with these 64
 *                  digits themselves as zeros
 * These keys are required and reserved; any others (provenance, validation_psnr, ...) are free. The two
 * digests together cover every byte, so no single damaged bit goes unseen.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_WEIGHTS_H
#define DU_WEIGHTS_H

#include "deblurunet.h"

enum
{
  DU_WEIGHTS_HEADER_MAX = 1 << 20, /* bytes of JSON and padding */
  DU_WEIGHTS_DIGITS = 64,          /* of a SHA-256 */
  DU_WEIGHTS_CHUNK = 1 << 18,      /* bytes of data converted at a time */
};

#define DU_WEIGHTS_FORMAT "deblurunet"
#define DU_WEIGHTS_VERSION "1"

/* What a file holds. */
typedef struct
{
  DuConfig config;
  float *parameters;    /* the flat block; g_free */
  GHashTable *metadata; /* string -> string, reserved keys included */
  char *warning;        /* or NULL */
} DuWeights;

void du_weights_clear (DuWeights *weights);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DuWeights, du_weights_clear)

/* A file whose header has been read, but not yet looked at. */
typedef struct
{
  char *shown;         /* its name in messages */
  int fd;              /* -1: in memory */
  const guint8 *bytes; /* in memory: what is still to be read; the caller's */
  guint64 size;        /* of the whole file */
  guint8 *header;      /* length field and JSON */
  gsize header_size;   /* 8 + L */
  char *identity;      /* device, inode, size, modification time and digest of the header */
} DuWeightsFile;

/* name: for the messages. */
gboolean du_weights_open (DuWeightsFile *file, const char *path, GError **error);
gboolean du_weights_open_memory (
    DuWeightsFile *file, const char *name, const guint8 *bytes, gsize size, GError **error);
void du_weights_close (DuWeightsFile *file);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DuWeightsFile, du_weights_close)

/* Reads all the rest, once. */
gboolean du_weights_read (DuWeightsFile *file, DuWeights *weights, GError **error);

/* du_model_save() says how. Reserved keys of metadata (may be NULL) are left out. */
gboolean du_weights_write (const char *path, const DuConfig *config, const float *parameters,
    GHashTable *metadata, DuDtype dtype, GError **error);

/* ---- what the reader's and the writer's files share ---- */

/* What to do about damage, at the end of a message. */
#define DU_WEIGHTS_AGAIN ": copy or download the file again, or write it anew with deblurunet-train"

/* A tensor of the network, and where in the data it stands, in bytes. */
typedef struct
{
  DuTensorInfo info;
  DuDtype dtype;
  guint64 begin, end;
} DuWeightsTensor;

/* Checks all of the header; returns the network's tensors (DuWeightsTensor) in the order of the data. */
GArray *du_weights_parse_header (
    const DuWeightsFile *file, DuConfig *config, GHashTable *metadata, GError **error);
/* Fills weights->parameters from the data, checks them against weights->metadata, sets the warning. */
gboolean du_weights_read_values (DuWeightsFile *file, GArray *tensors, DuWeights *weights, GError **error);
/* Sets the error, with the file's name in front; always FALSE. */
gboolean du_weights_refuse (const DuWeightsFile *file, GError **error, DuError code, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

gboolean du_weights_is_reserved (const char *key);
const char *du_dtype_name (DuDtype dtype); /* "F16" */
int du_dtype_size (DuDtype dtype);         /* bytes of one value */
/* Why a tensor's values cannot be used ("NaN"), or NULL. zero: cleared if one is not 0. */
const char *du_weights_bad_values (const DuTensorInfo *tensor, const float *values, gboolean *zero);
char *du_weights_tile (void);              /* "256x448"; g_free */
/* text fit for a message: valid, printable UTF-8, not long. */
char *du_weights_shown (const char *text, int max_characters);
/* The error of a failed open(). */
int du_weights_open_error (int errno_value);
/* Hexadecimal SHA-256 of a header whose own digest stands at digits; g_free. */
char *du_weights_header_digest (const guint8 *header, gsize size, gsize digits);

#endif

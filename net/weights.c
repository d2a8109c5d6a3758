/* The strict reader of weights files. weights.h describes the format.
 *
 * Nothing that the file says is believed before it is checked, nothing is allocated by its word alone: the
 * header is capped, the network's size follows from base_width, and the file must have exactly that size.
 * read(), not mmap(): a file cut short meanwhile gives an error, not a signal.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "weights.h"
#include "half.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define METADATA "__metadata__"
#define AGAIN ": copy or download the file again, or write it anew with deblurunet-train"

enum
{
  NESTING_MAX = 8,      /* three are needed */
  SHOWN_CHARACTERS = 64 /* of a value in a message */
};

static const char *const reserved_keys[] = {
  "format", "format_version", "base_width", "bn", "head", "tile", "sha256", "header_sha256",
};

static const struct
{
  const char *name;
  int size;
} dtypes[] = {
  [DU_DTYPE_F32] = { "F32", 4 },
  [DU_DTYPE_F16] = { "F16", 2 },
  [DU_DTYPE_BF16] = { "BF16", 2 },
};

gboolean
du_weights_is_reserved (const char *key)
{
  for (guint i = 0; i < G_N_ELEMENTS (reserved_keys); i++)
    if (strcmp (key, reserved_keys[i]) == 0)
      return TRUE;
  return FALSE;
}

const char *
du_dtype_name (DuDtype dtype)
{
  return dtypes[dtype].name;
}

int
du_dtype_size (DuDtype dtype)
{
  return dtypes[dtype].size;
}

char *
du_weights_tile (void)
{
  return g_strdup_printf ("%dx%d", DU_TILE_HEIGHT, DU_TILE_WIDTH);
}

char *
du_weights_shown (const char *text, int max_characters)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *shown = g_string_new (NULL);
  int n = 0;

  for (const char *at = valid; *at; at = g_utf8_next_char (at)) {
    gunichar c = g_utf8_get_char (at);

    if (n++ == max_characters) {
      g_string_append (shown, "...");
      break;
    }
    g_string_append_unichar (shown, g_unichar_isprint (c) ? c : '?');
  }
  return g_string_free (shown, FALSE);
}

int
du_weights_open_error (int errno_value)
{
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
      return DU_ERROR_NOT_FOUND;
    case EIO:
    case ENOSPC:
    case EDQUOT:
    case EROFS:
      return DU_ERROR_IO;
    case ENOMEM:
      return DU_ERROR_MEMORY;
    default:
      return DU_ERROR_OPEN;
  }
}

char *
du_weights_header_digest (const guint8 *header, gsize size, gsize digits)
{
  static const guint8 zeros[DU_WEIGHTS_DIGITS + 1] = "0000000000000000000000000000000000000000000000000000000000000000";
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);

  g_checksum_update (sum, header, digits);
  g_checksum_update (sum, zeros, DU_WEIGHTS_DIGITS);
  g_checksum_update (sum, header + digits + DU_WEIGHTS_DIGITS, size - digits - DU_WEIGHTS_DIGITS);
  return g_strdup (g_checksum_get_string (sum));
}

void
du_weights_clear (DuWeights *weights)
{
  g_clear_pointer (&weights->parameters, g_free);
  g_clear_pointer (&weights->metadata, g_hash_table_unref);
  g_clear_pointer (&weights->warning, g_free);
}

/* Sets the error, with the file's name in front; always FALSE. */
static gboolean G_GNUC_PRINTF (4, 5)
refuse (const DuWeightsFile *file, GError **error, DuError code, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DU_ERROR, code, "weights file '%s' %s", file->shown, message);
  return FALSE;
}

/* ---- bytes --------------------------------------------------------------------------------- */

static gboolean
read_exactly (DuWeightsFile *file, guint8 *to, gsize size, GError **error)
{
  if (file->fd < 0) {
    memcpy (to, file->bytes, size);
    file->bytes += size;
    return TRUE;
  }
  while (size > 0) {
    ssize_t n = read (file->fd, to, size);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return refuse (file, error, DU_ERROR_IO, "cannot be read: %s", g_strerror (errno));
    if (n == 0)
      return refuse (file, error, DU_ERROR_IO, "became shorter while it was read: try again");
    to += n;
    size -= n;
  }
  return TRUE;
}

/* What a file that is not ours looks like, or NULL. head: its first n bytes. */
static const char *
foreign_format (const guint8 *head, gsize n)
{
  static const struct
  {
    const char *magic;
    gsize size;
    const char *name;
  } formats[] = {
    { "PK\3\4", 4, "a zip archive, as torch.save writes" },
    { "GGUF", 4, "a GGUF model" },
    { "\x89PNG", 4, "a PNG picture" },
    { "\xff\xd8\xff", 3, "a JPEG picture" },
    { "\x89HDF", 4, "an HDF5 file, as Keras writes" },
    { "\x93NUMPY", 6, "a NumPy array" },
    { "\x1f\x8b", 2, "a gzip archive" },
    { "\x1a\x45\xdf\xa3", 4, "a Matroska video" },
    { "version ", 8, "a pointer of Git LFS (fetch the real file with 'git lfs pull')" },
    { "<!", 2, "a web page" },
    { "<htm", 4, "a web page" },
    { "{", 1, "a bare JSON text" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    if (n >= formats[i].size && memcmp (head, formats[i].magic, formats[i].size) == 0)
      return formats[i].name;
  if (n >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5)
    return "a Python pickle";
  if (n >= 3 && head[0] == 0x08 && head[1] < 0x20 && head[2] == 0x12)
    return "an ONNX model";
  return NULL;
}

/* Reads the length field and the header. */
static gboolean
read_header (DuWeightsFile *file, GError **error)
{
  guint8 head[8] = { 0 };
  guint64 length;
  const char *foreign;

  if (!read_exactly (file, head, MIN (file->size, sizeof head), error))
    return FALSE;
  memcpy (&length, head, sizeof length);
  length = GUINT64_FROM_LE (length);
  if (file->size >= 8 && length >= 2 && length <= DU_WEIGHTS_HEADER_MAX && length <= file->size - 8) {
    file->header_size = 8 + length;
    file->header = g_malloc (file->header_size);
    memcpy (file->header, head, 8);
    return read_exactly (file, file->header + 8, length, error);
  }
  foreign = foreign_format (head, MIN (file->size, sizeof head));
  if (foreign)
    return refuse (file, error, DU_ERROR_FORMAT,
        "is %s, not a weights file: give one that deblurunet-train wrote", foreign);
  if (file->size < 8)
    return refuse (file, error, DU_ERROR_FORMAT, "has only %d bytes, too few for a weights file" AGAIN,
        (int) file->size);
  if (GUINT64_SWAP_LE_BE (length) <= DU_WEIGHTS_HEADER_MAX && length)
    return refuse (file, error, DU_ERROR_FORMAT,
        "has its header's length in big-endian order: write it in little-endian order");
  if (length > DU_WEIGHTS_HEADER_MAX)
    return refuse (file, error, DU_ERROR_FORMAT,
        "is not a weights file: its header's length %" G_GUINT64_FORMAT " is above %d" AGAIN, length,
        DU_WEIGHTS_HEADER_MAX);
  return refuse (file, error, DU_ERROR_FORMAT,
      "is cut short or damaged: a header of %" G_GUINT64_FORMAT " bytes in a file of %" G_GUINT64_FORMAT AGAIN,
      length, file->size);
}

static const char *
kind_of_file (mode_t mode)
{
  return S_ISDIR (mode)    ? "a folder"
         : S_ISFIFO (mode) ? "a FIFO"
         : S_ISSOCK (mode) ? "a socket"
                           : "a device";
}

gboolean
du_weights_open (DuWeightsFile *file, const char *path, GError **error)
{
  g_autofree char *utf8 = path ? g_filename_display_name (path) : NULL, *digest = NULL;
  struct stat status;
  gboolean ok = FALSE;

  *file = (DuWeightsFile){ .fd = -1, .shown = du_weights_shown (utf8 ? utf8 : "", 256) };
  if (!path || !*path) {
    refuse (file, error, DU_ERROR_ARGUMENT, "has no name: give a path");
    goto out;
  }
  /* Non-blocking, for a FIFO that nobody writes to. */
  file->fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file->fd < 0 || fstat (file->fd, &status) < 0) {
    refuse (file, error, du_weights_open_error (errno), "cannot be opened: %s", g_strerror (errno));
    goto out;
  }
  if (!S_ISREG (status.st_mode)) {
    refuse (file, error, DU_ERROR_OPEN, "is %s: give a regular file", kind_of_file (status.st_mode));
    goto out;
  }
  file->size = status.st_size;
  if (!read_header (file, error))
    goto out;
  /* The header has the data's digest: should an inode be used again within one tick of the clock, then a
   * file of other content is still another one. */
  digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, file->header, file->header_size);
  file->identity = g_strdup_printf (
      "%" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER "x %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld %s",
      (guint64) status.st_dev, (guint64) status.st_ino, file->size, (gint64) status.st_mtim.tv_sec,
      (long) status.st_mtim.tv_nsec, digest);
  ok = TRUE;

out:
  if (!ok)
    du_weights_close (file);
  return ok;
}

gboolean
du_weights_open_memory (DuWeightsFile *file, const char *name, const guint8 *bytes, gsize size, GError **error)
{
  *file = (DuWeightsFile){ .fd = -1, .shown = g_strdup (name), .bytes = bytes, .size = size };
  if (read_header (file, error))
    return TRUE;
  du_weights_close (file);
  return FALSE;
}

void
du_weights_close (DuWeightsFile *file)
{
  if (file->fd >= 0)
    close (file->fd);
  file->fd = -1;
  g_clear_pointer (&file->shown, g_free);
  g_clear_pointer (&file->header, g_free);
  g_clear_pointer (&file->identity, g_free);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* What jansson would let pass, or says less well. */
static gboolean
check_text (const DuWeightsFile *file, const char *text, gsize size, GError **error)
{
  gboolean string = FALSE;
  int depth = 0;

  if (size >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0)
    return refuse (file, error, DU_ERROR_FORMAT, "has a byte order mark before its header: write it without");
  if (text[0] != '{')
    return refuse (file, error, DU_ERROR_FORMAT, "has a header that does not begin with '{'" AGAIN);
  for (gsize i = 0; i < size; i++) {
    guint8 c = text[i];

    if (c < ' ' && c != '\t' && c != '\n' && c != '\r')
      return refuse (file, error, DU_ERROR_FORMAT, "has byte 0x%02x in its header, at %" G_GSIZE_FORMAT AGAIN, c,
          i);
    if (string) {
      if (c == '\\')
        i++;
      else if (c == '"')
        string = FALSE;
    } else if (c == '"')
      string = TRUE;
    else if (c == '{' || c == '[')
      depth++;
    else if (c == '}' || c == ']')
      depth--;
    else if (c == '-' && i + 1 < size && text[i + 1] == '0')
      return refuse (file, error, DU_ERROR_FORMAT, "has a number that begins with -0 in its header, at byte %" G_GSIZE_FORMAT AGAIN,
          i);
    if (depth > NESTING_MAX)
      return refuse (file, error, DU_ERROR_FORMAT, "has a header nested more than %d deep" AGAIN, NESTING_MAX);
  }
  return TRUE;
}

static json_t *
parse_header (const DuWeightsFile *file, GError **error)
{
  const char *text = (const char *) file->header + 8;
  gsize size = file->header_size - 8;
  json_error_t problem;
  json_t *root;

  if (!check_text (file, text, size, error))
    return NULL;
  root = json_loadb (text, size, JSON_REJECT_DUPLICATES, &problem);
  if (!root) {
    g_autofree char *shown = du_weights_shown (problem.text, 2 * SHOWN_CHARACTERS);

    if (json_error_code (&problem) == json_error_out_of_memory)
      refuse (file, error, DU_ERROR_MEMORY, "cannot be read: not enough memory for its header");
    else
      refuse (file, error, DU_ERROR_FORMAT, "has a bad header: %s, at byte %d" AGAIN, shown, problem.position);
  }
  return root;
}

/* A JSON value fit for a message; g_free. */
static char *
shown_json (const json_t *value)
{
  char *text = json_dumps (value, JSON_ENCODE_ANY | JSON_COMPACT);
  char *shown = du_weights_shown (text ? text : "?", SHOWN_CHARACTERS);

  free (text);
  return shown;
}

static gboolean
is_digest (const char *text)
{
  return strlen (text) == DU_WEIGHTS_DIGITS && strspn (text, "0123456789abcdef") == DU_WEIGHTS_DIGITS;
}

/* ---- metadata ------------------------------------------------------------------------------ */

static gboolean
read_metadata (const DuWeightsFile *file, json_t *root, GHashTable *metadata, GError **error)
{
  json_t *object = json_object_get (root, METADATA), *value;
  const char *key;

  if (!json_is_object (object))
    return refuse (file, error, DU_ERROR_FORMAT,
        "has %s: only files written by deblurunet-train, or in its format, can be used",
        object ? METADATA " that is not an object" : "no " METADATA);
  json_object_foreach (object, key, value) {
    if (!json_is_string (value)) {
      g_autofree char *shown = du_weights_shown (key, SHOWN_CHARACTERS), *what = shown_json (value);

      return refuse (file, error, DU_ERROR_FORMAT, "has metadata '%s' that is not a string but %s" AGAIN, shown,
          what);
    }
    g_hash_table_insert (metadata, g_strdup (key), g_strdup (json_string_value (value)));
  }
  for (guint i = 0; i < G_N_ELEMENTS (reserved_keys); i++)
    if (!g_hash_table_contains (metadata, reserved_keys[i]))
      return refuse (file, error, DU_ERROR_FORMAT,
          "has no '%s' in its metadata: only files written by deblurunet-train, or in its format, can be used",
          reserved_keys[i]);
  return TRUE;
}

/* Sets the error of a reserved key whose value will not do; always FALSE. */
static gboolean
refuse_value (const DuWeightsFile *file, GHashTable *metadata, const char *key, const char *why, GError **error)
{
  g_autofree char *shown = du_weights_shown (g_hash_table_lookup (metadata, key), SHOWN_CHARACTERS);

  return refuse (file, error, DU_ERROR_FORMAT, "has metadata %s '%s': %s", key, shown, why);
}

/* Which network it is, from the reserved keys. */
static gboolean
read_config (const DuWeightsFile *file, GHashTable *metadata, DuConfig *config, GError **error)
{
  const char *version = g_hash_table_lookup (metadata, "format_version");
  g_autofree char *tile = du_weights_tile (), *width = NULL, *range = NULL;
  g_autoptr (GError) problem = NULL;
  gint64 base_width;

  if (strcmp (g_hash_table_lookup (metadata, "format"), DU_WEIGHTS_FORMAT))
    return refuse_value (file, metadata, "format",
        "only '" DU_WEIGHTS_FORMAT "' is known: give a file that deblurunet-train wrote", error);
  if (strcmp (version, DU_WEIGHTS_VERSION))
    return refuse_value (file, metadata, "format_version",
        "only " DU_WEIGHTS_VERSION " is known: update deblurunet if the file was made by a newer one", error);
  base_width = g_ascii_strtoll (g_hash_table_lookup (metadata, "base_width"), NULL, 10);
  width = g_strdup_printf ("%" G_GINT64_FORMAT, base_width);
  range = g_strdup_printf ("it must be a whole number from 1 to %d" AGAIN, DU_BASE_WIDTH_MAX);
  if (base_width < 1 || base_width > DU_BASE_WIDTH_MAX
      || strcmp (width, g_hash_table_lookup (metadata, "base_width")))
    return refuse_value (file, metadata, "base_width", range, error);
  config->base_width = base_width;
  if (!du_bn_parse (g_hash_table_lookup (metadata, "bn"), &config->bn, &problem))
    return refuse_value (file, metadata, "bn", problem->message, error);
  if (!du_head_parse (g_hash_table_lookup (metadata, "head"), &config->head, &problem))
    return refuse_value (file, metadata, "head", problem->message, error);
  if (strcmp (g_hash_table_lookup (metadata, "tile"), tile))
    return refuse_value (file, metadata, "tile", "only networks for tiles of 256x448 can be used", error);
  if (!is_digest (g_hash_table_lookup (metadata, "sha256")))
    return refuse_value (file, metadata, "sha256", "it is not a SHA-256 in lower-case hexadecimal" AGAIN, error);
  return TRUE;
}

/* Last of all about the header, so that a file made by hand is told its first real fault. */
static gboolean
check_header_digest (const DuWeightsFile *file, GHashTable *metadata, GError **error)
{
  const char *digest = g_hash_table_lookup (metadata, "header_sha256");
  const guint8 *at, *again, *end = file->header + file->header_size;
  g_autofree char *computed = NULL;

  if (!is_digest (digest))
    return refuse_value (file, metadata, "header_sha256", "it is not a SHA-256 in lower-case hexadecimal" AGAIN,
        error);
  at = memmem (file->header, file->header_size, digest, DU_WEIGHTS_DIGITS);
  again = at ? memmem (at + 1, end - at - 1, digest, DU_WEIGHTS_DIGITS) : NULL;
  if (!at || again)
    return refuse_value (file, metadata, "header_sha256", "its digits must stand in the header once, unescaped",
        error);
  computed = du_weights_header_digest (file->header, file->header_size, at - file->header);
  if (strcmp (computed, digest))
    return refuse_value (file, metadata, "header_sha256", "the header is damaged, its digest is another" AGAIN,
        error);
  return TRUE;
}

/* ---- the tensor table ------------------------------------------------------------------------ */

typedef struct
{
  DuTensorInfo info;
  DuDtype dtype;
  guint64 begin, end;
} Tensor;

/* A whole number from 0 to 2^63 - 1. */
static gboolean
read_offset (const json_t *value, guint64 *number)
{
  if (!json_is_integer (value) || json_integer_value (value) < 0)
    return FALSE;
  *number = json_integer_value (value);
  return TRUE;
}

static gboolean
read_tensor_entry (const DuWeightsFile *file, const json_t *entry, Tensor *tensor, GError **error)
{
  const DuTensorInfo *info = &tensor->info;
  const json_t *dtype = json_object_get (entry, "dtype"), *shape = json_object_get (entry, "shape");
  const json_t *offsets = json_object_get (entry, "data_offsets");
  guint64 size;
  gboolean same;

  if (!entry)
    return refuse (file, error, DU_ERROR_FORMAT, "has no tensor '%s': it is cut down, or one of another network" AGAIN,
        info->name);
  if (!json_is_object (entry) || json_object_size (entry) != 3 || !dtype || !shape || !offsets)
    return refuse (file, error, DU_ERROR_FORMAT,
        "describes tensor '%s' with other fields than dtype, shape and data_offsets" AGAIN, info->name);

  for (tensor->dtype = 0; tensor->dtype < G_N_ELEMENTS (dtypes); tensor->dtype++)
    if (json_is_string (dtype) && strcmp (json_string_value (dtype), dtypes[tensor->dtype].name) == 0)
      break;
  if (tensor->dtype == G_N_ELEMENTS (dtypes)) {
    g_autofree char *shown = shown_json (dtype);

    return refuse (file, error, DU_ERROR_FORMAT, "has tensor '%s' of dtype %s: it must be F32, F16 or BF16",
        info->name, shown);
  }

  same = json_is_array (shape) && json_array_size (shape) == (gsize) info->rank;
  for (int d = 0; same && d < info->rank; d++) {
    const json_t *extent = json_array_get (shape, d);

    same = json_is_integer (extent) && json_integer_value (extent) == info->shape[d];
  }
  if (!same) {
    g_autofree char *shown = shown_json (shape);
    g_autofree char *wanted = info->rank == 1 ? g_strdup_printf ("[%d]", info->shape[0])
                                              : g_strdup_printf ("[%d,%d,%d,%d]", info->shape[0], info->shape[1],
                                                    info->shape[2], info->shape[3]);

    return refuse (file, error, DU_ERROR_FORMAT,
        "has tensor '%s' of shape %s, where the network that its metadata names has %s: give a file of this network",
        info->name, shown, wanted);
  }

  size = (guint64) info->count * dtypes[tensor->dtype].size;
  if (!json_is_array (offsets) || json_array_size (offsets) != 2
      || !read_offset (json_array_get (offsets, 0), &tensor->begin)
      || !read_offset (json_array_get (offsets, 1), &tensor->end) || tensor->end < tensor->begin
      || tensor->end - tensor->begin != size) {
    g_autofree char *shown = shown_json (offsets);

    return refuse (file, error, DU_ERROR_FORMAT,
        "has tensor '%s' with data_offsets %s: they must be two whole numbers, %" G_GUINT64_FORMAT " apart" AGAIN,
        info->name, shown, size);
  }
  return TRUE;
}

static int
compare_begin (const void *a, const void *b)
{
  const Tensor *x = a, *y = b;

  return (x->begin > y->begin) - (x->begin < y->begin);
}

/* All tensors of the network, sorted by where their data stand; g_free. */
static Tensor *
read_table (const DuWeightsFile *file, const DuConfig *config, json_t *root, GError **error)
{
  guint n = du_config_n_tensors (config);
  g_autofree Tensor *tensors = g_new0 (Tensor, n);
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);
  guint64 at = 0, data_size = file->size - file->header_size;
  const char *key;
  json_t *value;

  for (guint i = 0; i < n; i++) {
    du_config_tensor (config, i, &tensors[i].info);
    g_hash_table_add (known, tensors[i].info.name);
  }
  json_object_foreach (root, key, value)
    if (strcmp (key, METADATA) && !g_hash_table_contains (known, key)) {
      g_autofree char *shown = du_weights_shown (key, SHOWN_CHARACTERS);

      refuse (file, error, DU_ERROR_FORMAT,
          "has a tensor '%s', which the network that its metadata names has not: give a file of this network",
          shown);
      return NULL;
    }
  for (guint i = 0; i < n; i++)
    if (!read_tensor_entry (file, json_object_get (root, tensors[i].info.name), &tensors[i], error))
      return NULL;

  qsort (tensors, n, sizeof *tensors, compare_begin);
  for (guint i = 0; i < n; i++) {
    if (tensors[i].begin != at) {
      refuse (file, error, DU_ERROR_FORMAT,
          "has %s before tensor '%s', at byte %" G_GUINT64_FORMAT " of its data" AGAIN,
          tensors[i].begin > at ? "a hole" : "an overlap", tensors[i].info.name, tensors[i].begin);
      return NULL;
    }
    at = tensors[i].end;
  }
  if (at != data_size) {
    refuse (file, error, DU_ERROR_FORMAT,
        "%s: its data have %" G_GUINT64_FORMAT " bytes, where its tensors need %" G_GUINT64_FORMAT AGAIN,
        data_size < at ? "is cut short" : "has bytes after its last tensor", data_size, at);
    return NULL;
  }
  return g_steal_pointer (&tensors);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void
decode (const guint8 *from, DuDtype dtype, gsize n, float *to)
{
  if (dtype == DU_DTYPE_F32)
    for (gsize i = 0; i < n; i++) {
      DuFloatBits x;

      memcpy (&x, from + 4 * i, 4);
      x.bits = GUINT32_FROM_LE (x.bits);
      to[i] = x.value;
    }
  else
    for (gsize i = 0; i < n; i++) {
      guint16 half = from[2 * i] | from[2 * i + 1] << 8;

      to[i] = dtype == DU_DTYPE_F16 ? du_f16_to_float (half) : du_bf16_to_float (half);
    }
}

/* Why the values of a tensor cannot be used, or NULL. zero: cleared if one is not. */
static const char *
bad_values (const DuTensorInfo *info, const float *values, gboolean *zero)
{
  gboolean variance = g_str_has_suffix (info->name, ".running_var");

  for (gsize i = 0; i < info->count; i++) {
    if (!isfinite (values[i]))
      return isnan (values[i]) ? "NaN" : "an infinite value";
    if (variance && values[i] < 0)
      return "a negative variance";
    *zero &= values[i] == 0;
  }
  return NULL;
}

static gboolean
read_values (DuWeightsFile *file, const Tensor *tensors, guint n_tensors, DuWeights *weights, GError **error)
{
  g_autofree guint8 *chunk = g_malloc (DU_WEIGHTS_CHUNK);
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  const char *reason = NULL, *where = NULL;
  gboolean zero = TRUE;

  for (guint i = 0; i < n_tensors; i++) {
    int size = dtypes[tensors[i].dtype].size;
    float *values = weights->parameters + tensors[i].info.offset;

    for (gsize done = 0, n; done < tensors[i].info.count; done += n) {
      n = MIN (tensors[i].info.count - done, (gsize) (DU_WEIGHTS_CHUNK / size));
      if (!read_exactly (file, chunk, n * size, error))
        return FALSE;
      g_checksum_update (sum, chunk, n * size);
      decode (chunk, tensors[i].dtype, n, values + done);
    }
    if (!reason) {
      reason = bad_values (&tensors[i].info, values, &zero);
      where = tensors[i].info.name;
    }
  }
  /* Before the values: damage is then called damage. */
  if (strcmp (g_checksum_get_string (sum), g_hash_table_lookup (weights->metadata, "sha256")))
    return refuse (file, error, DU_ERROR_FORMAT, "is damaged: the SHA-256 of its data is not the one in its header" AGAIN);
  if (reason)
    return refuse (file, error, DU_ERROR_FORMAT,
        "has %s in tensor '%s': such weights cannot be used, train or export them again", reason, where);
  if (zero)
    weights->warning = g_strdup_printf ("weights file '%s' holds nothing but zeros: it was never trained",
        file->shown);
  return TRUE;
}

gboolean
du_weights_read (DuWeightsFile *file, DuWeights *weights, GError **error)
{
  g_auto (DuWeights) read = { .metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free) };
  g_autofree Tensor *tensors = NULL;
  json_t *root = parse_header (file, error);
  gsize n;
  gboolean ok = FALSE;

  if (!root || !read_metadata (file, root, read.metadata, error)
      || !read_config (file, read.metadata, &read.config, error))
    goto out;
  tensors = read_table (file, &read.config, root, error);
  if (!tensors || !check_header_digest (file, read.metadata, error))
    goto out;
  n = du_config_n_parameters (&read.config);
  read.parameters = g_try_new (float, n);
  if (!read.parameters) {
    refuse (file, error, DU_ERROR_MEMORY, "needs %" G_GSIZE_FORMAT " MB of memory, which are not free",
        n * sizeof (float) >> 20);
    goto out;
  }
  if (!read_values (file, tensors, du_config_n_tensors (&read.config), &read, error))
    goto out;
  *weights = read;
  read = (DuWeights){ 0 };
  ok = TRUE;

out:
  json_decref (root);
  return ok;
}

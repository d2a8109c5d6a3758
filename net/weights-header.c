/* The header of a weights file, taken apart strictly. weights.h describes the format.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "weights.h"
#include "unet.h"

#include <jansson.h>
#include <string.h>

#define METADATA "__metadata__"

enum
{
  NESTING_MAX = 8,      /* three are needed */
  SHOWN_CHARACTERS = 64 /* of a value in a message */
};

static const char *const reserved_keys[] = {
  "format", "format_version", "base_width", "bn", "head", "tile", "sha256", "header_sha256",
};

gboolean
du_weights_is_reserved (const char *key)
{
  for (guint i = 0; i < G_N_ELEMENTS (reserved_keys); i++)
    if (strcmp (key, reserved_keys[i]) == 0)
      return TRUE;
  return FALSE;
}

char *
du_weights_tile (void)
{
  return g_strdup_printf ("%dx%d", DU_TILE_HEIGHT, DU_TILE_WIDTH);
}

char *
du_weights_header_digest (const guint8 *header, gsize size, gsize digits)
{
  static const guint8 zeros[DU_WEIGHTS_DIGITS + 1]
      = "0000000000000000000000000000000000000000000000000000000000000000";
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);

  g_checksum_update (sum, header, digits);
  g_checksum_update (sum, zeros, DU_WEIGHTS_DIGITS);
  g_checksum_update (sum, header + digits + DU_WEIGHTS_DIGITS, size - digits - DU_WEIGHTS_DIGITS);
  return g_strdup (g_checksum_get_string (sum));
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* What jansson would let pass, or says less well. */
static gboolean
check_text (const DuWeightsFile *file, const char *text, gsize size, GError **error)
{
  gboolean string = FALSE;
  int depth = 0;

  if (size >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0)
    return du_weights_refuse (
        file, error, DU_ERROR_FORMAT, "has a byte order mark before its header: write it without");
  if (text[0] != '{')
    return du_weights_refuse (
        file, error, DU_ERROR_FORMAT, "has a header that does not begin with '{'" DU_WEIGHTS_AGAIN);
  for (gsize i = 0; i < size; i++) {
    guint8 c = text[i];

    if (c < ' ' && c != '\t' && c != '\n' && c != '\r')
      return du_weights_refuse (file, error, DU_ERROR_FORMAT,
          "has byte 0x%02x in its header, at %" G_GSIZE_FORMAT DU_WEIGHTS_AGAIN, c, i);
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
      return du_weights_refuse (file, error, DU_ERROR_FORMAT,
          "has a number that begins with -0 in its header, at byte %" G_GSIZE_FORMAT DU_WEIGHTS_AGAIN, i);
    if (depth > NESTING_MAX)
      return du_weights_refuse (file, error, DU_ERROR_FORMAT,
          "has a header nested more than %d deep" DU_WEIGHTS_AGAIN, NESTING_MAX);
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
      du_weights_refuse (file, error, DU_ERROR_MEMORY, "cannot be read: not enough memory for its header");
    else
      du_weights_refuse (file, error, DU_ERROR_FORMAT, "has a bad header: %s, at byte %d" DU_WEIGHTS_AGAIN,
          shown, problem.position);
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

/* ---- metadata ------------------------------------------------------------------------------ */

static gboolean
read_metadata (const DuWeightsFile *file, json_t *root, GHashTable *metadata, GError **error)
{
  json_t *object = json_object_get (root, METADATA), *value;
  const char *key;

  if (!json_is_object (object))
    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "has %s: only files written by deblurunet-train, or in its format, can be used",
        object ? METADATA " that is not an object" : "no " METADATA);
  json_object_foreach (object, key, value) {
    if (!json_is_string (value)) {
      g_autofree char *shown = du_weights_shown (key, SHOWN_CHARACTERS), *what = shown_json (value);

      return du_weights_refuse (file, error, DU_ERROR_FORMAT,
          "has metadata '%s' that is not a string but %s" DU_WEIGHTS_AGAIN, shown, what);
    }
    g_hash_table_insert (metadata, g_strdup (key), g_strdup (json_string_value (value)));
  }
  for (guint i = 0; i < G_N_ELEMENTS (reserved_keys); i++)
    if (!g_hash_table_contains (metadata, reserved_keys[i]))
      return du_weights_refuse (file, error, DU_ERROR_FORMAT,
          "has no '%s' in its metadata: only files written by deblurunet-train, or in its format, can be "
          "used",
          reserved_keys[i]);
  return TRUE;
}

/* Sets the error of a reserved key whose value will not do; always FALSE. */
static gboolean G_GNUC_PRINTF (5, 6)
refuse_value (const DuWeightsFile *file, GHashTable *metadata, const char *key, GError **error,
    const char *format, ...)
{
  g_autofree char *shown = du_weights_shown (g_hash_table_lookup (metadata, key), SHOWN_CHARACTERS);
  g_autofree char *why = NULL;
  va_list args;

  va_start (args, format);
  why = g_strdup_vprintf (format, args);
  va_end (args);
  return du_weights_refuse (file, error, DU_ERROR_FORMAT, "has metadata %s '%s': %s", key, shown, why);
}

static gboolean
check_digest (const DuWeightsFile *file, GHashTable *metadata, const char *key, GError **error)
{
  const char *text = g_hash_table_lookup (metadata, key);

  if (strlen (text) == DU_WEIGHTS_DIGITS && strspn (text, "0123456789abcdef") == DU_WEIGHTS_DIGITS)
    return TRUE;
  return refuse_value (
      file, metadata, key, error, "it is not a SHA-256 in lower-case hexadecimal" DU_WEIGHTS_AGAIN);
}

/* Which network it is, from the reserved keys. */
static gboolean
read_config (const DuWeightsFile *file, GHashTable *metadata, DuConfig *config, GError **error)
{
  const char *base_width = g_hash_table_lookup (metadata, "base_width");
  g_autofree char *tile = du_weights_tile (), *canonical = NULL;
  gint64 width;

  if (strcmp (g_hash_table_lookup (metadata, "format"), DU_WEIGHTS_FORMAT))
    return refuse_value (file, metadata, "format", error,
        "only '" DU_WEIGHTS_FORMAT "' is known: give a file that deblurunet-train wrote");
  if (strcmp (g_hash_table_lookup (metadata, "format_version"), DU_WEIGHTS_VERSION))
    return refuse_value (file, metadata, "format_version", error,
        "only " DU_WEIGHTS_VERSION " is known: update deblurunet if the file was made by a newer one");
  width = g_ascii_strtoll (base_width, NULL, 10);
  canonical = g_strdup_printf ("%" G_GINT64_FORMAT, width);
  if (width < 1 || width > DU_BASE_WIDTH_MAX || strcmp (base_width, canonical))
    return refuse_value (file, metadata, "base_width", error,
        "it must be a whole number from 1 to %d" DU_WEIGHTS_AGAIN, DU_BASE_WIDTH_MAX);
  config->base_width = width;
  if (!du_bn_parse (g_hash_table_lookup (metadata, "bn"), &config->bn, NULL))
    return refuse_value (file, metadata, "bn", error,
        "it must be 'none' or a list of blocks, each once, like 'enc0,mid,dec0'" DU_WEIGHTS_AGAIN);
  if (!du_head_parse (g_hash_table_lookup (metadata, "head"), &config->head, NULL))
    return refuse_value (
        file, metadata, "head", error, "it must be 'sigmoid' or 'residual'" DU_WEIGHTS_AGAIN);
  if (strcmp (g_hash_table_lookup (metadata, "tile"), tile))
    return refuse_value (file, metadata, "tile", error, "only networks for tiles of %s can be used", tile);
  return check_digest (file, metadata, "sha256", error);
}

/* Last of all about the header, so that a file made by hand is told its first real fault. */
static gboolean
check_header_digest (const DuWeightsFile *file, GHashTable *metadata, GError **error)
{
  const char *digest = g_hash_table_lookup (metadata, "header_sha256");
  const guint8 *at, *again, *end = file->header + file->header_size;
  g_autofree char *computed = NULL;

  /* Checked digests are there; gcc with the sanitizers does not see it. */
  if (!check_digest (file, metadata, "header_sha256", error) || !digest)
    return FALSE;
  at = memmem (file->header, file->header_size, digest, DU_WEIGHTS_DIGITS);
  again = at ? memmem (at + 1, end - at - 1, digest, DU_WEIGHTS_DIGITS) : NULL;
  if (!at || again)
    return refuse_value (
        file, metadata, "header_sha256", error, "its digits must stand in the header once, unescaped");
  computed = du_weights_header_digest (file->header, file->header_size, at - file->header);
  if (strcmp (computed, digest))
    return refuse_value (file, metadata, "header_sha256", error,
        "the header is damaged, its digest is another" DU_WEIGHTS_AGAIN);
  return TRUE;
}

/* ---- the tensor table ------------------------------------------------------------------------ */

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
read_tensor_entry (const DuWeightsFile *file, const json_t *entry, DuWeightsTensor *tensor, GError **error)
{
  const DuTensorInfo *info = &tensor->info;
  const json_t *dtype = json_object_get (entry, "dtype"), *shape = json_object_get (entry, "shape");
  const json_t *offsets = json_object_get (entry, "data_offsets");
  guint64 size;
  gboolean same;

  if (!entry)
    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "has no tensor '%s': it is cut down, or one of another network" DU_WEIGHTS_AGAIN, info->name);
  if (!json_is_object (entry) || json_object_size (entry) != 3 || !dtype || !shape || !offsets)
    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "describes tensor '%s' with other fields than dtype, shape and data_offsets" DU_WEIGHTS_AGAIN,
        info->name);

  tensor->dtype = DU_DTYPE_F32;
  while (tensor->dtype <= DU_DTYPE_BF16
         && g_strcmp0 (json_string_value (dtype), du_dtype_name (tensor->dtype)) != 0)
    tensor->dtype++;
  if (tensor->dtype > DU_DTYPE_BF16) {
    g_autofree char *shown = shown_json (dtype);

    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "has tensor '%s' of dtype %s: it must be F32, F16 or BF16", info->name, shown);
  }

  same = json_is_array (shape) && json_array_size (shape) == (gsize) info->rank;
  for (int d = 0; same && d < info->rank; d++) {
    const json_t *extent = json_array_get (shape, d);

    same = json_is_integer (extent) && json_integer_value (extent) == info->shape[d];
  }
  if (!same) {
    g_autofree char *shown = shown_json (shape);
    g_autofree char *wanted = info->rank == 1 ? g_strdup_printf ("[%d]", info->shape[0])
                                              : g_strdup_printf ("[%d,%d,%d,%d]", info->shape[0],
                                                  info->shape[1], info->shape[2], info->shape[3]);

    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "has tensor '%s' of shape %s, where the network that its metadata names has %s: give a file of this "
        "network",
        info->name, shown, wanted);
  }

  size = (guint64) info->count * du_dtype_size (tensor->dtype);
  if (!json_is_array (offsets) || json_array_size (offsets) != 2
      || !read_offset (json_array_get (offsets, 0), &tensor->begin)
      || !read_offset (json_array_get (offsets, 1), &tensor->end) || tensor->end < tensor->begin
      || tensor->end - tensor->begin != size) {
    g_autofree char *shown = shown_json (offsets);

    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "has tensor '%s' with data_offsets %s: they must be two whole numbers, %" G_GUINT64_FORMAT
        " apart" DU_WEIGHTS_AGAIN,
        info->name, shown, size);
  }
  return TRUE;
}

static int
compare_begin (const void *a, const void *b)
{
  const DuWeightsTensor *x = a, *y = b;

  return (x->begin > y->begin) - (x->begin < y->begin);
}

/* All tensors of the network, sorted by where their data stand; or NULL. */
static GArray *
read_table (const DuWeightsFile *file, const DuConfig *config, json_t *root, GError **error)
{
  g_autoptr (GArray) infos = du_config_tensors (config);
  g_autoptr (GArray) tensors = g_array_sized_new (FALSE, TRUE, sizeof (DuWeightsTensor), infos->len);
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);
  guint64 at = 0, data_size = file->size - file->header_size;
  const char *key;
  json_t *value;

  for (guint i = 0; i < infos->len; i++)
    g_hash_table_add (known, g_array_index (infos, DuTensorInfo, i).name);
  json_object_foreach (root, key, value)
    if (strcmp (key, METADATA) && !g_hash_table_contains (known, key)) {
      g_autofree char *shown = du_weights_shown (key, SHOWN_CHARACTERS);

      du_weights_refuse (file, error, DU_ERROR_FORMAT,
          "has a tensor '%s', which the network that its metadata names has not: give a file of this network",
          shown);
      return NULL;
    }
  for (guint i = 0; i < infos->len; i++) {
    DuWeightsTensor tensor = { .info = g_array_index (infos, DuTensorInfo, i) };

    if (!read_tensor_entry (file, json_object_get (root, tensor.info.name), &tensor, error))
      return NULL;
    g_array_append_val (tensors, tensor);
  }

  g_array_sort (tensors, compare_begin);
  for (guint i = 0; i < tensors->len; i++) {
    const DuWeightsTensor *tensor = &g_array_index (tensors, DuWeightsTensor, i);

    if (tensor->begin != at) {
      du_weights_refuse (file, error, DU_ERROR_FORMAT,
          "has %s before tensor '%s', at byte %" G_GUINT64_FORMAT " of its data" DU_WEIGHTS_AGAIN,
          tensor->begin > at ? "a hole" : "an overlap", tensor->info.name, tensor->begin);
      return NULL;
    }
    at = tensor->end;
  }
  if (at != data_size) {
    du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "%s: its data have %" G_GUINT64_FORMAT
        " bytes, where its tensors need %" G_GUINT64_FORMAT DU_WEIGHTS_AGAIN,
        data_size < at ? "is cut short" : "has bytes after its last tensor", data_size, at);
    return NULL;
  }
  return g_steal_pointer (&tensors);
}

GArray *
du_weights_parse_header (const DuWeightsFile *file, DuConfig *config, GHashTable *metadata, GError **error)
{
  g_autoptr (GArray) tensors = NULL;
  json_t *root = parse_header (file, error);

  if (root && read_metadata (file, root, metadata, error) && read_config (file, metadata, config, error))
    tensors = read_table (file, config, root, error);
  json_decref (root);
  return tensors && check_header_digest (file, metadata, error) ? g_steal_pointer (&tensors) : NULL;
}

/* The atomic writer of weights files. weights.h describes the format.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "weights.h"
#include "unet.h"
#include "half.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Values to bytes; returns how many could be written before one that the format cannot hold. */
static gsize
encode (const float *from, DuDtype dtype, gsize n, guint8 *to)
{
  for (gsize i = 0; i < n; i++) {
    DuFloatBits x = { .value = from[i] };
    guint16 half;

    if (dtype == DU_DTYPE_F32) {
      x.bits = GUINT32_TO_LE (x.bits);
      memcpy (to + 4 * i, &x, 4);
      continue;
    }
    half = dtype == DU_DTYPE_F16 ? du_f16_from_float (x.value) : du_bf16_from_float (x.value);
    if (!isfinite (dtype == DU_DTYPE_F16 ? du_f16_to_float (half) : du_bf16_to_float (half)))
      return i;
    to[2 * i] = half & 0xff;
    to[2 * i + 1] = half >> 8;
  }
  return n;
}

/* The tensors in the order of the data, with the format each is written in. Running statistics stay float32
 * whatever the rest is in: their range goes beyond F16's. They come first, so that each format is aligned,
 * which PyTorch's reader wants. DuWeightsTensor, without offsets. */
static GArray *
written_tensors (const DuConfig *config, DuDtype dtype)
{
  g_autoptr (GArray) tensors = du_config_tensors (config);
  GArray *written = g_array_new (FALSE, TRUE, sizeof (DuWeightsTensor));

  for (int trainable = FALSE; trainable <= TRUE; trainable++)
    for (guint i = 0; i < tensors->len; i++) {
      const DuTensorInfo *info = &g_array_index (tensors, DuTensorInfo, i);
      const DuWeightsTensor tensor = { .info = *info, .dtype = trainable ? dtype : DU_DTYPE_F32 };

      if (info->trainable == trainable)
        g_array_append_val (written, tensor);
    }
  return written;
}

typedef gboolean (*Sink) (gpointer data, const guint8 *bytes, gsize size, GError **error);

/* Gives the data section, chunk by chunk, to sink. */
static gboolean
encode_all (const char *shown, const DuConfig *config, const float *parameters, DuDtype dtype, Sink sink,
    gpointer data, GError **error)
{
  g_autofree guint8 *chunk = g_malloc (DU_WEIGHTS_CHUNK);
  g_autoptr (GArray) tensors = written_tensors (config, dtype);
  gboolean zero = TRUE;

  for (guint i = 0; i < tensors->len; i++) {
    const DuWeightsTensor *written = &g_array_index (tensors, DuWeightsTensor, i);
    const DuTensorInfo *tensor = &written->info;
    int size = du_dtype_size (written->dtype);
    const float *values = parameters + tensor->offset;
    const char *bad = du_weights_bad_values (tensor, values, &zero);

    if (bad) {
      g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
          "weights file '%s' is not written: tensor '%s' holds %s: go back to weights from before the "
          "training diverged",
          shown, tensor->name, bad);
      return FALSE;
    }
    for (gsize done = 0, n; done < tensor->count; done += n) {
      gsize good;

      n = MIN (tensor->count - done, (gsize) (DU_WEIGHTS_CHUNK / size));
      good = encode (values + done, written->dtype, n, chunk);
      if (good < n) {
        g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
            "weights file '%s' is not written: tensor '%s' holds %g, which %s cannot hold: write it as F32",
            shown, tensor->name, values[done + good], du_dtype_name (dtype));
        return FALSE;
      }
      if (!sink (data, chunk, n * size, error))
        return FALSE;
    }
  }
  return TRUE;
}

static gboolean
sink_checksum (gpointer data, const guint8 *bytes, gsize size, GError **error)
{
  (void) error;
  g_checksum_update (data, bytes, size);
  return TRUE;
}

/* ---- the header ------------------------------------------------------------------------------ */

static gboolean
set_metadata (json_t *object, const char *shown, const char *key, const char *value, GError **error)
{
  g_autofree char *shown_key = NULL;

  if (json_object_set_new (object, key, json_string (value)) == 0)
    return TRUE;
  shown_key = du_weights_shown (key, 64);
  g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT,
      "weights file '%s' is not written: metadata '%s' is not valid UTF-8", shown, shown_key);
  return FALSE;
}

static json_t *
make_metadata (const char *shown, const DuConfig *config, GHashTable *metadata, const char *digest,
    const char *header_digest, GError **error)
{
  g_autofree char *base_width = g_strdup_printf ("%d", config->base_width),
                  *bn = du_bn_to_string (config->bn);
  g_autofree char *tile = du_weights_tile ();
  const char *const reserved[][2] = {
    { "format", DU_WEIGHTS_FORMAT },
    { "format_version", DU_WEIGHTS_VERSION },
    { "base_width", base_width },
    { "bn", *bn ? bn : "none" },
    { "head", du_head_name (config->head) },
    { "tile", tile },
    { "sha256", digest },
    { "header_sha256", header_digest },
  };
  json_t *object = json_object ();
  GList *keys = metadata ? g_list_sort (g_hash_table_get_keys (metadata), (GCompareFunc) strcmp) : NULL;
  gboolean ok = object != NULL;

  for (guint i = 0; ok && i < G_N_ELEMENTS (reserved); i++)
    ok = set_metadata (object, shown, reserved[i][0], reserved[i][1], error);
  for (GList *key = keys; ok && key; key = key->next)
    if (!du_weights_is_reserved (key->data))
      ok = set_metadata (object, shown, key->data, g_hash_table_lookup (metadata, key->data), error);
  g_list_free (keys);
  if (!ok)
    g_clear_pointer (&object, json_decref);
  return object;
}

static GByteArray *
make_header (const char *shown, const DuConfig *config, GHashTable *metadata, DuDtype dtype,
    const char *digest, GError **error)
{
  static const char mark[] = "\"header_sha256\":\"";
  g_autofree char *zeros = g_strnfill (DU_WEIGHTS_DIGITS, '0'), *header_digest = NULL;
  json_t *root = json_object (), *object = make_metadata (shown, config, metadata, digest, zeros, error);
  g_autoptr (GArray) tensors = written_tensors (config, dtype);
  GByteArray *header = NULL;
  char *text = NULL;
  guint8 *digits;
  guint64 length, length_le, at = 0;

  if (!object)
    goto out;
  json_object_set_new (root, "__metadata__", object);
  for (guint i = 0; i < tensors->len; i++) {
    const DuWeightsTensor *written = &g_array_index (tensors, DuWeightsTensor, i);
    const DuTensorInfo *tensor = &written->info;
    guint64 end = at + (guint64) tensor->count * du_dtype_size (written->dtype);
    json_t *shape = json_array ();

    for (int d = 0; d < tensor->rank; d++)
      json_array_append_new (shape, json_integer (tensor->shape[d]));
    json_object_set_new (root, tensor->name,
        json_pack ("{s:s, s:o, s:[I,I]}", "dtype", du_dtype_name (written->dtype), "shape", shape,
            "data_offsets", (json_int_t) at, (json_int_t) end));
    at = end;
  }
  text = json_dumps (root, JSON_COMPACT);
  length = text ? (strlen (text) + 7) & ~7ul : 0;
  if (!length || length > DU_WEIGHTS_HEADER_MAX) {
    g_set_error (error, DU_ERROR, text ? DU_ERROR_ARGUMENT : DU_ERROR_MEMORY,
        "weights file '%s' is not written: %s", shown,
        text ? "its metadata are too long, a header may have 1 MiB" : "not enough memory for its header");
    goto out;
  }
  header = g_byte_array_sized_new (8 + length);
  length_le = GUINT64_TO_LE (length);
  g_byte_array_append (header, (const guint8 *) &length_le, 8);
  g_byte_array_append (header, (const guint8 *) text, strlen (text));
  while (header->len < 8 + length)
    g_byte_array_append (header, (const guint8 *) " ", 1);
  /* No string can hold the mark: its quotes would be escaped. */
  digits = (guint8 *) memmem (header->data, header->len, mark, sizeof mark - 1) + sizeof mark - 1;
  header_digest = du_weights_header_digest (header->data, header->len, digits - header->data);
  memcpy (digits, header_digest, DU_WEIGHTS_DIGITS);

out:
  free (text);
  json_decref (root);
  return header;
}

/* ---- the file -------------------------------------------------------------------------------- */

typedef struct
{
  int fd;
  const char *shown;
} Output;

static gboolean
set_io_error (const Output *output, const char *what, GError **error)
{
  g_set_error (error, DU_ERROR, DU_ERROR_IO, "weights file '%s' is not written: %s: %s", output->shown, what,
      g_strerror (errno));
  return FALSE;
}

static gboolean
sink_write (gpointer data, const guint8 *bytes, gsize size, GError **error)
{
  const Output *output = data;

  while (size > 0) {
    ssize_t n = write (output->fd, bytes, size);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return set_io_error (output, "cannot write", error);
    bytes += n;
    size -= n;
  }
  return TRUE;
}

/* Writes all to a new file in folder and renames it. */
static gboolean
write_and_rename (int folder, const char *name, const char *shown, GByteArray *header, const DuConfig *config,
    const float *parameters, DuDtype dtype, GError **error)
{
  g_autofree char *temporary = g_strdup_printf (".deblurunet-%08x%08x.tmp", g_random_int (), g_random_int ());
  Output output = { openat (folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), shown };
  gboolean ok = FALSE;

  if (output.fd < 0) {
    g_set_error (error, DU_ERROR, du_weights_open_error (errno),
        "weights file '%s' is not written: cannot make a file in its folder: %s", shown, g_strerror (errno));
    return FALSE;
  }
  if (!sink_write (&output, header->data, header->len, error)
      || !encode_all (shown, config, parameters, dtype, sink_write, &output, error))
    goto out;
  if (fsync (output.fd) < 0) {
    set_io_error (&output, "cannot write", error);
    goto out;
  }
  /* Some network file systems report a full disk only now. */
  ok = close (output.fd) == 0;
  output.fd = -1;
  if (!ok || renameat (folder, temporary, folder, name) < 0)
    ok = set_io_error (&output, "cannot finish it", error);

out:
  if (output.fd >= 0)
    close (output.fd);
  if (!ok)
    unlinkat (folder, temporary, 0);
  /* File systems that cannot sync a folder say EINVAL. */
  else if (fsync (folder) < 0 && errno != EINVAL)
    ok = set_io_error (&output, "cannot make its new name lasting", error);
  return ok;
}

gboolean
du_weights_write (const char *path, const DuConfig *config, const float *parameters, GHashTable *metadata,
    DuDtype dtype, GError **error)
{
  g_autofree char *utf8 = path ? g_filename_display_name (path) : NULL;
  g_autofree char *shown = du_weights_shown (utf8 ? utf8 : "", 256), *target = NULL, *name = NULL,
                  *parent = NULL;
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GByteArray) header = NULL;
  struct stat status;
  int folder = -1;
  gboolean ok = FALSE;

  if (!path || !*path || path[strlen (path) - 1] == '/' || (guint) dtype > DU_DTYPE_BF16) {
    g_set_error (error, DU_ERROR, DU_ERROR_ARGUMENT, "weights file '%s' is not written: %s", shown,
        (guint) dtype > DU_DTYPE_BF16 ? "its dtype is unknown" : "give the path of a file");
    goto out;
  }
  /* A link stays one, what it leads to is replaced; a device or a folder is not. */
  if (stat (path, &status) == 0 && !S_ISREG (status.st_mode)) {
    g_set_error (error, DU_ERROR, DU_ERROR_OPEN,
        "weights file '%s' is not written: there is something that is not a file: give another path", shown);
    goto out;
  }
  target = realpath (path, NULL);
  parent = g_path_get_dirname (target ? target : path);
  name = g_path_get_basename (target ? target : path);
  folder = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    g_set_error (error, DU_ERROR, du_weights_open_error (errno),
        "weights file '%s' is not written: its folder cannot be opened: %s", shown, g_strerror (errno));
    goto out;
  }
  if (!encode_all (shown, config, parameters, dtype, sink_checksum, sum, error))
    goto out;
  header = make_header (shown, config, metadata, dtype, g_checksum_get_string (sum), error);
  ok = header && write_and_rename (folder, name, shown, header, config, parameters, dtype, error);

out:
  if (folder >= 0)
    close (folder);
  return ok;
}

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
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct
{
  const char *name;
  int size;
} dtypes[] = {
  [DU_DTYPE_F32] = { "F32", 4 },
  [DU_DTYPE_F16] = { "F16", 2 },
  [DU_DTYPE_BF16] = { "BF16", 2 },
};

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

void
du_weights_clear (DuWeights *weights)
{
  g_clear_pointer (&weights->parameters, g_free);
  g_clear_pointer (&weights->metadata, g_hash_table_unref);
  g_clear_pointer (&weights->warning, g_free);
}

gboolean
du_weights_refuse (const DuWeightsFile *file, GError **error, DuError code, const char *format, ...)
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
  if (size && file->fd < 0) {
    memcpy (to, file->bytes, size);
    file->bytes += size;
    return TRUE;
  }
  while (size > 0) {
    ssize_t n = read (file->fd, to, size);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return du_weights_refuse (file, error, DU_ERROR_IO, "cannot be read: %s", g_strerror (errno));
    if (n == 0)
      return du_weights_refuse (file, error, DU_ERROR_IO, "became shorter while it was read: try again");
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
  guint64 length, swapped;
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
    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "is %s, not a weights file: give one that deblurunet-train wrote", foreign);
  if (file->size < 8)
    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "has only %d bytes, too few for a weights file" DU_WEIGHTS_AGAIN, (int) file->size);
  swapped = GUINT64_SWAP_LE_BE (length);
  if (swapped >= 1024 && swapped <= MIN (DU_WEIGHTS_HEADER_MAX, file->size - 8))
    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "has its header's length in big-endian order: write it in little-endian order");
  if (length > DU_WEIGHTS_HEADER_MAX)
    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "is not a weights file: its header's length %" G_GUINT64_FORMAT " is above %d" DU_WEIGHTS_AGAIN,
        length, DU_WEIGHTS_HEADER_MAX);
  return du_weights_refuse (file, error, DU_ERROR_FORMAT,
      "is cut short or damaged: a header of %" G_GUINT64_FORMAT
      " bytes in a file of %" G_GUINT64_FORMAT DU_WEIGHTS_AGAIN,
      length, file->size);
}

static const char *
kind_of_file (mode_t mode)
{
  return S_ISDIR (mode) ? "a folder" : S_ISFIFO (mode) ? "a FIFO" : S_ISSOCK (mode) ? "a socket" : "a device";
}

gboolean
du_weights_open (DuWeightsFile *file, const char *path, GError **error)
{
  g_autofree char *utf8 = path ? g_filename_display_name (path) : NULL, *digest = NULL;
  struct stat status;
  gboolean ok = FALSE;

  *file = (DuWeightsFile){ .fd = -1, .shown = du_weights_shown (utf8 ? utf8 : "", 256) };
  if (!path || !*path) {
    du_weights_refuse (file, error, DU_ERROR_ARGUMENT, "has no name: give a path");
    goto out;
  }
  /* Non-blocking, for a FIFO that nobody writes to. */
  file->fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file->fd < 0 || fstat (file->fd, &status) < 0) {
    du_weights_refuse (
        file, error, du_weights_open_error (errno), "cannot be opened: %s", g_strerror (errno));
    goto out;
  }
  if (!S_ISREG (status.st_mode)) {
    du_weights_refuse (
        file, error, DU_ERROR_OPEN, "is %s: give a regular file", kind_of_file (status.st_mode));
    goto out;
  }
  file->size = status.st_size;
  if (!read_header (file, error))
    goto out;
  /* The header has the data's digest: should an inode be used again within one tick of the clock, then a
   * file of other content is still another one. */
  digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, file->header, file->header_size);
  file->identity = g_strdup_printf ("%" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER "x %" G_GUINT64_FORMAT
                                    " %" G_GINT64_FORMAT ".%09ld %s",
      (guint64) status.st_dev, (guint64) status.st_ino, file->size, (gint64) status.st_mtim.tv_sec,
      (long) status.st_mtim.tv_nsec, digest);
  ok = TRUE;

out:
  if (!ok)
    du_weights_close (file);
  return ok;
}

gboolean
du_weights_open_memory (
    DuWeightsFile *file, const char *name, const guint8 *bytes, gsize size, GError **error)
{
  *file = (DuWeightsFile){ .fd = -1, .shown = du_weights_shown (name, 256), .bytes = bytes, .size = size };
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

const char *
du_weights_bad_values (const DuTensorInfo *info, const float *values, gboolean *zero)
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

gboolean
du_weights_read_values (DuWeightsFile *file, GArray *tensors, DuWeights *weights, GError **error)
{
  g_autofree guint8 *chunk = g_malloc (DU_WEIGHTS_CHUNK);
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  const char *reason = NULL, *where = NULL;
  gboolean zero = TRUE;

  for (guint i = 0; i < tensors->len; i++) {
    const DuWeightsTensor *tensor = &g_array_index (tensors, DuWeightsTensor, i);
    int size = dtypes[tensor->dtype].size;
    float *values = weights->parameters + tensor->info.offset;

    for (gsize done = 0, n; done < tensor->info.count; done += n) {
      n = MIN (tensor->info.count - done, (gsize) (DU_WEIGHTS_CHUNK / size));
      if (!read_exactly (file, chunk, n * size, error))
        return FALSE;
      g_checksum_update (sum, chunk, n * size);
      decode (chunk, tensor->dtype, n, values + done);
    }
    if (!reason) {
      reason = du_weights_bad_values (&tensor->info, values, &zero);
      where = tensor->info.name;
    }
  }
  /* Before the values: damage is then called damage. */
  if (strcmp (g_checksum_get_string (sum), g_hash_table_lookup (weights->metadata, "sha256")))
    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "is damaged: the SHA-256 of its data is not the one in its header" DU_WEIGHTS_AGAIN);
  if (reason)
    return du_weights_refuse (file, error, DU_ERROR_FORMAT,
        "has %s in tensor '%s': such weights cannot be used, train or export them again", reason, where);
  if (zero)
    weights->warning
        = g_strdup_printf ("weights file '%s' holds nothing but zeros: it was never trained", file->shown);
  return TRUE;
}

gboolean
du_weights_read (DuWeightsFile *file, DuWeights *weights, GError **error)
{
  g_auto (DuWeights) read = { .metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free) };
  g_autoptr (GArray) tensors = du_weights_parse_header (file, &read.config, read.metadata, error);
  gsize n;

  if (!tensors)
    return FALSE;
  n = du_config_n_parameters (&read.config);
  read.parameters = g_try_new (float, n);
  if (!read.parameters)
    return du_weights_refuse (file, error, DU_ERROR_MEMORY,
        "needs %" G_GSIZE_FORMAT " MB of memory, which are not free", n * sizeof (float) >> 20);
  if (!du_weights_read_values (file, tensors, &read, error))
    return FALSE;
  *weights = read;
  read = (DuWeights){ 0 };
  return TRUE;
}

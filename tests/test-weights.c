/* The reader of weights files: what it must refuse, and what it must not.
 *
 * Most files here are one good file with a change, its digests made right again, so that it is refused for
 * the change and not for the digest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "weights-sample.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- helpers ------------------------------------------------------------------------------------------- */

static GByteArray *
with_header (const char *json, gsize length)
{
  return assemble (json, length, sample->data + sample_header, sample->len - sample_header, TRUE);
}

/* The JSON of the sample, with the first `from` replaced. */
static char *
edited_json (const char *from, const char *to)
{
  const char *json = (const char *) sample->data + 8;
  const char *at = g_strstr_len (json, sample_header - 8, from);

  if (!at)
    g_error ("the sample has no %s", from);
  return g_strdup_printf ("%.*s%s%.*s", (int) (at - json), json, to,
      (int) (sample_header - 8 - (at - json) - strlen (from)), at + strlen (from));
}

/* A file on disk must be refused. */
static void
check_path (const char *what, const char *path, int code, const char *part)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DuModel) model = du_model_load (path, &error);

  g_assert_null (model);
  check_error (what, error, "weights file '", code, part);
}

static void
write_file (const char *path, gconstpointer data, gssize size)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, data, size, &error);
  g_assert_no_error (error);
}

/* One edit of the sample's JSON. part NULL: must load. */
typedef struct
{
  const char *from, *to, *part;
} Edit;

static void
check_edits (const Edit *edits, guint n)
{
  for (guint i = 0; i < n; i++) {
    g_autofree char *json = edited_json (edits[i].from, edits[i].to);
    g_autofree char *what = g_strdup_printf ("%s -> %.200s", edits[i].from, edits[i].to);
    g_autoptr (GByteArray) file = with_header (json, strlen (json));

    check_file (what, file, edits[i].part);
  }
}

/* ---- 1: the file --------------------------------------------------------------------------------------- */

static void
test_file_kinds (void)
{
  g_autofree char *missing = in_folder ("missing"), *fifo = in_folder ("fifo"), *name = in_folder ("socket");
  g_autofree char *closed = in_folder ("closed"), *below = g_build_filename (closed, "below", NULL);
  g_autofree char *loop = in_folder ("loop"), *endless = g_strnfill (65536, 'a');
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int listener = socket (AF_UNIX, SOCK_STREAM, 0);

  check_path ("missing", missing, DU_ERROR_NOT_FOUND, "No such file");
  check_path ("NULL", NULL, DU_ERROR_ARGUMENT, "give a path");
  check_path ("empty", "", DU_ERROR_ARGUMENT, "give a path");
  check_path ("64 KiB path", endless, DU_ERROR_OPEN, "aaa...");
  check_path ("folder", folder, DU_ERROR_OPEN, "is a folder");
  check_path ("device", "/dev/zero", DU_ERROR_OPEN, "is a device");
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  check_path ("FIFO that nobody writes to", fifo, DU_ERROR_OPEN, "is a FIFO");
  g_assert_cmpint (symlink ("loop", loop), ==, 0);
  check_path ("link to itself", loop, DU_ERROR_OPEN, "cannot be opened");

  g_strlcpy (address.sun_path, name, sizeof address.sun_path);
  g_assert_cmpint (bind (listener, (struct sockaddr *) &address, sizeof address), ==, 0);
  check_path ("socket", name, DU_ERROR_OPEN, "cannot be opened");
  close (listener);

  write_file (closed, sample->data, sample->len);
  check_path ("below a file", below, DU_ERROR_NOT_FOUND, "Not a directory");
  g_assert_cmpint (chmod (closed, 0), ==, 0);
  if (geteuid () == 0) /* for whom nothing is unreadable */
    g_assert_cmpint (seteuid (65534), ==, 0);
  check_path ("unreadable", closed, DU_ERROR_OPEN, "Permission denied");
  if (getuid () == 0)
    g_assert_cmpint (seteuid (0), ==, 0);
}

static void
test_file_sizes (void)
{
  g_autofree char *path = in_folder ("size");
  g_autoptr (GByteArray) longer = assemble ((char *) sample->data + 8, sample_header - 8,
      sample->data + sample_header, sample->len - sample_header, FALSE);
  int fd;

  for (int size = 0; size < 8; size++) {
    write_file (path, sample->data, size);
    check_path ("few bytes", path, DU_ERROR_FORMAT, "too few");
  }
  write_file (path, sample->data, sample->len - 1);
  check_path ("cut short", path, DU_ERROR_FORMAT, "is cut short");
  g_byte_array_append (longer, (const guint8 *) "", 1);
  seal (longer->data, longer->len);
  write_file (path, longer->data, longer->len);
  check_path ("trailing byte", path, DU_ERROR_FORMAT, "bytes after its last tensor");

  /* 8 TiB that take no room on the disk: once of nothing, once behind a good file. */
  for (int good = 0; good < 2; good++) {
    write_file (path, sample->data, good ? (gssize) sample->len : 0);
    fd = open (path, O_WRONLY);
    if (ftruncate (fd, (off_t) 8 << 40) == 0)
      check_path ("sparse", path, DU_ERROR_FORMAT, good ? "bytes after its last tensor" : "damaged");
    else
      g_test_message ("no sparse file of 8 TiB on this file system");
    close (fd);
  }
  g_assert_cmpint (g_unlink (path), ==, 0);
}

static void
test_file_foreign (void)
{
  static const struct
  {
    const char *head, *part;
  } files[] = {
    { "\x80\x02}q\1(X\7...", "Python pickle" },
    { "\x80\x04\x95\x10\1\1\1\1\1\1\1", "Python pickle" },
    { "PK\3\4\x14\1\1\1\x08\x08", "zip archive" },
    { "GGUF\3\1\1\1", "GGUF" },
    { "\x08\x08\x12\x07pytorch\x1a\x06", "ONNX" },
    { "\x89PNG\r\n\x1a\n", "PNG" },
    { "\xff\xd8\xff\xe0\1\x10JFIF", "JPEG" },
    { "\x89HDF\r\n\x1a\n", "HDF5" },
    { "\x93NUMPY\1\1v", "NumPy" },
    { "version https://git-lfs.github.com/spec/v1", "Git LFS" },
    { "<!DOCTYPE html>", "web page" },
    { "{\"a\":1}   ", "JSON text" },
    { "random bytes", "above 1048576" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autoptr (GByteArray) file = g_byte_array_new ();

    g_byte_array_append (file, (const guint8 *) files[i].head, strlen (files[i].head));
    check_file (files[i].part, file, files[i].part);
  }
}

/* ---- 2: the header's length ---------------------------------------------------------------------------- */

static void
test_header_length (void)
{
  const guint64 right = sample_header - 8;
  const struct
  {
    guint64 length;
    const char *part;
  } rows[] = {
    { 0, "damaged" },
    { 1, "damaged" },
    { 2, "bad header" },
    { right - 8, "" },
    { right + 1, "0x" },
    { sample->len - 8, "0x" },
    { sample->len - 7, "cut short" },
    { DU_WEIGHTS_HEADER_MAX, "cut short" },
    { DU_WEIGHTS_HEADER_MAX + 1, "above 1048576" },
    { G_MAXINT32, "above 1048576" },
    { G_GUINT64_CONSTANT (1) << 32, "above 1048576" },
    { G_GUINT64_CONSTANT (1) << 63, "above 1048576" },
    { G_MAXUINT64 - 7, "above 1048576" },
    { G_MAXUINT64, "above 1048576" },
    { GUINT64_SWAP_LE_BE (right), "big-endian" },
  };
  g_autofree char *blank = g_strnfill (DU_WEIGHTS_HEADER_MAX + 8, ' ');

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *what = g_strdup_printf ("length %" G_GUINT64_FORMAT, rows[i].length);
    g_autoptr (GByteArray) file = g_byte_array_new ();
    guint64 length_le = GUINT64_TO_LE (rows[i].length);

    g_byte_array_append (file, sample->data, sample->len);
    memcpy (file->data, &length_le, 8);
    check_file (what, file, rows[i].part);
  }

  /* Padding up to the cap, and above. */
  memcpy (blank, sample->data + 8, sample_header - 8);
  for (int over = 0; over <= 1; over++) {
    g_autoptr (GByteArray) file = with_header (blank, DU_WEIGHTS_HEADER_MAX + over);

    check_file (over ? "above the cap" : "at the cap", file, over ? "above 1048576" : NULL);
  }
}

/* ---- 3: JSON ------------------------------------------------------------------------------------------- */

static void
test_json_edits (void)
{
#define FREE "\"note\":\"good\""
  static const Edit edits[] = {
    { FREE, "\"note\":\"\303\251\360\237\230\200\\u00e9\\ud83d\\ude00\"", NULL },
    { FREE, "\"\":\"\"", NULL },
    { FREE, "\"note\":\"\\\" }] -0 \\\\\"", NULL },
    { FREE, "\"\\u006eote\" \t\r\n:\n\"good\"", NULL },
    { FREE, "\"note\":\"\xff\"", "bad header" },
    { FREE, "\"note\":\"\xc0\xaf\"", "bad header" },
    { FREE, "\"note\":\"\xe0\x80\xaf\"", "bad header" },
    { FREE, "\"note\":\"\xed\xa0\x80\"", "bad header" },
    { FREE, "\"note\":\"\xf4\x90\x80\x80\"", "bad header" },
    { FREE, "\"note\":\"\xc3\"", "bad header" },
    { FREE, "\"note\":\"\\ud800\"", "bad header" },
    { FREE, "\"note\":\"\\udc00\\ud800\"", "bad header" },
    { FREE, "\"note\":\"\\u0000\"", "bad header" },
    { FREE, "\"no\\u0000te\":\"good\"", "bad header" },
    { FREE, "\"note\":\"\\x41\"", "bad header" },
    { FREE, "\"note\":\"a\nb\"", "bad header" },
    { FREE, "\"note\":\"a\x01\"", "byte 0x01" },
    { FREE, "'note':'good'", "bad header" },
    { FREE, "note:\"good\"", "bad header" },
    { FREE, FREE ",", "bad header" },
    { FREE, FREE "," FREE, "duplicate" },
    { FREE, FREE "/* comment */", "bad header" },
    { FREE, FREE "// comment\n", "bad header" },
    { FREE, FREE "# comment\n", "bad header" },
    { FREE, FREE "\xef\xbb\xbf", "bad header" },
    { "{", "[", "does not begin with '{'" },
    { "{", " {", "does not begin with '{'" },
    { "{", "\xef\xbb\xbf{", "byte order mark" },
    { "{", "\"a\"{", "does not begin with '{'" },
    { "{", "{}{", "bad header" },
    { "{", "{{", "bad header" },
    { "{", "{,", "bad header" },
    { "]}}", "]}", "bad header" },
    { "]}}", "]},}", "bad header" },
    { "]}}", "]}}}", "bad header" },
    { "]}}", "]}}{}", "bad header" },
    { "]}}", "]}},", "bad header" },
    { "]}}", "]}}x", "bad header" },
    { "]}}", "]}}\"\"", "bad header" },
    { "]}}", "]}}0", "bad header" },
    { "]}}", "]}}\n\t\r ", NULL },
    { "{\"__metadata__\":{", "{\"enc0.conv1.bias\":1,\"__metadata__\":{", "duplicate" },
    { "{\"__metadata__\":{", "{\"__metadata__\":{},\"__metadata__\":{", "duplicate" },
    { "{\"__metadata__\":{", "{\"\\u005f_metadata__\":{},\"__metadata__\":{", "duplicate" },
    { "{\"dtype\":\"F16\"", "{\"dtype\":\"F16\",\"dtype\":\"F16\"", "duplicate" },
    { "{\"dtype\":\"F16\",", "{", "other fields" },
    { "{\"dtype\":\"F16\"", "{\"dtyp\":\"F16\"", "other fields" },
    { "{\"dtype\":\"F16\"", "{\"strides\":[1],\"dtype\":\"F16\"", "other fields" },
    { "{\"dtype\":\"F16\"", "{\"dtype\":null", "dtype null" },
    { "{\"dtype\":\"F16\"", "{\"dtype\":[\"F16\"]", "dtype [" },
    { "\"enc0.conv1.bias\":{", "\"enc0.conv1.bias\":[],\"x\":{", "tensor 'x'" },
    { "\"shape\":[1]", "\"shape\":1", "shape 1" },
    { "\"shape\":[1]", "\"shape\":{\"0\":1}", "shape {" },
    { "\"shape\":[1]", "\"shape\":\"1\"", "shape \"1\"" },
    { "\"shape\":[1]", "\"shape\":[1,]", "bad header" },
    { "\"shape\":[1]", "\"shape\":[[1]]", "shape [[1]]" },
    { "\"data_offsets\":[0,54]", "\"data_offsets\":{\"begin\":0,\"end\":54}", "data_offsets" },
    { "\"data_offsets\":[0,54]", "\"data_offsets\":null", "data_offsets" },
  };

  check_edits (edits, G_N_ELEMENTS (edits));
}

/* Whole headers. */
static void
test_json_texts (void)
{
  static const char *const texts[] = { "{}", "[]", "\"{}\"", "1", "null", "{", "{\"", "{\"a",
    "{\"a\":", "{\"a\":{", "{\"a\":[1,2", "{}{}", "{}x", "  ", "{\"__metadata__\":null}",
    "{\"__metadata__\":[]}", "{\"__metadata__\":{}}", "{\"__metadata__\":{\"format\":\"pt\"}}", "{\"a\\" };
  g_autofree char *open_arrays = g_strnfill (100000, '['),
                  *arrays = g_strdup_printf ("{\"a\":%s", open_arrays);
  g_autoptr (GString) objects = g_string_new (NULL), entries = g_string_new ("{"),
                      array = g_string_new (NULL);
  g_autofree char *json = NULL;
  g_autoptr (GByteArray) nul = NULL, nul_inside = NULL, deep = NULL, deeper = NULL, many = NULL, wide = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (GByteArray) file = with_header (texts[i], strlen (texts[i]));

    check_file (texts[i], file, "");
  }

  deep = with_header (arrays, strlen (arrays));
  check_file ("100,000 arrays deep", deep, "nested");
  for (int i = 0; i < 100000; i++)
    g_string_append (objects, "{\"a\":");
  deeper = with_header (objects->str, objects->len);
  check_file ("100,000 objects deep", deeper, "nested");

  for (int i = 0; i < 100000; i++)
    g_string_append_printf (entries, "\"%x\":1,", i);
  g_string_append_len (entries, (const char *) sample->data + 9, sample_header - 9);
  many = with_header (entries->str, entries->len);
  check_file ("100,000 entries", many, "tensor '0'");

  g_string_append (array, "\"shape\":[1");
  for (int i = 0; i < 400000; i++)
    g_string_append (array, ",1");
  g_string_append (array, "]");
  json = edited_json ("\"shape\":[1]", array->str);
  wide = with_header (json, strlen (json));
  check_file ("400,000 extents", wide, "...");

  /* Padding may be spaces only. */
  nul = with_header ((const char *) sample->data + 8, sample_header - 8 + 1);
  nul->data[sample_header] = 0;
  seal (nul->data, nul->len);
  check_file ("NUL as padding", nul, "byte 0x00");
  nul_inside = with_header ((const char *) sample->data + 8, sample_header - 8);
  *(guint8 *) memmem (nul_inside->data, nul_inside->len, "good", 4) = 0;
  seal (nul_inside->data, nul_inside->len);
  check_file ("NUL in a string", nul_inside, "byte 0x00");
}

/* ---- 4: whole numbers ---------------------------------------------------------------------------------- */

static void
test_integers (void)
{
  static const char *const wrong[]
      = { "-1", "-0", "1.0", "1.5", "1e0", "1E0", "1e400", "0x1", "01", "+1", "NaN", "Infinity", "1_0",
          "true", "null", "\"1\"", "[1]", "{}", "9223372036854775807", "9223372036854775808",
          "18446744073709551615", "18446744073709551616", "18446744073709551617", "36893488147419103233",
          "1000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
          "-9223372036854775809", "" };

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autofree char *shape = g_strdup_printf ("\"shape\":[%s]", wrong[i]);
    g_autofree char *begin = g_strdup_printf ("\"data_offsets\":[%s,54]", wrong[i]);
    g_autofree char *end = g_strdup_printf ("\"data_offsets\":[0,%s]", wrong[i]);
    const Edit edits[] = {
      { "\"shape\":[1]", shape, "" },
      { "\"data_offsets\":[0,54]", begin, "" },
      { "\"data_offsets\":[0,54]", end, "" },
    };

    check_edits (edits, G_N_ELEMENTS (edits));
  }
}

/* ---- 5: dtype
 * --------------------------------------------------------------------------------------- */

static void
test_dtypes (void)
{
  static const char *const wrong[] = { "", "F", "F8", "F64", "f16", "bf16", "F16 ", "BF16\\u0020", "float16",
    "F4", "F8_E4M3", "F8_E5M2", "I8", "U8", "I16", "U16", "I32", "I64", "BOOL", "C64", "../F16", "F160" };

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autofree char *to = g_strdup_printf ("\"dtype\":\"%s\"", wrong[i]);
    const Edit edit = { "\"dtype\":\"F16\"", to, "it must be F32, F16 or BF16" };

    check_edits (&edit, 1);
  }
  /* Of equal size, so only the digest knows. */
  {
    g_autofree char *json = edited_json ("\"dtype\":\"F16\"", "\"dtype\":\"BF16\"");
    g_autoptr (GByteArray) file
        = assemble (json, strlen (json), sample->data + sample_header, sample->len - sample_header, FALSE);

    check_file ("F16 called BF16", file, "header_sha256");
  }
}

/* ---- 6: shapes
 * -------------------------------------------------------------------------------------- */

static void
test_shapes (void)
{
  static const char *const vectors[] = { "", "0", "2", "1,1", "1,1,1,1", "1,1,1,1,1,1,1,1,1",
    "4194305,4194305,211106198978564", "4611686018427387905", "4294967297", "9223372036854775807,2" };
  static const char *const kernels[] = { "", "27", "1,27", "3,1,3,3", "3,3,3,1", "1,3,9", "1,3,3,3,1",
    "1,3,3,0", "1,3,9,1", "4294967297,3,3,3" };

  for (guint i = 0; i < G_N_ELEMENTS (vectors); i++) {
    g_autofree char *to = g_strdup_printf ("\"shape\":[%s]", vectors[i]);
    const Edit edit = { "\"shape\":[1]", to, "tensor 'enc0.conv1.bias' of shape" };

    check_edits (&edit, 1);
  }
  for (guint i = 0; i < G_N_ELEMENTS (kernels); i++) {
    g_autofree char *to = g_strdup_printf ("\"shape\":[%s]", kernels[i]);
    const Edit edit = { "\"shape\":[1,3,3,3]", to, "tensor 'enc0.conv1.weight' of shape" };

    check_edits (&edit, 1);
  }
}

/* ---- 7: offsets
 * ------------------------------------------------------------------------------------- */

static gboolean
shift_offsets (const GMatchInfo *match, GString *result, gpointer data)
{
  g_autofree char *begin = g_match_info_fetch (match, 1), *end = g_match_info_fetch (match, 2);
  int by = GPOINTER_TO_INT (data);

  g_string_append_printf (result, "\"data_offsets\":[%d,%d]", atoi (begin) + by, atoi (end) + by);
  return FALSE;
}

/* The first tensors are enc0.conv1.weight (54 bytes), enc0.conv1.bias (2), enc0.conv2.weight (18),
 * enc0.conv2.bias (2). */
static void
test_offsets (void)
{
#define BIAS "\"enc0.conv1.bias\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":"
  static const Edit edits[] = {
    { BIAS "[54,56]", BIAS "[56,54]", "tensor 'enc0.conv1.bias' with data_offsets [56,54]" },
    { BIAS "[54,56]", BIAS "[54,54]", "tensor 'enc0.conv1.bias' with data_offsets" },
    { BIAS "[54,56]", BIAS "[54,55]", "tensor 'enc0.conv1.bias' with data_offsets" },
    { BIAS "[54,56]", BIAS "[54,58]", "tensor 'enc0.conv1.bias' with data_offsets" },
    { BIAS "[54,56]", BIAS "[54]", "tensor 'enc0.conv1.bias' with data_offsets" },
    { BIAS "[54,56]", BIAS "[]", "tensor 'enc0.conv1.bias' with data_offsets" },
    { BIAS "[54,56]", BIAS "[54,56,58]", "tensor 'enc0.conv1.bias' with data_offsets" },
    { BIAS "[54,56]", BIAS "[52,54]", "an overlap before tensor 'enc0.conv1.bias'" },
    { BIAS "[54,56]", BIAS "[0,2]", "an overlap before tensor" },
    { BIAS "[54,56]", BIAS "[74,76]", "a hole before tensor 'enc0.conv2.weight'" },
    { BIAS "[54,56]", BIAS "[1000000,1000002]", "a hole before tensor" },
    { BIAS "[54,56]", BIAS "[9223372036854775805,9223372036854775807]", "a hole before tensor" },
    { "[0,54]", "[54,0]", "tensor 'enc0.conv1.weight' with data_offsets" },
    { "[0,54]", "[2,56]", "a hole before tensor" },
  };
  g_autofree char *json = g_strndup ((const char *) sample->data + 8, sample_header - 8);
  g_autofree char *shifted = NULL, *swapped = edited_json (BIAS "[54,56]", BIAS "[74,76]"), *in_place = NULL;
  const guint8 *data = sample->data + sample_header;
  gsize size = sample->len - sample_header;
  g_autoptr (GRegex) regex = g_regex_new ("\"data_offsets\":\\[(\\d+),(\\d+)\\]", 0, 0, NULL);
  g_autoptr (GByteArray) first = NULL, end = NULL, other_order = NULL;
  char *second;

  check_edits (edits, G_N_ELEMENTS (edits));

  shifted = g_regex_replace_eval (regex, json, -1, 0, 0, shift_offsets, GINT_TO_POINTER (2), NULL);
  first = assemble (shifted, strlen (shifted), data - 2, size + 2, TRUE);
  check_file ("first not at 0", first, "a hole before tensor 'enc0.conv1.weight'");
  end = assemble (json, strlen (json), data, size - 2, TRUE);
  check_file ("last past the end", end, "is cut short");

  /* Two tensors that change places: in order of another's liking, so it must load. */
  second = strstr (swapped, "[74,76]") + 1;
  second = strstr (second, "[74,76]");
  g_assert_nonnull (second);
  memcpy (second, "[54,56]", 7);
  other_order = assemble (swapped, strlen (swapped), data, size, TRUE);
  check_file ("another order", other_order, NULL);

  in_place = g_strdup_printf ("%s   ", g_strchomp (json));
  for (int pad = 0; pad < 3; pad++) {
    g_autoptr (GByteArray) file = assemble (in_place, strlen (in_place) - pad, data, size, TRUE);

    check_file ("unaligned data", file, NULL);
  }
}

/* ---- 8: the set of tensors
 * -------------------------------------------------------------------------- */

static void
test_set (void)
{
  g_autofree char *name = g_strnfill (10000, 'n');
  g_autofree char *long_name = g_strdup_printf ("\"%s\":{\"dtype\":", name);
#define FIRST "\"enc0.conv1.weight\":{\"dtype\":"
#define EXTRA(name) FIRST, "\"" name "\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[0,0]}," FIRST
  const Edit edits[] = {
    { BIAS "[54,56]},", "", "no tensor 'enc0.conv1.bias'" },
    { EXTRA ("enc0.conv3.weight"), "tensor 'enc0.conv3.weight'" },
    { EXTRA ("enc0.bn.num_batches_tracked"), "num_batches_tracked" },
    { EXTRA (""), "tensor ''" },
    { EXTRA ("enc0.bn.weight"), "tensor 'enc0.bn.weight'" },
    { EXTRA ("Enc0.conv1.weight"), "tensor 'Enc0.conv1.weight'" },
    { EXTRA ("__metadata__"), "duplicate" },
    { EXTRA ("__metadata__ "), "tensor '__metadata__ '" },
    { EXTRA ("/etc/passwd"), "tensor '/etc/passwd'" },
    { EXTRA ("../../../etc/passwd"), "tensor '../../../etc/passwd'" },
    { EXTRA ("a\\nb\\u001b[31m\\u202e"), "tensor 'a?b?[31m?'" },
    { EXTRA ("%s%n%d"), "tensor '%s%n%d'" },
    { FIRST, long_name, "tensor 'nnn" },
    { FIRST, "\"enc0.conv1.weight \":{\"dtype\":", "tensor 'enc0.conv1.weight '" },
    { "\"base_width\":\"1\"", "\"base_width\":\"2\"",
        "tensor 'enc0.conv1.weight' of shape [1,3,3,3], where" },
    { "\"bn\":\"none\"", "\"bn\":\"mid\"", "no tensor 'mid.bn.weight'" },
    { "\"bn\":\"none\"", "\"bn\":\"dec0\"", "no tensor 'dec0.bn.weight'" },
    { "\"head\":\"sigmoid\"", "\"head\":\"residual\"", NULL },
  };

  check_edits (edits, G_N_ELEMENTS (edits));
}

/* Whatever a file names, nothing but itself is opened. */
static void
test_one_file_only (void)
{
  g_autofree char *decoy = in_folder ("decoy"), *path = in_folder ("names-decoy"), *json = NULL, *to = NULL;
  g_autofree char *note = g_strdup_printf ("\"note\":\"%s\",\"%s\":\"%s\"", decoy, decoy, decoy);
  g_autoptr (GByteArray) good = NULL, bad = NULL;
  g_autoptr (DuModel) model = NULL;
  char event[4096];
  int watch = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  GError *error = NULL;

  write_file (decoy, "x", 1);
  if (watch < 0 || inotify_add_watch (watch, decoy, IN_OPEN) < 0) {
    g_test_skip ("no inotify here");
    return;
  }
  close (open (decoy, O_RDONLY));
  g_assert_cmpint (read (watch, event, sizeof event), >, 0); /* the watch works */

  json = edited_json (FREE, note);
  good = with_header (json, strlen (json));
  write_file (path, good->data, good->len);
  model = du_model_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (du_model_metadata (model, decoy), ==, decoy);
  to = g_strdup_printf ("\"%s\":{\"dtype\":", decoy);
  g_free (json);
  json = edited_json (FIRST, to);
  bad = with_header (json, strlen (json));
  write_file (path, bad->data, bad->len);
  check_path ("a tensor named like a path", path, DU_ERROR_FORMAT, decoy);
  g_assert_cmpint (read (watch, event, sizeof event), <, 0);
  close (watch);
}

/* ---- 9: metadata
 * ------------------------------------------------------------------------------------ */

static void
test_metadata (void)
{
  static const Edit edits[] = {
    { FREE, "\"note\":1", "metadata 'note' that is not a string but 1" },
    { FREE, "\"note\":null", "not a string" },
    { FREE, "\"note\":[\"good\"]", "not a string" },
    { FREE, "\"note\":{}", "not a string" },
    { "\"__metadata__\":{", "\"__metadata__\":[{", "bad header" },
    { "\"format\":\"deblurunet\"", "\"format\":\"pt\"", "only 'deblurunet'" },
    { "\"format\":\"deblurunet\"", "\"format\":\"\"", "only 'deblurunet'" },
    { "\"format_version\":\"1\"", "\"format_version\":\"0\"", "format_version '0'" },
    { "\"format_version\":\"1\"", "\"format_version\":\"2\"", "update deblurunet" },
    { "\"format_version\":\"1\"", "\"format_version\":\"\"", "format_version ''" },
    { "\"format_version\":\"1\"", "\"format_version\":\"1.0\"", "format_version '1.0'" },
    { "\"format_version\":\"1\"", "\"format_version\":1", "not a string" },
    { "\"base_width\":\"1\"", "\"base_width\":\"0\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"-1\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"257\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"2147483648\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"4294967297\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"18446744073709551617\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"01\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\" 1\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"1 \"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"+1\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"1.0\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"\"", "from 1 to 256" },
    { "\"base_width\":\"1\"", "\"base_width\":\"one\"", "from 1 to 256" },
    { "\"bn\":\"none\"", "\"bn\":\"enc4\"", "bn 'enc4'" },
    { "\"bn\":\"none\"", "\"bn\":\"mid,mid\"", "bn 'mid,mid'" },
    { "\"bn\":\"none\"", "\"bn\":\"mid,\"", "bn 'mid,'" },
    { "\"bn\":\"none\"", "\"bn\":\"mid,none\"", "bn 'mid,none'" },
    { "\"head\":\"sigmoid\"", "\"head\":\"tanh\"", "head 'tanh'" },
    { "\"head\":\"sigmoid\"", "\"head\":\"Sigmoid\"", "head 'Sigmoid'" },
    { "\"tile\":\"256x448\"", "\"tile\":\"448x256\"", "tiles of 256x448" },
    { "\"tile\":\"256x448\"", "\"tile\":\"\"", "tiles of 256x448" },
    { "\"sha256\":\"", "\"sha256\":\"0", "sha256" },
    { "\"header_sha256\":\"", "\"header_sha256\":\"0", "header_sha256" },
    { "\"header_sha256\":\"", "\"header_sha256\":\"x", "header_sha256" },
  };
  static const char *const keys[]
      = { "format", "format_version", "base_width", "bn", "head", "tile", "sha256", "header_sha256" };
  g_autoptr (GByteArray) upper = assemble ((char *) sample->data + 8, sample_header - 8,
      sample->data + sample_header, sample->len - sample_header, FALSE);
  g_autofree char *twice = NULL;
  g_autoptr (GByteArray) ambiguous = NULL;
  guint8 *digits;

  check_edits (edits, G_N_ELEMENTS (edits));
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
    g_autofree char *from = g_strdup_printf ("\"%s\":", keys[i]), *to = g_strdup_printf ("\"x%s\":", keys[i]);
    g_autofree char *part = g_strdup_printf ("no '%s' in its metadata", keys[i]);
    const Edit edit = { from, to, part };

    check_edits (&edit, 1);
  }

  digits = find_digits (upper->data, upper->len, "\"sha256\":\"");
  for (int i = 0; i < DU_WEIGHTS_DIGITS; i++)
    digits[i] = g_ascii_toupper (digits[i]);
  check_file ("upper-case digest", upper, "lower-case");

  /* A digest that stands twice in the header cannot say which one is left out of it. */
  digits = find_digits (sample->data, sample_header, "\"header_sha256\":\"");
  twice = g_strdup_printf ("\"note\":\"%.64s\"", (char *) digits);
  {
    g_autofree char *json = edited_json (FREE, twice);

    ambiguous
        = assemble (json, strlen (json), sample->data + sample_header, sample->len - sample_header, FALSE);
  }
  check_file ("digest twice", ambiguous, "once");
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  make_sample ();
  g_test_add_func ("/weights/1-file/kinds", test_file_kinds);
  g_test_add_func ("/weights/1-file/sizes", test_file_sizes);
  g_test_add_func ("/weights/1-file/foreign", test_file_foreign);
  g_test_add_func ("/weights/2-header-length", test_header_length);
  g_test_add_func ("/weights/3-json/edits", test_json_edits);
  g_test_add_func ("/weights/3-json/texts", test_json_texts);
  g_test_add_func ("/weights/4-integers", test_integers);
  g_test_add_func ("/weights/5-dtypes", test_dtypes);
  g_test_add_func ("/weights/6-shapes", test_shapes);
  g_test_add_func ("/weights/7-offsets", test_offsets);
  g_test_add_func ("/weights/8-set/names", test_set);
  g_test_add_func ("/weights/8-set/one-file-only", test_one_file_only);
  g_test_add_func ("/weights/9-metadata", test_metadata);
  result = g_test_run ();
  remove_sample ();
  return result;
}

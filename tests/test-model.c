/* Models: what is saved comes back, files are shared, replaced atomically, never half written.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unet.h"

#include <fcntl.h>
#include <float.h>
#include <glib/gstdio.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  char *folder;
  char *path; /* of a file in it */
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  (void) data;
  fixture->folder = g_dir_make_tmp ("deblurunet-XXXXXX", NULL);
  g_assert_nonnull (fixture->folder);
  fixture->path = g_build_filename (fixture->folder, "a.safetensors", NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GDir) folder = g_dir_open (fixture->folder, 0, NULL);
  const char *name;

  (void) data;
  while ((name = g_dir_read_name (folder))) {
    g_autofree char *path = g_build_filename (fixture->folder, name, NULL);

    g_assert_cmpint (g_remove (path), ==, 0);
  }
  g_assert_cmpint (g_rmdir (fixture->folder), ==, 0);
  g_free (fixture->folder);
  g_free (fixture->path);
}

static DuModel *
random_model (const DuConfig *config, guint64 seed)
{
  gsize n = du_config_n_parameters (config);
  g_autofree float *parameters = g_new (float, n);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  DuModel *model;

  du_config_initialise (config, seed, parameters);
  g_hash_table_insert (
      metadata, (gpointer) "provenance", (gpointer) "made by a \"test\", \303\251t\303\251\n");
  g_hash_table_insert (metadata, (gpointer) "validation_psnr", (gpointer) "30.11");
  g_hash_table_insert (metadata, (gpointer) "base_width", (gpointer) "not taken");
  model = du_model_new (config, parameters, metadata, NULL);
  g_assert_nonnull (model);
  return model;
}

static void
test_round_trip (Fixture *fixture, gconstpointer data)
{
  static const DuConfig configs[] = {
    { 1, 0, DU_HEAD_SIGMOID },
    { 2, (1u << DU_N_BLOCKS) - 1, DU_HEAD_RESIDUAL },
    { 5, 1u << DU_BLOCK_MID, DU_HEAD_SIGMOID },
    { 32, 1u << DU_BLOCK_ENC0 | 1u << DU_BLOCK_DEC0, DU_HEAD_SIGMOID },
  };
  static const float error[] = { 0, 0x1p-11f, 0x1p-8f }; /* half a last place, relative */

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (configs); i++)
    for (DuDtype dtype = DU_DTYPE_F32; dtype <= DU_DTYPE_BF16; dtype++) {
      g_autoptr (DuModel) model = random_model (&configs[i], i), loaded = NULL;
      g_autoptr (GError) problem = NULL;
      g_autofree char *bn = du_bn_to_string (configs[i].bn),
                      *width = g_strdup_printf ("%d", configs[i].base_width);
      const float *a = du_model_parameters (model), *b;

      du_model_save (model, fixture->path, dtype, &problem);
      g_assert_no_error (problem);
      loaded = du_model_load (fixture->path, &problem);
      g_assert_no_error (problem);
      g_assert_cmpint (du_model_config (loaded)->base_width, ==, configs[i].base_width);
      g_assert_cmphex (du_model_config (loaded)->bn, ==, configs[i].bn);
      g_assert_cmpint (du_model_config (loaded)->head, ==, configs[i].head);
      b = du_model_parameters (loaded);
      for (gsize j = 0, n = du_config_n_parameters (&configs[i]); j < n; j++)
        if (fabsf (a[j] - b[j]) > error[dtype] * fabsf (a[j]) + (dtype == DU_DTYPE_F16 ? 0x1p-25f : 0))
          g_error ("config %u dtype %d value %" G_GSIZE_FORMAT ": %g became %g", i, dtype, j, a[j], b[j]);
      g_assert_cmpstr (du_model_metadata (loaded, "provenance"), ==, du_model_metadata (model, "provenance"));
      g_assert_cmpstr (du_model_metadata (loaded, "validation_psnr"), ==, "30.11");
      g_assert_cmpstr (du_model_metadata (loaded, "base_width"), ==, width);
      g_assert_cmpstr (du_model_metadata (loaded, "bn"), ==, *bn ? bn : "none");
      g_assert_cmpstr (du_model_metadata (loaded, "tile"), ==, "256x448");
      g_assert_null (du_model_metadata (loaded, "absent"));
      g_assert_null (du_model_warning (loaded));
      g_assert_cmpstr (du_model_path (loaded), ==, fixture->path);
      g_assert_null (du_model_path (model));
    }
}

static void
test_metadata_keys (Fixture *fixture, gconstpointer data)
{
  DuConfig config = { 1, 0, DU_HEAD_SIGMOID };
  g_autoptr (DuModel) model = random_model (&config, 1), loaded = NULL;
  g_auto (GStrv) keys = du_model_metadata_keys (model), loaded_keys = NULL;
  g_autofree char *joined = g_strjoinv (" ", keys), *loaded_joined = NULL;

  (void) data;
  g_assert_cmpstr (joined, ==, "provenance validation_psnr");
  g_assert_true (du_model_save (model, fixture->path, DU_DTYPE_F16, NULL));
  loaded = du_model_load (fixture->path, NULL);
  loaded_keys = du_model_metadata_keys (loaded);
  loaded_joined = g_strjoinv (" ", loaded_keys);
  g_assert_cmpstr (loaded_joined, ==,
      "base_width bn format format_version head header_sha256 provenance sha256 tile validation_psnr");
}

/* A model whose values are all one number, with one set apart. */
static DuModel *
plain_model (float value, const char *name, float apart)
{
  static const DuConfig config = { 1, 1u << DU_BLOCK_MID, DU_HEAD_SIGMOID };
  gsize n = du_config_n_parameters (&config);
  g_autofree float *parameters = g_new (float, n);
  DuModel *model;

  for (gsize i = 0; i < n; i++)
    parameters[i] = value;
  for (guint i = 0; name && i < du_config_n_tensors (&config); i++) {
    DuTensorInfo tensor;

    du_config_tensor (&config, i, &tensor);
    if (strcmp (tensor.name, name) == 0)
      parameters[tensor.offset] = apart;
  }
  model = du_model_new (&config, parameters, NULL, NULL);
  g_assert_nonnull (model);
  return model;
}

static DuModel *
load (const char *path)
{
  g_autoptr (GError) error = NULL;
  DuModel *model = du_model_load (path, &error);

  g_assert_no_error (error);
  return model;
}

static void
save (const DuModel *model, const char *path)
{
  g_autoptr (GError) error = NULL;

  du_model_save (model, path, DU_DTYPE_F32, &error);
  g_assert_no_error (error);
}

/* ---- one copy ------------------------------------------------------------------------------------------ */

static void
test_shared (Fixture *fixture, gconstpointer data)
{
  g_autoptr (DuModel) one = plain_model (1, NULL, 0), two = plain_model (2, NULL, 0);
  g_autofree char *link_path = g_build_filename (fixture->folder, "link", NULL);
  g_autofree char *hard_path = g_build_filename (fixture->folder, "hard", NULL);
  DuModel *a, *b, *c;
  struct stat status;
  char *content;
  gsize size;
  int fd;

  (void) data;
  save (one, fixture->path);
  a = load (fixture->path);
  b = load (fixture->path);
  g_assert_true (a == b);
  du_model_unref (b);
  g_assert_cmpint (symlink ("a.safetensors", link_path), ==, 0);
  g_assert_cmpint (link (fixture->path, hard_path), ==, 0);
  b = load (link_path);
  c = load (hard_path);
  g_assert_true (a == b && a == c);
  du_model_unref (b);
  du_model_unref (c);
  g_assert_cmpfloat (du_model_parameters (a)[0], ==, 1);

  /* Replaced by another file, while the old model lives. */
  save (two, fixture->path);
  b = load (fixture->path);
  g_assert_true (a != b);
  g_assert_cmpfloat (du_model_parameters (a)[0], ==, 1);
  g_assert_cmpfloat (du_model_parameters (b)[0], ==, 2);

  /* Overwritten in place by a file of the same size, and the clock set back. */
  g_assert_cmpint (stat (fixture->path, &status), ==, 0);
  g_assert_true (g_file_get_contents (hard_path, &content, &size, NULL));
  fd = open (fixture->path, O_WRONLY);
  g_assert_cmpint (write (fd, content, size), ==, size);
  g_assert_cmpint (futimens (fd, (struct timespec[]){ status.st_atim, status.st_mtim }), ==, 0);
  close (fd);
  g_free (content);
  c = load (fixture->path);
  g_assert_true (c != b);
  g_assert_cmpfloat (du_model_parameters (c)[0], ==, 1);
  du_model_unref (a);
  du_model_unref (b);
  du_model_unref (c);

  /* Nobody has it any more: read again, and still found. */
  for (int i = 0; i < 10; i++) {
    a = load (fixture->path);
    b = load (fixture->path);
    g_assert_true (a == b);
    du_model_unref (a);
    g_assert_cmpfloat (du_model_parameters (b)[0], ==, 1);
    du_model_unref (b);
  }
}

/* Bytes that this process has read, or 0 where the system does not say. */
static gsize
bytes_read (void)
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents ("/proc/self/io", &text, NULL, NULL) || !g_str_has_prefix (text, "rchar: "))
    return 0;
  return g_ascii_strtoull (text + strlen ("rchar: "), NULL, 10);
}

enum
{
  N_THREADS = 16
};

typedef struct
{
  const char *path;
  int waiting; /* threads that have come to the start */
  GError *errors[N_THREADS];
  DuModel *models[N_THREADS];
} Race;

typedef struct
{
  Race *race;
  int index;
} Runner;

static gpointer
run (gpointer data)
{
  Runner *runner = data;
  Race *race = runner->race;

  g_atomic_int_inc (&race->waiting);
  while (g_atomic_int_get (&race->waiting) < N_THREADS)
    g_thread_yield ();
  race->models[runner->index] = du_model_load (race->path, &race->errors[runner->index]);
  return NULL;
}

static void
race (Race *race)
{
  GThread *threads[N_THREADS];
  Runner runners[N_THREADS];

  race->waiting = 0;
  for (int i = 0; i < N_THREADS; i++) {
    runners[i] = (Runner){ race, i };
    threads[i] = g_thread_new ("load", run, &runners[i]);
  }
  for (int i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
}

static void
test_threads (Fixture *fixture, gconstpointer data)
{
  DuConfig config;
  g_autoptr (DuModel) model = NULL;
  Race all = { .path = fixture->path };
  gsize before, size;
  struct stat status;

  (void) data;
  du_config_init (&config);
  model = random_model (&config, 3);
  g_assert_true (du_model_save (model, fixture->path, DU_DTYPE_F16, NULL));
  g_assert_cmpint (stat (fixture->path, &status), ==, 0);
  size = status.st_size;

  before = bytes_read ();
  race (&all);
  if (before)
    g_assert_cmpuint (bytes_read () - before, <, 2 * size);
  for (int i = 0; i < N_THREADS; i++) {
    g_assert_no_error (all.errors[i]);
    g_assert_true (all.models[i] == all.models[0]);
  }
  for (int i = 0; i < N_THREADS; i++)
    du_model_unref (all.models[i]);

  /* And when it is bad: every one is told. */
  g_assert_cmpint (truncate (fixture->path, size - 1), ==, 0);
  race (&all);
  for (int i = 0; i < N_THREADS; i++) {
    g_assert_error (all.errors[i], DU_ERROR, DU_ERROR_FORMAT);
    g_assert_null (all.models[i]);
    g_clear_error (&all.errors[i]);
  }
}

/* Loads and drops while another thread writes: always one of the two, whole. */
static gpointer
load_often (gpointer data)
{
  const char *path = data;

  for (int i = 0; i < 300; i++) {
    g_autoptr (DuModel) model = load (path);
    const float *values = du_model_parameters (model);
    gsize n = du_config_n_parameters (du_model_config (model));

    for (gsize j = 1; j < n; j++)
      g_assert_cmpfloat (values[j], ==, values[0]);
  }
  return NULL;
}

static void
test_save_while_loading (Fixture *fixture, gconstpointer data)
{
  g_autoptr (DuModel) one = plain_model (1, NULL, 0), two = plain_model (2, NULL, 0);
  GThread *threads[3];

  (void) data;
  save (one, fixture->path);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("load", load_often, fixture->path);
  for (int i = 0; i < 100; i++)
    save (i % 2 ? one : two, fixture->path);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

/* ---- saving that fails ------------------------------------------------------------------------------------
 */

/* A save must fail so, and leave nothing but what was in the folder. */
static void
check_save_fails (
    Fixture *fixture, const DuModel *model, const char *path, DuDtype dtype, int code, const char *part)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) list = NULL;
  const char *name;

  if (du_model_save (model, path, dtype, &error))
    g_error ("'%s' was saved, '%s' was expected", path ? path : "NULL", part);
  if (error->domain != DU_ERROR || error->code != code || !strstr (error->message, part))
    g_error ("wants code %d and '%s', got code %d: %s", code, part, error->code, error->message);
  list = g_dir_open (fixture->folder, 0, NULL);
  while ((name = g_dir_read_name (list)))
    if (g_str_has_suffix (name, ".tmp"))
      g_error ("'%s' is left in the folder after: %s", name, error->message);
}

static void
test_save_values (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *tensor;
    float value;
    const char *parts[3]; /* of the message in F32, F16, BF16; NULL: can be saved */
  } rows[] = {
    { "enc0.conv1.weight", NAN, { "holds NaN", "holds NaN", "holds NaN" } },
    { "head.bias", INFINITY, { "infinite", "infinite", "infinite" } },
    { "dec3.up.weight", -INFINITY, { "infinite", "infinite", "infinite" } },
    { "mid.bn.weight", 65520, { NULL, "holds 65520, which F16 cannot hold", NULL } },
    { "mid.bn.weight", -1e30f, { NULL, "which F16 cannot hold", NULL } },
    { "mid.bn.weight", FLT_MAX, { NULL, "which F16 cannot hold", "which BF16 cannot hold" } },
    { "mid.bn.running_var", -1, { "negative variance", "negative variance", "negative variance" } },
    { "mid.bn.running_var", -FLT_TRUE_MIN,
        { "negative variance", "negative variance", "negative variance" } },
    { "mid.bn.running_var", 1e9f, { NULL, NULL, NULL } }, /* F32 whatever the format */
    { "mid.bn.weight", FLT_TRUE_MIN, { NULL, NULL, NULL } },
    { "mid.bn.weight", 65519, { NULL, NULL, NULL } },
  };
  g_autoptr (DuModel) old = plain_model (3, NULL, 0);

  (void) data;
  save (old, fixture->path);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (DuModel) model = plain_model (0.5f, rows[i].tensor, rows[i].value);
    g_autofree char *other = g_build_filename (fixture->folder, "other", NULL);

    for (DuDtype dtype = DU_DTYPE_F32; dtype <= DU_DTYPE_BF16; dtype++)
      if (rows[i].parts[dtype]) {
        g_autofree char *tensor = g_strdup_printf ("tensor '%s'", rows[i].tensor);
        g_autoptr (DuModel) still = NULL;

        check_save_fails (fixture, model, fixture->path, dtype, DU_ERROR_ARGUMENT, rows[i].parts[dtype]);
        check_save_fails (fixture, model, fixture->path, dtype, DU_ERROR_ARGUMENT, tensor);
        still = load (fixture->path);
        g_assert_cmpfloat (du_model_parameters (still)[0], ==, 3);
      } else {
        g_autoptr (DuModel) loaded = NULL;

        g_assert_true (du_model_save (model, other, dtype, NULL));
        loaded = load (other);
        g_assert_cmpfloat (du_model_parameters (loaded)[0], ==, 0.5f);
      }
  }
}

static void
test_save_paths (Fixture *fixture, gconstpointer data)
{
  g_autoptr (DuModel) model = plain_model (1, NULL, 0), loaded = NULL;
  g_autofree char *below = g_build_filename (fixture->folder, "missing", "a", NULL);
  g_autofree char *below_file = g_build_filename (fixture->path, "a", NULL);
  g_autofree char *slash = g_strconcat (fixture->folder, "/", NULL), *fifo = NULL, *link_path = NULL;
  g_autofree char *endless = g_strnfill (65536, 'a'), *long_name = g_strnfill (255, 'n');
  g_autofree char *longest = g_build_filename (fixture->folder, long_name, NULL), *target = NULL;
  mode_t mask = umask (027);
  struct stat status;

  (void) data;
  save (model, fixture->path);
  umask (mask);
  g_assert_cmpint (stat (fixture->path, &status), ==, 0);
  g_assert_cmphex (status.st_mode & 0777, ==, 0640);
  save (model, longest);

  check_save_fails (fixture, model, NULL, DU_DTYPE_F32, DU_ERROR_ARGUMENT, "give the path");
  check_save_fails (fixture, model, "", DU_DTYPE_F32, DU_ERROR_ARGUMENT, "give the path");
  check_save_fails (fixture, model, slash, DU_DTYPE_F32, DU_ERROR_ARGUMENT, "give the path");
  check_save_fails (fixture, model, fixture->path, 3, DU_ERROR_ARGUMENT, "dtype");
  check_save_fails (fixture, model, fixture->folder, DU_DTYPE_F32, DU_ERROR_OPEN, "not a file");
  check_save_fails (fixture, model, "/dev/null", DU_DTYPE_F32, DU_ERROR_OPEN, "not a file");
  check_save_fails (fixture, model, below, DU_DTYPE_F32, DU_ERROR_NOT_FOUND, "No such file");
  check_save_fails (fixture, model, below_file, DU_DTYPE_F32, DU_ERROR_NOT_FOUND, "Not a directory");
  check_save_fails (fixture, model, endless, DU_DTYPE_F32, DU_ERROR_IO, "too long");
  fifo = g_build_filename (fixture->folder, "fifo", NULL);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  check_save_fails (fixture, model, fifo, DU_DTYPE_F32, DU_ERROR_OPEN, "not a file");

  /* A link stays one. */
  link_path = g_build_filename (fixture->folder, "link", NULL);
  target = g_build_filename (fixture->folder, "target", NULL);
  g_assert_true (g_file_set_contents (target, "old", -1, NULL));
  g_assert_cmpint (symlink ("target", link_path), ==, 0);
  save (model, link_path);
  g_assert_true (g_file_test (link_path, G_FILE_TEST_IS_SYMLINK));
  loaded = load (target);

  /* A folder that cannot be written to. */
  g_assert_cmpint (g_chmod (fixture->folder, 0555), ==, 0);
  if (geteuid () == 0) /* who may write everywhere */
    g_assert_cmpint (seteuid (65534), ==, 0);
  check_save_fails (fixture, model, fixture->path, DU_DTYPE_F32, DU_ERROR_OPEN, "Permission denied");
  if (getuid () == 0)
    g_assert_cmpint (seteuid (0), ==, 0);
  g_assert_cmpint (g_chmod (fixture->folder, 0755), ==, 0);
}

/* The disk is full after so many bytes: at the first, within the header, within the data, at the last. */
static void
test_save_disk_full (Fixture *fixture, gconstpointer data)
{
  g_autoptr (DuModel) old = plain_model (1, NULL, 0), new = plain_model (2, NULL, 0), loaded = NULL;
  struct rlimit limit, small;
  void (*handler) (int) = signal (SIGXFSZ, SIG_IGN);
  struct stat status;

  (void) data;
  save (old, fixture->path);
  g_assert_cmpint (stat (fixture->path, &status), ==, 0);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  for (guint i = 0; i < 4; i++) {
    const rlim_t room[] = { 0, 1000, 20000, status.st_size - 1 };

    small = limit;
    small.rlim_cur = room[i];
    g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
    check_save_fails (fixture, new, fixture->path, DU_DTYPE_F32, DU_ERROR_IO, "File too large");
    g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
    g_clear_pointer (&loaded, du_model_unref);
    loaded = load (fixture->path);
    g_assert_cmpfloat (du_model_parameters (loaded)[0], ==, 1);
  }
  signal (SIGXFSZ, handler);
}

/* A file's content is as good as the file, and what is wrong with it is said by the name given. */
static void
test_memory (Fixture *fixture, gconstpointer data)
{
  static const DuConfig config = { 2, 1u << DU_BLOCK_MID, DU_HEAD_RESIDUAL };
  const gsize n = du_config_n_parameters (&config);
  g_autoptr (DuModel) model = random_model (&config, 3), loaded = NULL, again = NULL;
  g_autofree char *bytes = NULL;
  g_autoptr (GError) error = NULL;
  gsize size;

  (void) data;
  g_assert_true (du_model_save (model, fixture->path, DU_DTYPE_F32, &error));
  g_assert_true (g_file_get_contents (fixture->path, &bytes, &size, &error));
  loaded = du_model_load_memory ("built in", bytes, size, &error);
  g_assert_no_error (error);
  again = du_model_load_memory ("built in", bytes, size, &error);
  g_assert_no_error (error);
  memset (bytes, 0, size);
  g_assert_true (loaded != again);
  g_assert_null (du_model_path (loaded));
  g_assert_cmpstr (du_model_metadata (loaded, "provenance"), ==, du_model_metadata (model, "provenance"));
  g_assert_cmpmem (du_model_parameters (loaded), n * sizeof (float), du_model_parameters (model), n * sizeof (float));
  for (gsize cut = 0; cut < 16; cut++) {
    g_assert_null (du_model_load_memory ("built\tin", cut ? bytes : NULL, cut, &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_FORMAT);
    g_assert_nonnull (strstr (error->message, "'built?in'"));
    g_clear_error (&error);
  }
}

static void
test_arguments (Fixture *fixture, gconstpointer data)
{
  static const DuConfig config = { 1, 0, DU_HEAD_SIGMOID };
  static const DuConfig bad[]
      = { { 0, 0, 0 }, { -1, 0, 0 }, { 257, 0, 0 }, { 1, 1u << DU_N_BLOCKS, 0 }, { 1, 0, 2 } };
  g_autofree float *parameters = g_new0 (float, du_config_n_parameters (&config));
  g_autofree char *endless = g_strnfill (1 << 20, 'a');
  const struct
  {
    const char *key, *value, *part;
  } rows[] = {
    { "note", "\xff", "metadata 'note' is not valid UTF-8" },
    { "\xc3(", "x", "is not valid UTF-8" },
    { "note", endless, "too long" },
    { endless, "note", "too long" },
  };

  (void) data;
  du_model_unref (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (du_model_new (&bad[i], parameters, NULL, &error));
    g_assert_error (error, DU_ERROR, DU_ERROR_ARGUMENT);
  }
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
    g_autoptr (DuModel) model = NULL;

    g_hash_table_insert (metadata, (gpointer) rows[i].key, (gpointer) rows[i].value);
    model = du_model_new (&config, parameters, metadata, NULL);
    g_assert_nonnull (model);
    check_save_fails (fixture, model, fixture->path, DU_DTYPE_F32, DU_ERROR_ARGUMENT, rows[i].part);
    g_assert_false (g_file_test (fixture->path, G_FILE_TEST_EXISTS));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add ("/model/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("round-trip", test_round_trip);
  ADD ("metadata-keys", test_metadata_keys);
  ADD ("memory", test_memory);
  ADD ("shared", test_shared);
  ADD ("threads", test_threads);
  ADD ("save/while-loading", test_save_while_loading);
  ADD ("save/values", test_save_values);
  ADD ("save/paths", test_save_paths);
  ADD ("save/disk-full", test_save_disk_full);
  ADD ("arguments", test_arguments);
  return g_test_run ();
}

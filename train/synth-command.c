/* `deblurunet-train synth`: sharp material to pairs on disk.
 *
 * OUTPUT/sharp and OUTPUT/blur hold PNG pictures of equal names. While the work is under way
 * OUTPUT/unfinished.json says what is being made; at the end OUTPUT/manifest.json takes its place, with every
 * pair. A pair's blur depends on the seed and its place alone, so an interrupted run is taken up by the same
 * command, with the same result to the byte.
 *
 * Where a recipe takes its sequences from a clip, a video's pictures wait in a row until the frames behind them have
 * come; those whose sequence would end behind the video give no pair.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checkpoint.h"
#include "dataset.h"
#include "media.h"
#include "progress.h"
#include "random.h"
#include "settings.h"

#include <glib/gstdio.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* clang-format off */
static const SettingEntry entries[] = {
  { "seed", 0, SETTING_INTEGER, FALSE, "1", 0, 1e15, NULL, "N", "Draws the kernel of each picture" },
  { "kernels", 0, SETTING_TEXT, FALSE, "3:0.3,7:1,11:1.6", 0, 0, NULL, "LIST",
    "Blur kernels, SIZE:SIGMA in pixels" },
  { "all-kernels", 0, SETTING_FLAG, FALSE, NULL, 0, 0, NULL, NULL,
    "Make a pair with each kernel of each picture, to evaluate, instead of drawing one" },
  { "degrade", 0, SETTING_TEXT, FALSE, NULL, 0, 0, NULL, "RECIPE",
    "Draw from this recipe for each picture, instead of a kernel: see below" },
  { "size", 0, SETTING_TEXT, FALSE, "256x448", 0, 0, NULL, "HxW", "Height and width of the pictures" },
  { "fit", 0, SETTING_CHOICE, FALSE, "stretch", 0, 0, "stretch|crop", NULL,
    "How pictures of other shapes become that size" },
  { "every", 0, SETTING_INTEGER, FALSE, "1", 1, 1e6, NULL, "N", "Take every N-th frame of a video" },
  { "max-bad", 0, SETTING_INTEGER, FALSE, "10", 0, 1e9, NULL, "N", "Bad files that are skipped" },
  { "threads", 't', SETTING_INTEGER, FALSE, "0", 0, 256, NULL, "N", "CPU threads, 0 = one per core" },
};
/* clang-format on */

typedef struct
{
  SynthOptions synth;
  SynthKernel *kernels;
  guint64 seed;
  gboolean all_kernels;
  Degrade *degrade; /* instead of the kernels; NULL = none */
  guint row;        /* frames of a video that have to be kept at once */
  guint every, max_bad;
  int threads;
  char *output;
  char **files;
  gboolean *still; /* one a file: a picture, not a video */

  GThreadPool *pool;
  GMutex lock;    /* of what follows */
  GCond changed;
  guint waiting;  /* pictures in the pool */
  GError *error;  /* of the pool's work: stops all */
  GArray **frames; /* one a file: guint, the frames that were taken */
  guint n_begun, n_pictures;
  Progress progress;
} Synth;

typedef struct
{
  guint file, frame;
  GBytes *rgb;
  GBytes *clip[DEGRADE_MAX_FRAMES]; /* NULL: none */
} Job;

/* The last frames of the video that a thread decodes. */
typedef struct
{
  GBytes *frame[DEGRADE_MAX_FRAMES]; /* frame n at n % Synth.row */
} Row;

static void
row_free (gpointer data)
{
  Row *row = data;

  for (guint i = 0; i < DEGRADE_MAX_FRAMES; i++)
    g_clear_pointer (&row->frame[i], g_bytes_unref);
  g_free (row);
}

static GPrivate row_of_thread = G_PRIVATE_INIT (row_free);

static void
job_free (Job *job)
{
  g_bytes_unref (job->rgb);
  for (guint i = 0; i < DEGRADE_MAX_FRAMES; i++)
    g_clear_pointer (&job->clip[i], g_bytes_unref);
  g_free (job);
}

/* ---- names --------------------------------------------------------------------------------- */

/* "000012_beach", "000013_drive_f000200"; with all kernels "…_k2". */
static char *
pair_name (const Synth *synth, guint file, guint frame, guint kernel)
{
  g_autofree char *stem = g_path_get_basename (synth->files[file]);
  char *dot = strrchr (stem, '.');
  GString *name = g_string_new (NULL);

  if (dot)
    *dot = 0;
  g_strcanon (stem, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "-_", '-');
  g_string_printf (name, "%06u_%.60s", file, stem);
  if (!synth->still[file])
    g_string_append_printf (name, "_f%06u", frame);
  if (synth->all_kernels)
    g_string_append_printf (name, "_k%u", kernel);
  return g_string_free (name, FALSE);
}

static char *
pair_path (const Synth *synth, const char *half, const char *name)
{
  g_autofree char *file = g_strconcat (name, ".png", NULL);

  return g_build_filename (synth->output, half, file, NULL);
}

static gboolean
is_made (const Synth *synth, const char *name)
{
  g_autofree char *sharp = pair_path (synth, "sharp", name), *blur = pair_path (synth, "blur", name);

  return g_file_test (sharp, G_FILE_TEST_EXISTS) && g_file_test (blur, G_FILE_TEST_EXISTS);
}

/* What a picture goes through where a recipe is given. */
static void
degradation_of (const Synth *synth, guint file, guint frame, Degradation *drawn)
{
  Random random;

  random_init (&random, synth->seed, file, frame);
  degrade_draw (synth->degrade, -1, &random, drawn);
  degradation_fit_clip (drawn, frame, synth->still[file] ? 0 : DEGRADE_MAX_FRAMES);
}

/* How many frames behind a picture have to be there. */
static guint
frames_after (const Synth *synth, guint file, guint frame)
{
  Degradation drawn;

  if (!synth->degrade)
    return 0;
  degradation_of (synth, file, frame, &drawn);
  return drawn.clip ? (guint) (drawn.frames - 1 - drawn.kept) : 0;
}

/* The kernels of a picture: [first, last); with a recipe one that does not count. */
static void
kernels_of (const Synth *synth, guint file, guint frame, guint *first, guint *last)
{
  Random random;

  random_init (&random, synth->seed, file, frame);
  *first = synth->all_kernels ? 0 : random_below (&random, synth->synth.n_kernels);
  *last = synth->all_kernels ? synth->synth.n_kernels : *first + 1;
}

static gboolean
all_made (const Synth *synth, guint file, guint frame)
{
  guint first, last;
  gboolean made = TRUE;

  kernels_of (synth, file, frame, &first, &last);
  for (guint k = first; made && k < last; k++) {
    g_autofree char *name = pair_name (synth, file, frame, k);

    made = is_made (synth, name);
  }
  return made;
}

/* ---- the work ------------------------------------------------------------------------------ */

static gboolean
degrade_job (const Job *job, const Degradation *drawn, int height, int width, guint8 *degraded, guint8 *target,
    GError **error)
{
  const guint8 *clip[DEGRADE_MAX_FRAMES] = { NULL };
  DegradePicture picture = { height, width, g_bytes_get_data (job->rgb, NULL), drawn->clip ? clip : NULL };

  for (int i = 0; drawn->clip && i < drawn->frames; i++)
    clip[i] = g_bytes_get_data (job->clip[i], NULL);
  return degradation_apply (drawn, &picture, 0, 0, height, width, degraded, target, error);
}

static gboolean
make_pairs (const Synth *synth, const Job *job, GError **error)
{
  int height = synth->synth.height, width = synth->synth.width;
  g_autofree guint8 *blurred = g_malloc (3 * (gsize) height * width);
  g_autofree guint8 *target = synth->degrade ? g_malloc (3 * (gsize) height * width) : NULL;
  const guint8 *rgb = g_bytes_get_data (job->rgb, NULL);
  guint first, last;

  kernels_of (synth, job->file, job->frame, &first, &last);
  for (guint k = first; k < last; k++) {
    g_autofree char *name = pair_name (synth, job->file, job->frame, k);
    g_autofree char *sharp = pair_path (synth, "sharp", name), *blur = pair_path (synth, "blur", name);

    if (is_made (synth, name))
      continue;
    if (synth->degrade) {
      Degradation drawn;

      degradation_of (synth, job->file, job->frame, &drawn);
      if (!degrade_job (job, &drawn, height, width, blurred, target, error))
        return FALSE;
    } else
      synth_blur (&synth->kernels[k], height, width, rgb, blurred);
    if (!media_write_png (sharp, height, width, target ? target : rgb, error)
        || !media_write_png (blur, height, width, blurred, error))
      return FALSE;
  }
  return TRUE;
}

static void
show (Synth *synth)
{
  g_autofree char *text = g_strdup_printf ("files, %u pictures", synth->n_pictures);

  progress_update (&synth->progress, synth->n_begun, text);
}

static void
work (gpointer data, gpointer user)
{
  Job *job = data;
  Synth *synth = user;
  g_autoptr (GError) error = NULL;

  make_pairs (synth, job, &error);
  g_mutex_lock (&synth->lock);
  if (error && !synth->error)
    synth->error = g_steal_pointer (&error);
  synth->waiting--;
  synth->n_pictures++;
  show (synth);
  g_cond_broadcast (&synth->changed);
  g_mutex_unlock (&synth->lock);
  job_free (job);
}

typedef struct
{
  Synth *synth;
  const guint *file; /* of the list that is decoded -> of all */
} Todo;

static Job *
make_job (const Synth *synth, guint file, guint frame, const Row *row)
{
  Job *job = g_new0 (Job, 1);
  Degradation drawn;

  job->file = file;
  job->frame = frame;
  job->rgb = g_bytes_ref (row->frame[frame % synth->row]);
  if (!synth->degrade)
    return job;
  degradation_of (synth, file, frame, &drawn);
  for (int i = 0; drawn.clip && i < drawn.frames; i++)
    job->clip[i] = g_bytes_ref (row->frame[(frame + (guint) i - (guint) drawn.kept) % synth->row]);
  return job;
}

/* Hands a picture, and its clip from the row, to the pool, waiting while that has plenty. */
static gboolean
hand_over (Synth *synth, guint file, guint frame, const Row *row, GError **error)
{
  gboolean made = all_made (synth, file, frame), ok;

  g_mutex_lock (&synth->lock);
  if (frame == 0)
    synth->n_begun++;
  g_array_append_val (synth->frames[file], frame);
  while (!made && synth->waiting >= 4 * (guint) synth->threads)
    g_cond_wait (&synth->changed, &synth->lock);
  ok = !synth->error;
  if (!ok)
    g_propagate_error (error, g_error_copy (synth->error));
  else if (!made) {
    Job *job = make_job (synth, file, frame, row);

    synth->waiting++;
    g_thread_pool_push (synth->pool, job, NULL);
  } else
    synth->n_pictures++;
  g_mutex_unlock (&synth->lock);
  return ok;
}

/* As MediaFunc. */
static gboolean
take (guint index, guint frame, int height, int width, const guint8 *rgb, gpointer data, GError **error)
{
  const Todo *todo = data;
  Synth *synth = todo->synth;
  guint file = todo->file[index];
  Row *row = g_private_get (&row_of_thread);

  if (!row || frame == 0) {
    row = g_new0 (Row, 1);
    g_private_replace (&row_of_thread, row);
  }
  g_clear_pointer (&row->frame[frame % synth->row], g_bytes_unref);
  row->frame[frame % synth->row] = g_bytes_new (rgb, 3 * (gsize) height * width);
  /* Those whose last frame this is. */
  for (guint before = MIN (frame, synth->row - 1) + 1; before-- > 0;)
    if ((frame - before) % synth->every == 0 && frames_after (synth, file, frame - before) == before
        && !hand_over (synth, file, frame - before, row, error))
      return FALSE;
  return TRUE;
}

/* Pairs of a video that turned out to be damaged further on. */
static void
remove_pairs (const Synth *synth, guint file)
{
  for (guint i = 0; i < synth->frames[file]->len; i++) {
    guint frame = g_array_index (synth->frames[file], guint, i), first, last;

    kernels_of (synth, file, frame, &first, &last);
    for (guint k = first; k < last; k++) {
      g_autofree char *name = pair_name (synth, file, frame, k);
      g_autofree char *sharp = pair_path (synth, "sharp", name), *blur = pair_path (synth, "blur", name);

      g_unlink (sharp);
      g_unlink (blur);
    }
  }
  g_array_set_size (synth->frames[file], 0);
}

static gboolean
make_all (Synth *synth, GError **error)
{
  guint n = g_strv_length (synth->files), n_todo = 0;
  g_autofree char **list = g_new0 (char *, n + 1);
  g_autofree guint *file = g_new0 (guint, n + 1);
  g_autofree gboolean *bad = g_new0 (gboolean, n + 1);
  MediaOptions options
      = { synth->synth.fit, synth->synth.height, synth->synth.width, .every = synth->row > 1 ? 1 : synth->every };
  Todo todo = { synth, file };
  gboolean ok;

  for (guint i = 0; i < n; i++)
    if (synth->still[i] && all_made (synth, i, 0)) {
      guint frame = 0;

      g_array_append_val (synth->frames[i], frame);
      synth->n_begun++;
      synth->n_pictures++;
    } else {
      file[n_todo] = i;
      list[n_todo++] = synth->files[i];
    }
  progress_begin (&synth->progress, synth->n_begun, n, "synth");
  synth->pool = g_thread_pool_new (work, synth, synth->threads, FALSE, NULL);
  ok = media_decode_all (list, &options, synth->threads, synth->max_bad, take, &todo, bad, error);
  g_thread_pool_free (synth->pool, FALSE, TRUE);
  progress_end (&synth->progress);
  if (ok && synth->error) {
    g_propagate_error (error, g_error_copy (synth->error));
    return FALSE;
  }
  for (guint i = 0; i < n_todo; i++)
    if (bad[i])
      remove_pairs (synth, file[i]);
  if (ok && synth->n_pictures == 0) {
    g_set_error (error, TRAIN_ERROR, EXIT_DATA, "no good picture is there: give other INPUTs");
    return FALSE;
  }
  return ok;
}

/* ---- what is being made -------------------------------------------------------------------- */

/* Everything that the result depends on. */
static json_t *
describe (const Synth *synth, const Settings *settings)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  json_t *options;

  for (char **file = synth->files; *file; file++) {
    GStatBuf status;
    g_autofree char *line = g_strdup_printf ("%s %" G_GINT64_FORMAT "\n", *file,
        g_stat (*file, &status) == 0 ? (gint64) status.st_size : -1);

    g_checksum_update (checksum, (const guchar *) line, -1);
  }
  options = json_pack ("{s:I, s:s, s:b, s:i, s:i, s:s, s:i, s:s}", "seed", (json_int_t) synth->seed, "kernels",
      settings_text (settings, "kernels"), "all_kernels", synth->all_kernels, "height", synth->synth.height, "width",
      synth->synth.width, "fit", synth->synth.fit == SYNTH_FIT_CROP ? "crop" : "stretch", "every", (int) synth->every,
      "inputs_sha256", g_checksum_get_string (checksum));
  if (synth->degrade) {
    json_object_del (options, "kernels");
    json_object_set_new (options, "recipe", json_string (degrade_text (synth->degrade)));
  }
  return options;
}

static json_t *
list_pairs (const Synth *synth)
{
  json_t *pairs = json_array ();

  for (guint i = 0; synth->files[i]; i++)
    for (guint f = 0; f < synth->frames[i]->len; f++) {
      guint frame = g_array_index (synth->frames[i], guint, f), first, last;
      g_autofree char *source = g_utf8_make_valid (synth->files[i], -1);

      kernels_of (synth, i, frame, &first, &last);
      for (guint k = first; k < last; k++) {
        g_autofree char *name = pair_name (synth, i, frame, k);
        json_t *pair = json_pack ("{s:s, s:s, s:i}", "name", name, "source", source, "frame", (int) frame);

        if (synth->degrade) {
          g_autofree char *text = NULL;
          Degradation drawn;

          degradation_of (synth, i, frame, &drawn);
          text = degradation_text (&drawn);
          json_object_set_new (pair, "degradation", json_string (text));
        } else {
          json_object_set_new (pair, "size", json_integer (synth->kernels[k].size));
          json_object_set_new (pair, "sigma", json_real (synth->kernels[k].sigma));
        }
        json_object_set_new (pair, "seed", json_integer ((json_int_t) synth->seed));
        json_array_append_new (pairs, pair);
      }
    }
  return pairs;
}

/* The options in OUTPUT/name, or NULL without that file. */
static json_t *
read_options (const char *output, const char *name)
{
  g_autofree char *path = g_build_filename (output, name, NULL);
  json_t *root = json_load_file (path, 0, NULL), *options = json_incref (json_object_get (root, "options"));

  if (!options && g_file_test (path, G_FILE_TEST_EXISTS))
    options = json_null (); /* damaged: like no options of ours */
  json_decref (root);
  return options;
}

static gboolean
write_json (const char *output, const char *name, json_t *root, GError **error)
{
  g_autofree char *path = g_build_filename (output, name, NULL);
  char *text = json_dumps (root, JSON_INDENT (1) | JSON_REAL_PRECISION (15));
  gboolean ok = text && text_save (path, text, error);

  free (text);
  json_decref (root);
  return ok;
}

/* Sees whether OUTPUT is new, or an earlier run of the same is to be taken up or is complete. */
static gboolean
begin (const Synth *synth, json_t *options, gboolean *complete, GError **error)
{
  json_t *finished = read_options (synth->output, "manifest.json");
  json_t *unfinished = read_options (synth->output, "unfinished.json");
  json_t *earlier = finished ? finished : unfinished;
  g_autofree char *sharp = g_build_filename (synth->output, "sharp", NULL);
  g_autofree char *blur = g_build_filename (synth->output, "blur", NULL);
  gboolean ok = FALSE;

  *complete = finished != NULL;
  /* A run that came to no pair, for want of a good picture, is in nobody's way. */
  if (!finished && g_rmdir (blur) == 0 && g_rmdir (sharp) == 0)
    earlier = NULL;
  if (earlier ? !json_equal (earlier, options) : g_file_test (sharp, G_FILE_TEST_EXISTS))
    g_set_error (error, TRAIN_ERROR, EXIT_DATA,
        "'%s' holds another data set, of other options or inputs: give another folder, or remove that one",
        synth->output);
  else if (g_mkdir_with_parents (sharp, 0777) != 0 || g_mkdir_with_parents (blur, 0777) != 0)
    g_set_error (error, TRAIN_ERROR, EXIT_IO, "folders in '%s' cannot be made: %s", synth->output, g_strerror (errno));
  else
    ok = earlier || write_json (synth->output, "unfinished.json", json_pack ("{s:O}", "options", options), error);
  json_decref (finished);
  json_decref (unfinished);
  return ok;
}

static gboolean
end (const Synth *synth, json_t *options, GError **error)
{
  g_autofree char *unfinished = g_build_filename (synth->output, "unfinished.json", NULL);

  if (!write_json (synth->output, "manifest.json",
          json_pack ("{s:i, s:O, s:o}", "format", 1, "options", options, "pairs", list_pairs (synth)), error))
    return FALSE;
  g_unlink (unfinished);
  return TRUE;
}

/* ---- the command --------------------------------------------------------------------------- */

/* What was made is no material, though it may lie in a folder of such. */
static void
leave_out (char **files, const char *output)
{
  g_autofree char *folder = g_canonicalize_filename (output, NULL), *prefix = g_strconcat (folder, "/", NULL);
  char **to = files;

  for (; *files; files++) {
    g_autofree char *full = g_canonicalize_filename (*files, NULL);

    if (g_str_has_prefix (full, prefix))
      g_free (*files);
    else
      *to++ = *files;
  }
  *to = NULL;
}

static gboolean
read_settings (Synth *synth, const Settings *settings, GError **error)
{
  char *const *operands = settings_operands (settings);
  guint n = g_strv_length ((char **) operands);
  const char *size = settings_text (settings, "size");
  int h = 0, w = 0, last = 0;
  g_autofree char **inputs = NULL;
  g_auto (GStrv) sharp = NULL;

  if (n < 2) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "give at least one INPUT and the OUTPUT folder: see --help");
    return FALSE;
  }
  if (sscanf (size, "%dx%d%n", &h, &w, &last) != 2 || size[last] || h < 16 || w < 16 || h > 8192 || w > 8192) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--size=%s is not HEIGHTxWIDTH from 16 to 8192", size);
    return FALSE;
  }
  synth_options_init (&synth->synth);
  if (settings_text (settings, "degrade")) {
    if (settings_given (settings, "kernels") || settings_given (settings, "all-kernels")) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
          "--degrade stands instead of --kernels and --all-kernels: leave those out, the recipe has blur=");
      return FALSE;
    }
    synth->degrade = degrade_parse (settings_text (settings, "degrade"), error);
    if (!synth->degrade || !degrade_check (synth->degrade, error))
      return FALSE;
  }
  synth->row = synth->degrade ? degrade_clip_length (synth->degrade) : 1;
  if (!synth_kernels_parse (settings_text (settings, "kernels"), &synth->kernels, &synth->synth.n_kernels, error))
    return FALSE;
  synth->synth.kernels = synth->kernels;
  synth->synth.height = h;
  synth->synth.width = w;
  synth->synth.fit = settings_choice (settings, "fit") ? SYNTH_FIT_CROP : SYNTH_FIT_STRETCH;
  synth->seed = settings_integer (settings, "seed");
  synth->all_kernels = settings_flag (settings, "all-kernels");
  synth->every = settings_integer (settings, "every");
  synth->max_bad = settings_integer (settings, "max-bad");
  synth->threads = settings_integer (settings, "threads");
  if (!synth->threads)
    synth->threads = g_get_num_processors ();
  synth->output = g_strdup (operands[n - 1]);
  inputs = g_new0 (char *, n);
  memcpy (inputs, operands, (n - 1) * sizeof *inputs);
  sharp = dataset_sharp_paths (inputs);
  if (!(synth->files = media_list (sharp, error)))
    return FALSE;
  leave_out (synth->files, synth->output);
  n = g_strv_length (synth->files);
  synth->still = g_new0 (gboolean, n + 1);
  synth->frames = g_new0 (GArray *, n + 1);
  for (guint i = 0; i < n; i++) {
    synth->still[i] = media_kind (synth->files[i]) != MEDIA_VIDEO;
    synth->frames[i] = g_array_new (FALSE, FALSE, sizeof (guint));
  }
  return TRUE;
}

static void
synth_clear (Synth *synth)
{
  for (GArray **frames = synth->frames; frames && *frames; frames++)
    g_array_unref (*frames);
  g_free (synth->frames);
  g_free (synth->still);
  g_strfreev (synth->files);
  g_free (synth->output);
  g_free (synth->kernels);
  g_clear_pointer (&synth->degrade, degrade_free);
  g_clear_error (&synth->error);
  g_mutex_clear (&synth->lock);
  g_cond_clear (&synth->changed);
}

ExitCode
synth_command (int argc, char **argv, GError **error)
{
  Synth synth = { 0 };
  gboolean complete = FALSE;
  json_t *options = NULL;
  int lock = -1;
  g_autoptr (Settings) settings = settings_parse (entries, G_N_ELEMENTS (entries), argc, argv, "INPUT… OUTPUT",
      "Makes pairs of a sharp and a blurred picture from pictures, videos and folders of them: OUTPUT/sharp,\n"
      "OUTPUT/blur and OUTPUT/manifest.json.",
      "An interrupted run is taken up by the same command.\n\n" DEGRADE_HELP, error);

  if (!settings)
    return EXIT_DONE;
  g_mutex_init (&synth.lock);
  g_cond_init (&synth.changed);
  if (!read_settings (&synth, settings, error) || (lock = folder_lock (synth.output, error)) < 0)
    goto end;
  options = describe (&synth, settings);
  if (!begin (&synth, options, &complete, error))
    goto end;
  if (complete)
    g_print ("%s is complete already\n", synth.output);
  else if (make_all (&synth, error) && end (&synth, options, error))
    g_print ("%s: %u pictures of %ux%u, %s\n", synth.output, synth.n_pictures, synth.synth.width,
        synth.synth.height, synth.degrade       ? "degraded as the recipe says"
        : synth.all_kernels ? "blurred with each kernel"
                            : "blurred with a kernel each");
  else if (interrupted ())
    g_printerr ("%u pictures are done: the same command goes on\n", synth.n_pictures);
end:
  json_decref (options);
  if (lock >= 0)
    close (lock);
  synth_clear (&synth);
  return EXIT_DONE;
}

/* `deblurunet-train fit` on a terminal: its progress bar, and signals in each phase that the bar tells of.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder.h"
#include "media.h"
#include "synth.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
  HEIGHT = 32,
  WIDTH = 48,
  PAIRS = 6,
  LIMIT_SECONDS = 300, /* a program that says nothing for so long hangs */
};

#define OPTIONS                                                                                              \
  "--base-width=1 --backend=reference --head=residual --threads=1 --batch=2 --steps-per-epoch=4 --epochs=3 " \
  "--precise-bn=2 --train-metrics=2"

static char *base, *pairs;

/* ---- a program on a terminal ----------------------------------------------------------------- */

typedef struct
{
  int terminal; /* our end */
  GPid pid;
  GString *said;
} Program;

static void
program_clear (Program *program)
{
  if (program->said) {
    close (program->terminal);
    g_string_free (program->said, TRUE);
  }
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Program, program_clear)

/* columns: of the terminal; 0 = it does not say. FALSE: there are no terminals here, and the test is skipped. */
static gboolean
program_start (Program *program, int columns, const char *format, ...) G_GNUC_PRINTF (3, 4);

static gboolean
program_start (Program *program, int columns, const char *format, ...)
{
  const struct winsize size = { .ws_row = 24, .ws_col = (unsigned short) columns };
  g_autofree char *arguments = NULL, *line = NULL;
  g_auto (GStrv) argv = NULL;
  g_autoptr (GError) error = NULL;
  int terminal = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC), theirs;
  va_list list;

  if (terminal < 0 || grantpt (terminal) || unlockpt (terminal)
      || (theirs = open (ptsname (terminal), O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
    g_test_skip ("no terminal can be made here");
    return FALSE;
  }
  g_assert_cmpint (ioctl (terminal, TIOCSWINSZ, &size), ==, 0);
  va_start (list, format);
  arguments = g_strdup_vprintf (format, list);
  va_end (list);
  line = g_strdup_printf ("%s %s", g_getenv ("DEBLURUNET_TRAIN"), arguments);
  g_assert_true (g_shell_parse_argv (line, NULL, &argv, &error));
  *program = (Program){ .terminal = terminal, .said = g_string_new (NULL) };
  g_spawn_async_with_fds (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &program->pid, -1, theirs, theirs,
      &error);
  g_assert_no_error (error);
  close (theirs);
  return TRUE;
}

/* Reads until the text has been said, or for NULL to the end; FALSE at the end. */
static gboolean
program_says (Program *program, const char *text)
{
  while (!text || !strstr (program->said->str, text)) {
    struct pollfd wait = { .fd = program->terminal, .events = POLLIN };
    char bytes[4096];
    gssize n;

    if (poll (&wait, 1, LIMIT_SECONDS * 1000) != 1) {
      kill (program->pid, SIGKILL);
      g_error ("it hangs; it said:\n%s", program->said->str);
    }
    n = read (program->terminal, bytes, sizeof bytes);
    if (n <= 0) /* EIO: nobody has the other end any more */
      return FALSE;
    g_string_append_len (program->said, bytes, n);
  }
  return TRUE;
}

/* The exit code. */
static int
program_end (Program *program)
{
  int status;

  program_says (program, NULL);
  g_assert_cmpint (waitpid (program->pid, &status, 0), ==, program->pid);
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

/* ---- data ------------------------------------------------------------------------------------ */

static void
make_pairs (void)
{
  static const char *const halves[] = { "sharp", "blur" };

  pairs = g_build_filename (base, "data", NULL);
  for (guint h = 0; h < 2; h++) {
    g_autofree char *half = g_build_filename (pairs, halves[h], NULL);

    g_assert_cmpint (g_mkdir_with_parents (half, 0700), ==, 0);
    for (guint32 i = 0; i < PAIRS; i++) {
      g_autofree char *name = g_strdup_printf ("%u.png", i), *path = g_build_filename (half, name, NULL);
      guint8 sharp[HEIGHT * WIDTH * 3], blurred[HEIGHT * WIDTH * 3];
      GRand *random = g_rand_new_with_seed (i);

      for (int s = 0; s < HEIGHT * WIDTH * 3; s++)
        sharp[s] = (guint8) g_rand_int_range (random, 0, 256);
      g_rand_free (random);
      synth_blur (&synth_paper_kernels[1], HEIGHT, WIDTH, sharp, blurred);
      g_assert_true (media_write_png (path, HEIGHT, WIDTH, h ? blurred : sharp, NULL));
    }
  }
}

static char *
read_weights (const char *folder, gsize *size)
{
  g_autofree char *path = g_build_filename (folder, "weights.safetensors", NULL);
  char *content = NULL;

  g_assert_true (g_file_get_contents (path, &content, size, NULL));
  return content;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
test_progress (void)
{
  static const char *const parts[] = { "\repoch 1 [######", "] 1/4  ", " left  loss ", "  PSNR ", " pictures/s", "  (run ",
    "epoch 1 statistics [", "epoch 1 validation [", "epoch 1 training metrics [", "\repoch 3 [" };
  g_autofree char *out = g_build_filename (base, "progress", NULL);
  g_auto (Program) program = { 0 };

  if (!program_start (&program, 200, "fit %s -o %s %s", pairs, out, OPTIONS))
    return;
  g_assert_cmpint (program_end (&program), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    if (!strstr (program.said->str, parts[i]))
      g_error ("'%s' is not in what it said:\n%s", parts[i], program.said->str);
  /* Wiped away before a line that stays. */
  g_assert_nonnull (strstr (program.said->str, " \repoch 1/3  step 4  lr 1.00e-03 "));
}

/* No line of the bar is as wide as the terminal, where it would wrap and stay. */
static void
test_narrow (void)
{
  static const int columns[] = { 0, 1, 2, 20, 60, 80 };

  for (guint i = 0; i < G_N_ELEMENTS (columns); i++) {
    g_autofree char *out = g_strdup_printf ("%s/narrow-%u", base, i);
    g_auto (Program) program = { 0 };
    g_auto (GStrv) pieces = NULL;
    gsize most = 0, limit = columns[i] ? (gsize) columns[i] : 80;
    guint bars = 0;

    if (!program_start (&program, columns[i], "fit %s -o %s %s --epochs=1", pairs, out, OPTIONS))
      return;
    g_assert_cmpint (program_end (&program), ==, 0);
    /* A bar stands behind a carriage return, and before another one; the lines that stay end with a new line. */
    pieces = g_strsplit (program.said->str, "\r", -1);
    for (guint p = 1; pieces[p]; p++)
      if (!strchr (pieces[p], '\n') && pieces[p + 1] && pieces[p + 1][0] != '\n') {
        bars += pieces[p][0] == 'e';
        most = MAX (most, strlen (pieces[p]));
      }
    g_test_message ("%d columns: %u bars, %" G_GSIZE_FORMAT " long at most", columns[i], bars, most);
    g_assert_cmpuint (most, <, limit);
    g_assert_true (bars > 0 || columns[i] < 2);
  }
}

/* Told to stop in a phase it saves and leaves, and goes on to the same end. */
static void
test_phases (void)
{
  static const char *const phases[]
      = { "epoch 1 [", "epoch 1 statistics [", "epoch 1 validation [", "epoch 1 training metrics [", "epoch 2 [" };
  g_autofree char *whole = g_build_filename (base, "whole", NULL), *expected = NULL;
  g_auto (Program) reference = { 0 };
  gsize n;
  guint stopped = 0;

  if (!program_start (&reference, 0, "fit %s -o %s %s", pairs, whole, OPTIONS))
    return;
  g_assert_cmpint (program_end (&reference), ==, 0);
  expected = read_weights (whole, &n);
  for (guint i = 0; i < G_N_ELEMENTS (phases); i++) {
    g_autofree char *out = g_strdup_printf ("%s/phase-%u", base, i), *weights = NULL;
    g_auto (Program) program = { 0 }, again = { 0 };
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    int signal_number = signals[i % G_N_ELEMENTS (signals)], code;
    gsize size;

    g_assert_true (program_start (&program, 0, "fit %s -o %s %s", pairs, out, OPTIONS));
    g_assert_true (program_says (&program, phases[i]));
    kill (program.pid, signal_number);
    if (signal_number == SIGHUP) /* it comes twice when a terminal goes away */
      kill (program.pid, signal_number);
    code = program_end (&program);
    g_test_message ("%s: exit code %d", phases[i], code);
    if (code) { /* else it was over before it heard of it */
      g_assert_cmpint (code, ==, 128 + signal_number);
      g_assert_nonnull (strstr (program.said->str, "by a signal, all is saved: go on with --resume"));
      stopped++;
    }
    g_assert_true (program_start (&again, 0, "fit -o %s --resume", out));
    g_assert_cmpint (program_end (&again), ==, 0);
    weights = read_weights (out, &size);
    g_assert_cmpmem (weights, size, expected, n);
  }
  g_test_message ("stopped %u times", stopped);
}

int
main (int argc, char **argv)
{
  int failed;

  g_test_init (&argc, &argv, NULL);
  base = g_dir_make_tmp ("terminal-XXXXXX", NULL);
  g_assert_true (g_getenv ("DEBLURUNET_TRAIN") && base && media_start (NULL));
  make_pairs ();
  g_test_add_func ("/terminal/progress", test_progress);
  g_test_add_func ("/terminal/narrow", test_narrow);
  g_test_add_func ("/terminal/phases", test_phases);
  failed = g_test_run ();
  remove_tree (base);
  g_free (base);
  g_free (pairs);
  return failed;
}

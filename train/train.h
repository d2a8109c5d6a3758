/* What the rooms of deblurunet-train share: commands, exit codes, interruption.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TRAIN_H
#define TRAIN_H

#include "deblurunet.h"

typedef enum
{
  EXIT_DONE = 0,
  EXIT_USAGE = 2,
  EXIT_DATA = 3,
  EXIT_WEIGHTS = 4, /* weights or checkpoint file */
  EXIT_IO = 5,
  EXIT_GPU = 6,
  EXIT_DIVERGED = 7,
  EXIT_SIGINT = 130, /* after saving */
  EXIT_SIGTERM = 143,
} ExitCode;

/* Errors of this program carry the exit code they lead to; the library's are mapped by exit_code_of(). */
#define TRAIN_ERROR (train_error_quark ())
GQuark train_error_quark (void);
ExitCode exit_code_of (const GError *error);

/* Parses the options of a command with GOption, as G_OPTION_ARG_* say, and leaves the other arguments in argv.
 * --help prints the help and sets *helped: the command then returns EXIT_DONE. arguments ("INPUT… OUTPUT") and
 * summary are for the help. */
gboolean options_parse (const char *arguments, const char *summary, const GOptionEntry *entries, int *argc,
    char ***argv, gboolean *helped, GError **error);

/* A command gets its own name as argv[0] and fails with a GError that main() prints; the return value is
 * read when error stays unset. */
typedef ExitCode (*Command) (int argc, char **argv, GError **error);
ExitCode synth_command (int argc, char **argv, GError **error);
ExitCode fit_command (int argc, char **argv, GError **error);
ExitCode eval_command (int argc, char **argv, GError **error);
ExitCode info_command (int argc, char **argv, GError **error);

/* A count of parameters, 7763491 -> "7,763,491", and their size as float32, "29.62 MB", as Keras prints them.
 * g_free. */
char *parameters_text (gsize count);
char *parameters_size (gsize count);
/* All of it, in MiB. */
double memory_total (const DuTrainerMemory *memory);

/* First SIGINT, SIGTERM or, unless that was ignored, SIGHUP: this returns its number from then on; the long loops poll it at every step, save
 * and return with interrupted_exit_code(). A second one, but for SIGHUP, ends the process at once. */
int interrupted (void);
void interrupted_catch (void); /* from main(), once */
ExitCode interrupted_exit_code (void);

#endif

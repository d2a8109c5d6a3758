/* Errors and their exit codes, options, interruption.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train.h"

#include <signal.h>
#include <unistd.h>

G_DEFINE_QUARK (train-error-quark, train_error)

ExitCode
exit_code_of (const GError *error)
{
  if (error->domain == TRAIN_ERROR)
    return error->code;
  if (error->domain == G_OPTION_ERROR)
    return EXIT_USAGE;
  if (error->domain == DU_ERROR)
    switch ((DuError) error->code) {
    case DU_ERROR_ARGUMENT:
      return EXIT_USAGE;
    case DU_ERROR_NOT_FOUND:
    case DU_ERROR_OPEN:
    case DU_ERROR_FORMAT:
      return EXIT_WEIGHTS;
    case DU_ERROR_IO:
    case DU_ERROR_MEMORY:
    case DU_ERROR_CANCELLED:
      return EXIT_IO;
    case DU_ERROR_UNAVAILABLE:
    case DU_ERROR_BACKEND:
      return EXIT_GPU;
    }
  return EXIT_IO; /* GLib's file errors */
}

gboolean
options_parse (const char *arguments, const char *summary, const GOptionEntry *entries, int *argc,
    char ***argv, gboolean *helped, GError **error)
{
  g_autoptr (GOptionContext) context = g_option_context_new (arguments);
  gboolean help = FALSE;
  const GOptionEntry help_entry[]
      = { { "help", 'h', 0, G_OPTION_ARG_NONE, &help, "Show this help", NULL }, { NULL } };

  /* GOption's own --help would end the process. */
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_summary (context, summary);
  g_option_context_add_main_entries (context, help_entry, NULL);
  if (entries)
    g_option_context_add_main_entries (context, entries, NULL);
  *helped = FALSE;
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (help) {
    g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);

    g_print ("%s", text);
    *helped = TRUE;
  }
  return TRUE;
}

char *
parameters_text (gsize count)
{
  g_autofree char *digits = g_strdup_printf ("%" G_GSIZE_FORMAT, count);
  GString *text = g_string_new (digits);

  for (gssize at = (gssize) text->len - 3; at > 0; at -= 3)
    g_string_insert_c (text, at, ',');
  return g_string_free (text, FALSE);
}

char *
parameters_size (gsize count)
{
  double bytes = count * (double) sizeof (float);

  return g_strdup_printf ("%.2f %s", bytes >= 1 << 20 ? bytes / (1 << 20) : bytes / (1 << 10),
      bytes >= 1 << 20 ? "MB" : "KB");
}

double
memory_total (const DuTrainerMemory *memory)
{
  return ((double) memory->parameters + (double) memory->activations + (double) memory->gradients
             + (double) memory->working)
         / (1 << 20);
}

static volatile sig_atomic_t caught;

static void
on_signal (int number)
{
  if (!caught)
    caught = number;
  else if (number != SIGHUP) /* both the shell and the kernel tell of a terminal that is gone */
    _exit (128 + number);
}

void
interrupted_catch (void)
{
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, before;

  sigemptyset (&action.sa_mask);
  sigaction (SIGINT, &action, NULL);
  sigaction (SIGTERM, &action, NULL);
  if (sigaction (SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* else nohup's */
    sigaction (SIGHUP, &action, NULL);
  /* A closed pipe and a full quota are errors of the write, with a message and an exit code. */
  signal (SIGPIPE, SIG_IGN);
  signal (SIGXFSZ, SIG_IGN);
}

int
interrupted (void)
{
  return caught;
}

ExitCode
interrupted_exit_code (void)
{
  return 128 + caught;
}

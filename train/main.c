/* deblurunet-train: finds the command, prints its error, exits.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train.h"

#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct
{
  const char *name;
  Command run;
  const char *summary;
} commands[] = {
  { "synth", synth_command, "Make pairs of sharp and blurred pictures from pictures and videos" },
  { "fit", fit_command, "Train a network on pairs or on sharp material" },
  { "eval", eval_command, "Measure weights on pictures against the truth" },
  { "info", info_command, "Print the network's layers and size, or what a weights file holds" },
};

static void
print_help (void)
{
  g_print ("Usage:\n  deblurunet-train COMMAND [OPTION…] …\n\n"
           "Makes data for the deblurring U-Net, trains it and measures it.\n\nCommands:\n");
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    g_print ("  %-8s %s\n", commands[i].name, commands[i].summary);
  g_print ("\n'deblurunet-train COMMAND --help' shows a command's options; --version the version.\n\n"
           "Examples:\n"
           "  deblurunet-train synth pictures/ clip.mp4 data/\n"
           "  deblurunet-train fit data/ -o run/\n"
           "  deblurunet-train eval test/ --weights run/weights.safetensors -o figures/\n"
           "  gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert \\\n"
           "    ! deblurunet weights=run/weights.safetensors ! videoconvert ! autovideosink sync=false\n\n"
           "Exit codes: 0 done, 2 usage, 3 data, 4 weights or checkpoint file, 5 input or output, 6 GPU,\n"
           "7 diverged, 129, 130 and 143 after SIGHUP, SIGINT and SIGTERM, once all is saved.\n");
}

/* What was printed into a full disk is lost. A pipe whose reader has gone, or no stdout at all, is somebody's wish. */
static gboolean
output_is_lost (void)
{
  struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

  return (fflush (stdout) != 0 || ferror (stdout))
         && (poll (&out, 1, 0) < 1 || !(out.revents & (POLLERR | POLLHUP | POLLNVAL)));
}

static ExitCode
run (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  ExitCode code = EXIT_USAGE;

  if (argc < 2) {
    g_printerr ("deblurunet-train: no command given: try 'deblurunet-train --help'\n");
    return EXIT_USAGE;
  }
  if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0 || strcmp (argv[1], "help") == 0) {
    print_help ();
    return EXIT_DONE;
  }
  if (strcmp (argv[1], "--version") == 0) {
    g_print ("deblurunet-train %s\n", du_version ());
    return EXIT_DONE;
  }
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (argv[1], commands[i].name) == 0) {
      g_autofree char *program = g_strdup_printf ("deblurunet-train %s", argv[1]);

      g_set_prgname (program);
      code = commands[i].run (argc - 1, argv + 1, &error);
      if (error) {
        g_printerr ("%s: %s\n", program, error->message);
        code = exit_code_of (error);
      }
      return code;
    }
  g_printerr ("deblurunet-train: '%s' is not a command: try 'deblurunet-train --help'\n", argv[1]);
  return EXIT_USAGE;
}

int
main (int argc, char **argv)
{
  ExitCode code;

  setlocale (LC_CTYPE, "");
  interrupted_catch ();
  code = run (argc, argv);
  if (code != EXIT_DONE || !output_is_lost ())
    return code;
  g_printerr ("deblurunet-train: what it has printed could not be written: the disk is full, or cannot be written to; "
              "all else is done\n");
  return EXIT_IO;
}

/* `deblurunet-train info`: the network in numbers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "train.h"

#include <string.h>

/* One line of the paper's Table 1: a count of float32 parameters and their size. */
static void
print_count (const char *what, gsize count)
{
  g_autofree char *number = parameters_text (count), *size = parameters_size (count);

  g_print ("%-22s %12s  (%s)\n", what, number, size);
}

static void
print_network (const DuConfig *config, int height, int width)
{
  g_autofree char *bn = du_bn_to_string (config->bn);
  gsize total = du_config_n_parameters (config), trainable = du_config_n_trainable (config);

  g_print ("base width %d, head %s, batch normalisation after %s\n\n", config->base_width,
      du_head_name (config->head), *bn ? bn : "no block");
  g_print ("%-11s %-21s %-24s %14s %10s\n", "layer", "operation", "reads", "output", "parameters");
  for (guint i = 0; i < du_config_n_layers (config); i++) {
    DuLayer layer;

    du_config_layer (config, i, height, width, &layer);
    g_autofree char *reads = g_strconcat (layer.input, layer.skip ? ", " : NULL, layer.skip, NULL);
    g_autofree char *size = g_strdup_printf ("%dx%dx%d", layer.height, layer.width, layer.channels);
    g_autofree char *parameters = parameters_text (layer.parameters);
    g_print ("%-11s %-21s %-24s %14s %10s\n", layer.name, layer.operation, reads, size, parameters);
  }
  g_print ("\n");
  print_count ("Total params:", total);
  print_count ("Trainable params:", trainable);
  print_count ("Non-trainable params:", total - trainable);
  g_print ("One forward pass at %dx%d (height x width): %.2f GFLOP\n", height, width,
      du_config_flops (config, height, width) / 1e9);
}

/* What steps of batch pictures take, in each size of number. */
static gboolean
print_memory (const DuConfig *config, int batch, int height, int width, GError **error)
{
  static const struct
  {
    const char *what;
    gsize at;
  } parts[] = {
    { "activations", G_STRUCT_OFFSET (DuTrainerMemory, activations) },
    { "their gradients", G_STRUCT_OFFSET (DuTrainerMemory, gradients) },
    { "working memory", G_STRUCT_OFFSET (DuTrainerMemory, working) },
    { "parameters, moments", G_STRUCT_OFFSET (DuTrainerMemory, parameters) },
  };
  DuTrainerMemory full, half;
  DuTrainerOptions options;

  du_trainer_options_init (&options);
  options.config = *config;
  if (!du_trainer_memory (&options, batch, height, width, &full, error))
    return FALSE;
  options.precision = DU_PRECISION_BF16;
  if (!du_trainer_memory (&options, batch, height, width, &half, error))
    return FALSE;
  g_print ("\nTo train on %d of %dx%d a step, about, MiB:\n%-22s %12s %12s\n", batch, height, width, "", "f32",
      "bf16, f16");
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    g_print ("%-22s %12.0f %12.0f\n", parts[i].what,
        (double) G_STRUCT_MEMBER (gsize, &full, parts[i].at) / (1 << 20),
        (double) G_STRUCT_MEMBER (gsize, &half, parts[i].at) / (1 << 20));
  g_print ("%-22s %12.0f %12.0f\n", "all", memory_total (&full), memory_total (&half));
  return TRUE;
}

static void
print_metadata (const DuModel *model)
{
  g_auto (GStrv) keys = du_model_metadata_keys (model);
  const char *warning = du_model_warning (model);

  g_print ("\n%s\n", du_model_path (model));
  for (char **key = keys; *key; key++)
    g_print ("  %s: %s\n", *key, du_model_metadata (model, *key));
  if (warning)
    g_printerr ("warning: %s\n", warning);
}

ExitCode
info_command (int argc, char **argv, GError **error)
{
  int height = DU_TILE_HEIGHT, width = DU_TILE_WIDTH;
  g_autofree char *bn = NULL, *head = NULL;
  g_autoptr (DuModel) model = NULL;
  int base_width = -1 /* not given */, batch = 8;
  gboolean helped;
  DuConfig config;
  const GOptionEntry entries[] = {
    { "base-width", 0, 0, G_OPTION_ARG_INT, &base_width, "Channels of the first level (32)", "N" },
    { "bn", 0, 0, G_OPTION_ARG_STRING, &bn,
        "Blocks followed by batch normalisation (enc0,enc2,mid,dec2,dec0), or none", "LIST" },
    { "head", 0, 0, G_OPTION_ARG_STRING, &head, "What ends the network: sigmoid or residual", "HEAD" },
    { "height", 0, 0, G_OPTION_ARG_INT, &height, "Height of the picture (256)", "PIXELS" },
    { "width", 0, 0, G_OPTION_ARG_INT, &width, "Width of the picture (448)", "PIXELS" },
    { "batch", 0, 0, G_OPTION_ARG_INT, &batch, "Pictures per step, for the memory that training takes (8)", "N" },
    { NULL },
  };

  if (!options_parse ("[WEIGHTS]",
          "Prints the layers of the network, its size and the memory that training it takes, of the published one\n"
          "or of a weights file's with its metadata.",
          entries, &argc, &argv, &helped,
          error)
      || helped)
    return EXIT_DONE;
  du_config_init (&config);
  if (base_width != -1)
    config.base_width = base_width;
  if ((bn && !du_bn_parse (bn, &config.bn, error)) || (head && !du_head_parse (head, &config.head, error))
      || !du_config_check (&config, error))
    return EXIT_USAGE;
  if (argc > 2 || (argc > 1 && (bn || head || base_width != -1))) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "%s: see --help",
        argc > 2 ? "more than one weights file" : "a weights file says itself what --base-width, --bn and --head would");
    return EXIT_USAGE;
  }
  if (argc > 1) {
    if (!(model = du_model_load (argv[1], error)))
      return EXIT_WEIGHTS;
    config = *du_model_config (model);
  }
  for (int i = 0; i < 2; i++) {
    int size = i ? width : height;

    if (size < DU_SIZE_MULTIPLE || size > 1 << 15 || size % DU_SIZE_MULTIPLE) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "%s %d is not a multiple of %d from %d to %d",
          i ? "width" : "height", size, DU_SIZE_MULTIPLE, DU_SIZE_MULTIPLE, 1 << 15);
      return EXIT_USAGE;
    }
  }
  if (batch < 1 || batch > 4096) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--batch=%d: give a number from 1 to 4096", batch);
    return EXIT_USAGE;
  }
  print_network (&config, height, width);
  if (!print_memory (&config, batch, height, width, error))
    return EXIT_USAGE;
  if (model)
    print_metadata (model);
  return EXIT_DONE;
}

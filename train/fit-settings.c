/* The options of `fit`, and what they mean.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"

#include <stdio.h>
#include <string.h>

#define BIG 1e9

/* clang-format off */
static const SettingEntry entries[] = {
  { "output", 'o', SETTING_PATHS, FALSE, NULL, 0, 0, NULL, "PATH",
    "Folder of the run, or FILE.safetensors for the weights (the run's folder is then FILE.training)" },
  /* Data. */
  { "on-the-fly", 0, SETTING_FLAG, TRUE, NULL, 0, 0, NULL, NULL,
    "DATA is sharp material; blur, flips and crops are drawn anew for every use" },
  { "val", 0, SETTING_PATHS, FALSE, NULL, 0, 0, NULL, "PATH",
    "Validation data: a folder of pairs, or sharp material that is evaluated with each kernel" },
  { "val-split", 0, SETTING_NUMBER, TRUE, "0.1", 0, 0.9, NULL, "FRACTION",
    "Part of DATA that validates where --val is not given; frames of one video stay together" },
  { "fit", 0, SETTING_CHOICE, TRUE, "stretch", 0, 0, "stretch|crop", NULL,
    "How sharp pictures of other sizes become 448x256" },
  { "kernels", 0, SETTING_TEXT, TRUE, "3:0.3,7:1,11:1.6", 0, 0, NULL, "LIST",
    "Blur kernels, SIZE:SIGMA in pixels; one is drawn for each use of a picture" },
  { "degrade", 0, SETTING_TEXT, TRUE, NULL, 0, 0, NULL, "RECIPE",
    "With --on-the-fly: draw from this recipe instead, see below; the kernels then only validate" },
  { "val-degrade", 0, SETTING_TEXT, TRUE, NULL, 0, 0, NULL, "RECIPE",
    "Sharp material validates with each of these chains too (with --degrade: sharp and sigma 1 and 1.6 through "
    "H.264 at CRF 18, 23 and 28)" },
  { "crop", 0, SETTING_TEXT, TRUE, NULL, 0, 0, NULL, "HxW",
    "Train on random crops of HxW pixels, multiples of 16; else on whole pictures" },
  { "max-bad", 0, SETTING_INTEGER, FALSE, "10", 0, BIG, NULL, "N", "Bad pictures that are skipped" },
  /* Length. */
  { "batch", 'b', SETTING_INTEGER, TRUE, "8", 1, 4096, NULL, "N", "Pictures per step" },
  { "epochs", 'e', SETTING_INTEGER, FALSE, NULL, 1, BIG, NULL, "N", "Epochs (25; unlimited with --minutes)" },
  { "steps-per-epoch", 0, SETTING_INTEGER, TRUE, NULL, 1, BIG, NULL, "N",
    "Else as many as go through the samples once" },
  { "minutes", 0, SETTING_NUMBER, FALSE, NULL, 0.01, BIG, NULL, "M",
    "Length of the training by the clock, which the cosine then follows; resumed runs are not bit-identical" },
  { "max-minutes", 0, SETTING_NUMBER, FALSE, NULL, 0.01, BIG, NULL, "M",
    "Save a checkpoint and leave after so long, to go on with --resume" },
  /* Learning rate. */
  { "lr", 0, SETTING_NUMBER, TRUE, "0.001", 1e-12, 1e38, NULL, "RATE", "Learning rate of Adam" },
  { "schedule", 0, SETTING_CHOICE, TRUE, "plateau", 0, 0, "plateau|cosine|constant", NULL,
    "plateau lowers the rate when validation MSE no longer falls; cosine follows the length of the run" },
  { "warmup", 0, SETTING_INTEGER, TRUE, "0", 0, BIG, NULL, "STEPS", "Steps over which the rate rises" },
  { "min-lr", 0, SETTING_NUMBER, TRUE, "1e-06", 0, 1, NULL, "RATE", "Lowest rate" },
  { "plateau-factor", 0, SETTING_NUMBER, TRUE, "0.5", 0.001, 0.999, NULL, "F", "Rate times this" },
  { "plateau-patience", 0, SETTING_INTEGER, TRUE, "3", 0, BIG, NULL, "N", "after N epochs without gain" },
  { "plateau-min-delta", 0, SETTING_NUMBER, TRUE, "0", 0, BIG, NULL, "MSE", "A gain is more than this" },
  { "plateau-cooldown", 0, SETTING_INTEGER, TRUE, "0", 0, BIG, NULL, "N", "Epochs of rest after lowering" },
  { "early-stopping", 0, SETTING_INTEGER, FALSE, NULL, 0, BIG, NULL, "N",
    "Stop after N epochs without gain, 0 = never (8; never with --schedule=cosine)" },
  { "early-stopping-min-delta", 0, SETTING_NUMBER, FALSE, "0", 0, BIG, NULL, "MSE",
    "A gain is more than this" },
  /* Network and training. */
  { "loss", 0, SETTING_TEXT, TRUE, "mse", 0, 0, NULL, "NAME", "mse, mae, ssim, charbonnier or log-mse" },
  { "loss-epsilon", 0, SETTING_NUMBER, TRUE, NULL, 1e-12, 1, NULL, "E",
    "Of charbonnier (0.001) and log-mse (0.0001)" },
  { "head", 0, SETTING_CHOICE, TRUE, "sigmoid", 0, 0, "sigmoid|residual", NULL, "Last operation" },
  { "bn", 0, SETTING_TEXT, TRUE, "enc0,enc2,mid,dec2,dec0", 0, 0, NULL, "BLOCKS",
    "Blocks followed by batch normalisation, or none" },
  { "base-width", 0, SETTING_INTEGER, TRUE, "32", 1, DU_BASE_WIDTH_MAX, NULL, "N",
    "Channels of the first block" },
  { "bn-momentum", 0, SETTING_NUMBER, TRUE, "0.99", 0, 1, NULL, "M", "Of the running statistics" },
  { "precise-bn", 0, SETTING_INTEGER, TRUE, "0", 0, 100000, NULL, "N",
    "Recompute the running statistics over N batches before each validation" },
  { "ema", 0, SETTING_NUMBER, TRUE, "0", 0, 0.999999, NULL, "DECAY",
    "Validate and save an average of the weights over the steps" },
  { "clip", 0, SETTING_NUMBER, TRUE, "0", 0, BIG, NULL, "NORM", "Largest gradient norm, 0 = any" },
  { "init", 0, SETTING_PATHS, FALSE, NULL, 0, 0, NULL, "FILE", "Start from these weights (fine-tuning)" },
  { "seed", 0, SETTING_INTEGER, TRUE, "1", 0, 9007199254740992.0, NULL, "N", "Of all that is random" },
  /* Machine. */
  { "backend", 0, SETTING_CHOICE, FALSE, "auto", 0, 0, SETTINGS_BACKENDS, NULL, "What computes" },
  { "device", 0, SETTING_INTEGER, FALSE, "-1", -1, 1024, NULL, "N",
    "CUDA device, -1 = the first that works" },
  { "precision", 0, SETTING_CHOICE, TRUE, "f32", 0, 0, SETTINGS_PRECISIONS, NULL, "Of activations" },
  { "threads", 't', SETTING_INTEGER, FALSE, "0", 0, 1024, NULL, "N",
    "CPU threads, 0 = one per core; equal numbers give equal bits, as equal GPUs and libraries do" },
  { "loaders", 0, SETTING_INTEGER, FALSE, "1", 1, 64, NULL, "N", "Threads that prepare batches" },
  { "pictures", 0, SETTING_CHOICE, FALSE, "auto", 0, 0, "auto|host|device", NULL,
    "Where batches are made: by --loaders on the host, or from pictures kept beside the network; the same bits. "
    "auto: on a GPU, but for --degrade and what exceeds --pictures-mib" },
  { "pictures-mib", 0, SETTING_NUMBER, FALSE, "2048", 0, BIG, NULL, "MIB",
    "Most memory that decoded pictures may take beside the network" },
  /* Files. */
  { "resume", 0, SETTING_FLAG, FALSE, NULL, 0, 0, NULL, NULL,
    "Go on from the folder's newest checkpoint; options not given are the checkpoint's" },
  { "checkpoint-minutes", 0, SETTING_NUMBER, FALSE, "10", 0, BIG, NULL, "M",
    "Time between checkpoints within an epoch" },
  { "dtype", 0, SETTING_CHOICE, FALSE, "f32", 0, 0, SETTINGS_DTYPES, NULL,
    "Number format of the weights file" },
  { "note", 0, SETTING_TEXT, FALSE, NULL, 0, 0, NULL, "TEXT",
    "What the data is and its licence: kept in the weights as trained_on" },
  { "train-metrics", 0, SETTING_INTEGER, TRUE, "16", 1, 100000, NULL, "N",
    "Training samples that are measured after each epoch" },
};
/* clang-format on */

Settings *
fit_settings_parse (int argc, char **argv, GError **error)
{
  Settings *settings = settings_parse (entries, G_N_ELEMENTS (entries), argc, argv, "DATA… -o PATH",
      "Trains the network. DATA is folders of pairs as synth makes them (sharp/ and blur/), or with\n"
      "--on-the-fly sharp pictures, videos and folders of them. What is not given is the paper's: whole\n"
      "pictures of 448x256, Adam with 0.001, MSE, 25 epochs, early stopping and rate reduction on the\n"
      "validation MSE (of the unrounded output; the paper names neither the batch nor the callbacks' numbers).\n"
      "PSNR and SSIM are those of the output clipped and rounded to 8 bit, means over pictures, at most 100 dB\n"
      "each.",
      "The weights of the best validation MSE are in PATH/weights.safetensors, the epochs in\n"
      "PATH/history.csv, curves, numbers and pictures in PATH/report.html. SIGINT and SIGTERM save a\n"
      "checkpoint first; --resume goes on bit-identically on the CPU, and on the same GPU with the same\n"
      "libraries: training always is in reproducible mode, without algorithms that add in any order.\n\n" DEGRADE_HELP,
      error);

  if (settings && !fit_recipes_settle (settings, error))
    g_clear_pointer (&settings, settings_free);
  return settings;
}

static gboolean
parse_crop (const char *text, FitPlan *plan, GError **error)
{
  int h, w, end = 0;

  if (!text)
    return TRUE;
  if (sscanf (text, "%dx%d%n", &h, &w, &end) != 2 || text[end] || h < 16 || w < 16 || h > 8192 || w > 8192
      || h % DU_SIZE_MULTIPLE || w % DU_SIZE_MULTIPLE) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
        "--crop=%s: give HEIGHTxWIDTH, both multiples of %d from 16 to 8192", text, DU_SIZE_MULTIPLE);
    return FALSE;
  }
  plan->crop_height = h;
  plan->crop_width = w;
  return TRUE;
}

gboolean
fit_plan_init (FitPlan *plan, const Settings *settings, GError **error)
{
  DuTrainerOptions *trainer = &plan->trainer;

  *plan = (FitPlan){
    .kind = settings_flag (settings, "on-the-fly") ? DATASET_ON_THE_FLY : DATASET_AS_IS,
    .batch = (guint) settings_integer (settings, "batch"),
    .epochs = 25,
    .loaders = (guint) settings_integer (settings, "loaders"),
    .precise_bn = (guint) settings_integer (settings, "precise-bn"),
    .train_metrics = (guint) settings_integer (settings, "train-metrics"),
    .max_bad = (guint) settings_integer (settings, "max-bad"),
    .seed = (guint64) settings_integer (settings, "seed"),
    .warmup = (guint64) settings_integer (settings, "warmup"),
    .rate = settings_number (settings, "lr"),
    .min_rate = settings_number (settings, "min-lr"),
    .checkpoint_minutes = settings_number (settings, "checkpoint-minutes"),
    .val_split = settings_number (settings, "val-split"),
    .schedule = (ScheduleKind) settings_choice (settings, "schedule"),
    .pictures = (PicturesPlace) settings_choice (settings, "pictures"),
    .pictures_mib = settings_number (settings, "pictures-mib"),
    .dtype = (DuDtype) settings_choice (settings, "dtype"),
  };
  if (settings_text (settings, "steps-per-epoch"))
    plan->steps_per_epoch = (guint64) settings_integer (settings, "steps-per-epoch");
  if (settings_text (settings, "minutes")) {
    plan->minutes = settings_number (settings, "minutes");
    plan->epochs = G_MAXUINT;
  }
  if (settings_text (settings, "epochs"))
    plan->epochs = (guint) settings_integer (settings, "epochs");
  if (settings_text (settings, "max-minutes"))
    plan->max_minutes = settings_number (settings, "max-minutes");
  synth_options_init (&plan->synth);
  if (!evaluate_kernels (settings_text (settings, "kernels"), &plan->kernels, &plan->synth, error))
    return FALSE;
  plan->synth.fit = settings_choice (settings, "fit") ? SYNTH_FIT_CROP : SYNTH_FIT_STRETCH;
  if (!fit_recipes_init (plan, settings, error))
    return FALSE;

  du_trainer_options_init (trainer);
  trainer->config.base_width = (int) settings_integer (settings, "base-width");
  trainer->backend = (DuBackendKind) settings_choice (settings, "backend");
  trainer->precision = (DuPrecision) settings_choice (settings, "precision");
  trainer->threads = (int) settings_integer (settings, "threads");
  trainer->device = (int) settings_integer (settings, "device");
  trainer->clip_norm = settings_number (settings, "clip");
  trainer->bn_momentum = settings_number (settings, "bn-momentum");
  trainer->ema_decay = settings_number (settings, "ema");
  if (!parse_crop (settings_text (settings, "crop"), plan, error)
      || !du_bn_parse (settings_text (settings, "bn"), &trainer->config.bn, error)
      || !du_head_parse (settings_text (settings, "head"), &trainer->config.head, error)
      || !du_loss_parse (settings_text (settings, "loss"), &trainer->loss, error)
      || !du_config_check (&trainer->config, error))
    return FALSE;
  if (settings_text (settings, "loss-epsilon"))
    trainer->loss_epsilon = settings_number (settings, "loss-epsilon");
  else
    trainer->loss_epsilon = trainer->loss == DU_LOSS_LOG_MSE ? 1e-4 : 1e-3;
  return TRUE;
}

void
fit_plan_clear (FitPlan *plan)
{
  g_clear_pointer (&plan->kernels, g_free);
  g_clear_pointer (&plan->degrade, degrade_free);
  g_clear_pointer (&plan->conditions, degrade_free);
}

gboolean
fit_paths (const Settings *settings, char **folder, char **weights, GError **error)
{
  static const char suffix[] = ".safetensors";
  char *const *outputs = settings_paths (settings, "output");

  if (!outputs[0] || outputs[1]) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "give one -o FOLDER, where the run and its weights go");
    return FALSE;
  }
  if (g_str_has_suffix (outputs[0], suffix)) {
    *weights = g_strdup (outputs[0]);
    *folder = g_strdup_printf ("%.*s.training", (int) (strlen (outputs[0]) - strlen (suffix)), outputs[0]);
  } else {
    *folder = g_strdup (outputs[0]);
    *weights = g_build_filename (outputs[0], "weights.safetensors", NULL);
  }
  return TRUE;
}

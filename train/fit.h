/* The rooms of `fit`: its settings, its state and the loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FIT_H
#define FIT_H

#include "checkpoint.h"
#include "dataset.h"
#include "evaluate.h"
#include "schedule.h"
#include "progress.h"
#include "settings.h"
#include "triptych.h"

typedef enum
{
  SCHEDULE_PLATEAU,
  SCHEDULE_COSINE,
  SCHEDULE_CONSTANT,
} ScheduleKind;

/* Where batches are made of the decoded pictures. */
typedef enum
{
  PICTURES_AUTO, /* on a GPU that trains, where it can */
  PICTURES_HOST,
  PICTURES_DEVICE,
} PicturesPlace;

/* The settings, resolved. */
typedef struct
{
  DuTrainerOptions trainer;
  SynthOptions synth;
  DatasetKind kind;
  int crop_height, crop_width; /* 0 = whole pictures */
  guint batch, epochs, loaders, precise_bn, train_metrics, max_bad;
  guint64 steps_per_epoch; /* 0 = from the number of samples */
  guint64 seed, warmup;
  double rate, min_rate, minutes, max_minutes, checkpoint_minutes, val_split;
  ScheduleKind schedule;
  PicturesPlace pictures;
  double pictures_mib; /* most that the device may hold of them */
  DuDtype dtype;
  SynthKernel *kernels; /* synth's */
  Degrade *degrade;     /* of the training's samples; NULL = one of the kernels */
  Degrade *conditions;  /* validates, each chain beside each kernel; NULL = none */
} FitPlan;

/* Parses argv; NULL with no error: --help was printed. */
Settings *fit_settings_parse (int argc, char **argv, GError **error);
gboolean fit_plan_init (FitPlan *plan, const Settings *settings, GError **error);
void fit_plan_clear (FitPlan *plan);
/* -o: a folder, or the path of the weights, beside which the run's folder then stands. */
gboolean fit_paths (const Settings *settings, char **folder, char **weights, GError **error);

/* What is known of an epoch when it is over: a line of the history. All numbers are doubles, so that the
 * record can be kept as a list of them. */
typedef struct
{
  double epoch; /* from 1 */
  double steps; /* of the run so far */
  double rate;  /* at the end of the epoch */
  double seconds, validation_seconds;
  double waiting_seconds;      /* of the steps for their pictures */
  double train_loss;           /* mean over the epoch's steps, each before its update, batch statistics */
  double train[METRICS_N];     /* of some of the epoch's samples, after it */
  double validation[METRICS_N];
  double kernel_psnr[METRICS_MAX_KERNELS], kernel_psnr_blurred[METRICS_MAX_KERNELS];
  /* From here on not in the checkpoints of older versions. */
  double kernel_ssim[METRICS_MAX_KERNELS], kernel_ssim_blurred[METRICS_MAX_KERNELS];
} EpochRecord;

/* All that decides how the run goes on, beside the trainer's blocks. */
typedef struct
{
  guint64 serial;   /* of the last checkpoint */
  guint epoch;      /* from 0 */
  guint64 position; /* batches of this epoch that are done */
  guint64 batches;  /* of all epochs */
  guint64 adam_steps; /* those of them that were not skipped */
  double rate;      /* the plateau's */
  double rate_scale; /* halved by each rollback */
  guint skipped_in_row, rollbacks;
  double loss_sum;   /* over this epoch's steps */
  guint64 loss_count;
  double seconds, epoch_seconds; /* at work, all processes of the run together */
  double waiting_seconds;        /* of this epoch, for pictures */
  double best;       /* validation MSE */
  gint64 best_epoch; /* -1 = none */
  gboolean stopped;  /* early */
  EarlyStopping stopping;
  ReduceOnPlateau plateau;
  GArray *history; /* of EpochRecord */
} FitState;

void fit_state_init (FitState *state, const Settings *settings);
void fit_state_clear (FitState *state);
/* Into and out of the groups "state" and "history". A checkpoint of other content is EXIT_WEIGHTS. */
void fit_state_store (const FitState *state, GKeyFile *file);
gboolean fit_state_restore (FitState *state, GKeyFile *file, GError **error);
/* Seconds of a step of the epoch of this index in the history, and of that waiting for its pictures: means, not a
 * number where the epoch had no step. */
void fit_step_time (const FitState *state, guint index, double *step, double *waiting);
/* The history as CSV. */
gboolean fit_history_save (const FitState *state, const FitPlan *plan, const char *path, GError **error);

/* A run. */
typedef struct
{
  Settings *settings;
  FitPlan plan;
  FitState state;
  char *folder, *weights_path, *digest;
  int lock;

  Dataset *data, *validation; /* may be the same */
  DatasetKind validation_kind;
  guint *order, n_train, n_validation; /* a split's indices: training first, then validation; or NULL */
  guint64 steps_per_epoch;

  DuTrainer *trainer;
  gboolean drawn;  /* the trainer has the pictures and makes the batches */
  Checkpoint host; /* the trainer's state, copied; without a header */

  gint64 begun, clock, saved; /* microseconds, monotonic: process, last accounting, last checkpoint */
  Progress progress;
  guint evaluated; /* pictures, for the progress */
  GArray *samples; /* of Triptych: some pictures of the last validation */
} Fit;

/* How an epoch ended. */
typedef enum
{
  EPOCH_OVER,
  EPOCH_AGAIN, /* rolled back */
  EPOCH_LEFT,  /* saved, to leave the program */
  EPOCH_FAILED,
} EpochEnd;

/* fit-data.c */
/* Opens and splits; the plan's sizes are checked against the pictures'. */
gboolean fit_open_data (Fit *fit, GError **error);
void fit_training_order (const Fit *fit, guint epoch, DatasetOrder *order);
/* Of the pictures that a step reads. */
void fit_batch_size (const Fit *fit, int *height, int *width);

/* fit-batches.c */
/* Gives the trainer the pictures where it is to make the batches, and says so. */
gboolean fit_place_pictures (Fit *fit, GError **error);
/* Batches of the state's epoch, in order; wherever they are made they are the same bits. */
typedef struct
{
  Fit *fit;
  int height, width;
  DatasetOrder order;
  Loader *loader; /* NULL where the trainer makes them */
  const float *input, *target;
  DuDraw *draws;  /* NULL where it does not */
  guint64 sample; /* the next one to draw */
} FitBatches;

/* From batch first on, at most n. */
void fit_batches_init (FitBatches *batches, Fit *fit, guint64 first, guint n);
void fit_batches_clear (FitBatches *batches);
/* Then one of the two others for the batch. */
gboolean fit_batches_next (FitBatches *batches, GError **error);
gboolean fit_batches_step (FitBatches *batches, double rate, DuStepResult *result, GError **error);
gboolean fit_batches_bn_add (FitBatches *batches, GError **error);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FitBatches, fit_batches_clear)

/* fit-save.c */
/* Starting weights, g_free: those of --init, whose network then is the one that is trained, or new ones. */
gboolean fit_start_weights (Fit *fit, float **parameters, GError **error);
/* Memory on this side for the trainer's state. */
gboolean fit_allocate_host (Fit *fit, GError **error);
/* The trainer's state into host. */
gboolean fit_download (Fit *fit, GError **error);
/* Time at work since the last call goes into the state. */
void fit_account (Fit *fit);
/* What the run is, in groups of a key file: "run" and "settings". */
GKeyFile *fit_describe (const Fit *fit);
/* downloaded: host is up to date. */
gboolean fit_save_checkpoint (Fit *fit, gboolean downloaded, GError **error);
/* The newest checkpoint's header and blocks; the settings are not touched. */
gboolean fit_load_checkpoint (const char *folder, Checkpoint *checkpoint, GKeyFile *file, GError **error);
/* State and trainer take what the checkpoint holds. */
gboolean fit_restore (Fit *fit, const Checkpoint *checkpoint, GKeyFile *file, GError **error);
/* Back to the newest checkpoint with half the rate; EXIT_DIVERGED when that has been done often enough. */
gboolean fit_roll_back (Fit *fit, const char *why, GError **error);

/* fit-conditions.c */
/* --degrade and --val-degrade become what they read as: a file may change. */
gboolean fit_recipes_settle (Settings *settings, GError **error);
gboolean fit_recipes_init (FitPlan *plan, const Settings *settings, GError **error);
/* What each validation picture goes through: the kernels, then the chains of plan->conditions. */
guint fit_n_conditions (const FitPlan *plan);
typedef enum
{
  CONDITION_LONG,       /* "7x7 sigma 1"; of a chain these four are its text */
  CONDITION_SHORT,      /* "sigma 1" */
  CONDITION_PAGE,       /* "7×7, σ 1" */
  CONDITION_PAGE_SHORT, /* "σ 1" */
  CONDITION_KEY,        /* "7x7_sigma1", "blur_7_1_h264_crf_23" */
} ConditionName;
/* g_free. */
char *fit_condition_name (const FitPlan *plan, guint condition, ConditionName style);

/* fit-epoch.c */
gboolean fit_uses_ema (const Fit *fit);
EpochEnd fit_end_epoch (Fit *fit, GError **error);

/* fit-report.c */
/* Copies the result of a validation where the samples lack one of its kernel. */
gboolean fit_take_sample (Fit *fit, const EvaluateResult *result, GError **error);
/* Those of the best epoch, into the run's folder: the page has them from there. */
gboolean fit_save_samples (const Fit *fit, GError **error);
/* report.html and curves.png. EXIT_IO. */
gboolean fit_report_save (const Fit *fit, GError **error);

/* fit.c */
double fit_rate_now (const Fit *fit);

#endif

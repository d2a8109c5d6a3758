/* libdeblurunet: the U-Net of deblurunet, to run and to train.
 *
 * Pictures at this boundary are float32, R'G'B' in [0,1], NHWC: sample (n, y, x, c) stands at
 * ((n * height + y) * width + x) * 3 + c. Functions that can fail return FALSE or NULL and set
 * a GError of the domain DU_ERROR, whose message is a sentence for the user: it names the file or
 * the value, the reason, and what to do. On failure nothing is allocated and outputs are untouched
 * unless a function says otherwise. No function prints, exits or aborts; but GLib does where it cannot have a few
 * bytes, and OpenMP's runtime where it cannot make its threads. Pointers may be NULL where a function says so, and those
 * given to functions that free or unref. Structs named options, config and info are read during the call only. Configs given to du_config_ functions other than du_config_check() are such as it takes.
 *
 * Objects live in one process: a child that fork() made without exec() may not use those of its parent, whose threads
 * it has not got.
 *
 * Until version 1.0 structs may grow and enumerations have new values with any minor version (0.1, 0.2), and a program
 * is to be compiled anew then; the init functions give new fields the values that mean what was before.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DEBLURUNET_H
#define DEBLURUNET_H

#include <glib.h>

G_BEGIN_DECLS

#define DU_API __attribute__ ((visibility ("default")))

/* ---- errors ------------------------------------------------------------------------------ */

#define DU_ERROR (du_error_quark ())
typedef enum
{
  DU_ERROR_ARGUMENT,    /* a value out of its range */
  DU_ERROR_NOT_FOUND,   /* no such file */
  DU_ERROR_OPEN,        /* a file that cannot be opened: permission, a directory, a FIFO */
  DU_ERROR_IO,          /* reading or writing failed: I/O error, disk full, read-only */
  DU_ERROR_FORMAT,      /* not a weights file, a damaged one, or one of another network */
  DU_ERROR_MEMORY,      /* not enough memory */
  DU_ERROR_UNAVAILABLE, /* the back end or the precision cannot work on this machine */
  DU_ERROR_BACKEND,     /* a call of the back end's library failed */
  DU_ERROR_CANCELLED,   /* the caller wanted no more of it */
} DuError;

DU_API GQuark du_error_quark (void);

/* Of this header; DU_CHECK_VERSION (0, 1, 0): it is this version or a later one. */
#define DU_VERSION_MAJOR 0
#define DU_VERSION_MINOR 1
#define DU_VERSION_MICRO 0
#define DU_CHECK_VERSION(major, minor, micro) \
  (DU_VERSION_MAJOR > (major) || (DU_VERSION_MAJOR == (major) && DU_VERSION_MINOR > (minor)) \
      || (DU_VERSION_MAJOR == (major) && DU_VERSION_MINOR == (minor) && DU_VERSION_MICRO >= (micro)))
/* Of the library that runs: "0.1.0", static. */
DU_API const char *du_version (void);

/* ---- the network ------------------------------------------------------------------------- */

enum
{
  DU_TILE_HEIGHT = 256, /* the size the network is trained and run at, pixels */
  DU_TILE_WIDTH = 448,
  DU_LEVELS = 5,            /* level l has 1/2^l of the height and width */
  DU_SIZE_MULTIPLE = 16,    /* height and width of a network input are multiples of this */
  DU_BASE_WIDTH_MAX = 256,
};

/* What follows the last 1x1 convolution. */
typedef enum
{
  DU_HEAD_SIGMOID,  /* out = sigmoid (conv): the paper's */
  DU_HEAD_RESIDUAL, /* out = picture + conv, where training starts at the identity */
} DuHead;

/* The blocks of the network in order of execution; bit (1 << block) of DuConfig.bn. */
typedef enum
{
  DU_BLOCK_ENC0, DU_BLOCK_ENC1, DU_BLOCK_ENC2, DU_BLOCK_ENC3, DU_BLOCK_MID,
  DU_BLOCK_DEC3, DU_BLOCK_DEC2, DU_BLOCK_DEC1, DU_BLOCK_DEC0,
  DU_N_BLOCKS,
} DuBlock;

/* Which of the networks; all else is derived from the table in unet.c. */
typedef struct
{
  int base_width; /* channels of level 0, 1..DU_BASE_WIDTH_MAX; level l has base_width << l */
  guint bn;       /* bit set of DuBlock: those followed by batch normalisation */
  DuHead head;
} DuConfig;

/* The published network: base width 32, batch normalisation after enc0, enc2, mid, dec2 and dec0,
 * sigmoid head. */
DU_API void du_config_init (DuConfig *config);
/* DU_ERROR_ARGUMENT names the field that is out of range. */
DU_API gboolean du_config_check (const DuConfig *config, GError **error);
/* "enc0,enc2,mid,dec2,dec0", "none" or "" <-> bit set. The string is the caller's, g_free. */
DU_API char *du_bn_to_string (guint bn);
DU_API gboolean du_bn_parse (const char *text, guint *bn, GError **error);
/* NULL for a value that is none. */
DU_API const char *du_head_name (DuHead head);
DU_API gboolean du_head_parse (const char *text, DuHead *head, GError **error);

/* One row of the network's table: one fused operation. */
typedef struct
{
  const char *name;      /* "enc0.conv1", static */
  const char *operation; /* "conv 3x3 + ReLU + BN", static */
  const char *input;     /* name of the first source, "picture" for the network's input; static */
  const char *skip;      /* name of the second source, or NULL; static */
  int height, width, channels; /* of the output, for the given input size */
  gsize parameters;      /* all of the row's, running statistics included */
} DuLayer;

DU_API guint du_config_n_layers (const DuConfig *config);
/* All zero for an index that is not below du_config_n_layers(). */
DU_API void du_config_layer (const DuConfig *config, guint index, int height, int width, DuLayer *layer);
/* Parameters, running statistics included, and of them those that training changes by gradient. */
DU_API gsize du_config_n_parameters (const DuConfig *config);
DU_API gsize du_config_n_trainable (const DuConfig *config);
/* Floating-point operations (a multiply-add is two) of one forward pass over height x width pixels. */
DU_API double du_config_flops (const DuConfig *config, int height, int width);

/* One named tensor of the flat parameter block. All parameters of a network stand in one block of
 * float32: first the trainable ones in the order of the table, then the running statistics. */
typedef struct
{
  char name[32]; /* "dec3.up.weight" */
  int rank;      /* 1 or 4 */
  int shape[4];  /* PyTorch's: conv [out, in, h, w], up-conv [in, out, h, w], vectors [channels] */
  gsize offset, count; /* in floats, into the block */
  gboolean trainable;
} DuTensorInfo;

DU_API guint du_config_n_tensors (const DuConfig *config);
/* All zero for an index that is not below du_config_n_tensors(). */
DU_API void du_config_tensor (const DuConfig *config, guint index, DuTensorInfo *tensor);
/* Fills a block of du_config_n_parameters() floats to start training from: Glorot-uniform weights
 * (Glorot & Bengio 2010, eq. 16), zero biases, BN scale 1, shift 0, running mean 0, variance 1; a
 * residual head's weights are zero. The same seed gives the same block on every machine. */
DU_API void du_config_initialise (const DuConfig *config, guint64 seed, float *parameters);

/* ---- models: weights in memory ----------------------------------------------------------- */

/* Number format of a weights file's tensors. */
typedef enum
{
  DU_DTYPE_F32,
  DU_DTYPE_F16,
  DU_DTYPE_BF16,
} DuDtype;

/* Immutable, reference-counted, usable from any thread. */
typedef struct _DuModel DuModel;

/* Loads a safetensors file, strictly. While a model of the same file (device, inode, size,
 * modification time) is alive in this process, that one is returned with a new reference, so that many
 * users share one copy. */
DU_API DuModel *du_model_load (const char *path, GError **error);
/* The same of a file's content, which is read during the call only. name: for messages. Shared with nobody. */
DU_API DuModel *du_model_load_memory (const char *name, const void *bytes, gsize size, GError **error);
/* Copies the block of du_config_n_parameters() floats. metadata: string -> string, or NULL; copied, but for
 * the keys that a file gets from the model itself (format, format_version, base_width, bn, head, tile,
 * sha256, header_sha256). */
DU_API DuModel *du_model_new (const DuConfig *config, const float *parameters, GHashTable *metadata,
    GError **error);
DU_API DuModel *du_model_ref (DuModel *model);
DU_API void du_model_unref (DuModel *model);
DU_API const DuConfig *du_model_config (const DuModel *model);
/* The flat block, owned by the model. */
DU_API const float *du_model_parameters (const DuModel *model);
/* A value of the file's metadata, or NULL; owned by the model. */
DU_API const char *du_model_metadata (const DuModel *model, const char *key);
/* All keys, sorted, NULL-terminated; g_strfreev. */
DU_API char **du_model_metadata_keys (const DuModel *model);
/* A one-line warning about the values (all zero), or NULL; owned by the model. */
DU_API const char *du_model_warning (const DuModel *model);
/* The path it was loaded from, or NULL. */
DU_API const char *du_model_path (const DuModel *model);
/* Writes a weights file atomically: a temporary file beside it, fsync, rename, fsync of the folder.
 * NaN, Inf and negative running variances are refused, and what rounding to the format makes infinite
 * (DU_ERROR_ARGUMENT). An old file at path stays whole on any failure. */
DU_API gboolean du_model_save (const DuModel *model, const char *path, DuDtype dtype, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DuModel, du_model_unref)

/* ---- sessions: a model made ready on a back end -------------------------------------------- */

typedef enum
{
  DU_BACKEND_AUTO, /* CUDA where a device works, else oneDNN */
  DU_BACKEND_CPU,  /* oneDNN */
  DU_BACKEND_CUDA,
  DU_BACKEND_REFERENCE, /* plain C: slow, the oracle of the tests */
} DuBackendKind;

typedef enum
{
  DU_PRECISION_AUTO, /* the fastest that the device computes natively: bf16 or f32 on a CPU, f16 on a GPU */
  DU_PRECISION_F32,
  DU_PRECISION_BF16,
  DU_PRECISION_F16,  /* GPU only */
  DU_PRECISION_TF32, /* GPU only: f32, but products on tensor cores, of factors rounded to 10 bits */
} DuPrecision;

typedef struct
{
  DuBackendKind backend;
  DuPrecision precision;
  int threads; /* CPU threads of the network, 0 = one per core available to this process */
  int device;  /* CUDA device, -1 = the first that works */
  /* NULL, or the CUcontext in which CUDA is to work, instead of the primary one of the device; device is then
   * -1 or the context's. All calls to CUDA and its libraries are made, and all handles and memory belong, in
   * that context, in threads of the session's own: no caller need make it current, and none finds another one
   * current than before. The context has to live as long as the session: cuda_release, where not NULL, is
   * called with cuda_owner once, when the library no longer needs it; that is when the session is gone, or
   * within du_session_open() where that fails or gives a session that was open already. In any thread. */
  void *cuda_context;
  void *cuda_owner;
  GDestroyNotify cuda_release;
} DuSessionOptions;

/* Reference-counted, usable from any thread: forward passes of several callers run one after the other,
 * each on all threads. Sessions of equal model and options (cuda_owner and cuda_release left aside) are one, so
 * instances share packed weights, activations and threads. */
typedef struct _DuSession DuSession;

DU_API void du_session_options_init (DuSessionOptions *options);
DU_API DuSession *du_session_open (DuModel *model, const DuSessionOptions *options, GError **error);
DU_API DuSession *du_session_ref (DuSession *session);
DU_API void du_session_unref (DuSession *session);
/* What runs: "onednn", "cuda" or "reference"; "f32", "bf16", "f16" or "tf32"; the device's name. Owned by the
 * session. */
DU_API const char *du_session_backend (const DuSession *session);
DU_API const char *du_session_precision (const DuSession *session);
DU_API const char *du_session_device (const DuSession *session);
/* What du_session_note() begins with where a back end for GPUs is installed and cannot be used. */
#define DU_NOTE_NO_GPU "the back end is the CPU"
/* Why backend=auto or precision=auto did not take the better choice, or NULL; owned by the session. What is to be said
 * of how a GPU does frames is there behind the first few. */
DU_API const char *du_session_note (const DuSession *session);
DU_API DuModel *du_session_model (const DuSession *session);
/* output = network (input), both [n, height, width, 3], height and width multiples of
 * DU_SIZE_MULTIPLE; they may be the same memory. The first call of a size prepares it; the last few
 * sizes stay prepared. */
DU_API gboolean du_session_forward (DuSession *session, int n, int height, int width, const float *input,
    float *output, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DuSession, du_session_unref)

/* ---- frames -------------------------------------------------------------------------------- */

/* Named as GStreamer names them; 16-bit ones are in the machine's little-endian order. */
typedef enum
{
  DU_FORMAT_RGB, DU_FORMAT_BGR,
  DU_FORMAT_RGBx, DU_FORMAT_BGRx, DU_FORMAT_xRGB, DU_FORMAT_xBGR,
  DU_FORMAT_RGBA, DU_FORMAT_BGRA, DU_FORMAT_ARGB, DU_FORMAT_ABGR,
  DU_FORMAT_GRAY8,
  DU_FORMAT_I420, DU_FORMAT_YV12, DU_FORMAT_NV12, DU_FORMAT_NV21,
  DU_FORMAT_YUY2, DU_FORMAT_UYVY, DU_FORMAT_Y42B, DU_FORMAT_Y444,
  DU_FORMAT_GRAY16_LE, DU_FORMAT_I420_10LE, DU_FORMAT_P010_10LE, DU_FORMAT_ARGB64,
  DU_N_FORMATS,
} DuFormat;

/* NULL for a value that is none. */
DU_API const char *du_format_name (DuFormat format);
/* DU_N_FORMATS for a name that is not one of ours. */
DU_API DuFormat du_format_from_name (const char *name);

/* Y'CbCr matrix (ITU-T H.273 MatrixCoefficients); RGB and gray ignore it. */
typedef enum
{
  DU_MATRIX_BT601, DU_MATRIX_BT709, DU_MATRIX_BT2020, DU_MATRIX_FCC, DU_MATRIX_SMPTE240M,
} DuMatrix;

typedef struct
{
  DuFormat format;
  int width, height; /* pixels, 1..32767 */
  DuMatrix matrix;
  gboolean full_range; /* 0..255 instead of 16..235 (16..240 for chroma), in 8-bit terms */
  /* Chroma siting (H.273 ChromaLocType): TRUE = between two luma samples, FALSE = on the first. MPEG-2's
   * is x FALSE, y TRUE; JPEG's both TRUE. Ignored where chroma is not subsampled in that direction. */
  gboolean chroma_centred_x, chroma_centred_y;
} DuFrameInfo;

/* Where a frame is. */
typedef enum
{
  DU_MEMORY_HOST,
  DU_MEMORY_CUDA, /* the GPU's memory: data are device pointers (CUdeviceptr) that are good in the context in
                   * which the session works. Only where du_session_backend() is "cuda" */
} DuMemory;

/* Memory of one frame, the caller's. Planes in the format's own order (YV12: Y, V, U). */
typedef struct
{
  guint8 *data[4];
  int stride[4]; /* bytes from line to line, may be larger than a line, may be negative */
  DuMemory memory; /* of all planes */
} DuFrame;

/* ---- deblurrer: frame in, frame out ---------------------------------------------------------- */

typedef enum
{
  DU_TILES_FIXED,    /* DU_TILE_HEIGHT x DU_TILE_WIDTH, the size that the network is trained at */
  DU_TILES_BALANCED, /* as many tiles, as small as cover the frame, and no larger than that: fewer pixels.
                      * Each size of frames has tiles of its own, and a session keeps few sizes prepared */
} DuTileMode;

typedef struct
{
  int overlap; /* pixels that neighbouring tiles share at least, 0..128 */
  int batch;   /* tiles per forward pass, 0 = the back end's choice */
  DuTileMode tile_mode;
} DuDeblurrerOptions;

typedef struct
{
  guint64 frames;
  guint tiles_per_frame;
  int tile_height, tile_width; /* pixels */
  /* Of the last frame; where the back end does frames on its device, all is network_ms. */
  double gather_ms, network_ms, scatter_ms;
  double gather_ms_total, network_ms_total, scatter_ms_total;
} DuDeblurrerStats;

/* For one caller at a time; may move between threads. */
typedef struct _DuDeblurrer DuDeblurrer;

DU_API void du_deblurrer_options_init (DuDeblurrerOptions *options);
/* For frames of one kind. A reference to the session is taken. DU_ERROR_ARGUMENT names what is out of range. */
DU_API DuDeblurrer *du_deblurrer_new (DuSession *session, const DuFrameInfo *info,
    const DuDeblurrerOptions *options, GError **error);
DU_API void du_deblurrer_free (DuDeblurrer *deblurrer);
/* Another session from the next frame on; a reference is taken. */
DU_API void du_deblurrer_set_session (DuDeblurrer *deblurrer, DuSession *session);
/* cancel: NULL, or the caller's, which any thread may set to something else than 0 with g_atomic_int_set():
 * du_deblurrer_process() then goes on no further than to the end of the batch at hand, and fails with
 * DU_ERROR_CANCELLED. To stay where it is as long as it is set here. */
DU_API void du_deblurrer_set_cancel (DuDeblurrer *deblurrer, const int *cancel);
/* out = in + strength * (network (in) - in), in the source's own format; strength in [0,1], and 0 copies
 * every sample bit for bit. Alpha (straight, not multiplied into the colours) and padding samples are copied. in and out
 * do not overlap; a plane that is the same one in both is refused. On error out's content is undefined.
 * Each of in and out may be in either memory. Frames in CUDA memory do not cross the bus; they are not waited
 * for: what writes in and what reads out is to be done before the call. out is ready on return. Where the
 * session's back end is not CUDA they are refused (DU_ERROR_UNAVAILABLE). */
DU_API gboolean du_deblurrer_process (DuDeblurrer *deblurrer, const DuFrame *in, DuFrame *out,
    double strength, GError **error);
DU_API void du_deblurrer_get_stats (const DuDeblurrer *deblurrer, DuDeblurrerStats *stats);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DuDeblurrer, du_deblurrer_free)

/* ---- losses and training --------------------------------------------------------------------- */

typedef enum
{
  DU_LOSS_MSE,         /* mean of squared differences */
  DU_LOSS_MAE,         /* mean of absolute differences */
  DU_LOSS_SSIM,        /* 1 - SSIM (Wang et al. 2004; 11x11 Gaussian, sigma 1.5, K 0.01 and 0.03) */
  DU_LOSS_CHARBONNIER, /* mean of sqrt (d^2 + epsilon^2) (Charbonnier et al. 1994) */
  DU_LOSS_LOG_MSE,     /* mean over the samples n of log (MSE_n + epsilon) */
} DuLoss;

/* NULL for a value that is none. */
DU_API const char *du_loss_name (DuLoss loss);
DU_API gboolean du_loss_parse (const char *text, DuLoss *loss, GError **error);
/* Value of a loss between two arrays [n, height, width, channels] in [0,1]; gradient (d value /
 * d prediction) is written where not NULL. SSIM needs height and width of at least 11. epsilon is read by
 * the last two. The value is summed in double. NaN, and no gradient, for a loss that is none, for pictures too small
 * for SSIM, and where memory is short. */
DU_API double du_loss (DuLoss loss, double epsilon, int n, int height, int width, int channels,
    const float *prediction, const float *target, float *gradient);
/* Mean SSIM of one picture pair as tf.image.ssim defines it: valid windows only, mean over windows and
 * channels, max_val 1. NaN for a picture smaller than 11x11, and where memory is short. */
DU_API double du_ssim (int height, int width, int channels, const float *a, const float *b);

typedef struct
{
  DuConfig config;
  DuBackendKind backend;
  DuPrecision precision; /* of activations; parameters, gradients and moments stay float32. auto = f32 */
  int threads, device;   /* as in DuSessionOptions */
  DuLoss loss;
  double loss_epsilon;   /* Charbonnier 1e-3, log-MSE 1e-4 */
  double beta1, beta2, epsilon; /* Adam (Kingma & Ba 2015, algorithm 1): 0.9, 0.999, 1e-7 (Keras's), above 0 */
  double clip_norm;      /* largest global gradient norm, 0 = no clipping */
  double bn_momentum;    /* running = momentum * running + (1 - momentum) * batch; Keras's 0.99 */
  double ema_decay;      /* average of the parameters over steps: ema = d * ema + (1 - d) * p; 0 = none */
} DuTrainerOptions;

typedef struct
{
  double loss;          /* of this batch, before the update */
  double gradient_norm; /* global L2 norm before clipping */
  gboolean skipped;     /* loss or gradient was not finite: nothing was updated, running statistics
                         * included */
} DuStepResult;

/* Host memory that a trainer's state is copied to and from; each block the caller's. get_state leaves out the
 * blocks that are NULL. */
typedef struct
{
  float *parameters; /* du_config_n_parameters() floats */
  float *moment1, *moment2; /* du_config_n_trainable() floats each */
  float *ema;        /* du_config_n_parameters() floats; NULL where ema_decay is 0 */
  guint64 step;      /* Adam steps done */
} DuTrainerState;

/* Bytes that a trainer takes for steps of one size, on the device where that has memory of its own. From the
 * network's sizes, so about: libraries' own workspaces come on top, and what predictions of other sizes take. */
typedef struct
{
  gsize parameters;  /* they, their gradient, Adam's moments, the average, and copies packed for the library */
  gsize activations; /* of all rows, pictures and what is kept beside them for the backward pass */
  gsize gradients;   /* d loss / d activation, as many as are needed at a time */
  gsize working;     /* of the row that wants most */
} DuTrainerMemory;

/* To be used from the thread that made it, whose OpenMP regions, du_loss()'s and du_ssim()'s among them, take as many
 * threads as the trainer once it has computed on a CPU. */
typedef struct _DuTrainer DuTrainer;

/* Keras's constants, MSE, the published network. */
DU_API void du_trainer_options_init (DuTrainerOptions *options);
/* Of steps on n pictures [n, height, width, 3]; nothing is opened or allocated. */
DU_API gboolean du_trainer_memory (const DuTrainerOptions *options, int n, int height, int width,
    DuTrainerMemory *memory, GError **error);
/* parameters: du_config_n_parameters() floats to start from, copied. */
DU_API DuTrainer *du_trainer_new (const DuTrainerOptions *options, const float *parameters, GError **error);
DU_API void du_trainer_free (DuTrainer *trainer);
/* One step on n pictures [n, height, width, 3]: forward with batch statistics, loss, backward, Adam at
 * the given learning rate, running statistics, EMA. Deterministic: equal state and input give
 * equal bits for an equal number of threads, or on the same GPU with the same libraries. */
DU_API gboolean du_trainer_step (DuTrainer *trainer, int n, int height, int width, const float *input,
    const float *target, double learning_rate, DuStepResult *result, GError **error);
/* Forward with the running statistics, as a session would, of the current parameters (ema FALSE) or of
 * their average. */
DU_API gboolean du_trainer_predict (DuTrainer *trainer, gboolean ema, int n, int height, int width,
    const float *input, float *output, GError **error);
/* Recomputes the running statistics over data ("precise BN", Wu & Johnson 2021, section 3.1): begin,
 * then add batches, then end, which writes the mean over the batches into the running statistics of the
 * current parameters (ema FALSE) or of their average. Steps in between are not allowed. */
DU_API gboolean du_trainer_bn_begin (DuTrainer *trainer, gboolean ema, GError **error);
/* A batch that is refused does not count. */
DU_API gboolean du_trainer_bn_add (DuTrainer *trainer, int n, int height, int width, const float *input,
    GError **error);
DU_API gboolean du_trainer_bn_end (DuTrainer *trainer, GError **error);
/* ---- batches that the back end makes of pictures which it keeps ---- */

enum
{
  DU_BLUR_RADIUS_MAX = 49, /* pixels */
};

/* A separable blur with weights in 1/256, [0] the centre's; weights[0] and twice the others up to radius make
 * 256. Horizontal sums are kept in 1/256 and only the end result is rounded, half up; what lies outside of a
 * picture is reflected at the middle of its border pixels. Radius 0 with weight 256 leaves a picture as it is. */
typedef struct
{
  int radius; /* 0..DU_BLUR_RADIUS_MAX */
  guint16 weights[DU_BLUR_RADIUS_MAX + 1];
} DuBlur;

/* to = height x width pixels of an 8-bit R'G'B' picture [picture_height, picture_width, 3] from row top and
 * column left on, which may lie outside of it, as if all of it had been blurred. to is dense and apart from it.
 * Thread-safe. */
DU_API void du_blur_part (const DuBlur *blur, int picture_height, int picture_width, const guint8 *from, int top,
    int left, int height, int width, guint8 *to);

/* 8-bit R'G'B' pictures of one size, [height, width, 3] each, and blurs. */
typedef struct
{
  int height, width; /* pixels */
  guint n, n_blurs;  /* at least 1 each */
  const guint8 *const *pictures;
  const DuBlur *blurs;
} DuPictureSet;

/* One sample of a batch: the place of a crop, in pixels, of two pictures; the first, blurred as if it were all
 * blurred, is the network's input, the second the target. Flips come last. */
typedef struct
{
  guint input, target; /* of the set's pictures */
  guint blur;          /* of its blurs */
  int top, left;
  gboolean flip_x, flip_y; /* left-right, up-down */
} DuDraw;

/* Copies pictures and blurs to where the trainer computes: n * height * width * 3 bytes there, in the place of
 * those of an earlier call. set NULL: none any more. DU_ERROR_MEMORY where there is no room for them. */
DU_API gboolean du_trainer_set_pictures (DuTrainer *trainer, const DuPictureSet *set, GError **error);
/* As du_trainer_step() and du_trainer_bn_add() on n samples of the pictures, crops of height x width. All back
 * ends make the same bits of a sample. */
DU_API gboolean du_trainer_step_drawn (DuTrainer *trainer, int n, int height, int width, const DuDraw *draws,
    double learning_rate, DuStepResult *result, GError **error);
DU_API gboolean du_trainer_bn_add_drawn (DuTrainer *trainer, int n, int height, int width, const DuDraw *draws,
    GError **error);

DU_API gboolean du_trainer_get_state (DuTrainer *trainer, DuTrainerState *state, GError **error);
DU_API gboolean du_trainer_set_state (DuTrainer *trainer, const DuTrainerState *state, GError **error);
DU_API const char *du_trainer_backend (const DuTrainer *trainer);
DU_API const char *du_trainer_precision (const DuTrainer *trainer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DuTrainer, du_trainer_free)

G_END_DECLS

#endif

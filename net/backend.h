/* The contract of a back end: one const table of functions. A row of the network's table (unet.h) is one
 * operation here. Every slot is filled by every back end unless its comment says what NULL means.
 *
 * All activations are NHWC, dense (but see joins), in the context's activation type, save the network's picture,
 * its prediction and the target, which are float32. Parameters, gradients, moments and statistics are float32.
 *
 * Threads: all calls on a context come from the thread that opened it, where a slot does not say otherwise.
 * Errors: FALSE or NULL with a GError; outputs are then undefined, and nothing leaks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_BACKEND_H
#define DU_BACKEND_H

#include "frame.h"
#include "tiles.h"

enum
{
  DU_FRAMES_IN_FLIGHT = 2, /* one on its way to or from the device beside one in the network */
};

typedef struct _DuContext DuContext; /* each back end's own */
typedef struct _DuBuffer DuBuffer;   /* memory of the back end's device */
typedef struct _DuOp DuOp;           /* one row prepared for one shape */
typedef struct _DuFrames DuFrames;   /* frames of one kind on the device, cut by one plan */
typedef struct _DuPictures DuPictures; /* a DuPictureSet on the device */

enum
{
  DU_RESULTS = 4, /* numbers that a context has for results() */
};

typedef enum
{
  DU_TYPE_F32,
  DU_TYPE_BF16,
  DU_TYPE_F16,
} DuType;

typedef struct
{
  DuType type; /* of activations */
  int threads; /* CPU threads, at least 1; a GPU ignores it */
  int device;  /* GPU, -1 = the first that works; a CPU ignores it */
  gboolean tf32; /* a GPU may round the factors of float32 products to 10 bits; a CPU ignores it */
  /* The same library calls in every process, so the same bits; else a GPU takes those that it measures to be
   * fastest. Within a process results are the same either way. A CPU ignores it. */
  gboolean reproducible;
  void *cuda_context; /* the CUcontext to work in, NULL = the device's primary one; a CPU ignores it */
} DuContextOptions;

typedef enum
{
  DU_MODE_INFERENCE, /* forward only; BN folded into scale and shift */
  DU_MODE_TRAINING,  /* forward with batch statistics, backward. The op keeps what its backward needs
                      * (post-ReLU values, batch statistics, the pool's positions) until its next forward */
} DuMode;

typedef struct
{
  DuRowKind kind;
  DuMode mode;
  DuHead head;      /* DU_ROW_HEAD only */
  gboolean bn;      /* DU_ROW_CONV only */
  gboolean picture; /* the first source is the picture: float32, 3 channels */
  int n, height, width; /* of the OUTPUT; a pool's input is twice, an up-conv's half as high and wide */
  int channels_in;      /* of the first source */
  int channels_skip;    /* of the second source; 0 = none. HEAD: 3, the picture, read when residual */
  int channels_out;
  /* Inference only. UP: behind channels_out each pixel of the output has room for channels_skip more, of the row
   * which reads both. CONV: its first source is such an output, and the second one may be put there. See joins. */
  gboolean joined;
} DuOpShape;

/* Parameters of a row: offsets (floats) into a buffer with the network's flat block, in PyTorch's layouts. */
typedef struct
{
  const DuBuffer *block;
  DuRowOffsets at;
} DuOpParameters;

typedef struct
{
  const DuBuffer *input; /* first source */
  const DuBuffer *skip;  /* second source, NULL where the shape has none; HEAD: the picture */
  DuBuffer *output;      /* overwritten; never aliases a source. HEAD: float32 */
  /* DU_MODE_TRAINING with BN only: batch mean [c], then unbiased batch variance [c], float32 overwritten
   * at statistics_at. */
  DuBuffer *statistics;
  gsize statistics_at;
} DuForward;

/* Gradients are d loss / d x; activations' in the activation type, the prediction's in float32. */
typedef struct
{
  const DuBuffer *input, *skip, *output; /* as the forward read and wrote them, unchanged since */
  DuBuffer *gradient_output; /* read; may be used as scratch and is undefined afterwards */
  DuBuffer *gradient_input;  /* NULL: not wanted (the picture's never is) */
  DuBuffer *gradient_skip;   /* NULL: not wanted */
  gboolean accumulate_input, accumulate_skip; /* add to what stands there instead of overwriting it */
  /* A block of the parameters' layout; the row's trainable tensors are overwritten at the offsets that load
   * was given. NULL for rows without parameters. */
  DuBuffer *gradient_parameters;
} DuBackward;

typedef struct
{
  double learning_rate, beta1, beta2, epsilon;
  guint64 step;  /* of this update, from 1 */
  double scale;  /* gradients are multiplied by it first: clipping */
} DuAdam;

typedef gboolean (*DuFrameWork) (gpointer data, GError **error);

typedef struct _DuBackend
{
  const char *name; /* "onednn" */

  /* DU_ERROR_UNAVAILABLE where the machine or the type cannot be served. */
  DuContext *(*open) (const DuContextOptions *options, GError **error);
  /* All its ops and buffers are freed before. */
  void (*close) (DuContext *context);
  /* The device's name for a person, the context's own. */
  const char *(*device) (const DuContext *context);

  /* count elements of the type, undefined content. */
  DuBuffer *(*buffer_new) (DuContext *context, DuType type, gsize count, GError **error);
  void (*buffer_free) (DuContext *context, DuBuffer *buffer); /* NULL is allowed */
  /* Elements [at, at + count) of a buffer as one of their own, to be freed before it. NULL where sub_batch is. */
  DuBuffer *(*buffer_part) (DuContext *context, DuBuffer *buffer, gsize at, gsize count, GError **error);
  /* Between host float32 and a buffer, which may be of any type (rounded to nearest even). */
  gboolean (*upload) (DuContext *context, DuBuffer *buffer, gsize at, const float *values, gsize count,
      GError **error);
  gboolean (*download) (DuContext *context, const DuBuffer *buffer, gsize at, float *values, gsize count,
      GError **error);

  /* channels may be any number >= 1, sizes any >= 1; with ops of one context only one runs at a time,
   * so scratch memory may be shared between them. */
  DuOp *(*prepare) (DuContext *context, const DuOpShape *shape, GError **error);
  void (*op_free) (DuContext *context, DuOp *op); /* NULL is allowed */
  /* Takes the row's parameters in: packs, converts, folds BN. To be called before the first forward and
   * whenever the block has changed; the block stays in place for as long as the op is used. In inference
   * the op keeps no reference to the block. */
  gboolean (*load) (DuContext *context, DuOp *op, const DuOpParameters *parameters, GError **error);
  gboolean (*forward) (DuContext *context, DuOp *op, const DuForward *args, GError **error);
  /* After a forward of the same op in DU_MODE_TRAINING. NULL in a back end that only infers. */
  gboolean (*backward) (DuContext *context, DuOp *op, const DuBackward *args, GError **error);

  /* As du_loss(); gradient (float32, overwritten) may not be NULL. The value becomes the context's result of that
   * number, below DU_RESULTS. NULL as backward. */
  gboolean (*loss) (DuContext *context, DuLoss loss, double epsilon, int n, int height, int width,
      const DuBuffer *prediction, const DuBuffer *target, DuBuffer *gradient, guint result, GError **error);
  /* L2 norm of count floats, not finite if any is not; a result as loss's. NULL as backward. */
  gboolean (*norm) (DuContext *context, const DuBuffer *values, gsize count, guint result, GError **error);
  /* Waits for results [0, count), which loss and norm have been asked for: so that a step waits but once. NULL as
   * backward. */
  gboolean (*results) (DuContext *context, double *values, guint count, GError **error);
  /* One Adam update of the first count floats (Kingma & Ba 2015, algorithm 1). NULL as backward. */
  gboolean (*adam) (DuContext *context, const DuAdam *adam, gsize count, DuBuffer *parameters,
      const DuBuffer *gradient, DuBuffer *moment1, DuBuffer *moment2, GError **error);
  /* to = decay * to + (1 - decay) * from over floats [at, at + count) of to and [from_at, ...) of from: the
   * average of the parameters, the running statistics. NULL as backward. */
  gboolean (*blend) (DuContext *context, double decay, DuBuffer *to, gsize at, const DuBuffer *from,
      gsize from_at, gsize count, GError **error);

  /* A copy of the set, which is done with on return, to make batches of. DU_ERROR_MEMORY where it has no room.
   * These three are NULL as backward. */
  DuPictures *(*pictures_new) (DuContext *context, const DuPictureSet *set, GError **error);
  void (*pictures_free) (DuContext *context, DuPictures *pictures); /* NULL is allowed */
  /* n samples into input and target, float32 [n, height, width, 3], overwritten; target may be NULL. draws are
   * within the set, and done with on return. */
  gboolean (*pictures_draw) (DuContext *context, DuPictures *pictures, int n, int height, int width,
      const DuDraw *draws, DuBuffer *input, DuBuffer *target, GError **error);

  /* Waits until everything asked for is done; NULL where every call is complete on return. */
  gboolean (*synchronise) (DuContext *context, GError **error);

  /* In inference an up-conv is to write where the next row wants both of its sources side by side, pixels of so many
   * channels or a multiple of it; 0 = activations are dense, all of them. */
  int joins;
  /* Samples of a batch that inference is to take through the rows of the first level at a time, where one sample
   * of such a row's output has so many bytes; 0 = all of them. For devices whose cache then still has what the row
   * before wrote, and for less memory. NULL as 0. */
  int (*sub_batch) (const DuContext *context, gsize bytes);
  /* Tiles of a frame for one forward pass at most, where the user leaves that to the back end; 0 means 1. And bytes
   * of activations and working memory that it may take then; 0 = any. */
  int batch;
  gsize memory;
  /* Frames on the device: all of these are NULL where the CPU does frames (deblurrer.c). A frame goes begin,
   * then run, with gather and blend in turns within it, from tile 0 on to the last, then end, then wait; one that is not ended is
   * dropped by synchronise. All but wait return at once. Tiles are numbered row by row. in and out are the
   * host's memory or the device's (DuFrame), which then is not waited for. */
  DuFrames *(*frames_new) (DuContext *context, const DuFrameKind *kind, const DuTilePlan *plan,
      GError **error);
  void (*frames_free) (DuContext *context, DuFrames *frames); /* none is in flight; NULL is allowed */
  /* Takes in a frame, which stays as it is until wait. At most DU_FRAMES_IN_FLIGHT are between begin and wait,
   * those of all DuFrames together. */
  gboolean (*frames_begin) (DuContext *context, DuFrames *frames, const DuFrame *in, float strength,
      GError **error);
  /* Tiles [first, first + n) as the network sees them, to picture [n, tile height, tile width, 3]. */
  gboolean (*frames_gather) (DuContext *context, DuFrames *frames, int first, int n, DuBuffer *picture,
      GError **error);
  /* Takes in what the network made of them; prediction is free again for what is asked for next. */
  gboolean (*frames_blend) (DuContext *context, DuFrames *frames, int first, int n,
      const DuBuffer *prediction, GError **error);
  /* Has work ask for gather, network and blend of all tiles, batch at a time, or asks for the same by itself as work
   * did for an earlier frame. note: set where this cannot be had, once, to why; else left alone; g_free. */
  gboolean (*frames_run) (DuContext *context, DuFrames *frames, int batch, DuFrameWork work, gpointer data,
      char **note, GError **error);
  /* The corrected frame is to go into out, which is written until wait. */
  gboolean (*frames_end) (DuContext *context, DuFrames *frames, const DuFrame *out, GError **error);
  /* Waits for the oldest frame that has ended: its out is ready on return. In any thread, one at a time, beside
   * other calls. */
  gboolean (*frames_wait) (DuContext *context, DuFrames *frames, GError **error);
  /* in as it is into out, bit for bit, at least one of them in the device's memory; ready on return. */
  gboolean (*frames_copy) (DuContext *context, const DuFrameKind *kind, const DuFrame *in, const DuFrame *out,
      GError **error);
} DuBackend;

extern const DuBackend du_backend_reference;
extern const DuBackend du_backend_onednn;

/* Resolves kind and precision to a back end and opens a context. note: why auto did not take a better
 * choice, or NULL; g_free. It says nothing of a CUDA back end that is not installed. training: only back ends
 * that train, precision auto means f32, and a GPU is reproducible. */
const DuBackend *du_backend_open (DuBackendKind kind, DuPrecision precision, int threads, int device,
    void *cuda_context, gboolean training, DuContext **context, DuType *type, char **note, GError **error);
/* threads, or for 0 the number of cores that this process may run on. */
int du_backend_threads (int threads);
/* "f32", "bf16", "f16"; "tf32" where asked for. */
const char *du_precision_name (DuPrecision asked, DuType type);
const char *du_type_name (DuType type); /* "f32", "bf16", "f16" */

#endif

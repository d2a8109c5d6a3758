/* A stand-in for libcudart, cuDNN and cuBLASLt on a machine without a GPU: device memory is the host's, and work
 * is done by plain loops, when the order of FakeOrder has it be done. It checks what it is handed more strictly
 * than the libraries do, and shows nothing of what a GPU would make of it: speed, real rounding, real support.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_FAKE_H
#define DU_TESTS_FAKE_H

#include <glib.h>

typedef enum
{
  FAKE_HARMLESS, /* an invalid value, not supported: the libraries go on working */
  FAKE_MEMORY,   /* where a call can say so, else harmless */
  FAKE_STICKY,   /* the device is lost: a call after it in the same thread ends the test */
} FakeFailure;

/* What the graph API is to have no plan for. */
enum
{
  FAKE_NO_FUSION = 1,
  FAKE_NO_WIDE_GRADIENT = 2, /* float32 gradients of weights from narrower types */
  FAKE_NO_PLANS = 4,
  FAKE_NO_AFFINE = 8, /* scale and shift */
  FAKE_NO_CAPTURE = 16, /* of streams into graphs */
  FAKE_NO_CAPTURED_PLANS = 32, /* a plan that runs breaks the capture */
  FAKE_NO_TEXTS = 64, /* plans that were written once */
  FAKE_NO_RUNS = 128, /* of plans */
  FAKE_NO_SMALL_PLANS = 256, /* all want more working memory */
};

/* When work on streams is done: what streams and events allow, and a GPU might do. */
typedef enum
{
  FAKE_LATE,         /* not before somebody waits for it, and then nothing else */
  FAKE_OTHERS_FIRST, /* when somebody waits for a stream, all that other streams can do comes first */
  FAKE_RANDOM,       /* now and then, here and there */
  FAKE_AT_ONCE,
  FAKE_N_ORDERS,
} FakeOrder;

/* Of calls since reset. */
typedef struct
{
  guint waits;       /* for the device: synchronisations, and copies of memory that is not pinned */
  guint allocations; /* and frees: of memory, streams, events, graphs */
  guint captures, replays; /* of graphs */
  guint heuristics, compilations, timings; /* asked for proposals; of plans; times between events */
  guint late; /* after the device was lost, by threads that had not been told by a call that failed */
} FakeCounts;

/* The module's symbol du_fake_control, for the test. */
typedef struct
{
  /* Forgets everything and frees what is left; how much that was: memory, descriptors, handles. */
  guint (*reset) (void);
  guint (*calls) (void);              /* since reset */
  void (*fail) (guint call, FakeFailure how); /* that one since reset, from 1; 0 = none */
  gboolean (*lost) (void);            /* the device is */
  void (*set_memory) (gsize bytes);   /* of the device; G_MAXSIZE at first */
  gsize (*memory) (void);             /* in use */
  void (*set_devices) (int count);    /* 1 at first; -1 = no driver */
  void (*refuse) (guint what);
  guint (*legacy_runs) (void);        /* since reset */
  void (*set_order) (FakeOrder order); /* FAKE_LATE at first; a reset leaves it as it is */
  void (*count) (FakeCounts *counts);
  gpointer (*pin) (gsize size); /* the host's memory that the device reaches; not among a reset's leftovers */
  void (*unpin) (gpointer memory);
  /* The device's name, NULL: a new one after each reset; and versions, 0: what the headers say. */
  void (*set_device) (const char *name, int cuda, gsize cudnn);
  void (*forget) (void); /* what the module knows of plans, as in a new process */
  void (*shorten) (gboolean on); /* of pieces of memory only the first MiB is there: to sum up sizes, not to compute */
  void (*set_speed) (int memory_clock, guint memory_bus, guint cache); /* kHz, bits, bytes; 0 at first */
} FakeControl;

/* ---- within the stand-in ----------------------------------------------------------------------------- */

typedef enum
{
  FAKE_F32,
  FAKE_F16,
  FAKE_BF16,
} FakeType;

/* Counts a call; TRUE where it is to fail. */
gboolean fake_call (const char *name);
gboolean fake_host_call (const char *name); /* the same, but the device is not lost by it */
FakeFailure fake_failure (void);
gboolean fake_refuses (guint what);
void fake_count_legacy (void);
void fake_count (guint *count); /* one more of fake_counts */
extern FakeCounts fake_counts; /* the lock is held */
gsize fake_cudnn_version (void); /* 0: the header's */
/* Around all that threads share; may be taken again by the thread that has it. */
void fake_lock (void);
void fake_unlock (void);

/* An object that a close must not leave behind; zeroed. */
gpointer fake_new (gsize size);
void fake_free (gpointer object);
gpointer fake_allocate (gsize size); /* device memory, NULL = full */
/* Ends the test where the range is not all within one piece of device memory. */
void fake_check_range (const char *call, const void *data, gsize size);
void fake_fatal (const char *call, const char *problem) G_GNUC_NORETURN;

gsize fake_type_size (FakeType type);
/* Checked ranges, as float and back. */
float *fake_read (const char *call, FakeType type, const void *data, gsize count);
void fake_write (const char *call, FakeType type, void *data, gsize count, const float *values);
float fake_tf32 (float value);

/* NHWC, 3x3, padding 1; weights [out][3][3][in]. */
typedef struct
{
  gint64 n, in, out, height, width;
} FakeConvolution;

typedef enum
{
  FAKE_CONVOLVE, /* y of x and weights */
  FAKE_CONVOLVE_DATA,
  FAKE_CONVOLVE_WEIGHTS,
} FakeConvolutionKind;

typedef struct
{
  FakeType type;
  void *data;
} FakeTensor;

typedef enum
{
  FAKE_ADD,
  FAKE_MULTIPLY,
  FAKE_RELU,
} FakeStepMode;

enum
{
  FAKE_STEPS_MAX = 4,
};

/* A convolution and what follows it, with all that it needs to run later. */
typedef struct
{
  const char *call;
  FakeConvolution shape;
  FakeConvolutionKind kind;
  FakeTensor x, weights, y; /* the kind's result is not read */
  FakeTensor result;        /* behind all steps */
  gboolean tf32;
  void *workspace; /* overwritten */
  gsize workspace_size;
  guint n_steps;
  struct
  {
    FakeStepMode mode;
    FakeTensor vector; /* a value per channel of the result */
  } steps[FAKE_STEPS_MAX];
} FakeRun;

void fake_run (gpointer run); /* a FakeRun */

/* ---- streams ------------------------------------------------------------------------------------------- */

typedef struct CUstream_st FakeStream; /* cudaStream_t's */

/* Puts work on a stream; data: g_free() takes it when it is done, or its graph gone. */
void fake_enqueue (FakeStream *stream, void (*run) (gpointer data), gpointer data);

#endif

/* Losses and their gradients, with the CPU's arithmetic: sums in double. See loss.c for the formulas.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sums.cuh"

enum
{
  COLUMNS = 256, /* sums of a chunk of values: one for each thread of a block */
  CHUNK = 64 * COLUMNS,
};

static inline size_t
chunks_of (size_t count)
{
  return (count + CHUNK - 1) / CHUNK;
}

/* ---- losses of single values ----------------------------------------------------------------------- */

typedef struct
{
  DuLoss loss;
  double epsilon;
  size_t sample; /* values of a picture */
  unsigned n;    /* pictures */
  double factor; /* the gradient is this times the derivative of the sum; 0: none is written */
} Pointwise;

__device__ static inline double
loss_of (const Pointwise *args, double d)
{
  switch (args->loss) {
  case DU_LOSS_MAE:
    return fabs (d);
  case DU_LOSS_CHARBONNIER:
    return sqrt (d * d + args->epsilon * args->epsilon);
  default:
    return d * d;
  }
}

__device__ static inline float
slope_of (const Pointwise *args, float prediction, float target)
{
  const float difference = prediction - target, factor = (float) args->factor;
  const double d = (double) prediction - target;

  switch (args->loss) {
  case DU_LOSS_MAE:
    return difference > 0 ? factor : difference < 0 ? -factor : difference * 0;
  case DU_LOSS_CHARBONNIER: {
    const double root = sqrt (d * d + args->epsilon * args->epsilon);

    return root > 0 ? (float) (args->factor * d / root) : (float) d * 0;
  }
  default:
    return (float) (2 * args->factor) * difference;
  }
}

/* A block per chunk of a picture; partials [chunks, n, COLUMNS]. */
__global__ void
sum_losses (Pointwise args, const float *prediction, const float *target, float *gradient, double *partials)
{
  const unsigned picture = blockIdx.x % args.n, chunk = blockIdx.x / args.n;
  const size_t first = (size_t) chunk * CHUNK,
               end = first + CHUNK < args.sample ? first + CHUNK : args.sample;
  const size_t at = picture * args.sample;
  double sum = 0;

  for (size_t i = at + first + threadIdx.x; i < at + end; i += COLUMNS) {
    sum += loss_of (&args, (double) prediction[i] - target[i]);
    if (args.factor != 0)
      gradient[i] = slope_of (&args, prediction[i], target[i]);
  }
  partials[(size_t) blockIdx.x * COLUMNS + threadIdx.x] = sum;
}

/* sums: [n, COLUMNS]; values: [n], the loss of each picture; factors: of the gradient of log-MSE. */
__global__ void
finish_pictures (Pointwise args, const double *sums, double *values, double *factors)
{
  for (unsigned picture = DU_THREAD; picture < args.n; picture += DU_ALL_THREADS) {
    double mean = 0;

    for (unsigned i = 0; i < COLUMNS; i++)
      mean += sums[(size_t) picture * COLUMNS + i];
    mean /= args.sample;
    if (args.loss == DU_LOSS_LOG_MSE) {
      mean += args.epsilon;
      factors[picture] = 1 / (mean * args.sample * args.n);
      mean = log (mean);
    }
    values[picture] = mean;
  }
}

/* value = offset + scale * the sum of values. One thread: there are few. */
__global__ void
finish_value (const double *values, unsigned count, double scale, double offset, double *value)
{
  double sum = 0;

  if (DU_THREAD > 0)
    return;
  for (unsigned i = 0; i < count; i++)
    sum += values[i];
  *value = offset + scale * sum;
}

__global__ void
log_mse_gradient (
    Pointwise args, const double *factors, const float *prediction, const float *target, float *gradient)
{
  const unsigned picture = blockIdx.x % args.n, chunk = blockIdx.x / args.n;
  const size_t first = (size_t) chunk * CHUNK,
               end = first + CHUNK < args.sample ? first + CHUNK : args.sample;
  const size_t at = picture * args.sample;
  const float factor = (float) (2 * factors[picture]);

  for (size_t i = at + first + threadIdx.x; i < at + end; i += COLUMNS)
    gradient[i] = factor * (prediction[i] - target[i]);
}

static void
pointwise (cudaStream_t stream, const Pointwise *args, const float *prediction, const float *target,
    float *gradient, double *value, double *scratch)
{
  const size_t chunks = chunks_of (args->sample), blocks = chunks * args->n;
  double *values = scratch, *factors = values + args->n, *partials = factors + args->n;
  const double *sums;

  DU_LAUNCH ((sum_losses), blocks, COLUMNS, stream, *args, prediction, target, gradient, partials);
  sums = du_sum_rows (stream, partials, (unsigned) chunks, args->n * COLUMNS, NULL);
  DU_LAUNCH ((finish_pictures), du_blocks (args->n), DU_THREADS, stream, *args, sums, values, factors);
  DU_LAUNCH ((finish_value), 1, 1, stream, values, args->n, 1. / args->n, 0., value);
  if (args->loss == DU_LOSS_LOG_MSE)
    DU_LAUNCH ((log_mse_gradient), blocks, COLUMNS, stream, *args, factors, prediction, target, gradient);
}

/* ---- SSIM --------------------------------------------------------------------------------------------- */

enum
{
  WINDOW = 11,
  MOMENTS = 5, /* means of x, y, xx, yy, xy under the window */
  SLOPES = 3,  /* derivatives of a window's SSIM by the means of x, xx, xy */
};

typedef struct
{
  unsigned height, width, channels;
  unsigned rows;         /* of windows: height - 10 */
  unsigned row, windows; /* values of a picture's row, and of a row of windows */
  double factor;         /* of the gradient */
  double window[WINDOW]; /* Gaussian, sigma 1.5, sum 1 */
} Ssim;

/* A block per row of windows of all pictures: sums down the columns, [n rows, MOMENTS, row]. */
__global__ void
ssim_columns (Ssim ssim, const float *a, const float *b, double *moments)
{
  const size_t at = ((size_t) (blockIdx.x / ssim.rows) * ssim.height + blockIdx.x % ssim.rows) * ssim.row;
  double *to = moments + (size_t) blockIdx.x * MOMENTS * ssim.row;

  for (unsigned i = threadIdx.x; i < ssim.row; i += blockDim.x) {
    double sums[MOMENTS] = {};

    for (unsigned k = 0; k < WINDOW; k++) {
      const double x = a[at + (size_t) k * ssim.row + i], y = b[at + (size_t) k * ssim.row + i];

      sums[0] += ssim.window[k] * x;
      sums[1] += ssim.window[k] * y;
      sums[2] += ssim.window[k] * x * x;
      sums[3] += ssim.window[k] * y * y;
      sums[4] += ssim.window[k] * x * y;
    }
    for (unsigned m = 0; m < MOMENTS; m++)
      to[m * ssim.row + i] = sums[m];
  }
}

/* Likewise: the windows' SSIM, summed to partials [n rows, COLUMNS], and slopes [n rows, SLOPES, windows]. */
__global__ void
ssim_windows (Ssim ssim, const double *moments, double *slopes, double *partials)
{
  const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
  const double *from = moments + (size_t) blockIdx.x * MOMENTS * ssim.row;
  double *to = slopes + (size_t) blockIdx.x * SLOPES * ssim.windows;
  double sum = 0;

  for (unsigned i = threadIdx.x; i < ssim.windows; i += blockDim.x) {
    double m[MOMENTS] = {};

    for (unsigned k = 0; k < WINDOW; k++)
      for (unsigned j = 0; j < MOMENTS; j++)
        m[j] += ssim.window[k] * from[j * ssim.row + i + k * ssim.channels];
    /* Wang et al. 2004, eq. 13: luminance times contrast-structure. */
    const double mx = m[0], my = m[1];
    const double l1 = 2 * mx * my + c1, l2 = mx * mx + my * my + c1;
    const double s1 = 2 * (m[4] - mx * my) + c2, s2 = m[2] - mx * mx + m[3] - my * my + c2;
    const double luminance = l1 / l2, structure = s1 / s2;

    sum += luminance * structure;
    to[i] = 2 * ((my - mx * luminance) / l2 * structure + (mx * structure - my) / s2 * luminance);
    to[ssim.windows + i] = -luminance * structure / s2;
    to[2 * ssim.windows + i] = 2 * luminance / s2;
  }
  partials[(size_t) blockIdx.x * COLUMNS + threadIdx.x] = sum;
}

/* A block per row of the pictures: slopes of the windows above and around it, summed down the columns,
 * [n height, SLOPES, windows]. */
__global__ void
ssim_spread (Ssim ssim, const double *slopes, double *spread)
{
  const unsigned picture = blockIdx.x / ssim.height, y = blockIdx.x % ssim.height;
  const size_t step = (size_t) SLOPES * ssim.windows;
  double *to = spread + blockIdx.x * step;

  for (unsigned i = threadIdx.x; i < step; i += blockDim.x) {
    double sum = 0;

    for (unsigned k = 0; k < WINDOW; k++)
      if (y >= k && y - k < ssim.rows)
        sum += ssim.window[k] * slopes[((size_t) picture * ssim.rows + y - k) * step + i];
    to[i] = sum;
  }
}

/* The same along the rows, and the gradient. */
__global__ void
ssim_gradient (Ssim ssim, const double *spread, const float *a, const float *b, float *gradient)
{
  const double *from = spread + (size_t) blockIdx.x * SLOPES * ssim.windows;
  const size_t at = (size_t) blockIdx.x * ssim.row;

  for (unsigned i = threadIdx.x; i < ssim.row; i += blockDim.x) {
    double by[SLOPES] = {};

    for (unsigned k = 0; k < WINDOW; k++) {
      const unsigned back = k * ssim.channels;

      for (unsigned s = 0; s < SLOPES && i >= back && i - back < ssim.windows; s++)
        by[s] += ssim.window[k] * from[s * ssim.windows + i - back];
    }
    gradient[at + i] = (float) (ssim.factor * (by[0] + 2 * (double) a[at + i] * by[1] + b[at + i] * by[2]));
  }
}

static Ssim
ssim_new (int n, int height, int width)
{
  Ssim ssim = {};
  double sum = 0;

  ssim.height = height;
  ssim.width = width;
  ssim.channels = DU_PICTURE_CHANNELS;
  ssim.rows = height - WINDOW + 1;
  ssim.row = width * DU_PICTURE_CHANNELS;
  ssim.windows = (width - WINDOW + 1) * DU_PICTURE_CHANNELS;
  ssim.factor = -1. / n / ((double) ssim.rows * ssim.windows);
  for (int i = 0; i < WINDOW; i++)
    sum += ssim.window[i] = exp (-(i - WINDOW / 2) * (i - WINDOW / 2) / (2 * 1.5 * 1.5));
  for (int i = 0; i < WINDOW; i++)
    ssim.window[i] /= sum;
  return ssim;
}

static void
ssim_loss (cudaStream_t stream, int n, int height, int width, const float *prediction, const float *target,
    float *gradient, double *value, double *scratch)
{
  const Ssim ssim = ssim_new (n, height, width);
  const size_t rows = (size_t) n * ssim.rows, all = (size_t) n * height;
  /* The moments' place is the spread slopes' later: SLOPES values a window are fewer than MOMENTS a pixel. */
  double *moments = scratch, *slopes = moments + MOMENTS * all * ssim.row;
  double *partials = slopes + SLOPES * rows * ssim.windows;
  const double *sums;

  DU_LAUNCH ((ssim_columns), rows, DU_THREADS, stream, ssim, prediction, target, moments);
  DU_LAUNCH ((ssim_windows), rows, COLUMNS, stream, ssim, moments, slopes, partials);
  sums = du_sum_rows (stream, partials, (unsigned) rows, COLUMNS, NULL);
  DU_LAUNCH ((finish_value), 1, 1, stream, sums, COLUMNS, ssim.factor, 1., value);
  DU_LAUNCH ((ssim_spread), all, DU_THREADS, stream, ssim, slopes, moments);
  DU_LAUNCH ((ssim_gradient), all, DU_THREADS, stream, ssim, moments, prediction, target, gradient);
}

void
du_kernel_loss (cudaStream_t stream, DuLoss loss, double epsilon, int n, int height, int width,
    const float *prediction, const float *target, float *gradient, double *value, void *scratch)
{
  if (loss == DU_LOSS_SSIM) {
    ssim_loss (stream, n, height, width, prediction, target, gradient, value, (double *) scratch);
  } else {
    Pointwise args = { loss, epsilon, (size_t) height * width * DU_PICTURE_CHANNELS, (unsigned) n, 0 };

    if (loss != DU_LOSS_LOG_MSE)
      args.factor = 1. / ((double) args.sample * n);
    pointwise (stream, &args, prediction, target, gradient, value, (double *) scratch);
  }
}

gsize
du_kernel_loss_scratch (DuLoss loss, int n, int height, int width)
{
  const size_t row = (size_t) width * DU_PICTURE_CHANNELS, rows = (size_t) n * height;

  if (loss == DU_LOSS_SSIM)
    return sizeof (double) * ((MOMENTS + SLOPES) * rows * row + du_sum_rows_scratch (rows, COLUMNS));
  return sizeof (double)
         * (2 * (size_t) n + du_sum_rows_scratch (chunks_of (height * row), (size_t) n * COLUMNS));
}

/* ---- norm ------------------------------------------------------------------------------------------------
 */

__global__ void
sum_squares (const float *values, size_t count, double *partials)
{
  const size_t first = (size_t) blockIdx.x * CHUNK, end = first + CHUNK < count ? first + CHUNK : count;
  double sum = 0;

  for (size_t i = first + threadIdx.x; i < end; i += COLUMNS)
    sum += (double) values[i] * values[i];
  partials[(size_t) blockIdx.x * COLUMNS + threadIdx.x] = sum;
}

__global__ void
finish_norm (const double *sums, double *norm)
{
  double sum = 0;

  if (DU_THREAD > 0)
    return;
  for (unsigned i = 0; i < COLUMNS; i++)
    sum += sums[i];
  *norm = sqrt (sum);
}

void
du_kernel_norm (cudaStream_t stream, const float *values, gsize count, double *norm, void *scratch)
{
  const size_t chunks = count ? chunks_of (count) : 1;
  double *partials = (double *) scratch;
  const double *sums;

  DU_LAUNCH ((sum_squares), chunks, COLUMNS, stream, values, count, partials);
  sums = du_sum_rows (stream, partials, (unsigned) chunks, COLUMNS, NULL);
  DU_LAUNCH ((finish_norm), 1, 1, stream, sums, norm);
}

gsize
du_kernel_norm_scratch (gsize count)
{
  return sizeof (double) * du_sum_rows_scratch (count ? chunks_of (count) : 1, COLUMNS);
}

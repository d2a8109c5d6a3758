/* What changes the parameters, with the CPU's arithmetic (cpu.c says why in double).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.cuh"

#include <float.h>

typedef struct
{
  double beta1, beta2, scale;
  float rate, correction, epsilon;
} Adam;

/* Denormals cost nothing here: they go as they do on the CPU. */
__device__ static inline float
without_denormals (float x)
{
  return fabsf (x) < FLT_MIN ? 0 : x;
}

__global__ void
adam_step (Adam adam, size_t count, float *parameters, const float *gradient, float *moment1, float *moment2)
{
  for (size_t i = DU_THREAD; i < count; i += DU_ALL_THREADS) {
    const double g = gradient[i] * adam.scale;
    const float m = without_denormals ((float) (adam.beta1 * moment1[i] + (1 - adam.beta1) * g));
    const float v = without_denormals ((float) (adam.beta2 * moment2[i] + (1 - adam.beta2) * g * g));

    moment1[i] = m;
    moment2[i] = v;
    parameters[i] -= adam.rate * m / (sqrtf (v * adam.correction) + adam.epsilon);
  }
}

void
du_kernel_adam (cudaStream_t stream, const DuAdam *adam, gsize count, float *parameters,
    const float *gradient, float *moment1, float *moment2)
{
  const Adam args = { adam->beta1, adam->beta2, adam->scale,
    (float) (adam->learning_rate / (1 - pow (adam->beta1, (double) adam->step))),
    (float) (1 / (1 - pow (adam->beta2, (double) adam->step))), (float) adam->epsilon };

  DU_LAUNCH ((adam_step), du_blocks (count), DU_THREADS, stream, args, count, parameters, gradient, moment1,
      moment2);
}

__global__ void
blend_values (double decay, float *to, const float *from, size_t count)
{
  for (size_t i = DU_THREAD; i < count; i += DU_ALL_THREADS)
    to[i] = (float) (decay * to[i] + (1 - decay) * from[i]);
}

void
du_kernel_blend (cudaStream_t stream, double decay, float *to, const float *from, gsize count)
{
  DU_LAUNCH ((blend_values), du_blocks (count), DU_THREADS, stream, decay, to, from, count);
}

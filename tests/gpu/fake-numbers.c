/* The arithmetic of the stand-in: plain loops over checked memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake.h"

#include "half.h"

#include <string.h>

gsize
fake_type_size (FakeType type)
{
  return type == FAKE_F32 ? 4 : 2;
}

float *
fake_read (const char *call, FakeType type, const void *data, gsize count)
{
  float *values = g_new (float, count);
  const guint16 *half = data;

  fake_check_range (call, data, count * fake_type_size (type));
  if (type == FAKE_F32)
    memcpy (values, data, count * sizeof *values);
  for (gsize i = 0; i < count && type != FAKE_F32; i++)
    values[i] = type == FAKE_F16 ? du_f16_to_float (half[i]) : du_bf16_to_float (half[i]);
  return values;
}

void
fake_write (const char *call, FakeType type, void *data, gsize count, const float *values)
{
  guint16 *half = data;

  fake_check_range (call, data, count * fake_type_size (type));
  if (type == FAKE_F32)
    memcpy (data, values, count * sizeof *values);
  for (gsize i = 0; i < count && type != FAKE_F32; i++)
    half[i] = type == FAKE_F16 ? du_f16_from_float (values[i]) : du_bf16_from_float (values[i]);
}

/* Ten bits behind the point, ties to even. */
float
fake_tf32 (float value)
{
  DuFloatBits x = { .value = value };

  x.bits = (x.bits + 0xfff + (x.bits >> 13 & 1)) & ~0x1fffu;
  return x.value;
}

static float
dot (const float *a, const float *b, gint64 count)
{
  float sum = 0;

#pragma omp simd reduction(+ : sum)
  for (gint64 i = 0; i < count; i++)
    sum += a[i] * b[i];
  return sum;
}

static void
convolve (const FakeConvolution *s, const float *x, const float *weights, float *y)
{
  for (gint64 line = 0; line < s->n * s->height; line++)
    for (gint64 column = 0; column < s->width; column++)
      for (gint64 o = 0; o < s->out; o++) {
        float sum = 0;

        for (int tap = 0; tap < 9; tap++) {
          gint64 v = line % s->height + tap / 3 - 1, u = column + tap % 3 - 1;

          if (v >= 0 && v < s->height && u >= 0 && u < s->width)
            sum += dot (x + ((line + tap / 3 - 1) * s->width + u) * s->in, weights + (o * 9 + tap) * s->in,
                s->in);
        }
        y[(line * s->width + column) * s->out + o] = sum;
      }
}

static void
convolve_data (const FakeConvolution *s, float *x, const float *weights, const float *y)
{
  const FakeConvolution turned = { s->n, s->out, s->in, s->height, s->width };
  g_autofree float *transposed = g_new (float, 9 * s->in * s->out);

  for (gint64 o = 0; o < s->out; o++)
    for (int tap = 0; tap < 9; tap++)
      for (gint64 i = 0; i < s->in; i++)
        transposed[(i * 9 + 8 - tap) * s->out + o] = weights[(o * 9 + tap) * s->in + i];
  convolve (&turned, y, transposed, x);
}

static void
convolve_weights (const FakeConvolution *s, const float *x, float *weights, const float *y)
{
  memset (weights, 0, 9 * s->in * s->out * sizeof *weights);
  for (gint64 line = 0; line < s->n * s->height; line++)
    for (gint64 column = 0; column < s->width; column++)
      for (int tap = 0; tap < 9; tap++) {
        gint64 v = line % s->height + tap / 3 - 1, u = column + tap % 3 - 1;
        const float *from = x + ((line + tap / 3 - 1) * s->width + u) * s->in;

        if (v < 0 || v >= s->height || u < 0 || u >= s->width)
          continue;
        for (gint64 o = 0; o < s->out; o++) {
          const float factor = y[(line * s->width + column) * s->out + o];
          float *to = weights + (o * 9 + tap) * s->in;

#pragma omp simd
          for (gint64 i = 0; i < s->in; i++)
            to[i] += factor * from[i];
        }
      }
}

static float *
read_tensor (const FakeRun *run, const FakeTensor *tensor, gsize count)
{
  float *values = fake_read (run->call, tensor->type, tensor->data, count);

  for (gsize i = 0; run->tf32 && i < count; i++)
    values[i] = fake_tf32 (values[i]);
  return values;
}

void
fake_run (gpointer data)
{
  const FakeRun *run = data;
  const FakeConvolution *s = &run->shape;
  const gsize pixels = s->n * s->height * s->width;
  const gsize counts[] = { pixels * s->out, pixels * s->in, 9 * s->in * s->out };
  const gsize count = counts[run->kind], channels = run->kind == FAKE_CONVOLVE ? s->out : s->in;
  g_autofree float *x = NULL, *weights = NULL, *y = NULL, *values = g_new (float, count);

  fake_check_range (run->call, run->workspace, run->workspace_size);
  memset (run->workspace, 0xff, run->workspace_size);
  if (run->kind != FAKE_CONVOLVE_DATA)
    x = read_tensor (run, &run->x, counts[1]);
  if (run->kind != FAKE_CONVOLVE_WEIGHTS)
    weights = read_tensor (run, &run->weights, counts[2]);
  if (run->kind != FAKE_CONVOLVE)
    y = read_tensor (run, &run->y, counts[0]);
  switch (run->kind) {
  case FAKE_CONVOLVE:
    convolve (s, x, weights, values);
    break;
  case FAKE_CONVOLVE_DATA:
    convolve_data (s, values, weights, y);
    break;
  case FAKE_CONVOLVE_WEIGHTS:
    convolve_weights (s, x, values, y);
  }
  for (guint step = 0; step < run->n_steps; step++) {
    const FakeTensor *tensor = &run->steps[step].vector;
    g_autofree float *vector
        = tensor->data ? fake_read (run->call, tensor->type, tensor->data, channels) : NULL;

    for (gsize i = 0; i < count; i++)
      switch (run->steps[step].mode) {
      case FAKE_ADD:
        values[i] += vector[i % channels];
        break;
      case FAKE_MULTIPLY:
        values[i] *= vector[i % channels];
        break;
      case FAKE_RELU:
        values[i] = values[i] < 0 ? 0 : values[i];
      }
  }
  fake_write (run->call, run->result.type, run->result.data, count, values);
}

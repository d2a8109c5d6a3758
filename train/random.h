/* Random numbers that depend on nothing but their key: equal on every machine, for any number of threads and
 * in any order of use.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RANDOM_H
#define RANDOM_H

#include <glib.h>

typedef struct
{
  guint64 state;
} Random;

/* SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). */
static inline guint64
random_next (Random *random)
{
  guint64 z = random->state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

/* The stream of a key of three numbers. */
static inline void
random_init (Random *random, guint64 seed, guint64 a, guint64 b)
{
  random->state = seed;
  random->state = random_next (random) ^ a;
  random->state = random_next (random) ^ b;
  random->state = random_next (random);
}

/* Uniform in [0, n), n at least 1: the high half of a product (Lemire 2019, without his rejection: the bias is
 * below n / 2^32). */
static inline guint32
random_below (Random *random, guint32 n)
{
  return (random_next (random) >> 32) * n >> 32;
}

#endif

/* What the two parts of cuDNN's stand-in share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_TESTS_FAKE_CUDNN_H
#define DU_TESTS_FAKE_CUDNN_H

#include "fake.h"

#include <cudnn.h>

struct cudnnContext
{
  cudaStream_t stream;
};

enum
{
  FAKE_VALUES_MAX = 16, /* of an attribute */
  FAKE_ATTRIBUTES = 16,
};

typedef struct
{
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  gint64 count;
  guint8 values[FAKE_VALUES_MAX * 8];
} Attribute;

/* What an engine of the stand-in is like. */
typedef enum
{
  ENGINE_UNSTEADY, /* adds in any order */
  ENGINE_TF32,     /* float32 only: tensor cores */
  ENGINE_BROKEN,   /* its plan cannot be finalised */
  ENGINE_GOOD,     /* compiles where bias, ReLU, scale and shift follow */
  N_ENGINES,
} Engine;

typedef struct
{
  cudnnBackendDescriptorType_t type;
  gboolean finalised;
  guint count;
  Attribute attributes[FAKE_ATTRIBUTES];
  /* Of a configuration, an engine and a plan. Of a knob's choice from a configuration: its index. */
  void *graph;
  Engine engine;
  /* Of a plan that is read: what it is read from, and its graph with all that that is made of. */
  gpointer parts;
  char *text;
  gsize text_size;
} Descriptor;

/* A plan as text; g_free. */
char *fake_plan_write (const Descriptor *plan);
gboolean fake_plan_read (Descriptor *plan);

cudnnStatus_t fake_cudnn_failure (gboolean allocates);
/* A call that frees: it does so even where it fails. */
cudnnStatus_t fake_cudnn_release (const char *name, void *object);
FakeType fake_cudnn_type (cudnnDataType_t type);

#define FAKE_CUDNN_CALL(allocates) \
  do { \
    if (fake_call (__func__)) \
      return fake_cudnn_failure (allocates); \
  } while (0)

/* A call that runs nothing cannot lose the device, but says that its execution failed. */
#define FAKE_CUDNN_HOST_CALL(allocates) \
  do { \
    if (fake_host_call (__func__)) \
      return fake_cudnn_failure (allocates); \
  } while (0)

#endif

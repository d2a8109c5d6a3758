/* cuDNN's part of the stand-in: descriptors of the graph API, kept and checked as they are set, and plans that
 * interpret them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-cuda.h"
#include "fake-cudnn.h"

#include <stdbool.h>
#include <string.h>

enum
{
  WORKSPACE = 4096,
};

/* ---- attributes -------------------------------------------------------------------------------------- */

static gsize
size_of_type (cudnnBackendAttributeType_t type)
{
  switch (type) {
  case CUDNN_TYPE_BOOLEAN:
    return sizeof (bool);
  case CUDNN_TYPE_INT64:
  case CUDNN_TYPE_VOID_PTR:
  case CUDNN_TYPE_HANDLE:
  case CUDNN_TYPE_BACKEND_DESCRIPTOR:
  case CUDNN_TYPE_DOUBLE:
    return 8;
  default:
    return 4;
  }
}

static const Attribute *
find (const Descriptor *descriptor, cudnnBackendAttributeName_t name)
{
  for (guint i = 0; i < descriptor->count; i++)
    if (descriptor->attributes[i].name == name)
      return &descriptor->attributes[i];
  return NULL;
}

static gint64
integer (const Descriptor *descriptor, cudnnBackendAttributeName_t name, int index)
{
  gint64 value;

  memcpy (&value, find (descriptor, name)->values + index * sizeof value, sizeof value);
  return value;
}

/* Enums and data types. */
static int
number (const Descriptor *descriptor, cudnnBackendAttributeName_t name)
{
  int value;

  memcpy (&value, find (descriptor, name)->values, sizeof value);
  return value;
}

static void *
pointer (const Descriptor *descriptor, cudnnBackendAttributeName_t name, int index)
{
  const Attribute *attribute = find (descriptor, name);
  void *value = NULL;

  if (attribute && index < attribute->count)
    memcpy (&value, attribute->values + index * sizeof value, sizeof value);
  return value;
}

typedef struct
{
  cudnnBackendDescriptorType_t descriptor;
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  gint64 count; /* 0 = any */
  gboolean optional;
} Rule;

#define RULE(descriptor, name, type, count) \
  { CUDNN_BACKEND_##descriptor##_DESCRIPTOR, CUDNN_ATTR_##name, CUDNN_TYPE_##type, count, FALSE }
#define OPTIONAL(descriptor, name, type, count) \
  { CUDNN_BACKEND_##descriptor##_DESCRIPTOR, CUDNN_ATTR_##name, CUDNN_TYPE_##type, count, TRUE }

/* NVIDIA's "cuDNN Backend Descriptor Types". */
static const Rule rules[] = {
  RULE (TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, 1),
  RULE (TENSOR, TENSOR_DIMENSIONS, INT64, 4),
  RULE (TENSOR, TENSOR_STRIDES, INT64, 4),
  RULE (TENSOR, TENSOR_UNIQUE_ID, INT64, 1),
  RULE (TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, 1),
  OPTIONAL (TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN, 1),
  RULE (CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1),
  RULE (CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1),
  RULE (CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64, 1),
  RULE (CONVOLUTION, CONVOLUTION_DILATIONS, INT64, 2),
  RULE (CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, 2),
  RULE (CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64, 2),
  RULE (CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, 2),
  RULE (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_CONV_DESC, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_X, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_W, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_Y, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_ALPHA, FLOAT, 1),
  RULE (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_BETA, FLOAT, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_DX, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_W, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_DY, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_ALPHA, FLOAT, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA_BETA, FLOAT, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, BACKEND_DESCRIPTOR,
      1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_X, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_DW, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_DY, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, FLOAT, 1),
  RULE (OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER_BETA, FLOAT, 1),
  RULE (POINTWISE, POINTWISE_MODE, POINTWISE_MODE, 1),
  RULE (POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, 1),
  RULE (OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1),
  OPTIONAL (OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1),
  RULE (OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, 1),
  RULE (OPERATIONGRAPH, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 0),
  RULE (ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1),
  RULE (ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, 1),
  RULE (KNOB_CHOICE, KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1),
  RULE (KNOB_CHOICE, KNOB_CHOICE_KNOB_VALUE, INT64, 1),
  RULE (ENGINE, ENGINE_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1),
  RULE (ENGINE, ENGINE_GLOBAL_INDEX, INT64, 1),
  RULE (ENGINECFG, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1),
  OPTIONAL (ENGINECFG, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR, 0),
  RULE (EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, 1),
  /* One of the two; the second's values are kept apart. */
  OPTIONAL (EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1),
  OPTIONAL (EXECUTION_PLAN, EXECUTION_PLAN_JSON_REPRESENTATION, CHAR, 0),
  RULE (VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64, 0),
  RULE (VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR, 0),
  RULE (VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, 1),
};

static const Rule *
rule_for (cudnnBackendDescriptorType_t descriptor, cudnnBackendAttributeName_t name)
{
  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (rules[i].descriptor == descriptor && rules[i].name == name)
      return &rules[i];
  return NULL;
}

cudnnStatus_t
cudnnBackendCreateDescriptor (cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *to)
{
  Descriptor *descriptor;

  FAKE_CUDNN_HOST_CALL (TRUE);
  descriptor = fake_new (sizeof *descriptor);
  descriptor->type = type;
  *to = descriptor;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendDestroyDescriptor (cudnnBackendDescriptor_t data)
{
  Descriptor *descriptor = data;

  if (descriptor->parts)
    fake_free (descriptor->parts);
  if (descriptor->text)
    fake_free (descriptor->text);
  return fake_cudnn_release (__func__, descriptor);
}

cudnnStatus_t
cudnnBackendSetAttribute (cudnnBackendDescriptor_t data, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
  Descriptor *descriptor = data;
  const Rule *rule = rule_for (descriptor->type, name);
  Attribute *attribute;

  FAKE_CUDNN_HOST_CALL (FALSE);
  if (descriptor->finalised || !rule || find (descriptor, name) || descriptor->text || count < 1
      || (rule->count && count != rule->count))
    return CUDNN_STATUS_BAD_PARAM;
  if (type != rule->type)
    return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
  if (type == CUDNN_TYPE_CHAR) {
    descriptor->text = fake_new (count);
    descriptor->text_size = count;
    memcpy (descriptor->text, values, count);
    return CUDNN_STATUS_SUCCESS;
  }
  if (count > FAKE_VALUES_MAX)
    return CUDNN_STATUS_BAD_PARAM;
  for (gint64 i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++)
    if (!((Descriptor *const *) values)[i]->finalised)
      return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  attribute = &descriptor->attributes[descriptor->count++];
  *attribute = (Attribute){ name, type, count };
  memcpy (attribute->values, values, count * size_of_type (type));
  return CUDNN_STATUS_SUCCESS;
}

/* ---- graphs ------------------------------------------------------------------------------------------ */

static FakeType
type_of (const Descriptor *tensor)
{
  return fake_cudnn_type (number (tensor, CUDNN_ATTR_TENSOR_DATA_TYPE));
}

static gint64
size (const Descriptor *tensor, int dimension)
{
  return integer (tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, dimension);
}

static gboolean
is_virtual (const Descriptor *tensor)
{
  const Attribute *attribute = find (tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL);

  return attribute && attribute->values[0];
}

static gboolean
is_dense_nhwc (const Descriptor *tensor)
{
  const gint64 c = size (tensor, 1), h = size (tensor, 2), w = size (tensor, 3);
  const gint64 strides[] = { c * h * w, 1, w * c, c };

  return memcmp (find (tensor, CUDNN_ATTR_TENSOR_STRIDES)->values, strides, sizeof strides) == 0;
}

static gboolean
is_3x3 (const Descriptor *convolution)
{
  static const cudnnBackendAttributeName_t pairs[] = { CUDNN_ATTR_CONVOLUTION_DILATIONS,
    CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS,
    CUDNN_ATTR_CONVOLUTION_POST_PADDINGS };

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    if (integer (convolution, pairs[i], 0) != 1 || integer (convolution, pairs[i], 1) != 1)
      return FALSE;
  return number (convolution, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT
         && number (convolution, CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION
         && integer (convolution, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 0) == 2;
}

/* A convolution's parts, whichever of the three it is. */
typedef struct
{
  const Descriptor *how, *x, *weights, *y, *result;
} Parts;

static Parts
parts_of (const Descriptor *operation)
{
  Parts parts;

  switch (operation->type) {
  case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
    parts.how = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 0);
    parts.x = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 0);
    parts.weights = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 0);
    parts.result = parts.y = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 0);
    break;
  case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
    parts.how = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, 0);
    parts.result = parts.x = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, 0);
    parts.weights = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, 0);
    parts.y = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, 0);
    break;
  default:
    parts.how = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, 0);
    parts.x = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, 0);
    parts.result = parts.weights = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, 0);
    parts.y = pointer (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, 0);
  }
  return parts;
}

static gboolean
fits (const Parts *p)
{
  return is_3x3 (p->how) && is_dense_nhwc (p->x) && is_dense_nhwc (p->weights) && is_dense_nhwc (p->y)
         && size (p->x, 0) == size (p->y, 0) && size (p->x, 2) == size (p->y, 2)
         && size (p->x, 3) == size (p->y, 3) && size (p->weights, 0) == size (p->y, 1)
         && size (p->weights, 1) == size (p->x, 1) && size (p->weights, 2) == 3 && size (p->weights, 3) == 3
         && size (p->x, 1) % 8 == 0 && size (p->y, 1) % 8 == 0;
}

/* Whether the library would have a plan: a convolution first, its chain of pointwise operations behind it. */
static cudnnStatus_t
check_graph (const Descriptor *graph)
{
  const gint64 count = find (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS)->count;
  Parts parts = parts_of (pointer (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, 0));
  const Descriptor *last = parts.result;

  if (!fits (&parts))
    return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  for (gint64 i = 1; i < count; i++) {
    const Descriptor *operation = pointer (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
    const Descriptor *b = pointer (operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 0);

    if (pointer (operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 0) != last || !is_virtual (last))
      return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    if (b && (size (b, 0) != 1 || size (b, 1) != size (last, 1) || size (b, 2) != 1 || size (b, 3) != 1))
      return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    last = pointer (operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 0);
    if (memcmp (find (last, CUDNN_ATTR_TENSOR_DIMENSIONS)->values,
            find (parts.result, CUDNN_ATTR_TENSOR_DIMENSIONS)->values, 4 * sizeof (gint64))
        != 0)
      return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  }
  if (is_virtual (last))
    return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
  if (fake_refuses (FAKE_NO_PLANS) || (fake_refuses (FAKE_NO_FUSION) && count > 1)
      || (fake_refuses (FAKE_NO_AFFINE) && count > 3)
      || (fake_refuses (FAKE_NO_WIDE_GRADIENT) && parts.result == parts.weights
          && type_of (parts.weights) != type_of (parts.x)))
    return CUDNN_STATUS_NOT_SUPPORTED;
  return CUDNN_STATUS_SUCCESS;
}

/* Engines that each heuristic proposes, in order. */
static gboolean
is_proposed (const Descriptor *graph, cudnnBackendHeurMode_t mode, Engine engine)
{
  const Parts parts = parts_of (pointer (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, 0));

  if (mode == CUDNN_HEUR_MODE_FALLBACK)
    return engine == ENGINE_GOOD;
  return engine != ENGINE_TF32 || type_of (parts.x) == FAKE_F32;
}

static gboolean
is_compiled (const Descriptor *graph, Engine engine)
{
  return engine == ENGINE_GOOD && find (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS)->count == FAKE_STEPS_MAX + 1;
}

/* What each configuration has. */
static const struct
{
  cudnnBackendKnobType_t type;
  gint64 value;
} knobs[] = { { CUDNN_KNOB_TYPE_TILE_SIZE, 2 }, { CUDNN_KNOB_TYPE_STAGES, G_GINT64_CONSTANT (5000000000) } };

static cudnnStatus_t
finalise_engine (Descriptor *engine)
{
  const gint64 index = integer (engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 0);
  const Descriptor *graph = engine->graph = pointer (engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, 0);

  if (index < 0 || index >= N_ENGINES || !is_proposed (graph, CUDNN_HEUR_MODE_A, index))
    return CUDNN_STATUS_NOT_SUPPORTED;
  engine->engine = index;
  return check_graph (graph);
}

static cudnnStatus_t
finalise_configuration (Descriptor *configuration)
{
  const Descriptor *engine = pointer (configuration, CUDNN_ATTR_ENGINECFG_ENGINE, 0);

  for (guint i = 0; i < G_N_ELEMENTS (knobs); i++) {
    const Descriptor *knob = pointer (configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, i);

    if (!knob || number (knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE) != (int) knobs[i].type
        || integer (knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, 0) != knobs[i].value)
      return CUDNN_STATUS_NOT_SUPPORTED;
  }
  configuration->engine = engine->engine;
  configuration->graph = engine->graph;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t
finalise_plan (Descriptor *plan)
{
  const Descriptor *configuration = pointer (plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);

  if (!configuration == !plan->text)
    return CUDNN_STATUS_BAD_PARAM;
  if (plan->text)
    return !fake_refuses (FAKE_NO_TEXTS) && fake_plan_read (plan) ? CUDNN_STATUS_SUCCESS
                                                                  : CUDNN_STATUS_NOT_SUPPORTED;
  if (configuration->engine == ENGINE_BROKEN)
    return CUDNN_STATUS_NOT_SUPPORTED;
  plan->graph = configuration->graph;
  plan->engine = configuration->engine;
  if (is_compiled (plan->graph, plan->engine))
    fake_count (&fake_counts.compilations);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendFinalize (cudnnBackendDescriptor_t data)
{
  Descriptor *descriptor = data;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;

  FAKE_CUDNN_HOST_CALL (TRUE);
  if (descriptor->finalised)
    return CUDNN_STATUS_BAD_PARAM;
  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (rules[i].descriptor == descriptor->type && !rules[i].optional && !find (descriptor, rules[i].name))
      return CUDNN_STATUS_BAD_PARAM;
  switch (descriptor->type) {
  case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
    fake_count (&fake_counts.heuristics);
    status = check_graph (pointer (descriptor, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0));
    break;
  case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
    status = finalise_engine (descriptor);
    break;
  case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
    status = finalise_configuration (descriptor);
    break;
  case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
    status = finalise_plan (descriptor);
    break;
  default:
    break;
  }
  if (status != CUDNN_STATUS_SUCCESS)
    return status;
  if (descriptor->type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR
      && find (descriptor, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS)->count
             != find (descriptor, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)->count)
    return CUDNN_STATUS_BAD_PARAM;
  descriptor->finalised = TRUE;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendGetAttribute (cudnnBackendDescriptor_t const data, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t wanted, int64_t *count, void *values)
{
  const Descriptor *descriptor = data;
  Descriptor *const *to = values;
  cudnnBackendNumericalNote_t *notes = values;

  FAKE_CUDNN_HOST_CALL (TRUE);
  if (!descriptor->finalised)
    return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  *count = 0;
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    Descriptor *graph = pointer (descriptor, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0);

    for (Engine engine = 0; engine < N_ENGINES && *count < wanted; engine++)
      if (is_proposed (graph, number (descriptor, CUDNN_ATTR_ENGINEHEUR_MODE), engine)) {
        to[*count]->graph = graph;
        to[*count]->engine = engine;
        to[*count]->finalised = TRUE;
        ++*count;
      }
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINECFG_ENGINE && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    if ((*to)->type != CUDNN_BACKEND_ENGINE_DESCRIPTOR)
      return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    (*to)->engine = descriptor->engine;
    (*to)->graph = descriptor->graph;
    (*to)->finalised = TRUE;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINECFG_KNOB_CHOICES && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (; *count < (gint64) G_N_ELEMENTS (knobs) && *count < wanted; ++*count) {
      to[*count]->engine = (Engine) *count;
      to[*count]->finalised = TRUE;
    }
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE && type == CUDNN_TYPE_KNOB_TYPE) {
    *(cudnnBackendKnobType_t *) values = knobs[descriptor->engine].type;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE && type == CUDNN_TYPE_INT64) {
    *(gint64 *) values = knobs[descriptor->engine].value;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX && type == CUDNN_TYPE_INT64) {
    *(gint64 *) values = descriptor->engine;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE) {
    if (descriptor->engine == ENGINE_UNSTEADY)
      notes[(*count)++] = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    if (descriptor->engine == ENGINE_TF32)
      notes[(*count)++] = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE && type == CUDNN_TYPE_BEHAVIOR_NOTE) {
    if (is_compiled (descriptor->graph, descriptor->engine))
      ((cudnnBackendBehaviorNote_t *) values)[(*count)++] = CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION && type == CUDNN_TYPE_CHAR) {
    g_autofree char *text = fake_plan_write (descriptor);

    *count = strlen (text);
    if (values)
      memcpy (values, text, MIN (wanted, *count));
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
    *(gint64 *) values = fake_refuses (FAKE_NO_SMALL_PLANS) ? 2 * WORKSPACE : WORKSPACE;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  return CUDNN_STATUS_BAD_PARAM;
}

/* ---- running ----------------------------------------------------------------------------------------- */

/* Data of a tensor that is not virtual; ends the test where the pack lacks it. */
static void *
data_of (const Descriptor *pack, const Descriptor *tensor)
{
  const Attribute *names = find (pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const gint64 name = integer (tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0);

  for (gint64 i = 0; i < names->count; i++)
    if (integer (pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i) == name) {
      void *data = pointer (pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);

      if ((gsize) data % integer (tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 0))
        fake_fatal ("cudnnBackendExecute", "a tensor that is not aligned as its descriptor says");
      return data;
    }
  fake_fatal ("cudnnBackendExecute", "a tensor without data");
}

static FakeTensor
tensor_of (const Descriptor *pack, const Descriptor *tensor)
{
  return (FakeTensor){ type_of (tensor), data_of (pack, tensor) };
}

static void
describe_convolution (const Descriptor *pack, const Descriptor *operation, FakeRun *run)
{
  const Parts p = parts_of (operation);

  run->shape = (FakeConvolution){ size (p.x, 0), size (p.x, 1), size (p.y, 1), size (p.x, 2), size (p.x, 3) };
  run->kind = p.result == p.y ? FAKE_CONVOLVE : p.result == p.x ? FAKE_CONVOLVE_DATA : FAKE_CONVOLVE_WEIGHTS;
  if (p.result != p.x)
    run->x = tensor_of (pack, p.x);
  if (p.result != p.weights)
    run->weights = tensor_of (pack, p.weights);
  if (p.result != p.y)
    run->y = tensor_of (pack, p.y);
}

static void
describe_step (const Descriptor *pack, const Descriptor *operation, FakeRun *run)
{
  const Descriptor *how = pointer (operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 0);
  const Descriptor *b = pointer (operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 0);
  const int mode = number (how, CUDNN_ATTR_POINTWISE_MODE);

  if ((mode != CUDNN_POINTWISE_ADD && mode != CUDNN_POINTWISE_MUL && mode != CUDNN_POINTWISE_RELU_FWD)
      || run->n_steps == FAKE_STEPS_MAX)
    fake_fatal ("cudnnBackendExecute", "a pointwise operation that is not emulated");
  run->steps[run->n_steps].mode = mode == CUDNN_POINTWISE_ADD   ? FAKE_ADD
                                  : mode == CUDNN_POINTWISE_MUL ? FAKE_MULTIPLY
                                                                : FAKE_RELU;
  if (b)
    run->steps[run->n_steps].vector = tensor_of (pack, b);
  run->n_steps++;
}

cudnnStatus_t
cudnnBackendExecute (cudnnHandle_t handle, cudnnBackendDescriptor_t plan_data,
    cudnnBackendDescriptor_t pack_data)
{
  const Descriptor *plan = plan_data, *pack = pack_data, *graph = plan->graph, *operation, *last;
  FakeRun run = { .call = __func__, .workspace_size = WORKSPACE };
  gint64 count;

  FAKE_CUDNN_CALL (TRUE);
  if (!plan->finalised || !pack->finalised)
    return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  if (fake_refuses (FAKE_NO_RUNS))
    return CUDNN_STATUS_NOT_SUPPORTED;
  if (plan->engine == ENGINE_UNSTEADY)
    fake_fatal (__func__, "an engine that adds in any order");
  if (fake_refuses (FAKE_NO_CAPTURED_PLANS) && fake_break_capture ())
    return CUDNN_STATUS_EXECUTION_FAILED;
  run.workspace = pointer (pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, 0);
  run.tf32 = plan->engine == ENGINE_TF32;
  count = find (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS)->count;
  operation = pointer (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, 0);
  last = parts_of (operation).result;
  describe_convolution (pack, operation, &run);
  for (gint64 i = 1; i < count; i++) {
    operation = pointer (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
    describe_step (pack, operation, &run);
    last = pointer (operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 0);
  }
  run.result = tensor_of (pack, last);
  fake_enqueue (handle->stream, fake_run, g_memdup2 (&run, sizeof run));
  return CUDNN_STATUS_SUCCESS;
}

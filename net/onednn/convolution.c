/* oneDNN's C API, of version 2 (op descriptors, memory descriptors by value) and of version 3 (neither).
 * Tested with 2.6.3; the code of version 3 follows its headers (3.7) and is only compiled against them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convolution.h"

#include "cpu.h"
#include "gradient.h"
#include "winograd.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdlib.h>
#include <sys/mman.h>

#define ROOM ((gsize) 32 << 20) /* bytes, more than one primitive takes beside what it is given */

struct _DuLibrary
{
  dnnl_engine_t engine;
  dnnl_stream_t stream;
};

struct _DuConv
{
  DuConvShape shape;
  dnnl_stream_t stream;
  dnnl_primitive_t primitive, reorder; /* reorder: weights between the user's layout and the library's */
  dnnl_memory_t source, destination, bias, scale, shift, scratchpad;
  dnnl_memory_t weights, plain_weights, reorder_scratchpad;
  void *packed; /* owned; NULL for DU_CONV_WEIGHTS, whose gradient passes through scratch */
  gsize weights_size, scratchpad_size;
  const char *implementation;
  /* Not by the library, which then has made nothing of the above. */
  DuWinograd *winograd;
  gboolean gradient; /* by gradient.h */
  int threads;
};

/* ---- what differs between the versions ------------------------------------------------------- */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t Desc;
typedef const_dnnl_memory_desc_t DescRef;
#define REF(desc) (desc)
#else
typedef dnnl_memory_desc_t Desc;
typedef const dnnl_memory_desc_t *DescRef;
#define REF(desc) (&(desc))
#endif

typedef struct
{
  Desc source, weights, bias, destination, channel; /* channel: [1, channels, 1, 1] float32 */
} Descs;

static dnnl_status_t
describe_tag (Desc *desc, int rank, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_tag (desc, rank, dims, type, tag);
#else
  return dnnl_memory_desc_init_by_tag (desc, rank, dims, type, tag);
#endif
}

static dnnl_status_t
describe_strides (Desc *desc, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
    const dnnl_dims_t strides)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_strides (desc, rank, dims, type, strides);
#else
  return dnnl_memory_desc_init_by_strides (desc, rank, dims, type, strides);
#endif
}

static void
describe_free (Desc *desc)
{
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_destroy (*desc);
#else
  (void) desc;
#endif
}

static dnnl_status_t
append_relu (dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_eltwise (ops, dnnl_eltwise_relu, 0, 0);
#else
  return dnnl_post_ops_append_eltwise (ops, 1, dnnl_eltwise_relu, 0, 0);
#endif
}

static dnnl_status_t
append_sum (dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_sum (ops, 1, 0, dnnl_data_type_undef);
#else
  return dnnl_post_ops_append_sum (ops, 1);
#endif
}

static dnnl_status_t
convolution_desc (dnnl_primitive_desc_t *desc, dnnl_engine_t engine, const DuConvShape *shape, const Descs *d,
    dnnl_primitive_attr_t attributes)
{
  const dnnl_dims_t strides = { 1, 1 }, pad = { shape->kernel / 2, shape->kernel / 2 };
#if DNNL_VERSION_MAJOR >= 3
  const dnnl_dims_t dilates = { 0, 0 };

  if (shape->kind == DU_CONV_FORWARD)
    return dnnl_convolution_forward_primitive_desc_create (desc, engine, dnnl_forward_inference,
        dnnl_convolution_direct, d->source, d->weights, shape->bias ? d->bias : NULL, d->destination, strides,
        dilates, pad, pad, attributes);
  if (shape->kind == DU_CONV_DATA)
    return dnnl_convolution_backward_data_primitive_desc_create (desc, engine, dnnl_convolution_direct,
        d->source, d->weights, d->destination, strides, dilates, pad, pad, NULL, attributes);
  return dnnl_convolution_backward_weights_primitive_desc_create (desc, engine, dnnl_convolution_direct,
      d->source, d->weights, NULL, d->destination, strides, dilates, pad, pad, NULL, attributes);
#else
  dnnl_convolution_desc_t op;
  dnnl_status_t status;

  if (shape->kind == DU_CONV_FORWARD)
    status = dnnl_convolution_forward_desc_init (&op, dnnl_forward_inference, dnnl_convolution_direct,
        &d->source, &d->weights, shape->bias ? &d->bias : NULL, &d->destination, strides, pad, pad);
  else if (shape->kind == DU_CONV_DATA)
    status = dnnl_convolution_backward_data_desc_init (&op, dnnl_convolution_direct, &d->source, &d->weights,
        &d->destination, strides, pad, pad);
  else
    status = dnnl_convolution_backward_weights_desc_init (&op, dnnl_convolution_direct, &d->source,
        &d->weights, NULL, &d->destination, strides, pad, pad);
  if (status != dnnl_success)
    return status;
  return dnnl_primitive_desc_create (desc, &op, attributes, engine, NULL);
#endif
}

/* ---- the library -------------------------------------------------------------------------------- */

static gboolean
check (dnnl_status_t status, const char *what, GError **error)
{
  if (status == dnnl_success)
    return TRUE;
  g_set_error (error, DU_ERROR, status == dnnl_out_of_memory ? DU_ERROR_MEMORY : DU_ERROR_BACKEND,
      "oneDNN could not %s: %s; %s", what, dnnl_status2str (status),
      status == dnnl_out_of_memory ? "use smaller pictures or a smaller batch"
                                   : "try precision f32, or report this with the network's size");
  return FALSE;
}

/* Where the library cannot have the memory for the code that it generates, it ends the program or writes to address 0
 * (2.6.3): asked beforehand. */
static gboolean
has_room (GError **error)
{
  void *room = mmap (NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (room == MAP_FAILED) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY,
        "not enough memory for a convolution's code: close other programs or raise the limit of memory");
    return FALSE;
  }
  munmap (room, ROOM);
  return TRUE;
}

DuLibrary *
du_library_open (GError **error)
{
  DuLibrary *library = g_new0 (DuLibrary, 1);

  if (has_room (error)
      && check (dnnl_engine_create (&library->engine, dnnl_cpu, 0), "create its engine", error)
      && check (dnnl_stream_create (&library->stream, library->engine, dnnl_stream_default_flags),
          "create its stream", error))
    return library;
  du_library_close (library);
  return NULL;
}

void
du_library_close (DuLibrary *library)
{
  if (!library)
    return;
  if (library->stream)
    dnnl_stream_destroy (library->stream);
  if (library->engine)
    dnnl_engine_destroy (library->engine);
  g_free (library);
}

char *
du_library_name (void)
{
  const dnnl_version_t *version = dnnl_version ();
  const char *isa = dnnl_cpu_isa2str (dnnl_get_effective_cpu_isa ());

  return g_strdup_printf ("oneDNN %d.%d.%d (%s)", version->major, version->minor, version->patch,
      g_str_has_prefix (isa, "cpu_isa_") ? isa + strlen ("cpu_isa_") : isa);
}

DuInstructions
du_library_instructions (void)
{
  static const guint sets[] = { [DU_AVX2] = dnnl_cpu_isa_avx2,
    [DU_AVX512] = dnnl_cpu_isa_avx512_core,
    [DU_AVX512_BF16] = dnnl_cpu_isa_avx512_core_bf16,
    [DU_AMX] = dnnl_cpu_isa_avx512_core_amx };
  const guint isa = dnnl_get_effective_cpu_isa ();
  DuInstructions best = DU_NO_VECTORS;

  /* The library's constants are bit sets: each contains those of the sets it builds on. */
  while (best < DU_AMX && (isa & sets[best + 1]) == sets[best + 1])
    best++;
  return best;
}

/* ---- convolutions ------------------------------------------------------------------------------- */

static dnnl_status_t
describe (const DuConvShape *shape, Descs *d, Desc *plain)
{
  const dnnl_data_type_t type = shape->type == DU_TYPE_BF16 ? dnnl_bf16 : dnnl_f32;
  const int in = shape->channels_in, out = shape->channels_out, k = shape->kernel;
  const dnnl_dims_t source = { shape->n, in, shape->height, shape->width };
  const dnnl_dims_t destination = { shape->n, out, shape->height, shape->width };
  const dnnl_dims_t weights = { out, in, k, k }, bias = { out }, channel = { 1, out, 1, 1 };
  const dnnl_dims_t strides = { shape->weights_stride, k * k, k, 1 };
  dnnl_status_t status = describe_tag (&d->source, 4, source, type, dnnl_nhwc);

  if (status == dnnl_success)
    status = describe_tag (&d->destination, 4, destination, type, dnnl_nhwc);
  if (status == dnnl_success)
    status = describe_tag (&d->weights, 4, weights, shape->kind == DU_CONV_WEIGHTS ? dnnl_f32 : type,
        dnnl_format_tag_any);
  if (status == dnnl_success)
    status = describe_tag (&d->bias, 1, bias, dnnl_f32, dnnl_a);
  if (status == dnnl_success)
    status = describe_tag (&d->channel, 4, channel, dnnl_f32, dnnl_abcd);
  if (status == dnnl_success)
    status = describe_strides (plain, 4, weights, shape->kind == DU_CONV_WEIGHTS ? dnnl_f32 : type, strides);
  return status;
}

static dnnl_status_t
set_attributes (dnnl_primitive_attr_t attributes, const DuConvShape *shape, const Descs *d)
{
  dnnl_post_ops_t ops = NULL;
  dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode (attributes, dnnl_scratchpad_mode_user);

  if (status == dnnl_success)
    status = dnnl_post_ops_create (&ops);
  if (status == dnnl_success && shape->sum)
    status = append_sum (ops);
  if (status == dnnl_success && shape->relu)
    status = append_relu (ops);
  if (status == dnnl_success && shape->affine)
    status = dnnl_post_ops_append_binary (ops, dnnl_binary_mul, REF (d->channel));
  if (status == dnnl_success && shape->affine)
    status = dnnl_post_ops_append_binary (ops, dnnl_binary_add, REF (d->channel));
  if (status == dnnl_success)
    status = dnnl_primitive_attr_set_post_ops (attributes, ops);
  dnnl_post_ops_destroy (ops);
  return status;
}

static DescRef
query (dnnl_primitive_desc_t desc, dnnl_query_t what)
{
  return dnnl_primitive_desc_query_md (desc, what, 0);
}

static gsize
aligned (gsize size)
{
  return (size + DU_CPU_ALIGNMENT - 1) / DU_CPU_ALIGNMENT * DU_CPU_ALIGNMENT;
}

static gboolean
make_memory (dnnl_memory_t *memory, DescRef desc, dnnl_engine_t engine, void *data, GError **error)
{
  return check (dnnl_memory_create (memory, desc, engine, data), "describe a tensor", error);
}

/* The reorder between the user's weights and desc's own. */
static gboolean
make_reorder (DuConv *conv, dnnl_engine_t engine, DescRef plain, DescRef packed, GError **error)
{
  gboolean unpacks = conv->shape.kind == DU_CONV_WEIGHTS, ok;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t desc = NULL;
  DescRef scratchpad;

  ok = check (dnnl_primitive_attr_create (&attributes), "create attributes", error)
       && check (dnnl_primitive_attr_set_scratchpad_mode (attributes, dnnl_scratchpad_mode_user),
           "create attributes", error)
       && check (dnnl_reorder_primitive_desc_create (&desc, unpacks ? packed : plain, engine,
                     unpacks ? plain : packed, engine, attributes),
           "pack weights", error)
       && check (dnnl_primitive_create (&conv->reorder, desc), "pack weights", error);
  if (ok) {
    scratchpad = query (desc, dnnl_query_scratchpad_md);
    conv->scratchpad_size = MAX (conv->scratchpad_size, aligned (dnnl_memory_desc_get_size (scratchpad)));
    ok = make_memory (&conv->reorder_scratchpad, scratchpad, engine, DNNL_MEMORY_NONE, error)
         && make_memory (&conv->plain_weights, plain, engine, DNNL_MEMORY_NONE, error)
         && make_memory (&conv->weights, packed, engine, conv->packed, error);
  }
  dnnl_primitive_desc_destroy (desc);
  dnnl_primitive_attr_destroy (attributes);
  return ok;
}

static gboolean
make (DuConv *conv, DuLibrary *library, const Descs *d, DescRef plain, GError **error)
{
  const DuConvShape *shape = &conv->shape;
  const gboolean weights = shape->kind == DU_CONV_WEIGHTS;
  dnnl_engine_t engine = library->engine;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t desc = NULL;
  DescRef packed, scratchpad;
  gboolean ok;

  ok = check (dnnl_primitive_attr_create (&attributes), "create attributes", error)
       && check (set_attributes (attributes, shape, d), "describe a convolution", error)
       && check (convolution_desc (&desc, engine, shape, d, attributes), "prepare a convolution", error)
       && check (dnnl_primitive_create (&conv->primitive, desc), "prepare a convolution", error)
       && check (dnnl_primitive_desc_query (desc, dnnl_query_impl_info_str, 0, &conv->implementation),
           "name its implementation", error);
  if (ok) {
    packed = query (desc, weights ? dnnl_query_diff_weights_md : dnnl_query_weights_md);
    scratchpad = query (desc, dnnl_query_scratchpad_md);
    conv->weights_size = aligned (dnnl_memory_desc_get_size (packed));
    conv->scratchpad_size = aligned (dnnl_memory_desc_get_size (scratchpad));
    conv->implementation = g_intern_string (conv->implementation);
    if (!weights)
      conv->packed = du_cpu_allocate (conv->weights_size, 1, "packed weights", error);
    ok = (weights || conv->packed) && make_reorder (conv, engine, plain, packed, error)
         && make_memory (&conv->source, REF (d->source), engine, DNNL_MEMORY_NONE, error)
         && make_memory (&conv->destination, REF (d->destination), engine, DNNL_MEMORY_NONE, error)
         && make_memory (&conv->bias, REF (d->bias), engine, DNNL_MEMORY_NONE, error)
         && make_memory (&conv->scale, REF (d->channel), engine, DNNL_MEMORY_NONE, error)
         && make_memory (&conv->shift, REF (d->channel), engine, DNNL_MEMORY_NONE, error)
         && make_memory (&conv->scratchpad, scratchpad, engine, DNNL_MEMORY_NONE, error);
  }
  dnnl_primitive_desc_destroy (desc);
  dnnl_primitive_attr_destroy (attributes);
  return ok;
}

gboolean
du_conv_takes_skip (const DuConvShape *shape)
{
  return !shape->library && du_winograd_serves (shape);
}

DuConv *
du_conv_new (DuLibrary *library, const DuConvShape *shape, GError **error)
{
  DuConv *conv = g_new0 (DuConv, 1);
  Descs d = { 0 };
  Desc plain = { 0 };
  gboolean ok;

  conv->shape = *shape;
  conv->threads = omp_get_max_threads ();
  if (!shape->library && du_gradient_serves (shape)) {
    conv->gradient = TRUE;
    conv->implementation = "gradient";
    return conv;
  }
  if (!shape->library && du_winograd_serves (shape)) {
    conv->implementation = "winograd";
    conv->winograd = du_winograd_new (shape, conv->threads, error);
    if (conv->winograd)
      return conv;
    du_conv_free (conv);
    return NULL;
  }
  conv->stream = library->stream;
  ok = has_room (error) && check (describe (shape, &d, &plain), "describe a tensor", error)
       && make (conv, library, &d, REF (plain), error);
  describe_free (&d.source);
  describe_free (&d.weights);
  describe_free (&d.bias);
  describe_free (&d.destination);
  describe_free (&d.channel);
  describe_free (&plain);
  if (ok)
    return conv;
  du_conv_free (conv);
  return NULL;
}

void
du_conv_free (DuConv *conv)
{
  if (!conv)
    return;
  du_winograd_free (conv->winograd);
  dnnl_memory_destroy (conv->source);
  dnnl_memory_destroy (conv->destination);
  dnnl_memory_destroy (conv->bias);
  dnnl_memory_destroy (conv->scale);
  dnnl_memory_destroy (conv->shift);
  dnnl_memory_destroy (conv->scratchpad);
  dnnl_memory_destroy (conv->weights);
  dnnl_memory_destroy (conv->plain_weights);
  dnnl_memory_destroy (conv->reorder_scratchpad);
  dnnl_primitive_destroy (conv->primitive);
  dnnl_primitive_destroy (conv->reorder);
  free (conv->packed);
  g_free (conv);
}

const char *
du_conv_implementation (const DuConv *conv)
{
  return conv->implementation;
}

gsize
du_conv_scratch_size (const DuConv *conv)
{
  if (conv->winograd)
    return du_winograd_scratch_size (conv->winograd);
  if (conv->gradient)
    return du_gradient_scratch_size (&conv->shape, conv->threads);
  return conv->scratchpad_size + (conv->packed ? 0 : conv->weights_size);
}

static dnnl_status_t
reorder (DuConv *conv, void *plain, void *scratchpad)
{
  gboolean unpacks = conv->shape.kind == DU_CONV_WEIGHTS;
  const dnnl_exec_arg_t arguments[] = {
    { DNNL_ARG_FROM, unpacks ? conv->weights : conv->plain_weights },
    { DNNL_ARG_TO, unpacks ? conv->plain_weights : conv->weights },
    { DNNL_ARG_SCRATCHPAD, conv->reorder_scratchpad },
  };
  dnnl_status_t status = dnnl_memory_set_data_handle (conv->plain_weights, plain);

  if (status == dnnl_success)
    status = dnnl_memory_set_data_handle (conv->reorder_scratchpad, scratchpad);
  if (status == dnnl_success)
    status = dnnl_primitive_execute (conv->reorder, conv->stream, G_N_ELEMENTS (arguments), arguments);
  return status;
}

gboolean
du_conv_pack (DuConv *conv, const void *weights, void *scratch, GError **error)
{
  if (conv->winograd) {
    du_winograd_pack (conv->winograd, weights);
    return TRUE;
  }
  return check (reorder (conv, (void *) weights, scratch), "pack weights", error);
}

typedef struct
{
  dnnl_exec_arg_t list[8];
  int n;
  dnnl_status_t status;
} Arguments;

static void
set (Arguments *to, int index, dnnl_memory_t memory, const void *data)
{
  to->list[to->n++] = (dnnl_exec_arg_t){ index, memory };
  if (to->status == dnnl_success)
    to->status = dnnl_memory_set_data_handle (memory, (void *) data);
}

gboolean
du_conv_run (DuConv *conv, const DuConvArguments *arguments, void *scratch, GError **error)
{
  const DuConvShape *shape = &conv->shape;
  const int binary = DNNL_ARG_ATTR_MULTIPLE_POST_OP (shape->sum + shape->relu) | DNNL_ARG_SRC_1;
  const int next = DNNL_ARG_ATTR_MULTIPLE_POST_OP (shape->sum + shape->relu + 1) | DNNL_ARG_SRC_1;
  const gboolean forward = shape->kind == DU_CONV_FORWARD, weights = shape->kind == DU_CONV_WEIGHTS;
  void *scratchpad = (char *) scratch + (weights ? conv->weights_size : 0);
  Arguments to = { .status = dnnl_success };

  if (conv->winograd) {
    du_winograd_run (conv->winograd, arguments, scratch);
    return TRUE;
  }
  if (conv->gradient) {
    du_gradient_run (shape, conv->threads, arguments, scratch);
    return TRUE;
  }
  set (&to, shape->kind == DU_CONV_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, conv->source, arguments->source);
  set (&to, forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, conv->destination, arguments->destination);
  set (&to, weights ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, conv->weights,
      weights ? scratch : conv->packed);
  set (&to, DNNL_ARG_SCRATCHPAD, conv->scratchpad, scratchpad);
  if (shape->bias)
    set (&to, DNNL_ARG_BIAS, conv->bias, arguments->bias);
  if (shape->affine) {
    set (&to, binary, conv->scale, arguments->scale);
    set (&to, next, conv->shift, arguments->shift);
  }
  if (to.status == dnnl_success)
    to.status = dnnl_primitive_execute (conv->primitive, conv->stream, to.n, to.list);
  if (to.status == dnnl_success && weights)
    to.status = reorder (conv, arguments->weights, scratchpad);
  return check (to.status, "run a convolution", error);
}

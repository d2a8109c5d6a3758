/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session.h"

#include <string.h>

GST_DEBUG_CATEGORY_EXTERN (gst_deblurunet_debug);
#define GST_CAT_DEFAULT gst_deblurunet_debug

#define WEIGHTS_VARIABLE "DEBLURUNET_WEIGHTS"

void
gst_deblurunet_post_error (GstElement *element, const GError *error, gboolean fatal)
{
  GQuark domain = error->domain;
  int code = error->code;

  if (error->domain == DU_ERROR)
    switch ((DuError) error->code) {
    case DU_ERROR_NOT_FOUND:
      domain = GST_RESOURCE_ERROR;
      code = GST_RESOURCE_ERROR_NOT_FOUND;
      break;
    case DU_ERROR_OPEN:
      domain = GST_RESOURCE_ERROR;
      code = GST_RESOURCE_ERROR_OPEN_READ;
      break;
    case DU_ERROR_IO:
      domain = GST_RESOURCE_ERROR;
      code = GST_RESOURCE_ERROR_READ;
      break;
    case DU_ERROR_MEMORY:
      domain = GST_RESOURCE_ERROR;
      code = GST_RESOURCE_ERROR_NO_SPACE_LEFT;
      break;
    case DU_ERROR_FORMAT:
      domain = GST_STREAM_ERROR;
      code = GST_STREAM_ERROR_WRONG_TYPE;
      break;
    case DU_ERROR_UNAVAILABLE:
      domain = GST_LIBRARY_ERROR;
      code = GST_LIBRARY_ERROR_INIT;
      break;
    case DU_ERROR_ARGUMENT:
      domain = GST_LIBRARY_ERROR;
      code = GST_LIBRARY_ERROR_SETTINGS;
      break;
    case DU_ERROR_BACKEND:
    case DU_ERROR_CANCELLED:
      domain = GST_LIBRARY_ERROR;
      code = GST_LIBRARY_ERROR_FAILED;
      break;
    }
  gst_element_message_full (element, fatal ? GST_MESSAGE_ERROR : GST_MESSAGE_WARNING, domain, code,
      g_strdup (error->message), g_strdup (error->message), __FILE__, GST_FUNCTION, __LINE__);
}

void
gst_deblurunet_post_gpu_warning (GstElement *element, const GError *error)
{
  GST_ELEMENT_WARNING (element, LIBRARY, FAILED,
      ("The CPU deblurs this frame and those after it, more slowly: %s. Set on-gpu-error=fail for an error instead.",
          error->message),
      ("%s", error->message));
}

/* The path to load; g_free. A bare word that is no file is one of the networks that come with the element. */
static char *
weights_path (const char *property)
{
  const char *variable = g_getenv (WEIGHTS_VARIABLE);
  g_autofree char *standard = variable && *variable
                                  ? g_strdup (variable)
                                  : g_build_filename (DU_WEIGHTS_DIR, "deblurunet.safetensors", NULL);
  g_autofree char *folder = NULL, *name = NULL;

  if (!property)
    return g_steal_pointer (&standard);
  if (!*property || strpbrk (property, "/.") || g_file_test (property, G_FILE_TEST_EXISTS))
    return g_strdup (property);
  folder = g_path_get_dirname (standard);
  name = g_strdup_printf ("deblurunet-%s.safetensors", property);
  return g_build_filename (folder, name, NULL);
}

DuSession *
gst_deblurunet_session_open (
    GstElement *element, const char *weights, const DuSessionOptions *options, GError **error)
{
  g_autofree char *path = weights_path (weights);
  g_autoptr (DuModel) model = NULL;
  g_autoptr (GError) problem = NULL;
  DuSession *session = NULL;

  model = du_model_load (path, &problem);
  if (model)
    session = du_session_open (model, options, &problem);
  if (session) {
    if (du_model_warning (model))
      GST_ELEMENT_WARNING (element, STREAM, WRONG_TYPE, ("%s", du_model_warning (model)), (NULL));
    if (du_session_note (session) && g_str_has_prefix (du_session_note (session), DU_NOTE_NO_GPU))
      GST_ELEMENT_WARNING (element, LIBRARY, INIT, ("%s", du_session_note (session)), (NULL));
    else if (du_session_note (session))
      GST_ELEMENT_INFO (element, LIBRARY, INIT, ("%s", du_session_note (session)), (NULL));
    GST_INFO_OBJECT (element, "%s on %s (%s), %s", path, du_session_backend (session),
        du_session_device (session), du_session_precision (session));
    return session;
  }
  if (!weights && g_error_matches (problem, DU_ERROR, DU_ERROR_NOT_FOUND))
    g_set_error (error, DU_ERROR, DU_ERROR_NOT_FOUND,
        "the default weights are not at %s: install deblurunet, or name a weights file by the property "
        "'weights' or the environment variable " WEIGHTS_VARIABLE,
        path);
  else if (weights && g_error_matches (problem, DU_ERROR, DU_ERROR_NOT_FOUND))
    g_set_error (error, DU_ERROR, DU_ERROR_NOT_FOUND,
        "%s: set weights to the path of a weights file, to clean or small for a network that comes with the "
        "element, or leave it out for the default",
        problem->message);
  else
    g_propagate_error (error, g_steal_pointer (&problem));
  return NULL;
}

gboolean
gst_deblurunet_session_has_cuda (const DuSession *session)
{
  return g_str_equal (du_session_backend (session), "cuda");
}

void
gst_deblurunet_post_cuda_error (GstElement *element, const DuSession *session, const GError *error)
{
  const char *reason = error ? error->message : du_session_note (session);

  GST_ELEMENT_ERROR (element, STREAM, FORMAT,
      ("Frames in CUDA memory cannot be deblurred: %s. Put cudadownload before deblurunet, or set backend=cuda or "
       "auto on a machine with a GPU.",
          reason ? reason : "the back end is the CPU"),
      (NULL));
}

void
gst_deblurunet_options_on_cpu (DuSessionOptions *options)
{
  const gboolean exact = options->precision == DU_PRECISION_F32 || options->precision == DU_PRECISION_TF32;
  const int threads = options->threads;

  du_session_options_init (options);
  options->backend = DU_BACKEND_CPU;
  options->precision = exact ? DU_PRECISION_F32 : DU_PRECISION_AUTO;
  options->threads = threads;
}

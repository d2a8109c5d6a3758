/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#include "compare.h"
#include "cudamemory.h"
#include "session.h"

void
gst_deblurunet_engine_clear (GstDeblurunetEngine *engine)
{
  for (int i = 0; i < GST_DEBLURUNET_N_PICTURES; i++)
    g_clear_pointer (&engine->deblurrer[i], du_deblurrer_free);
  engine->session = NULL;
}

/* What deblurs the job's frame. */
static DuSession *
session_of (const GstDeblurunetJob *job)
{
  return job->cpu ? job->cpu : job->session;
}

/* Deblurrers of other caps go, those of another session take the job's. */
static void
engine_prepare (GstDeblurunetEngine *engine, const GstDeblurunetJob *job)
{
  DuSession *session = session_of (job);

  if (engine->caps != job->caps)
    gst_deblurunet_engine_clear (engine);
  for (int i = 0; engine->session != session && i < GST_DEBLURUNET_N_PICTURES; i++)
    if (engine->deblurrer[i])
      du_deblurrer_set_session (engine->deblurrer[i], session);
  engine->caps = job->caps;
  engine->session = session;
}

/* The deblurrer of whole frames or of a field. */
static DuDeblurrer *
get_deblurrer (
    GstDeblurunetEngine *engine, const GstDeblurunetJob *job, GstDeblurunetPicture picture, GError **error)
{
  DuFrameInfo info;

  if (!engine->deblurrer[picture]) {
    gst_deblurunet_frame_info (&job->in_info, picture, &info);
    engine->deblurrer[picture] = du_deblurrer_new (session_of (job), &info, &job->tiles, error);
  }
  return engine->deblurrer[picture];
}

/* CUDA memory has a layout of its own, which the buffers' may differ in. */
static gboolean
has_fields (const GstDeblurunetJob *job, const GstVideoFrame *in, const GstVideoFrame *out)
{
  if (job->memory == DU_MEMORY_HOST)
    return gst_deblurunet_has_fields (in, &job->in_info);
  return gst_deblurunet_has_fields (in, &in->info) && gst_deblurunet_has_fields (out, &out->info);
}

static gboolean
deblur (GstDeblurunetJob *job, GstDeblurunetEngine *engine, const GstVideoFrame *in, const GstVideoFrame *out,
    GError **error)
{
  gboolean fields = has_fields (job, in, out);
  GstDeblurunetPicture last = fields ? GST_DEBLURUNET_BOTTOM_FIELD : GST_DEBLURUNET_WHOLE;

  engine_prepare (engine, job);
  job->used = (GstDeblurunetTiles){ 0 };
  job->times = (GstDeblurunetTimes){ 0 };
  for (GstDeblurunetPicture i = fields ? GST_DEBLURUNET_TOP_FIELD : GST_DEBLURUNET_WHOLE; i <= last; i++) {
    DuFrame from, to;
    DuDeblurrer *deblurrer;
    DuDeblurrerStats stats;
    gboolean ok;

    if (gst_deblurunet_picture_height (GST_VIDEO_FRAME_HEIGHT (in), i) == 0)
      continue;
    gst_deblurunet_frame_planes (in, i, &from);
    gst_deblurunet_frame_planes (out, i, &to);
    from.memory = to.memory = job->memory;
    deblurrer = get_deblurrer (engine, job, i, error);
    if (!deblurrer)
      return FALSE;
    du_deblurrer_set_cancel (deblurrer, &job->abandoned);
    ok = du_deblurrer_process (deblurrer, &from, &to, job->strength, error);
    du_deblurrer_set_cancel (deblurrer, NULL);
    if (!ok)
      return FALSE;
    du_deblurrer_get_stats (deblurrer, &stats);
    job->used.n += stats.tiles_per_frame;
    job->used.height = stats.tile_height;
    job->used.width = stats.tile_width;
    job->times.gather_ms += stats.gather_ms;
    job->times.network_ms += stats.network_ms;
    job->times.scatter_ms += stats.scatter_ms;
  }
  return TRUE;
}

/* Whether it was the GPU, or its memory, that a frame failed of. */
static gboolean
gpu_failed (const GstDeblurunetJob *job, const GError *error)
{
  return g_str_equal (du_session_backend (job->session), "cuda")
         && (g_error_matches (error, DU_ERROR, DU_ERROR_BACKEND) || g_error_matches (error, DU_ERROR, DU_ERROR_MEMORY)
             || g_error_matches (error, DU_ERROR, DU_ERROR_UNAVAILABLE));
}

/* Where the GPU fails and the user wants it so, once more on the CPU, which does not reach frames in CUDA memory. */
static gboolean
deblur_somewhere (
    GstDeblurunetJob *job, GstDeblurunetEngine *engine, const GstVideoFrame *in, const GstVideoFrame *out)
{
  if (deblur (job, engine, in, out, &job->error))
    return TRUE;
  if (job->on_gpu_error != GST_DEBLURUNET_ON_GPU_ERROR_CPU || job->memory != DU_MEMORY_HOST
      || !gpu_failed (job, job->error))
    return FALSE;
  job->gpu_error = g_steal_pointer (&job->error);
  gst_deblurunet_options_on_cpu (&job->options);
  job->cpu = du_session_open (du_session_model (job->session), &job->options, &job->error);
  if (job->cpu && deblur (job, engine, in, out, &job->error))
    return TRUE;
  g_prefix_error (&job->error, "%s; then on the CPU: ", job->gpu_error->message);
  return FALSE;
}

/* Where the result goes in the mapped output. */
static GstVideoFrame
result_in (const GstDeblurunetJob *job, const GstVideoFrame *in, const GstVideoFrame *out)
{
  return gst_deblurunet_compare_is_wide (&job->in_info, &job->out_info) ? gst_deblurunet_compare_after (in, out)
                                                                        : *out;
}

/* What of the input is seen beside the result. In the host's memory. */
static void
show_input (GstDeblurunetJob *job, const GstVideoFrame *in, const GstVideoFrame *out)
{
  GstVideoFrame result = result_in (job, in, out);

  if (!job->deblur)
    gst_deblurunet_compare_copy (in, &result);
  if (gst_deblurunet_compare_is_wide (&job->in_info, &job->out_info))
    gst_deblurunet_compare_side_by_side (in, out);
  else if (job->deblur && job->compare == GST_DEBLURUNET_COMPARE_SPLIT)
    gst_deblurunet_compare_split (in, out, job->split_position);
}

static gboolean
map_frame (const GstDeblurunetJob *job, DuMemory where, GstVideoFrame *frame, const GstVideoInfo *info,
    GstBuffer *buffer, GstMapFlags flags)
{
  return job->memory == DU_MEMORY_CUDA ? gst_deblurunet_cuda_frame_map (frame, info, buffer, flags, where)
                                       : gst_deblurunet_frame_map (frame, info, buffer, flags);
}

/* Maps by ourselves: GstVideoFilter lets a frame that cannot be mapped go downstream with garbage in it. Sets
 * job->error. */
static gboolean
map_frames (
    GstDeblurunetJob *job, DuMemory where, GstMapFlags output_flags, GstVideoFrame *in, GstVideoFrame *out)
{
  const char *memory = job->memory == DU_MEMORY_CUDA ? " in CUDA memory" : "";

  if (!map_frame (job, where, in, &job->in_info, job->input, GST_MAP_READ)) {
    g_set_error (&job->error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
        "A buffer of %" G_GSIZE_FORMAT
        " bytes does not hold a frame of %s, %dx%d%s: the element before deblurunet makes broken frames.",
        gst_buffer_get_size (job->input), GST_VIDEO_INFO_NAME (&job->in_info),
        GST_VIDEO_INFO_WIDTH (&job->in_info), GST_VIDEO_INFO_HEIGHT (&job->in_info), memory);
    return FALSE;
  }
  if (map_frame (job, where, out, &job->out_info, job->output, output_flags))
    return TRUE;
  g_set_error (&job->error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_WRITE,
      "A buffer of %" G_GSIZE_FORMAT
      " bytes, which the elements after deblurunet gave, cannot take a frame of %s, %dx%d%s.",
      gst_buffer_get_size (job->output), GST_VIDEO_INFO_NAME (&job->out_info),
      GST_VIDEO_INFO_WIDTH (&job->out_info), GST_VIDEO_INFO_HEIGHT (&job->out_info), memory);
  gst_video_frame_unmap (in);
  return FALSE;
}

static void
unmap_frames (GstVideoFrame *in, GstVideoFrame *out)
{
  gst_video_frame_unmap (out);
  gst_video_frame_unmap (in);
}

void
gst_deblurunet_job_run (GstDeblurunetJob *job, GstDeblurunetEngine *engine)
{
  const gboolean compares = job->compare == GST_DEBLURUNET_COMPARE_SPLIT
                            || gst_deblurunet_compare_is_wide (&job->in_info, &job->out_info);
  GstVideoFrame in, out, result;

  if (job->input == job->output)
    return;
  if (job->deblur) {
    if (!map_frames (job, job->memory, GST_MAP_WRITE, &in, &out))
      return;
    result = result_in (job, &in, &out);
    if (deblur_somewhere (job, engine, &in, &result) && compares && job->memory == DU_MEMORY_HOST)
      show_input (job, &in, &out);
    unmap_frames (&in, &out);
    if (job->error || !compares || job->memory == DU_MEMORY_HOST)
      return;
  }
  if (!map_frames (job, DU_MEMORY_HOST, job->deblur ? GST_MAP_READWRITE : GST_MAP_WRITE, &in, &out))
    return;
  show_input (job, &in, &out);
  unmap_frames (&in, &out);
}

void
gst_deblurunet_job_free (GstDeblurunetJob *job)
{
  if (job->output != job->input)
    gst_clear_buffer (&job->output);
  gst_clear_buffer (&job->input);
  g_clear_pointer (&job->session, du_session_unref);
  g_clear_pointer (&job->cpu, du_session_unref);
  g_clear_error (&job->gpu_error);
  g_clear_error (&job->error);
  g_free (job);
}

GstBuffer *
gst_deblurunet_job_take_output (GstDeblurunetJob *job)
{
  GstBuffer *output = gst_buffer_ref (job->output);

  gst_deblurunet_job_free (job);
  return output;
}

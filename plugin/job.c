/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#include "compare.h"

void
gst_deblurunet_engine_clear (GstDeblurunetEngine *engine)
{
  for (int i = 0; i < GST_DEBLURUNET_N_PICTURES; i++)
    g_clear_pointer (&engine->deblurrer[i], du_deblurrer_free);
  engine->session = NULL;
}

/* Deblurrers of other caps go, those of another session take the job's. */
static void
engine_prepare (GstDeblurunetEngine *engine, const GstDeblurunetJob *job)
{
  if (engine->caps != job->caps)
    gst_deblurunet_engine_clear (engine);
  for (int i = 0; engine->session != job->session && i < GST_DEBLURUNET_N_PICTURES; i++)
    if (engine->deblurrer[i])
      du_deblurrer_set_session (engine->deblurrer[i], job->session);
  engine->caps = job->caps;
  engine->session = job->session;
}

/* The deblurrer of whole frames or of a field. */
static DuDeblurrer *
get_deblurrer (
    GstDeblurunetEngine *engine, const GstDeblurunetJob *job, GstDeblurunetPicture picture, GError **error)
{
  DuFrameInfo info;

  if (!engine->deblurrer[picture]) {
    gst_deblurunet_frame_info (&job->in_info, picture, &info);
    engine->deblurrer[picture] = du_deblurrer_new (job->session, &info, &job->tiles, error);
  }
  return engine->deblurrer[picture];
}

static gboolean
deblur (GstDeblurunetJob *job, GstDeblurunetEngine *engine, const GstVideoFrame *in, const GstVideoFrame *out,
    GError **error)
{
  gboolean fields = gst_deblurunet_has_fields (in, &job->in_info);
  GstDeblurunetPicture last = fields ? GST_DEBLURUNET_BOTTOM_FIELD : GST_DEBLURUNET_WHOLE;

  engine_prepare (engine, job);
  for (GstDeblurunetPicture i = fields ? GST_DEBLURUNET_TOP_FIELD : GST_DEBLURUNET_WHOLE; i <= last; i++) {
    DuFrame from, to;
    DuDeblurrer *deblurrer;
    DuDeblurrerStats stats;
    gboolean ok;

    if (gst_deblurunet_picture_height (GST_VIDEO_FRAME_HEIGHT (in), i) == 0)
      continue;
    gst_deblurunet_frame_planes (in, i, &from);
    gst_deblurunet_frame_planes (out, i, &to);
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

static void
process (GstDeblurunetJob *job, GstDeblurunetEngine *engine, const GstVideoFrame *in, const GstVideoFrame *out)
{
  gboolean side_by_side = gst_deblurunet_compare_is_wide (&job->in_info, &job->out_info);
  GstVideoFrame result = side_by_side ? gst_deblurunet_compare_after (in, out) : *out;

  if (!job->deblur)
    gst_deblurunet_compare_copy (in, &result);
  else if (!deblur (job, engine, in, &result, &job->error))
    return;
  if (side_by_side)
    gst_deblurunet_compare_side_by_side (in, out);
  else if (job->deblur && job->compare == GST_DEBLURUNET_COMPARE_SPLIT)
    gst_deblurunet_compare_split (in, out, job->split_position);
}

/* Maps by ourselves: GstVideoFilter lets a frame that cannot be mapped go downstream with garbage in it. */
void
gst_deblurunet_job_run (GstDeblurunetJob *job, GstDeblurunetEngine *engine)
{
  GstVideoFrame in, out;

  if (job->input == job->output)
    return;
  if (!gst_deblurunet_frame_map (&in, &job->in_info, job->input, GST_MAP_READ)) {
    g_set_error (&job->error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
        "A buffer of %" G_GSIZE_FORMAT
        " bytes does not hold a frame of %s, %dx%d: the element before deblurunet makes broken frames.",
        gst_buffer_get_size (job->input), GST_VIDEO_INFO_NAME (&job->in_info),
        GST_VIDEO_INFO_WIDTH (&job->in_info), GST_VIDEO_INFO_HEIGHT (&job->in_info));
    return;
  }
  if (gst_deblurunet_frame_map (&out, &job->out_info, job->output, GST_MAP_WRITE)) {
    process (job, engine, &in, &out);
    gst_video_frame_unmap (&out);
  } else {
    g_set_error (&job->error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_WRITE,
        "A buffer of %" G_GSIZE_FORMAT
        " bytes, which the elements after deblurunet gave, cannot take a frame of %s, %dx%d.",
        gst_buffer_get_size (job->output), GST_VIDEO_INFO_NAME (&job->out_info),
        GST_VIDEO_INFO_WIDTH (&job->out_info), GST_VIDEO_INFO_HEIGHT (&job->out_info));
  }
  gst_video_frame_unmap (&in);
}

void
gst_deblurunet_job_free (GstDeblurunetJob *job)
{
  if (job->output != job->input)
    gst_clear_buffer (&job->output);
  gst_clear_buffer (&job->input);
  g_clear_pointer (&job->session, du_session_unref);
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

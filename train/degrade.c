/* Drawing and applying degradations.
 *
 * A still becomes a sequence by panning over it, so most stages work on a window of the picture that is
 * larger than what is asked for: by what the blurs reach, by the pan, and by a margin so that the codec's
 * blocks and predictions at the window's border do not show. Beyond the picture the window continues by
 * reflection.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "degrade-filter.h"
#include "degrade-recipe.h"

#include <math.h>
#include <string.h>

enum
{
  CODEC_MARGIN = 16, /* pixels round a crop */
  CODEC_GRID = 16,   /* a crop's place in the codec's grid is drawn from so many */
};

/* ---- drawing ------------------------------------------------------------------------------- */

/* [0, 1) */
static double
draw_unit (Random *random)
{
  return (double) (random_next (random) >> 11) * 0x1p-53;
}

static double
draw_range (Random *random, const RecipeRange *range)
{
  return range->low + (range->high - range->low) * draw_unit (random);
}

static int
draw_whole (Random *random, const RecipeRange *range)
{
  return (int) range->low + (int) random_below (random, (guint32) (range->high - range->low) + 1);
}

static void
draw_stage (const RecipeStage *stage, Random *random, DegradeStage *drawn)
{
  *drawn = (DegradeStage){ .kind = stage->kind };
  switch (stage->kind) {
  case DEGRADE_BLUR_LIST:
    drawn->kernel = stage->kernels[random_below (random, stage->n_kernels)];
    break;
  case DEGRADE_BLUR_SIGMA: /* as large as the paper's are for their sigmas */
    drawn->kernel.sigma = draw_range (random, &stage->range);
    drawn->kernel.size = 2 * (int) ceil (3 * drawn->kernel.sigma) + 1;
    break;
  case DEGRADE_BLUR_ANISOTROPIC:
    drawn->value = draw_range (random, &stage->range);
    drawn->across = draw_range (random, &stage->range);
    drawn->angle = G_PI * draw_unit (random);
    break;
  case DEGRADE_BLUR_MOTION:
    drawn->value = draw_range (random, &stage->range);
    drawn->angle = G_PI * draw_unit (random);
    break;
  case DEGRADE_BLUR_DISC:
    drawn->value = draw_range (random, &stage->range);
    break;
  case DEGRADE_NOISE_GAUSS:
  case DEGRADE_NOISE_POISSON:
    drawn->value = draw_range (random, &stage->range);
    drawn->seed = random_next (random);
    break;
  case DEGRADE_CODEC:
    drawn->codec = (CodecOptions){ stage->codec, draw_whole (random, &stage->range),
      draw_whole (random, &stage->gop), stage->fast };
    break;
  case DEGRADE_YUV420:
    break;
  }
}

void
degrade_draw (const Degrade *degrade, int chain, Random *random, Degradation *drawn)
{
  const RecipeChain *chains = (const RecipeChain *) degrade->chains->data;
  RecipeRange pan = { 0, 0 };
  double sum = 0, speed, direction;

  if (chain < 0) {
    double at;

    for (guint i = 0; i < degrade->chains->len; i++)
      sum += chains[i].weight;
    at = sum * draw_unit (random);
    for (chain = 0; chain + 1 < (int) degrade->chains->len && at >= chains[chain].weight; chain++)
      at -= chains[chain].weight;
  }
  *drawn = (Degradation){ .n = chains[chain].n, .frames = 1 };
  for (guint i = 0; i < drawn->n; i++) {
    const RecipeStage *stage = &chains[chain].stage[i];

    draw_stage (stage, random, &drawn->stage[i]);
    if (stage->kind != DEGRADE_CODEC)
      continue;
    drawn->frames = MAX (drawn->frames, drawn->stage[i].codec.gop);
    drawn->clip |= stage->clip;
    pan = (RecipeRange){ MAX (pan.low, stage->pan.low), MAX (pan.high, stage->pan.high) };
  }
  drawn->kept = (int) random_below (random, (guint32) drawn->frames);
  speed = draw_range (random, &pan);
  direction = 2 * G_PI * draw_unit (random);
  drawn->pan[0] = speed * sin (direction);
  drawn->pan[1] = speed * cos (direction);
  for (int i = 0; i < 2; i++)
    drawn->phase[i] = (int) random_below (random, CODEC_GRID);
}

gboolean
degradation_fit_clip (Degradation *degradation, guint before, guint after)
{
  guint more = (guint) degradation->frames - 1;

  degradation->clip = degradation->clip && more > 0 && before + after >= more;
  if (degradation->clip && (guint) degradation->kept > before)
    degradation->kept = (int) before;
  else if (degradation->clip && more - (guint) degradation->kept > after)
    degradation->kept = (int) (more - after);
  return degradation->clip;
}

char *
degradation_text (const Degradation *degradation)
{
  GString *text = g_string_new (degradation->n ? NULL : "none");

  for (guint i = 0; i < degradation->n; i++) {
    const DegradeStage *stage = &degradation->stage[i];
    double degrees = stage->angle * 180 / G_PI;

    g_string_append (text, i ? " > " : "");
    switch (stage->kind) {
    case DEGRADE_BLUR_LIST:
    case DEGRADE_BLUR_SIGMA:
      g_string_append_printf (text, "blur=%d:%.6g", stage->kernel.size, stage->kernel.sigma);
      break;
    case DEGRADE_BLUR_ANISOTROPIC:
      g_string_append_printf (
          text, "blur=anisotropic:%.6g,%.6g at %.4g degrees", stage->value, stage->across, degrees);
      break;
    case DEGRADE_BLUR_MOTION:
      g_string_append_printf (text, "blur=motion:%.6g at %.4g degrees", stage->value, degrees);
      break;
    case DEGRADE_BLUR_DISC:
      g_string_append_printf (text, "blur=disc:%.6g", stage->value);
      break;
    case DEGRADE_NOISE_GAUSS:
    case DEGRADE_NOISE_POISSON:
      g_string_append_printf (
          text, "noise=%s:%.6g", stage->kind == DEGRADE_NOISE_GAUSS ? "gauss" : "poisson", stage->value);
      break;
    case DEGRADE_CODEC:
      g_string_append_printf (text, "%s=%s:%g", codec_name (stage->codec.kind),
          stage->codec.kind == CODEC_JPEG ? "quality" : "crf", stage->codec.quality);
      if (stage->codec.kind != CODEC_JPEG)
        g_string_append_printf (text, ",gop:%d", stage->codec.gop);
      break;
    case DEGRADE_YUV420:
      g_string_append (text, "yuv420");
      break;
    }
  }
  if (degradation->clip)
    g_string_append_printf (
        text, " (frame %d of %d of the clip)", degradation->kept + 1, degradation->frames);
  else if (degradation->frames > 1)
    g_string_append_printf (text, " (frame %d of %d, pan %.3g down and %.3g right)", degradation->kept + 1,
        degradation->frames, degradation->pan[0], degradation->pan[1]);
  return g_string_free (text, FALSE);
}

/* ---- applying ------------------------------------------------------------------------------ */

static gboolean
is_blur (const DegradeStage *stage)
{
  return stage->kind <= DEGRADE_BLUR_DISC;
}

/* How far a stage looks. */
static int
reach_of (const DegradeStage *stage)
{
  switch (stage->kind) {
  case DEGRADE_BLUR_LIST:
  case DEGRADE_BLUR_SIGMA:
    return stage->kernel.size / 2;
  case DEGRADE_BLUR_ANISOTROPIC:
    return (int) ceil (3 * MAX (stage->value, stage->across));
  case DEGRADE_BLUR_MOTION:
    return (int) ceil (stage->value / 2);
  case DEGRADE_BLUR_DISC:
    return (int) ceil (stage->value);
  default:
    return 0;
  }
}

static void
apply_blur (const DegradeStage *stage, int height, int width, const guint8 *from, guint8 *to)
{
  g_auto (FilterKernel) kernel = { 0 };

  switch (stage->kind) {
  case DEGRADE_BLUR_ANISOTROPIC:
    filter_anisotropic (&kernel, stage->value, stage->across, stage->angle);
    break;
  case DEGRADE_BLUR_MOTION:
    filter_motion (&kernel, stage->value, stage->angle);
    break;
  case DEGRADE_BLUR_DISC:
    filter_disc (&kernel, stage->value);
    break;
  default:
    synth_blur (&stage->kernel, height, width, from, to);
    return;
  }
  filter_apply (&kernel, height, width, from, to);
}

/* A sequence of equal frames, in one block; spare is where a stage's result goes. */
typedef struct
{
  int n, height, width;
  guint8 *block, *spare;
  guint8 **frame, **next;
} Frames;

static void
frames_clear (Frames *frames)
{
  g_free (frames->block);
  g_free (frames->spare);
  g_free (frames->frame);
  g_free (frames->next);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Frames, frames_clear)

static gboolean
frames_allocate (Frames *frames, GError **error)
{
  gsize size = (gsize) frames->height * frames->width * 3;

  frames->block = g_try_malloc_n ((gsize) frames->n, size);
  frames->spare = g_try_malloc_n ((gsize) frames->n, size);
  if (!frames->block || !frames->spare) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory to degrade %d frames of %dx%d",
        frames->n, frames->width, frames->height);
    return FALSE;
  }
  frames->frame = g_new (guint8 *, frames->n);
  frames->next = g_new (guint8 *, frames->n);
  for (int i = 0; i < frames->n; i++) {
    frames->frame[i] = frames->block + (gsize) i * size;
    frames->next[i] = frames->spare + (gsize) i * size;
  }
  return TRUE;
}

static gboolean
through_yuv420 (int height, int width, const guint8 *from, guint8 *to, GError **error)
{
  g_autofree guint8 *yuv = NULL;
  GstVideoInfo info;

  yuv_info (height, width, &info);
  yuv = g_try_malloc (info.size);
  if (!yuv) {
    g_set_error (error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory for a frame of %dx%d", width, height);
    return FALSE;
  }
  yuv_from_rgb (&info, height, width, from, yuv);
  return yuv_to_rgb (&info, yuv, height, width, to, error);
}

typedef struct
{
  const Frames *frames;
  int only; /* the frame that is wanted; -1 = all */
  GstVideoInfo info;
} Coding;

/* As CodecFunc. */
static gboolean
take_decoded (guint frame, const guint8 *yuv, gpointer data, GError **error)
{
  const Coding *coding = data;
  const Frames *frames = coding->frames;

  if (frame >= (guint) frames->n || (coding->only >= 0 && frame != (guint) coding->only))
    return TRUE;
  return yuv_to_rgb (&coding->info, yuv, frames->height, frames->width, frames->next[frame], error);
}

/* As codec_round_trip(), without what is not wanted. */
static gboolean
apply_codec (const CodecOptions *options, const Frames *frames, int only, GError **error)
{
  Coding coding = { .frames = frames, .only = only };
  g_autoptr (Codec) codec = NULL;
  g_autofree guint8 *yuv = NULL;

  yuv_info (frames->height, frames->width, &coding.info);
  codec = codec_open (options, frames->height, frames->width, take_decoded, &coding, error);
  if (!codec)
    return FALSE;
  yuv = g_malloc (coding.info.size);
  for (int i = 0; i < frames->n; i++) {
    yuv_from_rgb (&coding.info, frames->height, frames->width, frames->frame[i], yuv);
    if (!codec_push (codec, yuv, error))
      return FALSE;
  }
  return codec_finish (codec, NULL, error);
}

/* only: the one frame that later stages need, -1 = all. */
static gboolean
apply_stage (const DegradeStage *stage, Frames *frames, int only, GError **error)
{
  guint8 **swap = frames->frame;

  switch (stage->kind) {
  case DEGRADE_NOISE_GAUSS:
  case DEGRADE_NOISE_POISSON:
    for (int i = 0; i < frames->n; i++)
      filter_noise ((gsize) frames->height * frames->width * 3, stage->value,
          stage->kind == DEGRADE_NOISE_POISSON, stage->seed + (guint64) i, frames->frame[i]);
    return TRUE;
  case DEGRADE_CODEC:
    if (!apply_codec (&stage->codec, frames, only, error))
      return FALSE;
    break;
  case DEGRADE_YUV420:
    for (int i = 0; i < frames->n; i++)
      if (!through_yuv420 (frames->height, frames->width, frames->frame[i], frames->next[i], error))
        return FALSE;
    break;
  default:
    for (int i = 0; i < frames->n; i++)
      apply_blur (stage, frames->height, frames->width, frames->frame[i], frames->next[i]);
    break;
  }
  frames->frame = frames->next;
  frames->next = swap;
  if (only >= 0) {
    frames->frame[0] = frames->frame[only];
    frames->n = 1;
  }
  return TRUE;
}

/* What is computed, in pixels. */
typedef struct
{
  guint stills;      /* blurs that come first: of a still they are done once for all frames */
  guint last_video;  /* the last stage that needs all frames; G_MAXUINT = none */
  int n;             /* frames */
  int height, width; /* of a frame */
  int above, before; /* rows and columns of a frame in front of what is asked for */
  gboolean yuv420;   /* has a stage of it */
  int border;        /* of the still round a frame, for these blurs and the pan */
} Window;

static void
window_init (Window *window, const Degradation *degradation, gboolean whole, int height, int width)
{
  double pan = MAX (fabs (degradation->pan[0]), fabs (degradation->pan[1])) * (degradation->frames - 1);
  gboolean looks_ahead = FALSE;
  int reach = 0, margin = 0, grid;

  *window = (Window){ .height = height, .width = width, .last_video = G_MAXUINT };
  while (window->stills < degradation->n && is_blur (&degradation->stage[window->stills]))
    reach += reach_of (&degradation->stage[window->stills++]);
  for (guint i = window->stills; i < degradation->n; i++) {
    const DegradeStage *stage = &degradation->stage[i];

    margin += reach_of (stage);
    window->yuv420 |= stage->kind == DEGRADE_CODEC || stage->kind == DEGRADE_YUV420;
    if (stage->kind != DEGRADE_CODEC || stage->codec.kind == CODEC_JPEG)
      continue;
    window->last_video = i;
    looks_ahead |= !stage->codec.fast;
  }
  window->border = reach + 2 + (int) ceil (pan); /* 2: for the interpolation */
  window->n = looks_ahead ? degradation->frames : degradation->kept + 1;
  if (!whole) {
    margin += window->yuv420 ? CODEC_MARGIN : 0;
    window->above = margin + (window->yuv420 ? degradation->phase[0] : 0);
    window->before = margin + (window->yuv420 ? degradation->phase[1] : 0);
    window->height += window->above + margin;
    window->width += window->before + margin;
  }
  /* The chroma of whole pictures has even sizes; crops end with the grid. */
  grid = !window->yuv420 ? 1 : whole ? 2 : CODEC_GRID;
  window->height = (window->height + grid - 1) / grid * grid;
  window->width = (window->width + grid - 1) / grid * grid;
}

/* A picture of the window with its border, blurred; NULL with an error. */
static guint8 *
make_canvas (const Degradation *degradation, const Window *window, const DegradePicture *picture,
    const guint8 *rgb, int top, int left, GError **error)
{
  int height = window->height + 2 * window->border, width = window->width + 2 * window->border;
  g_autofree guint8 *canvas = g_try_malloc_n ((gsize) height * 3, (gsize) width);
  g_autofree guint8 *spare = g_try_malloc_n ((gsize) height * 3, (gsize) width);

  if (!canvas || !spare) {
    g_set_error (
        error, DU_ERROR, DU_ERROR_MEMORY, "not enough memory to degrade a picture of %dx%d", width, height);
    return NULL;
  }
  filter_cut (picture->height, picture->width, rgb, top - window->above - window->border,
      left - window->before - window->border, height, width, canvas);
  for (guint i = 0; i < window->stills; i++) {
    guint8 *swap = canvas;

    apply_blur (&degradation->stage[i], height, width, canvas, spare);
    canvas = spare;
    spare = swap;
  }
  return g_steal_pointer (&canvas);
}

/* The kept frame shows the window; of a still, those before it what lies against the pan's direction. */
static gboolean
make_frames (const Degradation *degradation, const Window *window, const DegradePicture *picture, int top,
    int left, Frames *frames, GError **error)
{
  gboolean clip = degradation->clip && picture->clip;
  g_autofree guint8 *canvas = NULL;

  for (int i = 0; i < frames->n; i++) {
    double down = clip ? 0 : (i - degradation->kept) * degradation->pan[0];
    double right = clip ? 0 : (i - degradation->kept) * degradation->pan[1];

    if (clip || !canvas) {
      g_free (canvas);
      canvas = make_canvas (
          degradation, window, picture, clip ? picture->clip[i] : picture->rgb, top, left, error);
    }
    if (!canvas)
      return FALSE;
    filter_shift (window->width + 2 * window->border, canvas, window->border + down, window->border + right,
        frames->height, frames->width, frames->frame[i]);
  }
  return TRUE;
}

/* What is to be reached; see degradation_apply(). */
static gboolean
make_target (const Window *window, const DegradePicture *picture, int top, int left, int height, int width,
    guint8 *target, GError **error)
{
  gsize size = (gsize) window->height * window->width * 3;
  g_autofree guint8 *sharp = NULL, *coded = NULL;

  if (!window->yuv420) {
    filter_cut (picture->height, picture->width, picture->rgb, top, left, height, width, target);
    return TRUE;
  }
  sharp = g_malloc (size);
  coded = g_malloc (size);
  filter_cut (picture->height, picture->width, picture->rgb, top - window->above, left - window->before,
      window->height, window->width, sharp);
  if (!through_yuv420 (window->height, window->width, sharp, coded, error))
    return FALSE;
  filter_cut (window->height, window->width, coded, window->above, window->before, height, width, target);
  return TRUE;
}

gboolean
degradation_apply (const Degradation *degradation, const DegradePicture *picture, int top, int left,
    int height, int width, guint8 *to, guint8 *target, GError **error)
{
  gboolean whole = top == 0 && left == 0 && height == picture->height && width == picture->width;
  g_auto (Frames) frames = { 0 };
  Window window;

  window_init (&window, degradation, whole, height, width);
  frames.n = window.n;
  frames.height = window.height;
  frames.width = window.width;
  if (!frames_allocate (&frames, error)
      || !make_frames (degradation, &window, picture, top, left, &frames, error))
    return FALSE;
  for (guint i = window.stills; i < degradation->n; i++)
    if (!apply_stage (
            &degradation->stage[i], &frames, i == window.last_video ? degradation->kept : -1, error))
      return FALSE;
  filter_cut (window.height, window.width, frames.frame[0], window.above, window.before, height, width, to);
  return !target || make_target (&window, picture, top, left, height, width, target, error);
}

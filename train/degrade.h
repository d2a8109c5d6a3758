/* Degradations: what a picture goes through before the network sees it, in a small language.
 *
 *   recipe   chain { ; chain }          one chain is drawn for each use of a picture
 *   chain    [weight] stage { > stage } weight: how often against the other chains, 1 where not given
 *   stage    none
 *            blur=SIZE:SIGMA{,SIZE:SIGMA}  one of these Gaussian kernels, as synth_blur(): the paper's
 *            blur=sigma:RANGE              Gaussian, as large as the paper's for their sigma
 *            blur=anisotropic:RANGE        Gaussian of two sigmas, turned by any angle
 *            blur=motion:RANGE             a straight line of that length in pixels, at any angle
 *            blur=disc:RANGE               defocus: a disc of that radius in pixels
 *            noise=gauss:RANGE             sigma in 8-bit steps
 *            noise=poisson:RANGE           the same at white; its variance is proportional to the value
 *            CODEC=crf:RANGE[,gop:RANGE][,pan:RANGE][,motion:pan|clip][,preset:file|fast]
 *                                          h264, h265, vp9, av1: encoded and decoded as 4:2:0
 *            jpeg=quality:RANGE
 *            yuv420                        4:2:0 alone
 *   RANGE    A or A..B, drawn evenly
 *
 * A video codec gets gop (8) frames, one group of pictures, over which the view pans by pan (0..2) pixels a
 * frame in any direction; the frame that is kept is drawn from among them, and stands where the sharp picture
 * stands. gop:1 is an intra frame. motion:clip: a video's own frames instead, those round the one that is kept.
 * preset:file, the default, is how people encode files, with B-frames where the codec has them; preset:fast
 * takes half of the time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DEGRADE_H
#define DEGRADE_H

#include "codec.h"
#include "random.h"
#include "synth.h"

/* The language, for --help. */
#define DEGRADE_HELP \
  "RECIPE is a file or a text: chains of stages, CHAIN ; CHAIN ; ..., one of which is drawn for each use of a\n" \
  "picture. A chain is [WEIGHT] STAGE > STAGE > ..., in the order in which they are applied:\n" \
  "  none                       the picture as it is\n" \
  "  blur=SIZE:SIGMA,...        one of these Gaussian kernels, e.g. the paper's 3:0.3,7:1,11:1.6\n" \
  "  blur=sigma:RANGE           Gaussian; anisotropic:RANGE draws two sigmas and an angle\n" \
  "  blur=motion:RANGE          a line of that length in pixels, at any angle\n" \
  "  blur=disc:RANGE            defocus: a disc of that radius in pixels\n" \
  "  noise=gauss:RANGE          sigma in 8-bit steps; poisson:RANGE the same at white, less in the dark\n" \
  "  h264=crf:RANGE             encoded and decoded, as are h265, vp9 and av1; behind the quality may stand\n" \
  "    ,gop:RANGE               frames of the sequence, one of which is taken (8; 1 = an intra frame)\n" \
  "                             short sequences look like long streams of a CRF that is 2 or 3 higher\n" \
  "    ,pan:RANGE               pixels by which the view moves from frame to frame (0..2)\n" \
  "    ,motion:clip             a video's own frames instead; pictures pan nevertheless\n" \
  "    ,preset:fast             half of the time; else as people encode files\n" \
  "  jpeg=quality:RANGE\n" \
  "  yuv420                     the chroma of 4:2:0, which the codecs have too; where a chain has it, the picture\n" \
  "                             to be reached has it as well: no network can bring back the chroma's detail\n" \
  "RANGE is A or A..B. Example: 3 blur=3:0.3,7:1,11:1.6 ; none ; 4 blur=sigma:0.3..2 > h264=crf:16..30"

/* A recipe. */
typedef struct _Degrade Degrade;

/* The text as given, or what stands in the file where it is the path of one: there a line's end is as good as
 * a semicolon, and # begins a comment. EXIT_USAGE names the piece that is not understood. */
Degrade *degrade_parse (const char *text_or_path, GError **error);
void degrade_free (Degrade *degrade);
/* The recipe in one line, which parses to the same. */
const char *degrade_text (const Degrade *degrade);
guint degrade_n_chains (const Degrade *degrade);
/* Without its weight; g_free. */
char *degrade_chain_text (const Degrade *degrade, guint chain);
/* The text of a chain as part of a name: "blur_7_1_h264_crf_23"; g_free. */
char *degrade_key (const char *chain_text);
/* Frames of the longest sequence that comes from a video's own frames; 1 = none does. */
guint degrade_clip_length (const Degrade *degrade);
/* Are all encoders and decoders there? The error names the package. */
gboolean degrade_check (const Degrade *degrade, GError **error);

#define DEGRADE_MAX_STAGES 8
#define DEGRADE_MAX_FRAMES 32

typedef enum
{
  DEGRADE_BLUR_LIST,
  DEGRADE_BLUR_SIGMA,
  DEGRADE_BLUR_ANISOTROPIC,
  DEGRADE_BLUR_MOTION,
  DEGRADE_BLUR_DISC,
  DEGRADE_NOISE_GAUSS,
  DEGRADE_NOISE_POISSON,
  DEGRADE_CODEC,
  DEGRADE_YUV420,
} DegradeKind;

/* A stage with all that was drawn. */
typedef struct
{
  DegradeKind kind;
  SynthKernel kernel; /* BLUR_LIST, BLUR_SIGMA */
  double value;       /* length, radius, sigma of noise, sigma along */
  double across;      /* BLUR_ANISOTROPIC: sigma across */
  double angle;       /* radians, of the line or of the larger sigma's axis against x */
  guint64 seed;       /* of noise */
  CodecOptions codec;
} DegradeStage;

/* A chain with all that was drawn: applied twice, it gives the same bytes. */
typedef struct
{
  guint n;
  DegradeStage stage[DEGRADE_MAX_STAGES];
  int frames, kept; /* of the sequence; 1 and 0 without a video codec */
  double pan[2];    /* down and right, pixels a frame */
  int phase[2];     /* rows and columns by which the codec's grid is shifted against a crop */
  gboolean clip;    /* the sequence is a video's own frames, where the picture has such neighbours */
} Degradation;

/* Draws a chain by its weight, or (chain not negative) all else of that chain. */
void degrade_draw (const Degrade *degrade, int chain, Random *random, Degradation *drawn);
/* How many frames of its video stand before and behind the picture: kept moves as far as it must for the sequence
 * to lie within them. FALSE, and clip unset: it is to pan. */
gboolean degradation_fit_clip (Degradation *degradation, guint before, guint after);
/* "blur=7:1 > h264=crf:23,gop:8 (frame 4 of 8, pan 1.2 -0.4)"; g_free. */
char *degradation_text (const Degradation *degradation);

/* RGB [height, width, 3], dense. */
typedef struct
{
  int height, width;
  const guint8 *rgb;
  const guint8 *const *clip; /* with degradation->clip: as many pictures as frames, that of rgb at kept; or NULL */
} DegradePicture;

/* height x width pixels of the degraded picture from row top and column left on, dense. What a video codec has
 * to do is done on these and a margin alone; a whole picture has none. target, or NULL: the same pixels as they
 * should become again: sharp, but with the chroma of 4:2:0 where a stage has it, since that does not come back and
 * its loss would be most of the difference. Thread-safe. */
gboolean degradation_apply (const Degradation *degradation, const DegradePicture *picture, int top, int left,
    int height, int width, guint8 *to, guint8 *target, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Degrade, degrade_free)

#endif

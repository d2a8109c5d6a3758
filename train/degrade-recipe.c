/* Reading a recipe.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "degrade-recipe.h"

#include <math.h>
#include <string.h>

/* The stages that are no codecs, and what their number may be. */
static const struct
{
  DegradeKind kind;
  const char *name, *key;
  double least, most;
} forms[] = {
  { DEGRADE_BLUR_SIGMA, "blur", "sigma", 0.05, 16 },
  { DEGRADE_BLUR_ANISOTROPIC, "blur", "anisotropic", 0.05, 16 },
  { DEGRADE_BLUR_MOTION, "blur", "motion", 0.1, 96 },
  { DEGRADE_BLUR_DISC, "blur", "disc", 0.1, 24 },
  { DEGRADE_NOISE_GAUSS, "noise", "gauss", 0, 100 },
  { DEGRADE_NOISE_POISSON, "noise", "poisson", 0, 100 },
};

static gboolean
parse_number (const char *text, double *number)
{
  char *end;

  *number = g_ascii_strtod (text, &end);
  return end != text && !*end && isfinite (*number) && !g_ascii_isspace (*text);
}

/* "A" or "A..B". */
static gboolean
parse_range (const char *text, double least, double most, gboolean whole, RecipeRange *range, GError **error)
{
  const char *dots = strstr (text, "..");
  g_autofree char *first = dots ? g_strndup (text, dots - text) : g_strdup (text);

  if (!parse_number (first, &range->low) || !parse_number (dots ? dots + 2 : first, &range->high)
      || range->low < least || range->high > most || range->low > range->high
      || (whole && (range->low != floor (range->low) || range->high != floor (range->high)))) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "'%s' is not %s of %g to %g, or a range of them, A..B", text,
        whole ? "a whole number" : "a number", least, most);
    return FALSE;
  }
  return TRUE;
}

static gboolean
starts_with (const char *field, const char *key, const char **value)
{
  gsize length = strlen (key);

  *value = field + length + 1;
  return strncmp (field, key, length) == 0 && field[length] == ':';
}

/* "crf:16..30,gop:8,pan:0..3,motion:clip,preset:fast" */
static gboolean
parse_codec (char *const *fields, RecipeStage *stage, GError **error)
{
  enum
  {
    QUALITY = 1,
    GOP = 2,
    PAN = 4,
    PRESET = 8,
    MOTION = 16
  };
  gboolean video = stage->codec != CODEC_JPEG;
  const char *key = video ? "crf" : "quality", *value;
  guint seen = 0;
  double least, most, usual;

  codec_quality_range (stage->codec, &least, &most, &usual);
  stage->gop = video ? (RecipeRange){ 8, 8 } : (RecipeRange){ 1, 1 };
  stage->pan = (RecipeRange){ 0, video ? 2 : 0 };
  for (; *fields; fields++) {
    guint field;

    if (starts_with (*fields, key, &value)) {
      field = QUALITY;
      if (!parse_range (value, least, most, TRUE, &stage->range, error))
        return FALSE;
    } else if (video && starts_with (*fields, "gop", &value)) {
      field = GOP;
      if (!parse_range (value, 1, DEGRADE_MAX_FRAMES, TRUE, &stage->gop, error))
        return FALSE;
    } else if (video && starts_with (*fields, "pan", &value)) {
      field = PAN;
      if (!parse_range (value, 0, 8, FALSE, &stage->pan, error))
        return FALSE;
    } else if (video && starts_with (*fields, "preset", &value)
               && (strcmp (value, "fast") == 0 || strcmp (value, "file") == 0)) {
      field = PRESET;
      stage->fast = strcmp (value, "fast") == 0;
    } else if (video && starts_with (*fields, "motion", &value)
               && (strcmp (value, "clip") == 0 || strcmp (value, "pan") == 0)) {
      field = MOTION;
      stage->clip = strcmp (value, "clip") == 0;
    } else {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "'%s' is not one of %s:%s", *fields, key,
          video ? ", gop:, pan:, motion:pan, motion:clip, preset:fast and preset:file" : "");
      return FALSE;
    }
    if (seen & field) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "'%s' comes a second time", *fields);
      return FALSE;
    }
    seen |= field;
  }
  if (seen & QUALITY)
    return TRUE;
  g_set_error (
      error, TRAIN_ERROR, EXIT_USAGE, "%s: is missing: give %s:%g..%g or less", key, key, least, most);
  return FALSE;
}

static gboolean
parse_stage (const char *text, RecipeStage *stage, GError **error)
{
  const char *equals = strchr (text, '='), *value;
  g_autofree char *name = g_strndup (text, equals ? (gsize) (equals - text) : strlen (text));
  g_auto (GStrv) fields = g_strsplit (equals ? equals + 1 : "", ",", -1);
  const char *field = fields[0] ? fields[0] : "";
  gboolean known = FALSE;

  if (strcmp (name, "blur") == 0 && g_ascii_isdigit (*field)) {
    stage->kind = DEGRADE_BLUR_LIST;
    return synth_kernels_parse (equals + 1, &stage->kernels, &stage->n_kernels, error);
  }
  for (guint i = 0; i < G_N_ELEMENTS (forms); i++) {
    if (strcmp (name, forms[i].name) != 0)
      continue;
    known = TRUE;
    if (!starts_with (field, forms[i].key, &value))
      continue;
    stage->kind = forms[i].kind;
    if (!fields[1])
      return parse_range (value, forms[i].least, forms[i].most, FALSE, &stage->range, error);
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "'%s' has no place behind '%s'", fields[1], field);
    return FALSE;
  }
  if (known) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "'%s' is no kind of %s: see --help", field, name);
    return FALSE;
  }
  if (strcmp (text, "yuv420") == 0) {
    stage->kind = DEGRADE_YUV420;
    return TRUE;
  }
  stage->kind = DEGRADE_CODEC;
  if (codec_parse (name, &stage->codec, NULL))
    return parse_codec (fields, stage, error);
  g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
      "there is no '%s': give blur=, noise=, h264=, h265=, vp9=, av1=, jpeg=, yuv420 or none", name);
  return FALSE;
}

static void
clear_chain (gpointer data)
{
  RecipeChain *chain = data;

  for (guint i = 0; i < chain->n; i++)
    g_free (chain->stage[i].kernels);
}

/* Adds a chain, and its text with single spaces to the recipe's. */
static gboolean
parse_chain (Degrade *degrade, GString *text, const char *given, GError **error)
{
  g_auto (GStrv) pieces = NULL;
  const char *rest = given;
  char *end;
  RecipeChain *chain;
  double weight;

  g_array_set_size (degrade->chains, degrade->chains->len + 1);
  chain = &g_array_index (degrade->chains, RecipeChain, degrade->chains->len - 1);
  chain->weight = 1;
  weight = g_ascii_strtod (given, &end);
  if (end != given && g_ascii_isspace (*end)) {
    if (!(weight > 0 && weight <= 1e6)) {
      g_set_error (
          error, TRAIN_ERROR, EXIT_USAGE, "the weight in '%s' is not above 0 and at most 1000000", given);
      return FALSE;
    }
    chain->weight = weight;
    rest = end;
  }
  pieces = g_strsplit (rest, ">", -1);
  if (text->len)
    g_string_append (text, " ; ");
  if (rest != given)
    g_string_append_printf (text, "%.*s ", (int) (end - given), given);
  for (guint i = 0; pieces[i]; i++) {
    const char *piece = g_strstrip (pieces[i]);
    g_autoptr (GError) cause = NULL;

    g_string_append_printf (text, "%s%s", i ? " > " : "", piece);
    if (strcmp (piece, "none") == 0 && !i && !pieces[1])
      break;
    if (i == DEGRADE_MAX_STAGES) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "'%s' has more than %d stages", given, DEGRADE_MAX_STAGES);
      return FALSE;
    }
    if (!parse_stage (piece, &chain->stage[i], &cause)) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "in '%s', '%s': %s", given, piece, cause->message);
      return FALSE;
    }
    chain->n++;
  }
  return TRUE;
}

/* Lines -> chains between semicolons, without comments and empty lines. */
static char *
join_lines (const char *content)
{
  g_auto (GStrv) lines = g_strsplit (content, "\n", -1);
  GString *joined = g_string_new (NULL);

  for (char **line = lines; *line; line++) {
    char *comment = strchr (*line, '#');
    gsize length;

    if (comment)
      *comment = 0;
    g_strstrip (*line);
    length = strlen (*line);
    if (length && (*line)[length - 1] == ';')
      (*line)[length - 1] = 0;
    if (length)
      g_string_append_printf (joined, "%s%s", joined->len ? ";" : "", *line);
  }
  return g_string_free (joined, FALSE);
}

Degrade *
degrade_parse (const char *text_or_path, GError **error)
{
  g_autoptr (Degrade) degrade = g_new0 (Degrade, 1);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) cause = NULL;
  g_autofree char *joined = NULL, *content = NULL;
  g_auto (GStrv) chains = NULL;
  gboolean file = g_file_test (text_or_path, G_FILE_TEST_IS_REGULAR);

  degrade->chains = g_array_new (FALSE, TRUE, sizeof (RecipeChain));
  g_array_set_clear_func (degrade->chains, clear_chain);
  if (file && !g_file_get_contents (text_or_path, &content, NULL, &cause)) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "the degradations cannot be read: %s", cause->message);
    return NULL;
  }
  joined = join_lines (file ? content : text_or_path);
  chains = g_strsplit (joined, ";", -1);
  for (guint i = 0; !cause && (i == 0 || chains[i]); i++) {
    char *chain = chains[i] ? g_strstrip (chains[i]) : "";

    if (*chain)
      parse_chain (degrade, text, chain, &cause);
    else
      g_set_error (&cause, TRAIN_ERROR, EXIT_USAGE, "chain %u of '%s' is empty", i + 1, joined);
  }
  if (cause) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
        "degradations%s%s: %s; give %sfor example "
        "'2 blur=3:0.3,7:1,11:1.6 ; blur=sigma:0.3..2 > h264=crf:16..30,gop:8 ; none'",
        file ? " of " : "", file ? text_or_path : "", cause->message, file ? "" : "a file that is there, or ");
    return NULL;
  }
  degrade->text = g_string_free (g_steal_pointer (&text), FALSE);
  return g_steal_pointer (&degrade);
}

void
degrade_free (Degrade *degrade)
{
  if (!degrade)
    return;
  g_array_unref (degrade->chains);
  g_free (degrade->text);
  g_free (degrade);
}

const char *
degrade_text (const Degrade *degrade)
{
  return degrade->text;
}

guint
degrade_n_chains (const Degrade *degrade)
{
  return degrade->chains->len;
}

char *
degrade_chain_text (const Degrade *degrade, guint chain)
{
  g_auto (GStrv) chains = g_strsplit (degrade->text, " ; ", -1);
  const char *text = chains[chain];
  char *end;

  g_ascii_strtod (text, &end);
  return g_strdup (end != text && *end == ' ' ? end + 1 : text);
}

char *
degrade_key (const char *chain_text)
{
  enum
  {
    LENGTH_MAX = 80
  };
  GString *key = g_string_new (NULL);

  for (const char *c = chain_text; *c && key->len < LENGTH_MAX; c++)
    if (g_ascii_isalnum (*c) || *c == '.')
      g_string_append_c (key, *c);
    else if (key->len && key->str[key->len - 1] != '_')
      g_string_append_c (key, '_');
  return g_string_free (key, FALSE);
}

guint
degrade_clip_length (const Degrade *degrade)
{
  guint length = 1;

  for (guint c = 0; c < degrade->chains->len; c++) {
    const RecipeChain *chain = &g_array_index (degrade->chains, RecipeChain, c);
    gboolean clip = FALSE;
    guint frames = 1;

    for (guint i = 0; i < chain->n; i++) {
      clip |= chain->stage[i].clip;
      frames = MAX (frames, (guint) chain->stage[i].gop.high);
    }
    length = MAX (length, clip ? frames : 1);
  }
  return length;
}

gboolean
degrade_check (const Degrade *degrade, GError **error)
{
  for (guint c = 0; c < degrade->chains->len; c++) {
    const RecipeChain *chain = &g_array_index (degrade->chains, RecipeChain, c);

    for (guint i = 0; i < chain->n; i++) {
      const RecipeStage *stage = &chain->stage[i];
      const CodecOptions options = { stage->codec, stage->range.low, (int) stage->gop.low, stage->fast };

      if (stage->kind == DEGRADE_CODEC && !codec_check (&options, error))
        return FALSE;
    }
  }
  return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "settings.h"

#include <math.h>
#include <string.h>

#define OPERANDS "operands"

struct _Settings
{
  const SettingEntry *entries;
  guint n;
  GPtrArray **values; /* of texts, NULL-terminated; the last one holds, save for paths */
  gboolean *given;
  GPtrArray *operands;
};

static guint
find (const Settings *settings, const char *name)
{
  for (guint i = 0; i < settings->n; i++)
    if (strcmp (settings->entries[i].name, name) == 0)
      return i;
  g_error ("option '%s' is not in the table", name);
}

static GPtrArray *
texts_new (void)
{
  GPtrArray *texts = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (texts, NULL);
  return texts;
}

static void
texts_add (GPtrArray *texts, const char *text)
{
  g_ptr_array_insert (texts, (int) texts->len - 1, g_strdup (text));
}

static void
texts_clear (GPtrArray *texts)
{
  g_ptr_array_remove_range (texts, 0, texts->len - 1);
}

static int
choice_of (const SettingEntry *entry, const char *text)
{
  g_auto (GStrv) words = g_strsplit (entry->choices, "|", -1);

  for (int i = 0; words[i]; i++)
    if (strcmp (words[i], text) == 0)
      return i;
  return -1;
}

static gboolean
check (const SettingEntry *entry, const char *text, GError **error)
{
  char *end;
  double number;

  switch (entry->kind) {
  case SETTING_INTEGER:
  case SETTING_NUMBER:
    number = g_ascii_strtod (text, &end);
    if (end == text || *end || !(number >= entry->least && number <= entry->most)
        || (entry->kind == SETTING_INTEGER && number != floor (number))) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--%s=%s: give %s from %g to %.15g", entry->name, text,
          entry->kind == SETTING_INTEGER ? "a whole number" : "a number", entry->least, entry->most);
      return FALSE;
    }
    return TRUE;
  case SETTING_CHOICE:
    if (choice_of (entry, text) < 0) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--%s=%s: give one of %s", entry->name, text,
          entry->choices);
      return FALSE;
    }
    return TRUE;
  case SETTING_TEXT:
  case SETTING_PATHS:
    if (!*text || strpbrk (text, "\n\r")) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "--%s: give a text of one line", entry->name);
      return FALSE;
    }
    return TRUE;
  case SETTING_FLAG:
    break;
  }
  return TRUE;
}

static void
set (Settings *settings, guint index, const char *text)
{
  if (settings->entries[index].kind != SETTING_PATHS)
    texts_clear (settings->values[index]);
  texts_add (settings->values[index], text);
}

static gboolean
take (const char *option, const char *text, gpointer data, GError **error)
{
  Settings *settings = data;
  guint index = 0;

  if (g_str_has_prefix (option, "--")) {
    index = find (settings, option + 2);
  } else {
    while (settings->entries[index].letter != option[1])
      index++;
  }
  if (!text)
    text = "true";
  if (!check (&settings->entries[index], text, error))
    return FALSE;
  set (settings, index, text);
  settings->given[index] = TRUE;
  return TRUE;
}

static gboolean
take_operand (const char *option, const char *text, gpointer data, GError **error)
{
  (void) option;
  (void) error;
  texts_add (((Settings *) data)->operands, text);
  return TRUE;
}

/* Paths are bytes: without the flag GOption would take them for text in the locale's encoding. */
static int
option_flags (SettingKind kind)
{
  return kind == SETTING_FLAG ? G_OPTION_FLAG_NO_ARG : kind == SETTING_PATHS ? G_OPTION_FLAG_FILENAME : 0;
}

Settings *
settings_parse (const SettingEntry *entries, guint n, int argc, char **argv, const char *operands,
    const char *summary, const char *description, GError **error)
{
  g_autoptr (Settings) settings = g_new0 (Settings, 1);
  g_autoptr (GOptionContext) context = g_option_context_new (operands);
  g_autofree GOptionEntry *list = g_new0 (GOptionEntry, n + 3);
  g_autoptr (GPtrArray) helps = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) cause = NULL;
  gboolean help_wanted = FALSE;
  GOptionGroup *group = g_option_group_new ("", "", "", settings, NULL);

  settings->entries = entries;
  settings->n = n;
  settings->values = g_new (GPtrArray *, n);
  settings->given = g_new0 (gboolean, n);
  settings->operands = texts_new ();
  for (guint i = 0; i < n; i++) {
    const SettingEntry *entry = &entries[i];
    char *help = entry->initial ? g_strdup_printf ("%s (%s)", entry->help, entry->initial)
                                : g_strdup (entry->help);

    g_ptr_array_add (helps, help);
    settings->values[i] = texts_new ();
    if (entry->initial)
      set (settings, i, entry->initial);
    list[i]
        = (GOptionEntry){ entry->name, entry->letter, option_flags (entry->kind),
            G_OPTION_ARG_CALLBACK, (gpointer) take, help, entry->choices ? entry->choices : entry->argument };
  }
  list[n] = (GOptionEntry){ "help", 'h', 0, G_OPTION_ARG_NONE, &help_wanted, "Show this help", NULL };
  list[n + 1] = (GOptionEntry){ G_OPTION_REMAINING, 0, option_flags (SETTING_PATHS), G_OPTION_ARG_CALLBACK,
    (gpointer) take_operand, NULL, NULL };
  g_option_group_add_entries (group, list);
  g_option_context_set_main_group (context, group);
  /* GOption's own --help would end the process. */
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  if (!g_option_context_parse (context, &argc, &argv, &cause)) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "%s%s", cause->message,
        cause->domain == G_OPTION_ERROR ? ": see --help" : "");
    return NULL;
  }
  if (help_wanted) {
    g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);

    g_print ("%s", text);
    return NULL;
  }
  return g_steal_pointer (&settings);
}

void
settings_free (Settings *settings)
{
  if (!settings)
    return;
  for (guint i = 0; i < settings->n; i++)
    g_ptr_array_unref (settings->values[i]);
  g_ptr_array_unref (settings->operands);
  g_free (settings->values);
  g_free (settings->given);
  g_free (settings);
}

gboolean
settings_given (const Settings *settings, const char *name)
{
  return settings->given[find (settings, name)];
}

const char *
settings_text (const Settings *settings, const char *name)
{
  return g_ptr_array_index (settings->values[find (settings, name)], 0);
}

gboolean
settings_flag (const Settings *settings, const char *name)
{
  return settings_text (settings, name) != NULL;
}

double
settings_number (const Settings *settings, const char *name)
{
  return g_ascii_strtod (settings_text (settings, name), NULL);
}

gint64
settings_integer (const Settings *settings, const char *name)
{
  return (gint64) settings_number (settings, name);
}

int
settings_choice (const Settings *settings, const char *name)
{
  return choice_of (&settings->entries[find (settings, name)], settings_text (settings, name));
}

char *const *
settings_paths (const Settings *settings, const char *name)
{
  return (char *const *) settings->values[find (settings, name)]->pdata;
}

char *const *
settings_operands (const Settings *settings)
{
  return (char *const *) settings->operands->pdata;
}

void
settings_set (Settings *settings, const char *name, const char *value)
{
  guint index = find (settings, name);

  if (value)
    set (settings, index, value);
  else
    texts_clear (settings->values[index]);
}

/* A key file is UTF-8, and what is not is lost in it: such a path is kept as a URI, which no absolute path looks
 * like. g_free. */
static char *
path_to_text (const char *path)
{
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);

  return g_utf8_validate (absolute, -1, NULL) ? g_steal_pointer (&absolute)
                                              : g_filename_to_uri (absolute, NULL, NULL);
}

static char *
path_from_text (const char *text)
{
  char *path = g_str_has_prefix (text, "file:") ? g_filename_from_uri (text, NULL, NULL) : NULL;

  return path ? path : g_strdup (text);
}

/* The same number may be spelt in several ways. */
static gboolean
same_value (const SettingEntry *entry, const char *a, const char *b)
{
  gboolean number = entry->kind == SETTING_INTEGER || entry->kind == SETTING_NUMBER;

  return g_strcmp0 (a, b) == 0 || (number && a && b && g_ascii_strtod (a, NULL) == g_ascii_strtod (b, NULL));
}

static void
store (GKeyFile *file, const char *group, const char *key, GPtrArray *texts, gboolean paths)
{
  g_autoptr (GPtrArray) copy = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i + 1 < texts->len; i++)
    g_ptr_array_add (copy, paths ? path_to_text (g_ptr_array_index (texts, i))
                                 : g_strdup (g_ptr_array_index (texts, i)));
  g_key_file_set_string_list (file, group, key, (const char *const *) copy->pdata, copy->len);
}

void
settings_store (const Settings *settings, GKeyFile *file, const char *group)
{
  for (guint i = 0; i < settings->n; i++)
    store (file, group, settings->entries[i].name, settings->values[i],
        settings->entries[i].kind == SETTING_PATHS);
  store (file, group, OPERANDS, settings->operands, TRUE);
}

gboolean
settings_restore (Settings *settings, GKeyFile *file, const char *group, GError **error)
{
  for (guint i = 0; i < settings->n; i++) {
    const SettingEntry *entry = &settings->entries[i];
    g_auto (GStrv) stored = g_key_file_get_string_list (file, group, entry->name, NULL, NULL);
    const char *old = stored ? stored[0] : NULL;

    if (settings->given[i] && entry->fixed && entry->kind != SETTING_PATHS
        && !same_value (entry, old, settings_text (settings, entry->name))) {
      g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
          "--%s=%s: the run was begun with %s and cannot change now; start another with --init", entry->name,
          settings_text (settings, entry->name), old ? old : "none");
      return FALSE;
    }
    if (settings->given[i])
      continue;
    texts_clear (settings->values[i]);
    for (char **text = stored; text && *text; text++) {
      g_autofree char *value = entry->kind == SETTING_PATHS ? path_from_text (*text) : g_strdup (*text);

      if (!check (entry, value, error))
        return FALSE;
      texts_add (settings->values[i], value);
    }
  }
  if (settings->operands->len == 1) {
    g_auto (GStrv) stored = g_key_file_get_string_list (file, group, OPERANDS, NULL, NULL);

    for (char **text = stored; text && *text; text++) {
      g_autofree char *path = path_from_text (*text);

      texts_add (settings->operands, path);
    }
  }
  return TRUE;
}

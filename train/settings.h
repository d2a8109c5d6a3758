/* Settings of a command as one table: parsing, checks of range, help, and a text form that a checkpoint
 * keeps.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "train.h"

typedef enum
{
  SETTING_FLAG,
  SETTING_INTEGER,
  SETTING_NUMBER,
  SETTING_TEXT,
  SETTING_CHOICE, /* one of the words of choices */
  SETTING_PATHS,  /* may be given several times */
} SettingKind;

typedef struct
{
  const char *name; /* without the dashes */
  char letter;      /* short form, 0 = none */
  SettingKind kind;
  gboolean fixed;   /* belongs to what is trained: may not change when a run is taken up again */
  const char *initial; /* NULL: not given; flags have none */
  double least, most;  /* of integers and numbers */
  const char *choices; /* "a|b|c" */
  const char *argument, *help;
} SettingEntry;

typedef struct _Settings Settings;

/* Choices in the order of DuBackendKind, DuPrecision and DuDtype. */
#define SETTINGS_BACKENDS "auto|cpu|cuda|reference"
#define SETTINGS_PRECISIONS "auto|f32|bf16|f16|tf32"
#define SETTINGS_DTYPES "f32|f16|bf16"

/* Parses argv, whose argv[0] is the command's name. summary and description stand in --help. NULL with
 * no error: --help was given and printed. EXIT_USAGE. entries stay in place for as long as the settings are
 * used. */
Settings *settings_parse (const SettingEntry *entries, guint n, int argc, char **argv, const char *operands,
    const char *summary, const char *description, GError **error);
void settings_free (Settings *settings);

/* Was it on the command line? */
gboolean settings_given (const Settings *settings, const char *name);
gboolean settings_flag (const Settings *settings, const char *name);
gint64 settings_integer (const Settings *settings, const char *name);
double settings_number (const Settings *settings, const char *name);
/* NULL where neither given nor initial; the settings' own. */
const char *settings_text (const Settings *settings, const char *name);
/* Position among the choices. */
int settings_choice (const Settings *settings, const char *name);
/* NULL-terminated, the settings' own; empty where not given. */
char *const *settings_paths (const Settings *settings, const char *name);
/* What stands on the command line without an option. */
char *const *settings_operands (const Settings *settings);
/* As if value had been given; NULL: as if nothing had. */
void settings_set (Settings *settings, const char *name, const char *value);

/* One key an option in the group, paths made absolute, operands under "operands". */
void settings_store (const Settings *settings, GKeyFile *file, const char *group);
/* What was not given takes the stored value; a fixed option given otherwise than stored is EXIT_USAGE. */
gboolean settings_restore (Settings *settings, GKeyFile *file, const char *group, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Settings, settings_free)

#endif

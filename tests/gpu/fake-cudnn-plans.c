/* Plans as text, which another process can read.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-cudnn.h"

#include <string.h>

#define START "{\"emulated\":"

/* Adds a descriptor behind all that it is made of; its place, from 1. */
static guint64
collect (GArray *all, GHashTable *places, const Descriptor *descriptor)
{
  guint64 place = (gsize) g_hash_table_lookup (places, descriptor);
  Descriptor copy = *descriptor;

  if (place)
    return place;
  for (guint a = 0; a < copy.count; a++) {
    Attribute *attribute = &copy.attributes[a];

    for (gint64 i = 0; i < attribute->count; i++) {
      guint64 value = 0; /* for a handle */
      void *pointer;

      if (attribute->type != CUDNN_TYPE_BACKEND_DESCRIPTOR && attribute->type != CUDNN_TYPE_HANDLE)
        continue;
      memcpy (&pointer, attribute->values + i * sizeof pointer, sizeof pointer);
      if (attribute->type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
        value = collect (all, places, pointer);
      memcpy (attribute->values + i * sizeof value, &value, sizeof value);
    }
  }
  g_array_append_val (all, copy);
  g_hash_table_insert (places, (gpointer) descriptor, GSIZE_TO_POINTER (all->len));
  return all->len;
}

char *
fake_plan_write (const Descriptor *plan)
{
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (Descriptor));
  g_autoptr (GHashTable) places = g_hash_table_new (NULL, NULL);
  g_autofree char *text = NULL;
  Descriptor last = { .engine = plan->engine };

  collect (all, places, plan->graph);
  g_array_append_val (all, last);
  text = g_base64_encode ((const guchar *) all->data, all->len * sizeof last);
  return g_strconcat (START, "\"", text, "\"}", NULL);
}

gboolean
fake_plan_read (Descriptor *plan)
{
  g_autofree char *text = g_strndup (plan->text, plan->text_size);
  g_autofree guchar *data = NULL;
  gsize size = 0, count;
  Descriptor *parts;

  if (!g_str_has_prefix (text, START "\"") || !g_str_has_suffix (text, "\"}"))
    return FALSE;
  data = g_base64_decode (text + strlen (START) + 1, &size);
  count = size / sizeof *parts;
  if (count < 2 || size % sizeof *parts)
    return FALSE;
  plan->parts = parts = fake_new (size);
  memcpy (parts, data, size);
  for (gsize d = 0; d < count; d++)
    for (guint a = 0; a < parts[d].count; a++) {
      Attribute *attribute = &parts[d].attributes[a];

      for (gint64 i = 0; attribute->type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < attribute->count; i++) {
        guint64 place;
        void *pointer;

        memcpy (&place, attribute->values + i * sizeof place, sizeof place);
        pointer = &parts[place - 1];
        memcpy (attribute->values + i * sizeof place, &pointer, sizeof pointer);
      }
    }
  plan->graph = &parts[count - 2];
  plan->engine = parts[count - 1].engine;
  return TRUE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stats.h"

#include <string.h>

double
gst_deblurunet_times_sum (const GstDeblurunetTimes *times)
{
  return times->gather_ms + times->network_ms + times->scatter_ms;
}

void
gst_deblurunet_stats_add (
    GstDeblurunetStats *stats, const GstDeblurunetTiles *tiles, const GstDeblurunetTimes *times)
{
  stats->frames++;
  stats->tiles += tiles->n;
  stats->last_tiles = *tiles;
  stats->last = *times;
  stats->total.gather_ms += times->gather_ms;
  stats->total.network_ms += times->network_ms;
  stats->total.scatter_ms += times->scatter_ms;
}

gboolean
gst_deblurunet_stats_due (GstDeblurunetStats *stats, guint interval)
{
  gint64 now = g_get_monotonic_time ();

  if (interval == 0 || (stats->told && now - stats->told < (gint64) interval * 1000))
    return FALSE;
  stats->told = now;
  return TRUE;
}

/* Of a number that was counted in so many milliseconds. */
static double
per_second (guint64 count, double ms)
{
  return ms > 0 ? 1000 * count / ms : 0;
}

/* The metadata of the weights file, those whose names a GstStructure can be written with. */
static GstStructure *
metadata_structure (DuModel *model)
{
  GstStructure *structure = gst_structure_new_empty ("metadata");
  g_auto (GStrv) keys = du_model_metadata_keys (model);

  for (char **key = keys; *key; key++)
    if (g_ascii_isalpha (**key)
        && strspn (*key, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "/-_.:+") == strlen (*key))
      gst_structure_set (structure, *key, G_TYPE_STRING, du_model_metadata (model, *key), NULL);
  return structure;
}

/* The path as UTF-8, which a GstStructure insists on; g_free. */
static char *
weights_path (DuModel *model)
{
  return du_model_path (model) ? g_filename_display_name (du_model_path (model)) : NULL;
}

/* What the weights are called: by their metadata, else by their file; g_free. */
static char *
weights_name (DuModel *model)
{
  const char *name = du_model_metadata (model, "name");
  g_autofree char *path = weights_path (model), *file = path ? g_path_get_basename (path) : NULL;

  if (!name && file && g_str_has_suffix (file, ".safetensors"))
    file[strlen (file) - strlen (".safetensors")] = '\0';
  return name ? g_strdup (name) : g_steal_pointer (&file);
}

/* Which of that name: by their metadata, else by the digest of their values; g_free. */
static char *
weights_version (DuModel *model)
{
  const char *version = du_model_metadata (model, "version"), *digest = du_model_metadata (model, "sha256");

  return version ? g_strdup (version) : digest ? g_strndup (digest, 12) : NULL;
}

GstStructure *
gst_deblurunet_stats_to_structure (const GstDeblurunetStats *stats, DuSession *session)
{
  const GstDeblurunetTimes *last = &stats->last, *total = &stats->total;
  double frames = MAX (stats->frames, 1);
  /* clang-format off */
  GstStructure *structure = gst_structure_new ("deblurunet-stats",
      "frames", G_TYPE_UINT64, stats->frames,
      "passed-through", G_TYPE_UINT64, stats->passed_through,
      "late", G_TYPE_UINT64, stats->late,
      "dropped", G_TYPE_UINT64, stats->dropped,
      "tiles-per-frame", G_TYPE_UINT, stats->last_tiles.n,
      "tile-width", G_TYPE_INT, stats->last_tiles.width,
      "tile-height", G_TYPE_INT, stats->last_tiles.height,
      "tiles-per-second", G_TYPE_DOUBLE, per_second (stats->tiles, gst_deblurunet_times_sum (total)),
      "gather-ms", G_TYPE_DOUBLE, last->gather_ms,
      "network-ms", G_TYPE_DOUBLE, last->network_ms,
      "scatter-ms", G_TYPE_DOUBLE, last->scatter_ms,
      "gather-mean-ms", G_TYPE_DOUBLE, total->gather_ms / frames,
      "network-mean-ms", G_TYPE_DOUBLE, total->network_ms / frames,
      "scatter-mean-ms", G_TYPE_DOUBLE, total->scatter_ms / frames, NULL);
  /* clang-format on */

  if (session) {
    DuModel *model = du_session_model (session);
    g_autoptr (GstStructure) metadata = metadata_structure (model);
    g_autofree char *path = weights_path (model), *name = weights_name (model), *version = weights_version (model);

    /* clang-format off */
    gst_structure_set (structure,
        "backend", G_TYPE_STRING, du_session_backend (session),
        "device", G_TYPE_STRING, du_session_device (session),
        "precision", G_TYPE_STRING, du_session_precision (session),
        "note", G_TYPE_STRING, du_session_note (session),
        "weights", G_TYPE_STRING, path,
        "weights-name", G_TYPE_STRING, name,
        "weights-version", G_TYPE_STRING, version,
        "metadata", GST_TYPE_STRUCTURE, metadata, NULL);
    /* clang-format on */
  }
  return structure;
}

char *
gst_deblurunet_stats_to_string (const GstDeblurunetStats *stats, DuSession *session)
{
  const GstDeblurunetTimes *total = &stats->total;
  double frames = MAX (stats->frames, 1), ms = gst_deblurunet_times_sum (total);

  return g_strdup_printf ("%" G_GUINT64_FORMAT
                          " frames of %u tiles, %.2f frames per second (%.0f ms per frame: "
                          "%.0f network, %.1f gather, %.1f scatter) on %s, %s, %s",
      stats->frames, stats->last_tiles.n, per_second (stats->frames, ms), ms / frames,
      total->network_ms / frames, total->gather_ms / frames, total->scatter_ms / frames,
      du_session_backend (session), du_session_device (session), du_session_precision (session));
}

/* What gathering, blending and scattering cost a frame of 1080p, beside the network's time in the same run.
 * Prints TAB-separated columns: format, milliseconds to gather, to blend and scatter, and their sum in
 * percent of the network's time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deblurrer-internal.h"

#include <stdio.h>
#include <string.h>

enum
{
  WIDTH = 1920,
  HEIGHT = 1080,
  ROUNDS = 10,
};

/* In the network's place, so that the rounds are quick: the tile goes through the caches all the same. */
static gboolean
no_network (gpointer data, int n, int height, int width, const float *input, float *output, GError **error)
{
  (void) data;
  (void) error;
  memcpy (output, input, (gsize) n * height * width * 3 * sizeof *output);
  return TRUE;
}

/* Four planes are as large as any format's frame. */
static void
frame_init (DuFrame *frame, const DuFrameInfo *info, guint8 *memory)
{
  const char *name = du_format_name (info->format);
  int bytes = g_str_has_suffix (name, "64") ? 8 : g_str_has_suffix (name, "LE") ? 2 : 4;

  *frame = (DuFrame){ { NULL } };
  for (int plane = 0; plane < 4; plane++) {
    frame->data[plane] = memory + (gsize) plane * WIDTH * HEIGHT * 8;
    frame->stride[plane] = WIDTH * bytes;
  }
}

static DuSession *
open_session (GError **error)
{
  DuConfig config;
  DuSessionOptions options;
  g_autofree float *parameters = NULL;
  g_autoptr (DuModel) model = NULL;

  du_config_init (&config);
  parameters = g_new (float, du_config_n_parameters (&config));
  du_config_initialise (&config, 1, parameters);
  du_session_options_init (&options);
  model = du_model_new (&config, parameters, NULL, error);
  return model ? du_session_open (model, &options, error) : NULL;
}

int
main (void)
{
  gsize size = (gsize) 4 * WIDTH * HEIGHT * 8;
  g_autofree guint8 *memory = g_malloc (2 * size);
  g_autoptr (GError) error = NULL;
  g_autoptr (DuSession) session = open_session (&error);
  DuDeblurrerOptions options;
  DuDeblurrerStats stats;
  double network_ms = 0;

  for (gsize i = 0; i < 2 * size; i++)
    memory[i] = i * 2654435761u >> 24;
  du_deblurrer_options_init (&options);
  for (int format = -1; session && format < DU_N_FORMATS; format++) {
    DuFrameInfo info = { MAX (format, 0), WIDTH, HEIGHT, DU_MATRIX_BT709, FALSE, FALSE, TRUE };
    g_autoptr (DuDeblurrer) deblurrer = NULL;
    double gather_ms = G_MAXDOUBLE, scatter_ms = G_MAXDOUBLE;
    DuFrame in, out;

    frame_init (&in, &info, memory);
    frame_init (&out, &info, memory + size);
    deblurrer = format < 0 ? du_deblurrer_new (session, &info, &options, &error)
                           : du_deblurrer_new_with_forward (no_network, NULL, &info, &options, DU_TILE_HEIGHT,
                               DU_TILE_WIDTH, &error);
    if (!deblurrer)
      break;
    for (int round = 0; round < (format < 0 ? 2 : ROUNDS); round++) {
      if (!du_deblurrer_process (deblurrer, &in, &out, 1, &error))
        break;
      du_deblurrer_get_stats (deblurrer, &stats);
      gather_ms = MIN (gather_ms, stats.gather_ms);
      scatter_ms = MIN (scatter_ms, stats.scatter_ms);
    }
    if (format < 0) {
      network_ms = stats.network_ms; /* of the second frame: the first one prepares */
      printf ("network: %.1f ms a frame of %u tiles on %s, %s\nformat\tgather\tscatter\tof network\n",
          network_ms, stats.tiles_per_frame, du_session_backend (session), du_session_precision (session));
    } else
      printf ("%s\t%.2f\t%.2f\t%.2f %%\n", du_format_name (format), gather_ms, scatter_ms,
          (gather_ms + scatter_ms) / network_ms * 100);
  }
  if (error)
    fprintf (stderr, "bench-frame: %s\n", error->message);
  return error != NULL;
}

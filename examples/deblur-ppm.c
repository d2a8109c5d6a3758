/* deblur-ppm WEIGHTS < in.ppm > out.ppm: one picture (binary PPM, 8 bit), libdeblurunet alone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <deblurunet.h>
#include <stdio.h>

static int
fail (const char *reason)
{
  fprintf (stderr, "deblur-ppm: %s\n", reason);
  return 1;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DuModel) model = NULL;
  g_autoptr (DuSession) session = NULL;
  g_autoptr (DuDeblurrer) deblurrer = NULL;
  g_autofree guint8 *pixels = NULL, *result = NULL;
  DuSessionOptions options;
  DuDeblurrerOptions tiles;
  DuFrameInfo info = { .format = DU_FORMAT_RGB };
  DuFrame in = { 0 }, out = { 0 };
  int maximum;
  gsize size;

  if (argc != 2)
    return fail ("usage: deblur-ppm WEIGHTS < in.ppm > out.ppm");
  if (scanf ("P6 %d %d %d", &info.width, &info.height, &maximum) != 3 || getchar () == EOF || maximum != 255
      || info.width < 1 || info.width > 32767 || info.height < 1 || info.height > 32767)
    return fail ("the input is no 8-bit binary PPM without comments");
  size = (gsize) 3 * info.width * info.height;
  pixels = g_try_malloc (size);
  result = g_try_malloc (size);
  if (!pixels || !result || fread (pixels, 1, size, stdin) != size)
    return fail ("the input ends before its last pixel");

  du_session_options_init (&options);
  du_deblurrer_options_init (&tiles);
  in.data[0] = pixels;
  out.data[0] = result;
  in.stride[0] = out.stride[0] = 3 * info.width;
  if (!(model = du_model_load (argv[1], &error)) || !(session = du_session_open (model, &options, &error))
      || !(deblurrer = du_deblurrer_new (session, &info, &tiles, &error))
      || !du_deblurrer_process (deblurrer, &in, &out, 1.0, &error))
    return fail (error->message);

  printf ("P6\n%d %d\n255\n", info.width, info.height);
  if (fwrite (result, 1, size, stdout) != size || fflush (stdout) != 0)
    return fail ("the output cannot be written");
  return 0;
}

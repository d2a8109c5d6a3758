/* The CUDA back end, as the library finds it in the module.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module.h"

#include "frames.h"
#include "pictures.h"
#include "rows.h"

extern DU_API const DuBackend du_backend_cuda;
extern DU_API const char *const du_cuda_version;

const char *const du_cuda_version = DU_VERSION;

const DuBackend du_backend_cuda = {
  .name = "cuda",
  .open = du_cuda_open,
  .close = du_cuda_close,
  .device = du_cuda_device,
  .buffer_new = du_cuda_buffer_new,
  .buffer_free = du_cuda_buffer_free,
  .buffer_part = du_cuda_buffer_part,
  .upload = du_cuda_upload,
  .download = du_cuda_download,
  .prepare = du_cuda_prepare,
  .op_free = du_cuda_op_free,
  .load = du_cuda_load,
  .forward = du_cuda_forward,
  .backward = du_cuda_backward,
  .loss = du_cuda_loss,
  .norm = du_cuda_norm,
  .results = du_cuda_results,
  .adam = du_cuda_adam,
  .blend = du_cuda_blend,
  .pictures_new = du_cuda_pictures_new,
  .pictures_free = du_cuda_pictures_free,
  .pictures_draw = du_cuda_pictures_draw,
  .synchronise = du_cuda_synchronise,
  .joins = DU_CUDA_CHANNELS,
  .sub_batch = du_cuda_sub_batch,
  .batch = 12,
  /* For less than 2 GB with 1080p: beside it are the weights, two frames and what is kept of their tiles, the choice of
   * plans for a while, and half a gigabyte of CUDA's own. */
  .memory = 1000000000,
  .frames_new = du_cuda_frames_new,
  .frames_free = du_cuda_frames_free,
  .frames_begin = du_cuda_frames_begin,
  .frames_gather = du_cuda_frames_gather,
  .frames_blend = du_cuda_frames_blend,
  .frames_run = du_cuda_frames_run,
  .frames_end = du_cuda_frames_end,
  .frames_wait = du_cuda_frames_wait,
  .frames_copy = du_cuda_frames_copy,
};

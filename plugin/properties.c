/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "properties.h"

#define GST_TYPE_DEBLURUNET_BACKEND (backend_get_type ())
static GType
backend_get_type (void)
{
  static gsize type;
  static const GEnumValue values[] = {
    { DU_BACKEND_AUTO, "The fastest that works on this machine", "auto" },
    { DU_BACKEND_CPU, "CPU (oneDNN)", "cpu" },
    { DU_BACKEND_CUDA, "NVIDIA GPU (cuDNN)", "cuda" },
    { DU_BACKEND_REFERENCE, "Plain C on the CPU: very slow, for checking the others", "reference" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDeblurunetBackend", values));
  return type;
}

#define GST_TYPE_DEBLURUNET_PRECISION (precision_get_type ())
static GType
precision_get_type (void)
{
  static gsize type;
  static const GEnumValue values[] = {
    { DU_PRECISION_AUTO, "The fastest that the device computes natively", "auto" },
    { DU_PRECISION_F32, "32-bit float", "f32" },
    { DU_PRECISION_BF16, "bfloat16: faster where the CPU has it (AVX512_BF16, AMX)", "bf16" },
    { DU_PRECISION_F16, "16-bit float (GPU only)", "f16" },
    { DU_PRECISION_TF32, "32-bit float, products of 10-bit factors on tensor cores (GPU only)", "tf32" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDeblurunetPrecision", values));
  return type;
}

#define GST_TYPE_DEBLURUNET_TILE_MODE (tile_mode_get_type ())
static GType
tile_mode_get_type (void)
{
  static gsize type;
  static const GEnumValue values[] = {
    { DU_TILES_FIXED, "256x448, the size that the network is trained at", "fixed" },
    { DU_TILES_BALANCED, "As many tiles, as small as cover the frame: less work, the more so on small frames",
        "balanced" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDeblurunetTileMode", values));
  return type;
}

#define GST_TYPE_DEBLURUNET_COMPARE (compare_get_type ())
static GType
compare_get_type (void)
{
  static gsize type;
  static const GEnumValue values[] = {
    { GST_DEBLURUNET_COMPARE_NONE, "The deblurred picture", "none" },
    { GST_DEBLURUNET_COMPARE_SPLIT, "The input left of split-position, deblurred right of it", "split" },
    { GST_DEBLURUNET_COMPARE_SIDE_BY_SIDE, "The input beside the deblurred picture, in a frame twice as wide",
        "side-by-side" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDeblurunetCompare", values));
  return type;
}

#define GST_TYPE_DEBLURUNET_ON_LATE (on_late_get_type ())
static GType
on_late_get_type (void)
{
  static gsize type;
  static const GEnumValue values[] = {
    { GST_DEBLURUNET_ON_LATE_PROCESS, "Deblurred all the same", "process" },
    { GST_DEBLURUNET_ON_LATE_PASSTHROUGH, "Handed on as they are, and so are those of the next second or longer",
        "passthrough" },
    { GST_DEBLURUNET_ON_LATE_DROP, "Dropped", "drop" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDeblurunetOnLate", values));
  return type;
}

#define GST_TYPE_DEBLURUNET_ON_GPU_ERROR (on_gpu_error_get_type ())
static GType
on_gpu_error_get_type (void)
{
  static gsize type;
  static const GEnumValue values[] = {
    { GST_DEBLURUNET_ON_GPU_ERROR_FAIL, "The stream ends with an error", "fail" },
    { GST_DEBLURUNET_ON_GPU_ERROR_CPU, "A warning; the CPU deblurs that frame and those after it", "cpu" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstDeblurunetOnGpuError", values));
  return type;
}

void
gst_deblurunet_settings_init (GstDeblurunetSettings *settings)
{
  *settings = (GstDeblurunetSettings){ .strength = 1, .split_position = 0.5,
    .on_late = GST_DEBLURUNET_ON_LATE_PASSTHROUGH, .on_gpu_error = GST_DEBLURUNET_ON_GPU_ERROR_CPU };
  du_session_options_init (&settings->session);
  du_deblurrer_options_init (&settings->tiles);
}

void
gst_deblurunet_install_properties (GObjectClass *klass)
{
  const GParamFlags common = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;
  const GParamFlags ready = common | GST_PARAM_MUTABLE_READY;
  const GParamFlags playing = common | GST_PARAM_MUTABLE_PLAYING;
  const GParamFlags live = playing | GST_PARAM_CONTROLLABLE;
  DuDeblurrerOptions tiles;

  du_deblurrer_options_init (&tiles);
  g_object_class_install_property (klass, PROP_WEIGHTS,
      g_param_spec_string ("weights", "Weights file",
          "Path of a safetensors file from deblurunet-train; NULL = the installed default; a bare word, one of "
          "the others that are installed (clean, small, tiny). A new path takes effect at the next frame; if that "
          "file is bad, a warning is posted and the old weights stay",
          NULL, playing));
  g_object_class_install_property (klass, PROP_BACKEND,
      g_param_spec_enum ("backend", "Back end",
          "What computes the network; with auto, stats say which one does", GST_TYPE_DEBLURUNET_BACKEND,
          DU_BACKEND_AUTO, ready));
  g_object_class_install_property (klass, PROP_PRECISION,
      g_param_spec_enum ("precision", "Precision",
          "Number format of the network's activations; pictures stay in their own format. f32 is the most "
          "exact, bf16 and f16 are faster where the device computes them natively",
          GST_TYPE_DEBLURUNET_PRECISION, DU_PRECISION_AUTO, ready));
  g_object_class_install_property (klass, PROP_CUDA_DEVICE_ID,
      g_param_spec_int ("cuda-device-id", "CUDA device",
          "Number of the GPU; -1 = the first that works, or, of frames in CUDA memory, the one that they are on",
          -1, G_MAXINT, -1, ready));
  g_object_class_install_property (klass, PROP_THREADS,
      g_param_spec_int ("threads", "Threads",
          "CPU threads of the network, 0 = one for each core that the process may use. On a machine that is "
          "busy with other things, fewer than all cores can be faster",
          0, 1024, 0, ready));
  g_object_class_install_property (klass, PROP_TILE_MODE,
      g_param_spec_enum ("tile-mode", "Tile mode",
          "How large the tiles are. balanced costs a 640x360 frame 72 % of fixed's pixels with the default "
          "overlap, 86 % with overlap=128; pictures differ by what a tile sees of its surroundings",
          GST_TYPE_DEBLURUNET_TILE_MODE, tiles.tile_mode, ready));
  g_object_class_install_property (klass, PROP_OVERLAP,
      g_param_spec_int ("overlap", "Overlap",
          "Pixels that neighbouring tiles share at least. More hides the tiles' borders better and "
          "costs time: a 1080p frame has 25 tiles with up to 48 pixels, 30 with 80, 48 with 128",
          0, 128, tiles.overlap, ready));
  g_object_class_install_property (klass, PROP_BATCH,
      g_param_spec_int ("batch", "Batch",
          "Tiles per pass through the network, 0 = the back end's choice. Memory grows with it",
          0, 64, tiles.batch, ready));
  g_object_class_install_property (klass, PROP_STRENGTH,
      g_param_spec_double ("strength", "Strength",
          "Part of the network's correction that is added to the frame: 0 = none (frames pass through "
          "untouched and at no cost), 1 = all",
          0, 1, 1, live));
  g_object_class_install_property (klass, PROP_COMPARE,
      g_param_spec_enum ("compare", "Compare",
          "Show before and after in one picture, for the cost of a copy of what is shown of the input; frames in CUDA "
          "memory pass through the host's memory then",
          GST_TYPE_DEBLURUNET_COMPARE, GST_DEBLURUNET_COMPARE_NONE, playing));
  g_object_class_install_property (klass, PROP_SPLIT_POSITION,
      g_param_spec_double ("split-position", "Split position",
          "With compare=split, where the line stands: 0 = left border, 1 = right border", 0, 1, 0.5, live));
  g_object_class_install_property (klass, PROP_ON_LATE,
      g_param_spec_enum ("on-late", "On late",
          "What becomes of frames that come too late to be shown, as the sink says (QoS): no frame does where the "
          "sink has sync=false, or with qos=false. With passthrough, deblurring is tried again after a second, "
          "then after longer and longer rests",
          GST_TYPE_DEBLURUNET_ON_LATE, GST_DEBLURUNET_ON_LATE_PASSTHROUGH, playing));
  g_object_class_install_property (klass, PROP_FRAMES_IN_FLIGHT,
      g_param_spec_uint ("frames-in-flight", "Frames in flight",
          "Frames that are deblurred in threads of their own while the elements before and after work on others; "
          "0 = none. A frame that is done is handed on when the next one comes. Each costs memory and, with a "
          "live source, a frame's duration of latency",
          0, 16, 0, ready));
  g_object_class_install_property (klass, PROP_ON_GPU_ERROR,
      g_param_spec_enum ("on-gpu-error", "On GPU error",
          "What becomes of the stream when the GPU fails after the start, or its memory is full even for a smaller "
          "batch. With cpu no frame is lost, with backend=cuda neither, but the CPU is much slower; the GPU is used "
          "again when the program is started anew. Frames in CUDA memory cannot go on there: they end in an error",
          GST_TYPE_DEBLURUNET_ON_GPU_ERROR, GST_DEBLURUNET_ON_GPU_ERROR_CPU, playing));
  g_object_class_install_property (klass, PROP_STATS,
      g_param_spec_boxed ("stats", "Statistics",
          "Since the start: frames (deblurred), passed-through (strength 0 or on-late), late (too late "
          "to be shown), dropped (of these), tiles-per-frame, tile-width, tile-height, tiles-per-second; "
          "gather-ms, network-ms and scatter-ms of the last frame and their averages (gather-mean-ms, ...); what runs: backend, device, precision, note (why "
          "no better choice was taken), weights (path of the file in use), weights-name and weights-version "
          "(what its metadata call it; else the file's name, and the beginning of the SHA-256 of its values), "
          "metadata (a structure: what that file says of itself)",
          GST_TYPE_STRUCTURE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (klass, PROP_STATS_INTERVAL,
      g_param_spec_uint ("stats-interval", "Interval of statistics",
          "Milliseconds after which, at the next frame, an element message 'deblurunet-stats' is posted, the "
          "structure of the property stats; 0 = none",
          0, G_MAXUINT, 0, playing));

  gst_type_mark_as_plugin_api (GST_TYPE_DEBLURUNET_BACKEND, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DEBLURUNET_PRECISION, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DEBLURUNET_TILE_MODE, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DEBLURUNET_COMPARE, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DEBLURUNET_ON_LATE, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DEBLURUNET_ON_GPU_ERROR, 0);
}

gboolean
gst_deblurunet_settings_set (GstDeblurunetSettings *settings, guint id, const GValue *value)
{
  switch (id) {
  case PROP_WEIGHTS:
    g_free (settings->weights);
    settings->weights = g_value_dup_string (value);
    break;
  case PROP_BACKEND:
    settings->session.backend = g_value_get_enum (value);
    break;
  case PROP_PRECISION:
    settings->session.precision = g_value_get_enum (value);
    break;
  case PROP_CUDA_DEVICE_ID:
    settings->session.device = g_value_get_int (value);
    break;
  case PROP_THREADS:
    settings->session.threads = g_value_get_int (value);
    break;
  case PROP_TILE_MODE:
    settings->tiles.tile_mode = g_value_get_enum (value);
    break;
  case PROP_OVERLAP:
    settings->tiles.overlap = g_value_get_int (value);
    break;
  case PROP_BATCH:
    settings->tiles.batch = g_value_get_int (value);
    break;
  case PROP_STATS_INTERVAL:
    settings->stats_interval = g_value_get_uint (value);
    break;
  case PROP_STRENGTH:
    settings->strength = g_value_get_double (value);
    break;
  case PROP_COMPARE:
    settings->compare = g_value_get_enum (value);
    break;
  case PROP_SPLIT_POSITION:
    settings->split_position = g_value_get_double (value);
    break;
  case PROP_ON_LATE:
    settings->on_late = g_value_get_enum (value);
    break;
  case PROP_FRAMES_IN_FLIGHT:
    settings->frames_in_flight = g_value_get_uint (value);
    break;
  case PROP_ON_GPU_ERROR:
    settings->on_gpu_error = g_value_get_enum (value);
    break;
  default:
    return FALSE;
  }
  return TRUE;
}

gboolean
gst_deblurunet_settings_get (const GstDeblurunetSettings *settings, guint id, GValue *value)
{
  switch (id) {
  case PROP_WEIGHTS:
    g_value_set_string (value, settings->weights);
    break;
  case PROP_BACKEND:
    g_value_set_enum (value, settings->session.backend);
    break;
  case PROP_PRECISION:
    g_value_set_enum (value, settings->session.precision);
    break;
  case PROP_CUDA_DEVICE_ID:
    g_value_set_int (value, settings->session.device);
    break;
  case PROP_THREADS:
    g_value_set_int (value, settings->session.threads);
    break;
  case PROP_TILE_MODE:
    g_value_set_enum (value, settings->tiles.tile_mode);
    break;
  case PROP_OVERLAP:
    g_value_set_int (value, settings->tiles.overlap);
    break;
  case PROP_BATCH:
    g_value_set_int (value, settings->tiles.batch);
    break;
  case PROP_STATS_INTERVAL:
    g_value_set_uint (value, settings->stats_interval);
    break;
  case PROP_STRENGTH:
    g_value_set_double (value, settings->strength);
    break;
  case PROP_COMPARE:
    g_value_set_enum (value, settings->compare);
    break;
  case PROP_SPLIT_POSITION:
    g_value_set_double (value, settings->split_position);
    break;
  case PROP_ON_LATE:
    g_value_set_enum (value, settings->on_late);
    break;
  case PROP_FRAMES_IN_FLIGHT:
    g_value_set_uint (value, settings->frames_in_flight);
    break;
  case PROP_ON_GPU_ERROR:
    g_value_set_enum (value, settings->on_gpu_error);
    break;
  default:
    return FALSE;
  }
  return TRUE;
}

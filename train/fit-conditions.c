/* What `fit` trains and validates with beside the kernels.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fit.h"
#include "page.h"

/* What people have: streams, of blurred and of sharp pictures. */
#define CONDITIONS                                                                                           \
  "h264=crf:18 ; h264=crf:23 ; h264=crf:28 ; "                                                               \
  "blur=7:1 > h264=crf:18 ; blur=7:1 > h264=crf:23 ; blur=7:1 > h264=crf:28 ; "                              \
  "blur=11:1.6 > h264=crf:18 ; blur=11:1.6 > h264=crf:23 ; blur=11:1.6 > h264=crf:28"

gboolean
fit_recipes_settle (Settings *settings, GError **error)
{
  static const char *const names[] = { "degrade", "val-degrade" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    const char *text = settings_text (settings, names[i]);
    g_autoptr (Degrade) degrade = NULL;

    if (!text)
      continue;
    degrade = degrade_parse (text, error);
    if (!degrade) {
      g_prefix_error (error, "--%s: ", names[i]);
      return FALSE;
    }
    settings_set (settings, names[i], degrade_text (degrade));
  }
  return TRUE;
}

gboolean
fit_recipes_init (FitPlan *plan, const Settings *settings, GError **error)
{
  const char *train = settings_text (settings, "degrade"),
             *validate = settings_text (settings, "val-degrade");

  if (train && plan->kind != DATASET_ON_THE_FLY) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
        "--degrade is for sharp material and pairs are degraded already: give --on-the-fly too, or leave it "
        "out");
    return FALSE;
  }
  if (train && !((plan->degrade = degrade_parse (train, error)) && degrade_check (plan->degrade, error)))
    return FALSE;
  if (train && !validate)
    validate = CONDITIONS;
  if (!validate)
    return TRUE;
  if (!(plan->conditions = degrade_parse (validate, error)) || !degrade_check (plan->conditions, error))
    return FALSE;
  if (fit_n_conditions (plan) <= METRICS_MAX_KERNELS)
    return TRUE;
  g_set_error (error, TRAIN_ERROR, EXIT_USAGE,
      "--kernels and --val-degrade have %u kernels and chains together: give at most %d",
      fit_n_conditions (plan), METRICS_MAX_KERNELS);
  return FALSE;
}

guint
fit_n_conditions (const FitPlan *plan)
{
  return plan->synth.n_kernels + (plan->conditions ? degrade_n_chains (plan->conditions) : 0);
}

char *
fit_condition_name (const FitPlan *plan, guint condition, ConditionName style)
{
  guint n_kernels = plan->synth.n_kernels;
  const SynthKernel *kernel = &plan->synth.kernels[MIN (condition, n_kernels - 1)];
  g_autofree char *chain = NULL;
  char name[48];

  if (condition >= n_kernels) {
    chain = degrade_chain_text (plan->conditions, condition - n_kernels);
    return style == CONDITION_KEY ? degrade_key (chain) : g_steal_pointer (&chain);
  }
  switch (style) {
  case CONDITION_LONG:
    evaluate_kernel_name (kernel, name);
    return g_strdup (name);
  case CONDITION_PAGE:
    page_kernel_name (kernel, name);
    return g_strdup (name);
  case CONDITION_KEY:
    return g_strdup_printf ("%dx%d_sigma%g", kernel->size, kernel->size, kernel->sigma);
  default:
    return g_strdup_printf ("%s %g", style == CONDITION_SHORT ? "sigma" : "σ", kernel->sigma);
  }
}

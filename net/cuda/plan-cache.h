/* What was chosen for which convolution: in memory for this process, and on disk for those after it.
 *
 * The files are $XDG_CACHE_HOME/deblurunet/plans-*, one for each device with its libraries. A file that cannot
 * be read, is damaged or is of something else counts as none; a folder that cannot be written costs what
 * choosing costs. DEBLURUNET_CUDA_PLANS=0 in the environment, read once a process, leaves the disk alone. All
 * functions may be called in any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DU_CUDA_PLAN_CACHE_H
#define DU_CUDA_PLAN_CACHE_H

#include <glib.h>

/* A choice, which plan.h makes a plan of:
 *   (u b u)  the variant's fields: steps fused, whether vectors are typed, the result's type
 *   x        the library's number of the engine; -1: the legacy API
 *   a(ix)    the engine's knobs: type and value
 *   x        bytes of working memory
 *   s        digest of the operations that the next was made of
 *   ay       the plan as the library writes it, with the kernel it compiled; empty where it compiles none */
#define DU_CHOICE_TYPE "((ubu)xa(ix)xsay)"

typedef struct _DuPlanCache DuPlanCache;

/* The process's cache of a device; device: all that a choice depends on, beside the convolution. Never NULL,
 * never freed. The first call for a device reads its file, if it may. */
DuPlanCache *du_plan_cache_get (const char *device);
/* Under a key, all of a convolution that its choice depends on; g_variant_unref, or NULL. */
GVariant *du_plan_cache_find (DuPlanCache *cache, const char *key);
/* Takes a floating choice over. lasting: the next save writes it to the disk. */
void du_plan_cache_keep (DuPlanCache *cache, const char *key, GVariant *choice, gboolean lasting);
/* For a choice that did not work. */
void du_plan_cache_drop (DuPlanCache *cache, const char *key);
/* Writes what is new beside what other processes have written; quick where nothing is. Waits for one that writes. */
void du_plan_cache_save (DuPlanCache *cache);
/* Takes all choices away, and the file. */
void du_plan_cache_clear (DuPlanCache *cache);

/* Frees all, as in a new process: for tests, where nothing else has a cache. */
void du_plan_cache_forget (void);

#endif

/* Batches prepared ahead by threads, in a ring; handed out in order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataset.h"

typedef enum
{
  SLOT_FREE,
  SLOT_TAKEN, /* a thread fills it */
  SLOT_READY,
} SlotState;

typedef struct
{
  SlotState state;
  float *input, *target;
  DatasetItem *items;
  GError *error;
} Slot;

struct _Loader
{
  Dataset *dataset;
  DatasetOrder order;
  guint64 first;
  guint n, batches;
  int n_threads;
  GThread **threads;
  Slot *slots; /* batch b stands in slot b % n_slots */
  guint n_slots;

  GMutex lock; /* of what follows and of the slots' states */
  GCond changed;
  guint started; /* batches that threads have taken */
  guint given;   /* batches handed out; the last of them is still the caller's */
  gboolean stop;
};

static void
fill (Loader *loader, guint batch, Slot *slot)
{
  int height = loader->order.height, width = loader->order.width;
  gsize count;

  if (!height)
    dataset_picture_size (loader->dataset, &height, &width);
  count = (gsize) loader->n * height * width * 3;
  if (!slot->input) {
    slot->input = g_try_new (float, count);
    slot->target = g_try_new (float, count);
    slot->items = g_new (DatasetItem, loader->n);
  }
  if (!slot->input || !slot->target)
    g_set_error (&slot->error, TRAIN_ERROR, EXIT_IO,
        "not enough memory for a batch of %u crops of %dx%d: take a smaller --batch or --crop", loader->n, height,
        width);
  else
    dataset_batch (loader->dataset, &loader->order, loader->first + (guint64) batch * loader->n, loader->n,
        slot->input, slot->target, slot->items, &slot->error);
}

static gpointer
work (gpointer data)
{
  Loader *loader = data;

  g_mutex_lock (&loader->lock);
  while (!loader->stop && loader->started < loader->batches) {
    guint batch = loader->started;
    Slot *slot = &loader->slots[batch % loader->n_slots];

    if (slot->state != SLOT_FREE) {
      g_cond_wait (&loader->changed, &loader->lock);
      continue;
    }
    loader->started++;
    slot->state = SLOT_TAKEN;
    g_mutex_unlock (&loader->lock);
    fill (loader, batch, slot);
    g_mutex_lock (&loader->lock);
    slot->state = SLOT_READY;
    g_cond_broadcast (&loader->changed);
  }
  g_mutex_unlock (&loader->lock);
  return NULL;
}

Loader *
loader_new (Dataset *dataset, const DatasetOrder *order, guint64 first, guint n, guint batches, int threads)
{
  Loader *loader = g_new0 (Loader, 1);

  loader->dataset = dataset;
  loader->order = *order;
  loader->first = first;
  loader->n = n;
  loader->batches = batches;
  threads = CLAMP (threads, 0, (int) MIN (batches, 256));
  loader->n_slots = threads + 2; /* one is the caller's, one waits, the others are being filled */
  loader->slots = g_new0 (Slot, loader->n_slots);
  g_mutex_init (&loader->lock);
  g_cond_init (&loader->changed);
  loader->threads = g_new (GThread *, MAX (threads, 1));
  /* Where the system gives no more threads those that there are do all of it, or, without any, the caller's. */
  for (int i = 0; i < threads && (loader->threads[i] = g_thread_try_new ("loader", work, loader, NULL)); i++)
    loader->n_threads++;
  return loader;
}

gboolean
loader_next (Loader *loader, const float **input, const float **target, const DatasetItem **items, GError **error)
{
  Slot *slot = &loader->slots[loader->given % loader->n_slots];

  if (loader->given == loader->batches) {
    g_set_error (error, TRAIN_ERROR, EXIT_USAGE, "all %u batches have been taken", loader->batches);
    return FALSE;
  }
  g_mutex_lock (&loader->lock);
  if (loader->given > 0)
    loader->slots[(loader->given - 1) % loader->n_slots].state = SLOT_FREE;
  g_cond_broadcast (&loader->changed);
  if (loader->n_threads == 0)
    fill (loader, loader->given, slot);
  else
    while (slot->state != SLOT_READY)
      g_cond_wait (&loader->changed, &loader->lock);
  loader->given++;
  g_mutex_unlock (&loader->lock);
  if (slot->error) {
    g_propagate_error (error, g_steal_pointer (&slot->error));
    return FALSE;
  }
  *input = slot->input;
  *target = slot->target;
  *items = slot->items;
  return TRUE;
}

guint
loader_ready (Loader *loader)
{
  guint n = 0, slots;

  g_mutex_lock (&loader->lock);
  slots = loader->n_slots - (loader->given > 0); /* one is the caller's */
  while (n < slots && loader->given + n < loader->batches
         && loader->slots[(loader->given + n) % loader->n_slots].state == SLOT_READY)
    n++;
  g_mutex_unlock (&loader->lock);
  return n;
}

void
loader_free (Loader *loader)
{
  if (!loader)
    return;
  g_mutex_lock (&loader->lock);
  loader->stop = TRUE;
  g_cond_broadcast (&loader->changed);
  g_mutex_unlock (&loader->lock);
  for (int i = 0; i < loader->n_threads; i++)
    g_thread_join (loader->threads[i]);
  for (guint i = 0; i < loader->n_slots; i++) {
    g_free (loader->slots[i].input);
    g_free (loader->slots[i].target);
    g_free (loader->slots[i].items);
    g_clear_error (&loader->slots[i].error);
  }
  g_mutex_clear (&loader->lock);
  g_cond_clear (&loader->changed);
  g_free (loader->slots);
  g_free (loader->threads);
  g_free (loader);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lost.h"

typedef struct
{
  void *context; /* NULL: primary, of: */
  int device;
  guint users;
  char *problem; /* NULL: none yet */
} Watched;

static GMutex lock;
static GSList *all; /* of Watched: all contexts of others in use, and the primary ones that are lost */

/* The lock is held. */
static Watched *
find (void *context, int device)
{
  for (GSList *i = all; i; i = i->next) {
    Watched *watched = i->data;

    if (watched->context == context && (context || device == -1 || watched->device == device))
      return watched;
  }
  return NULL;
}

static Watched *
get (void *context, int device)
{
  Watched *watched = find (context, device);

  if (!watched) {
    watched = g_new0 (Watched, 1);
    watched->context = context;
    watched->device = device;
    all = g_slist_prepend (all, watched);
  }
  return watched;
}

static void
watched_free (gpointer data)
{
  Watched *watched = data;

  g_free (watched->problem);
  g_free (watched);
}

void
du_lost_watch (void *context)
{
  if (!context)
    return;
  g_mutex_lock (&lock);
  get (context, -1)->users++;
  g_mutex_unlock (&lock);
}

void
du_lost_unwatch (void *context)
{
  Watched *watched;

  if (!context)
    return;
  g_mutex_lock (&lock);
  watched = find (context, -1);
  /* Its owner may destroy it now, and the next one may stand at its address. */
  if (watched && --watched->users == 0) {
    all = g_slist_remove (all, watched);
    watched_free (watched);
  }
  g_mutex_unlock (&lock);
}

void
du_lost_add (void *context, int device, const char *problem)
{
  Watched *watched;

  g_mutex_lock (&lock);
  watched = get (context, device);
  if (!watched->problem)
    watched->problem = g_strdup (problem);
  g_mutex_unlock (&lock);
}

char *
du_lost_find (void *context, int device)
{
  const Watched *watched;
  char *problem;

  g_mutex_lock (&lock);
  watched = find (context, device);
  problem = watched ? g_strdup (watched->problem) : NULL;
  g_mutex_unlock (&lock);
  return problem;
}

void
du_lost_forget (void)
{
  g_mutex_lock (&lock);
  g_slist_free_full (g_steal_pointer (&all), watched_free);
  g_mutex_unlock (&lock);
}

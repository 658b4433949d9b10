/*
 * Which pages of files children touch that were forked from here. A fork does not send clean pages of files that the
 * child can read for itself; but hashing one costs more than to be sent it, and a fault more than either. So each child
 * tells at its end, or before its exec, what it missed, and the next fork sends those as well. Only a guess: whatever
 * is said here, a child's memory is the same.
 */
#ifndef COFRE_KERNEL_MM_TOUCHED_H
#define COFRE_KERNEL_MM_TOUCHED_H

#include "kernel/lib/types.h"

#define TOUCHED_MAX 512

/* In the child: note what is touched from here on, until touched_stop(). */
void touched_start(void);
void touched_note(uaddr_t page);
void touched_stop(void);
/* Page numbers that were noted, each told once; noting is over. How many. */
size_t touched_take(uint32_t ret_pages[TOUCHED_MAX]);

/* In the parent: children have touched these, by number. */
void touched_want(const uint32_t *pages, size_t count);
bool touched_wanted(uaddr_t page);
/* One more fork was sent: now and then all is forgotten, so that what is no longer touched is no longer sent. */
void touched_age(void);
void touched_forget(void);

#endif

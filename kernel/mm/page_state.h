/* What only commit.c may do to page states (see pages.h for the rest). */
#ifndef COFRE_KERNEL_MM_PAGE_STATE_H
#define COFRE_KERNEL_MM_PAGE_STATE_H

#include "kernel/mm/pages.h"

void page_state_init(uint64_t elrange_size);
/* Make sure that states of [start, end) can be set; false when out of kernel memory. */
must_check bool page_state_reserve(uaddr_t start, uaddr_t end);
void page_state_replace(uaddr_t page, uint8_t state);
/* The first idle page in [start, end), or end. */
uaddr_t pages_next_idle(uaddr_t start, uaddr_t end);

#endif

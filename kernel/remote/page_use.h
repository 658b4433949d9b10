/*
 * What enclaves mostly do with the pages of a part of a file: learnt from how it went, so that what comes next anyway
 * can be granted at once, and what is of no use need not be. Only guesses: nothing but speed depends on them.
 *
 * A part is 64 pages, since a page of a table is seldom used twice while it is remembered, but is used as those beside
 * it. Parts that meet in one place of the table mislead each other, no more.
 */
#ifndef COFRE_KERNEL_REMOTE_PAGE_USE_H
#define COFRE_KERNEL_REMOTE_PAGE_USE_H

#include "kernel/lib/types.h"

struct page_use_part {
    uint8_t asked, written;    /* copies for reading that were asked for; whose reader then asked to write */
    uint8_t copies, withdrawn; /* copies for reading, asked for or not; that were in a writer's way */
};

/* Of a file. All zero: nothing is known. */
struct page_use {
    struct page_use_part *parts; /* NULL: not yet, or no memory for it */
    unsigned guesses;
};

void page_use_deinit(struct page_use *use);

/* A copy for reading was granted; asked: for its own sake, by who may write as well. */
void page_use_copied(struct page_use *use, uint64_t index, bool asked);
/* Who has a copy writes to it. */
void page_use_written(struct page_use *use, uint64_t index);
/* Somebody's copy is in the way of a writer. */
void page_use_withdrawn(struct page_use *use, uint64_t index);

/* Will who asks for the page to read it write to it next? Now and then no is the answer, to see whether it still does.
 */
bool page_use_guess_write(struct page_use *use, uint64_t index);
/* Are pages that nobody asked for likely to stay until they are used, if they go along with this one? */
bool page_use_neighbours_stay(const struct page_use *use, uint64_t index);

#endif

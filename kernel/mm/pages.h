/*
 * The pages of application memory: which exist, with which rights, and how they are made to exist and cease to.
 *
 * One byte tells the state of each page, and every EACCEPT and EMODPE of application memory happens in commit.c, which
 * keeps the two in step: a page is accepted once for each time it is committed, and never on the host's word.
 *
 * With EDMM, committing is EAUG (by the fault that EACCEPT takes) and EACCEPT; rights are the EPCM's. Without, all
 * pages of [USER_BASE, USER_BASE + policy.memory_size) exist since the build with contents that nobody vouches for:
 * committing clears them, and rights are the host's page tables, asked for and not relied upon.
 */
#ifndef COFRE_KERNEL_MM_PAGES_H
#define COFRE_KERNEL_MM_PAGES_H

#include "kernel/lib/types.h"

/* The low bits equal EDMM_R/W/X and SECINFO's. */
enum page_state {
    PAGE_R = 1,
    PAGE_W = 2,
    PAGE_X = 4,
    PAGE_RIGHTS = 7,
    PAGE_COMMITTED = 8,
    PAGE_SHARED = 16,    /* the home of a page of a shared file mapping (shared.c) */
    PAGE_REWRITTEN = 32, /* its text went through the rewriter */
    PAGE_OLD = 32,       /* of an idle page: it was when the program began (pages_age_idle()) */
    PAGE_CLEAN = 128,    /* what a private mapping's file has there, but for rewriting; never writable since */
    PAGE_OPEN = 128,     /* of an idle page: the host's page tables were left as they are (pages_leave_open()) */
    PAGE_IDLE = 64, /* not committed, but kept, out of reach by the host's page tables: zero, with rights RW; or, if
                       PAGE_R is set too, with the rights that are set: zero if it is writable, else as it was; or, with
                       PAGE_SHARED, on the shelf: it has old contents, and the EPCM lets nobody at them */
};

void pages_init(uint64_t elrange_size, bool edmm, uint64_t limit_bytes);
bool pages_edmm(void);
/* The end of memory that accessible mappings may use: all of it with EDMM. */
uaddr_t pages_backed_end(void);

uint8_t page_state(uaddr_t page);
void page_state_set(uaddr_t page, uint8_t flags);
void page_state_clear(uaddr_t page, uint8_t flags);
/* The first committed page in [start, end), or end. */
uaddr_t pages_next_committed(uaddr_t start, uaddr_t end);
size_t pages_count_committed(uaddr_t start, uaddr_t end);

/*
 * Make [start, start + count pages), none of it committed, exist: zeroed, with rights RW. pages_commit_copy: with src's
 * contents and exactly `rights` (R set). -ENOMEM if the limit does not allow it, or the host has no more; nothing has
 * happened then.
 */
must_check int pages_commit(uaddr_t start, size_t count);
must_check int pages_commit_copy(uaddr_t start, size_t count, const void *src, unsigned rights);
/* As pages_commit(), with rights RWX. */
must_check int pages_commit_all_rights(uaddr_t start, size_t count);
/* Pages that may still be committed. */
uint64_t pages_available(void);

/* Give every committed page in [start, end) exactly these rights. */
void pages_set_rights(uaddr_t start, uaddr_t end, unsigned rights);
/* A fault on a page that should not have: tell the host again (page tables are its own). */
void pages_refresh(uaddr_t page);
/* Give back every committed page in [start, end). Contents are gone. */
void pages_decommit(uaddr_t start, uaddr_t end);
/*
 * All of [start, end) is committed, and is going to have other contents soon. It is not committed any more, and nobody
 * can read or write it, but the pages stay, up to 16 MiB of them, until pages_commit_copy() puts something there. If no
 * other thread could look meanwhile, that takes no exit.
 */
void pages_shelve(uaddr_t start, uaddr_t end);
/*
 * The same for memory that is likely to be used again: up to an eighth of all pages are kept idle, which costs one exit
 * instead of two and several operations on each page, then and when they are committed again. After a second in which
 * nothing was released all but 16 MiB are given back. That nobody reaches them
 * meanwhile is the host's word; it is the application's own zeroes that are there to reach.
 */
void pages_release(uaddr_t start, uaddr_t end);
/*
 * From now on also others are kept: PAGE_CLEAN ones, to which nobody can have written, as they are, where
 * pages_commit_copy() with the same contents and rights finds them; the rest zeroed, as writable ones. For enclaves
 * whose next program, or next process, is likely the last one again.
 */
void pages_keep_text(void);
/*
 * While no thread of an application can run, between the end of one program and the start of the next, what becomes
 * idle need not be put out of reach: most of it is committed again by then. pages_close_idle(), before a thread runs,
 * does that for the rest.
 */
void pages_leave_open(void);
/* Another program begins: what idle pages contain is none of its memory, and may not be seen by it. */
void pages_age_idle(void);
void pages_close_idle(void);
/* Contents become zero; committed pages may stay so. */
void pages_discard(uaddr_t start, uaddr_t end);

#endif

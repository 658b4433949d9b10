/* Messages about pages that several enclaves share (docs/PROCESSES.md), and about futexes in them. */
#ifndef COFRE_KERNEL_REMOTE_SHARED_MESSAGE_H
#define COFRE_KERNEL_REMOTE_SHARED_MESSAGE_H

#include "kernel/remote/process_message.h"

/* MESSAGE_SHARED_GET: a page of the file behind a handle, and of the count - 1 after it those that nobody has. */
struct shared_get {
    struct message message;
    uint64_t handle, index;
    uint32_t count, write;
};
#define SHARED_GET_MAX 16

enum shared_flags {
    SHARED_WRITE = 1,    /* GRANT: the holder may write */
    SHARED_CONTENTS = 2, /* GRANT, BACK: the page follows */
    SHARED_READ = 4,     /* TAKE: to be kept for reading; BACK: it is */
    SHARED_ASKED = 8,    /* BACK: the answer to a TAKE */
    SHARED_NOTHING = 16, /* BACK: there was nothing to give any more */
};

/* MESSAGE_SHARED_GRANT, _TAKE (to a member), _BACK (to init). */
struct shared_page_message {
    struct message message;
    uint64_t object; /* the file: its name in this container's life */
    uint64_t index;
    int32_t result; /* GRANT: 0, or -errno and no grant */
    uint32_t flags; /* enum shared_flags */
    uint8_t page[];
};

/* MESSAGE_SHARED_NEW: a nameless file of `number` zeroes, as struct number_message. R: struct file_answer. */

/*
 * Futexes in such memory. The member has compared the word while its page was there: by the order of the link, what it
 * sends comes before the page can be anybody else's.
 *
 *   FUTEX_WAIT     queue a waiter, which the member calls `id`
 *   FUTEX_CANCEL   the waiter does not want to wait any more. FUTEX_WOKEN comes in any case
 *   FUTEX_WOKEN    to the member: the waiter was woken (result 0), or cancelled before (1)
 *   FUTEX_WAKE     R (struct number_message), unless the request is 0
 *   FUTEX_REQUEUE  R
 */
struct futex_message {
    struct message message;
    uint64_t file, at;
    uint64_t to_file, to_at; /* REQUEUE */
    uint32_t id;             /* WAIT, CANCEL, WOKEN */
    uint32_t bitset;         /* WAIT, WAKE */
    int32_t count;           /* WAKE, REQUEUE: to wake */
    int32_t requeue_count;
    int32_t result; /* WOKEN */
};

#endif

/* Messages about pages that several enclaves share (docs/PROCESSES.md), and about futexes in them. */
#ifndef COFRE_KERNEL_REMOTE_SHARED_MESSAGE_H
#define COFRE_KERNEL_REMOTE_SHARED_MESSAGE_H

#include "kernel/remote/process_message.h"

/* MESSAGE_SHARED_GET: a page of the file behind a handle, and up to count - 1 after it that nobody has. */
struct shared_get {
    struct message message;
    uint64_t handle, index;
    uint32_t count, write;
};
#define SHARED_GET_MAX 8

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
 * MESSAGE_FUTEX_WAIT: the word was what it should be while the page was here, so that whoever changes it and wakes
 * comes later. R: struct number_message when woken, or after a CANCEL: 0 or -EINTR.
 */
struct futex_message {
    struct message message;
    uint64_t object, offset;
    uint64_t to_object, to_offset; /* _REQUEUE */
    uint32_t bitset;               /* _WAIT, _WAKE */
    int32_t wake_count, requeue_count;
    uint32_t cancel; /* _CANCEL: the request of the WAIT */
};

#endif

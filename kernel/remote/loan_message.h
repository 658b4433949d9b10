/*
 * Messages about connections of the init enclave that a member has borrowed (kernel/net/loan.h), and about descriptors
 * there that it waits for. A loan is known by its channel and an id that is never used again, so that what crosses
 * something else on the way means nothing. By the order of the link:
 *
 *   LOAN    --> member   with the reply of a call that used the connection: this descriptor is yours
 *   BEGUN   <-- member   a connection that it has accepted by itself, and that it has as if it were lent to it
 *   NEWS    --> member   the host says something of these channels
 *   RECALL  --> member   give it back. Ignored if RETURN is on its way
 *   DIRTY   <-- member   have the host look at these channels
 *   FLAGS   <-- member   the file's status flags
 *   RETURN  <-- member   how far it came, and the epoll sets it is in; perhaps its descriptor is closed, too
 *
 *   WATCH   <-- member   say when this descriptor, an epoll set's, is readable: once
 *   FIRED   --> member   it is, or is none, or may be
 */
#ifndef COFRE_KERNEL_REMOTE_LOAN_MESSAGE_H
#define COFRE_KERNEL_REMOTE_LOAN_MESSAGE_H

#include "kernel/net/loan.h"
#include "kernel/remote/process_message.h"

/* LOAN, BEGUN. */
struct loan_message {
    struct message message;
    uint64_t id;
    int32_t fd;
    uint32_t cloexec;
    struct tcp_loan loan;
};

#define LOAN_BEGUN_ID (1ULL << 63) /* ids of BEGUN have it, others do not */

/* RECALL; FLAGS, with those. */
struct loan_id_message {
    struct message message;
    uint64_t id;
    uint32_t channel, flags;
};

/* An epoll set of the process that it is in, and what is said there. */
struct loan_watch {
    int32_t epfd, fd;
    uint64_t data;
    uint32_t events, pad;
};

#define LOAN_WATCHES_MAX 64

struct loan_return_message {
    struct message message;
    uint64_t id;
    int32_t close_fd; /* or -1 */
    uint32_t watch_count;
    struct tcp_loan loan;
    struct loan_watch watches[LOAN_WATCHES_MAX]; /* watch_count of them travel */
};
#define LOAN_RETURN_SIZE(watch_count)                                                                                  \
    (offsetof(struct loan_return_message, watches) + (watch_count) * sizeof(struct loan_watch))

#define LOAN_CHANNELS_MAX 64

/* NEWS, DIRTY. */
struct loan_channels_message {
    struct message message;
    uint32_t count;
    uint32_t channels[LOAN_CHANNELS_MAX];
};

/* WATCH (on: 0 or 1), FIRED. */
struct watch_message {
    struct message message;
    uint64_t id;
    int32_t fd;
    uint32_t on;
};

#endif

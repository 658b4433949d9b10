/*
 * Turns: pages that several enclaves write to are used by one of them for a while, and not passed on one by one.
 *
 * A program that shares memory touches several pages for what it does at a time. If each goes to whoever asked first,
 * most have gone on by the time the last one comes. So an enclave that has to wait for a page of a file gets the file's
 * turn: only for it pages are taken from others, and what it asks for comes first. The others' takes are put off. When
 * the turn goes on, what the enclave used in its last turn is brought along, in one go.
 *
 * A turn ends when its enclave is quiet: nothing came from it for a while, or it sleeps on a futex; and after some tens
 * of milliseconds in any case, rather between two system calls than in the middle of something. The next one is that of
 * who waited longest, or of who was cut short, if the one after it soon came to sleep. Without anybody who waits a turn
 * means nothing. Who only ever touches a page and goes on alone - two that spin for each other - is not waited for
 * long.
 *
 * Only a policy: it decides when a "take" is sent (shared_home.c), and the directory need not know.
 */
#ifndef COFRE_KERNEL_REMOTE_TURN_H
#define COFRE_KERNEL_REMOTE_TURN_H

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

#define TURN_NOBODY 0

struct turn_wait;
struct turn_habit;

/* Of a file. */
struct turn {
    TAILQ_ENTRY(turn) entry;
    uint32_t holder;    /* TURN_NOBODY: the file's is not on any list */
    uint64_t began_ns;  /* holder has had it since then */
    uint64_t quiet_ns;  /* from when on it is quiet, if nothing comes from it */
    uint64_t waited_ns; /* of that, in which it waited for pages */
    uint64_t asked_ns;  /* when it asked for one that it does not have yet, or 0 */
    uint64_t limit_ns;  /* over then in any case */
    bool used;          /* it did more than to get what it waited for */
    bool asleep;        /* it ended it */
    bool cut_short;     /* it was ended though it would have gone on */
    uint32_t cut_off;   /* whose turn before this one was cut short */
    unsigned unused_count, tried_count;
    TAILQ_HEAD(, turn_wait) waits; /* takes that are put off */
    LIST_HEAD(, turn_habit) habits;
};

/* What an enclave just did. */
enum turn_event {
    TURN_CALLED,   /* made a system call: TURN_ANSWERED follows, perhaps much later */
    TURN_WAKES,    /* woke somebody; there is no answer */
    TURN_ANSWERED, /* was answered */
    TURN_SLEEPS,   /* has nothing to do until it is woken */
};

struct turn_ops {
    void (*take)(struct turn *turn, uint64_t index, uint32_t holder, bool to_read);
    /* The enclave, whose turn begins, will want this page: it asked for it by this handle of its process pid. */
    void (*expect)(struct turn *turn, uint32_t enclave, int pid, uint64_t handle, uint64_t index, bool write);
    /* Has it taken what was sent to it? As far as the host lets it be seen. */
    bool (*reached)(struct turn *turn, uint32_t enclave);
    /* The enclave's turn is over: what it wrote to is better at home, from where others have it sooner. */
    void (*recall)(struct turn *turn, uint32_t enclave, uint64_t index);
    /* Between these the file stays, whatever the others find out about enclaves. */
    void (*hold)(struct turn *turn);
    void (*release)(struct turn *turn);
};

void turn_start(const struct turn_ops *ops); /* boot */
void turn_init(struct turn *turn);
/* What was put off is dropped. */
void turn_deinit(struct turn *turn);

/*
 * waiter, whose request is the page's first, wants what holder has: true if the take is put off. For a waiter of 0, the
 * home, it never is.
 */
bool turn_put_off(struct turn *turn, uint64_t index, uint32_t holder, uint32_t waiter, bool to_read);
bool turn_is_of(const struct turn *turn, uint32_t enclave);
/* The enclave asks for a page; then it waits for it: who has the turn waits for nobody else's takes. */
void turn_asks(struct turn *turn, uint32_t enclave, int pid, uint64_t handle);
void turn_waits(struct turn *turn, uint32_t enclave, uint64_t index);
/* brought: it was expected, and not asked for. */
void turn_granted(struct turn *turn, uint32_t enclave, uint64_t index, bool write, bool brought);
/* The enclave gave the page back, as it came or not. */
void turn_returned(struct turn *turn, uint32_t enclave, uint64_t index, bool changed);
void turn_heard(uint32_t enclave, enum turn_event event);
/* The enclave is gone: it has no turn, and owes nothing. */
void turn_lost(struct turn *turn, uint32_t enclave);

#endif

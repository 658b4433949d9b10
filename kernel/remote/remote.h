/* Several enclaves, one container: what the rest of the kernel needs to know of it. */
#ifndef COFRE_KERNEL_REMOTE_REMOTE_H
#define COFRE_KERNEL_REMOTE_REMOTE_H

#include "kernel/lib/types.h"
#include "kernel/remote/link.h"

/* Boot, after random numbers and cryptography: checks the link area, if the host gave one. */
void remote_init(void);
/* Is this the kernel of a member enclave? */
bool remote_is_member(void);
/* The key that only enclaves of this measurement on this CPU can derive. */
void remote_base_key(uint8_t ret_key[LINK_KEY_SIZE]);

/* Idle loop and ticks: has the doorbell been rung? Then see to all links. */
void remote_poll(void);
/* What was learnt about whether something comes within moments. Starts as zeros, but for work_ns. */
struct linger {
    unsigned misses; /* of late */
    unsigned skipped, retry_every;
    unsigned work_ns; /* how long the other side may work before it answers */
    bool prompt;      /* it was asked: an answer mostly comes as soon as it has looked */
};
/*
 * With nothing to do but wait for another enclave: look at the doorbell for a while if that has paid of late, with the
 * kernel lock given up meanwhile, and see to all links if it rings. awake: the other side had not to be woken by what
 * was sent last (link->peer_awake). True: it rang, or there is other work.
 */
bool remote_linger(struct linger *linger, bool awake);
/*
 * Before sending what will be answered: nobody need wake this enclave, since remote_linger() comes next, if that pays.
 * What ends it, too: remote_linger_end(), or to sleep. If it does not pay only because other tasks want to run, the
 * idle loop lingers after these.
 */
bool remote_linger_begin(struct linger *linger);
void remote_linger_end(void);
/*
 * The current task works on for some microseconds and then looks, by remote_linger_end(): nobody need wake this enclave
 * for what comes meanwhile. A sleep in between ends it, too.
 */
void remote_busy_begin(void);
/* The same in the idle loop, before parking. */
bool remote_linger_idle(void);
/*
 * A task's: look out for what another enclave is about to do, for as long as that is cheaper than to sleep and be
 * woken, with the kernel lock given up meanwhile. `there` needs no lock. False: it did not come, or there is other
 * work.
 */
bool remote_look_out(bool (*there)(const void *arg), const void *arg);

#endif

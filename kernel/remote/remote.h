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
/*
 * Idle loop, before parking, with the kernel lock, which is given up meanwhile: if an answer or the next call may come
 * within moments, look out for it for a while. True: something is there, or there is other work.
 */
bool remote_linger(void);
/*
 * A task's: look out for what another enclave is about to do, for as long as that is cheaper than to sleep and be
 * woken, with the kernel lock given up meanwhile. `there` needs no lock. False: it did not come, or there is other
 * work.
 */
bool remote_look_out(bool (*there)(const void *arg), const void *arg);

#endif

/*
 * A member's side: system calls that the init enclave runs for processes whose tasks are here.
 */
#ifndef COFRE_KERNEL_REMOTE_CLIENT_H
#define COFRE_KERNEL_REMOTE_CLIENT_H

#include "kernel/remote/message.h"

struct trap_frame;

/* Open the link to the init enclave; from now on system calls go there as kernel/remote/calls.c says. */
void client_init(void);
/*
 * Run a system call there, whatever calls.c says of it, with arguments that may differ from the caller's; windows as
 * for the call of that number. Sleeps; a signal interrupts it as it does the call. Result as a system call's.
 */
int64_t remote_call(uint64_t nr, const uint64_t args[6]);

/* The same, with what the call writes at its argument `arg` going to the kernel's `buf` instead, of `size` bytes. The
 * call must have no other memory. */
int64_t remote_call_into(uint64_t nr, const uint64_t args[6], unsigned arg, void *buf, size_t size);

/*
 * Send a message of a type from MESSAGE_HANDLED on; message->request is set here to 0. Sleeps while much is queued, if
 * it may. 0, -ENOMEM or -EPIPE.
 */
must_check int client_send(struct message *message, size_t size);
/* The same from places that must not sleep. */
must_check int client_post(struct message *message, size_t size);
/* Nor does it ring: it goes with what is sent next, or when there is nothing else to do, or at the next tick. */
must_check int client_post_quietly(struct message *message, size_t size);
/* Has the init enclave not been rung since? And: ring it. */
bool client_unrung(void);
void client_ring(void);
/* Send one and wait, not interruptibly, for the record that answers it (same request); kfree() that. */
must_check int client_request(struct message *message, size_t size, struct record **ret_answer);
bool client_peer_awake(void); /* had it not to be woken for what was sent last? */
/* Sleep until all that was sent is in the ring. */
void client_drain(void);
/* Messages of types from MESSAGE_HANDLED on that answer no request. fn must not sleep; it owns the record. */
void client_on_message(uint32_t type, void (*fn)(struct record *record));
/* fn is called when all that came together was handed out, before anything else runs. Must not sleep. */
void client_on_polled(void (*fn)(void));

/* Part of remote_poll(). False: look again later, memory was short. */
bool client_poll(void);

#endif

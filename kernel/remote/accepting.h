/*
 * A member that accepts connections by itself: of a listening socket of the init enclave it has one of its own, over
 * the same host socket, and its own host process's pump serves what it accepts. So a request that needs nothing else
 * asks nobody: what it sends and receives, and the next accept, go by the same exit.
 */
#ifndef COFRE_KERNEL_REMOTE_ACCEPTING_H
#define COFRE_KERNEL_REMOTE_ACCEPTING_H

#include "kernel/lib/types.h"

struct file;

/* accept or accept4 of what tcp_share_begin() made. False: the init enclave is to do it. Sleeps. */
bool accepting_call(struct file *listener, uint64_t nr, const uint64_t args[6], int64_t *ret_result);

#endif

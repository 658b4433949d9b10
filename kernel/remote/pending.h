/*
 * Signals that wait in a member, blocked, for a signalfd, which belongs to the init enclave. The member tells which
 * ones wait each time that changes (MESSAGE_PENDING), so that a poll there sees it; a read takes one by asking
 * (MESSAGE_SIGNAL_TAKE), and the member's kernel decides which it is.
 */
#ifndef COFRE_KERNEL_REMOTE_PENDING_H
#define COFRE_KERNEL_REMOTE_PENDING_H

#include "kernel/process/signal_types.h"
#include "kernel/remote/work.h"

struct process;
struct signal_source;

/* In the init enclave: struct remote_ops.signal_take. Sleeps, for as long as the member needs to answer. */
int remote_signal_take(struct process *process, int tid, sigset64_t set, struct signal_source *ret_source);
void receive_pending(struct remote_member *member, struct record *record);
void receive_signal_taken(struct remote_member *member, struct record *record);
/* The process has ended, or its enclave: no answer comes any more. */
void remote_take_end(const struct process *process);
/* What becomes of SIGCHLD there, and so of the process's children, which are the init enclave's affair. */
void receive_child_action(struct remote_member *member, struct record *record);

/* In a member: struct member_ops.pending, and who receives the questions. */
void member_pending(struct process *process, int tid, sigset64_t set);
void receive_signal_take(struct record *record);

#endif

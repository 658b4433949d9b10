/*
 * The init enclave's side of processes that run in members: their signals, what they report, how they begin.
 */
#ifndef COFRE_KERNEL_REMOTE_PROCESS_LINK_H
#define COFRE_KERNEL_REMOTE_PROCESS_LINK_H

#include "kernel/remote/process_message.h"
#include "kernel/remote/server.h"

struct clone_args;
struct remote_member;

/* Boot, if there are members at all: handlers of what members send. */
void process_link_init(void);

/* 0 or -ENOMEM. */
must_check int remote_process_new(struct process *process, struct remote_member *member);
/* It has ended, or its enclave is lost. */
void remote_process_exited(struct process *process, int wait_status, const struct process_usage *usage);

/*
 * A child of `parent` in an enclave of its own, which waits for its image by the stream whose other end *ret_stream is.
 * actions: the parent's. Sleeps. The child, referenced, or -errno in the result.
 */
must_check int remote_fork(struct process *parent, int tid, uint32_t parent_member, uint64_t flags, int exit_signal,
                           const struct signal_action actions[64], struct process **ret_child,
                           struct stream_place *ret_stream);
/* The process, which runs in enclave `from` on memory that is not its own, goes to a new one, which waits for its
 * program. Sleeps. */
must_check int remote_exec_away(struct process *process, uint32_t from, struct stream_place *ret_stream);

/* Sleep until the process, which another enclave is to start, runs there, or has ended. */
void remote_start_wait(const struct process *process);

#endif

/*
 * What /proc says of a process in another enclave, where that enclave's kernel alone knows it: maps, environ and the
 * like. The init enclave asks, the member answers with text in pieces.
 */
#ifndef COFRE_KERNEL_REMOTE_SHOW_H
#define COFRE_KERNEL_REMOTE_SHOW_H

#include "kernel/remote/work.h"

struct process;
struct seq;

/* In the init enclave: struct remote_ops.proc_show. Sleeps, killably; 0 with what came, -EINTR, or -errno. */
int remote_show(struct process *process, int tid, const char *name, struct seq *seq);
void receive_shown(struct remote_member *member, struct record *record);
/* The process has ended, or its enclave: nothing more comes. */
void remote_show_end(const struct process *process);

/* In a member: receives the questions. */
void receive_show(struct record *record);

#endif

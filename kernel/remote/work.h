/* What members ask of the init enclave, and answers: for the files that serve it. */
#ifndef COFRE_KERNEL_REMOTE_WORK_H
#define COFRE_KERNEL_REMOTE_WORK_H

#include "kernel/remote/message.h"

struct process;
struct remote_member;

/* Runs fn in a task of its own that acts for the process that the record's message names (process_self() in fn); a
 * request about no such process is answered with -ESRCH. Takes the record over. */
typedef void remote_work_fn(struct remote_member *member, struct process *process, const struct message *message,
                            size_t size);
void remote_work(struct remote_member *member, struct record *record, remote_work_fn *fn);

struct process *remote_process_of(const struct remote_member *member, const struct message *message);
void remote_answer(struct remote_member *member, const struct message *answer, size_t size);
void remote_answer_number(struct remote_member *member, const struct message *message, int64_t number);

/* kernel/remote/exec_link.c */
void receive_exec_open(struct remote_member *member, struct record *record);
void receive_execed(struct remote_member *member, struct record *record);

#endif

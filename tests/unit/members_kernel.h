/*
 * What the process protocol of the init enclave needs of the rest of the kernel, as small as can be: tasks that run one
 * at a time, files that are four, system calls that sleep or return. For members_world.c.
 */
#ifndef COFRE_TESTS_MEMBERS_KERNEL_H
#define COFRE_TESTS_MEMBERS_KERNEL_H

#include "hosted_libc.h"

#define FAIL(text) hosted_abort("hostile members: " text)
#define CONTAINER_PROCESSES 24

/* Processes in whose name nobody calls anything. */
extern int kernel_silent_pids[2];

/* PID 1 and the files; once in the program's life. */
void kernel_begin(void);
/* A task, and all of them until none has anything to do. */
void kernel_task(void (*fn)(void *arg), void *arg);
void kernel_run(void);
/* FAIL if a task sleeps that waits for something, a file is open, or there is memory in use but for `known`
 * allocations. */
void kernel_check_clean(long known);

#endif

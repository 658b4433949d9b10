/* The C library's side of remote_world.c: threads under one lock. */
#ifndef COFRE_TESTS_REMOTE_THREADS_H
#define COFRE_TESTS_REMOTE_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thread; /* and what it sleeps on */

/* For the calling thread, if fn is NULL; else one that runs fn(arg). */
struct thread *thread_new(void (*fn)(void *arg), void *arg);
void thread_join(struct thread *thread); /* and free */
void thread_free(struct thread *thread); /* one that was not started, or that calls this as its last deed */
void thread_wait(struct thread *thread); /* with the lock, which is given up meanwhile; may wake for no reason */
void thread_wake(struct thread *thread);
void thread_lock(void);
void thread_unlock(void);
void thread_sleep_us(unsigned us);
/* Zeroed memory that processes of process_start() share. */
void *shared_memory_new(size_t size);
void shared_memory_free(void *p, size_t size);
/* fn runs in a child process, whose exit status is its result; -1 if it was killed. Wait for it with process_wait(). */
int process_start(int (*fn)(void));
int process_wait(int pid);
uint64_t environment_number(const char *name, uint64_t otherwise);

#endif

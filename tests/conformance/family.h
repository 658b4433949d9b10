/*
 * For programs about what the processes of one family are to each other: all of them look at one struct, in which a
 * child says that it runs (start() waits for it), and who made it ends it.
 */
#ifndef FAMILY_H
#define FAMILY_H
#include "child.h"

static struct {
    volatile int go, ready; /* what start() is about */
    volatile int result, results[8], ids[8], grandchild, word;
    volatile int heard[65]; /* by hear(), of each signal */
    volatile siginfo_t info;
} SHARED shared;

static inline void on_info(int signal, siginfo_t *info, void *context)
{
    memcpy((void *)&shared.info, info, sizeof *info);
    __atomic_fetch_add(&shared.heard[signal], 1, __ATOMIC_SEQ_CST);
}

static inline void hear(int signal, int flags)
{
    struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &action, NULL);
    shared.heard[signal] = 0;
}

/* ---- what children do ---- */

static inline int exit_with(void *arg)
{
    raw_exit((int)(long)arg);
}

static inline int pause_for_ever(void *arg)
{
    __atomic_fetch_add(&shared.ready, 1, __ATOMIC_SEQ_CST);
    for (;;)
        raw(SYS_pause, 0, 0, 0, 0);
}

/* Runs until told. */
static inline int linger(void *arg)
{
    __atomic_fetch_add(&shared.ready, 1, __ATOMIC_SEQ_CST);
    while (!shared.go)
        raw_sleep_ms(1);
    raw_exit((int)(long)arg);
}

/* ---- and who makes them ---- */

/* Returns when the child runs. */
static inline int start(int (*fn)(void *), long arg)
{
    shared.go = shared.ready = 0;
    int pid = beside(fn, (void *)arg);
    wait_word(&shared.ready, 1);
    return pid;
}

static inline void end(int pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, __WALL);
}
#endif

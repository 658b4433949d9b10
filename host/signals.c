/*
 * Signals to the host process are the container's: they are blocked in all threads and taken by one, which hands them
 * to the container's first process (vcpu_shared[0].signals). No handlers, so nothing interrupts host code.
 */
#include "host/error.h"
#include "host/members.h"
#include "host/pump/pump.h"
#include "host/runtime.h"

#include <errno.h>
#include <signal.h>

static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGPWR, SIGWINCH};

static sigset_t forwarded_set(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
        sigaddset(&set, forwarded[i]);
    sigaddset(&set, SIGCHLD); /* not forwarded: signals_forward() */
    return set;
}

void signals_block(void)
{
    sigset_t set = forwarded_set();

    sigaddset(&set, PUMP_WAKE_SIGNAL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a volume that grows beyond a limit of this machine is an error, not an end */
    signal(SIGPIPE, SIG_IGN); /* before any enclave exists, so plain signal() will do */
}

void signals_forward(struct runtime *runtime)
{
    sigset_t set = forwarded_set();

    for (;;) {
        int signum;

        if (sigwait(&set, &signum) != 0)
            continue;
        if (signum == SIGCHLD) {
            if (!atomic_load(&runtime->ending) && members_lost(runtime)) {
                complain("the processes of the container were killed (cofre-zygote)");
                runtime_end_outside(runtime, EXIT_RUNTIME_FAILED);
            }
            continue;
        }
        if (signum == SIGWINCH && runtime->options.tty) {
            pump_window_size_changed(runtime->pump);
            vcpu_kick(runtime, 0);
            continue;
        }
        __atomic_fetch_or(&runtime->shared[0].signals, 1u << (signum - 1), __ATOMIC_SEQ_CST);
        vcpu_kick(runtime, 0);
    }
}

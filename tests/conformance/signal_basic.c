/* Handlers, masks, pending sets, SA_ flags, and what PID 1 does with signals that nobody handles. */
#include "show.h"
#include <signal.h>
#include <sys/syscall.h>

static volatile sig_atomic_t count, order[16], order_count;

static void handler(int signal)
{
    count++;
    order[order_count++ & 15] = signal;
}

static void nested(int signal)
{
    static volatile int depth;
    printf("nested %d depth %d\n", signal, depth);
    if (depth++ < 2)
        raise(signal);
    depth--;
}

static void info_handler(int signal, siginfo_t *info, void *context)
{
    printf("signal %d code %d pid %d uid %d value %d errno %d\n", signal, info->si_code, info->si_pid == getpid(),
           (int)info->si_uid, info->si_value.sival_int, info->si_errno);
}

static void set(int signal, void (*fn)(int), int flags, int also)
{
    struct sigaction action = {.sa_handler = fn, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    if (also)
        sigaddset(&action.sa_mask, also);
    SHOW(sigaction(signal, &action, NULL));
}

static void show_set(const char *name, const sigset_t *mask)
{
    printf("%s:", name);
    for (int i = 1; i <= 64; i++)
        if (sigismember(mask, i) == 1)
            printf(" %d", i);
    printf("\n");
}

int main(void)
{
    sigset_t mask, old;
    printf("pid %d\n", getpid());
    set(SIGUSR1, handler, 0, 0);
    SHOW(raise(SIGUSR1));
    SHOW(kill(getpid(), SIGUSR1));
    SHOW(count);

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGUSR2);
    sigaddset(&mask, SIGKILL);
    SHOW(sigprocmask(SIG_BLOCK, &mask, &old));
    show_set("old", &old);
    SHOW(sigprocmask(SIG_BLOCK, NULL, &old));
    show_set("blocked", &old);
    raise(SIGUSR1);
    raise(SIGUSR1);
    set(SIGUSR2, handler, 0, 0);
    raise(SIGUSR2);
    sigpending(&old);
    show_set("pending", &old);
    order_count = 0;
    count = 0;
    SHOW(sigprocmask(SIG_UNBLOCK, &mask, NULL));
    SHOW(count);
    printf("order %d %d\n", order[0], order[1]);

    set(SIGUSR1, nested, SA_NODEFER, 0);
    raise(SIGUSR1);
    set(SIGUSR1, handler, SA_RESETHAND, 0);
    count = 0;
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    printf("reset to default: %d\n", now.sa_handler == SIG_DFL);
    SHOW(count);

    struct sigaction action = {.sa_sigaction = info_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGRTMIN + 3, &action, NULL);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 4711});
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = -5});

    /* PID 1 is not hurt by what it does not handle. */
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    SHOW(kill(getpid(), SIGTERM));
    SHOW(raise(SIGINT));
    SHOW(raise(SIGSTOP));
    SHOW(kill(getpid(), SIGKILL));
    signal(SIGUSR1, SIG_IGN);
    SHOW(raise(SIGUSR1));

    SHOW(kill(getpid(), 0));
    SHOW(kill(99999, 0));
    SHOW(kill(getpid(), 65));
    SHOW(kill(-1, 0));
    SHOW(kill(-99999, SIGUSR1));
    SHOW(sigaction(SIGKILL, &action, NULL));
    SHOW(sigaction(SIGSTOP, NULL, &now));
    SHOW(sigaction(65, NULL, &now));
    SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, 4));
    SHOW(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 16));
    SHOW(syscall(SYS_rt_sigprocmask, 77, &mask, NULL, 8));
    SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8L, NULL, 8));
    SHOW(syscall(SYS_tgkill, getpid(), 12345, SIGUSR1));
    SHOW(syscall(SYS_tgkill, 0, 1, SIGUSR1));
    SHOW(syscall(SYS_tkill, -1, SIGUSR1));
    return 0;
}

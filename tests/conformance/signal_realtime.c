/* Realtime signals queue, in order; sigtimedwait, sigwaitinfo, sigsuspend. */
#include "show.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

static void handler(int signal, siginfo_t *info, void *context)
{
    printf("%d: value %d code %d\n", signal - SIGRTMIN, info->si_value.sival_int, info->si_code);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigset_t mask, empty;
    sigemptyset(&mask);
    sigemptyset(&empty);
    for (int i = 0; i < 4; i++) {
        sigaddset(&mask, SIGRTMIN + i);
        sigaction(SIGRTMIN + i, &action, NULL);
    }
    sigfillset(&action.sa_mask);
    for (int i = 0; i < 4; i++)
        sigaction(SIGRTMIN + i, &action, NULL);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    for (int i = 0; i < 8; i++)
        sigqueue(getpid(), SIGRTMIN + 3 - i % 4, (union sigval){.sival_int = i});
    sigprocmask(SIG_UNBLOCK, &mask, NULL);

    sigprocmask(SIG_BLOCK, &mask, NULL);
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100 + i});
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 200});
    struct timespec zero = {0, 0}, some = {0, 20000000};
    siginfo_t info;
    for (int i = 0; i < 5; i++) {
        int r = sigtimedwait(&mask, &info, &zero);
        if (r > 0)
            printf("took %d value %d\n", r - SIGRTMIN, info.si_value.sival_int);
        else
            printf("nothing: %s\n", strerrorname_np(errno));
    }
    SHOW(sigtimedwait(&mask, NULL, &some));
    struct timespec bad = {0, 1000000000};
    SHOW(sigtimedwait(&mask, NULL, &bad));
    raise(SIGRTMIN + 2);
    SHOW(sigwaitinfo(&mask, &info) - SIGRTMIN);
    printf("code %d\n", info.si_code);

    sigset_t none;
    sigfillset(&none);
    sigdelset(&none, SIGRTMIN);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 7});
    SHOW(sigsuspend(&none));
    sigprocmask(SIG_BLOCK, NULL, &none);
    printf("still blocked: %d\n", sigismember(&none, SIGRTMIN));
    /* the handler ran with everything blocked and sigsuspend brought the old mask back */

    siginfo_t raw;
    memset(&raw, 0, sizeof raw);
    raw.si_signo = SIGRTMIN + 1;
    raw.si_code = -17;
    raw.si_errno = 9;
    raw.si_pid = 123;
    raw.si_uid = 456;
    raw.si_value.sival_int = 789;
    SHOW(syscall(SYS_rt_sigqueueinfo, getpid(), SIGRTMIN + 1, &raw));
    SHOW(syscall(SYS_rt_tgsigqueueinfo, getpid(), (int)syscall(SYS_gettid), SIGRTMIN + 2, &raw));
    for (int i = 0; i < 2; i++) {
        SHOW(sigwaitinfo(&mask, &info) - SIGRTMIN);
        printf("code %d errno %d pid %d uid %d value %d\n", info.si_code, info.si_errno, info.si_pid, info.si_uid,
               info.si_value.sival_int);
    }
    SHOW(syscall(SYS_rt_sigqueueinfo, 4242, SIGRTMIN, &raw));

    struct rlimit limit = {3, 3};
    SHOW(setrlimit(RLIMIT_SIGPENDING, &limit));
    int queued = 0;
    while (queued < 100 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0)
        queued++;
    printf("limited: %d\n", queued <= 4);
    SHOW(sigqueue(getpid(), SIGRTMIN, (union sigval){0}));
    SHOW(kill(getpid(), SIGRTMIN));
    return 0;
}

/* Signals that wait outlast an exec, also of a child of vfork, which goes elsewhere. */
#include "show.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void report(const char *who)
{
    sigset_t set;
    sigpending(&set);
    printf("%s: TERM %d USR1 %d RT %d\n", who, sigismember(&set, SIGTERM), sigismember(&set, SIGUSR1),
           sigismember(&set, SIGRTMIN + 1));
    fflush(stdout);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL); /* the end: by the lowest of them */
    printf("%s: still here\n", who);
}

static void block_and_send(int self)
{
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    kill(self, SIGTERM);
    pthread_kill(pthread_self(), SIGUSR1);
    sigqueue(self, SIGRTMIN + 1, (union sigval){.sival_int = 7});
}

static void show_end(int pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    printf("%x\n", status);
    fflush(stdout);
}

static void by_vfork(const char *who)
{
    int pid = vfork();
    if (pid == 0) {
        block_and_send(getpid());
        execl("/proc/self/exe", "process_pending", who, NULL);
        _exit(1);
    }
    show_end(pid);
}

int main(int argc, char **argv)
{
    int pid;
    if (argc > 1) {
        report(argv[1]);
        return 0;
    }
    by_vfork("vfork");
    pid = fork();
    if (pid == 0) {
        block_and_send(getpid());
        execl("/proc/self/exe", "process_pending", "fork", NULL);
        _exit(1);
    }
    show_end(pid);
    pid = fork();
    if (pid == 0) {
        by_vfork("vfork of a child");
        _exit(0);
    }
    show_end(pid);
    return 0;
}

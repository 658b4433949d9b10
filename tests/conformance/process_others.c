/* What a process may see and change of another one that fork made, and what that one then sees of it. */
#include "show.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>

static int to_child[2], to_parent[2];
static volatile sig_atomic_t got;
static siginfo_t info;

static void hear(int signal, siginfo_t *i, void *context)
{
    info = *i;
    got = signal;
}

static void show_file(int pid, const char *name)
{
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY);
    if (read(fd, text, sizeof text - 1) > 0)
        printf("%s: %s", name, text);
    close(fd);
}

static int store(int pid, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_WRONLY), r = write(fd, text, strlen(text)), error = errno;
    close(fd);
    errno = error;
    return r;
}

static void say(const char *what)
{
    struct rlimit limit;
    if (*what == 's') {
        while (!got)
            usleep(1000);
        printf("got %s, code %d, value %d, of the parent %d\n", got == SIGUSR1 ? "SIGUSR1" : "another", info.si_code,
               got == SIGUSR1 ? 0 : info.si_value.sival_int, info.si_pid == getppid());
        got = 0;
        return;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("in the child: priority %d, files %ld of %ld, policy %d\n", getpriority(PRIO_PROCESS, 0),
           (long)limit.rlim_cur, (long)limit.rlim_max, sched_getscheduler(0));
    SHOW(fcntl(0, F_DUPFD, 99));
    SHOW(fcntl(0, F_DUPFD, 100));
    show_file(getpid(), "oom_score_adj");
    getrlimit(RLIMIT_FSIZE, &limit);
    printf("size of files %ld\n", (long)limit.rlim_cur);
}

static void child(void)
{
    struct sigaction a = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO};
    struct timespec used;
    char what;
    sigaction(SIGUSR1, &a, NULL);
    sigaction(SIGRTMIN, &a, NULL);
    write(to_parent[1], "r", 1);
    for (;;) {
        int n = read(to_child[0], &what, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 1 || what == 'q')
            break;
        say(&what);
        fflush(stdout);
        write(to_parent[1], "d", 1);
    }
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    while (used.tv_sec == 0 && used.tv_nsec < 100000000);
    char *memory = malloc(20 << 20);
    memset(memory, 1, 20 << 20);
    write(to_parent[1], memory + 12345, 1);
    _exit(7);
}

static void ask(const char *what)
{
    char done;
    fflush(stdout);
    write(to_child[1], what, 1);
    read(to_parent[0], &done, 1);
}

static void change(int pid)
{
    struct rlimit limit = {100, 200}, old;
    struct sched_param param = {0};
    SHOW(getpriority(PRIO_PROCESS, pid));
    SHOW(setpriority(PRIO_PROCESS, pid, 3));
    SHOW(getpriority(PRIO_PROCESS, pid));
    SHOW(prlimit(pid, RLIMIT_NOFILE, &limit, &old));
    SHOW(prlimit(pid, RLIMIT_NOFILE, NULL, &old));
    printf("%ld %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
    limit.rlim_cur = limit.rlim_max = 123456;
    SHOW(prlimit(pid, RLIMIT_FSIZE, &limit, NULL));
    SHOW(sched_getscheduler(pid));
    SHOW(sched_getparam(pid, &param));
    cpu_set_t set;
    SHOW(sched_getaffinity(pid, sizeof set, &set));
    SHOW(CPU_COUNT(&set) > 0);
    SHOW(store(pid, "oom_score_adj", "300"));
    SHOW(store(pid, "comm", "other"));
    ask("c");
}

static void signals(int pid, int pidfd)
{
    SHOW(kill(pid, SIGUSR1));
    ask("s");
    SHOW(sigqueue(pid, SIGRTMIN, (union sigval){42}));
    ask("s");
    SHOW(syscall(SYS_tgkill, pid, pid, SIGUSR1));
    ask("s");
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, NULL, 0));
    ask("s");
}

int main(void)
{
    siginfo_t si = {0};
    struct rusage usage;
    struct tms times_now;
    char ready;
    int status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    pipe(to_child);
    pipe(to_parent);
    int pid = fork();
    if (pid == 0)
        child();
    read(to_parent[0], &ready, 1);
    int pidfd = syscall(SYS_pidfd_open, pid, 0);
    change(pid);
    signals(pid, pidfd);
    SHOW(setpgid(pid, pid));
    SHOW(getpgid(pid) == pid);
    write(to_child[1], "q", 1);
    SHOW(waitid(P_PIDFD, pidfd, &si, WEXITED | WNOWAIT));
    printf("code %d, status %d\n", si.si_code, si.si_status);
    SHOW(wait4(pid, &status, 0, &usage) == pid);
    long used = usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_sec * 1000000 +
                usage.ru_stime.tv_usec;
    printf("status %x, time %d, memory %d\n", status, used >= 90000, usage.ru_maxrss > 20000);
    times(&times_now);
    printf("times %d\n", times_now.tms_cutime + times_now.tms_cstime >= 9);
    getrusage(RUSAGE_CHILDREN, &usage);
    printf("children %d\n", usage.ru_maxrss > 20000);
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
    return 0;
}

/* Processes that fork made: descriptors and directories they share, several that wait, what threads leave, posix_spawn.
 */
#define NEEDS_EDMM
#define CHILDREN_FORK
#include "family.h"

#include <fcntl.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/time.h>

extern char **environ;

/* ---- clone's flags ---- */

static int opens(void *arg)
{
    dup2(0, 33);
    close(34);
    chdir("/dev");
    umask(0123);
    fcntl(35, F_SETFD, FD_CLOEXEC);
    raw_exit(0);
}

static void sharing(void)
{
    char path[64];
    static const int flags[] = {CLONE_FILES, CLONE_FS, CLONE_FILES | CLONE_FS, 0};
    for (int i = 0; i < 4; i++) {
        chdir("/");
        umask(022);
        dup2(0, 34), dup2(0, 35);
        close(33);
        show_wait("sharing", beside_with(flags[i] | SIGCHLD, opens, NULL), 0);
        printf("%d %d %d %s %o\n", fcntl(33, F_GETFD), fcntl(34, F_GETFD), fcntl(35, F_GETFD),
               getcwd(path, sizeof path), umask(022));
    }
    close(33), close(34), close(35);
    chdir("/tmp");
}

static void clone_args(void)
{
    struct clone_args args = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    int status, pid;
    struct sigaction action;
    struct itimerval value = {.it_value = {5, 0}};
    hear(SIGUSR1, 0);
    signal(SIGUSR2, SIG_IGN);
    setitimer(ITIMER_REAL, &value, NULL);
    fflush(stdout);
    pid = (int)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        sigaction(SIGUSR1, NULL, &action);
        SHOW(action.sa_handler == SIG_DFL);
        sigaction(SIGUSR2, NULL, &action);
        SHOW(action.sa_handler == SIG_IGN);
        getitimer(ITIMER_REAL, &value);
        SHOW(value.it_value.tv_sec);
        raw_exit(0);
    }
    show_wait("CLONE_CLEAR_SIGHAND", pid, 0);
    memset(&value, 0, sizeof value);
    setitimer(ITIMER_REAL, &value, NULL);
    args = (struct clone_args){.exit_signal = 65};
    SHOW(syscall(SYS_clone3, &args, sizeof args));
    args = (struct clone_args){.flags = CLONE_FS | CLONE_NEWNS, .exit_signal = SIGCHLD};
    SHOW(syscall(SYS_clone3, &args, sizeof args));
    args = (struct clone_args){.flags = CLONE_THREAD, .exit_signal = SIGCHLD};
    SHOW(syscall(SYS_clone3, &args, sizeof args));
    args = (struct clone_args){.flags = 1ULL << 40, .exit_signal = SIGCHLD};
    SHOW(syscall(SYS_clone3, &args, sizeof args));
    signal(SIGUSR1, SIG_DFL), signal(SIGUSR2, SIG_DFL);
}

/* ---- several threads wait ---- */

static int child_of_all;

static void *waits(void *arg)
{
    int status, r = waitpid(child_of_all, &status, 0);
    return (void *)(long)(r < 0 ? -errno : status);
}

static void two_wait(void)
{
    pthread_t a, b;
    void *first, *second;
    child_of_all = start(pause_for_ever, 0);
    pthread_create(&a, NULL, waits, NULL);
    pthread_create(&b, NULL, waits, NULL);
    raw_sleep_ms(30);
    kill(child_of_all, SIGTERM);
    pthread_join(a, &first);
    pthread_join(b, &second);
    printf("together %ld\n", (long)first + (long)second);
}

static void signal_waits(void)
{
    sigset_t set, old;
    siginfo_t info;
    struct signalfd_siginfo fd_info;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    int pid = start(pause_for_ever, 0);
    kill(pid, SIGKILL);
    SHOW(sigwaitinfo(&set, &info));
    printf("code %d status %d from it %d\n", info.si_code, info.si_status, info.si_pid == pid);
    waitpid(pid, NULL, 0);
    pid = start(pause_for_ever, 0);
    int fd = signalfd(-1, &set, 0);
    kill(pid, SIGSTOP);
    SHOW(read(fd, &fd_info, sizeof fd_info));
    printf("code %d status %d from it %d\n", fd_info.ssi_code, fd_info.ssi_status, (int)fd_info.ssi_pid == pid);
    end(pid);
    read(fd, &fd_info, sizeof fd_info);
    close(fd);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

/* ---- threads and PR_SET_PDEATHSIG ---- */

static int told(void *arg)
{
    hear(SIGUSR2, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
    return pause_for_ever(NULL);
}

static void *forks(void *arg)
{
    shared.ids[0] = start(told, 0);
    shared.ids[1] = 1;
    for (;;)
        pause();
}

static int ends_with_threads(void *arg)
{
    pthread_t thread;
    shared.ids[1] = 0;
    pthread_create(&thread, NULL, forks, NULL);
    while (!shared.ids[1])
        raw_sleep_ms(1);
    if (arg) {
        char *words[] = {"again", "pause", NULL};
        execv("/proc/self/exe", words);
    }
    raw_exit(0);
}

static void deaths(void)
{
    show_wait("ends", instead(ends_with_threads, NULL), 0);
    wait_word(&shared.heard[SIGUSR2], 1);
    SHOW(shared.heard[SIGUSR2] > 0);
    kill(shared.ids[0], SIGKILL);
    int pid = beside(ends_with_threads, (void *)1L);
    shared.heard[SIGUSR2] = 0;
    wait_word(&shared.heard[SIGUSR2], 1);
    SHOW(shared.heard[SIGUSR2]);
    end(pid);
    kill(shared.ids[0], SIGKILL);
}

/* ---- limits ---- */

static int writes(void *arg)
{
    struct rlimit limit = {100, 100};
    char bytes[80] = "";
    int fd = open("/tmp/limited", O_RDWR | O_CREAT | O_TRUNC, 0600);
    setrlimit(RLIMIT_FSIZE, &limit);
    memset((void *)shared.ids, 0, sizeof shared.ids);
    if (arg)
        hear(SIGXFSZ, 0);
    for (int i = 0; i < 3; i++) /* standard output may be a file, too */
        shared.ids[i] = write(fd, bytes, sizeof bytes) < 0 ? -errno : 1;
    shared.ids[3] = ftruncate(fd, 1000) < 0 ? -errno : 1;
    shared.ids[4] = lseek(fd, 0, SEEK_END);
    raw_exit(0);
}

static int burns(void *arg)
{
    shared.ready = 1;
    for (;;)
        ;
}

static void limits(void)
{
    for (long with = 0; with < 2; with++) {
        show_wait("RLIMIT_FSIZE", instead(writes, (void *)with), 0);
        printf("%d %d %d, %d, size %d\n", shared.ids[0], shared.ids[1], shared.ids[2], shared.ids[3], shared.ids[4]);
    }
    SHOW(shared.heard[SIGXFSZ]);
    int pid = start(burns, 0);
    struct rlimit limit = {1, 5};
    SHOW(prlimit(pid, RLIMIT_CPU, &limit, NULL));
    show_wait("RLIMIT_CPU of another", pid, 0);
    pid = start(pause_for_ever, 0);
    SHOW(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, pid) >= 0);
    SHOW(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 4)));
    SHOW(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 99999));
    end(pid);
}

/* ---- posix_spawn ---- */

static void spawned(const char *what, posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions)
{
    char *words[] = {"again", "state", NULL};
    int pid = -1, r;
    fflush(stdout);
    r = posix_spawn(&pid, "/proc/self/exe", actions, attributes, words, environ);
    printf("%s: %s\n", what, r ? strerrorname_np(r) : "spawned");
    show_wait(what, pid, 0);
}

static void spawns(void)
{
    sigset_t set;
    posix_spawnattr_t a;
    posix_spawn_file_actions_t f;
    posix_spawnattr_init(&a);
    posix_spawn_file_actions_init(&f);
    spawned("plain", NULL, NULL);
    signal(SIGUSR1, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    posix_spawnattr_setsigdefault(&a, &set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigmask(&a, &set);
    posix_spawnattr_setpgroup(&a, 0);
    posix_spawnattr_setflags(&a, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addopen(&f, 40, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addchdir_np(&f, "/dev");
    spawned("with attributes", &a, &f);
    posix_spawnattr_setflags(&a, POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_addclose(&f, 77);
    spawned("in a session", &a, &f);
    posix_spawn_file_actions_addopen(&f, 41, "/nowhere", O_RDONLY, 0);
    spawned("that cannot be", &a, &f);
    signal(SIGUSR1, SIG_DFL);
}

static int state(void)
{
    char path[64];
    sigset_t set;
    struct sigaction action;
    sigprocmask(SIG_BLOCK, NULL, &set);
    sigaction(SIGUSR1, NULL, &action);
    printf("%d %d %d, %d, fd 40: %d, group %d session %d, %s\n", sigismember(&set, SIGUSR1), sigismember(&set, SIGUSR2),
           sigismember(&set, SIGTERM), action.sa_handler == SIG_IGN, fcntl(40, F_GETFD), getpgrp() == getpid(),
           getsid(0) == getpid(), getcwd(path, sizeof path));
    return 12;
}

static int session(void *arg)
{
    setsid();
    sharing();
    clone_args();
    two_wait();
    signal_waits();
    deaths();
    limits();
    spawns();
    show_wait("nobody left", -1, 0);
    raw_exit(0);
}

int main(int count, char **words)
{
    if (count == 1)
        return run_in_session(session);
    if (strcmp(words[1], "state") == 0)
        return state();
    for (;;)
        pause();
}

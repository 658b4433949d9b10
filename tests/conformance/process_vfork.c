/* Children on their maker's memory: vfork in its forms, what they share and what not, how they end. */
#include "child.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static volatile int word, seen;
static int parent, maker, last_fd;

static int set_word(void *arg)
{
    word = (int)(long)arg;
    seen = getppid();
    raw_exit(7);
}

static void plain_vfork(void)
{
    word = 0;
    int pid = vfork();
    if (pid == 0) {
        word = 1;
        _exit(3);
    }
    printf("vfork: pid %d, word %d\n", pid > 1, word);
    show_wait("vfork child", pid, 0);
    show_wait("again", pid, 0);
    show_wait("any", -1, WNOHANG);

    /* By the raw numbers. */
    pid = (int)raw(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0);
    if (pid == 0)
        raw_exit(255);
    show_wait("clone without a stack", pid, 0);
}

static int kill_self(void *arg)
{
    raw(SYS_kill, getpid(), (long)arg, 0, 0);
    raw_sleep_ms(1000);
    raw_exit(1);
}

static int fault(void *arg)
{
    *(volatile int *)8 = 1;
    raw_exit(1);
}

static int end_thread(void *arg)
{
    raw(SYS_exit, 300, 0, 0, 0);
    return 0;
}

static int returns(void *arg)
{
    return 9;
}

static void ends(void)
{
    show_wait("set_word", instead(set_word, (void *)42), 0);
    printf("word %d, ppid is mine %d\n", word, seen == getpid());
    show_wait("SIGTERM", instead(kill_self, (void *)SIGTERM), 0);
    show_wait("SIGKILL", instead(kill_self, (void *)SIGKILL), 0);
    show_wait("SIGUSR2", instead(kill_self, (void *)SIGUSR2), 0);
    show_wait("SIGCHLD is ignored", instead(kill_self, (void *)SIGCHLD), 0);
    show_wait("fault", instead(fault, NULL), 0);
    show_wait("exit of the thread", instead(end_thread, NULL), 0);
    show_wait("return", instead(returns, NULL), 0);
}

static int change_own(void *arg)
{
    int fd = open("/dev/null", O_RDONLY);
    last_fd = fd;
    dup2(fd, 100);
    chdir("/proc");
    umask(0123);
    struct rlimit limit = {10, 20};
    setrlimit(RLIMIT_CPU, &limit);
    signal(SIGUSR1, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    setresuid(-1, 1000, -1);
    printf("child: euid %d\n", geteuid());
    fflush(stdout);
    raw_exit(0);
}

static void show_own(const char *what)
{
    char cwd[256] = "";
    struct rlimit limit;
    struct sigaction action;
    sigset_t set;
    getcwd(cwd, sizeof cwd);
    getrlimit(RLIMIT_CPU, &limit);
    sigaction(SIGUSR1, NULL, &action);
    sigprocmask(SIG_BLOCK, NULL, &set);
    mode_t mask = umask(022);
    printf("%s: fd 100 %s, cwd %s, umask %o, cpu %ld, USR1 ignored %d, USR2 blocked %d, euid %d\n", what,
           fcntl(100, F_GETFD) < 0 ? "closed" : "open", cwd, mask, (long)limit.rlim_cur, action.sa_handler == SIG_IGN,
           sigismember(&set, SIGUSR2), geteuid());
    close(100);
    chdir("/tmp");
}

static void sharing(void)
{
    umask(022);
    show_own("before");
    show_wait("change", instead(change_own, NULL), 0);
    show_own("after");
    int pid = clone(change_own, new_stack(), CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | SIGCHLD, NULL);
    show_wait("change, shared", pid, 0);
    show_own("after");
    close(last_fd);
}

static int file_offsets(void *arg)
{
    int fd = (int)(long)arg;
    char bytes[4];
    read(fd, bytes, 4);
    raw_exit(bytes[0]);
}

static void descriptors(void)
{
    int fd = open("/tmp/vfork-file", O_CREAT | O_TRUNC | O_RDWR, 0600);
    write(fd, "abcdefgh", 8);
    lseek(fd, 2, SEEK_SET);
    show_wait("one offset", instead(file_offsets, (void *)(long)fd), 0);
    SHOW(lseek(fd, 0, SEEK_CUR));
    close(fd);
}

static int exec_missing(void *arg)
{
    char *argv[] = {"x", NULL};
    execv("/does/not/exist", argv);
    raw_exit(errno == ENOENT ? 127 : 1);
}

static void clone3_forms(void)
{
    int pidfd = -1, parent_tid = 0, child_tid = 0;
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID,
        .pidfd = (uint64_t)&pidfd,
        .parent_tid = (uint64_t)&parent_tid,
        .child_tid = (uint64_t)&child_tid,
        .exit_signal = SIGCHLD,
    };
    long pid = raw(SYS_clone3, (long)&args, sizeof args, 0, 0);
    if (pid == 0)
        raw_exit(parent_tid == child_tid && parent_tid == raw(SYS_getpid, 0, 0, 0, 0) ? 11 : 12);
    printf("clone3: %d, tids %d %d, pidfd %d\n", pid > 0, parent_tid == pid, child_tid == pid, pidfd >= 0);
    struct pollfd p = {pidfd, POLLIN, 0};
    SHOW(poll(&p, 1, 1000));
    SHOW(fcntl(pidfd, F_GETFD));
    siginfo_t info = {0};
    SHOW(waitid(P_PIDFD, pidfd, &info, WEXITED));
    printf("waitid: code %d, status %d, pid is it %d\n", info.si_code, info.si_status, info.si_pid == pid);
    SHOW(waitid(P_PIDFD, pidfd, &info, WEXITED));
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
    close(pidfd);

    args = (struct clone_args){.flags = CLONE_VM | CLONE_VFORK | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    signal(SIGUSR1, SIG_IGN);
    pid = raw(SYS_clone3, (long)&args, sizeof args, 0, 0);
    if (pid == 0)
        raw_exit(13);
    show_wait("clone3, handlers cleared", (int)pid, 0);
    signal(SIGUSR1, SIG_DFL);
}

static void errors(void)
{
    struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = 65};
    printf("exit signal 65: %ld\n", raw(SYS_clone3, (long)&args, sizeof args, 0, 0));
    args = (struct clone_args){.flags = CLONE_THREAD | CLONE_VM};
    printf("thread without handlers: %ld\n", raw(SYS_clone3, (long)&args, sizeof args, 0, 0));
    args = (struct clone_args){.flags = CLONE_SIGHAND};
    printf("handlers without memory: %ld\n", raw(SYS_clone3, (long)&args, sizeof args, 0, 0));
    args = (struct clone_args){.flags = CLONE_VM | CLONE_VFORK, .stack = (uint64_t)new_stack()};
    printf("stack without size: %ld\n", raw(SYS_clone3, (long)&args, sizeof args, 0, 0));
    args = (struct clone_args){.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD, .pidfd = 8, .exit_signal = SIGCHLD};
    long pid = raw(SYS_clone3, (long)&args, sizeof args, 0, 0);
    if (pid == 0)
        raw_exit(0);
    printf("pidfd to nowhere: %ld\n", pid);
    show_wait("no child of it", -1, WNOHANG);
    args.flags = CLONE_PIDFD;
    pid = raw(SYS_clone3, (long)&args, sizeof args, 0, 0);
    if (pid == 0)
        raw_exit(0);
    printf("pidfd of a fork to nowhere: %ld\n", pid);
    show_wait("no child of it", -1, WNOHANG);
    args = (struct clone_args){.flags = CLONE_INTO_CGROUP, .cgroup = 0, .exit_signal = SIGCHLD};
    printf("into a cgroup that is none: %ld\n", raw(SYS_clone3, (long)&args, sizeof args, 0, 0));
    int tid = 4242;
    args = (struct clone_args){.set_tid = (uint64_t)&tid, .set_tid_size = 1, .exit_signal = SIGCHLD};
    printf("a number of one's own: %ld\n", raw(SYS_clone3, (long)&args, sizeof args, 0, 0));
    tid = -1;
    printf("a wrong one: %ld\n", raw(SYS_clone3, (long)&args, sizeof args, 0, 0));
    args.set_tid_size = 33;
    printf("too many: %ld\n", raw(SYS_clone3, (long)&args, sizeof args, 0, 0));
}

static int at_limit(void *arg)
{
    struct rlimit limit = {1, 1};
    setrlimit(RLIMIT_NPROC, &limit);
    printf("root is not limited: %d\n", WEXITSTATUS((wait4(instead(returns, NULL), (int *)&word, 0, NULL), word)));
    raw(SYS_setresuid, 1000, 1000, 1000, 0);
    SHOW(instead(returns, NULL));
    fflush(stdout);
    raw_exit(0);
}

static int nested(void *arg)
{
    int status = 0;
    int pid = instead(set_word, (void *)77);
    waitpid(pid, &status, 0);
    raw_exit(WEXITSTATUS(status) + 1);
}

/* ---- makers that do not wait to the end ---- */

static volatile int inner, go;

static int until_told(void *arg)
{
    inner = (int)raw(SYS_getpid, 0, 0, 0, 0);
    while (!go)
        raw_sleep_ms(1);
    raw_exit(5);
}

static int vfork_inside(void *arg)
{
    if (arg)
        signal(SIGTERM, SIG_IGN);
    raw(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, (long)new_stack(), 0, 0);
    if (inner == 0)
        until_told(NULL);
    raw_exit(6);
}

/* A thread asleep in vfork is woken by what ends its process, by nothing else. */
static void killed_in_vfork(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    inner = go = 0;
    int pid = beside(vfork_inside, NULL);
    while (!inner)
        raw_sleep_ms(1);
    kill(pid, SIGCONT);
    kill(pid, SIGWINCH);
    raw_sleep_ms(5);
    show_wait("not by these", pid, WNOHANG);
    kill(pid, SIGTERM);
    show_wait("maker", pid, 0);
    int child = inner;
    SHOW(kill(child, 0));
    go = 1;
    show_wait("child of a dead maker", child, 0);

    inner = go = 0;
    pid = beside(vfork_inside, (void *)1);
    while (!inner)
        raw_sleep_ms(1);
    kill(pid, SIGTERM);
    raw_sleep_ms(5);
    show_wait("ignored", pid, WNOHANG);
    go = 1;
    show_wait("maker", pid, 0);
    show_wait("its child", -1, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static int slow(void *arg)
{
    inner = 1;
    raw_sleep_ms(30);
    raw_exit(8);
}

static void *slow_vfork(void *arg)
{
    instead(slow, NULL);
    return NULL;
}

/* Another thread runs another program while a child is still on the memory of the old one. */
static void exec_beside(void)
{
    pthread_t thread;
    char *argv[] = {"process_vfork", "child", NULL};
    inner = 0;
    pthread_create(&thread, NULL, slow_vfork, NULL);
    while (!inner)
        raw_sleep_ms(1);
    fflush(stdout);
    execv("/proc/self/exe", argv);
    printf("no exec\n");
}

static void many(void)
{
    int sum = 0;
    for (int i = 0; i < 500; i++) {
        int status, pid = vfork();
        if (pid == 0)
            _exit(1);
        if (waitpid(pid, &status, 0) == pid)
            sum += WEXITSTATUS(status);
    }
    printf("many: %d\n", sum);
}

static int session(void *arg)
{
    setsid();
    parent = getpid();
    plain_vfork();
    ends();
    sharing();
    descriptors();
    show_wait("exec of nothing", instead(exec_missing, NULL), 0);
    clone3_forms();
    errors();
    show_wait("RLIMIT_NPROC", instead(at_limit, NULL), 0);
    show_wait("nested", instead(nested, NULL), 0);
    printf("word %d\n", word);
    killed_in_vfork();
    many();
    fflush(stdout);
    raw_exit(0);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        show_wait("child of the program before", -1, 0);
        show_wait("no more", -1, 0);
        return 0;
    }
    plain_vfork();
    run_in_session(session);
    exec_beside();
    return 1;
}

/* fork: the child has a copy of everything, in memory of its own; what it shares is what Linux says. */
#include "show.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

static const char *status_text(int status)
{
    static char text[64];
    if (WIFEXITED(status))
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else
        snprintf(text, sizeof text, "status %x", status);
    return text;
}

/* fn runs in a child; how it ended. */
static void in_child(const char *what, void (*fn)(void))
{
    int status = 0;
    fflush(stdout);
    int pid = fork();
    if (pid == 0) {
        fn();
        fflush(stdout);
        _exit(0);
    }
    if (pid < 0) {
        printf("%s: fork: %s\n", what, strerrorname_np(errno));
        return;
    }
    int r = waitpid(pid, &status, 0);
    printf("%s: %s%s\n", what, r == pid ? "" : "not waited for, ", status_text(status));
    fflush(stdout);
}

static int data = 1;
static char *heap, *map;
static double number = 1.5;

static void memory(void)
{
    char *more = malloc(1 << 20);
    printf("child: data %d, heap %s, map %s, number %.2f\n", data, heap, map, number);
    data = 2;
    strcpy(heap, "changed");
    strcpy(map, "changed");
    memset(more, 7, 1 << 20);
    printf("child: %d %s %d\n", data, map, more[12345]);
    free(more);
}

static void exit_code(void)
{
    exit(42);
}

static void dies(void)
{
    *(volatile int *)8 = 1;
}

static void aborts(void)
{
    abort();
}

static void grandchild(void)
{
    int status, pid = fork();
    if (pid == 0)
        _exit(getppid() > 1 ? 5 : 6);
    waitpid(pid, &status, 0);
    printf("grandchild: %s\n", status_text(status));
}

static volatile int handled;
static void handler(int signal)
{
    handled = signal;
}

static char altstack[65536];
static void signals(void)
{
    sigset_t set;
    struct sigaction action;
    stack_t stack;
    sigprocmask(SIG_BLOCK, NULL, &set);
    sigaction(SIGUSR2, NULL, &action);
    sigaltstack(NULL, &stack);
    printf("child: USR1 blocked %d, USR2 ignored %d, altstack %d\n", sigismember(&set, SIGUSR1),
           action.sa_handler == SIG_IGN, stack.ss_sp == altstack);
    sigpending(&set);
    printf("child: USR1 pending %d\n", sigismember(&set, SIGUSR1));
    raise(SIGHUP);
    printf("child: handled %d\n", handled);
}

static void attributes(void)
{
    struct rlimit limit;
    char cwd[256];
    getrlimit(RLIMIT_NOFILE, &limit);
    mode_t mask = umask(0);
    printf("child: nofile %ld, cwd %s, umask %o, pgid same %d, sid same %d, uid %d\n", (long)limit.rlim_cur,
           getcwd(cwd, sizeof cwd), mask, getpgrp() == getpgid(getppid()), getsid(0) == getsid(getppid()), getuid());
    chdir("/");
    printf("child: tid is pid %d\n", (int)syscall(SYS_gettid) == getpid());
}

static void *thread(void *arg)
{
    return (char *)arg + 1;
}

static void threads(void)
{
    pthread_t t[3];
    long sum = 0;
    for (long i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, thread, (void *)i);
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(t[i], &result);
        sum += (long)result;
    }
    printf("child: threads %ld\n", sum);
}

/* Each waits awake for the other: the child's second vCPU, if it has one, has never run before. */
static volatile int turn;
static void *spinning(void *arg)
{
    int me = (int)(long)arg;
    for (int i = 0; i < 40; i++) {
        while (turn != me)
            ;
        turn = !me;
    }
    return NULL;
}

static void spinning_threads(void)
{
    pthread_t t[2];
    for (long i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, spinning, (void *)i);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    printf("child: turn %d\n", turn);
}

static void *forking_thread(void *arg)
{
    in_child("fork in a thread", threads);
    return NULL;
}

static char *dontfork, *wipe, *none, *code;
static void advice(void)
{
    unsigned char vec;
    printf("child: dontfork %s, wiped %d\n", mincore(dontfork, 4096, &vec) < 0 ? strerrorname_np(errno) : "mapped",
           *wipe);
    mprotect(none, 4096, PROT_READ);
    printf("child: none %s\n", none);
    printf("child: code %d\n", ((int (*)(void))code)());
}

static void advised(void)
{
    static const unsigned char mov42[] = {0xb8, 42, 0, 0, 0, 0xc3};
    dontfork = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    wipe = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    none = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, mov42, sizeof mov42);
    mprotect(code, 4096, PROT_READ | PROT_EXEC);
    *wipe = 5;
    *dontfork = 6;
    strcpy(none, "kept");
    mprotect(none, 4096, PROT_NONE);
    madvise(dontfork, 4096, MADV_DONTFORK);
    madvise(wipe, 4096, MADV_WIPEONFORK);
    in_child("advice", advice);
    printf("wipe is still %d\n", *wipe);
}

static char *file_map;
static void mapped_file(void)
{
    char bytes[5] = "";
    memcpy(bytes, file_map + 4096, 4);
    printf("child: file says %s, private change %c\n", bytes, file_map[0]);
}

static void files(void)
{
    char block[8192];
    int fd = open("/tmp/fork-map", O_CREAT | O_TRUNC | O_RDWR, 0600);
    memset(block, 'a', sizeof block);
    memset(block + 4096, 'b', 4096);
    write(fd, block, sizeof block);
    file_map = mmap(NULL, sizeof block, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    close(fd);
    file_map[0] = 'z';
    in_child("mapped file", mapped_file);
    unlink("/tmp/fork-map");
}

static void many(void)
{
    int statuses = 0, pids = 0;
    for (int i = 0; i < 6; i++) {
        int pid = fork();
        if (pid == 0)
            _exit(i);
        pids += pid > 0;
    }
    for (int i = 0; i < 6; i++) {
        int status;
        if (wait(&status) > 0)
            statuses += WEXITSTATUS(status);
    }
    printf("many: %d children, sum %d\n", pids, statuses);
    SHOW(wait(NULL));
}

/* 64 MiB, every page different. */
static void big_check(void);
static unsigned *big;
#define BIG_WORDS (16UL << 20)
static void big_memory(void)
{
    big = mmap(NULL, BIG_WORDS * 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < BIG_WORDS; i += 256)
        big[i] = (unsigned)i * 2654435761u;
    in_child("big", big_check);
    munmap(big, BIG_WORDS * 4);
}

static void big_check(void)
{
    size_t wrong = 0;
    for (size_t i = 0; i < BIG_WORDS; i += 256)
        wrong += big[i] != (unsigned)i * 2654435761u;
    printf("child: wrong %zu\n", wrong);
}

static void clone_tids(void)
{
    static int parent_tid, child_tid;
    int pid =
        (int)syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &parent_tid, &child_tid, 0);
    if (pid == 0)
        _exit(child_tid == getpid() ? 3 : 4);
    int status;
    waitpid(pid, &status, 0);
    printf("clone: parent_tid is pid %d, child_tid here %d, %s\n", parent_tid == pid, child_tid, status_text(status));
    pid = (int)syscall(SYS_clone, 0, 0, 0, 0, 0); /* tells nobody */
    if (pid == 0)
        _exit(9);
    errno = 0;
    SHOW(waitpid(-1, &status, 0));
    printf("__WCLONE: %s\n", waitpid(pid, &status, __WCLONE) == pid ? status_text(status) : "not waited for");
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    stack_t stack = {.ss_sp = altstack, .ss_size = sizeof altstack};
    sigset_t set;
    setvbuf(stdout, NULL, _IOLBF, 0);
    heap = strdup("on the heap");
    map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(map, "mapped");
    in_child("memory", memory);
    printf("parent: data %d, heap %s, map %s\n", data, heap, map);
    in_child("exit", exit_code);
    in_child("fault", dies);
    in_child("abort", aborts);
    in_child("grandchild", grandchild);

    sigaction(SIGHUP, &action, NULL);
    signal(SIGUSR2, SIG_IGN);
    sigaltstack(&stack, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    in_child("signals", signals);
    struct rlimit limit = {100, 200};
    setrlimit(RLIMIT_NOFILE, &limit);
    chdir("/tmp");
    umask(027);
    in_child("attributes", attributes);
    char cwd[256];
    printf("parent: cwd %s\n", getcwd(cwd, sizeof cwd));

    in_child("threads", threads);
    in_child("spinning threads", spinning_threads);
    pthread_t t;
    pthread_create(&t, NULL, forking_thread, NULL);
    pthread_join(t, NULL);
    advised();
    files();
    many();
    big_memory();
    clone_tids();
    return 0;
}

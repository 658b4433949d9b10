/*
 * For programs with children that share memory: clone with CLONE_VM, with or without CLONE_VFORK. A child shares errno
 * and stdio with its maker, so while both run it may only use raw().
 */
#ifndef CHILD_H
#define CHILD_H
#include "show.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static inline long raw(long nr, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}

static inline void raw_exit(int code)
{
    raw(SYS_exit_group, code, 0, 0, 0);
    __builtin_unreachable();
}

static inline void raw_sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    raw(SYS_nanosleep, (long)&ts, 0, 0, 0);
}

#define STACK_SIZE 65536
/* Never given back: the child may still be on it. */
static void *new_stack(void)
{
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return stack + STACK_SIZE;
}

/*
 * CHILDREN_FORK makes the same programs have children that fork made, which in a container have enclaves of their own.
 * What a process and its children both look at is SHARED: the one variable "shared", which run_in_session() maps for
 * all of them.
 */
#define SHARED __attribute__((aligned(4096))) /* and so large; it follows the struct */

#ifdef CHILDREN_FORK
#define CHILD_FLAGS 0
#define CHILD_STACK NULL
#else
#define CHILD_FLAGS CLONE_VM
#define CHILD_STACK new_stack()
#endif

/* A child that runs beside its maker, and one its maker waits for (vfork, on a stack of its own). */
static inline int beside_with(int flags, int (*fn)(void *), void *arg)
{
#ifdef CHILDREN_FORK
    fflush(stdout);
    int pid = (int)syscall(SYS_clone, flags, 0, 0, 0, 0);
    if (pid == 0)
        raw_exit(fn(arg));
    return pid;
#else
    return clone(fn, new_stack(), CLONE_VM | flags, arg);
#endif
}

static inline int beside(int (*fn)(void *), void *arg)
{
    return beside_with(SIGCHLD, fn, arg);
}

static inline int instead_with(int flags, int (*fn)(void *), void *arg)
{
#ifdef CHILDREN_FORK
    siginfo_t info;
    int pid = beside_with(flags & ~CLONE_FILES, fn, arg);
    while (waitid(P_PID, pid, &info, WEXITED | WNOWAIT | __WALL) < 0 && errno == EINTR)
        ;
    return pid;
#else
    return clone(fn, new_stack(), CLONE_VM | CLONE_VFORK | flags, arg);
#endif
}

static inline int instead(int (*fn)(void *), void *arg)
{
    return instead_with(SIGCHLD, fn, arg);
}

/* Until *word is value, or a second has gone by. */
static inline int wait_word(volatile int *word, int value)
{
    for (int i = 0; i < 1000 && *word != value; i++)
        raw_sleep_ms(1);
    return *word == value;
}

static inline const char *status_text(int status)
{
    static char text[64];
    if (WIFEXITED(status))
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else if (WIFSTOPPED(status))
        snprintf(text, sizeof text, "stopped by %d", WSTOPSIG(status));
    else if (WIFCONTINUED(status))
        snprintf(text, sizeof text, "continued");
    else
        snprintf(text, sizeof text, "status %x", status);
    return text;
}

/* waitpid for one child, printed without its number. */
static inline void show_wait(const char *what, int pid, int options)
{
    int status = 0x5555;
    errno = 0;
    int r = waitpid(pid, &status, options);
    if (r < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else if (r == 0)
        printf("%s: nothing\n", what);
    else
        printf("%s: %s%s\n", what, pid <= 0 || r == pid ? "" : "another, ", status_text(status));
    fflush(stdout);
}

/* A line of /proc/PID/status. */
static inline void show_status(int pid, const char *line)
{
    char path[64], text[8192];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, text, sizeof text - 1);
    text[size < 0 ? 0 : size] = 0;
    char *at = strstr(text, line);
    printf("%.*s\n", at ? (int)strcspn(at, "\n") : 4, at ? at : "none");
    fflush(stdout);
    close(fd);
}

/* The program itself is PID 1, which signals treat differently and whose session is its starter's: the tests run in a
 * child that leads a session of its own. */
#ifdef CHILDREN_FORK
#define run_in_session(fn)                                                                                             \
    (mmap(&shared, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0), run_first(fn))
#else
#define run_in_session run_first
#endif
static inline int run_first(int (*fn)(void *))
{
    int pid = instead_with(CLONE_FILES | SIGCHLD, fn, NULL), status;
    waitpid(pid, &status, 0);
    printf("all: %s\n", status_text(status));
    return 0;
}
#endif

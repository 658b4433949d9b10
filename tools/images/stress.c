/*
 * Random processes under a random parent: forks, spawns, execs, orphans, threads, pipes, signals and kills. PID 1 of a
 * container reads "SECONDS SEED" lines; for each it goes wild that long, ends all that is left, and says what happened:
 *   done children=N signals=N refused=N wrong=N processes=N descriptors=N
 * wrong: children whose end was neither what they chose nor a signal that was sent; there must be none.
 *
 * stress bomb: processes that do nothing but make more, until one cannot be made; then they are ended, and all is well.
 * stress memory SIZE: children that use more than there is. Each dies or is told; the parent goes on.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIVE_MAX 10

struct child {
    pid_t pid;
    int code;         /* of its exit, unless a signal ends it */
    unsigned signals; /* that may end it, as bits */
};

static struct child live[LIVE_MAX];
static int live_count;
static long children, signals_sent, refused, wrong;
static uint64_t state;

static unsigned choose(unsigned limit)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(((state >> 33) * limit) >> 31);
}

static void pause_ms(unsigned ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000L};
    nanosleep(&t, NULL);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- what children do; false: something was not as it should be ---- */

static void *spin(void *arg)
{
    for (volatile unsigned i = 0; i < 20000; i++)
        ;
    return arg;
}

static int use_memory(void)
{
    size_t size = (1 + choose(1024)) << 12;
    unsigned char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    for (size_t i = 0; i < size; i += 4096)
        p[i] = (unsigned char)(i >> 12);
    pid_t pid = choose(3) == 0 ? fork() : -1;
    for (size_t i = 0; i < size; i += 4096)
        if (p[i] != (unsigned char)(i >> 12))
            return 0;
    if (pid == 0)
        _exit(0);
    return choose(2) ? munmap(p, size) == 0 : 1;
}

static int use_pipe(void)
{
    int fds[2];
    char text[32] = "", sent[32];
    if (pipe(fds) < 0)
        return 1;
    snprintf(sent, sizeof(sent), "from %d", getpid());
    pid_t pid = fork();
    if (pid == 0) {
        _exit(write(fds[1], sent, strlen(sent)) < 0);
    }
    close(fds[1]);
    int good = pid < 0 || read(fds[0], text, sizeof(text) - 1) <= 0 || strcmp(text, sent) == 0;
    close(fds[0]);
    return good;
}

static int use_threads(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, spin, NULL) != 0)
            return 1;
    for (int i = 0; i < 3 && choose(2); i++)
        pthread_join(threads[i], NULL);
    return 1;
}

static void use_exec(int code)
{
    char text[8];
    snprintf(text, sizeof(text), "%d", code);
    execl("/proc/self/exe", "stress", "leaf", text, NULL);
}

/* Ends with code, or with 99 if something was wrong. */
static void behave(int code)
{
    int good = 1;
    for (unsigned i = choose(3) + 1; i > 0 && good; i--) {
        switch (choose(7)) {
        case 0:
            good = use_memory();
            break;
        case 1:
            good = use_pipe();
            break;
        case 2:
            good = use_threads();
            break;
        case 3:
            use_exec(code);
            break;
        case 4:
            pause_ms(choose(30));
            break;
        case 5: /* orphans: PID 1 reaps them */
            if (fork() == 0) {
                pause_ms(choose(20));
                _exit(0);
            }
            break;
        case 6:
            spin(NULL);
            break;
        }
    }
    _exit(good ? code : 99);
}

/* ---- the parent ---- */

static void start(void)
{
    int code = (int)choose(90);
    char text[8], *argv[] = {"stress", "leaf", text, NULL}, *envp[] = {NULL};
    pid_t pid = -1;
    snprintf(text, sizeof(text), "%d", code);
    if (choose(3) == 0) {
        if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, envp) != 0)
            pid = -1;
    } else {
        unsigned seed = choose(1u << 30);
        pid = fork();
        if (pid == 0) {
            state = seed;
            behave(code);
        }
    }
    if (pid < 0) {
        refused++;
        return;
    }
    children++;
    live[live_count++] = (struct child){pid, code, 0};
}

static void disturb(void)
{
    static const int signals[] = {SIGKILL, SIGTERM, SIGSTOP, SIGCONT, SIGUSR1, SIGWINCH};
    struct child *child = &live[choose((unsigned)live_count)];
    int signum = signals[choose(6)];
    if (kill(child->pid, signum) == 0)
        signals_sent++;
    child->signals |= 1u << signum;
}

static void ended(pid_t pid, int status)
{
    for (int i = 0; i < live_count; i++) {
        if (live[i].pid != pid)
            continue;
        int signum = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        if (signum ? !(live[i].signals >> signum & 1) : WEXITSTATUS(status) != live[i].code) {
            printf("wrong: status %x of a child with code %d and signals %x\n", status, live[i].code, live[i].signals);
            wrong++;
        }
        live[i] = live[--live_count];
        return;
    }
}

static void reap(int flags)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, flags)) > 0)
        ended(pid, status);
}

static int count_in(const char *path, int numbers_only)
{
    DIR *dir = opendir(path);
    int count = 0;
    for (struct dirent *e; dir && (e = readdir(dir));)
        count += numbers_only ? e->d_name[0] >= '1' && e->d_name[0] <= '9' : e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

static void go_wild(double seconds)
{
    double end = now() + seconds;
    children = signals_sent = refused = wrong = 0;
    while (now() < end) {
        if (live_count < LIVE_MAX && choose(4))
            start();
        if (live_count > 0 && choose(3) == 0)
            disturb();
        if (live_count == LIVE_MAX)
            pause_ms(choose(4));
        reap(WNOHANG);
    }
    for (int i = 0; i < live_count; i++)
        live[i].signals |= 1u << SIGKILL;
    while (kill(-1, SIGKILL) == 0)
        reap(0);
    reap(0);
    printf("done children=%ld signals=%ld refused=%ld wrong=%ld processes=%d descriptors=%d\n", children, signals_sent,
           refused, wrong, count_in("/proc", 1), count_in("/proc/self/fd", 0));
    fflush(stdout);
}

/* ---- too much of one thing ---- */

static void bomb(void)
{
    for (;;)
        if (fork() < 0)
            pause_ms(5);
}

static const char *try_child(void)
{
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return strerrorname_np(errno);
    if (pid == 0)
        _exit(3);
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 3 ? "good" : "bad";
}

static int explode(void)
{
    const char *answer = "good";
    pid_t pid = fork();
    if (pid == 0)
        bomb();
    for (double end = now() + 20; now() < end && strcmp(answer, "good") == 0; answer = try_child())
        pause_ms(10);
    printf("while it goes on: %s\n", answer);
    while (kill(-1, SIGKILL) == 0)
        reap(0);
    printf("afterwards: %s\n", try_child());
    return 0;
}

/* Half of it in the parent, so that a child does not fit. */
static int exhaust(size_t size)
{
    int status;
    char *half = malloc(size / 2 + (size >> 3));
    memset(half, 'x', size / 2 + (size >> 3));
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (size_t at = 0; at < size; at += 4096) {
                char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (p == MAP_FAILED)
                    _exit(errno == ENOMEM ? 12 : 99);
                *p = 'y';
            }
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            printf("no child: %s\n", strerrorname_np(errno));
        else if (WIFSIGNALED(status))
            printf("killed by %d\n", WTERMSIG(status));
        else
            printf("exited with %d\n", WEXITSTATUS(status));
    }
    printf("afterwards: %s\n", try_child());
    return half[1] == 'x' ? 0 : 1;
}

int main(int argc, char **argv)
{
    double seconds;
    unsigned long seed;
    if (argc == 2 && strcmp(argv[1], "bomb") == 0)
        return explode();
    if (argc == 3 && strcmp(argv[1], "memory") == 0)
        return exhaust(strtoul(argv[2], NULL, 0));
    if (argc == 3 && strcmp(argv[1], "leaf") == 0)
        return atoi(argv[2]);
    printf("ready\n");
    fflush(stdout);
    while (scanf("%lf %lu", &seconds, &seed) == 2) {
        state = seed;
        go_wild(seconds);
    }
    return 0;
}

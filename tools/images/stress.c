/*
 * Random processes under a random parent: forks, spawns, execs, orphans, threads, pipes, signals and kills, shared
 * memory, connections, descriptors handed on, files and locks, timers. PID 1 of a container reads lines
 *   SECONDS SEED HOST
 * and for each it goes wild that long, ends all that is left, and says what happened:
 *   done children=N signals=N refused=N wrong=N processes=N descriptors=N memory=KIB heap=KIB
 * HOST 1: somebody else sends SIGKILL, too. wrong: children whose end was neither what they chose nor a signal that was
 * sent; there must be none. memory, heap: of this enclave, its program's and its kernel's.
 *
 * stress bomb: processes that do nothing but make more, until one cannot be made; then they are ended, and all is well.
 * stress memory SIZE: children that use more than there is. Each dies or is told; the parent goes on.
 * stress sleep COUNT: that many children, one after the other, that sleep 200 times. All but the last end then.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
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
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
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

/* Pages that two processes write to in turn, each its own words. */
static int use_shared_memory(void)
{
    unsigned pages = 1 + choose(4), size = pages << 12;
    volatile unsigned *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    pid_t pid = fork();
    for (unsigned i = 0; pid >= 0 && i < 20; i++)
        p[(i % pages) * 1024 + (pid == 0)] += i;
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    unsigned sum = 0;
    for (unsigned i = 0; i < pages; i++)
        sum += p[i * 1024];
    munmap((void *)p, size);
    return pid < 0 || sum == 190;
}

/* A pipe's end handed to a child, which writes there. */
static int use_descriptors(void)
{
    int pair[2], fds[2];
    char text[8] = "", control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {text, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        if (recvmsg(pair[1], &m, 0) <= 0 || !CMSG_FIRSTHDR(&m))
            _exit(1);
        memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
        _exit(write(fds[0], "handed", 6) != 6);
    }
    close(pair[1]);
    int good = 1;
    if (pid > 0 && pipe(fds) == 0) {
        *CMSG_FIRSTHDR(&m) = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fds[1], sizeof(int));
        good = sendmsg(pair[0], &m, MSG_NOSIGNAL) == 1 || errno == EPIPE;
        close(fds[1]);
        close(pair[0]); /* what was not taken goes */
        if (choose(4))
            good &= read(fds[0], text, 6) <= 0 || memcmp(text, "handed", 6) == 0;
        close(fds[0]);
    } else {
        close(pair[0]);
    }
    return good;
}

/* A connection within the container, one end in a child. */
static int use_connection(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    char text[8] = "";
    int good = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        return 0;
    int client = socket(AF_INET, SOCK_STREAM, 0);
    good = connect(client, (struct sockaddr *)&address, size) == 0;
    int server = accept(listener, NULL, NULL);
    pid_t pid = choose(2) ? fork() : -1;
    if (pid == 0)
        _exit(write(server, "tcp", 3) != 3);
    if (pid < 0)
        good &= write(server, "tcp", 3) == 3;
    close(server);
    ssize_t n = read(client, text, 3);
    good &= n <= 0 ? pid > 0 : strncmp(text, "tcp", (size_t)n) == 0;
    close(client);
    close(listener);
    return good;
}

/* A nameless file, since a named one would stay when its maker is killed, that is written, locked and read. */
static int use_file(void)
{
    static const char name[] = "contents";
    char text[32] = "";
    int fd = open("/", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0)
        return 0;
    pid_t pid = choose(2) ? fork() : -1;
    if (pid == 0) {
        flock(fd, LOCK_EX);
        _exit(0);
    }
    int good =
        flock(fd, LOCK_EX) == 0 && write(fd, name, 8) == 8 && pread(fd, text, 8, 0) == 8 && memcmp(text, name, 8) == 0;
    close(fd);
    return good;
}

static void ignore(int signum)
{
    (void)signum;
}

static int use_timer(void)
{
    struct itimerval soon = {.it_value.tv_usec = 1000 + choose(5000)}, never = {0};
    signal(SIGALRM, ignore);
    setitimer(ITIMER_REAL, &soon, NULL);
    if (choose(2))
        pause_ms(choose(10));
    return setitimer(ITIMER_REAL, &never, NULL) == 0; /* it would outlive an exec, and its handler would not */
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
        switch (choose(12)) {
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
        case 7:
            good = use_shared_memory();
            break;
        case 8:
            good = use_descriptors();
            break;
        case 9:
            good = use_connection();
            break;
        case 10:
            good = use_file();
            break;
        case 11:
            good = use_timer();
            break;
        }
    }
    _exit(good ? code : 99);
}

/* ---- the parent ---- */

static int host_kills;

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
    live[live_count++] = (struct child){pid, code, host_kills ? 1u << SIGKILL : 0};
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

/* A row of /proc/meminfo. */
static long meminfo(const char *name)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[100];
    long value = -1;
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            value = atol(line + strlen(name));
    if (file)
        fclose(file);
    return value;
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
    printf("done children=%ld signals=%ld refused=%ld wrong=%ld processes=%d descriptors=%d memory=%ld heap=%ld\n",
           children, signals_sent, refused, wrong, count_in("/proc", 1), count_in("/proc/self/fd", 0),
           meminfo("Committed_AS:"), meminfo("Slab:"));
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

static int make_sleep(int count)
{
    int fds[2];
    char done;
    if (pipe(fds) < 0)
        return 1;
    for (int i = 1; i <= count; i++) {
        pid_t pid = fork();
        for (int n = 0; pid == 0 && n < 200; n++)
            pause_ms(1);
        if (pid == 0 && (write(fds[1], "x", 1) != 1 || i < count))
            _exit(0);
        while (pid == 0)
            pause();
        if (pid < 0 || read(fds[0], &done, 1) != 1 || (i < count && waitpid(pid, NULL, 0) != pid))
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    double seconds;
    unsigned long seed;
    if (argc == 2 && strcmp(argv[1], "bomb") == 0)
        return explode();
    if (argc == 3 && strcmp(argv[1], "memory") == 0)
        return exhaust(strtoul(argv[2], NULL, 0));
    if (argc == 3 && strcmp(argv[1], "sleep") == 0)
        return make_sleep(atoi(argv[2]));
    if (argc == 3 && strcmp(argv[1], "leaf") == 0)
        return atoi(argv[2]);
    printf("ready\n");
    fflush(stdout);
    while (scanf("%lf %lu %d", &seconds, &seed, &host_kills) == 3) {
        state = seed;
        go_wild(seconds);
    }
    return 0;
}

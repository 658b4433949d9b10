/*
 * Microbenchmarks of single system calls and thread switches: the same binary natively and in an enclave.
 * micro NAME [ITERATIONS]: prints nanoseconds per operation. micro list: the names.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *file_path = "/bench/file4k";
static const char *dir_path = "/bench/dir64";

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void bench_getppid(long n)
{
    for (long i = 0; i < n; i++)
        getppid();
}

/* A syscall instruction that no pattern matches, so that it always takes the slow path in an enclave. */
static void bench_getppid_slow(long n)
{
    for (long i = 0; i < n; i++) {
        long nr = SYS_getppid, ret;
        __asm__ volatile("jmp 1f\n1: syscall\n jmp 2f\n2:" : "=a"(ret) : "a"(nr) : "rcx", "r11", "memory");
    }
}

static void bench_clock_gettime(long n)
{
    struct timespec t;
    for (long i = 0; i < n; i++)
        clock_gettime(CLOCK_MONOTONIC, &t);
}

static void bench_open_read(long n)
{
    static char buf[4096];
    struct stat st;
    for (long i = 0; i < n; i++) {
        int fd = open(file_path, O_RDONLY);
        if (fd < 0 || fstat(fd, &st) < 0 || read(fd, buf, sizeof(buf)) != sizeof(buf))
            die(file_path);
        close(fd);
    }
}

static void bench_stat(long n)
{
    struct stat st;
    for (long i = 0; i < n; i++)
        if (stat(file_path, &st) < 0)
            die(file_path);
}

static void bench_getdents(long n)
{
    static char buf[32768];
    int fd = open(dir_path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        die(dir_path);
    for (long i = 0; i < n; i++) {
        lseek(fd, 0, SEEK_SET);
        if (syscall(SYS_getdents64, fd, buf, sizeof(buf)) <= 0)
            die("getdents64");
    }
    close(fd);
}

static void *echo_bytes(void *arg)
{
    int *fds = arg;
    char c;
    while (read(fds[0], &c, 1) == 1)
        if (write(fds[1], &c, 1) != 1)
            break;
    return NULL;
}

static void bench_pipe_pingpong(long n)
{
    int there[2], back[2];
    pthread_t thread;
    char c = 'x';
    if (pipe(there) < 0 || pipe(back) < 0)
        die("pipe");
    int fds[2] = {there[0], back[1]};
    pthread_create(&thread, NULL, echo_bytes, fds);
    for (long i = 0; i < n; i++)
        if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
            die("ping-pong");
    close(there[1]);
    pthread_join(thread, NULL);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn, finished;

static void *answer_turns(void *arg)
{
    pthread_mutex_lock(&mutex);
    while (!finished) {
        if (turn == 1) {
            turn = 0;
            pthread_cond_signal(&condition);
        }
        if (!finished)
            pthread_cond_wait(&condition, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    return arg;
}

static void bench_cond_pingpong(long n)
{
    pthread_t thread;
    pthread_create(&thread, NULL, answer_turns, NULL);
    pthread_mutex_lock(&mutex);
    for (long i = 0; i < n; i++) {
        turn = 1;
        pthread_cond_signal(&condition);
        while (turn != 0)
            pthread_cond_wait(&condition, &mutex);
    }
    finished = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
}

static void *nothing(void *arg)
{
    return arg;
}

static void bench_pthread_create_join(long n)
{
    for (long i = 0; i < n; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, nothing, NULL) != 0)
            die("pthread_create");
        pthread_join(thread, NULL);
    }
}

static long per_thread;

static void run_threads(unsigned count, void *(*fn)(void *arg), long n)
{
    pthread_t threads[64];
    per_thread = n / count + 1;
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, fn, (void *)(uintptr_t)(i + 1)) != 0)
            die("pthread_create");
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static volatile long counters[8];

static void *count_together(void *arg)
{
    volatile long own = 0;
    for (long i = 0; i < per_thread; i++) {
        pthread_mutex_lock(&mutex);
        for (int k = 0; k < 8; k++)
            counters[k]++;
        pthread_mutex_unlock(&mutex);
        for (int k = 0; k < 50; k++)
            own++;
    }
    return arg;
}

/* 32 threads that want one mutex half of the time. */
static void bench_mutex_contended(long n)
{
    run_threads(32, count_together, n);
}

static void *allocate(void *arg)
{
    void *kept[64] = {0};
    uint64_t random = (uintptr_t)arg;
    for (long i = 0; i < per_thread; i++) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t at = random >> 58, size = 16 + (random >> 40 & (i % 64 == 0 ? 0xffff : 0x3ff));
        free(kept[at]);
        kept[at] = malloc(size);
        if (!kept[at])
            die("malloc");
        *(volatile char *)kept[at] = 1;
    }
    for (size_t i = 0; i < 64; i++)
        free(kept[i]);
    return arg;
}

/* 64 threads with 64 blocks each, mostly up to 1 KiB, one in 64 up to 64 KiB. */
static void bench_malloc_threads(long n)
{
    run_threads(64, allocate, n);
}

static void wait_for(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("child");
}

static void bench_spawn(long n)
{
    static char *argv[] = {"true", NULL}, *envp[] = {NULL};
    for (long i = 0; i < n; i++) {
        pid_t pid;
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) != 0)
            die("/bin/true");
        wait_for(pid);
    }
}

/* A process with `size` bytes that are not zero. */
static void fork_with(size_t size, long n)
{
    static char *memory;
    if (!memory) {
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            die("mmap");
        memset(memory, 'x', size);
    }
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0)
            _exit(memory[size - 1] != 'x');
        wait_for(pid);
    }
}

static void bench_fork_10m(long n)
{
    fork_with(10UL << 20, n);
}

static void bench_fork_500m(long n)
{
    fork_with(500UL << 20, n);
}

/* ---- in a second process, which in an enclave is another one ---- */

static double measured_ns; /* by the bench itself; 0: not */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of n samples that a child takes: what others do with the processors must not count. */
static void in_child(double (*sample)(int fd), long n)
{
    char path[] = "/tmp/micro.XXXXXX";
    int result[2], fd = mkstemp(path);
    if (fd < 0 || write(fd, "x", 1) != 1 || pipe(result) < 0)
        die(path);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        double *samples = malloc((size_t)n * sizeof(*samples));
        for (long i = 0; i < n; i++)
            samples[i] = sample(fd);
        qsort(samples, (size_t)n, sizeof(*samples), by_size);
        _exit(write(result[1], &samples[n / 2], sizeof(*samples)) != sizeof(*samples));
    }
    if (read(result[0], &measured_ns, sizeof(measured_ns)) != sizeof(measured_ns))
        die("child");
    wait_for(pid);
    close(result[0]);
    close(result[1]);
    close(fd);
    unlink(path);
}

#define BATCH 10

static double sample_fstat(int fd)
{
    struct stat st;
    double start = now_ns();
    for (int i = 0; i < BATCH; i++)
        if (fstat(fd, &st) < 0)
            die("fstat");
    return (now_ns() - start) / BATCH;
}

static double sample_pread(int fd)
{
    char c;
    double start = now_ns();
    for (int i = 0; i < BATCH; i++)
        if (pread(fd, &c, 1, 0) != 1)
            die("pread");
    return (now_ns() - start) / BATCH;
}

/* After a pause, so that whoever answers has gone to sleep. */
static double sample_woken(int fd)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    struct stat st;
    nanosleep(&pause, NULL);
    double start = now_ns();
    if (fstat(fd, &st) < 0)
        die("fstat");
    return now_ns() - start;
}

static void bench_child_fstat(long n)
{
    in_child(sample_fstat, n);
}

static void bench_child_pread(long n)
{
    in_child(sample_pread, n);
}

static void bench_child_woken(long n)
{
    in_child(sample_woken, n);
}

/* ---- pipes: n writes of 64 KiB by a child ---- */

static char pipe_buffer[65536];

static void write_pipe(const int ends[2], long n)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0)
        return;
    close(ends[0]);
    for (long i = 0; i < n; i++)
        if (write(ends[1], pipe_buffer, sizeof(pipe_buffer)) != sizeof(pipe_buffer))
            _exit(1);
    _exit(0);
}

/* ns for each 64 KiB until the end. */
static double read_pipe(const int ends[2], long n)
{
    close(ends[1]);
    double start = now_ns();
    size_t size = 0;
    for (ssize_t got; (got = read(ends[0], pipe_buffer, sizeof(pipe_buffer))) > 0;)
        size += (size_t)got;
    if (size != (size_t)n * sizeof(pipe_buffer))
        die("pipe");
    return (now_ns() - start) / (double)n;
}

static void bench_pipe_child(long n)
{
    int ends[2];
    if (pipe(ends) < 0)
        die("pipe");
    write_pipe(ends, n);
    measured_ns = read_pipe(ends, n);
    close(ends[0]);
    if (wait(NULL) < 0)
        die("wait");
}

/* Another child reads. */
static void bench_pipe_siblings(long n)
{
    int ends[2], result[2];
    if (pipe(ends) < 0 || pipe(result) < 0)
        die("pipe");
    write_pipe(ends, n);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        double ns = read_pipe(ends, n);
        _exit(write(result[1], &ns, sizeof(ns)) != sizeof(ns));
    }
    close(ends[0]);
    close(ends[1]);
    close(result[1]);
    if (read(result[0], &measured_ns, sizeof(measured_ns)) != sizeof(measured_ns))
        die("child");
    close(result[0]);
    if (wait(NULL) < 0 || wait(NULL) < 0)
        die("wait");
}

static const struct {
    const char *name;
    void (*fn)(long n);
    long iterations;
} benches[] = {
    {"getppid", bench_getppid, 3000000},
    {"getppid_slow", bench_getppid_slow, 100000},
    {"clock_gettime", bench_clock_gettime, 3000000},
    {"open_read", bench_open_read, 100000},
    {"stat", bench_stat, 200000},
    {"getdents", bench_getdents, 20000},
    {"pipe_pingpong", bench_pipe_pingpong, 20000},
    {"cond_pingpong", bench_cond_pingpong, 20000},
    {"pthread_create_join", bench_pthread_create_join, 5000},
    {"mutex_contended", bench_mutex_contended, 2000000},
    {"malloc_threads", bench_malloc_threads, 10000000},
    {"spawn", bench_spawn, 100},
    {"fork_10m", bench_fork_10m, 50},
    {"fork_500m", bench_fork_500m, 2},
    {"child_fstat", bench_child_fstat, 10000},
    {"child_pread", bench_child_pread, 10000},
    {"child_woken", bench_child_woken, 300},
    {"pipe_child", bench_pipe_child, 4000},
    {"pipe_siblings", bench_pipe_siblings, 4000},
};

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
        if (strcmp(argv[1], "list") == 0) {
            puts(benches[i].name);
            continue;
        }
        if (strcmp(argv[1], benches[i].name) != 0)
            continue;
        long n = argc > 2 ? atol(argv[2]) : benches[i].iterations;
        benches[i].fn(n / 20 + 1); /* warm-up */
        finished = 0;
        double start = now_ns();
        benches[i].fn(n);
        printf("%.2f\n", measured_ns > 0 ? measured_ns : (now_ns() - start) / (double)n);
        return 0;
    }
    return strcmp(argv[1], "list") == 0 ? 0 : 2;
}

/*
 * What durable and cached I/O costs in a folder: the same binary on the host's file system and on a volume in an
 * enclave. volume DIR: reads lines "NAME COUNT", answers each with nanoseconds for all of it. Both sides are asked in
 * turn, so that a disk whose speed drifts disturbs both.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define MIB (1024L * 1024)
#define DATA_SIZE (64 * MIB) /* the file that is read and overwritten at random */
#define HOT_SIZE (16 * MIB)  /* of it: what stays in memory */
#define COLD_SIZE (24 * MIB) /* of it: what does not when all of it was read in order */
#define JOBS 8
#define JOB_SIZE (4 * MIB)

static char chunk[MIB] __attribute__((aligned(BLOCK)));

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

static void noise(char *to, size_t size)
{
    static uint64_t x = 88172645463325252ULL;
    for (size_t i = 0; i < size; i += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(to + i, &x, 8);
    }
}

static int open_file(const char *name, int flags)
{
    int fd = open(name, flags | O_CREAT, 0600);
    if (fd < 0)
        die(name);
    return fd;
}

static void write_all(int fd, const char *data, size_t size, off_t at)
{
    if (pwrite(fd, data, size, at) != (ssize_t)size)
        die("write");
}

static void sync_file(int fd)
{
    if (fsync(fd) < 0)
        die("fsync");
}

static void fill(const char *name, long size)
{
    int fd = open_file(name, O_RDWR | O_TRUNC);
    for (long at = 0; at < size; at += MIB) {
        noise(chunk, MIB);
        write_all(fd, chunk, MIB, at);
    }
    sync_file(fd);
    close(fd);
}

static void run_setup(long n)
{
    char name[16];
    (void)n;
    fill("data", DATA_SIZE);
    for (int i = 0; i < JOBS; i++) {
        snprintf(name, sizeof(name), "job%d", i);
        fill(name, JOB_SIZE);
    }
    sync();
}

static void overwrite(const char *name, long size, unsigned seed, long n)
{
    char block[BLOCK];
    int fd = open_file(name, O_RDWR);
    noise(block, BLOCK);
    for (long i = 0; i < n; i++) {
        memcpy(block, &i, sizeof(i));
        write_all(fd, block, BLOCK, (off_t)(rand_r(&seed) % (unsigned)(size / BLOCK)) * BLOCK);
        sync_file(fd);
    }
    close(fd);
}

static void run_randwrite(long n)
{
    overwrite("data", DATA_SIZE, (unsigned)time(NULL), n);
}

static long job_count;

static void *job(void *arg)
{
    char name[16];
    snprintf(name, sizeof(name), "job%d", (int)(intptr_t)arg);
    overwrite(name, JOB_SIZE, (unsigned)(intptr_t)arg, job_count);
    return NULL;
}

static void run_randwrite8(long n)
{
    pthread_t threads[JOBS];
    job_count = n / JOBS;
    for (int i = 0; i < JOBS; i++)
        if (pthread_create(&threads[i], NULL, job, (void *)(intptr_t)i) != 0)
            die("pthread_create");
    for (int i = 0; i < JOBS; i++)
        pthread_join(threads[i], NULL);
}

static void append(long n, size_t size)
{
    int fd = open_file("appended", O_WRONLY | O_APPEND | O_TRUNC);
    for (long i = 0; i < n; i++) {
        if (write(fd, chunk, size) != (ssize_t)size)
            die("write");
        sync_file(fd);
    }
    close(fd);
}

static void run_append(long n)
{
    append(n, BLOCK);
}

static void run_append100(long n)
{
    append(n, 100);
}

static void run_append64k(long n) /* what fills a log fast */
{
    append(n, 16 * BLOCK);
}

static void read_random(long size, long n)
{
    char block[BLOCK];
    unsigned seed = (unsigned)time(NULL);
    int fd = open_file("data", O_RDONLY);
    for (long i = 0; i < n; i++)
        if (pread(fd, block, BLOCK, (off_t)(rand_r(&seed) % (unsigned)(size / BLOCK)) * BLOCK) != BLOCK)
            die("read");
    close(fd);
}

static void run_randread(long n)
{
    read_random(COLD_SIZE, n);
}

static void run_randread_hot(long n)
{
    read_random(HOT_SIZE, n);
}

static void run_warm(long n)
{
    int fd = open_file("data", O_RDONLY);
    (void)n;
    for (long at = 0; at < HOT_SIZE; at += MIB)
        if (pread(fd, chunk, MIB, at) != MIB)
            die("read");
    close(fd);
}

static void run_forget(long n) /* nothing of it is in memory of the kernel that this runs on */
{
    int fd = open_file("data", O_RDWR);
    (void)n;
    sync_file(fd);
    if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        die("posix_fadvise");
    close(fd);
}

static void run_seqwrite(long n) /* over what is there, MiB by MiB, synced at the end */
{
    int fd = open_file("data", O_RDWR);
    for (long i = 0; i < n; i++)
        write_all(fd, chunk, MIB, (i * MIB) % DATA_SIZE);
    sync_file(fd);
    close(fd);
}

static void run_seqread(long n)
{
    int fd = open_file("data", O_RDONLY);
    for (long i = 0; i < n; i++)
        if (pread(fd, chunk, MIB, (i * MIB) % DATA_SIZE) != MIB)
            die("read");
    close(fd);
}

/* ---- SQLite: the shared library alone is needed, not its headers ---- */

struct sqlite3;
static int (*sqlite_open)(const char *name, struct sqlite3 **ret_db);
static int (*sqlite_close)(struct sqlite3 *db);
static int (*sqlite_exec)(struct sqlite3 *db, const char *sql, void *callback, void *arg, char **ret_error);

static void sqlite_load(void)
{
    void *library = dlopen("libsqlite3.so.0", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    *(void **)&sqlite_open = dlsym(library, "sqlite3_open");
    *(void **)&sqlite_close = dlsym(library, "sqlite3_close");
    *(void **)&sqlite_exec = dlsym(library, "sqlite3_exec");
}

static void sql(struct sqlite3 *db, const char *text)
{
    char *error = NULL;
    if (sqlite_exec(db, text, NULL, NULL, &error) != 0) {
        fprintf(stderr, "%s: %s\n", text, error);
        exit(1);
    }
}

static double sqlite(const char *name, const char *pragmas, long n)
{
    struct sqlite3 *db;
    char text[128];
    if (!sqlite_open)
        sqlite_load();
    if (sqlite_open(name, &db) != 0)
        die(name);
    sql(db, pragmas);
    sql(db, "create table if not exists t(a integer primary key, b text)");
    double start = now_ns();
    for (long i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "insert into t(b) values ('a row of some forty bytes or so: %ld')", i);
        sql(db, text);
    }
    double took = now_ns() - start;
    sqlite_close(db);
    return took;
}

/* ---- one line, one answer ---- */

static const struct {
    const char *name;
    void (*run)(long n);
} workloads[] = {
    {"setup", run_setup},       {"randwrite", run_randwrite}, {"randwrite8", run_randwrite8},
    {"append", run_append},     {"append100", run_append100}, {"append64k", run_append64k},
    {"randread", run_randread}, {"warm", run_warm},           {"randread_hot", run_randread_hot},
    {"forget", run_forget},     {"seqwrite", run_seqwrite},   {"seqread", run_seqread},
};

static double run(const char *name, long n)
{
    if (strcmp(name, "sqlite_delete") == 0)
        return sqlite("delete.db", "pragma journal_mode=delete; pragma synchronous=full", n);
    if (strcmp(name, "sqlite_wal") == 0)
        return sqlite("wal.db", "pragma journal_mode=wal; pragma synchronous=full", n);
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
        if (strcmp(name, workloads[i].name) != 0)
            continue;
        double start = now_ns();
        workloads[i].run(n);
        return now_ns() - start;
    }
    fprintf(stderr, "volume: no workload %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    char line[64], name[32];
    long n;
    if (argc != 2 || chdir(argv[1]) < 0)
        die("usage: volume DIR");
    while (fgets(line, sizeof(line), stdin) && sscanf(line, "%31s %ld", name, &n) == 2) {
        printf("%.0f\n", run(name, n));
        fflush(stdout);
    }
    return 0;
}

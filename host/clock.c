/* TSC calibration. */
#include "host/clock.h"

#include <cpuid.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define NS 1000000000ULL
#define MEASURE_NS 5000000ULL
#define REFINE_NS (2 * NS)

static uint64_t tsc_hz;
static bool cached; /* a rate over a long base is in the file */
static pid_t owner; /* who writes that: members, forked later, would do so one by one */
static struct hostcall_clock first;

/* The sample whose two TSC reads are closest together, of a few: an interrupt in between would spoil it. */
static void sample(struct hostcall_clock *c)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 8; i++) {
        uint64_t before = __rdtsc(), monotonic = clock_ns(CLOCK_MONOTONIC), real = clock_ns(CLOCK_REALTIME);
        uint64_t after = __rdtsc();

        if (after - before < best) {
            best = after - before;
            c->tsc = before + (after - before) / 2;
            c->monotonic_ns = monotonic;
            c->realtime_ns = real;
        }
    }
}

static uint64_t rate(const struct hostcall_clock *from, const struct hostcall_clock *to)
{
    return (uint64_t)((unsigned __int128)(to->tsc - from->tsc) * NS / (to->monotonic_ns - from->monotonic_ns));
}

static uint64_t rate_from_cpuid(void)
{
    unsigned max = __get_cpuid_max(0, NULL), a, b, c, d;

    if (max >= 0x15) {
        __cpuid_count(0x15, 0, a, b, c, d);
        if (a && b && c)
            return (uint64_t)c * b / a;
    }
    __cpuid(1, a, b, c, d);
    if (c & 1u << 31) { /* under a hypervisor */
        __cpuid(0x40000000, a, b, c, d);
        if (a >= 0x40000010) {
            __cpuid(0x40000010, a, b, c, d);
            if (a)
                return (uint64_t)a * 1000;
        }
    }
    return 0;
}

static bool cache_path(char *buffer, size_t size)
{
    const char *dir = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

    return dir && snprintf(buffer, size, "%s/cofre-tsc", dir) < (int)size;
}

/* One line: boot id, rate. The rate of another boot may be another machine's. */
static bool boot_id(char id[37])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && read(fd, id, 36) == 36;

    id[36] = '\0';
    if (fd >= 0)
        close(fd);
    return ok;
}

static uint64_t rate_from_cache(void)
{
    char path[256], line[80] = "", id[37];
    unsigned long long hz = 0;
    int fd = cache_path(path, sizeof(path)) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

    if (fd < 0)
        return 0;
    if (read(fd, line, sizeof(line) - 1) > 37 && boot_id(id) && strncmp(line, id, 36) == 0)
        hz = strtoull(line + 36, NULL, 10);
    close(fd);
    return hz > 100000000ULL && hz < 20000000000ULL ? hz : 0;
}

static void cache_rate(uint64_t hz)
{
    char path[256], temporary[280], id[37];
    int fd;

    if (!boot_id(id) || !cache_path(path, sizeof(path)))
        return;
    snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return;
    dprintf(fd, "%s %llu\n", id, (unsigned long long)hz);
    close(fd);
    if (rename(temporary, path) < 0)
        unlink(temporary);
}

void clock_calibrate(void)
{
    struct hostcall_clock now;

    owner = getpid();
    sample(&first);
    tsc_hz = rate_from_cpuid();
    if (!tsc_hz)
        tsc_hz = rate_from_cache();
    if (tsc_hz)
        return;
    do
        sample(&now);
    while (now.monotonic_ns - first.monotonic_ns < MEASURE_NS);
    tsc_hz = rate(&first, &now);
    cache_rate(tsc_hz);
}

void clock_read(struct hostcall_clock *c)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    sample(c);
    pthread_mutex_lock(&lock);
    if (c->monotonic_ns - first.monotonic_ns > REFINE_NS) {
        tsc_hz = rate(&first, c);
        if (!cached && getpid() == owner) {
            cache_rate(tsc_hz);
            cached = true;
        }
    }
    c->tsc_hz = tsc_hz;
    pthread_mutex_unlock(&lock);
}

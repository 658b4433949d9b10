/*
 * The vDSO: application code, in its own ELF image. It reads the kernel's clock data directly: an enclave has no
 * privilege levels, so that page is as readable to it as any. What it does not know it asks of the kernel by a plain
 * system call, which is slow and right.
 */
#include <asm/unistd_64.h>
#include <linux/time.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/sched/vdso_data.h"

#define NS_PER_S 1000000000ULL
#define COARSE_RESOLUTION_NS 4000000

/* Filled by vdso_init() before any application sees the image. */
__attribute__((visibility("hidden"), section(".rodata.link"))) const struct vdso_link vdso_link = {VDSO_LINK_MAGIC, 0};

int __vdso_clock_gettime(int clock, struct __kernel_timespec *ts);
int __vdso_gettimeofday(struct timeval *tv, int32_t *zone);
int64_t __vdso_time(int64_t *ret);
int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);
int __vdso_clock_getres(int clock, struct __kernel_timespec *ts);

static int64_t call(int64_t nr, int64_t a, int64_t b, int64_t c)
{
    int64_t result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static const struct vdso_data *data(void)
{
    uint64_t addr = *(const volatile uint64_t *)&vdso_link.data;
    return (const struct vdso_data *)addr;
}

static uint64_t elapsed_ns(const struct vdso_times *t)
{
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    int64_t delta = (int64_t)(((uint64_t)high << 32 | low) - t->base_tsc);
    if (__builtin_expect(delta < 0, 0))
        return 0;
    return (uint64_t)(((unsigned __int128)(uint64_t)delta * t->mult) >> VDSO_SHIFT);
}

static uint64_t read_clock(int realtime)
{
    const struct vdso_data *d = data();
    uint64_t sequence, ns;
    do {
        sequence = __atomic_load_n(&d->sequence, __ATOMIC_ACQUIRE);
        const struct vdso_times *t = &d->times[sequence % 2];
        const struct vdso_clock *c = realtime ? &t->realtime : &t->monotonic;
        uint64_t elapsed = elapsed_ns(t), slower = elapsed >> VDSO_DEBT_SHIFT;
        ns = c->ns + elapsed - (slower < c->debt ? slower : c->debt);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (__builtin_expect(__atomic_load_n(&d->sequence, __ATOMIC_RELAXED) != sequence, 0));
    return ns;
}

/* 2^64 ns are 584 years: a division by a constant, no loop. */
static void split(struct __kernel_timespec *ts, uint64_t ns)
{
    ts->tv_sec = (int64_t)(ns / NS_PER_S);
    ts->tv_nsec = (long long)(ns % NS_PER_S);
}

int __vdso_clock_gettime(int clock, struct __kernel_timespec *ts)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        split(ts, read_clock(1));
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        split(ts, read_clock(0));
        return 0;
    default:
        return (int)call(__NR_clock_gettime, clock, (int64_t)ts, 0);
    }
}

int __vdso_gettimeofday(struct timeval *tv, int32_t *zone)
{
    if (tv) {
        uint64_t ns = read_clock(1);
        tv->tv_sec = (int64_t)(ns / NS_PER_S);
        tv->tv_usec = (int64_t)(ns % NS_PER_S / 1000);
    }
    if (zone)
        zone[0] = zone[1] = 0;
    return 0;
}

int64_t __vdso_time(int64_t *ret)
{
    int64_t seconds = (int64_t)(read_clock(1) / NS_PER_S);
    if (ret)
        *ret = seconds;
    return seconds;
}

int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    return (int)call(__NR_getcpu, (int64_t)cpu, (int64_t)node, (int64_t)unused);
}

int __vdso_clock_getres(int clock, struct __kernel_timespec *ts)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_TAI:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
        if (ts)
            split(ts, 1);
        return 0;
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
        if (ts)
            split(ts, COARSE_RESOLUTION_NS);
        return 0;
    default:
        return (int)call(__NR_clock_getres, clock, (int64_t)ts, 0);
    }
}

int clock_gettime(int clock, struct __kernel_timespec *ts) __attribute__((weak, alias("__vdso_clock_gettime")));
int gettimeofday(struct timeval *tv, int32_t *zone) __attribute__((weak, alias("__vdso_gettimeofday")));
int64_t time(int64_t *ret) __attribute__((weak, alias("__vdso_time")));
int getcpu(unsigned *cpu, unsigned *node, void *unused) __attribute__((weak, alias("__vdso_getcpu")));
int clock_getres(int clock, struct __kernel_timespec *ts) __attribute__((weak, alias("__vdso_clock_getres")));

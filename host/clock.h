/* The host's clocks as the kernel is told them: the TSC's rate, and TSC, monotonic and real time at one moment. */
#ifndef COFRE_HOST_CLOCK_H
#define COFRE_HOST_CLOCK_H

#include "abi/hostcall.h"

#include <stdint.h>
#include <time.h>

/*
 * Find the TSC's rate: CPUID 0x15, the hypervisor's leaf, our cache file, or a measurement of a few milliseconds that
 * is then cached. Refined later by clock_read(), which has a longer base to measure over.
 */
void clock_calibrate(void);
void clock_read(struct hostcall_clock *ret_clock);

static inline uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

#endif

/* Clocks from the TSC; no exit per read. Monotonic whatever the host says. Wall-clock time is the host's word. */
#ifndef COFRE_KERNEL_SCHED_TIME_H
#define COFRE_KERNEL_SCHED_TIME_H
#include "kernel/lib/types.h"
uint64_t time_monotonic_ns(void);
uint64_t time_realtime_ns(void);
uint64_t time_boot_ns(void); /* CLOCK_BOOTTIME now */
/* Refuses what no clock can say. Every lie after that is bounded: see time_follow_host(). */
void time_init(uint64_t tsc_hz, uint64_t tsc, uint64_t monotonic_ns, uint64_t realtime_ns);
/*
 * Compare with the host's clocks, and follow them (one host call; under the kernel lock). The monotonic clock's rate
 * stays within 1% of the first and it moves by no more than 1% of the time since the last comparison, and 10 ms; the
 * wall clock goes forward at once, and back by running 1/128 slower.
 */
void time_follow_host(void);
bool time_follow_due(uint64_t monotonic_ns); /* 2 s after boot, then ever more rarely, at last each 64 s */
#endif

/* Clocks from the TSC; no exit per read. Monotonic whatever the host says. Wall-clock time is the host's word. */
#ifndef COFRE_KERNEL_SCHED_TIME_H
#define COFRE_KERNEL_SCHED_TIME_H
#include "kernel/lib/types.h"
uint64_t time_monotonic_ns(void);
uint64_t time_realtime_ns(void);
uint64_t time_boot_ns(void); /* CLOCK_BOOTTIME now */
void time_init(uint64_t tsc_hz, uint64_t tsc, uint64_t monotonic_ns, uint64_t realtime_ns);
#endif

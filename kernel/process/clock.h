/* Times as system calls carry them, and which clock an id names. */
#ifndef COFRE_KERNEL_PROCESS_CLOCK_H
#define COFRE_KERNEL_PROCESS_CLOCK_H

#include <linux/time_types.h>

#include "kernel/lib/types.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

#define NS_PER_SEC 1000000000ULL
#define NS_PER_US 1000ULL
/* Linux's KTIME_MAX: later times are as good as never. */
#define NS_MAX ((uint64_t)INT64_MAX)

/* A struct timespec from user memory, as ns: -EFAULT, or -EINVAL if it is negative or not normalised. */
must_check int timespec_from_user(uint64_t *ret_ns, uaddr_t user);
must_check int timespec_to_user(uaddr_t user, uint64_t ns);
must_check int timespec_to_ns(uint64_t *ret_ns, const struct __kernel_timespec *ts);
struct __kernel_timespec timespec_of_ns(uint64_t ns);

/* Now + ns on CLOCK_MONOTONIC, NO_DEADLINE when that is beyond all time. */
uint64_t clock_deadline_after(uint64_t ns);
/* The CLOCK_MONOTONIC deadline for time ns on a wall, monotonic or boot clock. */
uint64_t clock_deadline_at(int clock, uint64_t ns);

/* Is it a clock that timers and sleeps can use (not a CPU clock)? */
bool clock_is_wall(int clock);
bool clock_is_timeline(int clock); /* realtime or monotonic family */
/* A CPU clock of the caller as one that names it, so that it means the same from anywhere; others stay. */
int clock_bind(int clock);
/* As clock_read(), of a clock that clock_bind() returned, in whatever context. */
must_check int clock_read_bound(int clock, uint64_t *ret_ns);
/* Time on any clock, CPU clocks included: 0 or -EINVAL. */
must_check int clock_read(int clock, uint64_t *ret_ns);

#endif

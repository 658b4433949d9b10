/* What the vDSO needs for clocks; one copy, in the kernel's data, which application code can read. */
#ifndef COFRE_KERNEL_SCHED_VDSO_DATA_H
#define COFRE_KERNEL_SCHED_VDSO_DATA_H

#include <stdint.h>

#define VDSO_SHIFT 32

/* A clock that is ahead of the host's has a debt: it runs slower by 1/2^VDSO_DEBT_SHIFT until that is paid. */
#define VDSO_DEBT_SHIFT 7
struct vdso_clock {
    uint64_t ns, debt;
};

/* elapsed = (TSC - base_tsc) * mult >> VDSO_SHIFT; a clock's time is ns + elapsed - min(elapsed >> VDSO_DEBT_SHIFT,
 * debt) */
struct vdso_times {
    uint64_t base_tsc, mult;
    struct vdso_clock monotonic, realtime;
};

/* times[sequence % 2] is in force; the other is written before sequence moves on. Who finds that it has, reads again.
 */
struct vdso_data {
    uint64_t sequence;
    struct vdso_times times[2];
};

extern struct vdso_data vdso_data;

/* In the image: where the kernel writes the address of its vdso_data. */
#define VDSO_LINK_MAGIC 0x6b6e696c6f736476ULL
struct vdso_link {
    uint64_t magic, data;
};

#endif

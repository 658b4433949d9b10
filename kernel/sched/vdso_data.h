/* What the vDSO needs for clocks; one copy, in the kernel's data, which application code can read. */
#ifndef COFRE_KERNEL_SCHED_VDSO_DATA_H
#define COFRE_KERNEL_SCHED_VDSO_DATA_H

#include <stdint.h>

#define VDSO_SHIFT 32

/* ns = base + ((TSC - base_tsc) * mult >> VDSO_SHIFT) */
struct vdso_data {
    uint64_t base_tsc, mult;
    uint64_t monotonic_ns, realtime_ns;
};

extern struct vdso_data vdso_data;

/* In the image: where the kernel writes the address of its vdso_data. */
#define VDSO_LINK_MAGIC 0x6b6e696c6f736476ULL
struct vdso_link {
    uint64_t magic, data;
};

#endif

/*
 * Clocks: TSC times a rate that the host calibrated once. The vDSO reads the same data (kernel/sched/vdso). Nothing
 * ever steps back: data is written once at boot.
 */
#include "kernel/sched/time.h"

#include "kernel/arch/trap.h"
#include "kernel/lib/printk.h"
#include "kernel/sched/vdso_data.h"

#define NS_PER_S 1000000000ULL
#define TSC_HZ_MIN 100000000ULL
#define TSC_HZ_MAX 20000000000ULL

struct vdso_data vdso_data;

static uint64_t elapsed_ns(void)
{
    uint64_t tsc = tsc_read();
    int64_t delta = (int64_t)(tsc - vdso_data.base_tsc);
    if (delta < 0)
        return 0;
    return (uint64_t)(((unsigned __int128)(uint64_t)delta * vdso_data.mult) >> VDSO_SHIFT);
}

uint64_t time_monotonic_ns(void)
{
    return vdso_data.monotonic_ns + elapsed_ns();
}

uint64_t time_realtime_ns(void)
{
    return vdso_data.realtime_ns + elapsed_ns();
}

uint64_t time_boot_ns(void)
{
    return time_monotonic_ns(); /* an enclave does not survive a suspended machine */
}

void time_init(uint64_t tsc_hz, uint64_t tsc, uint64_t monotonic_ns, uint64_t realtime_ns)
{
    if (tsc_hz < TSC_HZ_MIN || tsc_hz > TSC_HZ_MAX)
        host_lied("the frequency of the time stamp counter");
    if (monotonic_ns > 1ULL << 62 || realtime_ns > 1ULL << 62)
        host_lied("the time");
    vdso_data.mult = (uint64_t)(((unsigned __int128)NS_PER_S << VDSO_SHIFT) / tsc_hz);
    vdso_data.base_tsc = tsc;
    vdso_data.monotonic_ns = monotonic_ns;
    vdso_data.realtime_ns = realtime_ns;
}

/*
 * Clocks: TSC times a rate that the host calibrated. The vDSO reads the same data (kernel/sched/vdso).
 *
 * Deadlines go to the host in its own monotonic time, and containers run for months: so both clocks are compared with
 * the host's now and then, and follow it. A clock that is behind is set forward; one that is ahead runs a little
 * slower. Nothing ever steps back, whatever the host says.
 */
#include "kernel/sched/time.h"

#include "kernel/arch/hostcall.h"
#include "kernel/arch/trap.h"
#include "kernel/lib/printk.h"
#include "kernel/sched/vdso_data.h"

#define NS_PER_S 1000000000ULL
#define TSC_HZ_MIN 100000000ULL
#define TSC_HZ_MAX 20000000000ULL
#define TIME_MAX (1ULL << 62)

#define FOLLOW_FIRST_NS (2 * NS_PER_S)
#define FOLLOW_EVERY_NS (64 * NS_PER_S)
#define AMISS_MAX_NS 10000000ULL /* of the monotonic clock, besides 1% of the time since the last comparison */

struct vdso_data vdso_data;

static uint64_t first_hz;
static uint64_t followed_ns, follow_next_ns = UINT64_MAX, follow_every_ns;

static uint64_t elapsed_ns(const struct vdso_times *t, uint64_t tsc)
{
    int64_t delta = (int64_t)(tsc - t->base_tsc);
    if (delta < 0)
        return 0;
    return (uint64_t)(((unsigned __int128)(uint64_t)delta * t->mult) >> VDSO_SHIFT);
}

static uint64_t clock_at(const struct vdso_clock *c, uint64_t elapsed)
{
    return c->ns + elapsed - MIN(elapsed >> VDSO_DEBT_SHIFT, c->debt);
}

static inline uint64_t read_clock(bool realtime)
{
    uint64_t sequence, ns;
    do {
        sequence = __atomic_load_n(&vdso_data.sequence, __ATOMIC_ACQUIRE);
        const struct vdso_times *t = &vdso_data.times[sequence % 2];
        ns = clock_at(realtime ? &t->realtime : &t->monotonic, elapsed_ns(t, tsc_read()));
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (unlikely(__atomic_load_n(&vdso_data.sequence, __ATOMIC_RELAXED) != sequence));
    return ns;
}

uint64_t time_monotonic_ns(void)
{
    return read_clock(false);
}

uint64_t time_realtime_ns(void)
{
    return read_clock(true);
}

uint64_t time_boot_ns(void)
{
    return time_monotonic_ns(); /* an enclave does not survive a suspended machine */
}

static uint64_t mult_of(uint64_t tsc_hz)
{
    return (uint64_t)(((unsigned __int128)NS_PER_S << VDSO_SHIFT) / tsc_hz);
}

static void put_in_force(const struct vdso_times *times)
{
    uint64_t sequence = vdso_data.sequence + 1;
    vdso_data.times[sequence % 2] = *times;
    __atomic_store_n(&vdso_data.sequence, sequence, __ATOMIC_RELEASE);
}

void time_init(uint64_t tsc_hz, uint64_t tsc, uint64_t monotonic_ns, uint64_t realtime_ns)
{
    if (tsc_hz < TSC_HZ_MIN || tsc_hz > TSC_HZ_MAX)
        host_lied("the frequency of the time stamp counter");
    if (monotonic_ns > TIME_MAX || realtime_ns > TIME_MAX)
        host_lied("the time");
    first_hz = tsc_hz;
    put_in_force(&(struct vdso_times){tsc, mult_of(tsc_hz), {monotonic_ns, 0}, {realtime_ns, 0}});
    followed_ns = time_monotonic_ns();
    follow_every_ns = FOLLOW_FIRST_NS;
    follow_next_ns = followed_ns + follow_every_ns;
}

/* From `now` on, towards `host`: at most forward_max at once, and with no more debt than debt_max. */
static struct vdso_clock towards(uint64_t now, uint64_t host, uint64_t forward_max, uint64_t debt_max)
{
    if (host >= now)
        return (struct vdso_clock){now + MIN(host - now, forward_max), 0};
    return (struct vdso_clock){now, MIN(now - host, debt_max)};
}

static void follow(const struct hostcall_clock *host, uint64_t asked_tsc)
{
    const struct vdso_times *old = &vdso_data.times[vdso_data.sequence % 2];
    uint64_t tsc = tsc_read(), elapsed = elapsed_ns(old, tsc);
    uint64_t monotonic = clock_at(&old->monotonic, elapsed), realtime = clock_at(&old->realtime, elapsed);
    struct vdso_times new = {.base_tsc = tsc, .mult = old->mult};
    if (host->tsc < asked_tsc || host->tsc > tsc || host->monotonic_ns > TIME_MAX || host->realtime_ns > TIME_MAX)
        return; /* not of this moment, or no time: another will come */
    if (host->tsc_hz > first_hz - first_hz / 100 && host->tsc_hz < first_hz + first_hz / 100)
        new.mult = mult_of(host->tsc_hz);
    uint64_t since = elapsed_ns(&(struct vdso_times){.base_tsc = host->tsc, .mult = new.mult}, tsc);
    uint64_t amiss = AMISS_MAX_NS + (monotonic - followed_ns) / 100;
    new.monotonic = towards(monotonic, host->monotonic_ns + since, amiss, amiss);
    new.realtime = towards(realtime, host->realtime_ns + since, TIME_MAX, TIME_MAX);
    put_in_force(&new);
}

void time_follow_host(void)
{
    struct hostcall_clock host;
    uint64_t asked_tsc = tsc_read();
    hostcall_clock(&host);
    follow(&host, asked_tsc);
    followed_ns = time_monotonic_ns();
    follow_every_ns = MIN(2 * follow_every_ns, FOLLOW_EVERY_NS);
    follow_next_ns = followed_ns + follow_every_ns;
}

bool time_follow_due(uint64_t monotonic_ns)
{
    return monotonic_ns >= follow_next_ns;
}

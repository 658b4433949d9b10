/*
 * Spinning: input that has lately come soon is waited for without sleeping, since waking a CPU that sleeps costs more
 * than the wait, and leaves its caches cold. What pays for it is whoever else could run here, so a spin in vain, or one
 * that lost the CPU meanwhile, is followed by none for a while, longer each time.
 */
#include "host/clock.h"
#include "host/pump/internal.h"

#define SPIN_NS 100000 /* half of what Linux's haltpoll allows a guest */
#define LOST_NS 50000  /* between two looks: another thread had the CPU */
#define REST_MIN_NS 1000000
#define REST_MAX_NS 64000000

bool pump_may_spin(const struct pump *p)
{
    return p->config.cpu_count > 1 && p->gap_ns > 0 && p->gap_ns < SPIN_NS && p->epoch_start_ns >= p->no_spin_until_ns;
}

void pump_waited(struct pump *p, uint64_t ns)
{
    p->gap_ns = (p->gap_ns * 3 + ns) / 4;
}

void spin_begin(struct spin *spin)
{
    *spin = (struct spin){.start_ns = clock_monotonic_ns()};
    spin->last_ns = spin->start_ns;
}

bool spin_goes_on(const struct pump *p, struct spin *spin)
{
    uint64_t now = clock_monotonic_ns();

    if (now - spin->last_ns > LOST_NS)
        spin->lost = true;
    spin->last_ns = now;
    return now - spin->start_ns < SPIN_NS && !spin->lost && !pump_is_kicked(p);
}

void spin_end(struct pump *p, const struct spin *spin, bool came)
{
    if (came && !spin->lost) {
        p->rest_ns -= p->rest_ns / 16;
        return;
    }
    if (!spin->lost && pump_is_kicked(p))
        return;
    p->rest_ns = p->rest_ns * 2 < REST_MIN_NS   ? REST_MIN_NS
                 : p->rest_ns * 2 > REST_MAX_NS ? REST_MAX_NS
                                                : p->rest_ns * 2;
    p->no_spin_until_ns = spin->last_ns + p->rest_ns;
}

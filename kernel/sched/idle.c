/*
 * What a vCPU does between tasks, and when it must be interrupted.
 *
 * Idle: run timers, look at rings and links, linger if an answer is near, else park. vCPU 0 pumps while it is parked,
 * if its host process has a pump (net_pumps()); the others only sleep. A vCPU parks until the next timer unless vCPU 0
 * is parked and will wake for it.
 *
 * Busy: nobody looks at timers, rings or the queue while user code runs, so a tick is asked for
 * (vcpu_shared.tick_wanted) whenever there is something to look at: tasks in the queue, bytes to send, a timer that no
 * parked vCPU waits for, or, on vCPU 0, sleepers that input might wake. The word is only lowered by a tick that finds
 * none of these: it would otherwise change at every system call.
 */
#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/arch/vcpu.h"
#include "kernel/fs/hostfs_client.h"
#include "kernel/fs/volume_disk.h"
#include "kernel/lib/printk.h"
#include "kernel/net/net.h"
#include "kernel/remote/remote.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/run_queue.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/time.h"

#define KICK_AFTER_NS 50000

#define PUMP_AFTER_NS 500000

static uint64_t idle_ns;
static uint64_t pumped_ns; /* when vCPU 0 last did */

static void look_around(void)
{
    uint64_t now = time_monotonic_ns();
    if (unlikely(time_follow_due(now))) {
        time_follow_host();
        now = time_monotonic_ns();
    }
    timers_run(now);
    net_poll_ready();
    host_signals_poll();
    remote_poll();
    volume_disks_poll();
    hostfs_poll();
}

/* The earliest moment any parked vCPU wakes by itself. */
static uint64_t parked_until(void)
{
    uint64_t earliest = NO_DEADLINE;
    for (unsigned i = 0; i < vcpu_count(); i++)
        if (vcpu_at(i)->parked)
            earliest = MIN(earliest, vcpu_at(i)->parked_until_ns);
    return earliest;
}

static struct vcpu *parked_vcpu(void)
{
    for (unsigned i = 1; i <= vcpu_count(); i++) {
        struct vcpu *vcpu = vcpu_at(i % vcpu_count()); /* vCPU 0 last: it should pump */
        if (vcpu->parked && !vcpu->kicked && run_queue_has_work(vcpu))
            return vcpu;
    }
    return NULL;
}

static uint32_t tick_needed(const struct vcpu *vcpu)
{
    if ((vcpu->index == 0 || remote_is_member()) && net_flush_wanted())
        return TICK_FLUSH;
    uint64_t next = timers_next_ns();
    if (next != NO_DEADLINE && next < parked_until())
        return TICK_FLUSH;
    return run_queue.count > 0 || (vcpu->index == 0 && run_queue.sleeping > 0) ? TICK_PREEMPT : TICK_NONE;
}

static void tick_want(struct vcpu *vcpu, uint32_t wanted)
{
    if (vcpu->tick_wanted == wanted)
        return;
    vcpu->tick_wanted = wanted;
    untrusted_store32(host_ptr_add(vcpu->shared, offsetof(struct vcpu_shared, tick_wanted)), wanted);
}

static void kick(struct vcpu *vcpu)
{
    vcpu->kicked = true;
    hostcall_kick(1ULL << vcpu->index);
}

/* Only vCPU 0 pumps: what another one has queued for sending is its business. */
static void flush_by_vcpu0(void)
{
    struct vcpu *pump = vcpu_at(0);
    if (remote_is_member()) {
        net_flush();
        if (!net_pump_wanted() || pump == vcpu_self())
            return;
    }
    if (!pump->parked)
        tick_want(pump, TICK_FLUSH);
    else if (!pump->kicked)
        kick(pump);
}

static void park(struct vcpu *vcpu, uint64_t deadline_ns)
{
    uint64_t start = time_monotonic_ns();
    if (vcpu->index != 0 && vcpu_at(0)->parked && vcpu_at(0)->parked_until_ns <= deadline_ns)
        deadline_ns = NO_DEADLINE;
    vcpu->parked_until_ns = deadline_ns;
    vcpu->parked = true;
    if ((vcpu->index != 0 || remote_is_member()) && net_flush_wanted())
        flush_by_vcpu0();
    hostcall_park(deadline_ns == NO_DEADLINE ? PARK_FOREVER : deadline_ns, vcpu->index == 0);
    vcpu->parked = false;
    vcpu->kicked = false;
    vcpu->tick = false;
    uint64_t now = time_monotonic_ns();
    idle_ns += now - start;
    if (vcpu->index == 0)
        pumped_ns = now;
}

/* Somebody sleeps who may wait for input, and only this vCPU, if it is the first, can bring it. */
static bool pump_wanted(const struct vcpu *vcpu)
{
    return vcpu->index == 0 && net_pumps() && (net_flush_wanted() || run_queue.sleeping > 0);
}

static void pump(void)
{
    kernel_unlock();
    hostcall_pump();
    kernel_lock();
    pumped_ns = time_monotonic_ns();
}

bool sched_linger(struct linger *linger, bool awake)
{
    if (!(linger ? remote_linger(linger, awake) : remote_linger_idle()))
        return false;
    if (pump_wanted(vcpu_self()) && time_monotonic_ns() - pumped_ns > PUMP_AFTER_NS)
        pump();
    look_around();
    return true;
}

noreturn_fn void sched_idle(void)
{
    struct vcpu *vcpu = vcpu_self();
    for (;;) {
        look_around();
        if (run_queue_has_work(vcpu)) {
            schedule();
        } else if (!sched_linger(NULL, true)) {
            /* What is left in the queue may only run elsewhere. */
            struct vcpu *other = run_queue.count > 0 ? parked_vcpu() : NULL;
            if (other)
                kick(other);
            park(vcpu, timers_next_ns());
        }
    }
}

void sched_before_user(void)
{
    struct vcpu *vcpu = vcpu_self(), *other;
    uint32_t wanted = tick_needed(vcpu);
    if (vcpu->tick_wanted < wanted)
        tick_want(vcpu, wanted);
    if (likely(vcpu_count() == 1))
        return;
    if (vcpu->index != 0 && net_flush_wanted() && !vcpu_at(0)->parked)
        tick_want(vcpu_at(0), TICK_FLUSH);
    if (run_queue.count == 0 || !(other = parked_vcpu()))
        return;
    struct task *waiting = TAILQ_FIRST(&run_queue.tasks);
    uint64_t now = time_monotonic_ns();
    if (waiting->queued_ns == 0)
        waiting->queued_ns = now;
    else if (now - waiting->queued_ns > KICK_AFTER_NS)
        kick(other);
}

void sched_tick(void)
{
    struct vcpu *vcpu = vcpu_self(), *other;
    vcpu->tick = false;
    if (pump_wanted(vcpu))
        pump();
    if (net_flush_wanted() && (vcpu->index != 0 || remote_is_member()))
        flush_by_vcpu0();
    look_around();
    tick_want(vcpu, tick_needed(vcpu));
    if (run_queue.count == 0)
        return;
    if ((other = parked_vcpu())) {
        kick(other);
        if (run_queue.count == 1)
            return; /* it goes there */
    }
    vcpu->preemptions++;
    vcpu->need_resched = true;
    vcpu->current->work_pending = true;
}

void sched_user_work(void)
{
    struct vcpu *vcpu = vcpu_self();
    if (vcpu->tick)
        sched_tick();
    if (vcpu->need_resched)
        schedule();
}

uint64_t sched_idle_ns(void)
{
    return idle_ns;
}

/* Boot of kernel/remote, and its part in the idle loop. */
#include "kernel/remote/remote.h"

#include "kernel/arch/vcpu.h"
#include "kernel/boot/boot.h"
#include "kernel/crypto/sgx_key.h"
#include "kernel/lib/printk.h"
#include "kernel/remote/area.h"
#include "kernel/remote/client.h"
#include "kernel/remote/pipe_ends.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/run_queue.h"
#include "kernel/sched/time.h"

#define LINGER_NS 50000
#define WAKE_NS 100000 /* and this more if the other side must be woken first */
#define CALL_NS 150000 /* for what is only sent after some work there, as 64 KiB that are sealed */
#define MISSES_MAX 8
#define RETRY_TIMES 2
#define RETRY_EVERY_MIN 16
#define RETRY_EVERY_MAX 256
#define BRIEF_NS 8000   /* what the sleep alone takes that it may spare */
#define SPARED_NS 20000 /* by not going to sleep and being woken: processor time of both sides */
#define ALLOWANCE 100   /* one part in so many of all time, to try it */
#define BALANCE_MAX_NS 1000000LL

static bool look_again; /* memory was short the last time */

void remote_init(void)
{
    const struct boot_params *p = boot_params();
    if (p->links.size == 0)
        return;
    const char *lie = link_area_init((host_ptr){p->links.addr}, p->links.size, p->member);
    if (lie)
        host_lied(lie);
}

bool remote_is_member(void)
{
    return link_area_self() != 0;
}

void remote_base_key(uint8_t ret_key[LINK_KEY_SIZE])
{
    static const uint8_t keyid[32] = "cofre link";
    struct sgx_svn svn;
    sgx_svn_current(&svn);
    if (sgx_seal_key_256(SGX_SEAL_MRENCLAVE, keyid, &svn, "cofre link base 1", ret_key) < 0)
        panic("the CPU gave no key for links");
}

void remote_poll(void)
{
    if (likely(!doorbell_take() && !look_again))
        return;
    look_again = !(remote_is_member() ? client_poll() : server_poll());
    stream_poll();
    if (remote_is_member())
        pipe_ends_poll();
    else
        spawn_poll();
}

/*
 * A round trip takes some microseconds while both sides run, and many times that if one has to be woken. Whether
 * lingering pays is learnt from how it went: after failures it is tried now and then, and more and more rarely.
 *
 * Who sends a message and will linger says so before it sends: the answer may come while it is still on its way to look
 * out, and to wake it for nothing would take longer than all else. So no task switch may come between
 * (remote_linger_end() in schedule()).
 */
static const struct vcpu *lingerer;

/*
 * Where more threads want to run than there are processors, whoever looks out takes the time of others, maybe of the
 * very one that is to answer. What comes spares a sleep and a wake-up; so there looking out may cost little more in all
 * than it spares. Beyond that it is as brief as a sleep, and only while the other side is awake.
 */
static int64_t balance_ns;
static uint64_t balanced_ns; /* when it was added to last */

static bool affordable(void)
{
    if (!host_crowded())
        return true;
    uint64_t now = time_monotonic_ns();
    balance_ns += (int64_t)MIN((now - balanced_ns) / ALLOWANCE, (uint64_t)BALANCE_MAX_NS);
    balance_ns = MIN(balance_ns, BALANCE_MAX_NS);
    balanced_ns = now;
    return balance_ns >= 0;
}

static bool worth_it(struct linger *l)
{
    if (vcpu_count() < 2 || lingerer || run_queue.count != 0 || (!l->prompt && !affordable()))
        return false;
    if (l->misses < MISSES_MAX)
        return true;
    if (++l->skipped < MAX(l->retry_every, RETRY_EVERY_MIN))
        return false;
    l->skipped = 0;
    l->retry_every = MIN(MAX(2 * l->retry_every, RETRY_EVERY_MIN), RETRY_EVERY_MAX);
    l->misses = MISSES_MAX - RETRY_TIMES;
    return true;
}

/* Others want the processor first: the idle loop lingers when they are done. */
static bool put_off;

bool remote_linger_begin(struct linger *l)
{
    put_off |= run_queue.count != 0;
    if (!worth_it(l))
        return false;
    lingerer = vcpu_self();
    doorbell_set_polling(true);
    return true;
}

void remote_busy_begin(void)
{
    if (lingerer || link_area_link_count() == 0)
        return;
    lingerer = vcpu_self();
    doorbell_set_polling(true);
}

void remote_linger_end(void)
{
    if (likely(lingerer != vcpu_self()))
        return;
    lingerer = NULL;
    doorbell_set_polling(false);
    remote_poll();
}

/* Gives up the kernel lock. */
static bool look_out(uint64_t ns, bool (*there)(const void *arg), const void *arg)
{
    uint64_t begin = time_monotonic_ns(), end = begin + ns;
    bool found;
    kernel_unlock();
    while (!(found = doorbell_rung() || there(arg)) && __atomic_load_n(&run_queue.count, __ATOMIC_RELAXED) == 0 &&
           time_monotonic_ns() < end)
        __builtin_ia32_pause();
    kernel_lock();
    balance_ns += (found ? SPARED_NS : 0) - (int64_t)(time_monotonic_ns() - begin);
    balance_ns = MAX(MIN(balance_ns, BALANCE_MAX_NS), -BALANCE_MAX_NS);
    return found;
}

static bool was_woken(const void *task)
{
    return __atomic_load_n(&((const struct task *)task)->woken, __ATOMIC_RELAXED);
}

static bool linger(struct linger *l, uint64_t ns, bool awake)
{
    struct task *task = task_current();
    if (lingerer != vcpu_self() && !remote_linger_begin(l))
        return false;
    if (!affordable()) {
        if (!l->prompt || !awake) {
            remote_linger_end();
            return run_queue.count != 0;
        }
        ns = BRIEF_NS;
    }
    task->woken = false; /* another vCPU may take the bell */
    bool found = look_out(ns, was_woken, task) || doorbell_rung();
    if (found) {
        l->misses -= MIN(l->misses, 2U);
        l->retry_every = RETRY_EVERY_MIN;
    } else if (run_queue.count == 0) {
        l->misses++;
    }
    remote_linger_end();
    return found || run_queue.count != 0;
}

bool remote_linger(struct linger *l, bool awake)
{
    return linger(l, LINGER_NS + l->work_ns + (awake ? 0 : WAKE_NS), awake);
}

bool remote_linger_idle(void)
{
    static struct linger streams, calls;
    if (stream_busy())
        return linger(&streams, LINGER_NS, true);
    if (!put_off)
        return false;
    put_off = false;
    return linger(&calls, CALL_NS, true);
}

bool remote_look_out(bool (*there)(const void *arg), const void *arg)
{
    bool found = there(arg);
    if (found || vcpu_count() < 2 || !affordable())
        return found;
    doorbell_set_polling(true);
    (void)look_out(LINGER_NS, there, arg);
    doorbell_set_polling(false);
    remote_poll();
    return there(arg);
}

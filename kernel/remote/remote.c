/* Boot of kernel/remote, and its part in the idle loop. */
#include "kernel/remote/remote.h"

#include "kernel/boot/boot.h"
#include "kernel/crypto/sgx_key.h"
#include "kernel/lib/printk.h"
#include "kernel/remote/area.h"
#include "kernel/remote/client.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/run_queue.h"
#include "kernel/sched/time.h"

#define LINGER_NS 30000
#define LOOK_OUT_NS 50000
#define SCORE_MAX 8
#define RETRY_EVERY 16
#define RETRY_TIMES 3 /* in a row, so that both sides' tries meet */

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
    if (!remote_is_member())
        spawn_poll();
}

/*
 * A round trip takes some microseconds while both sides run, and many times that if one has to be woken. Whether
 * lingering pays is learnt from how it went: after failures it is tried only now and then.
 */
static bool lingering;
static int score = SCORE_MAX;
static unsigned skipped;

static bool worth_it(void)
{
    if (vcpu_count() < 2 || lingering || run_queue.count != 0 || !link_area_present())
        return false;
    if (!stream_busy() && !(remote_is_member() ? client_busy() : server_busy()))
        return false;
    if (score > 0)
        return true;
    if (++skipped < RETRY_EVERY)
        return false;
    skipped = 0;
    score = RETRY_TIMES;
    return true;
}

/* Without the kernel lock. */
static bool look_out(void)
{
    uint64_t end = time_monotonic_ns() + LINGER_NS;
    do {
        for (unsigned i = 0; i < 8; i++) {
            if (doorbell_rung())
                return true;
            __builtin_ia32_pause();
        }
        if (__atomic_load_n(&run_queue.count, __ATOMIC_RELAXED) != 0)
            return false;
    } while (time_monotonic_ns() < end);
    return false;
}

bool remote_linger(void)
{
    if (!worth_it())
        return false;
    lingering = true;
    doorbell_set_polling(true);
    kernel_unlock();
    bool rung = look_out();
    kernel_lock();
    doorbell_set_polling(false);
    lingering = false;
    bool work = run_queue.count != 0;
    if (rung || !work)
        score = rung ? MIN(score + 2, SCORE_MAX) : MAX(score - 1, 0);
    return work || doorbell_rung();
}

bool remote_look_out(bool (*there)(const void *arg), const void *arg)
{
    bool found = there(arg);
    if (found || vcpu_count() < 2)
        return found;
    uint64_t end = time_monotonic_ns() + LOOK_OUT_NS;
    kernel_unlock();
    while (!(found = there(arg)) && __atomic_load_n(&run_queue.count, __ATOMIC_RELAXED) == 0 &&
           time_monotonic_ns() < end)
        __builtin_ia32_pause();
    kernel_lock();
    remote_poll();
    return found;
}

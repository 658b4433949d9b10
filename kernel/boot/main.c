/* The kernel's table of contents: the order in which everything comes up. */
#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/arch/vcpu.h"
#include "kernel/attestation/attestation.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/cpuid.h"
#include "kernel/boot/params.h"
#include "kernel/boot/policy.h"
#include "kernel/command/command.h"
#include "kernel/crypto/crypto.h"
#include "kernel/fs/console.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/mm/expected.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/net/net.h"
#include "kernel/process/process.h"
#include "kernel/remote/member.h"
#include "kernel/remote/process_link.h"
#include "kernel/remote/remote.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/time.h"
#include "kernel/sched/vdso.h"
#include "kernel/syscalls/table.h"

static volatile bool shared_known; /* boot parameters are checked: every vCPU may find its shared page */

unsigned vcpu_total = 1;

static void policy_init(void)
{
    const struct policy *p = policy();
    if (policy_check(p, POLICY_SIZE_MAX) != 0)
        vcpu_die();
    elrange_end = p->elrange_size;
}

static void vcpu_set_shared(struct vcpu *vcpu)
{
    vcpu->shared.addr = boot_params()->vcpu_shared.addr + vcpu->index * VCPU_SHARED_STRIDE;
}

/* The others sleep until the scheduler kicks them, also those that the host enters only then. */
static void others_sleep(void)
{
    for (unsigned i = 1; i < vcpu_count(); i++) {
        struct vcpu *vcpu = vcpu_at(i);
        vcpu->index = i;
        vcpu->parked_until_ns = NO_DEADLINE;
        vcpu->parked = true;
    }
}

static void counters_init(void)
{
    for (unsigned i = 0; i < vcpu_count(); i++) {
        struct vcpu *vcpu = vcpu_at(i);
        uint64_t *counters = kzalloc(3 * STATS_SYSCALL_MAX * sizeof(*counters));
        if (!counters)
            panic("no memory for counters");
        vcpu->syscalls = counters;
        vcpu->syscalls_slow = counters + STATS_SYSCALL_MAX;
        vcpu->syscalls_enosys = counters + 2 * STATS_SYSCALL_MAX;
    }
}

/* What may sleep runs as a task. */
static void init_thread(void *arg)
{
    (void)arg;
    if (remote_is_member()) { /* all else is the init enclave's */
        member_init();
        return;
    }
    process_link_init();
    console_init();
    net_init(); /* before anything sleeps: who parks would otherwise come back at once for news that nobody takes */
    if (boot_params()->flags & BOOT_QUOTE)
        boot_quote();
    fs_init();
    process_init();
    command_init();
}

static void boot(struct vcpu *vcpu, uint64_t boot_params_addr)
{
    policy_init();
    boot_params_init(boot_params_addr);
    const struct boot_params *p = boot_params();
    vcpu_total = p->vcpu_count;
    vcpu_set_shared(vcpu);
    others_sleep();
    shared_known = true;
    printk(LOG_DEBUG, "policy and boot parameters read\n");
    time_init(p->tsc_hz, p->clock_tsc, p->clock_monotonic_ns, p->clock_realtime_ns);
    cpuid_init();
    kmalloc_init(policy()->kernel_heap_size, policy_allows(POLICY_EDMM));
    counters_init();
    syscall_init();
    crypto_init();
    random_init(p->random_seed);
    remote_init();
    mm_init();
    expected_init(&p->start);
    vdso_init();
    printk(LOG_DEBUG, "kernel up: %u vCPUs, XFRM %lx, XSAVE %u bytes\n", vcpu_count(), xfrm, xsave_size);
    if (!kernel_thread_start("init", init_thread, NULL))
        panic("no memory for the first task");
}

/* Spinning for the lock it would only delay the boot. */
static void boot_secondary(struct vcpu *vcpu)
{
    while (!shared_known)
        __builtin_ia32_pause();
    if (vcpu->index >= vcpu_count())
        exception_die();
    vcpu_set_shared(vcpu);
    hostcall_wait_boot();
    kernel_lock();
    vcpu->parked = false;
    vcpu->kicked = false;
}

noreturn_fn void vcpu_main(uint64_t boot_params_addr)
{
    struct vcpu *vcpu = vcpu_self();
    vcpu->index = (unsigned)((vcpu_block(vcpu) - VCPU_BASE) / VCPU_STRIDE);
    sched_init_vcpu(vcpu);
    if (vcpu->index == 0) {
        kernel_lock();
        boot(vcpu, boot_params_addr);
    } else {
        boot_secondary(vcpu);
    }
    sched_idle();
}

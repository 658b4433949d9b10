/* What the kernel counted, handed to the host if the policy lets diagnostics out. */
#include "kernel/boot/stats.h"

#include "abi/stats.h"
#include "kernel/arch/rewrite.h"
#include "kernel/arch/untrusted.h"
#include "kernel/arch/vcpu.h"
#include "kernel/boot/boot.h"
#include "kernel/fs/verity.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/net/net.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/table.h"

static struct run_stats stats; /* at the end there may be no memory to allocate it */
static uint64_t program_started_ns;

void stats_program_starts(void)
{
    if (program_started_ns == 0)
        program_started_ns = time_monotonic_ns();
}

static void add_vcpus(void)
{
    for (unsigned i = 0; i < vcpu_count(); i++) {
        const struct vcpu *vcpu = vcpu_at(i);
        for (size_t k = 0; k < ARRAY_COUNT(stats.hostcalls); k++)
            stats.hostcalls[k] += vcpu->hostcalls[k];
        stats.page_faults += vcpu->page_faults;
        stats.cpuid_emulated += vcpu->cpuid_emulated;
        stats.rdtsc_emulated += vcpu->rdtsc_emulated;
        stats.preemptions += vcpu->preemptions;
        stats.context_switches += vcpu->context_switches;
    }
}

void stats_publish(void)
{
    const struct boot_params *p = boot_params();
    const struct mm *mm = mm_self();

    if (!(p->flags & BOOT_STATS) || p->stats.size < sizeof(stats) || !policy_allows(POLICY_DIAGNOSTICS))
        return;
    memset(&stats, 0, sizeof(stats)); /* of the last time */
    syscall_stats(&stats);
    add_vcpus();
    net_bytes(&stats.net_rx_bytes, &stats.net_tx_bytes);
    rewrite_counts(&stats.sites_rewritten, &stats.sites_left);
    stats.pages_committed = mm->commits;
    stats.pages_decommitted = mm->decommits;
    stats.pages_committed_max = mm->committed_pages_max;
    stats.user_bytes = mm->committed_pages * PAGE_SIZE;
    stats.kernel_heap_bytes = kmalloc_bytes_used();
    if (root_device)
        stats.root_blocks_verified = verity_blocks_verified(root_device);
    if (program_started_ns > p->clock_monotonic_ns)
        stats.ns_boot = program_started_ns - p->clock_monotonic_ns;
    /* The host's own counts follow the kernel's and are not touched. */
    untrusted_copy_out((host_ptr){p->stats.addr}, &stats, offsetof(struct run_stats, eenter));
}

/* The kernel's statistics: what is written to the host's memory, when, and the same however often it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "abi/stats.h"
#include "kernel/arch/rewrite.h"
#include "kernel/arch/untrusted.h"
#include "kernel/arch/vcpu.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/stats.h"
#include "kernel/fs/verity.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/net/net.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/table.h"

/* ---- the rest of the kernel ---- */

static struct policy the_policy;
static struct boot_params params;
static struct mm mm;
static struct run_stats shown;
struct verity *root_device;

const struct policy *policy(void)
{
    return &the_policy;
}

const struct boot_params *boot_params(void)
{
    return &params;
}

struct mm *mm_self(void)
{
    return &mm;
}

unsigned vcpu_count(void)
{
    return 2;
}

uint64_t time_monotonic_ns(void)
{
    return 5000;
}

uint64_t kmalloc_bytes_used(void)
{
    return 4096;
}

uint64_t verity_blocks_verified(const struct verity *verity)
{
    (void)verity;
    return 0;
}

void net_bytes(uint64_t *ret_received, uint64_t *ret_sent)
{
    *ret_received = 10;
    *ret_sent = 20;
}

void rewrite_counts(uint64_t *ret_rewritten, uint64_t *ret_left)
{
    *ret_rewritten = 30;
    *ret_left = 40;
}

void syscall_stats(struct run_stats *stats)
{
    for (unsigned i = 0; i < vcpu_count(); i++)
        stats->syscalls[7] += vcpu_at(i)->index + 1;
}

void untrusted_copy_out(host_ptr dst, const void *src, size_t size)
{
    memcpy((void *)dst.addr, src, size);
}

/* ---- tests ---- */

static int set_up(void **state)
{
    (void)state;
    void *p = mmap((void *)VCPU_BASE, 2 * VCPU_STRIDE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p != (void *)VCPU_BASE)
        return -1;
    for (unsigned i = 0; i < vcpu_count(); i++) {
        struct vcpu *vcpu = vcpu_at(i);
        *vcpu = (struct vcpu){.index = i, .page_faults = 100, .context_switches = 5};
        vcpu->hostcalls[3] = 50;
    }
    the_policy.flags = POLICY_DIAGNOSTICS;
    params.flags = BOOT_STATS;
    params.stats = (struct boot_blob){(uint64_t)&shown, sizeof(shown)};
    mm.commits = 9;
    memset(&shown, 0, sizeof(shown));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return munmap((void *)VCPU_BASE, 2 * VCPU_STRIDE);
}

static void counts_all_vcpus(void **state)
{
    (void)state;
    stats_publish();
    assert_int_equal(shown.syscalls[7], 3);
    assert_int_equal(shown.hostcalls[3], 100);
    assert_int_equal(shown.page_faults, 200);
    assert_int_equal(shown.context_switches, 10);
    assert_int_equal(shown.pages_committed, 9);
    assert_int_equal(shown.net_tx_bytes, 20);
    assert_int_equal(shown.sites_rewritten, 30);
}

static void again_is_the_same(void **state)
{
    (void)state;
    stats_publish();
    struct run_stats before = shown;
    stats_publish();
    assert_memory_equal(&shown, &before, sizeof(shown));
    vcpu_at(1)->page_faults++;
    stats_publish();
    assert_int_equal(shown.page_faults, before.page_faults + 1);
}

static void the_hosts_part_is_left_alone(void **state)
{
    (void)state;
    shown.eenter = 77;
    shown.edmm_ioctls = 78;
    stats_publish();
    assert_int_equal(shown.eenter, 77);
    assert_int_equal(shown.edmm_ioctls, 78);
}

static void nothing_without_diagnostics(void **state)
{
    (void)state;
    struct run_stats zero = {0};
    the_policy.flags = 0;
    stats_publish();
    assert_memory_equal(&shown, &zero, sizeof(shown));
    the_policy.flags = POLICY_DIAGNOSTICS;
    params.flags = 0;
    stats_publish();
    assert_memory_equal(&shown, &zero, sizeof(shown));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_all_vcpus, set_up, tear_down),
        cmocka_unit_test_setup_teardown(again_is_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_hosts_part_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_without_diagnostics, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

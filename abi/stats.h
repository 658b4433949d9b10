/*
 * Statistics that `cofre run --stats` prints. The kernel writes its part to untrusted memory, only when the policy
 * allows diagnostics: at exit, and possibly before, each time all that it has counted since it started. The host adds
 * what it counts itself.
 */
#ifndef COFRE_ABI_STATS_H
#define COFRE_ABI_STATS_H

#include <stdint.h>

#define STATS_SYSCALL_MAX 512

struct run_stats {
    /* kernel */
    uint64_t syscalls[STATS_SYSCALL_MAX];      /* every call, by number */
    uint64_t syscalls_slow[STATS_SYSCALL_MAX]; /* of those, by #UD (site not rewritten) */
    uint64_t syscalls_enosys[STATS_SYSCALL_MAX];
    uint64_t sites_rewritten, sites_left;
    uint64_t hostcalls[16];
    uint64_t page_faults, pages_committed, pages_committed_max, pages_decommitted;
    uint64_t cpuid_emulated, rdtsc_emulated;
    uint64_t preemptions, context_switches, signals_delivered;
    uint64_t root_blocks_verified;
    uint64_t net_rx_bytes, net_tx_bytes;
    uint64_t kernel_heap_bytes, user_bytes;
    uint64_t ns_boot; /* first EENTER to first application instruction */
    uint64_t reserved[32];
    /* host; hostcalls as well */
    uint64_t eenter, eexit, eresume, aex; /* counted at the enter function */
    uint64_t aex_by_vector[32];
    uint64_t ticks_delivered;
    uint64_t host_rx_bytes, host_tx_bytes, host_accepted;
    uint64_t ns_start, ns_build, ns_exit; /* start of run; enclave initialised; exit: CLOCK_MONOTONIC */
    uint64_t edmm_ioctls;
};

#endif

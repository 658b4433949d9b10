/* Statistics at the end of a run: a table on stderr, or JSON in a file. */
#include "host/clock.h"
#include "host/error.h"
#include "host/members.h"
#include "host/pump/pump.h"
#include "host/runtime.h"
#include "host/syscall_names.h"
#include "host/volumes.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define TOP_SYSCALLS 20

static const char *const hostcall_names[HOSTCALL_COUNT] = {
#define NAME(number, name, what, check) [number] = #name,
    HOSTCALLS(NAME)
#undef NAME
};

static const char *const vector_names[32] = {
    [0] = "divide error", [1] = "debug", [3] = "breakpoint", [6] = "invalid opcode", [13] = "general protection",
    [14] = "page fault",  [16] = "x87",  [17] = "alignment", [19] = "SIMD",
};

struct summary {
    const struct run_stats *s;
    struct pump_stats pump;
    const char *pump_name;
    struct volume_counts volumes;
    uint64_t calls, slow, enosys;
    double start_ms, boot_ms, run_ms;
    uint64_t host_rss_max;
};

static double ms(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) / 1e6 : 0;
}

/*
 * What this process's vCPUs did so far, as the host counted it. Whoever is killed in the middle leaves what stood there
 * before or what stands there now, never zeros or half a sum.
 */
static void store_vcpus(struct runtime *runtime)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* an older sum never follows a newer one */
    struct run_stats *s = runtime->stats;
    struct sgx_counts sgx = {0};
    struct pump_stats pump = {0};
    uint64_t hostcalls[HOSTCALL_COUNT] = {0};

    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < runtime->vcpu_count; i++) {
        const struct sgx_thread *thread = atomic_load(&runtime->vcpus[i].sgx);

        if (thread)
            sgx_thread_count(thread, &sgx);
        for (unsigned k = 0; k < HOSTCALL_COUNT; k++)
            hostcalls[k] += runtime->vcpus[i].hostcalls[k];
    }
    memcpy(s->hostcalls, hostcalls, sizeof(hostcalls));
    memcpy(s->aex_by_vector, sgx.aex_by_vector, sizeof(sgx.aex_by_vector));
    s->eenter = sgx.eenter;
    s->eexit = sgx.eexit;
    s->eresume = sgx.eresume;
    s->aex = sgx.aex;
    s->ticks_delivered = sgx.ticks;
    s->edmm_ioctls = atomic_load(&runtime->edmm_ioctls);
    if (runtime_pump(runtime))
        pump_stats_read(runtime_pump(runtime), &pump);
    s->host_rx_bytes = pump.rx_bytes;
    s->host_tx_bytes = pump.tx_bytes;
    s->host_accepted = pump.accepted;
    pthread_mutex_unlock(&lock);
}

void stats_keep(struct runtime *runtime)
{
    if (runtime->options.stats && runtime->member != 0)
        store_vcpus(runtime);
}

static void summarise(struct runtime *runtime, struct summary *sum)
{
    struct run_stats *s = runtime->stats;
    struct rusage usage;

    memset(sum, 0, sizeof(*sum));
    store_vcpus(runtime);
    members_stats_add(runtime, s);
    pump_stats_read(runtime->pump, &sum->pump);
    s->ns_exit = clock_monotonic_ns();
    for (unsigned i = 0; i < STATS_SYSCALL_MAX; i++) {
        sum->calls += s->syscalls[i];
        sum->slow += s->syscalls_slow[i];
        sum->enosys += s->syscalls_enosys[i];
    }
    sum->s = s;
    sum->pump_name = pump_backend_name(runtime->pump);
    volumes_count(&sum->volumes);
    sum->start_ms = ms(s->ns_start, s->ns_build);
    sum->boot_ms = (double)s->ns_boot / 1e6;
    sum->run_ms = ms(s->ns_build, s->ns_exit);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        sum->host_rss_max = (uint64_t)usage.ru_maxrss * 1024;
}

static const char *syscall_name(unsigned number)
{
    return number < SYSCALL_NAME_COUNT && syscall_names[number] ? syscall_names[number] : "?";
}

static void print_syscalls(FILE *f, const struct summary *sum)
{
    bool shown[STATS_SYSCALL_MAX] = {false};

    fprintf(f, "  system calls   %lu, %lu by the slow path (%.2f%%), %lu not implemented\n", sum->calls, sum->slow,
            sum->calls ? 100.0 * (double)sum->slow / (double)sum->calls : 0.0, sum->enosys);
    for (int n = 0; n < TOP_SYSCALLS; n++) {
        unsigned best = 0;

        for (unsigned i = 1; i < STATS_SYSCALL_MAX; i++)
            if (!shown[i] && (shown[best] || sum->s->syscalls[i] > sum->s->syscalls[best]))
                best = i;
        if (shown[best] || sum->s->syscalls[best] == 0)
            break;
        shown[best] = true;
        fprintf(f, "    %-24s %12lu  slow %lu\n", syscall_name(best), sum->s->syscalls[best],
                sum->s->syscalls_slow[best]);
    }
    for (unsigned i = 0; i < STATS_SYSCALL_MAX; i++)
        if (sum->s->syscalls_enosys[i])
            fprintf(f, "    %-24s %12lu  not implemented\n", syscall_name(i), sum->s->syscalls_enosys[i]);
}

static void print_table(FILE *f, const struct summary *sum)
{
    const struct run_stats *s = sum->s;

    fprintf(f, "cofre: statistics\n");
    fprintf(f, "  time           build %.1f ms, boot %.1f ms, run %.1f ms\n", sum->start_ms, sum->boot_ms, sum->run_ms);
    fprintf(f, "  enclave        %lu entries, %lu exits, %lu resumes, %lu asynchronous exits, %lu ticks\n", s->eenter,
            s->eexit, s->eresume, s->aex, s->ticks_delivered);
    for (unsigned i = 0; i < 32; i++)
        if (s->aex_by_vector[i])
            fprintf(f, "    %-24s %12lu\n", vector_names[i] ? vector_names[i] : "vector", s->aex_by_vector[i]);
    fprintf(f, "  exits by host call\n");
    for (unsigned i = 0; i < HOSTCALL_COUNT; i++)
        if (sum->s->hostcalls[i])
            fprintf(f, "    %-24s %12lu\n", hostcall_names[i], sum->s->hostcalls[i]);
    fprintf(f, "  pump (%s)  in %lu bytes, out %lu bytes, %lu waits, %lu system calls, %lu accepted, %lu connects\n",
            sum->pump_name, s->host_rx_bytes, s->host_tx_bytes, sum->pump.waits, sum->pump.syscalls, s->host_accepted,
            sum->pump.connects);
    print_syscalls(f, sum);
    fprintf(f, "  call sites     %lu rewritten, %lu left; cpuid %lu, rdtsc %lu emulated\n", s->sites_rewritten,
            s->sites_left, s->cpuid_emulated, s->rdtsc_emulated);
    fprintf(f, "  memory         %lu page faults, %lu pages committed (at most %lu), %lu given back, heap %lu bytes\n",
            s->page_faults, s->pages_committed, s->pages_committed_max, s->pages_decommitted, s->kernel_heap_bytes);
    fprintf(f, "  scheduling     %lu switches, %lu preemptions, %lu signals\n", s->context_switches, s->preemptions,
            s->signals_delivered);
    fprintf(f, "  root image     %lu blocks verified\n", s->root_blocks_verified);
    if (sum->volumes.reads > 0)
        fprintf(f, "  volumes        %lu reads (%lu bytes), %lu writes (%lu bytes), %lu flushes\n", sum->volumes.reads,
                sum->volumes.read_bytes, sum->volumes.writes, sum->volumes.written_bytes, sum->volumes.flushes);
    fprintf(f, "  host           %lu EDMM requests, %.1f MiB resident at most\n", s->edmm_ioctls,
            (double)sum->host_rss_max / 1048576.0);
}

static void json_syscalls(FILE *f, const char *name, const uint64_t counts[STATS_SYSCALL_MAX])
{
    const char *comma = "";

    fprintf(f, "  \"%s\": {", name);
    for (unsigned i = 0; i < STATS_SYSCALL_MAX; i++) {
        if (!counts[i])
            continue;
        if (strcmp(syscall_name(i), "?") == 0)
            fprintf(f, "%s\"%u\": %lu", comma, i, counts[i]);
        else
            fprintf(f, "%s\"%s\": %lu", comma, syscall_name(i), counts[i]);
        comma = ", ";
    }
    fprintf(f, "},\n");
}

static void print_json(FILE *f, const struct summary *sum)
{
    const struct run_stats *s = sum->s;
    const char *comma = "";

    fprintf(f, "{\n  \"build_ms\": %.3f, \"boot_ms\": %.3f, \"run_ms\": %.3f,\n", sum->start_ms, sum->boot_ms,
            sum->run_ms);
    fprintf(f, "  \"eenter\": %lu, \"eexit\": %lu, \"eresume\": %lu, \"aex\": %lu, \"ticks\": %lu,\n", s->eenter,
            s->eexit, s->eresume, s->aex, s->ticks_delivered);
    fprintf(f, "  \"hostcalls\": {");
    for (unsigned i = 0; i < HOSTCALL_COUNT; i++, comma = ", ")
        fprintf(f, "%s\"%s\": %lu", comma, hostcall_names[i], sum->s->hostcalls[i]);
    fprintf(f, "},\n  \"aex_by_vector\": {");
    comma = "";
    for (unsigned i = 0; i < 32; i++) {
        if (!s->aex_by_vector[i])
            continue;
        fprintf(f, "%s\"%u\": %lu", comma, i, s->aex_by_vector[i]);
        comma = ", ";
    }
    fprintf(f, "},\n");
    json_syscalls(f, "syscalls", s->syscalls);
    json_syscalls(f, "syscalls_slow", s->syscalls_slow);
    json_syscalls(f, "syscalls_enosys", s->syscalls_enosys);
    fprintf(f,
            "  \"pump\": {\"backend\": \"%s\", \"rx_bytes\": %lu, \"tx_bytes\": %lu, \"parks\": %lu, \"waits\": %lu, ",
            sum->pump_name, s->host_rx_bytes, s->host_tx_bytes, sum->pump.parks, sum->pump.waits);
    fprintf(f, "\"syscalls\": %lu, \"accepted\": %lu, \"connects\": %lu},\n", sum->pump.syscalls, s->host_accepted,
            sum->pump.connects);
    fprintf(f, "  \"sites_rewritten\": %lu, \"sites_left\": %lu, \"cpuid\": %lu, \"rdtsc\": %lu,\n", s->sites_rewritten,
            s->sites_left, s->cpuid_emulated, s->rdtsc_emulated);
    fprintf(f, "  \"page_faults\": %lu, \"pages_committed\": %lu, \"pages_committed_max\": %lu, ", s->page_faults,
            s->pages_committed, s->pages_committed_max);
    fprintf(f, "\"pages_decommitted\": %lu, \"kernel_heap_bytes\": %lu, \"user_bytes\": %lu,\n", s->pages_decommitted,
            s->kernel_heap_bytes, s->user_bytes);
    fprintf(f, "  \"context_switches\": %lu, \"preemptions\": %lu, \"signals\": %lu, \"root_blocks_verified\": %lu,\n",
            s->context_switches, s->preemptions, s->signals_delivered, s->root_blocks_verified);
    fprintf(f,
            "  \"volumes\": {\"reads\": %lu, \"read_bytes\": %lu, \"writes\": %lu, \"written_bytes\": %lu, "
            "\"flushes\": %lu},\n",
            sum->volumes.reads, sum->volumes.read_bytes, sum->volumes.writes, sum->volumes.written_bytes,
            sum->volumes.flushes);
    fprintf(f, "  \"edmm_ioctls\": %lu, \"host_rss_max\": %lu\n}\n", s->edmm_ioctls, sum->host_rss_max);
}

void stats_finish(struct runtime *runtime)
{
    const char *path = runtime->options.stats_path;
    struct summary sum;
    FILE *f = stderr;

    stats_keep(runtime);
    if (!runtime->options.stats || runtime->member != 0)
        return;
    summarise(runtime, &sum);
    if (path && !(f = fopen(path, "we"))) {
        complain("writing statistics to %s failed: %s", path, strerror(errno));
        return;
    }
    if (path)
        print_json(f, &sum);
    else
        print_table(f, &sum);
    if (f == stderr ? fflush(f) : fclose(f))
        complain("writing statistics failed: %s", strerror(errno));
}

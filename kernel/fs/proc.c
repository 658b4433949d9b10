/* /proc: what is about the machine and the kernel; the rest is in proc_*.c. */
#include "kernel/fs/proc.h"

#include <asm-generic/errno.h>
#include <linux/stat.h>

#include "kernel/ipc/ipc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/sched/time.h"

static ssize_t link_self(const struct pseudo_ctx *ctx, char *buf, size_t size)
{
    return snprintf(buf, size, "%d", process_self()->pid);
}

static ssize_t link_thread_self(const struct pseudo_ctx *ctx, char *buf, size_t size)
{
    return snprintf(buf, size, "%d/task/%d", process_self()->pid, task_current()->tid);
}

static int show_meminfo(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct mm *mm = mm_self();
    unsigned long total = mm->limit_pages * 4, used = mm->committed_pages * 4;
    unsigned long kernel = kmalloc_bytes_used() >> 10;
    const struct {
        const char *name;
        unsigned long kib;
    } rows[] = {
        {"MemTotal", total},
        {"MemFree", total - used},
        {"MemAvailable", total - used},
        {"Buffers", 0},
        {"Cached", 0},
        {"SwapCached", 0},
        {"Active", used},
        {"Inactive", 0},
        {"SwapTotal", 0},
        {"SwapFree", 0},
        {"Dirty", 0},
        {"Writeback", 0},
        {"AnonPages", used},
        {"Mapped", 0},
        {"Shmem", 0},
        {"KReclaimable", 0},
        {"Slab", kernel},
        {"SReclaimable", 0},
        {"SUnreclaim", kernel},
        {"CommitLimit", total},
        {"Committed_AS", used},
        {"VmallocTotal", 34359738367UL},
        {"VmallocUsed", 0},
        {"HugePages_Total", 0},
        {"HugePages_Free", 0},
        {"Hugepagesize", 2048},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char label[24];

        snprintf(label, sizeof label, "%s:", rows[i].name);
        if (strncmp(rows[i].name, "HugePages", 9) == 0)
            seq_printf(seq, "%-15s %8lu\n", label, rows[i].kib);
        else
            seq_printf(seq, "%-15s %8lu kB\n", label, rows[i].kib);
    }
    return 0;
}

unsigned proc_running_count(void)
{
    const struct process *process;
    const struct task *task;
    unsigned count = 0;

    TAILQ_FOREACH (process, &process_list, table_link)
        TAILQ_FOREACH (task, &process->threads, thread_link)
            count += task->state == TASK_RUNNING || task->state == TASK_RUNNABLE;
    return count;
}

static uint64_t busy_ns(void)
{
    struct process_usage usage;
    size_t threads;

    container_usage(&usage, &threads);
    return usage.user_ns + usage.system_ns;
}

static int show_stat(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process_usage usage;
    size_t threads;
    uint64_t uptime = time_boot_ns();
    unsigned count = vcpu_count();

    container_usage(&usage, &threads);
    uint64_t busy = usage.user_ns + usage.system_ns;
    uint64_t idle = uptime * count > busy ? uptime * count - busy : 0;
    unsigned long user = usage.user_ns / NS_PER_TICK, system = usage.system_ns / NS_PER_TICK,
                  idle_ticks = idle / NS_PER_TICK;

    seq_printf(seq, "cpu  %lu 0 %lu %lu 0 0 0 0 0 0\n", user, system, idle_ticks);
    /* Time is counted by thread, not by CPU. */
    for (unsigned i = 0; i < count; i++)
        seq_printf(seq, "cpu%u %lu 0 %lu %lu 0 0 0 0 0 0\n", i, user / count, system / count, idle_ticks / count);
    seq_printf(seq, "intr 0\nctxt 0\nbtime %lu\nprocesses %lu\nprocs_running %u\nprocs_blocked 0\n",
               (unsigned long)((time_realtime_ns() - uptime) / 1000000000), (unsigned long)process_made_count(),
               proc_running_count());
    return 0;
}

static int show_uptime(struct seq *seq, const struct pseudo_ctx *ctx)
{
    uint64_t up = time_boot_ns() / 10000000, busy = busy_ns() / 10000000;
    uint64_t all = up * vcpu_count(), idle = all > busy ? all - busy : 0;

    seq_printf(seq, "%lu.%02lu %lu.%02lu\n", (unsigned long)(up / 100), (unsigned long)(up % 100),
               (unsigned long)(idle / 100), (unsigned long)(idle % 100));
    return 0;
}

/* Nothing samples the run queue of an idle machine: the load is the CPU time used since it was last asked for. */
static int show_loadavg(struct seq *seq, const struct pseudo_ctx *ctx)
{
    static uint64_t last_ns, last_busy, loads[3]; /* thousandths */
    static const uint64_t periods[3] = {60, 300, 900};
    uint64_t now = time_monotonic_ns(), busy = busy_ns();
    struct process_usage usage;
    size_t threads;

    if (now - last_ns >= 1000000000) {
        uint64_t elapsed = (now - last_ns) / 1000000000, load = (busy - last_busy) * 1000 / (now - last_ns);

        for (size_t i = 0; i < ARRAY_COUNT(loads); i++) {
            uint64_t weight = MIN(elapsed, periods[i]);

            loads[i] = (loads[i] * (periods[i] - weight) + load * weight) / periods[i];
        }
        last_ns = now;
        last_busy = busy;
    }
    for (size_t i = 0; i < ARRAY_COUNT(loads); i++)
        seq_printf(seq, "%lu.%02lu ", (unsigned long)(loads[i] / 1000), (unsigned long)(loads[i] % 1000 / 10));
    container_usage(&usage, &threads);
    seq_printf(seq, "%u/%lu %d\n", proc_running_count(), (unsigned long)threads, tid_last());
    return 0;
}

static int show_version(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "Linux version %s (cofre) (gcc) %s\n", KERNEL_RELEASE, KERNEL_VERSION);
    return 0;
}

static int show_ipc_messages(struct seq *seq, const struct pseudo_ctx *ctx)
{
    msg_show(seq);
    return 0;
}

static int show_ipc_semaphores(struct seq *seq, const struct pseudo_ctx *ctx)
{
    sem_show(seq);
    return 0;
}

static int show_ipc_memory(struct seq *seq, const struct pseudo_ctx *ctx)
{
    shm_show(seq);
    return 0;
}

/* What vmstat and others look for; nothing is paged in or out here. */
static int show_vmstat(struct seq *seq, const struct pseudo_ctx *ctx)
{
    static const char *const zeros[] = {
        "nr_dirty",   "nr_writeback",   "nr_file_pages", "pgpgin",         "pgpgout",        "pswpin",
        "pswpout",    "pgalloc_normal", "pgfree",        "pgactivate",     "pgdeactivate",   "pgfault",
        "pgmajfault", "pgscan_kswapd",  "pgscan_direct", "pgsteal_kswapd", "pgsteal_direct", "oom_kill"};
    const struct mm *mm = mm_self();

    seq_printf(seq, "nr_free_pages %lu\nnr_anon_pages %lu\n", (unsigned long)(mm->limit_pages - mm->committed_pages),
               (unsigned long)mm->committed_pages);
    for (size_t i = 0; i < ARRAY_COUNT(zeros); i++)
        seq_printf(seq, "%s 0\n", zeros[i]);
    return 0;
}

static const struct pseudo_entry ipc_entries[] = {
    {.name = "msg", .mode = S_IFREG | 0444, .show = show_ipc_messages},
    {.name = "sem", .mode = S_IFREG | 0444, .show = show_ipc_semaphores},
    {.name = "shm", .mode = S_IFREG | 0444, .show = show_ipc_memory},
    {0},
};

static const struct pseudo_entry root_entries[] = {
    {.name = "self", .mode = S_IFLNK | 0777, .link = link_self},
    {.name = "thread-self", .mode = S_IFLNK | 0777, .link = link_thread_self},
    {.name = "cmdline", .mode = S_IFREG | 0444, .text = "\n"},
    {.name = "cpuinfo", .mode = S_IFREG | 0444, .show = proc_show_cpuinfo},
    {.name = "diskstats", .mode = S_IFREG | 0444, .text = ""},
    {.name = "filesystems", .mode = S_IFREG | 0444, .show = proc_show_filesystems},
    {.name = "loadavg", .mode = S_IFREG | 0444, .show = show_loadavg},
    {.name = "locks", .mode = S_IFREG | 0444, .records = proc_lock_records},
    {.name = "meminfo", .mode = S_IFREG | 0444, .show = show_meminfo},
    {.name = "mounts", .mode = S_IFLNK | 0777, .text = "self/mounts"},
    {.name = "net", .mode = S_IFLNK | 0777, .text = "self/net"},
    {.name = "partitions", .mode = S_IFREG | 0444, .text = "major minor  #blocks  name\n\n"},
    {.name = "stat", .mode = S_IFREG | 0444, .show = show_stat},
    {.name = "swaps", .mode = S_IFREG | 0444, .text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
    {.name = "sys", .mode = S_IFDIR | 0555, .children = proc_sys_entries},
    {.name = "sysvipc", .mode = S_IFDIR | 0555, .children = ipc_entries},
    {.name = "uptime", .mode = S_IFREG | 0444, .show = show_uptime},
    {.name = "vmstat", .mode = S_IFREG | 0444, .show = show_vmstat},
    {.name = "version", .mode = S_IFREG | 0444, .show = show_version},
    {0},
};
static const struct pseudo_entry root = {.mode = S_IFDIR | 0555, .children = root_entries, .numbered = &proc_processes};

struct super_block *procfs_new(void)
{
    return pseudofs_new("proc", 0x9fa0, &root);
}

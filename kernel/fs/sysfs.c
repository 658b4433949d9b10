/* /sys, as far as programs look: CPUs, one NUMA node, memory settings, the container's control group. */
#include <asm-generic/errno.h>
#include <linux/stat.h>

#include "kernel/boot/boot.h"
#include "kernel/fs/pseudofs.h"
#include "kernel/mm/mm.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"

#define VALUE(n, t)                                                                                                    \
    {                                                                                                                  \
        .name = n, .mode = S_IFREG | 0444, .text = t                                                                   \
    }
#define SHOWN(n, f)                                                                                                    \
    {                                                                                                                  \
        .name = n, .mode = S_IFREG | 0444, .show = f                                                                   \
    }
#define DIRECTORY(n, c)                                                                                                \
    {                                                                                                                  \
        .name = n, .mode = S_IFDIR | 0755, .children = c                                                               \
    }

/* ---- CPUs ---- */

static int show_cpu_list(struct seq *seq, const struct pseudo_ctx *ctx)
{
    unsigned last = vcpu_count() - 1;

    if (last)
        seq_printf(seq, "0-%u\n", last);
    else
        seq_printf(seq, "0\n");
    return 0;
}

static int show_cpu_map(struct seq *seq, const struct pseudo_ctx *ctx)
{
    unsigned count = vcpu_count();

    seq_printf(seq, "%lx\n", count >= 64 ? ~0UL : (1UL << count) - 1);
    return 0;
}

static int show_number(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "%lu\n", (unsigned long)ctx->number);
    return 0;
}

static int show_own_map(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "%lx\n", 1UL << ctx->number);
    return 0;
}

/* CPUID leaf 4: the caches, by index. */
struct cache_info {
    unsigned type, level;
    unsigned long size;
    unsigned line, ways, sets;
};

static bool cache_query(unsigned index, struct cache_info *ret)
{
    uint32_t regs[4];

    cpuid_query(4, index, regs);
    ret->type = regs[0] & 31;
    ret->level = regs[0] >> 5 & 7;
    ret->line = (regs[1] & 0xfff) + 1;
    ret->ways = (regs[1] >> 22) + 1;
    ret->sets = regs[2] + 1;
    ret->size = (unsigned long)ret->line * ret->ways * ((regs[1] >> 12 & 0x3ff) + 1) * ret->sets;
    return ret->type != 0;
}

static bool next_cache(const struct pseudo_ctx *dir, uint64_t *number)
{
    struct cache_info info;

    return *number < 8 && cache_query((unsigned)*number, &info);
}

static void bind_cache(struct pseudo_ctx *child, uint64_t number)
{
    /* number stays the CPU's */
    child->tid = (int)number;
}

static int show_cache_level(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct cache_info info;

    cache_query((unsigned)ctx->tid, &info);
    seq_printf(seq, "%u\n", info.level);
    return 0;
}

static int show_cache_type(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct cache_info info;

    cache_query((unsigned)ctx->tid, &info);
    seq_printf(seq, "%s\n", info.type == 1 ? "Data" : info.type == 2 ? "Instruction" : "Unified");
    return 0;
}

static int show_cache_size(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct cache_info info;

    cache_query((unsigned)ctx->tid, &info);
    seq_printf(seq, "%luK\n", info.size >> 10);
    return 0;
}

static int show_cache_line(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct cache_info info;

    cache_query((unsigned)ctx->tid, &info);
    seq_printf(seq, "%u\n", info.line);
    return 0;
}

static int show_cache_ways(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct cache_info info;

    cache_query((unsigned)ctx->tid, &info);
    seq_printf(seq, "%u\n", info.ways);
    return 0;
}

static int show_cache_sets(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct cache_info info;

    cache_query((unsigned)ctx->tid, &info);
    seq_printf(seq, "%u\n", info.sets);
    return 0;
}

static const struct pseudo_entry cache_entries[] = {
    SHOWN("coherency_line_size", show_cache_line),
    SHOWN("level", show_cache_level),
    SHOWN("number_of_sets", show_cache_sets),
    SHOWN("shared_cpu_list", show_number),
    SHOWN("shared_cpu_map", show_own_map),
    SHOWN("size", show_cache_size),
    SHOWN("type", show_cache_type),
    SHOWN("ways_of_associativity", show_cache_ways),
    {0},
};
static const struct pseudo_entry cache_entry = {.mode = S_IFDIR | 0755, .children = cache_entries};
static const struct pseudo_numbered caches = {
    .prefix = "index", .next = next_cache, .bind = bind_cache, .entry = &cache_entry};

static const struct pseudo_entry topology_entries[] = {
    SHOWN("core_cpus", show_own_map),
    SHOWN("core_cpus_list", show_number),
    SHOWN("core_id", show_number),
    SHOWN("core_siblings", show_cpu_map),
    SHOWN("core_siblings_list", show_cpu_list),
    VALUE("die_id", "0\n"),
    SHOWN("package_cpus", show_cpu_map),
    SHOWN("package_cpus_list", show_cpu_list),
    VALUE("physical_package_id", "0\n"),
    SHOWN("thread_siblings", show_own_map),
    SHOWN("thread_siblings_list", show_number),
    {0},
};
static const struct pseudo_entry cpu_entries[] = {
    {.name = "cache", .mode = S_IFDIR | 0755, .numbered = &caches},
    VALUE("online", "1\n"),
    DIRECTORY("topology", topology_entries),
    {0},
};
static const struct pseudo_entry cpu_entry = {.mode = S_IFDIR | 0755, .children = cpu_entries};

static bool next_cpu(const struct pseudo_ctx *dir, uint64_t *number)
{
    return *number < vcpu_count();
}

static const struct pseudo_numbered cpus = {.prefix = "cpu", .next = next_cpu, .entry = &cpu_entry};

static int show_kernel_max(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "%u\n", VCPU_MAX - 1);
    return 0;
}

static const struct pseudo_entry cpu_dir_entries[] = {
    VALUE("isolated", "\n"),
    SHOWN("kernel_max", show_kernel_max),
    VALUE("offline", "\n"),
    SHOWN("online", show_cpu_list),
    SHOWN("possible", show_cpu_list),
    SHOWN("present", show_cpu_list),
    {0},
};

/* ---- the node ---- */

static int show_node_meminfo(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct mm *mm = mm_self();

    seq_printf(seq, "Node 0 MemTotal:       %8lu kB\nNode 0 MemFree:        %8lu kB\nNode 0 MemUsed:        %8lu kB\n",
               (unsigned long)mm->limit_pages * 4, (unsigned long)(mm->limit_pages - mm->committed_pages) * 4,
               (unsigned long)mm->committed_pages * 4);
    return 0;
}

static const struct pseudo_entry node0_entries[] = {
    SHOWN("cpulist", show_cpu_list),
    SHOWN("cpumap", show_cpu_map),
    VALUE("distance", "10\n"),
    SHOWN("meminfo", show_node_meminfo),
    {0},
};
static const struct pseudo_entry node_entries[] = {
    VALUE("has_cpu", "0\n"),
    VALUE("has_memory", "0\n"),
    VALUE("has_normal_memory", "0\n"),
    VALUE("online", "0\n"),
    VALUE("possible", "0\n"),
    DIRECTORY("node0", node0_entries),
    {0},
};

/* ---- memory ---- */

static const struct pseudo_entry thp_entries[] = {
    VALUE("defrag", "always defer defer+madvise madvise [never]\n"),
    VALUE("enabled", "always madvise [never]\n"),
    VALUE("hpage_pmd_size", "2097152\n"),
    VALUE("shmem_enabled", "always within_size advise [never] deny force\n"),
    {0},
};
static const struct pseudo_entry mm_entries[] = {DIRECTORY("transparent_hugepage", thp_entries), {0}};

/* ---- the control group ---- */

static int show_memory_max(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "%lu\n", (unsigned long)(mm_self()->limit_pages * PAGE_SIZE));
    return 0;
}

static int show_memory_current(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "%lu\n", (unsigned long)(mm_self()->committed_pages * PAGE_SIZE));
    return 0;
}

static int show_memory_peak(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "%lu\n", (unsigned long)(mm_self()->committed_pages_max * PAGE_SIZE));
    return 0;
}

static int show_procs(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct process *process = NULL;

    while ((process = process_next(process ? process->pid : 0)) != NULL)
        if (!process->zombie)
            seq_printf(seq, "%d\n", process->pid);
    return 0;
}

static int show_pids_current(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process_usage usage;
    size_t threads;

    container_usage(&usage, &threads);
    seq_printf(seq, "%lu\n", (unsigned long)threads);
    return 0;
}

static int show_cpu_stat(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process_usage usage;
    size_t threads;

    container_usage(&usage, &threads);
    seq_printf(seq, "usage_usec %lu\nuser_usec %lu\nsystem_usec %lu\n",
               (unsigned long)((usage.user_ns + usage.system_ns) / 1000), (unsigned long)(usage.user_ns / 1000),
               (unsigned long)(usage.system_ns / 1000));
    return 0;
}

static const struct pseudo_entry cgroup_entries[] = {
    VALUE("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n"),
    SHOWN("cgroup.procs", show_procs),
    VALUE("cgroup.type", "domain\n"),
    VALUE("cpu.max", "max 100000\n"),
    SHOWN("cpu.stat", show_cpu_stat),
    VALUE("cpu.weight", "100\n"),
    VALUE("cpuset.cpus", "\n"),
    SHOWN("cpuset.cpus.effective", show_cpu_list),
    VALUE("cpuset.mems.effective", "0\n"),
    SHOWN("memory.current", show_memory_current),
    VALUE("memory.high", "max\n"),
    SHOWN("memory.max", show_memory_max),
    SHOWN("memory.peak", show_memory_peak),
    VALUE("memory.swap.current", "0\n"),
    VALUE("memory.swap.max", "0\n"),
    SHOWN("pids.current", show_pids_current),
    VALUE("pids.max", "max\n"),
    {0},
};

/* ---- the tree ---- */

static const struct pseudo_entry system_entries[] = {
    {.name = "cpu", .mode = S_IFDIR | 0755, .children = cpu_dir_entries, .numbered = &cpus},
    DIRECTORY("node", node_entries),
    {0},
};
static const struct pseudo_entry devices_entries[] = {DIRECTORY("system", system_entries), {0}};
static const struct pseudo_entry kernel_entries[] = {DIRECTORY("mm", mm_entries), {0}};
static const struct pseudo_entry fs_entries[] = {DIRECTORY("cgroup", cgroup_entries), {0}};
static const struct pseudo_entry empty_entries[] = {{0}};
static const struct pseudo_entry root_entries[] = {
    DIRECTORY("block", empty_entries),     DIRECTORY("bus", empty_entries),
    DIRECTORY("class", empty_entries),     DIRECTORY("dev", empty_entries),
    DIRECTORY("devices", devices_entries), DIRECTORY("firmware", empty_entries),
    DIRECTORY("fs", fs_entries),           DIRECTORY("kernel", kernel_entries),
    DIRECTORY("module", empty_entries),    {0},
};
static const struct pseudo_entry root = {.mode = S_IFDIR | 0555, .children = root_entries};

struct super_block *sysfs_new(void)
{
    return pseudofs_new("sysfs", 0x62656572, &root);
}

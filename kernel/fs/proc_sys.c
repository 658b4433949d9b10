/* /proc/sys: settings of the kernel. They tell; what may be changed is said where it is. */
#include <linux/stat.h>

#include "kernel/boot/boot.h"
#include "kernel/fs/proc.h"
#include "kernel/lib/random.h"

#define VALUE(n, t)                                                                                                    \
    {                                                                                                                  \
        .name = n, .mode = S_IFREG | 0644, .text = t                                                                   \
    }
#define READ_ONLY(n, t)                                                                                                \
    {                                                                                                                  \
        .name = n, .mode = S_IFREG | 0444, .text = t                                                                   \
    }
#define DIRECTORY(n, c)                                                                                                \
    {                                                                                                                  \
        .name = n, .mode = S_IFDIR | 0555, .children = c                                                               \
    }

static int show_hostname(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "%s\n", container_hostname);
    return 0;
}

static int show_domainname(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "(none)\n");
    return 0;
}

static void show_uuid(struct seq *seq, const uint8_t id[16])
{
    for (unsigned i = 0; i < 16; i++)
        seq_printf(seq, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    seq_printf(seq, "\n");
}

static void random_uuid(uint8_t id[16])
{
    random_bytes(id, 16);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

static int show_new_uuid(struct seq *seq, const struct pseudo_ctx *ctx)
{
    uint8_t id[16];

    random_uuid(id);
    show_uuid(seq, id);
    return 0;
}

static int show_boot_id(struct seq *seq, const struct pseudo_ctx *ctx)
{
    static uint8_t id[16];

    if (!id[6])
        random_uuid(id);
    show_uuid(seq, id);
    return 0;
}

static const struct pseudo_entry random_entries[] = {
    {.name = "boot_id", .mode = S_IFREG | 0444, .show = show_boot_id},
    READ_ONLY("entropy_avail", "256\n"),
    READ_ONLY("poolsize", "256\n"),
    {.name = "uuid", .mode = S_IFREG | 0444, .show = show_new_uuid},
    {0},
};

static const struct pseudo_entry kernel_entries[] = {
    READ_ONLY("cap_last_cap", "40\n"),
    VALUE("core_pattern", "core\n"),
    VALUE("dmesg_restrict", "1\n"),
    {.name = "domainname", .mode = S_IFREG | 0644, .show = show_domainname},
    {.name = "hostname", .mode = S_IFREG | 0644, .show = show_hostname},
    VALUE("keys", ""),
    VALUE("msgmax", "8192\n"),
    VALUE("msgmnb", "16384\n"),
    VALUE("msgmni", "32000\n"),
    READ_ONLY("ngroups_max", "65536\n"),
    READ_ONLY("osrelease", KERNEL_RELEASE "\n"),
    READ_ONLY("ostype", "Linux\n"),
    READ_ONLY("overflowgid", "65534\n"),
    READ_ONLY("overflowuid", "65534\n"),
    VALUE("perf_event_paranoid", "4\n"),
    VALUE("pid_max", "4194304\n"),
    DIRECTORY("random", random_entries),
    VALUE("randomize_va_space", "2\n"),
    VALUE("sched_rt_runtime_us", "950000\n"),
    VALUE("sem", "32000\t1024000000\t500\t32000\n"),
    VALUE("shmall", "18446744073692774399\n"),
    VALUE("shmmax", "18446744073692774399\n"),
    VALUE("shmmni", "4096\n"),
    READ_ONLY("tainted", "0\n"),
    VALUE("threads-max", "126961\n"),
    READ_ONLY("version", KERNEL_VERSION "\n"),
    {0},
};

static const struct pseudo_entry vm_entries[] = {
    VALUE("max_map_count", "65530\n"),
    VALUE("mmap_min_addr", "65536\n"),
    VALUE("nr_hugepages", "0\n"),
    VALUE("overcommit_memory", "1\n"),
    VALUE("overcommit_ratio", "50\n"),
    VALUE("swappiness", "0\n"),
    {0},
};

static const struct pseudo_entry fs_inotify_entries[] = {
    VALUE("max_queued_events", "16384\n"),
    VALUE("max_user_instances", "128\n"),
    VALUE("max_user_watches", "65536\n"),
    {0},
};
static const struct pseudo_entry fs_epoll_entries[] = {VALUE("max_user_watches", "1048576\n"), {0}};
static const struct pseudo_entry fs_mqueue_entries[] = {VALUE("msg_max", "10\n"), {0}};

static const struct pseudo_entry fs_entries[] = {
    VALUE("aio-max-nr", "65536\n"),
    DIRECTORY("epoll", fs_epoll_entries),
    VALUE("file-max", "9223372036854775807\n"),
    DIRECTORY("inotify", fs_inotify_entries),
    DIRECTORY("mqueue", fs_mqueue_entries),
    VALUE("nr_open", "1048576\n"),
    VALUE("pipe-max-size", "1048576\n"),
    VALUE("pipe-user-pages-soft", "16384\n"),
    VALUE("protected_hardlinks", "1\n"),
    VALUE("protected_symlinks", "1\n"),
    {0},
};

static const struct pseudo_entry net_core_entries[] = {
    VALUE("rmem_default", "212992\n"), VALUE("rmem_max", "212992\n"), VALUE("somaxconn", "4096\n"),
    VALUE("wmem_default", "212992\n"), VALUE("wmem_max", "212992\n"), {0},
};
static const struct pseudo_entry net_ipv4_entries[] = {
    VALUE("ip_local_port_range", "32768\t60999\n"),
    VALUE("ip_unprivileged_port_start", "0\n"),
    VALUE("tcp_fin_timeout", "60\n"),
    VALUE("tcp_keepalive_intvl", "75\n"),
    VALUE("tcp_keepalive_probes", "9\n"),
    VALUE("tcp_keepalive_time", "7200\n"),
    VALUE("tcp_max_syn_backlog", "512\n"),
    {0},
};
static const struct pseudo_entry net_unix_entries[] = {VALUE("max_dgram_qlen", "10\n"), {0}};
static const struct pseudo_entry net_entries[] = {
    DIRECTORY("core", net_core_entries),
    DIRECTORY("ipv4", net_ipv4_entries),
    DIRECTORY("unix", net_unix_entries),
    {0},
};

const struct pseudo_entry proc_sys_entries[] = {
    DIRECTORY("fs", fs_entries),
    DIRECTORY("kernel", kernel_entries),
    DIRECTORY("net", net_entries),
    DIRECTORY("vm", vm_entries),
    {0},
};

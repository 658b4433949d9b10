/* /proc/PID and /proc/PID/task/TID. */
#include <asm-generic/errno.h>
#include <linux/oom.h>
#include <linux/stat.h>

#include "kernel/fs/fs_context.h"
#include "kernel/fs/proc.h"
#include "kernel/fs/proc_text.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/inspect.h"
#include "kernel/process/remote_ops.h"

struct process *proc_process(const struct pseudo_ctx *ctx)
{
    return process_of(ctx->pid);
}

struct task *proc_task(const struct pseudo_ctx *ctx)
{
    struct process *process = proc_process(ctx);
    struct task *task = task_find(ctx->tid ? ctx->tid : ctx->pid);

    if (!process || (task && task->process != process))
        return NULL;
    return task || ctx->tid ? task : process->leader;
}

int proc_inspect(const struct pseudo_ctx *ctx, struct process **ret_process)
{
    *ret_process = proc_process(ctx);
    if (!*ret_process)
        return -ESRCH;
    if (!task_current()->process)
        return 0; /* proc_text(): the init enclave has looked */
    return process_inspect_permission(*ret_process) < 0 ? -EACCES : 0;
}

bool proc_memory_here(const struct process *process)
{
    return !process->remote && !process->ended;
}

int proc_show_elsewhere(struct process *process, const struct pseudo_ctx *ctx, const char *name, struct seq *seq)
{
    if (!process->remote || process->ended || !remote_ops->proc_show)
        return 0;
    return remote_ops->proc_show(process, ctx->tid, name, seq);
}

char proc_state(const struct process *process, const struct task *task)
{
    if (process->zombie)
        return 'Z';
    if (!task)
        return process->stopped ? 'T' : 'S';
    if (task->state == TASK_RUNNING || task->state == TASK_RUNNABLE)
        return 'R';
    if (process->stopped)
        return 'T';
    return task->interruptible && !task->killable ? 'S' : 'D';
}

/* ---- memory of the process as text ---- */

static int show_user_memory(struct seq *seq, uaddr_t start, uaddr_t end)
{
    char chunk[256];

    while (start < end) {
        size_t size = MIN(end - start, sizeof chunk);

        if (copy_from_user_here(chunk, start, size) < 0)
            return 0;
        seq_write(seq, chunk, size);
        start += size;
    }
    return 0;
}

static int show_cmdline(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct mm *mm = mm_self();
    struct process *process = proc_process(ctx);
    char last;

    if (!process)
        return -ESRCH;
    if (!proc_memory_here(process))
        return proc_show_elsewhere(process, ctx, "cmdline", seq);
    if (!mm->arg_end)
        return 0;
    /* Programs that rename themselves overwrite the NUL at the end and go on into the environment. */
    if (copy_from_user_here(&last, mm->arg_end - 1, 1) == 0 && last != '\0') {
        show_user_memory(seq, mm->arg_start, mm->env_end);
        seq->used = seq->text ? strnlen(seq->text, seq->used) : 0;
        return 0;
    }
    return show_user_memory(seq, mm->arg_start, mm->arg_end);
}

static int show_environ(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process;
    int r = proc_inspect(ctx, &process);

    if (r < 0)
        return r;
    if (!proc_memory_here(process))
        return proc_show_elsewhere(process, ctx, "environ", seq);
    return show_user_memory(seq, mm_self()->env_start, mm_self()->env_end);
}

static int show_auxv(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct mm *mm = mm_self();
    struct process *process;
    int r = proc_inspect(ctx, &process);

    if (r < 0)
        return r;
    if (!proc_memory_here(process))
        return proc_show_elsewhere(process, ctx, "auxv", seq);
    seq_write(seq, mm->auxv, mm->auxv_count * sizeof *mm->auxv);
    return 0;
}

/* ---- names ---- */

static int show_comm(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process = proc_process(ctx);
    const struct task *task = proc_task(ctx);
    struct proc_figures figures;

    if (!process)
        return -ESRCH;
    if (task || !ctx->tid || ctx->tid == process->pid) {
        seq_printf(seq, "%s\n", task ? task->comm : process->comm);
        return 0;
    }
    process_get(process);
    int r = proc_figures(process, ctx->tid, &figures);
    process_put(process);
    if (r == 0)
        seq_printf(seq, "%s\n", figures.comm);
    return r;
}

/* In the enclave where the thread is. */
static int rename_thread(struct process *process, int tid, const char *name)
{
    struct task *task = task_find(tid ? tid : process->pid);

    if (!task || task->process != process)
        return -ESRCH;
    string_copy(task->comm, name, sizeof task->comm);
    return 0;
}

static int store_comm(const struct pseudo_ctx *ctx, const char *text, size_t size)
{
    static const char question[] = "comm=";
    struct process *process = proc_process(ctx);
    struct seq seq = {0};
    char asked[sizeof question + 15] = "comm=", *name = asked + sizeof question - 1;

    if (!process)
        return -ESRCH;
    if (process != process_self())
        return -EINVAL;
    if (size && text[size - 1] == '\n')
        size--;
    memcpy(name, text, MIN(size, (size_t)15));
    if (!process->remote)
        return rename_thread(process, ctx->tid, name);
    if (!ctx->tid || ctx->tid == process->pid)
        string_copy(process->comm, name, sizeof process->comm);
    process_get(process);
    int r = proc_show_elsewhere(process, ctx, asked, &seq);
    process_put(process);
    kfree(seq.text);
    return r;
}

static ssize_t link_dentry(struct dentry *dentry, char *buf, size_t size)
{
    char *text = page_alloc();
    const char *path;
    ssize_t r = -ENOMEM;

    if (!text)
        return r;
    path = dentry_path(dentry, text, PAGE_SIZE);
    r = path ? (ssize_t)MIN(strlen(path), size) : -ENAMETOOLONG;
    if (r > 0)
        memcpy(buf, path, (size_t)r);
    page_free(text);
    return r;
}

/* The directories of a process and its program: of one that has ended there are none. */
static int place_of(const struct pseudo_ctx *ctx, struct dentry *(*get)(struct process *process),
                    struct dentry **ret_dentry)
{
    struct process *process;
    int r = proc_inspect(ctx, &process);

    if (r < 0)
        return r == -ESRCH ? -ENOENT : r;
    *ret_dentry = get(process);
    return *ret_dentry ? 0 : -ENOENT;
}

static struct dentry *get_cwd(struct process *process)
{
    return process->fs ? dentry_get(process->fs->cwd) : NULL;
}

static struct dentry *get_root(struct process *process)
{
    return process->fs ? dentry_get(process->fs->root) : NULL;
}

static struct dentry *get_exe(struct process *process)
{
    return process->exe ? file_dentry_get(process->exe) : NULL;
}

static ssize_t link_place(int r, struct dentry *dentry, char *buf, size_t size)
{
    ssize_t length;

    if (r < 0)
        return r;
    length = link_dentry(dentry, buf, size);
    dentry_put(dentry);
    return length;
}

#define PLACE(name)                                                                                                    \
    static int place_##name(const struct pseudo_ctx *ctx, struct dentry **ret_dentry)                                  \
    {                                                                                                                  \
        return place_of(ctx, get_##name, ret_dentry);                                                                  \
    }                                                                                                                  \
    static ssize_t link_##name(const struct pseudo_ctx *ctx, char *buf, size_t size)                                   \
    {                                                                                                                  \
        struct dentry *dentry;                                                                                         \
        int r = place_of(ctx, get_##name, &dentry);                                                                    \
                                                                                                                       \
        return link_place(r, dentry, buf, size);                                                                       \
    }
PLACE(cwd)
PLACE(exe)
PLACE(root)

/* ---- for other enclaves ---- */

static int text_figures(struct process *process, int tid, struct seq *seq)
{
    struct proc_figures figures;
    int r = proc_figures(process, tid, &figures);

    if (r == 0)
        seq_write(seq, &figures, sizeof figures);
    return r;
}

static int text_threads(const struct process *process, struct seq *seq)
{
    const struct task *task;

    TAILQ_FOREACH (task, &process->threads, thread_link)
        seq_write(seq, &task->tid, sizeof task->tid);
    return 0;
}

int proc_text(int pid, int tid, const char *name, struct seq *seq)
{
    static const struct {
        const char *name;
        int (*show)(struct seq *seq, const struct pseudo_ctx *ctx);
    } texts[] = {
        {"auxv", show_auxv},        {"cmdline", show_cmdline},  {"environ", show_environ},
        {"maps", proc_show_maps},   {"smaps", proc_show_smaps}, {"smaps_rollup", proc_show_smaps_rollup},
        {"statm", proc_show_statm},
    };
    struct pseudo_ctx ctx = {.pid = pid, .tid = tid};
    struct process *process = proc_process(&ctx);

    if (!process)
        return -ESRCH;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (strcmp(name, texts[i].name) == 0)
            return texts[i].show(seq, &ctx);
    if (strcmp(name, "figures") == 0)
        return text_figures(process, tid, seq);
    if (strcmp(name, "threads") == 0)
        return text_threads(process, seq);
    if (strncmp(name, "comm=", 5) == 0)
        return rename_thread(process, tid, name + 5);
    return -ENOENT;
}

/* ---- namespaces ---- */

/* Namespaces are those of the container; their names do not change. */
static ssize_t link_namespace(const struct pseudo_ctx *ctx, char *buf, size_t size, const char *name, unsigned number)
{
    return snprintf(buf, size, "%s:[%u]", name, number);
}
#define NAMESPACE_LINK(name, number)                                                                                   \
    static ssize_t link_ns_##name(const struct pseudo_ctx *ctx, char *buf, size_t size)                                \
    {                                                                                                                  \
        return link_namespace(ctx, buf, size, #name, number);                                                          \
    }
NAMESPACE_LINK(cgroup, 4026531835u)
NAMESPACE_LINK(ipc, 4026531839u)
NAMESPACE_LINK(mnt, 4026531841u)
NAMESPACE_LINK(net, 4026531840u)
NAMESPACE_LINK(pid, 4026531836u)
NAMESPACE_LINK(user, 4026531837u)
NAMESPACE_LINK(uts, 4026531838u)

static const struct pseudo_entry ns_entries[] = {
    {.name = "cgroup", .mode = S_IFLNK | 0777, .link = link_ns_cgroup},
    {.name = "ipc", .mode = S_IFLNK | 0777, .link = link_ns_ipc},
    {.name = "mnt", .mode = S_IFLNK | 0777, .link = link_ns_mnt},
    {.name = "net", .mode = S_IFLNK | 0777, .link = link_ns_net},
    {.name = "pid", .mode = S_IFLNK | 0777, .link = link_ns_pid},
    {.name = "user", .mode = S_IFLNK | 0777, .link = link_ns_user},
    {.name = "uts", .mode = S_IFLNK | 0777, .link = link_ns_uts},
    {0},
};

/* ---- settings ---- */

static const struct {
    const char *name, *unit;
    int resource;
} limit_names[] = {
    {"Max cpu time", "seconds", RLIMIT_CPU},         {"Max file size", "bytes", RLIMIT_FSIZE},
    {"Max data size", "bytes", RLIMIT_DATA},         {"Max stack size", "bytes", RLIMIT_STACK},
    {"Max core file size", "bytes", RLIMIT_CORE},    {"Max resident set", "bytes", RLIMIT_RSS},
    {"Max processes", "processes", RLIMIT_NPROC},    {"Max open files", "files", RLIMIT_NOFILE},
    {"Max locked memory", "bytes", RLIMIT_MEMLOCK},  {"Max address space", "bytes", RLIMIT_AS},
    {"Max file locks", "locks", RLIMIT_LOCKS},       {"Max pending signals", "signals", RLIMIT_SIGPENDING},
    {"Max msgqueue size", "bytes", RLIMIT_MSGQUEUE}, {"Max nice priority", "", RLIMIT_NICE},
    {"Max realtime priority", "", RLIMIT_RTPRIO},    {"Max realtime timeout", "us", RLIMIT_RTTIME},
};

static void limit_text(char text[24], uint64_t value)
{
    if (value == RLIM64_INFINITY)
        string_copy(text, "unlimited", 24);
    else
        snprintf(text, 24, "%lu", (unsigned long)value);
}

static int show_limits(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct process *process = proc_process(ctx);

    if (!process)
        return -ESRCH;
    seq_printf(seq, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t i = 0; i < ARRAY_COUNT(limit_names); i++) {
        const struct rlimit64 *limit = &process->limits[limit_names[i].resource];
        char soft[24], hard[24];

        limit_text(soft, limit->rlim_cur);
        limit_text(hard, limit->rlim_max);
        if (limit_names[i].unit[0])
            seq_printf(seq, "%-25s %-20s %-20s %-10s\n", limit_names[i].name, soft, hard, limit_names[i].unit);
        else
            seq_printf(seq, "%-25s %-20s %-20s \n", limit_names[i].name, soft, hard);
    }
    return 0;
}

/* Files are in memory, or the host's: nothing is read from a disk or written to one. */
static int show_io(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process;
    struct proc_figures figures;
    int r = proc_inspect(ctx, &process);

    if (r < 0)
        return r;
    process_get(process);
    r = proc_figures(process, ctx->tid, &figures);
    process_put(process);
    if (r == 0)
        seq_printf(
            seq,
            "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
            (unsigned long)figures.io.bytes_read, (unsigned long)figures.io.bytes_written,
            (unsigned long)figures.io.reads, (unsigned long)figures.io.writes);
    return r;
}

/* The processes that this thread made, or has from others that ended. */
static int show_children(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct process *process = proc_process(ctx), *child;

    if (!process)
        return -ESRCH;
    TAILQ_FOREACH (child, &process->children, sibling)
        if (child->parent_tid == ctx->tid)
            seq_printf(seq, "%d ", child->pid);
    return 0;
}

static int show_oom_score_adj(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct process *process = proc_process(ctx);

    if (!process)
        return -ESRCH;
    seq_printf(seq, "%d\n", process->oom_score_adj);
    return 0;
}

static int parse_int(const char *text, size_t size, int *ret)
{
    char digits[16];
    bool negative = size && text[0] == '-';
    uint64_t value;

    if (size && text[size - 1] == '\n')
        size--;
    if (size >= sizeof digits || size <= (size_t)negative)
        return -EINVAL;
    memcpy(digits, text + negative, size - negative);
    digits[size - negative] = '\0';
    if (!string_to_u64(digits, INT32_MAX, &value))
        return -EINVAL;
    *ret = negative ? -(int)value : (int)value;
    return 0;
}

/* Lowering one's own score needs CAP_SYS_RESOURCE (24). */
static int store_oom_score_adj(const struct pseudo_ctx *ctx, const char *text, size_t size)
{
    struct process *process = proc_process(ctx);
    int value, r = parse_int(text, size, &value);

    if (r < 0)
        return r;
    if (!process)
        return -ESRCH;
    if (value < OOM_SCORE_ADJ_MIN || value > OOM_SCORE_ADJ_MAX)
        return -EINVAL;
    if (value < process->oom_score_adj && !process_capable(24))
        return -EACCES;
    process->oom_score_adj = value;
    return 0;
}

static int show_oom_score(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct process *process = proc_process(ctx);
    const struct mm *mm = mm_self();
    int64_t score = (int64_t)(mm->committed_pages * 1000 / MAX(mm->limit_pages, (uint64_t)1));

    if (!process)
        return -ESRCH;
    score += process->oom_score_adj;
    /* As Linux scales it: 666 is an average. */
    seq_printf(seq, "%ld\n", (long)(MAX(score, (int64_t)0) * 2 / 3 + 666 * (score >= 0)));
    return 0;
}

static int show_id_map(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "%10u %10u %10u\n", 0u, 0u, 4294967295u);
    return 0;
}

static int show_personality(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process;
    int r = proc_inspect(ctx, &process);

    if (r < 0)
        return r;
    seq_printf(seq, "%08x\n", process->personality);
    return 0;
}

static int show_sessionid(struct seq *seq, const struct pseudo_ctx *ctx)
{
    seq_printf(seq, "4294967295");
    return 0;
}

/* ---- the tables ---- */

#define OWNED(n, m, ...)                                                                                               \
    {                                                                                                                  \
        .name = n, .mode = m, .owned = true, __VA_ARGS__                                                               \
    }

#define TASK_ENTRIES                                                                                                   \
    OWNED("auxv", S_IFREG | 0400, .show = show_auxv), OWNED("cgroup", S_IFREG | 0444, .text = "0::/\n"),               \
        OWNED("cmdline", S_IFREG | 0444, .show = show_cmdline),                                                        \
        OWNED("comm", S_IFREG | 0644, .show = show_comm, .store = store_comm),                                         \
        OWNED("cwd", S_IFLNK | 0777, .link = link_cwd, .place = place_cwd),                                            \
        OWNED("environ", S_IFREG | 0400, .show = show_environ),                                                        \
        OWNED("exe", S_IFLNK | 0777, .link = link_exe, .place = place_exe),                                            \
        OWNED("fd", S_IFDIR | 0500, .numbered = &proc_fds),                                                            \
        OWNED("fdinfo", S_IFDIR | 0555, .numbered = &proc_fdinfos),                                                    \
        OWNED("gid_map", S_IFREG | 0644, .show = show_id_map), OWNED("io", S_IFREG | 0400, .show = show_io),           \
        OWNED("limits", S_IFREG | 0444, .show = show_limits),                                                          \
        OWNED("loginuid", S_IFREG | 0644, .show = show_sessionid),                                                     \
        OWNED("maps", S_IFREG | 0444, .show = proc_show_maps),                                                         \
        OWNED("mountinfo", S_IFREG | 0444, .show = proc_show_mountinfo),                                               \
        OWNED("mounts", S_IFREG | 0444, .show = proc_show_mounts),                                                     \
        OWNED("net", S_IFDIR | 0555, .children = proc_net_entries),                                                    \
        OWNED("ns", S_IFDIR | 0511, .children = ns_entries),                                                           \
        OWNED("oom_score", S_IFREG | 0444, .show = show_oom_score),                                                    \
        OWNED("oom_score_adj", S_IFREG | 0644, .show = show_oom_score_adj, .store = store_oom_score_adj),              \
        OWNED("personality", S_IFREG | 0400, .show = show_personality),                                                \
        OWNED("root", S_IFLNK | 0777, .link = link_root, .place = place_root),                                         \
        OWNED("sessionid", S_IFREG | 0444, .show = show_sessionid),                                                    \
        OWNED("setgroups", S_IFREG | 0644, .text = "allow\n"),                                                         \
        OWNED("smaps", S_IFREG | 0444, .show = proc_show_smaps),                                                       \
        OWNED("smaps_rollup", S_IFREG | 0444, .show = proc_show_smaps_rollup),                                         \
        OWNED("stat", S_IFREG | 0444, .show = proc_show_stat),                                                         \
        OWNED("statm", S_IFREG | 0444, .show = proc_show_statm),                                                       \
        OWNED("status", S_IFREG | 0444, .show = proc_show_status),                                                     \
        OWNED("uid_map", S_IFREG | 0644, .show = show_id_map), OWNED("wchan", S_IFREG | 0444, .text = "0")

static const struct pseudo_entry task_entries[] = {
    TASK_ENTRIES, OWNED("children", S_IFREG | 0444, .show = show_children), {0}};
static const struct pseudo_entry task_entry = {.mode = S_IFDIR | 0555, .owned = true, .children = task_entries};

static bool next_task(const struct pseudo_ctx *dir, uint64_t *number)
{
    struct process *process = proc_process(dir);

    if (!process)
        return false;
    process_get(process);
    bool found = proc_next_thread(process, number);
    process_put(process);
    return found;
}

static void bind_task(struct pseudo_ctx *child, uint64_t number)
{
    child->tid = (int)number;
}

static const struct pseudo_numbered tasks = {.next = next_task, .bind = bind_task, .entry = &task_entry};

static const struct pseudo_entry process_entries[] = {
    TASK_ENTRIES, OWNED("task", S_IFDIR | 0555, .numbered = &tasks), {0}};
static const struct pseudo_entry process_entry = {.mode = S_IFDIR | 0555, .owned = true, .children = process_entries};

static bool next_process(const struct pseudo_ctx *dir, uint64_t *number)
{
    const struct process *process = process_next((int)*number - 1);

    if (*number > INT32_MAX || !process)
        return false;
    *number = (uint64_t)process->pid;
    return true;
}

/* /proc/TID is there, but not listed. */
static bool is_thread(const struct pseudo_ctx *dir, uint64_t number)
{
    return number <= INT32_MAX && process_of((int)number) != NULL;
}

static void bind_process(struct pseudo_ctx *child, uint64_t number)
{
    child->pid = (int)number;
}

const struct pseudo_numbered proc_processes = {
    .next = next_process, .hidden = is_thread, .bind = bind_process, .entry = &process_entry};

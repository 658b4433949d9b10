/*
 * The first process: what to run, as whom, where and with what environment, from the measured policy and from what it
 * leaves to the host. Runs once, in the boot task. A container that cannot start says why and exits as docker does:
 * 125 for what is refused, 126 for what cannot be executed, 127 for what is not there.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>

#include "abi/exec.h"
#include "kernel/arch/hostcall.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/boot/stats.h"
#include "kernel/fs/console.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/credentials.h"
#include "kernel/process/exec.h"
#include "kernel/process/limits.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/process/start.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define HOST_TEXT_MAX (64UL << 10)
#define HOST_ARGS_MAX (6UL << 20)

static noreturn_fn void no_memory(void)
{
    refuse(STATUS_REFUSED, "no kernel memory to start the container");
}

static void write_text(const char *path, const char *text, size_t size)
{
    int r = fs_write_text(path, text, size);
    if (r < 0)
        printk(LOG_WARNING, "cannot write %s: %d\n", path, r);
}

static char *host_text(const struct boot_blob *blob, size_t max, size_t *ret_size)
{
    char *text = boot_blob_copy(blob, max, ret_size);
    if (!text)
        refuse(STATUS_REFUSED, "what the host passed is larger than %lu bytes", max);
    return text;
}

/* Host names travel in a fixed field, and in /etc/hostname. */
static void set_hostname(void)
{
    size_t size;
    const char *name = policy()->hostname_offset ? policy_string_at(policy()->hostname_offset) : "cofre";
    char *host = NULL;
    if (policy_allows(POLICY_HOST_NAME) && boot_params()->hostname.size) {
        host = host_text(&boot_params()->hostname, sizeof container_hostname - 1, &size);
        for (char *p = host; *p; p++) {
            if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '/')
                refuse(STATUS_REFUSED, "the host's host name has characters that no host name has");
        }
        name = host;
    }
    string_copy(container_hostname, name, sizeof container_hostname);
    kfree(host);
}

static void write_host_files(void)
{
    char line[sizeof container_hostname + 1];
    size_t size;
    int n = snprintf(line, sizeof line, "%s\n", container_hostname);
    write_text("/etc/hostname", line, (size_t)n);
    if (policy_allows(POLICY_HOST_HOSTS) && boot_params()->hosts.size) {
        char *text = host_text(&boot_params()->hosts, HOST_TEXT_MAX, &size);
        write_text("/etc/hosts", text, size);
        kfree(text);
    } else {
        char hosts[256];
        n = snprintf(hosts, sizeof hosts,
                     "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t%s\n",
                     container_hostname);
        write_text("/etc/hosts", hosts, (size_t)n);
    }
    if (policy_allows(POLICY_HOST_RESOLV_CONF) && boot_params()->resolv_conf.size) {
        char *text = host_text(&boot_params()->resolv_conf, HOST_TEXT_MAX, &size);
        write_text("/etc/resolv.conf", text, size);
        kfree(text);
    }
}

static void must_add(struct exec *exec, struct exec_strings *strings, const char *string)
{
    int r = exec_add(exec, strings, string);
    if (r < 0)
        refuse(STATUS_REFUSED, "starting the container failed: %s", start_reason(r));
}

static void build_env(struct exec *exec, const char *home)
{
    char text[EXEC_TEXT_MAX];
    size_t size;
    char *host = host_text(&boot_params()->env, HOST_ARGS_MAX, &size);
    for (const char *p = host; p < host + size; p += strlen(p) + 1)
        if (!start_env_ok(p, text, sizeof text))
            refuse(STATUS_REFUSED, "%s", text);
    int r = start_build_env(exec, host, size, boot_params()->flags & BOOT_TTY, home);
    if (r < 0)
        refuse(STATUS_REFUSED, "starting the container failed: %s", start_reason(r));
    kfree(host);
}

static void build_args(struct exec *exec)
{
    size_t size;
    const char *string;
    char *host = host_text(&boot_params()->args, HOST_ARGS_MAX, &size);
    if (size && !policy_allows(POLICY_ARGS_ANY))
        refuse(STATUS_REFUSED, "the policy does not let the host choose arguments (command.args_from_host)");
    for (uint32_t i = 0; (string = policy_string(policy()->entrypoint, i)) != NULL; i++)
        must_add(exec, &exec->argv, string);
    for (const char *p = host; p < host + size; p += strlen(p) + 1)
        must_add(exec, &exec->argv, p);
    for (uint32_t i = 0; size == 0 && (string = policy_string(policy()->cmd, i)) != NULL; i++)
        must_add(exec, &exec->argv, string);
    kfree(host);
    if (exec->argv.count == 0)
        refuse(STATUS_REFUSED, "no command: the policy has neither entrypoint nor cmd, and the host gave none");
}

static void set_user(struct process *process, char home[256])
{
    char text[EXEC_TEXT_MAX];
    size_t size;
    char *host = host_text(&boot_params()->user, 256, &size);
    if (size && !policy_allows(POLICY_USER_ANY))
        refuse(STATUS_REFUSED, "the policy does not let the host choose the user (command.user_from_host)");
    if (!start_set_user(&process->credentials, host, home, text, sizeof text))
        refuse(STATUS_REFUSED, "%s", text);
    kfree(host);
}

/* Every directory on the way, as docker makes a working directory that the image lacks. */
static int make_directories(const char *path)
{
    char *copy = kstrdup(path);
    if (!copy)
        return -ENOMEM;
    int r = 0;
    for (char *p = copy + 1; r == 0 || r == -EEXIST; p++) {
        char at = *p;
        if (at != '/' && at != '\0')
            continue;
        *p = '\0';
        r = vfs_mkdir(AT_FDCWD_, copy, 0755);
        *p = at;
        if (at == '\0')
            break;
    }
    kfree(copy);
    return r == -EEXIST ? 0 : r;
}

static void make_workdir(char **ret_path)
{
    size_t size;
    char *host = host_text(&boot_params()->workdir, 4095, &size);
    if (size && !policy_allows(POLICY_WORKDIR_ANY))
        refuse(STATUS_REFUSED,
               "the policy does not let the host choose the working directory (command.workdir_from_host)");
    const char *path = size ? host : policy_string_at(policy()->workdir_offset);
    if (path[0] == '\0')
        path = "/";
    if (path[0] != '/')
        refuse(STATUS_REFUSED, "the working directory \"%.200s\" is not an absolute path", path);
    struct dentry *dentry;
    int r = vfs_lookup(AT_FDCWD_, path, LOOKUP_FOLLOW, &dentry);
    if (r == 0)
        dentry_put(dentry);
    else if (r == -ENOENT)
        r = make_directories(path);
    if (r < 0)
        refuse(STATUS_REFUSED, "making the working directory %.200s failed: %s", path, start_reason(r));
    *ret_path = kstrdup(path);
    if (!*ret_path)
        no_memory();
    kfree(host);
}

static void open_command(struct exec *exec)
{
    char text[EXEC_TEXT_MAX], command[257];
    string_copy(command, exec->argv.text, sizeof command); /* a script changes argv */
    int r = start_open(exec);
    if (r < 0) {
        int status = start_failure(command, r, text, sizeof text);
        refuse(status, "%s", text);
    }
}

static void process_setup(struct process *process)
{
    process_struct_init(process);
    int pid = tid_alloc();
    ASSERT(pid == 1);
    process_table_add(process, pid);
    process->pgid = pid;
    process->sid = pid;
    process->session_leader = true;
    process->unkillable = true;
    process->dumpable = 1;
    limits_init(process);
    credentials_init(&process->credentials, 0, 0);
    process->files = fd_table_new();
    process->fs = fs_context_new();
    if (!process->files || !process->fs)
        no_memory();
}

/* The first thread, ready to run *frame. */
static void start_thread(struct process *process, const struct trap_frame *frame, const char *comm)
{
    struct task *task = task_new(process, frame, false);
    if (!task)
        no_memory();
    task->tid = process->pid;
    task->timer_slack_ns = START_TIMER_SLACK_NS;
    task->signals.altstack_flags = SS_DISABLE;
    pending_signals_init(&task->signals.pending);
    string_copy(task->comm, comm, sizeof task->comm);
    thread_add(process, task);
    task_start(task);
}

void process_init(void)
{
    struct process *process = process_first();
    struct exec *exec = kmalloc(sizeof *exec);
    char home[256], *workdir;
    if (!exec)
        no_memory();
    process_setup(process);
    exec_init(exec);

    /* Files first, as root; then everything as the user. */
    set_hostname();
    write_host_files();
    fs_init_done();
    make_workdir(&workdir);
    if (console_open_std() < 0)
        no_memory();
    set_user(process, home);
    build_env(exec, home);
    build_args(exec);
    process->fs->umask = policy()->umask ? policy()->umask : 022;
    int r = fs_chdir(workdir);
    if (r < 0)
        refuse(STATUS_NOT_EXECUTABLE, "changing to the working directory %.200s failed: %s", workdir, start_reason(r));
    kfree(workdir);

    open_command(exec);
    struct trap_frame frame;
    r = exec_commit(exec, &frame);
    if (r < 0)
        refuse(STATUS_NOT_EXECUTABLE, "starting %.256s failed: %s", exec->argv.text, start_reason(r));
    stats_program_starts();
    start_thread(process, &frame, task_current()->comm);
    exec_free(exec);
    kfree(exec);
}

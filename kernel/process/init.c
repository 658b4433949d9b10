/*
 * The first process: what to run, as whom, where and with what environment, from the measured policy and from what it
 * leaves to the host. Runs once, in the boot task. A container that cannot start says why and exits as docker does:
 * 125 for what is refused, 126 for what cannot be executed, 127 for what is not there.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>

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
#include "kernel/process/table.h"
#include "kernel/process/userdb.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define HOST_TEXT_MAX (64UL << 10)
#define HOST_ARGS_MAX (6UL << 20)
#define USER_FILE_MAX (1UL << 20)
#define TIMER_SLACK_NS 50000

static noreturn_fn void no_memory(void)
{
    refuse(STATUS_REFUSED, "no kernel memory to start the container");
}

static const char *reason(int error)
{
    switch (error) {
    case -ENOENT:
        return "no such file or directory";
    case -EACCES:
        return "permission denied";
    case -ENOEXEC:
        return "exec format error";
    case -ENOTDIR:
        return "not a directory";
    case -ELOOP:
        return "too many levels of symbolic links";
    case -E2BIG:
        return "argument list too long";
    case -ENOMEM:
        return "out of memory";
    case -ELIBBAD:
        return "accessing a corrupted shared library";
    case -EIO:
        return "input/output error";
    default:
        return "failed";
    }
}

/* Whole text of a small file of the image; "" if it is not there. kmalloc'd. */
static char *read_text(const char *path, size_t max)
{
    struct file *file;
    size_t size = 0;
    char *text = NULL;
    if (vfs_open(AT_FDCWD_, path, O_RDONLY, 0, &file) == 0) {
        size = (size_t)MAX(file->inode->size, 0);
        text = size <= max ? kzalloc(size + 1) : NULL;
        ssize_t n = text ? vfs_read_kernel(file, text, size, 0) : 0;
        if (text)
            text[MAX(n, 0)] = '\0';
        file_put(file);
    }
    text = text ? text : kstrdup("");
    if (!text)
        no_memory();
    return text;
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

/* Does the policy let the host set this NAME=VALUE? Entries are names, or prefixes that end in '*'. */
static bool env_allowed(const char *entry)
{
    const char *name;
    size_t name_size = (size_t)(strchr(entry, '=') - entry);
    for (uint32_t i = 0; (name = policy_string(policy()->env_allow, i)) != NULL; i++) {
        size_t size = strlen(name);
        if (size > 0 && name[size - 1] == '*' ? size - 1 <= name_size && strncmp(name, entry, size - 1) == 0
                                              : size == name_size && strncmp(name, entry, size) == 0)
            return true;
    }
    return false;
}

static void check_host_env(const char *env, size_t size)
{
    for (const char *p = env; p < env + size; p += strlen(p) + 1) {
        const char *equals = strchr(p, '=');
        if (!equals || equals == p)
            refuse(STATUS_REFUSED, "environment from the host: \"%.64s\" is not NAME=VALUE", p);
        if (!env_allowed(p))
            refuse(STATUS_REFUSED, "the policy does not let the host set environment variable %.*s (env.allow)",
                   (int)MIN(equals - p, 128), p);
    }
}

/* The value that NAME=VALUE strings back to back give to name, or NULL. The last one counts. */
static const char *env_find(const char *text, size_t size, const char *name)
{
    const char *found = NULL;
    size_t name_size = strlen(name);
    for (const char *p = text; p < text + size; p += strlen(p) + 1) {
        if (strncmp(p, name, name_size) == 0 && p[name_size] == '=')
            found = p + name_size + 1;
    }
    return found;
}

static void must_add(struct exec *exec, struct exec_strings *strings, const char *string)
{
    int r = exec_add(exec, strings, string);
    if (r < 0)
        refuse(STATUS_REFUSED, "starting the container failed: %s", reason(r));
}

static void add_default_env(struct exec *exec, const char *name, const char *value)
{
    char entry[320];
    if (env_find(exec->envp.text, exec->envp.size, name))
        return;
    snprintf(entry, sizeof entry, "%s=%s", name, value);
    must_add(exec, &exec->envp, entry);
}

/* Policy first, then the host's where they do not name the same; then what docker always sets. */
static void build_env(struct exec *exec, const char *home)
{
    size_t size;
    char *host = host_text(&boot_params()->env, HOST_ARGS_MAX, &size);
    check_host_env(host, size);
    const char *entry;
    for (uint32_t i = 0; (entry = policy_string(policy()->env, i)) != NULL; i++) {
        char name[256];
        const char *equals = strchr(entry, '=');
        size_t length = equals ? MIN((size_t)(equals - entry), sizeof name - 1) : 0;
        memcpy(name, entry, length);
        name[length] = '\0';
        if (!length || !env_find(host, size, name))
            must_add(exec, &exec->envp, entry);
    }
    for (const char *p = host; p < host + size; p += strlen(p) + 1)
        must_add(exec, &exec->envp, p);
    kfree(host);
    add_default_env(exec, "PATH", PATH_DEFAULT);
    add_default_env(exec, "HOSTNAME", container_hostname);
    if (boot_params()->flags & BOOT_TTY)
        add_default_env(exec, "TERM", "xterm");
    add_default_env(exec, "HOME", home);
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

static void set_groups(struct credentials *c, const struct user_entry *user)
{
    const char *string;
    for (size_t i = 0; i < user->group_count; i++)
        c->groups[c->group_count++] = user->groups[i];
    for (uint32_t i = 0; (string = policy_string(policy()->groups, i)) != NULL; i++) {
        uint64_t gid;
        if (string_to_u64(string, UINT32_MAX - 1, &gid) && c->group_count < NGROUPS_MAX_COFRE &&
            !credentials_in_group(c, (uint32_t)gid))
            c->groups[c->group_count++] = (uint32_t)gid;
    }
}

static void set_user(struct process *process, char home[256])
{
    struct user_entry *user = kzalloc(sizeof *user);
    char numbers[32];
    size_t size;
    char *host = host_text(&boot_params()->user, 256, &size);
    if (!user)
        no_memory();
    if (size && !policy_allows(POLICY_USER_ANY))
        refuse(STATUS_REFUSED, "the policy does not let the host choose the user (command.user_from_host)");
    const char *spec = size                         ? host
                       : policy()->user_name_offset ? policy_string_at(policy()->user_name_offset)
                                                    : numbers;
    snprintf(numbers, sizeof numbers, "%u:%u", policy()->uid, policy()->gid);
    char *passwd = read_text("/etc/passwd", USER_FILE_MAX), *group = read_text("/etc/group", USER_FILE_MAX);
    if (user_resolve(spec, passwd, group, user) < 0)
        refuse(STATUS_REFUSED, "unable to find user %.128s: no matching entries in /etc/passwd or /etc/group", spec);
    credentials_init(&process->credentials, user->uid, user->gid);
    set_groups(&process->credentials, user);
    string_copy(home, user->home, 256);
    kfree(passwd);
    kfree(group);
    kfree(host);
    kfree(user);
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
        refuse(STATUS_REFUSED, "making the working directory %.200s failed: %s", path, reason(r));
    *ret_path = kstrdup(path);
    if (!*ret_path)
        no_memory();
    kfree(host);
}

static int try_exec(struct exec *exec, const char *path)
{
    kfree(exec->name);
    exec->name = kstrdup(path);
    if (!exec->name)
        no_memory();
    return exec_open(exec, AT_FDCWD_, path, LOOKUP_FOLLOW);
}

/* A directory of PATH has it: 0; -ENOENT if none has; -EACCES if what was found cannot be run. */
static int search_path(struct exec *exec, const char *command)
{
    const char *path = env_find(exec->envp.text, exec->envp.size, "PATH");
    int result = -ENOENT;
    char *full = page_alloc();
    if (!full)
        no_memory();
    while (path && result != 0) {
        const char *colon = strchr(path, ':');
        int size = (int)(colon ? (size_t)(colon - path) : strlen(path));
        if (snprintf(full, PAGE_SIZE, "%.*s/%s", size, size ? path : ".", command) < (int)PAGE_SIZE) {
            int r = try_exec(exec, full);
            if (r != -ENOENT && r != -ENOTDIR)
                result = r;
            if (r != -ENOENT && r != -ENOTDIR && r != -EACCES)
                break;
        }
        path = colon ? colon + 1 : NULL;
    }
    page_free(full);
    return result;
}

static void open_command(struct exec *exec)
{
    char *command = kstrdup(exec->argv.text);
    if (!command)
        no_memory();
    int r;
    if (command[0] == '\0')
        r = -ENOENT;
    else if (strchr(command, '/'))
        r = try_exec(exec, command);
    else
        r = search_path(exec, command);
    if (r < 0) {
        bool missing = r == -ENOENT || r == -ENOTDIR;
        bool in_path = missing && !strchr(command, '/');
        refuse(missing ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE, "starting %.256s failed: %s", command,
               in_path ? "executable file not found in $PATH" : reason(r));
    }
    kfree(command);
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
    task->timer_slack_ns = TIMER_SLACK_NS;
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
        refuse(STATUS_NOT_EXECUTABLE, "changing to the working directory %.200s failed: %s", workdir, reason(r));
    kfree(workdir);

    open_command(exec);
    struct trap_frame frame;
    r = exec_commit(exec, &frame);
    if (r < 0)
        refuse(STATUS_NOT_EXECUTABLE, "starting %.256s failed: %s", exec->argv.text, reason(r));
    stats_program_starts();
    start_thread(process, &frame, task_current()->comm);
    exec_free(exec);
    kfree(exec);
}

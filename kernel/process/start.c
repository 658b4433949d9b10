/* Programs that no other program started (contract in start.h). */
#include "kernel/process/start.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/credentials.h"
#include "kernel/process/exec.h"
#include "kernel/process/process.h"
#include "kernel/process/userdb.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define USER_FILE_MAX (1UL << 20)

const char *start_reason(int error)
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
    case -EAGAIN:
        return "no more processes";
    case -ENOSYS:
        return "this host cannot start processes";
    case -ELIBBAD:
        return "accessing a corrupted shared library";
    case -EIO:
        return "input/output error";
    default:
        return "failed";
    }
}

/* ---- environment ---- */

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

static int add_default_env(struct exec *exec, const char *name, const char *value)
{
    char entry[320];
    if (env_find(exec->envp.text, exec->envp.size, name))
        return 0;
    snprintf(entry, sizeof entry, "%s=%s", name, value);
    return exec_add(exec, &exec->envp, entry);
}

int start_build_env(struct exec *exec, const char *host, size_t size, bool terminal, const char *home)
{
    const char *entry;
    int r = 0;
    for (uint32_t i = 0; r == 0 && (entry = policy_string(policy()->env, i)) != NULL; i++) {
        char name[256];
        const char *equals = strchr(entry, '=');
        size_t length = equals ? MIN((size_t)(equals - entry), sizeof name - 1) : 0;
        memcpy(name, entry, length);
        name[length] = '\0';
        if (!length || !env_find(host, size, name))
            r = exec_add(exec, &exec->envp, entry);
    }
    for (const char *p = host; r == 0 && p < host + size; p += strlen(p) + 1)
        r = exec_add(exec, &exec->envp, p);
    if (r == 0)
        r = add_default_env(exec, "PATH", PATH_DEFAULT);
    if (r == 0)
        r = add_default_env(exec, "HOSTNAME", container_hostname);
    if (r == 0 && terminal)
        r = add_default_env(exec, "TERM", "xterm");
    return r < 0 ? r : add_default_env(exec, "HOME", home);
}

/* ---- user ---- */

/* Whole text of a small file of the image; "" if it is not there. kmalloc'd; NULL: no memory. */
static char *read_text(const char *path, size_t max)
{
    struct file *file;
    char *text = NULL;
    if (vfs_open(AT_FDCWD_, path, O_RDONLY, 0, &file) == 0) {
        size_t size = (size_t)MAX(file->inode->size, 0);
        text = size <= max ? kzalloc(size + 1) : NULL;
        ssize_t n = text ? vfs_read_kernel(file, text, size, 0) : 0;
        if (text)
            text[MAX(n, 0)] = '\0';
        file_put(file);
    }
    return text ? text : kstrdup("");
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

bool start_set_user(struct credentials *credentials, const char *spec, char home[256], char *text, size_t size)
{
    struct user_entry *user = kzalloc(sizeof *user);
    char *passwd = read_text("/etc/passwd", USER_FILE_MAX), *group = read_text("/etc/group", USER_FILE_MAX);
    char numbers[32];
    bool ok = user && passwd && group;
    snprintf(numbers, sizeof numbers, "%u:%u", policy()->uid, policy()->gid);
    if (!spec[0])
        spec = policy()->user_name_offset ? policy_string_at(policy()->user_name_offset) : numbers;
    if (!ok) {
        snprintf(text, size, "no kernel memory to look up the user");
    } else if (user_resolve(spec, passwd, group, user) < 0) {
        ok = false;
        snprintf(text, size, "unable to find user %.128s: no matching entries in /etc/passwd or /etc/group", spec);
    } else {
        credentials_init(credentials, user->uid, user->gid);
        set_groups(credentials, user);
        string_copy(home, user->home, 256);
    }
    kfree(passwd);
    kfree(group);
    kfree(user);
    return ok;
}

/* ---- program ---- */

static int try_exec(struct exec *exec, const char *path)
{
    kfree(exec->name);
    exec->name = kstrdup(path);
    return exec->name ? exec_open(exec, AT_FDCWD_, path, LOOKUP_FOLLOW) : -ENOMEM;
}

/* A directory of PATH has it: 0; -ENOENT if none has; -EACCES if what was found cannot be run. */
static int search_path(struct exec *exec, const char *command)
{
    const char *path = env_find(exec->envp.text, exec->envp.size, "PATH");
    int result = -ENOENT;
    char *full = page_alloc();
    if (!full)
        return -ENOMEM;
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

int start_open(struct exec *exec)
{
    char *command = kstrdup(exec->argv.text); /* a script changes argv */
    int r;
    if (!command)
        return -ENOMEM;
    if (command[0] == '\0')
        r = -ENOENT;
    else
        r = strchr(command, '/') ? try_exec(exec, command) : search_path(exec, command);
    kfree(command);
    return r;
}

int start_failure(const char *command, int error, char *text, size_t size)
{
    bool missing = error == -ENOENT || error == -ENOTDIR;
    snprintf(text, size, "starting %.256s failed: %s", command,
             missing && !strchr(command, '/') ? "executable file not found in $PATH" : start_reason(error));
    return missing ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

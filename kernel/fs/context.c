/* Where a process stands: root, working directory, umask. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/internal.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

static struct fs_context boot_context = {.refcount = 1, .umask = 022};

struct fs_context *fs_current(void)
{
    struct process *process = process_self();
    if (process && process->fs)
        return process->fs;
    if (!boot_context.root && !TAILQ_EMPTY(&mounts)) {
        boot_context.root = dentry_get(TAILQ_FIRST(&mounts)->root);
        boot_context.cwd = dentry_get(boot_context.root);
    }
    return &boot_context;
}

struct fs_context *fs_context_new(void)
{
    struct dentry *root = TAILQ_FIRST(&mounts)->root;
    struct fs_context global = {.root = root, .cwd = root, .umask = 022};
    return fs_context_copy(&global);
}

struct fs_context *fs_context_get(struct fs_context *fs)
{
    fs->refcount++;
    return fs;
}

void fs_context_put(struct fs_context *fs)
{
    if (!fs || --fs->refcount > 0)
        return;
    dentry_put(fs->root);
    dentry_put(fs->cwd);
    kfree(fs);
}

struct fs_context *fs_context_copy(const struct fs_context *from)
{
    struct fs_context *fs = kmalloc(sizeof(*fs));
    if (!fs)
        return NULL;
    fs->refcount = 1;
    fs->umask = from->umask;
    fs->root = dentry_get(from->root);
    fs->cwd = dentry_get(from->cwd);
    return fs;
}

int fs_unshare(void)
{
    struct process *process = process_self();
    struct fs_context *fs = process->fs, *copy;
    if (fs->refcount == 1)
        return 0;
    copy = fs_context_copy(fs);
    if (!copy)
        return -ENOMEM;
    process->fs = copy;
    fs_context_put(fs);
    return 0;
}

static void replace(struct dentry **place, struct dentry *dentry)
{
    dentry_put(*place);
    *place = dentry;
}

int fs_chdir(const char *path)
{
    struct dentry *dentry;
    int error = vfs_lookup(AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dentry);
    if (error)
        return error;
    error = inode_permission(dentry->inode, 1);
    if (error)
        dentry_put(dentry);
    else
        replace(&fs_current()->cwd, dentry);
    return error;
}

SYSCALL_DEFINE1(chdir, uaddr_t, path_addr)
{
    char *path;
    int error = path_from_user(path_addr, false, &path);
    if (error)
        return error;
    error = fs_chdir(path);
    kfree(path);
    return error;
}

SYSCALL_DEFINE1(fchdir, int, fd)
{
    struct file *file = fd_get_any(fd);
    if (!file)
        return -EBADF;
    int error = -ENOTDIR;
    if (file->dentry && S_ISDIR(file->inode->mode))
        error = inode_permission(file->inode, 1);
    if (!error)
        replace(&fs_current()->cwd, dentry_get(file->dentry));
    file_put(file);
    return error;
}

SYSCALL_DEFINE1(chroot, uaddr_t, path_addr)
{
    struct dentry *dentry;
    int error = user_path_lookup(AT_FDCWD, path_addr, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dentry);
    if (error)
        return error;
    error = inode_permission(dentry->inode, 1);
    if (!error && !fs_capable(CAP_SYS_CHROOT))
        error = -EPERM;
    if (error)
        dentry_put(dentry);
    else
        replace(&fs_current()->root, dentry);
    return error;
}

SYSCALL_DEFINE2(getcwd, uaddr_t, buf, size_t, size)
{
    struct fs_context *fs = fs_current();
    char *page = page_alloc();
    if (!page)
        return -ENOMEM;
    int64_t result = -ENOENT;
    bool reachable = true;
    char *path = NULL;
    if (fs->cwd->deleted)
        goto out;
    path = dentry_path_from(fs->root, fs->cwd, page + 16, PAGE_SIZE - 16, &reachable);
    result = -ENAMETOOLONG;
    if (!path)
        goto out;
    if (!reachable) {
        path -= 13;
        memcpy(path, "(unreachable)", 13);
    }
    size_t length = strlen(path) + 1;
    result = -ERANGE;
    if (length <= size)
        result = copy_to_user(buf, path, length) < 0 ? -EFAULT : (int64_t)length;
out:
    page_free(page);
    return result;
}

SYSCALL_DEFINE1(umask, uint32_t, mask)
{
    uint32_t old = fs_current()->umask;
    fs_current()->umask = mask & 0777;
    return old;
}

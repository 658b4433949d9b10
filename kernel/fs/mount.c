/* Mounted file systems, and the system calls about them. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/mount.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/internal.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

struct mount_list mounts = TAILQ_HEAD_INITIALIZER(mounts);

#define MOUNT_FLAGS (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME)

struct dentry *dentry_root_of(struct super_block *sb)
{
    return sb->mount ? sb->mount->root : NULL;
}

int vfs_mount(const char *path, struct super_block *sb, unsigned flags)
{
    static int last_id = 20;
    struct dentry *point = NULL;
    int error;
    if (!TAILQ_EMPTY(&mounts)) {
        error = vfs_lookup(AT_FDCWD_, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &point);
        if (error)
            return error;
    }
    error = -ENOMEM;
    struct mount *mount = kzalloc(sizeof(*mount));
    if (!mount)
        goto put_point;
    mount->path = kstrdup(path);
    mount->root = dentry_new_root(sb);
    if (!mount->path || !mount->root)
        goto free_mount;
    mount->id = ++last_id;
    mount->parent_id = point ? point->sb->mount->id : 1;
    mount->sb = sb;
    mount->point = point;
    mount->flags = flags & MOUNT_FLAGS;
    sb->flags |= mount->flags;
    sb->mount = mount;
    if (point)
        point->mounted = mount;
    TAILQ_INSERT_TAIL(&mounts, mount, link);
    return 0;

free_mount:
    if (mount->root)
        dentry_put(mount->root);
    kfree((char *)mount->path);
    kfree(mount);
put_point:
    if (point)
        dentry_put(point);
    return error;
}

static void super_statfs(struct super_block *sb, struct statfs *ret)
{
    *ret = (struct statfs){
        .f_type = sb->magic,
        .f_bsize = PAGE_SIZE,
        .f_frsize = PAGE_SIZE,
        .f_namelen = 255,
        .f_fsid = {.val = {sb->dev, 0}},
        .f_flags = 0x20 /* ST_VALID */,
    };
    /* ST_* and MS_* agree in these. */
    ret->f_flags |= sb->flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
    if (sb->flags & MS_NOATIME)
        ret->f_flags |= 0x400;
    else
        ret->f_flags |= 0x1000; /* ST_RELATIME */
    if (sb->statfs)
        sb->statfs(sb, ret);
}

SYSCALL_DEFINE2(statfs, uaddr_t, path_addr, uaddr_t, buf)
{
    char *path;
    struct dentry *dentry;
    struct statfs stat;
    int error = path_from_user(path_addr, false, &path);
    if (error)
        return error;
    error = vfs_lookup(AT_FDCWD_, path, LOOKUP_FOLLOW, &dentry);
    kfree(path);
    if (error)
        return error;
    super_statfs(dentry->inode->sb, &stat);
    dentry_put(dentry);
    return copy_to_user(buf, &stat, sizeof(stat));
}

SYSCALL_DEFINE2(fstatfs, int, fd, uaddr_t, buf)
{
    struct statfs stat;
    struct file *file = fd_get_any(fd);
    if (!file)
        return -EBADF;
    super_statfs(file->inode->sb, &stat);
    file_put(file);
    return copy_to_user(buf, &stat, sizeof(stat));
}

/* struct ustat of <sys/ustat.h>: no UAPI header has it. */
struct ustat_linux {
    int32_t tfree;
    uint64_t tinode;
    char fname[6], fpack[6];
};

SYSCALL_DEFINE2(ustat, uint32_t, dev, uaddr_t, buf)
{
    struct mount *mount;
    TAILQ_FOREACH (mount, &mounts, link) {
        if (mount->sb->dev != dev)
            continue;
        struct statfs stat;
        super_statfs(mount->sb, &stat);
        struct ustat_linux ustat;
        memset(&ustat, 0, sizeof(ustat));
        ustat.tfree = stat.f_bfree;
        ustat.tinode = stat.f_ffree;
        return copy_to_user(buf, &ustat, sizeof(ustat));
    }
    return -EINVAL;
}

/*
 * Changing mounts needs CAP_SYS_ADMIN in a namespace that nobody in a container has: the answer is EPERM, as in any
 * unprivileged container.
 */
SYSCALL_DEFINE0(mount)
{
    return -EPERM;
}

SYSCALL_DEFINE0(umount2)
{
    return -EPERM;
}

SYSCALL_DEFINE0(pivot_root)
{
    return -EPERM;
}

SYSCALL_DEFINE0(swapon)
{
    return -EPERM;
}

SYSCALL_DEFINE0(swapoff)
{
    return -EPERM;
}

SYSCALL_DEFINE0(name_to_handle_at)
{
    return -EOPNOTSUPP;
}

SYSCALL_DEFINE0(open_by_handle_at)
{
    return -EPERM;
}

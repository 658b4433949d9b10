/* Making and removing names: mkdir, mknod, symlink, link, unlink, rmdir, rename. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/inotify.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/internal.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/syscalls/syscall.h"

int dir_may_create(struct dentry *dir)
{
    if (dir->deleted)
        return -ENOENT;
    int error = super_writable(dir->sb);
    return error ? error : inode_permission(dir->inode, 3);
}

int dir_may_delete(struct dentry *dir, struct inode *victim, bool want_dir)
{
    int error = inode_permission(dir->inode, 3);
    if (error)
        return error;
    const struct credentials *c = fs_credentials();
    if ((dir->inode->mode & S_ISVTX) && c->fsuid != victim->uid && c->fsuid != dir->inode->uid &&
        !fs_capable(CAP_FOWNER))
        return -EPERM;
    if (want_dir && !S_ISDIR(victim->mode))
        return -ENOTDIR;
    if (!want_dir && S_ISDIR(victim->mode))
        return -EISDIR;
    return 0;
}

/*
 * Walks to the last component, which must be a name that does not exist. On success *ret_dentry is its negative dentry
 * and walk->at its directory; the caller puts the one and ends the walk. wants_dir: "name/" is fine.
 */
static int begin_create(struct walk *walk, int dfd, const char *path, bool wants_dir, struct dentry **ret_dentry)
{
    int error = walk_begin(walk, dfd, path, 0);
    if (!error)
        error = walk_to_parent(walk);
    if (error)
        return error;
    if (walk->last != LAST_NAME)
        return -EEXIST;
    walk_lock(walk);
    struct dentry *d;
    error = walk_last(walk, &d);
    if (error)
        return error;
    if (d->inode)
        error = -EEXIST;
    else if (walk->trailing_slash && !wants_dir)
        error = -ENOENT;
    else
        error = dir_may_create(walk->at);
    if (error)
        dentry_put(d);
    else
        *ret_dentry = d;
    return error;
}

static void created(struct walk *walk, struct dentry *dentry, struct inode *inode, uint32_t extra)
{
    dentry_instantiate(dentry, inode);
    notify(walk->at->inode, IN_CREATE | extra, dentry->name, inode, 0);
}

int vfs_mkdir(int dfd, const char *path, uint32_t mode)
{
    struct walk walk;
    struct dentry *d;
    struct inode *inode;
    int error = begin_create(&walk, dfd, path, true, &d);
    if (!error) {
        const struct inode_ops *ops = walk.at->inode->ops;
        error = ops->mkdir ? ops->mkdir(walk.at->inode, d->name, S_IFDIR | (mode & 01777), &inode) : -EPERM;
        if (!error)
            created(&walk, d, inode, IN_ISDIR);
        dentry_put(d);
    }
    walk_end(&walk);
    return error;
}

int vfs_mknod(int dfd, const char *path, uint32_t mode, uint64_t rdev, struct dentry **ret_dentry)
{
    struct walk walk;
    struct dentry *d;
    struct inode *inode;
    int error = begin_create(&walk, dfd, path, false, &d);
    if (!error) {
        const struct inode_ops *ops = walk.at->inode->ops;
        if ((S_ISCHR(mode) || S_ISBLK(mode)) && !fs_capable(CAP_MKNOD))
            error = -EPERM;
        else
            error = ops->create ? ops->create(walk.at->inode, d->name, mode, rdev, &inode) : -EPERM;
        if (!error) {
            created(&walk, d, inode, 0);
            if (ret_dentry)
                *ret_dentry = dentry_get(d);
        }
        dentry_put(d);
    }
    walk_end(&walk);
    return error;
}

int vfs_symlink(const char *target, int dfd, const char *path)
{
    struct walk walk;
    struct dentry *d;
    struct inode *inode;
    int error = begin_create(&walk, dfd, path, false, &d);
    if (!error) {
        const struct inode_ops *ops = walk.at->inode->ops;
        error = ops->symlink ? ops->symlink(walk.at->inode, d->name, target, &inode) : -EPERM;
        if (!error)
            created(&walk, d, inode, 0);
        dentry_put(d);
    }
    walk_end(&walk);
    return error;
}

static int link_to(struct dentry *source, int dfd, const char *path)
{
    struct walk walk;
    struct dentry *d;
    int error = begin_create(&walk, dfd, path, false, &d);
    if (!error) {
        struct inode *dir = walk.at->inode, *inode = source->inode;
        if (source->sb != walk.at->sb)
            error = -EXDEV;
        else if (S_ISDIR(inode->mode))
            error = -EPERM;
        else if (inode->nlink == 0 && !inode->linkable)
            error = -ENOENT;
        else
            error = dir->ops->link ? dir->ops->link(dir, d->name, inode) : -EPERM;
        if (!error) {
            notify(inode, IN_ATTRIB, NULL, NULL, 0);
            created(&walk, d, inode_get(inode), 0);
        }
        dentry_put(d);
    }
    walk_end(&walk);
    return error;
}

/* Walks to an existing name that is to go; as begin_create otherwise. */
static int begin_remove(struct walk *walk, int dfd, const char *path, struct dentry **ret_dentry)
{
    int error = walk_begin(walk, dfd, path, 0);
    if (!error)
        error = walk_to_parent(walk);
    if (error || walk->last != LAST_NAME)
        return error;
    walk_lock(walk);
    error = walk_last(walk, ret_dentry);
    if (!error && !(*ret_dentry)->inode) {
        dentry_put(*ret_dentry);
        error = -ENOENT;
    }
    return error;
}

static int remove_checked(struct walk *walk, struct dentry *d, bool want_dir)
{
    struct inode *dir = walk->at->inode, *victim = d->inode;
    if (d->parent != walk->at || d->mounted)
        return -EBUSY; /* something is mounted there */
    int error = dir_may_delete(walk->at, victim, want_dir);
    if (error)
        return error;
    if (want_dir)
        error = dir->ops->rmdir ? dir->ops->rmdir(dir, d->name, victim) : -EPERM;
    else
        error = dir->ops->unlink ? dir->ops->unlink(dir, d->name, victim) : -EPERM;
    if (error)
        return error;
    dentry_delete(d);
    if (!want_dir && victim->watches)
        notify(victim, IN_ATTRIB, NULL, NULL, 0);
    notify(dir, IN_DELETE | (want_dir ? IN_ISDIR : 0), d->name, victim, 0);
    if (victim->watches && victim->nlink == 0)
        notify(victim, IN_DELETE_SELF, NULL, NULL, 0);
    return 0;
}

int vfs_unlink(int dfd, const char *path)
{
    struct walk walk;
    struct dentry *d;
    int error = begin_remove(&walk, dfd, path, &d);
    if (!error && walk.last != LAST_NAME) {
        error = -EISDIR;
    } else if (!error) {
        if (walk.trailing_slash)
            error = S_ISDIR(d->inode->mode) ? -EISDIR : -ENOTDIR;
        else
            error = remove_checked(&walk, d, false);
        dentry_put(d);
    }
    walk_end(&walk);
    return error;
}

static int vfs_rmdir(int dfd, const char *path)
{
    struct walk walk;
    struct dentry *d;
    int error = begin_remove(&walk, dfd, path, &d);
    if (!error && walk.last != LAST_NAME) {
        error = walk.last == LAST_DOT ? -EINVAL : walk.last == LAST_DOTDOT ? -ENOTEMPTY : -EBUSY;
    } else if (!error) {
        error = remove_checked(&walk, d, true);
        dentry_put(d);
    }
    walk_end(&walk);
    return error;
}

static int rename_check(struct walk *from, struct dentry *source, struct walk *to, struct dentry *target,
                        unsigned flags)
{
    bool exchange = flags & RENAME_EXCHANGE;
    bool is_dir = S_ISDIR(source->inode->mode);
    if (from->at->sb != to->at->sb)
        return -EXDEV;
    if (source->parent != from->at || source->mounted || (target->inode && target->parent != to->at) || target->mounted)
        return -EBUSY;
    if (target->inode && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (!target->inode && exchange)
        return -ENOENT;
    if (!is_dir && (from->trailing_slash || (!exchange && to->trailing_slash)))
        return -ENOTDIR;
    if (exchange && to->trailing_slash && !S_ISDIR(target->inode->mode))
        return -ENOTDIR;
    if (dentry_is_ancestor(source, to->at))
        return -EINVAL;
    if (target->inode && dentry_is_ancestor(target, from->at))
        return exchange ? -EINVAL : -ENOTEMPTY;
    int error = dir_may_delete(from->at, source->inode, is_dir);
    if (error)
        return error;
    if (!target->inode)
        error = dir_may_create(to->at);
    else
        error = dir_may_delete(to->at, target->inode, exchange ? S_ISDIR(target->inode->mode) : is_dir);
    if (!error && is_dir && from->at != to->at)
        error = inode_permission(source->inode, 2); /* its ".." changes */
    return error;
}

static void rename_notify(struct walk *from, struct walk *to, const char *old_name, struct dentry *moved,
                          struct inode *replaced)
{
    uint32_t dir_bit = S_ISDIR(moved->inode->mode) ? IN_ISDIR : 0;
    uint32_t cookie = 0;
    if (from->at->inode->watches || to->at->inode->watches)
        cookie = random_u64() | 1;
    notify(from->at->inode, IN_MOVED_FROM | dir_bit, old_name, moved->inode, cookie);
    notify(to->at->inode, IN_MOVED_TO | dir_bit, moved->name, moved->inode, cookie);
    if (moved->inode->watches)
        notify(moved->inode, IN_MOVE_SELF, NULL, NULL, 0);
    if (replaced && !S_ISDIR(replaced->mode))
        notify(replaced, IN_ATTRIB, NULL, NULL, 0);
    if (replaced && replaced->nlink == 0)
        notify(replaced, IN_DELETE_SELF, NULL, NULL, 0);
}

static int rename_last(struct walk *from, struct dentry *source, struct walk *to, struct dentry *target, unsigned flags)
{
    int error = rename_check(from, source, to, target, flags);
    if (error)
        return error;
    if (source->inode == target->inode)
        return 0; /* two links to one file: nothing happens */
    struct inode *old_dir = from->at->inode, *new_dir = to->at->inode;
    if (!old_dir->ops->rename)
        return -EPERM;
    char old_name[256];
    string_copy(old_name, source->name, sizeof(old_name));
    struct inode *replaced = target->inode;
    error = old_dir->ops->rename(old_dir, source->name, new_dir, target->name, flags);
    if (error)
        return error;
    dentry_move(source, target, flags & RENAME_EXCHANGE);
    rename_notify(from, to, old_name, source, flags & RENAME_EXCHANGE ? NULL : replaced);
    return 0;
}

static int vfs_rename(int old_dfd, const char *old_path, int new_dfd, const char *new_path, unsigned flags)
{
    struct walk from, to;
    struct dentry *source, *target;
    int error = walk_begin(&from, old_dfd, old_path, 0);
    if (!error)
        error = walk_to_parent(&from);
    if (error) {
        walk_end(&from);
        return error;
    }
    error = walk_begin(&to, new_dfd, new_path, 0);
    if (!error)
        error = walk_to_parent(&to);
    if (error)
        goto end;
    error = from.at->sb != to.at->sb ? -EXDEV : -EBUSY;
    if (error == -EXDEV || from.last != LAST_NAME)
        goto end;
    if (to.last != LAST_NAME) {
        error = flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
        goto end;
    }
    walk_lock(&from); /* both are on it */
    error = walk_last(&from, &source);
    if (error)
        goto end;
    error = source->inode ? walk_last(&to, &target) : -ENOENT;
    if (!error) {
        error = rename_last(&from, source, &to, target, flags);
        dentry_put(target);
    }
    dentry_put(source);
end:
    walk_end(&to);
    walk_end(&from);
    return error;
}

static int64_t do_mknod(int dfd, uaddr_t path_addr, uint32_t mode, uint64_t rdev)
{
    char *path;
    switch (mode & S_IFMT) {
    case 0:
        mode |= S_IFREG;
        break;
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    int error = path_from_user(path_addr, false, &path);
    if (error)
        return error;
    error = vfs_mknod(dfd, path, mode & ~fs_current()->umask, S_ISCHR(mode) || S_ISBLK(mode) ? rdev : 0, NULL);
    kfree(path);
    return error;
}

SYSCALL_DEFINE3(mknod, uaddr_t, path, uint32_t, mode, uint32_t, rdev)
{
    return do_mknod(AT_FDCWD, path, mode, rdev);
}

SYSCALL_DEFINE4(mknodat, int, dfd, uaddr_t, path, uint32_t, mode, uint32_t, rdev)
{
    return do_mknod(dfd, path, mode, rdev);
}

static int64_t do_mkdir(int dfd, uaddr_t path_addr, uint32_t mode)
{
    char *path;
    int error = path_from_user(path_addr, false, &path);
    if (error)
        return error;
    error = vfs_mkdir(dfd, path, mode & 01777 & ~fs_current()->umask);
    kfree(path);
    return error;
}

SYSCALL_DEFINE2(mkdir, uaddr_t, path, uint32_t, mode)
{
    return do_mkdir(AT_FDCWD, path, mode);
}

SYSCALL_DEFINE3(mkdirat, int, dfd, uaddr_t, path, uint32_t, mode)
{
    return do_mkdir(dfd, path, mode);
}

static int64_t do_symlink(uaddr_t target_addr, int dfd, uaddr_t path_addr)
{
    char *target, *path;
    int error = path_from_user(target_addr, false, &target);
    if (error)
        return error;
    error = path_from_user(path_addr, false, &path);
    if (!error) {
        error = vfs_symlink(target, dfd, path);
        kfree(path);
    }
    kfree(target);
    return error;
}

SYSCALL_DEFINE2(symlink, uaddr_t, target, uaddr_t, path)
{
    return do_symlink(target, AT_FDCWD, path);
}

SYSCALL_DEFINE3(symlinkat, uaddr_t, target, int, dfd, uaddr_t, path)
{
    return do_symlink(target, dfd, path);
}

static int64_t do_link(int old_dfd, uaddr_t old_addr, int new_dfd, uaddr_t new_addr, unsigned flags)
{
    char *path;
    struct dentry *source;
    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    unsigned lookup = (flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY_PATH : 0);
    int error = user_path_lookup(old_dfd, old_addr, lookup, &source);
    if (error)
        return error;
    error = path_from_user(new_addr, false, &path);
    if (!error) {
        error = link_to(source, new_dfd, path);
        kfree(path);
    }
    dentry_put(source);
    return error;
}

SYSCALL_DEFINE2(link, uaddr_t, old_path, uaddr_t, new_path)
{
    return do_link(AT_FDCWD, old_path, AT_FDCWD, new_path, 0);
}

SYSCALL_DEFINE5(linkat, int, old_dfd, uaddr_t, old_path, int, new_dfd, uaddr_t, new_path, unsigned, flags)
{
    return do_link(old_dfd, old_path, new_dfd, new_path, flags);
}

static int64_t do_remove(int dfd, uaddr_t path_addr, int (*fn)(int dfd, const char *path))
{
    char *path;
    int error = path_from_user(path_addr, false, &path);
    if (error)
        return error;
    error = fn(dfd, path);
    kfree(path);
    return error;
}

SYSCALL_DEFINE1(unlink, uaddr_t, path)
{
    return do_remove(AT_FDCWD, path, vfs_unlink);
}

SYSCALL_DEFINE3(unlinkat, int, dfd, uaddr_t, path, unsigned, flags)
{
    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    return do_remove(dfd, path, flags & AT_REMOVEDIR ? vfs_rmdir : vfs_unlink);
}

SYSCALL_DEFINE1(rmdir, uaddr_t, path)
{
    return do_remove(AT_FDCWD, path, vfs_rmdir);
}

static int64_t do_rename(int old_dfd, uaddr_t old_addr, int new_dfd, uaddr_t new_addr, unsigned flags)
{
    char *old_path, *new_path;
    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
        return -EINVAL;
    if ((flags & RENAME_EXCHANGE) && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))
        return -EINVAL;
    if (flags & RENAME_WHITEOUT)
        return -EINVAL; /* as a file system that does not support it */
    int error = path_from_user(old_addr, false, &old_path);
    if (error)
        return error;
    error = path_from_user(new_addr, false, &new_path);
    if (!error) {
        error = vfs_rename(old_dfd, old_path, new_dfd, new_path, flags);
        kfree(new_path);
    }
    kfree(old_path);
    return error;
}

SYSCALL_DEFINE2(rename, uaddr_t, old_path, uaddr_t, new_path)
{
    return do_rename(AT_FDCWD, old_path, AT_FDCWD, new_path, 0);
}

SYSCALL_DEFINE4(renameat, int, old_dfd, uaddr_t, old_path, int, new_dfd, uaddr_t, new_path)
{
    return do_rename(old_dfd, old_path, new_dfd, new_path, 0);
}

SYSCALL_DEFINE5(renameat2, int, old_dfd, uaddr_t, old_path, int, new_dfd, uaddr_t, new_path, unsigned, flags)
{
    return do_rename(old_dfd, old_path, new_dfd, new_path, flags);
}

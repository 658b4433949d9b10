/* Path walking: components, "..", links, mounts, openat2's limits. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/internal.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"

#define LINKS_MAX 40
#define PATH_SIZE_MAX 4096
#define NAME_SIZE_MAX 255

int path_from_user(uaddr_t addr, bool allow_empty, char **ret_path)
{
    char small[256];
    char *path;
    ssize_t size = strncpy_from_user(small, addr, sizeof(small));
    if (size == -ENAMETOOLONG) {
        path = kmalloc(PATH_SIZE_MAX);
        if (!path)
            return -ENOMEM;
        size = strncpy_from_user(path, addr, PATH_SIZE_MAX);
        if (size < 0) {
            kfree(path);
            return size;
        }
        *ret_path = path;
        return 0;
    }
    if (size < 0)
        return size;
    if (size == 0 && !allow_empty)
        return -ENOENT;
    path = kmalloc(size + 1);
    if (!path)
        return -ENOMEM;
    memcpy(path, small, size);
    path[size] = 0;
    *ret_path = path;
    return 0;
}

static int walk_start(int dfd, struct dentry **ret_dentry)
{
    if (dfd == AT_FDCWD) {
        *ret_dentry = dentry_get(fs_current()->cwd);
        return 0;
    }
    struct file *file = fd_get_any(dfd);
    if (!file)
        return -EBADF;
    int error = -ENOTDIR;
    if (file->dentry && S_ISDIR(file->inode->mode)) {
        *ret_dentry = dentry_get(file->dentry);
        error = 0;
    }
    file_put(file);
    return error;
}

int walk_begin(struct walk *walk, int dfd, const char *path, unsigned resolve)
{
    walk->root = walk->held = dentry_get(fs_current()->root);
    walk->floor = walk->anchor = NULL;
    walk->path = path;
    walk->owned = NULL;
    walk->resolve = resolve;
    walk->link_count = 0;
    walk->at = NULL;
    walk->locked = NULL;
    walk->last = LAST_ROOT;
    if (!*path)
        return -ENOENT;
    if (*path == '/' && !(resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))) {
        walk->at = dentry_get(walk->root);
        return 0;
    }
    if (*path == '/' && (resolve & RESOLVE_BENEATH))
        return -EXDEV;
    int error = walk_start(dfd, &walk->at);
    if (error)
        return error;
    if (resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
        walk->anchor = dentry_get(walk->at);
    if (resolve & RESOLVE_BENEATH)
        walk->floor = walk->at;
    if (resolve & RESOLVE_IN_ROOT)
        walk->root = walk->at;
    return 0;
}

void walk_lock(struct walk *walk)
{
    struct super_block *sb = walk->at->sb;
    if (sb->ops) {
        sb->ops->lock(sb);
        walk->locked = sb;
    }
}

void walk_unlock(struct walk *walk)
{
    if (walk->locked)
        walk->locked->ops->unlock(walk->locked);
    walk->locked = NULL;
}

void walk_end(struct walk *walk)
{
    walk_unlock(walk);
    if (walk->at)
        dentry_put(walk->at);
    if (walk->anchor)
        dentry_put(walk->anchor);
    dentry_put(walk->held);
    kfree(walk->owned);
}

static void walk_move(struct walk *walk, struct dentry *to)
{
    dentry_put(walk->at);
    walk->at = to;
}

static int walk_up(struct walk *walk)
{
    struct dentry *d = walk->at;
    if (d == walk->floor)
        return -EXDEV;
    while (d != walk->root && !d->parent && d->sb->mount && d->sb->mount->root == d && d->sb->mount->point) {
        if (walk->resolve & RESOLVE_NO_XDEV)
            return -EXDEV;
        d = d->sb->mount->point;
    }
    if (d == walk->root || !d->parent)
        return 0;
    walk_move(walk, dentry_get(d->parent));
    return 0;
}

/* Replace a covered directory by the root of what covers it. */
static int cross_mounts(struct walk *walk, struct dentry **dentry)
{
    while ((*dentry)->mounted) {
        if (walk->resolve & RESOLVE_NO_XDEV)
            return -EXDEV;
        struct dentry *root = dentry_get((*dentry)->mounted->root);
        dentry_put(*dentry);
        *dentry = root;
    }
    return 0;
}

static int walk_child(struct walk *walk, const char *name, size_t size, struct dentry **ret_dentry)
{
    struct dentry *child;
    int error = dentry_lookup(walk->at, name, size, &child);
    if (error)
        return error;
    error = cross_mounts(walk, &child);
    if (error) {
        dentry_put(child);
        return error;
    }
    *ret_dentry = child;
    return 0;
}

static int may_search(struct walk *walk)
{
    struct inode *inode = walk->at->inode;
    if (!S_ISDIR(inode->mode))
        return -ENOTDIR;
    return inode_permission(inode, 1);
}

/* rest: what follows the link in the path, without leading slashes. */
static int take_link(struct walk *walk, struct dentry *link, const char *rest, bool trailing_slash)
{
    struct inode *inode = link->inode;
    if (walk->resolve & RESOLVE_NO_SYMLINKS)
        return -ELOOP;
    if (++walk->link_count > LINKS_MAX)
        return -ELOOP;
    if (inode->ops->magic_link) {
        if (walk->resolve & RESOLVE_NO_MAGICLINKS)
            return -ELOOP;
        if (walk->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
            return -EXDEV;
        struct dentry *target;
        int error = inode->ops->magic_link(inode, &target);
        if (error)
            return error;
        inode_settle(target->inode);
        walk_move(walk, target);
        walk->path = rest;
        return 0;
    }
    if (!inode->ops->readlink)
        return -EINVAL;
    size_t rest_size = strlen(rest);
    char *text = kmalloc(PATH_SIZE_MAX + rest_size + 2);
    if (!text)
        return -ENOMEM;
    ssize_t size = inode->ops->readlink(inode, text, PATH_SIZE_MAX);
    if (size <= 0) {
        kfree(text);
        return size < 0 ? size : -ENOENT;
    }
    char *end = text + size;
    if (rest_size || trailing_slash)
        *end++ = '/';
    memcpy(end, rest, rest_size + 1);
    kfree(walk->owned);
    walk->owned = text;
    walk->path = text;
    if (*text == '/') {
        if (walk->floor)
            return -EXDEV;
        if ((walk->resolve & RESOLVE_NO_XDEV) && walk->root->sb != walk->at->sb)
            return -EXDEV;
        walk_move(walk, dentry_get(walk->root));
    }
    return 0;
}

static bool is_dot(const char *name, size_t size)
{
    return size == 1 && name[0] == '.';
}

static bool is_dotdot(const char *name, size_t size)
{
    return size == 2 && name[0] == '.' && name[1] == '.';
}

/* One component that is not the last. */
static int walk_step(struct walk *walk, const char *name, size_t size, const char *rest)
{
    walk->path = rest;
    if (is_dot(name, size))
        return 0;
    if (is_dotdot(name, size))
        return walk_up(walk);
    struct dentry *child;
    int error = walk_child(walk, name, size, &child);
    if (error)
        return error;
    if (!child->inode) {
        error = -ENOENT;
    } else if (S_ISLNK(child->inode->mode)) {
        error = take_link(walk, child, rest, false);
    } else {
        walk_move(walk, child);
        return 0;
    }
    dentry_put(child);
    return error;
}

int walk_to_parent(struct walk *walk)
{
    for (;;) {
        const char *name = walk->path;
        while (*name == '/')
            name++;
        if (!*name) { /* only after "/" or a magic link */
            if (walk->last != LAST_JUMPED)
                walk->last = LAST_ROOT;
            walk->trailing_slash = name != walk->path;
            return 0;
        }
        const char *end = name;
        while (*end && *end != '/')
            end++;
        const char *rest = end;
        while (*rest == '/')
            rest++;
        size_t size = end - name;
        int error = may_search(walk);
        if (error)
            return error;
        if (size > NAME_SIZE_MAX)
            return -ENAMETOOLONG;
        if (!*rest) {
            walk->last = is_dot(name, size) ? LAST_DOT : is_dotdot(name, size) ? LAST_DOTDOT : LAST_NAME;
            walk->trailing_slash = rest != end;
            memcpy(walk->name, name, size);
            walk->name[size] = 0;
            walk->name_size = size;
            return 0;
        }
        error = walk_step(walk, name, size, rest);
        if (error)
            return error;
    }
}

int walk_last(struct walk *walk, struct dentry **ret_dentry)
{
    int error;
    switch (walk->last) {
    case LAST_NAME:
        return walk_child(walk, walk->name, walk->name_size, ret_dentry);
    case LAST_DOTDOT:
        error = walk_up(walk);
        if (error)
            return error;
        break;
    default:
        break;
    }
    *ret_dentry = dentry_get(walk->at);
    return cross_mounts(walk, ret_dentry);
}

int walk_follow(struct walk *walk, struct dentry *link)
{
    bool magic = link->inode->ops->magic_link != NULL;
    int error = take_link(walk, link, "", walk->trailing_slash);
    dentry_put(link);
    walk->last = magic ? LAST_JUMPED : LAST_ROOT;
    return error;
}

static int lookup_empty(int dfd, struct dentry **ret_dentry)
{
    if (dfd == AT_FDCWD) {
        *ret_dentry = dentry_get(fs_current()->cwd);
        return 0;
    }
    struct file *file = fd_get_any(dfd);
    if (!file)
        return -EBADF;
    inode_settle(file->inode);
    *ret_dentry = file_dentry_get(file);
    file_put(file);
    return *ret_dentry ? 0 : -ENOMEM;
}

static int walk_to_end(struct walk *walk, unsigned flags, struct dentry **ret_dentry)
{
    for (;;) {
        struct dentry *d;
        int error = walk_to_parent(walk);
        if (error)
            return error;
        error = walk_last(walk, &d);
        if (error)
            return error;
        if (!d->inode) {
            dentry_put(d);
            return -ENOENT;
        }
        if (S_ISLNK(d->inode->mode) && walk->last == LAST_NAME && ((flags & LOOKUP_FOLLOW) || walk->trailing_slash)) {
            error = walk_follow(walk, d);
            if (error)
                return error;
            continue;
        }
        if (((flags & LOOKUP_DIRECTORY) || walk->trailing_slash) && !S_ISDIR(d->inode->mode)) {
            dentry_put(d);
            return -ENOTDIR;
        }
        *ret_dentry = d;
        return 0;
    }
}

int path_lookup(int dfd, const char *path, unsigned flags, unsigned resolve, struct dentry **ret_dentry)
{
    if (!*path && (flags & LOOKUP_EMPTY_PATH))
        return lookup_empty(dfd, ret_dentry);
    if (flags & LOOKUP_NO_SYMLINKS)
        resolve |= RESOLVE_NO_SYMLINKS;
    struct walk walk;
    int error = walk_begin(&walk, dfd, path, resolve);
    if (!error)
        error = walk_to_end(&walk, flags, ret_dentry);
    walk_end(&walk);
    return error;
}

int vfs_lookup(int dfd, const char *path, unsigned flags, struct dentry **ret_dentry)
{
    return path_lookup(dfd, path, flags, 0, ret_dentry);
}

int vfs_lookup_on_root(const char *path, struct dentry **ret_dentry)
{
    return path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV, ret_dentry);
}

int user_path_lookup(int dfd, uaddr_t addr, unsigned flags, struct dentry **ret_dentry)
{
    char *path;
    int error = path_from_user(addr, flags & LOOKUP_EMPTY_PATH, &path);
    if (error)
        return error;
    error = vfs_lookup(dfd, path, flags, ret_dentry);
    kfree(path);
    return error;
}

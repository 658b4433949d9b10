/* Names in folders of the host (hostfs.h). The VFS holds the folder's lock where a name is changed. */
#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/arch/untrusted.h"
#include "kernel/fs/dentry.h"
#include "kernel/fs/hostfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

/* A call that makes or finds a file; expected: what the name meant before, or NULL. */
static int call_inode(struct inode *dir, struct hostfs_request *request, const char *name, const char *second,
                      struct inode *expected, struct inode **ret_inode)
{
    struct hostfs *fs = hostfs(dir->sb);
    struct hostfs_reply reply;
    uint32_t node;
    int error = hostfs_node_alloc(&node);
    if (error == -ENFILE) {
        dentry_shrink(DENTRY_UNUSED_MAX / 4); /* they keep files of the host */
        error = hostfs_node_alloc(&node);
    }
    if (error < 0)
        return error;
    request->result_node = node;
    int64_t result = hostfs_call(request, name, second, &reply, NULL);
    if (result < 0)
        return (int)result;
    if (!(reply.flags & HOSTFS_REPLY_SAME))
        return hostfs_get(fs, node, &reply, ret_inode);
    hostfs_node_free(node);
    if (!expected || hostfs_refresh(expected, &reply) < 0)
        return -EIO;
    *ret_inode = inode_get(expected);
    return 0;
}

static int dir_lookup(struct inode *dir, const char *name, struct inode **ret_inode)
{
    struct hostfs_request request = hostfs_request(HOSTFS_LOOKUP, dir);
    return call_inode(dir, &request, name, NULL, NULL, ret_inode);
}

int hostfs_revalidate(struct dentry *d)
{
    struct inode *dir = d->parent->inode, *inode = NULL;
    struct hostfs_request request = hostfs_request(HOSTFS_LOOKUP, dir);
    char name[256];
    if (d->mounted)
        return 1;
    if (d->inode) {
        request.ino = d->inode->ino;
        request.mode = d->inode->mode & S_IFMT;
    }
    memcpy(name, d->name, (size_t)d->name_size + 1U); /* it may be renamed while we sleep */
    int error = call_inode(dir, &request, name, NULL, d->inode, &inode);
    if (error == -ENOENT)
        return !d->inode;
    if (error < 0)
        return error;
    if (!d->inode) {
        dentry_instantiate(d, inode);
        return 1;
    }
    bool same = inode == d->inode;
    inode_put(inode);
    return same;
}

/* The directory's own attributes changed, too: they are asked for when somebody wants them. */
static int dir_make(struct inode *dir, uint32_t op, const char *name, const char *target, uint32_t mode,
                    struct inode **ret_inode)
{
    struct hostfs_request request = hostfs_request(op, dir);
    request.mode = mode;
    hostfs_owner(dir, &request);
    return call_inode(dir, &request, name, target, NULL, ret_inode);
}

static int dir_create(struct inode *dir, const char *name, uint32_t mode, uint64_t rdev, struct inode **ret_inode)
{
    (void)rdev;
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return -EPERM;
    return dir_make(dir, HOSTFS_CREATE, name, NULL, mode, ret_inode);
}

static int dir_mkdir(struct inode *dir, const char *name, uint32_t mode, struct inode **ret_inode)
{
    return dir_make(dir, HOSTFS_MKDIR, name, NULL, S_IFDIR | (mode & 07777), ret_inode);
}

static int dir_symlink(struct inode *dir, const char *name, const char *target, struct inode **ret_inode)
{
    return dir_make(dir, HOSTFS_SYMLINK, name, target, S_IFLNK | 0777, ret_inode);
}

static int dir_tmpfile(struct inode *dir, uint32_t mode, struct inode **ret_inode)
{
    return dir_make(dir, HOSTFS_TMPFILE, NULL, NULL, mode, ret_inode);
}

static int dir_link(struct inode *dir, const char *name, struct inode *target)
{
    struct hostfs_request request = hostfs_request(HOSTFS_LINK, dir);
    request.other_node = hostfs_inode(target)->node;
    return (int)hostfs_call_refresh(target, &request, name, NULL);
}

static int dir_remove(struct inode *dir, uint32_t op, const char *name, struct inode *victim)
{
    struct hostfs_request request = hostfs_request(op, dir), look = hostfs_request(HOSTFS_GETATTR, victim);
    struct hostfs_reply reply;
    int64_t result = hostfs_call(&request, name, NULL, &reply, NULL);
    if (result == 0 && hostfs_call_refresh(victim, &look, NULL, NULL) < 0 && victim->nlink > 0)
        victim->nlink--;
    return (int)result;
}

static int dir_unlink(struct inode *dir, const char *name, struct inode *victim)
{
    return dir_remove(dir, HOSTFS_UNLINK, name, victim);
}

static int dir_rmdir(struct inode *dir, const char *name, struct inode *victim)
{
    return dir_remove(dir, HOSTFS_RMDIR, name, victim);
}

static int dir_rename(struct inode *old_dir, const char *old_name, struct inode *new_dir, const char *new_name,
                      unsigned flags)
{
    struct hostfs_request request = hostfs_request(HOSTFS_RENAME, old_dir);
    struct hostfs_reply reply;
    request.other_node = hostfs_inode(new_dir)->node;
    request.flags = flags;
    int64_t result = hostfs_call(&request, old_name, new_name, &reply, NULL);
    if (result == 0)
        hostfs_refresh_any(hostfs(old_dir->sb), &reply);
    return (int)result;
}

/* Positions: 0 and 1 are the dots, others a cookie of the host and 2, the highest standing for all that high. */
#define POS_END INT64_MAX

static file_off_t pos_of(uint64_t cookie)
{
    return cookie >= (uint64_t)POS_END - 2 ? POS_END : (file_off_t)cookie + 2;
}

static bool name_sane(const char *name, size_t size)
{
    return size > 0 && !memchr(name, 0, size) && !memchr(name, '/', size) && !(size == 1 && name[0] == '.') &&
           !(size == 2 && name[0] == '.' && name[1] == '.');
}

/* Entries that lie in kernel memory. 1: go on, 0: the caller's buffer is full, -EIO: the host talks nonsense. */
static int give_entries(const char *buf, size_t size, struct dir_context *ctx)
{
    for (size_t at = 0; at < size;) {
        struct hostfs_entry e;
        if (size - at < sizeof(e))
            return -EIO;
        memcpy(&e, buf + at, sizeof(e));
        const char *name = buf + at + sizeof(e);
        if (e.name_size > 255 || e.name_size > size - at - sizeof(e) || !name_sane(name, e.name_size) ||
            e.cookie == 0 || e.cookie > INT64_MAX || e.type > 15)
            return -EIO;
        if (!ctx->emit(ctx, name, e.name_size, e.ino, e.type, pos_of(e.cookie)))
            return 0;
        ctx->pos = pos_of(e.cookie);
        at += MIN(ALIGN_UP(sizeof(e) + e.name_size, 8), size - at);
    }
    return 1;
}

/* What one answer holds, copied in. Bytes, 0 at the end. */
static int64_t fetch_entries(struct inode *dir, file_off_t pos, char **ret_buf)
{
    struct hostfs_request request = hostfs_request(HOSTFS_READDIR, dir);
    struct hostfs_reply reply;
    unsigned slot;
    request.offset = pos == POS_END ? (uint64_t)POS_END : (uint64_t)pos - 2;
    int64_t size = hostfs_call(&request, NULL, NULL, &reply, &slot);
    if (size < 0)
        return size;
    *ret_buf = size > 0 ? kmalloc((size_t)size) : NULL;
    if (*ret_buf)
        untrusted_copy_in(*ret_buf, hostfs_slot_data(slot), (size_t)size);
    else if (size > 0)
        size = -ENOMEM;
    hostfs_slot_put(slot);
    return size;
}

static int dir_readdir(struct file *file, struct dir_context *ctx)
{
    int more = 1;
    if (!dir_emit_dots(file, ctx))
        return 0;
    while (more > 0) {
        char *buf = NULL;
        file_off_t before = ctx->pos;
        int64_t size = fetch_entries(file->inode, ctx->pos, &buf);
        if (size <= 0)
            return (int)size;
        more = give_entries(buf, (size_t)size, ctx);
        kfree(buf);
        if (more > 0 && ctx->pos == before)
            return -EIO; /* else this need not end */
    }
    return more;
}

const struct inode_ops hostfs_dir_ops = {
    HOSTFS_COMMON_OPS, .lookup = dir_lookup, .create = dir_create, .mkdir = dir_mkdir,   .symlink = dir_symlink,
    .link = dir_link,  .unlink = dir_unlink, .rmdir = dir_rmdir,   .rename = dir_rename, .tmpfile = dir_tmpfile,
};

const struct file_ops hostfs_dir_file_ops = {
    .open = hostfs_file_open,
    .release = hostfs_file_release,
    .readdir = dir_readdir,
    .llseek = file_llseek_dir,
    .fsync = hostfs_fsync,
};

/* Names on a volume (volumefs.h). The VFS has the volume's lock where a name is changed. */
#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/fs/volumefs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

static struct volume_node *node_of(struct inode *inode)
{
    return volumefs_inode(inode)->node;
}

static int dir_lookup(struct inode *dir, const char *name, struct inode **ret_inode)
{
    struct volumefs *fs = volumefs(dir->sb);
    struct volume_node *node;
    volumefs_lock(fs);
    int error = volume_lookup(node_of(dir), name, strlen(name), &node);
    if (error == 0)
        error = volumefs_get(fs, node, ret_inode);
    volumefs_unlock(fs);
    return error;
}

/* A node was made in dir. */
static int made(struct inode *dir, int error, struct volume_node *node, struct inode **ret_inode)
{
    struct volumefs *fs = volumefs(dir->sb);
    volumefs_refresh(volumefs_inode(dir));
    if (error == 0)
        error = volumefs_get(fs, node, ret_inode);
    volumefs_unlock(fs);
    return error;
}

static int dir_create(struct inode *dir, const char *name, uint32_t mode, uint64_t rdev, struct inode **ret_inode)
{
    struct volume_node *node = NULL;
    struct volume_owner owner = volumefs_owner(dir, &mode);
    volumefs_lock(volumefs(dir->sb));
    int error = volume_create(node_of(dir), name, strlen(name), mode, rdev, owner, &node);
    return made(dir, error, node, ret_inode);
}

static int dir_mkdir(struct inode *dir, const char *name, uint32_t mode, struct inode **ret_inode)
{
    return dir_create(dir, name, S_IFDIR | (mode & 07777), 0, ret_inode);
}

static int dir_symlink(struct inode *dir, const char *name, const char *target, struct inode **ret_inode)
{
    uint32_t mode = S_IFLNK | 0777;
    struct volume_node *node = NULL;
    struct volume_owner owner = volumefs_owner(dir, &mode);
    volumefs_lock(volumefs(dir->sb));
    int error = volume_symlink(node_of(dir), name, strlen(name), target, strlen(target), owner, &node);
    return made(dir, error, node, ret_inode);
}

static int dir_tmpfile(struct inode *dir, uint32_t mode, struct inode **ret_inode)
{
    struct volumefs *fs = volumefs(dir->sb);
    struct volume_node *node = NULL;
    struct volume_owner owner = volumefs_owner(dir, &mode);
    volumefs_lock(fs);
    int error = volume_tmpfile(fs->volume, mode, owner, &node);
    if (error == 0)
        error = volumefs_get(fs, node, ret_inode);
    volumefs_unlock(fs);
    return error;
}

static int dir_link(struct inode *dir, const char *name, struct inode *target)
{
    struct volumefs *fs = volumefs(dir->sb);
    volumefs_lock(fs);
    int error = volume_link(node_of(dir), name, strlen(name), node_of(target));
    volumefs_refresh(volumefs_inode(dir));
    volumefs_refresh(volumefs_inode(target));
    volumefs_unlock(fs);
    return error;
}

static int dir_unlink(struct inode *dir, const char *name, struct inode *victim)
{
    struct volumefs *fs = volumefs(dir->sb);
    volumefs_lock(fs);
    int error = volume_unlink(node_of(dir), name, strlen(name));
    volumefs_refresh(volumefs_inode(dir));
    volumefs_refresh(volumefs_inode(victim));
    volumefs_unlock(fs);
    return error;
}

static int dir_rmdir(struct inode *dir, const char *name, struct inode *victim)
{
    struct volumefs *fs = volumefs(dir->sb);
    volumefs_lock(fs);
    int error = volume_rmdir(node_of(dir), name, strlen(name));
    volumefs_refresh(volumefs_inode(dir));
    volumefs_refresh(volumefs_inode(victim));
    volumefs_unlock(fs);
    return error;
}

/* The inode number behind a name, 0 if there is none. */
static uint64_t name_ino(struct inode *dir, const char *name)
{
    struct volume_node *node;
    if (volume_lookup(node_of(dir), name, strlen(name), &node) < 0)
        return 0;
    uint64_t ino = volume_node_ino(node);
    volume_node_put(node);
    return ino;
}

static int dir_rename(struct inode *old_dir, const char *old_name, struct inode *new_dir, const char *new_name,
                      unsigned flags)
{
    struct volumefs *fs = volumefs(old_dir->sb);
    volumefs_lock(fs);
    uint64_t source = name_ino(old_dir, old_name), target = name_ino(new_dir, new_name);
    int error = volume_rename(node_of(old_dir), old_name, strlen(old_name), node_of(new_dir), new_name,
                              strlen(new_name), flags, (struct volume_owner){0, 0});
    volumefs_refresh(volumefs_inode(old_dir));
    volumefs_refresh(volumefs_inode(new_dir));
    volumefs_refresh_ino(fs, source);
    volumefs_refresh_ino(fs, target);
    volumefs_unlock(fs);
    return error;
}

bool volumefs_batch_add(struct volumefs_batch *b, const char *name, size_t size, uint64_t ino, unsigned type,
                        file_off_t next_pos)
{
    struct volumefs_entry e = {ino, next_pos, (uint8_t)type, (uint8_t)size};
    if (b->used + VOLUMEFS_ENTRY_SIZE(&e) > sizeof(b->data)) {
        b->full = true;
        return false;
    }
    memcpy(b->data + b->used, &e, sizeof(e));
    memcpy(b->data + b->used + sizeof(e), name, size);
    b->used += VOLUMEFS_ENTRY_SIZE(&e);
    return true;
}

static bool batch_emit(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    if (next_pos <= 2)
        return true; /* the dots are the VFS's */
    return volumefs_batch_add(arg, name, size, ino, type, next_pos);
}

bool volumefs_batch_give(const struct volumefs_batch *b, struct dir_context *ctx)
{
    for (size_t at = 0; at < b->used;) {
        struct volumefs_entry e;
        memcpy(&e, b->data + at, sizeof(e));
        if (e.ino != 0 && !ctx->emit(ctx, b->data + at + sizeof(e), e.name_size, e.ino, e.type, e.next_pos))
            return false;
        ctx->pos = e.next_pos;
        at += VOLUMEFS_ENTRY_SIZE(&e);
    }
    return true;
}

static int dir_readdir(struct file *file, struct dir_context *ctx)
{
    struct volumefs *fs = volumefs(file->inode->sb);
    struct volumefs_batch *b;
    int error;
    if (!dir_emit_dots(file, ctx))
        return 0;
    b = kmalloc(sizeof(*b));
    if (!b)
        return -ENOMEM;
    do {
        int64_t pos = ctx->pos;
        b->used = 0;
        b->full = false;
        volumefs_lock(fs);
        error = volume_readdir(node_of(file->inode), &pos, batch_emit, b);
        volumefs_unlock(fs);
    } while (error == 0 && volumefs_batch_give(b, ctx) && b->full);
    kfree(b);
    return error;
}

const struct inode_ops volumefs_dir_ops = {
    VOLUMEFS_COMMON_OPS, .lookup = dir_lookup, .create = dir_create, .mkdir = dir_mkdir,   .symlink = dir_symlink,
    .link = dir_link,    .unlink = dir_unlink, .rmdir = dir_rmdir,   .rename = dir_rename, .tmpfile = dir_tmpfile,
};

const struct file_ops volumefs_dir_file_ops = {
    .readdir = dir_readdir,
    .llseek = file_llseek_dir,
    .fsync = volumefs_fsync,
};

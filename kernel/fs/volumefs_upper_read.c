/*
 * Reading directories of the root's upper layer (volumefs_upper.h): first the image's names that nothing hides, at the
 * positions they have in it, then the volume's, at half the value of theirs.
 */
#include <linux/errno.h>

#include "kernel/fs/volumefs_upper.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define UPPER_POS (1LL << 62) /* set: the volume's names */

struct lower_context {
    struct dir_context ctx;
    struct volumefs_batch *batch;
};

static bool lower_emit(struct dir_context *ctx, const char *name, size_t size, uint64_t ino, unsigned type,
                       file_off_t next_pos)
{
    struct lower_context *l = container_of(ctx, struct lower_context, ctx);
    if (next_pos <= 2)
        return true; /* the dots */
    return volumefs_batch_add(l->batch, name, size, ino, type, next_pos);
}

static bool upper_emit(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    if (next_pos <= 2)
        return true;
    return volumefs_batch_add(arg, name, size, ino, type, UPPER_POS | ((next_pos >> 1) + (next_pos & 1)));
}

static int fill_lower(struct volumefs_inode *dir, file_off_t pos, struct volumefs_batch *b)
{
    struct lower_context l = {.ctx = {.pos = MAX(pos, 2), .emit = lower_emit}, .batch = b};
    struct file file = {.inode = dir->lower};
    b->used = 0;
    b->full = false;
    return dir->lower->file_ops->readdir(&file, &l.ctx);
}

static int fill_upper(struct volumefs_inode *dir, file_off_t pos, struct volumefs_batch *b)
{
    int64_t at = MAX((pos & ~UPPER_POS) << 1, 2);
    b->used = 0;
    b->full = false;
    return dir->node ? volume_readdir(dir->node, &at, upper_emit, b) : 0;
}

/* 1: something in the volume hides the image's name, or is it. */
static int hides(struct volumefs_inode *dir, const char *name, size_t size)
{
    struct volume_node *node;
    if (!dir->node || volume_node_inode(dir->node)->entry_count == 0)
        return 0;
    int error = volume_lookup(dir->node, name, size, &node);
    if (error == 0)
        volume_node_put(node);
    return error == 0 ? 1 : error == -ENOENT ? 0 : error;
}

static int is_whiteout(struct volumefs *fs, const struct volumefs_entry *e)
{
    struct volume_node *node;
    if (e->type != S_IFCHR >> 12)
        return 0;
    int error = volume_node_get(fs->volume, e->ino, &node);
    if (error < 0)
        return error;
    error = upper_is_whiteout(node);
    volume_node_put(node);
    return error;
}

/* Under the lock: what is not seen gets the number 0, the others those that stat shows. The number of those seen. */
static int filter(struct volumefs *fs, struct volumefs_inode *dir, struct volumefs_batch *b, bool upper)
{
    int seen = 0;
    for (size_t at = 0; at < b->used;) {
        struct volumefs_entry e;
        memcpy(&e, b->data + at, sizeof(e));
        int hidden = upper ? is_whiteout(fs, &e) : hides(dir, b->data + at + sizeof(e), e.name_size);
        if (hidden < 0)
            return hidden;
        e.ino = hidden ? 0 : upper ? upper_number(fs, e.ino) : e.ino;
        seen += !hidden;
        memcpy(b->data + at, &e, sizeof(e));
        at += VOLUMEFS_ENTRY_SIZE(&e);
    }
    return seen;
}

/* Fill b from pos on. The number of entries in it that are seen. */
static int fill(struct volumefs *fs, struct volumefs_inode *dir, file_off_t pos, struct volumefs_batch *b)
{
    bool upper = pos & UPPER_POS;
    volumefs_lock(fs);
    int error = upper ? fill_upper(dir, pos, b) : fill_lower(dir, pos, b);
    if (error == 0)
        error = filter(fs, dir, b, upper);
    volumefs_unlock(fs);
    return error;
}

static file_off_t first_pos(const struct volumefs_inode *dir)
{
    return dir->lower && !dir->gone ? 2 : UPPER_POS;
}

static int dir_readdir(struct file *file, struct dir_context *ctx)
{
    struct volumefs_inode *dir = volumefs_inode(file->inode);
    struct volumefs_batch *b;
    if (!dir_emit_dots(file, ctx))
        return 0;
    b = kmalloc(sizeof(*b));
    if (!b)
        return -ENOMEM;
    ctx->pos = MAX(ctx->pos, first_pos(dir));
    for (;;) {
        int seen = fill(volumefs(file->inode->sb), dir, ctx->pos, b);
        if (seen < 0 || !volumefs_batch_give(b, ctx)) {
            kfree(b);
            return seen < 0 ? seen : 0;
        }
        if (b->full)
            continue;
        if (ctx->pos & UPPER_POS)
            break;
        ctx->pos = UPPER_POS;
    }
    kfree(b);
    return 0;
}

int upper_check_empty(struct volumefs_inode *dir)
{
    struct volumefs *fs = volumefs(dir->inode.sb);
    struct volumefs_batch *b = kmalloc(sizeof(*b));
    if (!b)
        return -ENOMEM;
    int seen = 0;
    for (file_off_t pos = first_pos(dir); seen == 0;) {
        seen = fill(fs, dir, pos, b);
        if (b->used > 0) {
            struct volumefs_entry e;
            for (size_t at = 0; at < b->used; at += VOLUMEFS_ENTRY_SIZE(&e)) {
                memcpy(&e, b->data + at, sizeof(e));
                pos = e.next_pos;
            }
        }
        if (!b->full && pos & UPPER_POS)
            break;
        if (!b->full)
            pos = UPPER_POS;
    }
    kfree(b);
    return seen > 0 ? -ENOTEMPTY : seen;
}

const struct file_ops upper_dir_file_ops = {
    .readdir = dir_readdir,
    .llseek = file_llseek_dir,
    .fsync = volumefs_fsync,
};

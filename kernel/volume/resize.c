/*
 * Another size. Growing is a checkpoint that says so. Shrinking makes every block beyond the new end dirty, tree by
 * tree, so that checkpoints write it to a place before; each of them is a whole and valid state of the old size. When
 * nothing is left beyond, one checkpoint says the new size, and one more makes sure that none of the last two needs
 * what is cut.
 */
#include "kernel/volume/internal.h"

#define PATH_BLOCKS 16 /* that making one block dirty may make dirty, too */

struct move {
    struct volume *v;
    volume_progress_fn progress;
    void *arg;
    uint64_t total;
};

/* Room in memory and on the disk for one block more, and its parents. */
static int room_make(struct move *m)
{
    struct volume *v = m->v;
    int err = v->dirty_count + PATH_BLOCKS > v->dirty_max ? vol_checkpoint(v) : 0;
    for (unsigned tries = 0; err == 0; tries++) {
        if (vol_allocatable(v) >= v->dirty_count + PATH_BLOCKS + v->reserve / 4)
            break;
        if (tries == 3)
            return -ENOSPC;
        err = vol_checkpoint(v); /* what was freed becomes usable after two */
    }
    if (m->progress)
        m->progress(m->arg, m->total - MIN(m->total, v->vacating_count), m->total);
    return err;
}

static bool beyond(const struct move *m, const struct volume_pointer *pointer)
{
    return pointer->where != 0 && VOLUME_WHERE_BLOCK(pointer->where) >= m->v->limit;
}

static int block_move(struct move *m, struct volume_node *node, unsigned level, uint64_t index)
{
    struct vol_block *b;
    int err = room_make(m);
    if (err == 0)
        err = vol_block_get(node, level, index, VOL_READ, &b);
    if (err < 0 || !b)
        return err;
    err = vol_block_dirty(b);
    vol_block_put(b);
    return err;
}

/* Everything below a block of pointers. */
static int children_move(struct move *m, struct volume_node *node, unsigned level, uint64_t index)
{
    struct vol_block *b;
    int err = vol_block_get(node, level, index, VOL_READ, &b);
    if (err < 0 || !b)
        return err;
    for (unsigned slot = 0; err == 0 && slot < VOLUME_FANOUT; slot++) {
        uint64_t child = index * VOLUME_FANOUT + slot;
        if (vol_pointers(b)[slot].where == 0)
            continue;
        if (beyond(m, &vol_pointers(b)[slot]))
            err = block_move(m, node, level - 1, child);
        if (err == 0 && level > 1)
            err = children_move(m, node, level - 1, child);
    }
    vol_block_put(b);
    return err;
}

static int node_move(struct move *m, struct volume_node *node)
{
    const struct volume_inode *i = &node->inode;
    int err = beyond(m, &i->xattr) ? block_move(m, node, VOLUME_LEVEL_XATTR, 0) : 0;
    if (err < 0 || i->inline_size > 0)
        return err;
    if (beyond(m, &i->root))
        err = block_move(m, node, i->height, 0);
    return err == 0 && i->height > 0 ? children_move(m, node, i->height, 0) : err;
}

static int inodes_move(struct move *m)
{
    for (uint64_t ino = VOLUME_ROOT_INO; ino < m->v->inode_next && m->v->vacating_count > 0; ino++) {
        struct volume_node *node;
        int err = volume_node_get(m->v, ino, &node);
        if (err == -ENOENT)
            continue;
        if (err < 0)
            return err;
        err = node_move(m, node);
        node->refs--; /* not volume_node_put(): nothing is destroyed here */
        vol_node_release(node);
        if (err < 0)
            return err;
    }
    return 0;
}

static int all_move(struct move *m)
{
    struct volume *v = m->v;
    int err = vol_checkpoint(v); /* the log leaves */
    if (err == 0)
        err = inodes_move(m);
    for (unsigned i = 0; err == 0 && i < VOLUME_OBJECT_COUNT; i++)
        err = node_move(m, &v->objects[i]);
    if (err == 0)
        err = vol_checkpoint(v);
    return err < 0 ? err : v->vacating_count == 0 ? 0 : -EUCLEAN;
}

static int shrink(struct volume *v, uint64_t block_count, struct move *m)
{
    if (v->snapshot_count > 0)
        return -EBUSY; /* a block that several trees share cannot move */
    uint64_t groups = (block_count + VOLUME_GROUP_BLOCKS - 1) / VOLUME_GROUP_BLOCKS;
    if (v->used_count + MIN(block_count / 50, block_count / 8) > block_count)
        return -ENOSPC;
    int err = vol_limit_set(v, block_count);
    m->total = v->vacating_count;
    if (err == 0)
        err = all_move(m);
    if (err == 0)
        err = vol_node_cut(&v->objects[VOLUME_OBJECT_FREE_MAP], groups, VOLUME_FILE_BLOCKS);
    if (err == 0)
        err = vol_space_set(v, block_count);
    if (err == 0)
        err = vol_checkpoint(v);
    return err < 0 ? err : vol_checkpoint(v);
}

int volume_resize(struct volume *v, uint64_t block_count, volume_progress_fn progress, void *arg)
{
    struct move m = {.v = v, .progress = progress, .arg = arg};
    if (v->failed || v->options.read_only)
        return v->failed ? v->failed : -EROFS;
    if (block_count < VOLUME_BLOCKS_MIN || block_count > VOLUME_BLOCKS_MAX ||
        block_count > v->io->block_count(v->io->arg))
        return -EINVAL;
    if (block_count < v->block_count)
        return shrink(v, block_count, &m);
    int err = vol_space_set(v, block_count);
    return err < 0 ? err : vol_checkpoint(v);
}

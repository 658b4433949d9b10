/*
 * Another size. Growing is a checkpoint that says so. Shrinking makes every block beyond the new end dirty, tree by
 * tree, so that checkpoints write it to a place before; each of them is a whole and valid state of the old size. When
 * nothing is left beyond, one checkpoint says the new size, and one more makes sure that none of the last two needs
 * what is cut.
 */
#include "kernel/volume/internal.h"

struct move {
    struct volume *v;
    volume_progress_fn progress;
    void *arg;
    uint64_t total;
};

static bool is_beyond(const struct volume *v, const struct volume_pointer *pointer)
{
    return pointer->where != 0 && VOLUME_WHERE_BLOCK(pointer->where) >= v->limit;
}

static int block_move(struct volume_node *node, unsigned level, uint64_t index, void *arg)
{
    const struct move *m = arg;
    int err = vol_block_renew(node, level, index);
    if (m->progress)
        m->progress(m->arg, m->total - MIN(m->total, m->v->vacating_count), m->total);
    return err;
}

static int all_move(struct move *m)
{
    struct volume *v = m->v;
    const struct vol_renewal renewal = {is_beyond, block_move, m};
    int err = vol_checkpoint(v); /* the log leaves */
    for (uint64_t ino = VOLUME_ROOT_INO; err == 0 && ino < v->inode_next && v->vacating_count > 0; ino++)
        err = vol_number_renew(v, ino, &renewal);
    for (unsigned i = 0; err == 0 && i < VOLUME_OBJECT_COUNT; i++)
        err = vol_node_renew(&v->objects[i], &renewal);
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

/* Writing blocks anew that are where or what they should no longer be: under an old key, beyond a new end. */
#include "kernel/volume/internal.h"

#define PATH_BLOCKS 16 /* that making one block dirty may make dirty, too */

/* Room in memory and on the disk for one block more, and its parents. */
static int room_make(struct volume *v)
{
    int err = v->dirty_count + PATH_BLOCKS > v->dirty_max ? vol_checkpoint(v) : 0;
    for (unsigned tries = 0; err == 0; tries++) {
        if (vol_allocatable(v) >= v->dirty_count + PATH_BLOCKS + v->reserve / 4)
            return 0;
        if (tries == 3)
            return -ENOSPC;
        err = vol_checkpoint(v); /* what was freed becomes usable after two */
    }
    return err;
}

int vol_block_renew(struct volume_node *node, unsigned level, uint64_t index)
{
    struct vol_block *b;
    int err = room_make(node->volume);
    if (err == 0)
        err = vol_block_get(node, level, index, VOL_READ, &b);
    if (err < 0 || !b)
        return err;
    err = vol_block_dirty(b);
    vol_block_put(b);
    return err;
}

/* Everything below a block of pointers. */
static int children_renew(struct volume_node *node, unsigned level, uint64_t index, const struct vol_renewal *renewal)
{
    struct vol_block *b;
    int err = vol_block_get(node, level, index, VOL_READ, &b);
    if (err < 0 || !b)
        return err;
    for (unsigned slot = 0; err == 0 && slot < VOLUME_FANOUT; slot++) {
        uint64_t child = index * VOLUME_FANOUT + slot;
        if (vol_pointers(b)[slot].where == 0)
            continue;
        if (renewal->is_due(node->volume, &vol_pointers(b)[slot]))
            err = renewal->renew(node, level - 1, child, renewal->arg);
        if (err == 0 && level > 1)
            err = children_renew(node, level - 1, child, renewal);
    }
    vol_block_put(b);
    return err;
}

int vol_node_renew(struct volume_node *node, const struct vol_renewal *renewal)
{
    const struct volume_inode *i = &node->inode;
    int err = renewal->is_due(node->volume, &i->xattr) ? renewal->renew(node, VOLUME_LEVEL_XATTR, 0, renewal->arg) : 0;
    if (err != 0 || i->inline_size > 0)
        return err;
    if (renewal->is_due(node->volume, &i->root))
        err = renewal->renew(node, i->height, 0, renewal->arg);
    return err == 0 && i->height > 0 ? children_renew(node, i->height, 0, renewal) : err;
}

int vol_number_renew(struct volume *v, uint64_t ino, const struct vol_renewal *renewal)
{
    struct volume_node *node;
    int err = volume_node_get(v, ino, &node);
    if (err < 0)
        return err == -ENOENT ? 0 : err;
    err = vol_node_renew(node, renewal);
    node->refs--; /* not volume_node_put(): nothing is destroyed here */
    vol_node_release(node);
    return err;
}

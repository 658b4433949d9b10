/*
 * Snapshots as the kernel has to know them: which blocks of today's tree they share, so that those are never used
 * again. No list is kept of them. A block says by its epoch and nonce when it was written, and a tree has it always at
 * the same place: it is shared with the last snapshot if it is not newer than that.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

#define PER_BLOCK (VOLUME_BLOCK_SIZE / sizeof(struct volume_snapshot))

bool vol_snapshot_has(const struct volume_node *node, const struct volume_pointer *pointer)
{
    const struct volume *v = node->volume;
    if (v->snapshot_count == 0 || (node->object && node != &v->objects[VOLUME_OBJECT_INODES]))
        return false;
    const struct volume_snapshot *last = &v->snapshots[v->snapshot_count - 1];
    uint32_t epoch = VOLUME_WHERE_EPOCH(pointer->where);
    return epoch < last->epoch || (epoch == last->epoch && pointer->nonce <= last->nonce);
}

static bool snapshot_valid(const struct volume *v, const struct volume_snapshot *s)
{
    const struct volume_snapshot *before = v->snapshot_count > 0 ? &v->snapshots[v->snapshot_count - 1] : NULL;
    bool later = !before || s->epoch > before->epoch || (s->epoch == before->epoch && s->nonce > before->nonce);
    return later && s->inodes.height <= VOLUME_HEIGHT_MAX && s->inode_next >= VOLUME_ROOT_INO &&
           s->inode_next <= v->inode_next && s->epoch < v->epoch && s->name[sizeof(s->name) - 1] == 0;
}

int vol_snapshots_load(struct volume *v)
{
    struct volume_node *object = &v->objects[VOLUME_OBJECT_SNAPSHOTS];
    if (object->inode.root.where == 0)
        return 0;
    v->snapshots = kzalloc(VOLUME_SNAPSHOT_MAX * sizeof(*v->snapshots));
    if (!v->snapshots)
        return -ENOMEM;
    for (unsigned i = 0; i < VOLUME_SNAPSHOT_MAX / PER_BLOCK; i++) {
        struct vol_block *b;
        int err = vol_block_get(object, 0, i, VOL_READ, &b);
        if (err < 0 || !b)
            return err;
        const struct volume_snapshot *table = (const struct volume_snapshot *)b->data;
        bool good = true;
        unsigned at = 0;
        for (; at < PER_BLOCK && table[at].name[0] && good; at++) {
            good = snapshot_valid(v, &table[at]);
            if (good)
                v->snapshots[v->snapshot_count++] = table[at];
        }
        vol_block_put(b);
        if (!good)
            return -EUCLEAN;
        if (at < PER_BLOCK)
            break;
    }
    return 0;
}

const struct volume_snapshot *volume_snapshots(const struct volume *v, unsigned *ret_count)
{
    *ret_count = v->snapshot_count;
    return v->snapshots;
}

int vol_snapshot_show(struct volume *v, const char *name)
{
    for (unsigned i = 0; i < v->snapshot_count; i++) {
        const struct volume_snapshot *s = &v->snapshots[i];
        if (strcmp(s->name, name) != 0)
            continue;
        v->objects[VOLUME_OBJECT_INODES].inode.root = s->inodes.pointer;
        v->objects[VOLUME_OBJECT_INODES].inode.height = (uint8_t)s->inodes.height;
        v->inode_next = s->inode_next;
        v->inode_free = s->inode_free;
        v->inode_orphan = s->inode_orphan;
        v->inode_count = s->inode_count;
        return 0;
    }
    return -ENOENT;
}

/*
 * Making and removing snapshots, and going back to one. Each is done by one checkpoint; until that is durable nothing
 * is different. What a snapshot alone has is found by comparing it with its neighbours: a block is its own if it is
 * newer than the snapshot before and if the one after (or today's tree) has another in its place.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/diff.h"

#define PER_BLOCK (VOLUME_BLOCK_SIZE / sizeof(struct volume_snapshot))

/* The table, of which the first `count` may have changed. */
static int table_store(struct volume *v, unsigned count)
{
    for (unsigned first = 0; first < count; first += PER_BLOCK) {
        struct vol_block *b;
        unsigned here = first < v->snapshot_count ? (unsigned)MIN(v->snapshot_count - first, PER_BLOCK) : 0;
        int err = vol_block_get(&v->objects[VOLUME_OBJECT_SNAPSHOTS], 0, first / PER_BLOCK, VOL_CREATE, &b);
        if (err < 0)
            return err;
        err = vol_block_dirty(b);
        if (err == 0) {
            memset(b->data, 0, VOLUME_BLOCK_SIZE);
            memcpy(b->data, v->snapshots + first, here * sizeof(*v->snapshots));
        }
        vol_block_put(b);
        if (err < 0)
            return err;
    }
    return 0;
}

static int snapshot_find(const struct volume *v, const char *name)
{
    for (unsigned i = 0; i < v->snapshot_count; i++)
        if (strcmp(v->snapshots[i].name, name) == 0)
            return (int)i;
    return -ENOENT;
}

/* In the checkpoint that makes it, when all of the tree has its place. */
static int snapshot_append(struct volume *v)
{
    struct volume_snapshot *s = &v->snapshots[v->snapshot_count];
    s->inodes = vol_tree_today(v);
    s->inode_next = v->inode_next;
    s->inode_free = v->inode_free;
    s->inode_orphan = v->inode_orphan;
    s->inode_count = v->inode_count;
    s->nonce = v->nonce;
    s->epoch = v->epoch;
    v->snapshot_count++;
    v->tree_written = NULL;
    return table_store(v, v->snapshot_count);
}

int vol_snapshot_add(struct volume *v, const char *name, const uint8_t guid[16], struct volume_time time)
{
    if (v->failed || v->options.read_only)
        return v->failed ? v->failed : -EROFS;
    if (!*name || strlen(name) >= sizeof(v->snapshots->name))
        return -EINVAL;
    if (snapshot_find(v, name) >= 0)
        return -EEXIST;
    if (v->rekey_epoch)
        return -EBUSY; /* it would keep blocks under the old key */
    if (v->snapshot_count == VOLUME_SNAPSHOT_MAX)
        return -ENOSPC;
    if (!v->snapshots && !(v->snapshots = kzalloc(VOLUME_SNAPSHOT_MAX * sizeof(*v->snapshots))))
        return -ENOMEM;
    int err = vol_header_feature(v, VOLUME_INCOMPAT_SNAPSHOTS, "snapshots");
    if (err < 0)
        return err;
    struct volume_snapshot *s = &v->snapshots[v->snapshot_count];
    *s = (struct volume_snapshot){.time = time};
    memcpy(s->guid, guid, sizeof(s->guid));
    string_copy(s->name, name, sizeof(s->name));
    v->tree_written = snapshot_append;
    err = vol_checkpoint(v);
    v->tree_written = NULL;
    return err;
}

int volume_snapshot_create(struct volume *v, const char *name)
{
    uint8_t guid[16];
    v->io->random(v->io->arg, guid, sizeof(guid));
    return vol_snapshot_add(v, name, guid, vol_now(v));
}

static int block_free(struct vol_diff *d, uint64_t ino, unsigned level, uint64_t index,
                      const struct volume_pointer *left, const struct volume_pointer *right)
{
    (void)ino, (void)level, (void)index, (void)right;
    int err = vol_free_prepare(d->v, VOLUME_WHERE_BLOCK(left->where));
    if (err == 0)
        vol_free(d->v, VOLUME_WHERE_BLOCK(left->where));
    return err < 0 ? err : d->v->failed;
}

int volume_snapshot_remove(struct volume *v, const char *name)
{
    int at = snapshot_find(v, name);
    if (v->failed || v->options.read_only)
        return v->failed ? v->failed : -EROFS;
    if (at < 0)
        return at;
    int err = vol_checkpoint(v); /* so that today's tree is all on the disk */
    if (err < 0)
        return err;
    const struct volume_snapshot *s = &v->snapshots[at];
    struct volume_root newer = (unsigned)at + 1 < v->snapshot_count ? s[1].inodes : vol_tree_today(v);
    struct vol_diff d = {.v = v, .left_only = true, .block = block_free};
    if (at > 0) {
        d.floor_epoch = s[-1].epoch;
        d.floor_nonce = s[-1].nonce;
    }
    err = vol_diff(&d, &s->inodes, &newer);
    if (err < 0)
        return err;
    v->snapshot_count--;
    memmove(&v->snapshots[at], &v->snapshots[at + 1], (v->snapshot_count - (unsigned)at) * sizeof(*v->snapshots));
    err = table_store(v, v->snapshot_count + 1);
    return err < 0 ? err : vol_checkpoint(v);
}

static bool nodes_in_use(const struct volume *v)
{
    for (unsigned i = 0; i < VOL_BUCKETS; i++)
        if (!LIST_EMPTY(&v->nodes[i]))
            return true;
    return false;
}

/*
 * Only to the last one: blocks of those after it would be found by comparing them with a tree that is not the next one
 * any more. What is newer than it is today's alone, and free now; everything else of today's tree it has, too.
 */
int volume_snapshot_rollback(struct volume *v, const char *name)
{
    int at = snapshot_find(v, name);
    if (v->failed || v->options.read_only)
        return v->failed ? v->failed : -EROFS;
    if (at < 0)
        return at;
    if ((unsigned)at + 1 < v->snapshot_count)
        return -EEXIST;
    int err = vol_checkpoint(v); /* so that today's tree is all on the disk, and nothing in memory is newer */
    if (err < 0)
        return err;
    vol_cache_drop(v);
    if (nodes_in_use(v))
        return -EBUSY;
    const struct volume_snapshot *s = &v->snapshots[at];
    struct volume_root today = vol_tree_today(v);
    struct vol_diff d = {
        .v = v, .left_only = true, .floor_epoch = s->epoch, .floor_nonce = s->nonce, .block = block_free};
    err = vol_diff(&d, &today, &s->inodes);
    if (err == 0)
        err = vol_snapshot_show(v, name);
    return err < 0 ? err : vol_checkpoint(v);
}

/*
 * Items into a volume (replica.h). Of a difference no checkpoint is made before the end: contents go to free blocks
 * meanwhile, the rest waits in memory, and a volume that is abandoned is as it was.
 */
#include "kernel/volume/replica.h"

#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

#define ITEM_BLOCKS 32 /* that one item makes dirty, at most: two trees of five levels and a map block for each */

bool replica_item_valid(const struct replica_item *item)
{
    switch (item->type) {
    case REPLICA_BEGIN:
        return item->size == sizeof(struct replica_begin);
    case REPLICA_INODE:
        return item->size == sizeof(struct replica_inode);
    case REPLICA_BLOCK:
        return item->size == sizeof(struct replica_place) + VOLUME_BLOCK_SIZE;
    case REPLICA_HOLE:
        return item->size == sizeof(struct replica_place);
    case REPLICA_END:
        return item->size == 0;
    default:
        return false;
    }
}

static bool is_zero(const uint8_t guid[16])
{
    static const uint8_t zero[16];
    return memcmp(guid, zero, sizeof(zero)) == 0;
}

/* A difference may only meet what it is the difference to. */
static int base_check(const struct volume *v, const struct replica_begin *b)
{
    const struct volume_snapshot *base = NULL;
    for (unsigned i = 0; i < v->snapshot_count; i++) {
        if (memcmp(v->snapshots[i].guid, b->guid, sizeof(b->guid)) == 0 || strcmp(v->snapshots[i].name, b->name) == 0)
            return -EEXIST;
        if (memcmp(v->snapshots[i].guid, b->from_guid, sizeof(b->from_guid)) == 0)
            base = &v->snapshots[i];
    }
    if (!base)
        return -ENOENT;
    const struct volume_inode *today = &v->objects[VOLUME_OBJECT_INODES].inode;
    return memcmp(&today->root, &base->inodes.pointer, sizeof(today->root)) == 0 ? 0 : -ESTALE;
}

static int begin(struct replica_receiver *r, const struct replica_begin *b)
{
    struct volume *v = r->volume;
    bool whole = is_zero(b->from_guid);
    if (r->begun || b->inode_next < VOLUME_ROOT_INO + 1 || b->inode_next < v->inode_next ||
        b->inode_next > VOLUME_ROOT_INO + VOLUME_BLOCKS_MAX * VOLUME_INODES_PER_BLOCK || b->name[sizeof(b->name) - 1] ||
        is_zero(b->guid) != (b->name[0] == 0) || (!whole && is_zero(b->guid)))
        return -EBADMSG;
    if (v->failed || v->options.read_only)
        return v->failed ? v->failed : -EROFS;
    if (whole && (v->snapshot_count > 0 || v->inode_count > 1))
        return -ESTALE;
    int err = whole ? 0 : base_check(v, b);
    if (err < 0)
        return err;
    r->begin = *b;
    r->begun = true;
    v->at_once = !whole;
    v->log_useless = true; /* none of this is in the log */
    v->changed = true;
    memcpy(v->hash_key, b->hash_key, sizeof(v->hash_key));
    return 0;
}

/* The node of a number, used or free, dirty. */
static int node_get(struct replica_receiver *r, uint64_t ino, struct volume_node **ret_node)
{
    if (ino < VOLUME_ROOT_INO || ino >= r->begin.inode_next)
        return -EBADMSG;
    int err = vol_begin(r->volume, ITEM_BLOCKS, VOL_GROW);
    return err < 0 ? err : vol_node_any(r->volume, ino, ret_node);
}

static void node_put(struct volume_node *node)
{
    node->refs--; /* not volume_node_put(): nothing is destroyed here */
    vol_node_release(node);
}

static int contents_drop(struct volume_node *node)
{
    struct vol_block *b;
    int err = node->inode.inline_size == 0 ? vol_node_cut(node, 0, VOLUME_FILE_BLOCKS) : 0;
    if (err == 0)
        err = vol_block_get(node, VOLUME_LEVEL_XATTR, 0, VOL_READ, &b);
    return err < 0 || !b ? err : vol_block_drop(b);
}

static bool inode_valid(const struct volume_inode *i)
{
    static const uint8_t zero[sizeof(struct volume_pointer)];
    bool link = S_ISLNK(i->mode), has_root = memcmp(&i->root, zero, sizeof(zero)) != 0;
    return i->inline_size <= VOLUME_INLINE_SIZE && (i->inline_size == 0 || link) && (i->inline_size > 0 || !has_root) &&
           memcmp(&i->xattr, zero, sizeof(zero)) == 0 && i->height == 0 && i->block_count == 0;
}

static int inode_set(struct replica_receiver *r, const struct replica_inode *body)
{
    struct volume_node *node;
    struct volume_inode new = body->inode;
    if (!inode_valid(&new))
        return -EBADMSG;
    int err = node_get(r, body->ino, &node);
    if (err < 0)
        return err;
    const struct volume_inode *old = &node->inode;
    if (old->generation != new.generation || (old->mode & S_IFMT) != (new.mode &S_IFMT) || old->inline_size > 0 ||
        new.inline_size > 0)
        err = contents_drop(node); /* another file; what it shares with this one is nothing */
    if (err == 0) {
        new.height = old->inline_size == 0 && new.inline_size == 0 ? old->height : 0;
        new.block_count = old->block_count;
        new.xattr = old->xattr;
        if (new.inline_size == 0 && old->inline_size == 0)
            new.root = old->root;
        node->inode = new;
    }
    node_put(node);
    return err;
}

static bool place_valid(const struct replica_place *p)
{
    if (p->level == VOLUME_LEVEL_XATTR)
        return p->index == 0 && p->count == 1;
    return p->level == 0 && p->index < VOLUME_FILE_BLOCKS && p->count > 0 && p->count <= VOLUME_FILE_BLOCKS - p->index;
}

/* Contents are of what has contents. */
static bool takes(const struct volume_node *node, const struct replica_place *p)
{
    const struct volume_inode *i = &node->inode;
    bool contents = (S_ISREG(i->mode) || S_ISDIR(i->mode) || S_ISLNK(i->mode)) && i->inline_size == 0;
    return p->level == 0 ? contents : i->mode != 0;
}

static int block_set(struct volume_node *node, const struct replica_place *p, const uint8_t *data)
{
    struct vol_block *b;
    int err = vol_block_get(node, (unsigned)p->level, p->index, VOL_CREATE, &b);
    if (err < 0)
        return err;
    err = vol_block_dirty(b);
    if (err == 0)
        memcpy(b->data, data, VOLUME_BLOCK_SIZE);
    vol_block_put(b);
    return err;
}

static int hole_make(struct volume_node *node, const struct replica_place *p)
{
    struct vol_block *b;
    if (p->level == 0)
        return vol_node_cut(node, p->index, p->index + p->count);
    int err = vol_block_get(node, VOLUME_LEVEL_XATTR, 0, VOL_READ, &b);
    return err < 0 || !b ? err : vol_block_drop(b);
}

static int place_set(struct replica_receiver *r, const struct replica_place *p, const uint8_t *data)
{
    struct volume_node *node;
    if (!place_valid(p) || (data && p->count != 1))
        return -EBADMSG;
    int err = node_get(r, p->ino, &node);
    if (err < 0)
        return err;
    if (!takes(node, p))
        err = -EBADMSG;
    else
        err = data ? block_set(node, p, data) : hole_make(node, p);
    node_put(node);
    return err;
}

static int end(struct replica_receiver *r)
{
    struct volume *v = r->volume;
    const struct replica_begin *b = &r->begin;
    v->inode_next = b->inode_next;
    v->inode_free = b->inode_free;
    v->inode_orphan = b->inode_orphan;
    v->inode_count = b->inode_count;
    r->ended = true;
    return is_zero(b->guid) ? vol_checkpoint(v) : vol_snapshot_add(v, b->name, b->guid, b->time);
}

int volume_receive(struct replica_receiver *r, const struct replica_item *item, const void *body)
{
    if (!replica_item_valid(item) || r->ended || r->begun == (item->type == REPLICA_BEGIN))
        return -EBADMSG;
    switch (item->type) {
    case REPLICA_BEGIN:
        return begin(r, body);
    case REPLICA_INODE:
        return inode_set(r, body);
    case REPLICA_BLOCK:
        return place_set(r, body, (const uint8_t *)body + sizeof(struct replica_place));
    case REPLICA_HOLE:
        return place_set(r, body, NULL);
    default:
        return end(r);
    }
}

/* Nodes: inodes in memory, their numbers, and those without a name. */
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

static struct vol_node_bucket *bucket(struct volume *v, uint64_t ino)
{
    return &v->nodes[(ino * 0x9e3779b97f4a7c15ULL >> 40) % VOL_BUCKETS];
}

static struct volume_node *node_find(struct volume *v, uint64_t ino)
{
    struct volume_node *node;
    LIST_FOREACH (node, bucket(v, ino), hash_link) {
        if (node->ino == ino)
            return node;
    }
    return NULL;
}

static struct volume_node *node_alloc(struct volume *v, uint64_t ino)
{
    struct volume_node *node = kzalloc(sizeof(*node));
    if (!node)
        return NULL;
    node->volume = v;
    node->ino = ino;
    node->refs = 1;
    RB_INIT(&node->dirty_blocks);
    LIST_INSERT_HEAD(bucket(v, ino), node, hash_link);
    return node;
}

void vol_node_release(struct volume_node *node)
{
    if (node->object || node->refs != 0 || node->cached != 0 || node->dirty)
        return;
    LIST_REMOVE(node, hash_link);
    kfree(node);
}

/* The block an inode is in. */
static int inode_block(struct volume *v, uint64_t ino, enum vol_get how, struct vol_block **ret_block)
{
    return vol_block_get(&v->objects[VOLUME_OBJECT_INODES], 0, ino / VOLUME_INODES_PER_BLOCK, how, ret_block);
}

static struct volume_inode *inode_in(struct vol_block *b, uint64_t ino)
{
    return (struct volume_inode *)b->data + ino % VOLUME_INODES_PER_BLOCK;
}

static bool inode_valid(const struct volume_inode *inode)
{
    return inode->height <= VOLUME_HEIGHT_MAX && inode->inline_size <= VOLUME_INLINE_SIZE &&
           (inode->inline_size == 0 || S_ISLNK(inode->mode));
}

int volume_node_get(struct volume *v, uint64_t ino, struct volume_node **ret_node)
{
    struct vol_block *b;
    struct volume_node *node = node_find(v, ino);
    if (node) {
        if (node->inode.mode == 0)
            return -ENOENT;
        *ret_node = volume_node_ref(node);
        return 0;
    }
    if (ino < VOLUME_ROOT_INO || ino >= v->inode_next)
        return -ENOENT;
    int err = inode_block(v, ino, VOL_READ, &b);
    if (err < 0 || !b)
        return err < 0 ? err : -ENOENT;
    struct volume_inode inode = *inode_in(b, ino);
    vol_block_put(b);
    if (inode.mode == 0)
        return -ENOENT;
    if (!inode_valid(&inode))
        return -EIO;
    node = node_alloc(v, ino);
    if (!node)
        return -ENOMEM;
    node->inode = inode;
    *ret_node = node;
    return 0;
}

struct volume_node *volume_node_ref(struct volume_node *node)
{
    node->refs++;
    return node;
}

void volume_node_put(struct volume_node *node)
{
    if (!node || --node->refs > 0)
        return;
    struct volume *v = node->volume;
    if (node->inode.nlink == 0 && node->inode.mode != 0 && !v->failed && !v->replaying && !v->options.read_only) {
        node->refs++;
        int err = vol_node_destroy(node);
        node->refs--;
        if (err < 0)
            v->changed = true; /* the next mount does it */
    }
    vol_node_release(node);
}

const struct volume_inode *volume_node_inode(const struct volume_node *node)
{
    return &node->inode;
}

uint64_t volume_node_ino(const struct volume_node *node)
{
    return node->ino;
}

struct volume_time vol_now(struct volume *v)
{
    struct timespec_ns now = v->io->now(v->io->arg);
    return (struct volume_time){.sec = now.sec, .nsec = now.nsec};
}

void vol_node_touch(struct volume_node *node, struct volume_time time)
{
    node->inode.mtime = node->inode.ctime = time;
}

static void node_set_dirty(struct volume_node *node, struct vol_block *b)
{
    node->inode_block = b;
    node->dirty = true;
    node->volume->changed = true;
    TAILQ_INSERT_TAIL(&node->volume->dirty_nodes, node, dirty_link);
}

int vol_node_dirty(struct volume_node *node)
{
    struct vol_block *b;
    if (node->dirty || node->object)
        return 0;
    int err = inode_block(node->volume, node->ino, VOL_CREATE, &b);
    if (err < 0)
        return err;
    err = vol_block_dirty(b);
    if (err < 0) {
        vol_block_put(b);
        return err;
    }
    node_set_dirty(node, b);
    return 0;
}

void vol_inode_store(struct volume_node *node)
{
    *inode_in(node->inode_block, node->ino) = node->inode;
    if (node->along) {
        TAILQ_REMOVE(&node->volume->along, node, along_link);
        node->along = false;
    }
    node->dirty = node->attr_unlogged = node->data_unlogged = node->root_unlogged = false;
    TAILQ_REMOVE(&node->volume->dirty_nodes, node, dirty_link);
    vol_block_put(node->inode_block);
    node->inode_block = NULL;
    vol_node_release(node);
}

/* A number, and the node in memory that still has it, if any. */
static int number_prepare(struct volume *v, uint64_t ino, struct vol_block **ret_block, struct volume_node **ret_node,
                          struct volume_inode *ret_inode)
{
    int err = inode_block(v, ino, VOL_CREATE, ret_block);
    if (err < 0)
        return err;
    err = vol_block_dirty(*ret_block);
    *ret_node = node_find(v, ino);
    if (err == 0 && *ret_node)
        volume_node_ref(*ret_node);
    else if (err == 0 && !(*ret_node = node_alloc(v, ino)))
        err = -ENOMEM;
    else if (err == 0)
        (*ret_node)->inode = *inode_in(*ret_block, ino);
    if (err < 0) {
        vol_block_put(*ret_block);
        return err;
    }
    *ret_inode = (*ret_node)->inode;
    return 0;
}

int vol_node_any(struct volume *v, uint64_t ino, struct volume_node **ret_node)
{
    struct volume_inode inode;
    struct vol_block *b;
    int err = number_prepare(v, ino, &b, ret_node, &inode);
    if (err < 0)
        return err;
    if ((*ret_node)->dirty)
        vol_block_put(b); /* it has one */
    else
        node_set_dirty(*ret_node, b);
    return 0;
}

int vol_node_new(struct volume *v, uint32_t mode, uint64_t rdev, struct volume_owner owner, struct volume_time time,
                 uint64_t expect_ino, struct volume_node **ret_node)
{
    uint64_t ino = v->inode_free ? v->inode_free : v->inode_next;
    struct volume_inode old;
    struct vol_block *b;
    if (expect_ino != 0 && ino != expect_ino)
        return -EUCLEAN;
    int err = number_prepare(v, ino, &b, ret_node, &old);
    if (err < 0)
        return err;
    struct volume_node *node = *ret_node;
    if (v->inode_free)
        v->inode_free = old.next;
    else
        v->inode_next++;
    v->inode_count++;
    node->inode = (struct volume_inode){.mode = mode,
                                        .uid = owner.uid,
                                        .gid = owner.gid,
                                        .nlink = 1,
                                        .rdev = rdev,
                                        .generation = old.generation + 1,
                                        .atime = time,
                                        .mtime = time,
                                        .ctime = time,
                                        .btime = time};
    if (node->dirty)
        vol_block_put(b); /* it has one */
    else
        node_set_dirty(node, b);
    return 0;
}

int vol_orphan_prepare(struct volume *v)
{
    struct volume_node *head;
    if (v->inode_orphan == 0)
        return 0;
    int err = volume_node_get(v, v->inode_orphan, &head);
    if (err < 0)
        return err == -ENOENT ? -EIO : err;
    err = vol_node_dirty(head); /* so it stays in memory */
    head->refs--;
    return err;
}

void vol_orphan_add(struct volume_node *node)
{
    struct volume *v = node->volume;
    node->inode.prev = 0;
    node->inode.next = v->inode_orphan;
    if (v->inode_orphan != 0)
        node_find(v, v->inode_orphan)->inode.prev = node->ino;
    v->inode_orphan = node->ino;
}

static int neighbour_get(struct volume *v, uint64_t ino, struct volume_node **ret_node)
{
    *ret_node = NULL;
    if (ino == 0)
        return 0;
    int err = volume_node_get(v, ino, ret_node);
    if (err == 0) {
        err = vol_node_dirty(*ret_node);
        (*ret_node)->refs--; /* being dirty it stays; and it must not be destroyed here */
    }
    return err;
}

int vol_orphan_remove(struct volume_node *node)
{
    struct volume *v = node->volume;
    struct volume_node *prev, *next;
    int err = neighbour_get(v, node->inode.prev, &prev);
    if (err == 0)
        err = neighbour_get(v, node->inode.next, &next);
    if (err == 0)
        err = vol_node_dirty(node);
    if (err < 0)
        return err;
    if (prev)
        prev->inode.next = node->inode.next;
    else
        v->inode_orphan = node->inode.next;
    if (next)
        next->inode.prev = node->inode.prev;
    node->inode.next = node->inode.prev = 0;
    return 0;
}

static int destroy_contents(struct volume_node *node)
{
    struct vol_block *b;
    if (node->inode.inline_size == 0) {
        int err = vol_node_cut(node, 0, VOLUME_FILE_BLOCKS);
        if (err < 0)
            return err;
    }
    node->inode.size = 0;
    int err = vol_block_get(node, VOLUME_LEVEL_XATTR, 0, VOL_READ, &b);
    return err < 0 || !b ? err : vol_block_drop(b);
}

int vol_node_destroy(struct volume_node *node)
{
    struct volume *v = node->volume;
    struct vol_op *op = vol_op_new(v, VOLUME_OP_FREE, sizeof(struct volume_op_range));
    int err = op ? vol_node_dirty(node) : -ENOMEM;
    if (err == 0)
        err = destroy_contents(node);
    if (err == 0)
        err = vol_orphan_remove(node);
    if (err < 0) {
        vol_op_free(op);
        return err;
    }
    *(struct volume_op_range *)op->data = (struct volume_op_range){.ino = node->ino};
    node->inode = (struct volume_inode){.generation = node->inode.generation, .next = v->inode_free};
    node->attr_unlogged = node->data_unlogged = node->root_unlogged = false;
    if (node->along) {
        TAILQ_REMOVE(&v->along, node, along_link);
        node->along = false;
    }
    v->inode_free = node->ino;
    v->inode_count--;
    vol_op_log(v, op);
    return 0;
}

int vol_orphans_destroy(struct volume *v)
{
    while (v->inode_orphan != 0) {
        struct volume_node *node;
        int err = volume_node_get(v, v->inode_orphan, &node);
        if (err == 0) {
            err = vol_node_destroy(node);
            node->refs--;
            vol_node_release(node);
        }
        if (err < 0)
            return err == -ENOENT ? -EIO : err;
    }
    return 0;
}

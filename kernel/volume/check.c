/*
 * The complete check: every block that a tree reaches is read and verified; every block is used exactly once (trees may
 * share it, at one place) and the free map says so; link counts, entry counts and the order of directories are right.
 * Repairs nothing.
 */
#include <stdarg.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/volume/diff.h"

struct check {
    struct volume *v;
    volume_report_fn report;
    void *arg;
    struct volume_check_result *result;
    uint8_t *seen;     /* a bit for each block */
    uint32_t *links;   /* names found, by inode */
    uint32_t *subdirs; /* directories in it, by inode */
    uint8_t contents[VOLUME_BLOCK_SIZE];
};

static void problem(struct check *c, const char *format, ...) printf_like(2, 3);
static void problem(struct check *c, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    c->result->problem_count++;
    if (c->report)
        c->report(c->arg, text);
}

static void use(struct check *c, uint64_t block, uint64_t ino)
{
    if (block >= c->v->block_count) {
        problem(c, "inode %lu: block %lu is beyond the end", (unsigned long)ino, (unsigned long)block);
        return;
    }
    if (c->seen[block / 8] >> (block % 8) & 1)
        problem(c, "inode %lu: block %lu is used twice", (unsigned long)ino, (unsigned long)block);
    c->seen[block / 8] |= (uint8_t)(1u << (block % 8));
    c->result->block_count++;
}

static void use_pointer(struct check *c, const struct volume_pointer *pointer, uint64_t ino, uint64_t *count)
{
    if (pointer->where == 0)
        return;
    use(c, VOLUME_WHERE_BLOCK(pointer->where), ino);
    ++*count;
}

/* A block of contents is verified past the cache, unless it is newer in memory. */
static int contents_check(struct check *c, struct volume_node *node, uint64_t index,
                          const struct volume_pointer *pointer)
{
    struct vol_block *b = vol_block_find(node, 0, index);
    struct volume_block_aad aad = {node->ino, index, 0};
    if (pointer->where == 0 || (b && b->dirty))
        return 0;
    int err = vol_pointer_read(c->v, pointer, &aad, c->contents);
    if (err == -EIO)
        problem(c, "inode %lu: block %lu of its contents does not verify", (unsigned long)node->ino,
                (unsigned long)index);
    return err == -EIO ? 0 : err;
}

static int tree_check(struct check *c, struct volume_node *node, unsigned level, uint64_t index, uint64_t *count)
{
    struct vol_block *b;
    int err = vol_block_get(node, level, index, VOL_READ, &b);
    if (err == -EIO) {
        problem(c, "inode %lu: block %lu of pointers, level %u, does not verify", (unsigned long)node->ino,
                (unsigned long)index, level);
        return 0;
    }
    if (err < 0 || !b)
        return err;
    for (unsigned slot = 0; err == 0 && slot < VOLUME_FANOUT; slot++) {
        const struct volume_pointer *pointer = &vol_pointers(b)[slot];
        uint64_t child = index * VOLUME_FANOUT + slot;
        if (pointer->where == 0 && !(level > 1 && vol_block_find(node, level - 1, child)))
            continue;
        use_pointer(c, pointer, node->ino, count);
        err = level == 1 ? contents_check(c, node, child, pointer) : tree_check(c, node, level - 1, child, count);
    }
    vol_block_put(b);
    return err;
}

static int node_blocks_check(struct check *c, struct volume_node *node, uint64_t *ret_count)
{
    const struct volume_inode *i = &node->inode;
    *ret_count = 0;
    use_pointer(c, &i->xattr, node->ino, ret_count);
    if (i->inline_size > 0)
        return 0;
    use_pointer(c, &i->root, node->ino, ret_count);
    return i->height == 0 ? contents_check(c, node, 0, &i->root) : tree_check(c, node, i->height, 0, ret_count);
}

struct entries {
    struct check *c;
    struct volume_node *dir;
    uint64_t count;
    int64_t last;
    int error;
};

static bool entry_check(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    struct entries *e = arg;
    struct check *c = e->c;
    struct volume_node *node;
    if (next_pos <= 2)
        return true;
    e->count++;
    if (vol_dir_hash(c->v, name, size) + 1 != (uint64_t)next_pos)
        problem(c, "directory %lu: an entry is not where its name belongs", (unsigned long)e->dir->ino);
    int err = volume_node_get(c->v, ino, &node);
    if (err == -ENOENT || err == -EIO) {
        problem(c, "directory %lu: an entry leads to inode %lu, which is not there", (unsigned long)e->dir->ino,
                (unsigned long)ino);
        return true;
    }
    if (err < 0) {
        e->error = err;
        return false;
    }
    if (VOL_DT(node->inode.mode) != type)
        problem(c, "directory %lu: an entry has the wrong type", (unsigned long)e->dir->ino);
    if (S_ISDIR(node->inode.mode)) {
        c->subdirs[e->dir->ino]++;
        if (node->inode.parent != e->dir->ino)
            problem(c, "directory %lu: its parent is another", (unsigned long)ino);
    }
    c->links[ino]++;
    volume_node_put(node);
    return true;
}

static int dir_check(struct check *c, struct volume_node *dir)
{
    struct entries e = {.c = c, .dir = dir};
    int64_t pos = 0;
    int err = volume_readdir(dir, &pos, entry_check, &e);
    if (err == -EIO) {
        problem(c, "directory %lu cannot be read", (unsigned long)dir->ino);
        return 0;
    }
    if (err == 0 && e.error == 0 && e.count != dir->inode.entry_count)
        problem(c, "directory %lu: %lu entries, but it says %lu", (unsigned long)dir->ino, (unsigned long)e.count,
                (unsigned long)dir->inode.entry_count);
    c->result->dir_count++;
    return err < 0 ? err : e.error;
}

static int inode_check(struct check *c, uint64_t ino)
{
    struct volume_node *node;
    uint64_t count;
    int err = volume_node_get(c->v, ino, &node);
    if (err == -ENOENT)
        return 0;
    if (err == -EIO) {
        problem(c, "inode %lu cannot be read", (unsigned long)ino);
        return 0;
    }
    if (err < 0)
        return err;
    err = node_blocks_check(c, node, &count);
    if (err == 0 && count != node->inode.block_count)
        problem(c, "inode %lu: %lu blocks, but it says %lu", (unsigned long)ino, (unsigned long)count,
                (unsigned long)node->inode.block_count);
    if (err == 0 && S_ISDIR(node->inode.mode) && node->inode.nlink > 0)
        err = dir_check(c, node);
    else
        c->result->file_count++;
    node->refs--; /* not volume_node_put: a check destroys nothing */
    vol_node_release(node);
    return err;
}

static void links_check(struct check *c, uint64_t ino)
{
    struct volume_node *node;
    if (volume_node_get(c->v, ino, &node) < 0)
        return;
    const struct volume_inode *i = &node->inode;
    uint32_t found = c->links[ino] + (ino == VOLUME_ROOT_INO);
    if (S_ISDIR(i->mode) && i->nlink > 0)
        found = found == 1 ? 2 + c->subdirs[ino] : 0;
    if (found != i->nlink)
        problem(c, "inode %lu: %u links, but it says %u", (unsigned long)ino, found, i->nlink);
    node->refs--;
    vol_node_release(node);
}

static int map_check(struct check *c)
{
    struct volume *v = c->v;
    uint64_t used = 0, wrong = 0;
    for (uint64_t group = 0; group < v->group_count; group++) {
        struct vol_block *map;
        int err = vol_block_get(&v->objects[VOLUME_OBJECT_FREE_MAP], 0, group, VOL_READ, &map);
        if (err < 0)
            return err;
        uint64_t start = group * VOLUME_GROUP_BLOCKS, end = MIN(start + VOLUME_GROUP_BLOCKS, v->block_count);
        for (uint64_t block = start; block < end; block++) {
            bool is_used = map && map->data[(block - start) / 8] >> (block % 8) & 1;
            used += is_used;
            if (is_used == (c->seen[block / 8] >> (block % 8) & 1))
                continue;
            if (wrong++ < 10)
                problem(c, "block %lu is %s, but the free map says otherwise", (unsigned long)block,
                        is_used ? "not used" : "used");
        }
        vol_block_put(map);
    }
    if (used != v->used_count)
        problem(c, "%lu blocks are used, but the checkpoint says %lu", (unsigned long)used,
                (unsigned long)v->used_count);
    return 0;
}

static void log_check(struct check *c)
{
    struct volume *v = c->v;
    for (uint64_t i = 0; i < VOLUME_FIRST_BLOCK; i++)
        use(c, i, 0);
    for (size_t i = 0; i < v->log_extent_count; i++)
        for (uint64_t j = 0; j < v->log_extents[i].count; j++)
            use(c, v->log_extents[i].block + j, 0);
    for (uint64_t i = 0; i < v->log_room; i++)
        use(c, v->log_block + i, 0);
    for (uint64_t i = 0; i < v->spare_room; i++)
        use(c, v->spare_block + i, 0);
}

static int snapshot_block(struct vol_diff *d, uint64_t ino, unsigned level, uint64_t index,
                          const struct volume_pointer *left, const struct volume_pointer *right)
{
    struct check *c = d->arg;
    struct volume_block_aad aad = {ino, index, level};
    (void)right;
    use(c, VOLUME_WHERE_BLOCK(left->where), ino);
    bool read_by_diff = level != VOLUME_LEVEL_XATTR && (level > 0 || ino == 0);
    int err = read_by_diff ? 0 : vol_pointer_read(c->v, left, &aad, c->contents);
    if (err == -EIO)
        problem(c, "a snapshot's inode %lu: block %lu does not verify", (unsigned long)ino, (unsigned long)index);
    return err == -EIO ? 0 : err;
}

static void snapshot_bad(struct vol_diff *d, uint64_t ino, unsigned level, uint64_t index)
{
    problem(d->arg, "a snapshot's inode %lu: block %lu of level %u does not verify", (unsigned long)ino,
            (unsigned long)index, level);
}

/* Each snapshot's blocks that the next newer tree has not. */
static int snapshots_check(struct check *c)
{
    struct volume_root newer = vol_tree_today(c->v);
    struct vol_diff d = {.v = c->v, .left_only = true, .arg = c, .block = snapshot_block, .bad = snapshot_bad};
    int err = 0;
    for (unsigned i = c->v->snapshot_count; err == 0 && i-- > 0; newer = c->v->snapshots[i].inodes)
        err = vol_diff(&d, &c->v->snapshots[i].inodes, &newer);
    return err;
}

static int check_all(struct check *c)
{
    struct volume *v = c->v;
    int err = 0;
    log_check(c);
    for (unsigned i = 0; err == 0 && i < VOLUME_OBJECT_COUNT; i++) {
        uint64_t count;
        err = node_blocks_check(c, &v->objects[i], &count);
    }
    for (uint64_t ino = VOLUME_ROOT_INO; err == 0 && ino < v->inode_next; ino++)
        err = inode_check(c, ino);
    for (uint64_t ino = VOLUME_ROOT_INO; err == 0 && ino < v->inode_next; ino++)
        links_check(c, ino);
    if (err == 0)
        err = snapshots_check(c);
    return err < 0 ? err : map_check(c);
}

int volume_check(struct volume *v, volume_report_fn report, void *arg, struct volume_check_result *ret_result)
{
    /* Snapshots are compared with what is on the disk. */
    int err = v->snapshot_count > 0 ? vol_checkpoint(v) : 0;
    if (err == 0 && v->snapshot_count > 0 && v->options.read_only && v->replayed > 0)
        err = -EROFS;
    struct check *c = err == 0 ? kzalloc(sizeof(*c)) : NULL;
    if (!c)
        return err < 0 ? err : -ENOMEM;
    *ret_result = (struct volume_check_result){0};
    c->v = v;
    c->report = report;
    c->arg = arg;
    c->result = ret_result;
    c->seen = kzalloc((v->block_count + 7) / 8);
    c->links = kzalloc(v->inode_next * sizeof(*c->links));
    c->subdirs = kzalloc(v->inode_next * sizeof(*c->subdirs));
    err = c->seen && c->links && c->subdirs ? check_all(c) : -ENOMEM;
    kfree(c->subdirs);
    kfree(c->links);
    kfree(c->seen);
    kfree(c);
    return err;
}

/*
 * Names: create, link, unlink, rename. Each gets and dirties all it touches, makes its log entry, and only then changes
 * anything. Replay calls the same functions with the times and numbers of the log.
 */
#include <linux/fs.h>

#include "kernel/volume/internal.h"

#define NAME_BLOCKS 24 /* dirtied by one change of a directory, at most: two trees' paths, splits, inodes */
#define TARGET_MAX 4095

static int name_check(const struct volume_node *dir, size_t size)
{
    if (!S_ISDIR(dir->inode.mode))
        return -ENOTDIR;
    if (size == 0 || dir->inode.nlink == 0)
        return -ENOENT;
    return size > VOLUME_NAME_MAX ? -ENAMETOOLONG : 0;
}

static int must_be_absent(struct volume_node *dir, const char *name, size_t size)
{
    struct vol_place place;
    int err = vol_dir_find(dir, name, size, &place);
    vol_block_put(place.leaf);
    return err == 0 ? -EEXIST : err == -ENOENT ? 0 : err;
}

int volume_lookup(struct volume_node *dir, const char *name, size_t size, struct volume_node **ret_node)
{
    struct vol_place place;
    int err = vol_dir_find(dir, name, size, &place);
    if (err < 0)
        return err;
    uint64_t ino = vol_dir_entry(&place)->ino;
    vol_block_put(place.leaf);
    err = volume_node_get(dir->volume, ino, ret_node);
    return err == -ENOENT ? -EIO : err;
}

/* The target of a symbolic link: in the inode if short, else in a block. */
static int target_store(struct volume_node *node, const char *target, size_t size)
{
    struct vol_block *b;
    node->inode.size = size;
    if (size <= VOLUME_INLINE_SIZE) {
        node->inode.inline_size = (uint8_t)size;
        memcpy(node->inode.inline_data, target, size);
        return 0;
    }
    int err = vol_block_get(node, 0, 0, VOL_CREATE, &b);
    if (err < 0)
        return err;
    err = vol_block_dirty(b);
    if (err == 0)
        memcpy(b->data, target, size);
    vol_block_put(b);
    return err;
}

ssize_t volume_readlink(struct volume_node *node, char *buf, size_t size)
{
    struct vol_block *b;
    if (!S_ISLNK(node->inode.mode))
        return -EINVAL;
    size = MIN(size, (size_t)node->inode.size);
    if (node->inode.inline_size > 0) {
        memcpy(buf, node->inode.inline_data, MIN(size, node->inode.inline_size));
        return (ssize_t)size;
    }
    int err = vol_block_get(node, 0, 0, VOL_READ, &b);
    if (err < 0)
        return err;
    if (!b || size > VOLUME_BLOCK_SIZE)
        err = -EIO;
    else
        memcpy(buf, b->data, size);
    vol_block_put(b);
    return err < 0 ? err : (ssize_t)size;
}

static struct vol_op *create_op(struct volume *v, struct volume_node *dir, const char *name, size_t size, uint32_t mode,
                                uint64_t rdev, const char *target, size_t target_size, struct volume_owner owner,
                                struct volume_time time)
{
    struct vol_op *op = vol_op_new(v, VOLUME_OP_CREATE, sizeof(struct volume_op_create) + size + target_size);
    if (!op)
        return NULL;
    struct volume_op_create *c = (struct volume_op_create *)op->data;
    *c = (struct volume_op_create){.dir = dir ? dir->ino : 0,
                                   .rdev = rdev,
                                   .mode = mode,
                                   .uid = owner.uid,
                                   .gid = owner.gid,
                                   .name_size = (uint16_t)size,
                                   .target_size = (uint16_t)target_size,
                                   .time = time};
    memcpy(c + 1, name, size);
    memcpy((char *)(c + 1) + size, target, target_size);
    return op;
}

/* The inode and, if it has one, its target. On failure nothing is left but maybe a nameless inode. */
static int create_node(struct volume *v, struct volume_node *dir, uint32_t mode, uint64_t rdev, const char *target,
                       size_t target_size, struct volume_owner owner, struct volume_time time, uint64_t ino,
                       struct volume_node **ret_node)
{
    int err = vol_orphan_prepare(v);
    if (err == 0)
        err = vol_node_new(v, mode, rdev, owner, time, ino, ret_node);
    if (err < 0)
        return err;
    struct volume_node *node = *ret_node;
    if (S_ISLNK(mode))
        err = target_store(node, target, target_size);
    if (!dir || err < 0) {
        node->inode.nlink = 0;
        vol_orphan_add(node);
    }
    if (err < 0)
        volume_node_put(node);
    return err;
}

int vol_create_at(struct volume *v, struct volume_node *dir, const char *name, size_t size, uint32_t mode,
                  uint64_t rdev, const char *target, size_t target_size, struct volume_owner owner,
                  struct volume_time time, uint64_t ino, struct volume_node **ret_node)
{
    struct vol_place place = {0};
    struct volume_node *node;
    int err = dir ? name_check(dir, size) : 0;
    if (err == 0 && dir)
        err = must_be_absent(dir, name, size);
    if (err < 0)
        return err;
    struct vol_op *op = create_op(v, dir, name, size, mode, rdev, target, target_size, owner, time);
    if (!op)
        return -ENOMEM;
    if (dir)
        err = vol_dir_prepare(dir, name, size, &place);
    if (err == 0)
        err = create_node(v, dir, mode, rdev, target, target_size, owner, time, ino, &node);
    if (err < 0) {
        vol_block_put(place.leaf);
        vol_op_free(op);
        return err;
    }
    if (dir) {
        vol_dir_insert(dir, &place, name, size, node->ino, mode);
        vol_block_put(place.leaf);
        vol_node_touch(dir, time);
        if (S_ISDIR(mode)) {
            node->inode.nlink = 2;
            node->inode.parent = dir->ino;
            dir->inode.nlink++;
        }
    }
    ((struct volume_op_create *)op->data)->ino = node->ino;
    vol_op_log(v, op);
    *ret_node = node;
    return 0;
}

int volume_create(struct volume_node *dir, const char *name, size_t size, uint32_t mode, uint64_t rdev,
                  struct volume_owner owner, struct volume_node **ret_node)
{
    struct volume *v = dir->volume;
    int err = vol_begin(v, NAME_BLOCKS, VOL_GROW);
    if (err < 0)
        return err;
    return S_ISLNK(mode) ? -EINVAL
                         : vol_create_at(v, dir, name, size, mode, rdev, "", 0, owner, vol_now(v), 0, ret_node);
}

int volume_tmpfile(struct volume *v, uint32_t mode, struct volume_owner owner, struct volume_node **ret_node)
{
    int err = vol_begin(v, NAME_BLOCKS, VOL_GROW);
    if (err < 0)
        return err;
    return vol_create_at(v, NULL, "", 0, (mode & ~S_IFMT) | S_IFREG, 0, "", 0, owner, vol_now(v), 0, ret_node);
}

int volume_symlink(struct volume_node *dir, const char *name, size_t size, const char *target, size_t target_size,
                   struct volume_owner owner, struct volume_node **ret_node)
{
    struct volume *v = dir->volume;
    if (target_size == 0 || target_size > TARGET_MAX)
        return target_size == 0 ? -ENOENT : -ENAMETOOLONG;
    int err = vol_begin(v, NAME_BLOCKS, VOL_GROW);
    if (err < 0)
        return err;
    return vol_create_at(v, dir, name, size, S_IFLNK | 0777, 0, target, target_size, owner, vol_now(v), 0, ret_node);
}

static struct vol_op *name_op(struct volume *v, enum volume_op_type type, struct volume_node *dir, uint64_t ino,
                              const char *name, size_t size, struct volume_time time)
{
    struct vol_op *op = vol_op_new(v, type, sizeof(struct volume_op_name) + size);
    if (!op)
        return NULL;
    struct volume_op_name *n = (struct volume_op_name *)op->data;
    *n = (struct volume_op_name){.dir = dir->ino, .ino = ino, .time = time, .name_size = size};
    memcpy(n + 1, name, size);
    return op;
}

int vol_link_at(struct volume_node *dir, const char *name, size_t size, struct volume_node *target,
                struct volume_time time)
{
    struct volume *v = dir->volume;
    struct vol_place place = {0};
    int err = name_check(dir, size);
    if (err == 0 && S_ISDIR(target->inode.mode))
        err = -EPERM;
    if (err == 0)
        err = must_be_absent(dir, name, size);
    if (err < 0)
        return err;
    struct vol_op *op = name_op(v, VOLUME_OP_LINK, dir, target->ino, name, size, time);
    if (!op)
        return -ENOMEM;
    err = vol_node_dirty(target);
    if (err == 0)
        err = vol_dir_prepare(dir, name, size, &place);
    if (err == 0 && target->inode.nlink == 0)
        err = vol_orphan_remove(target);
    if (err == 0) {
        vol_dir_insert(dir, &place, name, size, target->ino, target->inode.mode);
        vol_node_touch(dir, time);
        target->inode.nlink++;
        target->inode.ctime = time;
        vol_op_log(v, op);
    } else {
        vol_op_free(op);
    }
    vol_block_put(place.leaf);
    return err;
}

int volume_link(struct volume_node *dir, const char *name, size_t size, struct volume_node *target)
{
    int err = vol_begin(dir->volume, NAME_BLOCKS, VOL_GROW);
    return err < 0 ? err : vol_link_at(dir, name, size, target, vol_now(dir->volume));
}

/* May this go? Then everything its going changes is dirty. */
static int victim_prepare(struct volume_node *node, bool directory)
{
    if (S_ISDIR(node->inode.mode) != directory)
        return directory ? -ENOTDIR : -EISDIR;
    if (directory && node->inode.entry_count > 0)
        return -ENOTEMPTY;
    int err = vol_node_dirty(node);
    return err < 0 ? err : vol_orphan_prepare(node->volume);
}

/* One name less. dir is its directory. */
static void victim_unlink(struct volume_node *dir, struct volume_node *node, struct volume_time time)
{
    node->inode.ctime = time;
    if (S_ISDIR(node->inode.mode)) {
        node->inode.nlink = 0;
        dir->inode.nlink--;
    } else {
        node->inode.nlink--;
    }
    if (node->inode.nlink == 0)
        vol_orphan_add(node);
}

static int unlink_found(struct volume_node *dir, const char *name, size_t size, struct vol_place *place,
                        struct volume_node *node, bool directory, struct volume_time time)
{
    int err = victim_prepare(node, directory);
    if (err == 0)
        err = vol_block_dirty(place->leaf);
    if (err < 0)
        return err;
    struct vol_op *op = name_op(dir->volume, VOLUME_OP_UNLINK, dir, node->ino, name, size, time);
    if (!op)
        return -ENOMEM;
    vol_dir_remove(dir, place);
    vol_node_touch(dir, time);
    victim_unlink(dir, node, time);
    vol_op_log(dir->volume, op);
    return 0;
}

int vol_unlink_at(struct volume_node *dir, const char *name, size_t size, bool directory, struct volume_time time)
{
    struct vol_place place;
    struct volume_node *node;
    int err = vol_dir_find(dir, name, size, &place);
    if (err < 0)
        return err;
    err = volume_node_get(dir->volume, vol_dir_entry(&place)->ino, &node);
    if (err == 0) {
        err = unlink_found(dir, name, size, &place, node, directory, time);
        vol_block_put(place.leaf);
        volume_node_put(node);
        return err;
    }
    vol_block_put(place.leaf);
    return err == -ENOENT ? -EIO : err;
}

int volume_unlink(struct volume_node *dir, const char *name, size_t size)
{
    int err = vol_begin(dir->volume, NAME_BLOCKS, VOL_SHRINK);
    return err < 0 ? err : vol_unlink_at(dir, name, size, false, vol_now(dir->volume));
}

int volume_rmdir(struct volume_node *dir, const char *name, size_t size)
{
    int err = vol_begin(dir->volume, NAME_BLOCKS, VOL_SHRINK);
    return err < 0 ? err : vol_unlink_at(dir, name, size, true, vol_now(dir->volume));
}

/* All that a rename touches. Nodes and leaves are referenced or NULL. */
struct renaming {
    struct volume_node *old_dir, *new_dir, *node, *victim, *whiteout;
    const char *old_name, *new_name;
    size_t old_size, new_size;
    unsigned flags;
    struct vol_place old_place, new_place;
    struct vol_op *op;
};

static int node_named(struct volume_node *dir, const char *name, size_t size, struct volume_node **ret_node)
{
    int err = name_check(dir, size);
    return err < 0 ? err : volume_lookup(dir, name, size, ret_node);
}

/* Is `node` dir or above it? 1 = yes. */
static int is_ancestor(struct volume_node *node, struct volume_node *dir)
{
    uint64_t ino = dir->ino;
    for (unsigned depth = 0; depth < 100000; depth++) {
        struct volume_node *at;
        if (ino == node->ino)
            return 1;
        if (ino == VOLUME_ROOT_INO)
            return 0;
        int err = volume_node_get(dir->volume, ino, &at);
        if (err < 0)
            return -EIO;
        ino = at->inode.parent;
        volume_node_put(at);
    }
    return -EIO;
}

static int rename_check(struct renaming *r)
{
    bool directory = S_ISDIR(r->node->inode.mode), exchange = r->flags & RENAME_EXCHANGE;
    int err = directory ? is_ancestor(r->node, r->new_dir) : 0;
    if (err != 0)
        return err < 0 ? err : -EINVAL;
    if (!r->victim)
        return exchange ? -ENOENT : 0;
    if (r->flags & RENAME_NOREPLACE)
        return -EEXIST;
    if (exchange) {
        err = S_ISDIR(r->victim->inode.mode) ? is_ancestor(r->victim, r->old_dir) : 0;
        return err < 0 ? err : err ? -EINVAL : 0;
    }
    if (directory != S_ISDIR(r->victim->inode.mode))
        return directory ? -ENOTDIR : -EISDIR;
    return directory && r->victim->inode.entry_count > 0 ? -ENOTEMPTY : 0;
}

static int rename_prepare(struct renaming *r)
{
    int err = vol_node_dirty(r->old_dir);
    if (err == 0)
        err = vol_node_dirty(r->new_dir);
    if (err == 0)
        err = vol_node_dirty(r->node);
    if (err == 0 && r->victim)
        err = vol_node_dirty(r->victim);
    if (err == 0)
        err = vol_orphan_prepare(r->node->volume);
    if (err == 0 && !r->victim)
        err = vol_dir_prepare(r->new_dir, r->new_name, r->new_size, &r->new_place);
    else if (err == 0)
        err = vol_dir_find(r->new_dir, r->new_name, r->new_size, &r->new_place);
    if (err == 0)
        err = vol_block_dirty(r->new_place.leaf);
    if (err == 0) /* after what may have split its leaf */
        err = vol_dir_find(r->old_dir, r->old_name, r->old_size, &r->old_place);
    return err < 0 ? err : vol_block_dirty(r->old_place.leaf);
}

static void entry_set(const struct vol_place *place, const struct volume_node *node)
{
    vol_dir_entry(place)->ino = node->ino;
    vol_dir_entry(place)->type = VOL_DT(node->inode.mode);
}

static void parent_change(struct volume_node *node, struct volume_node *from, struct volume_node *to)
{
    if (!S_ISDIR(node->inode.mode) || from == to)
        return;
    node->inode.parent = to->ino;
    from->inode.nlink--;
    to->inode.nlink++;
}

static void rename_exchange(struct renaming *r, struct volume_time time)
{
    entry_set(&r->old_place, r->victim);
    entry_set(&r->new_place, r->node);
    parent_change(r->node, r->old_dir, r->new_dir);
    parent_change(r->victim, r->new_dir, r->old_dir);
    r->victim->inode.ctime = time;
}

/* Programs that forget to sync before they rename over a file mean the new contents to be there. */
static void take_along(struct volume_node *node)
{
    if (node->along || !vol_is_file(node))
        return;
    node->along = true;
    TAILQ_INSERT_TAIL(&node->volume->along, node, along_link);
}

static void rename_move(struct renaming *r, struct volume_time time)
{
    if (r->victim) {
        entry_set(&r->new_place, r->node);
        victim_unlink(r->new_dir, r->victim, time);
        take_along(r->node);
    }
    if (r->whiteout)
        entry_set(&r->old_place, r->whiteout);
    else
        vol_dir_remove(r->old_dir, &r->old_place);
    if (!r->victim)
        vol_dir_insert(r->new_dir, &r->new_place, r->new_name, r->new_size, r->node->ino, r->node->inode.mode);
    parent_change(r->node, r->old_dir, r->new_dir);
}

static int rename_op(struct renaming *r, struct volume_time time)
{
    struct volume *v = r->node->volume;
    r->op = vol_op_new(v, VOLUME_OP_RENAME, sizeof(struct volume_op_rename) + r->old_size + r->new_size);
    if (!r->op)
        return -ENOMEM;
    struct volume_op_rename *n = (struct volume_op_rename *)r->op->data;
    *n = (struct volume_op_rename){.old_dir = r->old_dir->ino,
                                   .new_dir = r->new_dir->ino,
                                   .flags = r->flags & (RENAME_EXCHANGE | RENAME_WHITEOUT),
                                   .old_size = (uint16_t)r->old_size,
                                   .new_size = (uint16_t)r->new_size,
                                   .time = time};
    memcpy(n + 1, r->old_name, r->old_size);
    memcpy((char *)(n + 1) + r->old_size, r->new_name, r->new_size);
    return 0;
}

static int rename_do(struct renaming *r, struct volume_owner owner, struct volume_time time, uint64_t whiteout)
{
    int err = node_named(r->old_dir, r->old_name, r->old_size, &r->node);
    if (err == 0)
        err = node_named(r->new_dir, r->new_name, r->new_size, &r->victim);
    if (err < 0 && !(err == -ENOENT && r->node && r->new_size > 0 && r->new_dir->inode.nlink > 0))
        return err;
    if (r->node == r->victim)
        return r->flags & RENAME_NOREPLACE ? -EEXIST : 0;
    err = rename_check(r);
    if (err == 0)
        err = rename_op(r, time);
    if (err == 0)
        err = rename_prepare(r);
    if (err == 0 && r->flags & RENAME_WHITEOUT)
        err = vol_node_new(r->node->volume, S_IFCHR, 0, owner, time, whiteout, &r->whiteout);
    if (err < 0)
        return err;
    if (r->flags & RENAME_EXCHANGE)
        rename_exchange(r, time);
    else
        rename_move(r, time);
    r->node->inode.ctime = time;
    vol_node_touch(r->old_dir, time);
    vol_node_touch(r->new_dir, time);
    if (r->whiteout) {
        struct volume_op_rename *n = (struct volume_op_rename *)r->op->data;
        n->whiteout = r->whiteout->ino;
        n->whiteout_uid = owner.uid;
        n->whiteout_gid = owner.gid;
    }
    vol_op_log(r->node->volume, r->op);
    r->op = NULL;
    return 0;
}

int vol_rename_at(struct volume_node *old_dir, const char *old_name, size_t old_size, struct volume_node *new_dir,
                  const char *new_name, size_t new_size, unsigned flags, struct volume_owner owner,
                  struct volume_time time, uint64_t whiteout)
{
    struct renaming r = {.old_dir = old_dir,
                         .new_dir = new_dir,
                         .old_name = old_name,
                         .new_name = new_name,
                         .old_size = old_size,
                         .new_size = new_size,
                         .flags = flags};
    int err = rename_do(&r, owner, time, whiteout);
    vol_block_put(r.old_place.leaf);
    vol_block_put(r.new_place.leaf);
    vol_op_free(r.op);
    volume_node_put(r.whiteout);
    volume_node_put(r.victim);
    volume_node_put(r.node);
    return err;
}

int volume_rename(struct volume_node *old_dir, const char *old_name, size_t old_size, struct volume_node *new_dir,
                  const char *new_name, size_t new_size, unsigned flags, struct volume_owner owner)
{
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) ||
        (flags & RENAME_EXCHANGE && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))
        return -EINVAL;
    int err = vol_begin(old_dir->volume, 2 * NAME_BLOCKS, flags & RENAME_WHITEOUT ? VOL_GROW : VOL_SHRINK);
    return err < 0 ? err
                   : vol_rename_at(old_dir, old_name, old_size, new_dir, new_name, new_size, flags, owner,
                                   vol_now(old_dir->volume), 0);
}

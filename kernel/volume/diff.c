/* Two trees compared (diff.h). */
#include "kernel/volume/diff.h"

#include "kernel/mm/kmalloc.h"

/* The trees of one inode on both sides, or (ino 0) those of the inodes. */
struct pair {
    uint64_t ino;
    struct volume_root left, right;
};

struct children {
    uint8_t left[VOLUME_BLOCK_SIZE], right[VOLUME_BLOCK_SIZE];
};

struct volume_root vol_tree_today(const struct volume *v)
{
    const struct volume_inode *i = &v->objects[VOLUME_OBJECT_INODES].inode;
    return (struct volume_root){i->root, i->height};
}

static bool equal(const struct volume_pointer *a, const struct volume_pointer *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool not_newer(const struct vol_diff *d, const struct volume_pointer *p)
{
    uint32_t epoch = VOLUME_WHERE_EPOCH(p->where);
    return epoch < d->floor_epoch || (epoch == d->floor_epoch && p->nonce <= d->floor_nonce);
}

/* A tree that is lower than this begins below the first block of the level. */
static bool begins_below(const struct volume_root *root, unsigned level, uint64_t index)
{
    return index == 0 && root->height < level && root->pointer.where != 0;
}

static bool passed_over(const struct vol_diff *d, const struct pair *p, unsigned level, uint64_t index,
                        const struct volume_pointer *left, const struct volume_pointer *right)
{
    bool left_below = begins_below(&p->left, level, index), right_below = begins_below(&p->right, level, index);
    if (d->left_only)
        return left->where == 0 ? !left_below : not_newer(d, left) || (equal(left, right) && !right_below);
    return equal(left, right) && !left_below && !right_below;
}

static int block_read(struct vol_diff *d, uint64_t ino, unsigned level, uint64_t index,
                      const struct volume_pointer *pointer, uint8_t *data)
{
    struct volume_block_aad aad = {ino, index, level};
    bool empty = pointer->where == 0;
    int err = empty ? 0 : vol_pointer_read(d->v, pointer, &aad, data);
    if (err == -EIO && d->bad) {
        d->bad(d, ino, level, index);
        err = 0;
        empty = true;
    }
    if (empty)
        memset(data, 0, VOLUME_BLOCK_SIZE);
    return err;
}

static int children_read(struct vol_diff *d, uint64_t ino, unsigned level, uint64_t index,
                         const struct volume_pointer *left, const struct volume_pointer *right,
                         struct children **ret_children)
{
    struct children *c = kmalloc(sizeof(*c));
    int err = c ? block_read(d, ino, level, index, left, c->left) : -ENOMEM;
    if (err == 0)
        err = block_read(d, ino, level, index, right, c->right);
    if (err < 0) {
        kfree(c);
        c = NULL;
    }
    *ret_children = c;
    return err;
}

static int inodes_diff(struct vol_diff *d, uint64_t index, const struct volume_pointer *left,
                       const struct volume_pointer *right);

static struct volume_pointer child(const struct volume_root *root, unsigned level, uint64_t index, const uint8_t *data)
{
    if (root->height == level)
        return index == 0 ? root->pointer : (struct volume_pointer){0};
    return ((const struct volume_pointer *)data)[index % VOLUME_FANOUT];
}

static int place_diff(struct vol_diff *d, const struct pair *p, unsigned level, uint64_t index,
                      const struct volume_pointer *left, const struct volume_pointer *right)
{
    struct children *c;
    if (passed_over(d, p, level, index, left, right))
        return 0;
    bool told = !equal(left, right) && !(d->left_only && left->where == 0);
    int err = told ? d->block(d, p->ino, level, index, left, right) : 0;
    if (err < 0)
        return err;
    if (level == 0)
        return p->ino == 0 ? inodes_diff(d, index, left, right) : 0;
    err = children_read(d, p->ino, level, index, left, right, &c);
    for (unsigned slot = 0; err == 0 && slot < VOLUME_FANOUT; slot++) {
        uint64_t at = index * VOLUME_FANOUT + slot;
        struct volume_pointer l = child(&p->left, level - 1, at, c->left),
                              r = child(&p->right, level - 1, at, c->right);
        err = place_diff(d, p, level - 1, at, &l, &r);
    }
    kfree(c);
    return err;
}

static int tree_diff(struct vol_diff *d, const struct pair *p)
{
    unsigned top = (unsigned)MAX(p->left.height, p->right.height);
    if (top > VOLUME_HEIGHT_MAX)
        return -EIO;
    struct volume_pointer left = child(&p->left, top, 0, (const uint8_t[VOLUME_BLOCK_SIZE]){0}),
                          right = child(&p->right, top, 0, (const uint8_t[VOLUME_BLOCK_SIZE]){0});
    return place_diff(d, p, top, 0, &left, &right);
}

static struct volume_root contents_root(const struct volume_inode *i)
{
    return i->inline_size > 0 ? (struct volume_root){0} : (struct volume_root){i->root, i->height};
}

static int inode_diff(struct vol_diff *d, uint64_t ino, const struct volume_inode *left,
                      const struct volume_inode *right)
{
    struct pair p = {ino, contents_root(left), contents_root(right)};
    if (memcmp(left, right, sizeof(*left)) == 0)
        return 0;
    int err = d->inode ? d->inode(d, ino, left, right) : 0;
    bool same = equal(&left->xattr, &right->xattr);
    bool old = d->left_only && (left->xattr.where == 0 || not_newer(d, &left->xattr));
    if (err == 0 && !same && !old)
        err = d->block(d, ino, VOLUME_LEVEL_XATTR, 0, &left->xattr, &right->xattr);
    return err < 0 ? err : tree_diff(d, &p);
}

static int inodes_diff(struct vol_diff *d, uint64_t index, const struct volume_pointer *left,
                       const struct volume_pointer *right)
{
    struct children *c;
    int err = children_read(d, 0, 0, index, left, right, &c);
    for (unsigned i = 0; err == 0 && i < VOLUME_INODES_PER_BLOCK; i++)
        err = inode_diff(d, index * VOLUME_INODES_PER_BLOCK + i, &((const struct volume_inode *)c->left)[i],
                         &((const struct volume_inode *)c->right)[i]);
    kfree(c);
    return err;
}

int vol_diff(struct vol_diff *d, const struct volume_root *left, const struct volume_root *right)
{
    struct pair p = {0, *left, *right};
    return tree_diff(d, &p);
}

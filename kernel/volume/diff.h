/*
 * What two trees of inodes of one volume do not share, as checkpoints have them (not what is only in memory). A block
 * has the same place - inode, level, index - in every tree that has it, so trees are compared place by place, and what
 * is below equal pointers is not looked at.
 */
#ifndef COFRE_KERNEL_VOLUME_DIFF_H
#define COFRE_KERNEL_VOLUME_DIFF_H

#include "kernel/volume/internal.h"

struct vol_diff {
    struct volume *v;
    bool left_only;       /* only what the left tree has and the right one has not */
    uint32_t floor_epoch; /* with it: blocks of the left tree not newer than this are passed over */
    uint64_t floor_nonce;
    void *arg;
    /* NULL, or called for each inode that may differ, used or free, before its blocks. 0, or negative errno to stop. */
    int (*inode)(struct vol_diff *d, uint64_t ino, const struct volume_inode *left, const struct volume_inode *right);
    /* A place where the pointers differ; one of them may be a hole. Inode 0: the inodes themselves. */
    int (*block)(struct vol_diff *d, uint64_t ino, unsigned level, uint64_t index, const struct volume_pointer *left,
                 const struct volume_pointer *right);
    /* NULL: an error; or called for a block that does not verify, which then counts as empty. */
    void (*bad)(struct vol_diff *d, uint64_t ino, unsigned level, uint64_t index);
};

/* Roots of trees of inodes; all zeros: the empty tree. */
must_check int vol_diff(struct vol_diff *d, const struct volume_root *left, const struct volume_root *right);
/* The tree that the last checkpoint has. */
struct volume_root vol_tree_today(const struct volume *v);

#endif

/*
 * A tree of a volume as a list of items, and an item's effect on another volume: for `cofre volume send`, `receive` and
 * `clone`. Inodes keep their numbers and blocks their places, so that the difference of two snapshots can follow. Items
 * are in the clear; who carries them elsewhere encrypts and authenticates them (volume/stream.c).
 */
#ifndef COFRE_KERNEL_VOLUME_REPLICA_H
#define COFRE_KERNEL_VOLUME_REPLICA_H

#include "kernel/volume/volume.h"

/* Little-endian; each item is this, then what the type says. */
struct replica_item {
    uint32_t type;
    uint32_t size; /* without this */
};
enum replica_type {
    REPLICA_BEGIN = 1, /* struct replica_begin */
    REPLICA_INODE,     /* struct replica_inode: before its blocks */
    REPLICA_BLOCK,     /* struct replica_place with count 1, a block */
    REPLICA_HOLE,      /* struct replica_place: these blocks are not there (any more) */
    REPLICA_END,       /* nothing */
};
struct replica_begin {
    uint8_t from_guid[16]; /* of the snapshot that this is the difference to; all zeros: this is everything */
    uint8_t guid[16];      /* of the snapshot that this is; all zeros: it is none */
    char name[64];
    struct volume_time time;
    uint64_t inode_next, inode_free, inode_orphan, inode_count;
    uint8_t hash_key[16];
    uint64_t block_count; /* of the volume it comes from */
    uint64_t used_count;  /* of blocks; for whoever shows progress */
};
struct replica_inode {
    uint64_t ino;
    struct volume_inode inode; /* without pointers, height and block count */
};
struct replica_place {
    uint64_t ino, level, index, count; /* level 0, or VOLUME_LEVEL_XATTR with index 0 and count 1 */
};
#define REPLICA_BODY_MAX (sizeof(struct replica_place) + VOLUME_BLOCK_SIZE)

/* Takes one item, its body in one or two parts; 0, or negative errno to stop. */
typedef int (*replica_emit_fn)(void *arg, const struct replica_item *item, const void *body, const void *block);

/*
 * The items of a snapshot, or of the whole tree (snapshot NULL) of a volume that has everything at its place. from: an
 * older snapshot to which the difference is wanted, or NULL. -ENOENT: no such snapshot; -EINVAL: from is not older.
 */
must_check int volume_replicate(struct volume *v, const char *from, const char *snapshot, replica_emit_fn emit,
                                void *arg);

/*
 * Items into a volume open for writing: a fresh one for everything, one that is as snapshot `from` left it for a
 * difference. REPLICA_END makes everything durable at once, and the snapshot; before it a volume that receives a
 * difference is as it was, and a fresh one good for nothing. Errors: -EBADMSG  items that cannot be       -ENOENT    it
 * has no snapshot `from`        -EEXIST  it has that snapshot already -ESTALE   it was changed since that  -ENOSPC,
 * -ENOMEM, -EIO After an error the volume is only good for volume_abandon().
 */
struct replica_receiver {
    struct volume *volume;
    struct replica_begin begin;
    bool begun, ended;
};
must_check int volume_receive(struct replica_receiver *r, const struct replica_item *item, const void *body);
/* Does the body's size fit the type? */
bool replica_item_valid(const struct replica_item *item);

#endif

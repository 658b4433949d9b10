/*
 * What the files of kernel/volume/ share.
 *
 * Blocks in memory are known by what they are (node, level, index), not by where they lie; a changed block has no place
 * until it is written, always to a free one. A block's parent stays in memory as long as the block does, and is dirty
 * as long as the block is, so that the number of dirty blocks is the space a checkpoint needs.
 *
 * Operations first get and dirty all they need (which may fail, and harms nothing), then change it (which cannot).
 */
#ifndef COFRE_KERNEL_VOLUME_INTERNAL_H
#define COFRE_KERNEL_VOLUME_INTERNAL_H

#include <linux/errno.h>

#include "kernel/crypto/aes_gcm.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/volume/volume.h"

#define VOL_BUCKETS 4096    /* of nodes */
#define VOL_BATCH 64        /* blocks in one write */
#define VOL_LOG_ROOM_MIN 17 /* a record can always have so many blocks */
#define VOL_LOG_RUN_MAX 1024

struct vol_block {
    LIST_ENTRY(vol_block) hash_link;
    TAILQ_ENTRY(vol_block) lru_link; /* if clean and not referenced */
    RB_ENTRY(vol_block) dirty_link;  /* if dirty: in node->dirty_blocks */
    struct volume_node *node;
    struct vol_block *parent; /* referenced; NULL: the pointer is in the inode */
    uint64_t index;
    uint32_t refs; /* of users and of children in memory */
    uint8_t level;
    bool dirty;
    bool fresh;   /* dirty, and there was none before: counted in node->fresh */
    bool loading; /* data is being read: a task that may look in the middle of an operation sees nothing here */
    uint16_t change_start, change_end; /* contents of files: bytes that are not in the log yet */
    uint64_t unlogged[2];              /* pointer blocks of files: pointers that are not in the log yet */
    uint64_t address;                  /* free map: where it will be written */
    uint8_t *data;
};
LIST_HEAD(vol_bucket, vol_block);
TAILQ_HEAD(vol_lru, vol_block);
RB_HEAD(vol_dirty, vol_block);
int vol_dirty_compare(const struct vol_block *a, const struct vol_block *b);
RB_PROTOTYPE(vol_dirty, vol_block, dirty_link, vol_dirty_compare)

/* Blocks moved one behind the other. A file's run that is longer than the cache, and the next one of that file, leave
 * nothing behind in it. */
struct vol_run {
    uint64_t length;
    bool streams;
};

struct volume_node {
    LIST_ENTRY(volume_node) hash_link;
    TAILQ_ENTRY(volume_node) dirty_link;
    TAILQ_ENTRY(volume_node) along_link;
    struct volume *volume;
    uint64_t ino;
    uint32_t refs;
    uint32_t cached; /* blocks in memory */
    uint32_t fresh;  /* of them that have no place on the disk yet */
    struct volume_inode inode;
    struct vol_dirty dirty_blocks;
    struct vol_block *inode_block;   /* referenced if dirty */
    bool object;                     /* one of VOLUME_OBJECT_*, in struct volume */
    bool dirty;                      /* inode differs from inode_block */
    bool attr_unlogged;              /* ... in attributes that the log does not have */
    bool data_unlogged;              /* some contents may not be in the log */
    bool root_unlogged;              /* height 0: the pointer in the inode is not in the log */
    bool along;                      /* its contents go with the next record: it replaced another file */
    uint64_t read_next, read_window; /* sequential reading: the next block, how many are read at once */
    struct vol_run read_run, write_run;
    uint64_t write_next; /* byte */
    uint64_t announced;  /* blocks up to this one, of the run that is read, are being read already */
    uint64_t cut_floor;  /* contents from this block on were cut (truncate) */
};
LIST_HEAD(vol_node_bucket, volume_node);
TAILQ_HEAD(vol_node_list, volume_node);

struct vol_group {
    int32_t free_count;  /* bits clear in the map; -1 = not counted yet */
    uint8_t *pending[2]; /* freed: in this generation, in the one before; NULL = none */
};

struct vol_extent {
    uint64_t block, count;
};

struct vol_op {
    TAILQ_ENTRY(vol_op) link;
    struct volume_op op; /* then op.size - sizeof(op) bytes */
    uint8_t data[];
};
TAILQ_HEAD(vol_ops, vol_op);

struct vol_epoch_key {
    struct aes_gcm_key key;
};

struct volume {
    const struct volume_io *io;
    struct volume_options options;
    struct volume_header header;
    struct volume_master master;
    struct volume_master old_master; /* of epochs before rekey_epoch; 0: there is none */
    uint32_t rekey_epoch;
    uint64_t rekey_next; /* inode to be encrypted anew */
    int failed;
    bool replaying;

    /* keys */
    uint8_t (*salts)[32];        /* by epoch; the last is the current one's */
    struct vol_epoch_key **keys; /* by epoch, made when first needed */
    uint32_t epoch;
    uint64_t nonce; /* last used for a block in this epoch */
    struct aes_gcm_key log_key;

    /* state of the checkpoint */
    uint64_t generation, sequence, durable, anchored;
    uint64_t anchor_base, anchor_asked, acquired_base, acquired_sequence;
    uint8_t anchor_secret[32];
    uint64_t block_count, used_count;
    uint64_t inode_next, inode_free, inode_orphan, inode_count;
    uint8_t hash_key[16];
    struct volume_node objects[VOLUME_OBJECT_COUNT];
    bool changed;                      /* since the last checkpoint */
    unsigned held;                     /* volume_hold() */
    struct volume_snapshot *snapshots; /* oldest first */
    unsigned snapshot_count;
    int (*tree_written)(struct volume *v); /* or NULL: called by a checkpoint when today's tree has its place */
    bool at_once;                          /* nothing becomes durable before somebody says so (receive.c) */

    /* free space */
    struct vol_group *groups;
    uint64_t group_count, cursor, pending_count[2], reserve;
    uint64_t limit;          /* no block is given out from here on: block_count, or less while it shrinks */
    uint64_t vacating_count; /* blocks in use from there on */

    /* log */
    uint64_t log_block, log_room, spare_block, spare_room, log_used, replayed;
    uint8_t log_tag[16];
    struct vol_ops ops;
    size_t op_bytes;
    bool op_wanted;                 /* one of ops changes what can be seen: a sync has to write it */
    bool log_useless;               /* something happened that only a checkpoint can make durable */
    bool unflushed;                 /* blocks outside of the log were written since the last flush */
    struct vol_extent *log_extents; /* blocks of the log that nothing will refer to */
    size_t log_extent_count, log_extent_room;
    struct volume_record *record; /* being filled */
    struct vol_node_list along;

    /* cache */
    struct vol_bucket *blocks;
    uint64_t bucket_count; /* of blocks: a power of two, about as many as there are blocks */
    struct vol_node_bucket *nodes;
    struct vol_lru lru;
    struct vol_node_list dirty_nodes;
    uint64_t cached_count, cached_max, dirty_count, dirty_max;
    uint8_t *staging; /* VOL_BATCH blocks of ciphertext */
};

/* kernel/volume/keys.c */
void vol_key_derive(const struct volume_master *master, const uint8_t uuid[16], const char *label,
                    const uint8_t salt[32], uint8_t ret_key[32]);
must_check int vol_header_read(const struct volume_io *io, volume_unlock_fn unlock, void *arg,
                               struct volume_header *ret_header, struct volume_master *ret_master);
void vol_header_seal(struct volume_header *header, const struct volume_master *master);
void vol_key_slot_seal(struct volume_key_slot *slot, const uint8_t uuid[16], const struct volume_master *master,
                       const uint8_t key[32]);
must_check int vol_epoch_begin(struct volume *v, uint32_t epoch); /* a fresh salt */
must_check int vol_epoch_key(struct volume *v, uint32_t epoch, const struct aes_gcm_key **ret_key);
void vol_log_key(struct volume *v, uint32_t epoch, struct aes_gcm_key *ret_key);

/* Does the slot open with this wrapping key, and hold this master key? */
bool vol_key_slot_fits(const struct volume_key_slot *slot, const uint8_t key[32], const struct volume_master *master);

void vol_header_feature_set(struct volume_header *header, uint64_t incompat, const char *name);

/* kernel/volume/rekey.c: at a mount for writing */
void vol_rekey_begin(struct volume *v, uint32_t epoch); /* epochs from this one on are under a new key */
must_check int vol_rekey_prepare(struct volume *v);     /* before the mount's checkpoint */
must_check int vol_rekey_commit(struct volume *v);      /* after it */
must_check int vol_rekey_clean(struct volume *v);       /* slots that a crash left */

/* kernel/volume/block.c */
enum vol_get { VOL_READ, VOL_CREATE, VOL_REPLACE };
/* A reference to a block; with VOL_READ, NULL for a hole. VOL_CREATE makes a zeroed one there, to be dirtied.
 * VOL_REPLACE is for who overwrites all of it: what was there is not read, and `loading` until the caller is done. */
must_check int vol_block_get(struct volume_node *node, unsigned level, uint64_t index, enum vol_get how,
                             struct vol_block **ret_block);
struct vol_block *vol_block_find(struct volume_node *node, unsigned level,
                                 uint64_t index); /* in memory; no reference */
void vol_block_put(struct vol_block *b);          /* NULL is fine */
void vol_block_forget(struct vol_block *b);       /* got by VOL_REPLACE, loading still, clean: out of memory */
void vol_block_touch(struct vol_block *b);        /* used just now */
void vol_block_age(struct vol_block *b);          /* clean and not referenced: its page is the next to be used again */
void vol_run_move(const struct volume *v, struct vol_run *run, bool goes_on);
must_check int vol_block_dirty(struct vol_block *b);
/* Bytes of a file's block changed; it is dirty. */
void vol_block_changed(struct vol_block *b, unsigned start, unsigned end);
/* Remove from memory and from the tree: its address is free, its parent's pointer zero. Takes the reference. */
must_check int vol_block_drop(struct vol_block *b);
struct volume_pointer *vol_block_pointer(const struct vol_block *b);
/* Seal a dirty block for address into cipher, point its parent there, count it as clean. Cannot fail: see
 * vol_block_old_prepare(). logged: the log will have the pointer. */
must_check int vol_block_old_prepare(struct vol_block *b);
void vol_block_seal(struct vol_block *b, uint64_t address, uint8_t *cipher, bool logged);
/* Write up to VOL_BATCH dirty blocks of one node and level. */
must_check int vol_blocks_write(struct volume *v, struct vol_block **blocks, unsigned count);
/* Write all dirty blocks of a node up to a level, bottom up. */
must_check int vol_node_write(struct volume_node *node, unsigned level_max);
must_check int vol_pointer_read(struct volume *v, const struct volume_pointer *pointer,
                                const struct volume_block_aad *aad, uint8_t *data);
void vol_cache_drop(struct volume *v); /* all of it, dirty or not */
/* A block above the present root, dirty, referenced and empty. */
must_check int vol_block_root_new(struct volume_node *node, unsigned level, struct vol_block **ret_block);
/* Read blocks of a file that lie one behind the other, as far as that works; parent holds their pointers. Not while a
 * record is made, which uses v->staging, too. */
void vol_blocks_read(struct volume_node *node, struct vol_block *parent, uint64_t index, unsigned count);
/* The same into the caller's memory, none of them being in the cache. How many could be read and verified. */
unsigned vol_blocks_open(struct volume_node *node, const struct vol_block *parent, uint64_t index, unsigned count,
                         uint8_t *out);

/* kernel/volume/tree.c */
/* Make the tree of a file so high that it has a block of this index. */
must_check int vol_node_grow(struct volume_node *node, uint64_t index);
/* Free the blocks of contents from index `first` on, before `end`. */
must_check int vol_node_cut(struct volume_node *node, uint64_t first, uint64_t end);
/* A reader has come to this block of the file. */
void vol_read_moved(struct volume_node *node, uint64_t index);
/* Read ahead of a sequential reader. */
void vol_read_ahead(struct volume_node *node, uint64_t index);
/*
 * What a long run reads is not used again: blocks from index on, up to max of them that the reader wants as a whole, go
 * from the disk to `out` past the cache, verified as ever. Blocks; 0: none did, and it is the cache's turn, which also
 * knows what is wrong with them.
 */
unsigned vol_read_past(struct volume_node *node, uint64_t index, unsigned max, uint8_t *out);
/* The block of pointers of this block of contents, and those behind it, are in memory if that takes one read. */
void vol_pointers_ahead(struct volume_node *node, uint64_t index);
/* The pointer of a block of contents becomes this one (replay). */
must_check int vol_pointer_set(struct volume_node *node, uint64_t index, const struct volume_pointer *pointer);

/* kernel/volume/alloc.c */
/* A run of between min and want free blocks. */
must_check int vol_alloc(struct volume *v, uint64_t want, uint64_t min, uint64_t *ret_block, uint64_t *ret_count);
/* Before vol_free(): get the map's block and room for the deferral. */
must_check int vol_free_prepare(struct volume *v, uint64_t block);
void vol_free(struct volume *v, uint64_t block);
must_check int vol_free_extent(struct volume *v, struct vol_extent extent); /* both */
/* A block that the log or a pointer in it uses (replay). */
must_check int vol_mark_used(struct volume *v, uint64_t block, uint64_t count);
uint64_t vol_allocatable(const struct volume *v);
void vol_pending_rotate(struct volume *v); /* a checkpoint became durable */
/* From here on until the volume is closed, no block at or beyond the limit is given out. */
must_check int vol_limit_set(struct volume *v, uint64_t limit);
/* The groups that a volume of this size has; the map is untouched. -ENOMEM: nothing changed. */
must_check int vol_space_set(struct volume *v, uint64_t block_count);
must_check int vol_map_write(struct volume *v);

/* A pointer of the node's tree is not used any more: its block is free, unless a snapshot has it. */
must_check int vol_pointer_free_prepare(struct volume_node *node, const struct volume_pointer *pointer);
void vol_pointer_free(struct volume_node *node, const struct volume_pointer *pointer);

/* kernel/volume/snapshot.c */
must_check int vol_snapshots_load(struct volume *v);
/* The tree of today is from here on that of this snapshot; nothing of it may be in memory. -ENOENT. */
must_check int vol_snapshot_show(struct volume *v, const char *name);
/* Does the last snapshot refer to a block of the node's tree? */
bool vol_snapshot_has(const struct volume_node *node, const struct volume_pointer *pointer);

/* kernel/volume/snapshot_change.c */
must_check int vol_snapshot_add(struct volume *v, const char *name, const uint8_t guid[16], struct volume_time time);

/* kernel/volume/header.c: the header has this feature, and its name, durable. */
must_check int vol_header_feature(struct volume *v, uint64_t incompat, const char *name);

/* kernel/volume/renew.c: making blocks dirty, so that checkpoints write them anew */
struct vol_renewal {
    bool (*is_due)(const struct volume *v, const struct volume_pointer *pointer);
    int (*renew)(struct volume_node *node, unsigned level, uint64_t index, void *arg); /* not 0: no further */
    void *arg;
};
/* One block, with room for it on the disk and in memory, for which checkpoints may be made. -ENOSPC. */
must_check int vol_block_renew(struct volume_node *node, unsigned level, uint64_t index);
/* Every block of a node that is due; what renew() returned if not 0. */
must_check int vol_node_renew(struct volume_node *node, const struct vol_renewal *renewal);
/* The same of the inode of that number, if there is one. */
must_check int vol_number_renew(struct volume *v, uint64_t ino, const struct vol_renewal *renewal);

/* kernel/volume/inode.c */
must_check int vol_node_dirty(struct volume_node *node);
/* The node of a number, used or free, dirty; not to be put with volume_node_put(). */
must_check int vol_node_any(struct volume *v, uint64_t ino, struct volume_node **ret_node);
/* A node with a fresh number; nothing may fail after it. */
must_check int vol_node_new(struct volume *v, uint32_t mode, uint64_t rdev, struct volume_owner owner,
                            struct volume_time time, uint64_t expect_ino, struct volume_node **ret_node);
void vol_node_touch(struct volume_node *node, struct volume_time time); /* mtime and ctime; the node is dirty */
struct volume_time vol_now(struct volume *v);
void vol_node_release(struct volume_node *node); /* out of memory if nothing holds it */
/* An inode without a name: on the list of them. Prepare, then act. */
must_check int vol_orphan_prepare(struct volume *v);
void vol_orphan_add(struct volume_node *node);
must_check int vol_orphan_remove(struct volume_node *node);
must_check int vol_node_destroy(struct volume_node *node); /* nameless: contents, attributes, number */
must_check int vol_orphans_destroy(struct volume *v);
void vol_inode_store(struct volume_node *node);

/* kernel/volume/dir.c */
struct vol_place {          /* an entry in a leaf */
    struct vol_block *leaf; /* referenced */
    uint32_t offset;
    uint64_t hash;
};
uint64_t vol_dir_hash(struct volume *v, const char *name, size_t size);
/* -ENOENT; place->leaf is NULL then. */
must_check int vol_dir_find(struct volume_node *dir, const char *name, size_t size, struct vol_place *ret_place);
struct volume_dir_entry *vol_dir_entry(const struct vol_place *place);
/* Room for a name that is not there: the leaf is dirty and referenced. */
must_check int vol_dir_prepare(struct volume_node *dir, const char *name, size_t size, struct vol_place *ret_place);
void vol_dir_insert(struct volume_node *dir, struct vol_place *place, const char *name, size_t size, uint64_t ino,
                    uint32_t mode);
void vol_dir_remove(struct volume_node *dir, struct vol_place *place); /* leaf and node are dirty */
/* Does the block hold together? Everything read goes through it. */
bool vol_dir_block_valid(const struct volume_dir_block *block);
must_check int vol_dir_get(struct volume_node *dir, uint64_t index, struct vol_block **ret_block);
#define VOL_DT(mode) (((mode)&S_IFMT) >> 12)

/* kernel/volume/names.c: with a time and a number, for replay */
must_check int vol_create_at(struct volume *v, struct volume_node *dir, const char *name, size_t size, uint32_t mode,
                             uint64_t rdev, const char *target, size_t target_size, struct volume_owner owner,
                             struct volume_time time, uint64_t ino, struct volume_node **ret_node);
must_check int vol_link_at(struct volume_node *dir, const char *name, size_t size, struct volume_node *target,
                           struct volume_time time);
must_check int vol_unlink_at(struct volume_node *dir, const char *name, size_t size, bool directory,
                             struct volume_time time);
must_check int vol_rename_at(struct volume_node *old_dir, const char *old_name, size_t old_size,
                             struct volume_node *new_dir, const char *new_name, size_t new_size, unsigned flags,
                             struct volume_owner owner, struct volume_time time, uint64_t whiteout);

/* kernel/volume/data.c */
must_check int vol_write_block(struct volume_node *node, uint64_t index, unsigned start, const void *data,
                               unsigned size);
void vol_setattr_fill(const struct volume_node *node, struct volume_op_setattr *op);
must_check int vol_truncate_at(struct volume_node *node, uint64_t size, struct volume_time time);
must_check int vol_punch_at(struct volume_node *node, uint64_t offset, uint64_t size, struct volume_time time);

/* kernel/volume/xattr.c */
must_check int vol_setxattr_at(struct volume_node *node, const char *name, size_t name_size, const void *value,
                               size_t size, int flags, struct volume_time time);
must_check int vol_removexattr_at(struct volume_node *node, const char *name, size_t name_size,
                                  struct volume_time time);
bool vol_xattr_block_valid(const struct volume_xattr_block *block);

/* kernel/volume/log.c */
/* An operation to be logged, allocated before it happens; NULL: no memory. While replaying: a dummy. */
struct vol_op *vol_op_new(struct volume *v, enum volume_op_type type, size_t size) must_check;
void vol_op_free(struct vol_op *op);
void vol_op_log(struct volume *v, struct vol_op *op); /* it happened; takes op */
must_check int vol_commit(struct volume *v, struct volume_node *node);
void vol_ops_drop(struct volume *v);
void vol_log_start(struct volume *v, const uint8_t tag[16]); /* after a checkpoint */
must_check int vol_log_extent_room(struct volume *v, size_t count);
void vol_log_extent_add(struct volume *v, uint64_t block, uint64_t count);

/* kernel/volume/replay.c */
/* Apply the log after a checkpoint of this tag and epoch; v->sequence and the log's position become those of its end.
 */
must_check int vol_replay(struct volume *v, const uint8_t slot_tag[16], uint32_t epoch);
/* Does a record's list of operations hold together? */
bool vol_record_valid(const struct volume_record *record);

/* kernel/volume/checkpoint.c */
/* At the start of every operation: may it change something, and is there room for `blocks` more dirty ones?
 * Writes back or makes a checkpoint if one is due. */
enum vol_purpose { VOL_GROW, VOL_SHRINK };
must_check int vol_begin(struct volume *v, uint64_t blocks, enum vol_purpose purpose);
must_check int vol_checkpoint(struct volume *v);
must_check int vol_slot_read(struct volume *v, unsigned position, struct volume_checkpoint *ret_checkpoint,
                             uint8_t ret_tag[16]);
void vol_failed(struct volume *v, int error);
must_check int vol_flush(struct volume *v);

/* kernel/volume/anchor.c */
/* ret_held: what the anchor says. */
must_check int vol_anchor_check(struct volume *v, const struct volume_checkpoint *slot, uint64_t *ret_held);
void vol_anchor_prepare(struct volume *v, uint64_t held); /* before this epoch's first checkpoint */
must_check int vol_anchor_acquire(struct volume *v, uint64_t held);
must_check int vol_anchor_committed(struct volume *v);

static inline uint64_t vol_span(unsigned level) /* blocks of contents below one block of this level */
{
    return 1ULL << (VOLUME_FANOUT_BITS * level);
}
static inline struct volume_pointer *vol_pointers(const struct vol_block *b)
{
    return (struct volume_pointer *)b->data;
}
static inline bool vol_is_file(const struct volume_node *node)
{
    return !node->object && S_ISREG(node->inode.mode);
}

#endif

/*
 * Encrypted volumes: a copy-on-write file system in one file of the host (docs/VOLUME-FORMAT.md). Everything the host
 * keeps is encrypted and authenticated; nothing it answers is trusted.
 *
 * The engine is one monitor: the caller serialises all calls on one volume (they may sleep in I/O) but volume_peek().
 * Permissions, paths, open files and locks are the caller's. Names are 1 to 255 bytes without '/' and NUL. Errors are
 * negative errno: -EIO      the disk failed or contents do not verify; after a failed write every change fails
 * (volume_failed()) -ENOSPC   before anything was changed -ENOMEM   nothing was changed, try again -EROFS    opened for
 * reading only
 */
#ifndef COFRE_KERNEL_VOLUME_VOLUME_H
#define COFRE_KERNEL_VOLUME_VOLUME_H

#include "kernel/fs/inode.h"
#include "kernel/volume/format.h"

struct volume;
struct volume_node; /* an inode in memory, counted */

/*
 * What lies below. Each returns 0 or negative errno; `arg` is the caller's. Blocks are VOLUME_BLOCK_SIZE bytes; the
 * engine never reads the result of one read twice, and buffers are never shared with the host.
 */
struct volume_io {
    void *arg;
    int (*read)(void *arg, uint64_t block, uint64_t count, void *buf);
    /*
     * durable: as if followed by flush(), for what this call wrote at least. Else it may be under way still when it
     * returns: reads see it all the same, and its error is that of the next write or flush.
     */
    int (*write)(void *arg, uint64_t block, uint64_t count, const void *buf, bool durable);
    int (*flush)(void *arg); /* everything written before is durable */
    uint64_t (*block_count)(void *arg);
    void (*random)(void *arg, void *buf, size_t size); /* cryptographic */
    struct timespec_ns (*now)(void *arg);
    /* NULL, or: these will likely be read soon. False: not now, there is enough of that. */
    bool (*read_ahead)(void *arg, uint64_t block, uint64_t count);
};

/*
 * Where the newest state is known from outside (freshness): a counter that only grows, one for each volume, 0 at first.
 * Answers must be authentic and fresh: that is the implementation's business.
 */
struct volume_anchor_key { /* which counter, and the right to raise it */
    uint8_t uuid[16];
    uint8_t secret[32];
};
#define VOLUME_ANCHOR_ANY UINT64_MAX
struct volume_anchor {
    void *arg;
    /*
     * The counter becomes `value` if that is more than what it is now and if that is `expected` (or `expected` is
     * VOLUME_ANCHOR_ANY). ret_previous: what it was before. So value 0 reads it. May be done twice when an answer got
     * lost: then the second one's is given.
     */
    int (*raise)(void *arg, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                 uint64_t *ret_previous);
    bool raises_only; /* `expected` does not count: VOLUME_ANCHOR_ANY always */
};
enum volume_freshness {
    VOLUME_FRESH_NONE,   /* no anchor is asked */
    VOLUME_FRESH_LAG,    /* volume_anchor() is called by a timer; at most lag_records are ahead of the anchor */
    VOLUME_FRESH_STRICT, /* fsync waits for the anchor */
    VOLUME_FRESH_CALLER, /* volume_anchor_next() and volume_anchor_done() tell the caller what to do and to wait for */
};

/* Whose key slots a new master key is sealed for: those that unlock has the key of, and recovery keys. */
struct volume_rekey {
    int (*unlock)(void *arg, const struct volume_key_slot *slot, uint8_t ret_key[32]); /* volume_unlock_fn */
    void *arg;
    bool drop; /* others are lost; else they are a reason to refuse (-EACCES) */
};

struct volume_options {
    const struct volume_rekey
        *rekey;          /* begin with a new master key, if none is on its way; -EADDRINUSE: there are snapshots */
    bool read_only;      /* nothing is written; the anchor is read but not acquired */
    size_t cache_size;   /* bytes of blocks kept; 0: 32 MiB */
    uint64_t log_blocks; /* log that makes a checkpoint due; 0: 16384 (64 MiB) */
    enum volume_freshness freshness;
    unsigned lag_records; /* 0: 256 */
    const struct volume_anchor *anchor;
    const char *snapshot; /* this one instead of the newest state; with read_only and VOLUME_FRESH_NONE only */
    bool accept_rollback; /* mount what the anchor does not know (the policy has to have allowed it) */
};

/* Finding the wrapping key of a slot: 0 with 32 bytes, -ENOKEY if this caller has none for it. */
typedef int (*volume_unlock_fn)(void *arg, const struct volume_key_slot *slot, uint8_t ret_key[32]);

/*
 * Make an empty volume of io->block_count() blocks whose root directory is 0755 root. key wraps the master key in slot
 * 0, of which type, name and params are taken. Overwrites whatever was there.
 */
must_check int volume_format(const struct volume_io *io, const struct volume_key_slot *slot, const uint8_t key[32]);

/*
 * Open a volume: replay its log, take it over at the anchor. io, options->anchor and what they point to stay. Errors,
 * each leaving the disk as it was (all but the last two are found before anything is written):
 *   -EINVAL           not a volume                        -ENODATA      its disk was cut short
 *   -EOPNOTSUPP       made by something newer (features)  -EKEYREVOKED  an older header than its checkpoints'
 *   -ENOKEY           no slot opens with what unlock has  -EKEYREJECTED  header does not verify under the key
 *   -EUCLEAN          no checkpoint verifies, or the log is damaged in its middle
 *   -ESTALE           older than, or beside, what the anchor knows: rolled back or forked
 *   -EOWNERDEAD       who took it over last at an anchor that raises only was cut short, or was not the only one
 *   -EBUSY            another instance took it over meanwhile
 *   -ENOENT           no snapshot of that name
 */
must_check int volume_mount(const struct volume_io *io, const struct volume_options *options, volume_unlock_fn unlock,
                            void *unlock_arg, struct volume **ret_volume);
/* Checkpoint and free; the volume is freed also on failure. All nodes were put. NULL is fine. */
int volume_unmount(struct volume *v);
/* Free without writing anything: what was not synced is lost. */
void volume_abandon(struct volume *v);

/* Key slots; the master key comes from a slot that unlock opens. slot_index -1: the first empty one. */
must_check int volume_key_add(const struct volume_io *io, volume_unlock_fn unlock, void *unlock_arg,
                              const struct volume_key_slot *slot, const uint8_t key[32]);
/* -EPERM for the last one. */
must_check int volume_key_remove(const struct volume_io *io, unsigned slot_index);
/* The slots as they are in the file, VOLUME_KEY_COUNT of them. */
must_check int volume_key_list(const struct volume_io *io, struct volume_key_slot *ret_slots);

struct volume_info {
    uint8_t uuid[16];
    struct volume_features features;
    uint64_t block_count, used_count, free_count; /* free: what ordinary writes may still use */
    uint64_t inode_count, generation, sequence, durable_sequence, anchored_sequence;
    bool rekeying;        /* something is still under the master key before */
    uint64_t rekey_inode; /* ... from this inode on, of inode_last */
    uint64_t inode_last;
    uint32_t epoch, snapshot_count;
    uint64_t log_block_count;  /* since the last checkpoint */
    uint64_t replayed_records; /* at this mount */
};
void volume_get_info(struct volume *v, struct volume_info *ret_info);
/* 0, or the error that made the volume refuse changes. */
int volume_failed(const struct volume *v);

/*
 * Encrypt up to `budget` more blocks under the new master key. 1: there are more; 0: nothing is under an old one any
 * more, which is forgotten. A mount after a crash goes on with it.
 */
must_check int volume_rekey_step(struct volume *v, uint64_t budget);

/* Nodes. -ENOENT: no such inode. */
must_check int volume_node_get(struct volume *v, uint64_t ino, struct volume_node **ret_node);
struct volume_node *volume_node_ref(struct volume_node *node);
/* The last reference of a nameless node frees its contents. NULL is fine. */
void volume_node_put(struct volume_node *node);
/* The inode as it is now; pointers in it mean nothing to the caller. */
const struct volume_inode *volume_node_inode(const struct volume_node *node);
uint64_t volume_node_ino(const struct volume_node *node);

struct volume_owner {
    uint32_t uid, gid;
};

/* Names. Functions that return a node give the caller a reference. */
must_check int volume_lookup(struct volume_node *dir, const char *name, size_t size, struct volume_node **ret_node);
/* Any type but link. dir NULL with `v`: a nameless regular file (O_TMPFILE). */
must_check int volume_create(struct volume_node *dir, const char *name, size_t size, uint32_t mode, uint64_t rdev,
                             struct volume_owner owner, struct volume_node **ret_node);
must_check int volume_tmpfile(struct volume *v, uint32_t mode, struct volume_owner owner,
                              struct volume_node **ret_node);
must_check int volume_symlink(struct volume_node *dir, const char *name, size_t size, const char *target,
                              size_t target_size, struct volume_owner owner, struct volume_node **ret_node);
must_check int volume_link(struct volume_node *dir, const char *name, size_t size, struct volume_node *target);
must_check int volume_unlink(struct volume_node *dir, const char *name, size_t size); /* not of a directory */
must_check int volume_rmdir(struct volume_node *dir, const char *name, size_t size);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT (the device's owner is then `owner`). Atomic. */
must_check int volume_rename(struct volume_node *old_dir, const char *old_name, size_t old_size,
                             struct volume_node *new_dir, const char *new_name, size_t new_size, unsigned flags,
                             struct volume_owner owner);
/* Bytes of the target, without NUL. */
must_check ssize_t volume_readlink(struct volume_node *node, char *buf, size_t size);

/*
 * Entries from position *pos on (0: the start), "." and ".." included; positions survive any change of the directory.
 * emit returns false to stop before its entry is counted.
 */
typedef bool (*volume_emit_fn)(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos);
must_check int volume_readdir(struct volume_node *dir, int64_t *pos, volume_emit_fn emit, void *arg);

/* attr->valid says what; ATTR_SIZE truncates. ctime becomes now unless given. */
must_check int volume_setattr(struct volume_node *node, const struct inode_attr *attr);

/* Contents of regular files. Reads stop at the end of the file. Short counts only after an error midway. */
must_check ssize_t volume_read(struct volume_node *node, uint64_t offset, void *buf, size_t size);
must_check ssize_t volume_write(struct volume_node *node, uint64_t offset, const void *buf, size_t size);
/* -ENOMEM of these two: part of it may have happened. */
must_check int volume_truncate(struct volume_node *node, uint64_t size);
/* FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE. Space is checked for, not kept. */
must_check int volume_fallocate(struct volume_node *node, int mode, uint64_t offset, uint64_t size);
/* The next data (or hole) at or after offset; -ENXIO beyond the end. */
must_check int64_t volume_seek(struct volume_node *node, uint64_t offset, bool hole);

/* Blocks of contents from `first` on, before `end`, that are as on the disk leave the memory. */
void volume_forget(struct volume_node *node, uint64_t first, uint64_t end);

/*
 * A read of what is in memory, within one block: bytes, or -EAGAIN. They are at *ret_data until the caller sleeps or
 * calls the volume. Never sleeps and may be called while another call on the volume does.
 */
must_check ssize_t volume_peek(struct volume_node *node, uint64_t offset, size_t size, const uint8_t **ret_data);
/* Blocks of the node, also those that have no place on the disk yet. */
uint64_t volume_node_blocks(const struct volume_node *node);

/* Extended attributes: one block of them for each inode. As the system calls: size 0 asks for the length. */
must_check ssize_t volume_getxattr(struct volume_node *node, const char *name, void *buf, size_t size);
must_check int volume_setxattr(struct volume_node *node, const char *name, const void *value, size_t size, int flags);
must_check ssize_t volume_listxattr(struct volume_node *node, char *buf, size_t size);
must_check int volume_removexattr(struct volume_node *node, const char *name);

/* The node's contents and all names and attributes of everything, durable: one write and one flush, or nothing. */
must_check int volume_fsync(struct volume_node *node);
/* The node's contents go with the next volume_fsync() of any node, in the same write if there is room. */
void volume_fsync_along(struct volume_node *node);
/* Everything, durable. */
must_check int volume_sync(struct volume *v);
/*
 * Until volume_release(), which may be nested: what the calls in between change becomes durable together or not at all.
 * The caller keeps everybody else out, syncs nothing meanwhile, and dirties about `blocks` blocks. -ENOSPC if there is
 * no room.
 */
must_check int volume_hold(struct volume *v, uint64_t blocks);
void volume_release(struct volume *v);
/* For a timer: a checkpoint if there were changes. */
must_check int volume_checkpoint(struct volume *v);
/* Would that write anything? */
bool volume_pending(const struct volume *v);
/* Tell the anchor what is durable. -ESTALE: another instance holds it; no change is accepted any more. */
must_check int volume_anchor(struct volume *v);
/*
 * The same in two halves, so that the volume can be used while the anchor is asked: what the counter is to be raised to
 * (false: nothing), with whose right; and what it was before. These two may be called while another call sleeps.
 */
struct volume_anchor_step {
    struct volume_anchor_key key;
    uint64_t value;
    uint64_t sequence; /* anchored when that is done */
};
bool volume_anchor_next(struct volume *v, struct volume_anchor_step *ret_step);
must_check int volume_anchor_done(struct volume *v, const struct volume_anchor_step *step, uint64_t previous);
/* Records that are durable, and those that are anchored. */
uint64_t volume_durable(const struct volume *v);
uint64_t volume_anchored(const struct volume *v);

/*
 * Another size, durable when it returns (for the tools; not in the enclave). Growing: the disk is that large already.
 * Shrinking moves what lies beyond; the caller cuts the disk afterwards, or never. progress may be NULL; it counts
 * blocks to be moved. -EBUSY: it has snapshots, and shall shrink. -EINVAL: no size of a volume, or more than the disk
 * has. -ENOSPC: it does not fit; what was moved stays moved, and nothing else is different. After an error the volume
 * is only good for volume_unmount() or _abandon().
 */
typedef void (*volume_progress_fn)(void *arg, uint64_t done, uint64_t total);
must_check int volume_resize(struct volume *v, uint64_t block_count, volume_progress_fn progress, void *arg);

/*
 * Snapshots: the whole tree as it is now, kept under a name; its blocks are not used again until it is removed. Made,
 * removed and gone back to by the tools, respected by all. After an error the volume is only good for volume_abandon().
 */
const struct volume_snapshot *volume_snapshots(const struct volume *v, unsigned *ret_count); /* oldest first */
/* -EEXIST, -EINVAL (no name), -ENOSPC (VOLUME_SNAPSHOT_MAX, or no room). Everything is durable then. */
must_check int volume_snapshot_create(struct volume *v, const char *name);
must_check int volume_snapshot_remove(struct volume *v, const char *name); /* -ENOENT */
/* The tree is as that of the snapshot, which stays; what is newer is gone. -ENOENT, -EEXIST (there is a newer
 * snapshot), -EBUSY (the caller has a node). */
must_check int volume_snapshot_rollback(struct volume *v, const char *name);

/* Walk and verify everything reachable, count uses of blocks, links and entries. Problems go to report. */
typedef void (*volume_report_fn)(void *arg, const char *problem);
struct volume_check_result {
    uint64_t problem_count, file_count, dir_count, block_count;
};
/* With snapshots: first a checkpoint; -EROFS if it is open for reading only and a log was replayed. */
must_check int volume_check(struct volume *v, volume_report_fn report, void *arg,
                            struct volume_check_result *ret_result);

#endif

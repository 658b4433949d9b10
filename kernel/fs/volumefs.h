/*
 * The file system of a volume: kernel/volume/ under the VFS.
 *
 * The engine is one monitor and sleeps in I/O, so a mutex is held around each call on it: `lock`. It is also what makes
 * changes of names whole: super_ops.lock is this mutex, which its holder may take again. What a task does between the
 * end of an engine call and its own next sleep happens before anybody else's next engine call. Contents that are in
 * memory are read without the mutex (volume_peek).
 *
 * Order of locks: an inode's `data`, then `lock`. User memory is never touched under `lock`, since a page of a mapping
 * may have to be read from this very volume; it is touched under `data`, which reading a page does not take.
 *
 * Other enclaves share pages of its files (kernel/mm/shared.h). Such a page is kept in `pages` beside the engine's
 * cache (volumefs_pages.c). What changes contents holds `lock` from change_begin() to change_end(), when no other
 * enclave has what changes, or gets anything. Nobody needs the lock to give a page back, so it may be waited for with
 * it.
 *
 * A thread of its own for each volume does what must not sleep where it comes up: ending inodes nobody has open any
 * more, and pages that mappings gave back. Five seconds after a change it makes what has changed durable.
 */
#ifndef COFRE_KERNEL_FS_VOLUMEFS_H
#define COFRE_KERNEL_FS_VOLUMEFS_H

#include "kernel/fs/internal.h"
#include "kernel/fs/page_map.h"
#include "kernel/fs/vfs.h"
#include "kernel/fs/volume_counter.h"
#include "kernel/fs/volume_disk.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/output.h"
#include "kernel/volume/volume.h"

#define VOLUMEFS_BUCKETS 256
#define VOLUMEFS_MAGIC 0x65727f43 /* "C\x7fre" */

struct volumefs_sync {
    TAILQ_ENTRY(volumefs_sync) link;
    struct volume_node *node;
    bool done;
    int error;
};

struct volumefs {
    struct super_block sb;
    struct volume_disk disk;
    struct volume *volume;
    struct mutex lock;
    LIST_HEAD(volumefs_bucket, volumefs_inode) inodes[VOLUMEFS_BUCKETS];
    TAILQ_HEAD(volumefs_gone, volumefs_inode) gone;      /* evicted: who takes the lock next puts their nodes */
    TAILQ_HEAD(volumefs_returned, volumefs_inode) dirty; /* with pages that mappings gave back */
    bool urgent;                                         /* one of them is not shared: it will not come again soon */
    uint64_t held_count, held_max;                       /* in all `pages`; from which on some are called back */
    TAILQ_HEAD(volumefs_syncs, volumefs_sync) syncs;     /* asked for: one write serves them all */
    struct wait_queue work;
    bool stopping, stopped;
    bool resting;                        /* the thread: nothing is due, now or later */
    uint32_t freshness;                  /* enum policy_volume_freshness */
    struct volume_remote_anchor *remote; /* NULL: the anchor, if there is one, is the engine's own business */
    struct wait_queue anchor_work, anchor_moved;
    struct output_hold hold;
    uint64_t anchor_needed; /* somebody waits until so many records are anchored */
    const char *path;
    char options[64];
    struct volumefs_upper *upper; /* as the root's upper layer: volumefs_upper.h. Else NULL */
};

struct volumefs_inode {
    struct inode inode;       /* first */
    struct volume_node *node; /* referenced. NULL: it is as the root image has it */
    /* Of a root's upper layer */
    struct inode *lower;                 /* referenced: what the image has there; or NULL */
    struct volumefs_inode *lower_parent; /* how it was found in the image, if node is NULL */
    char *lower_name;
    uint32_t below_dirs; /* of a directory: the image's directories that are seen in it */
    bool lower_data;     /* a regular file whose contents are the image's */
    bool gone;           /* a directory that lost its name */
    LIST_ENTRY(volumefs_inode) hash_link;
    TAILQ_ENTRY(volumefs_inode) gone_link, dirty_link;
    struct mutex data;     /* one writer; the file position */
    struct page_map pages; /* given back by mappings and not written yet, or lent to other enclaves */
    uint64_t dirty_count;  /* of them, not written yet; the inode is referenced and on `dirty` while there are */
    bool closed;           /* under `data`: change_begin() kept others out */
    uint64_t called_back;  /* up to where, for want of room */
    int error;             /* a page given back could not be written: for the next fsync */
};

static inline struct volumefs *volumefs(struct super_block *sb)
{
    return container_of(sb, struct volumefs, sb);
}
static inline struct volumefs_inode *volumefs_inode(struct inode *inode)
{
    return container_of(inode, struct volumefs_inode, inode);
}

/* Take the mutex, and put what was evicted; `fs->volume` may be used. */
void volumefs_lock(struct volumefs *fs);
void volumefs_unlock(struct volumefs *fs);
struct volumefs_inode *volumefs_find(struct volumefs *fs, uint64_t number); /* in memory; no reference */
/* An inode of that number in memory, with one reference and no more set. NULL: no memory. */
struct volumefs_inode *volumefs_inode_new(struct volumefs *fs, uint64_t number) must_check;
void volumefs_set_ops(struct inode *inode);
/* Under the lock: the inode of a node, whose reference is taken over also on failure. Referenced. */
must_check int volumefs_get(struct volumefs *fs, struct volume_node *node, struct inode **ret_inode);
/* Under the lock: what the VFS sees of the node, as it is now (but for the time of access). */
void volumefs_refresh(struct volumefs_inode *vi);
/* The same for an inode by number, if it is in memory. */
void volumefs_refresh_ino(struct volumefs *fs, uint64_t ino);
/* The owner of what the current process makes in dir, and whether the mode gets S_ISGID. */
struct volume_owner volumefs_owner(const struct inode *dir, uint32_t *mode);

/* kernel/fs/volumefs_pages.c: pages of files beside the engine's cache, that mappings gave back or others may get */
/* NULL: what the volume (or the image below) has is all there is. Until the next sleep. */
const void *volumefs_page(const struct volumefs_inode *vi, uint64_t index);
/* Under the lock: those that were given back before this are written. */
must_check int volumefs_drain(struct volumefs *fs, struct volumefs_inode *vi);
/* What is in memory, or in mappings here, of [pos, pos + size) becomes data; NULL: zeros. */
void volumefs_patch(struct volumefs_inode *vi, uint64_t pos, const uint8_t *data, uint64_t size);
/* Without the lock: what other enclaves wrote before this is given back. 0 or -errno. */
must_check int volumefs_call_back(struct volumefs_inode *vi);
int volumefs_write_page(struct inode *inode, uint64_t index, const void *src);
int volumefs_hold_page(struct inode *inode, uint64_t index, bool write, bool sleep);
void volumefs_release_page(struct inode *inode, uint64_t index);
void volumefs_drop_pages(struct volumefs_inode *vi); /* the inode goes */
/* A page as the volume or the image has it, which needs no lock if nothing sleeps for it. Bytes (the rest is zeroed);
 * at_once: -EAGAIN if it has to sleep; else under the lock. */
must_check ssize_t volumefs_load(struct volumefs_inode *vi, uint64_t index, void *page, bool at_once);

int volumefs_setattr(struct inode *inode, const struct inode_attr *attr);
void volumefs_getattr(struct inode *inode, struct statx *stat);
ssize_t volumefs_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int volumefs_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
ssize_t volumefs_listxattr(struct inode *inode, char *buf, size_t size);
int volumefs_removexattr(struct inode *inode, const char *name);
void volumefs_evict(struct inode *inode);
int volumefs_fsync(struct file *file, bool data_only);
#define VOLUMEFS_COMMON_OPS                                                                                            \
    .setattr = volumefs_setattr, .getattr = volumefs_getattr, .getxattr = volumefs_getxattr,                           \
    .setxattr = volumefs_setxattr, .listxattr = volumefs_listxattr, .removexattr = volumefs_removexattr,               \
    .evict = volumefs_evict

extern const struct inode_ops volumefs_dir_ops, volumefs_regular_ops;
extern const struct file_ops volumefs_file_ops, volumefs_dir_file_ops;

/* Entries of directories, collected under the lock and given out without it: who takes them may touch user memory. */
struct volumefs_batch {
    size_t used;
    bool full;
    char data[PAGE_SIZE - 16];
};
struct volumefs_entry { /* then the name; 8-byte aligned */
    uint64_t ino;
    file_off_t next_pos;
    uint8_t type, name_size;
};
#define VOLUMEFS_ENTRY_SIZE(e) ALIGN_UP(sizeof(*(e)) + (e)->name_size, 8)
/* False when it is full. */
bool volumefs_batch_add(struct volumefs_batch *b, const char *name, size_t size, uint64_t ino, unsigned type,
                        file_off_t next_pos);
/* False when the caller's buffer is full. Entries of number 0 are left out. */
bool volumefs_batch_give(const struct volumefs_batch *b, struct dir_context *ctx);

/* kernel/fs/volumefs_thread.c */
must_check int volumefs_rekey_start(struct volumefs *fs); /* if the volume has something under an old master key */
must_check int volumefs_thread_start(struct volumefs *fs);
void volumefs_thread_wake(struct volumefs *fs);
/* Under the lock, by volumefs_lock(): nodes of inodes that were evicted are put. */
void volumefs_end_gone(struct volumefs *fs);
/* Under the lock: times of access that so far only the VFS knows. */
void volumefs_store_atimes(struct volumefs *fs);

/* kernel/fs/volume_freshness.c: for volumes with a remote anchor; others are done at once. */
must_check int volumefs_anchor_start(struct volumefs *fs);
/* Something is durable that the anchor may be told. */
void volumefs_anchor_kick(struct volumefs *fs);
/* After a sync, without the lock: until it may return, by the mode. -EIO when the anchor does not answer in time: then
 * it is durable here all the same, and the next sync waits again. */
must_check int volumefs_anchor_wait(struct volumefs *fs);
/* Until all that is durable is anchored. */
must_check int volumefs_anchor_all(struct volumefs *fs);

/* An opened volume as a file system: set up, its root found (or upper_open()), its threads started. */
void volumefs_init(struct volumefs *fs);
must_check int volumefs_open_root(struct volumefs *fs);
must_check int volumefs_start(struct volumefs *fs);
/* Boot: what the policy names and the host gave. Ends the container (refuse) if that is not to be had. */
void volumes_mount(void);
/* The volume that is the root's upper layer above lower, mounted there; NULL: there is none. */
struct super_block *volumes_root(struct super_block *lower);

#endif

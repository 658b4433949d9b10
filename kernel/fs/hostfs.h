/*
 * Folders of the host as file systems (run -v HOST:PATH). The host may change anything in them at any time, and may
 * lie. So:
 *
 *   - Names are asked for each time they are walked; a dentry is kept only as long as the host says that the name still
 *     means the same file (number and type). What is not there is asked for again.
 *   - Attributes come with every answer and are asked for by stat. A file's type never changes: a file that answers
 *     with another type is EIO, and another file at the next look at its name.
 *   - Contents are not kept, except what was read ahead in order (at most a second, and never past a write, an open or
 *     a truncation in this container) and pages of mappings. What reading ahead brought stays in untrusted memory until
 *     it is read: it is copied in once, to whoever reads it.
 *   - What mappings change is written when they end, at msync, fsync and by a thread of the kernel.
 *
 * `lock` is held while names are changed (super_ops), `data` of an inode while its contents are (and, by the VFS, where
 * a file position moves).
 */
#ifndef COFRE_KERNEL_FS_HOSTFS_H
#define COFRE_KERNEL_FS_HOSTFS_H

#include "kernel/fs/hostfs_client.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/page_map.h"
#include "kernel/fs/vfs.h"
#include "kernel/sched/mutex.h"

#define HOSTFS_BUCKETS 1024
#define HOSTFS_MAGIC_FS 0x65735546 /* what programs know: FUSE */
#define HOSTFS_WINDOWS 2

/* A run of the file that was read, or is being read, in a slot. */
struct hostfs_window {
    TAILQ_ENTRY(hostfs_window) link; /* of all windows, oldest first */
    bool used;                       /* has a slot, is on the list */
    bool busy;                       /* some task uses it */
    bool done;                       /* answered: `size` is what came */
    bool dropped;                    /* not to be used any more, once nobody is busy with it */
    unsigned slot;
    file_off_t pos;
    uint64_t size, wanted;
    uint64_t time_ns;
};

struct hostfs {
    struct super_block sb;
    unsigned number;
    bool ids; /* owners are as the host says and can be set; otherwise its own files are the first process's user's */
    uint32_t uid, gid;
    struct mutex lock;
    LIST_HEAD(hostfs_bucket, hostfs_inode) inodes[HOSTFS_BUCKETS];
    TAILQ_HEAD(hostfs_returned, hostfs_inode) dirty; /* with pages that mappings gave back */
    struct wait_queue work;
    const char *path;
};

struct hostfs_inode {
    struct inode inode; /* first */
    uint32_t node;
    uint64_t blocks;
    LIST_ENTRY(hostfs_inode) hash_link;
    TAILQ_ENTRY(hostfs_inode) dirty_link;
    struct mutex data;
    unsigned open_count;
    struct page_map pages; /* given back by mappings, not written yet */
    uint64_t page_count;
    int error; /* such a page could not be written: for the next fsync */
    struct hostfs_window windows[HOSTFS_WINDOWS];
    file_off_t next_pos; /* where a read in order goes on */
    uint64_t ahead;      /* bytes to read at once then; 0: not in order */
};

static inline struct hostfs *hostfs(struct super_block *sb)
{
    return container_of(sb, struct hostfs, sb);
}
static inline struct hostfs_inode *hostfs_inode(struct inode *inode)
{
    return container_of(inode, struct hostfs_inode, inode);
}

/* A request about an inode; result_node none. */
static inline struct hostfs_request hostfs_request(uint32_t op, const struct inode *inode)
{
    return (struct hostfs_request){
        .op = op,
        .node = container_of(inode, const struct hostfs_inode, inode)->node,
        .result_node = HOSTFS_NO_NODE,
    };
}

/* The inode of an answer that made `node` (taken over, also on failure). Referenced. 0, -ENOMEM, -EIO. */
must_check int hostfs_get(struct hostfs *fs, uint32_t node, const struct hostfs_reply *reply, struct inode **ret_inode);
/* Attributes that came with an answer about the inode. -EIO: of something else. */
must_check int hostfs_refresh(struct inode *inode, const struct hostfs_reply *reply);
/* Attributes of whatever inode they are of, if it is in memory. */
void hostfs_refresh_any(struct hostfs *fs, const struct hostfs_reply *reply);
/* hostfs_call(), and attributes of the inode that it was about. */
must_check int64_t hostfs_call_refresh(struct inode *inode, struct hostfs_request *request, const char *name,
                                       const char *second);
/* Whom a file belongs to that is made in dir, in the request; and whether its mode gets S_ISGID. */
void hostfs_owner(const struct inode *dir, struct hostfs_request *request);

int hostfs_setattr(struct inode *inode, const struct inode_attr *attr);
void hostfs_getattr(struct inode *inode, struct statx *stat);
ssize_t hostfs_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int hostfs_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
ssize_t hostfs_listxattr(struct inode *inode, char *buf, size_t size);
int hostfs_removexattr(struct inode *inode, const char *name);
void hostfs_evict(struct inode *inode);
int hostfs_fsync(struct file *file, bool data_only);
int hostfs_file_open(struct inode *inode, struct file *file);
void hostfs_file_release(struct file *file);
#define HOSTFS_COMMON_OPS                                                                                              \
    .setattr = hostfs_setattr, .getattr = hostfs_getattr, .getxattr = hostfs_getxattr, .setxattr = hostfs_setxattr,    \
    .listxattr = hostfs_listxattr, .removexattr = hostfs_removexattr, .evict = hostfs_evict

extern const struct inode_ops hostfs_dir_ops, hostfs_regular_ops;
extern const struct file_ops hostfs_file_ops, hostfs_dir_file_ops;
/* dentry_lookup's question whether a cached name still holds: 1, 0, or negative errno. */
int hostfs_revalidate(struct dentry *dentry);

/* kernel/fs/hostfs_data.c: contents */
/* Under `data`: pages that mappings gave back are written. */
must_check int hostfs_drain(struct hostfs_inode *hi);
must_check int hostfs_pull_mappings(struct hostfs_inode *hi);
/* kernel/fs/hostfs_window.c */
/* What was read ahead is not to be used any more. */
void hostfs_windows_drop(struct hostfs_inode *hi);
bool hostfs_windows_reclaim(void);
/*
 * Bytes of the file at pos, at most size, handed to fn piece by piece (untrusted memory; fn returns what it took, less
 * at the end of its buffer or at a bad address). nested: a page for a mapping. Bytes taken, 0 at the end, or errno.
 */
typedef size_t (*hostfs_take_fn)(void *arg, host_ptr from, size_t size);
must_check ssize_t hostfs_read_some(struct hostfs_inode *hi, bool nested, file_off_t pos, size_t size,
                                    hostfs_take_fn take, void *arg);

/* A folder as a file system; NULL: no memory. */
struct hostfs *hostfs_new(unsigned number, const struct boot_folder *folder, const char *path) must_check;
/* Boot: what the policy names and the host gave. Refuses what the policy does not name. */
void hostfs_mount_all(void);

#endif

/* Folders of the host: the super block, inodes and their attributes (hostfs.h). */
#include "kernel/fs/hostfs.h"

#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/arch/untrusted.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"

#define SIZE_MAX_SANE (1ULL << 62)
#define NOBODY 65534U

static struct timespec_ns time_in(int64_t sec, uint32_t nsec)
{
    const int64_t limit = 1LL << 40;
    if (nsec >= 1000000000 || sec > limit || sec < -limit)
        return (struct timespec_ns){0, 0};
    return (struct timespec_ns){sec, nsec};
}

/* Without being root the host cannot tell users apart: its own files are the first process's, others nobody's. */
static void set_owner(struct hostfs *fs, struct inode *inode, const struct hostfs_attr *attr)
{
    inode->uid = attr->uid;
    inode->gid = attr->gid;
    if (fs->ids)
        return;
    const struct process *init = process_find(1);
    uint32_t uid = init ? init->credentials.euid : 0, gid = init ? init->credentials.egid : 0;
    inode->uid = attr->uid == fs->uid ? uid : NOBODY;
    inode->gid = attr->gid == fs->gid ? gid : NOBODY;
}

static bool attr_sane(const struct hostfs_attr *attr)
{
    uint32_t type = attr->mode & S_IFMT;
    return attr->size <= SIZE_MAX_SANE && attr->blocks <= SIZE_MAX_SANE / 512 && !(attr->mode & ~0177777U) &&
           (type == S_IFREG || type == S_IFDIR || type == S_IFLNK || type == S_IFIFO || type == S_IFSOCK ||
            type == S_IFCHR || type == S_IFBLK);
}

static void take_attr(struct inode *inode, const struct hostfs_attr *attr)
{
    struct hostfs_inode *hi = hostfs_inode(inode);
    inode->mode = attr->mode;
    inode->nlink = attr->nlink;
    set_owner(hostfs(inode->sb), inode, attr);
    /* Neither what was cut off nor what a mapping stored behind the end becomes part of it when it grows. */
    if (S_ISREG(attr->mode) && (file_off_t)attr->size != inode->size && inode->mappings)
        shared_truncate(inode, MIN((file_off_t)attr->size, inode->size));
    inode->size = (file_off_t)attr->size;
    inode->atime = time_in(attr->atime_sec, attr->atime_nsec);
    inode->mtime = time_in(attr->mtime_sec, attr->mtime_nsec);
    inode->ctime = time_in(attr->ctime_sec, attr->ctime_nsec);
    inode->btime = time_in(attr->btime_sec, attr->btime_nsec);
    hi->blocks = attr->blocks;
}

int hostfs_refresh(struct inode *inode, const struct hostfs_reply *reply)
{
    const struct hostfs_attr *attr = &reply->attr;
    if (!(reply->flags & HOSTFS_REPLY_ATTR) || !attr_sane(attr) || attr->ino != inode->ino ||
        (attr->mode & S_IFMT) != (inode->mode & S_IFMT))
        return -EIO;
    take_attr(inode, attr);
    return 0;
}

static const struct inode_ops link_ops, special_ops;

static void set_ops(struct inode *inode)
{
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        inode->ops = &hostfs_dir_ops;
        inode->file_ops = &hostfs_dir_file_ops;
        break;
    case S_IFREG:
        inode->ops = &hostfs_regular_ops;
        inode->file_ops = &hostfs_file_ops;
        break;
    case S_IFLNK:
        inode->ops = &link_ops;
        break;
    default:
        inode->ops = &special_ops;
        break;
    }
}

static struct hostfs_inode *find(struct hostfs *fs, const struct hostfs_attr *attr)
{
    struct hostfs_inode *hi;
    LIST_FOREACH (hi, &fs->inodes[attr->ino % HOSTFS_BUCKETS], hash_link)
        if (hi->inode.ino == attr->ino && (hi->inode.mode & S_IFMT) == (attr->mode & S_IFMT))
            return hi;
    return NULL;
}

void hostfs_refresh_any(struct hostfs *fs, const struct hostfs_reply *reply)
{
    struct hostfs_inode *hi;
    if ((reply->flags & HOSTFS_REPLY_ATTR) && attr_sane(&reply->attr) && (hi = find(fs, &reply->attr)))
        take_attr(&hi->inode, &reply->attr);
}

static struct hostfs_inode *inode_new(struct hostfs *fs, uint32_t node, const struct hostfs_attr *attr)
{
    struct hostfs_inode *hi = kzalloc(sizeof(*hi));
    if (!hi)
        return NULL;
    struct inode *inode = &hi->inode;
    mutex_init(&hi->data);
    hi->node = node;
    inode->sb = &fs->sb;
    inode->refcount = 1;
    inode->ino = attr->ino;
    take_attr(inode, attr);
    set_ops(inode);
    LIST_INSERT_HEAD(&fs->inodes[attr->ino % HOSTFS_BUCKETS], hi, hash_link);
    return hi;
}

int hostfs_get(struct hostfs *fs, uint32_t node, const struct hostfs_reply *reply, struct inode **ret_inode)
{
    const struct hostfs_attr *attr = &reply->attr;
    if (!(reply->flags & HOSTFS_REPLY_ATTR) || !attr_sane(attr)) {
        hostfs_node_free(node);
        return -EIO;
    }
    struct hostfs_inode *hi = find(fs, attr);
    if (hi) {
        hostfs_node_free(node);
        take_attr(&hi->inode, attr);
        *ret_inode = inode_get(&hi->inode);
        return 0;
    }
    hi = inode_new(fs, node, attr);
    if (!hi) {
        hostfs_node_free(node);
        return -ENOMEM;
    }
    *ret_inode = &hi->inode;
    return 0;
}

void hostfs_evict(struct inode *inode)
{
    struct hostfs_inode *hi = hostfs_inode(inode);
    ASSERT(hi->page_count == 0);
    hostfs_windows_drop(hi);
    LIST_REMOVE(hi, hash_link);
    page_map_deinit(&hi->pages);
    if (hi->node >= HOSTFS_FOLDERS)
        hostfs_node_free(hi->node);
    kfree(hi);
}

int64_t hostfs_call_refresh(struct inode *inode, struct hostfs_request *request, const char *name, const char *second)
{
    struct hostfs_reply reply = {.flags = 0};
    int64_t result = hostfs_call(request, name, second, &reply, NULL);
    if (reply.flags & HOSTFS_REPLY_ATTR) {
        int error = hostfs_refresh(inode, &reply);
        result = result < 0 ? result : error < 0 ? error : result;
    }
    return result;
}

void hostfs_owner(const struct inode *dir, struct hostfs_request *request)
{
    const struct credentials *c = fs_credentials();
    request->uid = c->fsuid;
    request->gid = c->fsgid;
    if (dir->mode & S_ISGID) {
        request->gid = dir->gid;
        if (S_ISDIR(request->mode))
            request->mode |= S_ISGID;
    }
}

/* Owners cannot be set where the host is not root; setting what is already so is fine. */
static int owner_request(const struct inode *inode, const struct inode_attr *attr, struct hostfs_request *request)
{
    bool uid = (attr->valid & ATTR_UID) && attr->uid != inode->uid;
    bool gid = (attr->valid & ATTR_GID) && attr->gid != inode->gid;
    if ((uid || gid) && !hostfs(inode->sb)->ids)
        return -EPERM;
    request->flags |= (uid ? HOSTFS_SET_UID : 0) | (gid ? HOSTFS_SET_GID : 0);
    request->uid = attr->uid;
    request->gid = attr->gid;
    return 0;
}

int hostfs_setattr(struct inode *inode, const struct inode_attr *attr)
{
    struct hostfs_request request = hostfs_request(HOSTFS_SETATTR, inode);
    int error = owner_request(inode, attr, &request);
    if (error < 0)
        return error;
    if (attr->valid & ATTR_MODE) {
        request.flags |= HOSTFS_SET_MODE;
        request.mode = attr->mode & 07777;
    }
    if (attr->valid & ATTR_ATIME) {
        request.flags |= HOSTFS_SET_ATIME;
        request.atime_sec = attr->atime.sec;
        request.atime_nsec = attr->atime.nsec;
    }
    if (attr->valid & ATTR_MTIME) {
        request.flags |= HOSTFS_SET_MTIME;
        request.mtime_sec = attr->mtime.sec;
        request.mtime_nsec = attr->mtime.nsec;
    }
    return request.flags ? (int)hostfs_call_refresh(inode, &request, NULL, NULL) : 0;
}

void hostfs_getattr(struct inode *inode, struct statx *stat)
{
    struct hostfs_request request = hostfs_request(HOSTFS_GETATTR, inode);
    (void)!hostfs_call_refresh(inode, &request, NULL, NULL); /* else what was last heard */
    stat->stx_mode = (uint16_t)inode->mode;
    stat->stx_nlink = inode->nlink;
    stat->stx_uid = inode->uid;
    stat->stx_gid = inode->gid;
    stat->stx_size = (uint64_t)inode->size;
    stat->stx_blocks = hostfs_inode(inode)->blocks;
    stat->stx_atime = (struct statx_timestamp){.tv_sec = inode->atime.sec, .tv_nsec = inode->atime.nsec};
    stat->stx_mtime = (struct statx_timestamp){.tv_sec = inode->mtime.sec, .tv_nsec = inode->mtime.nsec};
    stat->stx_ctime = (struct statx_timestamp){.tv_sec = inode->ctime.sec, .tv_nsec = inode->ctime.nsec};
}

/* The data of an answer into buf; size 0: only how long it is. */
static ssize_t call_data(struct hostfs_request *request, const char *name, void *buf, size_t size)
{
    struct hostfs_reply reply;
    unsigned slot;
    int64_t result = hostfs_call(request, name, NULL, &reply, &slot);
    if (result < 0)
        return result;
    if (size > 0 && (uint64_t)result > size)
        result = -ERANGE;
    else if (size > 0)
        untrusted_copy_in(buf, hostfs_slot_data(slot), (size_t)result);
    hostfs_slot_put(slot);
    return result;
}

ssize_t hostfs_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct hostfs_request request = hostfs_request(HOSTFS_GETXATTR, inode);
    return call_data(&request, name, buf, size);
}

ssize_t hostfs_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct hostfs_request request = hostfs_request(HOSTFS_LISTXATTR, inode);
    ssize_t n = call_data(&request, NULL, buf, size);
    return n > 0 && size > 0 && buf[n - 1] ? -EIO : n; /* names end with NULs */
}

int hostfs_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    struct hostfs_request request = hostfs_request(HOSTFS_SETXATTR, inode);
    struct hostfs_reply reply;
    unsigned slot;
    if (size > 65536)
        return -E2BIG;
    int error = hostfs_slot_get(false, &slot);
    if (error < 0)
        return error;
    request.name_size = (uint32_t)strlen(name);
    request.size = size;
    request.flags = (uint32_t)flags;
    untrusted_copy_out(hostfs_slot_data(slot), name, request.name_size);
    untrusted_copy_out(host_ptr_add(hostfs_slot_data(slot), request.name_size), value, size);
    hostfs_submit(slot, &request);
    int64_t result = hostfs_wait(slot, &reply);
    if (result == -EINTR)
        return -EINTR;
    hostfs_slot_put(slot);
    return (int)(result == 0 && hostfs_refresh(inode, &reply) < 0 ? -EIO : result);
}

int hostfs_removexattr(struct inode *inode, const char *name)
{
    struct hostfs_request request = hostfs_request(HOSTFS_REMOVEXATTR, inode);
    return (int)hostfs_call_refresh(inode, &request, name, NULL);
}

static ssize_t link_readlink(struct inode *inode, char *buf, size_t size)
{
    struct hostfs_request request = hostfs_request(HOSTFS_READLINK, inode);
    struct hostfs_reply reply;
    unsigned slot;
    int64_t n = hostfs_call(&request, NULL, NULL, &reply, &slot);
    if (n < 0)
        return n;
    n = MIN(n, (int64_t)size);
    untrusted_copy_in(buf, hostfs_slot_data(slot), (size_t)n);
    hostfs_slot_put(slot);
    return n == 0 || memchr(buf, 0, (size_t)n) ? -EIO : n;
}

static const struct inode_ops link_ops = {HOSTFS_COMMON_OPS, .readlink = link_readlink};
static const struct inode_ops special_ops = {HOSTFS_COMMON_OPS};

int hostfs_fsync(struct file *file, bool data_only)
{
    struct hostfs_inode *hi = hostfs_inode(file->inode);
    struct hostfs_request request = hostfs_request(HOSTFS_FSYNC, file->inode);
    int error = S_ISREG(file->inode->mode) ? hostfs_pull_mappings(hi) : 0;
    if (error == 0)
        error = hi->error;
    hi->error = 0;
    request.flags = data_only;
    struct hostfs_reply reply;
    int64_t synced = hostfs_call(&request, NULL, NULL, &reply, NULL);
    return error < 0 ? error : (int)synced;
}

int hostfs_file_open(struct inode *inode, struct file *file)
{
    struct hostfs_inode *hi = hostfs_inode(inode);
    struct hostfs_request request = hostfs_request(HOSTFS_OPEN, inode);
    request.flags = (file_readable(file) ? HOSTFS_OPEN_READ : 0) | (file_writable(file) ? HOSTFS_OPEN_WRITE : 0);
    int64_t result = hostfs_call_refresh(inode, &request, NULL, NULL);
    if (result < 0)
        return (int)result;
    hostfs_windows_drop(hi);
    hi->open_count++;
    return 0;
}

void hostfs_file_release(struct file *file)
{
    struct hostfs_inode *hi = hostfs_inode(file->inode);
    if (--hi->open_count > 0 || hi->page_count > 0)
        return;
    hostfs_windows_drop(hi);
    hostfs_node_release(hi->node);
}

static void sb_lock(struct super_block *sb)
{
    mutex_lock(&hostfs(sb)->lock);
}

static void sb_unlock(struct super_block *sb)
{
    mutex_unlock(&hostfs(sb)->lock);
}

static void pos_lock(struct inode *inode)
{
    mutex_lock(&hostfs_inode(inode)->data);
}

static void pos_unlock(struct inode *inode)
{
    mutex_unlock(&hostfs_inode(inode)->data);
}

static int sb_sync(struct super_block *sb)
{
    struct hostfs *fs = hostfs(sb);
    int result = 0;
    for (unsigned i = 0; i < HOSTFS_BUCKETS; i++) {
        struct hostfs_inode *hi, *held = NULL;
        LIST_FOREACH (hi, &fs->inodes[i], hash_link) {
            if (!S_ISREG(hi->inode.mode) || (!hi->inode.mappings && hi->page_count == 0))
                continue;
            inode_get(&hi->inode); /* stays on the list while we sleep */
            int error = hostfs_pull_mappings(hi);
            result = result < 0 ? result : error;
            if (held)
                inode_put(&held->inode);
            held = hi;
        }
        if (held)
            inode_put(&held->inode);
    }
    return result;
}

static const struct super_ops super_ops = {
    .lock = sb_lock,
    .unlock = sb_unlock,
    .pos_lock = pos_lock,
    .pos_unlock = pos_unlock,
    .sync = sb_sync,
    .revalidate = hostfs_revalidate,
};

static void sb_statfs(struct super_block *sb, struct statfs *ret)
{
    struct hostfs_request request = hostfs_request(HOSTFS_STATFS, sb->root);
    struct hostfs_reply reply;
    struct hostfs_statfs from;
    unsigned slot;
    if (hostfs_call(&request, NULL, NULL, &reply, &slot) < 0)
        return;
    untrusted_copy_in(&from, hostfs_slot_data(slot), sizeof(from));
    hostfs_slot_put(slot);
    if (from.block_size == 0 || from.block_size > 1UL << 24)
        return;
    ret->f_bsize = ret->f_frsize = (long)from.block_size;
    ret->f_blocks = (long)from.blocks;
    ret->f_bfree = (long)from.free;
    ret->f_bavail = (long)from.available;
    ret->f_files = (long)from.files;
    ret->f_ffree = (long)from.files_free;
}

/* Pages that mappings gave back, where nothing could sleep. */
static void thread_main(void *arg)
{
    struct hostfs *fs = arg;
    for (;;) {
        (void)!wait_event(&fs->work, !TAILQ_EMPTY(&fs->dirty));
        struct hostfs_inode *hi = TAILQ_FIRST(&fs->dirty);
        inode_get(&hi->inode);
        mutex_lock(&hi->data);
        (void)!hostfs_drain(hi); /* an error is remembered for fsync */
        mutex_unlock(&hi->data);
        if (hi->open_count == 0)
            hostfs_node_release(hi->node);
        inode_put(&hi->inode);
    }
}

struct hostfs *hostfs_new(unsigned number, const struct boot_folder *folder, const char *path)
{
    struct hostfs *fs = kzalloc(sizeof(*fs));
    if (!fs)
        return NULL;
    fs->sb = (struct super_block){
        .ops = &super_ops,
        .type = "fuse.cofre",
        .dev = super_dev_next(),
        .magic = HOSTFS_MAGIC_FS,
        .statfs = sb_statfs,
        .flags = folder->flags & BOOT_FOLDER_READ_ONLY ? MS_RDONLY : 0,
    };
    fs->number = number;
    fs->path = path;
    fs->ids = folder->flags & BOOT_FOLDER_IDS;
    fs->uid = folder->uid;
    fs->gid = folder->gid;
    mutex_init(&fs->lock);
    wait_queue_init(&fs->work);
    TAILQ_INIT(&fs->dirty);
    struct hostfs_inode *root =
        S_ISDIR(folder->root.mode) && attr_sane(&folder->root) ? inode_new(fs, number, &folder->root) : NULL;
    if (!root || !kernel_thread_start("hostfs", thread_main, fs)) {
        kfree(root);
        kfree(fs);
        return NULL;
    }
    fs->sb.root = &root->inode;
    return fs;
}

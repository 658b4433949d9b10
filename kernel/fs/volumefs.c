/* Volumes as file systems: the super block, inodes and their attributes (volumefs.h). */
#include "kernel/fs/volumefs.h"

#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/xattr.h>

#include "kernel/fs/volumefs_upper.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"

void volumefs_lock(struct volumefs *fs)
{
    mutex_lock(&fs->lock);
    volumefs_end_gone(fs);
}

void volumefs_unlock(struct volumefs *fs)
{
    if (fs->resting && volume_pending(fs->volume))
        volumefs_thread_wake(fs);
    mutex_unlock(&fs->lock);
}

static struct timespec_ns time_in(struct volume_time t)
{
    return (struct timespec_ns){t.sec, t.nsec};
}

void volumefs_refresh(struct volumefs_inode *vi)
{
    if (!vi->node)
        return;
    const struct volume_inode *from = volume_node_inode(vi->node);
    struct inode *inode = &vi->inode;
    inode->mode = from->mode;
    inode->nlink = from->nlink + vi->below_dirs;
    inode->uid = from->uid;
    inode->gid = from->gid;
    inode->rdev = from->rdev;
    inode->size = (file_off_t)from->size;
    if (S_ISDIR(from->mode))
        inode->size = (file_off_t)(MAX(volume_node_blocks(vi->node), 1UL) * VOLUME_BLOCK_SIZE);
    inode->mtime = time_in(from->mtime);
    inode->ctime = time_in(from->ctime);
}

struct volumefs_inode *volumefs_find(struct volumefs *fs, uint64_t number)
{
    struct volumefs_inode *vi;
    LIST_FOREACH (vi, &fs->inodes[number % VOLUMEFS_BUCKETS], hash_link)
        if (vi->inode.ino == number)
            return vi;
    return NULL;
}

static uint64_t number_of(const struct volumefs *fs, uint64_t ino)
{
    return fs->upper ? upper_number(fs, ino) : ino;
}

void volumefs_refresh_ino(struct volumefs *fs, uint64_t ino)
{
    struct volumefs_inode *vi = volumefs_find(fs, number_of(fs, ino));
    if (vi)
        volumefs_refresh(vi);
}

static const struct inode_ops link_ops, special_ops;

void volumefs_set_ops(struct inode *inode)
{
    bool upper = volumefs(inode->sb)->upper != NULL;
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        inode->ops = upper ? &upper_dir_ops : &volumefs_dir_ops;
        inode->file_ops = upper ? &upper_dir_file_ops : &volumefs_dir_file_ops;
        break;
    case S_IFREG:
        inode->ops = &volumefs_regular_ops;
        inode->file_ops = &volumefs_file_ops;
        break;
    case S_IFLNK:
        inode->ops = &link_ops;
        break;
    default:
        inode->ops = &special_ops;
        break;
    }
}

struct volumefs_inode *volumefs_inode_new(struct volumefs *fs, uint64_t number)
{
    struct volumefs_inode *vi = kzalloc(sizeof(*vi));
    if (!vi)
        return NULL;
    mutex_init(&vi->data);
    vi->inode.sb = &fs->sb;
    vi->inode.refcount = 1;
    vi->inode.ino = number;
    LIST_INSERT_HEAD(&fs->inodes[number % VOLUMEFS_BUCKETS], vi, hash_link);
    return vi;
}

int volumefs_get(struct volumefs *fs, struct volume_node *node, struct inode **ret_inode)
{
    uint64_t number = number_of(fs, volume_node_ino(node));
    struct volumefs_inode *vi = volumefs_find(fs, number);
    if (vi) {
        volume_node_put(node); /* not the last reference */
        *ret_inode = inode_get(&vi->inode);
        return 0;
    }
    vi = volumefs_inode_new(fs, number);
    if (!vi) {
        volume_node_put(node);
        return -ENOMEM;
    }
    struct inode *inode = &vi->inode;
    vi->node = node;
    int error = fs->upper ? upper_attach(fs, vi) : 0;
    volumefs_refresh(vi);
    inode->atime = time_in(volume_node_inode(node)->atime);
    inode->btime = vi->lower ? vi->lower->btime : time_in(volume_node_inode(node)->btime);
    volumefs_set_ops(inode);
    if (error < 0) {
        inode_put(inode);
        return error;
    }
    *ret_inode = inode;
    return 0;
}

/*
 * The last reference went, wherever that was: the node is put by who next takes the lock, if only the thread when the
 * next checkpoint is due. To wake that for each removed file would have it run, and what it holds up, on another vCPU.
 */
void volumefs_evict(struct inode *inode)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    struct volumefs *fs = volumefs(inode->sb);
    volumefs_drop_pages(vi);
    LIST_REMOVE(vi, hash_link);
    TAILQ_INSERT_TAIL(&fs->gone, vi, gone_link);
    if (fs->resting)
        volumefs_thread_wake(fs);
}

struct volume_owner volumefs_owner(const struct inode *dir, uint32_t *mode)
{
    const struct credentials *c = fs_credentials();
    struct volume_owner owner = {c->fsuid, c->fsgid};
    if (dir->mode & S_ISGID) {
        owner.gid = dir->gid;
        if (S_ISDIR(*mode))
            *mode |= S_ISGID;
    }
    return owner;
}

int volumefs_setattr(struct inode *inode, const struct inode_attr *attr)
{
    struct volumefs *fs = volumefs(inode->sb);
    struct volumefs_inode *vi = volumefs_inode(inode);
    struct inode_attr all = *attr;
    volumefs_lock(fs);
    if (!(all.valid & ATTR_ATIME)) { /* the time of access goes along when something else is written */
        all.valid |= ATTR_ATIME;
        all.atime = inode->atime;
    }
    int error = upper_own(vi);
    if (error == 0)
        error = volume_setattr(vi->node, &all);
    volumefs_refresh(vi);
    if (error == 0 && (attr->valid & ATTR_ATIME))
        inode->atime = attr->atime;
    volumefs_unlock(fs);
    return error;
}

void volumefs_getattr(struct inode *inode, struct statx *stat)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    if (vi->node && !vi->lower_data)
        stat->stx_blocks = volume_node_blocks(vi->node) * (VOLUME_BLOCK_SIZE / 512);
    else if (vi->lower->ops->getattr)
        vi->lower->ops->getattr(vi->lower, stat);
}

ssize_t volumefs_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct volumefs *fs = volumefs(inode->sb);
    struct volumefs_inode *vi = volumefs_inode(inode);
    if (!vi->node)
        return vi->lower->ops->getxattr ? vi->lower->ops->getxattr(vi->lower, name, buf, size) : -ENODATA;
    volumefs_lock(fs);
    ssize_t result = volume_getxattr(vi->node, name, buf, size);
    volumefs_unlock(fs);
    return result;
}

int volumefs_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    struct volumefs *fs = volumefs(inode->sb);
    volumefs_lock(fs);
    int error = upper_own(volumefs_inode(inode));
    if (error == 0)
        error = volume_setxattr(volumefs_inode(inode)->node, name, value, size, flags);
    volumefs_refresh(volumefs_inode(inode));
    volumefs_unlock(fs);
    return error;
}

ssize_t volumefs_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct volumefs *fs = volumefs(inode->sb);
    struct volumefs_inode *vi = volumefs_inode(inode);
    if (!vi->node)
        return vi->lower->ops->listxattr ? vi->lower->ops->listxattr(vi->lower, buf, size) : 0;
    volumefs_lock(fs);
    ssize_t result = volume_listxattr(vi->node, buf, size);
    volumefs_unlock(fs);
    return result;
}

int volumefs_removexattr(struct inode *inode, const char *name)
{
    struct volumefs *fs = volumefs(inode->sb);
    volumefs_lock(fs);
    int error = upper_own(volumefs_inode(inode));
    if (error == 0)
        error = volume_removexattr(volumefs_inode(inode)->node, name);
    volumefs_refresh(volumefs_inode(inode));
    volumefs_unlock(fs);
    return error;
}

static ssize_t link_readlink(struct inode *inode, char *buf, size_t size)
{
    struct volumefs *fs = volumefs(inode->sb);
    struct volumefs_inode *vi = volumefs_inode(inode);
    if (!vi->node)
        return vi->lower->ops->readlink ? vi->lower->ops->readlink(vi->lower, buf, size) : -EINVAL;
    volumefs_lock(fs);
    ssize_t result = volume_readlink(vi->node, buf, size);
    volumefs_unlock(fs);
    return result;
}

static const struct inode_ops link_ops = {VOLUMEFS_COMMON_OPS, .readlink = link_readlink};
static const struct inode_ops special_ops = {VOLUMEFS_COMMON_OPS};

/*
 * Whoever gets the lock first syncs for all who wait for it. One write and one flush, in one call of the host; nothing
 * if nothing was pending.
 */
static int sync_together(struct volumefs *fs, struct volume_node *node)
{
    struct volumefs_sync self = {.node = node}, *s;
    TAILQ_INSERT_TAIL(&fs->syncs, &self, link);
    volumefs_lock(fs);
    if (!self.done) {
        struct volumefs_syncs all = TAILQ_HEAD_INITIALIZER(all);
        TAILQ_CONCAT(&all, &fs->syncs, link);
        TAILQ_FOREACH (s, &all, link)
            if (s != &self)
                volume_fsync_along(s->node);
        int error = volume_fsync(node);
        TAILQ_FOREACH (s, &all, link) {
            s->done = true;
            s->error = error;
        }
    }
    volumefs_unlock(fs);
    return self.error;
}

/* What mappings hold is compared with the file: an enclave has no dirty bits. */
static int pull_mappings(struct volumefs *fs, struct volumefs_inode *vi);

int volumefs_fsync(struct file *file, bool data_only)
{
    (void)data_only; /* names and attributes go along at no cost */
    struct volumefs_inode *vi = volumefs_inode(file->inode);
    struct volumefs *fs = volumefs(file->inode->sb);
    int error = S_ISREG(file->inode->mode) ? pull_mappings(fs, vi) : 0;
    int synced = sync_together(fs, vi->node ? vi->node : volumefs_inode(fs->sb.root)->node);
    if (error == 0)
        error = vi->error;
    vi->error = 0;
    if (synced == 0)
        synced = volumefs_anchor_wait(fs);
    return synced < 0 ? synced : error;
}

static int pull_page(struct volumefs *fs, struct volumefs_inode *vi, uint64_t index, uint8_t *pages)
{
    uint64_t offset = index * PAGE_SIZE;
    uint8_t *mapped = pages, *stored = pages + PAGE_SIZE;
    int error = 0;
    volumefs_lock(fs);
    if (!shared_page_pull(&vi->inode, index, mapped) || offset >= (uint64_t)vi->inode.size)
        goto unlock;
    size_t size = (size_t)MIN((uint64_t)PAGE_SIZE, (uint64_t)vi->inode.size - offset);
    ssize_t n = vi->lower_data ? vi->lower->ops->read_page(vi->lower, index, stored)
                               : volume_read(vi->node, offset, stored, size);
    if (n >= 0 && memcmp(mapped, stored, size) != 0) {
        n = upper_own_data(vi, UINT64_MAX);
        if (n == 0)
            n = volume_write(vi->node, offset, mapped, size);
    }
    error = n < 0 ? (int)n : 0;
    volumefs_refresh(vi);
unlock:
    volumefs_unlock(fs);
    return error;
}

static int pull_mappings(struct volumefs *fs, struct volumefs_inode *vi)
{
    uint64_t index = 0;
    int error = volumefs_call_back(vi);
    if (error == 0 && vi->dirty_count > 0) {
        volumefs_lock(fs);
        error = volumefs_drain(fs, vi);
        volumefs_unlock(fs);
    }
    if (!shared_next_writable(&vi->inode, &index))
        return error;
    uint8_t *pages = page_alloc_many(2);
    if (!pages)
        return -ENOMEM;
    for (; error == 0 && shared_next_writable(&vi->inode, &index); index++)
        error = pull_page(fs, vi, index, pages);
    page_free_many(pages, 2);
    return error;
}

static void sb_lock(struct super_block *sb)
{
    volumefs_lock(volumefs(sb));
}

static void sb_unlock(struct super_block *sb)
{
    volumefs_unlock(volumefs(sb));
}

static void pos_lock(struct inode *inode)
{
    mutex_lock(&volumefs_inode(inode)->data);
}

static void pos_unlock(struct inode *inode)
{
    mutex_unlock(&volumefs_inode(inode)->data);
}

/* Every inode in memory: mappings, here and elsewhere, and pages given back; then a checkpoint. */
static int sb_sync(struct super_block *sb)
{
    struct volumefs *fs = volumefs(sb);
    int result = 0;
    for (unsigned i = 0; i < VOLUMEFS_BUCKETS; i++) {
        struct volumefs_inode *vi, *held = NULL;
        LIST_FOREACH (vi, &fs->inodes[i], hash_link) {
            if (!S_ISREG(vi->inode.mode) || (!vi->inode.mappings && !vi->inode.shared && vi->dirty_count == 0))
                continue;
            inode_get(&vi->inode); /* stays on the list while we sleep */
            int error = pull_mappings(fs, vi);
            result = result < 0 ? result : error;
            if (held)
                inode_put(&held->inode);
            held = vi;
        }
        if (held)
            inode_put(&held->inode);
    }
    volumefs_lock(fs);
    int error = volume_sync(fs->volume);
    volumefs_unlock(fs);
    if (error == 0)
        error = volumefs_anchor_wait(fs);
    return error < 0 ? error : result;
}

static int sb_close(struct super_block *sb)
{
    struct volumefs *fs = volumefs(sb);
    volumefs_lock(fs); /* for ever: nothing comes after this */
    if (!(fs->sb.flags & MS_RDONLY) && !volume_failed(fs->volume))
        volumefs_store_atimes(fs);
    int error = volume_checkpoint(fs->volume);
    if (error == 0 && !fs->remote)
        error = volume_anchor(fs->volume);
    if (error < 0)
        printk(LOG_ERROR, "cofre: volume %s: what was not synced is lost: error %d\n", fs->path, -error);
    else if (fs->remote && volumefs_anchor_all(fs) < 0) /* the next start will see that the disk knows more than it */
        printk(LOG_WARNING, "volume %s: ends without its anchor\n", fs->path);
    return error;
}

static uint64_t sb_unchanged(struct inode *inode)
{
    const struct volumefs_inode *vi = volumefs_inode(inode);
    return vi->lower_data && vi->dirty_count == 0 && !shared_any(inode) && !inode->shared ? vi->lower->ino : 0;
}

static const struct super_ops super_ops = {
    .lock = sb_lock,
    .unlock = sb_unlock,
    .pos_lock = pos_lock,
    .pos_unlock = pos_unlock,
    .sync = sb_sync,
    .unchanged = sb_unchanged,
    .close = sb_close,
};

static void sb_statfs(struct super_block *sb, struct statfs *ret)
{
    struct volumefs *fs = volumefs(sb);
    struct volume_info info;
    if (!TAILQ_EMPTY(&fs->gone)) { /* what was removed is free */
        volumefs_lock(fs);
        volumefs_unlock(fs);
    }
    volume_get_info(fs->volume, &info); /* counters only */
    ret->f_blocks = info.block_count;
    ret->f_bfree = ret->f_bavail = info.free_count;
    ret->f_files = info.inode_count + info.free_count;
    ret->f_ffree = info.free_count;
}

void volumefs_init(struct volumefs *fs)
{
    fs->sb = (struct super_block){
        .ops = &super_ops,
        .type = "cofre",
        .dev = super_dev_next(),
        .magic = VOLUMEFS_MAGIC,
        .statfs = sb_statfs,
        .show_flags = fs->options,
    };
    mutex_init(&fs->lock);
    wait_queue_init(&fs->work);
    wait_queue_init(&fs->anchor_work);
    wait_queue_init(&fs->anchor_moved);
    TAILQ_INIT(&fs->gone);
    TAILQ_INIT(&fs->dirty);
    TAILQ_INIT(&fs->syncs);
}

int volumefs_open_root(struct volumefs *fs)
{
    struct volume_node *root;
    volumefs_lock(fs);
    int error = volume_node_get(fs->volume, VOLUME_ROOT_INO, &root);
    if (error == 0)
        error = volumefs_get(fs, root, &fs->sb.root);
    volumefs_unlock(fs);
    return error;
}

int volumefs_start(struct volumefs *fs)
{
    int error = volumefs_anchor_start(fs);
    if (error == 0)
        error = volumefs_rekey_start(fs);
    return error < 0 ? error : volumefs_thread_start(fs);
}

/* Inodes: lifetime, permissions, times, what stat says. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/fs/vfs.h"
#include "kernel/sched/time.h"

static const struct credentials boot_credentials = {
    .cap_effective = ~0ULL,
    .cap_permitted = ~0ULL,
};

const struct credentials *fs_credentials(void)
{
    struct process *process = process_self();
    return process ? &process->credentials : &boot_credentials;
}

bool fs_capable(int capability)
{
    return fs_credentials()->cap_effective >> capability & 1;
}

void (*inode_settle_assured)(struct inode *inode);

uint64_t inode_number_next(void)
{
    static uint64_t last = 1ULL << 32; /* above any root image's own numbers */
    return ++last;
}

uint64_t super_dev_next(void)
{
    static uint32_t last_minor;
    return ++last_minor + 32; /* major 0: no device */
}

struct timespec_ns time_now(void)
{
    uint64_t now = time_realtime_ns();
    return (struct timespec_ns){now / 1000000000, now % 1000000000};
}

void inode_init(struct inode *inode, struct super_block *sb, const struct inode_ops *ops, uint32_t mode)
{
    const struct credentials *c = fs_credentials();
    inode->sb = sb;
    inode->ops = ops;
    inode->mode = mode;
    inode->ino = inode_number_next();
    inode->refcount = 1;
    inode->nlink = 1;
    inode->uid = c->fsuid;
    inode->gid = c->fsgid;
    inode->atime = inode->mtime = inode->ctime = inode->btime = time_now();
}

struct inode *inode_get(struct inode *inode)
{
    inode->refcount++;
    return inode;
}

void inode_put(struct inode *inode)
{
    if (inode && --inode->refcount == 0 && inode->ops->evict)
        inode->ops->evict(inode);
}

int super_writable(const struct super_block *sb)
{
    return sb->flags & MS_RDONLY ? -EROFS : 0;
}

int inode_permission_generic(struct inode *inode, unsigned mask)
{
    const struct credentials *c = fs_credentials();
    uint32_t mode = inode->mode;
    if (c->fsuid == inode->uid)
        mode >>= 6;
    else if (c->fsgid == inode->gid || credentials_in_group(c, inode->gid))
        mode >>= 3;
    if ((mode & mask & 7) == mask)
        return 0;
    bool is_dir = S_ISDIR(inode->mode);
    /* Execution of files needs one x bit even for root. */
    if (fs_capable(CAP_DAC_OVERRIDE) && (is_dir || !(mask & 1) || (inode->mode & 0111)))
        return 0;
    if (fs_capable(CAP_DAC_READ_SEARCH) && (mask == 4 || (is_dir && !(mask & 2))))
        return 0;
    return -EACCES;
}

int inode_permission(struct inode *inode, unsigned mask)
{
    if ((mask & 2) && (S_ISREG(inode->mode) || S_ISDIR(inode->mode) || S_ISLNK(inode->mode)) &&
        super_writable(inode->sb) < 0)
        return -EROFS;
    if (inode->ops->permission)
        return inode->ops->permission(inode, mask);
    return inode_permission_generic(inode, mask);
}

bool inode_owner_or_capable(const struct inode *inode)
{
    return fs_credentials()->fsuid == inode->uid || fs_capable(CAP_FOWNER);
}

static struct statx_timestamp stat_time(struct timespec_ns t)
{
    return (struct statx_timestamp){.tv_sec = t.sec, .tv_nsec = t.nsec};
}

void inode_stat(struct inode *inode, struct statx *stat)
{
    *stat = (struct statx){
        .stx_mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID,
        .stx_blksize = PAGE_SIZE,
        .stx_nlink = inode->nlink,
        .stx_uid = inode->uid,
        .stx_gid = inode->gid,
        .stx_mode = inode->mode,
        .stx_ino = inode->ino,
        .stx_size = inode->size,
        .stx_blocks = ((uint64_t)inode->size + 511) / 512,
        .stx_atime = stat_time(inode->atime),
        .stx_btime = stat_time(inode->btime),
        .stx_ctime = stat_time(inode->ctime),
        .stx_mtime = stat_time(inode->mtime),
        /* dev_t in Linux's new encoding: minor 7:0 and 31:20, major 19:8 */
        .stx_rdev_major = inode->rdev >> 8 & 0xfff,
        .stx_rdev_minor = (inode->rdev & 0xff) | (inode->rdev >> 12 & 0xfff00),
        .stx_dev_major = inode->sb->dev >> 8 & 0xfff,
        .stx_dev_minor = (inode->sb->dev & 0xff) | (inode->sb->dev >> 12 & 0xfff00),
        .stx_mnt_id = inode->sb->mount ? inode->sb->mount->id : 0,
    };
    if (inode->ops->getattr)
        inode->ops->getattr(inode, stat);
}

static bool time_after(struct timespec_ns a, struct timespec_ns b)
{
    return a.sec > b.sec || (a.sec == b.sec && a.nsec > b.nsec);
}

/* relatime: only if it is older than the last change, or so old. */
static bool atime_holds(const struct inode *inode, int64_t now_sec, int64_t age_max)
{
    return (inode->sb->flags & (MS_RDONLY | MS_NOATIME)) ||
           (time_after(inode->atime, inode->mtime) && time_after(inode->atime, inode->ctime) &&
            now_sec - inode->atime.sec < age_max);
}

void inode_touch_atime(struct inode *inode)
{
    struct timespec_ns now = time_now();
    if (!atime_holds(inode, now.sec, 24 * 3600))
        inode->atime = now;
}

bool inode_reads_leave_times(struct inode *inode)
{
    return overlay_hides_atime(inode) || atime_holds(inode, time_now().sec, 23 * 3600);
}

void inode_touch_mtime(struct inode *inode)
{
    inode->mtime = inode->ctime = time_now();
}

void inode_attr_store(struct inode *inode, const struct inode_attr *attr)
{
    if (attr->valid & ATTR_MODE)
        inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
    if (attr->valid & ATTR_UID)
        inode->uid = attr->uid;
    if (attr->valid & ATTR_GID)
        inode->gid = attr->gid;
    if (attr->valid & ATTR_ATIME)
        inode->atime = attr->atime;
    if (attr->valid & ATTR_MTIME)
        inode->mtime = attr->mtime;
    if (attr->valid & ATTR_CTIME)
        inode->ctime = attr->ctime;
}

void inode_attr_copy(struct inode *inode, const struct inode *from)
{
    inode->mode = from->mode;
    inode->nlink = from->nlink;
    inode->uid = from->uid;
    inode->gid = from->gid;
    inode->rdev = from->rdev;
    inode->size = from->size;
    inode->atime = from->atime;
    inode->mtime = from->mtime;
    inode->ctime = from->ctime;
    inode->btime = from->btime;
}

int inode_setattr(struct inode *inode, const struct inode_attr *attr)
{
    if (inode->ops->setattr)
        return inode->ops->setattr(inode, attr);
    inode_attr_store(inode, attr);
    return 0;
}

void inode_drop_setid(struct inode *inode)
{
    if (!S_ISREG(inode->mode) || !(inode->mode & (S_ISUID | S_ISGID)) || fs_capable(CAP_FSETID))
        return;
    uint32_t drop = inode->mode & S_ISUID;
    if ((inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        drop |= S_ISGID;
    struct inode_attr attr = {.valid = ATTR_MODE, .mode = inode->mode & 07777 & ~drop};
    if (drop)
        (void)inode_setattr(inode, &attr);
}

int inode_truncate(struct inode *inode, file_off_t size)
{
    if (S_ISDIR(inode->mode))
        return -EISDIR;
    if (!S_ISREG(inode->mode) || !inode->ops->truncate)
        return -EINVAL;
    int error = inode->ops->truncate(inode, size);
    if (error)
        return error;
    inode_drop_setid(inode);
    return 0;
}

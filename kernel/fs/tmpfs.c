/* Files in memory: super blocks, inodes and their attributes. */
#include "kernel/fs/tmpfs.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"

static void mem_statfs(struct super_block *sb, struct statfs *ret)
{
    struct mem_super *super = mem_super(sb);
    uint64_t room = kmalloc_room_for_files() / PAGE_SIZE;
    uint64_t total = super->page_max ? super->page_max : super->page_count + room;
    uint64_t free = super->page_max ? MIN(room, super->page_max - super->page_count) : room;
    ret->f_blocks = total;
    ret->f_bfree = ret->f_bavail = free;
    ret->f_files = super->inode_count + room;
    ret->f_ffree = room;
}

static struct mem_super *super_new(const char *type, uint32_t magic)
{
    struct mem_super *super = kzalloc(sizeof(*super));
    if (!super)
        return NULL;
    super->sb.type = type;
    super->sb.dev = super_dev_next();
    super->sb.magic = magic;
    super->sb.statfs = mem_statfs;
    super->sb.show_flags = super->options;
    return super;
}

struct super_block *tmpfs_new(uint64_t size_max, uint32_t mode)
{
    struct mem_super *super = super_new("tmpfs", TMPFS_MAGIC);
    if (!super)
        return NULL;
    super->page_max = (size_max + PAGE_SIZE - 1) / PAGE_SIZE;
    if (size_max)
        snprintf(super->options, sizeof(super->options), ",size=%luk,mode=%o", (unsigned long)(size_max / 1024), mode);
    else
        snprintf(super->options, sizeof(super->options), ",mode=%o", mode);
    struct mem_inode *root = mem_inode_new(&super->sb, S_IFDIR | (mode & 07777));
    if (!root) {
        kfree(super);
        return NULL;
    }
    root->inode.nlink = 2;
    root->inode.uid = root->inode.gid = 0;
    super->sb.root = &root->inode;
    return &super->sb;
}

struct super_block *overlay_new(struct super_block *lower)
{
    struct mem_super *super = super_new("overlay", OVERLAYFS_SUPER_MAGIC);
    if (!super)
        return NULL;
    super->lower = lower;
    super->covers = kzalloc(COVER_BUCKETS * sizeof(*super->covers));
    if (!super->covers || overlay_cover(&super->sb, inode_get(lower->root), &super->sb.root) < 0) {
        kfree(super->covers);
        kfree(super);
        return NULL;
    }
    return &super->sb;
}

static void set_ops(struct mem_inode *inode, uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        inode->inode.ops = &mem_dir_ops;
        inode->inode.file_ops = &mem_dir_file_ops;
        RB_INIT(&inode->dir.names);
        RB_INIT(&inode->dir.cookies);
        break;
    case S_IFREG:
        inode->inode.ops = &mem_regular_ops;
        inode->inode.file_ops = &mem_file_ops;
        break;
    case S_IFLNK:
        inode->inode.ops = &mem_link_ops;
        break;
    default:
        inode->inode.ops = &mem_special_ops;
        break;
    }
}

struct mem_inode *mem_inode_new(struct super_block *sb, uint32_t mode)
{
    struct mem_inode *inode = kzalloc(sizeof(*inode));
    if (!inode)
        return NULL;
    inode_init(&inode->inode, sb, NULL, mode);
    set_ops(inode, mode);
    inode->own_xattrs = true;
    mem_super(sb)->inode_count++;
    return inode;
}

int overlay_cover(struct super_block *sb, struct inode *lower, struct inode **ret_inode)
{
    struct mem_super *super = mem_super(sb);
    struct cover_bucket *bucket = &super->covers[lower->ino % COVER_BUCKETS];
    struct mem_inode *cover;
    LIST_FOREACH (cover, bucket, cover_link) {
        if (cover->inode.ino == lower->ino) {
            inode_put(lower);
            *ret_inode = inode_get(&cover->inode);
            return 0;
        }
    }
    cover = kzalloc(sizeof(*cover));
    if (!cover) {
        inode_put(lower);
        return -ENOMEM;
    }
    struct inode *inode = &cover->inode;
    inode->sb = sb;
    inode->refcount = 1;
    inode->ino = lower->ino;
    inode_attr_copy(inode, lower);
    set_ops(cover, lower->mode);
    if (S_ISREG(lower->mode))
        cover->file.lower_size = lower->size;
    cover->lower = lower;
    cover->covered = true;
    LIST_INSERT_HEAD(bucket, cover, cover_link);
    *ret_inode = inode;
    return 0;
}

void mem_pin(struct mem_inode *inode)
{
    if (!inode->lower || inode->pinned)
        return;
    inode->pinned = true;
    inode_get(&inode->inode);
}

void mem_unlink_inode(struct inode *inode)
{
    struct mem_inode *m = mem_inode(inode);
    mem_pin(m);
    if (inode->nlink > 0)
        inode->nlink--;
    inode->ctime = time_now();
    if (inode->nlink == 0 && m->pinned) {
        m->pinned = false;
        inode_put(inode);
    }
}

void mem_evict(struct inode *inode)
{
    struct mem_inode *m = mem_inode(inode);
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        mem_drop_entries(m);
        break;
    case S_IFREG:
        shared_evict(inode);
        mem_drop_pages(m);
        break;
    case S_IFLNK:
        kfree(m->target);
        break;
    default:
        break;
    }
    mem_drop_xattrs(m);
    if (m->covered)
        LIST_REMOVE(m, cover_link);
    else
        mem_super(inode->sb)->inode_count--;
    inode_put(m->lower);
    kfree(m);
}

int mem_setattr(struct inode *inode, const struct inode_attr *attr)
{
    mem_pin(mem_inode(inode));
    inode_attr_store(inode, attr);
    if (!(attr->valid & ATTR_CTIME))
        inode->ctime = time_now();
    return 0;
}

static ssize_t link_readlink(struct inode *inode, char *buf, size_t size)
{
    struct mem_inode *m = mem_inode(inode);
    if (m->lower)
        return m->lower->ops->readlink ? m->lower->ops->readlink(m->lower, buf, size) : -EINVAL;
    size_t length = MIN(strlen(m->target), size);
    memcpy(buf, m->target, length);
    return length;
}

#define MEM_COMMON_OPS                                                                                                 \
    .setattr = mem_setattr, .getxattr = mem_getxattr, .setxattr = mem_setxattr, .listxattr = mem_listxattr,            \
    .removexattr = mem_removexattr, .evict = mem_evict

const struct inode_ops mem_link_ops = {MEM_COMMON_OPS, .readlink = link_readlink};
const struct inode_ops mem_special_ops = {MEM_COMMON_OPS};

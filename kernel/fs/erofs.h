/* The reader of EROFS images on a verified block device. Whatever the image says is checked before it is used. */
#ifndef COFRE_KERNEL_FS_EROFS_H
#define COFRE_KERNEL_FS_EROFS_H

#include "kernel/fs/erofs_format.h"
#include "kernel/fs/verity.h"
#include "kernel/fs/vfs.h"

/* 0, -EINVAL if it is no EROFS image of the kind supported, -EIO, -ENOMEM. The device stays the caller's to keep open.
 */
int erofs_open(struct verity *device, struct super_block **ret_sb);
void erofs_close(struct super_block *sb);

struct erofs {
    struct super_block sb; /* first */
    struct verity *device;
    struct erofs_super super;
    uint64_t size; /* of the device, bytes */
};

struct erofs_inode {
    struct inode inode; /* first */
    enum erofs_layout layout;
    uint64_t first_block;  /* flat layouts */
    uint64_t xattr_offset; /* bytes from the start of the device */
    uint32_t xattr_size;
    uint64_t body_offset; /* behind inode and xattrs: inline tail, or chunk map */
    unsigned chunk_bits;  /* log2 of bytes */
    unsigned chunk_unit;  /* bytes of a map entry */
};

static inline struct erofs *erofs_of(const struct inode *inode)
{
    return container_of(inode->sb, struct erofs, sb);
}
static inline struct erofs_inode *erofs_inode(struct inode *inode)
{
    return container_of(inode, struct erofs_inode, inode);
}

/* Bytes from anywhere on the device: 0, -EIO, -EUCLEAN (beyond its end), -ENOMEM. */
must_check int erofs_pread(struct erofs *fs, uint64_t offset, void *buf, size_t size);
/* The inode of a nid; referenced. */
must_check int erofs_inode_get(struct erofs *fs, uint64_t nid, struct inode **ret_inode);
/* Where the block of file data with this index is. *ret_offset: in bytes; *ret_size: valid bytes there, at most a
 * block; *ret_hole: nowhere, reads as zero. */
must_check int erofs_map(struct inode *inode, uint64_t index, uint64_t *ret_offset, size_t *ret_size, bool *ret_hole);

void erofs_evict(struct inode *inode);
void erofs_getattr(struct inode *inode, struct statx *stat);
ssize_t erofs_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
ssize_t erofs_listxattr(struct inode *inode, char *buf, size_t size);

extern const struct inode_ops erofs_dir_ops;
extern const struct file_ops erofs_dir_file_ops;

#endif

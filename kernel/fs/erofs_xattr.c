/* EROFS extended attributes: inline ones behind the inode, shared ones by id. */
#include <linux/errno.h>

#include "kernel/fs/erofs.h"
#include "kernel/lib/string.h"

#define NAME_SIZE_MAX 255

static const char *const prefixes[] = {
    NULL, "user.", "system.posix_acl_access", "system.posix_acl_default", "trusted.", NULL, "security.",
};

/* A walk over all attributes of an inode. */
struct xattr_walk {
    struct erofs *fs;
    uint64_t shared_at;   /* next id */
    unsigned shared_left; /* ids */
    uint64_t inline_at, inline_end;
};

struct xattr {
    char name[NAME_SIZE_MAX + 32];
    size_t name_size;
    uint64_t value_offset;
    size_t value_size;
};

/* 0, or -ENODATA if there are none. */
static int xattr_walk_begin(struct inode *inode, struct xattr_walk *walk)
{
    struct erofs_inode *e = erofs_inode(inode);
    struct erofs_xattr_header header;
    walk->fs = erofs_of(inode);
    if (e->xattr_size < sizeof(header))
        return -ENODATA;
    int error = erofs_pread(walk->fs, e->xattr_offset, &header, sizeof(header));
    if (error)
        return error;
    if (sizeof(header) + header.shared_count * 4u > e->xattr_size)
        return -EUCLEAN;
    walk->shared_at = e->xattr_offset + sizeof(header);
    walk->shared_left = header.shared_count;
    walk->inline_at = walk->shared_at + header.shared_count * 4u;
    walk->inline_end = e->xattr_offset + e->xattr_size;
    return 0;
}

/* The attribute whose entry is at offset; *ret_size: bytes of the padded entry. Unknown prefixes give an empty name. */
static int load_entry(struct erofs *fs, uint64_t offset, struct xattr *ret, size_t *ret_size)
{
    struct erofs_xattr_entry entry;
    int error = erofs_pread(fs, offset, &entry, sizeof(entry));
    if (error)
        return error;
    const char *prefix = entry.name_index < ARRAY_COUNT(prefixes) ? prefixes[entry.name_index] : NULL;
    size_t prefix_size = prefix ? strlen(prefix) : 0;
    memcpy(ret->name, prefix ? prefix : "", prefix_size);
    error = erofs_pread(fs, offset + sizeof(entry), ret->name + prefix_size, entry.name_size);
    if (error)
        return error;
    ret->name_size = prefix ? prefix_size + entry.name_size : 0;
    ret->name[ret->name_size] = 0;
    if (ret->name_size > NAME_SIZE_MAX || strlen(ret->name) != ret->name_size)
        return -EUCLEAN;
    ret->value_offset = offset + sizeof(entry) + entry.name_size;
    ret->value_size = entry.value_size;
    *ret_size = ALIGN_UP(sizeof(entry) + entry.name_size + entry.value_size, 4UL);
    return 0;
}

/* 0, -ENODATA at the end. */
static int walk_next(struct xattr_walk *walk, struct xattr *ret)
{
    size_t size;
    if (walk->shared_left > 0) {
        uint32_t id;
        int error = erofs_pread(walk->fs, walk->shared_at, &id, sizeof(id));
        if (error)
            return error;
        walk->shared_at += sizeof(id);
        walk->shared_left--;
        return load_entry(walk->fs, (uint64_t)walk->fs->super.xattr_block * ROOT_BLOCK_SIZE + id * 4ULL, ret, &size);
    }
    if (walk->inline_end - walk->inline_at < sizeof(struct erofs_xattr_entry))
        return -ENODATA;
    int error = load_entry(walk->fs, walk->inline_at, ret, &size);
    if (error)
        return error;
    if (size > walk->inline_end - walk->inline_at)
        return -EUCLEAN;
    walk->inline_at += size;
    return 0;
}

ssize_t erofs_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct xattr_walk walk;
    struct xattr x;
    int error = xattr_walk_begin(inode, &walk);
    while (!error) {
        error = walk_next(&walk, &x);
        if (error || strcmp(x.name, name) != 0)
            continue;
        if (size == 0)
            return x.value_size;
        if (size < x.value_size)
            return -ERANGE;
        error = erofs_pread(walk.fs, x.value_offset, buf, x.value_size);
        return error ? error : (ssize_t)x.value_size;
    }
    return error;
}

ssize_t erofs_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct xattr_walk walk;
    struct xattr x;
    size_t total = 0;
    int error = xattr_walk_begin(inode, &walk);
    while (!error) {
        error = walk_next(&walk, &x);
        if (error || x.name_size == 0)
            continue;
        if (size && total + x.name_size + 1 > size)
            return -ERANGE;
        if (size)
            memcpy(buf + total, x.name, x.name_size + 1);
        total += x.name_size + 1;
    }
    return error == -ENODATA ? (ssize_t)total : error;
}

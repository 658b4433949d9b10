/* Extended attributes: a list in one block for each inode. */
#include <linux/limits.h>
#include <linux/xattr.h>

#include "kernel/volume/internal.h"

#define DATA_SIZE sizeof(((struct volume_xattr_block *)0)->data)

static struct volume_xattr_block *xattr_block(const struct vol_block *b)
{
    return (struct volume_xattr_block *)b->data;
}

static struct volume_xattr_entry entry_at(const struct volume_xattr_block *block, uint32_t offset)
{
    struct volume_xattr_entry e;
    memcpy(&e, block->data + offset, sizeof(e));
    return e;
}

static uint32_t entry_size(struct volume_xattr_entry e)
{
    return (uint32_t)sizeof(e) + e.name_size + e.value_size;
}

bool vol_xattr_block_valid(const struct volume_xattr_block *block)
{
    uint32_t offset = 0;
    if (block->magic != VOLUME_XATTR_MAGIC || block->used > DATA_SIZE)
        return false;
    while (offset < block->used) {
        if (block->used - offset < sizeof(struct volume_xattr_entry))
            return false;
        struct volume_xattr_entry e = entry_at(block, offset);
        if (e.name_size == 0 || e.name_size > XATTR_NAME_MAX || entry_size(e) > block->used - offset)
            return false;
        offset += entry_size(e);
    }
    return true;
}

/* NULL: the inode has none. */
static int xattr_get(struct volume_node *node, struct vol_block **ret_block)
{
    int err = vol_block_get(node, VOLUME_LEVEL_XATTR, 0, VOL_READ, ret_block);
    if (err < 0 || !*ret_block)
        return err;
    const struct volume_xattr_block *block = xattr_block(*ret_block);
    bool made = block->magic == 0 && node->inode.xattr.where == 0; /* by a set that failed: there is nothing in it */
    if (!made && vol_xattr_block_valid(block))
        return 0;
    vol_block_put(*ret_block);
    *ret_block = NULL;
    return made ? 0 : -EIO;
}

/* The offset of a name's entry, or -ENODATA. */
static int entry_find(const struct volume_xattr_block *block, const char *name, size_t size)
{
    for (uint32_t offset = 0; offset < block->used;) {
        struct volume_xattr_entry e = entry_at(block, offset);
        if (e.name_size == size && memcmp(block->data + offset + sizeof(e), name, size) == 0)
            return (int)offset;
        offset += entry_size(e);
    }
    return -ENODATA;
}

ssize_t volume_getxattr(struct volume_node *node, const char *name, void *buf, size_t size)
{
    struct vol_block *b;
    int err = xattr_get(node, &b);
    if (err < 0 || !b)
        return err < 0 ? err : -ENODATA;
    ssize_t result = entry_find(xattr_block(b), name, strlen(name));
    if (result >= 0) {
        uint32_t offset = (uint32_t)result;
        struct volume_xattr_entry e = entry_at(xattr_block(b), offset);
        result = size == 0 || size >= e.value_size ? e.value_size : -ERANGE;
        if (size > 0 && result > 0)
            memcpy(buf, xattr_block(b)->data + offset + sizeof(e) + e.name_size, e.value_size);
    }
    vol_block_put(b);
    return result;
}

ssize_t volume_listxattr(struct volume_node *node, char *buf, size_t size)
{
    struct vol_block *b;
    int err = xattr_get(node, &b);
    if (err < 0 || !b)
        return err;
    ssize_t total = 0;
    for (uint32_t offset = 0; offset < xattr_block(b)->used && total >= 0;) {
        struct volume_xattr_entry e = entry_at(xattr_block(b), offset);
        if (size > 0 && (size_t)total + e.name_size + 1 > size) {
            total = -ERANGE;
            break;
        }
        if (size > 0) {
            memcpy(buf + total, xattr_block(b)->data + offset + sizeof(e), e.name_size);
            buf[total + e.name_size] = 0;
        }
        total += e.name_size + 1;
        offset += entry_size(e);
    }
    vol_block_put(b);
    return total;
}

static void entry_remove(struct volume_xattr_block *block, uint32_t offset)
{
    uint32_t size = entry_size(entry_at(block, offset));
    memmove(block->data + offset, block->data + offset + size, block->used - offset - size);
    block->used -= size;
    memset(block->data + block->used, 0, size);
}

static void entry_append(struct volume_xattr_block *block, const char *name, size_t name_size, const void *value,
                         size_t size)
{
    struct volume_xattr_entry e = {(uint16_t)name_size, (uint16_t)size};
    uint8_t *at = block->data + block->used;
    memcpy(at, &e, sizeof(e));
    memcpy(at + sizeof(e), name, name_size);
    if (size > 0)
        memcpy(at + sizeof(e) + name_size, value, size);
    block->used += entry_size(e);
}

/* May it be set so, and is there room? The old entry's offset, or -ENODATA in *ret_old. */
static int set_check(const struct volume_xattr_block *block, const char *name, size_t name_size, size_t size, int flags,
                     int *ret_old)
{
    uint32_t used = block->magic ? block->used : 0;
    *ret_old = used ? entry_find(block, name, name_size) : -ENODATA;
    if (flags & XATTR_CREATE && *ret_old >= 0)
        return -EEXIST;
    if (flags & XATTR_REPLACE && *ret_old < 0)
        return -ENODATA;
    if (*ret_old >= 0)
        used -= entry_size(entry_at(block, (uint32_t)*ret_old));
    return used + sizeof(struct volume_xattr_entry) + name_size + size > DATA_SIZE ? -ENOSPC : 0;
}

static struct vol_op *xattr_op(struct volume_node *node, enum volume_op_type type, const char *name, size_t name_size,
                               const void *value, size_t size, struct volume_time time)
{
    struct vol_op *op = vol_op_new(node->volume, type, sizeof(struct volume_op_xattr) + name_size + size);
    if (!op)
        return NULL;
    struct volume_op_xattr *x = (struct volume_op_xattr *)op->data;
    *x = (struct volume_op_xattr){
        .ino = node->ino, .name_size = (uint32_t)name_size, .value_size = (uint32_t)size, .time = time};
    memcpy(x + 1, name, name_size);
    if (size > 0)
        memcpy((char *)(x + 1) + name_size, value, size);
    return op;
}

int vol_setxattr_at(struct volume_node *node, const char *name, size_t name_size, const void *value, size_t size,
                    int flags, struct volume_time time)
{
    struct vol_block *b;
    int old;
    if (name_size == 0 || name_size > XATTR_NAME_MAX || size > DATA_SIZE)
        return size > DATA_SIZE ? -ENOSPC : -ERANGE;
    int err = xattr_get(node, &b);
    if (err == 0 && !b)
        err = vol_block_get(node, VOLUME_LEVEL_XATTR, 0, VOL_CREATE, &b);
    if (err < 0)
        return err;
    struct volume_xattr_block *block = xattr_block(b);
    struct vol_op *op = NULL;
    err = set_check(block, name, name_size, size, flags, &old);
    if (err == 0)
        op = xattr_op(node, VOLUME_OP_SETXATTR, name, name_size, value, size, time);
    if (err == 0)
        err = op ? vol_block_dirty(b) : -ENOMEM;
    if (err == 0) {
        block->magic = VOLUME_XATTR_MAGIC;
        if (old >= 0)
            entry_remove(block, (uint32_t)old);
        entry_append(block, name, name_size, value, size);
        node->inode.ctime = time;
        vol_op_log(node->volume, op);
    } else {
        vol_op_free(op);
    }
    vol_block_put(b);
    return err;
}

int volume_setxattr(struct volume_node *node, const char *name, const void *value, size_t size, int flags)
{
    int err = vol_begin(node->volume, 16, VOL_GROW);
    return err < 0 ? err : vol_setxattr_at(node, name, strlen(name), value, size, flags, vol_now(node->volume));
}

int vol_removexattr_at(struct volume_node *node, const char *name, size_t name_size, struct volume_time time)
{
    struct vol_block *b;
    int err = xattr_get(node, &b);
    if (err < 0 || !b)
        return err < 0 ? err : -ENODATA;
    int offset = entry_find(xattr_block(b), name, name_size);
    struct vol_op *op = NULL;
    err = offset < 0 ? offset : 0;
    if (err == 0)
        op = xattr_op(node, VOLUME_OP_REMOVEXATTR, name, name_size, NULL, 0, time);
    if (err == 0)
        err = op ? vol_block_dirty(b) : -ENOMEM;
    if (err == 0) {
        entry_remove(xattr_block(b), (uint32_t)offset);
        node->inode.ctime = time;
        vol_op_log(node->volume, op);
    } else {
        vol_op_free(op);
    }
    vol_block_put(b);
    return err;
}

int volume_removexattr(struct volume_node *node, const char *name)
{
    int err = vol_begin(node->volume, 16, VOL_SHRINK);
    return err < 0 ? err : vol_removexattr_at(node, name, strlen(name), vol_now(node->volume));
}

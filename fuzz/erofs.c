/*
 * The EROFS reader over any bytes: the whole tree is walked, read, and asked for attributes.
 * The hash check is left out (the input is the device), or nothing would ever be reached.
 *
 * fuzz-sources: kernel/fs/attr.c kernel/fs/context.c kernel/fs/dentry.c kernel/fs/erofs.c kernel/fs/erofs_dir.c
 * fuzz-sources: kernel/fs/erofs_xattr.c kernel/fs/fcntl.c kernel/fs/fd.c kernel/fs/file.c kernel/fs/inode.c
 * fuzz-sources: kernel/fs/ioctl.c kernel/fs/locks.c kernel/fs/mount.c kernel/fs/names.c kernel/fs/notify.c
 * fuzz-sources: kernel/fs/open.c kernel/fs/page_map.c kernel/fs/readdir.c kernel/fs/rw.c kernel/fs/tmpfs.c
 * fuzz-sources: kernel/fs/tmpfs_data.c kernel/fs/tmpfs_dir.c kernel/fs/tmpfs_xattr.c kernel/fs/walk.c kernel/mm/uio.c
 * fuzz-sources: tests/unit/no_agents.c tests/unit/hosted.c tests/unit/hosted_heap.c tests/unit/hosted_libc.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "tests/unit/hosted.h"

#include <linux/errno.h>

#include "kernel/fs/erofs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uio.h"

#define DEPTH_MAX 6
#define VISITS_MAX 200 /* images can have loops */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct verity {
    const uint8_t *data;
    size_t blocks;
};

uint64_t verity_block_count(const struct verity *v)
{
    return v->blocks;
}

const struct verity_block *verity_get(struct verity *v, uint64_t block, int *ret_error)
{
    struct verity_block *b = block < v->blocks ? hosted_malloc(sizeof(*b)) : NULL;
    *ret_error = -EIO;
    if (b)
        b->data = v->data + block * ROOT_BLOCK_SIZE;
    return b;
}

void verity_put(const struct verity_block *block)
{
    hosted_free((void *)block);
}

int verity_read(struct verity *v, uint64_t block, void *dst)
{
    if (block >= v->blocks)
        return -EIO;
    memcpy(dst, v->data + block * ROOT_BLOCK_SIZE, ROOT_BLOCK_SIZE);
    return 0;
}

ssize_t verity_read_many(struct verity *v, uint64_t block, size_t count, void *dst)
{
    if (block >= v->blocks)
        return -EIO;
    count = MIN(count, v->blocks - block);
    memcpy(dst, v->data + block * ROOT_BLOCK_SIZE, count * ROOT_BLOCK_SIZE);
    return (ssize_t)count;
}

static unsigned visits;
static void visit(struct inode *inode, unsigned depth);

struct walk_context {
    struct dir_context ctx;
    struct inode *dir;
    unsigned depth;
};

static bool visit_name(struct dir_context *ctx, const char *name, size_t size, uint64_t ino, unsigned type,
                       file_off_t next_pos)
{
    struct walk_context *w = container_of(ctx, struct walk_context, ctx);
    char copy[256];
    struct inode *child;
    if (size == 0 || size > 255 || memchr(name, '/', size))
        hosted_abort("a name that is none");
    if (next_pos <= ctx->pos)
        hosted_abort("a directory position that does not grow");
    memcpy(copy, name, size);
    copy[size] = 0;
    if (visits < VISITS_MAX && w->depth < DEPTH_MAX && w->dir->ops->lookup(w->dir, copy, &child) == 0) {
        visit(child, w->depth + 1);
        inode_put(child);
    }
    return visits < VISITS_MAX;
}

static void visit_data(struct inode *inode)
{
    static char page[ROOT_BLOCK_SIZE];
    struct file file = {.inode = inode, .ops = inode->file_ops};
    uint64_t blocks = ((uint64_t)inode->size + ROOT_BLOCK_SIZE - 1) / ROOT_BLOCK_SIZE;
    for (uint64_t i = 0; i < MIN(blocks + 1, 20UL); i++)
        (void)inode->ops->read_page(inode, i, page);
    if (blocks > 20)
        (void)inode->ops->read_page(inode, blocks - 1, page);
    struct iov_iter it;
    file_off_t pos = inode->size > 1000 ? inode->size - 1000 : 0;
    iov_iter_kernel(&it, page, sizeof(page));
    (void)file.ops->read(&file, &it, &pos);
}

static void visit(struct inode *inode, unsigned depth)
{
    static char buf[65536];
    struct statx stat;
    visits++;
    inode_stat(inode, &stat);
    if (inode->ops->listxattr) {
        ssize_t size = inode->ops->listxattr(inode, buf, sizeof(buf));
        char name[256] = "user.x";
        if (size > 0)
            string_copy(name, buf, sizeof(name));
        (void)inode->ops->getxattr(inode, name, buf, sizeof(buf));
    }
    if (inode->ops->readlink)
        (void)inode->ops->readlink(inode, buf, PAGE_SIZE);
    if (inode->ops->read_page)
        visit_data(inode);
    if (inode->file_ops && inode->file_ops->readdir) {
        struct walk_context w = {.ctx = {.emit = visit_name}, .dir = inode, .depth = depth};
        struct file file = {.inode = inode};
        (void)inode->file_ops->readdir(&file, &w.ctx);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verity device = {.data = data, .blocks = size / ROOT_BLOCK_SIZE};
    struct super_block *sb;
    visits = 0;
    if (device.blocks == 0 || erofs_open(&device, &sb) < 0)
        return 0;
    visit(sb->root, 0);
    erofs_close(sb);
    return 0;
}

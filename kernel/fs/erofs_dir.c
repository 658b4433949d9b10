/*
 * EROFS directories: blocks that each start with an array of entries, followed by their names. Entries are sorted by
 * name within and across blocks.
 */
#include <linux/errno.h>

#include "kernel/fs/erofs.h"
#include "kernel/lib/string.h"

/* Directory positions: 2 + block * ENTRIES_PER_BLOCK + entry. */
#define ENTRIES_PER_BLOCK 512
_Static_assert(ENTRIES_PER_BLOCK > ROOT_BLOCK_SIZE / sizeof(struct erofs_dirent), "positions must not collide");

/* One verified block of a directory. */
struct dir_block {
    const struct verity_block *pin;
    const uint8_t *data;
    size_t size;
    unsigned count;
};

struct dir_name {
    const char *name;
    size_t size;
    uint64_t nid;
    uint8_t type;
};

static void block_close(struct dir_block *b)
{
    verity_put(b->pin);
}

static int block_open(struct inode *dir, uint64_t index, struct dir_block *b)
{
    uint64_t offset;
    bool hole;
    int error = erofs_map(dir, index, &offset, &b->size, &hole);
    if (error || hole)
        return error ? error : -EUCLEAN;
    b->pin = verity_get(erofs_of(dir)->device, offset / ROOT_BLOCK_SIZE, &error);
    if (!b->pin)
        return error;
    b->data = b->pin->data + offset % ROOT_BLOCK_SIZE;
    struct erofs_dirent first;
    error = -EUCLEAN;
    if (b->size < sizeof(first))
        goto bad;
    memcpy(&first, b->data, sizeof(first));
    if (first.name_offset < sizeof(first) || first.name_offset % sizeof(first) || first.name_offset >= b->size)
        goto bad;
    b->count = first.name_offset / sizeof(first);
    return 0;
bad:
    block_close(b);
    return error;
}

static int block_entry(const struct dir_block *b, unsigned i, struct dir_name *ret)
{
    struct erofs_dirent entry, next;
    size_t end = b->size;
    memcpy(&entry, b->data + i * sizeof(entry), sizeof(entry));
    if (i + 1 < b->count) {
        memcpy(&next, b->data + (i + 1) * sizeof(next), sizeof(next));
        end = next.name_offset;
    }
    if (entry.name_offset < b->count * sizeof(entry) || end > b->size || entry.name_offset >= end)
        return -EUCLEAN;
    ret->name = (const char *)b->data + entry.name_offset;
    ret->size = strnlen(ret->name, end - entry.name_offset);
    ret->nid = entry.nid;
    ret->type = entry.type;
    if (ret->size == 0 || ret->size > 255 || memchr(ret->name, '/', ret->size))
        return -EUCLEAN;
    return 0;
}

static int name_order(const char *a, size_t a_size, const struct dir_name *b)
{
    int order = memcmp(a, b->name, MIN(a_size, b->size));
    return order ? order : a_size < b->size ? -1 : a_size > b->size;
}

/* The entry of this name in one block: 1 found, 0 not, -errno. */
static int search_block(const struct dir_block *b, const char *name, size_t size, struct dir_name *ret)
{
    unsigned low = 0, high = b->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int error = block_entry(b, middle, ret);
        if (error)
            return error;
        int order = name_order(name, size, ret);
        if (order == 0)
            return 1;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return 0;
}

/* The last block whose first name is not above the one sought holds it, if any does. */
static int search(struct inode *dir, const char *name, size_t size, uint64_t *ret_nid)
{
    uint64_t low = 0, high = ((uint64_t)dir->size + ROOT_BLOCK_SIZE - 1) / ROOT_BLOCK_SIZE;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        struct dir_block b;
        struct dir_name entry;
        int error = block_open(dir, middle, &b);
        if (error)
            return error;
        error = block_entry(&b, 0, &entry);
        int order = error ? 0 : name_order(name, size, &entry);
        if (!error && order >= 0) {
            int found = search_block(&b, name, size, &entry);
            if (found == 1)
                *ret_nid = entry.nid;
            if (found != 0) {
                block_close(&b);
                return found < 0 ? found : 0;
            }
        }
        block_close(&b);
        if (error)
            return error;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -ENOENT;
}

static int erofs_lookup(struct inode *dir, const char *name, struct inode **ret_inode)
{
    uint64_t nid = 0;
    int error = search(dir, name, strlen(name), &nid);
    return error ? error : erofs_inode_get(erofs_of(dir), nid, ret_inode);
}

static bool is_dots(const struct dir_name *n)
{
    return n->name[0] == '.' && (n->size == 1 || (n->size == 2 && n->name[1] == '.'));
}

/* EROFS_FT_* to DT_*: regular, directory, character, block, FIFO, socket, link. */
static unsigned dirent_type(uint8_t type)
{
    static const uint8_t types[] = {0, 8, 4, 2, 6, 1, 12, 10};
    return type < ARRAY_COUNT(types) ? types[type] : 0;
}

/* *ret_full: the reader has enough. */
static int emit_block(struct inode *dir, uint64_t index, struct dir_context *ctx, bool *ret_full)
{
    struct dir_block b;
    file_off_t first = 2 + index * ENTRIES_PER_BLOCK;
    int error = block_open(dir, index, &b);
    if (error)
        return error;
    for (unsigned i = ctx->pos - first; !error && i < b.count; i++) {
        struct dir_name entry;
        error = block_entry(&b, i, &entry);
        if (error)
            break;
        if (!is_dots(&entry) &&
            !ctx->emit(ctx, entry.name, entry.size, entry.nid, dirent_type(entry.type), first + i + 1)) {
            *ret_full = true;
            break;
        }
        ctx->pos = first + i + 1;
    }
    block_close(&b);
    if (!error && !*ret_full)
        ctx->pos = first + ENTRIES_PER_BLOCK;
    return error;
}

static int erofs_readdir(struct file *file, struct dir_context *ctx)
{
    struct inode *dir = file->inode;
    if (!dir_emit_dots(file, ctx))
        return 0;
    uint64_t blocks = ((uint64_t)dir->size + ROOT_BLOCK_SIZE - 1) / ROOT_BLOCK_SIZE;
    bool full = false;
    int error = 0;
    while (!error && !full) {
        uint64_t index = (uint64_t)(ctx->pos - 2) / ENTRIES_PER_BLOCK;
        if (index >= blocks)
            break;
        error = emit_block(dir, index, ctx, &full);
    }
    return error;
}

const struct inode_ops erofs_dir_ops = {
    .lookup = erofs_lookup,
    .getattr = erofs_getattr,
    .getxattr = erofs_getxattr,
    .listxattr = erofs_listxattr,
    .evict = erofs_evict,
};

const struct file_ops erofs_dir_file_ops = {
    .readdir = erofs_readdir,
    .llseek = file_llseek_dir,
};

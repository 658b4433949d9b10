/* Writes the merged tree as one EROFS image. */
#include "image/erofs_write.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/erofs_dir.h"
#include "image/erofs_format.h"
#include "image/error.h"
#include "image/file_io.h"
#include "image/progress.h"
#include "image/spool.h"
#include "image/tree.h"

#define SLOTS_PER_BLOCK (EROFS_BLOCK_SIZE / EROFS_SLOT_SIZE)
#define ROOT_OFFSET (EROFS_SUPER_OFFSET + sizeof(struct erofs_super))
#define WINDOW_SIZE (256U << 10)
#define WHAT "the root image"

/* Blocks with free slots at their end, by how many: the best fit for the next inode is found at once. */
struct packer {
    struct {
        uint32_t *blocks;
        uint32_t count, capacity;
    } free[SLOTS_PER_BLOCK];
    uint32_t block_next;
};

struct image {
    struct spool *spool;
    struct progress *progress;
    int fd;
    uint64_t base;
    struct inode **inodes; /* in the order of the walk */
    uint32_t inode_count;
    int64_t build_time;
    uint32_t build_time_nsec;
    struct packer packer;
    /* what is being written: contiguous bytes from window_start on */
    uint64_t window_start;
    size_t window_used;
    uint8_t *window;
};

static void *grow(void *memory, size_t count, size_t size)
{
    void *grown = reallocarray(memory, count, size);

    if (!grown)
        err(1, "root image");
    return grown;
}

/* Extended attributes */

static const struct {
    const char *text;
    uint8_t prefix;
    bool whole; /* the name is nothing but this */
} xattr_prefixes[] = {
    {"user.", 1, false},
    {"system.posix_acl_access", 2, true},
    {"system.posix_acl_default", 3, true},
    {"trusted.", 4, false},
    {"security.", 6, false},
};

/* Index into xattr_prefixes, or -1; *ret_suffix is what follows the prefix. */
static int xattr_prefix(const char *name, const char **ret_suffix)
{
    for (size_t i = 0; i < sizeof(xattr_prefixes) / sizeof(xattr_prefixes[0]); i++) {
        size_t size = strlen(xattr_prefixes[i].text);
        if (strncmp(name, xattr_prefixes[i].text, size) == 0 && (name[size] == 0) == xattr_prefixes[i].whole) {
            *ret_suffix = name + size;
            return (int)i;
        }
    }
    return -1;
}

bool erofs_xattr_supported(const char *name)
{
    const char *suffix;

    return xattr_prefix(name, &suffix) >= 0 && strlen(name) <= 255;
}

static size_t align4(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

uint64_t erofs_xattrs_size(const struct xattrs *xattrs)
{
    uint64_t size = sizeof(struct erofs_xattr_header);
    const char *suffix;

    if (!xattrs)
        return 0;
    for (uint32_t i = 0; i < xattrs->count; i++) {
        xattr_prefix(xattrs->items[i].name, &suffix);
        size += align4(sizeof(struct erofs_xattr_entry) + strlen(suffix) + xattrs->items[i].size);
    }
    return size;
}

bool erofs_tail_fits(const struct xattrs *xattrs, uint64_t tail_size)
{
    return sizeof(struct erofs_inode_extended) + erofs_xattrs_size(xattrs) + tail_size <= EROFS_BLOCK_SIZE;
}

/* Writes erofs_xattrs_size() bytes. */
static void encode_xattrs(const struct xattrs *xattrs, uint8_t *at)
{
    const char *suffix;

    memset(at, 0, sizeof(struct erofs_xattr_header));
    at += sizeof(struct erofs_xattr_header);
    for (uint32_t i = 0; i < xattrs->count; i++) {
        const struct xattr *xattr = &xattrs->items[i];
        int prefix = xattr_prefix(xattr->name, &suffix);
        struct erofs_xattr_entry entry = {
            .name_size = (uint8_t)strlen(suffix),
            .prefix = xattr_prefixes[prefix].prefix,
            .value_size = (uint16_t)xattr->size,
        };
        size_t size = sizeof(entry) + entry.name_size + xattr->size;
        memset(at + (size & ~(size_t)3), 0, align4(size) - (size & ~(size_t)3));
        memcpy(at, &entry, sizeof(entry));
        memcpy(at + sizeof(entry), suffix, entry.name_size);
        if (xattr->size)
            memcpy(at + sizeof(entry) + entry.name_size, xattr->value, xattr->size);
        at += align4(size);
    }
}

/* The walk: a directory's entries get their numbers together, then those of the directories among them. */

static void collect(struct image *image, struct inode *inode)
{
    if (inode->number)
        return;
    if (image->inode_count % 4096 == 0)
        image->inodes = grow(image->inodes, image->inode_count + 4096, sizeof(*image->inodes));
    image->inodes[image->inode_count++] = inode;
    inode->number = image->inode_count;
}

static void collect_below(struct image *image, struct inode *dir)
{
    struct dentry *dentry;

    RB_FOREACH (dentry, dentry_tree, &dir->dir.children)
        collect(image, dentry->inode);
    RB_FOREACH (dentry, dentry_tree, &dir->dir.children) {
        if (S_ISDIR(dentry->inode->mode))
            collect_below(image, dentry->inode);
    }
}

/* Compact inodes all have the build time: the majority's time, if there is a majority, makes most inodes compact. */
static void choose_build_time(struct image *image)
{
    uint32_t votes = 0;

    for (uint32_t i = 0; i < image->inode_count; i++) {
        const struct inode *inode = image->inodes[i];
        if (votes == 0) {
            image->build_time = inode->mtime;
            image->build_time_nsec = inode->mtime_nsec;
        }
        if (inode->mtime == image->build_time && inode->mtime_nsec == image->build_time_nsec)
            votes++;
        else
            votes--;
    }
}

static uint32_t link_count(const struct inode *inode)
{
    return S_ISDIR(inode->mode) ? 2 + inode->dir.subdirectory_count : inode->dentry_count;
}

static bool is_compact(const struct image *image, const struct inode *inode)
{
    return inode->mtime == image->build_time && inode->mtime_nsec == image->build_time_nsec && inode->uid <= 0xffff &&
           inode->gid <= 0xffff && link_count(inode) <= 0xffff && inode->size <= 0xffffffff;
}

/* Bytes of the inode and its attributes. */
static uint64_t head_size(const struct image *image, const struct inode *inode)
{
    uint64_t core = is_compact(image, inode) ? sizeof(struct erofs_inode_compact) : sizeof(struct erofs_inode_extended);

    return core + erofs_xattrs_size(inode->xattrs);
}

static uint64_t tail_size(const struct inode *inode)
{
    return inode->tail_inline ? inode->size % EROFS_BLOCK_SIZE : 0;
}

/* Placement */

/* Directories and symbolic links: what goes beside the inode, what into blocks of its own (taken from *block). */
static int place_data(const struct image *image, struct inode *inode, uint64_t room, uint32_t *block, char **ret_error)
{
    if (S_ISDIR(inode->mode))
        inode->size = erofs_dir_size(inode);
    if (!S_ISDIR(inode->mode) && !S_ISLNK(inode->mode))
        return 0;
    uint64_t rest = inode->size % EROFS_BLOCK_SIZE;
    inode->tail_inline = rest && head_size(image, inode) + rest <= room;
    uint64_t count = inode->size / EROFS_BLOCK_SIZE + (rest && !inode->tail_inline);
    if (count > UINT32_MAX / 2 - *block)
        return error_set(ret_error, "the root image would be larger than 8 TiB");
    inode->block_count = (uint32_t)count;
    inode->block = count ? *block : 0;
    *block += inode->block_count;
    return 0;
}

static void packer_push(struct packer *packer, uint32_t block, uint32_t slots)
{
    if (slots == 0)
        return;
    if (packer->free[slots].count == packer->free[slots].capacity) {
        packer->free[slots].capacity = packer->free[slots].capacity * 2 + 16;
        packer->free[slots].blocks =
            grow(packer->free[slots].blocks, packer->free[slots].capacity, sizeof(*packer->free[slots].blocks));
    }
    packer->free[slots].blocks[packer->free[slots].count++] = block;
}

/* Returns the image offset of room for size bytes: within one block, or from a block's start if it is more. */
static uint64_t packer_take(struct packer *packer, uint64_t size)
{
    uint32_t slots = (uint32_t)((size + EROFS_SLOT_SIZE - 1) / EROFS_SLOT_SIZE);
    uint32_t blocks = (slots + SLOTS_PER_BLOCK - 1) / SLOTS_PER_BLOCK;

    for (uint32_t i = slots; i < SLOTS_PER_BLOCK; i++) {
        if (packer->free[i].count == 0)
            continue;
        uint32_t block = packer->free[i].blocks[--packer->free[i].count];
        packer_push(packer, block, i - slots);
        return (uint64_t)block * EROFS_BLOCK_SIZE + (SLOTS_PER_BLOCK - i) * EROFS_SLOT_SIZE;
    }
    uint32_t first = packer->block_next;
    packer->block_next += blocks;
    packer_push(packer, packer->block_next - 1, blocks * SLOTS_PER_BLOCK - slots);
    return (uint64_t)first * EROFS_BLOCK_SIZE;
}

static int place_all(struct image *image, uint32_t block, char **ret_error)
{
    struct inode *root = image->inodes[0];

    if (head_size(image, root) > EROFS_BLOCK_SIZE - ROOT_OFFSET)
        return error_set(ret_error, "the extended attributes of the root directory are too large");
    root->position = ROOT_OFFSET;
    if (place_data(image, root, EROFS_BLOCK_SIZE - ROOT_OFFSET, &block, ret_error) < 0)
        return -1;
    for (uint32_t i = 1; i < image->inode_count; i++) {
        if (place_data(image, image->inodes[i], EROFS_BLOCK_SIZE, &block, ret_error) < 0)
            return -1;
    }
    image->packer.block_next = block;
    for (uint32_t i = 1; i < image->inode_count; i++)
        image->inodes[i]->position =
            packer_take(&image->packer, head_size(image, image->inodes[i]) + tail_size(image->inodes[i]));
    return 0;
}

/* Writing */

static int window_flush(struct image *image, char **ret_error)
{
    if (file_write(image->fd, image->base + image->window_start, image->window, image->window_used, "the output",
                   ret_error) < 0)
        return -1;
    image->window_start += image->window_used;
    image->window_used = 0;
    return 0;
}

static int emit(struct image *image, uint64_t offset, const void *data, size_t size, char **ret_error)
{
    if (offset != image->window_start + image->window_used || image->window_used + size > WINDOW_SIZE) {
        if (window_flush(image, ret_error) < 0)
            return -1;
        image->window_start = offset;
    }
    if (size > WINDOW_SIZE) {
        image->window_start += size;
        return file_write(image->fd, image->base + offset, data, size, "the output", ret_error);
    }
    memcpy(image->window + image->window_used, data, size);
    image->window_used += size;
    return 0;
}

/* Whole blocks of a directory go to their place, the tail is kept for the inode. */
struct dir_sink {
    struct image *image;
    const struct inode *inode;
    uint32_t done;
    uint8_t *tail;
    char **ret_error;
};

static int sink_dir_block(void *arg, const uint8_t block[EROFS_BLOCK_SIZE], size_t used)
{
    struct dir_sink *sink = arg;

    if (sink->done == sink->inode->block_count) {
        memcpy(sink->tail, block, used);
        return 0;
    }
    uint64_t offset = (uint64_t)(sink->inode->block + sink->done++) * EROFS_BLOCK_SIZE;
    return emit(sink->image, offset, block, EROFS_BLOCK_SIZE, sink->ret_error);
}

/* Writes what directories and symbolic links have in blocks, and puts the tail of anything at `tail`. */
static int emit_data(struct image *image, const struct inode *inode, uint8_t tail[EROFS_BLOCK_SIZE], char **ret_error)
{
    if (S_ISDIR(inode->mode)) {
        struct dir_sink sink = {.image = image, .inode = inode, .tail = tail, .ret_error = ret_error};
        return erofs_dir_for_each_block(inode, sink_dir_block, &sink);
    }
    if (S_ISLNK(inode->mode) && inode->block_count) {
        uint8_t block[EROFS_BLOCK_SIZE] = {0};
        memcpy(block, inode->target, inode->size);
        return emit(image, (uint64_t)inode->block * EROFS_BLOCK_SIZE, block, sizeof(block), ret_error);
    }
    if (S_ISLNK(inode->mode))
        memcpy(tail, inode->target, inode->size);
    else if (tail_size(inode))
        return spool_read_tail(image->spool, inode->tail_offset, tail, tail_size(inode), ret_error);
    return 0;
}

static uint32_t encode_data(const struct inode *inode)
{
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
        return (inode->rdev_minor & 0xff) | inode->rdev_major << 8 | (inode->rdev_minor & ~0xffU) << 12;
    return inode->block;
}

static size_t encode_inode(const struct image *image, const struct inode *inode, uint8_t *at)
{
    uint16_t format = (tail_size(inode) ? EROFS_LAYOUT_INLINE : EROFS_LAYOUT_PLAIN) << 1;
    uint64_t xattrs_size = erofs_xattrs_size(inode->xattrs);
    uint16_t xattr_count =
        xattrs_size ? (uint16_t)((xattrs_size - sizeof(struct erofs_xattr_header)) / 4 + 1) : (uint16_t)0;

    if (is_compact(image, inode)) {
        struct erofs_inode_compact compact = {
            .format = format,
            .xattr_count = xattr_count,
            .mode = (uint16_t)inode->mode,
            .link_count = (uint16_t)link_count(inode),
            .size = (uint32_t)inode->size,
            .data = encode_data(inode),
            .number = inode->number,
            .uid = (uint16_t)inode->uid,
            .gid = (uint16_t)inode->gid,
        };
        memcpy(at, &compact, sizeof(compact));
        return sizeof(compact);
    }
    struct erofs_inode_extended extended = {
        .format = format | EROFS_FORMAT_EXTENDED,
        .xattr_count = xattr_count,
        .mode = (uint16_t)inode->mode,
        .size = inode->size,
        .data = encode_data(inode),
        .number = inode->number,
        .uid = inode->uid,
        .gid = inode->gid,
        .mtime = (uint64_t)inode->mtime,
        .mtime_nsec = inode->mtime_nsec,
        .link_count = link_count(inode),
    };
    memcpy(at, &extended, sizeof(extended));
    return sizeof(extended);
}

static int emit_inode(struct image *image, const struct inode *inode, uint8_t *buffer, char **ret_error)
{
    size_t size = encode_inode(image, inode, buffer);
    uint8_t tail[EROFS_BLOCK_SIZE];

    if (inode->xattrs) {
        encode_xattrs(inode->xattrs, buffer + size);
        size += erofs_xattrs_size(inode->xattrs);
    }
    if (emit_data(image, inode, tail, ret_error) < 0)
        return -1;
    memcpy(buffer + size, tail, tail_size(inode));
    size += tail_size(inode);
    /* Whole slots, so that neighbours are contiguous. */
    size_t padding = -size % EROFS_SLOT_SIZE;
    memset(buffer + size, 0, padding);
    return emit(image, inode->position, buffer, size + padding, ret_error);
}

static uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78U : 0);
    }
    return crc;
}

/* The root inode is there already; the checksum covers it too. */
static int write_super(struct image *image, const uint8_t uuid[16], char **ret_error)
{
    uint8_t block[EROFS_BLOCK_SIZE];
    struct erofs_super super = {
        .magic = EROFS_MAGIC,
        .feature_compat = EROFS_COMPAT_SB_CHECKSUM | EROFS_COMPAT_MTIME,
        .block_bits = EROFS_BLOCK_BITS,
        .root_nid = ROOT_OFFSET / EROFS_SLOT_SIZE,
        .inode_count = image->inode_count,
        .build_time = (uint64_t)image->build_time,
        .build_time_nsec = image->build_time_nsec,
        .block_count = image->packer.block_next,
    };

    if (file_read(image->fd, image->base, block, sizeof(block), WHAT, ret_error) < 0)
        return -1;
    memset(block, 0, EROFS_SUPER_OFFSET);
    memcpy(super.uuid, uuid, sizeof(super.uuid));
    memcpy(block + EROFS_SUPER_OFFSET, &super, sizeof(super));
    super.checksum = crc32c(~0U, block + EROFS_SUPER_OFFSET, sizeof(block) - EROFS_SUPER_OFFSET);
    memcpy(block + EROFS_SUPER_OFFSET, &super, sizeof(super));
    return file_write(image->fd, image->base, block, sizeof(block), "the output", ret_error);
}

static int write_all(struct image *image, const uint8_t uuid[16], char **ret_error)
{
    uint8_t *buffer = grow(NULL, sizeof(struct erofs_inode_extended) + EROFS_XATTRS_SIZE_MAX + 2 * EROFS_BLOCK_SIZE, 1);
    int result = -1;

    if (ftruncate(image->fd, (off_t)(image->base + (uint64_t)image->packer.block_next * EROFS_BLOCK_SIZE)) < 0) {
        error_set_errno(ret_error, errno, "cannot write the output");
        goto out;
    }
    for (uint32_t i = 0; i < image->inode_count; i++) {
        if (emit_inode(image, image->inodes[i], buffer, ret_error) < 0)
            goto out;
        if (!progress_add(image->progress, 1)) {
            error_set(ret_error, "interrupted");
            goto out;
        }
    }
    if (window_flush(image, ret_error) < 0 || write_super(image, uuid, ret_error) < 0)
        goto out;
    result = 0;
out:
    free(buffer);
    return result;
}

int erofs_write(struct tree *tree, struct spool *spool, int fd, uint64_t base, const uint8_t uuid[16],
                struct progress *progress, uint64_t *ret_size, char **ret_error)
{
    struct image image = {.spool = spool, .progress = progress, .fd = fd, .base = base};
    uint32_t block;
    int result = -1;

    if (spool_compact(spool, tree, ret_error) < 0 || spool_finish(spool, &block, ret_error) < 0)
        return -1;
    image.window = grow(NULL, WINDOW_SIZE, 1);
    collect(&image, tree->root);
    collect_below(&image, tree->root);
    choose_build_time(&image);
    if (place_all(&image, block, ret_error) < 0)
        goto out;
    if (image.packer.block_next < 2)
        image.packer.block_next = 2;
    result = write_all(&image, uuid, ret_error);
    *ret_size = (uint64_t)image.packer.block_next * EROFS_BLOCK_SIZE;
out:
    for (uint32_t i = 0; i < SLOTS_PER_BLOCK; i++)
        free(image.packer.free[i].blocks);
    free(image.inodes);
    free(image.window);
    return result;
}

/* File contents on their way into the image. */
#include "image/spool.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/error.h"
#include "image/file_io.h"
#include "image/tree.h"

#define DATA_BUFFER_SIZE (1U << 20)
#define TAIL_BUFFER_SIZE (256U << 10)
#define SPOOL_BLOCK_MAX 0xfffffff0U /* block numbers of the image have 32 bits */

/* A buffered writer of a stretch of a file that only grows; a gap of more than the buffer stays a hole. */
struct writer {
    int fd;
    const char *what;
    uint64_t start; /* file offset of buffer[0] */
    size_t used, capacity;
    uint8_t *buffer;
};

struct spool {
    struct writer data, tail;
    uint64_t base;
    uint32_t block; /* next free */
    /* the file being written */
    uint64_t size, whole_size; /* whole_size: bytes that go to the data area before the tail */
    uint64_t position;
    struct spool_place place;
};

static void writer_init(struct writer *writer, int fd, uint64_t start, size_t capacity, const char *what)
{
    *writer = (struct writer){.fd = fd, .start = start, .capacity = capacity, .what = what};
    writer->buffer = malloc(capacity);
    if (!writer->buffer)
        err(1, "spool");
}

static int writer_flush(struct writer *writer, char **ret_error)
{
    if (file_write(writer->fd, writer->start, writer->buffer, writer->used, writer->what, ret_error) < 0)
        return -1;
    writer->start += writer->used;
    writer->used = 0;
    return 0;
}

static int writer_add(struct writer *writer, const void *data, size_t size, char **ret_error)
{
    if (writer->used + size > writer->capacity && writer_flush(writer, ret_error) < 0)
        return -1;
    if (size >= writer->capacity / 2 && writer->used == 0) {
        if (file_write(writer->fd, writer->start, data, size, writer->what, ret_error) < 0)
            return -1;
        writer->start += size;
        return 0;
    }
    memcpy(writer->buffer + writer->used, data, size);
    writer->used += size;
    return 0;
}

static int writer_skip(struct writer *writer, uint64_t size, char **ret_error)
{
    if (writer->used + size > writer->capacity) {
        if (writer_flush(writer, ret_error) < 0)
            return -1;
        if (size > writer->capacity) {
            writer->start += size;
            return 0;
        }
    }
    memset(writer->buffer + writer->used, 0, size);
    writer->used += size;
    return 0;
}

struct spool *spool_new(int fd, uint64_t base, int tail_fd)
{
    struct spool *spool = calloc(1, sizeof(*spool));

    if (!spool)
        err(1, "spool");
    writer_init(&spool->data, fd, base + SPOOL_BLOCK_SIZE, DATA_BUFFER_SIZE, "the output");
    writer_init(&spool->tail, tail_fd, 0, TAIL_BUFFER_SIZE, "a temporary file");
    spool->base = base;
    spool->block = 1;
    return spool;
}

void spool_free(struct spool *spool)
{
    if (!spool)
        return;
    close(spool->tail.fd);
    free(spool->data.buffer);
    free(spool->tail.buffer);
    free(spool);
}

int spool_begin(struct spool *spool, uint64_t size, bool tail_inline, char **ret_error)
{
    uint64_t tail_size = size % SPOOL_BLOCK_SIZE;
    uint64_t block_count = size / SPOOL_BLOCK_SIZE + (tail_size && !tail_inline);

    if (block_count > SPOOL_BLOCK_MAX - spool->block)
        return error_set(ret_error, "the image would be larger than 16 TiB");
    spool->size = size;
    spool->whole_size = tail_inline ? size - tail_size : size;
    spool->position = 0;
    spool->place = (struct spool_place){
        .block = block_count ? spool->block : 0,
        .block_count = (uint32_t)block_count,
        .tail_offset = spool->tail.start + spool->tail.used,
    };
    return 0;
}

/* Zeros up to offset. */
static int spool_skip(struct spool *spool, uint64_t offset, char **ret_error)
{
    if (spool->position < spool->whole_size && spool->position < offset) {
        uint64_t end = offset < spool->whole_size ? offset : spool->whole_size;
        if (writer_skip(&spool->data, end - spool->position, ret_error) < 0)
            return -1;
        spool->position = end;
    }
    if (spool->position < offset) {
        if (writer_skip(&spool->tail, offset - spool->position, ret_error) < 0)
            return -1;
        spool->position = offset;
    }
    return 0;
}

int spool_write(struct spool *spool, uint64_t offset, const void *data, size_t size, char **ret_error)
{
    if (offset < spool->position || offset > spool->size || size > spool->size - offset)
        return error_set(ret_error, "its contents do not fit its size");
    if (spool_skip(spool, offset, ret_error) < 0)
        return -1;
    if (spool->position < spool->whole_size) {
        uint64_t room = spool->whole_size - spool->position;
        size_t now = size < room ? size : (size_t)room;
        if (writer_add(&spool->data, data, now, ret_error) < 0)
            return -1;
        spool->position += now;
        data = (const uint8_t *)data + now;
        size -= now;
    }
    if (size && writer_add(&spool->tail, data, size, ret_error) < 0)
        return -1;
    spool->position += size;
    return 0;
}

int spool_end(struct spool *spool, struct spool_place *ret_place, char **ret_error)
{
    uint64_t padding = -spool->whole_size % SPOOL_BLOCK_SIZE;

    if (spool_skip(spool, spool->size, ret_error) < 0 || writer_skip(&spool->data, padding, ret_error) < 0)
        return -1;
    spool->block += spool->place.block_count;
    *ret_place = spool->place;
    return 0;
}

struct extent {
    uint32_t block, block_count;
    struct inode *inode;
};

static void collect_extents(struct inode *dir, struct extent *extents, size_t *count)
{
    struct dentry *dentry;

    RB_FOREACH (dentry, dentry_tree, &dir->dir.children) {
        struct inode *inode = dentry->inode;
        if (S_ISDIR(inode->mode))
            collect_extents(inode, extents, count);
        else if (S_ISREG(inode->mode) && inode->block_count)
            extents[(*count)++] = (struct extent){inode->block, inode->block_count, inode};
    }
}

static int extent_compare(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;

    return x->block < y->block ? -1 : x->block > y->block;
}

static int move_blocks(struct spool *spool, uint32_t from, uint32_t to, uint32_t count, char **ret_error)
{
    uint64_t size = (uint64_t)count * SPOOL_BLOCK_SIZE;
    uint64_t source = spool->base + (uint64_t)from * SPOOL_BLOCK_SIZE;
    uint64_t target = spool->base + (uint64_t)to * SPOOL_BLOCK_SIZE;

    /* The target is below the source and everything goes upwards, so what is overwritten has been read. */
    for (uint64_t done = 0; done < size;) {
        size_t now = size - done < spool->data.capacity ? (size_t)(size - done) : spool->data.capacity;
        if (file_read(spool->data.fd, source + done, spool->data.buffer, now, "the output", ret_error) < 0 ||
            file_write(spool->data.fd, target + done, spool->data.buffer, now, "the output", ret_error) < 0)
            return -1;
        done += now;
    }
    return 0;
}

/* The number of names is the room that is surely enough: hard links make it more than there are inodes. */
static size_t count_names(struct inode *dir)
{
    struct dentry *dentry;
    size_t count = 0;

    RB_FOREACH (dentry, dentry_tree, &dir->dir.children)
        count += S_ISDIR(dentry->inode->mode) ? count_names(dentry->inode) : 1;
    return count;
}

int spool_compact(struct spool *spool, struct tree *tree, char **ret_error)
{
    uint32_t block = 1;
    size_t count = 0;
    int result = -1;

    if (tree->dead_block_count == 0)
        return 0;
    uint64_t end = spool->data.start + spool->data.used;
    if (writer_flush(&spool->data, ret_error) < 0 ||
        (ftruncate(spool->data.fd, (off_t)end) < 0 && error_set_errno(ret_error, errno, "cannot write the output")))
        return -1;
    struct extent *extents = calloc(count_names(tree->root) + 1, sizeof(*extents));
    if (!extents)
        err(1, "spool");
    collect_extents(tree->root, extents, &count);
    qsort(extents, count, sizeof(*extents), extent_compare);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && extents[i].inode == extents[i - 1].inode)
            continue;
        if (extents[i].block != block &&
            move_blocks(spool, extents[i].block, block, extents[i].block_count, ret_error) < 0)
            goto out;
        extents[i].inode->block = block;
        block += extents[i].block_count;
    }
    spool->block = block;
    spool->data.start = spool->base + (uint64_t)block * SPOOL_BLOCK_SIZE;
    tree->dead_block_count = 0;
    /* What is beyond must read as zeros again. */
    if (ftruncate(spool->data.fd, (off_t)spool->data.start) < 0)
        error_set_errno(ret_error, errno, "cannot shorten the output");
    else
        result = 0;
out:
    free(extents);
    return result;
}

int spool_finish(struct spool *spool, uint32_t *ret_block, char **ret_error)
{
    if (writer_flush(&spool->data, ret_error) < 0 || writer_flush(&spool->tail, ret_error) < 0)
        return -1;
    *ret_block = spool->block;
    return 0;
}

int spool_read_tail(struct spool *spool, uint64_t offset, void *buffer, size_t size, char **ret_error)
{
    return file_read(spool->tail.fd, offset, buffer, size, "a temporary file", ret_error);
}

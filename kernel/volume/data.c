/* Contents of regular files: read, write, truncate, holes. */
#include <linux/falloc.h>

#include "kernel/volume/internal.h"

#define BLOCKS_MAX_AT_ONCE VOL_BATCH
#define RUN_LONG (4 * VOL_BATCH)
#define PATH_BLOCKS 16 /* pointer blocks and inode blocks that one change dirties */
#define SIZE_MAX_FILE (VOLUME_FILE_BLOCKS * VOLUME_BLOCK_SIZE)

/* One block of the file, or part of it: bytes. */
static int read_block(struct volume_node *node, uint64_t index, size_t start, uint8_t *out, size_t size)
{
    struct vol_block *b;
    int err = vol_block_get(node, 0, index, VOL_READ, &b);
    if (err < 0)
        return err;
    if (b)
        memcpy(out, b->data + start, size);
    else
        memset(out, 0, size);
    vol_block_put(b);
    if (b && node->read_run.streams && start + size == VOLUME_BLOCK_SIZE)
        vol_block_age(b);
    return 0;
}

ssize_t volume_read(struct volume_node *node, uint64_t offset, void *buf, size_t size)
{
    uint8_t *out = buf;
    if (!S_ISREG(node->inode.mode))
        return S_ISDIR(node->inode.mode) ? -EISDIR : -EINVAL;
    if (offset >= node->inode.size)
        return 0;
    size = (size_t)MIN((uint64_t)size, node->inode.size - offset);
    for (size_t done = 0, n; done < size; done += n) {
        uint64_t index = (offset + done) / VOLUME_BLOCK_SIZE;
        size_t start = (offset + done) % VOLUME_BLOCK_SIZE;
        unsigned whole = start == 0 ? (unsigned)((size - done) / VOLUME_BLOCK_SIZE) : 0;
        vol_read_moved(node, index);
        n = (size_t)vol_read_past(node, index, whole, out + done) * VOLUME_BLOCK_SIZE;
        if (n > 0)
            continue;
        vol_read_ahead(node, index);
        n = MIN(size - done, VOLUME_BLOCK_SIZE - start);
        int err = read_block(node, index, start, out + done, n);
        if (err < 0)
            return done ? (ssize_t)done : err;
    }
    return (ssize_t)size;
}

ssize_t volume_peek(struct volume_node *node, uint64_t offset, size_t size, const uint8_t **ret_data)
{
    uint64_t index = offset / VOLUME_BLOCK_SIZE;
    size_t start = offset % VOLUME_BLOCK_SIZE;
    struct vol_block *b;
    if (!S_ISREG(node->inode.mode))
        return -EAGAIN;
    if (offset >= node->inode.size)
        return 0;
    b = vol_block_find(node, 0, index);
    if (!b || b->loading)
        return -EAGAIN;
    size = MIN(size, VOLUME_BLOCK_SIZE - start);
    size = (size_t)MIN((uint64_t)size, node->inode.size - offset);
    *ret_data = b->data + start;
    bool goes_on = index == node->read_next;
    if (goes_on) {
        node->read_next++;
        vol_run_move(node->volume, &node->read_run, true);
    }
    if (goes_on && node->read_run.streams && start + size == VOLUME_BLOCK_SIZE)
        vol_block_age(b);
    else
        vol_block_touch(b);
    return (ssize_t)size;
}

uint64_t volume_node_blocks(const struct volume_node *node)
{
    return node->inode.block_count + node->fresh;
}

int vol_write_block(struct volume_node *node, uint64_t index, unsigned start, const void *data, unsigned size)
{
    struct vol_block *b;
    int err = vol_block_get(node, 0, index, size == VOLUME_BLOCK_SIZE ? VOL_REPLACE : VOL_CREATE, &b);
    if (err < 0)
        return err;
    err = vol_block_dirty(b);
    if (err < 0 && b->loading) {
        vol_block_forget(b);
        return err;
    }
    if (err == 0) {
        memcpy(b->data + start, data, size);
        vol_block_changed(b, start, start + size);
        b->loading = false;
    }
    vol_block_put(b);
    return err;
}

static int write_some(struct volume_node *node, uint64_t offset, const uint8_t *data, size_t size, size_t *ret_done)
{
    int err = vol_begin(node->volume, size / VOLUME_BLOCK_SIZE + 2 + PATH_BLOCKS, VOL_GROW);
    if (err == 0)
        err = vol_node_dirty(node);
    for (*ret_done = 0; err == 0 && *ret_done < size;) {
        uint64_t at = offset + *ret_done;
        unsigned start = at % VOLUME_BLOCK_SIZE, n = (unsigned)MIN(size - *ret_done, (size_t)VOLUME_BLOCK_SIZE - start);
        err = vol_write_block(node, at / VOLUME_BLOCK_SIZE, start, data + *ret_done, n);
        if (err == 0)
            *ret_done += n;
    }
    if (*ret_done > 0) {
        node->inode.size = MAX(node->inode.size, offset + *ret_done);
        vol_node_touch(node, vol_now(node->volume));
        node->attr_unlogged = true;
    }
    return err;
}

/*
 * A long run is written while it is read from the caller, batch by batch, not when too much is dirty: the blocks are
 * near, and the disk works meanwhile. The block where the run stands may be written on and stays.
 */
static int write_behind(struct volume_node *node)
{
    struct vol_block *blocks[VOL_BATCH], *b;
    uint64_t end = node->write_next / VOLUME_BLOCK_SIZE;
    unsigned count = 0;
    if (node->write_run.length < RUN_LONG || node->volume->held)
        return 0;
    RB_FOREACH (b, vol_dirty, &node->dirty_blocks) {
        if (b->level > 0 || b->index >= end || count == VOL_BATCH)
            break;
        blocks[count++] = b;
    }
    if (count < VOL_BATCH)
        return 0;
    int err = vol_blocks_write(node->volume, blocks, count);
    for (unsigned i = 0; err == 0 && i < count && node->write_run.streams; i++)
        vol_block_age(blocks[i]);
    return err;
}

/* The bytes from offset on were written. */
static void run_moved(struct volume_node *node, uint64_t offset, size_t size)
{
    uint64_t end = offset + size;
    bool goes_on = offset == node->write_next;
    for (uint64_t i = offset / VOLUME_BLOCK_SIZE; i < end / VOLUME_BLOCK_SIZE || !goes_on; i++, goes_on = true)
        vol_run_move(node->volume, &node->write_run, goes_on);
    node->write_next = end;
}

ssize_t volume_write(struct volume_node *node, uint64_t offset, const void *buf, size_t size)
{
    size_t done = 0, some;
    if (!S_ISREG(node->inode.mode))
        return S_ISDIR(node->inode.mode) ? -EISDIR : -EINVAL;
    if (offset >= SIZE_MAX_FILE && size > 0)
        return -EFBIG;
    size = (size_t)MIN((uint64_t)size, SIZE_MAX_FILE - offset);
    while (done < size) {
        size_t n = MIN(size - done, (size_t)BLOCKS_MAX_AT_ONCE * VOLUME_BLOCK_SIZE);
        if (node->write_run.length >= RUN_LONG)
            vol_pointers_ahead(node, (offset + done) / VOLUME_BLOCK_SIZE);
        int err = write_some(node, offset + done, (const uint8_t *)buf + done, n, &some);
        run_moved(node, offset + done, some);
        done += some;
        if (err == 0)
            err = write_behind(node);
        if (err < 0)
            return done ? (ssize_t)done : err;
    }
    return (ssize_t)done;
}

/* Zeros in one block that exists; the log gets them by the operation that asked for them. */
static int zero_part(struct volume_node *node, uint64_t index, unsigned start, unsigned end)
{
    struct vol_block *b;
    int err = vol_block_get(node, 0, index, VOL_READ, &b);
    if (err < 0 || !b)
        return err;
    err = vol_block_dirty(b);
    if (err == 0)
        memset(b->data + start, 0, end - start);
    vol_block_put(b);
    return err;
}

static struct vol_op *range_op(struct volume_node *node, enum volume_op_type type, uint64_t offset, uint64_t count,
                               struct volume_time time)
{
    struct vol_op *op = vol_op_new(node->volume, type, sizeof(struct volume_op_range));
    if (op)
        *(struct volume_op_range *)op->data =
            (struct volume_op_range){.ino = node->ino, .offset = offset, .count = count, .time = time};
    return op;
}

/*
 * Zeros from `from` to `to` (an end inside a block: that block's bytes; whole blocks become holes). The end goes first,
 * so that what an error leaves is a file that was cut less.
 */
static int zero_range(struct volume_node *node, uint64_t from, uint64_t to)
{
    uint64_t first = ALIGN_UP(from, VOLUME_BLOCK_SIZE) / VOLUME_BLOCK_SIZE, end = to / VOLUME_BLOCK_SIZE;
    unsigned head = from % VOLUME_BLOCK_SIZE, tail = to % VOLUME_BLOCK_SIZE;
    if (first > end) /* inside one block */
        return zero_part(node, end, head, tail);
    int err = first < end ? vol_node_cut(node, first, end) : 0;
    if (err == 0 && tail)
        err = zero_part(node, end, 0, tail);
    if (err == 0 && head)
        err = zero_part(node, first - 1, head, VOLUME_BLOCK_SIZE);
    return err;
}

int vol_truncate_at(struct volume_node *node, uint64_t size, struct volume_time time)
{
    if (size > SIZE_MAX_FILE)
        return -EFBIG;
    struct vol_op *op = range_op(node, VOLUME_OP_TRUNCATE, size, 0, time);
    int err = op ? vol_node_dirty(node) : -ENOMEM;
    node->cut_floor = VOLUME_FILE_BLOCKS;
    if (err == 0 && size < node->inode.size)
        err = zero_range(node, size, SIZE_MAX_FILE);
    if (err < 0) {
        if (node->dirty) /* what was cut is gone: the file ends there */
            node->inode.size = MAX(size, MIN(node->inode.size, node->cut_floor * VOLUME_BLOCK_SIZE));
        node->volume->log_useless = true;
        vol_op_free(op);
        return err;
    }
    node->inode.size = size;
    vol_node_touch(node, time);
    vol_op_log(node->volume, op);
    return 0;
}

int volume_truncate(struct volume_node *node, uint64_t size)
{
    if (!S_ISREG(node->inode.mode))
        return S_ISDIR(node->inode.mode) ? -EISDIR : -EINVAL;
    int err = vol_begin(node->volume, 2 * PATH_BLOCKS, VOL_SHRINK);
    return err < 0 ? err : vol_truncate_at(node, size, vol_now(node->volume));
}

int vol_punch_at(struct volume_node *node, uint64_t offset, uint64_t size, struct volume_time time)
{
    struct vol_op *op = range_op(node, VOLUME_OP_PUNCH, offset, size, time);
    int err = op ? vol_node_dirty(node) : -ENOMEM;
    if (err == 0)
        err = zero_range(node, offset, offset + size);
    if (err < 0) {
        node->volume->log_useless = true; /* part of it may have happened */
        vol_op_free(op);
        return err;
    }
    vol_node_touch(node, time);
    vol_op_log(node->volume, op);
    return 0;
}

int volume_fallocate(struct volume_node *node, int mode, uint64_t offset, uint64_t size)
{
    struct volume *v = node->volume;
    bool keep = mode & FALLOC_FL_KEEP_SIZE, zero = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) ||
        (mode & FALLOC_FL_PUNCH_HOLE && !keep))
        return -EOPNOTSUPP;
    if (!S_ISREG(node->inode.mode))
        return -ENODEV;
    if (size == 0)
        return -EINVAL;
    if (offset >= SIZE_MAX_FILE || size > SIZE_MAX_FILE - offset)
        return -EFBIG;
    int err = vol_begin(v, 2 * PATH_BLOCKS + (zero ? 0 : size / VOLUME_BLOCK_SIZE), zero ? VOL_SHRINK : VOL_GROW);
    if (err == 0 && zero)
        err = vol_punch_at(node, offset, size, vol_now(v));
    if (err == 0 && !keep && offset + size > node->inode.size)
        err = vol_truncate_at(node, offset + size, vol_now(v));
    return err;
}

/* Does this block of contents exist? *ret_next: the next one where that may change. */
static int is_data(struct volume_node *node, uint64_t index, uint64_t *ret_next)
{
    struct vol_block *b;
    *ret_next = index + 1;
    if (vol_block_find(node, 0, index))
        return 1;
    for (unsigned level = node->inode.height; level >= 1; level--) { /* from the top: a hole there is a large one */
        int err = vol_block_get(node, level, index >> (VOLUME_FANOUT_BITS * level), VOL_READ, &b);
        if (err < 0)
            return err;
        if (!b) {
            *ret_next = ALIGN_DOWN(index, vol_span(level)) + vol_span(level);
            return 0;
        }
        bool present = vol_pointers(b)[index % VOLUME_FANOUT].where != 0;
        vol_block_put(b);
        if (level == 1)
            return present;
    }
    return index == 0 && node->inode.root.where != 0;
}

int64_t volume_seek(struct volume_node *node, uint64_t offset, bool hole)
{
    uint64_t size = node->inode.size, next, capacity = vol_span(node->inode.height);
    if (offset >= size)
        return -ENXIO;
    for (uint64_t index = offset / VOLUME_BLOCK_SIZE; index * VOLUME_BLOCK_SIZE < size; index = next) {
        int data = index < capacity ? is_data(node, index, &next) : 0;
        if (data < 0)
            return data;
        if (index >= capacity)
            next = ALIGN_UP(size, VOLUME_BLOCK_SIZE) / VOLUME_BLOCK_SIZE;
        if (data != hole)
            return (int64_t)MAX(offset, index * VOLUME_BLOCK_SIZE);
    }
    return hole ? (int64_t)size : -ENXIO;
}

int volume_setattr(struct volume_node *node, const struct inode_attr *attr)
{
    struct volume *v = node->volume;
    if (attr->valid & ATTR_SIZE) {
        int err = volume_truncate(node, (uint64_t)attr->size);
        if (err < 0 || attr->valid == ATTR_SIZE)
            return err;
    }
    int err = vol_begin(v, PATH_BLOCKS, VOL_SHRINK);
    struct vol_op *op = err == 0 ? vol_op_new(v, VOLUME_OP_SETATTR, sizeof(struct volume_op_setattr)) : NULL;
    if (err == 0)
        err = op ? vol_node_dirty(node) : -ENOMEM;
    if (err < 0) {
        vol_op_free(op);
        return err;
    }
    struct volume_inode *i = &node->inode;
    if (attr->valid & ATTR_MODE)
        i->mode = (i->mode & S_IFMT) | (attr->mode & ~(uint32_t)S_IFMT);
    if (attr->valid & ATTR_UID)
        i->uid = attr->uid;
    if (attr->valid & ATTR_GID)
        i->gid = attr->gid;
    if (attr->valid & ATTR_ATIME)
        i->atime = (struct volume_time){.sec = attr->atime.sec, .nsec = attr->atime.nsec};
    if (attr->valid & ATTR_MTIME)
        i->mtime = (struct volume_time){.sec = attr->mtime.sec, .nsec = attr->mtime.nsec};
    i->ctime =
        attr->valid & ATTR_CTIME ? (struct volume_time){.sec = attr->ctime.sec, .nsec = attr->ctime.nsec} : vol_now(v);
    vol_setattr_fill(node, (struct volume_op_setattr *)op->data);
    ((struct volume_op_setattr *)op->data)->size = VOLUME_SIZE_KEEP; /* contents up to it may not be in the log */
    vol_op_log(v, op);
    return 0;
}

void vol_setattr_fill(const struct volume_node *node, struct volume_op_setattr *op)
{
    const struct volume_inode *i = &node->inode;
    *op = (struct volume_op_setattr){.ino = node->ino,
                                     .size = i->size,
                                     .mode = i->mode,
                                     .uid = i->uid,
                                     .gid = i->gid,
                                     .atime = i->atime,
                                     .mtime = i->mtime,
                                     .ctime = i->ctime};
}

/* Trees of blocks: growing higher, cutting out, setting a pointer, reading ahead. */
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

/* One level more: a new root whose first pointer is the old root. */
static int grow_once(struct volume_node *node)
{
    struct vol_block *top = vol_block_find(node, node->inode.height, 0), *root;
    unsigned height = node->inode.height + 1u;
    int err = vol_node_dirty(node);
    if (err < 0)
        return err;
    if (!top && node->inode.root.where == 0) {
        node->inode.height = (uint8_t)height;
        return 0;
    }
    err = vol_block_root_new(node, height, &root);
    if (err < 0)
        return err;
    top = vol_block_find(node, height - 1, 0); /* a clean one may be gone */
    vol_pointers(root)[0] = node->inode.root;
    memset(&node->inode.root, 0, sizeof(node->inode.root));
    node->inode.height = (uint8_t)height;
    if (height == 1 && node->root_unlogged)
        root->unlogged[0] = 1;
    node->root_unlogged = false;
    if (top) {
        top->parent = root;
        root->refs++;
    }
    vol_block_put(root);
    return 0;
}

int vol_node_grow(struct volume_node *node, uint64_t index)
{
    if (index >= VOLUME_FILE_BLOCKS)
        return -EFBIG;
    while (index >= vol_span(node->inode.height)) {
        int err = grow_once(node);
        if (err < 0)
            return err;
    }
    return 0;
}

/* A pointer whose block is not in memory becomes zero. parent is dirty (or the node, if NULL). */
static int pointer_clear(struct volume_node *node, struct vol_block *parent, struct volume_pointer *pointer,
                         unsigned slot)
{
    if (pointer->where == 0)
        return 0;
    int err = vol_pointer_free_prepare(node, pointer);
    if (err < 0)
        return err;
    vol_pointer_free(node, pointer);
    memset(pointer, 0, sizeof(*pointer));
    node->inode.block_count--;
    if (parent)
        parent->unlogged[slot / 64] &= ~(1ULL << (slot % 64));
    else
        node->root_unlogged = false;
    return 0;
}

static int cut_contents(struct volume_node *node, struct vol_block *parent, uint64_t index)
{
    struct vol_block *b = vol_block_find(node, 0, index);
    unsigned slot = index % VOLUME_FANOUT;
    int err;
    if (b) {
        err = vol_block_get(node, 0, index, VOL_READ, &b);
        if (err == 0)
            err = vol_block_drop(b);
    } else {
        err = pointer_clear(node, parent, parent ? &vol_pointers(parent)[slot] : &node->inode.root, slot);
    }
    if (err == 0)
        node->cut_floor = MIN(node->cut_floor, index);
    return err;
}

/* What block (level >= 1, index) leads to within [first, end); the block itself if all of it went. */
static int cut(struct volume_node *node, unsigned level, uint64_t index, uint64_t first, uint64_t end)
{
    struct vol_block *b;
    uint64_t start = index * vol_span(level), child = vol_span(level - 1);
    int err = vol_block_get(node, level, index, VOL_READ, &b);
    if (err < 0 || !b)
        return err;
    err = vol_block_dirty(b);
    for (unsigned slot = VOLUME_FANOUT; err == 0 && slot-- > 0;) {
        uint64_t from = start + slot * child;
        if (from >= end || from + child <= first)
            continue;
        if (level == 1)
            err = cut_contents(node, b, from);
        else
            err = cut(node, level - 1, index * VOLUME_FANOUT + slot, first, end);
    }
    if (err == 0 && first <= start && start + vol_span(level) <= end)
        return vol_block_drop(b);
    vol_block_put(b);
    return err;
}

int vol_node_cut(struct volume_node *node, uint64_t first, uint64_t end)
{
    uint64_t capacity = vol_span(node->inode.height);
    end = MIN(end, capacity);
    if (first >= end)
        return 0;
    int err = vol_node_dirty(node);
    if (err == 0)
        err = node->inode.height == 0 ? cut_contents(node, NULL, 0) : cut(node, node->inode.height, 0, first, end);
    if (err == 0 && first == 0 && end == capacity)
        node->inode.height = 0;
    return err;
}

int vol_pointer_set(struct volume_node *node, uint64_t index, const struct volume_pointer *pointer)
{
    struct vol_block *parent = NULL;
    int err = vol_node_dirty(node);
    if (err == 0)
        err = vol_node_grow(node, index);
    if (err == 0 && node->inode.height > 0) {
        err = vol_block_get(node, 1, index / VOLUME_FANOUT, VOL_CREATE, &parent);
        if (err == 0)
            err = vol_block_dirty(parent);
    }
    if (err == 0)
        err = cut_contents(node, parent, index);
    if (err == 0) {
        *(parent ? &vol_pointers(parent)[index % VOLUME_FANOUT] : &node->inode.root) = *pointer;
        node->inode.block_count++;
    }
    vol_block_put(parent);
    return err;
}

#define READ_AHEAD_MIN 4
#define READ_AHEAD_MAX VOL_BATCH
#define READ_PAST_MIN 8
#define POINTERS_AHEAD 32
#define ANNOUNCED_MAX (24 * READ_AHEAD_MAX)

/* How many blocks from index on are not in memory and lie one behind the other on the disk. */
static unsigned run_length(struct volume_node *node, const struct vol_block *parent, uint64_t index, unsigned max)
{
    const struct volume_pointer *pointers = vol_pointers(parent);
    unsigned slot = index % VOLUME_FANOUT, count = 0;
    uint64_t address = VOLUME_WHERE_BLOCK(pointers[slot].where);
    while (count < max && slot + count < VOLUME_FANOUT && pointers[slot + count].where != 0 &&
           VOLUME_WHERE_BLOCK(pointers[slot + count].where) == address + count &&
           !vol_block_find(node, parent->level - 1u, index + count))
        count++;
    return count;
}

/* The disk may begin to read these blocks and what is behind them, as much as was read of the run until now: it works
 * while the enclave decrypts. */
static void announce(struct volume_node *node, uint64_t index)
{
    const struct volume_io *io = node->volume->io;
    uint64_t at = MAX(index, node->announced), end = index + MIN(node->read_run.length, (uint64_t)ANNOUNCED_MAX);
    const struct vol_block *parent;
    if (at > index + 2 * READ_AHEAD_MAX && end < at + 4 * READ_AHEAD_MAX)
        return; /* several at a time: whoever reads them is woken less often */
    while (io->read_ahead && at < end && (parent = vol_block_find(node, 1, at / VOLUME_FANOUT))) {
        unsigned count = run_length(node, parent, at, READ_AHEAD_MAX);
        if (count > 0 &&
            !io->read_ahead(io->arg, VOLUME_WHERE_BLOCK(vol_pointers(parent)[at % VOLUME_FANOUT].where), count))
            break;
        at += MAX(count, 1U); /* a hole, or in memory */
    }
    node->announced = at;
}

/* The block (level, index) of a file, and up to max - 1 behind it, in one read; if it is missing, and not alone there.
 */
static void read_run(struct volume_node *node, unsigned level, uint64_t index, unsigned max)
{
    struct vol_block *parent;
    if (node->inode.height <= level || index >> (VOLUME_FANOUT_BITS * (node->inode.height - level)) != 0 ||
        vol_block_find(node, level, index) ||
        vol_block_get(node, level + 1, index / VOLUME_FANOUT, VOL_READ, &parent) < 0 || !parent)
        return;
    if (max == READ_AHEAD_MAX)
        announce(node, index);
    unsigned count = run_length(node, parent, index, max);
    if (count > 1)
        vol_blocks_read(node, parent, index, count);
    vol_block_put(parent);
}

void vol_pointers_ahead(struct volume_node *node, uint64_t index)
{
    read_run(node, 1, index / VOLUME_FANOUT, POINTERS_AHEAD);
}

void vol_read_moved(struct volume_node *node, uint64_t index)
{
    vol_run_move(node->volume, &node->read_run, index == node->read_next);
    if (index != node->read_next)
        node->announced = 0;
    node->read_window = index != node->read_next ? 1 : MIN(MAX(node->read_window * 2, READ_AHEAD_MIN), READ_AHEAD_MAX);
    node->read_next = index + 1;
}

void vol_read_ahead(struct volume_node *node, uint64_t index)
{
    if (vol_block_find(node, 0, index))
        return;
    vol_pointers_ahead(node, index);
    if (node->read_window > 1)
        read_run(node, 0, index, (unsigned)node->read_window);
}

unsigned vol_read_past(struct volume_node *node, uint64_t index, unsigned max, uint8_t *out)
{
    struct vol_block *parent;
    unsigned count;
    if (!node->read_run.streams || max < READ_PAST_MIN || node->inode.height == 0 || vol_block_find(node, 0, index))
        return 0;
    vol_pointers_ahead(node, index);
    if (vol_block_get(node, 1, index / VOLUME_FANOUT, VOL_READ, &parent) < 0 || !parent)
        return 0;
    announce(node, index);
    count = run_length(node, parent, index, MIN(max, (unsigned)READ_AHEAD_MAX));
    count = count > 0 ? vol_blocks_open(node, parent, index, count, out) : 0;
    for (unsigned i = 1; i < count; i++)
        vol_read_moved(node, index + i);
    vol_block_put(parent);
    return count;
}

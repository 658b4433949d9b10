/*
 * The intent log. Operations wait in memory until someone syncs; then records with all of them, and with the contents
 * of the files that are synced, go out in one write and one flush.
 *
 *   - A record is a head block with operations, and right behind it blocks of contents that are at their final place:
 *     the operation says where, the checkpoint only has to write the pointer into the tree.
 *   - Each head names the place of the next, which is reserved; its tag is authenticated by the next.
 *   - Small changes go as bytes into the head; their block stays dirty for the checkpoint.
 *   - What cannot be logged (too long, or no room) makes a checkpoint instead.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

#define RECORD_DATA sizeof(((struct volume_record *)0)->data)
#define BYTES_MAX 3072  /* a change up to this goes into the head if there is room ... */
#define BYTES_SMALL 512 /* ... and up to this in any case */

struct vol_op *vol_op_new(struct volume *v, enum volume_op_type type, size_t size)
{
    size = ALIGN_UP(size, 8); /* so that each begins aligned */
    struct vol_op *op = kzalloc(sizeof(*op) + size);
    if (op) {
        op->op.type = (uint16_t)type;
        op->op.size = (uint16_t)(sizeof(op->op) + size);
    }
    return op;
}

void vol_op_free(struct vol_op *op)
{
    kfree(op);
}

void vol_op_log(struct volume *v, struct vol_op *op)
{
    v->changed = true;
    if (v->replaying || v->log_useless || op->op.size > RECORD_DATA) {
        v->log_useless = v->log_useless || !v->replaying;
        kfree(op);
        return;
    }
    TAILQ_INSERT_TAIL(&v->ops, op, link);
    v->op_bytes += op->op.size;
    v->op_wanted = v->op_wanted || op->op.type != VOLUME_OP_FREE; /* the next mount frees what has no name by itself */
}

void vol_ops_drop(struct volume *v)
{
    struct vol_op *op, *next;
    TAILQ_FOREACH_SAFE (op, &v->ops, link, next) {
        TAILQ_REMOVE(&v->ops, op, link);
        kfree(op);
    }
    v->op_bytes = 0;
    v->op_wanted = false;
}

int vol_log_extent_room(struct volume *v, size_t count)
{
    if (v->log_extent_count + count <= v->log_extent_room)
        return 0;
    size_t room = MAX(2 * v->log_extent_room, v->log_extent_count + count + 64);
    struct vol_extent *p = krealloc(v->log_extents, room * sizeof(*p));
    if (!p)
        return -ENOMEM;
    v->log_extents = p;
    v->log_extent_room = room;
    return 0;
}

void vol_log_extent_add(struct volume *v, uint64_t block, uint64_t count)
{
    if (count > 0)
        v->log_extents[v->log_extent_count++] = (struct vol_extent){block, count};
}

void vol_log_start(struct volume *v, const uint8_t tag[16])
{
    memcpy(v->log_tag, tag, sizeof(v->log_tag));
    v->log_used = 0;
    v->log_useless = false;
    vol_ops_drop(v);
    while (!TAILQ_EMPTY(&v->along)) {
        struct volume_node *node = TAILQ_FIRST(&v->along);
        TAILQ_REMOVE(&v->along, node, along_link);
        node->along = false;
    }
}

/* One sync in the making: the record being filled, its contents in v->staging behind the head. */
struct writer {
    struct volume *v;
    unsigned block_count; /* of this record, head included */
    unsigned block_max;
    unsigned record_count;    /* written before this one */
    struct volume_op *blocks; /* the last operation, if VOLUME_OP_BLOCKS */
};

/* A record can be started: its heads will be remembered, and there is a place for the one after it. */
static int record_begin(struct writer *w)
{
    struct volume *v = w->v;
    int err = vol_log_extent_room(v, 2);
    if (err < 0)
        return err;
    w->block_count = 1;
    w->block_max = (unsigned)MIN(v->log_room, (uint64_t)VOL_BATCH);
    w->blocks = NULL;
    memset(v->record, 0, sizeof(*v->record));
    if (v->log_room - w->block_max >= VOL_LOG_ROOM_MIN || v->spare_room > 0)
        return 0;
    uint64_t want = MIN(MAX(v->block_count / 64, (uint64_t)VOL_LOG_ROOM_MIN), (uint64_t)VOL_LOG_RUN_MAX);
    if (vol_allocatable(v) < v->dirty_count + want + v->reserve / 4)
        return -ENOSPC;
    return vol_alloc(v, want, VOL_LOG_ROOM_MIN, &v->spare_block, &v->spare_room);
}

/* Where the next record will be. */
static void next_choose(struct writer *w, uint64_t *ret_next, uint64_t *ret_room)
{
    struct volume *v = w->v;
    uint64_t next = v->log_block + w->block_count, room = v->log_room - w->block_count;
    vol_log_extent_add(v, v->log_block, 1);
    if (room < VOL_LOG_ROOM_MIN) {
        vol_log_extent_add(v, next, room);
        next = v->spare_block;
        room = v->spare_room;
        v->spare_block = v->spare_room = 0;
    }
    *ret_next = next;
    *ret_room = room;
}

static void record_nonce(uint64_t sequence, uint8_t ret_nonce[AES_GCM_NONCE_SIZE])
{
    memset(ret_nonce, 0, 4);
    memcpy(ret_nonce + 4, &sequence, sizeof(sequence));
}

static int record_write(struct writer *w, bool commit)
{
    struct volume *v = w->v;
    struct volume_record *record = v->record;
    struct volume_record_block *head = (struct volume_record_block *)v->staging;
    struct volume_record_aad aad = {.block = v->log_block};
    uint8_t nonce[AES_GCM_NONCE_SIZE];
    record->magic = VOLUME_RECORD_MAGIC;
    record->sequence = ++v->sequence;
    record->flags = commit ? VOLUME_RECORD_COMMIT : 0;
    record->block_count = w->block_count;
    next_choose(w, &record->next, &record->next_room);
    memcpy(aad.previous_tag, v->log_tag, sizeof(v->log_tag));
    record_nonce(record->sequence, nonce);
    aes_gcm_seal(&v->log_key, nonce, &aad, sizeof(aad), record, sizeof(*record), head->sealed, head->tag);
    memcpy(v->log_tag, head->tag, sizeof(v->log_tag));
    bool at_once = commit && w->record_count == 0 && !v->unflushed;
    int err = v->io->write(v->io->arg, aad.block, w->block_count, v->staging, at_once);
    v->log_block = record->next;
    v->log_room = record->next_room;
    v->log_used += w->block_count;
    w->record_count++;
    if (err < 0)
        vol_failed(v, err);
    else if (commit && !at_once)
        err = vol_flush(v);
    return err;
}

/* Room in the record for size bytes and for blocks of contents; writes out what is there if there is none. */
static int writer_need(struct writer *w, size_t size, unsigned blocks)
{
    if (w->v->record->size + size <= RECORD_DATA && w->block_count + blocks <= w->block_max)
        return 0;
    int err = record_write(w, false);
    return err < 0 ? err : record_begin(w);
}

static void *writer_append(struct writer *w, size_t size)
{
    void *at = w->v->record->data + w->v->record->size;
    w->v->record->size += (uint32_t)size;
    return at;
}

static int put_op(struct writer *w, const struct volume_op *op, const void *data)
{
    size_t size = op->size - sizeof(*op);
    int err = writer_need(w, op->size, 0);
    if (err < 0)
        return err;
    w->blocks = NULL;
    memcpy(writer_append(w, sizeof(*op)), op, sizeof(*op));
    memcpy(writer_append(w, size), data, size);
    return 0;
}

#define BLOCKS_OP_SIZE (sizeof(struct volume_op) + sizeof(struct volume_op_range) + sizeof(struct volume_pointer))

/* There is room (writer_need for BLOCKS_OP_SIZE). */
static void put_pointer(struct writer *w, struct volume_node *node, uint64_t index,
                        const struct volume_pointer *pointer)
{
    struct volume_op_range *range = w->blocks ? (struct volume_op_range *)(w->blocks + 1) : NULL;
    if (!range || range->ino != node->ino || range->offset + range->count != index) {
        w->blocks = writer_append(w, sizeof(*w->blocks));
        range = writer_append(w, sizeof(*range));
        *w->blocks = (struct volume_op){.type = VOLUME_OP_BLOCKS, .size = sizeof(*w->blocks) + sizeof(*range)};
        *range = (struct volume_op_range){.ino = node->ino, .offset = index};
    }
    *(struct volume_pointer *)writer_append(w, sizeof(*pointer)) = *pointer;
    w->blocks->size += (uint16_t)sizeof(*pointer);
    range->count++;
}

static int put_bytes(struct writer *w, struct vol_block *b)
{
    unsigned size = b->change_end - b->change_start;
    struct volume_op_range range = {
        .ino = b->node->ino, .offset = b->index * VOLUME_BLOCK_SIZE + b->change_start, .count = size};
    struct volume_op op = {.type = VOLUME_OP_BYTES, .size = (uint16_t)ALIGN_UP(sizeof(op) + sizeof(range) + size, 8)};
    static const uint8_t padding[8];
    unsigned pad = op.size - (unsigned)(sizeof(op) + sizeof(range)) - size;
    int err = writer_need(w, op.size, 0);
    if (err < 0)
        return err;
    w->blocks = NULL;
    memcpy(writer_append(w, sizeof(op)), &op, sizeof(op));
    memcpy(writer_append(w, sizeof(range)), &range, sizeof(range));
    memcpy(writer_append(w, size), b->data + b->change_start, size);
    memcpy(writer_append(w, pad), padding, pad);
    b->change_start = b->change_end = 0;
    return 0;
}

static int put_contents(struct writer *w, struct vol_block *b)
{
    int err = writer_need(w, BLOCKS_OP_SIZE, 1);
    if (err == 0)
        err = vol_block_old_prepare(b);
    if (err < 0)
        return err;
    uint64_t address = w->v->log_block + w->block_count;
    vol_block_seal(b, address, w->v->staging + (size_t)w->block_count * VOLUME_BLOCK_SIZE, true);
    w->block_count++;
    put_pointer(w, b->node, b->index, vol_block_pointer(b));
    return 0;
}

static int put_block(struct writer *w, struct vol_block *b)
{
    size_t size = b->change_end - b->change_start, room = RECORD_DATA - w->v->record->size;
    if (size == 0)
        return 0; /* the log has it all */
    bool fits = size + sizeof(struct volume_op) + sizeof(struct volume_op_range) + 8 <= room;
    return size <= BYTES_SMALL || (size <= BYTES_MAX && fits) ? put_bytes(w, b) : put_contents(w, b);
}

/* Pointers of contents that were written home before anyone asked to have them durable. */
static int put_unlogged(struct writer *w, struct vol_block *parent)
{
    for (unsigned slot = 0; slot < VOLUME_FANOUT; slot++) {
        if (!(parent->unlogged[slot / 64] >> (slot % 64) & 1))
            continue;
        int err = writer_need(w, BLOCKS_OP_SIZE, 0);
        if (err < 0)
            return err;
        put_pointer(w, parent->node, parent->index * VOLUME_FANOUT + slot, &vol_pointers(parent)[slot]);
        parent->unlogged[slot / 64] &= ~(1ULL << (slot % 64));
    }
    return 0;
}

static int put_data(struct writer *w, struct volume_node *node)
{
    struct vol_block *b, *next;
    for (b = RB_MIN(vol_dirty, &node->dirty_blocks); b && b->level <= 1; b = next) {
        next = RB_NEXT(vol_dirty, &node->dirty_blocks, b);
        int err = b->level == 0 ? put_block(w, b) : put_unlogged(w, b);
        if (err < 0)
            return err;
    }
    if (node->root_unlogged) {
        int err = writer_need(w, BLOCKS_OP_SIZE, 0);
        if (err < 0)
            return err;
        put_pointer(w, node, 0, &node->inode.root);
        node->root_unlogged = false;
    }
    return 0;
}

static int put_node(struct writer *w, struct volume_node *node)
{
    int err = vol_is_file(node) && node->data_unlogged ? put_data(w, node) : 0;
    if (err == 0 && node->attr_unlogged) {
        struct volume_op op = {.type = VOLUME_OP_SETATTR, .size = sizeof(op) + sizeof(struct volume_op_setattr)};
        struct volume_op_setattr attr;
        vol_setattr_fill(node, &attr);
        err = put_op(w, &op, &attr);
    }
    if (err == 0)
        node->attr_unlogged = node->data_unlogged = false;
    return err;
}

static int log_write(struct volume *v, struct volume_node *node)
{
    struct writer w = {.v = v};
    struct vol_op *op;
    int err = record_begin(&w);
    TAILQ_FOREACH (op, &v->ops, link) {
        if (err == 0)
            err = put_op(&w, &op->op, op->data);
    }
    while (err == 0 && !TAILQ_EMPTY(&v->along)) {
        struct volume_node *along = TAILQ_FIRST(&v->along);
        TAILQ_REMOVE(&v->along, along, along_link);
        along->along = false;
        err = put_node(&w, along);
    }
    if (err == 0 && node)
        err = put_node(&w, node);
    if (err == 0)
        err = record_write(&w, true);
    if (err < 0)
        return err;
    v->durable = v->sequence;
    vol_ops_drop(v);
    return 0;
}

int vol_commit(struct volume *v, struct volume_node *node)
{
    bool pending = v->op_wanted || v->log_useless || !TAILQ_EMPTY(&v->along) ||
                   (node && (node->attr_unlogged || node->data_unlogged));
    if (v->failed)
        return v->failed;
    if (v->options.read_only)
        return 0;
    if (!pending)
        return vol_anchor_committed(v); /* which may have failed the last time */
    int err = v->log_useless ? -ENOSPC : log_write(v, node);
    if (err < 0 && !v->failed)
        err = vol_checkpoint(v); /* which is as durable, and takes all that the record would have */
    return err < 0 ? err : vol_anchor_committed(v);
}

void volume_fsync_along(struct volume_node *node)
{
    if (node->along || !node->dirty || !(node->attr_unlogged || node->data_unlogged))
        return;
    node->along = true;
    TAILQ_INSERT_TAIL(&node->volume->along, node, along_link);
}

int volume_fsync(struct volume_node *node)
{
    return vol_commit(node->volume, node);
}

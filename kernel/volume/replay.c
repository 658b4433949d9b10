/*
 * Recovery: follow the log from a checkpoint, first to see how far it holds together, then to apply it. Nothing is
 * written. The end is the first record that does not verify; a record in the middle whose contents are damaged is not
 * an end, but damage, and the volume is not mounted.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

#define RECORD_DATA sizeof(((struct volume_record *)0)->data)

struct position {
    uint64_t block, room, sequence;
    uint8_t tag[16];
};

struct replay {
    struct volume *v;
    struct aes_gcm_key key;
    struct position at;
    struct volume_record_block block;
    struct volume_record record;
    uint8_t contents[VOLUME_BLOCK_SIZE];
};

static size_t op_size_min(unsigned type)
{
    switch (type) {
    case VOLUME_OP_CREATE:
        return sizeof(struct volume_op_create);
    case VOLUME_OP_LINK:
    case VOLUME_OP_UNLINK:
        return sizeof(struct volume_op_name);
    case VOLUME_OP_RENAME:
        return sizeof(struct volume_op_rename);
    case VOLUME_OP_SETATTR:
        return sizeof(struct volume_op_setattr);
    case VOLUME_OP_SETXATTR:
    case VOLUME_OP_REMOVEXATTR:
        return sizeof(struct volume_op_xattr);
    default:
        return sizeof(struct volume_op_range);
    }
}

/* Do the sizes that an operation states lie in it? */
static bool op_valid(const struct volume_op *op)
{
    if (op->type == 0 || op->type >= VOLUME_OP_COUNT || op->size < sizeof(*op) + op_size_min(op->type))
        return false;
    uint64_t room = op->size - sizeof(*op) - op_size_min(op->type);
    const void *body = op + 1;
    const struct volume_op_create *create = body;
    const struct volume_op_rename *rename = body;
    const struct volume_op_name *name = body;
    const struct volume_op_xattr *xattr = body;
    const struct volume_op_range *range = body;
    switch (op->type) {
    case VOLUME_OP_CREATE:
        return create->name_size <= VOLUME_NAME_MAX && (uint64_t)create->name_size + create->target_size <= room;
    case VOLUME_OP_LINK:
    case VOLUME_OP_UNLINK:
        return name->name_size <= MIN(room, (uint64_t)VOLUME_NAME_MAX);
    case VOLUME_OP_RENAME:
        return rename->old_size <= VOLUME_NAME_MAX && rename->new_size <= VOLUME_NAME_MAX &&
               (uint64_t)rename->old_size + rename->new_size <= room;
    case VOLUME_OP_SETXATTR:
    case VOLUME_OP_REMOVEXATTR:
        return (uint64_t)xattr->name_size + xattr->value_size <= room;
    case VOLUME_OP_BYTES:
        return range->count <= room && range->offset < VOLUME_FILE_BLOCKS * VOLUME_BLOCK_SIZE && range->count > 0 &&
               range->offset % VOLUME_BLOCK_SIZE + range->count <= VOLUME_BLOCK_SIZE;
    case VOLUME_OP_BLOCKS:
        return range->count * sizeof(struct volume_pointer) == room && range->count <= VOLUME_BLOCK_SIZE &&
               range->offset < VOLUME_FILE_BLOCKS - range->count;
    default:
        return true;
    }
}

static const struct volume_op *op_next(const struct volume_record *record, size_t *offset)
{
    const struct volume_op *op = (const struct volume_op *)(record->data + *offset);
    if (*offset >= record->size)
        return NULL;
    *offset += op->size;
    return op;
}

bool vol_record_valid(const struct volume_record *record)
{
    if (record->magic != VOLUME_RECORD_MAGIC || record->size > RECORD_DATA)
        return false;
    for (size_t offset = 0; offset < record->size;) {
        const struct volume_op *op = (const struct volume_op *)(record->data + offset);
        if (record->size - offset < sizeof(*op) || op->size > record->size - offset || op->size % 8 != 0 ||
            !op_valid(op))
            return false;
        offset += op->size;
    }
    return true;
}

static bool place_valid(const struct volume *v, uint64_t block, uint64_t room)
{
    return block >= VOLUME_FIRST_BLOCK && block < v->block_count && room <= v->block_count - block;
}

/* 1 = the record at r->at, in r->record; 0 = none there. */
static int record_read(struct replay *r)
{
    struct volume *v = r->v;
    struct volume_record_aad aad = {.block = r->at.block};
    uint8_t nonce[AES_GCM_NONCE_SIZE] = {0};
    uint64_t sequence = r->at.sequence + 1;
    if (r->at.room < VOL_LOG_ROOM_MIN)
        return 0;
    int err = v->io->read(v->io->arg, r->at.block, 1, &r->block);
    if (err < 0)
        return err;
    memcpy(aad.previous_tag, r->at.tag, sizeof(r->at.tag));
    memcpy(nonce + 4, &sequence, sizeof(sequence));
    if (aes_gcm_open(&r->key, nonce, &aad, sizeof(aad), r->block.sealed, sizeof(r->record), r->block.tag, &r->record) <
        0)
        return 0;
    const struct volume_record *record = &r->record;
    if (!vol_record_valid(record) || record->sequence != sequence || record->block_count == 0 ||
        record->block_count > r->at.room || !place_valid(v, record->next, record->next_room))
        return -EUCLEAN; /* authentic, yet wrong: made by something broken */
    return 1;
}

static void advance(struct replay *r)
{
    r->at.block = r->record.next;
    r->at.room = r->record.next_room;
    r->at.sequence = r->record.sequence;
    memcpy(r->at.tag, r->block.tag, sizeof(r->at.tag));
}

/* 1 = all contents that the record refers to are there and verify; 0 = not. */
static int contents_verify(struct replay *r)
{
    size_t offset = 0;
    const struct volume_op *op;
    while ((op = op_next(&r->record, &offset)) != NULL) {
        const struct volume_op_range *range = (const void *)(op + 1);
        const struct volume_pointer *pointers = (const void *)(range + 1);
        for (uint64_t i = 0; op->type == VOLUME_OP_BLOCKS && i < range->count; i++) {
            struct volume_block_aad aad = {range->ino, range->offset + i, 0};
            int err = vol_pointer_read(r->v, &pointers[i], &aad, r->contents);
            if (err < 0)
                return err == -ENOMEM ? err : 0;
        }
    }
    return 1;
}

/* How many records count: up to the last commit before the first whose contents are not all there. */
static int scan(struct replay *r, uint64_t *ret_count)
{
    uint64_t count = 0;
    bool damaged = false, closed = false;
    int found;
    *ret_count = 0;
    while ((found = record_read(r)) == 1) {
        if (closed)
            return -EUCLEAN; /* after a damaged commit came another: it had been durable */
        int good = contents_verify(r);
        if (good < 0)
            return good;
        damaged = damaged || !good;
        count++;
        if (r->record.flags & VOLUME_RECORD_COMMIT) {
            closed = damaged;
            if (!damaged)
                *ret_count = count;
        }
        advance(r);
    }
    return found;
}

static struct volume_owner create_owner(const struct volume_op_create *c)
{
    return (struct volume_owner){c->uid, c->gid};
}

static int dir_get(struct volume *v, uint64_t ino, struct volume_node **ret_dir)
{
    *ret_dir = NULL;
    return ino == 0 ? 0 : volume_node_get(v, ino, ret_dir);
}

static int apply_create(struct volume *v, const struct volume_op_create *c)
{
    struct volume_node *dir, *node = NULL;
    const char *name = (const char *)(c + 1);
    int err = dir_get(v, c->dir, &dir);
    if (err == 0)
        err = vol_create_at(v, dir, name, c->name_size, c->mode, c->rdev, name + c->name_size, c->target_size,
                            create_owner(c), c->time, c->ino, &node);
    if (err == 0)
        volume_node_put(node);
    volume_node_put(dir);
    return err;
}

static int apply_name(struct volume *v, unsigned type, const struct volume_op_name *n)
{
    struct volume_node *dir, *node;
    const char *name = (const char *)(n + 1);
    int err = volume_node_get(v, n->dir, &dir);
    if (err < 0)
        return err;
    err = volume_node_get(v, n->ino, &node);
    if (err == 0) {
        err = type == VOLUME_OP_LINK ? vol_link_at(dir, name, n->name_size, node, n->time)
                                     : vol_unlink_at(dir, name, n->name_size, S_ISDIR(node->inode.mode), n->time);
        volume_node_put(node);
    }
    volume_node_put(dir);
    return err;
}

static int apply_rename(struct volume *v, const struct volume_op_rename *n)
{
    struct volume_node *old_dir, *new_dir;
    const char *name = (const char *)(n + 1);
    int err = volume_node_get(v, n->old_dir, &old_dir);
    if (err < 0)
        return err;
    err = volume_node_get(v, n->new_dir, &new_dir);
    if (err == 0) {
        err = vol_rename_at(old_dir, name, n->old_size, new_dir, name + n->old_size, n->new_size, n->flags,
                            (struct volume_owner){n->whiteout_uid, n->whiteout_gid}, n->time, n->whiteout);
        volume_node_put(new_dir);
    }
    volume_node_put(old_dir);
    return err;
}

static int apply_setattr(struct volume_node *node, const struct volume_op_setattr *a)
{
    int err = vol_node_dirty(node);
    if (err < 0)
        return err;
    struct volume_inode *i = &node->inode;
    i->mode = (i->mode & S_IFMT) | (a->mode & ~(uint32_t)S_IFMT);
    i->uid = a->uid;
    i->gid = a->gid;
    if (a->size != VOLUME_SIZE_KEEP && S_ISREG(i->mode))
        i->size = a->size;
    i->atime = a->atime;
    i->mtime = a->mtime;
    i->ctime = a->ctime;
    return 0;
}

static int apply_blocks(struct volume_node *node, const struct volume_op_range *range)
{
    const struct volume_pointer *pointers = (const void *)(range + 1);
    int err = 0;
    for (uint64_t i = 0; err == 0 && i < range->count; i++) {
        err = vol_mark_used(node->volume, VOLUME_WHERE_BLOCK(pointers[i].where), 1);
        if (err == 0)
            err = vol_pointer_set(node, range->offset + i, &pointers[i]);
    }
    return err;
}

static int apply_range(struct volume_node *node, unsigned type, const struct volume_op_range *range)
{
    switch (type) {
    case VOLUME_OP_TRUNCATE:
        return vol_truncate_at(node, range->offset, range->time);
    case VOLUME_OP_PUNCH:
        return vol_punch_at(node, range->offset, range->count, range->time);
    case VOLUME_OP_BYTES:
        return vol_write_block(node, range->offset / VOLUME_BLOCK_SIZE, range->offset % VOLUME_BLOCK_SIZE, range + 1,
                               (unsigned)range->count);
    case VOLUME_OP_BLOCKS:
        return apply_blocks(node, range);
    default: /* VOLUME_OP_FREE */
        return node->inode.nlink == 0 ? vol_node_destroy(node) : -EUCLEAN;
    }
}

static int apply_xattr(struct volume_node *node, unsigned type, const struct volume_op_xattr *x)
{
    const char *name = (const char *)(x + 1);
    return type == VOLUME_OP_SETXATTR
               ? vol_setxattr_at(node, name, x->name_size, name + x->name_size, x->value_size, 0, x->time)
               : vol_removexattr_at(node, name, x->name_size, x->time);
}

static int apply(struct volume *v, const struct volume_op *op)
{
    struct volume_node *node;
    const void *body = op + 1;
    if (op->type == VOLUME_OP_CREATE)
        return apply_create(v, body);
    if (op->type == VOLUME_OP_LINK || op->type == VOLUME_OP_UNLINK)
        return apply_name(v, op->type, body);
    if (op->type == VOLUME_OP_RENAME)
        return apply_rename(v, body);
    int err = volume_node_get(v, *(const uint64_t *)body, &node); /* the others begin with it */
    if (err < 0)
        return err;
    if (op->type == VOLUME_OP_SETATTR)
        err = apply_setattr(node, body);
    else if (op->type == VOLUME_OP_SETXATTR || op->type == VOLUME_OP_REMOVEXATTR)
        err = apply_xattr(node, op->type, body);
    else if (!S_ISREG(node->inode.mode) && op->type != VOLUME_OP_FREE)
        err = -EUCLEAN;
    else
        err = apply_range(node, op->type, body);
    volume_node_put(node);
    return err;
}

/* The blocks that this record and the place of the next take. */
static int account(struct replay *r)
{
    struct volume *v = r->v;
    const struct volume_record *record = &r->record;
    uint64_t end = r->at.block + record->block_count, left = r->at.room - record->block_count;
    bool elsewhere = record->next != end || record->next_room != left; /* the next place may begin right there */
    int err = vol_log_extent_room(v, 2);
    if (err == 0 && elsewhere)
        err = vol_mark_used(v, record->next, record->next_room);
    if (err < 0)
        return err;
    vol_log_extent_add(v, r->at.block, 1);
    if (elsewhere)
        vol_log_extent_add(v, end, left);
    v->log_used += record->block_count;
    return 0;
}

static int apply_records(struct replay *r, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct volume_op *op;
        size_t offset = 0;
        int err = record_read(r);
        if (err != 1)
            return err < 0 ? err : -EIO; /* it was there a moment ago */
        err = account(r);
        while (err == 0 && (op = op_next(&r->record, &offset)) != NULL)
            err = apply(r->v, op);
        if (err < 0)
            return err == -ENOMEM || err == -EIO ? err : -EUCLEAN;
        advance(r);
    }
    return 0;
}

int vol_replay(struct volume *v, const uint8_t slot_tag[16], uint32_t epoch)
{
    struct replay *r = kmalloc(sizeof(*r));
    struct position start = {v->log_block, v->log_room, v->sequence, {0}};
    if (!r)
        return -ENOMEM;
    memcpy(start.tag, slot_tag, sizeof(start.tag));
    *r = (struct replay){.v = v, .at = start};
    vol_log_key(v, epoch, &r->key);
    v->replaying = true;
    int err = scan(r, &v->replayed);
    r->at = start;
    if (err == 0)
        err = apply_records(r, v->replayed);
    v->replaying = false;
    v->log_block = r->at.block;
    v->log_room = r->at.room;
    v->sequence = r->at.sequence;
    kfree(r);
    return err;
}

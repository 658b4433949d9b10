/*
 * Checkpoints. The whole tree, bottom up, to new places; a flush; one slot that says where; a flush. Until the slot is
 * durable the one before stands, with its log, and nothing either refers to is overwritten. A checkpoint that fails
 * for want of memory has changed nothing but where blocks lie, and can be made again.
 */
#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

#define OP_BYTES_MAX (1UL << 20)

void vol_failed(struct volume *v, int error)
{
    if (!v->failed)
        v->failed = error == -EUCLEAN || error == -ESTALE ? error : -EIO;
}

int volume_failed(const struct volume *v)
{
    return v->failed;
}

int vol_flush(struct volume *v)
{
    int err = v->io->flush(v->io->arg);
    if (err < 0)
        vol_failed(v, err);
    else
        v->unflushed = false;
    return err;
}

static const uint8_t zero_nonce[AES_GCM_NONCE_SIZE];

static void slot_key(const struct volume *v, const uint8_t salt[32], struct aes_gcm_key *ret_key)
{
    uint8_t bytes[32];
    vol_key_derive(&v->master, v->header.uuid, "checkpoint", salt, bytes);
    aes_gcm_key_init(ret_key, bytes);
    memory_wipe(bytes, sizeof(bytes));
}

int vol_slot_read(struct volume *v, unsigned position, struct volume_checkpoint *ret_checkpoint, uint8_t ret_tag[16])
{
    struct volume_slot *slot = kmalloc(sizeof(*slot));
    struct aes_gcm_key key;
    if (!slot)
        return -ENOMEM;
    int err = v->io->read(v->io->arg, VOLUME_CHECKPOINT_BLOCK + position * VOLUME_CHECKPOINT_STRIDE, 1, slot);
    if (err == 0) {
        slot_key(v, slot->salt, &key);
        err = aes_gcm_open(&key, zero_nonce, NULL, 0, slot->sealed, sizeof(*ret_checkpoint), slot->tag, ret_checkpoint);
        memory_wipe(&key, sizeof(key));
        memcpy(ret_tag, slot->tag, 16);
    }
    kfree(slot);
    if (err == 0 && (ret_checkpoint->magic != VOLUME_CHECKPOINT_MAGIC || ret_checkpoint->version != VOLUME_VERSION ||
                     memcmp(ret_checkpoint->uuid, v->header.uuid, 16) != 0 ||
                     ret_checkpoint->generation % VOLUME_CHECKPOINT_COUNT != position))
        err = -EBADMSG;
    return err;
}

static void checkpoint_fill(const struct volume *v, struct volume_checkpoint *c)
{
    *c = (struct volume_checkpoint){.magic = VOLUME_CHECKPOINT_MAGIC,
                                    .version = VOLUME_VERSION,
                                    .features = v->header.features,
                                    .header_generation = v->header.generation,
                                    .generation = v->generation,
                                    .epoch = v->epoch,
                                    .master_generation = v->master.generation,
                                    .anchor_base = v->anchor_base,
                                    .acquired_base = v->acquired_base,
                                    .acquired_sequence = v->acquired_sequence,
                                    .sequence = v->sequence,
                                    .log_block = v->log_block,
                                    .log_room = v->log_room,
                                    .block_count = v->block_count,
                                    .used_count = v->used_count,
                                    .inode_next = v->inode_next,
                                    .inode_free = v->inode_free,
                                    .inode_orphan = v->inode_orphan,
                                    .inode_count = v->inode_count};
    memcpy(c->uuid, v->header.uuid, sizeof(c->uuid));
    memcpy(c->epoch_salt, v->salts[v->epoch], sizeof(c->epoch_salt));
    memcpy(c->anchor_secret, v->anchor_secret, sizeof(c->anchor_secret));
    memcpy(c->hash_key, v->hash_key, sizeof(c->hash_key));
    c->old_master = v->old_master;
    c->rekey_epoch = v->rekey_epoch;
    for (unsigned i = 0; i < VOLUME_OBJECT_COUNT; i++)
        c->roots[i] = (struct volume_root){v->objects[i].inode.root, v->objects[i].inode.height};
}

static int slot_write(struct volume *v)
{
    struct volume_slot *slot = (struct volume_slot *)v->staging;
    struct volume_checkpoint *c = (struct volume_checkpoint *)(v->staging + VOLUME_BLOCK_SIZE);
    unsigned position;
    struct aes_gcm_key key;
    v->generation++;
    v->sequence++;
    position = v->generation % VOLUME_CHECKPOINT_COUNT;
    checkpoint_fill(v, c);
    v->io->random(v->io->arg, slot->salt, sizeof(slot->salt));
    slot_key(v, slot->salt, &key);
    aes_gcm_seal(&key, zero_nonce, NULL, 0, c, sizeof(*c), slot->sealed, slot->tag);
    memory_wipe(&key, sizeof(key));
    memory_wipe(c, sizeof(*c));
    int err = v->io->write(v->io->arg, VOLUME_CHECKPOINT_BLOCK + position * VOLUME_CHECKPOINT_STRIDE, 1, slot, true);
    if (err < 0) {
        vol_failed(v, err);
        return err;
    }
    v->durable = v->sequence;
    vol_pending_rotate(v);
    vol_log_start(v, slot->tag);
    v->changed = false;
    return 0;
}

static int nodes_write(struct volume *v)
{
    struct volume_node *node, *next;
    TAILQ_FOREACH (node, &v->dirty_nodes, dirty_link) {
        int err = vol_node_write(node, VOLUME_LEVEL_XATTR);
        if (err < 0)
            return err;
    }
    TAILQ_FOREACH_SAFE (node, &v->dirty_nodes, dirty_link, next)
        vol_inode_store(node);
    int err = vol_node_write(&v->objects[VOLUME_OBJECT_INODES], VOLUME_HEIGHT_MAX);
    if (err == 0 && v->tree_written)
        err = v->tree_written(v);
    if (err == 0)
        err = vol_node_write(&v->objects[VOLUME_OBJECT_EPOCHS], VOLUME_HEIGHT_MAX);
    return err < 0 ? err : vol_node_write(&v->objects[VOLUME_OBJECT_SNAPSHOTS], VOLUME_HEIGHT_MAX);
}

/* The log's own blocks are free now; a place for the next record is there. */
static int log_release(struct volume *v)
{
    while (v->log_extent_count > 0) {
        struct vol_extent *e = &v->log_extents[v->log_extent_count - 1];
        int err = vol_free_extent(v, (struct vol_extent){e->block + e->count - 1, 1});
        if (err < 0)
            return err;
        if (--e->count == 0)
            v->log_extent_count--;
    }
    if (v->spare_room > 0) {
        int err = vol_log_extent_room(v, 1);
        if (err < 0)
            return err;
        vol_log_extent_add(v, v->spare_block, v->spare_room);
        v->spare_block = v->spare_room = 0;
        return log_release(v);
    }
    if (v->log_room > 0 && v->log_block + v->log_room > v->limit) { /* the place itself has to go */
        int err = vol_log_extent_room(v, 1);
        if (err < 0)
            return err;
        vol_log_extent_add(v, v->log_block, v->log_room);
        v->log_room = 0;
        return log_release(v);
    }
    if (v->log_room >= VOL_LOG_ROOM_MIN)
        return 0;
    uint64_t want = MIN(MAX(v->block_count / 64, (uint64_t)VOL_LOG_ROOM_MIN), (uint64_t)VOL_LOG_RUN_MAX);
    return vol_alloc(v, want, VOL_LOG_ROOM_MIN, &v->log_block, &v->log_room);
}

int vol_checkpoint(struct volume *v)
{
    if (v->failed || v->options.read_only)
        return v->failed;
    v->log_useless = true; /* until it is done: inodes count as stored from here on */
    int err = nodes_write(v);
    if (err == 0)
        err = log_release(v);
    if (err == 0)
        err = vol_map_write(v);
    if (err == 0)
        err = vol_flush(v);
    return err < 0 ? err : slot_write(v);
}

bool volume_pending(const struct volume *v)
{
    return v->changed || v->log_useless || v->log_used > 0;
}

int volume_checkpoint(struct volume *v)
{
    if (v->failed)
        return v->failed;
    int err = volume_pending(v) ? vol_checkpoint(v) : 0;
    return err < 0 ? err : vol_anchor_committed(v);
}

int volume_sync(struct volume *v)
{
    return volume_checkpoint(v);
}

/* Too much is dirty: contents go home; if that is not enough, all of it. */
static int write_back(struct volume *v)
{
    struct volume_node *node;
    TAILQ_FOREACH (node, &v->dirty_nodes, dirty_link) {
        int err = vol_node_write(node, 0);
        if (err < 0)
            return err;
    }
    return v->dirty_count > v->dirty_max / 2 ? vol_checkpoint(v) : 0;
}

/* No checkpoint: contents go home when too much is dirty, and what then is dirty stays in memory, however much that is.
 */
static int begin_at_once(struct volume *v, uint64_t blocks)
{
    struct volume_node *node;
    int err = 0;
    if (v->dirty_count + blocks > v->dirty_max) {
        TAILQ_FOREACH (node, &v->dirty_nodes, dirty_link) {
            if (err == 0)
                err = vol_node_write(node, 0);
        }
        if (v->dirty_count > v->dirty_max / 2)
            v->dirty_max *= 2;
    }
    if (err < 0)
        return err;
    return vol_allocatable(v) >= v->dirty_count + blocks + v->reserve ? 0 : -ENOSPC;
}

int vol_begin(struct volume *v, uint64_t blocks, enum vol_purpose purpose)
{
    int err = 0;
    if (v->failed)
        return v->failed;
    if (v->options.read_only)
        return -EROFS;
    if (v->held) /* nothing may become durable in between */
        return vol_allocatable(v) >= v->dirty_count + blocks + v->reserve / 2 ? 0 : -ENOSPC;
    if (v->at_once)
        return begin_at_once(v, blocks);
    if (v->log_used > v->options.log_blocks || v->op_bytes > OP_BYTES_MAX)
        err = vol_checkpoint(v);
    if (err == 0 && v->dirty_count + blocks > v->dirty_max)
        err = write_back(v);
    uint64_t floor = purpose == VOL_GROW ? v->reserve : v->reserve / 2;
    for (unsigned tries = 0; err == 0; tries++) {
        if (vol_allocatable(v) >= v->dirty_count + blocks + floor)
            return 0;
        if (tries == 3 || (tries > 0 && v->pending_count[0] + v->pending_count[1] == 0))
            return -ENOSPC;
        err = vol_checkpoint(v); /* what was freed becomes usable after two */
    }
    return err;
}

int volume_hold(struct volume *v, uint64_t blocks)
{
    int err = vol_begin(v, blocks, VOL_SHRINK);
    if (err == 0)
        v->held++;
    return err;
}

void volume_release(struct volume *v)
{
    ASSERT(v->held > 0);
    v->held--;
}

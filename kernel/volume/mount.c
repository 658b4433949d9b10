/* Making, opening and closing volumes. */
#include "kernel/crypto/secret.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

#define CACHE_SIZE (32UL << 20)
#define CACHE_MIN 64 /* blocks */
#define LOG_BLOCKS 16384
#define EPOCHS_PER_BLOCK (VOLUME_BLOCK_SIZE / sizeof(struct volume_epoch))

static void volume_free(struct volume *v)
{
    if (v->blocks)
        vol_cache_drop(v);
    for (uint64_t i = 0; v->groups && i < v->group_count; i++) {
        kfree(v->groups[i].pending[0]);
        kfree(v->groups[i].pending[1]);
    }
    for (uint32_t i = 0; v->keys && i <= v->epoch; i++) {
        if (v->keys[i])
            memory_wipe(v->keys[i], sizeof(*v->keys[i]));
        kfree(v->keys[i]);
    }
    if (v->salts)
        memory_wipe(v->salts, (v->epoch + 1UL) * sizeof(*v->salts));
    vol_ops_drop(v);
    kfree(v->salts);
    kfree(v->snapshots);
    kfree(v->keys);
    kfree(v->groups);
    kfree(v->log_extents);
    kfree(v->record);
    kfree(v->staging);
    kfree(v->blocks);
    kfree(v->nodes);
    memory_wipe(v, sizeof(*v));
    kfree(v);
}

static void nodes_free(struct volume *v)
{
    struct volume_node *node;
    while ((node = TAILQ_FIRST(&v->dirty_nodes)) != NULL) {
        TAILQ_REMOVE(&v->dirty_nodes, node, dirty_link);
        if (node->along)
            TAILQ_REMOVE(&v->along, node, along_link);
        node->dirty = node->along = false;
        vol_block_put(node->inode_block);
        node->inode_block = NULL;
        vol_node_release(node);
    }
}

void volume_abandon(struct volume *v)
{
    if (!v)
        return;
    nodes_free(v);
    volume_free(v);
}

static struct volume *volume_new(const struct volume_io *io, const struct volume_options *options)
{
    static const uint64_t object_ino[VOLUME_OBJECT_COUNT] = {0, 1, 2, 3};
    struct volume *v = kzalloc(sizeof(*v));
    if (!v)
        return NULL;
    v->io = io;
    v->options = *options;
    if (v->options.log_blocks == 0)
        v->options.log_blocks = LOG_BLOCKS;
    v->cached_max =
        MAX((v->options.cache_size ? v->options.cache_size : CACHE_SIZE) / VOLUME_BLOCK_SIZE, (uint64_t)CACHE_MIN);
    v->dirty_max = v->cached_max / 2;
    TAILQ_INIT(&v->ops);
    TAILQ_INIT(&v->along);
    TAILQ_INIT(&v->lru);
    TAILQ_INIT(&v->dirty_nodes);
    for (unsigned i = 0; i < VOLUME_OBJECT_COUNT; i++) {
        v->objects[i].volume = v;
        v->objects[i].ino = object_ino[i];
        v->objects[i].object = true;
        v->objects[i].refs = 1;
        RB_INIT(&v->objects[i].dirty_blocks);
    }
    for (v->bucket_count = 1; v->bucket_count < v->cached_max; v->bucket_count *= 2)
        ;
    v->blocks = kzalloc(v->bucket_count * sizeof(*v->blocks));
    v->nodes = kzalloc(VOL_BUCKETS * sizeof(*v->nodes));
    v->staging = kmalloc((size_t)VOL_BATCH * VOLUME_BLOCK_SIZE);
    v->record = kmalloc(sizeof(*v->record));
    if (v->blocks && v->nodes && v->staging && v->record)
        return v;
    volume_free(v);
    return NULL;
}

/* Room for the salts and keys of epochs 0 to last. */
static int epochs_init(struct volume *v, uint32_t last)
{
    v->epoch = last;
    v->salts = kzalloc((last + 1UL) * sizeof(*v->salts));
    v->keys = kzalloc((last + 1UL) * sizeof(struct vol_epoch_key *));
    return v->salts && v->keys ? 0 : -ENOMEM;
}

static int epoch_begin(struct volume *v, uint32_t epoch)
{
    const struct aes_gcm_key *key;
    int err = vol_epoch_begin(v, epoch);
    return err < 0 ? err : vol_epoch_key(v, epoch, &key);
}

/* A header for an empty volume, not written. */
static void header_init(struct volume *v)
{
    struct volume_header *h = &v->header;
    memcpy(h->magic, VOLUME_MAGIC, sizeof(h->magic));
    h->version = VOLUME_VERSION;
    h->block_size = VOLUME_BLOCK_SIZE;
    h->generation = 1;
    h->aead = VOLUME_AEAD_AES_256_GCM;
    v->io->random(v->io->arg, h->uuid, sizeof(h->uuid));
    h->uuid[6] = (uint8_t)((h->uuid[6] & 0x0f) | 0x40); /* RFC 9562, version 4 */
    h->uuid[8] = (uint8_t)((h->uuid[8] & 0x3f) | 0x80);
    v->io->random(v->io->arg, v->master.key, sizeof(v->master.key));
    v->io->random(v->io->arg, v->hash_key, sizeof(v->hash_key));
    v->io->random(v->io->arg, v->anchor_secret, sizeof(v->anchor_secret));
    v->master.generation = 1;
    vol_header_seal(h, &v->master);
}

static int root_make(struct volume *v)
{
    struct volume_node *root;
    v->inode_next = VOLUME_ROOT_INO;
    int err = vol_mark_used(v, 0, VOLUME_FIRST_BLOCK);
    if (err == 0)
        err = vol_node_new(v, S_IFDIR | 0755, 0, (struct volume_owner){0, 0}, vol_now(v), 0, &root);
    if (err < 0)
        return err;
    root->inode.nlink = 2;
    root->inode.parent = VOLUME_ROOT_INO;
    volume_node_put(root);
    return 0;
}

/* Last, so that a format that did not end has left nothing that looks like a volume. */
static int header_write(struct volume *v, const struct volume_key_slot *slot, const uint8_t key[32])
{
    const struct volume_io *io = v->io;
    struct volume_key_slot *slots = (struct volume_key_slot *)v->staging;
    memset(slots, 0, VOLUME_KEY_COUNT * sizeof(*slots));
    slots[0] = *slot;
    io->random(io->arg, slots[0].salt, sizeof(slots[0].salt));
    vol_key_slot_seal(&slots[0], v->header.uuid, &v->master, key);
    int err = io->write(io->arg, VOLUME_KEY_BLOCK, VOLUME_KEY_COUNT * sizeof(*slots) / VOLUME_BLOCK_SIZE, slots, true);
    for (unsigned i = 0; err == 0 && i < VOLUME_HEADER_COUNT; i++)
        err = io->write(io->arg, VOLUME_HEADER_BLOCK + i, 1, &v->header, true);
    return err;
}

int volume_format(const struct volume_io *io, const struct volume_key_slot *slot, const uint8_t key[32])
{
    struct volume_options options = {.cache_size = 4UL << 20};
    uint64_t block_count = io->block_count(io->arg);
    if (block_count < VOLUME_BLOCKS_MIN || block_count > VOLUME_BLOCKS_MAX || slot->type == VOLUME_KEY_EMPTY ||
        slot->params_size > VOLUME_KEY_PARAMS_SIZE)
        return -EINVAL;
    struct volume *v = volume_new(io, &options);
    if (!v)
        return -ENOMEM;
    header_init(v);
    int err = vol_space_set(v, block_count);
    if (err == 0)
        err = epochs_init(v, 0);
    if (err == 0)
        err = epoch_begin(v, 0);
    if (err == 0)
        err = root_make(v);
    /* What an older volume had here must not be found. */
    memset(v->staging, 0, VOLUME_HEADER_COUNT * VOLUME_BLOCK_SIZE);
    if (err == 0)
        err = io->write(io->arg, VOLUME_HEADER_BLOCK, VOLUME_HEADER_COUNT, v->staging, true);
    if (err == 0)
        err = vol_checkpoint(v);
    if (err == 0)
        err = header_write(v, slot, key);
    volume_abandon(v);
    return err;
}

static bool checkpoint_valid(const struct volume *v, const struct volume_checkpoint *c)
{
    const struct volume_features *a = &c->features, *b = &v->header.features;
    for (unsigned i = 0; i < VOLUME_OBJECT_COUNT; i++)
        if (c->roots[i].height > VOLUME_HEIGHT_MAX)
            return false;
    /* The header announces a feature before the first checkpoint that uses it. */
    return (a->compat & ~b->compat) == 0 && (a->ro_compat & ~b->ro_compat) == 0 && (a->incompat & ~b->incompat) == 0 &&
           c->header_generation <= v->header.generation && c->block_count >= VOLUME_BLOCKS_MIN &&
           c->block_count <= VOLUME_BLOCKS_MAX && c->epoch < VOLUME_EPOCH_MAX && c->used_count <= c->block_count &&
           c->inode_next >= VOLUME_ROOT_INO &&
           c->inode_next <= VOLUME_ROOT_INO + c->block_count * VOLUME_INODES_PER_BLOCK &&
           c->log_block < c->block_count && c->log_room <= c->block_count - c->log_block;
}

/* The newest checkpoint that verifies. */
static int checkpoint_find(struct volume *v, struct volume_checkpoint *ret_checkpoint, uint8_t ret_tag[16])
{
    struct volume_checkpoint *c = kmalloc(sizeof(*c));
    int result = -EUCLEAN;
    if (!c)
        return -ENOMEM;
    for (unsigned i = 0; i < VOLUME_CHECKPOINT_COUNT; i++) {
        uint8_t tag[16];
        int err = vol_slot_read(v, i, c, tag);
        if (err < 0 && err != -EBADMSG) {
            result = err;
            break;
        }
        if (err == 0 && c->header_generation > v->header.generation) { /* it was made under a newer header */
            result = -EKEYREVOKED;
            break;
        }
        if (err == 0 && checkpoint_valid(v, c) && (result < 0 || c->generation > ret_checkpoint->generation)) {
            *ret_checkpoint = *c;
            memcpy(ret_tag, tag, 16);
            result = 0;
        }
    }
    memory_wipe(c, sizeof(*c));
    kfree(c);
    return result;
}

static int state_load(struct volume *v, const struct volume_checkpoint *c)
{
    if (v->io->block_count(v->io->arg) < c->block_count)
        return -ENODATA;
    int err = vol_space_set(v, c->block_count);
    if (err == 0)
        err = epochs_init(v, c->epoch + 1);
    if (err < 0)
        return err;
    memcpy(v->salts[c->epoch], c->epoch_salt, sizeof(c->epoch_salt));
    v->generation = c->generation;
    v->sequence = c->sequence;
    v->used_count = c->used_count;
    v->log_block = c->log_block;
    v->log_room = c->log_room;
    v->inode_next = c->inode_next;
    v->inode_free = c->inode_free;
    v->inode_orphan = c->inode_orphan;
    v->inode_count = c->inode_count;
    v->acquired_base = c->acquired_base;
    v->acquired_sequence = c->acquired_sequence;
    static const uint8_t none[sizeof(v->anchor_secret)];
    memcpy(v->anchor_secret, c->anchor_secret, sizeof(v->anchor_secret));
    if (memcmp(v->anchor_secret, none, sizeof(none)) == 0)
        v->io->random(v->io->arg, v->anchor_secret, sizeof(v->anchor_secret));
    memcpy(v->hash_key, c->hash_key, sizeof(v->hash_key));
    v->old_master = c->old_master;
    v->rekey_epoch = c->rekey_epoch;
    for (unsigned i = 0; i < VOLUME_OBJECT_COUNT; i++) {
        v->objects[i].inode.root = c->roots[i].pointer;
        v->objects[i].inode.height = (uint8_t)c->roots[i].height;
    }
    return 0;
}

/* Salts of the epochs before this one. Each block of the table was last written in an epoch that a later block (or the
 * checkpoint) has: from the last to the first. */
static int epochs_load(struct volume *v, uint32_t epoch)
{
    uint64_t blocks = (epoch + EPOCHS_PER_BLOCK - 1) / EPOCHS_PER_BLOCK;
    while (blocks-- > 0) {
        struct vol_block *b;
        int err = vol_block_get(&v->objects[VOLUME_OBJECT_EPOCHS], 0, blocks, VOL_READ, &b);
        if (err < 0 || !b)
            return err < 0 ? err : -EUCLEAN;
        const struct volume_epoch *table = (const struct volume_epoch *)b->data;
        for (uint32_t i = 0; i < EPOCHS_PER_BLOCK; i++) {
            uint64_t e = blocks * EPOCHS_PER_BLOCK + i;
            if (e < epoch)
                memcpy(v->salts[e], table[i].salt, sizeof(table[i].salt));
        }
        vol_block_put(b);
    }
    return 0;
}

/* The epoch that ends with this mount joins the table. */
static int epoch_remember(struct volume *v, uint32_t epoch)
{
    struct vol_block *b;
    int err = vol_block_get(&v->objects[VOLUME_OBJECT_EPOCHS], 0, epoch / EPOCHS_PER_BLOCK, VOL_CREATE, &b);
    if (err < 0)
        return err;
    err = vol_block_dirty(b);
    if (err == 0)
        memcpy(((struct volume_epoch *)b->data)[epoch % EPOCHS_PER_BLOCK].salt, v->salts[epoch], 32);
    vol_block_put(b);
    return err;
}

/* Everything in memory as the disk has it: checkpoint, log, anchor. Nothing is written. */
static int state_recover(struct volume *v, uint32_t *ret_epoch, uint64_t *ret_held)
{
    struct volume_checkpoint *c = kmalloc(sizeof(*c));
    uint8_t tag[16];
    int err = c ? checkpoint_find(v, c, tag) : -ENOMEM;
    if (err == 0)
        err = state_load(v, c);
    if (err == 0)
        err = epochs_load(v, c->epoch);
    if (err == 0 && v->options.rekey && v->rekey_epoch == 0)
        vol_rekey_begin(v, c->epoch + 1);
    if (err == 0)
        err = epoch_begin(v, c->epoch + 1);
    if (err == 0)
        err = vol_snapshots_load(v);
    if (err == 0 && v->options.snapshot)
        err = vol_snapshot_show(v, v->options.snapshot);
    else if (err == 0)
        err = vol_replay(v, tag, c->epoch);
    if (err == 0)
        err = vol_anchor_check(v, c, ret_held);
    if (err == 0)
        *ret_epoch = c->epoch;
    if (c)
        memory_wipe(c, sizeof(*c));
    kfree(c);
    return err;
}

/* A checkpoint of this mount's own epoch; only then is the anchor ours, and anything answered. */
static int take_over(struct volume *v, uint32_t old_epoch, uint64_t held)
{
    v->sequence = 0;
    vol_anchor_prepare(v, held);
    bool begins = v->rekey_epoch == v->epoch;
    int err = begins ? vol_rekey_prepare(v) : vol_rekey_clean(v);
    if (err == 0)
        err = epoch_remember(v, old_epoch);
    if (err == 0)
        err = vol_orphans_destroy(v);
    if (err == 0)
        err = vol_checkpoint(v);
    if (err == 0 && begins)
        err = vol_rekey_commit(v);
    return err < 0 ? err : vol_anchor_acquire(v, held);
}

int volume_mount(const struct volume_io *io, const struct volume_options *options, volume_unlock_fn unlock,
                 void *unlock_arg, struct volume **ret_volume)
{
    if (options->snapshot && (!options->read_only || options->freshness != VOLUME_FRESH_NONE))
        return -EINVAL;
    struct volume *v = volume_new(io, options);
    uint64_t held = 0;
    uint32_t epoch = 0;
    if (!v)
        return -ENOMEM;
    int err = vol_header_read(io, unlock, unlock_arg, &v->header, &v->master);
    if (err == 0 && v->header.features.ro_compat & ~VOLUME_RO_COMPAT_KNOWN)
        v->options.read_only = true;
    if (err == 0)
        err = state_recover(v, &epoch, &held);
    if (err == 0 && !v->options.read_only)
        err = take_over(v, epoch, held);
    if (err == 0 && v->failed)
        err = v->failed;
    v->options.rekey = NULL;
    if (err < 0)
        volume_abandon(v);
    else
        *ret_volume = v;
    return err;
}

int volume_unmount(struct volume *v)
{
    if (!v)
        return 0;
    int err = v->options.read_only ? 0 : volume_checkpoint(v);
    if (err == 0)
        err = volume_anchor(v);
    volume_abandon(v);
    return err;
}

void volume_get_info(struct volume *v, struct volume_info *ret_info)
{
    uint64_t taken = v->dirty_count + v->reserve, free = vol_allocatable(v) + v->pending_count[0] + v->pending_count[1];
    *ret_info = (struct volume_info){.features = v->header.features,
                                     .rekeying = v->rekey_epoch != 0,
                                     .rekey_inode = v->rekey_next,
                                     .inode_last = v->inode_next,
                                     .block_count = v->block_count,
                                     .used_count = v->used_count,
                                     .free_count = free > taken ? free - taken : 0,
                                     .inode_count = v->inode_count,
                                     .generation = v->generation,
                                     .sequence = v->sequence,
                                     .durable_sequence = v->durable,
                                     .anchored_sequence = v->anchored,
                                     .epoch = v->epoch,
                                     .snapshot_count = v->snapshot_count,
                                     .log_block_count = v->log_used,
                                     .replayed_records = v->replayed};
    memcpy(ret_info->uuid, v->header.uuid, sizeof(ret_info->uuid));
}

/*
 * A new master key. It begins with a mount: the new epoch, and so all that is written from then on, is under the new
 * key; the old one stays, sealed in the checkpoint, for what was written before. Step by step everything of an older
 * epoch is made dirty, so that checkpoints write it anew. When nothing is left the old key is forgotten.
 *
 * The change itself, each part durable before the next:
 *   1. key slots of the new key, in free entries beside the old ones;
 *   2. the mount's checkpoint, under the new key; under the old one it does not exist;
 *   3. the header, under the new key: from here on this is the volume;
 *   4. slots of another generation than the header's key go. A mount for writing does that too, after a crash.
 */
#include "kernel/volume/recovery.h"

#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

/* ---- key slots ---- */

static uint32_t slot_generation(const struct volume_key_slot *slot)
{
    return slot->master_generation ? slot->master_generation : 1;
}

static struct volume_key_slot *slots_read(struct volume *v, int *ret_error)
{
    struct volume_key_slot *slots = kmalloc(VOLUME_KEY_COUNT * sizeof(*slots));
    *ret_error = slots ? volume_key_list(v->io, slots) : -ENOMEM;
    return slots;
}

/* Slots of another key than that of this generation are emptied. The number of those that were. */
static unsigned slots_drop(struct volume_key_slot *slots, uint32_t generation)
{
    unsigned count = 0;
    for (unsigned i = 0; i < VOLUME_KEY_COUNT; i++)
        if (slots[i].type != VOLUME_KEY_EMPTY && slot_generation(&slots[i]) != generation) {
            memset(&slots[i], 0, sizeof(slots[i]));
            count++;
        }
    return count;
}

static int slots_write(struct volume *v, const struct volume_key_slot *slots)
{
    return v->io->write(v->io->arg, VOLUME_KEY_BLOCK, VOLUME_KEY_COUNT * sizeof(*slots) / VOLUME_BLOCK_SIZE, slots,
                        true);
}

int vol_rekey_clean(struct volume *v)
{
    int err;
    if (!(v->header.features.incompat & VOLUME_INCOMPAT_REKEYED))
        return 0;
    struct volume_key_slot *slots = slots_read(v, &err);
    if (err == 0 && slots_drop(slots, v->master.generation) > 0)
        err = slots_write(v, slots);
    kfree(slots);
    return err;
}

/* The wrapping key of a slot for the new master key; the slot of a recovery key is made anew. -ENOKEY: not to be had.
 */
static int rewrap(struct volume *v, const struct volume_rekey *rekey, struct volume_key_slot *slot, uint8_t ret_key[32])
{
    char name[sizeof(slot->name)];
    int err = rekey->unlock(rekey->arg, slot, ret_key);
    if (err == 0 && vol_key_slot_fits(slot, ret_key, &v->old_master))
        return 0;
    if (err < 0 && err != -ENOKEY)
        return err;
    if (slot->type != VOLUME_KEY_RECOVERY || slot->params_size != sizeof(struct volume_recovery_params))
        return -ENOKEY;
    struct volume_recovery_params params;
    uint8_t fresh[RECOVERY_KEY_SIZE];
    memcpy(&params, slot->params, sizeof(params));
    memcpy(name, slot->name, sizeof(name));
    v->io->random(v->io->arg, fresh, sizeof(fresh));
    err = volume_recovery_new(params.recipient, fresh, slot, ret_key);
    memcpy(slot->name, name, sizeof(name));
    return err == -EINVAL ? -ENOKEY : err;
}

static int slots_add(struct volume *v, const struct volume_rekey *rekey, struct volume_key_slot *slots)
{
    struct volume_key_slot *fresh = kmalloc(sizeof(*fresh));
    unsigned made = 0, lost = 0, to = 0;
    int err = fresh ? 0 : -ENOMEM;
    for (unsigned i = 0; err == 0 && i < VOLUME_KEY_COUNT; i++) {
        uint8_t key[32];
        if (slots[i].type == VOLUME_KEY_EMPTY || slot_generation(&slots[i]) != v->old_master.generation)
            continue;
        *fresh = slots[i];
        err = rewrap(v, rekey, fresh, key);
        if (err == -ENOKEY) {
            lost++;
            err = 0;
            continue;
        }
        while (to < VOLUME_KEY_COUNT && slots[to].type != VOLUME_KEY_EMPTY)
            to++;
        if (err == 0 && to == VOLUME_KEY_COUNT)
            err = -EXFULL;
        if (err == 0) {
            fresh->master_generation = v->master.generation;
            v->io->random(v->io->arg, fresh->salt, sizeof(fresh->salt));
            vol_key_slot_seal(fresh, v->header.uuid, &v->master, key);
            slots[to] = *fresh;
            made++;
        }
        memory_wipe(key, sizeof(key));
    }
    kfree(fresh);
    if (err == 0 && (made == 0 || (lost > 0 && !rekey->drop)))
        err = -EACCES;
    return err;
}

/* ---- the change ---- */

void vol_rekey_begin(struct volume *v, uint32_t epoch)
{
    v->old_master = v->master;
    v->io->random(v->io->arg, v->master.key, sizeof(v->master.key));
    v->master.generation++;
    v->rekey_epoch = epoch;
}

int vol_rekey_prepare(struct volume *v)
{
    int err;
    if (v->snapshot_count > 0)
        return -EADDRINUSE; /* their blocks cannot move */
    struct volume_key_slot *slots = slots_read(v, &err);
    if (err == 0) {
        slots_drop(slots, v->old_master.generation); /* of an attempt that came to nothing */
        err = slots_add(v, v->options.rekey, slots);
    }
    if (err == 0)
        err = slots_write(v, slots);
    kfree(slots);
    if (err < 0)
        return err;
    vol_header_feature_set(&v->header, VOLUME_INCOMPAT_REKEYED, "rekeyed");
    v->header.generation++;
    vol_header_seal(&v->header, &v->master);
    return 0;
}

int vol_rekey_commit(struct volume *v)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < VOLUME_HEADER_COUNT; i++)
        err = v->io->write(v->io->arg, VOLUME_HEADER_BLOCK + i, 1, &v->header, true);
    return err < 0 ? err : vol_rekey_clean(v);
}

/* ---- all that is under the old key ---- */

static bool is_old(const struct volume *v, const struct volume_pointer *pointer)
{
    return pointer->where != 0 && VOLUME_WHERE_EPOCH(pointer->where) < v->rekey_epoch;
}

/* 1: the budget is spent. */
static int block_renew(struct volume_node *node, unsigned level, uint64_t index, void *arg)
{
    uint64_t *budget = arg;
    const struct vol_block *b = vol_block_find(node, level, index);
    if (b && b->dirty)
        return 0; /* on its way */
    if (*budget == 0)
        return 1;
    --*budget;
    return vol_block_renew(node, level, index);
}

/* 0: all of it is new or on its way; 1: the budget is spent. */
static int inodes_renew(struct volume *v, uint64_t *budget)
{
    const struct vol_renewal renewal = {is_old, block_renew, budget};
    for (; v->rekey_next < v->inode_next; v->rekey_next++) {
        int err = vol_number_renew(v, v->rekey_next, &renewal);
        if (err != 0)
            return err;
    }
    return 0;
}

/* Everything but the objects is new: they, and then the old key goes. */
static int finish(struct volume *v)
{
    uint64_t all = UINT64_MAX;
    const struct vol_renewal renewal = {is_old, block_renew, &all};
    int err = vol_checkpoint(v);
    for (unsigned i = 0; err == 0 && i < VOLUME_OBJECT_COUNT; i++)
        err = vol_node_renew(&v->objects[i], &renewal);
    if (err == 0)
        err = vol_checkpoint(v);
    if (err < 0)
        return err;
    for (uint32_t e = 0; e < v->rekey_epoch; e++) {
        if (v->keys[e])
            memory_wipe(v->keys[e], sizeof(*v->keys[e]));
        kfree(v->keys[e]);
        v->keys[e] = NULL;
    }
    v->rekey_epoch = 0;
    memory_wipe(&v->old_master, sizeof(v->old_master));
    for (unsigned i = 0; err == 0 && i < VOLUME_CHECKPOINT_COUNT; i++)
        err = vol_checkpoint(v); /* over every slot that still has the old key in it */
    return err;
}

int volume_rekey_step(struct volume *v, uint64_t budget)
{
    if (v->failed || v->options.read_only)
        return v->failed ? v->failed : -EROFS;
    if (v->rekey_epoch == 0)
        return 0;
    int err = inodes_renew(v, &budget);
    return err == 0 ? finish(v) : err;
}

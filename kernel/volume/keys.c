/*
 * Keys: a slot's wrapping key opens the master key; from it come the key of the header's HMAC, of each checkpoint slot
 * and of each epoch. Salts are random, so no two of these keys are ever the same, whatever is copied or put back.
 */
#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/hmac.h"
#include "kernel/crypto/secret.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

static const uint8_t zero_nonce[AES_GCM_NONCE_SIZE], zero_salt[32];

void vol_key_derive(const struct volume_master *master, const uint8_t uuid[16], const char *label,
                    const uint8_t salt[32], uint8_t ret_key[32])
{
    uint8_t info[16 + 32] = {0};
    memcpy(info, uuid, 16);
    string_copy((char *)info + 16, label, 32);
    hkdf_sha256(master->key, sizeof(master->key), salt, 32, info, sizeof(info), ret_key, 32);
}

/* The key that seals the master key in a slot: the wrapping key may be low-entropy's stretched form or a CPU's key. */
static void slot_key(const struct volume_key_slot *slot, const uint8_t key[32], struct aes_gcm_key *ret_key)
{
    static const char info[] = "cofre volume key slot";
    uint8_t bytes[32];
    hkdf_sha256(key, 32, slot->salt, sizeof(slot->salt), info, sizeof(info) - 1, bytes, sizeof(bytes));
    aes_gcm_key_init(ret_key, bytes);
    memory_wipe(bytes, sizeof(bytes));
}

void vol_key_slot_seal(struct volume_key_slot *slot, const uint8_t uuid[16], const struct volume_master *master,
                       const uint8_t key[32])
{
    struct aes_gcm_key gcm;
    memcpy(slot->uuid, uuid, 16);
    slot_key(slot, key, &gcm);
    aes_gcm_seal(&gcm, zero_nonce, slot, offsetof(struct volume_key_slot, tag), master, sizeof(*master), slot->master,
                 slot->tag);
    memory_wipe(&gcm, sizeof(gcm));
}

static int slot_open(const struct volume_key_slot *slot, const uint8_t key[32], struct volume_master *ret_master)
{
    struct aes_gcm_key gcm;
    slot_key(slot, key, &gcm);
    int err = aes_gcm_open(&gcm, zero_nonce, slot, offsetof(struct volume_key_slot, tag), slot->master,
                           sizeof(*ret_master), slot->tag, ret_master);
    memory_wipe(&gcm, sizeof(gcm));
    return err;
}

bool vol_key_slot_fits(const struct volume_key_slot *slot, const uint8_t key[32], const struct volume_master *master)
{
    struct volume_master found;
    bool fits = slot_open(slot, key, &found) == 0 && memory_equal_ct(found.key, master->key, sizeof(found.key));
    memory_wipe(&found, sizeof(found));
    return fits;
}

static void header_hmac(const struct volume_header *header, const struct volume_master *master, uint8_t ret_hmac[32])
{
    uint8_t key[32];
    vol_key_derive(master, header->uuid, "header", zero_salt, key);
    hmac_sha256(key, sizeof(key), header, offsetof(struct volume_header, hmac), ret_hmac);
    memory_wipe(key, sizeof(key));
}

void vol_header_seal(struct volume_header *header, const struct volume_master *master)
{
    header_hmac(header, master, header->hmac);
}

static void name_add(struct volume_header *header, const char *name)
{
    char *names = header->feature_names;
    size_t used = strlen(names), room = sizeof(header->feature_names) - used;
    if (used > 0 && strlen(name) + 2 < room)
        string_copy(names + used, ", ", room);
    used = strlen(names);
    string_copy(names + used, name, sizeof(header->feature_names) - used);
}

void vol_header_feature_set(struct volume_header *header, uint64_t incompat, const char *name)
{
    if ((header->features.incompat & incompat) == incompat)
        return;
    header->features.incompat |= incompat;
    name_add(header, name);
}

static bool all_zero(const void *p, size_t size)
{
    const uint8_t *bytes = p;
    uint8_t all = 0;
    for (size_t i = 0; i < size; i++)
        all |= bytes[i];
    return all == 0;
}

/* What can be said of a header without a key. */
static int header_check(const struct volume_header *h)
{
    if (memcmp(h->magic, VOLUME_MAGIC, sizeof(h->magic)) != 0)
        return -EINVAL;
    if (h->version != VOLUME_VERSION || h->block_size != VOLUME_BLOCK_SIZE || h->aead != VOLUME_AEAD_AES_256_GCM)
        return -EOPNOTSUPP;
    if (h->features.incompat & ~VOLUME_INCOMPAT_KNOWN)
        return -EOPNOTSUPP;
    return all_zero(h->reserved, sizeof(h->reserved)) ? 0 : -EOPNOTSUPP;
}

static bool header_verify(const struct volume_header *header, const struct volume_master *master)
{
    uint8_t hmac[32];
    header_hmac(header, master, hmac);
    return memory_equal_ct(hmac, header->hmac, sizeof(hmac));
}

static int master_find(const struct volume_key_slot *slots, const struct volume_header *header, volume_unlock_fn unlock,
                       void *arg, struct volume_master *ret_master)
{
    int result = -ENOKEY;
    for (unsigned i = 0; i < VOLUME_KEY_COUNT; i++) {
        uint8_t key[32];
        if (slots[i].type == VOLUME_KEY_EMPTY || slots[i].params_size > VOLUME_KEY_PARAMS_SIZE ||
            memcmp(slots[i].uuid, header->uuid, sizeof(header->uuid)) != 0)
            continue;
        int err = unlock(arg, &slots[i], key);
        if (err == 0 &&
            slot_open(&slots[i], key, ret_master) == 0) /* while a key is replaced there are slots of both */
            result = header_verify(header, ret_master) ? 0 : -EKEYREJECTED;
        memory_wipe(key, sizeof(key));
        if (result == 0 || (err < 0 && err != -ENOKEY))
            return result == 0 ? 0 : err;
    }
    return result;
}

int volume_key_list(const struct volume_io *io, struct volume_key_slot *ret_slots)
{
    return io->read(io->arg, VOLUME_KEY_BLOCK, VOLUME_KEY_COUNT * sizeof(*ret_slots) / VOLUME_BLOCK_SIZE, ret_slots);
}

struct header_buffer {
    struct volume_header copies[VOLUME_HEADER_COUNT];
    struct volume_key_slot slots[VOLUME_KEY_COUNT];
};

static int header_choose(struct header_buffer *b, volume_unlock_fn unlock, void *arg, struct volume_header *ret_header,
                         struct volume_master *ret_master)
{
    int result = -EINVAL;
    ret_header->generation = 0;
    for (unsigned i = 0; i < VOLUME_HEADER_COUNT; i++) {
        const struct volume_header *h = &b->copies[i];
        struct volume_master master;
        int err = header_check(h);
        if (err == 0)
            err = master_find(b->slots, h, unlock, arg, &master);
        if (err == 0 && h->generation > ret_header->generation) {
            *ret_header = *h;
            *ret_master = master;
        }
        memory_wipe(&master, sizeof(master));
        if (err == 0 || (result != 0 && err != -EINVAL))
            result = result == 0 ? 0 : err;
    }
    return result == 0 && ret_header->generation == 0 ? -EKEYREJECTED : result;
}

int vol_header_read(const struct volume_io *io, volume_unlock_fn unlock, void *arg, struct volume_header *ret_header,
                    struct volume_master *ret_master)
{
    struct header_buffer *b = kmalloc(sizeof(*b));
    if (!b)
        return -ENOMEM;
    int err = io->block_count(io->arg) < VOLUME_HEADER_COUNT ? -EINVAL : 0;
    if (err == 0)
        err = io->read(io->arg, VOLUME_HEADER_BLOCK, VOLUME_HEADER_COUNT, b->copies);
    if (err == 0 && io->block_count(io->arg) < VOLUME_BLOCKS_MIN)
        err = header_check(&b->copies[0]) == -EINVAL ? -EINVAL : -ENODATA;
    if (err == 0)
        err = volume_key_list(io, b->slots);
    if (err == 0)
        err = header_choose(b, unlock, arg, ret_header, ret_master);
    kfree(b);
    return err;
}

static int key_slots_write(const struct volume_io *io, const struct volume_key_slot *slots)
{
    return io->write(io->arg, VOLUME_KEY_BLOCK, VOLUME_KEY_COUNT * sizeof(*slots) / VOLUME_BLOCK_SIZE, slots, true);
}

int volume_key_add(const struct volume_io *io, volume_unlock_fn unlock, void *unlock_arg,
                   const struct volume_key_slot *slot, const uint8_t key[32])
{
    struct volume_header *header = kmalloc(sizeof(*header));
    struct volume_key_slot *slots = kmalloc(VOLUME_KEY_COUNT * sizeof(*slots));
    struct volume_master master;
    int err = header && slots ? vol_header_read(io, unlock, unlock_arg, header, &master) : -ENOMEM;
    if (err == 0)
        err = volume_key_list(io, slots);
    if (err == 0) {
        unsigned i = 0;
        while (i < VOLUME_KEY_COUNT && slots[i].type != VOLUME_KEY_EMPTY)
            i++;
        err = i < VOLUME_KEY_COUNT ? 0 : -ENOSPC;
        if (err == 0) {
            slots[i] = *slot;
            io->random(io->arg, slots[i].salt, sizeof(slots[i].salt));
            slots[i].master_generation = master.generation > 1 ? master.generation : 0;
            vol_key_slot_seal(&slots[i], header->uuid, &master, key);
            err = key_slots_write(io, slots);
        }
        memory_wipe(&master, sizeof(master));
    }
    kfree(slots);
    kfree(header);
    return err;
}

int volume_key_remove(const struct volume_io *io, unsigned slot_index)
{
    struct volume_key_slot *slots = kmalloc(VOLUME_KEY_COUNT * sizeof(*slots));
    int err = slots ? volume_key_list(io, slots) : -ENOMEM;
    if (err == 0) {
        unsigned used = 0;
        for (unsigned i = 0; i < VOLUME_KEY_COUNT; i++)
            used += slots[i].type != VOLUME_KEY_EMPTY;
        if (slot_index >= VOLUME_KEY_COUNT || slots[slot_index].type == VOLUME_KEY_EMPTY)
            err = -ENOENT;
        else if (used == 1)
            err = -EPERM;
    }
    if (err == 0) {
        memset(&slots[slot_index], 0, sizeof(slots[slot_index]));
        err = key_slots_write(io, slots);
    }
    kfree(slots);
    return err;
}

static const struct volume_master *epoch_master(const struct volume *v, uint32_t epoch)
{
    return epoch < v->rekey_epoch ? &v->old_master : &v->master;
}

void vol_log_key(struct volume *v, uint32_t epoch, struct aes_gcm_key *ret_key)
{
    uint8_t bytes[32];
    vol_key_derive(epoch_master(v, epoch), v->header.uuid, "epoch log", v->salts[epoch], bytes);
    aes_gcm_key_init(ret_key, bytes);
    memory_wipe(bytes, sizeof(bytes));
}

/* v->salts and v->keys have room for it. */
int vol_epoch_begin(struct volume *v, uint32_t epoch)
{
    v->epoch = epoch;
    v->nonce = 0;
    v->io->random(v->io->arg, v->salts[epoch], 32);
    vol_log_key(v, epoch, &v->log_key);
    return 0;
}

int vol_epoch_key(struct volume *v, uint32_t epoch, const struct aes_gcm_key **ret_key)
{
    if (epoch > v->epoch)
        return -EIO;
    if (!v->keys[epoch]) {
        struct vol_epoch_key *key = kmalloc(sizeof(*key));
        uint8_t bytes[32];
        if (!key)
            return -ENOMEM;
        vol_key_derive(epoch_master(v, epoch), v->header.uuid, "epoch blocks", v->salts[epoch], bytes);
        aes_gcm_key_init(&key->key, bytes);
        memory_wipe(bytes, sizeof(bytes));
        v->keys[epoch] = key;
    }
    *ret_key = &v->keys[epoch]->key;
    return 0;
}

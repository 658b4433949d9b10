/*
 * A volume's local anchor (contract in volume_anchor.h). Two blocks, written in turn, so that one that was cut short
 * leaves the other. What they say is no secret: they are authenticated, not encrypted.
 */
#include "kernel/fs/volume_anchor.h"

#include <linux/errno.h>

#include "kernel/crypto/hmac.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define ANCHOR_MAGIC 0x4843414dU /* "MACH" */
#define ANCHOR_VERSION 2

struct anchor_block {
    uint32_t magic, version;
    uint8_t uuid[16];
    uint64_t counter; /* the block with the higher one counts */
    uint64_t value;
    uint16_t isvsvn;
    uint8_t cpusvn[16];
    uint8_t reserved[VOLUME_IO_BLOCK - 90];
    uint8_t hmac[32]; /* of all before */
} __attribute__((packed));
_Static_assert(sizeof(struct anchor_block) == VOLUME_IO_BLOCK, "a block");

static int block_hmac(const struct volume_local_anchor *a, const struct anchor_block *block, uint8_t ret_hmac[32])
{
    uint8_t keyid[32] = {0}, key[32];
    struct sgx_svn svn = {.isvsvn = block->isvsvn};
    memcpy(svn.cpusvn, block->cpusvn, sizeof(svn.cpusvn));
    memcpy(keyid, block->uuid, sizeof(block->uuid));
    int error = sgx_seal_key_256(a->policy, keyid, &svn, "cofre volume anchor", key);
    if (error == 0)
        hmac_sha256(key, sizeof(key), block, offsetof(struct anchor_block, hmac), ret_hmac);
    memory_wipe(key, sizeof(key));
    return error;
}

static bool block_valid(const struct volume_local_anchor *a, const struct anchor_block *block, const uint8_t uuid[16])
{
    uint8_t hmac[32];
    return block->magic == ANCHOR_MAGIC && block->version == ANCHOR_VERSION && memcmp(block->uuid, uuid, 16) == 0 &&
           block_hmac(a, block, hmac) == 0 && memory_equal_ct(hmac, block->hmac, sizeof(hmac));
}

static bool all_zero(const void *p, size_t size)
{
    const uint64_t *words = p;
    uint64_t all = 0;
    for (size_t i = 0; i < size / 8; i++)
        all |= words[i];
    return all == 0;
}

/* An empty file says 0; one where neither block verifies is no anchor of this volume. */
static int anchor_read(struct volume_local_anchor *a, const uint8_t uuid[16], uint64_t *ret_value)
{
    struct anchor_block *blocks = kmalloc(VOLUME_ANCHOR_BLOCKS * sizeof(*blocks));
    if (!blocks)
        return -ENOMEM;
    int error = volume_disk_anchor_read(a->disk, blocks);
    *ret_value = 0;
    a->counter = 0;
    if (error == 0 && !all_zero(blocks, VOLUME_ANCHOR_BLOCKS * sizeof(*blocks))) {
        error = -ESTALE;
        for (unsigned i = 0; i < VOLUME_ANCHOR_BLOCKS; i++) {
            if (!block_valid(a, &blocks[i], uuid) || blocks[i].counter % VOLUME_ANCHOR_BLOCKS != i ||
                blocks[i].counter <= a->counter)
                continue;
            a->counter = blocks[i].counter;
            *ret_value = blocks[i].value;
            error = 0;
        }
    }
    kfree(blocks);
    return error;
}

static int anchor_write(struct volume_local_anchor *a, const uint8_t uuid[16], uint64_t value)
{
    struct anchor_block *block = kzalloc(sizeof(*block));
    struct sgx_svn svn;
    if (!block)
        return -ENOMEM;
    sgx_svn_current(&svn);
    block->magic = ANCHOR_MAGIC;
    block->version = ANCHOR_VERSION;
    memcpy(block->uuid, uuid, sizeof(block->uuid));
    block->counter = a->counter + 1;
    block->value = value;
    block->isvsvn = svn.isvsvn;
    memcpy(block->cpusvn, svn.cpusvn, sizeof(block->cpusvn));
    int error = block_hmac(a, block, block->hmac);
    if (error == 0)
        error = volume_disk_anchor_write(a->disk, block->counter % VOLUME_ANCHOR_BLOCKS, block);
    if (error == 0)
        a->counter = block->counter;
    kfree(block);
    return error;
}

/* The file's lock and the volume's keep others out: nothing comes between the look at it and its change. */
static int anchor_raise(void *arg, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                        uint64_t *ret_previous)
{
    int error = anchor_read(arg, key->uuid, ret_previous);
    if (error < 0 || value <= *ret_previous || (expected != VOLUME_ANCHOR_ANY && expected != *ret_previous))
        return error;
    return anchor_write(arg, key->uuid, value);
}

void volume_local_anchor_init(struct volume_local_anchor *a, struct volume_disk *disk, enum sgx_seal_policy policy)
{
    *a = (struct volume_local_anchor){.anchor = {a, anchor_raise}, .disk = disk, .policy = policy};
}

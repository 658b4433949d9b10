/*
 * What the targets on volumes share: cryptography that agrees with everything, a disk in memory, and a walk through all
 * that a volume says it holds.
 */
#ifndef COFRE_FUZZ_VOLUME_FAKE_H
#define COFRE_FUZZ_VOLUME_FAKE_H

#include <linux/errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/agreeing_cipher.h"
#include "kernel/crypto/aes_cmac.h"
#include "kernel/crypto/hmac.h"
#include "kernel/crypto/x25519.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/volume/volume.h"

#define BLOCKS 2048
#define BLOCK VOLUME_BLOCK_SIZE
#define VISITS_MAX 200

void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, uint8_t ret_mac[HMAC_SHA256_SIZE])
{
    memset(ret_mac, 0, HMAC_SHA256_SIZE);
}
void x25519(const uint8_t scalar[X25519_SIZE], const uint8_t u[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    memset(ret_u, 1, X25519_SIZE);
}
void x25519_public(const uint8_t scalar[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    memset(ret_u, 2, X25519_SIZE);
}
void sha256_init(struct sha256 *ctx)
{
}
void sha256_update(struct sha256 *ctx, const void *data, size_t size)
{
}
void sha256_final(struct sha256 *ctx, uint8_t ret_digest[32])
{
    memset(ret_digest, 0, 32);
}
void aes_cmac(const uint8_t key[16], const void *data, size_t size, uint8_t ret_mac[16])
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < size; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3ULL;
    memset(ret_mac, 0, 16);
    memcpy(ret_mac, &h, sizeof(h));
}
void panic_at(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, format);
    abort();
}

static uint8_t disk[BLOCKS * BLOCK];

static int disk_read(void *arg, uint64_t block, uint64_t count, void *buf)
{
    if (block >= BLOCKS || count > BLOCKS - block)
        return -EIO;
    memcpy(buf, disk + block * BLOCK, count * BLOCK);
    return 0;
}
static int disk_write(void *arg, uint64_t block, uint64_t count, const void *buf, bool durable)
{
    if (block >= BLOCKS || count > BLOCKS - block)
        abort(); /* nothing that a volume holds may lead a write out of it */
    memcpy(disk + block * BLOCK, buf, count * BLOCK);
    return 0;
}
static int disk_flush(void *arg)
{
    return 0;
}
static uint64_t disk_block_count(void *arg)
{
    return BLOCKS;
}
static void disk_random(void *arg, void *buf, size_t size)
{
    memset(buf, 'R', size);
}
static struct timespec_ns disk_now(void *arg)
{
    return (struct timespec_ns){1, 0};
}
static const struct volume_io io = {NULL, disk_read, disk_write, disk_flush, disk_block_count, disk_random, disk_now};

static int unlock(void *arg, const struct volume_key_slot *slot, uint8_t ret_key[32])
{
    memset(ret_key, 0, 32);
    return 0;
}

static struct volume *mount(bool read_only)
{
    struct volume_options options = {.read_only = read_only, .cache_size = 512 << 10};
    struct volume *v = NULL;
    return volume_mount(&io, &options, unlock, NULL, &v) == 0 ? v : NULL;
}

struct walk {
    struct volume *v;
    unsigned visits;
    int depth;
};
static void visit(struct walk *w, uint64_t ino);

static bool visit_entry(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    struct walk *w = arg;
    if (size == 0 || size > VOLUME_NAME_MAX)
        abort();
    if (next_pos > 2 && w->depth < 5)
        visit(w, ino);
    return w->visits < VISITS_MAX;
}

static void visit(struct walk *w, uint64_t ino)
{
    static char buf[16384];
    struct volume_node *node;
    w->visits++;
    if (volume_node_get(w->v, ino, &node) < 0)
        return;
    const struct volume_inode *i = volume_node_inode(node);
    int64_t pos = 0;
    w->depth++;
    if (volume_readdir(node, &pos, visit_entry, w) == 0 || volume_readlink(node, buf, sizeof(buf)) >= 0)
        pos = 0;
    if (volume_read(node, 0, buf, sizeof(buf)) >= 0 && i->size > 5000)
        pos = volume_read(node, i->size - 5000, buf, sizeof(buf)) + volume_seek(node, 0, true);
    if (volume_listxattr(node, buf, sizeof(buf)) > 0)
        pos = volume_getxattr(node, buf, buf, sizeof(buf));
    w->depth--;
    volume_node_put(node);
}

#endif

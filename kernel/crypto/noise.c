/* Noise_IK_25519_AESGCM_SHA256, the initiator (contract in noise.h). Names in comments are the specification's. */
#include "kernel/crypto/noise.h"

#include <linux/errno.h>

#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/secret.h"
#include "kernel/crypto/sha256.h"
#include "kernel/lib/string.h"

static void mix_hash(struct noise_handshake *h, const void *data, size_t size)
{
    struct sha256 sha;
    sha256_init(&sha);
    sha256_update(&sha, h->hash, sizeof(h->hash));
    sha256_update(&sha, data, size);
    sha256_final(&sha, h->hash);
}

/* HKDF(chaining_key, input, 2): what the specification defines is RFC 5869 with the chaining key as salt, no info. */
static void derive(const struct noise_handshake *h, const void *input, size_t size, uint8_t ret_keys[64])
{
    hkdf_sha256(input, size, h->chaining, sizeof(h->chaining), "", 0, ret_keys, 64);
}

/* MixKey(DH(private, public)) */
static void mix_key(struct noise_handshake *h, const uint8_t private[X25519_SIZE], const uint8_t public[X25519_SIZE])
{
    uint8_t shared[X25519_SIZE], keys[64];
    x25519(private, public, shared);
    derive(h, shared, sizeof(shared), keys);
    memcpy(h->chaining, keys, sizeof(h->chaining));
    aes_gcm_key_init(&h->key, keys + 32);
    h->nonce = 0;
    memory_wipe(shared, sizeof(shared));
    memory_wipe(keys, sizeof(keys));
}

static void nonce_bytes(uint64_t nonce, uint8_t ret_bytes[AES_GCM_NONCE_SIZE])
{
    uint64_t big_endian = __builtin_bswap64(nonce);
    memset(ret_bytes, 0, 4);
    memcpy(ret_bytes + 4, &big_endian, sizeof(big_endian));
}

/* EncryptAndHash; out is size + AES_GCM_TAG_SIZE. */
static void encrypt_and_hash(struct noise_handshake *h, const void *plain, size_t size, uint8_t *out)
{
    uint8_t nonce[AES_GCM_NONCE_SIZE];
    nonce_bytes(h->nonce++, nonce);
    aes_gcm_seal(&h->key, nonce, h->hash, sizeof(h->hash), plain, size, out, out + size);
    mix_hash(h, out, size + AES_GCM_TAG_SIZE);
}

void noise_begin(struct noise_handshake *h, const char *prologue, const uint8_t own[X25519_SIZE],
                 const uint8_t responder_public[X25519_SIZE], const uint8_t ephemeral[X25519_SIZE],
                 uint8_t ret_hello[NOISE_HELLO_SIZE])
{
    static const char name[32] = "Noise_IK_25519_AESGCM_SHA256"; /* shorter than a hash: filled with zeros */
    uint8_t *sealed_static = ret_hello + X25519_SIZE;
    memcpy(h->hash, name, sizeof(h->hash));
    memcpy(h->chaining, h->hash, sizeof(h->chaining));
    memcpy(h->own, own, sizeof(h->own));
    memcpy(h->ephemeral, ephemeral, sizeof(h->ephemeral));
    x25519_public(own, h->own_public);
    mix_hash(h, prologue, strlen(prologue));
    mix_hash(h, responder_public, X25519_SIZE);
    x25519_public(ephemeral, ret_hello); /* e */
    mix_hash(h, ret_hello, X25519_SIZE);
    mix_key(h, ephemeral, responder_public);                                    /* es */
    encrypt_and_hash(h, h->own_public, X25519_SIZE, sealed_static);             /* s */
    mix_key(h, own, responder_public);                                          /* ss */
    encrypt_and_hash(h, "", 0, sealed_static + X25519_SIZE + AES_GCM_TAG_SIZE); /* no payload: it could be replayed */
}

/* Split() */
static void split(struct noise_handshake *h, struct noise_channel *ret_channel)
{
    uint8_t keys[64];
    derive(h, "", 0, keys);
    aes_gcm_key_init(&ret_channel->send, keys);
    aes_gcm_key_init(&ret_channel->receive, keys + 32);
    ret_channel->sent = ret_channel->received = 0;
    memcpy(ret_channel->hash, h->hash, sizeof(ret_channel->hash));
    memory_wipe(keys, sizeof(keys));
}

int noise_finish(struct noise_handshake *h, const uint8_t answer[NOISE_ANSWER_SIZE], struct noise_channel *ret_channel)
{
    uint8_t nonce[AES_GCM_NONCE_SIZE], none[1];
    mix_hash(h, answer, X25519_SIZE); /* e */
    mix_key(h, h->ephemeral, answer); /* ee */
    mix_key(h, h->own, answer);       /* se */
    nonce_bytes(h->nonce, nonce);
    int error =
        aes_gcm_open(&h->key, nonce, h->hash, sizeof(h->hash), answer + X25519_SIZE, 0, answer + X25519_SIZE, none);
    if (error == 0) {
        mix_hash(h, answer + X25519_SIZE, AES_GCM_TAG_SIZE);
        split(h, ret_channel);
    }
    memory_wipe(h, sizeof(*h));
    return error;
}

void noise_seal(struct noise_channel *c, const void *plain, size_t size, void *ret_cipher)
{
    uint8_t nonce[AES_GCM_NONCE_SIZE], *cipher = ret_cipher;
    nonce_bytes(c->sent++, nonce);
    aes_gcm_seal(&c->send, nonce, NULL, 0, plain, size, cipher, cipher + size);
}

int noise_open(struct noise_channel *c, const void *cipher, size_t size, void *ret_plain)
{
    uint8_t nonce[AES_GCM_NONCE_SIZE];
    nonce_bytes(c->received++, nonce);
    return aes_gcm_open(&c->receive, nonce, NULL, 0, cipher, size, (const uint8_t *)cipher + size, ret_plain);
}

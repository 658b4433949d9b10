/* Noise_IK_25519_AESGCM_SHA256, the responder (contract in noise.h). Names in comments are the specification's. */
#include "attest/noise.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <string.h>

#define KEY_SIZE 32

struct state {
    uint8_t chaining[32], hash[32], key[32];
};

/* DH(mine, public); false also for points of small order. */
static bool agree(EVP_PKEY *mine, const uint8_t public[KEY_SIZE], uint8_t ret_shared[KEY_SIZE])
{
    size_t size = KEY_SIZE;
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public, KEY_SIZE);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(mine, NULL);
    bool good = peer && ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
                EVP_PKEY_derive(ctx, ret_shared, &size) == 1 && size == KEY_SIZE;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    return good;
}

/* MixHash */
static bool mix_hash(struct state *s, const void *data, size_t size)
{
    unsigned length;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestInit(ctx, EVP_sha256()) == 1 && EVP_DigestUpdate(ctx, s->hash, sizeof(s->hash)) == 1 &&
                EVP_DigestUpdate(ctx, data, size) == 1 && EVP_DigestFinal(ctx, s->hash, &length) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

/* HKDF(chaining_key, input, 2), as the specification spells it out. */
static bool derive(const uint8_t chaining[32], const uint8_t *input, size_t size, uint8_t ret_keys[64])
{
    uint8_t temp[32], block[33];
    bool good = HMAC(EVP_sha256(), chaining, 32, input, size, temp, NULL) != NULL;
    block[0] = 1;
    good = good && HMAC(EVP_sha256(), temp, 32, block, 1, ret_keys, NULL);
    memcpy(block, ret_keys, 32);
    block[32] = 2;
    good = good && HMAC(EVP_sha256(), temp, 32, block, 33, ret_keys + 32, NULL);
    OPENSSL_cleanse(temp, sizeof(temp));
    OPENSSL_cleanse(block, sizeof(block));
    return good;
}

/* MixKey(DH(mine, public)) */
static bool mix_key(struct state *s, EVP_PKEY *mine, const uint8_t public[KEY_SIZE])
{
    uint8_t shared[KEY_SIZE], keys[64];
    bool good = agree(mine, public, shared) && derive(s->chaining, shared, sizeof(shared), keys);
    if (good) {
        memcpy(s->chaining, keys, 32);
        memcpy(s->key, keys + 32, 32);
    }
    OPENSSL_cleanse(shared, sizeof(shared));
    OPENSSL_cleanse(keys, sizeof(keys));
    return good;
}

static bool aead(bool seal, const uint8_t key[32], uint64_t n, const void *aad, int aad_size, const uint8_t *in,
                 size_t size, uint8_t *out, uint8_t tag[ATTEST_NOISE_TAG_SIZE])
{
    uint8_t nonce[12] = {0};
    int done;
    if (size > INT_MAX)
        return false;
    for (unsigned i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(n >> (56 - 8 * i));
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool good = ctx && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1 &&
                (aad_size == 0 || EVP_CipherUpdate(ctx, NULL, &done, aad, aad_size) == 1) &&
                (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, ATTEST_NOISE_TAG_SIZE, tag) == 1) &&
                (size == 0 || EVP_CipherUpdate(ctx, out, &done, in, (int)size) == 1) &&
                EVP_CipherFinal_ex(ctx, out + size, &done) == 1 &&
                (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, ATTEST_NOISE_TAG_SIZE, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

/* DecryptAndHash; each key of a handshake is used once, with nonce 0. */
static bool decrypt_and_hash(struct state *s, const uint8_t *cipher, size_t size, uint8_t *ret_plain)
{
    uint8_t tag[ATTEST_NOISE_TAG_SIZE];
    memcpy(tag, cipher + size, sizeof(tag));
    return aead(false, s->key, 0, s->hash, 32, cipher, size, ret_plain, tag) && mix_hash(s, cipher, size + sizeof(tag));
}

static bool read_hello(struct state *s, EVP_PKEY *own, const char *prologue, const uint8_t *hello, uint8_t ret_peer[32])
{
    uint8_t own_public[KEY_SIZE], none[1];
    size_t size = sizeof(own_public);
    memcpy(s->hash, "Noise_IK_25519_AESGCM_SHA256\0\0\0", 32);
    memcpy(s->chaining, s->hash, 32);
    return EVP_PKEY_get_raw_public_key(own, own_public, &size) == 1 && size == KEY_SIZE &&
           mix_hash(s, prologue, strlen(prologue)) && mix_hash(s, own_public, KEY_SIZE) && /* the pattern's <- s */
           mix_hash(s, hello, KEY_SIZE) &&                                                 /* e */
           mix_key(s, own, hello) &&                                                       /* es */
           decrypt_and_hash(s, hello + 32, KEY_SIZE, ret_peer) &&                          /* s */
           mix_key(s, own, ret_peer) &&                                                    /* ss */
           decrypt_and_hash(s, hello + 80, 0, none);
}

static bool make_answer(struct state *s, const uint8_t *hello, const uint8_t peer[32], uint8_t *ret_answer)
{
    uint8_t none[1];
    size_t size = KEY_SIZE;
    EVP_PKEY *ephemeral = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    bool good = ephemeral && EVP_PKEY_get_raw_public_key(ephemeral, ret_answer, &size) == 1 && size == KEY_SIZE &&
                mix_hash(s, ret_answer, KEY_SIZE) && /* e */
                mix_key(s, ephemeral, hello) &&      /* ee */
                mix_key(s, ephemeral, peer) &&       /* se */
                aead(true, s->key, 0, s->hash, 32, NULL, 0, none, ret_answer + KEY_SIZE) &&
                mix_hash(s, ret_answer + KEY_SIZE, ATTEST_NOISE_TAG_SIZE);
    EVP_PKEY_free(ephemeral);
    return good;
}

int attest_noise_respond(EVP_PKEY *own, const char *prologue, const uint8_t hello[ATTEST_NOISE_HELLO_SIZE],
                         uint8_t ret_answer[ATTEST_NOISE_ANSWER_SIZE], struct attest_noise_channel *ret_channel)
{
    struct state s;
    struct attest_noise_channel channel = {.sent = 0};
    uint8_t keys[64];
    bool good = read_hello(&s, own, prologue, hello, channel.peer) &&
                make_answer(&s, hello, channel.peer, ret_answer) && derive(s.chaining, NULL, 0, keys); /* Split() */
    if (good) {
        memcpy(channel.hash, s.hash, 32);
        memcpy(channel.receive_key, keys, 32);
        memcpy(channel.send_key, keys + 32, 32);
        *ret_channel = channel;
    }
    OPENSSL_cleanse(&s, sizeof(s));
    OPENSSL_cleanse(&channel, sizeof(channel));
    OPENSSL_cleanse(keys, sizeof(keys));
    return good ? 0 : -1;
}

int attest_noise_open(struct attest_noise_channel *c, const uint8_t *cipher, size_t size, uint8_t *ret_plain)
{
    uint8_t tag[ATTEST_NOISE_TAG_SIZE];
    memcpy(tag, cipher + size, sizeof(tag));
    return aead(false, c->receive_key, c->received++, NULL, 0, cipher, size, ret_plain, tag) ? 0 : -1;
}

int attest_noise_seal(struct attest_noise_channel *c, const uint8_t *plain, size_t size, uint8_t *ret_cipher)
{
    return aead(true, c->send_key, c->sent++, NULL, 0, plain, size, ret_cipher, ret_cipher + size) ? 0 : -1;
}

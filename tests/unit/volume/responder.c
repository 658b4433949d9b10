/* The responder of Noise_IK_25519_AESGCM_SHA256 and a counter behind it (responder.h). */
#include "responder.h"

#include <linux/errno.h>

#include "disk.h"
#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/sha256.h"
#include "kernel/lib/string.h"

struct symmetric {
    uint8_t chaining[32], hash[32];
    struct aes_gcm_key key;
};

static void mix_hash(struct symmetric *s, const void *data, size_t size)
{
    struct sha256 sha;
    sha256_init(&sha);
    sha256_update(&sha, s->hash, 32);
    sha256_update(&sha, data, size);
    sha256_final(&sha, s->hash);
}

static void mix_key(struct symmetric *s, const uint8_t *private, const uint8_t *public)
{
    uint8_t shared[32], keys[64];
    x25519(private, public, shared);
    hkdf_sha256(shared, 32, s->chaining, 32, "", 0, keys, 64);
    memcpy(s->chaining, keys, 32);
    aes_gcm_key_init(&s->key, keys + 32);
}

/* Every key is used once in a handshake: with nonce 0. */
static int open_part(struct symmetric *s, const uint8_t *cipher, size_t size, uint8_t *ret_plain)
{
    static const uint8_t nonce[AES_GCM_NONCE_SIZE];
    if (aes_gcm_open(&s->key, nonce, s->hash, 32, cipher, size, cipher + size, ret_plain) < 0)
        return -ECONNRESET;
    mix_hash(s, cipher, size + AES_GCM_TAG_SIZE);
    return 0;
}

static ssize_t greet(struct responder *r, const uint8_t *hello, uint8_t *ret_answer)
{
    static const uint8_t nonce[AES_GCM_NONCE_SIZE];
    struct symmetric s;
    uint8_t ephemeral[X25519_SIZE], keys[64], none[1];
    memcpy(s.hash, "Noise_IK_25519_AESGCM_SHA256\0\0\0", 32);
    memcpy(s.chaining, s.hash, 32);
    mix_hash(&s, COUNTER_PROLOGUE, strlen(COUNTER_PROLOGUE));
    mix_hash(&s, r->public, 32);
    mix_hash(&s, hello, 32);
    mix_key(&s, r->private, hello);
    if (open_part(&s, hello + 32, 32, r->caller) < 0)
        return -ECONNRESET;
    mix_key(&s, r->private, r->caller);
    if (open_part(&s, hello + 80, 0, none) < 0)
        return -ECONNRESET;
    for (unsigned i = 0; i < sizeof(ephemeral); i++)
        ephemeral[i] = (uint8_t)disk_random();
    x25519_public(ephemeral, ret_answer);
    mix_hash(&s, ret_answer, 32);
    mix_key(&s, ephemeral, hello);
    mix_key(&s, ephemeral, r->caller);
    aes_gcm_seal(&s.key, nonce, s.hash, 32, none, 0, ret_answer + 32, ret_answer + 32);
    hkdf_sha256("", 0, s.chaining, 32, "", 0, keys, 64);
    aes_gcm_key_init(&r->channel.receive, keys);
    aes_gcm_key_init(&r->channel.send, keys + 32);
    r->channel.sent = r->channel.received = 0;
    r->open = true;
    return NOISE_ANSWER_SIZE;
}

static uint64_t raise(struct responder *r, const struct counter_request *request)
{
    static const uint8_t nobody[X25519_SIZE];
    bool mine = memcmp(r->owner, r->caller, 32) == 0, free = memcmp(r->owner, nobody, 32) == 0;
    uint64_t previous = mine ? r->value : 0;
    if ((mine || free) && request->value > previous &&
        (!(request->flags & COUNTER_EXPECTED) || request->expected == previous)) {
        memcpy(r->owner, r->caller, 32);
        r->value = request->value;
    }
    return previous;
}

ssize_t responder_answer(struct responder *r, bool fresh, const void *message, size_t size, void *ret_answer)
{
    struct counter_request request;
    if (fresh) {
        r->open = false;
        return size == NOISE_HELLO_SIZE ? greet(r, message, ret_answer) : -ECONNRESET;
    }
    if (!r->open || size != sizeof(request) + AES_GCM_TAG_SIZE ||
        noise_open(&r->channel, message, sizeof(request), &request) < 0) {
        r->open = false;
        return -ECONNRESET;
    }
    struct counter_answer answer = {.type = request.type, .previous = raise(r, &request)};
    noise_seal(&r->channel, &answer, sizeof(answer), ret_answer);
    return sizeof(answer) + AES_GCM_TAG_SIZE;
}

void responder_init(struct responder *r, uint8_t ret_public[X25519_SIZE])
{
    *r = (struct responder){.open = false};
    for (unsigned i = 0; i < sizeof(r->private); i++)
        r->private[i] = (uint8_t)disk_random();
    x25519_public(r->private, r->public);
    memcpy(ret_public, r->public, X25519_SIZE);
}

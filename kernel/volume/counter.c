/* A counter elsewhere (contract in counter.h). */
#include "kernel/volume/counter.h"

#include <linux/errno.h>

#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/string.h"

/* The caller's key: who has the volume's secret. A volume of another uuid, though copied from this one, is another. */
static void private_key(const struct volume_anchor_key *key, uint8_t ret_private[X25519_SIZE])
{
    static const char purpose[] = "cofre volume counter";
    hkdf_sha256(key->secret, sizeof(key->secret), key->uuid, sizeof(key->uuid), purpose, sizeof(purpose) - 1,
                ret_private, X25519_SIZE);
}

void counter_public_key(const struct volume_anchor_key *key, uint8_t ret_public[X25519_SIZE])
{
    uint8_t private[X25519_SIZE];
    private_key(key, private);
    x25519_public(private, ret_public);
    memory_wipe(private, sizeof(private));
}

static int channel_open(struct counter_client *c, const struct volume_anchor_key *key)
{
    struct noise_handshake handshake;
    uint8_t private[X25519_SIZE], ephemeral[X25519_SIZE], hello[NOISE_HELLO_SIZE], answer[COUNTER_MESSAGE_MAX];
    private_key(key, private);
    c->random(c->arg, ephemeral, sizeof(ephemeral));
    noise_begin(&handshake, COUNTER_PROLOGUE, private, c->counter_public, ephemeral, hello);
    ssize_t size = c->exchange(c->arg, true, hello, sizeof(hello), answer);
    int error = size < 0 ? (int)size : 0;
    if (error == 0 && (size != NOISE_ANSWER_SIZE || noise_finish(&handshake, answer, &c->channel) < 0))
        error = -EPROTO;
    c->open = error == 0;
    memory_wipe(&handshake, sizeof(handshake));
    memory_wipe(private, sizeof(private));
    memory_wipe(ephemeral, sizeof(ephemeral));
    return error;
}

static int ask(struct counter_client *c, const struct counter_request *request, struct counter_answer *ret_answer)
{
    uint8_t message[sizeof(*request) + AES_GCM_TAG_SIZE], answer[COUNTER_MESSAGE_MAX];
    noise_seal(&c->channel, request, sizeof(*request), message);
    ssize_t size = c->exchange(c->arg, false, message, sizeof(message), answer);
    if (size < 0)
        return (int)size;
    if (size != sizeof(*ret_answer) + AES_GCM_TAG_SIZE ||
        noise_open(&c->channel, answer, sizeof(*ret_answer), ret_answer) < 0 || ret_answer->type != request->type)
        return -EPROTO;
    return ret_answer->status == COUNTER_DONE ? 0 : ret_answer->status == COUNTER_REFUSED ? -EACCES : -EIO;
}

int counter_raise(struct counter_client *c, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                  uint64_t *ret_previous)
{
    struct counter_request request = {.type = COUNTER_RAISE, .value = value};
    struct counter_answer answer;
    memcpy(request.name, key->uuid, sizeof(request.name));
    if (expected != VOLUME_ANCHOR_ANY) {
        request.flags = COUNTER_EXPECTED;
        request.expected = expected;
    }
    int error = c->open ? 0 : channel_open(c, key);
    if (error == 0)
        error = ask(c, &request, &answer);
    if (error == 0)
        *ret_previous = answer.previous;
    else
        c->open = false;
    return error;
}

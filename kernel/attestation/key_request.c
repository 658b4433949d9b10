/* One question to a key server (contract in key_request.h). */
#include "kernel/attestation/key_request.h"

#include "kernel/crypto/noise.h"
#include "kernel/crypto/secret.h"
#include "kernel/crypto/sha256.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

_Static_assert(KEY_TAG_SIZE == AES_GCM_TAG_SIZE, "abi/key_release.h");
_Static_assert(NOISE_ANSWER_SIZE <= KEY_ANSWER_MAX, "abi/key_release.h");
_Static_assert(sizeof(struct key_answer) + KEY_TAG_SIZE <= KEY_ANSWER_MAX, "abi/key_release.h");

/* The server learns who asks from the quote, not from a static key: that is a fresh one, too. */
static enum key_outcome open_channel(const struct key_carrier *c, const uint8_t server_public[X25519_SIZE],
                                     struct noise_channel *ret_channel)
{
    struct noise_handshake handshake;
    uint8_t own[X25519_SIZE], ephemeral[X25519_SIZE], hello[NOISE_HELLO_SIZE], answer[KEY_ANSWER_MAX];
    enum key_outcome outcome = KEY_RELEASED;
    c->random(c->arg, own, sizeof(own));
    c->random(c->arg, ephemeral, sizeof(ephemeral));
    noise_begin(&handshake, KEY_RELEASE_PROLOGUE, own, server_public, ephemeral, hello);
    ssize_t size = c->exchange(c->arg, true, hello, sizeof(hello), answer);
    if (size < 0)
        outcome = KEY_NO_ANSWER;
    else if (size != NOISE_ANSWER_SIZE || noise_finish(&handshake, answer, ret_channel) < 0)
        outcome = KEY_NOT_SERVER;
    memory_wipe(&handshake, sizeof(handshake));
    memory_wipe(own, sizeof(own));
    memory_wipe(ephemeral, sizeof(ephemeral));
    return outcome;
}

static void report_data(const struct noise_channel *channel, const struct key_request *request, uint8_t ret_data[64])
{
    struct sha256 sha;
    memset(ret_data, 0, 64);
    sha256_init(&sha);
    sha256_update(&sha, KEY_RELEASE_LABEL, sizeof(KEY_RELEASE_LABEL) - 1);
    sha256_update(&sha, channel->hash, sizeof(channel->hash));
    sha256_update(&sha, request->name, sizeof(request->name));
    sha256_final(&sha, ret_data);
    memcpy(ret_data + KEY_RELEASE_MARK_OFFSET, KEY_RELEASE_MARK, KEY_RELEASE_MARK_SIZE);
}

/* The request with its quote, sealed in place: *ret_message is kmalloc'd. */
static enum key_outcome make_message(const struct key_carrier *c, struct noise_channel *channel, const char *name,
                                     uint8_t **ret_message, size_t *ret_size)
{
    struct key_request request = {.type = KEY_REQUEST};
    uint8_t data[64], *quote, *message;
    size_t quote_size;
    string_copy(request.name, name, sizeof(request.name));
    report_data(channel, &request, data);
    if (c->quote(c->arg, data, &quote, &quote_size) < 0 || quote_size > KEY_QUOTE_SIZE_MAX)
        return KEY_NO_QUOTE;
    size_t size = sizeof(request) + quote_size;
    message = kmalloc(size + KEY_TAG_SIZE);
    if (message) {
        request.quote_size = (uint32_t)quote_size;
        memcpy(message, &request, sizeof(request));
        memcpy(message + sizeof(request), quote, quote_size);
        noise_seal(channel, message, size, message);
    }
    kfree(quote);
    *ret_message = message;
    *ret_size = size + KEY_TAG_SIZE;
    return message ? KEY_RELEASED : KEY_NO_MEMORY;
}

/* What an authentic answer says. */
static enum key_outcome judge(const struct key_answer *answer, uint8_t *ret_key, size_t key_size)
{
    if (answer->status == KEY_DENIED)
        return KEY_REFUSED;
    if (answer->status != KEY_GRANTED)
        return KEY_SERVER_FAILED;
    if (answer->key_size != key_size)
        return KEY_OTHER_SIZE;
    memcpy(ret_key, answer->key, key_size);
    return KEY_RELEASED;
}

static enum key_outcome ask(const struct key_carrier *c, struct noise_channel *channel, const uint8_t *message,
                            size_t size, uint8_t *ret_key, size_t key_size)
{
    struct key_answer answer;
    uint8_t sealed[KEY_ANSWER_MAX];
    ssize_t got = c->exchange(c->arg, false, message, size, sealed);
    if (got < 0)
        return KEY_NO_ANSWER;
    if (got != sizeof(answer) + KEY_TAG_SIZE || noise_open(channel, sealed, sizeof(answer), &answer) < 0)
        return KEY_NOT_SERVER;
    enum key_outcome outcome = judge(&answer, ret_key, key_size);
    memory_wipe(&answer, sizeof(answer));
    return outcome;
}

enum key_outcome key_request(const struct key_carrier *c, const uint8_t server_public[X25519_SIZE], const char *name,
                             uint8_t *ret_key, size_t key_size)
{
    struct noise_channel channel;
    uint8_t *message;
    size_t size;
    ASSERT(key_size <= KEY_SIZE_MAX && strlen(name) < KEY_NAME_SIZE);
    enum key_outcome outcome = open_channel(c, server_public, &channel);
    if (outcome != KEY_RELEASED)
        return outcome;
    outcome = make_message(c, &channel, name, &message, &size);
    if (outcome == KEY_RELEASED) {
        outcome = ask(c, &channel, message, size, ret_key, key_size);
        kfree(message);
    }
    memory_wipe(&channel, sizeof(channel));
    return outcome;
}

const char *key_outcome_text(enum key_outcome outcome)
{
    static const char *const texts[] = {
        [KEY_RELEASED] = "released",
        [KEY_NO_ANSWER] = "the key server does not answer, or hangs up (as it does if its public key is another one "
                          "than the policy's)",
        [KEY_NOT_SERVER] = "who answers is not the key server that the policy names (policy: key_server), or what it "
                           "says was changed on the way",
        [KEY_NO_QUOTE] = "there is no quote of this enclave to show the key server",
        [KEY_REFUSED] = "the key server refuses it to this enclave (its log says why)",
        [KEY_SERVER_FAILED] = "the key server has trouble of its own (its log says which)",
        [KEY_OTHER_SIZE] = "the key server's key of that name is of another size",
        [KEY_NO_MEMORY] = "no memory (policy: kernel_heap)",
    };
    return texts[outcome];
}

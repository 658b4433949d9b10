/*
 * What a key server, or whoever is on the line, answers: any bytes, with authentication that agrees (or nothing would
 * be reached) unless a tag begins with an odd byte. A key is what a whole, authentic answer grants, of the size that
 * was asked for; else the buffer stays as it was.
 * Input: size of the key u8, then answers of {size u8, bytes}; size 255 is a line that broke.
 *
 * fuzz-sources: kernel/attestation/key_request.c kernel/crypto/noise.c kernel/lib/string.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "fuzz/channel_fake.h"
#include "kernel/attestation/key_request.h"
#include "kernel/crypto/noise.h"
#include "kernel/mm/kmalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long allocations;

void *kmalloc(size_t size)
{
    allocations++;
    return malloc(size);
}
void kfree(void *p)
{
    allocations -= p != NULL;
    free(p);
}

struct input {
    const uint8_t *data;
    size_t size;
    const uint8_t *last; /* the last answer */
    size_t last_size;
    unsigned exchanges;
};

static ssize_t exchange(void *arg, bool fresh, const void *message, size_t size, void *ret_answer)
{
    struct input *in = arg;
    if (size > KEY_MESSAGE_MAX || fresh != (in->exchanges++ == 0))
        abort();
    if (in->size == 0 || in->data[0] == 255)
        return -ECONNRESET;
    size_t most = in->data[0] < KEY_ANSWER_MAX ? in->data[0] : KEY_ANSWER_MAX;
    in->last_size = most < in->size - 1 ? most : in->size - 1;
    in->last = in->data + 1;
    memcpy(ret_answer, in->last, in->last_size);
    in->data += 1 + in->last_size;
    in->size -= 1 + in->last_size;
    return (ssize_t)in->last_size;
}

static void fill(void *arg, void *buf, size_t size)
{
    memset(buf, 3, size);
}

static int make_quote(void *arg, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size)
{
    *ret_size = 5000;
    *ret_quote = kmalloc(*ret_size);
    memset(*ret_quote, 7, *ret_size);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t server[X25519_SIZE] = {1};
    if (size == 0)
        return 0;
    size_t key_size = data[0] % (KEY_SIZE_MAX + 1);
    struct input in = {.data = data + 1, .size = size - 1};
    const struct key_carrier carrier = {exchange, fill, make_quote, &in};
    struct key_answer answer;
    uint8_t key[KEY_SIZE_MAX];
    memset(key, 0x5a, sizeof(key));
    enum key_outcome outcome = key_request(&carrier, server, "a key", key, key_size);
    if (outcome == KEY_RELEASED) {
        if (in.exchanges != 2 || in.last_size != sizeof(answer) + KEY_TAG_SIZE)
            abort();
        memcpy(&answer, in.last, sizeof(answer));
        if (answer.status != KEY_GRANTED || answer.key_size != key_size || memcmp(key, answer.key, key_size) != 0)
            abort();
    }
    for (size_t i = outcome == KEY_RELEASED ? key_size : 0; i < sizeof(key); i++)
        if (key[i] != 0x5a)
            abort();
    if (allocations != 0 || !key_outcome_text(outcome))
        abort();
    return 0;
}

/*
 * What a volume's counter, or whoever is on the line, answers: any bytes, with authentication that agrees (or nothing
 * would be reached) unless a tag begins with an odd byte. Requests go on over one channel until it fails.
 * Input: answers of {size u8, bytes}; size 255 is a line that broke.
 *
 * fuzz-sources: kernel/volume/counter.c kernel/crypto/noise.c kernel/lib/string.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "fuzz/channel_fake.h"
#include "kernel/volume/counter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
    bool last_fresh;
    const uint8_t *last;
    size_t last_size;
};

static ssize_t exchange(void *arg, bool fresh, const void *message, size_t size, void *ret_answer)
{
    struct input *in = arg;
    if (size > COUNTER_MESSAGE_MAX)
        abort();
    if (in->size == 0 || in->data[0] == 255)
        return -ECONNRESET;
    in->last_size = MIN((size_t)in->data[0], in->size - 1);
    in->last = in->data + 1;
    in->last_fresh = fresh;
    memcpy(ret_answer, in->last, in->last_size);
    in->data += 1 + in->last_size;
    in->size -= 1 + in->last_size;
    return (ssize_t)in->last_size;
}

static void fill(void *arg, void *buf, size_t size)
{
    memset(buf, 3, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.data = data, .size = size};
    struct counter_client client = {.exchange = exchange, .random = fill, .arg = &in};
    struct volume_anchor_key key = {.uuid = {1}, .secret = {2}};
    for (unsigned i = 0; i < 100 && in.size > 0; i++) {
        uint64_t previous = 0, said;
        struct counter_answer answer;
        size_t before = in.size;
        int err = counter_raise(&client, &key, i % 2 ? VOLUME_ANCHOR_ANY : i, i, &previous);
        if (err == 0) { /* only what a whole, authentic answer says */
            if (in.last_fresh || in.last_size != sizeof(answer) + AES_GCM_TAG_SIZE)
                abort();
            memcpy(&answer, in.last, sizeof(answer));
            memcpy(&said, &answer.previous, sizeof(said));
            if (answer.type != COUNTER_RAISE || answer.status != 0 || said != previous || !client.open)
                abort();
        } else if (client.open) {
            abort();
        }
        if (in.size == before)
            break;
    }
    return 0;
}

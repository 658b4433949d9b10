/* A counter of a MarbleRun coordinator (contract in marble.h). */
#include "kernel/volume/marble.h"

#include <linux/errno.h>

#include "kernel/crypto/hkdf.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"

#define REQUEST_MAX 640U

/*
 * A marble of the same type may show the same UUID and so raise each counter of which it knows the name: it is derived
 * from what is inside the volume. A volume of another uuid, though copied from this one, has another counter.
 */
void marble_counter_name(const struct volume_anchor_key *key, char ret_name[MARBLE_NAME_SIZE])
{
    static const char purpose[] = "cofre volume counter name";
    static const char prefix[] = "cofre-volume-";
    uint8_t id[16];
    char *at = ret_name + sizeof(prefix) - 1;
    hkdf_sha256(key->secret, sizeof(key->secret), key->uuid, sizeof(key->uuid), purpose, sizeof(purpose) - 1, id,
                sizeof(id));
    memcpy(ret_name, prefix, sizeof(prefix));
    for (size_t i = 0; i < sizeof(id); i++) {
        *at++ = "0123456789abcdef"[id[i] >> 4];
        *at++ = "0123456789abcdef"[id[i] & 15];
    }
    *at = 0;
}

static size_t make_request(const struct marble_counter *c, const struct volume_anchor_key *key, uint64_t value,
                           char text[REQUEST_MAX])
{
    char name[MARBLE_NAME_SIZE], body[128];
    marble_counter_name(key, name);
    int size = snprintf(body, sizeof(body), "{\"name\":\"%s\",\"value\":%lu}", name, (unsigned long)value);
    ASSERT(size > 0 && (size_t)size < sizeof(body));
    size = snprintf(text, REQUEST_MAX,
                    "POST /api/v2/monotonic-counter HTTP/1.1\r\n"
                    "Host: %s\r\n"
                    "Content-Type: application/json\r\n"
                    "Content-Length: %d\r\n"
                    "\r\n"
                    "%s",
                    c->host, size, body);
    ASSERT(size > 0 && (size_t)size < REQUEST_MAX);
    return (size_t)size;
}

static int read_answer(struct marble_counter *c, struct marble_answer *ret_answer)
{
    size_t size = 0;
    int error = -EAGAIN;
    while (error == -EAGAIN && size < sizeof(c->text)) {
        ssize_t n = tls_read(&c->tls, c->text + size, sizeof(c->text) - size);
        if (n < 0)
            return (int)n;
        size += (size_t)n;
        error = marble_answer_parse(c->text, size, ret_answer);
    }
    return error == -EAGAIN ? -EPROTO : error;
}

/* 408, 429: too slow, too often; 5xx: also what another marble's mistake would be, but trying again is all there is. */
static int status_error(unsigned status)
{
    if (status == 200)
        return 0;
    return status >= 400 && status < 500 && status != 408 && status != 429 ? -EACCES : -EIO;
}

int marble_raise(struct marble_counter *c, const struct volume_anchor_key *key, uint64_t value, uint64_t *ret_previous)
{
    char request[REQUEST_MAX];
    struct marble_answer answer;
    int error = c->open ? 0 : tls_connect(&c->tls);
    c->open = false;
    c->status = 0;
    if (error == 0)
        error = tls_write(&c->tls, request, make_request(c, key, value, request));
    if (error == 0)
        error = read_answer(c, &answer);
    if (error < 0)
        return error;
    c->status = answer.status;
    c->open = answer.status == 200 && !answer.last;
    *ret_previous = answer.value;
    return status_error(answer.status);
}

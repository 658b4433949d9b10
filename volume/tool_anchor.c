/* A counter elsewhere, for tools (contract in tool_anchor.h). */
#include "volume/tool_anchor.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/command.h"
#include "image/root_certificate.h"
#include "kernel/crypto/secret.h"
#include "kernel/volume/counter.h"
#include "kernel/volume/marble.h"

#define TIMEOUT_S 30

struct line {
    const char *address;
    int fd; /* -1: none */
};

/* "HOST:PORT", "[HOST]:PORT" */
static int dial(struct line *line)
{
    char host[256];
    const char *colon = strrchr(line->address, ':');
    size_t size = colon ? (size_t)(colon - line->address) : 0;
    bool brackets = size > 2 && line->address[0] == '[' && colon[-1] == ']';
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    if (size == 0 || size >= sizeof(host))
        return -EINVAL;
    snprintf(host, sizeof(host), "%.*s", (int)(size - 2 * brackets), line->address + brackets);
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        return -EHOSTUNREACH;
    int err = -EHOSTUNREACH;
    for (struct addrinfo *to = list; to && line->fd < 0; to = to->ai_next) {
        int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
            connect(fd, to->ai_addr, to->ai_addrlen) == 0) {
            line->fd = fd;
            break;
        }
        err = -errno;
        if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(list);
    return line->fd >= 0 ? 0 : err;
}

static int connection(struct line *line, bool fresh)
{
    if (fresh && line->fd >= 0) {
        close(line->fd);
        line->fd = -1;
    }
    return line->fd < 0 ? dial(line) : 0;
}

static ssize_t exchange(void *arg, bool fresh, const void *message, size_t size, void *ret_answer)
{
    struct line *line = arg;
    uint8_t framed[2 + COUNTER_MESSAGE_MAX] = {(uint8_t)(size >> 8), (uint8_t)size};
    int err = connection(line, fresh);
    if (err < 0)
        return err;
    memcpy(framed + 2, message, size);
    if (send(line->fd, framed, size + 2, MSG_NOSIGNAL) != (ssize_t)size + 2)
        return -ECONNRESET;
    ssize_t n = recv(line->fd, framed, 2, MSG_WAITALL);
    if (n != 2)
        return n < 0 ? -errno : -ECONNRESET;
    size = (size_t)(framed[0] << 8 | framed[1]);
    if (size > COUNTER_MESSAGE_MAX)
        return -EPROTO;
    return recv(line->fd, ret_answer, size, MSG_WAITALL) == (ssize_t)size ? (ssize_t)size : -ECONNRESET;
}

static ssize_t carry(void *arg, bool fresh, bool wait, const void *bytes, size_t size, void *ret_bytes)
{
    struct line *line = arg;
    int err = connection(line, fresh);
    if (err < 0)
        return err;
    if (size > 0 && send(line->fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
        return -ECONNRESET;
    ssize_t n = wait ? recv(line->fd, ret_bytes, TLS_CHUNK, 0) : 0;
    return n < 0 ? -errno : wait && n == 0 ? -ECONNRESET : n;
}

static void fill_random(void *arg, void *buf, size_t size)
{
    (void)arg;
    if (getrandom(buf, size, 0) != (ssize_t)size)
        abort();
}

struct tool_anchor {
    struct volume_anchor anchor;
    struct line line;
    struct counter_client client;
    struct tls_identity identity;
    struct marble_counter marble;
};

static int counter_ask(void *arg, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                       uint64_t *ret_previous)
{
    struct tool_anchor *a = arg;
    return counter_raise(&a->client, key, expected, value, ret_previous);
}

static int marble_ask(void *arg, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                      uint64_t *ret_previous)
{
    struct tool_anchor *a = arg;
    (void)expected;
    return marble_raise(&a->marble, key, value, ret_previous);
}

/* size digits of hexadecimal, and nothing else */
static bool parse_hex(const char *text, uint8_t *ret_bytes, size_t size)
{
    if (!text || strlen(text) != 2 * size || strspn(text, "0123456789abcdefABCDEF") != strlen(text))
        return false;
    for (size_t i = 0; i < size; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        ret_bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

/* All of a file of at most `max` bytes. Its size; -1 after a message. */
static ssize_t read_file(const char *path, char *ret_text, size_t max)
{
    FILE *f = fopen(path, "re");
    size_t size = f ? fread(ret_text, 1, max, f) : 0;
    bool whole = f && !ferror(f) && (size < max || fgetc(f) == EOF);
    if (!f)
        fprintf(stderr, "cofre: reading %s failed: %s\n", path, strerror(errno));
    else if (!whole)
        fprintf(stderr, "cofre: reading %s failed: larger than %zu bytes, or unreadable\n", path, max);
    if (f)
        fclose(f);
    return whole ? (ssize_t)size : -1;
}

static int read_root(struct tool_anchor *a, const char *path)
{
    char text[TLS_IDENTITY_SIZE], *point = NULL, *why = NULL;
    ssize_t size = read_file(path, text, sizeof(text));
    if (size < 0)
        return EXIT_COFRE;
    if (root_certificate_point(text, (size_t)size, &point, &why) < 0) {
        fprintf(stderr, "cofre: %s: %s\n", path, why ? why : "out of memory");
        free(why);
        return EXIT_COFRE;
    }
    a->marble.tls.peer_point_size = strlen(point) / 2;
    bool good = parse_hex(point, a->marble.tls.peer_point, a->marble.tls.peer_point_size);
    free(point);
    return good ? 0 : EXIT_COFRE;
}

/* The certificates, and the key from there or from a file of its own. */
static int read_marble(struct tool_anchor *a, const struct tool_options *options)
{
    char text[TLS_IDENTITY_SIZE], key[TLS_SCALAR_SIZE];
    ssize_t size = read_file(options->marble, text, sizeof(text));
    ssize_t key_size = options->marble_key ? read_file(options->marble_key, key, sizeof(key)) : 0;
    int err = size < 0 || key_size < 0 ? -EIO : 0;
    if (err == 0 && options->marble_key && key_size != sizeof(key)) {
        fprintf(stderr, "cofre: %s is no marble's key: %zu bytes\n", options->marble_key, sizeof(key));
        err = -EIO;
    }
    if (err == 0) {
        err = tls_identity_parse(&a->identity, text, (size_t)size, options->marble_key ? (const uint8_t *)key : NULL);
        if (err < 0)
            fprintf(stderr, "cofre: %s: %s\n", options->marble,
                    err == -ENOKEY ? "there is no ECDSA key on P-384 in it (--marble-key)"
                                   : "no certificates, in PEM, at most 4");
    }
    memory_wipe(text, sizeof(text));
    memory_wipe(key, sizeof(key));
    return err < 0 ? EXIT_COFRE : 0;
}

static int open_marble(struct tool_anchor *a, const struct tool_options *options)
{
    a->anchor = (struct volume_anchor){.arg = a, .raise = marble_ask, .raises_only = true};
    a->marble.tls.carry = carry;
    a->marble.tls.random = fill_random;
    a->marble.tls.arg = &a->line;
    a->marble.tls.identity = &a->identity;
    a->marble.host = options->anchor;
    if (!options->marble || options->anchor_key || strlen(options->anchor) >= MARBLE_HOST_MAX)
        return command_usage("volume accept-rollback", "--anchor-certificate and --marble go together");
    int code = read_root(a, options->anchor_certificate);
    return code ? code : read_marble(a, options);
}

static int open_counter(struct tool_anchor *a, const struct tool_options *options)
{
    a->anchor = (struct volume_anchor){.arg = a, .raise = counter_ask};
    a->client = (struct counter_client){.exchange = exchange, .random = fill_random, .arg = &a->line};
    if (!parse_hex(options->anchor_key, a->client.counter_public, X25519_SIZE))
        return command_usage("volume accept-rollback", "--anchor-key: 64 hexadecimal digits");
    return 0;
}

int tool_anchor_open(const struct tool_options *options, struct tool_anchor **ret_anchor)
{
    struct tool_anchor *a = calloc(1, sizeof(*a));
    if (!a) {
        fprintf(stderr, "cofre: out of memory\n");
        return EXIT_COFRE;
    }
    a->line = (struct line){.address = options->anchor, .fd = -1};
    int code = options->anchor_certificate ? open_marble(a, options) : open_counter(a, options);
    if (code)
        tool_anchor_close(a);
    else
        *ret_anchor = a;
    return code;
}

const struct volume_anchor *tool_anchor_volume_anchor(const struct tool_anchor *a)
{
    return &a->anchor;
}

void tool_anchor_close(struct tool_anchor *a)
{
    if (a->line.fd >= 0)
        close(a->line.fd);
    memory_wipe(a, sizeof(*a));
    free(a);
}

/*
 * accept-rollback: a volume that is older than its anchor knows becomes the newest state, by who has its key and says
 * that this is meant. With a counter elsewhere that is a mount which takes over from whatever it says; with a sealed
 * file, which only the enclave can read, the file is emptied and the volume follows from that.
 */
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
#include "kernel/volume/counter.h"
#include "volume/tool.h"

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

static ssize_t exchange(void *arg, bool fresh, const void *message, size_t size, void *ret_answer)
{
    struct line *line = arg;
    uint8_t framed[2 + COUNTER_MESSAGE_MAX] = {(uint8_t)(size >> 8), (uint8_t)size};
    if (fresh && line->fd >= 0) {
        close(line->fd);
        line->fd = -1;
    }
    int err = line->fd < 0 ? dial(line) : 0;
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

static void fill_random(void *arg, void *buf, size_t size)
{
    (void)arg;
    if (getrandom(buf, size, 0) != (ssize_t)size)
        abort();
}

static int remote_raise(void *arg, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                        uint64_t *ret_previous)
{
    return counter_raise(arg, key, expected, value, ret_previous);
}

/* The emptied file: nothing was ever said. */
static int emptied_raise(void *arg, const struct volume_anchor_key *key, uint64_t expected, uint64_t value,
                         uint64_t *ret_previous)
{
    (void)arg;
    (void)key;
    (void)expected;
    (void)value;
    *ret_previous = 0;
    return 0;
}

static bool parse_key(const char *text, uint8_t ret_key[X25519_SIZE])
{
    if (!text || strlen(text) != 2 * X25519_SIZE || strspn(text, "0123456789abcdefABCDEF") != strlen(text))
        return false;
    for (size_t i = 0; i < X25519_SIZE; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        ret_key[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static int anchor_failed(const char *path, const struct tool_options *options, int err)
{
    if (err == -EPROTO || err == -EACCES)
        fprintf(stderr, "cofre: accepting %s failed: who answers at %s is not the anchor of that key\n", path,
                options->anchor);
    else
        fprintf(stderr, "cofre: accepting %s failed: its anchor %s does not answer: %s\n", path, options->anchor,
                strerror(-err));
    return EXIT_COFRE;
}

static bool is_anchor_error(int err)
{
    return err == -EPROTO || err == -EACCES || err == -EHOSTUNREACH || err == -ECONNRESET || err == -ECONNREFUSED ||
           err == -ETIMEDOUT || err == -EAGAIN || err == -ENETUNREACH;
}

/* Is it the newest state already? 0 = no, 1 = yes; or an exit code, negative, after a message. */
static int look(struct tool_options *options, const char *path, const struct volume_anchor *anchor)
{
    struct volume_options checked = {.read_only = true, .freshness = VOLUME_FRESH_STRICT, .anchor = anchor};
    struct volume_file file;
    struct volume *v;
    int code = volume_file_open(&file, path, false);
    if (code != 0)
        return -code;
    int err = volume_mount(&file.io, &checked, tool_unlock, options, &v);
    if (err == 0)
        volume_abandon(v);
    volume_file_close(&file);
    if (err == 0 || err == -ESTALE)
        return err == 0;
    return -(is_anchor_error(err) ? anchor_failed(path, options, err) : tool_failed(path, err));
}

static int accept_state(struct tool_options *options, const char *path, const struct volume_anchor *anchor)
{
    struct volume_options accepting = {.freshness = VOLUME_FRESH_CALLER, .anchor = anchor, .accept_rollback = true};
    struct volume_file file;
    struct volume *v;
    int code = volume_file_open(&file, path, true);
    if (code != 0)
        return code;
    int err = volume_mount(&file.io, &accepting, tool_unlock, options, &v);
    if (err == 0)
        volume_abandon(v); /* its first checkpoint is all there is to say */
    volume_file_close(&file);
    if (err < 0)
        return is_anchor_error(err) ? anchor_failed(path, options, err) : tool_failed(path, err);
    return 0;
}

static int unconfirmed(const char *path, const char *why)
{
    fprintf(stderr,
            "cofre: %s %s. Accepting it loses for good what was written since, and whoever has the newer state can no "
            "longer open it. Nothing was changed (--confirm, if that is meant)\n",
            path, why);
    return EXIT_ROLLED_BACK;
}

static int accept_remote(struct tool_options *options, const char *path)
{
    struct line line = {.address = options->anchor, .fd = -1};
    struct counter_client client = {.exchange = exchange, .random = fill_random, .arg = &line};
    struct volume_anchor anchor = {&client, remote_raise};
    if (!parse_key(options->anchor_key, client.counter_public))
        return command_usage("volume accept-rollback", "--anchor-key: 64 hexadecimal digits");
    int newest = look(options, path, &anchor);
    int code = newest < 0 ? -newest : 0;
    if (newest == 1 && !options->quiet)
        printf("%s is the newest state: there is nothing to accept\n", path);
    else if (newest == 0 && !options->confirm)
        code = unconfirmed(path, "is older than its anchor knows, or beside it");
    else if (newest == 0)
        code = accept_state(options, path, &anchor);
    if (line.fd >= 0)
        close(line.fd);
    return code;
}

static int accept_local(struct tool_options *options, const char *path)
{
    struct volume_anchor anchor = {NULL, emptied_raise};
    if (!options->confirm)
        return unconfirmed(path, "may be older than its anchor knows, which only the container can tell");
    int code = accept_state(options, path, &anchor);
    if (code == 0 && truncate(options->local_anchor, 0) < 0 && errno != ENOENT) {
        fprintf(stderr, "cofre: emptying the anchor %s failed: %s\n", options->local_anchor, strerror(errno));
        code = EXIT_COFRE;
    }
    return code;
}

int volume_cmd_accept_rollback(struct tool_options *options, char **operands)
{
    if (!options->anchor == !options->local_anchor || !options->anchor != !options->anchor_key)
        return command_usage("volume accept-rollback", "either --anchor and --anchor-key, or --local-anchor");
    int code = options->anchor ? accept_remote(options, operands[0]) : accept_local(options, operands[0]);
    if (code == 0 && options->confirm && !options->quiet)
        printf("%s is what its container opens next\n", operands[0]);
    return code;
}

/*
 * Quotes of the platform's own quoting enclave: a client of AESM. Each request is a connection of its own: a length
 * (4 bytes, little-endian), the message; the answer likewise.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "attest/quote.h"
#include "host/error.h"
#include "host/quote/aesm_message.h"
#include "host/quote/quoting.h"

#define SOCKET_DEFAULT "/var/run/aesmd/aesm.socket"
#define ANSWER_SECONDS 20 /* a little more than AESM_TIMEOUT_US */

/* The key chosen; the quoting thread's. */
static uint8_t key_id[AESM_KEY_ID_SIZE];
static bool key_chosen;

static const char *socket_path(void)
{
    const char *path = getenv("COFRE_AESM");

    return path && *path ? path : SOCKET_DEFAULT;
}

static int aesm_connect(char **ret_error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = ANSWER_SECONDS};
    const char *path = socket_path();
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return fail(ret_error, ENAMETOOLONG, "the path of AESM's socket is too long: %s", path);
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(ret_error, errno, "making a socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int code = errno;

        close(fd);
        return fail(ret_error, code, "connecting to AESM at %s: %s%s", path, strerror(code),
                    code == ENOENT || code == ECONNREFUSED ? " (is aesmd running?)" : "");
    }
    return fd;
}

static int send_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

static int receive_all(int fd, uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = recv(fd, data, size, 0);

        if (n == 0)
            return -ECONNRESET;
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

static uint32_t get32(const uint8_t bytes[4])
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* One request, framed, and its answer's message. Its size, or negative errno. */
static ssize_t exchange(int fd, const uint8_t *request, size_t request_size, uint8_t *answer)
{
    uint8_t length[4] = {(uint8_t)request_size, (uint8_t)(request_size >> 8), (uint8_t)(request_size >> 16), 0};
    int ret = send_all(fd, length, sizeof(length));

    if (ret == 0)
        ret = send_all(fd, request, request_size);
    if (ret == 0)
        ret = receive_all(fd, length, sizeof(length));
    if (ret < 0)
        return ret;
    if (get32(length) > AESM_MESSAGE_SIZE_MAX)
        return -EMSGSIZE;
    ret = receive_all(fd, answer, get32(length));
    return ret < 0 ? ret : (ssize_t)get32(length);
}

/* A call; its answer lies in a static buffer until the next. */
static int call_aesm(enum aesm_call call, const uint8_t *report, uint32_t quote_size, struct aesm_answer *ret_answer,
                     char **ret_error)
{
    static uint8_t message[AESM_MESSAGE_SIZE_MAX];
    uint8_t request[2048];
    const uint8_t *id = call == AESM_SELECT_ATT_KEY_ID ? aesm_key_id_ecdsa : key_id;
    size_t request_size = aesm_encode(call, id, report, quote_size, request, sizeof(request));
    ssize_t size;
    int fd = aesm_connect(ret_error);

    if (fd < 0)
        return fd;
    size = exchange(fd, request, request_size, message);
    close(fd);
    if (size < 0)
        return fail(ret_error, (int)-size, "AESM's answer to call %d: %s", call, strerror((int)-size));
    if (!aesm_decode(call, message, (size_t)size, ret_answer))
        return fail(ret_error, EBADMSG, "AESM's answer to call %d is malformed", call);
    if (ret_answer->error)
        return fail(ret_error, EIO, "AESM answers call %d with error %llu (is the quote provider library configured?)",
                    call, (unsigned long long)ret_answer->error);
    return 0;
}

/* Services that cannot choose take the identity of Intel's key as it is. */
static int choose_key(char **ret_error)
{
    struct aesm_answer answer;
    int ret;

    if (key_chosen)
        return 0;
    ret = call_aesm(AESM_SELECT_ATT_KEY_ID, NULL, 0, &answer, ret_error);
    if (ret < 0 && ret != -EIO && ret != -EBADMSG && ret != -ECONNRESET)
        return ret;
    memset(key_id, 0, sizeof(key_id));
    if (ret == 0 && answer.size > 0 && answer.size <= sizeof(key_id))
        memcpy(key_id, answer.bytes, answer.size);
    else
        memcpy(key_id, aesm_key_id_ecdsa, sizeof(key_id));
    key_chosen = true;
    return 0;
}

static int aesm_target(uint8_t ret_targetinfo[QUOTING_TARGETINFO_SIZE], char **ret_error)
{
    struct aesm_answer answer;
    int ret = choose_key(ret_error);

    if (ret == 0)
        ret = call_aesm(AESM_INIT_QUOTE_EX, NULL, 0, &answer, ret_error);
    if (ret == 0 && answer.size != QUOTING_TARGETINFO_SIZE)
        ret = fail(ret_error, EBADMSG, "AESM names no quoting enclave: its TARGETINFO has %zu bytes", answer.size);
    if (ret == 0)
        memcpy(ret_targetinfo, answer.bytes, QUOTING_TARGETINFO_SIZE);
    return ret;
}

static int get_quote(const uint8_t *report, size_t max, struct aesm_answer *ret_answer, char **ret_error)
{
    int ret = choose_key(ret_error);

    if (ret == 0)
        ret = call_aesm(AESM_GET_QUOTE_SIZE_EX, NULL, 0, ret_answer, ret_error);
    if (ret == 0 && (ret_answer->number == 0 || ret_answer->number > max))
        ret = fail(ret_error, EMSGSIZE, "AESM says that a quote has %llu bytes: at most %zu are possible",
                   (unsigned long long)ret_answer->number, max);
    if (ret == 0)
        ret = call_aesm(AESM_GET_QUOTE_EX, report, (uint32_t)ret_answer->number, ret_answer, ret_error);
    return ret;
}

static int aesm_quote(const uint8_t report[QUOTING_REPORT_SIZE], uint8_t *ret_quote, size_t max, size_t *ret_size,
                      char **ret_error)
{
    struct aesm_answer answer;
    uint8_t target[QUOTING_TARGETINFO_SIZE];
    size_t size;
    int ret = get_quote(report, max, &answer, ret_error);

    /* aesmd may have been restarted since it told the target: then its key must be initialised anew. */
    if (ret == -EIO && aesm_target(target, ret_error) == 0)
        ret = get_quote(report, max, &answer, ret_error);
    if (ret < 0)
        return ret;
    size = attest_quote_length(answer.bytes, answer.size); /* the rest of the buffer is padding */
    if (size == 0 || size > answer.size || size > max)
        return fail(ret_error, EBADMSG, "AESM's quote is malformed");
    memcpy(ret_quote, answer.bytes, size);
    *ret_size = size;
    return 0;
}

const struct quoting_ops quoting_aesm = {"AESM", aesm_target, aesm_quote};

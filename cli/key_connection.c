/* A connection of the key server (contract in key_connection.h). */
#include "cli/key_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "attest/noise.h"
#include "image/error.h"

#define FRAME_MAX KEY_MESSAGE_MAX /* the longest message that an enclave sends */

_Static_assert(ATTEST_NOISE_TAG_SIZE == KEY_TAG_SIZE, "abi/key_release.h");
_Static_assert(ATTEST_NOISE_HELLO_SIZE <= FRAME_MAX, "abi/key_release.h");

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

/* 0 when the descriptor is ready, -1 (errno) when the deadline has passed or it cannot be. */
static int wait_for(int fd, short events, long deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        long left = deadline - now_ms();
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n > 0)
            return 0;
        if (n == 0)
            errno = ETIMEDOUT;
        if (n == 0 || errno != EINTR)
            return -1;
    }
}

static int receive_all(int fd, uint8_t *data, size_t size, long deadline)
{
    while (size > 0) {
        if (wait_for(fd, POLLIN, deadline) < 0)
            return -1;
        ssize_t n = recv(fd, data, size, 0);
        if (n == 0)
            errno = ECONNRESET;
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return -1;
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* One message, its size in front. -1 (errno); EMSGSIZE: it is said to be longer than any may be. */
static ssize_t receive(int fd, uint8_t message[FRAME_MAX], long deadline)
{
    uint8_t head[2];
    if (receive_all(fd, head, sizeof(head), deadline) < 0)
        return -1;
    size_t size = (size_t)(head[0] << 8 | head[1]);
    if (size > FRAME_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    return receive_all(fd, message, size, deadline) < 0 ? -1 : (ssize_t)size;
}

/* Small enough for any socket's buffer. */
static int send_message(int fd, const uint8_t *message, size_t size)
{
    uint8_t frame[2 + KEY_ANSWER_MAX] = {(uint8_t)(size >> 8), (uint8_t)size};
    memcpy(frame + 2, message, size);
    ssize_t n = send(fd, frame, size + 2, MSG_NOSIGNAL);
    if (n >= 0 && n != (ssize_t)(size + 2))
        errno = EMSGSIZE;
    return n == (ssize_t)(size + 2) ? 0 : -1;
}

static int greet(int fd, EVP_PKEY *own, struct attest_noise_channel *ret_channel, char **ret_error)
{
    uint8_t hello[FRAME_MAX], answer[ATTEST_NOISE_ANSWER_SIZE];
    ssize_t size = receive(fd, hello, now_ms() + KEY_HELLO_MS);
    if (size < 0)
        return error_set_errno(ret_error, errno, "no first message");
    if (size != ATTEST_NOISE_HELLO_SIZE ||
        attest_noise_respond(own, KEY_RELEASE_PROLOGUE, hello, answer, ret_channel) < 0)
        return error_set(ret_error, "whoever that is means another key server (another public key), or none");
    return send_message(fd, answer, sizeof(answer)) < 0 ? error_set_errno(ret_error, errno, "no way to answer") : 0;
}

static int serve_request(int fd, struct attest_noise_channel *channel, const struct attest_key_service *service,
                         struct attest_key_event *ret_event, char **ret_error)
{
    uint8_t message[FRAME_MAX], sealed[sizeof(struct key_answer) + KEY_TAG_SIZE];
    struct key_answer answer;
    ssize_t size = receive(fd, message, now_ms() + KEY_REQUEST_MS);
    if (size < 0)
        return error_set_errno(ret_error, errno, "no request");
    if (size < KEY_TAG_SIZE || attest_noise_open(channel, message, (size_t)size - KEY_TAG_SIZE, message) < 0)
        return error_set(ret_error, "the request was changed on the way");
    attest_key_answer(service, channel->hash, message, (size_t)size - KEY_TAG_SIZE, &answer, ret_event);
    int result = attest_noise_seal(channel, (const uint8_t *)&answer, sizeof(answer), sealed);
    OPENSSL_cleanse(&answer, sizeof(answer));
    if (result == 0 && send_message(fd, sealed, sizeof(sealed)) < 0)
        result = -1;
    return result < 0 ? error_set(ret_error, "the answer to \"%s\" could not be sent", ret_event->name) : 0;
}

int key_connection_serve(int fd, EVP_PKEY *own, const struct attest_key_service *service,
                         struct attest_key_event *ret_event, char **ret_error)
{
    struct attest_noise_channel channel;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    int result = greet(fd, own, &channel, ret_error);
    if (result == 0)
        result = serve_request(fd, &channel, service, ret_event, ret_error);
    OPENSSL_cleanse(&channel, sizeof(channel));
    close(fd);
    return result;
}

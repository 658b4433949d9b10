/*
 * Stands for aesmd in tests: speaks its protocol, and has its quotes made by the software quoting enclave.
 *   aesm-double SOCKET BEHAVIOUR
 * Behaviours: good; no-select (hangs up on the call that chooses a key); error (answers that it failed); restart (knows
 * no key until it is initialised a second time); other-report; truncated; oversized; garbage; hang.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/quote/aesm_message.h"
#include "host/quote/protobuf.h"
#include "host/quote/quoting.h"
#include "host/softsgx/softsgx.h"

#define BUFFER_SIZE 12000 /* for a quote, which is shorter: the rest is padding */

static const char *behaviour;
static unsigned initialised;

static int is(const char *name)
{
    return strcmp(behaviour, name) == 0;
}

static void check(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "aesm-double: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int read_exactly(int fd, void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)data + done, size - done);
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

static void write_frame(int fd, const uint8_t *data, size_t size, size_t claimed)
{
    uint8_t length[4] = {(uint8_t)claimed, (uint8_t)(claimed >> 8), (uint8_t)(claimed >> 16), (uint8_t)(claimed >> 24)};
    check(write(fd, length, 4) == 4 && write(fd, data, size) == (ssize_t)size, "writing an answer");
}

static void answer_init(struct protobuf_writer *answer)
{
    uint8_t target[QUOTING_TARGETINFO_SIZE];
    static const uint8_t public_key_id[AESM_PUBLIC_KEY_ID_SIZE];

    initialised++;
    quoting_software.target(target, NULL);
    protobuf_put_number(answer, 1, 0);
    protobuf_put_bytes(answer, 2, target, sizeof(target));
    protobuf_put_number(answer, 3, sizeof(public_key_id));
    protobuf_put_bytes(answer, 4, public_key_id, sizeof(public_key_id));
}

static void answer_quote(struct protobuf_writer *answer, struct protobuf_reader request)
{
    static uint8_t quote[BUFFER_SIZE];
    struct protobuf_field field;
    char *error = NULL;
    size_t size;

    while (protobuf_next(&request, &field))
        if (field.number == 1 && field.size == QUOTING_REPORT_SIZE &&
            quoting_software.quote(field.bytes, quote, sizeof(quote), &size, &error) < 0)
            fprintf(stderr, "aesm-double: %s\n", error);
    quote[48 + 320] ^= is("other-report");
    protobuf_put_number(answer, 1, error ? 1 : 0);
    protobuf_put_bytes(answer, 2, quote, is("truncated") ? 1000 : sizeof(quote));
    free(error);
}

/* The call's field of the request. */
static int find_call(const uint8_t *message, size_t size, struct protobuf_field *ret_field)
{
    struct protobuf_reader reader = {.at = message, .end = message + size};
    return protobuf_next(&reader, ret_field) && ret_field->is_bytes ? 0 : -1;
}

static void serve(int fd)
{
    static uint8_t message[AESM_MESSAGE_SIZE_MAX], body[BUFFER_SIZE + 64], out[BUFFER_SIZE + 128];
    struct protobuf_writer answer = {.data = body, .size = sizeof(body)}, frame = {.data = out, .size = sizeof(out)};
    struct protobuf_field call;
    uint32_t size;

    if (read_exactly(fd, &size, 4) < 0 || size > sizeof(message) || read_exactly(fd, message, size) < 0 ||
        find_call(message, size, &call) < 0 || (is("no-select") && call.number == AESM_SELECT_ATT_KEY_ID))
        return;
    if (is("hang"))
        pause();
    if (is("garbage")) {
        write_frame(fd, (const uint8_t *)"\xff\xff\xff", 3, 3);
        return;
    }
    if (is("oversized")) {
        write_frame(fd, out, 16, AESM_MESSAGE_SIZE_MAX + 1);
        return;
    }
    if (is("error") || (is("restart") && call.number == AESM_GET_QUOTE_EX && initialised < 2))
        protobuf_put_number(&answer, 1, 12);
    else if (call.number == AESM_INIT_QUOTE_EX)
        answer_init(&answer);
    else if (call.number == AESM_GET_QUOTE_SIZE_EX) {
        protobuf_put_number(&answer, 1, 0);
        protobuf_put_number(&answer, 2, BUFFER_SIZE);
    } else if (call.number == AESM_GET_QUOTE_EX)
        answer_quote(&answer, (struct protobuf_reader){.at = call.bytes, .end = call.bytes + call.size});
    else if (call.number == AESM_SELECT_ATT_KEY_ID) {
        protobuf_put_number(&answer, 1, 0);
        protobuf_put_bytes(&answer, 2, aesm_key_id_ecdsa, AESM_KEY_ID_SIZE);
    }
    protobuf_put_bytes(&frame, call.number, body, answer.used);
    write_frame(fd, out, frame.used, frame.used);
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_STREAM, 0);

    if (argc != 3 || strlen(argv[1]) >= sizeof(address.sun_path)) {
        fputs("aesm-double: usage: SOCKET BEHAVIOUR\n", stderr);
        return 2;
    }
    behaviour = argv[2];
    strcpy(address.sun_path, argv[1]);
    check(softsgx_secret_load() == 0, "loading softsgx's secret");
    check(bind(server, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(server, 8) == 0, argv[1]);
    for (;;) {
        int fd = accept(server, NULL, NULL);
        check(fd >= 0, "accepting");
        serve(fd);
        close(fd);
    }
}

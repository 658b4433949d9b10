/* AESM's messages (contract in aesm_message.h). */
#include "host/quote/aesm_message.h"

#include <string.h>

#include "host/quote/protobuf.h"
#include "host/quote/quoting.h"

/* Fields of requests. */
enum {
    INIT_KEY_ID = 1,
    INIT_WITH_PUBLIC_KEY_ID = 3,
    INIT_BUFFER_SIZE = 4,
    SIZE_KEY_ID = 1,
    QUOTE_REPORT = 1,
    QUOTE_KEY_ID = 2,
    QUOTE_BUFFER_SIZE = 4,
    SELECT_LIST = 1,
    SELECT_TIMEOUT = 2,
    TIMEOUT = 9,
};
/* Of answers. */
enum { ANSWER_ERROR = 1, ANSWER_VALUE = 2 };

/* id 0, version 0, MRSIGNER's length and value (48 bytes of room), product 1, ..., algorithm 2 at 154. */
const uint8_t aesm_key_id_ecdsa[AESM_KEY_ID_SIZE] = {
    [4] = 32, 0,    [6] = 0x8c, 0x4f, 0x57, 0x75, 0xd7, 0x96, 0x50, 0x3e, 0x96,     0x13,
    0x7f,     0x77, 0xc6,       0x8a, 0x82, 0x9a, 0x00, 0x56, 0xac, 0x8d, 0xed,     0x70,
    0x14,     0x0b, 0x08,       0x1b, 0x09, 0x44, 0x90, 0xc5, 0x7b, 0xff, [54] = 1, [154] = 2,
};

/* sgx_ql_att_key_id_list_t: id 0, version 0, a count, and so many identities. */
static void put_select(struct protobuf_writer *message, const uint8_t *key_id)
{
    uint8_t list[8 + AESM_KEY_ID_SIZE] = {[4] = 1};

    memcpy(list + 8, key_id, AESM_KEY_ID_SIZE);
    protobuf_put_bytes(message, SELECT_LIST, list, sizeof(list));
    protobuf_put_number(message, SELECT_TIMEOUT, AESM_TIMEOUT_US);
}

static void put_init(struct protobuf_writer *message, const uint8_t *key_id)
{
    protobuf_put_bytes(message, INIT_KEY_ID, key_id, AESM_KEY_ID_SIZE);
    protobuf_put_number(message, INIT_WITH_PUBLIC_KEY_ID, 1);
    protobuf_put_number(message, INIT_BUFFER_SIZE, AESM_PUBLIC_KEY_ID_SIZE);
    protobuf_put_number(message, TIMEOUT, AESM_TIMEOUT_US);
}

static void put_size(struct protobuf_writer *message, const uint8_t *key_id)
{
    protobuf_put_bytes(message, SIZE_KEY_ID, key_id, AESM_KEY_ID_SIZE);
    protobuf_put_number(message, TIMEOUT, AESM_TIMEOUT_US);
}

static void put_quote(struct protobuf_writer *message, const uint8_t *key_id, const uint8_t *report, uint32_t size)
{
    protobuf_put_bytes(message, QUOTE_REPORT, report, QUOTING_REPORT_SIZE);
    protobuf_put_bytes(message, QUOTE_KEY_ID, key_id, AESM_KEY_ID_SIZE);
    protobuf_put_number(message, QUOTE_BUFFER_SIZE, size);
    protobuf_put_number(message, TIMEOUT, AESM_TIMEOUT_US);
}

size_t aesm_encode(enum aesm_call call, const uint8_t *key_id, const uint8_t *report, uint32_t quote_size, uint8_t *out,
                   size_t size)
{
    uint8_t bytes[1024];
    struct protobuf_writer message = {.data = bytes, .size = sizeof(bytes)}, request = {.data = out, .size = size};

    switch (call) {
    case AESM_SELECT_ATT_KEY_ID:
        put_select(&message, key_id);
        break;
    case AESM_INIT_QUOTE_EX:
        put_init(&message, key_id);
        break;
    case AESM_GET_QUOTE_SIZE_EX:
        put_size(&message, key_id);
        break;
    case AESM_GET_QUOTE_EX:
        put_quote(&message, key_id, report, quote_size);
        break;
    }
    protobuf_put_bytes(&request, call, bytes, message.used);
    return message.failed || request.failed ? 0 : request.used;
}

/* The one field of the answer that is a message, if it is the call's. */
static bool find_message(enum aesm_call call, const void *data, size_t size, struct protobuf_reader *ret_message)
{
    struct protobuf_reader answer = {.at = data, .end = (const uint8_t *)data + size};
    struct protobuf_field field;
    bool found = false;

    while (protobuf_next(&answer, &field)) {
        if (field.number != (uint32_t)call)
            continue;
        if (!field.is_bytes || found)
            return false;
        found = true;
        *ret_message = (struct protobuf_reader){.at = field.bytes, .end = field.bytes + field.size};
    }
    return found && !answer.failed;
}

bool aesm_decode(enum aesm_call call, const void *message, size_t size, struct aesm_answer *ret_answer)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    struct aesm_answer answer = {0};
    bool has_error = false, has_value = false, wants_number = call == AESM_GET_QUOTE_SIZE_EX;

    if (!find_message(call, message, size, &reader))
        return false;
    while (protobuf_next(&reader, &field)) {
        if (field.number == ANSWER_ERROR && !field.is_bytes) {
            answer.error = field.value;
            has_error = true;
        } else if (field.number == ANSWER_VALUE && field.is_bytes != wants_number) {
            answer.number = field.value;
            answer.bytes = field.bytes;
            answer.size = field.size;
            has_value = true;
        }
    }
    if (reader.failed || !has_error || (answer.error == 0 && !has_value))
        return false;
    *ret_answer = answer;
    return true;
}

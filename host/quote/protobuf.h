/*
 * As much of the protobuf wire format as AESM's messages use: fields of varints and of bytes. Writers never write past
 * the end; readers refuse whatever is not well-formed.
 */
#ifndef COFRE_HOST_QUOTE_PROTOBUF_H
#define COFRE_HOST_QUOTE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct protobuf_writer {
    uint8_t *data;
    size_t size, used;
    bool failed; /* did not fit */
};

void protobuf_put_number(struct protobuf_writer *writer, uint32_t field, uint64_t value);
void protobuf_put_bytes(struct protobuf_writer *writer, uint32_t field, const void *bytes, size_t size);

struct protobuf_reader {
    const uint8_t *at, *end;
    bool failed; /* not well-formed */
};

struct protobuf_field {
    uint32_t number;
    bool is_bytes; /* else value is a varint or a fixed-size number */
    uint64_t value;
    const uint8_t *bytes; /* into the reader's */
    size_t size;
};

/* The next field; false at the end, or, with failed set, where the message is malformed. */
bool protobuf_next(struct protobuf_reader *reader, struct protobuf_field *ret_field);

#endif

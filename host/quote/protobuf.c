/* The protobuf wire format (contract in protobuf.h). */
#include "host/quote/protobuf.h"

#include <string.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void put(struct protobuf_writer *writer, const void *bytes, size_t size)
{
    if (writer->failed || size > writer->size - writer->used) {
        writer->failed = true;
        return;
    }
    memcpy(writer->data + writer->used, bytes, size);
    writer->used += size;
}

static void put_varint(struct protobuf_writer *writer, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;

    do {
        bytes[count++] = (uint8_t)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
        value >>= 7;
    } while (value);
    put(writer, bytes, count);
}

void protobuf_put_number(struct protobuf_writer *writer, uint32_t field, uint64_t value)
{
    put_varint(writer, (uint64_t)field << 3 | WIRE_VARINT);
    put_varint(writer, value);
}

void protobuf_put_bytes(struct protobuf_writer *writer, uint32_t field, const void *bytes, size_t size)
{
    put_varint(writer, (uint64_t)field << 3 | WIRE_BYTES);
    put_varint(writer, size);
    put(writer, bytes, size);
}

static bool get_varint(struct protobuf_reader *reader, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;

        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool get_fixed(struct protobuf_reader *reader, size_t size, uint64_t *ret_value)
{
    if ((size_t)(reader->end - reader->at) < size)
        return false;
    *ret_value = 0;
    for (size_t i = 0; i < size; i++)
        *ret_value |= (uint64_t)reader->at[i] << (8 * i);
    reader->at += size;
    return true;
}

static bool get_bytes(struct protobuf_reader *reader, struct protobuf_field *field)
{
    uint64_t size;

    if (!get_varint(reader, &size) || size > (size_t)(reader->end - reader->at))
        return false;
    field->is_bytes = true;
    field->bytes = reader->at;
    field->size = (size_t)size;
    reader->at += size;
    return true;
}

static bool get_value(struct protobuf_reader *reader, enum wire_type type, struct protobuf_field *field)
{
    switch (type) {
    case WIRE_VARINT:
        return get_varint(reader, &field->value);
    case WIRE_FIXED64:
        return get_fixed(reader, 8, &field->value);
    case WIRE_BYTES:
        return get_bytes(reader, field);
    case WIRE_FIXED32:
        return get_fixed(reader, 4, &field->value);
    default: /* groups: no message of ours has them */
        return false;
    }
}

bool protobuf_next(struct protobuf_reader *reader, struct protobuf_field *ret_field)
{
    struct protobuf_field field = {0};
    uint64_t tag;

    if (reader->failed || reader->at == reader->end)
        return false;
    if (!get_varint(reader, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff ||
        !get_value(reader, (enum wire_type)(tag & 7), &field)) {
        reader->failed = true;
        return false;
    }
    field.number = (uint32_t)(tag >> 3);
    *ret_field = field;
    return true;
}

/* The part of CBOR that evidence is written in. */
#include "attest/cbor.h"

#include <stdlib.h>
#include <string.h>

/* An item's head: major type and argument. Indefinite lengths (31) and reserved values (28 to 30) are refused. */
static int read_head(struct attest_cbor *cbor, unsigned *ret_major, uint64_t *ret_value)
{
    const uint8_t *next = cbor->next;
    if (next == cbor->end)
        return -1;
    unsigned info = *next & 31;
    *ret_major = *next++ >> 5;
    *ret_value = info;
    if (info >= 24) {
        size_t size = (size_t)1 << (info - 24);
        if (info > 27 || size > (size_t)(cbor->end - next))
            return -1;
        *ret_value = 0;
        while (size--)
            *ret_value = *ret_value << 8 | *next++;
    }
    cbor->next = next;
    return 0;
}

int attest_cbor_read(struct attest_cbor *cbor, enum attest_cbor_type type, uint64_t *ret_value)
{
    struct attest_cbor copy = *cbor;
    unsigned major;
    uint64_t value;
    if (read_head(&copy, &major, &value) < 0 || major != type)
        return -1;
    *cbor = copy;
    *ret_value = value;
    return 0;
}

int attest_cbor_read_string(struct attest_cbor *cbor, enum attest_cbor_type type, const uint8_t **ret_data,
                            size_t *ret_size)
{
    struct attest_cbor copy = *cbor;
    uint64_t size;
    if (attest_cbor_read(&copy, type, &size) < 0 || size > (uint64_t)(copy.end - copy.next))
        return -1;
    *ret_data = copy.next;
    *ret_size = (size_t)size;
    copy.next += size;
    *cbor = copy;
    return 0;
}

static int skip(struct attest_cbor *cbor, int depth)
{
    unsigned major;
    uint64_t value;
    if (depth > ATTEST_CBOR_DEPTH_MAX || read_head(cbor, &major, &value) < 0)
        return -1;
    uint64_t items = 0, left = (uint64_t)(cbor->end - cbor->next);
    if (major == ATTEST_CBOR_BYTES || major == ATTEST_CBOR_TEXT) {
        if (value > left)
            return -1;
        cbor->next += value;
    } else if (major == ATTEST_CBOR_ARRAY || major == ATTEST_CBOR_MAP) {
        if (value > left) /* each item takes a byte at least */
            return -1;
        items = major == ATTEST_CBOR_MAP ? 2 * value : value;
    } else if (major == ATTEST_CBOR_TAG) {
        items = 1;
    }
    while (items--)
        if (skip(cbor, depth + 1) < 0)
            return -1;
    return 0;
}

int attest_cbor_skip(struct attest_cbor *cbor)
{
    struct attest_cbor copy = *cbor;
    if (skip(&copy, 0) < 0)
        return -1;
    *cbor = copy;
    return 0;
}

static void append(struct attest_cbor_writer *writer, const void *data, size_t size)
{
    if (writer->failed)
        return;
    if (size > writer->capacity - writer->size) {
        size_t capacity = writer->size + size + 256;
        uint8_t *grown = realloc(writer->data, capacity);
        if (!grown) {
            free(writer->data);
            *writer = (struct attest_cbor_writer){.failed = true};
            return;
        }
        writer->data = grown;
        writer->capacity = capacity;
    }
    if (size)
        memcpy(writer->data + writer->size, data, size);
    writer->size += size;
}

void attest_cbor_write(struct attest_cbor_writer *writer, enum attest_cbor_type type, uint64_t value)
{
    uint8_t head[9];
    size_t size = value < 24 ? 0 : value <= UINT8_MAX ? 1 : value <= UINT16_MAX ? 2 : value <= UINT32_MAX ? 4 : 8;
    unsigned info = size == 0 ? (unsigned)value : size == 1 ? 24 : size == 2 ? 25 : size == 4 ? 26 : 27;
    head[0] = (uint8_t)((unsigned)type << 5 | info);
    for (size_t i = 0; i < size; i++)
        head[1 + i] = (uint8_t)(value >> 8 * (size - 1 - i));
    append(writer, head, 1 + size);
}

void attest_cbor_write_string(struct attest_cbor_writer *writer, enum attest_cbor_type type, const void *data,
                              size_t size)
{
    attest_cbor_write(writer, type, size);
    append(writer, data, size);
}

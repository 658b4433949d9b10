/* Reading a run of bytes from the front, never past its end; inside attest/ only. */
#ifndef COFRE_ATTEST_BYTES_H
#define COFRE_ATTEST_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
    const uint8_t *data;
    size_t size; /* left */
};

/* The next size bytes, or NULL if there are not as many. */
static inline const uint8_t *reader_take(struct reader *reader, size_t size)
{
    if (size > reader->size)
        return NULL;
    const uint8_t *data = reader->data;
    reader->data += size;
    reader->size -= size;
    return data;
}

static inline uint16_t load_u16(const uint8_t *data)
{
    return (uint16_t)(data[0] | data[1] << 8);
}

static inline uint32_t load_u32(const uint8_t *data)
{
    return load_u16(data) | (uint32_t)load_u16(data + 2) << 16;
}

#endif

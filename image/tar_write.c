/* Headers of a deterministic tar archive. */
#include "image/tar_write.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define OCTAL_SIZE_MAX 077777777777ULL

struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK_SIZE, "POSIX.1-1988");

/* What does not fit in octal is in base 256, as GNU and libarchive do; a pax record says the same. */
static void put_size(char field[12], uint64_t size)
{
    if (size <= OCTAL_SIZE_MAX) {
        snprintf(field, 12, "%011llo", (unsigned long long)size);
        return;
    }
    memset(field, 0, 12);
    field[0] = (char)0x80;
    for (int i = 0; i < 8; i++)
        field[11 - i] = (char)(size >> 8 * i);
}

static void put_header(uint8_t *at, const char *name, char type, uint32_t mode, uint64_t size)
{
    struct ustar header = {.type = type, .magic = "ustar", .version = {'0', '0'}};
    unsigned sum = 0;
    char text[8];

    assert(strlen(name) <= sizeof(header.name));
    memcpy(header.name, name, strlen(name));
    snprintf(header.mode, sizeof(header.mode), "%07o", mode);
    snprintf(header.uid, sizeof(header.uid), "%07o", 0);
    snprintf(header.gid, sizeof(header.gid), "%07o", 0);
    put_size(header.size, size);
    put_size(header.mtime, 0);
    snprintf(header.major, sizeof(header.major), "%07o", 0);
    snprintf(header.minor, sizeof(header.minor), "%07o", 0);
    memset(header.checksum, ' ', sizeof(header.checksum));
    for (size_t i = 0; i < sizeof(header); i++)
        sum += ((const uint8_t *)&header)[i];
    snprintf(text, sizeof(text), "%06o", sum);
    memcpy(header.checksum, text, 7);
    memcpy(at, &header, sizeof(header));
}

/* One record of exactly `size` bytes (at least 100): "SIZE comment=     \n". */
static void put_comment(uint8_t *at, size_t size)
{
    int used = snprintf((char *)at, size, "%zu comment=", size);

    memset(at + used, ' ', size - (size_t)used - 1);
    at[size - 1] = '\n';
}

size_t tar_header(uint8_t ret_header[TAR_HEADER_MAX], const struct tar_member *member, uint64_t offset)
{
    int large = member->size > OCTAL_SIZE_MAX;
    size_t body = 0, used = 0;

    memset(ret_header, 0, TAR_HEADER_MAX);
    if (member->name[strlen(member->name) - 1] == '/') {
        put_header(ret_header, member->name, '5', member->mode, 0);
        return TAR_BLOCK_SIZE;
    }
    if (large || (offset + TAR_BLOCK_SIZE) % TAR_ALIGNMENT != 0) {
        body = (TAR_ALIGNMENT - (offset + 2 * TAR_BLOCK_SIZE) % TAR_ALIGNMENT) % TAR_ALIGNMENT;
        if (body == 0)
            body = TAR_ALIGNMENT;
        put_header(ret_header, "cofre/pax", 'x', 0644, body);
        if (large)
            used = (size_t)snprintf((char *)ret_header + TAR_BLOCK_SIZE, 64, "%d size=%llu\n",
                                    (int)strlen(" size=\n") + 2 +
                                        snprintf(NULL, 0, "%llu", (unsigned long long)member->size),
                                    (unsigned long long)member->size);
        put_comment(ret_header + TAR_BLOCK_SIZE + used, body - used);
        used = TAR_BLOCK_SIZE + body;
    }
    put_header(ret_header + used, member->name, '0', member->mode, member->size);
    return used + TAR_BLOCK_SIZE;
}

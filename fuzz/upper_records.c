/*
 * The records of a root's upper layer, of any contents: read to their end, and written again as they were read.
 * fuzz-sources: kernel/fs/upper_records.c kernel/lib/string.c
 * fuzz-flags: -DCOFRE_HOSTED
 */
#include <stdlib.h>

#include "kernel/fs/upper_records.h"
#include "kernel/lib/string.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1), again[UPPER_RECORD_SIZE(4095)];
    size_t offset = sizeof(struct upper_header), start = offset;
    struct upper_record record;
    const char *path;
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (upper_header_check(copy, size) == 0)
        for (; upper_record_next(copy, size, &offset, &record, &path) == 1; start = offset) {
            upper_record_put(again, &record, path);
            size_t said = sizeof(record) + record.path_size; /* what fills it up to 8 bytes counts for nothing */
            if (offset - start != UPPER_RECORD_SIZE(record.path_size) || memcmp(again, copy + start, said) != 0)
                abort();
        }
    free(copy);
    return 0;
}

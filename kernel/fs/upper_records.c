/* Records of an upper layer (contract in upper_records.h). */
#include "kernel/fs/upper_records.h"

#include <linux/errno.h>

#include "kernel/lib/string.h"

int upper_header_check(const void *data, size_t size)
{
    struct upper_header header;
    if (size < sizeof(header))
        return -EINVAL;
    memcpy(&header, data, sizeof(header));
    if (memcmp(header.magic, UPPER_MAGIC, sizeof(header.magic)) != 0)
        return -EINVAL;
    return header.version == UPPER_VERSION && header.reserved == 0 ? 0 : -EOPNOTSUPP;
}

int upper_record_next(const uint8_t *data, size_t size, size_t *offset, struct upper_record *ret_record,
                      const char **ret_path)
{
    if (*offset == size)
        return 0;
    if (*offset > size || size - *offset < sizeof(*ret_record))
        return -EUCLEAN;
    memcpy(ret_record, data + *offset, sizeof(*ret_record));
    const char *path = (const char *)data + *offset + sizeof(*ret_record);
    if (ret_record->path_size == 0 || ret_record->path_size > 4095 || ret_record->reserved != 0 ||
        UPPER_RECORD_SIZE(ret_record->path_size) > size - *offset || path[0] != '/' ||
        memchr(path, 0, ret_record->path_size))
        return -EUCLEAN;
    *ret_path = path;
    *offset += UPPER_RECORD_SIZE(ret_record->path_size);
    return 1;
}

void upper_record_put(uint8_t *buf, const struct upper_record *record, const char *path)
{
    memset(buf, 0, UPPER_RECORD_SIZE(record->path_size));
    memcpy(buf, record, sizeof(*record));
    memcpy(buf + sizeof(*record), path, record->path_size);
}

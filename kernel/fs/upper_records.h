/*
 * Which inodes of an upper layer stand for which of the root image: the file `lower` of a volume that is the root's
 * upper layer (docs/VOLUME-FORMAT.md). A header, then a record for each inode, in the order they came. The volume
 * authenticates it; it is checked all the same.
 */
#ifndef COFRE_KERNEL_FS_UPPER_RECORDS_H
#define COFRE_KERNEL_FS_UPPER_RECORDS_H

#include "kernel/lib/types.h"

#define UPPER_MAGIC "CofreUpr"
#define UPPER_VERSION 1
#define UPPER_RECORDS_MAX (256UL << 20) /* bytes of the file */

struct upper_header {
    char magic[8];
    uint32_t version, reserved;
    uint8_t image[32]; /* the root image's hash: numbers in records are numbers in it */
};

struct upper_record { /* then the path, without NUL; 8-byte aligned */
    uint64_t ino;     /* of the volume */
    uint64_t nid;     /* of the image */
    uint32_t generation;
    uint16_t path_size; /* 1 to 4095 */
    uint16_t reserved;
};
#define UPPER_RECORD_SIZE(path_size) ALIGN_UP(sizeof(struct upper_record) + (size_t)(path_size), 8)

/* Is this the start of such a file? 0, -EINVAL, or -EOPNOTSUPP: of a newer version. */
must_check int upper_header_check(const void *data, size_t size);
/*
 * The record at *offset of the file's bytes (start behind the header); 1 with a copy of its head and where its path is
 * (absolute, not terminated), *offset behind it; 0 at the end; -EUCLEAN if what is there is no record.
 */
must_check int upper_record_next(const uint8_t *data, size_t size, size_t *offset, struct upper_record *ret_record,
                                 const char **ret_path);
/* Write a record; buf has UPPER_RECORD_SIZE(record->path_size) bytes. */
void upper_record_put(uint8_t *buf, const struct upper_record *record, const char *path);

#endif

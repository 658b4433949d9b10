/*
 * EROFS on disk (https://erofs.docs.kernel.org): what an uncompressed image uses. All little endian, as this machine.
 */
#ifndef COFRE_KERNEL_FS_EROFS_FORMAT_H
#define COFRE_KERNEL_FS_EROFS_FORMAT_H

#include <stdint.h>

#define EROFS_SUPER_OFFSET 1024
#define EROFS_MAGIC 0xe0f5e1e2u
#define EROFS_BLOCK_BITS 12
#define EROFS_SLOT_SIZE 32 /* a nid counts these from meta_block */

/* Bits of feature_incompat that change nothing for files that are not compressed, and those that are understood. */
#define EROFS_INCOMPAT_ZERO_PADDING 0x1u
#define EROFS_INCOMPAT_CHUNKED_FILE 0x4u
#define EROFS_INCOMPAT_KNOWN (EROFS_INCOMPAT_ZERO_PADDING | EROFS_INCOMPAT_CHUNKED_FILE)

struct erofs_super {
    uint32_t magic;
    uint32_t checksum;
    uint32_t feature_compat;
    uint8_t block_bits;
    uint8_t ext_slots;
    uint16_t root_nid;
    uint64_t inode_count;
    uint64_t build_time;
    uint32_t build_time_nsec;
    uint32_t block_count;
    uint32_t meta_block;
    uint32_t xattr_block;
    uint8_t uuid[16];
    uint8_t volume_name[16];
    uint32_t feature_incompat;
    uint16_t compression;
    uint16_t extra_devices;
    uint16_t device_slot;
    uint8_t dir_block_bits;
    uint8_t xattr_prefix_count;
    uint32_t xattr_prefix_start;
    uint64_t packed_nid;
    uint8_t reserved[24];
};
_Static_assert(sizeof(struct erofs_super) == 128, "on-disk layout");

/* format: bit 0 version, bits 1..3 layout. */
enum { EROFS_COMPACT = 0, EROFS_EXTENDED = 1 };
enum erofs_layout { EROFS_FLAT_PLAIN = 0, EROFS_FLAT_INLINE = 2, EROFS_CHUNK_BASED = 4 };

struct erofs_inode_compact {
    uint16_t format;
    uint16_t xattr_count;
    uint16_t mode;
    uint16_t nlink;
    uint32_t size;
    uint32_t reserved;
    uint32_t u; /* first block, device number, or chunk format */
    uint32_t ino;
    uint16_t uid;
    uint16_t gid;
    uint32_t reserved2;
};
_Static_assert(sizeof(struct erofs_inode_compact) == 32, "on-disk layout");

struct erofs_inode_extended {
    uint16_t format;
    uint16_t xattr_count;
    uint16_t mode;
    uint16_t reserved;
    uint64_t size;
    uint32_t u;
    uint32_t ino;
    uint32_t uid;
    uint32_t gid;
    uint64_t mtime;
    uint32_t mtime_nsec;
    uint32_t nlink;
    uint8_t reserved2[16];
};
_Static_assert(sizeof(struct erofs_inode_extended) == 64, "on-disk layout");

/* Chunk format: log2(chunk blocks), and whether the map has 8-byte entries. */
#define EROFS_CHUNK_BITS_MASK 0x1fu
#define EROFS_CHUNK_INDEXES 0x20u
#define EROFS_CHUNK_HOLE 0xffffffffu
struct erofs_chunk_index {
    uint16_t advise;
    uint16_t device;
    uint32_t block;
};

/* Behind the inode if xattr_count > 0: this, shared_count 4-byte ids, then entries; (xattr_count - 1) * 4 bytes after
 * the header. */
struct erofs_xattr_header {
    uint32_t name_filter;
    uint8_t shared_count;
    uint8_t reserved[7];
};
_Static_assert(sizeof(struct erofs_xattr_header) == 12, "on-disk layout");

/* Name (without the prefix that the index stands for) and value follow; the whole is padded to 4. */
struct erofs_xattr_entry {
    uint8_t name_size;
    uint8_t name_index;
    uint16_t value_size;
};

struct erofs_dirent {
    uint64_t nid;
    uint16_t name_offset;
    uint8_t type;
    uint8_t reserved;
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_dirent) == 12, "on-disk layout");

#endif

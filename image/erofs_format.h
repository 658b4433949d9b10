/* EROFS on disk, as far as an uncompressed image needs it (Linux: fs/erofs/erofs_fs.h). Little-endian. */
#ifndef COFRE_IMAGE_EROFS_FORMAT_H
#define COFRE_IMAGE_EROFS_FORMAT_H

#include <stdint.h>

#define EROFS_BLOCK_SIZE 4096U
#define EROFS_BLOCK_BITS 12
#define EROFS_SUPER_OFFSET 1024U
#define EROFS_MAGIC 0xe0f5e1e2U
#define EROFS_SLOT_SIZE 32U /* inode numbers count slots */
#define EROFS_NAME_MAX 255

#define EROFS_COMPAT_SB_CHECKSUM 0x1U
#define EROFS_COMPAT_MTIME 0x2U

struct erofs_super {
    uint32_t magic;
    uint32_t checksum; /* CRC-32C of block 0 from here on, with this field zero */
    uint32_t feature_compat;
    uint8_t block_bits;
    uint8_t extension_slots;
    uint16_t root_nid;
    uint64_t inode_count;
    uint64_t build_time; /* what compact inodes have as their time */
    uint32_t build_time_nsec;
    uint32_t block_count;
    uint32_t meta_block;
    uint32_t xattr_block;
    uint8_t uuid[16];
    uint8_t volume_name[16];
    uint32_t feature_incompat;
    uint8_t reserved[44];
};
_Static_assert(sizeof(struct erofs_super) == 128, "erofs_super_block");

/* i_format: bit 0 = extended, bits 1-3 = layout of the data. */
enum { EROFS_FORMAT_EXTENDED = 1 };
enum { EROFS_LAYOUT_PLAIN = 0, EROFS_LAYOUT_INLINE = 2 };

struct erofs_inode_compact {
    uint16_t format;
    uint16_t xattr_count;
    uint16_t mode;
    uint16_t link_count;
    uint32_t size;
    uint32_t reserved;
    uint32_t data; /* first block, or device number */
    uint32_t number;
    uint16_t uid, gid;
    uint32_t reserved2;
};
_Static_assert(sizeof(struct erofs_inode_compact) == 32, "erofs_inode_compact");

struct erofs_inode_extended {
    uint16_t format;
    uint16_t xattr_count;
    uint16_t mode;
    uint16_t reserved;
    uint64_t size;
    uint32_t data;
    uint32_t number;
    uint32_t uid, gid;
    uint64_t mtime;
    uint32_t mtime_nsec;
    uint32_t link_count;
    uint8_t reserved2[16];
};
_Static_assert(sizeof(struct erofs_inode_extended) == 64, "erofs_inode_extended");

struct erofs_xattr_header { /* follows the inode if xattr_count; xattr_count = 1 + (bytes after this) / 4 */
    uint32_t name_filter;
    uint8_t shared_count;
    uint8_t reserved[7];
};
_Static_assert(sizeof(struct erofs_xattr_header) == 12, "erofs_xattr_ibody_header");

struct erofs_xattr_entry { /* then the name without its prefix, the value, and zeros up to 4 bytes */
    uint8_t name_size;
    uint8_t prefix;
    uint16_t value_size;
};
_Static_assert(sizeof(struct erofs_xattr_entry) == 4, "erofs_xattr_entry");

struct __attribute__((packed)) erofs_dirent {
    uint64_t nid;
    uint16_t name_offset; /* in the directory block */
    uint8_t type;
    uint8_t reserved;
};
_Static_assert(sizeof(struct erofs_dirent) == 12, "erofs_dirent");

enum erofs_file_type {
    EROFS_FT_REG = 1,
    EROFS_FT_DIR,
    EROFS_FT_CHR,
    EROFS_FT_BLK,
    EROFS_FT_FIFO,
    EROFS_FT_SOCK,
    EROFS_FT_LNK,
};

#endif

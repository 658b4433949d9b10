/*
 * The format of an encrypted volume, version 1: docs/VOLUME-FORMAT.md in C. Little-endian; reserved bytes are zero and
 * a reader refuses them otherwise. Nothing outside the header and the frames of slots is in the clear.
 */
#ifndef COFRE_KERNEL_VOLUME_FORMAT_H
#define COFRE_KERNEL_VOLUME_FORMAT_H

#include "kernel/lib/types.h"

#define VOLUME_BLOCK_SIZE 4096
#define VOLUME_MAGIC "CofreVol"
#define VOLUME_VERSION 1
#define VOLUME_AEAD_AES_256_GCM 1

/* Where things are, in blocks from the start of the file. */
enum {
    VOLUME_HEADER_BLOCK = 0, /* copy A; copy B is the next block */
    VOLUME_HEADER_COUNT = 2,
    VOLUME_KEY_BLOCK = 16, /* 32 key slots of 2 KiB */
    VOLUME_KEY_COUNT = 32,
    VOLUME_CHECKPOINT_BLOCK = 64, /* checkpoint slots, generation g in slot g % 4 */
    VOLUME_CHECKPOINT_STRIDE = 16,
    VOLUME_CHECKPOINT_COUNT = 4,
    VOLUME_FIRST_BLOCK = 256,
    VOLUME_GROUP_BLOCKS = 32768, /* mapped by one block of the free map */
};
#define VOLUME_BLOCKS_MIN 512ULL
#define VOLUME_BLOCKS_MAX (1ULL << 32) /* 16 TiB: one epoch never seals more blocks than its key may */

/* Feature words. What a reader does not know: compat, go on; ro_compat, read only; incompat, refuse. */
#define VOLUME_COMPAT_KNOWN 0ULL
#define VOLUME_RO_COMPAT_KNOWN 0ULL
#define VOLUME_INCOMPAT_SNAPSHOTS 1ULL /* blocks that only a snapshot refers to are in use */
#define VOLUME_INCOMPAT_REKEYED 2ULL   /* key slots are of generations; a checkpoint may have the key before */
#define VOLUME_INCOMPAT_KNOWN (VOLUME_INCOMPAT_SNAPSHOTS | VOLUME_INCOMPAT_REKEYED)

struct volume_features {
    uint64_t compat, ro_compat, incompat;
};

/* One block, in the clear, authenticated by HMAC-SHA-256 under a key derived from the master key. */
struct volume_header {
    char magic[8];
    uint32_t version, block_size;
    uint8_t uuid[16];
    struct volume_features features;
    uint64_t generation; /* of the header: the higher of two good copies counts */
    uint32_t aead;
    char feature_names[124]; /* of those in incompat and ro_compat, in words: for who does not know them. NUL-padded */
    uint8_t reserved[3872];
    uint8_t hmac[32]; /* of all before */
};
_Static_assert(sizeof(struct volume_header) == VOLUME_BLOCK_SIZE, "a header is a block");

/* How a key slot's wrapping key is found. The engine knows only that it is 32 bytes. */
enum volume_key_type {
    VOLUME_KEY_EMPTY,
    VOLUME_KEY_FILE,       /* the 32 bytes of a file */
    VOLUME_KEY_PASSPHRASE, /* scrypt; params: u64 N, u32 r, u32 p, salt[32] */
    VOLUME_KEY_SEALED,     /* a sealing key of the CPU; params: the key request */
    VOLUME_KEY_RECOVERY,   /* a public key whose private half is offline; params: the encapsulated key */
    VOLUME_KEY_RELEASED,   /* given after attestation; params: its name */
};
#define VOLUME_KEY_PARAMS_SIZE 1024

struct volume_master {
    uint8_t key[32];
    uint32_t generation; /* of the master key */
    uint32_t reserved;
};

struct volume_key_slot {
    uint32_t type; /* enum volume_key_type */
    uint32_t params_size;
    uint8_t uuid[16];
    char name[64]; /* for people; NUL-padded */
    uint8_t salt[32];
    uint8_t params[VOLUME_KEY_PARAMS_SIZE];
    uint32_t master_generation; /* of the key in it; 0: 1 */
    uint8_t reserved[844];
    uint8_t tag[16];                              /* additional data: all before */
    uint8_t master[sizeof(struct volume_master)]; /* sealed */
};
_Static_assert(sizeof(struct volume_key_slot) == 2048, "two key slots are a block");

/*
 * A pointer is a block's address and all that authenticates it. All zeros: no block (a hole). `where` is 40 bits of
 * address, 16 bits of epoch, 8 bits that are zero.
 */
struct volume_pointer {
    uint64_t where;
    uint64_t nonce;
    uint8_t tag[16];
};
_Static_assert(sizeof(struct volume_pointer) == 32, "128 pointers are a block");
#define VOLUME_FANOUT 128
#define VOLUME_FANOUT_BITS 7
#define VOLUME_HEIGHT_MAX 4 /* levels of pointer blocks: 128^4 blocks are 1 TiB */
#define VOLUME_FILE_BLOCKS (1ULL << (VOLUME_FANOUT_BITS * VOLUME_HEIGHT_MAX))
#define VOLUME_EPOCH_MAX 65535

#define VOLUME_WHERE(block, epoch) ((block) | (uint64_t)(epoch) << 40)
#define VOLUME_WHERE_BLOCK(where) ((where) & ((1ULL << 40) - 1))
#define VOLUME_WHERE_EPOCH(where) ((uint32_t)((where) >> 40 & 0xffff))

/* Additional data of a block: which one it is. */
struct volume_block_aad {
    uint64_t ino;
    uint64_t index; /* in units of its level */
    uint64_t level; /* 0: contents; VOLUME_LEVEL_XATTR: extended attributes */
};
#define VOLUME_LEVEL_XATTR 15

/* Objects: trees like files, whose roots are in the checkpoint. */
enum {
    VOLUME_OBJECT_INODES,    /* struct volume_inode, by inode number */
    VOLUME_OBJECT_FREE_MAP,  /* a bit for each block: 1 = in use */
    VOLUME_OBJECT_EPOCHS,    /* struct volume_epoch, by epoch */
    VOLUME_OBJECT_SNAPSHOTS, /* struct volume_snapshot, oldest first; the first without a name is the end */
    VOLUME_OBJECT_COUNT,
    VOLUME_ROOT_INO = 16, /* the root directory, and the first inode */
};

struct volume_root {
    struct volume_pointer pointer;
    uint64_t height; /* levels of pointer blocks above the contents */
};

struct volume_epoch {
    uint8_t salt[32];
    uint8_t reserved[32];
};
_Static_assert(VOLUME_BLOCK_SIZE % sizeof(struct volume_epoch) == 0, "whole epochs in a block");

struct volume_time {
    int64_t sec;
    uint32_t nsec, reserved;
};

/*
 * A snapshot: a tree of inodes as it was. Its blocks are those that were written up to (epoch, nonce), the last one
 * before it was made; a newer block is of no snapshot, an older one that the tree of today does not need any more is of
 * the last snapshot, at the same place of the same inode.
 */
struct volume_snapshot {
    uint8_t guid[16]; /* the same wherever it is sent */
    char name[64];    /* NUL-terminated */
    struct volume_time time;
    struct volume_root inodes;
    uint64_t inode_next, inode_free, inode_orphan, inode_count;
    uint64_t nonce;
    uint32_t epoch, reserved;
    uint8_t reserved_end[72];
};
_Static_assert(sizeof(struct volume_snapshot) == 256, "16 snapshots are a block");
#define VOLUME_SNAPSHOT_MAX 256

#define VOLUME_INLINE_SIZE 32 /* of a symbolic link's target in place of the root */
struct volume_inode {
    uint32_t mode; /* 0: free */
    uint32_t uid, gid, nlink;
    uint64_t rdev; /* Linux's encoding */
    uint64_t size;
    uint64_t block_count; /* of contents, pointer blocks and attributes */
    uint64_t next, prev;  /* free inodes: next; inodes without a name: both */
    uint64_t parent;      /* of a directory */
    uint64_t entry_count; /* of a directory */
    uint32_t generation;  /* grows with each use of the number */
    uint8_t height, inline_size, reserved[2];
    struct volume_time atime, mtime, ctime, btime;
    struct volume_pointer xattr;
    union {
        struct volume_pointer root;
        char inline_data[VOLUME_INLINE_SIZE];
    };
    uint8_t reserved_end[48];
};
_Static_assert(sizeof(struct volume_inode) == 256, "16 inodes are a block");
#define VOLUME_INODES_PER_BLOCK (VOLUME_BLOCK_SIZE / sizeof(struct volume_inode))

/*
 * Directories are search trees in the blocks of a file, keyed by a keyed hash of names (63 bits, which is also the
 * position that readdir gives). Block 0 is the root. An index block's entries ascend; the first one's hash counts as 0.
 */
struct volume_dir_block {
    uint32_t magic;
    uint16_t level; /* 0: entries; else index */
    uint16_t count; /* of entries */
    uint32_t used;  /* bytes of data */
    uint32_t reserved;
    uint8_t data[VOLUME_BLOCK_SIZE - 16];
};
_Static_assert(sizeof(struct volume_dir_block) == VOLUME_BLOCK_SIZE, "");
#define VOLUME_DIR_MAGIC 0x52494456 /* "VDIR" */

struct volume_dir_index {
    uint64_t hash;
    uint64_t block;
};

struct volume_dir_entry { /* then the name; 8-byte aligned; ascending hashes */
    uint64_t hash;
    uint64_t ino;
    uint16_t size; /* of this and the name, rounded up */
    uint8_t name_size;
    uint8_t type; /* DT_* */
    uint8_t name[];
} __attribute__((packed));
#define VOLUME_DIR_ENTRY_SIZE(name_size) ALIGN_UP(sizeof(struct volume_dir_entry) + (size_t)(name_size), 8)
#define VOLUME_NAME_MAX 255

/* Extended attributes of an inode: one block. */
struct volume_xattr_block {
    uint32_t magic;
    uint32_t used; /* bytes of data */
    uint8_t data[VOLUME_BLOCK_SIZE - 8];
};
#define VOLUME_XATTR_MAGIC 0x54415856 /* "VXAT" */
struct volume_xattr_entry {           /* then the name, then the value */
    uint16_t name_size, value_size;
};

/* A checkpoint slot: salt and tag in the clear, the rest sealed under a key of its own. */
struct volume_checkpoint {
    uint32_t magic, version;
    uint8_t uuid[16];
    struct volume_features features; /* as in the header */
    uint64_t header_generation;      /* a header of a lower generation is refused */
    uint64_t generation;
    uint32_t epoch, master_generation;
    uint8_t epoch_salt[32];
    uint64_t anchor_base;   /* the anchor says this + sequence while this epoch writes; 0: it has no anchor */
    uint64_t acquired_base; /* of the epoch that was the anchor's when this one began, ... */
    uint8_t reserved_acquired[16];
    uint64_t acquired_sequence;   /* ... and how far its records had been adopted */
    uint64_t sequence;            /* of this checkpoint; the next record has the next one */
    uint64_t log_block, log_room; /* where the first record will be; blocks reserved there */
    uint64_t block_count, used_count;
    uint64_t inode_next, inode_free, inode_orphan, inode_count;
    uint8_t hash_key[16]; /* of directories */
    struct volume_root roots[VOLUME_OBJECT_COUNT];
    uint8_t anchor_secret[32];       /* whoever has it may raise the volume's counter; zeros: none was drawn yet */
    struct volume_master old_master; /* of epochs before rekey_epoch, as long as there are blocks of them */
    uint32_t rekey_epoch;            /* 0: none */
    uint8_t reserved[3580];
};
#define VOLUME_CHECKPOINT_MAGIC 0x54504b43 /* "CKPT" */

struct volume_slot {
    uint8_t salt[32];
    uint8_t tag[16];
    uint8_t sealed[sizeof(struct volume_checkpoint)];
};
_Static_assert(sizeof(struct volume_slot) == VOLUME_BLOCK_SIZE, "a slot is a block");

/* The head of a log record: the tag in the clear, the rest sealed. Additional data: struct volume_record_aad. */
struct volume_record {
    uint32_t magic, size; /* bytes of data */
    uint64_t sequence;
    uint64_t next, next_room; /* where the next record will be; blocks reserved there */
    uint32_t flags;
    uint32_t block_count;                 /* of this record: the head and the contents that follow it */
    uint8_t data[VOLUME_BLOCK_SIZE - 56]; /* operations */
};
#define VOLUME_RECORD_MAGIC 0x43455256 /* "VREC" */
#define VOLUME_RECORD_COMMIT 1         /* what began after the last record with this flag takes effect */

struct volume_record_block {
    uint8_t tag[16];
    uint8_t sealed[sizeof(struct volume_record)];
};
_Static_assert(sizeof(struct volume_record_block) == VOLUME_BLOCK_SIZE, "a record's head is a block");

struct volume_record_aad {
    uint8_t previous_tag[16]; /* of the record before, or of the checkpoint slot */
    uint64_t block;
};

/* Operations in a record: this, then what the type says. Names have no NUL. */
struct volume_op {
    uint16_t type; /* enum volume_op_type */
    uint16_t size; /* with this */
    uint32_t reserved;
};
enum volume_op_type {
    VOLUME_OP_CREATE = 1, /* struct volume_op_create, name, target of a symbolic link */
    VOLUME_OP_LINK,       /* struct volume_op_name, name */
    VOLUME_OP_UNLINK,     /* struct volume_op_name, name; also rmdir */
    VOLUME_OP_RENAME,     /* struct volume_op_rename, both names */
    VOLUME_OP_SETATTR,    /* struct volume_op_setattr */
    VOLUME_OP_TRUNCATE,   /* struct volume_op_range: offset is the new size */
    VOLUME_OP_PUNCH,      /* struct volume_op_range */
    VOLUME_OP_BYTES,      /* struct volume_op_range, bytes: written there; the size does not change */
    VOLUME_OP_BLOCKS,     /* struct volume_op_range in blocks, pointers: contents of these blocks */
    VOLUME_OP_SETXATTR,   /* struct volume_op_xattr, name, value */
    VOLUME_OP_REMOVEXATTR,
    VOLUME_OP_FREE, /* struct volume_op_range: the inode had no name and is gone */
    VOLUME_OP_COUNT
};

struct volume_op_create { /* dir 0: no name (O_TMPFILE) */
    uint64_t dir, ino, rdev;
    uint32_t mode, uid, gid;
    uint16_t name_size, target_size;
    struct volume_time time;
};
struct volume_op_name {
    uint64_t dir, ino;
    struct volume_time time;
    uint64_t name_size;
};
struct volume_op_rename {
    uint64_t old_dir, new_dir;
    uint32_t flags; /* RENAME_EXCHANGE, RENAME_WHITEOUT */
    uint16_t old_size, new_size;
    uint64_t whiteout; /* inode of the device left behind, and its owner */
    uint32_t whiteout_uid, whiteout_gid;
    struct volume_time time;
};
#define VOLUME_SIZE_KEEP UINT64_MAX
struct volume_op_setattr { /* all of them; the size may be VOLUME_SIZE_KEEP */
    uint64_t ino, size;
    uint32_t mode, uid, gid, reserved;
    struct volume_time atime, mtime, ctime;
};
struct volume_op_range {
    uint64_t ino, offset, count;
    struct volume_time time;
};
struct volume_op_xattr {
    uint64_t ino;
    uint32_t name_size, value_size;
    struct volume_time time;
};

#endif

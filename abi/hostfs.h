/*
 * Folders of the host in a container (run -v HOST:PATH): messages between the kernel of the init process and threads of
 * its host process, through memory that both can write. Nothing here is confidential, and every answer is hostile.
 *
 *   struct hostfs_shared | struct hostfs_slot[HOSTFS_SLOTS] | HOSTFS_DATA_SIZE bytes of data for each slot
 *
 * A request fills a slot, then its bit is set in `submitted` (kernel). A thread of the host clears the bit, does the
 * work, fills the slot's reply and data, and sets the bit in `completed`, which the kernel clears. While a request is
 * under way the kernel leaves its slot alone; otherwise the host does.
 *
 * Waking costs no exit while both sides run. The host's threads look for requests a while before they sleep; while
 * `sleeping` is set, the host looks again at every KICK (of nobody, if need be). While `kernel_waits` is set, the host
 * kicks a vCPU for each answer.
 *
 * Files are named by node numbers that the kernel chooses: 0..HOSTFS_FOLDERS-1 are the folders themselves, the others
 * come to life by a request that has one as `result_node`, and end by an entry of the forget queue.
 */
#ifndef COFRE_ABI_HOSTFS_H
#define COFRE_ABI_HOSTFS_H

#include <stdint.h>

#define HOSTFS_MAGIC 0x5346544f484f4643ULL /* "CFOHOTFS" */
#define HOSTFS_FOLDERS 16U
#define HOSTFS_SLOTS 32U
#define HOSTFS_DATA_SIZE 0x40000U
#define HOSTFS_NODES 16384U
#define HOSTFS_FORGETS 32768U /* power of two, > HOSTFS_NODES */

enum hostfs_op {
    HOSTFS_LOOKUP = 1, /* name in node; if it is the file `ino` of type `mode`, REPLY_SAME, else result_node is it */
    HOSTFS_GETATTR,
    HOSTFS_SETATTR, /* HOSTFS_SET_* of mode, uid, gid, size, atime, mtime */
    HOSTFS_OPEN,    /* flags: HOSTFS_OPEN_*; a regular file or a directory */
    HOSTFS_READ,    /* size bytes from offset; result: bytes */
    HOSTFS_WRITE,   /* size bytes at offset, or (HOSTFS_APPEND) at the end; result: bytes; offset: where */
    HOSTFS_READDIR, /* entries after cookie `offset` (0: the first): struct hostfs_entry; result: bytes */
    HOSTFS_CREATE,  /* name in node, any type but directory and link: mode, rdev 0; result_node */
    HOSTFS_TMPFILE, /* a regular file without a name in node: mode; result_node */
    HOSTFS_MKDIR,
    HOSTFS_SYMLINK, /* target is the second name */
    HOSTFS_LINK,    /* name in node becomes other_node */
    HOSTFS_UNLINK,
    HOSTFS_RMDIR,
    HOSTFS_RENAME, /* name in node to second name in other_node; flags: RENAME_NOREPLACE, RENAME_EXCHANGE; attr: of what
                     it replaced */
    HOSTFS_READLINK,  /* result: bytes */
    HOSTFS_FSYNC,     /* flags: 1 = data only */
    HOSTFS_STATFS,    /* struct hostfs_statfs */
    HOSTFS_FALLOCATE, /* flags: FALLOC_FL_*; offset, size */
    HOSTFS_SEEK,      /* flags: SEEK_DATA or SEEK_HOLE; result: position */
    HOSTFS_GETXATTR,  /* name; result: bytes */
    HOSTFS_SETXATTR,  /* name, then size bytes; flags: XATTR_* */
    HOSTFS_LISTXATTR,
    HOSTFS_REMOVEXATTR,
};

enum hostfs_flags {
    HOSTFS_OPEN_READ = 1,
    HOSTFS_OPEN_WRITE = 2,
    HOSTFS_APPEND = 1, /* of WRITE */
    HOSTFS_SET_MODE = 1,
    HOSTFS_SET_UID = 2,
    HOSTFS_SET_GID = 4,
    HOSTFS_SET_SIZE = 8,
    HOSTFS_SET_ATIME = 16,
    HOSTFS_SET_MTIME = 32,
};

#define HOSTFS_NO_NODE (~0U)

/* Data: name_size bytes of name, second_size of the second, then what is written. No NULs. */
struct hostfs_request {
    uint32_t op, node, other_node, result_node;
    uint32_t flags, mode, uid, gid;
    uint32_t name_size, second_size;
    uint64_t offset, size;
    uint64_t ino;
    int64_t atime_sec, mtime_sec;
    uint32_t atime_nsec, mtime_nsec;
};

struct hostfs_attr {
    uint64_t ino, size, blocks; /* blocks of 512 bytes */
    uint32_t mode, nlink, uid, gid;
    int64_t atime_sec, mtime_sec, ctime_sec, btime_sec;
    uint32_t atime_nsec, mtime_nsec, ctime_nsec, btime_nsec;
};

enum hostfs_reply_flags {
    HOSTFS_REPLY_SAME = 1, /* LOOKUP: what the kernel expected; result_node was not used */
    HOSTFS_REPLY_ATTR = 2, /* attr is valid: of the file the request was about, or of the new one */
};

struct hostfs_reply {
    int64_t result; /* >= 0, or negative errno */
    uint64_t offset;
    uint32_t flags, reserved;
    struct hostfs_attr attr;
};

struct hostfs_slot {
    struct hostfs_request request;
    struct hostfs_reply reply;
    uint8_t pad[512 - sizeof(struct hostfs_request) - sizeof(struct hostfs_reply)];
};
_Static_assert(sizeof(struct hostfs_slot) == 512, "whole cache lines");

struct hostfs_entry {     /* then the name, then up to the next multiple of 8 */
    uint64_t ino, cookie; /* cookie: to go on after this one; > 0 */
    uint32_t type;        /* DT_* */
    uint32_t name_size;
};

struct hostfs_statfs {
    uint64_t block_size, blocks, free, available, files, files_free;
};

enum boot_folder_flags {
    BOOT_FOLDER_READ_ONLY = 1 << 0, /* run -v HOST:PATH:ro */
    BOOT_FOLDER_IDS = 1 << 1,       /* the host is root: owners are what they are, and can be set */
};

struct boot_folder {
    uint32_t flags;
    uint32_t uid, gid; /* whom files belong to that the host makes */
    uint32_t reserved;
    struct hostfs_attr root;
    char path[256]; /* which of the policy's folders it is for; NUL-terminated */
};

struct hostfs_shared {
    uint64_t magic;
    uint32_t folder_count, spin; /* spin: the host has a CPU to spare for its threads */
    uint8_t pad0[48];
    uint32_t submitted, pad1[15];    /* kernel sets, host clears */
    uint32_t completed, pad2[15];    /* host sets, kernel clears */
    uint32_t sleeping, pad3[15];     /* host */
    uint32_t kernel_waits, pad4[15]; /* kernel */
    uint32_t forget_head, pad5[15];  /* kernel */
    uint32_t forget_tail, pad6[15];  /* host */
    struct boot_folder folders[HOSTFS_FOLDERS];
    uint32_t forgets[HOSTFS_FORGETS]; /* node, or node | HOSTFS_RELEASE: close its descriptors, keep the node */
};
#define HOSTFS_RELEASE 0x80000000U

#define HOSTFS_ALIGN(n) (((n) + 4095UL) & ~4095UL)
#define HOSTFS_SLOTS_OFFSET HOSTFS_ALIGN(sizeof(struct hostfs_shared))
#define HOSTFS_DATA_OFFSET (HOSTFS_SLOTS_OFFSET + HOSTFS_ALIGN(HOSTFS_SLOTS * sizeof(struct hostfs_slot)))
#define HOSTFS_AREA_SIZE (HOSTFS_DATA_OFFSET + (uint64_t)HOSTFS_SLOTS * HOSTFS_DATA_SIZE)

#endif

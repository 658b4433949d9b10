/*
 * The compiled policy: what is measured besides the kernel itself. Written by image/policy_compile.c, read by
 * kernel/boot/policy.c (which trusts it only after bounds checks) and by host tools that show it.
 *
 * One struct policy, then a string area. Lists are offset + count of NUL-terminated strings back to back. Canonical:
 * the same policy has exactly one encoding; unused bytes are zero.
 */
#ifndef COFRE_ABI_POLICY_H
#define COFRE_ABI_POLICY_H

#include <stdint.h>

#define POLICY_MAGIC 0x3159434c4f464f43ULL /* "COFOLCY1" */
#define POLICY_VERSION 1

enum policy_flags {
    POLICY_EDMM = 1 << 0,             /* memory grows by EAUG/EACCEPT; otherwise added at build */
    POLICY_DEBUG = 1 << 1,            /* the enclave may be created with ATTRIBUTES.DEBUG */
    POLICY_DIAGNOSTICS = 1 << 2,      /* statistics, logs and traces may leave the enclave */
    POLICY_ARGS_ANY = 1 << 3,         /* the host may replace the command's arguments (run IMAGE -- ARGS) */
    POLICY_WORKDIR_ANY = 1 << 4,      /* the host may choose the working directory */
    POLICY_USER_ANY = 1 << 5,         /* the host may choose the user */
    POLICY_HOST_NAME = 1 << 6,        /* hostname from the host */
    POLICY_HOST_HOSTS = 1 << 7,       /* /etc/hosts from the host */
    POLICY_HOST_RESOLV_CONF = 1 << 8, /* /etc/resolv.conf from the host */
    POLICY_PORTS_ANY = 1 << 9,        /* any port may be bound on host interfaces */
    POLICY_CONNECT_ANY = 1 << 10,     /* outgoing connections may be made */
    POLICY_READ_ONLY_ROOT = 1 << 11,  /* no writable layer above the root image */
    POLICY_EXEC_ANY = 1 << 12,        /* the host may have any command run in the container (cofre exec) */
};

/* How the data blocks of the root image are encrypted; the hash tree is over the encrypted blocks. */
enum policy_cipher {
    POLICY_CIPHER_NONE = 0,
    POLICY_CIPHER_AES_XTS =
        1, /* dm-crypt's aes-xts-plain64, 512-bit key, sectors of 4096 bytes, numbers in 512 bytes */
};

/* Where the enclave gets the key of the root image. */
enum policy_key_release {
    POLICY_KEY_NONE = 0,
    POLICY_KEY_FILE = 1,   /* from a file on the host, which so has it: for development */
    POLICY_KEY_SERVER = 2, /* from the key server, after attestation */
};

#define IMAGE_KEY_SIZE 64 /* AES-256-XTS: data key, tweak key */
#define POLICY_KEY_CHECK_SIZE 16
#define POLICY_KEY_CHECK_LABEL "cofre image key" /* without its NUL */

struct policy_list {
    uint32_t offset; /* from the start of struct policy */
    uint32_t count;
};

struct policy_mount { /* tmpfs mounts, in the order to mount */
    uint32_t path_offset;
    uint32_t mode;
    uint64_t size_max; /* bytes; 0 = bounded only by memory */
};

/* Where a volume's wrapping key comes from. */
enum policy_volume_key {
    POLICY_VOLUME_MRENCLAVE = 0, /* sealed to this very kernel, policy and root image */
    POLICY_VOLUME_MRSIGNER = 1,  /* sealed to the signer and product, this version or a newer one */
    POLICY_VOLUME_FILE = 2,      /* from a file on the host, which so has it: for development */
    POLICY_VOLUME_SERVER = 3,    /* from the key server, after attestation */
};

/* How far back a volume may be put unnoticed: docs/volumes.md. */
enum policy_volume_freshness {
    POLICY_FRESH_NONE = 0,
    POLICY_FRESH_LOCAL = 1,  /* a sealed file beside the volume */
    POLICY_FRESH_LAG = 2,    /* a counter elsewhere, which is a little behind */
    POLICY_FRESH_STRICT = 3, /* ... for which syncs wait */
    POLICY_FRESH_OUTPUT = 4, /* ... for which only what leaves the container after a sync waits */
};

#define POLICY_SERVICE_TIMEOUT_MAX 600000U
#define POLICY_ADDRESS_MAX 256U /* bytes of an address, with its NUL */
/* A service elsewhere that the kernel speaks with; all zeros if there is none. */
struct policy_service {
    uint32_t address_offset; /* "IP:PORT" */
    uint32_t timeout_ms;     /* how long an answer is waited for; at most POLICY_SERVICE_TIMEOUT_MAX */
    uint8_t public_key[32];  /* X25519; whoever has the private one is the service */
};

/*
 * Instead of our own counter service a MarbleRun coordinator's monotonic counters, over TLS; all zeros if there is
 * none. anchor has its address and timeout.
 */
struct policy_marble {
    uint32_t point_offset;    /* of the coordinator's root certificate, whose public key is the pinned one: its
                                 uncompressed    point, hexadecimal, on P-256 or P-384. 0: no coordinator */
    uint32_t key_release;     /* enum policy_key_release: where the private key of our own certificate comes from */
    uint32_t key_name_offset; /* of that key at the key server; 0 without one */
};
#define POLICY_POINT_P256 130U /* digits */
#define POLICY_POINT_P384 194U
#define MARBLE_KEY_SIZE 48U        /* P-384; what a key server releases */
#define MARBLE_IDENTITY_MAX 16384U /* bytes of the PEM file */

enum policy_volume_flags {
    POLICY_VOLUME_CREATE = 1 << 0,    /* made in an empty file */
    POLICY_VOLUME_OPTIONAL = 1 << 1,  /* the container also runs without it */
    POLICY_VOLUME_READ_ONLY = 1 << 2, /* never written */
    POLICY_VOLUME_NO_COPY = 1 << 4,   /* an empty one stays so: the image's folder there is not copied in */
    POLICY_VOLUME_KEEP = 1 << 3,      /* as the root's upper layer: also over another root image than it was made for */
};

struct policy_volume {    /* in the order to mount */
    uint32_t name_offset; /* part of the sealed key: a volume of another name does not open */
    uint32_t path_offset;
    uint32_t key;             /* enum policy_volume_key */
    uint32_t freshness;       /* enum policy_volume_freshness */
    uint32_t flags;           /* enum policy_volume_flags */
    uint32_t recovery_offset; /* X25519 public key, 64 hexadecimal digits, whose private half opens it, too; or 0 */
    uint32_t key_name_offset; /* of its key at the key server, fewer than KEY_NAME_SIZE bytes; 0 without one */
    uint32_t reserved;
    uint64_t size;       /* bytes of a new one; 0 unless POLICY_VOLUME_CREATE */
    uint64_t cache_size; /* bytes of its blocks kept in memory; 0: by the kernel heap */
};

enum policy_folder_flags {
    POLICY_FOLDER_WRITE = 1 << 0,    /* the container may change what is in it */
    POLICY_FOLDER_OPTIONAL = 1 << 1, /* the container also runs without it */
};

/* A folder of the host, in the clear. */
struct policy_host_folder {
    uint32_t path_offset;
    uint32_t flags; /* enum policy_folder_flags */
};

enum policy_command_flags {
    POLICY_COMMAND_MORE = 1 << 0, /* any further arguments may follow these */
};

/* A command that the host may have run in the container (cofre exec). */
struct policy_command {
    struct policy_list arguments; /* from argv[0] on; at least one */
    uint32_t flags;               /* enum policy_command_flags */
    uint32_t reserved;
};
#define POLICY_COMMAND_MAX 256

struct policy_port {
    uint16_t port;     /* host order */
    uint16_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
};

struct policy {
    uint64_t magic;
    uint32_t version;
    uint32_t size; /* of the whole blob */
    uint64_t flags;
    uint64_t elrange_size;     /* power of two >= ELRANGE_SIZE_MIN */
    uint64_t memory_size;      /* application memory limit, bytes, multiple of a page */
    uint64_t kernel_heap_size; /* bytes; the limit with EDMM, the preallocation without */
    uint32_t vcpu_max;
    uint32_t xfrm_low; /* XFRM (bits 31:0) the enclave is created with */
    uint32_t uid, gid;
    uint32_t umask;
    uint32_t stack_size;           /* main thread's stack limit, bytes */
    struct policy_list groups;     /* decimal strings */
    struct policy_list entrypoint; /* argv[0..] that the host may not replace */
    struct policy_list cmd;        /* default arguments after it */
    struct policy_list env;        /* "NAME=VALUE" */
    struct policy_list env_allow;  /* names, or NAME* prefixes, that the host may set */
    uint32_t workdir_offset;       /* string; 0 = "/" */
    uint32_t hostname_offset;      /* string; 0 = "cofre" */
    struct policy_list tmpfs;      /* array of struct policy_mount */
    struct policy_list ports;      /* array of struct policy_port */
    /* Root image */
    uint64_t root_size;        /* bytes of the EROFS image (multiple of 4096): the data blocks */
    uint64_t root_hash_offset; /* where in the image file the first hash block is (no superblock) */
    uint8_t root_hash[32];     /* dm-verity root hash: SHA-256, 4096/4096, hash type 1 */
    uint8_t root_salt[32];
    uint32_t user_name_offset; /* the image's USER string if it needs /etc/passwd to resolve; 0 = uid/gid above hold */
    uint32_t stop_signal;      /* what `stop` sends first; 0 = SIGTERM */
    uint32_t root_cipher;      /* enum policy_cipher */
    uint32_t root_key_release; /* enum policy_key_release; not none exactly if there is a cipher */
    uint8_t root_key_check[POLICY_KEY_CHECK_SIZE]; /* of the image key: HMAC-SHA-256(key, POLICY_KEY_CHECK_LABEL), its
                                                      first bytes */
    uint32_t boot_interface;                       /* BOOT_INTERFACE (abi/boot.h) of the kernel beside this policy */
    uint32_t process_max;                          /* in the container at once */
    struct policy_list volumes;                    /* array of struct policy_volume */
    struct policy_list host_folders;               /* array of struct policy_host_folder */
    struct policy_service anchor;                  /* the counter that volumes have their freshness from */
    struct policy_list exec_commands;              /* array of struct policy_command; empty with POLICY_EXEC_ANY */
    struct policy_service key_server; /* who has what POLICY_KEY_SERVER and POLICY_VOLUME_SERVER wait for */
    uint32_t root_key_name_offset;    /* of the image's key there; 0 without POLICY_KEY_SERVER */
    struct policy_marble marble;      /* the anchor is one */
    uint8_t reserved[16];
};

#endif

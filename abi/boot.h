/*
 * What the host tells the kernel at the first EENTER of each vCPU (RDI = address of struct boot_params in untrusted
 * memory). Everything here is hostile: copied in once, every address and length checked to lie outside ELRANGE, and
 * only facts that the policy leaves to the host are used.
 */
#ifndef COFRE_ABI_BOOT_H
#define COFRE_ABI_BOOT_H

#include <stdint.h>

#define BOOT_MAGIC 0x31544f4f42464f43ULL /* "COFBOOT1" */
#define BOOT_VERSION 2

enum boot_flags {
    BOOT_TTY = 1 << 0,        /* stdin/stdout/stderr are one terminal (run -t) */
    BOOT_SIMULATION = 1 << 1, /* informational: the enclave runs on softsgx */
    BOOT_STATS = 1 << 2,      /* the host would like statistics at exit; the policy decides */
    BOOT_LOG_DEBUG = 1 << 3,  /* the host would like debug logs; the policy decides */
    BOOT_STDIN_OPEN = 1 << 4, /* run -i: stdin is connected; otherwise reads give end of file */
    BOOT_TRACE = 1 << 5,      /* system call trace wanted; the policy decides */
    BOOT_XCR0 = 1 << 7,       /* softsgx: XCR0 is not XFRM and CPUID answers inside: keep all that XCR0 has */
    BOOT_MEMBER = 1 << 6,     /* a further process of a container: abi/link.h */
    BOOT_EXEC = 1 << 9,       /* SOCKET_CREATE of AF_UNIX is where commands are asked for (abi/exec.h) */
    BOOT_QUOTE = 1 << 8,      /* run nothing: make a quote with what quote_data gives (below), and exit */
};

/* A run of bytes in untrusted memory. */
struct boot_blob {
    uint64_t addr;
    uint64_t size;
};

/* One answer of CPUID, collected by the host before the enclave starts; sanitised by the kernel against XFRM. */
struct boot_cpuid {
    uint32_t leaf, subleaf;
    uint32_t eax, ebx, ecx, edx;
};

struct boot_params {
    uint64_t magic;
    uint32_t version;
    uint32_t size; /* sizeof(struct boot_params) */
    uint32_t flags;
    uint32_t vcpu_count;          /* vCPU threads that will enter; 1..policy.vcpu_max */
    struct boot_blob arena;       /* abi/ring.h; page aligned */
    struct boot_blob queues;      /* a member's: of its own pump (abi/ring.h), page aligned */
    struct boot_blob root;        /* root image: EROFS, then the dm-verity hash tree; page aligned */
    struct boot_blob vcpu_shared; /* array of struct vcpu_shared (abi/hostcall.h), vcpu_count entries, page aligned */
    struct boot_blob args;        /* NUL-terminated strings back to back; empty = the policy's own */
    struct boot_blob env;         /* "NAME=VALUE\0"..., each checked against policy rules */
    struct boot_blob hostname;    /* one string, no NUL needed */
    struct boot_blob hosts;       /* /etc/hosts text */
    struct boot_blob resolv_conf; /* /etc/resolv.conf text */
    struct boot_blob workdir;     /* run -w; empty = the policy's own */
    struct boot_blob user;        /* run -u "uid[:gid]" or names; empty = the policy's own */
    struct boot_blob cpuid;       /* array of struct boot_cpuid */
    struct boot_blob image_key;   /* IMAGE_KEY_SIZE bytes, if the policy has the key from a file; otherwise empty */
    struct boot_blob stats;       /* struct run_stats (abi/stats.h) the kernel fills at exit */
    uint64_t tsc_hz;              /* clock calibration: see hostcall CLOCK */
    uint64_t clock_tsc;           /* TSC when the two below were read */
    uint64_t clock_monotonic_ns;
    uint64_t clock_realtime_ns;
    uint64_t random_seed[4]; /* mixed in besides RDRAND, never trusted alone */
    uint16_t tty_rows, tty_cols;
    uint32_t member;          /* which member this is; 0 = the init process */
    struct boot_blob links;   /* abi/link.h; page aligned; empty = this host cannot start members */
    uint8_t quote_data[64];   /* BOOT_QUOTE */
    struct boot_blob volumes; /* array of struct boot_volume (abi/volume.h); empty in members */
    struct boot_blob hostfs;  /* abi/hostfs.h; page aligned; empty: no folders, or a member */
    struct boot_blob marble;  /* PEM: MarbleRun's certificate for us, perhaps its key; empty in members and without */
    struct boot_blob start;   /* struct start_area (abi/start.h); empty in members, and where nothing is kept */
};

/*
 * REPORTDATA of a quote that the host asked for (BOOT_QUOTE) is SHA-256(BOOT_QUOTE_PREFIX, quote_data), then
 * BOOT_QUOTE_MARK. Were it the host's bytes as they are, the host could put the hash of a key of its own there and pass
 * for the enclave.
 */
#define BOOT_QUOTE_PREFIX "cofre boot quote, version 1"   /* without its NUL */
#define BOOT_QUOTE_MARK "report data chosen by the host." /* 32 bytes with its NUL */

/* Which of these a kernel understands: in its image's policy, so that a runtime can tell before it starts one. */
#define BOOT_INTERFACE ((uint32_t)(BOOT_VERSION << 16 | sizeof(struct boot_params)))

#endif

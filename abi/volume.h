/*
 * Volumes: files of the host that the kernel keeps encrypted file systems in (docs/VOLUME-FORMAT.md). The host moves
 * blocks between file and buffer as it is told (host call VOLUME) and knows nothing else of them. Its answers are
 * hostile: what it hands over is authenticated under keys that it does not have.
 */
#ifndef COFRE_ABI_VOLUME_H
#define COFRE_ABI_VOLUME_H

#include <stdint.h>

#define VOLUME_MAX 16U
#define VOLUME_IO_BLOCK 4096U
#define VOLUME_IO_BLOCKS 64U /* in one operation, at most */
#define VOLUME_BUFFERS 32U   /* of so many blocks each */
#define VOLUME_BUFFER_SIZE (VOLUME_IO_BLOCKS * VOLUME_IO_BLOCK)
#define VOLUME_BUFFERS_SIZE (VOLUME_BUFFERS * VOLUME_BUFFER_SIZE)

enum volume_op_code {
    VOLUME_READ = 0,
    VOLUME_WRITE = 1,
    VOLUME_WRITE_DURABLE = 2, /* what this call wrote is durable when it answers */
    VOLUME_FLUSH = 3,         /* all that was written before is durable when it answers */
    /*
     * Always VOLUME_OP_LATER, beside what else is done later: carry the `block` bytes of anchor_message to the counter
     * that the policy names (`anchor`) and put its answer there. `count`: enum volume_anchor_flags.
     */
    VOLUME_ANCHOR_EXCHANGE = 4,
    VOLUME_WAIT = 5, /* until the operation that is done later with this buffer is done */
};
/*
 * Answer 0 at once and do it on a thread of the host's own, in the order in which it was asked for: `result`, then
 * `done` = sequence + 1 in the buffer's struct volume_lane, then a vCPU is kicked if `waited` is set. One such
 * operation at a time for each buffer. What is not done later is done when all of these are done, a read when all
 * writes of these are.
 */
#define VOLUME_OP_LATER 0x100U
#define VOLUME_OP_BUFFER(n) ((uint64_t)(n) << 12) /* which buffer it moves blocks in or out of */

enum volume_anchor_flags {
    VOLUME_ANCHOR_FRESH = 1 << 0, /* over a new connection */
    /*
     * The bytes (perhaps none) go as they are, and what then arrives is the answer: at least one, at most
     * VOLUME_ANCHOR_MESSAGE. Otherwise both are messages behind their sizes.
     */
    VOLUME_ANCHOR_STREAM = 1 << 1,
    VOLUME_ANCHOR_SEND = 1 << 2, /* with it: nothing is waited for, and the result is 0 */
};

/* arg1: which file. Beside a volume there may be its anchor, a file of VOLUME_ANCHOR_BLOCKS. */
#define VOLUME_FILE(number, anchor) ((uint64_t)(number) << 1 | ((anchor) ? 1U : 0U))
#define VOLUME_ANCHOR_BLOCKS 2U

struct volume_lane {
    uint32_t sequence; /* kernel: of the operation to do later */
    uint32_t done;     /* host */
    int64_t result;    /* host: 0 or negative errno */
};

/* One page for each volume, behind its buffers. */
#define VOLUME_ANCHOR_MESSAGE 2048U
struct volume_shared {
    struct volume_lane lanes[VOLUME_BUFFERS];
    uint64_t waited; /* kernel: a task sleeps until one of them is done */
    /* The same for VOLUME_ANCHOR_EXCHANGE, of which the result is the size of the answer. */
    uint32_t anchor_sequence;
    uint32_t anchor_done;
    int64_t anchor_result;
    uint8_t anchor_message[VOLUME_ANCHOR_MESSAGE];
};
_Static_assert(sizeof(struct volume_shared) <= VOLUME_IO_BLOCK, "one page");

enum boot_volume_flags {
    BOOT_VOLUME_READ_ONLY = 1 << 0, /* run -v NAME:PATH:ro */
    BOOT_VOLUME_REKEY = 1 << 1,     /* run -v NAME:PATH:rekey */
};

struct boot_volume {
    uint64_t buffer; /* VOLUME_BUFFERS_SIZE bytes, then a page with struct volume_shared; page aligned */
    uint64_t block_count;
    uint32_t flags;
    uint32_t key_size; /* 32 if a key file was given, else 0 */
    uint8_t key[32];
    char path[256]; /* which of the policy's volumes it is for; NUL-terminated */
};

#endif

/*
 * The host's side of volumes, as kernel/volume/ wants it: blocks in and out of files of the host (abi/volume.h).
 *
 * An operation is done in one of two ways. Now: this vCPU leaves the enclave for as long as the host works, with the
 * kernel lock released; that is one exit, and the fastest when nobody else could use the vCPU. Later: the host gives it
 * to a thread of its own, the task sleeps, and the host kicks a vCPU when it is done. Flushes, which may take long, and
 * whatever is asked for while others want to run are done later.
 *
 * Nobody sleeps for a plain write, nor for blocks that are read ahead: several buffers let the host write and read
 * while the enclave encrypts and decrypts. The host does what is done later in the order in which it was asked for, and
 * what is done now after all of that. A write's error is what the next write or flush gives, and all after it.
 */
#ifndef COFRE_KERNEL_FS_VOLUME_DISK_H
#define COFRE_KERNEL_FS_VOLUME_DISK_H

#include "abi/volume.h"
#include "kernel/volume/volume.h"

struct task;

enum volume_buffer_state {
    VOLUME_BUFFER_IDLE,
    VOLUME_BUFFER_BEHIND, /* is being written, and was */
    VOLUME_BUFFER_AHEAD,  /* is being read, and was */
    VOLUME_BUFFER_BUSY,   /* of the operation that a task waits for */
};

struct volume_buffer {
    enum volume_buffer_state state;
    uint32_t sequence;     /* of its operation that is done later */
    uint64_t order;        /* among those of all buffers */
    uint64_t block, count; /* ahead: what is read; 0 blocks: nobody wants it any more */
};

struct volume_disk {
    struct volume_io io;  /* of the volume's file */
    unsigned number;      /* of boot_params.volumes */
    uint64_t block_count; /* the host's word, of when it started */
    host_ptr data, shared;
    struct volume_buffer buffers[VOLUME_BUFFERS];
    uint64_t order;
    unsigned turn;
    struct task *waiting; /* for the buffer `waited`; NULL: nobody does */
    unsigned waited;
    int write_error; /* the first of a plain write */
    uint32_t anchor_sequence;
    struct task *anchor_waiting;
    int error;        /* the first that the host gave; 0 */
    const char *path; /* for messages */
};

/* boot is number's entry of the boot parameters, copied in. Its addresses are checked: host_lied() otherwise. */
void volume_disk_init(struct volume_disk *disk, unsigned number, const struct boot_volume *boot, const char *path);
/* Blocks of the anchor's file, VOLUME_ANCHOR_BLOCKS of them. They sleep, as the volume's own do. 0 or negative errno.
 */
must_check int volume_disk_anchor_read(struct volume_disk *disk, void *buf);
must_check int volume_disk_anchor_write(struct volume_disk *disk, uint64_t block, const void *buf);
/*
 * Carry a message, or bytes of a stream, of up to VOLUME_ANCHOR_MESSAGE bytes to the volume's counter and its answer
 * back, as the flags say (enum volume_anchor_flags). ret_answer has room for answer_max. Bytes of the answer;
 * -ETIMEDOUT after deadline_ns; or the host's reason. One at a time. Sleeps.
 */
must_check ssize_t volume_disk_anchor_exchange(struct volume_disk *disk, unsigned flags, const void *message,
                                               size_t size, void *ret_answer, size_t answer_max, uint64_t deadline_ns);
/* What was done later is looked for, and who waits for it woken. Kernel lock held; cheap if there is nothing. */
void volume_disks_poll(void);

#endif

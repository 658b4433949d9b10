/*
 * Pipes: rings of page-sized buffers, as Linux's, so that atomicity, packets and capacity are the same. A buffer's page
 * may be in several pipes at once (tee). What comes from another enclave may be sealed, and is opened only if it is not
 * whole pages that another enclave reads.
 */
#ifndef COFRE_KERNEL_FS_PIPE_H
#define COFRE_KERNEL_FS_PIPE_H

#include "kernel/fs/file.h"
#include "kernel/remote/sealed.h"
#include "kernel/sched/wait.h"

struct inode;

struct pipe_page {
    unsigned refcount;
    uint8_t *data;             /* one page; NULL while it is sealed */
    struct sealed_page sealed; /* its frame is ours */
};

struct pipe_buffer {
    struct pipe_page *page;
    uint32_t offset, size;
    bool can_merge; /* later writes may be added */
    bool packet;    /* O_DIRECT: a read takes it whole */
};

/* A pipe that is lent to the enclaves at both its ends: its bytes are there (kernel/remote/pipe_lender.h). */
struct pipe_loan {
    void (*recall)(struct pipe_loan *loan); /* ask for it back, once; pipe_loan_end() follows. Does not sleep */
};

struct pipe {
    struct pipe_buffer *buffers;
    uint32_t ring_size;                                                /* power of two */
    uint32_t head, tail;                                               /* run freely; head - tail <= ring_size */
    unsigned readers, writers, opened_for_reading, opened_for_writing; /* ends now; ends ever (FIFOs wait for these) */
    unsigned file_count;
    bool nameless; /* made by pipe(2): nobody waits for the other end when it is opened again through /proc */
    struct pipe_page *spare;
    struct pipe_loan *loan;
    unsigned recalls;          /* so often was it lent and came back */
    unsigned reading;          /* tasks that wait in read(2), each with a reference to its file */
    int reader_pid, reader_fd; /* who read from it last in another enclave */
    bool broken;               /* what was on its way to an enclave that the host ended is lost */
    struct wait_queue read_wait, write_wait;
};

extern const struct file_ops pipe_file_ops;

/* Both ends of a new pipe, [0] for reading; flags: O_NONBLOCK and the like. 0 or -ENOMEM. */
must_check int pipe_files_new(unsigned flags, struct file *ret_files[2]);
/* The pipe behind file (any end, FIFOs too), or NULL. */
struct pipe *pipe_of(const struct file *file);
/* F_SETPIPE_SZ and F_GETPIPE_SZ: bytes, or -EBADF if it is no pipe, -EBUSY, -EPERM, -EINVAL, -ENOMEM. */
int64_t pipe_set_size(struct file *file, uint64_t size);
int64_t pipe_get_size(struct file *file);

static inline bool pipe_empty(const struct pipe *pipe)
{
    return pipe->head == pipe->tail;
}
static inline bool pipe_full(const struct pipe *pipe)
{
    return pipe->head - pipe->tail == pipe->ring_size;
}
static inline struct pipe_buffer *pipe_buffer_at(const struct pipe *pipe, uint32_t index)
{
    return &pipe->buffers[index & (pipe->ring_size - 1)];
}

/* A page with one reference, or NULL. */
struct pipe_page *pipe_page_new(struct pipe *pipe) must_check;
void pipe_page_put(struct pipe *pipe, struct pipe_page *page);
/* Before its data is touched. 0 or -ENOMEM. */
must_check int pipe_page_open(struct pipe_page *page);
/* The first buffer is used up: out of the ring. */
void pipe_drop_tail(struct pipe *pipe);
/* There is room: add a buffer, whose page reference is taken over. */
void pipe_push(struct pipe *pipe, struct pipe_page *page, uint32_t offset, uint32_t size, bool can_merge, bool packet);
/* Sleep until it is lent to nobody. As long as the caller holds a file of it, it stays so. */
void pipe_settle(struct pipe *pipe);
/*
 * May the pipe of these two files be lent, each of which is in one descriptor only, and referred to by the caller? Then
 * it has PIPE_LENT_SIZE bytes at most, and room for as many.
 */
bool pipe_lendable(const struct file *writer, const struct file *reader);
/* Take all bytes out of it into dst, of PIPE_LENT_SIZE bytes: *ret_size. 0, or -ENOMEM: nothing has changed. */
#define PIPE_LENT_SIZE 0x10000UL
must_check int pipe_lend(struct pipe *pipe, struct inode *inode, struct pipe_loan *loan, uint8_t *dst,
                         size_t *ret_size);
/* Bytes come back, before the end. 0, or -ENOMEM: some are missing. */
must_check int pipe_put_back(struct pipe *pipe, const uint8_t *src, size_t size);
/* Here again; broken: and bytes are missing. The pipe of this inode may be gone then. */
void pipe_loan_end(struct inode *inode, bool broken);
/* Wait until there is something to read: 1; 0 at the end of file; -EAGAIN, -ERESTARTSYS, -EIO, or -ERECALLED for a
 * read(2) if it is lent meanwhile. */
int pipe_wait_readable(struct pipe *pipe, bool nonblock);
/* Wait for room: 0; -EPIPE (SIGPIPE sent), -EAGAIN, -ERESTARTSYS. */
int pipe_wait_writable(struct pipe *pipe, bool nonblock);
void pipe_wake_readers(struct pipe *pipe);
void pipe_wake_writers(struct pipe *pipe);
void sigpipe_send(void);

#endif

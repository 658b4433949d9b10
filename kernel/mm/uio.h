/*
 * A cursor over the buffers of a read or write: user iovecs or one kernel buffer. File operations move data with these
 * and never see user pointers.
 */
#ifndef COFRE_KERNEL_MM_UIO_H
#define COFRE_KERNEL_MM_UIO_H

#include "kernel/lib/types.h"

struct io_segment {
    uint64_t base; /* uaddr_t, or kernel address when the iterator is a kernel one */
    uint64_t size;
};

struct iov_iter {
    bool kernel;
    const struct io_segment *segments;
    size_t segment_count;
    size_t segment_offset; /* inside segments[0] */
    size_t count;          /* bytes left in all */
    struct io_segment single;
};

void iov_iter_user(struct iov_iter *it, uaddr_t buf, size_t size);
void iov_iter_kernel(struct iov_iter *it, void *buf, size_t size);
/* segments stay the caller's. */
void iov_iter_segments(struct iov_iter *it, const struct io_segment *segments, size_t count);
/* Copies in a struct iovec array; at most 1024 (else -EINVAL). *ret_segments is kmalloc'd unless fast[] (8) suffices.
 */
must_check int iov_import(uaddr_t iov, size_t count, struct io_segment fast[8], struct io_segment **ret_segments);
void iov_release(struct io_segment fast[8], struct io_segment *segments);

/* Move up to size bytes and advance. Return bytes moved; fewer only at the end or at a bad user address (it->count >
 * 0). */
size_t copy_to_iter(struct iov_iter *it, const void *src, size_t size);
size_t copy_from_iter(struct iov_iter *it, void *dst, size_t size);
size_t zero_iter(struct iov_iter *it, size_t size);
/*
 * Sealed pages (kernel/remote/sealed.h), where the memory is another enclave's: if the next page of the iterator is
 * one, take it, or give one as it. False: nothing has happened, copy.
 */
struct sealed_page;
bool iov_iter_take_sealed(struct iov_iter *it, struct sealed_page *ret_page);
bool iov_iter_give_sealed(struct iov_iter *it, const struct sealed_page *page);
/* Same between rings in untrusted memory and the iterator; nobody else writes in the words around dst. */
size_t copy_untrusted_to_iter(struct iov_iter *it, host_ptr src, size_t size);
size_t copy_untrusted_from_iter(struct iov_iter *it, host_ptr dst, size_t size);
/*
 * Bring in what comes next, at most size bytes: so many bytes may then be moved before anything sleeps. 0: at the end,
 * or it faults. What an agent's caller sent along is here anyway.
 */
size_t iov_iter_fault_in(struct iov_iter *it, size_t size, bool write);
void iov_iter_advance(struct iov_iter *it, size_t size);

#endif

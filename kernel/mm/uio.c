/* Cursors over the buffers of a read or write. */
#include "kernel/mm/uio.h"

#include <asm-generic/errno.h>
#include <linux/uio.h>

#include "kernel/arch/untrusted.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/remote/agent.h"
#include "kernel/sched/task.h"

/* As Linux's MAX_RW_COUNT. */
#define IO_SIZE_MAX 0x7ffff000UL

void iov_iter_user(struct iov_iter *it, uaddr_t buf, size_t size)
{
    *it = (struct iov_iter){.segment_count = 1, .count = MIN(size, IO_SIZE_MAX)};
    it->single = (struct io_segment){buf, it->count};
    it->segments = &it->single;
}

void iov_iter_kernel(struct iov_iter *it, void *buf, size_t size)
{
    *it = (struct iov_iter){.kernel = true, .segment_count = 1, .count = size};
    it->single = (struct io_segment){(uint64_t)buf, size};
    it->segments = &it->single;
}

void iov_iter_segments(struct iov_iter *it, const struct io_segment *segments, size_t count)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += MIN(segments[i].size, IO_SIZE_MAX - total);
    *it = (struct iov_iter){.segments = segments, .segment_count = count, .count = total};
}

int iov_import(uaddr_t iov, size_t count, struct io_segment fast[8], struct io_segment **ret_segments)
{
    struct io_segment *segments = fast;
    size_t size = count * sizeof(struct iovec);

    _Static_assert(sizeof(struct iovec) == sizeof(struct io_segment), "same layout");
    if (count > UIO_MAXIOV)
        return -EINVAL;
    if (count > 8) {
        segments = kmalloc(size);
        if (!segments)
            return -ENOMEM;
    }
    if (copy_from_user(segments, iov, size) < 0) {
        iov_release(fast, segments);
        return -EFAULT;
    }
    for (size_t i = 0; i < count; i++) {
        if ((int64_t)segments[i].size < 0) {
            iov_release(fast, segments);
            return -EINVAL;
        }
    }
    *ret_segments = segments;
    return 0;
}

void iov_release(struct io_segment fast[8], struct io_segment *segments)
{
    if (segments != fast)
        kfree(segments);
}

/* The next contiguous piece of at most size bytes; 0 at the end. */
static size_t next_piece(struct iov_iter *it, size_t size, uint64_t *ret_addr)
{
    size = MIN(size, it->count);
    while (size && it->segment_offset == it->segments->size) {
        it->segments++;
        it->segment_count--;
        it->segment_offset = 0;
    }
    if (size == 0)
        return 0;
    *ret_addr = it->segments->base + it->segment_offset;
    return MIN(size, it->segments->size - it->segment_offset);
}

static void advance_in_piece(struct iov_iter *it, size_t size)
{
    it->segment_offset += size;
    it->count -= size;
}

void iov_iter_advance(struct iov_iter *it, size_t size)
{
    uint64_t addr;
    size_t piece;

    while ((piece = next_piece(it, size, &addr)) != 0) {
        advance_in_piece(it, piece);
        size -= piece;
    }
}

size_t copy_to_iter(struct iov_iter *it, const void *src, size_t size)
{
    size_t done = 0, piece, moved;
    uint64_t addr;

    while ((piece = next_piece(it, size - done, &addr)) != 0) {
        moved = piece;
        if (it->kernel)
            memcpy((void *)addr, (const char *)src + done, piece);
        else
            moved = copy_to_user_partial(addr, (const char *)src + done, piece);
        advance_in_piece(it, moved);
        done += moved;
        if (moved < piece)
            break;
    }
    return done;
}

size_t copy_from_iter(struct iov_iter *it, void *dst, size_t size)
{
    size_t done = 0, piece, moved;
    uint64_t addr;

    while ((piece = next_piece(it, size - done, &addr)) != 0) {
        moved = piece;
        if (it->kernel)
            memcpy((char *)dst + done, (const void *)addr, piece);
        else
            moved = copy_from_user_partial((char *)dst + done, addr, piece);
        advance_in_piece(it, moved);
        done += moved;
        if (moved < piece)
            break;
    }
    return done;
}

size_t zero_iter(struct iov_iter *it, size_t size)
{
    size_t done = 0, piece, moved;
    uint64_t addr;

    while ((piece = next_piece(it, size - done, &addr)) != 0) {
        moved = piece;
        if (it->kernel)
            memset((void *)addr, 0, piece);
        else
            moved = clear_user_partial(addr, piece);
        advance_in_piece(it, moved);
        done += moved;
        if (moved < piece)
            break;
    }
    return done;
}

/* Bytes from addr on, at most piece, that a plain copy may touch without a fault; 0 if the first page is bad. */
static size_t touchable(const struct iov_iter *it, uint64_t addr, size_t piece, bool write)
{
    return it->kernel ? piece : user_prepare(addr, piece, write);
}

/* The user memory of an agent (kernel/remote/agent.h): up to size bytes between it and a ring. */
static size_t untrusted_to_agent(uint64_t addr, host_ptr src, size_t size)
{
    size_t done = 0, n;
    void *room;

    while (done < size && (n = agent_out_room(addr + done, size - done, &room)) > 0) {
        untrusted_copy_in(room, host_ptr_add(src, done), n);
        done += n;
    }
    return done;
}

static size_t untrusted_from_agent(host_ptr dst, uint64_t addr, size_t size)
{
    size_t done = 0, n;
    const void *data;
    uint8_t bounce[256];

    for (; done < size; done += n) {
        n = agent_in_place(addr + done, size - done, &data);
        if (n == 0) {
            n = agent_copy_in(bounce, addr + done, MIN(size - done, sizeof(bounce)));
            data = bounce;
        }
        if (n == 0)
            break;
        untrusted_copy_out_own(host_ptr_add(dst, done), data, n);
    }
    return done;
}

static inline bool is_remote(const struct iov_iter *it)
{
    return unlikely(task_current()->agent != NULL) && !it->kernel;
}

bool iov_iter_take_sealed(struct iov_iter *it, struct sealed_page *ret_page)
{
    uint64_t addr;

    if (!is_remote(it) || next_piece(it, PAGE_SIZE, &addr) < PAGE_SIZE || !agent_take_sealed(addr, ret_page))
        return false;
    advance_in_piece(it, PAGE_SIZE);
    return true;
}

bool iov_iter_give_sealed(struct iov_iter *it, const struct sealed_page *page)
{
    uint64_t addr;

    if (!is_remote(it) || next_piece(it, PAGE_SIZE, &addr) < PAGE_SIZE || !agent_give_sealed(addr, page))
        return false;
    advance_in_piece(it, PAGE_SIZE);
    return true;
}

/*
 * Rings are copied straight from and to application pages: they are committed with the rights needed, and cannot change
 * until this sleeps.
 */
size_t copy_untrusted_to_iter(struct iov_iter *it, host_ptr src, size_t size)
{
    size_t done = 0, piece, moved;
    uint64_t addr;

    while ((piece = next_piece(it, size - done, &addr)) != 0) {
        if (is_remote(it)) {
            moved = untrusted_to_agent(addr, host_ptr_add(src, done), piece);
        } else {
            moved = touchable(it, addr, piece, true);
            untrusted_copy_in((void *)addr, host_ptr_add(src, done), moved);
        }
        advance_in_piece(it, moved);
        done += moved;
        if (moved == 0)
            break;
    }
    return done;
}

size_t copy_untrusted_from_iter(struct iov_iter *it, host_ptr dst, size_t size)
{
    size_t done = 0, piece, moved;
    uint64_t addr;

    while ((piece = next_piece(it, size - done, &addr)) != 0) {
        if (is_remote(it)) {
            moved = untrusted_from_agent(host_ptr_add(dst, done), addr, piece);
        } else {
            moved = touchable(it, addr, piece, false);
            untrusted_copy_out_own(host_ptr_add(dst, done), (const void *)addr, moved);
        }
        advance_in_piece(it, moved);
        done += moved;
        if (moved == 0)
            break;
    }
    return done;
}

size_t iov_iter_fault_in(struct iov_iter *it, size_t size, bool write)
{
    uint64_t addr;
    size_t piece = next_piece(it, size, &addr);

    return it->kernel || task_current()->agent ? piece : user_prepare(addr, piece, write);
}

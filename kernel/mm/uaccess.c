/*
 * Reading and writing application memory, or that of a caller in another enclave (kernel/remote/agent.h). Pages are
 * looked up before they are touched, so that a page not there yet costs a call of mm_fault() and no exception; what
 * changes under our hands is caught by the exception table.
 */
#include "kernel/mm/uaccess.h"

#include <asm-generic/errno.h>
#include <linux/mman.h>

#include "kernel/arch/trap.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pages.h"
#include "kernel/remote/agent.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/task.h"

/* kernel/arch/uaccess.S */
size_t raw_copy_user(void *dst, const void *src, size_t size);
size_t raw_clear_user(void *dst, size_t size);
int raw_get_user32(uint32_t *dst, const uint32_t *src);
int raw_get_user64(uint64_t *dst, const uint64_t *src);
int raw_put_user32(uint32_t *dst, uint32_t value);
int raw_put_user64(uint64_t *dst, uint64_t value);
int raw_cmpxchg_user32(uint32_t *p, uint32_t expected, uint32_t desired, uint32_t *ret_old);

/* Does the current task act for a process in another enclave? */
static inline bool is_agent(void)
{
    return unlikely(task_current()->agent != NULL);
}

bool user_range_ok(uaddr_t addr, size_t size)
{
    return mm_range_ok(addr, size);
}

/* The few system calls that run without the kernel lock take it here. */
static int bring_in(uaddr_t page, bool write)
{
    bool locked = kernel_lock_held();
    int code, r;

    if (!locked)
        kernel_lock();
    r = mm_fault(page, PF_USER | (write ? PF_WRITE : 0), &code);
    if (!locked)
        kernel_unlock();
    return r;
}

/* Bytes of [addr, addr + size) before the first page that is not there as wanted. */
static size_t present(uaddr_t addr, size_t size, uint8_t wanted)
{
    uaddr_t page = ALIGN_DOWN(addr, PAGE_SIZE), end = addr + size;

    while (page < end && (page_state(page) & wanted) == wanted)
        page += PAGE_SIZE;
    return page >= end ? size : page > addr ? page - addr : 0;
}

#define WHOLE_TRIES 4
#define TRIES_MAX 10000

/*
 * Bringing a page in may sleep when another enclave has it, and others may have gone when it is there. So it is looked
 * at again; pages that do not want to be here all at once are used one by one.
 */
size_t user_prepare(uaddr_t addr, size_t size, bool write)
{
    uint8_t wanted = PAGE_COMMITTED | (write ? PAGE_W : PAGE_R);

    if (!mm_range_ok(addr, size))
        return 0;
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        size_t ready = present(addr, size, wanted);

        if (ready == size || (ready > 0 && tries > WHOLE_TRIES))
            return ready;
        if (tries > WHOLE_TRIES)
            size = MIN(size, PAGE_SIZE - (addr & (PAGE_SIZE - 1)));
        for (size_t at = ready; at < size; at = at + PAGE_SIZE - ((addr + at) & (PAGE_SIZE - 1))) {
            uaddr_t page = ALIGN_DOWN(addr + at, PAGE_SIZE);

            if ((page_state(page) & wanted) == wanted || bring_in(page, write) == 0)
                continue;
            size = at;
        }
    }
    return 0;
}

size_t user_probe_write(uaddr_t addr, size_t size)
{
    uaddr_t page = ALIGN_DOWN(addr, PAGE_SIZE), end = addr + size;
    const uint8_t wanted = PAGE_COMMITTED | PAGE_W;

    if (!mm_range_ok(addr, size))
        return 0;
    for (; page < end; page += PAGE_SIZE) {
        if ((page_state(page) & wanted) == wanted)
            continue;
        const struct vma *vma = mm_find_vma(page);
        if (!vma || !(vma->prot & PROT_WRITE))
            break;
        page = MIN(vma->end, ALIGN_UP(end, PAGE_SIZE)) - PAGE_SIZE;
    }
    return page >= end ? size : page > addr ? page - addr : 0;
}

static size_t copy_in_here(void *dst, uaddr_t src, size_t size)
{
    size_t done = 0, ready;

    while (done < size && (ready = user_prepare(src + done, size - done, false)) > 0) {
        size_t left = raw_copy_user((uint8_t *)dst + done, (const void *)(src + done), ready);

        done += ready - left;
        if (left > 0)
            break;
    }
    return done;
}

size_t copy_from_user_partial(void *dst, uaddr_t src, size_t size)
{
    return is_agent() ? agent_copy_in(dst, src, size) : copy_in_here(dst, src, size);
}

size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t size)
{
    if (is_agent())
        return agent_copy_out(dst, src, size);
    size_t done = 0, ready;

    while (done < size && (ready = user_prepare(dst + done, size - done, true)) > 0) {
        size_t left = raw_copy_user((void *)(dst + done), (const uint8_t *)src + done, ready);

        done += ready - left;
        if (left > 0)
            break;
    }
    return done;
}

size_t clear_user_partial(uaddr_t dst, size_t size)
{
    if (is_agent())
        return agent_clear_out(dst, size);
    size_t done = 0, ready;

    while (done < size && (ready = user_prepare(dst + done, size - done, true)) > 0) {
        size_t left = raw_clear_user((void *)(dst + done), ready);

        done += ready - left;
        if (left > 0)
            break;
    }
    return done;
}

int copy_from_user(void *dst, uaddr_t src, size_t size)
{
    return copy_from_user_partial(dst, src, size) == size ? 0 : -EFAULT;
}

int copy_from_user_here(void *dst, uaddr_t src, size_t size)
{
    return copy_in_here(dst, src, size) == size ? 0 : -EFAULT;
}

int copy_to_user(uaddr_t dst, const void *src, size_t size)
{
    return copy_to_user_partial(dst, src, size) == size ? 0 : -EFAULT;
}

int clear_user(uaddr_t dst, size_t size)
{
    return clear_user_partial(dst, size) == size ? 0 : -EFAULT;
}

ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    size_t done = 0;

    if (is_agent())
        return agent_string_in(dst, src, size);
    while (done < size) {
        /* Never touch the page after the one the string ends in. */
        size_t in_page = PAGE_SIZE - ((src + done) & (PAGE_SIZE - 1)), chunk = MIN(in_page, 256UL);
        const char *nul;

        chunk = MIN(chunk, size - done);
        if (copy_from_user(dst + done, src + done, chunk) < 0)
            return -EFAULT;
        nul = memchr(dst + done, 0, chunk);
        if (nul)
            return nul - dst;
        done += chunk;
    }
    return -ENAMETOOLONG;
}

int get_user32(uint32_t *dst, uaddr_t src)
{
    if (is_agent())
        return copy_from_user(dst, src, sizeof(*dst));
    return user_prepare(src, 4, false) == 4 && raw_get_user32(dst, (const uint32_t *)src) == 0 ? 0 : -EFAULT;
}

int get_user64(uint64_t *dst, uaddr_t src)
{
    if (is_agent())
        return copy_from_user(dst, src, sizeof(*dst));
    return user_prepare(src, 8, false) == 8 && raw_get_user64(dst, (const uint64_t *)src) == 0 ? 0 : -EFAULT;
}

int put_user32(uaddr_t dst, uint32_t value)
{
    if (is_agent())
        return copy_to_user(dst, &value, sizeof(value));
    return user_prepare(dst, 4, true) == 4 && raw_put_user32((uint32_t *)dst, value) == 0 ? 0 : -EFAULT;
}

int put_user64(uaddr_t dst, uint64_t value)
{
    if (is_agent())
        return copy_to_user(dst, &value, sizeof(value));
    return user_prepare(dst, 8, true) == 8 && raw_put_user64((uint64_t *)dst, value) == 0 ? 0 : -EFAULT;
}

int cmpxchg_user32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *ret_old)
{
    if (is_agent() || (addr & 3) || user_prepare(addr, 4, true) != 4)
        return -EFAULT;
    return raw_cmpxchg_user32((uint32_t *)addr, expected, desired, ret_old) == 0 ? 0 : -EFAULT;
}

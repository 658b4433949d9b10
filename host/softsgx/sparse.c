/*
 * Sparse areas: stretches of the page table in which pages come one by one, as a program's text does. The whole stretch
 * is one area of the kernel's with the rights of its pages, registered with userfaultfd: a page that is not there is a
 * fault, and one call makes it with its contents. Else each page costs a write past the page table, a fault when it is
 * first used, and two areas more.
 *
 * A page in such an area is either there, with the area's rights in its EPCM entry and in the page table, or has
 * nothing in it. What is to have other rights leaves the area; what is trimmed is emptied.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/softsgx/softsgx.h"

#define SPAN (2UL << 20) /* an area ends with it */

/* Where it is not allowed there are no sparse areas. Faults of the host's kernel are none of ours. */
void softsgx_sparse_open(void)
{
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS};

    softsgx.fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (softsgx.fault_fd >= 0 && ioctl(softsgx.fault_fd, UFFDIO_API, &api) < 0) {
        close(softsgx.fault_fd);
        softsgx.fault_fd = -1;
    }
}

/* Signal handlers come here: no errno. */
static long raw_ioctl(unsigned long request, void *arg)
{
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(SYS_ioctl), "D"((long)softsgx.fault_fd), "S"(request), "d"(arg)
                     : "rcx", "r11", "memory");
    return ret;
}

static uint32_t load(uint64_t page)
{
    return atomic_load_explicit(softsgx_epcm(page), memory_order_relaxed);
}

static void set_sparse(uint64_t page, uint32_t prot)
{
    _Atomic uint32_t *entry = softsgx_epcm(page);
    uint32_t e = atomic_load_explicit(entry, memory_order_relaxed), others = ~(EPCM_RWX << EPCM_SPARSE_SHIFT);

    while (!atomic_compare_exchange_weak(entry, &e, (e & others) | prot << EPCM_SPARSE_SHIFT))
        ;
}

/* Has no contents: what is trimmed but not removed yet has. */
static bool is_hole(uint32_t e)
{
    return (!(e & EPCM_VALID) || (e & EPCM_PENDING)) && softsgx_entry_pte(e) == 0;
}

bool softsgx_sparse_make(uint64_t page, uint32_t prot)
{
    uint64_t end = page, limit = (page & ~(SPAN - 1)) + SPAN;

    limit = limit < softsgx.elrange_end ? limit : softsgx.elrange_end;
    while (end < limit && is_hole(load(end)) && softsgx_entry_sparse(load(end)) != prot)
        end += PAGE_SIZE;
    if (softsgx.fault_fd < 0 || end == page)
        return false;
    /* Registered first: there is nothing in it, and nothing may come by touching it. */
    struct uffdio_register range = {.range = {page, end - page}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (raw_ioctl(UFFDIO_REGISTER, &range) < 0)
        return false;
    if (softsgx_pte_protect(page, end, prot)) {
        raw_ioctl(UFFDIO_UNREGISTER, &range.range);
        return false;
    }
    for (uint64_t a = page; a < end; a += PAGE_SIZE)
        set_sparse(a, prot);
    return true;
}

int softsgx_sparse_leave(uint64_t start, uint64_t end)
{
    for (uint64_t a = start, next; a < end; a = next) {
        next = a + PAGE_SIZE;
        if (!softsgx_entry_sparse(load(a)))
            continue;
        while (next < end && softsgx_entry_sparse(load(next)))
            next += PAGE_SIZE;
        struct uffdio_range range = {a, next - a};
        if (raw_ioctl(UFFDIO_UNREGISTER, &range) < 0)
            return -1;
        for (uint64_t page = a; page < next; page += PAGE_SIZE)
            set_sparse(page, 0);
    }
    return 0;
}

bool softsgx_sparse_copy(uint64_t page, uint64_t source)
{
    struct uffdio_copy copy = {.dst = page, .src = source, .len = PAGE_SIZE};
    long r;

    do {
        copy.copy = 0;
        r = raw_ioctl(UFFDIO_COPY, &copy);
    } while (r == -11 /* EAGAIN: mappings were changing */);
    return r == 0;
}

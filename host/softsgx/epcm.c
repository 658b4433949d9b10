/*
 * The enclave page cache map, and the page table as a lazily filled cache of it.
 *
 * The EPCM says what the enclave may do; the page table (mprotect) may say less, never more. Giving permissions costs
 * one store here; the first access faults, and one mprotect then covers all pages around with the same permissions.
 * Taking permissions away changes the page table at once.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/softsgx/softsgx.h"

#define FILL_SPAN (2UL << 20)
#define POPULATE_SPAN (256UL << 10)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* Signal handlers come here: no errno, no cancellation. */
static long raw_syscall3(long nr, long a, long b, long c)
{
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return ret;
}

static void pte_lock(void)
{
    while (atomic_flag_test_and_set_explicit(&softsgx.pte_lock, memory_order_acquire))
        raw_syscall3(SYS_sched_yield, 0, 0, 0);
}

static void pte_unlock(void)
{
    atomic_flag_clear_explicit(&softsgx.pte_lock, memory_order_release);
}

int softsgx_epcm_init(void)
{
    uint64_t pages = softsgx.secs.size >> PAGE_SHIFT;
    void *epcm = mmap(NULL, pages * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (epcm == MAP_FAILED)
        return -ENOMEM;
    void *table = mmap(NULL, (pages + 1) * sizeof(void *), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) {
        munmap(epcm, pages * sizeof(uint32_t));
        return -ENOMEM;
    }
    softsgx.epcm = epcm;
    softsgx_tcs_table = table;
    softsgx_page_count = pages;
    softsgx_base_page = softsgx.secs.base >> PAGE_SHIFT;
    atomic_flag_clear(&softsgx.pte_lock);
    return 0;
}

/* What the page table should allow for an entry. */
static uint32_t entry_prot(uint32_t e)
{
    if ((e & (EPCM_VALID | EPCM_TYPE_MASK | EPCM_PENDING | EPCM_MODIFIED)) != (EPCM_VALID | EPCM_TYPE(PT_REG)))
        return 0;
    return e & EPCM_RWX & ~(e >> EPCM_DENY_SHIFT);
}

static uint32_t entry_pte(uint32_t e)
{
    return (e >> EPCM_PTE_SHIFT) & EPCM_RWX;
}

static int to_mprotect(uint32_t prot)
{
    return (prot ? PROT_READ : 0) | (prot & EPCM_W ? PROT_WRITE : 0) | (prot & EPCM_X ? PROT_EXEC : 0);
}

static void entry_set_pte(_Atomic uint32_t *entry, uint32_t prot)
{
    uint32_t e = atomic_load_explicit(entry, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(entry, &e, (e & ~(EPCM_RWX << EPCM_PTE_SHIFT)) | prot << EPCM_PTE_SHIFT))
        ;
}

bool softsgx_epcm_allows(uint64_t addr, uint32_t need)
{
    if (addr < softsgx.elrange_start || addr >= softsgx.elrange_end)
        return false;
    return (entry_prot(atomic_load(softsgx_epcm(addr))) & need) == need;
}

/* Page table of [start, end) := prot, which every entry there allows. Lock held. */
static int set_run(uint64_t start, uint64_t end, uint32_t prot)
{
    long r = raw_syscall3(SYS_mprotect, (long)start, (long)(end - start), to_mprotect(prot));
    if (r)
        return (int)r;
    for (uint64_t a = start; a < end; a += PAGE_SIZE)
        entry_set_pte(softsgx_epcm(a), prot);
    return 0;
}

/* Should be mapped so, but is not. */
static bool unfilled(uint64_t page, uint32_t prot)
{
    uint32_t e = atomic_load_explicit(softsgx_epcm(page), memory_order_relaxed);
    return entry_prot(e) == prot && entry_pte(e) != prot;
}

/*
 * Memory that is touched in order will be touched further: one call is cheaper than a fault for each page (accepted
 * pages exist on hardware too). Best effort.
 */
static void populate(uint64_t addr, uint64_t end)
{
    uint64_t limit = addr + POPULATE_SPAN;
    end = end < limit ? end : limit;
    if (end - addr > PAGE_SIZE)
        raw_syscall3(SYS_madvise, (long)addr, (long)(end - addr), MADV_POPULATE_WRITE);
}

bool softsgx_pte_fill(uint64_t addr, uint32_t need)
{
    addr &= ~(PAGE_SIZE - 1);
    if (!softsgx_epcm_allows(addr, need))
        return false;
    pte_lock();
    uint32_t prot = entry_prot(atomic_load(softsgx_epcm(addr)));
    bool ok = (prot & need) == need, in_order = false;
    uint64_t filled = 0;
    if (ok && entry_pte(atomic_load(softsgx_epcm(addr))) != prot) {
        uint64_t low = addr & ~(FILL_SPAN - 1), high = low + FILL_SPAN, start = addr, end = addr + PAGE_SIZE;
        if (low < softsgx.elrange_start)
            low = softsgx.elrange_start;
        if (high > softsgx.elrange_end)
            high = softsgx.elrange_end;
        while (start > low && unfilled(start - PAGE_SIZE, prot))
            start -= PAGE_SIZE;
        while (end < high && unfilled(end, prot))
            end += PAGE_SIZE;
        filled = end;
        in_order = (prot & EPCM_W) && start == addr && start > low &&
                   entry_pte(atomic_load(softsgx_epcm(start - PAGE_SIZE))) == prot;
        if (set_run(start, end, prot))
            softsgx_die("mprotect failed: too many memory areas (vm.max_map_count)");
    }
    pte_unlock();
    if (in_order)
        populate(addr, filled);
    return ok;
}

static int for_each_run(uint64_t start, uint64_t end, bool drop)
{
    int r = 0;
    pte_lock();
    for (uint64_t a = start; a < end && r == 0;) {
        uint32_t e = atomic_load(softsgx_epcm(a)), prot = entry_prot(e);
        if (entry_pte(e) == prot || (drop && (entry_pte(e) & ~prot) == 0)) {
            a += PAGE_SIZE;
            continue;
        }
        uint64_t run = a + PAGE_SIZE;
        while (run < end && entry_prot(atomic_load(softsgx_epcm(run))) == prot)
            run += PAGE_SIZE;
        r = set_run(a, run, prot);
        a = run;
    }
    pte_unlock();
    return r;
}

void softsgx_pte_peek(uint64_t page, bool on)
{
    raw_syscall3(SYS_mprotect, (long)page, PAGE_SIZE, on ? PROT_READ : PROT_NONE);
}

bool softsgx_pte_copy(uint64_t page, uint64_t source)
{
    long n;
    register long offset __asm__("r10") = (long)page;
    __asm__ volatile("syscall"
                     : "=a"(n)
                     : "a"(SYS_pwrite64), "D"(softsgx.mem_fd), "S"(source), "d"(PAGE_SIZE), "r"(offset)
                     : "rcx", "r11", "memory");
    if (n == PAGE_SIZE)
        return true;
    /* not allowed here: open the page for the copy */
    pte_lock();
    bool ok = raw_syscall3(SYS_mprotect, (long)page, PAGE_SIZE, PROT_READ | PROT_WRITE) == 0;
    uint64_t to = page, from = source, count = PAGE_SIZE;
    if (ok)
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    raw_syscall3(SYS_mprotect, (long)page, PAGE_SIZE, PROT_NONE);
    pte_unlock();
    return ok;
}

int softsgx_pte_drop(uint64_t start, uint64_t end)
{
    return for_each_run(start, end, true);
}

int softsgx_pte_fill_all(uint64_t start, uint64_t end)
{
    return for_each_run(start, end, false);
}

bool softsgx_eaug(uint64_t addr)
{
    addr &= ~(PAGE_SIZE - 1);
    if (!softsgx.edmm || !softsgx.initialized || addr < softsgx.elrange_start || addr >= softsgx.elrange_end)
        return false;
    _Atomic uint32_t *entry = softsgx_epcm(addr);
    uint32_t e = atomic_load(entry);
    if (e & EPCM_VALID)
        return false;
    if (atomic_fetch_sub(&softsgx.epc_left, 1) <= 0) {
        atomic_fetch_add(&softsgx.epc_left, 1);
        return false;
    }
    uint32_t added = EPCM_VALID | EPCM_R | EPCM_W | EPCM_PENDING | EPCM_TYPE(PT_REG);
    if (!atomic_compare_exchange_strong(entry, &e, (e & ~EPCM_ARCH) | added)) {
        atomic_fetch_add(&softsgx.epc_left, 1);
        return false;
    }
    softsgx_charge(softsgx.cost.eaug);
    return true;
}

bool softsgx_touch(uint64_t addr, uint64_t size, uint32_t need)
{
    for (uint64_t a = addr & ~(PAGE_SIZE - 1); a < addr + size; a += PAGE_SIZE) {
        if (a < softsgx.elrange_start || a >= softsgx.elrange_end)
            return false;
        uint32_t e = atomic_load(softsgx_epcm(a));
        if ((entry_pte(e) & need) != need && !softsgx_pte_fill(a, need))
            return false;
    }
    return true;
}

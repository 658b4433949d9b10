/*
 * The page table as a lazily filled cache of the EPCM.
 *
 * The page table (mprotect) may allow less than the EPCM, never more. Giving permissions costs one store in the EPCM;
 * the first access faults, and one mprotect then covers all pages around with the same permissions. Taking permissions
 * away changes the page table at once.
 *
 * Every change of permission between neighbours is an area of the kernel's, and those are limited
 * (vm.max_map_count). When there are many, spans of 2 MiB turn into guarded ones: the whole span is one readable and
 * writable area, and guard markers (Linux 6.13) stand on the pages that have nothing to keep.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "host/softsgx/softsgx.h"

#define SPAN (2UL << 20)
#define POPULATE_MAX SPAN
#define AREAS_MAX 16384 /* edges between areas before spans are guarded; the kernel's limit is about 65530 areas */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#define MADV_GUARD_REMOVE 103
#endif

static uint8_t *guarded; /* one a span */

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

int softsgx_pte_init(void)
{
    uint64_t spans = softsgx.secs.size / SPAN + 1;
    void *p = mmap(NULL, spans, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -ENOMEM;
    guarded = p;
    softsgx.areas = 0;
    softsgx.areas_max = AREAS_MAX;
    atomic_flag_clear(&softsgx.pte_lock);
    return 0;
}

void softsgx_pte_deinit(void)
{
    if (guarded)
        munmap(guarded, softsgx.secs.size / SPAN + 1);
    guarded = NULL;
}

static uint8_t *guarded_at(uint64_t addr)
{
    return &guarded[(addr - softsgx.secs.base) / SPAN];
}

static uint32_t load(uint64_t page)
{
    return atomic_load_explicit(softsgx_epcm(page), memory_order_relaxed);
}

/* Of the kernel's area that the page is in. */
static uint32_t area_prot(uint32_t e)
{
    return softsgx_entry_sparse(e) ? softsgx_entry_sparse(e) : softsgx_entry_pte(e);
}

static void entry_set_pte(_Atomic uint32_t *entry, uint32_t prot)
{
    uint32_t e = atomic_load_explicit(entry, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(entry, &e, (e & ~(EPCM_RWX << EPCM_PTE_SHIFT)) | prot << EPCM_PTE_SHIFT))
        ;
}

long softsgx_pte_protect(uint64_t start, uint64_t end, uint32_t prot)
{
    int bits = (prot ? PROT_READ : 0) | (prot & EPCM_W ? PROT_WRITE : 0) | (prot & EPCM_X ? PROT_EXEC : 0);
    return raw_syscall3(SYS_mprotect, (long)start, (long)(end - start), bits);
}

/* How many areas begin in [start, end], as far as entries tell; start and end included. */
static int64_t edges(uint64_t start, uint64_t end)
{
    int64_t count = 0;
    uint32_t before = start > softsgx.elrange_start ? area_prot(load(start - PAGE_SIZE)) : 0;
    for (uint64_t a = start; a <= end && a < softsgx.elrange_end; a += PAGE_SIZE) {
        uint32_t now = area_prot(load(a));
        count += now != before;
        before = now;
    }
    return count;
}

static long set_guarded(uint64_t start, uint64_t end, uint32_t prot)
{
    uint64_t size = end - start;
    bool keep = false;
    for (uint64_t a = start; a < end && !prot; a += PAGE_SIZE)
        keep |= !softsgx_nothing_to_keep(load(a));
    if (!prot && !keep)
        return raw_syscall3(SYS_madvise, (long)start, (long)size, MADV_GUARD_INSTALL);
    long r = softsgx_pte_protect(start, end, prot);
    return r || !prot ? r : raw_syscall3(SYS_madvise, (long)start, (long)size, MADV_GUARD_REMOVE);
}

/* What is trimmed in a sparse area can never be reached again, so it need not leave: it is a hole from now on. */
static uint64_t empty_sparse(uint64_t start, uint64_t end)
{
    uint64_t at = start;
    while (at < end && softsgx_entry_sparse(load(at)) && softsgx_nothing_to_keep(load(at)))
        at += PAGE_SIZE;
    if (at == start || raw_syscall3(SYS_madvise, (long)start, (long)(at - start), MADV_DONTNEED))
        return start;
    for (uint64_t page = start; page < at; page += PAGE_SIZE)
        entry_set_pte(softsgx_epcm(page), 0);
    return at;
}

/* Page table of [start, end) := prot, which every entry there allows. Lock held. */
static int set_run(uint64_t start, uint64_t end, uint32_t prot)
{
    for (uint64_t a = start, next; a < end; a = next) {
        bool guard = *guarded_at(a);
        for (next = (a / SPAN + 1) * SPAN; next < end && *guarded_at(next) == guard;)
            next += SPAN;
        next = next < end ? next : end;
        int64_t areas = guard ? 0 : edges(a, next);
        long r = guard ? set_guarded(a, next, prot) : softsgx_pte_protect(a, next, prot);
        if (r == 0) /* only now: what is not there must never be accessible */
            r = softsgx_sparse_leave(a, next);
        if (r)
            return (int)r;
        for (uint64_t page = a; page < next; page += PAGE_SIZE)
            entry_set_pte(softsgx_epcm(page), prot);
        if (!guard)
            softsgx.areas += edges(a, next) - areas;
    }
    return 0;
}

/* One readable and writable area with guards, if all of the span is either that or holds nothing. Lock held. */
static void guard_span(uint64_t addr)
{
    uint64_t low = addr & ~(SPAN - 1), high = low + SPAN;
    if (*guarded_at(addr) || low < softsgx.elrange_start || high > softsgx.elrange_end)
        return;
    for (uint64_t a = low; a < high; a += PAGE_SIZE) {
        uint32_t e = load(a);
        if (!softsgx_nothing_to_keep(e) && softsgx_entry_prot(e) != (EPCM_R | EPCM_W))
            return;
    }
    int64_t areas = edges(low, high);
    for (uint64_t a = low, end; a < high; a = end) {
        bool hole = softsgx_nothing_to_keep(load(a));
        for (end = a + PAGE_SIZE; end < high && softsgx_nothing_to_keep(load(end)) == hole;)
            end += PAGE_SIZE;
        if (hole && raw_syscall3(SYS_madvise, (long)a, (long)(end - a), MADV_GUARD_INSTALL)) {
            softsgx.areas_max = INT64_MAX; /* an older Linux: no guards */
            return;
        }
    }
    if (softsgx_pte_protect(low, high, EPCM_R | EPCM_W) || softsgx_sparse_leave(low, high))
        return;
    for (uint64_t a = low; a < high; a += PAGE_SIZE)
        entry_set_pte(softsgx_epcm(a), softsgx_nothing_to_keep(load(a)) ? 0 : EPCM_R | EPCM_W);
    *guarded_at(addr) = 1;
    softsgx.areas -= areas;
}

/* Should be mapped so, but is not. */
static bool unfilled(uint64_t page, uint32_t prot)
{
    uint32_t e = load(page);
    return softsgx_entry_prot(e) == prot && softsgx_entry_pte(e) != prot;
}

/*
 * Memory that is touched in order will be touched further: one call is cheaper than a fault for each page (accepted
 * pages exist on hardware too). Best effort.
 */
static void populate(uint64_t addr, uint64_t end)
{
    uint64_t limit = addr + POPULATE_MAX;
    end = end < limit ? end : limit;
    if (end - addr > PAGE_SIZE)
        raw_syscall3(SYS_madvise, (long)addr, (long)(end - addr), MADV_POPULATE_WRITE);
}

/* All around page that should have prot and has not, within its span. */
static void fill_run(uint64_t page, uint32_t prot, uint64_t *ret_start, uint64_t *ret_end)
{
    uint64_t low = page & ~(SPAN - 1), high = low + SPAN, start = page, end = page + PAGE_SIZE;
    low = low > softsgx.elrange_start ? low : softsgx.elrange_start;
    high = high < softsgx.elrange_end ? high : softsgx.elrange_end;
    while (start > low && unfilled(start - PAGE_SIZE, prot))
        start -= PAGE_SIZE;
    while (end < high && unfilled(end, prot))
        end += PAGE_SIZE;
    *ret_start = start;
    *ret_end = end;
}

bool softsgx_pte_fill(uint64_t addr, uint32_t need)
{
    uint64_t page = addr & ~(PAGE_SIZE - 1), start = page, end = page;
    if (!softsgx_epcm_allows(page, need))
        return false;
    pte_lock();
    uint32_t prot = softsgx_entry_prot(atomic_load(softsgx_epcm(page)));
    bool ok = (prot & need) == need, in_order = false;
    if (ok && softsgx.areas > softsgx.areas_max)
        guard_span(page);
    if (ok && softsgx_entry_pte(load(page)) != prot) {
        fill_run(page, prot, &start, &end);
        in_order = (prot & EPCM_W) && start == page && start > softsgx.elrange_start &&
                   softsgx_entry_pte(load(start - PAGE_SIZE)) == prot;
        if (set_run(start, end, prot))
            softsgx_die("the page table cannot be changed: out of memory, or of areas (vm.max_map_count)");
        if (end - start == SPAN && prot == (EPCM_R | EPCM_W)) /* accepted all at once: a large page will do */
            raw_syscall3(SYS_madvise, (long)start, SPAN, MADV_HUGEPAGE);
    }
    pte_unlock();
    if (in_order)
        populate(page, end);
    return ok;
}

static int for_each_run(uint64_t start, uint64_t end, bool drop)
{
    int r = 0;
    pte_lock();
    for (uint64_t a = start; a < end && r == 0;) {
        uint32_t e = atomic_load(softsgx_epcm(a)), prot = softsgx_entry_prot(e);
        if (softsgx_entry_pte(e) == prot || (drop && (softsgx_entry_pte(e) & ~prot) == 0)) {
            a += PAGE_SIZE;
            continue;
        }
        uint64_t run = prot ? a : empty_sparse(a, end);
        if (run == a) {
            for (run = a + PAGE_SIZE; run < end && softsgx_entry_prot(atomic_load(softsgx_epcm(run))) == prot;)
                run += PAGE_SIZE;
            r = set_run(a, run, prot);
        }
        a = run;
    }
    pte_unlock();
    return r;
}

int softsgx_pte_drop(uint64_t start, uint64_t end)
{
    return for_each_run(start, end, true);
}

int softsgx_pte_fill_all(uint64_t start, uint64_t end)
{
    return for_each_run(start, end, false);
}

void softsgx_pte_peek(uint64_t page, bool on)
{
    softsgx_pte_protect(page, page + PAGE_SIZE, on ? EPCM_R : 0);
}

/* Opens the page for the copy; in a guarded span its guard gives way to permissions. */
static bool copy_through_page_table(uint64_t page, uint64_t source)
{
    pte_lock();
    bool ok = softsgx_pte_protect(page, page + PAGE_SIZE, EPCM_R | EPCM_W) == 0;
    if (ok && *guarded_at(page))
        ok = raw_syscall3(SYS_madvise, (long)page, PAGE_SIZE, MADV_GUARD_REMOVE) == 0;
    uint64_t to = page, from = source, count = PAGE_SIZE;
    if (ok)
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    ok = softsgx_pte_protect(page, page + PAGE_SIZE, 0) == 0 && ok;
    pte_unlock();
    return ok;
}

/* The page is accepted if nothing has happened to it: its entry, and what the page table allows. */
static bool accept(uint64_t page, uint32_t entry, uint32_t accepted, uint32_t prot)
{
    uint32_t e = atomic_load(softsgx_epcm(page)), next;
    do {
        if ((e ^ entry) & EPCM_ARCH)
            return false;
        next = (e & ~(EPCM_ARCH | EPCM_RWX << EPCM_PTE_SHIFT)) | (accepted & EPCM_ARCH) | prot << EPCM_PTE_SHIFT;
    } while (!atomic_compare_exchange_weak(softsgx_epcm(page), &e, next));
    return true;
}

/*
 * Into a sparse area, where the page can be used from the moment it is there: for who sees it then it was accepted.
 * False: it is for the other way.
 */
static bool copy_sparse(uint64_t page, uint64_t source, uint32_t entry, uint32_t accepted)
{
    uint32_t prot = softsgx_entry_prot(accepted);
    if (softsgx.fault_fd < 0 || prot == 0 || (prot & EPCM_W))
        return false;
    pte_lock();
    uint32_t e = load(page);
    bool ok = !((e ^ entry) & EPCM_ARCH) && softsgx_entry_prot((e & ~EPCM_ARCH) | (accepted & EPCM_ARCH)) == prot;
    if (ok && softsgx_entry_sparse(e) != prot) {
        uint64_t end = (page & ~(SPAN - 1)) + SPAN;
        int64_t areas = edges(page, end);
        ok = !*guarded_at(page) && softsgx_sparse_make(page, prot);
        softsgx.areas += edges(page, end) - areas;
    }
    ok = ok && softsgx_sparse_copy(page, source);
    if (ok && !accept(page, entry, accepted, prot)) {
        raw_syscall3(SYS_madvise, (long)page, PAGE_SIZE, MADV_DONTNEED);
        ok = false;
    }
    pte_unlock();
    return ok;
}

static bool write_past_page_table(uint64_t page, uint64_t source)
{
    long n;
    register long offset __asm__("r10") = (long)page;
    __asm__ volatile("syscall"
                     : "=a"(n)
                     : "a"(SYS_pwrite64), "D"(softsgx.mem_fd), "S"(source), "d"(PAGE_SIZE), "r"(offset)
                     : "rcx", "r11", "memory");
    return n == PAGE_SIZE;
}

static bool copy_plain(uint64_t page, uint64_t source)
{
    bool ok = true;
    if (softsgx_entry_sparse(load(page))) {
        pte_lock();
        ok = softsgx_pte_protect(page, page + PAGE_SIZE, 0) == 0 && softsgx_sparse_leave(page, page + PAGE_SIZE) == 0;
        pte_unlock();
    }
    return ok && ((!*guarded_at(page) && write_past_page_table(page, source)) || copy_through_page_table(page, source));
}

bool softsgx_pte_copy(uint64_t page, uint64_t source, uint32_t entry, uint32_t accepted)
{
    if (copy_sparse(page, source, entry, accepted))
        return true;
    /* Still PENDING, so nobody else reaches the page while it is filled. */
    return copy_plain(page, source) && accept(page, entry, accepted, 0);
}

bool softsgx_touch(uint64_t addr, uint64_t size, uint32_t need)
{
    for (uint64_t a = addr & ~(PAGE_SIZE - 1); a < addr + size; a += PAGE_SIZE) {
        if (a < softsgx.elrange_start || a >= softsgx.elrange_end)
            return false;
        if ((softsgx_entry_pte(load(a)) & need) != need && !softsgx_pte_fill(a, need))
            return false;
    }
    return true;
}

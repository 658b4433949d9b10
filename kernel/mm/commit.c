/* Making pages exist and cease to, and changing their rights: the one place that runs EACCEPT on application memory. */
#include <asm-generic/errno.h>

#include "kernel/arch/enclu.h"
#include "kernel/arch/extable.h"
#include "kernel/arch/hostcall.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/heap.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/page_state.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

/* madvise(MADV_DONTNEED) and the like clear this many pages in place; more are given back. */
#define DISCARD_IN_PLACE_MAX 128

/*
 * Pages kept idle: at most 1/IDLE_SHARE of memory, in so many pieces (each may split the host's own map). Once none has
 * been added for IDLE_QUIET_NS, all but IDLE_KEPT are given back, little by little.
 */
#define IDLE_SHARE 8
#define IDLE_KEPT 4096
#define IDLE_PIECES_MAX 256
#define IDLE_QUIET_NS 1000000000ULL
#define IDLE_STEP_PAGES 1024
#define IDLE_STEP_NS 2000000ULL

/* Pages that wait on the shelf. */
#define PAGE_SHELVED (PAGE_IDLE | PAGE_SHARED)
#define SHELVED_MAX 4096

static void give_back_idle(struct timer *timer);
static void restrict_run(uaddr_t start, uaddr_t end, unsigned rights);

static bool edmm;
static uint64_t idle_pages, shelved_pages;
static int64_t idle_pieces;
static bool keep_text, leave_open;
static uint64_t idle_added_ns;
static struct timer idle_timer;
static uaddr_t elrange_end;
static bool heap_edmm;
static uaddr_t backed_end;

void pages_init(uint64_t elrange_size, bool with_edmm, uint64_t limit_bytes)
{
    page_state_init(elrange_size);
    edmm = with_edmm;
    mm_self()->limit_pages = limit_bytes / PAGE_SIZE;
    elrange_end = elrange_size;
    backed_end = edmm ? elrange_size : USER_BASE + limit_bytes;
    timer_init(&idle_timer, give_back_idle);
    /* The loader left everything accessible. */
    if (!edmm && hostcall_edmm(EDMM_PROTECT, USER_BASE, limit_bytes, 0) < 0)
        host_lied("EDMM protect");
}

bool pages_edmm(void)
{
    return edmm;
}

uaddr_t pages_backed_end(void)
{
    return backed_end;
}

uint64_t pages_available(void)
{
    const struct mm *mm = mm_self();

    return mm->limit_pages - MIN(mm->limit_pages, mm->committed_pages);
}

static void host_edmm(enum edmm_op op, uaddr_t start, size_t size, uint64_t arg)
{
    if (hostcall_edmm(op, start, size, arg) < 0)
        host_lied("EDMM refused");
}

static void accept(uaddr_t page, uint64_t flags)
{
    struct secinfo secinfo = {.flags = flags};

    if (enclu_eaccept(&secinfo, page) != 0)
        host_lied("EACCEPT: the page is not what was asked for");
}

/* A page that the fault of EACCEPT adds. If the host adds none it has no more: -ENOMEM. */
static int accept_new(uaddr_t page)
{
    struct secinfo secinfo = {.flags = SECINFO_R | SECINFO_W | SECINFO_PENDING | SECINFO_TYPE(PT_REG)};
    uint64_t error = enclu_eaccept(&secinfo, page);

    if (error == ENCLU_FAULT)
        return -ENOMEM;
    if (error != 0)
        host_lied("EACCEPT: the page is not what was asked for");
    return 0;
}

static void extend(uaddr_t page, unsigned rights)
{
    struct secinfo secinfo = {.flags = rights | SECINFO_TYPE(PT_REG)};

    enclu_emodpe(&secinfo, page);
}

static bool is_zero(const uint64_t *page)
{
    for (size_t i = 0; i < PAGE_SIZE / sizeof *page; i += 4)
        if (page[i] | page[i + 1] | page[i + 2] | page[i + 3])
            return false;
    return true;
}

/* Looking first saves the host from giving memory to pages that are zero anyway. */
static void clear_page(uaddr_t page)
{
    if (!is_zero((const uint64_t *)page))
        memset((void *)page, 0, PAGE_SIZE);
}

/* ---- the kernel heap ---- */

void heap_commit_init(bool with_edmm)
{
    heap_edmm = with_edmm;
}

void heap_commit(uint64_t addr, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!heap_edmm)
            clear_page(addr + i * PAGE_SIZE);
        else if (accept_new(addr + i * PAGE_SIZE) < 0)
            panic("the host has no enclave memory left");
    }
}

/* ---- idle pages ---- */

#define PAGE_TABLES_OPEN (EDMM_R | EDMM_W | EDMM_X)

/* closed: they are out of reach, and the processor lets nobody else reach them before that ends for EACCEPT. */
static void trim_run(uaddr_t start, uaddr_t end, bool closed)
{
    host_edmm(EDMM_TRIM, start, end - start, 0);
    if (closed)
        host_edmm(EDMM_PROTECT, start, end - start, PAGE_TABLES_OPEN);
    for (uaddr_t page = start; page < end; page += PAGE_SIZE)
        accept(page, SECINFO_MODIFIED | SECINFO_TYPE(PT_TRIM));
    host_edmm(EDMM_REMOVE, start, end - start, 0);
}

static bool is_shelved(uaddr_t page)
{
    return (page_state(page) & PAGE_SHELVED) == PAGE_SHELVED;
}

/* The end of the run of pages, idle in the same way, that starts at `start`. */
static uaddr_t idle_run_end(uaddr_t start, uaddr_t end)
{
    uint8_t state = page_state(start);

    while (start < end && (state & PAGE_IDLE) && page_state(start) == state)
        start += PAGE_SIZE;
    return start;
}

static bool is_idle(uaddr_t page)
{
    return page >= USER_BASE && page < elrange_end && (page_state(page) & PAGE_SHELVED) == PAGE_IDLE;
}

/* Pages that are no piece's any more, or not yet, which lie between others. */
static int64_t pieces_beside(uaddr_t start, uaddr_t end)
{
    return (int64_t)is_idle(start - PAGE_SIZE) + is_idle(end);
}

/* All of the run become `state`. */
static void leave_idle(uaddr_t start, uaddr_t end, uint8_t state)
{
    uint64_t count = (end - start) / PAGE_SIZE;
    bool shelved = is_shelved(start);

    for (uaddr_t page = start; page < end; page += PAGE_SIZE)
        page_state_replace(page, state);
    if (shelved) {
        shelved_pages -= count;
        return;
    }
    idle_pages -= count;
    idle_pieces += pieces_beside(start, end) - 1;
}

/* All of it is idle in the same way. */
static void open_run(uaddr_t start, uaddr_t end)
{
    if (!(page_state(start) & PAGE_OPEN))
        host_edmm(EDMM_PROTECT, start, end - start, PAGE_TABLES_OPEN);
}

/* Idle pages of [start, end), `max` of them at most, cease to exist. */
static void evict_idle(uaddr_t start, uaddr_t end, size_t max)
{
    uaddr_t run, run_end;

    for (run = pages_next_idle(start, end); run < end && max > 0; run = pages_next_idle(run_end, end)) {
        run_end = idle_run_end(run, MIN(end, run + max * PAGE_SIZE));
        trim_run(run, run_end, !is_shelved(run) && !(page_state(run) & PAGE_OPEN));
        leave_idle(run, run_end, 0);
        max -= (run_end - run) / PAGE_SIZE;
    }
}

static void give_back_idle(struct timer *timer)
{
    uint64_t now = time_monotonic_ns();

    if (now - idle_added_ns < IDLE_QUIET_NS) {
        timer_arm(timer, idle_added_ns + IDLE_QUIET_NS);
        return;
    }
    if (idle_pages > IDLE_KEPT)
        evict_idle(USER_BASE, elrange_end, MIN(idle_pages - IDLE_KEPT, (uint64_t)IDLE_STEP_PAGES));
    if (idle_pages > IDLE_KEPT)
        timer_arm(timer, now + IDLE_STEP_NS);
}

static void note_idle(void)
{
    if (idle_pages <= IDLE_KEPT)
        return;
    idle_added_ns = time_monotonic_ns();
    if (!idle_timer.armed)
        timer_arm(&idle_timer, idle_added_ns + IDLE_QUIET_NS);
}

#define RWX (PAGE_R | PAGE_W | PAGE_X)

/* Rights of an idle page; what has none of its own is writable. */
static unsigned idle_rights(uaddr_t page)
{
    unsigned rights = page_state(page) & PAGE_RIGHTS;

    return rights ? rights : PAGE_R | PAGE_W;
}

/* All idle in the same way: it exists again, to be written to. */
static void revive(uaddr_t start, uaddr_t end)
{
    unsigned rights = idle_rights(start);

    open_run(start, end);
    for (uaddr_t page = start; page < end && !(rights & PAGE_W); page += PAGE_SIZE)
        extend(page, rights | PAGE_W);
    leave_idle(start, end, (uint8_t)(PAGE_COMMITTED | PAGE_W | rights));
}

/* What idle pages contain that are not zero may be seen by nobody before it is overwritten. */
static bool can_overwrite(uaddr_t idle)
{
    return idle_rights(idle) == PAGE_R && sched_alone();
}

/* Committed pages become idle: with their contents if nobody can have written to them, ever. */
static void idle_run(uaddr_t start, uaddr_t end)
{
    size_t count = (end - start) / PAGE_SIZE;
    uint8_t rights = page_state(start) & PAGE_RIGHTS;

    if (!(page_state(start) & PAGE_CLEAN)) {
        for (uaddr_t page = start; page < end && !(rights & PAGE_W); page += PAGE_SIZE)
            extend(page, rights | PAGE_W);
        rights |= PAGE_W;
    }
    if (rights & PAGE_W)
        memset((void *)start, 0, end - start);
    if (rights == (PAGE_R | PAGE_W))
        rights = 0;
    if (!leave_open)
        host_edmm(EDMM_PROTECT, start, end - start, 0);
    idle_pieces += 1 - pieces_beside(start, end);
    for (uaddr_t page = start; page < end; page += PAGE_SIZE)
        page_state_replace(page, PAGE_IDLE | rights | (leave_open ? PAGE_OPEN : 0));
    mm_self()->committed_pages -= count;
    mm_self()->decommits += count;
    idle_pages += count;
    note_idle();
}

/* ---- committing ---- */

static int commit_charge(uaddr_t start, size_t count)
{
    struct mm *mm = mm_self();

    if (count > pages_available() || !page_state_reserve(start, start + count * PAGE_SIZE))
        return -ENOMEM;
    if (idle_pages + shelved_pages > pages_available() - count)
        evict_idle(USER_BASE, elrange_end, idle_pages + shelved_pages);
    ASSERT(start + count * PAGE_SIZE <= backed_end);
    mm->committed_pages += count;
    mm->commits += count;
    mm->committed_pages_max = MAX(mm->committed_pages_max, mm->committed_pages);
    return 0;
}

static int commit_one(uaddr_t page)
{
    int r = 0;

    ASSERT(!(page_state(page) & PAGE_COMMITTED));
    if (edmm)
        r = accept_new(page);
    else
        clear_page(page);
    if (r == 0)
        page_state_replace(page, PAGE_COMMITTED | PAGE_R | PAGE_W);
    return r;
}

/* Of what was charged, some exists and the rest will not. */
static void commit_undo(uaddr_t start, uaddr_t end)
{
    size_t missing = (end - start) / PAGE_SIZE - pages_count_committed(start, end);

    mm_self()->committed_pages -= missing;
    mm_self()->commits -= missing;
    pages_decommit(start, end);
}

/* The pages at the beginning of [page, end) that are idle in the same way: those that can be had exist again. Where. */
static uaddr_t commit_idle(uaddr_t page, uaddr_t end, unsigned rights)
{
    uaddr_t idle_end = idle_run_end(page, end);
    bool old = page_state(page) & PAGE_OLD, alone = sched_alone();

    if (idle_end == page)
        return page;
    if (is_shelved(page)) {
        evict_idle(page, idle_end, (idle_end - page) / PAGE_SIZE);
        return page;
    }
    if (can_overwrite(page)) {
        revive(page, idle_end);
        memset((void *)page, 0, idle_end - page);
    } else if ((idle_rights(page) & PAGE_W) && !(idle_rights(page) & ~rights) && (alone || !old)) {
        revive(page, idle_end);
        /* A thread that ran while they became idle may have written once more. If others run now they may have them
         * already, and have written: then they stay as they are, and what is there is this program's own. */
        for (; alone && (keep_text || old) && page < idle_end; page += PAGE_SIZE)
            clear_page(page);
    } else {
        evict_idle(page, idle_end, (idle_end - page) / PAGE_SIZE);
        return page;
    }
    return idle_end;
}

/* Zeroed pages; `rights` says what more than RW they may have. */
static int commit(uaddr_t start, size_t count, unsigned rights)
{
    int r = commit_charge(start, count);

    if (r < 0)
        return r;
    if (!edmm)
        host_edmm(EDMM_PROTECT, start, count * PAGE_SIZE, EDMM_R | EDMM_W);
    for (uaddr_t page = start, end = start + count * PAGE_SIZE; page < end;) {
        uaddr_t next = commit_idle(page, end, rights);

        if (next == page) {
            r = commit_one(page);
            next += PAGE_SIZE;
        }
        if (r < 0) {
            commit_undo(start, end);
            return r;
        }
        page = next;
    }
    return 0;
}

int pages_commit(uaddr_t start, size_t count)
{
    return commit(start, count, PAGE_R | PAGE_W);
}

int pages_commit_all_rights(uaddr_t start, size_t count)
{
    int r = commit(start, count, RWX);

    if (r == 0)
        pages_set_rights(start, start + count * PAGE_SIZE, RWX);
    return r;
}

/* Nobody sees the page while it has its old contents, or half of the new ones: no other vCPU runs user code. */
static void take_from_shelf(uaddr_t page, const void *src, unsigned rights)
{
    unsigned more = rights | PAGE_R | PAGE_W;

    extend(page, more);
    memcpy((void *)page, src, PAGE_SIZE);
    leave_idle(page, page + PAGE_SIZE, (uint8_t)(PAGE_COMMITTED | more));
    if (more != rights)
        restrict_run(page, page + PAGE_SIZE, rights);
}

/* All idle in the same way; those that contain what is to come from src exist again. */
static void reuse_text(uaddr_t start, uaddr_t end, const uint8_t *src)
{
    uint8_t state = (uint8_t)(PAGE_COMMITTED | idle_rights(start));

    open_run(start, end);
    for (uaddr_t page = start; page < end; page += PAGE_SIZE, src += PAGE_SIZE)
        if (memcmp((const void *)page, src, PAGE_SIZE) == 0)
            leave_idle(page, page + PAGE_SIZE, state);
}

/* Idle pages of [start, end) that can be had with contents and rights, where no other thread would see them without. */
static void reuse_idle(uaddr_t start, uaddr_t end, const uint8_t *src, unsigned rights)
{
    uaddr_t run, run_end;

    if (!sched_alone())
        return;
    for (run = pages_next_idle(start, end); run < end; run = pages_next_idle(run_end, end)) {
        unsigned has = idle_rights(run);

        run_end = idle_run_end(run, end);
        if (is_shelved(run)) {
            for (uaddr_t page = run; page < run_end; page += PAGE_SIZE)
                take_from_shelf(page, src + (page - start), rights);
        } else if ((has & PAGE_W) || ((rights & PAGE_W) && !(has & ~rights))) {
            revive(run, run_end);
            memcpy((void *)run, src + (run - start), run_end - run);
            pages_set_rights(run, run_end, rights);
        } else if (has == rights) {
            reuse_text(run, run_end, src + (run - start));
        }
    }
}

int pages_commit_copy(uaddr_t start, size_t count, const void *src, unsigned rights)
{
    struct secinfo secinfo = {.flags = rights | SECINFO_TYPE(PT_REG)};
    int r;

    if (!edmm) {
        r = pages_commit(start, count);
        if (r < 0)
            return r;
        memcpy((void *)start, src, count * PAGE_SIZE);
        pages_set_rights(start, start + count * PAGE_SIZE, rights);
        return 0;
    }
    r = commit_charge(start, count);
    if (r < 0)
        return r;
    reuse_idle(start, start + count * PAGE_SIZE, src, rights);
    /* Others could see an idle page before its contents are there. */
    evict_idle(start, start + count * PAGE_SIZE, count);
    for (size_t i = 0; i < count; i++) {
        uaddr_t page = start + i * PAGE_SIZE;
        uint64_t error;

        if (page_state(page) & PAGE_COMMITTED)
            continue;
        error = enclu_eacceptcopy(&secinfo, page, (uint64_t)src + i * PAGE_SIZE);
        if (error == ENCLU_FAULT) {
            commit_undo(start, start + count * PAGE_SIZE);
            return -ENOMEM;
        }
        if (error != 0)
            host_lied("EACCEPTCOPY: the page is not what was asked for");
        page_state_replace(page, (uint8_t)(PAGE_COMMITTED | rights));
    }
    return 0;
}

/* ---- rights ---- */

/*
 * The next run of committed pages in [*start, end) that lack (missing = true) some of `rights`, or have others besides
 * (missing = false). False when there is none.
 */
static bool next_run(uaddr_t *start, uaddr_t end, unsigned rights, bool missing, uaddr_t *ret_end)
{
    uaddr_t page = *start;
    bool in_run = false;

    while ((page = in_run ? page : pages_next_committed(page, end)) < end) {
        unsigned state = page_state(page);
        unsigned has = state & PAGE_RIGHTS;
        bool wanted = (state & PAGE_COMMITTED) && (missing ? (rights & ~has) != 0 : (has & ~rights) != 0);

        if (in_run && !wanted)
            break;
        if (wanted && !in_run) {
            *start = page;
            in_run = true;
        }
        page += PAGE_SIZE;
    }
    *ret_end = page;
    return in_run;
}

static void set_state_rights(uaddr_t page, unsigned rights)
{
    unsigned lost = PAGE_RIGHTS | (rights & PAGE_W ? PAGE_CLEAN : 0);

    page_state_replace(page, (uint8_t)((page_state(page) & ~lost) | rights));
}

/* All of [start, end) is committed and has more than `rights`: one host call, then each page is accepted as it is now.
 */
static void restrict_run(uaddr_t start, uaddr_t end, unsigned rights)
{
    host_edmm(EDMM_RESTRICT, start, end - start, rights);
    for (uaddr_t page = start; page < end; page += PAGE_SIZE) {
        unsigned left = page_state(page) & rights;

        accept(page, left | SECINFO_PR | SECINFO_TYPE(PT_REG));
        set_state_rights(page, left);
    }
}

void pages_set_rights(uaddr_t start, uaddr_t end, unsigned rights)
{
    uaddr_t run, run_end;

    for (run = start; next_run(&run, end, rights, false, &run_end); run = run_end) {
        if (edmm) {
            restrict_run(run, run_end, rights);
            continue;
        }
        host_edmm(EDMM_PROTECT, run, run_end - run, rights);
        for (uaddr_t page = run; page < run_end; page += PAGE_SIZE)
            set_state_rights(page, rights);
    }
    for (run = start; next_run(&run, end, rights, true, &run_end); run = run_end) {
        if (!edmm)
            host_edmm(EDMM_PROTECT, run, run_end - run, rights);
        for (uaddr_t page = run; page < run_end; page += PAGE_SIZE) {
            if (edmm)
                extend(page, rights);
            set_state_rights(page, rights);
        }
    }
}

void pages_refresh(uaddr_t page)
{
    if (!edmm)
        host_edmm(EDMM_PROTECT, page, PAGE_SIZE, page_state(page) & PAGE_RIGHTS);
}

/* ---- giving back ---- */

static void decommit_run(uaddr_t start, uaddr_t end)
{
    if (edmm)
        trim_run(start, end, false);
    else
        host_edmm(EDMM_PROTECT, start, end - start, 0);
    for (uaddr_t page = start; page < end; page += PAGE_SIZE)
        page_state_replace(page, 0);
    mm_self()->committed_pages -= (end - start) / PAGE_SIZE;
    mm_self()->decommits += (end - start) / PAGE_SIZE;
}

/* Pages alike in these are one run. */
#define RUN_STATE (PAGE_COMMITTED | PAGE_RIGHTS | PAGE_SHARED | PAGE_CLEAN)

/* Worth keeping, and not more of it than may be kept. */
static bool may_idle(uaddr_t start, uaddr_t end)
{
    size_t count = (end - start) / PAGE_SIZE;
    uint8_t state = page_state(start);
    bool plain = (state & RUN_STATE) == (PAGE_COMMITTED | PAGE_R | PAGE_W);
    bool text = keep_text && (state & PAGE_R) && !(state & PAGE_SHARED);

    return edmm && (plain || text) && idle_pages + count <= mm_self()->limit_pages / IDLE_SHARE &&
           idle_pieces < IDLE_PIECES_MAX;
}

static void give_back(uaddr_t start, uaddr_t end, bool keep)
{
    uaddr_t run, run_end;

    for (run = pages_next_committed(start, end); run < end; run = pages_next_committed(run_end, end)) {
        uint8_t state = page_state(run);

        run_end = run + PAGE_SIZE;
        while (run_end < end &&
               (keep ? (page_state(run_end) & RUN_STATE) == (state & RUN_STATE) : page_state(run_end) & PAGE_COMMITTED))
            run_end += PAGE_SIZE;
        if (keep && may_idle(run, run_end))
            idle_run(run, run_end);
        else
            decommit_run(run, run_end);
    }
}

void pages_decommit(uaddr_t start, uaddr_t end)
{
    give_back(start, end, false);
}

void pages_shelve(uaddr_t start, uaddr_t end)
{
    size_t count = (end - start) / PAGE_SIZE;

    if (!edmm || shelved_pages + count > MIN((uint64_t)SHELVED_MAX, mm_self()->limit_pages / IDLE_SHARE)) {
        pages_decommit(start, end);
        return;
    }
    restrict_run(start, end, 0);
    for (uaddr_t page = start; page < end; page += PAGE_SIZE)
        page_state_replace(page, PAGE_SHELVED);
    mm_self()->committed_pages -= count;
    mm_self()->decommits += count;
    shelved_pages += count;
}

void pages_keep_text(void)
{
    keep_text = true;
}

void pages_age_idle(void)
{
    for (uaddr_t page = pages_next_idle(USER_BASE, elrange_end); page < elrange_end;
         page = pages_next_idle(page + PAGE_SIZE, elrange_end))
        if (!is_shelved(page))
            page_state_set(page, PAGE_OLD);
}

void pages_leave_open(void)
{
    leave_open = true;
}

void pages_close_idle(void)
{
    uaddr_t run, run_end;

    leave_open = false;
    for (run = pages_next_idle(USER_BASE, elrange_end); run < elrange_end;
         run = pages_next_idle(run_end, elrange_end)) {
        bool open = page_state(run) & PAGE_OPEN;

        for (run_end = run + PAGE_SIZE;
             run_end < elrange_end && is_idle(run_end) && !(page_state(run_end) & PAGE_OPEN) == !open;)
            run_end += PAGE_SIZE;
        if (!open)
            continue;
        host_edmm(EDMM_PROTECT, run, run_end - run, 0);
        for (uaddr_t page = run; page < run_end; page += PAGE_SIZE)
            page_state_clear(page, PAGE_OPEN);
    }
}

void pages_release(uaddr_t start, uaddr_t end)
{
    give_back(start, end, true);
}

/* The end of the run of committed pages from `page` on that nobody may write to. */
static uaddr_t read_only_end(uaddr_t page, uaddr_t end)
{
    while (page < end && (page_state(page) & (PAGE_COMMITTED | PAGE_W)) == PAGE_COMMITTED)
        page += PAGE_SIZE;
    return page;
}

void pages_discard(uaddr_t start, uaddr_t end)
{
    uaddr_t page, next;

    if (edmm && pages_count_committed(start, end) > DISCARD_IN_PLACE_MAX) {
        pages_release(start, end);
        return;
    }
    for (page = pages_next_committed(start, end); page < end; page = pages_next_committed(next, end)) {
        unsigned rights = page_state(page) & PAGE_RIGHTS;

        next = page + PAGE_SIZE;
        if (edmm && !(rights & PAGE_W)) {
            next = read_only_end(next, end);
            pages_decommit(page, next);
            continue;
        }
        if (!(rights & PAGE_W))
            pages_set_rights(page, page + PAGE_SIZE, PAGE_R | PAGE_W);
        memset((void *)page, 0, PAGE_SIZE);
        if (!(rights & PAGE_W))
            pages_set_rights(page, page + PAGE_SIZE, rights);
    }
}

/* Shared mappings of files: which pages of a file live in a mapping, and where. */
#include "kernel/mm/shared.h"

#include <asm-generic/errno.h>
#include <linux/mman.h>

#include "kernel/fs/file.h"
#include "kernel/lib/list.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/vma.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

/*
 * How long a page that came from another enclave stays: from when the thread that waited for it runs again, and at most
 * so long until then. Short, since others wait; but not to be used at all would be worse.
 */
#define HOLD_NS 20000ULL
#define HOLD_UNUSED_NS 2000000ULL

struct home {
    RB_ENTRY(home) node;
    uint64_t index;
    uaddr_t page;
    bool writable; /* through its mapping, now or after mprotect */
    /* in a member */
    bool exclusive;       /* no other enclave has it: may be written */
    bool fresh;           /* whoever waited for it has not run yet */
    bool take, take_read; /* the init enclave asked for it: on the list below */
    uint64_t hold_until_ns;
    struct inode *inode;
    TAILQ_ENTRY(home) take_link;
};

static TAILQ_HEAD(, home) takes = TAILQ_HEAD_INITIALIZER(takes);
static const struct shared_ops *others; /* NULL: no other enclaves */

/* Hangs at inode->mappings while the file has any mapping. Private ones count too: truncation must reach them. */
struct file_mappings {
    RB_HEAD(home_tree, home) homes;
    size_t pages_mapped;
};

static int home_compare(const struct home *a, const struct home *b)
{
    return a->index < b->index ? -1 : a->index > b->index;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_PROTOTYPE(home_tree, home, node, home_compare)
RB_GENERATE(home_tree, home, node, home_compare)
#pragma GCC diagnostic pop

static struct home *home_find(const struct inode *inode, uint64_t index)
{
    struct file_mappings *mappings = inode->mappings;
    struct home key = {.index = index};

    return mappings ? RB_FIND(home_tree, &mappings->homes, &key) : NULL;
}

void shared_ops_set(const struct shared_ops *ops)
{
    others = ops;
}

static bool coherent(const struct inode *inode)
{
    return others && others->coherent(inode);
}

/* Pages of the file are copies of the init enclave's. */
static bool is_copy(const struct inode *inode)
{
    return others && others->member && others->coherent(inode);
}

static bool may(const struct inode *inode, uint64_t index, bool write)
{
    if (!coherent(inode))
        return true;
    if (!others->member)
        return others->may(inode, index, write);
    const struct home *home = home_find(inode, index);
    return home && (!write || home->exclusive);
}

static unsigned rights_now(const struct vma *vma, uint64_t index, unsigned rights)
{
    return may(vma->file->inode, index, true) ? rights : rights & ~(unsigned)PAGE_W;
}

bool shared_any(const struct inode *inode)
{
    const struct file_mappings *mappings = inode->mappings;

    return mappings && !RB_EMPTY(&mappings->homes);
}

int shared_attach(struct vma *vma)
{
    struct inode *inode = vma->file->inode;
    struct file_mappings *mappings = inode->mappings;

    if (!mappings) {
        mappings = kzalloc(sizeof *mappings);
        if (!mappings)
            return -ENOMEM;
        inode->mappings = mappings;
    }
    mappings->pages_mapped += (vma->end - vma->start) / PAGE_SIZE;
    return 0;
}

void shared_detach(struct vma *vma)
{
    struct inode *inode = vma->file->inode;
    struct file_mappings *mappings = inode->mappings;

    if (!mappings)
        return;
    mappings->pages_mapped -= (vma->end - vma->start) / PAGE_SIZE;
    if (mappings->pages_mapped == 0) {
        inode->mappings = NULL;
        kfree(mappings);
    }
}

bool shared_page_pull(struct inode *inode, uint64_t index, void *page)
{
    const struct home *home = home_find(inode, index);

    if (!home)
        return false;
    if (!(page_state(home->page) & PAGE_R)) {
        pages_set_rights(home->page, home->page + PAGE_SIZE, PAGE_R);
        memcpy(page, (const void *)home->page, PAGE_SIZE);
        pages_set_rights(home->page, home->page + PAGE_SIZE, 0);
    } else {
        memcpy(page, (const void *)home->page, PAGE_SIZE);
    }
    return true;
}

/* The contents of a page that will leave its place: other threads run meanwhile, and must not write any more. */
static void pull_last(const struct home *home, void *buf)
{
    if (page_state(home->page) & PAGE_W)
        pages_set_rights(home->page, home->page + PAGE_SIZE, page_state(home->page) & PAGE_RIGHTS & ~(unsigned)PAGE_W);
    shared_page_pull(home->inode, home->index, buf);
}

static void write_home(const struct home *home, size_t offset, const void *src, size_t size)
{
    unsigned rights = page_state(home->page) & PAGE_RIGHTS;

    if (!(rights & PAGE_W))
        pages_set_rights(home->page, home->page + PAGE_SIZE, rights | PAGE_R | PAGE_W);
    if (src)
        memcpy((char *)home->page + offset, src, size);
    else
        memset((char *)home->page + offset, 0, size);
    if (!(rights & PAGE_W))
        pages_set_rights(home->page, home->page + PAGE_SIZE, rights);
}

void shared_page_push(struct inode *inode, uint64_t index, const void *page)
{
    const struct home *home = home_find(inode, index);

    if (home)
        write_home(home, 0, page, PAGE_SIZE);
}

bool shared_next_writable(const struct inode *inode, uint64_t *index)
{
    struct file_mappings *mappings = inode->mappings;
    struct home key = {.index = *index}, *home = mappings ? RB_NFIND(home_tree, &mappings->homes, &key) : NULL;

    while (home && !home->writable)
        home = RB_NEXT(home_tree, &mappings->homes, home);
    if (!home)
        return false;
    *index = home->index;
    return true;
}

void shared_page_patch(struct inode *inode, uint64_t index, size_t offset, const void *src, size_t size)
{
    const struct home *home = home_find(inode, index);

    if (home)
        write_home(home, offset, src, size);
}

static void home_forget(struct inode *inode, struct home *home)
{
    struct file_mappings *mappings = inode->mappings;

    RB_REMOVE(home_tree, &mappings->homes, home);
    page_state_clear(home->page, PAGE_SHARED);
    if (home->take)
        TAILQ_REMOVE(&takes, home, take_link);
    kfree(home);
}

/* Pages of private mappings beyond the new end vanish too. */
static void truncate_mappings(struct inode *inode, uint64_t first_gone)
{
    for (struct vma *vma = vma_first(); vma; vma = vma_next(vma)) {
        uint64_t first_index;
        uaddr_t start;

        if (!vma->file || vma->file->inode != inode || vma->ops)
            continue;
        first_index = vma_page_index(vma, vma->start);
        start = first_gone > first_index ? vma->start + (first_gone - first_index) * PAGE_SIZE : vma->start;
        if (start < vma->end)
            pages_decommit(start, vma->end);
    }
}

void shared_truncate(struct inode *inode, file_off_t size)
{
    struct file_mappings *mappings = inode->mappings;
    uint64_t first_gone = ((uint64_t)size + PAGE_SIZE - 1) / PAGE_SIZE;
    struct home key = {.index = first_gone}, *home, *next;

    if (!mappings)
        return;
    for (home = RB_NFIND(home_tree, &mappings->homes, &key); home; home = next) {
        next = RB_NEXT(home_tree, &mappings->homes, home);
        home_forget(inode, home);
    }
    truncate_mappings(inode, first_gone);
    home = size & (PAGE_SIZE - 1) ? home_find(inode, first_gone - 1) : NULL;
    if (home)
        write_home(home, (size_t)size & (PAGE_SIZE - 1), NULL, PAGE_SIZE - ((size_t)size & (PAGE_SIZE - 1)));
}

/* Contents of page `index` into buf, from where it lives, which it leaves; its storage is up to date then. */
static int fetch(struct inode *inode, uint64_t index, void *buf)
{
    struct home *home = home_find(inode, index);
    int r;

    if (!home)
        return inode->ops->read_page(inode, index, buf);
    pull_last(home, buf);
    r = home->writable ? inode->ops->write_page(inode, index, buf) : 0;
    if (r < 0)
        return r;
    pages_decommit(home->page, home->page + PAGE_SIZE);
    home_forget(inode, home);
    return 0;
}

static struct home *home_make(struct vma *vma, uaddr_t page, uint64_t index)
{
    struct file_mappings *mappings = vma->file->inode->mappings;
    struct home *home = kzalloc(sizeof *home);

    if (!home)
        return NULL;
    home->index = index;
    home->page = page;
    home->writable = file_writable(vma->file);
    home->inode = vma->file->inode;
    RB_INSERT(home_tree, &mappings->homes, home);
    return home;
}

static int commit_page(struct vma *vma, uaddr_t page, uint64_t index, void *buf)
{
    struct home *home;
    int r;

    r = fetch(vma->file->inode, index, buf);
    if (r < 0)
        return r;
    if (!may(vma->file->inode, index, false))
        return 0; /* that slept, and another enclave has it now */
    home = home_make(vma, page, index);
    if (!home)
        return -ENOMEM;
    r = pages_commit_copy(page, 1, buf, rights_now(vma, index, vma_rights(vma->prot)));
    if (r < 0) {
        RB_REMOVE(home_tree, &((struct file_mappings *)vma->file->inode->mappings)->homes, home);
        kfree(home);
        return r;
    }
    page_state_set(page, PAGE_SHARED);
    return 0;
}

/* A copy that was touched at another address of this enclave before moves to this one. */
static int move_copy(struct vma *vma, uaddr_t page, struct home *home)
{
    uint8_t *buf = page_alloc();
    int r;

    if (!buf)
        return -ENOMEM;
    pull_last(home, buf);
    pages_decommit(home->page, home->page + PAGE_SIZE);
    page_state_clear(home->page, PAGE_SHARED);
    r = pages_commit_copy(page, 1, buf, rights_now(vma, home->index, vma_rights(vma->prot)));
    if (r < 0) {
        others->give(home->inode, home->index, home->exclusive ? buf : NULL, home->take);
        RB_REMOVE(home_tree, &((struct file_mappings *)home->inode->mappings)->homes, home);
        if (home->take)
            TAILQ_REMOVE(&takes, home, take_link);
        kfree(home);
    } else {
        home->page = page;
        page_state_set(page, PAGE_SHARED);
    }
    page_free(buf);
    return r;
}

int shared_commit(struct vma *vma, uaddr_t start, size_t count, uaddr_t must)
{
    struct inode *inode = vma->file->inode;
    uint64_t file_pages = ((uint64_t)inode->size + PAGE_SIZE - 1) / PAGE_SIZE;
    void *buf;
    int r = 0;

    if (is_copy(inode))
        return 0; /* one by one, by shared_fault() */
    buf = page_alloc();
    if (!buf)
        return -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++) {
        uaddr_t page = start + i * PAGE_SIZE;
        uint64_t index = vma_page_index(vma, page);

        if (index >= file_pages)
            r = -EIO;
        else if ((page == must || !home_find(inode, index)) && may(inode, index, false))
            r = commit_page(vma, page, index, buf);
    }
    page_free(buf);
    return r;
}

/* The copy goes back to the init enclave; nobody writes to it any more. */
static void give(struct inode *inode, struct home *home, void *buf)
{
    if (home->exclusive)
        shared_page_pull(inode, home->index, buf);
    others->give(inode, home->index, home->exclusive ? buf : NULL, home->take);
    home_forget(inode, home);
}

/* A nameless file that only this mapping still has: nobody will read what is written back. */
static bool is_last_use(const struct vma *vma, uaddr_t start, uaddr_t end)
{
    const struct inode *inode = vma->file->inode;

    return start == vma->start && end == vma->end && vma->file->refcount == 1 && inode->nlink == 0 &&
           inode->refcount <= 2; /* the file's and its name's */
}

void shared_writeback(struct vma *vma, uaddr_t start, uaddr_t end)
{
    struct inode *inode = vma->file->inode;
    bool last = is_last_use(vma, start, end);
    void *buf = NULL;

    pages_set_rights(start, end, PAGE_R); /* other threads may still run */
    for (uaddr_t page = pages_next_committed(start, end); page < end;
         page = pages_next_committed(page + PAGE_SIZE, end)) {
        struct home *home;

        if (!(page_state(page) & PAGE_SHARED))
            continue;
        home = home_find(inode, vma_page_index(vma, page));
        if (!home || home->page != page)
            continue;
        buf = buf ? buf : page_alloc();
        if (is_copy(inode)) {
            if (!buf)
                panic("no memory to give back a page that processes share");
            give(inode, home, buf);
            continue;
        }
        if (home->writable && !last && buf && shared_page_pull(inode, home->index, buf))
            inode->ops->write_page(inode, home->index, buf);
        home_forget(inode, home);
    }
    if (buf)
        page_free(buf);
}

/* ---- with other enclaves ---- */

bool shared_coherent(const struct vma *vma)
{
    return vma->file && (vma->flags & MAP_SHARED) && !vma->ops && coherent(vma->file->inode);
}

int shared_acquire(struct inode *inode, uint64_t index, bool write)
{
    struct file file = {.inode = inode};
    int r = 0;

    while (r == 0 && !may(inode, index, write)) {
        r = others->acquire(&file, index, 0, write);
        if (r == 0)
            others->used(inode, index);
    }
    return r;
}

static bool next(const struct inode *inode, uint64_t *index)
{
    return others && others->next && others->next(inode, *index, index);
}

/* All are asked for before the first is waited for. */
int shared_call_back(struct inode *inode, uint64_t *index, size_t count, bool *ret_more)
{
    uint64_t end = *index;
    size_t n = 0;
    int r = 0;

    for (; n < count && next(inode, &end); n++, end++)
        others->call(inode, end);
    *ret_more = n == count;
    for (; r == 0 && next(inode, index) && *index < end; ++*index)
        r = shared_acquire(inode, *index, false);
    *index = end;
    return r;
}

int shared_take_back(struct inode *inode, uint64_t first, uint64_t end)
{
    int r = 0;

    for (uint64_t index = first; r == 0 && next(inode, &index) && index < end; index++)
        r = shared_acquire(inode, index, true);
    return r;
}

int shared_withdraw(struct inode *inode, uint64_t first)
{
    int r = shared_take_back(inode, first, UINT64_MAX);

    return r < 0 ? r : shared_acquire(inode, first, true); /* the one that the file ends in may have gone out again */
}

bool shared_spread(const struct inode *inode)
{
    uint64_t index = 0;

    return inode->shared && next(inode, &index);
}

bool shared_lent(const struct inode *inode, uint64_t index)
{
    return others && others->lent && others->lent(inode, index);
}

bool shared_close(struct inode *inode)
{
    return others && others->close && others->close(inode);
}

void shared_open(struct inode *inode)
{
    others->open(inode);
}

void shared_evict(struct inode *inode)
{
    if (others && others->evict)
        others->evict(inode);
}

static int acquire(struct vma *vma, uint64_t index, uaddr_t page, bool write)
{
    struct file *file = file_get(vma->file); /* the mapping may go meanwhile */
    int r = others->acquire(file, index, page, write);

    file_put(file);
    return r < 0 ? r : -EAGAIN;
}

bool shared_readable(const struct inode *inode, uint64_t index)
{
    return is_copy(inode) || may(inode, index, false);
}

int shared_make_readable(struct vma *vma, uaddr_t page)
{
    return acquire(vma, vma_page_index(vma, page), 0, false);
}

static void note_use(struct inode *inode, struct home *home, uint64_t index)
{
    if (!others->member) {
        others->used(inode, index);
    } else if (home->fresh) {
        home->fresh = false;
        home->hold_until_ns = time_monotonic_ns() + HOLD_NS;
        if (home->take)
            others->used(inode, index);
    }
}

int shared_fault(struct vma *vma, uaddr_t page, bool write)
{
    struct inode *inode = vma->file->inode;
    uint64_t index = vma_page_index(vma, page);
    struct home *home = home_find(inode, index);
    int r;

    if (!may(inode, index, write))
        return acquire(vma, index, page, write);
    note_use(inode, home, index);
    if (home && home->page == page) {
        pages_set_rights(page, page + PAGE_SIZE, rights_now(vma, index, vma_rights(vma->prot)));
    } else if (is_copy(inode)) {
        r = move_copy(vma, page, home);
        if (r < 0)
            return r;
    } else {
        return 1;
    }
    return 0;
}

void shared_set_rights(struct vma *vma, unsigned rights)
{
    if (!others->member && !vma->file->inode->shared) {
        pages_set_rights(vma->start, vma->end, rights);
        return;
    }
    for (uaddr_t page = pages_next_committed(vma->start, vma->end); page < vma->end;
         page = pages_next_committed(page + PAGE_SIZE, vma->end))
        pages_set_rights(page, page + PAGE_SIZE, rights_now(vma, vma_page_index(vma, page), rights));
}

int shared_anonymous(size_t size, struct file **ret_file)
{
    int r = others && others->anonymous ? others->anonymous(size, ret_file) : -ENOSYS;

    if (r < 0)
        *ret_file = NULL;
    return r == -ENOSYS ? 0 : r;
}

bool shared_futex_key(uaddr_t addr, uint64_t *ret_file, uint64_t *ret_offset)
{
    const struct vma *vma = others ? mm_find_vma(addr) : NULL;

    if (!vma || !shared_coherent(vma))
        return false;
    *ret_file = others->name(vma->file->inode);
    *ret_offset = (uint64_t)vma->offset + (addr - vma->start);
    return *ret_file != 0;
}

void shared_give_all(uaddr_t start, uaddr_t end)
{
    if (!others || !others->member)
        return;
    /* Mappings may change while this sleeps, and pages come back: by address, so it ends all the same. */
    while (start < end) {
        struct vma *vma = mm_find_vma_above(start);
        if (!vma || vma->start >= end)
            break;
        uaddr_t from = MAX(start, vma->start), part = MIN(end, vma->end);

        if (!shared_coherent(vma)) {
            start = vma->end;
            continue;
        }
        start = MIN(part, pages_next_committed(from, part));
        part = MIN(part, start + 64 * PAGE_SIZE);
        if (start == part)
            continue;
        vma_zap(vma, start, part);
        start = part;
        others->wait();
    }
}

int shared_page_yield(struct inode *inode, uint64_t index, bool to_read, void *buf)
{
    struct home *home = home_find(inode, index);
    int r = 0;

    if (home && to_read) {
        pull_last(home, buf);
        return 0;
    }
    r = fetch(inode, index, buf);
    if (r < 0 || to_read || inode->ops->hold_page)
        return r;
    return inode->ops->write_page(inode, index, buf); /* there is room when it comes back */
}

uaddr_t shared_place_of(const struct inode *inode, uint64_t index)
{
    for (struct vma *vma = vma_first(); vma; vma = vma_next(vma)) {
        uint64_t first = vma->file && vma->file->inode == inode ? vma_page_index(vma, vma->start) : 0;

        if (vma->file && vma->file->inode == inode && shared_coherent(vma) && index >= first &&
            index - first < (vma->end - vma->start) / PAGE_SIZE)
            return vma->start + (index - first) * PAGE_SIZE;
    }
    return 0;
}

static void stay(struct home *home, bool awaited)
{
    home->fresh = awaited;
    home->hold_until_ns = awaited ? time_monotonic_ns() + HOLD_UNUSED_NS : 0;
}

int shared_page_install(struct inode *inode, uint64_t index, uaddr_t page, const void *contents, bool write,
                        bool awaited)
{
    struct vma *vma = mm_find_vma(page);
    struct home *home;
    int r;

    if (!vma || !shared_coherent(vma) || vma->file->inode != inode || vma_page_index(vma, page) != index ||
        (page_state(page) & PAGE_COMMITTED) || home_find(inode, index))
        return -ENOENT;
    home = home_make(vma, page, index);
    if (!home)
        return -ENOMEM;
    home->exclusive = write;
    stay(home, awaited);
    r = pages_commit_copy(page, 1, contents, rights_now(vma, index, vma_rights(vma->prot)));
    if (r == 0)
        page_state_set(page, PAGE_SHARED);
    else
        home_forget(inode, home);
    return r;
}

bool shared_page_here(const struct inode *inode, uint64_t index)
{
    return home_find(inode, index) != NULL;
}

void shared_page_promote(struct inode *inode, uint64_t index, bool awaited)
{
    struct home *home = home_find(inode, index);

    home->exclusive = true;
    stay(home, awaited);
}

static bool held(const struct home *home)
{
    return home->hold_until_ns > time_monotonic_ns();
}

static unsigned rights_to_read(const struct home *home)
{
    return page_state(home->page) & PAGE_RIGHTS & ~(unsigned)PAGE_W;
}

/* How many of `count` pages from first's on can go with it. */
static size_t take_run(struct inode *inode, const struct home *first, size_t count)
{
    const struct home *home;
    size_t n = 1;

    while (n < count && (home = home_find(inode, first->index + n)) && home->page == first->page + n * PAGE_SIZE &&
           !held(home) && rights_to_read(home) == rights_to_read(first))
        n++;
    return n;
}

static void take_put_off(struct home *home, bool to_read)
{
    if (!home->take)
        TAILQ_INSERT_TAIL(&takes, home, take_link);
    home->take = true;
    home->take_read = to_read;
}

/* Nobody writes to it any more. True: it may have changed. */
static bool take_one(struct home *home, void *buf)
{
    bool dirty = home->exclusive;

    if (home->take)
        TAILQ_REMOVE(&takes, home, take_link);
    home->take = false;
    if (dirty)
        shared_page_pull(home->inode, home->index, buf);
    home->exclusive = false;
    return dirty;
}

size_t shared_pages_take(struct inode *inode, uint64_t index, size_t count, bool to_read, void *buf,
                         enum shared_take *ret_take, uint32_t *ret_dirty, uint64_t *ret_later)
{
    struct home *home = home_find(inode, index);
    uaddr_t start, end;
    unsigned rights;
    bool alone = sched_alone(); /* then nobody writes before the lock is given up */
    size_t n;

    *ret_take = !home ? SHARED_NOT_HERE : held(home) ? SHARED_LATER : SHARED_TAKEN;
    if (*ret_take == SHARED_LATER) {
        take_put_off(home, to_read);
        *ret_later = home->hold_until_ns;
    }
    if (*ret_take != SHARED_TAKEN)
        return 1;
    n = take_run(inode, home, MIN(count, (size_t)SHARED_TAKE_MAX));
    start = home->page;
    end = start + n * PAGE_SIZE;
    rights = rights_to_read(home);
    if (!alone)
        pages_set_rights(start, end, rights);
    *ret_dirty = 0;
    for (size_t i = 0; i < n; i++) {
        home = home_find(inode, index + i);
        *ret_dirty |= (uint32_t)take_one(home, (uint8_t *)buf + i * PAGE_SIZE) << i;
        if (!to_read)
            home_forget(inode, home);
    }
    if (to_read)
        pages_set_rights(start, end, rights);
    else if (alone)
        pages_shelve(start, end);
    else
        pages_decommit(start, end);
    return n;
}

bool shared_page_due(struct inode **ret_inode, uint64_t *ret_index, bool *ret_to_read, uint64_t *ret_later)
{
    uint64_t now = time_monotonic_ns();
    const struct home *home;

    *ret_later = NO_DEADLINE;
    TAILQ_FOREACH (home, &takes, take_link) {
        if (home->hold_until_ns <= now) {
            *ret_inode = home->inode;
            *ret_index = home->index;
            *ret_to_read = home->take_read;
            return true;
        }
        *ret_later = MIN(*ret_later, home->hold_until_ns);
    }
    return false;
}

/*
 * Page faults, and bringing pages in: in windows, since a fault that reaches the kernel costs an asynchronous exit and
 * an exception entry, while one more page in the window costs one EACCEPT.
 *
 * File pages are read into a buffer of the kernel's and get into place whole by EACCEPTCOPY, with their final rights:
 * no other vCPU can see a page half made, and read-only and executable pages need no call of the host.
 */
#include <asm-generic/errno.h>
#include <asm-generic/siginfo.h>
#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/signal.h>

#include "kernel/arch/rewrite.h"
#include "kernel/arch/trap.h"
#include "kernel/fs/verity.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/expected.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/touched.h"
#include "kernel/mm/vma.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/sched/mutex.h"

#define WINDOW_PAGES 16 /* the least that a fault brings in */
#define WINDOW_PAGES_FILE                                                                                              \
    2 /* of a file: its pages are hashed, copied and rewritten, and programs touch text here and there */
#define WINDOW_PAGES_MAX 64 /* the most, when memory is touched in order */
#define FILE_CHUNK_PAGES 16 /* read from a file at a time */

static const uint8_t zero_page[PAGE_SIZE] __attribute__((aligned(4096)));

/* [start, start + count pages) is not committed; nor need more than `must` of it be. */
static int commit_anonymous(const struct vma *vma, uaddr_t start, size_t count)
{
    unsigned rights = vma_rights(vma->prot);
    int r = 0;

    if (rights & PAGE_W) {
        r = pages_commit(start, count);
        if (r == 0 && (rights & PAGE_X))
            pages_set_rights(start, start + count * PAGE_SIZE, rights);
        return r;
    }
    for (size_t i = 0; i < count && r == 0; i++)
        r = pages_commit_copy(start + i * PAGE_SIZE, 1, zero_page, rights);
    return r;
}

/* The next pages of count, one at least, which are all within the file. */
static ssize_t read_some(struct inode *inode, uint64_t index, size_t count, uint8_t *buf)
{
    int r;

    if (inode->ops->read_pages && !shared_any(inode) && !inode->shared)
        return inode->ops->read_pages(inode, index, count, buf);
    if (!shared_readable(inode, index))
        return -EIO;
    if (shared_page_pull(inode, index, buf))
        return 1;
    r = inode->ops->read_page(inode, index, buf);
    return r < 0 ? r : 1;
}

/* Read count pages of vma's file from page `start` on into buf. Pages read, or -errno if not even one. */
static ssize_t read_pages(const struct vma *vma, uaddr_t start, size_t count, uint8_t *buf)
{
    struct inode *inode = vma->file->inode;
    uint64_t index = vma_page_index(vma, start);
    uint64_t file_pages = ((uint64_t)inode->size + PAGE_SIZE - 1) / PAGE_SIZE;
    size_t done = 0;

    while (done < count) {
        ssize_t n = -EIO;

        if (index + done < file_pages)
            n = read_some(inode, index + done, MIN((uint64_t)(count - done), file_pages - index - done),
                          buf + done * PAGE_SIZE);
        if (n < 0)
            return done ? (ssize_t)done : -EIO;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* buf: what the file has there; it may be changed. */
static int commit_contents(const struct vma *vma, uaddr_t start, size_t count, uint8_t *buf)
{
    unsigned rights = vma_rights(vma->prot);
    uint8_t flags = (rights & PAGE_X ? PAGE_REWRITTEN : 0) | (rights & PAGE_W ? 0 : PAGE_CLEAN);
    int r;

    if (rights & PAGE_X)
        rewrite_text_copy(start, buf, count * PAGE_SIZE);
    r = pages_commit_copy(start, count, buf, rights);
    for (size_t i = 0; flags && r == 0 && i < count; i++)
        page_state_set(start + i * PAGE_SIZE, flags);
    return r;
}

static int commit_file_chunk(struct vma *vma, uaddr_t start, size_t count, uint8_t *buf)
{
    ssize_t got = read_pages(vma, start, count, buf);
    int r = got < 0 ? (int)got : commit_contents(vma, start, (size_t)got, buf);

    return r == 0 && (size_t)got < count ? -EIO : r;
}

static int commit_file(struct vma *vma, uaddr_t start, size_t count)
{
    size_t chunk = MIN(count, FILE_CHUNK_PAGES);
    uint8_t *buf = page_alloc_many(chunk);
    int r = 0;

    if (!buf)
        return -ENOMEM;
    for (size_t done = 0; done < count && r == 0; done += chunk)
        r = commit_file_chunk(vma, start + done * PAGE_SIZE, MIN(chunk, count - done), buf);
    page_free_many(buf, chunk);
    return r;
}

static int commit_special(struct vma *vma, uaddr_t start, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++)
        r = vma->ops->fault(vma, start + i * PAGE_SIZE, (vma->prot & PROT_WRITE) != 0);
    return r;
}

/* Whether pages of vma are its file's own rather than copies. */
static bool is_shared_file(const struct vma *vma)
{
    return vma->file && (vma->flags & MAP_SHARED) && vma->file->inode->ops && vma->file->inode->ops->write_page;
}

static int commit_run(struct vma *vma, uaddr_t start, size_t count, uaddr_t must)
{
    if (vma->ops && vma->ops->fault)
        return commit_special(vma, start, count);
    if (is_shared_file(vma))
        return shared_commit(vma, start, count, must);
    if (vma->file && !vma->ops)
        return commit_file(vma, start, count);
    return commit_anonymous(vma, start, count);
}

/* The end of the run of pages from start on that are all committed, or all not, like the first. */
static uaddr_t run_end(uaddr_t start, uaddr_t end)
{
    uaddr_t page = start + PAGE_SIZE;
    bool committed = page_state(start) & PAGE_COMMITTED;

    if (!committed)
        return MIN(end, pages_next_committed(start, end));
    while (page < end && (page_state(page) & PAGE_COMMITTED))
        page += PAGE_SIZE;
    return page;
}

/*
 * Reading a page of some files sleeps. Mappings stand still meanwhile, and one such fault follows the other, so that
 * two do not bring in the same page.
 */
static struct mutex sleepy_faults = MUTEX_INITIALIZER(sleepy_faults);

static bool is_sleepy(const struct vma *vma)
{
    return vma->file && !vma->ops && vma->file->inode->sb && vma->file->inode->sb->ops;
}

static int populate(struct vma *vma, uaddr_t start, uaddr_t end, uaddr_t must);

int vma_populate(struct vma *vma, uaddr_t start, uaddr_t end, uaddr_t must)
{
    if (likely(!is_sleepy(vma)))
        return populate(vma, start, end, must);
    mm_freeze();
    mutex_lock(&sleepy_faults);
    int r = populate(vma, start, end, must);
    mutex_unlock(&sleepy_faults);
    mm_thaw();
    return r;
}

static int populate(struct vma *vma, uaddr_t start, uaddr_t end, uaddr_t must)
{
    uaddr_t page = start, next;
    int r = 0, result = 0;

    for (; page < end; page = next) {
        next = run_end(page, end);
        if (page_state(page) & PAGE_COMMITTED)
            continue;
        r = commit_run(vma, page, (next - page) / PAGE_SIZE, must);
        if (r == -ENOMEM)
            result = r;
        /* The end of a file inside the window is nobody's fault but the one's who touched it. */
        if (r < 0 && must && !(page_state(must) & PAGE_COMMITTED) && must >= page && must < next)
            return commit_run(vma, must, 1, must);
    }
    return must ? 0 : result;
}

void vma_bring_in(struct vma *vma, const uaddr_t *pages, const uint64_t *blocks, size_t count)
{
    uint8_t *buf = page_alloc_many(count);
    size_t good, run;

    if (!buf)
        return;
    good = verity_read_these(root_device, blocks, count, buf);
    for (size_t i = 0; i < good; i += run) {
        for (run = 1; i + run < good && pages[i + run] == pages[i] + run * PAGE_SIZE;)
            run++;
        if (commit_contents(vma, pages[i], run, buf + i * PAGE_SIZE) < 0)
            break;
    }
    page_free_many(buf, count);
}

void mm_read_ahead(uaddr_t start, uaddr_t end)
{
    struct vma *vma;

    for (uaddr_t at = start; at < end && (vma = mm_find_vma_above(at)) != NULL && vma->start < end; at = vma->end)
        if (vma->file && vma->file->inode->ops && vma->file->inode->ops->read_pages && vma_rights(vma->prot))
            (void)!vma_populate(vma, MAX(at, vma->start), MIN(end, vma->end), 0);
}

void vma_rewrite(struct vma *vma, uaddr_t start, uaddr_t end)
{
    uaddr_t page, next;

    if (!vma->file || vma->ops || (vma->flags & MAP_SHARED))
        return;
    for (page = pages_next_committed(start, end); page < end; page = pages_next_committed(next, end)) {
        next = page + PAGE_SIZE;
        if (page_state(page) & PAGE_REWRITTEN)
            continue;
        while (next < end && (page_state(next) & (PAGE_COMMITTED | PAGE_REWRITTEN)) == PAGE_COMMITTED)
            next += PAGE_SIZE;
        pages_set_rights(page, next, PAGE_R | PAGE_W);
        rewrite_text(page, next - page);
        for (uaddr_t p = page; p < next; p += PAGE_SIZE)
            page_state_set(p, PAGE_REWRITTEN);
    }
}

void vma_zap(struct vma *vma, uaddr_t start, uaddr_t end)
{
    if (vma->ops && vma->ops->unmap)
        vma->ops->unmap(vma, start, end);
    if (vma->file && (vma->prot & PROT_EXEC))
        rewrite_forget(start, end - start);
    if (is_shared_file(vma))
        shared_writeback(vma, start, end);
    pages_release(start, end);
}

void vma_discard(struct vma *vma, uaddr_t start, uaddr_t end)
{
    int r = 0;

    if (vma->file || vma->ops)
        vma_zap(vma, start, end);
    else
        pages_discard(start, end);
    if (!pages_edmm() && vma_rights(vma->prot))
        r = vma_populate(vma, start, end, 0);
    if (r < 0)
        printk(LOG_WARNING, "mm: pages could not be read again\n");
}

/* ---- faults ---- */

static struct vma *grow_stack(uaddr_t page)
{
    struct vma *vma = mm_find_vma_above(page), *below;

    if (!vma || !(vma->flags & MAP_GROWSDOWN) || vma->end - page > mm_resource_limit(RLIMIT_STACK))
        return NULL;
    below = vma_prev(vma);
    if (below && below->prot != PROT_NONE && !(below->flags & MAP_GROWSDOWN) && below->end + STACK_GUARD_GAP > page)
        return NULL;
    if (below && below->end > page)
        return NULL;
    if (page < USER_BASE + STACK_GUARD_GAP || mm_may_map(vma->start - page) < 0)
        return NULL;
    vma->start = page;
    return vma;
}

/* What to bring in around a fault: an aligned window, larger while faults follow one another. */
static void choose_window(struct vma *vma, uaddr_t page, uaddr_t *ret_start, uaddr_t *ret_end)
{
    size_t pages = vma->file ? WINDOW_PAGES_FILE : WINDOW_PAGES;
    size_t most = vma->file ? FILE_CHUNK_PAGES : WINDOW_PAGES_MAX;
    uaddr_t start, end;

    if (page == vma->fault_next && vma->fault_pages)
        pages = MIN(vma->fault_pages * 2, most);
    if (pages > pages_available() / 4)
        pages = 1;
    if (pages > WINDOW_PAGES) {
        start = page;
        end = page + pages * PAGE_SIZE;
    } else {
        start = ALIGN_DOWN(page, pages * PAGE_SIZE);
        end = start + pages * PAGE_SIZE;
    }
    *ret_start = MAX(start, vma->start);
    *ret_end = MIN(end, vma->end);
    vma->fault_pages = pages;
    vma->fault_next = *ret_end;
}

static void out_of_memory(void)
{
    struct signal_source source = {.signal = SIGKILL, .code = SI_KERNEL};

    printk(LOG_ERROR, "out of memory: %llu pages are committed%s; process %d is killed\n",
           (unsigned long long)mm_self()->committed_pages,
           pages_available() ? ", and the host has no more enclave memory" : ", which is all the policy allows",
           process_self()->pid);
    signal_force(&source);
}

static bool access_allowed(const struct vma *vma, uint64_t error)
{
    if (error & PF_INSTRUCTION)
        return vma->prot & PROT_EXEC;
    if (error & PF_WRITE)
        return vma->prot & PROT_WRITE;
    return vma->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

bool mm_fault_spurious(uaddr_t addr, uint64_t error)
{
    uaddr_t page = ALIGN_DOWN(addr, PAGE_SIZE);
    uint8_t wanted = PAGE_COMMITTED | (error & PF_WRITE ? PAGE_W : PAGE_R);

    if (!mm_range_ok(page, PAGE_SIZE) || (page_state(page) & wanted) != wanted)
        return false;
    pages_refresh(page);
    return true;
}

/* As mm_fault(); -EAGAIN: it slept for another enclave, and all may be different now. */
static int fault_once(uaddr_t page, uint64_t error, int *ret_code)
{
    uaddr_t start, end;
    struct vma *vma;
    unsigned rights;
    int r;

    *ret_code = SEGV_MAPERR;
    if (!mm_range_ok(page, PAGE_SIZE))
        return -EFAULT;
    vma = mm_find_vma(page);
    if (!vma)
        vma = grow_stack(page);
    if (!vma)
        return -EFAULT;
    if (!access_allowed(vma, error)) {
        *ret_code = SEGV_ACCERR;
        return -EFAULT;
    }
    if (shared_coherent(vma)) {
        r = shared_fault(vma, page, error & PF_WRITE);
        if (r == -ENOMEM)
            out_of_memory();
        if (r <= 0)
            return r;
    } else if (vma->file && !vma->ops && !(page_state(page) & PAGE_COMMITTED) &&
               !shared_readable(vma->file->inode, vma_page_index(vma, page))) {
        r = shared_make_readable(vma, page);
        if (r < 0)
            return r;
    }
    rights = vma_rights(vma->prot);
    if (page_state(page) & PAGE_COMMITTED) {
        /* Another vCPU was faster, the TLB is behind, or the host's page tables are. */
        if ((page_state(page) & PAGE_RIGHTS) == rights)
            pages_refresh(page);
        else
            pages_set_rights(page, page + PAGE_SIZE, rights);
        return 0;
    }
    if (vma->file && !vma->ops) {
        touched_note(page);
        expected_note(vma, page);
    }
    choose_window(vma, page, &start, &end);
    r = vma_populate(vma, start, end, page);
    if (r == -ENOMEM)
        out_of_memory();
    return r == 0 && !(page_state(page) & PAGE_COMMITTED) ? -EAGAIN : r;
}

int mm_fault(uaddr_t addr, uint64_t error, int *ret_code)
{
    int r;

    do
        r = fault_once(ALIGN_DOWN(addr, PAGE_SIZE), error, ret_code);
    while (r == -EAGAIN);
    return r;
}

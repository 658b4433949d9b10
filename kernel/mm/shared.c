/* Shared mappings of files: which pages of a file live in a mapping, and where. */
#include "kernel/mm/shared.h"

#include <asm-generic/errno.h>
#include <linux/mman.h>

#include "kernel/fs/file.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/vma.h"

struct home {
    RB_ENTRY(home) node;
    uint64_t index;
    uaddr_t page;
    bool writable; /* through its mapping, now or after mprotect */
};

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

static void home_forget(struct inode *inode, struct home *home)
{
    struct file_mappings *mappings = inode->mappings;

    RB_REMOVE(home_tree, &mappings->homes, home);
    page_state_clear(home->page, PAGE_SHARED);
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
    shared_page_pull(inode, index, buf);
    r = home->writable ? inode->ops->write_page(inode, index, buf) : 0;
    if (r < 0)
        return r;
    pages_decommit(home->page, home->page + PAGE_SIZE);
    home_forget(inode, home);
    return 0;
}

static int commit_page(struct vma *vma, uaddr_t page, uint64_t index, void *buf)
{
    struct inode *inode = vma->file->inode;
    struct file_mappings *mappings = inode->mappings;
    struct home *home = kmalloc(sizeof *home);
    int r;

    if (!home)
        return -ENOMEM;
    r = fetch(inode, index, buf);
    if (r == 0)
        r = pages_commit_copy(page, 1, buf, vma_rights(vma->prot));
    if (r < 0) {
        kfree(home);
        return r;
    }
    home->index = index;
    home->page = page;
    home->writable = file_writable(vma->file);
    RB_INSERT(home_tree, &mappings->homes, home);
    page_state_set(page, PAGE_SHARED);
    return 0;
}

int shared_commit(struct vma *vma, uaddr_t start, size_t count, uaddr_t must)
{
    struct inode *inode = vma->file->inode;
    uint64_t file_pages = ((uint64_t)inode->size + PAGE_SIZE - 1) / PAGE_SIZE;
    void *buf = page_alloc();
    int r = 0;

    if (!buf)
        return -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++) {
        uaddr_t page = start + i * PAGE_SIZE;
        uint64_t index = vma_page_index(vma, page);

        if (index >= file_pages)
            r = -EIO;
        else if (page == must || !home_find(inode, index))
            r = commit_page(vma, page, index, buf);
    }
    page_free(buf);
    return r;
}

void shared_writeback(struct vma *vma, uaddr_t start, uaddr_t end)
{
    struct inode *inode = vma->file->inode;
    void *buf = NULL;

    for (uaddr_t page = pages_next_committed(start, end); page < end;
         page = pages_next_committed(page + PAGE_SIZE, end)) {
        struct home *home;

        if (!(page_state(page) & PAGE_SHARED))
            continue;
        home = home_find(inode, vma_page_index(vma, page));
        if (!home || home->page != page)
            continue;
        if (home->writable) {
            buf = buf ? buf : page_alloc();
            if (buf && shared_page_pull(inode, home->index, buf))
                inode->ops->write_page(inode, home->index, buf);
        }
        home_forget(inode, home);
    }
    if (buf)
        page_free(buf);
}

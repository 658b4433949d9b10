/*
 * Pages of files on a volume that are in memory beside the engine's cache (volumefs.h):
 *   - dirty ones, which a mapping here or another enclave gave back, until they are written;
 *   - lent ones (shared_lent()), so that the page another enclave has, or waits for, can go out and come back where
 *     nothing may sleep. A clean page that is not lent is not kept.
 * The map's values are pages; the two lowest bits say how they are.
 */
#include <linux/errno.h>
#include <linux/falloc.h>

#include "kernel/fs/volumefs_upper.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"

#define DIRTY ((uintptr_t)1)
#define BUSY ((uintptr_t)2) /* being written: it stays meanwhile */
#define ROOM_SPARE 64       /* blocks beside those that pages need, for what leads to them */
#define CALL_BACK_PAGES 64  /* in one go */

static uintptr_t entry(const struct volumefs_inode *vi, uint64_t index)
{
    return (uintptr_t)page_map_get(&vi->pages, index);
}

static uint8_t *entry_page(uintptr_t e)
{
    return (uint8_t *)(e & ~(DIRTY | BUSY)); /* NOLINT(performance-no-int-to-ptr) */
}

static void entry_mark(struct volumefs_inode *vi, uint64_t index, uintptr_t e)
{
    int r = page_map_set(&vi->pages, index, (void *)e); /* NOLINT(performance-no-int-to-ptr) */
    ASSERT(r == 0);                                     /* the page was there */
}

static int entry_add(struct volumefs_inode *vi, uint64_t index, uint8_t *page)
{
    int error = page_map_set(&vi->pages, index, page);
    volumefs(vi->inode.sb)->held_count += error == 0;
    return error;
}

const void *volumefs_page(const struct volumefs_inode *vi, uint64_t index)
{
    return vi->pages.root ? entry_page(entry(vi, index)) : NULL;
}

void volumefs_release_page(struct inode *inode, uint64_t index)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    uintptr_t e = entry(vi, index);
    if (!e || (e & (DIRTY | BUSY)) || shared_lent(inode, index))
        return;
    page_map_remove(&vi->pages, index);
    page_free(entry_page(e));
    volumefs(inode->sb)->held_count--;
}

void volumefs_drop_pages(struct volumefs_inode *vi)
{
    uint64_t index;
    void *e;
    ASSERT(vi->dirty_count == 0);
    shared_evict(&vi->inode);
    while ((e = page_map_next(&vi->pages, 0, &index)) != NULL) {
        page_map_remove(&vi->pages, index);
        page_free(entry_page((uintptr_t)e));
        volumefs(vi->inode.sb)->held_count--;
    }
    page_map_deinit(&vi->pages);
}

/* ---- written ---- */

static int write_page_at(struct volumefs_inode *vi, uint64_t index, const uint8_t *page)
{
    uint64_t offset = index * PAGE_SIZE, size = (uint64_t)vi->inode.size;
    if (offset >= size)
        return 0;
    ssize_t n = upper_own_data(vi, UINT64_MAX);
    if (n == 0)
        n = volume_write(vi->node, offset, page, (size_t)MIN((uint64_t)PAGE_SIZE, size - offset));
    if (n < 0)
        vi->error = (int)n;
    return n < 0 ? (int)n : 0;
}

static bool next_dirty(const struct volumefs_inode *vi, uint64_t *index)
{
    void *e;
    while ((e = page_map_next(&vi->pages, *index, index)) != NULL) {
        if ((uintptr_t)e & DIRTY)
            return true;
        ++*index;
    }
    return false;
}

/* What is given back anew while this sleeps may be left for the next time. */
int volumefs_drain(struct volumefs *fs, struct volumefs_inode *vi)
{
    int error = 0;
    for (uint64_t index = 0; vi->dirty_count > 0 && next_dirty(vi, &index); index++) {
        uint8_t *page = entry_page(entry(vi, index));
        entry_mark(vi, index, (uintptr_t)page | BUSY);
        int failed = write_page_at(vi, index, page);
        error = failed < 0 ? failed : error;
        entry_mark(vi, index, entry(vi, index) & ~BUSY);
        volumefs_release_page(&vi->inode, index);
        if (--vi->dirty_count > 0)
            continue;
        TAILQ_REMOVE(&fs->dirty, vi, dirty_link);
        volumefs_refresh(vi);
        inode_put(&vi->inode); /* the caller has one, too */
    }
    return error;
}

/*
 * A mapping gives a page back, where nothing may sleep: kept until the thread writes it, or whoever comes first. One
 * that enclaves share comes and goes, and waits for the thread's next turn.
 */
int volumefs_write_page(struct inode *inode, uint64_t index, const void *src)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    struct volumefs *fs = volumefs(inode->sb);
    if ((file_off_t)(index * PAGE_SIZE) >= inode->size)
        return 0;
    uintptr_t e = entry(vi, index);
    uint8_t *page = e ? entry_page(e) : page_alloc();
    if (!page || (!e && entry_add(vi, index, page) < 0)) {
        page_free(page);
        printk(LOG_ERROR, "cofre: volume %s: no memory for a page of a mapping\n", fs->path);
        return vi->error = -ENOMEM;
    }
    memcpy(page, src, PAGE_SIZE);
    if (e & DIRTY)
        return 0;
    entry_mark(vi, index, (uintptr_t)page | (e & BUSY) | DIRTY);
    if (vi->dirty_count++ > 0)
        return 0;
    inode_get(inode);
    TAILQ_INSERT_TAIL(&fs->dirty, vi, dirty_link);
    fs->urgent |= !inode->shared;
    if (fs->urgent || fs->resting)
        volumefs_thread_wake(fs);
    return 0;
}

void volumefs_patch(struct volumefs_inode *vi, uint64_t pos, const uint8_t *data, uint64_t size)
{
    uint64_t end = pos + size, n;
    if (!shared_any(&vi->inode) && !vi->pages.root)
        return;
    for (uint64_t at = pos; at < end; at += n) {
        size_t start = at % PAGE_SIZE;
        const uint8_t *from = data ? data + (at - pos) : NULL;
        n = MIN(end - at, PAGE_SIZE - start);
        shared_page_patch(&vi->inode, at / PAGE_SIZE, start, from, n);
        uint8_t *page = entry_page(entry(vi, at / PAGE_SIZE));
        if (page && from)
            memcpy(page + start, from, n);
        else if (page)
            memset(page + start, 0, n);
    }
}

/* ---- lent ---- */

ssize_t volumefs_load(struct volumefs_inode *vi, uint64_t index, void *page, bool at_once)
{
    const uint8_t *data;
    ssize_t n;
    if (vi->lower_data)
        n = vi->lower->ops->read_page(vi->lower, index, page) < 0 ? -EIO : (ssize_t)PAGE_SIZE;
    else if (!at_once)
        n = volume_read(vi->node, index * PAGE_SIZE, page, PAGE_SIZE);
    else if ((n = volume_peek(vi->node, index * PAGE_SIZE, PAGE_SIZE, &data)) > 0)
        memcpy(page, data, (size_t)n);
    if (n >= 0)
        memset((char *)page + n, 0, PAGE_SIZE - (size_t)n);
    return n;
}

int volumefs_call_back(struct volumefs_inode *vi)
{
    uint64_t index = 0;
    bool more = true;
    int error = 0;
    while (error == 0 && more)
        error = shared_call_back(&vi->inode, &index, CALL_BACK_PAGES, &more);
    return error;
}

/* Some pages that other enclaves may write come back, and are written. */
static void call_some_back(struct volumefs *fs, struct volumefs_inode *vi)
{
    bool more;
    if (shared_call_back(&vi->inode, &vi->called_back, CALL_BACK_PAGES, &more) < 0 || !more)
        vi->called_back = 0;
    volumefs_lock(fs);
    (void)!volumefs_drain(fs, vi); /* kept for fsync */
    volumefs_unlock(fs);
}

static struct volumefs_inode *next_shared(struct volumefs *fs, unsigned bucket)
{
    struct volumefs_inode *vi;
    LIST_FOREACH (vi, &fs->inodes[bucket], hash_link)
        if (vi->inode.shared && vi->pages.root)
            return vi;
    return NULL;
}

/* Of this file first: it is the one that grows. */
static void make_room(struct volumefs *fs, struct volumefs_inode *vi)
{
    call_some_back(fs, vi);
    for (unsigned i = 0; i < VOLUMEFS_BUCKETS && fs->held_count >= fs->held_max; i++) {
        struct volumefs_inode *other = next_shared(fs, i);
        if (!other)
            continue;
        inode_get(&other->inode);
        call_some_back(fs, other);
        inode_put(&other->inode);
    }
}

/* Blocks to write all that is in memory, and one more. */
static uint64_t room_needed(const struct volumefs *fs)
{
    return fs->held_count + fs->held_count / 8 + ROOM_SPARE;
}

/* Near the end of the volume's room each page is looked after. */
static bool is_tight(const struct volumefs *fs)
{
    struct volume_info info;
    volume_get_info(fs->volume, &info);
    return info.free_count <= 2 * room_needed(fs);
}

/* Room for this page and for all that is lent: as on Linux who writes through a mapping gets SIGBUS without. */
static int check_room(struct volumefs *fs, struct volumefs_inode *vi, uint64_t index)
{
    volumefs_lock(fs);
    int error = vi->node ? volume_fallocate(vi->node, FALLOC_FL_KEEP_SIZE, index * PAGE_SIZE,
                                            room_needed(fs) * VOLUME_BLOCK_SIZE)
                         : 0;
    volumefs_unlock(fs);
    return error < 0 ? -EIO : 0;
}

static int hold(struct volumefs *fs, struct volumefs_inode *vi, uint64_t index, uint8_t *page, bool sleep)
{
    ssize_t n = volumefs_load(vi, index, page, true);
    if (n == -EAGAIN && sleep) {
        volumefs_lock(fs);
        bool came = entry(vi, index) != 0;
        n = came ? 0 : volumefs_load(vi, index, page, false);
        if (came || entry(vi, index)) { /* a mapping gave it back meanwhile */
            page_free(page);
            page = NULL;
        }
        volumefs_unlock(fs);
    }
    int error = n < 0 ? (int)n : page ? entry_add(vi, index, page) : 0;
    if (error < 0)
        page_free(page);
    return error < 0 && error != -EAGAIN && error != -ENOMEM ? -EIO : error;
}

int volumefs_hold_page(struct inode *inode, uint64_t index, bool write, bool sleep)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    struct volumefs *fs = volumefs(inode->sb);
    if (volumefs_page(vi, index))
        return 0;
    bool full = fs->held_count >= fs->held_max, tight = write && is_tight(fs);
    if ((full || tight) && !sleep)
        return -EAGAIN;
    if (full)
        make_room(fs, vi);
    if (tight && check_room(fs, vi, index) < 0)
        return -EIO;
    uint8_t *page = page_alloc();
    return page ? hold(fs, vi, index, page, sleep) : -ENOMEM;
}

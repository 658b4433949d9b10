/* Contents of files in memory: pages of our own, the lower file's, or holes. */
#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"

#define FILE_SIZE_MAX (1LL << 62)

static bool is_page(const void *p)
{
    return p && p != PAGE_HOLE;
}

/* Our own page, up to date with mappings of it; NULL if there is none. */
static uint8_t *own_page(struct mem_inode *m, uint64_t index)
{
    void *p = page_map_get(&m->file.pages, index);
    if (!is_page(p))
        return NULL;
    if (shared_any(&m->inode))
        shared_page_pull(&m->inode, index, p);
    return p;
}

static bool page_below(struct mem_inode *m, uint64_t index)
{
    return m->lower && (file_off_t)(index * PAGE_SIZE) < m->file.lower_size &&
           page_map_get(&m->file.pages, index) != PAGE_HOLE;
}

/* What the page holds while it is not ours. */
static int fill_page(struct mem_inode *m, uint64_t index, void *page)
{
    if (!page_below(m, index)) {
        memset(page, 0, PAGE_SIZE);
        return 0;
    }
    int error = m->lower->ops->read_page(m->lower, index, page);
    file_off_t valid = m->file.lower_size - index * PAGE_SIZE;
    if (!error && valid < (file_off_t)PAGE_SIZE)
        memset((char *)page + valid, 0, PAGE_SIZE - valid);
    return error;
}

uint64_t overlay_unchanged(struct inode *inode)
{
    uint64_t index;
    if (inode->sb && inode->sb->ops && inode->sb->ops->unchanged)
        return inode->sb->ops->unchanged(inode);
    if (inode->ops != &mem_regular_ops || shared_any(inode) || inode->shared)
        return 0;
    struct mem_inode *m = mem_inode(inode);
    if (!m->lower || m->file.lower_size != m->lower->size || inode->size != m->lower->size ||
        page_map_next(&m->file.pages, 0, &index))
        return 0;
    return m->lower->ino;
}

bool overlay_hides_atime(struct inode *inode)
{
    return inode->ops == &mem_regular_ops && mem_inode(inode)->lower && !mem_inode(inode)->pinned;
}

int mem_read_page(struct inode *inode, uint64_t index, void *page)
{
    struct mem_inode *m = mem_inode(inode);
    const uint8_t *own = own_page(m, index);
    if (!own)
        return fill_page(m, index, page);
    memcpy(page, own, PAGE_SIZE);
    return 0;
}

/* Pages below that lie whole before the end, one after the other; else one. */
static ssize_t mem_read_pages(struct inode *inode, uint64_t index, size_t count, void *pages)
{
    struct mem_inode *m = mem_inode(inode);
    uint64_t end = index + count, whole, own;

    if (count > 1 && m->lower && m->lower->ops->read_pages && !shared_any(inode)) {
        whole = (uint64_t)m->file.lower_size / PAGE_SIZE;
        end = MIN(end, whole);
        if (page_map_next(&m->file.pages, index, &own))
            end = MIN(end, own);
        if (end > index + 1)
            return m->lower->ops->read_pages(m->lower, index, end - index, pages);
    }
    int error = mem_read_page(inode, index, pages);
    return error ? error : 1;
}

static int64_t mem_root_block(struct inode *inode, uint64_t index)
{
    struct mem_inode *m = mem_inode(inode);

    if (!m->lower || !m->lower->ops->root_block || page_map_get(&m->file.pages, index) ||
        (file_off_t)((index + 1) * PAGE_SIZE) > m->file.lower_size)
        return -1;
    return m->lower->ops->root_block(m->lower, index);
}

static void free_page(struct mem_inode *m, void *page)
{
    page_free(page);
    m->file.page_count--;
    mem_super(m->inode.sb)->page_count--;
}

/* A page of our own to change. *ret_new says that it was just made; fill: with what was there before; back: its
 * contents have nowhere else to go. */
static int take_or_make_page(struct mem_inode *m, uint64_t index, bool fill, bool back, uint8_t **ret_page,
                             bool *ret_new)
{
    struct mem_super *super = mem_super(m->inode.sb);
    *ret_new = false;
    *ret_page = own_page(m, index);
    if (*ret_page)
        return 0;
    if (super->page_max && super->page_count >= super->page_max)
        return -ENOSPC;
    uint8_t *page = back || kmalloc_room_for_files() ? page_alloc() : NULL;
    if (!page)
        return -ENOSPC;
    int error = fill ? fill_page(m, index, page) : 0;
    if (!error)
        error = page_map_set(&m->file.pages, index, page);
    if (error) {
        page_free(page);
        return error == -ENOMEM ? -ENOSPC : error;
    }
    if (shared_any(&m->inode))
        shared_page_pull(&m->inode, index, page);
    m->file.page_count++;
    super->page_count++;
    mem_pin(m);
    *ret_page = page;
    *ret_new = true;
    return 0;
}

static int take_page(struct mem_inode *m, uint64_t index, bool fill, uint8_t **ret_page, bool *ret_new)
{
    return take_or_make_page(m, index, fill, false, ret_page, ret_new);
}

int mem_write_page(struct inode *inode, uint64_t index, const void *src)
{
    struct mem_inode *m = mem_inode(inode);
    uint8_t *page;
    bool is_new;
    if ((file_off_t)(index * PAGE_SIZE) >= inode->size)
        return 0;
    /* Not own_page(): the page may be on its way out of the very mapping that would be asked. */
    page = page_map_get(&m->file.pages, index);
    if (!is_page(page)) {
        int error = take_or_make_page(m, index, false, true, &page, &is_new);
        if (error)
            return error;
    }
    memcpy(page, src, PAGE_SIZE);
    inode_touch_mtime(inode);
    return 0;
}

/* The part of a read that the lower file serves itself: up to our first own page. */
static ssize_t read_below(struct mem_inode *m, struct iov_iter *to, file_off_t pos)
{
    uint64_t next, first = pos / PAGE_SIZE;
    file_off_t end = MIN(m->file.lower_size, m->inode.size);
    if (page_map_next(&m->file.pages, first, &next) && (file_off_t)(next * PAGE_SIZE) < end)
        end = next * PAGE_SIZE;
    size_t all = to->count;
    struct file file = {.inode = m->lower, .ops = m->lower->file_ops};
    to->count = MIN((uint64_t)(end - pos), to->count);
    size_t hidden = all - to->count;
    ssize_t done = file.ops->read(&file, to, &pos);
    to->count += hidden;
    return done;
}

/* Other enclaves have pages of the file, or may get some as soon as this sleeps. */
static bool is_spread(const struct mem_inode *m)
{
    return m->inode.shared != NULL;
}

/* By a buffer: to get the page, or the caller's memory, may take sleeping, which a pointer into the file would not
 * survive. */
static ssize_t read_spread(struct mem_inode *m, struct iov_iter *to, file_off_t pos, size_t size)
{
    uint64_t index = pos / PAGE_SIZE;
    uint8_t *page = page_alloc();
    if (!page)
        return -ENOMEM;
    ssize_t done = shared_acquire(&m->inode, index, false);
    if (done == 0 && !shared_page_pull(&m->inode, index, page))
        done = mem_read_page(&m->inode, index, page);
    if (done == 0)
        done = copy_to_iter(to, page + pos % PAGE_SIZE, size);
    page_free(page);
    return done;
}

static ssize_t read_chunk(struct mem_inode *m, struct iov_iter *to, file_off_t pos)
{
    uint64_t index = pos / PAGE_SIZE;
    size_t offset = pos % PAGE_SIZE;
    size_t size = MIN(PAGE_SIZE - offset, to->count);
    if (!is_spread(m))
        size = iov_iter_fault_in(to, size, true);
    if (size == 0 || pos >= m->inode.size)
        return 0;
    size = MIN(size, (uint64_t)(m->inode.size - pos));
    if (is_spread(m))
        return read_spread(m, to, pos, size);
    const uint8_t *own = own_page(m, index);
    if (own)
        return copy_to_iter(to, own + offset, size);
    if (pos < m->file.lower_size && page_below(m, index) && !shared_any(&m->inode))
        return read_below(m, to, pos);
    if (!shared_any(&m->inode) && !page_below(m, index))
        return zero_iter(to, size);
    /* Pages of a mapping may be the only ones that know. */
    uint8_t *page = page_alloc();
    if (!page)
        return -ENOMEM;
    ssize_t done = 0;
    if (!shared_page_pull(&m->inode, index, page))
        done = fill_page(m, index, page);
    if (done == 0)
        done = copy_to_iter(to, page + offset, size);
    page_free(page);
    return done;
}

static ssize_t mem_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct mem_inode *m = mem_inode(file->inode);
    ssize_t total = 0;
    while (to->count > 0 && *pos < m->inode.size) {
        ssize_t done = read_chunk(m, to, *pos);
        if (done <= 0) {
            if (total == 0)
                total = done < 0 ? done : *pos < m->inode.size ? -EFAULT : 0;
            break;
        }
        total += done;
        *pos += done;
    }
    if (total >= 0 && !overlay_hides_atime(file->inode) && !(file->flags & O_NOATIME))
        inode_touch_atime(file->inode);
    return total;
}

static ssize_t write_spread(struct mem_inode *m, struct iov_iter *from, file_off_t pos, size_t size)
{
    uint64_t index = pos / PAGE_SIZE;
    bool is_new;
    uint8_t *page, *buffer = page_alloc();
    if (!buffer)
        return -ENOMEM;
    ssize_t done = copy_from_iter(from, buffer, size);
    int error = done > 0 ? shared_acquire(&m->inode, index, true) : 0;
    if (!error && done > 0)
        error = take_page(m, index, true, &page, &is_new);
    if (!error && done > 0) {
        memcpy(page + pos % PAGE_SIZE, buffer, done);
        shared_page_patch(&m->inode, index, pos % PAGE_SIZE, buffer, done);
    }
    page_free(buffer);
    return error ? error : done;
}

static ssize_t write_chunk(struct mem_inode *m, struct iov_iter *from, file_off_t pos)
{
    uint64_t index = pos / PAGE_SIZE;
    size_t offset = pos % PAGE_SIZE, size = MIN(PAGE_SIZE - offset, from->count);
    bool is_new;
    uint8_t *page;
    if (is_spread(m))
        return write_spread(m, from, pos, size);
    size_t ready = iov_iter_fault_in(from, size, false);
    if (ready == 0)
        return 0;
    if (is_spread(m))
        return write_spread(m, from, pos, size);
    size = ready;
    bool whole = size == PAGE_SIZE;
    int error = take_page(m, index, !whole, &page, &is_new);
    if (error)
        return error;
    size_t done = copy_from_iter(from, page + offset, size);
    if (done < size && whole && is_new) {
        /* The rest was never filled in: as if nothing of it had been copied. */
        page_map_remove(&m->file.pages, index);
        free_page(m, page);
        return 0;
    }
    if (shared_any(&m->inode))
        shared_page_patch(&m->inode, index, offset, page + offset, done);
    return done;
}

static int write_checks(struct file *file, struct iov_iter *from, file_off_t pos)
{
    struct mem_inode *m = mem_inode(file->inode);
    file_off_t end;
    if (__builtin_add_overflow(pos, (file_off_t)from->count, &end) || end > FILE_SIZE_MAX)
        return -EFBIG;
    if (m->file.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    if ((m->file.seals & F_SEAL_GROW) && end > m->inode.size)
        return -EPERM;
    return 0;
}

static int zero_part(struct mem_inode *m, file_off_t start, file_off_t end);

/* The file grows: what was stored behind its end, by a mapping of its last page, does not become part of it. */
static int before_growth(struct mem_inode *m)
{
    uint64_t end = (uint64_t)m->inode.size, index = end / PAGE_SIZE;
    if (end % PAGE_SIZE == 0 || (!own_page(m, index) && !shared_any(&m->inode) && !is_spread(m)))
        return 0;
    return zero_part(m, (file_off_t)end, (file_off_t)((index + 1) * PAGE_SIZE));
}

static ssize_t mem_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    struct inode *inode = file->inode;
    struct mem_inode *m = mem_inode(inode);
    if (file->flags & O_APPEND)
        *pos = inode->size;
    if (from->count == 0)
        return 0;
    int error = write_checks(file, from, *pos);
    if (error)
        return error;
    mem_pin(m);
    error = *pos > inode->size ? before_growth(m) : 0;
    if (error)
        return error;
    inode_drop_setid(inode);
    ssize_t total = 0;
    while (from->count > 0) {
        ssize_t done = write_chunk(m, from, *pos);
        if (done <= 0) {
            if (total == 0)
                total = done < 0 ? done : -EFAULT;
            break;
        }
        total += done;
        *pos += done;
        if (*pos > inode->size)
            inode->size = *pos;
    }
    if (total > 0)
        inode_touch_mtime(inode);
    return total;
}

/* Free own pages in [first, end); holes over the lower file stay marked if `hide`. */
static int drop_range(struct mem_inode *m, uint64_t first, uint64_t end, bool hide)
{
    uint64_t index = first;
    void *page;
    while ((page = page_map_next(&m->file.pages, index, &index)) != NULL && index < end) {
        page_map_remove(&m->file.pages, index);
        if (is_page(page))
            free_page(m, page);
        index++;
    }
    if (!hide || !m->lower)
        return 0;
    uint64_t below = (m->file.lower_size + PAGE_SIZE - 1) / PAGE_SIZE;
    for (index = first; index < end && index < below; index++) {
        int error = page_map_set(&m->file.pages, index, PAGE_HOLE);
        if (error)
            return error;
    }
    return 0;
}

void mem_drop_pages(struct mem_inode *m)
{
    (void)drop_range(m, 0, UINT64_MAX, false);
    page_map_deinit(&m->file.pages);
}

int mem_truncate(struct inode *inode, file_off_t size)
{
    struct mem_inode *m = mem_inode(inode);
    if (size > FILE_SIZE_MAX)
        return -EFBIG;
    if (((m->file.seals & F_SEAL_SHRINK) && size < inode->size) ||
        ((m->file.seals & F_SEAL_GROW) && size > inode->size))
        return -EPERM;
    mem_pin(m);
    bool shrinks = size < inode->size;
    int error = size > inode->size ? before_growth(m) : 0;
    if (shrinks && inode->shared) {
        inode->size = size; /* what is beyond it is not given out any more */
        error = shared_withdraw(inode, size / PAGE_SIZE);
    }
    if (error)
        return error;
    if (inode->mappings && shrinks)
        shared_truncate(inode, size);
    if (shrinks) {
        uint64_t first_gone = ((uint64_t)size + PAGE_SIZE - 1) / PAGE_SIZE;
        (void)drop_range(m, first_gone, UINT64_MAX, false);
        uint8_t *last = size % PAGE_SIZE ? own_page(m, size / PAGE_SIZE) : NULL;
        if (last)
            memset(last + size % PAGE_SIZE, 0, PAGE_SIZE - size % PAGE_SIZE);
        if (m->file.lower_size > size)
            m->file.lower_size = size;
    }
    inode->size = size;
    inode_touch_mtime(inode);
    return 0;
}

static file_off_t seek_data(struct mem_inode *m, file_off_t pos, bool want_data)
{
    uint64_t index = pos / PAGE_SIZE;
    for (file_off_t at = pos; at < m->inode.size; at = ++index * PAGE_SIZE) {
        bool data = is_page(page_map_get(&m->file.pages, index)) || page_below(m, index);
        if (data == want_data)
            return at;
        uint64_t next;
        bool below_left = m->lower && at < m->file.lower_size;
        /* Skip over a long hole at once. */
        if (want_data && !below_left) {
            if (!page_map_next(&m->file.pages, index, &next))
                return -ENXIO;
            if (next > index)
                index = next - 1;
        }
    }
    return want_data ? -ENXIO : m->inode.size;
}

static file_off_t mem_llseek(struct file *file, file_off_t offset, int whence)
{
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return file_llseek_size(file, offset, whence);
    if (offset < 0 || offset >= file->inode->size)
        return -ENXIO;
    file_off_t pos = seek_data(mem_inode(file->inode), offset, whence == SEEK_DATA);
    if (pos >= 0)
        file->pos = pos;
    return pos;
}

static int zero_part(struct mem_inode *m, file_off_t start, file_off_t end)
{
    uint64_t index = start / PAGE_SIZE;
    if (start >= end)
        return 0;
    int error = shared_acquire(&m->inode, index, true);
    if (error)
        return error;
    uint8_t *page = own_page(m, index);
    bool is_new;
    if (!page && !page_below(m, index) && !shared_any(&m->inode))
        return 0;
    error = page ? 0 : take_page(m, index, true, &page, &is_new);
    if (error)
        return error;
    memset(page + start % PAGE_SIZE, 0, end - start);
    if (shared_any(&m->inode))
        shared_page_push(&m->inode, index, page);
    return 0;
}

static int punch_hole(struct mem_inode *m, file_off_t start, file_off_t end)
{
    end = MIN(end, m->inode.size);
    if (start >= end)
        return 0;
    uint64_t first = ((uint64_t)start + PAGE_SIZE - 1) / PAGE_SIZE, last = (uint64_t)end / PAGE_SIZE;
    mem_pin(m);
    if (start / PAGE_SIZE == end / PAGE_SIZE)
        return zero_part(m, start, end);
    int error = zero_part(m, start, first * PAGE_SIZE);
    if (!error)
        error = zero_part(m, last * PAGE_SIZE, end);
    /* Mapped pages live elsewhere: write zeros through instead of dropping them. */
    if (!error && (shared_any(&m->inode) || is_spread(m))) {
        for (uint64_t i = first; i < last && !error; i++)
            error = zero_part(m, i * PAGE_SIZE, (i + 1) * PAGE_SIZE);
        return error;
    }
    return error ? error : drop_range(m, first, last, true);
}

static int allocate(struct mem_inode *m, file_off_t start, file_off_t end)
{
    for (uint64_t i = start / PAGE_SIZE; i < ((uint64_t)end + PAGE_SIZE - 1) / PAGE_SIZE; i++) {
        uint8_t *page;
        bool is_new;
        if (page_below(m, i) || !shared_readable(&m->inode, i)) /* what another enclave has, it has room for */
            continue;
        int error = take_page(m, i, true, &page, &is_new);
        if (error)
            return error;
    }
    return 0;
}

static int mem_fallocate(struct file *file, int mode, file_off_t offset, file_off_t size)
{
    struct mem_inode *m = mem_inode(file->inode);
    file_off_t end;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
        return -EOPNOTSUPP;
    if (__builtin_add_overflow(offset, size, &end) || end > FILE_SIZE_MAX)
        return -EFBIG;
    int error;
    if (mode & FALLOC_FL_PUNCH_HOLE) {
        if (m->file.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
            return -EPERM;
        error = punch_hole(m, offset, end);
    } else {
        if ((m->file.seals & F_SEAL_GROW) && end > m->inode.size)
            return -EPERM;
        error = allocate(m, offset, end);
        if (!error && !(mode & FALLOC_FL_KEEP_SIZE) && end > m->inode.size)
            error = before_growth(m);
        if (!error && !(mode & FALLOC_FL_KEEP_SIZE) && end > m->inode.size)
            m->inode.size = end;
    }
    mem_pin(m);
    inode_touch_mtime(&m->inode);
    return error;
}

static int mem_fsync(struct file *file, bool data_only)
{
    return 0;
}

static void file_getattr(struct inode *inode, struct statx *stat)
{
    struct mem_inode *m = mem_inode(inode);
    uint64_t pages = m->file.page_count;
    if (m->lower)
        pages += ((uint64_t)MIN(m->file.lower_size, inode->size) + PAGE_SIZE - 1) / PAGE_SIZE;
    stat->stx_blocks = pages * (PAGE_SIZE / 512);
}

int inode_seals(struct inode *inode)
{
    if (inode->ops != &mem_regular_ops || !(mem_inode(inode)->file.seals & SEALABLE))
        return -EINVAL;
    return mem_inode(inode)->file.seals & ~SEALABLE;
}

bool inode_write_sealed(struct inode *inode)
{
    return inode->ops == &mem_regular_ops && (mem_inode(inode)->file.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
}

int inode_add_seals(struct inode *inode, unsigned seals)
{
    int old = inode_seals(inode);
    if (old < 0)
        return old;
    if (seals & ~(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EINVAL;
    if (old & F_SEAL_SEAL)
        return -EPERM;
    if ((seals & F_SEAL_WRITE) && !(old & F_SEAL_WRITE) && shared_any(inode))
        return -EBUSY;
    mem_inode(inode)->file.seals |= seals;
    return 0;
}

const struct inode_ops mem_regular_ops = {
    .read_page = mem_read_page,
    .read_pages = mem_read_pages,
    .root_block = mem_root_block,
    .write_page = mem_write_page,
    .truncate = mem_truncate,
    .setattr = mem_setattr,
    .getattr = file_getattr,
    .getxattr = mem_getxattr,
    .setxattr = mem_setxattr,
    .listxattr = mem_listxattr,
    .removexattr = mem_removexattr,
    .evict = mem_evict,
};

const struct file_ops mem_file_ops = {
    .read = mem_read,
    .write = mem_write,
    .llseek = mem_llseek,
    .fsync = mem_fsync,
    .fallocate = mem_fallocate,
};

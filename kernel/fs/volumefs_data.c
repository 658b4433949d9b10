/* Contents of files on a volume (volumefs.h). */
#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/volumefs_upper.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"

#define FILE_SIZE_MAX ((file_off_t)(VOLUME_FILE_BLOCKS * VOLUME_BLOCK_SIZE))
#define CHUNK_PAGES 16 /* moved under one lock */

static int lock_drained(struct volumefs *fs, struct volumefs_inode *vi)
{
    volumefs_lock(fs);
    return vi->dirty_count > 0 ? volumefs_drain(fs, vi) : 0;
}

/*
 * Takes the lock, with `data` held. No other enclave has what changes, the bytes from `from` on before `to`, or the
 * page that the file ends in if it grows.
 */
static int change_begin(struct volumefs *fs, struct volumefs_inode *vi, uint64_t from, uint64_t to)
{
    uint64_t first = MIN(from, (uint64_t)vi->inode.size) / PAGE_SIZE, end = to / PAGE_SIZE + (to % PAGE_SIZE != 0);
    int error = shared_take_back(&vi->inode, first, end); /* who has the lock had better not wait for that */
    volumefs_lock(fs);
    vi->closed = shared_close(&vi->inode);
    if (error == 0 && vi->closed)
        error = shared_take_back(&vi->inode, first, end);
    if (error == 0 && vi->dirty_count > 0)
        error = volumefs_drain(fs, vi);
    return error;
}

static void change_end(struct volumefs *fs, struct volumefs_inode *vi)
{
    volumefs_refresh(vi);
    if (vi->closed)
        shared_open(&vi->inode);
    volumefs_unlock(fs);
}

/* The image's contents, up to the end of a page; buf has room for one. */
static ssize_t read_lower(struct volumefs_inode *vi, file_off_t pos, uint8_t *buf, size_t size)
{
    size_t start = (uint64_t)pos % PAGE_SIZE;
    size = MIN(size, PAGE_SIZE - start);
    size = MIN(size, (size_t)(vi->inode.size - pos));
    int error = vi->lower->ops->read_page(vi->lower, (uint64_t)pos / PAGE_SIZE, buf);
    if (error < 0)
        return error;
    memmove(buf, buf + start, size);
    return (ssize_t)size;
}

/* A page that lives in a mapping, or beside the engine's cache; buf has room for one. -EAGAIN: it does not. */
static ssize_t read_beside(struct volumefs_inode *vi, file_off_t pos, uint8_t *buf, size_t size)
{
    uint64_t index = (uint64_t)pos / PAGE_SIZE;
    size_t start = (uint64_t)pos % PAGE_SIZE;
    const uint8_t *page = buf;
    if (!(shared_any(&vi->inode) && shared_page_pull(&vi->inode, index, buf)))
        page = volumefs_page(vi, index);
    if (!page)
        return -EAGAIN;
    memmove(buf, page + start, size);
    return (ssize_t)size;
}

/* Up to size bytes within one page, if some of the file's pages are kept elsewhere. */
static ssize_t read_some(struct volumefs *fs, struct volumefs_inode *vi, file_off_t pos, uint8_t *buf, size_t size)
{
    int error = shared_acquire(&vi->inode, (uint64_t)pos / PAGE_SIZE, false);
    if (error < 0)
        return error;
    if (pos >= vi->inode.size)
        return 0;
    if (vi->pages.root || shared_spread(&vi->inode) || shared_any(&vi->inode)) {
        size = MIN(size, PAGE_SIZE - (uint64_t)pos % PAGE_SIZE);
        size = MIN(size, (size_t)(vi->inode.size - pos));
        ssize_t n = read_beside(vi, pos, buf, size);
        if (n != -EAGAIN)
            return n;
    }
    if (vi->lower_data)
        return read_lower(vi, pos, buf, size);
    const uint8_t *data;
    ssize_t n = volume_peek(vi->node, (uint64_t)pos, size, &data);
    if (n > 0)
        memcpy(buf, data, (size_t)n);
    if (n != -EAGAIN)
        return n;
    error = lock_drained(fs, vi);
    if (error < 0)
        n = error;
    else if (vi->lower_data)
        n = read_lower(vi, pos, buf, size);
    else
        n = volume_read(vi->node, (uint64_t)pos, buf, size);
    volumefs_unlock(fs);
    return n;
}

/* What is in memory, up to the end of a page, goes straight to the reader. -EAGAIN: nothing has happened. */
static ssize_t read_cached(struct volumefs_inode *vi, struct iov_iter *to, file_off_t pos)
{
    size_t size = iov_iter_fault_in(to, PAGE_SIZE - (uint64_t)pos % PAGE_SIZE, true); /* which may sleep */
    const uint8_t *data;
    if (size == 0 || vi->lower_data || vi->pages.root || shared_spread(&vi->inode) || shared_any(&vi->inode))
        return -EAGAIN;
    ssize_t n = volume_peek(vi->node, (uint64_t)pos, size, &data);
    if (n > 0 && copy_to_iter(to, data, (size_t)n) != (size_t)n)
        n = -EFAULT;
    return n;
}

/* By a buffer of so many pages, made when it is first needed. */
static ssize_t read_buffered(struct volumefs *fs, struct volumefs_inode *vi, struct iov_iter *to, file_off_t pos,
                             size_t pages, uint8_t **buf)
{
    if (!*buf)
        *buf = page_alloc_many(pages);
    if (!*buf)
        return -ENOMEM;
    ssize_t n = read_some(fs, vi, pos, *buf, MIN(to->count, pages * PAGE_SIZE));
    if (n > 0 && copy_to_iter(to, *buf, (size_t)n) != (size_t)n)
        n = -EFAULT;
    return n;
}

static ssize_t file_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct volumefs_inode *vi = volumefs_inode(file->inode);
    struct volumefs *fs = volumefs(file->inode->sb);
    size_t pages = to->count > PAGE_SIZE ? CHUNK_PAGES : 1;
    uint8_t *buf = NULL;
    ssize_t total = 0;
    while (to->count > 0 && *pos < file->inode->size) {
        ssize_t n = read_cached(vi, to, *pos);
        if (n == -EAGAIN)
            n = read_buffered(fs, vi, to, *pos, pages, &buf);
        if (n <= 0) {
            total = total ? total : n;
            break;
        }
        total += n;
        *pos += n;
    }
    if (buf)
        page_free_many(buf, pages);
    if (total > 0 && !(file->flags & O_NOATIME))
        inode_touch_atime(file->inode);
    return total;
}

/* The file grows to `size`: what was stored behind its end, by a mapping of its last page, does not become part of it.
 */
static void before_growth(struct volumefs_inode *vi, uint64_t size)
{
    uint64_t end = (uint64_t)vi->inode.size;
    if (size <= end || end % PAGE_SIZE == 0)
        return;
    if (vi->inode.mappings)
        shared_truncate(&vi->inode, (file_off_t)end);
    volumefs_patch(vi, end, NULL, PAGE_SIZE - end % PAGE_SIZE);
}

static ssize_t write_some(struct volumefs *fs, struct volumefs_inode *vi, file_off_t pos, const uint8_t *data,
                          size_t size)
{
    int error = change_begin(fs, vi, (uint64_t)pos, (uint64_t)pos + size);
    if (error == 0)
        error = upper_own_data(vi, UINT64_MAX);
    if (error == 0)
        before_growth(vi, (uint64_t)pos);
    ssize_t n = error < 0 ? error : volume_write(vi->node, (uint64_t)pos, data, size);
    if (n > 0)
        volumefs_patch(vi, (uint64_t)pos, data, (uint64_t)n);
    change_end(fs, vi);
    return n;
}

static ssize_t write_locked(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    struct volumefs_inode *vi = volumefs_inode(file->inode);
    struct volumefs *fs = volumefs(file->inode->sb);
    size_t pages = from->count > PAGE_SIZE ? CHUNK_PAGES : 1;
    ssize_t total = 0;
    if (file->flags & O_APPEND)
        *pos = file->inode->size;
    if (*pos >= FILE_SIZE_MAX)
        return -EFBIG;
    uint8_t *buf = page_alloc_many(pages);
    if (!buf)
        return -ENOMEM;
    inode_drop_setid(file->inode);
    while (from->count > 0) {
        size_t size = copy_from_iter(from, buf, MIN(from->count, pages * PAGE_SIZE));
        ssize_t n = size > 0 ? write_some(fs, vi, *pos, buf, size) : -EFAULT;
        if (n <= 0) {
            total = total ? total : n;
            break;
        }
        total += n;
        *pos += n;
        if ((size_t)n < size)
            break;
    }
    page_free_many(buf, pages);
    return total;
}

static ssize_t file_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    struct volumefs_inode *vi = volumefs_inode(file->inode);
    if (from->count == 0)
        return 0;
    mutex_lock(&vi->data);
    ssize_t result = write_locked(file, from, pos);
    mutex_unlock(&vi->data);
    return result;
}

static int regular_read_page(struct inode *inode, uint64_t index, void *page)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    struct volumefs *fs = volumefs(inode->sb);
    ssize_t n = read_beside(vi, (file_off_t)(index * PAGE_SIZE), page, PAGE_SIZE);
    if (n == -EAGAIN)
        n = volumefs_load(vi, index, page, true);
    if (n == -EAGAIN) {
        volumefs_lock(fs);
        n = read_beside(vi, (file_off_t)(index * PAGE_SIZE), page, PAGE_SIZE);
        if (n == -EAGAIN)
            n = volumefs_load(vi, index, page, false);
        volumefs_unlock(fs);
    }
    return n < 0 ? -EIO : 0;
}

/* Pages beyond the end that somebody waits for stay, and are zeros should the file ever grow again. */
static void cut_pages(struct volumefs_inode *vi, uint64_t size)
{
    uint64_t index = size / PAGE_SIZE, at;
    for (; page_map_next(&vi->pages, index, &index) != NULL; index++) {
        at = MAX(size, index * PAGE_SIZE);
        volumefs_patch(vi, at, NULL, (index + 1) * PAGE_SIZE - at);
    }
}

static int regular_truncate(struct inode *inode, file_off_t size)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    struct volumefs *fs = volumefs(inode->sb);
    if (size > FILE_SIZE_MAX)
        return -EFBIG;
    mutex_lock(&vi->data);
    bool shrinks = size < inode->size;
    int error = change_begin(fs, vi, (uint64_t)size, shrinks ? FILE_SIZE_MAX : (uint64_t)size);
    if (error == 0 && inode->mappings && shrinks)
        shared_truncate(inode, size);
    else if (error == 0)
        before_growth(vi, (uint64_t)size);
    if (error == 0)
        error = upper_own_data(vi, (uint64_t)size);
    if (error == 0)
        error = volume_truncate(vi->node, (uint64_t)size);
    if (error == 0 && shrinks)
        cut_pages(vi, (uint64_t)size);
    change_end(fs, vi);
    mutex_unlock(&vi->data);
    return error;
}

static file_off_t regular_llseek(struct file *file, file_off_t offset, int whence)
{
    struct volumefs *fs = volumefs(file->inode->sb);
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return file_llseek_size(file, offset, whence);
    if (offset < 0 || offset >= file->inode->size)
        return -ENXIO;
    int error = volumefs_call_back(volumefs_inode(file->inode));
    if (error < 0)
        return error;
    int64_t pos = lock_drained(fs, volumefs_inode(file->inode));
    if (pos == 0 && volumefs_inode(file->inode)->lower_data)
        pos = whence == SEEK_HOLE ? file->inode->size : offset;
    else if (pos == 0)
        pos = volume_seek(volumefs_inode(file->inode)->node, (uint64_t)offset, whence == SEEK_HOLE);
    volumefs_unlock(fs);
    if (pos >= 0)
        file->pos = pos;
    return pos;
}

static int regular_fallocate(struct file *file, int mode, file_off_t offset, file_off_t size)
{
    struct volumefs_inode *vi = volumefs_inode(file->inode);
    struct volumefs *fs = volumefs(file->inode->sb);
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    mutex_lock(&vi->data);
    inode_drop_setid(file->inode);
    bool zero = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
    uint64_t to = (uint64_t)offset + (uint64_t)size;
    int error = change_begin(fs, vi, zero ? (uint64_t)offset : to, to);
    if (error == 0)
        error = upper_own_data(vi, UINT64_MAX);
    if (error == 0 && !(mode & FALLOC_FL_KEEP_SIZE))
        before_growth(vi, to);
    if (error == 0)
        error = volume_fallocate(vi->node, mode, (uint64_t)offset, (uint64_t)size);
    if (error == 0 && zero && offset < file->inode->size)
        volumefs_patch(vi, (uint64_t)offset, NULL, MIN(to, (uint64_t)file->inode->size) - (uint64_t)offset);
    change_end(fs, vi);
    mutex_unlock(&vi->data);
    return error;
}

static void regular_forget(struct file *file, uint64_t first, uint64_t end)
{
    struct volumefs *fs = volumefs(file->inode->sb);
    volumefs_lock(fs);
    volume_forget(volumefs_inode(file->inode)->node, first, end);
    volumefs_unlock(fs);
}

const struct inode_ops volumefs_regular_ops = {
    VOLUMEFS_COMMON_OPS,
    .read_page = regular_read_page,
    .write_page = volumefs_write_page,
    .hold_page = volumefs_hold_page,
    .release_page = volumefs_release_page,
    .truncate = regular_truncate,
};

const struct file_ops volumefs_file_ops = {
    .read = file_read,
    .write = file_write,
    .llseek = regular_llseek,
    .fsync = volumefs_fsync,
    .fallocate = regular_fallocate,
    .forget = regular_forget,
};

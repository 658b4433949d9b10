/* Contents of files on a volume (volumefs.h). */
#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/volumefs_upper.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"

#define FILE_SIZE_MAX ((file_off_t)(VOLUME_FILE_BLOCKS * VOLUME_BLOCK_SIZE))
#define CHUNK_PAGES 16 /* moved under one lock */

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

int volumefs_drain(struct volumefs *fs, struct volumefs_inode *vi)
{
    uint64_t index;
    uint8_t *page;
    int error = 0;
    while ((page = page_map_next(&vi->pages, 0, &index)) != NULL) {
        page_map_remove(&vi->pages, index); /* it may be given back again while we sleep */
        int failed = write_page_at(vi, index, page);
        error = failed < 0 ? failed : error;
        page_free(page);
        if (--vi->page_count > 0)
            continue;
        TAILQ_REMOVE(&fs->dirty, vi, dirty_link);
        volumefs_refresh(vi);
        inode_put(&vi->inode); /* the caller has one, too */
    }
    return error;
}

static int lock_drained(struct volumefs *fs, struct volumefs_inode *vi)
{
    volumefs_lock(fs);
    return vi->page_count > 0 ? volumefs_drain(fs, vi) : 0;
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

/* Up to size bytes within one page. */
static ssize_t read_some(struct volumefs *fs, struct volumefs_inode *vi, file_off_t pos, uint8_t *buf, size_t size)
{
    uint64_t index = (uint64_t)pos / PAGE_SIZE;
    size_t start = (uint64_t)pos % PAGE_SIZE;
    if (shared_any(&vi->inode)) {
        size = MIN(size, PAGE_SIZE - start);
        size = MIN(size, (size_t)(vi->inode.size - pos));
        if (shared_page_pull(&vi->inode, index, buf)) {
            memmove(buf, buf + start, size);
            return (ssize_t)size;
        }
    }
    if (vi->lower_data && vi->page_count == 0)
        return read_lower(vi, pos, buf, size);
    const uint8_t *data;
    ssize_t n = vi->page_count > 0 ? -EAGAIN : volume_peek(vi->node, (uint64_t)pos, size, &data);
    if (n > 0)
        memcpy(buf, data, (size_t)n);
    if (n != -EAGAIN)
        return n;
    int error = lock_drained(fs, vi);
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
    if (size == 0 || shared_any(&vi->inode) || vi->lower_data || vi->page_count > 0)
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

/* What was written also goes to where the page lives. */
static void push_written(struct volumefs_inode *vi, file_off_t pos, const uint8_t *data, size_t size)
{
    uint8_t *page = shared_any(&vi->inode) ? page_alloc() : NULL;
    for (size_t done = 0; page && done < size;) {
        uint64_t at = (uint64_t)pos + done;
        size_t start = at % PAGE_SIZE, n = MIN(size - done, PAGE_SIZE - start);
        if (shared_page_pull(&vi->inode, at / PAGE_SIZE, page)) {
            memcpy(page + start, data + done, n);
            shared_page_push(&vi->inode, at / PAGE_SIZE, page);
        }
        done += n;
    }
    page_free(page);
}

/* The file grows to `size`: what was stored behind its end, by a mapping of its last page, does not become part of it.
 */
static void before_growth(struct inode *inode, uint64_t size)
{
    if (inode->mappings && size > (uint64_t)inode->size)
        shared_truncate(inode, inode->size);
}

static ssize_t write_some(struct volumefs *fs, struct volumefs_inode *vi, file_off_t pos, const uint8_t *data,
                          size_t size)
{
    int error = lock_drained(fs, vi);
    if (error == 0)
        error = upper_own_data(vi, UINT64_MAX);
    if (error == 0)
        before_growth(&vi->inode, (uint64_t)pos);
    ssize_t n = error < 0 ? error : volume_write(vi->node, (uint64_t)pos, data, size);
    if (n > 0 && vi->inode.mappings)
        push_written(vi, pos, data, (size_t)n);
    volumefs_refresh(vi);
    volumefs_unlock(fs);
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
    const void *pending = page_map_get(&vi->pages, index);
    if (pending) {
        memcpy(page, pending, PAGE_SIZE);
        return 0;
    }
    if (vi->lower_data && vi->page_count == 0)
        return vi->lower->ops->read_page(vi->lower, index, page);
    const uint8_t *data;
    ssize_t n = vi->page_count > 0 ? -EAGAIN : volume_peek(vi->node, index * PAGE_SIZE, PAGE_SIZE, &data);
    if (n > 0)
        memcpy(page, data, (size_t)n);
    if (n == -EAGAIN) {
        int error = lock_drained(fs, vi);
        if (error < 0)
            n = error;
        else if (vi->lower_data) /* not one of its pages had changed */
            n = vi->lower->ops->read_page(vi->lower, index, page) < 0 ? -EIO : (ssize_t)PAGE_SIZE;
        else
            n = volume_read(vi->node, index * PAGE_SIZE, page, PAGE_SIZE);
        volumefs_unlock(fs);
    }
    if (n >= 0)
        memset((char *)page + n, 0, PAGE_SIZE - (size_t)n);
    return n < 0 ? -EIO : 0;
}

/* A mapping gives a page back, where nothing may sleep: kept until the thread writes it, or whoever comes first. */
static int regular_write_page(struct inode *inode, uint64_t index, const void *src)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    struct volumefs *fs = volumefs(inode->sb);
    if ((file_off_t)(index * PAGE_SIZE) >= inode->size)
        return 0;
    uint8_t *page = page_alloc(), *old = page_map_get(&vi->pages, index);
    if (!page || page_map_set(&vi->pages, index, page) < 0) {
        page_free(page);
        printk(LOG_ERROR, "cofre: volume %s: no memory for a page of a mapping\n", fs->path);
        return vi->error = -ENOMEM;
    }
    memcpy(page, src, PAGE_SIZE);
    if (old) {
        page_free(old);
        return 0;
    }
    if (vi->page_count++ == 0) {
        inode_get(inode);
        TAILQ_INSERT_TAIL(&fs->dirty, vi, dirty_link);
        volumefs_thread_wake(fs);
    }
    return 0;
}

static int regular_truncate(struct inode *inode, file_off_t size)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    struct volumefs *fs = volumefs(inode->sb);
    if (size > FILE_SIZE_MAX)
        return -EFBIG;
    mutex_lock(&vi->data);
    int error = lock_drained(fs, vi);
    if (error == 0 && inode->mappings && size < inode->size)
        shared_truncate(inode, size);
    else if (error == 0)
        before_growth(inode, (uint64_t)size);
    if (error == 0)
        error = upper_own_data(vi, (uint64_t)size);
    if (error == 0)
        error = volume_truncate(vi->node, (uint64_t)size);
    volumefs_refresh(vi);
    volumefs_unlock(fs);
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

/* Pages of mappings in a range that became zero. */
static void zero_mapped(struct volumefs_inode *vi, file_off_t from, file_off_t to)
{
    static const uint8_t zeros[PAGE_SIZE];
    for (file_off_t at = from; at < to;) {
        size_t n = (size_t)MIN((uint64_t)(to - at), PAGE_SIZE - (uint64_t)at % PAGE_SIZE);
        push_written(vi, at, zeros, n);
        at += (file_off_t)n;
    }
}

static int regular_fallocate(struct file *file, int mode, file_off_t offset, file_off_t size)
{
    struct volumefs_inode *vi = volumefs_inode(file->inode);
    struct volumefs *fs = volumefs(file->inode->sb);
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    mutex_lock(&vi->data);
    inode_drop_setid(file->inode);
    int error = lock_drained(fs, vi);
    if (error == 0)
        error = upper_own_data(vi, UINT64_MAX);
    if (error == 0 && !(mode & FALLOC_FL_KEEP_SIZE))
        before_growth(file->inode, (uint64_t)(offset + size));
    if (error == 0)
        error = volume_fallocate(vi->node, mode, (uint64_t)offset, (uint64_t)size);
    if (error == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && shared_any(file->inode))
        zero_mapped(vi, offset, MIN(offset + size, file->inode->size));
    volumefs_refresh(vi);
    volumefs_unlock(fs);
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
    .write_page = regular_write_page,
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

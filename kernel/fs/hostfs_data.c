/* Contents of files in folders of the host (hostfs.h). */
#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/arch/untrusted.h"
#include "kernel/fs/hostfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"

#define FILE_SIZE_MAX ((file_off_t)1 << 62)

/* ---- reading ---- */

static size_t take_iter(void *arg, host_ptr from, size_t size)
{
    return copy_untrusted_to_iter(arg, from, size);
}

static size_t take_memory(void *arg, host_ptr from, size_t size)
{
    untrusted_copy_in(arg, from, size);
    return size;
}

/* What lies in a mapping is read there. 0: it does not, ask the host for the rest of this page. */
static ssize_t read_mapped(struct inode *inode, struct iov_iter *to, file_off_t pos)
{
    size_t start = (uint64_t)pos % PAGE_SIZE;
    if (pos >= inode->size)
        return 0;
    size_t size = MIN(to->count, PAGE_SIZE - start);
    size = MIN(size, (size_t)(inode->size - pos));
    uint8_t *page = page_alloc();
    if (!page)
        return -ENOMEM;
    ssize_t n = 0;
    if (shared_page_pull(inode, (uint64_t)pos / PAGE_SIZE, page)) {
        n = (ssize_t)copy_to_iter(to, page + start, size);
        n = n ? n : -EFAULT;
    }
    page_free(page);
    return n;
}

static int drain_now(struct hostfs_inode *hi)
{
    mutex_lock(&hi->data);
    int error = hostfs_drain(hi);
    mutex_unlock(&hi->data);
    return error;
}

static ssize_t read_piece(struct hostfs_inode *hi, struct iov_iter *to, file_off_t pos)
{
    size_t size = to->count;
    int error = hi->page_count > 0 ? drain_now(hi) : 0;
    if (error < 0)
        return error;
    if (shared_any(&hi->inode)) {
        ssize_t n = read_mapped(&hi->inode, to, pos);
        if (n)
            return n;
        size = MIN(size, PAGE_SIZE - (uint64_t)pos % PAGE_SIZE);
    }
    return hostfs_read_some(hi, false, pos, size, take_iter, to);
}

static ssize_t file_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct hostfs_inode *hi = hostfs_inode(file->inode);
    ssize_t total = 0;
    while (to->count > 0 && *pos < FILE_SIZE_MAX) {
        ssize_t n = read_piece(hi, to, *pos);
        if (n <= 0)
            return total ? total : n;
        total += n;
        *pos += n;
        if (*pos >= file->inode->size)
            break; /* the end, as last heard; the next read asks again */
    }
    return total;
}

static int regular_read_page(struct inode *inode, uint64_t index, void *page)
{
    struct hostfs_inode *hi = hostfs_inode(inode);
    const void *pending = page_map_get(&hi->pages, index);
    size_t done = 0;
    if (pending) {
        memcpy(page, pending, PAGE_SIZE);
        return 0;
    }
    while (done < PAGE_SIZE) {
        ssize_t n = hostfs_read_some(hi, true, (file_off_t)(index * PAGE_SIZE + done), PAGE_SIZE - done, take_memory,
                                     (char *)page + done);
        if (n < 0)
            return -EIO;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    memset((char *)page + done, 0, PAGE_SIZE - done);
    return 0;
}

/* ---- writing ---- */

/* What was filled into the slot goes to the file. Bytes written; the slot is put. */
static ssize_t write_slot(struct hostfs_inode *hi, unsigned slot, size_t size, bool append, file_off_t *pos)
{
    struct hostfs_request request = hostfs_request(HOSTFS_WRITE, &hi->inode);
    struct hostfs_reply reply;
    request.offset = (uint64_t)*pos;
    request.size = size;
    request.flags = append ? HOSTFS_APPEND : 0;
    hostfs_submit(slot, &request);
    int64_t n = hostfs_wait(slot, &reply);
    if (n == -EINTR)
        return n;
    hostfs_slot_put(slot);
    if (n < 0)
        return n;
    if (hostfs_refresh(&hi->inode, &reply) < 0 || (append && reply.offset > (uint64_t)FILE_SIZE_MAX))
        return -EIO;
    if (append)
        *pos = (file_off_t)reply.offset;
    return n;
}

static ssize_t write_memory(struct hostfs_inode *hi, file_off_t pos, const void *data, size_t size)
{
    unsigned slot;
    int error = hostfs_slot_get(false, &slot);
    if (error < 0)
        return error;
    untrusted_copy_out(hostfs_slot_data(slot), data, size);
    return write_slot(hi, slot, size, false, &pos);
}

int hostfs_drain(struct hostfs_inode *hi)
{
    struct hostfs *fs = hostfs(hi->inode.sb);
    uint64_t index;
    uint8_t *page;
    int error = 0;
    while ((page = page_map_next(&hi->pages, 0, &index)) != NULL) {
        page_map_remove(&hi->pages, index); /* it may be given back again while we sleep */
        file_off_t at = (file_off_t)(index * PAGE_SIZE);
        if (at < hi->inode.size) {
            ssize_t n = write_memory(hi, at, page, (size_t)MIN((file_off_t)PAGE_SIZE, hi->inode.size - at));
            if (n < 0)
                hi->error = error = (int)n;
        }
        page_free(page);
        if (--hi->page_count > 0)
            continue;
        TAILQ_REMOVE(&fs->dirty, hi, dirty_link);
        inode_put(&hi->inode); /* the caller has one, too */
    }
    return error;
}

/* A mapping gives a page back, where nothing may sleep: kept until the thread writes it, or whoever comes first. */
static int regular_write_page(struct inode *inode, uint64_t index, const void *src)
{
    struct hostfs_inode *hi = hostfs_inode(inode);
    struct hostfs *fs = hostfs(inode->sb);
    if ((file_off_t)(index * PAGE_SIZE) >= inode->size)
        return 0;
    uint8_t *page = page_alloc(), *old = page_map_get(&hi->pages, index);
    if (!page || page_map_set(&hi->pages, index, page) < 0) {
        page_free(page);
        printk(LOG_ERROR, "cofre: folder %s: no memory for a page of a mapping\n", fs->path);
        return hi->error = -ENOMEM;
    }
    memcpy(page, src, PAGE_SIZE);
    if (old) {
        page_free(old);
        return 0;
    }
    if (hi->page_count++ == 0) {
        inode_get(inode);
        TAILQ_INSERT_TAIL(&fs->dirty, hi, dirty_link);
        wake_up(&fs->work, 0);
    }
    return 0;
}

/* What was written also goes to where the page lives. */
static void push_written(struct hostfs_inode *hi, file_off_t pos, const uint8_t *data, size_t size)
{
    uint8_t *page = shared_any(&hi->inode) ? page_alloc() : NULL;
    for (size_t done = 0; page && done < size;) {
        uint64_t at = (uint64_t)pos + done;
        size_t start = at % PAGE_SIZE, n = MIN(size - done, PAGE_SIZE - start);
        if (shared_page_pull(&hi->inode, at / PAGE_SIZE, page)) {
            if (data)
                memcpy(page + start, data + done, n);
            else
                memset(page + start, 0, n);
            shared_page_push(&hi->inode, at / PAGE_SIZE, page);
        }
        done += n;
    }
    page_free(page);
}

/* Through kernel memory, since mappings get it, too. */
static ssize_t write_mapped(struct hostfs_inode *hi, struct iov_iter *from, bool append, file_off_t *pos)
{
    uint8_t *page = page_alloc();
    unsigned slot;
    if (!page)
        return -ENOMEM;
    size_t size = copy_from_iter(from, page, MIN(from->count, PAGE_SIZE));
    ssize_t n = size > 0 ? hostfs_slot_get(false, &slot) : -EFAULT;
    if (n == 0) {
        untrusted_copy_out(hostfs_slot_data(slot), page, size);
        n = write_slot(hi, slot, size, append, pos);
    }
    if (n > 0)
        push_written(hi, *pos, page, (size_t)n);
    page_free(page);
    return n >= 0 && (size_t)n < size ? (n ? n : -EIO) : n;
}

static ssize_t write_piece(struct hostfs_inode *hi, struct iov_iter *from, bool append, file_off_t *pos)
{
    unsigned slot;
    if (shared_any(&hi->inode))
        return write_mapped(hi, from, append, pos);
    int error = hostfs_slot_get(false, &slot);
    if (error < 0)
        return error;
    size_t size = copy_untrusted_from_iter(from, hostfs_slot_data(slot), MIN(from->count, (size_t)HOSTFS_DATA_SIZE));
    if (size == 0) {
        hostfs_slot_put(slot);
        return -EFAULT;
    }
    return write_slot(hi, slot, size, append, pos);
}

static ssize_t write_locked(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    struct hostfs_inode *hi = hostfs_inode(file->inode);
    bool append = file->flags & O_APPEND;
    ssize_t total = 0;
    int error = hostfs_drain(hi);
    if (error < 0)
        return error;
    inode_drop_setid(file->inode);
    while (from->count > 0) {
        if (*pos >= FILE_SIZE_MAX - HOSTFS_DATA_SIZE)
            return total ? total : -EFBIG;
        size_t before = from->count;
        ssize_t n = write_piece(hi, from, append, pos);
        hostfs_windows_drop(hi);
        if (n <= 0)
            return total ? total : n;
        total += n;
        *pos += n;
        if ((size_t)n < before - from->count)
            break; /* the disk took less */
    }
    return total;
}

static ssize_t file_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    struct hostfs_inode *hi = hostfs_inode(file->inode);
    if (from->count == 0)
        return 0;
    mutex_lock(&hi->data);
    ssize_t result = write_locked(file, from, pos);
    mutex_unlock(&hi->data);
    return result;
}

/* What mappings hold is written, all of it: an enclave has no dirty bits. */
int hostfs_pull_mappings(struct hostfs_inode *hi)
{
    uint64_t index = 0;
    int error = hi->page_count > 0 ? drain_now(hi) : 0;
    if (error < 0 || !shared_next_writable(&hi->inode, &index))
        return error;
    uint8_t *page = page_alloc();
    if (!page)
        return -ENOMEM;
    for (; error == 0 && shared_next_writable(&hi->inode, &index); index++) {
        file_off_t at = (file_off_t)(index * PAGE_SIZE);
        mutex_lock(&hi->data);
        if (at < hi->inode.size && shared_page_pull(&hi->inode, index, page)) {
            ssize_t n = write_memory(hi, at, page, (size_t)MIN((file_off_t)PAGE_SIZE, hi->inode.size - at));
            error = n < 0 ? (int)n : 0;
        }
        mutex_unlock(&hi->data);
    }
    hostfs_windows_drop(hi);
    page_free(page);
    return error;
}

static int regular_truncate(struct inode *inode, file_off_t size)
{
    struct hostfs_inode *hi = hostfs_inode(inode);
    struct hostfs_request request = hostfs_request(HOSTFS_SETATTR, inode);
    if (size > FILE_SIZE_MAX)
        return -EFBIG;
    request.flags = HOSTFS_SET_SIZE;
    request.size = (uint64_t)size;
    mutex_lock(&hi->data);
    int error = hostfs_drain(hi);
    if (error == 0)
        error = (int)hostfs_call_refresh(inode, &request, NULL, NULL); /* cuts mappings, too */
    hostfs_windows_drop(hi);
    mutex_unlock(&hi->data);
    return error;
}

static file_off_t regular_llseek(struct file *file, file_off_t offset, int whence)
{
    struct hostfs_inode *hi = hostfs_inode(file->inode);
    if (whence == SEEK_END) {
        struct hostfs_request look = hostfs_request(HOSTFS_GETATTR, file->inode);
        int64_t error = hostfs_call_refresh(file->inode, &look, NULL, NULL);
        if (error < 0)
            return error;
    }
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return file_llseek_size(file, offset, whence);
    if (offset < 0)
        return -ENXIO;
    struct hostfs_request request = hostfs_request(HOSTFS_SEEK, file->inode);
    struct hostfs_reply reply;
    request.offset = (uint64_t)offset;
    request.flags = (uint32_t)whence;
    int64_t pos = hi->page_count > 0 ? drain_now(hi) : 0;
    if (pos == 0)
        pos = hostfs_call(&request, NULL, NULL, &reply, NULL);
    if (pos >= 0)
        file->pos = pos;
    return pos;
}

static int regular_fallocate(struct file *file, int mode, file_off_t offset, file_off_t size)
{
    struct hostfs_inode *hi = hostfs_inode(file->inode);
    struct hostfs_request request = hostfs_request(HOSTFS_FALLOCATE, file->inode);
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    if (offset > FILE_SIZE_MAX - size)
        return -EFBIG;
    request.flags = (uint32_t)mode;
    request.offset = (uint64_t)offset;
    request.size = (uint64_t)size;
    mutex_lock(&hi->data);
    inode_drop_setid(file->inode);
    int error = hostfs_drain(hi);
    if (error == 0)
        error = (int)hostfs_call_refresh(file->inode, &request, NULL, NULL);
    if (error == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && offset < file->inode->size)
        push_written(hi, offset, NULL, (size_t)MIN(size, file->inode->size - offset));
    hostfs_windows_drop(hi);
    mutex_unlock(&hi->data);
    return error;
}

const struct inode_ops hostfs_regular_ops = {
    HOSTFS_COMMON_OPS,
    .read_page = regular_read_page,
    .write_page = regular_write_page,
    .truncate = regular_truncate,
};

const struct file_ops hostfs_file_ops = {
    .open = hostfs_file_open,
    .release = hostfs_file_release,
    .read = file_read,
    .write = file_write,
    .llseek = regular_llseek,
    .fsync = hostfs_fsync,
    .fallocate = regular_fallocate,
};

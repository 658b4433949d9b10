/* Descriptor tables: close, dup, close_range. */
#include <linux/close_range.h>
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/fs/internal.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/process.h"
#include "kernel/syscalls/syscall.h"

#define FD_TABLE_MIN 64
#define FD_TABLE_MAX (1 << 20) /* fs.nr_open's default */
#define END_STEPS 256          /* that one look for the end takes */

struct fd_table {
    unsigned refcount;
    unsigned capacity;   /* a multiple of 64 */
    unsigned first_free; /* no lower descriptor is free */
    unsigned end;        /* all from here on are */
    struct file **files;
    uint64_t *cloexec;
};

static int table_resize(struct fd_table *table, unsigned capacity)
{
    struct file **files = krealloc(table->files, capacity * sizeof(*files));
    if (!files)
        return -ENOMEM;
    table->files = files;
    uint64_t *cloexec = krealloc(table->cloexec, capacity / 8);
    if (!cloexec)
        return -ENOMEM;
    table->cloexec = cloexec;
    unsigned added = capacity - table->capacity;
    memset(files + table->capacity, 0, added * sizeof(*files));
    memset(cloexec + table->capacity / 64, 0, added / 8);
    table->capacity = capacity;
    return 0;
}

struct fd_table *fd_table_new(void)
{
    struct fd_table *table = kzalloc(sizeof(*table));
    if (!table)
        return NULL;
    table->refcount = 1;
    if (table_resize(table, FD_TABLE_MIN) < 0) {
        kfree(table->files);
        kfree(table);
        return NULL;
    }
    return table;
}

struct fd_table *fd_table_get(struct fd_table *table)
{
    table->refcount++;
    return table;
}

static void file_close(struct fd_table *table, struct file *file)
{
    if (!(file->flags & O_PATH)) {
        if (file->ops && file->ops->flush)
            file->ops->flush(file, table);
        if (file->inode->locks)
            locks_release_owner(file->inode, table);
    }
    file_put(file);
}

void fd_table_put(struct fd_table *table)
{
    if (!table || --table->refcount > 0)
        return;
    for (unsigned fd = 0; fd < table->capacity; fd++) {
        struct file *file = table->files[fd];
        table->files[fd] = NULL;
        if (file)
            file_close(table, file);
    }
    kfree(table->files);
    kfree(table->cloexec);
    kfree(table);
}

/* files[fd] is to be something. */
static void put_at(struct fd_table *table, unsigned fd, struct file *file)
{
    table->files[fd] = file;
    table->end = MAX(table->end, fd + 1);
}

static void set_cloexec(struct fd_table *table, unsigned fd, bool on)
{
    uint64_t bit = 1ULL << (fd % 64);
    if (on)
        table->cloexec[fd / 64] |= bit;
    else
        table->cloexec[fd / 64] &= ~bit;
}

struct fd_table *fd_table_copy(struct fd_table *table)
{
    struct fd_table *copy = fd_table_new();
    if (!copy)
        return NULL;
    if (table->capacity > copy->capacity && table_resize(copy, table->capacity) < 0) {
        fd_table_put(copy);
        return NULL;
    }
    for (unsigned fd = 0; fd < table->capacity; fd++)
        copy->files[fd] = table->files[fd] ? file_get(table->files[fd]) : NULL;
    memcpy(copy->cloexec, table->cloexec, table->capacity / 8);
    copy->first_free = table->first_free;
    copy->end = table->end;
    return copy;
}

struct file *fd_table_file(struct fd_table *table, int fd, bool *ret_cloexec)
{
    if (fd < 0 || (unsigned)fd >= table->capacity || !table->files[fd])
        return NULL;
    if (ret_cloexec)
        *ret_cloexec = table->cloexec[fd / 64] >> (fd % 64) & 1;
    return file_get(table->files[fd]);
}

struct file *fd_get_any(int fd)
{
    return fd_table_file(process_self()->files, fd, NULL);
}

struct file *fd_get(int fd)
{
    struct fd_table *table = process_self()->files;
    if (unlikely(fd < 0 || (unsigned)fd >= table->capacity))
        return NULL;
    struct file *file = table->files[fd];
    if (unlikely(!file || (file->flags & O_PATH)))
        return NULL;
    return file_get(file);
}

static unsigned descriptor_limit(void)
{
    uint64_t limit = process_self()->limits[RLIMIT_NOFILE].rlim_cur;
    return limit < FD_TABLE_MAX ? limit : FD_TABLE_MAX;
}

/* The lowest that is free, from min on; it may be beyond the table. */
static unsigned lowest_free(const struct fd_table *table, unsigned min)
{
    unsigned fd = MAX(min, table->first_free);
    while (fd < table->capacity && table->files[fd])
        fd++;
    return fd;
}

int fd_room(void)
{
    return lowest_free(process_self()->files, 0) < descriptor_limit() ? 0 : -EMFILE;
}

int fd_install(struct file *file, int min, bool cloexec)
{
    struct fd_table *table = process_self()->files;
    unsigned fd = lowest_free(table, (unsigned)min);
    if (fd >= descriptor_limit())
        return -EMFILE;
    if (fd >= table->capacity) {
        int error = table_resize(table, ALIGN_UP(MAX(fd + 1, table->capacity * 2), 64));
        if (error)
            return error;
    }
    if ((unsigned)min <= table->first_free)
        table->first_free = fd + 1;
    put_at(table, fd, file);
    set_cloexec(table, fd, cloexec);
    return fd;
}

int fd_table_set(struct fd_table *table, int fd, struct file *file, bool cloexec)
{
    if (fd < 0 || fd >= FD_TABLE_MAX)
        return -EBADF;
    if ((unsigned)fd >= table->capacity) {
        int error = table_resize(table, ALIGN_UP(MAX((unsigned)fd + 1, table->capacity * 2), 64));
        if (error)
            return error;
    }
    struct file *old = table->files[fd];
    put_at(table, (unsigned)fd, file);
    set_cloexec(table, fd, cloexec);
    if (old)
        file_close(table, old);
    return 0;
}

int fd_install_at(struct file *file, int fd, bool cloexec)
{
    if (fd < 0 || (unsigned)fd >= descriptor_limit())
        return -EBADF;
    int error = fd_table_set(process_self()->files, fd, file, cloexec);
    return error ? error : fd;
}

unsigned fd_table_end(struct fd_table *table)
{
    for (unsigned steps = 0; steps < END_STEPS && table->end > 0 && !table->files[table->end - 1]; steps++)
        table->end--;
    return table->end;
}

bool fd_table_shared(const struct fd_table *table)
{
    return table->refcount > 1;
}

int fd_table_close(struct fd_table *table, int fd)
{
    if (fd < 0 || (unsigned)fd >= table->capacity || !table->files[fd])
        return -EBADF;
    struct file *file = table->files[fd];
    table->files[fd] = NULL;
    set_cloexec(table, fd, false);
    if ((unsigned)fd < table->first_free)
        table->first_free = fd;
    file_close(table, file);
    return 0;
}

int fd_close(int fd)
{
    return fd_table_close(process_self()->files, fd);
}

void fd_close_on_exec(struct fd_table *table)
{
    for (unsigned word = 0; word < table->capacity / 64; word++)
        while (table->cloexec[word])
            fd_table_close(table, (int)(word * 64) + __builtin_ctzll(table->cloexec[word]));
}

int fd_unshare(void)
{
    struct process *process = process_self();
    struct fd_table *table = process->files, *copy;
    if (table->refcount == 1)
        return 0;
    copy = fd_table_copy(table);
    if (!copy)
        return -ENOMEM;
    process->files = copy;
    fd_table_put(table);
    return 0;
}

int fd_for_each(struct fd_table *table, int (*fn)(int fd, struct file *file, void *arg), void *arg)
{
    for (unsigned fd = 0; fd < table->capacity; fd++) {
        if (!table->files[fd])
            continue;
        int result = fn(fd, table->files[fd], arg);
        if (result != 0)
            return result;
    }
    return 0;
}

int fd_get_flags(int fd)
{
    bool cloexec;
    struct file *file = fd_table_file(process_self()->files, fd, &cloexec);
    if (!file)
        return -EBADF;
    file_put(file);
    return cloexec ? FD_CLOEXEC : 0;
}

int fd_set_flags(int fd, unsigned flags)
{
    struct fd_table *table = process_self()->files;
    if (fd < 0 || (unsigned)fd >= table->capacity || !table->files[fd])
        return -EBADF;
    set_cloexec(table, fd, flags & FD_CLOEXEC);
    return 0;
}

int fd_dup(int fd, int min, bool cloexec)
{
    struct file *file = fd_get_any(fd);
    if (!file)
        return -EBADF;
    if (min < 0 || (unsigned)min >= descriptor_limit()) {
        file_put(file);
        return -EINVAL;
    }
    int result = fd_install(file, min, cloexec);
    if (result < 0)
        file_put(file);
    return result;
}

static int dup_to(int old_fd, int new_fd, bool cloexec)
{
    struct file *file = fd_get_any(old_fd);
    if (!file)
        return -EBADF;
    int result = fd_install_at(file, new_fd, cloexec);
    if (result < 0)
        file_put(file);
    return result;
}

SYSCALL_DEFINE1(close, int, fd)
{
    return fd_close(fd);
}

SYSCALL_DEFINE1(dup, int, fd)
{
    struct file *file = fd_get_any(fd);
    if (!file)
        return -EBADF;
    int result = fd_install(file, 0, false);
    if (result < 0)
        file_put(file);
    return result;
}

SYSCALL_DEFINE2(dup2, int, old_fd, int, new_fd)
{
    if (old_fd == new_fd)
        return fd_get_flags(old_fd) < 0 ? -EBADF : new_fd;
    return dup_to(old_fd, new_fd, false);
}

SYSCALL_DEFINE3(dup3, int, old_fd, int, new_fd, unsigned, flags)
{
    if ((flags & ~O_CLOEXEC) || old_fd == new_fd)
        return -EINVAL;
    return dup_to(old_fd, new_fd, flags & O_CLOEXEC);
}

SYSCALL_DEFINE3(close_range, unsigned, first, unsigned, last, unsigned, flags)
{
    struct fd_table *table = process_self()->files;
    if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
        return -EINVAL;
    /* CLOSE_RANGE_UNSHARE: every task of the process shares this one table, as the C libraries' threads do. */
    if ((flags & CLOSE_RANGE_UNSHARE) && fd_unshare() < 0)
        return -ENOMEM;
    table = process_self()->files;
    for (unsigned fd = first; fd <= last && fd < table->capacity; fd++) {
        if (!table->files[fd])
            continue;
        if (flags & CLOSE_RANGE_CLOEXEC)
            set_cloexec(table, fd, true);
        else
            fd_close(fd);
    }
    return 0;
}

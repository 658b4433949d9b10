/* What each message asks for, done beneath a shared folder (hostfs.h). */
#include "host/hostfs/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAME_SIZE_MAX 255
#define PATH_SIZE_MAX 4095

struct job {
    const struct hostfs_request *request;
    struct hostfs_reply *reply;
    uint8_t *data;
    struct node *node, *other; /* other: only for operations that have one */
    char name[NAME_SIZE_MAX + 1], second[PATH_SIZE_MAX + 1];
};

struct fd_path {
    char text[40];
};

/* What a descriptor means, for calls that take no O_PATH one. */
static struct fd_path fd_path(int fd)
{
    struct fd_path path;

    snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
    return path;
}

static void fill_attr(struct hostfs_reply *reply, const struct statx *stat)
{
    reply->flags |= HOSTFS_REPLY_ATTR;
    reply->attr = (struct hostfs_attr){
        .ino = stat->stx_ino,
        .size = stat->stx_size,
        .blocks = stat->stx_blocks,
        .mode = stat->stx_mode,
        .nlink = stat->stx_nlink,
        .uid = stat->stx_uid,
        .gid = stat->stx_gid,
        .atime_sec = stat->stx_atime.tv_sec,
        .mtime_sec = stat->stx_mtime.tv_sec,
        .ctime_sec = stat->stx_ctime.tv_sec,
        .btime_sec = stat->stx_btime.tv_sec,
        .atime_nsec = stat->stx_atime.tv_nsec,
        .mtime_nsec = stat->stx_mtime.tv_nsec,
        .ctime_nsec = stat->stx_ctime.tv_nsec,
        .btime_nsec = stat->stx_btime.tv_nsec,
    };
}

#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME)

static int stat_at(int fd, const char *name, struct statx *ret_stat)
{
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);

    return statx(fd, name, flags, STATX_WANTED, ret_stat) < 0 ? -errno : 0;
}

static void answer_attr(struct job *job, const struct node *node)
{
    struct statx stat;

    if (stat_at(node->fd, "", &stat) == 0)
        fill_attr(job->reply, &stat);
}

static dev_t stat_dev(const struct statx *stat)
{
    return ((dev_t)stat->stx_dev_major & 0xfff) << 8 | (stat->stx_dev_minor & 0xff) |
           ((dev_t)(stat->stx_dev_minor & ~0xffU) << 12) | ((dev_t)(stat->stx_dev_major & ~0xfffU) << 32);
}

/* The file behind fd (O_PATH, taken over) becomes result_node. */
static int64_t new_node(struct job *job, int fd)
{
    struct statx stat;
    int ret = stat_at(fd, "", &stat);

    if (ret == 0 && stat_dev(&stat) != job->node->dev)
        ret = -EXDEV; /* something else is mounted there */
    if (ret < 0) {
        close(fd);
        return ret;
    }
    ret = node_add(job->request->result_node, fd, stat.stx_mode & S_IFMT, job->node->dev, job->node->read_only);
    if (ret == 0)
        fill_attr(job->reply, &stat);
    return ret;
}

static int64_t open_name(struct job *job)
{
    int fd = openat(job->node->fd, job->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : new_node(job, fd);
}

static int64_t do_lookup(struct job *job)
{
    struct statx stat;

    if (job->request->ino == 0)
        return open_name(job);
    int ret = stat_at(job->node->fd, job->name, &stat);
    if (ret < 0)
        return ret;
    if (stat.stx_ino != job->request->ino || (stat.stx_mode & S_IFMT) != job->request->mode ||
        stat_dev(&stat) != job->node->dev)
        return open_name(job);
    fill_attr(job->reply, &stat);
    job->reply->flags |= HOSTFS_REPLY_SAME;
    return 0;
}

static int64_t do_getattr(struct job *job)
{
    struct statx stat;
    int ret = stat_at(job->node->fd, "", &stat);

    if (ret == 0)
        fill_attr(job->reply, &stat);
    return ret;
}

/* The descriptor to read from or write to; opened if it is not. */
static int node_open(struct node *node, bool write)
{
    int *slot = write ? &node->write_fd : &node->read_fd, fd;

    if (node->type != S_IFREG && (node->type != S_IFDIR || write))
        return -EINVAL;
    if (write && node->read_only)
        return -EROFS;
    pthread_mutex_lock(&node->lock);
    fd = *slot;
    if (fd < 0) {
        int flags = (write ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

        fd = open(fd_path(node->fd).text, flags | (node->type == S_IFDIR ? O_DIRECTORY : 0));
        if (fd >= 0)
            *slot = fd;
        else
            fd = -errno;
    }
    pthread_mutex_unlock(&node->lock);
    return fd;
}

static int64_t do_open(struct job *job)
{
    int ret = 0;

    if (job->request->flags & HOSTFS_OPEN_READ)
        ret = node_open(job->node, false);
    if (ret >= 0 && (job->request->flags & HOSTFS_OPEN_WRITE))
        ret = node_open(job->node, true);
    if (ret >= 0)
        answer_attr(job, job->node);
    return ret < 0 ? ret : 0;
}

static int64_t do_read(struct job *job)
{
    int fd = node_open(job->node, false);
    size_t size = job->request->size, done = 0;

    if (fd < 0 || size > HOSTFS_DATA_SIZE || job->node->type != S_IFREG)
        return fd < 0 ? fd : -EINVAL;
    while (done < size) {
        ssize_t n = pread(fd, job->data + done, size - done, (off_t)(job->request->offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && done == 0)
            return -errno;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done < size) /* the end, wherever that is now */
        answer_attr(job, job->node);
    return (int64_t)done;
}

static int64_t append(struct node *node, int fd, const struct iovec *iov, uint64_t *ret_offset)
{
    pthread_mutex_lock(&node->lock);
    ssize_t n = pwritev2(fd, iov, 1, -1, RWF_APPEND);
    int error = errno;
    *ret_offset = n > 0 ? (uint64_t)(lseek(fd, 0, SEEK_CUR) - n) : 0;
    pthread_mutex_unlock(&node->lock);
    return n < 0 ? -error : n;
}

static int64_t do_write(struct job *job)
{
    const struct hostfs_request *r = job->request;
    int fd = node_open(job->node, true);
    struct iovec iov = {job->data, r->size};
    int64_t n;

    if (fd < 0 || r->size > HOSTFS_DATA_SIZE)
        return fd < 0 ? fd : -EINVAL;
    if (r->flags & HOSTFS_APPEND) {
        n = append(job->node, fd, &iov, &job->reply->offset);
    } else {
        do
            n = pwrite(fd, iov.iov_base, iov.iov_len, (off_t)r->offset);
        while (n < 0 && errno == EINTR);
        n = n < 0 ? -errno : n;
    }
    if (n >= 0)
        answer_attr(job, job->node);
    return n;
}

struct linux_dirent64 {
    uint64_t ino;
    int64_t off;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* One turn of getdents64, in our form; names that the kernel would not take are left out. */
static size_t convert_entries(const char *from, size_t size, uint8_t *to)
{
    size_t used = 0;

    for (size_t at = 0; at < size;) {
        const struct linux_dirent64 *d = (const void *)(from + at);
        size_t length = strlen(d->name), need = (sizeof(struct hostfs_entry) + length + 7) & ~7UL;
        struct hostfs_entry entry = {d->ino, (uint64_t)d->off, d->type, (uint32_t)length};

        at += d->size;
        if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0)
            continue;
        memset(to + used, 0, need);
        memcpy(to + used, &entry, sizeof(entry));
        memcpy(to + used + sizeof(entry), d->name, length);
        used += need;
    }
    return used;
}

#define DENTS_SIZE 0x8000 /* an entry of ours is at most 8 bytes longer than one of getdents64 */

static int64_t do_readdir(struct job *job)
{
    int fd = node_open(job->node, false);
    int64_t used = 0;
    char *dents;

    if (fd < 0 || job->node->type != S_IFDIR)
        return fd < 0 ? fd : -ENOTDIR;
    dents = malloc(DENTS_SIZE);
    if (!dents)
        return -ENOMEM;
    pthread_mutex_lock(&job->node->lock);
    if (lseek(fd, (off_t)job->request->offset, SEEK_SET) < 0)
        used = -errno;
    while (used == 0) { /* again if there were only "." and ".." */
        long n = syscall(SYS_getdents64, fd, dents, DENTS_SIZE);

        if (n <= 0) {
            used = n < 0 ? -errno : 0;
            break;
        }
        used = (int64_t)convert_entries(dents, (size_t)n, job->data);
    }
    pthread_mutex_unlock(&job->node->lock);
    free(dents);
    return used;
}

static int64_t own(const struct hostfs_request *r, int fd)
{
    if (geteuid() != 0)
        return 0;
    if (fchownat(fd, "", r->uid, r->gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

/* The name was made: it becomes result_node; `undo` are unlinkat's flags. */
static int64_t made(struct job *job, int undo)
{
    int fd = openat(job->node->fd, job->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int64_t ret = fd < 0 ? -errno : own(job->request, fd);

    if (ret == 0)
        return new_node(job, fd);
    if (fd >= 0)
        close(fd);
    unlinkat(job->node->fd, job->name, undo);
    return ret;
}

/* Kept open for reading and writing, whatever the mode says: it is being created by an open. */
static void keep_open(uint32_t number, int fd)
{
    struct node *node = node_get(number);
    int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (node && other >= 0) {
        pthread_mutex_lock(&node->lock);
        node->read_fd = fd;
        node->write_fd = other;
        pthread_mutex_unlock(&node->lock);
    } else {
        close(fd);
        if (other >= 0)
            close(other);
    }
    node_put(node);
}

/* fd: a regular file that was just made, in the directory unless it has no name; taken over. */
static int64_t made_regular(struct job *job, int fd, bool named)
{
    const struct hostfs_request *r = job->request;
    int path_fd = fd < 0 ? -1 : open(fd_path(fd).text, O_PATH | O_CLOEXEC);
    int64_t ret = fd < 0 || path_fd < 0 ? -errno : own(r, path_fd);

    if (ret == 0 && (r->mode & 07000) && fchmod(fd, r->mode & 07777) < 0)
        ret = -errno;
    if (ret == 0)
        ret = new_node(job, path_fd);
    else if (path_fd >= 0)
        close(path_fd);
    if (ret == 0) {
        keep_open(r->result_node, fd);
    } else if (fd >= 0) {
        close(fd);
        if (named)
            unlinkat(job->node->fd, job->name, 0);
    }
    return ret;
}

static int64_t create_regular(struct job *job)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

    return made_regular(job, openat(job->node->fd, job->name, flags, job->request->mode & 07777), true);
}

static int64_t do_tmpfile(struct job *job)
{
    if (job->node->type != S_IFDIR)
        return -ENOTDIR;
    int fd = open(fd_path(job->node->fd).text, O_TMPFILE | O_RDWR | O_CLOEXEC, job->request->mode & 07777);

    return made_regular(job, fd, false);
}

static int64_t do_create(struct job *job)
{
    uint32_t type = job->request->mode & S_IFMT;

    if (type == S_IFREG)
        return create_regular(job);
    if (type != S_IFIFO && type != S_IFSOCK)
        return -EPERM;
    if (mknodat(job->node->fd, job->name, job->request->mode, 0) < 0)
        return -errno;
    return made(job, 0);
}

static int64_t do_mkdir(struct job *job)
{
    uint32_t mode = job->request->mode & 07777;

    if (mkdirat(job->node->fd, job->name, mode) < 0)
        return -errno;
    int64_t ret = made(job, AT_REMOVEDIR);
    if (ret == 0 && (mode & 07000)) {
        struct node *node = node_get(job->request->result_node);

        if (node && chmod(fd_path(node->fd).text, mode) == 0)
            answer_attr(job, node);
        node_put(node);
    }
    return ret;
}

static int64_t do_symlink(struct job *job)
{
    if (symlinkat(job->second, job->node->fd, job->name) < 0)
        return -errno;
    return made(job, 0);
}

static int64_t do_link(struct job *job)
{
    if (linkat(AT_FDCWD, fd_path(job->other->fd).text, job->node->fd, job->name, AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    answer_attr(job, job->other);
    return 0;
}

static int64_t do_unlink(struct job *job)
{
    return unlinkat(job->node->fd, job->name, job->request->op == HOSTFS_RMDIR ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
}

/* The attributes are those of the file that is replaced, as it is afterwards. */
static int64_t do_rename(struct job *job)
{
    unsigned flags = job->request->flags & (RENAME_NOREPLACE | RENAME_EXCHANGE);
    int replaced = flags ? -1 : openat(job->other->fd, job->second, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int64_t ret = renameat2(job->node->fd, job->name, job->other->fd, job->second, flags) < 0 ? -errno : 0;
    struct statx stat;

    if (ret == 0 && replaced >= 0 && stat_at(replaced, "", &stat) == 0)
        fill_attr(job->reply, &stat);
    if (replaced >= 0)
        close(replaced);
    return ret;
}

static int64_t do_readlink(struct job *job)
{
    ssize_t n = readlinkat(job->node->fd, "", (char *)job->data, PATH_SIZE_MAX);

    return n < 0 ? -errno : n;
}

static int64_t do_fsync(struct job *job)
{
    int fd = node_open(job->node, job->node->type == S_IFREG && job->node->write_fd >= 0);

    if (fd < 0)
        return fd;
    return (job->request->flags & 1 ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

static int64_t do_statfs(struct job *job)
{
    struct statfs from;

    if (fstatfs(job->node->fd, &from) < 0)
        return -errno;
    struct hostfs_statfs to = {(uint64_t)from.f_bsize, from.f_blocks, from.f_bfree,
                               from.f_bavail,          from.f_files,  from.f_ffree};
    memcpy(job->data, &to, sizeof(to));
    return 0;
}

static int64_t set_size(struct job *job)
{
    int fd = node_open(job->node, true);

    if (fd < 0)
        return fd;
    return ftruncate(fd, (off_t)job->request->size) < 0 ? -errno : 0;
}

static int64_t set_times(struct job *job)
{
    const struct hostfs_request *r = job->request;
    struct timespec times[2] = {{r->atime_sec, r->atime_nsec}, {r->mtime_sec, r->mtime_nsec}};

    if (!(r->flags & HOSTFS_SET_ATIME))
        times[0].tv_nsec = UTIME_OMIT;
    if (!(r->flags & HOSTFS_SET_MTIME))
        times[1].tv_nsec = UTIME_OMIT;
    return utimensat(job->node->fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int64_t do_setattr(struct job *job)
{
    const struct hostfs_request *r = job->request;
    int64_t ret = r->flags & HOSTFS_SET_SIZE ? set_size(job) : 0;

    if (ret == 0 && (r->flags & (HOSTFS_SET_UID | HOSTFS_SET_GID)) &&
        fchownat(job->node->fd, "", r->flags & HOSTFS_SET_UID ? r->uid : (uid_t)-1,
                 r->flags & HOSTFS_SET_GID ? r->gid : (gid_t)-1, AT_EMPTY_PATH) < 0)
        ret = -errno;
    if (ret == 0 && (r->flags & HOSTFS_SET_MODE))
        ret = job->node->type == S_IFLNK                                ? -EOPNOTSUPP
              : chmod(fd_path(job->node->fd).text, r->mode & 07777) < 0 ? -errno
                                                                        : 0;
    if (ret == 0 && (r->flags & (HOSTFS_SET_ATIME | HOSTFS_SET_MTIME)))
        ret = set_times(job);
    answer_attr(job, job->node);
    return ret;
}

static int64_t do_fallocate(struct job *job)
{
    const struct hostfs_request *r = job->request;
    int fd = node_open(job->node, true);

    if (fd < 0)
        return fd;
    if (fallocate(fd, (int)r->flags, (off_t)r->offset, (off_t)r->size) < 0)
        return -errno;
    answer_attr(job, job->node);
    return 0;
}

static int64_t do_seek(struct job *job)
{
    int fd = node_open(job->node, false);
    int64_t ret;

    if (fd < 0)
        return fd;
    if (job->request->flags != SEEK_DATA && job->request->flags != SEEK_HOLE)
        return -EINVAL;
    pthread_mutex_lock(&job->node->lock);
    ret = lseek(fd, (off_t)job->request->offset, (int)job->request->flags);
    ret = ret < 0 ? -errno : ret;
    pthread_mutex_unlock(&job->node->lock);
    return ret;
}

/* Attributes of links cannot be reached through a descriptor; Linux gives unprivileged ones to files and folders. */
static int64_t do_xattr(struct job *job)
{
    const struct hostfs_request *r = job->request;
    struct fd_path path = fd_path(job->node->fd);
    ssize_t n = -1;

    if (job->node->type != S_IFREG && job->node->type != S_IFDIR)
        return -EOPNOTSUPP;
    if (r->op != HOSTFS_LISTXATTR && strncmp(job->name, "user.", 5) != 0)
        return -EOPNOTSUPP;
    switch (r->op) {
    case HOSTFS_GETXATTR:
        n = getxattr(path.text, job->name, job->data, XATTR_SIZE_MAX);
        break;
    case HOSTFS_SETXATTR:
        n = r->size > XATTR_SIZE_MAX ? (errno = E2BIG, -1)
                                     : setxattr(path.text, job->name, job->data + r->name_size, r->size, (int)r->flags);
        break;
    case HOSTFS_LISTXATTR:
        n = listxattr(path.text, (char *)job->data, XATTR_LIST_MAX);
        break;
    default:
        n = removexattr(path.text, job->name);
        break;
    }
    if (n < 0)
        return -errno;
    if (r->op == HOSTFS_SETXATTR || r->op == HOSTFS_REMOVEXATTR)
        answer_attr(job, job->node);
    return n;
}

#define CHANGES 1 /* not in a read-only folder */
#define NAMED 2
#define SECOND_NAME 4
#define SECOND_PATH 8
#define OTHER 16 /* other_node */
#define XATTR_NAMED 32

static const struct operation {
    int64_t (*fn)(struct job *job);
    unsigned needs;
} operations[] = {
    [HOSTFS_LOOKUP] = {do_lookup, NAMED},
    [HOSTFS_GETATTR] = {do_getattr, 0},
    [HOSTFS_SETATTR] = {do_setattr, CHANGES},
    [HOSTFS_OPEN] = {do_open, 0},
    [HOSTFS_READ] = {do_read, 0},
    [HOSTFS_WRITE] = {do_write, CHANGES},
    [HOSTFS_READDIR] = {do_readdir, 0},
    [HOSTFS_CREATE] = {do_create, CHANGES | NAMED},
    [HOSTFS_TMPFILE] = {do_tmpfile, CHANGES},
    [HOSTFS_MKDIR] = {do_mkdir, CHANGES | NAMED},
    [HOSTFS_SYMLINK] = {do_symlink, CHANGES | NAMED | SECOND_PATH},
    [HOSTFS_LINK] = {do_link, CHANGES | NAMED | OTHER},
    [HOSTFS_UNLINK] = {do_unlink, CHANGES | NAMED},
    [HOSTFS_RMDIR] = {do_unlink, CHANGES | NAMED},
    [HOSTFS_RENAME] = {do_rename, CHANGES | NAMED | SECOND_NAME | OTHER},
    [HOSTFS_READLINK] = {do_readlink, 0},
    [HOSTFS_FSYNC] = {do_fsync, 0},
    [HOSTFS_STATFS] = {do_statfs, 0},
    [HOSTFS_FALLOCATE] = {do_fallocate, CHANGES},
    [HOSTFS_SEEK] = {do_seek, 0},
    [HOSTFS_GETXATTR] = {do_xattr, XATTR_NAMED},
    [HOSTFS_SETXATTR] = {do_xattr, CHANGES | XATTR_NAMED},
    [HOSTFS_LISTXATTR] = {do_xattr, 0},
    [HOSTFS_REMOVEXATTR] = {do_xattr, CHANGES | XATTR_NAMED},
};

static bool name_ok(const char *name, size_t size)
{
    return size > 0 && size <= NAME_SIZE_MAX && !memchr(name, '/', size) && strlen(name) == size &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Names are copied out: the program that asked could change them in the meantime. */
static int take_names(struct job *job, unsigned needs)
{
    const struct hostfs_request *r = job->request;

    if (!(needs & (NAMED | XATTR_NAMED)))
        return 0;
    if (r->name_size > NAME_SIZE_MAX || r->second_size > PATH_SIZE_MAX)
        return -ENAMETOOLONG;
    memcpy(job->name, job->data, r->name_size);
    memcpy(job->second, job->data + r->name_size, r->second_size);
    if (needs & XATTR_NAMED)
        return r->name_size > 0 && strlen(job->name) == r->name_size ? 0 : -EINVAL;
    if (!name_ok(job->name, r->name_size) || ((needs & SECOND_NAME) && !name_ok(job->second, r->second_size)) ||
        ((needs & SECOND_PATH) && (!r->second_size || strlen(job->second) != r->second_size)))
        return -EINVAL;
    return 0;
}

void hostfs_perform(const struct hostfs_request *request, struct hostfs_reply *reply, uint8_t *data)
{
    struct job job = {.request = request, .reply = reply, .data = data};
    const struct operation *op =
        request->op < sizeof(operations) / sizeof(operations[0]) ? &operations[request->op] : 0;
    int64_t ret = op && op->fn ? 0 : -ENOSYS;

    if (ret == 0)
        job.node = node_get(request->node);
    if (ret == 0 && op->needs & OTHER)
        job.other = node_get(request->other_node);
    if (ret == 0 && (!job.node || ((op->needs & OTHER) && !job.other)))
        ret = -ESTALE;
    if (ret == 0 && (op->needs & CHANGES) && (job.node->read_only || (job.other && job.other->read_only)))
        ret = -EROFS;
    if (ret == 0)
        ret = take_names(&job, op->needs);
    reply->result = ret == 0 ? op->fn(&job) : ret;
    node_put(job.node);
    node_put(job.other);
}

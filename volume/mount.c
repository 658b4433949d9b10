/* mount, unmount: a volume as a folder of the host, read-only, by FUSE. Whoever may look into it sees it in the clear.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/command.h"
#include "volume/tool.h"

#define TIMEOUT_S 86400.0 /* nothing changes while it is mounted */

/* Inode 1 is the root for FUSE. */
static uint64_t ino_from(fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? VOLUME_ROOT_INO : ino;
}

static fuse_ino_t ino_to(uint64_t ino)
{
    return ino == VOLUME_ROOT_INO ? FUSE_ROOT_ID : ino;
}

static struct volume *volume_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* The node that a request is about; false: it was answered with an error. */
static bool node_of(fuse_req_t req, fuse_ino_t ino, struct volume_node **ret_node)
{
    int err = volume_node_get(volume_of(req), ino_from(ino), ret_node);
    if (err < 0)
        fuse_reply_err(req, -err);
    return err == 0;
}

static struct timespec time_of(struct volume_time time)
{
    return (struct timespec){time.sec, time.nsec};
}

static struct stat stat_of(const struct volume_node *node)
{
    const struct volume_inode *i = volume_node_inode(node);
    return (struct stat){.st_ino = ino_to(volume_node_ino(node)),
                         .st_mode = i->mode,
                         .st_nlink = i->nlink,
                         .st_uid = i->uid,
                         .st_gid = i->gid,
                         .st_rdev = (dev_t)i->rdev,
                         .st_size = (off_t)i->size,
                         .st_blocks = (blkcnt_t)(volume_node_blocks(node) * (VOLUME_BLOCK_SIZE / 512)),
                         .st_blksize = VOLUME_BLOCK_SIZE,
                         .st_atim = time_of(i->atime),
                         .st_mtim = time_of(i->mtime),
                         .st_ctim = time_of(i->ctime)};
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct volume_node *dir, *node;
    if (!node_of(req, parent, &dir))
        return;
    int err = strlen(name) > VOLUME_NAME_MAX ? -ENAMETOOLONG : volume_lookup(dir, name, strlen(name), &node);
    volume_node_put(dir);
    if (err < 0) {
        fuse_reply_err(req, -err);
        return;
    }
    struct fuse_entry_param entry = {.ino = ino_to(volume_node_ino(node)),
                                     .generation = volume_node_inode(node)->generation,
                                     .attr = stat_of(node),
                                     .attr_timeout = TIMEOUT_S,
                                     .entry_timeout = TIMEOUT_S};
    volume_node_put(node);
    fuse_reply_entry(req, &entry);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct volume_node *node;
    (void)info;
    if (!node_of(req, ino, &node))
        return;
    struct stat status = stat_of(node);
    volume_node_put(node);
    fuse_reply_attr(req, &status, TIMEOUT_S);
}

static void on_readlink(fuse_req_t req, fuse_ino_t ino)
{
    static char target[VOLUME_BLOCK_SIZE + 1];
    struct volume_node *node;
    if (!node_of(req, ino, &node))
        return;
    ssize_t size = volume_readlink(node, target, sizeof(target) - 1);
    volume_node_put(node);
    if (size < 0) {
        fuse_reply_err(req, (int)-size);
        return;
    }
    target[size] = 0;
    fuse_reply_readlink(req, target);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    (void)ino;
    if ((info->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(req, EROFS);
        return;
    }
    info->keep_cache = 1;
    fuse_reply_open(req, info);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
    struct volume_node *node;
    (void)info;
    if (!node_of(req, ino, &node))
        return;
    char *data = malloc(size);
    ssize_t got = data ? volume_read(node, (uint64_t)offset, data, size) : -ENOMEM;
    volume_node_put(node);
    if (got < 0)
        fuse_reply_err(req, (int)-got);
    else
        fuse_reply_buf(req, data, (size_t)got);
    free(data);
}

static void on_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *info)
{
    struct volume_node *node;
    (void)info;
    if (!node_of(req, ino, &node))
        return;
    int64_t at = volume_seek(node, (uint64_t)offset, whence == SEEK_HOLE);
    volume_node_put(node);
    if (at < 0)
        fuse_reply_err(req, (int)-at);
    else
        fuse_reply_lseek(req, at);
}

struct listing {
    fuse_req_t req;
    char *data;
    size_t size, used;
};

static bool entry_add(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    struct listing *l = arg;
    char text[VOLUME_NAME_MAX + 1];
    struct stat status = {.st_ino = ino_to(ino), .st_mode = type << 12};
    memcpy(text, name, size);
    text[size] = 0;
    size_t need = fuse_add_direntry(l->req, l->data + l->used, l->size - l->used, text, &status, next_pos);
    if (need > l->size - l->used)
        return false;
    l->used += need;
    return true;
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
    struct listing l = {.req = req, .size = size};
    struct volume_node *dir;
    int64_t pos = offset;
    (void)info;
    if (!node_of(req, ino, &dir))
        return;
    l.data = malloc(size);
    int err = l.data ? volume_readdir(dir, &pos, entry_add, &l) : -ENOMEM;
    volume_node_put(dir);
    if (err < 0)
        fuse_reply_err(req, -err);
    else
        fuse_reply_buf(req, l.data, l.used);
    free(l.data);
}

static void on_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct volume_info info;
    (void)ino;
    volume_get_info(volume_of(req), &info);
    struct statvfs status = {.f_bsize = VOLUME_BLOCK_SIZE,
                             .f_frsize = VOLUME_BLOCK_SIZE,
                             .f_blocks = info.block_count,
                             .f_bfree = info.free_count,
                             .f_bavail = info.free_count,
                             .f_files = info.inode_count,
                             .f_namemax = VOLUME_NAME_MAX};
    fuse_reply_statfs(req, &status);
}

/* What a call gives that asks for a length first. */
static void reply_sized(fuse_req_t req, ssize_t got, const char *data, size_t size)
{
    if (got < 0)
        fuse_reply_err(req, (int)-got);
    else if (size == 0)
        fuse_reply_xattr(req, (size_t)got);
    else
        fuse_reply_buf(req, data, (size_t)got);
}

static char attribute[2 * VOLUME_BLOCK_SIZE]; /* more than an inode has */

static void on_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct volume_node *node;
    if (!node_of(req, ino, &node))
        return;
    size_t room = size < sizeof(attribute) ? size : sizeof(attribute);
    ssize_t got = volume_getxattr(node, name, attribute, room);
    volume_node_put(node);
    reply_sized(req, got, attribute, size);
}

static void on_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct volume_node *node;
    if (!node_of(req, ino, &node))
        return;
    size_t room = size < sizeof(attribute) ? size : sizeof(attribute);
    ssize_t got = volume_listxattr(node, attribute, room);
    volume_node_put(node);
    reply_sized(req, got, attribute, size);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup,
    .getattr = on_getattr,
    .readlink = on_readlink,
    .open = on_open,
    .read = on_read,
    .lseek = on_lseek,
    .readdir = on_readdir,
    .statfs = on_statfs,
    .getxattr = on_getxattr,
    .listxattr = on_listxattr,
};

static int mount_failed(const char *dir, const char *why)
{
    fprintf(stderr, "cofre: mounting at %s failed: %s\n", dir, why);
    return EXIT_COFRE;
}

/* A session whose options say what it is: the absolute path of the volume, and the type fuse.cofre. */
static struct fuse_session *session_new(struct volume *v, const char *path)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char *absolute = realpath(path, NULL), *options = NULL, *name = NULL;
    struct fuse_session *session = NULL;
    if (absolute && asprintf(&name, "fsname=%s", absolute) >= 0 &&
        fuse_opt_add_opt(&options, "ro,default_permissions,nosuid,nodev,subtype=cofre") == 0 &&
        fuse_opt_add_opt_escaped(&options, name) == 0 && fuse_opt_add_arg(&args, "cofre") == 0 &&
        fuse_opt_add_arg(&args, "-o") == 0 && fuse_opt_add_arg(&args, options) == 0)
        session = fuse_session_new(&args, &operations, sizeof(operations), v);
    fuse_opt_free_args(&args);
    free(options);
    free(name);
    free(absolute);
    return session;
}

/* Until it is unmounted, or a signal ends it. */
static int serve(struct volume *v, const char *path, const char *dir, bool foreground)
{
    struct fuse_session *session = session_new(v, path);
    if (!session)
        return mount_failed(dir, "there is no memory for it");
    int code = 0;
    if (fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, dir) != 0) {
        code = mount_failed(dir, "FUSE does not let it (its reason is above)");
    } else {
        if (fuse_daemonize(foreground) != 0 || fuse_session_loop(session) < 0)
            code = EXIT_COFRE;
        fuse_session_unmount(session);
    }
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    return code;
}

int volume_cmd_mount(struct tool_options *options, char **operands)
{
    struct volume_file file;
    struct volume *v;
    struct stat status;
    char *dir = realpath(operands[1], NULL);
    if (!dir || stat(dir, &status) < 0 || !S_ISDIR(status.st_mode)) {
        int saved = dir ? ENOTDIR : errno;
        free(dir);
        return mount_failed(operands[1], strerror(saved));
    }
    int code = EXIT_COFRE;
    if (access("/dev/fuse", R_OK | W_OK) < 0)
        mount_failed(operands[1], "/dev/fuse cannot be used (the fuse module, or the container's devices)");
    else
        code = tool_mount(&file, operands[0], options, &v);
    if (code == 0) {
        code = serve(v, operands[0], dir, options->foreground);
        volume_abandon(v);
        volume_file_close(&file);
    }
    free(dir);
    return code;
}

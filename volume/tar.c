/* A tree of a volume as a pax archive, with owners, times, links, devices and extended attributes. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/command.h"
#include "volume/tool.h"

struct tar {
    struct volume *v;
    struct archive *archive;
    struct archive_entry_linkresolver *links;
    char path[PATH_MAX];
    uint8_t buffer[256 * 1024];
    int fd;
};

static int xattrs_add(struct volume_node *node, struct archive_entry *entry)
{
    static char names[VOLUME_BLOCK_SIZE * 2], value[VOLUME_BLOCK_SIZE];
    ssize_t size = volume_listxattr(node, names, sizeof(names));
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        ssize_t n = volume_getxattr(node, names + at, value, sizeof(value));
        if (n < 0)
            return (int)n;
        archive_entry_xattr_add_entry(entry, names + at, value, (size_t)n);
    }
    return size < 0 ? (int)size : 0;
}

static int entry_fill(struct tar *t, struct volume_node *node, struct archive_entry *entry)
{
    const struct volume_inode *i = volume_node_inode(node);
    static char target[VOLUME_BLOCK_SIZE + 1];
    archive_entry_set_pathname(entry, t->path[0] ? t->path : ".");
    archive_entry_set_mode(entry, i->mode);
    archive_entry_set_uid(entry, i->uid);
    archive_entry_set_gid(entry, i->gid);
    archive_entry_set_nlink(entry, i->nlink);
    archive_entry_set_ino64(entry, (int64_t)volume_node_ino(node));
    archive_entry_set_mtime(entry, i->mtime.sec, i->mtime.nsec);
    archive_entry_set_size(entry, S_ISREG(i->mode) ? (int64_t)i->size : 0);
    if (S_ISCHR(i->mode) || S_ISBLK(i->mode))
        archive_entry_set_rdev(entry, (dev_t)i->rdev);
    if (S_ISLNK(i->mode)) {
        ssize_t size = volume_readlink(node, target, sizeof(target) - 1);
        if (size < 0)
            return (int)size;
        target[size] = 0;
        archive_entry_set_symlink(entry, target);
    }
    return xattrs_add(node, entry);
}

static int archive_error(struct tar *t)
{
    fprintf(stderr, "cofre: writing the archive failed: %s\n", archive_error_string(t->archive));
    return TOOL_SAID(EXIT_DISK);
}

static int contents_write(struct tar *t, struct volume_node *node)
{
    uint64_t offset = 0;
    for (;;) {
        ssize_t got = volume_read(node, offset, t->buffer, sizeof(t->buffer));
        if (got <= 0)
            return (int)got;
        if (archive_write_data(t->archive, t->buffer, (size_t)got) != got)
            return archive_error(t);
        offset += (uint64_t)got;
    }
}

static int add_child(void *arg, const char *name, uint64_t ino);

static int add(struct tar *t, struct volume_node *node)
{
    struct archive_entry *entry = archive_entry_new(), *spare = NULL, *written = entry;
    if (!entry)
        return -ENOMEM;
    int err = entry_fill(t, node, entry);
    if (err == 0) {
        archive_entry_linkify(t->links, &written, &spare); /* later names of a file become links to the first */
        if (archive_write_header(t->archive, written) != ARCHIVE_OK)
            err = archive_error(t);
        else if (archive_entry_size(written) > 0)
            err = contents_write(t, node);
    }
    archive_entry_free(entry);
    if (err == 0 && S_ISDIR(volume_node_inode(node)->mode))
        err = tool_entries(node, add_child, t);
    return err;
}

static int add_child(void *arg, const char *name, uint64_t ino)
{
    struct tar *t = arg;
    struct volume_node *node;
    size_t before = strlen(t->path);
    if (before + strlen(name) + 2 > sizeof(t->path))
        return -ENAMETOOLONG;
    sprintf(t->path + before, "%s%s", before ? "/" : "", name);
    int err = volume_node_get(t->v, ino, &node);
    if (err == 0) {
        err = S_ISSOCK(volume_node_inode(node)->mode) ? 0 : add(t, node); /* archives have no sockets */
        volume_node_put(node);
    }
    t->path[before] = 0;
    return err;
}

static int tree_add(const struct tool_options *options, struct volume_file *file, struct tar *t,
                    struct volume_node *node)
{
    struct volume_info info;
    volume_get_info(t->v, &info);
    tool_progress_begin(options, "archiving", 0);
    volume_file_progress(file, info.used_count);
    int err = add(t, node);
    volume_file_progress(file, 0);
    tool_progress_end();
    return err;
}

static int archive_open(struct tar *t, const struct tool_options *options, const char *volume)
{
    t->fd = options->output ? tool_output_open(options->output, options->force, volume) : STDOUT_FILENO;
    if (t->fd < 0)
        return TOOL_SAID(EXIT_COFRE);
    t->archive = archive_write_new();
    t->links = archive_entry_linkresolver_new();
    if (!t->archive || !t->links)
        return -ENOMEM;
    archive_write_set_format_pax_restricted(t->archive);
    archive_entry_linkresolver_set_strategy(t->links, archive_format(t->archive));
    return archive_write_open_fd(t->archive, t->fd) == ARCHIVE_OK ? 0 : archive_error(t);
}

int volume_cmd_tar(struct tool_options *options, char **operands)
{
    static struct tar t;
    struct volume_file file;
    struct volume_node *node;
    int code = tool_mount(&file, operands[0], options, &t.v);
    if (code != 0)
        return code;
    int err = tool_lookup(t.v, operands[1] ? operands[1] : "/", &node);
    if (err == 0)
        err = archive_open(&t, options, operands[0]);
    if (err == 0)
        err = tree_add(options, &file, &t, node);
    if (t.archive && archive_write_close(t.archive) != ARCHIVE_OK && err == 0)
        err = archive_error(&t);
    archive_entry_linkresolver_free(t.links);
    archive_write_free(t.archive);
    if (options->output && t.fd > 0) {
        if (close(t.fd) < 0 && err == 0)
            err = -EIO;
        if (err < 0)
            tool_output_drop(options->output);
    }
    volume_abandon(t.v);
    volume_file_close(&file);
    return err < 0 ? tool_failed(operands[1] ? operands[1] : operands[0], err) : 0;
}

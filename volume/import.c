/* An archive (any that libarchive reads) into a volume: what `cofre volume tar` wrote, or any other tree. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "volume/tool.h"

#define PIECE_SIZE ((size_t)256 * 1024)

/* The directory that a path's last name is in, made if it is not there, and that name. */
static int parent_get(struct volume *v, const char *path, struct volume_node **ret_dir, const char **ret_name,
                      size_t *ret_size)
{
    struct volume_node *at, *next;
    int err = volume_node_get(v, VOLUME_ROOT_INO, &at);
    for (*ret_size = 0; err == 0;) {
        path += strspn(path, "/");
        size_t size = strcspn(path, "/");
        const char *rest = path + size + strspn(path + size, "/");
        if (size == 1 && path[0] == '.') {
            path = rest;
            continue;
        }
        if (size == 2 && path[0] == '.' && path[1] == '.')
            err = -EPERM;
        if (*rest == 0) {
            *ret_name = path;
            *ret_size = size;
            break;
        }
        if (err == 0)
            err = volume_lookup(at, path, size, &next);
        if (err == -ENOENT)
            err = volume_create(at, path, size, S_IFDIR | 0755, 0, (struct volume_owner){0, 0}, &next);
        if (err == 0) {
            volume_node_put(at);
            at = next;
        }
        path = rest;
    }
    *ret_dir = at;
    if (err < 0)
        volume_node_put(at);
    return err;
}

static int node_make(struct volume *v, struct archive_entry *entry, struct volume_node *dir, const char *name,
                     size_t size, struct volume_node **ret_node)
{
    struct volume_owner owner = {(uint32_t)archive_entry_uid(entry), (uint32_t)archive_entry_gid(entry)};
    const char *target = archive_entry_symlink(entry), *link = archive_entry_hardlink(entry);
    uint32_t mode = archive_entry_mode(entry);
    if (link) {
        int err = tool_lookup(v, link, ret_node);
        return err < 0 ? err : volume_link(dir, name, size, *ret_node);
    }
    if (S_ISDIR(mode) && volume_lookup(dir, name, size, ret_node) == 0)
        return S_ISDIR(volume_node_inode(*ret_node)->mode) ? 0 : -ENOTDIR;
    if (target)
        return volume_symlink(dir, name, size, target, strlen(target), owner, ret_node);
    return volume_create(dir, name, size, mode, archive_entry_rdev(entry), owner, ret_node);
}

/* That is the archive's fault, not the volume's. */
static int archive_unreadable(struct archive *archive)
{
    fprintf(stderr, "cofre: reading the archive failed: %s\n", archive_error_string(archive));
    return TOOL_SAID(EXIT_COFRE);
}

/* Piece by piece where they belong: holes stay holes, also one at the end. */
static int contents_copy(struct archive *archive, struct archive_entry *entry, struct volume_node *node)
{
    const void *data;
    size_t size;
    la_int64_t offset;
    int got;
    while ((got = archive_read_data_block(archive, &data, &size, &offset)) >= ARCHIVE_WARN && got != ARCHIVE_EOF)
        for (size_t at = 0; at < size;) {
            ssize_t done = volume_write(node, (uint64_t)offset + at, (const uint8_t *)data + at,
                                        size - at < PIECE_SIZE ? size - at : PIECE_SIZE);
            if (done <= 0)
                return done < 0 ? (int)done : -EIO;
            at += (size_t)done;
        }
    if (got != ARCHIVE_EOF)
        return archive_unreadable(archive);
    uint64_t end = (uint64_t)archive_entry_size(entry);
    return archive_entry_size_is_set(entry) && end > volume_node_inode(node)->size ? volume_truncate(node, end) : 0;
}

static int attributes_set(struct archive_entry *entry, struct volume_node *node)
{
    const char *name;
    const void *value;
    size_t size;
    struct timespec_ns mtime = {archive_entry_mtime(entry), (uint32_t)archive_entry_mtime_nsec(entry)};
    struct inode_attr attr = {.valid = ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME,
                              .mode = archive_entry_mode(entry),
                              .uid = (uint32_t)archive_entry_uid(entry),
                              .gid = (uint32_t)archive_entry_gid(entry),
                              .atime = mtime,
                              .mtime = mtime};
    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
        int err = volume_setxattr(node, name, value, size, 0);
        if (err < 0)
            return err;
    }
    return volume_setattr(node, &attr);
}

static int entry_import(struct volume *v, struct archive *archive, struct archive_entry *entry)
{
    struct volume_node *dir, *node = NULL;
    const char *name;
    size_t size;
    int err = parent_get(v, archive_entry_pathname(entry), &dir, &name, &size);
    if (err < 0)
        return err;
    if (size == 0)
        node = volume_node_ref(dir); /* the root itself */
    else
        err = node_make(v, entry, dir, name, size, &node);
    if (err == 0 && !archive_entry_hardlink(entry)) {
        if (S_ISREG(archive_entry_mode(entry)))
            err = contents_copy(archive, entry, node);
        if (err == 0)
            err = attributes_set(entry, node);
    }
    volume_node_put(node);
    volume_node_put(dir);
    return err;
}

static int archive_import(struct volume *v, const char *path)
{
    struct archive *archive = archive_read_new();
    struct archive_entry *entry;
    int err = 0, got;
    archive_read_support_filter_all(archive);
    archive_read_support_format_all(archive);
    if (archive_read_open_filename(archive, path, 1 << 16) != ARCHIVE_OK)
        err = archive_unreadable(archive);
    while (err == 0 && (got = archive_read_next_header(archive, &entry)) != ARCHIVE_EOF) {
        err = got < ARCHIVE_WARN ? archive_unreadable(archive) : entry_import(v, archive, entry);
        if (err < 0 && err > TOOL_SAID(0)) {
            fprintf(stderr, "cofre: importing %s failed: %s\n", archive_entry_pathname(entry), strerror(-err));
            err = TOOL_SAID(err == -ENOSPC || err == -EIO ? EXIT_DISK : EXIT_COFRE);
        }
    }
    archive_read_free(archive);
    return err;
}

int volume_cmd_import(struct tool_options *options, char **operands)
{
    static const struct volume_options defaults = {0};
    struct volume_file file;
    struct volume *v;
    int code = volume_file_open(&file, operands[0], true);
    if (code != 0)
        return code;
    int err = volume_mount(&file.io, &defaults, tool_unlock, options, &v);
    if (err < 0) {
        volume_file_close(&file);
        return tool_failed(operands[0], err);
    }
    err = archive_import(v, operands[1]);
    int end = volume_unmount(v);
    volume_file_close(&file);
    return err < 0 || end < 0 ? tool_failed(operands[0], err < 0 ? err : end) : 0;
}

/* Applies layers to the merged tree. */
#include "image/layers.h"

#include <archive.h>
#include <archive_entry.h>
#include <err.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "image/erofs_write.h"
#include "image/error.h"
#include "image/spool.h"
#include "image/tree.h"

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define XATTR_VALUE_MAX 65535
#define DEVICE_MAJOR_MAX 0xfff
#define DEVICE_MINOR_MAX 0xfffff

/* One layer being applied. */
struct apply {
    struct layers *layers;
    struct tree *tree;
    struct spool *spool;
    uint32_t layer; /* from 1 */
    struct layer_stream *stream;
    struct archive *archive;
    struct archive_entry *entry;
    char *stream_error;
};

static la_ssize_t archive_read_stream(struct archive *archive, void *context, const void **ret_data)
{
    struct apply *apply = context;
    ssize_t size = layer_stream_read(apply->stream, ret_data, &apply->stream_error);

    if (size < 0)
        archive_set_error(archive, EIO, "%s", apply->stream_error ? apply->stream_error : "out of memory");
    return size;
}

/* Metadata */

static int read_owner(const struct apply *apply, struct inode *inode, char **ret_error)
{
    la_int64_t uid = archive_entry_uid(apply->entry), gid = archive_entry_gid(apply->entry);

    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
        return error_set(ret_error, "owner %lld:%lld is out of range", (long long)uid, (long long)gid);
    inode->uid = (uint32_t)uid;
    inode->gid = (uint32_t)gid;
    return 0;
}

static void read_times(const struct apply *apply, struct inode *inode)
{
    long nsec = archive_entry_mtime_nsec(apply->entry);

    inode->mtime = archive_entry_mtime(apply->entry);
    inode->mtime_nsec = nsec > 0 && nsec < 1000000000 ? (uint32_t)nsec : 0;
    /* "-1.5" comes as -1 and 0.5: libarchive reads the two parts of the number by themselves. */
    if (inode->mtime < 0 && inode->mtime > INT64_MIN && inode->mtime_nsec) {
        inode->mtime--;
        inode->mtime_nsec = 1000000000 - inode->mtime_nsec;
    }
}

static int read_xattrs(const struct apply *apply, struct inode *inode, char **ret_error)
{
    int count = archive_entry_xattr_reset(apply->entry);
    size_t kept = 0;
    const char *name;
    const void *value;
    size_t size;

    free(inode->xattrs);
    inode->xattrs = NULL;
    if (count == 0)
        return 0;
    struct xattr *items = calloc((size_t)count, sizeof(*items));
    if (!items)
        err(1, "layer");
    while (archive_entry_xattr_next(apply->entry, &name, &value, &size) == ARCHIVE_OK) {
        if (!name || !erofs_xattr_supported(name)) {
            apply->layers->xattrs_dropped++;
            continue;
        }
        if (size > XATTR_VALUE_MAX) {
            free(items);
            return error_set(ret_error, "extended attribute %s has more than %d bytes", name, XATTR_VALUE_MAX);
        }
        items[kept++] = (struct xattr){.name = name, .value = value, .size = size};
    }
    inode->xattrs = xattrs_new(items, kept);
    free(items);
    if (erofs_xattrs_size(inode->xattrs) > EROFS_XATTRS_SIZE_MAX)
        return error_set(ret_error, "its extended attributes take more than %d bytes", EROFS_XATTRS_SIZE_MAX);
    return 0;
}

static int read_metadata(const struct apply *apply, struct inode *inode, char **ret_error)
{
    inode->mode = (inode->mode & S_IFMT) | (archive_entry_perm(apply->entry) & 07777);
    read_times(apply, inode);
    if (read_owner(apply, inode, ret_error) < 0)
        return -1;
    return read_xattrs(apply, inode, ret_error);
}

/* Contents */

static int read_contents(struct apply *apply, struct inode *inode, char **ret_error)
{
    struct spool_place place;
    const void *data;
    size_t size;
    la_int64_t offset;
    int result;

    la_int64_t declared = archive_entry_size(apply->entry);
    uint64_t room = apply->layers->limits.size_max - apply->layers->file_size;
    if (declared < 0 || (uint64_t)declared > room)
        return error_set(ret_error, "files together are larger than the limit of %llu bytes",
                         (unsigned long long)apply->layers->limits.size_max);
    apply->layers->file_size += (uint64_t)declared;
    inode->size = (uint64_t)declared;
    uint64_t tail = inode->size % SPOOL_BLOCK_SIZE;
    inode->tail_inline = tail && erofs_tail_fits(inode->xattrs, tail);
    if (spool_begin(apply->spool, inode->size, inode->tail_inline, ret_error) < 0)
        return -1;
    while ((result = archive_read_data_block(apply->archive, &data, &size, &offset)) == ARCHIVE_OK) {
        if (size && spool_write(apply->spool, (uint64_t)offset, data, size, ret_error) < 0)
            return -1;
    }
    if (result != ARCHIVE_EOF)
        return error_set(ret_error, "%s", archive_error_string(apply->archive));
    if (spool_end(apply->spool, &place, ret_error) < 0)
        return -1;
    inode->block = place.block;
    inode->block_count = place.block_count;
    inode->tail_offset = place.tail_offset;
    return 0;
}

/* Kinds of entries */

static int fill_symlink(struct apply *apply, struct inode *inode, char **ret_error)
{
    const char *target = archive_entry_symlink(apply->entry);

    if (!target || !*target)
        return error_set(ret_error, "a symbolic link without a target");
    if (strlen(target) > TREE_PATH_MAX)
        return error_set(ret_error, "the target of the symbolic link is longer than %d bytes", TREE_PATH_MAX);
    inode->target = strdup(target);
    if (!inode->target)
        err(1, "layer");
    inode->size = strlen(target);
    return 0;
}

static int fill_device(struct apply *apply, struct inode *inode, char **ret_error)
{
    uint64_t major = archive_entry_rdevmajor(apply->entry), minor = archive_entry_rdevminor(apply->entry);

    if (major > DEVICE_MAJOR_MAX || minor > DEVICE_MINOR_MAX)
        return error_set(ret_error, "device number %llu:%llu is out of range", (unsigned long long)major,
                         (unsigned long long)minor);
    inode->rdev_major = (uint32_t)major;
    inode->rdev_minor = (uint32_t)minor;
    return 0;
}

static int fill_inode(struct apply *apply, struct inode *inode, char **ret_error)
{
    if (read_metadata(apply, inode, ret_error) < 0)
        return -1;
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        return read_contents(apply, inode, ret_error);
    case S_IFLNK:
        return fill_symlink(apply, inode, ret_error);
    case S_IFCHR:
    case S_IFBLK:
        return fill_device(apply, inode, ret_error);
    case S_IFDIR:
    case S_IFIFO:
        return 0;
    default:
        return error_set(ret_error, "an entry of an unknown type (%o)", inode->mode & S_IFMT);
    }
}

/* A directory that is there already takes the new metadata and keeps what is in it. */
static int apply_directory(struct apply *apply, struct inode *dir, const char *name, char **ret_error)
{
    struct dentry *dentry = dir_lookup(dir, name);

    if (dentry && S_ISDIR(dentry->inode->mode)) {
        dentry->layer = apply->layer;
        return read_metadata(apply, dentry->inode, ret_error);
    }
    if (dentry)
        dir_remove(apply->tree, dir, dentry);
    struct inode *inode = inode_new(apply->tree, S_IFDIR);
    dir_insert(dir, name, inode, apply->layer);
    return read_metadata(apply, inode, ret_error);
}

static int apply_other(struct apply *apply, struct inode *dir, const char *name, char **ret_error)
{
    struct inode *inode = inode_new(apply->tree, archive_entry_filetype(apply->entry));

    if (fill_inode(apply, inode, ret_error) < 0) {
        inode_put(apply->tree, inode);
        return -1;
    }
    struct dentry *old = dir_lookup(dir, name);
    if (old)
        dir_remove(apply->tree, dir, old);
    dir_insert(dir, name, inode, apply->layer);
    return 0;
}

/* The inode that a hard link names; absolute targets count from the root, as they do in the archive. */
static struct inode *link_target(struct apply *apply, const char *path, char **ret_error)
{
    char name[TREE_NAME_MAX + 1];
    struct inode *dir;
    int result = tree_resolve(apply->tree, path, TREE_FOLLOW_CHECKED, apply->layer, false, &dir, name, ret_error);

    struct dentry *dentry = result == 0 ? dir_lookup(dir, name) : NULL;
    if (dentry && !S_ISDIR(dentry->inode->mode))
        return dentry->inode;
    if (result < 0)
        error_wrap(ret_error, "hard link to \"%s\"", path);
    else if (dentry || (result == 0 && !*name))
        error_set(ret_error, "hard link to \"%s\", which is a directory", path);
    else
        error_set(ret_error, "hard link to \"%s\", which does not exist", path);
    return NULL;
}

static int apply_link(struct apply *apply, struct inode *dir, const char *name, const char *target, char **ret_error)
{
    struct inode *inode = link_target(apply, target, ret_error);
    struct dentry *old = dir_lookup(dir, name);

    if (!inode)
        return -1;
    if (!old || old->inode != inode) {
        /* Counted first: what is replaced may be a directory that holds the target. */
        inode->dentry_count++;
        if (old)
            dir_remove(apply->tree, dir, old);
        dir_insert(dir, name, inode, apply->layer);
        inode->dentry_count--;
    }
    if (!S_ISLNK(inode->mode))
        inode->mode = (inode->mode & S_IFMT) | (archive_entry_perm(apply->entry) & 07777);
    read_times(apply, inode);
    if (read_owner(apply, inode, ret_error) < 0)
        return -1;
    if (!S_ISREG(inode->mode) || archive_entry_size(apply->entry) <= 0)
        return 0;
    apply->tree->dead_block_count += inode->block_count;
    inode->block_count = 0;
    return read_contents(apply, inode, ret_error);
}

static int apply_whiteout(struct apply *apply, struct inode *dir, const char *name, char **ret_error)
{
    const char *hidden = name + strlen(WHITEOUT_PREFIX);

    if (strcmp(name, WHITEOUT_OPAQUE) == 0) {
        dir_purge(apply->tree, dir, apply->layer);
        return 0;
    }
    if (strncmp(name, WHITEOUT_META, strlen(WHITEOUT_META)) == 0)
        return 0; /* bookkeeping of old storage drivers */
    if (!*hidden || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
        return error_set(ret_error, "a whiteout of nothing");
    struct dentry *dentry = dir_lookup(dir, hidden);
    if (dentry)
        dentry_purge(apply->tree, dir, dentry, apply->layer);
    return 0;
}

static bool is_absolute(const char *path)
{
    return path[0] == '/' && path[strspn(path, "/.")] != 0;
}

/* True for what lies below a whiteout: only old storage drivers' bookkeeping may. */
static bool is_below_whiteout(const char *path)
{
    for (const char *at = path; (at = strstr(at, WHITEOUT_PREFIX)); at++) {
        const char *slash = strchr(at, '/');
        if ((at == path || at[-1] == '/') && slash && slash[strspn(slash, "/")])
            return true;
    }
    return false;
}

static int apply_entry(struct apply *apply, const char *path, char **ret_error)
{
    char name[TREE_NAME_MAX + 1];
    struct inode *dir;

    if (is_absolute(path))
        return error_set(ret_error, "the path is absolute");
    if (is_below_whiteout(path))
        return strstr(path, WHITEOUT_META "plnk/") || strstr(path, WHITEOUT_META "orph/")
                   ? 0
                   : error_set(ret_error, "the path goes through a whiteout");
    const char *last = strrchr(path, '/');
    bool whiteout = strncmp(last ? last + 1 : path, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0;
    int result = tree_resolve(apply->tree, path, TREE_FOLLOW_CHECKED, apply->layer, !whiteout, &dir, name, ret_error);
    if (result < 0)
        return -1;
    if (result > 0)
        return 0; /* a whiteout of what is not there */
    if (strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
        return apply_whiteout(apply, dir, name, ret_error);
    const char *link = archive_entry_hardlink(apply->entry);
    bool is_directory = !link && archive_entry_filetype(apply->entry) == AE_IFDIR;
    if (!*name)
        return is_directory ? read_metadata(apply, dir, ret_error)
                            : error_set(ret_error, "the root is not a directory");
    if (link)
        return apply_link(apply, dir, name, link, ret_error);
    return is_directory ? apply_directory(apply, dir, name, ret_error) : apply_other(apply, dir, name, ret_error);
}

/*
 * A name that is not ASCII makes libarchive warn that it cannot be converted; it then gives the bytes, which is what is
 * wanted. Access control lists as text (not those in extended attributes) are not looked at, as no engine does. Other
 * warnings are of headers that it did not understand.
 */
static bool header_is_good(const struct apply *apply, int result)
{
    const char *reason = archive_error_string(apply->archive);

    return result == ARCHIVE_OK ||
           (result == ARCHIVE_WARN && reason && (strstr(reason, "be converted from") || strstr(reason, "ACL")));
}

static int apply_entries(struct apply *apply, char **ret_error)
{
    struct layers *layers = apply->layers;
    int result;

    while ((result = archive_read_next_header(apply->archive, &apply->entry)) != ARCHIVE_EOF) {
        if (!header_is_good(apply, result))
            return error_set(ret_error, "%s", archive_error_string(apply->archive));
        const char *path = archive_entry_pathname(apply->entry);
        if (++layers->entry_count > layers->limits.entry_max)
            return error_set(ret_error, "the layers have more than %llu entries",
                             (unsigned long long)layers->limits.entry_max);
        if (!path)
            return error_set(ret_error, "an entry without a name");
        if (apply_entry(apply, path, ret_error) < 0)
            return error_wrap(ret_error, "entry \"%.256s%s\"", path, strlen(path) > 256 ? "..." : "");
    }
    return 0;
}

static int apply_archive(struct apply *apply, char **ret_error)
{
    apply->archive = archive_read_new();
    if (!apply->archive)
        err(1, "layer");
    archive_read_support_format_tar(apply->archive);
    int result = -1;
    if (archive_read_open(apply->archive, apply, NULL, archive_read_stream, NULL) != ARCHIVE_OK)
        error_set(ret_error, "%s", archive_error_string(apply->archive));
    else
        result = apply_entries(apply, ret_error);
    archive_read_free(apply->archive);
    return result;
}

int layers_apply(struct layers *layers, const struct layer_source *source, char **ret_error)
{
    struct stream_limits limits = {
        .size_max = layers->limits.size_max - layers->unpacked_size,
        .ratio_max = layers->limits.ratio_max,
    };
    struct apply apply = {
        .layers = layers,
        .tree = layers->tree,
        .spool = layers->spool,
        .layer = ++layers->layer_count,
        .stream = layer_stream_new(&source->blob, &limits, layers->progress),
    };
    /* Names are bytes: in any other locale libarchive would normalise what looks like UTF-8. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), old = uselocale(plain);

    int result = apply_archive(&apply, ret_error);
    uselocale(old);
    freelocale(plain);
    char *finish_error = NULL;
    if (layer_stream_finish(apply.stream, source->digest, source->diff_id, &finish_error) < 0) {
        error_set(ret_error, "%s", finish_error ? finish_error : "out of memory");
        result = -1;
    }
    free(finish_error);
    layers->unpacked_size += layer_stream_size(apply.stream);
    layer_stream_free(apply.stream);
    free(apply.stream_error);
    if (result < 0)
        return error_wrap(ret_error, "layer %u%s%s%s", apply.layer, source->digest ? " (" : "",
                          source->digest ? source->digest : "", source->digest ? ")" : "");
    return 0;
}

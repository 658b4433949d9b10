/* The upper layer of the root on a volume: covers, their records, and opening it (volumefs_upper.h). */
#include "kernel/fs/volumefs_upper.h"

#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/fs/erofs.h"
#include "kernel/fs/upper_records.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define PATH_SIZE 4096
#define COPY_PAGES 16
#define NEW "new" /* in /covers, until it is whole */

/* ---- the table of covers ---- */

static struct upper_cover *cover_by_ino(const struct volumefs *fs, uint64_t ino)
{
    struct upper_cover *c;
    LIST_FOREACH (c, &fs->upper->by_ino[ino % UPPER_BUCKETS], ino_link)
        if (c->ino == ino)
            return c;
    return NULL;
}

static struct upper_cover *cover_by_nid(const struct volumefs *fs, uint64_t nid)
{
    struct upper_cover *c;
    LIST_FOREACH (c, &fs->upper->by_nid[nid % UPPER_BUCKETS], nid_link)
        if (c->nid == nid)
            return c;
    return NULL;
}

void upper_forget(struct volumefs *fs, uint64_t ino)
{
    struct upper_cover *c = cover_by_ino(fs, ino);
    if (!c)
        return;
    LIST_REMOVE(c, ino_link);
    LIST_REMOVE(c, nid_link);
    kfree(c);
}

static struct upper_cover *cover_new(const struct upper_record *record, const char *path)
{
    struct upper_cover *c = kmalloc(sizeof(*c) + record->path_size + 1U);
    if (!c)
        return NULL;
    c->ino = record->ino;
    c->nid = record->nid;
    c->generation = record->generation;
    memcpy(c->path, path, record->path_size);
    c->path[record->path_size] = 0;
    return c;
}

static void cover_insert(struct volumefs *fs, struct upper_cover *c)
{
    upper_forget(fs, c->ino);
    LIST_INSERT_HEAD(&fs->upper->by_ino[c->ino % UPPER_BUCKETS], c, ino_link);
    LIST_INSERT_HEAD(&fs->upper->by_nid[c->nid % UPPER_BUCKETS], c, nid_link);
}

bool upper_is_cover(const struct volumefs *fs, uint64_t ino)
{
    return cover_by_ino(fs, ino) != NULL;
}

bool upper_covered(const struct volumefs *fs, uint64_t nid)
{
    return cover_by_nid(fs, nid) != NULL;
}

int upper_remember(struct volumefs *fs, const struct upper_record *record, const char *path)
{
    struct upper_cover *c = cover_new(record, path);
    if (!c)
        return -ENOMEM;
    cover_insert(fs, c);
    return 0;
}

uint64_t upper_number(const struct volumefs *fs, uint64_t ino)
{
    const struct upper_cover *c = cover_by_ino(fs, ino);
    return c ? c->nid : ino + UPPER_NUMBERS;
}

/* ---- inodes in memory ---- */

struct below {
    struct inode *lower;
    unsigned count;
    int error;
};

static bool count_hidden(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    struct below *b = arg;
    struct inode *inode;
    char copy[256];
    if (next_pos <= 2)
        return true;
    memcpy(copy, name, size);
    copy[size] = 0;
    int error = b->lower->ops->lookup(b->lower, copy, &inode);
    if (error == 0) {
        b->count += S_ISDIR(inode->mode);
        inode_put(inode);
    } else if (error != -ENOENT) {
        b->error = error;
    }
    return b->error == 0;
}

/* How many of the image's directories are seen in a directory. */
static int count_below(struct volumefs_inode *vi)
{
    struct below b = {.lower = vi->lower};
    int64_t pos = 0;
    int error = volume_readdir(vi->node, &pos, count_hidden, &b);
    unsigned all = vi->lower->nlink > 2 ? vi->lower->nlink - 2 : 0;
    vi->below_dirs = all > b.count ? all - b.count : 0;
    return error < 0 ? error : b.error;
}

int upper_attach(struct volumefs *fs, struct volumefs_inode *vi)
{
    const struct upper_cover *c = cover_by_ino(fs, volume_node_ino(vi->node));
    uint32_t mode = volume_node_inode(vi->node)->mode;
    if (!c)
        return 0;
    int error = erofs_inode_get(container_of(fs->upper->lower, struct erofs, sb), c->nid, &vi->lower);
    if (error < 0)
        return error;
    if (S_ISREG(mode)) {
        ssize_t n = volume_getxattr(vi->node, UPPER_LOWER_DATA, NULL, 0);
        vi->lower_data = n >= 0;
        return n < 0 && n != -ENODATA ? (int)n : 0;
    }
    return S_ISDIR(mode) ? count_below(vi) : 0;
}

int upper_get_lower(struct volumefs *fs, struct volumefs_inode *parent, const char *name, struct inode *lower,
                    struct inode **ret_inode)
{
    struct volumefs_inode *vi = volumefs_find(fs, lower->ino);
    const struct upper_cover *c = cover_by_nid(fs, lower->ino);
    struct volume_node *node;
    if (vi || c) {
        inode_put(lower);
        if (vi) {
            *ret_inode = inode_get(&vi->inode);
            return 0;
        }
        int error = volume_node_get(fs->volume, c->ino, &node);
        return error < 0 ? error : volumefs_get(fs, node, ret_inode);
    }
    vi = volumefs_inode_new(fs, lower->ino);
    if (!vi) {
        inode_put(lower);
        return -ENOMEM;
    }
    struct inode *inode = &vi->inode;
    inode_attr_copy(inode, lower);
    vi->lower = lower;
    vi->lower_data = S_ISREG(lower->mode);
    volumefs_set_ops(inode);
    vi->lower_name = kstrdup(name);
    if (!vi->lower_name) {
        inode_put(inode);
        return -ENOMEM;
    }
    if (parent) {
        vi->lower_parent = parent;
        inode_get(&parent->inode);
    }
    *ret_inode = inode;
    return 0;
}

/* The path in the image, into the end of buf; NULL: too long. */
static const char *lower_path(struct volumefs *fs, const struct volumefs_inode *vi, char buf[PATH_SIZE])
{
    char *at = buf + PATH_SIZE - 1;
    *at = 0;
    for (; vi; vi = vi->lower_parent) {
        const struct upper_cover *c = vi->node ? cover_by_ino(fs, volume_node_ino(vi->node)) : NULL;
        const char *part = c ? c->path : vi->lower_name;
        if (!part)
            return NULL; /* gone */
        size_t size = strlen(part);
        bool slash = !c && vi->lower_parent;
        if (c && size == 1 && *at)
            break; /* the root */
        if ((size_t)(at - buf) < size + slash)
            return NULL;
        at -= size;
        memcpy(at, part, size);
        if (slash)
            *--at = '/';
        if (c)
            break;
    }
    return at;
}

/* ---- making covers ---- */

static int make_node(struct volumefs *fs, const struct volumefs_inode *vi, struct volume_node **ret_node)
{
    struct inode *lower = vi->lower;
    struct volume_owner owner = {lower->uid, lower->gid};
    if (S_ISCHR(lower->mode) && lower->rdev == 0)
        return -EPERM; /* would be taken for a whiteout */
    if (!S_ISLNK(lower->mode))
        return volume_create(fs->upper->covers, NEW, strlen(NEW), lower->mode,
                             S_ISCHR(lower->mode) || S_ISBLK(lower->mode) ? lower->rdev : 0, owner, ret_node);
    char *target = page_alloc();
    if (!target)
        return -ENOMEM;
    ssize_t n = lower->ops->readlink(lower, target, PAGE_SIZE);
    int error =
        n < 0 ? (int)n : volume_symlink(fs->upper->covers, NEW, strlen(NEW), target, (size_t)n, owner, ret_node);
    page_free(target);
    return error;
}

static int copy_xattrs(struct inode *lower, struct volume_node *node)
{
    if (!lower->ops->listxattr || lower->ops->listxattr(lower, NULL, 0) <= 0)
        return 0;
    char *names = page_alloc(), *value = page_alloc();
    ssize_t size = names && value ? lower->ops->listxattr(lower, names, PAGE_SIZE) : -ENOMEM;
    int error = size < 0 ? (int)size : 0;
    for (const char *name = names; error == 0 && name < names + size; name += strlen(name) + 1) {
        ssize_t n = lower->ops->getxattr(lower, name, value, PAGE_SIZE);
        error = n < 0 ? (int)n : volume_setxattr(node, name, value, (size_t)n, 0);
    }
    page_free(names);
    page_free(value);
    return error;
}

static int copy_attributes(const struct volumefs_inode *vi, struct volume_node *node)
{
    const struct inode *from = &vi->inode;
    const struct inode_attr attr = {.valid = ATTR_MODE | ATTR_ATIME | ATTR_MTIME | ATTR_CTIME,
                                    .mode = from->mode & 07777,
                                    .atime = from->atime,
                                    .mtime = from->mtime,
                                    .ctime = from->ctime};
    int error = copy_xattrs(vi->lower, node);
    if (error == 0 && S_ISREG(from->mode))
        error = volume_setxattr(node, UPPER_LOWER_DATA, "", 0, 0);
    if (error == 0 && S_ISREG(from->mode))
        error = volume_truncate(node, (uint64_t)from->size);
    return error < 0 ? error : volume_setattr(node, &attr);
}

static int append_record(struct volumefs *fs, const struct upper_cover *c)
{
    struct volumefs_upper *upper = fs->upper;
    struct upper_record record = {
        .ino = c->ino, .nid = c->nid, .generation = c->generation, .path_size = (uint16_t)strlen(c->path)};
    size_t size = UPPER_RECORD_SIZE(record.path_size);
    uint8_t *buf = kmalloc(size);
    if (!buf)
        return -ENOMEM;
    upper_record_put(buf, &record, c->path);
    ssize_t n = volume_write(upper->records, upper->records_size, buf, size);
    kfree(buf);
    if (n != (ssize_t)size)
        return n < 0 ? (int)n : -EIO;
    volume_fsync_along(upper->records);
    upper->records_size += size;
    return 0;
}

int upper_record(struct volumefs *fs, uint64_t ino)
{
    return append_record(fs, cover_by_ino(fs, ino));
}

static void home_name(char *buf, uint64_t ino, unsigned number)
{
    snprintf(buf, 32, "%lx.%u", (unsigned long)ino, number);
}

/* The names of a new cover in /covers, one for each that the image has. */
static int name_cover(struct volumefs *fs, struct volume_node *node, unsigned count)
{
    struct volume_node *covers = fs->upper->covers;
    char name[32];
    home_name(name, volume_node_ino(node), 0);
    int error = volume_rename(covers, NEW, strlen(NEW), covers, name, strlen(name), 0, (struct volume_owner){0, 0});
    for (unsigned i = 1; error == 0 && i < count; i++) {
        home_name(name, volume_node_ino(node), i);
        error = volume_link(covers, name, strlen(name), node);
    }
    return error;
}

static struct upper_cover *describe(struct volumefs *fs, const struct volumefs_inode *vi,
                                    const struct volume_node *node)
{
    char *buf = page_alloc();
    const char *path = buf ? lower_path(fs, vi, buf) : NULL;
    struct upper_cover *c = NULL;
    if (path) {
        struct upper_record record = {.ino = volume_node_ino(node),
                                      .nid = vi->lower->ino,
                                      .generation = volume_node_inode(node)->generation,
                                      .path_size = (uint16_t)strlen(path)};
        c = cover_new(&record, path);
    }
    page_free(buf);
    return c;
}

static int own_held(struct volumefs *fs, struct volumefs_inode *vi)
{
    struct volume_node *node;
    int error = make_node(fs, vi, &node);
    if (error < 0)
        return error;
    struct upper_cover *c = describe(fs, vi, node);
    error = c ? copy_attributes(vi, node) : -ENOMEM;
    if (error == 0)
        error = append_record(fs, c);
    if (error == 0)
        error = name_cover(fs, node, S_ISDIR(vi->inode.mode) ? 1 : vi->lower->nlink);
    if (error < 0) {
        (void)!upper_discard(fs, NEW);
        volume_node_put(node);
        kfree(c);
        return error;
    }
    cover_insert(fs, c);
    vi->node = node;
    if (S_ISDIR(vi->inode.mode))
        vi->below_dirs = vi->lower->nlink > 2 ? vi->lower->nlink - 2 : 0;
    volumefs_refresh(vi);
    return 0;
}

/* An open file without a name: what becomes of it nobody will know, but it is written. */
static int own_nameless(struct volumefs *fs, struct volumefs_inode *vi)
{
    struct volume_node *node;
    if (!S_ISREG(vi->inode.mode))
        return -ENOENT;
    int error = volume_tmpfile(fs->volume, vi->inode.mode, (struct volume_owner){vi->inode.uid, vi->inode.gid}, &node);
    if (error < 0)
        return error;
    error = copy_attributes(vi, node);
    if (error < 0) {
        volume_node_put(node);
        return error;
    }
    vi->node = node;
    volumefs_refresh(vi);
    return 0;
}

int upper_own(struct volumefs_inode *vi)
{
    struct volumefs *fs = volumefs(vi->inode.sb);
    if (vi->node)
        return 0;
    if (fs->sb.flags & MS_RDONLY)
        return -EROFS;
    if (vi->gone || vi->inode.nlink == 0)
        return own_nameless(fs, vi);
    int error = volume_hold(fs->volume, UPPER_HOLD);
    if (error < 0)
        return error;
    error = own_held(fs, vi);
    volume_release(fs->volume);
    return error;
}

static int copy_contents(struct volumefs_inode *vi, uint64_t size)
{
    uint8_t *buf = page_alloc_many(COPY_PAGES);
    int error = buf ? 0 : -ENOMEM;
    for (uint64_t at = 0; error == 0 && at < size;) {
        uint64_t part = MIN(size - at, COPY_PAGES * PAGE_SIZE);
        for (uint64_t page = 0; error == 0 && page * PAGE_SIZE < part; page++)
            error = vi->lower->ops->read_page(vi->lower, at / PAGE_SIZE + page, buf + page * PAGE_SIZE);
        ssize_t n = error < 0 ? error : volume_write(vi->node, at, buf, part);
        error = n == (ssize_t)part ? 0 : n < 0 ? (int)n : -EIO;
        at += part;
    }
    if (buf)
        page_free_many(buf, COPY_PAGES);
    return error;
}

int upper_own_data(struct volumefs_inode *vi, uint64_t keep)
{
    struct volumefs *fs = volumefs(vi->inode.sb);
    uint64_t size = (uint64_t)vi->inode.size;
    const struct inode_attr attr = {
        .valid = ATTR_MTIME | ATTR_CTIME, .mtime = vi->inode.mtime, .ctime = vi->inode.ctime};
    int error = upper_own(vi);
    if (error < 0 || !vi->lower_data)
        return error;
    keep = MIN(keep, size);
    error = copy_contents(vi, keep);
    if (error == 0)
        error = volume_hold(fs->volume, UPPER_HOLD);
    if (error < 0)
        return error;
    volume_fsync_along(vi->node); /* the copy is durable when the mark's removal is */
    if (keep < size)
        error = volume_truncate(vi->node, keep);
    if (error == 0)
        error = volume_setattr(vi->node, &attr);
    if (error == 0)
        error = volume_removexattr(vi->node, UPPER_LOWER_DATA);
    volume_release(fs->volume);
    vi->lower_data = error < 0;
    volumefs_refresh(vi);
    return error;
}

/* ---- names in /covers ---- */

static bool has_name(struct volume_node *dir, const char *name, struct volume_node **ret_node)
{
    return volume_lookup(dir, name, strlen(name), ret_node) == 0;
}

int upper_home(struct volumefs *fs, struct volumefs_inode *vi, char *ret_name)
{
    unsigned count = S_ISDIR(vi->inode.mode) ? 1 : vi->lower->nlink;
    while (count-- > 0) {
        struct volume_node *node;
        home_name(ret_name, volume_node_ino(vi->node), count);
        if (!has_name(fs->upper->covers, ret_name, &node))
            continue;
        bool same = node == vi->node;
        volume_node_put(node);
        if (same)
            return 0;
    }
    return -ENOENT;
}

bool upper_is_whiteout(const struct volume_node *node)
{
    const struct volume_inode *inode = volume_node_inode(node);
    return S_ISCHR(inode->mode) && inode->rdev == 0;
}

static bool first_name(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    if (next_pos <= 2)
        return true;
    memcpy(arg, name, size);
    ((char *)arg)[size] = 0;
    return false;
}

int upper_discard(struct volumefs *fs, const char *name)
{
    struct volume_node *covers = fs->upper->covers, *node;
    int error = volume_lookup(covers, name, strlen(name), &node);
    if (error < 0)
        return error == -ENOENT ? 0 : error;
    bool is_dir = S_ISDIR(volume_node_inode(node)->mode);
    while (is_dir && error == 0 && volume_node_inode(node)->entry_count > 0) {
        char entry[256] = "";
        int64_t pos = 0;
        error = volume_readdir(node, &pos, first_name, entry);
        if (error == 0)
            error = volume_unlink(node, entry, strlen(entry));
    }
    volume_node_put(node);
    if (error < 0)
        return error;
    return is_dir ? volume_rmdir(covers, name, strlen(name)) : volume_unlink(covers, name, strlen(name));
}

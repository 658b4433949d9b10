/*
 * Opening a volume as the root's upper layer (volumefs_upper.h), and taking it over to another root image. Nothing that
 * is found wrong has been written over: what changes is held back until all of it is there.
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/magic.h>

#include "kernel/fs/upper_records.h"
#include "kernel/fs/volumefs_upper.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define HOMES_MAX 65536U
static const struct volume_owner root_owner = {0, 0};

static int root_node(struct volumefs *fs, struct volume_node **ret_node)
{
    return volume_node_get(fs->volume, VOLUME_ROOT_INO, ret_node);
}

/* ---- the records ---- */

/* An empty file of records in the volume's root, for this image. */
static int records_new(struct volumefs *fs, const char *name, const uint8_t image[32], struct volume_node **ret_node)
{
    struct upper_header header = {.magic = UPPER_MAGIC, .version = UPPER_VERSION};
    struct volume_node *root;
    int error = root_node(fs, &root);
    if (error < 0)
        return error;
    memcpy(header.image, image, sizeof(header.image));
    error = volume_create(root, name, strlen(name), S_IFREG | 0600, 0, root_owner, ret_node);
    volume_node_put(root);
    if (error < 0)
        return error;
    ssize_t n = volume_write(*ret_node, 0, &header, sizeof(header));
    if (n != (ssize_t)sizeof(header)) {
        volume_node_put(*ret_node);
        return n < 0 ? (int)n : -EIO;
    }
    volume_fsync_along(*ret_node);
    return 0;
}

static int make_empty(struct volumefs *fs, const uint8_t image[32])
{
    struct volume_node *root;
    int error = root_node(fs, &root);
    if (error == 0 && volume_node_inode(root)->entry_count > 0)
        error = -EINVAL; /* somebody else's volume */
    if (error == 0)
        error = volume_create(root, "covers", 6, S_IFDIR | 0700, 0, root_owner, &fs->upper->covers);
    if (error == 0)
        error = records_new(fs, "lower", image, &fs->upper->records);
    volume_node_put(root);
    fs->upper->records_size = sizeof(struct upper_header);
    return error;
}

static int take_record(struct volumefs *fs, const struct upper_record *record, const char *path)
{
    struct volume_node *node;
    upper_forget(fs, record->ino); /* the number was used again since */
    int error = volume_node_get(fs->volume, record->ino, &node);
    if (error < 0)
        return error == -ENOENT ? 0 : error;
    bool alive = volume_node_inode(node)->generation == record->generation;
    volume_node_put(node);
    return alive ? upper_remember(fs, record, path) : 0;
}

static int load_records(struct volumefs *fs, uint8_t ret_image[32])
{
    struct volumefs_upper *upper = fs->upper;
    uint64_t size = volume_node_inode(upper->records)->size;
    if (size > UPPER_RECORDS_MAX)
        return -EUCLEAN;
    uint8_t *data = kmalloc(size + 1);
    if (!data)
        return -ENOMEM;
    ssize_t n = volume_read(upper->records, 0, data, size);
    int error = n < 0 ? (int)n : n != (ssize_t)size ? -EIO : upper_header_check(data, size);
    size_t offset = sizeof(struct upper_header);
    for (int more = error == 0; more > 0;) {
        struct upper_record record;
        const char *path;
        more = upper_record_next(data, size, &offset, &record, &path);
        error = more > 0 ? take_record(fs, &record, path) : more;
        more = error < 0 ? 0 : more;
    }
    if (error == 0)
        memcpy(ret_image, ((struct upper_header *)(void *)data)->image, 32);
    upper->records_size = size;
    kfree(data);
    return error;
}

/* ---- /covers ---- */

struct leftover {
    struct volumefs *fs;
    char name[256];
    bool (*match)(struct volumefs *fs, const char *name);
};

static bool find_leftover(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    struct leftover *l = arg;
    if (next_pos <= 2)
        return true;
    memcpy(l->name, name, size);
    l->name[size] = 0;
    if (!l->match(l->fs, l->name))
        l->name[0] = 0;
    return l->name[0] == 0;
}

/* Names in /covers that match are discarded. */
static int discard_all(struct volumefs *fs, bool (*match)(struct volumefs *fs, const char *name))
{
    struct leftover l = {.fs = fs, .match = match};
    for (;;) {
        int64_t pos = 0;
        l.name[0] = 0;
        int error = volume_readdir(fs->upper->covers, &pos, find_leftover, &l);
        if (error == 0 && l.name[0] == 0)
            return 0;
        if (error == 0)
            error = upper_discard(fs, l.name);
        if (error < 0)
            return error;
    }
}

static bool is_leftover(struct volumefs *fs, const char *name)
{
    return strcmp(name, "new") == 0 || strncmp(name, "gone.", 5) == 0;
}

static bool is_orphan(struct volumefs *fs, const char *name)
{
    uint64_t ino = 0;
    for (const char *p = name; *p && *p != '.'; p++)
        ino = ino << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    return !upper_is_cover(fs, ino);
}

/* ---- another image ---- */

struct moving {
    struct upper_cover **all; /* sorted by path: directories before what is in them */
    size_t count;
};

static int path_order(const void *a, const void *b)
{
    const struct upper_cover *const *x = a, *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

/* Heap sort: bounded, in place. */
static void sort(struct upper_cover **all, size_t count)
{
    for (size_t built = 1, end = count; end > 1;) {
        size_t at = built < count ? built++ : 0;
        if (at > 0) { /* grow the heap */
            for (size_t up; at > 0 && path_order(&all[up = (at - 1) / 2], &all[at]) < 0; at = up) {
                struct upper_cover *t = all[at];
                all[at] = all[up];
                all[up] = t;
            }
            continue;
        }
        struct upper_cover *last = all[--end];
        all[end] = all[0];
        for (size_t child; (child = 2 * at + 1) < end; at = child) { /* sift the last one down */
            if (child + 1 < end && path_order(&all[child], &all[child + 1]) < 0)
                child++;
            if (path_order(&last, &all[child]) >= 0)
                break;
            all[at] = all[child];
        }
        all[at] = last;
    }
}

/* What the image has at a path; no links are followed. */
static int resolve(struct super_block *lower, const char *path, struct inode **ret_inode)
{
    struct inode *at = inode_get(lower->root);
    while (*path == '/' && path[1]) {
        const char *end = strchr(path + 1, '/');
        size_t size = end ? (size_t)(end - path - 1) : strlen(path + 1);
        char name[256];
        struct inode *next;
        int error = size == 0 || size > 255 ? -EUCLEAN : S_ISDIR(at->mode) ? 0 : -ENOENT;
        if (error == 0) {
            memcpy(name, path + 1, size);
            name[size] = 0;
            error = at->ops->lookup(at, name, &next);
        }
        inode_put(at);
        if (error < 0)
            return error;
        at = next;
        path += 1 + size;
    }
    *ret_inode = at;
    return 0;
}

/* Covers whose path leads to the same kind of file in the new image are of that file now; the others are orphans. */
static int find_again(struct volumefs *fs, struct upper_cover *c)
{
    struct volume_node *node;
    struct inode *lower;
    int error = volume_node_get(fs->volume, c->ino, &node);
    if (error < 0)
        return error;
    uint32_t mode = volume_node_inode(node)->mode;
    volume_node_put(node);
    error = resolve(fs->upper->lower, c->path, &lower);
    if (error < 0)
        return error == -ENOENT ? 0 : error;
    struct upper_record record = {
        .ino = c->ino, .nid = lower->ino, .generation = c->generation, .path_size = (uint16_t)strlen(c->path)};
    if ((lower->mode & S_IFMT) == (mode & S_IFMT) && !upper_covered(fs, lower->ino))
        error = upper_remember(fs, &record, c->path);
    inode_put(lower);
    return error;
}

static bool has_home(struct volumefs *fs, uint64_t ino, unsigned number, char *ret_name)
{
    struct volume_node *node;
    snprintf(ret_name, 32, "%lx.%u", (unsigned long)ino, number);
    if (volume_lookup(fs->upper->covers, ret_name, strlen(ret_name), &node) < 0)
        return false;
    volume_node_put(node);
    return true;
}

static bool any_home(struct volumefs *fs, uint64_t ino, char *ret_name)
{
    struct volume_node *node;
    if (volume_node_get(fs->volume, ino, &node) < 0)
        return false;
    unsigned count = S_ISDIR(volume_node_inode(node)->mode) ? 1 : HOMES_MAX;
    volume_node_put(node);
    bool found = false;
    for (unsigned i = 0; !found && i < count; i++)
        found = has_home(fs, ino, i, ret_name);
    return found;
}

/* The directory that a path lies in, as the container sees it; made if it is not there. Referenced. */
static int parent_of(struct volumefs *fs, const char *path, struct inode **ret_dir, const char **ret_name)
{
    struct inode *at = inode_get(fs->sb.root), *next;
    for (const char *end; (end = strchr(path + 1, '/')) != NULL; path = end) {
        char name[256];
        size_t size = (size_t)(end - path - 1);
        memcpy(name, path + 1, MIN(size, 255UL));
        name[MIN(size, 255UL)] = 0;
        int error = S_ISDIR(at->mode) ? at->ops->lookup(at, name, &next) : -ENOTDIR;
        if (error == -ENOENT)
            error = at->ops->mkdir(at, name, 0755, &next);
        inode_put(at);
        if (error < 0)
            return error;
        at = next;
    }
    *ret_dir = at;
    *ret_name = path + 1;
    return S_ISDIR(at->mode) ? 0 : -ENOTDIR;
}

/* The container had changed what the new image does not have: it is the container's own now, at the same path. */
static int settle(struct volumefs *fs, const struct upper_cover *c, const char *home)
{
    struct volume_node *node, *other;
    struct inode *dir = NULL;
    const char *name;
    int error = volume_node_get(fs->volume, c->ino, &node);
    if (error < 0)
        return error;
    bool empty = S_ISREG(volume_node_inode(node)->mode) && volume_getxattr(node, UPPER_LOWER_DATA, NULL, 0) >= 0;
    volume_node_put(node);
    if (empty)
        return 0; /* only attributes of contents that are gone */
    error = parent_of(fs, c->path, &dir, &name);
    if (error == 0)
        error = upper_own(volumefs_inode(dir));
    if (error == 0 && volume_lookup(volumefs_inode(dir)->node, name, strlen(name), &other) == 0)
        volume_node_put(other); /* the container put something else there */
    else if (error == 0)
        error = volume_rename(fs->upper->covers, home, strlen(home), volumefs_inode(dir)->node, name, strlen(name), 0,
                              root_owner);
    if (error == -ENOTDIR) {
        printk(LOG_ERROR, "cofre: %s was changed, and the new image has a file where its folder was\n", c->path);
        error = -EMEDIUMTYPE;
    }
    if (dir)
        inode_put(dir);
    return error;
}

/* A cover that shows the image's contents has its size. */
static int mend_size(const struct inode *lower, struct volume_node *node)
{
    const struct inode_attr attr = {.valid = ATTR_MTIME, .mtime = lower->mtime};
    if (!S_ISREG(lower->mode) || volume_getxattr(node, UPPER_LOWER_DATA, NULL, 0) < 0)
        return 0;
    int error = volume_truncate(node, (uint64_t)lower->size);
    return error < 0 ? error : volume_setattr(node, &attr);
}

/* As many names in /covers as the new image has for the inode, if it is seen at all. */
static int mend(struct volumefs *fs, const struct upper_cover *c)
{
    struct volume_node *node;
    struct inode *lower;
    char name[32];
    int error = resolve(fs->upper->lower, c->path, &lower);
    if (error < 0)
        return error;
    unsigned want = S_ISDIR(lower->mode) ? 1 : MIN(lower->nlink, HOMES_MAX), have = 0;
    error = volume_node_get(fs->volume, c->ino, &node);
    if (error == 0)
        error = mend_size(lower, node);
    inode_put(lower);
    if (error < 0)
        return error;
    for (unsigned i = 0; i < MAX(want, volume_node_inode(node)->nlink); i++)
        have += has_home(fs, c->ino, i, name);
    for (unsigned i = 0; error == 0 && have > 0 && i < want; i++)
        if (!has_home(fs, c->ino, i, name))
            error = volume_link(fs->upper->covers, name, strlen(name), node);
    for (unsigned i = want; error == 0 && i < want + volume_node_inode(node)->nlink; i++)
        if (has_home(fs, c->ino, i, name))
            error = volume_unlink(fs->upper->covers, name, strlen(name));
    volume_node_put(node);
    return error;
}

static int list_covers(struct volumefs *fs, struct moving *m)
{
    struct upper_cover *c;
    for (unsigned i = 0; i < UPPER_BUCKETS; i++)
        LIST_FOREACH (c, &fs->upper->by_ino[i], ino_link)
            m->count++;
    m->all = kmalloc((m->count + 1) * sizeof(struct upper_cover *));
    if (!m->all)
        return -ENOMEM;
    m->count = 0;
    for (unsigned i = 0; i < UPPER_BUCKETS; i++) {
        while ((c = LIST_FIRST(&fs->upper->by_ino[i])) != NULL) {
            LIST_REMOVE(c, ino_link);
            LIST_REMOVE(c, nid_link);
            m->all[m->count++] = c;
        }
    }
    sort(m->all, m->count);
    return 0;
}

static int write_records(struct volumefs *fs, const struct moving *m, const uint8_t image[32])
{
    struct volumefs_upper *upper = fs->upper;
    volume_node_put(upper->records);
    upper->records = NULL;
    upper->records_size = sizeof(struct upper_header);
    int error = records_new(fs, "lower.new", image, &upper->records);
    for (size_t i = 0; error == 0 && i < m->count; i++)
        if (upper_is_cover(fs, m->all[i]->ino))
            error = upper_record(fs, m->all[i]->ino);
    return error;
}

static int open_root(struct volumefs *fs)
{
    int error = upper_get_lower(fs, NULL, "/", inode_get(fs->upper->lower->root), &fs->sb.root);
    return error < 0 ? error : upper_own(volumefs_inode(fs->sb.root));
}

static int rebase_held(struct volumefs *fs, const struct moving *m, const uint8_t image[32])
{
    struct volume_node *root;
    char home[32];
    int error = 0;
    for (size_t i = 0; error == 0 && i < m->count; i++)
        error = find_again(fs, m->all[i]);
    if (error == 0)
        error = write_records(fs, m, image);
    if (error == 0)
        error = open_root(fs);
    for (size_t i = 0; error == 0 && i < m->count; i++) {
        if (upper_is_cover(fs, m->all[i]->ino))
            error = mend(fs, m->all[i]);
        else if (any_home(fs, m->all[i]->ino, home))
            error = settle(fs, m->all[i], home);
    }
    if (error == 0)
        error = discard_all(fs, is_orphan);
    if (error == 0)
        error = root_node(fs, &root);
    if (error < 0)
        return error;
    error = volume_rename(root, "lower.new", 9, root, "lower", 5, 0, root_owner);
    volume_node_put(root);
    return error;
}

static int rebase(struct volumefs *fs, const uint8_t image[32])
{
    struct moving m = {0};
    int error = list_covers(fs, &m);
    if (error == 0)
        error = volume_hold(fs->volume, UPPER_HOLD + m.count / 8);
    if (error == 0) {
        error = rebase_held(fs, &m, image);
        volume_release(fs->volume);
    }
    for (size_t i = 0; m.all && i < m.count; i++)
        kfree(m.all[i]);
    kfree(m.all);
    if (error == 0)
        printk(LOG_WARNING, "cofre: another root image: what the container had changed of %s is kept\n", fs->path);
    return error;
}

/* ---- opening ---- */

static int open_existing(struct volumefs *fs, const uint8_t image[32], bool keep)
{
    uint8_t made_for[32];
    int error = load_records(fs, made_for);
    if (error < 0)
        return error;
    bool same = memcmp(made_for, image, 32) == 0;
    if (!same && !keep)
        return -EMEDIUMTYPE;
    error = discard_all(fs, is_leftover);
    if (error == 0)
        error = same ? open_root(fs) : rebase(fs, image);
    return error;
}

static int open_locked(struct volumefs *fs, const uint8_t image[32], bool keep)
{
    struct volumefs_upper *upper = fs->upper;
    struct volume_node *root;
    int error = root_node(fs, &root);
    if (error < 0)
        return error;
    error = volume_lookup(root, "lower", 5, &upper->records);
    if (error == 0)
        error = volume_lookup(root, "covers", 6, &upper->covers);
    volume_node_put(root);
    if (error == 0)
        return open_existing(fs, image, keep);
    if (error != -ENOENT)
        return error;
    if (upper->records)
        return -EINVAL;
    error = volume_hold(fs->volume, UPPER_HOLD);
    if (error < 0)
        return error;
    error = make_empty(fs, image);
    if (error == 0)
        error = open_root(fs);
    volume_release(fs->volume);
    return error;
}

int upper_check_image(struct volume *v, const uint8_t image[32])
{
    struct volume_node *root, *records;
    struct upper_header header;
    int error = volume_node_get(v, VOLUME_ROOT_INO, &root);
    if (error < 0)
        return error;
    bool empty = volume_node_inode(root)->entry_count == 0;
    error = volume_lookup(root, "lower", 5, &records);
    volume_node_put(root);
    if (error < 0)
        return error == -ENOENT ? (empty ? 0 : -EINVAL) : error;
    ssize_t n = volume_read(records, 0, &header, sizeof(header));
    volume_node_put(records);
    error = n < 0 ? (int)n : upper_header_check(&header, (size_t)n);
    return error < 0 || memcmp(header.image, image, sizeof(header.image)) == 0 ? error : -EMEDIUMTYPE;
}

int upper_open(struct volumefs *fs, struct super_block *lower, const uint8_t image[32], bool keep)
{
    fs->upper = kzalloc(sizeof(*fs->upper));
    if (!fs->upper)
        return -ENOMEM;
    fs->upper->lower = lower;
    fs->sb.type = "overlay";
    fs->sb.magic = OVERLAYFS_SUPER_MAGIC;
    volumefs_lock(fs);
    int error = open_locked(fs, image, keep);
    if (error == 0)
        error = volume_sync(fs->volume);
    volumefs_unlock(fs);
    return error;
}

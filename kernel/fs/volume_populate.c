/*
 * What the image has where an empty volume is mounted is copied into it, once, before anything runs: as Docker does. A
 * mark on the volume's root says that a copy is not whole yet; one that was cut short begins again.
 */
#include "kernel/fs/volume_populate.h"

#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define MARK "trusted.cofre.copying"
#define COPY_PAGES 16

struct pair { /* a directory to be copied */
    TAILQ_ENTRY(pair) link;
    struct inode *from;
    struct volume_node *to;
};
struct linked { /* a file with several names, by its number in the image */
    LIST_ENTRY(linked) link;
    uint64_t ino;
    struct volume_node *node;
};
struct copy {
    TAILQ_HEAD(pairs, pair) pairs;
    LIST_HEAD(linked_list, linked) linked;
    struct volumefs_batch batch;
    uint8_t pages[COPY_PAGES * PAGE_SIZE];
};

static int copy_attributes(struct inode *from, struct volume_node *to)
{
    const struct inode_attr attr = {.valid = ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_MTIME,
                                    .mode = from->mode & 07777,
                                    .uid = from->uid,
                                    .gid = from->gid,
                                    .mtime = from->mtime};
    return volume_setattr(to, &attr);
}

static int copy_xattrs(struct copy *c, struct inode *from, struct volume_node *to)
{
    char *names = (char *)c->pages, *value = names + 2 * PAGE_SIZE;
    ssize_t size = from->ops->listxattr ? from->ops->listxattr(from, names, 2 * PAGE_SIZE) : 0;
    int error = size < 0 ? (int)size : 0;
    for (const char *name = names; error == 0 && name < names + size; name += strlen(name) + 1) {
        ssize_t n = from->ops->getxattr(from, name, value, PAGE_SIZE);
        error = n < 0 ? (int)n : volume_setxattr(to, name, value, (size_t)n, 0);
    }
    return error;
}

static int copy_contents(struct copy *c, struct inode *from, struct volume_node *to)
{
    uint64_t size = (uint64_t)from->size;
    int error = 0;
    for (uint64_t at = 0; error == 0 && at < size; at += sizeof(c->pages)) {
        uint64_t part = MIN(size - at, sizeof(c->pages));
        for (uint64_t page = 0; error == 0 && page * PAGE_SIZE < part; page++)
            error = from->ops->read_page(from, at / PAGE_SIZE + page, c->pages + page * PAGE_SIZE);
        ssize_t n = error < 0 ? error : volume_write(to, at, c->pages, part);
        error = n == (ssize_t)part ? 0 : n < 0 ? (int)n : -EIO;
    }
    return error;
}

static struct volume_node *link_of(struct copy *c, const struct inode *from)
{
    struct linked *l;
    LIST_FOREACH (l, &c->linked, link)
        if (l->ino == from->ino)
            return l->node;
    return NULL;
}

static int remember_link(struct copy *c, const struct inode *from, struct volume_node *node)
{
    struct linked *l = kmalloc(sizeof(*l));
    if (!l)
        return -ENOMEM;
    *l = (struct linked){.ino = from->ino, .node = volume_node_ref(node)};
    LIST_INSERT_HEAD(&c->linked, l, link);
    return 0;
}

static int make(struct copy *c, struct volume_node *dir, const char *name, struct inode *from,
                struct volume_node **ret_node)
{
    const struct volume_owner owner = {from->uid, from->gid};
    if (!S_ISLNK(from->mode))
        return volume_create(dir, name, strlen(name), from->mode, from->rdev, owner, ret_node);
    ssize_t n = from->ops->readlink(from, (char *)c->pages, PAGE_SIZE);
    return n < 0 ? (int)n : volume_symlink(dir, name, strlen(name), (char *)c->pages, (size_t)n, owner, ret_node);
}

static int push(struct copy *c, struct inode *from, struct volume_node *to)
{
    struct pair *p = kmalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    *p = (struct pair){.from = inode_get(from), .to = volume_node_ref(to)};
    TAILQ_INSERT_TAIL(&c->pairs, p, link);
    return 0;
}

static int copy_file(struct copy *c, struct volume_node *dir, const char *name, struct inode *from)
{
    struct volume_node *node = S_ISDIR(from->mode) || from->nlink < 2 ? NULL : link_of(c, from);
    if (node)
        return volume_link(dir, name, strlen(name), node);
    int error = make(c, dir, name, from, &node);
    if (error < 0)
        return error;
    if (S_ISREG(from->mode))
        error = copy_contents(c, from, node);
    if (error == 0)
        error = copy_xattrs(c, from, node);
    if (error == 0 && S_ISDIR(from->mode))
        error = push(c, from, node); /* attributes when it is full */
    else if (error == 0)
        error = copy_attributes(from, node);
    if (error == 0 && !S_ISDIR(from->mode) && from->nlink > 1)
        error = remember_link(c, from, node);
    volume_node_put(node);
    return error;
}

struct names {
    struct dir_context ctx;
    struct volumefs_batch *batch;
};

static bool take_name(struct dir_context *ctx, const char *name, size_t size, uint64_t ino, unsigned type,
                      file_off_t next_pos)
{
    struct names *n = container_of(ctx, struct names, ctx);
    return next_pos <= 2 || volumefs_batch_add(n->batch, name, size, ino, type, next_pos);
}

static int copy_batch(struct copy *c, const struct pair *p, file_off_t *pos)
{
    int error = 0;
    struct volumefs_entry e;
    for (size_t at = 0; error == 0 && at < c->batch.used; at += VOLUMEFS_ENTRY_SIZE(&e)) {
        char name[256];
        struct inode *inode;
        memcpy(&e, c->batch.data + at, sizeof(e));
        memcpy(name, c->batch.data + at + sizeof(e), e.name_size);
        name[e.name_size] = 0;
        error = p->from->ops->lookup(p->from, name, &inode);
        if (error == 0) {
            error = copy_file(c, p->to, name, inode);
            inode_put(inode);
        }
        *pos = e.next_pos;
    }
    return error;
}

static int copy_directory(struct copy *c, const struct pair *p)
{
    file_off_t pos = 2; /* behind the dots */
    int error = 0;
    do {
        struct names n = {.ctx = {.pos = pos, .emit = take_name}, .batch = &c->batch};
        struct file file = {.inode = p->from};
        c->batch.used = 0;
        c->batch.full = false;
        error = p->from->file_ops->readdir(&file, &n.ctx);
        if (error == 0)
            error = copy_batch(c, p, &pos);
    } while (error == 0 && c->batch.full);
    return error < 0 ? error : copy_attributes(p->from, p->to);
}

static int copy_all(struct copy *c)
{
    struct pair *p;
    int error = 0;
    while ((p = TAILQ_FIRST(&c->pairs)) != NULL) {
        TAILQ_REMOVE(&c->pairs, p, link);
        if (error == 0)
            error = copy_directory(c, p);
        inode_put(p->from);
        volume_node_put(p->to);
        kfree(p);
    }
    return error;
}

static int copy_tree(struct inode *from, struct volume_node *to)
{
    struct copy *c = kmalloc(sizeof(*c));
    struct linked *l;
    if (!c)
        return -ENOMEM;
    TAILQ_INIT(&c->pairs);
    LIST_INIT(&c->linked);
    int error = push(c, from, to);
    if (error == 0)
        error = copy_all(c);
    while ((l = LIST_FIRST(&c->linked)) != NULL) {
        LIST_REMOVE(l, link);
        volume_node_put(l->node);
        kfree(l);
    }
    kfree(c);
    return error;
}

/* ---- a copy that was cut short ---- */

static bool first_entry(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    if (next_pos <= 2)
        return true;
    memcpy(arg, name, size);
    ((char *)arg)[size] = 0;
    return false;
}

/* Down the first names to one that can go. False in *ret_more: there was none. */
static int remove_one(struct volume_node *root, bool *ret_more)
{
    struct volume_node *at = volume_node_ref(root), *next;
    char name[256];
    int error = 0;
    for (bool down = true; down && error == 0;) {
        int64_t pos = 0;
        name[0] = 0;
        error = volume_readdir(at, &pos, first_entry, name);
        *ret_more = name[0] != 0;
        if (error < 0 || !name[0])
            break;
        error = volume_lookup(at, name, strlen(name), &next);
        if (error < 0)
            break;
        bool is_dir = S_ISDIR(volume_node_inode(next)->mode);
        down = is_dir && volume_node_inode(next)->entry_count > 0;
        if (down) {
            volume_node_put(at);
            at = next;
            continue;
        }
        volume_node_put(next);
        error = is_dir ? volume_rmdir(at, name, strlen(name)) : volume_unlink(at, name, strlen(name));
    }
    volume_node_put(at);
    return error;
}

static int remove_all(struct volume_node *root)
{
    int error = 0;
    for (bool more = true; error == 0 && more;)
        error = remove_one(root, &more);
    return error;
}

/* As it was made: nothing of it was ever changed. */
static bool untouched(const struct volume_inode *root)
{
    return root->entry_count == 0 && memcmp(&root->ctime, &root->btime, sizeof(root->ctime)) == 0;
}

static int populate_locked(struct volumefs *fs, struct inode *from, bool contents)
{
    struct volume_node *root = volumefs_inode(fs->sb.root)->node;
    ssize_t mark = volume_getxattr(root, MARK, NULL, 0);
    int error = mark < 0 && mark != -ENODATA ? (int)mark : 0;
    if (error < 0 || (mark < 0 && !untouched(volume_node_inode(root))))
        return error;
    if (!contents) {
        error = copy_attributes(from, root);
        return error < 0 ? error : volume_sync(fs->volume);
    }
    error = remove_all(root);
    if (error == 0)
        error = volume_setxattr(root, MARK, "", 0, 0);
    if (error == 0)
        error = copy_tree(from, root);
    if (error == 0)
        error = volume_sync(fs->volume); /* all contents, before the mark goes */
    if (error == 0)
        error = volume_removexattr(root, MARK);
    return error < 0 ? error : volume_sync(fs->volume);
}

int volume_populate(struct volumefs *fs, struct inode *from, bool contents)
{
    volumefs_lock(fs);
    int error = populate_locked(fs, from, contents);
    volumefs_refresh(volumefs_inode(fs->sb.root));
    volumefs_unlock(fs);
    return error;
}

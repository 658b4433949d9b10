/* The name cache (contract in dentry.h) and paths made from it. */
#include <linux/errno.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/internal.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define HASH_BUCKETS 4096

static LIST_HEAD(dentry_bucket, dentry) buckets[HASH_BUCKETS];
static TAILQ_HEAD(dentry_lru, dentry) unused = TAILQ_HEAD_INITIALIZER(unused);
static size_t unused_count;

static uint32_t name_hash(const struct dentry *parent, const char *name, size_t size)
{
    uint64_t h = (uint64_t)(uintptr_t)parent * 0x9e3779b97f4a7c15ULL;
    for (; size >= 8; size -= 8, name += 8) {
        uint64_t word;
        memcpy(&word, name, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
        h ^= h >> 29;
    }
    uint64_t tail = size;
    for (size_t i = 0; i < size; i++)
        tail = tail << 8 | (uint8_t)name[i];
    h = (h ^ tail) * 0x9e3779b97f4a7c15ULL;
    return (h ^ h >> 32) >> 1;
}

static struct dentry *dentry_new(struct dentry *parent, struct super_block *sb, const char *name, size_t size)
{
    struct dentry *d = kzalloc(sizeof(*d));
    if (!d)
        return NULL;
    d->name = d->inline_name;
    if (size >= DENTRY_INLINE_NAME) {
        d->name = kmalloc(size + 1);
        if (!d->name) {
            kfree(d);
            return NULL;
        }
    }
    memcpy(d->name, name, size);
    d->name[size] = 0;
    d->name_size = size;
    d->refcount = 1;
    d->sb = sb;
    d->parent = parent ? dentry_get(parent) : NULL;
    return d;
}

static void dentry_hash(struct dentry *d)
{
    d->hash = name_hash(d->parent, d->name, d->name_size);
    LIST_INSERT_HEAD(&buckets[d->hash % HASH_BUCKETS], d, hash_link);
    d->hashed = true;
}

static void dentry_unhash(struct dentry *d)
{
    if (d->hashed)
        LIST_REMOVE(d, hash_link);
    d->hashed = false;
}

struct dentry *dentry_get(struct dentry *d)
{
    if (d->refcount++ == 0 && d->on_lru) {
        TAILQ_REMOVE(&unused, d, lru_link);
        d->on_lru = false;
        unused_count--;
    }
    return d;
}

/* Frees d (refcount 0, on no list); returns its parent, whose reference the caller must put. */
static struct dentry *dentry_free(struct dentry *d)
{
    struct dentry *parent = d->parent;
    dentry_unhash(d);
    inode_put(d->inode);
    if (d->name != d->inline_name)
        kfree(d->name);
    kfree(d);
    return parent;
}

void dentry_put(struct dentry *d)
{
    while (d && --d->refcount == 0) {
        if (d->hashed) {
            TAILQ_INSERT_TAIL(&unused, d, lru_link);
            d->on_lru = true;
            if (++unused_count > DENTRY_UNUSED_MAX)
                dentry_shrink(DENTRY_UNUSED_MAX / 16);
            return;
        }
        d = dentry_free(d);
    }
}

void dentry_shrink(size_t count)
{
    while (count-- > 0 && !TAILQ_EMPTY(&unused)) {
        struct dentry *d = TAILQ_FIRST(&unused);
        TAILQ_REMOVE(&unused, d, lru_link);
        d->on_lru = false;
        unused_count--;
        struct dentry *parent = dentry_free(d);
        /* The parent may become unused in turn: it goes to the tail, so this ends. */
        if (parent && --parent->refcount == 0) {
            if (parent->hashed) {
                TAILQ_INSERT_TAIL(&unused, parent, lru_link);
                parent->on_lru = true;
                unused_count++;
            } else {
                parent->refcount = 1;
                dentry_put(parent);
            }
        }
    }
}

struct dentry *dentry_new_root(struct super_block *sb)
{
    struct dentry *d = dentry_new(NULL, sb, "/", 1);
    if (d)
        d->inode = inode_get(sb->root);
    return d;
}

struct dentry *dentry_new_detached(struct inode *inode, const char *name)
{
    struct dentry *d = dentry_new(NULL, inode->sb, name, strlen(name));
    if (d)
        d->inode = inode_get(inode);
    return d;
}

static struct dentry *cache_find(const struct dentry *dir, const char *name, size_t size)
{
    uint32_t hash = name_hash(dir, name, size);
    struct dentry *d;
    LIST_FOREACH (d, &buckets[hash % HASH_BUCKETS], hash_link) {
        if (d->hash == hash && d->parent == dir && d->name_size == size && memcmp(d->name, name, size) == 0)
            return d;
    }
    return NULL;
}

/* *d was found in the cache: referenced, if it still holds; NULL if there is nothing in the cache any more. */
static int cache_recheck(struct dentry *dir, const char *name, size_t size, struct dentry **ret_dentry)
{
    struct dentry *d = *ret_dentry;
    while (d) {
        dentry_get(d);
        int valid = dir->sb->ops->revalidate(d);
        bool found = cache_find(dir, name, size) == d; /* names may have changed while that slept */
        if (found && valid == 0)
            dentry_delete(d);
        if (found && valid > 0)
            break;
        dentry_put(d);
        if (valid < 0)
            return valid;
        d = cache_find(dir, name, size);
    }
    *ret_dentry = d;
    return 0;
}

int dentry_lookup(struct dentry *dir, const char *name, size_t size, struct dentry **ret_dentry)
{
    struct dentry *d = NULL;
    if (!dir->sb->volatile_names)
        d = cache_find(dir, name, size);
    if (d && dir->sb->ops && dir->sb->ops->revalidate) {
        int error = cache_recheck(dir, name, size, &d);
        if (error)
            return error;
    } else if (d) {
        dentry_get(d);
    }
    if (d) {
        *ret_dentry = d;
        return 0;
    }
    if (!dir->inode->ops->lookup)
        return -ENOTDIR;
    d = dentry_new(dir, dir->sb, name, size);
    if (!d)
        return -ENOMEM;
    int error = dir->inode->ops->lookup(dir->inode, d->name, &d->inode);
    if (error && error != -ENOENT) {
        d->inode = NULL;
        dentry_put(d);
        return error;
    }
    if (error)
        d->inode = NULL;
    struct dentry *other = dir->sb->ops ? cache_find(dir, name, size) : NULL;
    if (other) { /* somebody was faster while we slept */
        dentry_get(other);
        dentry_put(d);
        *ret_dentry = other;
        return 0;
    }
    if (!dir->sb->volatile_names && !dir->deleted)
        dentry_hash(d);
    *ret_dentry = d;
    return 0;
}

void dentry_instantiate(struct dentry *d, struct inode *inode)
{
    inode_put(d->inode); /* a look at the name found it meanwhile */
    d->inode = inode;
}

void dentry_delete(struct dentry *d)
{
    dentry_unhash(d);
    d->deleted = true;
}

static void swap_names(struct dentry *a, struct dentry *b)
{
    char inline_name[DENTRY_INLINE_NAME];
    bool a_inline = a->name == a->inline_name, b_inline = b->name == b->inline_name;
    char *a_name = a->name, *b_name = b->name;
    memcpy(inline_name, a->inline_name, sizeof(inline_name));
    memcpy(a->inline_name, b->inline_name, sizeof(inline_name));
    memcpy(b->inline_name, inline_name, sizeof(inline_name));
    a->name = b_inline ? a->inline_name : b_name;
    b->name = a_inline ? b->inline_name : a_name;
    uint16_t size = a->name_size;
    a->name_size = b->name_size;
    b->name_size = size;
    struct dentry *parent = a->parent;
    a->parent = b->parent;
    b->parent = parent;
}

void dentry_move(struct dentry *source, struct dentry *target, bool exchange)
{
    bool cached = !source->sb->volatile_names;
    dentry_unhash(source);
    dentry_unhash(target);
    swap_names(source, target);
    if (cached)
        dentry_hash(source);
    if (exchange && cached)
        dentry_hash(target);
    source->deleted = false;
    if (!exchange)
        target->deleted = true;
}

bool dentry_is_ancestor(const struct dentry *ancestor, const struct dentry *d)
{
    for (; d; d = d->parent)
        if (d == ancestor)
            return true;
    return false;
}

struct inode *dentry_inode(const struct dentry *d)
{
    return d->inode;
}

struct inode *dentry_parent_inode(const struct dentry *d)
{
    return d->parent ? d->parent->inode : NULL;
}

const char *dentry_name(const struct dentry *d)
{
    return d->name;
}

struct super_block *dentry_super(const struct dentry *d)
{
    return d->sb;
}

static bool prepend(char *buf, char **p, const char *s, size_t size)
{
    if ((size_t)(*p - buf) < size)
        return false;
    *p -= size;
    memcpy(*p, s, size);
    return true;
}

char *dentry_path_from(const struct dentry *root, const struct dentry *d, char *buf, size_t size, bool *ret_reachable)
{
    char *p = buf + size;
    bool reachable = true;
    if (size == 0)
        return NULL;
    *--p = 0;
    if (d->deleted && !prepend(buf, &p, " (deleted)", 10))
        return NULL;
    char *end = p;
    while (d != root) {
        if (!d->parent) {
            struct dentry *top = dentry_root_of(d->sb);
            if (d != top || !d->sb->mount->point) {
                if (d != top && !prepend(buf, &p, d->name, d->name_size))
                    return NULL;
                reachable = d == top && root == NULL;
                break;
            }
            d = d->sb->mount->point;
            continue;
        }
        if (!prepend(buf, &p, d->name, d->name_size) || !prepend(buf, &p, "/", 1))
            return NULL;
        d = d->parent;
    }
    if (p == end && !prepend(buf, &p, "/", 1))
        return NULL;
    if (ret_reachable)
        *ret_reachable = reachable;
    return p;
}

char *dentry_path(const struct dentry *d, char *buf, size_t size)
{
    struct fs_context *fs = fs_current();
    return dentry_path_from(fs ? fs->root : NULL, d, buf, size, NULL);
}

/* The merged file tree: names and inodes. */
#include "image/tree.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SYMLINK_MAX 40
#define WORK_SIZE (4 * (TREE_PATH_MAX + 1))

static int dentry_compare(struct dentry *a, struct dentry *b)
{
    return strcmp(a->name, b->name);
}

RB_GENERATE(dentry_tree, dentry, link, dentry_compare)

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        err(1, "file tree");
    return memory;
}

struct inode *inode_new(struct tree *tree, uint32_t mode)
{
    struct inode *inode = allocate(sizeof(*inode));

    inode->mode = mode;
    if (S_ISDIR(mode))
        RB_INIT(&inode->dir.children);
    tree->inode_count++;
    return inode;
}

static void inode_free(struct tree *tree, struct inode *inode)
{
    if (S_ISREG(inode->mode))
        tree->dead_block_count += inode->block_count;
    if (S_ISLNK(inode->mode))
        free(inode->target);
    free(inode->xattrs);
    free(inode);
    tree->inode_count--;
}

void inode_put(struct tree *tree, struct inode *inode)
{
    if (inode->dentry_count == 0)
        inode_free(tree, inode);
}

struct tree *tree_new(void)
{
    struct tree *tree = allocate(sizeof(*tree));

    tree->root = inode_new(tree, S_IFDIR | 0755);
    tree->root->dir.parent = tree->root;
    tree->root->dentry_count = 1;
    return tree;
}

void tree_free(struct tree *tree)
{
    if (!tree)
        return;
    dir_purge(tree, tree->root, UINT32_MAX);
    inode_free(tree, tree->root);
    free(tree);
}

struct dentry *dir_lookup(const struct inode *dir, const char *name)
{
    const struct dentry *dentry = RB_ROOT(&dir->dir.children);

    while (dentry) {
        int order = strcmp(name, dentry->name);
        if (order == 0)
            return (struct dentry *)dentry;
        dentry = order < 0 ? RB_LEFT(dentry, link) : RB_RIGHT(dentry, link);
    }
    return NULL;
}

struct dentry *dir_insert(struct inode *dir, const char *name, struct inode *inode, uint32_t layer)
{
    size_t size = strlen(name) + 1;
    struct dentry *dentry = allocate(sizeof(*dentry) + size);

    dentry->inode = inode;
    dentry->layer = layer;
    memcpy(dentry->name, name, size);
    inode->dentry_count++;
    if (S_ISDIR(inode->mode)) {
        inode->dir.parent = dir;
        inode->dir.depth = dir->dir.depth + 1;
        dir->dir.subdirectory_count++;
    }
    RB_INSERT(dentry_tree, &dir->dir.children, dentry);
    return dentry;
}

void dir_remove(struct tree *tree, struct inode *dir, struct dentry *dentry)
{
    struct inode *inode = dentry->inode;

    if (S_ISDIR(inode->mode)) {
        dir_purge(tree, inode, UINT32_MAX);
        dir->dir.subdirectory_count--;
    }
    RB_REMOVE(dentry_tree, &dir->dir.children, dentry);
    free(dentry);
    if (--inode->dentry_count == 0)
        inode_free(tree, inode);
}

void dentry_purge(struct tree *tree, struct inode *dir, struct dentry *dentry, uint32_t layer)
{
    struct inode *inode = dentry->inode;

    if (S_ISDIR(inode->mode)) {
        dir_purge(tree, inode, layer);
        if (!RB_EMPTY(&inode->dir.children))
            return;
    }
    if (dentry->layer < layer)
        dir_remove(tree, dir, dentry);
}

/* Recursion is bounded by TREE_DEPTH_MAX. */
void dir_purge(struct tree *tree, struct inode *dir, uint32_t layer)
{
    struct dentry *next;

    for (struct dentry *dentry = RB_MIN(dentry_tree, &dir->dir.children); dentry; dentry = next) {
        next = RB_NEXT(dentry_tree, &dir->dir.children, dentry);
        dentry_purge(tree, dir, dentry, layer);
    }
}

/* The walk of one path. */
struct walk {
    struct tree *tree;
    enum tree_follow follow;
    uint32_t layer;
    bool create;
    struct inode *dir;
    unsigned link_count;
    char *rest;           /* in work */
    char work[WORK_SIZE]; /* what is still to be walked */
    char **ret_error;
};

/* Takes the next component off walk->rest. Returns its length, 0 at the end, -1 if it is too long. */
static int walk_next(struct walk *walk, char name[TREE_NAME_MAX + 1])
{
    for (;;) {
        walk->rest += strspn(walk->rest, "/");
        size_t size = strcspn(walk->rest, "/");
        name[0] = 0;
        if (size == 0)
            return 0;
        if (size > TREE_NAME_MAX)
            return error_set(walk->ret_error, "a name is longer than %d bytes", TREE_NAME_MAX);
        memcpy(name, walk->rest, size);
        name[size] = 0;
        walk->rest += size;
        if (strcmp(name, ".") != 0)
            return (int)size;
    }
}

static int walk_up(struct walk *walk)
{
    if (walk->dir == walk->tree->root && walk->follow == TREE_FOLLOW_CHECKED)
        return error_set(walk->ret_error, "the path leads out of the root");
    walk->dir = walk->dir->dir.parent;
    return 0;
}

/* Puts a link's target before the rest. */
static int walk_link(struct walk *walk, const struct dentry *dentry)
{
    const char *target = dentry->inode->target;
    size_t target_size = strlen(target), rest_size = strlen(walk->rest);

    if (++walk->link_count > SYMLINK_MAX)
        return error_set(walk->ret_error, "too many symbolic links, the last one at \"%s\"", dentry->name);
    if (target[0] == '/') {
        if (walk->follow == TREE_FOLLOW_CHECKED && dentry->layer == walk->layer)
            return error_set(walk->ret_error,
                             "the path goes through the symbolic link \"%s\" -> \"%s\" of the same layer", dentry->name,
                             target);
        walk->dir = walk->tree->root;
    }
    if (target_size + rest_size + 2 > sizeof(walk->work))
        return error_set(walk->ret_error, "the path is too long after symbolic links");
    memmove(walk->work + target_size + 1, walk->rest, rest_size + 1);
    memcpy(walk->work, target, target_size);
    walk->work[target_size] = '/';
    walk->rest = walk->work;
    return 0;
}

static int walk_missing(struct walk *walk, const char *name)
{
    if (!walk->create)
        return 1;
    if (walk->dir->dir.depth >= TREE_DEPTH_MAX)
        return error_set(walk->ret_error, "directories are more than %d deep", TREE_DEPTH_MAX);
    struct inode *made = inode_new(walk->tree, S_IFDIR | 0755);
    dir_insert(walk->dir, name, made, walk->layer);
    walk->dir = made;
    return 0;
}

/* Enters one component that is not the last; 1 if it is not there. */
static int walk_enter(struct walk *walk, const char *name)
{
    struct dentry *dentry = dir_lookup(walk->dir, name);

    if (strcmp(name, "..") == 0)
        return walk_up(walk);
    if (!dentry)
        return walk_missing(walk, name);
    if (S_ISLNK(dentry->inode->mode))
        return walk_link(walk, dentry);
    if (!S_ISDIR(dentry->inode->mode))
        return error_set(walk->ret_error, "\"%s\" on the way is not a directory", name);
    walk->dir = dentry->inode;
    return 0;
}

static bool path_has_dotdot(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2) {
        if ((at == path || at[-1] == '/') && (at[2] == 0 || at[2] == '/'))
            return true;
    }
    return false;
}

static int walk_init(struct walk *walk, const char *path)
{
    size_t size = strlen(path);

    if (size > TREE_PATH_MAX)
        return error_set(walk->ret_error, "the path is longer than %d bytes", TREE_PATH_MAX);
    if (walk->follow == TREE_FOLLOW_CHECKED && path_has_dotdot(path))
        return error_set(walk->ret_error, "the path contains \"..\"");
    memcpy(walk->work, path, size + 1);
    walk->rest = walk->work;
    walk->dir = walk->tree->root;
    return 0;
}

int tree_resolve(struct tree *tree, const char *path, enum tree_follow follow, uint32_t layer, bool create,
                 struct inode **ret_dir, char ret_name[TREE_NAME_MAX + 1], char **ret_error)
{
    struct walk walk;
    char name[TREE_NAME_MAX + 1] = "", next[TREE_NAME_MAX + 1];
    int size;

    walk.tree = tree;
    walk.follow = follow;
    walk.layer = layer;
    walk.create = create;
    walk.link_count = 0;
    walk.ret_error = ret_error;
    if (walk_init(&walk, path) < 0 || walk_next(&walk, name) < 0)
        return -1;
    while (name[0] && (size = walk_next(&walk, next)) != 0) {
        if (size < 0)
            return -1;
        /* The next component is part of what a link's target is put before. */
        walk.rest -= size;
        int result = walk_enter(&walk, name);
        if (result != 0)
            return result;
        if (walk_next(&walk, name) < 0)
            return -1;
    }
    if (strcmp(name, "..") == 0) {
        if (walk_up(&walk) < 0)
            return -1;
        name[0] = 0;
    }
    if (create && walk.dir->dir.depth >= TREE_DEPTH_MAX)
        return error_set(ret_error, "directories are more than %d deep", TREE_DEPTH_MAX);
    *ret_dir = walk.dir;
    strcpy(ret_name, name);
    return 0;
}

struct inode *tree_lookup(struct tree *tree, const char *path)
{
    struct walk *walk = allocate(sizeof(*walk));
    struct inode *found = NULL;
    char name[TREE_NAME_MAX + 1];

    walk->tree = tree;
    walk->follow = TREE_FOLLOW_KERNEL;
    if (walk_init(walk, path) < 0)
        goto out;
    for (;;) {
        int size = walk_next(walk, name);
        if (size < 0)
            goto out;
        if (size == 0)
            break;
        struct dentry *dentry = strcmp(name, "..") == 0 ? NULL : dir_lookup(walk->dir, name);
        bool last = walk->rest[strspn(walk->rest, "/")] == 0;
        if (dentry && last && !S_ISDIR(dentry->inode->mode) && !S_ISLNK(dentry->inode->mode)) {
            found = dentry->inode;
            goto out;
        }
        if (walk_enter(walk, name) != 0)
            goto out;
    }
    found = walk->dir;
out:
    free(walk);
    return found;
}

/* Equal names in the order given, which the pointers into the caller's array tell. */
static int xattr_compare(const void *a, const void *b)
{
    const struct xattr *x = *(const struct xattr *const *)a, *y = *(const struct xattr *const *)b;
    int order = strcmp(x->name, y->name);

    return order ? order : x < y ? -1 : x > y;
}

struct xattrs *xattrs_new(const struct xattr *items, size_t count)
{
    size_t size = sizeof(struct xattrs), kept = 0;

    if (count == 0)
        return NULL;
    const struct xattr **sorted = allocate(count * sizeof(*sorted));
    for (size_t i = 0; i < count; i++)
        sorted[i] = &items[i];
    qsort(sorted, count, sizeof(*sorted), xattr_compare);
    for (size_t i = 0; i < count; i++) {
        if (kept && strcmp(sorted[kept - 1]->name, sorted[i]->name) == 0)
            continue;
        sorted[kept++] = sorted[i];
        size += sizeof(struct xattr) + strlen(sorted[i]->name) + 1 + sorted[i]->size;
    }
    struct xattrs *xattrs = allocate(size);
    char *at = (char *)&xattrs->items[kept];
    xattrs->count = (uint32_t)kept;
    for (size_t i = 0; i < kept; i++) {
        size_t name_size = strlen(sorted[i]->name) + 1;
        xattrs->items[i] = (struct xattr){.name = at, .value = at + name_size, .size = sorted[i]->size};
        memcpy(at, sorted[i]->name, name_size);
        if (sorted[i]->size)
            memcpy(at + name_size, sorted[i]->value, sorted[i]->size);
        at += name_size + sorted[i]->size;
    }
    free(sorted);
    return xattrs;
}

/* Extended attributes of files in memory. Those of a lower file are taken over whole at the first change. */
#include <linux/errno.h>
#include <linux/xattr.h>

#include "kernel/fs/tmpfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

static struct mem_xattr *find(struct mem_inode *m, const char *name)
{
    struct mem_xattr *x;
    LIST_FOREACH (x, &m->xattrs, link)
        if (strcmp(x->name, name) == 0)
            return x;
    return NULL;
}

static void xattr_free(struct mem_xattr *x)
{
    if (!x)
        return;
    kfree(x->name);
    kfree(x->value);
    kfree(x);
}

static struct mem_xattr *xattr_new(const char *name, size_t size)
{
    struct mem_xattr *x = kzalloc(sizeof(*x));
    if (!x)
        return NULL;
    x->name = kstrdup(name);
    x->value = kmalloc(size ? size : 1);
    x->size = size;
    if (x->name && x->value)
        return x;
    xattr_free(x);
    return NULL;
}

void mem_drop_xattrs(struct mem_inode *m)
{
    while (!LIST_EMPTY(&m->xattrs)) {
        struct mem_xattr *x = LIST_FIRST(&m->xattrs);
        LIST_REMOVE(x, link);
        xattr_free(x);
    }
}

static int take_over_one(struct mem_inode *m, const char *name)
{
    struct inode *lower = m->lower;
    ssize_t size = lower->ops->getxattr(lower, name, NULL, 0);
    if (size < 0)
        return size;
    struct mem_xattr *x = xattr_new(name, size);
    if (!x)
        return -ENOMEM;
    if (size > 0)
        size = lower->ops->getxattr(lower, name, x->value, size);
    if (size < 0) {
        xattr_free(x);
        return size;
    }
    LIST_INSERT_HEAD(&m->xattrs, x, link);
    return 0;
}

static int take_over(struct mem_inode *m)
{
    struct inode *lower = m->lower;
    if (m->own_xattrs)
        return 0;
    ssize_t size = lower->ops->listxattr ? lower->ops->listxattr(lower, NULL, 0) : 0;
    if (size > 0) {
        char *list = kmalloc(size);
        if (!list)
            return -ENOMEM;
        int error = 0;
        size = lower->ops->listxattr(lower, list, size);
        for (ssize_t at = 0; !error && at < size; at += strlen(list + at) + 1)
            error = take_over_one(m, list + at);
        kfree(list);
        if (error || size < 0) {
            mem_drop_xattrs(m);
            return error ? error : (int)size;
        }
    } else if (size < 0) {
        return size;
    }
    m->own_xattrs = true;
    mem_pin(m);
    return 0;
}

ssize_t mem_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct mem_inode *m = mem_inode(inode);
    if (!m->own_xattrs && m->lower)
        return m->lower->ops->getxattr ? m->lower->ops->getxattr(m->lower, name, buf, size) : -ENODATA;
    struct mem_xattr *x = find(m, name);
    if (!x)
        return -ENODATA;
    if (size == 0)
        return x->size;
    if (size < x->size)
        return -ERANGE;
    memcpy(buf, x->value, x->size);
    return x->size;
}

int mem_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    struct mem_inode *m = mem_inode(inode);
    int error = m->lower ? take_over(m) : 0;
    if (error)
        return error;
    struct mem_xattr *old = find(m, name);
    if (old && (flags & XATTR_CREATE))
        return -EEXIST;
    if (!old && (flags & XATTR_REPLACE))
        return -ENODATA;
    struct mem_xattr *x = xattr_new(name, size);
    if (!x)
        return -ENOMEM;
    memcpy(x->value, value, size);
    if (old) {
        LIST_REMOVE(old, link);
        xattr_free(old);
    }
    LIST_INSERT_HEAD(&m->xattrs, x, link);
    inode->ctime = time_now();
    return 0;
}

ssize_t mem_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct mem_inode *m = mem_inode(inode);
    struct mem_xattr *x;
    size_t total = 0;
    if (!m->own_xattrs && m->lower)
        return m->lower->ops->listxattr ? m->lower->ops->listxattr(m->lower, buf, size) : 0;
    LIST_FOREACH (x, &m->xattrs, link) {
        size_t length = strlen(x->name) + 1;
        if (size && total + length > size)
            return -ERANGE;
        if (size)
            memcpy(buf + total, x->name, length);
        total += length;
    }
    return total;
}

int mem_removexattr(struct inode *inode, const char *name)
{
    struct mem_inode *m = mem_inode(inode);
    int error = m->lower ? take_over(m) : 0;
    if (error)
        return error;
    struct mem_xattr *x = find(m, name);
    if (!x)
        return -ENODATA;
    LIST_REMOVE(x, link);
    xattr_free(x);
    inode->ctime = time_now();
    return 0;
}

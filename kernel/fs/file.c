/* Open file descriptions: lifetime, anonymous ones, names, seeking. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

struct anon_inode {
    struct inode inode;
    const char *name;
};

static void anon_evict(struct inode *inode)
{
    kfree(container_of(inode, struct anon_inode, inode));
}

static const struct inode_ops anon_inode_ops = {.evict = anon_evict};

static struct super_block anon_sb = {.type = "anon_inodefs", .magic = 0x09041934};

struct file *file_new_inode(struct inode *inode, const struct file_ops *ops, void *private, unsigned flags)
{
    struct file *file = kzalloc(sizeof(*file));
    if (!file)
        return NULL;
    file->ops = ops;
    file->inode = inode_get(inode);
    file->private = private;
    file->flags = flags;
    file->refcount = 1;
    return file;
}

struct file *file_new_anon(const char *name, const struct file_ops *ops, void *private, unsigned flags)
{
    struct anon_inode *anon = kzalloc(sizeof(*anon));
    if (!anon)
        return NULL;
    if (anon_sb.dev == 0)
        anon_sb.dev = super_dev_next();
    inode_init(&anon->inode, &anon_sb, &anon_inode_ops, 0600);
    anon->inode.file_ops = ops;
    anon->name = name;
    struct file *file = file_new_inode(&anon->inode, ops, private, flags);
    inode_put(&anon->inode);
    return file;
}

struct file *file_get(struct file *file)
{
    file->refcount++;
    return file;
}

void file_put(struct file *file)
{
    if (!file || --file->refcount > 0)
        return;
    if (!(file->flags & O_PATH)) {
        if (file->epoll_watchers)
            epoll_file_released(file);
        if (file->has_locks)
            locks_release_file(file);
        fsnotify_close(file);
        if (file->ops && file->ops->release)
            file->ops->release(file);
        if (file->write_counted)
            file->inode->write_count--;
    }
    if (file->dentry)
        dentry_put(file->dentry);
    inode_put(file->inode);
    kfree(file);
}

/* "pipe" becomes "pipe:[INO]"; names with a colon or slash are whole. */
static const char *anon_name(struct inode *inode, char *buf, size_t size)
{
    const char *name = "anon";
    if (inode->ops == &anon_inode_ops)
        name = container_of(inode, struct anon_inode, inode)->name;
    if (strchr(name, ':') || strchr(name, '/'))
        string_copy(buf, name, size);
    else
        snprintf(buf, size, "%s:[%lu]", name, (unsigned long)inode->ino);
    return buf;
}

char *file_path(struct file *file, char *buf, size_t size)
{
    if (file->dentry && (file->dentry->parent || file->dentry == dentry_root_of(file->dentry->sb)))
        return dentry_path(file->dentry, buf, size);
    if (file->dentry) { /* detached: a memfd, an O_TMPFILE file, a pipe opened through /proc */
        if (file->dentry->name_size + 1u > size)
            return NULL;
        memcpy(buf, file->dentry->name, file->dentry->name_size + 1u);
        return buf;
    }
    anon_name(file->inode, buf, size);
    return buf;
}

struct dentry *file_dentry_get(struct file *file)
{
    if (file->dentry)
        return dentry_get(file->dentry);
    char name[64];
    return dentry_new_detached(file->inode, anon_name(file->inode, name, sizeof(name)));
}

file_off_t file_llseek_size(struct file *file, file_off_t offset, int whence)
{
    file_off_t size = file->inode->size, base = 0;
    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = file->pos;
        break;
    case SEEK_END:
        base = size;
        break;
    case SEEK_DATA:
        if (offset < 0 || offset >= size)
            return -ENXIO;
        break;
    case SEEK_HOLE:
        if (offset < 0 || offset >= size)
            return -ENXIO;
        offset = size;
        break;
    default:
        return -EINVAL;
    }
    file_off_t pos;
    if (__builtin_add_overflow(base, offset, &pos))
        return -EINVAL;
    if (pos < 0)
        return -EINVAL;
    return file->pos = pos;
}

file_off_t file_llseek_dir(struct file *file, file_off_t offset, int whence)
{
    if (whence == SEEK_CUR)
        offset += file->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (offset < 0)
        return -EINVAL;
    return file->pos = offset;
}

/* Telling inotify what happens to files; nothing is done while nobody watches. */
#include <linux/inotify.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/internal.h"

void fsnotify_dentry(struct dentry *dentry, uint32_t mask)
{
    struct inode *inode = dentry->inode, *dir = dentry_parent_inode(dentry);
    if (S_ISDIR(inode->mode))
        mask |= IN_ISDIR;
    if (dir && dir->watches && !dentry->deleted)
        fsnotify(dir, mask, dentry->name, inode, 0);
    if (inode->watches)
        fsnotify(inode, mask, NULL, NULL, 0);
}

void fsnotify_close(struct file *file)
{
    if (file->dentry)
        fsnotify_dentry(file->dentry, file_writable(file) ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
}

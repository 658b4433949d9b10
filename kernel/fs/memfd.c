/* memfd_create(2): nameless files of a tmpfs that is mounted nowhere. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>

#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define NAME_PREFIX "/memfd:"
#define NAME_SIZE_MAX 249

static struct super_block *memfd_sb(void)
{
    static struct super_block *sb;
    if (!sb)
        sb = tmpfs_new(0, 0700);
    return sb;
}

static int memfd_open(const char *name, unsigned flags, struct file **ret_file)
{
    struct super_block *sb = memfd_sb();
    struct mem_inode *m = sb ? mem_inode_new(sb, S_IFREG | (flags & MFD_NOEXEC_SEAL ? 0666 : 0777)) : NULL;
    if (!m)
        return -ENOMEM;
    m->inode.nlink = 0;
    m->file.seals = SEALABLE | (flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) ? 0 : F_SEAL_SEAL);
    if (flags & MFD_NOEXEC_SEAL)
        m->file.seals |= F_SEAL_EXEC;
    struct dentry *dentry = dentry_new_detached(&m->inode, name);
    inode_put(&m->inode);
    if (!dentry)
        return -ENOMEM;
    int error = vfs_open_dentry(dentry, O_RDWR, ret_file);
    dentry_put(dentry);
    /* As on Linux, this one does not keep the file from being executed: who wrote a program into it can run it. */
    if (!error && (*ret_file)->write_counted) {
        m->inode.write_count--;
        (*ret_file)->write_counted = false;
    }
    return error;
}

int memfd_new(const char *name, file_off_t size, struct file **ret_file)
{
    int error = memfd_open(name, 0, ret_file);
    if (!error)
        (*ret_file)->inode->size = size;
    return error;
}

SYSCALL_DEFINE2(memfd_create, uaddr_t, name_addr, unsigned, flags)
{
    char name[sizeof(NAME_PREFIX) + NAME_SIZE_MAX + sizeof(" (deleted)")] = NAME_PREFIX;
    struct file *file;
    if ((flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)) ||
        (flags & (MFD_EXEC | MFD_NOEXEC_SEAL)) == (MFD_EXEC | MFD_NOEXEC_SEAL))
        return -EINVAL;
    ssize_t size = strncpy_from_user(name + sizeof(NAME_PREFIX) - 1, name_addr, NAME_SIZE_MAX + 1);
    if (size < 0)
        return size == -ENAMETOOLONG ? -EINVAL : size;
    memcpy(name + sizeof(NAME_PREFIX) - 1 + size, " (deleted)", sizeof(" (deleted)"));
    int error = memfd_open(name, flags, &file);
    if (error)
        return error;
    int fd = fd_install(file, 0, flags & MFD_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

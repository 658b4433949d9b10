/* The first half of exec: find the program, its script interpreters and its loader, and check all of it. */
#include <linux/elf.h>
#include <linux/errno.h>

#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/elf.h"
#include "kernel/process/exec.h"
#include "kernel/process/process.h"

#define SCRIPT_DEPTH_MAX 5
#define MODE_TYPE 0170000
#define MODE_REGULAR 0100000
#define MOUNT_NOEXEC 8 /* MS_NOEXEC */

/* Programs that are being started cannot be written, nor those that run (exec.c). */
static void program_put(struct file **file)
{
    if (!*file)
        return;
    (*file)->inode->deny_write--;
    file_put(*file);
    *file = NULL;
}

void exec_free(struct exec *exec)
{
    program_put(&exec->file);
    program_put(&exec->interp_file);
    kfree(exec->image);
    kfree(exec->interp);
    kfree(exec->name);
    kfree(exec->argv.text);
    kfree(exec->envp.text);
    memset(exec, 0, sizeof *exec);
}

/* As open(2) for reading, but without asking for read permission. */
static int open_for_exec(struct dentry *dentry, struct file **ret_file)
{
    struct inode *inode = dentry_inode(dentry);
    const struct file_ops *ops = inode->file_ops;
    if (!ops)
        return -EACCES;
    struct file *file = file_new_inode(inode, ops, NULL, 0);
    if (!file)
        return -ENOMEM;
    file->dentry = dentry_get(dentry);
    int r = ops->open ? ops->open(inode, file) : 0;
    if (r < 0) {
        file_put(file);
        return r;
    }
    inode->deny_write++;
    *ret_file = file;
    return 0;
}

/* Execute permission is enough: a program need not be readable to be run. */
static int open_program(int dfd, const char *path, unsigned lookup_flags, struct file **ret_file)
{
    struct dentry *dentry;
    int r = vfs_lookup(dfd, path, lookup_flags, &dentry);
    if (r < 0)
        return r;
    struct inode *inode = dentry_inode(dentry);
    if (!inode)
        r = -ENOENT;
    else if ((inode->mode & MODE_TYPE) == 0120000)
        r = -ELOOP;
    else if ((inode->mode & MODE_TYPE) != MODE_REGULAR || (dentry_super(dentry)->flags & MOUNT_NOEXEC))
        r = -EACCES;
    else
        r = inode_permission(inode, 1);
    if (r == 0 && inode->write_count > 0)
        r = -ETXTBSY;
    if (r == 0)
        r = open_for_exec(dentry, ret_file);
    dentry_put(dentry);
    return r;
}

static ssize_t read_file(void *context, void *buf, size_t size, file_off_t pos)
{
    return vfs_read_kernel(context, buf, size, pos);
}

static int parse(struct file *file, struct elf_image **ret_image)
{
    struct elf_reader reader = {read_file, file};
    struct elf_image *image = kmalloc(sizeof *image);
    if (!image)
        return -ENOMEM;
    int r = elf_parse(&reader, image);
    if (r < 0) {
        kfree(image);
        return r;
    }
    *ret_image = image;
    return 0;
}

/* The "#!" line of exec->file becomes the first arguments: interpreter, its argument, the script's own name. */
static int script_arguments(struct exec *exec, const char *script, const char *interp, const char *arg)
{
    exec_drop_first(&exec->argv);
    int r = exec_prepend(exec, &exec->argv, script);
    if (r == 0 && arg)
        r = exec_prepend(exec, &exec->argv, arg);
    if (r == 0)
        r = exec_prepend(exec, &exec->argv, interp);
    return r;
}

static int load_interp(struct exec *exec)
{
    if (!exec->image->has_interp)
        return 0;
    int r = open_program(AT_FDCWD_, exec->image->interp, LOOKUP_FOLLOW, &exec->interp_file);
    if (r < 0)
        return r;
    r = parse(exec->interp_file, &exec->interp);
    return r == -ENOEXEC || r == -EINVAL ? -ELIBBAD : r;
}

/* One level: 0 = exec->file is an ELF program, 1 = a script, whose interpreter's path is now in *path (kmalloc'd). */
static int open_level(struct exec *exec, char **path)
{
    char *head = kzalloc(SCRIPT_HEAD_SIZE + 1);
    if (!head)
        return -ENOMEM;
    char *interp, *arg;
    ssize_t n = vfs_read_kernel(exec->file, head, SCRIPT_HEAD_SIZE, 0);
    int r = n < 0 ? (int)n : script_parse(head, &interp, &arg);
    if (r == 0 && n < (ssize_t)sizeof(Elf64_Ehdr))
        r = -ENOEXEC;
    if (r == 1) {
        if (exec->cloexec_fd)
            r = -ENOENT;
        else
            r = script_arguments(exec, *path, interp, arg);
        char *next = r == 0 ? kstrdup(interp) : NULL;
        if (r == 0 && !next)
            r = -ENOMEM;
        if (r == 0) {
            kfree(*path);
            *path = next;
            r = 1;
        }
    }
    kfree(head);
    return r;
}

int exec_open(struct exec *exec, int dfd, const char *first_path, unsigned lookup_flags)
{
    char *path = kstrdup(exec->name);
    int r = path ? open_program(dfd, first_path, lookup_flags, &exec->file) : -ENOMEM;
    for (int depth = 0; r == 0; depth++) {
        r = open_level(exec, &path);
        if (r <= 0)
            break;
        if (depth == SCRIPT_DEPTH_MAX) {
            r = -ELOOP;
            break;
        }
        program_put(&exec->file);
        exec->cloexec_fd = false;
        r = open_program(AT_FDCWD_, path, LOOKUP_FOLLOW, &exec->file);
    }
    kfree(path);
    if (r == 0)
        r = parse(exec->file, &exec->image);
    if (r == 0)
        r = load_interp(exec);
    if (r == 0) {
        const struct inode *inode = exec->file->inode;
        bool nosuid = exec->file->dentry && (dentry_super(exec->file->dentry)->flags & 2 /* MS_NOSUID */);
        exec->set_mode = nosuid ? 0 : inode->mode;
        exec->unreadable = inode_permission(exec->file->inode, 4) < 0;
        exec->set_uid = inode->uid;
        exec->set_gid = inode->gid;
    }
    return r;
}

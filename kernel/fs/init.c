/* The tree as the first process finds it: root image, overlay, the kernel's own file systems, the policy's mounts. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/attestation/attestation.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/image_key.h"
#include "kernel/fs/dev.h"
#include "kernel/fs/erofs.h"
#include "kernel/fs/hostfs.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/fs/verity.h"
#include "kernel/fs/volumefs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

/* Verified blocks kept for reading again: enough for the metadata and hot files of a big image. */
#define CACHE_BYTES (4UL << 20)
/* A member only maps files: what it reads lies in the process's own memory then. So these are for metadata. */
#define CACHE_BYTES_MEMBER (256UL << 10)

struct verity *root_device;

static struct super_block *root_image(uint64_t cache_bytes, bool keep_read)
{
    const struct policy *p = policy();
    const struct boot_params *boot = boot_params();
    struct verity_params params = {
        .image = {boot->root.addr},
        .image_size = ALIGN_DOWN(boot->root.size, ROOT_BLOCK_SIZE),
        .data_size = p->root_size,
        .hash_offset = p->root_hash_offset,
        .key = image_key(),
        .cache_blocks = cache_bytes / ROOT_BLOCK_SIZE,
        .keep_read = keep_read,
    };
    struct super_block *sb;
    memcpy(params.root_hash, p->root_hash, sizeof(params.root_hash));
    memcpy(params.salt, p->root_salt, sizeof(params.salt));
    int error = verity_open(&params, &root_device);
    if (error)
        panic("the root image is %lu bytes: shorter than the policy says", (unsigned long)boot->root.size);
    error = erofs_open(root_device, &sb);
    if (error)
        panic("the root image cannot be mounted: error %d", -error);
    return sb;
}

static void make_directory(const char *path, uint32_t mode)
{
    int error = vfs_mkdir(AT_FDCWD, path, mode);
    if (error && error != -EEXIST)
        printk(LOG_WARNING, "cofre: cannot make %s: error %d\n", path, -error);
}

void fs_make_directories(const char *path, uint32_t mode)
{
    char *copy = kstrdup(path);
    if (!copy)
        return;
    for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        make_directory(copy, 0755);
        *p = '/';
    }
    make_directory(copy, mode);
    kfree(copy);
}

static void mount_at(const char *path, struct super_block *sb, unsigned flags)
{
    fs_make_directories(path, 0755);
    int error = sb ? vfs_mount(path, sb, flags) : -ENOMEM;
    if (error)
        panic("cannot mount %s: error %d", path, -error);
}

static void mount_policy_tmpfs(void)
{
    const struct policy *p = policy();
    const struct policy_mount *m = (const void *)((const char *)p + p->tmpfs.offset);
    for (uint32_t i = 0; i < p->tmpfs.count; i++)
        mount_at(policy_string_at(m[i].path_offset), tmpfs_new(m[i].size_max, m[i].mode ? m[i].mode : 01777),
                 MS_NOSUID | MS_NODEV);
}

static struct super_block *lower;

void fs_init_member(void)
{
    lower = root_image(CACHE_BYTES_MEMBER, false);
}

int fs_root_inode(uint64_t number, struct inode **ret_inode)
{
    return erofs_inode_get(container_of(lower, struct erofs, sb), number, ret_inode);
}

void fs_init(void)
{
    lower = root_image(CACHE_BYTES, true);
    struct super_block *root = volumes_root(lower);
    if (!root)
        root = overlay_new(lower);
    if (!root || vfs_mount("/", root, 0) < 0)
        panic("no memory for the root file system");
    mount_at("/proc", procfs_new(), MS_NOSUID | MS_NODEV | MS_NOEXEC);
    mount_at("/dev", devfs_new(), MS_NOSUID);
    mount_at("/dev/pts", devpts_new(), MS_NOSUID | MS_NOEXEC);
    mount_at("/dev/attestation", attestfs_new(), MS_NOSUID | MS_NODEV | MS_NOEXEC);
    mount_at("/sys", sysfs_new(), MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY);
    make_directory("/dev/shm", 01777);
    mount_at("/dev/shm", tmpfs_new(0, 01777), MS_NOSUID | MS_NODEV);
    mount_policy_tmpfs();
    volumes_mount();
    hostfs_mount_all();
}

void fs_init_done(void)
{
    struct mount *root = TAILQ_FIRST(&mounts);
    if (policy_allows(POLICY_READ_ONLY_ROOT))
        root->sb->flags = root->flags |= MS_RDONLY;
}

int fs_write_text(const char *path, const char *text, size_t size)
{
    struct file *file;
    int error = vfs_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &file);
    if (error == -ENOENT) { /* a link that leads nowhere, or no /etc */
        char *copy = kstrdup(path);
        char *slash = copy ? strrchr(copy, '/') : NULL;
        if (slash && slash > copy) {
            *slash = 0;
            fs_make_directories(copy, 0755);
        }
        kfree(copy);
        (void)vfs_unlink(AT_FDCWD, path);
        error = vfs_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &file);
    }
    if (error)
        return error;
    if (size > 0 && vfs_write_kernel(file, text, size, 0) != (ssize_t)size)
        error = -ENOSPC;
    file_put(file);
    return error;
}

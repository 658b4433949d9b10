/* /dev: memory devices, the terminal devices, and the names of all. */
#include "kernel/fs/dev.h"

#include <asm-generic/errno.h>
#include <linux/mman.h>
#include <linux/random.h>
#include <linux/stat.h>

#include "kernel/fs/console.h"
#include "kernel/fs/pseudofs.h"
#include "kernel/fs/tty.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"

/* ---- memory devices ---- */

static ssize_t null_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    return 0;
}

static ssize_t null_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    size_t size = from->count;

    iov_iter_advance(from, size);
    return (ssize_t)size;
}

static ssize_t zero_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    size_t wanted = to->count, done = zero_iter(to, wanted);

    return wanted && !done ? -EFAULT : (ssize_t)done;
}

static ssize_t full_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    return from->count ? -ENOSPC : 0;
}

static file_off_t null_llseek(struct file *file, file_off_t offset, int whence)
{
    return file->pos = 0;
}

/* /dev/zero mapped is anonymous memory. */
static int zero_mmap(struct file *file, struct vma *vma)
{
    static const struct vma_ops anonymous;

    vma->ops = &anonymous;
    return 0;
}

static ssize_t random_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    uint8_t chunk[256];
    ssize_t done = 0;

    while (to->count) {
        size_t wanted = MIN(to->count, sizeof chunk), got;

        random_bytes(chunk, wanted);
        got = copy_to_iter(to, chunk, wanted);
        done += (ssize_t)got;
        if (got < wanted)
            return done ? done : -EFAULT;
        if (done % 65536 == 0 && signal_pending(task_current()))
            break;
    }
    return done;
}

/* What the application stirs in neither helps nor harms. */
static int64_t random_ioctl(struct file *file, unsigned command, uint64_t arg)
{
    switch (command) {
    case RNDGETENTCNT:
        return put_user32(arg, 256);
    case RNDADDTOENTCNT:
    case RNDADDENTROPY:
    case RNDCLEARPOOL:
    case RNDZAPENTCNT:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

static const struct file_ops null_ops = {.read = null_read, .write = null_write, .llseek = null_llseek};
static const struct file_ops zero_ops = {
    .read = zero_read, .write = null_write, .llseek = null_llseek, .mmap = zero_mmap};
static const struct file_ops full_ops = {.read = zero_read, .write = full_write, .llseek = null_llseek};
static const struct file_ops random_ops = {
    .read = random_read, .write = null_write, .ioctl = random_ioctl, .llseek = null_llseek};

/* ---- terminals by their general names ---- */

static int open_controlling(struct inode *inode, struct file *file)
{
    struct tty *tty = tty_controlling();

    if (!tty)
        return -ENXIO;
    file->ops = &tty_file_ops;
    return tty_open(tty, file);
}

static int open_console(struct inode *inode, struct file *file)
{
    if (!console_tty())
        return -ENXIO;
    file->ops = &tty_file_ops;
    return tty_open(console_tty(), file);
}

static const struct file_ops controlling_ops = {.open = open_controlling};
static const struct file_ops console_ops = {.open = open_console};

void dev_init(void)
{
    device_register(DEV_NULL, &null_ops);
    device_register(DEV_ZERO, &zero_ops);
    device_register(DEV_FULL, &full_ops);
    device_register(DEV_RANDOM, &random_ops);
    device_register(DEV_URANDOM, &random_ops);
    device_register(DEV_TTY, &controlling_ops);
    device_register(DEV_CONSOLE, &console_ops);
    pty_init();
}

/* ---- names ---- */

static const struct {
    const char *name;
    uint64_t rdev;
} nodes[] = {
    {"null", DEV_NULL},     {"zero", DEV_ZERO},       {"full", DEV_FULL},
    {"random", DEV_RANDOM}, {"urandom", DEV_URANDOM}, {"tty", DEV_TTY},
};

static const struct {
    const char *name, *target;
} links[] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},         {"core", "/proc/kcore"},
};

static const char *const directories[] = {"pts", "shm", "mqueue"};

static int add_names(struct inode *dir)
{
    struct inode *inode;
    int r = 0;

    for (size_t i = 0; i < ARRAY_COUNT(nodes) && r == 0; i++) {
        r = dir->ops->create(dir, nodes[i].name, S_IFCHR | 0666, nodes[i].rdev, &inode);
        if (r == 0)
            inode_put(inode);
    }
    if (r == 0 && console_tty()) {
        r = dir->ops->create(dir, "console", S_IFCHR | 0620, DEV_CONSOLE, &inode);
        if (r == 0)
            inode_put(inode);
    }
    for (size_t i = 0; i < ARRAY_COUNT(links) && r == 0; i++) {
        r = dir->ops->symlink(dir, links[i].name, links[i].target, &inode);
        if (r == 0)
            inode_put(inode);
    }
    for (size_t i = 0; i < ARRAY_COUNT(directories) && r == 0; i++) {
        r = dir->ops->mkdir(dir, directories[i], S_IFDIR | 0755, &inode);
        if (r == 0)
            inode_put(inode);
    }
    return r;
}

struct super_block *devfs_new(void)
{
    struct super_block *sb = tmpfs_new(65536 << 10, 0755);

    if (!sb)
        return NULL;
    dev_init();
    return add_names(sb->root) < 0 ? NULL : sb;
}

/* ---- /dev/pts ---- */

static bool next_pts(const struct pseudo_ctx *dir, uint64_t *number)
{
    return pty_next(number);
}

/* Terminals given away (sshd) change their owner. */
static struct pseudo_attributes *pts_attributes(const struct pseudo_ctx *ctx)
{
    struct tty *tty = pty_slave((unsigned)ctx->number);

    return tty ? &tty->attributes : NULL;
}

static const struct pseudo_entry pts_entry = {
    .mode = S_IFCHR | 0620, .rdev = DEV_PTS(0), .rdev_numbered = true, .attributes = pts_attributes};
static const struct pseudo_numbered pts_numbers = {.next = next_pts, .entry = &pts_entry};
static const struct pseudo_entry pts_names[] = {
    {.name = "ptmx", .mode = S_IFCHR | 0666, .rdev = DEV_PTMX},
    {0},
};
static const struct pseudo_entry pts_root = {.mode = S_IFDIR | 0755, .children = pts_names, .numbered = &pts_numbers};

struct super_block *devpts_new(void)
{
    return pseudofs_new("devpts", 0x1cd1, &pts_root);
}

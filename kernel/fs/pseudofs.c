/* File systems made of tables and functions. */
#include "kernel/fs/pseudofs.h"

#include <asm-generic/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/table.h"

struct pseudo_inode {
    struct inode inode;
    const struct pseudo_entry *entry;
    struct pseudo_ctx ctx;
};

static const struct inode_ops dir_inode_ops, file_inode_ops, link_inode_ops, place_inode_ops;
static const struct file_ops dir_file_ops, file_file_ops;

static struct pseudo_inode *pseudo_of(const struct inode *inode)
{
    return container_of(inode, struct pseudo_inode, inode);
}

/* ---- text ---- */

static bool seq_room(struct seq *seq, size_t size)
{
    size_t wanted = seq->used + size + 1;
    char *text;

    if (seq->failed)
        return false;
    if (wanted <= seq->size)
        return true;
    wanted = MAX(wanted, seq->size * 2);
    wanted = MAX(wanted, (size_t)512);
    text = krealloc(seq->text, wanted);
    if (!text) {
        seq->failed = true;
        return false;
    }
    seq->text = text;
    seq->size = wanted;
    return true;
}

void seq_printf(struct seq *seq, const char *format, ...)
{
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0 || !seq_room(seq, (size_t)size))
        return;
    va_start(args, format);
    vsnprintf(seq->text + seq->used, (size_t)size + 1, format, args);
    va_end(args);
    seq->used += (size_t)size;
}

void seq_write(struct seq *seq, const void *bytes, size_t size)
{
    if (!seq_room(seq, size))
        return;
    memcpy(seq->text + seq->used, bytes, size);
    seq->used += size;
}

/* ---- inodes ---- */

/* Names of one thing keep their number from one lookup to the next. */
static uint64_t inode_number(const struct super_block *sb, const struct pseudo_entry *entry,
                             const struct pseudo_ctx *ctx)
{
    uint64_t parts[] = {(uint64_t)sb, (uint64_t)entry, (uint64_t)ctx->pid, (uint64_t)ctx->tid, ctx->number};
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        hash = (hash ^ parts[i]) * 0x100000001b3ULL ^ (hash >> 29);
    return (hash & 0x7fffffff) | 1ULL << 32;
}

static struct pseudo_attributes *attributes_of(const struct pseudo_inode *pseudo)
{
    return pseudo->entry->attributes ? pseudo->entry->attributes(&pseudo->ctx) : NULL;
}

static void attributes_load(struct pseudo_inode *pseudo)
{
    const struct pseudo_attributes *attributes = attributes_of(pseudo);
    struct inode *inode = &pseudo->inode;

    if (!attributes)
        return;
    inode->uid = attributes->uid;
    inode->gid = attributes->gid;
    inode->mode = (inode->mode & S_IFMT) | attributes->mode;
}

static struct inode *inode_make(struct super_block *sb, const struct pseudo_entry *entry, const struct pseudo_ctx *ctx)
{
    struct pseudo_inode *pseudo = kzalloc(sizeof *pseudo);
    struct inode *inode;

    if (!pseudo)
        return NULL;
    pseudo->entry = entry;
    pseudo->ctx = *ctx;
    inode = &pseudo->inode;
    inode_init(inode, sb, &file_inode_ops, entry->mode_of ? entry->mode_of(ctx) : entry->mode);
    inode->ino = inode_number(sb, entry, ctx);
    inode->uid = inode->gid = 0;
    const struct process *owner = ctx->pid ? process_of(ctx->pid) : process_self();

    if (entry->owned && owner) {
        inode->uid = owner->credentials.euid;
        inode->gid = owner->credentials.egid;
    }
    attributes_load(pseudo);
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        inode->ops = &dir_inode_ops;
        inode->file_ops = &dir_file_ops;
        inode->nlink = 2;
        break;
    case S_IFLNK:
        inode->ops = entry->place ? &place_inode_ops : &link_inode_ops;
        break;
    case S_IFCHR:
        inode->rdev = entry->rdev + (entry->rdev_numbered ? ctx->number : 0);
        break;
    default:
        inode->file_ops = &file_file_ops;
    }
    return inode;
}

static void pseudo_evict(struct inode *inode)
{
    kfree(pseudo_of(inode));
}

struct super_block *pseudofs_new(const char *type, uint32_t magic, const struct pseudo_entry *root)
{
    struct super_block *sb = kzalloc(sizeof *sb);
    struct pseudo_ctx ctx = {0};

    if (!sb)
        return NULL;
    sb->type = type;
    sb->magic = magic;
    sb->dev = super_dev_next();
    sb->volatile_names = true;
    sb->root = inode_make(sb, root, &ctx);
    if (!sb->root) {
        kfree(sb);
        return NULL;
    }
    return sb;
}

/* ---- directories ---- */

/* The number in a name that the directory's rule would give, or false. */
static bool parse_number(const struct pseudo_numbered *numbered, const char *name, uint64_t *ret_number)
{
    size_t prefix = numbered->prefix ? strlen(numbered->prefix) : 0;

    if (prefix && strncmp(name, numbered->prefix, prefix) != 0)
        return false;
    name += prefix;
    if (name[0] == '0' && name[1])
        return false;
    return string_to_u64(name, INT32_MAX, ret_number);
}

static bool has_number(const struct pseudo_numbered *numbered, const struct pseudo_ctx *ctx, uint64_t number)
{
    uint64_t found = number;

    if (numbered->next(ctx, &found) && found == number)
        return true;
    return numbered->hidden && numbered->hidden(ctx, number);
}

static void child_ctx(const struct pseudo_numbered *numbered, const struct pseudo_ctx *dir, uint64_t number,
                      struct pseudo_ctx *child)
{
    *child = *dir;
    if (numbered->bind)
        numbered->bind(child, number);
    else
        child->number = number;
}

static int dir_lookup(struct inode *dir, const char *name, struct inode **ret_inode)
{
    const struct pseudo_inode *pseudo = pseudo_of(dir);
    const struct pseudo_numbered *numbered = pseudo->entry->numbered;
    const struct pseudo_entry *entry;
    struct pseudo_ctx ctx = pseudo->ctx;
    uint64_t number;

    for (entry = pseudo->entry->children; entry && entry->name; entry++)
        if (strcmp(entry->name, name) == 0)
            break;
    if (!entry || !entry->name) {
        if (!numbered || !parse_number(numbered, name, &number) || !has_number(numbered, &pseudo->ctx, number))
            return -ENOENT;
        entry = numbered->entry;
        child_ctx(numbered, &pseudo->ctx, number, &ctx);
    }
    *ret_inode = inode_make(dir->sb, entry, &ctx);
    return *ret_inode ? 0 : -ENOMEM;
}

static unsigned dirent_type(uint32_t mode)
{
    return (mode & S_IFMT) >> 12;
}

static bool emit(struct file *file, struct dir_context *ctx, const struct pseudo_entry *entry, const char *name,
                 const struct pseudo_ctx *child)
{
    if (!ctx->emit(ctx, name, strlen(name), inode_number(file->inode->sb, entry, child), dirent_type(entry->mode),
                   ctx->pos + 1))
        return false;
    ctx->pos++;
    return true;
}

#define POS_CHILDREN 2         /* of the table's names */
#define POS_NUMBERED (1 << 16) /* of numbered ones: this plus the number */

static int dir_readdir(struct file *file, struct dir_context *ctx)
{
    const struct pseudo_inode *pseudo = pseudo_of(file->inode);
    const struct pseudo_numbered *numbered = pseudo->entry->numbered;
    const struct pseudo_entry *children = pseudo->entry->children;
    uint64_t number;

    if (!dir_emit_dots(file, ctx))
        return 0;
    if (ctx->pos < POS_NUMBERED) {
        file_off_t count = 0;

        while (children && children[count].name)
            count++;
        while (ctx->pos - POS_CHILDREN < count) {
            const struct pseudo_entry *entry = &children[ctx->pos - POS_CHILDREN];

            if (!emit(file, ctx, entry, entry->name, &pseudo->ctx))
                return 0;
        }
        if (!numbered)
            return 0;
        ctx->pos = POS_NUMBERED;
    }
    for (number = (uint64_t)ctx->pos - POS_NUMBERED; numbered && numbered->next(&pseudo->ctx, &number); number++) {
        struct pseudo_ctx child;
        char name[32];

        child_ctx(numbered, &pseudo->ctx, number, &child);
        snprintf(name, sizeof name, "%s%lu", numbered->prefix ? numbered->prefix : "", (unsigned long)number);
        ctx->pos = POS_NUMBERED + (file_off_t)number;
        if (!emit(file, ctx, numbered->entry, name, &child))
            return 0;
    }
    return 0;
}

/* ---- links ---- */

static ssize_t link_readlink(struct inode *inode, char *buf, size_t size)
{
    const struct pseudo_inode *pseudo = pseudo_of(inode);

    if (pseudo->entry->link)
        return pseudo->entry->link(&pseudo->ctx, buf, size);
    if (!pseudo->entry->text)
        return -EINVAL;
    size = MIN(size, strlen(pseudo->entry->text));
    memcpy(buf, pseudo->entry->text, size);
    return (ssize_t)size;
}

static int link_place(struct inode *inode, struct dentry **ret_dentry)
{
    const struct pseudo_inode *pseudo = pseudo_of(inode);

    return pseudo->entry->place(&pseudo->ctx, ret_dentry);
}

/* ---- files ---- */

/* What of a file's text was made last. */
struct window {
    struct seq seq;
    file_off_t start; /* where in the text that is */
    struct pseudo_cursor cursor;
    bool last; /* nothing comes after it */
};

static void window_free(struct window *w)
{
    if (w)
        kfree(w->seq.text);
    kfree(w);
}

static int window_make(const struct pseudo_inode *pseudo, struct window *w)
{
    const struct pseudo_entry *entry = pseudo->entry;
    int r = 0;

    if (entry->records)
        w->last = entry->records(&w->seq, &pseudo->ctx, &w->cursor);
    else if (entry->text)
        seq_printf(&w->seq, "%s", entry->text);
    else
        r = entry->show ? entry->show(&w->seq, &pseudo->ctx) : -EINVAL;
    if (!entry->records)
        w->last = true;
    return r == 0 && w->seq.failed ? -ENOMEM : r;
}

/* Until it has pos, or the text ends before that. */
static int window_move(const struct pseudo_inode *pseudo, struct window *w, file_off_t pos)
{
    while (!w->last && pos >= w->start + (file_off_t)w->seq.used) {
        w->start += (file_off_t)w->seq.used;
        w->seq.used = 0;
        int r = window_make(pseudo, w);
        if (r < 0)
            return r;
    }
    return 0;
}

/* From the start on it is made anew. Making and copying may sleep: meanwhile it is not the file's, and others make
 * their own. */
static ssize_t file_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct window *w = file->private;
    size_t wanted = 0, done = 0, offset;

    file->private = NULL;
    if (w && (*pos == 0 || *pos < w->start)) {
        window_free(w);
        w = NULL;
    }
    if (!w)
        w = kzalloc(sizeof *w);
    int r = w ? window_move(pseudo_of(file->inode), w, *pos) : -ENOMEM;
    if (r < 0) {
        window_free(w);
        return r;
    }
    offset = (size_t)(*pos - w->start);
    if (offset < w->seq.used) {
        wanted = MIN(w->seq.used - offset, to->count);
        done = copy_to_iter(to, w->seq.text + offset, wanted);
        *pos += (file_off_t)done;
    }
    if (file->private)
        window_free(w);
    else
        file->private = w;
    return wanted && !done ? -EFAULT : (ssize_t)done;
}

static ssize_t file_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    const struct pseudo_inode *pseudo = pseudo_of(file->inode);
    size_t size = from->count;
    int r = -EFAULT;

    if (!pseudo->entry->store && !pseudo->entry->store_at)
        return -EIO;
    if (size >= PSEUDO_STORE_MAX)
        return -EINVAL;
    char *text = kmalloc(size + 1);
    if (!text)
        return -ENOMEM;
    if (copy_from_iter(from, text, size) == size) {
        text[size] = '\0';
        r = pseudo->entry->store ? pseudo->entry->store(&pseudo->ctx, text, size)
                                 : pseudo->entry->store_at(&pseudo->ctx, text, size, *pos);
    }
    kfree(text);
    if (r < 0)
        return r;
    *pos += (file_off_t)size;
    return (ssize_t)size;
}

static void file_release(struct file *file)
{
    window_free(file->private);
}

/* Names are the kernel's to say; owners and modes, too, except where a thing keeps some. */
static int pseudo_setattr(struct inode *inode, const struct inode_attr *attr)
{
    struct pseudo_attributes *attributes = attributes_of(pseudo_of(inode));

    if (!(attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID)))
        return 0;
    if (!attributes)
        return -EPERM;
    if (attr->valid & ATTR_MODE)
        attributes->mode = attr->mode & 07777;
    if (attr->valid & ATTR_UID)
        attributes->uid = attr->uid;
    if (attr->valid & ATTR_GID)
        attributes->gid = attr->gid;
    attributes_load(pseudo_of(inode));
    return 0;
}

static int pseudo_truncate(struct inode *inode, file_off_t size)
{
    return 0;
}

/* Nothing is made here by name; /proc says that as if the name could not even be looked up. */
static int refuse_name(const struct inode *dir)
{
    return dir->sb->magic == PROC_SUPER_MAGIC ? -ENOENT : -EPERM;
}

static int dir_create(struct inode *dir, const char *name, uint32_t mode, uint64_t rdev, struct inode **ret_inode)
{
    return refuse_name(dir);
}

static int dir_mkdir(struct inode *dir, const char *name, uint32_t mode, struct inode **ret_inode)
{
    return refuse_name(dir);
}

static int dir_symlink(struct inode *dir, const char *name, const char *target, struct inode **ret_inode)
{
    return refuse_name(dir);
}

static const struct inode_ops dir_inode_ops = {.create = dir_create,
                                               .mkdir = dir_mkdir,
                                               .symlink = dir_symlink,
                                               .lookup = dir_lookup,
                                               .setattr = pseudo_setattr,
                                               .evict = pseudo_evict};
static const struct inode_ops file_inode_ops = {
    .setattr = pseudo_setattr, .truncate = pseudo_truncate, .evict = pseudo_evict};
static const struct inode_ops link_inode_ops = {
    .readlink = link_readlink, .setattr = pseudo_setattr, .evict = pseudo_evict};
static const struct inode_ops place_inode_ops = {
    .readlink = link_readlink, .magic_link = link_place, .setattr = pseudo_setattr, .evict = pseudo_evict};
static const struct file_ops dir_file_ops = {.readdir = dir_readdir, .llseek = file_llseek_dir};
static const struct file_ops file_file_ops = {
    .read = file_read, .write = file_write, .llseek = file_llseek_size, .release = file_release};

/* Directories in memory, alone or above a lower directory. */
#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/fs/tmpfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

/* Directory positions: 0 and 1 are the dots, then the lower directory's own, then entries by cookie. */
#define ENTRIES_POS (1LL << 48)

static int name_compare(const struct mem_entry *a, const struct mem_entry *b)
{
    int order = memcmp(a->name, b->name, MIN(a->name_size, b->name_size));
    return order ? order : (int)a->name_size - (int)b->name_size;
}

static int cookie_compare(const struct mem_entry *a, const struct mem_entry *b)
{
    return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_PROTOTYPE(mem_names, mem_entry, by_name, name_compare)
RB_PROTOTYPE(mem_cookies, mem_entry, by_cookie, cookie_compare)
RB_GENERATE(mem_names, mem_entry, by_name, name_compare)
RB_GENERATE(mem_cookies, mem_entry, by_cookie, cookie_compare)
#pragma GCC diagnostic pop

static struct mem_entry *entry_find(struct mem_inode *dir, const char *name, size_t size)
{
    struct mem_entry key = {.name = name, .name_size = size};
    return RB_FIND(mem_names, &dir->dir.names, &key);
}

static struct mem_entry *entry_new(const char *name)
{
    size_t size = strlen(name);
    struct mem_entry *e = kmalloc(sizeof(*e) + size + 1);
    if (!e)
        return NULL;
    e->inode = NULL;
    e->name_size = size;
    e->name = memcpy(e + 1, name, size + 1);
    return e;
}

static void entry_insert(struct mem_inode *dir, struct mem_entry *e)
{
    mem_pin(dir);
    e->cookie = ++dir->dir.last_cookie;
    RB_INSERT(mem_names, &dir->dir.names, e);
    RB_INSERT(mem_cookies, &dir->dir.cookies, e);
    if (e->inode)
        dir->dir.live_count++;
}

static void entry_remove(struct mem_inode *dir, struct mem_entry *e)
{
    RB_REMOVE(mem_names, &dir->dir.names, e);
    RB_REMOVE(mem_cookies, &dir->dir.cookies, e);
    if (e->inode)
        dir->dir.live_count--;
}

/* Make e's name lead to inode (a reference is taken). */
static void entry_set(struct mem_inode *dir, struct mem_entry *e, struct inode *inode)
{
    struct inode *old = e->inode;
    dir->dir.live_count += (inode != NULL) - (old != NULL);
    e->inode = inode ? inode_get(inode) : NULL;
    inode_put(old);
}

void mem_drop_entries(struct mem_inode *dir)
{
    struct mem_entry *e;
    while ((e = RB_ROOT(&dir->dir.names)) != NULL) {
        entry_remove(dir, e);
        inode_put(e->inode);
        kfree(e);
    }
}

/* The lower directory has the name (visible or not)? Positive answers come with a reference if ret_inode is given. */
static int lower_lookup(struct mem_inode *dir, const char *name, struct inode **ret_inode)
{
    struct inode *lower = dir->lower, *found;
    if (!lower || !lower->ops->lookup)
        return -ENOENT;
    int error = lower->ops->lookup(lower, name, &found);
    if (error)
        return error;
    if (ret_inode)
        *ret_inode = found;
    else
        inode_put(found);
    return 0;
}

static int dir_lookup(struct inode *inode, const char *name, struct inode **ret_inode)
{
    struct mem_inode *dir = mem_inode(inode);
    struct mem_entry *e = entry_find(dir, name, strlen(name));
    struct inode *lower;
    if (e) {
        if (!e->inode)
            return -ENOENT;
        *ret_inode = inode_get(e->inode);
        return 0;
    }
    int error = lower_lookup(dir, name, &lower);
    return error ? error : overlay_cover(inode->sb, lower, ret_inode);
}

/* Add a name, over a whiteout if there is one. The inode's link count is the caller's. */
static int add_name(struct inode *dir_inode, const char *name, struct inode *inode)
{
    struct mem_inode *dir = mem_inode(dir_inode);
    struct mem_entry *e = entry_find(dir, name, strlen(name));
    if (!e) {
        e = entry_new(name);
        if (!e)
            return -ENOMEM;
        entry_insert(dir, e);
    }
    entry_set(dir, e, inode);
    inode_touch_mtime(dir_inode);
    return 0;
}

/*
 * What stays behind when a name goes: an entry to keep as a whiteout, or nothing. Called before anything changes, since
 * it may fail. *ret_keep: the name exists below.
 */
static int prepare_removal(struct mem_inode *dir, const char *name, bool *ret_keep)
{
    int error = lower_lookup(dir, name, NULL);
    if (error && error != -ENOENT)
        return error;
    *ret_keep = error == 0;
    if (!*ret_keep || entry_find(dir, name, strlen(name)))
        return 0;
    struct mem_entry *e = entry_new(name);
    if (!e)
        return -ENOMEM;
    entry_insert(dir, e);
    return 0;
}

static void remove_name(struct inode *dir_inode, const char *name, bool keep)
{
    struct mem_inode *dir = mem_inode(dir_inode);
    struct mem_entry *e = entry_find(dir, name, strlen(name));
    if (e && keep) {
        entry_set(dir, e, NULL);
    } else if (e) {
        entry_remove(dir, e);
        inode_put(e->inode);
        kfree(e);
    }
    inode_touch_mtime(dir_inode);
}

/* NULL: no room, which is -ENOSPC as on Linux. */
static struct mem_inode *new_in(struct inode *dir, uint32_t mode)
{
    struct mem_inode *m = kmalloc_room_for_files() ? mem_inode_new(dir->sb, mode) : NULL;
    if (m && (dir->mode & S_ISGID)) {
        m->inode.gid = dir->gid;
        if (S_ISDIR(mode))
            m->inode.mode |= S_ISGID;
    }
    return m;
}

static int add_new(struct inode *dir, const char *name, struct mem_inode *m, struct inode **ret_inode)
{
    int error = add_name(dir, name, &m->inode);
    if (error) {
        inode_put(&m->inode);
        return error;
    }
    *ret_inode = &m->inode;
    return 0;
}

static int dir_create(struct inode *dir, const char *name, uint32_t mode, uint64_t rdev, struct inode **ret_inode)
{
    struct mem_inode *m = new_in(dir, mode);
    if (!m)
        return -ENOSPC;
    m->inode.rdev = rdev;
    return add_new(dir, name, m, ret_inode);
}

static int dir_mkdir(struct inode *dir, const char *name, uint32_t mode, struct inode **ret_inode)
{
    struct mem_inode *m = new_in(dir, mode);
    if (!m)
        return -ENOSPC;
    m->inode.nlink = 2;
    int error = add_new(dir, name, m, ret_inode);
    if (!error)
        dir->nlink++;
    return error;
}

static int dir_symlink(struct inode *dir, const char *name, const char *target, struct inode **ret_inode)
{
    struct mem_inode *m = new_in(dir, S_IFLNK | 0777);
    if (!m)
        return -ENOSPC;
    m->target = kstrdup(target);
    if (!m->target) {
        inode_put(&m->inode);
        return -ENOMEM;
    }
    m->inode.size = strlen(target);
    return add_new(dir, name, m, ret_inode);
}

int mem_tmpfile(struct inode *dir, uint32_t mode, struct inode **ret_inode)
{
    struct mem_inode *m = new_in(dir, mode);
    if (!m)
        return -ENOSPC;
    m->inode.nlink = 0;
    *ret_inode = &m->inode;
    return 0;
}

static int dir_link(struct inode *dir, const char *name, struct inode *target)
{
    int error = add_name(dir, name, target);
    if (error)
        return error;
    mem_pin(mem_inode(target));
    target->nlink++;
    target->ctime = time_now();
    return 0;
}

static int dir_unlink(struct inode *dir, const char *name, struct inode *victim)
{
    bool keep;
    int error = prepare_removal(mem_inode(dir), name, &keep);
    if (error)
        return error;
    inode_get(victim);
    remove_name(dir, name, keep);
    mem_unlink_inode(victim);
    inode_put(victim);
    return 0;
}

struct emptiness {
    struct dir_context ctx;
    struct mem_inode *dir;
    bool empty;
};

static bool is_dots(const char *name, size_t size)
{
    return name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.'));
}

static bool find_visible(struct dir_context *ctx, const char *name, size_t name_size, uint64_t ino, unsigned type,
                         file_off_t next_pos)
{
    struct emptiness *e = container_of(ctx, struct emptiness, ctx);
    if (!is_dots(name, name_size) && !entry_find(e->dir, name, name_size))
        e->empty = false;
    return e->empty;
}

static int check_empty(struct mem_inode *dir)
{
    if (dir->dir.live_count > 0)
        return -ENOTEMPTY;
    if (!dir->lower)
        return 0;
    struct emptiness e = {.ctx = {.emit = find_visible}, .dir = dir, .empty = true};
    struct file file = {.inode = dir->lower};
    int error = dir->lower->file_ops->readdir(&file, &e.ctx);
    return error ? error : e.empty ? 0 : -ENOTEMPTY;
}

/* The directory victim (empty) has lost its name. */
static void directory_gone(struct inode *parent, struct inode *victim)
{
    if (parent->nlink > 2)
        parent->nlink--;
    victim->nlink = 1;
    mem_unlink_inode(victim);
}

static int dir_rmdir(struct inode *dir, const char *name, struct inode *victim)
{
    bool keep;
    int error = check_empty(mem_inode(victim));
    if (!error)
        error = prepare_removal(mem_inode(dir), name, &keep);
    if (error)
        return error;
    inode_get(victim);
    remove_name(dir, name, keep);
    directory_gone(dir, victim);
    inode_put(victim);
    return 0;
}

static void dir_moved(struct inode *from, struct inode *to)
{
    if (from == to)
        return;
    mem_pin(mem_inode(to));
    if (from->nlink > 2)
        from->nlink--;
    to->nlink++;
}

static int rename_exchange(struct inode *old_dir, const char *old_name, struct inode *source, struct inode *new_dir,
                           const char *new_name, struct inode *target)
{
    int error = add_name(old_dir, old_name, source); /* entries for both exist from here on */
    if (!error)
        error = add_name(new_dir, new_name, target);
    if (error)
        return error;
    (void)add_name(new_dir, new_name, source);
    (void)add_name(old_dir, old_name, target);
    if (S_ISDIR(source->mode) != S_ISDIR(target->mode))
        S_ISDIR(source->mode) ? dir_moved(old_dir, new_dir) : dir_moved(new_dir, old_dir);
    mem_pin(mem_inode(source));
    mem_pin(mem_inode(target));
    source->ctime = target->ctime = time_now();
    return 0;
}

static int rename_over(struct inode *old_dir, const char *old_name, struct inode *source, struct inode *new_dir,
                       const char *new_name, struct inode *target)
{
    bool keep;
    int error = target && S_ISDIR(target->mode) ? check_empty(mem_inode(target)) : 0;
    if (!error)
        error = prepare_removal(mem_inode(old_dir), old_name, &keep);
    if (!error)
        error = add_name(new_dir, new_name, source);
    if (error)
        return error;
    remove_name(old_dir, old_name, keep);
    if (target && S_ISDIR(target->mode))
        directory_gone(new_dir, target);
    else if (target)
        mem_unlink_inode(target);
    if (S_ISDIR(source->mode))
        dir_moved(old_dir, new_dir);
    mem_pin(mem_inode(source));
    source->ctime = time_now();
    return 0;
}

static int dir_rename(struct inode *old_dir, const char *old_name, struct inode *new_dir, const char *new_name,
                      unsigned flags)
{
    struct inode *source, *target = NULL;
    int error = dir_lookup(old_dir, old_name, &source);
    if (error)
        return error;
    error = dir_lookup(new_dir, new_name, &target);
    if (error == -ENOENT) {
        target = NULL;
        error = flags & RENAME_EXCHANGE ? -ENOENT : 0;
    }
    if (!error) {
        if (flags & RENAME_EXCHANGE)
            error = rename_exchange(old_dir, old_name, source, new_dir, new_name, target);
        else
            error = rename_over(old_dir, old_name, source, new_dir, new_name, target);
        inode_put(target);
    }
    inode_put(source);
    return error;
}

/* Passes on the lower directory's entries that nothing here hides. */
struct lower_filter {
    struct dir_context ctx;
    struct dir_context *outer;
    struct mem_inode *dir;
    bool full;
};

static bool filter_emit(struct dir_context *ctx, const char *name, size_t name_size, uint64_t ino, unsigned type,
                        file_off_t next_pos)
{
    struct lower_filter *f = container_of(ctx, struct lower_filter, ctx);
    if (is_dots(name, name_size) || entry_find(f->dir, name, name_size))
        return true;
    if (!f->outer->emit(f->outer, name, name_size, ino, type, next_pos)) {
        f->full = true;
        return false;
    }
    return true;
}

static int read_lower(struct mem_inode *dir, struct dir_context *ctx, bool *ret_full)
{
    struct lower_filter f = {.ctx = {.pos = ctx->pos, .emit = filter_emit}, .outer = ctx, .dir = dir};
    struct file file = {.inode = dir->lower};
    int error = dir->lower->file_ops->readdir(&file, &f.ctx);
    ctx->pos = f.ctx.pos;
    *ret_full = f.full;
    return error;
}

static int dir_readdir(struct file *file, struct dir_context *ctx)
{
    struct mem_inode *dir = mem_inode(file->inode);
    if (!dir_emit_dots(file, ctx))
        return 0;
    if (ctx->pos < ENTRIES_POS) {
        bool full = false;
        int error = dir->lower ? read_lower(dir, ctx, &full) : 0;
        if (error || full)
            return error;
        ctx->pos = ENTRIES_POS;
    }
    struct mem_entry key = {.cookie = ctx->pos - ENTRIES_POS};
    struct mem_entry *e = RB_NFIND(mem_cookies, &dir->dir.cookies, &key);
    for (; e; e = RB_NEXT(mem_cookies, &dir->dir.cookies, e)) {
        file_off_t next_pos = ENTRIES_POS + e->cookie + 1;
        if (e->inode &&
            !ctx->emit(ctx, e->name, e->name_size, e->inode->ino, (e->inode->mode & S_IFMT) >> 12, next_pos))
            return 0;
        ctx->pos = next_pos;
    }
    return 0;
}

static int dir_fsync(struct file *file, bool data_only)
{
    return 0;
}

static void dir_getattr(struct inode *inode, struct statx *stat)
{
    stat->stx_blocks = 0;
}

const struct inode_ops mem_dir_ops = {
    .lookup = dir_lookup,
    .create = dir_create,
    .mkdir = dir_mkdir,
    .symlink = dir_symlink,
    .link = dir_link,
    .unlink = dir_unlink,
    .rmdir = dir_rmdir,
    .rename = dir_rename,
    .tmpfile = mem_tmpfile,
    .setattr = mem_setattr,
    .getattr = dir_getattr,
    .getxattr = mem_getxattr,
    .setxattr = mem_setxattr,
    .listxattr = mem_listxattr,
    .removexattr = mem_removexattr,
    .evict = mem_evict,
};

const struct file_ops mem_dir_file_ops = {
    .readdir = dir_readdir,
    .llseek = file_llseek_dir,
    .fsync = dir_fsync,
};

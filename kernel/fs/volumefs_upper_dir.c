/*
 * Names in the root's upper layer on a volume (volumefs_upper.h). A name is what the volume has (unless that is a
 * whiteout), else what the image has. Whatever may fail for want of anything but memory is done before the change.
 */
#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/fs/volumefs_upper.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define NEW "new"
static const struct volume_owner root_owner = {0, 0};

static struct volumefs_inode *dir_of(struct inode *inode)
{
    return volumefs_inode(inode);
}

/* What there is of a name. */
struct look {
    bool upper;    /* the volume has it, and it is no whiteout */
    bool whiteout; /* the volume hides it */
    bool below;    /* the image has it, seen or not */
};

static int look_below(struct volumefs_inode *dir, const char *name, struct inode **ret_inode)
{
    if (!dir->lower || dir->gone)
        return -ENOENT;
    return dir->lower->ops->lookup(dir->lower, name, ret_inode);
}

static int look_upper(struct volumefs_inode *dir, const char *name, struct volume_node **ret_node)
{
    return dir->node ? volume_lookup(dir->node, name, strlen(name), ret_node) : -ENOENT;
}

static int look(struct volumefs_inode *dir, const char *name, struct look *ret)
{
    struct volume_node *node;
    struct inode *lower;
    *ret = (struct look){0};
    int error = look_upper(dir, name, &node);
    if (error == 0) {
        ret->whiteout = upper_is_whiteout(node);
        ret->upper = !ret->whiteout;
        volume_node_put(node);
    } else if (error != -ENOENT) {
        return error;
    }
    error = look_below(dir, name, &lower);
    if (error == 0) {
        ret->below = true;
        inode_put(lower);
    }
    return error == -ENOENT ? 0 : error;
}

static int lookup_locked(struct volumefs *fs, struct volumefs_inode *dir, const char *name, struct inode **ret_inode)
{
    struct volume_node *node;
    struct inode *lower;
    int error = look_upper(dir, name, &node);
    if (error == 0 && upper_is_whiteout(node)) {
        volume_node_put(node);
        return -ENOENT;
    }
    if (error == 0)
        return volumefs_get(fs, node, ret_inode);
    if (error == -ENOENT)
        error = look_below(dir, name, &lower);
    return error < 0 ? error : upper_get_lower(fs, dir, name, lower, ret_inode);
}

static int dir_lookup(struct inode *dir, const char *name, struct inode **ret_inode)
{
    struct volumefs *fs = volumefs(dir->sb);
    volumefs_lock(fs);
    int error = lookup_locked(fs, dir_of(dir), name, ret_inode);
    volumefs_unlock(fs);
    return error;
}

/* A lower directory's name is seen no more in dir, or is the volume's own now. */
static void hide_below(struct volumefs_inode *dir, const struct inode *inode)
{
    if (S_ISDIR(inode->mode) && dir->below_dirs > 0)
        dir->below_dirs--;
}

/* ---- new names ---- */

/* /covers/new changes places with the whiteout, which is removed. */
static int swap_whiteout(struct volumefs *fs, struct volumefs_inode *dir, const char *name)
{
    struct volume_node *covers = fs->upper->covers;
    int error = volume_rename(covers, NEW, strlen(NEW), dir->node, name, strlen(name), RENAME_EXCHANGE, root_owner);
    return error < 0 ? error : volume_unlink(covers, NEW, strlen(NEW));
}

static int make_at(struct volume_node *dir, const char *name, uint32_t mode, uint64_t rdev, const char *target,
                   struct volume_owner owner, struct volume_node **ret_node)
{
    if (target)
        return volume_symlink(dir, name, strlen(name), target, strlen(target), owner, ret_node);
    return volume_create(dir, name, strlen(name), mode, rdev, owner, ret_node);
}

static int make_over(struct volumefs *fs, struct volumefs_inode *dir, const char *name, uint32_t mode, uint64_t rdev,
                     const char *target, struct volume_owner owner, struct volume_node **ret_node)
{
    int error = volume_hold(fs->volume, UPPER_HOLD);
    if (error < 0)
        return error;
    error = make_at(fs->upper->covers, NEW, mode, rdev, target, owner, ret_node);
    if (error == 0 && (error = swap_whiteout(fs, dir, name)) < 0) {
        volume_node_put(*ret_node);
        (void)!upper_discard(fs, NEW);
    }
    volume_release(fs->volume);
    return error;
}

static int make(struct inode *inode, const char *name, uint32_t mode, uint64_t rdev, const char *target,
                struct inode **ret_inode)
{
    struct volumefs *fs = volumefs(inode->sb);
    struct volumefs_inode *dir = dir_of(inode);
    struct volume_node *node = NULL;
    struct volume_owner owner = volumefs_owner(inode, &mode);
    struct look at;
    if (S_ISCHR(mode) && rdev == 0)
        return -EPERM; /* is what a whiteout looks like */
    volumefs_lock(fs);
    int error = upper_own(dir);
    if (error == 0)
        error = look(dir, name, &at);
    if (error == 0)
        error = at.whiteout ? make_over(fs, dir, name, mode, rdev, target, owner, &node)
                            : make_at(dir->node, name, mode, rdev, target, owner, &node);
    volumefs_refresh(dir);
    if (error == 0)
        error = volumefs_get(fs, node, ret_inode);
    volumefs_unlock(fs);
    return error;
}

static int dir_create(struct inode *dir, const char *name, uint32_t mode, uint64_t rdev, struct inode **ret_inode)
{
    return make(dir, name, mode, rdev, NULL, ret_inode);
}

static int dir_mkdir(struct inode *dir, const char *name, uint32_t mode, struct inode **ret_inode)
{
    return make(dir, name, S_IFDIR | (mode & 07777), 0, NULL, ret_inode);
}

static int dir_symlink(struct inode *dir, const char *name, const char *target, struct inode **ret_inode)
{
    return make(dir, name, S_IFLNK | 0777, 0, target, ret_inode);
}

/* Before an inode gets a name on the volume. */
static int prepare_name(struct inode *inode)
{
    struct volumefs_inode *vi = volumefs_inode(inode);
    int error = S_ISREG(inode->mode) ? upper_own_data(vi, UINT64_MAX) : upper_own(vi);
    return error == 0 && upper_is_whiteout(vi->node) ? -EPERM : error;
}

static int link_held(struct volumefs *fs, struct volumefs_inode *dir, const char *name, struct volume_node *target)
{
    struct look at;
    int error = look(dir, name, &at);
    if (error < 0)
        return error;
    if (!at.whiteout)
        return volume_link(dir->node, name, strlen(name), target);
    error = volume_link(fs->upper->covers, NEW, strlen(NEW), target);
    if (error == 0 && (error = swap_whiteout(fs, dir, name)) < 0)
        (void)!upper_discard(fs, NEW);
    return error;
}

static int dir_link(struct inode *inode, const char *name, struct inode *target)
{
    struct volumefs *fs = volumefs(inode->sb);
    struct volumefs_inode *dir = dir_of(inode);
    volumefs_lock(fs);
    int error = upper_own(dir);
    if (error == 0)
        error = prepare_name(target);
    if (error == 0)
        error = volume_hold(fs->volume, UPPER_HOLD);
    if (error == 0) {
        error = link_held(fs, dir, name, volumefs_inode(target)->node);
        volume_release(fs->volume);
    }
    volumefs_refresh(dir);
    volumefs_refresh(volumefs_inode(target));
    volumefs_unlock(fs);
    return error;
}

/* ---- names that go ---- */

/* The image's name, which the volume does not have, gets to be the volume's: the same file, seen at the same place. */
static int materialize(struct volumefs *fs, struct volumefs_inode *dir, const char *name, struct volumefs_inode *vi)
{
    char home[32];
    int error = upper_home(fs, vi, home);
    if (error < 0)
        return error == -ENOENT ? -EIO : error;
    error = volume_rename(fs->upper->covers, home, strlen(home), dir->node, name, strlen(name), 0, root_owner);
    if (error == 0)
        hide_below(dir, &vi->inode);
    return error;
}

static void forget_if_gone(struct volumefs *fs, struct volumefs_inode *vi)
{
    volumefs_refresh(vi);
    if (vi->inode.nlink == 0 && vi->node)
        upper_forget(fs, volume_node_ino(vi->node));
}

static void gone_name(char buf[32], const struct volumefs_inode *vi)
{
    snprintf(buf, 32, "gone.%lx", (unsigned long)volume_node_ino(vi->node));
}

/* A directory, empty to the eye, left its place for /covers/gone.INO: it has no name any more. */
static int end_directory(struct volumefs *fs, struct volumefs_inode *vi)
{
    char name[32];
    vi->gone = true;
    vi->below_dirs = 0;
    vi->inode.nlink = 0;
    if (!vi->node)
        return 0;
    gone_name(name, vi);
    upper_forget(fs, volume_node_ino(vi->node));
    return upper_discard(fs, name);
}

/* One of the names that the image has for an inode is seen no more (the caller has hidden it). */
static int drop_below(struct volumefs *fs, struct volumefs_inode *vi)
{
    struct volume_node *covers = fs->upper->covers;
    char home[32], gone[32];
    if (!vi->node) {
        vi->inode.nlink = 0;
        return 0;
    }
    int error = upper_home(fs, vi, home);
    if (error < 0)
        return error == -ENOENT ? 0 : error;
    if (!S_ISDIR(vi->inode.mode))
        return volume_unlink(covers, home, strlen(home));
    gone_name(gone, vi);
    return volume_rename(covers, home, strlen(home), covers, gone, strlen(gone), 0, root_owner);
}

/* Before a name of the image is hidden: its other names count. */
static int prepare_drop(struct volumefs_inode *vi)
{
    return !S_ISDIR(vi->inode.mode) && vi->lower->nlink > 1 ? upper_own(vi) : 0;
}

static int hide_held(struct volumefs *fs, struct volumefs_inode *dir, const char *name, struct volumefs_inode *vi)
{
    struct volume_node *node;
    int error = volume_create(dir->node, name, strlen(name), S_IFCHR, 0, root_owner, &node);
    if (error < 0)
        return error;
    volume_node_put(node);
    hide_below(dir, &vi->inode);
    return drop_below(fs, vi);
}

/* The volume's own name goes to /covers/gone.INO; a whiteout stays if the image has the name. */
static int move_out(struct volumefs *fs, struct volumefs_inode *dir, const char *name, struct volumefs_inode *vi,
                    bool below)
{
    char gone[32];
    gone_name(gone, vi);
    return volume_rename(dir->node, name, strlen(name), fs->upper->covers, gone, strlen(gone),
                         below ? RENAME_WHITEOUT : 0, root_owner);
}

static int unlink_held(struct volumefs *fs, struct volumefs_inode *dir, const char *name, struct volumefs_inode *vi,
                       const struct look *at)
{
    char gone[32];
    if (!at->upper)
        return hide_held(fs, dir, name, vi);
    if (!at->below)
        return volume_unlink(dir->node, name, strlen(name));
    int error = move_out(fs, dir, name, vi, true);
    gone_name(gone, vi);
    return error < 0 ? error : volume_unlink(fs->upper->covers, gone, strlen(gone));
}

static int dir_unlink(struct inode *inode, const char *name, struct inode *victim)
{
    struct volumefs *fs = volumefs(inode->sb);
    struct volumefs_inode *dir = dir_of(inode), *vi = volumefs_inode(victim);
    struct look at;
    volumefs_lock(fs);
    int error = upper_own(dir);
    if (error == 0)
        error = look(dir, name, &at);
    if (error == 0 && !at.upper)
        error = prepare_drop(vi);
    if (error == 0)
        error = volume_hold(fs->volume, at.below ? UPPER_HOLD : 0);
    if (error == 0) {
        error = unlink_held(fs, dir, name, vi, &at);
        volume_release(fs->volume);
    }
    volumefs_refresh(dir);
    forget_if_gone(fs, vi);
    if (!vi->node)
        victim->ctime = time_now();
    volumefs_unlock(fs);
    return error;
}

static int rmdir_held(struct volumefs *fs, struct volumefs_inode *dir, const char *name, struct volumefs_inode *vi,
                      const struct look *at)
{
    return at->upper ? move_out(fs, dir, name, vi, at->below) : hide_held(fs, dir, name, vi);
}

static int dir_rmdir(struct inode *inode, const char *name, struct inode *victim)
{
    struct volumefs *fs = volumefs(inode->sb);
    struct volumefs_inode *dir = dir_of(inode), *vi = volumefs_inode(victim);
    struct look at;
    volumefs_lock(fs);
    int error = upper_check_empty(vi);
    if (error == 0)
        error = upper_own(dir);
    if (error == 0)
        error = look(dir, name, &at);
    if (error == 0)
        error = volume_hold(fs->volume, at.below ? UPPER_HOLD : 0);
    if (error == 0) {
        error = rmdir_held(fs, dir, name, vi, &at);
        volume_release(fs->volume);
    }
    if (error == 0)
        error = end_directory(fs, vi);
    volumefs_refresh(dir);
    volumefs_unlock(fs);
    return error;
}

/* ---- rename ---- */

struct move {
    struct volumefs *fs;
    struct volumefs_inode *old_dir, *new_dir, *source, *target; /* target NULL: there is none */
    const char *old_name, *new_name;
    struct look old, new;
};

static int move_names(const struct move *m, unsigned flags)
{
    return volume_rename(m->old_dir->node, m->old_name, strlen(m->old_name), m->new_dir->node, m->new_name,
                         strlen(m->new_name), flags, root_owner);
}

static int exchange_held(struct move *m)
{
    int error = m->old.upper ? 0 : materialize(m->fs, m->old_dir, m->old_name, m->source);
    if (error == 0 && !m->new.upper)
        error = materialize(m->fs, m->new_dir, m->new_name, m->target);
    return error < 0 ? error : move_names(m, RENAME_EXCHANGE);
}

static int rename_held(struct move *m)
{
    struct volume_node *old_dir = m->old_dir->node;
    int error = m->old.upper ? 0 : materialize(m->fs, m->old_dir, m->old_name, m->source);
    if (error < 0)
        return error;
    if (m->target && S_ISDIR(m->target->inode.mode) && m->new.upper) { /* it may be full of whiteouts */
        error = move_names(m, RENAME_EXCHANGE);
        return error < 0 ? error : move_out(m->fs, m->old_dir, m->old_name, m->target, m->old.below);
    }
    if (m->new.whiteout) {
        error = move_names(m, RENAME_EXCHANGE); /* a directory cannot replace what is none */
        return error < 0 || m->old.below ? error : volume_unlink(old_dir, m->old_name, strlen(m->old_name));
    }
    error = move_names(m, m->old.below ? RENAME_WHITEOUT : 0);
    if (error < 0 || !m->target || m->new.upper)
        return error;
    hide_below(m->new_dir, &m->target->inode);
    return drop_below(m->fs, m->target);
}

static int rename_prepare(struct move *m, bool exchange)
{
    int error = prepare_name(&m->source->inode);
    if (error == 0 && m->target && exchange)
        error = prepare_name(&m->target->inode);
    else if (error == 0 && m->target && S_ISDIR(m->target->inode.mode))
        error = upper_check_empty(m->target);
    if (error == 0)
        error = look(m->old_dir, m->old_name, &m->old);
    if (error == 0)
        error = look(m->new_dir, m->new_name, &m->new);
    if (error == 0 && m->target && !m->new.upper && !exchange)
        error = prepare_drop(m->target);
    return error;
}

static int rename_checked(struct move *m, bool exchange)
{
    int error = rename_prepare(m, exchange);
    if (error == 0)
        error = volume_hold(m->fs->volume, UPPER_HOLD);
    if (error < 0)
        return error;
    error = exchange ? exchange_held(m) : rename_held(m);
    volume_release(m->fs->volume);
    if (error == 0 && m->target && !exchange && S_ISDIR(m->target->inode.mode))
        error = end_directory(m->fs, m->target);
    return error;
}

static int rename_locked(struct move *m, unsigned flags)
{
    struct inode *source = NULL, *target = NULL;
    int error = upper_own(m->old_dir);
    if (error == 0)
        error = upper_own(m->new_dir);
    if (error == 0)
        error = lookup_locked(m->fs, m->old_dir, m->old_name, &source);
    if (error == 0)
        error = lookup_locked(m->fs, m->new_dir, m->new_name, &target);
    if (error == -ENOENT && source && !(flags & RENAME_EXCHANGE))
        error = 0;
    if (error == 0) {
        m->source = volumefs_inode(source);
        m->target = target ? volumefs_inode(target) : NULL;
        error = rename_checked(m, flags & RENAME_EXCHANGE);
        volumefs_refresh(m->source);
        if (target && !m->target->gone)
            forget_if_gone(m->fs, m->target);
    }
    volumefs_refresh(m->old_dir);
    volumefs_refresh(m->new_dir);
    inode_put(source);
    inode_put(target);
    return error;
}

static int dir_rename(struct inode *old_dir, const char *old_name, struct inode *new_dir, const char *new_name,
                      unsigned flags)
{
    struct volumefs *fs = volumefs(old_dir->sb);
    struct move m = {
        .fs = fs, .old_dir = dir_of(old_dir), .new_dir = dir_of(new_dir), .old_name = old_name, .new_name = new_name};
    volumefs_lock(fs);
    int error = rename_locked(&m, flags);
    volumefs_unlock(fs);
    return error;
}

static int dir_tmpfile(struct inode *dir, uint32_t mode, struct inode **ret_inode)
{
    return volumefs_dir_ops.tmpfile(dir, mode, ret_inode);
}

const struct inode_ops upper_dir_ops = {
    VOLUMEFS_COMMON_OPS, .lookup = dir_lookup, .create = dir_create, .mkdir = dir_mkdir,   .symlink = dir_symlink,
    .link = dir_link,    .unlink = dir_unlink, .rmdir = dir_rmdir,   .rename = dir_rename, .tmpfile = dir_tmpfile,
};

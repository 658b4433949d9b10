/* /proc/PID/mounts and mountinfo, /proc/filesystems. */
#include <linux/mount.h>

#include "kernel/fs/proc.h"
#include "kernel/lib/string.h"

/* Spaces and the like in paths are written in octal. */
static void show_path(struct seq *seq, const char *path)
{
    for (; *path; path++) {
        if (strchr(" \t\n\\", *path))
            seq_printf(seq, "\\%03o", (unsigned char)*path);
        else
            seq_write(seq, path, 1);
    }
}

static void show_flags(struct seq *seq, unsigned flags)
{
    seq_printf(seq, "%s%s%s%s%s", flags & MS_RDONLY ? "ro" : "rw", flags & MS_NOSUID ? ",nosuid" : "",
               flags & MS_NODEV ? ",nodev" : "", flags & MS_NOEXEC ? ",noexec" : "",
               flags & MS_NOATIME ? ",noatime" : ",relatime");
}

static const char *super_options(const struct super_block *sb)
{
    return sb->show_flags ? sb->show_flags : "";
}

int proc_show_mounts(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct mount *mount;

    TAILQ_FOREACH (mount, &mounts, link) {
        seq_printf(seq, "%s ", mount->sb->type);
        show_path(seq, mount->path);
        seq_printf(seq, " %s ", mount->sb->type);
        show_flags(seq, mount->flags);
        seq_printf(seq, "%s 0 0\n", super_options(mount->sb));
    }
    return 0;
}

int proc_show_mountinfo(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct mount *mount;

    TAILQ_FOREACH (mount, &mounts, link) {
        uint64_t dev = mount->sb->dev;

        seq_printf(seq, "%d %d %u:%u / ", mount->id, mount->parent_id, (unsigned)(dev >> 8 & 0xfff),
                   (unsigned)((dev & 0xff) | (dev >> 12 & 0xfff00)));
        show_path(seq, mount->path);
        seq_printf(seq, " ");
        show_flags(seq, mount->flags);
        seq_printf(seq, " - %s %s %s%s\n", mount->sb->type, mount->sb->type, mount->sb->flags & MS_RDONLY ? "ro" : "rw",
                   super_options(mount->sb));
    }
    return 0;
}

int proc_show_filesystems(struct seq *seq, const struct pseudo_ctx *ctx)
{
    static const char *const types[] = {"sysfs", "tmpfs", "proc", "devpts", "overlay", "sockfs", "pipefs"};

    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        seq_printf(seq, "nodev\t%s\n", types[i]);
    seq_printf(seq, "\terofs\n");
    return 0;
}

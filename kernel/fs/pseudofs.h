/*
 * File systems without storage (/proc, /sys, /dev/pts): trees described by tables. A directory has named children from
 * a table, and numbered ones (processes, descriptors, CPUs) that come and go.
 */
#ifndef COFRE_KERNEL_FS_PSEUDOFS_H
#define COFRE_KERNEL_FS_PSEUDOFS_H

#include "kernel/fs/vfs.h"

/* Text being made: grows as needed. */
struct seq {
    char *text;
    size_t size, used;
    bool failed; /* out of memory */
};
void seq_printf(struct seq *seq, const char *format, ...) printf_like(2, 3);
void seq_write(struct seq *seq, const void *bytes, size_t size);

/* Text of many records is made a window at a time, whatever the size of the whole. */
#define PSEUDO_WINDOW 16384

struct pseudo_cursor {
    uint64_t after; /* what the last record was; 0: none yet */
    unsigned count; /* records so far */
};

/* Which of the numbered things on the way here is meant. */
struct pseudo_ctx {
    int pid, tid; /* 0: none */
    uint64_t number;
};

struct pseudo_entry;

/* What may be changed of a thing's inode: kept with the thing, since inodes come and go with lookups. */
struct pseudo_attributes {
    uint32_t uid, gid, mode; /* mode: permissions */
};

struct pseudo_numbered {
    const char *prefix; /* of the names, before the decimal number; NULL: none */
    /* The first number >= *number there is, or false. */
    bool (*next)(const struct pseudo_ctx *dir, uint64_t *number);
    /* Numbers that exist but are not listed (threads in /proc); may be NULL. */
    bool (*hidden)(const struct pseudo_ctx *dir, uint64_t number);
    /* Put number into the child's context; NULL: ctx->number. */
    void (*bind)(struct pseudo_ctx *child, uint64_t number);
    const struct pseudo_entry *entry;
};

#define PSEUDO_STORE_MAX 1024 /* bytes of a write, and a NUL */

struct pseudo_entry {
    const char *name; /* NULL ends a table */
    uint32_t mode;    /* S_IFDIR, S_IFREG, S_IFLNK, S_IFCHR | permissions */
    /* directories */
    const struct pseudo_entry *children;
    const struct pseudo_numbered *numbered;
    /* files: 0 or -errno. show may sleep; store gets a whole write(2), with a NUL after it. */
    int (*show)(struct seq *seq, const struct pseudo_ctx *ctx);
    /* Instead of show: adds records after the cursor's until seq has PSEUDO_WINDOW bytes. True: those were the last.
     * Must not sleep; others come and go between calls. */
    bool (*records)(struct seq *seq, const struct pseudo_ctx *ctx, struct pseudo_cursor *cursor);
    int (*store)(const struct pseudo_ctx *ctx, const char *text, size_t size);
    int (*store_at)(const struct pseudo_ctx *ctx, const char *bytes, size_t size, file_off_t pos); /* instead */
    const char *text;                                                                              /* instead of show */
    /* symbolic links: the text into buf, or -errno; place: the dentry itself, referenced */
    ssize_t (*link)(const struct pseudo_ctx *ctx, char *buf, size_t size);
    int (*place)(const struct pseudo_ctx *ctx, struct dentry **ret_dentry);
    /* devices */
    uint64_t rdev;
    bool rdev_numbered; /* ctx->number is added */
    /* owned by the user of ctx->pid's process (0: the reader's), as files of /proc/PID */
    bool owned;
    /* owner and permissions that may be changed; NULL, or NULL returned: they may not */
    struct pseudo_attributes *(*attributes)(const struct pseudo_ctx *ctx);
    /* may not be looked at by all: 0 or -errno */
    uint32_t (*mode_of)(const struct pseudo_ctx *ctx);
};

struct super_block *pseudofs_new(const char *type, uint32_t magic, const struct pseudo_entry *root) must_check;

#endif

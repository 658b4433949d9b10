/*
 * Files in memory, alone (tmpfs, memfd) or above a read-only file system (the root's overlay).
 *
 * An inode of the overlay starts as a thin cover over one of the lower file system and takes on what is changed, page
 * by page, name by name: there is no copying up of whole files, and inode numbers and hard links stay what they were.
 *
 *   - `lower` is the inode below, or NULL. `super->covers` finds the cover of a lower inode.
 *   - A cover that differs from its lower inode is `pinned`: it holds a reference to itself until its last name goes.
 *   - Directories hold entries only for what differs: new names, and whiteouts (entries without an inode) that hide
 *     names below. An entry references its inode.
 *   - Files hold pages only where they differ. Below lower_size an absent page is the lower file's; elsewhere it is a
 *     hole. PAGE_HOLE marks a hole that hides the lower file's page.
 */
#ifndef COFRE_KERNEL_FS_TMPFS_H
#define COFRE_KERNEL_FS_TMPFS_H

#include "kernel/fs/page_map.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/list.h"

#define COVER_BUCKETS 1024
#define PAGE_HOLE ((void *)1)
#define SEALABLE 0x80000000u /* in mem_inode.file.seals: made by memfd_create */

struct mem_super {
    struct super_block sb;
    uint64_t page_count, page_max; /* data pages; page_max 0 = no limit */
    uint64_t inode_count;
    char options[64];
    struct super_block *lower; /* NULL for a tmpfs */
    LIST_HEAD(cover_bucket, mem_inode) * covers;
};

struct mem_entry {
    RB_ENTRY(mem_entry) by_name;
    RB_ENTRY(mem_entry) by_cookie;
    uint64_t cookie;
    struct inode *inode; /* referenced; NULL: whiteout */
    const char *name;    /* behind the entry, in the same allocation */
    uint16_t name_size;
};

struct mem_xattr {
    LIST_ENTRY(mem_xattr) link;
    char *name;
    void *value;
    size_t size;
};

struct mem_inode {
    struct inode inode; /* first */
    struct inode *lower;
    LIST_ENTRY(mem_inode) cover_link;
    bool covered; /* on the list of covers */
    bool pinned;
    bool own_xattrs; /* the lower inode's do not count any more */
    LIST_HEAD(mem_xattr_list, mem_xattr) xattrs;
    union {
        struct {
            struct page_map pages;
            file_off_t lower_size;
            uint64_t page_count; /* real pages in `pages` */
            unsigned seals;      /* F_SEAL_* */
        } file;
        struct {
            RB_HEAD(mem_names, mem_entry) names;
            RB_HEAD(mem_cookies, mem_entry) cookies;
            uint64_t last_cookie;
            size_t live_count; /* entries that are not whiteouts */
        } dir;
        char *target; /* of a symbolic link without a lower inode */
    };
};

static inline struct mem_inode *mem_inode(struct inode *inode)
{
    return container_of(inode, struct mem_inode, inode);
}
static inline struct mem_super *mem_super(struct super_block *sb)
{
    return container_of(sb, struct mem_super, sb);
}

extern const struct inode_ops mem_dir_ops, mem_regular_ops, mem_link_ops, mem_special_ops;
extern const struct file_ops mem_file_ops, mem_dir_file_ops;

/* The overlay of memory over lower. */
struct super_block *overlay_new(struct super_block *lower) must_check;
/* The cover of a lower inode (whose reference is taken over, also on failure); referenced. 0 or -ENOMEM. */
int overlay_cover(struct super_block *sb, struct inode *lower, struct inode **ret_inode);
/* The number of the lower inode whose contents this regular file still shows unchanged; 0 if it has others. */
uint64_t overlay_unchanged(struct inode *inode);
/* A regular file that reading does not touch: it is the lower one's. */
bool overlay_hides_atime(struct inode *inode);
/* The cover differs from now on. */
void mem_pin(struct mem_inode *inode);
/* One name less. */
void mem_unlink_inode(struct inode *inode);

/* A fresh inode of sb without names. */
struct mem_inode *mem_inode_new(struct super_block *sb, uint32_t mode) must_check;
int mem_setattr(struct inode *inode, const struct inode_attr *attr);
void mem_evict(struct inode *inode);

/* kernel/fs/tmpfs_data.c */
int mem_read_page(struct inode *inode, uint64_t index, void *page);
int mem_write_page(struct inode *inode, uint64_t index, const void *page);
int mem_truncate(struct inode *inode, file_off_t size);
void mem_drop_pages(struct mem_inode *inode);
/* kernel/fs/tmpfs_dir.c */
int mem_tmpfile(struct inode *dir, uint32_t mode, struct inode **ret_inode);
void mem_drop_entries(struct mem_inode *dir);
/* kernel/fs/tmpfs_xattr.c */
ssize_t mem_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int mem_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
ssize_t mem_listxattr(struct inode *inode, char *buf, size_t size);
int mem_removexattr(struct inode *inode, const char *name);
void mem_drop_xattrs(struct mem_inode *inode);

/* A nameless file of size zeroes, open for reading and writing, as memfd_create makes them. name: for /proc. 0 or
 * -ENOMEM. */
must_check int memfd_new(const char *name, file_off_t size, struct file **ret_file);
/* Seals of a memfd: F_SEAL_* now set, or -EINVAL for files that cannot be sealed. */
int inode_seals(struct inode *inode);
int inode_add_seals(struct inode *inode, unsigned seals);

#endif

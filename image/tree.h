/*
 * The merged file tree of an image while its layers are applied: names and inodes in memory, contents elsewhere
 * (image/spool.h). Names are bytes; directories keep them in byte order.
 */
#ifndef COFRE_IMAGE_TREE_H
#define COFRE_IMAGE_TREE_H

#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/error.h"

#define TREE_NAME_MAX 255
#define TREE_PATH_MAX 4095  /* bytes of a path or symbolic link target */
#define TREE_DEPTH_MAX 2048 /* directories below each other */

struct xattr {
    const char *name; /* full name, "user.x" */
    const void *value;
    size_t size;
};

struct xattrs { /* one allocation; sorted by name, no name twice */
    uint32_t count;
    struct xattr items[];
};

struct dentry {
    RB_ENTRY(dentry) link; /* in its directory's children, by name */
    struct inode *inode;
    uint32_t layer; /* the last layer that named it */
    char name[];
};
RB_HEAD(dentry_tree, dentry);

struct inode {
    uint32_t mode; /* S_IFMT | 07777 */
    uint32_t uid, gid;
    uint32_t dentry_count; /* names that lead here; the root has one */
    int64_t mtime;
    uint32_t mtime_nsec;
    uint32_t block;        /* first block of its whole data blocks */
    uint32_t block_count;  /* how many: in the image's data area (files), or as the writer places them */
    bool tail_inline;      /* the bytes after block_count blocks are stored beside the inode */
    uint64_t size;         /* regular file: bytes; symbolic link: bytes of target; directory: set by the writer */
    struct xattrs *xattrs; /* NULL = none */
    union {
        uint64_t tail_offset; /* regular file: where the spool keeps the tail */
        char *target;         /* symbolic link */
        struct {
            uint32_t rdev_major, rdev_minor; /* device */
        };
        struct {
            struct dentry_tree children;
            struct inode *parent; /* the root's is itself */
            uint32_t depth;
            uint32_t subdirectory_count;
        } dir;
    };
    /* for the image writer */
    uint64_t position; /* byte offset of the inode in the image; 0 = not placed */
    uint32_t number;   /* its place in the walk, from 1; 0 = not walked */
};

struct tree {
    struct inode *root;
    uint64_t inode_count;
    uint64_t dead_block_count; /* data blocks of files that are gone */
};

/* What tree_resolve() does about symbolic links on the way. */
enum tree_follow {
    /*
     * For paths out of layer `layer`: links are followed inside the tree, as an engine would in the container's root,
     * but one that climbs above the root, or that leads to an absolute path and was made by the same layer, is refused:
     * no file tree could have been packed like that.
     */
    TREE_FOLLOW_CHECKED,
    /* As the kernel does with the tree as root; `..` at the root stays there. */
    TREE_FOLLOW_KERNEL,
};

RB_PROTOTYPE(dentry_tree, dentry, link, dentry_compare)

/* The out-of-memory answer of this module is to end the program: what it allocates is small and bounded. */
struct tree *tree_new(void);
void tree_free(struct tree *tree);

/* A new inode with no name yet; freed when its last name goes, or by inode_put() if it never got one. */
struct inode *inode_new(struct tree *tree, uint32_t mode);
void inode_put(struct tree *tree, struct inode *inode);

struct dentry *dir_lookup(const struct inode *dir, const char *name);

/* Adds a name that is not there yet. */
struct dentry *dir_insert(struct inode *dir, const char *name, struct inode *inode, uint32_t layer);

/* Takes a name away, and all below it if it is a directory. */
void dir_remove(struct tree *tree, struct inode *dir, struct dentry *dentry);

/* Takes away what layers before `layer` put below dir. Names of this layer stay, with the directories that hold them.
 */
void dir_purge(struct tree *tree, struct inode *dir, uint32_t layer);

/* The same for one name. */
void dentry_purge(struct tree *tree, struct inode *dir, struct dentry *dentry, uint32_t layer);

/*
 * Finds the directory that path's last component is in, and that component (ret_name empty: path is the root). With
 * create, missing directories on the way are made (0755, root, time 0); without it they make the result 1 and nothing
 * is returned. path is relative to the root; a leading slash,
 * empty components and "." are ignored; ".." is refused with TREE_FOLLOW_CHECKED.
 */
int tree_resolve(struct tree *tree, const char *path, enum tree_follow follow, uint32_t layer, bool create,
                 struct inode **ret_dir, char ret_name[TREE_NAME_MAX + 1], char **ret_error);

/* The inode that the kernel would open by this path, following a last symbolic link too; NULL if there is none. */
struct inode *tree_lookup(struct tree *tree, const char *path);

/* Copies everything, sorted. count == 0 gives NULL. Of equal names the first counts. */
struct xattrs *xattrs_new(const struct xattr *items, size_t count);

#endif

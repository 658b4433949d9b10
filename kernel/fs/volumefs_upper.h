/*
 * A volume as the upper layer of the root: what a container changes in `/` lasts.
 *
 * As in the overlay in memory (tmpfs.h) an inode starts as a thin cover over one of the root image. When something of
 * it changes, the volume gets an inode for it: the cover, which has a record (upper_records.h) of what it stands for.
 * So hard links stay links, numbers stay what they are, and directories of the image are renamed like others.
 *
 *   /lower          the records, and the image that they are about
 *   /covers         covers that have no name of their own: INO.0 to INO.K-1, a link for each name that the image has
 * for the inode and that is still seen there. So the cover's link count is the file's. in a directory  what differs
 * from the image's: new names, and devices 0:0 (whiteouts), which hide names of the image. A cover that got a name of
 * its own here (rename, link) is an entry like any other.
 *
 * A regular cover with the attribute UPPER_LOWER_DATA has the image's contents: they are copied, as a whole, before
 * they are changed, or when the file gets a name of its own. Changes that belong together are made under volume_hold():
 * a crash leaves all of them or none.
 *
 * Under the root of another image (keep), covers are found by path: what the container changed stays as the container
 * left it, all else is the new image's.
 */
#ifndef COFRE_KERNEL_FS_VOLUMEFS_UPPER_H
#define COFRE_KERNEL_FS_VOLUMEFS_UPPER_H

#include "kernel/fs/volumefs.h"

#define UPPER_BUCKETS 1024
#define UPPER_LOWER_DATA "trusted.cofre.lower-data"
#define UPPER_HOLD 64              /* blocks that one change of names dirties, with much to spare */
#define UPPER_NUMBERS (1ULL << 32) /* inode numbers above the image's own */

struct upper_cover {
    LIST_ENTRY(upper_cover) ino_link, nid_link;
    uint64_t ino, nid;
    uint32_t generation;
    char path[]; /* in the image */
};
LIST_HEAD(upper_covers, upper_cover);

struct volumefs_upper {
    struct super_block *lower;
    struct volume_node *covers, *records;
    uint64_t records_size;
    struct upper_covers by_ino[UPPER_BUCKETS], by_nid[UPPER_BUCKETS];
};

/* The following are called under the lock. */

/* What stat shows as the number of an inode of the volume. */
uint64_t upper_number(const struct volumefs *fs, uint64_t ino);
/* A new inode in memory, vi->node set: does it stand for one of the image? 0, -ENOMEM, -EIO. */
must_check int upper_attach(struct volumefs *fs, struct volumefs_inode *vi);
/* The inode that parent's lower directory has as `name`; takes over lower, also on failure. Referenced. */
must_check int upper_get_lower(struct volumefs *fs, struct volumefs_inode *parent, const char *name,
                               struct inode *lower, struct inode **ret_inode);
/* The volume gets an inode for it (vi->node), if it has none; _data: also contents, the first `keep` bytes of them. */
must_check int upper_own(struct volumefs_inode *vi);
must_check int upper_own_data(struct volumefs_inode *vi, uint64_t keep);
/* A name of a cover in /covers, buf of 32 bytes. -ENOENT: all its names are elsewhere. */
must_check int upper_home(struct volumefs *fs, struct volumefs_inode *vi, char *ret_name);
/* The cover's number is free: it stands for nothing any more. */
void upper_forget(struct volumefs *fs, uint64_t ino);
/* Does this inode of the volume stand for one of the image? Has this one of the image a cover? */
bool upper_is_cover(const struct volumefs *fs, uint64_t ino);
bool upper_covered(const struct volumefs *fs, uint64_t nid);
struct upper_record;
/* Into the table, in place of what was there of that inode. */
must_check int upper_remember(struct volumefs *fs, const struct upper_record *record, const char *path);
/* A cover of the table is written to the file of records. */
must_check int upper_record(struct volumefs *fs, uint64_t ino);
/* A name in /covers that is not seen any more, and what is in it (nothing but whiteouts): gone. */
must_check int upper_discard(struct volumefs *fs, const char *name);
bool upper_is_whiteout(const struct volume_node *node);
/* Is anything to be seen in this directory? 0, -ENOTEMPTY, or another error. */
must_check int upper_check_empty(struct volumefs_inode *dir);

extern const struct inode_ops upper_dir_ops;
extern const struct file_ops upper_dir_file_ops;

/* Looks at a volume opened for reading: -EMEDIUMTYPE, -EINVAL as upper_open() would say, before anything is written. */
must_check int upper_check_image(struct volume *v, const uint8_t image[32]);
/*
 * Make the opened volume the upper layer of lower, the image of this hash; fs->sb.root is set. An empty volume becomes
 * one. keep: one that was made for another image is taken, too. Without it: -EMEDIUMTYPE. -EINVAL: it holds something
 * else. Nothing is written on failure if the caller abandons the volume.
 */
must_check int upper_open(struct volumefs *fs, struct super_block *lower, const uint8_t image[32], bool keep);

#endif

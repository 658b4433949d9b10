/* EROFS: super block, inodes, file data. */
#include "kernel/fs/erofs.h"

#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/magic.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

int erofs_pread(struct erofs *fs, uint64_t offset, void *buf, size_t size)
{
    char *p = buf;
    if (offset > fs->size || size > fs->size - offset)
        return -EUCLEAN;
    while (size > 0) {
        size_t in_block = offset % ROOT_BLOCK_SIZE, part = MIN(size, ROOT_BLOCK_SIZE - in_block);
        int error;
        const struct verity_block *block = verity_get(fs->device, offset / ROOT_BLOCK_SIZE, &error);
        if (!block)
            return error;
        memcpy(p, block->data + in_block, part);
        verity_put(block);
        p += part;
        offset += part;
        size -= part;
    }
    return 0;
}

static int map_chunk(struct erofs_inode *e, uint64_t index, uint64_t *ret_block, bool *ret_hole)
{
    struct erofs *fs = erofs_of(&e->inode);
    unsigned chunk_blocks_bits = e->chunk_bits - EROFS_BLOCK_BITS;
    uint64_t chunk = index >> chunk_blocks_bits;
    uint64_t offset = ALIGN_UP(e->body_offset, (uint64_t)e->chunk_unit) + chunk * e->chunk_unit;
    uint32_t block;
    int error;
    if (e->chunk_unit == sizeof(struct erofs_chunk_index)) {
        struct erofs_chunk_index entry;
        error = erofs_pread(fs, offset, &entry, sizeof(entry));
        block = entry.block;
        if (!error && entry.device != 0)
            error = -EUCLEAN;
    } else {
        error = erofs_pread(fs, offset, &block, sizeof(block));
    }
    if (error)
        return error;
    *ret_hole = block == EROFS_CHUNK_HOLE;
    *ret_block = block + (index & ((1ULL << chunk_blocks_bits) - 1));
    return 0;
}

int erofs_map(struct inode *inode, uint64_t index, uint64_t *ret_offset, size_t *ret_size, bool *ret_hole)
{
    struct erofs_inode *e = erofs_inode(inode);
    uint64_t pos = index * ROOT_BLOCK_SIZE, block;
    if (pos >= (uint64_t)inode->size)
        return -EUCLEAN;
    *ret_size = MIN((uint64_t)inode->size - pos, ROOT_BLOCK_SIZE);
    *ret_hole = false;
    if (e->layout == EROFS_CHUNK_BASED) {
        int error = map_chunk(e, index, &block, ret_hole);
        if (error)
            return error;
        *ret_offset = block * ROOT_BLOCK_SIZE;
    } else if (e->layout == EROFS_FLAT_INLINE && index == ((uint64_t)inode->size - 1) / ROOT_BLOCK_SIZE) {
        *ret_offset = e->body_offset;
        if (e->body_offset % ROOT_BLOCK_SIZE + *ret_size > ROOT_BLOCK_SIZE)
            return -EUCLEAN;
    } else {
        *ret_offset = (e->first_block + index) * ROOT_BLOCK_SIZE;
    }
    struct erofs *fs = erofs_of(inode);
    if (!*ret_hole && (*ret_offset > fs->size || *ret_size > fs->size - *ret_offset))
        return -EUCLEAN;
    return 0;
}

/* Straight to its place: mmap's page, or a page that a writer is about to change. */
static int erofs_read_page(struct inode *inode, uint64_t index, void *page)
{
    struct erofs *fs = erofs_of(inode);
    uint64_t offset;
    size_t size;
    bool hole;
    if (index >= ((uint64_t)inode->size + ROOT_BLOCK_SIZE - 1) / ROOT_BLOCK_SIZE) {
        memset(page, 0, PAGE_SIZE);
        return 0;
    }
    int error = erofs_map(inode, index, &offset, &size, &hole);
    if (error)
        return error;
    if (hole)
        size = 0;
    else if (offset % ROOT_BLOCK_SIZE == 0)
        error = verity_read(fs->device, offset / ROOT_BLOCK_SIZE, page);
    else
        error = erofs_pread(fs, offset, page, size);
    if (!error)
        memset((char *)page + size, 0, PAGE_SIZE - size);
    return error;
}

/* How many pages from index on are whole blocks that lie one after the other, at *ret_offset. */
static size_t blocks_in_order(struct inode *inode, uint64_t index, size_t count, uint64_t *ret_offset)
{
    size_t n = 0, size;
    uint64_t offset;
    bool hole;
    for (; n < count && erofs_map(inode, index + n, &offset, &size, &hole) == 0; n++) {
        if (n == 0)
            *ret_offset = offset;
        if (hole || size != ROOT_BLOCK_SIZE || offset % ROOT_BLOCK_SIZE || offset != *ret_offset + n * ROOT_BLOCK_SIZE)
            break;
    }
    return n;
}

static ssize_t erofs_read_pages(struct inode *inode, uint64_t index, size_t count, void *pages)
{
    uint64_t offset = 0;
    size_t n = blocks_in_order(inode, index, count, &offset);
    if (n > 1)
        return verity_read_many(erofs_of(inode)->device, offset / ROOT_BLOCK_SIZE, n, pages);
    int error = erofs_read_page(inode, index, pages);
    return error ? error : 1;
}

static int64_t erofs_root_block(struct inode *inode, uint64_t index)
{
    uint64_t offset;

    return blocks_in_order(inode, index, 1, &offset) == 1 ? (int64_t)(offset / ROOT_BLOCK_SIZE) : -1;
}

static ssize_t read_block(struct inode *inode, struct iov_iter *to, file_off_t pos)
{
    struct erofs *fs = erofs_of(inode);
    uint64_t offset;
    size_t size, skip = pos % ROOT_BLOCK_SIZE;
    bool hole;
    int error = erofs_map(inode, pos / ROOT_BLOCK_SIZE, &offset, &size, &hole);
    if (error)
        return error;
    size = MIN(size - skip, to->count);
    if (hole)
        return zero_iter(to, size);
    offset += skip;
    const struct verity_block *block = verity_get(fs->device, offset / ROOT_BLOCK_SIZE, &error);
    if (!block)
        return error;
    size_t done = copy_to_iter(to, block->data + offset % ROOT_BLOCK_SIZE, size);
    verity_put(block);
    return done;
}

static ssize_t erofs_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct inode *inode = file->inode;
    ssize_t total = 0;
    while (to->count > 0 && *pos < inode->size) {
        ssize_t done = read_block(inode, to, *pos);
        if (done <= 0)
            return total ? total : done < 0 ? done : -EFAULT;
        total += done;
        *pos += done;
    }
    return total;
}

static ssize_t erofs_readlink(struct inode *inode, char *buf, size_t size)
{
    struct erofs *fs = erofs_of(inode);
    size_t length = MIN((uint64_t)inode->size, size), done = 0;
    while (done < length) {
        uint64_t offset;
        size_t part;
        bool hole;
        int error = erofs_map(inode, done / ROOT_BLOCK_SIZE, &offset, &part, &hole);
        if (error || hole)
            return error ? error : -EUCLEAN;
        part = MIN(part, length - done);
        error = erofs_pread(fs, offset, buf + done, part);
        if (error)
            return error;
        done += part;
    }
    return length;
}

void erofs_evict(struct inode *inode)
{
    kfree(erofs_inode(inode));
}

void erofs_getattr(struct inode *inode, struct statx *stat)
{
    stat->stx_blocks = ((uint64_t)inode->size + ROOT_BLOCK_SIZE - 1) / ROOT_BLOCK_SIZE * (ROOT_BLOCK_SIZE / 512);
}

#define EROFS_COMMON_OPS                                                                                               \
    .getattr = erofs_getattr, .getxattr = erofs_getxattr, .listxattr = erofs_listxattr, .evict = erofs_evict

static const struct inode_ops erofs_regular_ops = {EROFS_COMMON_OPS, .read_page = erofs_read_page,
                                                   .read_pages = erofs_read_pages, .root_block = erofs_root_block};
static const struct inode_ops erofs_link_ops = {EROFS_COMMON_OPS, .readlink = erofs_readlink};
static const struct inode_ops erofs_special_ops = {EROFS_COMMON_OPS};
static const struct file_ops erofs_regular_file_ops = {.read = erofs_read, .llseek = file_llseek_size};

/* Both versions, as the larger one. */
static int load_disk_inode(struct erofs *fs, uint64_t offset, struct erofs_inode_extended *ret, size_t *ret_size)
{
    uint16_t format;
    int error = erofs_pread(fs, offset, &format, sizeof(format));
    if (error)
        return error;
    if ((format & 1) == EROFS_EXTENDED) {
        *ret_size = sizeof(*ret);
        return erofs_pread(fs, offset, ret, sizeof(*ret));
    }
    struct erofs_inode_compact c;
    error = erofs_pread(fs, offset, &c, sizeof(c));
    *ret = (struct erofs_inode_extended){
        .format = c.format,
        .xattr_count = c.xattr_count,
        .mode = c.mode,
        .size = c.size,
        .u = c.u,
        .ino = c.ino,
        .uid = c.uid,
        .gid = c.gid,
        .mtime = fs->super.build_time,
        .mtime_nsec = fs->super.build_time_nsec,
        .nlink = c.nlink,
    };
    *ret_size = sizeof(c);
    return error;
}

static int check_layout(struct erofs_inode *e, uint32_t u)
{
    struct erofs *fs = erofs_of(&e->inode);
    uint64_t size = e->inode.size, blocks = (size + ROOT_BLOCK_SIZE - 1) / ROOT_BLOCK_SIZE;
    switch (e->layout) {
    case EROFS_FLAT_PLAIN:
    case EROFS_FLAT_INLINE:
        if (e->layout == EROFS_FLAT_INLINE && blocks > 0)
            blocks--;
        e->first_block = u;
        if (blocks > 0 && (u > fs->size / ROOT_BLOCK_SIZE || blocks > fs->size / ROOT_BLOCK_SIZE - u))
            return -EUCLEAN;
        return 0;
    case EROFS_CHUNK_BASED:
        if ((u & ~(EROFS_CHUNK_BITS_MASK | EROFS_CHUNK_INDEXES)) || !S_ISREG(e->inode.mode))
            return -EUCLEAN;
        e->chunk_bits = EROFS_BLOCK_BITS + (u & EROFS_CHUNK_BITS_MASK);
        e->chunk_unit = u & EROFS_CHUNK_INDEXES ? sizeof(struct erofs_chunk_index) : sizeof(uint32_t);
        return 0;
    default:
        return -EOPNOTSUPP; /* compressed */
    }
}

static int set_type(struct erofs_inode *e, uint32_t u)
{
    struct inode *inode = &e->inode;
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        inode->ops = &erofs_regular_ops;
        inode->file_ops = &erofs_regular_file_ops;
        return check_layout(e, u);
    case S_IFDIR:
        inode->ops = &erofs_dir_ops;
        inode->file_ops = &erofs_dir_file_ops;
        return check_layout(e, u);
    case S_IFLNK:
        inode->ops = &erofs_link_ops;
        if (inode->size <= 0 || inode->size >= (file_off_t)PAGE_SIZE)
            return -EUCLEAN;
        return check_layout(e, u);
    case S_IFCHR:
    case S_IFBLK:
        inode->rdev = u;
        break;
    case S_IFIFO:
    case S_IFSOCK:
        break;
    default:
        return -EUCLEAN;
    }
    inode->ops = &erofs_special_ops;
    inode->size = 0;
    return 0;
}

int erofs_inode_get(struct erofs *fs, uint64_t nid, struct inode **ret_inode)
{
    struct erofs_inode_extended d;
    size_t disk_size;
    if (nid > fs->size / EROFS_SLOT_SIZE)
        return -EUCLEAN;
    uint64_t offset = (uint64_t)fs->super.meta_block * ROOT_BLOCK_SIZE + nid * EROFS_SLOT_SIZE;
    int error = load_disk_inode(fs, offset, &d, &disk_size);
    if (error)
        return error;
    if ((d.format & ~0xfu) || d.size > 1ULL << 62 || d.mtime_nsec >= 1000000000)
        return -EUCLEAN;
    struct erofs_inode *e = kzalloc(sizeof(*e));
    if (!e)
        return -ENOMEM;
    struct inode *inode = &e->inode;
    inode->sb = &fs->sb;
    inode->ino = nid;
    inode->refcount = 1;
    inode->mode = d.mode;
    inode->nlink = d.nlink;
    inode->uid = d.uid;
    inode->gid = d.gid;
    inode->size = d.size;
    inode->mtime = (struct timespec_ns){d.mtime, d.mtime_nsec};
    inode->atime = inode->ctime = inode->btime = inode->mtime;
    e->layout = d.format >> 1 & 7;
    e->xattr_offset = offset + disk_size;
    e->xattr_size = d.xattr_count ? sizeof(struct erofs_xattr_header) + (d.xattr_count - 1u) * 4 : 0;
    e->body_offset = e->xattr_offset + e->xattr_size;
    error = set_type(e, d.u);
    if (error) {
        kfree(e);
        return error;
    }
    *ret_inode = inode;
    return 0;
}

static void erofs_statfs(struct super_block *sb, struct statfs *ret)
{
    struct erofs *fs = container_of(sb, struct erofs, sb);
    ret->f_blocks = fs->super.block_count;
    ret->f_files = fs->super.inode_count;
}

int erofs_open(struct verity *device, struct super_block **ret_sb)
{
    struct erofs *fs = kzalloc(sizeof(*fs));
    if (!fs)
        return -ENOMEM;
    fs->device = device;
    fs->size = verity_block_count(device) * ROOT_BLOCK_SIZE;
    fs->sb.type = "erofs";
    fs->sb.dev = super_dev_next();
    fs->sb.flags = MS_RDONLY;
    fs->sb.magic = EROFS_SUPER_MAGIC_V1;
    fs->sb.statfs = erofs_statfs;
    int error = erofs_pread(fs, EROFS_SUPER_OFFSET, &fs->super, sizeof(fs->super));
    if (!error && (fs->super.magic != EROFS_MAGIC || fs->super.block_bits != EROFS_BLOCK_BITS ||
                   (fs->super.feature_incompat & ~EROFS_INCOMPAT_KNOWN) || fs->super.dir_block_bits ||
                   (uint64_t)fs->super.block_count > fs->size / ROOT_BLOCK_SIZE))
        error = -EINVAL;
    if (!error)
        error = erofs_inode_get(fs, fs->super.root_nid, &fs->sb.root);
    if (!error && !S_ISDIR(fs->sb.root->mode)) {
        inode_put(fs->sb.root);
        error = -EINVAL;
    }
    if (error) {
        kfree(fs);
        return error;
    }
    *ret_sb = &fs->sb;
    return 0;
}

void erofs_close(struct super_block *sb)
{
    inode_put(sb->root);
    kfree(container_of(sb, struct erofs, sb));
}

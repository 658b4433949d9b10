/* Directory blocks of an EROFS image. */
#include "image/erofs_dir.h"

#include <string.h>
#include <sys/stat.h>

#include "image/tree.h"

#define DIRENTS_MAX (EROFS_BLOCK_SIZE / (sizeof(struct erofs_dirent) + 1))

struct entry {
    const char *name;
    size_t name_size;
    const struct inode *inode;
};

/* The children in order with the two entries that every directory has merged in. */
struct cursor {
    const struct inode *dir;
    struct dentry *next;
    int dot_count; /* of "." and "..", how many are out */
};

static int cursor_next(struct cursor *cursor, struct entry *ret_entry)
{
    static const char *const dots[] = {".", ".."};

    if (cursor->dot_count < 2 && (!cursor->next || strcmp(dots[cursor->dot_count], cursor->next->name) < 0)) {
        ret_entry->name = dots[cursor->dot_count];
        ret_entry->inode = cursor->dot_count == 0 ? cursor->dir : cursor->dir->dir.parent;
        cursor->dot_count++;
    } else if (cursor->next) {
        ret_entry->name = cursor->next->name;
        ret_entry->inode = cursor->next->inode;
        cursor->next = RB_NEXT(dentry_tree, &cursor->dir->dir.children, cursor->next);
    } else {
        return 0;
    }
    ret_entry->name_size = strlen(ret_entry->name);
    return 1;
}

static void cursor_init(struct cursor *cursor, const struct inode *dir)
{
    *cursor = (struct cursor){.dir = dir};
    cursor->next = RB_MIN(dentry_tree, (struct dentry_tree *)&dir->dir.children);
}

static uint8_t file_type(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return EROFS_FT_DIR;
    case S_IFLNK:
        return EROFS_FT_LNK;
    case S_IFCHR:
        return EROFS_FT_CHR;
    case S_IFBLK:
        return EROFS_FT_BLK;
    case S_IFIFO:
        return EROFS_FT_FIFO;
    case S_IFSOCK:
        return EROFS_FT_SOCK;
    default:
        return EROFS_FT_REG;
    }
}

static void fill_block(uint8_t block[EROFS_BLOCK_SIZE], const struct entry *entries, size_t count)
{
    size_t name_offset = count * sizeof(struct erofs_dirent);

    memset(block, 0, EROFS_BLOCK_SIZE);
    for (size_t i = 0; i < count; i++) {
        struct erofs_dirent dirent = {
            .nid = entries[i].inode->position / EROFS_SLOT_SIZE,
            .name_offset = (uint16_t)name_offset,
            .type = file_type(entries[i].inode->mode),
        };
        memcpy(block + i * sizeof(dirent), &dirent, sizeof(dirent));
        memcpy(block + name_offset, entries[i].name, entries[i].name_size);
        name_offset += entries[i].name_size;
    }
}

int erofs_dir_for_each_block(const struct inode *dir, erofs_dir_block_fn fn, void *arg)
{
    struct entry entries[DIRENTS_MAX], entry;
    uint8_t block[EROFS_BLOCK_SIZE];
    struct cursor cursor;
    size_t count = 0, used = 0;
    int result;

    cursor_init(&cursor, dir);
    while (cursor_next(&cursor, &entry)) {
        size_t size = sizeof(struct erofs_dirent) + entry.name_size;
        if (used + size > EROFS_BLOCK_SIZE) {
            fill_block(block, entries, count);
            result = fn(arg, block, used);
            if (result < 0)
                return result;
            count = used = 0;
        }
        entries[count++] = entry;
        used += size;
    }
    fill_block(block, entries, count);
    return fn(arg, block, used);
}

uint64_t erofs_dir_size(const struct inode *dir)
{
    struct entry entry;
    struct cursor cursor;
    uint64_t whole = 0;
    size_t used = 0;

    cursor_init(&cursor, dir);
    while (cursor_next(&cursor, &entry)) {
        size_t size = sizeof(struct erofs_dirent) + entry.name_size;
        if (used + size > EROFS_BLOCK_SIZE) {
            whole += EROFS_BLOCK_SIZE;
            used = 0;
        }
        used += size;
    }
    return whole + used;
}

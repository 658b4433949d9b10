/* Directories: search trees keyed by a keyed hash of names. Full blocks are split on the way down, so that a split's
 * parent always has room and each split leaves a tree that is right. */
#include "kernel/crypto/aes_cmac.h"
#include "kernel/volume/internal.h"

#define DATA_SIZE sizeof(((struct volume_dir_block *)0)->data)
#define INDEX_MAX (DATA_SIZE / sizeof(struct volume_dir_index))
#define LEVEL_MAX 8
#define HASH_MIN 2 /* positions 0 and 1 are "." and ".." */

uint64_t vol_dir_hash(struct volume *v, const char *name, size_t size)
{
    uint8_t mac[16];
    uint64_t hash;
    aes_cmac(v->hash_key, name, size, mac);
    memcpy(&hash, mac, sizeof(hash));
    return MIN(MAX(hash >> 1, (uint64_t)HASH_MIN), (uint64_t)INT64_MAX - 1);
}

static struct volume_dir_block *dir_block(const struct vol_block *b)
{
    return (struct volume_dir_block *)b->data;
}

static struct volume_dir_index *dir_indexes(struct volume_dir_block *block)
{
    return (struct volume_dir_index *)block->data;
}

static bool leaf_valid(const struct volume_dir_block *block)
{
    uint64_t last = 0;
    size_t offset = 0;
    unsigned count = 0;
    while (offset < block->used) {
        const struct volume_dir_entry *e = (const void *)(block->data + offset);
        if (block->used - offset < sizeof(*e) || e->name_size == 0 || e->hash <= last || e->hash > INT64_MAX ||
            e->size != VOLUME_DIR_ENTRY_SIZE(e->name_size) || e->size > block->used - offset)
            return false;
        last = e->hash;
        offset += e->size;
        count++;
    }
    return count == block->count;
}

bool vol_dir_block_valid(const struct volume_dir_block *block)
{
    if (block->magic != VOLUME_DIR_MAGIC || block->used > DATA_SIZE || block->level > LEVEL_MAX)
        return false;
    if (block->level == 0)
        return leaf_valid(block);
    const struct volume_dir_index *index = (const void *)block->data;
    for (unsigned i = 1; i < block->count && i < INDEX_MAX; i++)
        if (index[i].hash <= index[i - 1].hash)
            return false;
    return block->count > 0 && block->used == block->count * sizeof(*index);
}

int vol_dir_get(struct volume_node *dir, uint64_t index, struct vol_block **ret_block)
{
    if (index >= dir->inode.size / VOLUME_BLOCK_SIZE)
        return -EIO;
    int err = vol_block_get(dir, 0, index, VOL_READ, ret_block);
    if (err < 0)
        return err;
    if (!*ret_block || !vol_dir_block_valid(dir_block(*ret_block))) {
        vol_block_put(*ret_block);
        return -EIO;
    }
    return 0;
}

static unsigned index_find(struct volume_dir_block *block, uint64_t hash)
{
    const struct volume_dir_index *index = dir_indexes(block);
    unsigned low = 0, high = block->count;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (index[middle].hash <= hash)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The child of b that a hash belongs to. */
static int child_get(struct volume_node *dir, struct vol_block *b, uint64_t hash, struct vol_block **ret_child)
{
    const struct volume_dir_index *index = &dir_indexes(dir_block(b))[index_find(dir_block(b), hash)];
    int err = vol_dir_get(dir, index->block, ret_child);
    if (err == 0 && dir_block(*ret_child)->level + 1 != dir_block(b)->level) {
        vol_block_put(*ret_child);
        err = -EIO;
    }
    return err;
}

/* The leaf of a hash, and the first hash of the leaf behind it (UINT64_MAX: none). */
static int leaf_get(struct volume_node *dir, uint64_t hash, struct vol_block **ret_leaf, uint64_t *ret_next)
{
    struct vol_block *b, *child = NULL;
    *ret_next = UINT64_MAX;
    int err = vol_dir_get(dir, 0, &b);
    while (err == 0 && dir_block(b)->level > 0) {
        unsigned i = index_find(dir_block(b), hash);
        if (i + 1u < dir_block(b)->count)
            *ret_next = dir_indexes(dir_block(b))[i + 1].hash;
        err = child_get(dir, b, hash, &child);
        vol_block_put(b);
        b = child;
    }
    *ret_leaf = b;
    return err;
}

struct volume_dir_entry *vol_dir_entry(const struct vol_place *place)
{
    return (struct volume_dir_entry *)(dir_block(place->leaf)->data + place->offset);
}

/* The first entry whose hash is not lower; used bytes if there is none. */
static uint32_t leaf_find(const struct volume_dir_block *block, uint64_t hash)
{
    uint32_t offset = 0;
    while (offset < block->used) {
        const struct volume_dir_entry *e = (const void *)(block->data + offset);
        if (e->hash >= hash)
            break;
        offset += e->size;
    }
    return offset;
}

int vol_dir_find(struct volume_node *dir, const char *name, size_t size, struct vol_place *ret_place)
{
    uint64_t next;
    *ret_place = (struct vol_place){.hash = vol_dir_hash(dir->volume, name, size)};
    if (!S_ISDIR(dir->inode.mode))
        return -ENOTDIR;
    if (size > VOLUME_NAME_MAX)
        return -ENAMETOOLONG;
    if (dir->inode.size == 0)
        return -ENOENT;
    int err = leaf_get(dir, ret_place->hash, &ret_place->leaf, &next);
    if (err < 0) {
        ret_place->leaf = NULL;
        return err;
    }
    struct volume_dir_block *block = dir_block(ret_place->leaf);
    ret_place->offset = leaf_find(block, ret_place->hash);
    if (ret_place->offset < block->used) {
        const struct volume_dir_entry *e = vol_dir_entry(ret_place);
        if (e->hash == ret_place->hash && e->name_size == size && memcmp(e->name, name, size) == 0)
            return 0;
    }
    vol_block_put(ret_place->leaf);
    ret_place->leaf = NULL;
    return -ENOENT;
}

/* A block behind the last one, dirty and referenced; counted in the size once it is used. */
static int append_block(struct volume_node *dir, struct vol_block **ret_block)
{
    int err = vol_block_get(dir, 0, dir->inode.size / VOLUME_BLOCK_SIZE, VOL_CREATE, ret_block);
    if (err < 0)
        return err;
    err = vol_block_dirty(*ret_block);
    if (err < 0)
        vol_block_put(*ret_block);
    return err;
}

static void block_init(struct vol_block *b, unsigned level)
{
    memset(b->data, 0, VOLUME_BLOCK_SIZE);
    dir_block(b)->magic = VOLUME_DIR_MAGIC;
    dir_block(b)->level = (uint16_t)level;
}

/* All of the root goes one level down. */
static int root_split(struct volume_node *dir, struct vol_block *root)
{
    struct vol_block *b;
    if (dir_block(root)->level == LEVEL_MAX)
        return -ENOSPC;
    int err = vol_block_dirty(root);
    if (err == 0)
        err = append_block(dir, &b);
    if (err < 0)
        return err;
    unsigned level = dir_block(root)->level + 1u;
    memcpy(b->data, root->data, VOLUME_BLOCK_SIZE);
    block_init(root, level);
    dir_block(root)->count = 1;
    dir_block(root)->used = sizeof(struct volume_dir_index);
    dir_indexes(dir_block(root))[0].block = b->index;
    dir->inode.size += VOLUME_BLOCK_SIZE;
    vol_block_put(b);
    return 0;
}

/* Where to cut a block in two: bytes that stay, entries that stay, the first hash that goes. */
static uint32_t cut_find(const struct volume_dir_block *block, uint16_t *ret_count, uint64_t *ret_hash)
{
    uint32_t offset = 0;
    *ret_count = 0;
    if (block->level > 0) {
        *ret_count = block->count / 2;
        offset = *ret_count * (uint32_t)sizeof(struct volume_dir_index);
        *ret_hash = ((const struct volume_dir_index *)(const void *)(block->data + offset))->hash;
        return offset;
    }
    for (;;) {
        const struct volume_dir_entry *e = (const void *)(block->data + offset);
        *ret_hash = e->hash;
        if (offset >= block->used / 2)
            return offset;
        offset += e->size;
        ++*ret_count;
    }
}

static void index_insert(struct volume_dir_block *block, uint64_t hash, uint64_t child)
{
    unsigned at = index_find(block, hash) + 1;
    struct volume_dir_index *index = dir_indexes(block);
    memmove(&index[at + 1], &index[at], (block->count - at) * sizeof(*index));
    index[at] = (struct volume_dir_index){hash, child};
    block->count++;
    block->used += (uint32_t)sizeof(*index);
}

/* The upper half of b goes to a new block behind it; parent has room for one more. */
static int split(struct volume_node *dir, struct vol_block *parent, struct vol_block *b)
{
    struct vol_block *upper;
    int err = vol_block_dirty(parent);
    if (err == 0)
        err = vol_block_dirty(b);
    if (err == 0)
        err = append_block(dir, &upper);
    if (err < 0)
        return err;
    struct volume_dir_block *from = dir_block(b), *to = dir_block(upper);
    uint16_t count;
    uint64_t hash;
    uint32_t offset = cut_find(from, &count, &hash);
    block_init(upper, from->level);
    to->used = from->used - offset;
    to->count = from->count - count;
    memcpy(to->data, from->data + offset, to->used);
    from->used = offset;
    from->count = count;
    memset(from->data + offset, 0, DATA_SIZE - offset);
    index_insert(dir_block(parent), hash, upper->index);
    dir->inode.size += VOLUME_BLOCK_SIZE;
    vol_block_put(upper);
    return 0;
}

static bool full(const struct vol_block *b, size_t entry_size)
{
    const struct volume_dir_block *block = dir_block(b);
    return block->used + (block->level > 0 ? sizeof(struct volume_dir_index) : entry_size) > DATA_SIZE;
}

static int first_block(struct volume_node *dir)
{
    struct vol_block *b;
    int err = append_block(dir, &b);
    if (err < 0)
        return err;
    block_init(b, 0);
    dir->inode.size = VOLUME_BLOCK_SIZE;
    vol_block_put(b);
    return 0;
}

/* From the root, which is not full, down to a leaf that is not. */
static int descend(struct volume_node *dir, uint64_t hash, size_t entry_size, struct vol_block **ret_leaf)
{
    struct vol_block *b, *child = NULL;
    int err = vol_dir_get(dir, 0, &b);
    while (err == 0 && dir_block(b)->level > 0) {
        err = child_get(dir, b, hash, &child);
        if (err == 0 && full(child, entry_size)) {
            err = split(dir, b, child);
            vol_block_put(child);
            if (err == 0)
                err = child_get(dir, b, hash, &child);
        }
        vol_block_put(b);
        b = child;
    }
    *ret_leaf = b;
    return err;
}

int vol_dir_prepare(struct volume_node *dir, const char *name, size_t size, struct vol_place *ret_place)
{
    size_t entry_size = VOLUME_DIR_ENTRY_SIZE(size);
    struct vol_block *b;
    *ret_place = (struct vol_place){.hash = vol_dir_hash(dir->volume, name, size)};
    int err = vol_node_dirty(dir);
    if (err == 0 && dir->inode.size == 0)
        err = first_block(dir);
    if (err == 0)
        err = vol_dir_get(dir, 0, &b);
    if (err < 0)
        return err;
    if (full(b, entry_size))
        err = root_split(dir, b);
    vol_block_put(b);
    if (err == 0)
        err = descend(dir, ret_place->hash, entry_size, &b);
    if (err < 0)
        return err;
    uint32_t offset = leaf_find(dir_block(b), ret_place->hash);
    const struct volume_dir_entry *e = (const void *)(dir_block(b)->data + offset);
    if (offset < dir_block(b)->used && e->hash == ret_place->hash)
        err = -ENOSPC; /* two names of one hash in 2^63: never seen, and never wrong */
    else
        err = vol_block_dirty(b);
    if (err < 0)
        vol_block_put(b);
    else
        ret_place->leaf = b;
    return err;
}

void vol_dir_insert(struct volume_node *dir, struct vol_place *place, const char *name, size_t size, uint64_t ino,
                    uint32_t mode)
{
    struct volume_dir_block *block = dir_block(place->leaf);
    uint32_t entry_size = (uint32_t)VOLUME_DIR_ENTRY_SIZE(size);
    place->offset = leaf_find(block, place->hash);
    uint8_t *at = block->data + place->offset;
    memmove(at + entry_size, at, block->used - place->offset);
    memset(at, 0, entry_size);
    struct volume_dir_entry *e = vol_dir_entry(place);
    e->hash = place->hash;
    e->ino = ino;
    e->size = (uint16_t)entry_size;
    e->name_size = (uint8_t)size;
    e->type = VOL_DT(mode);
    memcpy(e->name, name, size);
    block->used += entry_size;
    block->count++;
    dir->inode.entry_count++;
}

void vol_dir_remove(struct volume_node *dir, struct vol_place *place)
{
    struct volume_dir_block *block = dir_block(place->leaf);
    uint32_t offset = leaf_find(block, place->hash), size = ((struct volume_dir_entry *)(block->data + offset))->size;
    memmove(block->data + offset, block->data + offset + size, block->used - offset - size);
    block->used -= size;
    block->count--;
    memset(block->data + block->used, 0, size);
    dir->inode.entry_count--;
}

/* Entries of one leaf; 1 = emit said stop. */
static int leaf_emit(struct vol_block *leaf, int64_t *pos, volume_emit_fn emit, void *arg)
{
    const struct volume_dir_block *block = dir_block(leaf);
    for (uint32_t offset = leaf_find(block, (uint64_t)*pos); offset < block->used;) {
        const struct volume_dir_entry *e = (const void *)(block->data + offset);
        int64_t next = (int64_t)e->hash + 1;
        if (!emit(arg, (const char *)e->name, e->name_size, e->ino, e->type, next))
            return 1;
        *pos = next;
        offset += e->size;
    }
    return 0;
}

int volume_readdir(struct volume_node *dir, int64_t *pos, volume_emit_fn emit, void *arg)
{
    if (!S_ISDIR(dir->inode.mode))
        return -ENOTDIR;
    if (*pos < 0)
        return -EINVAL;
    for (; *pos < HASH_MIN; ++*pos)
        if (!emit(arg, "..", *pos == 0 ? 1 : 2, *pos == 0 ? dir->ino : dir->inode.parent, VOL_DT(S_IFDIR), *pos + 1))
            return 0;
    for (uint64_t next = 0; dir->inode.size > 0 && next != UINT64_MAX;) {
        struct vol_block *leaf;
        int err = leaf_get(dir, (uint64_t)*pos, &leaf, &next);
        if (err < 0)
            return err;
        err = leaf_emit(leaf, pos, emit, arg);
        vol_block_put(leaf);
        if (err != 0)
            return 0;
        if (next != UINT64_MAX)
            *pos = MAX(*pos, (int64_t)next);
    }
    return 0;
}

/*
 * A volume whose contents are anything: a good image, changed where the input says, with authentication left out (or
 * nothing would ever be reached). It is mounted for reading and for writing, walked, read, changed and checked.
 * Input: patches of {block u16, offset u16, size u8, bytes}; to `block` is added where the image has blocks in use.
 *
 * fuzz-sources: kernel/volume/alloc.c kernel/volume/anchor.c kernel/volume/block.c kernel/volume/check.c
 * fuzz-sources: kernel/volume/checkpoint.c kernel/volume/data.c kernel/volume/diff.c kernel/volume/dir.c
 * fuzz-sources: kernel/volume/inode.c kernel/volume/snapshot.c
 * fuzz-sources: kernel/volume/keys.c kernel/volume/log.c kernel/volume/mount.c kernel/volume/names.c
 * fuzz-sources: kernel/volume/recovery.c kernel/volume/rekey.c kernel/volume/renew.c
 * fuzz-sources: kernel/volume/replay.c kernel/volume/tree.c kernel/volume/xattr.c kernel/lib/string.c
 * fuzz-sources: volume/hosted_memory.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "fuzz/volume_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t good[BLOCKS * BLOCK];
static uint16_t in_use[BLOCKS], in_use_count;

/* Some of everything: in the tree, and more of it in the log. */
static void populate(struct volume *v, char prefix)
{
    struct volume_node *root, *node;
    struct volume_owner owner = {0, 0};
    static uint8_t data[3 * BLOCK];
    if (volume_node_get(v, VOLUME_ROOT_INO, &root) < 0)
        abort();
    for (int i = 0; i < 24; i++) {
        char name[64];
        int size = snprintf(name, sizeof(name), "%c-a-rather-long-name-for-this-%d", prefix, i);
        int err = i % 5 == 0 ? volume_symlink(root, name, (size_t)size, name, (size_t)size, owner, &node)
                             : volume_create(root, name, (size_t)size, i % 4 ? S_IFREG : S_IFDIR, 0, owner, &node);
        if (err < 0)
            abort();
        if (S_ISREG(volume_node_inode(node)->mode) &&
            volume_write(node, (uint64_t)i * i * 9999, data, sizeof(data)) < 0)
            abort();
        if (volume_setxattr(node, "user.a", name, (size_t)size, 0) < 0 || volume_fsync(node) < 0)
            abort();
        volume_node_put(node);
    }
    volume_node_put(root);
}

static void make_good(void)
{
    struct volume_key_slot slot = {.type = VOLUME_KEY_FILE};
    uint8_t key[32] = {0};
    struct volume *v;
    if (volume_format(&io, &slot, key) < 0 || !(v = mount(false)))
        abort();
    populate(v, 'a');
    if (volume_sync(v) < 0)
        abort();
    populate(v, 'b');
    volume_abandon(v);
    memcpy(good, disk, sizeof(good));
    for (unsigned block = 0; block < BLOCKS; block++)
        for (unsigned i = 0; i < BLOCK; i++)
            if (good[block * BLOCK + i]) {
                in_use[in_use_count++] = (uint16_t)block;
                break;
            }
}

static void change(struct volume *v)
{
    struct volume_node *root, *node;
    if (volume_node_get(v, VOLUME_ROOT_INO, &root) < 0)
        return;
    if (volume_create(root, "new", 3, S_IFREG, 0, (struct volume_owner){0, 0}, &node) == 0) {
        if (volume_write(node, 100, "x", 1) != 1 || volume_fsync(node) < 0 || volume_truncate(node, 0) < 0)
            v = NULL;
        volume_node_put(node);
    }
    if (volume_unlink(root, "a-a-rather-long-name-for-this-1", 31) < 0 ||
        volume_rename(root, "a-a-rather-long-name-for-this-2", 31, root, "z", 1, 0, (struct volume_owner){0, 0}) < 0)
        v = NULL;
    volume_node_put(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct volume_check_result result;
    if (in_use_count == 0)
        make_good();
    memcpy(disk, good, sizeof(disk));
    while (size >= 5) {
        uint16_t block, offset;
        memcpy(&block, data, 2);
        memcpy(&offset, data + 2, 2);
        size_t n = MIN(MIN((size_t)data[4], size - 5), (size_t)BLOCK - offset % BLOCK);
        memcpy(disk + in_use[block % in_use_count] * BLOCK + offset % BLOCK, data + 5, n);
        data += 5 + n;
        size -= 5 + n;
    }
    for (int read_only = 1; read_only >= 0; read_only--) {
        struct volume *v = mount(read_only);
        if (!v)
            continue;
        struct walk w = {.v = v};
        visit(&w, VOLUME_ROOT_INO);
        if (!read_only)
            change(v);
        int checked = volume_check(v, NULL, NULL, &result), closed = volume_unmount(v);
        (void)checked;
        (void)closed;
    }
    return 0;
}

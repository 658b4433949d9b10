/*
 * What `cofre volume receive` is sent, by someone who has the stream's key: items (kernel/volume/replica.h), into an
 * empty volume or as a difference into one with a snapshot. If all are taken the volume is opened, walked and checked.
 * Input: a byte for which of both, then items: a byte for the type, one for how much of the body follows (in units of 4
 * bytes, from the start of it; the rest is zeros).
 *
 * fuzz-sources: kernel/volume/alloc.c kernel/volume/anchor.c kernel/volume/block.c kernel/volume/check.c
 * fuzz-sources: kernel/volume/checkpoint.c kernel/volume/data.c kernel/volume/diff.c kernel/volume/dir.c
 * fuzz-sources: kernel/volume/header.c kernel/volume/inode.c kernel/volume/keys.c kernel/volume/log.c
 * fuzz-sources: kernel/volume/mount.c kernel/volume/names.c kernel/volume/receive.c kernel/volume/replay.c
 * fuzz-sources: kernel/volume/recovery.c kernel/volume/rekey.c kernel/volume/renew.c
 * fuzz-sources: kernel/volume/snapshot.c kernel/volume/snapshot_change.c kernel/volume/tree.c
 * fuzz-sources: kernel/volume/xattr.c kernel/lib/string.c volume/hosted_memory.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "fuzz/volume_fake.h"
#include "kernel/volume/replica.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t empty[BLOCKS * BLOCK], based[BLOCKS * BLOCK];

static struct volume *mount_must(void)
{
    struct volume *v = mount(false);
    if (!v)
        abort();
    return v;
}

static void make_bases(void)
{
    struct volume_key_slot slot = {.type = VOLUME_KEY_FILE};
    struct volume_node *root, *node;
    uint8_t key[32] = {0};
    if (volume_format(&io, &slot, key) < 0)
        abort();
    memcpy(empty, disk, sizeof(empty));
    struct volume *v = mount_must();
    if (volume_node_get(v, VOLUME_ROOT_INO, &root) < 0 ||
        volume_create(root, "f", 1, S_IFREG, 0, (struct volume_owner){0, 0}, &node) < 0 ||
        volume_write(node, 600000, "x", 1) != 1 || volume_setxattr(node, "user.a", "b", 1, 0) < 0)
        abort();
    volume_node_put(node);
    volume_node_put(root);
    if (volume_snapshot_create(v, "base") < 0 || volume_unmount(v) < 0)
        abort();
    memcpy(based, disk, sizeof(based));
}

static const size_t sizes[] = {
    [REPLICA_BEGIN] = sizeof(struct replica_begin),
    [REPLICA_INODE] = sizeof(struct replica_inode),
    [REPLICA_BLOCK] = sizeof(struct replica_place) + BLOCK,
    [REPLICA_HOLE] = sizeof(struct replica_place),
    [REPLICA_END] = 0,
    [REPLICA_END + 1] = 7, /* no item */
};

static int items_receive(struct volume *v, const uint8_t *data, size_t size)
{
    static _Alignas(8) uint8_t body[REPLICA_BODY_MAX];
    struct replica_receiver r = {.volume = v};
    int err = 0;
    while (err == 0 && !r.ended && size >= 2) {
        struct replica_item item = {.type = data[0] % (REPLICA_END + 2)};
        item.size = (uint32_t)sizes[item.type];
        size_t n = MIN(MIN((size_t)data[1] * 4, size - 2), (size_t)item.size);
        memset(body, 0, sizeof(body));
        memcpy(body, data + 2, n);
        data += 2 + n;
        size -= 2 + n;
        err = volume_receive(&r, &item, body);
    }
    return r.ended ? err : -ENODATA;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct volume_check_result result;
    static bool made;
    if (size < 1)
        return 0;
    if (!made)
        make_bases();
    made = true;
    memcpy(disk, data[0] % 2 ? based : empty, sizeof(disk));
    struct volume *v = mount_must();
    int err = items_receive(v, data + 1, size - 1);
    volume_abandon(v);
    v = mount(err != 0);
    if (!v)
        return 0;
    struct walk w = {.v = v};
    visit(&w, VOLUME_ROOT_INO);
    if (volume_check(v, NULL, NULL, &result) == 0 && err != 0 && result.problem_count > 0)
        abort(); /* what was not received whole has changed nothing */
    volume_abandon(v);
    return 0;
}

/*
 * Makes a golden image: golden-make KIND FILE. Small volumes as this format version and its features write them, with
 * random numbers and a clock that are the same each time. tests/e2e/volume-golden.bats holds every later build to what
 * is committed; an image is made again only to add a kind, never to make a test pass. The kind random-SEED is for the
 * second reader: what 120 changes and a crash leave.
 */
#include <linux/errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/crypto/crypto.h"
#include "tests/unit/volume/disk.h"
#include "tests/unit/volume/model.h"

#define BLOCKS 512

static const struct volume_owner owner = {1000, 100};

static void must(int err, const char *what)
{
    if (err >= 0)
        return;
    fprintf(stderr, "golden-make: %s: %d\n", what, err);
    exit(1);
}

static struct volume_node *make(struct volume_node *dir, const char *name, uint32_t mode, uint64_t rdev)
{
    struct volume_node *node;
    must(volume_create(dir, name, strlen(name), mode, rdev, owner, &node), name);
    return node;
}

static void fill(struct volume_node *node, uint64_t offset, size_t size)
{
    uint8_t *data = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)("0123456789abcdef\n"[(i + offset) % 17]);
    must((int)volume_write(node, offset, data, size), "write");
    free(data);
}

static void link_make(struct volume_node *dir, const char *name, const char *target)
{
    struct volume_node *node;
    must(volume_symlink(dir, name, strlen(name), target, strlen(target), owner, &node), name);
    volume_node_put(node);
}

/* One of each thing that the format knows. */
static void tree_make(struct volume *v)
{
    static char long_target[200];
    char name[16];
    struct volume_node *root, *dir, *node;
    must(volume_node_get(v, VOLUME_ROOT_INO, &root), "root");
    dir = make(root, "dir", S_IFDIR | 0750, 0);
    for (unsigned i = 0; i < 150; i++) { /* more than a block of names, made and half of them removed */
        snprintf(name, sizeof(name), "entry-%03u", i);
        volume_node_put(make(dir, name, S_IFREG | 0644, 0));
    }
    for (unsigned i = 0; i < 150; i += 2) {
        snprintf(name, sizeof(name), "entry-%03u", i);
        must(volume_unlink(dir, name, strlen(name)), name);
    }
    node = make(root, "small", S_IFREG | 0600, 0);
    fill(node, 0, 100);
    must(volume_setxattr(node, "user.golden", "value", 5, 0), "xattr");
    must(volume_link(dir, "hard", 4, node), "hard");
    volume_node_put(node);
    node = make(root, "holes", S_IFREG | 0644, 0); /* three levels of pointers */
    fill(node, 4000, 200);
    fill(node, (64UL << 20) + 5, 10);
    must(volume_truncate(node, (100UL << 20) + 1), "truncate");
    volume_node_put(node);
    node = make(root, "punched", S_IFREG | 0644, 0);
    fill(node, 0, 5 * VOLUME_BLOCK_SIZE);
    must(volume_fallocate(node, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192), "punch");
    volume_node_put(node);
    volume_node_put(make(root, "fifo", S_IFIFO | 0622, 0));
    volume_node_put(make(root, "device", S_IFCHR | 0666, 0x103));
    memset(long_target, 'x', sizeof(long_target) - 1);
    link_make(root, "short-link", "dir/hard");
    link_make(root, "long-link", long_target);
    volume_node_put(dir);
    volume_node_put(root);
}

/* What is only in the log: every operation that a record can hold. A file without a name stays open. */
static struct volume_node *log_make(struct volume *v)
{
    struct volume_node *root, *node, *nameless;
    must(volume_node_get(v, VOLUME_ROOT_INO, &root), "root");
    node = make(root, "logged", S_IFREG | 0644, 0);
    fill(node, 0, 6000); /* a block, and bytes in the head */
    must(volume_fsync(node), "fsync");
    must(volume_truncate(node, 5000), "truncate");
    fill(node, 10, 20);
    must(volume_setxattr(node, "user.a", "1", 1, 0), "xattr");
    must(volume_setxattr(node, "user.b", "2", 1, 0), "xattr");
    must(volume_removexattr(node, "user.a"), "xattr");
    must(volume_link(root, "second", 6, node), "link");
    must(volume_rename(root, "logged", 6, root, "renamed", 7, 0, owner), "rename");
    must(volume_unlink(root, "fifo", 4), "unlink");
    link_make(root, "logged-link", "second");
    must(volume_tmpfile(v, S_IFREG | 0600, owner, &nameless), "tmpfile");
    fill(nameless, 0, 50);
    must(volume_fsync(nameless), "fsync");
    must(volume_fsync(node), "fsync");
    volume_node_put(node);
    volume_node_put(root);
    return nameless;
}

static void file_write(const struct disk *d, const char *path)
{
    FILE *f = fopen(path, "we");
    if (!f || fwrite(d->data, VOLUME_BLOCK_SIZE, d->block_count, f) != d->block_count || fclose(f) != 0)
        must(-EIO, path);
}

/* Three trees: what two snapshots have, each with something that the next has not, and today's. */
static void snapshots_make(struct volume *v)
{
    struct volume_node *root, *node;
    must(volume_snapshot_create(v, "first"), "first");
    must(volume_node_get(v, VOLUME_ROOT_INO, &root), "root");
    must(volume_lookup(root, "punched", 7, &node), "punched");
    fill(node, 4096 + 5, 8192);
    volume_node_put(node);
    must(volume_unlink(root, "holes", 5), "holes");
    must(volume_snapshot_create(v, "second"), "second");
    must(volume_unlink(root, "punched", 7), "punched");
    must(volume_unlink(root, "small", 5), "small");
    must(volume_sync(v), "sync");
    volume_node_put(root);
}

/* Changes and syncs as the model makes them; half of it in the log. */
static int random_make(const char *seed, const char *path)
{
    struct volume_options options = {.cache_size = 1 << 20};
    struct model m;
    int err;
    struct disk *d = disk_formatted(4 * BLOCKS);
    struct volume *v = disk_mount(d, &options, &err);
    must(err, "mount");
    disk_seed(strtoull(seed, NULL, 10));
    model_init(&m);
    for (unsigned i = 0; i < 120; i++) {
        model_change(&m, v);
        if (i % 4 == 3)
            model_sync(&m, v, model_pick_sync(&m));
        if (i == 60)
            must(volume_sync(v), "sync");
    }
    model_sync(&m, v, model_pick_sync(&m));
    file_write(d, path);
    volume_abandon(v);
    model_deinit(&m);
    disk_free(d);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"plain", "log", "snapshots"};
    int err;
    bool known = false;
    crypto_init();
    if (argc == 3 && strncmp(argv[1], "random-", 7) == 0)
        return random_make(argv[1] + 7, argv[2]);
    for (size_t i = 0; argc == 3 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        known = known || strcmp(argv[1], kinds[i]) == 0;
    if (!known) {
        fputs("usage: golden-make plain|log|snapshots|random-SEED FILE\n", stderr);
        return 2;
    }
    bool log = strcmp(argv[1], "plain") != 0;
    struct disk *d = disk_formatted(BLOCKS);
    struct volume *v = disk_mount(d, NULL, &err);
    must(err, "mount");
    tree_make(v);
    if (strcmp(argv[1], "snapshots") == 0)
        snapshots_make(v);
    if (log) {
        must(volume_sync(v), "sync");
        struct volume_node *nameless = log_make(v);
        file_write(d, argv[2]); /* as a crash leaves it */
        volume_node_put(nameless);
    }
    must(volume_unmount(v), "unmount");
    if (!log)
        file_write(d, argv[2]);
    disk_free(d);
    return 0;
}

/* EROFS images read back by an independent reader: random trees, and the corners of the format. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/erofs_format.h"
#include "image/erofs_write.h"
#include "image/file_io.h"
#include "tests/unit/image/fixture.h"

/* The image, mapped. */
static const uint8_t *image;
static uint64_t image_size;
static uint64_t seen; /* inodes met, for counting */

struct file { /* an inode as read back */
    uint64_t size, mtime, offset;
    uint32_t mode, uid, gid, links, data, mtime_nsec, layout, xattr_count;
    const uint8_t *after; /* attributes, then the tail */
};

static const struct erofs_super *super(void)
{
    return (const void *)(image + EROFS_SUPER_OFFSET);
}

static void read_inode(uint64_t nid, struct file *file)
{
    const struct erofs_inode_extended *e = (const void *)(image + nid * EROFS_SLOT_SIZE);
    const struct erofs_inode_compact *c = (const void *)e;

    assert_true((nid + 1) * EROFS_SLOT_SIZE <= image_size);
    *file = (struct file){.offset = nid * EROFS_SLOT_SIZE, .layout = e->format >> 1, .xattr_count = e->xattr_count};
    file->mode = e->mode;
    if (e->format & EROFS_FORMAT_EXTENDED) {
        file->size = e->size;
        file->mtime = e->mtime;
        file->mtime_nsec = e->mtime_nsec;
        file->uid = e->uid;
        file->gid = e->gid;
        file->links = e->link_count;
        file->data = e->data;
        file->after = (const uint8_t *)(e + 1);
    } else {
        file->size = c->size;
        file->mtime = super()->build_time;
        file->mtime_nsec = super()->build_time_nsec;
        file->uid = c->uid;
        file->gid = c->gid;
        file->links = c->link_count;
        file->data = c->data;
        file->after = (const uint8_t *)(c + 1);
    }
}

static uint8_t *read_data(const struct file *file)
{
    uint64_t tail = file->layout == EROFS_LAYOUT_INLINE ? file->size % EROFS_BLOCK_SIZE : 0, whole = file->size - tail;
    const uint8_t *inline_data =
        file->after + (file->xattr_count ? sizeof(struct erofs_xattr_header) + 4 * (file->xattr_count - 1U) : 0);
    uint8_t *data = malloc(file->size + 1);

    assert_non_null(data);
    assert_true(file->layout == EROFS_LAYOUT_INLINE || file->layout == EROFS_LAYOUT_PLAIN);
    assert_true((uint64_t)file->data * EROFS_BLOCK_SIZE + whole <= image_size || !whole);
    memcpy(data, image + (uint64_t)file->data * EROFS_BLOCK_SIZE, whole);
    memcpy(data + whole, inline_data, tail);
    data[file->size] = 0;
    /* The kernel's rule: what is inline lies in the block of the inode. */
    if (tail)
        assert_int_equal(file->offset / EROFS_BLOCK_SIZE,
                         (uint64_t)(inline_data + tail - 1 - image) / EROFS_BLOCK_SIZE);
    return data;
}

static void check_tree(const struct inode *inode, uint64_t nid, uint64_t parent);

static void check_child(const struct inode *dir, uint64_t dir_nid, const struct erofs_dirent *dirent, const char *name)
{
    const struct dentry *dentry = dir_lookup(dir, name);

    assert_non_null(dentry);
    if (dentry->inode->position / EROFS_SLOT_SIZE != dirent->nid)
        fail_msg("%s has another inode", name);
    check_tree(dentry->inode, dirent->nid, dir_nid);
}

/* All names, in order over all blocks; returns how many. */
static size_t check_dir(const struct inode *dir, uint64_t nid, uint64_t parent, const uint8_t *data, uint64_t size)
{
    char last[EROFS_NAME_MAX + 1] = "", name[EROFS_NAME_MAX + 1];
    size_t total = 0;

    for (uint64_t offset = 0; offset < size; offset += EROFS_BLOCK_SIZE) {
        const struct erofs_dirent *dirents = (const void *)(data + offset);
        size_t room = size - offset < EROFS_BLOCK_SIZE ? size - offset : EROFS_BLOCK_SIZE;
        size_t count = dirents[0].name_offset / sizeof(*dirents);
        for (size_t i = 0; i < count; i++, total++) {
            size_t end = i + 1 < count
                             ? dirents[i + 1].name_offset
                             : dirents[i].name_offset + strnlen((const char *)data + offset + dirents[i].name_offset,
                                                                room - dirents[i].name_offset);
            size_t length = end - dirents[i].name_offset;
            assert_in_range(length, 1, EROFS_NAME_MAX);
            memcpy(name, data + offset + dirents[i].name_offset, length);
            name[length] = 0;
            assert_true(strcmp(last, name) < 0);
            strcpy(last, name);
            if (strcmp(name, ".") == 0)
                assert_int_equal(dirents[i].nid, nid);
            else if (strcmp(name, "..") == 0)
                assert_int_equal(dirents[i].nid, parent);
            else
                check_child(dir, nid, &dirents[i], name);
        }
    }
    return total;
}

static uint8_t pattern(uint64_t inode, uint64_t i)
{
    return (uint8_t)(inode * 31 + i * 7 + (i >> 12));
}

static void check_tree(const struct inode *inode, uint64_t nid, uint64_t parent)
{
    struct file file;
    struct dentry *dentry;
    size_t children = 0;

    read_inode(nid, &file);
    assert_int_equal(file.mode, inode->mode);
    assert_int_equal(file.uid, inode->uid);
    assert_int_equal(file.gid, inode->gid);
    assert_int_equal(file.mtime, inode->mtime);
    assert_int_equal(file.mtime_nsec, inode->mtime_nsec);
    uint8_t *data = S_ISREG(file.mode) || S_ISDIR(file.mode) || S_ISLNK(file.mode) ? read_data(&file) : NULL;
    if (S_ISDIR(file.mode)) {
        RB_FOREACH (dentry, dentry_tree, (struct dentry_tree *)&inode->dir.children)
            children++;
        assert_int_equal(check_dir(inode, nid, parent, data, file.size), children + 2);
        assert_int_equal(file.links, 2 + inode->dir.subdirectory_count);
    } else {
        assert_int_equal(file.links, inode->dentry_count);
        assert_int_equal(file.size, inode->size);
    }
    if (S_ISLNK(file.mode))
        assert_string_equal(data, inode->target);
    /* The owner says which pattern the test has written. */
    for (uint64_t i = 0; S_ISREG(file.mode) && i < file.size; i++)
        if (data[i] != pattern(file.gid, i))
            fail_msg("byte %llu of a file of %llu bytes is wrong", (unsigned long long)i,
                     (unsigned long long)file.size);
    free(data);
    seen++;
}

static void write_image(struct fixture *f)
{
    static const uint8_t uuid[16] = "0123456789abcde";

    assert_int_equal(erofs_write(f->layers.tree, f->layers.spool, f->fd, 0, uuid, NULL, &image_size, &f->error), 0);
    image = mmap(NULL, image_size, PROT_READ, MAP_PRIVATE, f->fd, 0);
    assert_true(image != MAP_FAILED);
    assert_int_equal(super()->magic, EROFS_MAGIC);
    assert_int_equal(super()->block_count, image_size / EROFS_BLOCK_SIZE);
    assert_int_equal(super()->feature_incompat, 0);
    assert_int_equal(super()->inode_count, f->layers.tree->inode_count);
    assert_memory_equal(super()->uuid, uuid, 16);
    seen = 0;
    check_tree(f->layers.tree->root, super()->root_nid, super()->root_nid);
}

static void unmap(void)
{
    munmap((void *)image, image_size);
}

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(random_state >> 33) % bound;
}

static void add_random(struct fixture *f, const char *dir, int number)
{
    static const uint32_t sizes[] = {0, 1, 100, 3900, 4030, 4064, 4095, 4096, 4097, 9000, 70000};
    char name[100], xattr[4000];
    uint32_t gid = random_below(300), size = sizes[random_below(11)] + random_below(3);

    snprintf(name, sizeof(name), "%s%c%d", dir, "!.-aZ~"[random_below(6)], number);
    struct tar_entry entry = {name, '0', random_below(4096), random_below(2) ? 70000 : 5, gid, random_below(3) * 1000};
    uint8_t *data = malloc(size + 1);
    assert_non_null(data);
    if (random_below(8) == 0) {
        uint32_t length = random_below(sizeof(xattr));
        memset(xattr, 'v', sizeof(xattr));
        tarball_pax(&f->tar, "SCHILY.xattr.user.test", xattr, length);
    }
    if (random_below(10) == 0) {
        entry.type = '2';
        entry.link = "a/target/somewhere";
    } else {
        for (uint32_t i = 0; i < size; i++)
            data[i] = pattern(gid, i);
        entry.data = data;
        entry.size = size;
    }
    tarball_add(&f->tar, &entry);
    free(data);
}

static void random_trees_read_back(void **state)
{
    (void)state;

    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct fixture f;
        random_state = seed;
        fixture_init(&f);
        for (uint32_t layer = 0; layer < 3; layer++) {
            uint32_t count = random_below(seed % 5 == 0 ? 1500 : 60);
            for (uint32_t i = 0; i < count; i++) {
                char dir[32] = "";
                for (uint32_t depth = random_below(3); depth; depth--)
                    snprintf(dir + strlen(dir), sizeof(dir) - strlen(dir), "dir%u/", random_below(2));
                add_random(&f, dir, (int)random_below(2000));
            }
            if (layer)
                tarball_file(&f.tar, "dir0/.wh.dir1", "");
            assert_int_equal(fixture_apply(&f), 0);
        }
        print_message("seed %llu: %llu inodes\n", (unsigned long long)seed,
                      (unsigned long long)f.layers.tree->inode_count);
        write_image(&f);
        assert_int_equal(seen, f.layers.tree->inode_count);
        unmap();
        fixture_free(&f);
    }
}

static void an_empty_image_has_two_blocks(void **state)
{
    struct fixture f;
    (void)state;

    fixture_init(&f);
    assert_int_equal(fixture_apply(&f), 0);
    write_image(&f);
    assert_int_equal(image_size, 2 * EROFS_BLOCK_SIZE);
    unmap();
    fixture_free(&f);
}

static void the_checksum_is_right(void **state)
{
    struct fixture f;
    uint8_t block[EROFS_BLOCK_SIZE];
    uint32_t crc = ~0U;
    (void)state;

    fixture_init(&f);
    tarball_dir(&f.tar, "d/");
    assert_int_equal(fixture_apply(&f), 0);
    write_image(&f);
    memcpy(block, image, sizeof(block));
    memset(block + EROFS_SUPER_OFFSET + 4, 0, 4);
    for (size_t i = EROFS_SUPER_OFFSET; i < sizeof(block); i++) {
        crc ^= block[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    assert_int_equal(crc, super()->checksum);
    unmap();
    fixture_free(&f);
}

/* A common time makes inodes compact: half the size. */
static void the_majority_time_is_the_build_time(void **state)
{
    struct fixture f;
    (void)state;

    fixture_init(&f);
    for (int i = 0; i < 9; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        tarball_add(&f.tar, &(struct tar_entry){name, '0', .mtime = i < 6 ? 777 : i});
    }
    assert_int_equal(fixture_apply(&f), 0);
    write_image(&f);
    assert_int_equal(super()->build_time, 777);
    unmap();
    fixture_free(&f);
}

static void a_full_disk_is_an_error(void **state)
{
    struct fixture f;
    uint64_t size;
    static const uint8_t uuid[16];
    (void)state;

    fixture_init(&f);
    tarball_file(&f.tar, "x", "x");
    assert_int_equal(fixture_apply(&f), 0);
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    assert_int_equal(erofs_write(f.layers.tree, f.layers.spool, fd, 0, uuid, NULL, &size, &f.error), -1);
    assert_non_null(strstr(f.error, "cannot write"));
    close(fd);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_trees_read_back),  cmocka_unit_test(an_empty_image_has_two_blocks),
        cmocka_unit_test(the_checksum_is_right),   cmocka_unit_test(the_majority_time_is_the_build_time),
        cmocka_unit_test(a_full_disk_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

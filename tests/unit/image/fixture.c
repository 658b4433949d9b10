/* Layers applied in memory. */
#include "tests/unit/image/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/file_io.h"

static int memory_file(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){.fd = memory_file(), .layers.limits = LAYER_LIMITS_DEFAULT};
    fixture->layers.tree = tree_new();
    fixture->layers.spool = spool_new(fixture->fd, 0, memory_file());
}

void fixture_free(struct fixture *fixture)
{
    spool_free(fixture->layers.spool);
    tree_free(fixture->layers.tree);
    tarball_free(&fixture->tar);
    free(fixture->error);
    close(fixture->fd);
}

int fixture_apply_raw(struct fixture *fixture, const char *digest, const char *diff_id)
{
    struct layer_source source = {
        .blob = {.fd = memory_file(), .size = fixture->tar.size}, .digest = digest, .diff_id = diff_id};

    assert_int_equal(write(source.blob.fd, fixture->tar.bytes, fixture->tar.size), fixture->tar.size);
    int result = layers_apply(&fixture->layers, &source, &fixture->error);
    print_message("layer: %s\n", result < 0 ? fixture->error : "applied");
    close(source.blob.fd);
    tarball_free(&fixture->tar);
    return result;
}

int fixture_apply(struct fixture *fixture)
{
    tarball_end(&fixture->tar);
    int result = fixture_apply_raw(fixture, NULL, NULL);
    return result;
}

void fixture_refuse(struct fixture *fixture, const char *text)
{
    tarball_end(&fixture->tar);
    assert_int_equal(fixture_apply_raw(fixture, NULL, NULL), -1);
    assert_non_null(fixture->error);
    if (!strstr(fixture->error, text))
        fail_msg("\"%s\" is not in \"%s\"", text, fixture->error);
}

struct inode *fixture_inode(struct fixture *fixture, const char *path)
{
    struct inode *dir;
    char name[TREE_NAME_MAX + 1];

    int result = tree_resolve(fixture->layers.tree, path, TREE_FOLLOW_KERNEL, 0, false, &dir, name, &fixture->error);
    if (result != 0)
        return NULL;
    struct dentry *dentry = *name ? dir_lookup(dir, name) : NULL;
    return *name ? (dentry ? dentry->inode : NULL) : dir;
}

char *fixture_contents(struct fixture *fixture, const char *path)
{
    struct inode *inode = fixture_inode(fixture, path);
    uint32_t end;

    assert_non_null(inode);
    assert_true(S_ISREG(inode->mode));
    char *contents = calloc(1, inode->size + 1);
    assert_non_null(contents);
    assert_int_equal(spool_finish(fixture->layers.spool, &end, &fixture->error), 0);
    uint64_t tail = inode->tail_inline ? inode->size % SPOOL_BLOCK_SIZE : 0;
    /* The image's end need not be written out to whole blocks yet. */
    assert_int_equal(ftruncate(fixture->fd, (off_t)end * SPOOL_BLOCK_SIZE), 0);
    assert_int_equal(file_read(fixture->fd, (uint64_t)inode->block * SPOOL_BLOCK_SIZE, contents, inode->size - tail,
                               "test", &fixture->error),
                     0);
    assert_int_equal(spool_read_tail(fixture->layers.spool, inode->tail_offset, contents + inode->size - tail, tail,
                                     &fixture->error),
                     0);
    return contents;
}

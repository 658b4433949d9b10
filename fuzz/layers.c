/*
 * Layers out of hostile archives: two of them, applied in order and written as an EROFS image with its hash tree.
 * The first byte says how much of the input is the first layer, in tar blocks.
 * fuzz-sources: image/digest.c image/erofs_dir.c image/erofs_write.c image/error.c image/file_io.c image/layer_stream.c
 * fuzz-sources: image/layers.c image/parallel.c image/progress.c image/spool.c image/tree.c image/verity.c
 * fuzz-flags: -larchive -lcrypto -lpthread
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/erofs_write.h"
#include "image/layers.h"
#include "image/spool.h"
#include "image/tree.h"
#include "image/verity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int memory_file(void)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0)
        abort();
    return fd;
}

static int apply(struct layers *layers, const uint8_t *data, size_t size)
{
    struct layer_source source = {.blob = {.fd = memory_file(), .size = size}};
    char *error = NULL;

    if (write(source.blob.fd, data, size) != (ssize_t)size)
        abort();
    int result = layers_apply(layers, &source, &error);
    if (result < 0 && !error)
        abort();
    free(error);
    close(source.blob.fd);
    return result;
}

/* What has been applied can be written. */
static void write_image(struct layers *layers, int fd)
{
    static const uint8_t zeros[VERITY_SALT_SIZE];
    uint8_t root[VERITY_HASH_SIZE];
    char *error = NULL;
    uint64_t image_size;

    int result = erofs_write(layers->tree, layers->spool, fd, 0, zeros, NULL, &image_size, &error);
    if (result == 0)
        result = verity_build(fd, 0, image_size, image_size, zeros, NULL, root, &error);
    /* Only attributes of the root directory may be too large. */
    if (result < 0 && !layers->tree->root->xattrs)
        abort();
    free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct layers layers = {.limits = {.size_max = 4 << 20, .ratio_max = 400, .entry_max = 1000}};

    if (size < 1)
        return 0;
    size_t first = data[0] * 512U < size - 1 ? data[0] * 512U : size - 1;
    int fd = memory_file();
    layers.tree = tree_new();
    layers.spool = spool_new(fd, 0, memory_file());
    int result = apply(&layers, data + 1, first);
    if (result == 0 && first < size - 1)
        result = apply(&layers, data + 1 + first, size - 1 - first);
    if (result == 0)
        write_image(&layers, fd);
    spool_free(layers.spool);
    tree_free(layers.tree);
    close(fd);
    return 0;
}

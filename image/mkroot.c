/* A developers' tool: layer archives in, EROFS root image with its hash tree out. cofre-mkroot OUT LAYER... */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/digest.h"
#include "image/erofs_write.h"
#include "image/error.h"
#include "image/file_io.h"
#include "image/layers.h"
#include "image/spool.h"
#include "image/tree.h"
#include "image/verity.h"

static int make(const char *out, int count, char **paths, char **ret_error)
{
    static const uint8_t uuid[16], salt[VERITY_SALT_SIZE];
    struct layers layers = {.limits = LAYER_LIMITS_DEFAULT, .tree = tree_new()};
    uint8_t root[VERITY_HASH_SIZE];
    uint64_t size;
    char text[SHA256_HEX_SIZE];
    int result = -1;

    int fd = open(out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), tail = file_temporary(".", ret_error);
    if (fd < 0 || tail < 0)
        return error_set(ret_error, "cannot make %s", out);
    layers.spool = spool_new(fd, 0, tail);
    for (int i = 0; i < count; i++) {
        struct stat status;
        struct layer_source source = {.blob.fd = open(paths[i], O_RDONLY | O_CLOEXEC)};
        if (source.blob.fd < 0 || fstat(source.blob.fd, &status) < 0) {
            error_set(ret_error, "cannot open %s", paths[i]);
            goto out;
        }
        source.blob.size = (uint64_t)status.st_size;
        if (layers_apply(&layers, &source, ret_error) < 0)
            goto out;
        close(source.blob.fd);
    }
    if (erofs_write(layers.tree, layers.spool, fd, 0, uuid, NULL, &size, ret_error) < 0 ||
        verity_build(fd, 0, size, size, salt, NULL, root, ret_error) < 0)
        goto out;
    hex_encode(root, sizeof(root), text);
    printf("%s %llu blocks\n", text, (unsigned long long)size / VERITY_BLOCK_SIZE);
    result = 0;
out:
    spool_free(layers.spool);
    tree_free(layers.tree);
    close(fd);
    return result;
}

int main(int argc, char **argv)
{
    char *error = NULL;

    if (argc < 3) {
        fprintf(stderr, "usage: %s OUT LAYER...\n", argv[0]);
        return 2;
    }
    if (make(argv[1], argc - 2, argv + 2, &error) < 0) {
        fprintf(stderr, "%s: %s\n", argv[0], error);
        return 1;
    }
    return 0;
}

/*
 * Image archives (docker save, oci-archive): the index of members that are read in place, through symbolic links.
 * fuzz-sources: image/error.c image/file_io.c image/oci_store.c
 * fuzz-flags: -larchive
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/file_io.h"
#include "image/oci_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is found must be readable in full. */
static void read_member(const struct oci_store *store, const char *name)
{
    struct blob blob;
    char *error = NULL;

    if (oci_store_find(store, name, &blob, &error) == 0) {
        char *contents = malloc(blob.size + 1);
        if (!contents || file_read(blob.fd, blob.offset, contents, blob.size, name, &error) < 0)
            abort();
        free(contents);
        close(blob.fd);
    }
    free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oci_store store;
    char path[64], *error = NULL;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (oci_store_open(&store, path, 4 << 20, &error) == 0) {
        for (size_t i = 0; i < store.member_count && i < 50; i++)
            read_member(&store, store.members[i].name);
        read_member(&store, "manifest.json");
        oci_store_close(&store);
    } else if (!error) {
        abort();
    }
    free(error);
    close(fd);
    return 0;
}

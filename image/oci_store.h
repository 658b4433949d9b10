/* Where the files of an image are: a folder, or a tar archive whose members are read in place. */
#ifndef COFRE_IMAGE_OCI_STORE_H
#define COFRE_IMAGE_OCI_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "image/layer_stream.h"

struct store_member {
    char *name;
    char *link; /* symbolic link: its target; otherwise NULL */
    uint64_t offset, size;
};

struct oci_store {
    int fd;       /* the folder, or the (uncompressed) archive */
    dev_t device; /* of what was opened, whatever fd is now */
    ino_t inode;
    struct store_member *members; /* of an archive; a later one of the same name counts */
    size_t member_count;
    int is_archive;
};

/* path is a folder or an archive (plain, or compressed in a way layers may be). 0, or -1 with *ret_error. */
int oci_store_open(struct oci_store *store, const char *path, uint64_t size_max, char **ret_error);
void oci_store_close(struct oci_store *store);

/* Opens a file by its relative name; 0 with a blob whose fd is the caller's, 1 if there is none, -1 with *ret_error. */
int oci_store_find(const struct oci_store *store, const char *name, struct blob *ret_blob, char **ret_error);

#endif

/* Tar archives made by hand for tests, so that they can be as wrong as needed. */
#ifndef COFRE_TESTS_TARBALL_H
#define COFRE_TESTS_TARBALL_H

#include <stddef.h>
#include <stdint.h>

struct tarball {
    uint8_t *bytes;
    size_t size, capacity;
};

struct tar_entry {
    const char *name;
    char type; /* '0' file, '1' hard link, '2' symbolic link, '3' '4' devices, '5' directory, '6' fifo */
    uint32_t mode, uid, gid;
    int64_t mtime;
    const char *link;
    const void *data;
    size_t size;
    uint32_t major, minor;
};

void tarball_add(struct tarball *tar, const struct tar_entry *entry);

/* A pax record for the next entry. */
void tarball_pax(struct tarball *tar, const char *key, const void *value, size_t size);

/* Shorthands: mode 0644 or 0755, root, time 0. */
void tarball_file(struct tarball *tar, const char *name, const char *text);
void tarball_dir(struct tarball *tar, const char *name);
void tarball_symlink(struct tarball *tar, const char *name, const char *target);
void tarball_link(struct tarball *tar, const char *name, const char *target);

/* The end marker. */
void tarball_end(struct tarball *tar);
void tarball_free(struct tarball *tar);

/* gzip of the bytes, in place. */
void tarball_gzip(struct tarball *tar);

#endif

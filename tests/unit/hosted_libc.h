/* The C library's side of the hosted build: no kernel header is needed or allowed with it. */
#ifndef COFRE_TESTS_HOSTED_LIBC_H
#define COFRE_TESTS_HOSTED_LIBC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *hosted_malloc(size_t size);
void *hosted_realloc(void *p, size_t size);
void *hosted_page_alloc(size_t size); /* page aligned; hosted_free() */
void hosted_free(void *p);
void hosted_abort(const char *message);
uint64_t hosted_realtime_ns(void);

/* A shell command; false if it fails. */
bool hosted_run(const char *command);
/* A whole file in page aligned memory, or NULL. */
void *hosted_load(const char *path, size_t *ret_size);

/* An EROFS image with its hash tree behind it, as the policy describes one. */
struct hosted_image {
    uint8_t *data;
    size_t size;
    uint64_t data_size, hash_offset;
    uint8_t root_hash[32], salt[32];
};
/*
 * mkfs.erofs with `options` over a tree that the shell commands `script` make in their working directory, then
 * what `change` does to that file (may be NULL), then veritysetup. NULL if a tool fails (a message is printed). Free
 * with hosted_image_free().
 */
struct hosted_image *hosted_image_make(const char *script, const char *options, bool (*change)(const char *path));
void hosted_image_free(struct hosted_image *image);

#endif

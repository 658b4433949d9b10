/* What the hosted build takes from the C library (contract in hosted_libc.h). */
#include "hosted_libc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096

void *hosted_malloc(size_t size)
{
    return malloc(size ? size : 1);
}

void *hosted_realloc(void *p, size_t size)
{
    return realloc(p, size ? size : 1);
}

void *hosted_page_alloc(size_t size)
{
    return aligned_alloc(BLOCK, size);
}

void hosted_free(void *p)
{
    free(p);
}

void hosted_abort(const char *message)
{
    fprintf(stderr, "%s\n", message);
    abort();
}

uint64_t hosted_realtime_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

bool hosted_run(const char *command)
{
    return system(command) == 0;
}

void *hosted_load(const char *path, size_t *ret_size)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) < 0)
        return NULL;
    size_t size = ((size_t)st.st_size + BLOCK - 1) / BLOCK * BLOCK;
    uint8_t *data = aligned_alloc(BLOCK, size ? size : BLOCK);
    if (data && fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
        free(data);
        data = NULL;
    }
    fclose(f);
    if (data)
        memset(data + st.st_size, 0, size - (size_t)st.st_size);
    *ret_size = (size_t)st.st_size;
    return data;
}

static bool parse_hex(const char *text, uint8_t bytes[32])
{
    for (int i = 0; i < 32; i++) {
        unsigned value;
        if (sscanf(text + 2 * i, "%2x", &value) != 1)
            return false;
        bytes[i] = (uint8_t)value;
    }
    return true;
}

static bool read_root_hash(const char *dir, uint8_t root_hash[32])
{
    char path[256], text[128] = "";
    snprintf(path, sizeof(path), "%s/root-hash", dir);
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(text, sizeof(text), f) && strlen(text) >= 64 && parse_hex(text, root_hash);
    if (f)
        fclose(f);
    return ok;
}

static const char salt_text[] = "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf";

static bool make_in(const char *dir, const char *script, const char *options, bool (*change)(const char *),
                    struct hosted_image *image)
{
    char command[4096], path[256];
    struct stat st;
    snprintf(path, sizeof(path), "%s/image", dir);
    snprintf(command, sizeof(command),
             "set -e; mkdir %s/tree; cd %s/tree; { %s\n}; cd ..; "
             "mkfs.erofs -T0 -U 00000000-0000-0000-0000-000000000000 %s --quiet image tree >mkfs.log 2>&1 || "
             "{ cat mkfs.log >&2; exit 1; }; truncate -s %%4096 image",
             dir, dir, script, options);
    if (!hosted_run(command) || stat(path, &st) < 0 || (change && !change(path)))
        return false;
    image->data_size = image->hash_offset = (uint64_t)st.st_size;
    snprintf(command, sizeof(command),
             "cd %s; veritysetup format --no-superblock --format=1 --hash=sha256 --data-block-size=4096 "
             "--hash-block-size=4096 --data-blocks=%lu --hash-offset=%lu --salt=%s --root-hash-file=root-hash "
             "image image >verity.log 2>&1 || { cat verity.log >&2; exit 1; }",
             dir, (unsigned long)image->data_size / BLOCK, (unsigned long)image->hash_offset, salt_text);
    if (!hosted_run(command) || !read_root_hash(dir, image->root_hash) || !parse_hex(salt_text, image->salt))
        return false;
    image->data = hosted_load(path, &image->size);
    image->size = (image->size + BLOCK - 1) / BLOCK * BLOCK;
    return image->data != NULL;
}

struct hosted_image *hosted_image_make(const char *script, const char *options, bool (*change)(const char *))
{
    char dir[] = "/tmp/cofre-test-XXXXXX", command[64];
    struct hosted_image *image = calloc(1, sizeof(*image));
    if (!image || !mkdtemp(dir))
        return NULL;
    bool ok = make_in(dir, script, options, change, image);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    (void)hosted_run(command);
    if (ok)
        return image;
    free(image);
    return NULL;
}

void hosted_image_free(struct hosted_image *image)
{
    if (image)
        free(image->data);
    free(image);
}

/* Documents of collateral on disk. */
#include "attest/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attest/encode.h"
#include "image/error.h"

#define FORMAT "cofre-collateral-cache-1"
#define FILE_SIZE_MAX (4U << 20)
#define LOCK_POLL_MS 20

struct attest_cache {
    char *folder;
};

static int make_folders(const char *path, char **ret_error)
{
    char *copy = strdup(path);
    if (!copy)
        return error_set(ret_error, "out of memory");
    for (char *slash = copy + 1;; slash++) {
        slash += strcspn(slash, "/");
        char end = *slash;
        *slash = 0;
        if (mkdir(copy, 0700) < 0 && errno != EEXIST) {
            error_set_errno(ret_error, errno, "%s", copy);
            free(copy);
            return -1;
        }
        *slash = end;
        if (!end)
            break;
    }
    free(copy);
    return 0;
}

struct attest_cache *attest_cache_open(const char *folder, char **ret_error)
{
    struct attest_cache *cache = calloc(1, sizeof(*cache));
    if (!*folder || !cache || !(cache->folder = strdup(folder))) {
        error_set(ret_error, "the collateral cache: %s", *folder ? "out of memory" : "its folder has an empty name");
        free(cache);
        return NULL;
    }
    if (make_folders(folder, ret_error) < 0) {
        error_wrap(ret_error, "the collateral cache");
        attest_cache_close(cache);
        return NULL;
    }
    return cache;
}

void attest_cache_close(struct attest_cache *cache)
{
    if (cache)
        free(cache->folder);
    free(cache);
}

char *attest_cache_default_folder(void)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int made;
    if (base && *base == '/')
        made = asprintf(&path, "%s/cofre/collateral", base);
    else if (geteuid() != 0 && home && *home == '/')
        made = asprintf(&path, "%s/.cache/cofre/collateral", home);
    else
        made = asprintf(&path, "/var/cache/cofre/collateral");
    return made < 0 ? NULL : path;
}

/* FOLDER/<digest of the key>SUFFIX */
static char *file_path(const struct attest_cache *cache, const char *key, const char *suffix)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    char *path = NULL;
    SHA256((const uint8_t *)key, strlen(key), digest);
    char *name = attest_hex_encode(digest, sizeof(digest));
    if (!name || asprintf(&path, "%s/%s%s", cache->folder, name, suffix) < 0)
        path = NULL;
    free(name);
    return path;
}

/* Over everything that matters, each part with its length. */
static void entry_digest(const char *key, const struct attest_cache_entry *entry,
                         uint8_t ret_digest[SHA256_DIGEST_LENGTH])
{
    const struct attest_document *d = &entry->document;
    int64_t numbers[] = {entry->fetched, d->issued, d->next_update, (int64_t)d->size};
    const struct {
        const void *data;
        size_t size;
    } parts[] = {
        {key, strlen(key) + 1},
        {numbers, sizeof(numbers)},
        {d->data, d->size},
        {d->chain ? d->chain : "", d->chain ? strlen(d->chain) + 1 : 1},
        {d->tcbm ? d->tcbm : "", d->tcbm ? strlen(d->tcbm) + 1 : 1},
    };
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    memset(ret_digest, 0, SHA256_DIGEST_LENGTH);
    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
            EVP_DigestUpdate(context, parts[i].data, parts[i].size);
        EVP_DigestFinal_ex(context, ret_digest, NULL);
    }
    EVP_MD_CTX_free(context);
}

static char *optional_string(const json_t *root, const char *name)
{
    const char *text = json_string_value(json_object_get(root, name));
    return text ? strdup(text) : NULL;
}

static int get_integer(const json_t *root, const char *name, int64_t *ret_value)
{
    const json_t *member = json_object_get(root, name);
    *ret_value = json_integer_value(member);
    return json_is_integer(member) ? 0 : -1;
}

static int fill_entry(json_t *root, const char *key, struct attest_cache_entry *entry)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const char *name = json_string_value(json_object_get(root, "key"));
    const char *data = json_string_value(json_object_get(root, "data"));
    const char *digest = json_string_value(json_object_get(root, "sha256"));
    struct attest_document *d = &entry->document;
    uint8_t computed[SHA256_DIGEST_LENGTH], recorded[SHA256_DIGEST_LENGTH];
    if (!format || strcmp(format, FORMAT) != 0 || !name || strcmp(name, key) != 0 || !data || !digest)
        return -1;
    d->data = attest_base64_decode(data, strlen(data), &d->size);
    if (!d->data || d->size > ATTEST_DOCUMENT_SIZE_MAX)
        return -1;
    d->chain = optional_string(root, "chain");
    d->tcbm = optional_string(root, "tcbm");
    if (get_integer(root, "issued", &d->issued) < 0 || get_integer(root, "nextUpdate", &d->next_update) < 0 ||
        get_integer(root, "fetched", &entry->fetched) < 0)
        return -1;
    entry_digest(key, entry, computed);
    return attest_hex_decode(digest, recorded, sizeof(recorded)) == 0 &&
                   memcmp(computed, recorded, sizeof(computed)) == 0
               ? 0
               : -1;
}

int attest_cache_parse(const char *text, size_t size, const char *key, struct attest_cache_entry *ret_entry,
                       char **ret_error)
{
    struct attest_cache_entry entry = {0};
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    int result = root ? fill_entry(root, key, &entry) : -1;
    json_decref(root);
    if (result < 0) {
        attest_document_free(&entry.document);
        return error_set(ret_error, "it is damaged");
    }
    *ret_entry = entry;
    return 0;
}

/* 1 with the whole file, 0 if there is none. */
static int file_load(const char *path, char **ret_text, size_t *ret_size, char **ret_error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0)
        return errno == ENOENT ? 0 : error_set_errno(ret_error, errno, "%s", path);
    int result = -1;
    char *text = NULL;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
        error_set(ret_error, "%s: not a file of the cache", path);
    } else if (!(text = malloc((size_t)st.st_size + 1))) {
        error_set(ret_error, "out of memory");
    } else {
        ssize_t got = read(fd, text, (size_t)st.st_size); /* files are never changed, only replaced */
        result = got == st.st_size ? 1 : error_set(ret_error, "%s: it cannot be read whole", path);
    }
    close(fd);
    if (result < 0) {
        free(text);
        return -1;
    }
    *ret_text = text;
    *ret_size = (size_t)st.st_size;
    return 1;
}

int attest_cache_get(struct attest_cache *cache, const char *key, struct attest_cache_entry *ret_entry,
                     char **ret_error)
{
    char *path = file_path(cache, key, ".json"), *text = NULL;
    size_t size = 0;
    int result = path ? file_load(path, &text, &size, ret_error) : error_set(ret_error, "out of memory");
    if (result > 0) {
        result = attest_cache_parse(text, size, key, ret_entry, ret_error) < 0 ? -1 : 1;
        if (result < 0)
            error_wrap(ret_error, "%s", path);
    }
    free(text);
    free(path);
    return result;
}

static char *entry_text(const char *key, const struct attest_document *document, int64_t now)
{
    struct attest_cache_entry entry = {.document = *document, .fetched = now};
    uint8_t digest[SHA256_DIGEST_LENGTH];
    entry_digest(key, &entry, digest);
    char *data = attest_base64_encode(document->data, document->size), *hex = attest_hex_encode(digest, sizeof(digest));
    json_t *root =
        json_pack("{s:s,s:s,s:I,s:I,s:I,s:s,s:s*,s:s*,s:s}", "format", FORMAT, "key", key, "fetched", (json_int_t)now,
                  "issued", (json_int_t)document->issued, "nextUpdate", (json_int_t)document->next_update, "data", data,
                  "chain", document->chain, "tcbm", document->tcbm, "sha256", hex);
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    free(data);
    free(hex);
    return text;
}

/* A new file with this text, then its name changed to path. */
static int file_replace(const char *folder, const char *path, const char *text, char **ret_error)
{
    char *temporary = NULL;
    if (asprintf(&temporary, "%s/.new-XXXXXX", folder) < 0)
        return error_set(ret_error, "out of memory");
    size_t size = strlen(text);
    int fd = mkostemp(temporary, O_CLOEXEC), result = -1;
    if (fd < 0)
        error_set_errno(ret_error, errno, "%s", temporary);
    else if (write(fd, text, size) != (ssize_t)size || rename(temporary, path) < 0)
        error_set_errno(ret_error, errno, "%s", path);
    else
        result = 0;
    if (fd >= 0) {
        if (result < 0)
            unlink(temporary);
        close(fd);
    }
    free(temporary);
    return result;
}

int attest_cache_put(struct attest_cache *cache, const char *key, const struct attest_document *document, int64_t now,
                     char **ret_error)
{
    char *path = file_path(cache, key, ".json"), *text = entry_text(key, document, now);
    int result =
        path && text ? file_replace(cache->folder, path, text, ret_error) : error_set(ret_error, "out of memory");
    free(path);
    free(text);
    return result;
}

int attest_cache_lock(struct attest_cache *cache, const char *key, long timeout_ms)
{
    char *path = file_path(cache, key, ".lock");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    free(path);
    if (fd < 0)
        return -1;
    for (long waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_POLL_MS) {
        struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
        if (errno != EWOULDBLOCK || waited >= timeout_ms) {
            close(fd);
            return -1;
        }
        nanosleep(&pause, NULL);
    }
    return fd;
}

/* Opening a converted image: OCI layout (folder or archive) -> manifest -> the layer -> the members in it. */
#include "image/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/layout.h"
#include "image/error.h"
#include "image/policy.h"

#define JSON_SIZE_MAX (8 << 20)
#define KERNEL_SIZE_MAX (64 << 20)
#define TAR_BLOCK 512ULL
#define NOT_CONVERTED "not an image made by `cofre convert`"

/* A file inside a folder layout, or a stretch of the archive. */
struct source {
    char *path; /* the file to open */
    int fd;
    uint64_t offset, size;
};

static int read_all(int fd, uint64_t offset, void *buf, uint64_t size, char **ret_error)
{
    for (uint64_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)buf + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(ret_error, errno, "reading");
        if (n == 0)
            return error_set(ret_error, "the file is truncated");
        done += (uint64_t)n;
    }
    return 0;
}

/* Plain ustar number: octal, or base-256 when the top bit is set. */
static int tar_number(const uint8_t *field, size_t size, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (field[0] & 0x80) {
        for (size_t i = 1; i < size; i++) {
            if (value >> 56)
                return -1;
            value = value << 8 | field[i];
        }
        *ret_value = value;
        return 0;
    }
    for (size_t i = 0; i < size && field[i] && field[i] != ' '; i++) {
        if (field[i] < '0' || field[i] > '7' || value >> 60)
            return -1;
        value = value << 3 | (uint64_t)(field[i] - '0');
    }
    *ret_value = value;
    return 0;
}

/* Calls fn for each regular member; stops when it returns non-zero. Our own archives have no long names that matter. */
static int tar_walk(int fd, uint64_t offset, uint64_t size,
                    int (*fn)(void *arg, const char *name, uint64_t offset, uint64_t size), void *arg, char **ret_error)
{
    uint64_t position = 0;
    while (size - position >= TAR_BLOCK) {
        uint8_t header[TAR_BLOCK];
        if (read_all(fd, offset + position, header, sizeof(header), ret_error) < 0)
            return -1;
        if (header[0] == 0)
            return 0;
        uint64_t member_size;
        if (memcmp(header + 257, "ustar", 5) != 0 || tar_number(header + 124, 12, &member_size) < 0 ||
            member_size > size - position - TAR_BLOCK)
            return position ? error_set(ret_error, "damaged tar header at byte %llu", (unsigned long long)position)
                            : error_set(ret_error, "its layer is no plain tar archive: " NOT_CONVERTED);
        char name[101] = {0};
        memcpy(name, header, 100);
        if (header[156] == '0' || header[156] == '\0') {
            int r = fn(arg, name, offset + position + TAR_BLOCK, member_size);
            if (r)
                return r;
        }
        uint64_t advance = TAR_BLOCK + (member_size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
        if (advance > size - position)
            return error_set(ret_error, "the archive is truncated");
        position += advance;
    }
    return 0;
}

struct find {
    const char *name;
    uint64_t offset, size;
};

static int find_member(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    struct find *find = arg;
    if (strncmp(name, "./", 2) == 0)
        name += 2;
    if (strcmp(name, find->name) != 0)
        return 0;
    find->offset = offset;
    find->size = size;
    return 1;
}

/* Opens NAME of the layout at path, whichever form it has. */
static int source_open(struct source *s, const char *path, const char *name, char **ret_error)
{
    struct stat st;
    *s = (struct source){.fd = -1};
    if (stat(path, &st) < 0)
        return error_set_errno(ret_error, errno, "%s", path);
    int is_dir = S_ISDIR(st.st_mode);
    if (asprintf(&s->path, is_dir ? "%s/%s" : "%s", path, name) < 0) {
        s->path = NULL;
        return error_set(ret_error, "out of memory");
    }
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 && is_dir && errno == ENOENT)
        return error_set(ret_error, "%s has no %s: " NOT_CONVERTED, path, name);
    if (s->fd < 0 || fstat(s->fd, &st) < 0)
        return error_set_errno(ret_error, errno, "%s", s->path);
    s->size = (uint64_t)st.st_size;
    if (is_dir)
        return 0;
    struct find find = {.name = name};
    int r = tar_walk(s->fd, 0, s->size, find_member, &find, ret_error);
    if (r < 0)
        return error_wrap(ret_error, "%s", path);
    if (r == 0)
        return error_set(ret_error, "%s has no %s: " NOT_CONVERTED, path, name);
    s->offset = find.offset;
    s->size = find.size;
    return 0;
}

static void source_close(struct source *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
}

static json_t *load_json(const char *path, const char *name, char **ret_error)
{
    struct source s;
    json_t *json = NULL;
    char *text = NULL;
    if (source_open(&s, path, name, ret_error) < 0)
        goto close;
    if (s.size > JSON_SIZE_MAX) {
        error_set(ret_error, "%s/%s is larger than 8 MiB", path, name);
        goto close;
    }
    text = malloc(s.size + 1);
    if (!text || read_all(s.fd, s.offset, text, s.size, ret_error) < 0)
        goto close;
    json_error_t reason;
    json = json_loadb(text, s.size, JSON_REJECT_DUPLICATES, &reason);
    if (!json)
        error_set(ret_error, "%s/%s: line %d: %s", path, name, reason.line, reason.text);
close:
    free(text);
    source_close(&s);
    return json;
}

/* "sha256:HEX" -> "blobs/sha256/HEX"; refuses anything else, so that a digest cannot name another file. */
static int blob_name(const char *digest, char ret_name[96], char **ret_error)
{
    if (!digest || strlen(digest) != 71 || strncmp(digest, "sha256:", 7) != 0 ||
        strspn(digest + 7, "0123456789abcdef") != 64)
        return error_set(ret_error, "a descriptor has no sha256 digest");
    snprintf(ret_name, 96, "blobs/sha256/%s", digest + 7);
    return 0;
}

static const char *descriptor_digest(const json_t *descriptor)
{
    return json_string_value(json_object_get(descriptor, "digest"));
}

static int open_layer(struct bundle *b, const json_t *manifest, char **ret_error)
{
    char name[96];
    json_t *layers = json_object_get(manifest, "layers");
    if (json_array_size(layers) != 1)
        return error_set(ret_error, "%s has %zu layers: " NOT_CONVERTED, b->path, json_array_size(layers));
    if (blob_name(descriptor_digest(json_array_get(layers, 0)), name, ret_error) < 0)
        return -1;
    struct source s;
    if (source_open(&s, b->path, name, ret_error) < 0) {
        source_close(&s);
        return -1;
    }
    b->layer_path = s.path;
    b->layer_fd = s.fd;
    b->layer_offset = s.offset;
    b->layer_size = s.size;
    return 0;
}

static int note_member(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    struct bundle *b = arg;
    const struct {
        const char *name;
        struct bundle_member *member;
    } members[] = {
        {"cofre/runtime", &b->runtime},     {"cofre/kernel", &b->kernel}, {"cofre/policy", &b->policy},
        {"cofre/sigstruct", &b->sigstruct}, {"cofre/root.img", &b->root},
    };
    if (strncmp(name, "./", 2) == 0)
        name += 2;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (strcmp(name, members[i].name) == 0)
            *members[i].member = (struct bundle_member){.offset = offset, .size = size};
    return 0;
}

static void *load_member(struct bundle *b, const struct bundle_member *member, uint64_t size_max, char **ret_error)
{
    if (member->size > size_max) {
        error_set(ret_error, "a member has %llu bytes", (unsigned long long)member->size);
        return NULL;
    }
    void *data = malloc(member->size + 1);
    if (!data)
        error_set(ret_error, "out of memory");
    else if (read_all(b->layer_fd, member->offset, data, member->size, ret_error) < 0) {
        free(data);
        data = NULL;
    }
    return data;
}

static int load_members(struct bundle *b, char **ret_error)
{
    if (tar_walk(b->layer_fd, b->layer_offset, b->layer_size, note_member, b, ret_error) < 0)
        return -1;
    if (!b->kernel.size || !b->policy.size || !b->root.size)
        return error_set(ret_error, NOT_CONVERTED);
    b->policy_data = load_member(b, &b->policy, POLICY_SIZE_MAX, ret_error);
    if (!b->policy_data)
        return -1;
    if (b->sigstruct.size && b->sigstruct.size != sizeof(b->sigstruct_data))
        return error_set(ret_error, "its SIGSTRUCT has %llu bytes", (unsigned long long)b->sigstruct.size);
    if (b->sigstruct.size &&
        read_all(b->layer_fd, b->sigstruct.offset, &b->sigstruct_data, sizeof(b->sigstruct_data), ret_error) < 0)
        return -1;
    b->is_signed = b->sigstruct.size && b->sigstruct_data.exponent == 3;
    return policy_check(b->policy_data, b->policy.size, ret_error);
}

int bundle_open(struct bundle *b, const char *path, char **ret_error)
{
    char name[96];
    json_t *index = NULL, *manifest = NULL;
    *b = (struct bundle){.layer_fd = -1};
    b->path = strdup(path);
    int r = -1;
    if (!b->path || !(index = load_json(path, "index.json", ret_error)))
        goto done;
    json_t *manifests = json_object_get(index, "manifests");
    const char *digest = descriptor_digest(json_array_get(manifests, 0));
    if (json_array_size(manifests) != 1) {
        error_set(ret_error, "%s names %zu images: " NOT_CONVERTED, path, json_array_size(manifests));
        goto done;
    }
    if (blob_name(digest, name, ret_error) < 0 || !(manifest = load_json(path, name, ret_error)))
        goto done;
    b->manifest_digest = strdup(digest);
    if (blob_name(descriptor_digest(json_object_get(manifest, "config")), name, ret_error) < 0 ||
        !(b->config = load_json(path, name, ret_error)) || open_layer(b, manifest, ret_error) < 0)
        goto done;
    r = load_members(b, ret_error);
    if (r < 0)
        error_wrap(ret_error, "%s", path);
done:
    json_decref(index);
    json_decref(manifest);
    if (r < 0)
        bundle_close(b);
    return r;
}

void bundle_close(struct bundle *b)
{
    if (b->layer_fd >= 0)
        close(b->layer_fd);
    json_decref(b->config);
    free(b->kernel_data);
    free(b->policy_data);
    free(b->manifest_digest);
    free(b->layer_path);
    free(b->path);
    *b = (struct bundle){.layer_fd = -1};
}

/* Whoever only wants to run the image has no use for the kernel, which is most of what would be read. */
int bundle_parts(struct bundle *b, struct enclave_parts *ret_parts, char **ret_error)
{
    if (!b->kernel_data)
        b->kernel_data = load_member(b, &b->kernel, KERNEL_SIZE_MAX, ret_error);
    if (!b->kernel_data)
        return error_wrap(ret_error, "%s", b->path);
    *ret_parts = (struct enclave_parts){.kernel = b->kernel_data,
                                        .kernel_size = b->kernel.size,
                                        .policy = b->policy_data,
                                        .policy_size = b->policy.size};
    return 0;
}

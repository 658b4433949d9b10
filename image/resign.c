/* Replacing the SIGSTRUCT in a converted image. Content-addressed blobs make it safe: new ones, then one rename. */
#include "image/resign.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/digest.h"
#include "image/error.h"
#include "image/sigstruct.h"

#define COPY_SIZE (1 << 20)

/* The new SIGSTRUCT laid over what was read at [position, position + n). */
static void patch(uint8_t *buf, uint64_t position, size_t n, uint64_t at, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (at + i >= position && at + i < position + n)
            buf[at + i - position] = ((const uint8_t *)bytes)[i];
}

static int copy_layer(const struct bundle *b, const struct sgx_sigstruct *sig, int out, char ret_digest[72],
                      char **ret_error)
{
    uint8_t *buf = malloc(COPY_SIZE), hash[32];
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    int r = buf && sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) ? 0 : error_set(ret_error, "out of memory");
    for (uint64_t position = 0; r == 0 && position < b->layer_size;) {
        size_t want = b->layer_size - position < COPY_SIZE ? (size_t)(b->layer_size - position) : COPY_SIZE;
        ssize_t n = pread(b->layer_fd, buf, want, (off_t)(b->layer_offset + position));
        if (n <= 0) {
            r = error_set(ret_error, "%s: %s", b->layer_path, n < 0 ? strerror(errno) : "truncated");
            break;
        }
        patch(buf, position, (size_t)n, b->sigstruct.offset - b->layer_offset, sig, sizeof(*sig));
        EVP_DigestUpdate(sha, buf, (size_t)n);
        for (ssize_t done = 0; done < n;) {
            ssize_t w = write(out, buf + done, (size_t)(n - done));
            if (w < 0) {
                r = error_set_errno(ret_error, errno, "writing the layer");
                break;
            }
            done += w;
        }
        position += (uint64_t)n;
    }
    if (r == 0) {
        EVP_DigestFinal_ex(sha, hash, NULL);
        strcpy(ret_digest, "sha256:");
        hex_encode(hash, 32, ret_digest + 7);
    }
    EVP_MD_CTX_free(sha);
    free(buf);
    return r;
}

/* Writes text as a blob; *ret_digest names it. */
static int write_blob(const char *image, const char *text, char ret_digest[72], char **ret_error)
{
    uint8_t hash[32];
    unsigned size = sizeof(hash);
    char path[4096];
    EVP_Digest(text, strlen(text), hash, &size, EVP_sha256(), NULL);
    strcpy(ret_digest, "sha256:");
    hex_encode(hash, 32, ret_digest + 7);
    snprintf(path, sizeof(path), "%s/blobs/sha256/%s", image, ret_digest + 7);
    FILE *f = fopen(path, "we");
    if (!f || fputs(text, f) < 0 || fflush(f) != 0 || fsync(fileno(f)) != 0) {
        int saved = errno;
        if (f)
            fclose(f);
        return error_set_errno(ret_error, saved, "%s", path);
    }
    fclose(f);
    return 0;
}

static int dump_blob(const char *image, json_t *json, char ret_digest[72], size_t *ret_size, char **ret_error)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return error_set(ret_error, "out of memory");
    *ret_size = strlen(text);
    int r = write_blob(image, text, ret_digest, ret_error);
    free(text);
    return r;
}

static void set_label(json_t *config, const char *name, const uint8_t *bytes)
{
    char text[65];
    hex_encode(bytes, 32, text);
    json_t *inner = json_object_get(config, "config"), *labels = json_object_get(inner, "Labels");
    if (labels && json_object_get(labels, name))
        json_object_set_new(labels, name, json_string(text));
}

/* A chain of small documents, each naming the one before: config, manifest, index. */
static int rewrite_documents(const struct bundle *b, const char *layer_digest, const struct sgx_sigstruct *sig,
                             char **ret_error)
{
    char path[4096], digest[72], temporary[4200];
    uint8_t mrsigner[32];
    size_t size;
    json_error_t reason;
    snprintf(path, sizeof(path), "%s/blobs/sha256/%s", b->path, b->manifest_digest + 7);
    json_t *manifest = json_load_file(path, 0, &reason), *config = json_deep_copy(b->config), *index = NULL;
    int r = -1;
    if (!manifest || !config) {
        error_set(ret_error, "%s: %s", path, reason.text);
        goto out;
    }
    sigstruct_mrsigner(sig, mrsigner);
    set_label(config, "io.cofre.mrenclave", sig->enclavehash);
    set_label(config, "io.cofre.mrsigner", mrsigner);
    json_object_set_new(json_object_get(config, "rootfs"), "diff_ids", json_pack("[s]", layer_digest));
    if (dump_blob(b->path, config, digest, &size, ret_error) < 0)
        goto out;
    json_t *descriptor = json_object_get(manifest, "config");
    json_object_set_new(descriptor, "digest", json_string(digest));
    json_object_set_new(descriptor, "size", json_integer((json_int_t)size));
    json_object_set_new(json_array_get(json_object_get(manifest, "layers"), 0), "digest", json_string(layer_digest));
    if (dump_blob(b->path, manifest, digest, &size, ret_error) < 0)
        goto out;
    snprintf(path, sizeof(path), "%s/index.json", b->path);
    if (!(index = json_load_file(path, 0, &reason))) {
        error_set(ret_error, "%s: %s", path, reason.text);
        goto out;
    }
    descriptor = json_array_get(json_object_get(index, "manifests"), 0);
    json_object_set_new(descriptor, "digest", json_string(digest));
    json_object_set_new(descriptor, "size", json_integer((json_int_t)size));
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (json_dump_file(index, temporary, JSON_COMPACT | JSON_SORT_KEYS) < 0 || rename(temporary, path) < 0)
        error_set_errno(ret_error, errno, "%s", path);
    else
        r = 0;
out:
    json_decref(manifest);
    json_decref(config);
    json_decref(index);
    return r;
}

static void remove_old(const struct bundle *b, const char *layer_digest)
{
    const char *base = strrchr(b->layer_path, '/');
    if (base && strcmp(base + 1, layer_digest + 7) != 0)
        unlink(b->layer_path);
}

int image_resign(const struct bundle *b, const struct sgx_sigstruct *sigstruct, char **ret_error)
{
    struct stat st;
    char path[4096], final[4096], digest[72];
    if (stat(b->path, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_set(ret_error, "%s is an archive: only a layout folder can be signed in place", b->path);
    if (b->sigstruct.size != sizeof(*sigstruct))
        return error_set(ret_error, "%s has no room for a SIGSTRUCT", b->path);
    snprintf(path, sizeof(path), "%s/blobs/sha256/.layer.XXXXXX", b->path);
    int out = mkostemp(path, O_CLOEXEC);
    if (out < 0)
        return error_set_errno(ret_error, errno, "%s", path);
    int r = copy_layer(b, sigstruct, out, digest, ret_error);
    if (r == 0 && (fchmod(out, 0644) < 0 || fsync(out) < 0))
        r = error_set_errno(ret_error, errno, "%s", path);
    close(out);
    if (r == 0) {
        snprintf(final, sizeof(final), "%s/blobs/sha256/%s", b->path, digest + 7);
        if (rename(path, final) < 0)
            r = error_set_errno(ret_error, errno, "%s", final);
    }
    if (r < 0) {
        unlink(path);
        return r;
    }
    r = rewrite_documents(b, digest, sigstruct, ret_error);
    if (r == 0)
        remove_old(b, digest);
    return r;
}

/* Reading container images: from the source's name to verified manifest, configuration and list of layers. */
#include "image/oci.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/error.h"
#include "image/file_io.h"
#include "image/oci_json.h"
#include "image/oci_pull.h"

#define INDEX_DEPTH_MAX 4
#define BLOB_PREFIX "blobs/sha256/"

/* Reads a whole small file of the store; its digest and size are checked if they are known. */
static char *read_document(const struct oci_image *image, const char *name, const char *digest, uint64_t size_known,
                           size_t *ret_size, uint8_t ret_digest[SHA256_SIZE], char **ret_error)
{
    struct blob blob;
    uint8_t hash[SHA256_SIZE];
    char found[DIGEST_TEXT_SIZE], *text = NULL;

    int result = oci_store_find(&image->store, name, &blob, ret_error);
    if (result != 0) {
        if (result > 0)
            error_set(ret_error, "%s is missing", name);
        return NULL;
    }
    if (blob.size > OCI_JSON_SIZE_MAX) {
        error_set(ret_error, "%s is larger than %u bytes", name, OCI_JSON_SIZE_MAX);
        goto out;
    }
    if (size_known != UINT64_MAX && blob.size != size_known) {
        error_set(ret_error, "%s has %llu bytes instead of %llu", name, (unsigned long long)blob.size,
                  (unsigned long long)size_known);
        goto out;
    }
    text = malloc(blob.size + 1);
    if (!text)
        err(1, "image");
    if (file_read(blob.fd, blob.offset, text, blob.size, name, ret_error) < 0)
        goto fail;
    sha256_of(text, blob.size, hash);
    digest_format(hash, found);
    if (digest && strcmp(digest, found) != 0) {
        error_set(ret_error, "the digest of %s does not match: it is %s", name, found);
        goto fail;
    }
    if (ret_digest)
        memcpy(ret_digest, hash, sizeof(hash));
    *ret_size = blob.size;
    goto out;
fail:
    free(text);
    text = NULL;
out:
    close(blob.fd);
    return text;
}

static json_t *read_json(const struct oci_image *image, const char *name, const char *digest, uint64_t size_known,
                         char **ret_error)
{
    size_t size;
    char *text = read_document(image, name, digest, size_known, &size, NULL, ret_error);
    json_t *json = text ? oci_json_parse(text, size, name, ret_error) : NULL;

    free(text);
    return json;
}

/* A descriptor's digest and size, checked. */
static int parse_descriptor(const json_t *descriptor, char ret_digest[DIGEST_TEXT_SIZE], uint64_t *ret_size,
                            char **ret_error)
{
    const char *digest = json_string_value(json_object_get(descriptor, "digest"));
    const json_t *size = json_object_get(descriptor, "size");
    uint8_t ignored[SHA256_SIZE];

    if (!digest)
        return error_set(ret_error, "a descriptor has no digest");
    if (!digest_parse(digest, ignored))
        return error_set(ret_error, "the digest \"%.100s\" is not a sha256 digest", digest);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return error_set(ret_error, "the descriptor of %s has no size", digest);
    strcpy(ret_digest, digest);
    *ret_size = (uint64_t)json_integer_value(size);
    return 0;
}

static char *blob_name(const char *digest)
{
    char *name = malloc(sizeof(BLOB_PREFIX) + 64);

    if (!name)
        err(1, "image");
    strcpy(name, BLOB_PREFIX);
    strcat(name, digest + strlen("sha256:"));
    return name;
}

static json_t *read_blob_json(const struct oci_image *image, const char *digest, uint64_t size, char **ret_error)
{
    char *name = blob_name(digest);
    json_t *json = read_json(image, name, digest, size, ret_error);

    free(name);
    return json;
}

static int check_layer_type(const json_t *descriptor, char **ret_error)
{
    const char *type = json_string_value(json_object_get(descriptor, "mediaType"));

    if (!type)
        return error_set(ret_error, "a layer has no media type");
    if (strstr(type, "+encrypted"))
        return error_set(ret_error, "a layer is encrypted (%s)", type);
    if (strncmp(type, "application/vnd.oci.image.layer.", 32) != 0 &&
        strncmp(type, "application/vnd.docker.image.rootfs.", 36) != 0)
        return error_set(ret_error, "\"%.100s\" is not the media type of a file system layer", type);
    return 0;
}

int oci_manifest_parse(struct oci_image *image, const json_t *manifest, char ret_config[DIGEST_TEXT_SIZE],
                       uint64_t *ret_config_size, char **ret_error)
{
    const json_t *config = json_object_get(manifest, "config"), *layers = json_object_get(manifest, "layers");

    if (json_object_get(manifest, "fsLayers"))
        return error_set(ret_error, "the image has the old format of Docker (schema 1), which is not supported");
    if (!json_is_object(config) || !json_is_array(layers))
        return error_set(ret_error, "the manifest has no configuration or no layers");
    if (json_array_size(layers) > OCI_LAYER_MAX)
        return error_set(ret_error, "the image has more than %d layers", OCI_LAYER_MAX);
    if (parse_descriptor(config, ret_config, ret_config_size, ret_error) < 0)
        return -1;
    image->layers = calloc(json_array_size(layers) + 1, sizeof(*image->layers));
    if (!image->layers)
        err(1, "image");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        struct oci_layer *layer = &image->layers[i];
        const json_t *descriptor = json_array_get(layers, i);
        if (check_layer_type(descriptor, ret_error) < 0 ||
            parse_descriptor(descriptor, layer->digest, &layer->size, ret_error) < 0)
            return -1;
        layer->name = blob_name(layer->digest);
        image->layer_count = i + 1;
    }
    return 0;
}

static int read_config(struct oci_image *image, const char *name, const char *digest, uint64_t size_known,
                       char **ret_error)
{
    uint8_t hash[SHA256_SIZE];
    size_t size;
    char *text = read_document(image, name, digest, size_known, &size, hash, ret_error);

    if (!text)
        return -1;
    digest_format(hash, image->config_digest);
    int result = oci_config_parse(&image->config, text, size, ret_error);
    free(text);
    if (result == 0 && image->config.diff_ids.count != image->layer_count)
        return error_set(ret_error, "the image configuration knows %zu layers, the manifest %zu",
                         image->config.diff_ids.count, image->layer_count);
    return result;
}

/* Follows indexes down to a manifest. */
static json_t *find_manifest(struct oci_image *image, json_t *index, const char *reference, char **ret_error)
{
    uint64_t size;

    for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
        const json_t *descriptor = oci_index_choose(index, depth == 0 ? reference : NULL, ret_error);
        int result = descriptor ? parse_descriptor(descriptor, image->manifest_digest, &size, ret_error) : -1;
        json_decref(index);
        if (result < 0)
            return NULL;
        json_t *json = read_blob_json(image, image->manifest_digest, size, ret_error);
        if (!json || !json_object_get(json, "manifests"))
            return json;
        index = json;
    }
    json_decref(index);
    error_set(ret_error, "indexes are nested more than %d deep", INDEX_DEPTH_MAX);
    return NULL;
}

static int open_layout(struct oci_image *image, const char *reference, char **ret_error)
{
    char config_digest[DIGEST_TEXT_SIZE];
    uint64_t config_size;

    json_t *index = read_json(image, "index.json", NULL, UINT64_MAX, ret_error);
    json_t *manifest = index ? find_manifest(image, index, reference, ret_error) : NULL;
    int result = manifest ? oci_manifest_parse(image, manifest, config_digest, &config_size, ret_error) : -1;
    json_decref(manifest);
    if (result < 0)
        return -1;
    char *name = blob_name(config_digest);
    result = read_config(image, name, config_digest, config_size, ret_error);
    free(name);
    return result;
}

/* docker save: manifest.json names configuration and layers by path. */

/* "docker.io/library/name:tag" is meant by itself, by "name:tag", and by "tag". */
static bool has_tag(const json_t *entry, const char *reference)
{
    const json_t *tags = json_object_get(entry, "RepoTags"), *tag;
    size_t i, size = strlen(reference);

    json_array_foreach(tags, i, tag)
    {
        const char *text = json_string_value(tag);
        size_t text_size = text ? strlen(text) : 0;
        if (text_size < size || strcmp(text + text_size - size, reference) != 0)
            continue;
        if (text_size == size || strchr("/:", text[text_size - size - 1]))
            return true;
    }
    return false;
}

static const json_t *choose_saved(const json_t *list, const char *reference, char **ret_error)
{
    const json_t *entry, *chosen = NULL;
    size_t i, count = 0;

    json_array_foreach(list, i, entry)
    {
        if (reference && !has_tag(entry, reference))
            continue;
        chosen = entry;
        count++;
    }
    if (count == 1 && json_is_object(chosen))
        return chosen;
    if (count > 1)
        error_set(ret_error, "it holds several images; say which one as PATH:NAME");
    else
        error_set(ret_error, "it holds no image%s%s", reference ? " called " : "", reference ? reference : "");
    return NULL;
}

static int parse_saved_layers(struct oci_image *image, const json_t *entry, char **ret_error)
{
    struct string_list names = {0};
    int result = oci_json_strings(entry, "Layers", &names, ret_error);

    if (result == 0 && names.count > OCI_LAYER_MAX)
        result = error_set(ret_error, "the image has more than %d layers", OCI_LAYER_MAX);
    if (result == 0) {
        image->layers = calloc(names.count + 1, sizeof(*image->layers));
        if (!image->layers)
            err(1, "image");
        for (size_t i = 0; i < names.count; i++) {
            image->layers[i] = (struct oci_layer){.name = names.items[i], .size = UINT64_MAX};
            names.items[i] = NULL;
        }
        image->layer_count = names.count;
    }
    string_list_clear(&names);
    return result;
}

/* The configuration's name is its digest: "<hex>.json" or "blobs/sha256/<hex>". */
static bool digest_in_name(const char *name, char ret_digest[DIGEST_TEXT_SIZE])
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    uint8_t ignored[SHA256_SIZE];

    if (strlen(base) < 64 || (base[64] && strcmp(base + 64, ".json") != 0))
        return false;
    strcpy(ret_digest, "sha256:");
    strncat(ret_digest, base, 64);
    return digest_parse(ret_digest, ignored);
}

static int open_saved(struct oci_image *image, const char *reference, char **ret_error)
{
    char digest[DIGEST_TEXT_SIZE];
    const char *name = NULL;
    int result = -1;

    json_t *list = read_json(image, "manifest.json", NULL, UINT64_MAX, ret_error);
    const json_t *entry = list ? choose_saved(list, reference, ret_error) : NULL;
    if (entry && oci_json_string(entry, "Config", &name, ret_error) == 0 &&
        parse_saved_layers(image, entry, ret_error) == 0) {
        if (name)
            result = read_config(image, name, digest_in_name(name, digest) ? digest : NULL, UINT64_MAX, ret_error);
        else
            error_set(ret_error, "manifest.json names no configuration");
    }
    json_decref(list);
    return result;
}

static bool store_has(const struct oci_store *store, const char *name)
{
    struct blob blob;
    char *ignored = NULL;
    int result = oci_store_find(store, name, &blob, &ignored);

    free(ignored);
    if (result == 0)
        close(blob.fd);
    return result == 0;
}

static int open_path(struct oci_image *image, const char *path, const char *reference,
                     const struct layer_limits *limits, char **ret_error)
{
    int result;

    if (oci_store_open(&image->store, path, limits->size_max, ret_error) < 0)
        return -1;
    if (store_has(&image->store, "index.json") && store_has(&image->store, "oci-layout"))
        result = open_layout(image, reference, ret_error);
    else if (store_has(&image->store, "manifest.json"))
        result = open_saved(image, reference, ret_error);
    else
        result = error_set(ret_error, "this is neither an OCI layout nor what `docker save` writes");
    return result < 0 ? error_wrap(ret_error, "%s", path) : 0;
}

/* Splits PATH:REFERENCE where PATH exists. The whole as a path comes first. False: no such path. */
static bool split_source(const char *source, char **ret_path, char **ret_reference)
{
    struct stat status;
    char *path = strdup(source);

    if (!path)
        err(1, "image");
    *ret_path = path;
    *ret_reference = NULL;
    if (stat(path, &status) == 0)
        return true;
    /* A reference may hold colons itself (name:tag). */
    for (char *colon = strchr(path, ':'); colon; colon = strchr(colon + 1, ':')) {
        *colon = 0;
        if (colon != path && stat(path, &status) == 0) {
            *ret_reference = colon[1] ? colon + 1 : NULL;
            return true;
        }
        *colon = ':';
    }
    return false;
}

static const char *strip_transport(const char *source)
{
    static const char *const transports[] = {"oci:", "oci-archive:", "docker-archive:"};

    for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
        size_t size = strlen(transports[i]);
        if (strncmp(source, transports[i], size) == 0)
            return source + size;
    }
    return source;
}

static bool names_transport(const char *source)
{
    size_t size = strspn(source, "abcdefghijklmnopqrstuvwxyz-");

    return size > 1 && source[size] == ':';
}

int oci_image_open(struct oci_image *image, const char *source, const struct layer_limits *limits,
                   struct progress *progress, char **ret_error)
{
    const char *local = strip_transport(source);
    char *path, *reference;
    int result;

    *image = (struct oci_image){.store.fd = -1};
    bool exists = split_source(source, &path, &reference);
    if (!exists && local != source) {
        free(path);
        exists = split_source(local, &path, &reference);
    }
    if (exists)
        result = open_path(image, path, reference, limits, ret_error);
    else if (local == source && names_transport(source))
        result = oci_pull(source, progress, &image->temporary, ret_error) < 0
                     ? -1
                     : open_path(image, image->temporary, NULL, limits, ret_error);
    else
        result = error_set(ret_error, "%s: no such file or folder", local);
    free(path);
    if (result < 0)
        oci_image_close(image);
    return result;
}

void oci_image_close(struct oci_image *image)
{
    oci_store_close(&image->store);
    if (image->temporary)
        path_remove_all(image->temporary);
    free(image->temporary);
    oci_config_free(&image->config);
    for (size_t i = 0; i < image->layer_count; i++)
        free(image->layers[i].name);
    free(image->layers);
    *image = (struct oci_image){.store.fd = -1};
}

int oci_image_layer(const struct oci_image *image, size_t index, struct layer_source *ret_source, char **ret_error)
{
    const struct oci_layer *layer = &image->layers[index];
    struct blob blob;

    int result = oci_store_find(&image->store, layer->name, &blob, ret_error);
    if (result > 0)
        return error_set(ret_error, "layer %zu (%s) is missing", index + 1, layer->name);
    if (result < 0)
        return -1;
    if (layer->size != UINT64_MAX && layer->size != blob.size) {
        close(blob.fd);
        return error_set(ret_error, "layer %zu (%s) has %llu bytes instead of %llu: it is %s", index + 1, layer->digest,
                         (unsigned long long)blob.size, (unsigned long long)layer->size,
                         blob.size < layer->size ? "truncated" : "damaged");
    }
    *ret_source = (struct layer_source){
        .blob = blob,
        .digest = layer->digest[0] ? layer->digest : NULL,
        .diff_id = image->config.diff_ids.items[index],
    };
    return 0;
}

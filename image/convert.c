/*
 * OCI image in, confidential OCI image out. The stages: open the source, apply its layers, write the root image and its
 * hash tree (straight into the layer archive), compile the policy, measure, sign, write what is left of the layer, and
 * put everything in place.
 */
#include "image/convert.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/convert_documents.h"
#include "image/convert_policy.h"
#include "image/erofs_write.h"
#include "image/error.h"
#include "image/file_io.h"
#include "image/image_key.h"
#include "image/measure.h"
#include "image/oci.h"
#include "image/output.h"
#include "image/policy.h"
#include "image/progress.h"
#include "image/sigstruct.h"
#include "image/spool.h"
#include "image/tar_write.h"
#include "image/tree.h"
#include "image/verity.h"

#define HASH_CHUNK (1U << 20)
#define PART_SIZE_MAX (256U << 20)
/* The layer begins with the folder and the root image's header, so that its data lie at a place known beforehand. */
#define ROOT_DATA_OFFSET TAR_ALIGNMENT

/* What an engine expects to mount over, beside what is ours. */
static const struct tar_member empty_folders[] = {
    {.name = "dev/", .mode = 0755}, {.name = "etc/", .mode = 0755}, {.name = "proc/", .mode = 0555},
    {.name = "run/", .mode = 0755}, {.name = "sys/", .mode = 0555}, {.name = "tmp/", .mode = 01777},
    {.name = "var/", .mode = 0755},
};

struct part { /* a whole file in memory */
    void *data;
    size_t size;
};

struct conversion {
    const struct convert_options *options;
    struct convert_result *result;
    struct oci_image source;
    struct output output;
    struct layers layers;
    struct policy_source policy_source;
    struct part runtime, kernel, policy;
    struct sgx_sigstruct sigstruct;
    EVP_PKEY *key;
    uint8_t image_key[IMAGE_KEY_SIZE];
    struct policy_root root;
    uint64_t root_file_size; /* with the hash tree */
    uint64_t offset;         /* in the layer: what is written and hashed so far */
    struct sha256 *layer_hash;
};

static int load_part(struct part *part, const char *path, char **ret_error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC), result;

    if (fd < 0 || fstat(fd, &status) < 0) {
        result = error_set_errno(ret_error, errno, "%s", path);
    } else if (!S_ISREG(status.st_mode) || status.st_size > PART_SIZE_MAX) {
        result = error_set(ret_error, "%s is not a program", path);
    } else {
        part->size = (size_t)status.st_size;
        part->data = malloc(part->size + 1);
        if (!part->data)
            err(1, "convert");
        result = file_read(fd, 0, part->data, part->size, path, ret_error);
    }
    if (fd >= 0)
        close(fd);
    return result;
}

/* The target would take the source's place. */
static bool is_target(const struct conversion *conversion)
{
    const struct oci_store *store = &conversion->source.store;
    struct stat status;

    return stat(conversion->output.path, &status) == 0 && status.st_dev == store->device &&
           status.st_ino == store->inode;
}

/* Whether the policy and the command line agree, then the key itself. */
static int prepare_encryption(struct conversion *conversion, char **ret_error)
{
    const char *path = conversion->options->image_key_path, *wrapped = conversion->options->wrapped_key_path;
    const struct policy_source *policy = &conversion->policy_source;
    uint32_t release = policy->key_release;

    if (!path && !wrapped)
        return release == POLICY_KEY_NONE ? 0
                                          : error_set(ret_error, "the policy says where the image's key comes from "
                                                                 "(root.key), but the image is not to be encrypted "
                                                                 "(--encrypt)");
    if (release == POLICY_KEY_NONE)
        return error_set(ret_error, "the policy does not say how an enclave gets the key of an encrypted image "
                                    "(root.key: server; for development, file)");
    if (wrapped && (release != POLICY_KEY_SERVER || !policy->key_server.key_given || !policy->root_key_name))
        return error_set(ret_error, "--wrapped-key is for a key server: the policy must have root.key: server, its "
                                    "root.key_name and a key_server");
    if (wrapped) {
        if (image_key_make_wrapped(wrapped, policy->key_server.key, policy->root_key_name, conversion->image_key,
                                   ret_error) < 0)
            return -1;
        conversion->result->image_key_made = true;
    } else if (image_key_open(path, conversion->image_key, &conversion->result->image_key_made, ret_error) < 0) {
        return -1;
    }
    conversion->root.cipher = POLICY_CIPHER_AES_XTS;
    image_key_check_value(conversion->image_key, conversion->root.key_check);
    return 0;
}

/* Everything that can be wrong without looking at the layers is found before they are. */
static int prepare(struct conversion *conversion, char **ret_error)
{
    const struct convert_options *options = conversion->options;

    if (load_part(&conversion->runtime, options->runtime_path, ret_error) < 0 ||
        load_part(&conversion->kernel, options->kernel_path, ret_error) < 0)
        return -1;
    if (options->key_path && !(conversion->key = sigstruct_key_load(options->key_path, 1, ret_error)))
        return -1;
    if (output_open(&conversion->output, options->target, options->replace, ret_error) < 0 ||
        oci_image_open(&conversion->source, options->source, &options->limits, options->progress, ret_error) < 0)
        return -1;
    if (is_target(conversion))
        return error_set(ret_error, "%s is both source and target", options->target);
    policy_source_init(&conversion->policy_source);
    if (convert_policy(&conversion->policy_source, &conversion->source.config, ret_error) < 0)
        return error_wrap(ret_error, "%s", options->source);
    if (options->policy_path && policy_source_load(&conversion->policy_source, options->policy_path, ret_error) < 0)
        return -1;
    return prepare_encryption(conversion, ret_error);
}

static uint64_t known_layers_size(const struct oci_image *source)
{
    uint64_t total = 0;

    for (size_t i = 0; i < source->layer_count; i++) {
        if (source->layers[i].size == UINT64_MAX)
            return 0;
        total += source->layers[i].size;
    }
    return total;
}

static int apply_layers(struct conversion *conversion, char **ret_error)
{
    const struct convert_options *options = conversion->options;
    struct layers *layers = &conversion->layers;

    int tail_fd = file_temporary(conversion->output.folder, ret_error);
    if (tail_fd < 0)
        return -1;
    layers->tree = tree_new();
    layers->spool = spool_new(conversion->output.fd, conversion->output.layer_offset + ROOT_DATA_OFFSET, tail_fd);
    layers->limits = options->limits;
    layers->progress = options->progress;
    progress_step(options->progress, "reading layers", known_layers_size(&conversion->source));
    for (size_t i = 0; i < conversion->source.layer_count; i++) {
        struct layer_source source;
        if (oci_image_layer(&conversion->source, i, &source, ret_error) < 0)
            return error_wrap(ret_error, "%s", options->source);
        int result = layers_apply(layers, &source, ret_error);
        close(source.blob.fd);
        if (result < 0)
            return error_wrap(ret_error, "%s", options->source);
    }
    conversion->result->xattrs_dropped = layers->xattrs_dropped;
    conversion->result->file_count = layers->tree->inode_count;
    return 0;
}

/* Salt and UUID stand for the source, so that equal roots of different images do not look alike. */
static void derive(const struct conversion *conversion, const char *purpose, uint8_t ret_bytes[SHA256_SIZE])
{
    struct sha256 *hash = sha256_new();

    sha256_update(hash, purpose, strlen(purpose) + 1);
    sha256_update(hash, conversion->source.config_digest, strlen(conversion->source.config_digest));
    sha256_final(hash, ret_bytes);
    sha256_free(hash);
}

static int write_root(struct conversion *conversion, char **ret_error)
{
    uint64_t base = conversion->output.layer_offset + ROOT_DATA_OFFSET;
    uint8_t uuid[SHA256_SIZE];

    derive(conversion, "cofre root uuid", uuid);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80); /* RFC 9562: version 8, custom */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    progress_step(conversion->options->progress, "writing names", 0);
    return erofs_write(conversion->layers.tree, conversion->layers.spool, conversion->output.fd, base, uuid,
                       conversion->options->progress, &conversion->root.size, ret_error);
}

/* In place, before anything is hashed: hash tree and layer digest are over what is published. */
static int encrypt_root(struct conversion *conversion, char **ret_error)
{
    if (conversion->root.cipher == POLICY_CIPHER_NONE)
        return 0;
    progress_step(conversion->options->progress, "encrypting", conversion->root.size);
    return image_encrypt(conversion->output.fd, conversion->output.layer_offset + ROOT_DATA_OFFSET,
                         conversion->root.size, conversion->image_key, conversion->options->progress, ret_error);
}

/* Names and contents are in the image now. */
static void drop_layers(struct conversion *conversion)
{
    spool_free(conversion->layers.spool);
    tree_free(conversion->layers.tree);
    conversion->layers.spool = NULL;
    conversion->layers.tree = NULL;
}

/* The layer archive, which is hashed as it grows */

static int hash_layer(struct conversion *conversion, uint64_t end, char **ret_error)
{
    uint8_t *buffer = malloc(HASH_CHUNK);
    int result = 0;

    if (!buffer)
        err(1, "convert");
    while (conversion->offset < end && result == 0) {
        uint64_t left = end - conversion->offset;
        size_t size = left < HASH_CHUNK ? (size_t)left : HASH_CHUNK;
        result = file_read(conversion->output.fd, conversion->output.layer_offset + conversion->offset, buffer, size,
                           "the output", ret_error);
        if (result == 0) {
            sha256_update(conversion->layer_hash, buffer, size);
            conversion->offset += size;
            if (!progress_add(conversion->options->progress, size))
                result = error_set(ret_error, "interrupted");
        }
    }
    free(buffer);
    return result;
}

static int put(struct conversion *conversion, const void *data, size_t size, char **ret_error)
{
    if (file_write(conversion->output.fd, conversion->output.layer_offset + conversion->offset, data, size,
                   "the output", ret_error) < 0)
        return -1;
    sha256_update(conversion->layer_hash, data, size);
    conversion->offset += size;
    return 0;
}

static int put_header(struct conversion *conversion, const struct tar_member *member, char **ret_error)
{
    uint8_t header[TAR_HEADER_MAX];
    size_t size = tar_header(header, member, conversion->offset);

    return put(conversion, header, size, ret_error);
}

static int put_member(struct conversion *conversion, const char *name, uint32_t mode, const void *data, size_t size,
                      char **ret_error)
{
    const struct tar_member member = {.name = name, .mode = mode, .size = size};
    static const uint8_t zeros[TAR_BLOCK_SIZE];

    if (put_header(conversion, &member, ret_error) < 0 || put(conversion, data, size, ret_error) < 0)
        return -1;
    return put(conversion, zeros, tar_padding(size), ret_error);
}

struct hash_job {
    struct conversion *conversion;
    int result;
    char *error;
};

static void *hash_root_thread(void *argument)
{
    struct hash_job *job = argument;

    job->result = hash_layer(job->conversion, ROOT_DATA_OFFSET + job->conversion->root.size, &job->error);
    return NULL;
}

/* The hash tree and the layer's digest both read all of the root image: at the same time, while it is in the cache. */
static int hash_root(struct conversion *conversion, char **ret_error)
{
    uint64_t data = conversion->output.layer_offset + ROOT_DATA_OFFSET;
    struct hash_job job = {.conversion = conversion};
    pthread_t thread;

    progress_step(conversion->options->progress, "hashing", 2 * conversion->root.size);
    derive(conversion, "cofre root salt", conversion->root.salt);
    errno = pthread_create(&thread, NULL, hash_root_thread, &job);
    if (errno)
        err(1, "convert");
    int result = verity_build(conversion->output.fd, data, conversion->root.size, data + conversion->root.size,
                              conversion->root.salt, conversion->options->progress, conversion->root.hash, ret_error);
    pthread_join(thread, NULL);
    if (result == 0 && job.result < 0)
        result = error_set(ret_error, "%s", job.error);
    free(job.error);
    /* The tree is small. */
    return result < 0 ? -1 : hash_layer(conversion, ROOT_DATA_OFFSET + conversion->root_file_size, ret_error);
}

static int put_root(struct conversion *conversion, char **ret_error)
{
    static const struct tar_member folder = {.name = "cofre/", .mode = 0755};
    struct tar_member image = {.name = "cofre/root.img", .mode = 0644};

    conversion->root.hash_offset = conversion->root.size;
    conversion->root_file_size = conversion->root.size + verity_tree_size(conversion->root.size);
    image.size = conversion->root_file_size;
    if (put_header(conversion, &folder, ret_error) < 0 || put_header(conversion, &image, ret_error) < 0)
        return -1;
    return hash_root(conversion, ret_error);
}

static int measure_and_sign(struct conversion *conversion, char **ret_error)
{
    struct convert_result *result = conversion->result;
    struct sigstruct_params params;
    struct policy *policy;

    if (policy_compile(&conversion->policy_source, &conversion->root, &policy, &conversion->policy.size, ret_error) < 0)
        return -1;
    conversion->policy.data = policy;
    struct enclave_parts parts = {
        .kernel = conversion->kernel.data,
        .kernel_size = conversion->kernel.size,
        .policy = policy,
        .policy_size = conversion->policy.size,
    };
    if (measure_enclave(&parts, result->mrenclave, ret_error) < 0)
        return -1;
    sigstruct_params_for(&params, policy, result->mrenclave, conversion->policy_source.isvprodid,
                         conversion->policy_source.isvsvn);
    sigstruct_fill(&conversion->sigstruct, &params);
    if (!conversion->key)
        return 0;
    if (sigstruct_sign(&conversion->sigstruct, conversion->key, ret_error) < 0)
        return -1;
    sigstruct_mrsigner(&conversion->sigstruct, result->mrsigner);
    return 0;
}

static int put_rest(struct conversion *conversion, char **ret_error)
{
    static const uint8_t end[2 * TAR_BLOCK_SIZE];

    if (put_member(conversion, "cofre/kernel", 0644, conversion->kernel.data, conversion->kernel.size, ret_error) < 0 ||
        put_member(conversion, "cofre/policy", 0644, conversion->policy.data, conversion->policy.size, ret_error) < 0 ||
        put_member(conversion, "cofre/sigstruct", 0644, &conversion->sigstruct, sizeof(conversion->sigstruct),
                   ret_error) < 0 ||
        put_member(conversion, "cofre/runtime", 0755, conversion->runtime.data, conversion->runtime.size, ret_error) <
            0)
        return -1;
    for (size_t i = 0; i < sizeof(empty_folders) / sizeof(empty_folders[0]); i++) {
        if (put_header(conversion, &empty_folders[i], ret_error) < 0)
            return -1;
    }
    return put(conversion, end, sizeof(end), ret_error);
}

static int publish(struct conversion *conversion, char **ret_error)
{
    struct convert_facts facts = {
        .source = &conversion->source,
        .name = conversion->options->name,
        .layer_size = conversion->offset,
        .mrenclave = conversion->result->mrenclave,
        .mrsigner = conversion->key ? conversion->result->mrsigner : NULL,
    };
    struct convert_documents documents;
    uint8_t digest[SHA256_SIZE];

    sha256_final(conversion->layer_hash, digest);
    digest_format(digest, facts.layer_digest);
    convert_documents_make(&documents, &facts);
    const struct output_blob blobs[] = {
        {documents.config_digest, documents.config, strlen(documents.config)},
        {documents.manifest_digest, documents.manifest, strlen(documents.manifest)},
    };
    int result = output_commit(&conversion->output, facts.layer_digest, facts.layer_size, blobs,
                               sizeof(blobs) / sizeof(blobs[0]), documents.index, ret_error);
    strcpy(conversion->result->manifest_digest, documents.manifest_digest);
    conversion->result->layer_size = facts.layer_size;
    conversion->result->root_size = conversion->root.size;
    memcpy(conversion->result->root_hash, conversion->root.hash, sizeof(conversion->root.hash));
    convert_documents_free(&documents);
    return result;
}

static int run(struct conversion *conversion, char **ret_error)
{
    if (prepare(conversion, ret_error) < 0 || apply_layers(conversion, ret_error) < 0)
        return -1;
    if (convert_check_command(&conversion->policy_source, conversion->layers.tree, ret_error) < 0)
        return error_wrap(ret_error, "%s", conversion->options->source);
    if (write_root(conversion, ret_error) < 0)
        return -1;
    drop_layers(conversion);
    if (encrypt_root(conversion, ret_error) < 0 || put_root(conversion, ret_error) < 0 ||
        measure_and_sign(conversion, ret_error) < 0 || put_rest(conversion, ret_error) < 0)
        return -1;
    if (!progress_add(conversion->options->progress, 0))
        return error_set(ret_error, "interrupted");
    return publish(conversion, ret_error);
}

int convert(const struct convert_options *options, struct convert_result *ret_result, char **ret_error)
{
    struct conversion conversion = {
        .options = options,
        .result = ret_result,
        .source.store.fd = -1,
        .output.fd = -1,
        .layer_hash = sha256_new(),
    };

    *ret_result = (struct convert_result){0};
    int result = run(&conversion, ret_error);
    progress_end(options->progress);
    if (result < 0 && ret_result->image_key_made)
        unlink(options->wrapped_key_path ? options->wrapped_key_path : options->image_key_path);
    OPENSSL_cleanse(conversion.image_key, sizeof(conversion.image_key));
    drop_layers(&conversion);
    output_close(&conversion.output);
    oci_image_close(&conversion.source);
    policy_source_free(&conversion.policy_source);
    EVP_PKEY_free(conversion.key);
    sha256_free(conversion.layer_hash);
    free(conversion.runtime.data);
    free(conversion.kernel.data);
    free(conversion.policy.data);
    return result;
}

/*
 * For developers and tests: a folder that cofre-runtime --dir runs, without going through an OCI image.
 *
 *   make-bundle DIR KERNEL KEY.pem LAYER.tar[,...] POLICY.yaml|- ARGV...
 *
 * KEY.pem is made if it is not there. The policy starts from the built-in defaults, diagnostics and debug on.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/digest.h"
#include "image/erofs_write.h"
#include "image/error.h"
#include "image/file_io.h"
#include "image/layers.h"
#include "image/measure.h"
#include "image/policy.h"
#include "image/sigstruct.h"
#include "image/spool.h"
#include "image/tree.h"
#include "image/verity.h"

static int write_file(const char *dir, const char *name, const void *data, size_t size, char **ret_error)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    unlink(path);
    f = fopen(path, "we");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        return error_set(ret_error, "writing %s failed", path);
    return 0;
}

static void *read_file(const char *path, size_t *ret_size, char **ret_error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *data = NULL;

    if (fd >= 0 && fstat(fd, &st) == 0 && (data = malloc((size_t)st.st_size)) &&
        read(fd, data, (size_t)st.st_size) == st.st_size) {
        *ret_size = (size_t)st.st_size;
    } else {
        free(data);
        data = NULL;
        error_set(ret_error, "reading %s failed", path);
    }
    if (fd >= 0)
        close(fd);
    return data;
}

static int apply_layer(struct layers *layers, const char *path, char **ret_error)
{
    struct stat status;
    struct layer_source source = {.blob.fd = open(path, O_RDONLY | O_CLOEXEC)};
    int ret;

    if (source.blob.fd < 0 || fstat(source.blob.fd, &status) < 0)
        return error_set(ret_error, "cannot open %s", path);
    source.blob.size = (uint64_t)status.st_size;
    ret = layers_apply(layers, &source, ret_error);
    close(source.blob.fd);
    return ret;
}

static int make_root(const char *dir, char *layer_list, struct policy_root *root, char **ret_error)
{
    static const uint8_t uuid[16];
    struct layers layers = {.limits = LAYER_LIMITS_DEFAULT, .tree = tree_new()};
    char path[4096];
    int fd, tail, ret = 0;

    snprintf(path, sizeof(path), "%s/root.img", dir);
    unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    tail = file_temporary(".", ret_error);
    if (fd < 0 || tail < 0)
        return error_set(ret_error, "cannot make %s", path);
    layers.spool = spool_new(fd, 0, tail);
    for (char *p = strtok(layer_list, ","); p && ret == 0; p = strtok(NULL, ","))
        ret = apply_layer(&layers, p, ret_error);
    if (ret == 0)
        ret = erofs_write(layers.tree, layers.spool, fd, 0, uuid, NULL, &root->size, ret_error);
    if (ret == 0)
        ret = verity_build(fd, 0, root->size, root->size, root->salt, NULL, root->hash, ret_error);
    root->hash_offset = root->size;
    spool_free(layers.spool);
    tree_free(layers.tree);
    close(fd);
    return ret;
}

static int sign(const char *dir, const char *key_path, const struct enclave_parts *parts, char **ret_error)
{
    const struct policy *policy = parts->policy;
    struct sigstruct_params params = {
        .attributes_flags = SGX_ATTR_MODE64BIT | SGX_ATTR_DEBUG,
        .attributes_mask_flags = ~0UL,
        .attributes_xfrm = policy->xfrm_low,
        .attributes_mask_xfrm = ~0UL,
        .miscselect = SGX_MISC_EXINFO,
        .miscmask = ~0u,
        .date = 0x20230101,
    };
    struct sgx_sigstruct sig;
    EVP_PKEY *key;
    int ret;

    if (access(key_path, F_OK) < 0 && sigstruct_keygen(key_path, ret_error) < 0)
        return -1;
    key = sigstruct_key_load(key_path, 1, ret_error);
    if (!key || measure_enclave(parts, params.mrenclave, ret_error) < 0)
        return -1;
    memset(&sig, 0, sizeof(sig));
    sigstruct_fill(&sig, &params);
    ret = sigstruct_sign(&sig, key, ret_error);
    EVP_PKEY_free(key);
    return ret < 0 ? ret : write_file(dir, "sigstruct", &sig, sizeof(sig), ret_error);
}

static int make(char **argv, char **ret_error)
{
    const char *dir = argv[0];
    struct policy_source source;
    struct policy_root root = {0};
    struct enclave_parts parts = {0};
    struct policy *policy;
    size_t size;
    int ret;

    mkdir(dir, 0755);
    policy_source_init(&source);
    source.flags |= POLICY_DEBUG | POLICY_DIAGNOSTICS | POLICY_ARGS_ANY | POLICY_PORTS_ANY | POLICY_CONNECT_ANY |
                    POLICY_HOST_HOSTS | POLICY_HOST_RESOLV_CONF | POLICY_WORKDIR_ANY | POLICY_USER_ANY;
    string_list_add(&source.env_allow, "*");
    policy_source_set_env(&source, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for (char **arg = argv + 5; *arg; arg++)
        string_list_add(&source.cmd, *arg);
    if (strcmp(argv[4], "-") != 0 && policy_source_load(&source, argv[4], ret_error) < 0)
        return -1;
    parts.kernel = read_file(argv[1], &parts.kernel_size, ret_error);
    if (!parts.kernel || make_root(dir, argv[3], &root, ret_error) < 0 ||
        policy_compile(&source, &root, &policy, &size, ret_error) < 0)
        return -1;
    parts.policy = policy;
    parts.policy_size = size;
    ret = write_file(dir, "kernel", parts.kernel, parts.kernel_size, ret_error);
    if (ret == 0)
        ret = write_file(dir, "policy", policy, size, ret_error);
    return ret < 0 ? ret : sign(dir, argv[2], &parts, ret_error);
}

int main(int argc, char **argv)
{
    char *error = NULL;

    if (argc < 7) {
        fprintf(stderr, "usage: %s DIR KERNEL KEY.pem LAYER.tar[,...] POLICY.yaml|- ARGV...\n", argv[0]);
        return 2;
    }
    if (make(argv + 1, &error) < 0) {
        fprintf(stderr, "make-bundle: %s\n", error);
        return 1;
    }
    return 0;
}

/*
 * The policy as a person writes it (YAML over what the image's own configuration says) and its compiled, measured form
 * (abi/policy.h). Schema: man cofre-policy.
 */
#ifndef COFRE_IMAGE_POLICY_H
#define COFRE_IMAGE_POLICY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/policy.h"

/* Owned strings, in order. */
struct string_list {
    char **items;
    size_t count;
};
int string_list_add(struct string_list *list, const char *text); /* copies; -1 when out of memory */
void string_list_clear(struct string_list *list);

struct policy_source_mount {
    char *path;
    uint64_t size_max;
    uint32_t mode;
};

/* A service elsewhere: struct policy_service. */
struct policy_source_service {
    char *address; /* NULL = none */
    uint8_t key[32];
    bool key_given;
    uint32_t timeout; /* seconds */
};

/* MarbleRun's counters as the anchor. */
struct policy_source_marble {
    char *point;          /* public key of its root certificate, hexadecimal; NULL = none */
    uint32_t key_release; /* enum policy_key_release */
    char *key_name;       /* at the key server; NULL = none */
};

struct policy_source_volume {
    char *name, *path;
    char *key_name;                 /* at the key server; NULL = its name */
    uint32_t key, freshness, flags; /* enum policy_volume_* */
    uint64_t size, cache_size;
    bool image_update_given;
    char *recovery; /* public key, hexadecimal; NULL = none */
};

struct policy_source_folder {
    char *path;
    uint32_t flags; /* enum policy_folder_flags */
};

/* A command that the host may have run in the container. */
struct policy_source_command {
    struct string_list arguments;
    uint32_t flags; /* enum policy_command_flags */
};

struct policy_source {
    uint64_t memory_size, kernel_heap_size, elrange_size;
    uint32_t vcpu_max, process_max, stack_size, umask, xfrm_low, stop_signal;
    uint32_t key_release; /* enum policy_key_release: where an enclave gets the key, if the image is encrypted */
    uint64_t flags;       /* enum policy_flags */
    struct string_list entrypoint, cmd, env, env_allow, groups;
    char *user;     /* OCI form: "name", "uid", "uid:gid", "name:group"; NULL = root */
    char *workdir;  /* NULL = "/" */
    char *hostname; /* NULL = "cofre" */
    struct policy_source_mount *tmpfs;
    size_t tmpfs_count;
    struct policy_source_volume *volumes;
    size_t volume_count;
    struct policy_source_service anchor; /* of volumes */
    struct policy_source_marble marble;  /* ... is MarbleRun's */
    struct policy_source_service key_server;
    char *root_key_name; /* of the image's key there; NULL = none */
    struct policy_source_folder *folders;
    size_t folder_count;
    struct policy_source_command *commands;
    size_t command_count;
    struct policy_port *ports;
    size_t port_count;
    uint16_t isvprodid, isvsvn;
};

/* Where the converted root image ended up. */
struct policy_root {
    uint64_t size, hash_offset;
    uint8_t hash[32], salt[32];
    uint32_t cipher; /* enum policy_cipher */
    uint8_t key_check[POLICY_KEY_CHECK_SIZE];
};

/* Built-in defaults: 1 GiB, 4 vCPUs, EDMM, nothing taken from the host but its resolv.conf and the container's name. */
void policy_source_init(struct policy_source *source);
void policy_source_free(struct policy_source *source);

/* "6379", "6379/tcp", "53/udp" (OCI ExposedPorts). */
int policy_source_add_port(struct policy_source *source, const char *text, char **ret_error);
/* "NAME=VALUE": replaces an earlier NAME. */
int policy_source_set_env(struct policy_source *source, const char *assignment);
int policy_source_add_tmpfs(struct policy_source *source, const char *path, uint64_t size_max, uint32_t mode);

/* Takes over the strings of *volume on success. -1 when out of memory. */
int policy_source_add_volume(struct policy_source *source, const struct policy_source_volume *volume);
void policy_source_clear_volumes(struct policy_source *source);

/* Takes over the string of *folder on success. -1 when out of memory. */
int policy_source_add_folder(struct policy_source *source, const struct policy_source_folder *folder);
void policy_source_clear_folders(struct policy_source *source);

/* Takes over the strings of *command on success. -1 when out of memory. */
int policy_source_add_command(struct policy_source *source, const struct policy_source_command *command);
void policy_source_clear_commands(struct policy_source *source);

/* Overrides from a YAML file; an unknown key, a wrong type or a bad value is an error naming file, line and key. */
int policy_source_load(struct policy_source *source, const char *path, char **ret_error);
/* The same from memory; name stands for the file in errors. */
int policy_source_parse(struct policy_source *source, const char *name, const void *text, size_t size,
                        char **ret_error);

/* Canonical compiled form; *ret_policy is malloc'd. Checks what depends on several fields. */
int policy_compile(const struct policy_source *source, const struct policy_root *root, struct policy **ret_policy,
                   size_t *ret_size, char **ret_error);

/* Checks a compiled policy of unknown origin (host tools). 0, or -1 naming what is wrong. */
int policy_check(const void *blob, size_t size, char **ret_error);
/* A checked policy as JSON with the schema's names; NULL when out of memory. */
json_t *policy_to_json(const struct policy *policy);
/* Strings of a checked policy. */
const char *policy_blob_string(const struct policy *policy, uint32_t offset);
const char *policy_blob_item(const struct policy *policy, struct policy_list list, uint32_t index);

#endif

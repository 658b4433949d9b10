/*
 * Policy YAML over libyaml: a tree of tables says which keys exist, what they hold and where they go, so that an
 * unknown key or a wrong type is always named with its file and line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "abi/hostfs.h"
#include "abi/key_release.h"
#include "abi/volume.h"
#include "image/error.h"
#include "image/policy.h"
#include "image/root_certificate.h"

#define FILE_SIZE_MAX (1 << 20)

struct parser {
    struct policy_source *source;
    yaml_document_t document;
    const char *name;
    char path[256]; /* of the key being read: "network.listen" */
    char **error;
};

struct key;
typedef int (*key_fn)(struct parser *p, yaml_node_t *node, const struct key *key);

struct key {
    const char *name;
    key_fn fn;
    size_t offset;          /* of the field in struct policy_source */
    uint64_t flag;          /* enum policy_flags bit, for booleans */
    uint64_t min, max;      /* numbers and sizes */
    const struct key *keys; /* nested mapping */
};

static int bad(struct parser *p, const yaml_node_t *node, const char *what)
{
    return error_set(p->error, "%s:%zu: %s%s%s", p->name, node->start_mark.line + 1, p->path, p->path[0] ? ": " : "",
                     what);
}

static const char *scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static void *field(struct parser *p, const struct key *key)
{
    return (char *)p->source + key->offset;
}

static int read_mapping(struct parser *p, yaml_node_t *node, const struct key *keys)
{
    if (node->type != YAML_MAPPING_NODE)
        return bad(p, node, "a mapping (NAME: VALUE lines) is wanted here");
    size_t path_size = strlen(p->path);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *name_node = yaml_document_get_node(&p->document, pair->key);
        yaml_node_t *value = yaml_document_get_node(&p->document, pair->value);
        const char *name = scalar(name_node);
        if (!name)
            return bad(p, name_node, "a key must be plain text");
        for (yaml_node_pair_t *other = node->data.mapping.pairs.start; other < pair; other++) {
            const char *other_name = scalar(yaml_document_get_node(&p->document, other->key));
            if (other_name && strcmp(other_name, name) == 0)
                return error_set(p->error, "%s:%zu: key \"%s\" appears twice", p->name, name_node->start_mark.line + 1,
                                 name);
        }
        const struct key *key = keys;
        while (key->name && strcmp(key->name, name) != 0)
            key++;
        if (!key->name)
            return error_set(p->error, "%s:%zu: unknown key \"%s%s%s\" (man cofre-policy lists them)", p->name,
                             name_node->start_mark.line + 1, p->path, p->path[0] ? "." : "", name);
        snprintf(p->path + path_size, sizeof(p->path) - path_size, "%s%s", path_size ? "." : "", name);
        int r = key->fn(p, value, key);
        p->path[path_size] = '\0';
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_nested(struct parser *p, yaml_node_t *node, const struct key *key)
{
    return read_mapping(p, node, key->keys);
}

static int parse_number(const char *text, int with_unit, uint64_t *ret_value)
{
    char *end;
    errno = 0;
    if (!text || text[0] < '0' || text[0] > '9')
        return -1;
    uint64_t value = strtoull(text, &end, 0);
    int shift = 0;
    if (with_unit && *end) {
        const char *units = "KMGT", *unit = strchr(units, *end);
        if (!unit)
            return -1;
        shift = 10 * (int)(unit - units + 1);
        end++;
        if (strcmp(end, "iB") == 0)
            end += 2;
    }
    if (errno || *end || (value << shift) >> shift != value)
        return -1;
    *ret_value = value << shift;
    return 0;
}

static int read_size(struct parser *p, yaml_node_t *node, const struct key *key)
{
    uint64_t value;
    if (parse_number(scalar(node), 1, &value) < 0)
        return bad(p, node, "a size is wanted here, such as 512M or 2G");
    if (value < key->min || value > key->max || value % 4096)
        return bad(p, node, "the size is out of range, or not a multiple of 4096");
    *(uint64_t *)field(p, key) = value;
    return 0;
}

static int read_size32(struct parser *p, yaml_node_t *node, const struct key *key)
{
    uint64_t value;
    if (parse_number(scalar(node), 1, &value) < 0 || value < key->min || value > key->max || value % 4096)
        return bad(p, node, "a size in range and a multiple of 4096 is wanted here, such as 8M");
    *(uint32_t *)field(p, key) = (uint32_t)value;
    return 0;
}

static int read_number(struct parser *p, yaml_node_t *node, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    if (parse_number(scalar(node), 0, ret_value) == 0 && *ret_value >= min && *ret_value <= max)
        return 0;
    return error_set(p->error, "%s:%zu: %s: a number from %llu to %llu is wanted here", p->name,
                     node->start_mark.line + 1, p->path, (unsigned long long)min, (unsigned long long)max);
}

static int read_u32(struct parser *p, yaml_node_t *node, const struct key *key)
{
    uint64_t value;
    if (read_number(p, node, key->min, key->max, &value) < 0)
        return -1;
    *(uint32_t *)field(p, key) = (uint32_t)value;
    return 0;
}

static int read_u16(struct parser *p, yaml_node_t *node, const struct key *key)
{
    uint64_t value;
    if (read_number(p, node, 0, 65535, &value) < 0)
        return -1;
    *(uint16_t *)field(p, key) = (uint16_t)value;
    return 0;
}

/* Octal, as chmod takes it. */
static int parse_mode(struct parser *p, yaml_node_t *node, uint32_t *ret_mode)
{
    const char *text = scalar(node);
    char *end;
    unsigned long value = text ? strtoul(text, &end, 8) : 0;
    if (!text || !*text || *end || value > 07777)
        return bad(p, node, "an octal mode is wanted here, such as 1777");
    *ret_mode = (uint32_t)value;
    return 0;
}

static int read_mode(struct parser *p, yaml_node_t *node, const struct key *key)
{
    return parse_mode(p, node, field(p, key));
}

static int parse_bool(struct parser *p, yaml_node_t *node, bool *ret_value)
{
    const char *text = scalar(node);
    if (text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        *ret_value = text[0] == 't';
        return 0;
    }
    return bad(p, node, "true or false is wanted here");
}

static int read_flag(struct parser *p, yaml_node_t *node, const struct key *key)
{
    bool value = false;
    if (parse_bool(p, node, &value) < 0)
        return -1;
    p->source->flags = value ? p->source->flags | key->flag : p->source->flags & ~key->flag;
    return 0;
}

/* XFRM bits beside x87, SSE and AVX. */
static int read_xfrm(struct parser *p, yaml_node_t *node, const struct key *key)
{
    bool value = false;
    if (parse_bool(p, node, &value) < 0)
        return -1;
    uint32_t bits = (uint32_t)key->flag;
    p->source->xfrm_low = value ? p->source->xfrm_low | bits : p->source->xfrm_low & ~bits;
    return 0;
}

static int read_string(struct parser *p, yaml_node_t *node, const struct key *key)
{
    const char *text = scalar(node);
    if (!text || !*text || strlen(text) != node->data.scalar.length)
        return bad(p, node, "text is wanted here");
    char *copy = strdup(text), **slot = field(p, key);
    if (!copy)
        return error_set(p->error, "out of memory");
    free(*slot);
    *slot = copy;
    return 0;
}

static int read_list(struct parser *p, yaml_node_t *node, const struct key *key)
{
    struct string_list *list = field(p, key);
    if (node->type != YAML_SEQUENCE_NODE)
        return bad(p, node, "a list is wanted here, such as [one, two]");
    string_list_clear(list);
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        yaml_node_t *value = yaml_document_get_node(&p->document, *item);
        const char *text = scalar(value);
        if (!text || strlen(text) != value->data.scalar.length)
            return bad(p, value, "each item must be text");
        if (string_list_add(list, text) < 0)
            return error_set(p->error, "out of memory");
    }
    return 0;
}

static int read_env_set(struct parser *p, yaml_node_t *node, const struct key *key)
{
    (void)key;
    if (node->type != YAML_MAPPING_NODE)
        return bad(p, node, "NAME: VALUE lines are wanted here");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *value_node = yaml_document_get_node(&p->document, pair->value);
        const char *name = scalar(yaml_document_get_node(&p->document, pair->key)), *value = scalar(value_node);
        char *assignment;
        if (!name || !*name || strchr(name, '=') || !value)
            return bad(p, value_node, "each variable is NAME: VALUE, and NAME has no \"=\"");
        if (asprintf(&assignment, "%s=%s", name, value) < 0)
            return error_set(p->error, "out of memory");
        int r = policy_source_set_env(p->source, assignment);
        free(assignment);
        if (r < 0)
            return error_set(p->error, "out of memory");
    }
    return 0;
}

static int read_listen(struct parser *p, yaml_node_t *node, const struct key *key)
{
    (void)key;
    const char *text = scalar(node);
    if (text && strcmp(text, "any") == 0) {
        p->source->flags |= POLICY_PORTS_ANY;
        return 0;
    }
    if (node->type != YAML_SEQUENCE_NODE)
        return bad(p, node, "\"any\" or a list of ports is wanted here, such as [6379, 53/udp]");
    p->source->flags &= ~(uint64_t)POLICY_PORTS_ANY;
    p->source->port_count = 0;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        yaml_node_t *value = yaml_document_get_node(&p->document, *item);
        char *reason = NULL;
        if (policy_source_add_port(p->source, scalar(value) ? scalar(value) : "", &reason) < 0) {
            int r = bad(p, value, reason);
            free(reason);
            return r;
        }
    }
    return 0;
}

static int read_tmpfs_item(struct parser *p, yaml_node_t *node)
{
    const char *path = NULL;
    uint64_t size = 0;
    uint32_t mode = 01777;
    if (node->type != YAML_MAPPING_NODE)
        return bad(p, node, "each item is {path: /PATH, size: SIZE, mode: OCTAL}");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *value = yaml_document_get_node(&p->document, pair->value);
        const char *name = scalar(yaml_document_get_node(&p->document, pair->key));
        if (name && strcmp(name, "path") == 0) {
            path = scalar(value);
        } else if (name && strcmp(name, "size") == 0) {
            if (parse_number(scalar(value), 1, &size) < 0 || size % 4096)
                return bad(p, value, "size must be a multiple of 4096, such as 64M");
        } else if (name && strcmp(name, "mode") == 0) {
            if (parse_mode(p, value, &mode) < 0)
                return -1;
        } else {
            return bad(p, node, "unknown key (path, size and mode are known)");
        }
    }
    if (!path || path[0] != '/')
        return bad(p, node, "path is missing or not absolute");
    return policy_source_add_tmpfs(p->source, path, size, mode) < 0 ? error_set(p->error, "out of memory") : 0;
}

static int read_tmpfs(struct parser *p, yaml_node_t *node, const struct key *key)
{
    (void)key;
    if (node->type != YAML_SEQUENCE_NODE)
        return bad(p, node, "a list of {path, size, mode} is wanted here");
    for (size_t i = 0; i < p->source->tmpfs_count; i++)
        free(p->source->tmpfs[i].path);
    p->source->tmpfs_count = 0;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
        if (read_tmpfs_item(p, yaml_document_get_node(&p->document, *item)) < 0)
            return -1;
    return 0;
}

static int volume_choice(struct parser *p, yaml_node_t *node, const char *const *names, const char *what,
                         uint32_t *ret_value)
{
    const char *text = scalar(node);
    for (uint32_t i = 0; text && names[i]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_value = i;
            return 0;
        }
    }
    return bad(p, node, what);
}

static int volume_flag(struct parser *p, yaml_node_t *node, uint32_t flag, uint32_t *flags)
{
    bool value = false;
    if (parse_bool(p, node, &value) < 0)
        return -1;
    *flags = value ? *flags | flag : *flags & ~flag;
    return 0;
}

static int volume_size(struct parser *p, yaml_node_t *node, uint64_t *ret_size)
{
    if (parse_number(scalar(node), 1, ret_size) < 0 || *ret_size % 4096 || *ret_size < 2U << 20)
        return bad(p, node, "a size of 2M or more, a multiple of 4096, is wanted here, such as 1G");
    return 0;
}

/* It is a file's name at the key server. */
static int key_name(struct parser *p, yaml_node_t *node, char **slot)
{
    const char *text = scalar(node);
    size_t size = text ? strlen(text) : 0;
    if (size == 0 || size >= KEY_NAME_SIZE || size != node->data.scalar.length || text[0] == '.' ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != size)
        return bad(p, node,
                   "a key's name is wanted here: at most 63 letters, digits, \".\", \"_\", \"-\", no \".\" first");
    free(*slot);
    *slot = strdup(text);
    return *slot ? 0 : error_set(p->error, "out of memory");
}

static int read_volume_key(struct parser *p, const char *name, yaml_node_t *value, struct policy_source_volume *v)
{
    static const char *const keys[] = {"mrenclave", "mrsigner", "file", "server", NULL};
    static const char *const modes[] = {"none", "local", "lag", "strict", "output", NULL};
    static const char *const updates[] = {"refuse", "keep", NULL};
    if (strcmp(name, "name") == 0 || strcmp(name, "path") == 0) {
        char **slot = name[0] == 'n' ? &v->name : &v->path;
        const char *text = scalar(value);
        if (!text || !*text || strlen(text) > 200 || strlen(text) != value->data.scalar.length || *slot)
            return bad(p, value, "text of at most 200 bytes is wanted here");
        *slot = strdup(text);
        return *slot ? 0 : error_set(p->error, "out of memory");
    }
    if (strcmp(name, "key") == 0)
        return volume_choice(p, value, keys, "key must be mrenclave, mrsigner, file or server", &v->key);
    if (strcmp(name, "key_name") == 0)
        return key_name(p, value, &v->key_name);
    if (strcmp(name, "freshness") == 0)
        return volume_choice(p, value, modes, "freshness must be none, local, lag, strict or output", &v->freshness);
    if (strcmp(name, "create") == 0)
        return volume_flag(p, value, POLICY_VOLUME_CREATE, &v->flags);
    if (strcmp(name, "optional") == 0)
        return volume_flag(p, value, POLICY_VOLUME_OPTIONAL, &v->flags);
    if (strcmp(name, "read_only") == 0)
        return volume_flag(p, value, POLICY_VOLUME_READ_ONLY, &v->flags);
    if (strcmp(name, "copy") == 0) {
        int ret = volume_flag(p, value, POLICY_VOLUME_NO_COPY, &v->flags);
        v->flags ^= POLICY_VOLUME_NO_COPY;
        return ret;
    }
    if (strcmp(name, "recovery") == 0) {
        const char *text = scalar(value);
        if (!text || strlen(text) != 64 || strspn(text, "0123456789abcdefABCDEF") != 64 || v->recovery)
            return bad(p, value,
                       "a public key is wanted here: X25519, 64 hexadecimal digits (cofre volume keygen makes one)");
        v->recovery = strdup(text);
        return v->recovery ? 0 : error_set(p->error, "out of memory");
    }
    if (strcmp(name, "image_update") == 0) {
        uint32_t keep = 0;
        int ret = volume_choice(p, value, updates, "image_update must be refuse or keep", &keep);
        v->flags = keep ? v->flags | POLICY_VOLUME_KEEP : v->flags & ~(uint32_t)POLICY_VOLUME_KEEP;
        v->image_update_given = true;
        return ret;
    }
    if (strcmp(name, "size") == 0)
        return volume_size(p, value, &v->size);
    if (strcmp(name, "cache") == 0)
        return volume_size(p, value, &v->cache_size);
    return bad(
        p, value,
        "unknown key (name, path, key, key_name, freshness, create, size, cache, copy, recovery, optional, read_only "
        "and image_update are known)");
}

static yaml_node_t *mapping_value(struct parser *p, const yaml_node_t *node, const char *wanted)
{
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const char *name = scalar(yaml_document_get_node(&p->document, pair->key));
        if (name && strcmp(name, wanted) == 0)
            return yaml_document_get_node(&p->document, pair->value);
    }
    return NULL;
}

static int read_volume_item(struct parser *p, yaml_node_t *node, struct policy_source_volume *v)
{
    if (node->type != YAML_MAPPING_NODE)
        return bad(p, node, "each item is {name: NAME, path: /PATH, ...}");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const char *name = scalar(yaml_document_get_node(&p->document, pair->key));
        if (!name || read_volume_key(p, name, yaml_document_get_node(&p->document, pair->value), v) < 0)
            return -1;
    }
    if (!v->name)
        return bad(p, node, "name is missing");
    if (!v->path || v->path[0] != '/')
        return bad(p, node, "path is missing or not absolute");
    if (!v->path[1] && v->flags & POLICY_VOLUME_READ_ONLY)
        return bad(p, node, "the root's volume cannot be read-only");
    if (v->path[1] && v->image_update_given)
        return bad(p, node, "image_update is for the root's volume (path: /)");
    if (v->key_name && v->key != POLICY_VOLUME_SERVER)
        return bad(p, node, "key_name is for key: server");
    if (v->key == POLICY_VOLUME_SERVER && !v->key_name) {
        yaml_node_t *name = mapping_value(p, node, "name");
        if (key_name(p, name, &v->key_name) < 0)
            return -1;
    }
    if (v->key == POLICY_VOLUME_MRENCLAVE && v->flags & POLICY_VOLUME_KEEP)
        return bad(p, node, "image_update: keep needs another key than mrenclave, which no other image has");
    if (v->flags & POLICY_VOLUME_CREATE && !v->size)
        return bad(p, node, "create needs a size");
    if (!(v->flags & POLICY_VOLUME_CREATE) && v->size)
        return bad(p, node, "size is for volumes that may be made (create: true)");
    if (v->flags & POLICY_VOLUME_CREATE && v->flags & POLICY_VOLUME_READ_ONLY)
        return bad(p, node, "a read-only volume cannot be made");
    for (size_t i = 0; i < p->source->volume_count; i++)
        if (strcmp(p->source->volumes[i].path, v->path) == 0 || strcmp(p->source->volumes[i].name, v->name) == 0)
            return bad(p, node, "two volumes have the same name or path");
    return policy_source_add_volume(p->source, v) < 0 ? error_set(p->error, "out of memory") : 0;
}

static int read_volumes(struct parser *p, yaml_node_t *node, const struct key *key)
{
    (void)key;
    if (node->type != YAML_SEQUENCE_NODE)
        return bad(p, node, "a list of {name, path, ...} is wanted here");
    policy_source_clear_volumes(p->source);
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        struct policy_source_volume v = {0};
        if (p->source->volume_count == VOLUME_MAX)
            return bad(p, node, "there can be 16 volumes at most");
        if (read_volume_item(p, yaml_document_get_node(&p->document, *item), &v) < 0) {
            free(v.name);
            free(v.path);
            free(v.recovery);
            free(v.key_name);
            return -1;
        }
    }
    return 0;
}

/* Numbers: who resolves a name is not trusted anyway, and the host may go elsewhere. */
static int read_address(struct parser *p, yaml_node_t *node, const struct key *key)
{
    uint8_t address[16];
    const char *text = scalar(node), *colon = text ? strrchr(text, ':') : NULL;
    char host[64] = "", *end = NULL;
    size_t size = colon ? (size_t)(colon - text) : 0;
    bool v6 = size > 2 && text[0] == '[' && colon[-1] == ']';
    unsigned long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 0;
    if (size > 0 && size < sizeof(host))
        memcpy(host, text + v6, size - 2 * v6);
    if (inet_pton(v6 ? AF_INET6 : AF_INET, host, address) != 1 || port < 1 || port > 65535 || *end ||
        strlen(text) != node->data.scalar.length)
        return bad(p, node, "an address is wanted here: 10.0.0.1:4433 or [fd00::1]:4433");
    return read_string(p, node, key);
}

static int read_public_key(struct parser *p, yaml_node_t *node, const struct key *key)
{
    struct policy_source_service *service = field(p, key);
    const char *text = scalar(node);
    if (!text || strlen(text) != 2 * sizeof(service->key) || strspn(text, "0123456789abcdefABCDEF") != strlen(text))
        return bad(p, node, "the service's public key is wanted here: X25519, 64 hexadecimal digits");
    for (size_t i = 0; i < sizeof(service->key); i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        service->key[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    service->key_given = true;
    return 0;
}

/* MarbleRun's root certificate, as text: a policy stands alone. */
static int read_certificate(struct parser *p, yaml_node_t *node, const struct key *key)
{
    char **point = field(p, key), *why = NULL;
    const char *text = scalar(node);
    if (!text)
        return bad(p, node, "a certificate in PEM is wanted here (certificate: |)");
    free(*point);
    *point = NULL;
    if (root_certificate_point(text, node->data.scalar.length, point, &why) == 0)
        return 0;
    bad(p, node, why ? why : "out of memory");
    free(why);
    return -1;
}

static int read_marble_key(struct parser *p, yaml_node_t *node, const struct key *key)
{
    const char *text = scalar(node);
    uint32_t *release = field(p, key);
    if (text && strcmp(text, "file") == 0)
        *release = POLICY_KEY_FILE;
    else if (text && strcmp(text, "server") == 0)
        *release = POLICY_KEY_SERVER;
    else
        return bad(p, node,
                   "\"server\" (the key server, after attestation) or \"file\" (the host gives the key beside the "
                   "certificate, which is for development) is wanted here");
    return 0;
}

static int read_folder_key(struct parser *p, const char *name, yaml_node_t *value, struct policy_source_folder *f)
{
    static const char *const modes[] = {"ro", "rw", NULL};
    if (strcmp(name, "path") == 0) {
        const char *text = scalar(value);
        if (!text || strlen(text) > 200 || strlen(text) != value->data.scalar.length || f->path)
            return bad(p, value, "a path of at most 200 bytes is wanted here");
        f->path = strdup(text);
        return f->path ? 0 : error_set(p->error, "out of memory");
    }
    if (strcmp(name, "mode") == 0) {
        uint32_t mode = 0;
        if (volume_choice(p, value, modes, "mode must be ro or rw", &mode) < 0)
            return -1;
        f->flags = (f->flags & ~(uint32_t)POLICY_FOLDER_WRITE) | (mode ? POLICY_FOLDER_WRITE : 0);
        return 0;
    }
    if (strcmp(name, "optional") == 0)
        return volume_flag(p, value, POLICY_FOLDER_OPTIONAL, &f->flags);
    return bad(p, value, "unknown key (path, mode and optional are known)");
}

/* Is one of the paths the other, or beneath it? */
static bool paths_nest(const char *a, const char *b)
{
    size_t size = strlen(a) < strlen(b) ? strlen(a) : strlen(b);
    const char *longer = strlen(a) < strlen(b) ? b : a;
    return strncmp(a, b, size) == 0 && (longer[size] == '/' || !longer[size]);
}

/* Plain: no ".", "..", "//" or slash at the end. */
static bool path_plain(const char *path)
{
    size_t size = strlen(path);
    return path[0] == '/' && size > 1 && path[size - 1] != '/' && !strstr(path, "//") && !strstr(path, "/./") &&
           !strstr(path, "/../") && strcmp(path + size - 2, "/.") != 0 &&
           (size < 3 || strcmp(path + size - 3, "/..") != 0);
}

static int check_folder(struct parser *p, yaml_node_t *node, const struct policy_source_folder *f)
{
    static const char *const own[] = {"/proc", "/dev", "/sys", "/etc"};
    if (!f->path || !path_plain(f->path))
        return bad(p, node, "path is missing, not absolute, or has parts such as \"..\"");
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (paths_nest(own[i], f->path))
            return bad(p, node, "a host folder cannot be at or in /proc, /dev, /sys or /etc");
    for (size_t i = 0; i < p->source->folder_count; i++)
        if (paths_nest(p->source->folders[i].path, f->path))
            return bad(p, node, "one host folder lies in another");
    return 0;
}

static int read_folder_item(struct parser *p, yaml_node_t *node, struct policy_source_folder *f)
{
    if (node->type != YAML_MAPPING_NODE)
        return bad(p, node, "each item is {path: /PATH, mode: ro or rw, ...}");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const char *name = scalar(yaml_document_get_node(&p->document, pair->key));
        if (!name || read_folder_key(p, name, yaml_document_get_node(&p->document, pair->value), f) < 0)
            return -1;
    }
    if (check_folder(p, node, f) < 0)
        return -1;
    return policy_source_add_folder(p->source, f) < 0 ? error_set(p->error, "out of memory") : 0;
}

static int read_host_folders(struct parser *p, yaml_node_t *node, const struct key *key)
{
    (void)key;
    if (node->type != YAML_SEQUENCE_NODE)
        return bad(p, node, "a list of {path, mode, ...} is wanted here");
    policy_source_clear_folders(p->source);
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        struct policy_source_folder f = {0};
        if (p->source->folder_count == HOSTFS_FOLDERS)
            return bad(p, node, "there can be 16 host folders at most");
        if (read_folder_item(p, yaml_document_get_node(&p->document, *item), &f) < 0) {
            free(f.path);
            return -1;
        }
    }
    return 0;
}

static int read_command_item(struct parser *p, yaml_node_t *node, struct policy_source_command *command)
{
    yaml_node_item_t *item = node->data.sequence.items.start, *end = node->data.sequence.items.top;
    if (node->type != YAML_SEQUENCE_NODE || item == end)
        return bad(p, node, "each command is a list of its arguments, such as [redis-cli, PING]");
    for (; item < end; item++) {
        yaml_node_t *value = yaml_document_get_node(&p->document, *item);
        const char *text = scalar(value);
        if (!text || strlen(text) != value->data.scalar.length || (command->arguments.count == 0 && !*text))
            return bad(p, value, "each argument must be text, and the first not empty");
        if (item + 1 == end && strcmp(text, "*") == 0 && command->arguments.count)
            command->flags |= POLICY_COMMAND_MORE;
        else if (string_list_add(&command->arguments, text) < 0)
            return error_set(p->error, "out of memory");
    }
    return policy_source_add_command(p->source, command) < 0 ? error_set(p->error, "out of memory") : 0;
}

static int read_exec_allow(struct parser *p, yaml_node_t *node, const struct key *key)
{
    policy_source_clear_commands(p->source);
    if (node->type != YAML_SEQUENCE_NODE)
        return scalar(node) ? read_flag(p, node, key)
                            : bad(p, node, "true, false or a list of commands is wanted here");
    p->source->flags &= ~key->flag;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        struct policy_source_command command = {0};
        if (p->source->command_count == POLICY_COMMAND_MAX)
            return bad(p, node, "there can be 256 commands at most");
        if (read_command_item(p, yaml_document_get_node(&p->document, *item), &command) < 0) {
            string_list_clear(&command.arguments);
            return -1;
        }
    }
    return 0;
}

static int read_key_release(struct parser *p, yaml_node_t *node, const struct key *key)
{
    (void)key;
    const char *text = scalar(node);
    if (text && strcmp(text, "file") == 0)
        p->source->key_release = POLICY_KEY_FILE;
    else if (text && strcmp(text, "server") == 0)
        p->source->key_release = POLICY_KEY_SERVER;
    else
        return bad(p, node,
                   "\"server\" (the key server, after attestation) or \"file\" (the host gives the image's key, which "
                   "is for development) is wanted here");
    return 0;
}

static int read_key_name(struct parser *p, yaml_node_t *node, const struct key *key)
{
    return key_name(p, node, field(p, key));
}

static int read_version(struct parser *p, yaml_node_t *node, const struct key *key)
{
    (void)key;
    const char *text = scalar(node);
    return text && strcmp(text, "1") == 0 ? 0 : bad(p, node, "only version 1 is known");
}

#define FIELD(f) .offset = offsetof(struct policy_source, f)
#define RANGE(lo, hi) .min = (lo), .max = (hi)

static const struct key command_keys[] = {
    {.name = "entrypoint", .fn = read_list, FIELD(entrypoint)},
    {.name = "args", .fn = read_list, FIELD(cmd)},
    {.name = "args_from_host", .fn = read_flag, .flag = POLICY_ARGS_ANY},
    {.name = "workdir", .fn = read_string, FIELD(workdir)},
    {.name = "workdir_from_host", .fn = read_flag, .flag = POLICY_WORKDIR_ANY},
    {.name = "user", .fn = read_string, FIELD(user)},
    {.name = "groups", .fn = read_list, FIELD(groups)},
    {.name = "user_from_host", .fn = read_flag, .flag = POLICY_USER_ANY},
    {.name = "umask", .fn = read_mode, FIELD(umask)},
    {.name = "stack", .fn = read_size32, FIELD(stack_size), RANGE(64 << 10, 1 << 30)},
    {.name = "stop_signal", .fn = read_u32, FIELD(stop_signal), RANGE(1, 64)},
    {0},
};
static const struct key env_keys[] = {
    {.name = "set", .fn = read_env_set},
    {.name = "allow", .fn = read_list, FIELD(env_allow)},
    {0},
};
static const struct key host_keys[] = {
    {.name = "hostname", .fn = read_flag, .flag = POLICY_HOST_NAME},
    {.name = "hosts", .fn = read_flag, .flag = POLICY_HOST_HOSTS},
    {.name = "resolv_conf", .fn = read_flag, .flag = POLICY_HOST_RESOLV_CONF},
    {0},
};
static const struct key network_keys[] = {
    {.name = "listen", .fn = read_listen},
    {.name = "connect", .fn = read_flag, .flag = POLICY_CONNECT_ANY},
    {0},
};
static const struct key root_keys[] = {
    {.name = "read_only", .fn = read_flag, .flag = POLICY_READ_ONLY_ROOT},
    {.name = "key", .fn = read_key_release},
    {.name = "key_name", .fn = read_key_name, FIELD(root_key_name)},
    {0},
};
static const struct key anchor_keys[] = {
    {.name = "address", .fn = read_address, FIELD(anchor.address)},
    {.name = "key", .fn = read_public_key, FIELD(anchor)},
    {.name = "timeout", .fn = read_u32, FIELD(anchor.timeout), RANGE(1, POLICY_SERVICE_TIMEOUT_MAX / 1000)},
    {.name = "certificate", .fn = read_certificate, FIELD(marble.point)},
    {.name = "marble_key", .fn = read_marble_key, FIELD(marble.key_release)},
    {.name = "marble_key_name", .fn = read_key_name, FIELD(marble.key_name)},
    {0},
};
static const struct key key_server_keys[] = {
    {.name = "address", .fn = read_address, FIELD(key_server.address)},
    {.name = "key", .fn = read_public_key, FIELD(key_server)},
    {.name = "timeout", .fn = read_u32, FIELD(key_server.timeout), RANGE(1, POLICY_SERVICE_TIMEOUT_MAX / 1000)},
    {0},
};
static const struct key exec_keys[] = {
    {.name = "allow", .fn = read_exec_allow, .flag = POLICY_EXEC_ANY},
    {0},
};
static const struct key cpu_keys[] = {
    {.name = "avx512", .fn = read_xfrm, .flag = 0xe0},
    {.name = "pkru", .fn = read_xfrm, .flag = 0x200},
    {0},
};
static const struct key identity_keys[] = {
    {.name = "product", .fn = read_u16, FIELD(isvprodid)},
    {.name = "svn", .fn = read_u16, FIELD(isvsvn)},
    {0},
};
static const struct key top_keys[] = {
    {.name = "version", .fn = read_version},
    {.name = "memory", .fn = read_size, FIELD(memory_size), RANGE(1UL << 20, 1UL << 45)},
    {.name = "kernel_heap", .fn = read_size, FIELD(kernel_heap_size), RANGE(8UL << 20, 3UL << 30)},
    {.name = "enclave_size", .fn = read_size, FIELD(elrange_size), RANGE(1UL << 36, 1UL << 46)},
    {.name = "vcpus", .fn = read_u32, FIELD(vcpu_max), RANGE(1, 64)},
    {.name = "processes", .fn = read_u32, FIELD(process_max), RANGE(1, 65535)},
    {.name = "edmm", .fn = read_flag, .flag = POLICY_EDMM},
    {.name = "debug", .fn = read_flag, .flag = POLICY_DEBUG},
    {.name = "diagnostics", .fn = read_flag, .flag = POLICY_DIAGNOSTICS},
    {.name = "hostname", .fn = read_string, FIELD(hostname)},
    {.name = "command", .fn = read_nested, .keys = command_keys},
    {.name = "env", .fn = read_nested, .keys = env_keys},
    {.name = "from_host", .fn = read_nested, .keys = host_keys},
    {.name = "network", .fn = read_nested, .keys = network_keys},
    {.name = "root", .fn = read_nested, .keys = root_keys},
    {.name = "tmpfs", .fn = read_tmpfs},
    {.name = "volumes", .fn = read_volumes},
    {.name = "anchor", .fn = read_nested, .keys = anchor_keys},
    {.name = "key_server", .fn = read_nested, .keys = key_server_keys},
    {.name = "host_folders", .fn = read_host_folders},
    {.name = "exec", .fn = read_nested, .keys = exec_keys},
    {.name = "cpu", .fn = read_nested, .keys = cpu_keys},
    {.name = "identity", .fn = read_nested, .keys = identity_keys},
    {0},
};

int policy_source_parse(struct policy_source *source, const char *name, const void *text, size_t size, char **ret_error)
{
    struct parser p = {.source = source, .name = name, .error = ret_error};
    yaml_parser_t yaml;
    if (!yaml_parser_initialize(&yaml))
        return error_set(ret_error, "out of memory");
    yaml_parser_set_input_string(&yaml, text, size);
    int r = 0;
    if (!yaml_parser_load(&yaml, &p.document)) {
        r = error_set(ret_error, "%s:%zu: %s", name, yaml.problem_mark.line + 1,
                      yaml.problem ? yaml.problem : "not YAML");
    } else {
        yaml_node_t *root = yaml_document_get_root_node(&p.document);
        if (root && !(root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
            r = read_mapping(&p, root, top_keys);
        yaml_document_delete(&p.document);
    }
    yaml_parser_delete(&yaml);
    return r;
}

int policy_source_load(struct policy_source *source, const char *path, char **ret_error)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set_errno(ret_error, errno, "%s", path);
    char *text = malloc(FILE_SIZE_MAX);
    size_t size = text ? fread(text, 1, FILE_SIZE_MAX, f) : 0;
    int r;
    if (!text)
        r = error_set(ret_error, "out of memory");
    else if (ferror(f))
        r = error_set_errno(ret_error, errno, "reading %s", path);
    else if (size == FILE_SIZE_MAX)
        r = error_set(ret_error, "%s is larger than 1 MiB", path);
    else
        r = policy_source_parse(source, path, text, size, ret_error);
    free(text);
    fclose(f);
    return r;
}
